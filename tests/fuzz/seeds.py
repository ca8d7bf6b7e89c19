"""What the fuzzers begin with: the corpus, the torture messages and the samples of the unit tests."""

from pathlib import Path

from tests.torture import REQUESTS
from tests.torture.answers import ANSWERS
from tests.torture.case import plain
from tests.unit import messages

CORPUS = Path(__file__).parent / "corpus"
LARGEST = 8_192  # larger ones are slow, and damage seldom hits what matters in them
OURS = "SIP/2.0/UDP 10.0.0.254:5060;branch=z9hG4bKaaaaaaaaaaaaa.aaaaaa;fs=aaaaaaaaaaaaaaaaaaaaaa"
FORWARDED = plain("call", "INVITE", via=OURS,
                  more=["Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKbelow;received=10.0.0.1"])  # fmt: skip


def corpus() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(CORPUS.iterdir())}


def seeds() -> list[bytes]:
    """All of them, in an order that does not change."""
    texts = [*corpus().values(), *messages.ALL.values(), *(case.raw for case in REQUESTS)]
    texts += [answer.make(FORWARDED) for answer in ANSWERS]
    return [text for text in texts if len(text) <= LARGEST]
