"""[[webhook]]: what is read of it, what is refused, and that nothing is shown that may be secret."""

import importlib.util

import pytest

from fastsip.config import ConfigError, load_text
from fastsip.config.language import MAX_WEBHOOK_HEADERS, MAX_WEBHOOK_TEXT, MAX_WEBHOOKS
from fastsip.config.webhooks import is_url, shown_place
from fastsip.router.outlook import outlook
from tests.unit.config_text import SMALL, only_problem, read

HOOK = '[[webhook]]\nurl = "https://u:s3cret@h.example.net/s3cret"\n'


def hooks(text: str):
    return read(SMALL + text).webhooks


def test_what_is_not_said_has_a_default():
    (one,) = hooks(HOOK)
    assert (one.name, one.events, one.secret, one.timeout_ms, one.headers) == ("webhook-1", ("*",), "", 10_000, ())
    assert hooks("") == ()


def test_secrets_stand_in_files_and_variables(tmp_path, monkeypatch):
    (tmp_path / "url").write_text("http://127.0.0.1:8/x\n")
    (tmp_path / "key").write_text("# of both of us\n\nsixteen letters or more\n")
    monkeypatch.setenv("OPS_TOKEN", "Bearer x")
    text = ('[[webhook]]\nurl = "file:url"\nsecret = "file:key"\nevents = "destination.*"\ntimeout = "100ms"\n'
            'headers = { Authorization = "env:OPS_TOKEN", X-Plain = "y" }\n')
    (one,) = load_text(SMALL + text, str(tmp_path / "c.toml"), make_secret=False).webhooks
    assert (one.url, one.secret, one.events) == ("http://127.0.0.1:8/x", "sixteen letters or more", ("destination.*",))
    assert one.headers == (("Authorization", "Bearer x"), ("X-Plain", "y")) and one.timeout_ms == 100
    assert "sixteen" not in repr(one) and "127" not in repr(one)


PROBLEMS = {
    "no url": ("[[webhook]]\n", "webhook[1]", "`url` is missing"),
    "a table": ('[webhook]\nurl = "http://h/"\n', "webhook", "did you mean [[webhook]]?"),
    "an unknown key": (HOOK + 'event = "*"\n', "webhook[1].event", 'did you mean "events"?'),
    "an event that is none": (HOOK + 'events = ["destination.dwn"]\n', "webhook[1].events[1]",
                              'did you mean "destination.down"?'),
    "no events": (HOOK + "events = []\n", "webhook[1].events", "an empty list"),
    "too short a time": (HOOK + 'timeout = "99ms"\n', "webhook[1].timeout", "100ms"),
    "too long a time": (HOOK + 'timeout = "61s"\n', "webhook[1].timeout", 'to "1m"'),
    "a name twice": (HOOK + 'name = "a"\n' + HOOK + 'name = "a"\n', "webhook[2].name", "another webhook has it"),
    "a name that is another's default": (HOOK + 'name = "webhook-2"\n' + HOOK, "webhook[2].name", "another webhook"),
    "headers that are none": (HOOK + 'headers = "x"\n', "webhook[1].headers", "allowed: a table"),
    "a header of ours": (HOOK + 'headers = { fastsip-x = "x" }\n', "webhook[1].headers.fastsip-x", "other than"),
    "a length": (HOOK + 'headers = { Content-Length = "1" }\n', "webhook[1].headers.Content-Length", "other than"),
    "no name of a header": (HOOK + 'headers = { "a b" = "x" }\n', 'webhook[1].headers."a b"', "a SIP token"),
    "two who say who it is": (HOOK + 'headers = { authorization = "x" }\n', "webhook[1].headers", "name and password"),
}  # fmt: skip


@pytest.mark.parametrize("case", PROBLEMS)
def test_one_problem(case):
    text, key, words = PROBLEMS[case]
    found = only_problem(SMALL + text)
    assert found.key == key and words in str(found) and "s3cret" not in str(found)


SECRETS = [
    'url = "ftp://u:s3cret@h/"', 'url = "https://u:s3cret@/"', 'url = "s3cret"', 'url = "http://h/#s3cret"',
    'url = "http://[s3cret/"', 'url = "http://h:99999/s3cret"', 'url = "http://h/s3cret x"', 'url = "http://h/s3crété"',
    'url = "http://h/s3cret' + "x" * MAX_WEBHOOK_TEXT + '"',
]  # fmt: skip


@pytest.mark.parametrize("line", SECRETS)
def test_a_url_that_is_wrong_is_not_shown(line):
    found = only_problem(f"{SMALL}[[webhook]]\n{line}\n")
    assert found.key == "webhook[1].url" and "allowed:" in found.allowed and "s3cret" not in str(found)


@pytest.mark.parametrize("line", ['secret = "s3cret that stands here"', 'headers = { X-A = "s3cret\\nX-B: 1" }',
                                  'headers = { X-A = "s3crété" }'])  # fmt: skip
def test_nor_is_another_secret(line):
    assert "s3cret" not in str(only_problem(f"{SMALL}{HOOK}{line}\n"))


@pytest.mark.parametrize("value, words", [("file:nowhere", "cannot be read"), ("env:FASTSIP_NOT_SET", "no variable"),
                                          ("env:FASTSIP_SHORT", "fewer than 16")])  # fmt: skip
def test_a_secret_that_is_not_there(value, words, monkeypatch):
    monkeypatch.setenv("FASTSIP_SHORT", "fifteen letters")
    found = only_problem(f'{SMALL}{HOOK}secret = "{value}"\n')
    assert words in found.allowed and value in found.found


@pytest.mark.parametrize("more", [0, 1])
def test_bounds(more):
    text = SMALL + HOOK * (MAX_WEBHOOKS + more)
    assert (only_problem(text).key == "webhook") if more else len(read(text).webhooks) == MAX_WEBHOOKS
    long = "x" * MAX_WEBHOOK_TEXT
    names = ", ".join(f'X-{number} = "{long}"' for number in range(MAX_WEBHOOK_HEADERS + more))
    text = f"{SMALL}{HOOK}headers = {{ {names} }}\n"
    assert (only_problem(text).found == "17 headers") if more else len(read(text).webhooks[0].headers) == 16
    assert is_url("http://h/" + "x" * (MAX_WEBHOOK_TEXT - 9 + more)) == (not more)
    text = SMALL + HOOK + 'headers = { X-A = "' + long + "y" * more + '" }\n'
    assert (f"1 to {MAX_WEBHOOK_TEXT} letters" in only_problem(text).allowed) if more else read(text)


@pytest.mark.parametrize("url, shown", [
    ("https://u:s3cret@h.example.net:8443/s3cret?s3cret=1", "https://h.example.net:8443"), ("http://[::1]/", "http://[::1]"),
])  # fmt: skip
def test_of_a_url_the_place_is_shown(url, shown):
    assert shown_place(url) == shown


def test_who_has_no_http_hears_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"aiohttp is missing: pip install \"fastsip\[api\]\""):
        read(SMALL + HOOK)
    assert read(SMALL).webhooks == ()


def test_a_check_shows_where_it_leads_and_no_more():
    (shown,) = outlook(read(SMALL + HOOK + 'events = ["destination.*", "config.refused"]\n')).webhooks
    assert shown == "webhook-1: https://h.example.net, destination.*, config.refused, not signed"
