"""Who may see the page, and order there: over control.sock whoever comes, over TCP who has signed in with a token.

A session is a cookie that says what its owner may and until when, signed under a key made of the token that he signed
in with.  So it lives over the death of this process, and ends with that token; nothing is kept here.  The key is made
by scrypt: who has a cookie cannot try tokens in a hurry.

A cookie travels with whatever a browser sends here, so an order counts only when a page of ours had it sent.  It
travels to every other port of this host as well, and who serves one there has it: so those that may order are short.
"""

import functools
import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from collections import OrderedDict

from aiohttp import web

from fastsip.desk.http import limits
from fastsip.desk.http.access import NOBODY, ORDER, READ, Access

LONGEST_COOKIE = 200
ROLES = {"order": ORDER, "read": READ}
# A name, an IPv4 address or one of IPv6 in brackets, and a port: RFC 3986 section 3.2.2 without what no browser sends.
HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9_.-]{1,253}))(?::[0-9]{0,5})?")
SAFE = ("GET", "HEAD")
KNOWN = web.RequestKey("known", bool)   # note_known


# ---------------------------------------------------------------- sessions


@functools.lru_cache(maxsize=8)
def key_of(digest: bytes) -> bytes:
    """Takes 16 MiB and some 50 ms, once for a token."""
    return hashlib.scrypt(digest, salt=b"fastsip session", n=1 << 14, r=8, p=1, dklen=32)


def signed(said: str, digest: bytes) -> str:
    return hmac.new(key_of(digest), said.encode(), hashlib.sha256).hexdigest()


def digest_for(role: str, access: Access) -> bytes:
    return {"order": access.token, "read": access.read_token}.get(role, b"")


def session_for(may: int, access: Access, now: float | None = None) -> str:
    """Of somebody who has shown the token for that."""
    role = next(name for name, what in ROLES.items() if what == may)
    until = int((time.time() if now is None else now) + life_of(may))
    said = f"{role}.{until}.{secrets.token_hex(8)}"
    return f"{said}.{signed(said, digest_for(role, access))}"


def life_of(may: int) -> int:
    """Seconds, from signing in: none is renewed, so one that was stolen ends, too."""
    return limits.ORDERING_S if may == ORDER else limits.LOOKING_S


def may_by_session(cookie: str, access: Access, now: float | None = None) -> int:
    if not cookie or len(cookie) > LONGEST_COOKIE or not cookie.isascii():
        return NOBODY
    said, _, signature = cookie.rpartition(".")
    role, _, rest = said.partition(".")
    until, digest = rest.partition(".")[0], digest_for(role, access)
    if not digest or not until.isdecimal() or not hmac.compare_digest(signature, signed(said, digest)):
        return NOBODY
    return ROLES[role] if (time.time() if now is None else now) < int(until) else NOBODY


def cookie_name(request: web.Request) -> str:
    """By port, as browsers bring each cookie of a host to all of its ports: so routers of one machine do not write over
    each other's, though whoever serves another port there can read it.
    """
    place = request.transport.get_extra_info("sockname") if request.transport else None
    port = place[1] if isinstance(place, tuple) else 0
    return f"__Host-fastsip-{port}" if request.secure else f"fastsip-{port}"


def may_here(request: web.Request, access: Access) -> int:
    """By header, as programs do, or by session."""
    may = access.of(request.headers.get("Authorization", ""))
    return may or may_by_session(request.cookies.get(cookie_name(request), ""), access)


def note_known(request: web.Request) -> None:
    """Who asks has shown that he may something: his connection keeps its place until he is answered."""
    request[KNOWN] = True


# ---------------------------------------------------------------- browsers that were sent


def is_foreign(request: web.Request, *, local: bool) -> bool:
    """Did a page of somebody else have a browser ask this?

    local: whoever comes may all, so the name that he came by must be one of this machine, or a name of somebody else's
    that leads here would make his page one of ours (DNS rebinding).  What such a page only reads comes without a word
    of who sent it, so a name is asked for always (is_own_name), and of who says that he is a browser a stricter one.
    What cannot be read as what it should be is foreign: nothing here is taken apart further than it must be.
    """
    site, origin, host = (request.headers.get(name, "") for name in ("Sec-Fetch-Site", "Origin", "Host"))
    if local and not (is_loopback(host) if site or origin else is_own_name(host)):
        return True
    if origin and (not host or origin.partition("://")[2] != host):
        return True
    if site in ("same-origin", "") or (site == "none" and request.method in SAFE):
        return False
    # A link on somebody else's page may lead here: what it shows its reader may see, and that page sees nothing.
    return request.method not in SAFE or request.headers.get("Sec-Fetch-Mode") != "navigate"


def is_loopback(host: str) -> bool:
    """Is it, from a header Host, localhost or a loopback address?"""
    name = name_in(host)
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_own_name(host: str) -> bool:
    """One that no name server out there answers for: of loopback, or without a dot, as x in `curl ... http://x/`.
    Whoever names nothing is no browser.
    """
    name = name_in(host)
    return not host or is_loopback(host) or (bool(name) and not any(letter in name for letter in ".:"))


def name_in(host: str) -> str:
    """Without a port, in small letters; "" when it is no host."""
    found = HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else ""


def is_from_page(request: web.Request) -> bool:
    """Does it say that a page of ours has sent it?  Browsers do, whatever they send by POST."""
    return request.headers.get("Sec-Fetch-Site") == "same-origin" or bool(request.headers.get("Origin"))


# ---------------------------------------------------------------- wrong tokens


class Attempts:
    """How many wrong tokens each address may bring before it hears that it is too many: some at once, then one after
    the other, slowly.  The right one counts at any time: who shares an address with others, as behind a proxy, gets in.
    """

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()     # address -> how many, when

    def may(self, address: str, now: float | None = None) -> bool:
        return self._count(block_of(address), _clock(now)) >= 1

    def wrong(self, address: str, now: float | None = None) -> None:
        block, moment = block_of(address), _clock(now)
        self._left[block] = self._count(block, moment) - 1, moment
        self._left.move_to_end(block)
        while len(self._left) > limits.MOST_ADDRESSES:
            self._left.popitem(last=False)

    def _count(self, block: str, moment: float) -> float:
        count, at = self._left.get(block, (float(limits.WRONG_AT_ONCE), moment))
        return min(count + (moment - at) / limits.WRONG_EVERY_S, limits.WRONG_AT_ONCE)


def _clock(now: float | None) -> float:
    return time.monotonic() if now is None else now


def block_of(address: str) -> str:
    """Whoever has an address of IPv6 has its /64."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)
