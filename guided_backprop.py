"""What in a picture excites one unit of a network: see `python guided_backprop.py --help`."""

from rtvis.cli.stills import guided_backprop_main

if __name__ == "__main__":
    raise SystemExit(guided_backprop_main())
