"""Workers as processes have them: a container's directives in the units of the library."""

from typing import Final

from ajp._slot import Slot
from ajp.worker import Worker, WorkerSettings

from ._service import Target
from .config.model import ProbeConfig, WorkerConfig

__all__ = ["make_target", "worker_settings"]

#: Seconds that a head of an answer waits for its body where nobody else could answer.
HEAD_WAITS: Final = 0.05
#: Seconds beyond freeze_timeout until all processes know of a container that froze.
FOUND_WITHIN: Final = 0.7


def worker_settings(config: WorkerConfig) -> WorkerSettings:
    """A worker's directives in the units of the library."""
    return WorkerSettings(
        host=config.host,
        port=config.port,
        secret=config.secret,
        max_packet_size=config.max_packet_size,
        pool_size=config.connection_pool_size,
        pool_min_size=config.connection_pool_minsize,
        pool_timeout=config.connection_pool_timeout_ms / 1000,
        acquire_timeout=config.connection_acquire_timeout_ms / 1000,
        busy_limit=config.busy_limit,
        connect_timeout=config.socket_connect_timeout_ms / 1000,
        connect_ping=config.connect_timeout_ms / 1000,
        prepost_ping=config.prepost_timeout_ms / 1000,
        ping_interval=config.connection_ping_interval_ms / 1000,
        ping_timeout=config.ping_timeout_ms / 1000,
        reply_timeout=config.reply_timeout_ms / 1000,
        socket_timeout=config.socket_timeout_ms / 1000,
        socket_buffer=config.socket_buffer,
        source=config.source,
        keepalive=config.socket_keepalive,
        prefer_ipv6=config.prefer_ipv6,
    )


def make_target(config: WorkerConfig, worker: Worker, slot: Slot) -> Target:
    """A container as exchanges see it."""
    return Target(
        config.name,
        worker,
        secret=config.secret,
        max_packet_size=config.max_packet_size,
        retries=config.retries,
        retry_interval=config.retry_interval_ms / 1000,
        recovery_options=config.recovery_options,
        fail_on_status=config.fail_on_status,
        replay_buffer=config.replay_buffer,
        slot=slot,
        head_waits=_head_waits(config.probe),
    )


def _head_waits(probe: ProbeConfig) -> float:
    """Seconds that the head of an answer may wait for what belongs to it.

    Until it has left, the request can leave a container that freezes just then.
    """
    if probe.kind == "off" or probe.freeze_timeout_ms <= 0:
        return HEAD_WAITS
    return probe.freeze_timeout_ms / 1000 + FOUND_WITHIN
