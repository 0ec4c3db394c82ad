"""Runs the command line as `python -m refold`."""

from refold.cli import main

if __name__ == "__main__":
    main()
