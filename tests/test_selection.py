"""What a position selects: payloads at an argmax, positions as values, against plain Python."""

from __future__ import annotations

import ast
import math
import random
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from refold import Plan, Refusal, Staged, Tensor, axes, derive, exp, fold, oo, pipeline, stages, where
from refold.algebra.roles import assign
from refold.algebra.run import run
from refold.emit.prooftest import test_text as text_of_test
from refold.errors import FoldError
from refold.schedule import ir
from refold.schedule.lower.kernels import Kernels, kernels
from refold.spec.evaluate import evaluate
from refold.spec.serial import loads
from refold.verify.kernel.prover import Prover, obligations
from refold.verify.kernel.refinement import of_stage
from refold.verify.laws.obligations import corrections
from refold.verify.obligation import discharge
from refold.verify.verify import invariants_of

i, j, e = axes("i j e")
x, v = Tensor("x", i, j), Tensor("v", j, e)
best = fold.argmax(x[i, j], over=j)
nearest = fold.argmin(where(j >= i, abs(x[i, j]), oo), over=j)
ORDERS = {
    "one by one": lambda n: tuple(range(n)),
    "backwards": lambda n: tuple(reversed(range(n))),
    "empty parts": lambda n: ((), (tuple(range(n // 2)), ()), tuple(range(n // 2, n))),
}


def plan_of(spec: Any) -> Plan:
    plan = derive(spec)
    assert isinstance(plan, Plan)
    return plan


def inputs(seed: int, length: int) -> dict[str, Any]:
    """Small whole numbers, so that most rows have equal ones."""
    rng = random.Random(seed)
    scores = [[float(rng.randint(-2, 2)) for _ in range(length)] for _ in range(3)]
    return {
        "x": np.array(scores).reshape(3, length),
        "v": np.array([[n + 0.25, -n] for n in range(length)], float).reshape(length, 2),
    }


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("length", [0, 1, 2, 5, 8])
def test_a_payload_is_that_of_the_first_of_the_best(order: str, length: int) -> None:
    plan = plan_of(pipeline(y=v[best, e][i, e], at=best[i]))
    for seed in range(5):
        given = inputs(seed, length)
        found = run(plan, given, ORDERS[order](length))
        rows = given["x"].tolist()
        at = [row.index(max(row)) if row else -1 for row in rows]
        assert found["at"].tolist() == at
        wanted = [given["v"][n].tolist() if n >= 0 else [math.nan] * 2 for n in at]
        np.testing.assert_array_equal(found["y"], wanted)
        np.testing.assert_array_equal(evaluate(plan.spec, given)["y"], wanted)


@pytest.mark.parametrize("order", ORDERS)
def test_of_masked_positions_none_is_the_nearest(order: str) -> None:
    plan = plan_of(pipeline(y=v[nearest, e][i, e]))
    for seed in range(5):
        given = inputs(seed, 6)
        found = run(plan, given, ORDERS[order](6))["y"]
        for n, row in enumerate(given["x"].tolist()):
            sizes = [abs(value) if m >= n else math.inf for m, value in enumerate(row)]
            assert found[n].tolist() == given["v"][sizes.index(min(sizes))].tolist()


def test_positions_are_values() -> None:
    weight = exp(x[i, j])
    plan = plan_of(
        pipeline(y=(fold.sum(j * weight, over=j) / fold.sum(weight, over=j))[i], z=fold.sum(j * x[i, j], over=j)[i])
    )
    given = {"x": inputs(7, 6)["x"]}
    found = run(plan, given, ORDERS["empty parts"](6))
    for n, row in enumerate(given["x"].tolist()):
        weights = [math.exp(value) for value in row]
        assert found["y"][n] == pytest.approx(sum(m * w for m, w in enumerate(weights)) / sum(weights))
        assert found["z"][n] == pytest.approx(sum(m * value for m, value in enumerate(row)))


def test_the_columns_of_a_payload_are_held_whole() -> None:
    """A program for each of them would find the position anew, and an output without them have many writers."""
    roles = assign(plan_of(pipeline(y=v[best, e][i, e], at=best[i])))
    assert (roles.rows, roles.inner) == (i.expr, (e.expr,))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_largest_come_first_and_of_equal_ones_the_first(k: int) -> None:
    values, positions = fold.topk(where(j != 1, x[i, j], -oo), k, over=j)
    outputs = {f"v{n}": value[i] for n, value in enumerate(values)} | {
        f"at{n}": at[i] for n, at in enumerate(positions)
    }
    spec = pipeline(**outputs)
    for seed in range(5):
        given = {"x": inputs(seed, 6)["x"]}
        found = evaluate(spec, given)
        for row, line in enumerate(given["x"].tolist()):
            ranked = sorted((-value, n) for n, value in enumerate(line) if n != 1)[:k]
            assert [found[f"v{n}"][row] for n in range(k)] == [-value for value, _ in ranked]
            assert [found[f"at{n}"][row] for n in range(k)] == [at for _, at in ranked]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("k", [2, 3, 4])
def test_one_pass_carries_the_largest_over_any_parts(k: int, order: str) -> None:
    """Equal ones, hidden ones, and fewer positions than are asked for, which have no position of their own."""
    values, positions = fold.topk(where(j != 1, x[i, j], -oo), k, over=j)
    outputs = {f"v{n}": value[i] for n, value in enumerate(values)} | {
        f"at{n}": at[i] for n, at in enumerate(positions)
    }
    plan = plan_of(pipeline(**outputs))
    assert [a.reducer for a in plan.accumulators].count("max") == k
    for length in (0, 1, 2, 5, 9):
        given = {"x": inputs(length, length)["x"]}
        found = run(plan, given, ORDERS[order](length))
        for row, line in enumerate(given["x"].tolist()):
            ranked = sorted((-value, n) for n, value in enumerate(line) if n != 1)[:k]
            wanted = [-value for value, _ in ranked] + [-math.inf] * (k - len(ranked))
            assert [found[f"v{n}"][row] for n in range(k)] == wanted
            assert [found[f"at{n}"][row] for n in range(len(ranked))] == [at for _, at in ranked]


def test_more_than_four_are_stages() -> None:
    """Each is proved in seconds; the kernel of eight in one pass was not proved in five minutes."""
    values, _ = fold.topk(x[i, j], 5, over=j)
    spec = pipeline(last=values[-1][i])
    assert isinstance(derive(spec), Refusal)
    found = stages(spec)
    assert isinstance(found, Staged) and len(found.plans) > 1


def test_payloads_at_the_largest_need_no_other_pass() -> None:
    _, positions = fold.topk(x[i, j], 2, over=j)
    plan = plan_of(pipeline(y=v[positions[0], e][i, e], z=v[positions[1], e][i, e]))
    given = inputs(4, 6)
    found = run(plan, given, ORDERS["empty parts"](6))
    for row, line in enumerate(given["x"].tolist()):
        first, second = sorted(range(6), key=lambda n, line=line: (-line[n], n))[:2]
        assert found["y"][row].tolist() == given["v"][first].tolist()
        assert found["z"][row].tolist() == given["v"][second].tolist()


@cache
def second() -> Plan:
    return plan_of(pipeline(runner=fold.topk(x[i, j], 2, over=j)[1][1][i]))


def with_correction(plan: Plan, reducer: str, change: Callable[[Any], Any]) -> Plan:
    """A plan in which the last accumulator of a kind is corrected in another way."""
    last = [a for a in plan.accumulators if a.reducer == reducer][-1]
    changed = replace(last, correction=change(last.correction))
    return replace(plan, accumulators=tuple(changed if a is last else a for a in plan.accumulators))


def failed(plan: Plan) -> set[str]:
    """The corrections of a plan that are not proved."""
    asked = (o for o in corrections(plan, invariants_of(plan)))
    return {o.name for o in asked if discharge(o, plan).verdict != "proved"}


def test_a_ranking_is_proved_and_one_that_keeps_what_is_taken_is_not() -> None:
    assert failed(second()) == set()
    stale = {reducer: with_correction(second(), reducer, lambda old: old.args[2]) for reducer in ("max", "argmax")}
    assert "correction m2" in failed(stale["max"])
    assert "correction at2" in failed(stale["argmax"])
    first = {reducer: with_correction(second(), reducer, lambda old: old.args[1]) for reducer in ("max", "argmax")}
    assert "attained m2" in failed(first["max"])
    assert "attained at2" in failed(first["argmax"])


@pytest.mark.parametrize("k", [0, True, 2.0])
def test_how_many_is_a_number_that_python_knows(k: Any) -> None:
    with pytest.raises(FoldError, match=r"is no number of values: write a positive integer"):
        fold.topk(x[i, j], k, over=j)


# --- the kernel that reads a payload is proved, and no other ----------------------------------------------------------


@cache
def prover() -> Prover:
    plan = plan_of(pipeline(y=v[best, e][i, e]))
    return Prover(kernels(plan, "payload"), invariants_of(plan))


def changed(node: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(node, tuple):
        return tuple(changed(n, change) for n in node)
    if not is_dataclass(node) or isinstance(node, type):
        return node
    return change(replace(node, **{f.name: changed(getattr(node, f.name), change) for f in fields(node)}))


def at_another_place(node: Any) -> Any:
    """The entry of the row after the one that was found."""
    match node:
        case ir.Binary("*", a, ir.Name("v_j")):
            return ir.Binary("*", ir.Binary("+", a, ir.Number(1)), ir.Name("v_j"))
    return node


def of_none_the_first(node: Any) -> Any:
    """Of no position 0, and not none."""
    match node:
        case ir.Select(condition, ir.Number(-1), other):
            return ir.Select(condition, ir.Number(0), other)
    return node


def without_an_end(node: Any) -> Any:
    """A payload that is 0, and not none, where no position was found."""
    match node:
        case ir.Select(_, ir.Number(value), other) if math.isnan(value):
            return other
    return node


@pytest.mark.parametrize("change", [None, at_another_place, of_none_the_first, without_an_end])
def test_a_kernel_that_reads_another_payload_is_not_proved(change: Callable[[Any], Any] | None) -> None:
    made: Kernels = prover().made
    if change is not None:
        rolling = replace(made.rolling, body=changed(made.rolling.body, change))
        assert rolling != made.rolling
        made = replace(made, stages={**made.stages, "rolling": rolling})
    found = {r.name: r.verdict for r in obligations(of_stage(made, prover(), "rolling"))}
    assert (found["refinement rolling: output y"] == "proved") == (change is None)


def test_a_bundle_says_what_its_pipeline_is_in_the_names_of_the_user() -> None:
    """`scale` has another name in the text of a kernel: with that the test of the bundle derived another pipeline."""
    spec = pipeline(scale=fold.max(abs(x[i, j]), over=j)[i])
    text = text_of_test("absmax", kernels(plan_of(spec), "absmax"), spec, hopper=False)
    (line,) = [part for part in text.splitlines() if part.startswith("PIPELINE = ")]
    assert loads(ast.literal_eval(line.removeprefix("PIPELINE = ").partition("  #")[0])) == spec
