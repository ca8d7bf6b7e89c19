"""A capture file of messages, as tshark, Wireshark and sngrep read it: classic pcap, raw IP.

A message has no IP head where the router sees it, so one is made: IPv4 or IPv6 and UDP, with checksums that are right.
Of a message of which only the first part is there the heads say the whole length, as captures with a snap length do.

Formats: the pcap file (draft-ietf-opsawg-pcap) with microseconds and link type 101, IPv4 (RFC 791), IPv6 (RFC 8200),
UDP (RFC 768), the Internet checksum (RFC 1071).
"""

import ipaddress
import os
import stat
import struct

from fastsip.base.plain import reason
from fastsip.observe.mirror import Seen

MAGIC, RAW_IP = 0xA1B2C3D4, 101
SNAP_BYTES = 1 << 18    # longer than any record here
MOST_UDP = 65_515       # bytes of UDP in an IPv4 datagram of 65,535
UDP, HOPS = 17, 64
FILE_HEAD = struct.pack("<IHHiIII", MAGIC, 2, 4, 0, 0, SNAP_BYTES, RAW_IP)


class Capture:
    """Owns the file, which begins anew and is readable by its owner alone: passwords of calls stand in it.

    A pipe with a name is written as well, for a program that shows captures as they come.
    """

    def __init__(self, path: str):
        """OSError: it cannot be made, or is somebody else's."""
        self._path = path
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(fd, "wb")
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                os.fchmod(fd, 0o600)    # before anything stands in it
                os.ftruncate(fd, 0)
        except OSError as error:
            self._file.close()
            raise OSError(f"{path}: {reason(error)}") from None
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
