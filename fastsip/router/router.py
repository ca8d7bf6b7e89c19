"""What one router process routes with: made while another one routes, put to work at "go", left as a whole.

Before "go" it reads and adds to what all routers share, the registry and the cells, and no more.
"""

import contextlib
import os
from pathlib import Path

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.measures import Measures, MeasuresError
from fastsip._core.store.partitions import Store
from fastsip._core.transport.names import Names
from fastsip.base.run_dir import CELLS, MEASURES
from fastsip.config import Config
from fastsip.config.secrets import purpose_key
from fastsip.config.targets import most_lines
from fastsip.dispatcher.words import read_words
from fastsip.log import log
from fastsip.observe.counters import StatsFile
from fastsip.process.line import Line
from fastsip.process.marks import Mark, Marks
from fastsip.process.messages import Go
from fastsip.process.quarantine import keep_slot, read_quarantine
from fastsip.router.epochs import note_epoch, read_epochs
from fastsip.router.name_file import recall_answers
from fastsip.router.shards import Shards
from fastsip.routing.compile import admin_lines, compile_names, compile_table, set_admin_states
from fastsip.routing.registry import Registry

SPARE_CELLS = 256  # for destinations that a reload brings


class Router:
    """What routes; everything that must be closed is on `stack`."""

    def __init__(self, config: Config, line: Line, stack: contextlib.ExitStack):
        """All that can be done while another one routes: it reads and adds to what all routers share, and no more."""
        self.config, self.line, self.stack = config, line, stack
        self.registry = stack.enter_context(Registry(config.router.run_dir))
        self.cells = Cells(str(Path(config.router.run_dir) / CELLS), 2 * most_lines(config) + SPARE_CELLS)
        for note in self.cells.notes:
            log.warning(note)
        self.version = 1
        self.table = compile_table(config, self.registry, self.cells, self.version)
        self.admin_lines = admin_lines(self.cells, self.registry, config)
        self.names = Names(config.limits.max_names)
        self.names.set_static(compile_names(config))

    def take_over(self, sockets: list[int], go: Go) -> None:
        """The one thing that calls wait for; all else comes before it or after it."""
        config, count = self.config.router, self.config.router.shards
        self.sockets = sockets
        key = purpose_key(config.placement_key, "partitions")
        self.store = Store(config.run_dir, self.config.limits.max_transactions, read_epochs(config.state_dir), key)
        for ref, generation in go.drop:
            mark = Mark("slot", ref=ref, generation=generation)
            keep_slot(config.state_dir, mark, self.store.drop(ref, generation))
        set_admin_states(self.cells, self.admin_lines, read_words(config.state_dir))
        held = recall_answers(self.names, config.run_dir)
        self.stats = StatsFile(config.run_dir, count)
        self.measures = self.open_measures(count)
        self.measures.follow(self.cells.assigned)
        self.marks = Marks(config.run_dir)
        own = [[(sockets[place * count + i], listener.family) for place, listener in enumerate(self.config.listeners)]
               for i in range(count)]
        self.shards = Shards(self.store, self.cells, self.table, self.stats, self.measures, self.marks,
                             read_quarantine(config.state_dir), self.names, own, self.fall_over, self.stack)
        self.shards.set_draining(go.draining)
        self.taken_up = self.shards.start(held)
        note_epoch(config.state_dir, self.store.epoch)

    def open_measures(self, shards: int) -> Measures:
        """Calls do not wait for room to measure them: without any the numbers end with this router."""
        try:
            return Measures(str(Path(self.config.router.run_dir) / MEASURES), len(self.cells), shards)
        except MeasuresError as error:
            log.error("what is measured of destinations is not kept", extra={"fields": {"why": str(error)}})
            return Measures("", len(self.cells), shards)

    def fall_over(self) -> None:
        """A shard's thread ended by an exception: the next router has all shards."""
        os._exit(1)

    def leave(self, keep: list[int]) -> bool:
        """The batch is finished, what was handed over is taken, all is sent; then nothing is touched any more."""
        if not self.shards.stop(keep):
            return False
        for fd in self.sockets:
            os.close(fd)    # an address that is given up is free as soon as we say so
        return True
