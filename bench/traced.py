"""fastsip with its router processes under another program: `python -m bench.traced CONFIG PROGRAM [ARGUMENT ...]`.

Valgrind knows none of the calls by which the supervisor watches its children, and needs it
to be far more patient.  Started by targets.
"""

import shutil
import sys

from fastsip import supervisor
from fastsip.child import PROGRAM

PATIENCE_S = 300.0


def main() -> int:
    file, tracer, *arguments = sys.argv[1:]
    found = shutil.which(tracer)
    if found is None:
        print(f"bench.traced: {tracer} is missing", file=sys.stderr)
        return 2
    supervisor.LEAVE_LIMIT_S = supervisor.WARM_LIMIT_S = supervisor.START_LIMIT_S = PATIENCE_S
    return supervisor.run(file, (found, *arguments, *PROGRAM))


if __name__ == "__main__":
    sys.exit(main())
