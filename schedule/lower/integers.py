"""An expression of positions, sizes and integer data as an integer, and a condition as a truth value."""

from __future__ import annotations

from functools import partial, reduce

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra import State
from refold.algebra.tiles import BLOCK_N, Loop
from refold.errors import EmitError
from refold.schedule import ir
from refold.schedule.lower.reads import load
from refold.schedule.lower.scope import Scope
from refold.schedule.lower.words import GROUP, INDEX, constant, scalar, size
from refold.schedule.passes.aligned import aligned, is_digit
from refold.spec import Index, Param, Read, Size, Where
from refold.spec.arithmetic import quotient_of, signed
from refold.spec.heads import is_integral

_RELATIONS: dict[str, ir.BinaryOp] = {op: op for op in ("==", "!=", "<", "<=", ">", ">=")}


def whole(scope: Scope, expr: sp.Basic) -> ir.Value:
    """An expression of indices, sizes and integer data as an integer value."""
    if expr == scope.roles.packed:
        return ir.Cast(GROUP, INDEX)
    match expr:
        case Index() if scope.outer is not None:
            return scope.outer.integer(expr)
        case sp.Integer():
            return ir.Number(int(expr))
        case Size():
            return size(Index(expr.name), scope.roles)
        case Param() | Loop():
            return constant(expr.name) if expr == BLOCK_N else scalar(expr.name)
        case State() if (position := scope.lookup(expr)) is not None:
            return position
        case sp.Add():
            (_, first), *others = signed(expr.args)
            result = operand_of(scope, first)
            for sign, term in others:
                result = scope.join("+" if sign == "+" else "-", [result, operand_of(scope, term)])
            return result
        case sp.Mul() if is_integral(expr):
            if expr.args[0] == -1:
                return ir.Unary("-", operand_of(scope, -expr))
            factors = [operand_of(scope, a) for a in expr.args]
            if all(isinstance(s, Size) for s in expr.free_symbols):
                factors[-1] = ir.Cast(factors[-1], INDEX, literal=True)
            return scope.join("*", factors)
        case sp.Pow() if expr.exp.is_Integer and expr.exp > 0:
            return scope.join("*", [operand_of(scope, expr.base)] * int(expr.exp))
        case sp.floor():
            return _floor(scope, *quotient_of(expr))
        case sp.Mod():
            above, below = (operand_of(scope, a) for a in expr.args)
            times = _floor(scope, *expr.args)
            return scope.join("-", [above, scope.join("*", [times, below])])
        case sp.Max() | sp.Min():
            form: ir.BinaryOp = "maximum" if isinstance(expr, sp.Max) else "minimum"
            return reduce(partial(scope.apply, partial(ir.Binary, form)), [scope.integer(a) for a in expr.args])
        case sp.Abs():
            return ir.Unary("abs", operand_of(scope, expr.args[0]))
        case Where():
            return scope.where(scope.condition(expr.args[0]), *(scope.integer(a) for a in expr.args[1:]))
        case Read():
            if scope.outer is not None and not scope.varies(expr):
                return scope.outer.integer(expr)
            return load(scope, expr)
    raise EmitError(f"no integer Triton text for {expr}: use axes, sizes, integer scalars and integer tensors")


def _floor(scope: Scope, above: sp.Expr, below: sp.Expr) -> ir.Value:
    """A quotient rounded down; of the positions of a tile one for all, where the launcher says that it is."""
    lanes = scope.forms.quotient(scope, operand_of(scope, above), operand_of(scope, below), above)
    if not is_digit(above, below, scope.roles):
        return lanes
    return aligned(lanes, ir.Binary("//", scalar("j0"), operand_of(scope, below)), scope.roles.fold)


def operand_of(scope: Scope, expr: sp.Expr) -> ir.Value:
    """An integer that is computed with: data in 64 bits, which the launcher does not see."""
    val = scope.integer(expr)
    narrow = any(r.tensor.dtype != "int64" for r in expr.atoms(Read))
    return ir.Cast(val, "int64") if narrow and isinstance(expr, Read | sp.Max | sp.Min | Where) else val


def quotient(scope: Scope, above: ir.Value, below: ir.Value, dividend: sp.Expr) -> ir.Value:
    """Division rounded down."""
    if dividend.is_nonnegative:
        return scope.join("//", [above, below])
    return scope.apply(partial(scope.host.call, "_floordiv"), above, below)


def condition(scope: Scope, cond: sp.Basic) -> ir.Value:
    """A predicate as a boolean value."""
    match cond:
        case sp.And() | sp.Or():
            parts = [scope.condition(a) for a in cond.args]
            if scope.union(*parts):
                parts = [splat(scope, p, a) for p, a in zip(parts, cond.args, strict=True)]
            return scope.join("&" if isinstance(cond, sp.And) else "|", sorted(parts, key=repr))
        case sp.Not():
            return scope.condition(sp.to_nnf(cond, simplify=False))
        case sp.Gt() | sp.Lt() if cond.rhs == (-sp.oo if isinstance(cond, sp.Gt) else sp.oo):
            # Whatever is no number is there, as far as a guard is concerned.
            return scope.join("!=", [scope.value(cond.lhs), scope.value(cond.rhs)])
        case Relational():
            integral = all(is_integral(side) or side in scope.whole for side in (cond.lhs, cond.rhs))
            left, right = ((scope.integer if integral else scope.value)(side) for side in (cond.lhs, cond.rhs))
            return scope.join(_RELATIONS[cond.rel_op], [left, right])
    raise EmitError(f"no Triton text for the condition {cond}: compare axes, sizes, scalars or integer tensors")


def splat(scope: Scope, val: ir.Value, cond: sp.Basic) -> ir.Value:
    """A condition that enters a tile: one comparison of floats becomes floats there in Triton's interpreter."""
    sides = (side for r in cond.atoms(Relational) for side in r.args)
    floats = any(not is_integral(side) and side not in scope.whole for side in sides)
    if not floats or val.axes:
        return val
    return ir.Binary(">", ir.Select(val, ir.Number(1), ir.Number(0)), ir.Number(0))
