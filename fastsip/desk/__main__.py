"""`python -m fastsip.desk`: what a supervisor starts; with `once`, what reads one table and ends (sources/apart)."""

import sys

from fastsip.desk.reader import once, serve
from fastsip.process.launch import end

if __name__ == "__main__":
    end(once() if sys.argv[1:] == ["once"] else serve())
