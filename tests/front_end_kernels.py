"""Small kernels for the tests of what is read from Triton's front end; `front_end_cases.py` writes them as data."""

import triton
import triton.language as tl


@triton.jit
def affine(x_ptr, y_ptr, stride, scale, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i * stride, mask=i < n, other=0.0)
    y = tl.maximum(x * scale + 1.0, x * -1.0)
    tl.store(y_ptr + i, y.to(y_ptr.dtype.element_ty), mask=i < n)


@triton.jit
def negated(x_ptr, y_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(y_ptr + i, 1.0 / -tl.load(x_ptr + i))


@triton.jit
def softmax_row(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    j = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + j, mask=j < n, other=-float("inf"))
    p = tl.exp2((x - tl.max(x, 0)) * 1.4426950408889634)
    tl.store(y_ptr + row * n + j, p / tl.sum(p, 0), mask=j < n)


@triton.jit
def logsumexp_row(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    m = -float("inf")
    l = 0.0
    place = x_ptr + row * n + tl.arange(0, BLOCK)
    for j0 in range(0, n, BLOCK):
        x = tl.load(place, mask=j0 + tl.arange(0, BLOCK) < n, other=-float("inf"))
        m_new = tl.maximum(m, tl.max(x, 0))
        l = l * tl.exp(m - m_new) + tl.sum(tl.exp(x - m_new), 0)
        m = m_new
        place += BLOCK
    tl.store(y_ptr + row, m + tl.log(l))


@triton.jit
def quotients(x_ptr, y_ptr, c, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK) - n
    at = c * (i // c) + i % c
    tl.store(y_ptr + i, tl.load(x_ptr + at))


@triton.jit
def quotients_unparenthesised(x_ptr, y_ptr, c, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK) - n
    at = c * i // c + i % c
    tl.store(y_ptr + i, tl.load(x_ptr + at))


@triton.jit
def _later(a, i, b, k):
    more = b > a
    return tl.where(more, b, a), tl.where(more, k, i)


@triton.jit
def folds(x_ptr, y_ptr, at_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i)
    top, at = tl.reduce((x, i), 0, _later)
    tl.store(y_ptr + i, tl.cumsum(x, 0) - top)
    tl.store(at_ptr, at)


@triton.jit
def branches(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i)
    if tl.program_id(0) < n:
        x = tl.sqrt(x)
        tl.store(y_ptr + i, x)
    else:
        x = x * x
    tl.store(y_ptr + BLOCK + i, x)


@triton.jit
def products(a_ptr, b_ptr, y_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    a = tl.load(a_ptr + i[:, None] * BLOCK + i[None, :])
    b = tl.load(b_ptr + i[:, None] * BLOCK + i[None, :])
    y = tl.dot(a, tl.trans(b.to(tl.float16)), input_precision="ieee")
    tl.atomic_add(y_ptr + i, tl.sum(y, 1).to(tl.float32))


@triton.jit
def fetches(x_ptr, y_ptr, row, BLOCK: tl.constexpr):
    tl.extra.cuda.gdc_wait()
    i = tl.arange(0, BLOCK)
    k = tl.arange(0, 2)
    x = x_ptr.load([row.to(tl.int32), row.to(tl.int32) * BLOCK, 0]).reshape(BLOCK, 2)
    tl.store(y_ptr + i[:, None] * 2 + k[None, :], x.to(tl.float32))


@triton.jit
def waits(x_ptr, BLOCK: tl.constexpr):
    while tl.atomic_cas(x_ptr, 0, 1) == 1:
        pass
