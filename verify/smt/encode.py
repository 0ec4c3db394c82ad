"""SymPy -> Z3 over the extended reals: `exp(x)` becomes a variable E >= 0 that is 0 exactly where x = -oo.

Every value is a fraction of polynomials, so that an equality is one of polynomials. Whatever has to hold for what was
translated to have a value (no division by 0, no logarithm of 0, no -oo where a real is needed) is kept in `defined`.
Conditions (`max`, guards, masks) are decided one path at a time: `decide` raises `Undecided` with the condition, and
the caller goes both ways.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, TypeVar

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from refold.algebra.rewrite import rebuild, walk
from refold.spec import Fold, Read, Size, Where
from refold.spec.heads import sigmoid
from refold.verify.certificate.certificate import Names
from refold.verify.smt import formulas as z3
from refold.verify.smt.fraction import Fraction, compare, number, same, times, whole
from refold.verify.smt.shape import (
    adds_logs,
    boundless,
    is_exponent,
    is_index,
    on_circle,
    partial,
    plain,
    without_factor,
)

# Of a variable: a mask of -1e9 is no power of e.
LARGEST_POWER = 64
T = TypeVar("T")


class Undecided(Exception):
    """A path needs to know whether `condition` holds."""

    def __init__(self, condition: z3.BoolRef) -> None:
        super().__init__("a path has to know whether a condition holds")
        self.condition = condition


class Undefined(Exception):
    """An expression has no value in the encoding (an infinity where a real is needed)."""


@dataclass
class Encoder:
    """Translates the formulas of one obligation; `axioms` and `defined` grow with what it translates.

    `same` has both sides of goals that are one expression, for whoever compares them.
    `infinite` holds the symbols that may be -oo, or +oo for those in `rising`; `coded` those that are known by their
    exponential (that of the negative for rising ones), a monotone coordinate of [-oo, oo) that serves for comparisons.
    """

    infinite: frozenset[sp.Basic]
    rising: frozenset[sp.Basic]
    coded: frozenset[sp.Basic]
    path: dict[int, tuple[Any, bool]] = field(default_factory=dict)
    axioms: list[Any] = field(default_factory=list)
    defined: list[Any] = field(default_factory=list)
    hypotheses: list[Any] = field(default_factory=list)
    same: list[tuple[str, str]] = field(default_factory=list)
    values: dict[sp.Basic, Any] = field(default_factory=dict)
    powers: dict[sp.Basic, Any] = field(default_factory=dict)
    angles: dict[sp.Basic, tuple[Any, Any]] = field(default_factory=dict)
    flags: dict[sp.Basic, Any] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    known: dict[tuple[str, Any], tuple[Any, list[Any]]] = field(default_factory=dict)
    plain: dict[int, tuple[Any, Any]] = field(default_factory=dict)

    def where(self, condition: Any, holds: bool) -> Encoder:
        """The encoder of the path on which a condition was decided: all that was translated before is still right."""
        path = {**self.path, condition.get_id(): (condition, holds)}
        return replace(
            self, path=path, axioms=[*self.axioms], defined=[], hypotheses=[], same=[], values={**self.values},
            powers={**self.powers}, angles={**self.angles}, flags={**self.flags}, known={**self.known},
        )  # fmt: skip

    # --- conditions ------------------------------------------------------------------------------------------

    def decide(self, condition: Any) -> bool:
        """Whether a condition holds on the path. Raises `Undecided`."""
        key = condition.get_id()
        if key not in self.plain:
            # The condition is kept beside it: Z3 gives the number of one that is gone to another.
            self.plain[key] = condition, _plain(condition)
        found = self.truth(self.plain[key][1])
        if not isinstance(found, bool):
            raise Undecided(found)
        return found

    def truth(self, condition: Any) -> Any:
        """Whether a condition holds on the path; where that hangs on what was not decided, the first atom of it."""
        if z3.is_not(condition):
            inner = self.truth(condition.arg(0))
            return not inner if isinstance(inner, bool) else inner
        if z3.is_and(condition) or z3.is_or(condition):
            settles = z3.is_or(condition)
            found = [self.truth(part) for part in z3.children(condition)]
            return settles if settles in found else next((f for f in found if not isinstance(f, bool)), not settles)
        if _constant(condition):
            return z3.is_true(condition)
        return self.path[condition.get_id()][1] if condition.get_id() in self.path else condition

    def formula(self, cond: sp.Basic) -> Any:
        """A condition as a Z3 formula (its own subterms decided along the path)."""
        return self.once("formula", cond, self._formula)

    def _formula(self, cond: sp.Basic) -> Any:
        if cond is sp.true or cond is sp.false:
            return z3.BoolVal(cond is sp.true)
        match cond:
            case sp.And():
                return z3.And(*(self.formula(a) for a in cond.args))
            case sp.Or():
                return z3.Or(*(self.formula(a) for a in cond.args))
            case sp.Not():
                return z3.Not(self.formula(cond.args[0]))
            case Relational():
                return self.relation(cond)
        return z3.Bool(self.name("", cond))

    def relation(self, cond: Any) -> Any:
        left, right = cond.lhs, cond.rhs
        if left == right:
            self.define(left)
            return z3.BoolVal(cond.rel_op in ("==", "<=", ">="))
        if is_index(cond):
            # A predicate over indices is the same proposition wherever it occurs.
            positive = cond if cond.rel_op in ("<=", "<", "==") else cond.negated
            atom = z3.Bool(self.name("", positive))
            return atom if positive is cond else z3.Not(atom)
        if right in (sp.oo, -sp.oo):
            return self.at_limit(left, cond.rel_op, 1 if right == sp.oo else -1)
        if cond.rel_op in ("==", "!="):
            equal = self.equal(left, right)
            return equal if cond.rel_op == "==" else z3.Not(equal)
        if cond.rel_op in ("<=", "<"):
            left, right = right, left
        return self.at_least(left, right, strict=cond.rel_op in ("<", ">"))

    def at_limit(self, expr: sp.Expr, relation: str, sign: int) -> Any:
        """`expr < oo`, `expr > -oo` and so on, without a decision."""
        there = self.is_infinite(expr, sign)
        beyond, within = ("<=", ">") if sign < 0 else (">=", "<")
        if relation in ("==", beyond):
            return there
        return z3.Not(there) if relation in ("!=", within) else z3.BoolVal(relation in ("<=", ">="))

    def is_infinite(self, expr: sp.Expr, sign: int) -> Any:
        """Whether `expr = sign * oo`: a maximum is -oo where all of its arguments are, +oo where one is."""
        return self.once("+oo" if sign > 0 else "-oo", expr, lambda e: self._is_infinite(e, sign))

    def _is_infinite(self, expr: sp.Expr, sign: int) -> Any:
        if expr in (sp.oo, -sp.oo):
            return z3.BoolVal((expr == sp.oo) == (sign > 0))
        match expr:
            case sp.Max() | sp.Min():
                join = z3.Or if isinstance(expr, sp.Max) == (sign > 0) else z3.And
                return join(*(self.is_infinite(a, sign) for a in expr.args))
            case Where():
                return self.is_infinite(self.branch(expr), sign)
            case sp.Add():
                return z3.Or(*(self.is_infinite(a, sign) for a in expr.args))
            case sp.Mul() if expr.args[0].is_number and len(expr.args) == 2:
                return self.is_infinite(expr.args[1], sign if expr.args[0].is_positive else -sign)
            case sp.Abs():
                there = [self.is_infinite(expr.args[0], side) for side in (1, -1)]
                return z3.Or(*there) if sign > 0 else z3.BoolVal(False)
            case sp.Mul() if len(rest := [a for a in expr.args if not isinstance(a, sp.exp)]) == 1:
                # An exponential is positive, or 0: then the product of the two is no number.
                weights = [self.real(a) for a in expr.args if a is not rest[0]]
                return z3.And(self.is_infinite(rest[0], sign), *(w.top != 0 for w in weights))
        return self.flag(expr) if expr in self.infinite and (expr in self.rising) == (sign > 0) else z3.BoolVal(False)

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

    def flag(self, symbol: sp.Basic) -> Any:
        if symbol in self.coded:
            return self.coordinate(symbol) == 0
        if symbol not in self.flags:
            self.flags[symbol] = z3.Bool(self.name("inf_", symbol))
            self.tie(symbol)
        return self.flags[symbol]

    def tie(self, symbol: sp.Basic) -> None:
        """The flag of a symbol that is known in both ways says that its coordinate is 0."""
        if symbol in self.flags and symbol in self.powers:
            self.axioms.append(self.flags[symbol] == (self.powers[symbol] == 0))

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

    def at_least(self, left: sp.Expr, right: sp.Expr, *, strict: bool) -> Any:
        """`left >= right` (or `>`), through exponentials where those are how the two are known."""
        symbols = plain(left, right)
        known = symbols & self.coded and not symbols & self.infinite - self.coded and sp.oo not in (left, right)
        if known and is_exponent(left) and is_exponent(right):
            return compare(self.expo(left), self.expo(right), strict, self.is_positive)
        a, b = self.rank(left), self.rank(right)
        if a or b:
            return z3.BoolVal(a > b if strict else a >= b)
        return compare(self.real(left), self.real(right), strict, self.is_positive)

    def equal(self, left: sp.Expr, right: sp.Expr) -> Any:
        """`left = right`, as polynomials; where logarithms are added, of the exponentials of both sides."""
        left, right = without_factor(left, right)
        if (
            adds_logs(left, right)
            or self.is_coordinate(left, right)
            or (boundless(left, -sp.oo) and plain(left, right) & self.coded and not plain(left, right) & self.rising)
        ):
            return same(self.expo(left), self.expo(right))
        a, b = self.rank(left), self.rank(right)
        if a or b:
            return z3.BoolVal(a == b)
        if left.has(sp.sin, sp.cos) or right.has(sp.sin, sp.cos):
            left, right = on_circle(self.chosen(left - right)), sp.S.Zero
        return same(self.real(left), self.real(right))

    def is_coordinate(self, left: sp.Expr, right: sp.Expr) -> bool:
        """Whether both sides are extremes of symbols that are known by their exponentials alone."""
        symbols = left.free_symbols | right.free_symbols
        return bool(symbols) and symbols <= self.coded and all(
            isinstance(n, sp.Max | sp.Min | sp.Symbol | Where | Relational | Boolean) or n == -sp.oo
            for side in (left, right)
            for n in walk(side)
        ) and not symbols & self.rising  # fmt: skip

    def define(self, expr: sp.Expr) -> None:
        """Records what an expression needs to have a value, an infinite one included."""
        match expr:
            case sp.Max() | sp.Min():
                for arg in expr.args:
                    self.define(arg)
            case sp.Add():
                for arg in expr.args:
                    self.define(arg)
                self.defined.append(z3.Not(z3.And(self.is_infinite(expr, 1), self.is_infinite(expr, -1))))
            case Where():
                self.define(self.branch(expr))
            case sp.Mul() if expr.args[0].is_number and len(expr.args) == 2:
                self.define(expr.args[1])
            case sp.Abs():
                self.define(expr.args[0])
            case sp.log():
                self.expo(expr)
            case _ if expr not in self.infinite and expr not in (sp.oo, -sp.oo):
                self.real(expr)

    # --- values ----------------------------------------------------------------------------------------------

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
        value: Fraction = self.once("real", expr, self._real)
        return value

    def expo(self, expr: sp.Basic) -> Fraction:
        """`exp(sum_i k_i t_i) -> prod_i E_i^k_i`."""
        value: Fraction = self.once("exp", expr, self._expo)
        return value

    def _real(self, expr: sp.Basic) -> Fraction:
        if expr.is_Rational:
            return number(str(expr))
        if expr in (sp.oo, -sp.oo, sp.nan, sp.zoo):
            raise Undefined(str(expr))
        match expr:
            case sp.Add():
                return reduce(Fraction.__add__, [self.real(a) for a in expr.args])
            case sp.Mul():
                return reduce(Fraction.__mul__, [self.real(a) for a in expr.args])
            case sp.Pow() if expr.exp.is_Integer:
                return self.raised(self.real(expr.base), int(expr.exp))
            case sp.Pow() if expr.exp.is_Rational and expr.exp.q <= LARGEST_POWER:
                return self.raised(whole(self.root(expr.base, int(expr.exp.q))), int(expr.exp.p))
            case sp.exp():
                return self.expo(expr.args[0])
            case sp.log():
                value = self.real(expr.args[0])
                self.defined.append(times(value.top, value.bottom) > 0)
                return self.logarithm(self.chosen(expr.args[0]))
            case sp.cos() | sp.sin() if (there := self.chosen(expr)) != expr:
                return self.real(there)
            case sp.cos() | sp.sin():
                self.finite(expr)
                return whole(self.angle(expr.args[0])[0 if isinstance(expr, sp.cos) else 1])
            case sp.Max() | sp.Min():
                return self.extremum(expr, self.real)
            case sp.Abs():
                value = self.real(expr.args[0])
                positive = self.decide(times(value.top, value.bottom) >= 0)
                return value if positive else -value
            case Where():
                return self.real(self.branch(expr))
            case sigmoid():
                # In this form it is 0 at -oo.
                grown = self.expo(expr.args[0])
                return grown * self.raised(number(1) + grown, -1)
            case sp.tanh():
                grown = self.expo(2 * expr.args[0])
                return (grown + number(-1)) * self.raised(grown + number(1), -1)
        self.finite(expr)
        return whole(self.variable(expr))

    def raised(self, value: Fraction, n: int) -> Fraction:
        """A power; a negative one is defined where the base is not 0."""
        if n < 0:
            self.defined.append(value.top != 0)
        return value.power(n)

    def is_positive(self, variable: Any) -> bool:
        """Whether an axiom says that a variable is above 0, or an axiom and the path do."""
        for symbol, power in self.powers.items():
            if power.eq(variable):
                return symbol not in self.infinite or self.path.get((power == 0).get_id(), (None, True))[1] is False
        return any(value.eq(variable) and s.is_positive is True for s, value in self.values.items())

    def finite(self, expr: sp.Basic) -> None:
        """Records what a term that is one variable here needs: finite symbols, and what its parts divide by."""
        for symbol in sorted(expr.free_symbols & self.infinite, key=str):
            self.defined.append(z3.Not(self.flag(symbol)))
        for part in (p for arg in expr.args for p in partial(arg)):
            self.real(part)

    def name(self, mark: str, expr: sp.Basic) -> str:
        """A name for a Z3 variable: two expressions never share one, whatever they print as."""
        return self.names(mark, expr, _text(expr))

    def variable(self, expr: sp.Basic) -> Any:
        """A symbol, a read, or a function without a meaning of its own here: one variable a structure."""
        if expr not in self.values:
            value = z3.Real(self.name("", expr))
            self.values[expr] = value
            if expr.is_positive:
                self.axioms.append(value >= 1 if expr.is_integer else value > 0)
            elif expr.is_nonnegative:
                self.axioms.append(z3.Or(value == 0, value >= 1) if isinstance(expr, Size) else value >= 0)
            self.link(expr)
        return self.values[expr]

    def coordinate(self, expr: sp.Basic) -> Any:
        """The exponential of a symbol or an opaque term: positive, or nonnegative where the term may be infinite."""
        if expr not in self.powers:
            power = z3.Real(self.name("E_", expr))
            self.powers[expr] = power
            self.axioms.append(power >= 0 if expr in self.infinite else power > 0)
            self.tie(expr)
            self.link(expr)
        # Each time: what an assumption needed, a goal has to show.
        if expr not in self.infinite:
            self.finite(expr)
            for part in partial(expr):
                self.real(part)
        return self.powers[expr]

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

    def root(self, expr: sp.Expr, n: int) -> Any:
        """The n-th root: the nonnegative y with y^n = x, where x is not negative."""
        key = sp.Pow(expr, sp.Rational(1, n), evaluate=False)
        x = self.real(expr)
        self.defined.append(times(x.top, x.bottom) >= 0)
        if key not in self.values:
            y = z3.Real(self.name("", key))
            self.values[key] = y
            power = reduce(times, [y] * n)
            self.axioms += [y >= 0, z3.Implies(times(x.top, x.bottom) >= 0, times(power, x.bottom) == x.top)]
        return self.values[key]

    def _expo(self, expr: sp.Expr) -> Fraction:
        expr = sp.expand(expr, deep=False) if not isinstance(expr, Where | sp.Max | sp.Min) else expr
        return reduce(Fraction.__mul__, [self.expo_term(*t.as_coeff_Mul()) for t in sp.Add.make_args(expr)], number(1))

    def expo_term(self, factor: sp.Expr, rest: sp.Expr) -> Fraction:
        """`exp(factor rest)` for a number and a term."""
        if rest in (sp.oo, -sp.oo, sp.nan, sp.zoo) or factor in (sp.oo, -sp.oo, sp.nan, sp.zoo):
            if sp.Mul(factor, rest) != -sp.oo:
                raise Undefined(str(factor * rest))
            return number(0)
        match rest:
            case _ if rest == 1:
                return number(1) if factor == 0 else self.leaf(factor, sp.S.One)
            case sp.Max() | sp.Min():
                return self.extremum(rest, lambda best: self.expo(sp.Mul(factor, best)))
            case Where():
                return self.expo(sp.Mul(factor, self.branch(rest)))
            case sp.Add():
                return self.expo(sp.expand(factor * rest))
            case sp.Mul() if (terms := sp.expand(rest, deep=False)).is_Add:
                return self.expo(sp.expand(factor * terms, deep=False))
            case sp.log() if factor.is_Integer:
                value = self.real(rest.args[0])
                self.defined.append(times(value.top, value.bottom) >= 0)
                return self.raised(value, int(factor))
            case _ if (there := self.chosen(rest)) != rest:
                return self.expo(sp.Mul(factor, there))
        return self.leaf(factor, rest)

    def leaf(self, factor: sp.Expr, rest: sp.Expr) -> Fraction:
        """`exp(p/q t)` through the variable of `t`, or that of `t/q`."""
        if not factor.is_Rational or max(abs(factor.p), factor.q) > LARGEST_POWER:
            return self.opaque(factor, rest)
        value = self.coordinate(rest)
        if factor.q != 1:
            full, value = value, z3.Real(self.name("E_", sp.Mul(sp.Rational(1, factor.q), rest, evaluate=False)))
            self.axioms += [value >= 0, value**factor.q == full]
        power = int(factor.p)
        return self.raised(whole(value), -power if rest in self.rising else power)

    def opaque(self, factor: sp.Expr, rest: sp.Expr) -> Fraction:
        """The exponential of a multiple that is too high a power to write out; that of a number c is at least 1 + c."""
        if not (rest == 1 and factor.is_Rational):
            return whole(self.coordinate(sp.Mul(factor, rest)))
        value = self.coordinate(abs(factor))
        self.axioms.append(value >= z3.RealVal(str(1 + abs(factor))))
        return self.raised(whole(value), 1 if factor > 0 else -1)

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
        return self.decide(self.at_least(*pair, strict=False))

    def _is_apart(self, pair: tuple[sp.Expr, sp.Expr]) -> bool:
        return self.decide(self.at_least(*pair, strict=True))

    def logarithm(self, expr: sp.Expr) -> Fraction:
        """`log(exp(a) b^k) -> a + k log|b|`, for a product that is positive."""
        total = number(0)
        for factor in sp.Mul.make_args(expr):
            if isinstance(factor, sp.exp):
                total = total + self.real(factor.args[0])
            elif isinstance(factor, sp.Pow) and factor.exp.is_Rational:
                total = total + number(str(factor.exp)) * self.logarithm(factor.base)
            elif factor != 1:
                total = total + whole(self.variable(sp.log(factor)))
        return total

    def angle(self, expr: sp.Expr) -> tuple[Any, Any]:
        """Cosine and sine of a sum, by the addition theorems over one pair a term, on the unit circle."""
        c, s = z3.RealVal(1), z3.RealVal(0)
        for term in sp.Add.make_args(sp.expand(expr)):
            factor, rest = term.as_coeff_Mul()
            times, rest = (abs(int(factor)), rest) if factor.is_Integer and rest != 1 else (1, term)
            if rest not in self.angles:
                pair = (z3.Real(self.name("cos ", rest)), z3.Real(self.name("sin ", rest)))
                self.angles[rest] = pair
                self.axioms.append(pair[0] * pair[0] + pair[1] * pair[1] == 1)
            tc, ts = self.angles[rest]
            ts = -ts if factor.is_negative and rest is not term else ts
            for _ in range(times):
                c, s = c * tc - s * ts, s * tc + c * ts
        return c, s


def _plain(condition: Any) -> Any:
    """A condition as a path decides it: true or false where it is that for Z3."""
    simple = z3.simplify(condition)
    # Which side of an equation Z3 puts first depends on all that it has seen before; a proof file must not.
    return simple if _constant(simple) else tidy(condition)


def tidy(condition: Any) -> Any:
    """A condition without the constants in it, and without what stands in it twice."""
    if z3.is_not(condition):
        inner = tidy(condition.arg(0))
        if _constant(inner):
            return z3.BoolVal(z3.is_false(inner))
        return inner.arg(0) if z3.is_not(inner) else z3.Not(inner)
    if not (z3.is_and(condition) or z3.is_or(condition)):
        return condition
    parts = list({part.sexpr(): part for part in map(tidy, z3.children(condition))}.values())
    settles = z3.is_false if z3.is_and(condition) else z3.is_true
    if any(settles(part) for part in parts):
        return z3.BoolVal(z3.is_or(condition))
    parts = [part for part in parts if not _constant(part)]
    join = z3.And if z3.is_and(condition) else z3.Or
    return parts[0] if len(parts) == 1 else join(*parts) if parts else z3.BoolVal(z3.is_and(condition))


def _constant(condition: Any) -> bool:
    return bool(z3.is_true(condition) or z3.is_false(condition))


def _text(expr: sp.Basic) -> str:
    from refold.spec.mathematics import text

    return text(expr)
