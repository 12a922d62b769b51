"""`[tls]` → `TlsConfig`, its files tried out.

Everything that a handshake would stumble over is found here, before anybody listens. Reading the
files is for `certificates.py`.
"""

import datetime
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, cast

from ajpd.client_certificate import FIELDS, user_field_named

from .certificates import (
    BadCertificate,
    Certificate,
    check_ciphers,
    expiry,
    new_context,
    read_authorities,
    read_key,
    read_pair,
)
from .directives import lookup
from .errors import Findings, Place, suggest
from .model import KeyPair, ListenAddress, TlsConfig
from .toml import Written
from .values import Scope, Value, default_of

__all__ = ["build_tls"]

Values = Mapping[tuple[Scope, str], Written]

_USER_FIELDS: Final = ("CN", "DN", "emailAddress", "UID", "SAN:email", "SAN:DNS", "SAN:URI")


class _Keys:
    """The keys of `[tls]`, defaults filled in, each with its place."""

    def __init__(self, values: Values, section: Place) -> None:
        self._values = values
        self._section = section

    def is_written(self, name: str) -> bool:
        return (Scope.TLS, name) in self._values

    def value(self, name: str) -> Value:
        written = self._values.get((Scope.TLS, name))
        return default_of(lookup(Scope.TLS, name)) if written is None else written.value

    def texts(self, name: str) -> tuple[str, ...]:
        return cast(tuple[str, ...], self.value(name)) if self.is_written(name) else ()

    def place(self, name: str) -> Place:
        written = self._values.get((Scope.TLS, name))
        return self._section if written is None else written.place


def build_tls(
    values: Values,
    listen: tuple[ListenAddress, ...],
    findings: Findings,
    *,
    section: Place,
    base: Path,
) -> TlsConfig | None:
    """Build the configuration of TLS and try its files out; what is wrong goes to `findings`.

    Args:
        values: as read from ajpd.toml.
        listen: its addresses, checked.
        findings: of the whole configuration.
        section: where `[tls]` is written.
        base: directory that relative paths begin at.

    Returns:
        None when something essential is missing or wrong.
    """
    keys = _Keys(values, section)
    before = findings.count
    pairs = _pairs(keys, findings, base)
    client_ca = str(keys.value("client_ca"))
    config = TlsConfig(
        listen=listen,
        pairs=pairs,
        client_ca=str(base / client_ca) if client_ca else "",
        client_verify=cast(Literal["none", "optional", "require"], keys.value("client_verify")),
        client_chain=bool(keys.value("client_chain")),
        min_version=cast(Literal["1.2", "1.3"], keys.value("min_version")),
        ciphers=str(keys.value("ciphers")),
        remote_user=_user_field(keys, findings),
        reload_ms=cast(int, keys.value("reload")),
    )
    _check_clients(config, keys, findings)
    _check_ciphers(config, keys, findings)
    _try_files(config, keys, findings)
    return config if findings.count == before else None


def _pairs(keys: _Keys, findings: Findings, base: Path) -> tuple[KeyPair, ...]:
    certificates, key_files = keys.texts("certificate"), keys.texts("key")
    if not certificates:
        findings.error(
            keys.place("certificate"),
            "certificate: TLS needs one, as the path of a PEM file",
            directive="certificate",
        )
        return ()
    if key_files and len(key_files) != len(certificates):
        findings.error(
            keys.place("key"),
            f"key: there are {len(key_files)} for {len(certificates)} certificates; each "
            "certificate has one, in the same order",
            directive="key",
        )
        # Those that are there are read all the same.
    return tuple(
        KeyPair(str(base / certificate), str(base / key))
        for certificate, key in zip(certificates, key_files or certificates, strict=False)
    )


def _user_field(keys: _Keys, findings: Findings) -> bytes:
    text = str(keys.value("remote_user"))
    if not text:
        return b""
    try:
        return user_field_named(text)
    except ValueError as exc:
        findings.error(
            keys.place("remote_user"),
            f"remote_user: {exc}",
            directive="remote_user",
            hint=suggest(text, (*_USER_FIELDS, *FIELDS)),
        )
        return b""


def _check_clients(config: TlsConfig, keys: _Keys, findings: Findings) -> None:
    """Keys about clients' certificates that only make sense together."""
    if config.client_verify != "none":
        if not config.client_ca:
            findings.error(
                keys.place("client_verify"),
                f'client_verify: "{config.client_verify}" needs client_ca, the file with the '
                "authorities that clients' certificates come from",
                directive="client_verify",
            )
        return
    if config.remote_user:
        findings.error(
            keys.place("remote_user"),
            'remote_user: comes from the client\'s certificate; client_verify must be "optional" '
            'or "require"',
            directive="remote_user",
        )
    for name in ("client_ca", "client_chain"):
        if keys.is_written(name) and keys.value(name):
            findings.warn(
                keys.place(name),
                f'{name}: means nothing while client_verify is "none"',
                directive=name,
            )


def _check_ciphers(config: TlsConfig, keys: _Keys, findings: Findings) -> None:
    if config.ciphers and config.min_version == "1.3":
        findings.warn(
            keys.place("ciphers"),
            'ciphers: are those of TLS 1.2, which min_version = "1.3" does not speak',
            directive="ciphers",
        )


def _try_files(config: TlsConfig, keys: _Keys, findings: Findings) -> None:
    """Read every file, and make of them what handshakes will use; no error hides another."""
    now = datetime.datetime.now(datetime.UTC)
    taken: dict[str, str] = {}
    try:
        check_ciphers(config)
    except BadCertificate as exc:
        _refuse(exc, keys, findings)
        config = replace(config, ciphers="")
    try:
        for authority in read_authorities(config.client_ca) if config.client_ca else ():
            _remark(authority, "client_ca", keys, findings, now=now)
    except BadCertificate as exc:
        _refuse(exc, keys, findings)
        config = replace(config, client_ca="")
    if not config.client_ca:
        config = replace(config, client_verify="none")
    for pair in config.pairs:
        try:
            certificate = read_pair(pair)
            new_context(config, pair)
        except BadCertificate as exc:
            _refuse(exc, keys, findings)
            if exc.key == "certificate":
                _try_key(pair, keys, findings)
            continue
        _remark(certificate, "certificate", keys, findings, now=now)
        _check_names(certificate, taken, keys, findings)


def _try_key(pair: KeyPair, keys: _Keys, findings: Findings) -> None:
    """The key of a certificate that is no good; a file that is to hold both was refused already."""
    if pair.key == pair.certificate:
        return
    try:
        read_key(pair)
    except BadCertificate as exc:
        _refuse(exc, keys, findings)


def _refuse(exc: BadCertificate, keys: _Keys, findings: Findings) -> None:
    findings.error(keys.place(exc.key), f"{exc.key}: {exc}", directive=exc.key)


def _remark(
    certificate: Certificate,
    key: str,
    keys: _Keys,
    findings: Findings,
    *,
    now: datetime.datetime,
) -> None:
    remark = expiry(certificate, now)
    if remark:
        findings.warn(keys.place(key), f"{key}: {remark}", directive=key)


def _check_names(
    certificate: Certificate, taken: dict[str, str], keys: _Keys, findings: Findings
) -> None:
    """A certificate that no client can ask for was probably not meant so."""
    is_reached = not taken or any(name not in taken for name in certificate.names)
    if not is_reached:
        first = taken[certificate.names[0]] if certificate.names else ""
        reason = f"all its names are in {first}" if first else "there is no name in it"
        findings.warn(
            keys.place("certificate"),
            f"certificate: {certificate.file} is never used: {reason}",
            directive="certificate",
        )
    for name in certificate.names or ("",):
        taken.setdefault(name, certificate.file)
