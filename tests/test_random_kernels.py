"""Random pipelines as users write them: each kernel that is emitted computes what plain Python floats do.

`bench/random_pipelines.py` tries as many as one likes; `tests/support/trial.py SEED` shows one of them again.
"""

import importlib.util
import io
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.tree import Node, Noise, Pipeline, Run, value

HERE = Path(__file__).parent
SEEDS = (0, 4, 6, 7)
# Seeds that were a crash once: a part that does not vary with the row, and a fold that reads no tensor.
MENDED = (50521, 51481)
# Of several inner axes, of several stages, of two softmaxes.
SEVERAL = (1_000_001, 1_000_003, 1_000_004, 1_000_684, 1_001_443)
FINE = {"right", "refused", "refused by a message", "unknown"}


@pytest.mark.parametrize(
    "seeds",
    [SEEDS, pytest.param(MENDED, marks=pytest.mark.slow), pytest.param(SEVERAL, marks=pytest.mark.slow)],
    ids=["some", "mended", "several"],
)
def test_a_few(seeds: tuple[int, ...]) -> None:
    command = [sys.executable, str(HERE / "support" / "trial.py"), *map(str, seeds)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TRITON_INTERPRET": "1"})
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [o["outcome"] for o in outcomes] == ["right"] * len(seeds), outcomes or done.stderr[-2000:]


@pytest.mark.slow
def test_many() -> None:
    outcomes = bench().tried(range(6_000, 6_150), workers=2, minutes=60.0, log=io.StringIO())
    mistakes = [o for o in outcomes if o["outcome"] not in FINE]
    assert not mistakes, json.dumps(mistakes, indent=1)
    counts = Counter(o["outcome"] for o in outcomes)
    assert counts["unknown"] <= len(outcomes) / 10, counts
    assert counts["right"] >= len(outcomes) / 2, counts


def bench() -> Any:
    """`bench/random_pipelines.py` as a module."""
    return load(HERE.parent / "bench" / "random_pipelines.py")


def load(path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_allowance_is_neither_blind_nor_zero_by_chance() -> None:
    """x w - mean of one element is 0, or what x w rounds by where a product and a sum are one instruction."""
    x, w = (Node("read", (n, Node("pos", ("j",)))) for n in "xw")
    product = Node("*", (x, w))
    centred = Node("-", (product, Node("/", (Node("fold", ("sum", product, "j")), Node("size", ("j",))))))
    p = Pipeline({"y": (Node("fold", ("sum", centred, "j")), ())}, {}, {})
    bound = allowance()
    for seed in range(300):
        noise = Noise(random.Random(seed))
        noisy = [value(p, Run({"j": 1}, {"x": [1.5], "w": [2.0]}, {}, noise), "y")[0] for _ in range(4)]
        allowed = bound(0.0, noisy)
        assert allowed is not None and 3.0 * 2**-24 < allowed < 3.0 * 2**-24 * 100


def allowance() -> Callable[[float, list[float]], float | None]:
    """`bound` of `tests/support/trial.py`, which says how triton is to run when it is loaded."""
    before = dict(os.environ)
    try:
        bound: Callable[[float, list[float]], float | None] = load(HERE / "support" / "trial.py").bound
        return bound
    finally:
        os.environ.clear()
        os.environ.update(before)
