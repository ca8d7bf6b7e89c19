"""What DNS said, in run_dir/names: the next router need not ask again, nor fail while no server answers.

The router that routes writes the file, a second after an answer at the latest and when it leaves; the one that
follows it reads it before it takes up the calls.  Requests that have no transaction and wait for a name, ACKs of a
2xx above all, go that way, too, when a router leaves as planned; those of a dead one are lost as on the wire.
Times are CLOCK_BOOTTIME, so what another boot left is not read.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from fastsip._core.base.clock import now_ms
from fastsip._core.base.files import boot_id, keep_aside, read_file, replace_file
from fastsip._core.transport.names import Names
from fastsip.base.plain import reason
from fastsip.base.run_dir import NAMES
from fastsip.log import log


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """Addresses are (host, port), port 0 = none given; to be asked for again at until_ms."""

    name: str
    addresses: list[tuple[str, int]]
    until_ms: int


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A datagram as it came, from whom (as the kernels keep it) and by which listener; of use before until_ms."""

    source: bytes
    listener_id: int
    until_ms: int
    datagram: bytes


class Content(msgspec.Struct, frozen=True):
    boot_id: str
    answers: list[Answer]
    held: Sequence[Held] = ()


def save_answers(names: Names, run_dir: str, held: Sequence[Held] = ()) -> None:
    """Replaces the file; OSError: it could not be written."""
    answers = [Answer(*answer) for answer in names.learned()]
    replace_file(Path(run_dir) / NAMES, msgspec.json.encode(Content(boot_id().decode(), answers, held)))


def put_aside(place: Path, error: Exception) -> str:
    """So that not each next router says it again; the note for the log."""
    try:
        return f"{keep_aside(place, reason(error))}: DNS is asked again"
    except OSError:
        return f"{place}: {reason(error)}: DNS is asked again"


def recall_answers(names: Names, run_dir: str) -> list[Held]:
    """Puts into `names` what the file says, and returns what was held; a file that cannot be read stops nobody."""
    place, now = Path(run_dir) / NAMES, now_ms()
    try:
        found = msgspec.json.decode(read_file(place), type=Content)
        if found.boot_id != boot_id().decode():
            return []
        for answer in found.answers:
            names.put(answer.name, answer.addresses, max(answer.until_ms - now, 0), now)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        log.warning(put_aside(place, error))
        return []
    return [one for one in found.held if now < one.until_ms]
