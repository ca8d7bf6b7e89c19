"""Weighted rendezvous: the members of a set in the order in which a key prefers them.

Each member scores by a hash of key and seed as a uniform u: the lowest -ln(u) / weight comes first (Thaler
and Ravishankar 1998; the logarithm: Schindelhauer and Schomaker 2005).  Only the keys of one that
leaves move, and they spread over all others by their weights; the order without the first is the
key's own second choice.

A score is 32 bits of hash per member: many are hashed at once (ranking.h), and a logarithm is taken of few.  A
run of members stands in blocks, heaviest first.  As -ln(u) >= 1 - u, the greatest hash of a block and
its greatest weight say how low a score in it can be; only blocks whose bound is below the best score
found are looked into.  Equal hashes of equal weights are told apart by 64 bits.

next_ranked gives one after the other; what was given by a block is known by its last rank, so nothing
is marked and nothing sorted.  The first few are remembered: whoever asks again with the same key, for a
stand-in after the choice, has them at once, and goes on from there.

Must never: know what is usable.
"""

from libc.math cimport INFINITY, log
from libc.stdint cimport uint32_t, uint64_t

from fastsip._core.base.types cimport E_NONE
from fastsip._core.base.check cimport check
from fastsip._core.base.hashing cimport mix

cdef extern from "dispatcher/ranking.h" nogil:
    enum:
        RANK_BLOCK
    uint32_t rank_hash(uint32_t seed, uint32_t flip, uint32_t times)
    void rank_tops(const uint32_t *seeds, size_t blocks, uint32_t flip, uint32_t times, uint32_t *tops)
    void rank_block(const uint32_t *seeds, uint32_t flip, uint32_t times, uint32_t *hashes)

cdef enum:
    NO_HEAD = 0xFFFFFFFF
    AT_ONCE = 64            # blocks that are hashed before their bounds are worked out

cdef double STEP = 1.0 / 4294967296.0       # between two values of a hash as a uniform


cdef inline uint32_t flip_of(uint64_t key) noexcept nogil:
    return <uint32_t>key


cdef inline uint32_t times_of(uint64_t key) noexcept nogil:
    return <uint32_t>(key >> 32) | 1


cdef inline double score_of(uint32_t hash, uint32_t weight) noexcept nogil:
    """Exponential with rate `weight`; u is the middle of one of 2**32 steps: exact, never 0 or 1."""
    return -log((hash + 0.5) * STEP) / weight


cdef inline double least_score(uint32_t hash, double inverse) noexcept nogil:
    """Below the score of this hash and all lower ones, for weights of 1 / inverse and less."""
    return <uint32_t>~hash * STEP * inverse


cdef rank_t rank_of(const run_t *run, uint32_t place, uint64_t key) noexcept nogil:
    cdef rank_t rank
    check(place < run.count)
    rank.hash = rank_hash(run.seeds[place], flip_of(key), times_of(key))
    rank.weight = run.weights[place]
    rank.tie = mix(key, run.ties[place])
    # Where all weigh the same the hashes alone have the order of the scores.
    if run.weights[0] == run.weights[run.count - 1]:
        rank.score = least_score(rank.hash, run.blocks[0].inverse)
    else:
        rank.score = score_of(rank.hash, rank.weight)
    return rank


cdef bint ranks_before(const rank_t *a, const rank_t *b) noexcept nogil:
    return a.score < b.score or (a.score == b.score and a.tie > b.tie)


cdef void begin_ranking(ranking_t *ranking, const run_t *run, uint64_t key) noexcept nogil:
    if ranking.run != run or ranking.key != key:
        ranking.run, ranking.key = run, key
        find_bounds(ranking)
        ranking.given = 0
    elif ranking.given > REMEMBERED:
        rewind(ranking)
        ranking.given = 0
    ranking.at = 0


cdef void rewind(ranking_t *ranking) noexcept nogil:
    """Blocks that were looked into may have given what comes first."""
    cdef uint32_t i
    for i in range(ranking.run.block_count):
        if ranking.blocks[i].last.score >= 0.0:
            begin_block(&ranking.blocks[i], 0.0)


cdef inline void begin_block(ranked_t *block, double bound) noexcept nogil:
    block.bound = bound
    block.last.score = -1.0
    block.head = NO_HEAD


cdef void find_bounds(ranking_t *ranking) noexcept nogil:
    cdef const run_t *run = ranking.run
    cdef uint32_t tops[AT_ONCE]
    cdef uint32_t i, n
    cdef uint32_t begin = 0
    check(<uint64_t>run.block_count * RANK_BLOCK >= run.count)
    while begin < run.block_count:
        n = min(run.block_count - begin, <uint32_t>AT_ONCE)
        rank_tops(run.seeds + begin * RANK_BLOCK, n, flip_of(ranking.key), times_of(ranking.key), tops)
        for i in range(n):
            begin_block(&ranking.blocks[begin + i], least_score(tops[i], run.blocks[begin + i].inverse))
        begin += n


cdef void find_head(ranking_t *ranking, uint32_t block) noexcept nogil:
    """The best of the block that ranks behind what it gave last; its bound becomes the score."""
    cdef const run_t *run = ranking.run
    cdef ranked_t *ranked = &ranking.blocks[block]
    cdef uint32_t first = block * RANK_BLOCK
    cdef uint32_t end = min(run.count, first + RANK_BLOCK)
    cdef uint32_t hashes[RANK_BLOCK]
    cdef rank_t best, rank
    cdef uint32_t i, top = 0
    check(first < run.count)
    check(ranked.head == NO_HEAD)       # what was found before must be given first
    ranked.bound = INFINITY
    rank_block(run.seeds + first, flip_of(ranking.key), times_of(ranking.key), hashes)
    for i in range(first, end):
        # Among equal weights the order of scores is that of the hashes, without a logarithm.
        if run.blocks[block].equal:
            if hashes[i - first] < top or (ranked.last.score >= 0.0 and hashes[i - first] > ranked.last.hash):
                continue
        elif least_score(hashes[i - first], 1.0 / run.weights[i]) >= ranked.bound:
            continue
        rank = rank_of(run, i, ranking.key)
        if ranked.last.score >= 0.0 and not ranks_before(&ranked.last, &rank):
            continue
        if ranked.bound == INFINITY or ranks_before(&rank, &best):
            best = rank
            top = rank.hash
            ranked.bound = rank.score
            ranked.head = i
    if ranked.bound < INFINITY:
        ranked.last = best


cdef bint is_behind(const ranking_t *ranking, uint32_t at, uint32_t place) noexcept nogil:
    """For a check: whoever comes at this place of the order ranks behind the one before, if that is remembered."""
    cdef rank_t before, rank
    if at == 0 or at > REMEMBERED:
        return True
    before = rank_of(ranking.run, ranking.first[at - 1], ranking.key)
    rank = rank_of(ranking.run, place, ranking.key)
    return ranks_before(&before, &rank)


cdef int next_ranked(ranking_t *ranking) noexcept nogil:
    cdef uint32_t at = ranking.at
    cdef int place
    check(at <= ranking.given)
    if at < ranking.given:
        ranking.at += 1
        return <int>ranking.first[at]
    place = next_of_blocks(ranking)
    if place >= 0:
        check(is_behind(ranking, at, <uint32_t>place))
        if at < REMEMBERED:
            ranking.first[at] = <uint32_t>place
        ranking.given = ranking.at = at + 1
    return place


cdef int next_of_blocks(ranking_t *ranking) noexcept nogil:
    cdef ranked_t *blocks = ranking.blocks
    cdef uint32_t i, block, given
    cdef double least
    while True:
        block = 0
        least = blocks[0].bound if ranking.run.count else INFINITY
        for i in range(1, ranking.run.block_count):
            if blocks[i].bound > least:
                continue
            if blocks[i].bound < least or comes_sooner(&blocks[i], &blocks[block]):
                block = i
                least = blocks[i].bound
        if least == INFINITY:
            return E_NONE
        if blocks[block].head != NO_HEAD:
            given = blocks[block].head
            check(given < ranking.run.count)
            blocks[block].head = NO_HEAD
            return <int>given
        find_head(ranking, block)


cdef inline bint comes_sooner(const ranked_t *a, const ranked_t *b) noexcept nogil:
    """Of equal bounds: what was not looked for may still be equal, and then the tie decides."""
    if a.head == NO_HEAD or b.head == NO_HEAD:
        return a.head == NO_HEAD and b.head != NO_HEAD
    return a.last.tie > b.last.tie
