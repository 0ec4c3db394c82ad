"""Prints the kernel for Hopper: a file of its own beside the plain kernels, for few read it."""

from __future__ import annotations

from refold.emit import runtime
from refold.emit.source import wrap
from refold.emit.triton import module_lines
from refold.schedule.lower.hopper import Hopper
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.names import LAYOUTS
from refold.schedule.passes.warps import warp_specialise

IMPORTS = """from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared, mbarrier, warpgroup_mma, warpgroup_mma_wait,
)
"""


def file_name(name: str) -> str:
    """What the file is called beside that of the plain kernels."""
    return f"{name}_hopper.py"


def hopper_text(name: str, made: Kernels, warps: Hopper) -> str:
    """The whole of NAME_hopper.py."""
    used = (*made.helpers, *LAYOUTS)
    module = runtime.module_name(runtime.FILE, runtime.text())
    return "\n".join([
        f'"""The kernel that {name}.py launches on Hopper: the same plan as its plain kernels, in Gluon.',
        "",
        f"One warp loads tiles, and two groups of warps compute on them. {name}.py loads this file.",
        '"""', "", "import sys", "", "import triton.language as tl", IMPORTS,
        f'rt = sys.modules["{module}"]  # {name}.py has loaded it',
        f"{', '.join(used)} = {', '.join(f'rt.{w}' for w in used)}", "", "",
        module_lines(warp_specialise(warps), "@gluon.jit"),
    ])  # fmt: skip


def loading_line(name: str, text: str) -> str:
    """How NAME.py takes the kernel from the file of that text, and from no other."""
    return f"{name}_hopper = {runtime.beside(file_name(name), text)}.{name}_hopper"


def launch_lines(warps: Hopper) -> list[str]:
    """Where the whole axis is one part and nothing is pinned, the kernel for Hopper if it can."""
    rows, keys = (f'size["{a.name}"]' for a in (warps.row, warps.roles.fold))
    given = ["TABLES", f"{warps.name}_hopper", "args", "descriptors", rows, keys, "device", "layout", "copied"]
    call = wrap("hopper = None if pinned or parts > 1 else rt.hopper(", given, ")", 4)
    return [*call, "if hopper is not None:", "    return hopper"]
