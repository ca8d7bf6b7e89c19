"""Listings that are shown anew."""

import functools
import time
from collections.abc import Callable
from typing import Any

import click

from fastsip.cli._say import clear_screen


def watched(command: Callable[..., None]) -> Callable[..., None]:
    """With --watch: again each second until Ctrl-C, in the same place on a terminal."""
    @functools.wraps(command)
    def again(watch: bool, **options: Any) -> None:
        while True:
            if watch:
                clear_screen()
            command(**options)
            if not watch:
                return
            time.sleep(1)

    return click.option("--watch", is_flag=True, help="Show it anew each second.")(again)
