"""A progress bar that leaves one line behind.

In a terminal it is tqdm's bar. In a notebook tqdm would leave a widget, which is dead on a static page, or
hundreds of refreshed lines; there one display is updated in place, and what is stored is its last state.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from tqdm import tqdm

__all__ = ["Bar"]


class Bar:
    """Show the steps done and a short text, refreshed a few times a second.

    Args:
        total: the number of steps.
        initial: steps that were done before.
        enabled: False shows nothing. In a terminal nothing is shown either where stderr is a file.
    """

    interval_s = 0.25

    def __init__(self, total: int, *, initial: int = 0, enabled: bool = True) -> None:
        self.total, self.initial, self.done, self.text = total, initial, initial, ""
        self._start = self._shown = time.monotonic()
        self._handle = _notebook_handle() if enabled else None
        self._bar: Any = None
        if enabled and self._handle is None:
            self._bar = tqdm(total=total, initial=initial, disable=None, dynamic_ncols=True)

    @property
    def due(self) -> bool:
        """Say whether it is time to call `show` again."""
        return time.monotonic() - self._shown > self.interval_s

    def show(self, done: int, text: str) -> None:
        """Show that `done` steps are done, with a text beside it."""
        self.done, self.text, self._shown = done, text, time.monotonic()
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(done - self._bar.n)
        elif self._handle is not None:
            elapsed = self._shown - self._start
            line = tqdm.format_meter(
                done, self.total, elapsed, initial=self.initial, ncols=100, postfix=text, ascii=False
            )
            self._handle.update({"text/plain": line}, raw=True)

    def close(self) -> None:
        """Leave the final line: the steps and the text, without times, which would differ in every run."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
        elif self._handle is not None:
            line = f"{self.done} of {self.total} steps" + (f": {self.text}" if self.text else "")
            self._handle.update({"text/plain": line}, raw=True)

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _notebook_handle() -> Any:
    """Return a display that can be updated in place, or None outside a notebook."""
    ipython = sys.modules.get("IPython")  # a notebook has imported it; nothing else needs it
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display({"text/plain": ""}, raw=True, display_id=True)
