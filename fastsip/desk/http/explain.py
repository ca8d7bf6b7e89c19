"""What would become of a request: `fastsip explain` in a process of its own, which may take its time and its memory.

The kernels decide, on a shard without sockets.  Such a shard has no place in this process, which may only look.
"""

import subprocess
import sys
from typing import Any

import orjson

from fastsip.desk.http import limits
from fastsip.desk.http.problems import Wrong
from fastsip.desk.http.routes import Call, Route, Where
from fastsip.desk.http.types import Explanation, ToExplain

PROGRAM = (sys.executable, "-m", "fastsip", "explain", "--json")
OPTIONS = {"method": "--method", "call_id": "--call-id", "sender": "--from", "source": "--source", "listen": "--listen"}
LIMIT_S = limits.EXPLAIN_S - 5      # before whoever asked is told that it took too long


def explain(call: Call) -> Any:
    asked: ToExplain = call.body
    if bool(asked.message) == bool(asked.uri):
        raise Wrong(422, "message, or uri: name one of them")
    options = [f"{option}={getattr(asked, field)}" for field, option in OPTIONS.items() if getattr(asked, field)]
    options += [f"--uri={asked.uri}"] if asked.uri else []
    place = [] if asked.uri else ["-"]
    if any("\0" in option for option in options):
        raise Wrong(422, "a value has a letter that no command line can have")
    try:
        status, answer, said = finished([*PROGRAM, f"--config={call.file}", *options, *place], asked.message, call)
    except OSError as error:    # no room for another process, or an option that is too long for one
        raise Wrong(503, f"it cannot be asked: {error.strerror}") from None
    if status:
        raise Wrong(422 if 0 < status < 3 else 503, words_of(said))
    return orjson.loads(answer)


def finished(argv: list[str], message: str, call: Call) -> tuple[int, bytes, bytes]:
    """Status, output and errors of a process that ends with the limit, or with whoever asked."""
    if call.departure.is_over:      # while he waited for his turn
        raise Wrong(504, "nobody waits for it")
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            with call.departure.ending(process.kill):
                answer, said = process.communicate(message.encode(), timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            raise Wrong(504, f"not explained within {LIMIT_S:.0f} s") from None
        finally:
            process.kill()      # of one that has ended nothing
    return process.returncode, answer, said


def words_of(said: bytes) -> str:
    """The last line of what the command said of itself."""
    lines = said.decode(errors="replace").strip().splitlines() or ["it cannot be explained"]
    return lines[-1].removeprefix("fastsip: ")


ROUTES = (
    Route(method="POST", path="/v1/explain", answer=explain, where=Where.EXPLAINERS, answers=Explanation,
          body=ToExplain,
          help="Which rule and destinations a request would meet, and why; nothing is sent."),
)  # fmt: skip
