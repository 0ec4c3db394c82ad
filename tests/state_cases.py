"""Pipelines whose anchors are irregular for some rows, with an oracle in plain floats; run as a script, their kernels.

The script interprets the emitted kernels and prints, by case and schedule, what they give.
"""

import importlib.util
import json
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from refold import Spec, Tensor, axes, cos, derive, exp, fold, log, oo, pipeline, sigmoid, sqrt, tanh, where
from refold.algebra import Plan

i, j = axes("i j")
a, x, u = Tensor("a", i, j), Tensor("x", i, j), Tensor("u", i, j)
top = fold.max(where(j < i, a[i, j], -oo), over=j)
largest = fold.max(abs(x[i, j]), over=j)
high, low = fold.max(x[i, j], over=j), fold.min(x[i, j], over=j)
scale = sqrt(fold.sum(u[i, j] ** 2, over=j) / j.size + 0.01)
hidden = where(j < i, x[i, j], -oo)
peak = fold.max(hidden, over=j)
p = exp(hidden - peak) / fold.sum(exp(hidden - peak), over=j)
mean = fold.sum(p * hidden, over=j)
halves = where(j < i, where(j <= i, x[i, j], -oo), -oo) + where(j < 2 * i, 0, -oo)
tops = halves - fold.max(halves, over=j)

SPECS: dict[str, Spec] = {
    "squares over the largest": pipeline(o=fold.sum((x[i, j] / largest) ** 2, over=j)[i]),
    "over the largest": pipeline(o=fold.sum(x[i, j] / largest, over=j)[i]),
    "about a tanh": pipeline(o=fold.sum((x[i, j] - tanh(top)) ** 2, over=j)[i]),
    "times a sigmoid": pipeline(o=fold.sum(x[i, j] * sigmoid(-top), over=j)[i]),
    "times a rising sigmoid": pipeline(o=fold.sum(x[i, j] * sigmoid(top), over=j)[i]),
    "against a masked maximum": pipeline(o=fold.sum(exp(x[i, j] - top), over=j)[i]),
    "apart from a masked maximum": pipeline(o=fold.sum(u[i, j] * (x[i, j] - top), over=j)[i]),
    "the most above a masked maximum": pipeline(o=fold.max(x[i, j] - top, over=j)[i]),
    "magnitudes over the largest": pipeline(o=fold.sum(abs(x[i, j] / largest), over=j)[i]),
    "times the middle": pipeline(o=fold.sum(x[i, j] * (high + low) / 2, over=j)[i]),
    "over a sum": pipeline(o=fold.sum((x[i, j] / fold.sum(u[i, j], over=j)) ** 2, over=j)[i]),
    "times the least": pipeline(o=(fold.sum(x[i, j] * low, over=j) + low)[i]),
    "over more than 1": pipeline(o=fold.sum(x[i, j] / (abs(high) + 1), over=j)[i]),
    "angles from the least": pipeline(o=fold.sum(cos(u[i, j] - low), over=j)[i]),
    "angles from a root": pipeline(o=fold.sum(cos(x[i, j] - scale), over=j)[i]),
    "entropy": pipeline(o=(-fold.sum(p * log(p), over=j))[i]),
    "entropy, its terms masked": pipeline(o=(-fold.sum(where(j < i, p * log(p), 0), over=j))[i]),
    "entropy, its scores masked": pipeline(o=(-fold.sum(p * where(j < i, log(p), 0), over=j))[i]),
    "mean score": pipeline(o=fold.sum(where(j < i, p * (hidden - peak), 0), over=j)[i]),
    "variance of scores": pipeline(o=fold.sum(p * (hidden - mean) ** 2, over=j)[i]),
    "scores behind three masks": pipeline(o=fold.sum(exp(tops) * tops, over=j)[i]),
    "over the largest, 7 stated": pipeline(o=fold.sum(x[i, j] / largest, over=j)[i], empty=7),
    "weighted mean, 7 stated": pipeline(
        o=(fold.sum(where(j < i, x[i, j] * u[i, j], 0), over=j) / fold.sum(where(j < i, u[i, j], 0), over=j))[i],
        empty=7,
    ),
    "largest weight": pipeline(o=(fold.max(exp(hidden - peak), over=j) / fold.sum(exp(hidden - peak), over=j))[i]),
    "largest weight, 7 stated": pipeline(
        o=(fold.max(exp(hidden - peak), over=j) / fold.sum(exp(hidden - peak), over=j))[i], empty=7
    ),
    "shares": pipeline(o=fold.sum(where(j < i, x[i, j] / fold.sum(u[i, j], over=j), 0), over=j)[i]),
    "shares beside a sum": pipeline(
        o=(fold.sum(a[i, j], over=j) + fold.sum(where(j < i, x[i, j] / fold.sum(u[i, j], over=j), 0), over=j))[i]
    ),
    "shares of what is kept": pipeline(
        o=fold.sum(where(j < i, (x[i, j] / fold.sum(where(j < i, u[i, j], 0), over=j)) ** 2, 0), over=j)[i]
    ),
}
Row = Callable[[int, Any, Any, Any], Any]


def best(row: int, values: Any) -> Any:
    return max((v for n, v in enumerate(values) if n < row), default=np.float64(-math.inf))


def most(values: Any) -> Any:
    return max(values, default=np.float64(-math.inf))


def least(values: Any) -> Any:
    return min(values, default=np.float64(math.inf))


def biggest(values: Any) -> Any:
    return max(map(abs, values), default=np.float64(-math.inf))


def weights(values: Any) -> Any:
    """The softmax of what is not masked."""
    powers = np.exp(values - most(values))
    return powers / powers.sum()


def entropy(weights: Any) -> Any:
    return -sum(weights * np.log(weights))


def rising(value: Any) -> Any:
    return 1 / (1 + np.exp(-value))


# The pipelines as written, a row at a time, over the row's number and its a, x and u.
ORACLES: dict[str, Row] = {
    "squares over the largest": lambda i, a, x, u: sum((c / biggest(x)) ** 2 for c in x),
    "over the largest": lambda i, a, x, u: sum(c / biggest(x) for c in x),
    "about a tanh": lambda i, a, x, u: sum((c - np.tanh(best(i, a))) ** 2 for c in x),
    "times a sigmoid": lambda i, a, x, u: sum(c * rising(-best(i, a)) for c in x),
    "times a rising sigmoid": lambda i, a, x, u: sum(c * rising(best(i, a)) for c in x),
    "against a masked maximum": lambda i, a, x, u: sum(np.exp(c - best(i, a)) for c in x),
    "apart from a masked maximum": lambda i, a, x, u: sum(d * (c - best(i, a)) for c, d in zip(x, u, strict=True)),
    "the most above a masked maximum": lambda i, a, x, u: max((c - best(i, a) for c in x), default=-math.inf),
    "magnitudes over the largest": lambda i, a, x, u: sum(abs(c / biggest(x)) for c in x),
    "times the middle": lambda i, a, x, u: sum(c * (most(x) + least(x)) / 2 for c in x),
    "over a sum": lambda i, a, x, u: sum((c / sum(u)) ** 2 for c in x),
    "times the least": lambda i, a, x, u: sum(c * least(x) for c in x) + least(x),
    "over more than 1": lambda i, a, x, u: sum(c / (abs(most(x)) + 1) for c in x),
    "angles from the least": lambda i, a, x, u: sum(np.cos(d - least(x)) for d in u),
    "angles from a root": lambda i, a, x, u: sum(np.cos(c - np.sqrt(sum(u**2) / len(u) + 0.01)) for c in x),
    "entropy": lambda i, a, x, u: entropy(weights(x[:i])),
    "entropy, its terms masked": lambda i, a, x, u: entropy(weights(x[:i])),
    "entropy, its scores masked": lambda i, a, x, u: entropy(weights(x[:i])),
    "mean score": lambda i, a, x, u: sum(weights(x[:i]) * (x[:i] - most(x[:i]))),
    "variance of scores": lambda i, a, x, u: sum(weights(x[:i]) * (x[:i] - sum(weights(x[:i]) * x[:i])) ** 2),
    "scores behind three masks": lambda i, a, x, u: sum(np.exp(c - most(x[:i])) * (c - most(x[:i])) for c in x[:i]),
    # What is stated is for empty rows, and 0/0 of data is NaN.
    "over the largest, 7 stated": lambda i, a, x, u: sum(c / biggest(x) for c in x),
    "weighted mean, 7 stated": lambda i, a, x, u: sum((x * u)[:i]) / sum(u[:i]) if len(x[:i]) else 7,
    "largest weight": lambda i, a, x, u: most(weights(x[:i])) if len(x[:i]) else math.nan,
    "largest weight, 7 stated": lambda i, a, x, u: most(weights(x[:i])) if len(x[:i]) else 7,
    "shares": lambda i, a, x, u: sum(c / sum(u) for c in x[:i]),
    "shares beside a sum": lambda i, a, x, u: sum(a) + sum(c / sum(u) for c in x[:i]),
    "shares of what is kept": lambda i, a, x, u: sum((c / sum(u[:i])) ** 2 for c in x[:i]),
}
SCHEDULES: dict[str, dict[str, Any]] = {"rolling": {"schedule": "rolling"}, "split": {"schedule": "split", "splits": 3}}
LENGTHS = (0, 1, 5, 33)


@cache
def plan_of(name: str) -> Plan:
    plan = derive(SPECS[name])
    assert isinstance(plan, Plan), str(plan)
    return plan


def inputs_of(name: str, length: int) -> dict[str, Any]:
    """Three rows: nothing is before row 0 and x is 0 there, before row 1 is one position, whose weights are 0."""
    rng = np.random.default_rng(length)
    rows = {t.name: rng.standard_normal((3, length)).astype(np.float32).astype(np.float64) for t in (a, x, u)}
    rows["x"][0] = 0.0 if "largest" in name else rows["x"][0]
    rows["u"][0] = abs(rows["u"][0])
    if "share" in name or "weighted" in name:
        rows["u"][:2] = 0.0
    return {t.name: rows[t.name] for t in SPECS[name].tensors}


def wanted(name: str, length: int) -> list[float]:
    given = {"a": np.zeros((3, length)), "u": np.zeros((3, length)), **inputs_of(name, length)}
    with np.errstate(all="ignore"):
        rows = zip(given["a"], given["x"], given["u"], strict=True)
        return [float(ORACLES[name](n, *row)) for n, row in enumerate(rows)]


def kernels(folder: Path) -> dict[str, dict[str, list[float]]]:
    import torch

    from refold.emit import emit
    from refold.verify import Proof, Result

    found: dict[str, dict[str, list[float]]] = {}
    for name in SPECS:
        plan, called = plan_of(name), name.replace(" ", "_").replace(",", "")
        # Whether it is proved is another test's question.
        kernel = emit(Proof(plan, (Result("assumed", "", "proved", 0.0, ""),), ()), called)
        kernel.write(folder)
        path = folder / f"{called}.py"
        spec = importlib.util.spec_from_file_location(called, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[called] = module
        spec.loader.exec_module(module)
        for length in LENGTHS:
            given = {k: torch.tensor(v, dtype=torch.float32) for k, v in inputs_of(name, length).items()}
            for how, options in SCHEDULES.items():
                key = f"{name}, {length}"
                found.setdefault(key, {})[how] = getattr(module, called)(**given, **options).tolist()
    return found


if __name__ == "__main__":
    assert os.environ.get("TRITON_INTERPRET") == "1"
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as made:
        print(json.dumps(kernels(Path(made))))
