"""Rows that a mask hides wholly from an anchor, or whose divisor is 0: proved, and equal to the formula as written."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import state_cases as cases
import sympy as sp
from state_cases import LENGTHS, SCHEDULES, SPECS

from refold import verify
from refold.algebra.run import run
from refold.verify import Proof


@pytest.fixture(scope="module")
def interpreted() -> Any:
    """What the emitted kernels give, in a process whose triton interprets."""
    script = str(Path(__file__).with_name("state_cases.py"))
    env = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-W", "ignore", script], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def assert_agree(got: list[float], wanted: list[float], tolerance: float) -> None:
    """NaN where the formula has no value, the same infinity, else the same number."""
    for value, right in zip(got, wanted, strict=True):
        assert math.isnan(value) if math.isnan(right) else value == pytest.approx(right, rel=tolerance, abs=tolerance)


# Two of them in every run, the others in make slow.
QUICK = ("over the largest", "times a sigmoid", "times the least", "over a sum", "mean score", "shares")
# Right and not proved: the magnitude of a maximum that may be 0 (docs/theory.md, G4).
UNPROVED = ("magnitudes over the largest",)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in SPECS if n not in UNPROVED]
)
def test_is_proved(name: str) -> None:
    report = verify(cases.plan_of(name))
    assert isinstance(report, Proof), str(report)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", SPECS)
def test_the_plan_gives_what_is_written(name: str, length: int) -> None:
    inputs = cases.inputs_of(name, length) | {"i": 3, "j": length}
    parts = (tuple(range(length // 2)), (), tuple(range(length // 2, length)))
    for order in (tuple(range(length)), parts):
        assert_agree(run(cases.plan_of(name), inputs, order)["o"].tolist(), cases.wanted(name, length), 1e-9)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", SPECS)
def test_the_kernel_gives_what_is_written(name: str, length: int, interpreted: Any) -> None:
    for how in SCHEDULES:
        assert_agree(interpreted[f"{name}, {length}"][how], cases.wanted(name, length), 1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "against a masked maximum",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("about a tanh", "squares over the largest")),
    ],
)
def test_the_default_of_an_anchor_is_not_proved_to_be_its_value(name: str) -> None:
    # What was proved before: the output as the accumulators have it at the anchors' defaults, in every state.
    plan = cases.plan_of(name)
    plain = replace(plan, finish=tuple(replace(f, guard=sp.true) for f in plan.finish))
    report = verify(plain)
    assert not isinstance(report, Proof)
    assert {r.verdict for r in report.results if r.name.startswith("empty o: ")} & {"unknown", "refuted"}
