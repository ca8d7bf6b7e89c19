"""Every name in run_dir and in state_dir, once.

`run_dir` is lost with the machine's memory, `state_dir` stays.  Who writes:

    run_dir     lock          supervisor; held as long as it lives
                control.sock  supervisor; operators ask there
                transactions/ router; NN.slots, one for each partition
                cells         router, spare; a line for each destination
                registry      router, spare; names to ids
                names         router; what DNS said
                stats         router; anyone may read it
                marks         router; read by the supervisor when it finds one dead
    state_dir   secret        the first start
                placement     the first start with a secret
                epochs        router; of the last stores, when it begins another
                quarantine/   supervisor (datagrams), router (slots)
                sources/      who reads a source; what it said last
                targets       supervisor; what DNS said of destinations that are names
                added         supervisor; destinations that operators added
                words         supervisor; what operators have said of destinations
                history       router; the last changes of destinations

_core/store/partitions makes `transactions` by its own knowledge.
"""

from os import PathLike
from pathlib import Path

LOCK = "lock"
CONTROL = "control.sock"
TRANSACTIONS = "transactions"
CELLS = "cells"
REGISTRY = "registry"
NAMES = "names"
STATS = "stats"
MARKS = "marks"

SECRET = "secret"
PLACEMENT = "placement"
EPOCHS = "epochs"
QUARANTINE = "quarantine"
SOURCES = "sources"
TARGETS = "targets"
ADDED = "added"
WORDS = "words"
HISTORY = "history"

PARTITIONS = 64


def partition_file(run_dir: str | PathLike[str], partition: int) -> Path:
    """One file of the store of transactions."""
    return Path(run_dir) / TRANSACTIONS / f"{partition:02}.slots"
