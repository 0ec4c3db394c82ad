"""Gradients: of the catalogue against differences of the pipelines' own values, and of eager torch against autograd."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from refold import Scalar, Spec, Tensor, axes, exp, fold, gradient, maximum, oo, pipeline, relu, sqrt, where
from refold.errors import NoGradient, UnknownName

i, j, d, e, g, h, r = axes("i j d e g h r")
SIZES = (3, 4, 2, 5)


def example(name: str) -> Spec:
    spec: Spec = importlib.import_module(f"refold.examples.{name}").SPEC
    return spec


def real_inputs(spec: Spec) -> list[str]:
    return [t.name for t in spec.tensors if not t.is_integer] + [p.name for p in spec.params if not p.is_integer]


def drawn(spec: Spec, seed: int = 0) -> dict[str, Any]:
    """Inputs of small sizes, that of each axis by its place."""
    rng = np.random.default_rng(seed)
    sizes = {a.name: SIZES[n % len(SIZES)] for n, a in enumerate(spec.axes)}
    if {"g", "h"} <= sizes.keys():
        sizes["h"] = 2 * sizes["g"]
    inputs: dict[str, Any] = {}
    for tensor in spec.tensors:
        shape = [sizes[a.name] for a in tensor.axes]
        values = rng.integers(0, 2, shape) if tensor.is_integer else rng.normal(size=shape)
        inputs[tensor.name] = np.abs(values) + 0.1 if tensor.sign else values
    held = {a.name for t in spec.tensors for a in t.axes}
    inputs |= {p.name: 2 if p.is_integer else 0.7 for p in spec.params}
    return inputs | {name: n for name, n in sizes.items() if name not in held}


def outputs(spec: Spec, inputs: dict[str, Any]) -> dict[str, Any]:
    found = spec(**inputs)
    return found if isinstance(found, dict) else {spec.outputs[0].name: found}


def differences(spec: Spec, inputs: dict[str, Any], name: str, cotangents: dict[str, Any]) -> Any:
    """The derivative of `sum cotangent * output` by an input, as central differences of the pipeline's values."""
    value, step = np.asarray(inputs[name], dtype=np.float64), 1e-6
    found = np.zeros_like(value)
    for at in np.ndindex(*value.shape):
        sides = []
        for sign in (step, -step):
            moved = value.copy()
            moved[at] += sign
            sides.append(outputs(spec, inputs | {name: moved}))
        up, down = sides
        found[at] = sum(np.sum((up[o] - down[o]) / (2 * step) * c) for o, c in cotangents.items())
    return found


CATALOGUE = [
    "attention", "causal_attention", "softcap", "alibi", "attention_sink", "gqa", "sigmoid_attention", "layer_norm",
    "rms_norm", "softmax", "cross_entropy", "linear_cross_entropy", "log_softmax", "logsumexp", "entropy", "kl",
    "differential_attention", "forgetting_attention", "huber_loss", "l2_normalise", "rope_attention", "relu_attention",
    "skewness", "z_loss", "stages.group_norm", "stages.batch_norm", "stages.linear_attention",
]  # fmt: skip


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_gradient_is_what_differences_say(name: str) -> None:
    spec = example(name)
    found = gradient(spec)
    inputs = drawn(spec)
    values = outputs(spec, inputs)
    rng = np.random.default_rng(1)
    cotangents = {o.name: rng.normal(size=np.shape(values[o.name])) for o in spec.outputs}
    got = found(**inputs, **values, **{given: cotangents[o] for o, given in found.given})
    for wrt in real_inputs(spec):
        if wrt in found.wrt:
            wanted = differences(spec, inputs, wrt, cotangents)
            np.testing.assert_allclose(got[f"d{wrt}"], wanted, rtol=1e-6, atol=1e-7, err_msg=wrt)


# --- autograd of forms written by hand --------------------------------------------------------------------------------

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
        {"x": (4, 6), "w": (6,), "b": (6,)}, {"eps": 0.1},
    ),
    "rms norm": (
        pipeline(y=(w[j] * x[i, j] / sqrt(fold.sum(x[i, j] ** 2, over=j) / j.size + EPS))[i, j]),
        lambda x, w, eps: x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * w,
        {"x": (4, 6), "w": (6,)}, {"eps": 0.1},
    ),
    "softmax": (pipeline(y=(exp(x[i, j]) / fold.sum(exp(x[i, j]), over=j))[i, j]), lambda x: torch.softmax(x, -1),
                {"x": (4, 6)}, {}),
    "cross-entropy": (
        pipeline(y=(fold.logsumexp(x[i, j], over=j) - x[i, T[i]])[i]),
        lambda x, t: torch.nn.functional.cross_entropy(x, t.long(), reduction="none"),
        {"x": (4, 6)}, {"t": np.array([1, 0, 5, 2])},
    ),
    "linear cross-entropy": (
        pipeline(y=(LSE - fold.sum(H[i, d] * W[T[i], d], over=d))[i]),
        lambda x, w, t: torch.nn.functional.cross_entropy(x @ w.T, t.long(), reduction="none"),
        {"x": (4, 3), "w": (6, 3)}, {"t": np.array([1, 0, 5, 2])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TORCH)
def test_a_gradient_is_that_of_autograd(name: str) -> None:
    spec, form, shapes, others = TORCH[name]
    rng = np.random.default_rng(2)
    inputs = {n: rng.normal(size=shape) for n, shape in shapes.items()}
    leaves = {n: torch.tensor(a, requires_grad=True) for n, a in inputs.items()}
    value = form(**leaves, **{n: torch.as_tensor(o) if isinstance(o, np.ndarray) else o for n, o in others.items()})
    cotangent = rng.normal(size=value.shape)
    wanted = torch.autograd.grad(value, [*leaves.values()], torch.tensor(cotangent))
    found = gradient(spec, [*shapes])
    output = spec.outputs[0].name
    got = found(**inputs, **others, **{output: value.detach().numpy(), f"d{output}": cotangent})
    for n, gradient_of in zip(leaves, wanted, strict=True):
        np.testing.assert_allclose(got[f"d{n}"], gradient_of.numpy(), rtol=1e-9, atol=1e-11, err_msg=n)


# --- what was derived -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["attention", "alibi", "attention_sink", "layer_norm", "cross_entropy"])
def test_text(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{name}.txt", f"{gradient(example(name))}\n")


def formulas(spec: Spec) -> list[str]:
    return [line for p in (*gradient(spec).before, *gradient(spec).pipelines) for line in str(p).splitlines()]


def test_attention_is_that_of_the_papers() -> None:
    """Dao, FlashAttention-2, arXiv 2307.08691, algorithm 2: P = exp(S - L), dS = P (dP - D), D = rowsum(dO O)."""
    found = gradient(example("attention"))
    assert found.saved == ("L",) and found.shifts == ("m",)
    assert formulas(example("attention")) == [
        "delta[i] = Σ_e do[i,e]·o[i,e]",
        "dq[i,d] = (Σ_j (Σ_e do[i,e]·v[j,e] - delta[i])·k[j,d]·exp((Σ_d k[j,d]·q[i,d])/√|d| - L[i]))/√|d|",
        "p[j,i] = exp((Σ_d k[j,d]·q[i,d])/√|d| - L[i])",
        "dk[j,d] = (Σ_i (Σ_e do[i,e]·v[j,e] - delta[i])·p[j,i]·q[i,d])/√|d|",
        "dv[j,e] = Σ_i do[i,e]·p[j,i]",
    ]


def test_softmax_keeps_its_output_alone() -> None:
    assert formulas(example("softmax")) == ["dx[i,j] = (dy[i,j] - Σ_j dy[i,j]·y[i,j])·y[i,j]"]


def test_distances_stay_small() -> None:
    """`j - i` and not `j`, though the sum over j of what it is a factor of is 0: both positions may be large."""
    assert any(line.startswith("dslope[h] = Σ_i Σ_j (j - i)·") for line in formulas(example("alibi")))


def test_rows_with_every_position_masked_have_the_gradient_0() -> None:
    spec = attention(where(j <= i - 2, SCORE, -oo))
    inputs = drawn(spec)
    values = outputs(spec, inputs)
    got = gradient(spec)(**inputs, **values, do=np.ones_like(values["o"]))
    assert all(np.isfinite(value).all() for value in got.values())
    assert (got["dq"][:, :2] == 0).all() and (got["dq"] != 0).any()


def test_an_empty_axis_has_the_gradient_0() -> None:
    spec = example("attention")
    inputs = {"q": np.ones((3, 2)), "k": np.ones((0, 2)), "v": np.ones((0, 4))}
    got = gradient(spec)(**inputs, o=np.zeros((3, 4)), do=np.ones((3, 4)))
    assert got["dk"].shape == (0, 2) and got["dv"].shape == (0, 4)
    assert (got["dq"] == 0).all()


def test_names_of_the_user_are_not_taken() -> None:
    L, delta, do = Tensor("L", j), Tensor("delta", j), Tensor("do", j)
    s = SCORE + L[j] + delta[j] + do[j]
    found = gradient(attention(s))
    assert found.given == (("o", "do2"),) and found.saved == ("L2",)
    assert [o.name for o in found.before[0].outputs] == ["delta2"]


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "wrt", "error", "says"),
    [
        (example("attention"), ["queries"], UnknownName, "no gradient by queries: it is none of q, k, v"),
        (example("hard_attention"), ["q"], NoGradient, "the gradient by q is 0 everywhere: leave q out of wrt"),
        (example("perplexity"), None, NoGradient, "is the same for each j, .*: leave log_p out of wrt"),
        (pipeline(t=fold.prod(x[i, j], over=j)[i]), None, NoGradient, "write it as exp of a sum of log"),
    ],
)
def test_refused(spec: Spec, wrt: list[str] | None, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        gradient(spec, wrt)


def test_integers_have_no_gradient_and_their_tensors_are_left_out() -> None:
    found = gradient(example("cross_entropy"))
    assert found.wrt == ("x",)
    with pytest.raises(UnknownName, match="no gradient by target"):
        gradient(example("cross_entropy"), ["target"])


def test_a_maximum_has_its_gradient_where_it_is_reached() -> None:
    spec = pipeline(t=fold.max(relu(x[i, j]), over=j)[i])
    got = gradient(spec)(x=[[1.0, 3.0, 2.0], [-1.0, -2.0, -3.0]], t=[3.0, 0.0], dt=[5.0, 7.0])
    np.testing.assert_array_equal(got["dx"], [[0, 5, 0], [0, 0, 0]])
