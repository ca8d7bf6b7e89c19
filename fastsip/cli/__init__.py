"""The command line.  Each command is a file of this package with a click command named `command`.

To add one: write fastsip/cli/NAME.py, or NAME_.py for a word that Python keeps for itself, and put NAME into COMMANDS.
A command's module is imported only when that command runs or help is shown, so that every command starts fast.
No logic lives here.
"""

import sys
from importlib import import_module
from keyword import iskeyword
from typing import Any, NoReturn

import click

from fastsip import __version__
from fastsip.base.plain import reason
from fastsip.cli._say import fail, give_up_output, say

COMMANDS = ("run", "check", "status", "reload", "dispatcher", "drain", "upgrade", "stop", "events", "top", "stats",
            "metrics", "transactions", "trace", "explain", "resolve", "import", "demo", "unit", "completion")


class _Commands(click.Group):
    """Finds a command's module by its name, and says what went wrong in it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command: click.Command = import_module(f"fastsip.cli.{module}").command
        return command

    def main(self, *args: Any, **more: Any) -> NoReturn:
        """Runs the command and ends the program.  No traceback for what is a matter of set-up or of the machine."""
        try:
            code = super().main(*args, **{**more, "standalone_mode": False})
        except click.UsageError as error:
            if error.ctx:
                say(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for help.\n", err=True)
            fail(error.format_message(), error.exit_code)
        except click.ClickException as error:
            fail(error.format_message(), error.exit_code)
        except click.Abort:
            fail("interrupted", 1)
        except OSError as error:
            give_up_output()
            fail(reason(error), 1)
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("fastsip._core."):
                raise
            fail(f"{error.name} is not built; run: make build", 1)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fastsip")
def main() -> None:
    """fastsip: a SIP router for carriers."""
