# Atomics for words in shared mappings.  See atomics.h; there is no atomics.pyx.

from libc.stdint cimport uint32_t, uint64_t

cdef extern from "base/atomics.h" nogil:
    uint32_t load_acquire32(const void *at) noexcept
    uint64_t load_acquire64(const void *at) noexcept
    uint32_t load_relaxed32(const void *at) noexcept
    uint64_t load_relaxed64(const void *at) noexcept
    void store_relaxed32(void *at, uint32_t value) noexcept
    void store_relaxed64(void *at, uint64_t value) noexcept
    void store_release32(void *at, uint32_t value) noexcept
    void store_release64(void *at, uint64_t value) noexcept
    bint cas32(void *at, uint32_t expected, uint32_t wanted) noexcept
    bint cas64(void *at, uint64_t expected, uint64_t wanted) noexcept
    uint32_t fetch_add32(void *at, uint32_t more) noexcept
    uint64_t fetch_add64(void *at, uint64_t more) noexcept
    void full_fence() noexcept
