"""Executes a plan on a tape as its kernels do: elements by tiles, corrections, parts, the merge of parts, outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from refold.algebra import Accumulator, Anchor, Plan, State
from refold.errors import SpecError
from refold.spec import Fold, Index, Read, Where
from refold.spec.evaluate import Inputs
from refold.spec.heads import sigmoid
from refold.verify.tape import Node, Tape

Values = dict[State, Node]


def _erf_slope(x: Any, _: Any) -> Any:
    return 2 / np.sqrt(np.pi) * np.exp(-x * x)


def _sigmoid(x: Any) -> Any:
    return x.dtype.type(0.5) * (1 + np.tanh(x.dtype.type(0.5) * x))


# The function, its derivative (of argument and value), and the magnitude that its error is relative to.
FUNCTIONS: dict[Any, tuple[Any, Any, Any]] = {
    sp.log: (np.log, lambda x, _: 1 / x, lambda x, z: np.maximum(1, np.abs(z))),
    sp.tanh: (np.tanh, lambda _, z: 1 - z * z, None),
    sigmoid: (_sigmoid, lambda _, z: z * (1 - z), None),
    sp.sin: (np.sin, lambda x, _: np.cos(x), lambda x, z: np.ones_like(z)),
    sp.cos: (np.cos, lambda x, _: -np.sin(x), lambda x, z: np.ones_like(z)),
}


class Terms:
    """One evaluation of expressions to nodes; conditions and positions are exact, and NumPy's."""

    def __init__(self, given: Inputs, tape: Tape, values: Mapping[Any, Any], flat: Mapping[Any, Any]) -> None:
        self.tape, self.values, self.plain, self.flat = tape, values, given.walk(flat), flat
        self.given = given
        self.seen: dict[Any, Node] = {}

    def __call__(self, expr: Any) -> Node:
        if expr not in self.seen:
            self.seen[expr] = self.compute(expr)
        return self.seen[expr]

    def condition(self, expr: Any) -> Any:
        """A condition over states is decided on the exact values: computed ones differ only where they are undefined."""
        exact = {k: v.exact for k, v in self.values.items()}
        return self.given.walk({**self.flat, **exact})(expr)

    def compute(self, expr: Any) -> Node:
        tape = self.tape
        if expr in self.values:
            found: Node = self.values[expr]
            return found
        if expr.is_Number or expr.is_NumberSymbol or not expr.args or isinstance(expr, Read | sp.floor | sp.Mod):
            return tape.constant(self.plain(expr))
        match expr:
            case sp.Add():
                return tape.sum_of([self(a) for a in expr.args])
            case sp.Mul():
                return self.product(expr)
            case sp.Pow():
                return self.power(expr)
            case sp.exp():
                return tape.exp(self(expr.args[0]))
            case sp.Max():
                return self.chain(tape.larger, expr.args)
            case sp.Min():
                return self.chain(tape.smaller, expr.args)
            case sp.Abs():
                a = self(expr.args[0])
                return tape.apply(np.abs, lambda x, _: np.sign(x), a, 0.0, "magnitudes of")
            case Where():
                return tape.choose(self.condition(expr.args[0]), self(expr.args[1]), self(expr.args[2]))
            case Fold():
                return self.fold(expr)
            case _ if type(expr) in FUNCTIONS:
                function, slope, scale = FUNCTIONS[type(expr)]
                a = self(expr.args[0])
                size = None if scale is None else scale(a.exact, function(a.exact))
                return tape.apply(function, slope, a, tape.function, f"{type(expr).__name__} of", size)
        raise SpecError(f"no rounding bound for {type(expr).__name__}: it is none of the functions with a known error")

    def chain(self, operation: Any, args: Any) -> Node:
        result = self(args[0])
        for arg in args[1:]:
            result = operation(result, self(arg))
        return result

    def product(self, expr: Any) -> Node:
        below = [f for f in expr.args if f.is_Pow and f.exp.is_negative]
        above = [f for f in expr.args if f not in below]
        if below:
            divisor = sp.Mul(*(1 / f for f in below))
            return self.tape.over(self(sp.Mul(*above)), self(divisor))
        return self.chain(self.tape.times, above)

    def power(self, expr: Any) -> Node:
        base, exponent, tape = expr.base, expr.exp, self.tape
        if exponent.is_negative:
            return tape.over(tape.constant(1.0), self(base ** (-exponent)))
        if exponent.is_Integer:
            return self.chain(tape.times, [base] * int(exponent))
        root = tape.apply(np.sqrt, lambda _, z: 0.5 / z, self(base), tape.function, "roots of")
        if exponent == sp.Rational(1, 2):
            return root
        if (2 * exponent).is_Integer:
            return tape.times(root, self(base ** (exponent - sp.Rational(1, 2))))
        raise SpecError(f"no rounding bound for the power {exponent}: write exp(y log(x))")

    def fold(self, expr: Fold) -> Node:
        body, axis = self(expr.body), self.given.order[expr.axis]
        return reduced(self.tape, expr.kind, body, axis, isinstance(expr.body, sp.Mul))


def reduced(tape: Tape, kind: str, a: Node, axis: int, dot: bool) -> Node:
    """A tile reduced over one axis."""
    match kind:
        case "sum":
            return tape.total(a, axis, dot)
        case "max" | "min":
            return tape.extreme(a, axis, kind == "max")
        case "count" | "any" | "all":
            # Whole numbers, exact up to 2^24.
            function = {"count": np.sum, "any": np.max, "all": np.min}[kind]
            return tape.constant(function(a.exact, axis=axis, keepdims=True))
    raise SpecError(f"no rounding bound for a fold by {kind}")


class Schedule:
    """One run of the emitted order of operations."""

    def __init__(self, plan: Plan, given: Inputs, tape: Tape, operands: str) -> None:
        self.plan, self.given, self.tape, self.operands = plan, given, tape, operands
        self.axis = given.order[plan.axis]
        self.used = {a.symbol: [plan.anchor(s) for s in a.anchors] for a in plan.accumulators}
        self.inner = {e.symbol: e.expr for e in plan.elements}
        self.dims = [1] * len(given.order)

    def terms(self, values: Mapping[Any, Any], flat: Mapping[Any, Any] | None = None) -> Terms:
        return Terms(self.given, self.tape, values, flat or {})

    def run(self, block: int, parts: int) -> dict[str, Node]:
        """Every output, before it is stored."""
        length = self.given.sizes[self.plan.axis]
        chunk = math.ceil(math.ceil(length / parts) / block) * block
        states = []
        for part in range(parts):
            state = self.unit()
            for step, lo in enumerate(range(part * chunk, min((part + 1) * chunk, length), block)):
                hi = min(lo + block, (part + 1) * chunk, length)
                state = self.update([state], "tile", step, np.arange(lo, hi, dtype=np.float64))
            states.append(state)
        state = states[0]
        if parts > 1:
            state = self.unit()
            for step, other in enumerate(states):
                state = self.update([state, other], "part", step, None)
        return self.finish(state)

    def unit(self) -> Values:
        return {a.symbol: self.tape.constant(np.full(self.dims, float(a.unit))) for a in self.plan.accumulators}

    def update(self, states: list[Values], phase: str, step: int, positions: Any) -> Values:
        """States joined, and a tile of elements if there are positions."""
        tape, new = self.tape, dict[State, Node]()
        tape.step = step
        here: dict[Any, Node] = {}
        flat: dict[Any, Any] = {}
        if positions is not None:
            shape = list(self.dims)
            shape[self.axis] = len(positions)
            flat = {self.plan.axis: positions.reshape(shape)}
            for e in self.plan.elements:
                tape.place = ("element", str(e.symbol))
                here[e.symbol] = self.terms({}, flat)(e.expr)
        for a in self.plan.accumulators:
            if a.reducer == "argmax":
                continue
            tape.place = (phase, f"the anchors of {a.symbol}")
            fresh = {x.fresh: self.guarded(x, new) for x in self.used[a.symbol]}
            tape.place = (phase, f"corrections of {a.symbol}")
            parts = [self.moved(a, state, fresh) for state in states]
            if positions is not None:
                tape.place = ("element", str(a.symbol))
                parts.append(self.tile(a, self.terms({**here, **fresh}, flat), shape))
            tape.place = (phase, f"joins of {a.symbol}")
            new[a.symbol] = self.join(a, parts)
        return new

    def tile(self, a: Accumulator, terms: Terms, shape: list[int]) -> Node:
        """What a tile of elements adds up to; the weights of a dot are rounded to the dtype of its operands."""
        tape = self.tape
        sides = self.sides(a)
        if sides is None:
            body = terms(a.element)
        else:
            body = tape.times(tape.cast(terms(sides[0]), self.operands, "operands of"), terms(sides[1]))
        if body.exact.ndim == 0 or body.exact.shape[self.axis] != shape[self.axis]:
            body = tape.plus(body, tape.constant(np.zeros(shape)))
        return reduced(tape, a.reducer, body, self.axis, sides is not None)

    def sides(self, a: Accumulator) -> tuple[sp.Expr, sp.Expr] | None:
        """The two sides of a sum over the axis that is a dot: each varies with an axis that the other has not."""
        if a.reducer != "sum":
            return None
        body = self.inner.get(a.element, a.element)
        groups: dict[frozenset[Index], list[sp.Expr]] = {}
        for factor in sp.Mul.make_args(body):
            axes = frozenset(n for n in factor.xreplace(self.inner).free_symbols if isinstance(n, Index))
            groups.setdefault(axes, []).append(factor)
        wide = [g for g in groups if self.plan.axis in g and g - {self.plan.axis}]
        if len(wide) != 2 or wide[0] <= wide[1] or wide[1] <= wide[0]:
            return None
        data = next((g for g in wide if all(isinstance(f.xreplace(self.inner), Read) for f in groups[g])), wide[0])
        rest = [f for g, factors in groups.items() if g != data for f in factors]
        return sp.Mul(*rest), sp.Mul(*groups[data])

    def guarded(self, anchor: Anchor, state: Values) -> Node:
        terms = self.terms(state)
        return self.tape.choose(terms.condition(anchor.regular), terms(anchor.expr), terms(anchor.default))

    def moved(self, a: Accumulator, state: Values, fresh: Mapping[Any, Node]) -> Node:
        values: dict[Any, Node] = {**state, **fresh}
        raw = {s: State(f"{s} of the exponents") for s in a.anchors}
        for anchor in self.used[a.symbol]:
            values[raw[anchor.stale]] = self.terms(state)(anchor.expr)
            values[anchor.stale] = self.guarded(anchor, state)
        law = a.moved.replace(sp.exp, lambda x: sp.exp(x.xreplace(raw)))
        return self.terms(values)(law)

    def join(self, a: Accumulator, parts: list[Node]) -> Node:
        operation = {"sum": self.tape.plus, "count": self.tape.plus, "max": self.tape.larger, "any": self.tape.larger,
                     "min": self.tape.smaller, "all": self.tape.smaller, "prod": self.tape.times}[a.reducer]  # fmt: skip
        result = parts[0]
        for part in parts[1:]:
            result = operation(result, part)
        return result

    def finish(self, state: Values) -> dict[str, Node]:
        results = {}
        state = state | {a.symbol: self.position(a) for a in self.plan.accumulators if a.reducer == "argmax"}
        for f in self.plan.finish:
            self.tape.place, self.tape.step = ("finish", f.name), 0
            terms = self.terms(state)
            results[f.name] = self.tape.choose(terms.condition(f.guard), terms(f.expr), self.tape.constant(f.empty))
        return results

    def position(self, a: Accumulator) -> Node:
        """Where data is largest, which no rounding moves; where scores are, the next best may be as near as you like."""
        key = next(k.element for k in self.plan.accumulators if k.symbol == a.key)
        if not isinstance(self.inner.get(key), Read):
            raise SpecError(f"no rounding bound for the position of the largest {key}: it is computed, and may tie")
        fold = next(r.fold for r in self.plan.readings if r.accumulator == a.symbol)
        return self.tape.constant(self.given.walk()(fold))
