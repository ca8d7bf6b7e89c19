"""Values of options, written as in the configuration."""

import click

from fastsip.config.errors import Wrong
from fastsip.config.values import duration

DAY_MS = 86_400_000


class Duration(click.ParamType):
    """Milliseconds, from a text such as "30s"."""

    name = "duration"

    def __init__(self, least_ms: int, most_ms: int):
        self._read = duration(least_ms, most_ms)

    def convert(self, value, param, ctx) -> int:
        try:
            return value if isinstance(value, int) else self._read(value)
        except Wrong as wrong:
            self.fail(wrong.allowed, param, ctx)
