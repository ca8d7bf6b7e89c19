"""What a person at a terminal sees of a command that takes longer than a second: that it works, and since when."""

import contextlib
import sys
import threading
from collections.abc import Iterator

PATIENCE_S = 1.0
LONGEST_S = 3_600.0     # no order of ours lasts so long
CLEAR_S = 1.0           # a terminal that is stopped keeps nobody from going on


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """A bar on stderr that goes when the work is done.  How much is left nobody knows: the router does not say."""
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    watcher = threading.Thread(target=_show, args=(what, over), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(CLEAR_S)


def _show(what: str, over: threading.Event) -> None:
    if over.wait(PATIENCE_S):
        return
    from rich.console import Console  # most commands have ended before they would need it
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
    with contextlib.suppress(OSError), Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.add_task(what, total=None)
        over.wait(LONGEST_S)
