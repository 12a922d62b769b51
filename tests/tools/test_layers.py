"""The floors of the house: imports and cimports go strictly down.

Reads `import`, `from … import`, `cimport` and `include` lines of .py, .pyx, .pxd and .pyi files.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Module -> height. A module may use any lower one. Modules of one height ignore each other.
AJP: dict[str, float] = {
    "_version": 10,
    "constants": 10,
    "errors": 10,
    "_wire": 10,
    "messages": 11,
    "faults": 11,
    "_packets": 20,
    "_codec": 21,
    "snapshot": 11,
    "_atomic": 10,
    "_layout": 11,
    "_table": 20,
    "_slot": 20.1,
    "_column": 20.2,
    "connection": 30,
    "request": 31,
    "_pool": 40,
    "_wheel": 40,
    "lb.session": 40,
    "lb.member": 40,
    "lb.settings": 40.05,
    "lb._store": 40,
    "lb._elect": 40.1,
    "lb._tablestore": 40.1,
    "lb.upkeep": 40.1,
    "lb.choice": 40.05,
    "lb.verdicts": 40.15,
    "lb.balancer": 40.2,
    "lb.rounds": 40.3,
    "lb.__init__": 40.4,
    "lb": 40.4,
    "retry": 40.4,
    "_clock": 50,
    "timers": 50.1,
    "_line": 50.1,
    "_endpoint": 50.2,
    "_warm": 50.3,
    "channel": 51,
    "dial": 51,
    "ownfiles": 50,
    "table": 50.1,
    "journal": 50.2,
    "worker": 52,
    "probe": 52.1,
    "link": 51,
    "members": 52,
    "balancing": 52.1,
    "attempts": 52.2,
    "client": 52.3,
    "sync": 53,
    "aio": 53,
    "container": 53,
    "__init__": 59,
}
AJPD: dict[str, float] = {
    "config.errors": 60,
    "http.uri": 60,
    "http.pages": 60,
    "http.proxy_protocol": 60,
    "http.forwarded": 60,
    "_logline": 60,
    "repeats": 60,
    "syslog": 60,
    "accesslog": 60.1,
    "client_certificate": 60,
    "http._request": 60,
    "http._response": 60,
    "http.__init__": 61,
    "config.*": 62,
    "refusal": 60,
    "report": 60.1,
    "tls_alert": 62.8,
    "tls": 62.9,
    "tls_listener": 62.95,
    "_peer": 62.95,
    "_trace": 62.95,
    "_account": 62.96,
    "_rules": 62.96,
    "_service": 63,
    "_answer": 63.1,
    "_placement": 63.1,
    "_noted": 63.15,
    "_course": 63.15,
    "_upload": 63.1,
    "inside": 60,
    "_inside": 63.18,
    "_forward": 63.1,
    "_exchange": 63.2,
    "_front": 64,
    "_rehearsal": 64,
    "balancing": 64,
    "targets": 64,
    "live": 64.5,
    "log": 64,
    "naming": 60,
    "ledger": 63,
    "listeners": 64,
    "systemd": 64,
    "events": 64,
    "control": 64.1,
    "status.__init__": 63,
    "status.report": 63.1,
    "status.collect": 63.2,
    "status.actions": 63.3,
    "status.drain": 63.4,
    "status.json_form": 63.3,
    "status.text_form": 63.3,
    "status.question": 63,
    "status.token": 60,
    "status.live_view": 63,
    "status.rates": 63.2,
    "status.fields": 63.3,
    "status.charts": 63.4,
    "status.jk_forms": 63.4,
    "status.overview": 63.4,
    "status.update": 63.4,
    "status.dashboard": 63.5,
    "status.edit": 63.5,
    "status.page": 63.7,
    "metrics.__init__": 60,
    "metrics.families": 60,
    "metrics.usage": 60,
    "metrics.samples": 63.3,
    "metrics.text": 63.4,
    "metrics.page": 63.5,
    "metrics.serving": 64.1,
    "status.top_form": 63.4,
    "top": 66,
    "arguments": 60,
    "commands": 67,
    "importing.*": 66,
    "opened": 64.2,
    "remap": 64,
    "prober": 64.3,
    "process": 65,
    "tomcat.__init__": 60,
    "tomcat.server_xml": 63,
    "tomcat.pairs": 63.1,
    "tomcat.compare": 63.2,
    "tomcat.check": 63.3,
    "explain.__init__": 60,
    "explain.question": 60,
    "explain.explanation": 60,
    "explain.rules": 65.1,
    "explain.course": 65.2,
    "explain.forms": 65.2,
    "explain.look": 65.3,
    "child": 66,
    "generation": 66.1,
    "master": 67,
    "demo": 65,
    "demo_front": 66,
    "cli": 68,
    "__main__": 69,
    "__init__": 60,
}
# Inside config/ the order is written here.
CONFIG = [
    "errors",
    "values",
    "properties",
    "rows_worker",
    "rows_balancer",
    "rows_daemon",
    "directives",
    "secret",
    "addresses",
    "model",
    "changes",
    "attributes",
    "certificates",
    "sections",
    "probes",
    "workers",
    "status_worker",
    "balancers",
    "extensions",
    "urimap",
    "hosts",
    "toml",
    "server",
    "metrics",
    "page",
    "tls",
    "parts",
    "checks",
    "conflicts",
    "load",
    "__init__",
]
# And inside importing/.
IMPORTING = [
    "remarks",
    "syntax",
    "draft",
    "sources",
    "conditions",
    "macros",
    "reading",
    "where",
    "jk_options",
    "jk",
    "proxy",
    "parameters",
    "elsewhere",
    "access",
    "around",
    "expressions",
    "containers",
    "passes",
    "hosts",
    "variables",
    "workers",
    "tls",
    "writing",
    "importer",
    "command",
    "__init__",
]
# What the lower floors may not touch: they have no I/O, no clock and no chance in them.
IMPURE = {"asyncio", "logging", "os", "random", "selectors", "socket", "ssl", "threading", "time"}
PURE_BELOW = 50

IMPORT = re.compile(
    r"^\s*(?:from\s+(?P<source>[.\w]+)\s+c?import\s+(?P<names>\(?[^#\n]*)"
    r"|c?import\s+(?P<plain>[\w., ]+)"
    r"|include\s+[\"'](?P<include>[^\"']+)[\"'])",
    re.MULTILINE,
)


def sources() -> list[tuple[str, str, Path]]:
    found = []
    for package, folder in (("ajp", ROOT / "ajp"), ("ajpd", ROOT / "daemon" / "ajpd")):
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".py", ".pyx", ".pxd", ".pyi"}:
                module = ".".join(path.relative_to(folder).with_suffix("").parts)
                found.append((package, module, path))
    return found


def height(package: str, module: str) -> float:
    table = AJP if package == "ajp" else AJPD
    if module in table:
        return table[module]
    folder, _, rest = module.partition(".")
    if package == "ajpd" and folder == "config":
        return AJPD["config.*"] + CONFIG.index(rest) / 100
    if package == "ajpd" and folder == "importing":
        return AJPD["importing.*"] + IMPORTING.index(rest) / 100
    if folder in table:
        return table[folder]
    raise AssertionError(f"{package}.{module} has no floor yet: add it to test_layers.py")


def absolute(package: str, module: str, path: Path, source: str) -> str:
    """Turn a possibly relative module name into an absolute one."""
    if not source.startswith("."):
        return source
    dots = len(source) - len(source.lstrip("."))
    parts = [package, *module.split(".")]
    base = parts[: len(parts) - dots]
    return ".".join([*base, *filter(None, source.lstrip(".").split("."))])


def is_module(package: str, dotted: str) -> bool:
    folder = ROOT / ("ajp" if package == "ajp" else "daemon/ajpd")
    base = folder.joinpath(*dotted.split("."))
    return base.is_dir() or any(
        base.with_suffix(suffix).exists() for suffix in (".py", ".pyx", ".pxd")
    )


def targets(package: str, module: str, path: Path) -> list[str]:
    """Every module this file names, absolute."""
    text = path.read_text()
    found: list[str] = []
    for match in IMPORT.finditer(text):
        if match["plain"]:
            found += [name.strip().split(" as ")[0] for name in match["plain"].split(",")]
        elif match["source"]:
            source = absolute(package, module, path, match["source"])
            names = re.findall(r"\w+", match["names"])
            top, _, rest = source.partition(".")
            inside = [
                f"{source}.{name}"
                for name in names
                if top in ("ajp", "ajpd") and is_module(top, f"{rest}.{name}".lstrip("."))
            ]
            found += inside or [source]
        elif match["include"]:
            found.append(f"include {match['include']}")
    return found


def edges() -> list[tuple[str, str]]:
    return [
        (f"{package}.{module}", target)
        for package, module, path in sources()
        for target in targets(package, module, path)
    ]


def test_imports_go_strictly_down() -> None:
    upward = []
    for package, module, path in sources():
        for target in targets(package, module, path):
            top, _, rest = target.partition(".")
            if top not in ("ajp", "ajpd") or rest == module:
                continue
            if height(package, module) <= height(top, rest or "__init__"):
                upward.append(f"{package}.{module} -> {target}")
    assert upward == []


def test_lower_floors_have_no_io_clock_or_chance() -> None:
    impure = [
        f"{package}.{module} -> {target}"
        for package, module, path in sources()
        if package == "ajp" and height(package, module) < PURE_BELOW
        for target in targets(package, module, path)
        if target.split(".")[0] in IMPURE
    ]
    assert impure == []


def test_nothing_is_included_or_imported_late() -> None:
    late = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for _, _, path in sources()
        if path.suffix in (".py", ".pyx")
        for line in path.read_text().splitlines()
        if re.match(r"\s+(from\s+\.*(ajp|ajpd)?[.\w]*\s+import|import\s+ajpd?)\b", line)
    ]
    included = [edge for edge in edges() if edge[1].startswith("include ")]
    assert late == []
    assert included == []


def test_library_never_imports_the_daemon() -> None:
    assert [edge for edge in edges() if edge[0].startswith("ajp.") and "ajpd" in edge[1]] == []


@pytest.mark.parametrize("name", ["daemon/__init__.py", "daemon/__init__.pxd"])
def test_daemon_folder_is_no_package(name: str) -> None:
    # With it, `import daemon` from the project's root would hide the package python-daemon.
    assert not (ROOT / name).exists()
