"""Slow and obvious: what the caller gets of branches that all fail, group by group.

RFC 3261 16.7 items 5 to 7, docs/wire.md#the-answer-to-the-caller.
"""

HELPFUL = (401, 407, 415, 420, 484)
CHALLENGES = (401, 407)


def is_wanted(status, on):
    return status not in CHALLENGES and status < 600 and (status in on or f"{status // 100}xx" in on)


def better(one, other):
    """Which of two responses, the one that was first coming first."""
    classes = [0 if status >= 600 else status // 100 for status in (one, other)]
    if classes[0] != classes[1]:
        return one if classes[0] < classes[1] else other
    if one in HELPFUL or classes[0] == 0:
        return one
    if other in HELPFUL:
        return other
    if 482 in (one, other):
        return one if other == 482 else other
    return min(one, other)


def outcome(groups, on, exhausted=0):
    """Of the final statuses (300 and above) of each group, in the order in which they come.

    Returns (how many were asked, the caller's status, how many challenges are in it).
    Those of a group that have not answered when a 6xx comes are cancelled and do not count.
    """
    heard, asked = [], 0
    for group in groups:
        asked += len(group)
        for status in group:
            heard.append(status)
            if status >= 600:
                return asked, status, 0
        if not all(is_wanted(status, on) for status in group):
            break
    else:
        if exhausted:
            return asked, exhausted, 0
    best = heard[0]
    for status in heard[1:]:
        best = better(best, status)
    challenges = sum(status in CHALLENGES for status in heard) if best in CHALLENGES else 0
    return asked, 500 if best == 503 else best, challenges
