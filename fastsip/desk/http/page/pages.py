"""Which paths the page has, who may, and what each answers.

With scripts, parts of it are asked for again when the stream says so; without, the whole says when it was made and a
browser loads it again.  Orders are forms, answered by a part or by another look at the whole.
"""

import contextlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import msgspec

from fastsip.api import answers
from fastsip.api.answers import Unreadable
from fastsip.api.socket import NotRunning, Refused
from fastsip.desk.http import limits
from fastsip.desk.http.access import ORDER
from fastsip.desk.http.explain import explain
from fastsip.desk.http.page import timeline
from fastsip.desk.http.page.overview import LONGEST_QUERY, SORTS, STATES, Overview, Query, Row, found, rate_of
from fastsip.desk.http.page.render import HTML, Renderer
from fastsip.desk.http.page.stream import Stream
from fastsip.desk.http.problems import Wrong
from fastsip.desk.http.routes import Call, Route, Text, Where
from fastsip.desk.http.types import ToExplain
from fastsip.dispatcher.history import Change
from fastsip.dispatcher.words import LONGEST_ONCE, LONGEST_WHY, Press
from fastsip.dispatcher.words import STATES as ORDERS
from fastsip.log import log

FAILURES_SHOWN = 20
NO_FORM = "this form is of another release of the page: load the page again, then order"
METHODS = ("INVITE", "OPTIONS", "MESSAGE", "REGISTER", "SUBSCRIBE")


class Pages:
    """What is answered, in threads.  In call.parts stands `part` when a part of the page is wanted, and `session` for
    who can sign out.
    """

    def __init__(self, stream: Stream):
        self.stream, self.render = stream, Renderer()
        self._fragments: OrderedDict[tuple[Any, ...], str] = OrderedDict()

    def routes(self) -> tuple[Route, ...]:
        """Not among those of the API: they are for people, and change as the page does."""
        def get(path: str, answer: Callable[[Call], Text]) -> Route:
            return Route(method="GET", path=path, answer=answer, help="")

        def post(path: str, answer: Callable[[Call], Text], where: Where, **more: Any) -> Route:
            return Route(method="POST", path=path, answer=answer, help="", where=where, **more)

        seen = (
            get("/", self.index), get("/page/destinations", self.destinations), get("/page/failures", self.failures),
            get("/destination", self.destination), get("/explain", self.to_explain),
        )  # fmt: skip
        heads = (msgspec.structs.replace(route, method="HEAD") for route in seen)
        return (
            *seen, *heads,
            post("/explain", self.explain, Where.EXPLAINERS),
            post("/page/order", self.order, Where.ORDERERS, needs=ORDER),
        )  # fmt: skip

    # ------------------------------------------------------------ the whole

    def index(self, call: Call) -> Text:
        """Without a supervisor that answers with what was known last."""
        query, overview = query_of(call), self.stream.overview
        trouble = self.stream.trouble
        try:
            overview = self.stream.look_at_destinations()
            trouble = trouble or self.stream.destinations.trouble()
        except (Refused, NotRunning, Unreadable, TimeoutError) as error:
            trouble = str(error)
        listed, running = "", ""
        if overview:
            listed, running = self._listed(call, overview, query), self._status(overview)
        return self._page(call, "index.html", overview=overview, trouble=trouble, query=query, listed=listed,
                          running=running, failed=self._failed(), again=f"/{asked_again(query)}",
                          **self._numbers(), **new_form())  # fmt: skip

    def _page(self, call: Call, template: str, status: int = 200, **values: Any) -> Text:
        """A whole one."""
        return Text(self.render.html(template, may_order=call.may == ORDER, signed_in=bool(call.parts.get("session")),
                                     **values), HTML, status)  # fmt: skip

    def _numbers(self) -> dict[str, Any]:
        watch = self.stream.watch
        points = [*watch.points]
        return {
            "now": points[-1] if points else None, "began": watch.began, "states": STATES, "sorts": SORTS,
            "codes": sorted(watch.minute.items(), key=lambda one: -one[1]), "longest_why": LONGEST_WHY,
        }  # fmt: skip

    # ------------------------------------------------------------ parts of it

    def destinations(self, call: Call) -> Text:
        query = query_of(call)
        overview = self.stream.look_at_destinations()
        listed = self._listed(call, overview, query)
        running = self._status(overview, part=True)
        return Text(running + listed, HTML, headers={"HX-Replace-Url": f"/{asked_again(query)}"})

    def _listed(self, call: Call, overview: Overview, query: Query) -> str:
        """The same for all who ask for the same at the same moment."""
        key = (overview.number, call.may, query)
        with contextlib.suppress(KeyError):
            return self._fragments[key]
        rows = found(overview, query)
        pages = max(1, -(-len(rows) // limits.ROWS))
        page = min(query.page, pages)
        here = rows[(page - 1) * limits.ROWS : page * limits.ROWS]
        html = self.render.html(
            "destinations.html", rows=[(row, self._line(overview, row)) for row in here], query=query, page=page,
            pages=pages, count=len(rows), overview=overview, may_order=call.may == ORDER,
            again=lambda **other: asked_again(msgspec.structs.replace(query, **other)), width=timeline.WIDTH,
        )  # fmt: skip
        self._fragments[key] = html
        while len(self._fragments) > limits.MOST_FRAGMENTS:
            with contextlib.suppress(KeyError):     # another thread was first
                self._fragments.popitem(last=False)
        return html

    @staticmethod
    def _line(overview: Overview, row: Row) -> dict[str, Any]:
        """The last hour of it."""
        changes = overview.changes.get(row.id, [])
        now = overview.at
        return {"health": timeline.of_health(changes, now), "admin": timeline.of_operators(changes, now)}

    def _status(self, overview: Overview, *, part: bool = False) -> str:
        """What runs; as a part it finds its place in the page by itself."""
        return self.render.html("status.html", status=overview.status, at=overview.at, part=part)

    def failures(self, call: Call) -> Text:
        return Text(self._failed(), HTML)

    def _failed(self) -> str:
        overview = self.stream.overview
        uris = {row.id: row.uri for row in overview.rows} if overview else {}
        version = self.stream.watch.failures.version
        last = [(one, uris.get(one.destination, "")) for one in self.stream.watch.failures.last(FAILURES_SHOWN)]
        return self.render.html("failures.html", failures=last, version=version, began=self.stream.watch.began)

    # ------------------------------------------------------------ one destination

    def destination(self, call: Call) -> Text:
        identity = value_of(call, "id")
        one = answers.destination(call.run_dir, identity)
        changes = [timeline.facts(msgspec.convert(change, Change)) for change in reversed(one["changes"])]
        return self._page(call, "destination.html", one=one, changes=changes, longest_why=LONGEST_WHY,
                          rate=rate_of(one, self.stream.watch.rates), **new_form())  # fmt: skip

    def order(self, call: Call) -> Text:
        """The button that was pressed says which, its value the state that it was drawn for, and of whom."""
        word = next((word for word in ORDERS if call.body.get(word)), "")
        if not word:
            raise Wrong(422, "enable, drain or disable: name one of them, and a destination")
        why, (was, _, identity) = call.body.get("why", "").strip(), call.body[word].partition(" ")
        if len(why) > LONGEST_WHY:
            raise Wrong(422, f"why is a text of at most {LONGEST_WHY} letters")
        press = press_of(call.body, was, time.monotonic())
        said = answers.say(call.run_dir, word, [identity], [], why, press)
        self.stream.destinations.stale()
        log.info("ordered on the page", extra={"fields": {"order": word, "destination": identity, "why": why}})
        if not call.parts.get("part"):
            of_one = f"/destination?{urlencode({'id': identity})}"
            seen_from = of_one if call.body.get("of_one") else f"/{asked_again(query_of(call))}"
            return Text("", HTML, 303, {"Location": seen_from})
        empty = f" Nobody is left in {', '.join(said['empty'])}." if said["empty"] else ""
        words = f"{identity} is {ORDERS[word]}{'' if said['changed'] else ' already'}.{empty}"
        if said.get("again"):
            words = f"Asked twice, ordered once: {words}"
        html = self.render.html("said.html", words=words, is_wrong=bool(empty))
        return Text(html, HTML, headers={"HX-Trigger": "fresh"})

    # ------------------------------------------------------------ explain

    def to_explain(self, call: Call) -> Text:
        """Asks for nothing yet: a link alone begins no process."""
        return self._explain_page(call, {name: value_of(call, name) for name in ("uri", "method", "from", "source")})

    def explain(self, call: Call) -> Text:
        """Of the fields of the form those that say something."""
        fields = {name: call.body.get(name, "").strip() for name in ("uri", "method", "from", "source", "listen")}
        message = call.body.get("message", "").strip()
        asked = {name: value for name, value in (fields | {"message": message}).items() if value}
        if message:
            asked.pop("method", None)
        try:
            result = explain(msgspec.structs.replace(call, body=msgspec.convert(asked, ToExplain)))
        except Wrong as wrong:
            return self._explain_page(call, fields, wrong=str(wrong), message=message, status=wrong.status)
        return self._explain_page(call, fields, result=result, message=message)

    def _explain_page(self, call: Call, fields: dict[str, str], *, status: int = 200, wrong: str = "",
                      result: dict[str, Any] | None = None, message: str = "") -> Text:  # fmt: skip
        return self._page(call, "explain.html", status, fields=fields, methods=METHODS, wrong=wrong, result=result,
                          message=message)  # fmt: skip

    # ------------------------------------------------------------ who is not let in, and what goes wrong

    def sign_in(self, wrong: str = "", status: int = 200) -> Text:
        return Text(self.render.html("sign-in.html", wrong=wrong), HTML, status)

    def problem(self, status: int, detail: str, *, part: bool) -> Text:
        template = "said.html" if part else "problem.html"
        html = self.render.html(template, words=detail, is_wrong=True, title=HTTPStatus(status).phrase)
        return Text(html, HTML, status)


def new_form() -> dict[str, Any]:
    """What makes orders of this look at the page its own: a text, and when that was, in seconds of our clock."""
    return {"once": secrets.token_hex(16), "drawn": f"{time.monotonic():.3f}"}


def press_of(form: dict[str, str], was: str, now: float) -> Press:
    """pressed: when, by our clock as a script knows it from us; who has no scripts sends only when the form was made.

    now: time.monotonic.  Wrong: it was too long ago, or is yet to come, as after a boot of this machine.
    """
    once, (name, limit_s) = form.get("once", ""), ("drawn", limits.FORM_S)
    if "pressed" in form:
        name, limit_s = "pressed", limits.PRESS_S
    try:
        at = float(form.get(name, ""))
    except ValueError:
        raise Wrong(422, NO_FORM) from None
    if not 0 < len(once) <= LONGEST_ONCE or was not in ORDERS.values():
        raise Wrong(422, NO_FORM)
    if not -limits.AHEAD_S <= now - at <= limit_s:      # nor is nan
        when = f"the page was made more than {limit_s:.0f} s ago: load it again, then order"
        if name == "pressed":
            when = f"the button was not pressed within the last {limit_s:.0f} s: look, and order again"
        raise Wrong(409, f"nothing has changed, as {when}")
    return Press(once=once, was=was, until=min(at, now) + limit_s)


def value_of(call: Call, name: str) -> str:
    return call.query.get(name, [""])[0]


def query_of(call: Call) -> Query:
    """From the address, or from a form that was sent from there; what makes no sense is as if it were not there."""
    def value(name: str) -> str:
        return call.body.get(name, "") if isinstance(call.body, dict) else value_of(call, name)

    page, state, sort = value("page"), value("state"), value("sort")
    is_page = page.isascii() and page.isdigit() and len(page) < 7
    return Query(text=value("q").strip()[:LONGEST_QUERY], state=state if state in STATES else "",
                 sort=sort if sort in SORTS else "", page=max(1, int(page)) if is_page else 1)  # fmt: skip


def asked_again(query: Query) -> str:
    """The address that means the same."""
    pairs = {"q": query.text, "state": query.state, "sort": query.sort, "page": query.page if query.page > 1 else ""}
    text = urlencode({name: value for name, value in pairs.items() if value})
    return f"?{text}" if text else ""
