"""Compiles an emitted kernel for GPUs that need not be there, and says what it takes of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from refold.emit import compiler
from refold.emit.bundle import Kernel
from refold.errors import EmitError
from refold.needs import need
from refold.schedule import ir
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.words import descriptor, pointer
from refold.spec.heads import is_integral

TARGETS = ("cuda:80", "cuda:90", "cuda:100", "hip:gfx942")
DType = Literal["float32", "float16", "bfloat16"]
Index = Literal["int32", "int64"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """One kernel on one target: bytes of shared memory, registers a thread, and what spilled (-1: not known)."""

    kernel: str
    target: str
    shared: int
    registers: int
    spills: int


def compile_for(kernel: Kernel, targets: tuple[str, ...] = TARGETS, dtype: DType = "float16", *, inner: int = 64,
                block_m: int = 64, block_n: int = 64, num_warps: int = 4, num_stages: int = 2,
                index: Index = "int32", python: str = sys.executable) -> tuple[Compiled, ...]:  # fmt: skip
    """Compiles every kernel of a bundle for every target, without a GPU, in a process of its own.

    `inner` is the length of axes held in registers, `index` what holds offsets and strides. Raises `EmitError` with
    the compiler's words where it fails.
    """
    need("compiling a kernel", "triton")
    made = kernel.made
    if not made.roles.contracts:
        cells = 4096 // (inner if made.roles.inner else 1)
        block_n = min(block_n * 16, cells)
        block_m = max(1, cells // block_n)
    blocks = {"BLOCK_M": block_m, "BLOCK_N": block_n}
    options = {"num_warps": num_warps, "num_stages": num_stages}
    jobs = [_job(made, f, dtype, inner, blocks, target, num_stages, index) | options | {"target": target}
            for target in targets for f in (made.rolling, made.parts, made.finish)]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="refold-") as folder:
        kernel.write(folder)
        request = {"file": str(Path(folder) / f"{kernel.name}.py"), "kernels": jobs}
        env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
        env.setdefault("TRITON_DEFAULT_FP_FUSION", "1")
        # -P as in trial.py: what is imported is not what stands beside the program.
        done = subprocess.run(
            [python, "-P", compiler.__file__], input=json.dumps(request), capture_output=True, text=True, env=env
        )
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise EmitError(
            f"{kernel.name} does not compile for {', '.join(targets)}: {last}\nreport this: it is refold's mistake"
        )
    return tuple(Compiled(**row) for row in json.loads(done.stdout.strip().splitlines()[-1]))


def flags(target: str, dtype: DType) -> dict[str, bool]:
    """As the launcher has them: from cuda 90 on a kernel begins before the one it waits for has ended, and 16-bit data
    is read by tensor descriptors; on every cuda that has the hardware's approximations.
    """
    backend, _, arch = target.partition(":")
    small, recent = dtype != "float32", backend == "cuda" and int(arch) >= 90
    return {"OVERLAP": recent, "DESC": small and recent, "FAST": small and backend == "cuda"}


def _job(made: Kernels, function: ir.Function, dtype: DType, inner: int, blocks: dict[str, int],
         target: str, stages: int, index: Index) -> dict[str, Any]:  # fmt: skip
    """What the compiler is told of the arguments of one kernel: dense tensors of aligned sizes."""
    spec = made.plan.spec
    pointers = {f"{t.name}_ptr": dtype if t.dtype == "float" else t.dtype for t in spec.tensors}
    pointers |= {f"{o.name}_ptr": "int64" if is_integral(o.expr) else dtype for o in spec.outputs}
    pointers |= {
        f"part_{a.symbol}_ptr": "int32" if a.reducer == "argmax" else "float32" for a in made.plan.accumulators
    }
    dense = [(t.name, t.axes) for t in spec.tensors] + [(o.name, o.axes) for o in spec.outputs]
    last = {made.strides[name, axes[-1]] for name, axes in dense if axes}
    real = {text for expr, text in made.host.items() if not expr.is_integer} | {
        p.name for p in spec.params if not p.is_integer
    }
    known = {
        "INDEX": f"tl.{index}",
        "OPERAND": f"tl.{dtype}",
        "STAGES": stages,
        "ONE_TILE": False,
        "RAGGED": True,
        "ALIGNED": False,
    }
    known |= flags(target, dtype)
    strides, descriptors = (
        set(made.strides.values()),
        {descriptor(t): (t, found) for t, found in made.descriptors.items()},
    )
    types: dict[str, str] = {}
    constants: dict[str, Any] = {}
    for parameter in function.parameters:
        name = parameter.text
        if name.startswith("BLOCK_"):
            constants[name] = blocks.get(name, inner)
        elif name.startswith("SIZE_"):
            constants[name] = inner
        elif parameter.kind == "constant":
            constants[name] = known[name]
        elif name in last:
            constants[name] = 1
        elif parameter in descriptors and not known["DESC"]:
            constants[name] = None
        elif parameter in descriptors:
            tensor, found = descriptors[parameter]
            shape = [1, 1, *(1 if b is None else blocks.get(b, inner) for b in found.blocks)]
            types[name] = f"tensordesc<{compiler.DTYPES[pointers[pointer(tensor).text]]}[{','.join(map(str, shape))}]>"
        elif name in pointers:
            types[name] = f"*{compiler.DTYPES[pointers[name]]}"
        elif name in strides:
            types[name] = compiler.DTYPES[index]
        else:
            types[name] = "fp32" if name in real else "i32"
    aligned = [n for n, t in types.items() if t.startswith("*") or n in strides or n.startswith("size_")]
    return {"name": function.name, "types": types, "constants": constants, "aligned": aligned}
