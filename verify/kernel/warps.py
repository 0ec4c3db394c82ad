"""What the words of the kernel for Hopper mean on terms, where its barriers and its layouts are trusted.

A copy fills one stage of a tensor's buffers. A wait for the barrier of a stage says by the stage and by its parity
which *turn* it is for, and what is then read of the stage is what the copy of that turn has brought. A product has a
value after a wait for it and none before. Layouts say where the elements of a tile are, not what they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from refold.schedule import folds, integers, ir, values
from refold.schedule.conditions import FALSE, TRUE, both, compare_integers, select
from refold.schedule.dtypes import dtype_named
from refold.schedule.execute import Descriptor, Foreign, Machine, Object
from refold.schedule.lower.kernels import Kernels
from refold.schedule.outcome import Word
from refold.schedule.terms import Term, below, make, real, symbol
from refold.schedule.tiles import NoMeaning, Tile, cast, filled, terms
from refold.verify.kernel.cases import Undecided
from refold.verify.kernel.launched import iteration_of
from refold.verify.kernel.multiples import simplified
from refold.verify.kernel.small import LANES

BLOCK_N, BLOCK_M, ROW = (symbol(n, "int") for n in ("BLOCK_N", "BLOCK_M", "row of the tile"))
ONE = integers.whole(1)
# A block by its length: the lanes of its tile. One row stands for all, two positions for those of a tile.
BLOCKS: Mapping[Term, tuple[Term, ...]] = {BLOCK_M: (ROW,), BLOCK_N: tuple(map(integers.whole, range(LANES)))}


@dataclass(frozen=True, slots=True)
class Opaque(Foreign):
    """A word that says how something is held or called, not what it is: a layout, a dtype, a size in bytes."""

    what: str


@dataclass(frozen=True, slots=True)
class Buffer(Foreign):
    """Shared memory: so many barriers, or tiles of a shape."""

    number: int
    count: Term
    shape: tuple[tuple[Term, ...], ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Stage(Foreign):
    """One of the barriers or tiles of a buffer."""

    buffer: Buffer
    at: Term


@dataclass(frozen=True, slots=True)
class Held(Foreign):
    """A tile in shared memory, of the stage that holds it."""

    tile: Tile
    stage: Stage


@dataclass(frozen=True, slots=True)
class Product(Foreign):
    """A product of the tensor cores that was issued: what it will give, to what it adds, the stages that it reads."""

    number: int
    tile: Tile
    into: Tile
    reads: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """The stage `factor * (turn % size) + offset`, and by the same turn how often all stages were filled before."""

    factor: int
    size: Term
    offset: int
    turn: Term

    @property
    def channel(self) -> tuple[int, Term, int]:
        """The stages that turns with the same size, factor and offset share."""
        return self.factor, self.size, self.offset

    @property
    def parity(self) -> Term:
        return make("&", "int", (integers.quotient(self.turn, self.size), ONE))


def turn_of(at: Term) -> Turn:
    """The turn that a stage is for. Raises `NoMeaning` where it says none."""
    parts = dict(integers.products(at))
    offset = parts.pop((), 0)
    if len(parts) == 1:
        ((factors, factor),) = parts.items()
        if len(factors) == 1 and factors[0].op == "%":
            turn, size = factors[0].args
            return Turn(factor, size, offset, turn)
    raise NoMeaning("a stage that is of no turn")


@dataclass(frozen=True, slots=True)
class Fill:
    """A copy into a stage: by which barriers it is known, and the tile of which tensor it brings, from which corner."""

    full: Buffer
    empty: Buffer
    buffers: Buffer
    turn: Turn
    tensor: str
    corner: tuple[Term, ...]
    loops: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.buffers.name if self.turn.factor == 1 else f"{self.buffers.name} {self.turn.offset}"

    @property
    def first(self) -> Term:
        """The turn of the first copy."""
        begin = self.turn.turn
        if self.loops:
            begin = integers.subtract(begin, iteration_of(self.loops[-1]))
        if len(self.loops) > 1 or any(t.op in ("iteration", "trips", "state", "last") for t in below(begin)):
            raise NoMeaning(f"{self.buffers.name}: copies that are not one for each iteration")
        return begin

    def at(self, turn: Term) -> tuple[Term, ...]:
        """The corner of the tile that the copy of a turn brings."""
        number = normal(integers.subtract(turn, self.first))
        if not self.loops:
            if number is not integers.whole(0):
                raise NoMeaning(f"{self.buffers.name}: a turn of which there is no copy")
            return self.corner
        return tuple(normal(integers.replaced(c, {iteration_of(self.loops[-1]): number})) for c in self.corner)


def normal(t: Term) -> Term:
    """An integer with multiples of BLOCK_N in the order of their factors, and extremes of what is a number apart."""
    (found,) = simplified([t], (BLOCK_N,))
    return integers.replaced(found, {x: y for x in below(found) if (y := _nearest(x)) is not x})


def _nearest(t: Term) -> Term:
    """greatest(x, x + 1)   ->   x + 1."""
    if t.op not in ("least", "greatest"):
        return t
    kept: list[Term] = []
    for a in t.args:
        apart = [integers.value_of(integers.subtract(a, b)) for b in kept]
        known = next((n for n, d in enumerate(apart) if d is not None), None)
        if known is None:
            kept.append(a)
        elif (apart[known] > 0) == (t.op == "greatest"):  # type: ignore[operator]
            kept[known] = a
    return (integers.least if t.op == "least" else integers.greatest)(*kept)


@dataclass(slots=True)
class Warps(Machine):
    """A machine of one role: it knows what the copies of another role bring."""

    made: Kernels = field(kw_only=True)
    fills: tuple[Fill, ...] = ()

    # --- tiles -----------------------------------------------------------------------------------------------------

    def block(self, length: Object) -> tuple[Term, ...]:
        """The lanes of a tile along one axis."""
        if isinstance(length, Tile) and length.lanes.item() in BLOCKS:
            return BLOCKS[length.lanes.item()]
        return tuple(map(integers.whole, range(Machine.extent(self, length))))

    def lanes(self, node: ir.Lanes) -> Tile:
        length, (axis,) = values.value(self, node.block), node.axes
        found, roles = self.block(length), self.made.roles
        known = {roles.rows: BLOCK_M, roles.fold: BLOCK_N}.get(axis)  # type: ignore[call-overload]
        if (length.lanes.item() if isinstance(length, Tile) else None) is not known:
            raise NoMeaning(f"a tile of another length along {axis}")
        return Tile("int32", filled((len(found),), [*found]))

    def extent(self, length: Object) -> int:
        return len(self.block(length))

    def assign(self, target: ir.Name, value: Object) -> None:
        """An integer of the program is written in its normal form."""
        Machine.assign(self, target, replace(value, name=target.text) if isinstance(value, Buffer) else value)
        found = self.names[target.text]
        if isinstance(found, Tile) and not found.shape and found.lanes.item().sort == "int":
            self.names[target.text] = Tile(found.dtype, filled((), [normal(found.lanes.item())]), found.narrow)

    # --- words -----------------------------------------------------------------------------------------------------

    def note(self, name: str, *about: object) -> None:
        self.events.append(Word(name, about, self.path, self.inside))

    def noted(self, *names: str) -> Iterator[Word]:
        return (e for e in self.events if isinstance(e, Word) and e.name in names)

    def word(self, node: ir.Call | ir.Method) -> tuple[Object, ...]:
        words = dict(node.keywords)
        match node:
            case ir.Call(("_tile" | "_operand_of") as layout):
                return (Opaque(layout),)
            case ir.Call("_as_rows", (x, _)) | ir.Method(ir.Name("gl"), "convert_layout", (x, _)):
                return (values.tile(self, x),)
            case ir.Call("_copy", (tensor, ir.Sequence(corner), full, into)):
                self.copy(values.value(self, tensor), corner, self.stage(full), self.stage(into))
                return ()
            case ir.Call("warpgroup_mma", (a, b, into)) if words.keys() <= {"use_acc", "is_async"}:
                return (self.issue(a, b, into, **{n: values.known(self, v) for n, v in words.items()}),)
            case ir.Call("warpgroup_mma_wait", (pending,)) if [*words] == ["deps"]:
                return self.land(int(values.known(self, pending)), values.results(self, words["deps"]))
            case ir.Call("fence_async_shared", ()):
                self.note("fence")
                return ()
            case ir.Method(ir.Name("gl"), ("full" | "zeros") as word, (shape, *rest)):
                number: ir.Value = rest[0] if word == "full" else ir.Number(0.0)
                dtype = rest[-2]
                if isinstance(dtype, ir.Method) and isinstance(shape, ir.Sequence):
                    tile = values.cast_to(self, values.operand(self, number), dtype_named(dtype.name))
                    lanes = np.broadcast_to(tile.lanes, [values.size(self, n) for n in shape.values])
                    return (Tile(tile.dtype, lanes),)
            case ir.Method(ir.Name("gl"), "allocate_shared_memory", (_, ir.Sequence((count, *shape)), _)):
                steps = tuple(self.block(values.value(self, n)) for n in shape)
                buffer = Buffer(len([*self.noted("buffer")]), values.tile(self, count).lanes.item(), steps)
                self.note("buffer", buffer)
                return (buffer,)
            case ir.Method(ir.Name("gl") | ir.Name("mbarrier"), ("SliceLayout" | "MBarrierLayout") as layout):
                return (Opaque(layout),)
            case ir.Method(ir.Name("mbarrier"), action, (stage, *args)):
                return self.barrier(action, self.stage(stage), args, words)
            case ir.Method(x, "index", (at,)):
                shared = values.value(self, x)
                if isinstance(shared, Buffer):
                    return (Stage(shared, values.tile(self, at).lanes.item()),)
            case ir.Method(x, "reshape", (ir.Sequence(shape),)):
                held = self.held(values.value(self, x))
                lengths = [values.size(self, n) for n in shape]
                if math.prod(lengths) != held.tile.lanes.size:
                    raise NoMeaning("a tile as one of another size")
                return (replace(held, tile=Tile(held.tile.dtype, held.tile.lanes.reshape(lengths))),)
            case ir.Method(x, "permute", (ir.Sequence(order),)):
                held, places = self.held(values.value(self, x)), [int(values.known(self, n)) for n in order]
                if sorted(places) != [*range(len(held.tile.shape))]:
                    raise NoMeaning("axes in no order")
                return (replace(held, tile=Tile(held.tile.dtype, np.transpose(held.tile.lanes, places))),)
            case ir.Method(x, name, None):
                return (Opaque(f"{name} of {_called(values.value(self, x))}"),)
        return Machine.word(self, node)

    def stage(self, node: ir.Value) -> Stage:
        found = values.value(self, node)
        if not isinstance(found, Stage):
            raise NoMeaning("no stage of a buffer where one is expected")
        return found

    # --- barriers and copies ---------------------------------------------------------------------------------------

    def barrier(
        self, action: str, stage: Stage, args: list[ir.Value], words: Mapping[str, ir.Value]
    ) -> tuple[Object, ...]:
        given = [values.value(self, v) for v in args]
        counts = {n: int(values.known(self, v)) for n, v in words.items()}
        match action, given:
            case "init", [] if [*counts] == ["count"]:
                self.note("init", stage, counts["count"])
            case "expect", [Opaque() as bytes_]:
                self.note("expect", stage, bytes_)
            case "wait", [Tile() as phase]:
                self.note("wait", stage, phase.lanes.item())
            case "arrive", [] if counts == {"count": 1}:
                for p in self.pending():
                    if any(self.fill(r).empty == stage.buffer and r.at is stage.at for r in p.reads):
                        raise NoMeaning("a stage that is given back while a product reads it")
                self.note("arrive", stage)
            case _:
                raise NoMeaning(f"{action} of a barrier")
        return ()

    def copy(self, tensor: Object, corner: tuple[ir.Value, ...], full: Stage, into: Stage) -> None:
        if not isinstance(tensor, Descriptor):
            raise NoMeaning("a copy of what is no descriptor")
        self.note("copy", tensor, tuple(values.tile(self, c).lanes.item() for c in corner), full, into)

    def fill(self, stage: Stage) -> Fill:
        """The copy that fills a stage."""
        channel = turn_of(stage.at).channel
        found = [f for f in self.fills if f.buffers == stage.buffer and f.turn.channel == channel]
        if len(found) != 1:
            raise NoMeaning(f"a stage of {stage.buffer.name} that no copy fills, or several")
        return found[0]

    def held(self, x: Object) -> Held:
        """What a stage holds: the copy of the turn that was waited for, until the stage is given back."""
        if isinstance(x, Held):
            return x
        if not isinstance(x, Stage):
            raise NoMeaning("a tile of what is no stage of a buffer")
        fill, turn = self.fill(x), turn_of(x.at)
        last: Word | None = None
        for e in self.noted("wait", "arrive"):
            at = e.about[0]
            if isinstance(at, Stage) and at.at is x.at and at.buffer in (fill.full, fill.empty):
                last = e
        waited = last is not None and last.name == "wait" and last.about == (Stage(fill.full, x.at), turn.parity)
        if not waited:
            raise NoMeaning(f"a stage of {x.buffer.name} that was not waited for by the parity of its turn")
        return Held(self.brought(fill, fill.at(turn.turn)), x)

    def brought(self, fill: Fill, corner: tuple[Term, ...]) -> Tile:
        """A tile of a tensor that begins at a corner: 0 beyond the ends of an axis along which it goes."""
        axes = next(t.axes for t in self.made.plan.spec.tensors if f"{t.name}_ptr" == fill.tensor)
        keys = ("lead0", "lead1", *axes)
        if len(keys) != len(corner) or len(corner) != len(fill.buffers.shape):
            raise NoMeaning("a copy to a buffer of another shape")
        strides = [symbol(self.made.strides[fill.tensor.removesuffix("_ptr"), k], "int") for k in keys]
        lanes = []
        for steps in product(*fill.buffers.shape):
            at = [integers.add(c, s) for c, s in zip(corner, steps, strict=True)]
            there = TRUE
            for n, axis in enumerate(axes, 2):
                if len(fill.buffers.shape[n]) > 1 or fill.buffers.shape[n] == (ROW,):
                    whole = axis in self.made.roles.inner
                    length = integers.whole(LANES) if whole else symbol(f"size_{axis.name}", "int")
                    there = both(there, compare_integers("<", at[n], length))
            offset = integers.add(*(integers.multiply(i, s) for i, s in zip(at, strides, strict=True)))
            lanes.append(select(there, make("read", "fp32", (offset,), (fill.tensor, 0, "fp32")), real(0.0, "fp32")))
        return Tile("fp32", filled(tuple(map(len, fill.buffers.shape)), lanes))

    # --- products --------------------------------------------------------------------------------------------------

    def pending(self) -> list[Product]:
        """The products that may still be under way, the oldest first."""
        found: list[Product] = []
        for e in self.noted("product", "landed"):
            (about,) = e.about
            if isinstance(about, Product):
                found.append(about)
            elif isinstance(about, int):
                found = found[-about:] if about else []
        return found

    def issue(self, a: ir.Value, b: ir.Value, into: ir.Value, use_acc: bool = True, is_async: bool = False) -> Product:
        if not is_async:
            raise NoMeaning("a product that is waited for at once")
        sides = [values.value(self, v) for v in (a, b)]
        left, right = (x.tile if isinstance(x, Held) else values.as_tile(x) for x in sides)
        start = values.tile(self, into)
        tile = folds.dot(left, right, start if use_acc else None, "ieee")
        reads = tuple(x.stage for x in sides if isinstance(x, Held))
        for stage in reads:
            self.held(stage)
        found = Product(len([*self.noted("product")]), tile, start, reads)
        self.note("product", found)
        return found

    def land(self, pending: int, deps: tuple[Object, ...]) -> tuple[Object, ...]:
        self.note("landed", pending)
        left = {p.number for p in self.pending()}
        if any(isinstance(d, Product) and d.number in left for d in deps):
            raise NoMeaning("a product that is read while it may be under way")
        return tuple(d.tile if isinstance(d, Product) else d for d in deps)


def _called(x: Object) -> str:
    return x.name if isinstance(x, Descriptor) else x.what if isinstance(x, Opaque) else str(x)


@dataclass(slots=True)
class Role(Warps):
    """One role over its pieces of work: what it calls for a piece is noted, and not executed."""

    def call(self, function: ir.Function, args: tuple[Object, ...]) -> tuple[Object, ...]:
        if function.name not in self.functions:
            return Machine.call(self, function, args)
        given = dict(zip((p.text for p in function.parameters), args, strict=True))
        varying = {n: a.lanes.item() for n, a in given.items() if isinstance(a, Tile) and _varies(a)}
        self.note("piece", function, given, varying)
        return (Tile("int32", filled((), [make("after", "int", tuple(varying.values()))])),)


def _varies(x: Tile) -> bool:
    programs = (symbol("program 0", "int"), symbol("programs 0", "int"))
    inside = ("iteration", "trips", "state", "last")
    return not x.shape and any(t in programs or t.op in inside for t in below(*terms(x.lanes)))


@dataclass(slots=True)
class Piece(Warps):
    """One piece of work of a role, in a case of what its branches ask."""

    truths: Mapping[Term, bool] = field(default_factory=dict)

    def branch(
        self, condition: ir.Value, body: tuple[ir.Statement, ...], other: tuple[ir.Statement, ...]
    ) -> tuple[Object, ...] | None:
        chosen = values.value(self, condition)
        if not isinstance(chosen, Tile):
            return self.run(body if chosen else other)
        term = cast(chosen, "int1").lanes.item()
        if term not in (TRUE, FALSE) and term not in self.truths:
            raise Undecided(term)
        return self.run(body if term is TRUE or self.truths.get(term, False) else other)


@dataclass(slots=True)
class Whole(Warps):
    """The kernel itself, which starts its roles."""

    def side_by_side(self, node: ir.Specialise) -> None:
        for role in node.functions:
            given: tuple[Any, ...] = tuple(values.value(self, a) for a in role.args)
            self.note("role", self.functions[role.function], given)
