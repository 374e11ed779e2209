"""Figures with alt text: `figure(fig, alt="...")`.

One output carries three forms of the same picture, because each place where a chapter is read picks another:

- `text/html`: an `<img alt="...">` inside a `<figure>`. JupyterLab and the site prefer it, and it is the only
  form whose alternative text JupyterLab passes on to a screen reader (it renders `image/png` without one).
- `image/png`: what LaTeX, and so the PDF, takes.
- `text/plain`: the alternative text, for a terminal and for a diff.

Everything is inline, nothing is fetched, and the bytes depend on the picture alone.
"""

import base64
import html
import io
from typing import Any

import numpy as np
from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

# A figure of 7 inches is 672 CSS pixels wide on the page; 1.5 times as many are stored, for sharp screens
# and print.
CSS_DPI = 96
PNG_DPI = 144

# Number of colours -> the mean error (of 255, over what is not white) up to which they do. A small palette
# must be all but exact, or smooth shading shows bands; 256 colours may be off by what no eye sees.
PALETTE_ERROR = {32: 1.0, 64: 1.5, 128: 1.5, 256: 2.5}
# The mean error that no square of SPOT pixels a side may exceed: one marker of its own colour weighs next to
# nothing in the mean over a picture, and would come out in the colour of something else.
SPOT, SPOT_ERROR = 8, 16.0

Bundle = dict[str, str]
BundleMetadata = dict[str, dict[str, Any]]


class Displayed:
    """A ready mime bundle; what it prints where nothing but text can be shown is its alternative text."""

    def __init__(self, data: Bundle, metadata: BundleMetadata) -> None:
        self.data = data
        self.metadata = metadata

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[Bundle, BundleMetadata]:
        return self.data, self.metadata

    def __repr__(self) -> str:
        return self.data["text/plain"]


def require_alt(alt: str, of: str) -> str:
    """The alternative text with its white space collapsed; an error when there is none."""
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(
            f"{of} needs a text alternative, got alt={alt!r}; "
            "say in one or two sentences what a reader who cannot see the picture should learn from it"
        )
    return " ".join(alt.split())


def rasterise(fig: Figure, dpi: int) -> Image.Image:
    """Draw a figure on opaque white and close it, so that no backend shows it a second time."""
    if not isinstance(fig, Figure):
        raise TypeError(f"expected a matplotlib Figure, got {type(fig).__name__}; for axes pass ax.figure")
    buffer, engine = io.BytesIO(), fig.get_layout_engine()
    fig.savefig(buffer, format="png", dpi=dpi, facecolor="white", pil_kwargs={"compress_level": 1})
    if engine is None:  # savefig gives a figure without a layout that of the style, for the next time
        fig.set_layout_engine("none")
    plt.close(fig)
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")


def with_palette(image: Image.Image) -> Image.Image:
    """As few colours as look the same, or the image itself where no palette does; plots shrink to a third."""
    for colours, tolerated in PALETTE_ERROR.items():
        palette = image.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        shown = palette.convert("RGB")
        if ink_error(image, shown) <= tolerated and spot_error(image, shown) <= SPOT_ERROR:
            return palette
    return image


def ink_error(image: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference (of 255) where `image` is not white, since white would hide it."""
    true = np.asarray(image, dtype=np.int16)  # (H, W, 3)
    ink = (true < 255).any(axis=-1)  # (H, W)
    if not ink.any():
        return 0.0
    return float(np.abs(true - np.asarray(other, dtype=np.int16))[ink].mean())


def spot_error(image: Image.Image, other: Image.Image) -> float:
    """The largest mean difference (of 255, in its worst channel) over any square of the grid."""
    true = np.asarray(image, dtype=np.int16)  # (H, W, 3)
    difference = np.abs(true - np.asarray(other, dtype=np.int16)).max(axis=-1)  # (H, W)
    height, width = (-(-side // SPOT) * SPOT for side in difference.shape)
    padded = np.zeros((height, width))
    padded[: difference.shape[0], : difference.shape[1]] = difference
    return float(padded.reshape(height // SPOT, SPOT, width // SPOT, SPOT).mean(axis=(1, 3)).max())


def png_bytes(image: Image.Image, dpi: int) -> bytes:
    """PNG with its resolution, so that LaTeX sets it at its size in inches."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True, dpi=(dpi, dpi))
    return buffer.getvalue()


def webp_bytes(image: Image.Image) -> bytes:
    """Lossless WebP: no ringing around lines and letters."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="WEBP", lossless=True, quality=60, method=4)
    return buffer.getvalue()


def data_uri(content: bytes, mime: str) -> str:
    """`data:` address with the content inside."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def img_tag(content: bytes, mime: str, alt: str, width: int, height: int, attributes: str = "") -> str:
    """`<img>` that never outgrows its column, white behind it.

    The style is inline because stylesheets are stripped from the outputs of notebooks that are not trusted.
    """
    return (
        f'<img{attributes} src="{data_uri(content, mime)}" alt="{html.escape(alt)}" '
        f'width="{width}" height="{height}" style="max-width:100%;height:auto;background-color:#fff">'
    )


def captioned(content: str, caption: str | None) -> str:
    """The HTML of a figure around a picture or a slider, with the line under it if there is one."""
    style = "max-width:42em;color:inherit"
    under = f'\n<figcaption style="{style}">{html.escape(caption)}</figcaption>' if caption else ""
    return f'<figure class="dgm-figure" style="margin:0">\n{content}{under}\n</figure>'


def figure(fig: Figure, *, alt: str, caption: str | None = None) -> None:
    """Display a figure with its alternative text, and close it.

    Args:
        fig: the matplotlib figure.
        alt: what the figure shows, for those who cannot see it; required.
        caption: a line set under the figure.

    Raises:
        ValueError: `alt` is empty.
        TypeError: `fig` is not a figure.
    """
    alt = require_alt(alt, "a figure")
    image = rasterise(fig, PNG_DPI)
    image = with_palette(image)
    width, height = (round(side * CSS_DPI / PNG_DPI) for side in image.size)
    png = png_bytes(image, PNG_DPI)
    img = img_tag(webp_bytes(image), "image/webp", alt, width, height)
    data = {
        "text/html": captioned(img, caption),
        "image/png": base64.b64encode(png).decode("ascii"),
        "text/plain": f"Figure: {alt}" + (f"\n{caption}" if caption else ""),
    }
    metadata: BundleMetadata = {"image/png": {"alt": alt, "width": width, "height": height}}
    if caption:
        metadata["image/png"]["caption"] = caption
    display(Displayed(data, metadata))
