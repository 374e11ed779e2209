"""Captioned shapes: what is drawn is what the factors and the captions say, and the oracle reads it back."""

import colorsys
import itertools
import math
import re

import numpy as np
import pytest
import torch
from scipy import stats

from dgm.data.shapes import (
    BACKGROUNDS,
    CLEAN_RMS,
    CLIP_FIELDS,
    COLOURS,
    FIELDS,
    FRAMES,
    MAX_TOKENS,
    MOTIONS,
    PAD,
    RELATIONS,
    SCENE_FIELDS,
    SHAPES,
    UNSAID,
    VOCABULARY,
    ClipOracle,
    Oracle,
    SceneOracle,
    all_clip_factors,
    all_factors,
    all_scene_factors,
    canonical_scenes,
    clips,
    describe,
    describe_clips,
    describe_scenes,
    detokenise,
    forget,
    is_held_out,
    parse,
    parse_clips,
    parse_scenes,
    render,
    render_clips,
    render_scenes,
    sample_clip_factors,
    sample_factors,
    sample_jitter,
    sample_scene_factors,
    sample_scene_jitter,
    scenes,
    shapes,
    tokenise,
)
from dgm.data.shapes.draw import coverage
from dgm.data.shapes.factors import BACKGROUND_RGB, COLOUR_RGB


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rgb(name: str) -> torch.Tensor:
    """The colour of a name in [-1, 1]."""
    table = dict(zip(COLOURS + BACKGROUNDS, COLOUR_RGB + BACKGROUND_RGB, strict=True))
    return torch.tensor(table[name]) / 127.5 - 1


def one(shape: str, radius: float, size: int, x: float = 0.5, y: float = 0.5) -> torch.Tensor:
    """The coverage (size, size) of one shape, in float64."""
    numbers = [torch.tensor([v], dtype=torch.float64) for v in (x, y, radius)]
    return coverage(torch.tensor([SHAPES.index(shape)]), *numbers, size)[0]


# Drawing


def outline(shape: str) -> list[list[tuple[float, float]]]:
    """The corners of a shape of radius 1, y down: an outer polygon and perhaps a hole."""

    def circle(r: float) -> list[tuple[float, float]]:
        return [(r * math.cos(a), r * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 120, endpoint=False)]

    if shape == "circle":
        return [circle(0.95)]
    if shape == "ring":
        return [circle(0.99), circle(0.45)]
    if shape == "square":
        return [[(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)]]
    if shape == "triangle":
        angles = (-90, 30, 150)  # the tip is up
        return [[(1.2 * math.cos(math.radians(a)), 0.22 + 1.2 * math.sin(math.radians(a))) for a in angles]]
    if shape == "star":
        spokes = [(1.12 if k % 2 == 0 else 0.5, math.radians(36 * k - 90)) for k in range(10)]
        return [[(r * math.cos(a), r * math.sin(a)) for r, a in spokes]]
    arm, end = 0.34, 1.0
    quarter = [(arm, -end), (arm, -arm), (end, -arm)]
    corners = []
    for _ in range(4):
        corners += quarter
        quarter = [(-y, x) for x, y in quarter]
    return [corners]


def supersampled(shape: str, radius: float, size: int, x: float, y: float) -> np.ndarray:
    """The share of each pixel inside the outline, by counting crossings at 16 x 16 points per pixel."""
    fine = 16
    ticks = (np.arange(size * fine) + 0.5) / (size * fine)
    px, py = np.meshgrid((ticks - x) / radius, (ticks - y) / radius)
    inside = np.zeros(px.shape, dtype=bool)
    for polygon in outline(shape):
        for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            if y0 != y1:
                crosses = (y0 > py) != (y1 > py)
                inside ^= crosses & (px < x0 + (py - y0) * (x1 - x0) / (y1 - y0))
    return inside.reshape(size, fine, size, fine).mean(axis=(1, 3))


def area_error(radius: float, size: int) -> float:
    """How far a drawn area may be off: corners gain a part of a pixel, so it falls with the pixel's area."""
    return 0.75 / (size * radius) ** 2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("radius", "size"), [(0.16, 16), (0.26, 16), (0.26, 48)])
def test_coverage_is_the_area_inside_the_outline(shape: str, radius: float, size: int) -> None:
    x, y = 0.48, 0.53
    drawn = one(shape, radius, size, x, y).numpy()
    exact = supersampled(shape, radius, size, x, y)
    edge = (exact > 0) & (exact < 1)
    # The distance at the centre replaces the area: a few hundredths off at edges, more at sharp corners.
    assert np.abs(drawn - exact)[edge].mean() < 0.08
    assert np.abs(drawn - exact)[~edge].max() < 0.3
    assert drawn.sum() == pytest.approx(exact.sum(), rel=area_error(radius, size))


AREAS = {  # of radius 1, by elementary geometry
    "circle": math.pi * 0.95**2,
    "square": 1.64**2,
    "triangle": 3 * math.sqrt(3) / 4 * 1.2**2,
    "cross": 2 * 2 * 0.68 - 0.68**2,
    "star": 5 * 1.12 * 0.5 * math.sin(math.pi / 5),
    "ring": math.pi * (0.99**2 - 0.45**2),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_area_is_right_and_does_not_depend_on_the_resolution(shape: str) -> None:
    for radius in (0.16, 0.26):
        fine = one(shape, radius, 256).mean().item()
        assert fine == pytest.approx(AREAS[shape] * radius**2, rel=0.005)
        for size in (16, 24, 32, 64):
            coarse = one(shape, radius, size, 0.51, 0.47).mean().item()
            assert coarse == pytest.approx(fine, rel=area_error(radius, size))


def test_a_larger_picture_pools_to_the_smaller_one() -> None:
    factors, jitter = sample_factors(200, generator()), sample_jitter(200, generator(1))
    small, large = render(factors, 16, jitter), render(factors, 64, jitter)
    pooled = torch.nn.functional.avg_pool2d(large, 4)
    assert (small - pooled).square().mean().sqrt() < 0.03
    assert (small - pooled.flip(3)).square().mean().sqrt() > 0.2  # the bound is not loose


def test_edges_are_smooth() -> None:
    cover = one("circle", 0.26, 16)
    partial = (cover > 0.02) & (cover < 0.98)
    assert partial.sum() > 15
    # Moving by a tenth of a pixel changes every pixel by little: there are no jumps.
    moved = one("circle", 0.26, 16, x=0.5 + 0.1 / 16)
    assert 0 < (cover - moved).abs().max() <= 0.1 + 1e-9


def test_colours_and_places() -> None:
    x = render(
        parse(
            ["a big blue circle at the top right by day", "a small orange square at the bottom left by night"]
        )
    )
    torch.testing.assert_close(x[0, :, 4, 11], rgb("blue"))  # row .26, column .74 of 16 pixels
    torch.testing.assert_close(x[0, :, 12, 4], rgb("day"))
    torch.testing.assert_close(x[1, :, 11, 4], rgb("orange"))
    torch.testing.assert_close(x[1, :, 4, 11], rgb("night"))
    assert x.min() >= -1
    assert x.max() <= 1


def test_jitter_moves_and_scales_by_what_is_stated() -> None:
    factors = parse(["a small red circle at the middle centre by night"]).repeat(7, 1)
    jitter = torch.cat([torch.zeros(1, 3), torch.eye(3), -torch.eye(3)]).double()
    x = render(factors, 64, jitter)
    assert x.dtype == torch.float64
    mass = (x - rgb("night").double()[:, None, None]).abs().sum(dim=1)  # (7, 64, 64)
    ticks = (torch.arange(64).double() + 0.5) / 64
    total = mass.sum(dim=(1, 2))
    column, row = (mass.sum(1) * ticks).sum(1) / total, (mass.sum(2) * ticks).sum(1) / total
    torch.testing.assert_close(column - 0.5, 0.03 * jitter[:, 0], rtol=0, atol=5e-4)
    torch.testing.assert_close(row - 0.5, 0.03 * jitter[:, 1], rtol=0, atol=5e-4)
    torch.testing.assert_close((total / total[0]).sqrt(), 1 + 0.06 * jitter[:, 2], rtol=0, atol=2e-3)


def test_jitter_is_uniform() -> None:
    for jitter in (sample_jitter(5_000, generator()), sample_scene_jitter(5_000, generator()).flatten(1)):
        for column in jitter.T:
            assert stats.kstest(column.numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-4


def test_render_refuses_what_does_not_fit() -> None:
    factors = sample_factors(3, generator())
    with pytest.raises(
        ValueError, match="size must be at least 16 pixels, got 8; draw larger and average-pool"
    ):
        render(factors, 8)
    with pytest.raises(ValueError, match=r"factors must have shape \(N, 6\) .*, got \(3, 4\)"):
        render(factors[:, :4])
    with pytest.raises(
        ValueError, match=r"factors must be int64 indices, got torch.float32; use factors.long\(\)"
    ):
        render(factors.float())
    with pytest.raises(
        ValueError, match=r"jitter must have shape \(3, 3\), got \(2, 3\); one row per picture"
    ):
        render(factors, 16, torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"jitter must have shape \(3, 2, 2\)"):
        render_scenes(sample_scene_factors(3, generator()), 16, torch.zeros(3, 3))
    with pytest.raises(ValueError, match=r"jitter must have shape \(3, 2\)"):
        render_clips(sample_clip_factors(3, generator()), 16, torch.zeros(3, 3))
    wrong = factors.clone()
    wrong[1, 2] = 2
    with pytest.raises(ValueError, match=r"size must be in 0..1, got 2"):
        render(wrong)
    wrong[1, 2] = UNSAID
    with pytest.raises(ValueError, match=r"size must be in 0..1, got -1"):
        render(wrong)


# Factors and the held-out pairs


def test_there_are_as_many_combinations_as_stated() -> None:
    assert all_factors().shape == (1296, len(FIELDS))
    assert all_scene_factors().shape == (8640, len(SCENE_FIELDS))
    assert all_clip_factors().shape == (504, len(CLIP_FIELDS))
    for rows in (all_factors(), all_scene_factors(), all_clip_factors()):
        assert len(rows.unique(dim=0)) == len(rows)


def test_factors_are_uniform_over_what_is_allowed() -> None:
    n = 40_000
    for held_out, allowed in (("exclude", 1080), ("only", 216), ("include", 1296)):
        rows, counts = sample_factors(n, generator(), held_out=held_out).unique(dim=0, return_counts=True)  # type: ignore[arg-type]
        assert len(rows) == allowed
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_held_out_pairs_never_appear_in_training() -> None:
    pairs = {(shape, shape) for shape in range(6)}  # shape i with colour i
    for data in (
        shapes(20_000, 16, generator()),
        clips(1_000, 16, generator()),
        scenes(20_000, 16, generator()),
    ):
        seen = set(map(tuple, data.factors[:, :2].tolist()))
        assert len(seen) == 30
        assert not seen & pairs
    assert not set(map(tuple, data.factors[:, 3:5].tolist())) & pairs  # the second object of the scenes
    assert "red circle" not in " ".join(data.captions)
    assert "pink ring" not in " ".join(data.captions)
    # Nor do the pictures show them, whatever the factors say.
    data = shapes(500, 16, generator(1))
    read = Oracle(16).read(data.x).factors
    assert not is_held_out(read[:, 0], read[:, 1]).any()


def test_held_out_only_draws_nothing_else() -> None:
    one_object = sample_factors(500, generator(), held_out="only")
    assert (one_object[:, 0] == one_object[:, 1]).all()
    two = sample_scene_factors(500, generator(), held_out="only")
    assert ((two[:, 0] == two[:, 1]) | (two[:, 3] == two[:, 4])).all()
    clip = sample_clip_factors(500, generator(), held_out="only")
    assert (clip[:, 0] == clip[:, 1]).all()
    with pytest.raises(
        ValueError, match=r"held_out must be one of .*'exclude', 'only', 'include'.* got 'no'"
    ):
        sample_factors(3, held_out="no")  # type: ignore[arg-type]


def test_forget_leaves_out_what_may_be_left_out() -> None:
    factors = sample_factors(20_000, generator())
    short = forget(factors, 0.4, generator(1))
    assert torch.equal(short[:, :2], factors[:, :2])
    assert ((short == factors) | (short == UNSAID)).all()
    unsaid = (short == UNSAID).double()
    assert torch.equal(unsaid[:, 3], unsaid[:, 4])
    sigma = math.sqrt(0.24 / 20_000)
    assert (unsaid[:, [2, 3, 5]].mean(0) - 0.4).abs().max() < 4 * sigma
    assert np.abs(np.corrcoef(unsaid[:, [2, 3, 5]].T.numpy()) - np.eye(3)).max() < 4 / math.sqrt(20_000)
    assert torch.equal(forget(factors, 0.0, generator()), factors)
    assert "a red square" in describe(forget(parse(["a big red square at the top left by day"]), 1.0))


# Captions


def test_captions_are_the_sentences_of_the_specification() -> None:
    rows = torch.tensor([[0, 0, 0, 0, 0, 1], [4, 1, 1, 1, 1, 0], [4, 1, UNSAID, UNSAID, UNSAID, UNSAID]])
    assert describe(rows) == [
        "a small red circle at the top left by day",
        "a big orange star at the middle centre by night",
        "an orange star",
    ]
    rows = torch.tensor([[0, 0, 0, 4, 4, 1], [5, 3, 3, 3, 1, 0]])
    assert describe_scenes(rows) == [
        "a red circle left of a blue star by day",
        "a green ring below an orange cross by night",
    ]
    assert describe_clips(torch.tensor([[0, 0, 0, 1], [1, 5, 5, 0]])) == [
        "a red circle moves left by day",
        "a pink square grows by night",
    ]


def test_captions_go_to_tokens_and_back_to_factors() -> None:
    for rows, say, read in (
        (all_factors(), describe, parse),
        (all_scene_factors(), describe_scenes, parse_scenes),
        (all_clip_factors(), describe_clips, parse_clips),
        (forget(all_factors(), 0.4, generator()), describe, parse),
    ):
        captions = say(rows)
        tokens = tokenise(captions)
        assert tokens.shape == (len(rows), MAX_TOKENS)
        assert detokenise(tokens) == captions
        assert torch.equal(read(captions), rows)
    assert len(set(describe(all_factors()))) == 1296


def test_vocabulary_is_small_and_every_word_is_used() -> None:
    assert len(VOCABULARY) == len(set(VOCABULARY)) == 37
    assert VOCABULARY[PAD] == ""
    every = (
        describe(all_factors()) + describe_scenes(all_scene_factors()) + describe_clips(all_clip_factors())
    )
    every.append("an orange star")
    assert {word for caption in every for word in caption.split()} == set(VOCABULARY) - {""}
    assert max(len(caption.split()) for caption in every) == MAX_TOKENS


def test_empty_caption_is_all_padding() -> None:
    assert tokenise([""]).tolist() == [[PAD] * MAX_TOKENS]
    assert detokenise(tokenise([""])) == [""]
    assert tokenise([]).shape == (0, MAX_TOKENS)


def test_captions_that_cannot_be_read_are_refused() -> None:
    for read, caption in (
        (parse, "a circle red"),
        (parse, "a red circle moves left by day"),
        (parse, "a red circle by day, please"),
        (parse_scenes, "a small red circle at the top left by day"),
        (parse_clips, "a red circle left of a blue star by day"),
    ):
        with pytest.raises(
            ValueError, match=f"cannot read the caption '{re.escape(caption)}'; expected one like"
        ):
            read([caption])
    with pytest.raises(
        ValueError, match="unknown word 'purple' in 'a purple circle'; VOCABULARY lists the words"
    ):
        tokenise(["a purple circle"])
    with pytest.raises(ValueError, match="a caption has at most 10 words, got 11"):
        tokenise(["a " * 11])


# The sets


@pytest.mark.parametrize("make", [shapes, scenes, clips], ids=lambda make: make.__name__)
def test_sets_are_deterministic_in_the_seed(make: type[shapes]) -> None:  # type: ignore[valid-type]
    state = torch.random.get_rng_state()
    first, again, other = make(20, 16, generator(3)), make(20, 16, generator(3)), make(20, 16, generator(4))
    assert torch.equal(first.x, again.x)
    assert first.captions == again.captions
    assert not torch.equal(first.x, other.x)
    large = make(20, 32, generator(3))
    assert torch.equal(first.factors, large.factors)
    pooled = torch.nn.functional.avg_pool2d(large.x.flatten(0, -4), 2).view(first.x.shape)
    assert (pooled - first.x).square().mean().sqrt() < 0.03
    assert torch.equal(state, torch.random.get_rng_state())
    frames = (FRAMES,) if make is clips else ()
    assert first.x.shape == (20, *frames, 3, 16, 16)
    assert first.x.dtype == torch.float32
    assert first.tokens.dtype == first.factors.dtype == torch.int64
    assert torch.equal(first.tokens, tokenise(first.captions))
    assert len(first) == 20
    assert len(make(0, 16, generator())) == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("make", "oracle"),
    [(shapes, Oracle), (scenes, SceneOracle), (clips, ClipOracle)],
    ids=["one", "two", "clip"],
)
def test_device_follows_the_generator(make: type[shapes], oracle: type[Oracle]) -> None:  # type: ignore[valid-type]
    data = make(200, 16, torch.Generator("cuda").manual_seed(0))
    assert data.x.is_cuda
    assert data.tokens.is_cuda
    factors = canonical_scenes(data.factors) if make is scenes else data.factors
    assert torch.equal(oracle(16).read(data.x).factors, factors)


def test_scene_captions_agree_with_the_pixels() -> None:
    data = scenes(600, 16, generator(), held_out="include")
    ticks = torch.arange(16) + 0.5
    told = set()
    for x, caption in zip(data.x, data.captions, strict=True):
        match = re.fullmatch(r"an? (\w+) \w+ (left of|right of|above|below) an? (\w+) \w+ by (\w+)", caption)
        assert match is not None
        first, relation, second, background = match.groups()
        told.add(relation)
        # Each pixel is a mixture of the background and the two colours: solve for the shares.
        plain = rgb(background)
        inks = torch.stack([rgb(first) - plain, rgb(second) - plain], dim=1)  # (3, 2)
        masses = torch.linalg.lstsq(inks, x.flatten(1) - plain[:, None]).solution.view(2, 16, 16)
        assert masses.sum(dim=(1, 2)).min() > 8
        (x1, y1), (x2, y2) = (
            ((mass.sum(0) * ticks).sum() / mass.sum(), (mass.sum(1) * ticks).sum() / mass.sum())
            for mass in masses
        )
        along, across = (x2 - x1, y2 - y1) if relation in ("left of", "right of") else (y2 - y1, x2 - x1)
        sign = 1 if relation in ("left of", "above") else -1
        # .46 of 16 pixels; a triangle's centroid lies 0.7 pixels below its centre, jitter is up to 0.64 each.
        assert abs(sign * along - 0.46 * 16) < 0.9
        assert abs(across) < 2 * 0.64 + 0.9
    assert told == set(RELATIONS)


def test_a_scene_told_from_the_other_side_is_the_same_picture() -> None:
    data = scenes(300, 16, generator())
    jitter = sample_scene_jitter(300, generator(1))
    canonical = canonical_scenes(data.factors)
    turned = (canonical != data.factors).any(dim=1)
    assert 0.4 < turned.float().mean() < 0.6
    assert (canonical[:, 2] % 2 == 0).all()
    swapped = torch.where(turned[:, None, None], jitter.flip(1), jitter)
    here, there = render_scenes(data.factors, 16, jitter), render_scenes(canonical, 16, swapped)
    torch.testing.assert_close(here, there, rtol=0, atol=0.2)  # touching edges blend in another order
    assert (here - there).abs().mean() < 1e-4
    assert torch.equal(canonical_scenes(canonical), canonical)


def test_clips_move_as_they_are_told() -> None:
    data = clips(300, 16, generator(), held_out="include")
    ticks = torch.arange(16) + 0.5
    frame = torch.arange(FRAMES) - 3.5
    for x, caption, factors in zip(data.x, data.captions, data.factors, strict=True):
        match = re.fullmatch(r"an? (\w+) (\w+) (.+) by (\w+)", caption)
        assert match is not None
        ink, shape, motion, background = match.groups()
        step = rgb(ink) - rgb(background)
        # The coverage is the share of the ink in each pixel's colour.
        mass = ((x - rgb(background)[:, None, None]) * step[:, None, None]).sum(dim=1) / step.square().sum()
        total = mass.sum(dim=(1, 2))  # (8,)
        columns = (mass.sum(1) * ticks).sum(1) / total
        rows = (mass.sum(2) * ticks).sum(1) / total
        radius = (total / AREAS[shape]).sqrt() / 16
        slopes = [
            ((series * frame).sum() / frame.square().sum()).item() for series in (columns, rows, radius)
        ]
        expected = {
            "moves left": (-1, 0, 0),
            "moves right": (1, 0, 0),
            "moves up": (0, -1, 0),
            "moves down": (0, 1, 0),
            "stays": (0, 0, 0),
            "grows": (0, 0, 0.16 / 7),
            "shrinks": (0, 0, -0.16 / 7),
        }[motion]
        # A growing triangle's centroid, 0.22 radii below its centre, sinks by 0.08 pixels a frame.
        assert slopes == pytest.approx(expected, abs=0.1), caption
        assert slopes[2] == pytest.approx(expected[2], abs=0.003)
        assert radius.mean() == pytest.approx(0.2, rel=0.05)
        assert columns.mean() == pytest.approx(8, abs=0.03 * 16 + 0.1)
        assert SHAPES[factors[0]] == shape
    assert {MOTIONS[m] for m in data.factors[:, 2].tolist()} == set(MOTIONS)


# Oracles


@pytest.mark.parametrize("size", [16, 32])
def test_oracle_is_exact_on_real_images(size: int) -> None:
    data = shapes(2_000, size, generator(11), held_out="include")
    reading = Oracle(size).read(data.x)
    assert torch.equal(reading.factors, data.factors)
    assert reading.rms.max() < 0.005
    assert reading.factors.dtype == torch.int64


def test_oracle_reads_every_combination_at_the_largest_jitter() -> None:
    factors = all_factors()
    corners = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)))
    for seed in range(2):
        jitter = corners[torch.randint(8, (len(factors),), generator=generator(seed))]
        assert torch.equal(Oracle(16).read(render(factors, 16, jitter)).factors, factors)


def test_oracle_reads_the_jitter_too() -> None:
    factors, jitter = sample_factors(300, generator()), sample_jitter(300, generator(1))
    found = Oracle(16).read(render(factors, 16, jitter)).jitter
    assert (found - jitter).abs().max() < 0.05


def test_oracle_under_noise() -> None:
    data = shapes(2_000, 16, generator(12), held_out="include")
    noise = torch.randn(data.x.shape, generator=generator(13))
    reading = Oracle(16).read(data.x + 0.4 * noise)
    right = reading.factors == data.factors
    # .978 was measured; four standard errors below it.
    assert right.all(dim=1).float().mean() > 0.965
    assert (right.float().mean(dim=0) > 0.965).all()
    assert right[:, 1:].all(dim=1).float().mean() > 0.99  # what goes wrong is the shape
    assert ((reading.rms - 0.4).abs() < 0.05).all()  # the misfit is the noise


def test_misfit_tells_a_flawed_picture() -> None:
    data = shapes(200, 16, generator())
    flawed = data.x.clone()
    flawed[:, :, 7:9] = 0.0  # a grey bar
    reading = Oracle(16).read(flawed)
    assert (reading.rms > CLEAN_RMS).all()
    blank = rgb("day")[None, :, None, None].expand(1, 3, 16, 16)
    assert Oracle(16).read(blank).rms.item() > CLEAN_RMS
    # The definition, by hand: the root of the mean squared difference from the best drawing.
    drawn = render(reading.factors, 16, reading.jitter)
    by_hand = (flawed - drawn).square().mean(dim=(1, 2, 3)).sqrt()
    torch.testing.assert_close(reading.rms, by_hand)


@pytest.mark.parametrize("size", [16, pytest.param(32, marks=pytest.mark.slow)])
def test_scene_oracle_is_exact_on_real_images(size: int) -> None:
    data = scenes(4_800 // size, size, generator(14), held_out="include")
    oracle = SceneOracle(size)
    reading = oracle.read(data.x)
    assert torch.equal(reading.factors, canonical_scenes(data.factors))
    assert oracle.agrees(data.x, data.factors).all()
    assert reading.rms.max() < 0.03
    swapped = data.factors[:, [0, 4, 2, 3, 1, 5]]  # the colours change places: the binding mistake
    assert not oracle.agrees(data.x, swapped).any()
    noise = torch.randn(data.x.shape, generator=generator(15))
    assert oracle.agrees(data.x + 0.4 * noise, data.factors).float().mean() > 0.95  # .980 at 16 pixels


@pytest.mark.parametrize("size", [16, pytest.param(32, marks=pytest.mark.slow)])
def test_clip_oracle_is_exact_on_real_clips(size: int) -> None:
    data = clips(3_200 // size, size, generator(16), held_out="include")
    oracle = ClipOracle(size)
    reading = oracle.read(data.x)
    assert torch.equal(reading.factors, data.factors)
    assert reading.rms.max() < 0.005
    noise = torch.randn(data.x.shape, generator=generator(17))
    assert (oracle.read(data.x + 0.4 * noise).factors == data.factors).all(dim=1).float().mean() > 0.99
    # Played backwards, left is right and growing is shrinking.
    back = oracle.read(data.x.flip(1)).factors
    swap = torch.tensor([1, 0, 3, 2, 4, 6, 5])
    assert torch.equal(back[:, 2], swap[data.factors[:, 2]])


def test_oracles_refuse_other_sizes_and_take_empty_batches() -> None:
    with pytest.raises(
        ValueError, match=r"x must be floating point \(N, 3, 16, 16\) in \[-1, 1\], got .*32, 32\)"
    ):
        Oracle(16).read(torch.zeros(2, 3, 32, 32))
    with pytest.raises(ValueError, match=r"x must be floating point \(N, 8, 3, 16, 16\)"):
        ClipOracle(16).read(torch.zeros(2, 3, 16, 16))
    with pytest.raises(ValueError, match=r"got torch.uint8"):
        SceneOracle(16).read(torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    assert Oracle(16).read(torch.zeros(0, 3, 16, 16)).factors.shape == (0, 6)
    data = shapes(5, 16, generator())
    assert torch.equal(Oracle(16).read(data.x.double()).factors, data.factors)


# Colours for colour-blind readers


# Dichromats see linear RGB through these. Machado, Oliveira & Fernandes 2009, severity 1.
MACHADO = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
# Viénot, Brettel & Mollon 1999: to cone responses, one cone replaced by the others, and back.
RGB_TO_LMS = np.array(
    [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
)
REPLACED = {
    "protanopia": [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]],
    "deuteranopia": [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]],
}
VIENOT = {name: np.linalg.inv(RGB_TO_LMS) @ np.array(m) @ RGB_TO_LMS for name, m in REPLACED.items()}
SIGHTS = {
    "normal": np.eye(3),
    **{f"{name}, Machado": np.array(m) for name, m in MACHADO.items()},
    **{f"{name}, Viénot": m for name, m in VIENOT.items()},
}


def linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lab(linear_rgb: np.ndarray) -> np.ndarray:
    """CIELAB under D65 of linear sRGB."""
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = np.clip(linear_rgb, 0, 1) @ to_xyz.T / to_xyz.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_the_simulator_knows_what_is_known() -> None:
    np.testing.assert_allclose(lab(np.array([[1.0, 0, 0]])), [[53.24, 80.09, 67.20]], atol=0.02)
    np.testing.assert_allclose(lab(np.array([[1.0, 1, 1]])), [[100, 0, 0]], atol=0.01)
    for sight in SIGHTS.values():
        np.testing.assert_allclose(sight @ np.ones(3), 1, atol=2e-3)  # grey stays grey
    red, green = (
        np.array([[0.4, 0, 0]]),
        np.array([[0, 0.11, 0]]),
    )  # confused: far apart for us, near for them
    for name, sight in SIGHTS.items():
        distance = np.linalg.norm(lab(red @ sight.T) - lab(green @ sight.T))
        assert (distance > 70) == (name == "normal")


@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_are_told_apart_by_everyone(sight: str) -> None:
    srgb = np.array(COLOUR_RGB + BACKGROUND_RGB) / 255
    seen = lab(linear(srgb) @ SIGHTS[sight].T)
    names = COLOURS + BACKGROUNDS
    for i, j in itertools.combinations(range(len(names)), 2):
        # A difference of 2 is just noticeable side by side; 25 is plain at a glance in small patches.
        assert np.linalg.norm(seen[i] - seen[j]) > 25, (names[i], names[j])


def test_colours_deserve_their_names() -> None:
    hues = {
        name: 360 * colorsys.rgb_to_hsv(*(v / 255 for v in colour))[0]
        for name, colour in zip(COLOURS, COLOUR_RGB, strict=True)
    }
    ranges = {
        "red": (-15, 15),
        "orange": (25, 45),
        "yellow": (50, 65),
        "green": (90, 170),
        "blue": (200, 250),
    }
    for name, (low, high) in ranges.items():
        assert low < hues[name] < high
    assert 290 < hues["pink"] < 350
