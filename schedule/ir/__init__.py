"""The kernel language: what a kernel is between the plan and its text, and what a kernel of somebody else is parsed to.

A value is a tile of numbers. Its `axes` name its dimensions, the outermost first; a number by itself has none. Two
tiles meet in an operation only if they have the same axes, or one of them has none: `Spread` says how they get them.
Statements assign: a name that is assigned again has the later value from there on, and after a loop what the last
iteration left. Floats are float32 unless a cast says otherwise; `//` and `%` of integers round toward zero, as the
compiler has them. What is legal beyond the types is in `checks.py`.

Every kind of node is a class with its fields, in the file of its idea; the two unions below are all that there is.
"""

from __future__ import annotations

from typing import TypeAlias

from refold.schedule.ir.calls import Call, Extern, Invoke, Method, Sequence
from refold.schedule.ir.elements import Binary, BinaryOp, Cast, Choice, Full, Lanes, Select, Unary, UnaryOp
from refold.schedule.ir.folds import Combine, Dot, Reduce, Reducer
from refold.schedule.ir.leaves import Axes, Dtype, ElementOf, Kind, Name, Number, Program, Text
from refold.schedule.ir.memory import Atomic, Fetch, Load, Store
from refold.schedule.ir.shapes import Repeat, Reshape, Spread, Transpose
from refold.schedule.ir.statements import Evaluate, For, Function, If, Let, Note, Return, Specialise, Unpack

Value: TypeAlias = (
    Name | Number | Text | Program  # what values begin with
    | Lanes | Full | Unary | Binary | Select | Choice | Cast  # element by element
    | Spread | Transpose | Reshape | Repeat  # the same elements as another tile
    | Dot | Reduce | Combine  # many elements to one
    | Load | Fetch | Atomic  # memory
    | Invoke | Call | Extern | Method | Sequence  # functions
)  # fmt: skip
Statement: TypeAlias = Let | Unpack | Evaluate | Note | Store | If | For | Specialise | Return

__all__ = [
    "Atomic", "Axes", "Binary", "BinaryOp", "Call", "Cast", "Choice", "Combine", "Dot", "Dtype", "ElementOf",
    "Evaluate", "Extern", "Fetch", "For", "Full", "Function", "If", "Invoke", "Kind", "Lanes", "Let", "Load",
    "Method", "Name", "Note", "Number", "Program", "Reduce", "Reducer", "Repeat", "Reshape", "Return", "Select",
    "Sequence", "Specialise", "Spread", "Statement", "Store", "Text", "Transpose", "Unary", "UnaryOp", "Unpack",
    "Value",
]  # fmt: skip
