"""A table of a database, read in a process of its own: a driver that hangs or dies takes nothing else with it.

    read_apart(table)     one process for one read: whoever has none at hand
    origin_of(...)        what a source is called, and kept by, without its password

The program on the other side is desk.
"""

import re
import subprocess
import sys
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from fastsip.sources.rows import Reading, SourceAway

ONCE = (sys.executable, "-m", "fastsip.desk", "once")
ONCE_LIMIT_S = 20.0     # of which a read may take half
# Of what stands behind `?`: what says which data it is.  The rest may be secret or does not matter for that.
TELLING = {"host", "port", "dbname", "database", "db", "service", "unix_socket", "options"}
MISLEADING = re.compile("[/?#]")    # before an @: it may stand in a password, or the @ in a parameter
NO_PLACE = re.compile(r"[\s=]")     # "user=u password=p", as a driver would take it
NO_SCHEME = re.compile(r"[^\w+.-]")


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """`url` may have a password.  `name` may have a schema before it: "sip.dispatcher".  `kind`: one of sql.KINDS."""

    url: str
    name: str = "dispatcher"
    kind: str = "kamailio"

    def __repr__(self) -> str:
        return f"Table(name={self.name!r}, kind={self.kind!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("name", self.name), ("kind", self.kind)]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was read; `away` says why nothing was."""

    reading: Reading | None = None
    away: str = ""


def origin_of(table: Table) -> str:
    """Of a URL that is none, what stands before its first colon."""
    return f"{_shown(table.url)} {table.name} ({table.kind})"


def _shown(url: str) -> str:
    """Nobody knows which part of what is no URL may be shown, nor where a password ends that has a letter of URLs."""
    scheme, colon, rest = url.partition("://")
    user, at, place = ("", "", rest) if scheme.startswith("sqlite") else rest.rpartition("@")
    try:
        parts = urlsplit(f"//{place}")
        telling = urlencode([pair for pair in parse_qsl(parts.query) if pair[0] in TELLING])
    except ValueError:
        colon = ""
    if not colon or MISLEADING.search(user) or NO_PLACE.search(parts.netloc):
        return NO_SCHEME.split(scheme)[0][:20]
    return f"{scheme}://{user.partition(':')[0]}{at}{parts.netloc}{parts.path}{'?' if telling else ''}{telling}"


def read_apart(table: Table) -> Reading:
    """SourceAway says why not."""
    try:
        done = subprocess.run(ONCE, input=msgspec.msgpack.encode(table), capture_output=True, timeout=ONCE_LIMIT_S,
                              check=False)
        found = msgspec.msgpack.decode(done.stdout, type=Found)
    except subprocess.TimeoutExpired:
        raise SourceAway(f"not read within {ONCE_LIMIT_S:.0f} s") from None
    except msgspec.MsgspecError:
        raise SourceAway(f"the program that reads databases ended with {done.returncode}") from None
    if found.reading is None:
        raise SourceAway(found.away)
    return found.reading
