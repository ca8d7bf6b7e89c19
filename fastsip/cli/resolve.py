"""`fastsip resolve`: the targets of a name, tier by tier, and which of them a call would take."""

import asyncio

import click
import msgspec

from fastsip.base.plain import reason
from fastsip.cli._config import config_option
from fastsip.cli._say import REFUSED, WRONG, fail, say, say_json, say_table
from fastsip.config import Config, ConfigError, load
from fastsip.router.resolving import NotAName, Resolved, Wanted, known_to_router, read_uri, resolve_now

NO_SECRET = bytes(16)
EXITS = "Exit codes: 0 there are targets, 1 there are none, 2 CONFIG or URI is wrong."


@click.command("resolve", short_help="Say where a name leads, and which target a call would take.", epilog=EXITS)
@click.argument("uri")
@click.option("--call-id", default="resolve@invalid", show_default=True, help="Of the call.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@config_option
def command(config, uri, call_id, as_json) -> None:
    """Ask [names] and DNS for URI, sip:NAME[:PORT][;transport=udp], as a router with CONFIG does for a next hop.

    Targets stand in the order in which a request of the Call-ID tries them when none of them rests.  What the running
    router knows is shown when it differs.
    """
    try:
        wanted = read_uri(uri)
        loaded = load(config, make_secret=False)
    except (NotAName, ConfigError) as error:
        fail(str(error), WRONG)
    if not loaded.router.secret_keys:
        say("there is no secret yet: calls will be placed otherwise", err=True)
        loaded = msgspec.structs.replace(loaded, router=msgspec.structs.replace(
            loaded.router, secret_keys=(NO_SECRET,), placement_key=NO_SECRET))
    found = asyncio.run(resolve_now(loaded, wanted, call_id))
    known = _known(loaded, wanted, call_id)
    if as_json:
        say_json({"resolved": msgspec.to_builtins(found), "router": msgspec.to_builtins(known)})
    else:
        _print(found)
        if known and known.places != found.places:
            _print(known)
    if not found.places:
        fail(f"{uri}: {found.why or found.nothing or 'no target that a listener can send to'}", REFUSED)


def _known(config: Config, wanted: Wanted, call_id: str) -> Resolved | None:
    try:
        return known_to_router(config, wanted, call_id)
    except (OSError, ValueError) as error:
        say(f"what the router knows cannot be read: {reason(error)}", err=True)
        return None


def _print(found: Resolved) -> None:
    counts = f" for {found.counts_s} s" if found.counts_s else ""
    say(f"{found.key} by {found.by}{counts}{'; more targets than are used' if found.cut else ''}")
    if found.why:
        say(f"not answered: {found.why}")
    rows = [(f"{one.order}.", f"[{one.host}]:{one.port}" if ":" in one.host else f"{one.host}:{one.port}",
             str(one.tier), f"{100 * one.share:.1f} %") for one in found.places]
    if rows:
        say_table(("", "ADDRESS", "TIER", "SHARE"), rows, {})
