"""state_dir/webhooks: up to which event each webhook has been told, over restarts and boots.

The desk writes it, whole, after each event that it has sent.  The supervisor reads it for the highest number that
anybody remembers, so that a record that is made anew goes on behind it.
"""

from collections.abc import Mapping
from pathlib import Path

from fastsip.base.json_file import Laid, read_json_file, write_json_file
from fastsip.base.run_dir import WEBHOOKS
from fastsip.events.follow import Position
from fastsip.log import log

LAYOUT = 1


class _File(Laid, frozen=True, kw_only=True):
    webhooks: dict[str, Position]


def read_positions(state_dir: str | Path) -> dict[str, Position]:
    """By name of the webhook.  What cannot be read is as if it were not there, and said."""
    found, words = read_json_file(Path(state_dir) / WEBHOOKS, _File, LAYOUT, needed=False)
    if words:
        log.error("what webhooks were told is not known any more", extra={"fields": {"why": words}})
    return found.webhooks if found else {}


def write_positions(state_dir: str | Path, positions: Mapping[str, Position]) -> None:
    """OSError: there is no room, and what stood there before stands."""
    write_json_file(Path(state_dir) / WEBHOOKS, _File(layout=LAYOUT, webhooks=dict(positions)))


def highest_number(state_dir: str | Path) -> int:
    """That anybody remembers; 0: nobody does."""
    return max((one.number for one in read_positions(state_dir).values()), default=0)
