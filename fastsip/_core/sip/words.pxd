# The vocabulary: header names, methods, usual reason phrases.  See words.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.check cimport check
from fastsip._core.sip.types cimport METHOD_COUNT
from fastsip._core.sip.chars cimport find_word, words_t

cdef const char *method_text(int method, uint32_t *len) noexcept nogil
cdef const char *usual_phrase(int status, uint32_t *len) noexcept nogil

# Filled at import: names -> header_id, names -> method_id, names without an id -> their one letter.
cdef words_t HEADERS
cdef words_t METHODS
cdef words_t COMPACT


# method_id of a method's name, M_OTHER when unknown; case matters (7.1).
cdef inline int match_method(const char *name, uint32_t len) noexcept nogil:
    check(find_word(&METHODS, name, len) < METHOD_COUNT)
    return <int>find_word(&METHODS, name, len)
