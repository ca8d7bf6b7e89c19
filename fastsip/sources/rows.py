"""What a source says, whichever it is: one Row for each destination, one Misfit for each line that cannot be one."""

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One destination as its source has it; values are checked where a set takes it in.

    `where` is what an operator finds it by: "line 12", "id 7".  `admin` is what the source wants, until an operator
    says otherwise.  `starts_down`: not to be used before a probe has said that it is alive.
    """

    where: str
    setid: int
    uri: str
    name: str = ""                  # a `duid`: stays when the URI changes
    priority: int = 0
    weight: int | None = None       # a share among all
    relative_weight: int | None = None
    admin: str = "enabled"          # enabled | draining | disabled
    starts_down: bool = False
    probed: bool | None = None      # None: as the set says
    probe_mode: str = ""            # only-failed: while it is down; counts where the set says nothing of probes
    socket: str = ""                # "udp:192.0.2.1:5060"
    listener_tag: str = ""
    probe_from: str = ""
    attrs: tuple[tuple[str, str], ...] = ()     # all that is not said above, as it stands there


class Misfit(msgspec.Struct, frozen=True, kw_only=True):
    """A line or row that is left out, and why; the others count."""

    where: str
    why: str
    found: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.why}" + (f", found {self.found}" if self.found else "")


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """All of a source, at one time.  `at` is in seconds since 1970."""

    at: float
    rows: tuple[Row, ...]
    misfits: tuple[Misfit, ...] = ()


class SourceAway(Exception):
    """The source cannot be read now; the text says why.  What was read last goes on."""
