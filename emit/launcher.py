"""Prints the module: kernels, the launcher that checks and lays out tensors, and the eager reference."""

from __future__ import annotations

import sympy as sp

from refold.algebra import Plan
from refold.algebra.bounds import slope
from refold.emit.body import tile_axes
from refold.emit.calls import CALLS
from refold.emit.common import BOXED, COMMON, REFERENCE
from refold.emit.hopper import CHOICE, GLUON
from refold.emit.host import host
from refold.emit.kernels import Kernels
from refold.emit.operator import OPERATOR, as_tuple, call_lines, operator_text
from refold.emit.reference import is_whole, reference_lines
from refold.emit.ring import Ring
from refold.emit.rows import ROWS
from refold.emit.source import wrap
from refold.emit.weights import bounded_weights
from refold.errors import EmitError
from refold.spec import Fold, Index, Read, Spec, Where


def module_text(plan: Plan, name: str, kernels: Kernels, ring: Ring | None) -> str:
    """The whole of NAME.py."""
    head = f'"""{name}: {plan.spec.outputs[0].name} and its kernels, emitted by refold from a proved plan.\n\n'
    head += "\n".join(f"    {line}" for line in str(plan.spec).splitlines())
    head += f'\n\nThe proof is {name}.proof.json, the test test_{name}.py. Needs torch and triton alone.\n"""\n'
    imports = "import math\n\nimport torch\nimport triton\nimport triton.language as tl\n"
    imports += "from triton.tools.tensor_descriptor import TensorDescriptor\n"
    imports += GLUON if ring else ""
    launcher, operator = _launcher(plan, name, kernels, ring)
    return "\n".join([
        head, imports, *_tables(plan, kernels), "", kernels.text, "",
        *([ring.text, "", ring.table, "", ""] if ring else []),
        launcher, "",
        COMMON.format(name=name, kernel=kernels.rolling.name).strip("\n"), "", "",
        *([ROWS.format(name=name).strip("\n"), "", ""] if kernels.roles.row_reduction else []),
        CALLS.format().strip("\n"), "", "",
        *([BOXED.format(name=name).strip("\n"), "", ""] if kernels.boxes else []),
        *([CHOICE.format(name=name).strip("\n"), "", ""] if ring else []),
        OPERATOR.format(name=name).strip("\n"), "", "", operator, "",
        _reference(plan), "", "", REFERENCE.strip("\n"), "",
    ])  # fmt: skip


def _tables(plan: Plan, k: Kernels) -> list[str]:
    spec = plan.spec
    inputs = ", ".join(f'"{t.name}": {_names(t.axes)}' for t in spec.tensors)
    outputs = ", ".join(f'"{o.name}": {_names(o.axes)}' for o in spec.outputs)
    dtypes = ", ".join(f'"{t.name}": "{t.dtype}"' for t in spec.tensors)
    return [
        "# The axes of every tensor; any dimensions before them are leading ones, which broadcast.",
        f"INPUTS = {{{inputs}}}",
        f"OUTPUTS = {{{outputs}}}",
        '# "float" is float32, float16 or bfloat16, the same for all.',
        f"DTYPES = {{{dtypes}}}",
        f"DOTS = {k.roles.contracts}",
        "# Whether some tiles have masks, whichever the rows; whether a score takes more than a product and a sum.",
        f"MASKS, COSTLY = {bool(k.ranges.full_bounds or k.ranges.asked)}, {k.costly}",
        *_streams(plan, k),
        "# Whether a product and a sum may round as one. Not where scores are computed twice, once to be summed and",
        "# once to be divided by the sum: both have to round alike.",
        f"FUSED = {not _computed_twice(plan)}",
        *_boxes(k),
        "",
    ]


def _boxes(k: Kernels) -> list[str]:
    """The table of what tensor descriptors can read, where there is anything."""
    if not k.boxes:
        return []
    entries = [f"{_q(n)}: (1, 1, {', '.join(_q(x) if x else '1' for x in b.blocks)})" for n, b in k.boxes.items()]
    return [
        "# The tile of every tensor that tensor descriptors can read, its two leading dimensions first.",
        f"BOXES = {{{', '.join(entries)}}}",
    ]


def _streams(plan: Plan, k: Kernels) -> list[str]:
    """What the launcher has to know of a row that is one tile, or many."""
    if not k.roles.row_reduction:
        return []
    own = {k.roles.rows, *k.roles.batch}
    written = [e.expr for e in plan.elements] + [f.expr for f in plan.finish]
    reads = {n for x in written for n in x.atoms(Read)}
    streams = {r.name for r in reads if plan.axis in r.free_symbols and own & r.free_symbols}
    shared = {r.name for r in reads if plan.axis in r.free_symbols} - streams
    return [
        "# How many tensors are read element by element, and whether again to be written; how many all rows share.",
        f"STREAMS, REREADS = {max(1, len(streams))}, {any(plan.axis in f.axes for f in plan.finish)}",
        f"SHARED = {len(shared)}",
    ]


def _computed_twice(plan: Plan) -> bool:
    """Whether an output that varies with the fold axis holds a computed score."""
    return any(plan.axis in f.axes and f.expr.has(Fold) for f in plan.finish)


def _names(axes: tuple[Index, ...]) -> str:
    return "(" + "".join(f'"{a.name}", ' for a in axes).rstrip(" ") + ")"


def sized_by(spec: Spec) -> tuple[dict[Index, Index], list[tuple[Index, Index, str]], list[Index]]:
    """Axes as long as another one (no tensor has them), pairs that must be equally long, axes that nothing tells."""
    declared = {a for t in spec.tensors for a in t.axes}
    same: dict[Index, Index] = {}
    pairs: list[tuple[Index, Index, str]] = []
    for o in spec.outputs:
        for read in sp.preorder_traversal(o.expr):
            if isinstance(read, Read):
                for axis, index in zip(read.tensor.axes, read.indices, strict=True):
                    if isinstance(index, Index) and index != axis:
                        if index not in declared and index not in same:
                            same[index] = axis
                        elif (axis, index, read.name) not in pairs:
                            pairs.append((axis, index, read.name))
    unknown = [a for a in spec.axes if a not in declared and a not in same]
    return same, pairs, unknown


def _signature(spec: Spec) -> list[str]:
    return [t.name for t in spec.tensors]


def _keywords(spec: Spec) -> list[str]:
    return [p.name for p in spec.params] + [a.name for a in sized_by(spec)[2]]


def _launcher(plan: Plan, name: str, k: Kernels, ring: Ring | None) -> tuple[str, str]:
    """The function that is called, with what lays out a call; and the operator that stands for it."""
    spec, roles = plan.spec, k.roles
    same, pairs, unknown = sized_by(spec)
    tensors, words = _signature(spec), _keywords(spec)
    options = ["schedule", "splits", "block_m", "block_n", "num_warps", "num_stages"]
    defaults = ['schedule="auto"', *(f"{o}=None" for o in options[1:])]
    lines = [f"def {name}({', '.join(tensors)}, *, {''.join(w + ', ' for w in words)}out=None, {defaults[0]},"]
    lines += [" " * (5 + len(name)) + ", ".join(defaults[1:]) + "):"]
    shapes = "; ".join(f"{t.name} [..., {', '.join(a.name for a in t.axes)}]" for t in spec.tensors)
    results = "; ".join(
        f"{o.name} [..., {', '.join(a.name for a in o.axes)}]".replace("[..., ]", "[...]") for o in spec.outputs
    )
    lines += [
        f'    """{shapes} -> {results}.',
        "",
        "    Leading dimensions broadcast and strides are free. `schedule` is auto, rolling or split; `splits` the",
        "    parts of the axis for split; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError",
        "    for inputs that do not fit.",
        '    """',
    ]
    words += options
    lines += [f"    {line}" for line in call_lines(plan, [*tensors, *words])]
    call = wrap("return _call(", ["_prepare", as_tuple(tensors), "out", as_tuple(words)], ")", 4)
    lines += [f"    {line}" for line in call]
    lines += ["", "", *wrap("def _prepare(", [*tensors, "given", *words], "):")]
    lines += ['    """Checks what is given and lays out the call."""']
    body = [f"inputs = {{{', '.join(f'{_q(t)}: {t}' for t in tensors)}}}", "size = _sizes(inputs)"]
    equal = [f"size[{_q(b.name)}] = size[{_q(a.name)}]" for b, a in same.items()]
    sizes = [*body, *(f"size[{_q(a.name)}] = {a.name}" for a in unknown), *equal]
    body += [*(f"size[{_q(a.name)}] = _length({_q(a.name)}, {a.name})" for a in unknown), *equal]
    body += [f"_equal(size, {_q(a.name)}, {_q(b.name)}, {_q(t)})" for a, b, t in pairs]
    body += [f"_positive_length(size, {_q(a.name)})" for a in roles.inner]
    body += [f"{p.name} = _scalar({_q(p.name)}, {p.name}, integer={bool(p.is_integer)}, positive={bool(p.is_positive)})"
             for p in spec.params]  # fmt: skip
    body += _index_checks(plan, k)
    whole = "".join(f"{_q(o.name)}, " for o in spec.outputs if is_whole(plan, o.name))
    body += [
        f"device = {tensors[0]}.device",
        "lead, views, copied = _leading(inputs)",
        f"layout, outputs = _outputs(given, inputs, lead, size, whole=({whole}))",
        "if not any(o.numel() for o in outputs.values()):",
        "    return _Call(device, layout)",
        "views.update(outputs)",
    ]
    rows = f"size[{_q(roles.rows.name)}]" if roles.rows else "1"
    if roles.group is not None and roles.rows is not None:
        body += [f"group = {host(roles.group)}", "groups = -(-" + rows + " // group)"]
        rows = "group"
    fold = f"size[{_q(roles.fold.name)}]"
    floats = next((t.name for t in spec.tensors if not t.is_integer), tensors[0])
    least = 16 if roles.contracts else 1
    pads = ", ".join(f'"BLOCK_{a.name}": _pad(size[{_q(a.name)}], {least})' for a in roles.inner)
    body += [f"pads = {{{pads}}}"]
    body += ["pinned = any((block_m, block_n, num_warps, num_stages))"] if ring else []
    leads = "math.prod(lead)" + "".join(f" * size[{_q(a.name)}]" for a in roles.batch)
    body += [f"batch = {leads}"]
    itemsize = f"{floats}.element_size()"
    if not roles.row_reduction:
        shared = "groups * batch" if roles.group else "batch"
        body += [
            f"block_n, num_warps, slots = _streaming(block_n, num_warps, {rows}, {fold}, {shared}, pads,",
            f"                                       {itemsize}, device)",
        ]
        body += [f"wide = _wide({rows}, {shared}, pads, {itemsize}, device)"]
        body += ["if wide is not None:", "    num_warps, num_stages = num_warps or wide[2], num_stages or wide[3]"]
        body += [f"block_m, block_n = _blocks(block_m, block_n, {rows}, {fold}, pads, DOTS, {itemsize}, wide)"]
    else:
        body += [f"block_m, block_n = _row_blocks(block_m, block_n, {rows}, {fold}, batch, {itemsize}, _units(device))"]
        body += [f"num_warps = num_warps or _row_warps(block_m, block_n, {fold}, {itemsize})"]
        body += ["slots = 2 * _units(device)"]
    programs = (
        "batch" + (" * triton.cdiv(" + rows + ", block_m)" if roles.rows else "") + (" * groups" if roles.group else "")
    )
    body += [f"programs = {programs}"]
    body += [f"parts, chunk = _schedule(schedule, splits, programs, {fold}, block_n, slots)"]
    body += ["args = {"]
    args = [f'"{text}": {host(expr)},' for expr, text in k.host.items()]
    args += [f'"{p.name}": {p.name},' for p in spec.params if p not in k.host]
    args += [f'"size_{a.name}": size["{a.name}"],' for a in spec.axes if a not in roles.inner]
    args += [f'"SIZE_{a.name}": size["{a.name}"],' for a in roles.inner]
    args += ['"size_lead": lead[-1] if lead else 1, "size_batch": batch, "parts": parts, "chunk": chunk,']
    if k.ranges.rises(roles):
        read = " + ".join(f"{t.name}.nbytes" for t in spec.tensors if roles.fold in t.axes)
        args += [f'"side": _side({read}, batch, device),']
    args += ['"BLOCK_M": block_m, "BLOCK_N": block_n, **pads,']
    if not roles.contracts:
        args += [f'"ONE_TILE": {fold} <= block_n, "RAGGED": {fold} % block_n > 0 or {fold} == 0,']
    body += [f"    {a}" for a in args] + ["}"]
    body += ["_strides(args, views)"]
    body += ["boxes = _boxes(args, views)", 'args["BOX"] = bool(boxes)'] if k.boxes else []
    operand = f"_operand({floats}.dtype)"
    if roles.contracts and not bounded_weights(k.plan):
        body += ["# The weights of a sum have no bound, and float16 ends at 65504."]
        operand = f"tl.float32 if {floats}.dtype == torch.float16 else {operand}"
    body += [f'args["OPERAND"] = {operand}']
    body += [f'args["FAST"] = _fast({floats})'] if "_tanh" in k.helpers else []
    body += ['args["STAGES"], args["OVERLAP"] = num_stages or 3, parts > 1 and _overlaps(device)']
    body += ring.launch if ring else []
    body += ["options = _options(num_warps, num_stages, block_m * block_n)"]
    body += ["if parts == 1:"]
    body += [f"    launches = [({k.rolling.name}, (programs,), args, options)]"]
    boxed = ", boxes=boxes" if k.boxes else ""
    body += [f"    return _Call(device, layout, launches, copied=copied{boxed})", "work = {"]
    for a in k.plan.accumulators:
        dims = ["parts", "batch"] + [f"size[{_q(x.name)}]" for x in tile_axes(a, roles)]
        dtype = "int32" if a.reducer == "argmax" else "float32"
        body += [f'    "part_{a.symbol}_ptr": (({", ".join(dims)}), torch.{dtype}),']
    body += ["}"]
    chunks = "max(1, triton.cdiv(" + fold + ", chunk))" if any(roles.fold in f.axes for f in plan.finish) else "1"
    last = ["programs", "args", "options_2"]
    body += ['options_2 = options | ({"launch_pdl": True} if args["OVERLAP"] else {})']
    if chunks == "1" and "tl.dot(" not in k.finish.text:
        # A tile is for what its rows share: the merge shares nothing, so that its rows may go to more programs.
        count = "".join([f"{rows} * " if roles.rows else "", "groups * " if roles.group else "", "batch"])
        body += [f"few, options_2 = _merging({count}, block_m, max(pads.values(), default=1), options_2, device)"]
        last = [programs.replace("block_m", "few"), 'args | {"BLOCK_M": few}', "options_2"]
    body += ["launches = [", f"    ({k.parts.name}, (programs, parts), args, options),"]
    body += [f"    ({k.finish.name}, ({last[0]}, {chunks}), {last[1]}, {last[2]}),", "]"]
    body += [f"return _Call(device, layout, launches, work, copied{boxed})"]
    operator = operator_text(plan, tensors, words, sizes, whole)
    return "\n".join([*lines, *(f"    {line}" for line in body)]) + "\n", operator


def _q(name: str) -> str:
    return f'"{name}"'


def _index_checks(plan: Plan, k: Kernels) -> list[str]:
    """Index maps such as `k[h // group, j, d]` stay inside of their tensors, which only the sizes can tell.

    Along a tile's axis the two ends are looked at, where no condition may keep the others from being read.
    """
    lines: dict[str, None] = {}
    kept = {s for o in plan.spec.outputs for w in o.expr.atoms(Where) for s in w.args[0].free_symbols}
    still = {*k.roles.batch, *([k.roles.rows] if k.roles.group is not None else [])}
    for o in plan.spec.outputs:
        for read in sp.preorder_traversal(o.expr):
            if not isinstance(read, Read):
                continue
            for axis, index in zip(read.tensor.axes, read.indices, strict=True):
                axes = {s for s in index.free_symbols if isinstance(s, Index)}
                ends = len(axes) == 1 and not axes & (still | kept) and all(slope(index, a) for a in axes)
                if isinstance(index, Index) or index.has(Read) or not (ends or axes <= still):
                    continue
                if len(axes) > 1:
                    raise EmitError(f"{read.name} is read at {index}, an index of several axes: use one axis an index")
                every = "[::max(1, size[{0}] - 1)]" if ends else ""
                loop = "".join(f" for {a.name} in range(size[{_q(a.name)}])" + every.format(_q(a.name)) for a in axes)
                values = f"lambda: [{host(index)}{loop}]"
                lines[f"_within({_q(read.name)}, {_q(axis.name)}, size, {values})"] = None
    return list(lines)


def _reference(plan: Plan) -> str:
    spec = plan.spec
    same, _, unknown = sized_by(spec)
    names, words = _signature(spec), _keywords(spec)
    arguments = ", ".join(names) + (", *, " + ", ".join(words) if words else "")
    lines = [
        f"def reference({arguments}):",
        '    """The same in eager torch, in the dtype of the inputs: the oracle in float64."""',
    ]
    body = [f"inputs = {{{', '.join(f'{_q(t)}: {t}' for t in names)}}}", "size = _sizes(inputs, check=False)"]
    body += [f"size[{_q(a.name)}] = {a.name}" for a in unknown]
    body += [f"size[{_q(b.name)}] = size[{_q(a.name)}]" for b, a in same.items()]
    floats = next((t.name for t in spec.tensors if not t.is_integer), names[0])
    body += [f"dtype, device = {floats}.dtype, {floats}.device", "lead = _broadcast(inputs)", "out = {}"]
    written = reference_lines(plan)
    text = "\n".join(written)
    for a in spec.axes:
        if _uses(text, a.name):
            body.append(f"{a.name} = torch.arange(size[{_q(a.name)}], device=device)")
    body += written
    body += ["return _result(out)"]
    return "\n".join([*lines, *(f"    {line}" for line in body)])


def _uses(text: str, name: str) -> bool:
    import re

    return re.search(rf"(?<![\w\"'.]){re.escape(name)}(?![\w\"'])", text) is not None
