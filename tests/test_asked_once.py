"""What is asked again is answered from memory, and what is another question is not."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
import sympy as sp

from refold.algebra import Plan, State, derive
from refold.examples.logsumexp import SPEC as LOGSUMEXP
from refold.examples.rms_norm import SPEC as RMS_NORM
from refold.examples.softmax import SPEC as SOFTMAX
from refold.verify import Proof, verify
from refold.verify.certificate import recheck
from refold.verify.certificate.against import proof_against
from refold.verify.certificate.certificate import leaves
from refold.verify.certificate.document import document
from refold.verify.laws.obligations import merges
from refold.verify.obligation import Obligation, discharge, query
from refold.verify.smt import solver
from refold.verify.smt.cores import Cores
from refold.verify.verify import invariants_of

MODULE = importlib.import_module("refold.verify.obligation")
m, u = State("m"), State("u")


def plan_of(spec: Any) -> Plan:
    plan = derive(spec)
    assert isinstance(plan, Plan), plan
    return plan


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the questions that solvers were asked, nothing being remembered of other tests."""
    names: list[str] = []

    def ask(question: Any, *rest: Any) -> Any:
        names.append(question.name)
        return solver.ask(question, *rest)

    monkeypatch.setattr(MODULE, "ask", ask)
    monkeypatch.setattr(MODULE, "_PROVED", MODULE._Proved())
    return names


def claim(name: str, goal: Any, *assumptions: Any, partial: bool = False) -> Obligation:
    return Obligation(name, "", assumptions, (goal,), partial)


def test_a_question_is_asked_once(asked: list[str]) -> None:
    goal, plan = sp.Gt(sp.exp(u), 0, evaluate=False), plan_of(LOGSUMEXP)
    first, second = (discharge(claim(name, goal), plan) for name in ("first", "second"))
    assert asked == ["first"]
    assert (first.verdict, second.verdict, second.seconds) == ("proved", "proved", 0.0)
    assert first.certificate == second.certificate is not None


def test_what_may_be_infinite_is_another_question(asked: list[str]) -> None:
    goal = sp.Gt(sp.exp(m), 0, evaluate=False)
    finite, infinite = (discharge(claim("test", goal), plan_of(spec)) for spec in (RMS_NORM, LOGSUMEXP))
    assert len(asked) == 2
    assert finite.verdict == "proved" and infinite.verdict != "proved"


def test_other_assumptions_and_what_has_to_be_defined_are_other_questions(asked: list[str]) -> None:
    quotient, plan = sp.Eq(u / u**2 * u, 1, evaluate=False), plan_of(LOGSUMEXP)
    goal = sp.Gt(u * sp.exp(u), 0, evaluate=False)
    assert discharge(claim("some", goal, sp.Gt(u, 0)), plan).verdict == "proved"
    assert discharge(claim("none", goal), plan).verdict != "proved"
    discharge(claim("partial", quotient, partial=True), plan)
    discharge(claim("total", quotient), plan)
    assert asked == ["some", "none", "partial", "total"]


def test_what_is_not_proved_is_asked_again(asked: list[str]) -> None:
    goal, plan = sp.Gt(u, 0, evaluate=False), plan_of(LOGSUMEXP)
    assert [discharge(claim("test", goal), plan).verdict for _ in range(2)] == ["refuted", "refuted"]
    assert len(asked) == 2


def test_a_contradiction_is_looked_for_once_in_all_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, looked = plan_of(LOGSUMEXP), []
    core = Cores.core
    monkeypatch.setattr(Cores, "core", lambda self, formulas: looked.append(1) or core(self, formulas))
    obligation = next(o for (o, *_) in merges(plan, invariants_of(plan)) if o.name == "merge l: associative")
    looked.clear()
    answer = solver.ask(query(obligation, plan))
    assert answer.certificate is not None
    used = [s for leaf in leaves(answer.certificate.case) for s in leaf.scripts]
    assert 0 < len(looked) < len(used)


def test_a_proof_that_rests_on_answers_to_another_plan_is_one_of_its_own(asked: list[str]) -> None:
    plans = [plan_of(spec) for spec in (LOGSUMEXP, SOFTMAX)]
    before = verify(plans[0])
    first = len(asked)
    after = verify(plans[1])
    second = len(asked)
    alone = _alone(plans[1])
    assert isinstance(before, Proof) and isinstance(after, Proof)
    # Units, lifts and merges of both are the same, what is read off them is not.
    assert 0 < second - first < len(asked) - second
    found = json.loads(document(after, "softmax"))
    recheck.recheck(found)
    assert proof_against(found, plans[1]) is not None
    assert found == json.loads(document(alone, "softmax"))


def _alone(plan: Plan) -> Proof:
    """The proof of a plan in a thread that was asked nothing before."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        proof = pool.submit(verify, plan).result()
    assert isinstance(proof, Proof)
    return proof
