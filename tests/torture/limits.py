"""The limits of the parser and of what we add, each at its edge and one beyond."""

from .case import FORWARD, Case, plain

HEADERS, VIAS, MESSAGE = 128, 64, 65535
# Of a request that needs neither received nor Record-Route.
OUR_VIA = len("Via: SIP/2.0/UDP 10.0.0.254:5060;branch=z9hG4bK.;fs=\r\n") + 13 + 6 + 22
CUTS = 16       # Routes of others that do not stand side by side
ONE_VIA = 'SIP/2.0/UDP a.example;branch=z9hG4bK1;x="a,b"'


TOKENS = (512, 513, 8000)       # bytes of what a sender chooses and we keep or hash


def bound(size: int, word: str) -> tuple[str | int, str]:
    """Outcome and verdict of a text of that size."""
    return (FORWARD, "OK") if size <= 512 else (400, word)


def filled(name: str, size: int, where: str = "body") -> bytes:
    """A request of exactly that size."""
    if where == "body":
        short = plain(name, body="b")
        return short + b"b" * (size - len(short))
    short = plain(name, more=["X: y"])
    return short.replace(b"X: y", b"X: y" + b"y" * (size - len(short)))


def routes(count: int) -> list[str]:
    return [line for i in range(count) for line in (f"Route: <sip:r{i}.example;lr>", "X: y")]


CASES = [
    Case("all headers there may be with our Via", "limits", plain("headers", more=["X: y"] * (HEADERS - 7))),
    Case("no room for our Via among the headers", "limits", plain("headers-", more=["X: y"] * (HEADERS - 6)), 513),
    Case("one header too many", "limits", plain("headers+", more=["X: y"] * (HEADERS - 5)), 400, "TOO_MANY_HEADERS"),
    Case("all Vias there may be", "limits", plain("vias", more=[f"Via: {ONE_VIA}"] * (VIAS - 1))),
    Case("one Via too many", "limits", plain("vias+", more=[f"Via: {ONE_VIA}"] * VIAS), 400, "TOO_MANY_VIAS"),
    Case("all Vias there may be, in a list", "limits", plain(
        "list", more=["Via: " + ",".join([ONE_VIA] * (VIAS - 1))])),
    Case("one Via too many in a list", "limits", plain("list+", more=["Via: " + ",".join([ONE_VIA] * VIAS)]), 400,
         "TOO_MANY_VIAS"),
    Case("the largest message with our Via", "limits", filled("largest", MESSAGE - OUR_VIA)),
    Case("no room for our Via", "limits", filled("no room", MESSAGE - OUR_VIA + 1), 513),
    Case("the largest message", "limits", filled("all", MESSAGE), 513),
    Case("the largest message, all of it headers", "limits", filled("all headers", MESSAGE, "headers"), 513),
    Case("Routes of others, as many as we cut", "limits", plain("cuts", more=routes(CUTS))),
    Case("Routes of others, one too many", "limits", plain("cuts+", more=routes(CUTS + 1)), 400),
    Case("Routes of others, side by side", "limits", plain("side", more=[
        f"Route: <sip:r{i}.example;lr>" for i in range(HEADERS - 6)])),
    Case("the highest port", "limits", plain("port", uri="sip:b@example.net:65535",
                                             via="SIP/2.0/UDP 10.0.0.1:65535;branch=z9hG4bK.{name}")),
    Case("the lowest port", "limits", plain("low", uri="sip:b@example.net:1", via="SIP/2.0/UDP 10.0.0.1:1;branch=x")),
    *(Case(f"a header's name of {n} letters", "limits", plain(f"name {n}", more=["X" * n + ": y"]))
      for n in (1, 23, 24, 25, 300)),
    *(Case(f"a method of {n} letters", "limits", plain(f"method {n}", "M" * n)) for n in (1, 24, 25, 300)),
    *(Case(f"a host of {n} letters", "limits", plain(f"host {n}", uri=f"sip:{'h' * n}")) for n in (1, 253, 256, 257)),
    Case("a long user", "limits", plain("user", "INVITE", f"sip:{'1' * 8000}@example.net")),
    *(Case(f"a Call-ID of {n} letters", "limits", plain("id", "INVITE", call_id="c" * n), *bound(n, "CALL_ID"))
      for n in TOKENS),
    *(Case(f"a branch of {n} letters", "limits", plain(
        "branch", via="SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK" + "b" * (n - 7)), *bound(n, "VIA")) for n in TOKENS),
    *(Case(f"a tag of {n} letters in From", "limits", plain(
        "tag", "INVITE", sender=f"<sip:a@b.example>;tag={'t' * n}"), *bound(n, "FROM")) for n in TOKENS),
    *(Case(f"a tag of {n} letters in To", "limits", plain(
        "to tag", to=f"<sip:a@b.example>;tag={'t' * n}"), *bound(n, "TO")) for n in TOKENS),
    Case("the most digits of a number", "limits", plain("digits", more=["Content-Length: 000000000000000000"])),
    Case("one digit too many", "limits", plain("digits+", more=["Content-Length: 0000000000000000000"]), 400,
         "CONTENT_LENGTH"),
]  # fmt: skip
