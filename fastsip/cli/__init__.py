"""The command line.  Each command is a file of this package with a click command named `command`.

To add one: write fastsip/cli/NAME.py and put NAME into COMMANDS.  A command's module is imported only when
that command runs or help is shown, so that every command starts fast.  No logic lives here.
"""

from importlib import import_module

import click

from fastsip import __version__

COMMANDS = ("run", "check", "status", "reload", "drain", "upgrade", "stop", "stats", "transactions", "demo", "unit")


class _Commands(click.Group):
    """Finds a command's module by its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"fastsip.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command; kernels that are not there are a matter of set-up, not a traceback."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("fastsip._core."):
                raise
            raise click.ClickException(f"{error.name} is not built; run: make build") from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fastsip")
def main() -> None:
    """fastsip: a SIP router for carriers."""
