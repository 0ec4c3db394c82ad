"""A pipeline as a frozen value, and the checks that make it well-formed."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean, BooleanFunction

from refold.errors import (
    CycleError,
    FoldError,
    HeadError,
    NameTaken,
    RankError,
    ShadowedAxis,
    SpecError,
    UnboundAxis,
    UnknownName,
    within_depth,
)
from refold.spec import places
from refold.spec.abbreviate import Part, abbreviate, substitute
from refold.spec.heads import Fold, Index, Param, Read, Size, TensorName, Where, nearest, sigmoid
from refold.spec.mathematics import definition, latex, text
from refold.spec.value import Value, named, unwrap

HEADS: tuple[type[sp.Basic], ...] = (
    sp.Add, sp.Mul, sp.Pow, sp.exp, sp.log, sp.tanh, sigmoid, sp.sin, sp.cos, sp.erf, sp.Abs, sp.Max, sp.Min,
    sp.floor, nearest, sp.Mod, Read, Fold, Where,
)  # fmt: skip
ATOMS: tuple[type[sp.Basic], ...] = (sp.Number, sp.NumberSymbol, Index, Size, Param)


@dataclass(frozen=True, slots=True)
class Output:
    """One named result: `expr` at the position given by `axes`, in the order of its dimensions."""

    name: str
    expr: sp.Expr
    axes: tuple[Index, ...]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Spec:
    """A reduction pipeline as written: what to compute, and nothing about how.

    `empty` is the value of an output element that has none because its reductions range over nothing (an axis of
    length 0, or every element masked); NaN by default. It is not for what data make NaN, or divide by 0.
    `centred` asks for centred moments where differences of raw ones are written: a preference, and no other value.
    `as_written` says that no law of re-association may give it another form, equal though it is: a distance stays one.
    """

    outputs: tuple[Output, ...]
    tensors: tuple[TensorName, ...]
    params: tuple[Param, ...]
    axes: tuple[Index, ...]
    empty: sp.Expr
    centred: bool = False
    as_written: bool = False

    def __str__(self) -> str:
        lines = [f"{left} = {right}" for left, right in self.lines()]
        lines += [f"with {promise}" for promise in self.promises()]
        if self.empty is not sp.nan:
            lines.append(f"with {text(self.empty)} where a reduction ranges over nothing")
        lines += ["by centred moments"] if self.centred else []
        if self.as_written:
            lines.append("computed as written")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_latex_(self) -> str:
        rows = [rf"{latex(left)} &= {latex(right)}" for left, right in self.equations()]
        return "$$\\begin{aligned}" + r"\\".join(rows) + "\\end{aligned}$$"

    def parts(self, prefer: Mapping[sp.Expr, str] | None = None) -> tuple[Part, ...]:
        """The parts that printing gives a name, those in `prefer` the one given there."""
        order = [a for o in self.outputs for a in o.axes]
        groups: tuple[Iterable[Any], ...] = (self.tensors, self.params, self.axes, self.outputs)
        names = {x.name for group in groups for x in group}
        return abbreviate([o.expr for o in self.outputs], order, names, prefer)

    def equations(self, prefer: Mapping[sp.Expr, str] | None = None) -> tuple[tuple[sp.Expr, sp.Expr], ...]:
        """The pipeline as `left = right`, the repeated parts first and the outputs last."""
        parts = self.parts(prefer)
        table = {part.expr: part.symbol for part in parts}
        rows = [(part.symbol, part.shown) for part in parts]
        for o in self.outputs:
            left = Read(TensorName(o.name, o.axes, "float"), *o.axes) if o.axes else sp.Symbol(o.name)
            rows.append((left, substitute(o.expr, table)))
        return tuple(rows)

    def lines(self, prefer: Mapping[sp.Expr, str] | None = None) -> tuple[tuple[str, str], ...]:
        """`equations` as text."""
        return tuple((text(left), definition(right)) for left, right in self.equations(prefer))

    def promises(self) -> tuple[str, ...]:
        """What is promised of every element of a tensor, a line each."""
        return tuple(t.promise for t in self.tensors if t.promise)

    def __call__(self, **inputs: Any) -> Any:
        """Evaluates the outputs in float64 NumPy; see `refold.spec.evaluate.evaluate`."""
        from refold.spec.evaluate import evaluate

        results = evaluate(self, inputs)
        return results[self.outputs[0].name] if len(results) == 1 else results


@within_depth()
def pipeline(*, empty: Any = None, centred: bool = False, as_written: bool = False, **outputs: Any) -> Spec:
    """`pipeline(o=expression[i, e])`: a `Spec` from its outputs, each indexed by its axes in order.

    `empty` is the value of outputs whose expression is undefined because its reductions range over nothing.
    With `centred`, what is written as `E[x y] - E[x] E[y]` is carried as `E[(x - E x) (y - E y)]`, which rounds less.
    With `as_written` nothing is re-associated: sums, squares of differences and maxima are computed as they stand.
    Raises a `SpecError` that names the place and the remedy for whatever is malformed.
    """
    if not outputs:
        raise SpecError("a pipeline without outputs: write pipeline(o=expression[i, j])")
    found: dict[str, Value] = {}
    for name, value in outputs.items():
        if not isinstance(value, Value):
            value = Value(unwrap(value))
        found[named(name, "output")] = value
    exprs = _resolve({name: value.expr for name, value in found.items()}, found)
    results = []
    for name, value in found.items():
        expr = exprs[name]
        _check(expr, name)
        order = _order(name, expr, value.order)
        results.append(Output(name, expr, order))
    tensors, params, axes = _parts(results)
    _check_names(found, tensors, params, axes)
    value = sp.nan if empty is None else unwrap(empty)
    if not value.is_number or not (value is sp.nan or value.is_extended_real):
        raise SpecError(f"empty={text(value)} is no number: write empty=0, say")
    for word, given in (("centred", centred), ("as_written", as_written)):
        if not isinstance(given, bool):
            raise SpecError(f"{word}= is True or False: call an output of that name something else")
    spec = Spec(tuple(results), tensors, params, axes, value, centred, as_written)
    lines: dict[Hashable, places.Place | None] = {places.WHOLE: places.here()}
    lines |= {n: places.written(n) for o in results for n in _walk(o.expr) if isinstance(n, Fold)}
    places.keep(spec, lines)
    return spec


def assembled(whole: Spec, outputs: Iterable[Output]) -> Spec:
    """A pipeline of other outputs, in the terms of one that is well-formed."""
    results = list(outputs)
    spec = Spec(tuple(results), *_parts(results), whole.empty, whole.centred, whole.as_written)
    places.keep(spec, {places.WHOLE: places.places(whole).get(places.WHOLE)})
    return spec


def _sorted(symbols: set[Any]) -> tuple[Any, ...]:
    return tuple(sorted(symbols, key=lambda s: s.name))


def _walk(expr: sp.Basic) -> Iterator[sp.Basic]:
    yield expr
    for arg in expr.args:
        yield from _walk(arg)


def _parts(results: list[Output]) -> tuple[tuple[TensorName, ...], tuple[Param, ...], tuple[Index, ...]]:
    """The tensors, scalars and axes of some outputs."""
    tensors = _declarations(results)
    params = _sorted({p for o in results for p in _walk(o.expr) if isinstance(p, Param)})
    axes = _sorted({a for o in results for a in o.axes} | {a for t in tensors for a in t.axes} | _all_axes(results))
    return tensors, params, axes


def _all_axes(outputs: list[Output]) -> set[Index]:
    return {a for o in outputs for a in _walk(o.expr) if isinstance(a, Index)}


def _declarations(outputs: list[Output]) -> tuple[TensorName, ...]:
    by_name: dict[str, TensorName] = {}
    for output in outputs:
        for node in _walk(output.expr):
            if isinstance(node, TensorName):
                other = by_name.setdefault(node.name, node)
                if other != node:
                    raise NameTaken(f"two tensors named {node.name}: rename one of them")
    return tuple(sorted(by_name.values(), key=lambda t: t.place))


def _resolve(exprs: dict[str, sp.Expr], found: dict[str, Value]) -> dict[str, sp.Expr]:
    """Puts every `Ref` in the place of its definition, refusing circles."""
    done: dict[str, sp.Expr] = {}

    def expand(name: str, trail: tuple[str, ...]) -> sp.Expr:
        if trail[-1:] == (name,):
            raise CycleError(
                f"{name} reads itself, which is a recurrence, and there are no scans yet: write it over pairs of "
                "positions where lengths allow that, or compute it elsewhere and give it as a tensor"
            )
        if name in trail:
            circle = " -> ".join((*trail[trail.index(name) :], name))
            raise CycleError(f"outputs refer to each other in a circle: {circle}: break it with an earlier value")
        if name in done:
            return done[name]
        expr = exprs[name]
        for read in [n for n in _walk(expr) if isinstance(n, Read) and n.tensor.ref]:
            if read.name not in exprs:
                other = read.name
                raise UnknownName(
                    f"output {name} refers to {other}, which is no output: define {other}=... in the same pipeline"
                )
            target, order = expand(read.name, (*trail, name)), found[read.name].order or ()
            if len(order) != len(read.indices):
                shape = ", ".join(a.name for a in order)
                raise RankError(
                    f"output {name} reads {read.name}[{shape}] with {_count(len(read.indices), 'index', 'indices')}: "
                    f"write Ref({', '.join([repr(read.name), *(a.name for a in order)])})[...] with {len(order)}"
                )
            put = {read: rename(target, dict(zip(order, read.indices, strict=True)))}
            for outer in [n for n in _walk(expr) if isinstance(n, Fold) and n.has(read)]:
                places.write(outer.xreplace(put), places.written(outer))
            expr = expr.xreplace(put)
        done[name] = expr
        return expr

    return {name: expand(name, ()) for name in exprs}


def rename(expr: sp.Basic, mapping: dict[Any, Any]) -> Any:
    """Replaces free symbols, leaving those bound by a fold alone; refuses what a fold would capture."""
    if isinstance(expr, Fold):
        inner = {k: v for k, v in mapping.items() if k != expr.axis}
        if any(expr.axis in v.free_symbols for k, v in inner.items() if k in expr.body.free_symbols):
            j = expr.axis.name
            raise ShadowedAxis(
                f"a Ref is read at {j} and its definition folds over {j}: fold over an axis of another name there"
            )
        renamed = Fold(expr.kind, rename(expr.body, inner), expr.axis)
        places.write(renamed, places.written(expr))
        return renamed
    if expr in mapping:
        return mapping[expr]
    if not expr.args:
        return expr
    return expr.func(*(rename(arg, mapping) for arg in expr.args))


def _order(name: str, expr: sp.Expr, order: tuple[Index, ...] | None) -> tuple[Index, ...]:
    free = {s for s in expr.free_symbols if isinstance(s, Index)}
    if order is None:
        if free:
            listed = ", ".join(sorted(s.name for s in free))
            raise UnboundAxis(f"output {name} varies with {listed}: index it, as in {name}=(expression)[{listed}]")
        return ()
    names = [a.name for a in order]
    for axis in order:
        if names.count(axis.name) > 1:
            raise ShadowedAxis(f"output {name}[{', '.join(names)}]: axis {axis.name} twice: list each axis once")
        if axis not in free:
            bound = any(isinstance(n, Fold) and n.axis == axis for n in _walk(expr))
            why = "every use of it is bound by a fold" if bound else "the expression does not vary with it"
            raise ShadowedAxis(f"output {name} lists axis {axis.name}, but {why}: drop {axis.name} from the list")
    missing = sorted(s.name for s in free - set(order))
    if missing:
        listed = ", ".join(missing)
        be, it = ("axes {} are", "them") if len(missing) > 1 else ("axis {} is", "it")
        raise UnboundAxis(
            f"output {name}: {be.format(listed)} unbound: fold over {it} or list {it} in {name}=(...)[...]"
        )
    return order


def _check(expr: sp.Basic, output: str) -> None:
    """Refuses unknown heads, folds over what their body lacks, and infinities outside `where`."""
    if isinstance(expr, Relational | BooleanFunction):
        for arg in expr.args:
            _check(arg, output)
        return
    if isinstance(expr, Fold):
        if expr.axis not in expr.body.free_symbols:
            inner = any(isinstance(n, Fold) and n.axis == expr.axis for n in _walk(expr.body))
            j = expr.axis.name
            if inner:
                raise ShadowedAxis(
                    f"output {output}: {expr.kind} over {j} of a body whose every {j} is bound by an inner fold: "
                    f"fold over another axis, or drop one of the two"
                )
            raise FoldError(
                f"output {output}: {expr.kind} over {j} of {text(expr.body)}, which does not vary with {j}: "
                f"fold over an axis of the body (times {j}.size for a repeated sum)"
            )
        _check(expr.body, output)
        return
    if isinstance(expr, Where):
        _check(expr.args[0], output)
        for branch in expr.args[1:]:
            if branch not in (sp.oo, -sp.oo):
                _check(branch, output)
        return
    if expr in (sp.oo, -sp.oo, sp.nan, sp.zoo):
        raise HeadError(f"output {output}: {text(expr)} outside of a mask: write where(condition, value, -oo)")
    if isinstance(expr, Read):
        for index in expr.indices:
            _check(index, output)
        return
    if isinstance(expr, sp.Symbol) and not isinstance(expr, ATOMS):
        raise HeadError(f"output {output}: {expr} is a bare SymPy symbol: declare it with axes, Tensor or Scalar")
    if not has_meaning(expr):
        known = ", ".join(sorted(h.__name__ for h in HEADS if h not in (Read, Fold, Where)))
        head = f"{type(expr).__name__} in {text(expr)}"
        raise HeadError(f"output {output}: {head} has no meaning here: use one of {known}")
    for arg in expr.args:
        _check(arg, output)


def has_meaning(expr: sp.Basic) -> bool:
    """Whether refold knows the head of an expression."""
    return expr is not sp.I and isinstance(expr, (*HEADS, *ATOMS, Boolean))


def _check_names(outputs: Any, tensors: Any, params: Any, axes: Any) -> None:
    seen: dict[str, str] = {}
    groups = (("output", outputs), ("tensor", [t.name for t in tensors]), ("scalar", [p.name for p in params]),
              ("axis", [a.name for a in axes]))  # fmt: skip
    for kind, names in groups:
        for name in names:
            if name in seen:
                if seen[name] == kind:
                    raise NameTaken(f"{name} is the name of two {kind}s, declared differently: declare it once")
                raise NameTaken(f"{name} is the name of {_a(seen[name])} and of {_a(kind)}: rename one of them")
            seen[name] = kind


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "ao" else f"a {kind}"
