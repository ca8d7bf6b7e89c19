"""run_dir/sent: what was counted of each webhook.  The desk writes it, whole, and goes on with what it finds there; the
supervisor shows it.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from fastsip.base.json_file import Laid, read_json_file, write_json_file
from fastsip.base.run_dir import SENT
from fastsip.log import log

LAYOUT = 1


class Counts(msgspec.Struct, kw_only=True):
    """Of one webhook.

    sent      events that it has taken
    failed    attempts that failed
    dropped   events that it will not be told any more: refused, too old, or gone before their turn came
    waiting   events of the record that it has not come to yet, whether it wants them or not
    why       the last attempt failed, "" when it did not
    """

    sent: int = 0
    failed: int = 0
    dropped: int = 0
    waiting: int = 0
    why: str = ""


class _File(Laid, frozen=True, kw_only=True):
    webhooks: dict[str, Counts]


def read_counts(run_dir: str | Path) -> dict[str, Counts]:
    """By name of the webhook; what cannot be read is as if it were not there, and said."""
    found, words = read_json_file(Path(run_dir) / SENT, _File, LAYOUT, needed=False)
    if words:
        log.error("what was counted of webhooks is not known any more", extra={"fields": {"why": words}})
    return found.webhooks if found else {}


def write_counts(run_dir: str | Path, counts: Mapping[str, Counts]) -> None:
    """OSError: there is no room, and what stood there before stands."""
    write_json_file(Path(run_dir) / SENT, _File(layout=LAYOUT, webhooks=dict(counts)))
