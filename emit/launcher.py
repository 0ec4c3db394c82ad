"""Prints the module: kernels, the launcher that checks and lays out tensors, and the eager reference."""

from __future__ import annotations

import dataclasses

import sympy as sp

from refold.algebra import Plan
from refold.emit import hopper, runtime
from refold.emit.host import host, integer
from refold.emit.operator import as_tuple, call_lines, operator_words
from refold.emit.reference import is_whole, reference_lines
from refold.emit.source import wrap
from refold.emit.triton import module_lines
from refold.emit.weights import bounded_weights
from refold.schedule import ir
from refold.schedule.launch import LIMITS, Within, launch, sized_by
from refold.schedule.lower.buffers import Place
from refold.schedule.lower.definitions import tile_axes
from refold.schedule.lower.hopper import Hopper
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.renaming import public
from refold.schedule.passes.warps import warp_specialise
from refold.schedule.walk import contains
from refold.spec import Fold, Index, Output, Read, Spec, TensorName

# What the header says of a kernel that has not run; `refold.emit.trial` puts there how it ran.
UNTRIED = "It has not been run yet."
# What the launcher calls the arguments that grids and flags are made of.
CALLED = {"size_batch": "batch", "BLOCK_M": "block_m", "group_size": "group", "groups": "groups", "chunk": "chunk",
          "BLOCK_N": "block_n", "parts": "parts"}  # fmt: skip
# What kernels and launcher import, beside what loads the runtime.
IMPORTS = "import torch\nimport triton\nimport triton.language as tl\n"


def module_text(
    plan: Plan,
    name: str,
    kernels: Kernels,
    warps: Hopper | None,
    *,
    beside: str = "",
    single_file: bool = False,
    exact: tuple[str, ...] = (),
) -> str:
    """The whole of NAME.py; `plan` is in the user's own words.

    `beside` is the text of NAME_hopper.py, if there is one. `single_file`: NAME.py holds what else stands beside it.
    The outputs in `exact` are float32 whatever the inputs are.
    """
    spec = plan.spec
    head = f'"""{name}: {spec.outputs[0].name} and its kernels, emitted by refold from a proved plan.\n\n'
    head += "\n".join(f"    {line}" for line in str(spec).splitlines())
    head += f"\n\nThe proof is {name}.proof.json, the test test_{name}.py. Needs torch and triton alone.\n"
    head += f'{UNTRIED}\n"""\n'
    plan = kernels.given
    launcher = _launcher(plan, name, kernels, warps)
    reference = reference_text(plan.spec, kernels.users)
    used = {} if single_file else {h: h for h in kernels.helpers}
    used |= {f"_{w}": w for w in ("ratio", "real") if f"_{w}(" in launcher + reference}
    gluon = hopper.IMPORTS if warps else ""
    return "\n".join([
        head, runtime.joined(gluon) if single_file else runtime.loading(IMPORTS),
        *([f"{', '.join(used)} = {', '.join(f'rt.{w}' for w in used.values())}"] if used else []),
        *([hopper.loading_line(name, beside)] if beside else []),
        *tables_text(name, plan.spec, **_exact(exact), **_choices(plan, kernels, warps)), "", "",
        module_lines(kernels.module), "",
        *([module_lines(warp_specialise(warps), "@gluon.jit"), ""] if warps and single_file else []),
        launcher, "", reference, "",
    ])  # fmt: skip


def tables_text(name: str, spec: Spec, **choices: str) -> list[str]:
    """The tables of a kernel file: what its tensors are, and what its launcher chooses by."""
    inputs = ", ".join(f'"{t.name}": {_names(t.axes)}' for t in spec.tensors)
    outputs = ", ".join(f'"{o.name}": {_names(o.axes)}' for o in spec.outputs)
    dtypes = ", ".join(f'"{t.name}": "{t.dtype}"' for t in spec.tensors)
    whole = as_tuple([quoted(o.name) for o in spec.outputs if is_whole(spec, o.name)])
    limits = ", ".join(f"{f.name}={_power(getattr(LIMITS, f.name))}" for f in dataclasses.fields(LIMITS))
    fields = {"inputs": f"{{{inputs}}}", "outputs": f"{{{outputs}}}", "dtypes": f"{{{dtypes}}}",
              "limits": f"rt.Limits({limits})"}  # fmt: skip
    fields |= ({"whole": whole} if whole != "()" else {}) | choices
    same, _, lengths = sized_by(spec)
    words = operator_words(spec, [a.name for a in lengths])
    found = {"words": words, "equal": {b.name: a.name for b, a in same.items()}}
    fields |= {
        n: "{" + ", ".join(f"{quoted(x)}: {quoted(y)}" for x, y in d.items()) + "}" for n, d in found.items() if d
    }
    return wrap("TABLES = rt.Tables(", [f"name={quoted(name)}", *(f"{n}={text}" for n, text in fields.items())], ")")


def _exact(outputs: tuple[str, ...]) -> dict[str, str]:
    """The outputs that are float32, where there are any."""
    return {"exact": as_tuple(list(map(quoted, outputs)))} if outputs else {}


def _dtype_of(spec: Spec) -> str | None:
    """The tensor whose dtype the caller chooses, else one of floats; None where all are integers."""
    found = sorted((t for t in spec.tensors if not t.is_integer), key=lambda t: t.dtype != "float")
    return found[0].name if found else None


def _tile_entry(place: Place) -> str:
    """A tensor that the kernel for Hopper reads by tiles, with its two blocks."""
    return f"{quoted(place.tensor)}: ({quoted(place.blocks[0])}, {quoted(place.blocks[1])})"


def _choices(plan: Plan, k: Kernels, warps: Hopper | None) -> dict[str, str]:
    """What the launcher chooses by, where it is not the default of `Tables`."""
    masked = bool(k.ranges.full_bounds or k.ranges.asked)
    flags = {"dots": k.roles.contracts, "masks": masked, "costly": k.costly, "rises": warps is not None and warps.rises}
    found = {n: "True" for n, value in flags.items() if value}
    found |= {"fused": "False"} if _computed_twice(plan) else {}
    found |= _streams(plan, k) if k.roles.row_reduction else {}
    if k.boxes:
        tiles = (
            f"{quoted(n)}: (1, 1, {', '.join(quoted(x) if x else '1' for x in b.blocks)})" for n, b in k.boxes.items()
        )
        found["boxes"] = f"{{{', '.join(tiles)}}}"
    return found | ({"tiles": f"{{{', '.join(map(_tile_entry, warps.places))}}}"} if warps else {})


def _streams(plan: Plan, k: Kernels) -> dict[str, str]:
    """What the launcher has to know of a row that is one tile, or many."""
    own = {k.roles.rows, *k.roles.batch}
    written = [e.expr for e in plan.elements] + [f.expr for f in plan.finish]
    reads = {n for x in written for n in x.atoms(Read)}
    streams = {r.name for r in reads if plan.axis in r.free_symbols and own & r.free_symbols}
    shared = {r.name for r in reads if plan.axis in r.free_symbols} - streams
    return {
        "streams": str(max(1, len(streams))),
        "rereads": str(any(plan.axis in f.axes for f in plan.finish)),
        "shared": str(len(shared)),
    }


def _computed_twice(plan: Plan) -> bool:
    """Whether an output that varies with the fold axis holds a computed score."""
    return any(plan.axis in f.axes and f.expr.has(Fold) for f in plan.finish)


def _names(axes: tuple[Index, ...]) -> str:
    return "(" + "".join(f'"{a.name}", ' for a in axes).rstrip(" ") + ")"


def signature(spec: Spec) -> list[str]:
    """The tensors that the public function takes, by position."""
    return [t.name for t in spec.tensors]


def words_of(spec: Spec) -> list[str]:
    """What it takes by name: scalars, and lengths that no tensor tells."""
    return [p.name for p in spec.params] + [a.name for a in sized_by(spec)[2]]


def axes_text(of: TensorName | Output, users: dict[str, str]) -> list[str]:
    """The dimensions of a tensor or an output, as the user calls them."""
    return ["...", *(users.get(a.name, a.name) for a in of.axes)]


def _launcher(plan: Plan, name: str, k: Kernels, warps: Hopper | None) -> str:
    """The function that is called, with what lays out a call, and the operator that stands for it."""
    spec, roles = plan.spec, k.roles
    _, pairs, unknown = sized_by(spec)
    tensors, words = signature(spec), words_of(spec)
    options = ["schedule", "splits", "block_m", "block_n", "num_warps", "num_stages"]
    defaults = ['schedule="auto"', *(f"{o}=None" for o in options[1:])]
    called, worded = ([public(w, k.users) for w in group] for group in (tensors, words))
    lines = [f"def {name}({', '.join(called)}, *, {''.join(w + ', ' for w in worded)}out=None, {defaults[0]},"]
    lines += [" " * (5 + len(name)) + ", ".join(defaults[1:]) + "):"]
    shapes, results = (
        "; ".join(f"{k.users.get(x.name, x.name)} [{', '.join(axes_text(x, k.users))}]" for x in named)
        for named in (spec.tensors, spec.outputs)
    )
    lines += [
        f'    """{shapes} -> {results}.',
        "",
        "    Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts",
        "    of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.",
        '    """',
    ]
    words += options
    worded += options
    lines += [f"    {line}" for line in call_lines(plan, [*called, *worded])]
    call = wrap("return _call(", [as_tuple(called), "out", as_tuple(worded)], ")", 4)
    lines += [f"    {line}" for line in call]
    lines += ["", "", *wrap("def _prepare(", [*tensors, "given", *words], "):")]
    lines += ['    """Checks what is given and lays out the call."""']
    body = [f"inputs = {{{', '.join(f'{quoted(t)}: {t}' for t in tensors)}}}", "size = rt.sizes(TABLES, inputs)"]
    body += [f"size[{quoted(a.name)}] = rt.length(TABLES, {quoted(a.name)}, {a.name})" for a in unknown]
    body += [f"rt.check_equal(TABLES, size, {quoted(a.name)}, {quoted(b.name)}, {quoted(t)})" for a, b, t in pairs]
    how = launch(k)
    filled = ", ".join(quoted(a.name) for a in how.filled)
    body += [f"rt.check_positive(TABLES, size, {filled})"] if filled else []
    for p in spec.params:
        kind = f"integer={bool(p.is_integer)}, positive={bool(p.is_positive)}"
        body += [f"{p.name} = rt.scalar(TABLES, {quoted(p.name)}, {p.name}, {kind})"]
    body += dict.fromkeys(map(_index_check, how.inside))
    body += [f"{p.name} = rt.limited({p.name}, {host(sp.Max(0, *rest))})" for p, rest in how.clamped]
    body += [
        f"device = {tensors[0]}.device",
        "lead, views, copied = rt.leading(TABLES, inputs)",
        "layout, outputs = rt.outputs(TABLES, given, inputs, lead, size)",
        "if not any(o.numel() for o in outputs.values()):",
        "    return rt.Call(TABLES, device, layout)",
        "views.update(outputs)",
    ]
    rows = f"size[{quoted(roles.rows.name)}]" if roles.rows else "1"
    if roles.group is not None and roles.rows is not None:
        body += [f"group = {host(roles.group)}", "groups = -(-" + rows + " // group)"]
        rows = "group"
    fold = f"size[{quoted(roles.fold.name)}]"
    floats = _dtype_of(spec) or tensors[0]
    least = 16 if roles.contracts else 1
    pads = ", ".join(f'"BLOCK_{a.name}": rt.pad(size[{quoted(a.name)}], {least})' for a in roles.inner)
    body += [f"pads = {{{pads}}}"]
    body += ["pinned = any((block_m, block_n, num_warps, num_stages))"] if warps else []
    leads = "math.prod(lead)" + "".join(f" * size[{quoted(a.name)}]" for a in roles.batch)
    body += [f"batch = {leads}"]
    itemsize = f"{floats}.element_size()"
    if not roles.row_reduction:
        shared = "groups * batch" if roles.group else "batch"
        chosen = ["block_m", "block_n", "num_warps", "num_stages"]
        given = ["TABLES", *chosen, rows, fold, shared, "pads", itemsize, "device"]
        body += wrap(f"{', '.join([*chosen, 'slots'])} = rt.tiles(", given, ")", 4)
    else:
        row = f"{rows}, {fold}, batch, {itemsize}, rt.units(device)"
        body += [f"block_m, block_n = rt.row_blocks(TABLES, block_m, block_n, {row})"]
        body += [f"num_warps = num_warps or rt.row_warps(TABLES, block_m, block_n, {fold}, {itemsize})"]
        body += ["slots = 2 * rt.units(device)"]
    argument_words = {f"size_{a.name}": f"size[{quoted(a.name)}]" for a in spec.axes} | CALLED
    grids = {stage: tuple(integer(n, argument_words).text for n in how.grid(stage)) for stage in k.stages}
    body += [f"programs = {grids['rolling'][0]}"]
    body += [f"parts, chunk = rt.schedule(TABLES, schedule, splits, programs, {fold}, block_n, slots)"]
    if how.cut is not None:
        cut = [integer(n, argument_words).text for n in (how.cut.chunk, how.cut.tile, how.cut.end, how.cut.length)]
        body += [f"rt.check_parts(TABLES, {', '.join(cut)})"]
    counts = [integer(n, argument_words).text for n in how.counts]
    body += wrap("rt.check_launch(", ["TABLES", "(block_m, block_n, *pads.values())", *counts], ")", 4)
    args = [f'"{text}": {host(expr)}' for expr, text in k.host.items()]
    args += [f'"{p.name}": {p.name}' for p in spec.params if p not in k.host]
    args += [f'"size_{a.name}": size["{a.name}"]' for a in spec.axes if a not in roles.inner]
    args += [f'"SIZE_{a.name}": size["{a.name}"]' for a in roles.inner]
    args += ['"size_lead": lead[-1] if lead else 1', '"size_batch": batch', '"parts": parts', '"chunk": chunk']
    if k.ranges.rises(roles):
        read = " + ".join(f"{t.name}.nbytes" for t in spec.tensors if roles.fold in t.axes) or "0"
        args += [f'"side": rt.side({read}, batch, device)']
    args += ['"BLOCK_M": block_m', '"BLOCK_N": block_n', "**pads"]
    args += [f"{quoted(flag.text)}: {integer(holds, argument_words).text}" for flag, holds in how.flags]
    operand = f"rt.operand({floats}.dtype)"
    if roles.contracts and not bounded_weights(k.plan):
        body += ["# The weights of a sum have no bound, and float16 ends at 65504."]
        operand = f"tl.float32 if {floats}.dtype == torch.float16 else {operand}"
    args += [f'"OPERAND": {operand}', *([f'"FAST": rt.fast({floats})'] if "_tanh" in k.helpers else [])]
    args += ['"STAGES": num_stages or 3', '"OVERLAP": parts > 1 and rt.overlaps(device)']
    body += wrap("args = {", args, "}", 4)
    farthest = [f"max({', '.join(['0', *map(host, how.reaches)])})"] if how.reaches else []
    body += [f"rt.strides({', '.join(['TABLES', 'args', 'views', *farthest])})"]
    body += ["boxes = rt.boxes(TABLES, args, views)"] if k.boxes else []
    body += hopper.launch_lines(warps) if warps else []
    body += ["options = rt.options(TABLES, num_warps, num_stages, block_m * block_n)"]
    body += ["if parts == 1:"]
    body += [f"    launches = [({k.rolling.name}, (programs,), args, options)]"]
    boxed = ", boxes=boxes" if k.boxes else ""
    body += [f"    return rt.Call(TABLES, device, layout, launches, copied=copied{boxed})"]
    work = []
    for a in k.plan.accumulators:
        dims = ["parts", "batch"] + [f"size[{quoted(x.name)}]" for x in tile_axes(a, roles)]
        dtype = "int32" if a.reducer == "argmax" else "float32"
        work += [f'"part_{a.symbol}_ptr": (({", ".join(dims)}), torch.{dtype})']
    body += wrap("work = {", work, "}", 4)
    count, chunks = grids["finish"]
    last = ["programs", "args", "options_2"]
    body += ['options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})']
    if chunks == "1" and not contains(k.finish, ir.Dot):
        # A tile is for what its rows share: the merge shares nothing, so that its rows may go to more programs.
        pieces = "".join([f"{rows} * " if roles.rows else "", "groups * " if roles.group else "", "batch"])
        body += [f"few, options_2 = rt.merging({pieces}, block_m, max(pads.values(), default=1), options_2, device)"]
        last = [count.replace("block_m", "few"), 'args | {"BLOCK_M": few}', "options_2"]
    body += ["launches = [", f"    ({k.parts.name}, (programs, parts), args, options),"]
    body += [f"    ({k.finish.name}, ({last[0]}, {chunks}), {last[1]}, {last[2]}),", "]"]
    body += [f"return rt.Call(TABLES, device, layout, launches, work, copied{boxed})"]
    lines += [*(f"    {line}" for line in body), "", "", "_call = rt.Calls(TABLES, _prepare)"]
    lines += ["_OPERATOR = rt.operator(TABLES, __file__, _call)"]
    return "\n".join(lines) + "\n"


def _power(n: int) -> str:
    """A power of two as a reader knows it."""
    return f"2**{n.bit_length() - 1}" if n & (n - 1) == 0 else str(n)


def quoted(name: str) -> str:
    return f'"{name}"'


def _index_check(found: Within) -> str:
    """Looks at an index of a read, where only the sizes can tell that it is inside of its tensor."""
    every = "[::max(1, size[{0}] - 1)]" if found.ends else ""
    loop = "".join(f" for {a.name} in range(size[{quoted(a.name)}])" + every.format(quoted(a.name)) for a in found.over)
    values = f"lambda: [{host(found.index)}{loop}]"
    return f"rt.check_within(TABLES, {quoted(found.tensor)}, {quoted(found.axis.name)}, size, {values})"


def reference_text(spec: Spec, users: dict[str, str]) -> str:
    """The function `reference` of a kernel file."""
    _, _, unknown = sized_by(spec)
    names, words = signature(spec), words_of(spec)
    called, worded = ([public(w, users) for w in group] for group in (names, words))
    arguments = ", ".join(called) + (", *, " + ", ".join(worded) if worded else "")
    lines = [
        f"def reference({arguments}):",
        '    """The pipeline as it is written, in eager torch, in the dtype of the inputs: the oracle in float64."""',
    ]
    body = [f"{w} = {public(w, users)}" for w in (*names, *words) if public(w, users) != w]
    body += [
        f"inputs = {{{', '.join(f'{quoted(t)}: {t}' for t in names)}}}",
        "size = rt.sizes(TABLES, inputs, check=False)",
    ]
    body += [f"size[{quoted(a.name)}] = {a.name}" for a in unknown]
    floats = _dtype_of(spec)
    # Of integers alone the oracle is in float64, whatever is asked for; the kernel gives float32.
    dtype = f"{floats}.dtype" if floats else "torch.float64"
    body += [f"dtype, device = {dtype}, {floats or names[0]}.device", "lead = rt.broadcast(TABLES, inputs)", "out = {}"]
    written = reference_lines(spec)
    text = "\n".join(written)
    for a in spec.axes:
        if _uses(text, a.name):
            body.append(f"{a.name} = torch.arange(size[{quoted(a.name)}], device=device)")
    body += written
    body += ["return rt.result(out)"]
    return "\n".join([*lines, *(f"    {line}" for line in body)])


def _uses(text: str, name: str) -> bool:
    import re

    return re.search(rf"(?<![\w\"'.]){re.escape(name)}(?![\w\"'])", text) is not None
