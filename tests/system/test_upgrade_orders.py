"""Who gives orders while the supervisor becomes another program."""

import asyncio

import pytest

from fastsip.api.socket import Refused, ask

from .edge import edge_config
from .lives import command


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


async def test_who_asks_during_an_upgrade_waits_for_the_new_code(home, edge):
    """No operator hears that no router runs while one routes."""
    home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
    upgrade = asyncio.create_task(asyncio.to_thread(command, "upgrade", home.config))
    heard = []

    def ask_on():
        while not upgrade.done():
            try:
                heard.append(next(ask(str(home.place / "run"), "status"))["done"])
            except Refused:     # the old code had taken it up, and was gone
                heard.append("broken off")

    await asyncio.to_thread(ask_on)
    assert (await upgrade).returncode == 0
    assert heard.count("status") > len(heard) // 2
