"""What a chapter imports to be read.

- `use_style`, `PALETTE`: one look for all figures.
- `image_grid`, `density_plot`, `loss_plot`: the plots that many chapters need.
- `figure`: a matplotlib figure with its alternative text.
- `frames`: a slider over pictures drawn beforehand; works without a server.
- `show`: the source of a function of the library.
- `budget`, `budget_name`: one of two values, for a laptop or for a GPU.
"""

from coursekit.reading.budgets import budget, budget_name
from coursekit.reading.figures import figure
from coursekit.reading.plots import PALETTE, SEQUENTIAL, density_plot, image_grid, loss_plot, use_style
from coursekit.reading.slider import frames
from coursekit.reading.source import show

__all__ = [
    "PALETTE",
    "SEQUENTIAL",
    "budget",
    "budget_name",
    "density_plot",
    "figure",
    "frames",
    "image_grid",
    "loss_plot",
    "show",
    "use_style",
]
