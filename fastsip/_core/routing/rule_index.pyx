# cython: boundscheck=True, wraparound=True
"""Rules under the keys of what they ask for, so that a request is compared with few of many.

Each rule stands under the keys of one of its conditions: the one whose commonest key the fewest rules share.  A
request makes the keys of what it has (its user, the beginnings of it, its domain, each of its headers, and
so on); the rules that stand there, and those that no key is made of, are asked in the order of the file,
and asked in full: a key says who may be meant, never who is.  So a key may be coarser than its condition
(63 letters of a prefix, a hash for a text), but never finer.

No keys are made of conditions that are negated, nor of user_match.  A set that many rules name is a
key as a whole when its members' addresses would be too many.

Must never: be used on the packet path, but for the functions that make keys.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, qsort, realloc
from libc.string cimport memcpy, memset

from fastsip._core.base.types cimport text_t
from fastsip._core.base.hashing cimport mix
from fastsip._core.sip.types cimport H_OTHER, METHOD_COUNT
from fastsip._core.routing.types cimport (
    C_HEADER, C_LISTEN, C_METHOD, C_SOURCE, C_SOURCE_SET, C_TO_TAG, C_USER_MATCH, C_USER_PREFIX, rule_index_t,
    rule_list_t, rule_t, set_t,
)
from fastsip._core.routing.index cimport key_of, key_of_address, key_of_lower, key_of_number, make_index, put_key

cdef enum:
    FEW_RULES = 8           # of a table without an index: they are asked one by one
    MOST_PAIRS = 4096       # rules that name a set, times its members: beyond, the set is the key
    FIRST_ROOM = 1024

cdef struct pair_t:
    uint64_t key
    uint32_t rule

# Keys and whose they are, growing.
cdef struct pairs_t:
    pair_t *items
    size_t count
    size_t room
    bint failed             # there was no memory for one more


# ---------------------------------------------------------------- keys

cdef uint64_t name_key(const condition_t *condition) noexcept nogil:
    if condition.header_id != H_OTHER:
        return key_of_number(OF_NAME, condition.header_id)
    return key_of_lower(OF_NAME, condition.texts[0].at, condition.texts[0].len)


cdef inline bint is_blank(char letter) noexcept nogil:
    return letter == c' ' or letter == c'\t' or letter == c'\r' or letter == c'\n'


cdef uint64_t value_key(uint64_t name, const char *at, uint32_t len, uint32_t longest) noexcept nogil:
    """A key of a header's value, equal for values that same_value calls equal: without case, blanks as one.  FNV-1a,
    mixed.

    0 (no key): the value is longer than any that a rule asks for.
    """
    cdef uint64_t key = name ^ OF_VALUE
    cdef uint32_t i = 0
    cdef uint32_t letters = 0
    cdef uint8_t letter
    while i < len:
        letter = <uint8_t>at[i]
        i += 1
        if is_blank(letter):
            letter = c' '
            while i < len and is_blank(at[i]):
                i += 1
        elif c'A' <= letter <= c'Z':
            letter |= 0x20
        key = (key ^ letter) * <uint64_t>0x100000001B3
        letters += 1
        if letters > longest:
            return 0
    return mix(key, letters) | 1


cdef uint64_t network_key(const network_t *width, const unsigned char *ip) noexcept nogil:
    """The key of the network of this width that an address lies in."""
    cdef char masked[16]
    cdef uint32_t whole = width.bits >> 3
    memset(masked, 0, 16)
    memcpy(masked, ip, whole)
    if width.bits & 7:
        masked[whole] = <char>(ip[whole] & 0xFF << (8 - (width.bits & 7)))
    return key_of(<uint64_t>width.family << 40 | <uint64_t>width.bits << 32 | C_SOURCE, masked, 16)


cdef void add_pair(pairs_t *pairs, uint64_t key, uint32_t rule) noexcept nogil:
    cdef pair_t *grown
    if pairs.count == pairs.room:
        pairs.room = 2 * pairs.room if pairs.room else FIRST_ROOM
        grown = <pair_t *>realloc(pairs.items, pairs.room * sizeof(pair_t))
        if grown == NULL:
            pairs.failed = True
            pairs.room = pairs.count
            return
        pairs.items = grown
    pairs.items[pairs.count].key = key
    pairs.items[pairs.count].rule = rule
    pairs.count += 1


cdef void add_method_keys(pairs_t *pairs, const condition_t *condition, uint32_t rule) noexcept nogil:
    cdef uint32_t i
    for i in range(1, METHOD_COUNT):
        if condition.methods >> i & 1:
            add_pair(pairs, key_of_number(C_METHOD, i), rule)
    for i in range(condition.count):
        add_pair(pairs, key_of(C_METHOD, condition.texts[i].at, condition.texts[i].len), rule)


cdef void add_header_keys(pairs_t *pairs, const condition_t *condition, uint32_t rule) noexcept nogil:
    cdef uint64_t name = name_key(condition)
    cdef uint32_t i
    if condition.flag:
        add_pair(pairs, name, rule)
        return
    for i in range(1, condition.count):
        add_pair(pairs, value_key(name, condition.texts[i].at, condition.texts[i].len, 0xFFFFFFFF), rule)


cdef void add_keys(pairs_t *pairs, const condition_t *condition, uint32_t rule) noexcept nogil:
    """All keys of a condition; a set is one key here (add_set_keys)."""
    cdef const text_t *text
    cdef uint32_t i
    if condition.kind == C_METHOD:
        add_method_keys(pairs, condition, rule)
        return
    if condition.kind == C_HEADER:
        add_header_keys(pairs, condition, rule)
        return
    if condition.kind == C_TO_TAG:
        add_pair(pairs, key_of_number(C_TO_TAG, condition.flag), rule)
        return
    for i in range(condition.count):
        if condition.kind == C_SOURCE:
            add_pair(pairs, network_key(&condition.networks[i], condition.networks[i].ip), rule)
        elif condition.kind == C_LISTEN or condition.kind == C_SOURCE_SET:
            add_pair(pairs, key_of_number(condition.kind, condition.tags[i]), rule)
        else:
            text = &condition.texts[i]
            add_pair(pairs, key_of(condition.kind, text.at, min(text.len, <uint32_t>MOST_PREFIX)
                                   if condition.kind == C_USER_PREFIX else text.len), rule)


cdef inline bint has_keys(const condition_t *condition) noexcept nogil:
    return not condition.negate and condition.kind != C_USER_MATCH


# ---------------------------------------------------------------- which condition

cdef int compare_pairs(const void *a, const void *b) noexcept nogil:
    cdef const pair_t *one = <const pair_t *>a
    cdef const pair_t *other = <const pair_t *>b
    if one.key != other.key:
        return -1 if one.key < other.key else 1
    return (one.rule > other.rule) - (one.rule < other.rule)


cdef void gather_all(const table_t *table, pairs_t *pairs) noexcept nogil:
    """The keys of all conditions of all rules, sorted, so that it can be counted how often each occurs."""
    cdef const rule_t *rule
    cdef uint32_t i, k
    for i in range(table.rule_count):
        rule = &table.rules[i]
        for k in range(rule.condition_count):
            if has_keys(&rule.conditions[k]):
                add_keys(pairs, &rule.conditions[k], i)
    qsort(pairs.items, pairs.count, sizeof(pair_t), compare_pairs)


cdef size_t first_above(const pairs_t *pairs, uint64_t key, bint equal) noexcept nogil:
    """The first pair whose key is above this one, or with `equal` not below."""
    cdef size_t low = 0
    cdef size_t high = pairs.count
    cdef size_t middle
    while low < high:
        middle = (low + high) // 2
        if pairs.items[middle].key < key or (pairs.items[middle].key == key and not equal):
            low = middle + 1
        else:
            high = middle
    return low


cdef size_t commonest(const pairs_t *all_pairs, const pairs_t *own) noexcept nogil:
    """How often the commonest of these keys occurs among all."""
    cdef size_t i, times
    cdef size_t most = 0
    for i in range(own.count):
        times = first_above(all_pairs, own.items[i].key, False) - first_above(all_pairs, own.items[i].key, True)
        most = max(most, times)
    return most


cdef int choose_condition(const pairs_t *all_pairs, const rule_t *rule, pairs_t *scratch) noexcept nogil:
    """The condition whose commonest key the fewest rules share, or -1 when no key is made of any."""
    cdef int best = -1
    cdef size_t times
    cdef size_t fewest = 0
    cdef uint32_t k
    for k in range(rule.condition_count):
        if not has_keys(&rule.conditions[k]):
            continue
        scratch.count = 0
        add_keys(scratch, &rule.conditions[k], 0)
        times = commonest(all_pairs, scratch)
        if best < 0 or times < fewest:
            best, fewest = <int>k, times
    return best


# ---------------------------------------------------------------- what a request must make keys of

cdef void note_condition(rule_index_t *index, const condition_t *condition) noexcept nogil:
    """What keys a request must make of itself so that it meets those of this condition."""
    cdef uint32_t i
    index.kinds |= <uint32_t>1 << condition.kind
    if condition.kind == C_HEADER:
        index.header_ids |= <uint32_t>1 << condition.header_id
        for i in range(1, condition.count):
            index.longest_value = max(index.longest_value, condition.texts[i].len)
    for i in range(condition.count):
        if condition.kind == C_USER_PREFIX:
            index.prefix_lens |= <uint64_t>1 << min(condition.texts[i].len, <uint32_t>MOST_PREFIX)
        elif condition.kind == C_SOURCE:
            note_width(index, &condition.networks[i])


cdef void note_width(rule_index_t *index, const network_t *network) noexcept nogil:
    cdef uint32_t i
    for i in range(index.width_count):
        if index.widths[i].bits == network.bits and index.widths[i].family == network.family:
            return
    index.widths[index.width_count].bits = network.bits
    index.widths[index.width_count].family = network.family
    index.width_count += 1


cdef void add_set_keys(const table_t *table, rule_index_t *index, const pairs_t *all_pairs, pairs_t *pairs,
                       const condition_t *condition, uint32_t rule) noexcept nogil:
    """Keys of a condition on sets: the address of each member.

    A set that many rules name is one key instead when addresses and rules would make more than MOST_PAIRS pairs.
    """
    cdef const set_t *named
    cdef uint64_t key
    cdef size_t rules
    cdef uint32_t i, k
    for i in range(condition.count):
        named = &table.sets[condition.tags[i]]
        key = key_of_number(C_SOURCE_SET, condition.tags[i])
        rules = first_above(all_pairs, key, False) - first_above(all_pairs, key, True)
        if rules * named.count > MOST_PAIRS:
            add_pair(pairs, key, rule)
            index.sets[condition.tags[i]] = 1
            continue
        for k in range(named.first, named.first + named.count):
            add_pair(pairs, key_of_address(C_SOURCE_SET, &table.destinations[k].addr), rule)


cdef void gather_chosen(const table_t *table, rule_index_t *index, const pairs_t *all_pairs,
                        pairs_t *pairs) noexcept nogil:
    """The keys by which each rule is found, those of one condition; a rule without is one of `others`, asked always."""
    cdef pairs_t scratch
    cdef const condition_t *condition
    cdef uint32_t i
    cdef int k
    memset(&scratch, 0, sizeof(scratch))
    for i in range(table.rule_count):
        k = choose_condition(all_pairs, &table.rules[i], &scratch)
        if k < 0:
            index.others.rules[index.others.count] = i
            index.others.count += 1
            continue
        condition = &table.rules[i].conditions[k]
        note_condition(index, condition)
        if condition.kind == C_SOURCE_SET:
            add_set_keys(table, index, all_pairs, pairs, condition, i)
        else:
            add_keys(pairs, condition, i)
    pairs.failed |= scratch.failed
    free(scratch.items)
    qsort(pairs.items, pairs.count, sizeof(pair_t), compare_pairs)
    # From a flag for each set to those that are flagged.
    for i in range(table.set_count):
        if index.sets[i]:
            index.sets[index.set_count] = i
            index.set_count += 1


# ---------------------------------------------------------------- layout

cdef int lay_out_lists(rule_index_t *index, const pairs_t *pairs, Arena arena) except -1:
    cdef uint32_t *rules = <uint32_t *>arena.take(pairs.count, sizeof(uint32_t))
    cdef size_t i
    cdef uint32_t lists = 0
    for i in range(pairs.count):
        lists += i == 0 or pairs.items[i].key != pairs.items[i - 1].key
    index.lists = <rule_list_t *>arena.take(lists, sizeof(rule_list_t))
    make_index(&index.keys, arena, lists)
    with nogil:
        fill_lists(index, pairs, rules)
    return 0


cdef void fill_lists(rule_index_t *index, const pairs_t *pairs, uint32_t *rules) noexcept nogil:
    """Pairs are sorted by key, then rule: each run of one key becomes a list, its rules in the order of the file."""
    cdef rule_list_t *filled = index.lists - 1
    cdef size_t i
    for i in range(pairs.count):
        rules[i] = pairs.items[i].rule
        if i == 0 or pairs.items[i].key != pairs.items[i - 1].key:
            filled += 1
            filled.rules = &rules[i]
            put_key(&index.keys, pairs.items[i].key, <uint32_t>(filled - index.lists))
        filled.count += 1


cdef int lay_out_rule_index(table_t *table, Arena arena) except -1:
    cdef rule_index_t *index
    cdef pairs_t all_pairs, pairs
    if table.rule_count <= FEW_RULES:
        return 0
    index = <rule_index_t *>arena.take(1, sizeof(rule_index_t))
    index.others.rules = <uint32_t *>arena.take(table.rule_count, sizeof(uint32_t))
    index.sets = <uint32_t *>arena.take(table.set_count, sizeof(uint32_t))
    # 33 widths of IPv4 and 129 of IPv6.
    index.widths = <network_t *>arena.take(162, sizeof(network_t))
    memset(&all_pairs, 0, sizeof(pairs_t))
    memset(&pairs, 0, sizeof(pairs_t))
    try:
        with nogil:
            gather_all(table, &all_pairs)
            gather_chosen(table, index, &all_pairs, &pairs)
        if all_pairs.failed or pairs.failed:
            raise MemoryError("no memory for an index of the rules")
        lay_out_lists(index, &pairs, arena)
    finally:
        free(all_pairs.items)
        free(pairs.items)
    table.by_key = index
    return 0
