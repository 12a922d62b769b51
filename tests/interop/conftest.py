"""Fixtures: one Tomcat, one Apache with mod_jk and the daemon, each started once.

`AJPD_TEST_TARGET=apache` points every test that asks for `front` at mod_jk instead of the daemon:
when a test fails, that tells whether the daemon is to blame or the test.
"""

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from .apache import Apache
from .daemon import Daemon, Setting, Style
from .front import Front
from .processes import ServerProcess
from .tomcat import Connector, Tomcat, build_application

HERE = Path(__file__).parent
TARGET = os.environ.get("AJPD_TEST_TARGET", "ajpd")

#: Which files the daemon before each connector is started from: both ways are tested.
_STYLES: dict[int, Style] = {8192: "toml", 65536: "properties"}

MakeDaemon = Callable[..., Front]


def pytest_configure(config: pytest.Config) -> None:
    if TARGET not in ("ajpd", "apache"):
        raise pytest.UsageError(f"AJPD_TEST_TARGET={TARGET}: neither ajpd nor apache")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all of this folder; what starts a daemon of its own is slow for that reason alone."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.interop)
            if "make_daemon" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the last output of the servers that a failed test used."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            process = getattr(value, "process", None)
            if isinstance(process, ServerProcess):
                report.sections.append((f"output of {name}", process.tail()))
    return report


@pytest.fixture(scope="session")
def directory() -> Iterator[Path]:
    """A directory for servers; other users may look into it, which Apache's children need."""
    with tempfile.TemporaryDirectory(prefix="ajpd-interop-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="session")
def application(directory: Path) -> Path:
    """The compiled probe application."""
    return build_application(HERE / "webapp", directory)


@pytest.fixture(scope="session")
def tomcat(directory: Path, application: Path) -> Iterator[Tomcat]:
    """A Tomcat with a connector for each packet size; it lives as long as the tests."""
    server = Tomcat("tomcat", directory, application)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def tomcat_8k(tomcat: Tomcat) -> Connector:
    """The connector with the packet size that everybody has."""
    return tomcat.connectors[8192]


@pytest.fixture(scope="session")
def tomcat_64k(tomcat: Tomcat) -> Connector:
    """The connector with the largest packet size."""
    return tomcat.connectors[65536]


@pytest.fixture(scope="session")
def apache(directory: Path, tomcat_8k: Connector, tomcat_64k: Connector) -> Iterator[Apache]:
    """Apache httpd with mod_jk before both connectors."""
    base = directory / "mod_jk"
    base.mkdir()
    base.chmod(0o755)
    server = Apache(base, (tomcat_8k, tomcat_64k))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_daemons(
    directory: Path, tomcat_8k: Connector, tomcat_64k: Connector
) -> Iterator[dict[int, Front]]:
    """The daemons that most tests share: one for each packet size."""
    daemons = {
        connector.packet_size: Daemon(
            directory / f"ajpd-{connector.packet_size}", connector, _STYLES[connector.packet_size]
        )
        for connector in (tomcat_8k, tomcat_64k)
    }
    try:
        yield {size: daemon.start() for size, daemon in daemons.items()}
    finally:
        for daemon in daemons.values():
            daemon.stop()


@pytest.fixture(params=[8192, 65536], ids=["8k", "64k"])
def packet_size(request: pytest.FixtureRequest) -> Any:
    """Largest AJP packet, in bytes."""
    return request.param


@pytest.fixture
def front(request: pytest.FixtureRequest, packet_size: int) -> Iterator[Front]:
    """The server under test, before a connector of that packet size.

    Fails the test when the daemon did not survive it, or logged an error of its own.
    """
    if TARGET == "apache":
        yield request.getfixturevalue("apache").front(packet_size)
        return
    found: Front = request.getfixturevalue("shared_daemons")[packet_size]
    length = len(found.process.output())
    yield found
    assert found.process.is_alive, f"the daemon died\n{found.process.tail()}"
    assert not found.complaints(since=length)


@pytest.fixture
def make_daemon(tmp_path: Path) -> Iterator[MakeDaemon]:
    """Start daemons that no other test uses; skipped when Apache is the target."""
    if TARGET == "apache":
        pytest.skip("needs a daemon of its own")
    started: list[Daemon] = []

    def make(connector: Connector, style: Style = "toml", **settings: Setting) -> Front:
        daemon = Daemon(tmp_path / f"ajpd-{len(started)}", connector, style, settings)
        started.append(daemon)
        return daemon.start()

    yield make
    for daemon in started:
        daemon.stop()


@pytest.fixture
def only_ajpd() -> None:
    """Skip what mod_jk is known not to do; the test says what that is."""
    if TARGET == "apache":
        pytest.skip("not expected of mod_jk")


@pytest.fixture
def folder(directory: Path) -> Path:
    """An empty directory for a server that drops its rights."""
    path = Path(tempfile.mkdtemp(dir=directory))
    path.chmod(0o755)
    return path
