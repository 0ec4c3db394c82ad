"""What a pipeline is: the words a user writes with, the frozen `Spec`, and its value as the oracle."""

from refold.spec.heads import Fold, Index, Param, Read, Size, TensorName, Where
from refold.spec.pipeline import Output, Spec, pipeline
from refold.spec.value import (
    Axis,
    Predicate,
    Ref,
    Scalar,
    Tensor,
    Value,
    absolute,
    axes,
    cos,
    erf,
    exp,
    finite_or,
    fold,
    log,
    maximum,
    minimum,
    oo,
    relu,
    sigmoid,
    sin,
    sqrt,
    tanh,
    where,
)

__all__ = [
    "Axis", "Fold", "Index", "Output", "Param", "Predicate", "Read", "Ref", "Scalar", "Size", "Spec", "Tensor",
    "TensorName", "Value", "Where", "absolute", "axes", "cos", "erf", "exp", "finite_or", "fold", "log", "maximum",
    "minimum", "oo", "pipeline", "relu", "sigmoid", "sin", "sqrt", "tanh", "where",
]  # fmt: skip
