"""Asks one question about integers, and shows the numbers of a refutation."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import z3

from refold.verify import smtlib
from refold.verify.certificate import Names
from refold.verify.result import Result
from refold.verify.solver import settle

TIMEOUT_MS = 5_000
# Concrete blocks at which a model has to exist before it is shown.
BLOCKS = (2, 1, 3, 4)
# Most kernels ask the same of their tiles and programs; a process asks it once.
_ANSWERED: dict[tuple[str, ...], Result] = {}


@dataclass(frozen=True, slots=True)
class IndexQuestion:
    """Whether `hypotheses` imply `goal`, all in integers; `aligned` are the multiples of `block` among them.

    The hypotheses about multiples and products are weaker than what they stand for, so that a model counts only if it
    has `value = block * k` for every one of `aligned`, and all that is `exact`, too.
    """

    name: str
    claim: str
    hypotheses: tuple[Any, ...]
    goal: Any
    aligned: tuple[Any, ...] = ()
    block: Any = None
    exact: tuple[Any, ...] = ()
    note: str = ""


def answer(question: IndexQuestion, timeout_ms: int = TIMEOUT_MS) -> Result:
    """Proved; refuted with numbers at a block of at most 4; else unknown. Hypotheses without a model prove nothing."""
    start = time.perf_counter()
    names = Names()
    *hypotheses, goal = _renamed([*question.hypotheses, question.goal], names)
    key = (question.name, question.claim, question.note, smtlib.script([*hypotheses, goal]))
    if key in _ANSWERED:
        return _ANSWERED[key]
    found = settle(hypotheses, [goal], timeout_ms, names)
    verdict, note = found.verdict, found.note or question.note
    proof = () if found.certificate is None else (found.certificate,)
    if verdict == "proved" and _example(question, z3.BoolVal(True), timeout_ms) is None:
        verdict, note, proof = "unknown", "the hypotheses were not shown satisfiable", ()
    elif verdict != "proved":
        model = _example(question, z3.Not(question.goal), timeout_ms)
        if model is not None:
            verdict, note = "refuted", "not so at " + _numbers(model)
        elif verdict == "refuted":
            verdict, note = "unknown", "Z3 has a model of the weaker hypotheses only"
    seconds = time.perf_counter() - start
    result = Result(question.name, question.claim, verdict, seconds, found.smt2, note=note, proof=proof)
    if verdict != "unknown":
        _ANSWERED[key] = result
    return result


def _renamed(formulas: list[Any], names: Names) -> list[Any]:
    """Formulas with identifiers for variables, which a certificate is written in."""
    constants = {c.get_id(): c for f in formulas for c in smtlib.constants(f)}.values()
    pairs = [(c, z3.Const(names("", c.decl().name(), c.decl().name()), c.sort())) for c in constants]
    return [z3.substitute(f, *pairs) for f in formulas]


def _example(question: IndexQuestion, extra: Any, timeout_ms: int) -> Any:
    """A model in which every multiple of the block is one, at a small concrete block."""
    for block in BLOCKS if question.block is not None else (0,):
        solver = _solver(timeout_ms, *question.hypotheses, *question.exact, extra)
        if question.block is not None:
            solver.add(question.block == block)
            for n, value in enumerate(question.aligned):
                solver.add(value == block * z3.Int(f"multiple!{n}"))
        if solver.check() == z3.sat:
            return solver.model()
    return None


def _solver(timeout_ms: int, *formulas: Any) -> Any:
    solver = z3.Solver()
    solver.set("timeout", timeout_ms)
    solver.add(*formulas)
    return solver


def _numbers(model: Any) -> str:
    """The values of whatever a reader knows, without the solver's own names."""
    named = sorted((d for d in model.decls() if "!" not in d.name()), key=lambda d: d.name())
    return ", ".join(f"{d.name()} = {model[d]}" for d in named)
