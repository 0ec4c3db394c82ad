"""The eager reference that is emitted with a kernel: the spec as written, on every example and on awkward pipelines."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from emit_cases import emitted, i, j, plan_of, x
from reference_cases import CASES
from support.examples import FEW, NAMES

from refold.algebra import Plan, derive
from refold.spec import fold, log, pipeline


def differences_of(*names: str) -> dict[str, Any]:
    program = Path(__file__).with_name("reference_cases.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program), *names], capture_output=True, text=True,
        env=os.environ | {"TRITON_INTERPRET": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def differences() -> dict[str, Any]:
    return differences_of()


def is_the_spec(found: list[float]) -> bool:
    """At lengths 12, 1 and 0, and of NaN: finite, infinite and undefined at the same places, and equal in float64."""
    return len(found) in (3, 4) and max(found) < 1e-12


@pytest.mark.parametrize("name", [*(n for n in NAMES if n in FEW), *CASES])
def test_the_reference_is_the_spec(name: str, differences: dict[str, Any]) -> None:
    assert is_the_spec(differences["named"][name])


@pytest.mark.slow
def test_the_references_of_the_other_examples_are_their_specs() -> None:
    others = [name for name in NAMES if name not in FEW]
    assert not others or {n: x for n, x in differences_of(*others)["named"].items() if not is_the_spec(x)} == {}


def test_the_reference_of_a_random_pipeline_is_the_spec(differences: dict[str, Any]) -> None:
    found = differences["random"]
    assert len(found) > 50
    assert {seed: x for seed, x in found.items() if not x < 1e-9} == {}


def without_correction(plan: Plan) -> Plan:
    """The accumulators stay where they were when the maximum moves."""
    stale = tuple(dataclasses.replace(a, correction=a.symbol) if a.anchors else a for a in plan.accumulators)
    assert stale != plan.accumulators
    return dataclasses.replace(plan, accumulators=stale)


def another_finish(plan: Plan) -> Plan:
    """The output is something else, which kernel and plan agree on."""
    finish = tuple(dataclasses.replace(f, expr=f.expr + plan.accumulators[-1].symbol / 8) for f in plan.finish)
    return dataclasses.replace(plan, finish=finish)


def test_a_bundle_of_a_wrong_plan_or_of_void_tests_fails_them(tmp_path: Path) -> None:
    wrong = {
        "k_right": plan_of("logsumexp"),
        "k_stale": without_correction(plan_of("logsumexp")),
        "k_other": another_finish(plan_of("layer_norm")),
    }
    for name, plan in wrong.items():
        emitted(plan, name).write(tmp_path / name)
    # A right one whose test draws what the pipeline has no value for: nothing is compared, which is no success.
    logarithms = derive(pipeline(y=fold.sum(log(x[i, j]), over=j)[i]))
    assert isinstance(logarithms, Plan)
    void = emitted(logarithms, "k_void")
    drawn = void.test.replace('POSITIVE: tuple[str, ...] = ("x",)', "POSITIVE: tuple[str, ...] = ()")
    assert drawn != void.test
    void.write(tmp_path / "k_void")
    (tmp_path / "k_void" / "test_k_void.py").write_text(drawn, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [*command, "(ragged or large) and rolling and float32", str(tmp_path)], capture_output=True, text=True, env=env
    )
    failed = {
        line.split("/test_")[-1].split(".py")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")
    }
    assert failed == {"k_stale", "k_other", "k_void"}, done.stdout[-2000:]
    # Both of each: large logits too, at which logsumexp as it is written overflows in float32.
    assert "2 passed" in done.stdout and "6 failed" in done.stdout
    assert "y: void, as the reference is a number on 0% of it" in done.stdout
