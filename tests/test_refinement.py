"""Kernels as data compute the monoid of their plan: proved where they do, and not where a piece of them is changed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import pytest
import sympy as sp
from support.examples import NAMES
from support.pipelines import draw
from support.written import spec_of

from refold import Plan, Scalar, Tensor, axes, derive, exp, fold, log, pipeline, relu
from refold.algebra import State
from refold.schedule import ir
from refold.schedule.lower.kernels import Kernels, kernels
from refold.spec import Where
from refold.verify.kernel.forms import Datum, Whole
from refold.verify.kernel.prover import _renamed
from refold.verify.kernel.refinement import Prover, of_module, of_stage
from refold.verify.verify import invariants_of

SOME = ("causal_attention", "softmax", "cross_entropy", "document")
REST = sorted({*NAMES} - {*SOME})


@cache
def prover_of(name: str) -> Prover:
    plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
    assert isinstance(plan, Plan)
    return Prover(kernels(plan, name), invariants_of(plan))


def open_of(made: Kernels, prover: Prover) -> Iterator[str]:
    """The obligations that are not proved."""
    for result in of_module(made, prover):
        assert result.verdict in ("proved", "unknown")
        if result.verdict != "proved":
            yield result.name.partition(": ")[2]


@pytest.mark.parametrize("name", [*SOME, *(pytest.param(n, marks=pytest.mark.slow) for n in REST)])
def test_the_kernels_compute_the_monoid(name: str) -> None:
    prover = prover_of(name)
    assert not [*open_of(prover.made, prover)]


def test_two_streams_of_values_are_both_the_plan() -> None:
    """Their lanes have the same numbers, and are of two axes."""
    i, j, d, e = axes("i j d e")
    p = exp(Tensor("s", i, j)[i, j] - fold.max(Tensor("s", i, j)[i, j], over=j))
    v, w = Tensor("v", j, d)[j, d], Tensor("w", j, e)[j, e]
    plan = derive(pipeline(o=fold.sum(p * v, over=j)[i, d], u=fold.sum(p * w, over=j)[i, e]))
    assert isinstance(plan, Plan)
    prover = Prover(kernels(plan, "f"), invariants_of(plan))
    assert not [*open_of(prover.made, prover)]


def test_a_number_that_an_earlier_stage_has_left_is_read_by_an_output() -> None:
    """It is a tensor of no axes: no symbol is free in it, and it was taken for a number of the plan's."""
    (j,) = axes("j")
    w, top = Tensor("w", j)[j], Tensor("top")[()]
    plan = derive(pipeline(margin=top - fold.max(w, over=j)))
    assert isinstance(plan, Plan)
    prover = Prover(kernels(plan, "f"), invariants_of(plan))
    assert not [*open_of(prover.made, prover)]


def pieces_left_out(made: Kernels) -> Iterator[tuple[str, Kernels]]:
    """The kernels without one of their stores, or without what their loops do.

    One loop of several is no such piece: which tiles loops visit is what the index obligations say.
    """
    for stage, kernel in made.stages.items():
        for n, s in enumerate(kernel.body):
            if isinstance(s, ir.Store):
                yield f"{stage} without a store", with_body(made, stage, (*kernel.body[:n], *kernel.body[n + 1 :]))
        yield f"{stage} without its loops", with_body(made, stage, idle(kernel.body))


def idle(body: tuple[ir.Statement, ...]) -> tuple[ir.Statement, ...]:
    """Statements of which loops do nothing."""
    return tuple(
        replace(s, body=(ir.Note("nothing"),)) if isinstance(s, ir.For)
        else replace(s, body=idle(s.body)) if isinstance(s, ir.If) else s
        for s in body
    )  # fmt: skip


def with_body(made: Kernels, stage: str, body: tuple[ir.Statement, ...]) -> Kernels:
    return replace(made, stages={**made.stages, stage: replace(made.stages[stage], body=body)})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logsumexp", "attention"])
def test_a_kernel_that_leaves_something_out_is_not_proved(name: str) -> None:
    prover = prover_of(name)
    made = [*pieces_left_out(prover.made)]
    assert len(made) > 5
    assert [what for what, wrong in made if next(open_of(wrong, prover), None) is None] == []


def test_a_store_within_a_loop_is_not_proved() -> None:
    """What is stored before the last iteration is overwritten at best."""
    prover = prover_of("logsumexp")
    body = prover.made.stages["finish"].body
    store = next(s for s in body if isinstance(s, ir.Store))
    into = tuple(replace(s, body=(*s.body, store)) if isinstance(s, ir.For) else s for s in body)
    assert into != body
    assert {*open_of(with_body(prover.made, "finish", into), prover)}


def test_a_kernel_that_begins_early_and_does_not_wait_is_not_proved() -> None:
    """Left out, the wait is missed; behind the loop that reads the parts it is too late."""
    made = (prover := prover_of("softmax")).made
    finish = made.stages["finish"]
    (wait,) = (s for s in finish.body if isinstance(s, ir.If))
    rest = tuple(s for s in finish.body if s is not wait)
    for body in (rest, (*rest, wait)):
        wrong = replace(made, stages={**made.stages, "finish": replace(finish, body=body)})
        faults = [f.fault for f in of_stage(wrong, prover, "finish") if f.fault is not None]
        assert faults[0].endswith("_ptr may not be there yet")
        assert "" in open_of(wrong, prover)


def test_a_part_that_is_read_at_another_place_is_not_proved() -> None:
    """The kernel that joins parts reads a state where the other one keeps it: not the element beside it."""

    def beside(node: Any) -> Any:
        if isinstance(node, tuple):
            return tuple(map(beside, node))
        if not is_dataclass(node) or isinstance(node, type):
            return node
        moved = replace(node, **{f.name: beside(getattr(node, f.name)) for f in fields(node)})
        return replace(moved, place=ir.Binary("+", moved.place, ir.Number(1))) if isinstance(moved, ir.Load) else moved

    prover = prover_of("logsumexp")
    body = prover.made.stages["finish"].body
    assert beside(body) != body
    assert {"m", "l"} <= {*open_of(with_body(prover.made, "finish", beside(body)), prover)}


def test_other_names_are_what_a_substitution_gives() -> None:
    x, y, n = Datum(3), Datum(0), Whole(5)
    names = {x: Datum(0), y: Datum(1), n: Whole(0)}
    for expr in (
        sp.exp(x - sp.Max(x, y, x * y)) * sp.log(2 * x + 2 * y),
        Where(sp.And(x <= sp.Min(y, 3), n > 2), x / sp.Max(1, y**2), sp.nan),
        sp.Eq(sp.Max(x + n, sp.Min(y, sp.exp(x))), sp.Max(y, x + n)),
        sp.Max(State("m"), sp.exp(y)) + 7,
    ):
        assert _renamed(expr, dict(names)) == expr.xreplace(names) != expr


def each_changed(node: Any, change: Callable[[Any], Iterator[Any]]) -> Iterator[Any]:
    """The node with one of the nodes in it changed, in every way that there is."""
    if isinstance(node, tuple):
        for n, part in enumerate(node):
            yield from ((*node[:n], new, *node[n + 1 :]) for new in each_changed(part, change))
    elif is_dataclass(node) and not isinstance(node, type):
        yield from change(node)
        for field in fields(node):
            yield from (replace(node, **{field.name: x}) for x in each_changed(getattr(node, field.name), change))


def changed_kernels(made: Kernels, stage: str, change: Callable[[Any], Iterator[Any]]) -> Iterator[Kernels]:
    """The kernels with one node of one stage, or of a function, changed."""
    yield from (with_body(made, stage, body) for body in each_changed(made.stages[stage].body, change))
    for n, function in enumerate(made.functions):
        for body in each_changed(function.body, change):
            functions = (*made.functions[:n], replace(function, body=body), *made.functions[n + 1 :])
            yield replace(made, functions=functions)


NOWHERE = 2147483647


def other_sentinel(node: Any) -> Iterator[Any]:
    """Another number for the position of no element, or for the -1 that it is stored as."""
    if isinstance(node, ir.Number) and node.value in (NOWHERE, -1):
        yield ir.Number(-2 if node.value == -1 else NOWHERE - 1)


def other_order(node: Any) -> Iterator[Any]:
    """The later of two positions, or that of the smaller value."""
    if isinstance(node, ir.Binary) and node.op == "minimum":
        yield replace(node, op="maximum")
    if isinstance(node, ir.Call) and node.function == "_over":
        yield replace(node, args=node.args[::-1])


def other_angle(node: Any) -> Iterator[Any]:
    """A sine of the negative angle, a cosine of the angle and 1, each for the other."""
    if isinstance(node, ir.Unary) and node.op in ("sin", "cos"):
        other = ir.Unary("-", node.x) if node.op == "sin" else ir.Binary("+", node.x, ir.Number(1.0))
        yield replace(node, x=other)
        yield replace(node, op="cos" if node.op == "sin" else "sin")


def no_guard(node: Any) -> Iterator[Any]:
    """A score without its mask."""
    if isinstance(node, ir.Select) and node.other == ir.Number(-float("inf")):
        yield node.then


def other_page(node: Any) -> Iterator[Any]:
    """A page from beside its place in the table, or a line from beside its place in the page."""
    if isinstance(node, ir.Let) and node.target.text in ("at", "at_2", "at_3"):
        yield replace(node, value=ir.Binary("+", node.value, ir.Number(1)))


# The example, the stage, the change, and how many kernels it makes at least.
CHANGED = {
    "another number for no position": ("argmax", "rolling", other_sentinel, 4),
    "another order of positions": ("argmax", "finish", other_order, 4),
    "another angle": ("circular_mean", "parts", other_angle, 8),
    "scores without a mask": ("paged_decode", "rolling", no_guard, 1),
    "another page": ("paged_decode", "rolling", other_page, 3),
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_wrong_number_position_angle_or_page_is_not_proved(what: str) -> None:
    name, stage, change, least = CHANGED[what]
    prover = prover_of(name)
    made = [*changed_kernels(prover.made, stage, change)]
    assert len(made) >= least
    assert [m for m in made if next(open_of(m, prover), None) is None] == []


# Pipelines whose kernels need a rule that those of the examples do not, by their number, and what that is.
RANDOM = {
    30000: "the distance of two positions as a number",
    30002: "a quotient whose scores are in units of log(2)",
    30007: "an output that the first of several programs stores",
    30026: "masks of quotients and remainders in one tile",
    30034: "a product of numbers that no float is",
    30035: "a number that no float is",
    30041: "a choice that the launcher makes",
    30047: "a length that the launcher passes as a scalar",
    30108: "bounds of loops that the rows there are decide",
}


@cache
def drawn(seed: int) -> Prover:
    plan = derive(spec_of(draw(seed)))
    assert isinstance(plan, Plan)
    return Prover(kernels(plan, "fused"), invariants_of(plan))


@pytest.mark.parametrize("seed", RANDOM, ids=RANDOM.values())
def test_the_kernels_of_random_pipelines_compute_their_monoids(seed: int) -> None:
    assert not [*open_of(drawn(seed).made, drawn(seed))]


i, j, d = axes("i j d")
q, k, w, b = Tensor("q", i, d), Tensor("k", j, d), Tensor("w", j), Tensor("b", d, positive=True)
S = Tensor("x", i, j)[i, j] + w[j]
W = exp(2 * fold.sum(q[i, d] * k[j, d], over=d) - fold.sum(k[j, d] ** 2, over=d) - fold.sum(q[i, d] ** 2, over=d))
NATURAL = {
    # A kernel subtracts half of a square in units of log 2, which the plan adds with a minus.
    "half a square": fold.logsumexp(fold.sum(q[i, d] * k[j, d], over=d) - fold.sum(k[j, d] ** 2, over=d) / 2, over=j),
    # A product has no value where what it reads is off its axis.
    "a payload times a value": w[fold.argmax(S, over=j)] * fold.max(S, over=j),
    # It is taken against `max(m, sum q**2)`, a fold that is not the loop's.
    "the largest of weights by distance": fold.max(W, over=j) / fold.sum(W, over=j),
    # A kernel has the scalar as an integer.
    "a whole number times data": fold.logsumexp(S * Scalar("n", integer=True), over=j),
    # Which of two scores is the larger one decides, whatever they are divided by.
    "the largest of quotients": fold.argmax(fold.sum(q[i, d] * k[j, d] / b[d], over=d), over=j),
}


@pytest.mark.parametrize("what", NATURAL)
def test_what_people_write_is_proved(what: str) -> None:
    plan = derive(pipeline(o=NATURAL[what][i]))
    assert isinstance(plan, Plan)
    prover = Prover(kernels(plan, "f"), invariants_of(plan))
    assert not [*open_of(prover.made, prover)]


def test_a_product_with_what_is_none_is_not_one_without() -> None:
    prover, x = prover_of("softmax"), Datum(0)
    there = sp.Ge(Whole(0), 0)
    none = Where(there, x, sp.nan)
    found = {wanted: prover.same(2 * none, wanted, (), "twice") for wanted in (Where(there, x + x, sp.nan), 2 * x)}
    assert [all(a.verdict == "proved" for a in answers) for answers in found.values()] == [True, False]


def other_program(node: Any) -> Iterator[Any]:
    """What is of the first program done by the second."""
    if isinstance(node, ir.If):
        yield replace(node, condition=ir.Binary("==", ir.Name("part"), ir.Number(1)))


def other_factor(node: Any) -> Iterator[Any]:
    """Another number, but for what stands in the place of a divisor that is 0."""
    if isinstance(node, ir.Number) and isinstance(node.value, float) and 0 < abs(node.value) < 1e9 and node.value != 1:
        yield ir.Number(node.value * 1.001)


def other_distance(node: Any) -> Iterator[Any]:
    """A difference for a distance."""
    if isinstance(node, ir.Unary) and node.op == "abs":
        yield node.x


WRONG = {
    "the second program stores what the first one should": (30007, "finish", other_program, 1),
    "another product of numbers": (30034, "rolling", other_factor, 1),
    "another number": (30035, "rolling", other_factor, 1),
    "no distance": (30000, "rolling", other_distance, 1),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_changed_kernel_of_a_random_pipeline_is_not_proved(what: str) -> None:
    seed, stage, change, least = WRONG[what]
    made = [*changed_kernels(drawn(seed).made, stage, change)]
    assert len(made) >= least
    assert [m for m in made if next(open_of(m, drawn(seed)), None) is None] == []


def test_an_extreme_of_what_is_off_an_axis_is_no_number() -> None:
    """`max(0, 1 + m - x[target])` of a target off its axis: a kernel that passes the NaN on is proved, no other."""
    prover = prover_of("crammer_singer")
    assert not [*open_of(prover.made, prover)]
    for stage in ("rolling", "finish"):
        body = prover.made.stages[stage].body
        (old,) = (
            s for s in body if isinstance(s, ir.Let) and isinstance(s.value, ir.Call) and "larger" in str(s.value)
        )
        new = replace(old, value=ir.Binary("maximum", *old.value.args))
        wrong = with_body(prover.made, stage, tuple(new if s is old else s for s in body))
        assert [*open_of(wrong, prover)]


def test_sizes_that_a_result_is_divided_by_are_one_number_of_the_launcher() -> None:
    """It passes |i| / |j|, and the proof asked about each of the two."""
    i, j = axes("i j")
    plan = derive(pipeline(y=(fold.sum(Tensor("x", i, j)[i, j], over=j) * i.size / j.size)[i]))
    assert isinstance(plan, Plan)
    prover = Prover(kernels(plan, "k"), invariants_of(plan))
    assert not [*open_of(prover.made, prover)]


n = Scalar("n", positive=True)
SUMS = {
    "it passes 1 + n and n - 1, where the plan multiplies out what they are a part of": fold.logsumexp(
        -n * relu(1 + n - S) * (S - (1 - n)), over=j
    ),
    "it passes log |i| + n, where the plan subtracts each": fold.logsumexp(S, over=j) - log(i.size) - n,
}


@pytest.mark.parametrize("what", SUMS)
def test_a_sum_of_scalars_is_one_number_of_the_launcher(what: str) -> None:
    plan = derive(pipeline(y=SUMS[what][i]))
    assert isinstance(plan, Plan)
    made, known = kernels(plan, "k"), invariants_of(plan)
    assert not [*open_of(made, Prover(made, known))]
    # A launcher that passes another sum, of which nothing else tells.
    sums = [e for e in made.host if isinstance(e, sp.Add)]
    assert sums
    for total in sums:
        wrong = replace(made, host={e + 1 if e == total else e: name for e, name in made.host.items()})
        assert next(open_of(wrong, Prover(wrong, known)), None) is not None
