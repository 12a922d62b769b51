"""Several processes: replaced when they die, changed under load, and ended in every way."""

import asyncio
import contextlib
import grp
import os
import pwd
import signal
import socket
import ssl
import sys
from pathlib import Path

import pytest

from ajpd.child import PATIENCE_S
from tests.faults.container import Container, never
from tests.faults.daemon import Ajpd, Load, ajpd, is_alive, load, until
from tests.interop.processes import free_port
from tests.unit.pki import Authority

# What runs in the test's own loop is not what is tested here: one kind of loop will do.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_factories=["asyncio"]),
]


async def ask(port: int, path: str = "/") -> bytes:
    """The head of one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    try:
        async with asyncio.timeout(5):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def refuses(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return True
    writer.transport.abort()
    return False


def signal_if_alive(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


# --- deaths ---------------------------------------------------------------------------------------


async def test_a_process_that_is_killed_is_replaced(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(port, container.port, server="processes = 2")
        await daemon.start()
        before = daemon.children()
        assert len(before) == 2
        async with load(port) as clients:
            os.kill(before[0], signal.SIGKILL)
            await until(lambda: len(daemon.children()) == 2, within=1.0)
            await clients.more(200)
            # One request at most was under way on each connection that it had.
            assert len(clients.failures) <= 12, clients.failures
            failures = len(clients.failures)
            await clients.more(200)
            assert len(clients.failures) == failures
        assert before[0] not in daemon.children()
        assert before[1] in daemon.children()
        assert f"process {before[0]} was ended by SIGKILL; another one follows" in daemon.said()


async def test_connections_in_the_queue_of_a_dead_process_are_served(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(port, container.port, server="processes = 1")
        await daemon.start()
        (pid,) = daemon.children()
        os.kill(pid, signal.SIGSTOP)
        asking = [asyncio.create_task(ask(port)) for _ in range(10)]
        await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        assert all(head.startswith(b"HTTP/1.1 200 ") for head in await asyncio.gather(*asking))


async def test_a_master_that_is_killed_takes_its_processes_along(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port, pid_file = free_port(), tmp_path / "ajpd.pid"
        daemon.write(port, container.port, server='processes = 2\npid_file = "ajpd.pid"')
        await daemon.start()
        children = daemon.children()
        daemon.signal(signal.SIGKILL)
        assert await daemon.ends() == -signal.SIGKILL
        stale = pid_file.read_text()
        # At once, as systemd would, not when they are gone.
        await daemon.start()
        assert (await ask(port)).startswith(b"HTTP/1.1 200 ")
        await until(lambda: not any(map(is_alive, children)))
        assert pid_file.read_text() == f"{daemon.pid}\n" != stale
        daemon.signal(signal.SIGTERM)
        assert await daemon.ends() == 0
        assert not pid_file.exists()
        assert "the master is gone" in daemon.said()


# --- reload ---------------------------------------------------------------------------------------


async def test_no_request_is_lost_by_fifty_reloads(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(port, container.port, server="processes = 2")
        await daemon.start()
        async with load(port) as clients:
            for number in range(50):
                if number % 5 == 3:
                    daemon.write(port, container.port, server="processes = 'none'")
                    words = "refused, all is as before"
                else:
                    daemon.write(port, container.port, server=f"processes = {number % 3 + 1}")
                    words = "reloaded, listens on"
                before = daemon.count(words)
                daemon.signal(signal.SIGHUP)
                await until(lambda words=words, before=before: daemon.count(words) > before)
                await clients.more(20)
        assert clients.failures == []
        # Whoever drained is gone, and what is left is what the last configuration says.
        await until(lambda: len(daemon.children()) == 2)
        assert daemon.count("ajpd.toml:4:13: processes: 'none' is not a number") == 10
        daemon.signal(signal.SIGTERM)
        assert await daemon.ends() == 0


async def test_no_handshake_is_lost_by_reloads(tmp_path: Path) -> None:
    authority = Authority()
    authority.server(tmp_path, "www", "www.example")
    tls = ssl.create_default_context(cadata=authority.pem.decode())
    tls.check_hostname = False
    async with Container() as container, ajpd(tmp_path) as daemon:
        plain, port = free_port(), free_port()
        more = f'[tls]\nlisten = ["127.0.0.1:{port}"]\ncertificate = "www.pem"\nkey = "www.key"'
        for count in (2, 1, 2, 1):
            daemon.write(plain, container.port, server=f"processes = {count}", more=more)
            if daemon.process is None:
                await daemon.start()
                clients = Load(port, tls)
                clients.begin(8, 2)
            assert (await daemon.reload())[0] == 0
            await clients.more(30)
        await clients.end()
        assert clients.failures == []


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
async def test_a_process_that_stands_still_while_it_drains(is_tls: bool, tmp_path: Path) -> None:
    """Time in which it could not serve does not count against its clients."""
    authority = Authority()
    authority.server(tmp_path, "www", "www.example")
    tls = ssl.create_default_context(cadata=authority.pem.decode())
    tls.check_hostname = False
    async with Container() as container, ajpd(tmp_path) as daemon:
        plain, port = free_port(), free_port()
        more = f'[tls]\nlisten = ["127.0.0.1:{port}"]\ncertificate = "www.pem"\nkey = "www.key"'
        daemon.write(plain, container.port, server="processes = 2", more=more)
        await daemon.start()
        async with load(port if is_tls else plain, tls=tls if is_tls else None) as clients:
            old = daemon.children()
            daemon.signal(signal.SIGHUP)
            await until(lambda: daemon.count("reloaded, listens on"))
            for pid in old:
                signal_if_alive(pid, signal.SIGSTOP)
            await asyncio.sleep(PATIENCE_S + 0.3)
            for pid in old:
                signal_if_alive(pid, signal.SIGCONT)
            await until(lambda: not any(map(is_alive, old)))
        assert clients.failures == []


async def test_no_request_is_lost_without_uvloop(tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError\n")
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(port, container.port, server="processes = 2")
        await daemon.start(path=tmp_path)
        for pid in daemon.children():
            assert "uvloop" not in mapped(pid)
        async with load(port) as clients:
            for _ in range(5):
                assert (await daemon.reload())[0] == 0
                await clients.more(20)
        assert clients.failures == []


async def test_reloads_one_on_top_of_the_other(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(port, container.port, server="processes = 2")
        await daemon.start()
        async with load(port) as clients:
            for _ in range(10):
                daemon.signal(signal.SIGHUP)
            done = await asyncio.gather(*(daemon.reload() for _ in range(3)))
            assert [code for code, _, _ in done] == [0, 0, 0]
        assert clients.failures == []


async def test_a_reload_opens_and_closes_addresses(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        first, second, path = free_port(), free_port(), tmp_path / "http"
        daemon.write(first, container.port)
        await daemon.start()
        daemon.write(second, container.port)
        text = daemon.config.read_text().replace("listen = [", f'listen = ["unix:{path}", ')
        daemon.config.write_text(text)
        code, out, errors = await daemon.reload()
        assert (code, errors) == (0, "")
        assert out.startswith("reloaded: ")
        assert f"on unix:{path}, 127.0.0.1:{second}" in out
        assert (await ask(second)).startswith(b"HTTP/1.1 200 ")
        assert path.is_socket()
        await until(lambda: daemon.count("listens on"))
        deadline = asyncio.get_running_loop().time() + 5
        while not await refuses(first):
            assert asyncio.get_running_loop().time() < deadline
        daemon.write(second, container.port)
        assert (await daemon.reload())[0] == 0
        assert not path.exists()
        assert (await ask(second)).startswith(b"HTTP/1.1 200 ")


async def test_a_reload_changes_the_rules(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(port, container.port)
        await daemon.start()
        assert (await ask(port, "/x/y")).startswith(b"HTTP/1.1 200 ")
        daemon.write(port, container.port, more='"!/x/*" = "app"')
        assert (await daemon.reload())[0] == 0
        assert (await ask(port, "/x/y")).startswith(b"HTTP/1.1 404 ")


async def test_a_reload_that_is_refused_says_why(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(port, container.port)
        await daemon.start()
        children = daemon.children()
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = other.getsockname()[1]
            for text, words in (
                ("[server\n", "error: " + str(daemon.config) + ":1"),
                ("[worker.app]\nhots = 'a'\n[mount]\n'/*' = 'app'", "did you mean 'host'?"),
                (
                    f"[server]\nlisten = ['127.0.0.1:{port}', '127.0.0.1:{taken}']\n"
                    "[worker.app]\n[mount]\n'/*' = 'app'",
                    f"another process uses port {taken}",
                ),
                ("[worker.app]\n[mount]\n'/*' = 'app'\n[log]\nfile = 'no/log'", "log.file: "),
                (
                    "[server]\npid_file = 'no/pid'\n[worker.app]\n[mount]\n'/*' = 'app'",
                    "pid_file: ",
                ),
            ):
                daemon.config.write_text(text)
                code, out, errors = await daemon.reload()
                assert (code, out) == (1, "")
                assert words in errors
                assert "refused, the old configuration is served on" in errors
        assert daemon.children() == children
        assert (await ask(port)).startswith(b"HTTP/1.1 200 ")


async def test_nobody_to_reload(tmp_path: Path) -> None:
    daemon = Ajpd(tmp_path)
    daemon.write(1, 1)
    code, out, errors = await daemon.reload()
    assert (code, out) == (1, "")
    assert errors == f"ajpd reload: no ajpd runs with {daemon.config}\n"


async def test_a_request_under_way_outlives_a_reload(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        go = asyncio.Event()
        container.scripts = [[lambda _: go.wait(), *container.scripts[0]]]
        port = free_port()
        daemon.write(port, container.port, server="processes = 1")
        await daemon.start()
        asking = asyncio.create_task(ask(port))
        await until(lambda: container.executions == 1)
        assert (await daemon.reload())[0] == 0
        assert len(daemon.children()) == 2
        go.set()
        assert (await asking).startswith(b"HTTP/1.1 200 ")
        await until(lambda: len(daemon.children()) == 1)


#: A master whose owner wants to know about its processes, and whose second reload fails badly.
WATCHED = """
import sys
from ajpd.config.load import load_toml
from ajpd.master import Master

def say(what):
    return lambda slot, pid: print(what, slot, pid, file=sys.stderr, flush=True)

def load():
    if loads.pop():
        raise RuntimeError("nobody thought of this")
    return load_toml(path)

loads = [True, False]
path = sys.argv[-1]
master = Master(load_toml(path), load, [path], on_started=say("started"), on_died=say("died"))
sys.exit(master.run())
"""


async def test_slots_and_an_error_of_our_own(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path, may_have_errors=True) as daemon:
        port = free_port()
        daemon.write(port, container.port, server="processes = 2")
        await daemon.start(command=(sys.executable, "-c", WATCHED))
        first = daemon.children()
        for slot, pid in enumerate(first):
            assert f"started {slot} {pid}\n" in daemon.said()
        # No two living processes have the same slot; one that is free is given again.
        assert (await daemon.reload())[0] == 0
        await until(lambda: f"died 0 {first[0]}" in daemon.said())
        await until(lambda: f"died 1 {first[1]}" in daemon.said())
        second = daemon.children()
        for slot, pid in enumerate(second, start=2):
            assert f"started {slot} {pid}\n" in daemon.said()
        os.kill(second[0], signal.SIGKILL)
        await until(lambda: daemon.count("started 0 ") == 2)
        await until(lambda: daemon.children()[-1:] != second[-1:])
        code, _, errors = await daemon.reload()
        assert code == 1
        assert "an error of ajpd itself: RuntimeError('nobody thought of this')" in errors
        assert (await ask(port)).startswith(b"HTTP/1.1 200 ")


# --- processes that hang --------------------------------------------------------------------------


async def test_a_process_that_hangs_is_replaced(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(port, container.port, server='processes = 2\nhang_timeout = "3s"')
        await daemon.start()
        before = daemon.children()
        os.kill(before[0], signal.SIGSTOP)
        await until(lambda: daemon.count(f"process {before[0]} hangs: no sign of life for"))
        await until(lambda: len(set(daemon.children()) - {before[0]}) == 2)
        # The other one was left alone, and everybody is served.
        assert before[1] in daemon.children()
        for _ in range(20):
            assert (await ask(port)).startswith(b"HTTP/1.1 200 ")
        assert daemon.count(" hangs: ") == 1
        assert daemon.count("was ended by SIGKILL") == 1


async def test_nobody_hangs_where_all_were_stopped(tmp_path: Path) -> None:
    """As by a machine that is frozen, or a terminal."""
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(port, container.port, server='processes = 2\nhang_timeout = "3s"')
        await daemon.start()
        before = daemon.children()
        os.killpg(daemon.pid, signal.SIGSTOP)
        await asyncio.sleep(6)
        # The master first, so that it sees what it would make of the others.
        os.kill(daemon.pid, signal.SIGCONT)
        await asyncio.sleep(0.5)
        os.killpg(daemon.pid, signal.SIGCONT)
        await asyncio.sleep(3)
        assert daemon.children() == before
        assert (await ask(port)).startswith(b"HTTP/1.1 200 ")
        assert " hangs: " not in daemon.said()


async def test_a_process_may_hang_where_that_is_wanted(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(port, container.port, server='processes = 2\nhang_timeout = "0"')
        await daemon.start()
        before = daemon.children()
        os.kill(before[0], signal.SIGSTOP)
        await asyncio.sleep(4)
        assert daemon.children() == before
        os.kill(before[0], signal.SIGCONT)
        assert " hangs: " not in daemon.said()


# --- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_waits_and_a_second_one_does_not(
    number: signal.Signals, tmp_path: Path
) -> None:
    async with Container([never]) as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(port, container.port, server="processes = 2")
        await daemon.start()
        asking = asyncio.create_task(ask(port))
        await until(lambda: container.executions == 1)
        daemon.signal(number)
        await until(lambda: len(daemon.children()) == 1)
        # The one that is left may hear of the signal a little later.
        deadline = asyncio.get_running_loop().time() + 5
        while not await refuses(port):
            assert asyncio.get_running_loop().time() < deadline
        assert not asking.done()
        daemon.signal(number)
        assert await daemon.ends(2.0) == 0
        with pytest.raises((OSError, EOFError)):
            await asking
        assert f"{number.name} again: not waiting any longer" in daemon.said()


async def test_quit_does_not_wait(tmp_path: Path) -> None:
    async with Container([never]) as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(port, container.port, server="processes = 2")
        await daemon.start()
        asking = asyncio.create_task(ask(port))
        await until(lambda: container.executions == 1)
        daemon.signal(signal.SIGQUIT)
        assert await daemon.ends(2.0) == 0
        with pytest.raises((OSError, EOFError)):
            await asking


async def test_a_process_that_hangs_is_killed_in_the_end(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        daemon.write(free_port(), container.port, server="processes = 2")
        await daemon.start()
        (first, _) = daemon.children()
        os.kill(first, signal.SIGSTOP)
        daemon.signal(signal.SIGQUIT)
        assert await daemon.ends(8.0) == 0
        assert f"process {first} does not end and is killed" in daemon.said()


# --- logs, files, privileges ----------------------------------------------------------------------


async def test_logs_are_opened_again(tmp_path: Path) -> None:
    log = tmp_path / "ajpd.log"
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(
            port,
            container.port,
            server="processes = 2",
            more='[log]\nlevel = "debug"\nfile = "ajpd.log"',
        )
        await daemon.start(is_ready=lambda: log.exists() and "listens on" in log.read_text())
        log.rename(tmp_path / "old.log")
        daemon.signal(signal.SIGUSR1)
        # One line of each process says so in the new file.
        await until(lambda: log.exists() and log.read_text().count("logs opened again") == 3)
        assert "logs opened again" not in (tmp_path / "old.log").read_text()


async def test_a_second_master_with_the_same_file_is_refused(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        daemon.write(free_port(), container.port, server='pid_file = "ajpd.pid"')
        await daemon.start()
        other = tmp_path / "other.toml"
        other.write_text(daemon.config.read_text())
        code, _, errors = await daemon.ask("run", "-c", other)
        assert code == 1
        path = tmp_path / "ajpd.pid"
        words = f"ajpd: another ajpd runs with pid_file {path}: process {daemon.pid}\n"
        assert errors == words
        assert path.read_text() == f"{daemon.pid}\n"
        assert [name for name in os.listdir(tmp_path) if "pid" in name] == ["ajpd.pid"]


def mapped(pid: int) -> str:
    """The files that a process has in its memory."""
    return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


def ids(pid: int) -> tuple[str, str]:
    """Real, effective, saved and file system ids of a process, users and groups."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    found = {line.partition(":")[0]: line.split()[1:] for line in lines}
    return " ".join(found["Uid"]), " ".join(found["Gid"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_processes_stop_being_root(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o700)
    Authority().server(tmp_path, "www", "www.example")
    log = tmp_path / "ajpd.log"
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        server = 'processes = 2\nuser = "nobody"\ngroup = "daemon"'
        more = f"""
[log]
file = "ajpd.log"
[tls]
listen = ["127.0.0.1:{free_port()}"]
certificate = "www.pem"
key = "www.key"
"""
        daemon.write(port, container.port, server=server, more=more)
        await daemon.start(is_ready=lambda: log.exists() and "listens on" in log.read_text())
        uid, gid = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("daemon").gr_gid
        expected = (" ".join([str(uid)] * 4), " ".join([str(gid)] * 4))
        assert [ids(pid) for pid in daemon.children()] == [expected] * 2
        assert ids(daemon.pid)[0] == "0 0 0 0"
        assert (await ask(port)).startswith(b"HTTP/1.1 200 ")
        words = "www.key cannot be read by this user: new ones count after ajpd reload"
        assert log.read_text().count(words) == 2
        # The log is in a folder that nobody may not look into.
        log.rename(tmp_path / "old.log")
        daemon.signal(signal.SIGUSR1)
        await until(log.exists)
        os.kill(daemon.children()[0], signal.SIGKILL)
        await until(lambda: "was ended by SIGKILL" in log.read_text())
        assert (await daemon.reload())[0] == 0
        assert (await ask(port)).startswith(b"HTTP/1.1 200 ")
        # Root is obeyed, though the table belongs to somebody else.
        code, out, errors = await daemon.ask("status", "-c", daemon.config)
        assert (code, errors) == (0, "")
        assert "2 processes: " in out


# --- scheduling -----------------------------------------------------------------------------------


async def test_processes_wait_for_their_turn_unless_told_otherwise(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port = free_port()
        daemon.write(port, container.port, server="processes = 2")
        await daemon.start()
        policies = [os.sched_getscheduler(pid) for pid in daemon.children()]
        assert policies == [os.SCHED_BATCH] * 2
        assert os.sched_getscheduler(daemon.pid) == os.SCHED_OTHER
        daemon.write(port, container.port, server='processes = 1\nscheduling = "normal"')
        assert (await daemon.reload())[0] == 0
        await until(lambda: len(daemon.children()) == 1)
        assert os.sched_getscheduler(daemon.children()[0]) == os.SCHED_OTHER
        # What somebody chose for the whole daemon stays.
        os.sched_setscheduler(daemon.pid, os.SCHED_IDLE, os.sched_param(0))
        daemon.write(port, container.port, server="processes = 1")
        assert (await daemon.reload())[0] == 0
        await until(lambda: len(daemon.children()) == 1)
        assert os.sched_getscheduler(daemon.children()[0]) == os.SCHED_IDLE
        assert (await ask(port)).startswith(b"HTTP/1.1 200 ")


# --- systemd --------------------------------------------------------------------------------------

#: What systemd does before it starts a service that has a socket.
ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="web")
os.execv(sys.executable, [sys.executable, "-m", "ajpd", *sys.argv[2:]])
"""


@pytest.mark.parametrize("address", ["fd:3", "fd:web"])
async def test_a_socket_that_was_handed_over(address: str, tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            daemon.write(port, container.port, server="processes = 2")
            text = daemon.config.read_text().replace(f"127.0.0.1:{port}", address)
            daemon.config.write_text(text)
            number = listener.fileno()
            command = (sys.executable, "-c", ACTIVATED, str(number))
            await daemon.start(command=command, pass_fds=[number])
        async with load(port) as clients:
            assert (await daemon.reload())[0] == 0
            await clients.more(50)
        assert clients.failures == []
        assert f"listens on 127.0.0.1:{port}" in daemon.said()


async def test_sockets_that_were_not_handed_over(tmp_path: Path) -> None:
    daemon = Ajpd(tmp_path)
    for address, words in (
        ("fd:77", "descriptor 77 is no socket"),
        ("fd:web", "cannot listen on fd:web: systemd gave no names at all"),
    ):
        daemon.write(0, 1)
        text = daemon.config.read_text().replace("127.0.0.1:0", address)
        daemon.config.write_text(text)
        code, _, errors = await daemon.ask("run", "-c", daemon.config)
        assert code == 1
        assert words in errors


async def test_what_systemd_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.setblocking(False)
        heard: list[str] = []

        def has(words: str, times: int = 1) -> bool:
            return sum(words in each for each in heard) >= times

        # Always, as systemd does: there is room for a few messages only.
        loop = asyncio.get_running_loop()
        loop.add_reader(notified, lambda: heard.append(notified.recv(4096).decode()))
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        async with Container() as container, ajpd(tmp_path) as daemon:
            daemon.write(free_port(), container.port, server="processes = 2")
            await daemon.start(env=env)
            await until(lambda: has("READY=1"))
            await until(lambda: has("WATCHDOG=1", 3))
            assert (await daemon.reload())[0] == 0
            await until(lambda: has("RELOADING=1\nMONOTONIC_USEC=") and has("READY=1", 2))
            daemon.config.write_text("")
            assert (await daemon.reload())[0] == 1
            await until(lambda: has("READY=1", 3))
            # A process that is stuck must not be taken for one that is well.
            for pid in daemon.children():
                os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(4.0)
            assert has("WATCHDOG=1")
            before = sum("WATCHDOG=1" in each for each in heard)
            await asyncio.sleep(0.5)
            assert not has("WATCHDOG=1", before + 1)
            for pid in daemon.children():
                os.kill(pid, signal.SIGCONT)
            await until(lambda: has("WATCHDOG=1", before + 1))
            daemon.signal(signal.SIGTERM)
            assert await daemon.ends() == 0
            await until(lambda: has("STOPPING=1"))
        loop.remove_reader(notified)


async def test_load_counts_what_fails() -> None:
    """The measure of all this must be able to tell."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    clients = Load(server.sockets[0].getsockname()[1])
    clients.begin(1, 1)
    await until(lambda: len(clients.failures) > 2)
    await clients.end()
    server.close()
