"""No name is reserved: pipelines whose names are words of Python, Triton and the emitted text run."""

from __future__ import annotations

import json
import random

import pytest

from refold import Scalar, Spec, Tensor, axes, derive, emit, exp, fold, maximum, oo, pipeline, verify, where
from refold.algebra import Plan
from refold.emit.trial import RAN, tried
from refold.verify import Proof
from refold.verify.certificate import recheck

WORDS = """scale chunk stage held size out tl max min sum len first slot scores torch math triton lead part parts batch
BLOCK_M BLOCK_N SIZE_d INDEX MASKED pid i0 j0 lo hi m l acc p s alpha x_ptr size_j in_j dtype device reference live
schedule splits block_m step merge given inputs args float int range str list dict print type id object recheck n t q
k v d e"""


def written(names: list[str]) -> Spec:
    """A masked softmax with a temperature and a sink, over the names given."""
    row, column, depth, queries, keys, scalar, output, window = names
    i, j, d = axes(" ".join((row, column, depth)))
    q, k, c = Tensor(queries, i, d), Tensor(keys, j, d), Scalar(scalar, positive=True)
    s = where(j >= i - Scalar(window, integer=True, positive=True), fold.sum(q[i, d] * k[j, d], over=d) * c, -oo)
    m = maximum(fold.max(s, over=j), 0)
    p = exp(s - m)
    total = fold.sum(p, over=j) + exp(-m)
    return pipeline(**{output: (fold.sum(p * k[j, d], over=j) / total)[i, d]})


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 12))])
def test_any_name_will_do(seed: int) -> None:
    rng = random.Random(seed)
    words = rng.sample(WORDS.split(), len(WORDS.split()))
    plan = derive(written(words[:8]))
    assert isinstance(plan, Plan), str(plan)
    check(plan, words[8])


def check(plan: Plan, name: str) -> None:
    """Verified, emitted, run, and its proof file is one that a reader takes."""
    report = verify(plan)
    assert isinstance(report, Proof), str(report)
    kernel = tried(emit(report, name))
    assert RAN in kernel.source
    assert recheck.recheck(json.loads(kernel.document))["obligations"] == len(report.results)


@pytest.mark.parametrize(
    "name", ["torch", *(pytest.param(n, marks=pytest.mark.slow) for n in ("recheck", "sum", "len"))]
)
def test_a_pipeline_may_be_called_what_its_bundle_imports(name: str) -> None:
    """And its tensors what the public function calls its own arguments."""
    i, j = axes("i j")
    x = Tensor("schedule", i, j)[i, j]
    plan = derive(pipeline(out=fold.sum(x * x, over=j)[i]))
    assert isinstance(plan, Plan), str(plan)
    check(plan, name)


def test_what_a_kernel_makes_of_two_names_is_two_names() -> None:
    """The stride of `a_b` along `c` is not that of `a` along `b_c`, nor a workspace a tensor of the user's."""
    i, j, b, c = axes("i j b_c c")
    x, y, z = Tensor("a", i, b, j), Tensor("a_b", i, c, j), Tensor("part_m", j)
    s = x[i, b, j] * y[i, c, j] + z[j]
    p = exp(s - fold.max(s, over=j))
    plan = derive(pipeline(o=(fold.sum(p * z[j], over=j) / fold.sum(p, over=j))[i, b, c]))
    assert isinstance(plan, Plan), str(plan)
    check(plan, "f")
