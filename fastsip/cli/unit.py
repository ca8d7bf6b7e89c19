"""`fastsip unit CONFIG`: a unit file for systemd."""

import sys
from importlib.resources import files
from pathlib import Path

import click


@click.command("unit")
@click.argument("config", type=click.Path(), default="/etc/fastsip/fastsip.toml")
def command(config: str) -> None:
    """Print a unit file for systemd that runs the router on CONFIG; README says how to use it."""
    text = files("fastsip").joinpath("systemd/fastsip.service").read_text()
    program = Path(sys.executable).parent / "fastsip"
    click.echo(text.replace("@PROGRAM@", str(program)).replace("@CONFIG@", str(Path(config).absolute())), nl=False)
