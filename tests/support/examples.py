"""The examples by name, and which of them every run takes through every test: the others wait for `make slow`."""

from __future__ import annotations

from pathlib import Path

import refold.examples

FOLDER = Path(next(iter(refold.examples.__path__)))
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
STAGED = sorted(path.stem for path in (FOLDER / "stages").glob("[!_]*.py"))
# One of each kind of mask, of score, of state and of kernel.
FEW = frozenset({
    "alibi", "argmax", "attention", "attention_sink", "block_diffusion", "causal_attention",
    "causal_attention_bottom_right", "circular_mean", "covariance", "cross_entropy", "decode", "dilated_window",
    "document", "entropy", "global_window", "gqa", "gqa_decode", "kl", "kurtosis", "layer_norm", "log_softmax",
    "logsumexp", "mask_tensor", "naive_attention", "paged_decode", "performer_g3", "prefix_lm", "rms_norm",
    "sigmoid_attention", "softcap", "softmax", "window_attention", "z_loss", "batch_norm", "cauchy_mean",
    "clip_loss", "group_norm", "patch_softmax", "sinkhorn",
})  # fmt: skip
OTHERS = [name for name in (*NAMES, *STAGED) if name not in FEW]
# Tests of well under half a second an example, which every run asks of all of them.
CHEAP = frozenset(
    {
        "test_examples.py::test_is_an_example",
        "test_examples.py::test_derives",
        "test_examples.py::test_imports_public_names_only",
        "test_derive.py::test_text",
        "test_evaluate.py::test_example",
        "test_stages.py::test_text",
        "test_golden_kernels.py::test_the_kernel_file_is_the_golden_one",
    }
)


def waits(test: str, example: object) -> bool:
    """Whether a test (its file and its name) of an example waits for `make slow`."""
    return example in OTHERS and test not in CHEAP
