"""`python -m fastsip.router`: what a supervisor starts (process/launch)."""

from fastsip.process.launch import end
from fastsip.router.process import main

if __name__ == "__main__":
    end(main())
