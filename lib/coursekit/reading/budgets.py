"""How long a chapter may run: `budget(cpu=..., full=...)` picks one of two values.

The environment variable DGM_BUDGET decides. `cpu` is the default and what continuous integration runs:
embedded data, no download, no GPU. `full` is for those who have a GPU and the time.
"""

import os
from typing import TypeVar

T = TypeVar("T")

VARIABLE = "DGM_BUDGET"
NAMES = ("cpu", "full")


def budget_name() -> str:
    """The budget in force, `"cpu"` or `"full"`.

    Returns:
        The value of the environment variable DGM_BUDGET, `"cpu"` when it is unset or empty.

    Raises:
        ValueError: the variable holds anything else.
    """
    name = os.environ.get(VARIABLE, "") or "cpu"
    if name not in NAMES:
        expected = " or ".join(repr(n) for n in NAMES)
        raise ValueError(
            f"{VARIABLE} must be {expected}, got {name!r}; set it before the kernel starts, or unset it"
        )
    return name


def budget(*, cpu: T, full: T) -> T:
    """Pick the value for the budget in force.

    Args:
        cpu: what a laptop without a GPU and continuous integration run.
        full: what a machine with a GPU runs.

    Returns:
        `cpu` or `full`, by the environment variable DGM_BUDGET (`cpu` when unset).

    Raises:
        ValueError: DGM_BUDGET is neither `cpu` nor `full`.
    """
    return cpu if budget_name() == "cpu" else full
