"""Doors from Python to damage and invariants: the fuzzers' loops, without the GIL.

What it is: an owner of a pool of messages, each run taking one, damaging it and checking what
must hold.  A message unlike all before (by its signature) joins the pool, so that damage is
done to damage.

What it must never do: be imported by the router, or hold a rule of its own.
Called by tests/fuzz.
"""

from tests.kernels.invariants import WRONGS

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy
from tests.kernels.damage cimport DAMAGE_ROOM, damage, damaged_t, next_random
from tests.kernels.invariants cimport check_alike, check_message, check_readers, checker_t

from fastsip._core.base.types cimport MAX_MESSAGE, PARTITIONS, span_t
from fastsip._core.base.hashing cimport write_base32
from fastsip._core.sip.parser cimport parse_message, parse_routing
from fastsip._core.store.slots cimport store_t
from fastsip._core.routing.types cimport table_t
from fastsip._core.routing.table cimport RoutingTable
from fastsip._core.wire.tokens cimport dialog_of, token_t, write_token
from fastsip._core.state.shard cimport shard_t

cdef enum:
    POOL = 4096             # messages
    POOLED_BYTES = 8192     # of one that joins; larger ones are slow
    SIGNATURES = 65536
    SLOTS = 1 << 20
    TOKEN_ROOM = 64

cdef struct text_in_pool_t:
    char *at
    uint32_t len


cdef checker_t *new_checker(RoutingTable rules) except NULL:
    """With a store that has slots but no memory: readers only ask for its size and epoch."""
    cdef checker_t *checker = <checker_t *>calloc(1, sizeof(checker_t))
    cdef shard_t *shard = <shard_t *>calloc(1, sizeof(shard_t))
    cdef store_t *store = <store_t *>calloc(1, sizeof(store_t))
    cdef table_t *table = <table_t *>calloc(1, sizeof(table_t))
    if checker == NULL or shard == NULL or store == NULL or table == NULL:
        free(checker)
        free(shard)
        free(store)
        free(table)
        raise MemoryError("no memory for a checker")
    for i in range(<int>PARTITIONS):
        store.hinted[i] = SLOTS
    shard.store = store
    shard.table = table
    table.token_key_count = 1
    checker.shard = shard
    if rules is not None:
        checker.table = rules.sealed_table()
    return checker


cdef void free_checker(checker_t *checker) noexcept:
    if checker != NULL:
        free(checker.shard.store)
        free(<void *>checker.shard.table)
        free(<void *>checker.shard)
        free(checker)


cdef int check_exactly(checker_t *checker, const char *text, uint32_t len) noexcept nogil:
    """In memory of exactly its size, so that the sanitizers see one byte too far."""
    cdef char *exact = <char *>malloc(len if len else 1)
    cdef int wrong
    if exact == NULL:
        return 0
    memcpy(exact, text, len)
    wrong = check_message(checker, exact, len)
    free(exact)
    return wrong


def wrong(bytes text not None, RoutingTable table=None):
    """What does not hold for this message, or None; the table's rules are asked as well."""
    cdef checker_t *checker = new_checker(table)
    cdef int found = check_exactly(checker, text, <uint32_t>len(text))
    free_checker(checker)
    return WRONGS[found] if found else None


def different(bytes one not None, bytes other not None):
    """Whether two readable messages mean something else to a router: what wrong() finds in an edited one."""
    cdef checker_t *checker = new_checker(None)
    parse_message(one, <uint32_t>len(one), &checker.m)
    parse_message(other, <uint32_t>len(other), &checker.again)
    parse_routing(&checker.m)
    parse_routing(&checker.again)
    cdef int found = check_alike(&checker.m, &checker.again)
    free_checker(checker)
    return bool(found)


@cython.final
cdef class Fuzzer:
    """Fuzzer(texts, seed, table=None, current=None): texts to begin with; the same seed does the same damage.

    `table` is a sealed one whose rules are asked as well.
    `current` is a writable buffer, best a mapped file, that holds the message in work behind
    its length (4 bytes, of this machine's order): what a crash leaves to be looked at.
    """

    cdef checker_t *checker
    cdef RoutingTable table                # keeps the rules
    cdef damaged_t damaged
    cdef text_in_pool_t *pool
    cdef uint32_t pool_count
    cdef uint8_t *seen
    cdef uint8_t[::1] current       # keeps the buffer
    cdef uint8_t *current_at        # NULL = nobody wants to know
    cdef readonly uint64_t runs

    def __cinit__(self, texts, uint64_t seed, RoutingTable table=None, uint8_t[::1] current=None):
        if current is not None and current.shape[0] < DAMAGE_ROOM + 4:
            raise ValueError(f"the current message needs {DAMAGE_ROOM + 4} bytes")
        self.table = table
        self.checker = new_checker(table)
        if current is not None:
            self.current = current
            self.current_at = &current[0]
        self.damaged.random = seed * <uint64_t>0x9E3779B97F4A7C15 | 1
        self.damaged.text = <char *>malloc(DAMAGE_ROOM)
        self.pool = <text_in_pool_t *>calloc(POOL, sizeof(text_in_pool_t))
        self.seen = <uint8_t *>calloc(SIGNATURES, 1)
        if self.damaged.text == NULL or self.pool == NULL or self.seen == NULL:
            raise MemoryError("no memory for messages")
        for text in texts:
            if len(text) > MAX_MESSAGE:
                raise ValueError(f"at most {MAX_MESSAGE} bytes are a message")
            self.pool_text(text, <uint32_t>len(text))
        if self.pool_count == 0:
            raise ValueError("at least one message is wanted")

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.pool_count if self.pool != NULL else 0):
            free(self.pool[i].at)
        free(self.pool)
        free(self.seen)
        free(self.damaged.text)
        free_checker(self.checker)

    cdef void pool_text(self, const char *text, uint32_t len) noexcept nogil:
        cdef char *copy = <char *>malloc(len + 1) if self.pool_count < POOL else NULL
        if copy == NULL:
            return
        memcpy(copy, text, len)
        self.pool[self.pool_count].at = copy
        self.pool[self.pool_count].len = len
        self.pool_count += 1

    cdef void note_current(self, const char *text, uint32_t len) noexcept nogil:
        if self.current_at != NULL:
            memcpy(self.current_at, &len, 4)
            memcpy(self.current_at + 4, text, len)

    cdef void make_next(self) noexcept nogil:
        cdef damaged_t *d = &self.damaged
        cdef const text_in_pool_t *one = &self.pool[(next_random(&d.random) >> 32) % self.pool_count]
        cdef const text_in_pool_t *other = &self.pool[(next_random(&d.random) >> 32) % self.pool_count]
        memcpy(d.text, one.at, one.len)
        d.len = one.len
        d.other = other.at
        d.other_len = other.len
        damage(d)

    cdef int check_next(self) noexcept nogil:
        cdef damaged_t *d = &self.damaged
        cdef uint32_t place
        cdef int wrong
        self.make_next()
        self.note_current(d.text, d.len)
        wrong = check_exactly(self.checker, d.text, d.len)
        self.runs += 1
        place = self.checker.signature % SIGNATURES
        if not self.seen[place] and d.len <= POOLED_BYTES:
            self.seen[place] = 1
            self.pool_text(d.text, d.len)
        return wrong

    def run(self, uint64_t count):
        """Checks so many damaged messages; None, or (message, what does not hold) of the first that is a finding."""
        cdef int wrong = 0
        with nogil:
            while count and not wrong:
                wrong = self.check_next()
                count -= 1
        return (self.damaged.text[:self.damaged.len], WRONGS[wrong]) if wrong else None

    def sample(self) -> bytes:
        """A damaged message that nobody has looked at."""
        self.make_next()
        self.note_current(self.damaged.text, self.damaged.len)
        return self.damaged.text[:self.damaged.len]

    def run_tokens(self, uint64_t count):
        """As run, of branches, hints and tokens as we write them with up to three octets changed."""
        cdef int wrong = 0
        with nogil:
            while count and not wrong:
                wrong = self.check_token()
                count -= 1
        return (self.damaged.text[:self.damaged.len], WRONGS[wrong]) if wrong else None

    cdef int check_token(self) noexcept nogil:
        """The readers see the token alone, in memory of exactly its size."""
        cdef damaged_t *d = &self.damaged
        cdef uint64_t random = next_random(&d.random)
        cdef uint32_t changes = next_random(&d.random) % 4
        cdef const table_t *table
        cdef token_t token
        cdef span_t text
        cdef char *exact
        cdef int wrong
        if random % 3 == 0:
            memcpy(d.text, b"z9hG4bK", 7)
            d.len = 7 + write_base32(next_random(&d.random), 64, d.text + 7)
        elif random % 3 == 1:
            d.len = write_base32(next_random(&d.random), 40, d.text)
            d.len += write_base32(next_random(&d.random) << 16, 40, d.text + d.len)     # epoch 0, as the store's
            d.len += write_base32(next_random(&d.random), 30, d.text + d.len)
        else:
            token.listener, token.of_set = next_random(&d.random) & 0x3FF, next_random(&d.random) & 0x3FF
            token.destination, token.stand_in = next_random(&d.random) & 0x3FFFFFFF, 0
            token.passage = <uint32_t>(next_random(&d.random) & 0x3FFFFFFF)
            token.of_pair = next_random(&d.random) & 1
            table = self.checker.shard.table
            d.len = write_token(table, dialog_of(table, &self.checker.blank), &token, d.text)
        while changes:
            d.text[next_random(&d.random) % d.len] = <char>(next_random(&d.random) >> 32)
            changes -= 1
        d.len -= (random >> 2) % 8 == 0
        self.note_current(d.text, d.len)
        exact = <char *>malloc(d.len)
        if exact == NULL:
            return 0
        memcpy(exact, d.text, d.len)
        text.off, text.len = 0, d.len
        wrong = check_readers(self.checker, exact, &text)
        free(exact)
        self.runs += 1
        return wrong

    @property
    def kinds(self) -> int:
        """Messages in the pool."""
        return self.pool_count
