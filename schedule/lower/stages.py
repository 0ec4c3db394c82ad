"""Lowers a stage: the loop over tiles, or over states that another stage has left, and what is written of the last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from refold.algebra.monoid import Component, Monoid
from refold.algebra.program import Program, Range, Stage
from refold.algebra.roles import Roles
from refold.algebra.tiles import TileRanges
from refold.schedule import ir
from refold.schedule.lower.definitions import UNITS, state_name, tile_axes
from refold.schedule.lower.masks import range_lines
from refold.schedule.lower.places import PART, mask_of, place_of, saved
from refold.schedule.lower.scope import Scope
from refold.schedule.lower.words import BLOCK_N, EVICT, MASKED, OVERLAP, RAGGED, STAGES, block_of, scalar, size
from refold.schedule.passes.loops import J0, KEPT, LAST_USE, TRUE, ZERO, mask_free_tiles, peel_last_tile, skip_tiles
from refold.schedule.walk import function, invoke, needed, put
from refold.spec import Index

PARTS, START, CHUNK = (scalar(n) for n in ("parts", "start", "chunk"))


@dataclass(frozen=True, slots=True)
class Lowering:
    """What the stages of a program have in common: the lines before, the functions that they call, what they write.

    `write` writes one tile of a second pass over the fold's axis, `output` what is written once. What `bounds` reads
    stands before all loops.
    """

    name: str
    roles: Roles
    ranges: TileRanges
    base: tuple[ir.Statement, ...]
    bounds: Scope
    step: ir.Function
    merge: ir.Function
    live: ir.Function | None
    write: ir.Function | None
    output: tuple[ir.Statement, ...]

    def kernel(self, program: Program, stage: Stage) -> ir.Function:
        """`state <- unit; for every position: state <- operation(state, position); write of state`, as a kernel."""
        form, (loop,) = stage.carried, stage.loop
        assert form is not None
        init = [ir.Let(s, _unit(c, self.roles)) for s, c in zip(self.states(form), form.state, strict=True)]
        if loop.axis != self.roles.fold:
            body = [*init, *self.joins(form), *self.ends_of_parts()]
            comment = "Merges the states of all parts and writes."
        elif {w.name for w in stage.writes} <= {t.name for t in program.passed()}:
            body = [*_of_a_part(), *init, *self.visits(form, loop), *self.saves(form)]
            comment = f"One program leaves the state of one part of axis {loop.axis.name}."
        else:
            body = [*init, *self.ends(form, loop)]
            comment = f"One program holds its rows and goes over all of axis {loop.axis.name}."
        straight = [*self.base, *self.bounds.lines.current]
        return function(f"{self.name}_{stage.name}", (), (*needed(straight, body), *body), comment)

    def states(self, form: Monoid, mark: str = "") -> tuple[ir.Name, ...]:
        return tuple(state_name(c, self.roles, mark) for c in form.state)

    # --- loops -------------------------------------------------------------------------------------------------

    def visits(self, form: Monoid, over: Range) -> list[ir.Statement]:
        """The loops over the tiles of a range, after what sets their ends."""
        self.bounds.whole |= {a: PART for a in over.start.free_symbols if isinstance(a, Index)}
        lines = range_lines(self.ranges, self.bounds, over.start, over.stop)
        # Unasked, Triton loads ahead what a dot reads, and that alone.
        ahead = () if self.roles.contracts or not self.roles.inner else (("num_stages", STAGES),)
        loop = self.loop(form, scalar("lo"), scalar("hi"), ahead)
        if self.live is not None:
            loop = skip_tiles(loop, self.live)
        loop = put(loop, {EVICT: KEPT})
        spans = [(scalar(a.name), scalar(b.name), masked) for a, b, masked in self.ranges.spans]
        for (_, _, masked), part in zip(spans, mask_free_tiles(loop, spans), strict=True):
            lines.append(ir.If(RAGGED, (part,)) if masked and self.ranges.held(self.roles) else part)
        return lines

    def loop(
        self, form: Monoid, start: ir.Value, stop: ir.Value, ahead: tuple[tuple[str, ir.Value], ...] = ()
    ) -> ir.For:
        """A loop that takes the state over one tile after the other."""
        return ir.For(J0, start, stop, BLOCK_N, (ir.Unpack(self.states(form), invoke(self.step)),), ahead)

    def joins(self, form: Monoid) -> list[ir.Statement]:
        """The loop over the states that another stage has left."""
        loads = [ir.Let(s, saved(c, self.roles)) for s, c in zip(self.states(form, "_part"), form.state, strict=True)]
        body: tuple[ir.Statement, ...] = (*loads, ir.Unpack(self.states(form), invoke(self.merge)))
        return [
            ir.If(OVERLAP, (_grid("gdc_wait", "begun early: the parts are not all there yet"),)),
            # Unrolled, the loads of several parts are under way at a time.
            ir.For(PART, ZERO, PARTS, None, body, (("loop_unroll_factor", ir.Number(8)),)),
        ]

    # --- what is written ---------------------------------------------------------------------------------------

    def saves(self, form: Monoid) -> list[ir.Statement]:
        """The state, for another stage."""
        return [ir.Store(place_of(c, self.roles), s, mask_of(c, self.roles))
                for s, c in zip(self.states(form), form.state, strict=True)]  # fmt: skip

    def ends(self, form: Monoid, over: Range) -> list[ir.Statement]:
        """The visits of all tiles, and what is written of the last state."""
        values, stores = stores_last(self.output)
        length = size(over.axis, self.roles)
        if self.ranges.held(self.roles):
            visits, writes = peel_last_tile(self.loop(form, ZERO, length), self.second_pass(ZERO, length))
            return [*visits, *values, *writes, *stores]
        second = self.second_pass(ZERO, length)
        return [*self.visits(form, over), *values, *([self.last_use(second)] if second else []), *stores]

    def ends_of_parts(self) -> list[ir.Statement]:
        """The same of merged parts. Every chunk of the axis has a program, of which one writes what is written once."""
        values, stores = stores_last(self.output)
        end = ir.Binary("minimum", ir.Binary("+", START, CHUNK), size(self.roles.fold, self.roles))
        second = self.second_pass(START, end)
        if second is None:
            return [*self.output]
        only = [ir.If(ir.Binary("==", ir.Program(1), ZERO), tuple(stores))] if stores else []
        return [*values, *only, ir.Let(START, ir.Binary("*", ir.Program(1), CHUNK)), self.last_use(second)]

    def second_pass(self, start: ir.Value, stop: ir.Value) -> ir.For | None:
        """A loop that writes what varies with the axis, a tile after the other."""
        if self.write is None:
            return None
        return ir.For(J0, start, stop, BLOCK_N, (ir.Evaluate(invoke(self.write)),))

    def last_use(self, loop: ir.For) -> ir.For:
        """A second pass in which every tile may be masked, and is not read again."""
        return put(loop, {MASKED: TRUE if self.roles.contracts else RAGGED, EVICT: LAST_USE})


def _of_a_part() -> list[ir.Statement]:
    """The number of a part, and leave for the stage that reads it to begin."""
    return [ir.Let(PART, ir.Program(1)), ir.If(OVERLAP, (_grid("gdc_launch_dependents"),))]


def _grid(name: str, comment: str = "") -> ir.Evaluate:
    """What one kernel tells another that is launched after it."""
    cuda = ir.Method(ir.Method(ir.Name("tl", kind="global"), "extra", None), "cuda", None)
    return ir.Evaluate(ir.Method(cuda, name), comment)


def _unit(c: Component, roles: Roles) -> ir.Full:
    axes = tile_axes(c, roles)
    dtype = "int32" if c.reducer == "argmax" else "float32"
    return ir.Full(tuple(block_of(x, roles) for x in axes), UNITS[str(c.reducer)], dtype, axes)


def stores_last(body: Iterable[ir.Statement]) -> tuple[list[ir.Statement], list[ir.Statement]]:
    """What computes and what stores: a store between two loads of one element would keep them apart."""
    lines = [*body]
    stores: list[ir.Statement] = [s for s in lines if isinstance(s, ir.Store)]
    return [s for s in lines if s not in stores], stores
