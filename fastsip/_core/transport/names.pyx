"""Names of next hops and their addresses: written by the control plane, read by the shards.

There is one writer and no lock.  What is known of a name is held twice, and a
word says which copy counts: the writer fills the idle copy and publishes it by
one release store of the word.  A reader that finds the word changed after it
has read looks again; that takes two publications of one name during one look.
An entry that is given to another name is first taken out of its bucket's list.
A reader that stands on it just then compares the name, and may miss what lies
behind it: it takes a name for unknown that is not, and the question that
follows is answered at once.  (An immutable snapshot would have to be made anew
for each answer, and freed when every shard is past it.)

Bounds: as many names as `limit` allows, MOST_ADDRESSES of each.  The table grows by segments, which stay where they
are until the end: a reader may stand in any of them.  When it is full, a name goes that does not exist, else one of
DNS that was not used lately; names of the configuration stay.
Of several addresses the Call-ID chooses, by rendezvous: a repeated request goes
the same way, whatever the order in which DNS gave them.  Whom it chooses next, once some were
tried in vain, follows from the same order (RFC 3263 section 4.3).

Must never: wait, forget an answer because its time has run out (the resolver
may be away), or ask (state/questions does).  The control plane's thread alone writes.
"""

import secrets
from collections import OrderedDict

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastsip._core.base.types cimport E_NONE, E_UNRESOLVED, OK
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport T_UDP, addr_t, is_well_formed
from fastsip._core.base.atomics cimport (
    full_fence, load_acquire32, load_acquire64, load_relaxed64, store_release32, store_release64,
)
from fastsip._core.base.hashing cimport hash_add_lower, hash_begin, hash_end, mix, siphash_t
from fastsip._core.sip.types cimport HOST_IPV4, HOST_IPV6
from fastsip._core.sip.uri cimport parse_address, same_text, write_address

cdef enum:
    MOST_LOOKS = 4          # at an entry that changes meanwhile
    MOST_STEPS = 64         # in a bucket: half of the buckets are empty when the table is full
    OTHER_NAME = 1          # the entry is not about this name
    MOST_TURNS = 64         # names that are looked at for one that may go
    USED_EVERY_MS = 1000    # shards share the line: they write it seldom
    PLACE_KEY = 0x5106E573  # marks stand in the store: another process finds them again

STATES = {NAME_STATIC: "static", NAME_KNOWN: "known", NAME_NEGATIVE: "negative"}


# ---------------------------------------------------------------- reading

# A name with its final dot is the same name; nobody asks for it under two.
cdef inline uint32_t without_dot(const char *name, uint32_t len) noexcept nogil:
    return len - 1 if len and name[len - 1] == c'.' else len


cdef uint64_t hash_name(const name_table_t *names, const char *name, uint32_t len) noexcept nogil:
    cdef siphash_t h
    hash_begin(&h, names.key)
    hash_add_lower(&h, name, without_dot(name, len))
    return hash_end(&h) | 1


# By address and port, not by place in the answer: DNS turns its lists round, and no call shall turn with them.
cdef inline uint64_t weight_of(const addr_t *addr, uint64_t key) noexcept nogil:
    cdef uint64_t words[2]
    check(is_well_formed(addr))
    memcpy(words, addr.ip, 16)
    return mix(mix(key, words[0]), words[1] ^ addr.port)


cdef uint32_t place_mark(const addr_t *addr) noexcept nogil:
    cdef uint64_t weight = weight_of(addr, PLACE_KEY)
    return <uint32_t>(weight ^ weight >> 32) | 1


cdef bint is_tried(const wanted_t *wanted, const addr_t *addr) noexcept nogil:
    cdef uint32_t i
    for i in range(wanted.tried_count):
        check(addr.port > 0)        # the one that a request would go to, or no mark fits
        if wanted.tried[i] == place_mark(addr):
            return True
    return False


cdef int choose_address(const name_answer_t *answer, const wanted_t *wanted, addr_t *addr) noexcept nogil:
    """The heaviest one of the families that are wanted that was not tried.

    The count is bounded once more, for the copy may change while it is read; look_at throws away what came of it then.
    """
    cdef addr_t place
    cdef uint32_t i
    cdef uint64_t weight
    cdef uint64_t most = 0
    cdef int found = E_NONE
    for i in range(min(answer.count, <uint32_t>MOST_ADDRESSES)):
        place = answer.addrs[i]
        if not wanted.families >> place.family & 1:
            continue
        weight = weight_of(&place, wanted.key)
        if wanted.port or place.port == 0:
            place.port = wanted.port if wanted.port else wanted.usual_port
        if (found < 0 or weight > most) and not is_tried(wanted, &place):
            addr[0] = answer.addrs[i]
            most = weight
            found = OK
    return found


cdef int judge(const name_answer_t *answer, const wanted_t *wanted, uint64_t now_ms, addr_t *addr,
               bint *due) noexcept nogil:
    """An answer whose time is over is used while a new one is asked for: the resolver may be away for hours."""
    check(wanted.families & ~<uint32_t>(1 << 4 | 1 << 6) == 0)
    cdef bint over = now_ms >= answer.until_ms
    if answer.state == NAME_STATIC:
        return choose_address(answer, wanted, addr)
    if answer.state == NAME_KNOWN:
        due[0] = over
        return choose_address(answer, wanted, addr)
    return E_NONE if answer.state == NAME_NEGATIVE and not over else E_UNRESOLVED


cdef int look_at(name_entry_t *entry, const char *name, uint32_t len, const wanted_t *wanted, uint64_t now_ms,
                 addr_t *addr, bint *due) noexcept nogil:
    """As find_address, of one entry; OTHER_NAME when it is about another one.  `name` NULL = of any."""
    cdef const name_answer_t *answer
    cdef uint64_t word
    cdef int result
    cdef int _
    check((name == NULL) | (len <= NAME_BYTES))
    for _ in range(MOST_LOOKS):
        word = load_acquire64(&entry.word)
        answer = &entry.answers[word & 1]
        due[0] = False
        if name == NULL or same_text(answer.name, answer.name_len, name, len):
            result = judge(answer, wanted, now_ms, addr, due)
        else:
            result = OTHER_NAME
        full_fence()
        if load_relaxed64(&entry.word) == word:
            if result != OTHER_NAME and now_ms >= load_relaxed64(&entry.used_ms) + USED_EVERY_MS:
                store_release64(&entry.used_ms, now_ms)
            return result
    return E_UNRESOLVED


# Steps are bounded, since a list that changes under the reader may lead him into another bucket.
cdef int find_address(name_table_t *names, const char *name, uint32_t len, const wanted_t *wanted, uint64_t now_ms,
                      addr_t *addr, bint *due) noexcept nogil:
    cdef uint32_t at = load_acquire32(&names.heads[hash_name(names, name, len) % NAME_BUCKETS])
    cdef int found
    cdef int _
    len = without_dot(name, len)
    check(names.heads != NULL)
    for _ in range(MOST_STEPS):
        if at == 0:
            break
        found = look_at(entry_at(names, at - 1), name, len, wanted, now_ms, addr, due)
        if found != OTHER_NAME:
            return found
        at = load_acquire32(&entry_at(names, at - 1).next)
    return look_at(&names.any, NULL, 0, wanted, now_ms, addr, due)


# ---------------------------------------------------------------- writing

cdef void publish_answer(name_entry_t *entry, const name_answer_t *answer) noexcept nogil:
    """The fence: who reads the copy that is written here next sees that it does not count any more."""
    cdef uint64_t word = entry.word + 1
    check(answer.count <= MOST_ADDRESSES)
    check(answer.name_len <= NAME_BYTES)
    full_fence()
    memcpy(&entry.answers[word & 1], answer, sizeof(name_answer_t))
    store_release64(&entry.word, word)


cdef uint32_t *bucket_of(name_table_t *names, const name_entry_t *entry) noexcept nogil:
    cdef const name_answer_t *answer = &entry.answers[entry.word & 1]
    check(answer.name_len > 0)      # an entry that nobody has is in no bucket
    return &names.heads[hash_name(names, answer.name, answer.name_len) % NAME_BUCKETS]


# The entry first, then the head: a reader who sees the head finds all that stands behind it.
cdef void link_entry(name_table_t *names, uint32_t number) noexcept nogil:
    cdef name_entry_t *entry = entry_at(names, number)
    cdef uint32_t *head = bucket_of(names, entry)
    check(head[0] != number + 1)    # or the list would lead round
    store_release32(&entry.next, head[0])
    store_release32(head, number + 1)


# The entry keeps its own `next`: a reader who stands on it finds the way on.
cdef void unlink_entry(name_table_t *names, uint32_t number) noexcept nogil:
    cdef uint32_t *link = bucket_of(names, entry_at(names, number))
    while link[0] and link[0] != number + 1:
        link = &entry_at(names, link[0] - 1).next
    check(link[0] == number + 1)    # it stood in the bucket of its name
    if link[0]:
        store_release32(link, entry_at(names, number).next)


cdef int read_addresses(addresses, name_answer_t *answer) except -1:
    """(host, port) pairs with numeric hosts, port 0 = none given."""
    cdef bytes text
    cdef addr_t *addr
    if not 1 <= len(addresses) <= MOST_ADDRESSES:
        raise ValueError(f"{len(addresses)} addresses of a name: 1 to {MOST_ADDRESSES} are possible")
    for host, port in addresses:
        text = host.encode()
        addr = &answer.addrs[answer.count]
        if not 0 <= port <= 0xFFFF or parse_address(text, <uint32_t>len(text), HOST_IPV6 if ":" in host else HOST_IPV4,
                                                    port, addr) < 0:
            raise ValueError(f"{host!r}, port {port!r}: not an address")
        addr.transport = T_UDP
        answer.count += 1
    return 0


def plain_name(str name) -> str:
    """As names stand in the table: lower case, without final dot."""
    return name.lower().removesuffix(".")


@cython.final
cdef class Names:
    """Names(limit=4096): the table, one for all shards.  One thread writes: all methods are the control plane's.

    Addresses are (host, port) pairs: numeric hosts, 1 to MOST_ADDRESSES of them, port 0 when
    none is given.  now_ms is CLOCK_BOOTTIME.  ValueError for what cannot be held.
    """

    def __cinit__(self, limit=SEGMENT_NAMES):
        self.table = <name_table_t *>calloc(1, sizeof(name_table_t))
        if self.table != NULL:
            self.table.heads = <uint32_t *>calloc(NAME_BUCKETS, sizeof(uint32_t))
        if self.table == NULL or self.table.heads == NULL:
            raise MemoryError("no memory for names")
        self.table.key = [secrets.randbits(64), secrets.randbits(64)]
        self.numbers = {}
        self.unused = []
        self.fixed = {}
        self.turn = OrderedDict()
        self.denied = {}
        self.set_limit(limit)

    def __dealloc__(self):
        cdef uint32_t i
        if self.table == NULL:
            return
        for i in range(MOST_SEGMENTS):
            free(self.table.segments[i])
        free(self.table.heads)
        free(self.table)

    def set_limit(self, limit) -> None:
        """Names at most from now on; those too many go as in a full table."""
        if not 1 <= limit <= MOST_NAMES:
            raise ValueError(f"{limit} names: 1 to {MOST_NAMES} are possible")
        if len(self.fixed) > limit:
            raise ValueError(f"{limit} names: {len(self.fixed)} are fixed")
        self.limit = limit
        while len(self.numbers) > limit:
            self.remove(self.one_to_go())

    def __len__(self):
        return len(self.numbers)

    def put(self, str name, addresses, uint64_t ttl_ms, uint64_t now_ms) -> None:
        """What DNS said: these addresses, to be asked for again after ttl_ms."""
        cdef name_answer_t answer
        memset(&answer, 0, sizeof(answer))
        answer.state = NAME_KNOWN
        answer.until_ms = now_ms + ttl_ms
        read_addresses(addresses, &answer)
        self.publish(plain_name(name), &answer, now_ms)

    def deny(self, str name, uint64_t ttl_ms, uint64_t now_ms) -> None:
        """DNS said that it does not exist, or has no address.  In a full table only others of the kind give way."""
        cdef name_answer_t answer
        memset(&answer, 0, sizeof(answer))
        answer.state = NAME_NEGATIVE
        answer.until_ms = now_ms + ttl_ms
        name = plain_name(name)
        if name in self.numbers or self.has_room() or self.denied:
            self.publish(name, &answer, now_ms)

    def keep(self, str name, uint64_t ttl_ms, uint64_t now_ms) -> bool:
        """DNS said nothing: the addresses it gave last are good for ttl_ms more.  False: there are none."""
        cdef const name_answer_t *last = self.answer_of(plain_name(name))
        cdef name_answer_t answer
        if last == NULL or last.state != NAME_KNOWN:
            return False
        answer = last[0]
        answer.until_ms = now_ms + ttl_ms
        self.publish(plain_name(name), &answer, now_ms)
        return True

    def set_static(self, dict fixed) -> None:
        """Replaces all names of the configuration by these: name -> addresses; "*" stands for every other name.

        With "*" nothing that DNS said is left.
        """
        cdef name_answer_t answer
        if len(fixed) >= self.limit:
            raise ValueError(f"{len(fixed)} names: fewer than {self.limit} are possible")
        for name in [name for name in self.numbers if name in self.fixed or "*" in fixed]:
            if name not in fixed:
                self.remove(name)
        self.fixed = dict(fixed)
        memset(&answer, 0, sizeof(answer))
        if "*" not in fixed:
            publish_answer(&self.table.any, &answer)
        for name, addresses in fixed.items():
            memset(&answer, 0, sizeof(answer))
            answer.state = NAME_STATIC
            read_addresses(addresses, &answer)
            if name == "*":
                publish_answer(&self.table.any, &answer)
            else:
                self.publish(plain_name(name), &answer, 0)

    cdef int publish(self, str name, const name_answer_t *answer, uint64_t now_ms) except -1:
        """An answer of DNS to what the configuration knows by now came too late."""
        cdef bytes text = name.encode()
        cdef name_answer_t whole = answer[0]
        cdef uint32_t number
        if not 1 <= len(text) <= NAME_BYTES:
            raise ValueError(f"a name of {len(text)} bytes: 1 to {NAME_BYTES} are possible")
        if answer.state != NAME_STATIC and (name in self.fixed or "*" in self.fixed):
            return 0
        whole.name_len = <uint8_t>len(text)
        memcpy(whole.name, <const char *>text, len(text))
        if name in self.numbers:
            publish_answer(entry_at(self.table, self.numbers[name]), &whole)
            self.note_kind(name, answer.state)
            return 0
        number = self.take_entry()
        store_release64(&entry_at(self.table, number).used_ms, now_ms)  # whoever asked for it will use it
        publish_answer(entry_at(self.table, number), &whole)
        link_entry(self.table, number)
        self.numbers[name] = number
        self.turn[name] = now_ms
        self.note_kind(name, answer.state)
        return 0

    cdef note_kind(self, str name, int state):
        """Names that do not exist are the first to give way, in the order in which that was said."""
        if state == NAME_NEGATIVE:
            self.denied.setdefault(name)
        else:
            self.denied.pop(name, None)

    cdef bint has_room(self):
        return <uint32_t>len(self.numbers) < self.limit

    cdef uint32_t take_entry(self) except? 0xFFFFFFFF:
        if not self.has_room():
            self.remove(self.one_to_go())
        if not self.unused:
            self.make_segment()
        return self.unused.pop()

    cdef int make_segment(self) except -1:
        """Room for more; whoever reads finds it by a head or a `next` that is written after it."""
        cdef uint32_t which = self.made // SEGMENT_NAMES
        self.table.segments[which] = <name_entry_t *>calloc(SEGMENT_NAMES, sizeof(name_entry_t))
        if self.table.segments[which] == NULL:
            raise MemoryError("no memory for more names")
        self.unused = list(reversed(range(self.made, self.made + SEGMENT_NAMES)))
        self.made += SEGMENT_NAMES
        return 0

    cdef str one_to_go(self):
        """One that does not exist, else the first in turn that was not used since it came to its place.

        Shards note uses in the entries; whoever was used goes to the end.  Of a table in which all are in use the
        one goes that was used first, after MOST_TURNS of them.
        """
        cdef int turns = 0
        if self.denied:
            return next(iter(self.denied))
        while True:
            name = next(iter(self.turn))
            if name in self.fixed:
                del self.turn[name]
                continue
            if turns == MOST_TURNS or self.used_ms(name) == self.turn[name]:
                return name
            self.turn[name] = self.used_ms(name)
            self.turn.move_to_end(name)
            turns += 1

    def remove(self, str name) -> None:
        """Forgets a name; KeyError when it is not there."""
        cdef uint32_t number = self.numbers.pop(name)
        cdef name_answer_t nothing
        memset(&nothing, 0, sizeof(nothing))
        self.turn.pop(name, None)
        self.denied.pop(name, None)
        unlink_entry(self.table, number)
        publish_answer(entry_at(self.table, number), &nothing)
        self.unused.append(number)

    cdef const name_answer_t *answer_of(self, str name) except? NULL:
        """Valid until the next change; NULL for a name that is not there."""
        cdef const name_entry_t *entry
        if name == "*":
            entry = &self.table.any
        elif name in self.numbers:
            entry = entry_at(self.table, self.numbers[name])
        else:
            return NULL
        return &entry.answers[entry.word & 1]

    # ------------------------------------------------------------ looking

    def used_ms(self, str name) -> int:
        """When it came or a shard last looked for it; KeyError when it is not there."""
        return entry_at(self.table, self.numbers[name]).used_ms

    def hash(self, str name) -> int:
        """By which questions and answers name it."""
        cdef bytes text = name.encode()
        return hash_name(self.table, text, <uint32_t>len(text))

    def known(self, str name):
        """(state, addresses, until_ms) as it was last told; None for a name that is not there."""
        cdef const name_answer_t *answer = self.answer_of(plain_name(name))
        cdef char text[48]
        cdef uint32_t i
        if answer == NULL or answer.state == NAME_FREE:
            return None
        addresses = []
        for i in range(answer.count):
            addresses.append((text[:write_address(&answer.addrs[i], text, False)].decode(), answer.addrs[i].port))
        return STATES[answer.state], addresses, answer.until_ms

    def learned(self) -> list:
        """(name, addresses, until_ms) of every name of which DNS gave the addresses."""
        found = []
        for name in self.numbers:
            state, addresses, until_ms = self.known(name)
            if state == "known":
                found.append((name, addresses, until_ms))
        return found

    def find(self, str name, uint64_t now_ms, uint64_t key=0, families=(4, 6)):
        """As a shard sees it: ((host, port) | "unresolved" | "none", must it be asked for?)."""
        cdef bytes text = name.encode()
        cdef wanted_t wanted
        cdef addr_t addr
        cdef bint due = False
        cdef char room[48]
        cdef int code
        memset(&wanted, 0, sizeof(wanted))
        wanted.key = key
        for family in families:
            wanted.families |= 1 << <uint32_t>family
        code = find_address(self.table, text, <uint32_t>len(text), &wanted, now_ms, &addr, &due)
        if code == OK:
            return (room[:write_address(&addr, room, False)].decode(), addr.port), due
        return "unresolved" if code == E_UNRESOLVED else "none", due


# ---------------------------------------------------------------- at import

assert MOST_NAMES == SEGMENT_NAMES * MOST_SEGMENTS and NAME_BUCKETS == 2 * MOST_NAMES
