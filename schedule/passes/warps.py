"""Warp specialisation: a warp that loads tiles and two groups of warps that compute, for programs that do both."""

from __future__ import annotations

from refold.schedule import ir
from refold.schedule.lower.buffers import BARRIER, BARRIERS, BUFFERS, GL, HELD_AT_ONCE, ONE, STAGE, TWO, ZERO, barrier
from refold.schedule.lower.consumer import empty, following, rows
from refold.schedule.lower.hopper import Hopper
from refold.schedule.lower.producer import fill, load
from refold.schedule.lower.words import descriptor, scalar
from refold.schedule.walk import function, invoke


def warp_specialise(hopper: Hopper) -> tuple[ir.Function, ...]:
    """The loop over tiles of a kernel whose step is two products, as a producer and two consumers.

        for j0: s = q k; state, p = step(state, s); acc = acc * alpha + p v

        ->  producer:   for j0: wait until buffers are empty; copy k, v of tile j0 into them
            consumer:   s = q k of the first tile; state, p = step(state, s)
                        for j0 of the others: begin s = q k; begin acc += p v of the tile before;
                                              state, p = step(state, s); acc *= alpha
                        acc += p v of the last tile

    Obligations `index copies: hopper`, of turns, pieces of work and rows, and `refinement hopper`, of what is computed
    (`verify/kernel/hopper.py`). Barriers and layouts are trusted: tests run them on a model.
    """
    after, copies = following(hopper), load(hopper)
    each = rows(hopper, after)
    producer, consumer = fill(hopper, copies), empty(hopper, each)
    return hopper.scored, after, copies, each, producer, consumer, _kernel(hopper, producer, consumer)


def _kernel(hopper: Hopper, producer: ir.Function, consumer: ir.Function) -> ir.Function:
    lines: list[ir.Statement] = []
    slots = ir.Binary("*", TWO, HELD_AT_ONCE)
    counts: tuple[ir.Value, ...] = (slots, BUFFERS, BUFFERS)
    for letter, p, count in zip("qkv", hopper.places, counts, strict=True):
        kind, layout = (ir.Method(descriptor(p.tensor), n, None) for n in ("dtype", "layout"))
        shape = ir.Sequence((count, *p.shape))
        lines.append(ir.Let(scalar(f"{letter}_buffers"), _shared(kind, shape, layout)))
    whole = ir.Method(GL, "int64", None)
    for name in BARRIERS:
        shape = ir.Sequence((slots if name.startswith("q") else BUFFERS, ONE))
        lines.append(ir.Let(scalar(name), _shared(whole, shape, ir.Method(BARRIER, "MBarrierLayout"))))
    for letters, count in (("q", slots), ("kv", BUFFERS)):
        body = tuple(
            barrier("init", b, STAGE, count=TWO if b.endswith("empty") and b[0] != "q" else ONE)
            for b in BARRIERS if b[0] in letters
        )  # fmt: skip
        lines.append(ir.For(STAGE, ZERO, count, None, body, unrolled=True))
    lines.append(ir.Evaluate(ir.Call("fence_async_shared", ())))
    groups = (invoke(consumer, group=ir.Number(n)) for n in (0, 1))
    lines.append(ir.Specialise((invoke(producer), *groups), (4, 4), (240, 240)))
    return function(f"{hopper.name}_hopper", (), lines, "A warp loads tiles; two groups of 64 rows compute.")


def _shared(kind: ir.Value, shape: ir.Value, layout: ir.Value) -> ir.Method:
    return ir.Method(GL, "allocate_shared_memory", (kind, shape, layout))
