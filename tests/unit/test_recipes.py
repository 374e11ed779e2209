"""dgm.recipes: every family trains, samples and is rated in one way; the figures are of what they say."""

import importlib
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dgm.data import load_digits, to_pm1
from dgm.metrics import digits_features, frechet_distance, precision_recall
from dgm.prob import categorical_log_prob
from dgm.recipes import BUDGETS, RECIPES, Model, anchors, figures_of, fingerprint, sample_figures
from dgm.recipes.autoregressive import PixelModel
from dgm.recipes.diffusion import DiffusionModel, log_schedule
from dgm.recipes.figures import SPEED_BATCH, drawn, samples_per_cpu_s
from dgm.recipes.flow import DigitsFlow

KINDS = {
    "VAE": ["bound", "importance-weighted bound"],
    "GAN": [],
    "WGAN-GP": [],
    "flow": ["bound", "importance-weighted bound"],
    "autoregressive": ["exact"],
    "diffusion": ["bound"],
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def trained(name, seed=0, steps=2):
    """A few steps on a few images."""
    x = load_digits("train").x
    return RECIPES[name].train(seed, steps, images=x[:80], valid=x[80:90])


@pytest.fixture(scope="module", params=RECIPES)
def family(request):
    """A name and its model of two steps."""
    return request.param, trained(request.param)


def test_the_families_are_those_of_the_comparison():
    assert list(RECIPES) == list(KINDS)


def test_samples_are_grey_levels(family):
    _, model = family
    x = model.sample(7, generator())
    assert x.shape == (7, 1, 8, 8)
    assert x.dtype == torch.uint8
    assert x.max() <= 16
    assert len(x.unique()) > 2
    assert torch.equal(x, model.sample(7, generator()))
    assert not torch.equal(x, model.sample(7, generator(1)))


def test_a_run_depends_on_its_seed_and_steps_alone(family):
    name, model = family
    before = torch.random.get_rng_state()
    torch.rand(3)  # what else was drawn has no say
    again, other, longer = trained(name), trained(name, seed=1), trained(name, steps=3)
    torch.random.set_rng_state(before)
    weights = model.network.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in again.network.state_dict().items())
    for changed in (other, longer):
        assert not all(
            torch.equal(weights[key], value) for key, value in changed.network.state_dict().items()
        )
    trained(name)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_bits_are_those_of_17_levels_and_of_the_kinds_that_are_said(family):
    name, model = family
    bits = model.bits_per_dimension(load_digits("test").x[:20])
    assert list(bits) == KINDS[name]
    for value in bits.values():
        # Hardly trained: far from 1.8, not much beyond the 4.09 of equal levels.
        assert 2.5 < value < 6.5
    if len(bits) == 2:
        assert bits["importance-weighted bound"] <= bits["bound"]


def test_parameters_are_those_of_what_samples(family):
    name, model = family
    assert model.parameters == sum(p.numel() for p in model.network.parameters()) > 10_000
    assert not model.network.training
    if "GAN" in name:
        players = model.players
        assert model.network is players.ema.model
        assert model.parameters == sum(p.numel() for p in players.generator.parameters())


@pytest.mark.parametrize("name", RECIPES)
def test_no_training_reads_the_test_split(name, monkeypatch):
    recipe = RECIPES[name]
    asked = []

    def load(split):
        asked.append(split)
        data = load_digits(split)
        return replace(data, x=data.x[:80], y=data.y[:80])

    monkeypatch.setattr(importlib.import_module(type(recipe).__module__), "load_digits", load)
    model = recipe.train(0, 2)
    validated = name in ("VAE", "flow", "autoregressive")
    assert asked == (["train", "valid"] if validated else ["train"])
    assert (model.best_step is not None) == validated


def test_without_arguments_the_digits_splits_are_trained_on(monkeypatch):
    """The GAN: the quickest. What it is given is the training split, scaled."""
    import dgm.recipes.gan as module

    given = []

    def stop(step, batches, **kwargs):
        given.append((batches.tensors[0], kwargs["steps"]))

    monkeypatch.setattr(module, "fit", stop)
    RECIPES["GAN"].train(0)
    images, steps = given[0]
    assert torch.equal(images, to_pm1(load_digits("train").x, 17))
    assert steps == RECIPES["GAN"].full_steps


def test_budgets():
    for recipe in RECIPES.values():
        full, quarter = (recipe.budget(name) for name in BUDGETS)
        # A quarter of the time; the images' warping and the validations take their share of it.
        assert 0.2 < quarter / full < 0.26
    with pytest.raises(ValueError, match="full, quarter, got 'half'"):
        RECIPES["GAN"].budget("half")


def test_fingerprints_change_with_every_field():
    seen = {fingerprint(recipe) for recipe in RECIPES.values()}
    assert len(seen) == len(RECIPES)
    vae = RECIPES["VAE"]
    changed = [
        replace(vae, rate=1e-3),
        replace(vae, full_steps=vae.full_steps + 1),
        replace(vae, config=replace(vae.config, latents=8)),
    ]
    assert len({fingerprint(vae), *map(fingerprint, changed)}) == 4
    assert fingerprint(vae) == fingerprint(replace(vae))


# Likelihoods against independent values


def test_exact_bits_are_those_of_the_conditionals_of_a_real_image():
    model = trained("autoregressive")
    x = load_digits("test").x[:30].int()
    y = torch.zeros(30, dtype=torch.int64)
    with torch.no_grad():
        nats = categorical_log_prob(model.network(x, y), x).mean().item()
        warped = categorical_log_prob(model.network(x, y + 1), x).mean().item()
    bits = model.bits_per_dimension(x.byte())["exact"]
    assert bits == pytest.approx(-nats / 64 / math.log(2), rel=1e-6)
    assert bits != pytest.approx(-warped / 64 / math.log(2), rel=1e-6)


def test_equal_levels_have_their_entropy():
    class Equal(nn.Module):
        classes = 0

        def log_prob(self, x, y):
            return torch.full((len(x),), -64 * math.log(17))

    bits = PixelModel(Equal()).bits_per_dimension(load_digits("test").x)
    assert bits["exact"] == pytest.approx(math.log2(17), rel=1e-6)


def test_the_bounds_of_a_flow_with_a_slope_inside_each_level():
    """Density 2 u at x + u: every level has the probability 1 / 17, and the bound misses by E[-log 2 u]."""

    class Slope(nn.Module):
        def log_prob(self, v):
            u = (17 * v).frac().clamp(min=1e-6)
            return (2 * u).log().flatten(1).sum(1)

    bits = DigitsFlow(Slope()).bits_per_dimension(load_digits("test").x)
    # -log 2u = -log 2 - log u, of mean 1 - log 2 and deviation 1 nat, over 16 * 447 * 64 draws.
    error = 5 / math.sqrt(16 * 447 * 64) / math.log(2)
    assert bits["bound"] == pytest.approx(math.log2(17) + 1 / math.log(2) - 1, abs=error)
    assert math.log2(17) < bits["importance-weighted bound"] < bits["bound"] - 0.05


def test_the_bounds_of_a_vae_are_those_of_its_weights():
    model = trained("VAE", steps=20)
    x = load_digits("test").x[:50]
    with torch.no_grad():
        log_w = model.network.log_weights(x.float(), 200, generator(1)).double()  # (200, 50)
    bits = model.bits_per_dimension(x)
    assert bits["bound"] == pytest.approx(-log_w.mean().item() / 64 / math.log(2), rel=1e-5)
    tight = -log_w.exp().mean(0).log().mean().item() / 64 / math.log(2)
    assert bits["importance-weighted bound"] == pytest.approx(tight, rel=1e-5)


def test_the_bound_of_a_diffusion_that_knows_the_image_is_what_its_last_step_leaves_open(monkeypatch):
    """Data of one image: the exact denoiser says it; all that is lost is the last step's and the chain's."""
    recipe = RECIPES["diffusion"]
    x = load_digits("test").x[:1]
    model = DiffusionModel(nn.Identity(), recipe, to_pm1(x, 17)[0])
    monkeypatch.setattr(model, "denoise", lambda x_t, sigma: torch.zeros_like(x_t))
    bits = model.bits_per_dimension(x.expand(5, -1, -1, -1))["bound"]
    variance = recipe.bound_sigma_min**2 / (1 + recipe.bound_sigma_min**2)  # beta_1
    inside = 0.5 * math.erfc(-(1 / 16) / math.sqrt(2 * variance))  # to one side of a level, half a bin
    at_the_end = [inside if level in (0, 16) else 2 * inside - 1 for level in x.flatten().tolist()]
    decoder = -sum(map(math.log2, at_the_end)) / 64
    # The chain's variance is beta_t, the posterior's smaller by the factor r: a KL per entry and step.
    schedule = log_schedule(recipe.bound_steps, recipe.bound_sigma_min, recipe.bound_sigma_max)
    r = (1 - schedule.alpha_bar[1:-1]) / (1 - schedule.alpha_bar[2:])
    chain = 0.5 * (r - 1 - r.log()).sum().item() / math.log(2)
    prior = 0.5 * (to_pm1(x, 17).square().mean() / recipe.bound_sigma_max**2).item() / math.log(2)
    # 20 of the 999 KLs are drawn: they are equal up to the ends, so the chain is met to a tenth.
    assert bits == pytest.approx(decoder + chain + prior, abs=0.1 * chain)
    assert chain < 0.05


def test_the_bounds_chain_has_evenly_spaced_noise():
    schedule = log_schedule(50, 0.05, 80.0)
    t = torch.arange(1, 51)
    ratio = (schedule.sigma(t) / schedule.alpha(t)).double()
    torch.testing.assert_close(ratio[[0, -1]], torch.tensor([0.05, 80.0], dtype=torch.float64))
    steps = ratio.log().diff()
    torch.testing.assert_close(steps, steps.mean().expand_as(steps), rtol=1e-4, atol=0)


def test_the_denoiser_sees_noisy_images_less_their_mean(monkeypatch):
    """An x_t of the chain over alpha, less the mean, is EDM's input at sigma / alpha."""
    train = to_pm1(load_digits("train").x, 17)
    model = DiffusionModel(nn.Identity(), RECIPES["diffusion"], train.mean(0))
    seen = []
    monkeypatch.setattr(model, "denoise", lambda x_t, sigma: seen.append((x_t, sigma)) or 0 * x_t)
    x = load_digits("test").x[:256]
    model.bits_per_dimension(x)
    clean = to_pm1(x, 17) - train.mean(0)
    noise = torch.stack([(x_t - clean) / sigma[:, None, None, None] for x_t, sigma in seen])
    # 344,064 draws: four standard errors of their deviation, 0.0048. The next step's sigma is 0.0074 off.
    assert noise.std().item() == pytest.approx(1, abs=4 / math.sqrt(2 * noise.numel()))


# The figures


class Replay(Model):
    """A model that draws from given images."""

    def __init__(self, images):
        super().__init__(nn.Linear(3, 4))
        self.images = images

    def sample(self, n, generator):
        return self.images[torch.randint(len(self.images), (n,), generator=generator)]


def test_copies_of_the_training_images_are_found_out():
    train = load_digits("train").x
    copies = sample_figures(train)
    assert copies["frechet"] == pytest.approx(0, abs=1e-6)
    assert copies["apart"] == 0
    assert copies["precision"] == copies["recall"] == copies["coverage"] == 1
    assert copies["classes"] == 10
    assert copies["frechet_held_out"] > 20  # other writers: the anchor of the tables


def test_held_out_images_stand_where_the_metrics_put_them():
    held_out = torch.cat([load_digits("valid").x, load_digits("test").x])
    figures = sample_figures(held_out)
    assert figures["apart"] == pytest.approx(1)
    assert figures["frechet_held_out"] == pytest.approx(0, abs=1e-6)
    features = digits_features().features
    train = features(to_pm1(load_digits("train").x, 17))
    x = features(to_pm1(held_out, 17))
    assert figures["frechet"] == pytest.approx(frechet_distance(x, train))
    assert (figures["precision"], figures["recall"]) == precision_recall(train, x, 5)


def test_one_class_alone_is_no_coverage():
    train = load_digits("train")
    ones = sample_figures(train.x[train.y == 1].repeat(10, 1, 1, 1))
    assert ones["classes"] == 1
    assert ones["precision"] > 0.95 > 0.3 > ones["coverage"]
    assert ones["frechet"] > 100


def test_figures_of_a_model_are_of_its_own_samples():
    model = Replay(load_digits("valid").x)
    figures = figures_of(model, 3, samples=150)
    samples = drawn(model, 150, generator(3))
    assert {k: figures[k] for k in sample_figures(samples)} == sample_figures(samples)
    assert (figures["bits"], figures["parameters"]) == ({}, 16)
    assert figures["samples_per_cpu_s"] > 1000


def test_samples_are_drawn_in_batches_of_one_stream():
    sizes = []
    model = SimpleNamespace(
        sample=lambda n, g: sizes.append(n) or torch.randint(17, (n, 1, 8, 8), generator=g)
    )
    x = drawn(model, 2 * SPEED_BATCH + 5, generator())
    assert sizes == [SPEED_BATCH, SPEED_BATCH, 5]
    assert not torch.equal(x[:SPEED_BATCH], x[SPEED_BATCH : 2 * SPEED_BATCH])


def test_a_model_twice_as_slow_has_half_the_speed():
    class Busy(Replay):
        def __init__(self, repeats):
            super().__init__(load_digits("valid").x)
            self.repeats = repeats

        def sample(self, n, generator):
            for _ in range(self.repeats):
                torch.ones(300, 300) @ torch.ones(300, 300)
            return super().sample(n, generator)

    once, four_times = (samples_per_cpu_s(Busy(repeats)) for repeats in (40, 160))
    assert 2 < once / four_times < 8


@pytest.fixture(scope="module")
def rows():
    return {row["name"]: row for row in anchors(samples=300, splits=2)}


def test_anchors_stand_in_order(rows):
    assert list(rows) == [
        "held-out images", "random parts", "training images, redrawn", "independent pixels", "uniform noise"
    ]  # fmt: skip
    random, held_out = rows["random parts"], rows["held-out images"]
    # Same writers are nearer than others; no real image is as far as independent pixels; noise is farthest.
    assert random["frechet"] < held_out["frechet"] < rows["independent pixels"]["frechet"]
    assert rows["independent pixels"]["frechet"] < rows["uniform noise"]["frechet"]
    assert rows["training images, redrawn"]["apart"] == 0 < random["apart"] < held_out["apart"]
    assert "frechet_held_out" not in held_out


def test_bits_of_the_anchors(rows):
    assert rows["uniform noise"]["bits"]["exact"] == pytest.approx(math.log2(17), rel=1e-6)
    train, test = (load_digits(part).x.flatten(1).tolist() for part in ("train", "test"))
    bits = 0.0
    for pixel in range(64):
        column = [image[pixel] for image in train]
        bits -= sum(math.log2((column.count(image[pixel]) + 0.1) / (1000 + 1.7)) for image in test)
    assert rows["independent pixels"]["bits"]["exact"] == pytest.approx(bits / 64 / len(test), rel=1e-5)
