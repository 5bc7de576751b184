"""Class activation maps over pictures: see `python gradcam.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from rtvis.cli.stills import gradcam_program

        gradcam_program()
    except KeyboardInterrupt:  # before the program could take care of it
        sys.exit(130)
    except ModuleNotFoundError as fault:
        from rtvis.leaving import not_installed

        sys.exit(not_installed(fault))
