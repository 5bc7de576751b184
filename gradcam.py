"""Class activation maps over pictures: see `python gradcam.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from rtvis.cli.stills import gradcam_main

        sys.exit(gradcam_main())
    except ModuleNotFoundError as fault:
        from rtvis.leaving import not_installed

        sys.exit(not_installed(fault))
