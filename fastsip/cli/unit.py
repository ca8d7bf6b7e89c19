"""`fastsip unit CONFIG`: a unit file for systemd."""

import re
import sys
from importlib.resources import files
from pathlib import Path

import click

import fastsip
from fastsip.cli._config import config_argument
from fastsip.cli._say import WRONG, fail, say

# What systemd hides from the service, by the line of the unit that says so.
HIDDEN = {"ProtectHome": ("/home", "/root", "/run/user"), "PrivateTmp": ("/tmp", "/var/tmp")}


@click.command("unit", short_help="Print a unit file for systemd.")
@config_argument
def command(config: str) -> None:
    """Print a unit file for systemd that runs the router on CONFIG; README says how to use it.

    What this program and CONFIG need must lie where the service sees it: a warning says what does not.
    """
    if not Path(config).is_file():
        fail(f"{config}: there is no such file", WRONG)
    text = files("fastsip").joinpath("systemd/fastsip.service").read_text()
    program, file = Path(sys.executable).parent / "fastsip", Path(config).absolute()
    for path in (program, file):
        if not str(path).isprintable():
            fail(f"{path}: this name cannot stand in a unit file", WRONG)
    for warning in unseen(program, file, Path(sys.executable), Path(fastsip.__file__).parent):
        say(f"warning: {warning}", err=True)
    words = {"@PROGRAM@": quoted(program), "@CONFIG@": quoted(file).replace("$", "$$")}
    say(re.sub("@PROGRAM@|@CONFIG@", lambda found: words[found[0]], text), nl=False)


def quoted(path: Path) -> str:
    """A word of a command line in a unit file (systemd.service(5), systemd.unit(5))."""
    word = str(path).replace("%", "%%")
    if re.fullmatch(r"[\w%@+=:,./-]+", word, re.ASCII):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unseen(*needed: Path) -> list[str]:
    """Why a service of this unit would not start, for each place in which one of these is."""
    places = {place: None for path in needed for place in (path, path.resolve())}
    return [
        f"{place} is inside {folder}, which {line}=yes of this unit hides: the service would not start; "
        "use another place, such as /opt/fastsip and /etc/fastsip"
        for place in places for line, folders in HIDDEN.items() for folder in folders if place.is_relative_to(folder)
    ]  # fmt: skip
