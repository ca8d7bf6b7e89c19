"""How commands print: nothing that came from the wire, a file or a router does anything to the terminal."""

from typing import Any

import click

from fastsip.plain import json_text, printable


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    click.echo(printable(text), err=err, nl=nl)


def say_json(value: Any) -> None:
    """One object on one line."""
    click.echo(json_text(value))


def failure(text: str) -> click.ClickException:
    return click.ClickException(printable(text))
