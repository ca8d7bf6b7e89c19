"""`fastsip unit`: for which files there is a unit, how their names stand in it, and what the service would not see."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastsip.cli import main
from fastsip.cli.unit import quoted, unseen

ROOT = Path(__file__).parents[2]


def invoke(*words):
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize("path", ["/nowhere/c.toml", "", "/tmp", "/etc/fastsip\n.toml"])
def test_a_unit_for_what_is_no_file_is_refused(path):
    done = invoke("unit", path)
    assert (done.exit_code, done.stdout) == (2, "")


def test_a_unit_for_a_name_with_a_line_end_is_refused(tmp_path):
    path = tmp_path / "a\nExecStartPre=evil"
    path.touch()
    done = invoke("unit", str(path))
    assert (done.exit_code, done.stdout) == (2, "") and "cannot stand in a unit file" in done.stderr


@pytest.mark.parametrize("path, word", [
    ("/etc/fastsip/fastsip.toml", "/etc/fastsip/fastsip.toml"),
    ("/a b/%x.toml", '"/a b/%%x.toml"'),
    ('/a"b\\c\'d', '"/a\\"b\\\\c\'d"'),
    ("/x;y", '"/x;y"'),
    ("/\u00e4", '"/\u00e4"'),
])  # fmt: skip
def test_paths_are_words_of_a_unit(path, word):
    assert quoted(Path(path)) == word


def test_systemd_takes_the_path_as_it_is(tmp_path):
    folder = tmp_path / "a b %x $HOME @CONFIG@ 'q' \"r\""
    folder.mkdir()
    (folder / "%i.toml").touch()
    (line,) = re.findall(r"^ExecStart=(.*)$", invoke("unit", str(folder / "%i.toml")).stdout, re.M)
    written = line.partition(" run ")[2]
    assert written.startswith('"') and written.endswith('"')
    word = re.sub(r"\\(.)", r"\1", written[1:-1]).replace("%%", "%").replace("$$", "$")
    assert word == str(folder / "%i.toml") and not re.search(r"(?<!%)%(?!%)", written.replace("%%", ""))


def test_what_the_service_cannot_see_is_a_warning(tmp_path):
    """By its name or by what a link leads to; in the words of the unit."""
    link = tmp_path / "fastsip"
    link.symlink_to("/home/me/fastsip")
    unit = (ROOT / "fastsip" / "systemd" / "fastsip.service").read_text()
    cases = [(Path("/tmp/c.toml"), "PrivateTmp", "/tmp"), (Path("/root/.venv/x"), "ProtectHome", "/root"),
             (link, "ProtectHome", "/home")]  # fmt: skip
    for path, line, folder in cases:
        assert f"\n{line}=yes\n" in unit
        assert any(f" is inside {folder}, which {line}=yes" in warning for warning in unseen(path))
    assert unseen(Path("/opt/fastsip"), Path("/etc/fastsip/fastsip.toml"), Path("/homes/x")) == []
