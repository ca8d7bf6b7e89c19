"""A capture file of messages, as tshark, Wireshark and sngrep read it: classic pcap, raw IP.

A message has no IP head where the router sees it, so one is made: IPv4 or IPv6 and UDP, with checksums that are right.
Of a message of which only the first part is there the heads say the whole length, as captures with a snap length do.

Formats: the pcap file (draft-ietf-opsawg-pcap) with microseconds and link type 101, IPv4 (RFC 791), IPv6 (RFC 8200),
UDP (RFC 768), the Internet checksum (RFC 1071).
"""

import ipaddress
import os
import secrets
import stat
import struct

from fastsip.base.plain import reason
from fastsip.observe.mirror import Seen

MAGIC, RAW_IP = 0xA1B2C3D4, 101
SNAP_BYTES = 1 << 18    # longer than any record here
MOST_UDP = 65_515       # bytes of UDP in an IPv4 datagram of 65,535
UDP, HOPS = 17, 64
OPEN_ALREADY = ("/dev/fd/", "/dev/stdout", "/dev/stderr", "/proc/self/fd/")  # links, but to what this process has
FILE_HEAD = struct.pack("<IHHiIII", MAGIC, 2, 4, 0, 0, SNAP_BYTES, RAW_IP)


class Capture:
    """Owns the file, which is a new one and readable by its owner alone: passwords of calls stand in it.

    Whatever had the name before has it no more, so that nobody who holds it reads along, and no link leads elsewhere.
    A pipe with a name, a terminal and what the shell has opened (`/dev/stdout`, `>(tshark -i -)`) are written as they
    are, for programs that show captures as they come.
    """

    def __init__(self, path: str):
        """OSError: it cannot be made, or is a link or something else that is no place for a capture."""
        self._path = path
        try:
            fd = _opened(path)
        except OSError as error:
            raise OSError(f"{path}: {error.strerror or error}") from None
        self._file = os.fdopen(fd, "wb")
        self._write(FILE_HEAD)
        self.flush()

    def add(self, seen: Seen) -> None:
        """OSError: the disk does not take it."""
        self._write(record(seen))

    def flush(self) -> None:
        """So that whoever reads the file meanwhile finds whole records."""
        try:
            self._file.flush()
        except OSError as error:
            raise OSError(f"{self._path}: {reason(error)}") from None

    def close(self) -> None:
        """What a full disk did not take was said before."""
        try:
            self._file.close()
        except OSError as error:
            raise OSError(f"{self._path}: {reason(error)}") from None

    def _write(self, what: bytes) -> None:
        try:
            self._file.write(what)
        except OSError as error:
            raise OSError(f"{self._path}: {reason(error)}") from None


def _opened(path: str) -> int:
    if os.path.abspath(path).startswith(OPEN_ALREADY):
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return _fresh(path)
    if stat.S_ISLNK(mode):
        raise OSError("it is a link, which is not followed")
    if stat.S_ISREG(mode):
        return _fresh(path)
    if not _is_stream(mode):
        raise OSError("it is no plain file, no pipe and no terminal")
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not _is_stream(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError("somebody exchanges it just now")
    return fd


def _is_stream(mode: int) -> bool:
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _fresh(path: str) -> int:
    """Has the name before anything stands in it, so that it can be read while it grows."""
    fresh = os.path.join(os.path.dirname(path), f".fastsip-{secrets.token_hex(8)}.pcap")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(fd, 0o600)    # whatever the umask takes away
        os.rename(fresh, path)
    except OSError:
        os.close(fd)
        os.unlink(fresh)
        raise
    return fd


def record(seen: Seen) -> bytes:
    """One message with its heads and its time."""
    source, target = (seen.peer, seen.ours) if seen.received else (seen.ours, seen.peer)
    packet, whole = datagram(source, target, seen.message, max(seen.length, len(seen.message)))
    second, rest = divmod(round(seen.when * 1_000_000), 1_000_000)
    return struct.pack("<IIII", second, rest, len(packet), whole) + packet


def datagram(source: tuple[str, int], target: tuple[str, int], message: bytes, length: int) -> tuple[bytes, int]:
    """IP and UDP around the message, and how long all of it was on the wire.  length: of the message there."""
    ip_from, ip_to = _address(source[0]), _address(target[0])
    if ip_from.version != ip_to.version:    # a socket of IPv6 that hears IPv4
        ip_from, ip_to = _mapped(ip_from), _mapped(ip_to)
    length = min(length, MOST_UDP - 8)
    message = message[:length]
    udp_bytes = length + 8
    pair = ip_from.packed + ip_to.packed
    udp = struct.pack("!HHH", source[1], target[1], udp_bytes)
    checksum = 0    # of what is not all there nobody can say it
    if len(message) == length:
        checksum = internet_checksum(pair + struct.pack("!II", UDP, udp_bytes) + udp + b"\0\0" + message) or 0xFFFF
    head = _ipv4_head(pair, udp_bytes) if ip_from.version == 4 else _ipv6_head(pair, udp_bytes)
    return head + udp + struct.pack("!H", checksum) + message, len(head) + udp_bytes


def _ipv4_head(pair: bytes, udp_bytes: int) -> bytes:
    """Not fragmented, as the router's sockets gave or took it."""
    start = struct.pack("!BBHHHBB", 0x45, 0, 20 + udp_bytes, 0, 0x4000, HOPS, UDP)
    return start + struct.pack("!H", internet_checksum(start + pair)) + pair


def _ipv6_head(pair: bytes, udp_bytes: int) -> bytes:
    return struct.pack("!IHBB", 6 << 28, udp_bytes, UDP, HOPS) + pair


def internet_checksum(text: bytes) -> int:
    """RFC 1071: of 16-bit words in network order, an odd byte at the end filled up with zero."""
    words = text + b"\0" * (len(text) % 2)
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(host.partition("%")[0])


def _mapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv6Address:
    """An IPv4 address as it stands in IPv6 (RFC 4291 section 2.5.5.2)."""
    if address.version == 4:
        return ipaddress.IPv6Address(bytes(10) + b"\xff\xff" + address.packed)
    return address
