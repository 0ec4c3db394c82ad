"""Compares the certificates of a proof file with the obligations of a plan, newly built, without asking a solver.

`fits` goes down a case distinction beside the encoder: each condition has to be the one that the encoder asks for (or
one that the prover added, which loses no case), each leaf has to show the goals that the encoder gives there, from
premises that are among its own. What a leaf shows, the checker has then seen shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, assert_never

from refold.verify.certificate.certificate import Case, Certificate, Leaf, Names, Split, joined_scripts
from refold.verify.certificate.cofactors import conjuncts
from refold.verify.smt import formulas as z3
from refold.verify.smt.encode import Encoder
from refold.verify.smt.formula import Texts, Unwritable
from refold.verify.smt.path import Undecided
from refold.verify.smt.query import Answer, Query
from refold.verify.smt.reals import Undefined
from refold.verify.smt.variables import Variables

MISSING = "the proof file has no certificate of this"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Those of a proof file, by the name of their obligation: they answer instead of a solver.

    All questions about them are put in one context, and share the texts of its formulas: what a solver finds hangs on
    what its context has seen, a comparison does not, and to make a context takes longer than most comparisons.
    """

    entries: tuple[tuple[str, tuple[Certificate, ...]], ...]
    context: z3.Room = field(default_factory=z3.new_context)
    texts: Texts = field(default_factory=Texts)

    def answer(self, query: Query) -> Answer:
        """Proved where a certificate is of this very question, else unknown."""
        for name, certificates in self.entries:
            # The unit, the lift and the merge of an invariant stand under one name.
            if query.name.startswith(name):
                # Of several parts each has its own, in their order.
                own = certificates if query.part is None else certificates[query.part : query.part + 1]
                for certificate in own:
                    legend = fits(query, certificate.case, self.texts)
                    if legend is not None:
                        answered = Certificate(certificate.case, tuple(legend.items()))
                        return Answer("proved", 0.0, joined_scripts([answered]), answered)
        return Answer("unknown", 0.0, "", note=MISSING)


_READ: ContextVar[Certificates | None] = ContextVar("refold_certificates", default=None)


@contextmanager
def reading(certificates: Certificates) -> Iterator[None]:
    """Within, these certificates answer every question; no solver is asked."""
    token = _READ.set(certificates)
    try:
        yield
    finally:
        _READ.reset(token)


def read() -> Certificates | None:
    """The certificates that answer here; None where solvers do."""
    return _READ.get()


@contextmanager
def query_context() -> Iterator[None]:
    """Within, one question is put: in a context of its own where it is for solvers."""
    certificates = read()
    with z3.own_context() if certificates is None else z3.in_context(certificates.context):
        yield


def fits(query: Query, case: Case, text: Texts) -> dict[str, str] | None:
    """What the variables of a question stand for, if a case distinction is one of it; None if it is of another."""
    given = query.encoder.variables
    names = Names() if given.names is query.names else query.names
    encoder = Encoder(Variables(given.infinite, given.rising, given.coded, names))
    try:
        return names.legend() if _down(query, encoder, case, text) else None
    except (Undefined, Unwritable):
        return None


@dataclass(frozen=True, slots=True)
class Premises:
    """What may be taken for given; its texts are made where something is."""

    formulas: list[Any]
    text: Texts

    def hold(self, given: tuple[str, ...]) -> bool:
        """Whether all that is given is among them."""
        return not given or {self.text(f) for f in conjuncts(self.formulas)}.issuperset(given)


def _down(query: Query, encoder: Encoder, case: Case, text: Texts) -> bool:
    """The case that lies on the path of the encoder."""
    goals: list[Any] | None = None
    met: Any = None
    try:
        goals = query.build(encoder)
    except Undecided as undecided:
        met = undecided.condition
    premises = Premises(encoder.premises, text)
    if goals is not None:
        shown = tuple(dict.fromkeys(map(text, conjuncts(goals))))
        return _closed(case, premises, shown, tuple(encoder.same))
    match case:
        case Leaf():
            return _impossible(case, premises)
        case Split():
            negated = z3.is_not(met)
            sides = (case.fails, case.holds) if negated else (case.holds, case.fails)
            return case.condition == text(met.arg(0) if negated else met) and all(
                # What contradicts all that is known at a condition was not gone down further.
                (isinstance(side, Leaf) and _impossible(side, premises))
                or _down(query, encoder.where(met, holds=holds), side, text)
                for holds, side in zip((True, False), sides, strict=True)
            )
        case _:
            assert_never(case)


def _closed(case: Case, premises: Premises, shown: tuple[str, ...], same: tuple[tuple[str, str], ...]) -> bool:
    """Whether a case shows the goals; a condition that only the prover asked for has both of its sides."""
    match case:
        case Leaf():
            exact = (case.show, case.same) == (shown, same) and premises.hold(case.given)
            return exact or _impossible(case, premises)
        case Split():
            return all(_closed(side, premises, shown, same) for side in (case.holds, case.fails))
        case _:
            assert_never(case)


def _impossible(leaf: Leaf, premises: Premises) -> bool:
    """Whether a leaf says that its case cannot be."""
    alone = not (leaf.show or leaf.same or leaf.equations) and any(not s.goals for s in leaf.scripts)
    return alone and premises.hold(leaf.given)
