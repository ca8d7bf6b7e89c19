"""What carriers, phones and scanners really send."""

from .case import DROP, Case, plain, sip

LONG_TOKEN = "eyJhbGciOiJFUzI1NiIsInBwdCI6InNoYWtlbiIsInR5cCI6InBhc3Nwb3J0In0" * 12
BODY = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\n"


def one_of_each(line_end: bytes) -> bytes:
    raw = plain("line ends", "INVITE", more=["Subject: one", " folded", f"Content-Length: {len(BODY)}"], body=BODY)
    head, _, body = raw.partition(b"\r\n\r\n")
    return head.replace(b"\r\n", line_end) + 2 * line_end + body


# ---------------------------------------------------------------- white space, names, line ends

SPELLING = [
    Case("compact names throughout", "field: spelling", sip(f"""
INVITE sip:bob@example.net SIP/2.0
v:SIP/2.0/UDP 10.0.0.1:5062;branch=z9hG4bKcompact
f:<sip:anna@example.org>;tag=1
t:sip:bob@example.net
i:compact
CSeq:1 INVITE
Max-Forwards:70
m:<sip:anna@10.0.0.1>
k:timer
x:1800
s:hello
o:presence
c:application/sdp
l:{len(BODY)}
""", BODY), port=5062),
    Case("names in capitals", "field: spelling", plain("capitals").upper().replace(b"SIP:BOB", b"sip:bob")),
    Case("bare line feeds", "field: line ends", one_of_each(b"\n")),
    Case("line ends of all kinds", "field: line ends",
         plain("mixed").replace(b"\r\nFrom", b"\nFrom").replace(b"\r\nTo", b"\r\r\nTo")),
    Case("an empty line that is none", "field: line ends", plain("not empty", end=b"\r\r\n"), 400, "HEADER"),
    Case("no empty line", "field: line ends", plain("open", end=b"")),
    Case("the last line breaks off", "field: line ends", plain("broken", end=b"X: y"), 400, "HEADER"),
    Case("a carriage return inside a value", "field: line ends", plain("lone", more=["Subject: a\rVia: b"])),
    Case("carriage returns instead of line ends", "field: line ends", one_of_each(b"\r"), DROP, "NOT_SIP"),
    Case("blank lines before the message", "field: line ends", b"\r\n\r\n" + plain("before")),
    Case("a blank before the colon", "field: spelling", plain("colon").replace(b"Max-Forwards:", b"Max-Forwards \t :")),
    Case("no blank behind the colon", "field: spelling", plain("tight").replace(b": ", b":")),
    Case("tabs for blanks", "field: spelling", plain("tabs", cseq="1\t{method}", more=["X:\ta\tb"])),
    Case("each value on a line of its own", "field: folds",
         plain("folds", more=["Subject:", "\tfolded", "\t", " twice"]).replace(b": ", b":\r\n ")),
    Case("a fold of blanks only", "field: folds", plain("blanks", more=["X-Empty:", " ", "\t", "X-Next: y"])),
    Case("a fold instead of a Request-URI", "field: folds", plain("start", start="OPTIONS\r\n sip:b@e SIP/2.0"), DROP,
         "NOT_SIP"),
    Case("a fold behind the start line", "field: folds", plain("second", start="OPTIONS sip:b@e SIP/2.0\r\n more"), 400,
         "START_LINE"),
    Case("a line without a colon", "16.3 item 1", plain("no colon", more=["this is no header", " at all"])),
    Case("a name with a blank", "16.3 item 1", plain("blank name", more=["X Trunk Group: 7"])),
    Case("no name", "16.3 item 1", plain("no name", more=[": x"])),
    Case("a name of UTF-8", "16.3 item 1", plain("utf name", more=["X-Gr\xc3\xb6\xc3\x9fe: x"])),
    Case("a fold before the colon", "field: folds", plain("fold colon", more=["Subject", "\t : x"])),
    Case("headers without values", "field: spelling", plain("empty", more=["Subject:", "Supported: ", "X:  "])),
    Case("a version in small letters", "field: spelling", plain("small", start="OPTIONS sip:bob@example.net sip/2.0")),
    Case("a method in small letters is another method", "field: spelling", plain("invite", "invite")),
]  # fmt: skip

# ---------------------------------------------------------------- names and addresses

ADDRESSES = [
    Case("commas and brackets in quotes", "field: quotes", plain(
        "quotes", sender='"Anna, <the> \\"first\\"; \\\\" <sip:anna@example.org>;tag=1;x="a;b,c\\""',
        to='"" <sip:bob@example.net>', via='SIP/2.0/UDP 10.0.0.1;x="a,b;c\\",";branch=z9hG4bK.{name}')),
    Case("a display name of other letters", "field: quotes", plain(
        "letters", sender="Anna_B. (m\xf6bil) <sip:anna@example.org>;tag=1")),
    Case("no UTF-8", "field: octets", plain(
        "octets", sender='"\xff\xfe\xc3(" <sip:anna@example.org>;tag=1', more=["Subject: \x80\x81\xff", "X:\xc3\x28"])),
    Case("NULs in values", "field: octets", plain("nul", more=["Subject: a\0b", "X: \0"], body="\0\0")),
    Case("a NUL for a name", "field: octets", plain("nul name", more=["\0: x"])),
    Case("a NUL in the Call-ID", "field: octets", plain("nul id", call_id="a\0b"), 400, "CALL_ID"),
    Case("a NUL in the Request-URI", "field: octets", plain("nul uri", uri="sip:b\0@e"), 400, "START_LINE"),
    Case("a NUL among required extensions", "field: octets", plain(
        "nul extension", more=["Proxy-Require: a\0b", "Proxy-Require: c"]), 420),
    Case("an IPv6 zone in Via", "field: IPv6", plain("zone", via="SIP/2.0/UDP [fe80::1%eth0]:5063;branch=z9hG4bK.z")),
    Case("an IPv6 zone in the Request-URI", "field: IPv6", plain("zone uri", uri="sip:x@[fe80::1%25eth0]:5060")),
    Case("an IPv6 zone that is no escape", "field: IPv6", plain("raw zone", uri="sip:x@[fe80::1%eth0]"), 400, "URI"),
    Case("a zone without a name", "field: IPv6", plain("no zone", uri="sip:x@[fe80::1%]"), 400, "URI"),
    Case("a telephone number", "field: tel", plain("tel", "INVITE", "tel:+49-30-90(18)20", to="<tel:+4930901820>")),
    Case("a number with a context", "field: tel", plain("context", uri="tel:112;phone-context=+49;isub=1")),
    Case("a number of letters", "field: tel", plain("vanity", uri="tel:+1-800-FLOWERS"), 400, "URI"),
    Case("stars and hashes", "field: users", plain("stars", "INVITE", "sip:*31#+4930901820@example.net;user=phone")),
    Case("a user with a number's parameters", "field: users", plain(
        "npdi", "INVITE", "sip:+4930901820;npdi;rn=+49198;cic=+49-11@example.net;user=phone")),
    Case("a password", "field: users", plain("password", uri="sip:bob:s3cret@example.net")),
    Case("a scheme in capitals", "field: users", plain("scheme", uri="SIP:bob@EXAMPLE.net")),
    Case("UTF-8 in the user", "field: users", plain("utf", uri="sip:b\xc3\xb6b@example.net")),
    Case("quotes in a parameter", "field: users", plain("quotes uri", uri='sip:bob@example.net;x="a"')),
    Case("an @ in a parameter", "field: users", plain("at", uri="sip:bob@example.net;x=a@b")),
    Case("quotes in a user", "field: users", plain("quoted user", uri='sip:"bob"@example.net'), 400, "URI"),
    Case("a host with an underscore", "field: hosts", plain("host", uri="sip:b@sbc_1.example.net",
                                                            via="SIP/2.0/UDP my_host;branch=z9hG4bK.h")),
    Case("an address that is none", "field: hosts", plain("300", uri="sip:b@300.1.1.1"), 400, "URI"),
    Case("a port that is none", "field: hosts", plain("port", uri="sip:b@example.net:65536"), 400, "URI"),
    Case("a port of zero", "field: hosts", plain("zero", uri="sip:b@example.net:0"), 400, "URI"),
    Case("a port of no digits", "field: hosts", plain("colon", uri="sip:100@example.net:")),
    Case("a port of no digits before a parameter", "field: hosts", plain("colons", uri="sip:100@example.net:;x=y")),
    Case("a port of letters", "field: hosts", plain("letters port", uri="sip:b@example.net:x"), 400, "URI"),
    Case("an open question mark", "field: hosts", plain("question", uri="sip:b@example.net?")),
    Case("a question mark in the user", "field: users", plain("user mark", uri="sip:b?x=y@example.net")),
    Case("quotes that quote nothing", "field: quotes", plain("quoted", sender='""x"" <sip:a@b.example>;tag=1')),
    Case("quotes and more quotes", "field: quotes", plain("more", sender='"a" "b, c" <sip:a@b.example>;tag=1')),
    Case("a comma behind From", "7.3.1", plain("comma from", sender="<sip:anna@example.org>;tag=1,"), 400, "FROM"),
]  # fmt: skip

# ---------------------------------------------------------------- single headers

VIAS = [
    Case("rport", "RFC 3581 4", plain("rport", "INVITE", via="SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bK.{name}"),
         port=50600),
    Case("rport with a value of the sender's", "RFC 3581 4", plain(
        "spoofed", "INVITE", via="SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK.{name};rport = 5070;x=y"), port=50600),
    Case("received of the sender's", "18.2.1", plain(
        "received", "INVITE", via="SIP/2.0/UDP 10.0.0.1:5070;received=192.0.2.66;branch=z9hG4bK.{name}"), port=5070),
    Case("both of the sender's", "18.2.1", plain(
        "both", "INVITE",
        via="SIP/2.0/UDP 192.0.2.1;received=192.0.2.66;ttl=1;rport=7;branch=z9hG4bK.{name}"), port=50600),
    Case("both, the other way round", "18.2.1", plain(
        "around", "INVITE", via='SIP/2.0/UDP 192.0.2.1;rport;received="x" ;branch=z9hG4bK.{name}'), port=50600),
    Case("received without a value", "18.2.1", plain(
        "flag", "INVITE", via="SIP/2.0/UDP 192.0.2.1;received;branch=z9hG4bK.{name}")),
    Case("Vias in one line", "7.3.1", plain(
        "line", via="SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK.{name},SIP/2.0/TCP a.example;branch=x2 ,\r\n SIP/2.0/UDP b")),
    Case("a comma at the end of Via", "7.3.1", plain("comma", via="SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK.{name},")),
    Case("an old parameter maddr", "18.2.2", plain(
        "maddr", via="SIP/2.0/UDP a.example;maddr=239.1.1.1;ttl=16;branch=x")),
    Case("a port that is none", "18.2.1", plain("port", via="SIP/2.0/UDP 10.0.0.1:70000;branch=z9hG4bK.{name}"), 400,
         "VIA"),
    Case("rport beyond its range", "RFC 3581 4", plain("range", via="SIP/2.0/UDP 10.0.0.1;rport=65536"), 400, "VIA",
         port=50600),
    Case("no place at all", "18.2.1", plain("nowhere", via="SIP/2.0/UDP"), DROP, "VIA"),
    Case("no Via", "8.1.1", plain("no via", via=None), DROP, "VIA"),
    Case("an unreadable Via below", "16.3", plain("below", more=["Via: ;;,,"])),
]  # fmt: skip

NUMBERS = [
    Case("no Max-Forwards", "16.6 item 3", plain("none", max_forwards=None)),
    Case("the last hop but one", "16.6 item 3", plain("one", max_forwards="1")),
    Case("255 hops", "16.6 item 3", plain("255", max_forwards="0255")),
    Case("256 hops", "20.22", plain("256", max_forwards="256"), 400, "MAX_FORWARDS"),
    Case("a negative number of hops", "20.22", plain("hops", max_forwards="-1"), 400, "MAX_FORWARDS"),
    Case("hops and a comment", "20.22", plain("comment", max_forwards="70 (many)"), 400, "MAX_FORWARDS"),
    Case("no number of hops", "20.22", plain("blank", max_forwards=""), 400, "MAX_FORWARDS"),
    Case("CSeq zero", "8.1.1.5", plain("zero", cseq="0 {method}")),
    Case("the highest CSeq", "8.1.1.5", plain("highest", cseq="2147483647 {method}")),
    Case("a CSeq that is too high and understood", "8.1.1.5", plain("high", cseq="2147483648 {method}")),
    Case("a CSeq of 32 bits", "8.1.1.5", plain("32 bits", cseq="4294967295 {method}")),
    Case("a CSeq beyond 32 bits", "8.1.1.5", plain("33 bits", cseq="4294967296 {method}"), 400, "CSEQ"),
    Case("CSeq with zeros before", "8.1.1.5", plain("zeros", cseq="000000000000000012 {method}")),
    Case("more zeros than a number may have", "8.1.1.5", plain("19", cseq="0000000000000000012 {method}"), 400, "CSEQ"),
    Case("a negative CSeq", "8.1.1.5", plain("minus", cseq="-1 {method}"), 400, "CSEQ"),
    Case("a CSeq without a method", "8.1.1.5", plain("method", cseq="1"), 400, "CSEQ"),
    Case("a body longer than announced", "18.3", plain("shorter", more=["Content-Length: 3"], body="abcdef")),
    Case("a body as announced twice", "18.3", plain("same", more=["l: 3", "Content-Length: 003"], body="abc")),
    Case("no announcement", "18.3", plain("rest", body="to the end")),
    Case("one octet missing", "18.3", plain("missing", more=["Content-Length: 4"], body="abc"), 400, "CONTENT_LENGTH"),
    Case("an empty announcement", "18.3", plain("nothing", more=["Content-Length:"]), 400, "CONTENT_LENGTH"),
    Case("an announcement of 64 bits", "18.3", plain("64", more=["l: 18446744073709551616"]), 400, "CONTENT_LENGTH"),
]  # fmt: skip

TWICE = [
    Case(f"{name} twice", "7.3.1", plain(name, more=[f"{name}: {value}"]), 400, "DUPLICATE")
    for name, value in (("From", "<sip:anna@example.org>;tag=a1"), ("t", "<sip:bob@example.net>"), ("Call-ID", "x"),
                        ("CSeq", "1 OPTIONS"), ("Max-Forwards", "70"))
]  # fmt: skip

MISSING = [
    Case("no From", "8.1.1", plain("no from", sender=None), DROP, "FROM"),
    Case("no To", "8.1.1", plain("no to", to=None), DROP, "TO"),
    Case("no Call-ID", "8.1.1", plain("no call-id", call_id=None), DROP, "CALL_ID"),
    Case("no CSeq", "8.1.1", plain("no cseq", cseq=None), DROP, "CSEQ"),
    Case("an empty From", "8.1.1", plain("empty from", sender=""), 400, "FROM"),
    Case("an empty Call-ID", "8.1.1", plain("empty call-id", call_id=""), 400, "CALL_ID"),
    Case("no tag in From", "12.1.2", plain("untagged", sender="sip:anna@example.org")),
    Case("an empty tag in From", "7.3.1", plain("empty tag", sender="<sip:anna@example.org>;tag="), 400, "FROM"),
    *(Case(f"an empty tag in To, as {tag!r}", "7.3.1", plain(f"empty to{i}", to=f"<sip:bob@example.net>{tag}"), 400,
           "TO") for i, tag in enumerate((";tag=", ";tag", ";x=y;Tag = ", ";tag=;x=y", ";tag ;tag=z"))),
    Case("two values in To", "20.39", plain("values", to="<sip:bob@example.net>, <sip:c@example.net>"), 400, "TO"),
]  # fmt: skip

# ---------------------------------------------------------------- the rest

EXTENSIONS = [
    Case("long headers that nobody knows", "16.3 item 1", plain(
        "long", "INVITE", more=[f"Identity: {LONG_TOKEN};info=<https://c.example/p.cer>;alg=ES256;ppt=shaken",
                                "P-Charging-Vector: icid-value=\"a,;b\";icid-generated-at=10.0.0.1",
                                f"X-{'n' * 200}: {'v' * 2000}",
                                f"User-to-User: {'56a390f3d2b7310023' * 14};encoding=hex"])),
    Case("headers that are not ours to judge", "16.3 item 1", plain(
        "judge", more=["Contact: <<<", "Record-Route: ;;", "Expires: soon", "Session-Expires: -1", "Date: yesterday",
                       "Require: ,,", "Content-Type:", "Retry-After: x", "Reason: ;cause=", "Authorization: \""])),
    Case("Routes of others, spread out", "wire 1", plain("routes", more=[
        "Route: <sip:a.example;lr>, <sip:b.example;lr>", "X: y", "Route: <sip:c.example>", "Route: <sip:d.example>"])),
    Case("a Route that cannot be read", "wire 1", plain("route", more=["Route: <sip:a.example;lr"])),
    Case("a Route of another scheme", "wire 1", plain("http", more=["Route: <http://a.example>"])),
    Case("a Route without a value", "7.3.1", plain("no route", more=["Route:", "Route: , ,"])),
    Case("commas too many in a Route", "7.3.1", plain("route commas", more=["Route: ,<sip:a.example;lr>,,"])),
    Case("an emergency", "wire 1", plain("sos", "INVITE", "urn:service:sos")),
    Case("a publication", "field: methods", plain("publish", "PUBLISH", more=["Event: presence", "Expires: 3600"])),
    Case("OPTIONS for us", "wire 1", plain("us", uri="sip:10.0.0.254"), 200),
    Case("OPTIONS for us, no hops left", "wire 1", plain("last", uri="sip:10.0.0.254:5060", max_forwards="0"), 200),
    Case("a secure Request-URI", "field: methods", plain("sips", uri="sips:bob@example.net"), 480),
]  # fmt: skip

NOISE = [
    Case("a keep-alive", "RFC 5626 3.5.1", b"\r\n\r\n", DROP, "EMPTY"),
    Case("a single NUL", "field: noise", b"\0", DROP, "EMPTY"),
    Case("nothing", "field: noise", b"", DROP, "EMPTY"),
    Case("a STUN request", "field: noise", b"\0\1\0\0\x21\x12\xa4\x42" + bytes(range(12)), DROP, "NOT_SIP"),
    Case("a TLS greeting", "field: noise", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 32, DROP,
         "NOT_SIP"),
    Case("a web request", "field: noise", b"GET / HTTP/1.1\r\nHost: example.net\r\n\r\n", DROP, "NOT_SIP"),
    Case("a start line alone", "field: noise", b"OPTIONS sip:nm SIP/2.0\r\n", DROP, "VIA"),
    Case("a start line without its end", "field: noise", b"OPTIONS sip:nm SIP/2.0", DROP, "HEADER"),
    Case("only a body", "field: noise", b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\n", DROP, "NOT_SIP"),
]  # fmt: skip

CASES = SPELLING + ADDRESSES + VIAS + NUMBERS + TWICE + MISSING + EXTENSIONS + NOISE
