from typing import Any

import pytest

from ajpd.config import HostMaps

from .stage import Stage


def host(address: str, *lines: str) -> str:
    return "\n".join((f"<VirtualHost {address}>", *lines, "</VirtualHost>\n"))


def rules(found: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Mount tables by host; that for all others is *."""
    tables = {name: table.get("mount", {}) for name, table in found.get("host", {}).items()}
    return {"*": found.get("mount", {}), **tables}


def test_one_virtual_host_is_for_all_names(stage: Stage) -> None:
    found = stage.jk(host("*:80", "ServerName a.example", "JkMount /a one"))
    assert rules(found) == {"*": {"/a": "one"}}


def test_the_first_one_is_for_names_that_nobody_has(stage: Stage) -> None:
    found = stage.jk(
        host("*:80", "ServerName a.example", "JkMount /a one")
        + host(
            "*:80", "ServerName B.example:80", "ServerAlias c.example *.d.example", "JkMount /b two"
        )
    )
    assert rules(found) == {"*": {"/a": "one"}, "b.example": {"/b": "two"}}
    assert found["host"]["b.example"]["aliases"] == ["c.example", "*.d.example"]
    maps = HostMaps(stage.config())
    for name, path in (
        (b"a.example", b"/a"),
        (b"x", b"/a"),
        (b"c.example", b"/b"),
        (b"x.d.example", b"/b"),
    ):
        assert maps.match(name, path) is not None


def test_a_host_without_rules_has_none_here(stage: Stage) -> None:
    found = stage.jk(
        host("*:80", "ServerName a.example", "JkMount /a one")
        + host("*:80", "ServerName b.example")
    )
    assert rules(found) == {"*": {"/a": "one"}, "b.example": {}}
    assert stage.result.is_good
    assert any("nothing of b.example leads to a container" in note for note in stage.notes())


def test_rules_outside_count_in_no_virtual_host(stage: Stage) -> None:
    found = stage.jk("JkMount /m one\n" + host("*:80", "JkMount /a one"))
    assert rules(found) == {"*": {"/a": "one"}}
    assert "without JkMountCopy it counts in none of them" in stage.warnings()[0]


@pytest.mark.parametrize(
    "text",
    [
        "JkMount /m one\nJkMountCopy All\n" + host("*:80", "JkMount /a two"),
        "JkMount /m one\n" + host("*:80", "JkMount /a two", "JkMountCopy On"),
        "JkMount /m one\nJkMount /a one\n" + host("*:80", "JkMount /a two", "JkMountCopy On"),
    ],
)
def test_copies(stage: Stage, text: str) -> None:
    assert rules(stage.jk(text)) == {"*": {"/m": "one", "/a": "two"}}
    assert stage.warnings() == []


def test_a_map_is_copied_where_there_is_none(stage: Stage) -> None:
    for name in ("main", "own"):
        stage.write(f"{name}.properties", f"/{name}=one\n")
    found = stage.jk(
        "JkMountFile main.properties\nJkMountCopy All\n"
        + host("*:80", "ServerName a.example")
        + host("*:80", "ServerName b.example", "JkMountFile own.properties")
    )
    assert found["map"] == {"file": str(stage.folder / "main.properties")}
    assert found["host"] == {"b.example": {"map": str(stage.folder / "own.properties")}}


def test_the_main_server_where_it_is_reached(stage: Stage) -> None:
    """It has the ports that no virtual host has."""
    text = "JkMount /m one\n{}" + host("*:443", "ServerName a.example", "JkMount /a two")
    assert rules(stage.jk(text.format("Listen 80\nListen 443\n"))) == {
        "*": {"/m": "one"},
        "a.example": {"/a": "two"},
    }
    assert rules(stage.jk(text.format("Listen 443\n"))) == {"*": {"/a": "two"}}


def test_one_name_at_two_ports(stage: Stage) -> None:
    name = "ServerName a.example"
    other = host("*:80", "ServerName o.example", "JkMount /o one")
    found = stage.jk(other + host("*:80", name) + host("*:443", name, "JkMount /a two"))
    assert rules(found)["a.example"] == {"/a": "two"}
    found = stage.jk(
        other
        + host("*:80", name, "JkMount /b one", "JkMount /a one")
        + host("*:443", name, "JkMount /a two")
    )
    assert rules(found)["a.example"] == {"/b": "one", "/a": "one"}
    assert any("the rule /a leads elsewhere" in said for said in stage.warnings())
    assert any("those of both count here" in said for said in stage.warnings())
    # The second one of an address never has a name that the first one has.
    found = stage.jk(
        other + host("*:80", name, "JkMount /a one") + host("*:80", name, "JkMount /c two")
    )
    assert rules(found)["a.example"] == {"/a": "one"}


def test_two_addresses_with_two_first_hosts(stage: Stage) -> None:
    stage.jk(
        host("*:80", "ServerName a.example", "JkMount /a one")
        + host("*:443", "ServerName b.example", "JkMount /b two")
    )
    assert any("at its address it answers for names" in said for said in stage.warnings())


def test_a_map_outside_counts_in_no_virtual_host(stage: Stage) -> None:
    stage.write("m", "/m=one\n")
    found = stage.jk("JkMountFile m\n" + host("*:80", "JkMount /a one"))
    assert "map" not in found
    assert any("without JkMountCopy it counts in no virtual host" in s for s in stage.warnings())


def test_two_maps_for_one_name(stage: Stage) -> None:
    for name in "mn":
        stage.write(name, f"/{name}=one\n")
    name = "ServerName a.example"
    found = stage.jk(
        host("*:80", "ServerName o.example", "JkMount /o one")
        + host("*:80", name, "JkMountFile m")
        + host("*:443", name, "JkMountFile n")
    )
    assert found["host"]["a.example"]["map"] == str(stage.folder / "m")
    assert any("it has another JkMountFile" in said for said in stage.warnings())


def test_nobody_reaches_it(stage: Stage) -> None:
    stage.write("m", "/m=one\n")
    stage.jk(
        host("*:80", "JkMount /a one")
        + host("*:80", "JkMount /b one", "JkMount /a one", "JkMountFile m")
        + host("*:80", "ServerName x.example")
    )
    unreached = [said for said in stage.notes() if "no request gets there" in said]
    assert [said.partition(": no")[0] for said in unreached] == ["6: JkMount", "8: JkMountFile"]
    assert any("7: JkMount: " in said and "says the same" in said for said in stage.notes())


def test_no_virtual_host_leads_anywhere(stage: Stage) -> None:
    found = stage.jk("JkMount /a one\n" + host("*", "ServerName a.example"))
    assert "mount" not in found
    assert "host" not in found


def test_names_that_cannot_be(stage: Stage) -> None:
    found = stage.jk(
        host("*:80", "JkMount /x one")
        + host(
            "*:80",
            "ServerName https://a.example:443",
            "ServerAlias www*.example *",
            "JkMount /a one",
        )
    )
    assert list(found["host"]) == ["a.example"]
    assert sum("the name is left out" in said for said in stage.warnings()) == 2
    assert stage.result.is_good


def test_a_wildcard_does_not_take_names_of_others(stage: Stage) -> None:
    found = stage.jk(
        host("*:80", "ServerName a.d.example", "JkMount /a one")
        + host("*:80", "ServerName b.example", "ServerAlias *.d.example", "JkMount /b two")
    )
    assert rules(found) == {
        "*": {"/a": "one"},
        "a.d.example": {"/a": "one"},
        "b.example": {"/b": "two"},
    }


def test_rules_of_two_modules(stage: Stage) -> None:
    found = stage.jk("JkMount /a/* one\nProxyPass /a/ ajp://h/a/\nProxyPass /b ajp://h/b")
    assert rules(found)["*"] == {"/a/*": "one", "/b|/*": "h"}
    assert any("leads /a/* elsewhere" in said for said in stage.warnings())


def test_a_virtual_host_without_an_address(stage: Stage) -> None:
    found = stage.jk("<VirtualHost>\nJkMount /a one\n</VirtualHost>")
    assert rules(found) == {"*": {"/a": "one"}}
    assert "it is read as if * stood there" in stage.warnings()[0]
