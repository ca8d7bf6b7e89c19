/* The memory orders that rings and sleepers need, under names that Cython can
 * call.  Nothing else lives here; every store to a ring's head or tail and to
 * a sleeper's word goes through these.  Called by ring.pyx. */

#ifndef FASTSIP_RING_ATOMICS_H
#define FASTSIP_RING_ATOMICS_H

#include <stdint.h>

static inline uint64_t ring_load_acquire(const uint64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static inline uint64_t ring_load_own(const uint64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline void ring_store_release(uint64_t *at, uint64_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

/* The two halves of Dekker's agreement: each side stores, fences, loads. */
static inline void ring_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline uint32_t sleeper_load(const uint32_t *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline void sleeper_store(uint32_t *at, uint32_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

/* Of several producers only one takes the 1, and only that one writes. */
static inline uint32_t sleeper_take(uint32_t *at)
{
    return __atomic_exchange_n(at, 0, __ATOMIC_ACQ_REL);
}

static inline void sleeper_count(uint64_t *at)
{
    __atomic_fetch_add(at, 1, __ATOMIC_RELAXED);
}

static inline void ring_count_drop(uint32_t *at)
{
    __atomic_store_n(at, __atomic_load_n(at, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

#endif
