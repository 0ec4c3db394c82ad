"""A rewrite of loads: a tile of consecutive positions is read by a tensor descriptor, where the tensor can have one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from refold.schedule import ir
from refold.schedule.lower.words import DESC, ZERO, constant, descriptor, pointer, within
from refold.schedule.walk import every, function, names, rewritten
from refold.spec import Index

Lanes: TypeAlias = Mapping[str, tuple[ir.Value, str]]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A tile as a descriptor reads it: its first position along every dimension, the two leading ones first.

    `blocks` has the name of the block for every axis, and None where the tile is one position.
    """

    corner: tuple[ir.Value, ...]
    blocks: tuple[str | None, ...]

    @property
    def tile(self) -> tuple[str, ...]:
        """The blocks of the two axes of the tile."""
        return tuple(b for b in self.blocks if b is not None)


def descriptors(
    module: Sequence[ir.Function], strides: Mapping[str, tuple[str, ...]], apart: Collection[str] = ()
) -> tuple[tuple[ir.Function, ...], dict[str, Descriptor]]:
    """The tiles that a module reads of a tensor are read by a descriptor where the launcher could make one.

        j = j0 + arange(0, BLOCK_N); d = arange(0, BLOCK_d)
        in_j = j < size_j; in_d = d < SIZE_d
        k_ptr = k_ptr + (lead0 * k_lead0 + lead1 * k_lead1)
        k = load(k_ptr + j * k_j + d * k_d, mask=in_j & in_d, other=0.0)

        ->  k = k_desc.load([lead0, lead1, j0, 0]).reshape(BLOCK_N, BLOCK_d) if DESC else load(... as before)

    `strides` has the tensors that can have one, and of each the argument for every stride, in the order of its
    dimensions. The tile has two axes in that order, the second the tensor's last, one position of the program along
    every other dimension, and no mask but the ends of those two: beyond the ends of a tensor a descriptor gives 0, as
    the masked load does. A descriptor has one shape: that of the first such load. It stands beside the pointer, by
    which all other loads of the tensor go on: at places that data give, of other shapes, in the functions `apart`.
    In a module a function stands before those that call it.

    Obligations `index loads`: both sides read the same positions, those that the mask leaves out are beyond an end of
    the tensor, and the others are inside of it; `refinement` is about the loads. Trusted: that the launcher makes the
    descriptor of this tensor, its strides and these blocks, and that the hardware does what it says.
    """
    made: dict[str, Descriptor] = {}
    tiles: dict[tuple[str, ir.Load], ir.Choice] = {}
    for f in (f for f in module if f.name not in apart):
        lanes = _lanes(f, module)
        for load in (n for n in every(f) if isinstance(n, ir.Load)):
            tensor = next((t for t in strides if _terms(load.place)[0] == pointer(t)), "")
            one = _descriptor(load, module, tensor, strides[tensor], lanes) if tensor else None
            if one is not None and made.setdefault(tensor, one).blocks == one.blocks:
                shape = tuple(map(constant, one.tile))
                tile = ir.Fetch(descriptor(tensor), one.corner, shape, load.axes)
                tiles[f.name, load] = ir.Choice(DESC, tile, load)
    return _with(module, tiles), {t: made[t] for t in sorted(made)}


def _descriptor(
    load: ir.Load, module: Sequence[ir.Function], tensor: str, strides: tuple[str, ...], lanes: Lanes
) -> Descriptor | None:
    """The descriptor of a load at one position times its stride along every dimension, masked by the ends."""
    shifts = {s for f in module for s in every(f) if isinstance(s, ir.Let) and s.target == pointer(tensor)}
    if len(shifts) != 1:
        return None
    (shift,) = shifts
    ends = [within(a) for a in load.axes if isinstance(a, Index)]
    if _conjuncts(load.mask) != ends or load.other != ZERO:
        return None
    found: dict[str, ir.Value] = {}
    for term in (*_terms(shift.value)[1:], *_terms(load.place)[1:]):
        match term:
            case ir.Binary("*", position, ir.Name(stride)) if stride in strides and stride not in found:
                found[stride] = position.x if isinstance(position, ir.Spread) else position
            case _:
                return None
    if {*found} != {*strides} or _terms(shift.value)[0] != shift.target:
        return None
    corner: list[ir.Value] = []
    blocks: list[str | None] = []
    axes: list[Any] = []
    for position in (found[s] for s in strides):
        if isinstance(position, ir.Name) and position.text in lanes:
            start, block = lanes[position.text]
            axes += position.axes
        elif position.axes or all(n.kind != "value" for n in names(position)):
            # A number that the compiler may know cannot be cast.
            return None
        else:
            start, block = ir.Cast(position, "int32"), None
        corner.append(start)
        blocks.append(block)
    leading = len(_terms(shift.value)) - 1
    # What lies side by side in memory is a side of the tile: a descriptor fetches 16 bytes of it at least.
    fits = len(axes) == 2 and (*axes,) == load.axes and blocks[-1] is not None
    return Descriptor(tuple(corner), tuple(blocks[leading:])) if fits else None


def _with(module: Sequence[ir.Function], tiles: Mapping[tuple[str, ir.Load], ir.Choice]) -> tuple[ir.Function, ...]:
    """The functions with other tiles, and what these read beside among their parameters."""
    made: dict[str, ir.Function] = {}
    before = {f.name: f for f in module}
    for f in module:

        def change(node: Any, here: str = f.name) -> Any:
            match node:
                case ir.Load():
                    return tiles.get((here, node), node)
                case ir.Invoke(name, args) if name in made:
                    given = dict(zip((p.text for p in before[name].parameters), args, strict=True))
                    return ir.Invoke(name, tuple(given.get(p.text, p) for p in made[name].parameters))
            return node

        body = rewritten(f.body, change)
        # What a function is given anew stands before its pointers, if it has any; all else is in a fixed order.
        kinds = [p.kind for p in f.parameters]
        first = f.parameters[: kinds.index("pointer")] if "pointer" in kinds else f.parameters
        made[f.name] = f if body == f.body else function(f.name, first, body, f.comment)
    return tuple(made.values())


def _lanes(function: ir.Function, module: Iterable[ir.Function]) -> Lanes:
    """The names of consecutive positions that a whole tile has, each with the first one and its block.

    What a function does not say itself it is given, by that name, by those that call it.
    """
    own = _consecutive([function])
    found = _consecutive(module) | own
    return {name: one for name, (one, *others) in found.items() if not others}


def _consecutive(module: Iterable[ir.Function]) -> dict[str, set[tuple[ir.Value, str]]]:
    found: dict[str, set[tuple[ir.Value, str]]] = {}
    for line in (n for f in module for n in every(f) if isinstance(n, ir.Let)):
        match line.value.x if isinstance(line.value, ir.Cast) else line.value:
            case ir.Lanes(ir.Name(block)):
                found.setdefault(line.target.text, set()).add((ir.Number(0), block))
            case ir.Binary("+", start, ir.Lanes(ir.Name(block))):
                found.setdefault(line.target.text, set()).add((start, block))
    return found


def _terms(value: ir.Value) -> list[ir.Value]:
    """The terms of a sum, in their order."""
    if isinstance(value, ir.Binary) and value.op == "+":
        return [*_terms(value.a), *_terms(value.b)]
    return [value]


def _conjuncts(mask: ir.Value | None) -> list[ir.Value]:
    """The tiles of one axis each that a mask joins."""
    if isinstance(mask, ir.Binary) and mask.op == "&":
        return [*_conjuncts(mask.a), *_conjuncts(mask.b)]
    return [] if mask is None else [mask.x if isinstance(mask, ir.Spread) else mask]
