"""The ideas of RFC 5118, section by section, in messages of our own."""

from .case import Case, plain

SDP = "v=0\r\no=- 1 1 IN IP6 2001:db8::20\r\ns=-\r\nc=IN IP6 2001:db8::20\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n"
MIXED = SDP + "m=video 6024 RTP/AVP 107\r\nc=IN IP4 192.0.2.20\r\n"
VIA = "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bK.{name}"


def sdp_lines(body: str) -> list[str]:
    return ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]


CASES = [
    Case("an IPv6 reference", "RFC 5118 4.1", plain(
        "good", "REGISTER", "sip:[2001:db8::10]", via=VIA, more=['Contact: "C" <sip:caller@[2001:db8::1]>'])),
    Case("without its brackets", "RFC 5118 4.2", plain("bad", "REGISTER", "sip:2001:db8::10", via=VIA), 400, "URI"),
    Case("a port that is none", "RFC 5118 4.3", plain("ambiguous", "REGISTER", "sip:[2001:db8::10:5070]", via=VIA)),
    Case("a port behind the brackets", "RFC 5118 4.4", plain("port", "REGISTER", "sip:[2001:db8::10]:5070", via=VIA)),
    Case("received with brackets", "RFC 5118 4.5", plain(
        "delimiters", "BYE", "sip:[2001:db8::10]", via=VIA + ";received=[2001:db8::9:255]", to="<sip:b@e>;tag=b")),
    Case("received without brackets", "RFC 5118 4.5", plain(
        "none", via=VIA + ";received=2001:db8::9:255;x=y", uri="sip:[2001:db8::10]")),
    Case("IPv6 in the body", "RFC 5118 4.6", plain(
        "sdp", "INVITE", "sip:user@[2001:db8::10]", via=VIA, more=sdp_lines(SDP), body=SDP)),
    Case("both families in the headers", "RFC 5118 4.7", plain(
        "headers", "BYE", "sip:user@host.example.net", via="SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bK.m",
        to="<sip:b@example.net>;tag=9817--94", more=[
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144",
            "Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200"])),
    Case("both families in the body", "RFC 5118 4.8", plain(
        "mixed", "INVITE", "sip:user@[2001:db8::10]", via=VIA, more=sdp_lines(MIXED), body=MIXED)),
    Case("IPv4 mapped into IPv6", "RFC 5118 4.9", plain(
        "mapped", "INVITE", via="SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19",
        more=["Contact: <sip:t@[::ffff:192.0.2.2]>"]), port=19823),
    Case("three colons", "RFC 5118 4.10", plain("three", uri="sip:user@[2001:db8:::192.0.2.1]", via=VIA)),
    Case("two colons", "RFC 5118 4.10", plain("two", uri="sip:user@[2001:db8::192.0.2.1]", via=VIA)),
]  # fmt: skip
