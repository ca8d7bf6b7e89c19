"""A stage for each protocol script, in memory."""

from collections.abc import Callable

import pytest

from tests.protocol.script import PARALLEL, Stage


@pytest.fixture
def make_stage(scratch) -> Callable[..., Stage]:
    """A function that sets up a stage; its arguments are those of Stage and of make_table."""
    made: list[Stage] = []

    def make(**parts) -> Stage:
        made.append(Stage(scratch / f"run{len(made)}", **parts))
        return made[-1]

    return make


@pytest.fixture
def make_fork(make_stage) -> Callable[..., Stage]:
    """The same, with a set that is tried in parallel."""
    return lambda **parts: make_stage(**{"algorithm": PARALLEL, **parts})


@pytest.fixture
def stage(make_stage) -> Stage:
    """Three destinations in order, no failover."""
    return make_stage()
