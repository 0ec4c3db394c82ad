"""Re-association: laws of sums and maxima give forms of the same value, exactly, and each use of one is proved.

The oracle is exact: pipelines over fractions, evaluated by a few lines that know nothing of refold's laws.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

import refold
from refold import Scalar, Spec, Staged, Tensor, axes, exp, fold, log, oo, pipeline, relu, tanh, where
from refold.algebra.laws import contract, distribute, pull_map
from refold.algebra.reassociate import Reassociated, Use, reassociations
from refold.emit.staged import emit_stages
from refold.schedule.lower.kernels import kernels
from refold.spec import Fold, Index, Param, Read, Size, Where
from refold.verify import Proof, Result
from refold.verify.laws.reassociation import reassociation, used
from refold.verify.rounding.bounds import analyse
from refold.verify.rounding.kinds import Arithmetic
from refold.verify.staged import Composed

i, j, d, e, r, t = axes("i j d e r t")
EXAMPLES = {
    "sparton": ["monotone"],
    "rbf_attention": ["distribute"],
    "linear_attention": ["contract", "contract"],
    "latent_attention": ["contract", "contract"],
    "point_attention": ["distribute"],
}
# What a kernel file is told of those beside it.
HASH = re.compile(r'"[0-9a-f]{16}"')
Number = Fraction | float
Place = dict[Any, int]


# --- the oracle ----------------------------------------------------------------------------------------------------


class Exact:
    """The value of an expression over fractions; functions of numbers are made up of fractions, and do not fall."""

    def __init__(self, sizes: dict[str, int], data: dict[str, Any]) -> None:
        self.sizes, self.data = sizes, data

    def __call__(self, expr: Any, at: Place) -> Any:
        match expr:
            case Read():
                value = self.data[expr.name]
                for index in expr.indices:
                    value = value[int(self(index, at))]
                return value
            case Fold():
                values = [self(expr.body, at | {expr.axis: n}) for n in range(self.sizes[expr.axis.name])]
                return self.fold(expr.kind, values)
            case Where():
                return self(expr.args[1] if self(expr.args[0], at) else expr.args[2], at)
            case Size():
                return Fraction(self.sizes[expr.name])
            case Param():
                return self.data[expr.name]
            case Index():
                return Fraction(at[expr])
            case sp.Rational():
                return Fraction(expr.p, expr.q)
            case sp.core.numbers.NegativeInfinity():
                return -math.inf
        args = [self(a, at) for a in expr.args]
        match expr:
            case sp.Add():
                return sum(args)
            case sp.Mul():
                return math.prod(args)
            case sp.Pow():
                return args[0] ** int(args[1])
            case sp.Max():
                return max(args)
            case sp.Min():
                return min(args)
            case sp.StrictLessThan():
                return args[0] < args[1]
            case sp.StrictGreaterThan():
                return args[0] > args[1]
            case sp.exp() | sp.tanh() | sp.log():
                # A step and a ramp: of every function that does not fall the laws have to hold.
                return Fraction(int(args[0] > 0)) + min(args[0], Fraction(2)) / 3
        raise AssertionError(expr)

    def fold(self, kind: str, values: list[Any]) -> Any:
        match kind:
            case "sum":
                return sum(values, Fraction(0))
            case "max":
                return max(values, default=-math.inf)
            case "any":
                return Fraction(any(v != 0 for v in values))
        raise AssertionError(kind)


def outputs(spec: Spec, exact: Exact) -> list[Number]:
    found = []
    for o in spec.outputs:
        for at in itertools.product(*(range(exact.sizes[a.name]) for a in o.axes)):
            found.append(exact(o.expr, dict(zip(o.axes, at, strict=True))))
    return found


@st.composite
def inputs(draw: st.DrawFn, spec: Spec) -> Exact:
    sizes = {a.name: draw(st.integers(0, 3), a.name) for a in spec.axes}
    number = st.fractions(-4, 4, max_denominator=5)

    def block(shape: list[int], values: st.SearchStrategy[Any]) -> Any:
        return [block(shape[1:], values) for _ in range(shape[0])] if shape else draw(values)

    data = {t.name: block([sizes[a.name] for a in t.axes], st.integers(0, 3) if t.is_integer else number)
            for t in spec.tensors}  # fmt: skip
    return Exact(sizes, data | {p.name: abs(draw(number)) + 1 for p in spec.params})


# --- random pipelines of the kinds that laws are about ---------------------------------------------------------------

TENSORS = [
    Tensor("a", i, d),
    Tensor("b", j, d),
    Tensor("c", d, r),
    Tensor("u", j, r),
    Tensor("v", j, e),
    Tensor("w", r),
]
READS = [x[tuple(refold.spec.Axis(a.name) for a in x.axes)] for x in TENSORS]
SCALE = Scalar("g", positive=True)


@st.composite
def sums(draw: st.DrawFn) -> Spec:
    """Nested sums of products, and squares of differences, over some of the axes of what they read."""
    factors = draw(st.lists(st.sampled_from(READS), min_size=2, max_size=4))
    body = factors[0]
    if draw(st.booleans()):
        body = (factors[0] - factors[1]) ** 2
    for factor in factors[1:]:
        free = [a for a in body.expr.free_symbols if isinstance(a, Index)]
        if free and draw(st.booleans()):
            body = fold.sum(body, over=refold.spec.Axis(draw(st.sampled_from(sorted(map(str, free))))))
        body = body * factor if draw(st.booleans()) else body * (SCALE + factor)
    for name in sorted(map(str, body.expr.free_symbols - {SCALE.expr})):
        if draw(st.booleans()):
            body = fold.sum(body, over=refold.spec.Axis(name))
    rest = sorted((a for a in body.expr.free_symbols if isinstance(a, Index)), key=str)
    return pipeline(o=body[tuple(refold.spec.Axis(a.name) for a in rest)] if rest else body)


@st.composite
def maxima(draw: st.DrawFn) -> Spec:
    """The maximum of a map of data, of which a mask may let in only some positions."""
    x = Tensor("x", i, j)
    value = x[i, j]
    for _ in range(draw(st.integers(1, 4))):
        way = draw(st.integers(0, 6))
        value = [relu(value), 2 * value, value + SCALE, exp(value), tanh(value), log(1 + relu(value)), SCALE * value][
            way
        ]
    if draw(st.booleans()):
        value = where(j < Tensor("n", i, dtype="int32")[i], value, -oo)
    return pipeline(o=fold.max(value, over=j)[i])


@given(st.data())
def test_forms_of_sums_have_the_same_value(data: st.DataObject) -> None:
    spec = data.draw(sums())
    exact = data.draw(inputs(spec))
    wanted = outputs(spec, exact)
    for form in reassociations(spec):
        assert outputs(form.after, exact) == wanted, (str(spec), str(form.after))


@given(st.data())
def test_forms_of_maxima_have_the_same_value(data: st.DataObject) -> None:
    """Over nothing, and where every position is masked, too."""
    spec = data.draw(maxima())
    exact = data.draw(inputs(spec))
    wanted = outputs(spec, exact)
    for form in reassociations(spec):
        assert outputs(form.after, exact) == wanted, (str(spec), str(form.after))


@given(st.data())
def test_each_form_is_proved(data: st.DataObject) -> None:
    spec = data.draw(st.one_of(sums(), maxima()))
    for form in reassociations(spec)[:2]:
        assert all(result.verdict == "proved" for result in reassociation(form)), str(form.after)


# --- each law, its exact result --------------------------------------------------------------------------------------

q, k, v, p = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e), Tensor("p", i, j)
x = Tensor("x", i, t)


def folded(value: Any) -> Fold:
    assert isinstance(value.expr, Fold)
    return value.expr


def test_a_square_of_a_difference_becomes_a_dot() -> None:
    square = folded(fold.sum((q[i, d] - k[j, d]) ** 2, over=d))
    wanted = fold.sum(q[i, d] ** 2, over=d) - 2 * fold.sum(q[i, d] * k[j, d], over=d) + fold.sum(k[j, d] ** 2, over=d)
    assert distribute(square) == wanted.expr


def test_nested_sums_exchange_where_it_saves_work() -> None:
    values = folded(fold.sum(fold.sum(q[i, d] * k[j, d], over=d) * v[j, e], over=j))
    wanted = fold.sum(q[i, d] * fold.sum(k[j, d] * v[j, e], over=j), over=d)
    assert contract(values, frozenset("ij")) == (wanted.expr,)
    assert contract(folded(wanted), frozenset("ij")) == ()


def test_a_map_leaves_the_maximum_where_there_is_a_position() -> None:
    largest = folded(fold.max(log(1 + relu(x[i, t])), over=t))
    wanted = where(t.size > 0, log(1 + relu(fold.max(x[i, t], over=t))), -oo)
    assert pull_map(largest) == wanted.expr


@pytest.mark.parametrize(
    "value",
    [
        fold.sum((p[i, j] - fold.sum(p[i, j], over=j) / j.size) ** 2, over=j),  # no axis less, and divided by a length
        fold.sum(q[i, d] * k[j, d], over=d),  # a dot already
    ],
)
def test_what_is_not_multiplied_out(value: Any) -> None:
    assert distribute(folded(value)) is None


@pytest.mark.parametrize(
    "body",
    [-exp(x[i, t]), (x[i, t] - 1) ** 2, relu(x[i, t]) + x[i, t], SCALE * x[i, t], log(x[i, t]), exp(x[i, t]) * q[i, d]],
    ids=str,
)
def test_maps_that_stay_in_the_maximum(body: Any) -> None:
    """They may fall, vary in two places, have no value, or are no more work inside."""
    assert pull_map(folded(fold.max(body, over=t))) is None


def test_a_maximum_that_an_exponent_is_taken_from_stays_as_it_is() -> None:
    s = tanh(p[i, j])
    weight = exp(s - fold.max(s, over=j))
    assert reassociations(pipeline(o=fold.sum(weight * p[i, j], over=j)[i])) == ()


def test_a_distance_by_which_a_position_is_chosen_stays_one() -> None:
    assert reassociations(pipeline(o=fold.argmax(-SQUARE, over=j)[i])) == ()


# --- what may be no number keeps its sum ------------------------------------------------------------------------------


def test_a_weight_that_may_be_no_number_keeps_its_sum() -> None:
    """`1 / l` is 0/0 in a row without a position: multiplied outside of its sum it would be so, inside it is not."""
    key = Tensor("w", e, r)
    latent = Tensor("c", j, r)
    values = fold.sum(key[e, r] * latent[j, r], over=r)
    weight = exp(p[i, j] - fold.max(p[i, j], over=j))
    spec = pipeline(o=fold.sum(weight / fold.sum(weight, over=j) * values, over=j)[i, e])
    (form,) = reassociations(spec)
    assert [u.verdict for u in reassociation(form)] == ["proved", "proved"]
    (use,) = form.uses
    outside = fold.sum(key[e, r] * fold.sum(weight * latent[j, r], over=j), over=r) / fold.sum(weight, over=j)
    assert used(replace(use, after=outside.expr), "outside").verdict == "unknown"


def test_a_distance_that_is_multiplied_out_has_a_bound_that_says_so() -> None:
    """Of near vectors far from the origin: the bounds are those of the kernels that are emitted."""
    spec = example("rbf_attention")
    far = np.random.default_rng(5).normal(300, 1, (3, 4))
    inputs = {"q": far, "k": far[:2] + 0.5, "v": np.ones((2, 2)), "g": 0.1}
    (plan,) = stages(spec).plans
    made = (kernels(p, "f") for p in (plan, refold.derive(spec)))
    apart, written = (analyse(m, Arithmetic(block=16), inputs)["o"].bound.max() for m in made)
    assert apart > 1e3 * written


def test_an_infinite_factor_is_not_moved() -> None:
    """The maximum of a row without a position is -oo, which times 0 is no number."""
    top = fold.max(p[i, j], over=j)
    spec = pipeline(o=fold.sum(top * fold.sum(q[i, d] * k[j, d], over=d) * v[j, e], over=j)[i, e])
    assert reassociations(spec) == ()


def test_what_is_read_at_a_place_that_data_give_keeps_its_sum() -> None:
    """Off its axis it is no number, which a sum over no position does not read."""
    token = Tensor("u", e, i)[e, Tensor("n", i, dtype="int32")[i]]
    use = Use("contract", folded(fold.sum(p[i, j] * token, over=j)), (token * fold.sum(p[i, j], over=j)).expr)
    assert used(use, "outside").verdict == "unknown"


# --- wrong uses are not proved ----------------------------------------------------------------------------------------

SQUARE = fold.sum((q[i, d] - k[j, d]) ** 2, over=d)
DOT = fold.sum(q[i, d] * k[j, d], over=d)
TOP = fold.max(x[i, t], over=t)
PAIRS = fold.sum(DOT * v[j, e], over=j)


@pytest.mark.parametrize(
    ("law", "before", "after"),
    [
        ("distribute", SQUARE, fold.sum(q[i, d] ** 2, over=d) - DOT + fold.sum(k[j, d] ** 2, over=d)),
        ("distribute", SQUARE, fold.sum(q[i, d] ** 2, over=d) - 2 * DOT),
        ("contract", PAIRS, fold.sum(k[j, d], over=d) * PAIRS),
        ("contract", PAIRS, fold.sum(q[i, d], over=d) * fold.sum(k[j, d] * v[j, e], over=j)),
        ("monotone", fold.max(exp(x[i, t]), over=t), exp(TOP)),
        ("monotone", fold.max(exp(x[i, t]), over=t), where(t.size > 1, exp(TOP), -oo)),
        ("monotone", fold.max(-x[i, t], over=t), where(t.size > 0, -TOP, -oo)),
        ("monotone", fold.max(x[i, t] ** 2, over=t), where(t.size > 0, TOP**2, -oo)),
        ("monotone", fold.max(exp(x[i, t]), over=t), where(t.size > 0, exp(2 * TOP), -oo)),
        ("monotone", fold.max(q[i, d] * exp(x[i, t]), over=t), where(t.size > 0, q[i, d] * exp(TOP), -oo)),
        (
            "monotone",
            fold.max(where(t < i, exp(x[i, t]), -oo), over=t),
            where(t.size > 0, exp(fold.max(where(t < i, x[i, t], -oo), over=t)), -oo),
        ),
    ],
)
def test_a_wrong_use_is_not_proved(law: Any, before: Any, after: Any) -> None:
    assert used(Use(law, folded(before), after.expr), "wrong").verdict == "unknown"


def test_uses_that_do_not_give_the_form_are_not_proved() -> None:
    (form,) = reassociations(pipeline(o=PAIRS[i, e]))
    assert next(reassociation(form)).verdict == "proved"
    assert next(reassociation(replace(form, uses=()))).verdict == "unknown"
    other = pipeline(o=(2 * PAIRS)[i, e])
    assert next(reassociation(replace(form, before=other))).verdict == "unknown"


# --- what is chosen ---------------------------------------------------------------------------------------------------


def example(name: str) -> Spec:
    found = import_module(f"refold.examples.stages.{name}").SPEC
    assert isinstance(found, Spec)
    return found


@cache
def stages(spec: Spec) -> Any:
    return refold.stages(spec)


def form_of(spec: Spec) -> Reassociated | None:
    found = stages(spec)
    return found.form if isinstance(found, Staged) else None


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_computed_in_another_form(name: str) -> None:
    form = form_of(example(name))
    assert form is not None
    assert [use.law for use in form.uses] == EXAMPLES[name]
    assert "Re-associated" in str(stages(example(name)))


@pytest.mark.parametrize("name", EXAMPLES)
def test_computed_as_written_where_the_pipeline_says_so(name: str) -> None:
    written = replace(example(name), as_written=True)
    assert form_of(written) is None
    assert str(written).endswith("computed as written")


@pytest.mark.parametrize(("name", "other"), [("rbf_attention", True), ("latent_attention", False)])
def test_what_an_output_is_of_nothing_is_said_by_its_own_stage(name: str, other: bool) -> None:
    spec = replace(example(name), empty=sp.Integer(7))
    form = form_of(spec)
    assert (form is not None) == other
    if form is not None:
        nothing = {"q": np.ones((2, 3)), "k": np.ones((0, 3)), "v": np.ones((0, 2)), "g": 1.0}
        assert (form.after(**nothing) == 7).all()


def test_what_costs_no_less_is_computed_as_written() -> None:
    """A low-rank update: its factored norm is as much work as the norm of the sum, which no one writes to memory."""
    weight, down, up = Tensor("w", i, d), Tensor("a", r, d), Tensor("b", i, r)
    update = weight[i, d] + SCALE * fold.sum(up[i, r] * down[r, d], over=r)
    assert form_of(pipeline(o=fold.sum(update**2, over=d)[i])) is None


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_kernel_files_are_the_golden_ones(name: str, golden: Callable[[str, str], None]) -> None:
    found = stages(example(name))
    # What is emitted does not depend on the proof.
    stand_in = (Result("stand-in", "", "proved", 0.0, ""),)
    composed = Composed(found, tuple(Proof(plan, stand_in, ()) for plan in found.plans), stand_in)
    kernel = emit_stages(composed, name)
    for file, text in kernel.code.items():
        if file.startswith(name) and not file.endswith("_hopper.py"):
            golden(file, HASH.sub('"of that file"', text))
