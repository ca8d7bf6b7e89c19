"""`fastsip trace CALL-ID`: the messages of calls as they come, as lines, ladders, JSON or a capture file."""

import contextlib
import ipaddress
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from fastsip.api.socket import NotRunning, Refused
from fastsip.base.plain import counted
from fastsip.cli._ask import EXITS, run_dir_of
from fastsip.cli._config import config_option
from fastsip.cli._say import NOT_RUNNING, REFUSED, fail, say, say_json
from fastsip.observe.mirror import Damaged, Seen
from fastsip.trace.calls import Call, Calls, Step, Wanted
from fastsip.trace.capture import Capture
from fastsip.trace.glance import Glance
from fastsip.trace.shown import ladder, last_rows, line_of
from fastsip.trace.watch import Watch

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

LOOK_S = 0.05       # between two looks at rings that were empty
DRAW_S = 0.25       # between two drawings of a ladder, at least
SIZE = (100, 24)    # of a terminal that does not say its own


class _Address(click.ParamType):
    """An IP address, as the router writes it."""

    name = "address"

    def convert(self, value, param, ctx) -> str:
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            self.fail(f"{value} is no IPv4 or IPv6 address", param, ctx)


@click.command("trace", short_help="Show the messages of calls as they come.", epilog=EXITS)
@click.argument("call_id", metavar="[CALL-ID]", required=False)
@click.option("--from", "sender", default="", metavar="TEXT", help="Calls with this in From of their first request.")
@click.option("--to", "recipient", default="", metavar="TEXT", help="The same of To.")
@click.option("--source", type=_Address(), metavar="ADDRESS", help="Calls with a request from there.")
@click.option("--ladder", "as_ladder", is_flag=True, help="A ladder of each call; at the end, when not on a terminal.")
@click.option("--pcap", metavar="FILE", type=click.Path(), help="Also into this file, for tshark, Wireshark, sngrep.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each message, with all of it.")
@click.option("--seconds", type=click.FloatRange(0.1, 86_400), metavar="N", help="End after so long.")
@click.option("--calls", "most_calls", type=click.IntRange(1), metavar="N", help="End when so many calls are over.")
@config_option
def command(config, call_id, sender, recipient, source, as_ladder, pcap, as_json, seconds, most_calls) -> None:
    """Show the messages of a call, or of all calls that fit the options, until Ctrl-C.

    Messages of before are not kept anywhere: the call must still be going on, or come.  Credentials and names of
    callers are shown as they are.
    """
    if bool(call_id) == bool(sender or recipient or source):
        raise click.UsageError("name a CALL-ID, or what to find calls by: --from, --to, --source")
    if as_json and as_ladder:
        raise click.UsageError("--json and --ladder contradict each other")
    wanted = Wanted(call_id=call_id or "", sender=sender, recipient=recipient, source=source or "")
    look: dict[str, Any] = {"call_id": call_id} if call_id else {"share": 1.0}
    run_dir = run_dir_of(config)
    try:
        shown = _Shown(Calls(wanted, keep_gone=as_ladder), pcap, as_ladder, as_json)
        with contextlib.closing(Watch(run_dir, **look)) as watch:
            say("fastsip: looking, until Ctrl-C or what the options say", err=True)
            _follow(watch, shown, seconds, most_calls)
    except NotRunning as error:
        fail(str(error), NOT_RUNNING)
    except (Refused, Damaged) as error:
        fail(str(error), REFUSED)


def _follow(watch: Watch, shown: "_Shown", seconds: float | None, most_calls: int | None) -> None:
    end = time.monotonic() + seconds if seconds else None
    with shown, _interrupted() as stop:
        while not stop.is_set() and (end is None or time.monotonic() < end):
            found = watch.read()
            for note in watch.take_notes():
                shown.note(note)
            for seen in found:
                shown.take(seen)
                if most_calls and shown.calls.ended >= most_calls:
                    stop.set()
                    break
            shown.draw()
            if not found:
                stop.wait(LOOK_S)
    _conclude(shown.calls, shown.count, watch.lost)


def _conclude(calls: Calls, count: int, lost: int) -> None:
    words = [counted(count, "message"), f"{counted(calls.ended, 'call')} over"]
    if calls.passed_over:
        words.append(f"{calls.passed_over:,} beyond the calls that can be followed at once")
    if lost:
        words.append(f"{lost:,} messages were gone before they were read")
    say(f"fastsip: {', '.join(words)}", err=True)


@contextlib.contextmanager
def _interrupted() -> Iterator[threading.Event]:
    """Set by Ctrl-C or SIGTERM: whatever was written is whole.  The second one does what it always does."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(*_: object) -> None:
        stop.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Shown:
    """What becomes of messages: lines at once, a ladder drawn anew, JSON, and a capture beside each.

    count: messages of calls that are followed.
    """

    def __init__(self, calls: Calls, pcap: str | None, as_ladder: bool, as_json: bool):
        self.calls, self.count = calls, 0
        self._as_ladder, self._as_json = as_ladder, as_json
        self._capture = Capture(pcap) if pcap else None
        self._live = _live() if as_ladder and sys.stdout.isatty() else None
        self._stale, self._drawn_at = False, 0.0

    def __enter__(self) -> None:
        if self._live:
            self._live.start()

    def __exit__(self, *_: object) -> None:
        """All ladders whole, also of calls that are not over."""
        if self._live:
            self._live.stop()
        if self._as_ladder:
            for call in self.calls.followed.values():
                _print_ladder(call)
        if self._capture:
            self._capture.close()

    def note(self, words: str) -> None:
        """On stderr, above a ladder that is drawn anew."""
        if self._live:
            self._live.stop()
        say(f"fastsip: {words}", err=True)
        if self._live:
            self._live.start()

    def take(self, seen: Seen) -> None:
        found = self.calls.take(seen)
        if found is None:
            return
        said, step = found
        self.count += 1
        if self._capture:
            self._capture.add(seen)
        if self._as_json:
            say_json(_as_dict(seen, said, step))
        elif self._as_ladder:
            self._stale = True
            self._print_gone()
        else:
            say(line_of(step, said.call_id))

    def draw(self) -> None:
        """Once for what came together, and not more often than anybody can read."""
        if self._capture:
            self._capture.flush()
        now = time.monotonic()
        if self._live and self._stale and now >= self._drawn_at + DRAW_S:
            self._stale, self._drawn_at = False, now
            width, height = shutil.get_terminal_size(SIZE)
            rows = last_rows(list(self.calls.followed.values()), width, height - 1)
            self._live.update(_cropped("\n".join(rows)), refresh=True)

    def _print_gone(self) -> None:
        """Calls that made room for others are shown now or never."""
        gone = list(self.calls.take_gone())
        if gone and self._live:
            self._live.stop()
        for call in gone:
            _print_ladder(call)
        if gone and self._live:
            self._live.start()


def _live() -> "Live":
    """Loaded on a terminal alone."""
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(highlight=False, markup=False), auto_refresh=False, transient=True)


def _cropped(text: str) -> "Text":
    """Lines that are longer than the terminal go on to the next one nowhere."""
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="crop")


def _print_ladder(call: Call) -> None:
    width = shutil.get_terminal_size(SIZE).columns if sys.stdout.isatty() else 0
    for line in ladder(call, width):
        say(line)
    say()


def _as_dict(seen: Seen, said: Glance, step: Step) -> dict[str, Any]:
    """cut: `message` is the first part of what was `length` bytes on the wire."""
    return {
        "at": seen.when, "received": seen.received, "from": step.source, "to": step.target,
        "transport": seen.transport, "shard": seen.shard, "method": said.method or None,
        "status": said.status or None, "reason": said.reason or None, "cseq": step.cseq, "call_id": said.call_id,
        "again": step.again, "length": seen.length, "cut": len(seen.message) < seen.length,
        "message": seen.message.decode("utf-8", "surrogateescape"),
    }  # fmt: skip
