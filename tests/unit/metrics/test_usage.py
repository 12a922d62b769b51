"""What /proc says of processes."""

import os
import time
from pathlib import Path

import pytest

from ajpd.metrics.usage import Usage, usage_of, usages


def test_of_this_process() -> None:
    before = usage_of(os.getpid(), "serving")
    assert before is not None
    times = os.times()
    assert before.cpu_s == pytest.approx(times.user + times.system, abs=0.1)
    assert 1e6 < before.resident_bytes < 1e10
    assert before.started_s is not None
    assert 0 < time.time() - before.started_s < 1e6
    assert before.open_fds is not None
    with open("/dev/null"):
        after = usage_of(os.getpid(), "serving")
        assert after is not None
        assert after.open_fds == before.open_fds + 1


def test_who_is_gone_is_left_out() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    found = usages(os.getpid(), [pid, os.getppid()])
    assert [(usage.pid, usage.role) for usage in found] == [
        (os.getpid(), "master"),
        (os.getppid(), "serving"),
    ]
    assert usages(None, [pid]) == []


def fake(folder: Path, *, state: str = "S", limit: str = "1024", stat: bool = True) -> None:
    place = folder / "7"
    (place / "fd").mkdir(parents=True)
    for name in "0129":
        (place / "fd" / name).touch()
    middle = " ".join(str(number) for number in range(4, 23))
    fields = middle.split()
    (
        fields[10],
        fields[11],
        fields[18],
    ) = "250", "50", "1200"
    (place / "stat").write_text(f"7 (a b) c) {state} {' '.join(fields)} 8192 33 0\n")
    text = f"Limit  Soft Limit  Hard Limit  Units\nMax open files  {limit}  4096  files\n"
    (place / "limits").write_text(text)
    if stat:
        (folder / "stat").write_text("cpu  1 2 3\nbtime 1700000000\nprocesses 9\n")


def test_fields_are_counted_behind_the_name(tmp_path: Path) -> None:
    fake(tmp_path)
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    found = usage_of(7, "serving", proc=tmp_path)
    assert found is not None
    assert found.open_fds in (4, os.stat(tmp_path / "7" / "fd").st_size)
    assert found == Usage(
        pid=7,
        role="serving",
        cpu_s=300 / ticks,
        resident_bytes=33 * page,
        started_s=1_700_000_000 + 1200 / ticks,
        open_fds=found.open_fds,
        max_fds=1024,
    )


def test_what_cannot_be_known_is_none(tmp_path: Path) -> None:
    fake(tmp_path, limit="unlimited", stat=False)
    found = usage_of(7, "master", proc=tmp_path)
    assert found is not None
    assert (found.max_fds, found.started_s) == (None, None)
    (tmp_path / "7" / "limits").unlink()
    (tmp_path / "7" / "fd").rename(tmp_path / "hidden")
    found = usage_of(7, "master", proc=tmp_path)
    assert found is not None
    assert (found.max_fds, found.open_fds) == (None, None)
    (tmp_path / "7" / "limits").write_text("nothing\n")
    found = usage_of(7, "master", proc=tmp_path)
    assert found is not None
    assert found.max_fds is None


def test_a_zombie_is_nobody(tmp_path: Path) -> None:
    fake(tmp_path, state="Z")
    assert usage_of(7, "serving", proc=tmp_path) is None
    (tmp_path / "7" / "stat").write_text("")
    assert usage_of(7, "serving", proc=tmp_path) is None
