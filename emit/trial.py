"""Runs an emitted kernel once, at a small size in Triton's interpreter, and compares it with the spec as written."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refold.emit import interpreter
from refold.emit.bundle import Kernel
from refold.emit.domain import Draw
from refold.emit.prooftest import domain_at, integers_of, same_of, scalars_of, sizes_of
from refold.errors import EmitError
from refold.schedule.launch import sized_by
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.renaming import public

# Two tiles of 16 positions, the second one ragged; one tile of rows, ragged too.
BLOCK, POSITIONS, ROWS = 16, 19, 5
CALLS: dict[str, dict[str, Any]] = {"rolling": {"schedule": "rolling"}, "split": {"schedule": "split", "splits": 2}}
SECONDS = 120.0
RAN = "It ran once in Triton's interpreter"


def tried(kernel: Kernel) -> Kernel:
    """Runs the kernel, rolling and split, and writes into its header that it has run, or why it has not.

    Raises `EmitError` where it fails or gives something else than the spec, which no proved kernel may.
    """
    missing = [name for name in ("torch", "triton") if importlib.util.find_spec(name) is None]
    if missing:
        return kernel.noted(f"It has not been run: no {' and no '.join(missing)} here.")
    made = kernel.made
    sizes = _sizes(made)
    lengths = ", ".join(f"|{made.users.get(axis, axis)}| = {n}" for axis, n in sizes.items())
    draw = _draw(made, sizes)
    answers = _run(kernel, draw)
    if answers is None:
        return kernel.noted(f"It has not been run to its end: Triton's interpreter took more than {SECONDS:.0f} s.")
    ours = {user: name for name, user in made.users.items()}
    _compare(kernel.name, draw, answers, ours, lengths)
    return kernel.noted(f"{RAN}, at {lengths}, and gave what the pipeline says.")


def _sizes(made: Kernels) -> dict[str, int]:
    """The sizes of the emitted tests, but for fewer positions, and fewer rows where nothing hangs on their number."""
    sizes, rows = sizes_of(made.plan.spec, made.roles), made.roles.rows
    small = {made.roles.fold.name: POSITIONS}
    if rows is not None and sizes[rows.name] == 33:
        small[rows.name] = ROWS
    sizes |= small
    return sizes | {axis: sizes[other] for axis, other in same_of(made.plan.spec, made.roles).items()}


def _draw(made: Kernels, sizes: dict[str, int]) -> Draw:
    spec = made.plan.spec
    scalars, integers = scalars_of(spec), integers_of(spec, made.roles.fold)
    return Draw(spec, sizes, scalars, integers, domain_at(spec, made.roles, sizes).positive)


def _run(kernel: Kernel, draw: Draw) -> dict[str, dict[str, list[float]]] | None:
    """What every call gives, in a process of its own; None where it takes too long."""
    made, inputs = kernel.made, draw.inputs()
    spec = made.plan.spec
    arrays = [np.asarray(inputs[t.name]) for t in spec.tensors]
    kinds = [t.dtype if t.is_integer else "float32" for t in spec.tensors]
    blocks = {"block_m": BLOCK, "block_n": BLOCK}
    with tempfile.TemporaryDirectory(prefix="refold-") as folder:
        for file, text in kernel.code.items():
            (Path(folder) / file).write_text(text, encoding="utf-8")
        path = Path(folder) / f"{kernel.name}.py"
        request = {
            "file": str(path),
            "name": kernel.name,
            "tensors": [(a.flatten().tolist(), a.shape, kind) for a, kind in zip(arrays, kinds, strict=True)],
            "words": {public(name, made.users): value for name, value in draw.scalars.items()},
            "lengths": {public(a.name, made.users): draw.sizes[a.name] for a in sized_by(spec)[2]},
            "calls": {name: {**options, **blocks} for name, options in CALLS.items()},
        }
        env = os.environ | {"TRITON_INTERPRET": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        # Without -P the folder of the program would stand first, and `triton` be the file beside it.
        command = [sys.executable, "-P", "-W", "ignore", interpreter.__file__]
        try:
            done = subprocess.run(
                command, input=json.dumps(request), capture_output=True, text=True, env=env, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return None
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise EmitError(
            f"{kernel.name} does not run in Triton's interpreter: {last}\nreport this: it is refold's mistake"
        )
    answers: dict[str, dict[str, list[float]]] = json.loads(done.stdout.strip().splitlines()[-1])
    return answers


def _compare(
    name: str, draw: Draw, answers: dict[str, dict[str, list[float]]], ours: dict[str, str], lengths: str
) -> None:
    """Whether every output is the spec's, within what the emitted tests allow: see `bounds` there.

    `ours` is what the drawn pipeline calls an output that has another name in the answers.
    """
    exact, eager = draw.outputs(), answers.pop("eager")
    moved = [draw.outputs(seed) for seed in range(4)]
    for call, outputs in answers.items():
        for output, values in outputs.items():
            drawn = ours.get(output, output)
            value = exact[drawn].flatten()
            finite = np.isfinite(value)
            got, peer = np.array(values), np.array(eager[output])
            peer = np.where(np.isfinite(peer), peer, value)
            bound = 2 * _largest(peer - value, finite) + np.finfo(np.float32).eps * _largest(value, finite)
            bound += sum(_largest(m[drawn].flatten() - value, finite) for m in moved)
            same = np.array_equal(got[~finite], value[~finite], equal_nan=True) and bool(np.isfinite(got[finite]).all())
            error = _largest(got - value, finite) if same else float("inf")
            if error > bound:
                raise EmitError(
                    f"{name} ({call}) is not what the pipeline says at {lengths}: {output} is {error:.3g} off, and "
                    f"{bound:.3g} is allowed: report this: it is refold's mistake; do not use the kernel"
                )


def _largest(values: NDArray[Any], where: NDArray[np.bool_]) -> float:
    with np.errstate(all="ignore"):
        return float(np.abs(values[where]).max()) if where.any() else 0.0
