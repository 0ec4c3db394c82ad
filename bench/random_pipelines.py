"""Tries random pipelines, each from its derivation to its kernel, beside an oracle of plain floats; counts outcomes.

    python bench/random_pipelines.py --first 0 --count 2000 --workers 2 --keep outcomes.jsonl

From seed 1,000,000 on, pipelines are of several inner axes and several stages. Kernels run in Triton's interpreter;
with `--gpus 2` on two GPUs in turn.

What it prints last is the number of pipelines by outcome. `wrong`, `crash`, `refuted` and `beyond the time limit` are
mistakes of refold; `tests/support/trial.py SEED` shows one of them again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from queue import Empty, Queue
from typing import Any, TextIO

TRIAL = Path(__file__).parent.parent / "tests" / "support" / "trial.py"
# A trial ends by itself after 150 seconds of work, of which the proof has 45: this is for one that cannot be stopped.
LIMIT = 1200.0
MISTAKES = ("wrong", "crash", "refuted", "beyond the time limit")


def main() -> None:
    """Seeds `first` to `first + count`, by `workers` processes, for at most `minutes`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=600.0)
    parser.add_argument("--keep", type=Path, default=Path("build/random_pipelines.jsonl"))
    options = parser.parse_args()
    options.keep.parent.mkdir(parents=True, exist_ok=True)
    with options.keep.open("w", encoding="utf-8") as log:
        outcomes = tried(
            range(options.first, options.first + options.count), options.workers, options.minutes, log, options.gpus
        )
    for name, number in Counter(o["outcome"] for o in outcomes).most_common():
        print(f"{number:6}  {name}")
    for o in outcomes:
        if o["outcome"] in MISTAKES:
            print(f"seed {o['seed']}: {o['outcome']}: {o['detail'].strip().splitlines()[-1][:200]}")


def tried(seeds: range, workers: int, minutes: float, log: TextIO, gpus: int = 0) -> list[dict[str, Any]]:
    """The outcome of every seed that was begun in time, each also written to `log`."""
    queue: Queue[int] = Queue()
    for seed in seeds:
        queue.put(seed)
    outcomes: list[dict[str, Any]] = []
    lock, end = threading.Lock(), time.monotonic() + 60 * minutes

    def work(number: int) -> None:
        on_gpu = {"TRITON_INTERPRET": "0", "CUDA_VISIBLE_DEVICES": str(number % gpus)} if gpus else {}
        worker = Worker(os.environ | {"TRITON_INTERPRET": "1"} | on_gpu)
        while time.monotonic() < end:
            try:
                seed = queue.get_nowait()
            except Empty:
                break
            outcome = worker.outcome(seed)
            with lock:
                outcomes.append(outcome)
                print(json.dumps(outcome), file=log, flush=True)
        worker.stop()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes, key=lambda o: int(o["seed"]))


class Worker:
    """A process that tries one seed after another, and is begun anew when it dies or takes too long."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.process: subprocess.Popen[str] | None = None

    def outcome(self, seed: int) -> dict[str, Any]:
        if self.process is None:
            command = [sys.executable, str(TRIAL), "-"]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env=self.environment,
            )  # fmt: skip
        process = self.process
        assert process.stdin is not None and process.stdout is not None
        late = threading.Event()
        timer = threading.Timer(LIMIT, lambda: (late.set(), process.kill()))
        timer.start()
        print(seed, file=process.stdin, flush=True)
        line = process.stdout.readline()
        timer.cancel()
        if line:
            return dict(json.loads(line))
        self.stop()
        if late.is_set():
            return {"seed": seed, "outcome": "beyond the time limit", "detail": f"{LIMIT:g} s", "seconds": LIMIT}
        return {"seed": seed, "outcome": "crash", "detail": "the process died", "seconds": 0.0}

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


if __name__ == "__main__":
    main()
