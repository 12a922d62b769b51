"""TLS before ajpd, Tomcat behind: what a servlet sees, which certificate is shown.

Clients are curl and openssl, which share no code with ajpd but OpenSSL itself.
"""

import contextlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .daemon import ROOT
from .pki import make_authority, make_certificate, openssl
from .processes import ServerProcess, free_port, listens, missing
from .rawhttp import build, fetch
from .tomcat import Connector, Tomcat, TomcatOptions

_TOML = """\
[server]
processes = 1
listen = ["127.0.0.1:{plain}"]
header_timeout = "1s"
trusted_proxies = ["127.0.0.2"]

[tls]
listen = ["127.0.0.1:{port}"]
certificate = ["www.pem", "mail.pem"]
key = ["www.key", "mail.key"]
client_ca = "ca.pem"
client_verify = "optional"
remote_user = "CN"
reload = "1s"

[attributes]
SSL_CLIENT_S_DN = "certificate:S_DN"
SSL_CLIENT_SAN_Email_0 = "certificate:SAN_Email_0"
SSL_CLIENT_VERIFY = "certificate:VERIFY|NONE"
"app.instance" = "value:blue"
"app.country" = "header:X-Country|unknown"

[worker.tomcat]
host = "{host}"
port = {ajp}
secret = "{secret}"

[mount]
"/app/*" = "tomcat"
"""
#: What `ajpd check` says for this configuration; the Tomcat of these tests has it.
_PATTERN = r"SSL_CLIENT_S_DN|SSL_CLIENT_SAN_Email_0|SSL_CLIENT_VERIFY|app\.instance|app\.country"
#: Containers show such attributes to those only who ask for them by name.
_DUMP = "/app/dump?attribute=" + "&attribute=".join(_PATTERN.replace("\\", "").split("|"))
_PROXY = b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 443\r\n"


@pytest.fixture(scope="module", autouse=True)
def _needs_curl() -> None:
    """Most tests here ask with it."""
    if shutil.which("curl") is None:
        missing("curl", "curl")


@pytest.fixture(scope="module")
def believing(directory: Path, application: Path) -> Iterator[Connector]:
    """A Tomcat that takes the remote user and the attributes from its web server."""
    options = TomcatOptions(
        packet_sizes=(8192,), allowed_attributes=_PATTERN, believes_remote_user=True
    )
    server = Tomcat("believing", directory, application, options)
    server.start()
    yield server.connectors[8192]
    server.stop()


class Secured:
    """An ajpd with TLS and the files it uses."""

    def __init__(self, folder: Path, connector: Connector) -> None:
        self.folder = folder
        self.port, self.plain = free_port(), free_port()
        make_authority(folder)
        make_certificate(folder, "www", "/CN=www.example", "DNS:www.example")
        make_certificate(folder, "mail", "/CN=mail.example", "DNS:mail.example,DNS:*.wild.example")
        make_certificate(
            folder,
            "client",
            "/C=AT/O=Ex, Inc/CN=Jörg/emailAddress=j@subject.example",
            "email:j@example",
        )
        self.config = folder / "ajpd.toml"
        self.config.write_text(
            _TOML.format(
                plain=self.plain,
                port=self.port,
                host=connector.host,
                ajp=connector.port,
                secret=connector.secret,
            ),
            encoding="utf-8",
        )
        self.process = ServerProcess(
            "ajpd-tls",
            [sys.executable, "-m", "ajpd", "run", "-c", str(self.config)],
            folder,
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'daemon'}", "PYTHONUNBUFFERED": "1"},
        )

    def curl(self, path: str, *args: str, host: str = "www.example") -> str:
        """Fetch a page; what curl says about a failure where it fails."""
        done = subprocess.run(
            [
                *("curl", "-sS", "--max-time", "10", "--cacert", "ca.pem"),
                *("--resolve", f"{host}:{self.port}:127.0.0.1"),
                *args,
                f"https://{host}:{self.port}{path}",
            ],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=20,
            check=False,
        )
        return done.stdout.decode()

    def seen(self, *args: str) -> dict[str, Any]:
        """A request as the servlet sees it."""
        page = self.curl(_DUMP, *args)
        try:
            found: dict[str, Any] = json.loads(page)
        except ValueError as exc:
            raise AssertionError(f"no dump: {page}\n{self.process.tail()}") from exc
        return found

    def shown(self, name: str, *args: str) -> str:
        """The subject of the certificate that a client gets who asks for a name."""
        output = openssl(
            self.folder,
            *("s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", name),
            *("-CAfile", "ca.pem", *args),
        )
        found = re.search(r"^subject=(.*)$", output, re.MULTILINE)
        return found[1] if found is not None else output


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, believing: Connector) -> Iterator[Secured]:
    """One ajpd for all tests of this file; none of them may make it complain."""
    server = Secured(tmp_path_factory.mktemp("tls"), believing)
    server.process.start(lambda: listens(server.plain) and listens(server.port), timeout=20)
    yield server
    code = server.process.stop()
    assert code == 0
    output = server.process.output()
    for words in ("Traceback", "Exception", "ERROR", "never retrieved", " asyncio "):
        assert words not in output.replace("ERROR ajpd.tls tls.key", ""), output


@pytest.fixture
def secured(shared: Secured) -> Iterator[Secured]:
    yield shared
    assert shared.process.is_alive, shared.process.tail()


CERTIFICATE = ("--cert", "client.pem", "--key", "client.key")


def test_a_client_with_a_certificate(secured: Secured) -> None:
    seen = secured.seen(*CERTIFICATE)
    assert (seen["scheme"], seen["secure"]) == ("https", True)
    assert (seen["serverName"], seen["serverPort"]) == ("www.example", secured.port)
    # Tomcat reads attributes as Latin-1, whichever web server sends them.
    assert seen["remoteUser"].encode("latin-1").decode() == "Jörg"
    assert seen["authType"] == "CLIENT_CERT"
    attributes = seen["attributes"]
    (certificate,) = attributes["jakarta.servlet.request.X509Certificate"]
    assert 'O="Ex, Inc"' in certificate
    assert "CN=J" in certificate
    assert "CN=Interop ca" in certificate
    assert attributes["jakarta.servlet.request.cipher_suite"].startswith("TLS_AES_")
    assert attributes["jakarta.servlet.request.key_size"] in (128, 256)
    assert re.fullmatch("[0-9a-f]{64}", attributes["jakarta.servlet.request.ssl_session_id"])
    assert "TLSv1.3" in [attributes.get(name) for name in PROTOCOL]
    assert attributes["SSL_CLIENT_S_DN"] == (
        r"emailAddress=j@subject.example,CN=J\C3\B6rg,O=Ex\, Inc,C=AT"
    )
    assert attributes["SSL_CLIENT_SAN_Email_0"] == "j@example"
    assert attributes["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert attributes["app.instance"] == "blue"
    assert attributes["app.country"] == "unknown"


#: Where containers show the version of TLS: Tomcat's own name, and that of Servlet 6.1.
PROTOCOL = (
    "org.apache.tomcat.util.net.secure_protocol_version",
    "jakarta.servlet.request.secure_protocol",
)


def test_a_client_without_one(secured: Secured) -> None:
    seen = secured.seen("--tls-max", "1.2")
    assert (seen["secure"], seen["remoteUser"], seen["authType"]) == (True, None, None)
    attributes = seen["attributes"]
    assert "jakarta.servlet.request.X509Certificate" not in attributes
    assert "SSL_CLIENT_S_DN" not in attributes
    assert attributes["SSL_CLIENT_VERIFY"] == "NONE"
    assert attributes["jakarta.servlet.request.cipher_suite"].startswith("ECDHE-")
    assert "TLSv1.2" in [attributes.get(name) for name in PROTOCOL]


def test_a_client_without_tls(secured: Secured) -> None:
    response = fetch(("127.0.0.1", secured.plain), build("GET", _DUMP))
    seen = json.loads(response.body)
    assert (seen["scheme"], seen["secure"], seen["remoteUser"]) == ("http", False, None)
    assert "jakarta.servlet.request.cipher_suite" not in seen["attributes"]
    assert seen["attributes"]["SSL_CLIENT_VERIFY"] == "NONE"
    assert seen["attributes"]["app.instance"] == "blue"


def test_headers_that_look_like_attributes_do_not_pass(secured: Secured) -> None:
    sent = ("X-Country: AT", "x_country: DE", "SSL-Client-Verify: SUCCESS", "SSL_CLIENT_S_DN: CN=x")
    seen = secured.seen(*(word for line in sent for word in ("-H", line)), "-H", "X-Other: 1")
    names = {name.lower() for name, _ in seen["headers"]}
    assert "x-other" in names
    assert names.isdisjoint(line.partition(":")[0].lower() for line in sent)
    assert seen["attributes"]["app.country"] == "unknown"
    assert seen["attributes"]["SSL_CLIENT_VERIFY"] == "NONE"


def test_the_header_of_a_trusted_proxy_is_believed(secured: Secured) -> None:
    seen = secured.seen("--interface", "127.0.0.2", "-H", "X-Country: AT")
    assert seen["attributes"]["app.country"] == "AT"
    assert "x-country" not in {name.lower() for name, _ in seen["headers"]}


def test_a_large_upload_and_download(secured: Secured) -> None:
    (secured.folder / "upload").write_bytes(b"0123456789" * 300_000)
    assert secured.curl("/app/hash", "--data-binary", "@upload").startswith("3000000 ")
    page = secured.curl("/app/bytes?n=3000000", "-o", "/dev/null", "-w", "%{size_download}")
    assert page == "3000000"


def test_many_requests_on_one_connection(secured: Secured) -> None:
    url = f"https://www.example:{secured.port}/app/bytes?n=5"
    output = secured.curl("/app/bytes?n=5", *[url] * 9, "-w", "%{num_connects},")
    assert output.count("1,") == 1
    assert output.count("0,") == 9


def test_a_certificate_of_another_authority_ends_the_handshake(secured: Secured) -> None:
    args = ("-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Jörg", "-utf8")
    openssl(secured.folder, "req", *args, "-keyout", "false.key", "-out", "false.pem")
    output = secured.curl("/app/dump", "--cert", "false.pem", "--key", "false.key")
    assert "alert" in output


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("www.example", "CN = www.example"),
        ("mail.example", "CN = mail.example"),
        ("a.wild.example", "CN = mail.example"),
        ("nobody.example", "CN = www.example"),
    ],
)
def test_certificates_by_name(secured: Secured, name: str, subject: str) -> None:
    assert secured.shown(name) == subject


def test_tls_1_1_is_refused(secured: Secured) -> None:
    # Without the security level this openssl would not even ask.
    output = secured.shown("www.example", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    assert "alert protocol version" in output


def test_new_certificates_without_a_restart(secured: Secured) -> None:
    begin = len(secured.process.output())
    make_certificate(secured.folder, "next", "/CN=renewed.example", "DNS:mail.example")
    (secured.folder / "next.pem").rename(secured.folder / "mail.pem")
    wait_for(secured, "tls.key: ", begin)
    assert secured.shown("mail.example") == "CN = mail.example"
    (secured.folder / "next.key").rename(secured.folder / "mail.key")
    wait_for(secured, "INFO ajpd.tls certificates read", begin)
    assert secured.shown("mail.example") == "CN = renewed.example"
    assert secured.process.output()[begin:].count("stay in use") == 1


def wait_for(secured: Secured, words: str, begin: int) -> None:
    deadline = time.monotonic() + 10
    while words not in secured.process.output()[begin:]:
        assert time.monotonic() < deadline, secured.process.tail()
        time.sleep(0.02)


def test_who_does_not_speak_tls_leaves_one_line(secured: Secured) -> None:
    begin = len(secured.process.output())
    with socket.create_connection(("127.0.0.1", secured.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while client.recv(1000):
            pass
    wait_for(secured, "the client speaks HTTP without TLS", begin)
    assert secured.process.output()[begin:].count("\n") == 1


def test_who_never_shakes_hands_is_cut_off(secured: Secured) -> None:
    begin = len(secured.process.output())
    with socket.create_connection(("127.0.0.1", secured.port), timeout=10) as client:
        assert client.recv(1) == b""
    wait_for(secured, "TLS handshake: not done in time", begin)
    assert secured.process.output()[begin:].count("\n") == 1


def test_a_client_that_ends_tls_during_its_request(secured: Secured) -> None:
    begin = len(secured.process.output())
    context = ssl.create_default_context(cafile=secured.folder / "ca.pem")
    with (
        socket.create_connection(("127.0.0.1", secured.port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="www.example") as client,
    ):
        client.sendall(build("GET", "/app/slow?ms=300"))
        with contextlib.suppress(OSError):  # whatever comes before the server's own end
            client.unwrap()
    wait_for(secured, "reason=client_abort", begin)
    assert " asyncio " not in secured.process.output()[begin:]


def test_a_balancer_says_who_its_client_is_before_the_handshake(secured: Secured) -> None:
    context = ssl.create_default_context(cafile=secured.folder / "ca.pem")
    with socket.create_connection(
        ("127.0.0.1", secured.port), timeout=10, source_address=("127.0.0.2", 0)
    ) as raw:
        raw.sendall(_PROXY)
        with context.wrap_socket(raw, server_hostname="www.example") as client:
            client.sendall(build("GET", "/app/dump", headers=[("Connection", "close")]))
            answer = b""
            while data := client.recv(65536):
                answer += data
    seen = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (seen["remoteAddr"], seen["remotePort"]) == ("192.0.2.7", 40000)
    assert seen["secure"]
    assert seen["attributes"]["jakarta.servlet.request.cipher_suite"].startswith("TLS_")


def test_check_prints_the_pattern_for_tomcat(secured: Secured) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ajpd", "check", "-c", str(secured.config)],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'daemon'}"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "ok: 1 worker, 1 rule",
        f'for the Connector of Tomcat: allowedRequestAttributesPattern="{_PATTERN}"',
    ]
