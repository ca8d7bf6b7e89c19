"""The stubs of the kernels name what Python finds in them: the same functions, classes, methods and attributes,
with the same parameters, and each constant that somebody imports.

mypy reads stubs alone, so what they forget it believes to be missing, and what they promise too much fails at run time.
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "fastsip" / "_core"
KERNELS = {str(path.relative_to(CORE).with_suffix("")): path for path in sorted(CORE.rglob("*.pyx"))}
READERS = [path for place in ("fastsip", "tests", "bench") for path in sorted((ROOT / place).rglob("*.py"))]

Found = dict[str, tuple[str, ...] | None]  # name -> parameters; None for what has none


def is_public(name: str) -> bool:
    return not name.startswith("_")


def dotted(kernel: str) -> str:
    return f"fastsip._core.{kernel.replace('/', '.')}"


# ---------------------------------------------------------------- what Python finds


def parameters(function: object) -> tuple[str, ...]:
    """Without self.  Each as it is called: `*` before those by name, `=` behind those with a default."""
    parts: list[str] = []
    for each in inspect.signature(function).parameters.values():
        if each.kind is each.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
            parts.append("*")
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        parts.append(stars + each.name + ("=" if each.default is not each.empty else ""))
    return tuple(part for part in parts if part != "self")


def members_of(kernel: str) -> Found:
    """`name` of functions and classes, `class.name` of methods and attributes, as they are when imported."""
    module = importlib.import_module(dotted(kernel))
    found: Found = {}
    for name, value in vars(module).items():
        home = getattr(value, "__module__", "")
        if is_public(name) and hasattr(value, "_fields") and not home.startswith("fastsip"):
            found[name] = value._fields  # a named tuple, which a kernel makes in no module
        if not is_public(name) or home != module.__name__:
            continue
        if not inspect.isclass(value):
            found[name] = parameters(value)
            continue
        found[name] = None
        for inner, member in vars(value).items():
            if is_public(inner):
                what = getattr(member, "__func__", member)
                found[f"{name}.{inner}"] = None if inspect.isdatadescriptor(what) else parameters(what)
    return found


# ---------------------------------------------------------------- what the stub says


def written_parameters(arguments: ast.arguments) -> tuple[str, ...]:
    plain = [*arguments.posonlyargs, *arguments.args]
    first_default = len(plain) - len(arguments.defaults)
    parts = [each.arg + ("=" if place >= first_default else "") for place, each in enumerate(plain)]
    if arguments.vararg or arguments.kwonlyargs:
        parts.append("*" + (arguments.vararg.arg if arguments.vararg else ""))
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parts.append(each.arg + ("=" if default else ""))
    if arguments.kwarg:
        parts.append("**" + arguments.kwarg.arg)
    return tuple(part for part in parts if part != "self")


def is_property(node: ast.FunctionDef) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "property" for each in node.decorator_list)


def stubbed(body: list[ast.stmt], before: str = "") -> Found:
    found: Found = {}
    for node in body:
        if isinstance(node, ast.FunctionDef) and is_public(node.name):
            found[before + node.name] = None if is_property(node) else written_parameters(node.args)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and before:
            found[before + node.target.id] = None
        elif isinstance(node, ast.ClassDef):
            found[node.name] = None
            inner = stubbed(node.body, f"{node.name}.")
            if any(ast.unparse(base) == "NamedTuple" for base in node.bases):
                found[node.name] = tuple(name.partition(".")[2] for name in inner)
            else:
                found |= inner
    return found


def stub_of(kernel: str) -> ast.Module:
    return ast.parse(KERNELS[kernel].with_suffix(".pyi").read_text())


def constants_in(tree: ast.Module) -> set[str]:
    promised = {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}
    return promised | {node.targets[0].id for node in tree.body if isinstance(node, ast.Assign)}  # aliases of types


# ---------------------------------------------------------------- what somebody imports


def taken(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(kernel, name): imported from it, or asked of it as `module.name`."""
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fastsip._core."):
            place = node.module.removeprefix("fastsip._core.").replace(".", "/")
            for alias in node.names:
                modules[alias.asname or alias.name] = f"{place}/{alias.name}"
                yield place, alias.name
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if node.value.id in modules and is_public(node.attr):
            yield modules[node.value.id], node.attr


TAKEN = {each for path in READERS for each in taken(ast.parse(path.read_text())) if each[0] in KERNELS}


# ---------------------------------------------------------------- and that they agree


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_stub_names_what_python_finds(kernel):
    there = members_of(kernel)
    wanted = {name for place, name in TAKEN if place == kernel}
    has_stub = KERNELS[kernel].with_suffix(".pyi").exists()
    assert has_stub == bool(there or wanted), f"{kernel}.pyi is there when Python finds something in the kernel"
    if has_stub:
        tree = stub_of(kernel)
        written = stubbed(tree.body)
        assert written.keys() == there.keys()
        assert {name: written[name] for name in written if not agree(written[name], there[name])} == {}
        assert wanted - set(there) - constants_in(tree) - taken_over(tree) == set()


def agree(written: tuple[str, ...] | None, there: tuple[str, ...] | None) -> bool:
    """A stub may say which names `**` takes."""
    if written and there and there[-1].startswith("**"):
        return set(there[:-1]) <= set(written)
    return written == there


def taken_over(tree: ast.Module) -> set[str]:
    """`from a import b as b`: of another module, and of this one, too."""
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname for node in imports for alias in node.names if alias.asname}


@pytest.mark.parametrize("kernel", [name for name, path in KERNELS.items() if path.with_suffix(".pyi").exists()])
def test_a_stub_promises_no_constant_that_is_not_there(kernel):
    module = importlib.import_module(dotted(kernel))
    tree = stub_of(kernel)
    promised = {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}
    assert {name for name in promised if not hasattr(module, name)} == set()


def test_each_stub_has_its_kernel():
    stubs = {str(path.relative_to(CORE).with_suffix("")) for path in CORE.rglob("*.pyi")}
    assert stubs - set(KERNELS) == set()


# ---------------------------------------------------------------- the reading itself


def test_stubs_and_signatures_are_read_alike():
    def some(a, b=1, *, c, d=2, **rest): ...

    tree = ast.parse("def some(a: int, b: int = 1, *, c: int, d: int = 2, **rest: int) -> None: ...")
    assert stubbed(tree.body) == {"some": parameters(some)} == {"some": ("a", "b=", "*", "c", "d=", "**rest")}


def test_a_module_is_asked_by_any_name():
    text = "from fastsip._core.store import slots as s\nfrom fastsip._core.base.clock import now_ms\ns.die_at_store(1)"
    found = {("store", "slots"), ("base/clock", "now_ms"), ("store/slots", "die_at_store")}
    assert set(taken(ast.parse(text))) == found
