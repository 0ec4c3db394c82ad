"""Expressions on a tape of rounded operations, in as many roundings as their emitted text has, or more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from refold.algebra.roles import Roles
from refold.errors import SpecError
from refold.spec import Fold, Index, Param, Read, Size, Where
from refold.spec.evaluate import Inputs
from refold.verify.rounding.functions import APPROXIMATE, FUNCTIONS
from refold.verify.rounding.tape import Node, Tape


class Values:
    """What one run shares: its inputs, its tape, the dtypes of dots, and the scalars that the launcher computes."""

    def __init__(
        self, given: Inputs, tape: Tape, operands: str, truncation: float, inner: Mapping[Any, Any],
        roles: Roles | None,
    ) -> None:  # fmt: skip
        self.given, self.tape, self.operands, self.truncation = given, tape, operands, truncation
        self.inner, self.roles = inner, roles  # the expressions of elements; without a kernel all is in float32
        self.scalars: dict[Any, Node] = {}

    def scalar(self, expr: Any) -> Node:
        """A number, or a function of sizes and arguments: rounded once, and the same wherever it stands."""
        if expr not in self.scalars:
            self.scalars[expr] = self.tape.constant(self.given.walk()(expr), exact=False)
        return self.scalars[expr]

    def sides(self, body: Any, axis: Index) -> tuple[Any, Any] | None:
        """The two sides of a sum over `axis` that is a dot: each varies with an axis that the other has not."""
        if self.roles is None or not self.roles.contracts:
            return None
        groups: dict[frozenset[Index], list[Any]] = {}
        for factor in sp.Mul.make_args(self.inner.get(body, body)):
            groups.setdefault(self.roles.across(factor.xreplace(self.inner)), []).append(factor)
        wide = [g for g in groups if axis in g and g - {axis}]
        if len(wide) != 2 or wide[0] <= wide[1] or wide[1] <= wide[0]:
            return None
        data = next((g for g in wide if all(self.is_data(f) for f in groups[g])), wide[0])
        rest = [f for g, factors in groups.items() if g != data for f in factors]
        return sp.Mul(*rest), sp.Mul(*groups[data])

    def is_data(self, expr: Any) -> bool:
        return isinstance(expr.xreplace(self.inner), Read)


class Terms:
    """One evaluation of expressions to nodes; conditions and positions are exact, and NumPy's."""

    def __init__(self, run: Values, values: Mapping[Any, Node], flat: Mapping[Any, Any]) -> None:
        self.run, self.tape, self.values, self.flat = run, run.tape, values, flat
        self.plain = run.given.walk(flat)
        self.seen: dict[Any, Node] = {}

    def __call__(self, expr: Any) -> Node:
        if expr not in self.seen:
            self.seen[expr] = self.compute(expr)
        return self.seen[expr]

    def condition(self, expr: Any) -> Any:
        """A condition over states is decided on exact values: computed ones differ where both sides are equal."""
        exact = {k: v.exact for k, v in self.values.items()}
        return self.run.given.walk({**self.flat, **exact})(expr)

    def compute(self, expr: Any) -> Node:
        tape = self.tape
        if expr in self.values:
            return self.values[expr]
        if isinstance(expr, Read) or (expr.is_integer and expr.has(Index, Read) and not expr.has(Fold)):
            return tape.constant(self.plain(expr))
        if is_scalar(expr):
            return self.run.scalar(expr)
        match expr:
            case sp.Add():
                return tape.sum_of([self(a) for a in expr.args])
            case sp.Mul():
                return self.product(expr.args)
            case sp.Pow():
                return self.power(expr.base, expr.exp)
            case sp.Max():
                return self.chain(tape.larger, expr.args)
            case sp.Min():
                return self.chain(tape.smaller, expr.args)
            case Where():
                return tape.choose(self.condition(expr.args[0]), self(expr.args[1]), self(expr.args[2]))
            case Fold():
                return self.fold(expr)
            case _ if type(expr) in FUNCTIONS:
                tile = tape.kind in ("elements", "terms") and type(expr).__name__.startswith("exp")
                function = FUNCTIONS[type(expr)]
                if self.run.operands != "float32":
                    function = APPROXIMATE.get(type(expr), function)
                return tape.apply(function, self(expr.args[0]), "exponentials" if tile else "")
        raise SpecError(f"{type(expr).__name__} has no error that refold knows: use the functions of refold.spec")

    def chain(self, operation: Any, args: Any) -> Node:
        result = self(args[0])
        for arg in args[1:]:
            result = operation(result, self(arg))
        return result

    def product(self, factors: Any) -> Node:
        """Factors, and a product with the reciprocal of those of negative exponent, where the text may have a quotient.

        A scalar of the launcher is a factor as it is.
        """
        below = [f for f in factors if f.is_Pow and f.exp.is_negative and not is_scalar(f)]
        above = [f for f in factors if f not in below]
        top = self.chain(self.tape.times, above) if above else self.tape.constant(1.0)
        if not below:
            return top
        under = self.chain(self.tape.times, [1 / f for f in below])
        return self.tape.times(top, self.tape.over(self.tape.constant(1.0), under))

    def power(self, base: Any, exponent: Any) -> Node:
        tape = self.tape
        if exponent.is_negative:
            return tape.over(tape.constant(1.0), self(base ** (-exponent)))
        if exponent.is_Integer:
            return self.chain(tape.times, [base] * int(exponent))
        if not (2 * exponent).is_Integer:
            raise SpecError(f"the power {exponent} has no error that refold knows: write exp(y * log(x))")
        root = tape.apply(FUNCTIONS[sp.sqrt], self(base))
        whole = exponent - sp.Rational(1, 2)
        return tape.times(root, self(base**whole)) if whole else root

    def fold(self, expr: Fold) -> Node:
        """A reduction of an inner axis, which a tile holds whole."""
        sides = self.run.sides(expr.body, expr.axis) if expr.kind == "sum" else None
        body = self(expr.body) if sides is None else self.dot(sides)
        body = self.wide(body, expr.axis, self.run.given.sizes[expr.axis])
        return self.reduced(expr.kind, body, expr.axis, "inner sums", sides is not None)

    def dot(self, sides: tuple[Any, Any]) -> Node:
        """The products of a dot: what is no data as it was read is rounded to the dtype of the operands."""
        left, right = (
            self(s) if self.run.is_data(s) else self.tape.cast(self(s), self.run.operands, "operands") for s in sides
        )
        return self.tape.times(left, right)

    def reduced(self, reducer: str, body: Node, over: Index, kind: str, dot: bool = False) -> Node:
        """A tile reduced over one axis."""
        axis, tape = self.run.given.order[over], self.tape
        match reducer:
            case "sum":
                return tape.total(body, axis, kind, self.run.truncation if dot else 1.0)
            case "count" | "any" | "all":  # whole numbers, exact
                how = {"count": "sum", "any": "max", "all": "min"}[reducer]
                return tape.constant(getattr(body.exact, how)(axis=axis, keepdims=True))
            case "max" | "min":
                return tape.extreme(body, axis, reducer == "max")
        raise SpecError(f"a fold by {reducer} multiplies as many roundings as the axis is long: sum logarithms instead")

    def wide(self, body: Node, over: Index, size: int) -> Node:
        """What may not vary along an axis, once for each of its positions."""
        order = self.run.given.order
        if body.exact.ndim and body.exact.shape[order[over]] == size:
            return body
        zero = np.zeros([size if a == over else 1 for a in order])
        z = body.exact + zero
        return self.tape.record(z, body.computed + zero, ((body, np.ones_like(z)),))


def is_scalar(expr: Any) -> bool:
    """Whether the launcher computes it: a number, a size, an argument, or a function of them."""
    return not expr.has(Read, Fold) and all(isinstance(s, Size | Param) for s in expr.free_symbols)
