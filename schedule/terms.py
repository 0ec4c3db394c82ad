"""Terms: what one lane of a kernel holds, as data, each term once.

Floats are raw: nothing here computes with them, so that an infinity, a NaN, or a zero with its sign stays what it is.
Integers are exact and have a normal form (`integers.py`), truth values too (`conditions.py`). Two terms that are built
alike are one object, so that equality is identity.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from weakref import WeakValueDictionary

# What a term is: an exact integer, a truth value, a place in a tensor, or a float of a width.
Sort: TypeAlias = Literal["int", "bool", "pointer", "fp8", "fp16", "bf16", "fp32", "fp64"]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Term:
    """An operation on terms; `data` is what else it depends on: a name, a number. `serial` orders terms.

    It hangs on what the term is alone, and not on what a process has made before: the same question has the same text
    everywhere.
    """

    op: str
    sort: Sort
    args: tuple[Term, ...]
    data: Hashable
    serial: int = field(repr=False)


_TERMS: WeakValueDictionary[tuple[object, ...], Term] = WeakValueDictionary()


def make(op: str, sort: Sort, args: tuple[Term, ...] = (), data: Hashable = None) -> Term:
    """The term of an operation on terms, as it is: no rule is applied."""
    key = (op, sort, args, data)
    term = _TERMS.get(key)
    if term is None:
        term = _TERMS[key] = Term(op, sort, args, data, _serial(op, sort, args, data))
    return term


def _serial(op: str, sort: Sort, args: tuple[Term, ...], data: Hashable) -> int:
    """A number that tells terms apart, in all likelihood."""
    content = repr((op, sort, [a.serial for a in args], data)).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def real(value: float, sort: Sort) -> Term:
    """A float that is written in a kernel, already of the width of its sort; told from others by its bits."""
    bits = struct.pack("<d", value) if value == value else b"nan"
    return make("number", sort, (), bits)


def real_of(term: Term) -> float | None:
    """The number that a term is, if it is one."""
    if term.op != "number":
        return None
    assert isinstance(term.data, bytes)
    return float("nan") if term.data == b"nan" else float(struct.unpack("<d", term.data)[0])


def symbol(name: str, sort: Sort) -> Term:
    """An argument, or a number of the program."""
    return make("symbol", sort, (), name)


def pointer(tensor: str, offset: Term) -> Term:
    return make("pointer", "pointer", (offset,), tensor)


def below(*terms: Term) -> Iterator[Term]:
    """Every term that some terms are made of, once each."""
    known: set[Term] = set()
    left = [*terms]
    while left:
        term = left.pop()
        if term not in known:
            known.add(term)
            left += term.args
            yield term


def rebuild(term: Term, change: Callable[[Term, tuple[Term, ...]], Term], known: dict[Term, Term]) -> Term:
    """The term with `change` applied to every term in it and to its new arguments, from the inside out."""
    left = [term]
    while left:
        top = left[-1]
        if top in known:
            left.pop()
            continue
        missing = [a for a in top.args if a not in known]
        if missing:
            left += missing
            continue
        known[top] = change(top, tuple(known[a] for a in top.args))
        left.pop()
    return known[term]
