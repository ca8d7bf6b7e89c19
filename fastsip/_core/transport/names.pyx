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

What is known is known of a key: what was asked (name_kind), and of which name.  All keys of a name stand in one bucket.

Bounds: as many keys as `limit` allows, MOST_TARGETS of each.  The table grows by segments, which stay where they
are until the end: a reader may stand in any of them.  When it is full, a key goes whose name does not exist, else one
of DNS that was not used lately; names of the configuration stay.

Of several targets the lowest tier comes first, and in it the Call-ID chooses by weight, by rendezvous: a repeated
request goes the same way, whatever the order in which DNS gave them (RFC 2782, RFC 3263 section 4.4).  Whom it chooses
next, once some were tried in vain, follows from the same order (section 4.3).  Resting places come after all others.

Must never: wait, forget an answer because its time has run out (the resolver
may be away), or ask (state/questions does).  The control plane's thread alone writes.
"""

import secrets
from collections import OrderedDict

cimport cython
from libc.math cimport log
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastsip._core.base.types cimport E_NONE, E_UNRESOLVED, OK
from fastsip._core.base.check cimport check
from fastsip._core.base.address cimport T_UDP, addr_t
from fastsip._core.base.atomics cimport (
    full_fence, load_acquire32, load_acquire64, load_relaxed64, store_release32, store_release64,
)
from fastsip._core.base.hashing cimport hash_add_lower, hash_begin, hash_end, siphash_t
from fastsip._core.sip.types cimport HOST_IPV4, HOST_IPV6
from fastsip._core.sip.uri cimport SIP_PORT, parse_address, same_text, write_address
from fastsip._core.transport.resting cimport is_resting, place_hash

from fastsip._core.base.hashing import siphash

cdef enum:
    MOST_LOOKS = 4          # at an entry that changes meanwhile
    MOST_STEPS = 64         # in a bucket: half of the buckets are empty when the table is full
    OTHER_NAME = 1          # the entry is not about this name
    MOST_TURNS = 64         # names that are looked at for one that may go
    USED_EVERY_MS = 1000    # shards share the line: they write it seldom
    PLACE_KEY = 0x5106E573  # marks stand in the store: another process finds them again
    NO_CLASS = 0xFFFFFFFF   # worse than that of any target
    OTHER_FAMILY = 1 << 16  # in a class: above all tiers
    RESTING = 1 << 17

STATES = {NAME_STATIC: "static", NAME_KNOWN: "known", NAME_NEGATIVE: "negative"}
# How keys are written, by name_kind.
PREFIXES = ("", "a:", "s:udp:", "n:sip:")
cdef double STEP = 1.0 / 4294967296.0       # between two values of a hash as a uniform


# ---------------------------------------------------------------- reading

# A name with its final dot is the same name; nobody asks for it under two.
cdef inline uint32_t without_dot(const char *name, uint32_t len) noexcept nogil:
    return len - 1 if len and name[len - 1] == c'.' else len


cdef uint64_t hash_name(const name_table_t *names, const char *name, uint32_t len) noexcept nogil:
    cdef siphash_t h
    hash_begin(&h, names.key)
    hash_add_lower(&h, name, without_dot(name, len))
    return hash_end(&h) | 1


cdef uint32_t place_mark(const addr_t *addr) noexcept nogil:
    cdef uint64_t hash = place_hash(addr, PLACE_KEY)
    check(addr.family != 0)
    return <uint32_t>(hash ^ hash >> 32) | 1


cdef bint is_tried(const wanted_t *wanted, const addr_t *addr) noexcept nogil:
    cdef uint32_t i
    for i in range(wanted.tried_count):
        check(addr.port > 0)        # the one that a request would go to, or no mark fits
        if wanted.tried[i] == place_mark(addr):
            return True
    return False


cdef inline double least_score(uint64_t hash) noexcept nogil:
    """As -ln(u) >= 1 - u: most targets need no logarithm."""
    return <uint32_t>~<uint32_t>(hash >> 32) * STEP


cdef inline double score_of(uint64_t hash) noexcept nogil:
    """-ln of a hash as a uniform; over the weight, the lowest is each one's by its share (as in dispatcher/ranking)."""
    return -log(((hash >> 32) + 0.5) * STEP)


cdef int choose_target(const name_table_t *names, const name_answer_t *answer, const wanted_t *wanted, uint64_t now_ms,
                       found_t *found) noexcept nogil:
    """The first one of those that are wanted and were not tried, by: has its call, rests, family, tier, score.  Scores
    are by address and port, not by place in the answer: DNS turns its lists round, and no call shall turn with them.
    The count is bounded once more, for the copy may change while it is read; look_at throws away what came of it then.
    """
    cdef target_t target
    cdef addr_t place, has_call
    cdef bint known = False
    cdef uint32_t i, of_class
    cdef uint32_t best = NO_CLASS
    cdef uint64_t hash
    cdef uint64_t best_hash = 0
    cdef double least = 0.0
    cdef double score
    check(wanted.families != 0)
    check((wanted.tried_count == 0) | (wanted.tried != NULL))
    found.count = 0
    found.cut = answer.cut
    for i in range(min(answer.count, <uint32_t>MOST_TARGETS)):
        target = answer.targets[i]
        place = target.addr
        if not wanted.families >> place.family & 1:
            continue
        if wanted.port or place.port == 0:
            place.port = wanted.port if wanted.port else wanted.usual_port
        if is_tried(wanted, &place):
            continue
        found.count += 1
        if wanted.preferred and place_mark(&place) == wanted.preferred:
            has_call, known = target.addr, True
        of_class = target.tier
        if wanted.first_family and place.family != wanted.first_family:
            of_class |= OTHER_FAMILY
        if is_resting(names.resting, &place, wanted.inside, now_ms):
            of_class |= RESTING
        hash = place_hash(&target.addr, wanted.key)
        if of_class > best or (of_class == best and least_score(hash) > least * target.weight):
            continue
        score = score_of(hash) / max(target.weight, 1)
        if of_class < best or score < least or (score == least and hash > best_hash):
            found.addr = target.addr
            best, least, best_hash = of_class, score, hash
    if known:
        found.addr = has_call
    return OK if best != NO_CLASS else E_NONE


cdef int judge(const name_table_t *names, const name_answer_t *answer, const wanted_t *wanted, uint64_t now_ms,
               found_t *found, bint *due) noexcept nogil:
    """An answer whose time is over is used while a new one is asked for: the resolver may be away for hours."""
    check(wanted.families & ~<uint32_t>(1 << 4 | 1 << 6) == 0)
    cdef bint over = now_ms >= answer.until_ms
    if answer.state == NAME_STATIC:
        return choose_target(names, answer, wanted, now_ms, found)
    if answer.state == NAME_KNOWN:
        due[0] = over
        return choose_target(names, answer, wanted, now_ms, found)
    return E_NONE if answer.state == NAME_NEGATIVE and not over else E_UNRESOLVED


cdef inline bint is_about(const name_answer_t *answer, const char *name, uint32_t len, int kind) noexcept nogil:
    """What the configuration says of a name answers whatever is asked of it."""
    check(kind != OF_ALL)
    return ((answer.kind == kind or answer.kind == OF_ALL)
            and same_text(answer.name, answer.name_len, name, len))


cdef int look_at(const name_table_t *names, name_entry_t *entry, const char *name, uint32_t len,
                 const wanted_t *wanted, uint64_t now_ms, found_t *found, bint *due) noexcept nogil:
    """As find_target, of one entry; OTHER_NAME when it is about another one.  `name` NULL = of any."""
    cdef const name_answer_t *answer
    cdef uint64_t word
    cdef int result
    cdef int _
    check((name == NULL) | (len <= NAME_BYTES))
    for _ in range(MOST_LOOKS):
        word = load_acquire64(&entry.word)
        answer = &entry.answers[word & 1]
        due[0] = False
        if name == NULL or is_about(answer, name, len, wanted.kind):
            result = judge(names, answer, wanted, now_ms, found, due)
        else:
            result = OTHER_NAME
        full_fence()
        if load_relaxed64(&entry.word) == word:
            if result != OTHER_NAME and now_ms >= load_relaxed64(&entry.used_ms) + USED_EVERY_MS:
                store_release64(&entry.used_ms, now_ms)
            return result
    return E_UNRESOLVED


# Steps are bounded, since a list that changes under the reader may lead him into another bucket.
cdef int find_target(name_table_t *names, const char *name, uint32_t len, const wanted_t *wanted, uint64_t now_ms,
                     found_t *found, bint *due) noexcept nogil:
    cdef uint32_t at = load_acquire32(&names.heads[hash_name(names, name, len) % NAME_BUCKETS])
    cdef int result
    cdef int _
    len = without_dot(name, len)
    check(names.heads != NULL)
    check(wanted.kind != OF_ALL)
    for _ in range(MOST_STEPS):
        if at == 0:
            break
        result = look_at(names, entry_at(names, at - 1), name, len, wanted, now_ms, found, due)
        if result != OTHER_NAME:
            return result
        at = load_acquire32(&entry_at(names, at - 1).next)
    return look_at(names, &names.any, NULL, 0, wanted, now_ms, found, due)


# ---------------------------------------------------------------- writing

cdef void publish_answer(name_entry_t *entry, const name_answer_t *answer) noexcept nogil:
    """The fence: who reads the copy that is written here next sees that it does not count any more."""
    cdef uint64_t word = entry.word + 1
    check(answer.count <= MOST_TARGETS)
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


cdef int read_targets(targets, name_answer_t *answer) except -1:
    """(host, port) or (host, port, tier, weight), numeric hosts; port 0 = none given, without tier all are alike."""
    cdef bytes text
    cdef target_t *target
    if not 1 <= len(targets) <= MOST_TARGETS:
        raise ValueError(f"{len(targets)} targets of a name: 1 to {MOST_TARGETS} are possible")
    for host, port, *rank in targets:
        tier, weight = rank or (0, 1)
        text = host.encode()
        target = &answer.targets[answer.count]
        if not 0 <= port <= 0xFFFF or parse_address(text, <uint32_t>len(text), HOST_IPV6 if ":" in host else HOST_IPV4,
                                                    port, &target.addr) < 0:
            raise ValueError(f"{host!r}, port {port!r}: not an address")
        if not (0 <= tier <= 0xFFFF and 1 <= weight <= 0xFFFF):
            raise ValueError(f"tier {tier!r}, weight {weight!r}: 0 and 1 to 65535 are possible")
        target.addr.transport = T_UDP
        target.tier, target.weight = tier, weight
        answer.count += 1
    return 0


def plain_name(str name) -> str:
    """As names stand in the table: lower case, without final dot."""
    return name.lower().removesuffix(".")


def choice_of(bytes branch_key, str call_id) -> int:
    """By which a Call-ID chooses among targets (next_hop.find_name)."""
    return siphash(branch_key, call_id.encode())


def split_key(str key) -> tuple:
    """(number of its prefix in PREFIXES, plain name); a bare name is what the configuration says of it."""
    for kind in range(1, len(PREFIXES)):
        if key.startswith(PREFIXES[kind]):
            return kind, plain_name(key[len(PREFIXES[kind]):])
    return 0, plain_name(key)


def plain_key(str key) -> str:
    kind, name = split_key(key)
    return PREFIXES[kind] + name


@cython.final
cdef class Names:
    """Names(limit=4096): the table, one for all shards.  One thread writes: all methods are the control plane's.

    A key is "a:HOST", "s:udp:HOST" or "n:sip:HOST", by what was asked (name_kind), or "HOST" for all of them.  Targets
    are (host, port, tier, weight): numeric hosts, 1 to MOST_TARGETS of them, port 0 when none is given; (host, port)
    is the lowest tier and the least weight.  now_ms is CLOCK_BOOTTIME.  ValueError for what cannot be held.
    """

    def __cinit__(self, limit=SEGMENT_NAMES):
        self.table = <name_table_t *>calloc(1, sizeof(name_table_t))
        if self.table != NULL:
            self.table.heads = <uint32_t *>calloc(NAME_BUCKETS, sizeof(uint32_t))
            self.table.resting = <resting_t *>calloc(1, sizeof(resting_t))
        if self.table == NULL or self.table.heads == NULL or self.table.resting == NULL:
            raise MemoryError("no memory for names")
        self.table.key = [secrets.randbits(64), secrets.randbits(64)]
        self.table.resting.key = secrets.randbits(64)
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
        free(self.table.resting)
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

    def put(self, str key, targets, uint64_t ttl_ms, uint64_t now_ms, bint cut=False) -> None:
        """What DNS said: these targets, to be asked for again after ttl_ms.  cut: it said more of them."""
        cdef name_answer_t answer
        memset(&answer, 0, sizeof(answer))
        answer.state = NAME_KNOWN
        answer.until_ms = now_ms + ttl_ms
        answer.cut = cut
        read_targets(targets, &answer)
        self.publish(plain_key(key), &answer, now_ms)

    def deny(self, str key, uint64_t ttl_ms, uint64_t now_ms) -> None:
        """DNS said that there is nothing.  In a full table only others of the kind give way."""
        cdef name_answer_t answer
        memset(&answer, 0, sizeof(answer))
        answer.state = NAME_NEGATIVE
        answer.until_ms = now_ms + ttl_ms
        key = plain_key(key)
        if key in self.numbers or self.has_room() or self.denied:
            self.publish(key, &answer, now_ms)

    def keep(self, str key, uint64_t ttl_ms, uint64_t now_ms) -> bool:
        """DNS said nothing: the targets it gave last are good for ttl_ms more.  False: there are none."""
        cdef const name_answer_t *last = self.answer_of(plain_key(key))
        cdef name_answer_t answer
        if last == NULL or last.state != NAME_KNOWN:
            return False
        answer = last[0]
        answer.until_ms = now_ms + ttl_ms
        self.publish(plain_key(key), &answer, now_ms)
        return True

    def set_static(self, dict fixed) -> None:
        """Replaces all names of the configuration by these: name -> targets; "*" stands for every other name.

        Nothing that DNS said of these names is left, with "*" nothing at all.
        """
        cdef name_answer_t answer
        if len(fixed) >= self.limit:
            raise ValueError(f"{len(fixed)} names: fewer than {self.limit} are possible")
        plain = {plain_name(name) for name in fixed}
        for key in list(self.numbers):
            name = split_key(key)[1]
            if key not in plain and (key in self.fixed or name in plain or "*" in plain):
                self.remove(key)
        self.fixed = {plain_name(name): targets for name, targets in fixed.items()}
        memset(&answer, 0, sizeof(answer))
        if "*" not in plain:
            publish_answer(&self.table.any, &answer)
        for name, targets in self.fixed.items():
            memset(&answer, 0, sizeof(answer))
            answer.state = NAME_STATIC
            read_targets(targets, &answer)
            if name == "*":
                publish_answer(&self.table.any, &answer)
            else:
                self.publish(name, &answer, 0)

    cdef int publish(self, str key, const name_answer_t *answer, uint64_t now_ms) except -1:
        """An answer of DNS to what the configuration knows by now came too late."""
        kind, name = split_key(key)
        cdef bytes text = name.encode()
        cdef name_answer_t whole = answer[0]
        cdef uint32_t number
        if not 1 <= len(text) <= NAME_BYTES:
            raise ValueError(f"a name of {len(text)} bytes: 1 to {NAME_BYTES} are possible")
        if answer.state != NAME_STATIC and (name in self.fixed or "*" in self.fixed):
            return 0
        whole.kind = kind
        whole.name_len = <uint8_t>len(text)
        memcpy(whole.name, <const char *>text, len(text))
        if key in self.numbers:
            publish_answer(entry_at(self.table, self.numbers[key]), &whole)
            self.note_state(key, answer.state)
            return 0
        number = self.take_entry()
        store_release64(&entry_at(self.table, number).used_ms, now_ms)  # whoever asked for it will use it
        publish_answer(entry_at(self.table, number), &whole)
        link_entry(self.table, number)
        self.numbers[key] = number
        self.turn[key] = now_ms
        self.note_state(key, answer.state)
        return 0

    cdef note_state(self, str key, int state):
        """Names that do not exist are the first to give way, in the order in which that was said."""
        if state == NAME_NEGATIVE:
            self.denied.setdefault(key)
        else:
            self.denied.pop(key, None)

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
            key = next(iter(self.turn))
            if key in self.fixed:
                del self.turn[key]
                continue
            if turns == MOST_TURNS or self.used_ms(key) == self.turn[key]:
                return key
            self.turn[key] = self.used_ms(key)
            self.turn.move_to_end(key)
            turns += 1

    def remove(self, str key) -> None:
        """Forgets it; KeyError when it is not there."""
        cdef uint32_t number = self.numbers.pop(key)
        cdef name_answer_t nothing
        memset(&nothing, 0, sizeof(nothing))
        self.turn.pop(key, None)
        self.denied.pop(key, None)
        unlink_entry(self.table, number)
        publish_answer(entry_at(self.table, number), &nothing)
        self.unused.append(number)

    cdef const name_answer_t *answer_of(self, str key) except? NULL:
        """Valid until the next change; NULL for what is not there."""
        cdef const name_entry_t *entry
        if key == "*":
            entry = &self.table.any
        elif key in self.numbers:
            entry = entry_at(self.table, self.numbers[key])
        else:
            return NULL
        return &entry.answers[entry.word & 1]

    # ------------------------------------------------------------ looking

    def used_ms(self, str key) -> int:
        """When it came or a shard last looked for it; KeyError when it is not there."""
        return entry_at(self.table, self.numbers[key]).used_ms

    def hash(self, str key) -> int:
        """By which answers name it: that of its name alone."""
        cdef bytes text = split_key(key)[1].encode()
        return hash_name(self.table, text, <uint32_t>len(text))

    def known(self, str key):
        """(state, (host, port) of its targets, until_ms) as it was last told; None for what is not there."""
        cdef const name_answer_t *answer = self.answer_of(plain_key(key))
        if answer == NULL or answer.state == NAME_FREE:
            return None
        return STATES[answer.state], [target[:2] for target in self.targets(key)], answer.until_ms

    def targets(self, str key) -> list:
        """(host, port, tier, weight) of each, as they were told; none for what is not there."""
        cdef const name_answer_t *answer = self.answer_of(plain_key(key))
        cdef const target_t *target
        cdef char text[48]
        cdef uint32_t i
        found = []
        for i in range(answer.count if answer != NULL else 0):
            target = &answer.targets[i]
            found.append((text[:write_address(&target.addr, text, False)].decode(), target.addr.port, target.tier,
                          target.weight))
        return found

    def learned(self) -> list:
        """(key, targets, until_ms, cut) of all that DNS gave targets of."""
        cdef const name_answer_t *answer
        found = []
        for key in self.numbers:
            answer = self.answer_of(key)
            if answer.state == NAME_KNOWN:
                found.append((key, self.targets(key), answer.until_ms, bool(answer.cut)))
        return found

    def find(self, str key, uint64_t now_ms, uint64_t choice=0, families=(4, 6), first_family=0, tried=(),
             uint16_t port=0, bint inside=False):
        """As a shard sees it: ((host, port) | "unresolved" | "none", must it be asked for?).

        choice: the hash of a Call-ID (choice_of).  port: of the URI.  inside: of a dialog.  tried: (host, port), as
        listed, of those that are wanted no more.  A bare name is found as one of which a host's address is asked.
        """
        cdef bytes text
        cdef wanted_t wanted
        cdef found_t found
        cdef name_answer_t marked
        cdef uint32_t marks[MOST_TARGETS]
        cdef bint due = False
        cdef char room[48]
        cdef int code, kind
        memset(&wanted, 0, sizeof(wanted))
        memset(&marked, 0, sizeof(marked))
        kind, name = split_key(key)
        text = name.encode()
        wanted.kind = kind or OF_HOST
        wanted.key = choice
        wanted.port, wanted.usual_port = port, SIP_PORT
        wanted.first_family, wanted.inside = first_family, inside
        for family in families:
            wanted.families |= 1 << <uint32_t>family
        if tried:
            read_targets(tried, &marked)
        for code in range(marked.count):
            marked.targets[code].addr.port = port or marked.targets[code].addr.port or SIP_PORT
            marks[code] = place_mark(&marked.targets[code].addr)
        wanted.tried, wanted.tried_count = marks, marked.count
        code = find_target(self.table, text, <uint32_t>len(text), &wanted, now_ms, &found, &due)
        if code == OK:
            return (room[:write_address(&found.addr, room, False)].decode(), found.addr.port), due
        return "unresolved" if code == E_UNRESOLVED else "none", due


# ---------------------------------------------------------------- at import

assert MOST_NAMES == SEGMENT_NAMES * MOST_SEGMENTS and NAME_BUCKETS == 2 * MOST_NAMES
assert sizeof(target_t) == 32 and len(PREFIXES) == OF_DOMAIN + 1
