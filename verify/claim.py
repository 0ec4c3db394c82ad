"""A claimed fused form: a spec, and somebody's own init, step, merge and finish."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import sympy as sp

from refold.algebra import State, Varying
from refold.algebra.derive import fold_axis
from refold.algebra.rewrite import folds
from refold.errors import ClaimError
from refold.spec import Spec, Value
from refold.spec.value import unwrap

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed form as expressions: `step` over the state and an element, `merge` over two states, `finish` over one.

    `left` and `right` are the symbols of the two states of `merge`; `step` and `finish` read `left`. Element symbols
    stand for `elements`, expressions of the spec. Without `empty_parts` no part that is merged is empty.
    """

    spec: Spec
    elements: tuple[tuple[Varying, sp.Expr], ...]
    left: tuple[State, ...]
    right: tuple[State, ...]
    init: tuple[sp.Expr, ...]
    step: tuple[sp.Expr, ...]
    merge: tuple[sp.Expr, ...] | None
    finish: tuple[sp.Expr, ...]
    empty_parts: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The components of the state."""
        return tuple(str(s).removesuffix("₁") for s in self.left)


def claim(
    spec: Spec,
    *,
    element: Mapping[str, Any],
    init: Mapping[str, Any],
    step: Function,
    finish: Function,
    merge: Function | None = None,
    empty_parts: bool = True,
) -> Claim:
    """A claimed fused form of `spec`, to be verified.

    `element` names what varies along the folded axis by its expression in the spec (`{"s": s, "v": v[j, e]}`);
    `init` is the state of nothing; `step(x, c)`, `merge(x, y)` and `finish(x)` (or `finish(x, c)`, where an output
    varies along the axis) are plain functions of states and elements with attributes, and give a dict (finish of a
    single output: a value). Use refold's `exp`, `maximum`, `where_finite` and so on inside of them.
    Raises a `ClaimError` for names that do not fit.
    """
    names = tuple(init)
    left = tuple(State(f"{n}₁") for n in names)
    right = tuple(State(f"{n}₂") for n in names)
    elements = tuple((Varying(n), unwrap(e)) for n, e in element.items())
    x = _namespace(names, left)
    c = _namespace(tuple(element), tuple(s for s, _ in elements))
    stepped = _state("step", _call("step", step, x, c), names)
    merged = _state("merge", _call("merge", merge, x, _namespace(names, right)), names) if merge is not None else None
    ended = _call("finish", finish, *((x, c) if len(inspect.signature(finish).parameters) == 2 else (x,)))
    outputs = [o.name for o in spec.outputs]
    if not isinstance(ended, Mapping):
        if len(outputs) != 1:
            raise ClaimError(f"finish gives one value and the spec has the outputs {', '.join(outputs)}: give a dict")
        ended = {outputs[0]: ended}
    finished = _state("finish", ended, tuple(outputs))
    started = tuple(unwrap(v) for v in init.values())
    _check(spec, elements, {"init": started, "step": stepped, "merge": merged or (), "finish": finished})
    return Claim(spec, elements, left, right, started, stepped, merged, finished, empty_parts)


def _check(spec: Spec, elements: tuple[tuple[Varying, sp.Expr], ...], parts: Mapping[str, tuple[sp.Expr, ...]]) -> None:
    """One pass reads the folded axis through its elements alone, and no element waits for a fold over it."""
    axis = fold_axis(spec)
    for symbol, expr in elements:
        if folds(expr, axis):
            raise ClaimError(f"element {symbol} reads a finished fold over {axis}, which one pass does not have yet: "
                             "carry that fold in the state")  # fmt: skip
    for function, exprs in parts.items():
        for expr in exprs:
            if axis in expr.free_symbols or folds(expr, axis):
                raise ClaimError(f"{function} reads along {axis} by itself: name what it reads in element=, "
                                 "and read it from the element")  # fmt: skip
    for output, expr in zip(spec.outputs, parts["finish"], strict=True):
        if axis not in output.axes and expr.has(Varying):
            raise ClaimError(
                f"finish reads an element and {output.name} does not vary along {axis}: use the state alone"
            )


def _call(function: str, law: Function, *states: SimpleNamespace) -> Any:
    try:
        return law(*states)
    except AttributeError as error:
        raise ClaimError(
            f"{function} reads .{error.name}, which is in neither init nor element: name it there"
        ) from error


def _namespace(names: tuple[str, ...], symbols: tuple[sp.Symbol, ...]) -> SimpleNamespace:
    return SimpleNamespace(**{n: Value(s) for n, s in zip(names, symbols, strict=True)})


def _state(function: str, result: Any, names: tuple[str, ...]) -> tuple[sp.Expr, ...]:
    if not isinstance(result, Mapping) or set(result) != set(names):
        got = ", ".join(result) if isinstance(result, Mapping) else type(result).__name__
        raise ClaimError(f"{function} gives {got or 'nothing'}: give a dict of {', '.join(names)}")
    return tuple(unwrap(result[n]) for n in names)
