"""Slow and obvious: hashing and the choice of a destination, for the kernels to be held against."""

import math
from dataclasses import dataclass

MASK = 2**64 - 1


def _rotate(word, bits):
    return ((word << bits) | (word >> (64 - bits))) & MASK


def _sip_round(v):
    v[0] = (v[0] + v[1]) & MASK
    v[1] = _rotate(v[1], 13) ^ v[0]
    v[0] = _rotate(v[0], 32)
    v[2] = (v[2] + v[3]) & MASK
    v[3] = _rotate(v[3], 16) ^ v[2]
    v[0] = (v[0] + v[3]) & MASK
    v[3] = _rotate(v[3], 21) ^ v[0]
    v[2] = (v[2] + v[1]) & MASK
    v[1] = _rotate(v[1], 17) ^ v[2]
    v[2] = _rotate(v[2], 32)


def siphash(key, text, c_rounds, d_rounds):
    """SipHash-c-d by the paper's figure 2.1, 64-bit result."""
    k0 = int.from_bytes(key[:8], "little")
    k1 = int.from_bytes(key[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    padded = text + bytes(7 - len(text) % 8) + bytes([len(text) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at:at + 8], "little")
        v[3] ^= word
        for _ in range(c_rounds):
            _sip_round(v)
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(d_rounds):
        _sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def mix(a, b):
    """hashing.mix, step by step."""
    x = a ^ (b * 0x9E3779B97F4A7C15 & MASK)
    x ^= x >> 27
    x = x * 0x3C79AC492BA7B653 & MASK
    x ^= x >> 33
    x = x * 0x1C69B3F74AC4AE35 & MASK
    return x ^ (x >> 27)


def rank_hash(key, seed):
    """ranking.h's hash of one member: 32 bits."""
    x = (seed >> 32 ^ key & 0xFFFFFFFF) * (key >> 32 | 1) & 0xFFFFFFFF
    return (x ^ x >> 16) * 0x85EBCA6B & 0xFFFFFFFF


def stride_of(total):
    """The number nearest to total / golden ratio, the greater of two, that has no factor in common with it."""
    if total < 3:
        return total // 2
    middle = int(total * 0.6180339887498949 + 0.5)
    return next(at for off in range(total) for at in (middle + off, middle - off) if math.gcd(at, total) == 1)


UNKNOWN, UP, TRYING, DOWN = range(4)
HASHED = {0, 1, 2, 3, 5, 7}
MANY = 64


@dataclass
class Destination:
    """What the oracle knows of one; times in ms."""

    id: int
    weight: int = 1
    priority: int = 0
    max_load: int = 0
    probed: bool = False
    seed: int = 0
    admin: int = 0
    health: int = UNKNOWN
    since_ms: int = 0
    retry_after_ms: int = 0
    trial_ms: int = 0
    load: int = 0


def within_limits(d, now_ms):
    return d.admin == 0 and now_ms >= d.retry_after_ms and (d.max_load == 0 or d.load < d.max_load)


def is_usable(d, now_ms, retry_ms):
    if not within_limits(d, now_ms):
        return False
    if d.health != DOWN:
        return True
    return not d.probed and now_ms >= max(d.since_ms, d.trial_ms) + retry_ms


@dataclass
class Set:
    """One set of destinations, and one shard's position in it."""

    algorithm: int
    destinations: list
    tiers: bool = True
    try_down: bool = False
    retry_ms: int = 30000
    position: int = 0
    turn: int = 0

    def __post_init__(self):
        self.order = sorted(self.destinations, key=lambda d: -d.priority)

    def contenders(self, tried, allowed):
        """Those who may win, in order: of the highest tier that has any; weight 0 if nothing else is left."""
        left = [d for d in self.order if d.id not in tried and allowed(d)]
        if self.algorithm != 15:
            left = [d for d in left if d.weight > 0] or left
        if self.tiers or self.algorithm == 15:
            left = [d for d in left if d.priority == left[0].priority]
        return left

    def left_over(self, tried, now_ms):
        """The contenders now: by state, or by limits alone when the whole set is down and may be tried."""
        left = self.contenders(tried, lambda d: is_usable(d, now_ms, self.retry_ms))
        alive = [d for d in self.order if within_limits(d, now_ms) and d.health != DOWN]
        if not left and self.try_down and not alive:
            left = self.contenders(tried, lambda d: within_limits(d, now_ms))
        return left

    def possible(self, key, tried=(), now_ms=0):
        """All that the kernel may answer: one, or several where it draws lots; empty for none."""
        left = self.left_over(tried, now_ms)
        return self.winners(left, key, first=not tried) if left else []

    def group(self, tried=(), now_ms=0, most=16):
        """What parallel asks at once: the first contender's tier, those of weight 0 only among themselves."""
        left = self.left_over(tried, now_ms)
        return [d for d in left if (d.weight == 0) == (left[0].weight == 0)][:most]

    def winners(self, left, key, first):
        if self.algorithm in HASHED and key:
            return [self.hashed(left, key)]
        if self.algorithm in HASHED | {4, 10}:
            return [self.in_turn(left, first)]
        if self.algorithm in (8, 12):
            return left[:1]
        if self.algorithm in (9, 11):
            return [self.smooth(left, first)]
        if self.algorithm == 14:
            equal = len({d.priority for d in self.order}) == 1 and self.order[0].priority > 0
            return [self.in_turn(left, first)] if equal else left[:1]
        return left

    def hashed(self, left, key):
        return min(left, key=lambda d: self.rank(d, key))

    def rank(self, d, key):
        u = (rank_hash(key, d.seed) + 0.5) / 2**32
        return -math.log(u) / (d.weight or 1), -mix(key, d.seed)

    def in_turn(self, left, first):
        places = [self.order.index(d) for d in left]
        winner = min(places, key=lambda place: (place - self.position) % len(self.order))
        if first:
            self.position = (winner + 1) % len(self.order)
        return self.order[winner]

    def smooth(self, left, first):
        """By turns: all shares of a tier in one row, walked by strides; who is not left loses his turn."""
        if left[0].weight == 0:
            return self.in_turn(left, first)
        tier = [d for d in self.order if not self.tiers or d.priority == left[0].priority]
        factor = math.gcd(*(d.weight for d in tier))
        row = [(d, d.weight // factor) for d in tier]
        total = sum(share for _, share in row)
        turn = begin = self.turn % total
        winner = None
        for _ in range(MANY):
            drawn = self.at(row, turn)
            turn = (turn + stride_of(total)) % total
            if drawn in left:
                winner = drawn
                break
        if winner is None:
            winner = self.at([(d, d.weight) for d in left], int(begin / total * sum(d.weight for d in left)))
        if first:
            self.turn = turn
        return winner

    @staticmethod
    def at(row, place):
        """Of (destination, share)s side by side the one that a number falls on."""
        for d, share in row:
            if place < share:
                return d
            place -= share
        raise AssertionError("beyond the last")


def health_after(events, rise, fall):
    """(health, [change per event]) of a run of "failed", "succeeded" and "down", from unknown."""
    health, in_row, changes = UNKNOWN, 0, []
    for event in events:
        before = health
        if event == "down":
            health, in_row = DOWN, 0
        elif event == "failed" and health != DOWN:
            in_row = in_row + 1 if health == TRYING else 1
            health, in_row = (DOWN, 0) if in_row >= fall else (TRYING, in_row)
        elif event == "failed":
            in_row = 0
        elif health == DOWN:
            in_row += 1
            health, in_row = (UP, 0) if in_row >= rise else (DOWN, in_row)
        else:
            health, in_row = UP, 0
        changes.append({UP: "up", DOWN: "down", TRYING: "trying"}[health] if health != before else "none")
    return health, changes
