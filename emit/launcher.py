"""Prints the module: kernels, the launcher that checks and lays out tensors, and the eager reference."""

from __future__ import annotations

import dataclasses

import sympy as sp

from refold.algebra import Plan
from refold.emit import hopper, runtime
from refold.emit.operator import as_tuple, call_lines, operator_words
from refold.emit.preparing import prepare_lines
from refold.emit.reference import is_whole, reference_lines
from refold.emit.signature import OPTIONS, called, dtype_of, public_head, quoted, shapes_text, signature, words_of
from refold.emit.source import wrap
from refold.emit.triton import module_lines
from refold.schedule.launch import LIMITS, sized_by
from refold.schedule.lower.buffers import Place
from refold.schedule.lower.hopper import Hopper
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.renaming import public
from refold.schedule.passes.aligned import is_digit
from refold.schedule.passes.warps import warp_specialise
from refold.spec import Fold, Index, Read, Spec
from refold.spec.arithmetic import quotient_of

# What the header says of a kernel that has not run; `refold.emit.trial` puts there how it ran.
UNTRIED = "It has not been run yet."
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
    used |= host_words(launcher + reference)
    gluon = hopper.IMPORTS if warps else ""
    return "\n".join([
        head, runtime.joined(gluon) if single_file else runtime.loading(IMPORTS),
        *named_text(used),
        *([hopper.loading_line(name, beside)] if beside else []),
        *tables_text(name, plan.spec, kernels.users, **_called(plan.spec, kernels.users), **_exact(exact),
                     **_choices(plan, kernels, warps)), "", "",
        module_lines(kernels.module), "",
        *([module_lines(warp_specialise(warps), "@gluon.jit"), ""] if warps and single_file else []),
        launcher, "", reference, "",
    ])  # fmt: skip


def host_words(text: str) -> dict[str, str]:
    """The names that arithmetic on the host has in a text, and what the runtime calls each."""
    return {f"_{w}": w for w in ("ratio", "real") if f"_{w}(" in text}


def named_text(used: dict[str, str]) -> list[str]:
    """The line that gives what is used of the runtime its names."""
    return [f"{', '.join(used)} = {', '.join(f'rt.{w}' for w in used.values())}"] if used else []


def tables_text(name: str, spec: Spec, users: dict[str, str], **choices: str) -> list[str]:
    """The tables of a kernel file: what its tensors are, and what its launcher chooses by.

    Outputs have the names that the user gave them.
    """
    inputs = ", ".join(f'"{t.name}": {_names(t.axes)}' for t in spec.tensors)
    outputs = ", ".join(f'"{users.get(o.name, o.name)}": {_names(o.axes)}' for o in spec.outputs)
    dtypes = ", ".join(f'"{t.name}": "{t.dtype}"' for t in spec.tensors)
    whole = as_tuple([quoted(users.get(o.name, o.name)) for o in spec.outputs if is_whole(spec, o.name)])
    limits = ", ".join(f"{f.name}={_power(getattr(LIMITS, f.name))}" for f in dataclasses.fields(LIMITS))
    fields = {"inputs": f"{{{inputs}}}", "outputs": f"{{{outputs}}}", "dtypes": f"{{{dtypes}}}",
              "limits": f"rt.Limits({limits})"}  # fmt: skip
    fields |= ({"whole": whole} if whole != "()" else {}) | choices
    same, _, lengths = sized_by(spec)
    words = operator_words(spec, [a.name for a in lengths])
    axes = [a.name for shape in (*(t.axes for t in spec.tensors), *(o.axes for o in spec.outputs)) for a in shape]
    given = dict.fromkeys([*(t.name for t in spec.tensors), *axes, *words])
    theirs = {n: users[n] for n in given if n in users}
    found = {"words": words, "equal": {b.name: a.name for b, a in same.items()}, "users": theirs}
    fields |= {n: mapping_text(d) for n, d in found.items() if d}
    return wrap("TABLES = rt.Tables(", [f"name={quoted(name)}", *(f"{n}={text}" for n, text in fields.items())], ")")


def mapping_text(names: dict[str, str]) -> str:
    """Names by names, as the text of a table."""
    return "{" + ", ".join(f"{quoted(x)}: {quoted(y)}" for x, y in names.items()) + "}"


def _called(spec: Spec, users: dict[str, str]) -> dict[str, str]:
    """The outputs that the kernels call otherwise, where there are any."""
    names = {users[o.name]: o.name for o in spec.outputs if o.name in users}
    return {"called": mapping_text(names)} if names else {}


def _exact(outputs: tuple[str, ...]) -> dict[str, str]:
    """The outputs that are float32, where there are any."""
    return {"exact": as_tuple(list(map(quoted, outputs)))} if outputs else {}


def _tile_entry(place: Place) -> str:
    """A tensor that the kernel for Hopper reads by tiles, with its two blocks."""
    return f"{quoted(place.tensor)}: ({quoted(place.blocks[0])}, {quoted(place.blocks[1])})"


def _choices(plan: Plan, k: Kernels, warps: Hopper | None) -> dict[str, str]:
    """What the launcher chooses by, where it is not the default of `Tables`."""
    masked = bool(k.ranges.free_bounds or k.ranges.asked)
    flags = {
        "dots": k.roles.contracts,
        "pieces": bool(k.roles.pieces) and k.roles.pieces == k.roles.inner,
        "masks": masked,
        "costly": k.costly,
        "rises": warps is not None and warps.rises,
    }
    found = {n: "True" for n, value in flags.items() if value}
    found |= {"fused": "False"} if _computed_twice(plan) else {}
    found |= _streams(plan, k) if k.roles.row_reduction else {}
    if k.descriptors:
        tiles = (
            f"{quoted(n)}: (1, 1, {', '.join(quoted(x) if x else '1' for x in b.blocks)})"
            for n, b in k.descriptors.items()
        )
        found["descriptors"] = f"{{{', '.join(tiles)}}}"
    return found | ({"tiles": f"{{{', '.join(map(_tile_entry, warps.places))}}}"} if warps else {})


def _by_digits(read: Read, plan: Plan, k: Kernels) -> bool:
    """Whether a read varies along the axis as the outer digit of a position alone, so that it seldom does."""
    digits = {e for e in read.atoms(sp.floor) if is_digit(*quotient_of(e), k.roles)}
    return bool(digits) and plan.axis not in read.xreplace(dict.fromkeys(digits, sp.S.Zero)).free_symbols


def _streams(plan: Plan, k: Kernels) -> dict[str, str]:
    """What the launcher has to know of a row that is one tile, or many."""
    own = {k.roles.rows, *k.roles.batch}
    written = [e.expr for e in plan.elements] + [f.expr for f in plan.finish]
    reads = {n for x in written for n in x.atoms(Read)}
    slow = {r.name for r in reads if _by_digits(r, plan, k)}
    streams = {r.name for r in reads if plan.axis in r.free_symbols and own & r.free_symbols} - slow
    shared = {r.name for r in reads if plan.axis in r.free_symbols} - streams - slow
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


def _launcher(plan: Plan, name: str, k: Kernels, warps: Hopper | None) -> str:
    """The function that is called, with what lays out a call, and the operator that stands for it."""
    spec, options = plan.spec, list(OPTIONS)
    tensors, words = signature(spec), words_of(spec)
    given, named = called(tensors, k.users), [*called(words, k.users), *options]
    call = wrap("return _call(", [as_tuple(given), "out", as_tuple(named)], ")", 4)
    body = [
        f'"""{shapes_text(spec, k.users)}.',
        "",
        "Leading dimensions broadcast, strides are free. `schedule` is auto, rolling or split; `splits` are parts",
        "of the axis; `block_m` and `block_n` are powers of two. Raises ValueError or TypeError for other inputs.",
        '"""',
        *call_lines(plan, [*given, *named]),
        *call,
    ]
    lines = [*public_head(name, spec, k.users), *(f"    {line}" if line else "" for line in body)]
    lines += ["", "", *wrap("def _prepare(", [*tensors, "given", *words, *options], "):")]
    lines += ['    """Checks what is given and lays out the call."""']
    lines += [*(f"    {line}" for line in prepare_lines(k, warps)), "", "", "_call = rt.Calls(TABLES, _prepare)"]
    lines += ["_OPERATOR = rt.operator(TABLES, __file__, _call)"]
    return "\n".join(lines) + "\n"


def _power(n: int) -> str:
    """A power of two as a reader knows it."""
    return f"2**{n.bit_length() - 1}" if n & (n - 1) == 0 else str(n)


def reference_text(spec: Spec, users: dict[str, str]) -> str:
    """The function `reference` of a kernel file."""
    _, _, unknown = sized_by(spec)
    names, words = signature(spec), words_of(spec)
    arguments = ", ".join([*called(names, users), *(["*", *called(words, users)] if words else [])])
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
    floats = dtype_of(spec)
    # Of integers alone the oracle is in float64, whatever is asked for; the kernel gives float32.
    dtype = f"{floats}.dtype" if floats else "torch.float64"
    body += [f"dtype, device = {dtype}, {floats or names[0]}.device", "lead = rt.broadcast(TABLES, inputs)", "out = {}"]
    written = reference_lines(spec, users)
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
