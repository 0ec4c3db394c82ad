"""The parts of a kernel file for Hopper that are the same for every plan, and which calls take that kernel."""

GLUON = """from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared, mbarrier, tma, warpgroup_mma, warpgroup_mma_wait,
)
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor as HopperDescriptor
"""

FIXED = """
# Called async_load since Triton 3.9.
_copy = tma.async_load if hasattr(tma, "async_load") else tma.async_copy_global_to_shared


@gluon.constexpr_function
def _tile(COLUMNS):
    # How the four warps of a group hold a tile of 64 rows.
    return gl.NVMMADistributedLayout(version=[3, 0], warps_per_cta=[4, 1], instr_shape=[16, COLUMNS, 16])


@gluon.constexpr_function
def _operand_of(COLUMNS):
    # How they hold the left operand of a product of so many columns.
    return gl.DotOperandLayout(operand_index=0, parent=_tile(COLUMNS), k_width=2)


@gluon.jit
def _as_rows(x, COLUMNS: tl.constexpr):
    # A value a row, as a tile of so many columns has its rows.
    return gl.convert_layout(x, gl.SliceLayout(1, _tile(COLUMNS)))
"""

# The choice of this kernel; BLOCK_M is one group's rows.
CHOICE = '''
def _hopper(args, boxes, rows, keys, works, device):
    """Programs, arguments and boxes of the kernel for Hopper; None where a length, a layout or the device is not.

    The lengths are those from which it was faster on an H200: each piece of work begins and ends by itself.
    """
    if not boxes or INTERPRETED or torch.cuda.get_device_capability(device)[0] != 9:
        return None
    if rows < 128 or keys < (8192 if COSTLY else 2048 if RISES else 1024):
        return None
    args, found = args | {{"BLOCK_M": 64, "BLOCK_N": 128, "SIZE_ring": 2}}, {{}}
    for n, blocks in TILES.items():
        _, shape, strides, _ = boxes[n]
        tile = [1] * (len(shape) - 2) + [args[b] for b in blocks]
        # Of other widths nothing was measured.
        if tile[-1] not in (64, 128):
            return None
        layout = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=len(tile))
        found[n] = HopperDescriptor, shape, strides, tile, layout
    # Long pieces that differ are begun by whoever is free; of others a program has several, and loads ahead.
    return works if RISES and keys >= 8192 else min(works, _units(device)), args, found
'''
