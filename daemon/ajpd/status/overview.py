"""What a process's own pages can know and do: its table, its configuration, and an operator.

Each page asks here; what costs something is done once for all that ask within a moment.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from ajp._slot import Slot
from ajp._table import Memory
from ajp.journal import Journal
from ajp.table import Table
from ajpd.config.model import Config
from ajpd.ledger import journal_of

from .actions import Operator
from .collect import collect
from .report import Report

__all__ = ["Overview"]

#: Seconds for which a report is good enough for the next one who asks.
_FRESH: Final = 0.2


class Overview:
    """What one process knows of the daemon.

    Args:
        memory: the table.
        config: what this process runs.
        address_of: where a container's connections go, by its worker's name; empty: not known.
        on_change: called after a change, for it to count at once.
    """

    def __init__(
        self,
        memory: Memory,
        config: Config,
        *,
        address_of: Callable[[str], str] = lambda name: "",
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._memory = memory
        self._on_change = on_change
        self._report: Report | None = None
        self._made_at = 0.0
        #: Rules in it change while the process runs.
        self.config = config
        self.address_of = address_of

    def report(self, *, anew: bool = False) -> Report:
        """Everything, as it was a moment ago at most.

        Args:
            anew: as it is now.
        """
        now = time.monotonic()
        if self._report is None or anew or now - self._made_at > _FRESH:
            self._report = collect(self._memory, self.config)
            self._made_at = now
        return self._report

    def operator(self, who: str, tell: Callable[[str], None]) -> Operator:
        """Somebody who changes things, and writes them down where that is wanted.

        Args:
            who: is behind it.
            tell: gets a line for each thing that was done.

        Raises:
            StatusTableError: the journal or the table cannot be used.
        """
        journal = None
        if isinstance(self._memory, Table):
            journal = journal_of(self.config, self._memory)
        configure = None if journal is None else partial(_write_down, journal, who)
        return Operator(self._memory, self.config, tell=tell, configure=configure)

    def has_changed(self) -> None:
        """Somebody changed something: forget what was known, and let it count."""
        self._report = None
        self._on_change()


def _write_down(
    journal: Journal, who: str, slot: Slot, changes: Mapping[str, int | str | None]
) -> None:
    journal.configure(slot, changes, time.time(), who=who)
