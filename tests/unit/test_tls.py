"""Handshakes in memory: which certificate, what containers are told, files that change."""

import logging
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from ajpd.config.certificates import BadCertificate
from ajpd.tls import ClientTLS, Contexts, client_tls
from tests.unit.pki import USER, Authority, Place, common_name


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def shake(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str | None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A whole handshake in memory; the server's side and the client's."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=name)
    waiting = [theirs, ours]
    for _ in range(10):
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            return ours, theirs
    raise AssertionError("the handshake does not end")


def served(contexts: Contexts, place: Place, name: str | None) -> str:
    """The first host name in the certificate that a client gets."""
    client = place.client()
    client.check_hostname = False
    _, theirs = shake(contexts.current, client, name)
    certificate = theirs.getpeercert()
    assert certificate is not None
    kind, found = certificate["subjectAltName"][0]  # type: ignore[misc]
    assert kind == "DNS"
    return str(found)


# --- what a handshake finds out -------------------------------------------------------------------


def describe(
    place: Place, *, with_certificate: bool, tls12: bool = False, **values: Any
) -> ClientTLS:
    config = place.config(**values)
    client = place.client(with_certificate=with_certificate)
    if tls12:
        client.maximum_version = ssl.TLSVersion.TLSv1_2
    ours, _ = shake(Contexts(config).current, client, "www.example")
    return client_tls(ours, config)


def test_a_client_without_a_certificate(place: Place) -> None:
    found = describe(place, with_certificate=False)
    assert found.protocol == b"TLSv1.3"
    assert found.cipher.startswith(b"TLS_")
    assert found.key_size in (128, 256)
    assert found.session is not None
    assert len(bytes.fromhex(found.session.decode())) == 32
    assert (found.certificate, found.remote_user, found.auth_type) == (None, None, None)
    assert found.field(b"s_dn_cn") is found.field(b"cert") is found.field(b"verify") is None


def test_a_session_without_an_id(place: Place) -> None:
    # With tickets, which clients of TLS 1.2 have, a session gets none until it is resumed.
    found = describe(place, with_certificate=False, tls12=True)
    assert found.protocol == b"TLSv1.2"
    assert found.cipher.startswith(b"ECDHE-")
    assert found.session is None


def test_a_certificate_that_nobody_asked_for(place: Place) -> None:
    found = describe(place, with_certificate=True)
    assert found.certificate is None
    assert found.field(b"s_dn") is None


@pytest.mark.parametrize("verify", ["optional", "require"])
def test_a_client_with_a_certificate(place: Place, verify: str) -> None:
    found = describe(place, with_certificate=True, client_verify=verify, remote_user=b"s_dn_cn")
    assert found.certificate == place.client_pem
    assert found.field(b"cert") == place.client_pem
    assert found.field(b"verify") == b"SUCCESS"
    assert (found.remote_user, found.auth_type) == (b"alice", b"CLIENT_CERT")
    assert found.field(b"s_dn") == b"emailAddress=alice@example,CN=alice,O=Example"
    assert found.field(b"i_dn") == b"CN=Middle CA"
    assert found.field(b"m_serial") == b"0ABC"
    assert found.field(b"san_email") == b"alice@san.example"
    assert found.field(b"san_email") is found.field(b"san_email")
    assert repr(found).endswith("with certificate user=b'alice'>")


def test_optional_without_one(place: Place) -> None:
    found = describe(
        place, with_certificate=False, client_verify="optional", remote_user=b"s_dn_cn"
    )
    assert (found.certificate, found.remote_user, found.auth_type) == (None, None, None)


def test_a_certificate_without_the_part_that_names_the_user(place: Place) -> None:
    found = describe(place, with_certificate=True, client_verify="require", remote_user=b"s_dn_uid")
    assert found.certificate is not None
    assert (found.remote_user, found.auth_type) == (None, None)


def test_the_chain_of_a_client(place: Place) -> None:
    found = describe(place, with_certificate=True, client_verify="require", client_chain=True)
    assert found.certificate == place.client_pem + place.middle.pem
    assert found.field(b"cert") == place.client_pem


def test_a_python_that_tells_no_chain(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    config = place.config(client_verify="require", client_chain=True)
    ours, _ = shake(Contexts(config).current, place.client(with_certificate=True), "www.example")

    class Blind:
        """The same connection without any way to ask for the chain."""

        def __getattr__(self, name: str) -> Any:
            if name in ("get_unverified_chain", "_sslobj"):
                raise AttributeError(name)
            return getattr(ours, name)

    found = client_tls(Blind(), config)  # type: ignore[arg-type]
    assert found.certificate == place.client_pem
    assert "this Python does not tell the chain" in caplog.text


# --- which certificate, which clients -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("www.example", "www.example"),
        ("a.wild.example", "*.wild.example"),
        ("A.Wild.Example", "*.wild.example"),
        ("mail.example", "*.wild.example"),
        ("a.b.wild.example", "www.example"),
        ("wild.example", "www.example"),
        ("nobody.example", "www.example"),
        (None, "www.example"),
    ],
)
def test_a_client_gets_the_certificate_it_asks_for(
    place: Place, name: str | None, expected: str
) -> None:
    assert served(Contexts(place.config("www", "wild")), place, name) == expected


def test_the_common_name_counts_where_there_is_no_other(place: Place) -> None:
    certificate, key = place.authority.sign(common_name("Old.Example"))
    (place.folder / "old.pem").write_bytes(certificate)
    (place.folder / "old.key").write_bytes(key)
    contexts = Contexts(place.config("www", "old"))
    client = place.client()
    client.check_hostname = False
    _, theirs = shake(contexts.current, client, "old.example")
    assert "subjectAltName" not in (theirs.getpeercert() or {})


def test_clients_certificates_are_asked_for_under_every_name(place: Place) -> None:
    contexts = Contexts(place.config("www", "wild", client_verify="require"))
    ours, _ = shake(contexts.current, place.client(with_certificate=True), "mail.example")
    assert ours.getpeercert()
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake(contexts.current, place.client(), "mail.example")


def test_a_certificate_of_somebody_else_is_refused(place: Place) -> None:
    certificate, key = Authority().sign(USER)
    (place.folder / "client.pem").write_bytes(certificate + key)
    contexts = Contexts(place.config(client_verify="optional"))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(contexts.current, place.client(with_certificate=True), "www.example")


def test_old_versions_are_refused(place: Place) -> None:
    client = place.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        shake(Contexts(place.config(min_version="1.3")).current, client, "www.example")
    ours, _ = shake(Contexts(place.config()).current, client, "www.example")
    assert ours.version() == "TLSv1.2"


def test_ciphers(place: Place) -> None:
    client = place.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    cipher = "ECDHE-ECDSA-CHACHA20-POLY1305"
    ours, _ = shake(Contexts(place.config(ciphers=cipher)).current, client, "www.example")
    assert (ours.cipher() or ("",))[0] == cipher


@pytest.mark.parametrize(
    ("offered", "agreed"), [(["h2", "http/1.1"], "http/1.1"), (["h2"], None), ([], None)]
)
def test_http_1_1_is_agreed_on(place: Place, offered: list[str], agreed: str | None) -> None:
    client = place.client()
    if offered:
        client.set_alpn_protocols(offered)
    ours, theirs = shake(Contexts(place.config()).current, client, "www.example")
    assert ours.selected_alpn_protocol() == theirs.selected_alpn_protocol() == agreed


# --- files that change ----------------------------------------------------------------------------


def replace(place: Place, name: str, *hosts: str) -> None:
    """Other certificates under the same names, as another file: renamed into place."""
    place.authority.server(place.folder, "new", *hosts)
    for ending in ("pem", "key"):
        os.replace(place.folder / f"new.{ending}", place.folder / f"{name}.{ending}")


def test_nothing_changed(place: Place) -> None:
    contexts = Contexts(place.config())
    before = contexts.current
    assert not contexts.look()
    assert contexts.current is before


def test_new_files_count_from_the_next_handshake(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ajpd")
    contexts = Contexts(place.config("wild", "www"))
    before = contexts.current
    replace(place, "www", "new.example")
    assert contexts.look()
    assert contexts.current is not before
    assert served(contexts, place, "new.example") == "new.example"
    # The file's name is no longer served; whoever holds the old context still gets it.
    assert served(contexts, place, "www.example") == "*.wild.example"
    assert "certificates read: " in caplog.text
    assert not contexts.look()


@pytest.mark.parametrize("broken", ["key", "pem"])
def test_a_broken_file_changes_nothing_and_is_told_once(
    place: Place, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    contexts = Contexts(place.config("www", "wild"))
    before = contexts.current
    (place.folder / f"wild.{broken}").write_text("garbage")
    assert not contexts.look()
    assert contexts.current is before
    assert not contexts.look()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert f"wild.{broken}: there is no" in record.getMessage()
    assert "stay in use" in record.getMessage()
    replace(place, "wild", "wild2.example")
    assert contexts.look()
    assert served(contexts, place, "wild2.example") == "wild2.example"


def test_half_of_a_renewal_is_not_used(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    contexts = Contexts(place.config())
    place.authority.server(place.folder, "new", "new.example")
    os.replace(place.folder / "new.pem", place.folder / "www.pem")
    assert not contexts.look()
    assert "the key is not that of the certificate" in caplog.text
    os.replace(place.folder / "new.key", place.folder / "www.key")
    assert contexts.look()
    assert served(contexts, place, None) == "new.example"


def test_a_file_that_goes_and_comes_back(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    contexts = Contexts(place.config(client_verify="require"))
    os.rename(place.folder / "ca.pem", place.folder / "away")
    assert not contexts.look()
    assert "tls.client_ca: " in caplog.text
    os.rename(place.folder / "away", place.folder / "ca.pem")
    assert contexts.look()


def test_reload_does_not_ask_whether_anything_changed(place: Place) -> None:
    contexts = Contexts(place.config())
    before = contexts.current
    assert contexts.reload()
    assert contexts.current is not before


def test_a_certificate_that_ends_soon_is_told_when_it_is_read(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    contexts = Contexts(place.config())
    place.authority.server(place.folder, "www", "www.example", days=3)
    assert contexts.reload()
    assert "expires in 2 days" in caplog.text


def test_files_that_are_broken_from_the_start(place: Place) -> None:
    (place.folder / "www.key").write_text("")
    with pytest.raises(BadCertificate, match="there is no private key"):
        Contexts(place.config())
