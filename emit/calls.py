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
    `copied`: the inputs whose leading dimensions no view makes two of, with the arguments of `_two`.
    """

    def __init__(self, device, outputs, launches=(), work=None, copied=None):
        self.device, self.outputs, self.copied, self.ready = device, outputs, copied or {{}}, False
        self.index = device.index if device.type == "cuda" and not INTERPRETED else None
        self.launches = [_Launch(*launch) for launch in launches]
        self.names = [f"{{n}}_ptr" for n in (*INPUTS, *OUTPUTS)]
        self.work, self.room = {{}}, 0
        for name, (shape, kind) in (work or {{}}).items():
            self.work[name] = (self.room, shape, kind)
            # What follows is aligned to 128 bytes, of elements of 4.
            self.room += -(-math.prod(shape) // 32) * 32

    def __call__(self, tensors, given):
        out = {{n: given[n] if given.get(n) is not None else torch.empty(shape, dtype=kind, device=self.device)
               for n, (shape, kind) in self.outputs.items()}}
        places = dict(zip(self.names, (*tensors, *out.values())))
        for name, layout in self.copied.items():
            places[name] = _two(places[name], *layout)
        work = torch.empty(self.room, dtype=torch.float32, device=self.device) if self.room else None
        if self.ready:
            pointers = {{n: t.data_ptr() for n, t in places.items()}}
            pointers.update({{n: work.data_ptr() + 4 * at for n, (at, _, _) in self.work.items()}})
        else:
            pointers = places | {{n: work[at:at + math.prod(shape)].view(kind).view(shape)
                                 for n, (at, shape, kind) in self.work.items()}}
        for launch in self.launches:
            launch(pointers)
        self.ready = not INTERPRETED
        return _result(out)


class _Launch:
    """One kernel on one grid, with all of its arguments but the pointers."""

    def __init__(self, kernel, grid, args, options):
        self.kernel, self.grid, self.options, self.again = kernel, grid, options, None
        self.args = {{n: args.get(n) for n in kernel.arg_names}}
        self.pointers = [n for n in kernel.arg_names if n not in args]

    def __call__(self, pointers):
        args = self.args.copy()
        for name in self.pointers:
            args[name] = pointers[name]
        if self.again is not None:
            self.again(*args.values())
            return
        compiled = _launch(self.kernel, self.grid, args, self.options)
        if not INTERPRETED:
            self.again = compiled[(*self.grid, 1, 1)[:3]]


def _launch(kernel, grid, args, options):
    """Compiles the kernel where it has to, launches it, and returns what was compiled."""
    return kernel[grid](**args, **options)
'''
