"""What was measured of each destination, out of run_dir, where each shard has lines of its own.

The numbers of all shards are added up; each was read whole, but those of one line may be of different moments.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastsip._core.base.buckets import BOUNDS_MS
from fastsip._core.base.files import look_at
from fastsip._core.base.mapped import HEAD_BYTES
from fastsip._core.dispatcher.measures import (
    ANSWER_NAMES,
    PROBE_NAMES,
    SILENCE_NAMES,
    THE_REST,
    fields,
    read_head,
)
from fastsip.base.run_dir import MEASURES, REGISTRY
from fastsip.routing.registry import read_names

TIMES = ("reply", "answer", "probe")
# Attempts that RFC 6076 leaves out of SER (3xx), and out of SEER (a challenge, too); those that are the callee's own
# say in SEER, and in ISA those that are no fault of his, with silence and want of a way, of which callers hear as 408
# and 503.
REDIRECTED = ("3xx",)
NOT_JUDGED = ("3xx", "challenge")
EFFECTIVE = ("2xx", "480", "486", "600", "603")
INEFFECTIVE = ("408", "500", "503", "504", "timeout", "transport")


def _line() -> np.dtype:
    found = fields()
    _, size = found.pop("bytes")
    formats, offsets = zip(*found.values(), strict=True)
    return np.dtype({"names": list(found), "formats": formats, "offsets": offsets, "itemsize": size})


LINE = _line()


class Measured:
    """Measured(lines, names): one row for each line of a shard.

    place   id of a destination -> its row
    """

    def __init__(self, lines: np.ndarray, names: dict[int, tuple[str, str]]):
        """lines: [shard][line], as in the file; names: those of the registry."""
        owners, self.numbers = added_up(lines, (name for name in LINE.names or () if name != "destination_id"))
        self.place: dict[str, int] = {}
        self.rest: int | None = None
        for row in np.flatnonzero(owners):
            owner = int(owners[row])
            kind, name = names.get(owner, ("", ""))
            if owner == THE_REST:
                self.rest = int(row)
            elif kind == "destination":
                self.place[name] = int(row)

    def of(self, identity: str) -> dict[str, Any] | None:
        """What is shown of one destination: numbers, ratios and medians; None: it has no line of its own."""
        row = self.place.get(identity)
        if row is None:
            return None
        number = {name: column[row] for name, column in self.numbers.items()}
        answers, silences = _named(ANSWER_NAMES, number["answers"]), _named(SILENCE_NAMES, number["silences"])
        attempts = int(number["attempts"])
        return {
            "attempts": attempts,
            "answers": answers,
            "silences": silences,
            "failovers": int(number["failovers"]),
            "ser": ratio(answers, ("2xx",), attempts, REDIRECTED),
            "seer": ratio(answers, EFFECTIVE, attempts, NOT_JUDGED),
            "isa": ratio(answers | silences, INEFFECTIVE, attempts, ()),
            "probes": _named(PROBE_NAMES, number["probes"]),
            **{f"{name}_ms": median_ms(number[f"{name}.counts"].tolist()) for name in TIMES},
        }


def added_up(lines: np.ndarray, names: Iterable[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Whose each row is, 0 = nobody's, and these columns over all shards."""
    owners = lines["destination_id"].max(axis=0)
    return owners, {name: lines[name].sum(axis=0, dtype=np.uint64, where=_owned(lines, owners, name)) for name in names}


def _owned(lines: np.ndarray, owners: np.ndarray, name: str) -> np.ndarray:
    """Which lines are of the row's owner: one that just changes hands is left out."""
    same = (lines["destination_id"] == owners) & (owners != 0)
    return same.reshape(same.shape + (1,) * (lines[name].ndim - 2))


def _named(names: tuple[str, ...], column: np.ndarray) -> dict[str, int]:
    return dict(zip(names, column.tolist(), strict=True))


def ratio(answers: dict[str, int], wanted: tuple[str, ...], attempts: int, without: tuple[str, ...]) -> float | None:
    """Of all attempts but those that ended so; None: there were none."""
    judged = attempts - sum(answers[name] for name in without)
    return round(sum(answers[name] for name in wanted) / judged, 4) if judged > 0 else None


def quantile_ms(counts: Sequence[int], share: float) -> float | None:
    """As histogram_quantile(share) has it: as if a bucket's lay evenly between its bounds.  None: nothing was timed.

    share: from 0 to 1.
    """
    wanted, below, lower = sum(counts) * share, 0, 0
    for count, upper in zip(counts, BOUNDS_MS, strict=False):
        if count and below + count >= wanted:
            return round(lower + (upper - lower) * (wanted - below) / count, 1)
        below, lower = below + count, upper
    return float(lower) if wanted else None


def median_ms(counts: Sequence[int]) -> float | None:
    return quantile_ms(counts, 0.5)


def read_measured(run_dir: str | Path, names: dict[int, tuple[str, str]] | None = None) -> Measured | None:
    """None: no router has measured anything since the machine booted.  OSError or Damaged: it cannot be read."""
    lines = read_lines(run_dir)
    if lines is None:
        return None
    return Measured(lines, read_names(Path(run_dir) / REGISTRY) if names is None else names)


def read_line_names(run_dir: str | Path) -> dict[int, str]:
    """Ids of destinations by the `destination_id` of a line.  OSError: there is no registry."""
    names = read_names(Path(run_dir) / REGISTRY)
    return {number: name for number, (kind, name) in names.items() if kind == "destination"}


def read_lines(run_dir: str | Path) -> np.ndarray | None:
    """As they stand in the file, [shard][line]; None and errors as of read_measured."""
    try:
        content = look_at(Path(run_dir) / MEASURES)
    except FileNotFoundError:
        return None
    head = read_head(content)
    if not head:
        return None
    shape = head["shards"], head["lines"]
    return np.frombuffer(content, LINE, shape[0] * shape[1], HEAD_BYTES).reshape(shape)
