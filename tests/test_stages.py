"""Pipelines that no single pass computes: cut into stages that are the pipeline again when put together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import STAGED

import refold
from refold import Refusal, Spec, Staged, Tensor, axes, exp, fold, log, pipeline
from refold.algebra.flatten import flatten
from refold.errors import EmitError, UnsupportedSpec
from refold.spec import Output
from refold.verify.staged import composition

NAMES = STAGED
# The axis of every stage, and the tensors that are handed on.
AXES = {
    "agent_attention": ["j", "n"],
    "batch_norm": ["np"],
    "cauchy_mean": ["j", "j"],
    "clip_loss": ["j", "i"],
    "colbert": ["j", "i"],
    "dora_factored": ["i", "i", "r"],
    "group_norm": ["cp"],
    "inverse_distance_attention": ["j"],
    "latent_attention": ["d", "j", "r"],
    "linear_attention": ["j", "d"],
    "monarch": ["j", "b"],
    "patch_softmax": ["ab"],
    "point_attention": ["j"],
    "rbf_attention": ["j"],
    "sinkhorn": ["j", "i"],
    "soft_moe": ["i", "j"],
    "sparton": ["t"],
    "tensor_quant": ["ij"],
}
i, j = axes("i j")
x, y = Tensor("x", i, j), Tensor("y", i, j)


def example(name: str) -> Spec:
    found = import_module(f"refold.examples.stages.{name}").SPEC
    assert isinstance(found, Spec)
    return found


@cache
def staged(spec: Spec) -> Staged:
    found = refold.stages(spec)
    assert isinstance(found, Staged)
    return found


def inputs_of(spec: Spec, sizes: dict[str, int], seed: int) -> dict[str, Any]:
    g = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for t in spec.tensors:
        shape = [sizes[a.name] for a in t.axes]
        found[t.name] = g.integers(0, 4, shape) if t.is_integer else g.normal(size=shape)
    return found | {p.name: 0.5 for p in spec.params}


def in_stages(cut: Staged, inputs: dict[str, Any], sizes: dict[str, int]) -> dict[str, Any]:
    """Runs every stage's pipeline as written, one after the other; of two axes in one it knows NumPy's reshape."""
    held = dict(inputs)
    for flat in cut.flats:
        for t in flat.before.tensors:
            if (flat.outer, flat.inner) in pairwise(t.axes):
                held[t.name] = merged(held[t.name], t.axes, flat)
        held[flat.length.name] = sizes[flat.inner.name]
        sizes = sizes | {flat.axis.name: sizes[flat.outer.name] * sizes[flat.inner.name]}
        held[flat.axis.name] = sizes[flat.axis.name]
    held |= {str(length): sizes[axis.name] for length, axis in cut.lengths}
    for plan in cut.plans:
        wanted = {n.name for group in (plan.spec.tensors, plan.spec.params, plan.spec.axes) for n in group}
        made = plan.spec(**{n: v for n, v in held.items() if n in wanted})
        held |= made if isinstance(made, dict) else {plan.spec.outputs[0].name: made}
    found = {}
    for o in cut.spec.outputs:
        value = held[o.name]
        for flat in reversed(cut.flats):
            if {flat.outer, flat.inner} <= {*o.axes}:
                order = [a for a in o.axes if a != flat.outer]
                at = order.index(flat.inner)
                value = value.reshape([*value.shape[:at], sizes[flat.outer.name], -1, *value.shape[at + 1 :]])
                value = np.moveaxis(value, at, o.axes.index(flat.outer))
        found[o.name] = value
    return found


def merged(value: Any, named: tuple[Any, ...], flat: Any) -> Any:
    rest = [a for a in named if a != flat.outer]
    at = rest.index(flat.inner)
    value = np.moveaxis(value, named.index(flat.outer), at)
    return value.reshape([*value.shape[:at], -1, *value.shape[at + 2 :]])


@pytest.mark.parametrize("name", NAMES)
def test_text(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{name}.txt", f"{staged(example(name))}\n")


def test_the_axes_of_stages() -> None:
    assert {name: [plan.axis.name for plan in staged(example(name)).plans] for name in AXES} == AXES


@pytest.mark.parametrize("name", NAMES)
def test_the_stages_are_the_pipeline(name: str) -> None:
    cut = staged(example(name))
    laws = 0 if cut.form is None else 1 + len(cut.form.uses)
    assert [r.verdict for r in composition(cut)] == ["proved"] * (1 + len(cut.flats) + laws)


@pytest.mark.parametrize("name", NAMES)
@given(st.data())
@settings(max_examples=10)
def test_stage_after_stage_gives_the_pipeline(name: str, data: st.DataObject) -> None:
    spec = example(name)
    sizes = {a.name: data.draw(st.integers(1, 4), a.name) for a in spec.axes}
    inputs = inputs_of(spec, sizes, data.draw(st.integers(0, 1000), "seed"))
    wanted = spec(**inputs)
    found = in_stages(staged(spec), inputs, sizes)
    for o in spec.outputs:
        np.testing.assert_allclose(found[o.name], wanted[o.name] if isinstance(wanted, dict) else wanted, rtol=1e-9)


@pytest.mark.parametrize("name", ["patch_softmax"])
def test_an_example_is_proved(name: str) -> None:
    report = refold.verify(staged(example(name)))
    assert report.verdict == "proved", report
    assert sum(r.name.startswith("stages") for r in report.results) == len(report.together)
    assert report.results[-1].name.endswith("(stage 1)")
    assert [*refold.emit(report, "f").code][:2] == ["f.py", "f_1.py"]
    with pytest.raises(EmitError, match=r"f takes a kernel file a stage, .*: leave that option out"):
        refold.emit(report, "f", single_file=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*NAMES} - {"patch_softmax"}))
def test_other_examples_are_proved(name: str) -> None:
    report = refold.verify(staged(example(name)))
    assert report.verdict == "proved", report


def test_stages_that_are_another_pipeline_are_not_proved() -> None:
    cut = staged(example("sinkhorn"))
    first, second = cut.plans
    outputs = first.spec.outputs

    def other(*changed: Output) -> Staged:
        return replace(cut, plans=(replace(first, spec=replace(first.spec, outputs=changed)), second))

    doubled = [replace(o, expr=2 * o.expr) for o in outputs]
    handed = {o.name for o in cut.passed}
    for n, o in enumerate(outputs):
        wrong = other(*(doubled[k] if k == n else kept for k, kept in enumerate(outputs)))
        assert next(composition(wrong)).verdict == "unknown", f"{o.name} doubled"
    swapped = [replace(o, expr=p.expr) for o, p in zip(outputs, reversed(outputs), strict=True)]
    assert next(composition(other(*swapped))).verdict == "unknown"
    assert handed <= {o.name for o in outputs}
    assert next(composition(replace(cut, plans=(second, first)))).verdict == "unknown"
    assert next(composition(replace(cut, plans=(first,)))).verdict == "unknown"


def test_another_order_of_digits_is_not_proved() -> None:
    cut = staged(example("group_norm"))
    (flat,) = cut.flats
    turned = replace(flat, outer=flat.inner, inner=flat.outer)
    assert next(composition(replace(cut, flats=(turned,)))).verdict == "unknown"


def test_scores_are_not_handed_on() -> None:
    """As many as rows times positions: both stages compute them."""
    assert staged(example("clip_loss")).passed == ()


def test_what_is_the_same_for_all_rows_is_computed_once() -> None:
    """A row potential inside of a fold over rows would be computed again for every column."""
    cut = staged(example("sinkhorn"))
    assert "f" in {o.name for o in cut.passed}
    assert all(len(o.axes) == 1 for o in cut.passed)


def test_an_inner_attention_is_a_stage_of_its_own() -> None:
    """Agent attention was one loop over agents, with all keys again in it for every query."""
    i, n, j, d, e = axes("i n j d e")
    q, agent, k, v = Tensor("q", i, d), Tensor("agent", n, d), Tensor("k", j, d), Tensor("v", j, e)

    def attend(s: Any, values: Any, over: Any) -> Any:
        p = exp(s - fold.max(s, over=over))
        return fold.sum(p * values, over=over) / fold.sum(p, over=over)

    inner = attend(fold.sum(agent[n, d] * k[j, d], over=d), v[j, e], j)
    cut = staged(pipeline(o=attend(fold.sum(q[i, d] * agent[n, d], over=d), inner, n)[i, e]))
    assert [(str(plan.axis), plan.spec.outputs[0].name) for plan in cut.plans] == [("j", "pass1"), ("n", "o")]


def test_sums_over_two_axes_of_extremes_over_each_other_are_cut_by_rows() -> None:
    """Chamfer distance had no kernel: both of its folds over j were computed first, and one waits for a fold over i."""
    i, j = axes("i j")
    c = Tensor("c", i, j)
    spec = pipeline(loss=fold.sum(fold.min(c[i, j], over=j), over=i) + fold.sum(fold.min(c[i, j], over=i), over=j))
    assert sorted(str(plan.axis) for plan in staged(spec).plans) == ["i", "i", "j", "j"]


def test_outputs_of_different_axes_are_stages() -> None:
    """A kernel has a program for each row, and many would write what does not vary with rows."""
    i, j = axes("i j")
    w, x = Tensor("w", j), Tensor("x", i, j)
    spec = pipeline(n=fold.sum(w[j], over=j), t=fold.sum(w[j] * x[i, j], over=j)[i])
    assert sorted(o.name for plan in staged(spec).plans for o in plan.spec.outputs) == ["n", "t"]


def test_a_sum_over_pairs_that_no_tensor_has_stays_two_sums() -> None:
    i, j = axes("i j")
    x, y = Tensor("x", i), Tensor("y", j)
    assert flatten(pipeline(t=fold.sum(exp(-((x[i] - y[j]) ** 2)), over=(i, j)))) is None


def test_one_pass_is_one_plan() -> None:
    assert isinstance(refold.stages(pipeline(t=fold.sum(x[i, j], over=j)[i])), refold.Plan)


def test_a_refusal_keeps_its_evidence() -> None:
    spec = pipeline(t=fold.sum(log(x[i, j] ** 2 + 1 + fold.max(x[i, j], over=j)), over=j)[i])
    alone = refold.derive(spec)
    assert isinstance(alone, Refusal) and alone.evidence is not None
    assert staged(spec).why == alone.reason


def test_a_chain_of_three_takes_three_stages() -> None:
    top = fold.max(x[i, j], over=j)
    middle = fold.sum(log(1 + exp(x[i, j]) + exp(top)), over=j)
    spec = pipeline(t=fold.sum(log(y[i, j] ** 2 + 1 + middle**2), over=j)[i])
    cut = staged(spec)
    assert [p.axis.name for p in cut.plans] == ["j", "j", "j"]
    assert next(composition(cut)).verdict == "proved"
    g = np.random.default_rng(0)
    inputs = {"x": g.normal(size=(3, 5)), "y": g.normal(size=(3, 5))}
    np.testing.assert_allclose(in_stages(cut, inputs, {})["t"], spec(**inputs))


def test_axes_that_are_not_always_together_stay_apart() -> None:
    n, a, b = axes("n a b")
    z = Tensor("z", n, a, b)
    both = fold.sum(z[n, a, b], over=(a, b))
    assert flatten(pipeline(t=(both + fold.max(fold.sum(z[n, a, b], over=b), over=a))[n])) is None
    assert flatten(pipeline(t=(z[n, a, b] - both)[n, a, b])) is not None
    assert flatten(pipeline(t=both[n], u=fold.sum(z[n, a, b], over=b)[n, a])) is None


def test_what_folds_lanes_of_a_state_is_a_stage_of_its_own() -> None:
    """Each lane is a number of a program: the proof of one stage crashed."""
    f, e = axes("f e")
    p = exp(x[i, j] - fold.max(x[i, j], over=j))
    made = fold.sum(Tensor("c", j, f)[j, f] * Tensor("u", f, e)[f, e], over=f)
    one, other = (fold.sum(p * value, over=j) / fold.sum(p, over=j) for value in (Tensor("v", j, e)[j, e], made))
    cut = staged(pipeline(o=one[i, e], o2=other[i, e]))
    assert [plan.axis.name for plan in cut.plans] == ["j", "f"]
    # A later stage cannot say what an output is where an earlier one ranged over nothing: it gave NaN for 0.
    found = refold.stages(pipeline(o=one[i, e], o2=other[i, e], empty=0))
    assert isinstance(found, refold.Plan) or len(found.plans) == 1


def test_a_refusal_says_that_a_value_over_nothing_stands_against_stages() -> None:
    mean = fold.sum(x[i, j], over=j) / j.size
    spread = fold.sum(abs(x[i, j] - mean), over=j)[i]
    refused = refold.stages(pipeline(y=spread, empty=0))
    assert isinstance(refused, refold.Refusal) and refused.advice.startswith("write it without empty=0: stages")
    assert len(staged(pipeline(y=spread)).plans) == 2
    assert refold.derive(pipeline(y=spread, empty=0)).advice.startswith("keep two passes")


def test_a_pipeline_without_a_fold_is_refused_as_before() -> None:
    with pytest.raises(UnsupportedSpec, match="no fold"):
        refold.stages(pipeline(t=(x[i, j] + 1)[i, j]))


RUN = """
import numpy, torch, refold
from importlib import import_module
spec = import_module("refold.examples.stages.{name}").SPEC
call = refold.compile(spec, "{name}")
g = torch.Generator().manual_seed(0)
shapes = {shapes}
inputs = {{n: torch.randn(s, generator=g) for n, s in shapes.items()}}
words = {words}
for dtype, bound in ((torch.float32, 1e-5), (torch.bfloat16, 4e-2)):
    given = {{n: t.to(dtype) for n, t in inputs.items()}}
    wanted = spec(**{{n: t.double().numpy() for n, t in given.items()}}, **words)
    found = call(*given.values(), **words)
    found = found if isinstance(found, dict) else {{spec.outputs[0].name: found}}
    wanted = wanted if isinstance(wanted, dict) else {{spec.outputs[0].name: wanted}}
    for n, t in found.items():
        assert t.dtype == dtype, (n, t.dtype)
        assert numpy.abs(t.double().numpy() - wanted[n]).max() < bound * max(1, numpy.abs(wanted[n]).max()), n
out = torch.empty_like(found[spec.outputs[0].name])
call(*given.values(), **words, out={{spec.outputs[0].name: out}})
assert torch.equal(out, found[spec.outputs[0].name])
print("right")
"""
CALLS = {
    "sinkhorn": ({"c": (19, 35)}, {}),
    "batch_norm": ({"x": (3, 4, 9), "weight": (4,), "bias": (4,)}, {"eps": 1e-3}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_compile_calls_stage_after_stage(name: str, tmp_path: Path) -> None:
    shapes, words = CALLS[name]
    env = os.environ | {"TRITON_INTERPRET": "1", "REFOLD_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", RUN.format(name=name, shapes=shapes, words=words)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert done.stdout.strip().endswith("right"), done.stderr[-2000:]
