"""[api]: where HTTP is spoken on TCP, and what whoever comes there has to bring.

The certificate is read here for a look only: who serves reads it again.  Of tokens nothing is kept but a digest.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fastsip.base.plain import reason
from fastsip.config import secrets, values
from fastsip.config.errors import Wrong
from fastsip.config.model import Api
from fastsip.config.reader import Section

if TYPE_CHECKING:
    from ssl import SSLContext

TOKEN_ALLOWED = 'allowed: "file:PATH" or "env:NAME", which hold at least 16 characters'
TOKEN_NEEDED = 'whoever comes over TCP needs one; for example "file:/etc/fastsip/token"'
PROGRAMS = ("aiohttp", "jinja2")
NOT_THERE = 'aiohttp or jinja2 is missing: pip install "fastsip[api]"'


def read_api(root: Section, base: Path) -> Api | None:
    """None when the table is not there: then HTTP is spoken on control.sock alone."""
    if "api" not in root:
        return None
    section = root.section("api", "api")
    if not has_http():
        section.report.add(section.path, "", NOT_THERE)

    def digest(raw: object) -> bytes:
        if not isinstance(raw, str) or not raw.startswith(("file:", "env:")):
            raise Wrong(TOKEN_ALLOWED)
        return secrets.token_digest(secrets.read_secret(raw, base))

    address = section.need("listen", values.tcp_address, None, 'for example "127.0.0.1:8060"')
    token = section.need("token", digest, b"", TOKEN_NEEDED)
    read_token = section.take("read_token", digest, b"")
    if read_token and read_token == token:
        allowed = "it is the same as `token`: whoever only looks needs one of his own"
        section.report.add((*section.path, "read_token"), "", allowed)
    certificate = section.take("certificate", lambda raw: _path(raw, base), "")
    key = section.take("key", lambda raw: _path(raw, base), "")
    _check_pair(section, certificate, key)
    if address is None:
        return None
    return Api(listen=section.raw["listen"], host=address.host, port=address.port, token=token, read_token=read_token,
               certificate=certificate, key=key)  # fmt: skip


def has_http() -> bool:
    """Is there what speaks it, and what its page is made with?"""
    return all(map(find_spec, PROGRAMS))


def _path(raw: object, base: Path) -> str:
    return str(base / Path(values.text(raw)).expanduser())


def _check_pair(section: Section, certificate: str, key: str) -> None:
    for one, other in (("certificate", "key"), ("key", "certificate")):
        if one in section and other not in section:
            section.report.add(section.path, "", f"`{other}` is missing: TLS needs both")
            return
    if certificate and key:
        try:
            tls_context(certificate, key)
        except Wrong as wrong:
            section.report.add((*section.path, "certificate"), "", wrong.allowed)


def tls_context(certificate: str, key: str) -> "SSLContext":
    """For a server: TLS 1.2 or later.  Wrong says why these two files cannot be used."""
    import ssl  # a router, which reads configurations, too, has no use for it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A key that wants a password must not ask for it on the terminal of whoever starts us.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except FileNotFoundError:
        gone = next((place for place in (certificate, key) if not Path(place).exists()), certificate)
        raise Wrong(f"{gone} is not there") from None
    except ssl.SSLError as error:
        raise Wrong(f"{certificate} and {key} are no certificate in PEM and its key without a password: "
                    f"{error.reason or 'not readable'}") from None
    except (OSError, ValueError) as error:
        raise Wrong(f"{certificate} or {key} cannot be read: {reason(error)}") from None
    return context
