"""What is known of names: the last good answer of each, when it is asked for again, and what is wrong with it.

No question is asked here.  Times to act are of the monotonic clock, times of answers of the one on the wall.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fastsip.resolve.answers import Answer, followed, place_of
from fastsip.resolve.asking import Outcome, Question

TTL_MIN_S, TTL_MAX_S = 5.0, 3_600.0
FAILED_S, FAILED_MAX_S = 5.0, 60.0  # until the next question after a failure; each further one waits twice as long
HALVES = 3              # so many answers in a row of which a part is missing: whoever is silent always is no reason
KEEP_S = 60.0           # how often it is kept that the same answer was given again

# Each target that is new gets an id that is never given again, so a server must not make them without an end.
MOST_NEW, NEW_EVERY_S = 64, 60.0
MOST_SEEN = 10_000
TOO_MANY_NEW = "its targets change too often, the last answer counts"

RESOLVED = "resolved"   # again, or at last

Place = tuple[str, str, int]


@dataclass
class Asked:
    """One question: when it is asked again, and what is wrong with it, "" = nothing."""

    next_s: float = 0.0
    failures: int = 0
    why: str = ""
    new: float = MOST_NEW       # targets that it may still bring
    new_at_s: float = 0.0
    seen: set[Place] = field(default_factory=set)


class KnownNames:
    """All names of one configuration."""

    def __init__(self, answers: Mapping[Question, Answer]):
        self.answers = dict(answers)
        self.asked: dict[Question, Asked] = {}
        self.changed = False    # there are targets that the configuration in force does not have
        self.unwritten = False  # there are answers that are not kept
        self.kept_at_s = 0.0

    def due(self, questions: Iterable[Question], now_s: float) -> list[Question]:
        """Those to be asked now, longest overdue first.  All others than `questions` are forgotten, but for their
        answers, which a reload may want back."""
        wanted = set(questions)
        for gone in self.asked.keys() - wanted:
            del self.asked[gone]
        found = [one for one in wanted if self.of(one).next_s <= now_s]
        return sorted(found, key=lambda one: (self.of(one).next_s, one))

    def of(self, question: Question) -> Asked:
        return self.asked.setdefault(question, Asked())

    def forget_answers(self, questions: Iterable[Question], stale_s: float, at: float) -> None:
        """Those that nobody asks for and are too old."""
        idle = self.answers.keys() - set(questions)
        for one in [one for one in idle if self.answers[one].at <= at - stale_s]:
            del self.answers[one]
            self.unwritten = True

    def note(self, question: Question, outcome: Outcome, stale_s: float, now_s: float, at: float) -> str:
        """Takes what DNS says, and returns what is to be said in the log, "" = nothing."""
        asked, before = self.of(question), self.answers.get(question)
        told = asked.why
        good = bool(outcome.targets) and (not outcome.why or not (before and before.targets)
                                          or asked.failures + 1 >= HALVES)
        if good and not self._has_room(asked, before, outcome, now_s):
            good, outcome = False, Outcome(why=TOO_MANY_NEW)
        if good or outcome.denied:
            self._take(question, before, outcome, at)
        elif before and before.targets and before.at <= at - stale_s:
            self._take(question, before, Outcome(), before.at)
        whole = (good or outcome.denied) and not outcome.why
        asked.failures = 0 if whole else asked.failures + 1
        asked.why = outcome.why or outcome.nothing
        asked.next_s = now_s + (min(max(outcome.ttl_s, TTL_MIN_S), TTL_MAX_S) if whole else
                                min(FAILED_S * 2.0 ** min(asked.failures - 1, 10), FAILED_MAX_S))
        if asked.why:
            return "" if told else f"{asked.why}{'; the last answer counts' if self.has_targets(question) else ''}"
        return RESOLVED if told else ""

    def has_targets(self, question: Question) -> bool:
        return question in self.answers and bool(self.answers[question].targets)

    def state_of(self, question: Question) -> tuple[bool, str]:
        """Is it resolved, and what is wrong with it; also when it has targets."""
        asked = self.asked.get(question)
        why = asked.why if asked else ""
        resolved = self.has_targets(question)
        return resolved, why or ("" if resolved else "not answered yet")

    def _take(self, question: Question, before: Answer | None, outcome: Outcome, at: float) -> None:
        after = followed(before, outcome.targets, outcome.cut, at)
        self.answers[question] = after
        if before is None or (before.targets, before.cut) != (after.targets, after.cut):
            self.changed = self.unwritten = True
        elif at >= self.kept_at_s + KEEP_S or at < self.kept_at_s:
            self.unwritten = True

    def _has_room(self, asked: Asked, before: Answer | None, outcome: Outcome, now_s: float) -> bool:
        """May it bring those targets that it has not brought before?  If so, they count."""
        asked.new = min(MOST_NEW, asked.new + (now_s - asked.new_at_s) / NEW_EVERY_S)
        asked.new_at_s = now_s
        if len(asked.seen) > MOST_SEEN:
            asked.seen.clear()
        asked.seen |= {place_of(one) for one in before.targets} if before else set()
        new = {place_of(one) for one in outcome.targets} - asked.seen
        if len(new) > asked.new:
            return False
        asked.new -= len(new)
        asked.seen |= new
        return True
