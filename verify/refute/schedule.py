"""A schedule as instructions for a stack of states: start from nothing, step by an element, merge the upper two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar, assert_never

from refold.algebra.run import Order

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Start:
    """Puts the empty state on the stack."""


@dataclass(frozen=True, slots=True)
class Step:
    """Lets one element enter the uppermost state."""

    position: int


@dataclass(frozen=True, slots=True)
class Merge:
    """Puts one state in the place of the upper two."""


Instruction: TypeAlias = Start | Step | Merge


class Form(Protocol[S]):
    """What can be run by a schedule."""

    def start(self) -> S: ...

    def step(self, state: S, position: int) -> S: ...

    def merge(self, left: S, right: S) -> S: ...


def instructions(order: Order) -> Iterator[Instruction]:
    """An order for the stack: runs of positions are stepped, nested parts are merged from the left."""
    if isinstance(order, int):
        order = (order,)
    if not order or isinstance(order[0], int):
        yield Start()
    for n, part in enumerate(order):
        if isinstance(part, int):
            yield Step(part)
        else:
            yield from instructions(part)
            if n:
                yield Merge()


def perform(form: Form[S], instruction: Instruction, stack: Sequence[S]) -> tuple[list[S], tuple[S, ...]]:
    """The stack after an instruction, its new state last, and the states that the instruction took off it."""
    match instruction:
        case Start():
            return [*stack, form.start()], ()
        case Step():
            return [*stack[:-1], form.step(stack[-1], instruction.position)], (stack[-1],)
        case Merge():
            return [*stack[:-2], form.merge(stack[-2], stack[-1])], (stack[-2], stack[-1])
        case _:
            assert_never(instruction)


def final(form: Form[S], order: Order) -> S:
    """The state that a schedule ends in."""
    stack: list[S] = []
    for instruction in instructions(order):
        stack, _ = perform(form, instruction, stack)
    (state,) = stack
    return state
