"""What is dead, waits for ever, has a name that was given up, or is not explained.  Where a number stands it is a
ratchet: it may become better, and the test says so when it has, but never worse.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.unit.test_house import ROOMS, cython_functions, python_functions

ROOT = Path(__file__).parents[2]
CORE = ROOT / "fastsip" / "_core"
PLACES = ("fastsip", "tests", "bench")
WORD = re.compile(r"[A-Za-z_]\w*")

# The ratchets: what is left of each, and never more.
SLEEPS = 0
ENDLESS_WAITS = 0
LARGE_FILES, LARGE_LINES = 5, 580  # of MOST_FILE_LINES in test_house
LONG_FUNCTIONS, LONG_LINES = 3, 50  # of MOST_FUNCTION_LINES


def hold(found: list[str], ratchet: int, name: str) -> None:
    assert len(found) <= ratchet, f"{len(found)} instead of {ratchet}:\n" + "\n".join(found)
    assert len(found) == ratchet, f"better than before: lower {name} to {len(found)}"


@cache
def texts(*ends: str) -> dict[Path, str]:
    """Files that people wrote, by their endings."""
    found = (path for place in PLACES for end in ends for path in sorted((ROOT / place).rglob(f"*.{end}")))
    return {path: path.read_text() for path in found if path != Path(__file__)}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_of(text: str) -> str:
    """Of a kernel or header: without comments, docstrings and imports, which name things but use none."""
    text = re.sub(r'"""(?:.|\n)*?"""', "", text)
    text = re.sub(r"(^|\s)#(?!include|define).*", "", text)
    return re.sub(r"^[ \t]*(?:from\s+\S+\s+c?import|c?import)\b[^\n(]*(?:\([^)]*\))?", "", text, flags=re.M)


def words_of(text: str) -> Iterator[str]:
    """Of a Python file: what it defines, names and asks for, and the words of its texts but docstrings."""
    tree = ast.parse(text)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield from WORD.findall(node.value)


@cache
def uses() -> Counter[str]:
    """How often each word stands in code, of kernels and of Python."""
    words: Counter[str] = Counter()
    for text in texts("pyx", "pxd", "h").values():
        words.update(WORD.findall(code_of(text)))
    for text in texts("py").values():
        words.update(words_of(text))
    return words


# ---------------------------------------------------------------- nothing is dead

CDEF = re.compile(r"^ *cdef\b(?!.*\b(?:extern|enum|struct|union|class)\b)[^\n=(]*?\b(\w+)\(", re.M)


def kernel_functions() -> Iterator[tuple[str, int]]:
    """Each cdef function of the core and how often it is written down: its declaration and its definition."""
    found: Counter[str] = Counter()
    for path, text in texts("pyx", "pxd").items():
        if CORE in path.parents:
            found.update(CDEF.findall(code_of(text)))
    yield from found.items()


def test_each_kernel_function_is_called():
    dead = [name for name, written in kernel_functions() if uses()[name] <= written]
    assert dead == []


def enumerators() -> Iterator[str]:
    for path, text in texts("pyx", "pxd").items():
        if CORE not in path.parents:
            continue
        for block in re.findall(r"^ *cdef enum\b[^\n]*:\n((?:[ \t]+[^\n]*\n|\n)+)", code_of(text), re.M):
            yield from re.findall(r"^[ \t]+([A-Z]\w*)\b", block, re.M)


# What stands for a place in a list: of algorithms, of answers, of methods, of names of health.
SPOKEN_FOR = {
    "ADMIN_DRAINING", "A_CALL_LOAD", "A_LATENCY", "A_ORDERED_ROUND_ROBIN", "A_PRIORITY", "A_RANDOM", "A_ROUND_ROBIN",
    "ANSWER_2XX", "ANSWER_3XX", "ANSWER_4XX", "ANSWER_5XX", "ANSWER_6XX", "ANSWER_408", "ANSWER_480", "ANSWER_486",
    "ANSWER_487", "ANSWER_500", "ANSWER_503", "ANSWER_504", "ANSWER_600", "ANSWER_603", "ANSWER_CHALLENGE",
    "HEALTH_UNKNOWN", "M_INFO", "M_MESSAGE", "M_PUBLISH", "M_REGISTER", "M_UPDATE",
}  # fmt: skip


def test_each_constant_of_the_kernels_is_used():
    written = Counter(enumerators())
    assert {name for name, times in written.items() if uses()[name] <= times} == SPOKEN_FOR


def python_names(path: Path) -> Iterator[str]:
    """Functions, classes and constants of a module."""
    for node in ast.parse(texts("py")[path]).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_each_name_of_a_module_is_used():
    modules = [path for path in texts("py") if (ROOT / "fastsip") in path.parents]
    dead = [f"{name_of(path)}: {name}" for path in modules for name in python_names(path)
            if not name.startswith("__") and uses()[name] <= 1]  # fmt: skip
    assert dead == []


def test_each_counter_is_counted():
    numbers = re.findall(r"^    (N_\w+)\b", (CORE / "state/counters.pxd").read_text(), re.M)
    kernels = " ".join(
        code_of(text) for path, text in texts("pyx").items() if path != CORE / "state/counters.pyx"
    )
    assert len(numbers) > 50
    assert [name for name in numbers if not re.search(rf"\b{name}\b", kernels)] == []


def test_each_field_of_the_configuration_is_read():
    """A key that is read from the file and then looked at by nobody would be a promise."""
    model = ast.parse((ROOT / "fastsip/config/model.py").read_text())
    fields = {node.target.id for each in model.body if isinstance(each, ast.ClassDef) for node in each.body
              if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}  # fmt: skip
    readers = " ".join(text for path, text in texts("py").items() if (ROOT / "fastsip") in path.parents)
    assert [name for name in sorted(fields) if not re.search(rf"\.{name}\b", readers)] == []


# ---------------------------------------------------------------- nothing waits for nothing, nor for ever


def inside(path: Path, *kinds: type[ast.AST]) -> set[int]:
    """Ids of the calls that stand inside of such nodes."""
    outer = (node for node in ast.walk(ast.parse(texts("py")[path])) if isinstance(node, kinds))
    return {(each.lineno, each.col_offset) for node in outer for each in ast.walk(node) if isinstance(each, ast.Call)}


def calls(path: Path, *not_in: type[ast.AST]) -> Iterator[ast.Call]:
    """The calls of a file, but those that stand inside of such nodes."""
    left_out = inside(path, *not_in)
    for node in ast.walk(ast.parse(texts("py")[path])):
        if isinstance(node, ast.Call) and (node.lineno, node.col_offset) not in left_out:
            yield node


def test_no_test_sleeps_instead_of_waiting():
    """sleep(0) only gives others their turn; in a loop a condition is looked at again."""
    found = []
    for path in texts("py"):
        if (ROOT / "tests") not in path.parents or not path.name.startswith("test_"):
            continue
        for call in calls(path, ast.While, ast.For, ast.AsyncFor):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if name in ("sleep", "usleep") and not (isinstance(call.args[0], ast.Constant) and not call.args[0].value):
                found.append(f"{name_of(path)}:{call.lineno}")
    hold(found, SLEEPS, "SLEEPS")


def is_endless(call: ast.Call) -> bool:
    """A wait for a thread or a process that names no time."""
    if not isinstance(call.func, ast.Attribute) or any(word.arg in ("timeout", None) for word in call.keywords):
        return False
    of = ast.unparse(call.func.value)
    if of == "subprocess":
        return call.func.attr in ("run", "check_output", "check_call")
    return call.func.attr in ("communicate", "wait", "join", "acquire") and not call.args and of != "self"


def test_no_wait_is_without_a_limit():
    """Of coroutines none is looked at: what they await stands in a timeout, or ends with the loop."""
    found = [f"{name_of(path)}:{call.lineno}" for path in texts("py") for call in calls(path, ast.AsyncFunctionDef)
             if is_endless(call)]  # fmt: skip
    hold(found, ENDLESS_WAITS, "ENDLESS_WAITS")


# ---------------------------------------------------------------- words

# Names that were given up (docs/glossary.md has today's), where code or comment says them.
GIVEN_UP = re.compile(
    r"\b(core_t|search_t|indialog|[Ss]teward|upstream|proxy core|proxy files|the proxy files)\b"
    r"|\b(tables|net|shard_files|stores|timers|transactions|candidates|branches|select)\.pyx\b"
    r"|^\s*(?:Called|Used|Asked) by:? |\. {1,2}(?:Called|Used|Asked) by:? ",
    re.M,
)


@pytest.mark.parametrize("end", ["pyx", "pxd", "pyi", "h", "py"])
def test_no_word_is_said_that_was_given_up(end):
    files = {path: text for path, text in texts(end).items() if (ROOT / "fastsip") in path.parents}
    found = [f"{name_of(path)}: {match[0].strip()}" for path in files for match in GIVEN_UP.finditer(files[path])]
    assert found == []


def test_files_that_comments_name_are_there():
    told_of = {"atomics.pyx", "check.pyx"}  # as what is not there
    there = told_of | {path.name for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts}
    found = []
    for path, text in texts("pyx", "pxd", "pyi").items():
        comments = re.findall(r'"""(?:.|\n)*?"""|#.*', text)
        names = set(re.findall(r"\b\w+\.(?:pyx|pxd|pyi|py)\b", " ".join(comments)))
        found += [f"{name_of(path)}: {name}" for name in names - there]
    assert found == []


# ---------------------------------------------------------------- close to the bounds


def test_few_files_are_close_to_the_bound():
    sizes = {name_of(path): text.count("\n") for path, text in texts("py", "pyx", "pxd", "pyi").items()}
    hold([f"{name} {lines}" for name, lines in sizes.items() if lines > LARGE_LINES], LARGE_FILES, "LARGE_FILES")


def test_few_functions_are_close_to_the_bound():
    found = [(path, *each) for path in texts("py") for each in python_functions(path)]
    found += [(path, *each) for path in texts("pyx", "pxd") for each in cython_functions(path)]
    hold([f"{name_of(path)}: {name} {lines}" for path, name, lines in found if lines > LONG_LINES],
         LONG_FUNCTIONS, "LONG_FUNCTIONS")  # fmt: skip


# ---------------------------------------------------------------- checks and comments

# Of each package of the core: checks in a hundred kernel functions, lines with a comment or docstring in a hundred.
CHECKS_PERCENT = {
    "base": 65, "sip": 99, "store": 70, "routing": 0, "dispatcher": 78, "wire": 121, "transport": 91,
    "state": 75, "transaction": 89, "health": 166, "proxy": 60, "shard": 0, "harness": 0,
}  # fmt: skip
COMMENTS_PERCENT = {
    "base": 26, "sip": 20, "store": 20, "routing": 18, "dispatcher": 21, "wire": 21, "transport": 20,
    "state": 23, "transaction": 19, "health": 20, "proxy": 17, "shard": 16, "harness": 16,
}  # fmt: skip
LITTLE, MUCH = 5, 8  # in a hundred: in a small package one check more or less is four
KERNEL = re.compile(r"^ *cdef\b[^\n=]*?\w+\((?:[^()]|\([^()]*\))*\) noexcept nogil:", re.M)
CHECK = re.compile(r"^ +check\(", re.M)


def hold_each(found: dict[str, int], ratchet: dict[str, int], name: str) -> None:
    assert {room: (is_now, ratchet[room]) for room, is_now in found.items() if is_now < ratchet[room] - LITTLE} == {}
    assert max(is_now - ratchet[room] for room, is_now in found.items()) < MUCH, f"much better: raise {name} to {found}"


def texts_of(room: str, *ends: str) -> list[str]:
    return [text for path, text in texts(*ends).items() if path.parent == CORE / room and path.stem != "__init__"]


def explained_lines(text: str) -> int:
    """Lines of a Cython or Python file that a comment stands on, or a docstring."""
    strings = re.sub(r'^ *"""(?:.|\n)*?"""', lambda found: re.sub(r"(?m)^.*\S.*$", "#", found[0]), text, flags=re.M)
    return len(re.findall(r"^(?:.*[ \t])?#.*$", strings, re.M))


def test_checks_become_no_fewer():
    found = {}
    for room in ROOMS:
        text = "\n".join(texts_of(room, "pyx", "pxd"))
        found[room] = 100 * len(CHECK.findall(text)) // len(KERNEL.findall(text))
    hold_each(found, CHECKS_PERCENT, "CHECKS_PERCENT")


def test_comments_become_no_fewer():
    found = {}
    for room in ROOMS:
        text = "\n".join(texts_of(room, "pyx", "pxd", "py"))
        found[room] = 100 * explained_lines(text) // len(re.findall(r"^.*\S.*$", text, re.M))
    hold_each(found, COMMENTS_PERCENT, "COMMENTS_PERCENT")
