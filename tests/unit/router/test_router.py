"""What a router does before it routes, where it cannot have all that it wants."""

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.measures import MeasuresError
from fastsip.router import router as router_module
from fastsip.router.router import Router
from tests.unit.config_text import SMALL, read


def test_without_room_to_measure_it_routes_all_the_same(monkeypatch, caplog, scratch):
    """A full tmpfs costs numbers and no calls; the sums of all shards can be read from the router itself."""
    made = router_module.Measures

    def full(path, cells, shards):
        if path:
            raise MeasuresError(f"{path}: 900 bytes wanted, 3 free")
        return made(path, cells, shards)

    monkeypatch.setattr(router_module, "Measures", full)
    router = Router.__new__(Router)
    router.config = read(f'[router]\nrun_dir = "{scratch}"\nshards = 3\n{SMALL}')
    router.cells = Cells(9)
    found = router.open_measures(3)
    assert (found.path, found.shards, found.lines) == ("", 3, 10) and found.read(0)["attempts"] == 0
    assert "what is measured of destinations is not kept" in caplog.text
