"""The fuzzer itself, and a short run of it on the build that is imported; see `make fuzz`."""

import os
import random

import pytest

from ajp.errors import RemoteProtocolError
from tests.fuzz import packets
from tests.fuzz.guard import no_guard
from tests.fuzz.mutate import Corpus, damaged, load_corpus, packets_of
from tests.fuzz.targets import Finding, Guard, fragments, refusal

SEED = 20
OPTIONS = packets.Options(packets=4, seed=SEED, processes=2, case=None, sanitizer=False)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus(SEED)


def test_short_run_finds_nothing(corpus: Corpus) -> None:
    accepted = sum(packets.run_case(SEED, case, corpus, no_guard) for case in range(400))
    assert 20 < accepted < 300


def test_case_is_always_the_same(corpus: Corpus) -> None:
    again = load_corpus(SEED)
    assert corpus == again
    for case in range(50):
        first, second = (packets.case_rng(SEED, case) for _ in range(2))
        assert damaged(first, corpus) == damaged(second, again)
        assert first.random() == second.random()


def test_seeds_differ(corpus: Corpus) -> None:
    streams = {damaged(packets.case_rng(seed, 0), corpus) for seed in range(20)}
    assert len(streams) > 15
    assert load_corpus(SEED + 1) != corpus


def test_streams_to_begin_with_are_whole_packets(corpus: Corpus) -> None:
    for streams, magic in ((corpus.from_web_server, b"\x12"), (corpus.from_container, b"A")):
        assert len(streams) > 100
        assert all(stream.startswith(magic) for stream in streams)
    assert [len(piece) for piece in packets_of(b"AB\0\1\x09" * 2 + b"AB")] == [5, 5, 2]
    assert packets_of(b"") == [b""]


def test_fragments_lose_nothing() -> None:
    rng = random.Random(SEED)
    for length in (0, 1, 2, 50, 400):
        stream = rng.randbytes(length)
        for _ in range(20):
            pieces = fragments(rng, stream)
            assert b"".join(pieces) == stream
            assert all(pieces)


def test_error_without_a_code_is_a_finding() -> None:
    def call() -> None:
        raise RemoteProtocolError("wrong", code="")

    with pytest.raises(Finding):
        refusal(call)
    assert refusal(lambda: None) is None


def test_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SEED", "5"), ("PACKETS", "7"), ("PROCESSES", "3"), ("CASE", "2")):
        monkeypatch.setenv(f"FUZZ_{name}", value)
    found = packets.parse([])
    assert (found.seed, found.packets, found.processes, found.case) == (5, 7, 3, 2)
    found = packets.parse(["9", "--case", "-1", "--without-sanitizer"])
    assert (found.seed, found.case, found.sanitizer) == (9, None, False)


def test_any_exception_is_a_finding(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def feed(rng: random.Random, stream: bytes, guard: Guard) -> bool:
        raise IndexError("planted")

    monkeypatch.setattr(packets, "feed_all", feed)
    assert packets.run(OPTIONS, corpus, no_guard) == 1
    out, err = capfd.readouterr()
    assert "planted" in err
    assert f"FUZZ_SEED={SEED} FUZZ_CASE=3 sh tests/fuzz/run.sh" in out
    assert out.endswith("4 packets, 0 accepted, 0 refused, 4 findings\n")


def test_death_of_a_worker_is_a_finding(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def feed(rng: random.Random, stream: bytes, guard: Guard) -> bool:
        os._exit(70)

    monkeypatch.setattr(packets, "feed_all", feed)
    assert packets.run(OPTIONS, corpus, no_guard) == 1
    out = capfd.readouterr().out
    assert "worker 0 ended with 70" in out
    assert "FINDING in case 1 of" in out


def test_worker_that_hangs_is_ended(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def feed(rng: random.Random, stream: bytes, guard: Guard) -> bool:
        while True:
            pass

    monkeypatch.setattr(packets, "feed_all", feed)
    monkeypatch.setattr(packets, "STUCK_S", 0.1)
    assert packets.run(OPTIONS, corpus, no_guard) == 1
    out = capfd.readouterr().out
    assert "case 0 takes longer than 0.1 s" in out
    assert out.endswith("0 packets, 0 accepted, 0 refused, 2 findings\n")


def test_plain_build_is_not_taken_for_a_sanitizer_build() -> None:
    with pytest.raises(SystemExit, match="no sanitizer build"):
        packets.sanitizer_guard()
