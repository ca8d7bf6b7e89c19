"""Keyed hashing against the slow oracle, which itself is held against a published vector."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip._core.base import hashing
from tests.oracle.select_oracle import siphash as slow_siphash

KEY = bytes(range(16))
WORDS = st.integers(0, 2**64 - 1)
KEYS = st.binary(min_size=16, max_size=16)


def test_oracle_agrees_with_the_published_vector():
    """Appendix A of the SipHash paper: key 00..0f, text 00..0e, SipHash-2-4."""
    assert slow_siphash(KEY, bytes(range(15)), 2, 4) == 0xA129CA6149BE45E5


@pytest.mark.parametrize("length", range(70))
def test_every_short_length(length):
    text = bytes((7 * i) & 255 for i in range(length))
    assert hashing.siphash(KEY, text) == slow_siphash(KEY, text, 1, 3)


@given(KEYS, st.binary(max_size=80))
def test_partition_of_a_call(key, call_id):
    assert hashing.partition_of_call(key, call_id) == slow_siphash(key, call_id, 1, 3) % 64


@given(KEYS, st.binary(max_size=400))
def test_one_shot(key, text):
    assert hashing.siphash(key, text) == slow_siphash(key, text, 1, 3)


def filled(pieces):
    """Each with zeros to whole words."""
    return b"".join(piece + bytes(-len(piece) % 8) for piece in pieces)


@given(KEYS, st.lists(st.binary(max_size=40), max_size=12))
def test_pieces_are_filled_to_words(key, pieces):
    assert hashing.siphash_pieces(key, pieces) == hashing.siphash(key, filled(pieces))


@given(KEYS, st.lists(st.binary(max_size=40), max_size=8))
def test_lowered_pieces(key, pieces):
    """bytes.lower changes A-Z alone, as the kernel must."""
    assert hashing.siphash_pieces(key, pieces, lower=True) == hashing.siphash(key, filled(pieces).lower())


def test_lower_touches_only_a_to_z():
    every = bytes(range(256))
    assert hashing.siphash_pieces(KEY, [every], lower=True) == slow_siphash(KEY, every.lower(), 1, 3)


@given(KEYS, st.binary(max_size=20), WORDS)
def test_number_is_eight_bytes(key, text, number):
    whole = filled([text]) + number.to_bytes(8, "little")
    assert hashing.siphash_pieces(key, [text, number]) == hashing.siphash(key, whole)


def test_more_words_than_the_length_counts():
    pieces = [b"y" * 9] * 40
    assert hashing.siphash_pieces(KEY, pieces) == slow_siphash(KEY, filled(pieces), 1, 3)


def test_total_wraps_like_the_reference():
    text = b"x" * 1000
    assert hashing.siphash(KEY, text) == slow_siphash(KEY, text, 1, 3)


@pytest.mark.parametrize("length", [0, 15, 17])
def test_key_length(length):
    with pytest.raises(ValueError, match="16 bytes"):
        hashing.siphash(b"k" * length, b"text")


@given(WORDS, st.integers(0, 63))
def test_mix_spreads_each_bit_of_both_words(word, bit):
    """One flipped input bit changes a fair share of the output's 64 bits."""
    first = hashing.mix_words(word, 0x1234)
    second = hashing.mix_words(0x1234, word)
    for other in (hashing.mix_words(word ^ (1 << bit), 0x1234) ^ first,
                  hashing.mix_words(0x1234, word ^ (1 << bit)) ^ second):
        assert 8 <= other.bit_count() <= 56


def test_mix_is_not_symmetric():
    assert hashing.mix_words(1, 2) != hashing.mix_words(2, 1)


@given(WORDS, st.integers(1, 64))
def test_base32_round_trip(value, bits):
    value &= (1 << bits) - 1
    text = hashing.base32(value, bits)
    assert len(text) == -(-bits // 5)
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert hashing.unbase32(text, bits) == value
    assert hashing.unbase32(text.upper(), bits) == value


@given(WORDS, st.integers(1, 64).filter(lambda bits: bits % 5))
def test_base32_has_one_spelling(value, bits):
    """Bits that fill the last letter are zero."""
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    text = hashing.base32(value, bits)
    last = alphabet.index(text[-1])
    for filling in range(1, 1 << -bits % 5):
        with pytest.raises(ValueError, match="not base32"):
            hashing.unbase32(text[:-1] + alphabet[last | filling], bits)


def test_base32_is_the_rfc_alphabet():
    import base64
    word = 0x0123456789ABCDEF
    wanted = base64.b32encode(word.to_bytes(8, "big")).decode().rstrip("=").lower()
    assert hashing.base32(word, 64) == wanted


@pytest.mark.parametrize("letters", range(1, 14))
def test_base32_takes_no_other_byte(letters):
    """At any place of a text."""
    for byte in sorted(set(range(256)) - set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ234567")):
        for place in range(letters):
            text = "a" * place + chr(byte) + "a" * (letters - place - 1)
            with pytest.raises(ValueError, match="not base32"):
                hashing.unbase32(text, min(5 * letters, 64))


@pytest.mark.parametrize("text, bits", [
    ("", 5), ("a", 64), ("aa", 5), ("1", 5), ("0", 5), ("8", 5), ("-", 5), ("ab", 9), ("aaaaaaaaaaaab", 64),
    ("\N{LATIN SMALL LETTER E WITH ACUTE}", 10), ("a", 0), ("aaaaaaaaaaaaaa", 70),
])
def test_base32_refuses(text, bits):
    with pytest.raises(ValueError):
        hashing.unbase32(text, bits)
