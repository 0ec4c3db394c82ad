"""Sums of several weights, sums that others determine, centred moments, and the fewest sums of any linear state."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.algebra import Plan, derive
from refold.algebra.least import Least, least
from refold.algebra.run import Order, run
from refold.errors import SpecError, UnsupportedSpec
from refold.spec import Spec
from refold.spec.serial import dumps, loads
from refold.verify import Proof, verify
from refold.verify.laws.obligations import finishes
from refold.verify.laws.reach import Reach
from refold.verify.obligation import discharge
from refold.verify.rounding.forms import both_forms

i, j = axes("i j")
X, Y, V = (Tensor(name, i, j)[i, j] for name in ("x", "y", "v"))
ORDERS: tuple[Order | None, ...] = (None, (0, (1, 2), (3, ())), ((3, 1), (), (2, 0)))
NUMBERS = st.floats(-4, 4, allow_subnormal=False).map(lambda x: round(x, 3))
ROWS = st.lists(NUMBERS, min_size=4, max_size=4)


def softmax(x: Any) -> Any:
    p = exp(x - fold.max(x, over=j))
    return p / fold.sum(p, over=j)


def mean(x: Any) -> Any:
    return fold.sum(x, over=j) / j.size


def plan_of(spec: Spec) -> Plan:
    plan = derive(spec)
    assert isinstance(plan, Plan), str(plan)
    return plan


@cache
def example(name: str) -> Plan:
    return plan_of(importlib.import_module(f"refold.examples.{name}").SPEC)


def carried(plan: Plan) -> list[str]:
    return [str(a.symbol) for a in plan.accumulators]


def probabilities(row: Sequence[float]) -> list[float]:
    weights = [math.exp(x - max(row)) for x in row]
    return [w / math.fsum(weights) for w in weights]


def agrees(plan: Plan, inputs: dict[str, list[float]], wanted: float, scale: float = 1.0) -> None:
    given_ = {t.name: [inputs[t.name]] for t in plan.spec.tensors}
    for order in ORDERS:
        (got,) = run(plan, given_, order).values()
        assert float(got[0]) == pytest.approx(wanted, rel=1e-9, abs=1e-9 * scale)


# --- sums of several weights ------------------------------------------------------------------------------------

TERMS: dict[str, tuple[Any, Callable[..., float]]] = {
    "softmax of x": (softmax(X), lambda p, q, x, y, n: p),
    "softmax of y": (softmax(Y), lambda p, q, x, y, n: q),
    "both": (softmax(X) * softmax(Y), lambda p, q, x, y, n: p * q),
    "uniform": (1 / j.size, lambda p, q, x, y, n: 1 / n),
    "data": (Y, lambda p, q, x, y, n: y),
}


@settings(max_examples=12)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(TERMS)), st.integers(-2, 2).filter(bool)), min_size=1, max_size=3,
             unique_by=lambda term: term[0]),
    st.integers(1, 2), ROWS, ROWS, ROWS,
)  # fmt: skip
def test_terms_of_different_weights_are_sums_of_their_own(
    terms: list[tuple[str, int]], power: int, x: list[float], y: list[float], v: list[float]
) -> None:
    """By plain floats over the formula: every term has its own law, and none has a rank above 1."""
    body = sum((factor * TERMS[name][0] for name, factor in terms), 0 * V)
    plan = plan_of(pipeline(o=fold.sum(body**power * V, over=j)[i]))
    assert max(a.rank for a in plan.accumulators) == 1
    p, q, n = probabilities(x), probabilities(y), len(x)
    bodies = [sum(f * TERMS[name][1](*at, n) for name, f in terms) for at in zip(p, q, x, y, strict=True)]
    agrees(plan, {"x": x, "y": y, "v": v}, math.fsum(b**power * w for b, w in zip(bodies, v, strict=True)), 100)


def test_differential_attention_divides_nothing_in_its_loop() -> None:
    """It was one state of rank 2, whose correction divided by both sums in every tile."""
    plan = example("differential_attention")
    assert plan.kind == "F" and carried(plan) == ["m", "l", "acc", "m2", "l2", "acc2"]
    loop = sp.Tuple(*(part for a in plan.accumulators for part in (a.element, a.correction)))
    assert not any(n.is_Pow and n.exp.is_negative for n in sp.preorder_traversal(loop))


def test_a_product_of_two_softmaxes_needs_no_maximum_of_their_sum() -> None:
    """`x - max x + y - max y <= 0` by the two maxima that are there."""
    plan = plan_of(pipeline(o=fold.sum(softmax(X) * softmax(Y), over=j)[i]))
    assert sorted(carried(plan)) == ["l", "l2", "l3", "m", "m2"]
    assert isinstance(verify(plan), Proof)


def test_a_moment_about_a_mean_is_not_cut() -> None:
    """`(x - mean)^2` apart is x^2, of any size beside what it adds up to."""
    for body in ((X - mean(X)) ** 2, softmax(Y) * (X - fold.sum(softmax(Y) * X, over=j)) ** 2):
        assert not any(step.rule == "split" for step in plan_of(pipeline(o=fold.sum(body, over=j)[i])).steps)


# --- sums that others determine ---------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.lists(st.integers(-9, 9), min_size=4, max_size=4, unique=True), st.lists(st.integers(-9, 9), min_size=4,
       max_size=4))  # fmt: skip
def test_a_residual_is_that_of_the_normal_equations(x: list[int], y: list[int]) -> None:
    """In fractions, by the solution of the 2 x 2 system, which has nothing of moments about a mean."""
    n, sx, sy = len(x), sum(x), sum(y)
    sxx, sxy = sum(a * a for a in x), sum(a * b for a, b in zip(x, y, strict=True))
    slope = Fraction(n * sxy - sx * sy, n * sxx - sx * sx)
    rise = (sy - slope * sx) / n
    wanted = sum((b - rise - slope * a) ** 2 for a, b in zip(x, y, strict=True))
    plan = example("regression_residual")
    agrees(plan, {"x": [float(a) for a in x], "y": [float(b) for b in y]}, float(wanted), 100)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("regression_residual", ["n", "mean", "M2", "mean2", "t", "M2_2"]),
        ("weighted_covariance", ["m", "l", "acc", "acc2", "t"]),
        ("score_variance", ["m", "l", "acc", "t"]),
        ("score_variance_raw", ["m", "l", "acc", "acc2"]),
        ("brier_score", ["m", "l", "l2", "acc", "t"]),
    ],
)
def test_second_moments_and_no_more_are_carried(name: str, names: list[str]) -> None:
    plan = example(name)
    assert carried(plan) == names
    found = least(plan)
    assert found is not None and found.shown


def test_what_is_0_is_not_moved() -> None:
    """`sum p (x - r)` is 0 for r = (sum p x)/(sum p): the correction of a covariance held it twice."""
    (t,) = (a for a in example("weighted_covariance").accumulators if str(a.symbol) == "t")
    assert t.family is not None and [v for v in t.family.values if v == 0] == [0, 0]
    assert not t.correction.free_symbols & {a.symbol for a in example("weighted_covariance").accumulators
                                       if str(a.symbol).startswith("acc")}  # fmt: skip


def test_a_sum_that_is_0_is_carried_by_nothing() -> None:
    plan = plan_of(pipeline(o=fold.sum(X - mean(X), over=j)[i]))
    assert plan.accumulators == () and plan.finish[0].expr == 0


def test_a_sum_about_a_mean_stays_beside_the_sums_that_determine_it() -> None:
    """`M2 = sum x^2 - n mean^2` cancels; `sum x^2 = M2 + n mean^2` does not."""
    plan = plan_of(pipeline(a=fold.sum(X**2, over=j)[i], b=fold.sum((X - mean(X)) ** 2, over=j)[i]))
    assert carried(plan) == ["n", "mean", "M2"]


def test_a_wrong_multiple_is_not_proved() -> None:
    """What others determine is proved by its reading: with another factor there is no proof."""
    plan = plan_of(pipeline(a=fold.sum((X - mean(X)) * (Y - mean(Y)), over=j)[i],
                            b=fold.sum((mean(X) - X) * (Y - mean(Y)), over=j)[i]))  # fmt: skip
    (flipped,) = (r for r in plan.readings if any(c == -1 for _, c in r.terms))
    ((symbol, _),) = flipped.terms
    wrong = replace(flipped, expr=symbol, terms=((symbol, sp.S.One),))
    forged = replace(plan, readings=tuple(wrong if r is flipped else r for r in plan.readings))
    name = f"reading {plan.readings.index(flipped) + 1}"
    verdicts = {
        made: discharge(next(o for o in finishes(made, Reach.of(made)) if o.name == name), made).verdict
        for made in (plan, forged)
    }
    assert verdicts[plan] == "proved" and verdicts[forged] != "proved"


# --- centred moments --------------------------------------------------------------------------------------------


def raw(degree: int, expect: Callable[[Any], Any]) -> Any:
    """A central moment by raw ones, by the binomial formula."""
    r = expect(X)
    powers = [1, *(expect(X**k) for k in range(1, degree + 1))]
    return sum((math.comb(degree, k) * powers[k] * (-r) ** (degree - k) for k in range(1, degree + 1)), (-r) ** degree)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("degree", [2, 3, 4])
def test_central_moments_by_raw_ones_are_centred(degree: int, weighted: bool) -> None:
    spec = pipeline(c=raw(degree, (lambda f: fold.sum(softmax(Y) * f, over=j)) if weighted else mean)[i], centred=True)
    plan = plan_of(spec)

    @settings(max_examples=10)
    @given(ROWS, ROWS)
    def check(x: list[float], y: list[float]) -> None:
        p = probabilities(y) if weighted else [1 / len(x)] * len(x)
        r = math.fsum(a * b for a, b in zip(p, x, strict=True))
        far = [a + 1e4 for a in x]  # raw moments lose 8 digits of 16 there, and more for higher ones
        wanted = math.fsum(a * (b - r) ** degree for a, b in zip(p, x, strict=True))
        for order in ORDERS:
            (got,) = run(plan, {t.name: [far if t.name == "x" else y] for t in spec.tensors}, order).values()
            assert float(got[0]) == pytest.approx(wanted, rel=1e-6, abs=1e-6)

    check()


def test_what_is_no_difference_of_moments_has_no_centred_form() -> None:
    for value in (mean(X**2), mean(X * Y) - mean(X), fold.sum(softmax(X) * V, over=j)):
        with pytest.raises(UnsupportedSpec, match=r"centred=True, and no output is a difference of moments"):
            derive(pipeline(o=value[i], centred=True))


def test_an_output_of_that_name_is_told_apart() -> None:
    with pytest.raises(SpecError, match="centred= is True or False"):
        pipeline(o=mean(X)[i], centred=mean(X)[i])  # type: ignore[arg-type]


def test_the_preference_is_part_of_the_pipeline() -> None:
    spec = example("score_variance").spec
    assert spec.centred and loads(dumps(spec)) == spec and spec != replace(spec, centred=False)


def test_both_forms_have_their_bounds() -> None:
    written, centred = both_forms(example("score_variance_raw"))
    assert not written.centred and centred.centred
    assert centred.bounds[1] < written.bounds[1] / 100 and written.bounds[0] < written.bounds[1]
    assert both_forms(example("score_variance")) == (written, centred)
    assert both_forms(example("attention")) == ()


# --- the fewest sums --------------------------------------------------------------------------------------------


def shown(plan: Plan) -> Least:
    found = least(plan)
    assert found is not None
    return found


def determinant(rows: list[list[Fraction]]) -> Fraction:
    """By elimination, which shares nothing with cofactors."""
    rows, value = [row[:] for row in rows], Fraction(1)
    for n in range(len(rows)):
        pivot = next((k for k in range(n, len(rows)) if rows[k][n]), None)
        if pivot is None:
            return Fraction(0)
        if pivot != n:
            rows[n], rows[pivot], value = rows[pivot], rows[n], -value
        value *= rows[n][n]
        for k in range(n + 1, len(rows)):
            factor = rows[k][n] / rows[n][n]
            rows[k] = [a - factor * b for a, b in zip(rows[k], rows[n], strict=True)]
    return value


@pytest.mark.parametrize(("name", "power", "count"), [("layer_norm", 2, 3), ("kurtosis", 4, 5)])
def test_samples_of_moments_are_what_fractions_give(name: str, power: int, count: int) -> None:
    """Every row anew: the elements less the mean of them and of what is added, to a power, or themselves."""
    found = shown(example(name))
    assert found.shown and len(found.rows) == count
    columns = [Fraction(int(c.p), int(c.q)) for c in found.columns]
    rows = []
    for row in found.rows:
        added = [Fraction(int(a)) for a in row.added]
        r = sum(columns + added, Fraction(0)) / (len(columns) + len(added))
        r = r * (len(columns) + len(added)) / (3 * len(columns) + 2)  # as written the sum is over the axis' length
        k = row.fold.body.exp if isinstance(row.fold.body, sp.Pow) else 0
        rows.append([(c - r) ** int(k) if k else c for c in columns])
        assert rows[-1] == [Fraction(int(e.p), int(e.q)) for e in row.entries]
    value = determinant(rows)
    assert value != 0 and found.enclosure == (str(value), str(value))
    assert power in {int(r.fold.body.exp) for r in found.rows if isinstance(r.fold.body, sp.Pow)}


def test_one_sum_too_many_is_not_called_the_least() -> None:
    """A mean is carried with the number of positions, which `sum p (y - mean y)` does without: 3 functions do."""
    plan = plan_of(pipeline(o=fold.sum(softmax(X) * (Y - mean(Y)), over=j)[i]))
    found = shown(plan)
    assert len(found.sums) == 4 and len(found.rows) == 3 and not found.shown
    assert "3 at least; whether fewer than 4 would do is not known" in str(plan)


def test_what_no_sample_shows_is_not_known() -> None:
    assert least(example("window_attention")) is None
    assert "whether fewer would do is not known" in str(example("window_attention"))


def test_a_root_of_moments_is_centred_inside() -> None:
    spread = (mean(X**2) - mean(X) ** 2) * (mean(Y**2) - mean(Y) ** 2)
    spec = pipeline(r=((mean(X * Y) - mean(X) * mean(Y)) / sqrt(spread))[i], centred=True)
    assert carried(plan_of(spec)) == ["n", "mean", "M2", "mean2", "M2_2", "t"]
