"""Puts the laws of a plan into kernels: rolling over the axis, split into parts, and the finish of the parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra import Plan
from refold.algebra.base2 import in_base2
from refold.algebra.roles import Roles, assign
from refold.algebra.tiles import SPLIT, TileRanges, tile_ranges, whole
from refold.emit.body import NOWHERE, UNITS, guarded, merge_function, step_function, store, tile_axes
from refold.emit.boxes import Box, boxes
from refold.emit.heads import HELPERS
from refold.emit.lower import Host, Scope, Val
from refold.emit.masks import range_lines, summary_function
from refold.emit.source import CONSTANTS, RESERVED, Function, Names, block, free_names, read_names
from refold.errors import EmitError
from refold.spec import Index

# What the caches are told of the elements of a row of many tiles: to be read again, or not again.
KEPT, LAST_USE = '"evict_last"', '"evict_first"'


@dataclass(frozen=True, slots=True)
class Kernels:
    """Everything the kernel file holds but its launcher: functions in order, and what the launcher has to pass."""

    plan: Plan
    roles: Roles
    ranges: TileRanges
    helpers: tuple[str, ...]
    functions: tuple[Function, ...]
    rolling: Function
    parts: Function
    finish: Function
    strides: dict[tuple[str, Any], str]
    host: dict[sp.Expr, str]
    boxes: dict[str, Box]

    @property
    def costly(self) -> bool:
        """Whether a score takes more than a product and a sum."""
        return bool({"_tanh", "_sigmoid"} & {*self.helpers})

    @property
    def text(self) -> str:
        pieces = [HELPERS[h] for h in self.helpers] + [
            f.text for f in (*self.functions, self.rolling, self.parts, self.finish)
        ]
        return "\n\n".join(pieces)


def kernels(plan: Plan, name: str) -> Kernels:
    """The kernels of a plan. Raises `EmitError` for a shape of pipeline that has no kernel yet."""
    written = plan
    plan = in_base2(plan)
    # Of the plan as proved: base 2 changes neither axes nor predicates.
    roles = assign(written)
    strides = _strides(written)
    names = Names(_taken(written, strides))
    rereads = not roles.contracts and any(roles.fold in f.axes for f in plan.finish)
    prologue = Scope(roles, Host(names, boxes=boxes(written, roles)), strides, names, rereads=rereads)
    ranges = tile_ranges(written, roles)
    base = _indices(prologue, ranges)
    prologue.lines.clear()
    step = step_function(plan, prologue, "_step")
    merge = merge_function(plan, prologue, "_merge")
    states = [a.symbol for a in plan.accumulators]
    epilogue = prologue.inside(states)
    for a in plan.accumulators:
        val = Val(str(a.symbol), tile_axes(a, roles))
        if a.reducer == "argmax":
            val = Val(f"tl.where({val.text} == {NOWHERE}, -1, {val.text})", val.axes)
        epilogue.bind(a.symbol, val)
    write = _finish(plan, epilogue)
    live = summary_function(ranges, prologue, "_live")
    functions = [f for f in (step, merge, write, live) if f is not None]
    calls = tuple(f.name for f in functions)
    init = [f"{a.symbol} = {_unit(a.reducer, tile_axes(a, roles), roles)}" for a in plan.accumulators]
    loops = _loops(step, live, states, ranges, roles)
    bounds = prologue.inside(())
    rolling_range = range_lines(ranges, bounds, *whole(roles.fold))
    parts_range = range_lines(ranges, bounds, *SPLIT)
    part = ["part = tl.program_id(1)", *block("if OVERLAP:", ["tl.extra.cuda.gdc_launch_dependents()"])]
    fold = roles.fold.name

    def kernel(suffix: str, body: list[str], comment: str) -> Function:
        used = prologue.lines + bounds.lines
        lines = needed([*base, *used], body)
        return Function(f"{name}_{suffix}", (), (*lines, *body), calls, comment)

    visits = [*rolling_range, *loops]
    ragged = "True" if roles.contracts else "RAGGED"
    writes = (
        block(f"for j0 in range(0, size_{fold}, BLOCK_N):", write.call(MASKED=ragged, EVICT=LAST_USE)) if write else []
    )
    if ranges.held(roles):
        visits, writes = _last_tile_held(step, write, states, fold)
    values, stores = _stores_last(epilogue.lines)
    rolling = kernel("rolling", [*init, *visits, *values, *writes, *stores],
                     f"One program holds its rows and goes over all of axis {fold}.")  # fmt: skip
    saved = [f"tl.store({_place(a, roles)}, {a.symbol}{_mask(a, roles)})" for a in plan.accumulators]
    parts = kernel("parts", [*part, *init, *parts_range, *loops, *saved],
                   f"One program leaves the state of one part of axis {fold}.")  # fmt: skip
    loads = [
        f"{a.symbol}_part = tl.load({_place(a, roles)}{_mask(a, roles, UNITS[a.reducer])})" for a in plan.accumulators
    ]
    # Unrolled, the loads of several parts are under way at a time.
    joins = block("if OVERLAP:", ["tl.extra.cuda.gdc_wait()  # begun early: the parts are not all there yet"])
    joins += block("for part in tl.range(0, parts, loop_unroll_factor=8):", [*loads, *merge.call(_targets(states))])
    last = [*joins, *epilogue.lines]
    if write:
        # Every chunk of the axis has a program, and one of them writes what does not vary with the axis.
        once = block("if tl.program_id(1) == 0:", stores) if stores else []
        chunk = f"for j0 in range(start, tl.minimum(start + chunk, size_{fold}), BLOCK_N):"
        chunks = block(chunk, write.call(MASKED=ragged, EVICT=LAST_USE))
        last = [*joins, *values, *once, "start = tl.program_id(1) * chunk", *chunks]
    finish = kernel("finish", [*init, *last], "Merges the states of all parts and writes.")
    return Kernels(plan, roles, ranges, tuple(sorted(prologue.host.helpers)), tuple(functions), rolling, parts, finish,
                   strides, prologue.host.scalars, prologue.host.boxes)  # fmt: skip


def _strides(plan: Plan) -> dict[tuple[str, Any], str]:
    """The argument for every stride: `q_i` for axis i of q, `q_lead0` and `q_lead1` for the leading dimensions."""
    found: dict[tuple[str, Any], str] = {}
    tensors = [(t.name, t.axes) for t in plan.spec.tensors] + [(f.name, f.axes) for f in plan.finish]
    for tensor, axes in tensors:
        for key in ("lead0", "lead1", *axes):
            found[tensor, key] = f"{tensor}_{key}"
    return found


def _taken(plan: Plan, strides: dict[tuple[str, Any], str]) -> set[str]:
    """Every name that is not free, after a look that none is wanted twice."""
    spec = plan.spec
    users = [t.name for t in spec.tensors] + [o.name for o in spec.outputs] + [a.name for a in spec.axes]
    users += [p.name for p in spec.params]
    states = [str(a.symbol) for a in plan.accumulators]
    made = [
        f"{t}_ptr"
        for t in (*(t.name for t in spec.tensors), *(o.name for o in spec.outputs), *(f"part_{s}" for s in states))
    ]
    made += [f"{prefix}_{a.name}" for a in spec.axes for prefix in ("size", "SIZE", "BLOCK", "in")]
    made += strides.values()
    for name in users:
        if name in RESERVED or name in made or name.startswith(("BLOCK_", "SIZE_")) or name in CONSTANTS:
            raise EmitError(
                f"{name} is a word of the emitted kernel: give that tensor, axis, scalar or output another name"
            )
    reserved = {a.name for a in spec.axes} | {p.name for p in spec.params} | set(states)
    return reserved | set(made) | {f"{s}_{x}" for s in states for x in ("part",)} | set(RESERVED)


# The rows with most tiles start first, and side by side those of `side` batches: what they read fits in the cache.
_HEAVIEST_FIRST = [
    "before = pid // (tiles * side) * side",
    "beside = tl.minimum(size_batch - before, side)",
    "place = pid % (tiles * side)",
    "i0 = (tiles - 1 - place // beside) * BLOCK_M",
    "batch = before + place % beside",
]


def _indices(scope: Scope, ranges: TileRanges) -> list[str]:
    """Where a program is: its rows, its batch, the positions along axes held in registers, the shifted pointers."""
    roles = scope.roles
    lines = ["pid = tl.program_id(0)"]
    rows = roles.rows
    if rows is None:
        lines += ["batch = pid"]
    elif roles.group is None:
        r, size = rows.name, f"size_{rows.name}"
        lines += [f"tiles = tl.cdiv({size}, BLOCK_M)"]
        lines += _HEAVIEST_FIRST if ranges.rises(roles) else ["i0 = pid % tiles * BLOCK_M", "batch = pid // tiles"]
        lines += [
            f"{r} = (i0 + tl.arange(0, BLOCK_M)).to(INDEX)  # [BLOCK_M]",
            f"in_{r} = {r} < {size}",
            "first_row = i0",
            f"last_row = tl.minimum(i0 + BLOCK_M, {size}) - 1",
        ]
        scope.whole[rows] = Val(r, (rows,))
    else:
        r, size = rows.name, f"size_{rows.name}"
        count = scope.integer(roles.group).text
        lines += [
            f"group_size = {count}",
            "tiles = tl.cdiv(group_size, BLOCK_M)",
            f"groups = tl.cdiv({size}, group_size)",
            "i0 = pid % tiles * BLOCK_M",
            "group = pid // tiles % groups",
            "batch = pid // tiles // groups",
            "in_group = i0 + tl.arange(0, BLOCK_M)",
            f"{r} = (group * group_size + in_group).to(INDEX)  # [BLOCK_M], rows that share what is read at `group`",
            f"in_{r} = (in_group < group_size) & ({r} < {size})",
            "first_row = group * group_size + i0",
            f"last_row = tl.minimum(group * group_size + tl.minimum(i0 + BLOCK_M, group_size), {size}) - 1",
        ]
        scope.whole[rows] = Val(r, (rows,))
    lines += ["lead = batch", *batch_lines(roles)]
    scope.whole |= {axis: Val(axis.name) for axis in roles.batch}
    for axis in roles.inner:
        a = axis.name
        lines += [f"{a} = tl.arange(0, BLOCK_{a}).to(INDEX)  # [BLOCK_{a}]", f"in_{a} = {a} < SIZE_{a}"]
        scope.whole[axis] = Val(a, (axis,))
    for tensor in dict.fromkeys(t for t, _ in scope.strides):
        shift = f"lead0 * {tensor}_lead0 + lead1 * {tensor}_lead1"
        boxed = tensor in scope.host.boxes
        lines.append(f"{tensor}_ptr = {tensor}_ptr if BOX else {tensor}_ptr + {shift}" if boxed else
                     f"{tensor}_ptr += {shift}")  # fmt: skip
    return lines


def batch_lines(roles: Roles) -> list[str]:
    """The digits of `lead`: a position along every batch axis, and the two leading ones."""
    lines = []
    for axis in reversed(roles.batch):
        lines += [f"{axis.name} = (lead % size_{axis.name}).to(INDEX)", f"lead = lead // size_{axis.name}"]
    return [*lines, "lead0 = (lead // size_lead).to(tl.int64)", "lead1 = (lead % size_lead).to(tl.int64)"]


def needed(lines: Iterable[str], body: list[str]) -> list[str]:
    """Those of the straight lines that the body, or a needed line after them, reads."""
    wanted = free_names(body)
    kept: list[str] = []
    for line in reversed(list(lines)):
        target = line.split(" ", 1)[0]
        if target in wanted:
            kept.append(line)
            wanted |= read_names(line)
    return kept[::-1]


def _shape(axes: tuple[Index, ...], roles: Roles) -> str:
    return ", ".join("BLOCK_M" if a == roles.rows else f"BLOCK_{a.name}" for a in axes)


def _unit(reducer: str, axes: tuple[Index, ...], roles: Roles) -> str:
    dtype = "tl.int32" if reducer == "argmax" else "tl.float32"
    return f"tl.full([{_shape(axes, roles)}], {UNITS[reducer]}, {dtype})"


def _targets(states: list[Any]) -> str:
    return ", ".join(map(str, states)) if len(states) > 1 else f"({states[0]},)"


def _last_tile_held(
    step: Function, write: Function | None, states: list[Any], fold: str
) -> tuple[list[str], list[str]]:
    """The visits of a rolling program whose tiles only the end of the axis masks, and its writes.

    No loop stands between the step over the last tile and what is written of it, so that the compiler makes their
    loads one: a row of one tile is read once. The tiles before are read again, the latest first, which the caches
    were told to keep. Without any (ONE_TILE) the loops would cost registers.
    """
    before, once = "if not ONE_TILE:", f'"" if ONE_TILE else {LAST_USE}'
    visits = [f"last = 0 if ONE_TILE else (tl.cdiv(size_{fold}, BLOCK_N) - 1) * BLOCK_N"]
    loop = step.call(_targets(states), MASKED="False", EVICT=KEPT)
    visits += block(before, block("for j0 in range(0, last, BLOCK_N):", loop))
    visits += step.call(_targets(states), j0="last", MASKED="RAGGED", EVICT=once)
    if write is None:
        return visits, []
    writes = write.call(j0="last", MASKED="RAGGED", EVICT=once)
    loop = write.call(j0="last - back", MASKED="False", EVICT=LAST_USE)
    return visits, [*writes, *block(before, block("for back in range(BLOCK_N, last + BLOCK_N, BLOCK_N):", loop))]


def _loops(step: Function, live: Function | None, states: list[Any], ranges: TileRanges, roles: Roles) -> list[str]:
    """The masked tiles before, the unmasked ones, and the masked ones after; of each, first its summary."""
    # Unasked, Triton loads ahead what a dot reads, and that alone.
    ahead = (
        "range({}, {}, BLOCK_N)"
        if roles.contracts or not roles.inner
        else "tl.range({}, {}, BLOCK_N, num_stages=STAGES)"
    )
    lines: list[str] = []
    for start, stop, masked in ranges.spans:
        body = step.call(_targets(states), MASKED=str(masked), EVICT=KEPT)
        if live is not None:
            body = [*live.call("live"), *block("if live:", body)]
        loop = block(f"for j0 in {ahead.format(start, stop)}:", body)
        lines += block("if RAGGED:", loop) if masked and ranges.held(roles) else loop
    return lines


def _stores_last(lines: list[str]) -> tuple[list[str], list[str]]:
    """Lines that compute and lines that store: a store between two loads of one element would keep them apart."""
    stores = [x for x in lines if x.startswith("tl.store(")]
    return [x for x in lines if x not in stores], stores


def _place(a: Any, roles: Roles) -> str:
    """The place of an accumulator in the workspace [parts, batch, rows, inner]."""
    axes = tile_axes(a, roles)
    text = "(part * size_batch + batch).to(tl.int64)"
    if roles.rows is not None and roles.rows in axes:
        text = f"({text} * size_{roles.rows.name} + {roles.rows.name})"
    for n, x in enumerate(axes):
        if x != roles.rows:
            before = f"[{', '.join([':'] * n + ['None'])}]" if n else ""
            index = f"{x.name}[{', '.join(['None'] * n + [':'])}]" if n else x.name
            text = f"({text}{before} * SIZE_{x.name} + {index})"
    return f"part_{a.symbol}_ptr + {text}"


def _mask(a: Any, roles: Roles, other: str = "") -> str:
    axes = tile_axes(a, roles)
    if not axes:
        return ""
    masks = []
    for n, x in enumerate(axes):
        spread = f"[{', '.join(':' if m == n else 'None' for m in range(len(axes)))}]" if len(axes) > 1 else ""
        masks.append(f"in_{x.name}{spread}")
    return f", mask={' & '.join(masks)}" + (f", other={other}" if other else "")


def _finish(plan: Plan, epilogue: Scope) -> Function | None:
    """Writes the outputs that do not vary with the fold axis into the epilogue; the others become `_write`."""
    fold = plan.axis
    lines = [
        f"{fold.name} = (j0 + tl.arange(0, BLOCK_N)).to(INDEX)",
        f"in_{fold.name} = {fold.name} < size_{fold.name} if MASKED else tl.full([BLOCK_N], True, tl.int1)",
    ]
    count, names = len(lines), epilogue.names.function()
    for f in plan.finish:
        scope, guard = epilogue, None
        if f.guard is not sp.true:
            guard = epilogue.condition(f.guard)
            scope = guarded(epilogue, f.guard)
        if fold not in f.axes:
            store(scope, f, guard)
            continue
        tile = scope.function({fold})
        tile.lines, tile.names, tile.whole[fold] = lines, names, Val(fold.name, (fold,))
        if guard is not None:
            guard = epilogue.name("ok", guard)
        store(tile, f, guard)
    if len(lines) == count:
        return None
    values, stores = _stores_last(lines)
    return Function(
        "_write",
        ("j0",),
        (*values, *stores),
        tuple(epilogue.host.helpers),
        f"One tile of what varies with axis {fold.name}.",
    )
