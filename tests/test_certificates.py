"""Certificates: that cofactors are found, that the checker accepts them and nothing else, and that proofs are kept."""

import ast
import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.algebra import Plan, derive
from refold.report.lean import lean_text
from refold.verify import Proof, verify
from refold.verify.certificate import recheck, store
from refold.verify.certificate.certificate import leaves, to_json
from refold.verify.certificate.cofactors import prove
from refold.verify.certificate.document import contents, proof_of, seal
from refold.verify.smt import formulas as z3
from refold.verify.smt import second
from refold.verify.smt.formula import Texts
from refold.verify.smt.solver import settle

a, b, c = z3.Reals("a b c")


def plan_of(name: str) -> Plan:
    plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
    assert isinstance(plan, Plan)
    return plan


@cache
def proof_of_example(name: str) -> Proof:
    report = verify(plan_of(name))
    assert isinstance(report, Proof)
    return report


def document_of(name: str) -> dict[str, Any]:
    return json.loads(seal(contents(proof_of_example(name), name)))


# --- cofactors ------------------------------------------------------------------------------------------------


def test_an_identity_needs_no_fact() -> None:
    found = prove((a + b) * (a + b) == a * a + 2 * a * b + b * b, [], Texts())
    assert found is not None
    assert (found.text, found.cofactors) == ("(a + b) * (a + b) == a * a + 2 * a * b + b * b", ())


def test_cofactors_say_how_often_each_fact_is_used() -> None:
    found = prove(a * b == b, [a == 1, c == 0], Texts())
    assert found is not None
    assert found.cofactors == (("b", "a == 1"),)


def test_what_does_not_follow_has_none() -> None:
    assert prove(a * b == a, [a == 1], Texts()) is None


@settings(max_examples=60, derandomize=True)
@given(st.lists(st.integers(-3, 3), min_size=8, max_size=8))
def test_whatever_is_a_combination_of_facts_is_found_and_accepted(n: list[int]) -> None:
    facts = [a == b * b + n[0], c == n[1] * b]
    left = (a - b * b - n[0]) * (n[2] * c + n[3] * b) + (c - n[1] * b) * (n[4] * a + n[5])
    found = prove(left + n[6] * b * b == n[6] * b * b, facts, Texts())
    assert found is not None
    leaf = {"given": list(map(Texts(), facts)), "show": [found.text], "equations": {found.text: found.cofactors}}
    check(leaf)
    other = f"{found.text} + 1"
    with pytest.raises(recheck.Rejected):
        check(leaf | {"show": [other], "equations": {other: found.cofactors}})


def check(leaf: dict[str, Any], numbers: str = "Real") -> None:
    recheck.check_case(leaf, [], numbers, {}, Counter())


def test_an_equation_that_follows_from_inequalities_is_brought_to_light() -> None:
    # Neither fact is an equation: a = b has to be found before cofactors can be.
    answer = settle([a >= b, b >= a, a >= 0], [a * c == b * c])
    assert answer.verdict == "proved" and answer.certificate is not None
    assert [e.text for leaf in leaves(answer.certificate.case) for e in leaf.equations] == ["a * c == b * c"]


def test_solvers_that_disagree_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second, "opinion", lambda smt2: "sat")
    answer = settle([a > 1], [a > 0])
    assert answer.verdict == "unknown"
    assert "the solvers disagree" in answer.note


def test_what_is_true_as_it_stands_has_a_certificate_that_holds() -> None:
    answer = settle([a > 1], [z3.And(z3.BoolVal(True))])
    assert answer.verdict == "proved" and answer.certificate is not None
    recheck.check_case(to_json(answer.certificate.case), [], "Real", {}, Counter())


def test_two_solvers_answer() -> None:
    assert second.opinion("(set-logic ALL)(declare-fun x () Real)(assert (< (* x x) 0.0))(check-sat)") == "unsat"
    assert second.opinion("(set-logic ALL)(declare-fun x () Real)(assert (> (* x x) 0.0))(check-sat)") == "sat"


# --- the checker ----------------------------------------------------------------------------------------------


def test_the_checker_is_short_and_stands_alone() -> None:
    source = Path(recheck.__file__).read_text()
    assert len(source.splitlines()) < 200
    modules = {n.names[0].name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Import)}
    modules |= {n.module or "" for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ImportFrom)}
    assert modules <= {"__future__", "ast", "collections", "fractions", "hashlib", "json", "pathlib", "sys", "typing"}


@pytest.mark.parametrize("thing", [{}, {"format": 3}, {"obligations": 3, "format": 4, "key": ""}, []], ids=str)
def test_what_is_no_proof_is_rejected(thing: Any) -> None:
    with pytest.raises(recheck.Rejected):
        recheck.recheck(thing)


def test_the_checker_runs_by_itself(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(document_of("softmax")))
    script = [sys.executable, "-I", "-S", recheck.__file__]
    done = subprocess.run([*script, str(tmp_path / "p.json")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "holds" in done.stdout
    done = subprocess.run([*script, str(tmp_path / "q.json")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")


# --- proof files ----------------------------------------------------------------------------------------------


def test_a_proof_file_is_the_same_each_time() -> None:
    again = verify(plan_of("softmax"))
    assert isinstance(again, Proof)
    assert seal(contents(again, "softmax")) == seal(contents(proof_of_example("softmax"), "softmax"))


@pytest.mark.parametrize("name", ["softmax", "argmax", "gqa"])
def test_a_proof_file_is_the_same_in_another_process(name: str) -> None:
    # In which sets have another order.
    program = (
        "import importlib; from refold import derive, verify;"
        "from refold.verify.certificate.document import contents, seal;"
        f"spec = importlib.import_module('refold.examples.{name}').SPEC;"
        f"print(seal(contents(verify(derive(spec)), '{name}')), end='')"
    )
    env = os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, check=True)
    assert done.stdout == seal(contents(proof_of_example(name), name))


@pytest.mark.parametrize("name", ["logsumexp", "argmax", "gqa"])
def test_a_proof_file_is_compared_in_another_process(name: str, tmp_path: Path) -> None:
    """The questions are the same in a process that has asked no solver, in which sets have another order."""
    path = tmp_path / "proof.json"
    path.write_text(seal(contents(proof_of_example(name), name)), encoding="utf-8")
    program = (
        "import importlib, json, pathlib; from refold import derive;"
        "from refold.verify.certificate.against import proof_against;"
        f"spec = importlib.import_module('refold.examples.{name}').SPEC;"
        f"proof_against(json.loads(pathlib.Path({str(path)!r}).read_text(encoding='utf-8')), derive(spec))"
    )
    env = os.environ | {"PYTHONHASHSEED": "8"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-500:]


def test_a_proof_is_read_as_it_was_written() -> None:
    proof = proof_of_example("softmax")
    read = proof_of(document_of("softmax"), proof.plan)
    assert [(r.name, r.claim, r.proof, r.smt2) for r in read.results] == [
        (r.name, r.claim, r.proof, r.smt2) for r in proof.results
    ]
    assert read.kept and not proof.kept


def test_an_unchanged_plan_is_recalled_and_a_changed_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFOLD_CACHE", str(tmp_path))
    proof = proof_of_example("softmax")
    assert store.recall(proof.plan) is None
    store.keep(proof)
    kept = store.recall(proof.plan)
    assert kept is not None and kept.kept and kept.plan is proof.plan
    assert store.recall(plan_of("log_softmax")) is None
    monkeypatch.setattr(store, "versions", lambda: (("z3", "another"),))
    assert store.recall(proof.plan) is None


def test_a_kept_proof_that_does_not_hold_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFOLD_CACHE", str(tmp_path))
    proof = proof_of_example("softmax")
    store.keep(proof)
    (path,) = (tmp_path / "proofs").glob("*.json")
    found = json.loads(path.read_text())
    found["obligations"].pop()
    path.write_text(json.dumps({**found, "key": recheck.digest({**found, "key": ""})}))
    assert store.recall(proof.plan) is None


def test_lean_text(golden: Callable[[str, str], None]) -> None:
    golden("softmax.lean", lean_text({**document_of("softmax"), "key": "0" * 64}))
