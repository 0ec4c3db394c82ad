"""Times an emitted kernel beside what a user would pick instead; what runs on the GPU needs torch and triton alone."""

from refold.measure.case import Attention, Call, Case

__all__ = ["Attention", "Call", "Case"]
