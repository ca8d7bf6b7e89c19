"""How long the supervisor waits for whom, and how often it tries again.

Read as `limits.NAME` at each use: tests and benches set other ones.
"""

LOCK_PATIENCE_S = 1.0   # a router whose supervisor was killed takes a moment to die
LEAVE_LIMIT_S = 1.0
WARM_LIMIT_S = 30.0
START_LIMIT_S = 30.0
RELOAD_LIMIT_S = 30.0
CORE_LIMIT_S = 2.0      # for the stacks of a router that hangs, and its core
STILLBORN = 3           # routers that end while they prepare themselves, before the first one routes
SHORT_LIFE_S = 1.0
SHORT_LIVES = 3         # in a row, before any pause
LONGEST_PAUSE_S = 30.0
