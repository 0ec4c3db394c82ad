"""The torch operator of a kernel file: a saved program finds the kernels that it was saved with, or none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from emit_cases import kernel_of

from refold.emit import runtime

# Two kernel files of one name, as two runs of `refold emit` may leave them; and one more whose text was changed.
LOAD = """
import importlib.util, sys
import torch

def load(path):
    found = importlib.util.spec_from_file_location("fused", path)
    module = importlib.util.module_from_spec(found)
    sys.modules["fused"] = module
    found.loader.exec_module(module)
    return module.k_logsumexp

class Program(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)

x = torch.arange(12.0).reshape(3, 4) / 4
modules = {path: load(path) for path in sys.argv[2:]}
"""
SAVE = """
torch.export.save(torch.export.export(Program(modules[sys.argv[-1]]), (x,)), sys.argv[1])
"""
RUN = """
print(float((torch.export.load(sys.argv[1]).module()(x) - x.logsumexp(-1)).abs().max()))
"""


def python(code: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TRITON_INTERPRET": "1"})


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A program saved with the kernel of logsumexp, its file, and one of the same names that gives something else."""
    folder = tmp_path_factory.mktemp("operators")
    right, other, program = folder / "right.py", folder / "other.py", folder / "program.pt2"
    source = kernel_of("logsumexp").source
    right.write_text(source)
    (folder / runtime.FILE).write_text(runtime.text())
    other.write_text(source.replace("tl.log(", "tl.exp("))
    assert right.read_text() != other.read_text()
    done = python(LOAD + SAVE, program, other, right)
    assert done.returncode == 0, done.stderr[-2000:]
    return program, right, other


def test_a_saved_program_runs_its_own_kernels_in_whatever_order_files_are_loaded(
    saved: tuple[Path, Path, Path],
) -> None:
    program, right, other = saved
    done = python(LOAD + RUN, program, right, other)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.splitlines()[-1]) < 1e-5


def test_a_saved_program_runs_no_other_kernels(saved: tuple[Path, Path, Path]) -> None:
    program, _, other = saved
    done = python(LOAD + RUN, program, other)
    assert done.returncode != 0 and "k_logsumexp_" in done.stderr
