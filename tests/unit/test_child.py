"""What a process that serves does before it serves."""

import os

import pytest

from ajpd.child import schedule


def test_a_system_that_refuses_a_policy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_getscheduler", lambda pid: os.SCHED_OTHER)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    schedule("normal")
    assert not caplog.records
    schedule("batch")
    assert caplog.messages == ["scheduling = batch: the system refuses: Operation not permitted"]
