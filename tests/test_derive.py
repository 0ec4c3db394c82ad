"""Derived plans: their text, their accumulators, and that any order and any split of them gives what was written."""

from __future__ import annotations

import importlib
import runpy
from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from itertools import permutations
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import NAMES

from refold import (
    Plan,
    Spec,
    Tensor,
    axes,
    cos,
    derive,
    exp,
    fold,
    log,
    maximum,
    minimum,
    oo,
    pipeline,
    relu,
    sigmoid,
    sqrt,
    tanh,
    where,
)
from refold.algebra import Refusal
from refold.algebra.display import refusal_sections
from refold.algebra.run import Order, run
from refold.algebra.sample import NoValue, Sample
from refold.errors import UnsupportedSpec

REFUSED = Path(__file__).parent / "refused"
PROFILE = settings(max_examples=20, suppress_health_check=list(HealthCheck), derandomize=True)

i, j = axes("i j")
x, y = Tensor("x", i, j), Tensor("y", i, j)
MEAN = fold.sum(x[i, j], over=j) / j.size
Z = x[i, j] - MEAN


def example(name: str) -> Spec:
    spec: Spec = importlib.import_module(f"refold.examples.{name}").SPEC
    return spec


def plan_of(spec: Spec) -> Plan:
    plan = derive(spec)
    assert isinstance(plan, Plan), str(plan)
    return plan


def same(spec: Spec, plan: Plan, inputs: dict[str, Any], order: Order | None) -> None:
    """The plan run in this order gives what the spec says."""
    wanted = spec(**inputs)
    wanted = wanted if isinstance(wanted, dict) else {spec.outputs[0].name: wanted}
    got = run(plan, inputs, order)
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        assert got[name].shape == value.shape
        np.testing.assert_allclose(got[name], value, rtol=1e-7, atol=1e-7)


@st.composite
def orders(draw: st.DrawFn, length: int) -> Order:
    """A random tree of merges over a random order of the positions, empty parts included."""
    parts: list[Order] = list(draw(st.permutations(range(length)))) + [()] * draw(st.integers(0, 2))
    while len(parts) > 1:
        at = draw(st.integers(0, len(parts) - 2))
        parts[at : at + 2] = [tuple(parts[at : at + 2])]
    return parts[0] if parts else ()


@st.composite
def cases(draw: st.DrawFn, spec: Spec, axis: str, shortest: int = 0) -> tuple[dict[str, Any], Order]:
    """Inputs of random sizes, near ties and large values among them, and an order of the fold axis."""
    sizes = {a.name: draw(st.integers(1, 3)) for a in spec.axes} | {axis: draw(st.integers(shortest, 5))}
    if "g" in sizes:
        sizes["h"] = 2 * sizes["g"]
    if "r" in sizes:  # pages for every position
        sizes["r"] = max(1, sizes[axis])
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    scale = draw(st.sampled_from([0.0, 1.0, 3.0]))
    inputs: dict[str, Any] = {}
    for tensor in spec.tensors:
        shape = [sizes[a.name] for a in tensor.axes]
        if tensor.name == "table":
            inputs[tensor.name] = rng.integers(0, sizes["n"], shape)
        elif tensor.is_integer:
            inputs[tensor.name] = np.where(
                rng.random(shape) < 0.7, rng.integers(0, max(1, sizes.get("c", 2)), shape), -100
            )
        else:
            inputs[tensor.name] = np.round(scale * rng.normal(size=shape), draw(st.sampled_from([0, 3])))
    for param in spec.params:
        inputs[param.name] = 2 if param.is_integer else 0.5
    return inputs | sizes, draw(orders(sizes[axis]))


SHORTEST = {"kurtosis": 2}


@pytest.mark.parametrize("name", NAMES)
def test_any_split_gives_what_is_written(name: str) -> None:
    spec = example(name)
    plan = plan_of(spec)

    @PROFILE
    @given(cases(spec, plan.axis.name, SHORTEST.get(name, 0)))
    def check(case: tuple[dict[str, Any], Order]) -> None:
        inputs, order = case
        if name == "kurtosis":  # 0/0 for a constant row, which rounding may miss by a little
            inputs["x"] = inputs["x"] + np.arange(inputs["j"])
        same(spec, plan, inputs, order)

    check()


def test_every_order_of_three() -> None:
    spec = example("causal_attention_bottom_right")
    plan = plan_of(spec)
    rng = np.random.default_rng(0)
    inputs = {"q": rng.normal(size=(5, 2)), "k": rng.normal(size=(3, 2)), "v": rng.normal(size=(3, 1))}
    for a, b, c in permutations(range(3)):
        for order in (((a, b), c), (a, (b, c)), ((), a, ((b,), ()), c)):
            same(spec, plan, inputs, order)


def test_large_logits() -> None:
    spec = example("attention")
    plan = plan_of(spec)
    rng = np.random.default_rng(0)
    inputs = {"q": 100 * rng.normal(size=(2, 4)), "k": 100 * rng.normal(size=(5, 4)), "v": rng.normal(size=(5, 3))}
    same(spec, plan, inputs, ((0, 1), (), (4, 3), 2))


def test_order_names_every_position_once() -> None:
    plan = plan_of(example("softmax"))
    for order in ((0, 1), (0, 1, 1), (0, 1, 3)):
        with pytest.raises(ValueError, match="the order has to name each of the positions 0 to 2 of axis j once"):
            run(plan, {"x": [[1.0, 2.0, 3.0]]}, order)


# --- random pipelines ---------------------------------------------------------------------------------------------

ANCHORS: dict[str, Callable[[Any], Any]] = {
    "max": lambda c: fold.max(c, over=j),
    "min": lambda c: fold.min(c, over=j),
    "mean": lambda c: fold.sum(c, over=j) / j.size,
    "sum": lambda c: fold.sum(c, over=j),
    "lse": lambda c: fold.logsumexp(c, over=j),
}
BODIES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "shift": lambda c, r, w: c - r,
    "weighted shift": lambda c, r, w: w * (c - r),
    "power": lambda c, r, w: (c - r) ** 3,
    "weighted": lambda c, r, w: w * (c - r) ** 2,
    "exp": lambda c, r, w: w * exp(c - r),
    "entropy": lambda c, r, w: (c - r) * exp(c - r),
    "rotation": lambda c, r, w: cos(c - r),
    "scaled": lambda c, r, w: (c / j.size - r) ** 2,
    "factor": lambda c, r, w: c * r + w,
    "two": lambda c, r, w: (c - r) * (w - ANCHORS["mean"](w)),
    "gaussian": lambda c, r, w: exp(c - r) * (w - ANCHORS["max"](w)),
    "three levels": lambda c, r, w: (w - fold.sum(w * exp(c - r), over=j)) ** 2,
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("anchor", ANCHORS)
def test_random_pipeline(anchor: str, body: str) -> None:
    term = BODIES[body](x[i, j], ANCHORS[anchor](x[i, j]), y[i, j])
    spec = pipeline(t=fold.sum(term, over=j)[i])
    plan = plan_of(spec)

    @settings(PROFILE, max_examples=5)
    @given(cases(spec, "j", 1))
    def check(case: tuple[dict[str, Any], Order]) -> None:
        same(spec, plan, *case)

    check()


@pytest.mark.parametrize("reducer", ["max", "min", "prod", "argmax"])
def test_other_reducers(reducer: str) -> None:
    body = exp(Z) if reducer == "prod" else x[i, j] - fold.max(x[i, j], over=j)
    spec = pipeline(t=getattr(fold, reducer)(body, over=j)[i])
    plan = plan_of(spec)

    @settings(PROFILE, max_examples=10)
    @given(cases(spec, "j"))
    def check(case: tuple[dict[str, Any], Order]) -> None:
        same(spec, plan, *case)

    check()


def test_masked_argmax_and_booleans() -> None:
    s = where(j > i, x[i, j], -oo)
    spec = pipeline(
        at=fold.argmax(s, over=j)[i], n=fold.count(j > i, over=j)[i], any=fold.any(j > i, over=j)[i],
        all=fold.all(j > i, over=j)[i],
    )  # fmt: skip
    plan = plan_of(spec)
    for order in (None, (3, 2, 1, 0), ((), 0, (1, (), 3), 2)):
        same(spec, plan, {"x": [[2.0, 1.0, 2.0, 2.0]] * 4}, order)


# --- what was derived -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_text(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{name}.txt", f"{plan_of(example(name))}\n")


@pytest.mark.parametrize("path", sorted(REFUSED.glob("*.py")), ids=lambda path: path.stem)
def test_text_of_refusal(path: Path, golden: Callable[[str, str], None]) -> None:
    golden(f"refused/{path.stem}.txt", f"{derive(runpy.run_path(str(path))['SPEC'])}\n")


def moment(k: int) -> Spec:
    return pipeline(t=(fold.sum(Z**k, over=j) / j.size)[i])


@pytest.mark.parametrize(
    ("spec", "rank", "accumulators"),
    [
        (moment(2), 3, ["n", "mean", "M2"]),
        (moment(3), 4, ["n", "mean", "M2", "M3"]),
        (moment(4), 5, ["n", "mean", "M2", "M3", "M4"]),
        (example("kurtosis"), 5, ["n", "mean", "M2", "M3", "M4"]),
        (example("layer_norm"), 3, ["n", "mean", "M2"]),
        (example("covariance"), 4, ["n", "mean", "mean2", "t"]),
        (example("entropy"), 2, ["m", "l", "t"]),
        (example("circular_mean"), 2, ["n", "mean", "t2", "t"]),
        (example("attention"), 1, ["m", "l", "acc"]),
        (example("naive_attention"), 1, ["m", "l", "acc"]),
        (example("sigmoid_attention"), 1, ["t"]),
    ],
    ids=["variance", "third", "fourth", "kurtosis", "layer_norm", "covariance", "entropy", "cos", "attention", "naive",
         "sigmoid"],
)  # fmt: skip
def test_rank_and_accumulators(spec: Spec, rank: int, accumulators: list[str]) -> None:
    plan = plan_of(spec)
    assert max(a.rank for a in plan.accumulators) == rank
    assert sorted(str(a.symbol) for a in plan.accumulators) == sorted(accumulators)


def test_chan_golub_leveque() -> None:
    plan = plan_of(moment(2))
    m2 = next(a for a in plan.accumulators if str(a.symbol) == "M2")
    names = {str(s): s for s in m2.correction.free_symbols}
    wanted = names["M2"] + names["n"] * (names["mean"] - names["mean′"]) ** 2
    assert sp.expand(m2.correction - wanted) == 0


@pytest.mark.parametrize(
    ("name", "kind"), [("sigmoid_attention", "F0"), ("logsumexp", "F"), ("attention", "F"), ("entropy", "R")]
)
def test_class(name: str, kind: str) -> None:
    assert plan_of(example(name)).kind == kind


# --- refusals ---------------------------------------------------------------------------------------------------


def refusal(body: Any) -> Refusal:
    refused = derive(pipeline(t=fold.sum(body, over=j)[i]))
    assert isinstance(refused, Refusal)
    return refused


def test_determinant_of_reciprocal_in_fractions() -> None:
    """By cofactors, and by Cauchy's formula: det 1/(a_i + b_j) = prod (a_k - a_i)(b_k - b_i) / prod (a_i + b_j)."""
    proof = refusal(1 / (x[i, j] + fold.sum(x[i, j], over=j))).evidence
    assert proof is not None
    rows, columns = [Fraction(int(r)) for r in proof.rows], [Fraction(int(c)) for c in proof.columns]

    def det(m: list[list[Fraction]]) -> Fraction:
        if not m:
            return Fraction(1)
        return sum(((-1) ** n * top * det([row[:n] + row[n + 1 :] for row in m[1:]]) for n, top in enumerate(m[0])),
                   Fraction(0))  # fmt: skip

    def product(factors: list[Fraction]) -> Fraction:
        return reduce(lambda a, b: a * b, factors, Fraction(1))

    value = det([[1 / (r + c) for c in columns] for r in rows])
    pairs = [(a, b) for b in range(len(rows)) for a in range(b)]
    cauchy = product([(rows[b] - rows[a]) * (columns[b] - columns[a]) for a, b in pairs])
    assert value == cauchy / product([r + c for r in rows for c in columns])
    assert value != 0
    assert Fraction(int(proof.determinant.p), int(proof.determinant.q)) == value


HIDDEN = where(j <= i, x[i, j], -oo)


@pytest.mark.parametrize(
    "value",
    [
        fold.sum(y[i, j] * sqrt(fold.sum(HIDDEN**2, over=j) / j.size), over=j),
        fold.sum(y[i, j] - fold.sum(HIDDEN, over=j) / j.size, over=j),
        fold.max(y[i, j] - fold.max(abs(HIDDEN), over=j), over=j),
        fold.sum(y[i, j] * (1 + fold.min(HIDDEN, over=j)), over=j),
    ],
    ids=["a sum of squares", "a mean", "a maximum of magnitudes", "a minimum"],
)
def test_no_fold_reads_what_one_hidden_position_makes_infinite(value: Any) -> None:
    with pytest.raises(UnsupportedSpec, match="is infinite as soon as one position is masked"):
        derive(pipeline(t=value[i]))


def test_a_mask_that_adds_nothing_or_an_output_that_it_makes_infinite_is_not_refused() -> None:
    top = fold.max(HIDDEN, over=j)
    for value in (
        fold.sum(exp(HIDDEN - top) * HIDDEN, over=j),
        fold.sum(y[i, j] * (top + fold.min(-HIDDEN, over=j)), over=j),
        fold.max(abs(HIDDEN), over=j),
        fold.sum(y[i, j] * HIDDEN, over=j),
    ):
        assert isinstance(derive(pipeline(t=value[i])), Plan)


@pytest.mark.parametrize("name", ["log_shift", "exp_product", "reciprocal"])
def test_determinant_by_intervals(name: str) -> None:
    refused = derive(runpy.run_path(str(REFUSED / f"{name}.py"))["SPEC"])
    assert isinstance(refused, Refusal)
    proof = refused.evidence
    assert proof is not None
    g: dict[str, Callable[[Any, Any], Any]] = {
        "log_shift": lambda r, c: mpmath.iv.log(r + c),
        "exp_product": lambda r, c: mpmath.iv.exp(r * c),
        "reciprocal": lambda r, c: 1 / (r + c),
    }
    mpmath.iv.dps = 60
    rows, columns = [mpmath.iv.mpf(int(r)) for r in proof.rows], [mpmath.iv.mpf(int(c)) for c in proof.columns]

    def det(m: list[list[Any]]) -> Any:
        if len(m) == 1:
            return m[0][0]
        return sum((-1) ** n * m[0][n] * det([row[:n] + row[n + 1 :] for row in m[1:]]) for n in range(len(m)))

    value = det([[g[name](r, c) for c in columns] for r in rows])
    assert 0 not in value
    low, high = (float(end) for end in proof.enclosure) if name != "reciprocal" else (float(proof.determinant),) * 2
    assert low == pytest.approx(float(value.mid), rel=1e-6)
    assert high == pytest.approx(float(value.mid), rel=1e-6)
    assert len(rows) == len(columns) == 5


R = fold.sum(x[i, j], over=j)


@pytest.mark.parametrize(
    "body",
    [
        tanh(x[i, j] - R),
        sigmoid(x[i, j] - R),
        abs(x[i, j] - R),
        maximum(x[i, j] - R, 0),
        maximum(-x[i, j] - 2 * R, 0),
        sqrt(x[i, j] - R),
    ],
    ids=["tanh", "sigmoid", "absolute", "0 up to r", "0 from -2r", "no real number up to r"],
)
def test_refused_with_evidence(body: Any) -> None:
    refused = refusal(body)
    assert refused.evidence is not None
    assert refused.evidence.determinant != 0
    assert refused.advice.startswith("keep two passes")


def numbers(point: Any) -> list[Fraction]:
    return [Fraction(int(p.p), int(p.q)) for p in (point if isinstance(point, sp.Tuple) else [point])]


@pytest.mark.parametrize("kind", ["max", "min", "sum"])
def test_evidence_samples_what_occurs_together(kind: str) -> None:
    """Every row is the anchor of the elements of the columns and of those added, anew in fractions."""
    anchor: Any = {"max": max, "min": min, "sum": sum}[kind]
    r = getattr(fold, kind)(x[i, j], over=j)
    proof = refusal(tanh(3 * x[i, j] - 2 * r)).evidence
    assert proof is not None
    part = [c for column in proof.columns for c in numbers(column)]
    for row, added in zip(proof.rows, proof.added, strict=True):
        assert numbers(row) == [anchor(part + (numbers(added) if added is not None else []))]


M = fold.max(x[i, j], over=j)


@pytest.mark.parametrize(
    ("body", "rank"),
    [
        (abs(exp(x[i, j] - M) - exp(-M)), 1),  # exp(-m) |exp(x) - 1|
        (abs(x[i, j] * R), 1),
        (abs(x[i, j] / M), 1),
        (abs(x[i, j] - M), 2),  # m - x
        (maximum(M - x[i, j], 0) * y[i, j], 2),
    ],
    ids=["exponentials", "product", "ratio", "below its maximum", "clamped"],
)
def test_signs_that_are_known_give_a_form(body: Any, rank: int) -> None:
    """These were called impossible, on samples of m and exp(-m), or of c and m < c, that do not occur together."""
    spec = pipeline(t=fold.sum(body, over=j)[i])
    plan = plan_of(spec)
    assert max(a.rank for a in plan.accumulators) == rank

    @settings(PROFILE, max_examples=5)
    @given(cases(spec, "j", 1))
    def check(case: tuple[dict[str, Any], Order]) -> None:
        inputs, order = case
        same(spec, plan, inputs | {"x": inputs["x"] + 0.3125}, order)  # nowhere 0, which the ratio divides by

    check()


W = Tensor("w", j)
TOTAL = fold.sum(W[j], over=j)
P = exp(x[i, j] - M) / fold.sum(exp(x[i, j] - M), over=j)


@pytest.mark.parametrize(
    ("body", "rank"),
    [
        ((W[j] - TOTAL) * (2 * TOTAL * y[i, j] + W[j]), 3),  # 2 r c and -r d are one function of r
        ((W[j] - TOTAL) * (TOTAL * y[i, j] + W[j] + 1), 3),  # 1, r and 1 - r are two
        ((x[i, j] - MEAN) * (3 * MEAN * y[i, j] + x[i, j]), 3),  # a mean as a factor is the mean
        ((x[i, j] - M) * (x[i, j] - M * x[i, j]), 3),  # of rank 2, and 0 at r = 1
        ((x[i, j] - M) * (x[i, j] - exp(M) * x[i, j]), 4),  # of rank 2, and 0 at r = 0
        ((1 - P) ** 3 * W[j], 1),  # four weights, each a sum of its own
    ],
    ids=["multiples", "sums", "a mean", "singular at 1", "singular at 0", "four weights"],
)
def test_coefficients_count_as_far_as_they_are_independent(body: Any, rank: int) -> None:
    """These were refused, or a basis divided by what data make 0."""
    spec = pipeline(t=fold.sum(body, over=j)[i])
    plan = plan_of(spec)
    assert max(a.rank for a in plan.accumulators) == rank
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(2, 5)), "y": rng.normal(size=(2, 5)), "w": rng.normal(size=5)}
    same(spec, plan, {t.name: data[t.name] for t in spec.tensors}, ((4, (0, 3)), (2, 1)))
    assert not [c for c in plan.conditions if c.where.startswith("correction")]


@pytest.mark.parametrize("power", [1, 2, 3])
def test_focal_loss_has_no_exponential_of_its_maximum_alone(power: int) -> None:
    """T held exp(m) exp(-m') inside of a sum: 0 times infinity at large negative scores."""
    spec = pipeline(t=fold.sum((1 - P) ** power * W[j], over=j)[i])
    scores = np.array([[-1000.0, -1001.0, -1002.0], [1000.0, 998.0, 999.0]])
    same(spec, plan_of(spec), {"x": scores, "w": np.array([2.0, -1.0, 3.0])}, (0, (1, 2)))


def test_what_only_cancels_at_the_end_is_left_out() -> None:
    """A softmax less its mean was carried with exp(m - mean) exp(mean - m), which is 0 times infinity."""
    p = exp(x[i, j] - MEAN)
    plan = plan_of(pipeline(t=(fold.sum(p * W[j], over=j) / fold.sum(p, over=j))[i]))
    assert [str(a.symbol) for a in plan.accumulators] == ["m", "l", "acc"]


def test_clamps_at_the_maximum_of_another_tensor_have_evidence() -> None:
    """Two columns were equal by chance, and no sample matrix had a determinant."""
    assert refusal(maximum(W[j] - fold.min(y[i, j], over=j), 0)).evidence is not None


def test_a_sample_that_cannot_be_ordered_is_left_out() -> None:
    """1 - tanh(163) is not 0, and too near to it for SymPy to say which of two sides of a maximum is larger."""
    spec = pipeline(t=fold.sum(maximum(0.25, x[i, j] - tanh(163 * x[i, j])), over=j)[i])
    sample = Sample.of(spec, spec.axes[1], (sp.Integer(1),) * 5, 0, far=True)
    with pytest.raises(NoValue):
        sample.value(spec.outputs[0].expr)


def test_no_form_found_is_not_called_impossible() -> None:
    refused = refusal(maximum(x[i, j] * M, 0))
    assert refused.evidence is None
    assert "no finite linear correction was found" in refused.reason
    assert refused.reason.endswith("that there is none is not shown")


def test_a_mask_that_waits_in_one_part_varies_in_the_other() -> None:
    """`j <= i` stood in the coefficient of a law, as if it did not vary; a condition without j was a TypeError."""
    at = fold.argmax(x[i, j], over=j)
    refused = refusal(where((j <= i) & (i <= at), x[i, j], 0))
    assert "j" in {str(s) for s in refused.body.free_symbols}
    assert not any(s == j.expr for s in refused.body.free_symbols)
    assert plan_of(pipeline(t=fold.sum(where(i <= at, x[i, j], 0), over=j)[i])).kind == "F0"  # it leaves the sum


@pytest.mark.parametrize("where_it_stands", ["condition", "equality"])
def test_a_mask_at_a_finished_position_waits_for_it(where_it_stands: str) -> None:
    """It was `derived, F0`, with the fold still inside of the condition."""
    at = fold.argmax(x[i, j], over=j)
    refused = refusal(where(j <= at if where_it_stands == "condition" else j == at, x[i, j], 0))
    assert (refused.evidence is not None) == (where_it_stands == "condition")


@pytest.mark.parametrize("reducer", ["max", "min"])
def test_extremum_that_is_not_monotone_is_refused(reducer: str) -> None:
    refused = derive(pipeline(t=getattr(fold, reducer)(x[i, j] * R, over=j)[i]))
    assert isinstance(refused, Refusal)


def test_evidence_of_long_numbers_fits_a_screen() -> None:
    """Of a divergence from the mean of two softmaxes the numbers left no room for the determinant."""

    def softmax(tensor: Any) -> Any:
        weight = exp(tensor[i, j] - fold.max(tensor[i, j], over=j))
        return weight / fold.sum(weight, over=j)

    p, q = softmax(x), softmax(y)
    refused = derive(pipeline(d=fold.sum(p * log(p / ((p + q) / 2)), over=j)[i]))
    assert isinstance(refused, Refusal) and refused.evidence is not None and refused.evidence.determinant != 0
    (shown,) = (s for s in refusal_sections(refused) if s.title.startswith("Evidence"))
    assert max(len(line.label) for line in shown.lines) <= 60
    assert max(len(line.formula) for line in shown.lines) <= 100
    assert {"det", "so"} <= {line.label for line in shown.lines}


def test_a_clamp_that_scales_with_the_anchor_has_a_law() -> None:
    """`relu(e^(s-m) - e^(-m))` is `e^(-m) relu(e^s - 1)`: it was cut in two, and |.| had e^s for an element."""
    m = maximum(0, fold.max(x[i, j], over=j))
    p = exp(x[i, j] - m) - exp(-m)
    for term in (relu(p) * y[i, j], abs(p), minimum(p, 0)):
        plan = plan_of(pipeline(t=fold.sum(term, over=j)[i]))
        assert plan.kind == "F" and len(plan.accumulators) == 2
        assert not any(e.expr.has(sp.exp) for e in plan.elements)
    # Of a factor whose sign is not known a clamp is none.
    assert isinstance(derive(pipeline(t=fold.sum(maximum(MEAN * x[i, j], 0), over=j)[i])), Refusal)
