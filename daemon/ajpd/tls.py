"""TLS towards the clients: the contexts that handshakes use, and what a handshake found out.

Contexts are made from files that the configuration names, and made again when the files change:
all of them are read and tried before any of them counts, so a broken file changes nothing. Bytes of
TLS are moved by the event loop, never here.

Source: httpd `mod_ssl` for what containers are told, mod_jk `jk_ajp_common.c` for where it goes.
"""

import datetime
import logging
import os
import ssl
from collections.abc import Mapping
from typing import Any, Final

from .client_certificate import value_of
from .config.certificates import (
    BadCertificate,
    Certificate,
    expiry,
    new_context,
    read_authorities,
    read_pair,
)
from .config.model import TlsConfig
from .tls_alert import AlertingContext

__all__ = ["ClientTLS", "Contexts", "client_tls"]

logger = logging.getLogger("ajpd.tls")

#: What Tomcat says when it verified the certificate itself: HttpServletRequest.CLIENT_CERT_AUTH.
_CLIENT_CERT: Final = b"CLIENT_CERT"
#: `_ssl.ENCODING_DER`, for certificates of Python before 3.13.
_DER: Final = 2

#: A file as it was last seen; None when it was not there.
Seen = tuple[int, int, int] | None


class ClientTLS:
    """What is known about one connection after its handshake, as bytes for containers.

    Attributes:
        cipher: OpenSSL's name of it.
        session: session id, hexadecimal, in lower case; None where the session has none.
        key_size: secret bits of the cipher.
        protocol: such as `TLSv1.3`.
        certificate: of the client, verified, as PEM; behind it those the client sent with it,
            when `client_chain` says so. None when the client has none.
        remote_user: the part of the certificate that `remote_user` names; None without one.
        auth_type: how the remote user was recognised; None without one.

    Source:
        mod_ssl: SSL_CIPHER, SSL_SESSION_ID, SSL_CIPHER_USEKEYSIZE, SSL_PROTOCOL, SSL_CLIENT_CERT,
        SSLUserName. Differs: httpd leaves the auth type empty with SSLUserName, so that a servlet
        sees a user who was never authenticated; Tomcat says CLIENT_CERT when it verifies the
        certificate itself, and so do we.
    """

    __slots__ = (
        "_fields",
        "_subject",
        "auth_type",
        "certificate",
        "cipher",
        "key_size",
        "protocol",
        "remote_user",
        "session",
    )

    def __init__(
        self,
        *,
        cipher: bytes,
        protocol: bytes,
        key_size: int,
        session: bytes | None = None,
        subject: Mapping[str, Any] | None = None,
        certificates: tuple[bytes, ...] = (),
        user_field: bytes = b"",
    ) -> None:
        self.cipher = cipher
        self.protocol = protocol
        self.key_size = key_size
        self.session = session
        self.certificate = b"".join(certificates) or None
        self._subject = subject
        self._fields: dict[bytes, bytes | None] = {}
        if certificates:
            self._fields = {b"cert": certificates[0], b"verify": b"SUCCESS"}
        self.remote_user = (self.field(user_field) or None) if user_field else None
        self.auth_type = _CLIENT_CERT if self.remote_user is not None else None

    def __repr__(self) -> str:
        user = f" user={self.remote_user!r}" if self.remote_user is not None else ""
        has = "" if self.certificate is None else " with certificate"
        return f"<ClientTLS {self.protocol.decode()} {self.cipher.decode()}{has}{user}>"

    def field(self, key: bytes) -> bytes | None:
        """A field of the client's certificate, looked up once.

        Args:
            key: from `client_certificate.field_named`.

        Returns:
            None when there is no certificate, or no such part in it.
        """
        if key not in self._fields:
            known = None if self._subject is None or key in (b"cert", b"verify") else self._subject
            self._fields[key] = None if known is None else value_of(known, key)
        return self._fields[key]


def client_tls(ssl_object: ssl.SSLObject, config: TlsConfig) -> ClientTLS:
    """Describe a connection whose handshake is done.

    Args:
        ssl_object: what the transport's `get_extra_info("ssl_object")` returns.
        config: that the connection's listener was made from.
    """
    cipher, _, key_size = ssl_object.cipher() or ("", "", 0)
    session = ssl_object.session
    subject: Mapping[str, Any] | None = None
    certificates: tuple[bytes, ...] = ()
    if config.client_verify != "none":
        # Only a certificate that was verified gets this far: any other ends the handshake.
        subject = ssl_object.getpeercert() or None
        leaf = ssl_object.getpeercert(binary_form=True)
        if leaf is not None:
            rest = _sent_with(ssl_object, leaf) if config.client_chain else []
            certificates = tuple(map(_pem, (leaf, *rest)))
    return ClientTLS(
        cipher=cipher.encode(),
        protocol=(ssl_object.version() or "").encode(),
        key_size=key_size,
        session=session.id.hex().encode() or None if session is not None else None,
        subject=subject,
        certificates=certificates,
        user_field=config.remote_user,
    )


def _pem(certificate: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(certificate).encode()


def _sent_with(ssl_object: ssl.SSLObject, leaf: bytes) -> list[bytes]:
    """The other certificates that the client sent, as DER; none when the session was resumed."""
    ask = getattr(ssl_object, "get_unverified_chain", None)
    if ask is None:
        # Public since Python 3.13; before that the object inside has it.
        ask = getattr(getattr(ssl_object, "_sslobj", None), "get_unverified_chain", None)
    if ask is None:
        logger.warning("client_chain: this Python does not tell the chain of a certificate")
        return []
    found = [each if isinstance(each, bytes) else each.public_bytes(_DER) for each in ask() or ()]
    return [each for each in found if each != leaf]


class Contexts:
    """The contexts of one process: one for each certificate, the first one asked first.

    Args:
        config: of TLS; its files are read at once.

    Raises:
        BadCertificate: a file cannot be used.
    """

    def __init__(self, config: TlsConfig) -> None:
        self.config = config
        self._seen = self._look_at_files()
        self._default, _ = self._build()

    @property
    def current(self) -> ssl.SSLContext:
        """For the next handshake; it finds the others by the name that the client asks for."""
        return self._default

    def look(self) -> bool:
        """Use the files that are there now, if they are others than before.

        Returns:
            whether handshakes get something new from now on.
        """
        return self._look_at_files() != self._seen and self.reload()

    def reload(self) -> bool:
        """Read all files again; what is wrong is logged, and then the old contexts stay.

        Returns:
            whether handshakes get something new from now on.
        """
        # Noted before the files are read: a change in between is seen the next time.
        self._seen = self._look_at_files()
        try:
            self._default, certificates = self._build()
        except BadCertificate as exc:
            logger.error("tls.%s: %s; the certificates read before stay in use", exc.key, exc)
            return False
        logger.info("certificates read: %s", ", ".join(self.config.files))
        now = datetime.datetime.now(datetime.UTC)
        for remark in filter(None, (expiry(certificate, now) for certificate in certificates)):
            logger.warning("%s", remark)
        return True

    def _look_at_files(self) -> tuple[Seen, ...]:
        return tuple(map(_seen, self.config.files))

    def _build(self) -> tuple[ssl.SSLContext, list[Certificate]]:
        """Make a context for each certificate; the first one knows them all."""
        by_name: dict[str, ssl.SSLContext] = {}
        contexts: list[ssl.SSLContext] = []
        certificates: list[Certificate] = []
        if self.config.client_verify != "none":
            certificates += read_authorities(self.config.client_ca)
        for pair in self.config.pairs:
            certificate = read_pair(pair)
            context = new_context(self.config, pair, AlertingContext)
            contexts.append(context)
            for name in certificate.names:
                by_name.setdefault(name, context)
            certificates.append(certificate)
        if len(contexts) > 1:
            _choose_by_name(contexts[0], by_name)
        return contexts[0], certificates


def _choose_by_name(default: ssl.SSLContext, by_name: Mapping[str, ssl.SSLContext]) -> None:
    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        found = _find(by_name, name) if name else None
        if found is not None and found is not default:
            connection.context = found

    default.sni_callback = choose


def _find(by_name: Mapping[str, ssl.SSLContext], name: str) -> ssl.SSLContext | None:
    """The name itself, or a wildcard in place of its first label (RFC 6125 §6.4.3)."""
    wanted = name.lower().rstrip(".")
    found = by_name.get(wanted)
    if found is None:
        _, _, domain = wanted.partition(".")
        found = by_name.get(f"*.{domain}")
    return found


def _seen(file: str) -> Seen:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
