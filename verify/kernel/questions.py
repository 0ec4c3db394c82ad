"""Asks one question about integers, and shows the numbers of a refutation."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from refold.verify.certificate import comparison
from refold.verify.certificate.certificate import Names
from refold.verify.deadline import doing
from refold.verify.kernel.trials import trials
from refold.verify.result import Result, joined
from refold.verify.smt import formulas as z3
from refold.verify.smt import smtlib
from refold.verify.smt.query import Query, answered, plain_query
from refold.verify.smt.solver import ask, check, satisfiable
from refold.verify.smt.values import model_words

TIMEOUT_MS = 5_000
# How far from 0 a model of many hypotheses is looked for first.
NEAR = 8
# How much work a trial of small numbers is worth.
OF_A_TRIAL = 100_000
# Concrete blocks at which a model has to exist before it is shown.
BLOCKS = (2, 1, 3, 4)


class _Answered(threading.local):
    """Most kernels ask the same of their tiles and programs; a thread asks it once.

    Among others that are at work Z3 may find another proof of the same, and one thread's are not to hang on those.
    """

    def __init__(self) -> None:
        self.results: dict[Hashable, Result] = {}

    def named(self, key: Hashable, question: IndexQuestion) -> Result:
        """The same answer to another question."""
        known = self.results[key]
        return replace(known, name=question.name, claim=question.claim, note=known.note or question.note)


_ANSWERED = _Answered()


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
    # What it is the question about, where that is known without its text.
    key: Hashable = None
    # Its number among those that are one obligation.
    part: int | None = None
    # Whether Z3 has shown it of these very hypotheses.
    shown: bool = False
    # The arguments of a kernel in it: those that something is divided by, and all others.
    divisors: tuple[Any, ...] = ()
    others: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexQuestions:
    """Several questions that are one obligation; `unread` says what of the kernels has no reading."""

    name: str
    claim: str
    parts: tuple[IndexQuestion, ...]
    unread: str = ""


def answer(question: IndexQuestion | IndexQuestions | Result, timeout_ms: int = TIMEOUT_MS) -> Result:
    """Proved of all parts; else what became of the first that is not, which is unknown at best."""
    if isinstance(question, Result):
        return question
    if isinstance(question, IndexQuestion):
        return _one(question, timeout_ms)
    if question.unread or not question.parts:
        return Result(question.name, question.claim, "unknown", 0.0, "", note=question.unread or "nothing was read")
    found = []
    for n, part in enumerate(question.parts):
        found.append(_one(replace(part, name=question.name, claim=question.claim, part=n), timeout_ms))
        if found[-1].verdict == "refuted":
            # A model gives values to what was not read too: a fold of lanes, what a loop carries.
            return replace(found[-1], verdict="unknown", note=f"not shown of all that was read: {found[-1].note}")
        if found[-1].verdict != "proved":
            return found[-1]
    return joined(question.name, question.claim, found, "; ".join(dict.fromkeys(r.note for r in found if r.note)))


def _one(question: IndexQuestion, timeout_ms: int) -> Result:
    """Proved; refuted with numbers at a block of at most 4; else unknown. Hypotheses without a model prove nothing."""
    doing(f"while {question.name} was asked")
    if question.key is not None and question.key in _ANSWERED.results and comparison.read() is None:
        return _ANSWERED.named(question.key, question)
    with comparison.query_context():
        # What Z3 finds depends on all that a context has seen before.
        return answered_here(translated(question), timeout_ms)


def settled(key: Hashable) -> bool:
    """Whether the question of this key was proved before."""
    return key in _ANSWERED.results and _ANSWERED.results[key].verdict == "proved"


def translated(question: IndexQuestion) -> IndexQuestion:
    """The question in the context of here and now."""

    def there(formulas: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(f.translate(z3.current()) for f in formulas)

    (goal,) = there((question.goal,))
    block = None if question.block is None else there((question.block,))[0]
    return replace(question, hypotheses=there(question.hypotheses), goal=goal, aligned=there(question.aligned),
                   block=block, exact=there(question.exact), divisors=there(question.divisors),
                   others=there(question.others))  # fmt: skip


def answered_here(question: IndexQuestion, timeout_ms: int = TIMEOUT_MS) -> Result:
    """The answer to a question in whose context nothing else was asked."""
    start = time.perf_counter()
    asked, formulas = _query(question)
    if comparison.read() is not None:
        # What was asked in this process is not what the file says.
        read = answered(question.name, question.claim, ask(asked))
        return replace(read, note=read.note or question.note)
    key = smtlib.script(formulas) if question.key is None else question.key
    if key in _ANSWERED.results:
        return _ANSWERED.named(key, question)
    found = ask(asked, timeout_ms)
    verdict, note = found.verdict, found.note or question.note
    proof = () if found.certificate is None else (found.certificate,)
    if verdict == "proved" and not _holds_somewhere(question, timeout_ms):
        verdict, note, proof = "unknown", "the hypotheses were not shown satisfiable", ()
    elif verdict != "proved":
        model = _example(question, z3.Not(question.goal), timeout_ms)
        if model is not None:
            verdict, note = "refuted", "not so at " + model_words(model)
        elif verdict == "refuted":
            verdict, note = "unknown", "the solver knows too little of the multiples and quotients in it to decide"
    seconds = time.perf_counter() - start
    result = Result(question.name, question.claim, verdict, seconds, found.smt2, note=note, proof=proof)
    if verdict != "unknown":
        _ANSWERED.results[key] = result
    return result


def _query(question: IndexQuestion) -> tuple[Query, list[Any]]:
    """The question to solvers, or about a certificate, and its formulas."""
    names = Names()
    formulas = _renamed([*question.hypotheses, question.goal], names)
    plain = plain_query(formulas[:-1], formulas[-1:], names, question.name)
    # `_example` has a model of more than the hypotheses.
    return replace(plain, numbers="Int", part=question.part, shows_model=True, shown=question.shown), formulas


def _renamed(formulas: list[Any], names: Names) -> list[Any]:
    """Formulas with identifiers for variables, which a certificate is written in."""
    new: dict[int, tuple[Any, Any]] = {}
    for v in {z3.key(v): v for f in formulas for v in z3.variables(f)}.values():
        name = v.decl().name()
        identifier = names("", name, name)
        if identifier != name:
            new[z3.key(v)] = v, z3.Const(identifier, v.sort())
    return [_substituted(f, new) for f in formulas]


def _substituted(formula: Any, new: dict[int, tuple[Any, Any]]) -> Any:
    """A formula with new variables in the place of those of its own that have one."""
    pairs = [new[z3.key(v)] for v in z3.variables(formula) if z3.key(v) in new]
    return z3.substitute(formula, *pairs) if pairs else formula


def _holds_somewhere(question: IndexQuestion, timeout_ms: int) -> bool:
    """Whether the hypotheses hold together: at small numbers for all arguments, if that is soon seen."""
    tried = trials(question.divisors, question.others)
    quick = any(satisfiable([*numbers, *f], OF_A_TRIAL) for numbers in tried for f in _instances(question))
    quick = quick or any(satisfiable(formulas) for formulas in _instances(question))
    near = quick or any(check([*f, *_near(f)], timeout_ms)[0] == z3.sat for f in _instances(question))
    return near or _example(question, z3.BoolVal(True), timeout_ms) is not None


def _near(formulas: list[Any]) -> list[Any]:
    """That all integers are near 0: among few numbers a model is sooner found."""
    numbers = {z3.key(v): v for f in formulas for v in z3.variables(f) if not z3.is_bool(v)}
    return [z3.And(v >= -NEAR, v <= NEAR) for v in numbers.values()]


def _example(question: IndexQuestion, extra: Any, timeout_ms: int) -> Any:
    """A model of the hypotheses and something more."""
    for formulas in _instances(question):
        outcome, solver = check([*formulas, extra], timeout_ms)
        if outcome == z3.sat:
            return solver.model()
    return None


def _instances(question: IndexQuestion) -> Iterator[list[Any]]:
    """The hypotheses where every multiple of the block is one, at small concrete blocks."""
    for block in BLOCKS if question.block is not None else (0,):
        formulas = [*question.hypotheses, *question.exact]
        if question.block is not None:
            formulas.append(question.block == block)
            formulas += [value == block * z3.Int(f"multiple!{n}") for n, value in enumerate(question.aligned)]
        yield formulas
