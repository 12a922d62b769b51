"""An authority that makes certificates in a moment: small keys, files in a folder."""

import datetime
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ajpd.config.model import KeyPair, TlsConfig

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)

Subject = Sequence[tuple[x509.ObjectIdentifier, str]]


def name_of(subject: Subject) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])


def common_name(text: str) -> Subject:
    return ((NameOID.COMMON_NAME, text),)


def key_pem(key: ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Authority:
    """Signs certificates; its own is `pem`, and is also what signs it where it has no issuer."""

    def __init__(self, name: str = "Test CA", issuer: "Authority | None" = None) -> None:
        self.key = new_key()
        self.subject = name_of(common_name(name))
        signer = issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(signer.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + 100 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        )
        certificate = builder.sign(signer.key, hashes.SHA256())
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)

    def sign(
        self,
        subject: Subject,
        *,
        names: Sequence[x509.GeneralName] = (),
        days: int = 90,
        begins: int = -1,
        serial: int = 0,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> tuple[bytes, bytes]:
        """A certificate and its key, as PEM."""
        key = key or new_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(name_of(subject))
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(NOW + begins * DAY)
            .not_valid_after(NOW + days * DAY)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), key_pem(key)

    def server(
        self, folder: Path, name: str, *hosts: str, days: int = 90, begins: int = -1
    ) -> None:
        """Write NAME.pem and NAME.key for some hosts; without any, NAME is the common name."""
        certificate, key = self.sign(
            common_name(name),
            names=[x509.DNSName(host) for host in hosts],
            days=days,
            begins=begins,
        )
        (folder / f"{name}.pem").write_bytes(certificate)
        (folder / f"{name}.key").write_bytes(key)


USER = (
    (NameOID.ORGANIZATION_NAME, "Example"),
    (NameOID.COMMON_NAME, "alice"),
    (NameOID.EMAIL_ADDRESS, "alice@example"),
)


class Place:
    """A folder with an authority, certificates of two hosts and one of a client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        (folder / "ca.pem").write_bytes(self.authority.pem)
        self.authority.server(folder, "www", "www.example")
        self.authority.server(folder, "wild", "*.wild.example", "mail.example")
        self.middle = Authority("Middle CA", self.authority)
        certificate, key = self.middle.sign(
            USER, names=[x509.RFC822Name("alice@san.example")], serial=0x0ABC
        )
        self.client_pem = certificate
        (folder / "client.pem").write_bytes(certificate + self.middle.pem + key)

    def config(self, *names: str, **values: Any) -> TlsConfig:
        pairs = tuple(
            KeyPair(str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key"))
            for name in names or ("www",)
        )
        if values.get("client_verify", "none") != "none":
            values["client_ca"] = str(self.folder / "ca.pem")
        return TlsConfig(listen=(), pairs=pairs, **values)

    def client(self, *, with_certificate: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        # Python 3.13 demands extensions that the certificates of these tests do not have.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if with_certificate:
            context.load_cert_chain(self.folder / "client.pem")
        return context
