"""The operators of the speed table: Neptune's ten attentions and five row reductions, with sizes and scalars."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from refold.measure.case import Case

ROOT = Path(__file__).parents[1]
LENGTHS, WIDTHS = tuple(2**n for n in range(8, 16)), (1024, 4096, 16384, 32768, 65536, 131072)
DIM = 128
# Of a row reduction: so many that how a kernel begins and ends is a small part, as in the copy that it is held against.
ELEMENTS = 1 << 28


@dataclass(frozen=True, slots=True)
class Operator:
    """One line of the table. `heads` are query heads and, where they are grouped, key heads."""

    name: str
    title: str
    path: str
    kind: str
    heads: tuple[int, ...] = (32,)
    scalars: dict[str, float | int] = field(default_factory=dict)
    mask: str = ""

    def case(self, case: Case) -> Case:
        """The case of its spec at the sizes of the table."""
        if self.kind == "rows":
            scalars = case.scalars | self.scalars
            return replace(case, lengths=WIDTHS, dtype="bfloat16", scalars=scalars, budget=ELEMENTS)
        sizes = case.sizes | dict(zip((a for a in ("h", "g") if a in case.sizes), self.heads, strict=False))
        return replace(case, sizes=sizes, lengths=LENGTHS, dtype="float16", scalars=case.scalars | self.scalars)

    def flops(self, length: int) -> float:
        """Neptune's count: 4 Hq Sq Sk (D + 1), half of it for causal, 2 Hq S min(S, W) (D + 1) within a window."""
        rows = length if self.kind == "prefill" else 1
        whole = 4.0 * self.heads[0] * rows * length * (DIM + 1)
        if self.mask == "window":
            return whole / 2 * min(length, self.scalars["window"]) / length
        return whole / 2 if self.mask == "causal" else whole


CAP, WINDOW, EPS = {"cap": 50.0}, {"cap": 50.0, "window": 4096}, {"eps": 1e-6}
OPERATORS = (
    Operator("attention", "prefill global 32/32", "examples/attention.py", "prefill"),
    Operator("causal_attention", "prefill causal 32/32", "examples/causal_attention.py", "prefill", mask="causal"),
    Operator("prefill_gqa", "prefill GQA causal 64/8", "bench/specs/prefill_gqa.py", "prefill", (64, 8), mask="causal"),
    Operator("alibi", "prefill ALiBi causal 32/32", "examples/alibi.py", "prefill", mask="causal"),
    Operator("prefill_softcap", "prefill softcap causal 32/16", "bench/specs/prefill_softcap.py", "prefill", (32, 16),
             CAP, "causal"),
    Operator("prefill_window", "prefill window 4096, softcap 32/8", "bench/specs/prefill_window.py", "prefill", (32, 8),
             WINDOW, "window"),
    Operator("decode", "decode 32/32", "examples/decode.py", "decode"),
    Operator("decode_alibi", "decode ALiBi 32/32", "bench/specs/decode_alibi.py", "decode",
             scalars={"position": 16384}),
    Operator("gqa_decode", "decode GQA 64/8", "examples/gqa_decode.py", "decode", (64, 8)),
    Operator("decode_softcap", "decode softcap 32/16", "bench/specs/decode_softcap.py", "decode", (32, 16), CAP),
    Operator("softmax", "softmax", "examples/softmax.py", "rows"),
    Operator("rms_norm", "RMSNorm", "examples/rms_norm.py", "rows", scalars=EPS),
    Operator("layer_norm", "LayerNorm", "examples/layer_norm.py", "rows", scalars=EPS),
    Operator("logsumexp", "logsumexp", "examples/logsumexp.py", "rows"),
    Operator("cross_entropy", "cross-entropy", "examples/cross_entropy.py", "rows"),
)  # fmt: skip
