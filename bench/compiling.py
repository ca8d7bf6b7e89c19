"""What a table costs whose configuration is large: compiled whole, and beside one that differs in a single set.

    python -m bench.compiling [--sets 10000] [--members 1] [--rounds 9]

A source of destinations that reports a change makes the control plane compile one set and take the others as they
stand; this is CPU time of that thread, in ms, the median of the rounds.  Shards are not in the way.
"""

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

import msgspec

from bench.processes import scratch
from bench.reload import tables
from fastsip._core.dispatcher.cells import Cells
from fastsip.config import Config, load_text
from fastsip.routing.compile import Before, compile_table
from fastsip.routing.registry import Registry

ONE_BAR = 0.5  # of a whole compilation, when each set has a rule
SECRET = "0123456789abcdef" * 4


def with_another_weight(config: Config, weight: int) -> Config:
    """The same, but for the weights of the set in the middle."""
    place = len(config.sets) // 2
    group = config.sets[place]
    members = tuple(msgspec.structs.replace(one, weight=weight) for one in group.destinations)
    changed = msgspec.structs.replace(group, destinations=members)
    return msgspec.structs.replace(config, sets=(*config.sets[:place], changed, *config.sets[place + 1 :]))


def cpu_ms(compile_once: Callable[[int], object], rounds: int) -> float:
    found = []
    for number in range(1, 1 + rounds):
        began = time.process_time()
        compile_once(number)
        found.append(1e3 * (time.process_time() - began))
    return median(found)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.compiling", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sets", type=int, default=10_000)
    parser.add_argument("--members", type=int, default=1, help="destinations of each set")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    with scratch() as files:
        (files / "secret").write_text(SECRET)
        (files / "secret").chmod(0o600)
        head = f'[router]\nrun_dir = "{files}"\nstate_dir = "{files}"\nsecret = "file:{files}/secret"\n'
        more = '[[listen]]\nuri = "udp:127.0.0.1:5060"\n[failure.next-media]\non = [503]\n'
        config = load_text(head + more + tables(args.sets, "set", args.members), str(files / "large.toml"))
        with Registry(str(files)) as registry:
            cells = Cells(args.sets * args.members + 1)
            before = Before(config, compile_table(config, registry, cells, 1))
            whole = cpu_ms(lambda number: compile_table(config, registry, cells, number), args.rounds)
            one = cpu_ms(
                lambda number: compile_table(with_another_weight(config, number), registry, cells, number, before),
                args.rounds,
            )
    print(f"{args.sets} sets of {args.members}: whole {whole:.1f} ms, one set of them {one:.1f} ms, {one / whole:.2f}")
    return int(one / whole > ONE_BAR)


if __name__ == "__main__":
    sys.exit(main())
