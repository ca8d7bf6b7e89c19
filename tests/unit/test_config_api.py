"""[api]: what must be there for HTTP over TCP, and what is said when it is not."""

import pytest

from fastsip.config import ConfigError, api, load_text
from fastsip.config.secrets import digest_of_token
from fastsip.router.outlook import outlook
from tests.certificates import make_certificate
from tests.unit.config_text import SMALL

TOKEN, READ = "a token of letters", "another one to look with"


@pytest.fixture
def place(tmp_path):
    (tmp_path / "token").write_text(f"# of the operators\n{TOKEN}\n")
    (tmp_path / "read").write_text(READ)
    return tmp_path


def read(place, keys: str, more: str = 'token = "file:token"\n'):
    return load_text(f"{SMALL}[api]\n{keys}\n{more}", str(place / "c.toml"), make_secret=False).api


def problem(place, keys: str, more: str = 'token = "file:token"\n') -> str:
    with pytest.raises(ConfigError) as caught:
        read(place, keys, more)
    (found,) = caught.value.problems
    return str(found)


LISTEN = 'listen = "127.0.0.1:8060"\n'


def test_without_it_nobody_is_served_over_tcp(place):
    assert load_text(SMALL, str(place / "c.toml"), make_secret=False).api is None


@pytest.mark.parametrize(("listen", "host", "port"), [
    ("127.0.0.1:8060", "127.0.0.1", 8060), ("[::1]:1", "::1", 1), ("0.0.0.0:65535", "0.0.0.0", 65535),
    ("[::]:80", "::", 80),
])  # fmt: skip
def test_where_it_listens(place, listen, host, port):
    found = read(place, f'listen = "{listen}"')
    assert (found.listen, found.host, found.port) == (listen, host, port)


@pytest.mark.parametrize("listen", ["8060", "127.0.0.1", "localhost:8060", "127.0.0.1:0", "127.0.0.1:65536", "::1:80",
                                    "[127.0.0.1]:80", "udp:127.0.0.1:80", ""])  # fmt: skip
def test_where_nobody_can_listen(place, listen):
    assert "api.listen" in problem(place, f'listen = "{listen}"')


def test_who_listens_needs_a_token(place):
    assert "`token` is missing: whoever comes over TCP needs one" in problem(place, LISTEN, "")
    assert "`listen` is missing" in problem(place, "")


def test_of_tokens_digests_are_kept(place, monkeypatch):
    monkeypatch.setenv("LOOKERS", READ)
    found = read(place, f'{LISTEN}read_token = "env:LOOKERS"')
    assert (found.token, found.read_token) == (digest_of_token(TOKEN), digest_of_token(READ))
    assert TOKEN not in repr(found) and repr(found.token) not in repr(found)


def test_the_router_s_secret_in_the_same_file_is_another_thing(place):
    text = f'[router]\nsecret = "file:token"\n{SMALL}[api]\n{LISTEN}token = "file:token"\n'
    config = load_text(text, str(place / "c.toml"), make_secret=False)
    assert config.api.token not in config.router.secret_keys


@pytest.mark.parametrize(("token", "said"), [
    ('"a token as it stands"', "allowed: \"file:PATH\" or \"env:NAME\""), ("5", "allowed: \"file:PATH\""),
    ('"file:nowhere"', "nowhere cannot be read"), ('"env:NO_SUCH_VARIABLE"', "no variable NO_SUCH_VARIABLE"),
    ('"file:short"', "fewer than 16 characters"),
])  # fmt: skip
def test_a_token_stands_elsewhere_and_is_long(place, token, said):
    (place / "short").write_text("x" * 15)
    assert said in problem(place, LISTEN, f"token = {token}\n")
    (place / "short").write_text("x" * 16)
    assert read(place, LISTEN, 'token = "file:short"\n')


def test_who_only_looks_has_a_token_of_his_own(place):
    assert "the same as `token`" in problem(place, f'{LISTEN}read_token = "file:token"')


@pytest.mark.parametrize("missing", ["aiohttp", "jinja2"])
def test_without_what_speaks_http_it_is_refused(place, monkeypatch, missing):
    monkeypatch.setattr(api, "find_spec", lambda name: None if name == missing else name)
    assert 'aiohttp or jinja2 is missing: pip install "fastsip[api]"' in problem(place, LISTEN)


# ---------------------------------------------------------------- TLS


def test_a_certificate_and_its_key(place):
    certificate, key = make_certificate(place)
    found = read(place, f'{LISTEN}certificate = "{certificate.name}"\nkey = "{key}"')
    assert (found.certificate, found.key) == (str(certificate), str(key))


@pytest.mark.parametrize(("keys", "said"), [
    ('certificate = "api.pem"', "`key` is missing"), ('key = "api.key"', "`certificate` is missing"),
    ('certificate = "api.pem"\nkey = "none.key"', "none.key is not there"),
    ('certificate = "api.pem"\nkey = "other.key"', "are no certificate in PEM and its key"),
    ('certificate = "locked.pem"\nkey = "locked.key"', "its key without a password"),
    ('certificate = "token"\nkey = "token"', "are no certificate in PEM and its key"),
])  # fmt: skip
def test_a_pair_that_is_none(place, keys, said):
    make_certificate(place)
    make_certificate(place, "other")
    make_certificate(place, "locked", key="locked")
    assert said in problem(place, LISTEN + keys)


@pytest.mark.parametrize(("listen", "tls", "warned"), [
    ("127.0.0.1:8060", False, False), ("[::1]:8060", False, False), ("0.0.0.0:8060", False, True),
    ("192.0.2.1:8060", False, True), ("192.0.2.1:8060", True, False),
])  # fmt: skip
def test_a_token_in_clear_is_warned_of(place, listen, tls, warned):
    certificate, key = make_certificate(place)
    pair = f'certificate = "{certificate}"\nkey = "{key}"\n' if tls else ""
    text = f'{SMALL}[api]\nlisten = "{listen}"\ntoken = "file:token"\n{pair}'
    found = outlook(load_text(text, str(place / "c.toml"), make_secret=False))
    assert any("reads the token" in words for words in found.warnings) is warned
    assert found.api == f"{'https' if tls else 'http'}://{listen}"
