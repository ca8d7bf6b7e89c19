"""sd_notify against a stub of systemd's socket: what is said, which descriptors come along."""

import os
import socket

import pytest

from fastsip.supervisor.systemd import Notifier, passed_on


@pytest.fixture(params=["file", "abstract"])
def systemd(request, tmp_path):
    """(environment, the socket that systemd would read)."""
    address = str(tmp_path / "notify") if request.param == "file" else f"@fastsip-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + address[1:] if address.startswith("@") else address)
        sock.settimeout(5)
        yield {"NOTIFY_SOCKET": address}, sock


def heard(sock) -> tuple[list[str], list[int]]:
    raw, fds, _, _ = socket.recv_fds(sock, 4096, 4)
    return raw.decode().split("\n"), fds


def test_what_is_said(systemd):
    environment, sock = systemd
    notifier = Notifier(environment)
    notifier.ready("routing")
    assert heard(sock) == (["READY=1", "STATUS=routing"], [])
    notifier.stopping("leaving")
    assert heard(sock) == (["STOPPING=1", "STATUS=leaving"], [])
    notifier.wait_longer(1.5, "draining")
    assert heard(sock) == (["EXTEND_TIMEOUT_USEC=1500000", "STATUS=draining"], [])
    notifier.reloading()
    (reloading, clock), _ = heard(sock)
    assert reloading == "RELOADING=1" and clock.startswith("MONOTONIC_USEC=")


def test_a_socket_is_stored_by_name_and_not_polled(systemd):
    environment, sock = systemd
    notifier = Notifier(environment)
    with socket.socket(type=socket.SOCK_DGRAM) as kept:
        kept.bind(("127.0.0.1", 0))
        notifier.store("some.name", kept.fileno())
        lines, (fd,) = heard(sock)
        assert lines == ["FDSTORE=1", "FDNAME=some.name", "FDPOLL=0"]
        with socket.socket(fileno=fd) as there:
            assert there.getsockname() == kept.getsockname()
    notifier.drop("some.name")
    assert heard(sock) == (["FDSTOREREMOVE=1", "FDNAME=some.name"], [])


def test_without_systemd_nothing_is_said():
    notifier = Notifier({})
    notifier.ready("routing")
    notifier.store("name", 0)
    assert notifier.watchdog_s is None


def test_a_systemd_that_went_away_is_no_error(tmp_path):
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("routing")


@pytest.mark.parametrize(
    "more, wanted",
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_whose_it_is(more, wanted):
    assert Notifier({"NOTIFY_SOCKET": "@nobody", **more}).watchdog_s == wanted


@pytest.mark.parametrize(
    "pid, count, found", [("ours", "2", [3, 4]), ("ours", "", []), ("ours", "x", []), ("1", "2", [])]
)
def test_descriptors_that_were_kept(monkeypatch, pid, count, found):
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()) if pid == "ours" else pid)
    monkeypatch.setenv("LISTEN_FDS", count)
    monkeypatch.setenv("LISTEN_FDNAMES", "a:b")
    closed = []
    monkeypatch.setattr(os, "set_inheritable", lambda fd, value: closed.append((fd, value)))
    assert passed_on() == found and closed == [(fd, False) for fd in found]
    assert not {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} & set(os.environ)
