"""What a test file with gradients has after its tests of the forward pass: the text below the mark."""

import pytest
import torch

from refold.emit.runtime.template import (
    AXES,
    CONSTANT,
    DTYPES,
    FOLD,
    INTEGERS,
    LARGE,
    ROWS,
    SCALARS,
    SCHEDULES,
    SIZES,
    bounds,
    draw,
    equal,
    fused,
    kernel,
    many,
    rows,
    worst,
)

# BEGIN


# The inputs by which there are gradients.
WRT = tuple(kernel._FUNCTION.law.wrt)


def cotangents(outputs):
    """A cotangent of each output that has one, the same in every dtype."""
    g = torch.Generator().manual_seed(7)
    drawn = {n: torch.randn(o.shape, generator=g).bfloat16() for n, o in outputs.items()}
    return {n: drawn[n].to(o) for n, o in outputs.items() if o.dtype.is_floating_point}


def gradients(inputs, dtype, lengths, factor=None):
    """What autograd gives of the eager form in `dtype`; where that is no number, in float64, what differences give.

    A row that is masked altogether has a result by `where`, through which autograd hands on 0 times infinity. Where no
    output is a number, no gradient is one, though autograd may give 0 as the sum of no terms.
    """
    floats = {n: x if n in INTEGERS else x.to(dtype) for n, x in inputs.items()}
    if factor is not None:
        floats = {n: x if n in INTEGERS else x * factor(x) for n, x in floats.items()}
    leaves = {n: floats[n].detach().clone().requires_grad_() for n in WRT}
    found = differentiated(kernel.reference, floats | leaves, leaves, lengths)
    if dtype == torch.float64:
        for n, value in found.items():
            if not value.isfinite().all():
                found[n] = value.where(value.isfinite(), differences(floats, n, lengths))
        out = many(kernel.reference(*floats.values(), **SCALARS, **lengths))
        if all(not o.isfinite().any() for o in out.values()):
            found = {n: torch.full_like(value, torch.nan) for n, value in found.items()}
    return found


def differentiated(function, inputs, leaves, lengths, **options):
    """The gradients of a function by some of its inputs."""
    out = many(function(*inputs.values(), **SCALARS, **lengths, **options))
    given = cotangents(out)
    found = torch.autograd.grad([out[n] for n in given], [*leaves.values()], [*given.values()], allow_unused=True)
    return {n: torch.zeros_like(x) if g is None else g for (n, x), g in zip(leaves.items(), found, strict=True)}


def differences(inputs, name, lengths):
    """Central differences of the eager form by every element of an input, side by side along a leading dimension."""
    x, sides = inputs[name], []
    leading = max(t.dim() - len(axes) for t, axes in zip(inputs.values(), kernel.TABLES.inputs.values(), strict=True))
    shape = (1,) * (leading + len(kernel.TABLES.inputs[name]) - x.dim()) + x.shape
    step = 1e-6 * x.abs().clamp(min=1)
    for sign in (step, -step):
        moved = x + torch.diag_embed(sign.flatten()).reshape(x.numel(), *x.shape)
        out = many(kernel.reference(*(inputs | {name: moved.reshape(-1, *shape)}).values(), **SCALARS, **lengths))
        sides.append(out)
    up, down = sides
    given = cotangents({n: o[0] for n, o in up.items()}) if x.numel() else {}
    found = sum(((up[n] - down[n]) * c).flatten(1).sum(1) for n, c in given.items())
    return (found / (2 * step.flatten())).reshape(x.shape) if given else torch.zeros_like(x)


def handed(inputs, dtype, lengths):
    """What the gradients change by when what one kernel hands to another changes by one rounding.

    Rows are handed on in float32, and outputs in `dtype`: `softmax` of one position has the gradient 0, which is the
    difference of two such numbers.
    """
    tensors = [x if n in INTEGERS else x.double() for n, x in inputs.items()]
    out = many(kernel.reference(*tensors, **SCALARS, **lengths))
    words = list((SCALARS | lengths).values())
    law = lambda hand: kernel._FUNCTION.derived(tensors, words, cotangents(out), hand)  # noqa: E731
    g = torch.Generator().manual_seed(0)

    def rounding(name, x):
        kind = dtype if name in kernel.TABLES.outputs else torch.float32
        last = name in kernel._FUNCTION.law.wrt.values() or not x.dtype.is_floating_point
        sign = torch.randint(0, 2, x.shape, generator=g) * 2 - 1
        return x if last else x * (1 + torch.finfo(kind).eps * sign)

    exact, moved = law(lambda name, x: x), [law(rounding) for _ in range(4)]
    return {n: sum(worst(m[n].where(m[n].isfinite(), x), x) for m in moved) for n, x in exact.items()}


def check_gradients(size, dtype, options, block_m=16, wrt=WRT, **drawn):
    size = equal(size)
    inputs = draw(size, dtype, **drawn)
    lengths = {a: size[axis] for a, axis in AXES.items()}
    expected, allowed = bounds(inputs, dtype, lengths, gradients), handed(inputs, dtype, lengths)
    leaves = {n: inputs[n].detach().clone().requires_grad_() for n in wrt}
    blocks = {"block_m": block_m, "block_n": 16} if block_m else {}
    found = differentiated(fused, inputs | leaves, leaves, lengths, **options, **blocks)
    for name, got in found.items():
        value, bound = expected[name][0], expected[name][1] + allowed[name]
        finite = value.isfinite()
        few = size[FOLD] < max(1, size.get(ROWS, 1))
        share = finite.double().mean().item() if finite.numel() else 1.0
        assert few or share >= 0.75, f"{name}: void, as the gradient is a number in {share:.0%} of it: draw others"
        assert got.dtype == inputs[name].dtype and got.shape == inputs[name].shape, f"{name}: another dtype or shape"
        assert got[finite].isfinite().all(), f"d{name}: not a number where the reference has one, or not written"
        error = (got.double() - value)[finite].abs().max().item() if finite.any() else 0.0
        assert error <= bound, f"d{name}: error {error:.3g}, allowed {bound:.3g}"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("schedule", ["rolling", "split"])
def test_gradients(dtype, schedule):
    check_gradients(SIZES, dtype, SCHEDULES[schedule])


@pytest.mark.parametrize("schedule", ["rolling", "empty splits"])
@pytest.mark.parametrize("length", [0, 1, 16])
def test_gradients_of_a_length(length, schedule):
    try:
        check_gradients(SIZES | {FOLD: length}, torch.float32, SCHEDULES[schedule])
    except ValueError as error:
        # Pieces that hold the axis whole, or fold over another one, say so.
        assert length == 0 and "give it at least one position" in str(error)


def test_gradients_with_more_rows_than_positions():
    check_gradients(SIZES | {FOLD: 18} | rows(40), torch.float32, SCHEDULES["rolling"])


@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
def test_gradients_of_large_logits(dtype):
    check_gradients(SIZES, dtype, SCHEDULES["rolling"], large=LARGE)


if CONSTANT:

    def test_gradients_of_constant_rows():
        check_gradients(SIZES, torch.bfloat16, SCHEDULES["rolling"], large=LARGE, constant=True)


@pytest.mark.parametrize("lead", [(3,), (2, 3), (2, 1, 2)], ids=str)
def test_gradients_of_leading_dimensions_and_strides(lead):
    check_gradients(SIZES | {FOLD: 20} | rows(19), torch.float32, SCHEDULES["rolling"], lead=lead, strided=True)


@pytest.mark.parametrize("name", WRT)
def test_a_gradient_by_itself(name):
    check_gradients(SIZES, torch.float32, SCHEDULES["rolling"], wrt=(name,))
