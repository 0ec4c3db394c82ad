"""The words of Hopper's kernel: barriers, layouts, products under way, and tiles that are copied into buffers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from refold.algebra.roles import Roles
from refold.schedule import ir
from refold.schedule.lower.names import HOPPER_VALUES
from refold.schedule.lower.words import block_of, constant, descriptor, scalar
from refold.schedule.walk import rewritten

BARRIERS = ("q_full", "q_empty", "k_full", "k_empty", "v_full", "v_empty")
GL, BARRIER = (ir.Name(n, kind="global") for n in ("gl", "mbarrier"))
STAGE, PHASE, STAGE_BEFORE, PHASE_BEFORE, TURN, HELD, WORK, NTH, SLOT, GONE, FIRST = map(scalar, HOPPER_VALUES[3:14])
GROUP, I0, J0, LO, HI, LEAD, TILES = map(scalar, ("group", "i0", "j0", "lo", "hi", "lead", "tiles"))
# How many tiles have a buffer, and of how many pieces of work the rows have one.
BUFFERS, HELD_AT_ONCE = constant("SIZE_stages"), constant("SIZE_rows")
ZERO, ONE, TWO = (ir.Number(n) for n in (0, 1, 2))
FLOAT = ir.Method(GL, "float32", None)


def tile_layout(columns: ir.Value) -> ir.Call:
    """How the warps of a group hold a tile of its rows and so many columns."""
    return ir.Call("_tile", (columns,))


def slice_of(axis: int, columns: ir.Value) -> ir.Method:
    """How they hold a value for each row (1) or each column (0) of such a tile."""
    return ir.Method(GL, "SliceLayout", (ir.Number(axis), tile_layout(columns)))


def in_lines(line: ir.Statement, roles: Roles) -> ir.Statement:
    """store(place, tile, mask)   ->   the same, each thread with columns side by side, for stores of 16 bytes."""
    columns = [a for a in line.place.axes if a in roles.inner] if isinstance(line, ir.Store) else []
    if not isinstance(line, ir.Store) or len(line.place.axes) != 2 or len(columns) != 1:
        return line
    lines = ir.Call("_lines", (block_of(columns[0], roles),))

    def held(node: Any) -> Any:
        if not isinstance(node, ir.Spread):
            return node
        x = node.x.args[0] if isinstance(node.x, ir.Call) and node.x.function == "_as_rows" else node.x
        across = ir.Method(GL, "SliceLayout", (ir.Number(1 - node.axes.index(x.axes[0])), lines))
        return replace(node, x=ir.Method(GL, "convert_layout", (x, across), axes=x.axes))

    value = ir.Method(GL, "convert_layout", (line.value, lines), axes=line.value.axes)
    return replace(line, place=rewritten(line.place, held), value=value, mask=rewritten(line.mask, held))


def at(buffer: str, stage: ir.Value) -> ir.Method:
    """One of the barriers, or one of the buffers of a tensor."""
    return ir.Method(scalar(buffer), "index", (stage,))


def barrier(action: str, name: str, stage: ir.Value, *args: ir.Value, **keywords: ir.Value) -> ir.Evaluate:
    """Waits at a barrier, arrives at it, or says what it is to expect."""
    return ir.Evaluate(ir.Method(BARRIER, action, (at(name, stage), *args), tuple(keywords.items())))


def arrive(name: str, stage: ir.Value) -> ir.Evaluate:
    return barrier("arrive", name, stage, count=ONE)


def in_buffers(turn: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The buffer of a tile, and the parity of how often all buffers were filled before."""
    return ir.Binary("%", turn, BUFFERS), ir.Binary("&", ir.Binary("//", turn, BUFFERS), ONE)


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
        """Copies a tile into its buffer; its barrier learns how many bytes to expect."""
        corner = ir.Sequence(tuple(row if c == I0 else c for c in self.coordinates))
        bytes_ = ir.Method(ir.Method(descriptor(self.tensor), "block_type", None), "nbytes", None)
        full, buffers = f"{letter}_full", f"{letter}_buffers"
        copy = ir.Call("_copy", (descriptor(self.tensor), corner, at(full, stage), at(buffers, stage)))
        return [barrier("expect", full, stage, bytes_), ir.Evaluate(copy)]
