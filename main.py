"""Start the live program: `python main.py --help`."""

import sys

from rtvis.cli import main

if __name__ == "__main__":
    sys.exit(main())
