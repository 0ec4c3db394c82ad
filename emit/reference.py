"""Prints the eager reference: the plan as torch reductions over the whole axis, in the dtype of its inputs."""

from __future__ import annotations

from dataclasses import dataclass, field

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra import Accumulator, Plan
from refold.emit.heads import FORMS
from refold.emit.host import host
from refold.emit.lower import ATOM, COMPARISON, PRODUCT, SUM, Val, is_host
from refold.emit.source import Names
from refold.errors import EmitError
from refold.spec import Fold, Index, Read, Where

_REDUCE = {"sum": "_sum", "count": "_sum", "max": "_max", "min": "_min", "prod": "_prod", "any": "_max", "all": "_min"}


@dataclass(slots=True)
class Torch:
    """Text of expressions over tensors whose last dimensions are axes in the order of the spec, after leading ones."""

    order: tuple[Index, ...]
    names: Names
    lines: list[str] = field(default_factory=list)
    memo: dict[sp.Basic, Val] = field(default_factory=dict)

    def union(self, *values: Val) -> tuple[Index, ...]:
        found = {a for v in values for a in v.axes}
        return tuple(a for a in self.order if a in found)

    def spread(self, val: Val, axes: tuple[Index, ...], level: int = ATOM, scalar: bool = False) -> str:
        if val.axes == axes or scalar:
            return val.at(level)
        return f"{val.at(ATOM)}[..., {', '.join(':' if a in val.axes else 'None' for a in axes)}]"

    def text(self, val: Val, axes: tuple[Index, ...], level: int = ATOM) -> str:
        plain = not val.axes and (
            val.text[0] in "-0123456789(" or val.text.startswith(("float(", "math.", "_ratio", "size["))
        )
        return self.spread(val, axes, level, plain or val.text in self.scalars)

    scalars: set[str] = field(default_factory=set)

    def join(self, sign: str, values: list[Val], level: int) -> Val:
        axes = self.union(*values)
        return Val(f" {sign} ".join(self.text(v, axes, level) for v in values), axes, level)

    def apply(self, form: str, *values: Val) -> Val:
        axes = self.union(*values)
        return Val(form.format(*(self.text(v, axes, COMPARISON) for v in values)), axes)

    def name(self, wish: str, val: Val) -> Val:
        name = self.names.fresh(wish)
        self.lines.append(f"{name} = {val.text}")
        return Val(name, val.axes)

    def value(self, expr: sp.Basic) -> Val:
        if expr in self.memo:
            return self.memo[expr]
        if expr in (sp.oo, -sp.oo, sp.nan):
            return Val({sp.oo: "math.inf", -sp.oo: "-math.inf", sp.nan: "math.nan"}[expr], (), ATOM)
        if is_host(expr):
            text = host(expr)
            self.scalars.add(text)
            return Val(text)
        match expr:
            case Index():
                return Val(expr.name, (expr,))
            case sp.Add():
                value = self.value if expr.is_integer else self.real
                terms = sorted(expr.args, key=lambda t: (bool(t.could_extract_minus_sign()), t.is_number))
                result = value(terms[0])
                for t in terms[1:]:
                    negative = bool(t.could_extract_minus_sign())
                    right = value(-t if negative else t)
                    axes = self.union(result, right)
                    level = PRODUCT if negative else SUM
                    text = f"{self.text(result, axes, SUM)} {'-' if negative else '+'} {self.text(right, axes, level)}"
                    result = Val(text, axes, SUM)
                return result
            case sp.Mul():
                return self.multiply(expr)
            case sp.Pow():
                if expr.exp.is_negative:
                    return Val(f"1.0 / {self.value(1 / expr).at(ATOM)}", self.value(1 / expr).axes, PRODUCT)
                base = self.value(expr.base)
                if expr.exp == sp.Rational(1, 2):
                    return Val(f"torch.sqrt({base.text})", base.axes)
                return self.join("**", [Val(base.at(ATOM), base.axes), self.value(expr.exp)], PRODUCT)
            case sp.Max() | sp.Min():
                side = "min" if isinstance(expr, sp.Max) else "max"
                values = sorted((self.value(a) for a in expr.args), key=lambda v: v.text in self.scalars)
                result = values[0]
                for v in values[1:]:
                    if v.text in self.scalars:
                        result = Val(f"{result.at(ATOM)}.clamp({side}={v.text})", result.axes)
                    else:
                        result = self.apply(f"torch.{type(expr).__name__.lower()}imum({{}}, {{}})", result, v)
                return result
            case Where():
                cond = self.condition(expr.args[0])
                return self.where(cond, self.value(expr.args[1]), self.value(expr.args[2]))
            case Read():
                return self.read(expr)
            case Fold():
                return self.fold(expr)
            case sp.floor() | sp.Mod():
                above, below = sp.fraction(sp.together(expr.args[0])) if isinstance(expr, sp.floor) else expr.args
                return self.join(
                    "//" if isinstance(expr, sp.floor) else "%", [self.value(above), self.value(below)], PRODUCT
                )
        if type(expr) in FORMS:
            argument = self.value(expr.args[0])
            return Val(FORMS[type(expr)].torch.format(x=argument.text), argument.axes)
        raise EmitError(f"no torch text for {expr}: write it with the heads that `refold.spec` knows")

    def where(self, cond: Val, then: Val, other: Val) -> Val:
        if not cond.axes and cond.text in self.scalars:
            return self.apply("({} if {} else {})", then, cond, other)
        return self.apply("_where({}, {}, {})", cond, then, other)

    def real(self, expr: sp.Expr) -> Val:
        """A value among floats: indices and integer data take the dtype of the inputs."""
        val = self.value(expr)
        whole = expr.is_integer and not is_host(expr) and expr.has(Index, Read)
        return Val(f"{val.at(ATOM)}.to(dtype)", val.axes) if whole else val

    def multiply(self, expr: sp.Mul) -> Val:
        coefficient, rest = expr.as_coeff_Mul()
        if coefficient == -1:
            val = self.value(rest)
            return Val(f"-{val.at(PRODUCT)}", val.axes, SUM)
        top = [f for f in expr.args if not (isinstance(f, sp.Pow) and f.exp.is_negative and not is_host(f))]
        bottom = [1 / f for f in expr.args if f not in top]
        still = sp.Mul(*(f for f in top if is_host(f)))
        factors = [f for f in top if not is_host(f)] + ([still] if still != 1 else [])
        value = self.value if expr.is_integer else self.real
        val = self.join("*", [value(f) for f in factors], PRODUCT) if factors else Val("1.0")
        for f in bottom:
            under = self.value(f)
            axes = self.union(val, under)
            val = Val(f"{self.text(val, axes, PRODUCT)} / {self.text(under, axes, ATOM)}", axes, PRODUCT)
        return val

    def condition(self, cond: sp.Basic) -> Val:
        if is_host(cond):
            text = host(cond)
            self.scalars.add(text)
            return Val(text)
        match cond:
            case sp.And() | sp.Or():
                parts = [self.condition(a) for a in cond.args]
                return self.join(
                    "&" if isinstance(cond, sp.And) else "|", [Val(f"({p.text})", p.axes) for p in parts], COMPARISON
                )
            case sp.Not():
                return self.condition(sp.to_nnf(cond, simplify=False))
            case Relational():
                return self.join(cond.rel_op, [self.value(cond.lhs), self.value(cond.rhs)], SUM)
        raise EmitError(f"no torch text for the condition {cond}: compare axes, sizes, scalars or integer tensors")

    def read(self, expr: Read) -> Val:
        """A tensor with its dimensions in the order of the axes, or a gather."""
        name = expr.name
        if all(isinstance(x, Index) for x in expr.indices) and len(set(expr.indices)) == len(expr.indices):
            axes = tuple(a for a in self.order if a in expr.indices)
            if axes == expr.indices or len(axes) < 2:
                return Val(name, axes)
            places = [expr.indices.index(a) - len(axes) for a in axes]
            moved = f"{name}.movedim({tuple(places)}, {tuple(range(-len(axes), 0))})"
            self.memo[expr] = self.name(name, Val(moved, axes))
            return self.memo[expr]
        values = [self.value(x) for x in expr.indices]
        axes = self.union(*values)
        indices = ", ".join(self.text(v, axes) for v in values)
        self.memo[expr] = self.name(name, Val(f"_take({name}, {len(axes)}, {indices})", axes))
        return self.memo[expr]

    def fold(self, expr: Fold) -> Val:
        val = self.reduce(expr.kind, expr.body, expr.axis)
        self.memo[expr] = val if val.text.isidentifier() else self.name("s", val)
        return self.memo[expr]

    def reduce(self, kind: str, body: sp.Expr, axis: Index) -> Val:
        """A reduction; a sum of products of tensors that do not share all of their axes is an einsum."""
        if kind == "sum":
            still, moving = (sp.Mul(*part) for part in self.parted(body, axis))
            if still != 1 and moving != 1:
                total = sp.Dummy("total")
                self.memo[total] = self.reduce(kind, moving, axis)
                return self.value(total * still)
            values = [self.value(f) for f in sp.Mul.make_args(body)]
            if len({v.axes for v in values}) > 1 and all(v.axes for v in values):
                axes = tuple(a for a in self.union(*values) if a != axis)
                letters = {a: chr(ord("a") + n) for n, a in enumerate(self.order)}
                sides = ", ".join("..." + "".join(letters[a] for a in v.axes) for v in values).replace(" ", "")
                target = "..." + "".join(letters[a] for a in axes)
                return Val(f'torch.einsum("{sides}->{target}", {", ".join(v.text for v in values)})', axes)
        val = self.value(body)
        if axis not in val.axes:
            ones = Val(f"torch.ones_like({axis.name}, dtype=dtype)", (axis,))
            val = self.join("*", [val, ones], PRODUCT) if body != 1 else ones
        place = val.axes.index(axis) - len(val.axes)
        return Val(f"{_REDUCE[kind]}({val.text}, {place})", tuple(a for a in val.axes if a != axis))

    def parted(self, body: sp.Expr, axis: Index) -> tuple[list[sp.Expr], list[sp.Expr]]:
        """The factors that do not vary along an axis, which leave its sum, and those that do."""
        factors = sp.Mul.make_args(body)
        still = [f for f in factors if is_host(f) or axis not in self.value(f).axes]
        return still, [f for f in factors if f not in still]

    def argmax(self, key: sp.Expr, axis: Index) -> Val:
        val = self.value(key)
        place = val.axes.index(axis) - len(val.axes)
        return Val(f"_argmax({val.text}, {place})", tuple(a for a in val.axes if a != axis))


def reference_lines(plan: Plan) -> list[str]:
    """The body of `reference`: every accumulator over the whole axis at its final anchors, then the outputs."""
    spec = plan.spec
    taken = {t.name for t in spec.tensors} | {a.name for a in spec.axes} | {p.name for p in spec.params}
    taken |= {"size", "dtype", "math", "torch", "out"}
    t = Torch(spec.axes, Names(taken))
    products = _factors_only(plan)
    for e in plan.elements:
        if e.symbol not in products:
            val = t.value(e.expr)
            t.memo[e.symbol] = val if val.text.isidentifier() else t.name(str(e.symbol), val)
            t.memo[e.expr] = t.memo[e.symbol]
    done: set[sp.Symbol] = set()
    for a in plan.accumulators:
        t.memo[a.symbol] = t.name(str(a.symbol), _accumulated(t, plan, a, products))
        done.add(a.symbol)
        for anchor in plan.anchors:
            states = {s for s in anchor.expr.free_symbols if any(b.symbol == s for b in plan.accumulators)}
            if a.symbol in states and states <= done and anchor.fresh not in t.memo:
                val = t.value(anchor.expr)
                if anchor.regular is not sp.true:
                    val = t.where(t.condition(anchor.regular), val, t.value(anchor.default))
                t.memo[anchor.fresh] = val if val.text.isidentifier() else t.name(f"{anchor.stale}_hat", val)
    for f in plan.finish:
        val = t.value(f.expr)
        if f.guard is not sp.true:
            val = t.where(t.condition(f.guard), val, t.value(f.empty))
        axes = tuple(a for a in t.order if a in f.axes)
        val = Val(t.text(val, axes, COMPARISON), axes) if val.axes != axes else val
        if axes != f.axes:
            places = tuple(axes.index(a) - len(axes) for a in f.axes)
            val = Val(f"({val.text}).movedim({places}, {tuple(range(-len(axes), 0))})", f.axes)
        kind = "torch.int64" if is_whole(plan, f.name) else "dtype"
        lead = "lead" if not f.axes else f"lead + ({', '.join(f'size[{a.name!r}]' for a in f.axes)},)"
        t.lines.append(f'out["{f.name}"] = _full({val.text}, {lead}, {kind}, device)'.replace("'", '"'))
    return t.lines


def _factors_only(plan: Plan) -> dict[sp.Symbol, sp.Expr]:
    """Elements that are products and occur as factors of sums alone: their factors go to an einsum one by one."""
    found = {}
    for e in plan.elements:
        users = [a for a in plan.accumulators if e.symbol in a.element.free_symbols]
        rests = [[f for f in sp.Mul.make_args(a.element) if f != e.symbol] for a in users]
        alone = all(e.symbol not in f.free_symbols for rest in rests for f in rest)
        if e.expr == plan.axis or (isinstance(e.expr, sp.Mul) and alone and all(a.reducer == "sum" for a in users)):
            found[e.symbol] = e.expr
    return found


def is_whole(plan: Plan, name: str) -> bool:
    """Whether an output is an integer."""
    return bool(next(o for o in plan.spec.outputs if o.name == name).expr.is_integer)


def _accumulated(t: Torch, plan: Plan, a: Accumulator, products: dict[sp.Symbol, sp.Expr]) -> Val:
    if a.reducer == "argmax":
        key = next(b for b in plan.accumulators if b.symbol == a.key)
        return t.argmax(key.element.xreplace(products), plan.axis)
    factors = [products.get(f, f) for f in sp.Mul.make_args(a.element)]
    element = sp.Mul(*factors) if len(factors) > 1 else factors[0].xreplace(products)
    infinite = [e.symbol for e in plan.elements if e.infinite and e.symbol in element.free_symbols]
    outside = {s for f in sp.Mul.make_args(element) if not isinstance(f, sp.exp) for s in f.free_symbols}
    if a.reducer == "sum" and any(s in outside for s in infinite):
        # Over masked positions 0 * oo is 0.
        symbol = next(s for s in infinite if s in outside)
        val = t.apply("_where(torch.isinf({}), 0.0, {})", t.value(symbol), t.value(element))
        place = val.axes.index(plan.axis) - len(val.axes)
        return Val(f"_sum({val.text}, {place})", tuple(x for x in val.axes if x != plan.axis))
    return t.reduce(a.reducer, element, plan.axis)
