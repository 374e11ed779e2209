"""Drawing from an autoregressive model: one position after another, each from its conditional."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dgm.autoregressive.base import Autoregressive
from dgm.bar import Bar

__all__ = ["draw_level", "sample", "sample_steps"]


def draw_level(logits: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
    """Invert the distribution function: the first level whose cumulative probability exceeds u.

    Args:
        logits: (B, L).
        u: (B,), uniform on [0, 1).
        temperature: divides the logits: below 1 sharper, 1 as they are, above 1 flatter.
    Returns:
        (B,) int64, levels.
    Raises:
        ValueError: a temperature that is not positive.

    Equation: ar-temperature
    Test: tests/equations/test_autoregressive.py::test_levels_are_drawn_with_the_powers_of_the_probabilities
    """
    if temperature <= 0:
        raise ValueError(
            f"temperature must be positive, got {temperature}; use logits.argmax(1) for its limit 0"
        )
    cumulative = (logits / temperature).softmax(1).cumsum(1)  # (B, L)
    # Rounding may leave the last entry below u; that level is the last one all the same.
    return (cumulative <= u[:, None]).sum(1).clamp(max=logits.shape[1] - 1)


@torch.no_grad()
def sample_steps(
    model: Autoregressive,
    n: int,
    y: Tensor | None = None,
    *,
    given: Tensor | None = None,
    known: int = 0,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """Draw n samples position by position, and yield them after every position.

    Each position costs one pass of the network over the whole image, or what `logits_at` makes of it.

    Args:
        model: in eval mode.
        n: number of samples.
        y: (n,) labels, for a model with classes.
        given: (n, *shape), images whose first `known` positions (raster order) are kept.
        known: how many positions are kept.
        temperature: divides the logits.
        generator: of the draws, one uniform number for each sample and position.
    Yields:
        (n, *shape) int64, the same tensor filled further: positions that are not drawn yet hold 0. Clone what
        you keep.
    Raises:
        ValueError: a `given` of another shape, or a `known` outside 0 .. D, or positive without `given`.
    """
    x = start(model, n, given, known)
    device = x.device
    for position in range(known, model.dims):
        logits = model.logits_at(x, position, y)  # (n, L)
        u = torch.rand(n, generator=generator, device=generator.device if generator else device).to(device)
        x.view(n, -1)[:, position] = draw_level(logits, u, temperature)
        yield x


def sample(
    model: Autoregressive,
    n: int,
    y: Tensor | None = None,
    *,
    given: Tensor | None = None,
    known: int = 0,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Tensor:
    """Draw n samples position by position; each costs a `logits_at`, as a rule a pass over the image.

    Args:
        model: in eval mode.
        n: number of samples.
        y: (n,) labels, for a model with classes.
        given: (n, *shape), images whose first `known` positions (raster order) are kept.
        known: how many positions are kept.
        temperature: divides the logits.
        generator: of the draws, one uniform number for each sample and position.
        progress: show a bar over the positions.
    Returns:
        (n, *shape) int64 levels.
    Raises:
        ValueError: as `sample_steps`.
    """
    x = start(model, n, given, known)
    steps = sample_steps(model, n, y, given=given, known=known, temperature=temperature, generator=generator)
    return exhaust(steps, x, model.dims - known, progress)


def exhaust(steps: Iterator[Tensor], x: Tensor, total: int, progress: bool) -> Tensor:
    """Run a sampler to its end under a bar; what it yielded last, or x where it yields nothing."""
    with Bar(total, enabled=progress) as bar:
        for done, latest in enumerate(steps, start=1):
            x = latest
            if bar.due or done == total:
                bar.show(done, "positions drawn")
    return x


def start(model: Autoregressive, n: int, given: Tensor | None, known: int) -> Tensor:
    """(n, *shape) zeros, with the first `known` positions of `given`."""
    device = next(model.parameters()).device
    x = torch.zeros(n, *model.shape, dtype=torch.int64, device=device)
    if not 0 <= known <= model.dims:
        raise ValueError(f"known must lie in 0 .. {model.dims}, got {known}")
    if known and given is None:
        raise ValueError(f"known={known} positions of nothing: pass given (n, *shape)")
    if given is not None:
        if tuple(given.shape) != tuple(x.shape):
            raise ValueError(f"given must have shape {tuple(x.shape)}, got {tuple(given.shape)}")
        x.view(n, -1)[:, :known] = given.to(device).long().flatten(1)[:, :known]
    return x
