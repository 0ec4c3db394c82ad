"""Prints what a launcher does before it launches: checks, tiles, the arguments of kernels, and what is launched."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from refold.emit import hopper
from refold.emit.host import host, integer
from refold.emit.operator import as_tuple
from refold.emit.signature import dtype_of, quoted, signature
from refold.emit.source import wrap
from refold.emit.weights import bounded_weights
from refold.schedule import ir
from refold.schedule.launch import Launch, Within, digits, launch, sized_by
from refold.schedule.lower.definitions import tile_axes
from refold.schedule.lower.hopper import Hopper
from refold.schedule.lower.kernels import Kernels
from refold.schedule.walk import contains
from refold.spec import Index, Spec

# What the launcher calls the arguments that grids and flags are made of.
CALLED = {"size_batch": "batch", "BLOCK_M": "block_m", "group_size": "group", "groups": "groups", "chunk": "chunk",
          "BLOCK_N": "block_n", "parts": "parts"}  # fmt: skip


def prepare_lines(k: Kernels, warps: Hopper | None) -> list[str]:
    """The body of the function that checks what is given and lays out the call."""
    text = Preparing(k, warps, launch(k))
    return [*text.checks(), *text.tiles(), *text.parts(), *text.arguments(), *text.launches()]


@dataclass(frozen=True, slots=True)
class Preparing:
    """The text for the kernels of a plan and how they are launched."""

    k: Kernels
    warps: Hopper | None
    how: Launch

    @property
    def spec(self) -> Spec:
        return self.k.given.spec

    @property
    def floats(self) -> str:
        """The tensor whose dtype is that of the data."""
        return dtype_of(self.spec) or signature(self.spec)[0]

    @property
    def rows(self) -> str:
        """How many rows share what a program reads."""
        roles = self.k.roles
        if roles.rows is None:
            return "1"
        return _length(roles.rows) if roles.group is None else "group"

    @property
    def fold(self) -> str:
        return _length(self.k.roles.fold)

    @property
    def boxed(self) -> str:
        return ", descriptors=descriptors" if self.k.descriptors else ""

    def written(self, value: ir.Value) -> str:
        """An integer of a launch, as the launcher calls what it is made of."""
        words = {f"size_{a.name}": _length(a) for a in self.spec.axes} | {p.name: p.name for p in self.spec.params}
        return integer(value, words | CALLED).text

    def checks(self) -> list[str]:
        """Lengths, scalars and indices, and the layout of what is given."""
        spec, how, tensors = self.spec, self.how, signature(self.spec)
        _, pairs, unknown = sized_by(spec)
        body = [f"inputs = {{{', '.join(f'{quoted(t)}: {t}' for t in tensors)}}}", "size = rt.sizes(TABLES, inputs)"]
        body += [f"{_length(a)} = rt.length(TABLES, {quoted(a.name)}, {a.name})" for a in unknown]
        body += [f"rt.check_equal(TABLES, size, {quoted(a.name)}, {quoted(b.name)}, {quoted(t)})" for a, b, t in pairs]
        filled = ", ".join(quoted(a.name) for a in how.filled)
        body += [f"rt.check_positive(TABLES, size, {filled})"] if filled else []
        for p in spec.params:
            kind = f"integer={bool(p.is_integer)}, positive={bool(p.is_positive)}"
            body += [f"{p.name} = rt.scalar(TABLES, {quoted(p.name)}, {p.name}, {kind})"]
        body += dict.fromkeys(map(_index_check, how.inside))
        body += [f"{p.name} = rt.limited({p.name}, {host(sp.Max(0, *rest))})" for p, rest in how.clamped]
        return [
            *body,
            f"device = {tensors[0]}.device",
            "lead, views, copied = rt.leading(TABLES, inputs)",
            "layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)",
            "if not any(o.numel() for o in outputs.values()):",
            "    return rt.Call(TABLES, device, layout)",
            "views.update(outputs)",
        ]

    def tiles(self) -> list[str]:
        """How many rows and positions a tile has, and how many batches there are."""
        roles, itemsize, body = self.k.roles, f"{self.floats}.element_size()", list[str]()
        if roles.group is not None and roles.rows is not None:
            body += [f"group = {host(roles.group)}", f"groups = -(-{_length(roles.rows)} // group)"]
        least = 16 if roles.contracts else 1
        pads = ", ".join(
            f'"BLOCK_{a.name}": rt.{"piece" if a in roles.pieces else "pad"}({_length(a)}, {least})'
            for a in roles.inner if a not in roles.singles
        )  # fmt: skip
        body += [f"pads = {{{pads}}}"]
        body += ["pinned = any((block_m, block_n, num_warps, num_stages))"] if self.warps else []
        body += ["batch = math.prod(lead)" + "".join(f" * {_length(a)}" for a in roles.batch)]
        if not roles.row_reduction:
            shared = "groups * batch" if roles.group else "batch"
            chosen = ["block_m", "block_n", "num_warps", "num_stages"]
            given = ["TABLES", *chosen, self.rows, self.fold, shared, "pads", itemsize, "device"]
            return [*body, *wrap(f"{', '.join([*chosen, 'slots'])} = rt.tiles(", given, ")", 4)]
        blocks = ["TABLES", "block_m", "block_n", self.rows, self.fold, "batch", itemsize, "rt.units(device)"]
        known = self.sides()
        slots = "rt.row_slots(num_warps, rt.units(device))" if known else "2 * rt.units(device)"
        return [
            *body,
            *(
                wrap("block_m, block_n = rt.row_blocks(", [*blocks, *known], ")", 4)
                if known
                else [f"block_m, block_n = rt.row_blocks({', '.join(blocks)})"]
            ),
            f"num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, {self.fold}, {itemsize})",
            f"slots = {slots}",
        ]

    def sides(self) -> list[str]:
        """What bounds a tile of a row reduction: rows side by side in memory, runs of positions that share a read."""
        roles, found = self.k.roles, list[str]()
        rows, fold = roles.rows, roles.fold
        if any(rows in t.axes[t.axes.index(fold) + 1 :] for t in self.spec.tensors if fold in t.axes):
            assert rows is not None
            found += [f"across=rt.across(TABLES, views, {quoted(rows.name)}, {quoted(fold.name)})"]
        lengths = [p.name for p in digits(self.k.given, roles)]
        return found + ([f"lengths={as_tuple(lengths)}"] if lengths else [])

    def parts(self) -> list[str]:
        """How many programs there are, and how many parts of the axis."""
        how = self.how
        body = [f"programs = {self.written(how.grid('rolling')[0])}"]
        body += [f"parts, chunk = rt.schedule(TABLES, schedule, splits, programs, {self.fold}, block_n, slots)"]
        if how.cut is not None:
            cut = map(self.written, (how.cut.chunk, how.cut.tile, how.cut.end, how.cut.length))
            body += [f"rt.check_parts(TABLES, {', '.join(cut)})"]
        counts = map(self.written, how.counts)
        return [*body, *wrap("rt.check_launch(", ["TABLES", "(block_m, block_n, *pads.values())", *counts], ")", 4)]

    def arguments(self) -> list[str]:
        """What the kernels are given."""
        k, spec, roles, body = self.k, self.spec, self.k.roles, list[str]()
        args = [f'"{text}": {host(expr)}' for expr, text in k.host.items()]
        args += [f'"{p.name}": {p.name}' for p in spec.params if p not in k.host]
        args += [f'"size_{a.name}": {_length(a)}' for a in spec.axes if a not in roles.inner]
        args += [f'"SIZE_{a.name}": {_length(a)}' for a in roles.inner]
        args += ['"size_lead": lead[-1] if lead else 1', '"size_batch": batch', '"parts": parts', '"chunk": chunk']
        if k.ranges.rises(roles):
            read = " + ".join(f"{t.name}.nbytes" for t in spec.tensors if roles.fold in t.axes) or "0"
            args += [f'"side": rt.side({read}, batch, device)']
        args += ['"BLOCK_M": block_m', '"BLOCK_N": block_n', "**pads"]
        args += [f"{quoted(flag.text)}: {self.written(holds)}" for flag, holds in self.how.flags]
        operand = f"rt.operand({self.floats}.dtype)"
        if roles.contracts and not bounded_weights(k.plan):
            body += ["# The weights of a sum have no bound, and float16 ends at 65504."]
            operand = f"tl.float32 if {self.floats}.dtype == torch.float16 else {operand}"
        args += [f'"OPERAND": {operand}', *([f'"FAST": rt.fast({self.floats})'] if "_tanh" in k.helpers else [])]
        args += ['"STAGES": num_stages or 3', '"OVERLAP": parts > 1 and rt.overlaps(device)']
        farthest = [f"max({', '.join(['0', *map(host, self.how.reaches)])})"] if self.how.reaches else []
        return [
            *body,
            *wrap("args = {", args, "}", 4),
            f"rt.strides({', '.join(['TABLES', 'args', 'views', *farthest])})",
            *(["descriptors = rt.descriptors(TABLES, args, views)"] if k.descriptors else []),
        ]

    def launches(self) -> list[str]:
        """The kernel of one stage, or the one of the parts and the one that joins them."""
        k, work = self.k, []
        for a in k.plan.accumulators:
            dims = ["parts", "batch", *map(_length, tile_axes(a, k.roles))]
            dtype = "int32" if a.reducer == "argmax" else "float32"
            work += [f'"part_{a.symbol}_ptr": (({", ".join(dims)}), torch.{dtype})']
        last = self.merging()
        return [
            *(hopper.launch_lines(self.warps) if self.warps else []),
            "options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)",
            "if parts == 1:",
            f"    launches = [({k.rolling.name}, (programs,), args, options)]",
            f"    return rt.Call(TABLES, device, layout, launches, copied=copied{self.boxed})",
            *wrap("work = {", work, "}", 4),
            *last[:-1],
            "launches = [",
            f"    ({k.parts.name}, (programs, parts), args, options),",
            f"    ({k.finish.name}, {last[-1]}),",
            "]",
            f"return rt.Call(TABLES, device, layout, launches, work, copied{self.boxed})",
        ]

    def merging(self) -> list[str]:
        """The options of the kernel that joins parts, and, last, its grid and what it is given."""
        k, roles = self.k, self.k.roles
        count, chunks = map(self.written, self.how.grid("finish"))
        lines = ['options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})']
        if chunks != "1" or contains(k.finish, ir.Dot):
            return [*lines, f"(programs, {chunks}), args, options_2"]
        # A tile is for what its rows share: the merge shares nothing, so that its rows may go to more programs.
        pieces = "".join([f"{self.rows} * " if roles.rows else "", "groups * " if roles.group else "", "batch"])
        lines += [f"few, options_2 = rt.merging({pieces}, block_m, max(pads.values(), default=1), options_2, device)"]
        return [*lines, f'({count.replace("block_m", "few")}, {chunks}), args | {{"BLOCK_M": few}}, options_2']


def _length(axis: Index) -> str:
    return f"size[{quoted(axis.name)}]"


def _index_check(found: Within) -> str:
    """Looks at an index of a read, where only the sizes can tell that it is inside of its tensor."""
    every = "[::max(1, size[{0}] - 1)]" if found.ends else ""
    loop = "".join(f" for {a.name} in range(size[{quoted(a.name)}])" + every.format(quoted(a.name)) for a in found.over)
    values = f"lambda: [{host(found.index)}{loop}]"
    return f"rt.check_within(TABLES, {quoted(found.tensor)}, {quoted(found.axis.name)}, size, {values})"
