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
