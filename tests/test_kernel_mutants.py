"""Mutants of kernels, as modules and as text, are refuted without a run, or compute the same."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from judging import Fate, of_modules, of_texts
from kernel_mutation import explanation, kernel_of, mutants

HERE = Path(__file__).parent
# Every so manieth mutant of some kernels, from one of them on; bench/mutants.py judges all of all examples.
MODULES = {"logsumexp": (9, 4), "causal_attention": (40, 3), "layer_norm": (30, 7)}
TEXTS = {"logsumexp": (40, 5), "causal_attention": (60, 3), "layer_norm": (50, 7)}


def cases(chosen: dict[str, tuple[int, int]]) -> list[object]:
    return [n if n == "logsumexp" else pytest.param(n, marks=pytest.mark.slow) for n in chosen]


def check(judge: Callable[[str, int, int], Iterator[Fate]], name: str, every: int, first: int) -> None:
    fates = [*judge(name, every, first)]
    assert len(fates) > 5
    assert [f for f in fates if f.what == "run"] == []
    survivors = [f.mutant for f in fates if not f.what]
    assert [m for m in survivors if explanation(m) is None] == []
    assert len(survivors) <= len(fates) / 4


@pytest.mark.parametrize("name", cases(MODULES))
def test_an_obligation_refutes_a_mutant_of_a_module(name: str) -> None:
    check(of_modules, name, *MODULES[name])


@pytest.mark.parametrize("name", cases(TEXTS))
def test_its_reading_refutes_a_mutant_of_a_text(name: str) -> None:
    check(of_texts, name, *TEXTS[name])


def test_a_run_refutes_a_mutant() -> None:
    """What is said of a survivor can be another thing than that it is the same function."""
    source = kernel_of("logsumexp").source
    given = {"right": source, "wrong": source.replace("l * alpha + ", "l + ", 1)}
    command = [sys.executable, "-W", "ignore", str(HERE / "kernel_mutation.py"), "logsumexp"]
    env = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["right"] is None and found["wrong"] is not None


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
