"""The parser beside its oracle: one message, read by both.

compare(text) fails on the first difference, on an offset outside of the message and on a
broken chain of headers; it returns what the kernel found.  Called by tests and fuzzers.
"""

from tests.kernels import parser_doors as doors
from tests.oracle import sip_oracle as oracle

C = oracle.CODES
NO_HEADER = 255


def text_of(text: bytes, span: tuple[int, int]) -> bytes:
    return text[span[0]:span[0] + span[1]]


def check_inside(text: bytes, found: dict) -> None:
    """Every offset lies inside the message, whatever the message is."""
    spans = [found[key] for key in ("method_name", "ruri", "reason", "body", "cseq_method_name", "call_id",
                                    "from_tag", "to_tag")]
    for header in found["headers"]:
        spans += header[1:3]
        assert header[1][0] < header[3] <= len(text)
    for via in (found["via"], found["second_via"]):
        if via:
            spans += [via[key] for key in ("host", "branch", "received", "hint")]
            spans.append((via["off"], via["len"]))
            end = via["off"] + via["len"] if via["len"] else len(text)
            assert via["params_off"] == 0 == via["len"] or via["off"] < via["params_off"] <= end
            for name in ("rport", "received"):
                name_end, value_end = via[f"{name}_off"], via[f"{name}_end"]
                assert name_end == value_end == 0 or via["params_off"] < name_end <= value_end <= end
    assert all(off + length <= len(text) for off, length in spans)
    assert found["headers_off"] <= found["headers_end"] <= found["body"][0] <= len(text)


def check_chains(found: dict) -> None:
    """first, next and last walk the headers of an id in message order."""
    for wanted in range(len(oracle.NAMES)):
        walked, index = [], found["first"][wanted]
        while index != NO_HEADER:
            walked.append(index)
            index = found["headers"][index][4]
        assert walked == [i for i, header in enumerate(found["headers"]) if header[0] == wanted]
        assert found["last"][wanted] == (walked[-1] if walked else NO_HEADER)


def compare_via(text: bytes, ours: dict, theirs: dict) -> None:
    for key in ("host", "branch", "received", "hint"):
        assert text_of(text, ours[key]) == theirs[key], key
    for key in ("host_kind", "port", "transport", "rport", "magic", "last"):
        assert ours[key] == theirs[key], key
    assert bool(ours["rport_off"]) == theirs["has_rport"]


def compare(text: bytes) -> dict:
    """The kernel's index and the oracle's must say the same; returns the kernel's."""
    ours, theirs = doors.parse(text), oracle.parse(text)
    check_inside(text, ours)
    check_chains(ours)
    assert ours["code"] == theirs["code"]
    assert doors.start_line(text) == (ours["code"] not in (C["EMPTY"], C["NOT_SIP"])) or ours["code"] == C["TOO_LARGE"]
    assert (ours["is_request"], ours["status"]) == (theirs["is_request"], theirs["status"])
    for key in ("method_name", "ruri", "reason", "body"):
        assert text_of(text, ours[key]) == theirs[key], key
    assert [(h[0], text_of(text, h[1]), text_of(text, h[2])) for h in ours["headers"]] == theirs["headers"]
    if ours["code"] == 0:
        # the header section has no gap, so that edits can address all of it
        edges = [ours["headers_off"], *(h[3] for h in ours["headers"])]
        assert [h[1][0] for h in ours["headers"]] + [ours["headers_end"]] == edges
    values = oracle.routing(theirs)
    assert ours["routing_code"] == values["routing_code"]
    assert ours["routing_done"] == (values["routing_code"] == 0)
    if values["via"]:
        compare_via(text, ours["via"], values["via"])
    for key in ("call_id", "cseq_method_name"):
        assert text_of(text, ours[key]) == values[key], key
    for key in ("cseq", "max_forwards"):
        assert ours[key] == values[key], key
    if values["routing_code"] == 0:
        assert text_of(text, ours["from_tag"]) == values["from_tag"]
        assert text_of(text, ours["to_tag"]) == values["to_tag"]
    vias = sum(oracle.count_values(v) for v in oracle.values_of(theirs, b"via"))
    assert ours["vias"] == (vias if vias <= 64 else C["TOO_MANY_VIAS"])
    found, scanned = doors.call_id(text)
    ids = oracle.values_of(theirs, b"call-id")
    if ours["code"] in (0, C["CONTENT_LENGTH"]):
        assert text_of(text, scanned) == (ids[0] if ids else b"")
        assert found == (C["NONE"] if not ids else 0 if len(ids[0]) <= 512 else C["CALL_ID"])
    return ours
