"""The first position of the largest value, and the value: at = argmax x, top = max x."""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "selection"

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(at=fold.argmax(x[i, j], over=j)[i], top=fold.max(x[i, j], over=j)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
