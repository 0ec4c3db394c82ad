"""The one door to Z3: a named, timed question whether hypotheses imply a goal, with its SMT-LIB text."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import z3

from refold.verify.deadline import ran_out, remaining
from refold.verify.encode import Encoder, Undecided, Undefined
from refold.verify.result import Verdict

TIMEOUT_MS = 10_000
QUICK_MS = 200
MAX_PATHS = 600
LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the hypotheses imply the goal; `smt2` is satisfiable exactly where they do not."""

    verdict: Verdict
    seconds: float
    smt2: str
    paths: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """`build(encoder)` gives the goals and adds its hypotheses to the encoder; it runs once a path."""

    name: str
    encoder: Callable[[dict[str, bool]], Encoder]
    build: Callable[[Encoder], list[Any]]


def ask(query: Query, timeout_ms: int = TIMEOUT_MS, limit_s: float = LIMIT_S) -> Answer:
    """Goes down every feasible path of a query and asks for a counterexample on each.

    Proved: none on any path, and the hypotheses are satisfiable on at least one. Refuted here means that the
    encoding has a model; whether a real input shows the difference is for the caller to find out. A question that
    takes more than `limit_s` in all is not answered.
    """
    start = time.perf_counter()
    texts: list[str] = []
    verdict: Verdict = "proved"
    note = ""
    paths, alive = 0, False
    try:
        for hypotheses, goals in _paths(query):
            paths += 1
            if ran_out():
                break
            if paths > MAX_PATHS or time.perf_counter() - start > limit_s:
                verdict, note = "unknown", f"more than {limit_s:.0f} s or {MAX_PATHS} paths"
                break
            alive = alive or _check(hypotheses, timeout_ms)[0] == z3.sat
            refutation = z3.Not(z3.And(*goals))
            # Most goals are identities of polynomials, which premises about other things only make slower to see.
            outcome, solver = _check([refutation], QUICK_MS)
            if outcome != z3.unsat:
                outcome, solver = _check([*hypotheses, refutation], timeout_ms)
            texts.append(_smt2(query.name, paths, solver))
            if outcome == z3.sat:
                verdict, note = "refuted", _model(solver.model())
                break
            if outcome == z3.unknown:
                verdict, note = "unknown", f"Z3: {solver.reason_unknown()}"
    except Undefined as error:
        verdict, note = "unknown", f"the claim has no value in the extended reals: {error}"
    if verdict != "refuted" and ran_out():
        # A path that was cut short may have been dropped, so that no answer counts but a model.
        verdict, note = "unknown", ran_out()
    if verdict == "proved" and not alive:
        verdict, note = "unknown", "the hypotheses were not shown satisfiable"
    return Answer(verdict, time.perf_counter() - start, "\n".join(texts), paths, note)


def _paths(query: Query) -> Iterator[tuple[list[Any], list[Any]]]:
    """Every feasible way to decide the conditions that a query meets, depth first."""
    stack: list[tuple[dict[str, bool], list[Any]]] = [({}, [])]
    while stack:
        decided, conditions = stack.pop()
        encoder = query.encoder(decided)
        try:
            goals = query.build(encoder)
        except Undecided as pending:
            for choice in (True, False):
                taken = [*conditions, pending.condition if choice else z3.Not(pending.condition)]
                if _feasible([*taken, *encoder.axioms, *encoder.hypotheses]):
                    stack.append(({**decided, pending.condition.sexpr(): choice}, taken))
            continue
        premises = [*encoder.axioms, *conditions, *encoder.hypotheses]
        if _feasible(premises):
            yield premises, goals


def _feasible(conditions: list[Any]) -> bool:
    return bool(_check(conditions, 2_000)[0] != z3.unsat)


def _check(formulas: list[Any], timeout_ms: int) -> tuple[Any, Any]:
    timeout_ms = max(1, min(timeout_ms, int(1000 * min(remaining(), timeout_ms))))
    solver = z3.Solver()
    solver.set("timeout", timeout_ms)
    # The timeout is of `check` alone, and a large polynomial can keep `add` busy for minutes.
    watch = threading.Timer(2 * timeout_ms / 1000, solver.ctx.interrupt)
    watch.start()
    try:
        solver.add(*formulas)
        return solver.check(), solver
    except z3.Z3Exception:
        return z3.unknown, solver
    finally:
        watch.cancel()


def _smt2(name: str, path: int, solver: Any) -> str:
    return f"; {name}, path {path}: unsat means that the claim holds on it\n{solver.to_smt2()}"


def _model(model: Any) -> str:
    return ", ".join(f"{d.name()} = {model[d]}" for d in sorted(model.decls(), key=lambda d: d.name()))
