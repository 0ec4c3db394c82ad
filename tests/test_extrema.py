"""A maximum of scaled values: an infinite anchor does not scale what no position has reached yet."""

from dataclasses import replace

import numpy as np
import pytest

from refold import Scalar, Tensor, axes, derive, exp, fold, maximum, oo, pipeline, sigmoid, tanh, where
from refold.algebra import Plan
from refold.algebra.monoid import monoid
from refold.algebra.run import run
from refold.errors import UnsupportedSpec
from refold.verify import verify

i, j = axes("i j")
x = Tensor("x", i, j)
sink = Scalar("sink")
s = where(j <= i, x[i, j], -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(top=(fold.max(p, over=j) / fold.sum(p, over=j))[i])


def test_the_unit_merges_without_a_nan() -> None:
    plan = derive(SPEC)
    assert isinstance(plan, Plan)
    form = monoid(plan)
    one = form.marked("₁")
    # -oo times exp(-oo - r') = 0 was no number: SymPy raised.
    assert set(form.combined(form.units(), one)) == set(form.combined(one, form.units())) == {*one}


def test_parts_that_hold_nothing_do_not_matter() -> None:
    plan = derive(SPEC)
    assert isinstance(plan, Plan)
    data = np.random.default_rng(0).normal(size=(3, 4))
    for order in ((0, 1, 2, 3), ((), (0, 1), (), (2, 3)), ((3,), (), (2, 1, 0))):
        np.testing.assert_allclose(run(plan, {"x": data}, order)["top"], SPEC(x=data), rtol=1e-12)


def test_the_largest_weight_is_proved() -> None:
    """`merge: associative` compared nested maxima of products, and ran out of time."""
    plan = derive(SPEC)
    assert isinstance(plan, Plan)
    report = verify(plan)
    assert report.verdict == "proved"
    (merge_,) = (r for r in report.results if r.name == "merge m2: associative")
    assert merge_.verdict == "proved"


def test_a_move_that_does_not_compose_is_not_proved_associative() -> None:
    plan = derive(SPEC)
    assert isinstance(plan, Plan)
    wrong = tuple(
        replace(a, correction=a.correction.func(a.correction.args[0], 2 * a.correction.args[1], a.correction.args[2]))
        if str(a.symbol) == "m2"
        else a
        for a in plan.accumulators
    )
    report = verify(replace(plan, accumulators=wrong))
    assert "merge m2: associative" not in {r.name for r in report.results if r.verdict == "proved"}


def test_what_no_position_has_reached_is_not_scaled_by_what_is_0_in_floats() -> None:
    """-oo times exp(sink - 1000) was NaN."""
    bounded = exp(x[i, j] - maximum(fold.max(x[i, j], over=j), sink))
    plan = derive(pipeline(top=fold.max(bounded, over=j)[i]))
    assert isinstance(plan, Plan)
    assert run(plan, {"x": np.array([[1000.0, 3.0]]), "sink": -2.0}, ((), (0,), (1,)))["top"].tolist() == [1.0]


v = Tensor("v", j)
c = 2 * tanh(3 * x[i, j])
MULTIPLES = {
    "of a factor": fold.sum(exp(c) * v[j], over=j) / (fold.sum(exp(c), over=j) + 1),
    "of a square": fold.sum(exp(x[i, j] / 4 + v[j]) ** 2, over=j) / fold.sum(exp(x[i, j] / 4 + v[j]), over=j) ** 2,
    "beside a constant": fold.sum(exp(x[i, j] + 3 - maximum(fold.max(x[i, j] + 3, over=j), sink)) * v[j], over=j),
    "of twice a bounded one": fold.sum(exp(s - maximum(fold.max(s, over=j), sink)) ** 2, over=j),
}


@pytest.mark.parametrize("name", MULTIPLES)
def test_multiples_of_one_element_have_one_maximum(name: str) -> None:
    """`2 c` against `max_j 2 c` were two elements, and `2 m` and `max_j 2 c` two maxima, with nothing known of both."""
    plan = derive(pipeline(o=MULTIPLES[name][i]))
    assert isinstance(plan, Plan)
    assert [a.reducer for a in plan.accumulators].count("max") == 1
    assert verify(plan).verdict == "proved"


def test_a_maximum_that_a_mask_makes_infinite_multiplies_no_sum() -> None:
    # sum (m x) is no number at m = -oo where x has both signs; m sum x was an infinity, and its tanh a number.
    a, b = Tensor("a", i, j), Tensor("b", i, j)
    m = fold.max(where(j <= i - 2, a[i, j], -oo), over=j)
    with pytest.raises(UnsupportedSpec, match=r"infinite where every position is masked, and multiplies a sum: give"):
        derive(pipeline(y=tanh(fold.sum(b[i, j] * m, over=j))[i]))
    for fine in (
        fold.sum(b[i, j] * tanh(m), over=j),
        fold.sum(b[i, j] * sigmoid(m), over=j),
        fold.sum(b[i, j] * maximum(m, 0), over=j),
    ):
        assert isinstance(derive(pipeline(y=fine[i])), Plan)
