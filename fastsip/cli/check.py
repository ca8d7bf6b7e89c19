"""`fastsip check CONFIG`: is it right, and what will happen?"""

import sys
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from fastsip.base.plain import counted, plain_json, printable
from fastsip.cli._config import config_argument
from fastsip.cli._say import WRONG, say
from fastsip.cli._working import working
from fastsip.config import ConfigError, load
from fastsip.process.launch import need_kernels
from fastsip.router.outlook import DestinationOutlook, ListenerOutlook, NameOutlook, Outlook, SetOutlook, outlook

MIB = 1 << 20


@click.command("check", short_help="Check CONFIG and show what it will do.")
@config_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--takeover", is_flag=True, help="Can this code take up the calls that are kept?  Says nothing if so.")
def command(config: str, as_json: bool, takeover: bool) -> None:
    """Check CONFIG and show what it will do; nothing is started or written (exit 2: CONFIG is wrong)."""
    need_kernels()
    if takeover:
        _check_takeover(config)
        return
    try:
        with working("check"):
            facts = outlook(load(config, make_secret=False))
    except ConfigError as error:
        if as_json:
            say(_json({"ok": False, "errors": error.problems}))
        say(str(error), err=True)
        say(f"{config}: {counted(len(error.problems), 'error')}", err=True)
        sys.exit(WRONG)
    if as_json:
        say(_json({"ok": True, **msgspec.to_builtins(facts)}))
    elif sys.stdout.isatty():
        _print_rich(msgspec.convert(_printable(msgspec.to_builtins(facts)), Outlook))
    else:
        _print_plain(facts)


def _check_takeover(config: str) -> None:
    """Everything that a router imports is there, CONFIG is right, and what run_dir holds can be read.

    No source is read of which anything is kept: one that does not answer is no reason against another code.
    """
    import fastsip.router.control_plane
    import fastsip.router.process
    import fastsip.supervisor.run  # noqa: F401
    from fastsip._core.store.partitions import unreadable
    from fastsip.config.sources import none_of_them

    try:
        words = unreadable(load(config, make_secret=False, fresh=none_of_them).router.run_dir)
    except ConfigError as error:
        words = str(error)
    if words:
        say(words, err=True)
        sys.exit(WRONG)


def _json(found: dict[str, Any]) -> str:
    return plain_json(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


def _printable(found: Any) -> Any:
    """All texts of an outlook."""
    if isinstance(found, dict):
        return {_printable(key): _printable(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_printable(item) for item in found]
    return printable(found) if isinstance(found, str) else found


def _heading(facts: Outlook) -> list[tuple[str, str]]:
    """The facts that have one value each."""
    parts = ", ".join(f"{what} {size / MIB:,.1f}" for what, size in facts.memory)
    memory = f"{facts.memory_bytes / MIB:,.1f} MiB for {facts.max_transactions:,} transactions: {parts}"
    return [
        ("router", facts.name),
        ("shards", str(facts.shards)),
        ("memory", memory),
        ("run_dir", facts.run_dir),
        ("state_dir", facts.state_dir),
        ("secret", facts.secret),
    ]


def _listener_text(one: ListenerOutlook) -> str:
    known_as = "" if one.tag == one.uri else f" tag {one.tag},"
    return (
        f"{one.uri}:{known_as} known as {one.sent_by}, "
        f"buffer {one.effective_bytes:,} bytes = {one.buffer_ms} ms of 1,000 calls/s"
    )


def _set_text(group: SetOutlook) -> str:
    number = "" if group.setid is None else f" (setid {group.setid})"
    broad = f", up to {group.at_once} at once" if group.at_once > 1 else ""
    by_us = ", answered by fastsip itself" if group.answering else ""
    return f"{group.name}{number}: {group.algorithm}{broad}{by_us}"


def _attrs_text(to: DestinationOutlook) -> str:
    """And the targets of a name."""
    targets = "" if to.targets is None else f", targets: {' '.join(to.targets) or 'not known yet'}"
    return "".join(f", {key} = {value}" for key, value in to.attrs.items()) + targets


def _name_text(one: NameOutlook) -> str:
    name = "every other name, DNS is not asked" if one.name == "*" else one.name
    return f"{name}: {', '.join(one.addresses)}"


def _print_plain(facts: Outlook) -> None:
    say(f"{facts.file}: right")
    for key, value in _heading(facts):
        say(f"{key:<10} {value}")
    for one in facts.listeners:
        say(f"listen     {_listener_text(one)}")
    for group in facts.sets:
        say(f"set        {_set_text(group)}")
        for to in group.destinations:
            detail = f"id {to.id}, weight {to.weight}, priority {to.priority}, {to.probe}{_attrs_text(to)}"
            say(f"             {to.uri} ({detail})")
    for border in facts.borders:
        say(f"border     {border}")
    for place, rule in enumerate(facts.rules, 1):
        say(f"rule {place:<5} {rule}")
    for name in facts.names:
        say(f"name       {_name_text(name)}")
    for source in facts.sources:
        say(f"source     {source}")
    for webhook in facts.webhooks:
        say(f"webhook    {webhook}")
    for table, words in _tables(facts):
        say(f"{table:<10} {words}")
    for warning in facts.warnings:
        say(f"warning: {warning}", err=True)


def _tables(facts: Outlook) -> Iterator[tuple[str, str]]:
    """Those that there is one of, when they are there."""
    tables = ("otel", facts.otel), ("hep", facts.hep), ("api", facts.api)
    yield from ((name, words) for name, words in tables if words)


def _print_rich(facts: Outlook) -> None:
    """The same on a terminal; text from the file is never taken for markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text.assemble(facts.file, ": ", ("right", "bold green")))
    grid = Table.grid(padding=(0, 2))
    for key, value in _heading(facts):
        grid.add_row(Text(key, "bold"), Text(value))
    for one in facts.listeners:
        grid.add_row(Text("listen", "bold"), Text(_listener_text(one)))
    console.print(grid)
    for group in facts.sets:
        table = Table(title=Text(f"set {_set_text(group)}"), title_justify="left")
        for column in ("id", "destination", "weight", "priority", "probe and attributes"):
            table.add_column(column)
        for to in group.destinations:
            table.add_row(Text(to.id), Text(to.uri), str(to.weight), str(to.priority),
                          Text(to.probe + _attrs_text(to)))
        console.print(table)
    for border in facts.borders:
        console.print(Text.assemble(("border  ", "bold"), border))
    for place, rule in enumerate(facts.rules, 1):
        console.print(Text.assemble((f"rule {place}  ", "bold"), rule))
    for name in facts.names:
        console.print(Text.assemble(("name    ", "bold"), _name_text(name)))
    for source in facts.sources:
        console.print(Text.assemble(("source  ", "bold"), source))
    for webhook in facts.webhooks:
        console.print(Text.assemble(("webhook  ", "bold"), webhook))
    for key, words in _tables(facts):
        console.print(Text.assemble((f"{key:<8}", "bold"), words))
    for warning in facts.warnings:
        Console(stderr=True, highlight=False).print(Text.assemble(("warning: ", "bold yellow"), warning))
