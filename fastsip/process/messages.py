"""What supervisor and router say to each other: every message is a type here, and its fields are what it carries.

On the wire a message is a JSON object: `v` is PROTOCOL, `what` the word that its type has below.  After an upgrade
the new supervisor still talks to the router of the old code.  So words and fields stay; a new field has a default,
which is what it means when the other end does not know it; fields and words that are not known here are nothing
that goes wrong.

An order has a number, and so has its answer: an answer that comes when nobody waits for it any more is not taken
for that of a later order.  (The routers of old releases leave it out.)  Descriptors travel beside a message.
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from fastsip.resolve.asking import Outcome, Question

PROTOCOL = 1


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="what"):
    """Any of them."""

    v: int = PROTOCOL

    @property
    def what(self) -> str:
        return str(self.__struct_config__.tag)

    @property
    def facts(self) -> dict[str, Any]:
        """For the log."""
        found = msgspec.structs.asdict(self)
        return {key: value for key, value in found.items() if key != "v" and value is not UNSET}


class Numbered(Message, frozen=True, kw_only=True):
    """An order that is answered, or the answer."""

    number: int | UnsetType | None = UNSET

    def is_for(self, number: int) -> bool:
        """Is it the answer to the order of that number, as far as it says?"""
        return self.number is UNSET or self.number == number


# ---------------------------------------------------------------- to the router


class Prepare(Message, frozen=True, kw_only=True, tag="prepare"):
    """Get ready for a configuration.  Descriptors: its text, and what was read of it; `file` is its name."""

    file: str


class Sockets(Message, frozen=True, kw_only=True, tag="sockets"):
    """Descriptors: some of the listeners' sockets, in order."""


class Go(Message, frozen=True, kw_only=True, tag="go"):
    """Take over.  Descriptor: run_dir's lock.

    first: no router of this supervisor has routed before.  drop: (reference, generation) of slots to be freed.
    draining: take no new calls.
    """

    first: bool
    drop: list[tuple[int, int]] = []
    draining: bool = False


class Reload(Numbered, frozen=True, kw_only=True, tag="reload"):
    """Another configuration, from now on.  Descriptors as of Prepare."""

    file: str


class Drain(Numbered, frozen=True, kw_only=True, tag="drain"):
    """Take no new calls, or again."""

    on: bool


class Admin(Numbered, frozen=True, kw_only=True, tag="admin"):
    """What operators say of destinations has changed: state_dir has it (dispatcher/words).  why: the reason given."""

    why: str = ""


class Probe(Numbered, frozen=True, kw_only=True, tag="probe"):
    """Probe these destinations now, and wait so long for the ends of it."""

    ids: list[str]
    limit_s: float


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody looks at: of these the one that is given.

    share: of all calls, by a hash of the Call-ID; 1.0 is every message.  peer: what comes from that address, or goes
    there.
    """

    share: float = 0.0
    call_id: str = ""
    peer: str = ""


class Show(Numbered, frozen=True, kw_only=True, tag="show"):
    """Show what shards see of messages (run_dir/mirror) for so many seconds from now on.  0: no longer.

    name: of who looks; who says it again goes on with what he says now.
    """

    name: str
    looked: Looked
    seconds: float


class Leave(Message, frozen=True, kw_only=True, tag="leave"):
    """Finish, and say Released.  keep: by listener, how many of its sockets somebody will read after us."""

    keep: list[int]


# ---------------------------------------------------------------- to the desk


class ReadTable(Numbered, frozen=True, kw_only=True, tag="read table"):
    """Read this table now, and keep what it says under `name` and `origin` (sources/kept)."""

    name: str
    origin: str
    url: str
    table: str
    columns: str
    state_dir: str

    @property
    def facts(self) -> dict[str, Any]:
        """Without the URL, which may have a password."""
        return {"name": self.name, "origin": self.origin}


class TellWebhooks(Message, frozen=True, kw_only=True, tag="tell webhooks"):
    """These and no others, from now on.  Descriptor: process/webhooks has what is in it."""


class Serve(Message, frozen=True, kw_only=True, tag="serve"):
    """Speak HTTP for the router of this configuration file, from now on so.  Descriptor: the socket that listens for
    TCP, when there is one.

    token, read_token   digests of what those who come over TCP bring (config/secrets), b"" = none
    certificate, key    paths, "" = no TLS
    """

    file: str
    run_dir: str
    token: bytes = b""
    read_token: bytes = b""
    certificate: str = ""
    key: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """Without the digests."""
        return {"file": self.file, "run_dir": self.run_dir}


class Visitor(Message, frozen=True, kw_only=True, tag="visitor"):
    """Somebody who speaks HTTP on control.sock.  Descriptor: his connection, of which nothing has been read."""


class Look(Numbered, frozen=True, kw_only=True, tag="look"):
    """Does your loop go round?"""


class AskName(Numbered, frozen=True, kw_only=True, tag="ask name"):
    """Ask DNS for the targets of a name (resolve/asking).

    types: "A", "AAAA".  transports: in the order of preference.
    """

    question: Question
    types: list[str]
    transports: list[str]


# ---------------------------------------------------------------- to the supervisor


class Warm(Message, frozen=True, kw_only=True, tag="warm"):
    """Whatever needs no store is done."""


class Started(Message, frozen=True, kw_only=True, tag="started"):
    """The shards run."""


class Refused(Message, frozen=True, kw_only=True, tag="refused"):
    """It cannot be prepared, or cannot start."""

    why: str


class Reloaded(Numbered, frozen=True, kw_only=True, tag="reloaded"):
    """The new configuration is in force."""


class ReloadRefused(Numbered, frozen=True, kw_only=True, tag="reload refused"):
    """The old one is.  larger: only a new start has the room."""

    why: str
    larger: bool = False


class Draining(Numbered, frozen=True, kw_only=True, tag="draining"):
    """open: transactions that drain would wait for."""

    open: int


class AdminSet(Numbered, frozen=True, kw_only=True, tag="admin set"):
    """The shards see it.  changed: how many destinations have another state now."""

    changed: int


class ProbeEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How the probe of one destination ended; code: 408 for silence."""

    id: str
    alive: bool
    code: int
    ms: int


class Probed(Numbered, frozen=True, kw_only=True, tag="probed"):
    """Those that ended in time."""

    ends: list[ProbeEnd]


class Shown(Numbered, frozen=True, kw_only=True, tag="shown"):
    """It is shown, or it is not, and why."""

    why: str = ""


class TableRead(Numbered, frozen=True, kw_only=True, tag="table read"):
    """changed: it says another thing than before.  away: why it could not be read, "" = it was."""

    changed: bool
    away: str = ""


class GoesRound(Numbered, frozen=True, kw_only=True, tag="goes round"):
    """It does."""


class NameAnswered(Numbered, frozen=True, kw_only=True, tag="name answered"):
    """What DNS says of it."""

    outcome: Outcome


class Failed(Numbered, frozen=True, kw_only=True, tag="failed"):
    """An order that ended in an exception which nobody had thought of."""

    why: str


class Released(Message, frozen=True, kw_only=True, tag="released"):
    """Nothing is read or written here any more."""


# ---------------------------------------------------------------- on no wire


class Unknown(Numbered, frozen=True, kw_only=True):
    """What another release says and this one does not know, or cannot read."""

    word: str

    @property
    def what(self) -> str:
        return self.word


class Ended(Message, frozen=True, kw_only=True, tag="ended"):
    """A process ended, with this status (os.waitstatus_to_exitcode).  The last thing that is heard of a router."""

    status: int


TO_DESK = ReadTable | AskName | TellWebhooks | Serve | Visitor | Look
TO_ROUTER = Prepare | Sockets | Go | Reload | Drain | Admin | Probe | Show | Leave
TO_SUPERVISOR = (Warm | Started | Refused | Reloaded | ReloadRefused | Draining | AdminSet | Probed | Shown | Failed
                 | Released | TableRead | NameAnswered | GoesRound)


class _Envelope(msgspec.Struct):
    """What every release puts on every message."""

    v: int
    what: str
    number: int | UnsetType | None = UNSET


_envelope = msgspec.json.Decoder(_Envelope)
_known = msgspec.json.Decoder(TO_ROUTER | TO_DESK | TO_SUPERVISOR)
_encoder = msgspec.json.Encoder()


class ForeignProtocol(Exception):
    """The other end speaks another version, or nonsense."""


def pack(message: Message) -> bytes:
    return _encoder.encode(message)


def unpack(raw: bytes) -> Message:
    """ForeignProtocol for what is no message of ours; Unknown for one that only another release knows."""
    try:
        envelope = _envelope.decode(raw)
    except ValueError:  # msgspec's errors are ValueErrors
        raise ForeignProtocol(raw[:200].decode(errors="replace")) from None
    if envelope.v != PROTOCOL:
        raise ForeignProtocol(raw[:200].decode(errors="replace"))
    try:
        return _known.decode(raw)
    except msgspec.ValidationError:
        return Unknown(word=envelope.what, number=envelope.number)
