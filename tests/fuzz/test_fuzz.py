"""The fuzzers of the running kernels, a few fixed seeds of each: they run, and find nothing."""

import random
import re

import pytest

from fastsip.config.language import KEYS
from tests.fuzz import configurations
from tests.fuzz.shard import Round

# What says nothing to the kernels, holds for loopback alone, or is read by another process.
NOT_MADE = {"run_dir", "state_dir", "answering", "url", "table", "columns", "token", "read_token",
            "certificate", "collector", "sample", "node", "agent"}


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_found(seed, scratch):
    assert Round(seed, str(scratch / "run")).run(200) == []


def test_a_slot_that_lives_on_would_be_found(scratch, monkeypatch):
    monkeypatch.setattr("tests.fuzz.shard.ALL_CLOCKS_MS", 10)
    assert any("live on" in wrong for wrong in Round(1, str(scratch / "run")).run(200))


@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_found_in_valid_configurations(seed, scratch):
    assert configurations.Round(seed, str(scratch)).run(60) == []


def test_configurations_have_every_key_of_the_language():
    texts = "\n".join(configurations.Maker(random.Random(seed)).text for seed in range(200))
    wanted = {key for table, keys in KEYS.items() if table for key in keys} - NOT_MADE
    assert {key for key in wanted if not re.search(rf'(?m)(^|[ {{]|"){key}"? = ', texts)} == set()
