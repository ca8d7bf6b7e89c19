"""Both ends of a dialog that was made through the router, for protocol scripts.

    talk = Talk(stage)                      # ALICE calls, BOB[0] answers
    bye = talk.request("BYE")               # what the caller sends, with its route set (12.2.1.1)
    bye = talk.request("BYE", back=True)    # what the callee sends

The caller and the callee's Contact are strangers: neither is a destination nor
trusted, so that only the token lets their requests through.
"""

from fastsip.ua.message import Address, Message, make_request, new_branch
from tests.protocol.script import ALICE, BOB, Sent, Stage

CAROL: Address = ("10.0.7.7", 5062)  # where the callee is reached once it has answered


class Talk:
    """A call that was answered: `invite` as the callee got it, `ok` as the caller did."""

    def __init__(self, stage: Stage, bob: Address = BOB[0], contact: Address = CAROL, listener: int = 0, **parts):
        self.stage = stage
        self.listener = listener  # the one that the callee's requests come in by
        self.contact = contact
        self.call = stage.invite(**parts)
        self.invite: Sent = stage.expect_request(bob, "INVITE")
        answer = stage.response(self.invite, 200)
        answer.set("Contact", f"<sip:carol@{contact[0]}:{contact[1]}>")
        stage.inject(answer, bob, listener)
        self.ok: Sent = stage.expect_response(200)
        self.cseq = 1

    @property
    def routes(self) -> list[str]:
        """The caller's route set."""
        return list(reversed(self.ok.values("Record-Route")))

    @property
    def routes_back(self) -> list[str]:
        """The callee's."""
        return self.invite.values("Record-Route")

    def request(self, method: str, *, back: bool = False, routes: list[str] | None = None, uri: str = "",
                cseq: int = 0, headers: tuple = ()) -> Message:  # fmt: skip
        """A request of the dialog, not sent yet; `routes` are whole lines in place of the route set."""
        invite = self.call.message
        sender, peer = (self.contact, ALICE) if back else (ALICE, self.contact)
        if not cseq:
            self.cseq += 1
        if routes is None:
            routes = self.routes_back if back else self.routes
        return make_request(
            method,
            uri or f"sip:peer@{peer[0]}:{peer[1]}",
            via=f"SIP/2.0/UDP {sender[0]}:{sender[1]};branch={new_branch()}",
            sender=self.ok.get("To") if back else invite.get("From"),
            recipient=invite.get("From") if back else self.ok.get("To"),
            call_id=invite.call_id,
            cseq=cseq or self.cseq,
            headers=[("Route", line) for line in routes] + list(headers),
        )

    def send(self, method: str, *, back: bool = False, **parts) -> Message:
        """Sends it from its end."""
        request = self.request(method, back=back, **parts)
        self.stage.inject(request, self.contact if back else ALICE, self.listener if back else 0)
        return request
