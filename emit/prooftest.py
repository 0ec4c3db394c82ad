"""Prints the test of a bundle: it replays the proof, and runs the kernel against the reference in float64."""

from __future__ import annotations

import math
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra.rewrite import walk
from refold.algebra.roles import Roles
from refold.emit import runtime
from refold.emit.domain import Domain, domain_of
from refold.emit.hopper import file_name
from refold.schedule.launch import sized_by
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.renaming import public
from refold.spec import Index, Param, Read, Spec
from refold.spec.heads import outside_folds
from refold.spec.serial import dumps
from refold.verify.certificate.words import fingerprint

# The marks in the text of a test between which its bundle stands.
BEGIN, END = "# BEGIN: what the bundle is\n", "# END\n"


def test_text(name: str, kernels: Kernels, written: Spec, *, hopper: bool, single_file: bool = False) -> str:
    """The whole of test_NAME.py for a spec as written; `hopper`: there is a kernel for Hopper too.

    `single_file`: NAME.py holds what it else loads.
    """
    beside = ({"hopper": file_name(name)} if hopper else {}) | {"runtime": runtime.FILE}
    files = {"kernel": f"{name}.py"} | ({} if single_file else beside)
    lines = constants(name, kernels.plan.spec, kernels.roles, kernels.users, files, aligned=bool(kernels.descriptors))
    # As written, and not over the names of the text: the proof is of that.
    lines |= {"SPEC": _literal(fingerprint(written)), "PIPELINE": repr(dumps(written)), "HOPPER": str(hopper)}
    return put_in(runtime.template(), lines)


def put_in(template: str, constants: dict[str, str]) -> str:
    """The text of a test with other constants: those between the two marks, each on a line, with what is said of it."""
    before, rest = template.split(BEGIN)
    given, after = rest.split(END)
    lines = []
    for line in given.splitlines():
        head = line.partition(" = ")[0]
        names = head.partition(":")[0]
        noted = "  # noqa: E501" if names == "PIPELINE" else ""
        lines.append(line if line.startswith("#") else f"{head} = {constants[names]}{noted}")
    return before + BEGIN + "".join(f"{line}\n" for line in lines) + END + after


def constants(
    name: str, spec: Spec, roles: Roles, users: dict[str, str], files: dict[str, str], *, aligned: bool
) -> dict[str, str]:
    """What the text of a test takes of its bundle, by the names there."""
    sizes = sizes_of(spec, roles)
    domain = domain_at(spec, roles, sizes)
    scalars = {public(p, users): value for p, value in scalars_of(spec).items()}
    integers = {t: (axis, public(mark, users)) for t, (axis, mark) in integers_of(spec, roles.fold).items()}
    return {
        "NAME": _literal(name),
        "FILES": _literal(files),
        "SIZES": _literal(sizes),
        "FOLD, ROWS": f"{_literal(roles.fold.name)}, {_literal(roles.rows.name if roles.rows else None)}",
        "SAME": _literal(same_of(spec, roles)),
        "SCALARS": _literal(scalars),
        "INTEGERS": _literal(integers),
        "POSITIVE": _literal(domain.positive),
        "LARGE": f"{round(domain.large, 3)!r}",
        "AXES": _literal({public(a.name, users): a.name for a in sized_by(spec)[2]}),
        "CONSTANT, ALIGNED": f"{domain.constant}, {aligned}",
        "INNER": _literal(tuple(a.name for a in roles.inner)),
        "LEAD": str(-(-14 // math.prod(sizes[a.name] for a in roles.batch))),
        "PIPELINE": repr(dumps(spec)),
    }


def _literal(value: object) -> str:
    """A value of names and numbers as Python writes it, with double quotes."""
    return repr(value).replace("'", '"')


def domain_at(spec: Spec, roles: Roles, sizes: dict[str, int]) -> Domain:
    """From where tests of these sizes draw their inputs."""
    return domain_of(spec, roles.fold, sizes, scalars_of(spec), integers_of(spec, roles.fold))


def sizes_of(spec: Spec, roles: Roles) -> dict[str, int]:
    """Small sizes that no block divides; an axis reached by an index map such as `h // group` is shorter than h."""
    wish = {roles.fold: 37, **dict.fromkeys(roles.batch, 2), **dict(zip(roles.inner, (5, 7), strict=False))}
    if roles.rows is not None:
        wish[roles.rows] = 33
    sizes = {a.name: wish.get(a, 3) for a in spec.axes}
    for read in _reads(spec):
        for axis, index in zip(read.tensor.axes, read.indices, strict=True):
            if isinstance(index, Index) or index.has(Read):
                continue
            if roles.fold in index.free_symbols:
                # A page of 4 lines, and pages for more positions than any test has.
                sizes[axis.name] = 4 if index.has(sp.Mod) else 12
                continue
            sizes[axis.name] = 2
            sizes |= {a.name: 6 for a in index.free_symbols if isinstance(a, Index)}
    return sizes | {axis: sizes[other] for axis, other in same_of(spec, roles).items()}


def same_of(spec: Spec, roles: Roles) -> dict[str, str]:
    """Axes that are as long as another one: as the loop's axis where that is among them, else as that of the rows."""
    same, pairs, _ = sized_by(spec)
    groups: list[set[str]] = []
    for one, other in [*same.items(), *(pair[:2] for pair in pairs)]:
        both = {one.name, other.name}
        apart = [g for g in groups if not g & both]
        groups = [*apart, both.union(*(g for g in groups if g & both))]
    first = [a.name for a in (roles.fold, roles.rows) if a is not None]
    heads = [next((a for a in first if a in group), min(group)) for group in groups]
    return {a: head for group, head in zip(groups, heads, strict=True) for a in sorted(group - {head})}


def _reads(spec: Spec) -> list[Read]:
    return [n for o in spec.outputs for n in walk(o.expr) if isinstance(n, Read)]


def _conditions(spec: Spec) -> list[Any]:
    return [n for o in spec.outputs for n in walk(o.expr) if isinstance(n, Relational)]


def marks_of(spec: Spec) -> set[Param]:
    """The scalars that integer data is compared with for equality."""
    compared = [c.args for c in _conditions(spec) if isinstance(c, sp.Eq | sp.Ne) and c.has(Read)]
    return {side for sides in compared for side in sides if isinstance(side, Param) and side.is_integer}


def scalars_of(spec: Spec) -> dict[str, float | int]:
    """Values of the scalars that small tests take."""
    marks = marks_of(spec)
    found: dict[str, float | int] = {}
    for p in spec.params:
        if p in marks:
            found[p.name] = -100
        elif p.is_integer:
            found[p.name] = 5
        else:
            found[p.name] = 0.5 if p.is_positive else 0.25
    return found


def integers_of(spec: Spec, fold: Index) -> dict[str, tuple[str, str]]:
    """For each integer tensor the axis along which it holds positions, and the scalar that is a mark in it, or ""."""
    found = {t.name: ("", "") for t in spec.tensors if t.is_integer}
    for read in _reads(spec):
        for axis, index in zip(read.tensor.axes, read.indices, strict=True):
            for inner in [n for n in outside_folds(index) if isinstance(n, Read)]:
                found[inner.name] = (axis.name, found[inner.name][1])
    for cond in _conditions(spec):
        compared = [n for side in cond.args for n in outside_folds(side)]
        marks = [side.name for side in cond.args if isinstance(side, Param) and side.is_integer]
        for read in [n for n in compared if isinstance(n, Read) and n.tensor.is_integer]:
            if marks and isinstance(cond, sp.Eq | sp.Ne):
                found[read.name] = (found[read.name][0], marks[0])
            elif fold in cond.free_symbols and not isinstance(cond, sp.Eq | sp.Ne):
                found[read.name] = (fold.name, "")
    return found
