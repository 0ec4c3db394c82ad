"""What the words of the kernel for Hopper mean on terms, where its barriers and its layouts are trusted.

A copy fills one stage of a tensor's buffers. A wait for the barrier of a stage says by the stage and by its parity
which *turn* it is for, and what is then read of the stage is what the copy of that turn has brought. A product has a
value after a wait for it and none before. Layouts say where the elements of a tile are, not what they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from refold.schedule import folds, integers, ir, values
from refold.schedule.dtypes import dtype_named
from refold.schedule.execute import Descriptor, Machine, Object
from refold.schedule.lower.kernels import Kernels
from refold.schedule.outcome import Word
from refold.schedule.terms import Term
from refold.schedule.tiles import NoMeaning, Tile, filled
from refold.verify.kernel.turns import (
    BLOCK_M,
    BLOCK_N,
    BLOCKS,
    Buffer,
    Fill,
    Held,
    Opaque,
    Product,
    Stage,
    brought,
    normal,
    turn_of,
)


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
            case ir.Call(("_tile" | "_operand_of" | "_lines") as layout):
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
        return Held(brought(self.made, fill, fill.at(turn.turn)), x)

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
