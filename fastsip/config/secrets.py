"""The secret that signs tokens and branches: read from where the config says, or made once; and what calls
are placed by, which is made of it once and stays when it changes.

A secret is text; what the router works with is a 16-byte key derived from it by BLAKE2b (RFC 7693).
The text itself never leaves this file and is never shown in a message.
"""

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from fastsip._core.base.files import look_at, make_folder, open_file, read_file
from fastsip.config.errors import Wrong

KEY_BYTES = 16
_PERSON = b"fastsip-secret"
_MIN_CHARS = 16

_HEAD = """\
# The secret of this fastsip cluster: it signs the branches and Record-Route tokens of running calls.
# All nodes must share this file, and it must be backed up: without it, requests inside running calls are
# no longer recognised.  Keep it readable by the router alone.
"""


_PLACEMENT_HEAD = """\
# What this fastsip cluster hashes to place calls, made of its first secret.  It signs nothing.  It stays as it is
# while the secret changes, or every call would go to another destination than before: all nodes must share it.
"""


def purpose_key(secret: bytes, purpose: str) -> bytes:
    """16 bytes for one purpose, the same on each node that has the secret."""
    return hashlib.blake2b(purpose.encode(), key=secret, digest_size=KEY_BYTES).digest()


def derive_key(text: str) -> bytes:
    """The 16-byte key of a secret text."""
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES, person=_PERSON).digest()


def token_digest(secret: bytes) -> bytes:
    """What is kept of a token whose derived key this is; of the router's secret in the same file another thing is."""
    return purpose_key(secret, "token")


def digest_of_token(text: str) -> bytes:
    """The same of what somebody brings."""
    return token_digest(derive_key(text))


def _secret_text(text: str, origin: str) -> str:
    """The secret in a file or variable: comment lines and blanks around it do not count."""
    lines = [line.strip() for line in text.splitlines()]
    kept = "\n".join(line for line in lines if line and not line.startswith("#"))
    if len(kept) < _MIN_CHARS:
        raise Wrong(f"{origin} holds fewer than {_MIN_CHARS} characters of secret")
    return kept


def _read_file(path: Path, read: Callable[[Path], bytes]) -> bytes:
    try:
        return derive_key(_secret_text(read(path).decode(), str(path)))
    except OSError as error:
        raise Wrong(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Wrong(f"{path} is not text") from None


def read_secret(raw: object, base: Path) -> bytes:
    """The key of "file:PATH" (relative to the config file) or "env:NAME"."""
    origin, _, place = raw.partition(":") if isinstance(raw, str) else ("", "", "")
    if origin == "file" and place:
        return _read_file(base / Path(place).expanduser(), _given)
    if origin == "env" and place:
        if place not in os.environ:
            raise Wrong(f"the environment has no variable {place}")
        return derive_key(_secret_text(os.environ[place], f"the variable {place}"))
    raise Wrong('allowed: "file:PATH" or "env:NAME"; during rotation a list of two, the first signs')


def shared_secret(base: Path) -> Callable[[object], str]:
    """Makes a reader of a secret that another program has, too, as it stands in "file:PATH" or "env:NAME"."""

    def read(raw: object) -> str:
        if not isinstance(raw, str) or not raw.startswith(("file:", "env:")):
            raise Wrong('allowed: "file:PATH" or "env:NAME"')
        return _secret_text(text_or_secret(base)(raw), "it")

    return read


def text_or_secret(base: Path) -> Callable[[object], str]:
    """Makes a reader of a text as it stands, or as "file:PATH" or "env:NAME" have it."""

    def read(raw: object) -> str:
        if not isinstance(raw, str) or not raw:
            raise Wrong("allowed: a text that is not empty")
        origin, _, place = raw.partition(":")
        try:
            if origin == "file":
                return _given(base / Path(place).expanduser()).decode().strip()
            return os.environ[place] if origin == "env" else raw
        except KeyError:
            raise Wrong(f"the environment has no variable {place}") from None
        except OSError as error:
            raise Wrong(f"{place} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Wrong(f"{place} is no text in UTF-8") from None

    return read


def read_or_make(path: Path, make: bool) -> tuple[bytes, ...]:
    """The key in the router's own key file; made when absent and `make` is set, else () when absent.

    The file appears whole or not at all and only the first of two processes makes it.
    """
    if not os.path.lexists(path):
        if not make:
            return ()
        _make_file(path, _HEAD + secrets.token_hex(32))
    return (_read_file(path, read_file if make else look_at),)


def placement_key(path: Path, secret: bytes, read: Callable[[Path], bytes]) -> bytes:
    """What calls are placed by (docs/wire.md#placement-key): as the file says, else made of the secret."""
    try:
        text = read(path).decode("ascii", errors="replace")
    except FileNotFoundError:
        return purpose_key(secret, "placement")
    except OSError as error:
        raise Wrong(f"{path} cannot be read: {error.strerror}") from None
    words = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        (key,) = map(bytes.fromhex, words)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise Wrong(f"{path} is damaged: {2 * KEY_BYTES} hexadecimal digits, as of other nodes; or remove it")
    return key


def pin_placement(path: Path, key: bytes) -> None:
    """From the first start on the file says it, whatever becomes of the secret.  Wrong when it cannot be made."""
    if not os.path.lexists(path):
        _make_file(path, _PLACEMENT_HEAD + key.hex())


def _given(path: Path) -> bytes:
    """A file that the operator names may be reached by links, as secrets in containers are; not all may write it."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise Wrong(f"{path} is not a plain file")
        if found.st_mode & stat.S_IWOTH:
            raise Wrong(f"{path}: everybody may write it; run: chmod o-w {path}")
        return file.read()


def _make_file(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        make_folder(path.parent)
        descriptor = open_file(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first: its file counts
            os.link(draft, path)
    except OSError as error:
        raise Wrong(f"the key file {path} cannot be made: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
