"""An authority and its certificates, made with the openssl command as administrators do."""

import shutil
import subprocess
from pathlib import Path

from .processes import missing

_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(folder: Path, *args: str, feed: bytes = b"") -> str:
    """Run openssl in a folder; returns both of its outputs."""
    if shutil.which("openssl") is None:
        missing("openssl", "openssl")
    done = subprocess.run(
        ["openssl", *args],
        cwd=folder,
        input=feed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=20,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace")


def make_authority(folder: Path, name: str = "ca") -> None:
    """Write NAME.pem and NAME.key."""
    subject = ("-subj", f"/CN=Interop {name}", "-days", "30")
    openssl(folder, "req", "-x509", *_EC, "-keyout", f"{name}.key", "-out", f"{name}.pem", *subject)
    assert (folder / f"{name}.pem").exists()


def make_certificate(folder: Path, name: str, subject: str, names: str) -> None:
    """Write NAME.pem and NAME.key, signed by ca.

    Args:
        folder: where ca.pem is.
        name: of the files.
        subject: as `/O=Example/CN=name`.
        names: as `DNS:www.example,email:a@example`.
    """
    openssl(
        folder, "req", *_EC, "-utf8", "-keyout", f"{name}.key", "-out", "request", "-subj", subject
    )
    (folder / "extensions").write_text(f"subjectAltName={names}\n", encoding="utf-8")
    signed = openssl(
        folder,
        *("x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "20"),
        *("-extfile", "extensions", "-out", f"{name}.new"),
    )
    assert (folder / f"{name}.new").exists(), signed
    (folder / f"{name}.new").rename(folder / f"{name}.pem")
