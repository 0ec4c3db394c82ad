"""Z3's formulas as the checker reads them: expressions of Python, the same text for the same formula."""

from __future__ import annotations

import ast
from fractions import Fraction
from functools import reduce
from typing import Any

from refold.verify.smt import formulas as z3

# Longer than this is nothing that anyone wants to look at, or to wait for.
LONGEST = 50_000


class Unwritable(Exception):
    """A formula that the language of the checker has no words for."""


class Texts:
    """The texts of formulas, each written once."""

    def __init__(self) -> None:
        # A formula is kept beside its text: Z3 gives the number of one that is gone to another.
        self.known: dict[int, tuple[Any, str]] = {}

    def __call__(self, formula: Any) -> str:
        """The text of a formula. Raises `Unwritable`."""
        key = z3.key(formula)
        if key not in self.known:
            text = ast.unparse(_node(formula))
            if len(text) > LONGEST:
                raise Unwritable(f"a formula of {len(text)} letters")
            self.known[key] = formula, text
        return self.known[key][1]


def number_sort(formulas: list[Any]) -> str:
    """The sort of the numbers in formulas: `Int` or `Real`; they do not mix."""
    stack, seen = list(formulas), set()
    while stack:
        term = stack.pop()
        if z3.key(term) not in seen:
            seen.add(z3.key(term))
            if z3.is_arith(term):
                return "Int" if term.is_int() else "Real"
            stack += z3.children(term)
    return "Real"


def _node(term: Any) -> ast.expr:
    kind = z3.kind(term)
    if kind == z3.Z3_OP_UNINTERPRETED and not z3.children(term) and (name := term.decl().name()).isidentifier():
        return ast.Name(name)
    if kind == z3.Z3_OP_ANUM:
        return _number(term.as_fraction() if term.is_real() else Fraction(term.as_long()))
    args = [_node(a) for a in z3.children(term)]
    match kind:
        case z3.Z3_OP_TRUE | z3.Z3_OP_FALSE:
            return ast.Constant(kind == z3.Z3_OP_TRUE)
        case z3.Z3_OP_AND | z3.Z3_OP_OR if len(args) > 1:
            return ast.BoolOp(ast.And() if kind == z3.Z3_OP_AND else ast.Or(), args)
        case z3.Z3_OP_AND | z3.Z3_OP_OR:
            return args[0] if args else ast.Constant(kind == z3.Z3_OP_AND)
        case z3.Z3_OP_POWER if (power := ast.unparse(args[1])).isdigit() and 0 < int(power) < 100:
            return reduce(lambda x, y: ast.BinOp(x, ast.Mult(), y), [args[0]] * int(power))
        case z3.Z3_OP_ITE:
            return ast.IfExp(*args)
        case z3.Z3_OP_UMINUS | z3.Z3_OP_NOT:
            return ast.UnaryOp(ast.Not() if kind == z3.Z3_OP_NOT else ast.USub(), args[0])
        case z3.Z3_OP_IMPLIES:
            return ast.Call(ast.Name("implies"), args, [])
        case z3.Z3_OP_EQ if z3.is_bool(term.arg(0)):
            return ast.Call(ast.Name("iff"), args, [])
    if kind in _OPERATORS:
        return reduce(lambda x, y: ast.BinOp(x, _OPERATORS[kind](), y), args)
    if kind in _RELATIONS and len(args) == 2 and z3.is_arith(term.arg(0)):
        return ast.Compare(args[0], [_RELATIONS[kind]()], [args[1]])
    raise Unwritable(str(term)[:80])


def _number(value: Fraction) -> ast.expr:
    size: ast.expr = ast.Constant(abs(value.numerator))
    signed = ast.UnaryOp(ast.USub(), size) if value < 0 else size
    return signed if value.denominator == 1 else ast.BinOp(signed, ast.Div(), ast.Constant(value.denominator))


_OPERATORS: dict[int, type[ast.operator]] = {
    z3.Z3_OP_ADD: ast.Add, z3.Z3_OP_SUB: ast.Sub, z3.Z3_OP_MUL: ast.Mult, z3.Z3_OP_MOD: ast.Mod,
    z3.Z3_OP_IDIV: ast.FloorDiv,
}  # fmt: skip
_RELATIONS: dict[int, type[ast.cmpop]] = {
    z3.Z3_OP_LE: ast.LtE, z3.Z3_OP_GE: ast.GtE, z3.Z3_OP_LT: ast.Lt, z3.Z3_OP_GT: ast.Gt, z3.Z3_OP_EQ: ast.Eq,
    z3.Z3_OP_DISTINCT: ast.NotEq,
}  # fmt: skip
