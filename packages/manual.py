"""What stands around the program in a package, made of what the program itself says: `python manual.py OUT [SOURCE]`.

    OUT/fastsip.1          the commands and options, from their own help
    OUT/fastsip.toml.5     the configuration, from config.example.toml, which shows every key
    OUT/fastsip.bash, _fastsip, fastsip.fish   completion of commands and options
    OUT/fastsip.service    the unit, for a program in /usr/bin and a configuration in /etc

Run with the Python of the tree that is packed.  SOURCE is the repository, by default the one of this file.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import click

from fastsip import __version__
from fastsip.cli import main as program
from fastsip.cli._ask import EXITS
from fastsip.cli._config import PLACES, VARIABLE

PROGRAM, CONFIG = "/usr/bin/fastsip", PLACES[-1]
EXAMPLE = "/usr/share/doc/fastsip/examples/config.example.toml"
COMPLETIONS = {"bash": "fastsip.bash", "zsh": "_fastsip", "fish": "fastsip.fish"}
LIMIT_S = 60

TABLE = re.compile(r"^#?(\[{1,2}[a-z.\-]+\]{1,2})(?:\s+# (.*))?$")
KEY = re.compile(r'^(#?)( *)((?:[a-z_0-9]+|"[^"]+") *= *)(.*)$')
GOES_ON = re.compile(r"^\s{20,}# (.*)$")


# ---------------------------------------------------------------- troff


def escaped(text: str) -> str:
    """Text that troff shows as it is: no line of it is a request, and a hyphen is the one of the keyboard."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def title(name: str, section: int) -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))
    return f'.TH "{name}" "{section}" "{day}" "fastsip {__version__}" "fastsip"'


def page(lines: list[str]) -> str:
    """A heading is followed by a paragraph anyway."""
    return re.sub(r"^(\.S[HS] .*\n)\.PP\n", r"\1", "\n".join([*lines, ""]), flags=re.M)


def item(tag: str, text: str) -> list[str]:
    return [".TP", f"\\fB{escaped(tag)}\\fR", escaped(text) or "\\&"]


def as_it_stands(lines: list[str]) -> list[str]:
    return [".PP", ".RS 4", ".nf", *map(escaped, lines), ".fi", ".RE"]


def paragraphs(text: str) -> Iterator[str]:
    """As click shows them: those that begin with \\b keep their lines."""
    for each in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip("\n") for line in each.split("\n")]
        if lines[0].strip() == "\b":
            yield from as_it_stands(lines[1:])
        else:
            yield from (".PP", escaped(" ".join(line.strip() for line in lines)))


# ---------------------------------------------------------------- fastsip(1)


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Each command that does something, in the order of the help."""
    if not isinstance(command, click.Group):
        yield command, context
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below, name
        yield from commands(below, click.Context(below, info_name=name, parent=context))


def of_command(command: click.Command, context: click.Context) -> list[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f'.SS "{escaped(f"{context.command_path} {usage}")}"', *paragraphs(command.help or "")]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and isinstance(parameter, click.Option) and "--help" not in record[0]:
            lines += item(*record)
    if command.epilog and command.epilog != EXITS:
        lines += paragraphs(command.epilog)
    return lines


def fastsip_1() -> str:
    top = click.Context(program, info_name="fastsip")
    lines = [
        title("FASTSIP", 1), ".SH NAME", "fastsip \\- a SIP router for carriers", ".SH SYNOPSIS",
        ".B fastsip", ".I COMMAND", "[options] [CONFIG]", ".br", ".B fastsip", "\\-\\-help | \\-\\-version",
        ".SH DESCRIPTION", *paragraphs(str(files("fastsip").joinpath("__init__.py").read_text().split('"""')[1])),
        ".PP", "Of each command", ".B fastsip COMMAND \\-\\-help", "says the same as this page.", ".SH COMMANDS",
    ]  # fmt: skip
    for command, context in commands(program, top):
        lines += of_command(command, context)
    lines += [".SH EXIT STATUS", escaped(EXITS), ".SH ENVIRONMENT",
              *item(VARIABLE, "The CONFIG of a command that names none.")]  # fmt: skip
    lines += [".SH FILES", *item(" ".join(PLACES), "The CONFIG when nothing names one, the first that is there.")]
    lines += item("/run/fastsip", "Calls in progress (router.run_dir).")
    lines += item("/var/lib/fastsip", "What outlives a boot (router.state_dir).")
    return page([*lines, ".SH SEE ALSO", ".BR fastsip.toml (5)"])


# ---------------------------------------------------------------- fastsip.toml(5)


def whole(value: str, rest: list[str]) -> tuple[str, str, list[str]]:
    """The value, the comment behind it, and of a list over several lines the others, taken from `rest`."""
    value, _, comment = value.partition(" # ") if " # " in value else (value, "", "")
    lines: list[str] = []
    if value.count("[") > value.count("]"):
        while rest and (not lines or not lines[-1].startswith("]")):
            lines.append(rest.pop(0))
    return value.strip(), comment.strip(), lines


def of_key(found: re.Match[str], rest: list[str]) -> list[str]:
    """A key with its value, and what the comment says, which goes on in the lines below."""
    value, comment, lines = whole(found[4], rest)
    while rest and (more := GOES_ON.match(rest[0])):
        comment += " " + more[1].strip()
        rest.pop(0)
    said = item(f"{found[3].strip()} {value}", comment.strip())
    return [*said, ".nf", *map(escaped, lines), ".fi"] if lines else said


def of_table(found: re.Match[str], rest: list[str]) -> list[str]:
    text = found[2] or ""
    while rest and (more := re.match(r"^\s*# +(.*)$", rest[0])) and not KEY.match(rest[0]):
        text += " " + more[1].strip()
        rest.pop(0)
    return [f'.SH "{escaped(found[1])}"', *([escaped(text.strip())] if text.strip() else [])]


def of_example(text: str) -> Iterator[str]:
    """The sections of the page: a table each, a paragraph for each key."""
    rest = text.splitlines()
    while rest:
        line = rest.pop(0)
        if table := TABLE.match(line):
            yield from of_table(table, rest)
        elif key := KEY.match(line):
            yield from of_key(key, rest)
        elif words := line.lstrip("#").strip():
            yield from (".PP", escaped(words))


def fastsip_toml_5(example: str) -> str:
    head, _, tables = example.partition("\n[")
    about = re.sub(r"^# ?", "", head, flags=re.M)
    shown = [".PP", f"This page is made of {escaped(EXAMPLE)}, which can be copied."]
    for each in re.split(r"\n\s*\n", about.strip()):
        lines = each.split("\n")
        shown += as_it_stands(lines) if lines[0].startswith("  ") else [".PP", *map(escaped, lines)]
    return page([
        title("FASTSIP.TOML", 5), ".SH NAME", "fastsip.toml \\- configuration of fastsip, a SIP router",
        ".SH DESCRIPTION", *shown, *of_example("[" + tables), ".SH SEE ALSO", ".BR fastsip (1)",
    ])  # fmt: skip


# ---------------------------------------------------------------- the rest


def completion(shell: str) -> str:
    return subprocess.run([sys.executable, "-m", "fastsip", "completion", shell], capture_output=True, text=True,
                          check=True, timeout=LIMIT_S).stdout  # fmt: skip


def unit() -> str:
    text = files("fastsip").joinpath("systemd/fastsip.service").read_text()
    return text.replace("@PROGRAM@", PROGRAM).replace("@CONFIG@", CONFIG)


def main(out: Path, source: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    made = {"fastsip.1": fastsip_1(), "fastsip.toml.5": fastsip_toml_5((source / "config.example.toml").read_text()),
            "fastsip.service": unit()}  # fmt: skip
    made |= {name: completion(shell) for shell, name in COMPLETIONS.items()}
    for name, text in made.items():
        (out / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else Path(__file__).parents[1])
