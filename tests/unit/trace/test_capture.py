"""Captures, read back byte for byte as the formats say, and by tshark where it is installed."""

import os
import shutil
import socket
import struct
import subprocess

import pytest

from fastsip.trace.capture import MOST_UDP, Capture, internet_checksum, record
from tests.unit.trace.talk import ALICE, BOB, EDGE, INSIDE, Talk

SIX = ("2001:db8::1", 5060)


def read_capture(text: bytes) -> list[tuple[float, int, bytes]]:
    """Time, length on the wire and packet of each record."""
    assert struct.unpack_from("<IHHiII", text) == (0xA1B2C3D4, 2, 4, 0, 0, 1 << 18)
    assert struct.unpack_from("<I", text, 20) == (101,)
    found, at = [], 24
    while at < len(text):
        second, micro, kept, whole = struct.unpack_from("<IIII", text, at)
        found.append((second + micro / 1e6, whole, text[at + 16 : at + 16 + kept]))
        at += 16 + kept
    return found


def one(seen, tmp_path):
    place = tmp_path / "one.pcap"
    capture = Capture(str(place))
    capture.add(seen)
    capture.close()
    (found,) = read_capture(place.read_bytes())
    return found


def is_whole(pair: bytes, udp: bytes) -> bool:
    """The sum over pseudo head, UDP head and payload is all ones (RFC 768)."""
    return internet_checksum(pair + struct.pack("!II", 17, len(udp)) + udp) == 0


def test_an_ipv4_packet_has_right_lengths_and_checksums(tmp_path):
    seen = Talk().begin().seen[0]
    when, whole, packet = one(seen, tmp_path)
    assert abs(when - seen.when) < 1e-6 and whole == len(packet) == 28 + len(seen.message)
    assert packet[0] == 0x45 and struct.unpack_from("!H", packet, 2) == (len(packet),)
    assert packet[8:10] == bytes([64, 17]) and internet_checksum(packet[:20]) == 0
    assert packet[12:20] == bytes([192, 0, 2, 1, 192, 0, 2, 10])
    assert struct.unpack_from("!HHH", packet, 20) == (5060, 5060, 8 + len(seen.message))
    assert is_whole(packet[12:20], packet[20:]) and packet[28:] == seen.message


@pytest.mark.parametrize("received", [True, False])
@pytest.mark.parametrize("length", [0, 1, 2, 1201])
def test_an_ipv6_packet_too(tmp_path, received, length):
    seen = Talk().say(received, SIX, ("fe80::2%eth0", 5070), b"x" * length)
    _, whole, packet = one(seen, tmp_path)
    assert whole == len(packet) == 48 + length and packet[:4] == b"\x60\0\0\0"
    assert struct.unpack_from("!HBB", packet, 4) == (8 + length, 17, 64)
    ports = struct.unpack_from("!HH", packet, 40)
    assert ports == ((5070, 5060) if received else (5060, 5070)) and is_whole(packet[8:40], packet[40:])


def test_a_socket_that_hears_both_has_both_as_ipv6(tmp_path):
    _, _, packet = one(Talk().say(True, ("::", 5060), ALICE, b"INVITE"), tmp_path)
    assert packet[0] == 0x60 and packet[8:24] == bytes(10) + b"\xff\xff\xc0\0\2\1"


def test_of_a_message_that_was_cut_the_heads_say_the_whole(tmp_path):
    seen = Talk().say(True, EDGE, ALICE, b"INVITE")._replace(length=2000)
    _, whole, packet = one(seen, tmp_path)
    assert (whole, len(packet)) == (2028, 34) and struct.unpack_from("!H", packet, 24) == (2008,)
    assert packet[26:28] == b"\0\0"


def test_no_datagram_is_longer_than_ip_has_room_for(tmp_path):
    for more in (0, 1):
        _, whole, packet = one(Talk().say(True, EDGE, ALICE, b"x" * (MOST_UDP - 8 + more)), tmp_path)
        assert whole == len(packet) == 65_535 and is_whole(packet[12:20], packet[20:])


def test_checksums_are_those_of_the_rfc():
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF     # RFC 1071 section 3
    assert internet_checksum(b"\x01") == 0xFEFF and internet_checksum(b"") == 0xFFFF


def test_the_file_is_its_owners_alone_and_whole_after_each_flush(tmp_path):
    place = tmp_path / "c.pcap"
    place.write_bytes(b"what was there before, for everybody" * 9)
    place.chmod(0o644)
    capture = Capture(str(place))
    assert place.stat().st_mode & 0o777 == 0o600 and read_capture(place.read_bytes()) == []
    capture.add(Talk().begin().seen[0])
    capture.flush()
    assert len(read_capture(place.read_bytes())) == 1
    capture.close()


def test_who_holds_what_had_the_name_before_reads_nothing(tmp_path):
    """As root whoever made the file would own it; here he has it open, which is the same to him."""
    place = tmp_path / "c.pcap"
    place.write_bytes(b"theirs")
    if os.geteuid() == 0:
        os.chown(place, 65534, 65534)
    with place.open("rb") as held:
        capture = Capture(str(place))
        capture.add(Talk().begin().seen[0])
        capture.close()
        assert held.read() == b"theirs"
    found = place.stat()
    assert (found.st_uid, found.st_mode & 0o777) == (os.geteuid(), 0o600)
    assert len(read_capture(place.read_bytes())) == 1 and list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("target", ["victim", "nowhere"])
def test_no_link_is_followed(tmp_path, target):
    victim, link = tmp_path / "victim", tmp_path / "c.pcap"
    victim.write_text("important")
    link.symlink_to(tmp_path / target)
    with pytest.raises(OSError, match=r"c.pcap: it is a link, which is not followed"):
        Capture(str(link))
    assert victim.read_text() == "important" and sorted(tmp_path.iterdir()) == [link, victim]


def test_what_is_no_place_for_a_capture_is_left_alone(tmp_path):
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(tmp_path / "s"))
        for place in (tmp_path, tmp_path / "s"):
            with pytest.raises(OSError, match=r"it is no plain file, no pipe and no terminal"):
                Capture(str(place))


@pytest.mark.parametrize("kind", ["name", "number"])
def test_a_pipe_is_written_as_it_is(tmp_path, kind):
    """The path itself, as a shell gives it for `>(tshark -i -)`, or a pipe that somebody has made."""
    read, write = os.pipe()
    path = f"/dev/fd/{write}"
    if kind == "name":
        path = str(tmp_path / "fifo")
        os.mkfifo(path)
        os.dup2(os.open(path, os.O_RDONLY | os.O_NONBLOCK), read)
    capture = Capture(path)
    capture.add(Talk().begin().seen[0])
    capture.close()
    assert len(read_capture(os.read(read, 1 << 16))) == 1
    os.close(read)
    os.close(write)


def test_what_a_shell_has_opened_goes_on_where_it_ends(tmp_path):
    place = tmp_path / "out"
    with place.open("wb") as out:
        out.write(b"before")
        out.flush()
        Capture(f"/proc/self/fd/{out.fileno()}").close()
    assert place.read_bytes()[:6] == b"before" and read_capture(place.read_bytes()[6:]) == []


def test_a_file_that_cannot_be_made_or_a_full_disk_is_named(tmp_path):
    with pytest.raises(OSError, match=r"nowhere"):
        Capture(str(tmp_path / "nowhere" / "c"))
    with pytest.raises(OSError, match=r"/dev/full: No space left on device"):
        Capture("/dev/full")


@pytest.mark.skipif(not shutil.which("tshark"), reason="no tshark here; the tests above decode the same")
def test_tshark_reads_it(tmp_path):
    place = tmp_path / "c.pcap"
    capture = Capture(str(place))
    talk = Talk().begin().fail_over().hang_up()
    talk.say(True, SIX, ("2001:db8::9", 5060), talk.message("OPTIONS sip:a SIP/2.0", "1 OPTIONS", "z9hG4bKz"))
    for seen in talk.seen:
        capture.add(seen)
    capture.close()
    names = ("ip.src", "ipv6.src", "udp.srcport", "sip.Call-ID", "ip.checksum.status", "udp.checksum.status",
             "sip.Method", "sip.Status-Code")  # fmt: skip
    argv = ["tshark", "-r", str(place), "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
            "-T", "fields", "-E", "separator=;", *(word for name in names for word in ("-e", name))]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env={**os.environ, "HOME": str(tmp_path)})
    rows = [line.split(";") for line in done.stdout.splitlines()]
    assert len(rows) == len(talk.seen), done.stderr
    assert rows[0] == [ALICE[0], "", "5060", "one@alice", "1", "1", "INVITE", ""]
    assert rows[3] == [BOB[0], "", "5060", "one@alice", "1", "1", "", "503"]
    assert rows[-1] == ["", "2001:db8::9", "5060", "one@alice", "", "1", "OPTIONS", ""]
    assert rows[2][0] == INSIDE[0] and all(row[5] == "1" for row in rows)


def test_a_record_says_its_microsecond():
    seen = Talk().begin().seen[0]._replace(when=1.9999999)
    assert struct.unpack_from("<II", record(seen)) == (2, 0)
