# cython: boundscheck=True, wraparound=True
"""Where the things of a routing table are found: by id, by address, by short id.

An index is a table of keys with open addressing, half empty, filled once.  Numbers are
their own keys; of bytes the key is a hash, and what is found is compared with what was looked for, so
that a chance meeting of two hashes costs a comparison and never an answer.

Must never: be changed after the table is sealed.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from fastsip._core.base.types cimport E_NONE
from fastsip._core.base.hashing cimport mix
from fastsip._core.routing.types cimport destination_t

cdef enum:
    SHORT_ID = 16           # beside id_kind: of a member of this set
    FEW = 4                 # destinations that are looked at one by one


# ---------------------------------------------------------------- keys

cdef inline uint64_t load_part(const char *at, uint32_t len) noexcept nogil:
    """Up to eight bytes."""
    cdef uint64_t word = 0
    memcpy(&word, at, len if len < 8 else 8)
    return word


cdef inline uint64_t lower_part(uint64_t word) noexcept nogil:
    """A-Z of eight bytes lowered at once (see hashing.lower_word)."""
    cdef uint64_t low = word & <uint64_t>0x7F7F7F7F7F7F7F7F
    cdef uint64_t upper = (low + <uint64_t>0x3F3F3F3F3F3F3F3F) ^ (low + <uint64_t>0x2525252525252525)
    return word | (upper & ~word & <uint64_t>0x8080808080808080) >> 2


cdef inline uint64_t key_of_part(uint64_t kind, const char *at, uint32_t len, bint lower) noexcept nogil:
    cdef uint64_t key = mix(kind, len)
    cdef uint64_t word
    cdef uint32_t off = 0
    while off < len:
        word = load_part(at + off, len - off)
        key = mix(key, lower_part(word) if lower else word)
        off += 8
    return key | 1


cdef uint64_t key_of(uint64_t kind, const char *at, uint32_t len) noexcept nogil:
    return key_of_part(kind, at, len, False)


cdef uint64_t key_of_lower(uint64_t kind, const char *at, uint32_t len) noexcept nogil:
    return key_of_part(kind, at, len, True)


cdef uint64_t key_of_number(uint64_t kind, uint64_t number) noexcept nogil:
    return mix(mix(kind, 0), number) | 1


cdef uint64_t key_of_address(uint64_t kind, const addr_t *addr) noexcept nogil:
    """Of IP address and port."""
    cdef uint64_t high, low
    memcpy(&high, addr.ip, 8)
    memcpy(&low, &addr.ip[8], 8)
    return mix(mix(mix(kind, addr.port), high), low) | 1


# ---------------------------------------------------------------- an index

cdef int make_index(index_t *index, Arena arena, size_t keys) except -1:
    cdef size_t places = 4
    while places < 2 * keys:
        places *= 2
    index.mask = <uint32_t>(places - 1)
    index.keys = <uint64_t *>arena.take(places, sizeof(uint64_t))
    index.values = <uint32_t *>arena.take(places, sizeof(uint32_t))
    return 0


cdef inline uint32_t place_of(const index_t *index, uint64_t key) noexcept nogil:
    """Where the key stands, or would."""
    cdef uint32_t place = <uint32_t>(mix(key, 0) >> 32) & index.mask
    while index.keys[place] and index.keys[place] != key:
        place = (place + 1) & index.mask
    return place


cdef void put_key(index_t *index, uint64_t key, uint32_t value) noexcept nogil:
    cdef uint32_t place = place_of(index, key)
    if index.keys[place] == 0:
        index.keys[place] = key
        index.values[place] = value


cdef uint32_t find_key(const index_t *index, uint64_t key) noexcept nogil:
    cdef uint32_t place = place_of(index, key)
    return index.values[place] if index.keys[place] else <uint32_t>NO_VALUE


# ---------------------------------------------------------------- of the table

cdef inline bint fits(const table_t *table, int kind, const addr_t *addr, uint32_t detail,
                      uint32_t index) noexcept nogil:
    """Is the destination what the key was made of?"""
    cdef const destination_t *d = &table.destinations[index]
    if d.addr.port != addr.port or memcmp(d.addr.ip, addr.ip, 16) != 0:
        return False
    if kind == MEMBER_AT_ADDRESS:
        return d.set_index == detail
    if kind == SHARED_BY_NAME and d.short_id != detail:
        return False
    return kind == AT_ADDRESS or table.sets[d.set_index].in_dialog != 0


cdef inline uint64_t place_key(int kind, const addr_t *addr, uint32_t detail) noexcept nogil:
    return key_of_address(<uint64_t>kind << 32 | detail, addr)


cdef int find_place(const table_t *table, int kind, const addr_t *addr, uint32_t detail) noexcept nogil:
    cdef uint64_t key
    cdef uint32_t found
    if table.destination_count <= FEW:
        for found in range(table.destination_count):
            if fits(table, kind, addr, detail, found):
                return <int>found
        return E_NONE
    key = place_key(kind, addr, detail)
    found = find_key(&table.places, key)
    while found != NO_VALUE and not fits(table, kind, addr, detail, found):
        key += 2
        found = find_key(&table.places, key)
    return <int>found if found != NO_VALUE else E_NONE


cdef void put_place(table_t *table, int kind, uint32_t detail, uint32_t index) noexcept nogil:
    cdef const addr_t *addr = &table.destinations[index].addr
    cdef uint64_t key = place_key(kind, addr, detail)
    cdef uint32_t found = find_key(&table.places, key)
    while found != NO_VALUE and not fits(table, kind, addr, detail, found):
        key += 2
        found = find_key(&table.places, key)
    put_key(&table.places, key, index)


cdef inline uint64_t id_key(int kind, uint32_t id) noexcept nogil:
    return <uint64_t>kind << 32 | id


cdef int find_id(const table_t *table, int kind, uint32_t id) noexcept nogil:
    cdef uint32_t found = find_key(&table.ids, id_key(kind, id))
    return <int>found if found != NO_VALUE else E_NONE


cdef inline uint64_t short_key(uint32_t set_index, uint32_t short_id) noexcept nogil:
    return <uint64_t>(set_index + SHORT_ID) << 32 | short_id


cdef int find_short(const table_t *table, uint32_t set_index, uint32_t short_id) noexcept nogil:
    cdef uint32_t found = find_key(&table.ids, short_key(set_index, short_id))
    return <int>found if found != NO_VALUE else E_NONE


cdef void fill_indexes(table_t *table) noexcept nogil:
    cdef const destination_t *d
    cdef uint32_t i
    for i in range(table.set_count):
        put_key(&table.ids, id_key(ID_SET, table.sets[i].id), i)
    for i in range(table.rule_count):
        put_key(&table.ids, id_key(ID_RULE, table.rules[i].id), i)
    for i in range(table.policy_count):
        put_key(&table.ids, id_key(ID_POLICY, table.policies[i].copy.policy_id), i)
    for i in range(table.destination_count):
        d = &table.destinations[i]
        put_key(&table.ids, id_key(ID_DESTINATION, d.id), i)
        put_key(&table.ids, id_key(ID_NAMED, d.short_id), i)
        put_place(table, AT_ADDRESS, 0, i)
        put_place(table, MEMBER_AT_ADDRESS, d.set_index, i)
        if table.sets[d.set_index].in_dialog:
            put_key(&table.ids, short_key(d.set_index, d.short_id), i)
            put_place(table, SHARED_AT_ADDRESS, 0, i)
            put_place(table, SHARED_BY_NAME, d.short_id, i)


cdef void chain_edited(table_t *table) noexcept nogil:
    """The first destination of each place leads to all others there whose sets change headers."""
    cdef destination_t *first
    cdef uint32_t i = table.destination_count
    while i > 0 and table.edits_out:
        i -= 1
        first = &table.destinations[find_place(table, AT_ADDRESS, &table.destinations[i].addr, 0)]
        if table.sets[table.destinations[i].set_index].headers_out.count and first != &table.destinations[i]:
            table.destinations[i].next_edited = first.next_edited
            first.next_edited = i + 1


cdef int lay_out_indexes(table_t *table, Arena arena) except -1:
    cdef size_t shared = 0
    cdef uint32_t i
    for i in range(table.set_count):
        shared += table.sets[i].count if table.sets[i].in_dialog else 0
    make_index(&table.ids, arena,
               table.set_count + table.policy_count + table.rule_count + 2 * table.destination_count + shared)
    make_index(&table.places, arena, 2 * (table.destination_count + shared))
    with nogil:
        fill_indexes(table)
        chain_edited(table)
    return 0
