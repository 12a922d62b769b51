"""The URI maps of one process, looked at now and then: new rules without a restart.

Files are looked at and read in a thread, never by the loop that serves. What is found is handed on
as a whole: requests go by the old rules or by the new ones.

Source: mod_jk's JkMountFileReload, which looks while it maps a request. Differs on purpose: of a
file with an error no rule is used, and the rules before stay; mod_jk is left with none, or stale
ones.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from .config.errors import ConfigErrors
from .config.load import reread_maps
from .config.model import Config

__all__ = ["MapWatch"]

logger = logging.getLogger("ajpd.process")

#: When, how large and which file it is; None when it is not there.
Seen = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class _Found:
    """What a look at changed files brought; neither of both when they are still being written."""

    config: Config | None = None
    broken: ConfigErrors | None = None


class MapWatch:
    """Looks at the files with rules of one process.

    Args:
        config: in use.
        loop: that serves.
        use: gets the configuration with new rules, on the loop.
    """

    def __init__(
        self, config: Config, loop: asyncio.AbstractEventLoop, use: Callable[[Config], None]
    ) -> None:
        self._config = config
        self._loop = loop
        self._use = use
        found = [config.maps.file, *(host.file for host in config.hosts)]
        self.files = tuple(dict.fromkeys(file for file in found if file))
        # Nothing is seen yet: the first look finds what changed before this process was there.
        self._seen: tuple[Seen, ...] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.Future[_Found | None] | None = None

    def start(self) -> None:
        """Look from now on, if there is anything to look at."""
        if not self.files or not self._config.maps.reload_ms:
            return
        hidden = [file for file in self.files if not os.access(file, os.R_OK)]
        if hidden:
            # They were read as root.
            logger.warning(
                "%s cannot be read by this user: changes count after ajpd reload",
                ", ".join(hidden),
            )
            return
        self._later()

    def close(self) -> None:
        """Look no more; what a look under way finds is dropped."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._look is not None:
            self._look.cancel()

    def _later(self) -> None:
        self._timer = self._loop.call_later(self._config.maps.reload_ms / 1000, self._begin)

    def _begin(self) -> None:
        self._look = self._loop.run_in_executor(None, self.look)
        self._look.add_done_callback(self._end)

    def _end(self, look: "asyncio.Future[_Found | None]") -> None:
        self._look = None
        if look.cancelled():
            return
        error = look.exception()
        if error is not None:
            logger.error("a look at the URI maps failed", exc_info=error)
        else:
            self.take(look.result())
        self._later()

    def look(self) -> _Found | None:
        """Read the files if they are others than before; may be called in any thread.

        Returns:
            what they say, or None when there is nothing new.
        """
        seen = self._look_at_files()
        if seen == self._seen:
            return None
        try:
            found = _Found(config=reread_maps(self._config))
        except ConfigErrors as broken:
            found = _Found(broken=broken)
        if self._look_at_files() != seen:
            # Somebody is writing: the next look sees the end of it.
            return None
        self._seen = seen
        return found

    def take(self, found: _Found | None) -> None:
        """Use what a look has found, and say so; once for each change."""
        if found is None:
            return
        if found.broken is not None:
            for error in found.broken.errors:
                logger.error("%s", error)
            logger.error("the URI maps have errors; the rules read before stay in use")
            return
        config = found.config
        if config is None or (config.rules, config.hosts) == (
            self._config.rules,
            self._config.hosts,
        ):
            return
        self._config = config
        self._use(config)
        for warning in config.warnings:
            logger.warning("%s", warning)
        count = len(config.rules) + sum(len(host.rules) for host in config.hosts)
        logger.info("URI maps read: %s; %d rules", ", ".join(self.files), count)

    def _look_at_files(self) -> tuple[Seen, ...]:
        return tuple(map(_seen, self.files))


def _seen(file: str) -> Seen:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
