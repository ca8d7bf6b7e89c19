/* The hash that ranks the members of a set for a key, many members at once.
 *
 * What it is: 32 bits per member from the member's seed and the key, and the greatest of each block of
 * members.  The loops are plain, so that the compiler makes of them what the machine has: on x86-64 one
 * body each for AVX2, SSE4.1 and any other, chosen when the program is loaded; elsewhere, NEON for one,
 * the machine's own vectors.  All bodies compute the same: nodes of different make must agree.
 * What it must never do: read outside of whole blocks.
 */
#ifndef FASTSIP_RANKING_H
#define FASTSIP_RANKING_H

#include <stddef.h>
#include <stdint.h>

enum { RANK_BLOCK = 64 };

/* Sanitizers do not bear that a function is chosen before they have started. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define RANK_EACH_MACHINE __attribute__((target_clones("avx2", "sse4.1", "default")))
#else
#define RANK_EACH_MACHINE
#endif

/* `times` is odd: for each key another permutation of the seeds, whose upper half then spreads over all bits. */
static inline uint32_t rank_hash(uint32_t seed, uint32_t flip, uint32_t times)
{
    uint32_t x = (seed ^ flip) * times;
    return (x ^ x >> 16) * 0x85EBCA6BU;
}

/* tops[b]: the greatest hash of block b. */
RANK_EACH_MACHINE
static void rank_tops(const uint32_t *seeds, size_t blocks, uint32_t flip, uint32_t times, uint32_t *tops)
{
    for (size_t block = 0; block < blocks; block++, seeds += RANK_BLOCK) {
        uint32_t top = 0;
        for (int i = 0; i < RANK_BLOCK; i++) {
            uint32_t hash = rank_hash(seeds[i], flip, times);
            top = hash > top ? hash : top;
        }
        tops[block] = top;
    }
}

/* The hashes of one block. */
RANK_EACH_MACHINE
static void rank_block(const uint32_t *seeds, uint32_t flip, uint32_t times, uint32_t *hashes)
{
    for (int i = 0; i < RANK_BLOCK; i++)
        hashes[i] = rank_hash(seeds[i], flip, times);
}

#endif
