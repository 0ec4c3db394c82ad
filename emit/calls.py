"""The part of a kernel file that repeats a call: what it depends on, what it allocates, what it launches."""

CALLS = '''
# What to do in a call, by all that this depends on; the oldest is forgotten first.
_CALLS, _MOST = {{}}, 256


def _call(prepare, tensors, out, words):
    """Checks and lays out what no call before did; then allocates, launches and returns the outputs."""
    given = {{}} if out is None else out if isinstance(out, dict) else {{next(iter(OUTPUTS)): out}}
    key = _key((*tensors, *given.values()), (*given, *words))
    try:
        call = _CALLS.get(key)
    except TypeError:
        key = call = None  # a word without a hash: what it should be, the checks say
    if call is None:
        call = prepare(*tensors, given, *words)
        if key is not None:
            if len(_CALLS) >= _MOST:
                _CALLS.pop(next(iter(_CALLS)), None)
            _CALLS[key] = call
    if call.index is None or call.index == torch.cuda.current_device():
        return call(tensors, given)
    with torch.cuda.device(call.index):
        return call(tensors, given)


def _key(tensors, words):
    """All that the checks, the layout and the compiled code depend on; None where something is no tensor."""
    key = [torch.is_grad_enabled(), words, *map(type, words)]
    for t in tensors:
        if not isinstance(t, torch.Tensor):
            return None
        key += (t.shape, t.stride(), t.dtype, t.device, t.requires_grad, t.data_ptr() % 16)
    return tuple(key)


class _Call:
    """A call without its data.

    `outputs` and `work`: the shape and dtype of what it allocates; `launches`: kernel, grid, arguments and options;
    `copied`: the inputs whose leading dimensions no view makes two of, with the arguments of `_two`; `boxes`: the kind
    of descriptor, shape, strides and tile of the inputs that tensor descriptors read.
    """

    def __init__(self, device, outputs, launches=(), work=None, copied=None, boxes=None):
        self.device, self.outputs, self.work, self.ready = device, outputs, work or {{}}, False
        self.index = device.index if device.type == "cuda" and not INTERPRETED else None
        names = [f"{{n}}_ptr" for n in (*INPUTS, *OUTPUTS)]
        self.copied = [(names.index(n), layout) for n, layout in (copied or {{}}).items()]
        self.boxes = [(names.index(f"{{n}}_ptr"), *layout) for n, layout in (boxes or {{}}).items()]
        # The parts of the workspace begin at multiples of 128 bytes, of elements of 4.
        self.starts, self.room = [], 0
        for shape, _ in self.work.values():
            self.starts.append(self.room)
            self.room += -(-math.prod(shape) // 32) * 32
        self.launches = [_Launch([*names, *self.work], *launch) for launch in launches]

    def __call__(self, tensors, given):
        out = {{n: given[n] if given.get(n) is not None else torch.empty(shape, dtype=kind, device=self.device)
               for n, (shape, kind) in self.outputs.items()}}
        places = [*tensors, *out.values()]
        for k, layout in self.copied:
            places[k] = _two(places[k], *layout)
        if self.room:
            work = torch.empty(self.room, dtype=torch.float32, device=self.device)
        if self.ready:
            pointers = [t.data_ptr() for t in places]
            if self.room:
                start = work.data_ptr()
                pointers += [start + 4 * n for n in self.starts]
            for k, kind, *layout in self.boxes:
                pointers[k] = kind(places[k], *layout)
            for launch in self.launches:
                launch.again(*[pointers[k] for k in launch.slots], *launch.rest)
            return _result(out)
        for n, (shape, kind) in zip(self.starts, self.work.values()):
            places.append(work[n:n + math.prod(shape)].view(kind).view(shape))
        for k, kind, *layout in self.boxes:
            places[k] = kind(places[k], *layout)
        for launch in self.launches:
            launch.first(places)
        self.ready = not INTERPRETED
        return _result(out)


class _Launch:
    """One kernel on one grid, with all of its arguments but the pointers, which are its first; `names`: of those."""

    def __init__(self, names, kernel, grid, args, options):
        self.kernel, self.grid, self.options, self.compiled, self.again = kernel, grid, options, None, None
        self.slots = [names.index(n) for n in kernel.arg_names if n in names]
        self.rest = [args[n] for n in kernel.arg_names if n not in names]

    def first(self, tensors):
        args = [*(tensors[k] for k in self.slots), *self.rest]
        self.compiled = _launch(self.kernel, self.grid, dict(zip(self.kernel.arg_names, args)), self.options)
        if not INTERPRETED:
            self.again = self.compiled[(*self.grid, 1, 1)[:3]]


def _launch(kernel, grid, args, options):
    """Compiles the kernel where it has to, launches it, and returns what was compiled."""
    return kernel[grid](**args, **options)
'''
