"""Refusals: the evidence that few accumulators cannot do, or that no form was found; and what to do instead."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from refold.algebra.evidence import Question, evidence
from refold.algebra.law import mixed
from refold.algebra.plan import Element, Refusal
from refold.spec import Fold, Spec


class Refused(Exception):
    """Carries a refusal out of the recursion; its evidence is looked for where somebody asks for it."""

    def __init__(self, refusal: Callable[[], Refusal], kind: str) -> None:
        super().__init__()
        self.refusal = refusal
        self.reason, _ = reason_of(kind)


class Apart(Exception):
    """Carries a sum out of the recursion that has no law as a whole, and has one term by term perhaps."""

    def __init__(self, fold: Fold) -> None:
        super().__init__(str(fold))
        self.fold = fold


def reason_of(kind: str) -> tuple[str, str]:
    """Why a fold of a kind has no correction as far as was looked, and what to do."""
    if kind != "sum":
        reason = f"no form was found: the body is not known to be shifted or scaled by r alone, as a {kind} needs"
        return reason, "keep two passes (finish r first, then fold)"
    return (
        "no finite linear correction was found: the body does not separate into functions of r times functions of c",
        "keep two passes (finish r first, then fold), or change the body so that r enters as a factor, a shift of an "
        "exponent or a polynomial",
    )


def refuse(
    spec: Spec, fold: Fold, body: sp.Expr, anchors: dict[sp.Symbol, sp.Expr], elements: tuple[Element, ...]
) -> Refusal:
    """Why a fold has no correction here, in the names of the law; `anchors` are what they stand for, over folds.

    With evidence there is none of few accumulators; without it, none was found, and no more is said.
    """
    plain = {f: sp.Symbol(f"r{n + 1}" if len(anchors) > 1 else "r") for n, f in enumerate(anchors)}
    bare = body.xreplace(plain)
    proof = None
    reason, advice = reason_of(fold.kind)
    if fold.kind == "sum":
        meanings = {plain[f]: expr for f, expr in anchors.items()}
        proof = evidence(Question(spec, fold.axis, bare, meanings, elements))
    if proof is None:
        reason += "; that there is none is not shown"
    varying = tuple(e.symbol for e in elements)
    found = tuple(mixed(bare, tuple(plain.values()), varying)) if fold.kind == "sum" else (bare,)
    finished = tuple((plain[f], expr) for f, expr in anchors.items())
    return Refusal(spec, fold, bare, reason, proof, "class 2 (a second pass)", advice, finished, found)
