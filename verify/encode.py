"""SymPy -> Z3 over the extended reals: `exp(x)` becomes a variable E >= 0 that is 0 exactly where x = -oo.

Every value is a fraction of polynomials, so that an equality is one of polynomials once the denominators are known
not to vanish (an obligation of its own). Conditions (`max`, guards, masks) are decided one path at a time: `decide`
raises `Undecided` with the condition, and the caller goes both ways.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sympy as sp
import z3
from sympy.core.relational import Relational

from refold.algebra import Fresh, State, Varying
from refold.algebra.rewrite import walk
from refold.spec import Where
from refold.spec.heads import sigmoid


class Undecided(Exception):
    """A path needs to know whether `condition` holds."""

    def __init__(self, condition: z3.BoolRef) -> None:
        super().__init__(str(condition))
        self.condition = condition


class Undefined(Exception):
    """An expression has no value in the encoding (an infinity where a real is needed)."""


@dataclass(frozen=True, slots=True)
class Fraction:
    """`top / bottom`, with `bottom` not 0 by assumption."""

    top: Any
    bottom: Any

    def __add__(self, other: Fraction) -> Fraction:
        if self.bottom.eq(other.bottom):
            return Fraction(self.top + other.top, self.bottom)
        return Fraction(self.top * other.bottom + other.top * self.bottom, self.bottom * other.bottom)

    def __mul__(self, other: Fraction) -> Fraction:
        return Fraction(self.top * other.top, self.bottom * other.bottom)

    def inverse(self) -> Fraction:
        return Fraction(self.bottom, self.top)

    def power(self, n: int) -> Fraction:
        result = Fraction(z3.RealVal(1), z3.RealVal(1))
        base = self if n >= 0 else self.inverse()
        for _ in range(abs(n)):
            result = result * base
        return result


def exponents(expr: sp.Basic) -> set[sp.Basic]:
    """The symbols that occur inside of an exponential."""
    return {s for node in walk(expr) if isinstance(node, sp.exp) for s in node.free_symbols}


@dataclass
class Encoder:
    """Translates the formulas of one obligation; `axioms` grows with the variables that it makes.

    `infinite` holds the symbols that may be -oo (or +oo for the negated ones in `rising`); `coded` those that are
    represented by their exponential, which is a monotone coordinate of [-oo, oo) and so serves for comparisons.
    """

    infinite: frozenset[sp.Basic]
    rising: frozenset[sp.Basic]
    coded: frozenset[sp.Basic]
    path: dict[str, bool] = field(default_factory=dict)
    axioms: list[Any] = field(default_factory=list)
    denominators: list[Any] = field(default_factory=list)
    hypotheses: list[Any] = field(default_factory=list)
    values: dict[sp.Basic, Any] = field(default_factory=dict)
    powers: dict[sp.Basic, Any] = field(default_factory=dict)
    angles: dict[sp.Basic, tuple[Any, Any]] = field(default_factory=dict)
    flags: dict[sp.Basic, Any] = field(default_factory=dict)

    # --- conditions ------------------------------------------------------------------------------------------

    def decide(self, condition: Any) -> bool:
        condition = z3.simplify(condition)
        if z3.is_true(condition) or z3.is_false(condition):
            return bool(z3.is_true(condition))
        key = condition.sexpr()
        if key not in self.path:
            raise Undecided(condition)
        return self.path[key]

    def formula(self, cond: sp.Basic) -> Any:
        """A condition as a Z3 formula (its own subterms decided along the path)."""
        if cond is sp.true or cond is sp.false:
            return z3.BoolVal(cond is sp.true)
        match cond:
            case sp.And():
                return z3.And(*(self.formula(a) for a in cond.args))
            case sp.Or():
                return z3.Or(*(self.formula(a) for a in cond.args))
            case sp.Not():
                return z3.Not(self.formula(cond.args[0]))
            case sp.Implies():
                return z3.Implies(self.formula(cond.args[0]), self.formula(cond.args[1]))
            case Relational():
                return self.relation(cond)
        return z3.Bool(f"[{cond}]")

    def relation(self, cond: Any) -> Any:
        left, right = cond.lhs, cond.rhs
        if left == right:
            return z3.BoolVal(cond.rel_op in ("==", "<=", ">="))
        if right == -sp.oo or left == -sp.oo or right == sp.oo or left == sp.oo:
            return self.finite(cond)
        if not _is_index(cond):
            if cond.rel_op in ("==", "!="):
                equal = self.equal(left, right)
                return equal if cond.rel_op == "==" else z3.Not(equal)
            if cond.rel_op in ("<=", "<"):
                left, right = right, left
            return self.at_least(left, right, strict=cond.rel_op in ("<", ">"))
        # A predicate over indices is the same proposition wherever it occurs.
        positive = cond if cond.rel_op in ("<=", "<", "==") else cond.negated
        atom = z3.Bool(f"[{positive}]")
        return atom if positive is cond else z3.Not(atom)

    def finite(self, cond: Any) -> Any:
        """`x > -oo` and `x < oo` for a symbol."""
        left, right = cond.lhs, cond.rhs
        symbol, strict = (left, cond.rel_op) if right in (sp.oo, -sp.oo) else (right, cond.rel_op)
        limit = right if symbol is left else left
        is_finite = z3.Not(self.is_infinite(symbol))
        if strict in (">", "<", "!="):
            return is_finite if self.reaches(symbol, limit) else z3.BoolVal(True)
        return z3.Not(is_finite) if self.reaches(symbol, limit) and strict == "==" else z3.BoolVal(False)

    def reaches(self, expr: sp.Expr, limit: sp.Expr) -> bool:
        return any(s in self.infinite for s in expr.free_symbols) and (limit == sp.oo) == bool(expr.free_symbols & self.rising)

    def is_infinite(self, expr: sp.Expr) -> Any:
        """Whether an extended value is infinite: of a maximum, when all of its arguments are; of a sum, when one is."""
        match expr:
            case sp.Max() | sp.Min():
                return z3.And(*(self.is_infinite(a) for a in expr.args))
            case Where():
                return self.is_infinite(expr.args[1] if self.decide(self.formula(expr.args[0])) else expr.args[2])
            case sp.Add():
                return z3.Or(*(self.is_infinite(a) for a in expr.args))
            case sp.Mul() if expr.args[0].is_number and len(expr.args) == 2:
                return self.is_infinite(expr.args[1])
        if expr in (sp.oo, -sp.oo):
            return z3.BoolVal(True)
        return self.flag(expr) if expr in self.infinite else z3.BoolVal(False)

    def flag(self, symbol: sp.Basic) -> Any:
        if symbol in self.coded:
            return self.coordinate(symbol) == 0
        if symbol not in self.flags:
            self.flags[symbol] = z3.Bool(f"inf_{_name(symbol)}")
        return self.flags[symbol]

    def at_least(self, left: sp.Expr, right: sp.Expr, *, strict: bool) -> Any:
        """`left >= right` (or `>`), through exponentials where those are how the two are known."""
        symbols = plain(left, right)
        if symbols & self.coded and not symbols & self.infinite - self.coded:
            return _compare(self.expo(left), self.expo(right), strict)
        if not symbols & self.infinite and not any(_boundless(x, limit) for x in (left, right) for limit in (sp.oo, -sp.oo)):
            return _compare(self.real(left), self.real(right), strict)
        up = bool(symbols & self.rising) or _boundless(left, sp.oo) or _boundless(right, sp.oo)
        never, always = z3.BoolVal(False), z3.BoolVal(True)
        lost, won = (self.decide(self.is_infinite(x)) for x in (left, right))
        if up:
            lost, won = won, lost
        if lost or won:
            return always if won and not (lost and strict) else never if lost else always
        return _compare(self.real(left), self.real(right), strict)

    def equal(self, left: sp.Expr, right: sp.Expr) -> Any:
        """`left = right`, as polynomials; where logarithms are added, of the exponentials of both sides."""
        if left == right:
            return z3.BoolVal(True)
        if _adds_logs(left, right) or self.is_coordinate(left, right) or (_boundless(left, -sp.oo) and plain(left, right) & self.coded):
            a, b = self.expo(left), self.expo(right)
            return a.top * b.bottom == b.top * a.bottom
        if plain(left, right) & self.infinite - self.coded or any(
            _boundless(x, limit) for x in (left, right) for limit in (sp.oo, -sp.oo)
        ):
            low, high = (self.decide(self.is_infinite(x)) for x in (left, right))
            if low or high:
                return z3.BoolVal(low == high)
        if left.has(sp.sin, sp.cos) or right.has(sp.sin, sp.cos):
            left, right = on_circle(left - right), sp.S.Zero
        a, b = self.real(left), self.real(right)
        return a.top * b.bottom == b.top * a.bottom

    def is_coordinate(self, left: sp.Expr, right: sp.Expr) -> bool:
        """Whether both sides are extremes of symbols that are known by their exponentials alone."""
        symbols = left.free_symbols | right.free_symbols
        return bool(symbols) and symbols <= self.coded and all(
            isinstance(n, sp.Max | sp.Min | sp.Symbol | Where | Relational | sp.logic.boolalg.Boolean) or n in (-sp.oo, sp.oo)
            for side in (left, right)
            for n in walk(side)
        ) and not symbols & self.rising  # fmt: skip

    # --- values ----------------------------------------------------------------------------------------------

    def real(self, expr: sp.Basic) -> Fraction:
        """The value of an expression as a fraction of polynomials."""
        if expr.is_Rational:
            return Fraction(z3.RealVal(str(expr)), z3.RealVal(1))
        if expr in (sp.oo, -sp.oo, sp.nan, sp.zoo):
            raise Undefined(str(expr))
        match expr:
            case sp.Add():
                return _fold(Fraction.__add__, [self.real(a) for a in expr.args])
            case sp.Mul():
                return _fold(Fraction.__mul__, [self.real(a) for a in expr.args])
            case sp.Pow() if expr.exp.is_Integer:
                base = self.real(expr.base)
                if expr.exp.is_negative:
                    self.denominators.append(base.top != 0)
                return base.power(int(expr.exp))
            case sp.Pow() if expr.exp.is_Rational and expr.exp.q == 2:
                return Fraction(self.root(expr.base), z3.RealVal(1)).power(int(expr.exp.p))
            case sp.exp():
                return self.expo(expr.args[0])
            case sp.log():
                return self.logarithm(expr.args[0])
            case sp.cos() | sp.sin():
                return Fraction(self.angle(expr.args[0])[0 if isinstance(expr, sp.cos) else 1], z3.RealVal(1))
            case sp.Max() | sp.Min():
                return self.extremum(expr, self.real)
            case sp.Abs():
                value = self.real(expr.args[0])
                positive = self.decide(value.top * value.bottom >= 0)
                return value if positive else Fraction(-value.top, value.bottom)
            case Where():
                return self.real(expr.args[1] if self.decide(self.formula(expr.args[0])) else expr.args[2])
            case sigmoid():
                grown = self.expo(-expr.args[0])
                return (Fraction(z3.RealVal(1), z3.RealVal(1)) + grown).inverse()
            case sp.tanh():
                grown = self.expo(2 * expr.args[0])
                one = Fraction(z3.RealVal(1), z3.RealVal(1))
                return (grown + Fraction(z3.RealVal(-1), z3.RealVal(1))) * (grown + one).inverse()
        return Fraction(self.variable(expr), z3.RealVal(1))

    def variable(self, expr: sp.Basic) -> Any:
        """A symbol, a read, or a function without a meaning of its own here: one variable a structure."""
        if expr not in self.values:
            value = z3.Real(_name(expr))
            self.values[expr] = value
            if expr.is_positive:
                self.axioms.append(value > 0)
            elif expr.is_nonnegative:
                self.axioms.append(value >= 0)
            self.link(expr)
        return self.values[expr]

    def coordinate(self, expr: sp.Basic) -> Any:
        """The exponential of a symbol or an opaque term: positive, or nonnegative where the term may be -oo."""
        if expr not in self.powers:
            power = z3.Real(f"E_{_name(expr)}")
            self.powers[expr] = power
            self.axioms.append(power >= 0 if expr in self.infinite else power > 0)
            self.link(expr)
        return self.powers[expr]

    def link(self, expr: sp.Basic) -> None:
        """`x <= y` exactly where `exp(x) <= exp(y)`, among those that are used in both ways; and against 0."""
        if expr not in self.values or expr not in self.powers:
            return
        x, ex = self.values[expr], self.powers[expr]
        here = ex > 0
        self.axioms.append(z3.Implies(here, (x <= 0) == (ex <= 1)))
        for other in self.values.keys() & self.powers.keys():
            if other != expr:
                y, ey = self.values[other], self.powers[other]
                self.axioms.append(z3.Implies(z3.And(here, ey > 0), z3.And((x <= y) == (ex <= ey), (x == y) == (ex == ey))))

    def root(self, expr: sp.Expr) -> Any:
        """The square root: the nonnegative y with y^2 = x."""
        key = sp.sqrt(expr, evaluate=False)
        if key not in self.values:
            y, x = z3.Real(f"sqrt({_name(expr)})"), self.real(expr)
            self.values[key] = y
            self.axioms += [y >= 0, y * y * x.bottom == x.top]
        return self.values[key]

    def power(self, expr: sp.Expr) -> Any:
        """The exponential of an expression that divides by nothing: a polynomial."""
        value = self.expo(expr)
        return value.top if z3.is_rational_value(value.bottom) and value.bottom.as_fraction() == 1 else value.top / value.bottom

    def expo(self, expr: sp.Expr) -> Fraction:
        """`exp(sum_i k_i t_i) -> prod_i E_i^k_i`."""
        one = z3.RealVal(1)
        if expr == -sp.oo:
            return Fraction(z3.RealVal(0), one)
        if expr in (sp.oo, sp.nan, sp.zoo):
            raise Undefined(str(expr))
        expr = sp.expand(expr, deep=False) if not isinstance(expr, Where | sp.Max | sp.Min) else expr
        result = Fraction(one, one)
        for term in sp.Add.make_args(expr):
            result = result * self.expo_term(term)
        return result

    def expo_term(self, term: sp.Expr) -> Fraction:
        one = z3.RealVal(1)
        factor, rest = term.as_coeff_Mul()
        if rest == 1:
            if factor == 0:
                return Fraction(one, one)
            return Fraction(self.coordinate(sp.S.One), one).power(int(factor)) if factor.is_Integer else self.opaque(term)
        if not factor.is_Integer:
            return self.root_power(factor, rest)
        match rest:
            case sp.Max() | sp.Min():
                return self.extremum(rest, self.expo).power(int(factor))
            case Where():
                chosen = rest.args[1] if self.decide(self.formula(rest.args[0])) else rest.args[2]
                return self.expo(sp.Mul(factor, chosen))
            case sp.log():
                return self.real(rest.args[0]).power(int(factor))
            case sp.Add():
                return self.expo(sp.expand(term))
        if rest in self.rising:
            return Fraction(self.coordinate(rest), one).power(-int(factor))
        value = Fraction(self.coordinate(rest), one)
        if factor.is_negative:
            self.denominators.append(value.top != 0)
        return value.power(int(factor))

    def root_power(self, factor: sp.Expr, rest: sp.Expr) -> Fraction:
        """`exp(p/q t)` through the variable of `t/q`."""
        part = sp.Mul(sp.Rational(1, factor.q), rest, evaluate=False)
        whole = self.coordinate(rest)
        root = self.coordinate(part)
        self.axioms.append(root**factor.q == whole)
        return Fraction(root, z3.RealVal(1)).power(int(factor.p))

    def opaque(self, term: sp.Expr) -> Fraction:
        return Fraction(self.coordinate(term), z3.RealVal(1))

    def extremum(self, expr: sp.Expr, value: Any) -> Fraction:
        """The argument that the path says is the largest (the smallest)."""
        best = expr.args[0]
        for arg in expr.args[1:]:
            first = self.decide(self.at_least(best, arg, strict=False))
            if isinstance(expr, sp.Min):
                first = not first if self.decide(z3.Not(self.equal(best, arg))) else True
            best = best if first else arg
        result: Fraction = value(best)
        return result

    def logarithm(self, expr: sp.Expr) -> Fraction:
        """`log(exp(a) b^k) -> a + k log(b)`: every factor is positive wherever the product of them has a logarithm here."""
        total = Fraction(z3.RealVal(0), z3.RealVal(1))
        for factor in sp.Mul.make_args(expr):
            if isinstance(factor, sp.exp):
                total = total + self.real(factor.args[0])
            elif isinstance(factor, sp.Pow) and factor.exp.is_Rational:
                total = total + self.real(sp.Integer(1) * factor.exp) * self.logarithm(factor.base)
            elif factor != 1:
                total = total + Fraction(self.variable(sp.log(factor)), z3.RealVal(1))
        return total

    def angle(self, expr: sp.Expr) -> tuple[Any, Any]:
        """Cosine and sine of a sum, by the addition theorems over one pair a term, on the unit circle."""
        c, s = z3.RealVal(1), z3.RealVal(0)
        for term in sp.Add.make_args(sp.expand(expr)):
            factor, rest = term.as_coeff_Mul()
            times, rest = (abs(int(factor)), rest) if factor.is_Integer and rest != 1 else (1, term)
            if rest not in self.angles:
                pair = (z3.Real(f"cos({_name(rest)})"), z3.Real(f"sin({_name(rest)})"))
                self.angles[rest] = pair
                self.axioms.append(pair[0] * pair[0] + pair[1] * pair[1] == 1)
            tc, ts = self.angles[rest]
            ts = -ts if factor.is_negative and rest is not term else ts
            for _ in range(times):
                c, s = c * tc - s * ts, s * tc + c * ts
        return c, s


def _adds_logs(*exprs: sp.Expr) -> bool:
    """Whether logarithms occur, and only as terms of sums: exponentials of both sides then know nothing but products."""
    terms = [t for expr in exprs for t in sp.Add.make_args(expr)]
    return any(isinstance(t, sp.log) for t in terms) and not any(
        isinstance(n, sp.log) for t in terms for n in walk(t) if n is not t
    )


def on_circle(expr: sp.Expr) -> sp.Expr:
    """The normal form modulo `cos^2 + sin^2 = 1` of every angle: sums of angles apart, and no square of a sine."""
    expr = sp.expand(sp.expand_trig(sp.expand(expr)))
    squares = expr.replace(
        lambda n: isinstance(n, sp.Pow) and isinstance(n.base, sp.sin) and n.exp.is_Integer and n.exp >= 2,
        lambda n: (1 - sp.cos(n.base.args[0]) ** 2) ** (n.exp // 2) * n.base ** (n.exp % 2),
    )
    return sp.expand(squares)


def plain(*exprs: sp.Basic) -> set[sp.Basic]:
    """The symbols that occur outside of exponentials, as plain values."""
    found: set[sp.Basic] = set()

    def visit(expr: sp.Basic) -> None:
        if isinstance(expr, sp.Symbol):
            found.add(expr)
        elif not isinstance(expr, sp.exp | Relational):
            for arg in expr.args:
                visit(arg)

    for expr in exprs:
        visit(expr)
    return found


def _boundless(expr: sp.Basic, limit: sp.Expr) -> bool:
    """Whether an infinity is among the values that an expression may take, as a branch, an argument or a term."""
    if expr == limit:
        return True
    if isinstance(expr, Where):
        return any(_boundless(a, limit) for a in expr.args[1:])
    return isinstance(expr, sp.Max | sp.Min | sp.Add) and any(_boundless(a, limit) for a in expr.args)


def _fold(join: Any, parts: list[Fraction]) -> Fraction:
    result = parts[0]
    for part in parts[1:]:
        result = join(result, part)
    return result


def _compare(a: Fraction, b: Fraction, strict: bool) -> Any:
    """`a >= b` without a division: both sides times the squares of the denominators."""
    left, right = a.top * a.bottom * b.bottom * b.bottom, b.top * b.bottom * a.bottom * a.bottom
    return left > right if strict else left >= right


def _is_index(cond: Any) -> bool:
    """Whether a relation is one over indices, of the spec's own making."""
    return bool(cond.free_symbols and cond.lhs.is_integer and cond.rhs.is_integer and not cond.has(State, Fresh, Varying))


def _name(expr: sp.Basic) -> str:
    from refold.spec.mathematics import text

    return text(expr).replace("|", "#")
