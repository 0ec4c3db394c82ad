"""Pipelines of papers that refold does not take, by their names: what they are, and what to do instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of pipeline that is refused: why, and what a user can do today."""

    why: str
    instead: str


SCAN = Kind(
    "is a scan: a position reads the state that all before it left, in their order, and refold has no ordered folds "
    "yet",
    "write it over pairs of positions where lengths allow that, as 'refold derive retention' does, or compute the "
    "running state elsewhere and give it as a tensor, as 'refold derive forgetting_attention' does",
)
RECURRENCE = Kind(
    "iterates: each state is a non-linear function of the one before it, so that no two parts of the sequence can be "
    "joined",
    "keep the loop over time, and write what one step computes as a pipeline",
)
THRESHOLD = Kind(
    "needs a threshold that makes the weights of a row add up to 1, which sorting or bisection finds in several passes",
    "find the threshold elsewhere and give it as a tensor: sum relu(s - tau) v is one pass, as 'refold derive "
    "relu_attention' shows",
)
SELECTION = Kind(
    "selects keys by the data and then attends to them: what is read in the second pass depends on the first",
    "select elsewhere and give the choice as a tensor of integers: attention to what was chosen is one pass, as "
    "'refold derive selected_keys' shows",
)
KINDS = {
    SCAN: """cumulative_sum causal_linear_attention retnet lightning gla hgrn rwkv rwkv6 mamba mamba2 ssd based
        delta_net deltanet gated_delta_net gated_deltanet kda stick_breaking""",
    RECURRENCE: "flash_rnn flashrnn rnn lstm gru slstm",
    THRESHOLD: "entmax sparsemax",
    SELECTION: "selective_attention nsa native_sparse_attention moba",
}
BY_NAME = {name: kind for kind, names in KINDS.items() for name in names.split()}


def refused(name: str) -> str:
    """The sentences for a name; empty where it is none of these."""
    kind = BY_NAME.get(name.replace("-", "_").lower())
    return f"{name} {kind.why}: {kind.instead}" if kind is not None else ""
