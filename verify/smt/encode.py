"""SymPy -> Z3 over the extended reals: `exp(x)` becomes a variable E >= 0 that is 0 exactly where x = -oo.

Every value is a fraction of polynomials, so that an equality is one of polynomials. Whatever has to hold for what was
translated to have a value (no division by 0, no logarithm of 0, no -oo where a real is needed) is kept in `defined`.
Conditions (`max`, guards, masks) are decided one path at a time: `decide` raises `Undecided` with the condition, and
the caller goes both ways.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra.rewrite import rebuild
from refold.spec import Fold, Read, Where
from refold.verify.smt import conditions, reals
from refold.verify.smt import formulas as z3
from refold.verify.smt.fraction import Fraction
from refold.verify.smt.path import Path
from refold.verify.smt.shape import partial
from refold.verify.smt.variables import Variables

T = TypeVar("T")


@dataclass(slots=True)
class Encoder:
    """Translates the formulas of one obligation on one path; `variables` and `defined` grow with what it translates.

    `same` has both sides of goals that are one expression, for whoever compares them.
    """

    variables: Variables = field(default_factory=Variables)
    path: Path = field(default_factory=Path)
    defined: list[Any] = field(default_factory=list)
    hypotheses: list[Any] = field(default_factory=list)
    same: list[tuple[str, str]] = field(default_factory=list)
    known: dict[tuple[str, Any], tuple[Any, list[Any]]] = field(default_factory=dict)

    def where(self, condition: Any, *, holds: bool) -> Encoder:
        """The encoder of the path on which a condition was decided: all that was translated before is still right."""
        return Encoder(self.variables.copy(), self.path.where(condition, holds=holds), known={**self.known})

    @property
    def premises(self) -> list[Any]:
        """What is known on the path, but for what was decided."""
        return [*self.variables.axioms, *self.hypotheses]

    # --- translations ----------------------------------------------------------------------------------------

    def once(self, kind: str, expr: Any, translate: Callable[[Any], Any]) -> Any:
        """A translation from memory, with all that it needs to be defined."""
        if (kind, expr) in self.known:
            value, needs = self.known[kind, expr]
            self.defined += needs
            return value
        kept, self.defined = self.defined, []
        value = translate(expr)
        self.known[kind, expr] = value, self.defined
        # The same list again: whoever is about to append to it may ask for a translation first.
        kept += self.defined
        self.defined = kept
        return value

    def real(self, expr: sp.Basic) -> Fraction:
        """The value of an expression as a fraction of polynomials."""
        value: Fraction = self.once("real", expr, lambda e: reals.real(self, e))
        return value

    def expo(self, expr: sp.Basic) -> Fraction:
        """`exp(sum_i k_i t_i) -> prod_i E_i^k_i`."""
        value: Fraction = self.once("exp", expr, lambda e: reals.expo(self, e))
        return value

    def formula(self, cond: sp.Basic) -> Any:
        """A condition as a Z3 formula (its own subterms decided along the path)."""
        return self.once("formula", cond, lambda c: conditions.formula(self, c))

    def is_infinite(self, expr: sp.Expr, sign: int) -> Any:
        """Whether `expr = sign * oo`: a maximum is -oo where all of its arguments are, +oo where one is."""
        return self.once("+oo" if sign > 0 else "-oo", expr, lambda e: conditions.is_infinite(self, e, sign))

    def define(self, expr: sp.Expr) -> None:
        """Records what an expression needs to have a value, an infinite one included."""
        conditions.define(self, expr)

    # --- decisions -------------------------------------------------------------------------------------------

    def decide(self, condition: Any) -> bool:
        """Whether a condition holds on the path. Raises `Undecided`."""
        return self.path.decide(condition)

    def rank(self, expr: sp.Expr) -> int:
        """-1 where the path has the value at -oo, 1 at +oo, else 0."""
        found: int = self.once("rank", expr, self._rank)
        return found

    def _rank(self, expr: sp.Expr) -> int:
        return 1 if self.decide(self.is_infinite(expr, 1)) else -1 if self.decide(self.is_infinite(expr, -1)) else 0

    def ranks(self, expr: sp.Expr) -> list[Any]:
        """What the path says of the infinity of a value."""
        signs = [self.is_infinite(expr, sign) for sign in (1, -1)]
        return [s if self.decide(s) else z3.Not(s) for s in signs if not z3.is_false(z3.simplify(s))]

    def branch(self, expr: Where) -> sp.Expr:
        return expr.args[1] if self.decide(self.formula(expr.args[0])) else expr.args[2]

    def chosen(self, expr: sp.Basic) -> Any:
        """An expression with what the path decides in it, so that angles are sums of what varies."""
        if isinstance(expr, Where):
            return self.chosen(self.branch(expr))
        if isinstance(expr, sp.Max | sp.Min):
            return self.extremum(expr, self.chosen)
        if not expr.args or isinstance(expr, Fold | Read | Relational):
            return expr
        return rebuild(expr, [self.chosen(a) for a in expr.args])

    def extremum(self, expr: sp.Expr, value: Callable[[sp.Expr], T]) -> T:
        """The argument that the path says is the largest (the smallest); of equal ones rather none that is a number.

        The number says nothing of what the other one is a part of: `t/max(1, l)` is `t/l` where `l >= 1`.
        """
        best = expr.args[0]
        for arg in expr.args[1:]:
            pair = (best, arg) if isinstance(expr, sp.Max) else (arg, best)
            kind, is_above = ("apart", self._is_apart) if best.is_number else ("above", self._is_above)
            best = best if self.once(kind, pair, is_above) else arg
        return value(best)

    def _is_above(self, pair: tuple[sp.Expr, sp.Expr]) -> bool:
        return self.decide(conditions.at_least(self, *pair, strict=False))

    def _is_apart(self, pair: tuple[sp.Expr, sp.Expr]) -> bool:
        return self.decide(conditions.at_least(self, *pair, strict=True))

    # --- what a value needs ----------------------------------------------------------------------------------

    def raised(self, value: Fraction, n: int) -> Fraction:
        """A power; a negative one is defined where the base is not 0."""
        if n < 0:
            self.defined.append(value.top != 0)
        return value.power(n)

    def is_positive(self, variable: Any) -> bool:
        """Whether an axiom says that a variable is above 0, or an axiom and the path do."""
        for symbol, power in self.variables.powers.items():
            if power.eq(variable):
                return symbol not in self.variables.infinite or self.path.fails(power == 0)
        return any(value.eq(variable) and s.is_positive is True for s, value in self.variables.values.items())

    def finite(self, expr: sp.Basic) -> None:
        """Records what a term that is one variable here needs: finite symbols, and what its parts divide by."""
        for symbol in sorted(expr.free_symbols & self.variables.infinite, key=str):
            self.defined.append(z3.Not(self.variables.flag(symbol)))
        for part in (p for arg in expr.args for p in partial(arg)):
            self.real(part)

    def coordinate(self, expr: sp.Basic) -> Any:
        """The exponential of a symbol or an opaque term. Each time: what an assumption needed, a goal has to show."""
        power = self.variables.power(expr)
        if expr not in self.variables.infinite:
            self.finite(expr)
            for part in partial(expr):
                self.real(part)
        return power
