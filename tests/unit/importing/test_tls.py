from pathlib import Path

import pytest

from ajpd.importing.importer import Options
from tests.unit.pki import Place

from .stage import Stage

HOST = """\
<VirtualHost *:443>
  ServerName {name}
  SSLEngine on
{lines}
  JkMount /a one
</VirtualHost>
"""
PAIR = "SSLCertificateFile {0}.pem\nSSLCertificateKeyFile {0}.key"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """With certificates in it."""
    Place(tmp_path)
    return Stage(tmp_path)


def host(*lines: str, name: str = "www.example", pair: str = "www") -> str:
    return HOST.format(name=name, lines="\n".join((PAIR.format(pair), *lines)))


def test_addresses_and_certificates(stage: Stage) -> None:
    found = stage.jk(f"Listen 80\nListen 443\n{host()}{host(name='x.wild.example', pair='wild')}")
    assert found["server"]["listen"] == ["0.0.0.0:80", "[::]:80"]
    assert found["tls"] == {
        "listen": ["0.0.0.0:443", "[::]:443"],
        "certificate": [str(stage.folder / f"{name}.pem") for name in ("www", "wild")],
        "key": [str(stage.folder / f"{name}.key") for name in ("www", "wild")],
    }
    assert stage.result.is_good
    assert stage.errors() == []


@pytest.mark.parametrize("listen", ["Listen 443", "Listen 443 https", "Listen 10.0.0.1:443"])
def test_tls_alone(stage: Stage, listen: str) -> None:
    found = stage.jk(f"{listen}\n{host()}")
    assert found["server"]["listen"] == []
    assert all(address.endswith(":443") for address in found["tls"]["listen"])
    assert stage.result.is_good


def test_the_protocol_says_it_as_well(stage: Stage) -> None:
    found = stage.jk(f"Listen 8443 https\nListen 81\n{host()}")
    assert found["tls"]["listen"] == ["0.0.0.0:8443", "[::]:8443"]
    assert found["server"]["listen"] == ["0.0.0.0:81", "[::]:81"]


def test_own_addresses(stage: Stage) -> None:
    """To try it beside Apache, without its certificates."""
    options = Options(listen=["127.0.0.1:8081"])
    found = stage.jk(f"Listen 80\nListen 443\n{host()}", options)
    assert found["server"]["listen"] == ["127.0.0.1:8081"]
    assert "tls" not in found
    assert stage.result.is_good


def test_key_in_the_file_of_its_certificate(stage: Stage) -> None:
    both = (stage.folder / "www.pem").read_text() + (stage.folder / "www.key").read_text()
    stage.write("both.pem", both)
    found = stage.jk(HOST.format(name="www.example", lines="SSLCertificateFile both.pem"))
    assert found["tls"]["certificate"] == [str(stage.folder / "both.pem")]
    assert "key" not in found["tls"]
    assert stage.result.is_good


@pytest.mark.parametrize("listens", ["Listen 80\nListen 443\n", ""])
def test_certificates_that_are_not_here(stage: Stage, listens: str) -> None:
    found = stage.jk(listens + HOST.format(name="a", lines="SSLCertificateFile /no/c.pem"))
    assert "tls" not in found
    assert '#listen = ["0.0.0.0:443", "[::]:443"]' in stage.result.text
    assert "/no/c.pem is not here, so [tls] is a comment" in stage.errors()[0]
    assert stage.result.is_good


def test_no_certificate(stage: Stage) -> None:
    stage.jk(HOST.format(name="a", lines=""))
    assert "there is no SSLCertificateFile" in stage.errors()[0]
    assert stage.result.is_good


@pytest.mark.parametrize(
    ("lines", "settings"),
    [
        (
            "SSLVerifyClient require\nSSLCACertificateFile ca.pem",
            {"client_verify": "require", "client_ca": "ca.pem"},
        ),
        (
            "SSLVerifyClient optional_no_ca\nSSLCACertificateFile ca.pem\n"
            "JkOptions +ForwardSSLCertChain",
            {"client_verify": "optional", "client_ca": "ca.pem", "client_chain": True},
        ),
        ("SSLVerifyClient none", {}),
        ("SSLVerifyClient require", {}),
        ("SSLProtocol all -SSLv2 -SSLv3", {}),
        ("SSLProtocol -all +TLSv1.3", {"min_version": "1.3"}),
        ("SSLProtocol TLSv1.3", {"min_version": "1.3"}),
        # The second one takes the place of the first, for Apache too: there is no + before it.
        ("SSLProtocol TLSv1.2 TLSv1.3", {"min_version": "1.3"}),
        ("SSLProtocol +TLSv1.2 +TLSv1.3", {}),
        ("SSLProtocol all -TLSv1.2", {"min_version": "1.3"}),
        ("SSLCipherSuite HIGH:!aNULL", {"ciphers": "HIGH:!aNULL"}),
        ("SSLCipherSuite NOTHING", {}),
        ("SSLCipherSuite TLSv1.3 TLS_AES_128_GCM_SHA256", {}),
        *(
            (
                f"SSLVerifyClient require\nSSLCACertificateFile ca.pem\nSSLUserName {name}",
                {"client_verify": "require", "client_ca": "ca.pem", **user},
            )
            for name, user in (
                ("SSL_CLIENT_S_DN_CN", {"remote_user": "CN"}),
                ("SSL_CLIENT_S_DN", {"remote_user": "DN"}),
                ("SSL_CLIENT_S_DN_Email", {"remote_user": "emailAddress"}),
                ("SSL_CLIENT_SAN_Email_0", {"remote_user": "SAN:email"}),
                ("SSL_CIPHER", {}),
            )
        ),
    ],
)
def test_what_else_is_said_about_tls(stage: Stage, lines: str, settings: dict[str, object]) -> None:
    found = stage.jk(host(lines))["tls"]
    if "client_ca" in settings:
        settings = {**settings, "client_ca": str(stage.folder / "ca.pem")}
    assert {
        key: found[key] for key in found if key not in ("listen", "certificate", "key")
    } == settings
    assert stage.result.is_good, stage.errors()


def test_a_chain_in_a_file_of_its_own(stage: Stage) -> None:
    stage.jk(host("SSLCertificateChainFile ca.pem"))
    assert "put both into one file" in stage.warnings()[0]
    stage.jk(host("SSLCertificateChainFile www.pem"))
    assert stage.warnings() == []


def test_hosts_that_do_not_agree(stage: Stage) -> None:
    one, two = host("SSLProtocol TLSv1.3"), host("SSLProtocol all", name="b.example")
    found = stage.jk(one + two)
    assert found["tls"]["min_version"] == "1.3"
    assert any("virtual hosts do not agree about it" in said for said in stage.warnings())


def test_what_the_main_server_says(stage: Stage) -> None:
    found = stage.jk(PAIR.format("www") + "\n" + HOST.format(name="a.example", lines=""))
    assert found["tls"]["certificate"] == [str(stage.folder / "www.pem")]
    found = stage.jk(f"Listen 443\nSSLEngine on\n{PAIR.format('www')}\nJkMount /a one")
    assert found["server"]["listen"] == []
    assert stage.result.is_good


def test_addresses_that_cannot_be(stage: Stage) -> None:
    found = stage.jk("JkMount /a one\nListen nowhere\nListen 127.0.0.1:5")
    assert found["server"]["listen"] == ["127.0.0.1:5"]
    assert "it is left out" in stage.errors()[0]


def test_tls_that_is_off(stage: Stage) -> None:
    found = stage.jk(
        f"JkMount /a one\nSSLEngine off\n{PAIR.format('www')}\nJkLogLevel info\nJkLogLevel warn"
    )
    assert "tls" not in found
    named = [note.partition(":")[0] for note in stage.notes() if "nothing of it is in" in note]
    assert named == ["3", "4", "5", "6"]
