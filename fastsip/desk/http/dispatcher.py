"""Destinations: what is known of them, and what is ordered, as `fastsip dispatcher` has it."""

from collections.abc import Callable
from typing import Any

from fastsip.api import answers
from fastsip.desk.http.access import ORDER
from fastsip.desk.http.problems import Wrong
from fastsip.desk.http.routes import Call, Query, Route, Where
from fastsip.desk.http.types import (
    NewDestination,
    OfDestination,
    Probed,
    Said,
    Sets,
    ShownDestination,
    Some,
    StateSaid,
)
from fastsip.dispatcher.words import LONGEST_WHY, STATES


def listing(call: Call) -> dict[str, Any]:
    return {"sets": answers.sets(call.run_dir, call.query.get("set", []))}


def show(call: Call) -> dict[str, Any]:
    return answers.destination(call.run_dir, call.parts["id"])


def probe(call: Call) -> dict[str, Any]:
    need_some(call.body)
    return answers.probe(call.run_dir, call.body.ids, call.body.sets)


def add(call: Call) -> dict[str, Any]:
    new = call.body
    return answers.add(call.run_dir, str(new.set), destination=new.destination, flags=new.flags, priority=new.priority,
                       attrs=new.attrs)  # fmt: skip


def remove(call: Call) -> dict[str, Any]:
    return answers.remove(call.run_dir, call.parts["id"])


def saying(order: str) -> Callable[[Call], dict[str, Any]]:
    def say(call: Call) -> dict[str, Any]:
        need_some(call.body)
        if len(call.body.why) > LONGEST_WHY:
            raise Wrong(422, f"why is a text of at most {LONGEST_WHY} letters")
        return answers.say(call.run_dir, order, call.body.ids, call.body.sets, call.body.why)

    return say


def need_some(asked: Some) -> None:
    if not asked.ids and not asked.sets:
        raise Wrong(422, "ids or sets: name at least one")


HELP = {
    "enable": "Let destinations take calls.",
    "drain": "Send no new calls to destinations; what belongs to calls goes on.",
    "disable": "Take destinations out: no new calls, no probes.",
}


def order(path: str, answer: Callable[[Call], Any], help: str, answers: type, body: type) -> Route:
    return Route(method="POST", path=path, answer=answer, help=help, needs=ORDER, where=Where.ORDERERS, answers=answers,
                 body=body)  # fmt: skip


ROUTES = (
    Route(method="GET", path="/v1/dispatcher", answer=listing, help="Sets, their destinations, what is known of each.",
          answers=Sets, query=(Query("set", "This one only, by name or setid.", many=True),)),
    *(order(f"/v1/dispatcher/{word}", saying(word), HELP[word], StateSaid, Said) for word in STATES),
    order("/v1/dispatcher/probe", probe, "Probe them now, also those that are disabled.", Probed, Some),
    Route(method="POST", path="/v1/dispatcher", answer=add, help="Add one to the router that runs; no file is read.",
          needs=ORDER, where=Where.ORDERERS, answers=OfDestination, body=NewDestination, status=201),
    Route(method="GET", path="/v1/dispatcher/{id}", answer=show, help="One of them, with its last changes.",
          answers=ShownDestination),
    Route(method="DELETE", path="/v1/dispatcher/{id}", answer=remove, help="Remove one that was added so.",
          needs=ORDER, where=Where.ORDERERS, answers=OfDestination),
)  # fmt: skip
