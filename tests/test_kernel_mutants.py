"""Mutants of emitted kernels: the checks of the bundle's own test file kill them, or they compute the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_mutation import explanation, mutants

HERE = Path(__file__).parent
# Every so manieth mutant of some kernels, from one of them on; bench/mutants.py runs all of all examples.
CHOSEN = {"causal_attention": (100, 3), "layer_norm": (90, 7)}


@pytest.mark.parametrize("name", ["layer_norm", pytest.param("causal_attention", marks=pytest.mark.slow)])
def test_mutant_is_killed_or_the_same(name: str) -> None:
    stride, first = CHOSEN[name]
    command = [sys.executable, "-W", "ignore", str(HERE / "kernel_mutation.py"), name, str(stride), str(first)]
    env = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    results = [json.loads(line) for line in done.stdout.splitlines()]
    survivors = [r["mutant"] for r in results if r["killed"] is None]
    assert [m for m in survivors if explanation(m) is None] == []
    assert len(survivors) <= len(results) / 3


def test_operators() -> None:
    source = """
@triton.jit
def f(x_ptr, n):
    x = tl.load(x_ptr, mask=n < 3, other=0.0)
    for k in range(0, n):
        x += k - n


def launcher(n):
    return n + 1
"""
    names = {m.name for m in mutants(source)}
    assert "f: x = tl.load(x_ptr, mask=n < 3, other=0.0) -> x = tl.load(x_ptr)" in names
    assert "f: x = tl.load(x_ptr, mask=n < 3, other=0.0) -> x = tl.load(x_ptr, mask=n <= 3, other=0.0)" in names
    assert "f: x = tl.load(x_ptr, mask=n < 3, other=0.0) -> x = tl.load(x_ptr, mask=n < 3, other=7.0)" in names
    assert "f: range(0, n) -> range(0 + 1, n)" in names
    assert "f: x += k - n -> x += n - k" in names
    # The launcher is none of the kernels.
    assert all(name.startswith("f: ") for name in names)
