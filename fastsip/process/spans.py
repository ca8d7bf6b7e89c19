"""run_dir/spans: what was counted of spans of calls.  The desk writes it, whole, and goes on with what it finds there;
the supervisor shows it.
"""

from pathlib import Path

import msgspec

from fastsip.base.json_file import Laid, read_json_file, write_json_file
from fastsip.base.run_dir import SPANS
from fastsip.log import log

LAYOUT = 1


class SpanCounts(msgspec.Struct, kw_only=True):
    """All of them since the machine booted.

    sent         spans that the collector has taken
    lost         spans that were made and not taken: it was away or refused them, or too many waited for it
    passed_over  INVITEs that found no place among those that are in progress
    unseen       messages that were gone before they were read
    why          the last attempt to send failed, "" when it did not; or why no call can be looked at
    """

    sent: int = 0
    lost: int = 0
    passed_over: int = 0
    unseen: int = 0
    why: str = ""


class _File(Laid, frozen=True, kw_only=True):
    spans: SpanCounts


def read_span_counts(run_dir: str | Path) -> SpanCounts:
    """What cannot be read is as if it were not there, and said."""
    found, words = read_json_file(Path(run_dir) / SPANS, _File, LAYOUT, needed=False)
    if words:
        log.error("what was counted of spans is not known any more", extra={"fields": {"why": words}})
    return found.spans if found else SpanCounts()


def write_span_counts(run_dir: str | Path, counts: SpanCounts) -> None:
    """OSError: there is no room, and what stood there before stands."""
    write_json_file(Path(run_dir) / SPANS, _File(layout=LAYOUT, spans=counts))
