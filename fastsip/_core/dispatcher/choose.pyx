"""The choice of a destination.

Implements the table of algorithms of docs/design.md#dispatcher, the meaning of "usable" of
docs/wire.md#usable-destinations, docs/wire.md#tiers-and-weights, RFC 2782 for `srv`.

A set's destinations stand together, highest priority first.  choose() walks the
tiers from the top; in each a picker (a table, [algorithm]) returns the winner.  A
candidate is usable and untried; one of weight 0 counts only when nothing with a weight is
left in the whole set (except for srv, where RFC 2782 gives it a small chance).
`parallel` takes its candidates in groups: those of one tier, or with tiers = false all, and
of these the ones of weight 0 last.

State is read where it may decide, and only there: a picker draws whom the algorithm wants
and asks whether that one is a candidate.  Only when MANY in a row are not it looks
at all members, once.  So a choice among ten thousand costs what one among ten does.

A limit of calls a second is asked of the winner: whoever has no turn left is passed over, and the algorithm names
another one.

A key of 0 is no key: round robin then.  A request without the value that a set hashes has one all the same,
made of its Call-ID (keys).

Must never: touch Python, allocate, or write a cell except through atomics.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from fastsip._core.base.types cimport E_NONE, MAX_ATTEMPTS
from fastsip._core.base.check cimport check
from fastsip._core.base.atomics cimport cas64, fetch_add32, load_acquire64
from fastsip._core.routing.types cimport A_PARALLEL, A_SRV, destination_t, run_t, set_t, table_t, tier_t
from fastsip._core.routing.tiers cimport member_at
from fastsip._core.dispatcher.ranking cimport begin_ranking, next_ranked, rank_of, rank_t, ranks_before
from fastsip._core.dispatcher.cells cimport HEALTH_DOWN, cell_t, known_t, word_health
from fastsip._core.dispatcher.paces cimport has_turn, latency_us, note_limited, pace_t, take_turn
from fastsip._core.dispatcher.positions cimport positions_t
from fastsip._core.dispatcher.usable cimport BY_LIMITS, BY_STATE, NO_TRIALS, count_usable, passes, trial_due

cdef enum:
    CLAIM_TRIES = 8         # races for a trial that other shards won, before those that are down are left alone
    FEW = 16                # members that are ranked one by one
    MANY = 64               # members drawn in a row that are no candidates, before all members are looked at
    PASSED_OVER = 16        # winners without a turn, before all members are asked for one
    LOTS = 8                # drawn for another one to compare with

cdef enum weight_class:
    WEIGHTED = 0            # weight 1 and above
    WEIGHTLESS = 1          # weight 0: when nothing else is left
    ANY_WEIGHT = 2

# One choice in progress, on the stack of choose().
cdef struct choice_t:
    const table_t *table
    const set_t *of_set
    known_t known
    positions_t *positions
    const uint32_t *tried
    uint32_t tried_count
    uint64_t key
    uint64_t now_ms
    int weights             # weight_class
    int rule                # usable_rule
    const tier_t *tier      # of the last winner
    bint in_group           # only what stands in one group with the last winner
    bint counts             # for limits of calls a second
    bint by_turn            # who has no turn now is no candidate
    uint32_t passed_count
    uint32_t passed[PASSED_OVER]    # winners that had no turn

# Index of the tier's winner, or E_NONE.
ctypedef int (*picker_t)(choice_t *s, const tier_t *tier) noexcept nogil


# ---------------------------------------------------------------- candidates

cdef inline bint is_candidate(const choice_t *s, uint32_t index) noexcept nogil:
    """Untried, of the class of weights that the choice is at, and usable."""
    cdef const destination_t *d = &s.table.destinations[index]
    cdef uint32_t i
    check(index >= s.of_set.first)
    check(index < s.of_set.first + s.of_set.count)      # of another set it would be found usable, too
    if s.weights != ANY_WEIGHT and (d.weight == 0) != (s.weights == WEIGHTLESS):
        return False
    for i in range(s.tried_count):
        if s.tried[i] == d.id:
            return False
    for i in range(s.passed_count):
        if s.passed[i] == index:
            return False
    if s.by_turn and d.calls.interval_ns and not has_turn(&s.known.paces[d.cell], &d.calls, s.now_ms):
        return False
    return passes(s.table, d, s.known, s.now_ms, s.rule)


cdef inline uint64_t next_random(positions_t *positions) noexcept nogil:
    """xorshift64* (Marsaglia 2003, Vigna 2016); the state is never 0."""
    cdef uint64_t x = positions.random
    check(x != 0)           # it would stay 0 for ever, and every call go to the same destination
    x ^= x >> 12
    x ^= x << 25
    x ^= x >> 27
    positions.random = x
    return x * <uint64_t>0x2545F4914F6CDD1D


cdef inline uint64_t random_below(positions_t *positions, uint64_t bound) noexcept nogil:
    """Uniform in 0..bound-1 for bounds below 2**32 (bias below bound / 2**32); larger ones by remainder."""
    cdef uint64_t x = next_random(positions)
    check(bound > 0)
    if bound >> 32:
        return x % bound
    return ((x >> 32) * bound) >> 32


# ---------------------------------------------------------------- pickers

cdef int pick_first(choice_t *s, const tier_t *tier) noexcept nogil:
    """priority and parallel: the order of the table."""
    cdef uint32_t i
    for i in range(tier.first, tier.end):
        if is_candidate(s, i):
            return i
    return E_NONE


cdef int pick_next(choice_t *s, const tier_t *tier) noexcept nogil:
    """round-robin: the first candidate from the position on, which then stands behind it.

    The position is left alone for a second attempt: a failover must not take the turn
    of the next call.
    """
    cdef uint32_t *position = &s.positions.next[s.of_set.position]
    cdef uint32_t index = s.of_set.first + position[0]
    cdef uint32_t _
    check(position[0] < s.of_set.count)
    # From outside of a tier, turning round, its first comes next.
    if index < tier.first or index >= tier.end:
        index = tier.first
    for _ in range(tier.end - tier.first):
        if is_candidate(s, index):
            if s.tried_count == 0:
                position[0] = index + 1 - s.of_set.first if index + 1 < s.of_set.first + s.of_set.count else 0
                check(position[0] < s.of_set.count)
            return index
        index = index + 1 if index + 1 < tier.end else tier.first
    return E_NONE


cdef int pick_ranked(choice_t *s, const run_t *run) noexcept nogil:
    """The candidate that the key prefers: all members are asked."""
    cdef rank_t best, rank
    cdef uint32_t i
    cdef int winner = E_NONE
    for i in range(run.count):
        if is_candidate(s, run.members[i]):
            rank = rank_of(run, i, s.key)
            if winner < 0 or ranks_before(&rank, &best):
                winner, best = <int>run.members[i], rank
    return winner


cdef int pick_hashed(choice_t *s, const tier_t *tier) noexcept nogil:
    """The candidate that the key prefers (ranking): members are asked in its order until one is a candidate.

    Without a key, round robin.
    """
    cdef const run_t *run = &tier.runs[s.weights]
    cdef int place, _
    check(s.weights < ANY_WEIGHT)       # there is a run for each class of weights, and none of both
    if s.key == 0:
        return pick_next(s, tier)
    if run.count > FEW:
        begin_ranking(&s.positions.ranking, run, s.key)
        for _ in range(MANY):
            place = next_ranked(&s.positions.ranking)
            if place < 0:
                return E_NONE
            check(<uint32_t>place < run.count)
            if is_candidate(s, run.members[place]):
                return <int>run.members[place]
    return pick_ranked(s, run)


cdef int draw(choice_t *s, const tier_t *tier) noexcept nogil:
    """Lots are drawn until one falls on a candidate; E_NONE after MANY in vain."""
    cdef uint32_t lot, _
    check(tier.first < tier.end)
    for _ in range(MANY):
        lot = tier.first + <uint32_t>random_below(s.positions, tier.end - tier.first)
        if is_candidate(s, lot):
            return <int>lot
    return E_NONE


cdef int pick_random(choice_t *s, const tier_t *tier) noexcept nogil:
    """Each candidate with the same probability.

    After MANY lots in vain all are asked, in one pass: the n-th candidate takes the place of the last with
    probability 1/n.
    """
    cdef uint32_t i
    cdef uint64_t seen = 0
    cdef int best = draw(s, tier)
    if best >= 0:
        return best
    for i in range(tier.first, tier.end):
        if is_candidate(s, i):
            seen += 1
            if random_below(s.positions, seen) == 0:
                best = i
    return best


cdef int pick_latency(choice_t *s, const tier_t *tier) noexcept nogil:
    """The faster one of two that are drawn by lot (Mitzenmacher 2001): the fastest of all would get every call until it
    is not the fastest any more.  Who was not measured yet counts as fast, and is measured by that.
    """
    cdef int one = pick_random(s, tier)
    cdef int other = one
    cdef uint32_t us
    cdef int _
    if one < 0:
        return one
    for _ in range(LOTS):
        if other != one or other < 0:
            break
        other = draw(s, tier)
    if other < 0 or other == one:
        return one
    check(<uint32_t>other >= tier.first)
    check(<uint32_t>other < tier.end)
    us = latency_us(&s.known.paces[s.table.destinations[other].cell], s.now_ms)
    return other if us < latency_us(&s.known.paces[s.table.destinations[one].cell], s.now_ms) else one


cdef int pick_part(choice_t *s, const tier_t *tier, double part) noexcept nogil:
    """The candidate on whose weight this part (0 to 1) of the sum of all candidates' weights falls."""
    cdef uint64_t place, total = 0
    cdef uint32_t i
    cdef int last = E_NONE
    check(part >= 0)
    check(part < 1)
    for i in range(tier.first, tier.end):
        if is_candidate(s, i):
            total += s.table.destinations[i].weight
    place = <uint64_t>(part * total)
    total = 0
    for i in range(tier.first, tier.end):
        if is_candidate(s, i):
            last = i
            total += s.table.destinations[i].weight
            if total > place:
                break
    return last


cdef int pick_smooth(choice_t *s, const tier_t *tier) noexcept nogil:
    """weight and relative-weight: turns in proportion to the weights, spread evenly (tiers).

    A turn is a place among the sums of weights, which moves on by strides.  A member that is no candidate loses its
    turn, so the others share it by their weights at once.  A second attempt of a search takes the next turns and moves
    nothing.
    """
    cdef uint64_t *turn = &s.positions.turn[s.of_set.position]
    cdef uint64_t begin = turn[0]
    cdef uint64_t place
    cdef int winner, _
    if s.weights == WEIGHTLESS:
        return pick_next(s, tier)
    check(tier.share_sum > 0)       # of a tier that has members with a weight (has_any)
    check(tier.stride <= tier.share_sum)
    if begin >= tier.share_sum:     # the turn of another tier, or of other weights
        begin %= tier.share_sum
    place = begin
    for _ in range(MANY):
        check(place < tier.share_sum)
        winner = <int>member_at(tier, place)
        place += tier.stride
        if place >= tier.share_sum:
            place -= tier.share_sum
        if is_candidate(s, winner):
            if s.tried_count == 0:
                turn[0] = place
            return winner
    winner = pick_part(s, tier, <double>begin / tier.share_sum)
    if winner >= 0 and s.tried_count == 0:
        turn[0] = place
    return winner


cdef int pick_weightless(choice_t *s, const tier_t *tier) noexcept nogil:
    """The first candidate of weight 0 in the order of the table."""
    cdef uint32_t i
    for i in range(tier.first, tier.end):
        if s.table.destinations[i].weight == 0 and is_candidate(s, i):
            return i
    return E_NONE


cdef int pick_srv(choice_t *s, const tier_t *tier) noexcept nogil:
    """RFC 2782, "Weight": a number in 0..sum falls on a running sum in which weight 0 comes first.

    Drawn by lots: one chance for each unit of weight, and one for all of weight 0 together.  Whoever is no candidate is
    drawn for again; after MANY in vain all are asked, in one pass.
    """
    cdef uint64_t chance, total = 0
    cdef uint32_t i
    cdef int winner, weightless, _
    for _ in range(MANY):
        chance = random_below(s.positions, tier.share_sum + 1)
        winner = pick_weightless(s, tier) if chance == tier.share_sum else <int>member_at(tier, chance)
        if winner >= 0 and is_candidate(s, winner):
            return winner
    winner = E_NONE
    for i in range(tier.first, tier.end):
        if s.table.destinations[i].weight and is_candidate(s, i):
            total += s.table.destinations[i].weight
            if random_below(s.positions, total) < s.table.destinations[i].weight:
                winner = i
    if winner < 0 or random_below(s.positions, total + 1) == 0:
        weightless = pick_weightless(s, tier)
        if weightless >= 0:
            return weightless
    return winner


cdef int pick_ordered(choice_t *s, const tier_t *tier) noexcept nogil:
    """ordered-round-robin: turns if all priorities are the same and above 0, else the order of the table."""
    cdef const destination_t *top = &s.table.destinations[s.of_set.first]
    check(s.of_set.count > 0)
    # Sorted: the first and the last being equal means that all are.
    if top.priority > 0 and top.priority == top[s.of_set.count - 1].priority:
        return pick_next(s, tier)
    return pick_first(s, tier)


# [algorithm_id]
cdef picker_t[16] PICKERS = [
    pick_hashed,            # call-id
    pick_hashed,            # from-uri
    pick_hashed,            # to-uri
    pick_hashed,            # request-uri
    pick_next,              # round-robin
    pick_hashed,            # auth-user
    pick_random,            # random
    pick_hashed,            # key
    pick_first,             # priority
    pick_smooth,            # weight
    pick_next,              # call-load: ties rotate, and without counts all are ties
    pick_smooth,            # relative-weight
    pick_first,             # parallel, one by one
    pick_latency,           # latency
    pick_ordered,           # ordered-round-robin
    pick_srv,               # srv
]


# ---------------------------------------------------------------- choose

cdef inline bint has_any(const tier_t *tier, int weights) noexcept nogil:
    """Has the tier members of this class of weights?"""
    if weights == WEIGHTED:
        return tier.weighted > 0
    return weights == ANY_WEIGHT or tier.weighted < tier.end - tier.first


cdef int pick_in_tiers(choice_t *s) noexcept nogil:
    """The winner of the highest tier that has a candidate."""
    cdef picker_t pick = PICKERS[s.of_set.algorithm & 15]
    cdef uint32_t i
    cdef int winner
    # Who joins a group comes from the tier of its first member: that it is tried at once must not reach lower tiers.
    if s.in_group:
        return pick(s, s.tier)
    for i in range(s.of_set.tier_count):
        s.tier = &s.of_set.tier_list[i]
        if has_any(s.tier, s.weights):
            check(s.tier.first < s.tier.end)
            winner = pick(s, s.tier)
            if winner >= 0:
                check(<uint32_t>winner >= s.tier.first)
                check(<uint32_t>winner < s.tier.end)
                return winner
    return E_NONE


cdef int pick_by_weight(choice_t *s) noexcept nogil:
    """Members with a weight first; those of weight 0 only when the whole set has no other candidate (not for srv)."""
    cdef int winner
    if s.of_set.algorithm == A_SRV:
        s.weights = ANY_WEIGHT
        return pick_in_tiers(s)
    if s.in_group:
        return pick_in_tiers(s)
    s.weights = WEIGHTED
    winner = pick_in_tiers(s)
    if winner < 0:
        s.weights = WEIGHTLESS
        winner = pick_in_tiers(s)
    return winner


cdef inline bint claim_trial(const choice_t *s, int winner) noexcept nogil:
    """May the winner have this call: it is up, or its trial is due and this shard was the first to claim it?

    All shards that see a trial due try to change trial_ms from what they saw; one of them succeeds.
    """
    cdef const destination_t *d = &s.table.destinations[winner]
    cdef cell_t *cell = &s.known.cells[d.cell]
    cdef uint64_t seen_ms = load_acquire64(&cell.trial_ms)
    cdef uint64_t word = load_acquire64(&cell.word)
    if word_health(word) != HEALTH_DOWN:
        return True
    return trial_due(s.of_set, d, cell, word, s.now_ms) and cas64(&cell.trial_ms, seen_ms, s.now_ms)


cdef bint claim_turn(choice_t *s, int winner) noexcept nogil:
    """Does its limit let the winner have this call?  If not it is passed over, and counted."""
    cdef const destination_t *d = &s.table.destinations[winner]
    cdef pace_t *pace = &s.known.paces[d.cell]
    check(winner >= 0)
    check(&s.table.sets[d.set_index] == s.of_set)
    if not s.counts or d.calls.interval_ns == 0 or take_turn(pace, &d.calls, s.now_ms):
        return True
    note_limited(pace, s.now_ms)
    return False


cdef int pick_with_turn(choice_t *s) noexcept nogil:
    """The winner among those whose limit lets the call in.

    When many have no turn, all are asked for one before they are picked; what other shards take meanwhile cannot go on
    for ever.
    """
    cdef int winner, _
    for _ in range(PASSED_OVER + CLAIM_TRIES):
        winner = pick_by_weight(s)
        if winner < 0 or claim_turn(s, winner):
            return winner
        check(s.counts)
        if s.passed_count < PASSED_OVER:
            s.passed[s.passed_count] = <uint32_t>winner
            s.passed_count += 1
        else:
            s.by_turn = True
    return E_NONE


cdef int choose(const table_t *table, uint32_t set_index, uint64_t key, const uint32_t *tried,
                uint32_t tried_count, known_t known, positions_t *positions, uint64_t now_ms) noexcept nogil:
    cdef uint32_t winner
    return <int>winner if choose_group(table, set_index, key, tried, tried_count, 1, NO_CALL, known, positions, now_ms,
                                       &winner) else E_NONE


cdef int choose_by_state(choice_t *s) noexcept nogil:
    """Chooses by health.  Whose trial another shard has claimed meanwhile is down, so the choice is made again."""
    cdef int winner, _
    s.rule = BY_STATE
    for _ in range(CLAIM_TRIES):
        winner = pick_with_turn(s)
        if winner < 0 or claim_trial(s, winner):
            return winner
    s.rule = NO_TRIALS
    return pick_with_turn(s)


cdef int choose_one(choice_t *s, uint32_t set_index) noexcept nogil:
    """One member by health, or, if `when_all_down` says so and nothing in the set is usable, by limits alone."""
    cdef int winner = E_NONE
    if s.rule != BY_LIMITS:
        winner = choose_by_state(s)
        # Health is ignored only when nothing in the set is usable, tried or not; what is down joins no group that is.
        if (winner < 0 and not s.in_group and s.of_set.when_all_down
                and count_usable(s.table, set_index, s.known, s.now_ms, 1) == 0):
            s.rule = BY_LIMITS
    if s.rule == BY_LIMITS:
        winner = pick_with_turn(s)
    if winner >= 0:
        fetch_add32(&s.known.cells[s.table.destinations[winner].cell].chosen, 1)
    return winner


cdef void begin_search(choice_t *s, const table_t *table, uint32_t set_index, uint64_t key, const uint32_t *tried,
                       uint32_t tried_count, known_t known, positions_t *positions, uint64_t now_ms) noexcept nogil:
    check(set_index < table.set_count)
    check(table.set_count == positions.set_count)       # positions of another table lie elsewhere
    check(tried_count <= MAX_ATTEMPTS)
    s.table, s.of_set, s.known, s.positions = table, &table.sets[set_index], known, positions
    s.tried, s.tried_count, s.key, s.now_ms = tried, tried_count, key, now_ms
    s.rule = BY_STATE
    s.in_group, s.counts, s.by_turn = False, False, False
    s.passed_count = 0


cdef bint claim_turn_of_set(const choice_t *s) noexcept nogil:
    """The first attempt of a call is one call for the set, however many follow."""
    cdef const set_t *of_set = s.of_set
    cdef pace_t *pace = &s.known.paces[of_set.cell]
    check(s.counts)
    if of_set.calls.interval_ns == 0 or take_turn(pace, &of_set.calls, s.now_ms):
        return True
    note_limited(pace, s.now_ms)
    return False


cdef int choose_group(const table_t *table, uint32_t set_index, uint64_t key, const uint32_t *tried,
                      uint32_t tried_count, uint32_t most, int call, known_t known, positions_t *positions,
                      uint64_t now_ms, uint32_t *group) noexcept nogil:
    cdef choice_t s
    cdef uint32_t used[MAX_ATTEMPTS]
    cdef int winner, n = 0
    begin_search(&s, table, set_index, key, tried, tried_count, known, positions, now_ms)
    s.counts = call != NO_CALL
    if call == NEW_CALL and not claim_turn_of_set(&s):
        return 0
    if s.of_set.algorithm != A_PARALLEL:
        most = min(most, 1)
    else:
        most = min(most, MAX_ATTEMPTS - tried_count)
        if most > 1 and tried_count:
            memcpy(used, tried, tried_count * sizeof(uint32_t))
    while n < <int>most:
        winner = choose_one(&s, set_index)
        if winner < 0:
            break
        group[n] = winner
        n += 1
        if n < <int>most:
            s.in_group = True
            check(s.tried_count < MAX_ATTEMPTS)
            used[s.tried_count] = table.destinations[winner].id
            s.tried = used
            s.tried_count += 1
    return n


cdef int rank_next(const table_t *table, uint32_t set_index, uint64_t key, const uint32_t *tried,
                   uint32_t tried_count, known_t known, positions_t *positions, uint64_t now_ms) noexcept nogil:
    cdef choice_t s
    begin_search(&s, table, set_index, key, tried, tried_count, known, positions, now_ms)
    s.rule = NO_TRIALS
    return pick_by_weight(&s)


cdef int peek(const table_t *table, uint32_t set_index, uint64_t key, known_t known, positions_t *positions,
              uint64_t now_ms) noexcept nogil:
    """Positions move for first attempts only, so a destination that does not exist (id 0) counts as tried; the state
    of the random numbers is put back.
    """
    cdef choice_t s
    cdef uint32_t nobody = 0
    cdef uint64_t random = positions.random
    cdef int winner
    begin_search(&s, table, set_index, key, &nobody, 1, known, positions, now_ms)
    winner = pick_by_weight(&s)
    if winner < 0 and s.of_set.when_all_down and count_usable(table, set_index, known, now_ms, 1) == 0:
        s.rule = BY_LIMITS
        winner = pick_by_weight(&s)
    positions.random = random
    return winner
