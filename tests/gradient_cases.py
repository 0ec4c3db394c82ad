"""Pipelines beside the same in eager torch, written by hand: what autograd gives is what gradients are held to.

`python gradient_cases.py [NAME ...]` runs the kernels of the forward pass and of the gradients in Triton's interpreter
and prints the worst errors as JSON. A process of its own, since TRITON_INTERPRET decides when triton is first imported.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from refold import Gradient, Scalar, Spec, Tensor, axes, exp, fold, gradient, maximum, oo, pipeline, sqrt, where

if __name__ == "__main__":
    os.environ["TRITON_INTERPRET"] = "1"
import torch

i, j, d, e, g, h, r = axes("i j d e g h r")

CAP, EPS = Scalar("cap", positive=True), Scalar("eps", positive=True)
q, k, v = Tensor("q", h, i, d), Tensor("k", h, j, d), Tensor("v", h, j, e)
x, w, b = Tensor("x", i, j), Tensor("w", j), Tensor("b", j)
SCORE = fold.sum(q[h, i, d] * k[h, j, d], over=d) / sqrt(d.size)


def attention(s: Any, value: Any = v[h, j, e], order: Any = (h, i, e)) -> Spec:
    p = exp(s - fold.max(s, over=j))
    return pipeline(o=(fold.sum(p * value, over=j) / fold.sum(p, over=j))[order], empty=0)


def eager(q: Any, k: Any, v: Any, score: Callable[[Any], Any] = lambda s: s) -> Any:
    return torch.softmax(score(q @ k.mT / q.shape[-1] ** 0.5), -1) @ v


def causal(s: Any) -> Any:
    n, m = s.shape[-2:]
    return s.masked_fill(torch.arange(m)[None, :] > torch.arange(n)[:, None], -torch.inf)


def behind(s: Any) -> Any:
    return s.masked_fill(distances(s) < 2, -torch.inf)


def behind_or_0(q: Any, k: Any, v: Any) -> Any:
    """Attention to positions two behind and more: 0 in the first two rows, which have none."""
    s = behind(q @ k.mT / q.shape[-1] ** 0.5)
    none = torch.isinf(s).all(-1, keepdim=True)
    return torch.softmax(s.masked_fill(none, 0), -1).masked_fill(none, 0) @ v


def distances(s: Any) -> Any:
    return torch.arange(s.shape[-2])[:, None] - torch.arange(s.shape[-1])[None, :]


BIAS, SLOPE, SINK = Tensor("bias", i, j), Tensor("slope", h), Tensor("sink", h)
TOP = maximum(SINK[h], fold.max(SCORE, over=j))
WEIGHT = exp(SCORE - TOP)
KG, VG, QG = Tensor("k", g, j, d), Tensor("v", g, j, e), Tensor("q", g, r, i, d)
T = Tensor("t", i, dtype="int64")
H, W = Tensor("x", i, d), Tensor("w", j, d)
LOGIT = fold.sum(H[i, d] * W[j, d], over=d)
ATTENTION = {"q": (2, 5, 4), "k": (2, 7, 4), "v": (2, 7, 3)}


def sinking(q: Any, k: Any, v: Any, sink: Any) -> Any:
    s = q @ k.mT / q.shape[-1] ** 0.5
    whole = torch.cat([s, sink[:, None, None].expand(*s.shape[:-1], 1)], -1)
    return torch.softmax(whole, -1)[..., :-1] @ v


MEAN = fold.sum(x[i, j], over=j) / j.size
VARIANCE = fold.sum((x[i, j] - MEAN) ** 2, over=j) / j.size
LSE = fold.logsumexp(LOGIT, over=j)
TORCH: dict[str, tuple[Spec, Callable[..., Any], dict[str, tuple[int, ...]], dict[str, Any]]] = {
    "attention": (attention(SCORE), eager, ATTENTION, {}),
    "causal": (attention(where(j <= i, SCORE, -oo)), lambda q, k, v: eager(q, k, v, causal), ATTENTION, {}),
    "masked rows": (attention(where(j <= i - 2, SCORE, -oo)), behind_or_0, ATTENTION, {}),
    "softcap": (
        attention(CAP * (1 - 2 / (exp(2 * SCORE / CAP) + 1))),
        lambda q, k, v, cap: eager(q, k, v, lambda s: cap * torch.tanh(s / cap)), ATTENTION, {"cap": 1.5},
    ),
    "slopes": (
        attention(where(j <= i, SCORE - SLOPE[h] * (i - j), -oo)),
        lambda q, k, v, slope: eager(q, k, v, lambda s: causal(s - slope[:, None, None] * distances(s))),
        ATTENTION | {"slope": (2,)}, {},
    ),
    "bias": (attention(SCORE + BIAS[i, j]), lambda q, k, v, bias: eager(q, k, v, lambda s: s + bias),
             ATTENTION | {"bias": (5, 7)}, {}),
    "groups": (
        attention(fold.sum(QG[g, r, i, d] * KG[g, j, d], over=d) / sqrt(d.size), VG[g, j, e], (g, r, i, e)),
        lambda q, k, v: eager(q, k[:, None], v[:, None]), {"q": (2, 3, 5, 4), "k": (2, 7, 4), "v": (2, 7, 3)}, {},
    ),
    "sink": (
        pipeline(o=(fold.sum(WEIGHT * v[h, j, e], over=j) / (exp(SINK[h] - TOP) + fold.sum(WEIGHT, over=j)))[h, i, e]),
        sinking, ATTENTION | {"sink": (2,)}, {},
    ),
    "layer norm": (
        pipeline(y=(w[j] * (x[i, j] - MEAN) / sqrt(VARIANCE + EPS) + b[j])[i, j]),
        lambda x, w, b, eps: torch.nn.functional.layer_norm(x, x.shape[1:], w, b, eps),
        {"x": (5, 6), "w": (6,), "b": (6,)}, {"eps": 0.1},
    ),
    "rms norm": (
        pipeline(y=(w[j] * x[i, j] / sqrt(fold.sum(x[i, j] ** 2, over=j) / j.size + EPS))[i, j]),
        lambda x, w, eps: x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * w,
        {"x": (5, 6), "w": (6,)}, {"eps": 0.1},
    ),
    "softmax": (pipeline(y=(exp(x[i, j]) / fold.sum(exp(x[i, j]), over=j))[i, j]), lambda x: torch.softmax(x, -1),
                {"x": (5, 6)}, {}),
    "cross-entropy": (
        pipeline(y=(fold.logsumexp(x[i, j], over=j) - x[i, T[i]])[i]),
        lambda x, t: torch.nn.functional.cross_entropy(x, t.long(), reduction="none"),
        {"x": (5, 6)}, {"t": np.array([1, 0, 5, 2, 2])},
    ),
    "linear cross-entropy": (
        pipeline(y=(LSE - fold.sum(H[i, d] * W[T[i], d], over=d))[i]),
        lambda x, w, t: torch.nn.functional.cross_entropy(x @ w.T, t.long(), reduction="none"),
        {"x": (5, 3), "w": (6, 3)}, {"t": np.array([1, 0, 5, 2, 2])},
    ),
}  # fmt: skip


def autograd(name: str, seed: int, times: int = 1) -> tuple[Gradient, dict[str, Any], dict[str, Any]]:
    """The gradient of a case, what it is of, and what autograd gives in float64; some axes so many times as long."""
    spec, form, shapes, others = TORCH[name]
    rng = np.random.default_rng(seed)
    inputs = {n: rng.normal(size=_longer(shape, times)).astype(np.float32) for n, shape in shapes.items()}
    if "slope" in inputs:
        # As they are used: with a negative slope all weight is on the positions that are farthest away.
        inputs["slope"] = np.abs(inputs["slope"])
    others = {n: np.tile(o, times) if isinstance(o, np.ndarray) else o for n, o in others.items()}
    leaves = {n: torch.tensor(a, dtype=torch.float64, requires_grad=True) for n, a in inputs.items()}
    value = form(**leaves, **{n: torch.as_tensor(o) if isinstance(o, np.ndarray) else o for n, o in others.items()})
    cotangent = rng.normal(size=value.shape).astype(np.float32)
    found = torch.autograd.grad(value, [*leaves.values()], torch.tensor(cotangent, dtype=torch.float64))
    wanted = {f"d{n}": x.numpy() for n, x in zip(leaves, found, strict=True)}
    output = spec.outputs[0].name
    given = {output: value.detach().numpy(), f"d{output}": cotangent}
    return gradient(spec, [*shapes]), inputs | others | given, wanted


def _longer(shape: tuple[int, ...], times: int) -> tuple[int, ...]:
    """More rows and positions: lengths of at least 5, of which none is one of features."""
    return tuple(n * times if n >= 5 else n for n in shape)


# --- kernels ----------------------------------------------------------------------------------------------------------


def errors(name: str, folder: Path) -> dict[str, float]:
    """The worst error of each gradient that kernels compute, of values that kernels kept."""
    from emit_cases import emitted, load

    from refold import Plan, derive

    found, values, wanted = autograd(name, seed=3, times=4)
    known = {n: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for n, v in values.items()}
    del known[found.spec.outputs[0].name]
    sizes = {a.name: n for t in found.spec.tensors for a, n in zip(t.axes, known[t.name].shape, strict=True)}
    known |= {str(length.name): sizes[axis.name] for length, axis in found.lengths}
    for n, spec in enumerate((found.forward, *found.before, *found.pipelines)):
        plan = derive(spec)
        assert isinstance(plan, Plan), plan
        called = f"k{n}_{name.replace(' ', '_').replace('-', '_')}"
        kernel = getattr(load(emitted(plan, called), folder), called)
        got = kernel(*(known[t.name] for t in spec.tensors), **{p.name: known[p.name] for p in spec.params})
        known |= got if isinstance(got, dict) else {spec.outputs[0].name: got}
    return {n: float(np.abs(known[n].double().numpy() - w).max() / (1 + np.abs(w).max())) for n, w in wanted.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({name: errors(name, Path(folder)) for name in sys.argv[1:] or TORCH}))


if __name__ == "__main__":
    main()
