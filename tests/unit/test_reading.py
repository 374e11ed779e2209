"""What a chapter imports to be read: figures, sliders, sources, budget, plots."""

import base64
import html.parser
import importlib
import io
import math
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image

from coursekit import PALETTE, budget, density_plot, figure, frames, image_grid, loss_plot, show, use_style
from coursekit.reading.budgets import budget_name

# The modules are named like their main functions, which hide them as attributes of the package.
figures_module = importlib.import_module("coursekit.reading.figures")
show_module = importlib.import_module("coursekit.reading.source")


@pytest.fixture(autouse=True)
def _style():
    use_style()
    yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    """What was displayed, instead of printing it."""
    outputs = []
    for name in ("figures", "slider", "source"):
        monkeypatch.setattr(importlib.import_module(f"coursekit.reading.{name}"), "display", outputs.append)
    return outputs


def line_plot(slope: float, size: tuple[float, float] = (5.0, 3.0)) -> plt.Figure:
    fig, ax = plt.subplots(figsize=size)
    x = np.linspace(-3, 3, 200)
    ax.plot(x, np.exp(-slope * x**2))
    ax.set(xlabel="x", ylabel="density", ylim=(0, 1))
    return fig


class Images(html.parser.HTMLParser):
    """The attributes of all <img> of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.found.append(dict(attrs))


def image_in(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


# figure


def test_figure_carries_its_alt_text_in_html_metadata_and_text(shown):
    alt = 'Two "bumps" at -1 < 0 & 1'
    figure(line_plot(1.0), alt=alt, caption="A <caption>")
    (output,) = shown
    data, metadata = output._repr_mimebundle_()
    (img,) = Images(data["text/html"]).found
    assert img["alt"] == alt
    assert "&lt;caption&gt;</figcaption>" in data["text/html"]
    assert metadata["image/png"]["alt"] == alt
    assert data["text/plain"] == f"Figure: {alt}\nA <caption>"
    assert repr(output) == data["text/plain"]


def test_figure_has_the_same_picture_as_webp_and_as_png_with_its_size_in_inches(shown):
    figure(line_plot(1.0, (5.0, 3.0)), alt="A bump")
    data = shown[0].data
    (img,) = Images(data["text/html"]).found
    png = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert png.size == (720, 432)  # 5 x 3 inches at 144 dots per inch
    assert png.info["dpi"] == pytest.approx((144, 144), abs=0.1)
    assert (img["width"], img["height"]) == ("480", "288")  # at CSS's 96
    difference = np.asarray(png.convert("RGB"), int) - np.asarray(image_in(img["src"]).convert("RGB"), int)
    assert abs(difference).max() == 0


def test_figure_is_closed_and_its_bytes_depend_on_the_picture_alone(shown):
    before = plt.get_fignums()
    figure(line_plot(1.0), alt="A bump")
    figure(line_plot(1.0), alt="A bump")
    figure(line_plot(2.0), alt="A bump")
    assert plt.get_fignums() == before
    assert shown[0].data == shown[1].data
    assert shown[0].data["image/png"] != shown[2].data["image/png"]


@pytest.mark.parametrize("alt", ["", "  \n", None])
def test_figure_without_alt_text_says_what_to_write(alt, shown):
    with pytest.raises(
        ValueError, match=r"a figure needs a text alternative, got alt=.*should learn from it"
    ):
        figure(line_plot(1.0), alt=alt)
    assert not shown


def test_figure_of_something_else_says_what_to_pass():
    _, ax = plt.subplots()
    with pytest.raises(TypeError, match=r"expected a matplotlib Figure, got Axes; for axes pass ax\.figure"):
        figure(ax, alt="Axes")


def test_plain_python_prints_the_alt_text_and_no_bytes(capsys):
    figure(line_plot(1.0), alt="A bump")
    assert capsys.readouterr().out.strip() == "Figure: A bump"


def test_a_figure_drawn_twice_keeps_the_layout_it_was_given():
    fig, axes = plt.subplots(1, 2, figsize=(6, 3), layout="none")  # frames() draws its start frame twice
    fig.subplots_adjust(left=0.2, right=0.7)
    first = figures_module.rasterise(fig, 96)
    second = figures_module.rasterise(fig, 96)
    assert first.tobytes() == second.tobytes()
    assert axes[1].get_position().x1 == pytest.approx(0.7)


def test_palette_keeps_thin_coloured_lines_their_colour():
    fig, ax = plt.subplots(figsize=(5, 3))
    for i, colour in enumerate(PALETTE.values()):
        ax.axhline(i, color=colour, linewidth=2)
    true = figures_module.rasterise(fig, 144)
    stored = figures_module.with_palette(true).convert("RGB")
    there = {colour for _, colour in stored.getcolors(1 << 20)}
    for colour in PALETTE.values():
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        assert min(np.abs(rgb - np.array(c)).max() for c in there) <= 6, colour


def test_palette_keeps_a_single_marker_its_colour():
    # Greys of every level and one vermilion marker, which is 0.3 % of the ink.
    grey = np.add.outer(np.arange(200), np.arange(320)) % 256
    pixels = np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)
    pixels[90:104, 150:164] = (213, 94, 0)
    true = Image.fromarray(pixels)
    coarse = true.quantize(32, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB")
    assert figures_module.spot_error(true, coarse) > 2 * figures_module.SPOT_ERROR  # what it guards against
    stored = np.asarray(figures_module.with_palette(true).convert("RGB"))
    assert np.abs(stored[97, 157].astype(int) - (213, 94, 0)).max() <= figures_module.SPOT_ERROR
    assert figures_module.spot_error(true, true) == 0


def test_an_image_that_no_palette_fits_keeps_its_colours():
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    assert figures_module.with_palette(image) is image
    assert figures_module.ink_error(image, image) == 0
    white = Image.new("RGB", (4, 4), "white")
    assert figures_module.ink_error(white, white) == 0


# frames


@pytest.fixture(scope="module")
def slider():
    """Thirteen frames, starting at the fifth; drawn once, for it takes seconds."""
    outputs = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("coursekit.reading.slider"), "display", outputs.append)
        use_style()
        values = [i / 4 for i in range(13)]
        frames(line_plot, values, label="beta", unit="nats", alt=lambda v: f"Bump of width {v:g}", start=1.0)
    return outputs[0]


def test_frames_carry_every_picture_once_with_its_own_alt_text(slider):
    data, metadata = slider.data, slider.metadata
    images = Images(data["text/html"]).found
    assert len(images) == 13
    # JupyterLab leaves the arrow keys to an element that carries this itself; on a parent it is not enough.
    assert re.search(r'<input type="range"[^>]* data-lm-suppress-shortcuts="true"', data["text/html"])
    assert [i["alt"] for i in images] == [
        f"Bump of width {v / 4:g}" for v in (4, *range(4), *range(5, 13))
    ]  # the start frame first: it is the one that stays where scripts are stripped
    assert sorted(int(i["data-index"]) for i in images) == list(range(13))
    assert len({i["src"] for i in images}) == 13
    assert metadata["image/png"]["alt"] == "Bump of width 1"
    png = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert png.size == (720, 432)
    assert data["text/plain"] == "Slider over beta (0 nats to 3 nats, 13 frames), at 1 nats: Bump of width 1"


def test_frames_give_print_the_start_frame_as_a_figure_would(slider, shown):
    figure(line_plot(1.0), alt="Bump of width 1")
    assert slider.data["image/png"] == shown[0].data["image/png"]


def test_frames_need_no_other_host_and_thirteen_take_at_most_70_kilobytes(slider):
    text = slider.data["text/html"]
    assert len(text) <= 70_000
    assert "http" not in re.sub(r"data:image/webp;base64,[A-Za-z0-9+/=]+", "", text)


def test_frames_carry_a_caption_as_figures_do(shown):
    frames(line_plot, [0.0, 1.0], label="beta", alt=str, caption="A <bump>")
    data, metadata = shown[0]._repr_mimebundle_()
    assert "&lt;bump&gt;</figcaption>\n</figure>" in data["text/html"]
    assert metadata["image/png"] == {"alt": "0.0", "caption": "A <bump>"}
    assert data["text/plain"].endswith("at 0: 0.0\nA <bump>")


def test_frames_are_reproducible_and_outputs_have_different_keys(shown):
    for values in ([0.0, 1.0], [0.0, 1.0], [0.0, 2.0]):
        frames(line_plot, values, label="beta", alt=str)
    assert shown[0].data == shown[1].data
    keys = [re.search(r'class="dgm-frames (\S+)"', o.data["text/html"])[1] for o in shown]
    assert keys[0] == keys[1] != keys[2]
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": [1.0]}, "at least two values, got 1; for one use figure"),
        ({"start": 5.0}, r"start must be one of the values \[0.0, 1.0\], got 5.0"),
        ({"label": " "}, "need a label"),
        ({"alt": lambda v: ""}, r"the frame at 0\.0 needs a text alternative"),
        ({"draw": lambda v: line_plot(v, (4 + v, 3))}, r"all frames must have one size, got .*fix figsize"),
    ],
)
def test_frames_say_what_is_wrong(arguments, message, shown):
    good = {"draw": line_plot, "values": [0.0, 1.0], "label": "beta", "alt": lambda v: f"bump {v}"}
    given = {**good, **arguments}
    with pytest.raises(ValueError, match=message):
        frames(given.pop("draw"), given.pop("values"), **given)
    assert not shown


CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def page():
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Debian's chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        yield browser.new_page()
        browser.close()


@pytest.mark.browser
@pytest.mark.slow
def test_slider_moves_by_keyboard_and_changes_picture_alt_text_and_value(page, slider, tmp_path):
    path = tmp_path / "page.html"
    # Twice the same output, as when a cell is shown in two places: both must work.
    path.write_text("<!doctype html><html lang=en><body>" + 2 * slider.data["text/html"], encoding="utf-8")
    requests, messages = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(path.as_uri())

    def state(root):
        return (
            root.locator("img").first.get_attribute("src"),
            root.locator("img").first.get_attribute("alt"),
            root.locator("output").inner_text(),
            root.locator("input").get_attribute("aria-valuetext"),
        )

    roots = page.locator(".dgm-frames")
    first, second = roots.nth(0), roots.nth(1)
    stored = {int(i["data-index"]): i for i in Images(slider.data["text/html"]).found}
    assert state(first) == (stored[4]["src"], "Bump of width 1", "1 nats", "1 nats")
    assert first.locator("img:visible").count() == 1
    assert not first.locator("details").is_visible()

    page.keyboard.press("Tab")  # the first thing on the page that takes the focus is the slider
    assert page.evaluate("document.activeElement.type") == "range"
    assert first.get_by_role("slider", name="beta").count() == 1
    page.keyboard.press("ArrowRight")
    assert state(first) == (stored[5]["src"], "Bump of width 1.25", "1.25 nats", "1.25 nats")
    page.keyboard.press("End")
    assert state(first) == (stored[12]["src"], "Bump of width 3", "3 nats", "3 nats")
    assert state(second)[1] == "Bump of width 1"
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    assert state(second)[1:] == ("Bump of width 0", "0 nats", "0 nats")
    assert state(first)[1] == "Bump of width 3"
    assert [r for r in requests if not r.startswith(("data:", "file:"))] == []
    assert messages == []


@pytest.mark.browser
@pytest.mark.slow
def test_without_scripts_the_start_frame_and_a_note_remain(page, slider, tmp_path):
    path = tmp_path / "page.html"
    text = re.sub(r"<script>.*?</script>", "", slider.data["text/html"], flags=re.DOTALL)
    path.write_text(f"<!doctype html><html lang=en><body>{text}", encoding="utf-8")
    page.goto(path.as_uri())
    assert page.locator("img:visible").count() == 1
    assert page.locator("img").first.get_attribute("alt") == "Bump of width 1"
    assert not page.locator("input").is_visible()
    note = page.locator("summary")
    assert "The other 12 pictures are folded in here; run this cell" in note.inner_text()
    note.click()
    assert page.locator("img:visible").count() == 13


# show


def with_docstrings(x):
    """Twice x.

    Over several lines.
    """

    def inner(y):
        "Also a docstring."
        return y  # a comment stays

    return inner(2 * x)


class WithDocstring:
    """A class."""

    def only_doc(self):
        """Its whole body."""

    def value(self):
        """One."""
        return 1


def test_show_displays_the_source_without_docstrings(shown):
    show(with_docstrings)
    show(WithDocstring)
    expected = (
        "def with_docstrings(x):\n    def inner(y):\n        return y  # a comment stays\n\n"
        "    return inner(2 * x)\n"
    )
    where, _, source = shown[0].data["text/plain"].partition("\n")
    assert source == expected
    assert re.fullmatch(r"# \S*test_reading\.with_docstrings · \S*test_reading\.py:\d+", where)
    compile(shown[1].data["text/plain"], "shown", "exec")
    assert '"""Its whole body."""' in shown[1].data["text/plain"]
    assert "One." not in shown[1].data["text/plain"]
    markup = shown[0].data["text/html"]
    text = re.sub(r"<style>.*?</style>|<[^>]+>", "", markup, flags=re.DOTALL)
    assert html.unescape(text).strip().startswith(expected.strip())


def test_show_can_keep_docstrings_and_dedents_methods(shown):
    show(WithDocstring.value, doc=True)
    assert shown[0].data["text/plain"].endswith('def value(self):\n    """One."""\n    return 1\n')


def test_show_names_the_file_from_its_package_on(shown):
    show(budget)
    line = budget.__code__.co_firstlineno
    assert (
        f"coursekit.reading.budgets.budget · coursekit/reading/budgets.py:{line}"
        in shown[0].data["text/html"]
    )


@pytest.mark.parametrize("value", [3, math.sin, "text"])
def test_show_of_what_has_no_source_says_so(value):
    with pytest.raises(TypeError, match="needs a function or class written in Python, got"):
        show(value)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", ["LIGHT", "DARK"])
def test_source_colours_have_enough_contrast(name):
    colours = getattr(show_module, name)
    ground = luminance(colours["background"])
    for token, colour in colours.items():
        if token != "background":
            high, low = max(luminance(colour), ground), min(luminance(colour), ground)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (token, colour)


# budget


@pytest.mark.parametrize(("value", "expected"), [(None, 1), ("", 1), ("cpu", 1), ("full", 2)])
def test_budget_picks_by_the_environment(monkeypatch, value, expected):
    if value is None:
        monkeypatch.delenv("DGM_BUDGET", raising=False)
    else:
        monkeypatch.setenv("DGM_BUDGET", value)
    assert budget(cpu=1, full=2) == expected
    assert budget_name() == {1: "cpu", 2: "full"}[expected]


def test_another_budget_is_an_error_that_names_the_two(monkeypatch):
    monkeypatch.setenv("DGM_BUDGET", "gpu")
    with pytest.raises(ValueError, match=r"DGM_BUDGET must be 'cpu' or 'full', got 'gpu'"):
        budget(cpu=1, full=2)


# plots


def test_style_is_idempotent_and_uses_the_palette():
    use_style()
    first = dict(plt.rcParams)
    use_style()
    assert dict(plt.rcParams) == first
    assert plt.rcParams["axes.prop_cycle"].by_key()["color"] == list(PALETTE.values())


def drawn(ax) -> np.ndarray:
    """The image in axes as (H, W, C)."""
    return np.asarray(ax.images[0].get_array())


def test_image_grid_sets_images_row_by_row_with_white_gaps():
    x = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 2, 3) / 10  # (6, 1, 2, 3), image i is grey i / 10
    fig = image_grid(x, columns=3, value_range=(0, 1))
    canvas = drawn(fig.axes[0])
    assert canvas.shape == (2 * 2 + 1, 3 * 3 + 2, 3)
    assert canvas[0, 0, 0] == pytest.approx(0.0)
    assert canvas[0, 4, 0] == pytest.approx(0.1)
    assert canvas[3, 0, 0] == pytest.approx(0.3)
    assert canvas[4, 10, 2] == pytest.approx(0.5)
    assert (canvas[2] == 1).all()
    assert (canvas[:, 3] == 1).all()


def test_image_grid_has_one_range_whatever_the_data():
    x = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
    assert drawn(image_grid(x, columns=2).axes[0])[0, [0, 2], 0].tolist() == [0, 1]
    x = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)  # no value is negative, and 0 is grey all the same
    assert drawn(image_grid(x, columns=2).axes[0])[0, [0, 2], 0].tolist() == [0.5, 1]
    assert drawn(image_grid(x, columns=2, value_range=(0, 1)).axes[0])[0, [0, 2], 0].tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"value_range must be .* two different values, got \(1, 1\)"):
        image_grid(x, value_range=(1, 1))
    levels = torch.tensor([0, 16], dtype=torch.uint8).view(2, 1, 1, 1)
    assert drawn(image_grid(levels, columns=2, value_range=(0, 16)).axes[0])[0, [0, 2], 0].tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"torch\.uint8 needs value_range"):
        image_grid(levels)


def test_image_grid_in_given_axes_returns_them_with_labels():
    _, ax = plt.subplots()
    x = torch.rand(3, 3, 4, 4, requires_grad=True)
    assert image_grid(x, columns=3, ax=ax, title="Three", column_labels=["a", "b", "c"]) is ax
    assert ax.get_title() == "Three"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c"]
    assert ax.get_xticks().tolist() == [1.5, 6.5, 11.5]
    with pytest.raises(ValueError, match="row_labels must have 1 texts, got 2"):
        image_grid(x, columns=3, row_labels=["a", "b"])


@pytest.mark.parametrize("shape", [(8, 8), (2, 2, 8, 8), (0, 1, 8, 8)])
def test_image_grid_of_a_wrong_shape_says_the_right_one(shape):
    with pytest.raises(
        ValueError, match=r"x must have shape \(N, 1, H, W\) or \(N, 3, H, W\) with N > 0, got"
    ):
        image_grid(torch.zeros(shape))


def test_density_plot_puts_the_peak_where_the_density_has_it():
    _, ax = plt.subplots()
    density_plot(lambda x: -20 * ((x[:, 0] - 2) ** 2 + (x[:, 1] + 1) ** 2), (-3, 3, -2, 2), ax)
    image = ax.images[0]
    row, column = np.unravel_index(np.argmax(image.get_array()), image.get_array().shape)
    assert image.origin == "lower"
    assert tuple(image.get_extent()) == (-3, 3, -2, 2)
    assert -3 + 6 * column / 159 == pytest.approx(2, abs=0.03)
    assert -2 + 4 * row / 159 == pytest.approx(-1, abs=0.03)
    assert image.get_array().max() == pytest.approx(1, abs=0.02)


class History(SimpleNamespace):
    def __getitem__(self, name):
        return self.values[name]


def test_loss_plot_averages_training_and_adds_validation():
    history = History(
        steps=[1, 2, 3, 4],
        values={"loss": [4.0, 2.0, 2.0, 0.0]},
        valid_steps=[2, 4],
        valid={"loss": [3.0, 1.0]},
    )
    (ax,) = loss_plot(history, smooth=2).axes
    training, validation = ax.lines
    assert training.get_xdata().tolist() == [2, 3, 4]
    assert training.get_ydata().tolist() == [3.0, 2.0, 1.0]
    assert list(validation.get_ydata()) == [3.0, 1.0]
    assert ax.get_ylabel() == "loss (nats)"
    with pytest.raises(ValueError, match=r"smooth must be from 1 to 4 \(the number of steps\), got 5"):
        loss_plot(history, smooth=5)
