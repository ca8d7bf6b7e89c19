"""What a router counts, as a real Prometheus scrapes it: calls, failovers, health, and that nothing goes down."""

import asyncio
import re
from itertools import pairwise

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from ua import UserAgent

from fastsip.api.socket import ask
from fastsip.observe import families
from fastsip.observe.exposition import OPENMETRICS_TYPE, TEXT_TYPE
from fastsip.observe.metrics import look, text
from tests.conftest import ROOT, wait_until
from tests.prometheus import Page, Prometheus, check

from .edge import NUMBER, edge_config, expect_call, refuse, ringing, sip_uri
from .lives import Home, command

RULES = ROOT / "docs" / "metrics" / "alerts.yml"
POLICY = 'on = [503, "timeout", "transport"]\nmark = "down"'
TYPES = [(False, TEXT_TYPE), (True, OPENMETRICS_TYPE)]


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


def scraped(home: Home, openmetrics: bool = False, names: str = "fastsip") -> str:
    """As an HTTP server beside the router would answer."""
    run_dir = home.place / "run"
    (status,) = ask(str(run_dir), "status")
    return text(look(run_dir, status, ask(str(run_dir), "destinations")), openmetrics=openmetrics, names=names)


async def metrics(home: Home, *words: str) -> str:
    done = await asyncio.to_thread(command, "metrics", home.config, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


async def two_calls(alice: UserAgent, bob: UserAgent, carol: UserAgent, edge) -> None:
    """One that bob fails and carol refuses, after which bob is down; one that goes to carol at once."""
    call = alice.invite(NUMBER, edge)
    bob.reply(await expect_call(bob, call), 503)
    await refuse(carol, call)
    await refuse(carol, alice.invite(NUMBER, edge))


def of(ua: UserAgent, **more: str) -> str:
    pairs = {"destination": f"media/{sip_uri(ua.address)}", "set": "media", "setid": "7", **more}
    return f"{{{','.join(f'{name}={text!r}' for name, text in pairs.items())}}}".replace("'", '"')


def growing(text: str) -> dict[tuple, float]:
    """All that is counted of destinations, which goes on over routers: (name, labels) -> value."""
    return {(one.name, tuple(sorted(one.labels.items()))): one.value
            for family in read_text(text) if family.type in ("counter", "histogram")
            for one in family.samples if one.name.startswith("fastsip_destination_")}  # fmt: skip


def of_one(found: dict[tuple, float], what: str, ua: UserAgent, **more: str) -> float | None:
    pairs = {"destination": f"media/{sip_uri(ua.address)}", "set": "media", **more}
    return found.get((f"fastsip_destination_{what}", tuple(sorted(pairs.items()))))


@pytest.mark.parametrize(("openmetrics", "content_type"), TYPES)
async def test_prometheus_has_what_happened(home, edge, openmetrics, content_type):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        life = home.start(edge_config(edge, [bob.address, carol.address], policy=POLICY, set_keys="setid = 7")).ready()
        await two_calls(alice, bob, carol, edge)
        await life.logged("destination down")
        expected = {
            "fastsip_up": 1, "fastsip_configuration_number": 1, "fastsip_draining": 0,
            "fastsip_new_invites_total": 2, "fastsip_failovers_total": 1, "fastsip_transactions_begun_total": 2,
            f"fastsip_destination_up{of(bob)}": 0, f"fastsip_destination_up{of(carol)}": 1,
            f"fastsip_destination_takes_calls{of(bob)}": 0,
            f"fastsip_destination_chosen_total{of(bob)}": 1, f"fastsip_destination_failed_total{of(bob)}": 1,
            f"fastsip_destination_chosen_total{of(carol)}": 2,
            f"fastsip_destination_attempts_total{of(carol)}": 2, f"fastsip_destination_failovers_total{of(bob)}": 1,
            f"fastsip_destination_answers_total{of(bob, code='503')}": 1,
            f"fastsip_destination_answers_total{of(carol, code='486')}": 2,
            'fastsip_failovers_by_reason_total{reason="503"}': 1,
            'fastsip_requests_received_total{method="INVITE"}': 2, 'fastsip_requests_sent_total{method="INVITE"}': 3,
            'fastsip_responses_sent_total{code="486"}': 2, 'fastsip_transactions_answered_total{class="4xx"}': 2,
            'sum(fastsip_transactions{kind="server_invite"})': 2,
            'sum(fastsip_timer_lag_seconds_count) - sum(fastsip_timer_lag_seconds_bucket{le="+Inf"})': 0,
            'fastsip_set_destinations_taking_calls{set="media"}': 1,
            'ALERTS{alertname="FastsipDestinationDown",alertstate="pending"}': 1,
        }  # fmt: skip

        def look_on() -> None:
            with (Page(content_type, lambda: scraped(home, openmetrics)) as page,
                  Prometheus(home.place / "prometheus", page.port, RULES) as prometheus):
                wait_until(lambda: {each: prometheus.number(each) for each in expected} == expected)
                assert prometheus.number("up") == 1 and page.errors == []
                shown = prometheus.query("fastsip_destination_state")
                assert {(one["health"], one["admin"]) for one, _ in shown} == {("down", "enabled"), ("up", "enabled")}
                groups = prometheus.ask("rules")["groups"]
                wrong = [rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")]
                assert groups and wrong == []

        await asyncio.to_thread(look_on)


async def test_prometheus_has_it_by_names_of_kamailio(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        life = home.start(edge_config(edge, [bob.address, carol.address], policy=POLICY, set_keys="setid = 7")).ready()
        await two_calls(alice, bob, carol, edge)
        await life.logged("destination down")
        expected = {
            "kamailio_up": 1, "kamailio_tm_stats_created_total": 2, "kamailio_tmx_UAS_transactions": 2,
            f'kamailio_dispatcher_list_target{{uri="{sip_uri(bob.address)}",flags="IX",setid="7"}}': 1,
            f'kamailio_dispatcher_list_target{{uri="{sip_uri(carol.address)}",flags="AX",setid="7"}}': 1,
        }

        def look_on() -> None:
            with (Page(TEXT_TYPE, lambda: scraped(home, names="kamailio")) as page,
                  Prometheus(home.place / "prometheus", page.port) as prometheus):
                wait_until(lambda: {each: prometheus.number(each) for each in expected} == expected)
                assert page.errors == []

        await asyncio.to_thread(look_on)


async def test_the_command_prints_what_a_scrape_gets(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        home.start(edge_config(edge, [bob.address, carol.address], policy=POLICY, shards=2)).ready()
        await two_calls(alice, bob, carol, edge)
        plain, openmetrics = await metrics(home), await metrics(home, "--openmetrics")
        assert "\nfastsip_new_invites_total 2\n" in plain
        assert 'fastsip_datagrams_handled_total{shard="1"} ' in plain
        of_plain, of_openmetrics = ({re.sub(r"_seconds_(?:bucket|sum|count)$", "_seconds", one.name)
                                     for family in read(found) for one in family.samples}
                                    for read, found in ((read_text, plain), (read_openmetrics, openmetrics)))
        assert of_plain == of_openmetrics <= {family.name for family in families.FAMILIES}
        done = check("metrics", text=plain)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        kamailio = await metrics(home, "--names", "kamailio")
        assert "\nkamailio_tm_stats_created_total 2\n" in kamailio and "fastsip_" not in kamailio


async def test_what_is_counted_of_a_destination_does_not_go_down_with_a_router(home, edge):
    """The counters of shards begin anew with each router, as Prometheus takes it; its uptime says so."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        life = home.start(edge_config(edge, [bob.address, carol.address], policy=POLICY)).ready()
        await two_calls(alice, bob, carol, edge)
        assert "\nfastsip_new_invites_total 2\n" in await metrics(home)
        life.kill_router()
        await life.logged("router took over", 2)
        after = await metrics(home)
        assert "\nfastsip_new_invites_total 0\n" in after
        of_carol = f'{{set="media",destination="media/{sip_uri(carol.address)}"}}'
        assert f"fastsip_destination_chosen_total{of_carol} 2\n" in after


async def test_what_was_measured_goes_on_over_kills_shards_and_reloads(home, edge):
    """Two shards, then three; one of the destinations goes and another comes while a call rings.  Nothing goes back."""
    async with (UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol,
                UserAgent(name="dave") as dave):  # fmt: skip
        def config(*destinations: UserAgent, shards: int) -> str:
            return edge_config(edge, [one.address for one in destinations], policy=POLICY, shards=shards)

        life = home.start(config(bob, carol, shards=2)).ready()
        await two_calls(alice, bob, carol, edge)
        await life.logged("destination down")
        scrapes = [growing(await metrics(home))]
        assert of_one(scrapes[0], "attempts_total", bob) == 1 and of_one(scrapes[0], "attempts_total", carol) == 2
        call, invite = await ringing(alice, carol, edge)
        scrapes.append(growing(await metrics(home)))
        assert of_one(scrapes[-1], "reply_seconds_count", carol) == 1
        life.kill_router()
        await life.logged("router took over", 2)
        scrapes.append(growing(await metrics(home)))
        home.write(config(carol, dave, shards=2))
        assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
        carol.answer(invite)
        await call.established()
        scrapes.append(growing(await metrics(home)))
        assert of_one(scrapes[-1], "answer_seconds_count", carol) == 1
        assert of_one(scrapes[-1], "attempts_total", dave) == 0 and of_one(scrapes[-1], "attempts_total", bob) is None
        home.write(config(carol, dave, shards=3))
        assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
        await refuse(carol, alice.invite(NUMBER, edge))
        scrapes.append(growing(await metrics(home)))
        assert of_one(scrapes[-1], "attempts_total", carol) == 4 and of_one(scrapes[-1], "failovers_total", carol) == 0
        assert of_one(scrapes[-1], "answers_total", carol, code="486") == 3
        assert of_one(scrapes[-1], "answers_total", carol, code="2xx") == 1
        for before, after in pairwise(scrapes):
            assert [each for each in before.keys() & after.keys() if after[each] < before[each]] == []
        done = await asyncio.to_thread(command, "stats", home.config)
        assert re.search(r"^INVITE +1 +1$", done.stdout, re.M) and re.search(r"^486 +1 +1$", done.stdout, re.M)
        done = await asyncio.to_thread(command, "dispatcher", "show", f"media/{sip_uri(carol.address)}", "--config",
                                       home.config)  # fmt: skip
        assert re.search(r"^attempts +4$", done.stdout, re.M) and re.search(r"^ser +25\.0 %$", done.stdout, re.M)
        assert re.search(r"^answers +2xx=1, 486=3$", done.stdout, re.M)
        assert re.search(r"^seer +100\.0 %$", done.stdout, re.M)


async def test_draining_and_words_of_operators_are_seen(home, edge):
    home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
    done = await asyncio.to_thread(command, "dispatcher", "drain", "--set", "media", "--config", home.config)
    assert done.returncode == 0
    assert (await asyncio.to_thread(command, "drain", home.config)).returncode == 0
    found = await metrics(home)
    assert "\nfastsip_draining 1\n" in found and 'admin="draining"' in found
    assert 'fastsip_set_destinations_taking_calls{set="media"} 0\n' in found


def test_without_a_router_there_are_no_numbers(home, edge):
    home.write(edge_config(edge, [("127.0.0.1", 9)]))
    done = command("metrics", home.config)
    assert (done.returncode, done.stdout) == (3, "") and "no router runs in" in done.stderr


async def test_a_file_that_cannot_be_read_is_said(home, edge):
    home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
    damaged = home.place / "run" / "damaged"    # in its place: the router goes on to write into the one that it has
    damaged.write_bytes(b"x" * 8192)
    damaged.replace(home.place / "run" / "stats")
    done = await asyncio.to_thread(command, "metrics", home.config)
    assert (done.returncode, done.stdout) == (1, "") and "stats is damaged, or of another version" in done.stderr


def test_names_that_nobody_has_are_refused(home, edge):
    done = command("metrics", home.write(edge_config(edge, [("127.0.0.1", 9)])), "--names", "opensips")
    assert done.returncode == 2 and "'fastsip', 'kamailio'" in done.stderr
