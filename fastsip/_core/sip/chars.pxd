# Character classes, scans and tables of known words; all inline, no state of
# its own.  See chars.h for the classes.
#
# What it must never do: read behind the range it is given, or before offset 0.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from fastsip._core.base.types cimport MAX_MESSAGE, span_t
from fastsip._core.base.check cimport check

cdef extern from "sip/chars.h" nogil:
    const uint16_t char_class[256]
    enum:
        C_TOKEN
        C_LWS
        C_DIGIT
        C_HEX
        C_ALPHA
        C_HOST
        C_USER
        C_PARAM
        C_QUERY
        C_SCHEME
        C_PHONE
        C_PLAIN
        C_STEADY
    uint32_t scan_byte(const char *buf, uint32_t off, uint32_t end, char wanted) noexcept
    uint32_t scan_quote(const char *buf, uint32_t off, uint32_t end) noexcept
    uint32_t scan_value(const char *buf, uint32_t off, uint32_t end) noexcept
    uint32_t scan_word(const char *buf, uint32_t off, uint32_t end) noexcept
    uint32_t scan_target(const char *buf, uint32_t off, uint32_t end) noexcept
    uint32_t scan_header_line(const char *buf, uint32_t off, uint32_t end, uint32_t *colon) noexcept


# The one place where two offsets become a span: who scans may stand at the end, but never goes back.
cdef inline span_t span(uint32_t off, uint32_t end) noexcept nogil:
    cdef span_t result
    check(off <= end)
    check(end <= MAX_MESSAGE)
    result.off = <uint16_t> off
    result.len = <uint16_t> (end - off)
    return result


# For checks: does the span lie in [off, end)?  What is absent lies anywhere.
cdef inline bint is_inside(const span_t *text, uint32_t off, uint32_t end) noexcept nogil:
    return text.len == 0 or (text.off >= off and <uint32_t>text.off + text.len <= end)


# A char may be below zero where it is signed; the table has 256 places.
cdef inline bint is_class(char c, uint32_t classes) noexcept nogil:
    return (char_class[<uint8_t> c] & classes) != 0


# The first byte in [off, end) that is of none of the classes, or end.
cdef inline uint32_t scan_class(const char *buf, uint32_t off, uint32_t end, uint32_t classes) noexcept nogil:
    check(off <= end)
    while off < end and char_class[<uint8_t> buf[off]] & classes:
        off += 1
    return off


# Where [off, end) ends when trailing white space is left out.
cdef inline uint32_t trim_end(const char *buf, uint32_t off, uint32_t end) noexcept nogil:
    check(off <= end)
    while end > off and char_class[<uint8_t> buf[end - 1]] & C_LWS:
        end -= 1
    return end


# Are these `len` bytes this word of lower-case letters, in any case?
cdef inline bint is_letters(const char *text, const char *word, uint32_t len) noexcept nogil:
    cdef uint32_t i
    for i in range(len):
        if text[i] | 0x20 != word[i]:
            return False
    return True


# Where the next value of a list begins: blanks and commas alone are none.
cdef inline uint32_t skip_empty(const char *buf, uint32_t off, uint32_t end) noexcept nogil:
    while off < end and (buf[off] == c',' or is_class(buf[off], C_LWS)):
        off += 1
    return off


# ---------------------------------------------------------------- words
# A table of known words is filled at import (docs/design.md#shape, R1: only read afterwards) and
# found by length, first and last letter, which must differ within one table:
# one look, one comparison by whole machine words.

cdef enum:
    MAX_WORD = 24           # letters
    MAX_WORDS = 48          # per table, the empty one included

# `first`, `last` and `middle` are compared with the text after its letters were folded to lower case by an OR: one
# instruction for eight letters, where a comparison letter by letter has a branch for each.
cdef struct word_t:
    uint64_t first          # the first and the last 8 (4, 2, 1) bytes, folded;
    uint64_t last           # they may overlap
    uint64_t middle         # bytes 8 to 15 of words longer than 16
    uint64_t first_fold     # 0x20 for each letter that may be of either case
    uint64_t last_fold
    uint64_t middle_fold
    uint32_t len
    uint32_t id

cdef struct words_t:
    uint8_t slots[1024]     # [length * 32 + mix of the two letters] -> item
    word_t items[48]        # [0] matches nothing
    uint32_t count


# The ends of a text of 1 to MAX_WORD bytes as two numbers, without reading past it.
cdef inline void load_ends(const char *text, uint32_t len, uint64_t *first, uint64_t *last) noexcept nogil:
    cdef uint32_t narrow[2]
    cdef uint16_t short_ends[2]
    check(len > 0)
    if len >= 8:
        memcpy(first, text, 8)
        memcpy(last, text + len - 8, 8)
    elif len >= 4:
        memcpy(&narrow[0], text, 4)
        memcpy(&narrow[1], text + len - 4, 4)
        first[0] = narrow[0]
        last[0] = narrow[1]
    elif len >= 2:
        memcpy(&short_ends[0], text, 2)
        memcpy(&short_ends[1], text + len - 2, 2)
        first[0] = short_ends[0]
        last[0] = short_ends[1]
    else:
        first[0] = last[0] = <uint8_t> text[0]


# What the two ends of a word of more than 16 letters leave out.
cdef inline uint64_t load_middle(const char *text) noexcept nogil:
    cdef uint64_t middle
    memcpy(&middle, text + 8, 8)
    return middle


# Multiplied by two, the first letter counts otherwise than the last: "to" and "ot" have places of their own.
cdef inline uint32_t word_slot(const char *text, uint32_t len) noexcept nogil:
    check(len <= MAX_WORD)
    return len * 32 + ((2 * <uint8_t> text[0] + <uint8_t> text[len - 1]) & 31)


# The id of the word, or 0.
cdef inline uint32_t find_word(const words_t *words, const char *text, uint32_t len) noexcept nogil:
    cdef const word_t *word
    cdef uint64_t first, last
    if len - 1 >= MAX_WORD:         # 0 wraps around
        return 0
    check(words.slots[word_slot(text, len)] <= words.count)
    word = &words.items[words.slots[word_slot(text, len)]]
    if word.len != len:
        return 0
    load_ends(text, len, &first, &last)
    if (first | word.first_fold) != word.first or (last | word.last_fold) != word.last:
        return 0
    if len > 16 and (load_middle(text) | word.middle_fold) != word.middle:
        return 0
    return word.id


# Adds a word in lower case (or of exact case, without `fold`).  False when the
# table cannot tell it from another: the importing module must then refuse to load.
cdef inline bint add_word(words_t *words, const char *text, uint32_t len, uint32_t id, bint fold) noexcept nogil:
    cdef char folds[24]
    cdef uint32_t i, slot
    cdef word_t *word
    check(id > 0)               # 0 is what find_word says of a word that it does not know
    if len - 1 >= MAX_WORD or words.count + 1 >= MAX_WORDS:
        return False
    slot = word_slot(text, len)
    if words.slots[slot]:
        return False
    memset(folds, 0, MAX_WORD)
    for i in range(len):
        if fold and is_class(text[i], C_ALPHA):
            folds[i] = 0x20
    words.count += 1
    words.slots[slot] = <uint8_t> words.count
    word = &words.items[words.count]
    load_ends(text, len, &word.first, &word.last)
    load_ends(folds, len, &word.first_fold, &word.last_fold)
    if len > 16:
        word.middle = load_middle(text)
        word.middle_fold = load_middle(folds)
    word.len = len
    word.id = id
    check(find_word(words, text, len) == id)
    return True


# At import only: add_word, or ImportError when the table cannot tell `text`
# from a word that it has (word_slot must then be made to differ).
cdef inline int learn_word(words_t *words, bytes text, uint32_t id, bint fold) except -1:
    if not add_word(words, text, <uint32_t> len(text), id, fold):
        raise ImportError(f"the table of names cannot tell {text!r} from another")
    return 0
