"""Answers that are cut at any byte, or come byte by byte; test_cells.py has the other faults."""

import pytest

from tests.faults.container import (
    END,
    FLUSH,
    Container,
    chunk,
    cut,
    headers,
    reset,
    respond,
    send,
    slowly,
    whole,
)
from tests.faults.stage import Broken, get, stage

HEADS: dict[str, tuple[tuple[tuple[bytes, bytes], ...], int]] = {
    "length": (((b"Content-Length", b"1000"),), 1),
    "chunked": ((), 1),
    "close": ((), 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_reset_at_every_byte_of_a_response(method: bytes) -> None:
    """Whole, or visibly broken, or a page of ours; never falsely whole."""
    for fields, version in HEADS.values():
        answer = headers(200, *fields) + chunk(b"y" * 10)
        if fields:
            answer = whole(b"y" * 10)
            answer = answer[: -len(END)]
        answer += END
        for fault in (cut, reset):
            scripts = [[send(answer[:at]), fault] for at in range(len(answer))]
            async with stage(Container(*scripts, respond()), worker={"retries": 1}) as s:
                for at in range(len(answer)):
                    client = await s.connect()
                    try:
                        response = await client.ask(get(method=method, version=version))
                    except Broken:
                        continue
                    finally:
                        client.close()
                    if response.status == 502:
                        continue
                    assert response.status == 200, at
                    assert response.body == (b"y" * 10 if method == b"GET" else b""), at
                    # Complete by its length although the end never came: that is all there is.
                    assert response.framing in ("length", "none"), at
                assert s.container.executions == len(answer)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_a_response_byte_by_byte(method: bytes) -> None:
    answer = headers(200, (b"X-One", b"1")) + FLUSH + chunk(b"y" * 10) + FLUSH + chunk(b"z") + END
    async with stage(Container([slowly(answer)])) as s:
        client = await s.connect()
        for _ in range(2):
            response = await client.ask(get(method=method))
            assert response.status == 200
            assert response.one(b"x-one") == b"1"
            assert response.body == (b"yyyyyyyyyyz" if method == b"GET" else b"")
        assert s.container.connections == 1
