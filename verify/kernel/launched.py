"""What is so whenever a kernel is launched, as terms: lengths, blocks, programs, and what the launcher has checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from refold.schedule import integers
from refold.schedule.conditions import TRUE, both, nonnegative
from refold.schedule.integers import Product, multiply, products, subtract, whole
from refold.schedule.launch import Launch, Within
from refold.schedule.lower.definitions import tile_axes
from refold.schedule.lower.kernels import Kernels
from refold.schedule.terms import Term, below, make, symbol
from refold.schedule.tiles import Tile
from refold.schedule.wholes import whole as whole_of
from refold.spec import Index
from refold.verify.kernel.lane import LEAD0, LEAD1, TILES_OF_A_CHUNK, Lane, lane_of, length, program_of
from refold.verify.kernel.lemmas import ONE, implies, less, positive, same
from refold.verify.kernel.multiples import simplified, without


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension of a tensor in memory: how long it is, and by which product one position moves."""

    length: Term
    stride: Product


def dimensions(made: Kernels, how: Launch) -> dict[str, tuple[Dimension, ...]]:
    """The shape of every tensor that kernels touch, by its pointer; an outer dimension before an inner one."""
    leading = {"lead0": LEAD0, "lead1": LEAD1}
    found: dict[str, list[Dimension]] = {}
    for (tensor, key), stride in made.strides.items():
        long = leading[key] if isinstance(key, str) else length(key, made)
        found.setdefault(f"{tensor}_ptr", []).append(Dimension(long, (symbol(stride, "int"),)))
    batch = integers.product(LEAD0, LEAD1, *(length(a, made) for a in how.leading))
    for a in made.plan.accumulators:
        lengths = [symbol("parts", "int"), batch, *(length(x, made) for x in tile_axes(a, made.roles))]
        strides = [integers.product(*lengths[n + 1 :]) for n in range(len(lengths))]
        found[made.workspace[str(a.symbol)]] = [Dimension(n, _only(s)) for n, s in zip(lengths, strides, strict=True)]
    return {tensor: tuple(shape) for tensor, shape in found.items()}


def _only(product: Term) -> Product:
    ((factors, _),) = products(product).items()
    return factors


def blocks_of(lane: Lane) -> tuple[Term, ...]:
    """What tiles and chunks are made of: never 0."""
    return (*dict.fromkeys([*lane.blocks.values(), *(symbol(f"BLOCK_{x}", "int") for x in "MN"), TILES_OF_A_CHUNK]),)


def launch_facts(lane: Lane, made: Kernels, how: Launch) -> Iterator[Term]:
    """All that is so in a launch of a kernel, in one case of its flags."""
    lengths = {a: length(a, made) for a in made.given.spec.axes}
    for n, end in (*((n, how.limits.axis) for n in lengths.values()), *((n, how.limits.count) for n in (LEAD0, LEAD1))):
        yield from (nonnegative(n), less(n, whole(end)))
    known = [*(symbol(n, "int") for n in ("parts", "side")), *(lengths[a] for a in how.filled)]
    known += [symbol(p.name, "int") for p in made.given.spec.params if p.is_integer and p.is_positive]
    yield from map(positive, known)
    yield from (same(lengths[a], lengths[b]) for a, b in how.equal)
    for at, count in enumerate(lane.grid):
        yield from _on(program_of(at), count)
    for axis, block in lane.blocks.items():
        yield from _on(lane_of(axis), block)
    yield from lane.facts
    if how.group is not None:
        group = whole_of(how.group, lambda size: lengths[Index(size.name)])
        yield from (positive(group), *_divides(group))
    for check in how.inside:
        yield from _checked(check, lane, made, lambda axis: lengths[axis])


def held(facts: Iterable[Term], lane: Lane) -> tuple[Term, ...]:
    """Facts simplified by what is positive, and that it is."""
    blocks = blocks_of(lane)
    return (*map(positive, blocks), *dict.fromkeys(f for f in simplified(facts, blocks) if f is not TRUE))


def loop_facts(lane: Lane, loops: Iterable[int]) -> Iterator[Term]:
    """What is so of the iterations in which something happens."""
    for number in loops:
        loop = lane.loops[number]
        at = integers.add(loop.start, multiply(loop.step, iteration_of(number)))
        yield from (loop.condition, positive(loop.step), less(at, loop.stop), nonnegative(iteration_of(number)))


def iteration_of(loop: int) -> Term:
    return make("iteration", "int", (), loop)


def _on(position: Term, count: Term) -> tuple[Term, Term]:
    return nonnegative(position), less(position, count)


def _checked(check: Within, lane: Lane, made: Kernels, long: Callable[[Index], Term]) -> Iterator[Term]:
    """What a check of the launcher says of the positions that it looked at, and that a kernel is at."""
    (axis,) = check.over or (None,)
    count = whole(1) if axis is None else long(axis)
    for at in [whole(0), subtract(count, ONE)] if check.ends else _positions(axis, lane, made):
        index = whole_of(check.index, lambda e: at if e == axis else long(Index(e.name)))  # noqa: B023
        yield implies(both(*_on(at, count)), *_on(index, long(check.axis)), *_divides(index))


def _divides(number: Term) -> list[Term]:
    """What the launcher divides by is not 0, or it would have raised."""
    return [positive(t.args[1]) for t in below(number) if t.op == "//"]


def _positions(axis: Index | None, lane: Lane, made: Kernels) -> list[Term]:
    """Where a kernel is along an axis; of packed rows the first, which stands for what they share."""
    if axis is None:
        return [whole(0)]
    found = [lane.names.get(axis.name)]
    terms = [x.lanes.ravel().tolist()[0] for x in found if isinstance(x, Tile)]
    group, size = (lane.names.get(n) for n in ("group", "group_size"))
    if axis == made.roles.rows and isinstance(group, Tile) and isinstance(size, Tile):
        terms.append(multiply(group.lanes.item(), size.lanes.item()))
    return terms


def positions(offset: Term, shape: tuple[Dimension, ...]) -> list[Term] | None:
    """Where along every dimension an offset is, if it is a sum of strides times positions.

    Any such sum will do: of positions that are on their dimensions it is the place of an element.
    """
    parts: list[dict[Product, int]] = [{} for _ in shape]
    for product, coefficient in products(offset).items():
        for part, dimension in zip(parts, shape, strict=True):
            rest = without(product, dimension.stride)
            if rest is not None:
                part[rest] = coefficient
                break
        else:
            return None
    return [integers.polynomial(p) for p in parts]
