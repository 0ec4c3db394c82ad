"""The kernel for Hopper: which plans have one, that its laws are those of the plain kernel, and that it compiles.

Triton's interpreter does not run Gluon, and no machine of CI has such a GPU: what runs here is the compiler. That the
kernel gives what the reference gives was seen on an H200 (docs/emit.md).
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from emit_cases import kernel_of, plan_of

from refold.emit.gluon import gluon_kernel
from refold.emit.kernels import kernels
from refold.emit.ring import OWN, Ring
from refold.spec import Tensor, axes, exp, fold, pipeline

HAVE = ["attention", "causal", "window", "sigmoid", "softcap", "grouped"]
SHARED_MEMORY = 232448  # bytes that one program of Hopper can have


def ring_of(name: str) -> Ring | None:
    return gluon_kernel(kernels(plan_of(name), name), name)


@pytest.mark.parametrize("name", HAVE)
def test_attention_has_one(name: str) -> None:
    assert ring_of(name) is not None
    assert f"def k_{name}_hopper(" in kernel_of(name).source


@pytest.mark.parametrize("name", ["softmax", "decode", "grouped_decode", "performer", "argmax", "documents"])
def test_other_plans_keep_their_plain_kernels(name: str) -> None:
    assert ring_of(name) is None
    assert "gluon" not in kernel_of(name).source


def laws(lines: Any) -> list[str]:
    """The lines of a step but loads, positions, products and what is returned."""
    kept = []
    for line in "\n".join(lines).split("\n"):
        if not re.search(r"tl\.load|arange|^in_|^return|^dot\w* = |^weights = |= tl\.dot\(", line):
            kept.append(line.strip())
    return kept


@pytest.mark.parametrize("name", HAVE)
def test_the_laws_are_those_of_the_plain_step(name: str) -> None:
    made, ring = kernels(plan_of(name), name), ring_of(name)
    assert ring is not None
    (step,) = (f for f in made.functions if f.name == "_step")
    assert len(laws(step.body)) > 4 or name == "sigmoid"
    assert laws(ring.scored.body) == laws(step.body)
    (product,) = (line for line in step.body if "_new = tl.dot(" in line)
    moved = re.sub(r"_as_rows\((\w+), BLOCK_e\)", r"\1", ring.moved)
    assert f", {moved}, input_precision" in product


@pytest.mark.parametrize("name", HAVE)
def test_the_tiles_are_those_of_the_plain_kernel(name: str) -> None:
    made, ring = kernels(plan_of(name), name), ring_of(name)
    assert ring is not None
    rolling = [line.strip() for line in made.rolling.body]
    assert [line for line in rolling if line in ring.choices] == list(ring.choices)
    loops = [line.strip() for f in ring.functions for line in f.body if re.match(r" *for j0 in", line)]
    plain = [re.sub(r"range\((\w+), ", r"range(tl.maximum(\1, lo + BLOCK_N), ", x) for x in rolling if "for j0 in" in x]
    # One loop loads all that the others visit; these begin after the first tile.
    assert loops == ["for j0 in range(lo, hi, BLOCK_N):", *plain]


def test_a_name_that_the_kernel_has_for_itself_keeps_the_plain_one() -> None:
    from refold.algebra import Plan, derive

    i, d, e, scores = axes("i d e scores")
    q, k, v = Tensor("q", i, d), Tensor("k", scores, d), Tensor("v", scores, e)
    s = fold.sum(q[i, d] * k[scores, d], over=d)
    p = exp(s - fold.max(s, over=scores))
    plan = derive(pipeline(o=(fold.sum(p * v[scores, e], over=scores) / fold.sum(p, over=scores))[i, e]))
    assert isinstance(plan, Plan)
    assert "scores" in OWN
    assert gluon_kernel(kernels(plan, "f"), "f") is None


def compiled(name: str, dtype: str, inner: int, folder: Path) -> Any:
    """The kernel for Hopper of a bundle, as Triton's compiler makes it for sm_90."""
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.experimental.gluon._runtime import GluonASTSource
    from triton.experimental.gluon.language import NVMMASharedLayout

    path = folder / f"{name}.py"
    path.write_text(kernel_of(name).source)
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    function = getattr(module, f"k_{name}_hopper")
    constants: dict[str, Any] = {"BLOCK_M": 64, "BLOCK_N": 128, "SIZE_ring": 2, "INDEX": tl.int32}
    constants["OPERAND"] = tl.float16 if dtype == "fp16" else tl.bfloat16
    types: dict[str, str] = {}
    for n in function.arg_names:
        if n.startswith(("BLOCK_", "SIZE_")):
            constants.setdefault(n, inner)
        tensor, _, kind = n.rpartition("_")
        if kind == "desc":
            block = [1] * len(module.INPUTS[tensor]) + [constants.get(b, inner) for b in module.TILES[tensor]]
            layout = NVMMASharedLayout(min(128, 2 * block[-1]), 16, rank=len(block))
            types[n] = f"tensordesc<{dtype}{block},{layout!r}>"
        else:
            types[n] = f"*{dtype}" if kind == "ptr" else "fp32" if n.startswith(("scale", "cap")) else "i32"
    signature = {n: "constexpr" if n in constants else types[n] for n in function.arg_names}
    places = {(function.arg_names.index(n),): v for n, v in constants.items() if n in function.arg_names}
    source = GluonASTSource(function, signature, constexprs=places)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})


@pytest.mark.parametrize(("name", "dtype", "inner"), [("causal", "fp16", 128), ("grouped", "bf16", 64)])
def test_compiles_for_hopper(
    name: str, dtype: str, inner: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")
    made = compiled(name, dtype, inner, tmp_path)
    ptx = " ".join(made.asm["ptx"].split())
    assert made.metadata.shared <= SHARED_MEMORY
    # Products by warpgroups with scores in flight, tiles by the copy engine, registers moved to the groups.
    for words in ("wgmma.mma_async.sync.aligned.m64n128k16", "wgmma.wait_group.sync.aligned 1",
                  "cp.async.bulk.tensor", "setmaxnreg.inc.sync.aligned.u32 240"):  # fmt: skip
        assert words in ptx, words
    assert ".local" not in ptx
