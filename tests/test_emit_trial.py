"""Every kernel runs once before it is handed out: what its header says, and that a wrong one is not handed out."""

import dataclasses
import importlib.util
from typing import Any

import pytest
from emit_cases import emitted, kernel_of, plan_of

from refold.algebra import Plan, derive
from refold.algebra.roles import assign
from refold.emit import trial, tried
from refold.emit.prooftest import same_of
from refold.errors import EmitError
from refold.spec import Scalar, Tensor, axes, exp, fold, pipeline


@pytest.mark.parametrize("name", ["layer_norm", "causal", "cross_entropy"])
def test_a_kernel_runs_once_and_says_so(name: str) -> None:
    kernel = kernel_of(name)
    assert kernel.note == "It has not been run yet." and kernel.note in kernel.source
    once = tried(kernel)
    assert once.note.startswith("It ran once in Triton's interpreter, at |")
    assert once.note.endswith(", and gave what the pipeline says.")
    # The sentence, and no more than the sentence, is another; the text is still one that Python reads.
    assert once.source == kernel.source.replace(kernel.note, once.note)
    compile(once.source, "kernel", "exec")


def test_a_pipeline_over_words_of_the_reference_runs() -> None:
    row, column = axes("dtype math")
    size, lead = Tensor("size", row, column), Scalar("lead")
    shifted = exp(size[row, column] - fold.max(size[row, column], over=column))
    plan = derive(pipeline(hidden=fold.sum(shifted * lead * (column - row), over=column)[row]))
    assert isinstance(plan, Plan)
    assert tried(emitted(plan, "k_words")).note.startswith("It ran once")


def test_axes_that_have_to_be_equally_long_are() -> None:
    """The positive k[i] of a contrastive loss over keys j, and q[j] of what is over i: both ran at two lengths."""
    i, j = axes("i j")
    q, k = Tensor("q", i), Tensor("k", j)
    for spec in (
        pipeline(o=(fold.logsumexp(q[i] * k[j], over=j) - q[i] * k[i])[i]),
        pipeline(o=fold.sum(exp(fold.sum(q[j] - q[i], over=j)), over=i)),
    ):
        plan = derive(spec)
        assert isinstance(plan, Plan)
        assert tried(emitted(plan, "k_equal")).note.startswith("It ran once")
        roles = assign(plan)
        assert same_of(spec, roles) == {"i" if roles.fold.name == "j" else "j": roles.fold.name}


def test_a_kernel_that_is_wrong_is_not_handed_out() -> None:
    kernel = kernel_of("causal")
    wrong = kernel.source.replace("j[None, :] <= i[:, None]", "j[None, :] < i[:, None]")
    assert wrong != kernel.source
    with pytest.raises(EmitError, match=r"is not what the pipeline says at .*: o is .* off, and .* is allowed"):
        tried(dataclasses.replace(kernel, source=wrong))


def test_a_plan_that_is_wrong_is_not_handed_out() -> None:
    plan = plan_of("entropy")
    finish = tuple(dataclasses.replace(f, expr=f.expr * 2) for f in plan.finish)
    with pytest.raises(EmitError, match="do not use the kernel"):
        tried(emitted(dataclasses.replace(plan, finish=finish), "k_wrong"))


def test_a_kernel_that_does_not_run_is_not_handed_out() -> None:
    kernel = kernel_of("logsumexp")
    broken = kernel.source.replace("tl.log(", "tl.logarithm(")
    with pytest.raises(EmitError, match=r"(?s)does not run in Triton's interpreter: .*logarithm.*report this"):
        tried(dataclasses.replace(kernel, source=broken))


def test_where_triton_is_missing_the_header_says_that_nothing_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(name: str, *rest: Any) -> Any:
        return None if name == "triton" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    once = tried(kernel_of("softmax"))
    assert once.note == "It has not been run: no triton here." and once.note in once.source


def test_a_kernel_that_takes_too_long_has_not_been_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0.01)
    assert tried(kernel_of("softmax")).note.startswith("It has not been run to its end: ")
