"""What only tests of the running router share."""

from collections.abc import Iterator

import pytest

from tests.engines.fixtures import mariadb, postgresql  # noqa: F401

from .lives import LIMIT_S, Home


@pytest.fixture
def home(scratch) -> Iterator[Home]:
    """A Home whose routers are killed at the end; none of them may have left a traceback."""
    place = Home(scratch / "home")
    yield place
    for life in place.lives:
        life.kill()
        life._reader.join(LIMIT_S)
    assert [life.text for life in place.lives if "Traceback " in life.text or "[Errno" in life.text] == []
