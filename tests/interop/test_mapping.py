"""Which rule counts for a path: asked of a real mod_jk, whose status workers tell their names."""

import random
from pathlib import Path

import pytest

from ajpd.config import HostMaps, load_files, load_toml
from ajpd.config.urimap import UriMap
from ajpd.http.uri import BadURI, normalise

from .modjk import ask_for_workers

NAMES = [f"w{number}" for number in range(8)]

#: What the order of rules and the marks in them are about.
RULES = """\
/a/b=w0
/a/*x*=w1
/foo/bar=w2
/*/*/*=w3
/app|/*=w4
/app/*.jsp=w5
!/app/static/*=w4
!/app/*.gif=*
-/app/off/*=w6
-!/app/in/*=w4
/q?estion=w6
/[a]*=w7
/dots.html=w7
/$x=w7
"""
PATHS = """\
/a/b /a/bx /a/x /a/xb /foo/bar /foo/bar/ /foo/bar/baz /foo/ba /x / /A/B /a/b/
/app /app/ /appx /app/x.jsp /app/x.jspx /app/static/x /app/static/x.jsp /app/static/ /app/static
/app/x.gif /app/x.jsp.gif /app/off/x /app/in/x /question /qestion /qq?estion
/[a]b /ab /dots.html /dotsxhtml /$x /a//b /a/./b /a/c/../b //app///y
/app;s=1/static;t=2/x /app/x.jsp;jsessionid=1 /app/%73tatic/x /app/x%2Egif /app/..;/foo/bar
/app/.. /app/../a/b /a/b;x=y /%61/b /app/%20 /app/x.GIF
"""


def compare(folder: Path, rules: str, paths: list[bytes]) -> int:
    """Ask both for each path; returns how many were mapped to a worker."""
    (folder / "workers.properties").write_text("")
    theirs = ask_for_workers(folder, NAMES, rules.encode(), paths)
    (folder / "ours.properties").write_text(
        f"worker.list={','.join(NAMES)}\n" + "".join(f"worker.{n}.port=1\n" for n in NAMES)
    )
    config = load_files(folder / "ours.properties", folder / "uriworkermap.properties", env={})
    uri_map = HostMaps(config).default
    wrong = []
    for path, their in zip(paths, theirs, strict=True):
        ours = workers_for(uri_map, path)
        if their not in ours:
            wrong.append(f"{path.decode()}: mod_jk {their}, ours {sorted(map(str, ours))}")
    assert wrong == []
    return sum(their is not None for their in theirs)


def workers_for(uri_map: UriMap, path: bytes) -> set[str | None]:
    """What we say; all of several rules of one rank, between which mod_jk leaves it to chance."""
    try:
        match, _ = normalise(path, "proxy")
    except BadURI:
        return {None}
    first = uri_map.decide(match).mount
    if first is None:
        return {None}
    equals = [
        rule
        for rule in uri_map.rules
        if not rule.is_exclusion
        and rule.pattern.count(b"/") == first.pattern.count(b"/")
        and len(rule.pattern) == len(first.pattern)
    ]
    found: set[str | None] = set()
    for rule in equals:
        others = [other for other in uri_map.rules if other not in equals or other == rule]
        mount = UriMap(others).match(match)
        if rule is first or UriMap([rule]).match(match) is not None:
            found.add(None if mount is None else mount.worker)
    return found


def test_order_and_marks(folder: Path) -> None:
    assert compare(folder, RULES, [path.encode() for path in PATHS.split()]) > 20


@pytest.mark.parametrize("seed", range(4))
def test_any_rules(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    pieces = ["/", "/", "a", "b", ".", "*", "?", "/*", "ab", "*a"]
    lines = []
    for _ in range(40):
        pattern = "/" + "".join(chance.choices(pieces, k=chance.randrange(6)))
        pattern = pattern.replace("//", "/")
        worker = chance.choice(NAMES)
        if chance.random() < 0.2:
            pattern, worker = f"!{pattern}", chance.choice([worker, "*"])
        if chance.random() < 0.1:
            pattern += "|/*"
        lines.append(f"{pattern}={worker}")
    # What is left is mapped by somebody, so that exclusions have something to take back.
    lines.append("/*=w0")
    paths = set()
    while len(paths) < 250:
        path = "/" + "".join(chance.choices(["/", "a", "b", ".", "ab"], k=chance.randrange(7)))
        if "//" not in path and "/." not in path:
            paths.add(path.encode())
    assert compare(folder, "\n".join(lines) + "\n", sorted(paths)) > 25


HOSTS = """\
JkMount /main w1
JkMount /both w1
JkMount /three/* w1
JkUnMount /three/x w1
<VirtualHost 127.0.0.1:{{port}}>
ServerName other.example
JkMountCopy On
</VirtualHost>
<VirtualHost 127.0.0.1:{{port}}>
ServerName shop.example
ServerAlias *.shop.example
JkMountCopy {copy}
JkMount /both w2
JkMount /three/x w2
{mount_file}
</VirtualHost>
"""
TOML = """\
[workers]
file = "ours.properties"
[map]
file = "uriworkermap.properties"
[mount]
"/main" = "w1"
"/both" = "w1"
"/three/*" = "w1"
"!/three/x" = "w1"
[host."shop.example"]
aliases = ["*.shop.example"]
mount_copy = {copy}
map = "{map}"
mount = {{ "/both" = "w2", "/three/x" = "w2" }}
"""
HOST_PATHS = ["/main", "/both", "/three/x", "/three/y", "/three/", "/file", "/shop", "/none"]


@pytest.mark.parametrize("host", ["other.example", "shop.example", "a.b.SHOP.example:80"])
@pytest.mark.parametrize("has_map", [True, False])
@pytest.mark.parametrize("copy", [True, False])
def test_what_a_host_takes_over(folder: Path, host: str, has_map: bool, copy: bool) -> None:
    """Virtual hosts of Apache, JkMountCopy included, and sections of ajpd.toml."""
    (folder / "shop.map").write_text("/shop=w4\n/both=w4\n")
    mount_file = "JkMountFile {base}/shop.map" if has_map else ""
    theirs = ask_for_workers(
        folder,
        NAMES,
        b"/file=w3\n!/main=w3\n",
        [path.encode() for path in HOST_PATHS],
        more=HOSTS.format(copy="On" if copy else "Off", mount_file=mount_file),
        host=host,
    )
    (folder / "ours.properties").write_text(
        f"worker.list={','.join(NAMES)}\n" + "".join(f"worker.{n}.port=1\n" for n in NAMES)
    )
    text = TOML.format(copy=str(copy).lower(), map="shop.map" if has_map else "")
    (folder / "ajpd.toml").write_text(text)
    maps = HostMaps(load_toml(folder / "ajpd.toml", env={}))
    name = host.partition(":")[0].encode()
    mounts = [maps.match(name, path.encode()) for path in HOST_PATHS]
    assert [mount and mount.worker for mount in mounts] == theirs
