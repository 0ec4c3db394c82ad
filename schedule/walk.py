"""What is in a piece of the kernel language: its parts, the names that it reads, and those that it leaves free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar, assert_never

from refold.schedule import ir

T = TypeVar("T")


def parts(node: Any) -> Iterator[Any]:
    """Everything of the language that a node is made of, at its first level, in the order of its fields."""
    for name in node.__dataclass_fields__:
        if name not in ("axes", "comment"):
            yield from _nodes(getattr(node, name))


def _nodes(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for v in value:
            yield from _nodes(v)
    elif hasattr(value, "__dataclass_fields__"):
        yield value


def put(node: T, values: Mapping[ir.Name, ir.Value]) -> T:
    """A node with values in the places of names that it reads; what it assigns keeps its name."""
    found: Any = node
    if isinstance(node, ir.Name):
        found = values.get(node, node)
    elif isinstance(node, tuple):
        found = tuple(put(n, values) for n in node)
    elif hasattr(node, "__dataclass_fields__"):
        kept = ("axes", "target", "targets", "index")
        read = {f: getattr(node, f) for f in node.__dataclass_fields__ if f not in kept}
        found = replace(node, **{f: put(value, values) for f, value in read.items()})  # type: ignore[type-var]
    return found


def rewritten(node: T, change: Callable[[Any], Any]) -> T:
    """A node with a change of every node in it, what is in a node before the node."""
    made: Any = node
    if isinstance(node, tuple):
        made = tuple(rewritten(n, change) for n in node)
    elif hasattr(node, "__dataclass_fields__"):
        parts = {f: rewritten(getattr(node, f), change) for f in node.__dataclass_fields__ if f != "axes"}
        made = change(replace(node, **parts))  # type: ignore[type-var]
    return made


def contains(node: Any, kind: type[Any]) -> bool:
    """Whether a node of a kind is anywhere in it."""
    return isinstance(node, kind) or any(contains(p, kind) for p in parts(node))


def every(node: Any) -> Iterator[Any]:
    """A node and all that it is made of."""
    yield node
    for part in parts(node):
        yield from every(part)


def names(node: Any) -> Iterator[ir.Name]:
    """The names that a value reads, dtypes that are arguments among them."""
    if isinstance(node, ir.Name):
        if node.kind != "global":
            yield node
        return
    for part in parts(node):
        yield from names(part)


def free_names(body: Iterable[ir.Statement]) -> dict[str, ir.Name]:
    """The names that statements read before they assign them, by their text."""
    free: dict[str, ir.Name] = {}
    _visit(body, free, set())
    return free


def _visit(body: Iterable[ir.Statement], free: dict[str, ir.Name], bound: set[str]) -> None:
    def read(*values: ir.Value | None) -> None:
        for name in (n for v in values if v is not None for n in names(v)):
            if name.text not in bound:
                free.setdefault(name.text, name)

    for s in body:
        match s:
            case ir.Let():
                read(s.value)
                bound.add(s.target.text)
            case ir.Unpack():
                read(s.value)
                bound |= {t.text for t in s.targets}
            case ir.Evaluate():
                read(s.value)
            case ir.Note():
                pass
            case ir.Store():
                read(s.place, s.value, s.mask, s.eviction)
            case ir.If():
                read(s.condition)
                _visit((*s.body, *s.other), free, bound)
            case ir.For():
                read(s.start, s.stop, s.step, *(v for _, v in s.options))
                bound.add(s.index.text)
                _visit(s.body, free, bound)
            case ir.Specialise():
                read(*s.functions)
            case ir.Return():
                read(*s.values)
            case _:
                assert_never(s)


def assigned(body: Iterable[ir.Statement]) -> list[str]:
    """The names that statements assign, in order."""
    found: list[str] = []
    for statement in body:
        match statement:
            case ir.Let(target):
                found.append(target.text)
            case ir.Unpack(targets):
                found += [t.text for t in targets]
            case ir.If(_, then, other):
                found += assigned(then) + assigned(other)
            case ir.For(_, _, _, _, inner):
                found += assigned(inner)
            case ir.Evaluate() | ir.Note() | ir.Store() | ir.Specialise() | ir.Return():
                pass
            case _:
                assert_never(statement)
    return found


def reads(statement: ir.Statement) -> set[str]:
    """The names that one statement reads, by their text."""
    return {*free_names([statement])}


def needed(straight: Iterable[ir.Statement], body: Iterable[ir.Statement]) -> list[ir.Statement]:
    """Those of the assignments that the body, or a needed one after them, reads."""
    wanted = {*free_names(body)}
    kept: list[ir.Statement] = []
    for s in reversed([*straight]):
        if isinstance(s, ir.Let | ir.For) and wanted & {*assigned([s])}:
            kept.append(s)
            wanted |= reads(s)
    return kept[::-1]


# Carried values first, in an order of their own; then pointers, strides and scalars, sizes, constants.
_RANK: dict[ir.Kind, int] = {"pointer": 1, "value": 2, "size": 3, "constant": 4}


def function(name: str, first: Iterable[ir.Name], body: Iterable[ir.Statement], comment: str = "") -> ir.Function:
    """A function whose parameters are `first`, then the names that its body leaves free, in a fixed order."""
    given, lines = tuple(first), tuple(body)
    free = free_names(lines)
    later = [free[n] for n in free.keys() - {n.text for n in given}]
    later.sort(key=lambda n: (_RANK[n.kind], n.text))
    return ir.Function(name, (*given, *later), lines, comment)


def reached(f: ir.Function, module: Iterable[ir.Function]) -> set[str]:
    """The names of a function and of those that it calls, by others too."""
    others = {g.name: g for g in module}
    found, left = set[str](), [f.name]
    while left:
        name = left.pop()
        if name not in found and name in others:
            found.add(name)
            left += [n.function for n in every(others[name]) if isinstance(n, ir.Invoke)]
    return found


def invoke(f: ir.Function, **values: ir.Value) -> ir.Invoke:
    """The call of a function, each argument by its own name unless `values` says otherwise."""
    return ir.Invoke(f.name, tuple(values.get(p.text, p) for p in f.parameters))
