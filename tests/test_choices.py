"""Choices written out, and divisors, logarithms and roots that a choice keeps from what has no value."""

from typing import Any

import pytest

from refold import Plan, Tensor, absolute, axes, cos, derive, exp, fold, log, maximum, oo, pipeline, sqrt, verify, where
from refold.algebra.choices import write_out
from refold.errors import UnsupportedSpec
from refold.spec.mathematics import text

i, j = axes("i j")
x, u, kept = Tensor("x", i, j)[i, j], Tensor("u", i, j)[i, j], Tensor("kept", j, dtype="int32")[j]
s = where(j < i, x, -oo)


def total(body: Any) -> Any:
    return fold.sum(body, over=j)


@pytest.mark.parametrize(
    ("expr", "wanted"),
    [
        (total(s * exp(s)), "Σ_j (x[i,j]·exp(x[i,j]) where j < i, else 0)"),
        (total(exp(s) * u), "Σ_j u[i,j]·exp((x[i,j] where j < i, else -∞))"),
        (fold.argmax(s * exp(s), over=j), "argmax_j (x[i,j]·exp(x[i,j]) where j < i, else -∞)"),
        (total(where(j < i, s, 0) * u), "Σ_j u[i,j]·(x[i,j] where j < i, else 0)"),
        (total(where(j < i, where(j >= i, x, u), 0)), "Σ_j (u[i,j] where j < i, else 0)"),
        (fold.max(where(kept > 0, s, -oo), over=j), "max_j (x[i,j] where kept[j] > 0 and j < i, else -∞)"),
        (fold.max(s + where(kept > 0, 0, -oo), over=j), "max_j (x[i,j] where kept[j] > 0 and j < i, else -∞)"),
        # A fold binds its axis: what is known of the j outside is nothing known of this one.
        (where(j < i, total(where(j < i, x, 0)), 0), "(Σ_j (x[i,j] where j < i, else 0) where j < i, else 0)"),
        # Of two infinities, 0 times the second has no value where the first makes it 0.
        (
            total(exp(s) * where(kept > 0, u, -oo)),
            "Σ_j ((u[i,j] where kept[j] > 0, else -∞)·exp((x[i,j] where j < i, else -∞)) "
            "where kept[j] > 0 or j < i, else 0)",
        ),
    ],
)
def test_a_choice_is_its_branch_and_what_has_no_value_is_left_out(expr: Any, wanted: str) -> None:
    assert text(write_out(expr.expr)) == wanted


def test_a_divisor_leaves_a_masked_sum_beside_whether_there_is_anything_in_it() -> None:
    plan = derive(pipeline(o=total(where(j < i, x / total(u), 0))[i]))
    assert isinstance(plan, Plan)
    assert [(str(a.symbol), a.reducer) for a in plan.accumulators] == [("t", "sum"), ("t2", "sum"), ("any", "any")]
    (finish,) = plan.finish
    assert text(finish.guard) == "any ≠ 0" and finish.empty == 0
    # What tells it already: a sum of weights is 0 where nothing counts, and there alone.
    p = exp(s - fold.max(s, over=j))
    entropy = derive(pipeline(h=(-total(where(j < i, p / total(p) * log(p / total(p)), 0)))[i]))
    assert isinstance(entropy, Plan)
    assert {a.reducer for a in entropy.accumulators} == {"max", "sum"}
    assert text(entropy.finish[0].guard) == "l ≠ 0" and entropy.finish[0].empty == 0


BOUNDED = maximum(total(u), 0.01)


@pytest.mark.parametrize(
    ("refused", "bounded", "message"),
    [
        (
            where(j < i, x * log(total(u)), 0),
            where(j < i, x * log(BOUNDED), 0),
            r"multiplies inside of a sum what a con",
        ),
        (where(j < i, x * sqrt(total(u)), 0), where(j < i, x * sqrt(BOUNDED), 0), r"multiply the sum by it"),
        ((x - log(total(absolute(u)))) ** 2, (x - log(BOUNDED)) ** 2, r"for a part of j: bound it, as in log\(max\("),
        (u * (x - sqrt(total(u))), u * (x - sqrt(BOUNDED)), r"as in √max\(1/100, Σ_j u\[i,j\]\)"),
        (cos(x - log(total(u))), cos(x - log(BOUNDED)), r"another fold reads log\(Σ_j u\[i,j\]\), which may have no"),
    ],
    ids=["a factor: log", "a factor: root", "an anchor: log of magnitudes", "an anchor: root", "an anchor: log"],
)
def test_what_has_no_value_for_some_data_is_refused_with_advice_that_helps(
    refused: Any, bounded: Any, message: str
) -> None:
    with pytest.raises(UnsupportedSpec, match=message):
        derive(pipeline(o=total(refused)[i]))
    plan = derive(pipeline(o=total(bounded)[i]))
    assert isinstance(plan, Plan)
    report = verify(plan)
    assert report.verdict == "proved", str(report)


def test_such_a_factor_leaves_a_sum_of_all_positions() -> None:
    plan = derive(pipeline(o=total(x * log(total(u)))[i]))
    assert isinstance(plan, Plan) and verify(plan).verdict == "proved"
