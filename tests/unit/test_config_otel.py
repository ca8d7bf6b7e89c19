"""[otel]: what is read of it, what is refused, and that nothing is shown that may be secret."""

import importlib.util

import pytest

from fastsip.config import ConfigError, load_text
from fastsip.router.outlook import outlook
from tests.unit.config_text import SMALL, only_problem, read

OTEL = '[otel]\nendpoint = "http://u:s3cret@h.example.net:4318/v1/s3cret"\n'


def test_what_is_not_said_has_a_default():
    one = read(f'[router]\nname = "edge1"\n{SMALL}{OTEL}').otel
    assert (one.sample, one.service, one.timeout_ms, one.headers) == (0.01, "edge1", 10_000, ())
    assert read(SMALL).otel is None and "s3cret" not in repr(one)


def test_secrets_stand_in_files_and_variables(tmp_path, monkeypatch):
    (tmp_path / "url").write_text("https://127.0.0.1:8/x\n")
    monkeypatch.setenv("OTEL_KEY", "k")
    text = ('[otel]\nendpoint = "file:url"\nsample = 1\nservice = "sip edge"\ntimeout = "1m"\n'
            'headers = { X-K = "env:OTEL_KEY" }\n')
    one = load_text(SMALL + text, str(tmp_path / "c.toml"), make_secret=False).otel
    assert (one.endpoint, one.sample, one.service, one.timeout_ms) == ("https://127.0.0.1:8/x", 1.0, "sip edge", 60_000)
    assert one.headers == (("X-K", "k"),)


PROBLEMS = {
    "no endpoint": ("[otel]\nsample = 0.5\n", "otel", "`endpoint` is missing"),
    "an unknown key": (OTEL + "samples = 1\n", "otel.samples", 'did you mean "sample"?'),
    "more than all": (OTEL + "sample = 1.0001\n", "otel.sample", "a number from 0 to 1"),
    "less than none": (OTEL + "sample = -0.1\n", "otel.sample", "a number from 0 to 1"),
    "no number": (OTEL + "sample = nan\n", "otel.sample", "a number from 0 to 1"),
    "yes": (OTEL + "sample = true\n", "otel.sample", "a number from 0 to 1"),
    "too short a time": (OTEL + 'timeout = "99ms"\n', "otel.timeout", "100ms"),
    "too long a time": (OTEL + 'timeout = "61s"\n', "otel.timeout", 'to "1m"'),
    "no service": (OTEL + 'service = ""\n', "otel.service", "allowed"),
    "no path": ('[otel]\nendpoint = "http://u:s3cret@h:4318/"\n', "otel.endpoint", "has no path"),
    "another scheme": ('[otel]\nendpoint = "grpc://u:s3cret@h:4317/x"\n', "otel.endpoint", "allowed:"),
    "two who say who it is": (OTEL + 'headers = { authorization = "x" }\n', "otel.headers", "name and password"),
}  # fmt: skip


@pytest.mark.parametrize("case", PROBLEMS)
def test_one_problem(case):
    text, key, words = PROBLEMS[case]
    found = only_problem(SMALL + text)
    assert found.key == key and words in str(found) and "s3cret" not in str(found)


@pytest.mark.parametrize("sample", ["0", "0.0", "1", "1e-6"])
def test_any_share_is_taken(sample):
    assert read(f"{SMALL}{OTEL}sample = {sample}\n").otel.sample == float(sample)


def test_who_has_no_sdk_hears_what_to_install(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "telemetry" in name else found(name))
    with pytest.raises(ConfigError, match=r"opentelemetry is missing: pip install \"fastsip\[otel\]\""):
        read(SMALL + OTEL)
    assert read(SMALL).otel is None


def test_a_check_shows_where_it_leads_and_no_more():
    shown = outlook(read(SMALL + OTEL + 'sample = 0.25\nservice = "edge"\n')).otel
    assert shown == "http://h.example.net:4318, 0.25 of all calls, as edge" and outlook(read(SMALL)).otel == ""
