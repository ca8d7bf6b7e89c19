"""headers = { in, out } of listeners and sets: read, refused, shown, compiled."""

import pytest

from fastsip.config import ConfigError, load_text
from fastsip.router.outlook import outlook

TEXT = """
[router]
secret = "env:FASTSIP_TEST_SECRET"
[[listen]]
uri = "udp:127.0.0.1:5060"
tag = "public"
%s
[set.media]
destinations = ["sip:127.0.0.1:5071"]
%s
"""


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("FASTSIP_TEST_SECRET", "a secret of a test")


def read(listener="", group=""):
    return load_text(TEXT % (listener, group), "my.toml")


def test_they_are_read_and_shown():
    config = read(
        'headers = { in = { remove = ["X-Auth-*"] }, out = { set = { X-Edge = "{listener}" } } }',
        'headers = { out = { remove = "X-Inner" } }',
    )
    assert config.listeners[0].headers_in.remove == ("X-Auth-*",)
    assert config.listeners[0].headers_out.set == (("X-Edge", "{listener}"),)
    assert config.sets[0].headers_out.remove == ("X-Inner",)
    assert outlook(config).borders == (
        "listener public, in: remove X-Auth-*",
        'listener public, out: set X-Edge = "{listener}"',
        "set media, out: remove X-Inner",
    )


def test_nothing_is_said():
    config = read()
    assert not config.listeners[0].headers_in and not config.sets[0].headers_out
    assert outlook(config).borders == ()


@pytest.mark.parametrize(
    "listener, group, key",
    [
        ("headers = {}", "", "listen[1].headers"),
        ("headers = { in = {} }", "", "listen[1].headers.in"),
        ('headers = { on = { remove = "X" } }', "", "listen[1].headers.on"),
        ('headers = { in = { remove = "Via" } }', "", "listen[1].headers.in.remove"),
        ('headers = { out = { set = { Contact = "x" } } }', "", "listen[1].headers.out.set.Contact"),
        ("headers = 7", "", "listen[1].headers"),
        ("", 'headers = { in = { remove = "X-A" } }', "set.media.headers.in"),
        ("", 'headers = { out = { remove = "CSeq" } }', "set.media.headers.out.remove"),
    ],
)
def test_what_is_wrong_is_named(listener, group, key):
    with pytest.raises(ConfigError) as wrong:
        read(listener, group)
    assert [problem.key for problem in wrong.value.problems] == [key]
