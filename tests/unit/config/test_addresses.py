import pytest

from ajpd.config.addresses import ListenAddress, parse_host, parse_unix_path


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("127.0.0.1:8080", ListenAddress(host="127.0.0.1", port=8080), "127.0.0.1:8080"),
        ("localhost:0", ListenAddress(host="localhost", port=0), "localhost:0"),
        ("[::1]:80", ListenAddress(host="::1", port=80), "[::1]:80"),
        ("unix:/run/a", ListenAddress(path="/run/a"), "unix:/run/a"),
        ("fd:3", ListenAddress(fd="3"), "fd:3"),
        ("fd:ajpd.socket", ListenAddress(fd="ajpd.socket"), "fd:ajpd.socket"),
    ],
)
def test_listen(text: str, address: ListenAddress, shown: str) -> None:
    assert ListenAddress.parse(text) == address
    assert str(address) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8080", "does not end with a port"),
        ("localhost", "does not end with a port"),
        ("localhost:", "does not end with a port"),
        ("localhost:http", "does not end with a port"),
        ("localhost:65536", "does not end with a port"),
        (":8080", "0.0.0.0:8080 listens on all"),
        ("*:8080", "0.0.0.0:8080 listens on all"),
        ("::1:8080", "needs brackets"),
        ("[::g]:8080", "neither a host name nor an address"),
        ("[localhost]:8080", "neither a host name nor an address"),
        ("a b:8080", "neither a host name nor an address"),
        ("unix:run/a", "begins with /"),
        ("fd:2", "0 to 2 are the standard streams"),
        ("fd:", "a number belongs behind fd:"),
        ("fd:a:b", "a number belongs behind fd:"),
    ],
)
def test_bad_listen(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ListenAddress.parse(text)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("localhost", "localhost"),
        ("app_1.internal.", "app_1.internal."),
        ("1tomcat", "1tomcat"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("[fe80::1%eth0]", "fe80::1%eth0"),
    ],
)
def test_host(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "-x", "host(x)", "$HOST", "$(HOST)", "{{ ip }}", "hö", "a/b", "[h]"]
)
def test_bad_host(text: str) -> None:
    with pytest.raises(ValueError, match="neither a host name nor an address"):
        parse_host(text)


def test_a_host_with_a_port() -> None:
    with pytest.raises(ValueError, match=r"write host=10\.0\.0\.1 and port=8009"):
        parse_host("10.0.0.1:8009")


def test_unix_paths_have_a_length() -> None:
    assert parse_unix_path("unix:/" + "x" * 106) == "/" + "x" * 106
    with pytest.raises(ValueError, match="at most 107 bytes"):
        parse_unix_path("unix:/" + "x" * 107)
