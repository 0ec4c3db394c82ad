"""Dtypes: how they are spelled, and which one an operation of two of them has, as the language has it."""

from __future__ import annotations

from refold.schedule.terms import Sort

_SPELLINGS = {
    "int1": ("bool", "i1"),
    "int8": ("i8",),
    "int16": ("i16",),
    "int32": ("i32",),
    "int48": (),
    "int64": ("i64", "index"),
    "fp16": ("float16", "f16"),
    "bf16": ("bfloat16",),
    "fp32": ("float32", "f32"),
    "fp64": ("float64", "f64"),
}
# Of indices the launcher chooses the width, 32 or 64 bits: here one between both, so that what an index meets tells
# the three apart.
INDEX = "int48"
_NAMES = {s: name for name, spellings in _SPELLINGS.items() for s in (name, *spellings)}
_SORTS: dict[str, Sort] = {"fp16": "fp16", "bf16": "bf16", "fp32": "fp32", "fp64": "fp64"}


def dtype_named(spelling: str) -> str:
    """One spelling for the dtypes of the language (`tl.float32`), of its signatures (`*fp32`) and of its front end."""
    spelling = spelling.removeprefix("tl.")
    if spelling.startswith("*"):
        return f"*{dtype_named(spelling[1:])}"
    if spelling not in _NAMES:
        raise ValueError(f"no meaning is known of the dtype {spelling}")
    return _NAMES[spelling]


def is_float(dtype: str) -> bool:
    return dtype in _SORTS


def is_integer(dtype: str) -> bool:
    return dtype.startswith("int")


def is_pointer(dtype: str) -> bool:
    return dtype.startswith("*")


def bits(dtype: str) -> int:
    return int(dtype.lstrip("intbfp"))


def sort_of(dtype: str) -> Sort:
    """What the lanes of a tile are."""
    if is_pointer(dtype):
        return "pointer"
    return _SORTS.get(dtype, "bool" if dtype == "int1" else "int")


def kind(dtype: str) -> int:
    """bool < int < float: a literal of a lower or equal kind takes the dtype of what it meets."""
    return 2 if is_float(dtype) else 0 if dtype == "int1" else 1


def promoted(a: str, b: str, *, divides: bool = False) -> str:
    """The dtype in which two operands meet."""
    floats = {d for d in (a, b) if is_float(d)}
    if not floats:
        return a if bits(a) >= bits(b) else b
    if "fp64" in floats:
        return "fp64"
    if divides or "fp32" in floats:
        return "fp32"
    if "fp16" in floats:
        return "fp16"
    return "bf16" if a == b == "bf16" else "fp32"


def literal_dtype(value: float | bool) -> str:
    if isinstance(value, bool):
        return "int1"
    if isinstance(value, int):
        return "int32" if -(2**31) <= value < 2**31 else "int64"
    return "fp32"
