"""Terms of a kernel as expressions over what memory holds and a state, in one case of its conditions on integers.

Arithmetic is exact: what floats round away is bounded elsewhere, and that integers fit into their width is an
obligation of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from refold.algebra import State
from refold.algebra.base2 import exp2
from refold.schedule import integers
from refold.schedule.terms import Term, make, real_of, symbol
from refold.spec import Where
from refold.spec.heads import nearest, sigmoid
from refold.verify.kernel.case import Case, of_integers, of_state
from refold.verify.kernel.cases import Unread
from refold.verify.kernel.forms import Data
from refold.verify.kernel.scalars import Scalars

_FUNCTIONS: dict[str, Any] = {
    "exp2": exp2, "exp": sp.exp, "log": sp.log, "sin": sp.sin, "cos": sp.cos, "erf": sp.erf, "abs": sp.Abs,
    "sqrt": sp.sqrt, "floor": sp.floor, "tanh": sp.tanh, "sigmoid": sigmoid, "round": nearest, "power": sp.Pow,
    "+": sp.Add, "*": sp.Mul, "maximum": sp.Max, "larger": sp.Max, "minimum": sp.Min, "smaller": sp.Min,
    "reduce max": sp.Max, "reduce min": sp.Min, "reduce sum": sp.Add, "reduce prod": sp.Mul,
}  # fmt: skip
# Extremes that leave out what is no number, where those of a pipeline are no number either.
_NUMBERS_ALONE = frozenset({"maximum", "minimum", "reduce max", "reduce min"})
_RELATIONS: dict[str, Any] = {"==": sp.Eq, "<": sp.Lt, "<=": sp.Le}


def element(pointer: str) -> Any:
    """What memory holds behind a pointer, as a function of the place, of which nothing is known."""
    return sp.Function(f"{pointer}_at", real=True)


@dataclass(slots=True)
class Reading:
    """The floats and integers of a kernel. `kept` says what it keeps for a component of a state."""

    case: Case
    data: Data
    scalars: Scalars
    kept: Mapping[str, Any]
    written: frozenset[str]
    memo: dict[Term, Any] = field(default_factory=dict)
    # Integers of the kernel that have been shown to be what a name stands for.
    names: dict[Term, Any] = field(default_factory=dict)

    def value(self, t: Term) -> Any:
        """A number of the kernel as an expression."""
        if t in self.names:
            return self.names[t]
        if t not in self.memo:
            self.memo[t] = sp.sympify(self.number(t) if t.sort == "int" else self._float(t))
        return self.memo[t]

    def _float(self, t: Term) -> Any:
        match t.op:
            case "number":
                value = real_of(t)
                assert value is not None
                return self.scalars.literal(value)
            case "symbol":
                return self.scalars.symbol(str(t.data))
            case "read":
                return self._read(t)
            case "state" | "last":
                assert isinstance(t.data, tuple)
                return self.kept[str(t.data[1])]
            case "select":
                return self._chosen(t)
            case "-":
                return self.value(t.args[0]) - self.value(t.args[1])
            case "/":
                return self.value(t.args[0]) / self.value(t.args[1])
            case "negative":
                return -self.value(t.args[0])
            case "dot":
                start, *pairs = map(self.value, t.args)
                return start + sp.Add(*(a * b for a, b in zip(pairs[::2], pairs[1::2], strict=True)))
            case "cast" | "of_integer":
                return self.value(t.args[0])
        name = str(t.data) if t.op == "extern" else t.op
        if name in _FUNCTIONS:
            args = [self.value(a) for a in t.args]
            if name in _NUMBERS_ALONE and sp.nan in args:
                raise Unread("an extreme of what is no number")
            return self.data.built(_FUNCTIONS[name], *args)
        raise Unread(f"the operation {name}")

    def _read(self, t: Term) -> Any:
        """What memory holds: a number of its own, or what an unknown function gives of a place that a state says."""
        place = self.place(t)
        if of_state(place):
            return self.data.built(element(str(place.data[0])), self.number(place.args[0]))  # type: ignore[index]
        return self.data.datum(place) if t.sort != "int" else self.data.integer(place)

    def place(self, t: Term) -> Term:
        """A read with every choice made; one of what the kernel does not write as if nothing were written before."""
        assert isinstance(t.data, tuple)
        name, epoch, dtype = t.data
        data = (name, epoch if name in self.written else 0, dtype)
        return make("read", t.sort, tuple(map(self.case.settled, t.args)), data)

    def _chosen(self, t: Term) -> Any:
        condition, then, other = t.args
        if of_integers(condition):
            return self.value(then if self.case.holds(condition) else other)
        return self.data.choice(self._condition(condition), self.value(then), self.value(other))

    def _condition(self, c: Term) -> Any:
        if of_integers(c):
            return sp.true if self.case.holds(c) else sp.false
        match c.op:
            case "not":
                return sp.Not(self._condition(c.args[0]))
            case "and" | "or":
                return (sp.And if c.op == "and" else sp.Or)(*map(self._condition, c.args))
            case ">=0":
                return self.data.relation(sp.Ge, self.number(c.args[0]), sp.S.Zero)
            case "==0":
                return self.data.relation(sp.Eq, *apart(self.number(c.args[0])))
            case op if op in _RELATIONS:
                return self.data.relation(_RELATIONS[op], *map(self.value, c.args))
        raise Unread(f"the condition {c.op}")

    def number(self, t: Term) -> Any:
        """An integer as a number among floats."""
        total = sp.S.Zero
        for factors, coefficient in integers.products(self.case.settled(t)).items():
            total += coefficient * sp.Mul(*(self._whole(a) for a in factors))
        return total

    def _whole(self, t: Term) -> Any:
        if t in self.names:
            return self.names[t]
        match t.op:
            case "state" | "last":
                assert isinstance(t.data, tuple)
                return self.kept[str(t.data[1])]
            case "least" | "greatest" if not of_integers(t):
                return self.data.extreme(sp.Min if t.op == "least" else sp.Max, [self.number(a) for a in t.args])
            case "abs":
                return self.data.built(sp.Abs, self.number(t.args[0]))
            case "select":
                return self._chosen(t)
            case "read":
                return self._read(t)
            case "symbol" if str(t.data) in self.scalars.lengths:
                return self.data.integer(symbol(f"size_{self.scalars.lengths[str(t.data)].name}", "int"))
        return self.data.integer(t)


def apart(total: Any) -> tuple[Any, Any]:
    """`x - y = 0 -> x = y`, with a position that is chosen, or that a state says, on a side of its own."""
    for term in sp.Add.make_args(total):
        sign = -1 if term.could_extract_minus_sign() else 1
        if isinstance(sign * term, Where | State):
            return sign * term, -sign * (total - term)
    return total, sp.S.Zero
