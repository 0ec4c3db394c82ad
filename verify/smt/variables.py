"""The variables that stand for terms, and the axioms that tie them: values, exponentials, angles, infinities."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp

from refold.spec import Size
from refold.verify.certificate.certificate import Names
from refold.verify.smt import formulas as z3


@dataclass(frozen=True, slots=True)
class Variables:
    """The variables of one obligation; they and the `axioms` grow with what is translated.

    `infinite` holds the symbols that may be -oo, or +oo for those in `rising`; `coded` those that are known by their
    exponential (that of the negative for rising ones), a monotone coordinate of [-oo, oo) that serves for comparisons.
    """

    infinite: frozenset[sp.Basic] = frozenset()
    rising: frozenset[sp.Basic] = frozenset()
    coded: frozenset[sp.Basic] = frozenset()
    names: Names = field(default_factory=Names)
    axioms: list[Any] = field(default_factory=list)
    values: dict[sp.Basic, Any] = field(default_factory=dict)
    powers: dict[sp.Basic, Any] = field(default_factory=dict)
    angles: dict[sp.Basic, tuple[Any, Any]] = field(default_factory=dict)
    flags: dict[sp.Basic, Any] = field(default_factory=dict)
    zeros: dict[sp.Basic, Any] = field(default_factory=dict)

    def copy(self) -> Variables:
        """The same variables for one path, where more of them may be wanted than on another; names are of all paths."""
        return replace(
            self, axioms=[*self.axioms], values={**self.values}, powers={**self.powers}, angles={**self.angles},
            flags={**self.flags}, zeros={**self.zeros},
        )  # fmt: skip

    def name(self, mark: str, expr: sp.Basic) -> str:
        """A name for a Z3 variable: two expressions never share one, whatever they print as."""
        return self.names(mark, expr, _text(expr))

    def value(self, expr: sp.Basic) -> Any:
        """A symbol, a read, or a function without a meaning of its own here: one variable a structure."""
        if expr not in self.values:
            value = z3.Real(self.name("", expr))
            self.values[expr] = value
            if expr.is_positive:
                self.axioms.append(value >= 1 if expr.is_integer else value > 0)
            elif expr.is_nonnegative:
                self.axioms.append(z3.Or(value == 0, value >= 1) if isinstance(expr, Size) else value >= 0)
            self.link(expr)
            self.tie_zero(expr)
        return self.values[expr]

    def power(self, expr: sp.Basic) -> Any:
        """The exponential of a symbol or an opaque term: positive, or nonnegative where the term may be infinite."""
        if expr not in self.powers:
            power = z3.Real(self.name("E_", expr))
            self.powers[expr] = power
            self.axioms.append(power >= 0 if expr in self.infinite else power > 0)
            self.tie(expr)
            self.link(expr)
        return self.powers[expr]

    def flag(self, symbol: sp.Basic) -> Any:
        """Whether a symbol that may be infinite is."""
        if symbol in self.coded:
            return self.power(symbol) == 0
        if symbol not in self.flags:
            self.flags[symbol] = z3.Bool(self.name("inf_", symbol))
            self.tie(symbol)
        return self.flags[symbol]

    def tie(self, symbol: sp.Basic) -> None:
        """The flag of a symbol that is known in both ways says that its coordinate is 0."""
        if symbol in self.flags and symbol in self.powers:
            self.axioms.append(self.flags[symbol] == (self.powers[symbol] == 0))

    def zero(self, expr: sp.Basic, proposition: Any) -> None:
        """The proposition over indices that an expression is 0: what is divided by is a number as well."""
        if expr not in self.zeros:
            self.zeros[expr] = proposition
            self.tie_zero(expr)

    def tie_zero(self, expr: sp.Basic) -> None:
        """What is known both as a number and as a proposition is 0 in both ways at once."""
        if expr in self.zeros and expr in self.values:
            self.axioms.append(self.zeros[expr] == (self.values[expr] == 0))

    def link(self, expr: sp.Basic) -> None:
        """`x <= y` exactly where `exp(x) <= exp(y)`, among those that are used in both ways; and against 0."""
        if expr not in self.values or expr not in self.powers:
            return
        x, ex = self.values[expr], self.powers[expr]
        low, high = (ex >= 1, x <= 0) if expr in self.rising else (ex <= 1, x <= 0)
        self.axioms.append(z3.Implies(ex > 0, low == high))
        for other in self.values:
            if other != expr and other in self.powers:
                y, ey = self.values[other], self.powers[other]
                # The coordinate of a rising one is that of its negative.
                match (expr in self.rising, other in self.rising):
                    case (False, False):
                        below, equal = ex <= ey, ex == ey
                    case (True, True):
                        below, equal = ex >= ey, ex == ey
                    case (False, True):
                        below, equal = ex * ey <= 1, ex * ey == 1
                    case _:
                        below, equal = ex * ey >= 1, ex * ey == 1
                order = z3.And((x <= y) == below, (x == y) == equal)
                self.axioms.append(z3.Implies(z3.And(ex > 0, ey > 0), order))

    def circle(self, expr: sp.Basic) -> tuple[Any, Any]:
        """Cosine and sine of a term: a point of the unit circle."""
        if expr not in self.angles:
            pair = (z3.Real(self.name("cos ", expr)), z3.Real(self.name("sin ", expr)))
            self.angles[expr] = pair
            self.axioms.append(pair[0] * pair[0] + pair[1] * pair[1] == 1)
        return self.angles[expr]


def _text(expr: sp.Basic) -> str:
    from refold.spec.mathematics import text

    return text(expr)
