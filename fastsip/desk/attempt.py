"""One event to one receiver, once: what is sent, how it is signed, and what its answer means (docs/events.md#webhooks).

Redirects are not followed, certificates are checked, nothing of an answer is kept but its status.
"""

import hashlib
import hmac
import time
from email.utils import parsedate_to_datetime

import aiohttp
import msgspec

from fastsip.base.plain import reason
from fastsip.config.model import Webhook
from fastsip.events.follow import Event

MOST_ANSWER = 64 << 10      # bytes that are read of an answer's body, so that the connection can be used again
KEEP_ALIVE_S = 2.0          # a receiver that closes idle connections later than that closes none of ours in vain
LONGEST_RETRY_AFTER_S = 3600.0
COME_AGAIN = (408, 429)     # of 4xx; the others would say the same again


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """taken: the receiver has it.  final: asking again is of no use.  why: in words, when it was not taken."""

    taken: bool = False
    final: bool = False
    why: str = ""
    retry_after_s: float = 0.0


def signature(secret: str, at: int, body: bytes) -> str:
    """Of Fastsip-Signature: the second at which it was sent, and HMAC-SHA256 over that, a dot and the body."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def headers_of(webhook: Webhook, event: Event, body: bytes, release: str) -> dict[str, str]:
    found = {
        **dict(webhook.headers),
        "Content-Type": "application/json",
        "Fastsip-Event": event["event"],
        "Fastsip-Event-Id": str(event["id"]),
    }
    if not any(name.lower() == "user-agent" for name in found):
        found["User-Agent"] = f"fastsip/{release}"
    if webhook.secret:
        found["Fastsip-Signature"] = signature(webhook.secret, int(time.time()), body)
    return found


def open_session(webhook: Webhook) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1, keepalive_timeout=KEEP_ALIVE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=webhook.timeout_ms / 1000),
        auto_decompress=False,
    )


async def attempt(session: aiohttp.ClientSession, webhook: Webhook, event: Event, release: str) -> Outcome:
    """Never an exception of the network."""
    body = msgspec.json.encode(event)
    try:
        headers = headers_of(webhook, event, body, release)
        async with session.post(webhook.url, data=body, headers=headers, allow_redirects=False) as answer:
            outcome = judged(answer.status, answer.headers.get("Retry-After", ""))
            await read_some(answer)
            return outcome
    except TimeoutError:
        return Outcome(why=f"no answer within {webhook.timeout_ms / 1000:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Outcome(why=plain_words(error, webhook.url))


def judged(status: int, retry_after: str) -> Outcome:
    if 200 <= status < 300:
        return Outcome(taken=True)
    why = f"it answers {status}"
    if 400 <= status < 500 and status not in COME_AGAIN:
        return Outcome(final=True, why=why)
    return Outcome(why=why, retry_after_s=seconds_of(retry_after))


def seconds_of(retry_after: str) -> float:
    """RFC 9110 10.2.3: seconds or a date; 0 for what is neither, bounded."""
    try:
        if retry_after.isdecimal():
            found = float(retry_after)
        else:
            found = parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(found, 0.0), LONGEST_RETRY_AFTER_S)


async def read_some(answer: aiohttp.ClientResponse) -> None:
    """Its status counts, whatever becomes of the body; a connection with a body that is longer is not used again."""
    left = MOST_ANSWER
    try:
        while left > 0 and (chunk := await answer.content.read(left)):
            left -= len(chunk)
    except (aiohttp.ClientError, OSError):
        answer.close()
    if left <= 0:
        answer.close()


def plain_words(error: Exception, url: str) -> str:
    """Of an error that may name the URL, which may have a password."""
    words = reason(error).replace(url, "...")
    return f"{type(error).__name__}: {words}"[:200] if words and "://" not in words else type(error).__name__
