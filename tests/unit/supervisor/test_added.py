"""supervisor.added: what is refused is taken back, or said to be there."""

import types

import pytest

from fastsip.api.socket import Refused
from fastsip.sources.added import added_row, read_added, write_added
from fastsip.supervisor import added
from fastsip.supervisor.state import StartError

ROW = added_row({"setid": "1", "destination": "192.0.2.1"})


@pytest.fixture
def here(scratch, monkeypatch):
    """One whose router takes nothing."""

    async def refuse(*_):
        raise StartError("no room")

    monkeypatch.setattr(added, "read_again", refuse)
    return types.SimpleNamespace(config=types.SimpleNamespace(router=types.SimpleNamespace(state_dir=str(scratch))))


async def test_what_is_refused_is_taken_back(here, scratch):
    with pytest.raises(Refused, match=r"^no room\nnothing has changed$"):
        await added._apply(here, (), (ROW,))
    assert read_added(scratch).rows == ()


async def test_what_cannot_be_taken_back_is_said(here, scratch, monkeypatch, caplog):
    writes = []

    def write(state_dir, rows):
        writes.append(rows)
        if len(writes) > 1:
            raise OSError(28, "No space left on device")
        write_added(state_dir, rows)

    monkeypatch.setattr(added, "write_added", write)
    with pytest.raises(Refused, match=r"^no room\nit stays in .*added and will be tried .*: No space left on device$"):
        await added._apply(here, (), (ROW,))
    assert read_added(scratch).rows == (ROW,) and "cannot be taken back" in caplog.text
