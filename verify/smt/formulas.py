"""Z3 as the prover writes it: what makes a formula makes it in the context of its own query, never in a global one.

Modules import this one in the place of `z3`. A context belongs to the thread that opens it, so that threads verify
side by side; what is not replaced here is Z3's own. (While others are at work Z3 may take another way to the same
answer: a proof file is the same each time only where one thread verifies.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import z3

from refold.verify.deadline import stoppable


class _Open(threading.local):
    """The contexts that a thread is in, the innermost last, each with its number 1."""

    def __init__(self) -> None:
        self.contexts = [new_context()]


# A term, the kind of its head, and its arguments.
Node: TypeAlias = tuple[Any, int, tuple[Any, ...]]
# A term, and its variables.
Named: TypeAlias = tuple[Any, tuple[Any, ...]]
# A context of Z3, its number 1, the terms of it that were taken apart, and those of which the variables are known.
Room: TypeAlias = tuple[z3.Context, Any, dict[int, Node], dict[int, Named]]


def new_context() -> Room:
    """A context that nothing has seen."""
    context = z3.Context()
    # A cycle of Python objects may be collected by another thread, while this one is inside of the solver.
    z3.Z3_enable_concurrent_dec_ref(context.ref())
    return context, z3.RealVal(1, context), {}, {}


_OPEN = _Open()


@contextmanager
def own_context() -> Iterator[None]:
    """Within, formulas are made in a context that nothing else has seen; a time limit stops what it is at."""
    with in_context(new_context()):
        yield


@contextmanager
def in_context(context: Room) -> Iterator[None]:
    """Within, formulas are made in this context; a time limit stops what it is at."""
    _OPEN.contexts.append(context)
    try:
        with stoppable(context[0].interrupt):
            yield
    finally:
        _OPEN.contexts.pop()


def current() -> z3.Context:
    """The context of the query that this thread is at."""
    return _OPEN.contexts[-1][0]


def one() -> Any:
    """The number 1, as one and the same object within a query."""
    return _OPEN.contexts[-1][1]


def node(term: Any) -> Node:
    """A term taken apart, once within a query: to ask Z3 costs more than most of what is done with the answer.

    The term is kept beside it: Z3 gives the number of one that is gone to another.
    """
    context, _, nodes, _ = _OPEN.contexts[-1]
    if term.ctx is not context:
        return _apart(term, {})
    number = key(term)
    if number not in nodes:
        nodes[number] = _apart(term, nodes)
    return nodes[number]


def key(term: Any) -> int:
    """The number that tells a term from all others that are there: its address, since to ask Z3 for one takes longer.

    One that is gone leaves its number to another, so that whoever keeps a number keeps the term beside it.
    """
    return int(term.ast.value)


def _apart(term: Any, nodes: dict[int, Node]) -> Node:
    """A term taken apart; its arguments are those objects that are known already, where they are."""
    context, ast = term.ctx.ref(), term.ast
    head = z3.Z3_get_decl_kind(context, z3.Z3_get_app_decl(context, ast))
    args = (z3.Z3_get_app_arg(context, ast, n) for n in range(z3.Z3_get_app_num_args(context, ast)))
    return term, head, tuple(nodes[a.value][0] if a.value in nodes else term.arg(n) for n, a in enumerate(args))


def kind(term: Any) -> int:
    """The kind of a term's head."""
    return node(term)[1]


def children(term: Any) -> tuple[Any, ...]:
    """The arguments of a term."""
    return node(term)[2]


def variables(term: Any) -> tuple[Any, ...]:
    """The variables of a term of this context, in the order in which they are met; looked for once within a query."""
    known, number = _OPEN.contexts[-1][3], key(term)
    if number not in known:
        parts = children(term)
        free = kind(term) == z3.Z3_OP_UNINTERPRETED and not parts
        found = (term,) if free else tuple({key(v): v for part in parts for v in variables(part)}.values())
        known[number] = term, found
    return known[number][1]


def _is(head: int) -> Callable[[Any], bool]:
    return lambda term: isinstance(term, z3.ExprRef) and kind(term) == head


is_and, is_or, is_not, is_eq = map(_is, (z3.Z3_OP_AND, z3.Z3_OP_OR, z3.Z3_OP_NOT, z3.Z3_OP_EQ))
is_le, is_ge, is_mul, is_add = map(_is, (z3.Z3_OP_LE, z3.Z3_OP_GE, z3.Z3_OP_MUL, z3.Z3_OP_ADD))
is_true, is_false, is_number = map(_is, (z3.Z3_OP_TRUE, z3.Z3_OP_FALSE, z3.Z3_OP_ANUM))


def is_int_value(term: Any) -> bool:
    return isinstance(term, z3.IntNumRef)


def _here(make: Any) -> Any:
    return lambda *arguments: make(*arguments, current())


Real, Reals, Int, Ints, Bool, Bools = map(_here, (z3.Real, z3.Reals, z3.Int, z3.Ints, z3.Bool, z3.Bools))
RealVal, IntVal, BoolVal = map(_here, (z3.RealVal, z3.IntVal, z3.BoolVal))
And, Or, Not, Implies, If = map(_here, (z3.And, z3.Or, z3.Not, z3.Implies, z3.If))


def Solver(ctx: z3.Context | None = None) -> Any:
    return z3.Solver(ctx=ctx or current())


def __getattr__(name: str) -> Any:
    # Looked up once: afterwards it is an attribute of this module.
    return globals().setdefault(name, getattr(z3, name))
