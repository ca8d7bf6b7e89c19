"""OpenSIPS' two tables, column by column: what each value becomes, and what is said about the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip.sources.columns import Unfit
from fastsip.sources.opensips import read_dispatcher, read_load_balancer
from fastsip.sources.rows import Row


def row(**columns: object) -> Row:
    return read_dispatcher({"destination": "sip:192.0.2.1:5070", **columns}, "id 7")


def balanced(**columns: object) -> Row:
    return read_load_balancer({"dst_uri": "sip:192.0.2.1:5070", "resources": "pstn=32", **columns}, "id 7")


# ---------------------------------------------------------------- dispatcher


def test_a_whole_row():
    found = row(id=7, setid=3, socket="udp:192.0.2.9:5060", state=0, probe_mode=1, weight="50", priority=-3,
                attrs="pstn trunk; 7", description="the old one")
    assert (found.where, found.setid, found.uri, found.name) == ("id 7", 3, "sip:192.0.2.1:5070", "")
    assert (found.weight, found.relative_weight, found.priority) == (50, None, -3)
    assert (found.socket, found.probed, found.probe_mode) == ("udp:192.0.2.9:5060", True, "")
    assert found.attrs == (("attrs", "pstn trunk; 7"), ("description", "the old one"))


@pytest.mark.parametrize("nothing", [None, "", " "])
def test_what_is_null_or_empty_has_its_default(nothing):
    found = row(setid=nothing, socket=nothing, state=nothing, probe_mode=nothing, weight=nothing, priority=nothing,
                attrs=nothing, description=nothing)
    assert found == row() == Row(where="id 7", setid=0, uri="sip:192.0.2.1:5070")


# State and probe_mode -> admin, starts down, probed, probed when.
STATES = {
    (0, 0): ("enabled", False, None, ""), (0, 1): ("enabled", False, True, ""),
    (1, 0): ("disabled", False, None, ""), (1, 1): ("disabled", False, True, ""),
    (2, 0): ("enabled", True, True, "only-failed"), (2, 1): ("enabled", True, True, ""),
}  # fmt: skip


@pytest.mark.parametrize(("state", "probe_mode"), STATES)
def test_states(state, probe_mode):
    for kind in (int, str):
        found = row(state=kind(state), probe_mode=kind(probe_mode))
        assert (found.admin, found.starts_down, found.probed, found.probe_mode) == STATES[state, probe_mode]


# Socket -> socket, tag.
SOCKETS = {
    "udp:192.0.2.9:5060": ("udp:192.0.2.9:5060", ""), "192.0.2.9:5060": ("udp:192.0.2.9:5060", ""),
    "192.0.2.9": ("udp:192.0.2.9", ""), "UDP:192.0.2.9": ("udp:192.0.2.9", ""),
    "[2001:db8::9]:5060": ("udp:[2001:db8::9]:5060", ""), "udp:[2001:db8::9]": ("udp:[2001:db8::9]", ""),
    "tls:192.0.2.9:5061": ("tls:192.0.2.9:5061", ""), "inside": ("", "inside"), "udp:inside": ("", "inside"),
    "gw.example.net:5060": ("udp:gw.example.net:5060", ""), "udp:": ("", ""),
}  # fmt: skip


@pytest.mark.parametrize("text", SOCKETS)
def test_sockets_are_addresses_or_tags(text):
    found = row(socket=text)
    assert (found.socket, found.listener_tag) == SOCKETS[text]


def test_a_weight_that_a_freeswitch_says_is_kept_without_its_password():
    found = row(weight="fs://me:s3cr@t@192.0.2.8:8021")
    assert found.weight is None
    assert found.attrs == (("weight", "fs://192.0.2.8:8021"),)


def test_attributes_are_no_pairs_there():
    assert row(attrs="weight=7;duid=x").attrs == (("attrs", "weight=7;duid=x"),)
    assert (row(attrs="weight=7;duid=x").weight, row(attrs="duid=x").name) == (None, "")


UNFIT = [
    ({"destination": None}, "destination: it is missing"),
    ({"setid": -1}, "setid: allowed is a whole number from 0 to 2147483647"),
    ({"setid": 2**31}, "setid: "),
    ({"setid": "0x1"}, "setid: "),
    ({"state": 3}, "state: allowed is a whole number from 0 to 2"),
    ({"probe_mode": 2}, "probe_mode: allowed is a whole number from 0 to 1"),
    ({"weight": "many"}, "weight: allowed is a whole number from 0 to 1000000"),
    ({"weight": "-1"}, "weight: "),
    ({"weight": 1_000_001}, "weight: "),
    ({"weight": "9" * 5_000}, "weight: "),
    ({"priority": 2**31}, "priority: "),
    ({"priority": "1" * 5_000}, "priority: "),
]


@pytest.mark.parametrize(("columns", "why"), UNFIT)
def test_what_is_left_out(columns, why):
    with pytest.raises(Unfit) as caught:
        row(**columns)
    assert caught.value.why.startswith(why) and len(caught.value.found) <= 80


def test_the_edges_of_numbers():
    found = row(setid=2**31 - 1, weight=1_000_000, priority=-(2**31))
    assert (found.setid, found.weight, found.priority) == (2**31 - 1, 1_000_000, -(2**31))
    assert row(weight=0).weight == 0


# ---------------------------------------------------------------- load_balancer


def test_a_whole_row_of_the_load_balancer():
    found = balanced(id=7, group_id=4, resources="pstn=32;vm=2", probe_mode=2, attrs="free text", description="one")
    assert (found.where, found.setid, found.uri) == ("id 7", 4, "sip:192.0.2.1:5070")
    assert (found.probed, found.probe_mode, found.admin, found.starts_down) == (True, "", "enabled", False)
    assert found.attrs == (("resources", "pstn=32;vm=2"), ("attrs", "free text"), ("description", "one"))


@pytest.mark.parametrize(("mode", "probed", "when"), [(0, False, ""), (1, True, "only-failed"), (2, True, ""),
                                                      (9, True, ""), (None, False, "")])
def test_when_it_is_probed(mode, probed, when):
    assert (balanced(probe_mode=mode).probed, balanced(probe_mode=mode).probe_mode) == (probed, when)


@pytest.mark.parametrize("text", ["pstn=32", " pstn = 32 ; vm=2; ", "calls=fs://:pw@192.0.2.8", None, ""])
def test_resources(text):
    kept = dict(balanced(resources=text).attrs).get("resources", "")
    assert kept == (text or "").strip().replace(":pw@", "")


@pytest.mark.parametrize("text", ["pstn", "pstn=", "=3", "pstn=many", "pstn=-1", "pstn=1;vm"])
def test_resources_that_are_none(text):
    with pytest.raises(Unfit, match="resources: allowed are names"):
        balanced(resources=text)


def test_passwords_are_not_said_in_misfits():
    with pytest.raises(Unfit) as caught:
        balanced(resources="calls=3fs://:pw@192.0.2.8")
    assert "pw" not in caught.value.found


@given(st.dictionaries(
    st.sampled_from(["setid", "group_id", "destination", "dst_uri", "socket", "state", "probe_mode", "weight",
                     "priority", "attrs", "description", "resources"]),
    st.one_of(st.none(), st.integers(), st.text(max_size=20), st.floats(), st.binary(max_size=5), st.booleans())))
def test_whatever_a_database_gives_is_a_row_or_is_said(columns):
    for read in (read_dispatcher, read_load_balancer):
        try:
            assert read(columns, "id 1").where == "id 1"
        except Unfit as unfit:
            assert unfit.why
