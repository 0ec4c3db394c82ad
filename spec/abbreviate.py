"""Names for the parts of a pipeline that a reader meets more than once, so that it prints as in a paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

from refold.spec.heads import Fold, Index, Param, Read, Size, TensorName, Where


@dataclass(frozen=True, slots=True)
class Part:
    """`name[axes] = shown`: a part of a pipeline, `expr` in full and `shown` over the parts before it."""

    symbol: sp.Expr
    expr: sp.Expr
    shown: sp.Expr


def abbreviate(exprs: Sequence[sp.Expr], order: Sequence[Index], taken: set[str],
               prefer: Mapping[sp.Expr, str] | None = None) -> tuple[Part, ...]:  # fmt: skip
    """The parts worth a name, in the order of definition: shared ones, and folds that a later fold reads.

    `order` is the order of the axes in indices, `taken` the names in use, `prefer` the names some parts have.
    """
    prefer = prefer or {}
    wanted = _wanted(exprs)
    free = [name for name in prefer.values() if name not in taken]
    used = set(taken) | set(free)
    table: dict[sp.Expr, sp.Expr] = {}
    parts = []
    for expr in sorted(wanted, key=_height):
        name = prefer.get(expr, "")
        if name not in free:
            name = fresh(_base(expr), used)
        used.add(name)
        indices = sorted((s for s in expr.free_symbols if isinstance(s, Index)),
                         key=lambda a: (order.index(a) if a in order else len(order), a.name))  # fmt: skip
        shown = substitute(expr, table)
        symbol = Read(TensorName(name, tuple(indices), "float"), *indices) if indices else sp.Symbol(name)
        table[expr] = symbol
        parts.append(Part(symbol, expr, shown))
    return tuple(parts)


def substitute(expr: Any, table: Mapping[Any, Any]) -> Any:
    """Writes the names of a table for its expressions, the largest first; a product also within a longer one."""
    if expr in table:
        return table[expr]
    if not expr.args:
        return expr
    if isinstance(expr, sp.Mul):
        for part, symbol in reversed(list(table.items())):
            inner = part.args if isinstance(part, sp.Mul) else ()
            if inner and all(arg in expr.args for arg in inner):
                rest = [arg for arg in expr.args if arg not in inner]
                return symbol * substitute(sp.Mul(*rest), table)
    args = [substitute(arg, table) for arg in expr.args]
    return expr if all(a is b for a, b in zip(args, expr.args, strict=True)) else expr.func(*args)


def _wanted(exprs: Sequence[sp.Expr]) -> list[sp.Expr]:
    """Parts with two readers or more, and folds (means as a whole) that a fold over the same axis reads."""
    readers: dict[sp.Expr, int] = {}
    seen: set[tuple[sp.Basic, tuple[Index, ...]]] = set()
    counted: set[sp.Basic] = set()
    waited: dict[sp.Expr, None] = {}

    def visit(expr: sp.Basic, over: tuple[Index, ...]) -> None:
        if (expr, over) in seen:
            return
        seen.add((expr, over))
        for part in _predecessors(expr, over):
            waited[part] = None
        if expr not in counted:
            counted.add(expr)
            for child in _children(expr):
                readers[child] = readers.get(child, 0) + 1
        for child in _children(expr):
            visit(child, (*over, expr.axis) if isinstance(expr, Fold) else over)

    for expr in exprs:
        readers[expr] = readers.get(expr, 0) + 1
        visit(expr, ())
    shared = {e: None for e, n in readers.items() if n > 1 and _heavy(e)}
    return list(shared | {part: None for part in waited if part not in shared})


def _children(expr: sp.Basic) -> Iterator[Any]:
    """The arguments, without signs and numeric factors."""
    if isinstance(expr, Read | Relational):
        return
    for arg in expr.args:
        if isinstance(arg, sp.Expr):
            yield arg.as_coeff_Mul()[1] if isinstance(arg, sp.Mul) else arg


def _predecessors(expr: sp.Basic, over: tuple[Index, ...]) -> Iterator[sp.Expr]:
    """The finished folds that an expression inside of folds over the same axis reads."""
    for arg in _children(expr):
        if isinstance(arg, Fold) and arg.axis in over:
            plain = [f for f in expr.args if f is not arg and not f.is_number and _constant(f)]
            folds = [f for f in expr.args if f.atoms(Read)] if isinstance(expr, sp.Mul) else []
            yield sp.Mul(arg, *plain) if plain and len(folds) >= 1 and isinstance(expr, sp.Mul) else arg


def _constant(expr: sp.Basic) -> bool:
    """Whether an expression is a power of a length: what makes a sum a mean."""
    return isinstance(expr, sp.Pow) and isinstance(expr.base, Size)


def _heavy(expr: sp.Basic) -> bool:
    """Whether a name is shorter to read than the expression."""
    if isinstance(expr, Read | Param | sp.Atom | Relational) or not isinstance(expr, sp.Expr):
        return False
    if isinstance(expr, sp.Pow) and (expr.exp.is_negative or not expr.has(Read, Fold)):
        return False
    return bool(expr.has(Fold, Where, sp.exp, sp.log, sp.tanh) or len(expr.atoms(Read)) > 1)


def _height(expr: sp.Basic) -> int:
    """How deep an expression is: what it is made of is less deep."""
    return 1 + max((_height(arg) for arg in expr.args), default=0)


def _base(expr: sp.Expr) -> str:
    """The letter that the papers use for a part of its shape."""
    factors = sp.Mul.make_args(expr)
    fold = next((f for f in factors if isinstance(f, Fold)), None)
    match expr:
        case Fold():
            letters = {"max": "m", "min": "w", "count": "n", "argmax": "at"}
            letters["sum"] = "l" if expr.body.has(sp.exp) else "t"
            return letters.get(expr.kind, expr.kind)
        case sp.exp():
            return "p"
        case sp.Max():
            return "m"
        case sp.Mul() if fold is not None and fold.kind == "sum" and 1 / Size(fold.axis.name) in factors:
            return "mean"
        case sp.Mul() if any(isinstance(f, sp.exp) for f in factors):
            return "p"
        case sp.Add() if expr.has(Fold) and any(isinstance(a, Read) for a in expr.args):
            return "c"
    return "s"


def fresh(base: str, used: set[str]) -> str:
    """A name that is not in use, made of a letter."""
    if base not in used:
        return base
    return next(f"{base}{n}" for n in range(2, len(used) + 3) if f"{base}{n}" not in used)
