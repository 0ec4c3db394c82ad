"""That a form of a pipeline is the pipeline: each use of a law, and that the uses lead from the one to the other.

Of sums: both sides are written as `sum_{x, y, ...} body`, a body for each set of axes. Sums are linear and exchange, so
that they are equal if the bodies are, which the solvers are asked of all numbers. Of maxima: the map does not fall.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import sympy as sp

from refold.algebra.laws import is_rising, nonempty
from refold.algebra.reassociate import Reassociated, Use, put_in
from refold.algebra.rewrite import rebuild
from refold.algebra.sums import factors_of, is_finite, is_number
from refold.spec import Fold, Index, Where
from refold.spec.mathematics import text
from refold.verify.deadline import doing
from refold.verify.laws.numbers import of_numbers, together
from refold.verify.obligation import Obligation
from refold.verify.result import Result

NAME = "re-association"
SUMS = "sums are linear and exchange, and what may be no number keeps its sum"
RISES = "a maximum of values of a map that does not fall is its value at the maximum; over nothing it is -∞"


class _Unread(Exception):
    """Why a use of a law has no reading."""


def reassociation(form: Reassociated) -> Iterator[Result]:
    """What makes the form the pipeline as written."""
    found = form.before
    for use in form.uses:
        found = put_in(found, use.before, use.after)
    wrong = [o.name for o, p in zip(form.after.outputs, found.outputs, strict=False) if o != p]
    complete = not wrong and len(found.outputs) == len(form.after.outputs)
    claim = "what is computed is the pipeline as written, after each use of a law below"
    note = "by inspection" if complete else f"{', '.join(wrong)} is another expression"
    yield Result(NAME, claim, "proved" if complete else "unknown", 0.0, "", note=note)
    for n, use in enumerate(form.uses, 1):
        yield used(use, f"{NAME}: {use.law} {n}")


def used(use: Use, name: str) -> Result:
    """That one use of a law leaves the value as it is."""
    claim = f"{text(use.before)} = {text(use.after)}"
    doing(f"while {name} was asked")
    try:
        questions = list(_of_maximum(use, name) if use.law == "monotone" else _of_sums(use, name))
    except _Unread as why:
        return Result(name, claim, "unknown", 0.0, "", note=str(why))
    return together(name, claim, [of_numbers(q) for q in questions], RISES if use.law == "monotone" else SUMS)


# --- sums ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Sums:
    """Reads an expression as sums over sets of axes; `homes` are the sums of factors that may be no number."""

    symbols: dict[sp.Expr, sp.Symbol]
    homes: dict[sp.Expr, set[Index | None]] = field(default_factory=dict)

    def __call__(self, expr: sp.Expr, home: Index | None = None) -> dict[frozenset[Index], Any]:
        """The body of the sum over each set of axes."""
        match expr:
            case sp.Add():
                found: dict[frozenset[Index], Any] = {}
                for term in expr.args:
                    for axes, body in self(term, home).items():
                        found[axes] = found.get(axes, sp.S.Zero) + body
                return found
            case Fold(kind="sum"):
                inner = self(expr.body, expr.axis)
                if any(expr.axis in axes for axes in inner):
                    raise _Unread(f"{text(expr)} sums over {expr.axis.name} twice")
                return {axes | {expr.axis}: body for axes, body in inner.items()}
            case sp.Rational():
                return {frozenset(): expr}
            case sp.Mul() | sp.Pow() if (factors := factors_of(expr)) != [expr]:
                whole: dict[frozenset[Index], Any] = {frozenset(): sp.S.One}
                for factor in factors:
                    whole = self.times(whole, self(factor, home))
                return whole
            case sp.Pow() if expr.exp.is_Integer and expr.exp.is_positive and not expr.base.has(Fold):
                (body,) = self(expr.base, home).values()
                return {frozenset(): body**expr.exp}
        if not is_finite(expr):
            self.homes.setdefault(expr, set()).add(home)
        return {frozenset(): self.symbols.setdefault(expr, sp.Symbol(f"x{len(self.symbols)}", real=True))}

    def times(self, one: dict[frozenset[Index], Any], other: dict[frozenset[Index], Any]) -> Any:
        """A product of sums is one over all axes of both, if each has its own."""
        if any(a & b for a in one for b in other):
            raise _Unread("a product of two sums over one axis")
        found: dict[frozenset[Index], Any] = {}
        for (a, x), (b, y) in ((p, q) for p in one.items() for q in other.items()):
            found[a | b] = found.get(a | b, sp.S.Zero) + x * y
        return found


def _of_sums(use: Use, name: str) -> Iterator[Obligation]:
    """That the bodies are equal for all numbers, and that what may be no number has stayed in its sum."""
    before = _Sums({})
    after = _Sums(before.symbols)
    left, right = before(use.before), after(use.after)
    for part in {*before.homes} | {*after.homes}:
        homes = before.homes.get(part, set())
        if len(homes) != 1 or after.homes.get(part) != homes:
            raise _Unread(f"{text(part)} may be no number, and stands in another sum")
        (home,) = homes
        if home is None or not is_number(part, home):
            raise _Unread(f"{text(part)} was not shown to be a number")
    bound = frozenset[Index]().union(*left, *right)
    if bound & (use.before.free_symbols | use.after.free_symbols):
        raise _Unread("an axis is both summed over and free")
    meaning = {symbol: part for part, symbol in before.symbols.items()}
    for axes in sorted({*left} | {*right}, key=lambda s: sorted(map(str, s))):
        bodies = [side.get(axes, sp.S.Zero) for side in (left, right)]
        over = ", ".join(sorted(a.name for a in axes))
        claim = f"summed over {over}: {' = '.join(text(b.xreplace(meaning)) for b in bodies)}"
        yield Obligation(name, claim, (), (sp.Eq(*bodies, evaluate=False),))


# --- maxima --------------------------------------------------------------------------------------------------------


def _of_maximum(use: Use, name: str) -> Iterator[Obligation]:
    """That each function on the way to what varies does not fall, and that the form is of this shape."""
    before, after = use.before, use.after
    axis = before.axis
    if not (before.kind == "max" and isinstance(after, Where) and after.args[2] == -sp.oo):
        raise _Unread("it is no maximum, or says nothing of none")
    mapped = after.args[1]
    tops = [f for f in mapped.atoms(Fold) if f.kind == "max" and f.axis == axis]
    if len(tops) != 1:
        raise _Unread("it is no map of one maximum")
    (top,) = tops
    masked = isinstance(top.body, Where) and top.body.args[2] == -sp.oo
    condition, inner = top.body.args[:2] if masked else (None, top.body)
    value = _put(mapped, top, inner)
    if before.body != (Where(condition, value, -sp.oo) if masked else value) or not is_finite(inner):
        raise _Unread("the map of the maximum is not what was folded")
    if after.args[0] != nonempty(condition, axis):
        raise _Unread("it does not tell where a position counts")
    yield from _rising(value, inner, axis, name)


def _put(expr: Any, old: sp.Expr, new: sp.Expr) -> Any:
    if expr == old:
        return new
    return rebuild(expr, [_put(a, old, new) for a in expr.args]) if expr.args else expr


def _rising(value: sp.Expr, inner: sp.Expr, axis: Index, name: str) -> Iterator[Obligation]:
    """Of sums, products and bounds it is asked; of functions it is known, of a logarithm of what is positive."""
    way = [value]
    while way[-1] != inner:
        varying = [a for a in way[-1].args if axis in a.free_symbols]
        if len(varying) != 1 or not is_rising(way[-1], axis):
            raise _Unread(f"{text(way[-1])} may fall")
        way += varying
    low, high = sp.Symbol("low", real=True), sp.Symbol("high", real=True)
    for node, part in pairwise(way):
        if isinstance(node, sp.Add | sp.Mul | sp.Max | sp.Min):
            still = {a: sp.Symbol(f"x{n}", real=True) for n, a in enumerate(node.args) if not a.is_number and a != part}
            sides = [node.func(*(({part: x} | still).get(a, a) for a in node.args)) for x in (low, high)]
            known = [s >= 0 for a, s in still.items() if a.is_nonnegative]
            goal = sp.Le(*sides, evaluate=False)
            yield Obligation(name, f"{text(goal)} where low ≤ high", (sp.Le(low, high), *known), (goal,))
