"""What of SIP nobody upstairs can do without."""

import re

PORT = 5060  # of UDP and TCP, when nobody names one (RFC 3261 section 19.1.2)

_CALL_ID = re.compile(rb"^(?:call-id|i)[ \t]*:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


def call_id_in(message: bytes) -> bytes:
    """The Call-ID of a message as it stands on the wire, long or compact (RFC 3261 sections 7.3.3 and 20.8), empty
    without one.  Its time grows with the length alone, whatever a stranger writes there.
    """
    found = _CALL_ID.search(message)
    return found[1].strip(b" \t") if found else b""
