"""Whatever Apache's files say: no crash, always TOML, and no line is lost."""

import tempfile
import tomllib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ajpd.importing.importer import import_configuration
from ajpd.importing.remarks import Remarks
from ajpd.importing.syntax import Block, Node, parse

PATHS = (
    "/",
    "/a",
    "/a/",
    "/a/*",
    "/*",
    "/a|/*",
    "/b/c",
    "a",
    "!/a",
    "^/a/(.*)$",
    r"\.jsp$",
    "~",
    "*",
    "",
)
URLS = (
    *("ajp://h/a", "ajp://h:1/", "ajp://h", "balancer://lb/a", "balancer://lb", "balancer://no/"),
    *("http://h/a", "!", "unix:/s|ajp://x/a", "ajp://h:x/", "ajp://h/$1", "ajp://[::1]:9/a", "x"),
)
WORDS = (
    *(
        "one",
        "two",
        "nobody",
        "*",
        "On",
        "Off",
        "All",
        "5",
        "0",
        "-1",
        "x=y",
        "secret=s",
        "route=r",
    ),
    *("loadfactor=2", "status=+H", "retry=5", "timeout=5", "stickysession=A|b", "lbset=1", '"a b"'),
    *(
        "'",
        '"',
        "\\",
        "${X}",
        "%{X}",
        "\u00e9",
        "\u00a0",
        "redirect=r",
        "hcuri=/x",
        "nocanon",
        "+X",
    ),
)
LEADING = ("JkMount", "JkUnMount", "ProxyPass", "ProxyPassMatch", "BalancerMember")
OTHERS = (
    *("JkWorkersFile", "JkWorkerProperty", "JkMountFile", "JkMountCopy", "JkOptions", "JkEnvVar"),
    *("JkLogFile", "JkLogLevel", "ProxySet", "ProxyTimeout", "Listen", "ServerName", "ServerAlias"),
    *("SSLEngine", "SSLCertificateFile", "Require", "Define", "Include", "SetEnv", "RewriteRule"),
    *("ProxyErrorOverride", "ServerRoot", "LoadModule", "RemoteIPTrustedProxy", "Frobnicate"),
)
SECTIONS = (
    *("VirtualHost *:80", "VirtualHost *:443", "Location /a", "LocationMatch ^/a", "Directory /"),
    *(
        "Proxy balancer://lb",
        "Proxy ajp://h",
        "IfModule mod_jk.c",
        "IfModule !jk_module",
        "If true",
    ),
    *("IfDefine X", "Limit GET", "RequireAny", "Macro m", "Location", "VirtualHost", "If true"),
)

args = st.lists(st.sampled_from((*PATHS, *URLS, *WORDS)), max_size=4).map(" ".join)
paths, urls = st.sampled_from(PATHS), st.sampled_from(URLS)


def directive(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Some words in a row."""
    return st.tuples(*parts).map(" ".join)


lines = st.one_of(
    directive(st.sampled_from(("JkMount", "JkUnMount")), paths, st.sampled_from(WORDS)),
    directive(st.sampled_from(("ProxyPass", "ProxyPassMatch")), paths, urls, args),
    directive(st.just("BalancerMember"), urls, args),
    directive(st.just("BalancerMember balancer://lb"), urls, args),
    directive(st.sampled_from((*LEADING, *OTHERS)), args),
)


def section(inside: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """What is in a section, mostly closed."""
    return st.builds(
        lambda title, content, is_closed: "\n".join(
            (f"<{title}>", *content, *((f"</{title.split()[0]}>",) if is_closed else ()))
        ),
        st.sampled_from(SECTIONS),
        st.lists(inside, max_size=5),
        st.integers(0, 9).map(bool),
    )


texts = st.lists(st.recursive(lines, section, max_leaves=12), max_size=12).map("\n".join)


#: These are in the result, or decide what is read, without a line of their own.
TAKEN = (
    *("ServerName", "ServerAlias", "ServerRoot", "JkMountCopy", "SSLEngine", "SSLCertificateFile"),
    *("Define", "Include", "LoadModule", "ProxyErrorOverride"),
)


def that_count(nodes: list[Node], *, is_read: bool = True) -> set[int]:
    """Lines that say something.

    What Apache does not look at has to be named where it leads requests somewhere, and what is in a
    macro that is not used not even then.
    """
    found: set[int] = set()
    for node in nodes:
        if isinstance(node, Block):
            is_open = is_read and node.args not in ("!jk_module", "X")
            found |= set() if node.name == "Macro" else that_count(node.children, is_read=is_open)
        elif node.name in LEADING or (is_read and node.name not in TAKEN):
            found.add(node.place.line or 0)
    return found


@settings(max_examples=150, deadline=None)
@given(texts, st.booleans())
def test_no_line_is_lost(text: str, has_workers: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "httpd.conf")
        path.write_text(text, encoding="utf-8")
        paths = [path]
        if has_workers:
            paths.append(Path(folder, "workers.properties"))
            paths[1].write_text("worker.list=one,two\nworker.one.port=1\nworker.two.port=2\n")
        found = import_configuration(paths)
        tomllib.loads(found.text)
        file = str(path)
        kept = {place.line for place in found.kept if place.file == file}
        named = {remark.place.line for remark in found.remarks if remark.place.file == file}
        assert that_count(parse(text, file, Remarks())) <= kept | named
        assert found.is_good or found.remarks


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200))
def test_any_text_at_all(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "httpd.conf")
        path.write_text(text, encoding="utf-8", newline="")
        tomllib.loads(import_configuration([path]).text)
