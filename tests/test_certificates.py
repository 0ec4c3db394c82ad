"""Certificates: that cofactors are found, that the checker accepts them and nothing else, and that proofs are kept."""

import ast
import copy
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import z3
from hypothesis import given, settings
from hypothesis import strategies as st

from refold.algebra import Plan, derive
from refold.report.lean import lean_text
from refold.verify import Proof, recheck, second, store, verify
from refold.verify.certificate import leaves
from refold.verify.cofactors import prove
from refold.verify.document import contents, proof_of, seal
from refold.verify.solver import settle

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
    found = prove((a + b) * (a + b) == a * a + 2 * a * b + b * b, [])
    assert found is not None
    assert (found.text, found.cofactors) == ("(a + b)*(a + b) = a*a + 2*a*b + b*b", ())


def test_cofactors_say_how_often_each_fact_is_used() -> None:
    found = prove(a * b == b, [a == 1, c == 0])
    assert found is not None
    assert found.cofactors == (("b", "a = 1"),)


def test_what_does_not_follow_has_none() -> None:
    assert prove(a * b == a, [a == 1]) is None


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(-3, 3), min_size=8, max_size=8))
def test_whatever_is_a_combination_of_facts_is_found_and_accepted(n: list[int]) -> None:
    facts = [a == b * b + n[0], c == n[1] * b]
    left = (a - b * b - n[0]) * (n[2] * c + n[3] * b) + (c - n[1] * b) * (n[4] * a + n[5])
    found = prove(left + n[6] * b * b == n[6] * b * b, facts)
    assert found is not None
    entry = {"equation": found.text, "cofactors": found.cofactors}
    known = [recheck.equation(f"a = b*b + {n[0]}"), recheck.equation(f"c = {n[1]}*b")]
    recheck.check_equation(entry, known)
    with pytest.raises(recheck.Rejected):
        recheck.check_equation({**entry, "equation": f"{found.text} + 1"}, known)


def test_an_equation_that_follows_from_inequalities_is_brought_to_light() -> None:
    # Neither fact is an equation: a = b has to be found before cofactors can be.
    answer = settle([a >= b, b >= a, a >= 0], [a * c == b * c])
    assert answer.verdict == "proved" and answer.certificate is not None
    assert [e.text for leaf in leaves(answer.certificate.case) for e in leaf.equations] == ["a*c = b*c"]


def test_solvers_that_disagree_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second, "opinion", lambda smt2: "sat")
    answer = settle([a > 1], [a > 0])
    assert answer.verdict == "unknown"
    assert "the solvers disagree" in answer.note


def test_two_solvers_answer() -> None:
    assert second.opinion("(set-logic ALL)(declare-fun x () Real)(assert (< (* x x) 0.0))(check-sat)") == "unsat"
    assert second.opinion("(set-logic ALL)(declare-fun x () Real)(assert (> (* x x) 0.0))(check-sat)") == "sat"


# --- the checker ----------------------------------------------------------------------------------------------


def test_the_checker_is_short_and_stands_alone() -> None:
    source = Path(recheck.__file__).read_text()
    assert len(source.splitlines()) < 200
    modules = {n.names[0].name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Import)}
    modules |= {n.module or "" for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ImportFrom)}
    assert modules <= {"__future__", "ast", "collections", "fractions", "hashlib", "json", "sys", "typing"}


def cases(proof: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node of every case distinction."""
    stack = [c["case"] for o in proof["obligations"] for c in o["proof"]]
    while stack:
        case = stack.pop()
        yield case
        stack += [case[k] for k in ("then", "else") if k in case]


def first(proof: dict[str, Any], key: str) -> dict[str, Any]:
    return next(case for case in cases(proof) if case.get(key))


def wrong_cofactor(proof: dict[str, Any]) -> None:
    entry = next(e for case in cases(proof) for e in case.get("equations", ()) if e["cofactors"])
    entry["cofactors"][0][0] = f"2*({entry['cofactors'][0][0]}) + 1"


def wrong_equation(proof: dict[str, Any]) -> None:
    first(proof, "equations")["equations"][0]["equation"] += " + 1"


def invented_fact(proof: dict[str, Any]) -> None:
    entry = first(proof, "equations")["equations"][0]
    entry["equation"], entry["cofactors"] = "a = b", [["1", "a = b"]]


def no_reason(proof: dict[str, Any]) -> None:
    case = next(case for case in cases(proof) if case.get("equations") and not case.get("unsat"))
    del case["equations"]


def lost_case(proof: dict[str, Any]) -> None:
    del first(proof, "if")["else"]


def lost_script(proof: dict[str, Any]) -> None:
    proof["scripts"].clear()


def other_script(proof: dict[str, Any]) -> None:
    next(iter(proof["scripts"].values()))["smt2"] += "; another"


def satisfiable(proof: dict[str, Any]) -> None:
    next(iter(proof["scripts"].values()))["answers"]["cvc5"] = "sat"


def nobody_knows(proof: dict[str, Any]) -> None:
    next(iter(proof["scripts"].values()))["answers"] = {"z3": "unknown", "cvc5": "unknown"}


def not_proved(proof: dict[str, Any]) -> None:
    proof["obligations"][0]["verdict"] = "unknown"


def bare(proof: dict[str, Any]) -> None:
    obligation = next(o for o in proof["obligations"] if o["proof"])
    obligation["proof"], obligation["note"] = [], ""


def nothing(proof: dict[str, Any]) -> None:
    proof["obligations"] = []


def code_for_a_polynomial(proof: dict[str, Any]) -> None:
    first(proof, "equations")["equations"][0]["equation"] = "__import__('os').getpid() = 0"


def another_format(proof: dict[str, Any]) -> None:
    proof["format"] += 1


CHANGES = [
    wrong_cofactor, wrong_equation, invented_fact, no_reason, lost_case, lost_script, other_script, satisfiable,
    nobody_knows, not_proved, bare, nothing, code_for_a_polynomial, another_format,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_a_changed_certificate_is_rejected(change: Callable[[dict[str, Any]], None]) -> None:
    proof = copy.deepcopy(document_of("softmax"))
    change(proof)
    proof["key"] = recheck.key(proof)  # the forger knows how keys are made
    with pytest.raises(recheck.Rejected):
        recheck.recheck(proof)


def test_a_changed_file_is_rejected_by_its_key() -> None:
    proof = document_of("softmax")
    proof["spec"] = "something else"
    with pytest.raises(recheck.Rejected, match="key"):
        recheck.recheck(proof)


@pytest.mark.parametrize("thing", [{}, {"format": 2}, {"obligations": 3, "format": 2, "key": ""}, []], ids=str)
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


def test_a_proof_file_is_the_same_in_another_process() -> None:
    # In which sets have another order.
    program = (
        "import importlib; from refold import derive, verify; from refold.verify.document import contents, seal;"
        "spec = importlib.import_module('refold.examples.softmax').SPEC;"
        "print(seal(contents(verify(derive(spec)), 'softmax')), end='')"
    )
    env = os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, check=True)
    assert done.stdout == seal(contents(proof_of_example("softmax"), "softmax"))


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
    (path,) = (tmp_path / "proofs").iterdir()
    found = json.loads(path.read_text())
    wrong_equation(found)
    path.write_text(json.dumps({**found, "key": recheck.key(found)}))
    assert store.recall(proof.plan) is None


def test_lean_text(golden: Callable[[str, str], None]) -> None:
    golden("softmax.lean", lean_text({**document_of("softmax"), "key": "0" * 64}))
