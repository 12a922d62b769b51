import re
from pathlib import Path

import pytest

from ajpd.config.secret import MAX_SECRET_LEN, find_secret

ENV = {"AJP_SECRET": "geheim", "EMPTY": ""}


def find(text: str, base: Path = Path(), encoding: str = "utf-8") -> bytes:
    return find_secret(text, encoding=encoding, base=base, env=ENV)


def test_the_text_itself() -> None:
    assert find("geheim") == b"geheim"
    assert find("gehäim") == "gehäim".encode()
    assert find("gehäim", encoding="latin-1") == b"geh\xe4im"


def test_from_the_environment() -> None:
    assert find("env:AJP_SECRET") == b"geheim"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"geheim", b"geheim"),
        (b"geheim\n", b"geheim"),
        (b"geheim\r\n", b"geheim"),
        (b"geheim\n\n", b"geheim\n"),
        (b" \xff ", b" \xff "),
        (b"x" * MAX_SECRET_LEN + b"\r\n", b"x" * MAX_SECRET_LEN),
    ],
)
def test_from_a_file(tmp_path: Path, content: bytes, secret: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert find(f"file:{path}") == secret
    assert find("file:secret", base=tmp_path) == secret


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("env:NONE", "the environment variable 'NONE' is not set or empty"),
        ("env:EMPTY", "'EMPTY' is not set or empty"),
        ("file:none", "none': No such file or directory"),
        ("file:.", "Is a directory"),
        ("file:empty", "empty' is empty"),
        ("file:long", "long' is longer than 4096 bytes"),
        ("geheim" * 1000, "it is longer than 4096 bytes"),
    ],
)
def test_no_secret_to_be_had(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "long").write_bytes(b"geheim" * 1000)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        find(text, base=tmp_path)
    assert "geheim" not in str(caught.value)


def test_a_device_is_not_read_to_its_end() -> None:
    with pytest.raises(ValueError, match="longer than"):
        find("file:/dev/zero")
