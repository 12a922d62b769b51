"""The examples of the documentation run, and say what they are said to."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_balancer() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs/examples/balancer.py")],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "hello from nodeA, and it gave us JSESSIONID=42.nodeA",
        *["with the cookie: hello from nodeA"] * 3,
        "nodeA is closed",
        "with the cookie: hello from nodeB, new session JSESSIONID=42.nodeB;HttpOnly",
        "nodeA: ACT ERR",
        "nodeB: ACT OK",
    ]
