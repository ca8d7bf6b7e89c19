"""`python -m fastsip.desk`: what a supervisor starts; with `once`, what reads one table and ends (sources/apart)."""

import sys

from fastsip.process.launch import end

if __name__ == "__main__":
    if sys.argv[1:] == ["once"]:
        from fastsip.desk.reader import once as work
    else:
        from fastsip.desk.process import serve as work
    end(work())
