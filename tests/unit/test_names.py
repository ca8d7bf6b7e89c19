"""The table of names: what a shard finds, what goes when it is full, two threads at once."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip._core.transport.names import PREFIXES, Names, plain_key, plain_name, split_key
from fastsip.config import language
from tests.kernels.name_doors import Places
from tests.kernels.store_doors import look_without_gil, write_without_gil

ONE, TWO, SIX = ("192.0.2.1", 0), ("192.0.2.2", 5080), ("2001:db8::1", 0)
MOST_NAMES, MOST_ADDRESSES, NAME_BYTES = 4096, 32, 253  # of a table that nobody gave a limit


def names_with(*addresses, name="a.example.net", ttl_ms=1_000):
    names = Names()
    names.put(name, addresses, ttl_ms, 0)
    return names


def test_a_name_that_nobody_told_must_be_asked_for():
    assert Names().find("a.example.net", 0) == ("unresolved", False)


def test_it_is_found_whatever_its_case_and_with_a_final_dot():
    names = names_with(ONE, name="A.Example.NET.")
    for spelling in ("a.example.net", "A.EXAMPLE.net", "a.example.net."):
        assert names.find(spelling, 0) == (ONE, False)
    assert len({names.hash(spelling) for spelling in ("a.example.net", "A.EXAMPLE.net", "a.example.net.")}) == 1
    assert names.find("b.example.net", 0) == ("unresolved", False)
    assert plain_name("A.b.") == "a.b"


def test_an_answer_is_used_when_its_time_is_over_and_wants_to_be_asked_for():
    names = names_with(ONE)
    assert names.find("a.example.net", 999) == (ONE, False)
    assert names.find("a.example.net", 1_000) == (ONE, True)
    assert names.keep("a.example.net", 500, 1_200)
    assert names.find("a.example.net", 1_699) == (ONE, False)
    assert names.find("a.example.net", 1_700) == (ONE, True)


def test_what_does_not_exist_is_believed_until_its_time_is_over():
    names = Names()
    names.deny("a.example.net", 1_000, 0)
    assert names.find("a.example.net", 999) == ("none", False)
    assert names.find("a.example.net", 1_000) == ("unresolved", False)
    assert not names.keep("a.example.net", 500, 1_000)
    assert not names.keep("b.example.net", 500, 1_000)
    assert names.find("a.example.net", 1_000) == ("unresolved", False)


def test_an_answer_replaces_the_last_one():
    names = names_with(ONE)
    names.put("a.example.net", [TWO], 1_000, 0)
    assert names.find("a.example.net", 0) == (TWO, False)
    names.deny("a.example.net", 1_000, 0)
    assert names.find("a.example.net", 0) == ("none", False)
    assert len(names) == 1


def test_only_families_that_can_be_reached():
    names = names_with(ONE, SIX)
    for key in range(20):
        assert names.find("a.example.net", 0, key, (4,)) == (ONE, False)
        assert names.find("a.example.net", 0, key, (6,)) == (SIX, False)
    assert names_with(SIX).find("a.example.net", 0, 0, (4,)) == ("none", False)


def test_all_addresses_get_their_share():
    places = [(f"192.0.2.{n}", 0) for n in range(MOST_ADDRESSES)]
    names = names_with(*places)
    found = [names.find("a.example.net", 0, key * 0x9E3779B97F4A7C15 % 2**64)[0] for key in range(8_000)]
    shares = [found.count(place) for place in places]
    assert min(shares) > 180 and max(shares) < 330


@given(st.permutations([ONE, TWO, SIX]), st.integers(0, 2**64 - 1))
def test_the_order_of_an_answer_does_not_matter(order, key):
    expected = names_with(ONE, TWO, SIX).find("a.example.net", 0, key)
    assert names_with(*order).find("a.example.net", 0, key) == expected


@given(st.integers(0, 2**64 - 1))
def test_an_address_that_goes_moves_only_its_own_calls(key):
    before = names_with(ONE, TWO, SIX).find("a.example.net", 0, key)[0]
    after = names_with(ONE, TWO).find("a.example.net", 0, key)[0]
    assert before in (after, SIX)


# ---------------------------------------------------------------- tiers, weights, what rests


def of_calls(names, key="n:sip:a.example.net", calls=20_000, **parts):
    """How many of so many calls go to which target."""
    found = [names.find(key, 0, call * 0x9E3779B97F4A7C15 % 2**64, **parts)[0] for call in range(calls)]
    return {place: found.count(place) / calls for place in set(found)}


def test_shares_of_a_tier_are_those_of_the_weights():
    """10 : 20 : 70 within three per cent (RFC 2782)."""
    names = names_with(("192.0.2.1", 1, 0, 10), ("192.0.2.2", 2, 0, 20), ("192.0.2.3", 3, 0, 70),
                       ("192.0.2.4", 4, 1, 500))
    shares = of_calls(names, "a:a.example.net")
    assert {place[1] for place in shares} == {1, 2, 3}, "the next tier waits"
    for place, share in ((1, 0.1), (2, 0.2), (3, 0.7)):
        assert abs(shares[f"192.0.2.{place}", place] - share) < 0.03


def test_the_next_one_of_a_call_is_of_the_same_tier_by_weight_and_then_of_the_next():
    places = [("192.0.2.1", 1, 0, 10), ("192.0.2.2", 2, 0, 90), ("192.0.2.3", 3, 1, 50), ("192.0.2.4", 4, 1, 50),
              ("192.0.2.5", 5, 7, 1)]
    names, key = names_with(*places), "a:a.example.net"
    for call in range(50):
        order = []
        while isinstance(place := names.find(key, 0, call * 0x9E3779B97F4A7C15 % 2**64, tried=order)[0], tuple):
            order.append(place)
        assert [{port for _, port in tier} for tier in (order[:2], order[2:4], order[4:])] == [{1, 2}, {3, 4}, {5}]


@given(st.lists(st.integers(1, 65_535), min_size=2, max_size=6), st.integers(0, 2**64 - 1), st.data())
def test_what_goes_moves_only_its_own_calls_whatever_it_weighs(weights, call, data):
    places = [(f"192.0.2.{number}", 5060, 0, weight) for number, weight in enumerate(weights)]
    gone = data.draw(st.sampled_from(places))
    before = names_with(*places).find("a:a.example.net", 0, call)[0]
    after = names_with(*(place for place in places if place != gone)).find("a:a.example.net", 0, call)[0]
    assert before in (after, gone[:2])


def test_the_family_of_the_listener_comes_before_the_tier():
    names = names_with(("192.0.2.1", 0, 0, 1), ("2001:db8::1", 0, 1, 1))
    assert names.find("a.example.net", 0)[0] == ("192.0.2.1", 0)
    assert names.find("a.example.net", 0, first_family=6)[0] == ("2001:db8::1", 0)
    assert names.find("a.example.net", 0, first_family=6, tried=[("2001:db8::1", 0)])[0] == ("192.0.2.1", 0)


def test_what_rests_comes_after_all_tiers_and_is_never_left_out():
    names = names_with(("192.0.2.1", 5060, 0, 1), ("192.0.2.2", 5060, 0, 1), ("192.0.2.3", 5060, 1, 1))
    places, key = Places(names), "a.example.net"
    first, _ = names.find(key, 1_000)
    places.failed(first, 1_000, refused=True)
    second, _ = names.find(key, 1_000)
    assert {first[0], second[0]} == {"192.0.2.1", "192.0.2.2"}
    assert names.find(key, 31_000)[0] == first
    places.failed(second, 1_000, refused=True)
    assert names.find(key, 1_000)[0] == ("192.0.2.3", 5060)
    places.failed(("192.0.2.3", 5060), 1_000, refused=True)
    assert names.find(key, 1_000)[0] == first, "all rest: they are tried in order"
    assert names.find(key, 1_000, tried=[first])[0] == second


def test_it_is_the_port_that_a_request_would_go_to_that_rests():
    names = names_with(("192.0.2.1", 0), ("192.0.2.2", 0))
    Places(names).failed(("192.0.2.1", 5070), 1_000, refused=True)
    assert {names.find("a.example.net", 1_000, call)[0][0] for call in range(64)} == {"192.0.2.1", "192.0.2.2"}
    assert {names.find("a.example.net", 1_000, call, port=5070)[0][0] for call in range(64)} == {"192.0.2.2"}


# ---------------------------------------------------------------- keys


def test_each_key_of_a_name_has_its_own_answer():
    names = Names()
    for number, prefix in enumerate(PREFIXES[1:]):
        names.put(prefix + "A.example.net.", [(f"192.0.2.{number}", 0)], 1_000, 0)
    assert [names.find(prefix + "a.example.net", 0)[0][0] for prefix in PREFIXES[1:]] == [
        "192.0.2.0", "192.0.2.1", "192.0.2.2"]
    names.deny("s:udp:a.example.net", 1_000, 0)
    assert [names.find(prefix + "a.example.net", 0)[0] for prefix in PREFIXES[1:]] == [
        ("192.0.2.0", 0), "none", ("192.0.2.2", 0)]
    names.remove("a:a.example.net")
    assert names.find("a:a.example.net", 0) == ("unresolved", False)
    assert names.find("n:sip:a.example.net", 0) == (("192.0.2.2", 0), False)
    assert len({names.hash(prefix + "a.example.net") for prefix in PREFIXES}) == 1, "who waits is told by name"


def test_the_configuration_answers_whatever_is_asked_of_a_name():
    names = Names()
    for prefix in PREFIXES[1:]:
        names.put(prefix + "a.example.net", [ONE], 1_000, 0)
    names.set_static({"A.example.net": [TWO]})
    names.put("n:sip:a.example.net", [ONE], 1_000, 0)
    assert [names.find(prefix + "a.example.net", 0)[0] for prefix in PREFIXES] == [TWO] * 4
    assert len(names) == 1
    names.set_static({})
    assert [names.find(prefix + "a.example.net", 0)[0] for prefix in PREFIXES] == ["unresolved"] * 4


def test_how_keys_are_written():
    assert split_key("s:udp:A.b.") == (2, "a.b") and split_key("A.b") == (0, "a.b")
    assert plain_key("n:sip:A.b.") == "n:sip:a.b"


def test_targets_are_told_as_they_were_given():
    targets = [("192.0.2.1", 5070, 0, 45_864), ("2001:db8::1", 0, 7, 1)]
    names = Names()
    names.put("n:sip:a.example.net", targets, 1_000, 0, cut=True)
    assert names.targets("n:sip:A.example.net") == targets
    assert names.learned() == [("n:sip:a.example.net", targets, 1_000, True)]
    assert names.targets("a:a.example.net") == []


# ---------------------------------------------------------------- of the configuration


def test_static_names_come_before_dns():
    names = names_with(ONE)
    names.set_static({"a.example.net": [TWO]})
    names.put("a.example.net", [ONE], 1_000, 0)
    names.deny("A.example.net.", 1_000, 0)
    assert names.find("a.example.net", 10**12) == (TWO, False)
    assert names.known("a.example.net") == ("static", [TWO], 0)


def test_a_reload_replaces_all_static_names_and_leaves_the_others():
    names = names_with(ONE, name="dns.example.net")
    names.set_static({"old.example.net": [TWO], "both.example.net": [TWO]})
    names.set_static({"both.example.net": [ONE], "new.example.net": [ONE, TWO]})
    assert names.find("old.example.net", 0) == ("unresolved", False)
    assert names.known("old.example.net") is None
    assert names.known("both.example.net") == ("static", [ONE], 0)
    assert names.known("new.example.net") == ("static", [ONE, TWO], 0)
    assert names.known("dns.example.net") == ("known", [ONE], 1_000)
    assert len(names) == 3


def test_the_star_stands_for_every_other_name():
    names = names_with(ONE, name="dns.example.net")
    names.set_static({"*": [TWO], "a.example.net": [ONE]})
    names.put("late.example.net", [ONE], 1_000, 0)
    assert names.find("a.example.net", 0) == (ONE, False)
    assert [names.find(name, 0) for name in ("dns.example.net", "late.example.net", "x")] == [(TWO, False)] * 3
    assert names.known("*") == ("static", [TWO], 0)
    names.set_static({})
    assert names.find("x", 0) == ("unresolved", False)
    assert names.known("*") is None and len(names) == 0


# ---------------------------------------------------------------- bounds


def test_when_it_is_full_the_one_goes_that_was_not_used_for_longest():
    names = Names()
    names.set_static({"fixed.example.net": [ONE]})
    for n in range(MOST_NAMES - 1):
        names.put(f"n{n}.example.net", [ONE], 10**9, n)
    assert len(names) == MOST_NAMES
    assert names.find("n0.example.net", 10_000) == (ONE, False)
    names.put("more.example.net", [TWO], 10**9, 10_000)
    assert len(names) == MOST_NAMES
    assert names.known("n1.example.net") is None
    assert names.find("n1.example.net", 10_000) == ("unresolved", False)
    for kept in ("n0.example.net", "n2.example.net", "fixed.example.net"):
        assert names.find(kept, 10_000) == (ONE, False)
    assert names.find("more.example.net", 10_000) == (TWO, False)


def test_a_flood_of_names_that_do_not_exist_moves_no_name_that_does():
    names = Names()
    for n in range(MOST_NAMES - 2):
        names.put(f"n{n}.example.net", [ONE], 10**9, n)
    for n in range(1_000):
        names.deny(f"d{n}.dead.example", 10**9, 5_000)
    assert len(names) == MOST_NAMES and names.known("d999.dead.example")[0] == "negative"
    assert all(names.known(f"n{n}.example.net") for n in range(MOST_NAMES - 2))
    names.put("more.example.net", [TWO], 10**9, 6_000)
    names.put("last.example.net", [TWO], 10**9, 6_000)
    names.deny("late.dead.example", 10**9, 7_000)
    assert names.known("late.dead.example") is None and len(names) == MOST_NAMES
    assert all(names.known(f"n{n}.example.net") for n in range(MOST_NAMES - 2))


def test_names_in_use_outlive_a_flood_of_names_that_exist():
    names = Names()
    for n in range(MOST_NAMES):
        names.put(f"n{n}.example.net", [ONE], 10**9, 0)
    for n in range(2 * MOST_NAMES):
        if n % 32 == 0:
            assert names.find("n5.example.net", 2_000 + 2_000 * n) == (ONE, False)
        names.put(f"f{n}.flood.example", [TWO], 10**9, 2_000 + 2_000 * n)
    assert names.known("n5.example.net") and names.known("n6.example.net") is None and len(names) == MOST_NAMES


def test_an_answer_that_just_came_is_not_the_next_to_go():
    names = Names()
    for n in range(MOST_NAMES):
        names.put(f"n{n}.example.net", [ONE], 10**9, 5_000)
        names.find(f"n{n}.example.net", 6_000)
    names.put("first.example.net", [ONE], 10**9, 7_000)
    names.put("second.example.net", [ONE], 10**9, 7_000)
    assert names.known("first.example.net") and names.known("second.example.net")


def test_every_name_is_found_in_a_full_table():
    names = Names()
    for n in range(MOST_NAMES):
        names.put(f"n{n}.example.net", [(f"10.0.{n // 256}.{n % 256}", 0)], 10**9, 0)
    for n in range(MOST_NAMES):
        assert names.find(f"n{n}.example.net", 0) == ((f"10.0.{n // 256}.{n % 256}", 0), False)


def test_the_table_grows_while_shards_read():
    """By segments that stay where they are: a reader may stand in any of them."""
    names, looks = Names(40_000), []
    names.put("a.example.net", [ONE], 10**9, 0)
    reader = threading.Thread(target=lambda: looks.append(look_without_gil(names, "a.example.net", 3_000_000)))
    reader.start()
    for n in range(39_999):
        names.put(f"n{n}.example.net", [(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 0)], 10**9, 0)
    reader.join(60)
    assert looks[0]["found"] == 3_000_000 and len(names) == 40_000
    for n in range(0, 39_999, 7):
        assert names.find(f"n{n}.example.net", 0) == ((f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 0), False)


def test_a_lower_limit_lets_go_what_a_full_table_would():
    names = Names(6_000)
    names.set_static({"fixed.example.net": [TWO]})
    for n in range(4_999):
        names.put(f"n{n}.example.net", [ONE], 10**9, 0)
    for n in range(1_000):
        names.deny(f"d{n}.example.net", 10**9, 0)
    names.set_limit(4_000)
    assert len(names) == 4_000 and names.known("fixed.example.net")
    assert not any(names.known(f"d{n}.example.net") for n in range(1_000))
    names.set_limit(4_001)
    names.put("more.example.net", [ONE], 10**9, 0)
    assert len(names) == 4_001
    for limit in (0, 262_145):
        with pytest.raises(ValueError, match="1 to 262144"):
            names.set_limit(limit)


def test_use_is_noted_to_the_second():
    names = names_with(ONE)
    for now_ms, noted in ((999, 0), (1_000, 1_000), (1_999, 1_000), (2_000, 2_000)):
        names.find("a.example.net", now_ms)
        assert names.used_ms("a.example.net") == noted


def test_longest_name_and_most_addresses():
    longest = "a." * 126 + "b"
    assert len(longest) == NAME_BYTES
    names = names_with(*[(f"10.0.0.{n}", n) for n in range(MOST_ADDRESSES)], name=longest + ".")
    assert len(names.known(longest)[1]) == MOST_ADDRESSES
    assert names.find(longest, 0)[0][0].startswith("10.0.0.")
    for name in ("a" + longest, ""):
        with pytest.raises(ValueError, match="bytes"):
            names.put(name, [ONE], 1, 0)
    with pytest.raises(ValueError, match="33 targets"):
        names.put("a", [ONE] * (MOST_ADDRESSES + 1), 1, 0)
    with pytest.raises(ValueError, match="0 targets"):
        names.put("a", [], 1, 0)
    with pytest.raises(ValueError, match="fewer than 4096"):
        names.set_static({f"n{n}": [ONE] for n in range(MOST_NAMES)})
    for place in (("example.net", 0), ("10.0.0.1", 65_536), ("10.0.0.1", -1), ("1.2.3", 0)):
        with pytest.raises(ValueError, match="not an address"):
            names.put("a", [place], 1, 0)
    for rank in ((-1, 1), (65_536, 1), (0, 0), (0, 65_536)):
        with pytest.raises(ValueError, match="1 to 65535"):
            names.put("a", [("10.0.0.1", 0, *rank)], 1, 0)
    assert len(names) == 1


def test_the_configuration_knows_the_bounds():
    assert (language.MAX_ADDRESSES, language.MAX_NAME_BYTES) == (MOST_ADDRESSES, NAME_BYTES)
    assert language.MAX_NAMES < 2_048 // 2  # of the smallest limit; DNS keeps the most of it


def test_a_removed_name_is_gone():
    names = names_with(ONE)
    names.remove("a.example.net")
    assert names.find("a.example.net", 0) == ("unresolved", False) and len(names) == 0
    with pytest.raises(KeyError):
        names.remove("a.example.net")


def test_a_reader_sees_whole_answers_while_the_writer_writes():
    """Neither holds the GIL.  A torn answer shows an address that does not belong to its port."""
    names = names_with(("10.0.0.0", 256))
    writer = threading.Thread(target=lambda: write_without_gil(names, "a.example.net", 4_000_000))
    writer.start()
    torn = found = 0
    while writer.is_alive() or not found:
        seen = look_without_gil(names, "a.example.net", 10_000)
        torn, found = torn + seen["torn"], found + seen["found"]
    writer.join(30)
    assert torn == 0 and found > 0


def test_a_reader_keeps_its_name_while_others_come_and_go():
    """Entries change hands all the time; a name that stays is missed at most by chance, and never mistaken."""
    names, seen = names_with(("10.0.0.1", 1), ttl_ms=10**9), {}
    reader = threading.Thread(target=lambda: seen.update(look_without_gil(names, "a.example.net", 2_000_000)))
    reader.start()
    number = 0
    while reader.is_alive():
        names.put(f"n{number}.example.net", [("10.0.0.2", 3)], 10**9, 2_000)
        if number >= 50:
            names.remove(f"n{number - 50}.example.net")
        number += 1
    reader.join(30)
    assert number > 0
    assert seen["torn"] == 0 and seen["missed"] <= seen["found"] // 1_000
