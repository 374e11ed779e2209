"""How good GANs of the 8x8 digits get in 30 and 40 CPU-seconds: `python bench/gan_digits.py`.

Figure: the Fréchet distance (FD) between 1200 samples and 600 held-out images, in the 64 features of
`digits_features`. Four models, each over the seeds: GAN and WGAN-GP, each without labels and with
pseudo-labels (20 clusters of k-means on the training images; no true label is used). All recipes run a fixed
number of steps and keep their last averaged weights, so no held-out image has a say in the training; the
settings were chosen on another random split.

Images: a random split of all 1797, 1197 to train on and 600 held out, another one for every seed. The
course's usual split, by order, has other writers in each part: there real images are as far from real ones
(FD 24 from the first 1000 to the rest) as the samples of a fair GAN are, and between random parts 5 to 13. A
distance that such a shift dominates says little of a generator; it is printed beside. The classifier behind
the features was trained on the first 1000 images, so on some of either random part. Augmented images are not
used: their own distance to the training images is 14.

Limits: issue 3 of the project states them (30 and 20 for the GAN, 28 and 19 for WGAN-GP) for the features of
another classifier, by which real images are 11 to 14 from real ones. Here that floor is measured over 20
random splits and every limit is multiplied by the ratio of the floors, floor / 12.5. All become stricter.

Also: every class has 5 to 15 % of the samples, by the classifier; of ten seeds of WGAN-GP none collapses
(fewer than eight classes above 4 %); the CPU time of `gan_step` and `wgan_step` over that of the same step on
the same networks in plain PyTorch, at most 1.05. Some twelve minutes on an idle core.
"""

import argparse
import copy
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from common import CpuClock, Figure, finish, parse_options, table, warm_up
from dgm.data import Batches, from_pm1, load_digits, to_pm1
from dgm.gan import MLPDiscriminator, MLPGenerator, Players, gan_step, sample, wgan_step
from dgm.metrics import class_shares, classes_covered, digits_features, frechet_distance
from dgm.nn import EMA, seeded
from dgm.train import fit
from torch import Tensor

SAMPLES = 1200  # for the Fréchet distance, which depends on the number
HELD_OUT = 600
LEVELS = 17
ISSUE_FLOOR = 12.5  # middle of the 11 to 14 that the issue's classifier reads between real images
SPLITS = 20  # over which the floor is measured here: one split reads 5 to 12
COLLAPSE_SEEDS = 10


@dataclass(frozen=True)
class Recipe:
    """All that a run depends on, beside the seed.

    Args:
        wgan: Wasserstein critic with gradient penalty, else the non-saturating GAN with R1.
        clusters: pseudo-labels; 0 for none.
        steps: of the game; both rates fall linearly to a fiftieth.
        rate_g: of the generator's Adam.
        rate_d: of the discriminator's Adam.
        beta_1: of both.
        weight: of R1 or of the gradient penalty.
        issue_limit: of the issue, on its scale.
        issue_aim: likewise.
        seconds: what the run may take on an idle core; for a warning only.
    """

    wgan: bool
    clusters: int
    steps: int
    rate_g: float
    rate_d: float
    beta_1: float
    weight: float
    issue_limit: float
    issue_aim: float
    seconds: float
    batch: int = 64
    latents: int = 32
    hidden: tuple[int, ...] = (256, 256)
    ema: float = 0.999


RECIPES = {
    "GAN": Recipe(False, 0, 4500, 5e-4, 5e-4, 0.5, 0.1, 30, 24, 30),
    "GAN, pseudo-labels": Recipe(False, 20, 4000, 5e-4, 5e-4, 0.5, 0.1, 20, 20, 30),
    "WGAN-GP": Recipe(True, 0, 4500, 5e-4, 1e-3, 0.0, 1.0, 28, 22, 40),
    "WGAN-GP, pseudo-labels": Recipe(True, 20, 4500, 5e-4, 1e-3, 0.0, 1.0, 19, 19, 40),
}


def all_digits() -> Tensor:
    """All 1797 images, uint8 (1797, 1, 8, 8)."""
    return torch.cat([load_digits(split).x for split in ("train", "valid", "test")])


def random_split(seed: int) -> tuple[Tensor, Tensor]:
    """1197 images to train on and 600 held out."""
    x = all_digits()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return x[order[HELD_OUT:]], x[order[:HELD_OUT]]


def distance(x: Tensor, reference: Tensor) -> float:
    """Fréchet distance between two sets of images, uint8."""
    features = digits_features().features
    return frechet_distance(features(to_pm1(x, LEVELS)), features(to_pm1(reference, LEVELS)))


def pseudo_labels(x: Tensor, clusters: int, seed: int) -> Tensor:
    """k-means of the pixels: (N,) cluster of each image."""
    from sklearn.cluster import KMeans

    means = KMeans(clusters, n_init=2, random_state=seed)
    return torch.as_tensor(means.fit_predict(x.flatten(1).double().numpy())).long()


def networks(recipe: Recipe, seed: int) -> Players:
    """Both networks with their optimisers; the weights depend on the seed alone."""
    with seeded(seed):
        g = MLPGenerator(recipe.latents, (1, 8, 8), recipe.hidden, classes=recipe.clusters)
        d = MLPDiscriminator((1, 8, 8), recipe.hidden, classes=recipe.clusters, minibatch_std=True)
    adam = partial(torch.optim.Adam, betas=(recipe.beta_1, 0.99), fused=True)
    return Players(
        g,
        d,
        adam(g.parameters(), lr=recipe.rate_g),
        adam(d.parameters(), lr=recipe.rate_d),
        EMA(g, recipe.ema),
    )


def train(recipe: Recipe, x: Tensor, seed: int) -> tuple[Players, Tensor]:
    """Train on images x; the players, and the pseudo-label of each image (zeros without clusters)."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.zeros(len(x), dtype=torch.int64)
    if recipe.clusters:
        y = pseudo_labels(x, recipe.clusters, seed)
    batches = Batches(to_pm1(x, LEVELS), y, batch_size=recipe.batch, generator=rng)
    players = networks(recipe, seed)
    schedules = [
        torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.02, recipe.steps)
        for o in (players.optimiser_g, players.optimiser_d)
    ]

    def step(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        labels = batch[1] if recipe.clusters else None
        if recipe.wgan:
            scalars = wgan_step(players, batch[0], labels, penalty=recipe.weight, rng=rng)
        else:
            scalars = gan_step(players, batch[0], labels, r1=recipe.weight, rng=rng)
        for schedule in schedules:
            schedule.step()
        return scalars

    fit(step, batches, steps=recipe.steps)
    return players, y


def draw(players: Players, recipe: Recipe, y: Tensor) -> Tensor:
    """1200 samples as grey levels, uint8; pseudo-labels in the shares they have among the training images."""
    rng = torch.Generator().manual_seed(1)
    labels = y[torch.randint(len(y), (SAMPLES,), generator=rng)] if recipe.clusters else None
    return from_pm1(sample(players.best_generator, SAMPLES, labels, rng=rng), LEVELS)


def measure(name: str, recipe: Recipe, seed: int) -> dict[str, Any]:
    """One run, one row."""
    print(f"{name} (seed {seed})", flush=True)
    x, held_out = random_split(seed)
    with CpuClock() as clock:
        players, y = train(recipe, x, seed)
    samples = draw(players, recipe, y)
    shares = class_shares(digits_features().logits(to_pm1(samples, LEVELS)))
    return {
        "row": name,
        "seed": seed,
        "fd_real": distance(x, held_out),
        "fd_held_out": distance(samples, held_out),
        "fd_train": distance(samples, x),
        "least_class_percent": 100 * shares.min().item(),
        "largest_class_percent": 100 * shares.max().item(),
        "classes_above_4_percent": classes_covered(shares),
        "train_cpu_s": clock.seconds,
    }


def floors() -> dict[str, float]:
    """What real images read against real images."""
    ordered = all_digits()
    over_splits = [distance(*random_split(seed)) for seed in range(SPLITS)]
    return {
        f"mean over {SPLITS} splits": statistics.fmean(over_splits),
        "by order: first 1000 to the other 797": distance(ordered[:1000], ordered[1000:]),
    }


# The overhead of a step


def plain_step(recipe: Recipe, rng: torch.Generator) -> Callable[[Tensor], None]:
    """The same step as anyone would write it by hand, on the same layers in nn.Sequential."""
    nets = networks(recipe, 0)  # initial weights; the layers below share them
    g = nets.generator.net
    body, head = nets.discriminator.net, nets.discriminator.head
    adam_g, adam_d = nets.optimiser_g, nets.optimiser_d
    average = copy.deepcopy(g)  # with batch norm's statistics, which sampling needs

    def d(x: Tensor) -> Tensor:
        h = body(x)
        std = (h.var(0, correction=0) + 1e-8).sqrt().mean()
        return head(torch.cat([h, std.expand(len(h), 1)], 1))[:, 0]

    def step(x: Tensor) -> None:
        with torch.no_grad():
            fake = g(torch.randn(len(x), recipe.latents, generator=rng)).reshape(x.shape)
        adam_d.zero_grad()
        if recipe.wgan:
            loss = (d(fake) - d(x)).mean()
            eps = torch.rand(len(x), 1, 1, 1, generator=rng)
            mixed = (eps * x + (1 - eps) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(d(mixed).sum(), mixed, create_graph=True)
            loss = loss + recipe.weight * (slope.flatten(1).norm(dim=1) - 1).square().mean()
        else:
            x = x.detach().requires_grad_()
            real = d(x)
            loss = (F.softplus(-real) + F.softplus(d(fake))).mean()
            (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
            loss = loss + recipe.weight * 0.5 * slope.flatten(1).square().sum(1).mean()
        loss.backward()
        adam_d.step()
        adam_g.zero_grad()
        for p in nets.discriminator.parameters():
            p.requires_grad_(False)
        values = d(g(torch.randn(len(x), recipe.latents, generator=rng)).reshape(x.shape))
        (-values if recipe.wgan else F.softplus(-values)).mean().backward()
        for p in nets.discriminator.parameters():
            p.requires_grad_(True)
        adam_g.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(g.parameters()), 1 - recipe.ema)
            for copied, buffer in zip(average.buffers(), g.buffers(), strict=True):
                copied.copy_(buffer)

    return step


def overhead(recipe: Recipe, rounds: int) -> float:
    """CPU time of dgm's step over that of the plain one: a median over rounds that alternate."""
    x = to_pm1(load_digits("train").x[: recipe.batch], LEVELS)
    rng = torch.Generator().manual_seed(0)
    players = networks(recipe, 0)
    if recipe.wgan:
        ours: Callable[[Tensor], Any] = partial(wgan_step, players, penalty=recipe.weight, rng=rng)
    else:
        ours = partial(gan_step, players, r1=recipe.weight, rng=rng)
    plain = plain_step(recipe, rng)
    ratios = []
    for i in range(rounds + 1):
        seconds = []
        for step in (ours, plain) if i % 2 else (plain, ours):
            with CpuClock() as clock:
                for _ in range(20):
                    step(x)
            seconds.append(clock.seconds)
        ratios.append(seconds[0] / seconds[1] if i % 2 else seconds[1] / seconds[0])
    return statistics.median(ratios[1:])  # the first round warms up


def show(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    columns = ("", "seed", "FD real", "FD held-out", "FD train", "least %", "largest %", "classes", "CPU-s")
    return table(columns, [list(row.values()) for row in rows])


def figures_of(name: str, recipe: Recipe, runs: list[dict[str, Any]], scale: float) -> dict[str, Figure]:
    """The figures of one model, over its runs."""
    key = name.lower().replace(", ", "_").replace("-", "_")
    figures = {
        f"{key}_fd": Figure(
            [run["fd_held_out"] for run in runs], "FD", at_most=round(recipe.issue_limit * scale, 1)
        ),
        f"{key}_least_class": Figure([min(run["least_class_percent"] for run in runs)], "%", at_least=5.0),
        f"{key}_largest_class": Figure(
            [max(run["largest_class_percent"] for run in runs)], "%", at_most=15.0
        ),
    }
    seconds = [run["train_cpu_s"] for run in runs]
    return figures | {f"{key}_train_cpu": Figure(seconds, "CPU-s", expected_s=recipe.seconds)}


def main(options: argparse.Namespace) -> None:
    """Measure the floors, the step, then train every model with every seed."""
    warm_up()
    real = floors()
    floor = real[f"mean over {SPLITS} splits"]
    scale = floor / ISSUE_FLOOR
    print("FD of real images to real images: " + ", ".join(f"{k} {v:.1f}" for k, v in real.items()))
    print(f"the issue's limits times {scale:.2f} = {floor:.1f} / {ISSUE_FLOOR}, the ratio of the floors")
    rows, figures = [], {}
    for name, recipe in RECIPES.items():
        key = name.lower().replace("-", "_")
        if not recipe.clusters:
            ratio = overhead(recipe, 5 if options.quick else 40)
            figures[f"{key}_step_ratio"] = Figure([ratio], "of plain PyTorch", at_most=1.05)
        if options.quick:
            recipe = Recipe(**{**recipe.__dict__, "steps": 100})
        runs = [measure(name, recipe, seed) for seed in range(options.seeds)]
        figures |= figures_of(name, recipe, runs, scale)
        if name == "WGAN-GP":
            more = range(options.seeds, options.seeds if options.quick else COLLAPSE_SEEDS)
            runs += [measure(name, recipe, seed) for seed in more]
            collapsed = sum(run["classes_above_4_percent"] < 8 for run in runs)
            figures[f"{key}_collapsed"] = Figure([collapsed], f"of {len(runs)} seeds", at_most=0)
        rows += runs
    print()
    print(
        f"digits, {len(all_digits()) - HELD_OUT} to train on, {HELD_OUT} held out; {SAMPLES} samples; FD in "
        "thousandths of the features' variance"
    )
    print(show(rows))
    print("\nthe issue's aims on this scale:", end=" ")
    print(", ".join(f"{name} {recipe.issue_aim * scale:.1f}" for name, recipe in RECIPES.items()))
    finish("gan_digits", figures, options=options, rows=rows)


if __name__ == "__main__":
    main(parse_options(__doc__.splitlines()[0]))
