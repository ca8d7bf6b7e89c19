"""Messages of our own for the tests and benchmarks of everything that reads SIP.

Each is bytes with CRLF line ends.  INVITE is the one that costs are quoted for:
1,264 bytes, 18 headers, as it reaches a router behind another one.
"""


def message(text: str, body: bytes = b"") -> bytes:
    """Lines as written here, to the wire; the header's end is added."""
    return text.strip("\n").replace("\n", "\r\n").encode() + b"\r\n\r\n" + body


_SDP = b"".join(
    line + b"\r\n"
    for line in (
        b"v=0",
        b"o=switch 1727 1727 IN IP4 198.51.100.21",
        b"s=call",
        b"c=IN IP4 198.51.100.21",
        b"t=0 0",
        b"m=audio 21344 RTP/AVP 8 0 101",
        b"a=rtpmap:8 PCMA/8000",
        b"a=rtpmap:0 PCMU/8000",
        b"a=rtpmap:101 telephone-event/8000",
        b"a=fmtp:101 0-15",
        b"a=ptime:20",
        b"a=maxptime:40",
        b"a=rtcp:21345 IN IP4 198.51.100.21",
        b"a=sendrecv",
    )
)

INVITE = message(
    f"""
INVITE sip:+4930901820@203.0.113.4:5060;user=phone;transport=udp SIP/2.0
Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK7f3a.6d1e0c52b9;rport
Via: SIP/2.0/UDP 198.51.100.21:5080;branch=z9hG4bK-2-77aa91;received=198.51.100.21
Record-Route: <sip:s3k.7hq2@198.51.100.20:5060;lr;ftag=9fe31c>
Record-Route: <sip:198.51.100.21:5080;lr>
Route: <sip:203.0.113.4:5060;lr>
From: "Anna Beispiel" <sip:+4989123456@carrier.example;user=phone>;tag=9fe31c
To: <sip:+4930901820@carrier.example;user=phone>
Call-ID: 8c41f2d0-77be-4a1b-9a52-5be9d7a1c3f4@198.51.100.21
CSeq: 4711 INVITE
Contact: <sip:+4989123456@198.51.100.21:5080;transport=udp>
Max-Forwards: 68
Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY
Supported: 100rel, timer, replaces
Session-Expires: 1800;refresher=uac
P-Asserted-Identity: <sip:+4989123456@carrier.example;user=phone>
User-Agent: Beispiel-SBC/7.4.2 (build 20911)
Content-Type: application/sdp
Content-Length: {len(_SDP)}
""",
    _SDP,
)

# A message on its way back: reason with blanks, tags on both sides, one body-less.
OK = message("""
SIP/2.0 200 All is well
Via: SIP/2.0/UDP 203.0.113.4:5060;branch=z9hG4bKmfrggzdfmztwq;fs=1a2b3c
Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK7f3a.6d1e0c52b9;rport=5060
Record-Route: <sip:abcd@203.0.113.4;lr>
From: "Anna Beispiel" <sip:+4989123456@carrier.example;user=phone>;tag=9fe31c
To: <sip:+4930901820@carrier.example;user=phone>;tag=callee-1
Call-ID: 8c41f2d0-77be-4a1b-9a52-5be9d7a1c3f4@198.51.100.21
CSeq: 4711 INVITE
Contact: <sip:ms1@10.0.0.2>
Content-Length: 0
""")

# Everything the grammar lets a sender do with white space and names.
FOLDED = message("""
OPTIONS sip:desk;lane=4@[2001:db8::7]:5070;lr SIP/2.0
v  :  SIP /
 2.0 / UDP
	pbx.example  : 5062 ;
  BRANCH = z9HG4bKfold ; Received = [2001:db8::9] , SIP/2.0/TCP other.example;branch=z9hG4bKtwo
FROM: "comma, \\"quote\\" and <angle>" <sip:a@b.example>
 ; TAG = one
t: sip:desk@c.example;tag=two;x="a;b,c"
i:
 fold.1@pbx.example
cSeQ :00012
 OPTIONS
MAX-FORWARDS:007
X-Odd: ;;,=?"
s:
l: 0
""")

COMMA_VIAS = message("""
BYE sip:x@example.com SIP/2.0
Via: SIP/2.0/UDP a.example;branch=z9hG4bK1,SIP/2.0/UDP b.example;branch=z9hG4bK2
v: SIP/2.0/TLS c.example:5061;branch="quoted, twice";fs=h1
From: <sip:a@a.example>;tag=1
To: b.example.user <sip:b@b.example>;tag=2
Call-ID: comma
CSeq: 2 BYE
Route: <sip:r1.example;lr>, "r, two" <sip:r2.example;lr>;p=1,<sip:r3.example>
""")

# RFC 2543 without branch, tag and Content-Length, but with a body.
OLD = message("""
INVITE sip:old@example.org SIP/2.0
Via: SIP/2.0/UDP old.example.org
From: <sip:phone@old.example.org>
To: sip:old@example.org
Call-ID: 1
CSeq: 1 INVITE
Subject: first
""", b"v=0\r\ns=-\r\n")

# An unknown method made of every mark that a token may hold, and binary text.
TOKENS = message("""
-.!%*_+`'~aZ09 sip:%41@example.net SIP/2.0
Via: SIP/2.0/X-Any host_1.example.net;branch=z9hG4bK-.!%*_+`'~;-.!%*_+`'~="\u00fc"
From: "caf\u00e9 \\\u0007" <sip:a@example.net>;tag=-.!%*_+`'~
To: \u00fcber<sip:b@example.net>
Call-ID: w<o>r:d\\/"[]?{}@!%*
CSeq: 2147483647 -.!%*_+`'~aZ09
-.!%*_+`'~: \u00e4
Max-Forwards: 255
""")

ALL = {"INVITE": INVITE, "OK": OK, "FOLDED": FOLDED, "COMMA_VIAS": COMMA_VIAS, "OLD": OLD, "TOKENS": TOKENS}
