"""The listener for metrics in one process.

Scrapes are requests like any other, with limits of their own, and are counted nowhere: what clients
ask for and what a Prometheus server asks for stay apart.
"""

from collections.abc import Callable
from typing import Final

from ajp._wheel import Wheel
from ajpd._front import Front
from ajpd._service import Service
from ajpd.config.model import Config, Mount
from ajpd.ledger import Ledger
from ajpd.status.collect import collect

from .page import MetricsPage
from .samples import Scrape
from .usage import usages

__all__ = ["MetricsServer"]

_PAGE: Final = "metrics"
_RULE: Final = Mount(pattern=b"/*", worker=_PAGE)
#: Scrapers at a time, and seconds they have.
_MOST_SCRAPERS: Final = 64
_HEADER_S: Final = 10.0
_SEND_S: Final = 10.0
#: Longer than most wait between two scrapes: their connection stays.
_KEEPALIVE_S: Final = 150.0


class MetricsServer:
    """Answers scrapes.

    Args:
        config: of the daemon.
        ledger: where everything is counted.
        wheel: where deadlines hang.
        master: process id of the one that watches over this one; None: there is none.
    """

    def __init__(
        self, config: Config, ledger: Ledger, wheel: Wheel, *, master: int | None = None
    ) -> None:
        self._config = config
        self._memory = ledger.memory
        self._master = master
        page = MetricsPage(config.metrics, self.look)
        self.service = Service(
            wheel,
            lambda path: _RULE,
            {_PAGE: page},
            header_timeout=_HEADER_S,
            keepalive_timeout=_KEEPALIVE_S,
            body_timeout=_HEADER_S,
            send_timeout=_SEND_S,
            max_header_bytes=16384,
            max_body_bytes=65536,
            max_connections=_MOST_SCRAPERS,
        )

    def look(self) -> Scrape:
        """All that there is to say at this moment."""
        report = collect(self._memory, self._config)
        found = usages(self._master, (process.pid for process in report.processes))
        return Scrape(report=report, usages=found)

    def front(self) -> Front:
        """The protocol of one connection."""
        return Front(self.service)

    def drain(self) -> None:
        """Answer those who are being answered, and nobody else."""
        self.service.draining = True
        self._each(lambda front: front.drain(fresh_too=True))

    def abort(self) -> None:
        """Cut off every scraper."""
        self._each(Front.abort)

    def _each(self, act: Callable[[Front], None]) -> None:
        for client in [*self.service.clients]:
            if isinstance(client, Front):
                act(client)
