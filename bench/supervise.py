"""fastsip with another program as its router: `python -m bench.supervise CONFIG PROGRAM [ARGUMENT ...]`.

Valgrind, for instance, knows none of the calls by which the supervisor watches its children, so only
they run under it; and the supervisor must be far more patient with them.  Started by targets.
"""

import shutil
import sys

from fastsip.supervisor import limits
from fastsip.supervisor.run import run

PATIENCE_S = 300.0


def main() -> int:
    file, program, *arguments = sys.argv[1:]
    found = shutil.which(program)
    if found is None:
        print(f"bench.supervise: {program} is missing", file=sys.stderr)
        return 2
    limits.LEAVE_LIMIT_S = limits.WARM_LIMIT_S = limits.START_LIMIT_S = PATIENCE_S
    return run(file, (found, *arguments))


if __name__ == "__main__":
    sys.exit(main())
