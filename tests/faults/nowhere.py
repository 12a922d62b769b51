"""Addresses that lead to nobody, and names that lead where a test says."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def unused_port() -> Iterator[int]:
    """A port where nobody listens, and nobody else will."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextmanager
def full_backlog(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A listener whose queue is full: the system drops what comes now."""
    with socket.socket() as sock:
        sock.bind((host, port))
        sock.listen(0)
        fillers = []
        try:
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(sock.getsockname())
                fillers.append(filler)
            yield sock.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let the name app.example lead to these addresses, which may be changed."""
    known = list(addresses)

    async def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        # uvloop resolves addresses too, on its way to connect.
        found = known if host == "app.example" else [host]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (item, port)) for item in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return known
