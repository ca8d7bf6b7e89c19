"""Torture messages at the parser: the verdict of each, and that the oracle says the same."""

import pytest

from fastsip._core.proxy import refusals
from tests.kernels import parser_doors as doors
from tests.oracle.compare import compare, text_of
from tests.oracle.sip_oracle import CODES
from tests.torture import REQUESTS
from tests.torture.case import DROP, FORWARD, Case

WORDS = {code: word for word, code in CODES.items()}
BY_ID = pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case.id)


def verdict(raw: bytes) -> str:
    """What the parser and, of a request, the reader of the Request-URI first complain of."""
    found = compare(raw)
    if not found["is_request"]:
        return WORDS[found["code"] or found["routing_code"]]
    code, uri = doors.uri(text_of(raw, found["ruri"]))
    if code == CODES["SCHEME"]:
        code = 0                        # the rules' to send somewhere
    elif code == 0 and uri["headers"][1]:
        code = CODES["URI"]
    vias = min(found["vias"], 0)
    return WORDS[found["code"] or found["routing_code"] or code or vias]


@BY_ID
def test_the_verdict(case):
    assert verdict(case.raw) == case.code


@BY_ID
def test_the_verdict_and_the_outcome_agree(case):
    """What cannot be read is refused as its meaning says, or not at all; what is forwarded can be read."""
    if case.outcome == FORWARD:
        assert case.code == "OK"
    elif case.code != "OK" and case.outcome != DROP:
        assert refusals.MEANINGS[CODES[case.code]][0] == case.outcome


@BY_ID
def test_an_edited_message_is_read_as_before(case):
    """With a Via pushed on top, every value is what it was; with the Via gone again, so is every octet."""
    if case.outcome != FORWARD or len(case.raw) > 65_000:
        return
    found = compare(case.raw)
    via = b"Via: SIP/2.0/UDP 10.0.0.254;branch=z9hG4bKours\r\n"
    pushed = doors.edit(case.raw, [(found["headers_off"], 0, via)])[0]
    if len(found["headers"]) == 128:
        assert compare(pushed)["code"] == CODES["TOO_MANY_HEADERS"]
        return
    again = compare(pushed)
    for key in ("call_id", "from_tag", "to_tag", "cseq_method_name", "ruri", "method_name"):
        assert text_of(pushed, again[key]) == text_of(case.raw, found[key]), key
    for key in ("cseq", "max_forwards", "code", "routing_code"):
        assert again[key] == found[key], key
    assert text_of(pushed, again["body"]) == text_of(case.raw, found["body"])
    first = again["headers"][again["first"][1]]
    assert doors.edit(pushed, [(first[1][0], first[3] - first[1][0], b"")])[0] == case.raw


def test_all_verdicts_occur():
    """Each word that means something to a sender has a case."""
    meant = {WORDS[code] for code in refusals.MEANINGS if code in WORDS}
    meant -= {"TOO_LARGE", "LONG_HEAD", "SCHEME"}       # of limits and of routing: tests/protocol
    assert meant <= {case.code for case in REQUESTS}


def test_sections_of_both_rfcs_are_there():
    sections = {case.section for case in REQUESTS}
    wanted = {f"RFC 4475 3.1.1.{n}" for n in range(1, 14)} | {f"RFC 4475 3.1.2.{n}" for n in range(1, 20)}
    wanted |= {f"RFC 4475 3.3.{n}" for n in range(1, 16)} | {"RFC 4475 3.2.1", "RFC 4475 3.4.1"}
    wanted |= {f"RFC 5118 4.{n}" for n in range(1, 11)}
    assert wanted - sections == set()
    assert all(isinstance(case, Case) for case in REQUESTS)
