"""What gives names their values, what branches and repeats, and functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from refold.schedule.ir.calls import Call, Invoke, Method, Sequence
from refold.schedule.ir.folds import Combine
from refold.schedule.ir.leaves import Name

if TYPE_CHECKING:
    from refold.schedule.ir import Statement, Value


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


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the target's language: a kernel, where a launch names it; else what kernels call."""

    name: str
    parameters: tuple[Name, ...]
    body: tuple[Statement, ...]
    comment: str = ""
