"""What a new configuration changes, and what it cannot change while calls are kept.

Called by supervisor.
"""

from pathlib import Path

from fastsip.config import Config, load_text, read_text
from fastsip.supervisor.sockets import place_of


class StartError(Exception):
    """The router cannot start; the text says why."""


def read_file(file: str) -> tuple[Config, str]:
    """What it says now, read and as it stands.  Takes as long as it is large."""
    if Path(file).is_fifo():
        raise StartError(f"{file} is a pipe: who waits for one may wait for ever")
    text = read_text(file)
    return load_text(text, file), text


def check_change(old: Config, fresh: Config) -> None:
    """StartError: this cannot change while calls are kept."""
    if fresh.router.run_dir != old.router.run_dir:
        raise StartError("router.run_dir changes with a restart only: the calls in progress are there")
    if fresh.router.state_dir != old.router.state_dir:
        raise StartError("router.state_dir changes with a restart only: the secret that calls in progress are signed "
                         "with is there; take it along")
    now, wanted = old.limits.max_transactions, fresh.limits.max_transactions
    if wanted != now:
        raise StartError(f"limits.max_transactions: {wanted} in the file, {now} in use; it changes at a start at which "
                         "no transaction is kept: fastsip drain --then stop, 32 s, then start")


def needs_takeover(old: Config, fresh: Config) -> bool:
    """Do the shards or the sockets change?  All else is in the table."""
    def sockets(config: Config) -> tuple:
        return config.router.shards, [(place_of(one), one.rcvbuf_bytes) for one in config.listeners]

    return sockets(old) != sockets(fresh)
