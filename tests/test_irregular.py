"""Empty axes, wholly masked rows and both infinities: what comes out is proved, guards are needed where it is said."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp

from refold import Plan, Spec, Tensor, axes, derive, exp, fold, log, oo, pipeline, verify, where
from refold.algebra import State
from refold.algebra.run import run
from refold.algebra.situation import uncovered
from refold.examples import (
    causal_attention_bottom_right,
    cross_entropy,
    layer_norm,
    logsumexp,
    naive_attention,
    softmax,
)
from refold.spec.evaluate import evaluate
from refold.verify import Proof
from refold.verify.laws.guards import guards
from refold.verify.laws.irregular import outputs
from refold.verify.laws.reach import Reach
from refold.verify.laws.structure import faults
from refold.verify.obligation import discharge
from refold.verify.refute.replay import differs
from refold.verify.rounding.overflow import compare
from refold.verify.smt.query import answered

i, j, e = axes("i j e")
a, b, v = Tensor("a", i, j), Tensor("b", i, j), Tensor("v", j, e)
low, high = where(j < i, a[i, j], -oo), where(j < i, a[i, j], oo)
m = fold.max(low, over=j)
p = exp(low - m)
l = fold.sum(p, over=j)
rest = where(i < j, b[i, j], -oo)
SPECS = {
    "a logarithm beside its attention": pipeline(
        o=(fold.sum(p * v[j, e], over=j) / l)[i, e], lse=(m + log(l))[i], empty=0
    ),
    "a minimum": pipeline(o=fold.sum(exp(fold.min(high, over=j) - high) * v[j, e], over=j)[i, e]),
    "both infinities": pipeline(
        hi=m[i], lo=fold.min(high, over=j)[i], spread=(m - fold.min(high, over=j))[i]
    ),
    "a position": pipeline(at=fold.argmax(low, over=j)[i]),
    "a product": pipeline(o=fold.prod(where(j < i, a[i, j], 1), over=j)[i]),
    "any, all and count": pipeline(
        x=fold.any(j < i, over=j)[i], y=fold.all(j < i, over=j)[i], n=fold.count(j < i, over=j)[i]
    ),
    "a masked mean": pipeline(
        o=(fold.sum(where(j < i, a[i, j], 0), over=j) / fold.count(j < i, over=j))[i], empty=7
    ),
    "two masks": pipeline(
        o=(fold.sum(p * v[j, e], over=j) / fold.sum(exp(rest - fold.max(rest, over=j)), over=j))[i, e], empty=0
    ),
}  # fmt: skip
WANTED = {
    "a logarithm beside its attention": {"o": [[0.0]], "lse": [-float("inf")]},
    "a minimum": {"o": [[0.0]]},
    "both infinities": {"hi": [-float("inf")], "lo": [float("inf")], "spread": [-float("inf")]},
    "a position": {"at": [0.0]},
    "a product": {"o": [1.0]},
    "any, all and count": {"x": [0.0], "y": [0.0], "n": [0.0]},
    "a masked mean": {"o": [7.0]},
    "two masks": {"o": [[0.0]]},
}


def plan_of(spec: Spec) -> Plan:
    plan = derive(spec)
    assert isinstance(plan, Plan)
    return plan


@pytest.mark.parametrize("name", SPECS)
def test_proved_with_every_state_covered(name: str) -> None:
    plan = plan_of(SPECS[name])
    report = verify(plan)
    assert isinstance(report, Proof), str(report)
    assert uncovered(plan) == ()
    assert sum(r.name.startswith("empty ") for r in report.results) >= len(plan.finish)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("order", [(0, 1), ((0,), (1,)), ((), (0, 1)), (((), (0,)), ((1,), ()))], ids=str)
def test_a_row_that_is_all_masked(name: str, order: Any) -> None:
    # Row 0 has j < 0 nowhere: merges of merges and empty parts, and the oracle, all give what the table says.
    inputs = {"a": [[1.0, 2.0]], "b": [[3.0, 4.0]], "v": [[1.0], [2.0]]}
    spec = SPECS[name]
    given = {n: inputs[n] for n in (t.name for t in spec.tensors)}
    sizes = {x.name: {"i": 1, "j": 2, "e": 1}[x.name] for x in spec.axes}
    wanted = WANTED[name]
    if name != "two masks":  # whose second mask, i < j, leaves position 1
        assert {n: x.tolist() for n, x in evaluate(spec, {**given, **sizes}).items()} == wanted
    got = run(plan_of(spec), {**given, **sizes}, order)
    assert {n: x.tolist() for n, x in got.items()} == wanted


def test_a_choice_around_what_nothing_makes_infinite_is_taken_by_cases() -> None:
    """Of no position of e both are -oo. It was said to be no infinity, as a choice between two is none itself."""
    c = Tensor("c", i, j, e)[i, j, e]
    plan = plan_of(pipeline(x=where(j < i, fold.max(c, over=e), -oo)[i, j]))
    other = changed(plan, expr=plan.finish[0].expr.xreplace({-sp.oo: sp.oo}))
    ask = lambda o: answered(o.name, o.claim, discharge(o, plan))  # noqa: E731
    assert {r.verdict for r in outputs(plan, Reach.of(plan), ask)} == {"proved"}
    assert "refuted" in {r.verdict for r in outputs(other, Reach.of(other), ask)}


def test_reciprocals_of_what_a_mask_makes_infinite_are_numbers() -> None:
    """Such a sum was unknown, since its element was marked infinite: as that which both infinities are in reach of."""
    r = Tensor("r", i)[i]
    plan = plan_of(pipeline(y=fold.sum(1 / ((low - r) ** 2 + 1), over=j)[i]))
    assert [x.infinite for x in plan.elements] == [0] and faults(plan) == []


def changed(plan: Plan, **values: Any) -> Plan:
    return replace(plan, finish=(replace(plan.finish[0], **values), *plan.finish[1:]))


@pytest.mark.parametrize("values", [{"empty": sp.S.One}, {"guard": sp.true}], ids=["another value", "no guard"])
def test_a_wrong_value_of_nothing_is_refuted(values: dict[str, Any]) -> None:
    report = verify(changed(plan_of(causal_attention_bottom_right.SPEC), **values))
    assert report.verdict == "refuted"
    assert "refuted" in {r.verdict for r in report.results if r.name.startswith("empty o")}


def test_a_guard_that_is_needed_says_where() -> None:
    anchor, output = guards(plan_of(causal_attention_bottom_right.SPEC))
    assert [state for state, _ in anchor.fails] == ["no position of j", "j > i + |j| - |i| at every position"]
    assert str(output).splitlines()[0] == "output o is 0 unless l ≠ 0"
    assert [without for _, without in output.fails] == ["acc/l is 0/0, undefined"] * 2


def test_a_guard_that_no_state_needs_says_so() -> None:
    # y[i, j] of layer norm is asked for at a position j, so that there is one.
    assert [g.fails for g in guards(plan_of(layer_norm.SPEC)) if g.what == "output y"] == [()]


def test_what_overflows_as_written_alone() -> None:
    found = {(o.dtype, o.ours) for o in compare(plan_of(naive_attention.SPEC))}
    assert found == {("float16", False), ("bfloat16", False), ("float32", False)}
    assert compare(plan_of(softmax.SPEC)) == ()
    assert not any(o.ours for o in compare(plan_of(cross_entropy.SPEC)))


def test_what_overflows_in_the_fused_form_alone() -> None:
    # A plan that shifts by 0: right over the reals, and of no use in floats.
    plan = plan_of(softmax.SPEC)
    unshifted = replace(
        plan, anchors=tuple(replace(x, expr=sp.S.Zero, regular=sp.true, default=sp.S.Zero) for x in plan.anchors)
    )
    assert {o.ours for o in compare(unshifted)} == {True}


@pytest.mark.parametrize("value", [0, -1000], ids=str)
def test_a_number_for_the_logarithm_of_nothing_is_refuted(value: int) -> None:
    # -oo differs from every finite number, by more than any tolerance.
    wrong = changed(plan_of(logsumexp.SPEC), guard=sp.Gt(State("m"), -sp.oo, evaluate=False), empty=sp.Integer(value))
    report = verify(wrong)
    assert report.verdict == "refuted", str(report)
    example = next(r.counterexample for r in report.results if r.counterexample is not None)
    assert "[-inf]" in example.wanted and f"{value}." in example.got
    assert not differs({"y": np.array([np.inf, -np.inf, 1.0])}, {"y": np.array([np.inf, -np.inf, 1.0])})
    assert all(differs({"y": np.array(w)}, {"y": np.array(g)}) for w, g in ((np.inf, -np.inf), (0.0, np.inf)))
