"""The demonstration: embedded containers, a front before them, and what to open."""

from collections.abc import Mapping
from tempfile import TemporaryDirectory

from ajp import Server

from .config.load import load_toml
from .config.model import Config, ListenAddress
from .demo import serve_containers
from .listeners import open_listener
from .process import serve

__all__ = ["run"]


async def run(listen: str) -> None:
    """Serve the demo application on `listen` until a signal.

    Raises:
        ValueError: `listen` is no address.
        ListenError: it cannot be listened on.
    """
    address = ListenAddress.parse(listen)
    sock = open_listener(address)
    if not address.path:
        address = ListenAddress(host=address.host, port=sock.getsockname()[1])
    containers = await serve_containers(2)
    config = _configure(address, containers.servers, containers.secret)
    try:
        await serve(config, [sock], on_ready=lambda: _announce(address, containers.servers))
    finally:
        await containers.close()
        print("stopped", flush=True)


def _configure(address: ListenAddress, servers: Mapping[str, Server], secret: str) -> Config:
    """The configuration a user would write for these containers, read the way a user's is."""
    names = ", ".join(f'"{route}"' for route in servers)
    lines = ["[server]", f'listen = ["{address}"]', 'shutdown_timeout = "5s"']
    for route, server in servers.items():
        lines += [
            f"[worker.{route}]",
            'host = "127.0.0.1"',
            f"port = {server.port}",
            'secret = "env:SECRET"',
        ]
    lines += ["[worker.lb]", 'type = "lb"', f"balance_workers = [{names}]"]
    lines += ["[worker.jkstatus]", 'type = "status"']
    lines += ["[mount]", '"/*" = "lb"', '"/jkstatus" = "jkstatus"']
    lines += [f'"/{route}/*" = "{route}"' for route in servers]
    with TemporaryDirectory() as folder:
        path = f"{folder}/ajpd.toml"
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        return load_toml(path, env={"SECRET": secret})


def _announce(address: ListenAddress, servers: Mapping[str, Server]) -> None:
    base = f"http://{address}" if not address.path else f"{address} "
    print(f"\najpd demo: open {base}/\n")
    for route, server in servers.items():
        print(f"  {route}   {base}/{route}/   container on 127.0.0.1:{server.port}")
    print(
        f"""
  try  {base}/jkstatus     the status page: drain a container, and watch
       curl -i {base}/session            a session counter
       curl --data-binary @README.md {base}/echo   an upload, sent back
       curl {base}/dump                  what a container sees
       curl '{base}/slow?ms=2000'        a slow page

Ctrl-C ends it."""
    )
    print(flush=True)
