from pathlib import Path

import pytest

from ajpd.config import Config, ConfigErrors, StatusConfig, load_files, load_toml
from ajpd.config.errors import Place
from ajpd.config.status_worker import rating

STATUS = """\
worker.list=page,lb
worker.page.type=status
worker.page.css=/jk.css
worker.page.read_only=y
worker.page.user=ann
worker.page.user=Bob cy
worker.page.user_case_insensitive=on
worker.page.good=a.o
worker.page.good=active.Idle
worker.page.bad=s e
worker.page.prefix=jk
worker.page.ns=-
worker.page.xmlns=-
worker.page.doctype=<!DOCTYPE x>
worker.lb.type=lb
worker.lb.balance_workers=n
worker.n.port=1
"""


def load_workers(folder: Path, workers: str, rules: str) -> Config:
    (folder / "w").write_text(workers)
    (folder / "m").write_text(rules)
    return load_files(folder / "w", folder / "m", env={})


def workers_errors(folder: Path, workers: str, rules: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load_workers(folder, workers, rules)
    return [str(error).replace(f"{folder}/", "") for error in caught.value.errors]


def warnings_of(config: Config, folder: Path) -> list[str]:
    return [str(warning).replace(f"{folder}/", "") for warning in config.warnings]


@pytest.mark.parametrize(
    ("word", "mask"),
    [
        ("a", 0x0000FF),
        ("Disabled", 0x00FF00),
        ("stopped", 0xFF0000),
        ("ok", 0x010101),
        ("i", 0x020202),
        ("n/a", 0x020202),
        ("busy", 0x040404),
        ("REC", 0x080808),
        ("e", 0x101010),
        ("active.ok", 0x000001),
        ("d.rec", 0x000800),
        ("s.b", 0x040000),
    ],
)
def test_ratings(word: str, mask: int) -> None:
    assert rating(word) == mask


@pytest.mark.parametrize("word", ["", ".", "x", "ok.active", "a.", "a.x", ".ok"])
def test_words_that_rate_nothing(word: str) -> None:
    with pytest.raises(ValueError, match="none of active, disabled, stopped"):
        rating(word)


def test_a_status_worker(tmp_path: Path) -> None:
    config = load_workers(tmp_path, STATUS, "/jkstatus=page\n/*=lb\n!/x=page\n-/y=page\n")
    assert config.statuses["page"] == StatusConfig(
        name="page",
        css="/jk.css",
        read_only=True,
        users=("ann", "Bob", "cy"),
        user_case_insensitive=True,
        good=0x000003,
        bad=0xFF1010 | 0x101010,
        prefix="jk",
        ns="",
        xmlns="",
        doctype="<!DOCTYPE x>",
        place=Place("w", 1),
    )
    assert list(config.workers) == []
    assert warnings_of(config, tmp_path) == []


def test_status_workers_in_place(tmp_path: Path) -> None:
    text = "[worker.s]\ntype = 'status'\nuser = ['a']\n[mount]\n'/s' = 's'\n"
    (tmp_path / "t").write_text(text)
    config = load_toml(tmp_path / "t", env={})
    assert config.statuses == {"s": StatusConfig(name="s", users=("a",), place=Place("t"))}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("read_only=perhaps", "w:4: read_only: 'perhaps' is neither true nor false"),
        ("good=x", "w:4: good: 'x' is none of active, disabled, stopped"),
        ("bad=ok.active", "w:4: bad: 'ok.active' is none of active, disabled, stopped"),
    ],
)
def test_status_workers_with_errors(tmp_path: Path, line: str, error: str) -> None:
    text = f"worker.list=s,n\nworker.s.type=status\nworker.n.port=1\nworker.s.{line}\n"
    (found,) = workers_errors(tmp_path, text, "")
    assert found.startswith(error)


def test_ratings_that_contradict_each_other(tmp_path: Path) -> None:
    text = "worker.list=s,n\nworker.s.type=status\nworker.n.port=1\nworker.s.good=a d.e\n"
    config = load_workers(tmp_path, text, "/s=s\n/n=n\n")
    assert "w:4: 'good' has members in it that are good and bad; they count as bad" in warnings_of(
        config, tmp_path
    )
