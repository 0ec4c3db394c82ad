"""The kernel language: what a kernel is between the plan and its text, and what a kernel of somebody else is parsed to.

A value is a tile of numbers. Its `axes` name its dimensions, the outermost first; a number by itself has none. Two
tiles meet in an operation only if they have the same axes, or one of them has none: `Spread` says how they get them.
Statements assign: a name that is assigned again has the later value from there on, and after a loop what the last
iteration left. Floats are float32 unless a cast says otherwise; `//` and `%` of integers round toward zero, as the
compiler has them. What is legal beyond the types here is in `checks.py`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Axes: TypeAlias = tuple[Hashable, ...]
# What a name stands for. A constant is known when the kernel is compiled; a pointer may be a tensor descriptor; a
# global is no argument, but a part of the target's language.
Kind: TypeAlias = Literal["value", "pointer", "size", "constant", "global"]
UnaryOp: TypeAlias = Literal[
    "-", "~", "not", "exp2", "log", "sin", "cos", "erf", "abs", "sqrt", "floor", "exp", "log2", "rsqrt", "ceil"
]
BinaryOp: TypeAlias = Literal[
    "+", "-", "*", "/", "//", "%", "&", "|", "^", "==", "!=", "<", "<=", ">", ">=", "minimum", "maximum", "cdiv",
    "smaller", "larger",
]  # fmt: skip
Reducer: TypeAlias = Literal["sum", "max", "min", "prod"]


@dataclass(frozen=True, slots=True)
class Name:
    """A value by its name: an argument, or what a statement before has assigned."""

    text: str
    axes: Axes = ()
    kind: Kind = "value"


@dataclass(frozen=True, slots=True)
class Number:
    """A literal: an integer, a float (infinite or NaN too), or a truth value."""

    value: float | bool

    @property
    def axes(self) -> Axes:
        return ()


@dataclass(frozen=True, slots=True)
class Text:
    """A word to the compiler."""

    text: str

    @property
    def axes(self) -> Axes:
        return ()


@dataclass(frozen=True, slots=True)
class ElementOf:
    """As a dtype: that of what a pointer points to."""

    pointer: Name


Dtype: TypeAlias = str | Name | ElementOf


@dataclass(frozen=True, slots=True)
class Program:
    """The number of the program along one axis of the grid; with `count`, how many there are."""

    axis: int
    count: bool = False

    @property
    def axes(self) -> Axes:
        return ()


@dataclass(frozen=True, slots=True)
class Lanes:
    """0, 1, ..., block - 1."""

    block: Value
    axes: Axes
    layout: Value | None = None


@dataclass(frozen=True, slots=True)
class Full:
    """A tile of one number."""

    shape: tuple[Value, ...]
    value: Value
    dtype: Dtype
    axes: Axes
    layout: Value | None = None


@dataclass(frozen=True, slots=True)
class Unary:
    op: UnaryOp
    x: Value

    @property
    def axes(self) -> Axes:
        return self.x.axes


@dataclass(frozen=True, slots=True)
class Binary:
    """`cdiv` is a quotient of integers that are not negative, rounded up; a pointer plus an integer is a pointer.

    `minimum` and `maximum` give the number where the other side is NaN, `smaller` and `larger` give NaN.
    """

    op: BinaryOp
    a: Value
    b: Value

    @property
    def axes(self) -> Axes:
        return self.a.axes or self.b.axes


@dataclass(frozen=True, slots=True)
class Select:
    """`then` in the lanes where the condition holds, `other` in the rest."""

    condition: Value
    then: Value
    other: Value

    @property
    def axes(self) -> Axes:
        return self.condition.axes or self.then.axes or self.other.axes


@dataclass(frozen=True, slots=True)
class Choice:
    """One of two values, by a constant of the compilation or a number of the program."""

    flag: Value
    then: Value
    other: Value

    @property
    def axes(self) -> Axes:
        return self.other.axes


@dataclass(frozen=True, slots=True)
class Cast:
    """The same number in another dtype; `literal` where it may be one that Python knows, as a size is."""

    x: Value
    dtype: Dtype
    literal: bool = False

    @property
    def axes(self) -> Axes:
        return self.x.axes


@dataclass(frozen=True, slots=True)
class Spread:
    """A tile as one of more axes, in which it does not vary along those that it lacks."""

    x: Value
    axes: Axes


@dataclass(frozen=True, slots=True)
class Transpose:
    """A tile with its axes in another order: exchanged, if no order is given."""

    x: Value
    order: tuple[int, ...] = (1, 0)

    @property
    def axes(self) -> Axes:
        return tuple(self.x.axes[k] for k in self.order)


@dataclass(frozen=True, slots=True)
class Reshape:
    """The elements of a tile, in their order, as one of another shape, or of axes that are called otherwise."""

    x: Value
    shape: tuple[int, ...]
    axes: Axes


@dataclass(frozen=True, slots=True)
class Repeat:
    """A tile repeated along the axes in which it has one position, to the shape."""

    x: Value
    shape: tuple[int, ...]

    @property
    def axes(self) -> Axes:
        return self.x.axes


@dataclass(frozen=True, slots=True)
class Load:
    """What is at `place`, a pointer in each lane; `other` in the lanes that the mask leaves out."""

    place: Value
    mask: Value | None = None
    other: Value | None = None
    eviction: Value | None = None

    @property
    def axes(self) -> Axes:
        return self.place.axes


@dataclass(frozen=True, slots=True)
class Fetch:
    """The tile of a tensor descriptor that begins at `corner`; 0 beyond the ends of the tensor."""

    descriptor: Name
    corner: tuple[Value, ...]
    shape: tuple[Value, ...]
    axes: Axes


@dataclass(frozen=True, slots=True)
class Dot:
    """The matrix product of two tiles, added to `into`; the operands in their dtype, the sum in float32.

    `precision` is what is left of float32 operands.
    """

    a: Value
    b: Value
    into: Value | None = None
    precision: str = "ieee"

    @property
    def axes(self) -> Axes:
        return (self.a.axes[0], self.b.axes[1])


@dataclass(frozen=True, slots=True)
class Reduce:
    """A tile folded along one of its axes, or along all; a maximum or minimum passes over NaN."""

    reducer: Reducer
    x: Value
    place: int | None

    @property
    def axes(self) -> Axes:
        if self.place is None:
            return ()
        return (*self.x.axes[: self.place], *self.x.axes[self.place + 1 :])


@dataclass(frozen=True, slots=True)
class Combine:
    """Tiles folded together along one of their axes by a function of the module, which takes two elements of each.

    As a scan it gives the running results. It gives as many tiles as it takes.
    """

    function: str
    xs: tuple[Value, ...]
    place: int
    scan: bool = False
    reverse: bool = False

    @property
    def axes(self) -> Axes:
        axes = self.xs[0].axes
        return axes if self.scan else (*axes[: self.place], *axes[self.place + 1 :])


@dataclass(frozen=True, slots=True)
class Extern:
    """What a function outside of the language gives of every element: a library's by its name, an instruction by its
    text.
    """

    function: str
    args: tuple[Value, ...]
    dtype: Dtype

    @property
    def axes(self) -> Axes:
        return next((a.axes for a in self.args if a.axes), ())


@dataclass(frozen=True, slots=True)
class Atomic:
    """Replaces what is at `place` by `op` of it and the value, as one step; it gives what was there."""

    op: str
    place: Value
    value: Value
    mask: Value | None = None

    @property
    def axes(self) -> Axes:
        return self.place.axes


@dataclass(frozen=True, slots=True)
class Call:
    """A helper that every module may call, as `_tanh`; what it gives has `axes`."""

    function: str
    args: tuple[Value, ...]
    axes: Axes = ()
    keywords: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True, slots=True)
class Invoke:
    """A function of this module, which gives what it returns."""

    function: str
    args: tuple[Value, ...]

    @property
    def axes(self) -> Axes:
        return ()


@dataclass(frozen=True, slots=True)
class Method:
    """What an object of the target's language gives: barriers, buffers, layouts. No reading knows more of it."""

    object: Value
    name: str
    args: tuple[Value, ...] | None = ()
    keywords: tuple[tuple[str, Value], ...] = ()
    axes: Axes = ()


@dataclass(frozen=True, slots=True)
class Sequence:
    """Several values, as the target's language has a list or a tuple of them."""

    values: tuple[Value, ...]
    tuple: bool = False

    @property
    def axes(self) -> Axes:
        return ()


Value: TypeAlias = (
    Name | Number | Text | Program | Lanes | Full | Unary | Binary | Select | Choice | Cast | Spread | Transpose
    | Reshape | Repeat | Load | Fetch | Dot | Reduce | Combine | Extern | Atomic | Call | Invoke | Method | Sequence
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Let:
    """Gives a name a value."""

    target: Name
    value: Value
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Unpack:
    """Gives several names what a function returns, or the values of a sequence."""

    targets: tuple[Name, ...]
    value: Invoke | Call | Sequence | Combine


@dataclass(frozen=True, slots=True)
class Evaluate:
    """A call for its effect alone."""

    value: Invoke | Call | Method
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the reader."""

    text: str


@dataclass(frozen=True, slots=True)
class Store:
    place: Value
    value: Value
    mask: Value | None = None
    eviction: Value | None = None


@dataclass(frozen=True, slots=True)
class If:
    """The body where the condition holds, else the other: a constant when the kernel is compiled, or a number of the
    program.
    """

    condition: Value
    body: tuple[Statement, ...]
    other: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class For:
    """The body for start, start + step, ... below stop. `options` are words to the compiler without a meaning."""

    index: Name
    start: Value
    stop: Value
    step: Value | None
    body: tuple[Statement, ...]
    options: tuple[tuple[str, Value], ...] = ()
    unrolled: bool = False


@dataclass(frozen=True, slots=True)
class Specialise:
    """Functions side by side: the first on the warps of the kernel, each other on `warps` and `registers` of its own.

    They wait for each other by barriers alone.
    """

    functions: tuple[Invoke, ...]
    warps: tuple[int, ...]
    registers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Return:
    """What a function gives: a tuple, or one value `alone`."""

    values: tuple[Value, ...]
    alone: bool = False


Statement: TypeAlias = Let | Unpack | Evaluate | Note | Store | If | For | Specialise | Return


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the target's language: a kernel, where a launch names it; else what kernels call."""

    name: str
    parameters: tuple[Name, ...]
    body: tuple[Statement, ...]
    comment: str = ""
