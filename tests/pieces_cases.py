"""Kernels that fold inner axes by pieces, run in Triton's interpreter beside NumPy: prints the worst errors as JSON.

A process of its own, since TRITON_INTERPRET decides when triton is first imported.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from emit_cases import SCHEDULES, emitted, load

from refold import Spec, Tensor, axes, derive, exp, fold, pipeline

i, j, a, d, e = axes("i j a d e")
x, y, u = Tensor("x", i, d), Tensor("y", j, d), Tensor("u", j)
xs, ys, v = Tensor("x", i, a, d), Tensor("y", j, a, d), Tensor("v", j, e)
DOT = fold.sum(x[i, d] * y[j, d], over=d)
NESTED = fold.sum(fold.sum(xs[i, a, d] * ys[j, a, d], over=d), over=a)
FARTHEST = fold.max(abs(x[i, d] - y[j, d]), over=d)


def weighted(s: Any, value: Any, *over: Any) -> Spec:
    """The mean of a value by the weights of a softmax."""
    p = exp(s - fold.max(s, over=j))
    return pipeline(o=(fold.sum(p * value, over=j) / fold.sum(p, over=j))[over])


CASES = {"dot": DOT, "extremum": -FARTHEST, "nested": NESTED}


def worst(name: str, folder: Path) -> float:
    """The largest error against NumPy in float64, at an axis of three pieces of which the last is ragged."""
    import torch

    rng = np.random.default_rng(0)
    rows, columns, length = 5, 37, 150
    inner = (2, length) if name == "nested" else (length,)
    shapes = {"x": (rows, *inner), "y": (columns, *inner), "u": (columns,)}
    given = {n: rng.standard_normal(shape) / 4 for n, shape in shapes.items()}
    match name:
        case "dot":
            scores = given["x"] @ given["y"].T
        case "extremum":
            scores = -np.abs(given["x"][:, None] - given["y"]).max(-1)
        case _:
            scores = np.einsum("iad,jad->ij", given["x"], given["y"])
    p = np.exp(scores - scores.max(-1, keepdims=True))
    want = p @ given["u"] / p.sum(-1)
    tensors = {n: torch.tensor(value, dtype=torch.float32) for n, value in given.items()}
    call = getattr(load(emitted(derive(weighted(CASES[name], u[j], i)), f"k_{name}"), folder), f"k_{name}")
    got = [call(**tensors, **options).double().numpy() for options in SCHEDULES.values()]
    return float(max(np.abs(o - want).max() for o in got))


def main() -> None:
    os.environ["TRITON_INTERPRET"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({name: worst(name, Path(folder)) for name in CASES}))


if __name__ == "__main__":
    main()
