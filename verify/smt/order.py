"""Questions of comparisons alone: of reals, with a least and a greatest of them in the place of the infinities.

Whether values that are compared, and nothing else, stand so or so is a matter of their order. With a real below all
finite ones that occur for -oo, and one above for oo, it is the same order, so that what holds of all reals between a
least and a greatest one holds of extended reals too. Of what is finite there may be sums and products. No path needs to
say what is infinite, nor which side of a choice is taken:

    a < (b where c, else d)   ->   a < x,  where x = b if c, and x = d if not
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra.rewrite import walk
from refold.spec import Read, Where
from refold.spec.heads import Symbol
from refold.verify.smt.shape import is_index

LEAST, GREATEST = sp.Symbol("⊥", real=True), sp.Symbol("⊤", real=True)
_LIMITS = {-sp.oo: LEAST, sp.oo: GREATEST}
_CONNECTIVES = (sp.And, sp.Or, sp.Not)


def is_order(formulas: tuple[sp.Basic, ...]) -> bool:
    """Whether formulas, or values, are of comparisons, choices and extremes of symbols and numbers, a choice in one."""
    chosen = any(isinstance(n, Where) for f in formulas for n in walk(f))
    return chosen and all(_compares(f) or _is_ordered(f) for f in formulas)


def _compares(formula: sp.Basic) -> bool:
    if isinstance(formula, _CONNECTIVES):
        return all(map(_compares, formula.args))
    if isinstance(formula, Relational):
        return not is_index(formula) and all(map(_is_ordered, formula.args))
    return formula in (sp.true, sp.false)


def _is_ordered(value: sp.Basic) -> bool:
    if isinstance(value, Where):
        return _compares(value.args[0]) and all(map(_is_ordered, value.args[1:]))
    if isinstance(value, sp.Max | sp.Min):
        return all(map(_is_ordered, value.args))
    return isinstance(value, sp.Symbol) or value in _LIMITS or _is_finite(value)


def _is_finite(value: sp.Basic) -> bool:
    """Whether a value is a number, or made of such symbols as are finite by sums and products."""
    if isinstance(value, sp.Add | sp.Mul):
        return all(map(_is_finite, value.args))
    return bool(value.is_Rational) or (isinstance(value, sp.Symbol | Read) and bool(value.is_finite))


def in_order(formulas: tuple[sp.Basic, ...]) -> tuple[tuple[sp.Basic, ...], tuple[sp.Basic, ...]]:
    """What is known of the least, the greatest and the choices, by names of their own, and the formulas over these."""
    named = _Named()
    found = tuple(map(named.formula, formulas))
    sides = {x for f in (*found, *named.known) for n in walk(f) if isinstance(n, Relational) for x in n.args}
    beside = sorted(sides - {*_LIMITS.values()}, key=sp.default_sort_key)
    used = sides & {*_LIMITS.values()}
    known = [*named.known]
    for limit, weak, strict in ((LEAST, sp.Le, sp.Lt), (GREATEST, sp.Ge, sp.Gt)):
        if limit in used:
            known += [(strict if _is_finite(x) else weak)(limit, x, evaluate=False) for x in beside]
    if {*_LIMITS.values()} <= used:
        known.append(sp.Lt(LEAST, GREATEST, evaluate=False))
    return tuple(known), found


class _Chosen(Symbol):
    """A choice or an extreme by a name of its own."""

    def __new__(cls, name: str) -> _Chosen:
        return sp.Symbol.__new__(cls, name, extended_real=True)


@dataclass(slots=True)
class _Named:
    """Puts names for choices and extremes, each of which is defined once however often it stands somewhere."""

    known: list[sp.Basic] = field(default_factory=list)
    names: dict[sp.Basic, Any] = field(default_factory=dict)

    def formula(self, formula: Any) -> Any:
        """A formula over symbols and numbers alone."""
        if formula not in self.names:
            if isinstance(formula, _CONNECTIVES):
                self.names[formula] = _connected(formula.func, [*map(self.formula, formula.args)])
            elif isinstance(formula, Relational):
                self.names[formula] = _compared(formula.func, *map(self.value, formula.args))
            else:
                return formula
        return self.names[formula]

    def value(self, value: Any) -> Any:
        """A value by its name."""
        if not isinstance(value, Where | sp.Max | sp.Min):
            return _LIMITS.get(value, value)
        if value not in self.names:
            cases = self._cases(value)
            name = self.names[value] = _Chosen(f"choice {len(self.names) + 1}")
            for condition, one in cases:
                fact = _connected(sp.Or, [_connected(sp.Not, [condition]), sp.Eq(name, one, evaluate=False)])
                self.known += [fact] if fact is not sp.true else []
        return self.names[value]

    def _cases(self, value: Any) -> list[tuple[sp.Basic, Any]]:
        """What a value is, and where it is that; each place is in one case at least."""
        if isinstance(value, Where):
            holds = self.formula(value.args[0])
            then, other = map(self.value, value.args[1:])
            return [(holds, then), (_connected(sp.Not, [holds]), other)]
        args, above = [*map(self.value, value.args)], sp.Ge if isinstance(value, sp.Max) else sp.Le
        return [(_connected(sp.And, [_compared(above, a, b) for b in args if b != a]), a) for a in args]


def _connected(head: Any, args: list[Any]) -> Any:
    """`and`, `or` and `not` of formulas, some of which may be decided."""
    if head is sp.Not:
        (only,) = args
        return sp.Not(only, evaluate=only in (sp.true, sp.false))
    neutral, decides = (sp.true, sp.false) if head is sp.And else (sp.false, sp.true)
    if decides in args:
        return decides
    left = [a for a in args if a is not neutral]
    return neutral if not left else left[0] if len(left) == 1 else head(*left, evaluate=False)


def _compared(head: Any, left: Any, right: Any) -> Any:
    """A comparison; of two numbers it is decided."""
    return head(left, right, evaluate=bool(left.is_Rational and right.is_Rational))
