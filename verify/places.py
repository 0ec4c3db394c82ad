"""The line of the user's file that an obligation is about: of a fold, of an output, or of a function of a claim."""

from __future__ import annotations

import re
from typing import Any

from refold.algebra import Plan, State
from refold.spec.places import WHOLE, Place, inside, places
from refold.verify.result import Result


def place_of(report: Any, result: Result) -> Place | None:
    """Where what a result is about is written; None where no file is known to hold it."""
    words = re.findall(r"\w+", result.name)
    plan = getattr(report, "plan", None)
    if plan is not None:
        return _of_plan(plan, words)
    known = places(getattr(report, "claim", None))
    function = known.get(words[0])
    if function is None:
        return known.get(WHOLE)
    return next((p for w in words[1:] if (p := inside(function, w)) != function), function)


def _of_plan(plan: Plan, words: list[str]) -> Place | None:
    """That of the fold or the output that is named first, after the kind of obligation; else that of the pipeline."""
    known = places(plan.spec)
    whole = known.get(WHOLE)
    folds = {str(a.symbol): known.get(_fold(plan, a.symbol)) for a in plan.accumulators}
    outputs = {o.name for o in plan.spec.outputs}
    if words[0] == "reading":
        return known.get(plan.readings[int(words[1]) - 1].fold, whole)
    for word in words[1:]:
        if word in outputs and whole is not None:
            return inside(whole, word)
        if folds.get(word) is not None:
            return folds[word]
    return whole


def _fold(plan: Plan, symbol: State) -> Any:
    """The fold of the pipeline that an accumulator serves: its own, or that of its family."""
    families = {a.symbol: a.family.basis for a in plan.accumulators if a.family is not None}
    own = [r.fold for r in plan.readings if symbol in r.accumulators]
    basis = families.get(symbol)
    shared = [r.fold for r in plan.readings if basis and any(families.get(s) == basis for s in r.accumulators)]
    return next(iter([*own, *shared]), None)
