"""`[status]` of ajpd.toml → `PageConfig`: who may see status pages, and change things there."""

from collections.abc import Mapping
from typing import cast

from ajpd.http.forwarded import TrustedProxies

from .errors import Findings, Place
from .model import PageConfig, StatusConfig
from .toml import TomlFile, value_of
from .values import Scope

__all__ = ["build_page"]


def build_page(
    document: TomlFile | None, statuses: Mapping[str, StatusConfig], findings: Findings
) -> PageConfig:
    """Build it; what is wrong goes to `findings`.

    Args:
        document: ajpd.toml, or None when there is none.
        statuses: the pages that there are.
        findings: of the whole configuration.
    """
    config = PageConfig(
        allow=cast(tuple[str, ...], value_of(document, Scope.STATUS_PAGE, "allow")),
        read_only=cast(bool, value_of(document, Scope.STATUS_PAGE, "read_only")),
        allow_get=cast(bool, value_of(document, Scope.STATUS_PAGE, "allow_get")),
    )
    written = None if document is None else document.values.get((Scope.STATUS_PAGE, "allow"))
    try:
        TrustedProxies(config.allow)
    except ValueError as exc:
        place = Place("defaults") if written is None else written.place
        findings.error(place, f"allow: {exc}", directive="allow")
    if written is not None and not statuses:
        text = "allow: no worker is of type status, so there is no page to see"
        findings.warn(written.place, text, directive="allow")
    return config
