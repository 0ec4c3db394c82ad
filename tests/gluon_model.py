"""Runs the text of a kernel for Hopper on the CPU: every role a thread, every barrier a counter with a phase.

Triton's interpreter does not run Gluon. What is modelled is what the text leaves to the hardware, at its least
favourable: a product reads its operands when it is waited for, and not before; a copy lands at once, or with `LATE`
when its barrier is waited for, and not before; buffers start as NaN; a wait on a barrier that never completes is an
error. Layouts and the speed of things are not modelled.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch

PATIENCE = 10.0  # seconds
LATE = False
_changed = threading.Condition(threading.RLock())
_role = threading.local()


class Stuck(Exception):
    """The roles do not fit each other: one waits for ever, or reads what it has not waited for."""


def _must(held: bool, why: str) -> None:
    if not held:
        raise Stuck(why)


@dataclass
class Barrier:
    """Completes a phase when so many have arrived and all expected bytes have come."""

    count: int = 0
    phase: int = 0
    arrived: int = 0
    missing: int = 0
    coming: list[Callable[[], None]] = field(default_factory=list)

    def completed(self, parity: int) -> bool:
        while self.coming:
            self.coming.pop(0)()
        return self.phase % 2 != parity

    def settle(self) -> None:
        if self.arrived == self.count and self.missing == 0:
            self.phase, self.arrived = self.phase + 1, 0
            _changed.notify_all()


def _init(barrier: Barrier, count: int) -> None:
    barrier.count = count


def _expect(barrier: Barrier, nbytes: int) -> None:
    with _changed:
        barrier.missing += nbytes
        barrier.arrived += 1
        barrier.settle()


def _arrive(barrier: Barrier, count: int = 1) -> None:
    with _changed:
        barrier.arrived += count
        _must(barrier.arrived <= barrier.count, "more arrivals than a phase has")
        barrier.settle()


def _wait(barrier: Barrier, parity: int) -> None:
    with _changed:
        _must(_changed.wait_for(lambda: barrier.completed(int(parity)), PATIENCE), "a barrier never completes")


@dataclass
class Shared:
    """Buffers, or barriers, of which one is had by its index."""

    items: Any

    def index(self, n: int) -> Any:
        return self.items[int(n)]


@dataclass
class Descriptor:
    """A tensor that is read by tiles; 0 beyond its ends."""

    tensor: torch.Tensor
    block: list[int]
    layout: None = None

    @property
    def dtype(self) -> torch.dtype:
        return self.tensor.dtype

    @property
    def block_type(self) -> Any:
        return SimpleNamespace(nbytes=self.tensor.new_empty(self.block).nbytes)


def _copy(source: Descriptor, start: list[Any], barrier: Barrier, into: torch.Tensor) -> None:
    assert list(into.shape) == source.block
    found = torch.zeros_like(into)
    ends = [
        max(0, min(n, int(s) + b) - int(s)) for n, s, b in zip(source.tensor.shape, start, source.block, strict=True)
    ]
    part = source.tensor[tuple(slice(int(s), int(s) + e) for s, e in zip(start, ends, strict=True))]
    found[tuple(slice(0, e) for e in ends)] = part

    def land() -> None:
        into.copy_(found)
        barrier.missing -= into.nbytes
        barrier.settle()

    with _changed:
        barrier.coming.append(land)
        _changed.notify_all()
        if not LATE:
            barrier.completed(0)


@dataclass
class Flight:
    """A product that was issued and not yet waited for."""

    a: torch.Tensor
    b: torch.Tensor
    into: torch.Tensor
    use_acc: bool
    value: torch.Tensor | None = None

    def land(self) -> None:
        product = self.a.float() @ self.b.float()
        self.value = self.into + product if self.use_acc else product


def _product(a: Any, b: Any, into: Any, use_acc: bool = True, is_async: bool = False) -> Flight:
    assert is_async and not isinstance(into, Flight)
    _role.flights.append(Flight(a, b, into, use_acc))
    return _role.flights[-1]


def _landed(outstanding: int, deps: list[Any]) -> Any:
    while len(_role.flights) > outstanding:
        _role.flights.pop(0).land()
    values = [d.value if isinstance(d, Flight) else d for d in deps]
    _must(all(v is not None for v in values), "what is read has not been waited for")
    return values[0] if len(values) == 1 else tuple(values)


def _specialize(roles: list[Any], warps: list[int], registers: list[int]) -> None:
    wrong: list[BaseException] = []

    def run(function: Any, arguments: Any) -> None:
        _role.flights = []
        try:
            function(*arguments)
            _must(not _role.flights, "a product was never waited for")
        except BaseException as e:
            wrong.append(e)

    threads = [threading.Thread(target=run, args=role, daemon=True) for role in roles]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if wrong:
        raise wrong[0]


@dataclass
class Pointer:
    flat: torch.Tensor
    at: Any = 0
    dtype: Any = field(init=False)

    def __post_init__(self) -> None:
        self.dtype = SimpleNamespace(element_ty=self.flat.dtype)

    def __add__(self, steps: Any) -> "Pointer":
        return Pointer(self.flat, self.at + steps)


def _store(to: Pointer, value: torch.Tensor, mask: Any = None) -> None:
    at, value, mask = torch.broadcast_tensors(to.at, value, torch.ones(()).bool() if mask is None else mask)
    to.flat[at[mask].long()] = value[mask]


def _load(of: Pointer, mask: Any = None, other: float = 0.0) -> torch.Tensor:
    at = torch.as_tensor(of.at).long()
    mask = torch.ones_like(at).bool() if mask is None else mask.expand(at.shape)
    return torch.where(mask, of.flat[torch.where(mask, at, 0)], other)


def _either(pick: Any, plain: Any) -> Any:
    """A function of two values that are tensors or plain numbers."""

    def both(a: Any, b: Any) -> Any:
        if not isinstance(a, torch.Tensor) and not isinstance(b, torch.Tensor):
            return plain(a, b)
        return pick(torch.as_tensor(a), torch.as_tensor(b))

    return both


def words(program: int, programs: int) -> dict[str, Any]:
    """What the text reads that is not its own, for one program."""
    tl = SimpleNamespace(
        constexpr=object, int1=torch.bool, int32=torch.int32, int64=torch.int64, float32=torch.float32,
        program_id=lambda _: program, num_programs=lambda _: programs, cdiv=lambda a, b: -(-a // b),
        where=torch.where, abs=torch.abs,
        minimum=_either(torch.minimum, min), maximum=_either(torch.maximum, max), exp2=torch.exp2, log2=torch.log2,
        max=lambda x, axis: x.amax(axis), sum=lambda x, axis: x.sum(axis), store=_store, load=_load,
    )  # fmt: skip

    def allocate(dtype: Any, shape: list[int], layout: Any) -> Shared:
        if dtype == torch.int64:
            return Shared([Barrier() for _ in range(shape[0])])
        return Shared(torch.full(shape, float("nan"), dtype=dtype))

    def made(*_: Any, **__: Any) -> None:
        return None

    gl = SimpleNamespace(
        arange=lambda a, b, layout: torch.arange(a, b), convert_layout=lambda x, layout: x, static_range=range,
        full=lambda shape, value, dtype, layout: torch.full(shape, value, dtype=dtype), SliceLayout=made,
        zeros=lambda shape, dtype, layout: torch.zeros(shape, dtype=dtype), NVMMADistributedLayout=made,
        DotOperandLayout=made, BlockedLayout=made, float32=torch.float32, int64=torch.int64,
        allocate_shared_memory=allocate, warp_specialize=_specialize,
    )  # fmt: skip
    barrier = SimpleNamespace(init=_init, expect=_expect, arrive=_arrive, wait=_wait, MBarrierLayout=made)
    return {"tl": tl, "gl": gl, "mbarrier": barrier, "tma": SimpleNamespace(async_load=_copy),
            "gluon": SimpleNamespace(jit=lambda f: f, constexpr_function=lambda f: f),
            "triton": SimpleNamespace(jit=lambda f: f), "warpgroup_mma": _product,
            "range": lambda *ends: map(torch.tensor, range(*map(int, ends))),
            "warpgroup_mma_wait": _landed, "fence_async_shared": lambda: None}  # fmt: skip


def run(text: str, name: str, programs: int, arguments: dict[str, Any]) -> None:
    """Runs every program of the kernel, one after the other."""
    for n in range(programs):
        scope = words(n, programs)
        exec(text, scope)
        kernel = scope[name]
        kernel(**{p: arguments[p] for p in kernel.__code__.co_varnames[: kernel.__code__.co_argcount]})
