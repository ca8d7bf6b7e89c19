# What a slot keeps of its call for its whole life.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

# What a running call needs of its policy; copied into the slot (64 bytes), so
# that a call fails over by the policy it started with.
cdef struct policy_copy_t:
    uint32_t policy_id
    uint8_t on_reasons      # bits of failure_reason
    uint8_t on_classes      # bit c-3 = class cxx, c = 3..5
    uint8_t flags           # POLICY_*
    uint8_t mark            # default mark
    uint32_t timeout_ms     # 0 = Timer B / F
    uint32_t progress_ms    # 0 = off
    uint32_t ring_ms        # 0 = off
    uint32_t budget_ms      # 0 = none
    uint16_t exhausted      # code, 0 = best response
    uint16_t unavailable    # code
    uint16_t on_codes[10]   # 0 ends
    uint8_t mark_reasons    # two bits per reason: timeout, progress, ring, transport
    uint8_t mark_codes      # two bits each for 4xx, 5xx, 500, 503; see tables
    uint8_t reserve[10]
