"""What it costs that a collector gets a copy of each message: a router with [hep] of everything beside one without.

    python -m bench.collecting [--pairs 30] [--seconds 3] [--rate 1500] [--bar 1.25]

The same binary twice.  The collector is a thread here that throws away what came, a hundred times a second, so that
nobody is woken for each message; the sender pays for the way to its socket, which behind a network card it does not:
--collector names another one, as in a network of its own whose other end is nobody's:

    unshare -n sh -c "ip link set lo up; ip link add far type dummy; ip addr add 10.99.0.1/24 dev far; \
        ip link set far up; python -m bench.collecting --collector 10.99.0.2:9060"
"""

import argparse
import contextlib
import socket
import sys
import threading
from dataclasses import replace

from bench import targets
from bench.pairs import add_pair_arguments, compare
from bench.processes import Process
from bench.targets import Site, start_fastsip

COLLECTED, ALONE = "collected", "fastsip"
RECEIVE_BYTES = 8 << 20
LONGEST = 65_536
LOOK_S = 0.01
SO_RCVBUFFORCE = 33     # Linux; for root alone


class Sink:
    """A collector that counts; stop() says how many came."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with contextlib.suppress(PermissionError):
            self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.place = "{}:{}".format(*self.sock.getsockname())
        self.count, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self) -> None:
        place = bytearray(LONGEST)
        while not self.over.wait(LOOK_S):
            with contextlib.suppress(BlockingIOError):
                while self.sock.recv_into(place):
                    self.count += 1

    def stop(self) -> int:
        self.over.set()
        self.thread.join(10)
        self.sock.close()
        return self.count


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.collecting", description=(__doc__ or "").partition("\n")[0]
    )
    add_pair_arguments(parser, bar=1.25)
    parser.add_argument("--collector", default="", help="ADDRESS:PORT of another one; default: a thread here")
    args = parser.parse_args()
    sink = Sink()
    place = args.collector or sink.place

    def start_collected(site: Site) -> Process:
        return start_fastsip(replace(site, rules=f'[hep]\ncollector = "udp:{place}"\n'))

    targets.TARGETS[COLLECTED] = start_collected
    try:
        status = compare("collecting", COLLECTED, ALONE, args)
    finally:
        count = sink.stop()
    if args.collector:
        return status
    print(f"{count} messages came to the collector")
    return status if count else 2


if __name__ == "__main__":
    sys.exit(main())
