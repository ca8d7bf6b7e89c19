"""The fuzzer of the running kernels, a few fixed seeds of it: it runs, and they find nothing."""

import pytest

from tests.fuzz.shard import Round


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_found(seed, scratch):
    assert Round(seed, str(scratch / "run")).run(200) == []


def test_a_slot_that_lives_on_would_be_found(scratch, monkeypatch):
    monkeypatch.setattr("tests.fuzz.shard.ALL_CLOCKS_MS", 10)
    assert any("live on" in wrong for wrong in Round(1, str(scratch / "run")).run(200))
