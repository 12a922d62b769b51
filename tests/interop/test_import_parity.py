"""Apache's configuration, and the ajpd.toml that is made of it: the same request, the same worker.

A real Apache reads each configuration below and is asked for some paths and names; the imported
one is asked the same.
"""

import asyncio
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import ajp
from ajp.channel import ContainerRequest
from ajp.container import Handler
from ajpd.config import Config, HostMaps, load_toml
from ajpd.importing.importer import Imported, import_configuration

from .apache import httpd_command, httpd_modules
from .conftest import TARGET
from .modjk import ask_for_workers
from .processes import ServerProcess, free_port, listens, missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TARGET == "apache", reason="needs an Apache of its own"),
]

NAMES = ("one", "two", "three")
PATHS = tuple(
    path.encode()
    for path in (
        *("/", "/app", "/app/", "/app/x", "/app/x/y.jsp", "/apple", "/app/static/x", "/app/static"),
        *(
            "/shop",
            "/shop/",
            "/shop/a.do",
            "/a.jsp",
            "/b/c.jsp",
            "/status",
            "/status/",
            "/status/x",
        ),
        *("/own", "/own/x", "/own/x/", "/deep/er/x", "/deep/er/x/y"),
    )
)
#: Configurations with the names that are asked for. `*:{port}` is all that Apache listens on.
JK: dict[str, tuple[str, tuple[str, ...]]] = {
    "rules": (
        """\
JkMount /app|/* one
JkUnMount /app/static/* one
JkMount /*.jsp two
JkMount /shop/* two
JkMount /shop/* three
JkUnMount /app/x/y.jsp *
<Location /status>
  JkMount three
</Location>
<Location "/own/x/">
  jkmount two
</Location>
""",
        ("localhost",),
    ),
    "a virtual host without rules, and rules in none": (
        """\
JkMount /app/* one
JkMount /status three
<VirtualHost *:{port}>
  ServerName www.example.org
</VirtualHost>
""",
        ("www.example.org", "other.example.org"),
    ),
    "copies": (
        """\
JkMount /app/* one
JkMount /status three
<VirtualHost *:{port}>
  ServerName first.example.org
  JkMount /own/* two
</VirtualHost>
<VirtualHost *:{port}>
  ServerName second.example.org
  ServerAlias alias.example.org *.wild.example.org
  JkMountCopy On
  JkMount /app/* three
</VirtualHost>
<VirtualHost *:{port}>
  ServerName third.example.org
  JkMount /* two
  JkUnMount /app/* two
</VirtualHost>
""",
        (
            *("first.example.org", "second.example.org", "alias.example.org"),
            *("a.wild.example.org", "third.example.org", "nobody.example.org"),
        ),
    ),
    "copies everywhere": (
        """\
JkMountCopy All
JkMount /app/* one
<VirtualHost *:{port}>
  ServerName first.example.org
</VirtualHost>
<VirtualHost *:{port}>
  ServerName second.example.org
  JkMountCopy Off
  JkMount /shop|/* two
</VirtualHost>
""",
        ("first.example.org", "second.example.org", "nobody.example.org"),
    ),
    "a map of its own": (
        """\
<VirtualHost *:{port}>
  ServerName first.example.org
  JkMountFile {base}/own.properties
  JkMount /app/* two
</VirtualHost>
<VirtualHost *:{port}>
  ServerName second.example.org
  JkMount /deep/er/* one
  JkMount /deep/* two
</VirtualHost>
""",
        ("first.example.org", "second.example.org"),
    ),
    "macros": (
        """\
LoadModule macro_module /usr/lib/apache2/modules/mod_macro.so
<Macro Site $host $path $w>
  <VirtualHost *:{port}>
    ServerName $host
    Use Rules $path $w
  </VirtualHost>
</Macro>
<Macro Rules $p %worker>
  JkMount $p|/* %worker
  JkUnMount $p/static/* %worker
</Macro>
Use Site first.example.org /app one
USE site second.example.org /shop two
""",
        ("first.example.org", "second.example.org"),
    ),
    "conditions, variables and continuations": (
        """\
Define PREFIX /app
<IfModule jk_module>
  JkMount ${{PREFIX}}/* \\
    one
</IfModule>
<IfModule !mod_jk.c>
  JkMount /shop/* one
</IfModule>
<IfDefine NOBODY_SAYS_SO>
  JkMount /own/* one
</IfDefine>
<IfDefine !NOBODY_SAYS_SO>
  JkMount "/deep/*" 'two'
</IfDefine>
# a comment \\
JkMount /status three
IncludeOptional {base}/*.included
<IfFile {base}/httpd.conf>
  JkMount /a.jsp three
</IfFile>
""",
        ("localhost",),
    ),
}


def folder_of(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    path.chmod(0o755)
    (path / "own.properties").write_text("/own|/*=three\n/app/x=one\n!/own/x/=three\n")
    (path / "more.included").write_text("JkMount /b/* two\n")
    return path


def imported(folder: Path) -> tuple[Imported, Config]:
    found = import_configuration([folder / "httpd.conf"])
    (folder / "ajpd.toml").write_text(found.text)
    return found, load_toml(folder / "ajpd.toml")


def worker_of(config: Config, host: str, path: bytes) -> str | None:
    """As the map decides; what ajpd adds for the paths of the test itself is left out."""
    found = HostMaps(config).decide(host.encode(), path)
    return found.mount.worker if found.mount is not None and found.exclusion is None else None


@pytest.mark.parametrize("name", JK)
def test_rules_of_mod_jk(name: str, folder: Path) -> None:
    more, hosts = JK[name]
    for number, host in enumerate(hosts):
        base = folder_of(folder, f"host-{number}")
        theirs = ask_for_workers(base, NAMES, None, PATHS, more=more, host=host)
        found, config = imported(base)
        assert found.is_good, found.remarks
        ours = [worker_of(config, host, path) for path in PATHS]
        assert dict(zip(PATHS, ours, strict=True)) == dict(zip(PATHS, theirs, strict=True)), host


# --- mod_proxy ------------------------------------------------------------------------------------

PROXY: dict[str, tuple[str, tuple[str, ...]]] = {
    "prefixes": (
        """\
ProxyPass /app/static !
ProxyPass /app ajp://127.0.0.1:{one}/app
ProxyPass /shop/ ajp://127.0.0.1:{two}/shop/
ProxyPass /app/x ajp://127.0.0.1:{two}/app/x
ProxyPass /deep/er ajp://127.0.0.1:{one}/deep/er
ProxyPass /deep !
ProxyPass /status !
""",
        ("localhost",),
    ),
    "everything but": (
        """\
ProxyPass /app/static !
ProxyPass /status/ !
ProxyPass /own/x ajp://127.0.0.1:{two}/own/x
ProxyPass /own !
ProxyPass / ajp://127.0.0.1:{one}/
ProxyPass /shop ajp://127.0.0.1:{two}/shop
""",
        ("localhost",),
    ),
    "expressions": (
        r"""
ProxyPassMatch ^/app/(static|x)/?$ !
ProxyPassMatch ^(/.*\.jsp)$ ajp://127.0.0.1:{one}$1
ProxyPassMatch ^/shop(/.*)?$ ajp://127.0.0.1:{two}/shop$1
ProxyPassMatch ^/(app|own)/(.*)$ ajp://127.0.0.1:{one}/$1/$2
""",
        ("localhost",),
    ),
    "locations": (
        """\
ProxyPass /app/ ajp://127.0.0.1:{one}/app/
<Location /app/static>
  ProxyPass !
</Location>
<Location "/shop">
  ProxyPass ajp://127.0.0.1:{two}/shop
</Location>
<LocationMatch "^/own/(.*)$">
  ProxyPass ajp://127.0.0.1:{two}/own/$1
</LocationMatch>
""",
        ("localhost",),
    ),
    "balancers and virtual hosts": (
        """\
<Proxy balancer://both>
  BalancerMember ajp://127.0.0.1:{one}
</Proxy>
ProxyPass /status !
ProxyPass /app balancer://both/app
<VirtualHost *:{port}>
  ServerName first.example.org
  <Proxy balancer://own>
    BalancerMember ajp://127.0.0.1:{two} route=b
    ProxySet lbmethod=byrequests
  </Proxy>
  ProxyPass /shop balancer://own/shop
  ProxyPass /status balancer://own/status
</VirtualHost>
<VirtualHost *:{port}>
  ServerName second.example.org
  ProxyPassInherit Off
  ProxyPass /own/ ajp://127.0.0.1:{two}/own/
</VirtualHost>
""",
        ("first.example.org", "second.example.org", "nobody.example.org"),
    ),
}
_MODULES = (
    *("proxy", "proxy_ajp", "proxy_balancer", "lbmethod_byrequests", "slotmem_shm", "alias"),
)
_HTTPD = """\
ServerName localhost
ServerRoot {base}
PidFile {base}/httpd.pid
Mutex file:{base} default
DefaultRuntimeDir {base}
ErrorLog {base}/httpd.error.log
{modules}
ServerLimit 1
StartServers 1
ThreadsPerChild 16
MinSpareThreads 1
MaxSpareThreads 16
MaxRequestWorkers 16
DocumentRoot {base}/empty
Listen 127.0.0.1:{port}
{more}
"""


def answering(name: str) -> Handler:
    """A container that says its name, and the path that it was asked for."""

    async def handler(request: ContainerRequest) -> None:
        await request.respond(200, body=name.encode() + b" " + request.uri)

    return handler


@contextmanager
def containers() -> Iterator[dict[str, int]]:
    """Two containers that answer everything with their name; their ports by it."""
    ports: dict[str, int] = {}
    ready, done = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with (
            ajp.serve(answering("one"), port=0) as one,
            ajp.serve(answering("two"), port=0) as two,
        ):
            ports.update(one=one.port, two=two.port)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield ports
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
        loop.close()


@contextmanager
def apache(base: Path, more: str, ports: dict[str, int]) -> Iterator[int]:
    """An Apache with mod_proxy; gives its port."""
    folder = Path("/usr/lib/apache2/modules")
    absent = [name for name in _MODULES if not (folder / f"mod_{name}.so").exists()]
    if absent:
        missing(f"mod_{absent[0]} of Apache httpd", "apache2-bin")
    port = free_port()
    loads = [f"LoadModule {name}_module {folder}/mod_{name}.so" for name in _MODULES]
    (base / "empty").mkdir()
    text = _HTTPD.format(
        base=base,
        port=port,
        modules="\n".join([httpd_modules(), *loads]),
        more=more.format(port=port, base=base, **ports),
    )
    (base / "httpd.conf").write_text(text)
    process = ServerProcess("mod_proxy", httpd_command(base / "httpd.conf"), base)
    process.start(lambda: listens(port), timeout=20)
    try:
        yield port
    finally:
        process.stop()


def ask(port: int, host: str) -> dict[bytes, str | None]:
    """Who answers for each path, and for the path that was asked for."""
    found: dict[bytes, str | None] = {}
    for path in PATHS:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.putrequest("GET", path.decode(), skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        response = connection.getresponse()
        text = response.read().decode("latin-1")
        found[path] = text if response.status == 200 else None
        connection.close()
    return found


@pytest.mark.parametrize("name", PROXY)
def test_rules_of_mod_proxy(name: str, folder: Path) -> None:
    more, hosts = PROXY[name]
    base = folder_of(folder, "httpd")
    with containers() as ports:
        with apache(base, more, ports) as port:
            theirs = {host: ask(port, host) for host in hosts}
        found, config = imported(base)
        assert found.is_good, found.remarks
        names = {number: name for name, number in ports.items()}
        where = {name: names[worker.port] for name, worker in config.workers.items()}
        for balancer in config.balancers.values():
            (member,) = balancer.members
            where[balancer.name] = names[member.worker.port]
        for host in hosts:
            ours = {
                path: None if (worker := worker_of(config, host, path)) is None
                else f"{where[worker]} {path.decode()}"
                for path in PATHS
            }  # fmt: skip
            assert ours == theirs[host], host
