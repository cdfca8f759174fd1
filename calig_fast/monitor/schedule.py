"""Looks that a run gets in any case, spread evenly over its steps."""

from __future__ import annotations

from .._utils.arguments import integer

MOST = 1_000_000


class Schedule:
    """A number of looks in a number of steps, the first and the last step among them.

    Look i of n is due at step 1 + ceil(i (S - 1) / (n - 1)) of S, i = 0..n-1; a single one at the last step.

    Args:
        looks: how many.
        steps: of the run, or None until `expect` tells.
    """

    def __init__(self, looks: int, steps: int | None = None) -> None:
        self._looks = integer("looks", looks, 1, MOST, what="looks as an int")
        self._begun: int | None = None
        self._passed = 0
        self._steps: int | None = None
        if steps is not None:
            self.expect(steps)

    def expect(self, steps: int) -> None:
        """Set the number of steps of the run.

        Raises:
            TypeError, ValueError: no int of at least 1.
        """
        self._steps = integer("steps", steps, 1, what="the steps of the run as an int")

    def due(self, step: int) -> bool:
        """Return True where a look is due that no earlier step has had.

        Args:
            step: of the training; the first that comes is the first of the run.

        Raises:
            ValueError: the number of steps of the run is not known.
        """
        if self._steps is None:
            raise ValueError(
                "looks: looks are spread over the steps of the run, and their number is not known; pass steps=, or "
                "step the monitor by its callback for a Trainer"
            )
        self._begun = step if self._begun is None else self._begun
        done, last = step - self._begun, self._steps - 1
        if self._looks == 1 or last == 0:
            passed = int(done >= last)
        else:
            passed = min(self._looks, 1 + done * (self._looks - 1) // last)
        is_due, self._passed = passed > self._passed, max(passed, self._passed)
        return is_due
