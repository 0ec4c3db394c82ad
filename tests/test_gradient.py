"""Gradients: of the catalogue against differences of the pipelines' own values, and of eager torch against autograd."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradient_cases import SCORE, TORCH, attention, autograd, i, j, x

from refold import Plan, Spec, Tensor, derive, fold, gradient, oo, pipeline, relu, where
from refold.emit import need_kernel
from refold.errors import EmitError, NoGradient, UnknownName

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


@pytest.mark.parametrize("name", TORCH)
def test_a_gradient_is_that_of_autograd(name: str) -> None:
    found, values, wanted = autograd(name, seed=2)
    got = found(**values)
    assert got.keys() == wanted.keys()
    for n, value in wanted.items():
        np.testing.assert_allclose(got[n], value, rtol=1e-9, atol=1e-11, err_msg=n)


@pytest.mark.parametrize("name", [name for name in TORCH if name != "groups"])
def test_the_kernels_give_what_autograd_gives(name: str) -> None:
    """In float32, against autograd in float64: a process of its own, which has Triton's interpreter."""
    program = Path(__file__).parent / "gradient_cases.py"
    done = subprocess.run([sys.executable, str(program), name], capture_output=True, text=True, check=True)
    errors = json.loads(done.stdout)[name]
    assert {f"d{n}" for n in TORCH[name][2]} == {*errors}
    # One by one: a maximum may pass over NaN.
    assert all(e < 1e-5 for e in errors.values()), errors


def test_a_sum_over_the_heads_of_a_group_and_over_rows_has_no_kernel_yet() -> None:
    found, _, _ = autograd("groups", seed=2)
    keys = next(spec for spec in found.pipelines if spec.outputs[0].name == "dk")
    plan = derive(keys)
    assert isinstance(plan, Plan)
    with pytest.raises(EmitError, match="is folded within the loop, and outputs vary with it"):
        need_kernel(plan, "dk")


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
