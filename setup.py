"""Builds the kernels: all .pyx below fastsip/_core, and with FASTSIP_TESTS those of tests and benches.

Environment switches:

FASTSIP_BUILD   release (default), debug (assertions, bounds checks, traps where C defines nothing, what
                shards may look at cannot be touched when it was freed), asan (debug with
                AddressSanitizer, which does the same, and UndefinedBehaviorSanitizer, which
                says what it found) or tsan (ThreadSanitizer)
FASTSIP_ONLY    comma-separated kernel names, to build just these
FASTSIP_TESTS   1: the kernels below tests/kernels and bench/kernels, too
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Errors
from setuptools import Extension, setup

CORE = Path("fastsip/_core")
PLACES = [CORE, *map(Path, ("tests/kernels", "bench/kernels") if os.environ.get("FASTSIP_TESTS") == "1" else ())]
BUILD = os.environ.get("FASTSIP_BUILD", "release")
ONLY = set(filter(None, os.environ.get("FASTSIP_ONLY", "").split(",")))

# The compiler's own checks - indexes, shifts, null pointers, signed overflow - that need no library at run time: what
# fails ends the process by an illegal instruction.  Nothing that Cython generates trips over them; this one of ours
# finds words of a record by the addresses that its members would have in a record at 0.
TRAPS = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
NOT_CHECKED = {"kinds": ["-fno-sanitize=null"]}

FLAGS = {
    # -O3 inlines Cython's comparisons of objects so far that gcc 12 sees None compared as bytes.
    # Packing a few 16-bit fields into one vector costs more than the stores that it saves (an eighth of the index).
    "release": ["-O3", "-fno-tree-slp-vectorize", "-fno-plt", "-fno-semantic-interposition", "-Wno-array-bounds"],
    "debug": ["-O1", "-g", "-UNDEBUG", "-DFASTSIP_DEBUG=1", "-DFASTSIP_POISON=1", *TRAPS],
    "asan": ["-O1", "-g", "-UNDEBUG", "-DFASTSIP_DEBUG=1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"],
    "tsan": ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=thread", "-Wno-tsan"],
}
if BUILD not in FLAGS:
    raise SystemExit(f"FASTSIP_BUILD is {BUILD!r}: one of {', '.join(FLAGS)} is wanted")


def refuse_performance_hint(pos, message, env):
    """A kernel that would take the GIL or check for exceptions is a defect (R1)."""
    raise Errors.CompileError(pos, f"performance hint: {message}")


Errors.performance_hint = refuse_performance_hint

extensions = [
    Extension(
        ".".join(path.with_suffix("").parts),
        [str(path)],
        include_dirs=[str(CORE)],
        extra_compile_args=[*FLAGS[BUILD], "-std=gnu11", "-Wall", "-Wno-unused-function", "-Wno-sign-compare",
                            *(NOT_CHECKED.get(path.stem, ()) if BUILD in ("debug", "asan") else ())],
        extra_link_args=[flag for flag in FLAGS[BUILD] if flag.startswith("-fsanitize")],
    )
    for place in PLACES
    for path in sorted(place.rglob("*.pyx"))
    if not ONLY or path.stem in ONLY
]

setup(
    options={"build_ext": {"parallel": os.cpu_count() or 1}},  # for pip, who cannot be told
    ext_modules=cythonize(
        extensions,
        nthreads=os.cpu_count() or 1,
        quiet=True,
        compiler_directives={
            "language_level": "3",
            "boundscheck": BUILD in ("debug", "asan"),
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
            "embedsignature": True,
            "show_performance_hints": True,
        },
    ),
)
