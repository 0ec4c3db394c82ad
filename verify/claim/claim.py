"""A claimed fused form: a spec, and somebody's own init, step, merge and finish."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra import Plan, State, Varying, derive
from refold.algebra.derive import fold_axis
from refold.algebra.rewrite import folds, walk
from refold.errors import ClaimError
from refold.spec import Fold, Read, Spec, places
from refold.spec.places import WHOLE
from refold.spec.value import unwrap
from refold.verify.claim.symbols import Function, Symbols, call, expressions, plain, state_of, steady


@dataclass(frozen=True, slots=True, weakref_slot=True)
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
    def exprs(self) -> tuple[sp.Expr, ...]:
        """All that the form computes."""
        return (*(e for _, e in self.elements), *self.init, *self.step, *(self.merge or ()), *self.finish)

    @property
    def names(self) -> tuple[str, ...]:
        """The components of the state."""
        return tuple(str(s).removesuffix("₁") for s in self.left)


def claim(
    spec: Spec,
    *,
    init: Mapping[str, Any] | Function,
    step: Function,
    finish: Function,
    merge: Function | None = None,
    element: Mapping[str, Any] | None = None,
    empty_parts: bool = True,
) -> Claim:
    """A claimed fused form of `spec`, to be verified.

    `init` is the empty state, a dict or a function that gives one; `step(x, c)`, `merge(x, y)` and `finish(x)`
    (or `finish(x, c)`, where an output varies along the axis) are plain functions of states and elements with
    attributes, and give a dict (finish of a single output: a value). Use refold's `exp`, `maximum`, `where` and so
    on inside of them; a condition may compare states and elements, too. `element` names what varies along the folded
    axis by its expression in the spec (`{"s": s, "v": v[j, e]}`); without it an element has the names of the spec's
    tensors, those that `refold derive` prints, and the axis. Raises a `ClaimError` for what does not fit.
    """
    if not isinstance(spec, Spec):
        raise ClaimError(f"a claim is about a pipeline and got a {type(spec).__name__}: give it a SPEC first")
    start = call("init", init, ()) if callable(init) else init
    if not isinstance(start, Mapping) or not start:
        raise ClaimError(f"init is {start!r}: give the empty state as a dict, as in {{'m': -oo, 'l': 0}}")
    names, outputs = tuple(start), tuple(o.name for o in spec.outputs)
    left = tuple(State(f"{n}₁") for n in names)
    right = tuple(State(f"{n}₂") for n in names)
    elements = _elements(spec) if element is None else tuple((Varying(n), unwrap(e)) for n, e in element.items())
    known = f"the state has {', '.join(names)}, the element {', '.join(str(s) for s, _ in elements)}"

    along = callable(finish) and len(inspect.signature(finish).parameters) == 2
    one, two, here = (
        dict(zip(names, left, strict=True)),
        dict(zip(names, right, strict=True)),
        {str(s): s for s, _ in elements},
    )
    laws: dict[str, tuple[Function, tuple[dict[str, Any], ...], tuple[str, ...]]] = {"step": (step, (one, here), names)}
    if merge is not None:
        laws["merge"] = merge, (one, two), names
    laws["finish"] = finish, (one, here) if along else (one,), outputs

    def formed(function: str) -> tuple[sp.Expr, ...]:
        law, groups, results = laws[function]
        return state_of(function, law, tuple(Symbols(function, g, known) for g in groups), results)

    forms = {function: formed(function) for function in laws}
    started = expressions("init", start, names, init if callable(init) else None)
    # Once more, in another order: what depends on what was called before is no function.
    for function in reversed(laws):
        steady(function, laws[function][0], forms[function], formed(function))
    if callable(init):
        steady("init", init, started, expressions("init", call("init", init, ()), names, init))
    for function, (law, groups, results) in laws.items():
        plain(function, law, forms[function], groups, results)
    stepped, merged, finished = forms["step"], forms.get("merge"), forms["finish"]
    _check(spec, elements, {"init": started, "step": stepped, "merge": merged or (), "finish": finished})
    written = _as_the_spec_says(spec)
    elements = tuple((s, written(e)) for s, e in elements)
    stepped, finished = tuple(map(written, stepped)), tuple(map(written, finished))
    merged = None if merged is None else tuple(map(written, merged))
    if element is None:
        read = {s for e in (*stepped, *finished) for s in e.free_symbols}
        elements = tuple((s, e) for s, e in elements if s in read)
    made = Claim(spec, elements, left, right, started, stepped, merged, finished, empty_parts)
    functions = {"init": init, "step": step, "merge": merge, "finish": finish}
    places.keep(made, {WHOLE: places.here(), **{name: places.of_function(f) for name, f in functions.items()}})
    return made


def _as_the_spec_says(spec: Spec) -> Callable[[sp.Expr], sp.Expr]:
    """Writes conditions over integers as the spec has them: `j < i + 1` is its `j <= i`."""
    known: dict[sp.Expr, sp.Basic] = {}
    for test in sorted({r for o in spec.outputs for r in o.expr.atoms(Relational)}, key=str):
        if (key := _at_most_zero(test)) is not None:
            known.setdefault(key, test)
            known.setdefault(sp.expand(1 - key), sp.Not(test, evaluate=False))

    def written(expr: sp.Expr) -> sp.Expr:
        tests = {r: known.get(key) for r in expr.atoms(Relational) if (key := _at_most_zero(r)) is not None}
        return expr.xreplace({r: new for r, new in tests.items() if new is not None})

    return written


def _at_most_zero(test: Relational) -> sp.Expr | None:
    """The expression that is at most 0 where a comparison of integers holds."""
    left, right = test.args
    if not (left.is_integer and right.is_integer):
        return None
    match test:
        case sp.StrictLessThan():
            return sp.expand(left - right + 1)
        case sp.LessThan():
            return sp.expand(left - right)
        case sp.StrictGreaterThan():
            return sp.expand(right - left + 1)
        case sp.GreaterThan():
            return sp.expand(right - left)
    return None


def _elements(spec: Spec) -> tuple[tuple[Varying, sp.Expr], ...]:
    """What an element can be asked for by name: tensors as the spec reads them, what the derivation names, the axis."""
    axis = fold_axis(spec)
    reads = dict.fromkeys(r for o in spec.outputs for r in walk(o.expr) if isinstance(r, Read))
    by_tensor: dict[str, list[sp.Expr]] = {}
    for read in reads:
        if axis in read.free_symbols and not read.free_symbols & _bound(spec, axis):
            by_tensor.setdefault(read.name, []).append(read)
    found: dict[str, sp.Expr] = {axis.name: axis}
    plan = derive(spec)
    if isinstance(plan, Plan):
        found |= {str(e.symbol): e.expr for e in plan.elements}
    found |= {name: exprs[0] for name, exprs in by_tensor.items() if len(exprs) == 1}
    return tuple((Varying(name), expr) for name, expr in found.items())


def _bound(spec: Spec, axis: sp.Symbol) -> set[sp.Basic]:
    """The axes that a fold binds within an element: what is read along them is no single number of it."""
    return {n.axis for o in spec.outputs for n in walk(o.expr) if isinstance(n, Fold)} - {axis}


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
