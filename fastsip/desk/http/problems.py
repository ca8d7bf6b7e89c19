"""What goes wrong, in words for programs: application/problem+json (RFC 9457)."""

from http import HTTPStatus

import msgspec

from fastsip.api.answers import Unknown, Unreadable
from fastsip.api.socket import NoAnswer, NotRunning, Refused

CONTENT_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457 section 3.1; `type` is always about:blank, which means that `title` is the phrase of `status`."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class Wrong(Exception):
    """It ends with this status, and these words."""

    def __init__(self, status: int, detail: str):
        super().__init__(detail)
        self.status = status


# Of two that fit the first counts.
STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Unknown, 404),
    (NoAnswer, 504),        # it may be done all the same
    (Refused, 409),
    (NotRunning, 503),
    (Unreadable, 503),
    (TimeoutError, 504),
    (msgspec.ValidationError, 422),
    (msgspec.DecodeError, 400),
)


def problem_of(error: Exception) -> Problem | None:
    """None: nobody has thought of this."""
    if isinstance(error, Wrong):
        return problem(error.status, str(error))
    for kind, status in STATUS:
        if isinstance(error, kind):
            return problem(status, str(error) or "it took too long")
    return None


def problem(status: int, detail: str) -> Problem:
    return Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
