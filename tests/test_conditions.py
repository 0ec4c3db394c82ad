"""Equality where the spec is defined: what the pipeline itself divides by, or raises an exponential to, is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from refold import Plan, Scalar, Spec, Tensor, absolute, axes, derive, exp, fold, log, pipeline, relu, sqrt, tanh
from refold.verify import Proof, verify

i, j, d = axes("i j d")
x, y, w = Tensor("x", i, j)[i, j], Tensor("y", i, j)[i, j], Tensor("w", j)[j]
n = j.size


def total(body: Any) -> Any:
    return fold.sum(body, over=j)


def largest(body: Any) -> Any:
    return fold.max(body, over=j)


def least(body: Any) -> Any:
    return fold.min(body, over=j)


mean = total(x) / n
k = Tensor("k", j, d)[j, d]
distance = fold.sum((Tensor("q", i, d)[i, d] - k) ** 2, over=d)
PIPELINES: dict[str, Callable[[], Spec]] = {
    "mean": lambda: pipeline(o=mean[i]),
    "sum of integers": lambda: pipeline(o=total(Tensor("n", i, j, dtype="int32")[i, j] * j)[i]),
    "mean of cubes": lambda: pipeline(o=(total(x**3) / n)[i]),
    "root of the mean square": lambda: pipeline(o=sqrt(total(x**2) / n)[i]),
    "rms norm without eps": lambda: pipeline(o=(x / sqrt(total(x**2) / n))[i, j]),
    "l1 norm": lambda: pipeline(o=(x / total(absolute(x)))[i, j]),
    "l2 norm": lambda: pipeline(o=(x / sqrt(total(x**2)))[i, j]),
    "max norm": lambda: pipeline(o=(x / largest(absolute(x)))[i, j]),
    "scaled to the range": lambda: pipeline(o=((x - least(x)) / (largest(x) - least(x)))[i, j]),
    "harmonic mean": lambda: pipeline(o=(n / total(1 / x))[i]),
    "geometric mean": lambda: pipeline(o=exp(total(log(x)) / n)[i]),
    "perplexity": lambda: pipeline(o=exp(-total(log(x)) / n)[i]),
    "perplexity of tokens": lambda: pipeline(o=exp(-total(w * log(x)) / total(w))[i]),
    "mean over the maximum": lambda: pipeline(o=(mean / largest(x))[i]),
    "times the maximum": lambda: pipeline(o=total(x * largest(y))[i]),
    "times the magnitude of the maximum": lambda: pipeline(o=total(absolute(x * largest(y)))[i]),
    "times the square of the maximum": lambda: pipeline(o=total(x * largest(y) ** 2)[i]),
    "maximum over the minimum": lambda: pipeline(o=(largest(x) / least(x))[i]),
    "squares over the sum": lambda: pipeline(o=(total(x**2) / total(x))[i]),
    "weighted mean": lambda: pipeline(o=(total(w * x) / total(w))[i]),
    "weighted rms": lambda: pipeline(o=sqrt(total(w * x**2) / total(w))[i]),
    "cosine": lambda: pipeline(o=(total(x * y) / sqrt(total(x**2) * total(y**2)))[i]),
    "unbiased variance": lambda: pipeline(o=(total((x - mean) ** 2) / (n - 1))[i]),
    "log of a sum": lambda: pipeline(o=log(total(x))[i]),
    "log of a ratio": lambda: pipeline(o=log(total(x) / total(y))[i]),
    "decibels": lambda: pipeline(o=(10 * log(total(x**2) / total((x - y) ** 2)))[i]),
    "logit of a sum": lambda: pipeline(o=log(total(x) / (1 - total(x)))[i]),
    "log of a mean of exp": lambda: pipeline(o=log(total(exp(x)) / n)[i]),
    "squared distances": lambda: pipeline(o=total(exp(-distance / Scalar("g", positive=True)) * w)[i]),
    "distances by a tensor": lambda: pipeline(
        o=(total(exp(-distance / Tensor("g", i)[i]) * w) / total(exp(-distance / Tensor("g", i)[i])))[i]
    ),
    "linear attention": lambda: pipeline(
        o=(total(fold.sum(exp(k), over=d) * x) / sqrt(total(fold.sum(exp(k), over=d))))[i]
    ),
    "sum of relu(exp - 1)": lambda: pipeline(o=total(relu(exp(x) - 1) * w)[i]),
    "sum of exp": lambda: pipeline(o=total(exp(x) * w)[i]),
    "sum of exp less the mean": lambda: pipeline(o=total(w * exp(x - mean))[i]),
    "sums of exp of both signs": lambda: pipeline(o=(total(exp(x)) * total(exp(-x)))[i]),
    "softmax less the mean": lambda: pipeline(o=(total(w * exp(x - mean)) / total(exp(x - mean)))[i]),
    "cubic mean": lambda: pipeline(o=((total(absolute(x) ** 3) / n) ** Fraction(1, 3))[i]),
    "sum of what is scaled to the range": lambda: pipeline(o=total((x - least(x)) / (largest(x) - least(x)))[i]),
    "exp of tanh of a mean": lambda: pipeline(o=exp(10 * tanh(mean))[i]),
}


def proof_of(spec: Spec) -> Proof:
    plan = derive(spec)
    assert isinstance(plan, Plan), plan
    report = verify(plan)
    assert isinstance(report, Proof), str(report)
    return report


@pytest.mark.parametrize("name", PIPELINES)
def test_is_proved(name: str) -> None:
    proof_of(PIPELINES[name]())


def notes(report: Proof) -> dict[str, str]:
    return {r.name: r.note for r in report.results if r.note and r.name.startswith(("conditions", "range"))}


def test_the_report_says_where_the_formula_has_no_value() -> None:
    assert notes(proof_of(PIPELINES["rms norm without eps"]())) == {
        "conditions o": "o as written has no value where t = 0",
        "range o: divisor": "o as written has no value where t = 0",
    }
    # No sum of squares is below 0, and a mean of no element has no value.
    assert notes(proof_of(PIPELINES["mean"]())) == {
        "conditions o": "o as written has no value where |j| = 0",
        "range o: divisor": "o as written has no value where |j| = 0",
    }


def test_an_exponent_of_the_pipeline_is_named_and_not_said_to_be_bounded() -> None:
    found = {r.claim: r.note for r in proof_of(PIPELINES["sum of relu(exp - 1)"]()).results if r.name == "range c"}
    assert found == {
        "x[i,j] is at most 0, or at most an exponent that the pipeline as written has": (
            "exp(x[i,j]) has no bound: the pipeline as written evaluates one as large"
        )
    }


def test_what_the_fusion_alone_evaluates_is_not_the_pipelines() -> None:
    # A part may hold an x far above all of its y, and the whole a y above all x.
    plan = derive(pipeline(o=total(w * (exp(x - largest(y)) - 1))[i]))
    assert isinstance(plan, Plan)
    report = verify(plan)
    assert [r.name for r in report.results if r.verdict != "proved"] == ["range t: step"]


def test_a_kernel_gives_what_eager_torch_gives_where_there_is_no_value() -> None:
    script = Path(__file__).parent / "no_value.py"
    env = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert {name: f["shown"] for name, f in found.items() if not (f["rolling"] and f["split"])} == {}
    assert sum(f["undefined"] for f in found.values()) > 20
