"""Small numbers for the arguments of a kernel, at which the hypotheses of a question are first seen to hold together.

With a number for all that is divided by, and for all lengths and strides, what is left is linear: programs, lanes and
iterations, among few. A solver finds them at once or sees that there are none, however busy its machine is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

# What is divided by, and what everything else is: with loops that run over masked and over mask-free tiles.
ALIKE = ((1, 8), (2, 9), (3, 13), (1, 1))
# So many choices are tried beyond these, each with its own numbers.
CHOICES, DIVISOR, LENGTH = 12, 5, 16


def trials(divisors: tuple[Any, ...], others: tuple[Any, ...]) -> Iterator[list[Any]]:
    """Equations that give all of them numbers: alike at first, since lengths may have to be; then each its own."""
    for divisor, other in ALIKE if divisors or others else ():
        yield [*(d == divisor for d in divisors), *(v == other for v in others)]
    for n in range(CHOICES if divisors or others else 0):
        chance = random.Random(n)
        most = chance.randint(2, LENGTH)
        own = [d == chance.randint(1, DIVISOR) for d in divisors]
        yield own + [v == chance.choice((most, chance.randint(1, most))) for v in others]
