"""The commands for a daemon that runs: two processes, two containers, other processes that ask."""

import asyncio
import json
import os
import re
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.container import Container, respond, send, wait, whole
from tests.faults.daemon import Ajpd, ajpd, until
from tests.interop.processes import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_factories=["asyncio"]),
]


@dataclass(slots=True)
class Operated:
    """A daemon and how to talk to it."""

    daemon: Ajpd
    port: int
    table: Path

    async def run(self, *words: object) -> tuple[int, str, str]:
        command, *others = words
        return await self.daemon.ask(command, "-c", self.daemon.config, *others)

    async def status(self) -> Any:
        code, out, err = await self.run("status", "--json")
        assert code == 0, err
        return json.loads(out)

    async def member(self, name: str) -> Any:
        members = (await self.status())["balancers"][0]["members"]
        return next(member for member in members if member["name"] == name)

    async def get(self, route: str = "") -> bytes:
        """Who answers a request, of a session of the route if there is one."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        cookie = f"Cookie: JSESSIONID=s1.{route}\r\n" if route else ""
        writer.write(f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{cookie}\r\n".encode())
        try:
            async with asyncio.timeout(10):
                return (await reader.read()).rpartition(b"\r\n\r\n")[2]
        finally:
            writer.close()


@asynccontextmanager
async def operated(
    folder: Path, a: Container, b: Container, *, more: str = ""
) -> AsyncIterator[Operated]:
    async with AsyncExitStack() as stack:
        for container in (a, b):
            await stack.enter_async_context(container)
        daemon = await stack.enter_async_context(ajpd(folder))
        port, table = free_port(), folder / "ajpd.shm"
        daemon.config.write_text(
            f'[server]\nlisten = ["127.0.0.1:{port}"]\nprocesses = 2\nshutdown_timeout = "5s"\n'
            '[worker.lb]\ntype = "lb"\nbalance_workers = ["nodeA", "nodeB"]\n'
            f'[worker.nodeA]\nhost = "127.0.0.1"\nport = {a.port}\n'
            f'[worker.nodeB]\nhost = "127.0.0.1"\nport = {b.port}\n'
            f'[mount]\n"/*" = "lb"\n[table]\nfile = "{table}"\n{more}'.replace("PORT", str(a.port))
        )
        await daemon.start()
        yield Operated(daemon, port, table)


async def test_activations(tmp_path: Path) -> None:
    async with operated(tmp_path, Container(respond(b"A")), Container(respond(b"B"))) as s:
        found = await s.status()
        assert [process["state"] for process in found["processes"]] == ["running"] * 2
        assert sorted(p["pid"] for p in found["processes"]) == sorted(s.daemon.children())
        assert {await s.get() for _ in range(6)} == {b"A", b"B"}

        code, out, err = await s.run("drain", "nodeA", "--quiet-for", "0")
        assert (code, err) == (0, "")
        assert re.fullmatch(
            "lb/nodeA: active -> disabled\n"
            "lb/nodeA: 0 under way, 0 sessions in 5 min, the last [0-9.]+m?s ago, empty\n",
            out,
        )
        # In every process, at once: sessions stay, new ones go elsewhere.
        assert {await s.get() for _ in range(6)} == {b"B"}
        assert await s.get("nodeA") == b"A"

        code, out, _ = await s.run("stop", "lb/nodeA")
        assert (code, out) == (0, "lb/nodeA: disabled -> stopped\n")
        assert await s.get("nodeA") == b"B"
        assert (await s.member("nodeA"))["activation"] == "stopped"

        # A reload leaves it alone.
        assert (await s.daemon.reload())[0] == 0
        assert (await s.member("nodeA"))["activation"] == "stopped"

        code, out, err = await s.run("stop", "*")
        assert (code, out) == (0, "lb/nodeA: is stopped already\nlb/nodeB: active -> stopped\n")
        assert err == "warning: lb has no active member any more: new sessions get 503\n"

        code, out, _ = await s.run("activate", "nodeA", "nodeB", "--json")
        assert json.loads(out) == {
            "done": True,
            "deeds": [
                {"what": "lb/nodeA", "text": "stopped -> active", "done": True},
                {"what": "lb/nodeB", "text": "stopped -> active", "done": True},
            ],
        }
        assert {await s.get() for _ in range(6)} == {b"A", b"B"}
        log = s.daemon.said()
        assert "drain: lb/nodeA: active -> disabled user=" in log
        assert "activate: lb/nodeB: stopped -> active user=" in log


async def test_drain_waits_for_requests_and_sessions(tmp_path: Path) -> None:
    release = asyncio.Event()
    a = Container([wait(release), send(whole(b"late"))], respond(b"A"))
    async with operated(tmp_path, a, Container(respond(b"B"))) as s:
        slow = asyncio.create_task(s.get("nodeA"))
        await until(lambda: a.requests, "the request did not arrive")
        code, out, err = await s.run(
            "drain", "nodeA", "--wait", "--timeout", "0.6s", "--quiet-for", "0s"
        )
        assert code == 1
        assert "lb/nodeA: 1 under way, 1 sessions in 5 min" in out
        assert "ajpd drain: not empty after 600ms; members stay disabled, ajpd activate" in err
        assert (await s.member("nodeA"))["activation"] == "disabled"

        drained = asyncio.create_task(
            s.run("drain", "nodeA", "--wait", "--quiet-for", "1s", "--json")
        )
        await asyncio.sleep(0)
        release.set()
        assert await slow == b"late"
        code, out, err = await drained
        found = json.loads(out)
        assert (code, err, found["done"]) == (0, "", True)
        assert found["members"][0]["in_flight"] == 0
        assert found["members"][0]["quiet_s"] >= 1
        assert (await s.member("nodeA"))["activation"] == "stopped"


async def test_drain_that_somebody_takes_back(tmp_path: Path) -> None:
    async with operated(tmp_path, Container(respond(b"A")), Container(respond(b"B"))) as s:
        assert await s.get("nodeA") == b"A"
        drain = asyncio.create_task(s.run("drain", "nodeA", "--wait"))
        for _ in range(100):
            if (await s.member("nodeA"))["activation"] == "disabled":
                break
        assert (await s.run("activate", "nodeA"))[0] == 0
        code, _, err = await drain
        assert code == 1
        assert err == "ajpd drain: somebody activated lb/nodeA\n"
        assert (await s.member("nodeA"))["activation"] == "active"


async def test_a_container_that_is_reached_in_other_ways(tmp_path: Path) -> None:
    """Whoever drains one way to it is told of the others, for nobody waits for their requests."""
    async with operated(
        tmp_path,
        Container(respond(b"A")),
        Container(respond(b"B")),
        more='[worker.other]\ntype = "lb"\nbalance_workers = ["nodeA", "nodeB"]\n'
        'mount = "/other/*"\n[worker.plain]\nhost = "127.0.0.1"\nport = PORT\n'
        'mount = "/plain/*"\n',
    ) as s:
        code, _, err = await s.run("drain", "lb/nodeA")
        other = "warning: other/nodeA is the same container and active: its requests are not"
        plain = "warning: rules lead to worker plain without a balancer: these requests go on"
        assert (code, err.count(other), err.count(plain)) == (0, 1, 1)
        _, _, err = await s.run("drain", "nodeA")
        assert (err.count(other), err.count(plain)) == (0, 1)
        _, _, err = await s.run("drain", "nodeB")
        assert plain not in err


async def test_restarts_and_edited_files(tmp_path: Path) -> None:
    async with operated(tmp_path, Container(respond(b"A")), Container(respond(b"B"))) as s:
        await s.run("stop", "nodeA")
        s.daemon.signal(signal.SIGTERM)
        await s.daemon.ends()
        await s.daemon.start()
        assert (await s.member("nodeA"))["activation"] == "stopped"
        assert {await s.get("nodeA") for _ in range(4)} == {b"B"}
        # What somebody wrote into the file since the last reload counts more.
        text = s.daemon.config.read_text()
        edited = text.replace("[worker.nodeA]\n", '[worker.nodeA]\nactivation = "disabled"\n')
        s.daemon.config.write_text(edited)
        assert (await s.daemon.reload())[0] == 0
        found = await s.member("nodeA")
        assert (found["activation"], found["changed"]) == ("disabled", {})
        assert await s.get("nodeA") == b"A"
        assert "lb/nodeA: the files changed, and count again: activation disabled" in (
            s.daemon.said()
        )


async def test_a_journal_outlives_the_table(tmp_path: Path) -> None:
    async with operated(tmp_path, Container(respond(b"A")), Container(respond(b"B"))) as s:
        journal = tmp_path / "ajpd.journal"
        text = s.daemon.config.read_text() + f'journal = "{journal}"\n'
        s.daemon.config.write_text(text)
        assert (await s.daemon.reload())[0] == 0
        assert (await s.run("stop", "nodeA"))[0] == 0
        assert (await s.run("drain", "nodeB"))[0] == 0
        assert (await s.run("reset", "--to-files", "nodeB"))[0] == 0
        s.daemon.signal(signal.SIGTERM)
        await s.daemon.ends()
        s.table.unlink()  # as when the machine starts again
        await s.daemon.start()
        assert (await s.member("nodeA"))["activation"] == "stopped"
        assert (await s.member("nodeB"))["activation"] == "active"
        assert {await s.get("nodeA") for _ in range(4)} == {b"B"}
        # A journal that is none is no reason to begin with something else in silence.
        s.daemon.signal(signal.SIGTERM)
        await s.daemon.ends()
        journal.write_text("hello\n")
        code, _, err = await s.daemon.ask("run", "-c", s.daemon.config)
        assert code == 1
        assert "ajpd.journal" in err


async def test_recover_and_reset(tmp_path: Path) -> None:
    async with operated(tmp_path, Container(respond(b"A")), Container(respond(b"B"))) as s:
        for _ in range(4):
            await s.get()
        code, out, _ = await s.run("recover", "nodeA")
        assert code == 1
        assert "only a member in ERR can be" in out
        before = await s.member("nodeA")
        assert before["elected"] == 2
        assert (await s.run("reset", "lb"))[0] == 0
        after = await s.member("nodeA")
        assert (after["elected"], after["since_reset"]["used"]) == (0, 0)
        assert after["totals"]["used"] == 2

        await s.run("stop", "nodeA")
        code, out, _ = await s.run("reset", "--to-files", "nodeA")
        assert code == 0
        assert "lb/nodeA: activation stopped -> as in the files" in out
        assert "nodeA: nothing was changed" in out
        assert (await s.member("nodeA"))["activation"] == "active"
        assert (await s.member("nodeA"))["changed"] == {}


async def test_status_for_people(tmp_path: Path) -> None:
    async with operated(tmp_path, Container(respond(b"A")), Container(respond(b"B"))) as s:
        await s.get()
        code, out, _ = await s.run("status")
        assert code == 0
        assert out.startswith("2 processes: ")
        assert "balancer lb; method Request; " in out
        assert [line.split()[0] for line in out.splitlines() if line.startswith("  node")] == [
            "nodeA",
            "nodeB",
        ]
        # Broken files hide nothing but what only they say.
        s.daemon.config.write_text("[server]\nlisten = 7\n")
        code, out, err = await s.run("status", "--json")
        assert code == 0
        assert "the files are broken" in err
        assert json.loads(out)["balancers"][0]["members"][0]["settings"] == {}
        # The table speaks for itself.
        code, out, _ = await s.daemon.ask("status", "--table", s.table)
        assert code == 0
        assert "nodeA" in out


async def test_refusals(tmp_path: Path) -> None:
    async with operated(tmp_path, Container(respond(b"A")), Container(respond(b"B"))) as s:
        code, out, err = await s.run("drain", "nodeX")
        assert (code, out) == (1, "")
        assert err == "ajpd drain: no member nodeX; members: nodeA, nodeB\n"
        code, out, err = await s.run("drain", "nodeX", "--json")
        assert json.loads(out) == {"done": False, "error": "no member nodeX; members: nodeA, nodeB"}
        code, _, err = await s.daemon.ask("status")
        assert code == 2
        assert "give a configuration" in err
        s.table.chmod(0o644)
        code, _, err = await s.run("status")
        assert code == 1
        assert "is open to others: its mode is 0644, not 0600" in err
        s.table.chmod(0o600)

        # kill -9 leaves a table with columns of the dead.
        left = s.daemon.children()
        os.kill(s.daemon.pid, signal.SIGSTOP)
        for pid in (*left, s.daemon.pid):
            os.kill(pid, signal.SIGKILL)
        await s.daemon.ends()
        assert stat.S_IMODE(s.table.stat().st_mode) == 0o600
        code, _, err = await s.run("status")
        assert (code, err) == (1, f"ajpd status: no ajpd runs with {s.daemon.config}\n")
        code, _, err = await s.daemon.ask("stop", "nodeA", "--table", s.table)
        assert (code, err) == (1, f"ajpd stop: no ajpd runs with the table {s.table}\n")
        code, _, err = await s.daemon.ask("status", "--table", tmp_path / "none")
        assert code == 1
        assert "there is no table; does ajpd run?" in err


async def test_a_journal_hears_of_what_came_past_it(tmp_path: Path) -> None:
    containers = Container(respond(b"A")), Container(respond(b"B"))
    async with operated(tmp_path, *containers, more='journal = "changes"\n') as s:
        journal = tmp_path / "changes"
        assert journal.read_bytes() == b""
        assert (await s.run("stop", "nodeA"))[0] == 0
        kept = json.loads(journal.read_text())
        assert (kept["name"], kept["changes"]) == ("nodeA", {"activation": 2})
        # Without the files nobody knows of a journal: the next reload writes it down.
        assert (await s.daemon.ask("drain", "nodeB", "--table", s.table))[0] == 0
        assert len(journal.read_text().splitlines()) == 1
        assert (await s.daemon.reload())[0] == 0
        assert '"changes": {"activation": 1}' in journal.read_text().splitlines()[1]
        assert (await s.run("activate", "nodeB"))[0] == 0

        s.daemon.signal(signal.SIGTERM)
        assert await s.daemon.ends() == 0
        s.table.unlink()
        await s.daemon.start()
        assert (await s.member("nodeA"))["activation"] == "stopped"
        assert {await s.get() for _ in range(6)} == {b"B"}

        # A file that says otherwise since counts again, and the journal hears of it.
        text = s.daemon.config.read_text()
        s.daemon.config.write_text(text.replace("[mount]", 'activation = "Disabled"\n[mount]'))
        assert (await s.daemon.reload())[0] == 0
        assert (await s.member("nodeB"))["activation"] == "disabled"
        assert '"changes": {"activation": null}' in journal.read_text().splitlines()[-1]

        # Broken: a reload is refused and all goes on.
        before = journal.read_bytes()
        journal.write_bytes(b"nonsense\n" + before)
        code, _, err = await s.daemon.reload()
        assert code == 1
        assert "changes:1: no line of a journal" in err
        code, _, err = await s.run("activate", "nodeA")
        assert code == 1
        assert "changes:1: no line of a journal" in err
        assert {await s.get("nodeB") for _ in range(4)} == {b"B"}
        journal.write_bytes(before)
        assert (await s.daemon.reload())[0] == 0
