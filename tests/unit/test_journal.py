"""The journal: what is written, what comes back, and what is refused."""

import json
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ajp import journal as module
from ajp.errors import StatusTableError
from ajp.journal import Journal
from ajp.snapshot import Kind
from ajp.table import Table

NOW = 1_500_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "ajpd.journal"


def table(path: Path, name: str = "ajpd.shm") -> Table:
    made = Table.create(path.with_name(name), slots=8, columns=2)
    made.worker("a", "h:1")
    made.member("lb", "a", "h:1")
    made.member("lb", "b", "h:2")
    made.balancer("lb")
    return made


def configs(table: Table) -> list[dict[str, int | str]]:
    return [slot.config() for slot in table.slots()]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestWriting:
    def test_a_line_for_people(self, path: Path) -> None:
        member = table(path).member("lb", "a", "h:1")
        Journal(path).configure(member, {"activation": 1, "route": "r"}, NOW, who="root")
        assert path.read_text() == (
            '{"number": 1, "time": "2017-07-14T02:40:00Z", "who": "root", "kind": "member", '
            '"balancer": "lb", "name": "a", "address": "h:1", '
            '"changes": {"activation": 1, "route": "r"}}\n'
        )
        assert member.config() == {"activation": 1, "route": "r"}
        assert member.memory.journal == 1

    def test_each_kind_and_one_number_for_all(self, path: Path) -> None:
        made, journal = table(path), Journal(path)
        entries = [journal.append(slot, {name: None}, NOW) for slot, name in zip(
            made.slots(), ["retries", "distance", "route", "method"], strict=True
        )]  # fmt: skip
        assert [str(entry) for entry in entries] == [
            "worker a h:1", "member lb/a h:1", "member lb/b h:2", "balancer lb"
        ]  # fmt: skip
        assert [line["number"] for line in lines(path)] == [1, 2, 3, 4] == [
            entry.number for entry in journal.entries()
        ]  # fmt: skip

    def test_enums_and_bools_are_numbers(self, path: Path) -> None:
        made = table(path)
        Journal(path).configure(made.balancer("lb"), {"sticky_session": True}, NOW)
        Journal(path).configure(made.member("lb", "a", "h:1"), {"activation": Kind.WORKER}, NOW)
        found = [line["changes"] for line in lines(path)]
        assert [type(next(iter(changes.values()))) for changes in found] == [int, int]

    def test_is_ours_alone(self, path: Path) -> None:
        before = os.umask(0)
        try:
            Journal(path).append(table(path).balancer("lb"), {"method": 1}, NOW)
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_several_write_to_one(self, path: Path) -> None:
        made = table(path)
        one, other = Journal(path), Journal(path)
        for number in range(6):
            (one, other)[number % 2].configure(made.balancer("lb"), {"method": number % 3}, NOW)
        assert [line["number"] for line in lines(path)] == [*range(1, 7)]
        assert one.replay(made).noted == ()

    def test_is_on_the_disk_with_its_name(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced = []

        def fsync(fd: int) -> None:
            synced.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")

        monkeypatch.setattr(os, "fsync", fsync)
        made = table(path).balancer("lb")
        Journal(path).append(made, {"method": 1}, NOW)
        Journal(path).append(made, {"method": 2}, NOW)
        assert synced == ["file", "directory", "file"]

    @pytest.mark.parametrize("changes", [{}, {"nonsense": 1}, {"port": 1}])
    def test_what_is_no_change(self, path: Path, changes: dict[str, int]) -> None:
        with pytest.raises(ValueError, match="is no change of"):
            Journal(path).append(table(path).balancer("lb"), changes, NOW)
        assert not path.exists()

    def test_value_that_cannot_be_is_not_written(self, path: Path) -> None:
        made = table(path)
        with pytest.raises(ValueError, match="activation is 0, 1 or 2"):
            Journal(path).configure(made.member("lb", "a", "h:1"), {"activation": 9}, NOW)
        assert not path.exists()

    def test_table_for_reading(self, path: Path) -> None:
        looking = Table.attach(table(path).path)
        for act in (
            lambda: Journal(path).append(looking.slots()[0], {"retries": 1}, NOW),
            lambda: Journal(path).replay(looking),
            lambda: Journal(path).compact(looking),
        ):
            with pytest.raises(StatusTableError, match="reading only"):
                act()

    def test_slot_of_somebody_else(self, path: Path) -> None:
        made = table(path)
        slot = made.worker("a", "h:1")
        made.begin_generation()
        made.release_unused()
        with pytest.raises(StatusTableError, match="somebody else"):
            Journal(path).append(slot, {"retries": 1}, NOW)

    @pytest.mark.parametrize("before", [{}, {"activation": 2}])
    def test_full_disk_changes_nothing(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, before: dict[str, int]
    ) -> None:
        slot = table(path).member("lb", "a", "h:1")
        slot.configure(**before)
        settled = slot.activation
        Journal(path).append(slot, {"distance": 3}, NOW)
        text, write = path.read_bytes(), os.write

        def half(fd: int, line: bytes) -> int:
            if line.endswith(b"}}\n") and len(line) > 100:
                return write(fd, line[:50])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", half)
        with pytest.raises(StatusTableError, match=r"ajpd.journal: No space left on device"):
            Journal(path).configure(slot, {"activation": 1}, NOW)
        assert (path.read_bytes(), slot.config(), slot.activation) == (text, before, settled)
        assert slot.memory.journal == 1


class TestReplay:
    def test_nothing_there(self, path: Path) -> None:
        made = table(path)
        found = Journal(path).replay(made)
        assert (found.applied, found.unknown, found.refused, found.noted) == ((), (), (), ())
        # So that a place where none can be is found before the first change.
        assert path.read_bytes() == b""
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_lost_table_gets_everything(self, path: Path) -> None:
        made, journal = table(path), Journal(path)
        journal.configure(made.member("lb", "a", "h:1"), {"activation": 1, "route": "r"}, NOW)
        journal.configure(made.member("lb", "a", "h:1"), {"route": None, "lbfactor": 2}, NOW)
        journal.configure(made.worker("a", "h:1"), {"retries": 7}, NOW)
        new = table(path, "new.shm")
        found = Journal(path).replay(new)
        assert [entry.number for entry in found.applied] == [1, 2, 3]
        assert configs(new) == configs(made)
        assert new.member("lb", "a", "h:1").activation == 1
        assert (new.journal, found.noted) == (3, ())

    def test_living_table_gets_what_is_new(self, path: Path) -> None:
        made, journal = table(path), Journal(path)
        journal.configure(made.balancer("lb"), {"method": 1}, NOW)
        made.balancer("lb").configure(lock=1)
        journal.append(made.balancer("lb"), {"lock": 1}, NOW)
        made.journal = 1
        found = journal.replay(made)
        assert [entry.number for entry in found.applied] == [2]
        assert journal.replay(made).applied == ()

    def test_unknown_are_skipped_and_named(self, path: Path) -> None:
        made, journal = table(path), Journal(path)
        journal.configure(made.member("lb", "gone", "h:9"), {"activation": 2}, NOW)
        journal.configure(made.member("lb", "a", "h:1"), {"activation": 1}, NOW)
        found = journal.replay(table(path, "new.shm"))
        assert [str(entry) for entry in found.unknown] == ["member lb/gone h:9"]
        assert [str(entry) for entry in found.applied] == ["member lb/a h:1"]

    def test_other_address_is_another_container(self, path: Path) -> None:
        made, journal = table(path), Journal(path)
        journal.configure(made.member("lb", "c", "h:3"), {"activation": 2}, NOW)
        new = table(path, "new.shm")
        new.member("lb", "c", "h:4")
        assert len(journal.replay(new).unknown) == 1
        assert new.member("lb", "c", "h:4").config() == {}

    @pytest.mark.parametrize("changes", [{"port": 1}, {"distance": "near"}, {"route": 5}])
    def test_changes_that_cannot_be_applied_are_named(
        self, path: Path, changes: dict[str, int | str]
    ) -> None:
        made, journal = table(path), Journal(path)
        journal.configure(made.member("lb", "a", "h:1"), {"distance": 1}, NOW)
        text = path.read_text().replace('{"distance": 1}', json.dumps(changes))
        path.write_text(text)
        new = table(path, "new.shm")
        found = Journal(path).replay(new)
        [(entry, why)] = found.refused
        assert entry.changes == changes
        assert why
        assert configs(new) == [{}] * 4

    def test_what_the_table_has_is_written_down(self, path: Path) -> None:
        made, journal = table(path), Journal(path)
        journal.configure(made.balancer("lb"), {"method": 1, "lock": 1}, NOW)
        made.balancer("lb").configure(method=None, retries=4)
        made.worker("a", "h:1").configure(port=9)
        found = journal.replay(made)
        assert [(str(entry), entry.changes) for entry in found.noted] == [
            ("worker a h:1", {"port": 9}),
            ("balancer lb", {"method": None, "retries": 4}),
        ]
        assert all(entry.who == "the table" for entry in found.noted)
        new = table(path, "new.shm")
        journal.replay(new)
        assert configs(new) == configs(made)

    def test_journal_that_lost_its_end_goes_on_behind_the_table(self, path: Path) -> None:
        made, journal = table(path), Journal(path)
        for distance in (1, 2, 3):
            journal.configure(made.member("lb", "a", "h:1"), {"distance": distance}, NOW)
        path.write_text(path.read_text().splitlines(keepends=True)[0])
        found = Journal(path).replay(made)
        assert [(entry.number, entry.changes) for entry in found.noted] == [(4, {"distance": 3})]

    def test_torn_last_line_is_cut_off(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        made, journal = table(path), Journal(path)
        for distance in (1, 2):
            journal.configure(made.member("lb", "a", "h:1"), {"distance": distance}, NOW)
        text = path.read_bytes()
        first = text.index(b"\n") + 1
        for size in range(first + 1, len(text)):
            path.write_bytes(text[:size])
            caplog.clear()
            assert len(Journal(path).entries()) == 1
            new = table(path, f"{size}.shm")
            with caplog.at_level(logging.WARNING, "ajp.table"):
                assert len(Journal(path).replay(new).applied) == 1
            assert path.read_bytes() == text[:first]
            assert f"line=2 bytes={size - first}" in caplog.text

    def test_torn_line_is_cut_off_by_the_next_change(self, path: Path) -> None:
        made = table(path)
        Journal(path).configure(made.balancer("lb"), {"method": 1}, NOW)
        with path.open("ab") as file:
            file.write(b'{"number": 2, "ti')
        Journal(path).configure(made.balancer("lb"), {"method": 2}, NOW)
        assert [line["number"] for line in lines(path)] == [1, 2]


def damaged(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    found = lines(path)
    found[1] = change(found[1])
    path.write_text("".join(json.dumps(line) + "\n" for line in found))


class TestRefused:
    @pytest.fixture(autouse=True)
    def three(self, path: Path) -> None:
        self.table = table(path)
        for number in range(3):
            Journal(path).append(self.table.balancer("lb"), {"method": number}, NOW)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda line: [line], "not an object"),
            (lambda line: line | {"more": 1}, "not an object"),
            (lambda line: {"number": 2}, "not an object"),
            (lambda line: line | {"who": 5}, "who is 5, not a text"),
            (lambda line: line | {"number": 1}, "number 1 follows number 1"),
            (lambda line: line | {"number": True}, "number True"),
            (lambda line: line | {"number": 1 << 63}, "cannot be"),
            (lambda line: line | {"number": "2"}, "number '2'"),
            (lambda line: line | {"kind": "thing"}, "kind 'thing' is none"),
            (lambda line: line | {"changes": []}, "changes"),
            (lambda line: line | {"changes": {"method": 1.5}}, "changes"),
            (lambda line: line | {"changes": {"method": True}}, "changes"),
        ],
    )
    def test_lines_that_are_none(
        self, path: Path, change: Callable[[dict[str, Any]], Any], why: str
    ) -> None:
        damaged(path, change)
        before = path.read_bytes()
        with pytest.raises(StatusTableError, match=rf"ajpd.journal:2: no line of .*{why}"):
            Journal(path).replay(self.table)
        with pytest.raises(StatusTableError, match=r"ajpd.journal:2: "):
            Journal(path).configure(self.table.balancer("lb"), {"lock": 1}, NOW)
        assert path.read_bytes() == before
        assert "lock" not in self.table.balancer("lb").config()

    @pytest.mark.parametrize(
        "line", [b"", b"nonsense", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b"\0" * 100]
    )
    def test_bytes_that_are_no_json(self, path: Path, line: bytes) -> None:
        found = path.read_bytes().splitlines()
        found[1] = line
        path.write_bytes(b"\n".join([*found, b""]))
        with pytest.raises(StatusTableError, match=r"ajpd.journal:2: no line of a journal"):
            Journal(path).replay(table(path, "new.shm"))

    def test_files_that_others_could_have_written(self, path: Path) -> None:
        path.chmod(0o620)
        with pytest.raises(StatusTableError, match="open to others"):
            Journal(path).replay(self.table)
        path.chmod(0o600)
        path.rename(path.with_name("away"))
        path.symlink_to("away")
        with pytest.raises(StatusTableError, match="symbolic link is not followed"):
            Journal(path).replay(self.table)
        path.unlink()
        path.hardlink_to(path.with_name("away"))
        with pytest.raises(StatusTableError, match="2 names"):
            Journal(path).append(self.table.balancer("lb"), {"method": 1}, NOW)
        path.unlink()
        path.mkdir()
        with pytest.raises(StatusTableError):
            Journal(path).replay(self.table)

    def test_directory_that_others_can_write_to(self, path: Path) -> None:
        path.parent.chmod(0o770)
        try:
            with pytest.raises(StatusTableError, match="others can put files"):
                Journal(path).entries()
        finally:
            path.parent.chmod(0o700)

    def test_no_directory(self, path: Path) -> None:
        with pytest.raises(StatusTableError, match="No such file"):
            Journal(path.parent / "no" / "j").append(self.table.balancer("lb"), {"method": 1}, NOW)


class TestCompact:
    def test_one_line_for_each_slot(self, path: Path) -> None:
        made, journal = table(path), Journal(path)
        member, gone = made.member("lb", "a", "h:1"), made.member("lb", "gone", "h:9")
        journal.configure(gone, {"activation": 2}, NOW)
        for distance in range(5):
            journal.configure(member, {"distance": distance, "route": f"r{distance}"}, NOW)
        journal.configure(member, {"route": None}, NOW)
        before = path.stat().st_ino
        journal.compact(made)
        assert [(line["number"], line["name"], line["changes"]) for line in lines(path)] == [
            (1, "gone", {"activation": 2}),
            (7, "a", {"distance": 4, "route": None}),
        ]
        assert path.stat().st_ino != before
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert sorted(path.parent.iterdir()) == [
            path, made.path, made.path.with_name("ajpd.shm.lock")
        ]  # fmt: skip

    def test_table_that_knows_a_part_gets_the_same(self, path: Path) -> None:
        made, journal = table(path), Journal(path)
        old = table(path, "old.shm")
        journal.configure(made.balancer("lb"), {"method": 1, "lock": 1}, NOW)
        journal.replay(old)
        journal.configure(made.balancer("lb"), {"lock": None}, NOW)
        journal.compact(made)
        journal.replay(old)
        assert configs(old) == configs(made)

    def test_long_journals_become_short_by_themselves(self, path: Path) -> None:
        made, journal = table(path), Journal(path)
        most = 0
        for number in range(200):
            journal.configure(made.balancer("lb"), {"method": number % 5}, NOW)
            most = max(most, len(journal.entries()))
        assert most <= module._LINES_LEAST + 2
        assert made.journal == 200
        new = table(path, "new.shm")
        journal.replay(new)
        assert configs(new) == configs(made)

    def test_who_cannot_make_it_short_can_write_to_it(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        made, journal = table(path), Journal(path)
        journal.append(made.balancer("lb"), {"method": 1}, NOW)

        def denied(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "rename", denied)
        monkeypatch.setattr(module, "_LINES_LEAST", 0)
        with caplog.at_level(logging.WARNING, "ajp.table"):
            for number in range(4):
                journal.configure(made.balancer("lb"), {"method": number}, NOW)
        assert len(lines(path)) == 5
        assert "it stays long" in caplog.text
        assert not [*path.parent.glob(".*")]
        monkeypatch.undo()
        monkeypatch.setattr(module, "_LINES_LEAST", 0)
        Journal(path).replay(made)
        assert len(lines(path)) == 1

    def test_failure_leaves_the_old_file(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made, journal = table(path), Journal(path)
        journal.configure(made.balancer("lb"), {"method": 1}, NOW)
        before = path.read_bytes()

        def full(fd: int, text: bytes) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StatusTableError, match="No space left"):
            journal.compact(made)
        assert path.read_bytes() == before
        assert len([*path.parent.iterdir()]) == 3


def test_words(path: Path) -> None:
    entry = Journal(path).append(table(path).balancer("lb"), {"method": 2, "lock": None}, NOW)
    assert entry.in_words() == "method 2, lock as in the files"


def test_repr_and_descriptors(path: Path) -> None:
    made, journal = table(path), Journal(path)
    before = len(os.listdir("/proc/self/fd"))
    journal.configure(made.balancer("lb"), {"method": 1}, NOW)
    journal.compact(made)
    journal.replay(made)
    journal.entries()
    assert len(os.listdir("/proc/self/fd")) == before
    assert repr(journal) == f"<Journal {path} entries=1>"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_of_another_user(path: Path) -> None:
    made = Table.create(path.with_name("ajpd.shm"), slots=8, columns=2, owner=65534)
    journal = Journal(path, owner=65534)
    journal.configure(made.balancer("lb"), {"method": 1}, NOW)
    assert path.stat().st_uid == 65534
    journal.compact(made)
    assert path.stat().st_uid == 65534
    assert len(Journal(path, owner=65534).entries()) == 1
    with pytest.raises(StatusTableError, match="belongs to user 65534"):
        Journal(path).entries()
