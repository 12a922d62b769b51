"""`[server]` of ajpd.toml → `ServerConfig`, lists and files in it tried out."""

import grp
import os
import pwd
from typing import Final, cast

from ajpd.http.forwarded import TrustedProxies
from ajpd.http.pages import Pages

from .attributes import canonical, header_refusal
from .directives import lookup
from .errors import Findings, Place
from .model import ForwardedHeaders, ForwardURI, ListenAddress, Naming, Scheduling, ServerConfig
from .toml import TomlFile, beside, value_of
from .values import Scope, Value, default_of

__all__ = ["build_server"]

#: A process says once a second that it lives; less than this would kill one that is merely late.
LEAST_HANG_MS: Final = 3000


def build_server(
    document: TomlFile | None, listen: tuple[ListenAddress, ...] | None, findings: Findings
) -> ServerConfig:
    """Build the configuration of the side that faces the browsers.

    Args:
        document: ajpd.toml, or None when there is none.
        listen: addresses that were written anywhere; None for the default.
        findings: gets what is wrong.
    """

    def number(name: str) -> int:
        return cast(int, value_of(document, Scope.SERVER, name))

    def text(name: str) -> str:
        return cast(str, value_of(document, Scope.SERVER, name))

    if listen is None:
        default = cast(tuple[str, ...], default_of(lookup(Scope.SERVER, "listen")))
        listen = tuple(ListenAddress.parse(text) for text in default)
    trusted = cast(tuple[str, ...], value_of(document, Scope.SERVER, "trusted_proxies"))
    header = text("reply_timeout_header")
    config = ServerConfig(
        listen=listen,
        header_timeout_ms=number("header_timeout"),
        keepalive_timeout_ms=number("keepalive_timeout"),
        body_timeout_ms=number("body_timeout"),
        send_timeout_ms=number("send_timeout"),
        max_header_bytes=number("max_header_bytes"),
        max_body_bytes=number("max_body_bytes"),
        max_connections=number("max_connections"),
        trusted_proxies=trusted,
        forwarded_headers=cast(ForwardedHeaders, text("forwarded_headers")),
        forward_uri=cast(ForwardURI, text("forward_uri")),
        reply_timeout_header=canonical(header).decode() if header.isascii() else header,
        error_pages=beside(document, text("error_pages")),
        shutdown_timeout_ms=number("shutdown_timeout"),
        request_id=cast(Naming, text("request_id")),
        traceparent=cast(Naming, text("traceparent")),
        processes=_processes(value_of(document, Scope.SERVER, "processes")),
        hang_timeout_ms=number("hang_timeout"),
        scheduling=cast(Scheduling, text("scheduling")),
        user=text("user"),
        group=text("group"),
        pid_file=beside(document, text("pid_file")),
    )
    _check(config, document, findings)
    return config


def _processes(value: Value) -> int:
    """How many; `auto` is one for each processor that this process may use."""
    return len(os.sched_getaffinity(0)) if value == "auto" else cast(int, value)


def _check(config: ServerConfig, document: TomlFile | None, findings: Findings) -> None:
    """Try what is built from these values later: it tells best what is wrong with them."""
    for name, build in (
        ("trusted_proxies", lambda: TrustedProxies(config.trusted_proxies)),
        ("error_pages", lambda: Pages(config.error_pages or None)),
    ):
        try:
            build()
        except ValueError as exc:
            findings.error(_place(document, name), f"{name}: {exc}", directive=name)
    if 0 < config.hang_timeout_ms < LEAST_HANG_MS:
        text = (
            f"hang_timeout: processes give signs of life once a second; 0, or at least "
            f"{LEAST_HANG_MS // 1000}s"
        )
        findings.error(_place(document, "hang_timeout"), text, directive="hang_timeout")
    _check_timeout_header(config.reply_timeout_header, document, findings)
    if config.reply_timeout_header and not config.trusted_proxies:
        findings.warn(
            _place(document, "reply_timeout_header"),
            "reply_timeout_header: nobody is listed in trusted_proxies, so the header never counts",
            directive="reply_timeout_header",
        )
    for name, value in (("request_id", config.request_id), ("traceparent", config.traceparent)):
        if value == "trusted" and not config.trusted_proxies:
            text = f"{name}: nobody is listed in trusted_proxies, so it is as create"
            findings.warn(_place(document, name), text, directive=name)
    _check_user(config, document, findings)


def _check_user(config: ServerConfig, document: TomlFile | None, findings: Findings) -> None:
    for name, value, find in (
        ("user", config.user, pwd.getpwnam),
        ("group", config.group, grp.getgrnam),
    ):
        try:
            if value:
                find(value)
        except (KeyError, ValueError):
            text = f"{name}: there is no {name} {value!r} on this machine"
            findings.error(_place(document, name), text, directive=name)
    if config.group and not config.user:
        text = "group: it only counts together with user"
        findings.error(_place(document, "group"), text, directive="group")


def _check_timeout_header(name: str, document: TomlFile | None, findings: Findings) -> None:
    """It is taken out of every request, so it must be nobody else's."""
    problem = header_refusal(name) if name else ""
    if problem:
        findings.error(
            _place(document, "reply_timeout_header"),
            f"reply_timeout_header: {problem}",
            directive="reply_timeout_header",
        )


def _place(document: TomlFile | None, name: str) -> Place:
    if document is None or (Scope.SERVER, name) not in document.values:
        return Place("defaults")
    return document.values[Scope.SERVER, name].place
