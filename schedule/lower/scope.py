"""SymPy to the kernel language: an expression becomes a value whose tile is the blocks of the axes it depends on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra.base2 import exp2
from refold.algebra.roles import Roles, access
from refold.algebra.tiles import BLOCK_N, Loop
from refold.errors import EmitError
from refold.schedule import ir
from refold.schedule.lower.boxes import Box
from refold.schedule.lower.heads import KERNEL
from refold.schedule.lower.names import Names
from refold.schedule.lower.padding import finite, vanishes
from refold.schedule.lower.words import BOX, EVICT, INDEX, MASKED, OPERAND, constant, pointer, scalar, size, within
from refold.spec import Fold, Index, Param, Read, Size, Where
from refold.spec.arithmetic import quotient_of, signed
from refold.spec.heads import is_integral

ZERO, ONE, NAN = ir.Number(0.0), ir.Number(1.0), ir.Number(math.nan)
GROUP = ir.Name("group")
_RELATIONS: dict[str, ir.BinaryOp] = {op: op for op in ("==", "!=", "<", "<=", ">", ">=")}
# The value of what does not count in a fold along an inner axis.
_UNITS = {"sum": 0.0, "count": 0.0, "any": 0.0, "all": 1.0, "prod": 1.0, "max": -math.inf, "min": math.inf}
_REDUCE: dict[str, ir.Reducer] = {
    "sum": "sum", "count": "sum", "max": "max", "any": "max", "min": "min", "all": "min", "prod": "prod",
}  # fmt: skip


@dataclass(slots=True)
class Host:
    """Scalars that the launcher computes, in double precision, from sizes and scalar arguments."""

    names: Names
    scalars: dict[sp.Expr, str] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)
    boxes: dict[str, Box] = field(default_factory=dict)

    def helper(self, name: str) -> str:
        """A function of the kernel file that is called: it will be there."""
        self.helpers.add(name)
        return name

    def scalar(self, expr: sp.Expr) -> ir.Name:
        if expr not in self.scalars:
            self.scalars[expr] = expr.name if isinstance(expr, Param) else self.names.fresh("scale")
        return scalar(self.scalars[expr])

    def call(self, helper: str, *args: ir.Value) -> ir.Call:
        """A call of a helper, which the kernel file will have; its arguments are of one shape, or without one."""
        return ir.Call(self.helper(helper), args, next((a.axes for a in args if a.axes), ()))


def is_host(expr: sp.Basic) -> bool:
    """Whether an expression is a scalar of sizes and arguments alone."""
    return not expr.has(Read, Fold) and all(isinstance(s, Size | Param) for s in expr.free_symbols)


def is_count(expr: sp.Basic) -> bool:
    """Whether an integer is computed as one: linear in positions and data, as products may need more than 32 bits."""
    if isinstance(expr, sp.Add | sp.Max | sp.Min | sp.Abs):
        return all(is_count(a) for a in expr.args)
    if isinstance(expr, sp.Mul):
        coefficient, rest = expr.as_coeff_Mul()
        return bool(coefficient.is_Integer) and rest != expr and is_count(rest)
    return is_integral(expr) and isinstance(expr, sp.Symbol | sp.Integer | sp.floor | sp.Mod | Read)


def chain(op: ir.BinaryOp, first: ir.Value, *others: ir.Value) -> ir.Value:
    """Values joined by one operator from the left; one alone stays as it is."""
    return reduce(partial(ir.Binary, op), others, first)


def extreme(form: ir.BinaryOp, values: Iterable[ir.Value], scope: Scope) -> ir.Value:
    """The largest or smallest of several values."""
    return reduce(lambda a, b: scope.apply(partial(ir.Binary, form), a, b), values)


@dataclass(slots=True)
class Scope:
    """The body of one function as it is written; what does not vary here goes to the `outer` scope."""

    roles: Roles
    host: Host
    strides: dict[tuple[str, Any], str]
    names: Names
    outer: Scope | None = None
    bound: set[sp.Symbol] = field(default_factory=set)
    body: list[ir.Statement] = field(default_factory=list)
    memo: dict[sp.Basic, ir.Value] = field(default_factory=dict)
    raw: dict[sp.Basic, ir.Value] = field(default_factory=dict)
    whole: dict[sp.Basic, ir.Value] = field(default_factory=dict)
    late: dict[sp.Basic, Callable[[], ir.Value]] = field(default_factory=dict)
    # Whether the elements of a row are read once to be reduced and again to be written.
    rereads: bool = False
    # The elements that are not finite beyond the end of the fold axis.
    wild: frozenset[sp.Symbol] = frozenset()
    # Of every gather, where masks discard what it reads.
    discarded: dict[Read, sp.Basic] = field(default_factory=dict)
    # The gathers that sums alone read; and where those are off their axes, if rows differ in that.
    summed: frozenset[Read] = frozenset()
    nowhere: dict[Read, ir.Value] = field(default_factory=dict)

    def inside(self, bound: Iterable[sp.Symbol]) -> Scope:
        """A scope within this one, in which `bound` symbols vary."""
        return self.nested(self.names, bound)

    def function(self, bound: Iterable[sp.Symbol]) -> Scope:
        """The scope of a function that is called from this one."""
        return self.nested(self.names.function(), bound)

    def nested(self, names: Names, bound: Iterable[sp.Symbol]) -> Scope:
        return Scope(self.roles, self.host, self.strides, names, self, set(bound), rereads=self.rereads,
                     wild=self.wild, discarded=self.discarded, summed=self.summed)  # fmt: skip

    def varies(self, expr: sp.Basic) -> bool:
        return self.outer is None or bool(expr.free_symbols & self.bound)

    def bind(self, symbol: sp.Basic, val: ir.Value) -> None:
        """Gives a symbol, or a whole expression, its value from here on."""
        self.memo[symbol] = val
        if isinstance(symbol, sp.Symbol):
            self.bound.add(symbol)

    # --- statements ------------------------------------------------------------------------------------------

    def name(self, wish: str, val: ir.Value) -> ir.Name:
        """Assigns a value to a name of its own."""
        name = ir.Name(self.names.fresh(wish), val.axes)
        self.body.append(ir.Let(name, val))
        return name

    def named(self, wish: str, val: ir.Value) -> ir.Name:
        """A value by its name, which it gets if it has none."""
        return val if isinstance(val, ir.Name) else self.name(wish, val)

    def fill(self, name: ir.Name, mask: ir.Value, other: ir.Value) -> None:
        """Puts another value where the mask leaves lanes out, in a tile that has masks."""
        self.body.append(ir.If(MASKED, (ir.Let(name, self.where(mask, name, other)),)))

    def spread(self, val: ir.Value, axes: ir.Axes) -> ir.Value:
        """A value that broadcasts over a tile of `axes`."""
        return val if not val.axes or val.axes == axes else ir.Spread(val, axes)

    def union(self, *values: ir.Value) -> tuple[Index, ...]:
        present = {a for v in values for a in v.axes}
        return tuple(a for a in self.roles.tiles if a in present)

    def apply(self, build: Callable[..., ir.Value], *values: ir.Value) -> ir.Value:
        axes = self.union(*values)
        return build(*(self.spread(v, axes) for v in values))

    def join(self, op: ir.BinaryOp, values: Sequence[ir.Value]) -> ir.Value:
        """The values joined from the left."""
        return self.apply(partial(chain, op), *values)

    def where(self, cond: ir.Value, then: ir.Value, other: ir.Value) -> ir.Value:
        return self.apply(ir.Select, cond, then, other)

    # --- what an expression varies with, before it is written --------------------------------------------------

    def axes(self, expr: sp.Basic) -> frozenset[Index]:
        """The tile axes of an expression."""
        known = self.lookup(expr)
        if known is not None:
            return frozenset(self.union(known))
        if isinstance(expr, Index):
            return frozenset({expr} & set(self.roles.tiles))
        if expr == self.roles.packed:
            return frozenset()
        if isinstance(expr, Fold):
            return self.axes(expr.body) - {expr.axis}
        parts = expr.indices if isinstance(expr, Read) else expr.args
        return frozenset(a for part in parts for a in self.axes(part))

    def lookup(self, expr: sp.Basic) -> ir.Value | None:
        if expr in self.late:
            # Written where it is first wanted, if anywhere.
            self.memo[expr] = self.late.pop(expr)()
        if expr in self.memo:
            return self.memo[expr]
        return self.outer.lookup(expr) if self.outer is not None else None

    # --- float32 values --------------------------------------------------------------------------------------

    def value(self, expr: sp.Basic) -> ir.Value:
        """An expression as a float32 value."""
        known = self.lookup(expr)
        if known is not None:
            return known
        if expr in (sp.oo, -sp.oo, sp.nan):
            return ir.Number(float(expr))
        if expr.is_number:
            return ir.Number(float(expr))
        if is_host(expr):
            return self.host.scalar(expr)
        if self.outer is not None and not self.varies(expr):
            return self.outer.hoisted(expr)
        return self.compute(expr)

    def hoisted(self, expr: sp.Basic) -> ir.Value:
        """A value for an inner scope: named here, so that it is computed once."""
        val = self.value(expr)
        if self.lookup(expr) is None and not isinstance(val, ir.Name) and not expr.is_number:
            val = self.name("still", val)
            self.memo[expr] = val
        return val

    def compute(self, expr: sp.Basic) -> ir.Value:
        if is_count(expr) and expr.has(Index, Read):
            return self.whole_number(expr)
        match expr:
            case sp.Add():
                return self.add(expr)
            case sp.Mul():
                return self.multiply(expr)
            case sp.Pow():
                return self.power(expr)
            case sp.Max() | sp.Min():
                helper = partial(self.host.call, "_larger" if isinstance(expr, sp.Max) else "_smaller")
                return reduce(partial(self.apply, helper), [self.value(a) for a in expr.args])
            case Where():
                cond = self.condition(expr.args[0])
                return self.where(cond, self.value(expr.args[1]), self.value(expr.args[2]))
            case Read():
                return self.read(expr)
            case Fold():
                return self.fold(expr)
            case sp.floor() if not is_integral(expr):
                return ir.Unary("floor", self.value(expr.args[0]))
        if type(expr) in KERNEL:
            return self.special(expr)
        raise EmitError(f"no Triton text for {expr}: write it with the heads that `refold.spec` knows")

    def whole_number(self, expr: sp.Expr) -> ir.Value:
        """An integer as float32; `i - j` as `(i - j0) - (j - j0)`, each exact, so that no lane of a tile converts."""
        fold = self.roles.fold
        step = sp.diff(expr, fold) if isinstance(expr, sp.Add) and len(self.axes(expr)) == 2 else None
        if step is None or not step.is_Integer or step == 0 or expr.has(sp.floor, sp.Mod):
            return ir.Cast(self.integer(expr), "float32")
        start = Loop("j0", integer=True, nonnegative=True)
        parts = [expr.xreplace({fold: start}), abs(step) * (fold - start)]
        here, there = (ir.Cast(self.integer(p), "float32") for p in parts)
        return self.join("+" if step > 0 else "-", [here, there])

    def special(self, expr: sp.Basic) -> ir.Value:
        val = KERNEL[type(expr)](self.value(expr.args[0]))
        if isinstance(val, ir.Call):
            self.host.helper(val.function)
        wish = ("p" if self.roles.fold in self.axes(expr) else "alpha") if isinstance(expr, sp.exp | exp2) else "f"
        self.memo[expr] = self.name(wish, val)
        return self.memo[expr]

    def parts(self, args: Iterable[sp.Expr], func: Any) -> list[sp.Expr]:
        """The arguments of a sum or product, with those that do not vary here joined into one."""
        here = [a for a in args if self.varies(a) and not is_host(a)]
        still = [a for a in args if a not in here]
        return here + ([func(*still)] if still else [])

    def add(self, expr: sp.Add) -> ir.Value:
        (_, first), *others = signed(self.parts(expr.args, sp.Add))
        result, *values = [self.value(term) for term in (first, *(term for _, term in others))]
        # Of the values: a tile that is NaN off an axis may have more axes than what was read.
        order = self.union(result, *values)
        result = self.spread(result, order)
        for (sign, _), val in zip(others, values, strict=True):
            result = ir.Binary("+" if sign == "+" else "-", result, self.spread(val, order))
        return result

    def multiply(self, expr: sp.Mul) -> ir.Value:
        coefficient, rest = expr.as_coeff_Mul()
        if coefficient == -1:
            return ir.Unary("-", self.value(rest))
        top: list[sp.Expr] = []
        bottom: list[sp.Expr] = []
        for f in self.parts(expr.args, sp.Mul):
            divides = isinstance(f, sp.Pow) and f.exp.is_negative and not is_host(f)
            (bottom if divides else top).append(1 / f if divides else f)
        top.sort(key=lambda f: f.is_number)
        val = self.join("*", [self.value(f) for f in top]) if top else ONE
        if bottom:
            under = self.join("*", [self.value(f) for f in bottom])
            if {*under.axes} < {*val.axes}:
                # A quotient a row and a product an element: on cuda a quotient is three products.
                return self.join("*", [val, self.join("/", [ONE, under])])
            val = self.join("/", [val, under])
        return val

    def power(self, expr: sp.Pow) -> ir.Value:
        base, exponent = expr.base, expr.exp
        if exponent.is_negative:
            return self.join("/", [ONE, self.value(1 / expr)])
        if exponent == sp.Rational(1, 2):
            return ir.Unary("sqrt", self.value(base))
        val = self.value(base)
        if exponent.is_Integer:
            return self.whole_power(base, val, int(exponent))
        if (2 * exponent).is_Integer:
            return self.value(sp.Mul(base ** sp.floor(exponent), sp.sqrt(base), evaluate=False))
        return self.apply(partial(self.host.call, "_power"), val, self.value(exponent))

    def whole_power(self, base: sp.Expr, val: ir.Value, exponent: int) -> ir.Value:
        """A product of a value with itself, beyond eight factors of its squares."""
        if not isinstance(val, ir.Name):
            val = self.memo[base] = self.name("c", val)
        if exponent <= 8:
            return self.join("*", [val] * exponent)
        factors = []
        for n in range(exponent.bit_length()):
            val = self.name("c", self.join("*", [val, val])) if n else val
            factors += [val] if exponent >> n & 1 else []
        return self.join("*", factors)

    # --- integers and conditions -----------------------------------------------------------------------------

    def integer(self, expr: sp.Basic) -> ir.Value:
        """An expression of indices, sizes and integer data as an integer value."""
        if expr in self.whole:
            return self.whole[expr]
        if expr == self.roles.packed:
            return GROUP
        match expr:
            case Index() if self.outer is not None:
                return self.outer.integer(expr)
            case sp.Integer():
                return ir.Number(int(expr))
            case Size():
                return size(Index(expr.name), self.roles)
            case Param() | Loop():
                return constant(expr.name) if expr == BLOCK_N else scalar(expr.name)
            case sp.Add():
                (_, first), *others = signed(expr.args)
                result = self.operand_of(first)
                for sign, term in others:
                    result = self.join("+" if sign == "+" else "-", [result, self.operand_of(term)])
                return result
            case sp.Mul() if is_integral(expr):
                if expr.args[0] == -1:
                    return ir.Unary("-", self.operand_of(-expr))
                factors = [self.operand_of(a) for a in expr.args]
                if all(isinstance(s, Size) for s in expr.free_symbols):
                    factors[-1] = ir.Cast(factors[-1], INDEX, literal=True)
                return self.join("*", factors)
            case sp.Pow() if expr.exp.is_Integer and expr.exp > 0:
                return self.join("*", [self.operand_of(expr.base)] * int(expr.exp))
            case sp.floor():
                above, below = quotient_of(expr)
                return self.quotient(self.operand_of(above), self.operand_of(below), above)
            case sp.Mod():
                above, below = (self.operand_of(a) for a in expr.args)
                whole = self.quotient(above, below, expr.args[0])
                return self.join("-", [above, self.join("*", [whole, below])])
            case sp.Max() | sp.Min():
                form: ir.BinaryOp = "maximum" if isinstance(expr, sp.Max) else "minimum"
                return extreme(form, [self.integer(a) for a in expr.args], self)
            case sp.Abs():
                return ir.Unary("abs", self.operand_of(expr.args[0]))
            case Where():
                return self.where(self.condition(expr.args[0]), *(self.integer(a) for a in expr.args[1:]))
            case Read():
                if self.outer is not None and not self.varies(expr):
                    return self.outer.integer(expr)
                return self.load(expr)
        raise EmitError(f"no integer Triton text for {expr}: use axes, sizes, integer scalars and integer tensors")

    def operand_of(self, expr: sp.Expr) -> ir.Value:
        """An integer that is computed with: data in 64 bits, which the launcher does not see."""
        val = self.integer(expr)
        narrow = any(r.tensor.dtype != "int64" for r in expr.atoms(Read))
        return ir.Cast(val, "int64") if narrow and isinstance(expr, Read | sp.Max | sp.Min | Where) else val

    def quotient(self, above: ir.Value, below: ir.Value, dividend: sp.Expr) -> ir.Value:
        """Division rounded down."""
        if dividend.is_nonnegative:
            return self.join("//", [above, below])
        return self.apply(partial(self.host.call, "_floordiv"), above, below)

    def condition(self, cond: sp.Basic) -> ir.Value:
        """A predicate as a boolean value."""
        match cond:
            case sp.And() | sp.Or():
                parts = [self.condition(a) for a in cond.args]
                if self.union(*parts):
                    parts = [self.splat(p, a) for p, a in zip(parts, cond.args, strict=True)]
                return self.join("&" if isinstance(cond, sp.And) else "|", sorted(parts, key=repr))
            case sp.Not():
                return self.condition(sp.to_nnf(cond, simplify=False))
            case sp.Gt() | sp.Lt() if cond.rhs == (-sp.oo if isinstance(cond, sp.Gt) else sp.oo):
                # Whatever is no number is there, as far as a guard is concerned.
                return self.join("!=", [self.value(cond.lhs), self.value(cond.rhs)])
            case Relational():
                whole = is_integral(cond.lhs) and is_integral(cond.rhs)
                left, right = ((self.integer if whole else self.value)(side) for side in (cond.lhs, cond.rhs))
                return self.join(_RELATIONS[cond.rel_op], [left, right])
        raise EmitError(f"no Triton text for the condition {cond}: compare axes, sizes, scalars or integer tensors")

    def splat(self, val: ir.Value, cond: sp.Basic) -> ir.Value:
        """A condition that enters a tile: one comparison of floats becomes floats there in Triton's interpreter."""
        floats = any(not is_integral(side) for r in cond.atoms(Relational) for side in r.args)
        if not floats or val.axes:
            return val
        return ir.Binary(">", ir.Select(val, ir.Number(1), ir.Number(0)), ir.Number(0))

    # --- data ------------------------------------------------------------------------------------------------

    def read(self, expr: Read) -> ir.Value:
        """A load, widened to float32 at once."""
        if expr in self.raw:
            return ir.Cast(self.raw[expr], "float32")
        self.memo[expr] = self.name(expr.name, ir.Cast(self.address(expr), "float32"))
        return self.memo[expr]

    def load(self, expr: Read) -> ir.Value:
        """A load in the dtype that the tensor has."""
        if expr in self.raw or expr in self.memo:
            return self.raw.get(expr) or self.memo[expr]
        self.raw[expr] = self.name(expr.name, self.address(expr))
        return self.raw[expr]

    def address(self, expr: Read) -> ir.Value:
        tensor = expr.tensor
        offsets: list[tuple[ir.Value, ir.Name]] = []
        masks: list[ir.Value] = []
        gathered: list[ir.Value] = []
        for axis, index in zip(tensor.axes, expr.indices, strict=True):
            val = self.integer(index)
            stride = self.stride(tensor.name, axis)
            kept = access(index, self.roles)
            if isinstance(index, Index):
                if index in self.roles.tiles:
                    masks.append(within(index))
            elif kept in ("masked", "clamped"):
                val = self.named("at", val)
                ends = [ir.Binary(">=", val, ir.Number(0)), ir.Binary("<", val, size(axis, self.roles))]
                bounds = chain("&", *ends)
                if not (isinstance(index, sp.Mod) and index.args[1] == axis.size):
                    gathered.append(bounds := self.name("inside", bounds))
                if kept == "masked":
                    masks.append(bounds)
            if kept == "clamped":
                # Never a scalar in a block's mask: the interpreter of Triton 3.9 refuses it.
                last = ir.Binary("-", size(axis, self.roles), ir.Number(1))
                val = ir.Binary("minimum", ir.Binary("maximum", val, ir.Number(0)), last)
            if index.has(Read):
                val = ir.Cast(val, INDEX)
            offsets.append((val, stride))
        axes = self.union(*(val for val, _ in offsets))
        terms = [ir.Binary("*", self.spread(val, axes), stride) for val, stride in offsets]
        place = chain("+", pointer(tensor.name), *terms)
        other = ir.Number(0) if tensor.is_integer else ZERO
        masks = [self.spread(m, axes) for m in masks]
        loaded: ir.Value = ir.Load(
            place, chain("&", *masks) if masks else None, other if masks else None, self.eviction(expr.indices)
        )
        if tensor.name in self.host.boxes:
            return ir.Choice(BOX, self.box(expr, axes), loaded)
        if not gathered or self.discarded.get(expr, sp.false) is sp.true:
            return loaded
        return self.on_its_axes(expr, loaded, gathered)

    def stride(self, tensor: str, axis: Any) -> ir.Name:
        return scalar(self.strides[tensor, axis])

    def on_its_axes(self, expr: Read, loaded: ir.Value, bounds: list[ir.Value]) -> ir.Value:
        """What was gathered; off its axis NaN, and -1 of integers, which is off every axis.

        Not where a mask discards the position, since 0 times NaN is NaN, nor beyond the end of the fold's axis. Where
        the mask has axes that the tile lacks, the sums that read it are NaN instead: the tile goes on to be a dot's.
        """
        inside = self.join("&", bounds)
        lanes = [within(a) for a in self.union(loaded) if a in inside.axes or a == self.roles.fold]
        hidden = self.discarded.get(expr, sp.false)
        live = [self.condition(sp.to_nnf(sp.Not(hidden), simplify=False))] if hidden is not sp.false else []
        outside = self.join("&", [*lanes, *live, ir.Binary("==", inside, ir.Number(0))])
        if expr in self.summed and not {*outside.axes} <= {*loaded.axes}:
            self.nowhere[expr] = self.name("outside", outside)
            return loaded
        return self.where(outside, ir.Number(-1) if expr.tensor.is_integer else NAN, loaded)

    def box(self, expr: Read, axes: tuple[Index, ...]) -> ir.Fetch:
        """The same tile by a tensor descriptor, which gives 0 beyond the end of every axis."""
        box = self.host.boxes[expr.name]
        return ir.Fetch(pointer(expr.name), self.corner(expr, box), tuple(map(constant, box.tile)), axes)

    def corner(self, expr: Read, box: Box) -> tuple[ir.Value, ...]:
        """The first position of a box along every axis, the two leading dimensions first."""
        places: list[ir.Value] = [ir.Cast(scalar("lead0"), "int32"), ir.Cast(scalar("lead1"), "int32")]
        for index, start in zip(expr.indices, box.starts, strict=True):
            if start is None:
                places.append(ir.Cast(self.integer(index), "int32"))
            else:
                places.append(ir.Number(0) if start == "0" else scalar(start))
        return tuple(places)

    def eviction(self, indices: Iterable[sp.Basic]) -> ir.Name | None:
        """How long the caches are to keep what belongs to one row alone: until it is read again."""
        axes = {s for i in indices for s in i.free_symbols}
        own = axes & {self.roles.rows, *self.roles.batch}
        return EVICT if self.rereads and own and self.roles.fold in axes else None

    # --- reductions over inner axes, and contractions ----------------------------------------------------------

    def fold(self, expr: Fold) -> ir.Value:
        """A fold inside of the body: a dot where two groups of factors share the axis alone."""
        if expr.kind == "sum":
            dot = self.dot(list(sp.Mul.make_args(expr.body)), expr.axis)
            if dot is not None:
                self.memo[expr] = self.name("dot", dot)
                return self.memo[expr]
        body = self.value(expr.body)
        axis = expr.axis
        order = self.union(body, within(axis))
        tile = self.spread(body, order)
        if expr.kind not in _UNITS:
            raise EmitError(
                f"{expr.kind} over {axis.name}, inside of the fused loop: fold {axis.name} by sum, max or min"
            )
        factors = sp.Mul.make_args(expr.body)
        if not (expr.kind == "sum" and vanishes(factors, axis) and all(self.finite(f, axis) for f in factors)):
            tile = ir.Select(self.spread(within(axis), order), tile, ir.Number(_UNITS[expr.kind]))
        val = (extremum if expr.kind in ("max", "min") else reduced)(expr.kind, tile, axis, self.host)
        self.memo[expr] = self.name("r", val)
        return self.memo[expr]

    def dot(
        self, factors: list[sp.Expr], axis: Index, into: ir.Value | None = None, masked: ir.Value | None = None
    ) -> ir.Value | None:
        """The dot of the factors that share `axis`, times the others; None where there are not two such groups.

        `masked`: the lanes of the left operand that count in a tile with masks; the others are set to 0.
        """
        if not self.roles.contracts:
            return None
        along = [f for f in factors if axis in self.axes(f)]
        outside = [f for f in factors if f not in along]
        wide = sorted({self.axes(f) for f in along if len(self.axes(f)) == 2}, key=self.place)
        if (
            len(wide) != 2
            or wide[0] & wide[1] != {axis}
            or any(not self.axes(f) <= wide[0] and not self.axes(f) <= wide[1] for f in along)
        ):
            return None
        if into is not None and outside:
            return None
        left = [f for f in along if self.axes(f) <= wide[0]]
        right = [f for f in along if f not in left]
        (row,), (column,) = wide[0] - {axis}, wide[1] - {axis}
        inside = within(axis)
        wild = [not all(self.finite(f, axis) for f in side) for side in (left, right)]
        if axis in self.roles.inner:
            a, b = self.operand(left, (row, axis), masked), self.operand(right, (axis, column), None)
            if wild[0] or not (vanishes(left, axis) or vanishes(right, axis) or wild[1]):
                a = ir.Cast(ir.Select(ir.Spread(inside, (row, axis)), a, ZERO), OPERAND)
            if wild[1]:
                b = ir.Cast(ir.Select(ir.Spread(inside, (axis, column)), b, ZERO), OPERAND)
        else:
            a = self.operand(left, (row, axis), masked)
            b = self.operand(right, (axis, column), inside if wild[1] else None)
        val = ir.Dot(a, b, into)
        return self.join("*", [val, self.value(sp.Mul(*outside))]) if outside else val

    def finite(self, expr: sp.Basic, axis: Index) -> bool:
        """Whether an expression is finite beyond the end of an axis, where data is loaded as 0."""
        return finite(expr, axis, self.wild)

    def place(self, axes: Iterable[Index]) -> list[int]:
        return sorted(self.roles.tiles.index(a) for a in axes)

    def operand(self, factors: list[sp.Expr], order: tuple[Index, Index], masked: ir.Value | None) -> ir.Value:
        """One side of a dot in the dtype of the inputs, transposed where its canonical order is the other one."""
        reads = len(factors) == 1 and isinstance(factors[0], Read)
        if reads and self.lookup(factors[0]) is None:
            scope = self
            while scope.outer is not None and not scope.varies(factors[0]):
                scope = scope.outer
            val = scope.load(factors[0])
        else:
            val = self.named("a", self.value(sp.Mul(*factors)))
            if masked is not None:
                self.fill(val, masked, ZERO)
        cast = ir.Cast(val, OPERAND)
        return cast if val.axes == order else ir.Transpose(cast)


def extremum(kind: str, tile: ir.Value, axis: Index, host: Host) -> ir.Value:
    """The maximum or minimum of a tile over one of its axes, NaN where an element is."""
    place = tile.axes.index(axis)
    rest = (*tile.axes[:place], *tile.axes[place + 1 :])
    return ir.Call(host.helper("_largest" if kind == "max" else "_smallest"), (tile, ir.Number(place)), rest)


def reduced(kind: str, tile: ir.Value, axis: Index, host: Host) -> ir.Value:
    """A tile reduced over one of its axes; a maximum or minimum passes over what is no number."""
    if kind not in _REDUCE:
        raise EmitError(f"no Triton text for a fold by {kind}: use sum, max, min, prod, any, all, count or argmax")
    if kind == "prod":
        host.helper("_multiply")
    return ir.Reduce(_REDUCE[kind], tile, tile.axes.index(axis))
