"""Prints the eager reference: the spec as written, fold after fold over the whole axis, in torch.

It is the oracle of the emitted tests, so nothing of it comes from the derived form. Its meaning is that of
`refold.spec.evaluate`: a masked position whose element has no value is no element, and a fold over nothing is its unit.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra.stated import stated
from refold.emit.heads import FORMS
from refold.emit.host import scalar
from refold.emit.tensors import Plain, Tensors, place_of, reduced
from refold.emit.text import Val, negative
from refold.errors import EmitError
from refold.schedule.lower.host import is_host
from refold.schedule.lower.masks import masked_where
from refold.schedule.lower.names import Names
from refold.spec import Fold, Index, Read, Spec, Where
from refold.spec.arithmetic import quotient_of, signed
from refold.spec.heads import UNITS, is_integral

_INFINITE = {sp.oo: Val("math.inf"), -sp.oo: negative(Val("math.inf")), sp.nan: Val("math.nan")}


@dataclass(frozen=True, slots=True)
class Eager:
    """Writes expressions over tensors; `parts` are those that get a line and a name of their own."""

    tensors: Tensors
    parts: dict[sp.Expr, str]
    memo: dict[sp.Basic, Val] = field(default_factory=dict)

    # --- values ------------------------------------------------------------------------------------------------

    def value(self, expr: sp.Basic) -> Val:
        """An expression; of integers, as integers."""
        if expr not in self.memo:
            val = self.compute(expr)
            if expr in self.parts and not val.text.isidentifier():
                val = self.tensors.name(self.parts[expr], val)
            self.memo[expr] = val
        return self.memo[expr]

    def real(self, expr: sp.Basic) -> Val:
        """An expression among floats: integers take the dtype of the inputs."""
        val = self.value(expr)
        return val.method("to(dtype)") if expr.is_integer and not isinstance(val, Plain) else val

    def plain(self, expr: sp.Basic) -> Plain:
        """A scalar of sizes and arguments, or an infinity."""
        val = _INFINITE[expr] if expr in _INFINITE else scalar(expr)
        return Plain(val.text, (), val.binds)

    def like(self, expr: sp.Basic, arg: sp.Basic) -> Val:
        """An argument of an expression: an integer of one that is an integer, else a float."""
        return self.value(arg) if expr.is_integer else self.real(arg)

    def compute(self, expr: sp.Basic) -> Val:
        if expr in _INFINITE or is_host(expr):
            return self.plain(expr)
        match expr:
            case Index():
                return Val(expr.name, (expr,))
            case sp.Add():
                return self.add(expr)
            case sp.Mul():
                return self.product([*expr.args], expr)
            case sp.Pow():
                return self.power(expr)
            case sp.Max() | sp.Min():
                return self.extremum(expr)
            case Where():
                kind = "torch.int64" if expr.is_integer else "dtype"
                branches = [self.like(expr, a) for a in expr.args[1:]]
                return self.tensors.apply(
                    f"rt.where({{}}, {{}}, {{}}, {kind}, device)", self.condition(expr.args[0]), *branches
                )
            case Read():
                return self.read(expr)
            case Fold():
                return self.fold(expr)
            case sp.floor() | sp.Mod():
                return self.division(expr)
        if type(expr) in FORMS:
            return self.tensors.apply(FORMS[type(expr)].torch.replace("{x}", "{}"), self.like(expr, expr.args[0]))
        raise EmitError(f"no torch text for {expr}: write it with the heads that `refold.spec` knows")

    def add(self, expr: sp.Add) -> Val:
        (_, first), *others = signed(expr.args)
        result = self.like(expr, first)
        for sign, term in others:
            result = self.tensors.join(sign, result, self.like(expr, term))
        return result

    def product(self, factors: list[sp.Expr], whole: sp.Basic) -> Val:
        """A product; negative powers divide. `whole` says whether it is one of integers."""
        if factors[0] == -1 and len(factors) > 1:
            return negative(self.product(factors[1:], whole))
        below = [f for f in factors if isinstance(f, sp.Pow) and f.exp.is_negative]
        above = sorted((f for f in factors if f not in below), key=lambda f: bool(f.is_number))
        result = self.tensors.join("*", *(self.like(whole, f) for f in above)) if above else Plain("1.0")
        for factor in below:
            result = self.tensors.join("/", result, self.real(1 / factor))
        return result

    def power(self, expr: sp.Pow) -> Val:
        if expr.exp.is_negative:
            return self.product([expr], expr)
        base = self.like(expr, expr.base)
        if expr.exp == sp.Rational(1, 2):
            return self.tensors.apply("torch.sqrt({})", base)
        return self.tensors.join("**", base, self.like(expr, expr.exp))

    def extremum(self, expr: sp.Max | sp.Min) -> Val:
        larger = isinstance(expr, sp.Max)
        vals = sorted((self.like(expr, a) for a in expr.args), key=lambda v: isinstance(v, Plain))
        result = vals[0]
        for val in vals[1:]:
            if isinstance(val, Plain):
                result = result.method(f"clamp({'min' if larger else 'max'}={val.text})")
            else:
                result = self.tensors.apply(f"torch.{'maximum' if larger else 'minimum'}({{}}, {{}})", result, val)
        return result

    def division(self, expr: sp.floor | sp.Mod) -> Val:
        """`//` and `%` round down, of integers and of floats."""
        rest = isinstance(expr, sp.Mod)
        above, below = expr.args if rest else quotient_of(expr)
        if is_integral(above) and is_integral(below):
            return self.tensors.join("%" if rest else "//", self.value(above), self.value(below))
        if rest:
            return self.tensors.join("%", self.real(above), self.real(below))
        return self.tensors.apply("torch.floor({})", self.real(expr.args[0]))

    def condition(self, cond: sp.Basic) -> Val:
        """A condition, as a tensor of truth values or one of Python's."""
        if cond in self.memo:
            return self.memo[cond]
        if is_host(cond):
            return self.plain(cond)
        match cond:
            case sp.Ne(lhs=Fold(kind="all", body=Where(args=(inner, *_))) as every, rhs=sp.S.Zero):
                return self.everywhere(inner, every.axis)
            case sp.And() | sp.Or():
                return self.tensors.join(
                    "&" if isinstance(cond, sp.And) else "|", *(self.condition(a) for a in cond.args)
                )
            case sp.Not():
                return self.condition(sp.to_nnf(cond, simplify=False))
            case Relational():
                return self.tensors.join(cond.rel_op, self.value(cond.lhs), self.value(cond.rhs))
        raise EmitError(f"no torch text for the condition {cond}: compare axes, sizes, scalars or integer tensors")

    def everywhere(self, cond: sp.Basic, axis: Index) -> Val:
        """Whether a condition holds at all positions of an axis."""
        val = self.condition(cond)
        place, rest = place_of(val, axis)
        return Val(val.method(f"all({place})").text, rest)

    def read(self, expr: Read) -> Val:
        """A tensor with its dimensions in the order of the axes, or a gather."""
        name = expr.name
        if all(isinstance(x, Index) for x in expr.indices) and len(set(expr.indices)) == len(expr.indices):
            axes = tuple(a for a in self.tensors.order if a in expr.indices)
            if axes == expr.indices:
                return Val(name, axes)
            places = tuple(expr.indices.index(a) - len(axes) for a in axes)
            return self.tensors.name(name, Val(f"{name}.movedim({places}, {tuple(range(-len(axes), 0))})", axes))
        vals = [self.value(x) for x in expr.indices]
        axes = self.tensors.union(*vals)
        indices = ", ".join(self.tensors.spread(v, axes).text for v in vals)
        return self.tensors.name(name, Val(f"rt.take({name}, {len(axes)}, {indices})", axes))

    # --- folds -------------------------------------------------------------------------------------------------

    def fold(self, expr: Fold) -> Val:
        hidden = hidden_where(expr.body)
        if expr.kind == "sum" and (groups := self.groups(expr, hidden)) is not None:
            return self.contraction(expr.axis, groups, hidden)
        body = self.like(expr, expr.body) if expr.kind != "argmax" else self.real(expr.body)
        return reduced(expr.kind, self.kept(body, hidden, expr.kind), expr.axis)

    def kept(self, body: Val, hidden: sp.Basic, kind: str) -> Val:
        """A body in which the masked positions without a value count for nothing."""
        if hidden is sp.false:
            return body
        if hidden not in self.memo:
            self.memo[hidden] = self.tensors.name("hidden", self.condition(hidden))
        unit = self.value(-sp.oo if kind == "argmax" else UNITS[kind])
        wish = f"{body.text}_kept" if body.text.isidentifier() else "kept"
        return self.tensors.once(wish, self.tensors.apply("rt.kept({}, {}, {})", body, self.memo[hidden], unit))

    def groups(self, expr: Fold, hidden: sp.Basic) -> list[list[sp.Expr]] | None:
        """The factors of a sum's body by the axes they have, where their product has more axes than each of them.

        None where the product may be written out: no axis more, or a mask that makes factors of several groups
        infinite, whose product alone says what has no value.
        """
        found: dict[tuple[Index, ...], list[sp.Expr]] = {}
        factors = sp.Mul.make_args(expr.body)
        axes = {f: self.real(f).axes for f in factors}
        largest = sorted(dict.fromkeys(axes.values()), key=len, reverse=True)  # a set has no order
        for f in factors:
            home = next(a for a in largest if {*axes[f]} <= {*a})
            found.setdefault(home, []).append(f)
        masks = [f for group in found.values() for f in group[:1] if hidden_where(sp.Mul(*group)) is not sp.false]
        return [*found.values()] if len(found) > 1 and len(masks) < 2 else None

    def contraction(self, axis: Index, groups: list[list[sp.Expr]], hidden: sp.Basic) -> Val:
        vals = []
        for group in groups:
            val = self.product(group, sp.nan)
            masked = hidden_where(sp.Mul(*group)) is not sp.false
            vals.append(self.kept(val, hidden, "sum") if masked else val)
        axes = tuple(a for a in self.tensors.union(*vals) if a != axis)
        letters = {a: chr(ord("a") + n) for n, a in enumerate(self.tensors.order)}
        sides = ",".join("..." + "".join(letters[a] for a in p.axes) for p in vals)
        target = "..." + "".join(letters[a] for a in axes)
        return Val(f'torch.einsum("{sides}->{target}", {", ".join(p.text for p in vals)})', axes)


def hidden_where(body: sp.Basic) -> sp.Basic:
    """Where a mask makes a part of a fold's body infinite: positions that, if undefined, are no elements."""
    if isinstance(body, Where) and all(branch in (sp.oo, -sp.oo) or not branch.has(Where) for branch in body.args[1:]):
        return sp.false  # the body is infinite there, which is a value
    return masked_where(body)


def order_of(spec: Spec) -> tuple[Index, ...]:
    """An order of the axes in which tensors and outputs have theirs, as far as they agree on one."""
    reads = {n for o in spec.outputs for n in sp.preorder_traversal(o.expr) if isinstance(n, Read)}
    rows = [t.axes for t in spec.tensors] + [o.axes for o in spec.outputs]
    rows += sorted((tuple(x for x in r.indices if isinstance(x, Index)) for r in reads), key=str)
    after: dict[Index, set[Index]] = {a: {a} for a in spec.axes}  # an axis, and those that must come later
    for row in rows:
        for one, other in itertools.pairwise(row):
            if one not in after[other]:
                for later in after.values():
                    later |= after[other] if one in later else set()
    return tuple(sorted(spec.axes, key=lambda a: (-len(after[a]), a.name)))


def reference_lines(spec: Spec, users: dict[str, str]) -> list[str]:
    """The body of `reference`: a line for every part of the spec that has a name in its text, then the outputs.

    The outputs have the names that the user gave them.
    """
    taken = {t.name for t in spec.tensors} | {a.name for a in spec.axes} | {p.name for p in spec.params}
    taken |= {"size", "dtype", "device", "lead", "inputs", "math", "torch", "out", "rt", "TABLES"}
    parts = {p.expr: p.symbol.name for p in spec.parts()}
    tensors = Tensors(order_of(spec), Names(taken))
    eager = Eager(tensors, parts)
    for o in stated(spec).outputs:
        whole = is_integral(o.expr)
        val = eager.like(o.expr, o.expr)
        axes = tuple(a for a in tensors.order if a in o.axes)
        text = tensors.spread(val, axes).text
        if axes != o.axes:
            places = tuple(axes.index(a) - len(axes) for a in o.axes)
            text = f"({text}).movedim({places}, {tuple(range(-len(axes), 0))})"
        lengths = "".join(f'size["{a.name}"], ' for a in o.axes).rstrip(" ")
        shape = f"lead + ({lengths})" if o.axes else "lead"
        kind = "torch.int64" if whole else "dtype"
        tensors.lines.append(f'out["{users.get(o.name, o.name)}"] = rt.full({text}, {shape}, {kind}, device)')
    return tensors.lines


def is_whole(spec: Spec, name: str) -> bool:
    """Whether an output is an integer."""
    return is_integral(next(o for o in spec.outputs if o.name == name).expr)
