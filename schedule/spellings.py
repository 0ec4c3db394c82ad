"""What the operations of Triton's front end compute, as values of the kernel language: one table by their spelling.

An operation that no table has is an error that names it and its place: nothing is guessed. Axes of a kernel that is
read have no names: they are numbered, the outermost first.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from refold.schedule import ir
from refold.schedule.dtypes import bits, dtype_named, is_float
from refold.schedule.ttir import Operation, split_types


@dataclass(frozen=True, slots=True)
class Type:
    """The shape and the dtype of a value; a number of the program has no shape."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def axes(self) -> ir.Axes:
        return tuple(range(len(self.shape)))


def type_named(text: str) -> Type:
    """`tensor<4x2x!tt.ptr<f32>>`, `!tt.ptr<f16>`, `i32`."""
    text = text.strip()
    match = re.match(r"tensor<((?:\d+x)+)(.*)>$", text)
    shape = tuple(int(n) for n in match[1].rstrip("x").split("x")) if match else ()
    element = match[2] if match else text
    pointer = re.match(r"!tt\.ptr<([^,>]*)", element)
    return Type(shape, f"*{dtype_named(pointer[1])}" if pointer else dtype_named(element))


def result_type(o: Operation) -> Type:
    """The type of what an operation gives: the last one that it names."""
    after = o.types.rpartition("->")[2] if "->" in o.types else o.types
    return type_named(split_types(after.rpartition(" to ")[2] or after)[-1])


def operand_type(o: Operation) -> Type:
    before = o.types.partition("->")[0].partition(" to ")[0].strip()
    return type_named(split_types(before.removeprefix("(").removesuffix(")"))[0])


def numbered(value: ir.Value, of: Type) -> ir.Value:
    """A tile whose axes are numbered from the outermost one, as those of all tiles of a kernel that is read."""
    return value if value.axes == of.axes else ir.Reshape(value, of.shape, of.axes)


def _name(o: Operation, k: int) -> ir.Name:
    return ir.Name(o.operands[k], result_type(o).axes)


def _binary(op: ir.BinaryOp) -> Callable[[Operation], ir.Value]:
    return lambda o: ir.Binary(op, _name(o, 0), _name(o, 1))


def _unary(op: ir.UnaryOp) -> Callable[[Operation], ir.Value]:
    return lambda o: ir.Unary(op, _name(o, 0))


def _extern(function: str) -> Callable[[Operation], ir.Value]:
    return lambda o: ir.Extern(function, tuple(_name(o, k) for k in range(len(o.operands))), result_type(o).dtype)


def _divided(o: Operation) -> ir.Value:
    if bits(result_type(o).dtype) < 32:
        raise o.fail("a quotient of floats of 16 bits, which the language does not have")
    return _binary("/")(o)


def _cast(o: Operation) -> ir.Value:
    return ir.Cast(_name(o, 0), result_type(o).dtype)


def _cast_of_truth(o: Operation) -> ir.Value:
    """Of an unsigned integer: only of a truth value, which is 1 or 0."""
    if operand_type(o).dtype != "int1":
        raise o.fail("a cast of an unsigned integer")
    return _cast(o)


def _cast_of_integer(o: Operation) -> ir.Value:
    """Of a signed integer: a truth value is -1 as one."""
    if "int1" in (operand_type(o).dtype, result_type(o).dtype):
        raise o.fail("a cast of or to a signed integer of one bit")
    return _cast(o)


def _constant(o: Operation) -> ir.Value:
    of = result_type(o)
    text = re.sub(r" ?\{.*\}", "", o.body.removeprefix("arith.constant")).strip()
    text = text.removeprefix("dense<").removesuffix(">").strip('"')
    if text in ("true", "false"):
        number = ir.Number(text == "true")
    elif is_float(of.dtype):
        number = ir.Number(_float(text, of.dtype))
    elif re.fullmatch(r"-?\d+", text):
        number = ir.Number(int(text))
    else:
        raise o.fail(f"the constant {text}")
    if of.shape:
        return ir.Full(tuple(ir.Number(n) for n in of.shape), number, of.dtype, of.axes)
    return ir.Cast(number, of.dtype)


def _float(text: str, dtype: str) -> float:
    """A float as it is printed: in decimals, or where they do not do, by its bits."""
    if not text.startswith("0x"):
        return float(text)
    word = int(text, 16)
    if dtype == "bf16":
        word, dtype = word << 16, "fp32"
    form, size = {"fp16": ("<e", 2), "fp32": ("<f", 4), "fp64": ("<d", 8)}[dtype]
    return float(struct.unpack(form, word.to_bytes(size, "little"))[0])


_SIGNED: dict[str, ir.BinaryOp] = {"eq": "==", "ne": "!=", "slt": "<", "sle": "<=", "sgt": ">", "sge": ">="}
_ORDERED: dict[str, ir.BinaryOp] = {"oeq": "==", "une": "!=", "olt": "<", "ole": "<=", "ogt": ">", "oge": ">="}
# Unordered comparisons: those that hold also where a side is NaN are the negations of the others.
_UNORDERED: dict[str, ir.BinaryOp] = {"ult": ">=", "ule": ">", "ugt": "<=", "uge": "<"}


def _compare_integers(o: Operation) -> ir.Value:
    predicate = o.body.removeprefix("arith.cmpi").strip().partition(",")[0]
    if predicate not in _SIGNED:
        raise o.fail(f"the comparison {predicate} of unsigned integers")
    return ir.Binary(_SIGNED[predicate], *_sides(o))


def _compare_floats(o: Operation) -> ir.Value:
    predicate = o.body.removeprefix("arith.cmpf").strip().partition(",")[0]
    a, b = _sides(o)
    if predicate in _ORDERED:
        return ir.Binary(_ORDERED[predicate], a, b)
    if predicate in _UNORDERED:
        return ir.Unary("~", ir.Binary(_UNORDERED[predicate], a, b))
    apart = ir.Binary("|", ir.Binary("<", a, b), ir.Binary("<", b, a))
    numbers = ir.Binary("&", ir.Binary("==", a, a), ir.Binary("==", b, b))
    other: dict[str, ir.Value] = {
        "one": apart, "ueq": ir.Unary("~", apart), "ord": numbers, "uno": ir.Unary("~", numbers),
    }  # fmt: skip
    if predicate not in other:
        raise o.fail(f"the comparison {predicate}")
    return other[predicate]


def _sides(o: Operation) -> tuple[ir.Name, ir.Name]:
    axes = operand_type(o).axes
    return ir.Name(o.operands[0], axes), ir.Name(o.operands[1], axes)


def _select(o: Operation) -> ir.Value:
    condition, *other = split_types(o.types)
    return ir.Select(ir.Name(o.operands[0], type_named(condition).axes if other else ()), _name(o, 1), _name(o, 2))


def _program(count: bool) -> Callable[[Operation], ir.Value]:
    return lambda o: ir.Program("xyz".index(o.body.split()[1]), count)


def _range(o: Operation) -> ir.Value:
    start, end = o.integer("start"), o.integer("end")
    lanes = ir.Lanes(ir.Number(end - start), (0,))
    return ir.Binary("+", lanes, ir.Number(start)) if start else lanes


def _splat(o: Operation) -> ir.Value:
    of = result_type(o)
    return ir.Full(tuple(ir.Number(n) for n in of.shape), ir.Name(o.operands[0]), of.dtype, of.axes)


def _reshape(o: Operation) -> ir.Value:
    of = result_type(o)
    return ir.Reshape(ir.Name(o.operands[0], operand_type(o).axes), of.shape, of.axes)


def _repeat(o: Operation) -> ir.Value:
    return ir.Repeat(_name(o, 0), result_type(o).shape)


def _transpose(o: Operation) -> ir.Value:
    order = re.search(r"order = array<i32: ([\d, ]+)>", o.body)
    if order is None:
        raise o.fail("it has no order")
    return numbered(ir.Transpose(_name(o, 0), tuple(int(k) for k in order[1].split(","))), result_type(o))


def _load(o: Operation) -> ir.Value:
    if "isVolatile = true" in o.body:
        raise o.fail("a volatile load")
    place, *rest = (_name(o, k) for k in range(len(o.operands)))
    return ir.Load(place, rest[0] if rest else None, rest[1] if len(rest) > 1 else None)


def _fetch(o: Operation) -> ir.Value:
    of = result_type(o)
    descriptor, *corner = (ir.Name(n) for n in o.operands)
    return ir.Fetch(descriptor, tuple(corner), tuple(ir.Number(n) for n in of.shape), of.axes)


def _dot(o: Operation) -> ir.Value:
    precision = re.search(r"inputPrecision = (\w+)", o.body)
    if "maxNumImpreciseAcc" in o.body and o.integer("maxNumImpreciseAcc"):
        raise o.fail("a sum of less than float32")
    # The axis that both have, and the result has not, has a name.
    left, right = (type_named(t).shape for t in o.types.partition("->")[0].split(" * "))
    a, b = ir.Reshape(_name(o, 0), left, (0, "k")), ir.Reshape(_name(o, 1), right, ("k", 1))
    return ir.Dot(a, b, _name(o, 2), precision[1] if precision else "ieee")


def _assembly(o: Operation) -> ir.Value:
    text = o.body.split('"')[1]
    for words, effect in (("griddepcontrol.wait", "gdc_wait"), ("launch_dependents", "gdc_launch_dependents")):
        if words in text:
            return ir.Method(ir.Name("tl", kind="global"), effect)
    if "pure = true" not in o.body or o.integer("packed_element") != 1:
        raise o.fail("assembly that does more than compute an element")
    return _extern(text)(o)


def _library(o: Operation) -> ir.Value:
    symbol = re.search(r'symbol = "(\w+)"', o.body)
    if symbol is None or "pure = true" not in o.body:
        raise o.fail("a function of a library that does more than compute an element")
    return _extern(symbol[1])(o)


def _method(name: str) -> Callable[[Operation], ir.Value]:
    return lambda _: ir.Method(ir.Name("tl", kind="global"), name)


def _atomic(o: Operation) -> ir.Value:
    op = o.body.removeprefix("tt.atomic_rmw").strip().partition(",")[0]
    place, value, *mask = (ir.Name(n, result_type(o).axes) for n in o.operands)
    return ir.Atomic(op.strip(), place, value, mask[0] if mask else None)


_ARITHMETIC: dict[str, ir.BinaryOp] = {
    "addi": "+", "addf": "+", "subi": "-", "subf": "-", "muli": "*", "mulf": "*", "divsi": "//", "remsi": "%",
    "andi": "&", "ori": "|", "xori": "^", "maxsi": "maximum", "minsi": "minimum", "maxnumf": "maximum",
    "minnumf": "minimum", "maximumf": "larger", "minimumf": "smaller",
}  # fmt: skip
_MATHEMATICS: dict[str, ir.UnaryOp] = {
    "exp": "exp", "exp2": "exp2", "log": "log", "log2": "log2", "sin": "sin", "cos": "cos", "erf": "erf",
    "sqrt": "sqrt", "rsqrt": "rsqrt", "absf": "abs", "absi": "abs", "floor": "floor", "ceil": "ceil",
}  # fmt: skip
VALUES: dict[str, Callable[[Operation], ir.Value]] = {
    **{f"arith.{n}": _binary(op) for n, op in _ARITHMETIC.items()},
    **{f"math.{n}": _unary(op) for n, op in _MATHEMATICS.items()},
    "arith.constant": _constant,
    "arith.divf": _divided,
    "arith.negf": _unary("-"),
    "arith.cmpi": _compare_integers,
    "arith.cmpf": _compare_floats,
    "arith.select": _select,
    "arith.extsi": _cast_of_integer,
    "arith.trunci": _cast_of_integer,
    "arith.sitofp": _cast_of_integer,
    "arith.fptosi": _cast_of_integer,
    "arith.extui": _cast_of_truth,
    "arith.uitofp": _cast_of_truth,
    "arith.extf": _cast,
    "arith.truncf": _cast,
    "arith.index_cast": _cast,
    "math.fma": _extern("fma"),
    "tt.precise_sqrt": _extern("precise_sqrt"),
    "tt.precise_divf": _extern("precise_divf"),
    "tt.extern_elementwise": _library,
    "tt.elementwise_inline_asm": _assembly,
    "tt.get_program_id": _program(count=False),
    "tt.get_num_programs": _program(count=True),
    "tt.make_range": _range,
    "tt.splat": _splat,
    "tt.expand_dims": _reshape,
    "tt.reshape": _reshape,
    "tt.broadcast": _repeat,
    "tt.trans": _transpose,
    "tt.addptr": _binary("+"),
    "tt.load": _load,
    "tt.descriptor_load": _fetch,
    "tt.dot": _dot,
    "tt.atomic_rmw": _atomic,
    "tt.grid_dependency_wait": _method("gdc_wait"),
    "tt.grid_dependency_launch_dependents": _method("gdc_launch_dependents"),
}
