"""What a launcher admits of the integers of a kernel: how far each goes, and what it checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sympy as sp

from refold.schedule import integers
from refold.schedule.dtypes import bits
from refold.schedule.integers import add, multiply, products, subtract
from refold.schedule.launch import GROUP_SIZE, SIZE_BATCH, Launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.terms import Term, below, make, symbol
from refold.schedule.wholes import whole as term_of
from refold.spec import Index
from refold.verify.kernel.divided import ZERO
from refold.verify.kernel.intervals import Ends
from refold.verify.kernel.lane import LEAD0, LEAD1, TILES_OF_A_CHUNK, Lane, host_integer, lane_of, length, program_of
from refold.verify.kernel.launched import Dimension
from refold.verify.kernel.lemmas import ONE

# No tensor has so many elements between its first and its last: it would not fit into any memory. Data of 64 bits is
# taken to be no farther from 0 than that.
MEMORY = 2**62


def ends_of(atom: Term) -> tuple[int, int] | None:
    """The ends of what memory holds."""
    if atom.op != "read" or not isinstance(atom.data, tuple):
        return None
    width = bits(str(atom.data[2]))
    return (-MEMORY, MEMORY) if width == 64 else (-(2 ** (width - 1)), 2 ** (width - 1) - 1)


def numbers_of(made: Kernels, how: Launch, lane: Lane) -> Iterator[tuple[Term, tuple[int, int]]]:
    """The ends of lengths and blocks: where a program is launched, there is a row and a batch."""
    limits = how.limits
    filled = {*how.filled, *(a for a in (made.roles.rows, *made.roles.batch) if a is not None)}
    for axis in made.given.spec.axes:
        yield length(axis, made), (int(axis in filled), limits.axis - 1)
    for block in {*lane.blocks.values(), *(symbol(f"BLOCK_{x}", "int") for x in "MN")}:
        yield block, (1, limits.block)
    for n in (LEAD0, LEAD1, TILES_OF_A_CHUNK, symbol("parts", "int")):
        yield n, (1, limits.count - 1)


def atoms_between(made: Kernels, how: Launch, lane: Lane) -> Iterator[tuple[Term, Ends]]:
    """What is between two terms: scalars, lanes, programs and groups of rows."""
    yield symbol("side", "int"), (ONE, host_integer(SIZE_BATCH, made, how))
    for p in made.given.spec.params:
        if p.is_integer:
            scalar = symbol(p.name, "int")
            size = make("abs", "int", (scalar,))
            least = ONE if p.is_positive else ZERO if p.is_nonnegative else integers.scale(size, -1)
            yield scalar, (least, None if p.is_nonnegative else size)
    for axis, block in lane.blocks.items():
        yield lane_of(axis), (ZERO, subtract(block, ONE))
    for n, count in enumerate(lane.grid):
        yield program_of(n), (ZERO, subtract(count, ONE))
        # Where there is a program, no factor of the grid is 0.
        yield from ((atom, (ONE, None)) for product in products(count) for atom in product if atom.op == "//")
    if how.group is not None:
        # What the launcher divides by is not 0: by groups, and by what they are a quotient by.
        group = host_integer(GROUP_SIZE, made, how)
        divisors = [group, *(t.args[1] for t in below(group) if t.op == "//")]
        yield from ((t, (ONE, None)) for t in divisors if t.op != "polynomial")


def checked(
    made: Kernels, how: Launch, lane: Lane, shapes: Mapping[str, tuple[Dimension, ...]]
) -> Iterator[tuple[Term, int]]:
    """What the launcher looks at, and what fits into memory, with what it does not exceed."""
    most = how.limits.count - 1
    yield integers.product(*lane.grid), most
    for count in how.counts:
        yield host_integer(count, made, how), most
    kept = {*made.workspace.values()}
    for tensor, shape in shapes.items():
        strides = [integers.polynomial({d.stride: 1}) for d in shape]
        if tensor in kept:
            yield integers.product(*(d.length for d in shape)), MEMORY
        else:
            lead = [multiply(subtract(d.length, ONE), s) for d, s in zip(shape, strides, strict=True)][:2]
            yield add(*lead), MEMORY


def reach(expr: sp.Expr, made: Kernels) -> Term:
    """What masks come to, as a term."""

    def leaf(e: sp.Expr) -> Term:
        match e:
            case sp.Abs():
                return make("abs", "int", (term_of(e.args[0], leaf),))
            case sp.Pow() if e.exp.is_Integer and e.exp > 0:
                return integers.product(*[term_of(e.base, leaf)] * int(e.exp))
        return length(Index(e.name), made)

    return term_of(expr, leaf)
