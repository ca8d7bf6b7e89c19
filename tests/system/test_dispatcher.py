"""What operators say of destinations and see of them, from outside: who takes calls, why not, and since when."""

import asyncio
import contextlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from ua import UserAgent

from fastsip._core.dispatcher.cells import ADMIN_NAMES
from tests.conftest import wait_until

from .edge import KAMAILIO, NUMBER, SHORT_TIMERS, edge_config, first_callee, listen_table, refuse, sip_uri
from .lives import command, killed_and_back

LIMIT_S = 20


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


async def ask(home, *words: object) -> dict:
    """The answer of a command that is to succeed, as JSON."""
    done = await asyncio.to_thread(command, "dispatcher", *words, "--config", home.config, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def states(home) -> dict[str, str]:
    """What counts of each destination, by the user agent's port."""
    done = await asyncio.to_thread(command, "dispatcher", "list", "--config", home.config, "--json")
    members = [one for line in done.stdout.splitlines() for one in json.loads(line)["destinations"]]
    return {one["id"]: one["admin"] for one in members}


def admin_changes(shown: dict) -> list[tuple[str, str, str]]:
    return [(one["now"], one["by"], one.get("why", "")) for one in shown["changes"] if one["now"] in ADMIN_NAMES]


def identity(ua: UserAgent) -> str:
    return f"media/{sip_uri(ua.address)}"


async def test_a_word_stands_over_reload_kill_and_restart(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        life = home.start(edge_config(edge, [bob.address, carol.address])).ready()
        await refuse(bob, alice.invite(NUMBER, edge))
        learned = await ask(home, "show", identity(bob))
        answer = await ask(home, "drain", identity(bob), "--why", "new memory")
        assert answer["changed"] == 1 and answer["empty"] == []
        await refuse(carol, alice.invite(NUMBER, edge))

        assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
        await refuse(carol, alice.invite(NUMBER, edge))
        life.kill_router()                                      # the spare takes over
        await life.logged("router took over", 2)
        await refuse(carol, alice.invite(NUMBER, edge))
        life = await killed_and_back(life, home)                # and a start from nothing
        await refuse(carol, alice.invite(NUMBER, edge))
        assert await states(home) == {identity(bob): "draining", identity(carol): "enabled"}
        assert not bob.waiting("INVITE")

        shown = await ask(home, "show", identity(bob))
        assert (shown["admin"], shown["configured"], shown["why"]) == ("draining", "enabled", "new memory")
        assert admin_changes(shown) == [("draining", "operator", "new memory")]

        assert (await ask(home, "enable", identity(bob), "--why", "it is back"))["changed"] == 1
        await refuse(bob, alice.invite(NUMBER, edge))
        shown = await ask(home, "show", identity(bob))
        assert admin_changes(shown) == [("draining", "operator", "new memory"), ("enabled", "operator", "it is back")]
        # What was learned stands beside all that: a word is no state of health.
        assert learned["health"] == shown["health"] == "up" and abs(learned["since"] - shown["since"]) < 0.1


async def test_who_drains_keeps_what_belongs_to_calls(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        home.start(edge_config(edge, [bob.address])).ready()
        call = alice.invite(NUMBER, edge)
        leg = bob.answer(await bob.expect("INVITE"))
        alice_leg = await call.established()
        await leg.expect("ACK")
        answer = await ask(home, "drain", "--set", "media")
        assert answer["empty"] == ["media"]
        await alice.invite(NUMBER, edge).refused(500)
        bye = alice_leg.bye()
        bob.reply(await bob.expect("BYE"), 200)
        await alice.expect(lambda m: m.status == 200 and m.call_id == bye.call_id and m.cseq_method == "BYE")


async def test_orders_at_the_same_time_are_carried_out_one_after_the_other(home, edge):
    """Reloads, a word and one more destination at once, with calls meanwhile: each is done, and none undoes another."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="dave") as dave:
        home.start(edge_config(edge, [bob.address, dave.address], set_keys="setid = 7")).ready()
        orders = [("reload", home.config, "--json")] * 3
        orders += [("dispatcher", "drain", identity(bob), "--config", home.config, "--json")]
        orders += [("dispatcher", "add", "7", "sip:127.0.0.1:7", "--config", home.config, "--json")]
        running = [asyncio.create_task(asyncio.to_thread(command, *order)) for order in orders]
        while not all(task.done() for task in running):
            call = alice.invite(NUMBER, edge)
            callee, invite = await first_callee(call, bob, dave)
            callee.reply(invite, 486)
            await call.refused(486)
        done = [await task for task in running]
        assert [one.returncode for one in done] == [0] * len(orders), [one.stderr for one in done]
        assert len({json.loads(one.stdout)["configuration"] for one in done[:3]}) == 3
        assert await states(home) == {
            identity(bob): "draining", identity(dave): "enabled", "media/sip:127.0.0.1:7": "enabled"}
        await refuse(dave, alice.invite(NUMBER, edge))


async def test_the_list_has_the_last_word_when_it_changes_its_mind(home, edge):
    """A flag in the file, set after the operator's word; and the word does not come back when the flag goes."""
    async with UserAgent(name="bob") as bob:
        place, rows = home.place / "dispatcher.list", f"1 {sip_uri(bob.address)} {{}} 0 duid=bob\n"
        place.write_text(rows.format(0))
        life = home.start(f"""
[router]
run_dir = "@RUN_DIR@"
state_dir = "@STATE_DIR@"
shards = 1
{listen_table(edge)}
[timers]
{SHORT_TIMERS}
[[source]]
kind = "list"
path = "dispatcher.list"
""").ready()
        await ask(home, "drain", "1/bob")
        for flag, state in ((0, "draining"), (4, "disabled"), (0, "enabled")):
            place.write_text(rows.format(flag))
            assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
            assert await states(home) == {"1/bob": state}
        assert len(life.records("the configuration has the last word")) == 1
        by = [(one["now"], one["by"]) for one in (await ask(home, "show", "1/bob"))["changes"]]
        assert by == [("draining", "operator"), ("disabled", "configuration"), ("enabled", "configuration")]


async def test_health_has_a_reason_and_a_time(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        policy = 'on = [503, "timeout", "transport"]\nmark = "down"'
        life = home.start(edge_config(edge, [bob.address, carol.address], policy=policy)).ready()
        call = alice.invite(NUMBER, edge)
        bob.reply(await bob.expect("INVITE"), 503)
        await refuse(carol, call)
        record = await life.logged("destination down")
        assert (record["destination"], record["by"], record["code"]) == (identity(bob), "response", 503)
        shown = await ask(home, "show", identity(bob))
        (change,) = shown["changes"]
        assert (change["now"], change["by"], change["code"]) == ("down", "response", 503)
        assert shown["health"] == "down" and abs(shown["since"] - change["at"]) < 0.1 and shown["open"] == 0


async def test_who_asks_for_a_probe_hears_its_end(home, edge):
    async with UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        probe = '{ interval = "1h", timeout = "300ms", mode = "only-failed" }'
        home.start(edge_config(edge, [bob.address, carol.address], probe=probe)).ready()
        asking = asyncio.create_task(
            asyncio.to_thread(command, "dispatcher", "probe", "--set", "media", "--config", home.config, "--json"))
        bob.reply(await bob.expect("OPTIONS"), 200)
        bob_end, carol_end = json.loads((await asking).stdout)["ends"]
        assert (bob_end["id"], bob_end["alive"], bob_end["code"]) == (identity(bob), True, 200)
        assert (carol_end["alive"], carol_end["code"]) == (False, 408) and carol_end["ms"] >= 300
        assert (await asking).returncode == 1


async def test_what_is_explained_is_what_happens(home, edge):
    """For Call-IDs that hash to any of three, one of which drains."""
    async with (UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol,
                UserAgent(name="dave") as dave):  # fmt: skip
        uas = {identity(ua): ua for ua in (bob, carol, dave)}
        places = [ua.address for ua in uas.values()]
        home.start(edge_config(edge, places, algorithm="call-id", policy="on = 503")).ready()
        await ask(home, "drain", identity(dave))
        first = set()
        for _ in range(8):
            call = alice.invite(NUMBER, edge)
            words = ("explain", "--uri", NUMBER, "--call-id", call.call_id, "--config", home.config, "--json")
            done = await asyncio.to_thread(command, *words)
            found = json.loads(done.stdout)
            assert [one["why"] for one in found["others"]] == ["draining"] and len(found["tried"]) == 2
            first.add(found["tried"][0]["id"])
            await refuse(uas[found["tried"][0]["id"]], call)
        assert len(first) == 2


def with_setid(edge, destinations) -> str:
    return edge_config(edge, destinations, set_keys="setid = 7")


async def test_one_that_is_added_stays_until_it_is_removed(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        life = home.start(with_setid(edge, [bob.address])).ready()
        home.write(with_setid(edge, [bob.address]).replace('to = "media"', "half an edit"))
        added = await ask(home, "add", "media", sip_uri(carol.address), "--priority", 9, "--attrs", "duid=carol")
        assert added == {"id": "media/carol"}
        await refuse(carol, alice.invite(NUMBER, edge))
        home.write(with_setid(edge, [bob.address]))
        assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
        await refuse(carol, alice.invite(NUMBER, edge))
        life = await killed_and_back(life, home)
        await refuse(carol, alice.invite(NUMBER, edge))

        await ask(home, "drain", "media/carol")
        assert await ask(home, "remove", "media/carol") == {"id": "media/carol"}
        await refuse(bob, alice.invite(NUMBER, edge))
        assert set(await states(home)) == {identity(bob)}
        await ask(home, "add", "7", sip_uri(carol.address), "--priority", 9, "--attrs", "duid=carol")
        await refuse(carol, alice.invite(NUMBER, edge))     # what was said of the one before is said of that one only


NOT_ADDED = [
    (("add", "media", "sip:gw_example.net"), "numeric"),
    (("add", "media", "sip:127.0.0.1:{edge}"), "our own [[listen]]"),
    (("add", "media", "sip:127.0.0.1:{bob}"), "it stands in this set already"),
    (("add", "media", "sip:127.0.0.1:7", "--flags", 64), "flags: allowed is"),
    (("add", "media", "sip:127.0.0.1:7", "--attrs", "weight=x"), "weight: allowed is"),
    (("add", "nowhere", "sip:127.0.0.1:7"), "setid: allowed is"),
    (("remove", "media/nobody"), "media/nobody is not there"),
    (("remove", "media/sip:127.0.0.1:{bob}"), "stands in the configuration or a source"),
]


async def test_what_cannot_be_added_or_removed_changes_nothing(home, edge):
    async with UserAgent(name="bob") as bob:
        home.start(with_setid(edge, [bob.address])).ready()
        before = await states(home)
        for words, text in NOT_ADDED:
            words = [str(word).format(edge=edge[1], bob=bob.address[1]) for word in words]
            done = await asyncio.to_thread(command, "dispatcher", *words, "--config", home.config)
            assert done.returncode == 1 and text in done.stderr, done.stderr
        assert await states(home) == before
        kept = home.place / "state" / "added"
        assert not kept.exists() or json.loads(kept.read_text())["rows"] == []


async def test_a_set_without_a_number_takes_none(home, edge):
    home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
    done = await asyncio.to_thread(command, "dispatcher", "add", "media", "sip:127.0.0.1:7", "--config", home.config)
    assert done.returncode == 1 and "has no `setid`" in done.stderr


WRONG = [
    (("probe", "media/sip:127.0.0.1:9"), 1, "media/sip:127.0.0.1:9 is not probed: give it or its set `probe`"),
    (("probe",), 2, "name at least one ID"),
    (("drain", "media/nobody"), 1, "there is no destination media/nobody"),
    (("drain", "--set", "medja"), 1, "there is no set medja; is media meant?"),
    (("drain",), 2, "name at least one ID"),
    (("show", "nobody"), 1, "there is no destination nobody"),
    (("list", "--set", "9"), 1, "there is no set 9"),
    (("list", "--set", "None"), 1, "there is no set None"),
    (("drain", "--set", "None"), 1, "there is no set None"),
    (("drain", "x", "--why", "x" * 201), 1, "why is a text of at most 200 letters"),
    (("drain", "\udcff"), 1, "what is given is no text in UTF-8"),
    (("add", "media", "\udcff"), 1, "what is given is no text in UTF-8"),
    (("drain", *("media/nobody" + "y" * 110 for _ in range(9000))), 1, "at most 1048576 are taken at once"),
    (("drain", *("media/nobody" for _ in range(10_000))), 1, "there is no destination media/nobody"),
]


async def test_what_is_not_there_is_said(home, edge):
    home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
    for words, code, text in WRONG:
        done = await asyncio.to_thread(command, "dispatcher", *words, "--config", home.config)
        assert (done.returncode, done.stdout) == (code, "") and text in done.stderr


async def test_no_room_for_a_word_changes_nothing(home, edge):
    async with UserAgent(name="bob") as bob:
        home.start(edge_config(edge, [bob.address])).ready()
        (home.place / "state" / "words").mkdir()
        done = await asyncio.to_thread(command, "dispatcher", "drain", identity(bob), "--config", home.config)
        assert done.returncode == 1 and "nothing has changed" in done.stderr
        assert await states(home) == {identity(bob): "enabled"}


async def test_what_cannot_be_read_is_not_written_anew(home, edge):
    """One word or one more destination in its place would be the end of all others."""
    async with UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        home.start(with_setid(edge, [bob.address])).ready()
        await ask(home, "add", "media", sip_uri(carol.address), "--attrs", "duid=carol")
        await ask(home, "drain", "media/carol")
        before, state = await states(home), home.place / "state"
        orders = {"words": ("drain", identity(bob)), "added": ("add", "media", "sip:127.0.0.1:7")}
        for name, words in orders.items():
            kept = (state / name).read_text()
            (state / name).chmod(0o660)
            for refused in (("dispatcher", *words, "--config", home.config), ("reload", home.config)):
                done = await asyncio.to_thread(command, *refused)
                assert done.returncode == 1 and "others may write there" in done.stderr, done.stderr
            (state / name).chmod(0o640)
            assert await states(home) == before and (state / name).read_text() == kept


async def test_one_whose_set_went_can_still_be_removed(home, edge):
    home.start(with_setid(edge, [("127.0.0.1", 9)])).ready()
    await ask(home, "add", "media", "sip:127.0.0.1:7", "--attrs", "duid=carol")
    text = with_setid(edge, [("127.0.0.1", 9)]).replace("media", "7").replace("setid = 7", "setid = 8")
    home.write(text)
    assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
    assert await states(home) == {"7/sip:127.0.0.1:9": "enabled"}
    assert await ask(home, "remove", "7/carol") == {"id": "7/carol"}
    assert json.loads((home.place / "state" / "added").read_text())["rows"] == []


# ---------------------------------------------------------------- as Kamailio shows it

LIST = """
1 sip:127.0.0.1:5081 0 9 weight=30;duid=one;foo=bar
1 sip:127.0.0.1:5082 4 5
1 sip:127.0.0.1:5083 0 3 rweight=50;maxload=10;ping_from=sip:a@b
1 sip:127.0.0.1:5085 9 1
2 sip:127.0.0.1:5084 0
"""
KAMAILIO_CONFIG = """
debug=1
log_stderror=yes
children=1
listen=udp:127.0.0.1:{port}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "ctl.so"
loadmodule "dispatcher.so"
modparam("ctl", "binrpc", "unix:{place}/ctl")
modparam("dispatcher", "list_file", "{place}/dispatcher.list")
request_route {{ exit; }}
"""


@contextlib.contextmanager
def kamailio(place, port: int, more: str = ""):
    """One that reads the same list; its `kamcmd dispatcher.list`.  more: of its configuration."""
    if KAMAILIO is None:
        pytest.fail("kamailio is missing: apt-get install kamailio")
    (place / "kamailio.cfg").write_text(KAMAILIO_CONFIG.format(place=place, port=port) + more)
    argv = [KAMAILIO, "-f", place / "kamailio.cfg", "-DD", "-E", "-m", "32", "-M", "4", "-w", place]
    asked = [Path(KAMAILIO).with_name("kamcmd"), "-s", f"unix:{place}/ctl", "dispatcher.list"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until((place / "ctl").exists, LIMIT_S)
        yield subprocess.run(asked, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def by_set(text: str) -> dict[str, str]:
    """Number -> what stands there of that set; Kamailio's order of sets is its tree's."""
    return {found[1]: found[0] for found in re.finditer(r"\t\tSET: \{\n\t\t\tID: (\d+)\n.*?\n\t\t\}\n", text, re.S)}


async def test_the_list_is_kamailio_s_own(home, edge, free_port):
    (home.place / "dispatcher.list").write_text(LIST)
    home.start(f"""
[router]
run_dir = "@RUN_DIR@"
state_dir = "@STATE_DIR@"
shards = 1
{listen_table(edge)}
[[source]]
kind = "list"
path = "dispatcher.list"
[[route]]
to = "1"
""").ready()
    ours = await asyncio.to_thread(command, "dispatcher", "list", "--kamailio", "--config", home.config)
    with kamailio(home.place, free_port()) as theirs:
        assert by_set(ours.stdout) == by_set(theirs) and len(by_set(theirs)) == 2
        assert ours.stdout.splitlines()[:3] == theirs.splitlines()[:3]
