"""What destinations do of their own accord: answer, refuse, ring, stay silent, change their minds.

One Callees serves all agents of a world.  Each new request gets a script of its own, drawn when
it arrives; what a CANCEL does to it is drawn then.
"""

from tests.simulate.agent import BODY, SILENT, Dialog, Server

REFUSALS = (302, 400, 401, 403, 404, 404, 407, 407, 408, 415, 420, 480, 482, 484, 486, 486, 500, 500, 502, 503, 503,
            504, 600, 603)  # fmt: skip
INSIDE_METHODS = ("INFO", "UPDATE", "INVITE", "MESSAGE", "OPTIONS", "NOTIFY", "REFER")


class Callees:
    def __init__(self, sim):
        self.sim = sim

    # ------------------------------------------------------------ new requests

    def answer(self, server: Server) -> None:
        sim = self.sim
        mode = server.agent.mode
        if mode == "sick":
            self.refuse_soon(server, sim.rng.choice((500, 503)))
        elif len(server.msg.vias) > 1 and sim.rng.random() < 0.04:
            prefix = sim.rng.choice(sim.world.plan.groups).prefix
            server.agent.spiral(server.msg, f"{prefix}{sim.rng.randrange(1000):03}")
        elif server.msg.method == "INVITE":
            self.answer_invite(server)
        else:
            self.answer_other(server)

    def answer_other(self, server: Server) -> None:
        """Some of RFC 4320's misbehaviour included: a 1xx to a non-INVITE."""
        rng, sim = self.sim.rng, self.sim
        turn = rng.random()
        delay = rng.choice((0, 0, 20, 300, 1_500, sim.world.whole // 6))
        if turn < 0.05:
            return
        if turn < 0.15:
            sim.at(sim.now + delay // 2, self.say, (server, rng.choice((100, 100, 180, 183)), ""))
        status = 200 if turn < 0.8 else rng.choice(REFUSALS)
        if server.msg.method == "OPTIONS" and turn < 0.95:
            status = 200
        sim.at(sim.now + delay, self.say, (server, status, self.trimmings(status)))

    def answer_invite(self, server: Server) -> None:
        rng, sim = self.sim.rng, self.sim
        turn = rng.random()
        at = sim.now
        if turn < 0.06:
            return  # silent
        if rng.random() < 0.5:
            sim.at(at, self.say, (server, 100, ""))
        for _ in range(rng.choice((0, 1, 1, 2))):
            at += rng.choice((5, 60, 400, 1_200))
            reliable = "Require: 100rel\r\nRSeq: 1\r\n" if rng.random() < 0.2 else ""
            sim.at(at, self.say, (server, rng.choice((180, 180, 183, 181)), reliable))
        if rng.random() < (0.4 if turn < 0.14 else 0.05):
            sim.at(at + 3, self.say, (server, 100, ""))  # overtaken on the way by what was said later
        if turn < 0.09:  # says for long that it rings: each time Timer C begins anew
            for _ in range(rng.randrange(2, 5)):
                at += sim.world.c * 2 // 3
                sim.at(at, self.say, (server, 180, ""))
        if turn < 0.14:
            return  # rings for ever
        at += rng.choice((10, 200, 1_000, 4_000, sim.world.whole // 3))
        if self.is_guarded(server) and rng.random() < 0.8:
            status = rng.choice((401, 407))
            sim.at(at, self.say, (server, status, self.trimmings(status)))
        elif turn < 0.65:
            sim.at(at, self.accept, server)
        else:
            status = rng.choice(REFUSALS)
            sim.at(at, self.say, (server, status, self.trimmings(status)))

    def is_guarded(self, server: Server) -> bool:
        """For some calls all that are asked want credentials."""
        names = server.msg.names
        wanted = sum(map(ord, server.msg.call_id)) % 12 == 0
        return wanted and "authorization" not in names and "proxy-authorization" not in names

    def trimmings(self, status: int) -> str:
        rng = self.sim.rng
        if status == 401:
            return f'WWW-Authenticate: Digest realm="r{rng.randrange(9)}", nonce="n{rng.randrange(999)}"\r\n'
        if status == 407:
            return f'Proxy-Authenticate: Digest realm="r{rng.randrange(9)}", nonce="n{rng.randrange(999)}"\r\n'
        if status == 503 and rng.random() < 0.5:
            return f"Retry-After: {rng.randrange(1, 9)}\r\n"
        return f"X-Detail: {rng.randrange(999)}\r\n" if rng.random() < 0.2 else ""

    def refuse_soon(self, server: Server, status: int) -> None:
        self.sim.at(self.sim.now + self.sim.rng.choice((0, 10, 50)), self.say, (server, status, self.trimmings(status)))

    def say(self, what: tuple[Server, int, str]) -> None:
        server, status, extra = what
        if server.agent.mode in SILENT:
            return
        if self.sim.rng.random() < 0.01 and len(server.msg.vias) > 1:
            self.forge(server, status)
        server.respond(status, extra)

    def forge(self, server: Server, status: int) -> None:
        """Before its response comes one that only looks like it: of another branch, or of another method."""
        agent, msg = server.agent, server.msg
        raw = agent.response_text(msg, status, server.tag, "X-Forged: yes\r\n", "")
        if self.sim.rng.random() < 0.5:
            letter = "b" if msg.branch[10] == "a" else "a"
            wrong = msg.branch[:10] + letter + msg.branch[11:]
            raw = raw.replace(msg.branch.encode(), wrong.encode(), 1)
        elif msg.method not in ("INVITE", "PUBLISH"):
            raw = raw.replace(f"CSeq: {msg.cseq} {msg.method}".encode(), f"CSeq: {msg.cseq} PUBLISH".encode())
        else:
            return
        self.sim.send(agent, raw)

    def accept(self, server: Server) -> None:
        if server.final or server.agent.mode in SILENT:
            return
        dialog = server.agent.accept(server)
        server.respond(200, body=BODY)
        self.plan_dialog(dialog, 0.25)

    def plan_dialog(self, dialog: Dialog, eager: float) -> None:
        """What this end does while the call lasts."""
        rng, sim = self.sim.rng, self.sim
        at = sim.now + rng.choice((50, 500, 2_000))
        while rng.random() < eager:
            at += rng.choice((10, 300, 2_500))
            sim.at(at, self.ask_inside, (dialog, rng.choice(INSIDE_METHODS)))
        if rng.random() < 0.3:
            sim.at(at + rng.choice((100, 3_000, 20_000)), self.ask_inside, (dialog, "BYE"))

    def ask_inside(self, what: tuple[Dialog, str]) -> None:
        dialog, method = what
        if dialog.agent.mode in SILENT or dialog.ended:
            return
        extra = ""
        if method == "NOTIFY":
            extra = "Event: refer\r\nSubscription-State: active\r\n"
        elif method == "REFER":
            extra = "Refer-To: <sip:99@example.net>\r\n"
        dialog.request(method, extra, BODY if method in ("INVITE", "UPDATE", "MESSAGE") else "")

    # ------------------------------------------------------------ CANCEL and dialogs

    def canceled(self, server: Server) -> None:
        rng, sim = self.sim.rng, self.sim
        turn = rng.random()
        if turn < 0.85:
            sim.at(sim.now + rng.choice((0, 0, 30, 1_500)), self.say, (server, 487, ""))
        elif turn < 0.95:
            sim.at(sim.now + rng.choice((0, 100)), self.accept, server)  # it was answered before

    def answer_inside(self, server: Server, dialog: Dialog) -> None:
        rng, sim = self.sim.rng, self.sim
        method = server.msg.method
        turn = rng.random()
        at = sim.now + rng.choice((0, 10, 200, 900))
        if method == "INVITE":
            if turn < 0.7:
                if rng.random() < 0.3:
                    sim.at(sim.now, self.say, (server, 100, ""))
                sim.at(at, self.accept_again, (server, dialog))
            elif turn < 0.95:
                status = rng.choice((488, 491, 500, 500))
                sim.at(at, self.say, (server, status, "Retry-After: 3\r\n" if status == 500 else ""))
            return
        if turn < 0.9:
            sim.at(at, self.say, (server, 202 if method == "REFER" else 200, ""))
        elif turn < 0.97:
            sim.at(at, self.say, (server, rng.choice((481, 488, 500)), ""))

    def accept_again(self, what: tuple[Server, Dialog]) -> None:
        server, dialog = what
        if not server.final and server.agent.mode not in SILENT:
            dialog.answered_by = server
            server.respond(200, body=BODY)
