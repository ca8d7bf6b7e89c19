"""bench: its readings, its verdicts and the shape of its results, so that it cannot rot unseen.

Nothing here measures; the one load that runs is twenty calls from our caller to our callee.
"""

import argparse
import importlib
import json
import os
import re
import socket
import subprocess
import sys
import types
from collections import Counter

import pytest

from bench import capacity, gil_hold, load, procfs, targets, traffic
from bench.build import HERE, PROGRAMS, build
from bench.processes import Process, RunFailed, answers_options, take_ports, wait_until
from fastsip.observe import counters

COMMANDS = re.findall(r"`python -m bench\.(\w+)`", (HERE / "README.md").read_text())
NAMED = ("RECEIVE_CALLS", "DATAGRAMS_IN", "HANDED_OVER", "SLOTS_USED", "SLOT_BYTES", "BLOCK_BYTES")


@pytest.fixture
def pyperf_or_none(monkeypatch):
    """bench.micro imports pyperf, which only measuring needs."""
    try:
        importlib.import_module("pyperf")
    except ImportError:
        monkeypatch.setitem(sys.modules, "pyperf", types.ModuleType("pyperf"))


# ---------------------------------------------------------------- procfs


@pytest.fixture
def fake_proc(tmp_path, monkeypatch):
    """A /proc with processes 10 > 11 > 12, 10 > 13 and a stranger 20."""
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    parents = {10: 1, 11: 10, 12: 11, 13: 10, 20: 1}
    for pid, parent in parents.items():
        task = tmp_path / str(pid) / "task" / str(pid)
        task.mkdir(parents=True)
        rest = " ".join(str(field) for field in range(2, 40))
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) b (c) S {parent} {rest}")
        (task / "schedstat").write_text(f"{pid * 1000} {pid} 5\n")
        (task / "status").write_text(
            f"Name:\tx\nvoluntary_ctxt_switches:\t{pid}\nnonvoluntary_ctxt_switches:\t99\n"
        )
        (tmp_path / str(pid) / "smaps_rollup").write_text("Rss:  8 kB\nPss:  4 kB\nPss_Dirty:  1 kB\n")
    (tmp_path / "self").mkdir()
    return tmp_path


def test_a_process_and_all_below_it(fake_proc):
    assert procfs.descendants(10) == [10, 11, 13, 12]
    assert procfs.descendants(20) == [20]
    assert procfs.descendants(99) == []


def test_the_start_time_is_behind_a_name_with_parentheses(fake_proc):
    # field 22 of stat; our fields count from 2 behind the parent, which is field 4
    assert procfs.start_time(10) == 19
    assert procfs.start_time(99) == 0


def test_cpu_waits_and_wakeups_are_summed(fake_proc):
    used, waited = procfs.read_cpu([10, 11, 99])
    assert sorted(used.values()) == [10_000, 11_000] and waited == 21
    assert procfs.count_wakeups([10, 11, 99]) == 21
    assert procfs.read_memory([10, 11, 99]) == {"rss": 16_384, "pss": 8_192}


def test_a_broken_schedstat_is_left_out(fake_proc):
    (fake_proc / "10" / "task" / "10" / "schedstat").write_text("not supported\n")
    assert procfs.read_cpu([10]) == ({}, 0)


def test_growth_between_two_readings():
    first = procfs.Reading([1], 100, {"a": 10, "gone": 50}, 5, 7, 1)
    last = procfs.Reading([1], 600, {"a": 30, "new": 4}, 6, 17, 3)
    assert last.since(first) == {
        "wall_ns": 500,
        "cpu_ns": 24,
        "vanished": 1,
        "waited_ns": 1,
        "wakeups": 10,
        "drops": 2,
    }


def test_readings_of_a_real_process():
    before = procfs.Reading.take(os.getpid())
    sum(number * number for number in range(300_000))
    grown = procfs.Reading.take(os.getpid()).since(before)
    assert grown["cpu_ns"] > 0 and grown["wall_ns"] > 0 and grown["vanished"] == 0
    memory = procfs.read_memory([os.getpid()])
    assert memory["rss"] >= memory["pss"] > 0


def test_drops_and_bound_ports_of_the_kernel():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as loud,
    ):
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        assert procfs.is_bound(port)
        before = procfs.count_drops([os.getpid()])
        for _ in range(200):
            loud.sendto(b"x" * 1000, ("127.0.0.1", port))
        assert 100 < procfs.count_drops([os.getpid()]) - before <= 200
    assert not procfs.is_bound(port)


# ---------------------------------------------------------------- processes


def test_ports_are_free_and_differ():
    ports = take_ports(20)
    assert len(set(ports)) == 20 and not any(map(procfs.is_bound, ports))
    assert not answers_options(ports[0])


def test_a_process_is_ended_with_all_below_it(tmp_path):
    process = Process(["sh", "-c", "sleep 60 & wait"], tmp_path / "log", None, limit_s=60)
    wait_until(lambda: len(procfs.descendants(process.pid)) == 3, 5, "the child", process)
    below = procfs.descendants(process.pid)
    process.stop()
    assert not process.alive()
    wait_until(lambda: not any(map(is_running, below)), 5, "their end")


def is_running(pid: int) -> bool:
    """An orphan that nobody has waited for yet does not run."""
    try:
        return (procfs.PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_that_ends_early_is_told_with_its_words(tmp_path):
    process = Process(["sh", "-c", "echo no room; exit 3"], tmp_path / "log", None)
    with pytest.raises(RunFailed, match=r"thing: ended with status 3: no room"):
        wait_until(lambda: False, 5, "thing", process)
    with pytest.raises(RunFailed, match="never: not within 0 s"):
        wait_until(lambda: False, 0.05, "never")


# ---------------------------------------------------------------- options


def load_plan(*words):
    parser = argparse.ArgumentParser()
    load.add_plan_arguments(parser)
    return load.plan_of(parser.parse_args(list(words)))


def test_what_is_not_said_is_the_plan_itself(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert vars(load_plan()) == vars(load.Plan())


def test_options_become_a_plan(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    words = ["--rate", "200", "--seconds", "5", "--warm", "1", "--clump-ms", "0", "--generator", "sipp"]
    plan = load_plan(*words)
    assert (plan.rate, plan.seconds, plan.warm_s, plan.clump_ms, plan.generator) == (200, 5, 1, 0, "sipp")
    assert (plan.target_core, plan.load_core) == (0, 1)
    for words in (("--shards", "2"), ("--no-pin",)):
        free = load_plan(*words)
        assert (free.target_core, free.load_core) == (None, None)


def test_names_of_targets():
    assert load.read_targets("floor,fastsip") == ["floor", "fastsip"]
    for wrong in ("", "floor,asterisk"):
        with pytest.raises(argparse.ArgumentTypeError, match="floor, kamailio, fastsip"):
            load.read_targets(wrong)


def test_the_hold_must_fit_into_the_load(capsys):
    assert gil_hold.parse(["--rate", "10"]).rate == 10
    with pytest.raises(SystemExit):
        gil_hold.parse(["--seconds", "2"])
    assert "--seconds" in capsys.readouterr().err
    assert gil_hold.HELD.search("x\ngil: held 2.013\n")[1] == "2.013"
    assert gil_hold.GIL_ROUTER.is_file()


# ---------------------------------------------------------------- results


def a_window(calls=1_000, cpu_ns=40_000_000, stats=None, **outcome):
    grown = {"wall_ns": 10**9, "cpu_ns": cpu_ns, "vanished": 0, "waited_ns": 0, "wakeups": 500, "drops": 0}
    parts = {"started": calls, "completed": calls, "failed": 0, "unfinished": 0, "retransmissions": 0}
    memory, others = {"rss": 2 << 20, "pss": 1 << 20}, [{**grown, "cpu_ns": 10**8}]
    return load.Window(grown, others, calls, memory, stats or {}, traffic.Outcome(**{**parts, **outcome}))


def test_figures_of_a_good_run():
    counted = {targets.DATAGRAMS_IN: 6_000, targets.RECEIVE_CALLS: 1_500, targets.HANDED_OVER: 3_000}
    figures = load.figures_of(a_window(stats=counted), load.Plan(rate=1_000))
    assert figures["problems"] == []
    assert (figures["cpu_us_per_call"], figures["wakeups_per_call"]) == (40, 0.5)
    assert (figures["datagrams_per_recvmmsg"], figures["handed_over_share"]) == (4, 0.5)
    assert json.loads(json.dumps(figures)) == figures


@pytest.mark.parametrize(
    "change, said",
    [
        ({"failed": 1, "completed": 999}, "1 of 1000 calls failed"),
        ({"unfinished": 2, "completed": 998}, "2 of 1000 calls never ended"),
        ({"retransmissions": 3}, "3 \\+ 0 retransmissions"),
        ({"completed": 990}, "does not add up"),
        ({"details": {"late_us": 90_000}}, "a call started 90 ms late"),
        ({"calls": 500}, "500 calls/s instead of 1000"),
    ],
)
def test_a_run_says_what_is_wrong_with_it(change, said):
    figures = load.figures_of(a_window(**change), load.Plan(rate=1_000))
    assert any(re.search(said, problem) for problem in figures["problems"]), figures["problems"]


def test_a_run_without_calls_has_no_figures_and_no_crash():
    figures = load.figures_of(a_window(calls=0), load.Plan())
    assert figures["cpu_us_per_call"] is None and figures["problems"]


def test_ratios_are_those_inside_a_round(tmp_path, capsys):
    rounds = []
    for floor, own in ((40, 60), (80, 128), (20, 30)):
        runs = {"floor": a_window(cpu_ns=floor * 10**6), "fastsip": a_window(cpu_ns=own * 10**6)}
        rounds.append({name: load.figures_of(each, load.Plan(rate=1_000)) for name, each in runs.items()})
    report = load.report_of(rounds, ["floor", "fastsip"], load.Plan())
    assert report["ratios"]["fastsip"] == {"to_floor": 1.5, "to_kamailio": None}
    assert report["medians"]["fastsip"]["cpu_us_per_call"] == 60
    written = json.loads(load.write_report(report, "load", tmp_path / "out.json").read_text())
    assert list(written)[:5] == ["when", "commit", "command", "machine", "targets"]
    assert list(written)[5:] == ["plan", "rounds", "medians", "ratios"]
    load.print_table(report)
    assert "fastsip" in capsys.readouterr().out


def test_capacity_bisects_to_the_edge(monkeypatch):
    def run(name, plan, rate):
        return {"rate": rate, "served": rate <= 7_300, "generator_limited": False, "disturbed": False}

    monkeypatch.setattr(capacity, "try_rate", run)
    found = capacity.search("fastsip", load.Plan(), 1_000, 40_000, 12)
    assert 7_100 <= found["calls_per_s"] <= 7_300 and not found["lower_bound"]
    assert capacity.search("fastsip", load.Plan(), 8_000, 40_000, 5)["calls_per_s"] == 0
    assert capacity.search("fastsip", load.Plan(), 1_000, 2_000, 5)["lower_bound"]


def test_counters_are_read_by_the_names_that_they_have():
    known = {*counters.GAUGES, *counters.COUNTER_NAMES}
    assert {getattr(targets, name) for name in NAMED} <= known


def test_sipp_statistics_are_read_from_the_last_line(tmp_path):
    path = tmp_path / "uac.csv"
    path.write_text("TotalCallCreated;FailedCall(C)\n1;0\n20;3\n")
    assert traffic.read_sipp(path) == {"TotalCallCreated": "20", "FailedCall(C)": "3"}
    path.write_text("TotalCallCreated;FailedCall(C)\n")
    with pytest.raises(RunFailed, match="no statistics"):
        traffic.read_sipp(path)


# ---------------------------------------------------------------- commands and programs


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_of_the_readme_is_there(pyperf_or_none, name):
    module = importlib.import_module(f"bench.{name}")
    assert callable(module.main) and module.__doc__


def test_commands_are_named_once_and_all():
    assert Counter(COMMANDS) == Counter(set(COMMANDS))
    runnable = {path.stem for path in HERE.glob("*.py") if "\n    sys.exit(main())" in path.read_text()}
    assert runnable - {"parse_vs_sofia", "supervise"} <= set(COMMANDS)


@pytest.mark.parametrize("name", ["parse", "index", "edit", "choose", "match", "timer"])
def test_a_kernel_of_micro_runs_its_rounds(pyperf_or_none, name):
    micro = importlib.import_module("bench.micro")
    (kernel,) = micro.chosen(name)
    assert micro.open_door(kernel)(*kernel.setup(), 1_000) == 1_000


def test_micro_knows_no_other_kernels(pyperf_or_none):
    micro = importlib.import_module("bench.micro")
    assert {kernel.name for kernel in micro.KERNELS} == {"parse", "index", "edit", "choose", "match", "timer"}
    with pytest.raises(LookupError, match="no kernel fly"):
        micro.chosen("parse,fly")


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_compile(name):
    assert os.access(build(name), os.X_OK)


def test_twenty_calls_from_caller_to_callee(scratch):
    """Without a router between them: what they count is what happened."""
    (port,) = take_ports(1)
    answerer = traffic.Answerer([port], scratch, None, 30)
    try:
        generator = traffic.Generator(port, 200, 0.5, scratch, None, calls=20)
        try:
            outcome = generator.outcome(answerer)
        finally:
            generator.stop()
    finally:
        answerer.stop()
    assert outcome.problems() == []
    assert (outcome.started, outcome.completed) == (20, 20) and outcome.details["sent"] == 60
    assert generator.counters["completed"] == 20 and not any(map(Process.alive, answerer.processes))


def test_the_version_of_the_tree_is_named():
    known = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, timeout=10)
    assert targets.commit().rstrip("+") == (known.stdout.strip()[:12] or "none")
