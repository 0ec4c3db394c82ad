"""The kernel for Hopper: which plans have one, that its laws are those of the plain kernel, that it compiles.

Triton's interpreter does not run Gluon: `gluon_model` runs the same text with threads for roles, which finds what the
schedule gets wrong. Triton's compiler makes it for sm_90.
"""

import ast
import importlib.util
import math
import re
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from emit_cases import attention, d, e, i, inputs_of, j, kernel_of, plan_of, q, score
from gluon_model import Descriptor, Pointer, Stuck, run

from refold.algebra import Plan, derive
from refold.emit import runtime
from refold.emit.host import host
from refold.emit.runtime import helpers
from refold.emit.triton import lines, module_lines, text
from refold.schedule import ir
from refold.schedule.lower.gluon import gluon_kernel
from refold.schedule.lower.hopper import Hopper
from refold.schedule.lower.kernels import kernels
from refold.schedule.lower.names import RESERVED
from refold.schedule.passes.warps import warp_specialise
from refold.spec import Index, Tensor, axes, exp, fold, oo, pipeline, where

HAVE = ["attention", "causal", "window", "softcap_causal", "grouped"]
SHARED_MEMORY = 232448  # bytes that one program of Hopper can have


def hopper_of(name: str) -> Hopper | None:
    return gluon_kernel(kernels(plan_of(name), name), name)


@pytest.mark.parametrize("name", HAVE)
def test_attention_has_one(name: str) -> None:
    assert hopper_of(name) is not None
    kernel = kernel_of(name)
    assert f"def k_{name}_hopper(" in kernel.hopper and "gluon" not in kernel.source


@pytest.mark.parametrize(
    "name", ["softmax", "decode", "grouped_decode", "performer", "argmax", "documents", "sigmoid", "softcap"]
)
def test_other_plans_keep_their_plain_kernels(name: str) -> None:
    assert hopper_of(name) is None
    assert "gluon" not in kernel_of(name).source and list(kernel_of(name).code) == [f"k_{name}.py", runtime.FILE]


def laws(function: ir.Function) -> list[str]:
    """The lines of a step but loads, positions, products and what is returned."""
    kept = []
    for line in lines(function.body):
        if not re.search(r"tl\.load|arange|^in_|^return|^dot\w* = |^weights = |= tl\.dot\(", line):
            kept.append(line.strip())
    return kept


@pytest.mark.parametrize("name", HAVE)
def test_the_laws_are_those_of_the_plain_step(name: str) -> None:
    made, warps = kernels(plan_of(name), name), hopper_of(name)
    assert warps is not None
    (step,) = (f for f in made.functions if f.name == "_step")
    assert len(laws(step)) > 4
    assert laws(warps.scored) == laws(step)
    (product,) = (line for line in lines(step.body) if "_new = tl.dot(" in line)
    corrected = re.sub(r"_as_rows\((\w+), BLOCK_e\)", r"\1", text(warps.corrected))
    assert f", {corrected}, input_precision" in product


@pytest.mark.parametrize("name", HAVE)
def test_the_tiles_are_those_of_the_plain_kernel(name: str) -> None:
    made, warps = kernels(plan_of(name), name), hopper_of(name)
    assert warps is not None
    rolling = [line.strip() for line in lines(made.rolling.body)]
    choices = lines(warps.choices)
    assert [line for line in rolling if line in choices] == choices
    loops = [line.strip() for f in warp_specialise(warps) for line in lines(f.body) if re.match(r" *for j0 in", line)]
    plain = [re.sub(r"range\((\w+), ", r"range(tl.maximum(\1, lo + BLOCK_N), ", x) for x in rolling if "for j0 in" in x]
    # One loop loads all that the others visit; these begin after the first tile.
    assert loops == ["for j0 in range(lo, hi, BLOCK_N):", *plain]


def text_of(warps: Hopper) -> str:
    return module_lines(warp_specialise(warps), "@gluon.jit")


@pytest.mark.parametrize("name", ["scores", "stage", "first", "held", "gl", "weights", "chunk"])
def test_no_name_changes_the_kernel(name: str) -> None:
    def hopper_over(j: Index) -> Hopper:
        keys, values = Tensor("k", j, d), Tensor("v", j, e)
        s = fold.sum(q[i, d] * keys[j, d], over=d)
        p = exp(s - fold.max(s, over=j))
        plan = derive(pipeline(o=(fold.sum(p * values[j, e], over=j) / fold.sum(p, over=j))[i, e]))
        assert isinstance(plan, Plan)
        warps = gluon_kernel(kernels(plan, "f"), "f")
        assert warps is not None
        return warps

    taken, plain = (hopper_over(axis) for axis in axes(f"{name} j"))
    assert name in RESERVED
    renamed = re.sub(rf"(?<![A-Za-z0-9])((?:in_|size_|[a-z]_)?){name}_1\b", r"\1j", text_of(taken))
    # In other lines, as parameters stand in the order of their names, but the same words.
    assert Counter(re.findall(r"\w+", renamed)) == Counter(re.findall(r"\w+", text_of(plain)))


def fixed_text() -> str:
    """What the runtime has for every kernel for Hopper, as it stands there."""
    blocks = (n for n in ast.parse(runtime.text()).body if isinstance(n, ast.If))
    (block,) = (n for n in blocks if "gluon" in ast.unparse(n.test))
    lines = runtime.text().splitlines()[block.lineno : block.end_lineno]
    return textwrap.dedent("\n".join(lines)) + "\n"


SIZE = {"i": 19, "j": 23, "d": 3, "e": 5, "h": 4, "g": 2}


def wrong_by(
    name: str, size: dict[str, int], change: tuple[str, str] = ("", ""), programs: int = 0, **blocks: int
) -> float:
    """The largest difference of what the text gives from the float64 oracle; infinite where a NaN is left."""
    made, spec = kernels(plan_of(name), name), plan_of(name).spec
    warps = gluon_kernel(made, name)
    assert warps is not None
    text = "\n\n".join([*(helpers()[h] for h in made.helpers), fixed_text(), text_of(warps)])
    if change != ("", ""):
        assert change[0] in text
        text = text.replace(*change, 1)
    tensors, scalars = inputs_of(spec, size)
    (result,) = spec.outputs
    out = torch.full([size[a.name] for a in result.axes], float("nan"))
    values: dict[str, Any] = {
        "BLOCK_M": 4,
        "BLOCK_N": 4,
        "SIZE_stages": 2,
        "SIZE_rows": 2,
        "BLOCK_d": 4,
        "BLOCK_e": 8,
    } | blocks
    values |= {"INDEX": torch.int32, "OPERAND": torch.float32, "FAST": False, "size_lead": 1}
    values["size_batch"] = math.prod(size[a.name] for a in warps.roles.batch)
    values |= {f"{word}_{a}": n for a, n in size.items() for word in ("size", "SIZE")} | scalars
    known = {"size": size, "math": math, "_ratio": lambda a, b: a / b, **scalars}
    values |= {n: eval(host(expr), known) for expr, n in made.host.items()}
    for n, t in {**tensors, result.name: out}.items():
        axes = next(x.axes for x in (*spec.tensors, *spec.outputs) if x.name == n)
        values |= {f"{n}_ptr": Pointer(t.view(-1)), f"{n}_lead0": 0, f"{n}_lead1": 0}
        values |= {f"{n}_{a.name}": s for a, s in zip(axes, t.stride(), strict=True)}
    for place in warps.places:
        block = [1] * len(tensors[place.tensor].shape) + [values[b] for b in place.blocks]
        values[f"{place.tensor}_desc"] = Descriptor(tensors[place.tensor][None, None], block)
    works = -(-size["i"] // (2 * values["BLOCK_M"])) * values["size_batch"]
    run(text, f"{name}_hopper", programs or works, values)
    want = torch.tensor(spec(**{n: t.double().numpy() for n, t in tensors.items()}, **scalars))
    gone = torch.isnan(out) | torch.isnan(want)
    return float("inf") if gone.any() else float((out - want).abs().max() / (1 + want.abs().max()))


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
@pytest.mark.parametrize("name", HAVE)
def test_gives_what_the_reference_gives(name: str, late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gluon_model.LATE", late)
    assert wrong_by(name, SIZE) < 1e-5


@pytest.mark.parametrize(
    "blocks", [{"BLOCK_N": 8}, {"BLOCK_M": 16}, {"SIZE_stages": 3}, {"SIZE_rows": 1}, {"BLOCK_N": 32}]
)
@pytest.mark.parametrize("size", [{"i": 40}, {"i": 1, "j": 1}, {"j": 4}], ids=str)
def test_at_other_blocks_and_lengths(size: dict[str, int], blocks: dict[str, int]) -> None:
    assert wrong_by("causal", SIZE | size, **blocks) < 1e-5


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
@pytest.mark.parametrize("programs", [1, 2, 5])
@pytest.mark.parametrize("name", ["attention", "causal", "grouped"])
def test_a_few_programs_do_all_of_the_work(
    name: str, programs: int, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gluon_model.LATE", late)
    assert wrong_by(name, SIZE | {"i": 70}, programs=programs) < 1e-5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("acc = acc * _as_rows(alpha, BLOCK_e)[:, None]\n    return", "return"),
        ("scores = warpgroup_mma_wait(1, deps=[scores])", "scores = warpgroup_mma_wait(2, deps=[scores])"),
        ("mbarrier.wait(k_full.index(stage), phase)\n", "pass\n"),
        ("mbarrier.wait(v_full.index(stage_before), phase_before)\n", "pass\n"),
        ("(turn - 1) % SIZE_stages,", "turn % SIZE_stages,"),
        ("turn // SIZE_stages & 1\n", "turn & 1\n"),
        ("group * BLOCK_M + gl.arange", "gl.arange"),
        ("free_hi, first_row + 1)", "free_hi, last_row + 1)"),
        ("hi, last_row + 1)", "hi, last_row - 3)"),
        ("(tiles - 1 - work % tiles)", "(tiles - work % tiles)"),
        ("tl.maximum(free_hi, lo + BLOCK_N)", "free_hi"),
        ("j[None, :] <= i[:, None]", "j[None, :] < i[:, None]"),
        # What only a second piece of work of a program shows.
        ("mbarrier.wait(q_empty.index(slot), nth // SIZE_rows & 1 ^ 1)\n", "pass\n"),
        ("mbarrier.wait(q_full.index(slot), nth // SIZE_rows & 1)\n", "mbarrier.wait(q_full.index(slot), 0)\n"),
        ("gone + (j0 - lo) // BLOCK_N", "(j0 - lo) // BLOCK_N"),
        ("mbarrier.wait(v_empty.index(stage), phase)\n", "pass\n"),
        ("    mbarrier.arrive(v_empty.index(stage), count=1)\n    mbarrier.arrive(q", "    mbarrier.arrive(q"),
        ("return gone + (hi - lo) // BLOCK_N", "return (hi - lo) // BLOCK_N"),
        ("programs - 1 - pid", "pid + 1"),
    ],
)
def test_the_model_finds_a_wrong_schedule(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gluon_model.PATIENCE", 0.5)
    assert any(is_wrong(old, new, late, monkeypatch) for late in (False, True))


def is_wrong(old: str, new: str, late: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr("gluon_model.LATE", late)
    try:
        sizes = (({}, 0), ({"i": 90}, 2), ({"i": 90, "j": 4}, 1))
        return any(wrong_by("causal", SIZE | size, (old, new), programs=p) > 1e-3 for size, p in sizes)
    except Stuck:
        return True


def test_a_division_a_score_keeps_the_plain_kernel() -> None:
    seen = where((j <= i) & ((i - j) % 3 == 0), score, -oo)
    plan = derive(attention(seen, empty=0))
    assert isinstance(plan, Plan)
    made = kernels(plan, "f")
    assert "_floordiv" in made.helpers
    assert gluon_kernel(made, "f") is None


def test_values_that_are_matrices_keep_the_plain_kernel() -> None:
    w = Tensor("w", j, d, e)
    weight = exp(score - fold.max(score, over=j))
    rows = fold.sum(weight * w[j, d, e], over=j) / fold.sum(weight, over=j)
    plan = derive(pipeline(o=rows[i, d, e]))
    assert isinstance(plan, Plan)
    assert gluon_kernel(kernels(plan, "f"), "f") is None


def compiled(name: str, dtype: str, inner: int, folder: Path) -> Any:
    """The kernel for Hopper of a bundle, as Triton's compiler makes it for sm_90."""
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.experimental.gluon._runtime import GluonASTSource
    from triton.experimental.gluon.language import NVMMASharedLayout

    kernel_of(name).write(folder)
    path = folder / f"k_{name}.py"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    function = getattr(module, f"k_{name}_hopper")
    constants: dict[str, Any] = {"BLOCK_M": 64, "INDEX": tl.int32, "FAST": True}
    constants |= dict(zip(("BLOCK_N", "SIZE_stages", "SIZE_rows"), module.rt.HOPPER_TILES[inner], strict=True))
    constants["OPERAND"] = tl.float16 if dtype == "fp16" else tl.bfloat16
    types: dict[str, str] = {}
    for n in function.arg_names:
        if n.startswith(("BLOCK_", "SIZE_")):
            constants.setdefault(n, inner)
        tensor, _, kind = n.rpartition("_")
        if kind == "desc":
            block = [1] * len(module.TABLES.inputs[tensor]) + [
                constants.get(b, inner) for b in module.TABLES.tiles[tensor]
            ]
            layout = NVMMASharedLayout(min(128, 2 * block[-1]), 16, rank=len(block))
            types[n] = f"tensordesc<{dtype}{block},{layout!r}>"
        else:
            types[n] = f"*{dtype}" if kind == "ptr" else "fp32" if n.startswith(("scale", "cap")) else "i32"
    signature = {n: "constexpr" if n in constants else types[n] for n in function.arg_names}
    places = {(function.arg_names.index(n),): v for n, v in constants.items() if n in function.arg_names}
    source = GluonASTSource(function, signature, constexprs=places)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})


@pytest.mark.parametrize(
    ("name", "dtype", "inner", "keys"),
    [("causal", "fp16", 128, 128), ("grouped", "bf16", 64, 128), ("attention", "bf16", 256, 64)],
)
def test_compiles_for_hopper(
    name: str, dtype: str, inner: int, keys: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")
    made = compiled(name, dtype, inner, tmp_path)
    ptx = " ".join(made.asm["ptx"].split())
    assert made.metadata.shared <= SHARED_MEMORY
    # Products by warpgroups with scores in flight, tiles by the copy engine, registers moved to the groups.
    words = [f"wgmma.mma_async.sync.aligned.m64n{n}k16" for n in (inner, keys)]
    words += ["wgmma.wait_group.sync.aligned 1", "cp.async.bulk.tensor", "setmaxnreg.inc.sync.aligned.u32 240"]
    for word in words:
        assert word in ptx, word
    assert ".local" not in ptx
