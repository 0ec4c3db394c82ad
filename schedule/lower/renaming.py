"""Renames what a user called by a word of the emitted text, so that no name of a user's is reserved."""

from __future__ import annotations

import builtins
import keyword
import sys
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from itertools import count
from typing import Any, TypeVar

import sympy as sp

from refold.algebra import Plan
from refold.schedule.lower.names import CONSTANTS, FUNCTIONS, RESERVED
from refold.spec import Index, Param, Size, Spec

T = TypeVar("T")

# What the functions of a kernel file read that is no argument of theirs, and the words of Python.
GLOBALS = ("rt", "TABLES", "_STAGES", "_FLATS", "_ratio", "_real", "_call", "_prepare", "_OPERATOR", "_FUNCTION")
WORDS = {*RESERVED, *GLOBALS, *CONSTANTS, *FUNCTIONS, *keyword.kwlist, *dir(builtins)}
# What stands beside a kernel file, and what a kernel file reads while it is loaded.
BESIDE = ("recheck", "pytest", "refold", "refold_runtime", "refold_autograd", "load_beside", "Path", "ModuleType")
# What a kernel calls by one of these is a constant of its compilation or a length, whatever follows.
MEANT = ("BLOCK_", "SIZE_", "size_")
# What the public function cannot call an argument.
OPTIONS = frozenset(
    ["out", "schedule", "splits", "block_m", "block_n", "num_warps", "num_stages", "torch", "math", "dict", "zip"]
)


def made_of(name: str, axes: Iterable[str]) -> set[str]:
    """The names that kernels make of that of a tensor: its pointer, its descriptor, a stride for every dimension."""
    return {f"{name}_ptr", f"{name}_desc", *(f"{name}_{key}" for key in ("lead0", "lead1", *axes))}


def made_of_others(spec: Spec, states: list[str]) -> set[str]:
    """The names that kernels make of those of axes and accumulators."""
    made = {f"{prefix}_{a.name}" for a in spec.axes for prefix in ("size", "SIZE", "BLOCK", "in")}
    return made | {name for s in states for name in (f"part_{s}_ptr", f"{s}_part")}


def made_names(spec: Spec, states: list[str]) -> set[str]:
    """The names that kernels make of those of tensors, axes, outputs and accumulators."""
    return made_of_others(spec, states).union(*(made_of(name, axes) for name, axes in _tensors(spec).items()))


def _tensors(spec: Spec) -> dict[str, tuple[str, ...]]:
    """The axes of every tensor and output."""
    named: tuple[tuple[Any, ...], ...] = (spec.tensors, spec.outputs)
    return {x.name: tuple(a.name for a in x.axes) for group in named for x in group}


def _clashes(spec: Spec, states: list[str]) -> set[str]:
    """The tensors of which a kernel would make a name that it makes of something else, as `a_b_c` of `a` and `a_b`."""
    made, found = made_of_others(spec, states), set()
    for name, axes in sorted(_tensors(spec).items()):
        own = made_of(name, axes)
        if own & made:
            found.add(name)
        made |= own
    return found


def in_ascii(name: str) -> str:
    """A name without the letters that torch's schemas and the assembler do not take: each by its number."""
    return "".join(c if c.isascii() else f"u{ord(c):x}" for c in name)


def renamed(plan: Plan) -> tuple[Plan, dict[str, str]]:
    """The same plan over names that the emitted text is free to use, and what the user calls each of those."""
    spec = plan.spec
    groups: tuple[tuple[Any, ...], ...] = (spec.tensors, spec.outputs, spec.axes, spec.params)
    users = {str(x.name) for group in groups for x in group}
    states = [str(a.symbol) for a in plan.accumulators]
    own = {*states, *(str(e.symbol) for e in plan.elements), *(str(a.stale) for a in plan.anchors)}
    tensors, clashes = _tensors(spec), _clashes(spec, states)
    made = made_names(spec, states)
    table: dict[str, str] = {}

    def makes(new: str, old: str) -> set[str]:
        return made_of(new, tensors[old]) if old in tensors else set()

    for name in sorted(users):
        meant = f"{name}_".startswith(MEANT)
        if meant or not name.isascii() or name in WORDS | made | clashes:
            taken = WORDS | made | users | own
            stem = in_ascii(f"user_{name}" if meant else name)
            new = next(n for k in count(1) if not {n := f"{stem}_{k}", *makes(n, name)} & {*taken, *table.values()})
            table[name] = new
            made |= makes(new, name)
    if not table:
        return plan, {}
    return put(plan, _symbols(spec, table), table), {new: old for old, new in table.items()}


def renamed_spec(spec: Spec) -> tuple[Spec, dict[str, str]]:
    """A pipeline over names that a launcher is free to use, and what the user calls each of those."""
    groups: tuple[tuple[Any, ...], ...] = (spec.tensors, spec.outputs, spec.axes, spec.params)
    users = {str(x.name) for group in groups for x in group}
    table: dict[str, str] = {}
    for name in sorted(users & WORDS):
        table[name] = next(n for k in count(1) if (n := f"{name}_{k}") not in {*WORDS, *users, *table.values()})
    return put(spec, _symbols(spec, table), table), {new: old for old, new in table.items()}


def public(name: str, users: dict[str, str]) -> str:
    """What the public function calls an argument: the user's name, where Python and its own arguments allow it."""
    old = users.get(name, name)
    return name if old in OPTIONS or keyword.iskeyword(old) else old


def function_name(name: str, spec: Spec, others: frozenset[str] = frozenset()) -> str:
    """The name of the emitted function: that of the pipeline, unless something beside it or of `others` has that."""
    groups: tuple[tuple[Any, ...], ...] = (spec.tensors, spec.params, spec.axes)
    taken = {x.name for group in groups for x in group} | WORDS | sys.stdlib_module_names | {*BESIDE} | others
    name = in_ascii(name)
    return next(n for n in (name, f"{name}_kernel", *(f"{name}_kernel{k}" for k in range(2, 99))) if n not in taken)


def _symbols(spec: Spec, table: dict[str, str]) -> dict[sp.Basic, sp.Basic]:
    found: dict[sp.Basic, sp.Basic] = {}
    for axis in spec.axes:
        if axis.name in table:
            found[axis], found[axis.size] = Index(table[axis.name]), Size(table[axis.name])
    for param in spec.params:
        if param.name in table:
            found[param] = Param(table[param.name], **param.assumptions0)
    for tensor in spec.tensors:
        axes = tuple(found.get(a, a) for a in tensor.axes)
        new = tensor.func(*(table.get(tensor.name, tensor.name), axes, *tensor.__getnewargs__()[2:]))
        new.order = tensor.order
        if new != tensor:
            found[tensor] = new
    return found


def put(value: T, symbols: dict[sp.Basic, sp.Basic], table: dict[str, str]) -> T:
    """A value with other symbols in all of its parts; the names of outputs are text."""
    result: Any = value
    if isinstance(value, sp.Basic | sp.MatrixBase):
        result = value.xreplace(symbols)
    elif isinstance(value, tuple):
        result = tuple(put(v, symbols, table) for v in value)
    elif is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: put(getattr(value, f.name), symbols, table) for f in fields(value)}
        if isinstance(parts.get("name"), str):
            parts["name"] = table.get(parts["name"], parts["name"])
        result = replace(value, **parts)
    return result
