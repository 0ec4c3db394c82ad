"""Weights that a sum multiplies its data by: rounded to float16 for a dot only where they have a bound."""

import importlib

import pytest

from refold import Spec, Tensor, axes, derive, emit, fold, pipeline, relu, sigmoid, verify
from refold.emit.weights import bounded_weights

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
s = fold.sum(q[i, d] * k[j, d], over=d)
SILU = pipeline(o=fold.sum(s * sigmoid(s) * v[j, e], over=j)[i, e])
LINEAR = pipeline(o=fold.sum(relu(s) * v[j, e], over=j)[i, e])


@pytest.mark.parametrize("name", ["attention", "causal_attention", "sigmoid_attention", "attention_sink", "gqa"])
def test_probabilities_are_bounded(name: str) -> None:
    assert bounded_weights(derive(importlib.import_module(f"refold.examples.{name}").SPEC))


@pytest.mark.parametrize("spec", [SILU, LINEAR], ids=["silu", "relu"])
def test_other_scores_are_not_and_stay_in_float32(spec: Spec) -> None:
    plan = derive(spec)
    assert not bounded_weights(plan)
    source = " ".join(emit(verify(plan), "scores").source.split())
    assert '"OPERAND": tl.float32 if q.dtype == torch.float16' in source
