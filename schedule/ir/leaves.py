"""What values begin with: names, literals, and the number of the program."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Axes: TypeAlias = tuple[Hashable, ...]
# What a name stands for. A constant is known when the kernel is compiled; a pointer may be a tensor descriptor; a
# global is no argument, but a part of the target's language.
Kind: TypeAlias = Literal["value", "pointer", "size", "constant", "global"]


class Single:
    """What is no tile."""

    __slots__ = ()

    @property
    def axes(self) -> Axes:
        return ()


@dataclass(frozen=True, slots=True)
class Name:
    """A value by its name: an argument, or what a statement before has assigned."""

    text: str
    axes: Axes = ()
    kind: Kind = "value"


@dataclass(frozen=True, slots=True)
class Number(Single):
    """A literal: an integer, a float (infinite or NaN too), or a truth value."""

    value: float | bool


@dataclass(frozen=True, slots=True)
class Text(Single):
    """A word to the compiler."""

    text: str


@dataclass(frozen=True, slots=True)
class Program(Single):
    """The number of the program along one axis of the grid; with `count`, how many there are."""

    axis: int
    count: bool = False


@dataclass(frozen=True, slots=True)
class ElementOf:
    """As a dtype: that of what a pointer points to."""

    pointer: Name


Dtype: TypeAlias = str | Name | ElementOf
