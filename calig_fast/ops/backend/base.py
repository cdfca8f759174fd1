"""A backend: a kind of kernel that operations may have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..._utils.arguments import function, integer, text

MOST = 2**31  # of a priority, either way


@dataclass(frozen=True)
class Backend:
    """One kind of kernel.

    Args:
        name: the value of `backend=`.
        priority: "auto" asks the backends from the highest priority down.
        available: the reason why this machine cannot run the backend whatever the operation, or None.
        module: maps an operation's package, with the operation's name as last part, to the module of its kernel;
            None for the file named as the backend in that package. The module has a function named as the operation,
            and `supports(*tensors)`: the reason why it cannot take these tensors, or None.
        chosen: False keeps "auto" from taking it.
    """

    name: str
    priority: int
    available: Callable[[], str | None]
    module: Callable[[str], str | None] | None = None
    chosen: Callable[[], bool] = lambda: True

    def __post_init__(self) -> None:
        text("name", self.name, "the name of the backend")
        object.__setattr__(self, "priority", integer("priority", self.priority, -MOST, MOST))
        function("available", self.available, 0, "a function without arguments")
        function("chosen", self.chosen, 0, "a function without arguments")
        if self.module is not None:
            function("module", self.module, 1, "None or a function of the package of an operation")
