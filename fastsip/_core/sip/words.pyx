"""The one vocabulary: header names and their compact forms, methods, the usual reason phrases.

Whoever reads, compares, writes or configures such a word takes it from here, so that no two places can come to
differ.  The tables are filled at import; kernels look words up by find_word.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memset, strlen

from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport (
    H_AUTHORIZATION, H_CALL_ID, H_CONTACT, H_CONTENT_LENGTH, H_CONTENT_TYPE, H_CSEQ, H_EXPIRES, H_FROM, H_JOIN,
    H_MAX_BREADTH, H_MAX_FORWARDS, H_PROXY_AUTHENTICATE, H_PROXY_AUTHORIZATION, H_PROXY_REQUIRE, H_REASON,
    H_RECORD_ROUTE, H_REPLACES, H_REQUIRE, H_RETRY_AFTER, H_ROUTE, H_SESSION_EXPIRES, H_SUPPORTED, H_TARGET_DIALOG,
    H_TIMESTAMP, H_TO, H_VIA, H_WWW_AUTHENTICATE, METHOD_COUNT, M_INVITE, M_OTHER,
)
from fastsip._core.sip.chars cimport learn_word

# In the order of method_id, which the store keeps as a number: another method goes to the end.
cdef const char *METHOD_TEXT[METHOD_COUNT]
METHOD_TEXT[:] = [b"", b"INVITE", b"ACK", b"BYE", b"CANCEL", b"OPTIONS", b"REGISTER", b"PRACK", b"SUBSCRIBE",
                  b"NOTIFY", b"PUBLISH", b"INFO", b"REFER", b"MESSAGE", b"UPDATE"]

cdef const char *phrases[700]             # [status], NULL = no usual one


cdef const char *method_text(int method, uint32_t *len) noexcept nogil:
    """The method's name and its length; empty for M_OTHER."""
    if method <= M_OTHER or method >= METHOD_COUNT:
        len[0] = 0
        return b""
    len[0] = <uint32_t> strlen(METHOD_TEXT[method])
    check(match_method(METHOD_TEXT[method], len[0]) == method)
    return METHOD_TEXT[method]


cdef const char *usual_phrase(int status, uint32_t *len) noexcept nogil:
    """A phrase is read by people alone (7.2): a status that has none here, which a rule may name, gets a plain one."""
    cdef const char *phrase = phrases[status] if 0 <= status < 700 else NULL
    if phrase == NULL:
        phrase = b"Failure"
    len[0] = <uint32_t>strlen(phrase)
    check(len[0] > 0)
    return phrase


# ---------------------------------------------------------------- at import

HEADER_IDS = {
    b"via": H_VIA, b"from": H_FROM, b"to": H_TO, b"call-id": H_CALL_ID, b"cseq": H_CSEQ,
    b"max-forwards": H_MAX_FORWARDS, b"content-length": H_CONTENT_LENGTH, b"route": H_ROUTE,
    b"record-route": H_RECORD_ROUTE, b"contact": H_CONTACT, b"content-type": H_CONTENT_TYPE,
    b"require": H_REQUIRE, b"proxy-require": H_PROXY_REQUIRE, b"supported": H_SUPPORTED,
    b"authorization": H_AUTHORIZATION, b"proxy-authorization": H_PROXY_AUTHORIZATION,
    b"www-authenticate": H_WWW_AUTHENTICATE, b"proxy-authenticate": H_PROXY_AUTHENTICATE,
    b"retry-after": H_RETRY_AFTER, b"reason": H_REASON, b"expires": H_EXPIRES,
    b"session-expires": H_SESSION_EXPIRES, b"replaces": H_REPLACES, b"join": H_JOIN,
    b"target-dialog": H_TARGET_DIALOG, b"max-breadth": H_MAX_BREADTH, b"timestamp": H_TIMESTAMP,
}
# All that IANA has registered: RFC 3261 section 7.3.3, RFC 3515, 3841, 3892, 4028, 4474, 6665.
COMPACT_FORMS = {
    b"a": b"accept-contact", b"b": b"referred-by", b"c": b"content-type", b"d": b"request-disposition",
    b"e": b"content-encoding", b"f": b"from", b"i": b"call-id", b"j": b"reject-contact", b"k": b"supported",
    b"l": b"content-length", b"m": b"contact", b"n": b"identity-info", b"o": b"event", b"r": b"refer-to",
    b"s": b"subject", b"t": b"to", b"u": b"allow-events", b"v": b"via", b"x": b"session-expires", b"y": b"identity",
}
METHOD_IDS = {METHOD_TEXT[_id]: _id for _id in range(M_INVITE, METHOD_COUNT)}
METHOD_NAMES = ("other", *(_text.decode() for _text in METHOD_IDS))     # [method_id]

# Those that the router says itself, and common ones that rules name; another status needs no line here (usual_phrase).
PHRASES = {
    100: b"Trying", 181: b"Call Is Being Forwarded", 200: b"OK",
    400: b"Bad Request", 403: b"Forbidden", 404: b"Not Found", 405: b"Method Not Allowed",
    408: b"Request Timeout", 410: b"Gone", 413: b"Request Entity Too Large",
    414: b"Request-URI Too Long", 416: b"Unsupported URI Scheme", 420: b"Bad Extension",
    440: b"Max-Breadth Exceeded", 480: b"Temporarily Unavailable",
    481: b"Call/Transaction Does Not Exist", 482: b"Loop Detected",
    483: b"Too Many Hops", 484: b"Address Incomplete", 486: b"Busy Here", 487: b"Request Terminated",
    488: b"Not Acceptable Here", 500: b"Server Internal Error", 501: b"Not Implemented",
    502: b"Bad Gateway", 503: b"Service Unavailable", 504: b"Server Time-out",
    505: b"Version Not Supported", 513: b"Message Too Large", 600: b"Busy Everywhere", 603: b"Decline",
    604: b"Does Not Exist Anywhere", 606: b"Not Acceptable",
}

for _text, _id in HEADER_IDS.items():
    learn_word(&HEADERS, _text, _id, True)
for _letter, _text in COMPACT_FORMS.items():
    if _text in HEADER_IDS:
        learn_word(&HEADERS, _letter, HEADER_IDS[_text], True)
    else:
        learn_word(&COMPACT, _letter, ord(_letter), True)
        learn_word(&COMPACT, _text, ord(_letter), True)
for _text, _id in METHOD_IDS.items():
    learn_word(&METHODS, _text, _id, False)

memset(phrases, 0, sizeof(phrases))
cdef bytes _phrase
for _status, _phrase in PHRASES.items():
    phrases[_status] = _phrase          # PHRASES keeps the bytes alive
