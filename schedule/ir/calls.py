"""What functions give: of this module, of the runtime, of libraries and of the target's language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from refold.schedule.ir.leaves import Axes, Dtype, Single

if TYPE_CHECKING:
    from refold.schedule.ir import Value


@dataclass(frozen=True, slots=True)
class Invoke(Single):
    """A function of this module, which gives what it returns."""

    function: str
    args: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A helper that every module may call, as `_tanh`; what it gives has `axes`."""

    function: str
    args: tuple[Value, ...]
    axes: Axes = ()
    keywords: tuple[tuple[str, Value], ...] = ()


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
class Method:
    """What an object of the target's language gives: barriers, buffers, layouts. No reading knows more of it."""

    object: Value
    name: str
    args: tuple[Value, ...] | None = ()
    keywords: tuple[tuple[str, Value], ...] = ()
    axes: Axes = ()


@dataclass(frozen=True, slots=True)
class Sequence(Single):
    """Several values, as the target's language has a list or a tuple of them."""

    values: tuple[Value, ...]
    tuple: bool = False
