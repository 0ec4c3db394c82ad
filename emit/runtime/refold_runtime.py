"""What the kernel files of refold share: checks, layout, launches, an operator of torch. Needs torch and triton alone.

Every kernel file loads the copy beside it and hands it a `Tables`. The functions stand in the order of a call: the
checks of what is given, the layout, the tiles, the descriptors, what keeps and launches a call. Then come the operator
of torch, what the eager references use, and the functions that kernels call.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

try:
    from triton.experimental import gluon
    from triton.experimental.gluon import language as gl
    from triton.experimental.gluon.language.nvidia.hopper import tma
    from triton.experimental.gluon.nvidia.hopper import TensorDescriptor as HopperDescriptor
except ImportError:  # a Triton without it: kernel files that need it say so
    gluon = tma = None

Tensors = dict[str, torch.Tensor]
Sizes = dict[str, int]
Arguments = dict[str, Any]
Layout = dict[str, tuple[tuple[int, ...], torch.dtype]]

FLOATS = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a launcher refuses, so that integers fit into their width; it was proved of these very numbers.

    An axis is shorter than `axis`, a tile at most `block` long. A launch has fewer than `count` programs, and what
    kernels count stays below it, too. Indices have 32 bits while offsets and masks stay below `index`; masks that come
    to `mask` are refused.
    """

    axis: int
    block: int
    count: int
    index: int
    mask: int


@dataclass(frozen=True, slots=True)
class Tables:
    """What a kernel file says of itself, and the limits of its launches.

    `inputs` and `outputs`: the axes of every tensor; any dimensions before them are leading ones, which broadcast.
    `called`: what the kernels call an output whose own name means something else to them; `users`: the user's name of
    an input, a scalar or an axis that they call otherwise.
    `dtypes`: "float" is float32, float16 or bfloat16, the same for all. `whole`: the outputs that are integers;
    `exact`: those that are float32 whatever is given, since another kernel goes on with them.
    `dots`: whether tiles are multiplied. `pieces`: whether all inner axes are folded by pieces. `masks`: whether
    some tiles have masks, whichever the rows. `costly`: whether a score takes more than a product and a sum.
    `fused`: whether a product and a sum may round as one; not where scores are computed twice, once to be summed
    and once to be divided by the sum: both have to round alike.

    Of row reductions: `streams` tensors are read element by element (0 says that it is none), and again to be written
    if `rereads`; all rows share `shared` more. `descriptors`: the tile of every tensor that they can read, its two
    leading dimensions first. `tiles`: the blocks of what the kernel for Hopper reads by tiles. `rises`: whether
    later rows have more of them.

    `words`: what a call takes by name, with its kind to torch: a scalar, or the length of an axis (a SymInt). `equal`:
    the axes that no tensor has, each with one as long.
    """

    name: str
    inputs: dict[str, tuple[str, ...]]
    outputs: dict[str, tuple[str, ...]]
    dtypes: dict[str, str]
    limits: Limits
    called: dict[str, str] = field(default_factory=dict)
    whole: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    dots: bool = False
    pieces: bool = False
    masks: bool = False
    costly: bool = False
    fused: bool = True
    streams: int = 0
    rereads: bool = False
    shared: int = 0
    descriptors: dict[str, tuple[int | str, ...]] = field(default_factory=dict)
    tiles: dict[str, tuple[str, str]] = field(default_factory=dict)
    rises: bool = False
    words: dict[str, str] = field(default_factory=dict)
    equal: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)

    def said(self, name: str) -> str:
        """The user's name of what the kernels have a name for."""
        return self.users.get(name, name)


def sizes(tables: Tables, inputs: Tensors, *, check: bool = True) -> Sizes:
    """The length of every axis; ValueError or TypeError names the tensor and the axis that do not fit."""
    name, said, size = tables.name, tables.said, Sizes()
    owner: dict[str, str] = {}
    first: tuple[str, torch.Tensor] | None = None
    for n, tensor in inputs.items():
        axes = tables.inputs[n]
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name}: {said(n)} is a {type(tensor).__name__}: give a torch.Tensor")
        if tensor.dim() < len(axes):
            shape = ", ".join(["...", *map(said, axes)])
            raise ValueError(f"{name}: {said(n)} has {tensor.dim()} dimensions: give [{shape}]")
        for axis, length in zip(axes, tensor.shape[tensor.dim() - len(axes) :], strict=True):
            if size.setdefault(axis, length) != length:
                raise ValueError(
                    f"{name}: axis {said(axis)} is {size[axis]} long in {said(owner[axis])} and {length} in {said(n)}: "
                    "make them equal"
                )
            if length >= tables.limits.axis:
                raise ValueError(
                    f"{name}: axis {said(axis)} is {length} long in {said(n)}: give fewer than {tables.limits.axis}"
                )
            owner.setdefault(axis, n)
        if check:
            _check_dtype(tables, n, tensor, first)
            _check_place(name, said(n), tensor, next(iter(inputs.values())).device)
            first = first or ((n, tensor) if tables.dtypes[n] == "float" else None)
    size.update((axis, size[other]) for axis, other in tables.equal.items())
    return size


def _check_dtype(tables: Tables, n: str, tensor: torch.Tensor, first: tuple[str, torch.Tensor] | None) -> None:
    name, wanted, said = tables.name, tables.dtypes[n], tables.said(n)
    if wanted != "float":
        if tensor.dtype != getattr(torch, wanted):
            raise TypeError(f"{name}: {said} is {tensor.dtype}: give {wanted}")
    elif tensor.dtype not in FLOATS:
        raise TypeError(f"{name}: {said} is {tensor.dtype}: give float32, float16 or bfloat16")
    elif first is not None and tensor.dtype != first[1].dtype:
        raise TypeError(
            f"{name}: {said} is {tensor.dtype} and {tables.said(first[0])} {first[1].dtype}: convert one of them"
        )


def _check_place(name: str, n: str, tensor: torch.Tensor, device: torch.device) -> None:
    if tensor.device != device:
        raise ValueError(f"{name}: {n} is on {tensor.device} and the first tensor on {device}: move one of them")
    if tensor.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            f"{name}: {n} requires a gradient and this kernel has none: emit it with --backward, or call it under "
            "torch.no_grad()"
        )
    if not INTERPRETED and tensor.device.type == "cpu":
        raise ValueError(
            f"{name}: {n} is on the CPU: move it to a GPU, or set TRITON_INTERPRET=1 before triton is imported"
        )


def length(tables: Tables, axis: str, value: int) -> int:
    """The length of an axis that no tensor has."""
    most = tables.limits.axis
    if not isinstance(value, int) or not 0 <= value < most:
        said = tables.said(axis)
        raise TypeError(f"{tables.name}: {said} is {value!r}: give the length of axis {said} as an int below {most}")
    return value


def check_equal(tables: Tables, size: Sizes, axis: str, index: str, tensor: str) -> None:
    """Refuses a tensor whose axis is not as long as the axis along which it is read."""
    said = tables.said
    if size[axis] != size[index]:
        raise ValueError(
            f"{tables.name}: {said(tensor)} is read along axis {said(axis)}, {size[axis]} long, at every {said(index)} "
            f"of {size[index]}: make them equal"
        )


def check_positive(tables: Tables, size: Sizes, *axes: str) -> None:
    """Refuses an axis that has no position."""
    for axis in axes:
        if size[axis] == 0:
            raise ValueError(f"{tables.name}: axis {tables.said(axis)} is 0 long: give it at least one position")


def check_within(tables: Tables, tensor: str, axis: str, size: Sizes, values: Callable[[], Iterable[int]]) -> None:
    """Refuses sizes at which an index leaves the axis of its tensor."""
    try:
        ok = all(0 <= v < size[axis] for v in values())
    except ZeroDivisionError:
        ok = False
    if not ok:
        raise ValueError(
            f"{tables.name}: {tables.said(tensor)} is read outside of its axis {tables.said(axis)}, {size[axis]} long, "
            f"at sizes { {tables.said(a): n for a, n in size.items()} }: make the sizes fit the index"
        )


def scalar(tables: Tables, n: str, value: Any, *, integer: bool, positive: bool) -> int | float:
    """A scalar as the kernels take it."""
    kinds = (int,) if integer else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(f"{tables.name}: {tables.said(n)} is {value!r}: give {'an int' if integer else 'a number'}")
    if positive and not value > 0:
        raise ValueError(f"{tables.name}: {tables.said(n)} is {value!r}: give a positive number")
    return value if integer else float(value)


def ratio(a: float, b: float) -> float:
    """a / b as IEEE has it."""
    return a / b if b else math.copysign(math.inf, a) if a else math.nan


def real(function: Callable[..., float], *args: float) -> float:
    """A function of Python's math with the values that IEEE has where Python raises."""
    try:
        return function(*args)
    except OverflowError:
        return -math.inf if function is math.pow and args[0] < 0 and args[1] % 2 == 1 else math.inf
    except ValueError:
        if args[0] == 0 and function in (math.log, math.pow):
            return -math.inf if function is math.log else math.inf
        return math.nan


def limited(value: int, rest: int) -> int:
    """A scalar that moves an end of a range of positions alone: beyond all of them is as good as farther."""
    return max(-(2**30), min(value, 2**30)) if rest < 2**30 else value


def broadcast(tables: Tables, inputs: Tensors) -> tuple[int, ...]:
    """The leading dimensions of all inputs together."""
    leads = {tables.said(n): tuple(t.shape[: t.dim() - len(tables.inputs[n])]) for n, t in inputs.items()}
    try:
        return tuple(torch.broadcast_shapes(*leads.values()))
    except RuntimeError:
        raise ValueError(f"{tables.name}: leading dimensions {leads} do not broadcast: make them equal or 1") from None


def two(tensor: torch.Tensor, lead: tuple[int, ...], axes: int) -> torch.Tensor:
    """[*lead, *axes] as [lead0, lead1, *axes]: a view where the strides allow."""
    tensor = tensor.expand((*lead, *tensor.shape[tensor.dim() - axes :]))
    tensor = tensor.flatten(0, len(lead) - 2) if len(lead) > 2 else tensor
    return tensor[(None,) * (2 - min(len(lead), 2))]


def leading(tables: Tables, inputs: Tensors) -> tuple[tuple[int, ...], Tensors, dict[str, tuple[tuple[int, ...], int]]]:
    """The leading dimensions; a view [lead0, lead1, *axes] of each input; those of which it takes a copy."""
    lead, axes = broadcast(tables, inputs), {n: len(a) for n, a in tables.inputs.items()}
    views = {n: two(t, lead, axes[n]) for n, t in inputs.items()}
    copied = {f"{n}_ptr": (lead, axes[n]) for n, t in inputs.items() if views[n].data_ptr() != t.data_ptr()}
    return lead, views, copied


def outputs(
    tables: Tables, given: Tensors, inputs: Tensors, lead: tuple[int, ...], size: Sizes
) -> tuple[Layout, Tensors]:
    """The shape and dtype of the results, and a view [lead0, lead1, *axes] of each, which has no data if not given."""
    floats = [t for n, t in inputs.items() if tables.dtypes[n] == "float"]
    dtype, device = (floats[0].dtype if floats else torch.float32), next(iter(inputs.values())).device
    layout: Layout = {}
    views: Tensors = {}
    for n, axes in tables.outputs.items():
        shape = (*lead, *(size[a] for a in axes))
        kind = torch.int64 if n in tables.whole else torch.float32 if n in tables.exact else dtype
        t = given.get(n)
        if t is None:
            t = torch.empty(shape, dtype=kind, device="meta")
        else:
            _check_output(tables.name, n, t, shape, kind, device)
            if len(lead) > 2 and not t.is_contiguous():
                raise ValueError(
                    f"{tables.name}: out is not contiguous for {n}: with more than two leading dimensions "
                    "give a contiguous tensor"
                )
            others = {tables.said(m): x for m, x in inputs.items()}
            _check_apart(tables.name, n, t, others | {m: given[m] for m in layout if given.get(m) is not None})
        layout[n], views[n] = (shape, kind), two(t, lead, len(axes))
    return layout, views


def _check_output(
    name: str, n: str, t: torch.Tensor, shape: tuple[int, ...], kind: torch.dtype, device: torch.device
) -> None:
    if not isinstance(t, torch.Tensor):
        raise TypeError(f"{name}: out is a {type(t).__name__} for {n}: give a torch.Tensor")
    if tuple(t.shape) != shape or t.dtype != kind or t.device != device:
        raise ValueError(
            f"{name}: out has {list(t.shape)} {t.dtype} on {t.device} for {n}: give {list(shape)} {kind} on {device}"
        )


def _check_apart(name: str, n: str, t: torch.Tensor, others: Tensors) -> None:
    """Refuses a result that would be written over itself or over another tensor."""
    if any(step == 0 and length > 1 for length, step in zip(t.shape, t.stride(), strict=True)):
        raise ValueError(f"{name}: out has several elements at one place for {n}: give a tensor that is not expanded")
    for other, x in others.items():
        if _overlap(x, t):
            raise ValueError(f"{name}: out shares memory with {other} for {n}: give a tensor of its own")


def _overlap(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors have a byte in common; taken for granted in a storage of more than 1 GB."""
    if _storage(a) != _storage(b) or not a.numel() or not b.numel():
        return False
    if a.untyped_storage().nbytes() > 2**30:
        return True
    used = torch.zeros(a.untyped_storage().nbytes(), dtype=torch.bool)
    bytes_of = []
    for t in (a, b):
        n = t.element_size()
        shape = [1 if step == 0 else length for length, step in zip(t.shape, t.stride(), strict=True)]
        bytes_of.append(used.as_strided((*shape, n), (*(n * s for s in t.stride()), 1), n * t.storage_offset()))
    bytes_of[0].fill_(True)
    return bool(bytes_of[1].any())


def _storage(t: torch.Tensor) -> int:
    return t.untyped_storage().data_ptr()


def strides(tables: Tables, args: Arguments, views: Tensors, far: int = 0) -> None:
    """Puts the strides of every tensor into the arguments, and the integers that hold the farthest offset.

    `far`: what no other integer on the way to a mask, an index or a count exceeds.
    """
    if far >= tables.limits.mask:
        raise ValueError(f"{tables.name}: indices and masks reach {far}: give smaller integers")
    for n, t in views.items():
        axes = tables.inputs.get(n) or tables.outputs.get(n) or ()
        for key, stride in zip(("lead0", "lead1", *axes), t.stride(), strict=True):
            args[f"{tables.called.get(n, n)}_{key}"] = stride
        far = max(far, sum((s - 1) * abs(d) for s, d in zip(t.shape[2:], t.stride()[2:], strict=True)))
    args["INDEX"] = tl.int32 if far < tables.limits.index else tl.int64


def check_launch(tables: Tables, blocks: Iterable[int], *counts: int) -> None:
    """Refuses a tile that no compiler takes, and a launch of which a kernel counts farther than it can."""
    name, most, longest = tables.name, tables.limits.count, max(blocks, default=1)
    if longest > tables.limits.block:
        raise ValueError(
            f"{name}: a tile is {longest} long, and the most is {tables.limits.block}: give smaller blocks, or a "
            "shorter axis where a tile holds all of it"
        )
    if max(counts, default=0) >= most:
        raise ValueError(
            f"{name}: a launch counts to {max(counts)}, programs, batches of parts or positions of parts: stay below "
            f"{most} by fewer splits or smaller tensors"
        )


def check_parts(tables: Tables, chunk: int, tile: int, end: int, length: int) -> None:
    """Refuses parts that are not whole tiles, or that end before their axis does: no kernel would see all of it."""
    if chunk < 1 or chunk % tile:
        raise ValueError(f"{tables.name}: parts are {chunk} long, no multiple of {tile}: give another block_n")
    if end < length:
        raise ValueError(f"{tables.name}: parts end at {end}, before {length}, their axis: give more splits")


def pad(n: int, least: int) -> int:
    """The length of a block that holds an axis."""
    return max(least, triton.next_power_of_2(n))


def piece(n: int, least: int) -> int:
    """The length of a piece of an axis that is folded a piece after the other."""
    return min(pad(n, least), 64)


def units(device: torch.device) -> int:
    """The multiprocessors of a device."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2


def _shared_memory(device: torch.device) -> int:
    """The bytes of shared memory that one program may have."""
    if device.type != "cuda":
        return 0
    return getattr(torch.cuda.get_device_properties(device), "shared_memory_per_block_optin", 0)


def _held(pads: Sizes) -> int:
    """What inner axes take of the registers: the longest, or, of several, half of all together."""
    return pad(max(*pads.values(), sum(pads.values()) // 2, 1), 1)


def _streaming(
    tables: Tables, block_n: int | None, num_warps: int | None, rows: int, fold: int, programs: int,
    pads: Sizes, itemsize: int, device: torch.device,
) -> tuple[int | None, int | None, int]:  # fmt: skip
    """Tile, warps, and the programs worth having by parts; set where so few rows share a tile that loading is all."""
    slots = units(device)
    if rows > 16 or not pads or (rows > 1 and not tables.dots):
        # A program of many rows is bound by its products, not by waiting.
        return block_n, num_warps, slots if tables.dots and rows >= 64 else 2 * slots
    # What three stages of a position take in shared memory.
    wide = 3 * sum(pads.values()) * itemsize
    if tables.dots and fold * programs >= 512 * slots and 128 * wide <= _shared_memory(device):
        return block_n or 128, num_warps, slots
    block_n = block_n or max(16, min(pad(fold, 16), 64, pad(98304 // wide + 1, 1) // 2))
    return (block_n, num_warps, slots) if tables.dots else (block_n, num_warps or 2, 2 * slots)


def _wide_tile(
    tables: Tables, rows: int, batch: int, pads: Sizes, itemsize: int, device: torch.device
) -> tuple[int, int, int, int] | None:
    """Tile, warps and stages for dots of 16-bit data where a program may have 200 KB, as on Hopper; else None.

    Measured on an H200. Tall tiles share what is read; where masks cut tiles or there are few, more of them on a
    multiprocessor are worth more.
    """
    inner = _held(pads)
    if not tables.dots or itemsize != 2 or rows < 64 or inner > 256 or _shared_memory(device) < 200_000:
        return None
    if tables.pieces:
        return 128, 256, 8, 4
    if inner == 128:
        few = batch * triton.cdiv(rows, 128) <= units(device)
        return (64, 64, 4, 3) if tables.masks or few else (128, 64, 4, 2)
    return (64, 128, 4, 2) if inner == 64 else (64, 64, 4, 3)


def tiles(
    tables: Tables, block_m: int | None, block_n: int | None, num_warps: int | None, num_stages: int | None, rows: int,
    fold: int, batch: int, pads: Sizes, itemsize: int, device: torch.device,
) -> tuple[int, int, int | None, int | None, int]:  # fmt: skip
    """Tile sizes, warps and stages, as given or where something was measured, and what splits count programs by."""
    block_n, num_warps, slots = _streaming(tables, block_n, num_warps, rows, fold, batch, pads, itemsize, device)
    wide = _wide_tile(tables, rows, batch, pads, itemsize, device)
    if wide is not None:
        num_warps, num_stages = num_warps or wide[2], num_stages or wide[3]
    block_m, block_n = _blocks(tables, block_m, block_n, rows, fold, pads, itemsize, wide)
    return block_m, block_n, num_warps, num_stages, slots


def _blocks(
    tables: Tables, block_m: int | None, block_n: int | None, rows: int, fold: int, pads: Sizes, itemsize: int,
    wide: tuple[int, int, int, int] | None,
) -> tuple[int, int]:  # fmt: skip
    """Tile sizes: for dots at least 16 a side and what shared memory holds, else what registers hold."""
    inner = _held(pads)
    if wide is not None:
        block_m, block_n = block_m or wide[0], block_n or min(pad(fold, 16), wide[1])
    elif tables.dots:
        block_m = block_m or min(pad(rows, 16), 128 if inner <= 64 else 64)
        # Three stages of two operands in about 100 KB.
        room = 1 << (98304 // (6 * inner * itemsize)).bit_length() - 1
        block_n = block_n or max(16, min(pad(fold, 16), 64, room))
    else:
        cells = max(16, 4096 // inner)
        block_n = block_n or min(pad(fold, 16), cells)
        block_m = block_m or min(pad(rows, 1), max(1, cells // 2 // block_n))
    return _powers_of_two(tables, block_m, block_n, 16 if tables.dots else 1)


def _powers_of_two(tables: Tables, block_m: int, block_n: int, least_m: int) -> tuple[int, int]:
    for word, value, least in (("block_m", block_m, least_m), ("block_n", block_n, 16)):
        if not isinstance(value, int) or value < least or value & (value - 1):
            raise ValueError(f"{tables.name}: {word} is {value!r}: give a power of two of at least {least}")
    return block_m, block_n


# Of row reductions: measured on an H200 for widths 256 to 262144. A row that is one tile is read once, and its elements
# wait in registers: 128 bytes of them a thread. The tiles of longer rows are smaller, for more programs on a
# multiprocessor, but not so small that the rows under way outgrow the caches before they are written.
# (rows, positions) of a tile where the rows lie side by side: of more than one warp, each tile waits for all of them.
ACROSS = 64, 32


def across(tables: Tables, views: Tensors, rows: str, fold: str) -> bool:
    """Whether what a fold reads lies side by side along the rows and not along its own axis: a fold of columns."""
    steps = [
        (views[n].stride(2 + axes.index(rows)), views[n].stride(2 + axes.index(fold)))
        for n, axes in tables.inputs.items()
        if {rows, fold} <= {*axes}
    ]
    return any(abs(along) == 1 < abs(other) for along, other in steps) and all(abs(other) != 1 for _, other in steps)


def row_blocks(
    tables: Tables, block_m: int | None, block_n: int | None, rows: int, fold: int, batch: int, itemsize: int,
    slots: int, *, across: bool = False, lengths: tuple[int, ...] = (),
) -> tuple[int, int]:  # fmt: skip
    """(rows, positions) of a tile: all of a row that registers hold, else a power of two that nearly divides it.

    Where rows lie side by side a tile is of a warp. A tile divides `lengths` where one that is not short can: what is
    read at the outer of two positions is then one element a tile.
    """
    if across:
        block_m = block_m or min(pad(rows, 1), ACROSS[0])
        return _powers_of_two(tables, block_m, block_n or min(pad(fold, 16), ACROSS[0] * ACROSS[1] // block_m), 1)
    if not block_n:
        block_n = _row_tile(tables, fold, max(1, rows * batch), itemsize, slots)
        if lengths and fold > block_n:
            block_n = min(block_n, 4096)
        block_n = min([block_n, *(n & -n for n in lengths if n % 1024 == 0)])
    one = 1
    if isinstance(block_n, int) and fold <= block_n:
        one = (2048 if tables.rereads else 4096) // (block_n * itemsize)
    return _powers_of_two(tables, block_m or min(pad(rows, 1), max(1, one)), block_n, 1)


def row_slots(warps: int, slots: int) -> int:
    """The programs worth having by parts: small ones fill a multiprocessor together."""
    return (16 if warps <= 4 else 2) * slots


def _row_tile(tables: Tables, fold: int, count: int, itemsize: int, slots: int) -> int:
    whole, least = pad(fold, 16), 1024
    if tables.rereads:
        held, most = 8192 * itemsize // tables.streams, 32768 if tables.shared < 2 else 16384
        tile = max(8192, min(pad(fold * itemsize * 3 // 32, 1), most))
    else:
        # Few rows under way have to be read in larger tiles to keep the memory busy.
        held, tile = least, max(least, min(pad(2**23 // (count * itemsize), 1), 8192))
    if whole <= held and (whole - fold <= fold // 8 or whole <= least):
        return whole
    if whole > held and count < slots:
        # Too few rows to fill the device: parts of four tiles each do.
        tile = min(tile, pad(fold * count // (8 * slots), least))
    while tile > least and -fold % tile > fold // 8:
        tile //= 2
    return min(tile, whole)


def row_warps(tables: Tables, block_m: int, block_n: int, fold: int, itemsize: int) -> int:
    """128 bytes a thread of a row that is one tile, else 32 elements, and 16 of wide tiles of several tensors.

    At most 1024 threads.
    """
    cells, most = block_m * block_n * tables.streams, 16 if torch.version.hip else 32
    per_warp = 512 if tables.shared and block_n == 16384 else 2048 if block_m > 1 else 1024
    warps = cells * itemsize // 4096 if fold <= block_n else cells // per_warp
    # Three tensors read at once make no power of two of a tile that is one.
    return 1 << (max(1, min(warps, most)).bit_length() - 1)


def schedule(
    tables: Tables, schedule: str, splits: int | None, programs: int, fold: int, block_n: int, slots: int
) -> tuple[int, int]:
    """(parts, length of a part): one part where the programs fill the device's slots or the axis is short."""
    if schedule not in ("auto", "rolling", "split"):
        raise ValueError(f"{tables.name}: schedule is {schedule!r}: give 'auto', 'rolling' or 'split'")
    tiles = max(1, triton.cdiv(fold, block_n))
    parts = splits
    if tables.streams and not tables.rereads and slots // programs == 1:
        # What is only read wants more programs under way than there are rows.
        slots *= 8
    if schedule == "rolling":
        parts = 1
    elif parts is None:
        parts = max(1, min(tiles // 2, slots // programs, 64)) if schedule == "auto" else min(tiles, 64)
        parts = max(2, parts) if schedule == "split" else parts
    if not isinstance(parts, int) or parts < 1:
        raise ValueError(f"{tables.name}: splits is {splits!r}: give a positive int")
    return parts, block_n * max(1, triton.cdiv(tiles, parts))


def side(read: int, batch: int, device: torch.device) -> int:
    """How many batches run side by side, so that what they read of all `read` bytes fills half of the L2 cache."""
    cache = torch.cuda.get_device_properties(device).L2_cache_size if device.type == "cuda" else 2**12
    return max(1, min(batch, cache * batch // (2 * max(1, read))))


def options(tables: Tables, num_warps: int | None, num_stages: int | None, cells: int) -> Arguments:
    """The options of a launch."""
    warps = num_warps or (8 if cells >= 8192 or (cells >= 4096 and not tables.dots) else 4)
    return {"num_warps": warps, "enable_fp_fusion": tables.fused} | ({"num_stages": num_stages} if num_stages else {})


def merging(rows: int, block_m: int, inner: int, options: Arguments, device: torch.device) -> tuple[int, Arguments]:
    """Rows a program and options of the kernel that merges parts: a program a row, until they are many."""
    few = max(1, min(block_m, triton.next_power_of_2(rows // (4 * units(device)) + 1) // 2))
    return few, options | {"num_warps": max(1, min(4, few * inner // 128))}


def overlaps(device: torch.device) -> bool:
    """Whether a kernel can begin before the one that it waits for has ended."""
    if INTERPRETED or device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (9, 0)


def fast(t: torch.Tensor) -> bool:
    """Whether the hardware's approximations are within a unit of the data: on NVIDIA, for 16-bit data."""
    return t.element_size() == 2 and not INTERPRETED and not torch.version.hip


def operand(dtype: torch.dtype) -> Any:
    """The dtype of the operands of a dot; Triton's interpreter cannot multiply bfloat16."""
    if dtype == torch.float32 or (dtype == torch.bfloat16 and INTERPRETED):
        return tl.float32
    return tl.float16 if dtype == torch.float16 else tl.bfloat16


def descriptors(tables: Tables, args: Arguments, views: Tensors) -> dict[str, tuple[Any, ...]]:
    """Kind, shape, strides and tile of each tensor with a descriptor; none where a device or a layout is not for it.

    `DESC` says to kernels whether there are any.
    """
    found, args["DESC"] = {}, False
    for n, block in tables.descriptors.items():
        t, tile = views[n], [args.get(b, b) if isinstance(b, str) else b for b in block]
        if not describable(t) or max(tile) > 256:
            return {}
        # A dimension of one position may have any stride, and a descriptor wants one that it could have.
        steps = [s if d > 1 else 8 for d, s in zip(t.shape[:-1], t.stride()[:-1], strict=True)] + [1]
        found[n] = TensorDescriptor, list(t.shape), steps, tile
    args["DESC"] = bool(found)
    return found


def describable(t: torch.Tensor) -> bool:
    """Whether a descriptor can hold a tensor: 16-bit, the last stride 1, the others multiples of 16 bytes."""
    if not INTERPRETED and (torch.version.hip or torch.cuda.get_device_capability(t.device)[0] < 9):
        return False
    steps = [s for d, s in zip(t.shape[:-1], t.stride()[:-1], strict=True) if d > 1]
    aligned = t.numel() > 0 and t.data_ptr() % 16 == 0 and t.stride()[-1] == 1
    return t.element_size() == 2 and t.dim() <= 5 and aligned and all(s >= 0 and s % 8 == 0 for s in steps)


# By the widest head dimension: the keys of a tile, how many tiles have buffers in shared memory, and of how many pieces
# of work the rows have. Of other widths nothing was measured.
HOPPER_TILES = {64: (128, 2, 2), 128: (128, 2, 2), 256: (64, 2, 1)}


def hopper(
    tables: Tables, kernel: Any, args: Arguments, descriptors: dict[str, tuple[Any, ...]], rows: int, keys: int,
    device: torch.device, layout: Layout, copied: dict[str, tuple[tuple[int, ...], int]],
) -> "Call | None":  # fmt: skip
    """The call of the kernel for Hopper; None where a length, a layout or the device is not for it.

    BLOCK_M is one group's rows. The lengths are those from which it was faster on an H200: each piece of work begins
    and ends by itself.
    """
    if not descriptors or INTERPRETED or torch.cuda.get_device_capability(device)[0] != 9:
        return None
    widths = {args[names[-1]] for names in tables.tiles.values()}
    rising = 1024 if max(widths) > 64 else 2048
    if rows < 128 or keys < (8192 if tables.costly else rising if tables.rises else 512):
        return None
    # A wide result of 32 bits has no room in shared memory on its way to lines.
    if not widths <= HOPPER_TILES.keys() or (tables.exact and max(widths) > 128):
        return None
    block_n, stages, held = HOPPER_TILES[max(widths)]
    args, found = args | {"BLOCK_M": 64, "BLOCK_N": block_n, "SIZE_stages": stages, "SIZE_rows": held}, {}
    for n, names in tables.tiles.items():
        _, shape, steps, _ = descriptors[n]
        tile = [1] * (len(shape) - 2) + [args[b] for b in names]
        shared = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=len(tile))
        found[n] = HopperDescriptor, shape, steps, tile, shared
    # Long pieces that differ are begun by whoever is free; of others a program has several, and loads ahead.
    works = args["size_batch"] * triton.cdiv(rows, 128)
    programs = works if tables.rises and keys >= 8192 else min(works, units(device))
    launches = [(kernel, (programs,), args, {"num_warps": 4, "enable_fp_fusion": tables.fused})]
    return Call(tables, device, layout, launches, copied=copied, descriptors=found)


class Calls:
    """The calls of one kernel file: checks and lays out what no call before did; then allocates, launches and returns.

    `prepare` makes a `Call`; `known` holds what was made by all that it depends on, and forgets the oldest first.
    """

    __slots__ = ("first", "known", "most", "prepare")

    def __init__(self, tables: Tables, prepare: "Callable[..., Call]") -> None:
        self.first, self.prepare, self.most = next(iter(tables.outputs)), prepare, 256
        self.known: dict[Any, Call] = {}

    def __call__(self, tensors: Sequence[torch.Tensor], out: Any, words: tuple[Any, ...]) -> Any:
        given = _given(out, self.first)
        key = _key(tensors, tuple(given.values()), (*given, *words))
        try:
            call = self.known.get(key)
        except TypeError:
            key = call = None  # a word without a hash: what it should be, the checks say
        if call is None:
            call = self.prepare(*tensors, given, *words)
            if key is not None:
                if len(self.known) >= self.most:
                    self.known.pop(next(iter(self.known)), None)
                self.known[key] = call
        if call.index is None or call.index == torch.cuda.current_device():
            return call(tensors, given)
        with torch.cuda.device(call.index):
            return call(tensors, given)


def _given(out: Any, first: str) -> Tensors:
    """The outputs that a caller has allocated: by name, or the first one by itself."""
    return {} if out is None else out if isinstance(out, dict) else {first: out}


def _key(inputs: Sequence[torch.Tensor], given: tuple[Any, ...], words: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """All that the checks, the layout and the compiled code depend on; None where something is no tensor."""
    key = [torch.is_grad_enabled(), words, *map(type, words)]
    for t in (*inputs, *given):
        if not isinstance(t, torch.Tensor):
            return None
        key += (t.shape, t.stride(), t.dtype, t.device, t.requires_grad, t.data_ptr() % 16)
    for n, o in enumerate(given):
        # Where an output is in the storage of another tensor.
        key += (t.data_ptr() - o.data_ptr() if _storage(t) == _storage(o) else None for t in (*inputs, *given[:n]))
    return tuple(key)


class Call:
    """A call without its data.

    `outputs` and `work`: the shape and dtype of what it allocates; `launches`: kernel, grid, arguments and options;
    `copied`: the inputs whose leading dimensions no view makes two of, with the arguments of `two`; `descriptors`: the
    kind, shape, strides and tile of the inputs that tensor descriptors read.
    """

    def __init__(
        self,
        tables: Tables,
        device: torch.device,
        outputs: Layout,
        launches: Iterable[tuple[Any, tuple[int, ...], Arguments, Arguments]] = (),
        work: Layout | None = None,
        copied: dict[str, tuple[tuple[int, ...], int]] | None = None,
        descriptors: dict[str, tuple[Any, ...]] | None = None,
    ) -> None:
        self.device, self.outputs, self.work, self.ready = device, outputs, work or {}, False
        self.index = device.index if device.type == "cuda" and not INTERPRETED else None
        names = [f"{tables.called.get(n, n)}_ptr" for n in (*tables.inputs, *tables.outputs)]
        self.copied = [(names.index(n), layout) for n, layout in (copied or {}).items()]
        # A kernel has a place for the descriptor of each of these, and None stands there where there is none: the
        # kernel for Hopper reads by pointers what others read by descriptors.
        there = descriptors or {}
        self.descriptors = [(names.index(f"{n}_ptr"), *there[n]) if n in there else None for n in tables.descriptors]
        # The parts of the workspace begin at multiples of 128 bytes, of elements of 4.
        self.starts, self.room = [], 0
        for shape, _ in self.work.values():
            self.starts.append(self.room)
            self.room += -(-math.prod(shape) // 32) * 32
        names += [f"{n}_desc" for n in tables.descriptors]
        self.launches = [_Launch([*names, *self.work], *one) for one in launches]
        check_launch(tables, (), *(math.prod(one.grid) for one in self.launches))

    def __call__(self, tensors: Sequence[torch.Tensor], given: Tensors) -> Any:
        out = {
            n: given[n] if given.get(n) is not None else torch.empty(shape, dtype=kind, device=self.device)
            for n, (shape, kind) in self.outputs.items()
        }
        places: list[Any] = [*tensors, *out.values()]
        for k, layout in self.copied:
            places[k] = two(places[k], *layout)
        if not self.ready:
            return self._first(places, out)
        pointers = [t.data_ptr() for t in places] + self.described(places)
        if self.room:
            work = torch.empty(self.room, dtype=torch.float32, device=self.device)
            start = work.data_ptr()
            pointers += [start + 4 * n for n in self.starts]
        for one in self.launches:
            one.again(*[pointers[k] for k in one.slots], *one.rest)
        return result(out)

    def described(self, places: list[Any]) -> list[Any]:
        """The descriptors of the inputs that kernels read by them."""
        return [found and found[1](places[found[0]], *found[2:]) for found in self.descriptors]

    def _first(self, places: list[Any], out: Tensors) -> Any:
        """Compiles what is not compiled yet; what the compiler sees are tensors, and later calls pass pointers."""
        places += self.described(places)
        if self.room:
            work = torch.empty(self.room, dtype=torch.float32, device=self.device)
            for n, (shape, kind) in zip(self.starts, self.work.values(), strict=True):
                places.append(work[n : n + math.prod(shape)].view(kind).view(shape))
        for one in self.launches:
            one.first(places)
        self.ready = not INTERPRETED
        return result(out)


class _Launch:
    """One kernel on one grid, with all of its arguments but the pointers, which are its first; `names`: of those."""

    def __init__(
        self, names: list[str], kernel: Any, grid: tuple[int, ...], args: Arguments, options: Arguments
    ) -> None:
        self.kernel, self.grid, self.options = kernel, grid, options
        self.compiled: Any = None
        self.again: Any = None
        self.slots = [names.index(n) for n in kernel.arg_names if n in names]
        self.rest = [args[n] for n in kernel.arg_names if n not in names]

    def first(self, tensors: list[Any]) -> None:
        args = [*(tensors[k] for k in self.slots), *self.rest]
        named = dict(zip(self.kernel.arg_names, args, strict=True))
        self.compiled = launch(self.kernel, self.grid, named, self.options)
        if not INTERPRETED:
            self.again = self.compiled[(*self.grid, 1, 1)[:3]]


def launch(kernel: Any, grid: tuple[int, ...], args: Arguments, options: Arguments) -> Any:
    """Compiles the kernel where it has to, launches it, and returns what was compiled."""
    return kernel[grid](**args, **options)


@dataclass(frozen=True, slots=True)
class Stage:
    """A kernel of several: what it reads by position and by name, and what it writes."""

    call: Callable[..., Any]
    reads: tuple[str, ...]
    words: dict[str, str]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flat:
    """One axis for two; a stage that has to tell their positions apart takes the length of the inner one."""

    axis: str
    outer: str
    inner: str
    length: str

    def beside(self, axes: tuple[str, ...]) -> bool:
        """Whether a tensor has the two side by side; else stages read it as it is, at the digits of a position."""
        return (self.outer, self.inner) in itertools.pairwise(axes)

    def axes(self, axes: tuple[str, ...]) -> tuple[str, ...]:
        """The axes of a tensor with the new one where the inner one is, if it has both."""
        if not {self.outer, self.inner} <= {*axes}:
            return axes
        return tuple(self.axis if a == self.inner else a for a in axes if a != self.outer)

    def merge(self, x: torch.Tensor, axes: tuple[str, ...]) -> torch.Tensor:
        """The tensor over the new axis: a view where the two lie side by side in memory, else a copy."""
        if self.axes(axes) == axes:
            return x
        before = x.dim() - len(axes)
        at = before + self.axes(axes).index(self.axis)
        return x.movedim(before + axes.index(self.outer), at).flatten(at, at + 1)

    def part(self, x: torch.Tensor, axes: tuple[str, ...], size: Sizes) -> torch.Tensor:
        """The tensor over the two axes again; `axes` are those that it then has."""
        if self.axes(axes) == axes:
            return x
        before = x.dim() - len(self.axes(axes))
        at = before + self.axes(axes).index(self.axis)
        return x.unflatten(at, (size[self.outer], size[self.inner])).movedim(at, before + axes.index(self.outer))


def run_stages(
    tables: Tables, stages: tuple[Stage, ...], flats: tuple[Flat, ...], lengths: dict[str, str], inputs: Tensors,
    words: dict[str, Any], out: Any, options: dict[str, Any],
) -> Any:  # fmt: skip
    """Calls stage after stage, each with what the user gives and what earlier ones have written."""
    size = sizes(tables, inputs)
    size.update((n, words[n]) for n in words if n in tables.words and tables.words[n] == "SymInt")
    held, axes = dict(inputs), dict(tables.inputs)
    given = _given(out, next(iter(tables.outputs)))
    layout, _ = outputs(tables, given, inputs, broadcast(tables, inputs), size)
    for flat in flats:
        for n in inputs:
            if flat.beside(axes[n]):
                held[n], axes[n] = flat.merge(held[n], axes[n]), flat.axes(axes[n])
        size[flat.axis] = size[flat.outer] * size[flat.inner]
        words = words | {flat.length: max(1, size[flat.inner])}
    # A stage may have no tensor with an axis whose length others tell.
    words = size | words | {length: size[axis] for length, axis in lengths.items()}
    for stage in stages:
        named = {theirs: words[ours] for theirs, ours in stage.words.items()}
        made = stage.call(*(held[n] for n in stage.reads), **named, **options)
        held.update(zip(stage.writes, made.values() if isinstance(made, dict) else (made,), strict=True))
    found: Tensors = {}
    for n, (_, kind) in layout.items():
        levels = [tables.outputs[n]]
        for flat in flats:
            levels.append(flat.axes(levels[-1]))
        value = held[n]
        for flat, level in zip(reversed(flats), reversed(levels[:-1]), strict=True):
            value = flat.part(value, level, size)
        found[n] = value.to(kind) if given.get(n) is None else given[n].copy_(value)
    return result(found)


def result(out: Tensors) -> Any:
    """The output, or of several all by name."""
    return next(iter(out.values())) if len(out) == 1 else out


# What holds the operators: they last as long as this does.
_LIBRARIES: list[Any] = []


# How a call is laid out, beside its tensors and words.
OPTIONS = "str schedule, int? splits, int? block_m, int? block_n, int? num_warps, int? num_stages"


def operator(tables: Tables, file: str, call: Calls) -> Any:
    """The operator of a kernel file, named by its content and this one's: a saved program finds these kernels or none.

    Of a file that is loaded again it is the one that is there. A call that is not traced goes past it, and saves some
    microseconds.
    """
    count = len(tables.inputs)

    def run(*given: Any) -> Any:
        out = call(given[:count], None, given[count:])
        return tuple(out.values()) if isinstance(out, dict) else out

    def shapes(*given: Any) -> Any:
        inputs = dict(zip(tables.inputs, given[:count], strict=True))
        words = zip(tables.words.items(), given[count:], strict=False)
        lengths = {axis: value for (axis, kind), value in words if kind == "SymInt"}
        return empty_outputs(tables, inputs, sizes(tables, inputs) | lengths)

    arguments = [*(f"Tensor {n}" for n in tables.inputs), *(f"{kind} {n}" for n, kind in tables.words.items()), OPTIONS]
    result = "Tensor" if len(tables.outputs) == 1 else f"({', '.join(['Tensor'] * len(tables.outputs))})"
    schema = f"({', '.join(arguments)}) -> {result}"
    content = hashlib.sha256(Path(file).read_bytes() + Path(__file__).read_bytes())
    name = f"{tables.name}_{content.hexdigest()[:16]}"
    if not hasattr(torch.ops.refold, name):
        library = torch.library.Library("refold", "FRAGMENT")
        library.define(name + schema)
        library.impl(name, run, "CompositeExplicitAutograd")
        torch.library.register_fake(f"refold::{name}", shapes, lib=library)
        _LIBRARIES.append(library)
    return getattr(torch.ops.refold, name).default


def empty_outputs(tables: Tables, inputs: Tensors, size: Sizes) -> Any:
    """What a call allocates, for torch to see its shapes: a tensor, or a tuple of several."""
    layout, _ = outputs(tables, {}, inputs, broadcast(tables, inputs), size)
    device = next(iter(inputs.values())).device
    out = tuple(torch.empty(shape, dtype=kind, device=device) for shape, kind in layout.values())
    return out[0] if len(out) == 1 else out


# The words of eager references.


def where(cond: Any, a: Any, b: Any, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """torch.where whose numbers have a dtype."""
    cond, a, b = (
        x if isinstance(x, torch.Tensor) else torch.tensor(x, dtype=kind, device=device)
        for x, kind in ((cond, torch.bool), (a, dtype), (b, dtype))
    )
    return torch.where(cond, a, b)


def kept(x: torch.Tensor, hidden: torch.Tensor, unit: float) -> torch.Tensor:
    """The elements of a fold: a masked position without a value is none."""
    return torch.where(x.isnan() & hidden, unit, x)


def largest(x: torch.Tensor, dim: int) -> torch.Tensor:
    """The maximum over a dimension; of no positions -infinity. Its gradient is that of the first place of it."""
    return x.max(dim).values if x.shape[dim] else x.sum(dim) - math.inf


def smallest(x: torch.Tensor, dim: int) -> torch.Tensor:
    """The minimum over a dimension; of no positions infinity. Its gradient is that of the first place of it."""
    return x.min(dim).values if x.shape[dim] else x.sum(dim) + math.inf


def any_of(x: torch.Tensor, dim: int) -> torch.Tensor:
    """1 where an element is not 0."""
    return (x != 0).any(dim).long()


def all_of(x: torch.Tensor, dim: int) -> torch.Tensor:
    """1 where no element is 0."""
    return (x != 0).all(dim).long()


def argmax(x: torch.Tensor, dim: int) -> torch.Tensor:
    """The first place of the maximum; of no positions -1."""
    return x.argmax(dim) if x.shape[dim] else x.sum(dim).long() - 1


def take(x: torch.Tensor, axes: int, *index: Any) -> torch.Tensor:
    """`x[..., index]`: every index has `axes` dimensions at its end and may have leading ones.

    Outside of the tensor there is no value: NaN, and -1 of integers, which is outside of every axis.
    """
    places = [i if isinstance(i, torch.Tensor) else torch.tensor(i, device=x.device) for i in index]
    places = torch.broadcast_tensors(*[i.long() for i in places])
    lead = torch.broadcast_shapes(x.shape[: x.dim() - len(places)], places[0].shape[: places[0].dim() - axes])
    x = x.expand((*lead, *x.shape[x.dim() - len(places) :]))
    nowhere = math.nan if x.dtype.is_floating_point else -1
    lengths = x.shape[len(lead) :]
    inside: Any = True
    for i, n in zip(places, lengths, strict=True):
        inside = inside & (i >= 0) & (i < n)
    if not x.numel():
        return x.new_full((*lead, *places[0].shape[places[0].dim() - axes :]), nowhere)
    places = [i.clamp(min=0, max=n - 1) for i, n in zip(places, lengths, strict=True)]
    inner = [len(lead) - k - 1 + axes for k in range(len(lead))]
    before = [torch.arange(n, device=x.device).reshape([-1] + [1] * m) for n, m in zip(lead, inner, strict=True)]
    return torch.where(inside, x[(*before, *places)], nowhere)


def full(value: Any, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A value as a tensor of its whole shape."""
    value = value if isinstance(value, torch.Tensor) else torch.tensor(float(value), device=device)
    return value.to(dtype).expand(shape).contiguous()


# What kernels call.


@triton.jit
def _exp(x):
    # As tl.exp computes it, but 0 where the result is below 2^-126: on cuda three instructions less.
    return tl.exp2(x * 1.4426950408889634)


@triton.jit
def _tanh(x, FAST: tl.constexpr):
    if FAST:
        # Within 2^-11 of it, relative (PTX ISA): one unit of float16, an eighth of bfloat16's.
        return tl.inline_asm_elementwise("tanh.approx.f32 $0, $1;", "=r,r", [x], dtype=tl.float32, is_pure=True, pack=1)
    # Near 0 the quotient cancels: an odd polynomial there, 2e-7 relative everywhere.
    a = tl.abs(x)
    t = tl.exp2(-2.8853900817779268 * a)
    b = a * a
    p = 1.0 + b * (-0.3333333333 + b * (0.1333333333 + b * (-0.0539682540 + b * 0.0218694885)))
    r = tl.where(a < 0.25, a * p, (1.0 - t) / (1.0 + t))
    # Up to version 3.7, Triton takes -r for 0 - r: of another sign where r is 0, and one instruction more.
    return tl.where(x < 0.0, r * -1.0, r)


@triton.jit
def _sigmoid(x):
    # Of exp(-|x|), which cannot overflow.
    t = tl.exp2(-1.4426950408889634 * tl.abs(x))
    r = 1.0 / (1.0 + t)
    return tl.where(x < 0.0, t * r, r)


@triton.jit
def _multiply(a, b):
    return a * b


@triton.jit
def _larger(a, b):
    # What is no number stays so.
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _smaller(a, b):
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _largest(x, axis: tl.constexpr):
    # tl.max passes over what is no number.
    undefined = tl.max((x != x).to(tl.int32), axis) > 0
    return tl.where(undefined, float("nan"), tl.max(x, axis))


@triton.jit
def _smallest(x, axis: tl.constexpr):
    undefined = tl.max((x != x).to(tl.int32), axis) > 0
    return tl.where(undefined, float("nan"), tl.min(x, axis))


@triton.jit
def _over(a, b):
    # Whether a key stands before another, whatever their positions; what is no number stands before all numbers.
    return (a > b) | ((a != a) & (b == b))


@triton.jit
def _floordiv(a, b):
    # `//` truncates toward zero on tensors and rounds down on constants.
    q = a // b
    r = a - q * b
    return tl.where((r != 0) & ((r < 0) != (b < 0)), q - 1, q)


@triton.jit
def _round(x):
    # The nearest whole number, of two the even one. Where x - n rounds, next to 0 from below, n + 1 is the result.
    n = tl.floor(x)
    half = 0.5 * n
    far, odd = x - n > 0.5, tl.floor(half) != half
    return tl.where(far | ((x - n == 0.5) & odd), n + 1.0, n)


@triton.jit
def _position(x):
    # An end of a range of positions: beyond all of them is as good as farther, and 32 bits hold a few tiles more.
    return tl.minimum(tl.maximum(x, 0), 2143289344).to(tl.int32)


@triton.jit
def _power(x, n):
    # Of a negative number as of its size, with its sign where n is odd, and none where n is no whole number.
    x, n = tl.broadcast(tl.cast(x, tl.float32), tl.cast(n, tl.float32))
    size = tl.where(n == 0.0, 1.0, tl.exp2(tl.log2(tl.abs(x)) * n))
    half = 0.5 * n
    even, whole = tl.floor(half) == half, tl.floor(n) == n
    return tl.where((x < 0.0) & (even == 0), tl.where(whole, size * -1.0, float("nan")), size)


# Whether Triton's interpreter runs what kernels call, and so the kernels.
INTERPRETED = not isinstance(_exp, triton.runtime.JITFunction)

if INTERPRETED:
    from triton.runtime.interpreter import InterpreterBuilder

    if not hasattr(InterpreterBuilder, "get_bf16"):
        # Triton 3.6 interprets no constant of bfloat16, such as the NaN that stands where an index is out of range.
        InterpreterBuilder.get_bf16 = lambda self, x: self.create_fp_trunc(self.get_fp32(x), tl.bfloat16)

if gluon is not None:
    # Called async_load since Triton 3.9.
    _copy = tma.async_load if hasattr(tma, "async_load") else tma.async_copy_global_to_shared

    @gluon.constexpr_function
    def _tile(COLUMNS):
        # How the four warps of a group hold a tile of 64 rows.
        return gl.NVMMADistributedLayout(version=[3, 0], warps_per_cta=[4, 1], instr_shape=[16, COLUMNS, 16])

    @gluon.constexpr_function
    def _operand_of(COLUMNS):
        # How they hold the left operand of a product of so many columns.
        return gl.DotOperandLayout(operand_index=0, parent=_tile(COLUMNS), k_width=2)

    @gluon.constexpr_function
    def _lines(COLUMNS):
        # How they hold a tile that is written: 8 columns side by side a thread, and whole rows a warp.
        return gl.BlockedLayout([1, 8], [256 // COLUMNS, COLUMNS // 8], [4, 1], [1, 0])

    @gluon.jit
    def _as_rows(x, COLUMNS: tl.constexpr):
        # A value a row, as a tile of so many columns has its rows.
        return gl.convert_layout(x, gl.SliceLayout(1, _tile(COLUMNS)))
