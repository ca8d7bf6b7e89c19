"""One target with its callee on a stage of free ports: what memory, growth and instructions start from.

Everything that was started is ended when the `with` ends.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import targets
from bench.processes import Process, scratch, take_ports
from bench.traffic import Answerer, Generator


@dataclass
class Stage:
    site: targets.Site
    target: Process
    answerer: Answerer
    files: Path
    load_core: int | None

    def generate(
        self, rate: float, seconds: float, name: str = "generator", **options: float | str
    ) -> Generator:
        """A load that starts now; the caller stops it."""
        return Generator(self.site.port, rate, seconds, self.files, self.load_core, name, **options)

    def stats(self) -> dict[str, int]:
        return targets.read_fastsip_stats(self.site.run_dir)


@contextmanager
def stage(
    name: str,
    *,
    pin: bool = True,
    limit_s: float = 600,
    shards: int = 1,
    prefix: tuple[str, ...] = (),
    start_s: float = 20,
    env: dict[str, str] | None = None,
) -> Iterator[Stage]:
    """The started target `name`; it and its callee are on cores 0 and 1 when pinned."""
    target_core, load_core = (0, 1) if pin else (None, None)
    with scratch() as files, ExitStack() as stack:
        port, first, second = take_ports(3)
        answerer = Answerer([first, second], files, load_core, limit_s)
        stack.callback(answerer.stop)
        site = targets.Site(
            port,
            (first, second),
            files,
            target_core,
            shards,
            limit_s,
            prefix=prefix,
            start_s=start_s,
            env=env or {},
        )
        target = targets.start_target(name, site)
        stack.callback(target.stop)
        yield Stage(site, target, answerer, files, load_core)
