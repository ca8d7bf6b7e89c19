/* Atomic loads, stores and read-modify-writes on words in shared mappings.
 *
 * Shards are threads, the control plane and a successor are other threads or
 * processes: everything they share goes through these, and nothing else does.
 * Cython has no atomics; that is the only reason for this file.  GCC and clang
 * builtins, lock-free for aligned words on each platform that is built for.
 */
#ifndef FASTSIP_ATOMICS_H
#define FASTSIP_ATOMICS_H

#include <stdint.h>

_Static_assert(__atomic_always_lock_free(4, 0), "32-bit atomics must be lock-free to be shared by processes");
_Static_assert(__atomic_always_lock_free(8, 0), "64-bit atomics must be lock-free to be shared by processes");

static inline uint32_t load_acquire32(const void *at)
{
    return __atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE);
}

static inline uint64_t load_acquire64(const void *at)
{
    return __atomic_load_n((const uint64_t *)at, __ATOMIC_ACQUIRE);
}

/* For counters and hints: whole, but in no order with anything else. */
static inline uint32_t load_relaxed32(const void *at)
{
    return __atomic_load_n((const uint32_t *)at, __ATOMIC_RELAXED);
}

static inline uint64_t load_relaxed64(const void *at)
{
    return __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED);
}

static inline void store_relaxed32(void *at, uint32_t value)
{
    __atomic_store_n((uint32_t *)at, value, __ATOMIC_RELAXED);
}

static inline void store_relaxed64(void *at, uint64_t value)
{
    __atomic_store_n((uint64_t *)at, value, __ATOMIC_RELAXED);
}

static inline void store_release32(void *at, uint32_t value)
{
    __atomic_store_n((uint32_t *)at, value, __ATOMIC_RELEASE);
}

static inline void store_release64(void *at, uint64_t value)
{
    __atomic_store_n((uint64_t *)at, value, __ATOMIC_RELEASE);
}

/* 1 = it was `expected` and is `wanted` now, 0 = it was something else. */
static inline int cas32(void *at, uint32_t expected, uint32_t wanted)
{
    return __atomic_compare_exchange_n((uint32_t *)at, &expected, wanted, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static inline int cas64(void *at, uint64_t expected, uint64_t wanted)
{
    return __atomic_compare_exchange_n((uint64_t *)at, &expected, wanted, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* The value before the addition; wraps around, so adding (uint32_t)-1 takes one away. */
static inline uint32_t fetch_add32(void *at, uint32_t more)
{
    return __atomic_fetch_add((uint32_t *)at, more, __ATOMIC_ACQ_REL);
}

static inline uint64_t fetch_add64(void *at, uint64_t more)
{
    return __atomic_fetch_add((uint64_t *)at, more, __ATOMIC_ACQ_REL);
}

/* Orders everything before it against everything after it, loads behind stores too. */
static inline void full_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
