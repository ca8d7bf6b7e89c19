"""Which rule a request meets: conditions of the route table against the index of a message.

Conditions of a rule are ANDed, items of a condition ORed, `negate` turns the outcome of
one condition.  Each kind has its matcher in a table; lists of more than a few texts
are searched by halves (conditions lays them out for that).

Many rules are not asked one by one: rule_index says under which keys each may be found.

What is compared how: methods and users with case (RFC 3261 sections 7.1 and 19.1.4),
hosts and header names without, IPv6 addresses by value, header values without case
and with any run of white space, folds too, as one blank (7.3.1).  Users are compared by their
canonical form (uri.canonical_user), which is made when the first condition asks for it.
A condition on what a request does not have (the user of sip:host, the domain of a tel
URI) does not hold; negated, it does.

Must never: touch Python, or judge a header that no rule names.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp

from fastsip._core.base.types cimport E_NONE, MAX_HEADERS, NO_HEADER, OK, text_t
from fastsip._core.base.address cimport addr_t, origin_t
from fastsip._core.base.hashing cimport hash_add, hash_add_number, hash_begin, hash_end, siphash_t
from fastsip._core.sip.types cimport HOST_IPV6, H_OTHER, M_OTHER, SIP_PORT, header_t, message_t, uri_t
from fastsip._core.sip.uri cimport canonical_user, parse_address, same_text, write_address
from fastsip._core.sip.parser cimport find_header
from fastsip._core.routing.types cimport (
    C_DOMAIN, C_HEADER, C_LISTEN, C_METHOD, C_SOURCE, C_SOURCE_SET, C_TO_TAG, C_USER, C_USER_PREFIX, condition_t,
    network_t, rule_index_t, rule_list_t, rule_t, table_t,
)
from fastsip._core.routing.patterns cimport match_pattern
from fastsip._core.routing.index cimport (
    MEMBER_AT_ADDRESS, NO_VALUE, find_key, find_place, key_of, key_of_address, key_of_lower, key_of_number,
)
from fastsip._core.routing.lookup cimport find_by_address
from fastsip._core.routing.rule_index cimport OF_NAME, network_key, value_key

cdef enum:
    HOST_ROOM = 256         # a name has at most 253 bytes (RFC 1035 section 2.3.4)
    FEW = 8                 # texts that are looked through one by one
    MOST_LISTS = 512        # of rules that one request may lead to; with more, all rules are asked

# Lists of rules that may hold for a request; more than there is room for are counted.
cdef struct candidates_t:
    uint32_t count
    rule_list_t lists[MOST_LISTS]

ctypedef bint (*matcher_t)(const condition_t *condition, subject_t *subject) noexcept nogil


# ---------------------------------------------------------------- texts

cdef inline uint8_t lower(uint8_t letter) noexcept nogil:
    return letter | 0x20 if c'A' <= letter <= c'Z' else letter


cdef inline bint is_blank(char letter) noexcept nogil:
    return letter == c' ' or letter == c'\t' or letter == c'\r' or letter == c'\n'


cdef int write_host(const char *host, uint32_t len, char *room) noexcept nogil:
    """The host as tables keep it: lower case, no brackets, no final dot, IPv6 in its short form.

    Length, or 0 for none and for what is too long to be a name.
    """
    cdef addr_t addr
    cdef uint32_t i
    if len > 2 and host[0] == c'[' and host[len - 1] == c']':
        host += 1
        len -= 2
    if len and memchr(host, c':', len) != NULL:
        return write_address(&addr, room, False) if parse_address(host, len, HOST_IPV6, 0, &addr) == OK else 0
    if len and host[len - 1] == c'.':
        len -= 1
    if len > HOST_ROOM:
        return 0
    for i in range(len):
        room[i] = lower(host[i])
    return <int>len


cdef inline int compare(const text_t *text, const char *at, uint32_t len) noexcept nogil:
    """Order by bytes, the shorter of two equal beginnings first: as Python sorts bytes."""
    cdef int order = memcmp(text.at, at, text.len if text.len < len else len)
    if order:
        return order
    return 0 if text.len == len else (-1 if text.len < len else 1)


cdef uint32_t count_not_above(const text_t *texts, uint32_t count, const char *at, uint32_t len) noexcept nogil:
    """How many of the sorted texts are not above this one."""
    cdef uint32_t low = 0
    cdef uint32_t high = count
    cdef uint32_t middle
    while low < high:
        middle = (low + high) // 2
        if compare(&texts[middle], at, len) <= 0:
            low = middle + 1
        else:
            high = middle
    return low


cdef bint has_text(const text_t *texts, uint32_t count, const char *at, uint32_t len) noexcept nogil:
    """A handful is compared in turn, which costs less than a search by halves."""
    cdef uint32_t place, i
    if count <= FEW:
        for i in range(count):
            if texts[i].len == len and memcmp(texts[i].at, at, len) == 0:
                return True
        return False
    place = count_not_above(texts, count, at, len)
    return place > 0 and compare(&texts[place - 1], at, len) == 0


cdef bint has_place(const text_t *hosts, const uint16_t *ports, uint32_t count, const char *host, uint32_t len,
                    uint32_t port) noexcept nogil:
    """Is this host, with this port, among the sorted hosts?  One host's ports stand side by side; 0 is any port."""
    cdef uint32_t place = count_not_above(hosts, count, host, len)
    if port == 0:
        port = SIP_PORT
    while place > 0 and compare(&hosts[place - 1], host, len) == 0:
        place -= 1
        if ports[place] == 0 or ports[place] == port:
            return True
    return False


cdef bint has_prefix(const text_t *texts, uint32_t count, const char *at, uint32_t len) noexcept nogil:
    """No text begins with another one, so the only one that may fit is the greatest not above."""
    cdef uint32_t place = count_not_above(texts, count, at, len)
    if place == 0:
        return False
    return texts[place - 1].len <= len and memcmp(texts[place - 1].at, at, texts[place - 1].len) == 0


cdef bint same_value(const char *a, uint32_t a_len, const text_t *text) noexcept nogil:
    """Equal without case, each run of white space being one blank."""
    cdef uint32_t i = 0
    cdef uint32_t k = 0
    while i < a_len and k < text.len:
        if is_blank(a[i]) != is_blank(text.at[k]):
            return False
        if is_blank(a[i]):
            while i < a_len and is_blank(a[i]):
                i += 1
            while k < text.len and is_blank(text.at[k]):
                k += 1
        elif lower(a[i]) == lower(text.at[k]):
            i += 1
            k += 1
        else:
            return False
    return i == a_len and k == text.len


# ---------------------------------------------------------------- matchers

cdef bint match_method_condition(const condition_t *condition, subject_t *subject) noexcept nogil:
    """A method of its own name is compared as it is written: case matters (7.1)."""
    cdef const message_t *m = subject.m
    if m.method != M_OTHER:
        return (condition.methods >> m.method) & 1
    return has_text(condition.texts, condition.count, m.buf + m.method_name.off, m.method_name.len)


cdef inline const text_t *user_of(subject_t *subject) noexcept nogil:
    """The user of the Request-URI in canonical form, which conditions and keys compare; made once."""
    if subject.user.at == NULL:
        subject.user = canonical_user(subject.m.buf, subject.ruri, subject.user_room)
    return &subject.user


cdef bint match_user(const condition_t *condition, subject_t *subject) noexcept nogil:
    """In canonical form, so that no escape hides a user from a rule that refuses him (19.1.4)."""
    cdef const text_t *user = user_of(subject)
    return has_text(condition.texts, condition.count, user.at, user.len)


cdef bint match_user_prefix(const condition_t *condition, subject_t *subject) noexcept nogil:
    """Of the canonical user, as match_user."""
    cdef const text_t *user = user_of(subject)
    return has_prefix(condition.texts, condition.count, user.at, user.len)


cdef bint match_user_pattern(const condition_t *condition, subject_t *subject) noexcept nogil:
    """A request without a user meets no pattern, not even one that an empty text fits."""
    cdef const text_t *user = user_of(subject)
    return user.len and match_pattern(condition.pattern, user.at, user.len)


cdef inline int find_host(subject_t *subject) noexcept nogil:
    """Writes the host of the Request-URI as tables keep hosts, once; its length, 0 = none that a rule could name."""
    if subject.host_len < 0:
        subject.host_len = write_host(subject.m.buf + subject.ruri.host.off, subject.ruri.host.len, subject.host)
    return subject.host_len


cdef bint match_domain(const condition_t *condition, subject_t *subject) noexcept nogil:
    """A host that cannot be written as tables keep hosts is nobody's domain."""
    if find_host(subject) == 0:
        return False
    return has_place(condition.texts, condition.ports, condition.count, subject.host, subject.host_len,
                     subject.ruri.port)


cdef inline bint covers(const network_t *network, const addr_t *addr) noexcept nogil:
    """Does the address lie in the network?"""
    cdef uint32_t whole = network.bits >> 3
    cdef uint32_t rest = network.bits & 7
    if network.family != addr.family or memcmp(network.ip, addr.ip, whole) != 0:
        return False
    return rest == 0 or (network.ip[whole] ^ addr.ip[whole]) >> (8 - rest) == 0


cdef inline int compare_network(const network_t *network, const addr_t *addr) noexcept nogil:
    """Order by family, then by the first address."""
    if network.family != addr.family:
        return -1 if network.family < addr.family else 1
    return memcmp(network.ip, addr.ip, 16)


cdef bint is_in_networks(const condition_t *condition, const addr_t *addr) noexcept nogil:
    """No network lies in another one, so the only one that may cover is the last that begins not above."""
    cdef uint32_t low = 0
    cdef uint32_t high = condition.count
    cdef uint32_t middle
    while low < high:
        middle = (low + high) // 2
        if compare_network(&condition.networks[middle], addr) <= 0:
            low = middle + 1
        else:
            high = middle
    return low > 0 and covers(&condition.networks[low - 1], addr)


cdef bint match_source(const condition_t *condition, subject_t *subject) noexcept nogil:
    """By where the datagram came from, never by what its Via says."""
    return is_in_networks(condition, &subject.origin.flow.remote)


cdef bint match_source_set(const condition_t *condition, subject_t *subject) noexcept nogil:
    """Is the source a member of one of the sets, by address and port?  Other programs on a member's host are not it."""
    cdef uint32_t i
    for i in range(condition.count):
        if find_place(subject.table, MEMBER_AT_ADDRESS, &subject.origin.flow.remote, condition.tags[i]) >= 0:
            return True
    return False


cdef bint is_trusted(const table_t *table, const addr_t *addr) noexcept nogil:
    """`router.trusted` alone; destinations are known, too (is_known)."""
    return is_in_networks(&table.trusted, addr)


cdef bint match_listen(const condition_t *condition, subject_t *subject) noexcept nogil:
    """By the listener's tag: several listeners may share one."""
    cdef uint32_t i, tag
    if subject.origin.listener >= subject.table.listener_count:
        return False
    tag = subject.table.listeners[subject.origin.listener].tag_id
    for i in range(condition.count):
        if condition.tags[i] == tag:
            return True
    return False


cdef inline bint is_named(const condition_t *condition, const message_t *m, const header_t *header) noexcept nogil:
    """By id, by its name, or by the compact letter that conditions put beside the name."""
    if condition.header_id != H_OTHER:
        return True
    if header.name_len == 1 and condition.compact:
        return lower(m.buf[header.name_off]) == condition.compact
    return same_text(m.buf + header.name_off, header.name_len, condition.texts[0].at, condition.texts[0].len)


cdef bint match_header(const condition_t *condition, subject_t *subject) noexcept nogil:
    """Is the header present (`flag`), or does one of its values, whole, equal one of the condition's?"""
    cdef const message_t *m = subject.m
    cdef const header_t *header
    cdef uint32_t i
    cdef int index = find_header(m, condition.texts[0].at, condition.texts[0].len)
    if index == NO_HEADER or condition.flag:
        return index != NO_HEADER
    while index != NO_HEADER:
        header = &m.headers[index]
        if is_named(condition, m, header):
            for i in range(1, condition.count):
                if same_value(m.buf + header.value_off, header.value_len, &condition.texts[i]):
                    return True
        index = header.next
    return False


cdef inline uint64_t name_key_of(const table_t *table, const message_t *m, const header_t *header) noexcept nogil:
    """The key of a header's name; a letter has that of the name which it is short for."""
    cdef uint8_t letter
    if header.id != H_OTHER:
        return key_of_number(OF_NAME, header.id)
    letter = lower(m.buf[header.name_off])
    if header.name_len == 1 and c'a' <= letter <= c'z' and table.letters[letter - c'a']:
        return table.letters[letter - c'a']
    return key_of_lower(OF_NAME, m.buf + header.name_off, header.name_len)


cdef inline void hash_looked_at(const table_t *table, const message_t *m, uint32_t number, uint32_t index,
                                siphash_t *h) noexcept nogil:
    """Adds one header to the hash, if it is the one of this number: a letter may stand for another name, too."""
    cdef const header_t *header = &m.headers[index]
    if is_named(&table.looked_at[number], m, header):
        hash_add_number(h, <uint64_t>header.value_len << 32 | number)
        hash_add(h, m.buf + header.value_off, header.value_len)


cdef void hash_each_named(const table_t *table, const message_t *m, siphash_t *h) noexcept nogil:
    """For few names: each is looked for in the message, in the order of the names."""
    cdef const condition_t *condition
    cdef uint32_t i
    cdef int index
    for i in range(table.looked_at_count):
        condition = &table.looked_at[i]
        index = find_header(m, condition.texts[0].at, condition.texts[0].len)
        while index != NO_HEADER:
            hash_looked_at(table, m, i, index, h)
            index = m.headers[index].next


cdef void hash_each_present(const table_t *table, const message_t *m, siphash_t *h) noexcept nogil:
    """For many names: each header of the message is looked up among them, then sorted, so that the hash is that of
    hash_each_named.
    """
    cdef uint64_t found[MAX_HEADERS]    # number of the name, then place in the message
    cdef uint64_t one
    cdef uint32_t i, k, number
    cdef uint32_t n = 0
    for i in range(m.header_count):
        number = find_key(&table.looked, name_key_of(table, m, &m.headers[i]))
        if number == NO_VALUE:
            continue
        one = <uint64_t>number << 32 | i
        k = n
        while k > 0 and found[k - 1] > one:
            found[k] = found[k - 1]
            k -= 1
        found[k] = one
        n += 1
    for i in range(n):
        hash_looked_at(table, m, <uint32_t>(found[i] >> 32), <uint32_t>found[i], h)


cdef uint64_t headers_looked_at(const table_t *table, const message_t *m) noexcept nogil:
    """A hash of the headers that rules and sets look at: two requests with the same value are routed alike as far as
    headers go (docs/wire.md#loops-and-spirals).  0 when no rule looks at any.
    """
    cdef siphash_t h
    if table.looked_at_count == 0:
        return 0
    hash_begin(&h, table.loop_key)
    if table.looked_at_count <= FEW:
        hash_each_named(table, m, &h)
    else:
        hash_each_present(table, m, &h)
    return hash_end(&h)


cdef bint match_to_tag(const condition_t *condition, subject_t *subject) noexcept nogil:
    """A To tag is what makes a request one of a dialog for the sender (12.2.1.1), whoever made that dialog."""
    return (subject.m.to_tag.len > 0) == (condition.flag != 0)


# [condition_id]
cdef matcher_t[10] MATCHERS = [
    match_method_condition, match_user, match_user_prefix, match_domain,
    match_source, match_listen, match_header, match_to_tag,
    match_user_pattern, match_source_set,
]


# ---------------------------------------------------------------- rules

cdef inline bint holds(const rule_t *rule, subject_t *subject) noexcept nogil:
    """The keys of a `when` are ANDed, the items of a key ORed, and `not` turns a key as a whole."""
    cdef const condition_t *condition
    cdef uint32_t i
    for i in range(rule.condition_count):
        condition = &rule.conditions[i]
        if MATCHERS[condition.kind](condition, subject) == (condition.negate != 0):
            return False
    return True


cdef inline bint asks_for_tag(const rule_t *rule) noexcept nogil:
    """Requests inside a dialog have their way already: only a rule that says to_tag means them."""
    cdef uint32_t i
    for i in range(rule.condition_count):
        if rule.conditions[i].kind == C_TO_TAG:
            return True
    return False


cdef inline bint is_met(const rule_t *rule, subject_t *subject) noexcept nogil:
    """The tag first: of most requests inside a dialog no condition is looked at."""
    return (not subject.m.to_tag.len or asks_for_tag(rule)) and holds(rule, subject)


cdef int match_each(const table_t *table, subject_t *subject) noexcept nogil:
    """The first rule wins, so the order of the file is the order of the questions."""
    cdef uint32_t i
    for i in range(table.rule_count):
        if is_met(&table.rules[i], subject):
            return i
    return E_NONE


# ---------------------------------------------------------------- rules by their keys

cdef inline void add_list(candidates_t *found, const rule_list_t *rules) noexcept nogil:
    """Beyond MOST_LISTS only the count goes on: it tells the caller that the keys say too much, so that each rule is
    asked.
    """
    if found.count < MOST_LISTS and rules.count:
        found.lists[found.count] = rules[0]
    found.count += rules.count > 0


cdef inline void look_up(const rule_index_t *index, uint64_t key, candidates_t *found) noexcept nogil:
    """A key that no rule has leads nowhere: most do."""
    cdef uint32_t number = find_key(&index.keys, key)
    if number != NO_VALUE:
        add_list(found, &index.lists[number])


cdef void look_up_users(const rule_index_t *index, subject_t *subject, candidates_t *found) noexcept nogil:
    """By the whole user, and by each beginning of it that is as long as some rule's prefix."""
    cdef const text_t *user = user_of(subject)
    cdef uint64_t lens = index.prefix_lens
    cdef uint32_t len = 1
    if index.kinds >> C_USER & 1:
        look_up(index, key_of(C_USER, user.at, user.len), found)
    lens >>= 1
    while lens and len <= user.len:
        if lens & 1:
            look_up(index, key_of(C_USER_PREFIX, user.at, len), found)
        lens >>= 1
        len += 1


cdef void look_up_sources(const rule_index_t *index, subject_t *subject, candidates_t *found) noexcept nogil:
    """By each width of network that some rule names, by member's address, and by sets that are one key."""
    cdef uint32_t i
    for i in range(index.width_count):
        if index.widths[i].family == subject.origin.flow.remote.family:
            look_up(index, network_key(&index.widths[i], subject.origin.flow.remote.ip), found)
    if index.kinds >> C_SOURCE_SET & 1:
        look_up(index, key_of_address(C_SOURCE_SET, &subject.origin.flow.remote), found)
    for i in range(index.set_count):
        if find_place(subject.table, MEMBER_AT_ADDRESS, &subject.origin.flow.remote, index.sets[i]) >= 0:
            look_up(index, key_of_number(C_SOURCE_SET, index.sets[i]), found)


cdef void look_up_headers(const rule_index_t *index, subject_t *subject, candidates_t *found) noexcept nogil:
    """By each header's name, and by name and value."""
    cdef const message_t *m = subject.m
    cdef const header_t *header
    cdef uint64_t key
    cdef uint32_t i
    for i in range(m.header_count):
        header = &m.headers[i]
        if not index.header_ids >> header.id & 1:
            continue
        key = name_key_of(subject.table, m, header)
        look_up(index, key, found)
        if index.longest_value:
            key = value_key(key, m.buf + header.value_off, header.value_len, index.longest_value)
            if key:
                look_up(index, key, found)


cdef void find_candidates(const rule_index_t *index, subject_t *subject, candidates_t *found) noexcept nogil:
    """Lists of all rules that may hold, by what the request has; which of them do is asked in full afterwards."""
    cdef const message_t *m = subject.m
    found.count = 0
    add_list(found, &index.others)
    if (index.kinds >> C_USER & 1 or index.prefix_lens) and subject.ruri.user.len:
        look_up_users(index, subject, found)
    if index.kinds >> C_DOMAIN & 1 and find_host(subject):
        look_up(index, key_of(C_DOMAIN, subject.host, subject.host_len), found)
    if index.kinds >> C_METHOD & 1:
        look_up(index, key_of_number(C_METHOD, m.method) if m.method != M_OTHER
                else key_of(C_METHOD, m.buf + m.method_name.off, m.method_name.len), found)
    if index.kinds >> C_TO_TAG & 1:
        look_up(index, key_of_number(C_TO_TAG, m.to_tag.len > 0), found)
    if index.kinds >> C_LISTEN & 1 and subject.origin.listener < subject.table.listener_count:
        look_up(index, key_of_number(C_LISTEN, subject.table.listeners[subject.origin.listener].tag_id), found)
    if index.kinds & (1 << C_SOURCE | 1 << C_SOURCE_SET):
        look_up_sources(index, subject, found)
    if index.kinds >> C_HEADER & 1:
        look_up_headers(index, subject, found)


cdef int match_candidates(const table_t *table, candidates_t *found, subject_t *subject) noexcept nogil:
    """The lists are merged, so that the rules are asked in the order of the file, each once."""
    cdef rule_list_t *rules
    cdef uint32_t i, next_rule
    while True:
        next_rule = table.rule_count
        for i in range(found.count):
            if found.lists[i].count:
                next_rule = min(next_rule, found.lists[i].rules[0])
        if next_rule == table.rule_count:
            return E_NONE
        if is_met(&table.rules[next_rule], subject):
            return <int>next_rule
        for i in range(found.count):
            rules = &found.lists[i]
            while rules.count and rules.rules[0] == next_rule:
                rules.rules += 1
                rules.count -= 1


cdef int match_rules(const table_t *table, const message_t *m, const uri_t *ruri,
                     const origin_t *origin) noexcept nogil:
    cdef subject_t subject
    cdef candidates_t found
    subject.table, subject.m, subject.ruri, subject.origin = table, m, ruri, origin
    subject.host_len, subject.user.at = -1, NULL
    if table.by_key == NULL:
        return match_each(table, &subject)
    find_candidates(table.by_key, &subject, &found)
    if found.count > MOST_LISTS:
        return match_each(table, &subject)
    return match_candidates(table, &found, &subject)


cdef bint is_own(const table_t *table, const char *host, uint32_t len, uint32_t port) noexcept nogil:
    cdef char room[HOST_ROOM]
    cdef int room_len = write_host(host, len, room)
    if room_len <= 0:
        return False
    return has_place(table.own, table.own_ports, table.own_count, room, room_len, port)


cdef bint is_known(const table_t *table, const addr_t *addr) noexcept nogil:
    return find_by_address(table, addr) >= 0 or is_trusted(table, addr)
