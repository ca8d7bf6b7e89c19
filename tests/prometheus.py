"""A real Prometheus for tests: its checks of texts and rules, and a server that scrapes one address.

It listens on 127.0.0.1, keeps its data in a directory that goes with it, and ends with the process that started it.
"""

import json
import shutil
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.engines.server import free_tcp_port

LIMIT_S = 30
CONFIG = """
global:
  scrape_interval: 200ms
  scrape_timeout: 200ms
  evaluation_interval: 200ms
rule_files: {rules}
scrape_configs:
  - job_name: fastsip
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def program(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.fail(f"{name} is missing: install Debian's prometheus", pytrace=False)
    return found


def promtool(*words: object, text: str = "") -> subprocess.CompletedProcess[str]:
    """Its end, with `text` on its standard input."""
    return subprocess.run([program("promtool"), *map(str, words)], input=text, capture_output=True, text=True,
                          timeout=LIMIT_S)  # fmt: skip


def check(*words: object, text: str = "") -> subprocess.CompletedProcess[str]:
    return promtool("check", *words, text=text)


class Page:
    """What `text` gives at each request, over HTTP, as long as the `with` lasts.  An error of it is a 500, and kept."""

    def __init__(self, content_type: str, text: Callable[[], str]):
        page = self
        self.errors: list[Exception] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                try:
                    body = text().encode()
                except Exception as error:
                    page.errors.append(error)
                    self.send_error(500)
                    return
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass    # stderr is the tests'

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> "Page":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(LIMIT_S)


class Prometheus:
    """Scrapes 127.0.0.1:`scraped` five times a second, as long as the `with` lasts."""

    def __init__(self, home: Path, scraped: int, rules: Path | None = None):
        self._home = home
        self._port = free_tcp_port()
        home.mkdir()
        named = json.dumps([str(rules)] if rules else [])
        (home / "prometheus.yml").write_text(CONFIG.format(port=scraped, rules=named))

    def __enter__(self) -> "Prometheus":
        command = [program("prometheus"), f"--config.file={self._home}/prometheus.yml",
                   f"--storage.tsdb.path={self._home}/data", f"--web.listen-address=127.0.0.1:{self._port}"]
        with (self._home / "log").open("wb") as log:
            self._process = subprocess.Popen(["setpriv", "--pdeathsig=KILL", *command], stdin=subprocess.DEVNULL,
                                             stdout=log, stderr=log)  # fmt: skip
        try:
            wait_until(self._ready, LIMIT_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(LIMIT_S)

    def _ready(self) -> bool:
        assert self._process.poll() is None, (self._home / "log").read_text()[-2000:]
        try:
            return self._get("-/ready") is not None
        except (urllib.error.URLError, ConnectionError):
            return False

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{path}", timeout=LIMIT_S) as answer:
            return answer.read()

    def ask(self, path: str, **pairs: str) -> dict | list:
        """`data` of its HTTP API's answer."""
        answer = json.loads(self._get(f"api/v1/{path}?{urllib.parse.urlencode(pairs)}"))
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series that it gives now."""
        return [(one["metric"], float(one["value"][1])) for one in self.ask("query", query=expression)["result"]]

    def number(self, expression: str) -> float | None:
        """Of the only series; None: there is none."""
        found = self.query(expression)
        assert len(found) < 2, found
        return found[0][1] if found else None
