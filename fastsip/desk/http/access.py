"""Who may what: over control.sock whoever may open it, over TCP who brings a token.

Of tokens only digests are known here, and they are compared in a time that says nothing of them.
"""

import hmac

import msgspec

from fastsip.config.secrets import digest_of_token

NOBODY, READ, ORDER = range(3)      # what a path needs, or what somebody may
SCHEME = "bearer "
LONGEST_TOKEN = 4096    # letters that are looked at


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """`token`, `read_token`: digests, b"" = nobody has one.  local: whoever comes may all."""

    local: bool = False
    token: bytes = b""
    read_token: bytes = b""

    def of(self, authorization: str) -> int:
        """What somebody may with this header."""
        if self.local:
            return ORDER
        if not authorization.lower().startswith(SCHEME) or len(authorization) > LONGEST_TOKEN:
            return NOBODY
        try:
            digest = digest_of_token(authorization[len(SCHEME) :].strip())
        except UnicodeEncodeError:      # bytes that are no text
            return NOBODY
        may_order, may_read = hmac.compare_digest(digest, self.token), hmac.compare_digest(digest, self.read_token)
        return ORDER if may_order else READ if may_read else NOBODY
