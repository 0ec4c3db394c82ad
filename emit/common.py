"""The part of a kernel file that is the same in all of them: checks, layout, launch, and the reference's reductions."""

COMMON = '''
INTERPRETED = not isinstance({kernel}, triton.runtime.JITFunction)
FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def _sizes(inputs, check=True):
    """The length of every axis; ValueError or TypeError names the tensor and the axis that do not fit."""
    size, told, first = {{}}, {{}}, None
    for name, tensor in inputs.items():
        axes, wanted = INPUTS[name], DTYPES[name]
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name}: {{name}} is a {{type(tensor).__name__}}: give a torch.Tensor")
        if tensor.dim() < len(axes):
            raise ValueError(f"{name}: {{name}} has {{tensor.dim()}} dimensions: give [..., {{', '.join(axes)}}]")
        for axis, length in zip(axes, tensor.shape[tensor.dim() - len(axes):]):
            if size.setdefault(axis, length) != length:
                raise ValueError(f"{name}: axis {{axis}} is {{size[axis]}} long in {{told[axis]}} and {{length}} in "
                                 f"{{name}}: make them equal")
            told.setdefault(axis, name)
        if not check:
            continue
        if wanted == "float":
            if tensor.dtype not in FLOATS:
                raise TypeError(f"{name}: {{name}} is {{tensor.dtype}}: give float32, float16 or bfloat16")
            if first is not None and tensor.dtype != first[1].dtype:
                raise TypeError(f"{name}: {{name}} is {{tensor.dtype}} and {{first[0]}} {{first[1].dtype}}: "
                                "convert one of them")
            first = first or (name, tensor)
        elif tensor.dtype != getattr(torch, wanted):
            raise TypeError(f"{name}: {{name}} is {{tensor.dtype}}: give {{wanted}}")
        device = next(iter(inputs.values())).device
        if tensor.device != device:
            raise ValueError(f"{name}: {{name}} is on {{tensor.device}} and the first tensor on {{device}}: "
                             "move one of them")
        if tensor.requires_grad and torch.is_grad_enabled():
            raise ValueError(f"{name}: {{name}} requires a gradient and this kernel has none: "
                             "call it under torch.no_grad()")
        if not INTERPRETED and tensor.device.type == "cpu":
            raise ValueError(f"{name}: {{name}} is on the CPU: move it to a GPU, or set TRITON_INTERPRET=1 before "
                             "triton is imported")
    return size


def _length(axis, value):
    if not isinstance(value, int) or value < 0:
        raise TypeError(f"{name}: {{axis}} is {{value!r}}: give the length of axis {{axis}} as an int")
    return value


def _equal(size, axis, index, tensor):
    if size[axis] != size[index]:
        raise ValueError(f"{name}: {{tensor}} is read along axis {{axis}}, {{size[axis]}} long, at every {{index}} "
                         f"of {{size[index]}}: make them equal")


def _positive_length(size, axis):
    if size[axis] == 0:
        raise ValueError(f"{name}: axis {{axis}} is 0 long: give it at least one position")


def _within(tensor, axis, size, values):
    try:
        ok = all(0 <= v < size[axis] for v in values())
    except ZeroDivisionError:
        ok = False
    if not ok:
        raise ValueError(f"{name}: {{tensor}} is read outside of its axis {{axis}}, {{size[axis]}} long, at sizes "
                         f"{{size}}: make the sizes fit the index")


def _scalar(name, value, integer, positive):
    kinds = (int,) if integer else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(f"{name}: {{name}} is {{value!r}}: give {{'an int' if integer else 'a number'}}")
    if positive and not value > 0:
        raise ValueError(f"{name}: {{name}} is {{value!r}}: give a positive number")
    return value if integer else float(value)


def _ratio(a, b):
    """a / b as IEEE has it."""
    return a / b if b else math.copysign(math.inf, a) if a else math.nan


def _broadcast(inputs):
    leads = {{n: tuple(t.shape[: t.dim() - len(INPUTS[n])]) for n, t in inputs.items()}}
    try:
        return tuple(torch.broadcast_shapes(*leads.values()))
    except RuntimeError:
        raise ValueError(f"{name}: leading dimensions {{leads}} do not broadcast: make them equal or 1") from None


def _two(tensor, lead, axes):
    """[*lead, *axes] as [lead0, lead1, *axes]: a view where the strides allow."""
    tensor = tensor.expand((*lead, *tensor.shape[tensor.dim() - axes:]))
    tensor = tensor.flatten(0, len(lead) - 2) if len(lead) > 2 else tensor
    return tensor[(None,) * (2 - min(len(lead), 2))]


def _leading(inputs):
    """The leading dimensions; a view [lead0, lead1, *axes] of each input; those of which it takes a copy."""
    lead = _broadcast(inputs)
    views = {{n: _two(t, lead, len(INPUTS[n])) for n, t in inputs.items()}}
    copied = {{f"{{n}}_ptr": (lead, len(INPUTS[n])) for n, t in inputs.items() if views[n].data_ptr() != t.data_ptr()}}
    return lead, views, copied


def _outputs(given, inputs, lead, size, whole):
    """The shape and dtype of the results, and a view [lead0, lead1, *axes] of each, which has no data if not given."""
    floats = [t for n, t in inputs.items() if not DTYPES[n].startswith("int")]
    dtype, device = (floats[0].dtype if floats else torch.float32), next(iter(inputs.values())).device
    layout, views = {{}}, {{}}
    for n, axes in OUTPUTS.items():
        shape, kind = (*lead, *(size[a] for a in axes)), torch.int64 if n in whole else dtype
        t = given.get(n)
        if t is None:
            t = torch.empty(shape, dtype=kind, device="meta")
        elif not isinstance(t, torch.Tensor):
            raise TypeError(f"{name}: out is a {{type(t).__name__}} for {{n}}: give a torch.Tensor")
        elif tuple(t.shape) != shape or t.dtype != kind or t.device != device:
            raise ValueError(f"{name}: out has {{list(t.shape)}} {{t.dtype}} on {{t.device}} for {{n}}: "
                             f"give {{list(shape)}} {{kind}} on {{device}}")
        elif len(lead) > 2 and not t.is_contiguous():
            raise ValueError(f"{name}: out is not contiguous for {{n}}: with more than two leading dimensions "
                             "give a contiguous tensor")
        layout[n], views[n] = (shape, kind), _two(t, lead, len(axes))
    return layout, views


def _result(out):
    return next(iter(out.values())) if len(out) == 1 else out


def _pad(n, least):
    return max(least, triton.next_power_of_2(n))


def _blocks(block_m, block_n, rows, fold, pads, dots, itemsize, wide):
    """Tile sizes: for dots at least 16 a side and what shared memory holds, else what registers hold."""
    inner = max(pads.values(), default=1)
    if wide is not None:
        block_m, block_n = block_m or wide[0], block_n or min(_pad(fold, 16), wide[1])
    elif dots:
        block_m = block_m or min(_pad(rows, 16), 128 if inner <= 64 else 64)
        # Three stages of two operands in about 100 KB.
        room = 1 << (98304 // (6 * inner * itemsize)).bit_length() - 1
        block_n = block_n or max(16, min(_pad(fold, 16), 64, room))
    else:
        cells = max(16, 4096 // inner)
        block_n = block_n or min(_pad(fold, 16), cells)
        block_m = block_m or min(_pad(rows, 1), max(1, cells // 2 // block_n))
    return _powers_of_two(block_m, block_n, 16 if dots else 1)


def _powers_of_two(block_m, block_n, least_m):
    for word, value, least in (("block_m", block_m, least_m), ("block_n", block_n, 16)):
        if not isinstance(value, int) or value < least or value & (value - 1):
            raise ValueError(f"{name}: {{word}} is {{value!r}}: give a power of two of at least {{least}}")
    return block_m, block_n


def _wide(rows, batch, pads, itemsize, device):
    """Tile, warps and stages for dots of 16-bit data where a program may have 200 KB, as on Hopper; else None.

    Measured on an H200. Tall tiles share what is read; where masks cut tiles or there are few, more of them on a
    multiprocessor are worth more.
    """
    inner = max(pads.values(), default=1)
    if not DOTS or itemsize != 2 or rows < 64 or inner > 256 or _shared(device) < 200_000:
        return None
    if inner == 128:
        few = batch * triton.cdiv(rows, 128) <= _units(device)
        return (64, 64, 4, 3) if MASKS or few else (128, 64, 4, 2)
    return (64, 128, 4, 2) if inner == 64 else (64, 64, 4, 3)


def _units(device):
    """The multiprocessors of a device."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2


def _streaming(block_n, num_warps, rows, fold, programs, pads, itemsize, device):
    """Tile, warps, and the programs worth having by parts; set where so few rows share a tile that loading is all."""
    units = _units(device)
    if rows > 16 or not pads or rows > 1 and not DOTS:
        # A program of many rows is bound by its products, not by waiting.
        return block_n, num_warps, units if DOTS and rows >= 64 else 2 * units
    # What three stages of a position take in shared memory.
    wide = 3 * sum(pads.values()) * itemsize
    if DOTS and fold * programs >= 512 * units and 128 * wide <= _shared(device):
        return block_n or 128, num_warps, units
    block_n = block_n or max(16, min(_pad(fold, 16), 64, _pad(98304 // wide + 1, 1) // 2))
    return (block_n, num_warps, units) if DOTS else (block_n, num_warps or 2, 2 * units)


def _shared(device):
    """The bytes of shared memory that one program may have."""
    if device.type != "cuda":
        return 0
    return getattr(torch.cuda.get_device_properties(device), "shared_memory_per_block_optin", 0)


def _overlaps(device):
    """Whether a kernel can begin before the one that it waits for has ended."""
    if INTERPRETED or device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (9, 0)


def _schedule(schedule, splits, programs, fold, block_n, slots):
    """(parts, length of a part): one part where the programs fill the device's slots or the axis is short."""
    if schedule not in ("auto", "rolling", "split"):
        raise ValueError(f"{name}: schedule is {{schedule!r}}: give 'auto', 'rolling' or 'split'")
    tiles = max(1, triton.cdiv(fold, block_n))
    parts = splits
    if schedule == "rolling":
        parts = 1
    elif parts is None:
        parts = max(1, min(tiles // 2, slots // programs, 64)) if schedule == "auto" else min(tiles, 64)
        parts = max(2, parts) if schedule == "split" else parts
    if not isinstance(parts, int) or parts < 1:
        raise ValueError(f"{name}: splits is {{splits!r}}: give a positive int")
    return parts, block_n * max(1, triton.cdiv(tiles, parts))


def _side(read, batch, device):
    """How many batches run side by side, so that what they read of all `read` bytes fills half of the L2 cache."""
    cache = torch.cuda.get_device_properties(device).L2_cache_size if device.type == "cuda" else 2**12
    return max(1, min(batch, cache * batch // (2 * max(1, read))))


def _merging(rows, block_m, inner, options, device):
    """Rows a program and options of the kernel that merges parts: a program a row, until they are many."""
    few = max(1, min(block_m, triton.next_power_of_2(rows // (4 * _units(device)) + 1) // 2))
    return few, options | {{"num_warps": max(1, min(4, few * inner // 128))}}


def _strides(args, views):
    """Puts the strides of every tensor into the arguments, and the integers that hold the farthest offset."""
    far = 0
    for n, t in views.items():
        for key, stride in zip(("lead0", "lead1", *(INPUTS.get(n) or OUTPUTS.get(n) or ())), t.stride()):
            args[f"{{n}}_{{key}}"] = stride
        far = max(far, sum((s - 1) * abs(d) for s, d in zip(t.shape[2:], t.stride()[2:])))
    args["INDEX"] = tl.int32 if far < 2**31 - 2**20 else tl.int64


def _fast(t):
    """Whether the hardware's approximations are within a unit of the data: on NVIDIA, for 16-bit data."""
    return t.element_size() == 2 and not INTERPRETED and not torch.version.hip


def _operand(dtype):
    """The dtype of the operands of a dot; Triton's interpreter cannot multiply bfloat16."""
    if dtype == torch.float32 or (dtype == torch.bfloat16 and INTERPRETED):
        return tl.float32
    return tl.float16 if dtype == torch.float16 else tl.bfloat16


def _options(num_warps, num_stages, cells):
    warps = num_warps or (8 if cells >= 8192 or (cells >= 4096 and not DOTS) else 4)
    return {{"num_warps": warps, "enable_fp_fusion": FUSED}} | ({{"num_stages": num_stages}} if num_stages else {{}})
'''

# For kernels that read tiles by tensor descriptors.
BOXED = '''
def _boxes(args, views):
    """Descriptor, shape, strides and tile of the tensors of BOXES; none where the device or a layout is not for it."""
    found = {{}}
    for n, block in BOXES.items():
        t, tile = views[n], [args.get(b, b) for b in block]
        if not _describable(t) or max(tile) > 256:
            return {{}}
        # A dimension of one position may have any stride, and a descriptor wants one that it could have.
        strides = [s if d > 1 else 8 for d, s in zip(t.shape[:-1], t.stride()[:-1])] + [1]
        found[n] = TensorDescriptor, list(t.shape), strides, tile
    return found


def _describable(t):
    """Whether a descriptor can hold a tensor: 16-bit, the last stride 1, the others multiples of 16 bytes."""
    if not INTERPRETED and (torch.version.hip or torch.cuda.get_device_capability(t.device)[0] < 9):
        return False
    steps = [s for d, s in zip(t.shape[:-1], t.stride()[:-1]) if d > 1]
    return (t.element_size() == 2 and t.dim() <= 5 and t.numel() > 0 and t.data_ptr() % 16 == 0
            and t.stride()[-1] == 1 and all(s >= 0 and s % 8 == 0 for s in steps))
'''

REFERENCE = '''
def _where(cond, a, b):
    """torch.where that keeps the dtype of its tensors where a branch is a number."""
    if not isinstance(a, torch.Tensor) and not isinstance(b, torch.Tensor):
        return torch.where(cond, float(a), float(b))
    return torch.where(cond, a, b)


def _sum(x, dim):
    return x.sum(dim)


def _prod(x, dim):
    return x.prod(dim)


def _max(x, dim):
    return x.amax(dim) if x.shape[dim] else x.sum(dim) - math.inf


def _min(x, dim):
    return x.amin(dim) if x.shape[dim] else x.sum(dim) + math.inf


def _argmax(x, dim):
    return x.argmax(dim) if x.shape[dim] else x.sum(dim).long() - 1


def _take(x, axes, *index):
    """`x[..., index]`: every index has `axes` dimensions at its end and may have leading ones."""
    index = [i if isinstance(i, torch.Tensor) else torch.tensor(i, device=x.device) for i in index]
    index = torch.broadcast_tensors(*[i.long() for i in index])
    lead = torch.broadcast_shapes(x.shape[: x.dim() - len(index)], index[0].shape[: index[0].dim() - axes])
    x = x.expand((*lead, *x.shape[x.dim() - len(index):]))
    index = [i.clamp(min=0, max=max(0, n - 1)) for i, n in zip(index, x.shape[len(lead):])]
    inner = [len(lead) - k - 1 + axes for k in range(len(lead))]
    places = [torch.arange(n, device=x.device).reshape([-1] + [1] * m) for n, m in zip(lead, inner)]
    return x[(*places, *index)] if x.numel() else x.new_zeros(*lead, *index[0].shape[index[0].dim() - axes:])


def _full(value, shape, dtype, device):
    value = value if isinstance(value, torch.Tensor) else torch.tensor(float(value), device=device)
    return value.to(dtype).expand(shape).contiguous()
'''
