"""`[tls]`: what is wrong with keys and files, with the line; what only deserves a warning."""

import datetime
import subprocess
import sys
from pathlib import Path

import pytest

from ajpd.config.errors import ConfigErrors
from ajpd.config.load import load_toml
from ajpd.config.model import Config, KeyPair, ListenAddress, TlsConfig
from tests.unit.pki import DAY, NOW, Authority, common_name, key_pem, new_key

REST = '[worker.w]\n[mount]\n"/*" = "w"\n'
LISTEN = '[tls]\nlisten = ["127.0.0.1:8443"]\n'
SERVER = LISTEN + 'certificate = "www.pem"\nkey = "www.key"\n'


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Path:
    """A folder with one good pair and an authority."""
    authority.server(tmp_path, "www", "www.example")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    return tmp_path


def load(folder: Path, text: str) -> Config:
    (folder / "ajpd.toml").write_text(text + REST)
    return load_toml(folder / "ajpd.toml", env={})


def tls(folder: Path, text: str) -> TlsConfig:
    config = load(folder, text)
    assert config.tls is not None
    return config.tls


def errors(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(folder, text)
    return [str(error).replace(f"{folder}/", "") for error in caught.value.errors]


def warnings(folder: Path, text: str) -> list[str]:
    config = load(folder, text)
    return [str(warning).replace(f"{folder}/", "") for warning in config.warnings]


def test_defaults(folder: Path) -> None:
    pair = KeyPair(str(folder / "www.pem"), str(folder / "www.key"))
    assert tls(folder, SERVER) == TlsConfig(
        listen=(ListenAddress(host="127.0.0.1", port=8443),), pairs=(pair,)
    )


def test_everything(folder: Path, authority: Authority) -> None:
    authority.server(folder, "other", "other.example")
    found = tls(
        folder,
        LISTEN + 'certificate = ["www.pem", "other.pem"]\nkey = ["www.key", "other.key"]\n'
        'client_ca = "ca.pem"\nclient_verify = "optional"\nclient_chain = true\n'
        'min_version = "1.3"\nremote_user = "SAN:email"\nreload = "5min"\n',
    )
    assert [Path(pair.key).name for pair in found.pairs] == ["www.key", "other.key"]
    assert found.client_ca == str(folder / "ca.pem")
    assert (found.client_verify, found.client_chain) == ("optional", True)
    assert (found.min_version, found.remote_user) == ("1.3", b"san_email")
    assert found.reload_ms == 300_000
    names = [Path(file).name for file in found.files]
    assert names == ["www.pem", "www.key", "other.pem", "other.key", "ca.pem"]


def test_without_the_section_there_is_none(tmp_path: Path) -> None:
    assert load(tmp_path, "").tls is None


def test_key_and_certificate_in_one_file(folder: Path) -> None:
    both = (folder / "www.pem").read_bytes() + (folder / "www.key").read_bytes()
    (folder / "both.pem").write_bytes(both)
    file = str(folder / "both.pem")
    found = tls(folder, LISTEN + 'certificate = "both.pem"\n')
    assert found.pairs == (KeyPair(file, file),)
    assert found.files == (file,)


def test_tls_alone(folder: Path) -> None:
    config = load(folder, "[server]\nlisten = []\n" + SERVER)
    assert config.server.listen == ()
    assert errors(folder, "[server]\nlisten = []\n") == [
        "ajpd.toml:2: listen: there must be an address"
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[tls]\ncertificate = 'www.pem'\nkey = 'www.key'\n",
         "ajpd.toml:1: listen: there must be an address"),
        ("[tls]\nlisten = ['8443']\ncertificate = 'www.pem'\nkey = 'www.key'\n",
         "ajpd.toml:2: listen: '8443' does not end with a port"),
        ("[server]\nlisten = ['127.0.0.1:8443']\n" + SERVER,
         "ajpd.toml:4: listen: 127.0.0.1:8443 is in [server] too, without TLS"),
        (LISTEN, "ajpd.toml:1: certificate: TLS needs one, as the path of a PEM file"),
        (LISTEN + "certificate = 'www.pem'\nkey = ['www.key', 'b']\n",
         "ajpd.toml:4: key: there are 2 for 1 certificates"),
        (LISTEN + "certificate = 'none.pem'\nkey = 'www.key'\n",
         "ajpd.toml:3: certificate: none.pem: cannot read the file: No such file"),
        (LISTEN + "certificate = 'www.key'\n",
         "ajpd.toml:3: certificate: www.key: there is no certificate in it"),
        (LISTEN + "certificate = 'www.pem'\n",
         "ajpd.toml:1: key: www.pem: there is no private key in it"),
        (LISTEN + "certificate = 'www.pem'\nkey = 'none.key'\n",
         "ajpd.toml:4: key: none.key: cannot read the file: No such file"),
        (LISTEN + "certificate = 'broken.pem'\nkey = 'www.key'\n",
         "ajpd.toml:3: certificate: broken.pem: a certificate in it is broken"),
        (LISTEN + "certificate = 'www.pem'\nkey = 'broken.key'\n",
         "ajpd.toml:4: key: broken.key: the key is broken"),
        (LISTEN + "certificate = 'www.pem'\nkey = 'other.key'\n",
         "ajpd.toml:4: key: other.key: the key is not that of the certificate in www.pem"),
        (LISTEN + "certificate = 'www.pem'\nkey = 'secret.key'\n",
         "ajpd.toml:4: key: secret.key: the key has a passphrase"),
        (SERVER + "client_verify = 'require'\n",
         "ajpd.toml:5: client_verify: \"require\" needs client_ca"),
        (SERVER + "client_verify = 'optional'\nclient_ca = 'www.key'\n",
         "ajpd.toml:6: client_ca: www.key: there is no certificate in it"),
        (SERVER + "client_verify = 'optional'\nclient_ca = 'none'\n",
         "ajpd.toml:6: client_ca: none: cannot read the file: No such file"),
        (SERVER + "client_verify = 'maybe'\n",
         "ajpd.toml:5: client_verify: 'maybe' is none of none, optional, require"),
        (SERVER + "min_version = '1.1'\n", "ajpd.toml:5: min_version: '1.1' is none of 1.2, 1.3"),
        (SERVER + "ciphers = 'NONSENSE'\n",
         "ajpd.toml:5: ciphers: OpenSSL knows no cipher of 'NONSENSE'"),
        (SERVER + "remote_user = 'CN'\n",
         "ajpd.toml:5: remote_user: comes from the client's certificate"),
        (SERVER + "client_verify = 'require'\nclient_ca = 'ca.pem'\nremote_user = 'SAN:emial'\n",
         "ajpd.toml:7: remote_user: 'SAN:emial' is no field of a certificate "
         "(did you mean 'SAN:email'?)"),
        (SERVER + "certifcate = 'x'\n",
         "ajpd.toml:5: unknown key 'certifcate' in [tls] (did you mean 'certificate'?)"),
    ],
)  # fmt: skip
def test_errors(folder: Path, authority: Authority, text: str, error: str) -> None:
    (folder / "other.key").write_bytes(key_pem(new_key()))
    (folder / "secret.key").write_bytes(key_pem(new_key(), b"password"))
    for name, what in (("broken.pem", "CERTIFICATE"), ("broken.key", "PRIVATE KEY")):
        (folder / name).write_text(f"-----BEGIN {what}-----\nMAAA\n-----END {what}-----\n")
    found = errors(folder, text)
    assert len(found) == 1, found
    assert found[0].startswith(error)


def test_every_broken_pair_is_told(folder: Path) -> None:
    text = LISTEN + "certificate = ['a.pem', 'www.pem', 'b.pem']\n"
    text += "key = ['www.key', 'c.key', 'www.key']\n"
    assert [error.partition(": cannot")[0] for error in errors(folder, text)] == [
        "ajpd.toml:3: certificate: a.pem",
        "ajpd.toml:3: certificate: b.pem",
        "ajpd.toml:4: key: c.key",
    ]


def test_no_error_hides_another(folder: Path) -> None:
    (folder / "both.pem").write_bytes(b"nothing")
    text = LISTEN + (
        "certificate = ['none.pem', 'both.pem', 'www.pem']\nkey = ['none.key', 'both.pem']\n"
        "client_ca = 'both.pem'\nclient_verify = 'require'\nciphers = 'NONE'\n"
        "remote_user = 'no'\n"
    )
    assert [error.partition(" ")[2].split(": ")[0:2] for error in errors(folder, text)] == [
        ["certificate", "none.pem"],
        ["certificate", "both.pem"],
        ["key", "there are 2 for 3 certificates; each certificate has one, in the same order"],
        ["key", "none.key"],
        ["client_ca", "both.pem"],
        ["ciphers", "OpenSSL knows no cipher of 'NONE'"],
        ["remote_user", "'no' is no field of a certificate"],
    ]


def test_a_file_that_may_not_be_read(folder: Path) -> None:
    # root reads everything; a folder can be read by nobody
    (folder / "www.key").unlink()
    (folder / "www.key").mkdir()
    assert errors(folder, SERVER) == [
        "ajpd.toml:4: key: www.key: cannot read the file: Is a directory"
    ]


def dated(folder: Path, authority: Authority, *, days: int, begins: int = -1) -> list[str]:
    authority.server(folder, "www", "www.example", days=days, begins=begins)
    return warnings(folder, SERVER)


def day_of(days: int) -> str:
    return f"{NOW + days * DAY:%Y-%m-%d %H:%M} UTC"


def test_dates_of_certificates(folder: Path, authority: Authority) -> None:
    start = "ajpd.toml:3: certificate: www.pem: the certificate "
    assert dated(folder, authority, days=-1, begins=-9) == [f"{start}has expired on {day_of(-1)}"]
    assert dated(folder, authority, days=9, begins=2) == [f"{start}is not valid before {day_of(2)}"]
    (soon,) = dated(folder, authority, days=13)
    assert soon == f"{start}expires in 12 days, on {day_of(13)}"
    assert dated(folder, authority, days=15) == []


def test_an_authority_that_has_expired(folder: Path, authority: Authority) -> None:
    old, _ = authority.sign(common_name("old"), days=-1, begins=-9)
    (folder / "ca.pem").write_bytes(authority.pem + old)
    found = warnings(folder, SERVER + "client_verify = 'require'\nclient_ca = 'ca.pem'\n")
    assert found == [f"ajpd.toml:6: client_ca: ca.pem: the certificate has expired on {day_of(-1)}"]


def test_keys_that_mean_nothing(folder: Path) -> None:
    more = "client_ca = 'ca.pem'\nclient_chain = true\nmin_version = '1.3'\nciphers = 'HIGH'\n"
    assert warnings(folder, SERVER + more) == [
        'ajpd.toml:5: client_ca: means nothing while client_verify is "none"',
        'ajpd.toml:6: client_chain: means nothing while client_verify is "none"',
        'ajpd.toml:8: ciphers: are those of TLS 1.2, which min_version = "1.3" does not speak',
    ]


def test_a_certificate_that_nobody_can_ask_for(folder: Path, authority: Authority) -> None:
    authority.server(folder, "again", "WWW.example")
    authority.server(folder, "more", "www.example", "more.example")
    text = LISTEN + "certificate = ['www.pem', 'again.pem', 'more.pem']\n"
    text += "key = ['www.key', 'again.key', 'more.key']\n"
    assert warnings(folder, text) == [
        "ajpd.toml:3: certificate: again.pem is never used: all its names are in www.pem"
    ]


def test_who_uses_no_tls_does_not_pay_for_it(tmp_path: Path) -> None:
    (tmp_path / "ajpd.toml").write_text(REST)
    code = (
        "import sys\n"
        "import ajpd.process, ajpd.cli\n"
        "from ajpd.config import load_toml\n"
        f"load_toml({str(tmp_path / 'ajpd.toml')!r}, env={{}})\n"
        "sys.exit('cryptography' in sys.modules)\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{root}:{root / 'daemon'}"},
        timeout=30,
        check=False,
    )
    assert done.returncode == 0


def test_the_clock_of_these_tests() -> None:
    """The dates above are counted from the start of the tests, which must not be long ago."""
    assert datetime.datetime.now(datetime.UTC) - NOW < DAY
