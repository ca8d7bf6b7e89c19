"""What runs there: status, counters, reload, and for those who watch over services whether to send anybody here."""

from typing import Any

from fastsip.api import answers
from fastsip.desk.http.access import NOBODY, ORDER
from fastsip.desk.http.problems import Wrong
from fastsip.desk.http.routes import Call, Route, Where
from fastsip.desk.http.types import Counters, Health, Readiness, Reloaded, Status


def status(call: Call) -> dict[str, Any]:
    return answers.status(call.run_dir)


def counters(call: Call) -> dict[str, int]:
    return answers.counted(call.run_dir)


def reload(call: Call) -> dict[str, Any]:
    return answers.reload(call.run_dir)


def healthz(call: Call) -> dict[str, Any]:
    return {"ok": True}


def readyz(call: Call) -> dict[str, Any]:
    found = answers.status(call.run_dir)
    if found["router"] is None:
        raise Wrong(503, "no router routes at this moment")
    if found["draining"]:
        raise Wrong(503, "new calls are refused: it drains")
    return {"ready": True}


ROUTES = (
    Route(method="GET", path="/v1/status", answer=status, help="What runs.", answers=Status),
    Route(method="GET", path="/v1/counters", answer=counters, help="What was counted, by the names of `fastsip stats`.",
          answers=Counters),
    Route(method="POST", path="/v1/reload", answer=reload, help="Take the configuration as its file reads now.",
          needs=ORDER, where=Where.ORDERERS, answers=Reloaded),
    Route(method="GET", path="/healthz", answer=healthz, help="Does this answer?  Needs no token.", needs=NOBODY,
          where=Where.LOOP, answers=Health),
    Route(method="GET", path="/readyz", answer=readyz, help="Does it take new calls?  503 if not.  Needs no token.",
          needs=NOBODY, answers=Readiness),
)  # fmt: skip
