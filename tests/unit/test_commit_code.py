"""The commit as the compiler made it: on each way through it, the word's store comes after the record's.

What the source says is not enough: a plain store may be moved over another by the
compiler, and on this machine the order of stores in the code is the order in which
a process that dies has made them.  Read from the compiled file by objdump.
"""

import platform
import re
import shutil
import subprocess
from typing import NamedTuple

import pytest

from fastsip._core.store import slots

FUNCTION = "__pyx_f_7fastsip_5_core_5store_5slots_commit"
RECORD_BYTES, WORD_BYTES = 64, 8
MOST_WAYS = 1_000
LINE = re.compile(r"\s*([0-9a-f]+):\s+(\S+)\s*(.*)")
WIDTHS = {"x": 16, "y": 32, "z": 64}  # xmm, ymm, zmm


class Instruction(NamedTuple):
    at: int
    name: str
    operands: str


class Write(NamedTuple):
    """A store to the mapping: base register, offset from it, bytes."""

    base: str
    offset: int
    width: int


def read_listing(text: str) -> list[Instruction]:
    found = [LINE.match(line) for line in text.splitlines()]
    return [Instruction(int(m[1], 16), m[2], m[3].strip()) for m in found if m]


def disassemble(function: str) -> list[Instruction]:
    objdump = shutil.which("objdump")
    if not objdump:
        pytest.fail("objdump is missing: install Debian's binutils", pytrace=False)
    command = [objdump, "-d", "--no-show-raw-insn", slots.__file__]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    bodies = re.findall(rf"<{function}>:\n(.*?)(?:\n\n|\Z)", text, re.S)
    assert len(bodies) == 1, f"{function} is not in {slots.__file__}"
    return read_listing(bodies[0])


def register_width(name: str) -> int:
    """Of %rax, %r10d, %eax, %xmm0 and so on."""
    name = name.lstrip("%")
    if name[1:3] == "mm":
        return WIDTHS[name[0]]
    if re.fullmatch(r"r\d+[dwb]?", name):
        return {"d": 4, "w": 2, "b": 1}.get(name[-1], 8)
    if len(name) == 3:
        return {"r": 8, "e": 4}[name[0]]
    return 1 if name.endswith(("l", "h")) else 2


def store_of(instruction: Instruction) -> Write | None:
    """What it stores to the mapping; None for a store to the stack or to a variable, or none at all."""
    if instruction.name.startswith(("lea", "cmp", "test", "nop", "j", "ret", "push", "pop", "call", "xchg")):
        assert not instruction.name.startswith("xchg") or "(" not in instruction.operands, instruction
        return None
    operands = instruction.operands.split("#")[0].strip()
    target = re.search(r"(-?0x[0-9a-f]+)?\((%\w+)[^()]*\)$", operands)
    if not target or target[2] in ("%rip", "%rsp"):
        return None
    assert instruction.name.startswith(("mov", "vmov")), f"an unknown way to write: {instruction}"
    source = operands[: target.start()].rstrip(",")
    assert source.startswith("%"), f"not a register that is stored: {instruction}"
    width = 8 if instruction.name.endswith("movq") else register_width(source)
    return Write(target[2], int(target[1] or "0", 16), width)


def ways_through(code: list[Instruction]) -> list[list[Write]]:
    """The stores of each way from the beginning to a return, in order; ways into _exit are left out."""
    place = {instruction.at: index for index, instruction in enumerate(code)}
    ended: list[list[Write]] = []
    open_ways: list[tuple[int, list[Write], frozenset[int]]] = [(0, [], frozenset())]
    for _ in range(MOST_WAYS):
        if not open_ways:
            return ended
        index, writes, seen = open_ways.pop()
        while True:
            instruction = code[index]
            assert index not in seen, "the commit has a loop"
            seen |= {index}
            if instruction.name.startswith("ret"):
                ended.append(writes)
                break
            if instruction.name.startswith("call"):
                if "*%" in instruction.operands:    # crash_point lets tests look at the mapping
                    index += 1
                    continue
                # gcc may put the one call of crash_point, _exit, apart
                ends = "_exit" in instruction.operands or "crash_point.part" in instruction.operands
                assert ends, f"the commit calls something: {instruction}"
                break
            write = store_of(instruction)
            writes = [*writes, write] if write else writes
            if instruction.name.startswith("j"):
                target = place[int(instruction.operands.split()[0], 16)]
                if instruction.name == "jmp":
                    index = target
                    continue
                open_ways.append((target, writes, seen))
            index += 1
    raise AssertionError("too many ways through the commit")


def complaint(writes: list[Write]) -> str:
    """What is wrong with the stores of one way, "" for nothing."""
    *record, word = writes
    if word.width != WORD_BYTES or word.offset != 0:
        return f"the last store is not that of the word: {writes}"
    covered = sorted(each.offset + i for each in record for i in range(each.width))
    whole = list(range(covered[0], covered[0] + RECORD_BYTES))
    if len({each.base for each in record}) != 1 or covered != whole:
        return f"what stands before the word's store is not one record: {writes}"
    return ""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the instructions of x86-64")
def test_the_word_is_stored_last():
    code = disassemble(FUNCTION)
    if any("asan" in instruction.operands for instruction in code):
        pytest.skip("instrumented by a sanitizer: not the code that ships")
    ways = ways_through(code)
    assert ways
    assert [complaint(writes) for writes in ways] == [""] * len(ways)


GOOD = """
 10: test %r11,%r11
 13: js 30 <f+0x20>
 20: movups %xmm4,(%rcx)
 24: movups %xmm5,0x10(%rcx)
 28: movups %xmm4,0x20(%rcx)
 2c: movups %xmm5,0x30(%rcx)
 2e: jmp 48 <f+0x38>
 30: movdqu (%r9),%xmm4
 38: movups %xmm4,(%rcx)
 3c: vmovdqu %ymm5,0x10(%rcx)
 40: movq %xmm5,0x30(%rcx)
 44: mov %rsi,0x38(%rcx)
 48: mov %rax,(%rdx)
 4c: mov %rbx,0x26f25(%rip)
 50: ret
"""


def test_the_reader_finds_both_ways_and_follows_jumps():
    assert [complaint(writes) for writes in ways_through(read_listing(GOOD))] == ["", ""]


@pytest.mark.parametrize(
    "old, new",
    [
        (" 48: mov %rax,(%rdx)\n", " 48: nop\n"),  # no word at all
        (" 20: movups %xmm4,(%rcx)\n", " 20: mov %rax,(%rdx)\n"),  # too early
        (" 48: mov %rax,(%rdx)\n", " 48: mov %eax,(%rdx)\n"),  # half a word
        (" 2c: movups %xmm5,0x30(%rcx)\n", ""),  # a record with a hole
        (" 50: ret", " 4e: movups %xmm5,0x30(%rcx)\n 50: ret"),  # something after it
    ],
)
def test_the_reader_sees_what_would_be_wrong(old, new):
    assert old in GOOD
    assert any(complaint(writes) for writes in ways_through(read_listing(GOOD.replace(old, new))))
