"""What every SymPy head is in the kernel language."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from refold.algebra.base2 import exp2
from refold.schedule import ir
from refold.schedule.lower.words import FAST
from refold.spec.heads import nearest, sigmoid


def _helper(name: str, *flags: ir.Value) -> Callable[[ir.Value], ir.Value]:
    return lambda x: ir.Call(name, (x, *flags), x.axes)


def _unary(op: ir.UnaryOp) -> Callable[[ir.Value], ir.Value]:
    return lambda x: ir.Unary(op, x)


# tl has no tanh, log1p, expm1 or round that runs in the interpreter, on cuda and on hip alike.
KERNEL: dict[type[sp.Basic], Callable[[ir.Value], ir.Value]] = {
    sp.exp: _helper("_exp"),
    exp2: _unary("exp2"),
    sp.log: _unary("log"),
    sp.tanh: _helper("_tanh", FAST),
    sigmoid: _helper("_sigmoid"),
    sp.sin: _unary("sin"),
    sp.cos: _unary("cos"),
    sp.erf: _unary("erf"),
    sp.Abs: _unary("abs"),
    nearest: _helper("_round"),
}
