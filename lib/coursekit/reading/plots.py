"""One look for all figures: style, palette, and the three plots that many chapters need."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import matplotlib as mpl
import numpy as np
import torch
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.reading.figures import CSS_DPI

# Okabe & Ito's colours, told apart with every common form of colour blindness; the pale yellow comes last
# because it is hard to see on white.
PALETTE: dict[str, str] = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "black": "#000000",
    "yellow": "#F0E442",
}
# Perceptually uniform, and readable in grey.
SEQUENTIAL = "viridis"
# The values of black and white in dgm's images.
HOUSE_RANGE = (-1.0, 1.0)


def use_style() -> None:
    """Set the course's matplotlib style: palette, sizes for a page 7 inches wide, white background.

    Two calls are the same as one; a chapter calls it once at its start.
    """
    mpl.rcParams.update(
        {
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.prop_cycle": cycler(color=list(PALETTE.values())),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "figure.constrained_layout.use": True,
            "figure.dpi": CSS_DPI,
            "figure.facecolor": "white",
            "figure.figsize": (7.0, 3.4),
            "font.family": "DejaVu Sans",
            "font.size": 10,
            "grid.alpha": 0.25,
            "image.cmap": SEQUENTIAL,
            "image.interpolation": "nearest",
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "savefig.bbox": None,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
        }
    )


@overload
def image_grid(
    x: Tensor,
    *,
    columns: int | None = ...,
    ax: None = ...,
    title: str | None = ...,
    value_range: tuple[float, float] = ...,
    row_labels: Sequence[str] | None = ...,
    column_labels: Sequence[str] | None = ...,
) -> Figure: ...


@overload
def image_grid(
    x: Tensor,
    *,
    columns: int | None = ...,
    ax: Axes,
    title: str | None = ...,
    value_range: tuple[float, float] = ...,
    row_labels: Sequence[str] | None = ...,
    column_labels: Sequence[str] | None = ...,
) -> Axes: ...


def image_grid(
    x: Tensor,
    *,
    columns: int | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    value_range: tuple[float, float] = HOUSE_RANGE,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
) -> Figure | Axes:
    """Draw a batch of images as a grid, row by row.

    Args:
        x: images (N, C, H, W), C = 1 (grey) or 3 (RGB).
        columns: images in a row; about square when left out.
        ax: axes to draw in; a new figure when left out.
        title: a line above the grid.
        value_range: the values of black and white; what lies outside is drawn black or white.
        row_labels: a text left of each row.
        column_labels: a text above each column.

    Returns:
        The new figure, or `ax` when it was given.

    Raises:
        ValueError: wrong shape, integers without `value_range`, a range whose ends are equal, or a number of
            labels that does not fit.
    """
    images = _unit_images(x, value_range)  # (N, C, H, W) in [0, 1]
    n, _, height, width = images.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    gap = 1
    # White gaps: images on a canvas of ones.
    canvas = torch.ones(images.shape[1], rows * (height + gap) - gap, columns * (width + gap) - gap)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[:, top : top + height, left : left + width] = image
    made = None
    if ax is None:
        made, ax = plt.subplots(
            figsize=_grid_size(rows, columns, height / width, title, row_labels, column_labels)
        )
        ax.set_anchor("W")  # the layout makes room for labels as if the axes began at the left
    # (H, W, C): matplotlib wants the channels last, and three of them.
    ax.imshow(canvas.expand(3, -1, -1).permute(1, 2, 0).numpy(), vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    _label(ax.set_yticks, row_labels, rows, height, gap, "row_labels")
    _label(ax.set_xticks, column_labels, columns, width, gap, "column_labels")
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    if title:
        ax.set_title(title)
    return ax if made is None else made


def density_plot(
    log_prob: Callable[[Tensor], Tensor],
    bounds: tuple[float, float, float, float],
    ax: Axes,
    *,
    points: int = 160,
    title: str | None = None,
) -> Axes:
    """Draw exp(log_prob) of a density in the plane as colours, from 0 (dark) to its largest value.

    Args:
        log_prob: (B, 2) -> (B,), nats.
        bounds: left, right, bottom, top.
        ax: axes to draw in.
        points: grid points along each side.
        title: a line above the axes.

    Returns:
        `ax`.
    """
    left, right, bottom, top = bounds
    xs = torch.linspace(left, right, points)
    ys = torch.linspace(bottom, top, points)
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)  # (points, points, 2): row = y
    with torch.no_grad():
        density = log_prob(grid.reshape(-1, 2)).exp().reshape(points, points)
    ax.imshow(
        density.cpu().numpy(),
        origin="lower",
        extent=bounds,
        cmap=SEQUENTIAL,
        vmin=0,
        interpolation="bilinear",
        aspect="equal",
    )
    ax.set(xlabel="$x_1$", ylabel="$x_2$", xlim=(left, right), ylim=(bottom, top))
    ax.grid(False)
    if title:
        ax.set_title(title)
    return ax


def loss_plot(
    history: Any, ax: Axes | None = None, *, name: str = "loss", unit: str = "nats", smooth: int = 1
) -> Figure | Axes:
    """Draw a training curve, and the validation curve where the history has one.

    Args:
        history: what `dgm.train.fit` returns: `.steps`, `history[name]`, `.valid_steps`, `.valid`.
        ax: axes to draw in; a new figure when left out.
        name: which of the recorded scalars.
        unit: its unit, for the axis.
        smooth: steps averaged for one point of the training curve.

    Returns:
        The new figure, or `ax` when it was given.

    Raises:
        ValueError: `smooth` is below 1 or longer than the history.
    """
    steps, values = np.asarray(history.steps), np.asarray(history[name], dtype=float)
    if not 1 <= smooth <= len(values):
        raise ValueError(f"smooth must be from 1 to {len(values)} (the number of steps), got {smooth}")
    made = None
    if ax is None:
        made, ax = plt.subplots()
    mean = np.convolve(values, np.ones(smooth) / smooth, mode="valid")
    ax.plot(steps[smooth - 1 :], mean, color=PALETTE["blue"], label="training")
    valid: Mapping[str, Sequence[float]] = getattr(history, "valid", None) or {}
    if valid.get(name):
        ax.plot(history.valid_steps, valid[name], color=PALETTE["vermilion"], marker="o", label="validation")
        ax.legend()
    ax.set(xlabel="step", ylabel=f"{name} ({unit})" if unit else name)
    return ax if made is None else made


def _unit_images(x: Tensor, value_range: tuple[float, float]) -> Tensor:
    if x.ndim != 4 or x.shape[1] not in (1, 3) or x.shape[0] == 0:
        raise ValueError(
            f"x must have shape (N, 1, H, W) or (N, 3, H, W) with N > 0, got {tuple(x.shape)}; "
            "for one image pass x[None], for flat rows x.view(-1, 1, H, W)"
        )
    if value_range == HOUSE_RANGE and not x.is_floating_point():
        raise ValueError(f"x of type {x.dtype} needs value_range=(black, white), for example (0, levels - 1)")
    black, white = value_range
    if black == white:
        raise ValueError(f"value_range must be (black, white) with two different values, got {value_range}")
    return ((x.detach().cpu().float() - black) / (white - black)).clamp(0, 1)


def _grid_size(
    rows: int,
    columns: int,
    aspect: float,
    title: str | None,
    row_labels: Sequence[str] | None,
    column_labels: Sequence[str] | None,
) -> tuple[float, float]:
    """Half an inch an image plus what the texts take, at most the page's 7 inches in width."""
    beside = 0.1 + 0.065 * max(map(len, row_labels)) if row_labels else 0.0
    width = min(7.0 - beside, max(1.5, 0.5 * columns))
    above = 0.3 * (title is not None) + 0.25 * (column_labels is not None)
    return width + beside, width * rows * aspect / columns + above + 0.1


def _label(
    set_ticks: Any, labels: Sequence[str] | None, count: int, side: int, gap: int, argument: str
) -> None:
    if labels is None:
        return
    if len(labels) != count:
        raise ValueError(f"{argument} must have {count} texts, got {len(labels)}")
    centres = [i * (side + gap) + (side - 1) / 2 for i in range(count)]
    set_ticks(centres, labels=list(labels))
