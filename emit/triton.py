"""Prints the kernel language as the text of Triton; what has a layout, as that of Gluon."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, assert_never

from refold.emit.source import block, wrap
from refold.emit.text import AND, ATOM, COMPARISON, Val, call, choice, infix, inverted, negative, number
from refold.errors import EmitError
from refold.schedule import ir

# How far the statements of a kernel may be indented.
DEEPEST = 12
INFINITY = 'float("inf")'
# Functions of two that Triton has no operator for.
_BINARY = {"minimum": "tl.minimum", "maximum": "tl.maximum", "smaller": "_smaller", "larger": "_larger",
           "cdiv": "tl.cdiv"}  # fmt: skip


def text(value: ir.Value) -> str:
    """A value as text."""
    return piece(value).text


def piece(value: ir.Value) -> Val:
    """A value as text with its precedence."""
    return VALUES[type(value)](value)


def lines(statements: Iterable[ir.Statement]) -> list[str]:
    """Statements as the lines of a function's body."""
    return [line for s in statements for line in _statement(s)]


def function_text(function: ir.Function, decorator: str = "@triton.jit") -> str:
    """A function with its head; its constants are marked."""
    marked = [f"{p.text}: tl.constexpr" if p.kind == "constant" else p.text for p in function.parameters]
    head = [decorator, *wrap(f"def {function.name}(", marked, "):")]
    head += [f"    # {function.comment}"] if function.comment else []
    return "\n".join([*head, *(f"    {line}" if line else "" for line in lines(function.body))]) + "\n"


def module_lines(functions: Iterable[ir.Function], decorator: str = "@triton.jit") -> str:
    """The functions of a module, one after the other."""
    return "\n\n".join(function_text(f, decorator) for f in functions)


def _statement(s: ir.Statement) -> list[str]:
    match s:
        case ir.Let(target, ir.Binary("+", first, rest)) if first == target and target.kind == "pointer":
            return [f"{target.text} += {text(rest)}{_comment(s.comment)}"]
        case ir.Let(target, ir.Invoke() as value):
            return _invoked(value, f"{target.text} = ")
        case ir.Let():
            return [f"{s.target.text} = {text(s.value)}{_comment(s.comment)}"]
        case ir.Unpack():
            names = ", ".join(t.text for t in s.targets)
            names = f"({names},)" if len(s.targets) == 1 else names
            if isinstance(s.value, ir.Invoke):
                return _invoked(s.value, f"{names} = ")
            return [f"{names} = {_listed(s.value.values) if isinstance(s.value, ir.Sequence) else text(s.value)}"]
        case ir.Evaluate(ir.Invoke() as value):
            return _invoked(value, "")
        case ir.Evaluate():
            return [f"{text(s.value)}{_comment(s.comment)}"]
        case ir.Note():
            return [f"# {s.text}"]
        case ir.Store():
            options = {"mask": s.mask, "eviction_policy": s.eviction}
            return [f"tl.store({text(s.place)}, {text(s.value)}{_options(options)})"]
        case ir.If():
            other = block("else:", lines(s.other)) if s.other else []
            return [*block(f"if {text(s.condition)}:", lines(s.body)), *other]
        case ir.For():
            return block(_head(s), lines(s.body))
        case ir.Specialise():
            each = [f"({f.function}, ({_listed(f.args)}))," for f in s.functions]
            return [*block("gl.warp_specialize([", each), f"], {[*s.warps]}, {[*s.registers]})"]
        case ir.Return():
            single = "," if len(s.values) == 1 and not s.alone else ""
            return [f"return {', '.join(map(text, s.values))}{single}"]
    assert_never(s)


def _comment(words: str) -> str:
    return f"  # {words}" if words else ""


def _invoked(value: ir.Invoke, target: str) -> list[str]:
    return wrap(f"{target}{value.function}(", [text(a) for a in value.args], ")", DEEPEST)


def _head(s: ir.For) -> str:
    ends = [text(s.start), text(s.stop), *([text(s.step)] if s.step is not None else [])]
    options = [f"{name}={text(value)}" for name, value in s.options]
    if s.unrolled:
        return f"for {s.index.text} in gl.static_range({text(s.stop)}):"
    return f"for {s.index.text} in {'tl.range' if options else 'range'}({', '.join([*ends, *options])}):"


def _options(options: dict[str, ir.Value | None]) -> str:
    return "".join(f", {name}={text(value)}" for name, value in options.items() if value is not None)


def dtype(kind: ir.Dtype) -> str:
    """A dtype as text."""
    if isinstance(kind, ir.ElementOf):
        return f"{kind.pointer.text}.dtype.element_ty"
    return kind.text if isinstance(kind, ir.Name) else f"tl.{kind}"


def _listed(values: Iterable[ir.Value]) -> str:
    return ", ".join(map(text, values))


def _number(v: ir.Number) -> Val:
    if isinstance(v.value, bool):
        return Val(str(v.value))
    if math.isnan(v.value):
        return Val('float("nan")')
    if math.isinf(v.value):
        return Val(INFINITY) if v.value > 0 else negative(Val(INFINITY))
    return number(v.value)


def _binary(v: ir.Binary) -> Val:
    if v.op in _BINARY:
        return call(f"{_BINARY[v.op]}({{}}, {{}})", piece(v.a), piece(v.b))
    return infix(v.op, piece(v.a), piece(v.b))


def _unary(v: ir.Unary) -> Val:
    if v.op in ("-", "~"):
        return (negative if v.op == "-" else inverted)(piece(v.x))
    if v.op == "not":
        return Val(f"not {piece(v.x).at(COMPARISON)}", binds=AND)
    return Val(f"tl.{v.op}({text(v.x)})")


def _full(v: ir.Full) -> Val:
    shape = _listed(v.shape)
    if v.layout is not None:
        return Val(f"gl.full([{shape}], {text(v.value)}, {dtype(v.dtype)}, layout={text(v.layout)})")
    return Val(f"tl.full([{shape}], {text(v.value)}, {dtype(v.dtype)})")


def _lanes(v: ir.Lanes) -> Val:
    if v.layout is not None:
        return Val(f"gl.arange(0, {text(v.block)}, layout={text(v.layout)})")
    return Val(f"tl.arange(0, {text(v.block)})")


def _spread(v: ir.Spread) -> Val:
    places = ", ".join(":" if a in v.x.axes else "None" for a in v.axes)
    return Val(f"{piece(v.x).at(ATOM)}[{places}]")


def _load(v: ir.Load) -> Val:
    options = {"mask": v.mask, "other": v.other, "eviction_policy": v.eviction}
    return Val(f"tl.load({text(v.place)}{_options(options)})")


def _fetch(v: ir.Fetch) -> Val:
    return Val(f"{v.descriptor.text}.load([{_listed(v.corner)}]).reshape({_listed(v.shape)})")


def _dot(v: ir.Dot) -> Val:
    into = f", {text(v.into)}" if v.into is not None else ""
    return Val(f'tl.dot({text(v.a)}, {text(v.b)}{into}, input_precision="{v.precision}")')


def _reduce(v: ir.Reduce) -> Val:
    if v.reducer == "prod":
        return Val(f"tl.reduce({text(v.x)}, {v.place}, _multiply)")
    place = "" if v.place is None else f", {v.place}"
    return Val(f"tl.{v.reducer}({text(v.x)}{place})")


def _combine(v: ir.Combine) -> Val:
    function = "associative_scan" if v.scan else "reduce"
    reverse = ", reverse=True" if v.reverse else ""
    return Val(f"tl.{function}(({_listed(v.xs)},), {v.place}, {v.function}{reverse})")


def _foreign(v: ir.Extern | ir.Atomic) -> Val:
    raise EmitError(f"{type(v).__name__} comes from a kernel that is checked: refold writes none")


def _method(v: ir.Method) -> Val:
    head = f"{piece(v.object).at(ATOM)}.{v.name}"
    if v.args is None:
        return Val(head)
    return Val(f"{head}({_arguments(v.args, v.keywords)})")


def _arguments(args: Iterable[ir.Value], keywords: Iterable[tuple[str, ir.Value]]) -> str:
    return ", ".join([*map(text, args), *(f"{name}={text(value)}" for name, value in keywords)])


def _sequence(v: ir.Sequence) -> Val:
    if v.tuple:
        return Val(f"({_listed(v.values)}{',' * (len(v.values) == 1)})")
    return Val(f"[{_listed(v.values)}]")


def _cast(v: ir.Cast) -> Val:
    if v.literal:
        return Val(f"tl.cast({text(v.x)}, {dtype(v.dtype)})")
    return Val(f"{piece(v.x).at(ATOM)}.to({dtype(v.dtype)})")


# One row for every kind of value.
VALUES: dict[type[Any], Callable[[Any], Val]] = {
    ir.Name: lambda v: Val(v.text),
    ir.Number: _number,
    ir.Program: lambda v: Val(f"tl.{'num_programs' if v.count else 'program_id'}({v.axis})"),
    ir.Lanes: _lanes,
    ir.Full: _full,
    ir.Unary: _unary,
    ir.Binary: _binary,
    ir.Select: lambda v: Val(f"tl.where({text(v.condition)}, {text(v.then)}, {text(v.other)})"),
    ir.Choice: lambda v: choice(piece(v.then), piece(v.flag), piece(v.other)),
    ir.Cast: _cast,
    ir.Spread: _spread,
    ir.Transpose: lambda v: Val(f"tl.trans({text(v.x)}{'' if v.order == (1, 0) else f', {v.order}'})"),
    ir.Reshape: lambda v: Val(f"tl.reshape({text(v.x)}, {[*v.shape]})"),
    ir.Repeat: lambda v: Val(f"tl.broadcast_to({text(v.x)}, {[*v.shape]})"),
    ir.Load: _load,
    ir.Fetch: _fetch,
    ir.Dot: _dot,
    ir.Reduce: _reduce,
    ir.Combine: _combine,
    ir.Extern: _foreign,
    ir.Atomic: _foreign,
    ir.Call: lambda v: Val(f"{v.function}({_arguments(v.args, v.keywords)})"),
    ir.Invoke: lambda v: Val(f"{v.function}({_listed(v.args)})"),
    ir.Method: _method,
    ir.Sequence: _sequence,
    ir.Text: lambda v: Val(repr(v.text).replace("'", '"')),
}
