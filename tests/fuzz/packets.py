"""Feed mutated packets to everything that reads bytes of a peer; `tests/fuzz/run.sh` builds for it.

Case n of a seed is always the same, however many processes share the work. A finding prints how to
see it again:

    FUZZ_SEED=1 FUZZ_CASE=4711 sh tests/fuzz/run.sh

Environment: FUZZ_PACKETS (1000000), FUZZ_SEED (1, or the first argument), FUZZ_PROCESSES (one per
core), FUZZ_CASE (run this one alone).
"""

import argparse
import mmap
import os
import random
import signal
import struct
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import ajp
from tests.fuzz.guard import SanitizerGuard, is_sanitized, no_guard
from tests.fuzz.mutate import Corpus, damaged, load_corpus
from tests.fuzz.targets import Guard, feed_all

STUCK_S = 60.0
REPORT_S = 10.0


@dataclass
class Options:
    """What is asked for."""

    packets: int
    seed: int
    processes: int
    case: int | None
    sanitizer: bool


def parse(arguments: list[str]) -> Options:
    """Read the command line over the environment."""
    env = os.environ
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("seed", nargs="?", type=int, default=int(env.get("FUZZ_SEED") or 1))
    parser.add_argument("--packets", type=int, default=int(env.get("FUZZ_PACKETS") or 1_000_000))
    parser.add_argument("--processes", type=int, default=int(env.get("FUZZ_PROCESSES") or cores))
    parser.add_argument("--case", type=int, default=int(env.get("FUZZ_CASE") or -1))
    parser.add_argument("--without-sanitizer", action="store_true")
    found = parser.parse_args(arguments)
    return Options(
        packets=max(found.packets, 1),
        seed=found.seed,
        processes=max(found.processes, 1),
        case=found.case if found.case >= 0 else None,
        sanitizer=not found.without_sanitizer,
    )


# --- one case -------------------------------------------------------------------------------------


def case_rng(seed: int, case: int) -> random.Random:
    """Chance for one case."""
    return random.Random((seed << 40) + case)


def run_case(seed: int, case: int, corpus: Corpus, guard: Guard) -> bool:
    """Damage a stream and feed it; whether it was accepted."""
    rng = case_rng(seed, case)
    return feed_all(rng, damaged(rng, corpus), guard)


def describe(seed: int, case: int, corpus: Corpus) -> str:
    """Say which stream a case feeds and how to feed it again."""
    stream = damaged(case_rng(seed, case), corpus)
    return (
        f"FINDING in case {case} of seed {seed}; stream of {len(stream)} bytes:\n{stream.hex()}\n"
        f"again: FUZZ_SEED={seed} FUZZ_CASE={case} sh tests/fuzz/run.sh"
    )


# --- processes ------------------------------------------------------------------------------------


class Board:
    """Memory shared with the workers: per worker the case at hand and what became of the others."""

    _row = struct.Struct("=qqqq")  # case, done, accepted, findings

    def __init__(self, workers: int) -> None:
        self._memory = mmap.mmap(-1, self._row.size * workers)

    def write(self, worker: int, case: int, done: int, accepted: int, findings: int) -> None:
        """Set a worker's row."""
        row = (case, done, accepted, findings)
        self._row.pack_into(self._memory, worker * self._row.size, *row)

    def read(self, worker: int) -> tuple[int, int, int, int]:
        """A worker's row."""
        case, done, accepted, findings = self._row.unpack_from(
            self._memory, worker * self._row.size
        )
        return case, done, accepted, findings


def work(options: Options, worker: int, corpus: Corpus, guard: Guard, board: Board) -> int:
    """Run every case of one worker; the number of findings."""
    done = accepted = findings = 0
    for case in range(worker, options.packets, options.processes):
        board.write(worker, case, done, accepted, findings)
        try:
            accepted += run_case(options.seed, case, corpus, guard)
        except Exception:
            findings += 1
            traceback.print_exc()
            print(describe(options.seed, case, corpus), flush=True)
            if findings == 10:
                break
        done += 1
    board.write(worker, -1, done, accepted, findings)
    return findings


@dataclass
class Worker:
    """A child process and what is known of it."""

    pid: int
    number: int
    status: int | None = None
    last: int = -1
    moved_at: float = 0.0


def start(options: Options, number: int, corpus: Corpus, guard: Guard, board: Board) -> Worker:
    """Fork one worker."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            found = work(options, number, corpus, guard, board)
        except BaseException:
            traceback.print_exc()
            found = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1 if found else 0)
    return Worker(pid, number, moved_at=time.monotonic())


def watch(workers: list[Worker], board: Board, packets: int) -> None:
    """Wait for all workers, report progress, and end one that hangs in a case."""
    began = reported = time.monotonic()
    while any(worker.status is None for worker in workers):
        time.sleep(0.05)
        now = time.monotonic()
        for worker in workers:
            if worker.status is not None:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                worker.status = os.waitstatus_to_exitcode(status)
                continue
            case = board.read(worker.number)[0]
            if case != worker.last:
                worker.last, worker.moved_at = case, now
            elif now - worker.moved_at > STUCK_S:
                print(f"case {case} takes longer than {STUCK_S:g} s", flush=True)
                os.kill(worker.pid, signal.SIGKILL)
                worker.moved_at = now
        if now - reported >= REPORT_S:
            reported = now
            done = sum(board.read(worker.number)[1] for worker in workers)
            rate = done / (now - began)
            print(f"{done} of {packets} packets, {rate:.0f}/s", flush=True)


def run(options: Options, corpus: Corpus, guard: Guard) -> int:
    """Run all cases in child processes and sum up; the exit code."""
    board = Board(options.processes)
    workers = [start(options, n, corpus, guard, board) for n in range(options.processes)]
    watch(workers, board, options.packets)
    rows = [board.read(worker.number) for worker in workers]
    done, accepted, findings = (sum(row[column] for row in rows) for column in (1, 2, 3))
    for worker, row in zip(workers, rows, strict=True):
        if worker.status not in (0, 1):
            findings += 1
            print(f"worker {worker.number} ended with {worker.status}")
            print(describe(options.seed, row[0], corpus))
    refused = done - accepted - sum(row[3] for row in rows)
    print(f"{done} packets, {accepted} accepted, {refused} refused, {findings} findings")
    failed = findings > 0 or any(worker.status != 0 for worker in workers)
    return 1 if failed or done < options.packets else 0


def sanitizer_guard() -> Guard:
    """Check that it is the sanitizer build that runs; the guard for its input."""
    folder = Path(ajp.__file__).parent
    for name, module in sorted(sys.modules.items()):
        path = getattr(module, "__file__", None) or ""
        if name.startswith("ajp.") and path.endswith(".so"):
            if not is_sanitized(path):
                sys.exit(f"fuzz: {path} is no sanitizer build")
            if not Path(path).is_relative_to(folder):
                sys.exit(f"fuzz: {folder} and {path} are of two builds")
    if os.environ.get("PYTHONMALLOC") != "malloc":
        sys.exit("fuzz: without PYTHONMALLOC=malloc the sanitizer does not see Python's objects")
    guard = SanitizerGuard()
    if not guard.works():
        sys.exit("fuzz: the sanitizer does not watch what is poisoned")
    print(f"fuzz: {folder}, sanitizer build")
    return guard


def main(arguments: list[str]) -> int:
    """Run."""
    options = parse(arguments)
    guard: Guard = sanitizer_guard() if options.sanitizer else no_guard
    corpus = load_corpus(options.seed)
    if options.case is not None:
        print(describe(options.seed, options.case, corpus).replace("FINDING in", "running"))
        accepted = run_case(options.seed, options.case, corpus, guard)
        print("accepted" if accepted else "refused", "without a finding")
        return 0
    print(
        f"fuzz: {options.packets} packets, seed {options.seed}, {options.processes} processes, "
        f"{len(corpus.all)} valid streams to begin with",
        flush=True,
    )
    return run(options, corpus, guard)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
