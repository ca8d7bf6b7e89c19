"""Kamailio's doors: JSON-RPC 2.0 at /RPC, as its module jsonrpcs answers over HTTP, for tools that know that one.

What is said of a destination there is said here in our words: active is enabled, inactive (no new calls, probes go on)
is draining, disabled is disabled.  Trying is found out by calls and probes, and nobody can say it.
"""

import platform
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from fastsip import __version__
from fastsip.api import answers
from fastsip.api.answers import Unknown, Unreadable
from fastsip.api.socket import NotRunning, Refused
from fastsip.base.plain import json_text
from fastsip.desk.http import limits
from fastsip.desk.http.access import ORDER, READ
from fastsip.desk.http.routes import Call, Route, Text, Where
from fastsip.desk.http.types import RpcAnswer
from fastsip.log import log
from fastsip.observe.as_kamailio import records
from fastsip.observe.kamailio_metrics import tm_stats
from fastsip.observe.names import as_written

# JSON-RPC 2.0 section 5.1; 500 is what Kamailio says when a method fails.
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INTERNAL, FORBIDDEN, FAILED = -32700, -32600, -32601, -32603, -32001, 500
BY = "by JSON-RPC"      # the reason that is kept with a state
LETTERS = {"a": "enable", "i": "drain", "d": "disable", "p": "", "t": ""}
NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
TOO_LONG = {"error": {"code": INTERNAL, "message": "Internal error", "data": "the answers of one batch have at most "
                      f"{limits.MOST_BATCH_ANSWER >> 20} MiB: ask for less at once"}}
NOT_SAID = "trying is found out by calls and probes: nobody can say it"

Params = list[Any]


class RpcError(Exception):
    """The method has failed; `why` in our words."""

    def __init__(self, message: str, why: str = "", code: int = FAILED):
        super().__init__(message)
        self.code, self.why = code, why


class Method(msgspec.Struct, frozen=True):
    """What answers, and what is needed for it."""

    answer: Callable[[Call, Params], Any]
    needs: int = READ


# ---------------------------------------------------------------- JSON-RPC


def where_of(call: Call) -> Where:
    """Who looks keeps none waiting who orders, and none that only looks waits for orders."""
    if call.may < ORDER:
        return Where.READERS
    try:
        asked = msgspec.json.decode(call.body)
    except NO_JSON:
        return Where.READERS
    calls = asked if isinstance(asked, list) else [asked]
    return Where.ORDERERS if any(is_call(each) and is_order(each["method"]) for each in calls) else Where.READERS


def rpc(call: Call) -> Any:
    """The answer, or those of a batch; nothing where nobody wants one."""
    try:
        asked = msgspec.json.decode(call.body)
    except NO_JSON:
        return error_of(None, PARSE_ERROR, "Parse error")
    if not isinstance(asked, list):
        return answer(call, asked) or Text("", "text/plain", 204)
    if not asked or len(asked) > limits.MOST_BATCH:
        return error_of(None, INVALID_REQUEST, "Invalid Request", f"a batch has 1 to {limits.MOST_BATCH} calls")
    found = [*batch(call, asked)]
    return Text(f"[{','.join(found)}]\n", "application/json") if found else Text("", "text/plain", 204)


def batch(call: Call, asked: list[Any]) -> Iterator[str]:
    """Answers as JSON.  Orders are all done; what is looked up, and too long or behind that, is refused."""
    left = limits.MOST_BATCH_ANSWER
    for each in asked:
        looks = is_call(each) and not is_order(each["method"])
        found = answer(call, each) if left > 0 or not looks else None
        text = json_text(found) if found else ""
        if looks and "id" in each and (found is None or len(text) > left):
            left, text = 0, json_text({"jsonrpc": "2.0", **TOO_LONG, "id": each["id"]})
        elif looks:
            left -= len(text)
        if text:
            yield text


def answer(call: Call, asked: Any) -> dict[str, Any] | None:
    """None: nobody wants to hear of it; what nobody wants to hear, or nobody waits for, is not looked up."""
    if not is_call(asked):
        return error_of(None, INVALID_REQUEST, "Invalid Request")
    if not is_order(asked["method"]) and ("id" not in asked or call.departure.is_over):
        return None
    params = asked.get("params", [])
    found = result(call, asked["method"], params if isinstance(params, list) else list(params.values()))
    return {"jsonrpc": "2.0", **found, "id": asked["id"]} if "id" in asked else None


def is_order(name: str) -> bool:
    return name in METHODS and METHODS[name].needs == ORDER


def is_call(asked: Any) -> bool:
    return (isinstance(asked, dict) and asked.get("jsonrpc") == "2.0" and isinstance(asked.get("method"), str)
            and isinstance(asked.get("params", []), list | dict)
            and isinstance(asked.get("id"), str | int | float | None) and not isinstance(asked.get("id"), bool))


def result(call: Call, name: str, params: Params) -> dict[str, Any]:
    """`result` or `error`."""
    method = METHODS.get(name)
    if method is None:
        return fault(NO_METHOD, "Method Not Found")
    if method.needs > call.may:
        return fault(FORBIDDEN, "Forbidden", "this token is for those who only look")
    try:
        found = method.answer(call, params)
        if method.needs == ORDER:
            log.info("ordered over HTTP", extra={"fields": {"method": name, "params": params[:4]}})
        return {"result": found}
    except RpcError as error:
        return fault(error.code, str(error), error.why)
    except (Refused, Unknown, Unreadable, NotRunning) as error:
        return fault(FAILED, "Failed", str(error))


def fault(code: int, message: str, why: str = "") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **({"data": why} if why else {})}}


def error_of(identity: Any, code: int, message: str, why: str = "") -> dict[str, Any]:
    return {"jsonrpc": "2.0", **fault(code, message, why), "id": identity}


# ---------------------------------------------------------------- dispatcher


def listing(call: Call, params: Params) -> dict[str, Any]:
    found = records(answers.sets(call.run_dir))
    if params[:1] == ["short"]:
        for one in (target["DEST"] for group in found["RECORDS"] for target in group["SET"]["TARGETS"]):
            one.pop("ATTRS", None)
    return found


def reload(call: Call, params: Params) -> str:
    try:
        answers.reload(call.run_dir)
    except Refused as refused:
        raise RpcError("Reload Failed", str(refused)) from None
    return "Ok. Dispatcher successfully reloaded."


def set_state(call: Call, params: Params) -> str:
    """State, set, and the URI of a destination or "all"."""
    state, group, address = wanted(params, 3)
    order = order_of(state)
    ids = [] if address == "all" else members(call, group, address)
    if not ids and address != "all":
        raise RpcError("State Update Failed", f"set {group} has no destination {address}")
    try:
        answers.say(call.run_dir, order, ids, [] if ids else [group], BY)
    except Refused as refused:
        raise RpcError("State Update Failed", str(refused)) from None
    return "Ok. Dispatcher state updated."


def order_of(state: str) -> str:
    """Of letters as `dp`."""
    letters = state.lower()
    if not letters or not set(letters) <= LETTERS.keys():
        raise RpcError("Unknown State Value", f"letters of {', '.join(LETTERS)}")
    if "t" in letters:
        raise RpcError("State Update Failed", NOT_SAID)
    return next((LETTERS[letter] for letter in "di" if letter in letters), "enable")


def add(call: Call, params: Params) -> str:
    """Set, URI, and of flags, priority and attributes those that there are."""
    group, address = wanted(params, 2)
    numbers = [value for value in params[2:] if isinstance(value, int)][:2]
    texts = [value for value in params[2:] if isinstance(value, str)][:1]
    columns = dict(zip(("flags", "priority"), numbers, strict=False)) | dict(zip(("attrs",), texts, strict=False))
    try:
        answers.add(call.run_dir, group, destination=address, **columns)
    except Refused as refused:
        raise RpcError("Adding dispatcher dst failed", str(refused)) from None
    return "Ok. Dispatcher destination added."


def remove(call: Call, params: Params) -> str:
    """Set and URI.  Only what was added so can be removed."""
    group, address = wanted(params, 2)
    ids = members(call, group, address)
    if not ids:
        raise RpcError("Removing dispatcher dst failed", f"set {group} has no destination {address}")
    try:
        for identity in ids:
            answers.remove(call.run_dir, identity)
    except Refused as refused:
        raise RpcError("Removing dispatcher dst failed", str(refused)) from None
    return "Ok. Dispatcher destination removed."


def wanted(params: Params, count: int) -> list[str]:
    """The first ones, as texts: a number of a set may be one."""
    found = [str(value) for value in params[:count] if isinstance(value, str | int) and not isinstance(value, bool)]
    if len(found) < count:
        raise RpcError("Invalid Parameters")
    return found


def members(call: Call, group: str, address: str) -> list[str]:
    """Ids of the destinations of this set that have this URI."""
    try:
        sets = answers.sets(call.run_dir, [group])
    except Unknown:
        return []
    return [one["id"] for each in sets for one in as_written(each) if one["uri"].lower() == address.lower()]


# ---------------------------------------------------------------- core, tm


def uptime(call: Call, params: Params) -> dict[str, Any]:
    seconds = answers.status(call.run_dir)["routes_since_s"] or 0
    now = time.time()
    return {"now": time.ctime(now), "up_since": time.ctime(now - seconds), "uptime": seconds}


def version(call: Call, params: Params) -> str:
    return f"fastsip {__version__} ({platform.machine()}/{platform.system().lower()})"


def stats(call: Call, params: Params) -> dict[str, int]:
    """Those that mean here what they mean there."""
    return tm_stats(answers.counted(call.run_dir))


def methods(call: Call, params: Params) -> list[str]:
    return sorted(METHODS)


METHODS = {
    "dispatcher.list": Method(listing),
    "dispatcher.reload": Method(reload, ORDER),
    "dispatcher.set_state": Method(set_state, ORDER),
    "dispatcher.add": Method(add, ORDER),
    "dispatcher.remove": Method(remove, ORDER),
    "tm.stats": Method(stats),
    "core.uptime": Method(uptime),
    "core.version": Method(version),
    "system.listMethods": Method(methods),
}

ROUTES = (
    Route(method="POST", path="/RPC", answer=rpc, help="JSON-RPC 2.0 by Kamailio's names, also in batches.",
          where=where_of, answers=RpcAnswer, body=RpcAnswer, raw=True),
)  # fmt: skip
