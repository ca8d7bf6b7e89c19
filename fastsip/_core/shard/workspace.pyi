"""Types of a shard's memory; meanings stand in workspace.pyx."""

from typing import final

from fastsip._core.base.ring import Ring, Sleeper
from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Positions
from fastsip._core.dispatcher.measures import Measures
from fastsip._core.routing.table import RoutingTable
from fastsip._core.store.partitions import Store
from fastsip._core.transport.names import Names

@final
class Workspace:
    def __init__(
        self,
        store: Store,
        cells: Cells,
        table: RoutingTable,
        positions: Positions,
        number: int = 0,
        count: int = 1,
        events: Ring | None = None,
        control: Sleeper | None = None,
        names: Names | None = None,
    ) -> None: ...
    @property
    def store(self) -> Store: ...
    @property
    def cells(self) -> Cells: ...
    @property
    def measures(self) -> Measures: ...
    @property
    def events(self) -> Ring | None: ...
    @property
    def control(self) -> Sleeper | None: ...
    @property
    def names(self) -> Names: ...
