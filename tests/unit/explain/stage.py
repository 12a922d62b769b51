"""A process that serves, with containers behind it, in a loop of its own; and questions."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ajp.channel import ContainerRequest
from ajp.container import serve
from ajp.messages import ForwardRequest
from ajp.table import Table
from ajpd.config.load import load_toml
from ajpd.config.model import Config, ListenAddress
from ajpd.explain.explanation import Explanation
from ajpd.explain.look import explain
from ajpd.explain.question import Question
from ajpd.ledger import Ledger
from ajpd.listeners import open_listener
from ajpd.process import Process

T = TypeVar("T")

NODES = ("a", "b", "c", "alone")
TIMEOUT = 20.0

TOML = """\
[worker.lb]
type = "lb"
balance_workers = ["a", "b", "c"]
retry_interval = 1
[worker.forced]
type = "lb"
balance_workers = ["a", "b"]
retry_interval = 1
sticky_session_force = true
set_session_cookie = true
[worker.a]
probe = "off"
port = {a}
[worker.b]
probe = "off"
port = {b}
lbfactor = 2
domain = "east"
secret = "s3cret"
[worker.c]
probe = "off"
port = {c}
distance = 1
domain = "east"
[worker.alone]
probe = "off"
port = {alone}
[worker.jk]
type = "status"
[mount]
"/app/*" = "lb"
"/app/stateless/*" = "lb;stateless=1"
"/app/own/*" = "lb;session_cookie=SID;session_path=;sid;reply_timeout=9000"
"/app/late/*" = "lb;disabled=a;stopped=b;use_server_errors=500"
"/app/free/*" = "lb;sticky_ignore=1;fail_on_status=503"
"/forced|/*" = "forced"
"/alone/*" = "alone"
"!/app/*.gif" = "lb"
"!/secret/*" = "*"
"/secret/*" = "alone"
"-/off/*" = "alone"
"/jkstatus" = "jk"
[host."shop.example"]
aliases = ["*.shop.example"]
mount = {{ "/*" = "alone", "!/no*" = "alone" }}
[host."both.example"]
mount_copy = true
mount = {{ "/app/*" = "alone" }}
[server]
trusted_proxies = ["10.0.0.0/8"]
"""


@dataclass
class Node:
    """A container that answers with its name."""

    name: str
    seen: list[ForwardRequest] = field(default_factory=list)

    async def __call__(self, request: ContainerRequest) -> None:
        self.seen.append(request.head)
        await request.respond(200, [("X-Node", self.name)], self.name)


class Stage:
    """What serves, and its table."""

    def __init__(
        self, config: Config, table: Table, process: Process, nodes: dict[str, Node], port: int
    ) -> None:
        self.config = config
        self.table = table
        self.process = process
        self.nodes = nodes
        self.port = port

    def ask(self, question: Question) -> tuple[int, str | None]:
        """Send the request; its status, and the node that answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as sock:
            sock.sendall(question.head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            received = b""
            while piece := sock.recv(65536):
                received += piece
        head = received.partition(b"\r\n\r\n")[0].decode("latin-1")
        found = [line[8:] for line in head.split("\r\n") if line.startswith("X-Node: ")]
        return int(head.split()[1]), found[0] if found else None

    def explain(self, question: Question) -> Explanation:
        """What is said about the request, with the state of this moment."""
        with_close = (*question.headers, (b"Connection", b"close"))
        asked = Question(
            method=question.method,
            target=question.target,
            host=question.host,
            headers=with_close,
        )
        return explain(self.config, asked, table=Table.attach(self.table.path))


def configuration(folder: Path, ports: dict[str, int], text: str = TOML) -> Config:
    path = folder / "ajpd.toml"
    path.write_text(text.format(**ports), encoding="utf-8")
    return load_toml(path, env={})


def _left_alone(config: Config) -> Config:
    """The same without maintenance, which would change what was asked about meanwhile."""
    balancers = {name: replace(lb, maintain_ms=0) for name, lb in config.balancers.items()}
    return replace(config, balancers=balancers)


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Everything of it, and its end."""
    folder.chmod(0o700)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="serves")
    thread.start()
    stack = AsyncExitStack()

    def run(what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, loop).result(TIMEOUT)

    async def begin() -> Stage:
        nodes = {name: Node(name) for name in NODES}
        ports = {}
        for name, node in nodes.items():
            secret = "s3cret" if name == "b" else None
            server = await stack.enter_async_context(serve(node, port=0, secret=secret))
            ports[name] = server.port
        config = _left_alone(configuration(folder, ports))
        table = Table.create(folder / "t.shm", slots=32, columns=8)
        ledger = Ledger.enter(table, config, column=table.claim_process())
        ledger.settle(config)
        sock = open_listener(ListenAddress(host="127.0.0.1", port=0))
        process = Process(config, [sock], ledger=ledger)
        stack.push_async_callback(process.stop)
        port = sock.getsockname()[1]
        await process.start()
        return Stage(config, table, process, nodes, port)

    try:
        yield run(begin())
    finally:
        run(stack.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
