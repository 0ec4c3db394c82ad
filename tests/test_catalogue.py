"""Each row of the catalogue that researchers expect is an example, or is refused by name with what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.examples import NAMES, STAGED

from refold import Tensor, axes, fold, pipeline
from refold.errors import CycleError, FoldError, UsageError
from refold.report.listing import GROUPS, entries
from refold.report.loading import load
from refold.report.refused import BY_NAME, KINDS, refused
from refold.spec import Ref

# What a row is called, and the examples that are of it.
ROWS = {
    "logsumexp, softmax, log-softmax": "logsumexp softmax log_softmax masked_softmax gumbel_softmax patch_softmax",
    "attention": "attention attention_lse",
    "masks": """causal_attention causal_attention_bottom_right window_attention dilated_window global_window prefix_lm
        document block_diffusion tree_mask mask_tensor chunked_attention strided_attention transfusion_mask""",
    "biases": "alibi t5_bias graphormer softcap kerple rope_attention",
    "heads": "gqa mqa",
    "attention with naive softmax": "naive_attention",
    "attention sink, softmax1": "attention_sink softmax1_attention",
    "sigmoid, ReLU, HSTU attention": "sigmoid_attention relu_attention hstu_attention",
    "softpick": "softpick",
    "Evoformer row attention, triangle attention": "evoformer_row triangle_attention",
    "forgetting attention": "forgetting_attention",
    "cosine / QK-norm attention": "cosine_attention",
    "gated output attention": "gated_attention",
    "post-softmax dropout": "dropout_attention hash_dropout_attention",
    "argmax, routing, codes": "argmax switch_router load_balancing hard_attention soft_argmax vq_nearest",
    "Performer": "performer performer_g3",
    "norms": """layer_norm group_norm batch_norm rms_norm instance_norm weight_standardisation residual_rms_norm
        swiglu_rms_norm l2_normalise""",
    "skewness, kurtosis, covariance, correlation": "skewness kurtosis covariance correlation variance",
    "entropy, KL, Jensen-Shannon": "entropy kl jensen_shannon hellinger total_variation",
    "losses": """cross_entropy z_loss label_smoothing linear_cross_entropy focal_loss perplexity huber_loss
        log_cosh_loss info_nce nt_xent clip_loss siglip hinge_loss crammer_singer triplet_loss dice_loss
        distillation poly_loss supcon""",
    "circular mean": "circular_mean",
    "L2 norm with running scale, quantisation": "nrm2 absmax_quant tensor_quant",
    "DoRA's norm": "dora_norm dora_factored",
    "means": "weighted_mean power_mean geometric_mean harmonic_mean masked_mean attention_pooling",
    "SwiGLU epilogue": "swiglu_rms_norm",
    "retention over pairs": "retention",
    "Monarch attention": "monarch",
    "selected keys": "selected_keys",
    "padded batches": "padded_batch padding_mask",
    "the k largest": "k_max_pooling",
    "Sinkhorn": "sinkhorn",
    "backward of attention, by the queries": "attention_backward_q",
}
REFUSED = {
    "linear attention, RetNet, Lightning-2, GLA, HGRN, RWKV6, Mamba-2": """causal_linear_attention retnet lightning gla
        hgrn rwkv6 mamba2 ssd""",
    "DeltaNet, gated DeltaNet, KDA": "deltanet gated_deltanet kda",
    "Based": "based",
    "stick-breaking": "stick_breaking",
    "FlashRNN": "flash_rnn flashrnn lstm gru slstm",
    "entmax, sparsemax, selective attention, NSA, MoBA": "entmax sparsemax selective_attention nsa moba",
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_an_example(row: str) -> None:
    assert {*ROWS[row].split()} <= {*NAMES, *STAGED}


@pytest.mark.parametrize("name", [name for names in REFUSED.values() for name in names.split()])
def test_a_row_is_refused_by_its_name(name: str) -> None:
    kind = BY_NAME[name]
    for given in (name, name.upper(), name.replace("_", "-")):
        with pytest.raises(UsageError) as error:
            load(given)
        said = str(error.value)
        assert kind.why in said and said.endswith(kind.instead) and "did you mean" not in said


def test_what_is_refused_is_no_example_and_leads_to_some() -> None:
    assert not {*BY_NAME} & {*NAMES, *STAGED}
    for kind in KINDS:
        words = kind.instead.split("'refold derive ")[1:]
        assert {word.partition("'")[0] for word in words} <= {*NAMES}
    assert refused("attention") == ""


def test_there_are_as_many_as_promised() -> None:
    assert len(NAMES) + len(STAGED) >= 70


def test_every_example_names_a_group() -> None:
    assert {e.path.stem for e in entries() if e.group not in GROUPS} == set()
    assert {e.group for e in entries()} == {*GROUPS}
    order = [GROUPS.index(e.group) for e in entries()]
    assert order == sorted(order)


i, j = axes("i j")
x = Tensor("x", i, j)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda: fold.cumsum(x[i, j], over=j), "fold.cumsum is a scan, and there are no ordered folds yet: write "),
        (lambda: fold.sort(x[i, j], over=j), "fold.sort orders a whole row by its data, which takes several passes: "),
        (lambda: fold.median(x[i, j], over=j), "find the position or the threshold elsewhere and give it as a tensor"),
        (lambda: fold.mean(x[i, j], over=j), "there is no fold.mean: write fold.sum(x, over=j) / j.size"),
        (lambda: fold.frobnicate(x[i, j], over=j), "there is no fold.frobnicate: write it with sum, max, min,"),
    ],
)
def test_a_word_that_is_no_fold_says_what_to_write(write: Callable[[], object], said: str) -> None:
    with pytest.raises(FoldError) as error:
        write()
    assert said in str(error.value)
    assert not hasattr(fold, "cumsum") and hasattr(fold, "sum")


def test_a_recurrence_is_called_one() -> None:
    h = Ref("h", i, j)
    with pytest.raises(CycleError, match="h reads itself, which is a recurrence, and there are no scans yet: write it"):
        pipeline(h=(h[i, j - 1] / 2 + x[i, j])[i, j])


def test_a_file_that_writes_a_scan_says_so_at_its_line(tmp_path: Path) -> None:
    lines = ["from refold import Tensor, axes, fold, pipeline", 'i, j = axes("i j")', 'x = Tensor("x", i, j)',
             "SPEC = pipeline(y=fold.cumsum(x[i, j], over=j)[i, j])"]  # fmt: skip
    file = tmp_path / "running.py"
    file.write_text("\n".join(lines))
    with pytest.raises(UsageError, match=r"running.py:4: fold.cumsum is a scan"):
        load(str(file))
