"""The three laws of a plan as Triton functions: one step over a tile, the merge of two states, what is written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import sympy as sp

from refold.algebra import Accumulator, Anchor, Element, Finish, Plan, State
from refold.algebra.base2 import exp2
from refold.algebra.merge import mean_of
from refold.algebra.roles import Roles
from refold.emit.lower import INFINITY, PRODUCT, SUM, Scope, Val, is_host, reduced
from refold.emit.masks import split_condition
from refold.emit.source import Function
from refold.spec import Index, Read, Where

NOWHERE = "2147483647"  # the position of an argmax over nothing
UNITS = {"sum": "0.0", "count": "0.0", "any": "0.0", "all": "1.0", "prod": "1.0", "max": f"-{INFINITY}",
         "min": INFINITY, "argmax": NOWHERE}  # fmt: skip


def combine(reducer: str) -> str:
    """The two-place form of a reducer."""
    larger, smaller = "tl.maximum({}, {})", "tl.minimum({}, {})"
    plain = {"sum": "{} + {}", "count": "{} + {}", "prod": "{} * {}"}
    return (plain | {"max": larger, "any": larger, "min": smaller, "all": smaller})[reducer]


def tile_axes(a: Accumulator, roles: Roles) -> tuple[Index, ...]:
    """The axes of an accumulator that are in its tile; batch axes are one value a program."""
    return tuple(x for x in roles.tiles if x in a.axes)


@dataclass(slots=True)
class Update:
    """What the step and the merge share: the accumulators in order, each moved to the new anchors and joined."""

    plan: Plan
    scope: Scope
    fresh: dict[sp.Symbol, sp.Symbol] = field(default_factory=dict)
    names: dict[State, str] = field(default_factory=dict)

    def finished(self, a: Accumulator, val: Val) -> None:
        """Names the new value of an accumulator and every fresh anchor that is known by now."""
        axes = tile_axes(a, self.scope.roles)
        if val.axes != axes:
            missing = [f"BLOCK_{'M' if x == self.scope.roles.rows else x.name}" for x in axes]
            val = Val(f"tl.zeros([{', '.join(missing)}], tl.float32) + {self.scope.spread(val, axes)}", axes, SUM)
        named = self.scope.name(f"{a.symbol}_new", val)
        new = sp.Symbol(f"{a.symbol}_new", extended_real=True)
        self.scope.bind(new, named)
        self.fresh[a.symbol] = new
        self.names[a.symbol] = named.text
        for anchor in self.plan.anchors:
            states = {s for s in anchor.expr.free_symbols if isinstance(s, State) and self.is_state(s)}
            if a.symbol in states and states <= set(self.fresh):
                val = settled(self.scope, anchor, self.fresh, f"{anchor.stale}_hat")
                self.scope.bind(anchor.fresh, val)

    def is_state(self, symbol: State) -> bool:
        return any(a.symbol == symbol for a in self.plan.accumulators)

    def moved(self, a: Accumulator, part: dict[sp.Symbol, sp.Symbol]) -> sp.Expr:
        """The accumulator re-anchored, over the states of `part`: raw anchors in exponents, settled ones elsewhere."""
        anchors = [self.plan.anchor(s) for s in a.anchors]
        raw = {x.stale: x.expr.xreplace(part) for x in anchors}
        calm = {x.stale: self.calm(x, part) for x in anchors}

        def visit(expr: sp.Expr, exponent: bool) -> sp.Expr:
            if isinstance(expr, sp.Symbol):
                return (raw if exponent else calm).get(expr, part.get(expr, expr))
            if not expr.args:
                return expr
            inner = exponent or isinstance(expr, sp.exp | exp2)
            return expr.func(*(visit(x, inner) for x in expr.args))

        return visit(a.moved, False)

    def calm(self, anchor: Anchor, part: dict[sp.Symbol, sp.Symbol]) -> sp.Expr:
        """A stale anchor outside of an exponent: its default where it is not regular."""
        if anchor.regular is sp.true:
            return anchor.expr.xreplace(part)
        wish = f"{anchor.expr.xreplace(part) if anchor.expr.is_Symbol else anchor.stale}_was"
        symbol = sp.Symbol(f"{wish}!", extended_real=True)
        self.scope.bound.add(symbol)
        self.scope.late[symbol] = lambda: settled(self.scope, anchor, part, wish)
        return symbol


def settled(scope: Scope, anchor: Anchor, states: dict[sp.Symbol, sp.Symbol], wish: str) -> Val:
    """`where(regular, expr, default)` over the states given, without a NaN on either side."""
    expr, regular = anchor.expr.xreplace(states), anchor.regular.xreplace(states)
    if regular is sp.true:
        val = scope.value(expr)
        return val if val.text.isidentifier() else scope.name(wish, val)
    if expr.is_Symbol:
        return scope.name(wish, scope.apply("tl.where({}, {}, {})", scope.condition(regular), scope.value(expr),
                                            scope.value(anchor.default)))  # fmt: skip
    with_guard = guarded(scope, regular)
    val = with_guard.value(expr)
    return scope.name(
        wish, scope.apply("tl.where({}, {}, {})", scope.condition(regular), val, scope.value(anchor.default))
    )


def guarded(scope: Scope, guard: sp.Basic) -> Scope:
    """A scope writing to the same lines in which what a guard excludes has a harmless value instead."""
    inner = replace(scope, memo=dict(scope.memo))
    for atom in sp.ordered(sp.And.make_args(guard)):
        if isinstance(atom, sp.Ne | sp.Gt | sp.Lt) and atom.rhs in (0, sp.oo, -sp.oo):
            harmless = "1.0" if atom.rhs == 0 else "0.0"
            val = scope.apply("tl.where({}, {}, {})", scope.condition(atom), scope.value(atom.lhs), Val(harmless))
            wish = f"{atom.lhs}_safe" if atom.lhs.is_Symbol else "safe"
            inner.memo[atom.lhs] = scope.name(wish.replace("_new", ""), val)
    return inner


@dataclass(slots=True)
class Step:
    """Writes the body of one tile."""

    plan: Plan
    scope: Scope
    update: Update
    # What stands for a key beyond the end of the axis, or masked: elements that are -oo (oo) there.
    filled: dict[sp.Symbol, sp.Expr] = field(default_factory=dict)
    tops: dict[State, tuple[Val, Val]] = field(default_factory=dict)
    # Keys of extrema that are `core * factor`, the factor positive: the extremum of the core is taken, and then scaled.
    scaled: dict[sp.Symbol, tuple[Val, Val]] = field(default_factory=dict)

    @property
    def fold(self) -> Index:
        return self.plan.axis

    @property
    def inside(self) -> Val:
        return Val(f"in_{self.fold.name}", (self.fold,))

    def element(self, e: Element) -> None:
        """Loads or computes an element, with its masks."""
        scope, roles = self.scope, self.scope.roles
        keys = self.keys(e)
        core, masks, other = e.expr, [], None
        if isinstance(e.expr, Where):
            cond, then, other = e.expr.args
            seen, rest = split_condition(cond, roles)
            inner = Where(sp.And(*rest), then, other) if rest else then
            if {a for x in seen for a in scope.axes(x)} <= scope.axes(inner) and self.fold in scope.axes(inner):
                core, masks = inner, [scope.condition(x) for x in seen]
        if e.expr == self.fold:
            return
        factor, core = self.factored(e, core, keys)
        if keys == {other} or (len(keys) == 1 and not masks):
            (other,) = keys
            self.filled[e.symbol] = other
            masks = [self.inside, *masks]
        elif len(keys) == 1:
            self.filled[e.symbol] = next(iter(keys))
        seen_before = scope.lookup(core) is not None
        val = scope.value(core)
        if masks and (isinstance(core, Read) or factor is not None) and not seen_before:
            scope.memo.pop(core)  # what was read is overwritten where it is masked
        elif masks or not val.text.isidentifier():
            val = scope.name(str(e.symbol), val)
        if masks:
            keep = scope.join(
                "&", [Val(f"({m.text})" if m.text != self.inside.text else m.text, m.axes) for m in masks], SUM
            )
            filled = scope.apply("tl.where({}, {}, {})", keep, val, scope.value(other))
            scope.lines += ["if MASKED:", f"    {val.text} = {filled.text}"]
        if self.filled.get(e.symbol) not in (None, other):
            filled = scope.apply("tl.where({}, {}, {})", self.inside, val, scope.value(self.filled[e.symbol]))
            scope.lines += ["if MASKED:", f"    {val.text} = {filled.text}"]
        if factor is not None:
            self.scaled[e.symbol] = val, scope.value(factor)
            val = scope.join("*", [*self.scaled[e.symbol]], PRODUCT)
        scope.bind(e.symbol, val)
        scope.bind(e.expr, val)

    def factored(self, e: Element, core: sp.Expr, keys: set[sp.Expr]) -> tuple[sp.Expr | None, sp.Expr]:
        """The positive factor of a score that is the key of a maximum alone, and what it multiplies.

        max(c x) = c max(x) for c > 0, bit by bit as rounding is monotone, so that scaling waits for the difference in
        the exponent, where a product and a sum are one instruction. What is masked is infinite, and stays so.
        """
        lone = [a for a in self.plan.accumulators if a.element == e.symbol and a.reducer in ("max", "min")]
        positions = {a.key for a in self.plan.accumulators if a.key is not None}
        if not lone or any(a.symbol in positions for a in lone) or len(keys) != 1 or not keys <= {sp.oo, -sp.oo}:
            return None, core
        factors = sp.Mul.make_args(core)
        host = [f for f in factors if is_host(f)]
        rest = sp.Mul(*(f for f in factors if f not in host))
        factor = sp.Mul(*host)
        if factor == 1 or not factor.is_positive or not self.scope.varies(rest):
            return None, core
        return factor, rest

    def keys(self, e: Element) -> set[sp.Expr]:
        """The units of the extrema that an element is a key of: what it is where it does not count."""
        extrema = [a for a in self.plan.accumulators if a.reducer in ("max", "min")]
        return {a.unit for a in extrema if e.symbol in sp.Add.make_args(a.element)} | (
            {-sp.oo} if e.infinite < 0 else set()
        )

    def need(self, expr: sp.Expr) -> None:
        for e in self.plan.elements:
            if e.symbol in expr.free_symbols and e.symbol not in self.scope.memo:
                self.element(e)

    def contribute(self, a: Accumulator, into: sp.Expr) -> Val:
        """The new value of an accumulator: `into`, which is the moved one, joined with the tile."""
        scope, fold = self.scope, self.fold
        if a.reducer == "argmax":
            return self.position(a)
        mask, always = self.mask(a)
        if a.reducer == "sum":
            products = {
                e.symbol: e.expr for e in self.plan.elements if isinstance(e.expr, sp.Mul | Read) and not self.keys(e)
            }
            factors = [g for f in sp.Mul.make_args(a.element) for g in sp.Mul.make_args(products.get(f, f))]
            self.need(sp.Mul(*factors, evaluate=False))
            if not always:
                base = scope.value(into)
                total = scope.dot(factors, fold, base, mask)
                if total is not None:
                    return total
        self.need(a.element)
        if a.element in self.scaled and a.reducer in ("max", "min") and mask is None:
            core, factor = self.scaled[a.element]
            top = reduced(a.reducer, core.text, core.axes, fold, scope.host)
            return joined(scope, a.reducer, scope.value(into), scope.join("*", [top, factor], PRODUCT))
        text = self.tile(a.element, mask, UNITS[a.reducer], always)
        val = reduced(a.reducer, text.text, text.axes, fold, scope.host)
        if any(b.key == a.symbol for b in self.plan.accumulators):
            val = scope.name(f"{a.symbol}_tile", val)
            self.tops[a.symbol] = (text, val)
        return joined(scope, a.reducer, scope.value(into), val)

    def mask(self, a: Accumulator) -> tuple[Val | None, bool]:
        """The lanes that count, None where the others contribute the unit by themselves; whether always to be asked."""
        scope = self.scope
        self.need(
            sp.Add(*(e.symbol for e in self.plan.elements if e.symbol in a.element.free_symbols and self.keys(e)))
        )
        if a.reducer in ("max", "min"):
            terms = sp.Add.make_args(a.element)
            return (None, False) if any(self.filled.get(t) == a.unit for t in terms) else (self.inside, False)
        factors = sp.Mul.make_args(a.element)
        exponents = [f.args[0] for f in factors if isinstance(f, sp.exp | exp2)]
        others = {s for f in factors if not isinstance(f, sp.exp | exp2) for s in f.free_symbols}
        infinite = [e.symbol for e in self.plan.elements if e.symbol in others and self.reads_filled(e)]
        if infinite:
            if all(not e.infinite for e in self.plan.elements if e.symbol in infinite):
                return self.inside, False
            # Over masked lanes 0 * oo is 0.
            self.need(infinite[0])
            return scope.apply("tl.abs({}) < " + INFINITY, scope.value(infinite[0])), True
        gone = any(self.filled.get(t) == -sp.oo for x in exponents for t in sp.Add.make_args(x))
        return (None, False) if gone and a.reducer == "sum" else (self.inside, False)

    def reads_filled(self, e: Element) -> bool:
        """Whether an element is infinite on masked lanes, or made of one that is: -oo - (-oo) is no number."""
        filled = {x.expr for x in self.plan.elements if x.symbol in self.filled}
        return any(node in filled for node in sp.preorder_traversal(e.expr))

    def tile(self, element: sp.Expr, mask: Val | None, unit: str, always: bool) -> Val:
        """The contributions of a tile, the unit where they do not count."""
        scope = self.scope
        val = scope.value(element)
        axes = scope.union(val, Val("", (self.fold,)))
        if mask is None and val.axes == axes:
            return val
        form = f"tl.where({{}}, {{}}, {unit})"
        chosen = mask or self.inside
        if always or val.axes != axes:
            both = scope.union(val, chosen)
            return Val(form.format(scope.spread(chosen, both, SUM), scope.spread(val, both, SUM)), both)
        val = scope.name("c", val)
        scope.lines += ["if MASKED:", f"    {val.text} = {form.format(scope.spread(chosen, axes), val.text)}"]
        return val

    def position(self, a: Accumulator) -> Val:
        """The lowest position at which the key is largest, of the state's and the tile's."""
        scope = self.scope
        assert a.key is not None
        values, top = self.tops[a.key]
        key = next(b for b in self.plan.accumulators if b.symbol == a.key)
        axes = values.axes
        inside = scope.spread(self.inside, axes)
        equal = f"({values.text} == {scope.spread(top, axes)}) & {inside}"
        where = scope.spread(Val(self.fold.name, (self.fold,)), axes)
        found = f"tl.where({equal}, {where}.to(tl.int32), {NOWHERE})"
        here = scope.name(f"{a.symbol}_tile", reduced("min", found, axes, self.fold, scope.host))
        old = scope.value(self.update.moved(key, {}))
        return first_of(old.at(SUM), str(a.symbol), top.text, here.text, top.axes)


def first_of(key: str, at: str, key2: str, at2: str, axes: tuple[Index, ...]) -> Val:
    """The position of the larger key, the lower one of equals."""
    return Val(f"tl.where({key} > {key2}, {at}, tl.where({key} < {key2}, {at2}, tl.minimum({at}, {at2})))", axes)


def joined(scope: Scope, reducer: str, old: Val, new: Val) -> Val:
    """Two values of one accumulator as one."""
    form = combine(reducer)
    axes = scope.union(old, new)
    level = PRODUCT if "*" in form else SUM if "+" in form else 0
    texts = [scope.spread(v, axes, level) for v in (old, new)]
    return Val(form.format(*texts), axes, 3 if form.startswith("tl") else level)


def begun(plan: Plan, prologue: Scope, dialect: str = "tl", layout: str = "") -> Step:
    """The step over the tile that starts at j0, as far as its positions; `layout` ends the call that makes a tile."""
    fold = plan.axis
    states = [a.symbol for a in plan.accumulators]
    bound = {fold, *states, *(e.symbol for e in plan.elements), *(x for a in plan.anchors for x in (a.stale, a.fresh))}
    scope = prologue.function(bound)
    j, whole = fold.name, f"{dialect}.full([BLOCK_N], True, tl.int1{layout})"
    scope.lines += [
        f"{j} = (j0 + {dialect}.arange(0, BLOCK_N{layout})).to(INDEX)",
        f"in_{j} = {j} < size_{j} if MASKED else {whole}",
    ]
    scope.whole[fold] = Val(j, (fold,))
    for a in plan.accumulators:
        scope.bind(a.symbol, Val(str(a.symbol), tile_axes(a, prologue.roles)))
    return Step(plan, scope, Update(plan, scope))


def step_function(plan: Plan, prologue: Scope, name: str) -> Function:
    """`state -> state` over the tile that starts at j0; `MASKED` says whether anything in it may be masked."""
    fold = plan.axis
    states = [a.symbol for a in plan.accumulators]
    step = begun(plan, prologue)
    scope, update = step.scope, step.update
    for a in plan.accumulators:
        mean = mean_of(plan, a)
        if mean is not None:
            # a n/n' + sum(phi/n') = a + sum(phi - a w)/n', as n' = n + sum(w): no rounding of a n/n' at every tile.
            phi, fresh, _, count = mean
            step.need(phi + count.element)
            text = step.tile(phi - a.symbol * count.element, step.inside, "0.0", False)
            total = reduced("sum", text.text, text.axes, fold, scope.host)
            val = scope.apply("{} / {}", total, scope.lookup(fresh) or Val("1.0"))
            update.finished(a, joined(scope, "sum", Val(str(a.symbol), tile_axes(a, scope.roles)), val))
            continue
        update.finished(a, step.contribute(a, update.moved(a, {})))
    scope.lines.append(f"return {', '.join(update.names[s] for s in states)}{',' if len(states) == 1 else ''}")
    return Function(name, (*map(str, states), "j0"), tuple(scope.lines), tuple(prologue.host.helpers),
                    "One tile: the state, moved to the new anchors, and what the tile adds.")  # fmt: skip


def merge_function(plan: Plan, prologue: Scope, name: str) -> Function:
    """`state, state -> state`: both moved to the anchors of the union, then joined."""
    states = [a.symbol for a in plan.accumulators]
    part = {s: sp.Symbol(f"{s}_part", extended_real=True) for s in states}
    bound = {*states, *part.values(), *(x for a in plan.anchors for x in (a.stale, a.fresh))}
    scope = prologue.function(bound)
    for a in plan.accumulators:
        axes = tile_axes(a, prologue.roles)
        scope.bind(a.symbol, Val(str(a.symbol), axes))
        scope.bind(part[a.symbol], Val(f"{a.symbol}_part", axes))
    update = Update(plan, scope)
    for a in plan.accumulators:
        axes = tile_axes(a, prologue.roles)
        if a.reducer == "argmax":
            key = next(b for b in plan.accumulators if b.symbol == a.key)
            mine, theirs = (scope.value(update.moved(key, p)) for p in ({}, part))
            update.finished(a, first_of(mine.at(SUM), str(a.symbol), theirs.at(SUM), f"{a.symbol}_part", axes))
            continue
        mean = mean_of(plan, a)
        if mean is not None:
            _, fresh, _, count = mean
            other = part[a.symbol] - a.symbol
            val = scope.value(sp.Mul(other, part[count.symbol] / fresh, evaluate=False))
            update.finished(a, joined(scope, "sum", Val(str(a.symbol), axes), val))
            continue
        values = [scope.value(update.moved(a, p)) for p in ({}, part)]
        update.finished(a, joined(scope, a.reducer, *values))
    scope.lines.append(f"return {', '.join(update.names[s] for s in states)}{',' if len(states) == 1 else ''}")
    first = (*map(str, states), *(f"{s}_part" for s in states))
    return Function(name, first, tuple(scope.lines), tuple(prologue.host.helpers),
                    "Two states, each moved to the anchors of both together, then joined.")  # fmt: skip


def store(scope: Scope, f: Finish, guard: Val | None) -> None:
    """Writes an output: its expression where the guard holds, the empty value elsewhere."""
    roles = scope.roles
    val = scope.value(f.expr)
    if guard is not None:
        val = scope.apply("tl.where({}, {}, {})", guard, val, scope.value(f.empty))
    axes = tuple(a for a in roles.tiles if a in f.axes)
    terms = [f"{f.name}_ptr"]
    for a in f.axes:
        terms.append(f"{scope.spread(scope.integer(a), axes)} * {scope.strides[f.name, a]}")
    masks = [scope.spread(Val(f"in_{a.name}", (a,)), axes) for a in axes]
    mask = f", mask={' & '.join(masks)}" if masks else ""
    if not val.text.isidentifier():
        val = scope.name(f.name, val)
    cast = f"{scope.spread(val, axes)}.to({f.name}_ptr.dtype.element_ty)"
    scope.lines.append(f"tl.store({' + '.join(terms)}, {cast}{mask}{scope.eviction(f.axes)})")
