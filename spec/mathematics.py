"""Prints expressions as mathematics: one line of Unicode for terminals, LaTeX for notebooks."""

from __future__ import annotations

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.precedence import precedence
from sympy.printing.str import StrPrinter

from refold.spec.heads import Fold, Where


class _Text(StrPrinter):
    """SymPy's one-line printer with the signs of the field: `·`, `√`, `≤`, `∞`."""

    def _print_Add(self, expr: sp.Add, order: object = None) -> str:
        terms = sorted(
            self._as_ordered_terms(expr), key=lambda t: (t.could_extract_minus_sign(), _ends_open(t), t.is_number)
        )
        parts = [self.parenthesize(terms[0], precedence(expr))]
        for term in terms[1:]:
            negative = term.could_extract_minus_sign()
            parts.append(
                f" {'-' if negative else '+'} " + self.parenthesize(-term if negative else term, precedence(expr))
            )
        return "".join(parts)

    def _print_Mul(self, expr: sp.Mul) -> str:
        numerator, denominator = sp.fraction(expr, exact=True)
        if denominator != 1:
            top = self._product(numerator)
            bottom = self.parenthesize(denominator, 50)
            return f"{top}/{bottom}"
        return self._product(expr)

    def _product(self, expr: sp.Expr) -> str:
        if not expr.is_Mul:
            return str(self.parenthesize(expr, 50))
        coefficient, rest = expr.as_coeff_Mul()
        if coefficient == -1 and isinstance(rest, Fold):
            return f"-{self._print(rest)}"
        parts = [] if coefficient in (1, -1) else [self.parenthesize(abs(coefficient), 50)]
        parts += [self.parenthesize(a, 50) for a in sp.Mul.make_args(rest)]
        return ("-" if coefficient.is_negative else "") + "·".join(parts)

    def _print_Pow(self, expr: sp.Pow, rational: bool = False) -> str:
        if expr.exp == sp.Rational(1, 2):
            return f"√{self.parenthesize(expr.base, 100)}"
        if expr.exp == -1:
            return f"1/{self.parenthesize(expr.base, 60)}"
        if expr.exp == sp.Rational(-1, 2):
            return f"1/√{self.parenthesize(expr.base, 100)}"
        if expr.exp in (2, 3, 4):
            return self.parenthesize(expr.base, 100) + {2: "²", 3: "³", 4: "⁴"}[int(expr.exp)]
        return super()._print_Pow(expr, rational)

    def _print_Relational(self, expr: sp.Basic) -> str:
        sign = {"==": "=", "!=": "≠", "<=": "≤", ">=": "≥"}.get(expr.rel_op, expr.rel_op)
        return f"{self._print(expr.lhs)} {sign} {self._print(expr.rhs)}"

    def _print_And(self, expr: sp.And) -> str:
        return " and ".join(self.parenthesize(a, 30) for a in sorted(expr.args, key=sp.default_sort_key))

    def _print_Or(self, expr: sp.Or) -> str:
        return " or ".join(self.parenthesize(a, 30) for a in sorted(expr.args, key=sp.default_sort_key))

    def _print_Not(self, expr: sp.Not) -> str:
        return f"not ({self._print(expr.args[0])})"

    def _print_Infinity(self, expr: sp.Expr) -> str:
        return "∞"

    def _print_NegativeInfinity(self, expr: sp.Expr) -> str:
        return "-∞"

    def _print_Abs(self, expr: sp.Expr) -> str:
        return f"|{self._print(expr.args[0])}|"

    def _print_Max(self, expr: sp.Expr) -> str:
        return f"max({', '.join(self._print(a) for a in sorted(expr.args, key=sp.default_sort_key))})"

    def _print_Min(self, expr: sp.Expr) -> str:
        return f"min({', '.join(self._print(a) for a in sorted(expr.args, key=sp.default_sort_key))})"

    def _print_floor(self, expr: sp.Expr) -> str:
        return f"⌊{self._print(expr.args[0])}⌋"

    def _print_nearest(self, expr: sp.Expr) -> str:
        return f"round({self._print(expr.args[0])})"


def _ends_open(term: sp.Expr) -> bool:
    """Whether a term is a fold, whose body a reader may take to go on."""
    return type(term.as_coeff_Mul()[1]).__name__ == "Fold"


def text(expr: sp.Basic) -> str:
    """One line of Unicode mathematics."""
    return str(_Text().doprint(expr))


def definition(expr: sp.Basic) -> str:
    """One line for the right of an equals sign, where a case distinction needs no parentheses of its own."""
    line = text(expr)
    return line[1:-1] if isinstance(expr, Where) else line


def latex(expr: sp.Basic) -> str:
    """LaTeX, without dollar signs."""
    return str(LatexPrinter().doprint(expr)).replace("″", "''").replace("′", "'")
