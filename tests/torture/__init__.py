"""Messages that a router must bear: the ideas of RFC 4475 and RFC 5118, what carriers send, and the edges.

All of our own making.  Each says what becomes of it; tests/unit/test_torture.py asks the parser,
tests/protocol/test_torture.py the running kernels, and the fuzzers start from them.
"""

from . import field, limits, rfc4475, rfc5118

REQUESTS = rfc4475.CASES + rfc5118.CASES + field.CASES + limits.CASES
assert len({case.id for case in REQUESTS}) == len(REQUESTS)
