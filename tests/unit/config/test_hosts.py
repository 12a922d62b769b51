from pathlib import Path

import pytest

from ajpd.config import Config, ConfigErrors, HostMaps, load_toml, reread_maps
from ajpd.config.hosts import host_name, rules_of
from ajpd.config.model import HostConfig, Mount, MountSource

TOML = """\
[worker.main]
[worker.shop]
[worker.wiki]
[map]
file = "main.map"
[mount]
"/both" = "main"
"/m" = "main"

[host."Shop.Example.org"]
aliases = ["shop.example.org", "*.shops.example"]
map = "shop.map"
mount_copy = true
[host."Shop.Example.org".mount]
"/both" = "shop"

[host."*.example"]
mount = { "/*" = "wiki" }
"""
MAIN = "/file=main\n/*=main\n!/*.gif=main\n"
SHOP = "/s/*=shop;reply_timeout=7\n"


def load(folder: Path, text: str = TOML, main: str = MAIN, shop: str = SHOP) -> Config:
    (folder / "t").write_text(text)
    (folder / "main.map").write_text(main)
    (folder / "shop.map").write_text(shop)
    return load_toml(folder / "t", env={})


def errors(folder: Path, text: str, **files: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(folder, text, **files)
    return [str(error).replace(f"{folder}/", "") for error in caught.value.errors]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("www.example.org", "www.example.org"),
        ("WWW.Example.ORG.", "www.example.org"),
        ("*.example.org", "*.example.org"),
        ("localhost", "localhost"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "[::1]"),
        ("[::1]", "[::1]"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_names(text: str, name: str) -> None:
    assert host_name(text) == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither a host name nor an address"),
        ("a b", "neither a host name nor an address"),
        ("www.example.org:8080", "a host has no port"),
        ("bücher.example", "browsers ask for 'xn--bcher-kva.example', write that"),
        ("ü" * 80, "its form that begins with xn--"),
        ("*", "rules for all other names belong into"),
        ("www.*.org", "a \\* stands for whole labels at the beginning"),
        ("*example.org", "a \\* stands for whole labels at the beginning"),
    ],
)
def test_names_that_nobody_asks_for(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        host_name(text)


@pytest.mark.parametrize(
    ("host", "path", "worker"),
    [
        (b"", b"/x", "main"),
        (b"other.org", b"/x", "main"),
        (b"other.org", b"/x.gif", None),
        (b"shop.example.org", b"/both", "shop"),
        (b"SHOP.example.ORG.", b"/s/1", "shop"),
        (b"shop.example.org", b"/m", "main"),
        (b"shop.example.org", b"/file", None),
        (b"a.b.shops.example", b"/s/1", "shop"),
        (b"shops.example", b"/s/1", "wiki"),
        (b"a.example", b"/m", "wiki"),
        (b"example", b"/x", "main"),
    ],
)
def test_the_name_decides(tmp_path: Path, host: bytes, path: bytes, worker: str | None) -> None:
    maps = HostMaps(load(tmp_path))
    assert maps.has_hosts
    mount = maps.match(host, path)
    assert (None if mount is None else mount.worker) == worker
    decision = maps.decide(host, path)
    is_mapped = decision.mount is not None and decision.exclusion is None
    assert is_mapped == (worker is not None)
    assert repr(maps).startswith("<HostMaps <UriMap")


def test_without_hosts_there_is_one_map(tmp_path: Path) -> None:
    config = load(tmp_path, TOML[: TOML.index("[host.")].replace("[worker.wiki]\n", ""))
    maps = HostMaps(config)
    assert not maps.has_hosts
    found = maps.default.match(b"/x")
    assert found is not None
    assert maps.match(b"shop.example.org", b"/x") is found


def mount(text: str, source: MountSource = MountSource.MOUNT) -> Mount:
    is_exclusion = text.startswith("!")
    pattern = text.removeprefix("!").encode()
    return Mount(pattern=pattern, worker="w", is_exclusion=is_exclusion, source=source)


def test_what_a_host_takes_over() -> None:
    others = (mount("/a"), mount("!/a"), mount("/b"), mount("/f", MountSource.FILE))
    host = HostConfig(name="h", names=("h",), rules=(mount("/a"),))
    assert rules_of(host, others) == host.rules
    copying = HostConfig(name="h", names=("h",), rules=(mount("/a"),), mount_copy=True)
    assert rules_of(copying, others) == (mount("/a"), *others[1:])
    mapped = HostConfig(name="h", names=("h",), rules=(mount("/a"),), file="f", mount_copy=True)
    assert rules_of(mapped, others) == (mount("/a"), *others[1:3])


def test_everything_about_a_host(tmp_path: Path) -> None:
    shop, example = load(tmp_path).hosts
    assert shop.names == ("shop.example.org", "*.shops.example")
    assert shop.file == str(tmp_path / "shop.map")
    assert shop.mount_copy
    assert [str(rule) for rule in shop.rules] == ["/s/*=shop", "/both=shop"]
    assert shop.rules[0].reply_timeout_ms == 7
    assert (example.names, example.file, example.mount_copy) == (("*.example",), "", False)
    assert [rule.place.line for rule in (*shop.rules, *example.rules)] == [1, 15, 18]
    config = load(tmp_path)
    assert config.maps.file == str(tmp_path / "main.map")
    assert config.maps.reload_ms == 60_000
    assert not config.warnings
    assert config.files[-1] == shop.file


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "[host.'a.org']\nmuont = {}\n",
            ["t:5: unknown key 'muont' in [host.NAME]"],
        ),
        ("[host.'a.org']\nmount = 5\n", ["t:5: 'mount' must be a section"]),
        (
            "[host]\naliases = ['a']\n",
            [
                "t:5: 'aliases' must be a section [host.NAME], and quotes belong around the NAME "
                "(did you mean '[host.\"www.example.org\"]'?)"
            ],
        ),
        (
            "[host.'a b']\naliases = ['c:1']\nmount = {'/*'='w'}\n",
            [
                "t:4: host: 'a b' is neither a host name nor an address",
                "t:5: host: 'c:1': a host has no port; write host=c and port=1",
            ],
        ),
        (
            "[host.'a.org']\nmount = {'/*'='v'}\n[host.'b.org']\naliases = ['A.org']\n"
            "mount = {'/*'='w'}\n",
            [
                "t:5: the rule /*=v names an unknown worker",
                "t:6: host: 'a.org' is a name of [host.'a.org'] too, at t:4",
            ],
        ),
        (
            "[host.'a.org']\nmap = 'none.map'\nmount_copy = 'perhaps'\n",
            [
                "t:5: cannot read 'none.map': No such file or directory",
                "t:6: mount_copy: 'perhaps' is neither true nor false",
            ],
        ),
        (
            "[host.'a.org']\nmap = 'shop.map'\n",
            ["shop.map:1: the rule /s/*=shop names an unknown worker"],
        ),
    ],
)
def test_errors(tmp_path: Path, text: str, found: list[str]) -> None:
    shown = errors(tmp_path, "[worker.w]\n[mount]\n'/*' = 'w'\n" + text)
    assert [error.split(" (did you mean 'mount")[0] for error in shown] == found


def test_a_host_without_rules(tmp_path: Path) -> None:
    config = load(tmp_path, "[worker.w]\n[mount]\n'/*' = 'w'\n[host.'a.org']\n")
    assert [str(warning).replace(f"{tmp_path}/", "") for warning in config.warnings] == [
        "t:4: host 'a.org' has no rules, so all its requests are answered 404"
    ]


def test_maps_are_read_again(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert reread_maps(config, env={}) == config
    (tmp_path / "main.map").write_text("/new=main\n")
    (tmp_path / "shop.map").write_text("/other=shop\n")
    other = reread_maps(config, env={})
    assert [str(rule) for rule in other.rules] == ["/new=main", "/both=main", "/m=main"]
    assert [str(rule) for rule in other.hosts[0].rules] == ["/other=shop", "/both=shop"]
    assert other.hosts[1] == config.hosts[1]
    assert other.workers is config.workers


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "/a=mian\n",
            "main.map:1: the rule /a=mian names an unknown worker (did you mean 'main'?)",
        ),
        ("\n/a=main;reply_timeout=x\n", "main.map:2: reply_timeout: 'x' is no number"),
        (None, "main.map: cannot read the file: No such file or directory"),
    ],
)
def test_maps_with_errors_are_not_used(tmp_path: Path, text: str | None, error: str) -> None:
    config = load(tmp_path)
    if text is None:
        (tmp_path / "main.map").unlink()
    else:
        (tmp_path / "main.map").write_text(text)
    with pytest.raises(ConfigErrors) as caught:
        reread_maps(config, env={})
    assert str(caught.value.errors[0]).replace(f"{tmp_path}/", "").startswith(error)


def test_whose_rules_count_is_known(tmp_path: Path) -> None:
    maps = HostMaps(load(tmp_path))
    found = {
        name: None if (host := maps.host_of(name)) is None else host.name
        for name in (b"shop.example.org", b"x.SHOPS.example.", b"y.example", b"other", b"")
    }
    assert found == {
        b"shop.example.org": "Shop.Example.org",
        b"x.SHOPS.example.": "Shop.Example.org",
        b"y.example": "*.example",
        b"other": None,
        b"": None,
    }
