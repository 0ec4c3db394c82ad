"""Verdicts on plans: what is asked, that nothing is proved vacuously or by default, and that the SMT-LIB text holds."""

from __future__ import annotations

import ast
import importlib
import json
from dataclasses import replace
from typing import Any

import pytest
import sympy as sp
from support.examples import NAMES

from refold import Plan, Spec, Tensor, axes, derive, exp, fold, oo, pipeline, sqrt, verify, where
from refold.algebra import State, Varying
from refold.verify import Disproof, Proof, Result
from refold.verify.certificate import recheck, store
from refold.verify.certificate.certificate import leaves, scripts
from refold.verify.certificate.document import contents, seal
from refold.verify.kernel.prover import BY_EXECUTION
from refold.verify.laws.reach import Reach, eq
from refold.verify.laws.safety import output_conditions, ranges
from refold.verify.laws.structure import faults
from refold.verify.obligation import Defined, Obligation, discharge
from refold.verify.smt import formulas as z3

i, j, d = axes("i j d")
x, y = Tensor("x", i, j), Tensor("y", i, j)


def plan_of(name: str) -> Plan:
    return derived(importlib.import_module(f"refold.examples.{name}").SPEC)


def derived(spec: Spec) -> Plan:
    plan = derive(spec)
    assert isinstance(plan, Plan)
    return plan


@pytest.mark.parametrize("name", NAMES)
def test_example_is_proved(name: str) -> None:
    report = store.verified(plan_of(name))
    assert isinstance(report, Proof), str(report)
    assert all(r.verdict == "proved" for r in report.results)
    tally = recheck.recheck(json.loads(seal(contents(report, name))))
    assert tally["obligations"] == len(report.results)
    assert equations_without_cofactors(report) == []
    looked_at = {r.name: r.note for r in report.results if not r.proof}
    executed = {name for name in looked_at if name.startswith("refinement ")}
    assert looked_at.keys() - executed == {"structure", "empty"}
    assert {looked_at[name] for name in executed - {"refinement base 2"}} <= {BY_EXECUTION}
    if name in ("attention", "layer_norm", "entropy", "cross_entropy", "argmax"):
        assert [r.name for r in report.results if not all(z3_unsat(r))] == []


def equations_without_cofactors(report: Proof) -> list[tuple[str, str]]:
    """The equations for which a script was needed; of those between integers, order may be the reason."""
    return [
        (r.name, claim)
        for r in report.results
        if not r.name.startswith("index ")
        for certificate in r.proof
        for leaf in leaves(certificate.case)
        for script in leaf.scripts
        for claim in script.goals
        if is_equation(claim)
    ]


def is_equation(claim: str) -> bool:
    """Whether a claim of the proof file says that two numbers are equal."""
    node = ast.parse(claim, mode="eval").body
    return isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq)


def test_obligations_of_attention_by_name() -> None:
    assert [r.name for r in store.verified(plan_of("attention")).results] == ATTENTION


ATTENTION = [
    "structure",
    "invariant l",
    "invariant l",
    "invariant l",
    "invariant acc",
    "correction l",
    "update l",
    "correction l: identity",
    "correction l: composition",
    "correction acc",
    "update acc",
    "correction acc: identity",
    "correction acc: composition",
    "unit m",
    "unit l",
    "unit acc",
    "lift m",
    "lift l",
    "lift acc",
    "merge m: associative",
    "merge m: commutative",
    "merge l: associative",
    "merge l: commutative",
    "merge acc: associative",
    "merge acc: commutative",
    "reading 1",
    "reading 2",
    "reading 3",
    "finish o",
    "guard o",
    "conditions l: merge",
    "conditions l: lift",
    "conditions acc: merge",
    "conditions acc: lift",
    "conditions o",
    "range l: step",
    "range l: merge",
    "range o: divisor",
    "empty",
    "index multiples",
    "index visit: rolling",
    "index skipped: rolling",
    "index unmasked: rolling",
    "index visit: split",
    "index skipped: split",
    "index unmasked: split",
    "index write once o",
    "index stores o",
    "index loads k",
    "index loads q",
    "index loads v",
    "index workspace m, l",
    "index workspace acc",
    "index loops: rolling",
    "index loops: split",
    "index parts",
    "index merge",
    "index grid",
    "index overflow",
    "refinement base 2",
    "refinement rolling: m",
    "refinement rolling: l",
    "refinement rolling: acc",
    "refinement rolling: output o",
    "refinement parts: m",
    "refinement parts: l",
    "refinement parts: acc",
    "refinement finish: m",
    "refinement finish: l",
    "refinement finish: acc",
    "refinement finish: output o",
    "index copies: hopper",
    "refinement hopper: m",
    "refinement hopper: l",
    "refinement hopper: acc",
    "refinement hopper: output o",
]


def z3_unsat(result: Result) -> list[bool]:
    found = []
    for script in scripts(result.proof):
        solver = z3.Solver()
        solver.from_string(script.smt2)
        found.append(solver.check() == z3.unsat)
    return found


# --- three verdicts ------------------------------------------------------------------------------------------

m, l, t = State("m"), State("l"), Varying("x")
SOFTMAX = derived(pipeline(y=(exp(x[i, j] - fold.max(x[i, j], over=j)))[i, j]))


def ask(*goals: sp.Basic, assumptions: tuple[sp.Basic, ...] = (), timeout_ms: int = 10_000) -> Any:
    return discharge(Obligation("test", "", assumptions, goals), SOFTMAX, timeout_ms)


def test_an_exponent_as_written_is_one_where_it_has_a_value() -> None:
    """Over d of length 0 the root of |d| is 0, and what it divides is no number, as written too."""
    q, k = Tensor("q", i, d), Tensor("k", j, d)
    s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
    plan = derived(pipeline(o=fold.sum(1 / (1 + exp(s - y[i, j])), over=j)[i]))
    (ways,) = [found for found in ranges(plan, Reach.of(plan)) if found[0].claim.endswith("≤ 0")][:1]
    assert [discharge(way, plan).verdict == "proved" for way in ways] == [False, True]


def test_a_length_that_is_divided_by_is_one_number() -> None:
    """It was a proposition in `n[i] ≠ 0` and a number in `sum / n[i]`, and neither said anything of the other."""
    n = Tensor("n", i, dtype="int32")
    plan = derived(pipeline(o=(fold.sum(where(j < n[i], x[i, j], 0), over=j) / n[i])[i]))
    (found,) = output_conditions(plan, Reach.of(plan))
    assert all(any(discharge(way, plan).verdict == "proved" for way in ways) for ways in found.parts)


def test_proved() -> None:
    assert ask(eq((l + 1) ** 2, l**2 + 2 * l + 1)).verdict == "proved"


def test_refuted_with_a_model() -> None:
    answer = ask(eq(l**2, l))
    assert answer.verdict == "refuted"
    assert "l = " in answer.note


def test_nothing_is_proved_vacuously() -> None:
    answer = ask(eq(l, 1), assumptions=(sp.Lt(l, 0, evaluate=False), sp.Gt(l, 1, evaluate=False)))
    assert answer.verdict == "unknown"
    assert answer.note == "the hypotheses were not shown satisfiable"


def test_a_timeout_is_unknown() -> None:
    a, b, c = (State(n) for n in "abc")
    hard = sp.Ne(a**5 * b**3 + b**5 * c**3 + c**5 * a**3, sp.Integer(3) * a**2 * b**4 * c + 7919, evaluate=False)
    answer = ask(hard, assumptions=tuple(sp.Gt(s, 0, evaluate=False) for s in (a, b, c)), timeout_ms=1)
    assert answer.verdict == "unknown"


def test_a_quotient_is_not_taken_to_be_defined() -> None:
    assert ask(eq(l / l**2, 1 / l)).verdict == "refuted"
    assert ask(Defined(1 / l)).verdict == "refuted"
    assert ask(Defined(1 / l), assumptions=(sp.Gt(l, 0, evaluate=False),)).verdict == "proved"


def test_an_exponent_is_not_taken_to_be_defined() -> None:
    assert ask(Defined(sp.exp(t / l))).verdict == "refuted"
    assert ask(Defined(sp.exp(t / l)), assumptions=(sp.Gt(l, 0, evaluate=False),)).verdict == "proved"
    # That an assumption has met the quotient before says nothing of it.
    met = sp.Ge(sp.exp(1 / l), 0, evaluate=False)
    assert ask(Defined(sp.exp(1 / l + t)), assumptions=(met,)).verdict == "refuted"


def test_a_proof_holds_only_what_is_proved() -> None:
    with pytest.raises(ValueError, match="proved obligations only"):
        Proof(SOFTMAX, (Result("a", "b", "unknown", 0.0, ""),), ())
    assert Disproof(SOFTMAX, (), ()).verdict == "unknown"


# --- what only a run shows -----------------------------------------------------------------------------------

s = where(j < i, x[i, j], -oo)
p = exp(s - fold.max(s, over=j))


@pytest.mark.parametrize(
    "spec",
    [
        pipeline(y=where(i > 0, fold.sum(p * x[i, j], over=j) / fold.sum(p, over=j), 7)[i]),
        pipeline(y=fold.sum(p, over=j)[i], empty=5),
        pipeline(y=(fold.sum(x[i, j] ** 2, over=j) / j.size)[i], empty=0),
    ],
    ids=["a masked row beside a choice", "a masked row that has a value", "nothing has a value"],
)
def test_what_the_plan_says_of_nothing_is_looked_at(spec: Spec) -> None:
    report = verify(derived(spec))
    example = next((r for r in report.results if r.name == "empty"), None)
    assert example is not None
    if example.verdict == "refuted":
        assert example.counterexample is not None
        assert report.verdict == "refuted"


# --- what the obligations take for granted -------------------------------------------------------------------


def test_structure_is_checked_first() -> None:
    plan = plan_of("argmax")
    top, at = plan.accumulators
    wrong = replace(plan, accumulators=(replace(top, reducer="min"), at))
    assert faults(wrong)
    report = verify(wrong)
    assert [r.name for r in report.results] == ["structure", "run"]
    assert report.verdict == "refuted"


def test_faults_are_named() -> None:
    plan = plan_of("softmax")
    waits = replace(plan, finish=(replace(plan.finish[0], expr=plan.spec.outputs[0].expr),))
    assert faults(waits) == ["output y waits for a fold"]
    late = replace(plan, accumulators=plan.accumulators[::-1])
    assert faults(late) == ["l is updated before an anchor that it reads"]
    other = replace(plan, finish=(replace(plan.finish[0], name="z"),))
    assert faults(other) == ["the outputs are not those of the spec"]
    bare = replace(plan, elements=tuple(replace(e, expr=fold.max(x[i, j], over=j).expr) for e in plan.elements))
    assert "element x waits for a fold" in faults(bare)
    top, total = plan.accumulators
    bent = replace(plan, accumulators=(top, replace(total, correction=total.correction + total.symbol**2, family=None)))
    assert any(f.startswith("the correction of l is not linear") for f in faults(bent))


@pytest.mark.parametrize("name", NAMES)
def test_derived_plans_have_no_fault(name: str) -> None:
    assert faults(plan_of(name)) == []


# --- what is no plan -----------------------------------------------------------------------------------------


def test_a_spec_is_no_plan() -> None:
    with pytest.raises(TypeError, match=r"verify takes a Plan and got a Spec: write verify\(derive\(spec\)\)"):
        verify(plan_of("softmax").spec)  # type: ignore[arg-type]


def test_a_refusal_is_no_plan() -> None:
    refusal = derive(pipeline(y=fold.sum(1 / (x[i, j] + fold.sum(x[i, j], over=j)), over=j)[i]))
    with pytest.raises(TypeError, match=r"derive refused this pipeline: .*; "):
        verify(refusal)  # type: ignore[arg-type]


def test_minimum_and_halves_are_proved() -> None:
    low = fold.min(x[i, j], over=j)
    shifted = pipeline(y=(exp(low - x[i, j]) / fold.sum(exp(low - x[i, j]), over=j))[i, j])
    half = pipeline(y=fold.sum(exp((x[i, j] - fold.max(x[i, j], over=j)) / 2), over=j)[i])
    for spec in (shifted, half):
        report = verify(derived(spec))
        assert report.verdict == "proved", str(report)
