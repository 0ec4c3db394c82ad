"""Pipelines on inputs that hold NaN and infinities, indices off their axes, results over inputs; prints JSON.

A process of its own, since TRITON_INTERPRET decides when triton is first imported.
"""

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from emit_cases import CASES as SHARED
from emit_cases import SCALARS, SCHEDULES, emitted, load

from refold.algebra import Plan, derive
from refold.spec import Ref, Scalar, Spec, Tensor, absolute, axes, exp, fold, maximum, oo, pipeline, relu, tanh, where

i, j, d, e, p, t = axes("i j d e p t")
x, y, w, v = Tensor("x", i, j), Tensor("y", i, j), Tensor("w", j), Tensor("v", j, e)
top = fold.max(x[i, j], over=j)
table, keys = Tensor("table", i, p, dtype="int64"), Tensor("keys", d, t)
place = table[i, j // t.size]


def weighted(score: Any) -> Any:
    weights = exp(score - fold.max(score, over=j))
    return fold.sum(weights * w[j], over=j) / fold.sum(weights, over=j)


CASES: dict[str, Callable[[], Spec]] = {
    "maximum": lambda: pipeline(r=top[i]),
    "minimum behind a mask": lambda: pipeline(r=fold.min(where(j <= i, x[i, j], oo), over=j)[i]),
    "range": lambda: pipeline(r=(top - fold.min(x[i, j], over=j))[i]),
    "argmax": lambda: pipeline(at=fold.argmax(x[i, j], over=j)[i]),
    "argmax and maximum": lambda: pipeline(at=fold.argmax(x[i, j], over=j)[i], r=top[i]),
    "rectified": lambda: pipeline(r=fold.sum(relu(x[i, j]), over=j)[i]),
    "clamped maximum": lambda: pipeline(r=maximum(top, 0)[i]),
    "maximum of one, sum of another": lambda: pipeline(r=(fold.sum(y[i, j], over=j) / top)[i]),
    "a shift of other data": lambda: pipeline(r=fold.sum(y[i, j] * exp(-absolute(y[i, j]) - tanh(top)), over=j)[i]),
    "maximum and softmax": lambda: pipeline(m=top[i], r=fold.sum(exp(x[i, j] - Ref("m", i)[i]) * w[j], over=j)[i]),
    "softmax below a mask": lambda: pipeline(
        r=fold.sum(exp(where(j <= i, x[i, j], -oo) - top) * w[j], over=j)[i]
    ),
    "scaled": lambda: pipeline(r=fold.sum((x[i, j] / fold.max(absolute(x[i, j]), over=j)) ** 2, over=j)[i]),
    "gated": lambda: pipeline(r=weighted(x[i, j] + Scalar("b") * y[i, j])[i]),
    **{n: SHARED[n] for n in ("softmax", "log_softmax", "logsumexp", "layer_norm", "entropy", "cross_entropy", "causal",
                              "sink", "sigmoid", "softcap")},
}  # fmt: skip
SIZES = {"i": 7, "j": 37, "d": 3, "e": 5, "h": 2, "g": 1}
BLOCKS = {"block_m": 16, "block_n": 16}


def poisoned(spec: Spec, what: float) -> dict[str, Any]:
    """Inputs of which few are not finite: in the first, a middle and the last tile along the axis."""
    g = np.random.default_rng(3)
    found: dict[str, Any] = {}
    for tensor in spec.tensors:
        shape = [SIZES[a.name] for a in tensor.axes]
        if tensor.is_integer:
            found[tensor.name] = g.integers(0, SIZES["j"], shape)
            continue
        values = g.normal(size=shape).astype(np.float32)
        if tensor is spec.tensors[0]:
            for n, at in ((1, 2), (2, 20), (3, -1)):
                values[n, at % shape[1]] = what
            values[4, ::2] = what
            values[5] = what
        found[tensor.name] = values
    return found


def wrong(folder: Path) -> dict[str, list[str]]:
    """Of every pipeline, the elements that are neither NaN nor what the spec says; and whether some are numbers."""
    import torch

    found: dict[str, list[str]] = {}
    for n, (name, made) in enumerate(CASES.items()):
        spec = made()
        plan = derive(spec)
        assert isinstance(plan, Plan), plan
        module = load(emitted(plan, f"k_{n}"), folder)
        scalars = {s.name: SCALARS[s.name] for s in spec.params}
        mistakes = []
        for what in (np.nan, np.inf, -np.inf):
            inputs = poisoned(spec, what)
            plain = spec(**inputs, **scalars)
            for options in (SCHEDULES["rolling"], SCHEDULES["split"]):
                tensors = [torch.from_numpy(a) for a in inputs.values()]
                got = getattr(module, f"k_{n}")(*tensors, **scalars, **options, **BLOCKS)
                for one in spec.outputs:
                    a = plain[one.name] if isinstance(plain, dict) else plain
                    b = (got[one.name] if isinstance(got, dict) else got).double().numpy()
                    with np.errstate(all="ignore"):
                        same = np.isnan(b) | (a == b) | (np.abs(a - b) <= 1e-5 * (1 + np.abs(a)))
                    if not same.all():
                        k = tuple(int(c) for c in np.argwhere(~same)[0])
                        mistakes.append(f"{what} {options} {one.name}{list(k)}: {b[k]} for {a[k]}")
                    if not np.isfinite(b[0]).all():
                        mistakes.append(f"{what} {options} {one.name}: row 0 is no number")
        found[name] = mistakes
    return found


def gathers(folder: Path) -> dict[str, list[float]]:
    """Losses at targets off the axis, in it, and ignored; sums over pages of which some are nowhere."""
    import torch

    plan = derive(SHARED["cross_entropy"]())
    assert isinstance(plan, Plan)
    loss = load(emitted(plan, "k_loss"), folder).k_loss
    logits = torch.randn(6, 37)
    targets = torch.tensor([3, 37, -1, 10**10, -100, -(10**10)])
    paged = derive(pipeline(r=fold.sum(where(j < i + 9, keys[place, j % t.size], 0) * w[j], over=j)[i]))
    assert isinstance(paged, Plan)
    pages = load(emitted(paged, "k_pages"), folder).k_pages
    # Of values that a dot reads, rows differ in what counts.
    s = where(j <= i, x[i, j], -oo)
    weight, page, u = exp(s - fold.max(s, over=j)), Tensor("page", j, dtype="int32"), Tensor("u", t, e)
    attended = derive(pipeline(o=(fold.sum(weight * u[page[j], e], over=j) / fold.sum(weight, over=j))[i, e]))
    assert isinstance(attended, Plan)
    values = load(emitted(attended, "k_values"), folder).k_values
    one = torch.ones
    rows = torch.tensor([[0, 1, 2, -1], [0, 9, 2, 1], [2, 1, 10**10, 0]])  # pages of 4 positions, 3 of them
    found = {}
    for name, options in SCHEDULES.items():
        found[f"loss, {name}"] = loss(logits, targets, ignore=-100, **options, **BLOCKS).tolist()
        found[f"pages, {name}"] = pages(w=one(16), table=rows, keys=one(3, 4), **options, **BLOCKS).tolist()
        pages_of = torch.tensor([1, 0, 2, 3, 0, -1], dtype=torch.int32)
        found[f"values, {name}"] = values(one(6, 6), pages_of, one(3, 2), **options, **BLOCKS)[:, 1].tolist()
    found["wanted"] = torch.nn.functional.cross_entropy(logits[:1], targets[:1], reduction="none").tolist()
    return found


def places(folder: Path) -> dict[str, str]:
    """What is said of results that would be written over an input, or over themselves; and that others are taken."""
    import torch

    plan = derive(pipeline(r=(x[i, j] - top)[i, j]))
    two = derive(pipeline(a=(x[i, j] - top)[i, j], b=(x[i, j] + top)[i, j]))
    assert isinstance(plan, Plan) and isinstance(two, Plan)
    f = load(emitted(plan, "k_one"), folder).k_one
    g = load(emitted(two, "k_two"), folder).k_two
    data = torch.randn(8, 64)
    a, b = torch.randn(4, 8), torch.empty(4, 8)
    calls: dict[str, Callable[[], Any]] = {
        "the input": lambda: f(data, out=data),
        "a part of it": lambda: f(data[:4], out=data[3:7]),
        "an expanded one": lambda: f(data, out=torch.empty(1, 64).expand(8, 64)),
        "the other result": lambda: g(a, out={"a": b, "b": b}),
        "beside it": lambda: f(data[:, :32], out=data[:, 32:]),
        "between its rows": lambda: f(data[::2], out=data[1::2]),
        # A call like the one before, but for where its result is.
        "an own tensor": lambda: f(data, out=torch.empty(8, 64)),
        "the input again": lambda: f(data, out=data),
    }
    found = {}
    for name, call in calls.items():
        try:
            call()
            found[name] = ""
        except ValueError as mistake:
            found[name] = str(mistake)
    return found


def main() -> None:
    os.environ["TRITON_INTERPRET"] = "1"
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        json.dump({"wrong": wrong(root), "gathers": gathers(root), "places": places(root)}, sys.stdout)


if __name__ == "__main__":
    main()
