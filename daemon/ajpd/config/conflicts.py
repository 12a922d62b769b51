"""Values that are right by themselves and hardly meant together: warnings only.

Each function looks at one thing. They know what was built, and nothing about how it was written.
"""

import resource
from collections.abc import Iterable, Mapping

from ajp.lb import Activation

from .errors import Findings
from .model import BalancerConfig, ListenAddress, WorkerConfig

__all__ = ["check_conflicts"]

_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_ANY = frozenset(("0.0.0.0", "::"))


def check_conflicts(
    workers: Mapping[str, WorkerConfig],
    balancers: Iterable[BalancerConfig],
    listen: Iterable[ListenAddress],
    findings: Findings,
) -> None:
    """Warn of all of them.

    Args:
        workers: every container, members of balancers included.
        balancers: all of them.
        listen: addresses for browsers, with TLS and without.
        findings: of the whole configuration.
    """
    _secrets(workers, findings)
    _descriptors(workers, findings)
    addresses = list(listen)
    for worker in workers.values():
        _itself(worker, addresses, findings)
        _limits(worker, findings)
    for balancer in balancers:
        _same_container(balancer, findings)
        _packet_sizes(balancer, findings)
        _nobody_active(balancer, findings)


def _secrets(workers: Mapping[str, WorkerConfig], findings: Findings) -> None:
    """Connectors are mostly set up alike: one without a secret was forgotten."""
    having = [worker.name for worker in workers.values() if worker.secret is not None]
    for worker in workers.values():
        if having and worker.secret is None:
            what = f"worker {worker.name!r} has no secret, and {having[0]!r} has one"
            why = "a connector that expects one answers every request with 403"
            findings.warn(worker.place, f"{what}: {why}", directive="secret")


def _descriptors(workers: Mapping[str, WorkerConfig], findings: Findings) -> None:
    """Each connection is an open file, and a process may open so many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    total = sum(worker.connection_pool_size for worker in workers.values())
    if most != resource.RLIM_INFINITY and total >= most:
        largest = max(workers.values(), key=lambda worker: worker.connection_pool_size)
        what = f"all workers together may have {total} connections, with connection_pool_size"
        why = f"here a process may open {most} files, those for clients included"
        findings.warn(largest.place, f"{what}: {why}", directive="connection_pool_size")


def _itself(worker: WorkerConfig, listen: Iterable[ListenAddress], findings: Findings) -> None:
    """A worker that is this daemon would answer nothing, and ask for more and more."""
    for address in listen:
        if address.path or address.fd or address.port != worker.port or not worker.port:
            continue
        is_here = address.host == worker.host or worker.host in _LOOPBACK
        if is_here and address.host in (worker.host, *_LOOPBACK, *_ANY):
            what = f"worker {worker.name!r} is {worker.host}:{worker.port}"
            why = (
                f"this daemon itself listens on {address}; write the port of Tomcat's AJP connector"
            )
            findings.warn(worker.place, f"{what}: {why}", directive="port")


def _limits(worker: WorkerConfig, findings: Findings) -> None:
    if 0 < worker.busy_limit < worker.connection_pool_minsize:
        what = f"worker {worker.name!r} keeps {worker.connection_pool_minsize} connections"
        why = f"busy_limit lets {worker.busy_limit} requests through"
        findings.warn(worker.place, f"{what}, and {why}", directive="connection_pool_minsize")


def _same_container(balancer: BalancerConfig, findings: Findings) -> None:
    first: dict[tuple[str, int], str] = {}
    for member in balancer.members:
        where = (member.worker.host, 0 if member.worker.unix_path else member.worker.port)
        other = first.setdefault(where, member.name)
        if other != member.name and (where[1] or member.worker.unix_path):
            what = f"members {other!r} and {member.name!r} of balancer {balancer.name!r}"
            address = f"{where[0]}:{where[1]}" if where[1] else where[0]
            findings.warn(member.worker.place, f"{what} are one container, {address}")


def _packet_sizes(balancer: BalancerConfig, findings: Findings) -> None:
    sizes = {member.worker.max_packet_size for member in balancer.members}
    if len(sizes) > 1:
        shown = ", ".join(f"{m.name} {m.worker.max_packet_size}" for m in balancer.members)
        what = f"members of balancer {balancer.name!r} have different max_packet_size ({shown})"
        why = "a request that fits one of them may not fit another"
        findings.warn(balancer.place, f"{what}: {why}", directive="max_packet_size")


def _nobody_active(balancer: BalancerConfig, findings: Findings) -> None:
    if not any(member.activation is Activation.ACTIVE for member in balancer.members):
        what = f"no member of balancer {balancer.name!r} is active"
        findings.warn(balancer.place, f"{what}: new sessions are answered 503")
