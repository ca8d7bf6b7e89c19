"""`fastsip completion SHELL`: what a shell needs to complete commands and options."""

import click
from click.shell_completion import get_completion_class

from fastsip.cli._say import REFUSED, fail, say

VARIABLE = "_FASTSIP_COMPLETE"  # as click derives it from the program's name


@click.command("completion", short_help="Print what bash, zsh or fish need to complete words.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print a script for SHELL.

    \b
    bash  eval "$(fastsip completion bash)"               in ~/.bashrc
    zsh   eval "$(fastsip completion zsh)"                in ~/.zshrc
    fish  fastsip completion fish > ~/.config/fish/completions/fastsip.fish
    """
    made = get_completion_class(shell)
    if made is None:
        fail(f"click knows no {shell}", REFUSED)
    say(made(context.find_root().command, {}, "fastsip", VARIABLE).source(), nl=False)
