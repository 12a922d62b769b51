"""Compare every .pyi with the compiled module beside it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {"ajp": ROOT / "ajp", "ajpd": ROOT / "daemon" / "ajpd"}


def main() -> int:
    modules = [
        ".".join((package, *path.relative_to(folder).with_suffix("").parts))
        for package, folder in PACKAGES.items()
        for path in sorted(folder.rglob("*.pyi"))
    ]
    allow = ROOT / "tests" / "tools" / "stubtest_allow.txt"
    command = [sys.executable, "-m", "mypy.stubtest", "--concise", "--allowlist", str(allow)]
    return subprocess.run([*command, *modules], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
