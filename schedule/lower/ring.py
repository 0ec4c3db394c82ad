"""Hopper's kernel in the kernel language: a warp that fills a ring of tiles, two warpgroups that empty it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from refold.algebra.roles import Roles
from refold.schedule import ir
from refold.schedule.lower.names import RING_VALUES
from refold.schedule.lower.places import batch_lines
from refold.schedule.lower.words import BLOCK_M, BLOCK_N, INDEX, block_of, constant, pointer, scalar, size, within
from refold.schedule.passes.loops import mask_free_tiles
from refold.schedule.passes.programs import several_pieces
from refold.schedule.walk import function, invoke, needed
from refold.spec import Index

BARRIERS = ("q_full", "q_empty", "k_full", "k_empty", "v_full", "v_empty")
GL, BARRIER = (ir.Name(n, kind="global") for n in ("gl", "mbarrier"))
STAGE, PHASE, STAGE_BEFORE, PHASE_BEFORE, TURN, HELD, WORK, SEEN, SLOT, GONE, FIRST = map(scalar, RING_VALUES[3:14])
GROUP, I0, J0, LO, HI, LEAD, TILES = map(scalar, ("group", "i0", "j0", "lo", "hi", "lead", "tiles"))
RING = constant("SIZE_ring")
ZERO, ONE, TWO = (ir.Number(n) for n in (0, 1, 2))
FLOAT = ir.Method(GL, "float32", None)


def tile_layout(columns: ir.Value) -> ir.Call:
    """How the warps of a group hold a tile of its rows and so many columns."""
    return ir.Call("_tile", (columns,))


def slice_of(axis: int, columns: ir.Value) -> ir.Method:
    """How they hold a value for each row (1) or each column (0) of such a tile."""
    return ir.Method(GL, "SliceLayout", (ir.Number(axis), tile_layout(columns)))


def at(buffer: str, stage: ir.Value) -> ir.Method:
    """One stage of the barriers or of the tiles of a ring."""
    return ir.Method(scalar(buffer), "index", (stage,))


def barrier(action: str, name: str, stage: ir.Value, *args: ir.Value, **keywords: ir.Value) -> ir.Evaluate:
    """Waits at a barrier, arrives at it, or says what it is to expect."""
    return ir.Evaluate(ir.Method(BARRIER, action, (at(name, stage), *args), tuple(keywords.items())))


def arrive(name: str, stage: ir.Value) -> ir.Evaluate:
    return barrier("arrive", name, stage, count=ONE)


def in_ring(turn: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The stage of a tile of the ring, and the parity of how often the ring went round before."""
    return ir.Binary("%", turn, RING), ir.Binary("&", ir.Binary("//", turn, RING), ONE)


def product(a: ir.Value, b: ir.Value, into: ir.Name, **keywords: ir.Value) -> ir.Let:
    """A product of the tensor cores, under way from here on."""
    words = (*keywords.items(), ("is_async", ir.Number(True)))
    return ir.Let(into, ir.Call("warpgroup_mma", (a, b, into), into.axes, words))


def wait(pending: int, *names: ir.Name) -> ir.Statement:
    """Waits until so many products at most are under way; the names are what they give or read."""
    axes = names[0].axes if len(names) == 1 else ()
    value = ir.Call("warpgroup_mma_wait", (ir.Number(pending),), axes, (("deps", ir.Sequence(names)),))
    return ir.Unpack(names, value) if len(names) > 1 else ir.Let(names[0], value)


def scores_of(roles: Roles) -> ir.Name:
    """The scores of a tile, before their scale and masks."""
    return ir.Name("scores", (roles.rows, roles.fold))


def weights_of(roles: Roles) -> ir.Name:
    """The weights of a tile, in the layout and the dtype of a left operand."""
    return ir.Name("weights", (roles.rows, roles.fold))


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor that is read by tiles: the first position of a tile along every axis, and its two blocks."""

    tensor: str
    coordinates: tuple[ir.Value, ...]
    blocks: tuple[str, str]

    @property
    def shape(self) -> tuple[ir.Value, ...]:
        """The tile of the tensor, its leading dimensions too."""
        return (*(ONE,) * (len(self.coordinates) - 2), *map(constant, self.blocks))

    def flat(self, tile: ir.Value) -> ir.Method:
        return ir.Method(tile, "reshape", (ir.Sequence(tuple(map(constant, self.blocks))),))

    def copy(self, letter: str, stage: ir.Name, row: ir.Value = I0) -> list[ir.Statement]:
        """Brings a tile into the ring; its barrier learns how many bytes to expect."""
        corner = ir.Sequence(tuple(row if c == I0 else c for c in self.coordinates))
        bytes_ = ir.Method(ir.Method(pointer(self.tensor), "block_type", None), "nbytes", None)
        full, ring = f"{letter}_full", f"{letter}_ring"
        copy = ir.Call("_copy", (pointer(self.tensor), corner, at(full, stage), at(ring, stage)))
        return [barrier("expect", full, stage, bytes_), ir.Evaluate(copy)]


@dataclass(frozen=True, slots=True)
class Ring:
    """The laws of a plan as statements, and the tiles that they read; `wide` is the sum of the second product."""

    name: str
    roles: Roles
    scored: ir.Function
    carried: tuple[ir.Name, ...]
    moved: ir.Value
    columns: Index
    spans: tuple[Any, ...]
    choices: tuple[ir.Statement, ...]
    prologue: tuple[ir.Statement, ...]
    epilogue: tuple[ir.Statement, ...]
    places: tuple[Place, Place, Place]
    states: tuple[tuple[ir.Name, ir.Value, bool], ...]
    pointers: tuple[str, ...]
    rises: bool

    @property
    def row(self) -> Index:
        assert self.roles.rows is not None
        return self.roles.rows

    @property
    def scores(self) -> ir.Name:
        """The first product of a tile."""
        return scores_of(self.roles)

    @property
    def weights(self) -> ir.Name:
        """What the second product takes of a tile; `following` of the next one."""
        return weights_of(self.roles)

    @property
    def following(self) -> ir.Name:
        return ir.Name("following", self.weights.axes)

    @property
    def wide(self) -> ir.Name:
        (name,) = (s for s, _, wide in self.states if wide)
        return name

    @property
    def functions(self) -> tuple[ir.Function, ...]:
        following, load = self._next(), self._load()
        rows = self._rows(following)
        fill, empty = self._fill(load), self._empty(rows)
        return self.scored, following, load, rows, fill, empty, self._kernel(fill, empty)

    def _next(self) -> ir.Function:
        _, k, v = self.places
        before = ir.Binary("-", TURN, ONE)
        states = tuple(s for s, _, _ in self.states)
        carried = tuple(self.following if c == self.weights else c for c in self.carried)
        lines = [
            ir.Let(TURN, ir.Binary("//", ir.Binary("-", J0, FIRST), BLOCK_N)),
            ir.Unpack((STAGE, PHASE), ir.Sequence(in_ring(TURN))),
            barrier("wait", "k_full", STAGE, PHASE),
            *self._issue(k),
            ir.Unpack((STAGE_BEFORE, PHASE_BEFORE), ir.Sequence(in_ring(before))),
            barrier("wait", "v_full", STAGE_BEFORE, PHASE_BEFORE),
            product(self.weights, v.flat(at("v_ring", STAGE_BEFORE)), self.wide),
            wait(1, self.scores),
            arrive("k_empty", STAGE),
            ir.Unpack(carried, invoke(self.scored)),
            wait(0, self.wide, self.weights),
            arrive("v_empty", STAGE_BEFORE),
            ir.Let(self.wide, self.moved),
            ir.Return((*states, self.following)),
        ]
        comment = "The scores of a tile, while the weights of the one before meet v."
        return function("_next", (*states, self.weights, J0, FIRST), lines, comment)

    def _issue(self, k: Place) -> list[ir.Statement]:
        shape = ir.Sequence((BLOCK_M, BLOCK_N))
        exchanged = ir.Method(k.flat(at("k_ring", STAGE)), "permute", (ir.Sequence((ONE, ZERO), tuple=True),))
        return [
            ir.Let(self.scores, ir.Method(GL, "zeros", (shape, FLOAT, tile_layout(BLOCK_N)), axes=self.scores.axes)),
            product(HELD, exchanged, self.scores, use_acc=ir.Number(False)),
        ]

    def _load(self) -> ir.Function:
        q, k, v = self.places
        lines: list[ir.Statement] = []
        for group in (0, 1):
            number = ir.Number(group)
            phase = ir.Binary("^", ir.Binary("&", ir.Binary("//", SEEN, TWO), ONE), ONE)
            lines += [
                ir.Let(SLOT, self._slot(number)),
                barrier("wait", "q_empty", SLOT, phase),
                *q.copy("q", SLOT, ir.Binary("+", I0, ir.Binary("*", number, BLOCK_M))),
            ]
        steps = ir.Binary("//", ir.Binary("-", J0, LO), BLOCK_N)
        stage, parity = in_ring(TURN)
        body: list[ir.Statement] = [
            ir.Let(TURN, ir.Binary("+", GONE, steps)),
            ir.Unpack((STAGE, PHASE), ir.Sequence((stage, ir.Binary("^", parity, ONE)))),
        ]
        for letter, p in (("k", k), ("v", v)):
            body += [barrier("wait", f"{letter}_empty", STAGE, PHASE), *p.copy(letter, STAGE)]
        lines += [ir.For(J0, LO, HI, BLOCK_N, tuple(body)), ir.Return((self._gone(),), alone=True)]
        lines = self._where([*needed(self._range(), lines), *lines])
        return function(
            "_load", (WORK, SEEN, GONE), lines, "Loads the rows of both groups, then every tile that is visited."
        )

    def _slot(self, group: ir.Value) -> ir.Value:
        """Where the rows of a group are kept: the pieces of work take turns."""
        return ir.Binary("+", ir.Binary("*", ir.Binary("%", SEEN, TWO), TWO), group)

    def _gone(self) -> ir.Value:
        """How many tiles went through the ring by the end of a piece of work."""
        return ir.Binary("+", GONE, self._visited())

    def _visited(self) -> ir.Value:
        return ir.Binary("//", ir.Binary("-", HI, LO), BLOCK_N)

    def _where(self, lines: list[ir.Statement]) -> list[ir.Statement]:
        """The statements, after those that say which rows of which batch they are for."""
        turned = ir.Binary("-", ir.Binary("-", TILES, ONE), ir.Binary("%", WORK, TILES))
        straight: list[ir.Statement] = [
            ir.Let(TILES, ir.Binary("cdiv", size(self.row, self.roles), ir.Binary("*", TWO, BLOCK_M))),
            ir.Let(I0, ir.Binary("*", ir.Binary("*", turned, TWO), BLOCK_M)),
            ir.Let(LEAD, ir.Binary("//", WORK, TILES)),
            *batch_lines(self.roles),
        ]
        return [*needed(straight, lines), *lines]

    def _rows(self, following: ir.Function) -> ir.Function:
        q, k, v = self.places
        r, e = (ir.Name(a.name, (a,)) for a in (self.row, self.columns))
        wide = block_of(self.columns, self.roles)
        begin = ir.Binary("+", I0, ir.Binary("*", GROUP, BLOCK_M))
        lanes = ir.Lanes(BLOCK_M, (self.row,), slice_of(1, BLOCK_N))
        columns = ir.Lanes(wide, (self.columns,), slice_of(0, wide))
        base: list[ir.Statement] = [
            ir.Let(r, ir.Cast(ir.Binary("+", begin, lanes), INDEX)),
            ir.Let(within(self.row), ir.Binary("<", r, size(self.row, self.roles))),
            ir.Let(e, ir.Cast(columns, INDEX)),
            ir.Let(within(self.columns), ir.Binary("<", e, size(self.columns, self.roles))),
        ]
        for t in self.pointers:
            lead0, lead1 = (ir.Binary("*", scalar(f"lead{n}"), scalar(f"{t}_lead{n}")) for n in (0, 1))
            base.append(ir.Let(pointer(t), ir.Binary("+", pointer(t), ir.Binary("+", lead0, lead1))))
        base += self.prologue
        init: list[ir.Statement] = []
        for s, unit, is_wide in self.states:
            shape = ir.Sequence((BLOCK_M, wide) if is_wide else (BLOCK_M,))
            layout = tile_layout(wide) if is_wide else slice_of(1, BLOCK_N)
            init.append(ir.Let(s, ir.Method(GL, "full", (shape, unit, FLOAT, layout), axes=s.axes)))
        stage, phase = in_ring(GONE)
        # The first tile is run with masks, which are right everywhere.
        first: list[ir.Statement] = [
            ir.Let(STAGE, stage),
            barrier("wait", "k_full", STAGE, phase),
            *self._issue(k),
            wait(0, self.scores),
            arrive("k_empty", STAGE),
            ir.Unpack(self.carried, invoke(self.scored, j0=LO, MASKED=ir.Number(True))),
            ir.Let(self.wide, self.moved),
            ir.Let(FIRST, ir.Binary("-", LO, ir.Binary("*", GONE, BLOCK_N))),
        ]
        targets = (*(s for s, _, _ in self.states), self.weights)
        each = ir.For(J0, LO, HI, BLOCK_N, (ir.Unpack(targets, invoke(following)),))
        second = ir.Binary("+", LO, BLOCK_N)
        spans = [(ir.Binary("maximum", scalar(a.name), second), scalar(b.name), masked) for a, b, masked in self.spans]
        first += mask_free_tiles(each, spans)
        stage, phase = in_ring(TURN)
        first += [
            ir.Let(TURN, ir.Binary("-", self._gone(), ONE)),
            ir.Let(STAGE, stage),
            barrier("wait", "v_full", STAGE, phase),
            product(self.weights, v.flat(at("v_ring", STAGE)), self.wide),
            wait(0, self.wide, self.weights),
            arrive("v_empty", STAGE),
        ]
        lines = [
            *init,
            *self._range(),
            ir.Let(SLOT, self._slot(GROUP)),
            barrier("wait", "q_full", SLOT, ir.Binary("&", ir.Binary("//", SEEN, TWO), ONE)),
            ir.Let(HELD, q.flat(at("q_ring", SLOT))),
            ir.If(ir.Binary("<", LO, HI), tuple(first)),
            arrive("q_empty", SLOT),
            *self.epilogue,
            ir.Return((self._gone(),), alone=True),
        ]
        lines = self._where([*needed(base, lines), *lines])
        return function("_rows", (WORK, SEEN, GONE, GROUP), lines, "One group holds its rows and goes over the tiles.")

    def _fill(self, load: ir.Function) -> ir.Function:
        return function("_fill", (), self._each(load), "The tiles of one piece of work after another.")

    def _empty(self, rows: ir.Function) -> ir.Function:
        return function("_empty", (GROUP,), self._each(rows), "The rows of one group in every piece of work.")

    def _each(self, work: ir.Function) -> list[ir.Statement]:
        """What a program has to do: its pieces of work, and how many tiles went through the ring before each."""
        pieces = ir.Binary("cdiv", size(self.row, self.roles), ir.Binary("*", TWO, BLOCK_M))
        works = ir.Binary("*", pieces, scalar("size_batch"))
        return several_pieces([ir.Let(GONE, invoke(work))], works, before=[ir.Let(GONE, ZERO)])

    def _range(self) -> list[ir.Statement]:
        end = ir.Binary("minimum", ir.Binary("+", I0, ir.Binary("*", TWO, BLOCK_M)), size(self.row, self.roles))
        rows = [ir.Let(scalar("first_row"), I0), ir.Let(scalar("last_row"), ir.Binary("-", end, ONE))]
        return [*needed(rows, self.choices), *self.choices]

    def _kernel(self, fill: ir.Function, empty: ir.Function) -> ir.Function:
        lines: list[ir.Statement] = []
        slots = ir.Number(4)
        counts: tuple[ir.Value, ...] = (slots, RING, RING)
        for letter, p, count in zip("qkv", self.places, counts, strict=True):
            kind, layout = (ir.Method(pointer(p.tensor), n, None) for n in ("dtype", "layout"))
            shape = ir.Sequence((count, *p.shape))
            lines.append(ir.Let(scalar(f"{letter}_ring"), _shared(kind, shape, layout)))
        whole = ir.Method(GL, "int64", None)
        for name in BARRIERS:
            shape = ir.Sequence((slots if name.startswith("q") else RING, ONE))
            lines.append(ir.Let(scalar(name), _shared(whole, shape, ir.Method(BARRIER, "MBarrierLayout"))))
        for letters, count in (("q", slots), ("kv", RING)):
            body = tuple(
                barrier("init", b, STAGE, count=TWO if b.endswith("empty") and b[0] != "q" else ONE)
                for b in BARRIERS if b[0] in letters
            )  # fmt: skip
            lines.append(ir.For(STAGE, ZERO, count, None, body, unrolled=True))
        lines.append(ir.Evaluate(ir.Call("fence_async_shared", ())))
        groups = (invoke(empty, group=ir.Number(n)) for n in (0, 1))
        lines.append(ir.Specialise((invoke(fill), *groups), (4, 4), (240, 240)))
        return function(f"{self.name}_hopper", (), lines, "A warp loads tiles; two groups of 64 rows compute.")


def _shared(kind: ir.Value, shape: ir.Value, layout: ir.Value) -> ir.Method:
    return ir.Method(GL, "allocate_shared_memory", (kind, shape, layout))
