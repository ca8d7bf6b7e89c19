"""Calls as shards would have seen them: ALICE calls through EDGE, BOB and CAROL are destinations."""

from fastsip.observe.mirror import Seen

ALICE, BOB, CAROL = ("192.0.2.1", 5060), ("198.51.100.7", 5060), ("198.51.100.8", 5070)
EDGE, INSIDE = ("192.0.2.10", 5060), ("198.51.100.10", 5060)
BEGAN = 1_800_000_000.0


class Talk:
    """One call; each line said becomes a Seen a tenth of a second after the one before."""

    def __init__(self, call_id: str = "one@alice", when: float = BEGAN):
        self.call_id, self.when = call_id, when
        self.seen: list[Seen] = []

    def say(self, received: bool, ours, peer, text: bytes) -> Seen:
        self.when += 0.1
        self.seen.append(Seen(self.when, received, ours, peer, "udp", 0, text, len(text)))
        return self.seen[-1]

    def message(self, start: str, cseq: str, branch: str, to_tag: str = "", sender: str = "alice",
                recipient: str = "bob", more: str = "") -> bytes:
        to = f"<sip:{recipient}@example.net>" + (f";tag={to_tag}" if to_tag else "")
        return (f"{start}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch};rport\r\n"
                f"From: <sip:{sender}@example.net>;tag=a\r\n"
                f"To: {to}\r\nCall-ID: {self.call_id}\r\nCSeq: {cseq}\r\n{more}Content-Length: 0\r\n\r\n"
                ).encode("utf-8", "surrogateescape")

    def request(self, received: bool, ours, peer, method: str, branch: str, number: int = 1, **parts) -> Seen:
        start = f"{method} sip:80123@example.net SIP/2.0"
        return self.say(received, ours, peer, self.message(start, f"{number} {method}", branch, **parts))

    def response(self, received: bool, ours, peer, status: str, branch: str, method: str = "INVITE", number: int = 1,
                 to_tag: str = "b", **parts) -> Seen:
        return self.say(received, ours, peer,
                        self.message(f"SIP/2.0 {status}", f"{number} {method}", branch, to_tag=to_tag, **parts))

    def again(self) -> Seen:
        """The last message once more."""
        last = self.seen[-1]
        return self.say(last.received, last.ours, last.peer, last.message)

    # ------------------------------------------------------------ whole passages

    def begin(self, **parts) -> "Talk":
        self.request(True, EDGE, ALICE, "INVITE", "z9hG4bKa", **parts)
        self.response(False, EDGE, ALICE, "100 Trying", "z9hG4bKa", to_tag="")
        return self

    def fail_over(self) -> "Talk":
        """BOB refuses, and CAROL rings and answers."""
        self.request(False, INSIDE, BOB, "INVITE", "z9hG4bK1")
        self.response(True, INSIDE, BOB, "503 Service Unavailable", "z9hG4bK1")
        self.request(False, INSIDE, BOB, "ACK", "z9hG4bK1", to_tag="b")
        self.request(False, INSIDE, CAROL, "INVITE", "z9hG4bK2")
        self.response(True, INSIDE, CAROL, "180 Ringing", "z9hG4bK2", to_tag="c")
        self.response(False, EDGE, ALICE, "180 Ringing", "z9hG4bKa", to_tag="c")
        self.response(True, INSIDE, CAROL, "200 OK", "z9hG4bK2", to_tag="c")
        self.response(False, EDGE, ALICE, "200 OK", "z9hG4bKa", to_tag="c")
        self.request(True, EDGE, ALICE, "ACK", "z9hG4bKb", to_tag="c")
        self.request(False, INSIDE, CAROL, "ACK", "z9hG4bK3", to_tag="c")
        return self

    def hang_up(self) -> "Talk":
        """By the callee, so that From and To have changed places."""
        turned = {"sender": "bob", "recipient": "alice"}
        self.request(True, INSIDE, CAROL, "BYE", "z9hG4bKc", number=2, to_tag="a", **turned)
        self.request(False, EDGE, ALICE, "BYE", "z9hG4bK4", number=2, to_tag="a", **turned)
        self.response(True, EDGE, ALICE, "200 OK", "z9hG4bK4", "BYE", 2, to_tag="a", **turned)
        self.response(False, INSIDE, CAROL, "200 OK", "z9hG4bKc", "BYE", 2, to_tag="a", **turned)
        return self

    def refuse(self) -> "Talk":
        """What the router says itself, and the ACK of it."""
        self.response(False, EDGE, ALICE, "404 Not Found", "z9hG4bKa")
        self.request(True, EDGE, ALICE, "ACK", "z9hG4bKa", to_tag="b")
        return self
