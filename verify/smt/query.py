"""A question whether hypotheses imply goals, path by path, and the answer to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from refold.verify.certificate.certificate import Certificate, Names, leaves
from refold.verify.certificate.cofactors import conjuncts
from refold.verify.result import Result, Verdict
from refold.verify.smt.encode import Encoder
from refold.verify.smt.formula import number_sort


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the hypotheses imply the goals; the certificate that shows it, or the script of what is open."""

    verdict: Verdict
    seconds: float
    smt2: str
    certificate: Certificate | None = None
    note: str = ""

    @property
    def paths(self) -> int:
        """The cases that were closed."""
        return len(list(leaves(self.certificate.case))) if self.certificate is not None else 0


@dataclass(frozen=True, slots=True)
class Query:
    """`build(encoder)` gives the goals and adds its hypotheses to the encoder; it runs once a path.

    Its numbers are all of one sort, `Real` or `Int`. `part` is its number among those that are one obligation. With
    `shows_model` who asks it shows that the hypotheses hold together; else the answer does. `shown` says that Z3 has
    answered it before, and that no hypothesis is one too many: what is left is to write it down for others to check.
    """

    name: str
    encoder: Encoder
    build: Callable[[Encoder], list[Any]]
    names: Names = field(default_factory=Names)
    numbers: str = "Real"
    part: int | None = None
    shows_model: bool = False
    shown: bool = False


def plain_query(hypotheses: list[Any], goals: list[Any], names: Names, name: str = "") -> Query:
    """The question whether formulas of Z3 imply others, as they stand."""

    def build(encoder: Encoder) -> list[Any]:
        encoder.hypotheses += hypotheses
        if not conjuncts(goals):
            # What is claimed is true as it stands.
            encoder.same.append(("True", "True"))
        return goals

    return Query(name, Encoder(), build, names, number_sort([*hypotheses, *goals]))


def answered(name: str, claim: str, answer: Answer) -> Result:
    """An answer as the result on an obligation."""
    proof = () if answer.certificate is None else (answer.certificate,)
    return Result(name, claim, answer.verdict, answer.seconds, answer.smt2, note=answer.note, proof=proof)
