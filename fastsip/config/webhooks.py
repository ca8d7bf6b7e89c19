"""The tables [[webhook]]: who is told of events over HTTP (docs/events.md#webhooks).

A URL may have a password or a token in its path, so it is never shown: of one that is wrong it is said why, and of one
that is right only where it leads.
"""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path as Folder
from typing import Any
from urllib.parse import urlsplit

from fastsip.config import values
from fastsip.config.errors import Path, Wrong, did_you_mean, shown
from fastsip.config.language import MAX_WEBHOOK_HEADERS, MAX_WEBHOOK_TEXT, MAX_WEBHOOKS
from fastsip.config.model import Webhook
from fastsip.config.reader import Section
from fastsip.config.secrets import shared_secret, text_or_secret
from fastsip.events.names import EVENTS, fits

URL_ALLOWED = 'allowed: "https://HOST/PATH" or "http://...", or "file:PATH" or "env:NAME" with that in it'
SHOWN_ORIGINS = ("file:", "env:")   # what says where a secret stands may be shown
OURS = re.compile(r"(fastsip-.*|content-.*|host|connection|transfer-encoding|expect|upgrade|te|trailer)", re.IGNORECASE)


def read_webhooks(root: Section, base: Folder) -> tuple[Webhook, ...]:
    """In the order of the file."""
    found: list[Webhook] = []
    names: set[str] = set()
    for index, section in enumerate(root.listed("webhook", "webhook")):
        one = _webhook(section, index, base)
        if one.name in names:
            root.report.add((*section.path, "name"), f'"{one.name}"',
                            "allowed: a name of its own; another webhook has it")
        names.add(one.name)
        found.append(one)
    if len(found) > MAX_WEBHOOKS:
        root.report.add(("webhook",), f"{len(found)} webhooks", f"allowed: at most {MAX_WEBHOOKS}")
    if found and importlib.util.find_spec("aiohttp") is None:
        root.report.add(("webhook",), "", 'aiohttp is missing: pip install "fastsip[api]"')
    return tuple(found)


def _webhook(section: Section, index: int, base: Folder) -> Webhook:
    if "url" not in section:
        section.report.add(section.path, "", '`url` is missing: where events are sent, such as "https://HOST/PATH"')
    url = hidden_value(section, ("url",), url_reader(base)) if "url" in section else ""
    headers = read_headers(section, base)
    check_password(section, "a `url`", url, headers)
    return Webhook(
        name=section.take("name", values.name, "") or f"webhook-{index + 1}",
        url=url,
        events=section.take_list("events", _pattern) or ("*",),
        secret=hidden_value(section, ("secret",), shared_secret(base)) if "secret" in section else "",
        timeout_ms=section.take("timeout", values.duration(100, 60_000), 10_000),
        headers=headers,
    )


def _pattern(raw: object) -> str:
    if not isinstance(raw, str) or not any(fits(event, (raw,)) for event in EVENTS):
        raise Wrong(f'allowed: "*", "destination.*" and the like, {", ".join(EVENTS)}', did_you_mean(raw, EVENTS))
    return raw


def hidden_value(section: Section, path: Path, read: Callable[[object], str]) -> str:
    """The value under a path of this table; of one that is wrong "", and nothing of it is shown that may be secret."""
    raw: Any = section.raw
    for part in path:
        raw = raw[part]
    try:
        return read(raw)
    except Wrong as wrong:
        may_show = not isinstance(raw, str) or raw.startswith(SHOWN_ORIGINS)
        section.report.add((*section.path, *path), shown(raw) if may_show else "", wrong.allowed, wrong.hint)
        return ""


def url_reader(base: Folder) -> Callable[[object], str]:
    def read(raw: object) -> str:
        url = text_or_secret(base)(raw)
        if not is_url(url):
            raise Wrong(URL_ALLOWED)
        return url

    return read


def is_url(url: str) -> bool:
    """Can somebody be reached by it over HTTP?"""
    if len(url) > MAX_WEBHOOK_TEXT or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.fragment)
    except ValueError:
        return False


def shown_place(url: str) -> str:
    """Where a URL leads, without what in it may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def read_headers(section: Section, base: Folder) -> tuple[tuple[str, str], ...]:
    raw = section.raw.get("headers", {})
    path = (*section.path, "headers")
    if not isinstance(raw, dict):
        section.report.add(path, shown(raw), 'allowed: a table, such as { Authorization = "env:NAME" }')
        return ()
    if len(raw) > MAX_WEBHOOK_HEADERS:
        section.report.add(path, f"{len(raw)} headers", f"allowed: at most {MAX_WEBHOOK_HEADERS}")
        return ()
    found = []
    for key in raw:
        name = section.read((*path, key), key, _header_name, "")
        text = hidden_value(section, ("headers", key), _header_value(base))
        if name and text:
            found.append((name, text))
    return tuple(found)


def check_password(section: Section, key: str, url: str, headers: tuple[tuple[str, str], ...]) -> None:
    """One way to say who we are.  key: that of the URL, in words."""
    if "@" in urlsplit(url).netloc and any(name.lower() == "authorization" for name, _ in headers):
        section.report.add((*section.path, "headers"), "",
                           f"Authorization stands beside {key} with name and password; allowed: one of them")


def _header_name(raw: object) -> str:
    name = values.token(raw)
    if OURS.fullmatch(name):
        raise Wrong("allowed: headers other than those that every event has (Content-..., Fastsip-..., Host, ...)")
    return name


def _header_value(base: Folder) -> Callable[[object], str]:
    def read(raw: object) -> str:
        text = text_or_secret(base)(raw)
        if not text or len(text) > MAX_WEBHOOK_TEXT or not text.isascii() or not text.isprintable():
            raise Wrong(f"allowed: 1 to {MAX_WEBHOOK_TEXT} letters of ASCII on one line")
        return text

    return read
