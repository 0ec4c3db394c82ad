"""The part of a kernel file that chooses the tile and the warps of a row reduction."""

# Measured on an H200 for widths 256 to 262144. A row that is one tile is read once, and its elements wait in
# registers: 128 bytes of them a thread. The tiles of longer rows are smaller, for more programs on a multiprocessor,
# but not so small that the rows under way outgrow the caches before they are written.
ROWS = '''

def _row_blocks(block_m, block_n, rows, fold, batch, itemsize, units):
    """(rows, positions) of a tile: all of a row that registers hold, else a power of two that nearly divides it."""
    block_n = block_n or _row_tile(fold, max(1, rows * batch), itemsize, units)
    one = (2048 if REREADS else 4096) // (block_n * itemsize) if isinstance(block_n, int) and fold <= block_n else 1
    return _powers_of_two(block_m or min(_pad(rows, 1), max(1, one)), block_n, 1)


def _row_tile(fold, count, itemsize, units):
    whole, least = _pad(fold, 16), 1024
    if REREADS:
        held, most = 8192 * itemsize // STREAMS, 32768 if SHARED < 2 else 16384
        tile = max(8192, min(_pad(fold * itemsize * 3 // 32, 1), most))
    else:
        # Few rows under way have to be read in larger tiles to keep the memory busy.
        held, tile = least, max(least, min(_pad(2**23 // (count * itemsize), 1), 8192))
    if whole <= held and (whole - fold <= fold // 8 or whole <= least):
        return whole
    if whole > held and count < units:
        # Too few rows to fill the device: parts of four tiles each do.
        tile = min(tile, _pad(fold * count // (8 * units), least))
    while tile > least and -fold % tile > fold // 8:
        tile //= 2
    return min(tile, whole)


def _row_warps(block_m, block_n, fold, itemsize):
    """128 bytes a thread of a row that is one tile, else 32 elements, and 16 of wide tiles of several tensors.

    At most 1024 threads.
    """
    cells, most = block_m * block_n * STREAMS, 16 if torch.version.hip else 32
    warps = cells * itemsize // 4096 if fold <= block_n else cells // (512 if SHARED and block_n == 16384 else 1024)
    # Three tensors read at once make no power of two of a tile that is one.
    return 1 << (max(1, min(warps, most)).bit_length() - 1)
'''
