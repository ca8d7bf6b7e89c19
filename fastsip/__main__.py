"""`python -m fastsip` is the same as `fastsip`."""

from fastsip.cli import main

if __name__ == "__main__":
    main(prog_name="fastsip")
