"""Sections of containers → `WorkerConfig`.

This file knows what the directives of an ajp13 worker mean together; it knows no rule and no other
worker.

Source: mod_jk `jk_ajp_common.c` (ajp_init: how ping_mode fills the timeouts that say nothing).
"""

from collections.abc import Mapping
from typing import Final

from .addresses import parse_host, parse_unix_path
from .errors import Findings
from .model import WorkerConfig
from .probes import build_probe
from .sections import Section, SectionValues

__all__ = ["build_worker"]


def build_worker(
    section: Section,
    findings: Findings,
    *,
    env: Mapping[str, str],
    is_member: bool = False,
    inherited: bytes | None = None,
) -> WorkerConfig | None:
    """Turn a section into a worker.

    Args:
        section: of a container, with names and type already checked; names that nobody knows are
            passed over here.
        findings: collects errors and warnings.
        env: environment for `secret=env:NAME`.
        is_member: a balancer names this worker, so the directives of members mean something.
        inherited: secret of its balancer, for a worker that has none itself.

    Returns:
        the worker, or None when there was an error.
    """
    before = findings.count
    container = _Container(section, "ajp13", findings, is_member=is_member)
    worker = container.worker(env, inherited, is_member=is_member)
    return worker if findings.count == before else None


#: What mod_jk does with a host that is none.
_UNRESOLVABLE: Final = "mod_jk cannot resolve it and switches the worker off, and so it is here"


class _Container(SectionValues):
    """What the values of one ajp13 worker mean together."""

    def worker(
        self, env: Mapping[str, str], inherited: bytes | None, *, is_member: bool
    ) -> WorkerConfig:
        host = self._host()
        size = self.number("connection_pool_size")
        mode = self._ping_mode()
        packet_size = self._packet_size()
        return WorkerConfig(
            name=self.section.name,
            host=host,
            port=self._port(host, is_member=is_member),
            secret=self.secret(env) or inherited,
            max_packet_size=packet_size,
            connection_pool_size=size,
            connection_pool_minsize=self._pool_minsize(size),
            connection_pool_timeout_ms=self.number("connection_pool_timeout"),
            connection_acquire_timeout_ms=self.number("connection_acquire_timeout"),
            busy_limit=self.number("busy_limit"),
            socket_timeout_ms=self.number("socket_timeout"),
            socket_connect_timeout_ms=self._connect_timeout(),
            socket_keepalive=self.flag("socket_keepalive"),
            socket_buffer=self._socket_buffer(packet_size),
            source=self._source(),
            prefer_ipv6=self.flag("prefer_ipv6"),
            connect_timeout_ms=self._cping("connect_timeout", is_in_mode="C" in mode),
            prepost_timeout_ms=self._cping("prepost_timeout", is_in_mode="P" in mode),
            ping_timeout_ms=self.number("ping_timeout"),
            ping_mode=mode,
            connection_ping_interval_ms=self._ping_interval(mode),
            reply_timeout_ms=self.number("reply_timeout"),
            retries=self.number("retries"),
            retry_interval_ms=self.number("retry_interval"),
            recovery_options=self.number_or_none("recovery_options"),
            fail_on_status=self._statuses(),
            replay_buffer=self.number("replay_buffer"),
            probe=build_probe(self),
            place=self.section.place,
        )

    def _host(self) -> str:
        text = self.text("host")
        try:
            if text.startswith("unix:"):
                if self.is_written("port"):
                    self.warn("port", "is not used with a Unix socket")
                return f"unix:{parse_unix_path(text)}"
            return parse_host(text)
        except ValueError as exc:
            if text.startswith("unix:") or not text.isprintable():
                self.error("host", str(exc))
            else:
                self.objection("host", str(exc), _UNRESOLVABLE)
        return text

    def _port(self, host: str, *, is_member: bool) -> int:
        port = self.number("port")
        if host.startswith("unix:"):
            return port
        try:
            parse_host(host)
        except ValueError:
            return 0
        if port == 0 and not is_member:
            what = (
                f"0 switches worker {self.section.name!r} off, and no balancer has another for it"
            )
            self.objection("port", what, "every request that rules send there is answered 503")
        return port

    def _packet_size(self) -> int:
        size = self.number("max_packet_size")
        rounded = -(-size // 1024) * 1024
        if rounded != size:
            self.warn(
                "max_packet_size", f"is rounded up from {size} to {rounded}, a multiple of 1024"
            )
        return rounded

    def _pool_minsize(self, size: int) -> int:
        if not self.is_written("connection_pool_minsize"):
            return (size + 1) // 2
        minsize = self.number("connection_pool_minsize")
        if minsize > size:
            self.warn(
                "connection_pool_minsize", f"is more than connection_pool_size and taken as {size}"
            )
        return min(minsize, size)

    def _ping_mode(self) -> str:
        letters = self.text("ping_mode")
        return "CPI" if "A" in letters else letters

    def _cping(self, name: str, *, is_in_mode: bool) -> int:
        """The time for a CPONG: as mod_jk, ping_mode counts where the value is 0 or not written."""
        if self.is_written(name) and (self.number(name) or not is_in_mode):
            return self.number(name)
        if is_in_mode:
            return self.number("ping_timeout")
        # Who writes some letters has left the others out.
        return 0 if self._ping_mode() else self.number(name)

    def _ping_interval(self, mode: str) -> int:
        """As mod_jk: ping_mode counts where the value is 0 or not written."""
        interval, wait = self.number("connection_ping_interval"), self.number("ping_timeout")
        if interval and not wait:
            self.warn("connection_ping_interval", "has no effect while ping_timeout is 0")
        # A hundredth of the number of milliseconds, as seconds.
        return interval or (wait * 10 if "I" in mode else 0)

    def _connect_timeout(self) -> int:
        """As mod_jk: socket_timeout where nothing else is written."""
        if self.is_written("socket_connect_timeout") or not self.number("socket_timeout"):
            return self.number("socket_connect_timeout")
        return self.number("socket_timeout")

    def _socket_buffer(self, packet_size: int) -> int:
        size = self.number("socket_buffer")
        if 0 < size < packet_size:
            self.warn("socket_buffer", f"is less than max_packet_size and taken as {packet_size}")
            return packet_size
        return size

    def _source(self) -> str:
        text = self.text("source")
        if not text:
            return ""
        if self.text("host").startswith("unix:"):
            self.warn("source", "is not used with a Unix socket")
        try:
            return parse_host(text)
        except ValueError as exc:
            self.error("source", str(exc))
            return ""

    def _statuses(self) -> tuple[int, ...]:
        statuses = self.numbers("fail_on_status")
        for status in statuses:
            if not 100 <= abs(status) <= 999:
                what = f"{status} is no status code, with or without a minus sign"
                self.objection("fail_on_status", what, "no answer ever has it")
        return tuple(status for status in statuses if 100 <= abs(status) <= 999)
