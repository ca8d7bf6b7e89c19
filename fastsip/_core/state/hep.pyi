"""Types of what goes to a collector; the datagrams stand in hep.pyx."""

import socket as sockets
from typing import final

LONGEST_DATAGRAM: int
LONGEST_TEXT: int
HEP_BYTES: int

@final
class Hep:
    def __init__(self, socket: sockets.socket, share: float, agent: int, node: bytes, key: bytes) -> None: ...
    @property
    def cuts(self) -> bool: ...
    def send(self) -> tuple[int, int]: ...
