"""Each checker can fail: a hand-made run in which its rule is broken is caught, and the same run done right is not."""

from types import SimpleNamespace

import pytest

from tests.simulate.checks import Violation, make_checks
from tests.simulate.message import Msg
from tests.simulate.world import EDGE, PRIVATE, SECRET, Destination, Group, Plan, draw_world

ALICE = ("10.0.0.1", 5060)
BOB = ("10.0.10.1", 5060)
CAROL = ("10.0.10.2", 5060)
T1 = 500
CALLER_VIA = "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa"
OURS = "SIP/2.0/UDP 10.0.0.254:5060;branch=z9hG4bK"


class Run:
    """A world of two destinations, and what a simulation offers to its checks."""

    def __init__(self, **changes):
        members = (Destination(1, *BOB), Destination(2, *CAROL))
        policy = {"on": [], "mark": "suspect", "mark_last": False}
        group = Group(1, "1", 0, members, policy=policy, dialog_policy={"on": []}, border=changes.pop("kept", False))
        self.world = draw_world(1)
        plan = Plan(1, (group,))
        settled = {"t1": T1, "t2": 4_000, "t4": 5_000, "c": 60_000, "listeners": 1, "trusted": True, "spoil": 0.0,
                   "plan": plan, "border": False}  # fmt: skip
        for name, value in {**settled, **changes}.items():
            setattr(self.world, name, value)
        self.now, self.messages, self.outcome, self.cause, self.seed = 0, 0, "sent", None, 1
        self.plans, self.told = [plan], {}
        cells = SimpleNamespace(assigned={1: 0, 2: 1}, read=lambda index: SimpleNamespace(health=3))
        self.router = SimpleNamespace(
            plan=plan, cells=cells, rigs=[], complaints=list, live=list, shed_before=0, full_before=0, shed=int,
            full=int,
        )
        self.checks = make_checks(self)

    def fail(self, rule: str, text: str, call_id: str) -> None:
        raise Violation(self.seed, self.now, rule, text, [])

    def wait(self, ms: int) -> "Run":
        self.now += ms
        return self

    def comes(self, raw: bytes, source=ALICE) -> "Run":
        msg = self.cause = Msg(raw)
        self.messages += 1
        for check in self.checks:
            check.incoming(msg, source, 0)
        return self

    def leaves(self, raw: bytes, to=BOB) -> "Run":
        for check in self.checks:
            check.outgoing(Msg(raw), to, 0)
        return self

    def ends(self) -> None:
        self.now += 10_000_000
        for check in self.checks:
            check.finish()


def request(method="INVITE", vias=(CALLER_VIA,), hops=70, ruri="sip:1000@example.net", extra="", cseq=None, to="",
            body=""):  # fmt: skip
    lines = [f"{method} {ruri} SIP/2.0", *(f"Via: {via}" for via in vias), f"Max-Forwards: {hops}"]
    lines += ["From: <sip:a@x>;tag=1", f"To: <sip:b@x>{to}", "Call-ID: c", f"CSeq: 1 {cseq or method}"]
    return ("\r\n".join(lines) + f"\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}").encode()


def forwarded(branch="one", method="INVITE", **parts):
    return request(method, (OURS + branch, CALLER_VIA), parts.pop("hops", 69), **parts)


def own(branch="one", method="CANCEL", **parts):
    return request(method, (OURS + branch,), **parts)


def response(status, vias=(CALLER_VIA,), method="INVITE", tag=";tag=2", extra=""):
    lines = [f"SIP/2.0 {status} X", *(f"Via: {via}" for via in vias), "From: <sip:a@x>;tag=1", f"To: <sip:b@x>{tag}"]
    return ("\r\n".join(lines) + f"\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n{extra}Content-Length: 0\r\n\r\n").encode()


def answered(status, branch="one", **parts):
    """A callee's response, as it arrives here."""
    return response(status, (OURS + branch, CALLER_VIA), **parts)


def asked(**changes) -> Run:
    """The INVITE came, was answered 100 and sent on to BOB."""
    return Run(**changes).comes(request()).leaves(response(100, tag=""), ALICE).leaves(forwarded())


def ring(run: Run) -> Run:
    return run.wait(100).comes(answered(180), BOB).leaves(response(180), ALICE)


def refused(run: Run, status=404, heard=404) -> Run:
    return run.comes(answered(heard), BOB).leaves(own(method="ACK", to=";tag=2"), BOB).leaves(response(status), ALICE)


BROKEN = {
    # syntax
    "20.14": lambda: asked().leaves(forwarded("two").replace(b"Content-Length: 0", b"Content-Length: 7"), CAROL),
    "8.1.1.5": lambda: asked().leaves(own(cseq="INVITE")),
    "7.3.1": lambda: asked().leaves(forwarded("two", extra="Call-ID: c\r\n"), CAROL),
    "8.1.1:": lambda: asked().leaves(response(180).replace(b";tag=1", b""), ALICE),
    # book
    "16.6 item 8: our Via": lambda: Run().comes(request()).leaves(request()),
    "16.6: what is sent on": lambda: Run().leaves(forwarded()),
    "17.2.2: a repeated": lambda: asked().leaves(forwarded(), CAROL),
    "17.1.1.3: a CANCEL has the branch": lambda: asked().leaves(own("other")),
    # targets
    "nothing is sent to ourselves": lambda: Run().comes(request()).leaves(forwarded(), EDGE),
    "16.5: the target set": lambda: Run().comes(request()).leaves(forwarded(), ("192.0.2.1", 5060)),
    # answers
    "8.2.6: a response answers": lambda: Run().leaves(response(404), ALICE),
    "18.2.2: the response goes back": lambda: asked().leaves(response(180), CAROL),
    "RFC 4320 4.1": lambda: Run().comes(request("INFO")).leaves(response(180, method="INFO"), ALICE),
    "RFC 4320 4.2": lambda: Run().comes(request("INFO")).leaves(response(408, method="INFO"), ALICE),
    "8.2.6.2": lambda: Run().comes(request()).leaves(response(404, tag=""), ALICE),
    "17.2.1: 100 within": lambda: Run().comes(request()).wait(300).leaves(response(100, tag=""), ALICE),
    "nothing provisional follows": lambda: refused(ring(asked())).comes(answered(180)).leaves(response(180), ALICE),
    "16.7 item 5: no failure follows": lambda: asked().comes(answered(200), BOB).leaves(response(200), ALICE).leaves(
        response(404), ALICE),
    "at most one final response": lambda: refused(asked()).leaves(response(486), ALICE),
    "every INVITE is answered": lambda: asked().ends(),
    "a final response is forwarded": lambda: Run().comes(request("INFO")).leaves(forwarded(method="INFO")).comes(
        answered(486, method="INFO"), BOB).ends(),
    # forwarding
    "16.6: method and body": lambda: Run().comes(request()).leaves(forwarded(body="x")),
    "16.6 item 3": lambda: Run().comes(request()).leaves(forwarded(hops=70)),
    "16.6 item 8: one Via": lambda: Run().comes(request()).leaves(
        request("INVITE", (OURS + "one", CALLER_VIA, CALLER_VIA), 69)),
    "18.2.1": lambda: Run().comes(request(), ("10.0.0.9", 5060)).leaves(forwarded()),
    "RFC 3581": lambda: Run().comes(request(vias=(CALLER_VIA + ";rport",))).leaves(forwarded()),
    "16.4, 16.6 item 6: Route": lambda: Run().comes(request(extra="Route: <sip:10.0.0.254;lr>\r\n")).leaves(
        forwarded(extra="Route: <sip:10.0.0.254;lr>\r\n")),
    "our Record-Route names us": lambda: Run().comes(request()).leaves(forwarded(extra="Record-Route: <sip:z;lr>\r\n")),
    "all other headers stay": lambda: Run().comes(request(extra="Subject: a\r\n")).leaves(forwarded()),
    "neither a callee's response": lambda: asked().leaves(response(480, extra="X: y\r\n"), ALICE),
    # border
    "what the listener removes": lambda: Run(border=True).comes(request(extra=f"{SECRET}: a\r\n")).leaves(
        forwarded(extra=f"{SECRET}: a\r\n")),
    "what the set removes": lambda: Run(kept=True).comes(request(extra=f"{PRIVATE}: a\r\n")).leaves(
        forwarded(extra=f"{PRIVATE}: a\r\n")),
    # branches
    "no branch begins after the final": lambda: refused(asked()).leaves(forwarded("two"), CAROL),
    "no new branch after the CANCEL": lambda: ring(asked()).comes(request("CANCEL")).wait(5).leaves(
        forwarded("two"), CAROL),
    "no new branch after a 6xx": lambda: asked().comes(answered(603), BOB).leaves(forwarded("two"), CAROL),
    "each target is tried once": lambda: asked().leaves(forwarded("two")),
    "an INVITE that was answered": lambda: ring(asked()).wait(T1 - 100).leaves(forwarded()),
    "nothing is retransmitted after a final": lambda: Run().comes(request("INFO")).leaves(forwarded(method="INFO"))
    .comes(answered(200, method="INFO"), BOB).wait(T1).leaves(forwarded(method="INFO")),
    "goes where its INVITE went": lambda: ring(asked()).leaves(own(), CAROL),
    "has the INVITE's Request-URI": lambda: ring(asked()).leaves(own(ruri="sip:other@x")),
    "has the INVITE's Route": lambda: ring(asked()).leaves(own(extra="Route: <sip:z;lr>\r\n")),
    "9.1: CANCEL has the INVITE's To": lambda: ring(asked()).leaves(own(to=";tag=2")),
    "no CANCEL before a provisional": lambda: asked().leaves(own()),
    "no CANCEL after a final": lambda: refused(ring(asked())).wait(5).leaves(own()),
    "an ACK of ours is for 300": lambda: ring(asked()).leaves(own(method="ACK", to=";tag=2")),
    "ACK has the To": lambda: asked().comes(answered(404), BOB).leaves(own(method="ACK", to=";tag=3")),
    "each failure of an INVITE is ack": lambda: asked().comes(answered(404), BOB).leaves(response(404), ALICE).ends(),
    # clocks
    "Timer A": lambda: asked().wait(T1 + 20).leaves(forwarded()),
    "Timer E": lambda: Run().comes(request("INFO")).leaves(forwarded(method="INFO")).wait(T1 - 1).leaves(
        forwarded(method="INFO")),
    "a branch is cancelled for a reason": lambda: ring(asked()).leaves(own()),
    "the others are cancelled": lambda: ring(asked().leaves(forwarded("two"), CAROL)).comes(
        answered(200, "two"), CAROL).leaves(response(200), ALICE).ends(),
    "a CANCEL that was answered": lambda: ring(asked()).comes(request("CANCEL")).leaves(own()).wait(5).comes(
        answered(200, method="CANCEL"), BOB).wait(T1 - 5).leaves(own()),
    "17.2.1: Timer G": lambda: refused(asked()).wait(T1 + 50).leaves(response(404), ALICE),
    "Timer G stops": lambda: refused(asked()).wait(5).comes(request("ACK", to=";tag=2")).wait(T1 - 5).leaves(
        response(404), ALICE),
    "Timer G repeats": lambda: refused(asked()).wait(3 * T1).comes(request("ACK", to=";tag=2")),
    "17.1: a request is repeated": lambda: asked().wait(20_000).comes(answered(404), BOB).leaves(
        own(method="ACK", to=";tag=2")).leaves(response(404), ALICE).comes(request("ACK", to=";tag=2")).ends(),
    # choice
    "no failure while a branch is open": lambda: refused(asked().leaves(forwarded("two"), CAROL)),
    "cancelled is 487": lambda: refused(ring(asked()).comes(request("CANCEL"))),
    "16.7 item 6: the best": lambda: refused(asked(), status=480, heard=404),
}  # fmt: skip


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_caught(rule):
    with pytest.raises(Violation) as caught:
        BROKEN[rule]()
    assert rule in caught.value.rule


def test_a_call_done_right_is_not():
    run = ring(asked())
    run.wait(50).comes(answered(200), BOB).leaves(response(200), ALICE)
    run.comes(request("ACK", to=";tag=2", vias=(CALLER_VIA + "2",), ruri=f"sip:bob@{BOB[0]}"))
    run.leaves(request("ACK", (OURS + "three", CALLER_VIA + "2"), 69, f"sip:bob@{BOB[0]}", to=";tag=2"))
    run.ends()


def test_a_refused_call_done_right_is_not():
    run = refused(asked())
    run.wait(T1).leaves(response(404), ALICE).comes(request("ACK", to=";tag=2")).ends()


EVENT = SimpleNamespace(kind="health", destination_id=1, reason="down", status=408, call_id="")


def notify(run: Run, **changes) -> None:
    for check in run.checks:
        check.event(SimpleNamespace(**{**vars(EVENT), **changes}))


def test_health_needs_evidence():
    with pytest.raises(Violation, match="failures of its own"):
        notify(Run())
    with pytest.raises(Violation, match="when it has answered"):
        run = asked().wait(T1)
        notify(run)
        notify(run, reason="up")
    with pytest.raises(Violation, match="never marks the last"):
        notify(asked().comes(answered(500), BOB))


def test_one_call_marks_one_destination():
    run = asked().leaves(forwarded("two"), CAROL).comes(answered(500), BOB).comes(answered(500, "two"), CAROL)
    healths = {0: 3, 1: 1}
    run.router.cells.read = lambda index: SimpleNamespace(health=healths[index])
    notify(run)
    with pytest.raises(Violation, match="at most one destination"):
        notify(run, destination_id=2)


def test_what_remains_is_seen():
    run = Run()
    run.router.live = lambda: [{"ref": 1}]
    with pytest.raises(Violation, match="every transaction ends"):
        run.ends()
    run.router.complaints = lambda: ["a unit is owned twice"]
    with pytest.raises(Violation, match="agrees with itself"):
        run.ends()
