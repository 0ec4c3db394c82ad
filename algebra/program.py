"""Programs: stages one after the other, each one loop nest with its monoid and its writes, and tensors between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy as sp

from refold.algebra.monoid import Component, Let, Monoid, Operation, monoid
from refold.algebra.names import Names
from refold.algebra.plan import Element, Finish, Plan, Varying
from refold.algebra.tiles import CHUNK, whole
from refold.spec import Index, Read, Spec, TensorName
from refold.spec.mathematics import text


@dataclass(frozen=True, slots=True)
class Range:
    """The positions start, ..., stop - 1 of an axis that are on it; the ends are over sizes and the axes of a grid."""

    axis: Index
    start: sp.Expr
    stop: sp.Expr

    def __str__(self) -> str:
        return f"for {self.axis.name} in {text(self.start)} ... {text(self.stop)}"


@dataclass(frozen=True, slots=True)
class Write:
    """A tensor that a stage writes from its last state: once at the end, or `each` position of a second pass."""

    finish: Finish
    each: Range | None = None

    @property
    def name(self) -> str:
        return self.finish.name

    def __str__(self) -> str:
        axes = ", ".join(a.name for a in self.finish.axes)
        return f"{self.each}: " * (self.each is not None) + f"{self.name}[{axes}] = {text(self.finish.expr)}"


@dataclass(frozen=True, slots=True)
class Stage:
    """One loop nest: for every position of `grid`, a loop that carries a state, and what is written of the last state.

    `carried` is the monoid of the state; its elements are what one position of the loop reads, of the inputs or of
    what an earlier stage has written. None where nothing is carried. Which positions of the grid are a program's, and
    which a tile's, is not said here: the roles of the axes say it.
    """

    name: str
    grid: tuple[Index, ...]
    loop: tuple[Range, ...]
    carried: Monoid | None
    writes: tuple[Write, ...]

    @property
    def reads(self) -> frozenset[TensorName]:
        """The tensors that its elements and its writes read."""
        elements = [e.expr for e in self.carried.elements] if self.carried else []
        written = [x for w in self.writes for x in (w.finish.expr, w.finish.guard, w.finish.empty)]
        return frozenset(read.tensor for x in (*elements, *written) for read in x.atoms(Read))

    def __str__(self) -> str:
        states = ", ".join(str(s) for s in self.carried.symbols) if self.carried else ""
        operation = "update" if self.carried and self.carried.update else "combine"
        loops = ": ".join(str(r) for r in self.loop)
        lines = [f"{loops}: {states} ← {operation}", *(str(w) for w in self.writes)]
        return "\n".join([f"{self.name}, for all {', '.join(a.name for a in self.grid)}", *(f"  {x}" for x in lines)])


@dataclass(frozen=True, slots=True)
class Program:
    """The stages of a pipeline in an order in which each reads what is written before it."""

    spec: Spec
    stages: tuple[Stage, ...]

    def __str__(self) -> str:
        return "\n".join(str(s) for s in self.stages)

    def passed(self) -> tuple[TensorName, ...]:
        """The tensors that one stage writes and a later one reads."""
        written = {w.name for s in self.stages for w in s.writes}
        found = {t: None for s in self.stages for t in sorted(s.reads, key=lambda t: t.name) if t.name in written}
        return tuple(found)


def program(plan: Plan, form: Monoid | None = None) -> Program:
    """The program of one stage, a loop over the whole axis: `form` is the plan's monoid, in whatever form."""
    form = monoid(plan) if form is None else form
    over = Range(plan.axis, *whole(plan.axis))
    writes = tuple(Write(f, over if plan.axis in f.axes else None) for f in form.project)
    outer = [a for f in form.project for a in f.axes] + [a for c in form.state for a in c.axes]
    grid = tuple(a for a in dict.fromkeys(outer) if a != plan.axis)
    return Program(plan.spec, (Stage("rolling", grid, (over,), form, writes),))


def split(given: Program, axis: Index) -> Program:
    """Cuts the loop over an axis into parts, which merge: any partition is right (docs/theory.md, Theorem 2).

    before -> after, for a stage over `grid` that carries the state `s` along `j` and writes `o`:

        grid: for j in 0 ... |j|: s <- update(s, j); write o(s)

        grid, part: for j in part chunk ... (part + 1) chunk: s <- update(s, j); write part_s[part] = s
        grid: for part in 0 ... |part|: s <- combine(s, part_s[part]); write o(s)

    A second pass over the axis is cut likewise, a program to a chunk. The obligations are `unit`, `lift` and `merge`.
    """
    stages: list[Stage] = []
    names = Names(given.spec)
    for stage in given.stages:
        if not any(r.axis == axis for r in stage.loop):
            stages.append(stage)
            continue
        form = stage.carried
        if form is None or form.combine is None:
            raise ValueError(f"the stage {stage.name} has no state to combine: it cannot be split over {axis.name}")
        part = Index(names.take("part"))
        tensors = tuple(_state(names, c, part) for c in form.state)
        chunk = Range(axis, part * CHUNK, sp.Mul(part + 1, CHUNK, evaluate=False))
        loop = tuple(chunk if r.axis == axis else r for r in stage.loop)
        saved = (Finish(t.name, c.symbol, t.axes, sp.true, c.symbol) for c, t in zip(form.state, tensors, strict=True))
        stages.append(Stage("parts", (*stage.grid, part), loop, form, tuple(Write(f) for f in saved)))
        writes = tuple(Write(w.finish, chunk if w.each and w.each.axis == axis else w.each) for w in stage.writes)
        every = Range(part, *whole(part))
        stages.append(Stage("finish", stage.grid, (every,), states_of(form, part, tensors), writes))
    return Program(given.spec, tuple(stages))


def _state(names: Names, component: Component, part: Index) -> TensorName:
    """The tensor of the values of a component, one a part."""
    dtype = "int32" if component.reducer == "argmax" else "float"
    return TensorName(names.take(f"part_{component.symbol}"), (part, *component.axes), dtype)


def states_of(form: Monoid, part: Index, tensors: tuple[TensorName, ...]) -> Monoid:
    """The monoid whose elements are states: its lift is the state that is read, its step is `combine`."""
    assert form.combine is not None
    combine = form.combine
    elements = tuple(_element(c, tensor, part) for c, tensor in zip(form.state, tensors, strict=True))
    read = {c.right: e.symbol for c, e in zip(form.state, elements, strict=True)}
    lift = (Let(r, read[c.right]) for r, c in zip(combine.results, form.state, strict=True))
    step = (Let(let.symbol, let.expr.xreplace(read)) for let in combine.lets)
    spec = replace(form.spec, tensors=(*form.spec.tensors, *tensors), axes=(*form.spec.axes, part))
    return replace(form, spec=spec, axis=part, elements=elements, lift=Operation(tuple(lift), combine.results),
                   step=Operation(tuple(step), combine.results), update=None)  # fmt: skip


def _element(component: Component, tensor: TensorName, part: Index) -> Element:
    """The value of a component that a part has left."""
    value = Read(tensor, part, *component.axes)
    match component.reducer:
        case "max":
            return Element(Varying(f"{component.symbol}_part"), value, -1)
        case "min":
            return Element(Varying(f"{component.symbol}_part"), value, 1)
    return Element(Varying(f"{component.symbol}_part"), value, 0)
