"""`fastsip explain`: which rule and which destinations a request would meet, and why."""

import sys
from pathlib import Path

import click
import msgspec

from fastsip._core.base.mapped import Damaged
from fastsip.base.plain import reason
from fastsip.cli._config import config_option
from fastsip.cli._say import REFUSED, WRONG, fail, say, say_json, say_table
from fastsip.config import Config, ConfigError, load
from fastsip.dispatcher.words import read_words
from fastsip.observe.destinations import Seen, read_seen
from fastsip.router.explain import Explanation, explain, on_the_wire

NO_SECRET = bytes(16)
EXITS = "Exit codes: 0 it is explained, 1 it cannot be, 2 CONFIG or the request is wrong."
REQUEST = """{method} {uri} SIP/2.0
Via: SIP/2.0/UDP {source};branch=z9hG4bKexplain
Max-Forwards: 70
From: <{sender}>;tag=1
To: <{uri}>
Call-ID: {call_id}
CSeq: 1 {method}
Contact: <sip:{source}>
Content-Length: 0

"""


@click.command("explain", short_help="Say which rule and destinations a request would meet, and why.", epilog=EXITS)
@click.argument("file", required=False, type=click.Path())
@click.option("--uri", help="In place of FILE: the Request-URI of a plain request.")
@click.option("--method", default="INVITE", show_default=True, help="Of the plain request.")
@click.option("--call-id", default="explain@invalid", show_default=True, help="Of the plain request.")
@click.option("--from", "sender", default="sip:explain@invalid", show_default=True, help="Of the plain request.")
@click.option("--source", default="192.0.2.1:5060", show_default=True, metavar="HOST:PORT", help="Whose it is.")
@click.option("--listen", default="", metavar="TAG", help="Tag or URI of the listener that it comes in by; the first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@config_option
def command(config, file, uri, method, call_id, sender, source, listen, as_json) -> None:
    """Say what would become of the request in FILE (- is standard input), or of a plain one to --uri.

    Nothing is sent or changed.  CONFIG counts as its file reads now, with what is known of each destination.
    """
    if bool(file) == bool(uri):
        raise click.UsageError("name a FILE with one SIP request, or --uri")
    plain = REQUEST.format(method=method, uri=uri, source=source, sender=sender, call_id=call_id)
    message = on_the_wire(_read(file) if file else plain.encode())
    try:
        loaded = load(config, make_secret=False)
    except ConfigError as error:
        fail(str(error), WRONG)
    if not loaded.router.secret_keys:
        say("there is no secret yet: hash algorithms will place calls otherwise", err=True)
        loaded = msgspec.structs.replace(loaded, router=msgspec.structs.replace(
            loaded.router, secret_keys=(NO_SECRET,), placement_key=NO_SECRET))
    found = explain(loaded, read_words(loaded.router.state_dir), _seen(loaded), message, _place(source),
                    _listener(loaded, listen))
    if as_json:
        say_json(msgspec.to_builtins(found))
    else:
        _print(found)


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        fail(reason(error), WRONG)


def _seen(config: Config) -> dict[str, Seen]:
    """Without a router nothing is known, and so it would be after a start."""
    try:
        return read_seen(config.router.run_dir)
    except FileNotFoundError:
        say("no router has run here: nothing is known of destinations", err=True)
    except (OSError, Damaged) as error:
        say(f"nothing is known of destinations: {reason(error)}", err=True)
    return {}


def _place(source: str) -> tuple[str, int]:
    host, _, port = source.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise click.UsageError(f"--source is HOST:PORT, not {source}")
    return host.strip("[]"), int(port)


def _listener(config: Config, wanted: str) -> int:
    for index, listener in enumerate(config.listeners):
        if wanted in ("", listener.tag, listener.uri):
            return index
    fail(f"there is no listener {wanted}", REFUSED)


def _print(found: Explanation) -> None:
    say(f"rule       {found.rule or 'none'}{': ' if found.action else ''}{found.action}")
    if found.answer:
        say(f"answer     {found.answer}")
    for place in found.sent:
        say(f"sent to    {place}")
    if found.turns:
        say("order      by turns or chance: another request may begin with another one")
    rows = [(f"{number}.", one.id, one.address, one.why) for number, one in enumerate(found.tried, 1)]
    rows += [("not", one.id, one.address, one.why) for one in found.others]
    if rows:
        say_table(("", "ID", "ADDRESS", "WHY"), rows, {})
