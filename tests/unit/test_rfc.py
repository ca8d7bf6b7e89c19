"""The sentences of docs/rfc lead to code and to tests that are there (tests/rfc_matrix.py)."""

from pathlib import Path

import pytest

from tests import rfc_matrix

HEAD = 'rfc = 3261\ntitle = "SIP"\n'
SOUND = {
    "section": '"16.3"', "level": '"MUST"', "says": '"A request is checked"', "code": '["requests.is_refused"]',
    "tests": '["test_loops::test_the_second_time_round_is_a_loop"]',
}  # fmt: skip


def sentence(**changes: str | None) -> str:
    """A sound one with other values; None leaves a key out."""
    given = {key: value for key, value in (SOUND | changes).items() if value is not None}
    return "\n[[sentence]]\n" + "".join(f"{key} = {value}\n" for key, value in given.items())


def problems_of(folder: Path, *sentences: str, head: str = HEAD) -> list[str]:
    (folder / "3261.toml").write_text(head + "".join(sentences))
    return rfc_matrix.problems(folder)


def test_every_sentence_is_sound():
    assert rfc_matrix.problems() == []


def test_the_rfcs_are_there():
    files, _ = rfc_matrix.read_all()
    assert {file.rfc for file in files} >= {3261, 3581, 4320, 5393, 5658, 6026, 6665}
    assert sum(len(file.sentences) for file in files) > 400
    sizes = {path.name: len(path.read_text().splitlines()) for path in rfc_matrix.FOLDER.iterdir()}
    assert {name: lines for name, lines in sizes.items() if lines >= 600} == {}


def test_a_sound_one_is_no_problem(tmp_path):
    not_ours = sentence(section='"16.5"', code=None, tests=None, **{"not": '"not ours: why"'})
    assert problems_of(tmp_path, sentence(), not_ours) == []


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"tests": None}, "a MUST without a test"),
        ({"level": '"MUST NOT"', "tests": "[]"}, "a MUST without a test"),
        ({"code": None}, "neither code nor `not`"),
        ({"level": '"SHOULD"', "code": None, "tests": None}, "neither code nor `not`"),
        ({"level": '"REQUIRED"'}, "unknown level"),
        ({"level": '"must"'}, "unknown level"),
        ({"why": '"because"'}, "unknown key 'why'"),
        ({"says": None}, "says is missing"),
        ({"says": '""'}, "says is missing"),
        ({"section": "16"}, "section is 16"),
        ({"code": '"requests.is_refused"'}, "code is"),
        ({"code": "[1]"}, "code is"),
        ({"not": '"we like it better so"'}, "begins with none of"),
        ({"code": '["requests.is_refusing"]'}, "requests.is_refusing leads nowhere"),
        ({"code": '["nowhere.is_refused"]'}, "nowhere.is_refused leads nowhere"),
        ({"code": '["proxy"]'}, "proxy leads nowhere"),
        ({"tests": '["test_loops::test_nothing"]'}, "test_loops::test_nothing leads nowhere"),
        ({"tests": '["test_loops::go_round"]'}, "test_loops::go_round leads nowhere"),
        ({"tests": '["test_cancel::test_cancel_has_what_the_branch_had"]'}, "several folders"),
    ],
)
def test_what_is_said_of_others(tmp_path, changes, said):
    found = problems_of(tmp_path, sentence(**changes))
    assert len(found) == 1 and said in found[0]


def test_a_should_needs_no_test_and_a_not_no_code(tmp_path):
    optional = sentence(level='"SHOULD"', tests=None)
    left_out = sentence(section='"16.4"', code=None, tests=None, **{"not": '"not yet: streams"'})
    assert problems_of(tmp_path, optional, left_out) == []


def test_duplicates_and_names_of_files(tmp_path):
    assert [text for text in problems_of(tmp_path, sentence(), sentence()) if "twice" in text]
    assert "does not begin" in problems_of(tmp_path, sentence(), head=HEAD.replace("3261", "3262"))[0]
    assert "unknown key" in problems_of(tmp_path, sentence(), head=HEAD + "part = 16\n")[0]


def test_names_of_kernels_are_those_that_are_defined(tmp_path):
    """A declaration is no definition; what stands in an interface with a body is one."""
    path = tmp_path / "some.pyx"
    path.write_text(
        "cdef int only_said(int a) noexcept\n"
        "cdef int first(int a,\n               int (*b)(int)) noexcept nogil:  # why\n    return 1\n"
        "TABLE = {\n}\ncdef int[3] NUMBERS = [1, 2, 3]\ncdef class Some:\n    def second(self):\n        return 2\n"
    )
    assert set(rfc_matrix.cython_names(path)) == {"first", "TABLE", "NUMBERS", "Some.second"}


@pytest.mark.parametrize("rfc", ["", "3261-16", "6026"])
def test_the_matrix_is_printed(monkeypatch, capsys, rfc):
    monkeypatch.setattr("sys.argv", ["rfc_matrix", "--rfc", rfc])
    rfc_matrix.main()
    printed = capsys.readouterr().out
    assert "wrong:" not in printed
    assert "\n  16.3 item 3  MUST NOT  [tested]\n" in printed or rfc == "6026"
    assert ("(6026.toml)" in printed) == (rfc != "3261-16")


def test_a_matrix_of_nothing_is_a_mistake(monkeypatch):
    monkeypatch.setattr("sys.argv", ["rfc_matrix", "--rfc", "2543"])
    with pytest.raises(SystemExit):
        rfc_matrix.main()
