"""Forged proof files: what the checker alone rejects, what only a comparison with the pipeline can, and kept proofs.

Every forgery starts from the real proof of logsumexp, and whoever forges knows how keys and hashes are made.
"""

import copy
import hashlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from refold import Plan, Proof, derive
from refold.emit import runtime as refold_runtime
from refold.schedule.launch import launch
from refold.verify import verify
from refold.verify.certificate import recheck, signature, store
from refold.verify.certificate.against import proof_against
from refold.verify.certificate.document import document
from refold.verify.kernel import indexing

File = dict[str, Any]


def plan_of(name: str) -> Plan:
    plan = derive(importlib.import_module(f"refold.examples.{name}").SPEC)
    assert isinstance(plan, Plan)
    return plan


@cache
def proof_of(name: str) -> Proof:
    proof = verify(plan_of(name))
    assert isinstance(proof, Proof)
    return proof


@cache
def text_of(name: str) -> str:
    return document(proof_of(name), name)


def file_of(name: str = "logsumexp") -> File:
    return json.loads(text_of(name))


def seal(file: File) -> File:
    """The file with the key that it ought to have."""
    return {**file, "key": recheck.digest({**file, "key": ""})}


def cases(file: File) -> Iterator[File]:
    """Every node of every case distinction, of reals first."""
    stack = [c["case"] for o in file["obligations"][::-1] for c in o["proof"]]
    while stack:
        case = stack.pop()
        yield case
        stack += [case[side] for side in ("else", "then") if side in case]


def first(file: File, key: str) -> File:
    return next(case for case in cases(file) if case.get(key))


def obligation(file: File, name: str) -> File:
    return next(o for o in file["obligations"] if o["name"] == name)


def answer(file: File, case: File, said: dict[str, str]) -> None:
    """Invents what solvers say to the scripts of a leaf."""
    for used, negated in case["unsat"]:
        file["answers"][recheck.digest(recheck.script(used, negated, "Real"))] = said


UNSAT = {"z3": "unsat", "cvc5": "unsat"}


# --- rejected by the checker alone ----------------------------------------------------------------------------


def all_obligations_but_one(file: File) -> None:
    del file["obligations"][1:]


def an_obligation_is_gone(file: File) -> None:
    file["obligations"].remove(obligation(file, "merge l: associative"))


def nobody_asked_who_writes(file: File) -> None:
    file["obligations"].remove(obligation(file, "index write once y"))


def nobody_asked_of_the_loops(file: File) -> None:
    file["obligations"].remove(obligation(file, "index loops: split"))


def nobody_asked_of_a_kernel(file: File) -> None:
    file["obligations"].remove(obligation(file, "refinement parts: l"))


def an_empty_program(file: File) -> None:
    file["program"] = {"accumulators": {}, "finish": [], "guard": [], "reading": [], "index": [], "refinement": []}
    del file["obligations"][1:]


def the_program_of_another(file: File) -> None:
    file["program"] = file_of("softmax")["program"] | {"accumulators": {"m": ["max"], "other": ["sum", "m"]}}


def everything_is_the_same(file: File) -> None:
    for o in file["obligations"]:
        for c in o["proof"]:
            c["case"] = {"same": True}


def goals_beside_sameness(file: File) -> None:
    leaf = first(file, "show")
    leaf["equations"], leaf["unsat"], leaf["same"] = {}, [], [["x", "x"]]


def two_sides_that_differ(file: File) -> None:
    first(file, "same")["same"][0][1] += " + 1"


def one_script_for_everything(file: File) -> None:
    file["answers"] = {recheck.digest("(set-logic ALL)\n(check-sat)\n"): UNSAT}


def facts_that_do_not_hold(file: File) -> None:
    leaf = first(file, "unsat")
    leaf["unsat"] = [[["E_m1 < 0", "E_m1 > 0"], []]]
    answer(file, leaf, UNSAT)


def a_script_of_nothing(file: File) -> None:
    leaf = first(file, "unsat")
    leaf["unsat"] = [[[], []]]
    answer(file, leaf, UNSAT)


def made_up_solvers(file: File) -> None:
    for name in file["answers"]:
        file["answers"][name] = {"oracle": "unsat", "delphi": "unsat"}


def a_third_solver(file: File) -> None:
    next(iter(file["answers"].values()))["oracle"] = "unsat"


def a_solver_that_says_sat(file: File) -> None:
    next(iter(file["answers"].values()))["cvc5"] = "sat"


def a_solver_that_says_yes(file: File) -> None:
    next(iter(file["answers"].values()))["cvc5"] = "yes"


def nobody_knows(file: File) -> None:
    file["answers"] = {name: {"z3": "unknown", "cvc5": "unknown"} for name in file["answers"]}


def no_answers(file: File) -> None:
    file["answers"] = {}


def one_is_zero(file: File) -> None:
    leaf = first(file, "equations")
    leaf["given"] = ["1 == 0"]
    goal = leaf["show"][0]
    leaf["equations"] = {goal: [[f"({goal.replace(' == ', ') - (')})", "1 == 0"]]}


def something_is_one_more_than_itself(file: File) -> None:
    leaf = first(file, "equations")
    leaf["given"], leaf["show"], leaf["equations"] = ["x == x + 1"], ["1 == 0"], {"1 == 0": [["-1", "x == x + 1"]]}


def false_is_given(file: File) -> None:
    leaf = first(file, "unsat")
    leaf["given"], leaf["unsat"] = ["False"], [[["False"], []]]
    answer(file, leaf, UNSAT)


def a_case_where_one_is_zero(file: File) -> None:
    part = next(c for o in file["obligations"] for c in o["proof"])
    part["case"] = {"if": "1 == 0", "then": copy.deepcopy(part["case"]), "else": {"same": [["x", "x"]]}}


def a_lost_case(file: File) -> None:
    del first(file, "if")["else"]


def a_case_without_a_leaf(file: File) -> None:
    first(file, "if")["else"] = {}


def a_condition_of_another_case(file: File) -> None:
    # What holds where a condition holds does not hold where it fails.
    node = next(c for c in cases(file) if "if" in c and c["then"].get("equations"))
    node["then"], node["else"] = node["else"], node["then"]


def a_disjunction_as_a_fact(file: File) -> None:
    leaf = first(file, "equations")
    leaf["given"], leaf["show"] = ["a == b or a == c"], ["a == b"]
    leaf["equations"] = {"a == b": [["1", "a == b"]]}


def an_invented_fact(file: File) -> None:
    leaf = first(file, "equations")
    leaf["show"], leaf["equations"] = ["a == b"], {"a == b": [["1", "a == b"]]}


def a_wrong_cofactor(file: File) -> None:
    pairs = next(p for case in cases(file) for p in case.get("equations", {}).values() if p)
    pairs[0][0] = f"2*({pairs[0][0]}) + 1"


def a_wrong_equation(file: File) -> None:
    leaf = first(file, "equations")
    goal = leaf["show"][0]
    leaf["show"][0] = f"{goal} + 1"
    leaf["equations"] = {f"{goal} + 1": leaf["equations"][goal]}


def a_goal_that_nothing_shows(file: File) -> None:
    first(file, "show")["show"].append("1 == 2")


def swapped_goals(file: File) -> None:
    one, two = [case for case in cases(file) if len(case.get("show", [])) == 1 and case.get("equations")][:2]
    one["show"], two["show"] = two["show"], one["show"]


def reals_as_integers(file: File) -> None:
    # x² = 2 has no solution among integers.
    leaf = first(file, "unsat")
    leaf["given"], leaf["unsat"] = ["x * x == 2"], [[["x * x == 2"], []]]
    file["answers"][recheck.digest(recheck.script(["x * x == 2"], [], "Int"))] = UNSAT


def a_variable_called_true(file: File) -> None:
    # In SMT-LIB `not true` is false; a variable of that name is none of its constants.
    leaf = first(file, "unsat")
    leaf["given"], leaf["unsat"] = ["not true"], [[["not true"], []]]
    file["answers"][recheck.digest("(set-logic ALL)\n(assert (not true))\n(check-sat)\n")] = UNSAT


def a_number_that_is_a_condition(file: File) -> None:
    leaf = first(file, "unsat")
    leaf["given"] = ["x and x < 0"]
    leaf["unsat"] = [[["x", "x < 0"], []]]


def not_proved(file: File) -> None:
    file["obligations"][3]["verdict"] = "unknown"


def without_a_certificate(file: File) -> None:
    obligation(file, "finish y")["proof"] = []


def code_for_a_polynomial(file: File) -> None:
    leaf = first(file, "equations")
    leaf["show"], leaf["equations"] = ["__import__('os').getpid() == 0"], {"__import__('os').getpid() == 0": []}


def another_format(file: File) -> None:
    file["format"] -= 1


def fields_that_are_missing(file: File) -> None:
    del file["program"]["accumulators"]


def fields_of_another_kind(file: File) -> None:
    file["obligations"] = {"name": "structure"}


ALONE: list[Callable[[File], None]] = [
    all_obligations_but_one, an_obligation_is_gone, nobody_asked_who_writes, nobody_asked_of_the_loops,
    nobody_asked_of_a_kernel,
    an_empty_program, the_program_of_another, everything_is_the_same, goals_beside_sameness, two_sides_that_differ,
    one_script_for_everything, facts_that_do_not_hold,
    a_script_of_nothing, made_up_solvers, a_third_solver, a_solver_that_says_sat, a_solver_that_says_yes,
    nobody_knows, no_answers, one_is_zero, something_is_one_more_than_itself, false_is_given,
    a_case_where_one_is_zero, a_lost_case, a_case_without_a_leaf, a_condition_of_another_case,
    a_disjunction_as_a_fact, an_invented_fact, a_wrong_cofactor, a_wrong_equation, a_goal_that_nothing_shows,
    swapped_goals, reals_as_integers, a_variable_called_true, a_number_that_is_a_condition, not_proved,
    without_a_certificate, code_for_a_polynomial, another_format, fields_that_are_missing, fields_of_another_kind,
]  # fmt: skip


def test_the_real_file_holds() -> None:
    assert recheck.recheck(file_of())["obligations"] == len(proof_of("logsumexp").results)
    kept = proof_against(file_of(), plan_of("logsumexp"))
    assert [(r.name, r.claim, r.proof) for r in kept.results] == [
        (r.name, r.claim, r.proof) for r in proof_of("logsumexp").results
    ]


@pytest.mark.parametrize("forge", ALONE, ids=lambda f: f.__name__)
def test_the_checker_rejects(forge: Callable[[File], None]) -> None:
    file = file_of()
    forge(file)
    with pytest.raises(recheck.Rejected):
        recheck.recheck(seal(file))


# --- what only the pipeline can tell --------------------------------------------------------------------------


def another_claim(file: File) -> None:
    obligation(file, "finish y")["claim"] = "y = 0"


def another_spec(file: File) -> None:
    file["spec"] = file_of("softmax")["spec"]


def another_plan(file: File) -> None:
    file["plan"] = file_of("softmax")["plan"]


def another_pipeline(file: File) -> None:
    # All of it, under the name of this one.
    file.update(file_of("softmax") | {"name": "logsumexp"})


def another_hash(file: File) -> None:
    file["hashes"]["spec"] = file_of("softmax")["hashes"]["spec"]


def claims_of_nothing(file: File) -> None:
    # Consistent in itself: every obligation that the program demands, and x = x in each.
    for o in file["obligations"]:
        if o["proof"]:
            o["proof"] = [{"case": {"show": ["x == x"], "equations": {"x == x": []}}}]


def a_premise_of_its_own(file: File) -> None:
    # Unsatisfiable, with the answers that solvers would give.
    leaf = first(file, "unsat")
    leaf["given"], leaf["unsat"] = ["x * x < 0"], [[["x * x < 0"], []]]
    answer(file, leaf, UNSAT)


def a_case_of_its_own(file: File) -> None:
    part = next(c for o in file["obligations"] for c in o["proof"])
    part["case"] = {"if": "x == x", "then": {"show": ["x == x"], "equations": {"x == x": []}}, "else": part["case"]}


def a_case_that_cannot_be(file: File) -> None:
    leaf = first(file, "equations")
    leaf.pop("equations")
    leaf["given"], leaf["unsat"], leaf["show"] = ["E_m1 < 0"], [[["E_m1 < 0"], []]], []
    answer(file, leaf, UNSAT)


def certificates_of_another_obligation(file: File) -> None:
    one, two = obligation(file, "merge m: associative"), obligation(file, "merge m: commutative")
    one["proof"], two["proof"] = two["proof"], one["proof"]


def a_smaller_bound(file: File) -> None:
    bound = file["rounding"]["outputs"][0]
    bound["bound"] = bound["bound"].replace("(B−1)·u·A(tile sums) + ", "")


def a_bound_that_holds_for_more(file: File) -> None:
    file["rounding"]["holds for"] = "all inputs"


def no_bound(file: File) -> None:
    del file["rounding"]


def one_obligation_less(file: File) -> None:
    file["obligations"].remove(obligation(file, "range l: step"))


def one_obligation_more(file: File) -> None:
    file["obligations"].append({**obligation(file, "finish y"), "name": "no rounding"})


def an_obligation_twice(file: File) -> None:
    file["obligations"].append(obligation(file, "finish y"))


def another_order(file: File) -> None:
    file["obligations"].reverse()


AGAINST: list[Callable[[File], None]] = [
    another_claim, another_spec, another_plan, another_pipeline, another_hash, claims_of_nothing,
    a_premise_of_its_own, a_case_of_its_own, a_case_that_cannot_be, certificates_of_another_obligation,
    a_smaller_bound, a_bound_that_holds_for_more, no_bound,
    one_obligation_less, one_obligation_more, an_obligation_twice, another_order,
]  # fmt: skip


@pytest.mark.parametrize("forge", AGAINST, ids=lambda f: f.__name__)
def test_the_comparison_rejects(forge: Callable[[File], None]) -> None:
    file = file_of()
    forge(file)
    with pytest.raises(recheck.Rejected):
        proof_against(seal(file), plan_of("logsumexp"))


def test_bounds_of_integers_have_a_certificate() -> None:
    file = file_of()
    obligation(file, "index overflow")["proof"] = []
    with pytest.raises(recheck.Rejected, match=r"^obligation index overflow: no certificate"):
        recheck.recheck(seal(file))


def test_what_a_launcher_looks_at_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds of integers rest on it: a launcher that does not look where parts end has none."""
    file = file_of()
    recheck.recheck(file)
    monkeypatch.setattr(indexing, "launch", lambda made: replace(launch(made), counts=()))
    with pytest.raises(recheck.Rejected, match=r"^index overflow "):
        proof_against(file, plan_of("logsumexp"))


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "", "[]", '{"format": 4}', "3"], ids=range(6))
def test_what_is_no_proof_file_is_rejected(text: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(text)
    done = subprocess.run([sys.executable, recheck.__file__, str(tmp_path / "p.json")], capture_output=True, text=True)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr and not done.stdout


# --- kept proofs ----------------------------------------------------------------------------------------------


@pytest.fixture
def slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place at which the proof of logsumexp is kept."""
    monkeypatch.setenv("REFOLD_CACHE", str(tmp_path))
    store.keep(proof_of("logsumexp"))
    (path,) = (tmp_path / "proofs").glob("*.json")
    assert store.recall(plan_of("logsumexp")) is not None
    return path


@pytest.mark.parametrize("what", ["foreign", "poisoned", "truncated", "deep", "empty", "of another kind"])
def test_another_entry_is_never_a_proof_and_is_replaced(what: str, slot: Path) -> None:
    poisoned = file_of()
    claims_of_nothing(poisoned)
    text = slot.read_text()
    slot.write_text(
        {
            "foreign": text_of("softmax"),
            "poisoned": json.dumps(seal(poisoned)),
            "truncated": text[: len(text) // 2],
            "deep": "[" * 100_000,
            "empty": "",
            "of another kind": "[3]",
        }[what]
    )
    assert store.recall(plan_of("logsumexp")) is None
    store.keep(proof_of("logsumexp"))
    left = {p.name for p in slot.parent.iterdir()}
    assert slot.read_text() == text and left == {slot.name, slot.with_suffix(store.SIGNED).name}


def compared(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the kept proof of a plan is compared with its obligations when it is recalled."""
    asked = []

    def against(found: File, plan: Plan) -> Proof:
        asked.append(plan)
        raise recheck.Rejected("what is compared decides")

    monkeypatch.setattr(store, "proof_against", against)
    assert (store.recall(plan) is None) == bool(asked)
    return bool(asked)


def test_a_proof_that_this_user_signed_is_rechecked_alone(slot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not compared(plan_of("logsumexp"), monkeypatch)


@pytest.mark.parametrize("what", ["edited", "without", "of another", "no key", "a key that others read"])
def test_a_proof_that_is_not_signed_is_compared(what: str, slot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark, key = slot.with_suffix(store.SIGNED), signature.folder() / "key"
    match what:
        case "edited":
            slot.write_text(slot.read_text() + " ")
        case "without":
            mark.unlink()
        case "of another":
            mark.write_text(str(signature.signature("another", slot.read_text())))
        case "no key":
            monkeypatch.setenv("XDG_STATE_HOME", str(slot))
        case "a key that others read":
            monkeypatch.setenv("XDG_STATE_HOME", str(slot.parent.parent))
            copy = signature.folder() / "key"
            copy.parent.mkdir()
            copy.write_bytes(key.read_bytes())
            copy.chmod(0o644)
    assert compared(plan_of("logsumexp"), monkeypatch)


def test_the_key_is_of_this_user_alone(slot: Path) -> None:
    assert (signature.folder() / "key").stat().st_mode & 0o077 == 0


def test_what_is_kept_of_a_refuted_plan_is_no_proof_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The plan of logsumexp whose sum is not corrected, with the proof of the right one in its place.
    monkeypatch.setenv("REFOLD_CACHE", str(tmp_path))
    plan = plan_of("logsumexp")
    wrong = replace(
        plan,
        accumulators=tuple(replace(a, correction=a.symbol) if a.reducer == "sum" else a for a in plan.accumulators),
    )
    path = store.path_of(wrong)
    assert path != store.path_of(plan)
    path.parent.mkdir(parents=True)
    for fresh in (False, True):
        path.write_text(text_of("logsumexp"))
        assert store.verified(wrong, fresh=fresh).verdict == "refuted"
        assert not path.exists()


def test_a_kept_proof_is_of_its_names_axes_and_dtypes(slot: Path) -> None:
    from refold import Tensor, axes, fold, pipeline

    i, j = axes("i j")

    def plan(name: str, dtype: Any = "float", *other: Any) -> Plan:
        x = Tensor(name, *(other or (i, j)), dtype=dtype)
        found = derive(pipeline(y=fold.sum(x[other or (i, j)], over=j)[i]))
        assert isinstance(found, Plan)
        return found

    plans = [plan("x"), plan("z"), plan("x", "float32"), plan("x", "float", j, i)]
    assert len({store.path_of(p) for p in plans}) == len(plans)
    assert store.path_of(plan("x")) == store.path_of(plan("x"))


def test_a_kept_proof_asks_no_solver(slot: Path) -> None:
    code = (
        "from refold.verify.smt import solver, second\nfrom refold.verify.certificate import store\n"
        "from refold import derive\n"
        "from refold.examples.logsumexp import SPEC\n"
        "def asked(*_): raise SystemExit('a solver was asked')\n"
        "solver._Search.check = solver._Search.core = solver._Search.opinion = second.opinion = asked\n"
        "print(store.verified(derive(SPEC)).verdict)\n"
    )
    env = os.environ | {"PYTHONHASHSEED": "11"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout == "proved\n", done.stderr


# --- one solver -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["pretty", "json", "junit", "sarif", "github"])
def test_one_solver_alone_is_told(
    format: str, slot: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from refold.report import steps

    file = file_of()
    name = next(iter(file["answers"]))
    file["answers"][name] = {"z3": "unsat", "cvc5": "unknown"}
    slot.write_text(json.dumps(seal(file)))
    slot.with_suffix(store.SIGNED).write_text(str(signature.signature(slot.stem, slot.read_text())))
    assert steps.verify("logsumexp", format) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "one solver alone" in shown and ("cvc5 gave up on 1 of" in shown or format == "pretty")


# --- emitted tests --------------------------------------------------------------------------------------------


def test_emitted_tests_know_their_proof_and_their_kernel(tmp_path: Path) -> None:
    from refold.emit import emit

    emit(proof_of("logsumexp"), "lse").write(tmp_path)
    kernel, proof = tmp_path / "lse.py", tmp_path / "lse.proof.json"
    source, text = kernel.read_text(), proof.read_text()

    def run() -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir=."]
        done = subprocess.run([*command, "test_lse.py", "-k", "proof or obligations or certificates"], cwd=tmp_path,
                              env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)  # fmt: skip
        return done.stdout

    assert "4 passed" in run()
    # Of another pipeline, consistent in itself and under the right name.
    other = file_of("softmax") | {"name": "lse"}
    proof.write_text(json.dumps(seal({**other, "hashes": {**other["hashes"], "kernel": "0" * 64}})))
    shown = run()
    assert "the proof is of another pipeline" in shown and "test_the_obligations_are_those" in shown
    proof.write_text(text)
    kernel.write_text(
        source.replace("\n    return _call(", "\n    if x.shape[-2] > 40:\n        return 7.0\n    return _call(", 1)
    )
    assert "the kernel is not the one that was emitted" in run()
    kernel.write_text(source)
    # A changed runtime is refused by the kernel file, and by the proof where the kernel file takes it.
    runtime = tmp_path / "refold_runtime.py"
    changed = runtime.read_text().replace("return a / b", "return b / a")
    assert changed != runtime.read_text()
    runtime.write_text(changed)
    assert "is not the one that lse.py was emitted with" in run()
    was, now = (hashlib.sha256(x.encode()).hexdigest() for x in (refold_runtime.text(), changed))
    kernel.write_text(source.replace(was[:16], now[:16]))
    found = json.loads(text)
    found["hashes"]["kernel"] = hashlib.sha256(kernel.read_bytes()).hexdigest()
    proof.write_text(json.dumps(seal(found)))
    assert "the runtime is not the one that was emitted" in run()
