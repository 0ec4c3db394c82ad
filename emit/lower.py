"""SymPy to Triton: an expression becomes text whose tile shape is the blocks of the axes it depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra.base2 import exp2
from refold.algebra.roles import Roles
from refold.algebra.tiles import Loop
from refold.emit.boxes import Box
from refold.emit.heads import FORMS
from refold.emit.source import Names
from refold.errors import EmitError
from refold.spec import Fold, Index, Param, Read, Size, Where
from refold.verify.accesses import access

ATOM, PRODUCT, SUM, COMPARISON = 3, 2, 1, 0
INFINITY = 'float("inf")'


@dataclass(frozen=True, slots=True)
class Val:
    """A piece of text, the axes of its tile in canonical order, and how tightly it binds."""

    text: str
    axes: tuple[Index, ...] = ()
    binds: int = ATOM

    def at(self, level: int) -> str:
        return self.text if self.binds >= level else f"({self.text})"


@dataclass(slots=True)
class Host:
    """Scalars that the launcher computes, in double precision, from sizes and scalar arguments."""

    names: Names
    scalars: dict[sp.Expr, str] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)
    boxes: dict[str, Box] = field(default_factory=dict)

    def scalar(self, expr: sp.Expr) -> str:
        if expr not in self.scalars:
            self.scalars[expr] = expr.name if isinstance(expr, Param) else self.names.fresh("scale")
        return self.scalars[expr]


def is_host(expr: sp.Basic) -> bool:
    """Whether an expression is a scalar of sizes and arguments alone."""
    return not expr.has(Read, Fold) and all(isinstance(s, Size | Param) for s in expr.free_symbols)


@dataclass(slots=True)
class Scope:
    """The lines of one function as they are written; what does not vary here goes to the `outer` scope."""

    roles: Roles
    host: Host
    strides: dict[tuple[str, Any], str]
    names: Names
    outer: Scope | None = None
    bound: set[sp.Symbol] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)
    memo: dict[sp.Basic, Val] = field(default_factory=dict)
    raw: dict[sp.Basic, Val] = field(default_factory=dict)
    whole: dict[sp.Basic, Val] = field(default_factory=dict)
    late: dict[sp.Basic, Callable[[], Val]] = field(default_factory=dict)
    # Whether the elements of a row are read once to be reduced and again to be written.
    rereads: bool = False

    def inside(self, bound: Iterable[sp.Symbol]) -> Scope:
        """A scope within this one, in which `bound` symbols vary."""
        return self.nested(self.names, bound)

    def function(self, bound: Iterable[sp.Symbol]) -> Scope:
        """The scope of a function that is called from this one."""
        return self.nested(self.names.function(), bound)

    def nested(self, names: Names, bound: Iterable[sp.Symbol]) -> Scope:
        return Scope(self.roles, self.host, self.strides, names, self, set(bound), rereads=self.rereads)

    def with_index(self, axis: Index, val: Val) -> Scope:
        """This scope, with another value for the position along an axis."""
        self.whole[axis] = val
        return self

    def varies(self, expr: sp.Basic) -> bool:
        return self.outer is None or bool(expr.free_symbols & self.bound)

    def bind(self, symbol: sp.Basic, val: Val) -> None:
        """Gives a symbol, or a whole expression, its value from here on."""
        self.memo[symbol] = val
        if isinstance(symbol, sp.Symbol):
            self.bound.add(symbol)

    # --- statements ------------------------------------------------------------------------------------------

    def name(self, wish: str, val: Val) -> Val:
        """Assigns a value to a name of its own."""
        name = self.names.fresh(wish)
        self.lines.append(f"{name} = {val.text}")
        return Val(name, val.axes)

    def spread(self, val: Val, axes: tuple[Index, ...], level: int = ATOM) -> str:
        """The text of a value, indexed so that it broadcasts over a tile of `axes`."""
        if not val.axes or val.axes == axes:
            return val.at(level)
        return f"{val.at(ATOM)}[{', '.join(':' if a in val.axes else 'None' for a in axes)}]"

    def union(self, *values: Val) -> tuple[Index, ...]:
        found = {a for v in values for a in v.axes}
        return tuple(a for a in self.roles.tiles if a in found)

    def join(self, sign: str, values: list[Val], level: int) -> Val:
        if len(values) == 1:
            return values[0]
        axes = self.union(*values)
        return Val(f" {sign} ".join(self.spread(v, axes, level) for v in values), axes, level)

    def apply(self, form: str, *values: Val) -> Val:
        axes = self.union(*values)
        return Val(form.format(*(self.spread(v, axes, COMPARISON) for v in values)), axes)

    # --- what an expression varies with, before it is written --------------------------------------------------

    def axes(self, expr: sp.Basic) -> frozenset[Index]:
        """The tile axes of an expression."""
        known = self.lookup(expr)
        if known is not None:
            return frozenset(known.axes)
        if isinstance(expr, Index):
            return frozenset({expr} & set(self.roles.tiles))
        if expr == self.roles.packed:
            return frozenset()
        if isinstance(expr, Fold):
            return self.axes(expr.body) - {expr.axis}
        parts = expr.indices if isinstance(expr, Read) else expr.args
        return frozenset(a for part in parts for a in self.axes(part))

    def lookup(self, expr: sp.Basic) -> Val | None:
        if expr in self.late:
            # Written where it is first wanted, if anywhere.
            self.memo[expr] = self.late.pop(expr)()
        if expr in self.memo:
            return self.memo[expr]
        return self.outer.lookup(expr) if self.outer is not None else None

    # --- float32 values --------------------------------------------------------------------------------------

    def value(self, expr: sp.Basic) -> Val:
        """An expression as a float32 value."""
        known = self.lookup(expr)
        if known is not None:
            return known
        if expr in (sp.oo, -sp.oo, sp.nan):
            text = {sp.oo: INFINITY, -sp.oo: f"-{INFINITY}", sp.nan: 'float("nan")'}[expr]
            return Val(text, (), ATOM if expr is sp.nan or expr == sp.oo else SUM)
        if expr.is_number:
            return Val(repr(float(expr)), (), ATOM if expr.is_nonnegative else SUM)
        if is_host(expr):
            return Val(self.host.scalar(expr))
        if self.outer is not None and not self.varies(expr):
            return self.outer.hoisted(expr)
        return self.compute(expr)

    def hoisted(self, expr: sp.Basic) -> Val:
        """A value for an inner scope: named here, so that it is computed once."""
        val = self.value(expr)
        if self.lookup(expr) is None and not val.text.isidentifier() and not expr.is_number:
            val = self.name("still", val)
            self.memo[expr] = val
        return val

    def compute(self, expr: sp.Basic) -> Val:
        if expr.is_integer and not isinstance(expr, Where | Fold) and expr.has(Index, Read):
            return self.whole_number(expr)
        match expr:
            case sp.Add():
                return self.add(expr)
            case sp.Mul():
                return self.multiply(expr)
            case sp.Pow():
                return self.power(expr)
            case sp.Max() | sp.Min():
                form = "tl.maximum({}, {})" if isinstance(expr, sp.Max) else "tl.minimum({}, {})"
                parts = [self.value(a) for a in expr.args]
                result = parts[0]
                for part in parts[1:]:
                    result = self.apply(form, result, part)
                return result
            case Where():
                cond = self.condition(expr.args[0])
                return self.apply("tl.where({}, {}, {})", cond, self.value(expr.args[1]), self.value(expr.args[2]))
            case Read():
                return self.read(expr)
            case Fold():
                return self.fold(expr)
        if type(expr) in FORMS:
            return self.special(expr)
        raise EmitError(f"no Triton text for {expr}: write it with the heads that `refold.spec` knows")

    def whole_number(self, expr: sp.Expr) -> Val:
        """An integer as float32; `i - j` as `(i - j0) - (j - j0)`, each exact, so that no lane of a tile converts."""
        fold = self.roles.fold
        step = sp.diff(expr, fold) if isinstance(expr, sp.Add) and len(self.axes(expr)) == 2 else None
        if step is None or not step.is_Integer or step == 0 or expr.has(sp.floor, sp.Mod):
            val = self.integer(expr)
            return Val(f"{val.at(ATOM)}.to(tl.float32)", val.axes)
        start = Loop("j0", integer=True, nonnegative=True)
        parts = [expr.xreplace({fold: start}), abs(step) * (fold - start)]
        here, there = (Val(f"({self.integer(p).text}).to(tl.float32)", self.integer(p).axes) for p in parts)
        return self.join("+" if step > 0 else "-", [here, there], SUM)

    def special(self, expr: sp.Basic) -> Val:
        form = FORMS[type(expr)]
        if form.helper:
            self.host.helpers.add(form.helper)
        argument = self.value(expr.args[0])
        val = Val(form.triton.format(x=argument.text), argument.axes)
        wish = ("p" if self.roles.fold in self.axes(expr) else "alpha") if isinstance(expr, sp.exp | exp2) else "f"
        self.memo[expr] = self.name(wish, val)
        return self.memo[expr]

    def parts(self, args: Iterable[sp.Expr], func: Any) -> list[sp.Expr]:
        """The arguments of a sum or product, with those that do not vary here joined into one."""
        here = [a for a in args if self.varies(a) and not is_host(a)]
        still = [a for a in args if a not in here]
        return here + ([func(*still)] if still else [])

    def add(self, expr: sp.Add) -> Val:
        terms = self.parts(expr.args, sp.Add)
        terms.sort(key=lambda t: (bool(t.could_extract_minus_sign()), t.is_number))
        values = [self.value(terms[0])]
        axes = {a for t in terms for a in self.axes(t)}
        order = tuple(a for a in self.roles.tiles if a in axes)
        text = self.spread(values[0], order, SUM)
        for term in terms[1:]:
            negative = bool(term.could_extract_minus_sign())
            val = self.value(-term if negative else term)
            text += f" {'-' if negative else '+'} {self.spread(val, order, PRODUCT if negative else SUM)}"
        return Val(text, order, SUM)

    def multiply(self, expr: sp.Mul) -> Val:
        coefficient, rest = expr.as_coeff_Mul()
        if coefficient == -1:
            val = self.value(rest)
            return Val(f"-{val.at(PRODUCT)}", val.axes, SUM)
        top: list[sp.Expr] = []
        bottom: list[sp.Expr] = []
        for f in self.parts(expr.args, sp.Mul):
            divides = isinstance(f, sp.Pow) and f.exp.is_negative and not is_host(f)
            (bottom if divides else top).append(1 / f if divides else f)
        top.sort(key=lambda f: f.is_number)
        val = self.join("*", [self.value(f) for f in top], PRODUCT) if top else Val("1.0")
        if bottom:
            under = self.join("*", [self.value(f) for f in bottom], PRODUCT)
            if {*under.axes} < {*val.axes}:
                # A quotient a row and a product an element: on cuda a quotient is three products.
                return self.join("*", [val, Val(f"(1.0 / {under.at(ATOM)})", under.axes)], PRODUCT)
            axes = self.union(val, under)
            right = self.spread(under, axes, ATOM)
            val = Val(f"{self.spread(val, axes, PRODUCT)} / {right}", axes, PRODUCT)
        return val

    def power(self, expr: sp.Pow) -> Val:
        base, exponent = expr.base, expr.exp
        if exponent.is_negative:
            under = self.value(1 / expr)
            return Val(f"1.0 / {under.at(ATOM)}", under.axes, PRODUCT)
        if exponent == sp.Rational(1, 2):
            val = self.value(base)
            return Val(f"tl.sqrt({val.text})", val.axes)
        val = self.value(base)
        if exponent.is_Integer and exponent <= 8:
            if not val.text.isidentifier():
                val = self.name("c", val)
                self.memo[base] = val
            return Val(" * ".join([val.text] * int(exponent)), val.axes, PRODUCT)
        if (2 * exponent).is_Integer:
            return self.value(sp.Mul(base ** sp.floor(exponent), sp.sqrt(base), evaluate=False))
        return self.apply("tl.exp2(tl.log2({}) * {})", val, self.value(exponent))

    # --- integers and conditions -----------------------------------------------------------------------------

    def integer(self, expr: sp.Basic) -> Val:
        """An expression of indices, sizes and integer data as an integer value."""
        if expr in self.whole:
            return self.whole[expr]
        if expr == self.roles.packed:
            return Val("group")
        match expr:
            case Index() if self.outer is not None:
                return self.outer.integer(expr)
            case sp.Integer():
                return Val(str(expr), (), ATOM if expr >= 0 else SUM)
            case Size():
                return Val(self.size(Index(expr.name)))
            case Param() | Loop():
                return Val(expr.name)
            case sp.Add():
                terms = sorted(expr.args, key=lambda t: (bool(t.could_extract_minus_sign()), t.is_number))
                result = self.integer(terms[0])
                for t in terms[1:]:
                    negative = bool(t.could_extract_minus_sign())
                    result = self.join("-" if negative else "+", [result, self.integer(-t if negative else t)], SUM)
                return result
            case sp.Mul() if all(a.is_integer for a in expr.args):
                if expr.args[0] == -1:
                    val = self.integer(-expr)
                    return Val(f"-{val.at(PRODUCT)}", val.axes, SUM)
                return self.join("*", [self.integer(a) for a in expr.args], PRODUCT)
            case sp.Pow() if expr.exp.is_Integer and expr.exp > 0:
                return self.join("*", [self.integer(expr.base)] * int(expr.exp), PRODUCT)
            case sp.floor():
                above, below = sp.fraction(sp.together(expr.args[0]))
                return self.quotient(self.integer(above), self.integer(below), above)
            case sp.Mod():
                above, below = (self.integer(a) for a in expr.args)
                whole = self.quotient(above, below, expr.args[0])
                product = self.join("*", [whole, below], PRODUCT)
                return self.join("-", [above, Val(f"({product.text})", product.axes)], SUM)
            case sp.Max() | sp.Min():
                form = "tl.maximum({}, {})" if isinstance(expr, sp.Max) else "tl.minimum({}, {})"
                values = [self.integer(a) for a in expr.args]
                result = values[0]
                for val in values[1:]:
                    result = self.apply(form, result, val)
                return result
            case Where():
                parts = [self.condition(expr.args[0]), *(self.integer(a) for a in expr.args[1:])]
                return self.apply("tl.where({}, {}, {})", *parts)
            case Read():
                if self.outer is not None and not self.varies(expr):
                    return self.outer.integer(expr)
                return self.load(expr)
        raise EmitError(f"no integer Triton text for {expr}: use axes, sizes, integer scalars and integer tensors")

    def quotient(self, above: Val, below: Val, dividend: sp.Expr) -> Val:
        """Division rounded down."""
        if dividend.is_nonnegative:
            return self.join("//", [above, Val(below.at(ATOM), below.axes)], PRODUCT)
        self.host.helpers.add("_floordiv")
        return self.apply("_floordiv({}, {})", above, below)

    def condition(self, cond: sp.Basic) -> Val:
        """A predicate as a boolean value."""
        match cond:
            case sp.And() | sp.Or():
                parts = sorted((self.condition(a) for a in cond.args), key=lambda v: v.text)
                return self.join(
                    "&" if isinstance(cond, sp.And) else "|", [Val(f"({p.text})", p.axes) for p in parts], COMPARISON
                )
            case sp.Not():
                return self.condition(sp.to_nnf(cond, simplify=False))
            case Relational():
                whole = cond.lhs.is_integer and cond.rhs.is_integer
                left, right = ((self.integer if whole else self.value)(side) for side in (cond.lhs, cond.rhs))
                joined = self.join(cond.rel_op, [left, right], SUM)
                return Val(joined.text, joined.axes, COMPARISON)
        raise EmitError(f"no Triton text for the condition {cond}: compare axes, sizes, scalars or integer tensors")

    # --- data ------------------------------------------------------------------------------------------------

    def size(self, axis: Index) -> str:
        return f"SIZE_{axis.name}" if axis in self.roles.inner else f"size_{axis.name}"

    def read(self, expr: Read) -> Val:
        """A load, widened to float32 at once."""
        if expr in self.raw:
            val = self.raw[expr]
            return Val(f"{val.text}.to(tl.float32)", val.axes)
        val = self.address(expr)
        self.memo[expr] = self.name(expr.name, Val(f"{val.at(ATOM)}.to(tl.float32)", val.axes))
        return self.memo[expr]

    def load(self, expr: Read) -> Val:
        """A load in the dtype that the tensor has."""
        if expr in self.raw or expr in self.memo:
            return self.raw.get(expr) or self.memo[expr]
        self.raw[expr] = self.name(expr.name, self.address(expr))
        return self.raw[expr]

    def address(self, expr: Read) -> Val:
        tensor = expr.tensor
        offsets: list[Val] = []
        masks: list[Val] = []
        for axis, index in zip(tensor.axes, expr.indices, strict=True):
            val = self.integer(index)
            stride = self.strides[tensor.name, axis]
            kept = access(index, self.roles)
            if isinstance(index, Index):
                if index in self.roles.tiles:
                    masks.append(Val(f"in_{index.name}", (index,)))
            elif kept == "masked":
                if not val.text.isidentifier():
                    val = self.name("at", val)
                bounds = f"({val.text} >= 0) & ({val.text} < {self.size(axis)})"
                masks.append(Val(bounds, val.axes, COMPARISON))
            elif kept == "clamped":
                # Never a scalar in a block's mask: the interpreter of Triton 3.9 refuses it.
                val = Val(f"tl.minimum(tl.maximum({val.text}, 0), {self.size(axis)} - 1)")
            if index.has(Read):
                val = Val(f"{val.at(ATOM)}.to(INDEX)", val.axes)
            offsets.append(Val(f"{val.at(ATOM)} * {stride}", val.axes, PRODUCT))
        axes = self.union(*offsets)
        terms = [f"{tensor.name}_ptr"]
        for offset in offsets:
            text = offset.text
            if offset.axes and offset.axes != axes:
                head, stride = text.rsplit(" * ", 1)
                text = f"{self.spread(Val(head, offset.axes), axes)} * {stride}"
            terms.append(text)
        other = "0" if tensor.is_integer else "0.0"
        guard = " & ".join(self.spread(m, axes, ATOM) for m in masks)
        mask = f", mask={guard}, other={other}" if masks else ""
        loaded = f"tl.load({' + '.join(terms)}{mask}{self.eviction(expr.indices)})"
        if tensor.name in self.host.boxes:
            return Val(f"{self.box(expr)} if BOX else {loaded}", axes, COMPARISON)
        return Val(loaded, axes)

    def box(self, expr: Read) -> str:
        """The same tile by a tensor descriptor, which gives 0 beyond the end of every axis."""
        box = self.host.boxes[expr.name]
        return f"{expr.name}_ptr.load([{', '.join(self.corner(expr, box))}]).reshape({', '.join(box.tile)})"

    def corner(self, expr: Read, box: Box) -> list[str]:
        """The first position of a box along every axis, the two leading dimensions first."""
        places = ["lead0.to(tl.int32)", "lead1.to(tl.int32)"]
        for index, start in zip(expr.indices, box.starts, strict=True):
            places.append(start or f"{self.integer(index).at(ATOM)}.to(tl.int32)")
        return places

    def eviction(self, indices: Iterable[sp.Basic]) -> str:
        """How long the caches are to keep what belongs to one row alone: until it is read again."""
        axes = {s for i in indices for s in i.free_symbols}
        own = axes & {self.roles.rows, *self.roles.batch}
        return ", eviction_policy=EVICT" if self.rereads and own and self.roles.fold in axes else ""

    # --- reductions over inner axes, and contractions ----------------------------------------------------------

    def fold(self, expr: Fold) -> Val:
        """A fold inside of the body: a dot where two groups of factors share the axis alone."""
        if expr.kind == "sum":
            dot = self.dot(list(sp.Mul.make_args(expr.body)), expr.axis)
            if dot is not None:
                self.memo[expr] = self.name("dot", dot)
                return self.memo[expr]
        body = self.value(expr.body)
        axis = expr.axis
        order = self.union(body, Val("", (axis,)))
        text = self.spread(body, order, COMPARISON)
        inside = self.spread(Val(f"in_{axis.name}", (axis,)), order)
        unit = {"sum": "0.0", "count": "0.0", "any": "0.0", "all": "1.0", "prod": "1.0", "max": f"-{INFINITY}",
                "min": INFINITY}.get(expr.kind)  # fmt: skip
        if unit is None:
            raise EmitError(
                f"{expr.kind} over {axis.name}, inside of the fused loop: fold {axis.name} by sum, max or min"
            )
        if not (expr.kind == "sum" and vanishes(expr.body, axis)):
            text = f"tl.where({inside}, {text}, {unit})"
        val = reduced(expr.kind, text, order, axis, self.host)
        self.memo[expr] = self.name("r", val)
        return self.memo[expr]

    def dot(
        self, factors: list[sp.Expr], axis: Index, into: Val | None = None, masked: Val | None = None
    ) -> Val | None:
        """`tl.dot` of the factors that share `axis`, times the others; None where there are not two such groups.

        `masked`: the lanes of the left operand that count in a tile with masks; the others are set to 0.
        """
        if not self.roles.contracts:
            return None
        inside = [f for f in factors if axis in self.axes(f)]
        outside = [f for f in factors if f not in inside]
        wide = sorted({self.axes(f) for f in inside if len(self.axes(f)) == 2}, key=self.place)
        if (
            len(wide) != 2
            or wide[0] & wide[1] != {axis}
            or any(not self.axes(f) <= wide[0] and not self.axes(f) <= wide[1] for f in inside)
        ):
            return None
        if into is not None and outside:
            return None
        left = [f for f in inside if self.axes(f) <= wide[0]]
        right = [f for f in inside if f not in left]
        (row,), (column,) = wide[0] - {axis}, wide[1] - {axis}
        a, b = self.operand(left, (row, axis), masked), self.operand(right, (axis, column), None)
        if axis in self.roles.inner and not any(vanishes(sp.Mul(*g), axis) for g in (left, right)):
            a = f"tl.where(in_{axis.name}[None, :], {a}, 0.0).to(OPERAND)"
        carried = f", {into.text}" if into is not None else ""
        val = Val(f'tl.dot({a}, {b}{carried}, input_precision="ieee")', (row, column))
        return self.join("*", [val, self.value(sp.Mul(*outside))], PRODUCT) if outside else val

    def place(self, axes: Iterable[Index]) -> list[int]:
        return sorted(self.roles.tiles.index(a) for a in axes)

    def operand(self, factors: list[sp.Expr], order: tuple[Index, Index], masked: Val | None) -> str:
        """One side of a dot in the dtype of the inputs, transposed where its canonical order is the other one."""
        reads = len(factors) == 1 and isinstance(factors[0], Read)
        if reads and self.lookup(factors[0]) is None:
            scope = self
            while scope.outer is not None and not scope.varies(factors[0]):
                scope = scope.outer
            val = scope.load(factors[0])
        else:
            val = self.value(sp.Mul(*factors))
            if not val.text.isidentifier():
                val = self.name("a", val)
            if masked is not None:
                inside = self.spread(masked, val.axes)
                self.lines += ["if MASKED:", f"    {val.text} = tl.where({inside}, {val.text}, 0.0)"]
        text = f"{val.text}.to(OPERAND)"
        return text if val.axes == order else f"tl.trans({text})"


def vanishes(expr: sp.Expr, axis: Index) -> bool:
    """Whether a product is 0 in the padding of `axis`, because data in it is loaded as 0 there."""
    return any(isinstance(f, Read) and axis in f.indices for f in sp.Mul.make_args(expr))


def reduced(kind: str, text: str, axes: tuple[Index, ...], axis: Index, host: Host) -> Val:
    """A tile reduced over one of its axes."""
    place, rest = axes.index(axis), tuple(a for a in axes if a != axis)
    match kind:
        case "sum" | "count":
            return Val(f"tl.sum({text}, {place})", rest)
        case "max" | "any":
            return Val(f"tl.max({text}, {place})", rest)
        case "min" | "all":
            return Val(f"tl.min({text}, {place})", rest)
        case "prod":
            host.helpers.add("_multiply")
            return Val(f"tl.reduce({text}, {place}, _multiply)", rest)
    raise EmitError(f"no Triton text for a fold by {kind}: use sum, max, min, prod, any, all, count or argmax")
