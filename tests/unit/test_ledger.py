"""Where the table is, what is entered in it, and by whom it is found again."""

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ajp.errors import LayoutMismatch, StatusTableError, TableFull
from ajp.lb import Activation
from ajp.snapshot import Kind
from ajp.table import Table
from ajpd.config.load import load_toml
from ajpd.config.model import Config, TableConfig
from ajpd.ledger import Ledger, default_table, describe, journal_of, open_table, replay

TWO = """
[worker.lb]
type = "lb"
balance_workers = ["a", "b"]
[worker.a]
host = "10.0.0.1"
[worker.b]
host = "fd00::2"
port = 8010
activation = "Disabled"
[mount]
"/*" = "lb"
"""


def config(folder: Path, text: str = TWO) -> Config:
    path = folder / "ajpd.toml"
    path.write_text(text)
    return load_toml(path)


def test_everything_has_a_place(tmp_path: Path) -> None:
    table = open_table(config(tmp_path), tmp_path / "t.shm")
    ledger = Ledger.enter(table, config(tmp_path))
    assert ledger.front.kind is Kind.FRONT
    assert {name: slot.address for name, slot in ledger.workers.items()} == {
        "a": "10.0.0.1:8009",
        "b": "[fd00::2]:8010",
    }
    assert [slot.name for slot in ledger.members["lb"]] == ["a", "b"]
    assert ledger.balancers["lb"].name == "lb"
    # Who comes next finds the same.
    again = Ledger.enter(Table.attach(table.path, writable=True), config(tmp_path))
    assert [slot.index for slot in again.members["lb"]] == [
        slot.index for slot in ledger.members["lb"]
    ]


def test_an_operators_activation_is_kept(tmp_path: Path) -> None:
    made = config(tmp_path)
    ledger = Ledger.enter(open_table(made, tmp_path / "t.shm"), made)
    ledger.settle(made)
    a, b = ledger.members["lb"]
    assert (a.activation, b.activation) == (Activation.ACTIVE, Activation.DISABLED)
    a.configure(activation=Activation.STOPPED)
    ledger.settle(made)
    assert a.activation == Activation.STOPPED
    a.configure(activation=None)
    ledger.settle(made)
    assert a.activation == Activation.ACTIVE


def test_a_ledger_of_one_process_has_a_column(tmp_path: Path) -> None:
    ledger = Ledger.alone(config(tmp_path))
    assert ledger.column is not None
    ledger.column.begun(ledger.workers["a"])
    assert ledger.workers["a"].in_flight == 1
    assert ledger.store("lb").count == 2
    assert ledger.members["lb"][1].activation == Activation.DISABLED


def test_a_configuration_that_grew_too_large_is_refused(tmp_path: Path) -> None:
    table = open_table(config(tmp_path), tmp_path / "t.shm")
    table.claim_process(generation=table.begin_generation())
    names = [f"w{number}" for number in range(60)]
    text = f'[worker.lb]\ntype = "lb"\nbalance_workers = {names}\n[mount]\n"/*" = "lb"\n'
    text += "".join(f'[worker.{name}]\nhost = "h"\n' for name in names)
    with pytest.raises(TableFull) as full:
        Ledger.enter(table, config(tmp_path, text))
    assert "stop ajpd and start it again" in describe(full.value, table.path)


def test_long_addresses_fit(tmp_path: Path) -> None:
    host = ".".join(["a" * 60] * 4)
    made = config(tmp_path, f'[worker.w]\nhost = "{host}"\n[mount]\n"/*" = "w"\n')
    first = Ledger.alone(made).workers["w"].address
    assert len(first.encode()) <= 127
    other = config(tmp_path, f'[worker.w]\nhost = "{host}b"\n[mount]\n"/*" = "w"\n')
    assert Ledger.alone(other).workers["w"].address != first


def test_the_default_place_follows_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}:/other")
    one = default_table(["/etc/ajpd.toml"])
    assert one.parent == tmp_path
    assert one == default_table(["/etc/../etc/ajpd.toml"])
    assert one != default_table(["/etc/other.toml"])
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "session"))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert default_table(["f"]).parent == tmp_path / "session" / "ajpd"
    assert (tmp_path / "session" / "ajpd").stat().st_mode & 0o777 == 0o700


def test_what_went_wrong_comes_with_what_can_be_done() -> None:
    path = Path("/run/ajpd/t.shm")
    old = describe(LayoutMismatch("layout 1"), path)
    assert old == f"table: layout 1; if no ajpd of that version runs, remove {path}"
    assert describe(StatusTableError("broken"), path) == "table: broken"


def test_the_journal_gives_a_lost_table_its_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    none = open_table(config(tmp_path), tmp_path / "none.shm")
    assert journal_of(config(tmp_path), none) is None
    replay(config(tmp_path), none)
    made = replace(config(tmp_path), table=TableConfig(journal=str(tmp_path / "journal")))
    old = open_table(made, tmp_path / "old.shm")
    journal = journal_of(made, old)
    assert journal is not None
    a, b = Ledger.enter(old, made).members["lb"]
    journal.configure(a, {"activation": Activation.STOPPED}, 1.0)
    journal.configure(old.member("lb", "gone", "h:1"), {"distance": 1}, 1.0)
    journal.append(b, {"lbfactor": 2}, 1.0)
    text = journal.path.read_text().replace('"lbfactor": 2', '"port": 2')
    journal.path.write_text(text)
    new = open_table(made, tmp_path / "new.shm")
    ledger = Ledger.enter(new, made)
    ledger.workers["a"].configure(port=9)
    with caplog.at_level(logging.INFO, "ajpd.table"):
        replay(made, new)
    assert [record.getMessage() for record in caplog.records] == [
        f"journal: member lb/a {a.address}: activation 2",
        f"journal: member lb/b {b.address} is left out: port of a member cannot be changed",
        "journal: member lb/gone h:1 is about nobody in this configuration",
        f"journal: worker a {a.address} was not in it yet: port 9",
    ]
    ledger.settle(made)
    assert ledger.members["lb"][0].activation == Activation.STOPPED
    new.path.unlink()
    with pytest.raises(StatusTableError, match=r"new.shm: No such file"):
        replay(made, new)
