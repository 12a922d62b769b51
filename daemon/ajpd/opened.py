"""What must be open before a configuration can be served: its log, its pid file, its listeners.

Two configurations may have parts of it in common, while one of them follows the other.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ajp.errors import StatusTableError
from ajp.table import Table

from .config.model import Config
from .control import ControlError, PidFile
from .ledger import default_table, describe, open_table
from .listeners import ListenError, Listeners
from .log import AccessFile, open_log, use_access, use_log

__all__ = ["Opened", "Refused", "open_all"]

#: Seconds in which a port may still be in use by processes whose master was killed a moment ago.
BIND_PATIENCE_S: Final = 1.0
_LOOK_S: Final = 0.02


class Refused(Exception):  # noqa: N818 - it is the configuration that is
    """A configuration cannot be used.

    Attributes:
        lines: why.
        warnings: what else was found.
    """

    def __init__(self, *lines: str, warnings: Sequence[str] = ()) -> None:
        super().__init__(*lines)
        self.lines = lines
        self.warnings = warnings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """All that is open for one configuration."""

    config: Config
    log: logging.Handler
    access: AccessFile | None
    listeners: Listeners
    pid_file: PidFile | None
    table: Table

    def use_log(self) -> None:
        """Write there from now on."""
        use_log(self.log, self.config.log.level)
        use_access(self.access)

    def close_except(self, other: "Opened | None") -> None:
        """Close what another configuration, if there is one, does not have."""
        self.listeners.close_except(Listeners() if other is None else other.listeners)
        if self.pid_file is not None and (other is None or other.pid_file is not self.pid_file):
            self.pid_file.remove()
        self._close_logs()

    def close_in_child(self, kept: "Opened") -> None:
        """In a process of a configuration: close what is the master's, or another one's."""
        self.listeners.close_sockets(kept.listeners.sockets)
        if self.pid_file is not None:
            self.pid_file.close_in_child()
        if self is not kept:
            self._close_logs()

    def _close_logs(self) -> None:
        self.log.close()
        if self.access is not None:
            self.access.close()


def open_all(
    config: Config,
    before: Opened | None,
    named: Mapping[str, Sequence[int]],
    files: Sequence[str],
) -> Opened:
    """Open what a configuration needs; nothing new listens yet.

    Args:
        config: checked.
        before: of the configuration that this one follows.
        named: descriptors that systemd handed over, by name.
        files: paths that the configuration is known by.

    Raises:
        Refused: something cannot be opened; all is as it was.
    """
    try:
        log = open_log(config.log.file)
    except OSError as exc:
        raise Refused(f"log.file: {exc}") from exc
    try:
        access = AccessFile(config.log.access) if config.log.access else None
    except OSError as exc:
        log.close()
        raise Refused(f"log.access: {exc}") from exc
    pid_file = None
    try:
        pid_file = _take_pid_file(config.server.pid_file, before)
        table = _table(config, before, files)
        listeners = _bind(config, before, named)
    except Refused:
        log.close()
        if access is not None:
            access.close()
        if pid_file is not None and (before is None or before.pid_file is not pid_file):
            pid_file.remove()
        raise
    return Opened(
        config=config, log=log, access=access, listeners=listeners, pid_file=pid_file, table=table
    )


def _take_pid_file(path: str, before: Opened | None) -> PidFile | None:
    if not path:
        return None
    if before is not None and before.pid_file is not None and before.pid_file.path == path:
        return before.pid_file
    try:
        return PidFile.take(path)
    except ControlError as exc:
        raise Refused(str(exc)) from exc
    except OSError as exc:
        raise Refused(f"pid_file: {exc}") from exc


def _table(config: Config, before: Opened | None, files: Sequence[str]) -> Table:
    """The status table; a reload goes on with the one there is."""
    if before is not None:
        return before.table
    path = Path(config.table.file)
    try:
        if not config.table.file:
            path = default_table(files, user=config.server.user)
        return open_table(config, path)
    except StatusTableError as exc:
        raise Refused(describe(exc, path)) from exc
    except (OSError, KeyError) as exc:
        raise Refused(f"table: {exc}") from exc


def _bind(config: Config, before: Opened | None, named: Mapping[str, Sequence[int]]) -> Listeners:
    """Bind what is new; at the start the processes of a dead master may still be leaving."""
    old = Listeners(_named=named) if before is None else before.listeners
    tls = () if config.tls is None else config.tls.listen
    end = time.monotonic() + (BIND_PATIENCE_S if before is None else 0.0)
    while True:
        try:
            return old.next(
                config.server.listen, tls, config.metrics.listen, lanes=config.server.processes
            )
        except ListenError as exc:
            if not exc.in_use or time.monotonic() > end:
                raise Refused(str(exc)) from exc
            time.sleep(_LOOK_S)
