"""`[metrics]` of ajpd.toml → `MetricsConfig`."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import cast

from ajpd.http.forwarded import TrustedProxies

from .directives import lookup
from .errors import Findings, Place
from .model import ListenAddress, MetricsConfig
from .toml import TomlFile, value_of
from .values import Scope

__all__ = ["build_metrics"]


def build_metrics(
    document: TomlFile | None,
    listen: tuple[ListenAddress, ...],
    taken: Sequence[ListenAddress],
    findings: Findings,
) -> MetricsConfig:
    """Build it; what is wrong goes to `findings`.

    Args:
        document: ajpd.toml, or None when there is none.
        listen: its addresses, each of them checked.
        taken: addresses for clients.
        findings: of the whole configuration.
    """
    config = MetricsConfig(
        listen=listen,
        path=cast(str, value_of(document, Scope.METRICS, "path")),
        allow=cast(tuple[str, ...], value_of(document, Scope.METRICS, "allow")),
    )
    if document is None:
        return config
    for address in listen:
        if address in taken and address.port != 0:
            what = f"listen: {address} is for clients too; metrics need an address of their own"
            findings.error(_place(document, "listen"), what, directive="listen")
    if not config.path.startswith("/") or not config.path.isascii() or {*"?# "} & {*config.path}:
        what = f"path: {config.path!r} is no path such as {lookup(Scope.METRICS, 'path').default}"
        findings.error(_place(document, "path"), what, directive="path")
    _check_allow(config, document, findings)
    written = [name for scope, name in document.values if scope is Scope.METRICS]
    if written and not listen:
        what = "metrics: nobody can fetch them as long as listen names no address"
        findings.warn(_place(document, written[0]), what, directive="listen")
    return config


def _check_allow(config: MetricsConfig, document: TomlFile, findings: Findings) -> None:
    place = _place(document, "allow")
    try:
        allowed = TrustedProxies(config.allow)
    except ValueError as exc:
        findings.error(place, f"allow: {exc}", directive="allow")
        return
    if not config.allow:
        findings.warn(place, "allow: nobody may fetch metrics", directive="allow")
    elif (Scope.METRICS, "allow") not in document.values:
        far = [str(each) for each in config.listen if _is_far(each, allowed)]
        if far:
            what = f"listen: {far[0]} can be reached from elsewhere, and only this machine may "
            what += "fetch metrics as long as allow says no more"
            findings.warn(_place(document, "listen"), what, directive="allow")


def _is_far(address: ListenAddress, allowed: TrustedProxies) -> bool:
    """Whether others than those who are allowed may reach an address."""
    try:
        ip_address(address.host)
    except ValueError:  # a socket of its own, one that was handed over, or a name
        return False
    return not allowed.trusts(address.host)


def _place(document: TomlFile, name: str) -> Place:
    written = document.values.get((Scope.METRICS, name))
    return Place(str(document.path)) if written is None else written.place
