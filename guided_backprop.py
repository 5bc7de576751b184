"""What in a picture excites one unit of a network: see `python guided_backprop.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from rtvis.cli.stills import guided_backprop_program

        guided_backprop_program()
    except KeyboardInterrupt:  # before the program could take care of it
        sys.exit(130)
    except ModuleNotFoundError as fault:
        from rtvis.leaving import not_installed

        sys.exit(not_installed(fault))
