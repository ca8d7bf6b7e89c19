"""Nanoseconds per call of single kernels, by pyperf.

    python -m bench.micro [--only parse,edit] [pyperf's options: --fast, -o FILE, ...]

Without -o the JSON goes into bench/results/.

A kernel takes part by a door: a Python-visible function that runs it `loops` times
without the GIL and returns how often it went well.  A door that is missing is an
error, and so is one that returns less than `loops`: a kernel that refuses its
input at once would look fast.
"""

import importlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import pyperf

from bench.build import HERE
from bench.load import now, result_path
from bench.targets import commit

BODY = (
    b"v=0\r\no=bench 3868210021 3868210021 IN IP4 192.0.2.4\r\ns=call\r\nc=IN IP4 192.0.2.4\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 8 0 9 18 96 97 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    b"a=rtpmap:9 G722/8000\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:96 opus/48000/2\r\n"
    b"a=fmtp:96 useinbandfec=1; maxplaybackrate=16000; stereo=0\r\na=rtpmap:97 AMR-WB/16000\r\n"
    b"a=fmtp:97 octet-align=1; mode-change-capability=2\r\na=rtpmap:101 telephone-event/8000\r\n"
    b"a=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:60\r\na=sendrecv\r\n"
)
# 1.26 kB with what a router reads: two Vias, Route, Record-Route.
INVITE = (
    b"INVITE sip:8001@203.0.113.4:5060 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK7c1d20f1.4a1;received=192.0.2.9\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bK-i0000002a0000000112345678;rport=5060\r\n"
    b"Route: <sip:203.0.113.4:5060;lr>\r\nRecord-Route: <sip:192.0.2.9:5060;lr;ftag=f0000002a>\r\n"
    b'Max-Forwards: 69\r\nFrom: "Bench" <sip:bench@example.com>;tag=f0000002a00000001\r\n'
    b"To: <sip:8001@203.0.113.4:5060>\r\nCall-ID: 0000002a0000000112345678@192.0.2.4\r\nCSeq: 1 INVITE\r\n"
    b"Contact: <sip:bench@192.0.2.4:5060>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\n"
    b"Supported: timer, replaces\r\nUser-Agent: Bench Gateway 1.0\r\nSession-Expires: 1800\r\n"
    b'P-Asserted-Identity: "Bench" <sip:+493012345678@example.com;user=phone>\r\nMin-SE: 90\r\n'
    b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


@dataclass(frozen=True)
class Kernel:
    """`door` is module:function; `setup` gives its arguments before `loops`."""

    name: str
    door: str
    setup: Callable[[], tuple] = tuple


def make_chooser(destinations: int):
    """A call-id set (weighted rendezvous) of that many destinations."""
    from bench.consistency import make_table
    from fastsip._core.dispatcher.cells import Cells
    from fastsip._core.dispatcher.chooser import Chooser

    return Chooser(make_table(destinations), Cells(destinations), 0)


def make_held(kind: str) -> tuple:
    """100,000 transactions or timers that are there while one is looked up or armed."""
    return (getattr(importlib.import_module("bench.kernels.loops"), kind)(100_000),)


# One line per kernel: edit is what forwarding changes, choose the rendezvous among 10 destinations, match a
# transaction among 100,000, timer one disarmed and armed again among 100,000.
KERNELS = (
    Kernel("parse", "tests.kernels.parser_doors:bench_parse", lambda: (INVITE,)),
    Kernel("index", "tests.kernels.parser_doors:bench_index", lambda: (INVITE,)),
    Kernel("edit", "bench.kernels.loops:bench_edit", lambda: (INVITE,)),
    Kernel("choose", "bench.kernels.loops:bench_choose", lambda: (make_chooser(10),)),
    Kernel("match", "bench.kernels.loops:bench_match", lambda: make_held("Transactions")),
    Kernel("timer", "bench.kernels.loops:bench_timer", lambda: make_held("Timers")),
)


def open_door(kernel: Kernel) -> Callable[..., int]:
    """The function behind the path; LookupError says what is missing."""
    module, _, function = kernel.door.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as missing:
        raise LookupError(f"{kernel.name}: {kernel.door}: {missing}") from None


def timer_of(kernel: Kernel, door: Callable[..., int]) -> Callable[[int], float]:
    """Seconds of `loops` rounds, for pyperf."""
    arguments = kernel.setup()

    def run(loops: int) -> float:
        start = time.perf_counter()
        good = door(*arguments, loops)
        elapsed = time.perf_counter() - start
        if good != loops:
            raise RuntimeError(f"{kernel.name}: {good} of {loops} rounds went well")
        return elapsed

    return run


def chosen(text: str | None) -> list[Kernel]:
    if text is None:
        return list(KERNELS)
    names = text.split(",")
    unknown = set(names) - {kernel.name for kernel in KERNELS}
    if unknown:
        raise LookupError(
            f"no kernel {', '.join(sorted(unknown))}: {', '.join(k.name for k in KERNELS)} are known"
        )
    return [kernel for kernel in KERNELS if kernel.name in names]


def pass_on(command: list[str], args) -> None:
    """pyperf starts this module again for each worker, with the same choice."""
    if args.only:
        command += ["--only", args.only]


def main() -> int:
    os.chdir(HERE.parent)  # -m bench.micro must be found in the workers, too
    runner = pyperf.Runner(program_args=("-m", "bench.micro"), add_cmdline_args=pass_on)
    runner.argparser.add_argument("--only", help="names of kernels, with commas")
    args = runner.parse_args()
    try:
        kernels = chosen(args.only)
    except LookupError as unknown:
        print(f"bench.micro: {unknown}", file=sys.stderr)
        return 2
    doors, missing = [], []
    for kernel in kernels:
        try:
            doors.append((kernel, open_door(kernel)))
        except LookupError as absent:
            missing.append(str(absent))
    if missing:
        print("bench.micro: doors are missing:\n  " + "\n  ".join(missing), file=sys.stderr)
        return 2
    if not args.worker and not args.output:
        args.output = str(result_path("micro", now(), commit()))
    for kernel, door in doors:
        runner.bench_time_func(kernel.name, timer_of(kernel, door))
    if not args.worker:
        print(f"written to {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
