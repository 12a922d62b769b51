"""PEM files → what a TLS handshake needs, or one sentence about what is wrong with them.

The package cryptography is imported when the first file is read and not before: who does not use
TLS does not pay for it.
"""

import datetime
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from .model import KeyPair, TlsConfig

if TYPE_CHECKING:
    import cryptography.hazmat.primitives.asymmetric.types
    import cryptography.x509

__all__ = [
    "BadCertificate",
    "Certificate",
    "check_ciphers",
    "expiry",
    "new_context",
    "read_authorities",
    "read_key",
    "read_pair",
]

#: The first private key of a file that may hold certificates and parameters before it.
_KEY_BLOCK: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*", re.DOTALL)
#: Days before its end at which a certificate is worth a warning.
SOON_DAYS: Final = 14

Key = Literal["certificate", "key", "client_ca", "ciphers"]


class BadCertificate(ValueError):  # noqa: N818 - says what it is
    """A file cannot be used.

    Attributes:
        key: of `[tls]`, the one that names it.
    """

    def __init__(self, key: Key, message: str) -> None:
        super().__init__(message)
        self.key: Key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What must be known about a certificate before it is used.

    Attributes:
        file: it was read from.
        names: of hosts, in lower case; the first label may be `*`.
        not_before: first moment.
        not_after: last moment.
    """

    file: str
    names: tuple[str, ...]
    not_before: datetime.datetime
    not_after: datetime.datetime


def read_pair(pair: KeyPair) -> Certificate:
    """Read a certificate and make sure that the key belongs to it.

    Raises:
        BadCertificate: one of the two files cannot be used.
    """
    first = _certificates("certificate", pair.certificate)[0]
    _check_key(pair, first)
    return Certificate(
        file=pair.certificate,
        names=_names(first),
        not_before=first.not_valid_before_utc,
        not_after=first.not_valid_after_utc,
    )


def read_authorities(file: str) -> list[Certificate]:
    """Read the authorities that clients' certificates may come from.

    Raises:
        BadCertificate: the file cannot be used.
    """
    return [
        Certificate(
            file=file,
            names=(each.subject.rfc4514_string(),),
            not_before=each.not_valid_before_utc,
            not_after=each.not_valid_after_utc,
        )
        for each in _certificates("client_ca", file)
    ]


def expiry(certificate: Certificate, now: datetime.datetime) -> str:
    """What is to be said about the time of a certificate; an empty string when it is far away."""
    day = f"{certificate.not_after:%Y-%m-%d %H:%M} UTC"
    if now >= certificate.not_after:
        return f"{certificate.file}: the certificate has expired on {day}"
    if now < certificate.not_before:
        first = f"{certificate.not_before:%Y-%m-%d %H:%M} UTC"
        return f"{certificate.file}: the certificate is not valid before {first}"
    left = certificate.not_after - now
    if left < datetime.timedelta(days=SOON_DAYS):
        return f"{certificate.file}: the certificate expires in {left.days} days, on {day}"
    return ""


def check_ciphers(config: TlsConfig) -> None:
    """Make sure that OpenSSL knows the ciphers.

    Raises:
        BadCertificate: it knows none of them.
    """
    _set_ciphers(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), config)


def _set_ciphers(context: ssl.SSLContext, config: TlsConfig) -> None:
    if config.ciphers:
        try:
            context.set_ciphers(config.ciphers)
        except (ssl.SSLError, ValueError) as exc:  # ValueError: a NUL in it
            raise BadCertificate(
                "ciphers", f"OpenSSL knows no cipher of {config.ciphers!r}"
            ) from exc


def new_context(
    config: TlsConfig, pair: KeyPair, kind: type[ssl.SSLContext] = ssl.SSLContext
) -> ssl.SSLContext:
    """Make what handshakes with one certificate need.

    Args:
        config: of TLS.
        pair: the one certificate.
        kind: of context.

    Raises:
        BadCertificate: OpenSSL refuses a file or the ciphers.
    """
    context = kind(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3 if config.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    )
    # A client that may renegotiate makes the server compute as often as it likes.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _set_ciphers(context, config)
    _load_pair(context, pair)
    if config.client_verify != "none":
        _load_authorities(context, config)
    return context


def _load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    try:
        # Without a function OpenSSL would ask on the terminal.
        context.load_cert_chain(pair.certificate, pair.key, password=_no_password)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise BadCertificate("key", _mismatch(pair)) from exc
        raise BadCertificate(
            "certificate", f"{pair.certificate}: OpenSSL refuses it: {_words(exc)}"
        ) from exc
    except OSError as exc:
        raise BadCertificate("certificate", f"{pair.certificate}: {_unreadable(exc)}") from exc


def _load_authorities(context: ssl.SSLContext, config: TlsConfig) -> None:
    try:
        context.load_verify_locations(config.client_ca)
    except ssl.SSLError as exc:
        raise BadCertificate(
            "client_ca", f"{config.client_ca}: OpenSSL refuses it: {_words(exc)}"
        ) from exc
    except OSError as exc:
        raise BadCertificate("client_ca", f"{config.client_ca}: {_unreadable(exc)}") from exc
    context.verify_mode = (
        ssl.CERT_REQUIRED if config.client_verify == "require" else ssl.CERT_OPTIONAL
    )


def _no_password() -> str:
    return ""


def _words(exc: ssl.SSLError) -> str:
    return (exc.reason or str(exc)).replace("_", " ").lower()


def _unreadable(exc: OSError | ValueError) -> str:
    return f"cannot read the file: {getattr(exc, 'strerror', None) or exc}"


def _mismatch(pair: KeyPair) -> str:
    return f"{pair.key}: the key is not that of the certificate in {pair.certificate}"


def _read(key: Key, file: str) -> bytes:
    try:
        with open(file, "rb") as opened:
            return opened.read()
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        raise BadCertificate(key, f"{file}: {_unreadable(exc)}") from exc


def _certificates(key: Key, file: str) -> Sequence["cryptography.x509.Certificate"]:
    content = _read(key, file)
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise BadCertificate(key, f"{file}: there is no certificate in it (PEM is expected)")
    try:
        import cryptography.x509
    except ImportError as exc:
        raise BadCertificate(
            key, "TLS needs the package cryptography: pip install 'ajp[daemon]'"
        ) from exc
    try:
        return cryptography.x509.load_pem_x509_certificates(content)
    except ValueError as exc:
        raise BadCertificate(key, f"{file}: a certificate in it is broken: {exc}") from exc


def read_key(
    pair: KeyPair,
) -> "cryptography.hazmat.primitives.asymmetric.types.PrivateKeyTypes":
    """Read the key of a pair.

    Raises:
        BadCertificate: there is none that can be used.
    """
    import cryptography.exceptions
    import cryptography.hazmat.primitives.serialization as serialization

    block = _KEY_BLOCK.search(_read("key", pair.key))
    if block is None:
        raise BadCertificate("key", f"{pair.key}: there is no private key in it (PEM is expected)")
    try:
        return serialization.load_pem_private_key(block[0], password=None)
    except TypeError as exc:
        raise BadCertificate(
            "key", f"{pair.key}: the key has a passphrase, and nobody is there to type it"
        ) from exc
    except (ValueError, cryptography.exceptions.UnsupportedAlgorithm) as exc:
        raise BadCertificate("key", f"{pair.key}: the key is broken: {exc}") from exc


def _check_key(pair: KeyPair, certificate: "cryptography.x509.Certificate") -> None:
    import cryptography.hazmat.primitives.serialization as serialization

    form = (
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo,
    )
    key = read_key(pair)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise BadCertificate("key", _mismatch(pair))


def _names(certificate: "cryptography.x509.Certificate") -> tuple[str, ...]:
    """Names of hosts; the common name counts where there is no alternative one."""
    import cryptography.x509 as x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = extension.value.get_values_for_type(x509.DNSName)
    except (
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        ValueError,
    ):
        names = []
    if not names:
        common = certificate.subject.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
        names = [str(each.value) for each in common]
    return tuple(dict.fromkeys(name.lower().rstrip(".") for name in names))
