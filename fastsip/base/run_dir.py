"""Every name in run_dir and in state_dir, once.

`run_dir` is lost with the machine's memory, `state_dir` stays.  Who writes:

    run_dir     lock          supervisor; held as long as it lives
                control.sock  supervisor; operators ask there
                transactions/ router; NN.slots, one for each partition
                cells         router, spare; a line for each destination
                paces         router, spare; what stands beside it: calls a second, latency
                measures      router; what it measured of each, for each shard
                registry      router, spare; names to ids
                names         router; what DNS said
                stats         router; anyone may read it
                marks         router; read by the supervisor when it finds one dead
                mirror/       router; NN.ring of each shard: messages, while somebody looks
                events        router, supervisor; what happened, for whoever follows it
                events.1      supervisor; the file of events before that one
                sent          desk; what was counted of each webhook
                spans         desk; what was counted of spans of calls
    state_dir   secret        the first start
                placement     the first start with a secret
                epochs        router; of the last stores, when it begins another
                quarantine/   supervisor (datagrams), router (slots)
                sources/      who reads a source; what it said last
                away          supervisor; which sources could not be read when that was told last
                targets       supervisor; what DNS said of destinations that are names
                added         supervisor; destinations that operators added
                words         supervisor; what operators have said of destinations
                history       router; the last changes of destinations
                webhooks      desk; up to which event each webhook has been told

_core/store/partitions makes `transactions` by its own knowledge.
"""

from os import PathLike
from pathlib import Path

LOCK = "lock"
CONTROL = "control.sock"
TRANSACTIONS = "transactions"
CELLS = "cells"
PACES = "paces"
MEASURES = "measures"
REGISTRY = "registry"
NAMES = "names"
STATS = "stats"
MARKS = "marks"
MIRROR = "mirror"
EVENTS = "events"
EVENTS_BEFORE = "events.1"
SENT = "sent"
SPANS = "spans"

SECRET = "secret"
PLACEMENT = "placement"
EPOCHS = "epochs"
QUARANTINE = "quarantine"
SOURCES = "sources"
AWAY = "away"
TARGETS = "targets"
ADDED = "added"
WORDS = "words"
HISTORY = "history"
WEBHOOKS = "webhooks"

PARTITIONS = 64


def mirror_file(run_dir: str | PathLike[str], shard: int) -> Path:
    """What one shard shows of its messages."""
    return Path(run_dir) / MIRROR / f"{shard:02}.ring"


def partition_file(run_dir: str | PathLike[str], partition: int) -> Path:
    """One file of the store of transactions."""
    return Path(run_dir) / TRANSACTIONS / f"{partition:02}.slots"
