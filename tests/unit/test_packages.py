"""What packages list is there, and says what the program says.  They are built and tried by `make wheel deb image`."""

import re
import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from fastsip import __version__
from fastsip.cli import COMMANDS, main
from fastsip.config import load
from fastsip.config.language import KEYS

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "packages"
DEBIAN = PACKAGES / "debian"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def script(name: str):
    """A module of packages/, which is no package of Python's."""
    spec = spec_from_file_location(f"packages_{name}", PACKAGES / f"{name}.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Manual pages, completion and unit, made as the package makes them."""
    out = tmp_path_factory.mktemp("made")
    script("manual").main(out, ROOT)
    return out


def shown(page: Path) -> str:
    """What a reader sees of a manual page, in one line."""
    text = re.sub(r"\\f[BRI]|\\&|^\.\w+ ?", "", page.read_text(), flags=re.M)
    return " ".join(text.replace("\\-", "-").replace("\\e", "\\").split())


# ---------------------------------------------------------------- one version, one list of requirements


def test_the_version_stands_in_one_place():
    assert "version" not in PROJECT["project"] and PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "fastsip.__version__"}
    assert f"fastsip {__version__}" not in DOCKERFILE and not (DEBIAN / "changelog").exists()


@pytest.mark.parametrize("version, sorted_as", [
    ("0.1.0", "0.1.0"), ("1.0rc1", "1.0~rc1"), ("1.0.dev3", "1.0~dev3"), ("1.0a2.dev1", "1.0~a2~dev1"),
])  # fmt: skip
def test_versions_before_a_release_sort_before_it_for_debian(tmp_path, version, sorted_as):
    (tmp_path / "fastsip").mkdir()
    (tmp_path / "fastsip" / "__init__.py").write_text(f'__version__ = "{version}"\n')
    done = subprocess.run(["bash", "-c", f"source {PACKAGES}/common.sh && echo $debian_version"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.stdout.strip() == sorted_as, done.stderr


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+) \\$", (PACKAGES / name).read_text(), re.M))


@pytest.mark.parametrize("file", ["runtime.txt", "build.txt"])
def test_what_packages_bring_along_is_what_the_project_asks_for(file):
    found = pins(file)
    for requirement in map(Requirement, script("pins").wanted()[file]):
        assert found.get(requirement.name) and requirement.specifier.contains(found[requirement.name]), requirement


@pytest.mark.parametrize("file", ["runtime.txt", "build.txt"])
def test_each_pin_has_a_hash(file):
    text = (PACKAGES / file).read_text()
    assert text.count("==") == len(pins(file)) > 3
    assert len(re.findall(r"^\S+==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", text, re.M)) == len(pins(file))


# ---------------------------------------------------------------- what stands around the program


def commands(command: click.Command, words: tuple[str, ...] = ()):
    if not isinstance(command, click.Group):
        yield words, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below
        yield from commands(below, (*words, name))


def test_the_manual_has_each_command_and_option(made):
    text = shown(made / "fastsip.1")
    found = list(commands(main))
    assert {words[0] for words, _ in found} == set(COMMANDS)
    for words, command in found:
        _, _, part = text.partition(f'"fastsip {" ".join(words)} ')
        for option in (each for each in command.params if isinstance(each, click.Option)):
            assert option.opts[-1] in part, (words, option.opts)


def test_the_manual_has_each_key_of_the_language(made):
    text = shown(made / "fastsip.toml.5")
    for table, keys in KEYS.items():
        if table not in ("", "destination"):
            missing = [key for key in keys if not re.search(rf"\b{key} = |\.{key}\]", text)]
            assert missing == [], table


@pytest.mark.parametrize("page", ["fastsip.1", "fastsip.toml.5"])
def test_no_line_of_the_manual_is_taken_for_a_request(made, page):
    requests = set(re.findall(r"^[.'](\S*)", (made / page).read_text(), re.M))
    assert requests <= {"TH", "SH", "SS", "PP", "TP", "B", "I", "BR", "RS", "RE", "nf", "fi", "br"}


def test_the_unit_runs_the_program_of_the_package_on_its_conffile(made):
    unit = (made / "fastsip.service").read_text()
    assert re.findall(r"^ExecStart=(.*)$", unit, re.M) == ["/usr/bin/fastsip run /etc/fastsip/fastsip.toml"]
    rules = (DEBIAN / "rules").read_text()
    assert "$(ROOT)/usr/bin/fastsip" in rules and "$(ROOT)/etc/fastsip/fastsip.toml" in rules and "@" not in unit


def test_each_shell_gets_its_completion(made):
    for name in ("fastsip.bash", "_fastsip", "fastsip.fish"):
        assert "_FASTSIP_COMPLETE" in (made / name).read_text()
        assert f"debian/made/{name}" in (DEBIAN / "rules").read_text()


# ---------------------------------------------------------------- what is listed


def test_the_conffile_is_right_and_reaches_nobody():
    done = CliRunner().invoke(main, ["check", str(DEBIAN / "fastsip.toml")])
    assert done.exit_code == 0, done.output
    config = load(DEBIAN / "fastsip.toml", make_secret=False)
    assert [listener.uri for listener in config.listeners] == ["udp:127.0.0.1:5060"]
    assert config.sets == () and [rule.to for rule in config.rules] == [""]


def test_files_that_the_packages_name_are_there():
    made = {"fastsip.1", "fastsip.toml.5"}
    for name in ("docs", "examples", "manpages"):
        for line in (DEBIAN / f"fastsip.{name}").read_text().split():
            assert (ROOT / line).exists() or line.removeprefix("debian/made/") in made, line
    for line in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.M):
        assert (ROOT / line).exists(), line
    for line in re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M):
        assert (ROOT / line).exists(), line
    for line in re.findall(r"^(?:graft|include) (.*)$", (ROOT / "MANIFEST.in").read_text(), re.M):
        assert all((ROOT / name).exists() for name in line.split()), line
    told = DOCKERFILE + (DEBIAN / "rules").read_text() + (ROOT / "Makefile").read_text()
    for name in re.findall(r"packages/([\w.-]+)", told):
        assert (PACKAGES / name).exists(), name


def test_the_wheel_has_what_is_run_and_not_what_is_compiled():
    shipped = PROJECT["tool"]["setuptools"]
    assert shipped["include-package-data"] is False
    assert not any(name.startswith(("tests", "bench")) for name in shipped["packages"])
    patterns = {pattern for each in shipped["package-data"].values() for pattern in each}
    assert patterns == {"examples/*.toml", "systemd/*.service", "*/*.pyi", "templates/*", "assets/*", "vendor/*"}
    for package, patterns in shipped["package-data"].items():
        assert all(list((ROOT / package.replace(".", "/")).glob(pattern)) for pattern in patterns)


def test_the_image_runs_as_nobody_who_could_harm():
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 5060:5060$", last, re.M) and "--uid 5060" in last
    assert re.search(r"^STOPSIGNAL SIGTERM$", last, re.M) and 'CMD ["fastsip", "status", "/etc' in last
    assert "setcap" not in last and "gcc" not in last and re.search(r"^VOLUME /var/lib/fastsip$", last, re.M)
    assert not re.search(r"^(ARG|ENV) .*(PASSWORD|TOKEN|SECRET|KEY)", DOCKERFILE, re.M)


@pytest.mark.parametrize("name", ["common.sh", "tree", "wheel", "deb", "deb-trial", "image", "debian/fastsip.prerm",
                                  "debian/fastsip.postinst", "debian/fastsip.postrm"])  # fmt: skip
def test_scripts_of_the_packages_can_be_read(name):
    path = PACKAGES / name
    shell = "sh" if path.parent == DEBIAN else "bash"
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_package_restarts_no_router():
    """It goes on in the same process (docs/core.md#upgrade), or as it was."""
    text = (DEBIAN / "fastsip.postinst").read_text()
    done = [line.strip() for line in text.splitlines() if "echo" not in line and not line.startswith("#")]
    assert any("fastsip upgrade /etc/fastsip/fastsip.toml" in line for line in done)
    assert not any(re.search(r"\b(restart|stop)\b", line) for line in done)
    assert "dh_installsystemd --no-enable --no-start --no-stop-on-upgrade" in (DEBIAN / "rules").read_text()


def test_the_call_of_the_trials_goes_through_a_real_router(tmp_path):
    """The one that each trial ends with, here against a router of the demonstration's."""
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom fastsip.ua.demo import RouterChild, write_config\n"
        "sys.path.insert(0, sys.argv[1])\nimport call\n"
        "async def both():\n    config, address = write_config(Path(sys.argv[2]))\n    router = RouterChild(config)\n"
        "    try:\n        await router.start()\n        await call.main(*address)\n"
        "    finally:\n        await router.stop()\n"
        "asyncio.run(both())\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(PACKAGES), str(tmp_path)], cwd=ROOT, capture_output=True,
                          text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
