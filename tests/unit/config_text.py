"""Small configurations and what is said about them; shared by the tests of the configuration."""

import pytest

from fastsip.config import ConfigError, load_text

LISTEN = '[[listen]]\nuri = "udp:192.0.2.1:5060"\n'
SET = '[set.media]\ndestinations = ["sip:192.0.2.21", "sip:192.0.2.22:5070"]\n'
SMALL = LISTEN + SET


def read(text):
    return load_text(text, "test.toml", make_secret=False)


def problems(text):
    with pytest.raises(ConfigError) as caught:
        read(text)
    return caught.value.problems


def only_problem(text):
    found = problems(text)
    assert len(found) == 1, [str(one) for one in found]
    return found[0]
