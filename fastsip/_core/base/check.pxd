# What must hold, checked in debug and sanitizer builds only.  See check.h; there is no check.pyx.

cdef extern from "base/check.h" nogil:
    void check "FASTSIP_CHECK"(bint condition) noexcept
