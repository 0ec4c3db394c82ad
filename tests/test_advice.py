"""What is not proved is told in the user's words: names of the pipeline, and what to change."""

from __future__ import annotations

import re
from typing import Any

import z3

from refold.algebra import Plan, derive
from refold.spec import Spec, Tensor, axes, exp, fold, pipeline
from refold.verify import Disproof, Result, verify
from refold.verify.advice import ADVICE, CLAIMED, DERIVED, meanings, next_step
from refold.verify.display import report_text, unproved_rows
from refold.verify.groups import GROUPS, group_of, groups
from refold.verify.smt.values import model_words

i, j = axes("i j")
x = Tensor("x", i, j)


def model(*formulas: Any) -> Any:
    solver = z3.Solver()
    solver.add(*formulas)
    assert solver.check() == z3.sat
    return solver.model()


def test_a_model_is_told_by_what_identifiers_stand_for() -> None:
    m, e, inf, guard, odd = z3.Real("m1"), z3.Real("E_s"), z3.Bool("inf_m1"), z3.Real("m1_where"), z3.Int("k!0")
    found = model(m == -1, e == 2, inf, guard == 0, odd == 3)
    shown = {"m1": "m₁", "E_s": "exp(s)", "inf_m1": "m₁ is infinite", "m1_where": "(m₁ where m₁ > -oo, else 0)"}
    assert model_words(found, shown) == "exp(s) = 2, m₁ is infinite, m₁ = -1"
    assert model_words(model(z3.Not(inf), m == 1), shown) == "m₁ = 1"


def test_numbers_of_tiles_have_the_names_of_axes() -> None:
    size, block, mask, fresh = z3.Int("size_j"), z3.Int("BLOCK_N"), z3.Bool("j <= lim[i]"), z3.Int("rounded!2")
    found = model(size == 5, block == 2, mask, fresh == 4)
    assert model_words(found) == "BLOCK_N = 2, j <= lim[i], |j| = 5"


def report(spec: Spec) -> Disproof:
    plan = derive(spec)
    assert isinstance(plan, Plan)
    found = verify(plan)
    assert isinstance(found, Disproof)
    return found


def test_what_is_open_names_nothing_of_the_solver() -> None:
    # A pipeline that refold derives and does not prove: the exponent of a part may be larger than any of the whole.
    y = Tensor("y", i, j)
    found = report(pipeline(o=fold.sum(exp(x[i, j] - fold.max(y[i, j], over=j)) - 1, over=j)[i]))
    text = report_text(found)
    assert not re.search(r"inf_|E_|_where_|= True|= False|!\d", text), text
    for result in found.results:
        if result.verdict != "proved":
            rows = dict(unproved_rows(result, found))
            assert rows["next"] == (DERIVED if result.verdict == "refuted" else ADVICE[group_of(result)])
    shown = next(r for r in found.results if r.name == "range t: step")
    assert dict(unproved_rows(shown, found))["with"] == "t = Σ_j (exp(x - m) - 1), m = max_j y"


def test_what_helps_to_correct_alone_stands_for_nothing() -> None:
    """It was told as nothing before a comma."""
    m = fold.max(x[i, j], over=j)
    plan = derive(pipeline(o=fold.sum((x[i, j] - m) ** 2, over=j)[i]))
    assert isinstance(plan, Plan) and "M2_2" in {str(a.symbol) for a in plan.accumulators}
    assert meanings(plan, Result("merge M2_2", "M2_2 + m", "unknown", 0.0, "")) == "m = max_j x"


def test_every_group_has_advice() -> None:
    names = {name for name, _, _ in GROUPS}
    assert set(ADVICE) | set(CLAIMED) == names
    for name, heads, _ in GROUPS:
        for head in heads:
            assert group_of(Result(f"{head} x", "", "unknown", 0.0, "")) == name
    assert next_step(Result("step l", "", "refuted", 0.0, ""), derived=False) == CLAIMED["steps"]


def test_groups_hold_each_result_once() -> None:
    results = tuple(Result(name, "", "proved", 0.0, "") for name in ("merge l", "law 0", "unit l", "index grid"))
    results += (Result("unit m", "", "unknown", 0.0, ""),)
    found = groups(results)
    assert [(g.name, g.count, g.verdict) for g in found] == [
        ("merging", "2 of 3", "unknown"), ("tiles", "1", "proved"), ("other", "1", "proved"),
    ]  # fmt: skip
    assert found[0].says == "unknown: unit m"
