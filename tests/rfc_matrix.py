"""The normative sentences in docs/rfc, and whether what they point at is there (docs/rfc/README.md).

``python -m tests.rfc_matrix`` prints sums per RFC and the list by section, ``--rfc 3261-16`` what belongs to files
whose names begin so.  tests/unit/test_rfc.py asks ``problems``.  Reads sources as texts; imports nothing of the router.
"""

import argparse
import ast
import re
import signal
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "rfc"
LEVELS = ("MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY")
KINDS = ("not ours", "not yet", "otherwise")  # how a `not` begins
STATES = ("tested", "code only", *KINDS)
HEAD = {"rfc": int, "title": str, "sentence": list}
KEYS = {"section": str, "level": str, "says": str, "code": list, "tests": list, "not": str}
REQUIRED = ("section", "level", "says")
NESTED = r"(?:[^()]|\((?:[^()]|\([^()]*\))*\))*"  # between brackets, with those inside


@dataclass(frozen=True)
class Sentence:
    section: str
    level: str
    says: str
    code: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    why_not: str = ""

    @property
    def state(self) -> str:
        """One of STATES."""
        if self.why_not:
            return self.why_not.partition(":")[0]
        return "tested" if self.code and self.tests else "code only"


@dataclass
class File:
    stem: str
    rfc: int = 0
    title: str = ""
    sentences: list[Sentence] = field(default_factory=list)


# ---------------------------------------------------------------- the files


def wrong_types(given: dict, known: dict[str, type]) -> Iterator[str]:
    for key, value in given.items():
        if key not in known:
            yield f"unknown key {key!r}"
        elif type(value) is not known[key] or (known[key] is list and key != "sentence"
                                               and not all(isinstance(each, str) for each in value)):
            yield f"{key} is {value!r}"


def read_sentence(raw: dict) -> tuple[Sentence | None, list[str]]:
    found = list(wrong_types(raw, KEYS)) + [f"{key} is missing" for key in REQUIRED if not raw.get(key)]
    if found:
        return None, found
    sentence = Sentence(
        raw["section"], raw["level"], raw["says"], tuple(raw.get("code", ())), tuple(raw.get("tests", ())),
        raw.get("not", ""),
    )  # fmt: skip
    if sentence.level not in LEVELS:
        found.append(f"unknown level {sentence.level!r}")
    if sentence.why_not and sentence.state not in KINDS:
        found.append(f"`not` begins with none of {KINDS}")
    if not sentence.why_not and not sentence.code:
        found.append("neither code nor `not`")
    elif not sentence.why_not and sentence.level.startswith("MUST") and not sentence.tests:
        found.append("a MUST without a test")
    return sentence, found


def read_file(path: Path) -> tuple[File, list[str]]:
    raw = tomllib.loads(path.read_text())
    found = list(wrong_types(raw, HEAD))
    file = File(path.stem, raw.get("rfc", 0), raw.get("title", ""))
    if not path.stem.startswith(str(file.rfc)):
        found.append("the name does not begin with the RFC's number")
    for number, each in enumerate(raw.get("sentence", ()), 1):
        sentence, wrong = read_sentence(each)
        found += [f"sentence {number} ({each.get('section')}): {text}" for text in wrong]
        if sentence:
            file.sentences.append(sentence)
    return file, [f"{path.name}: {text}" for text in found]


def read_all(folder: Path = FOLDER) -> tuple[list[File], list[str]]:
    read = [read_file(path) for path in sorted(folder.glob("*.toml"))]
    return [file for file, _ in read], [text for _, found in read for text in found]


# ---------------------------------------------------------------- what they point at


def python_names(path: Path) -> Iterator[str]:
    """Functions, methods as Class.method, and tables: names in capitals."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name) and target.id.isupper())
        elif isinstance(node, ast.ClassDef):
            methods = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
            yield from (f"{node.name}.{each.name}" for each in methods)


def cython_names(path: Path) -> Iterator[str]:
    """The same of a kernel.  What an interface only declares is not defined there: a definition ends with a colon."""
    text = re.sub(r"#[^\n]*", "", path.read_text())
    yield from re.findall(rf"^(?:cdef|cpdef|def)\b[^\n(=:]*?(\w+)\({NESTED}\)[^:\n]*:\s*$", text, re.M)
    yield from re.findall(r"^(?:cdef [^\n=(]*?)?([A-Z][A-Z_0-9]+)\b(?:\[[^\]\n]*\])* = ", text, re.M)
    for name, body in re.findall(r"^cdef class (\w+)[^\n]*:\n((?:[ \t]+[^\n]*\n|\n)+)", text, re.M):
        yield from (f"{name}.{each}" for each in re.findall(r"^    (?:cdef|def)\b[^\n(=]*?(\w+)\(", body, re.M))


@cache
def code_names() -> dict[str, list[set[str]]]:
    """stem -> what each file of this name defines; a kernel and its interface are one."""
    found: dict[str, list[set[str]]] = {}
    for path in sorted((ROOT / "fastsip").rglob("*.py")):
        found.setdefault(path.stem, []).append(set(python_names(path)))
    for path in sorted((ROOT / "fastsip").rglob("*.pyx")):
        inlined = path.with_suffix(".pxd")
        names = set(cython_names(path)) | (set(cython_names(inlined)) if inlined.exists() else set())
        found.setdefault(path.stem, []).append(names)
    return found


@cache
def names_of_tests() -> dict[str, list[set[str]]]:
    """Both test_file and folder/test_file -> the test functions of each file of this name."""
    found: dict[str, list[set[str]]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        names = set(python_names(path))
        found.setdefault(path.stem, []).append(names)
        found.setdefault(f"{path.parent.name}/{path.stem}", []).append(names)
    return found


def wrong_code(pointer: str) -> str:
    stem, _, name = pointer.partition(".")
    count = sum(name in names for names in code_names().get(stem, ()))
    return "" if count == 1 else "leads nowhere" if count == 0 else "is in several files"


def wrong_test(pointer: str) -> str:
    file, _, name = pointer.partition("::")
    files = names_of_tests().get(file, [])
    if len(files) > 1:
        return "is in several folders: prefix one"
    return "" if files and name.startswith("test_") and name in files[0] else "leads nowhere"


def wrong_pointers(files: list[File]) -> Iterator[str]:
    for file in files:
        for sentence in file.sentences:
            checked = [(each, wrong_code(each)) for each in sentence.code]
            checked += [(each, wrong_test(each)) for each in sentence.tests]
            yield from (f"{file.stem} {sentence.section}: {each} {wrong}" for each, wrong in checked if wrong)


def duplicates(files: list[File]) -> Iterator[str]:
    """Two sentences of one RFC with the same section and the same text."""
    count = Counter((file.rfc, sentence.section, sentence.says) for file in files for sentence in file.sentences)
    yield from (f"RFC {rfc} {section}: twice {says!r}" for (rfc, section, says), n in count.items() if n > 1)


def problems(folder: Path = FOLDER) -> list[str]:
    files, found = read_all(folder)
    return [*found, *wrong_pointers(files), *duplicates(files)]


# ---------------------------------------------------------------- the matrix


def sums(files: list[File]) -> Iterator[str]:
    """One line for each RFC and each group of levels."""
    yield f"{'':24}{'':8}{'all':>7}" + "".join(f"{state:>11}" for state in STATES)
    rfcs = {file.rfc: file.title.partition(",")[0] for file in files}
    for rfc in [*rfcs, 0]:
        for group in ("MUST", "SHOULD", "MAY"):
            chosen = [s for file in files if rfc in (0, file.rfc) for s in file.sentences if s.level.startswith(group)]
            count = Counter(sentence.state for sentence in chosen)
            head = f"RFC {rfc}" if rfc else "all"
            yield f"{head:24}{group:8}{len(chosen):7}" + "".join(f"{count[state] or '-':>11}" for state in STATES)


def listing(file: File) -> Iterator[str]:
    yield f"\nRFC {file.rfc}, {file.title}  ({file.stem}.toml)"
    for sentence in file.sentences:
        yield f"\n  {sentence.section}  {sentence.level}  [{sentence.state}]\n      {sentence.says}"
        if sentence.why_not:
            yield f"      not:   {sentence.why_not}"
        if sentence.code:
            yield f"      code:  {', '.join(sentence.code)}"
        if sentence.tests:
            yield f"      tests: {', '.join(sentence.tests)}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make rfc", description="sentences of RFCs, their code and their tests")
    parser.add_argument("--rfc", default="", help="files whose names begin so, for example 3261-16")
    parser.add_argument("--sums", action="store_true", help="no list")
    given = parser.parse_args()
    files, found = read_all()
    files = [file for file in files if file.stem.startswith(given.rfc)]
    if not files:
        parser.error(f"no file of docs/rfc begins with {given.rfc!r}")
    if not given.sums:
        for file in files:
            print("\n".join(listing(file)))
        print()
    print("\n".join(sums(files)))
    for text in [*found, *wrong_pointers(files), *duplicates(files)]:
        print(f"wrong: {text}")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `make rfc | head` ends without a word
    main()
