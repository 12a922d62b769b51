"""Metrics of a daemon with two processes: the same from each, and right after one was killed."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.faults.container import Container, never, respond
from tests.faults.daemon import Ajpd, ajpd, load, until
from tests.interop.processes import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_factories=["asyncio"]),
]

ACCEPT = b"application/openmetrics-text; version=1.0.0"

Numbers = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


async def fetch(port: int, line: bytes = b"GET /metrics", accept: bytes = ACCEPT) -> bytes:
    """A whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(line + b" HTTP/1.0\r\nAccept: " + accept + b"\r\n\r\n")
    try:
        return await reader.read()
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def scrape(port: int, patience: float = 20.0) -> Numbers:
    """Numbers by name and labels."""
    async with asyncio.timeout(patience):
        head, _, body = (await fetch(port)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def one(numbers: Numbers, name: str, **labels: str) -> float:
    """The one sample with these labels, and maybe more."""
    found = [n for (known, have), n in numbers.items() if known == name and have >= labels.items()]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def total(numbers: Numbers, name: str, **labels: str) -> float:
    return sum(
        n for (known, have), n in numbers.items() if known == name and have >= labels.items()
    )


def never_less(before: Numbers, after: Numbers) -> None:
    """No counter went back; those of a process end with it."""
    ends = ("_total", "_bucket", "_count", "_sum")
    counters = {key: value for key, value in before.items() if key[0].endswith(ends)}
    gone = [key for key in counters if key not in after]
    assert [key for key in gone if not key[0].startswith("ajpd_process_cpu")] == []
    assert [key for key in counters if key in after and after[key] < counters[key]] == []
    assert len(counters) > 100


@asynccontextmanager
async def only(daemon: Ajpd, pid: int) -> AsyncIterator[None]:
    """No other process answers meanwhile."""
    others = [each for each in daemon.children() if each != pid]
    for each in others:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)


async def scrape_one(daemon: Ajpd, port: int, pid: int) -> Numbers:
    """Scrape until it is this process that gets the connection."""
    async with only(daemon, pid), asyncio.timeout(20):
        while True:
            with contextlib.suppress(TimeoutError):
                return await scrape(port, patience=0.5)


async def test_every_process_says_the_same_and_a_killed_one_is_counted_on(tmp_path: Path) -> None:
    async with Container(respond(b"x")) as container, ajpd(tmp_path) as daemon:
        port, metrics = free_port(), free_port()
        daemon.write(
            port,
            container.port,
            server="processes = 2",
            more=f'[metrics]\nlisten = ["127.0.0.1:{metrics}"]',
        )
        await daemon.start()
        assert f"127.0.0.1:{metrics} (metrics)" in daemon.said()
        async with load(port) as clients:
            await clients.more(100)
        assert clients.failures == []
        first, second = daemon.children()
        seen = [await scrape_one(daemon, metrics, pid) for pid in (first, second)]
        for numbers in seen:
            assert one(numbers, "ajpd_front_requests_total", **{"class": "2xx"}) == clients.done
            assert total(numbers, "ajpd_front_requests_total") == clients.done
            assert one(numbers, "ajpd_worker_request_duration_seconds_count") == clients.done
            assert one(numbers, "ajpd_process_deaths_total") == 0
            assert one(numbers, "ajpd_process_open_fds", pid=str(first), role="serving") > 3
            assert one(numbers, "ajpd_process_start_time_seconds", role="master") > 1e9
            limit = one(numbers, "ajpd_worker_connection_limit", worker="app")
            assert one(numbers, "ajpd_worker_connections", worker="app") <= limit
        never_less(*seen)
        os.kill(first, signal.SIGKILL)
        await until(lambda: daemon.count("another one follows") == 1)
        await until(lambda: len(daemon.children()) == 2)
        after = await scrape_one(daemon, metrics, second)
        never_less(seen[1], after)
        assert total(after, "ajpd_front_requests_total") == clients.done
        assert one(after, "ajpd_process_deaths_total") == 1
        assert total(after, "ajpd_process_generation", pid=str(first)) == 0


async def test_what_a_killed_process_had_in_flight_is_forgotten(tmp_path: Path) -> None:
    async with Container([never]) as container, ajpd(tmp_path) as daemon:
        port, metrics = free_port(), free_port()
        daemon.write(
            port,
            container.port,
            server="processes = 1",
            more=f'[metrics]\nlisten = ["127.0.0.1:{metrics}"]',
        )
        await daemon.start()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: container.executions == 1)
        before = await scrape(metrics)
        assert one(before, "ajpd_front_requests_in_flight") == 1
        assert one(before, "ajpd_worker_requests_in_flight") == 1
        assert one(before, "ajpd_front_connections") == 1
        os.kill(daemon.children()[0], signal.SIGKILL)
        await until(lambda: daemon.count("another one follows") == 1)
        await until(lambda: len(daemon.children()) == 1)
        after = await scrape(metrics)
        for name in ("front_requests_in_flight", "worker_requests_in_flight", "front_connections"):
            assert one(after, f"ajpd_{name}") == 0
        never_less(before, after)
        writer.transport.abort()


async def test_reloads_are_counted_and_metrics_go_on(tmp_path: Path) -> None:
    async with Container(respond(b"x")) as container, ajpd(tmp_path) as daemon:
        port, metrics, other = free_port(), free_port(), free_port()
        where = '[metrics]\nlisten = ["127.0.0.1:%d"]'
        daemon.write(port, container.port, server="processes = 2", more=where % metrics)
        await daemon.start()
        before = await scrape(metrics)
        assert not any(name == "ajpd_last_reload_successful" for name, _ in before)
        async with load(port) as clients:
            for count in (1, 2):
                assert (await daemon.reload())[0] == 0
                after = await scrape(metrics)
                assert one(after, "ajpd_reloads_total", result="done") == count
                assert one(after, "ajpd_last_reload_successful") == 1
                never_less(before, after)
                before = after
        assert clients.failures == []
        daemon.write(port, container.port, server="nonsense = 1", more=where % metrics)
        assert (await daemon.reload())[0] == 1
        after = await scrape(metrics)
        assert one(after, "ajpd_reloads_total", result="refused") == 1
        assert one(after, "ajpd_last_reload_successful") == 0
        assert one(after, "ajpd_process_deaths_total") == 0
        # Another address, and none.
        daemon.write(port, container.port, server="processes = 2", more=where % other)
        assert (await daemon.reload())[0] == 0
        never_less(after, await scrape(other))
        with pytest.raises(ConnectionRefusedError):
            await scrape(metrics)
        daemon.write(port, container.port)
        assert (await daemon.reload())[0] == 0
        with pytest.raises(ConnectionRefusedError):
            await scrape(other)


async def test_who_may_ask_for_what(tmp_path: Path) -> None:
    async with Container() as container, ajpd(tmp_path) as daemon:
        port, metrics = free_port(), free_port()
        daemon.write(
            port,
            container.port,
            more=f'[metrics]\nlisten = ["127.0.0.1:{metrics}", "[::1]:{metrics}"]\n'
            'path = "/-/metrics"\nallow = ["::1"]',
        )
        await daemon.start()
        answer = await fetch(metrics, b"GET /-/metrics")
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"127.0.0.1 may not fetch metrics" in answer
        reader, writer = await asyncio.open_connection("::1", metrics)
        writer.write(
            b"HEAD /-/metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
            b"DELETE /-/metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /-/metrics HTTP/1.0\r\n\r\n"
        )
        text = (await reader.read()).decode()
        writer.transport.abort()
        assert [line.split()[1] for line in text.splitlines() if line.startswith("HTTP/1.1")] == [
            *("200", "404", "405", "200")
        ]
        assert "Allow: GET, HEAD" in text
        assert text.count("Content-Type: text/plain; version=0.0.4") == 2
        assert text.endswith("\n")
        assert text.count("# TYPE ajpd_build_info gauge") == 1
        # None of it is a request of a client.
        assert 'ajpd_front_requests_total{class="2xx"} 0' in text
        assert "ajpd_front_connections 0" in text
