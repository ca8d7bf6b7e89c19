"""What callers do of their own accord: call, cancel, hang up, refer, vanish, repeat themselves, ask without a dialog.

A Call is one INVITE (or another request outside of a dialog) with all that follows from it,
drawn when it begins.
"""

from tests.simulate.agent import BODY, Agent, Client, Dialog, Server
from tests.simulate.message import Msg, uri_of
from tests.simulate.world import DOMAIN, FORWARD_PREFIX, REFUSED_PREFIX, World

OTHERS = ("OPTIONS", "MESSAGE", "SUBSCRIBE", "REFER", "PUBLISH", "REGISTER", "INFO", "NOTIFY")
INSIDE = ("INFO", "UPDATE", "INVITE", "MESSAGE", "OPTIONS", "REFER", "SUBSCRIBE")
EXTRAS = (
    "Subject: lunch\r\n", "User-Agent: fern/1.2 (q\"u;o,t)\r\n", "X-Long: " + "x" * 300 + "\r\n",
    "Supported: 100rel, replaces\r\n",
    "X-Folded: a\r\n  b\r\n", "x-odd:    spaced   \r\n", "Max-Breadth: 3\r\n", "Allow: INVITE, ACK\r\nAllow: BYE\r\n",
    "P-Charging-Vector: icid-value=1;orig-ioi=a\r\n", "Record-Route: <sip:198.51.100.7;lr>\r\n",
)  # fmt: skip


class Call:
    """One request outside of dialogs and what follows."""

    __slots__ = (
        "agent",
        "call_id",
        "callers",
        "cancel_at",
        "canceled",
        "client",
        "cseq",
        "from_tag",
        "method",
        "over",
        "tries",
        "user",
        "vanish",
    )

    def __init__(self, callers: "Callers", agent: Agent, method: str, user: str):
        sim = callers.sim
        self.callers, self.agent, self.method, self.user = callers, agent, method, user
        self.call_id = f"{sim.new_tag()}@{agent.address[0]}"
        self.from_tag = sim.new_tag()
        self.cseq = sim.rng.randrange(1, 5_000)
        self.tries = 0
        self.over = self.canceled = False
        self.cancel_at = 0
        self.vanish = sim.rng.random() < 0.04
        self.client: Client | None = None

    def start(self, extra: str = "") -> None:
        sim, agent, rng = self.callers.sim, self.agent, self.callers.sim.rng
        world: World = sim.world
        for _ in range(rng.choice((0, 0, 1, 2))):
            extra += rng.choice(EXTRAS)
        extra += agent.boasts()
        host = rng.choice((DOMAIN, "10.0.0.254"))
        if self.user.startswith(FORWARD_PREFIX):
            host = f"10.0.10.{rng.randrange(1, 4)}"
        body = BODY if self.method in ("INVITE", "MESSAGE", "PUBLISH") and rng.random() < 0.8 else ""
        branch = sim.new_branch()
        hops = rng.choice(("70", "70", "70", "10", "1", "0")) if rng.random() < 0.2 else "70"
        hops_line = "" if rng.random() < 0.03 else f"Max-Forwards: {hops}\r\n"
        beneath = ""
        if rng.random() < 0.2:
            beneath = f"Via: SIP/2.0/UDP 192.0.2.7:5070;branch={sim.new_branch()}\r\n"
        route = self.route()
        names = ("v", "f", "t", "i", "m") if agent.compact else ("Via", "From", "To", "Call-ID", "Contact")
        raw = (
            f"{self.method} sip:{self.user}@{host} SIP/2.0\r\n{names[0]}: {agent.via}{branch}\r\n{beneath}{hops_line}"
            f"{route}{names[1]}: <sip:{agent.sip_user}@{DOMAIN}>;tag={self.from_tag}\r\n"
            f"{names[2]}: <sip:{self.user}@{DOMAIN}>\r\n{names[3]}: {self.call_id}\r\n"
            f"CSeq: {self.cseq} {self.method}\r\n"
            f"{names[4]}: {agent.contact}\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode("latin-1")
        self.client = Client(agent, self.method, branch, raw, self)
        self.client.fire(None)
        if self.method == "INVITE" and rng.random() < 0.15 and world.c:
            sim.at(sim.now + rng.choice((5, 300, 2_000, 8_000)), self.cancel, None)

    def route(self) -> str:
        sim = self.callers.sim
        turn = sim.rng.random()
        if turn < 0.85:
            return ""
        ours = "<sip:10.0.0.254;lr>"
        if turn < 0.92 or not sim.world.names:
            return f"Route: {ours}\r\n"
        name = sim.rng.choice(sim.world.names)
        return f"Route: {ours}\r\nRoute: <sip:{name};lr>\r\n"

    # ------------------------------------------------------------ what comes back

    def cancel(self, _) -> None:
        """Once something provisional has come; some cannot wait (9.1 forbids it)."""
        client = self.client
        if client is None or client.done or self.canceled:
            return
        sim = self.callers.sim
        if not client.heard and sim.rng.random() < 0.9:
            sim.at(sim.now + 200, self.cancel, None)
            return
        self.canceled = True
        reason = 'Reason: SIP;cause=487;text="no time"\r\n' if sim.rng.random() < 0.5 else ""
        self.agent.cancel(client, reason)

    def answered(self, client: Client, msg: Msg, first: bool) -> None:
        if self.vanish and msg.status > 100:
            return
        if client.method == "CANCEL":
            return
        if msg.status < 200:
            if "rseq" in msg.names and msg.contact and self.callers.sim.rng.random() < 0.8:
                self.acknowledge_progress(msg)
        elif msg.status < 300:
            if client.method == "INVITE":
                self.connected(msg, first)
        elif first:
            self.over = True
            self.maybe_with_credentials(msg)

    def unanswered(self, client: Client) -> None:
        if client.method != "CANCEL":
            self.over = True

    def maybe_with_credentials(self, msg: Msg) -> None:
        if msg.status not in (401, 407) or self.tries >= 2 or self.callers.sim.rng.random() < 0.3:
            return
        self.tries += 1
        self.cseq += 1
        self.over = False
        name = "Authorization" if msg.status == 401 else "Proxy-Authorization"
        self.start(f'{name}: Digest username="{self.agent.sip_user}", realm="r", response="0"\r\n')

    def acknowledge_progress(self, msg: Msg) -> None:
        dialog = Dialog(self.agent, msg.call_id, msg.from_line.partition(":")[2].strip(),
                        msg.to_line.partition(":")[2].strip(), uri_of(msg.contact), msg.record_routes[::-1],
                        self.cseq + 100)  # fmt: skip
        dialog.request("PRACK", f"RAck: 1 {msg.cseq} INVITE\r\n")

    def connected(self, msg: Msg, first: bool) -> None:
        sim, agent = self.callers.sim, self.agent
        known = (msg.call_id, msg.from_tag + "/" + msg.to_tag) in agent.dialogs
        dialog = agent.joined(msg, self.cseq + 1000)
        dialog.acknowledge(msg)
        self.over = True
        if known:
            return
        if not first or self.canceled:  # somebody else was first, or nobody is wanted any more
            dialog.request("BYE")
            return
        self.callers.plan_dialog(dialog, sim.rng)


class Callers:
    """Begins the calls of a world; answers what callees ask inside of dialogs."""

    def __init__(self, sim, agents: list[Agent], strangers: list[Agent]):
        self.sim, self.agents, self.strangers = sim, agents, strangers
        self.begun = 0
        self.pinger: Call | None = None

    def begin(self, _) -> None:
        sim, rng = self.sim, self.sim.rng
        world = sim.world
        self.begun += 1
        agent = rng.choice(self.strangers if rng.random() < 0.1 else self.agents)
        if rng.random() < 0.05:
            self.attack(rng.choice(self.strangers))
        if rng.random() < 0.01:
            self.ping(agent)
        method = "INVITE" if rng.random() < 0.75 else rng.choice(OTHERS)
        turn = rng.random()
        if turn < 0.92:
            lead = rng.choice(world.plan.groups).prefix
        else:
            lead = rng.choice((REFUSED_PREFIX, FORWARD_PREFIX, "5"))
        Call(self, agent, method, f"{lead}{rng.randrange(1000):03}").start()
        if self.begun < world.calls:
            sim.at(sim.now + 1 + int(rng.expovariate(1 / world.gap_ms)), self.begin, None)

    def attack(self, stranger: Agent) -> None:
        """Somebody invents a dialog, or a way, to reach others through us."""
        sim, rng = self.sim, self.sim.rng
        victim = rng.choice(("203.0.113.9", "10.0.0.3", "10.0.0.254", "224.0.1.75", "10.0.10.1"))
        routes = [f"<sip:{sim.new_tag()}aaaaaaaaaaaaaaaaaaaaaaaaaaaa@10.0.0.254:5060;lr>", f"<sip:{victim};lr>"]
        dialog = Dialog(stranger, f"{sim.new_tag()}@{stranger.address[0]}", f"<sip:x@y>;tag={sim.new_tag()}",
                        f"<sip:z@y>;tag={sim.new_tag()}", f"sip:z@{victim}", routes[rng.randrange(3):], 1)  # fmt: skip
        dialog.request(rng.choice(("BYE", "INVITE", "MESSAGE", "REFER")), stranger.boasts())

    def ping(self, agent: Agent) -> None:
        """One Call-ID for many requests fills one partition of the store."""
        sim = self.sim
        call = Call(self, agent, "OPTIONS", f"{sim.rng.choice(sim.world.plan.groups).prefix}000")
        for n in range(sim.rng.randrange(8, 60)):
            sim.at(sim.now + 20 * n, self.ping_once, call)

    def ping_once(self, call: Call) -> None:
        call.cseq += 1
        call.tries = 2
        call.start()

    def plan_dialog(self, dialog: Dialog, rng) -> None:
        sim = self.sim
        at = sim.now + rng.choice((50, 500, 2_000, 8_000))
        while rng.random() < 0.35:
            sim.at(at, sim.callees.ask_inside, (dialog, rng.choice(INSIDE)))
            at += rng.choice((10, 300, 2_500, 10_000))
        if rng.random() < 0.85:
            sim.at(at, sim.callees.ask_inside, (dialog, "BYE"))

    # ------------------------------------------------------------ as callees

    def answer(self, server: Server) -> None:
        server.respond(404)

    def canceled(self, server: Server) -> None:
        self.sim.callees.canceled(server)

    def answer_inside(self, server: Server, dialog: Dialog) -> None:
        self.sim.callees.answer_inside(server, dialog)
