"""Terms as numbers: what a lane of a kernel is, and what a kernel does, given its arguments and what memory holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refold.schedule import integers
from refold.schedule.outcome import Event, Loop, Outcome, Written
from refold.schedule.terms import Term, make, real_of
from refold.schedule.tiles import terms

FORMS: dict[str, Any] = {"fp16": np.float16, "fp32": np.float32, "fp64": np.float64}
INTEGERS = {"//": integers.truncated, "%": lambda a, b: a - integers.truncated(a, b) * b}
CONDITIONS = {
    "true": lambda: True,
    "false": lambda: False,
    "not": lambda a: not a,
    "and": lambda *a: all(a),
    "or": lambda *a: any(a),
    ">=0": lambda a: a >= 0,
    "==0": lambda a: a == 0,
    "==": lambda a, b: bool(a == b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
}
FLOATS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": np.divide,
    "negative": lambda a: -a,
    "minimum": lambda a, b: lower(a, b, np.fmin),
    "maximum": lambda a, b: -lower(-a, -b, np.fmin),
    "smaller": lambda a, b: lower(a, b, np.minimum),
    "larger": lambda a, b: -lower(-a, -b, np.minimum),
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp2": np.exp2,
    "exp": np.exp,
    "log": np.log,
    "reduce sum": lambda *a: np.sum(a, dtype=a[0].dtype),
    "reduce max": lambda *a: np.fmax.reduce(a),
}


def lower(a: Any, b: Any, of_numbers: Any) -> Any:
    """The lower one, -0 of two zeros, as the hardware has it."""
    return a if a == b and np.signbit(a) else b if a == b else of_numbers(a, b)


@dataclass(slots=True)
class Numbers:
    """Arguments by name, numbers of the program as `program 0`; memory by tensor, flat."""

    symbols: Mapping[str, Any]
    memory: Mapping[str, Any] = field(default_factory=dict)
    known: dict[Term, Any] = field(default_factory=dict)

    def __call__(self, term: Term) -> Any:
        if term not in self.known:
            with np.errstate(all="ignore"):
                self.known[term] = self.compute(term)
        return self.known[term]

    def compute(self, term: Term) -> Any:
        form = FORMS.get(term.sort)
        match term.op:
            case "number":
                value = real_of(term)
                assert form is not None
                return form(value)
            case "symbol":
                return self.symbols[str(term.data)]
            case "polynomial":
                return sum(c * math.prod(self(a) for a in p) for p, c in integers.products(term).items())
            case "select":
                return self(term.args[1] if self(term.args[0]) else term.args[2])
            case "read":
                assert isinstance(term.data, tuple)
                return self.memory[term.data[0]][self(term.args[0])]
            case "dot":
                start, *rest = (self(a) for a in term.args)
                pairs = [np.float32(a) * np.float32(b) for a, b in zip(rest[::2], rest[1::2], strict=True)]
                return start + np.sum(pairs, dtype=np.float32)
        args = [self(a) for a in term.args]
        match term.sort, term.op:
            case "int", "least" | "greatest":
                return min(args) if term.op == "least" else max(args)
            case "int", op:
                return INTEGERS[op](*args)
            case "bool", op:
                return CONDITIONS[op](*args)
            case _, "cast" | "of_integer":
                assert form is not None
                return form(args[0])
            case _, op:
                return FLOATS[op](*args)


def same(a: Any, b: Any) -> bool:
    """Whether two numbers are the same bit by bit, but for which NaN one is."""
    if isinstance(a, bool | int) or isinstance(b, bool | int):
        return type(a) is type(b) and a == b
    return bool(a.dtype == b.dtype and (a.tobytes() == b.tobytes() or (np.isnan(a) and np.isnan(b))))


def run(outcome: Outcome, symbols: Mapping[str, Any], memory: dict[str, Any], programs: int) -> None:
    """Does to memory what a kernel does, program by program."""
    for program in range(programs):
        numbers = Numbers({**symbols, "program 0": program}, memory)
        _events(numbers, outcome.events, ())


def _events(numbers: Numbers, events: tuple[Event, ...], loops: tuple[int, ...]) -> None:
    for event in events:
        if event.loops != loops:
            continue
        if isinstance(event, Loop):
            _loop(numbers, event, events)
        elif isinstance(event, Written):
            lanes = zip(*(terms(x) for x in (event.places, event.values, event.conditions)), strict=True)
            for place, value, holds in [(numbers(p.args[0]), numbers(v), numbers(c)) for p, v, c in lanes]:
                if holds:
                    tensor = numbers.memory[str(terms(event.places)[0].data)]
                    tensor[place] = value if event.how == "=" else tensor[place] + value


def _loop(numbers: Numbers, loop: Loop, events: tuple[Event, ...]) -> None:
    """The loop, iteration by iteration."""
    start, stop, step = (numbers(t) for t in (loop.start, loop.stop, loop.step))
    trips = range(start, stop, step)
    state = {t: numbers(s) for c in loop.carried for t, s in zip(terms(c.now), terms(c.start), strict=True)}
    for n in range(len(trips)):
        inner = Numbers(numbers.symbols, numbers.memory, {**numbers.known, **state})
        inner.known[make("iteration", "int", (), loop.number)] = n
        _events(inner, events, (*loop.loops, loop.number))
        then = [(t, inner(s)) for c in loop.carried for t, s in zip(terms(c.now), terms(c.then), strict=True)]
        state = dict(then)
    numbers.known[make("trips", "int", (), loop.number)] = len(trips)
    for c in loop.carried:
        for now, last in zip(terms(c.now), terms(c.last), strict=True):
            numbers.known[last] = state[now]
