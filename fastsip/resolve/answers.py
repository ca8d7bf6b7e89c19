"""What DNS said last of the names of sets, in state_dir/targets: it counts while no server answers, over restarts, too.

The supervisor alone writes the file, whole; whoever reads a configuration reads it.  What cannot be read is as if it
were not there: DNS will be asked again.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from fastsip.base.json_file import Laid, read_json_file, write_json_file
from fastsip.base.run_dir import TARGETS
from fastsip.log import log
from fastsip.resolve.asking import Question
from fastsip.resolve.targets import MOST_TARGETS, Target, is_sound

LAYOUT = 1
REST_S = 600.0  # how long what was learned of a target that went is kept


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """A target that is in the answer no more, since then (seconds since 1970)."""

    target: Target
    at: float


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The last good answer.  `at`: when it was given, in seconds since 1970; `cut`: targets beyond the bounds."""

    targets: tuple[Target, ...]
    at: float
    cut: int = 0
    gone: tuple[Gone, ...] = ()

    def resting(self, now: float) -> tuple[Gone, ...]:
        """Those that may come back to what was learned of them."""
        return tuple(one for one in self.gone if now - REST_S < one.at <= now)


Answers = Mapping[Question, Answer]


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    question: Question
    answer: Answer


class _File(Laid, frozen=True, kw_only=True):
    names: tuple[_Kept, ...]


def place_of(target: Target) -> tuple[str, str, int]:
    """What makes it the same target, whatever it weighs."""
    return target.transport, target.host, target.port


def followed(before: Answer | None, targets: Iterable[Target], cut: int, now: float) -> Answer:
    """The answer after this one; who is in it no more rests, the last MOST_TARGETS of them."""
    fresh = tuple(targets)
    there = {place_of(one) for one in fresh}
    resting = {}
    if before:
        resting = {place_of(one.target): one for one in before.resting(now)}
        resting |= {place_of(one): Gone(target=one, at=now) for one in before.targets}
    gone = sorted((one for place, one in resting.items() if place not in there), key=lambda one: one.at)
    return Answer(targets=fresh, at=now, cut=cut, gone=tuple(gone[-MOST_TARGETS:]))


def read_answers(state_dir: str | Path, stale_s: float) -> dict[Question, Answer]:
    """Those that are not older than that; of what cannot be read nothing, and it is said."""
    found, words = read_json_file(Path(state_dir) / TARGETS, _File, LAYOUT, needed=False)
    if words:
        log.warning("what DNS said last of destinations is not known", extra={"fields": {"why": words}})
    oldest = time.time() - stale_s
    return {one.question: _sound(one.answer) for one in found.names if one.answer.at > oldest} if found else {}


def _sound(answer: Answer) -> Answer:
    """Without what no DNS says: a router must not fail to start for it."""
    return msgspec.structs.replace(
        answer,
        targets=tuple(one for one in answer.targets[:MOST_TARGETS] if is_sound(one)),
        gone=tuple(one for one in answer.gone[-MOST_TARGETS:] if is_sound(one.target)),
    )


def write_answers(state_dir: str | Path, answers: Answers) -> None:
    """OSError: there is no room, and what stood there before stands."""
    kept = tuple(_Kept(question=question, answer=answer) for question, answer in sorted(answers.items()))
    write_json_file(Path(state_dir) / TARGETS, _File(layout=LAYOUT, names=kept))
