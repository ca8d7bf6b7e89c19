"""HTML out of templates that escape whatever they are given, and the files that a browser loads beside it.

What others wrote never becomes HTML: no template says `safe`, and no script or style stands in the HTML itself.
"""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup, escape

from fastsip.base.plain import printable
from fastsip.desk.http.page.timeline import clock, zone

HERE = Path(__file__).parent
HTML = "text/html; charset=utf-8"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
FOLDERS = ("assets", "vendor")

# Nothing from elsewhere, nothing that stands in the HTML, no frame around it.
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
          "form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it is sent, also packed; version: of its content, for its name."""

    content: bytes
    packed: bytes
    content_type: str
    version: str


def read_assets() -> dict[str, Asset]:
    found = {}
    for folder in FOLDERS:
        for path in sorted((HERE / folder).iterdir()):
            if path.suffix in TYPES:
                content = path.read_bytes()
                found[path.name] = Asset(content=content, packed=gzip.compress(content, 9, mtime=0),
                                         content_type=TYPES[path.suffix],
                                         version=hashlib.sha256(content).hexdigest()[:12])  # fmt: skip
    return found


class Renderer:
    """Templates and assets, read once."""

    def __init__(self) -> None:
        self.assets = read_assets()
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
            trim_blocks=True, lstrip_blocks=True, auto_reload=False, finalize=shown,
        )  # fmt: skip
        self._templates.filters.update(clock=clock, exact=escape, key=key, number=number, milliseconds=milliseconds)
        self._templates.globals.update(asset=self.place_of, zone=zone)

    def place_of(self, name: str) -> str:
        """A path that another content does not have, so that a browser may keep it."""
        return f"/page/assets/{name}?v={self.assets[name].version}"

    def html(self, template: str, **values: Any) -> Markup:
        """As a value of another template it stays what it is."""
        return Markup(self._templates.get_template(template).render(**values))


def shown(value: Any) -> Any:
    """Of a text what is not printable is escaped, too, as marks that turn a line round; but for `exact`, in what a form
    sends back."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def key(text: str) -> str:
    """For the id of an element: the same for the same text, so that who has the focus keeps it."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def number(value: float | int | None) -> str:
    if value is None:
        return "\u2013"
    return f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:,.1f}"


def milliseconds(value: float | None) -> str:
    if value is None:
        return "\u2013"
    return f"{value / 1000:,.1f} s" if value >= 1000 else f"{value:,.0f} ms"
