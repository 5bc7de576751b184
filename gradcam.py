"""Class activation maps over pictures: see `python gradcam.py --help`."""

from rtvis.cli.stills import gradcam_main

if __name__ == "__main__":
    raise SystemExit(gradcam_main())
