"""Sliders without a server: `frames(draw, values, ...)` draws every picture beforehand.

The output is one piece of HTML: the start frame, the other frames folded away, and a few lines of script that
turn them into a slider. Where scripts are stripped (an untrusted notebook, a code host's preview) the
start frame, its alternative text and the folded frames remain. LaTeX takes the start frame as `image/png`.
"""

import base64
import hashlib
import html
import io
from collections.abc import Callable, Sequence
from typing import TypeVar

from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from coursekit.reading.figures import (
    CSS_DPI,
    PNG_DPI,
    BundleMetadata,
    Displayed,
    captioned,
    img_tag,
    png_bytes,
    rasterise,
    require_alt,
    webp_bytes,
    with_palette,
)

V = TypeVar("V")

FRAME_DPI = 96

# The same output shown twice on a page has the same class: the script therefore sets up every element of that
# class that is not set up yet. The script alone makes the control visible, so no dead slider is ever shown.
SCRIPT = """
(() => {
  for (const root of document.querySelectorAll(".%(key)s")) {
    if (root.dgmFrames) continue;
    root.dgmFrames = true;
    const shown = root.querySelector("img");
    const slider = root.querySelector("input");
    const output = root.querySelector("output");
    const frames = [];
    for (const img of root.querySelectorAll("img")) {
      frames[+img.dataset.index] = { src: img.src, alt: img.alt, value: img.dataset.value };
    }
    const move = () => {
      const frame = frames[+slider.value];
      shown.src = frame.src;
      shown.alt = frame.alt;
      output.value = frame.value;
      slider.setAttribute("aria-valuetext", frame.value);
    };
    slider.addEventListener("input", move);
    root.querySelector("details").hidden = true;
    root.querySelector("label").style.display = "flex";
    move();
  }
})();
"""


def frames(
    draw: Callable[[V], Figure],
    values: Sequence[V],
    *,
    label: str,
    unit: str = "",
    alt: Callable[[V], str],
    start: V | None = None,
    caption: str | None = None,
) -> None:
    """Display a slider over pictures that are all drawn now.

    Args:
        draw: a value -> its figure; every figure must have the same size.
        values: the slider's values in order, at least two.
        label: what the slider changes.
        unit: the unit of the values; may be empty.
        alt: a value -> what its picture shows, for those who cannot see it.
        start: the value shown first; the first one when left out.
        caption: a line set under the slider.

    Raises:
        ValueError: fewer than two values, `start` not among them, an empty `label` or text alternative,
            or figures of different sizes.
    """
    values = list(values)
    if len(values) < 2:
        raise ValueError(f"frames need at least two values, got {len(values)}; for one use figure()")
    if not label.strip():
        raise ValueError("frames need a label that says what the slider changes, got an empty one")
    if start is not None and start not in values:
        raise ValueError(f"start must be one of the values {values}, got {start!r}")
    first = 0 if start is None else values.index(start)
    alts = [require_alt(alt(value), f"the frame at {value!r}") for value in values]
    texts = [_text(value, unit) for value in values]

    images: list[Image.Image] = []
    png = b""
    for index, value in enumerate(values):
        fig = draw(value)
        if index == first:
            png, images = _both(fig, images)
        else:
            images.append(rasterise(fig, FRAME_DPI))
    sizes = {image.size for image in images}
    if len(sizes) > 1:
        raise ValueError(f"all frames must have one size, got {sorted(sizes)} pixels; fix figsize in draw")

    contents = [_webp(image) for image in images]
    key = "dgm-frames-" + hashlib.sha256(b"\0".join([*contents, label.encode()])).hexdigest()[:12]
    data = {
        "text/html": captioned(_html(key, contents, images[0].size, alts, texts, label, first), caption),
        "image/png": base64.b64encode(png).decode("ascii"),
        "text/plain": f"Slider over {label} ({texts[0]} to {texts[-1]}, {len(values)} frames), "
        f"at {texts[first]}: {alts[first]}" + (f"\n{caption}" if caption else ""),
    }
    metadata: BundleMetadata = {"image/png": {"alt": alts[first]}}
    if caption:
        metadata["image/png"]["caption"] = caption
    display(Displayed(data, metadata))


def _both(fig: Figure, images: list[Image.Image]) -> tuple[bytes, list[Image.Image]]:
    """The start frame twice: in print resolution for LaTeX, and as a frame."""
    large = rasterise(fig, PNG_DPI)
    png = png_bytes(with_palette(large), PNG_DPI)
    return png, [*images, rasterise(fig, FRAME_DPI)]


def _webp(image: Image.Image) -> bytes:
    """Lossless, as plots want it; lossy where that is much smaller (smooth shading)."""
    lossless = webp_bytes(with_palette(image))
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=80, method=4)
    lossy = buffer.getvalue()
    return lossy if len(lossy) < 0.6 * len(lossless) else lossless


def _text(value: object, unit: str) -> str:
    number = f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    return f"{number} {unit}".strip()


def _html(
    key: str,
    contents: list[bytes],
    size: tuple[int, int],
    alts: list[str],
    texts: list[str],
    label: str,
    first: int,
) -> str:
    def tag(index: int) -> str:
        attributes = f' data-index="{index}" data-value="{html.escape(texts[index])}"'
        width, height = (round(side * CSS_DPI / FRAME_DPI) for side in size)
        return img_tag(contents[index], "image/webp", alts[index], width, height, attributes)

    name, shown = html.escape(label), html.escape(texts[first])
    others = "\n".join(
        f"<p>{name}: {html.escape(texts[i])}</p>\n{tag(i)}" for i in range(len(contents)) if i != first
    )
    # data-lm-suppress-shortcuts: in JupyterLab the arrow keys would otherwise move between cells. It looks at
    # the focused element first, so that the attribute must be on the slider itself.
    return f"""<div class="dgm-frames {key}">
{tag(first)}
<label style="display:none;align-items:center;gap:0.6em;max-width:{size[0]}px;margin:0.4em 0">
<span>{name}</span>
<input type="range" min="0" max="{len(contents) - 1}" step="1" value="{first}"
  style="flex:1" aria-valuetext="{shown}" data-lm-suppress-shortcuts="true">
<output style="min-width:7em">{shown}</output></label>
<details><summary>{name}: {shown}. The other {len(contents) - 1} pictures are folded in here; run this cell
in JupyterLab, and they become a slider.</summary>
{others}
</details>
<script>{SCRIPT % {"key": key}}</script>
</div>"""
