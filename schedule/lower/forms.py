"""How a plain kernel writes an expression: a form of every kind."""

from __future__ import annotations

from refold.schedule import ir
from refold.schedule.lower.dots import dot
from refold.schedule.lower.floats import real
from refold.schedule.lower.integers import condition, quotient, whole
from refold.schedule.lower.scope import Forms, Scope


def spread(scope: Scope, val: ir.Value, axes: ir.Axes) -> ir.Value:
    """A value with the axes of a tile."""
    return ir.Spread(val, axes)


PLAIN = Forms(real, whole, condition, quotient, dot, spread)
