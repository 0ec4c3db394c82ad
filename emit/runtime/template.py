"""Tests a kernel file: replays the proof, and runs the kernels against the reference in float64."""

import hashlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

# BEGIN: what the bundle is
NAME = "logsumexp"
FILES = {"kernel": "logsumexp.py", "runtime": "refold_runtime.py"}
SPEC = "171e28081d60596a8aa875c990c16438fdaa01a8c5121320ba21f235622ab62a"
SIZES = {"i": 33, "j": 37}
FOLD, ROWS = "j", "i"
# Axes that are as long as another one, since what is read along one is read along the other.
SAME: dict[str, str] = {}
SCALARS: dict[str, float] = {}
# An integer tensor holds positions along an axis, with a scalar's value among them, or small numbers.
INTEGERS: dict[str, tuple[str, str]] = {}
# Tensors of positive numbers, as a logarithm, a root or a quotient wants them.
POSITIVE: tuple[str, ...] = ()
# The size of large inputs, at which the pipeline as written does not overflow in float64.
LARGE = 123.457
# The lengths that the function takes by name, with their axes.
AXES: dict[str, str] = {}
# Whether a row of equal values has a result; whether tensor descriptors read tiles.
CONSTANT, ALIGNED = True, False
# Whether there is a kernel for Hopper; the axes that tiles hold whole, and how many times 1203 rows make
# more tiles of 128 rows than a device has multiprocessors.
HOPPER = False
INNER: tuple[str, ...] = ()
LEAD = 14
# The pipeline, for whoever has refold.
PIPELINE = "[('y', log(Fold('sum', exp(Read(TensorName('x', (Index('i'), Index('j'), ), 'float', False), Index('i'), Index('j'))), Index('j'))), [Index('i')])]; [TensorName('x', (Index('i'), Index('j'), ), 'float', False)]; []; [Index('i'), Index('j')]; nan; False; False"  # noqa: E501
# END

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location(NAME, HERE / f"{NAME}.py")
assert _spec is not None and _spec.loader is not None
kernel = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kernel)

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# 16 x 16 tiles, so that small sizes make several of them; 9 parts are more than there are tiles.
SCHEDULES: dict[str, dict[str, Any]] = {
    "rolling": {"schedule": "rolling"},
    "split": {"schedule": "split", "splits": 2},
    "empty splits": {"schedule": "split", "splits": 9},
}
pytestmark = pytest.mark.filterwarnings("ignore")


def fused(*tensors, **words):
    """A call of the function that the kernel file is of."""
    return getattr(kernel, NAME)(*tensors, **words)


def draw(size, dtype, lead=(), *, strided=False, large=1.0, constant=False, rising=False):
    """One set of inputs, quantised to `dtype` once."""
    size = equal(size)
    g = torch.Generator().manual_seed(size[FOLD])
    found = {}
    for n, (name, axes) in enumerate(kernel.TABLES.inputs.items()):
        # Every other tensor lacks the first leading dimension; which ones, the number of dimensions decides.
        shape = [*(lead if (n + len(lead)) % 2 == 0 else lead[1:]), *(size[a] for a in axes)]
        if name in INTEGERS:
            axis, mark = INTEGERS[name]
            kind = getattr(torch, kernel.TABLES.dtypes[name])
            low = int(name in POSITIVE)
            x = torch.randint(low, low + max(1, size.get(axis, 3)), shape, generator=g, dtype=kind)
            if mark:
                x = torch.where(torch.rand(shape, generator=g) < 0.25, SCALARS[mark], x)
        else:
            wide = [2 * s for s in shape] if strided else shape
            x = torch.randn(wide, generator=g)
            kind = dtype if kernel.TABLES.dtypes[name] == "float" else getattr(torch, kernel.TABLES.dtypes[name])
            x = ((x.abs() + 0.125 if name in POSITIVE else x) * large).to(kind)
            x = x[tuple(slice(None, None, 2) for _ in shape)] if strided else x
            if rising and FOLD in axes:
                # Later tiles hold the larger values: what was summed before has to be moved.
                ramp = 1 + torch.arange(size[FOLD]) / 4
                x = (x * ramp.reshape([-1] + [1] * (len(axes) - 1 - axes.index(FOLD)))).to(kind)
            if constant and FOLD in axes:
                x = x.narrow(x.dim() - len(axes) + axes.index(FOLD), 0, min(1, size[FOLD])).expand(shape)
        found[name] = x.to(DEVICE)
    return found


def equal(size):
    """Lengths of which those are equal that have to be."""
    return size | {axis: size[other] for axis, other in SAME.items()}


def rows(length):
    """Another number of rows, where there are any and nothing else hangs on their number."""
    return {ROWS: length} if ROWS and SIZES[ROWS] == 33 else {}


def many(result):
    return result if isinstance(result, dict) else {next(iter(kernel.TABLES.outputs)): result}


def reference(inputs, dtype, lengths, factor=None):
    """The eager form in `dtype`, with every input multiplied by `factor(input)` first."""
    floats = {n: x if n in INTEGERS else x.to(dtype) for n, x in inputs.items()}
    if factor is not None:
        floats = {n: x if n in INTEGERS else x * factor(x) for n, x in floats.items()}
    return many(kernel.reference(*floats.values(), **SCALARS, **lengths))


def worst(result, exact):
    """The largest difference where the exact result is finite."""
    finite = exact.isfinite()
    return (result - exact)[finite].abs().max().item() if finite.any() else 0.0


def bounds(inputs, dtype, lengths, law=reference):
    """The exact result and how far from it a kernel may be, for each output; `law` is what gives the results.

    Twice the error of the eager form in the same dtype, one rounding of the result, and what the result changes
    by when the inputs change by one rounding of float32, once for each place where any kernel rounds: the product,
    its scale, the difference in the exponent, the exponential. At logits of 1e4 one of them moves an exponent by
    1e-3, whatever the algorithm, and a single run of the eager form may be lucky. No other tolerance.
    """
    exact, eager = law(inputs, torch.float64, lengths), law(inputs, dtype, lengths)
    wide = law(inputs, torch.float32, lengths)
    g = torch.Generator().manual_seed(0)

    def rounding(x):
        sign = torch.randint(0, 2, x.shape, generator=g).to(x) * 2 - 1
        return 1 + torch.finfo(torch.float32).eps * sign

    moved = [law(inputs, torch.float64, lengths, rounding) for _ in range(4)]
    found = {}
    for name, value in exact.items():
        if not value.dtype.is_floating_point:
            found[name] = (value, 0.0)
            continue
        value = value.to(dtype).double().where(value.to(dtype).isinf(), value)  # beyond the range of dtype
        peer = torch.where(eager[name].isfinite(), eager[name], wide[name].to(dtype)).double()
        # Where the pipeline as written overflows in float32 too, it allows no error of its own.
        peer = torch.where(peer.isfinite(), peer, value)
        finite = value.isfinite()
        size = value[finite].abs().max().item() if finite.any() else 0.0
        bound = 2 * worst(peer, value) + torch.finfo(dtype).eps * size
        found[name] = (value, bound + sum(worst(m[name], value) for m in moved))
    return found


def check(size, dtype, options, block_m=16, **drawn):
    size = equal(size)
    inputs = draw(size, dtype, **drawn)
    lengths = {a: size[axis] for a, axis in AXES.items()}
    expected = bounds(inputs, dtype, lengths)
    # Outputs start as NaN: what the kernel does not write is seen. Of integers alone they are float32.
    kind = dtype if "float" in kernel.TABLES.dtypes.values() else torch.float32
    kinds = {n: torch.float32 if n in kernel.TABLES.exact else kind for n in expected}
    out = {
        n: torch.full_like(v, torch.nan, dtype=kinds[n]) if v.dtype.is_floating_point else torch.full_like(v, -7)
        for n, (v, _) in expected.items()
    }
    blocks = {"block_m": block_m, "block_n": 16} if block_m else {}
    fused(*inputs.values(), **SCALARS, **lengths, **options, **blocks, out=out)
    for name, (value, bound) in expected.items():
        got = out[name].double()
        finite = value.double().isfinite()
        # With fewer positions than rows, or one beside itself, a mask may leave rows nothing; else a comparison of what
        # is no number is void.
        few = size[FOLD] < max(1, size.get(ROWS, 1))
        share = finite.double().mean().item() if finite.numel() else 1.0
        assert few or share >= 0.75, f"{name}: void, as the reference is a number on {share:.0%} of it: draw others"
        same = torch.where(value.isnan(), got.isnan(), got == value) | finite
        assert same.all(), f"{name}: infinite or undefined at other places than in the reference"
        assert got[finite].isfinite().all(), f"{name}: not a number where the reference has one, or not written"
        error = (got - value)[finite].abs().max().item() if finite.any() else 0.0
        assert error <= bound, f"{name}: error {error:.3g}, allowed {bound:.3g}"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_ragged(dtype, schedule):
    check(SIZES, dtype, SCHEDULES[schedule])


if ALIGNED:

    @pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
    @pytest.mark.parametrize("schedule", ["rolling", "split"])
    def test_aligned(dtype, schedule):
        # Rows of whole multiples of 16 bytes, which tensor descriptors can read; no block divides the lengths.
        check(
            {a: n if a in (FOLD, ROWS) or n % 2 == 0 else 8 * n for a, n in SIZES.items()}, dtype, SCHEDULES[schedule]
        )


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("length", [0, 1, 16, 33])
def test_length(length, schedule):
    if length == 0 and any(SAME.get(axis) == FOLD for axis in INNER):
        # What is as long as the fold's axis is held whole as well.
        with pytest.raises(ValueError, match="give it at least one position"):
            check(SIZES | {FOLD: length}, torch.float32, SCHEDULES[schedule])
        return
    check(SIZES | {FOLD: length}, torch.float32, SCHEDULES[schedule])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_more_rows_than_positions(schedule):
    # Where rows are masked from the end, the first ones are masked altogether.
    check(SIZES | {FOLD: 18} | rows(40), torch.float32, SCHEDULES[schedule])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rising_values(schedule):
    check(SIZES, torch.float32, SCHEDULES[schedule], rising=True)


@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
@pytest.mark.parametrize("schedule", ["rolling", "split"])
def test_large_logits(dtype, schedule):
    check(SIZES, dtype, SCHEDULES[schedule], large=LARGE)


if CONSTANT:

    @pytest.mark.parametrize("schedule", ["rolling", "split"])
    def test_constant_rows(schedule):
        check(SIZES, torch.bfloat16, SCHEDULES[schedule], large=LARGE, constant=True)


@pytest.mark.parametrize("schedule", ["rolling", "split"])
@pytest.mark.parametrize("lead", [(3,), (2, 3), (2, 1, 2)], ids=str)
def test_leading_dimensions_and_strides(lead, schedule):
    # As many rows as make the last part count where the later positions are masked for the first rows.
    check(SIZES | {FOLD: 20} | rows(19), torch.float32, SCHEDULES[schedule], block_m=32, lead=lead, strided=True)


@pytest.mark.parametrize("schedule", ["rolling", "split"])
def test_tall_tiles(schedule):
    # Rows of one tile whose masks begin in several tiles along the axis.
    check(SIZES, torch.float32, SCHEDULES[schedule], block_m=64, rising=True)


@pytest.mark.parametrize("schedule", ["rolling", "split"])
def test_a_call_again(schedule):
    # What the first call worked out and compiled serves the second, with other data at other places.
    check(SIZES, torch.float32, SCHEDULES[schedule])
    check(SIZES, torch.float32, SCHEDULES[schedule], rising=True)


if DEVICE == "cuda":

    @pytest.mark.parametrize("schedule", ["rolling", "split"])
    def test_a_graph(schedule):
        # A captured call, replayed on other data, is that call.
        held, lengths = draw(SIZES, torch.float32), {a: SIZES[axis] for a, axis in AXES.items()}
        run = lambda: many(fused(*held.values(), **SCALARS, **lengths, **SCHEDULES[schedule]))  # noqa: E731
        run()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = run()
        for name, x in draw(SIZES, torch.float32, rising=True).items():
            held[name].copy_(x)
        for x in out.values():
            x.fill_(-7)
        graph.replay()
        for name, value in run().items():
            assert torch.equal(out[name].nan_to_num(9), value.nan_to_num(9)), name


if HOPPER and DEVICE == "cuda" and torch.cuda.get_device_capability()[0] == 9:

    @pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
    @pytest.mark.parametrize("width", [64, 128, 192, 256])
    def test_long(dtype, width):
        # Long enough for the kernel for Hopper; no block divides the lengths.
        kernel._call.known.clear()
        size = SIZES | dict.fromkeys(INNER, width) | {FOLD: 8219 if kernel.TABLES.costly else 2139, ROWS: 1203}
        check(size, dtype, {"schedule": "rolling"}, block_m=None, lead=(LEAD,))
        (call,) = kernel._call.known.values()
        assert call.launches[0].kernel is getattr(kernel, f"{NAME}_hopper")


def proof():
    return json.loads((HERE / f"{NAME}.proof.json").read_text(encoding="utf-8"))


def checker():
    found = importlib.util.spec_from_file_location("recheck", HERE / "recheck.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def scripts(name, case):
    """What solvers were asked, printed from what it claims."""
    if "if" in case:
        return [*scripts(name, case["then"]), *scripts(name, case["else"])]
    numbers = "Int" if name.startswith("index ") else "Real"
    return [checker().script(used, negated, numbers) for used, negated in case.get("unsat", [])]


def test_the_proof_is_of_this_kernel():
    found = proof()
    assert (found["name"], found["hashes"]["spec"]) == (NAME, SPEC), "the proof is of another pipeline"
    assert found["hashes"].keys() == {"spec", *FILES}, "the proof is of other files"
    for what, file in FILES.items():
        text = (HERE / file).read_bytes()
        assert found["hashes"][what] == hashlib.sha256(text).hexdigest(), f"the {what} is not the one that was emitted"


def test_certificates():
    tally = checker().recheck(proof())
    assert tally["obligations"] == len(proof()["obligations"])


def test_the_obligations_are_those_of_the_pipeline():
    # Derived anew and compared one by one, without a solver. The checker alone cannot know whose they are.
    refold = pytest.importorskip("refold", reason="whose obligations these are was not checked: no refold here")
    if not PIPELINE or refold.__version__ != proof()["versions"]["refold"]:
        pytest.skip("whose obligations these are was not checked: no text of the pipeline, or another refold")
    from refold.spec.serial import loads
    from refold.verify.certificate.against import proof_against
    from refold.verify.certificate.words import fingerprint

    spec = loads(PIPELINE)
    assert fingerprint(spec) == SPEC
    proof_against(proof(), refold.derive(spec))


def test_a_changed_proof_is_rejected():
    module, changed = checker(), proof()
    for obligation in changed["obligations"]:
        for certificate in obligation["proof"]:
            case = certificate["case"]
            while "if" in case:
                case = case["then"]
            case["show"], case["equations"] = ["x == x + 1"], {"x == x + 1": []}
    changed["key"] = module.digest({**changed, "key": ""})
    with pytest.raises(module.Rejected):
        module.recheck(changed)


def test_solver_agrees():
    z3 = pytest.importorskip("z3")
    for script in {text for o in proof()["obligations"] for c in o["proof"] for text in scripts(o["name"], c["case"])}:
        solver = z3.Solver()
        solver.set("rlimit", 10_000_000)  # of its own work, whatever else the machine is at
        solver.from_string(script)
        assert solver.check() == z3.unsat, script
