"""From a proof to a Triton kernel that stands alone, with its test and its proof beside it."""
