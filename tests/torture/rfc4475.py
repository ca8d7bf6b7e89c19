"""The ideas of RFC 4475, section by section, in messages of our own."""

from .case import DROP, FORWARD, Case, plain, sip

EVERY_MARK = "-.!%*_+`'~"
PART = "=_part-7"
BINARY = f"--{PART}\r\n\r\nHello\r\n--{PART}\nContent-Type: x\r\n\r\n0\x82\x01\0\r\n\r\n\xff--{PART}--\n\n"

VALID = [
    Case("folds and blanks wherever they may stand", "RFC 4475 3.1.1.1", sip("""
INVITE sip:anna@chair.example.net;odd=1 SIP/2.0
TO :
 sip:anna@chair.example.net ;   tag    = 77aaZ
from   : "A. \\\\ Quoted \\"Name\\"" <sip:caller@example.org>
  ;
  tag = f3
MaX-fOrWaRdS: 0068
Call-ID: folded.1@192.0.2.11
Content-Length   : 7
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.12;branch=nocookie
s :
NewHeader: newly defined
 over a fold that
\tnobody knows
UnknownOne: ;;,,;;,;
Content-Type: text/plain
Route:
 <sip:elsewhere.example.org;lr;unknown=value;more>
v:  SIP  / 2.0  / TCP     spindle.example.org   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted \\"\\"" <sip:caller@caller.example.org> ; newparam =
      newvalue ;
  second ; q = 0.33
""", "v=0\r\n\r\n")),
    Case("every letter that a token may hold", "RFC 4475 3.1.1.2", sip(f"""
!odd-Method09_*+`.%indeed'~ sip:1_odd.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,pas$wo~d(x)@example.net SIP/2.0
Via: SIP/2.0/TCP host1.example.net;branch=z9hG4bK{EVERY_MARK}
To: "NUL:\\\0 DEL:\\\x7f BEL:\\\x07" <sip:1_odd.URI~(x)@example.net>
From: <sip:odd@example.org;{EVERY_MARK}=x>;tag={EVERY_MARK};x=\xc3\xa9
Max-Forwards: 255
Call-ID: word{EVERY_MARK}@word`~)(><:\\/\"][?}}{{
CSeq: 139122385 !odd-Method09_*+`.%indeed'~
{EVERY_MARK}Header: \xef\xbb\xbf\xd8\xa3 \xe6\x97\xa5\xe6\x9c\xac
Content-Length: 0
""")),
    Case("escapes in the user stay as they are", "RFC 4475 3.1.1.3", plain(
        "escapes", "INVITE", "sip:sips%3Abob%40example.org@example.net", to="<sip:%62ob@example.net>",
        more=["Contact: <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>"])),
    Case("escaped NULs are three letters each", "RFC 4475 3.1.1.4", plain(
        "nulls", "REGISTER", "sip:example.net", sender="sip:null-%00-null@example.net;tag=8",
        to="sip:null-%00-null@example.net",
        more=["Contact: <sip:%00@host5.example.net>", "Contact: <sip:%00%00@host5.example.net>"])),
    Case("a percent sign that escapes nothing", "RFC 4475 3.1.1.5", plain(
        "percent", "RE%47IST%45R", "sip:registrar.example.net", to='"%Z%45" <sip:res@example.net>',
        more=["Contact: <sip:a@host.example.net>", "C%6Fntact: <sip:b@host.example.net>"])),
    Case("no blank between name and bracket", "RFC 4475 3.1.1.6", plain(
        "bracket", sender="caller<sip:caller@example.org>;tag=323")),
    Case("long values", "RFC 4475 3.1.1.7", plain(
        "long", "INVITE", via="SIP/2.0/TCP sip33.example.net",
        to=f'"{"I have a user name of extreme proportions. " * 9}" <sip:{"u" * 300}@example.net'
           f':6000;unknownparam1={"v" * 200}>', sender=f'<sip:{"long" * 40}@example.org>;tag={"12" * 90}',
        call_id="longreq.one" + "really" * 30 + "longcallid",
        more=[f"{'Unknown' * 20}: {'long, unknown ' * 30}"]
        + [f"{('Via', 'v', 'VIA', 'v  ')[i % 4]}: SIP/2.0/TCP sip{32 - i}.example.net;branch=z9hG4bK{i}"
           for i in range(33)])),
    Case("octets behind the body", "RFC 4475 3.1.1.8", plain(
        "trailing", "REGISTER", "sip:example.net", more=["Content-Length: 0"],
        body=plain("behind", "INVITE", "sip:joe@example.net"))),
    Case("a semicolon in the user", "RFC 4475 3.1.1.9", plain(
        "semicolon", uri="sip:user;par=u%40example.org@example.net", to="sip:x@example.net")),
    Case("transports of all kinds", "RFC 4475 3.1.1.10", plain("transports", more=[
        "Via: SIP/2.0/SCTP t2.example.net;branch=z9hG4bK2", "Via: SIP/2.0/TLS t3.example.net;branch=z9hG4bK3",
        "Via: SIP/2.0/UNKNOWN t4.example.net;branch=z9hG4bK4", "Via: SIP/2.0/TCP t5.example.net"])),
    Case("a binary part", "RFC 4475 3.1.1.11", plain(
        "multipart", "MESSAGE", body=BINARY,
        more=[f"Content-Type: multipart/mixed;boundary={PART}", f"Content-Length: {len(BINARY)}"])),
    Case("a date in a zone that is none", "RFC 4475 3.1.2.12", plain(
        "date", "INVITE", more=["Date: Fri, 01 Jan 2010 16:00:00 EST"])),
    Case("a Contact that should have brackets", "RFC 4475 3.1.2.13", plain(
        "contact", "REGISTER", "sip:example.net", more=["Contact: sip:bob@example.net?Route=%3Csip:a.example%3E"])),
    Case("blanks inside the brackets", "RFC 4475 3.1.2.14", plain(
        "addr-spec", to='"Watson, T." < sip:t.watson@example.net >')),
    Case("the bare cookie as branch", "RFC 4475 3.2.1", plain(
        "bare cookie", via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK")),
    Case("unknown schemes where nobody looks", "RFC 4475 3.3.4", plain(
        "schemes", "REGISTER", "sip:example.net", to="isbn:2983792873", sender="<http://www.example.org>;tag=3",
        more=["Contact: <name:John_Smith>"])),
    Case("a body of an unknown type", "RFC 4475 3.3.6", plain(
        "type", "INVITE", more=["Content-Type: application/unknownformat", "Content-Length: 11"],
        body="\x01\x02\0 audio\r\n")),
    Case("an unknown way to authenticate", "RFC 4475 3.3.7", plain(
        "scheme", "REGISTER", "sip:example.net", more=['Authorization: NoOneKnows opaque-data=here,"q,x=y'])),
    Case("a parameter of Contact", "RFC 4475 3.3.12", plain(
        "contact parameter", "REGISTER", "sip:example.net", more=["Contact: sip:+12345@example.net;unknownparam"])),
    Case("a parameter of the URI in Contact", "RFC 4475 3.3.13", plain(
        "uri parameter", "REGISTER", "sip:example.net", more=["Contact: <sip:+12345@example.net;unknownparam>"])),
    Case("a Contact with a header", "RFC 4475 3.3.14", plain(
        "contact header", "REGISTER", "sip:example.net", more=["m: <sip:bob@example.net?Route=%3Csip:a.example%3E>"])),
    Case("an Accept that nobody can meet", "RFC 4475 3.3.15", plain(
        "accept", "INVITE", more=["Accept: text/nobodyKnowsThis"])),
    Case("the syntax of RFC 2543", "RFC 4475 3.4.1", plain(
        "old", "INVITE", via="SIP/2.0/UDP gw.example.net", max_forwards=None, sender="<sip:+1303@gw.example.net>",
        more=["Record-Route: <sip:UserB@example.net;maddr=ss1.example.net>"], body="v=0\r\no=- 0 0 IN IP4 0\r\n")),
]  # fmt: skip

# Odd, but nothing else can be meant: carried on, and what the RFC lets nobody hand on is mended.
BORNE = [
    Case("two blanks on either side", "RFC 4475 3.1.2.9", plain(
        "two", start="OPTIONS  sip:bob@example.net \t SIP/2.0")),
    Case("blanks behind the version", "RFC 4475 3.1.2.10", plain(
        "behind", start="OPTIONS sip:bob@example.net SIP/2.0  ")),
    Case("a header inside the Request-URI", "RFC 4475 3.1.2.11", plain(
        "escaped header", uri="sip:bob@example.net?Route=%3Csip:a.example%3E")),
    Case("an unknown scheme", "RFC 4475 3.3.2", plain("unknown", uri="nobodyKnowsThis:opaque")),
    Case("a known scheme that is not routed", "RFC 4475 3.3.3", plain("beep", uri="soap.beep://192.0.2.103:3002")),
]  # fmt: skip

REFUSED = [
    Case("separators with nothing between", "RFC 4475 3.1.2.1", plain(
        "separators", via="SIP/2.0/UDP 192.0.2.15;;,;,,", more=['Contact: "Joe" <sip:joe@example.net>;;;;']),
        400, "VIA"),
    Case("a body that does not come", "RFC 4475 3.1.2.2", plain(
        "short", more=["Content-Length: 9999"], body="v=0"), 400, "CONTENT_LENGTH"),
    Case("a negative length", "RFC 4475 3.1.2.3", plain("negative", more=["Content-Length: -999"]), 400,
         "CONTENT_LENGTH"),
    Case("numbers beyond their range", "RFC 4475 3.1.2.4", plain(
        "scalars", "REGISTER", cseq="36893488147419103232 REGISTER", max_forwards="300",
        more=["Expires: " + "1" * 100, "Contact: <sip:a@h.example.net>;expires=280297596632815"]), 400, "CSEQ"),
    Case("a quote without its end", "RFC 4475 3.1.2.6", plain("quote", to='"Mr. Bob <sip:bob@example.net>'), 400,
         "TO"),
    Case("brackets around the Request-URI", "RFC 4475 3.1.2.7", plain("brackets", uri="<sip:bob@example.net>"), 400,
         "START_LINE"),
    Case("a blank in the Request-URI", "RFC 4475 3.1.2.8", plain("blank", uri="sip:bob@example.net; lr"), 400,
         "START_LINE"),
    Case("a display name with a comma", "RFC 4475 3.1.2.15", plain(
        "comma", sender="Bell, Alexander <sip:a.g.bell@example.org>;tag=43"), 400, "FROM"),
    Case("a version that is not ours", "RFC 4475 3.1.2.16", plain(
        "version", start="OPTIONS sip:bob@example.net SIP/7.0", via="SIP/7.0/UDP c.example.org;branch=z9hG4bK7"), 505,
        "VERSION"),
    Case("another method in CSeq", "RFC 4475 3.1.2.17", plain("mismatch", cseq="8 INVITE"), 400, "CSEQ"),
    Case("an unknown method, another in CSeq", "RFC 4475 3.1.2.18", plain("newmethod", "NEWMETHOD", cseq="8 INVITE"),
         400, "CSEQ"),
    Case("Call-ID, From and To are missing", "RFC 4475 3.3.1", plain(
        "insufficient", "INVITE", call_id=None, sender=None, to=None), DROP, "FROM"),
    Case("extensions that are required", "RFC 4475 3.3.5", plain(
        "required", more=["Require: nothingSupportsThis", "Proxy-Require: noProxySupportsThis, norThis"]), 420),
    Case("two values where one may stand", "RFC 4475 3.3.8", plain(
        "twice", "INVITE", more=["Call-ID: other", "CSeq: 8 INVITE", "From: <sip:x@example.org>;tag=2",
                                 "To: <sip:y@example.net>", "Max-Forwards: 5"]), 400, "DUPLICATE"),
    Case("two lengths", "RFC 4475 3.3.9", plain(
        "lengths", more=["Content-Length: 13", "Content-Length: 5"], body="There's no way to know"), 400,
        "CONTENT_LENGTH"),
    Case("no hops left", "RFC 4475 3.3.11", plain("hops", max_forwards="0"), 483),
]  # fmt: skip

# Sent without a request of ours: their Via is not ours (18.1.2).
STRAY = [
    Case("an unusual reason phrase", "RFC 4475 3.1.1.12", plain(
        "reason", "INVITE", start="SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe"), DROP),
    Case("an empty reason phrase", "RFC 4475 3.1.1.13", plain("empty", "INVITE", start="SIP/2.0 100 "), DROP),
    Case("a response beyond all numbers", "RFC 4475 3.1.2.5", plain(
        "overflow", start="SIP/2.0 503 Service Unavailable", cseq="9292394834772304023312 OPTIONS",
        more=["Retry-After: 949302838503028349304023988", 'Warning: 1812 overture "In Progress"']), DROP, "CSEQ"),
    Case("a status code that wraps", "RFC 4475 3.1.2.19", plain("wraps", start="SIP/2.0 4294967301 better not"), DROP,
         "START_LINE"),
    Case("a broadcast address below", "RFC 4475 3.3.10", plain(
        "broadcast", "INVITE", start="SIP/2.0 200 OK", more=["Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1"]),
        DROP),
]  # fmt: skip

CASES = VALID + BORNE + REFUSED + STRAY
assert all(case.outcome == FORWARD for case in VALID + BORNE)
