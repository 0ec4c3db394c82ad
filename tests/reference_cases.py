"""Awkward pipelines, and a program that compares their eager references with the oracle; prints JSON.

A process of its own: it loads torch and triton.
"""

import importlib
import json
import math
import random
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp
from support import trial, written
from support.examples import FEW, NAMES
from support.pipelines import draw

from refold.emit.launcher import reference_text, tables_text
from refold.emit.runtime import refold_runtime as rt
from refold.schedule.launch import sized_by
from refold.spec import (
    Ref,
    Scalar,
    Spec,
    Tensor,
    absolute,
    axes,
    cos,
    erf,
    exp,
    fold,
    log,
    maximum,
    minimum,
    oo,
    pipeline,
    relu,
    sigmoid,
    sqrt,
    tanh,
    where,
)

b, i, j, d, e = axes("b i j d e")
x, y, w = Tensor("x", i, j), Tensor("y", i, j), Tensor("w", j)
q, k, v, z = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e), Tensor("z", j, i)
n, whole = Tensor("n", i, dtype="int64"), Tensor("whole", i, j, dtype="int32")
A, c, u = Scalar("A", integer=True, positive=True), Scalar("c", integer=True), Scalar("u")
score = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)


hidden = where(j < i - 5, x[i, j], -oo)
weight = exp(hidden - fold.max(hidden, over=j))
top_weight, total_weight = fold.max(weight, over=j), fold.sum(weight, over=j)


def kept(value: Any) -> Any:
    return fold.sum(where(j < i - 5, value, 0), over=j)


def softmax_over(s: Any, **options: Any) -> Spec:
    p = exp(s - fold.max(s, over=j))
    return pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], **options)


CASES: dict[str, Callable[[], Spec]] = {
    "zero over zero": lambda: pipeline(r=fold.sum((x[i, j] / fold.max(absolute(x[i, j]), over=j)) ** 2, over=j)[i]),
    "block diagonal": lambda: softmax_over(where(i // A == j // A, score, -oo)),
    "block causal": lambda: softmax_over(where(j <= A * (i // A) + c, score, -oo), empty=0),
    "remainders of negative numbers": lambda: softmax_over(where((j - i + c) % A < 2, score, -oo)),
    "a start of a block": lambda: softmax_over(where(j >= i - i % A, score, -oo)),
    "a number with a name": lambda: pipeline(
        r=(math.floor(log(fold.max(absolute(x[i, j]), over=j) + 1) / log(2)) + fold.sum(x[i, j] / log(2), over=j))[i]
    ),
    "factor of a remainder": lambda: pipeline(r=fold.sum(x[i, j] * (3 - j % 2), over=j)[i]),
    "power of a sum": lambda: pipeline(r=fold.sum((absolute(x[i, j]) + 0.5) ** (u + 2), over=j)[i]),
    "power of a difference of indices": lambda: pipeline(
        r=fold.sum(maximum(x[i, j], 0.5) ** (i - j), over=j)[i]
    ),
    "integer power of what is negative": lambda: pipeline(r=fold.sum(x[i, j] ** c, over=j)[i]),
    "anchor that is an expression": lambda: pipeline(
        r=fold.sum((x[i, j] - (fold.max(x[i, j], over=j) + fold.min(x[i, j], over=j)) / 2) ** 2, over=j)[i]
    ),
    "window wholly masked": lambda: pipeline(
        r=fold.sum((x[i, j] - tanh(fold.max(where(j < i - 5, x[i, j], -oo), over=j))) ** 2, over=j)[i]
    ),
    "sums of logarithms": lambda: pipeline(g=exp(fold.sum(log(absolute(x[i, j])), over=j) / j.size)[i]),
    "quotients of three": lambda: pipeline(
        r=fold.sum(x[i, j] / (1 + y[i, j] ** 2) / maximum(w[j], 0.25) * 3, over=j)[i]
    ),
    "transposed": lambda: pipeline(r=fold.sum(z[j, i] * x[i, j] - w[j] * z[j, i], over=j)[i]),
    "gather inside of its axis": lambda: pipeline(r=fold.sum(x[i, 4 * (j // 4)] * w[j], over=j)[i]),
    "gather at a target, off the axis too": lambda: pipeline(
        r=(fold.logsumexp(x[i, j], over=j) - x[i, n[i]])[i]
    ),
    "lengths, some of them 0": lambda: softmax_over(where(j < n[i], score, -oo), empty=0),
    "largest weight, none of it stated": lambda: pipeline(r=(top_weight / total_weight)[i]),
    "largest weight, stated": lambda: pipeline(r=(top_weight / total_weight)[i], empty=3),
    "weighted mean of a window, stated": lambda: pipeline(
        r=(kept(x[i, j] * y[i, j]) / kept(y[i, j]))[i],
        empty=3,
    ),
    "count as a divisor": lambda: pipeline(
        r=(fold.sum(where(j % A == c, x[i, j], 0), over=j) / fold.count(j % A == c, over=j))[i]
    ),
    "mean over two axes": lambda: pipeline(r=(fold.sum(x[i, j], over=(i, j)) / (i.size * j.size))),
    "two outputs, one read by the other": lambda: pipeline(
        m=fold.max(x[i, j], over=j)[i], r=(x[i, j] - Ref("m", i)[i])[i, j]
    ),
    "where inside of where": lambda: pipeline(
        r=fold.sum(where(j < A, where(j > i, x[i, j], -y[i, j]), w[j]), over=j)[i]
    ),
    "product of minus": lambda: pipeline(r=fold.sum(-x[i, j] * (y[i, j] - w[j]) - (w[j] - x[i, j]), over=j)[i]),
    "maxima and minima of three": lambda: pipeline(
        r=fold.sum(relu(minimum(x[i, j], maximum(y[i, j], w[j]))) - relu(-x[i, j]), over=j)[i]
    ),
    "argmax behind a mask": lambda: pipeline(at=fold.argmax(where(j <= i, x[i, j], -oo), over=j)[i]),
    "argmax of integers behind a mask": lambda: pipeline(
        at=fold.argmax(where(j <= i, whole[i, j], -oo), over=j)[i]
    ),
    "argmax of mixed dtypes": lambda: pipeline(
        at=fold.argmax(where(j <= i, whole[i, j], x[i, j] * w[j]), over=j)[i],
        r=fold.max(where(j <= i, whole[i, j], -oo) + x[i, j], over=j)[i],
    ),
    "any and all": lambda: pipeline(
        a=fold.any(j > i + 3, over=j)[i], r=(fold.all(j < i, over=j) - fold.sum(x[i, j], over=j))[i]
    ),
    "heads": lambda: pipeline(
        r=fold.sum(erf(x[i, j]) * cos(y[i, j]) + sigmoid(x[i, j] - y[i, j]) * sqrt(absolute(w[j])), over=j)[i]
    ),
    "masked score outside of an exponential": lambda: pipeline(
        r=fold.sum(where(j <= i, x[i, j], -oo) * exp(where(j <= i, x[i, j], -oo)) * v[j, e], over=j)[i, e]
    ),
    "indices as numbers": lambda: pipeline(r=fold.sum(x[i, j] * (i - j) / (j + 1) + u * abs(i - j), over=j)[i]),
    "product over the axis": lambda: pipeline(r=fold.prod(1 + x[i, j] / 8, over=j)[i]),
}  # fmt: skip
SCALARS: dict[str, float] = {"A": 4, "c": 1, "u": 0.75, "block": 4, "ignore": -100, "window": 5, "step": 2, "prefix": 3,
                             "shared": 3}  # fmt: skip


def spec_of(name: str) -> Spec:
    return CASES[name]() if name in CASES else importlib.import_module(f"refold.examples.{name}").SPEC


def inputs_of(spec: Spec, sizes: dict[str, int]) -> dict[str, Any]:
    g = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for t in spec.tensors:
        shape = tuple(sizes[a.name] for a in t.axes)
        found[t.name] = g.integers(-2, 14, shape) if t.is_integer else g.normal(size=shape)
        if t.name == "x" and len(shape) == 2 and shape[0] > 1:
            found[t.name][1] = 0.0  # 0 / 0, and log 0
    return found


def module_of(spec: Spec) -> dict[str, Any]:
    """What a kernel file of the pipeline holds beside its kernels and its launcher."""
    lines = ["import math", "import torch", *tables_text("f", spec, {}), reference_text(spec, {})]
    made: dict[str, Any] = {"rt": rt, "_ratio": rt.ratio, "_real": rt.real}
    exec("\n".join(lines), made)
    return made


def worst(spec: Spec, made: dict[str, Any], tensors: dict[str, Any], sizes: dict[str, int],
          scalars: dict[str, Any]) -> float:  # fmt: skip
    """The largest difference between reference and oracle; infinite where one has a value and the other none."""
    import torch

    lengths = {a.name: sizes[a.name] for a in sized_by(spec)[2]}
    want = spec(**tensors, **scalars, **{a.name: sizes[a.name] for a in spec.axes})
    got = made["reference"](*(torch.as_tensor(t) for t in tensors.values()), **scalars, **lengths)
    difference = 0.0
    for one in want if isinstance(want, dict) else (None,):
        a, o = (want[one], got[one].double().numpy()) if one else (want, got.double().numpy())
        if a.shape != o.shape or not np.array_equal(np.isfinite(a), np.isfinite(o)):
            return float("inf")
        if not np.array_equal(a[~np.isfinite(a)], o[~np.isfinite(o)], equal_nan=True):
            return float("inf")
        finite = a[np.isfinite(a)]
        difference = max([difference, *(np.abs(o[np.isfinite(o)] - finite) / (1 + np.abs(finite))).flat])
    return float(difference)


def at_lengths(name: str) -> list[float]:
    """Of a pipeline by its name, at three lengths of j, and of NaN where something is stated for empty rows."""
    base = {"b": 2, "i": 7, "j": 12, "d": 3, "e": 5, "h": 6, "g": 2, "c": 12, "t": 4, "n": 6, "k": 5, "page": 5}
    spec = spec_of(name)
    sizes, made = {a.name: base.get(a.name, 4) for a in spec.axes}, module_of(spec)
    scalars = {p.name: SCALARS.get(p.name, 0.5) for p in spec.params}
    found = []
    for length in (12, 1, 0):
        size = sizes | dict.fromkeys({"j"} & {*sizes}, length)
        found.append(worst(spec, made, inputs_of(spec, size), size, scalars))
    if spec.empty is not sp.nan:
        poisoned = inputs_of(spec, sizes)
        next(x for x in poisoned.values() if x.dtype == float)[...] = np.nan
        found.append(worst(spec, made, poisoned, sizes, scalars))
    return found


def random_pipelines(seeds: range) -> dict[int, float]:
    """Of pipelines as users write them, at the sizes of their own trials."""
    found = {}
    for seed in seeds:
        pipeline_ = draw(seed)
        spec = written.spec_of(pipeline_)
        if not spec.tensors:
            continue  # no device says where to compute
        found[seed], made = 0.0, module_of(spec)
        for sizes in trial.SIZES:
            if not sizes["j"] and any(kind == "int target" for _, kind in pipeline_.tensors.values()):
                continue  # there is no position for a target
            lists, scalars = trial.inputs(pipeline_, sizes, random.Random(seed))
            tensors = {t.name: np.array(lists[t.name], dtype=t.dtype if t.is_integer else np.float64)
                       .reshape([sizes[a.name] for a in t.axes]) for t in spec.tensors}  # fmt: skip
            given = {p.name: scalars[p.name] for p in spec.params}
            found[seed] = max(found[seed], worst(spec, made, tensors, sizes, given))
    return found


def main(names: list[str]) -> None:
    """Prints what is found of pipelines by their names; of random ones, and the cases here, where none are given."""
    warnings.simplefilter("ignore")
    named = {name: at_lengths(name) for name in names or (*(n for n in NAMES if n in FEW), *CASES)}
    json.dump({"named": named, "random": {} if names else random_pipelines(range(60))}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
