"""[otel]: where spans of calls go, and of how many calls there are any (docs/trace.md#opentelemetry).

The endpoint may have a password or a token in it, as the URL of a webhook: of one that is wrong it is said why.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from fastsip.config import values
from fastsip.config.errors import Wrong
from fastsip.config.model import Otel
from fastsip.config.reader import Section
from fastsip.config.webhooks import check_password, hidden_value, read_headers, url_reader

NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
NOT_THERE = 'opentelemetry is missing: pip install "fastsip[otel]"'
SAMPLE = 0.01
NO_PATH = 'the URL has no path; allowed: one as "http://HOST:4318/v1/traces"'


def read_otel(root: Section, base: Path, node: str) -> Otel | None:
    """None when the table is not there.  node: the router's name, which the service has by default."""
    if "otel" not in root:
        return None
    section = root.section("otel", "otel")
    if not _has_sdk():
        section.report.add(section.path, "", NOT_THERE)
    if "endpoint" not in section:
        section.report.add(section.path, "", '`endpoint` is missing: such as "http://HOST:4318/v1/traces"')
    endpoint = hidden_value(section, ("endpoint",), _endpoint(base)) if "endpoint" in section else ""
    headers = read_headers(section, base)
    check_password(section, "an `endpoint`", endpoint, headers)
    return Otel(
        endpoint=endpoint,
        sample=section.take("sample", values.share, SAMPLE),
        service=section.take("service", values.text, node),
        timeout_ms=section.take("timeout", values.duration(100, 60_000), 10_000),
        headers=headers,
    )


def _endpoint(base: Path) -> Callable[[object], str]:
    read_url = url_reader(base)

    def read(raw: object) -> str:
        url = read_url(raw)
        if urlsplit(url).path in ("", "/"):
            raise Wrong(NO_PATH)
        return url

    return read


def _has_sdk() -> bool:
    """Is there what makes spans, and what sends them?"""
    try:
        return all(importlib.util.find_spec(name) for name in NEEDED)
    except ModuleNotFoundError:     # not even what they stand in
        return False
