"""What DNS said, in run_dir/names: the next router need not ask again, nor fail while no server answers.

The router that routes writes the file, a second after an answer at the latest and when it leaves; the one that
follows it reads it before it takes up the calls.  Requests that have no transaction and wait for a name, ACKs of a
2xx above all, go that way, too, when a router leaves as planned; those of a dead one are lost as on the wire.
Times are CLOCK_BOOTTIME, so what another boot left is not read.

A file of shape 1, of a release that knew addresses alone, is read as what it says: addresses of hosts.  One of a later
shape, or of a transport that this release has not, is put aside like one that is damaged.
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

SHAPE = 2
UDP = "udp"


class Target(msgspec.Struct, frozen=True, array_like=True):
    """Port 0 = none given."""

    host: str
    port: int
    transport: str
    tier: int
    weight: int


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """`key` as Names has it; to be asked for again at until_ms; `cut`: there were more targets."""

    key: str
    targets: list[Target]
    until_ms: int
    cut: bool


class OldAnswer(msgspec.Struct, frozen=True, array_like=True):
    """Of shape 1.  Addresses are (host, port), port 0 = none given."""

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
    """`answers` are read by the shape."""

    boot_id: str
    answers: msgspec.Raw
    held: Sequence[Held] = ()
    shape: int = 1


def save_answers(names: Names, run_dir: str, held: Sequence[Held] = ()) -> None:
    """Replaces the file; OSError: it could not be written."""
    answers = [Answer(key, [Target(host, port, UDP, *rank) for host, port, *rank in targets], until_ms, cut)
               for key, targets, until_ms, cut in names.learned()]
    content = Content(boot_id().decode(), msgspec.Raw(msgspec.json.encode(answers)), held, SHAPE)
    replace_file(Path(run_dir) / NAMES, msgspec.json.encode(content))


def put_aside(place: Path, error: Exception) -> str:
    """So that not each next router says it again; the note for the log."""
    try:
        return f"{keep_aside(place, reason(error))}: DNS is asked again"
    except OSError:
        return f"{place}: {reason(error)}: DNS is asked again"


def answers_of(content: Content) -> list[Answer]:
    """ValueError for what this release cannot use."""
    if content.shape == 1:
        old = msgspec.json.decode(content.answers, type=list[OldAnswer])
        return [Answer(f"a:{one.name}", [Target(*at, UDP, 0, 1) for at in one.addresses], one.until_ms, False)
                for one in old]
    if content.shape != SHAPE:
        raise ValueError(f"shape {content.shape}: this release reads 1 and {SHAPE}")
    answers = msgspec.json.decode(content.answers, type=list[Answer])
    for target in (target for answer in answers for target in answer.targets):
        if target.transport != UDP:
            raise ValueError(f"transport {target.transport!r}: this release has {UDP} alone")
    return answers


def read_answers(run_dir: str) -> Content | None:
    """None: of another boot.  OSError, ValueError (msgspec's errors are such): it cannot be read."""
    found = msgspec.json.decode(read_file(Path(run_dir) / NAMES), type=Content)
    return found if found.boot_id == boot_id().decode() else None


def recall_answers(names: Names, run_dir: str) -> list[Held]:
    """Puts into `names` what the file says, and returns what was held; a file that cannot be read stops nobody."""
    now = now_ms()
    try:
        found = read_answers(run_dir)
        for answer in answers_of(found) if found else ():
            targets = [(one.host, one.port, one.tier, one.weight) for one in answer.targets]
            names.put(answer.key, targets, max(answer.until_ms - now, 0), now, answer.cut)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, OverflowError) as error:
        log.warning(put_aside(Path(run_dir) / NAMES, error))
        return []
    return [one for one in found.held if now < one.until_ms] if found else []
