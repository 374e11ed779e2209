"""One step of the game: the discriminator's update, then the generator's, for `dgm.train.fit` to call.

    players = Players(generator, discriminator, adam_g, adam_d, ema)
    fit(lambda x: gan_step(players, x, r1=0.1, rng=rng), batches, steps=3000)

Neither update leaves a trace in the other player: the discriminator sees samples without a graph, and the
generator's update runs with the discriminator's parameters frozen.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dgm.gan.losses import (
    discriminator_loss,
    non_saturating_generator_loss,
    wgan_critic_loss,
    wgan_generator_loss,
)
from dgm.gan.penalties import clip_weights, gradient_penalty, r1_from_logits
from dgm.nn import EMA

DLoss = Callable[[Tensor, Tensor], Tensor]
GLoss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Players:
    """The two networks with their optimisers, and the average of the generator's weights.

    Args:
        generator: z (B, D), and y where labels are used, to samples; has `latents` = D.
        discriminator: samples, and y, to logits (or critic values) (B,).
        optimiser_g: of the generator's parameters.
        optimiser_d: of the discriminator's parameters.
        ema: of the generator, updated after each of its steps; None for none.
    """

    generator: nn.Module
    discriminator: nn.Module
    optimiser_g: Optimizer
    optimiser_d: Optimizer
    ema: EMA | None = None

    def state(self) -> dict[str, Any]:
        """All that changes in training, by name, for the `state` of `dgm.train.fit`."""
        state = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: part for name, part in state.items() if part is not None}

    @property
    def best_generator(self) -> nn.Module:
        """The averaged generator where there is one, in eval mode; else the generator as it is."""
        return self.generator if self.ema is None else self.ema.model


def gan_step(
    players: Players,
    real: Tensor,
    y: Tensor | None = None,
    *,
    d_loss: DLoss = discriminator_loss,
    g_loss: GLoss = non_saturating_generator_loss,
    r1: float = 0.0,
    rng: torch.Generator | None = None,
) -> dict[str, Tensor]:
    r"""One update of the discriminator and one of the generator.

    D: $\tfrac1B \sum_b L_D(l(x_b), l(G(z_b))) + \gamma R_1$; then G: $\tfrac1B \sum_b L_G(l(G(z'_b)))$ with
    fresh noise.

    Args:
        players: networks and optimisers, which are changed.
        real: (B, ...) real samples.
        y: (B,) their labels, also given to the generator; None without labels.
        d_loss: (real logits (B,), fake logits (B,)) to (B,).
        g_loss: fake logits (B,) to (B,).
        r1: gamma, weight of `r1_penalty`; 0 for none.
        rng: draws the noise.

    Returns:
        "d_loss" and "g_loss" (means over the batch), "penalty" (R1 unweighted) where gamma is not 0.

    Source: Goodfellow et al. 2014, algorithm 1.
    Test: tests/unit/test_gan.py::test_updates_leave_no_gradient_in_the_other_player
    """
    labels = () if y is None else (y,)
    scalars: dict[str, Tensor] = {}
    fake = _fakes(players.generator, len(real), labels, real, rng)
    if r1:
        real = real.detach().requires_grad_()
    real_logits = players.discriminator(real, *labels)  # (B,)
    loss = d_loss(real_logits, players.discriminator(fake, *labels)).mean()
    scalars["d_loss"] = loss.detach()
    if r1:
        penalty = r1_from_logits(real_logits, real).mean()
        scalars["penalty"] = penalty.detach()
        loss = loss + r1 * penalty
    _descend(players.optimiser_d, loss)
    scalars["g_loss"] = generator_update(players, len(real), y, g_loss=g_loss, like=real, rng=rng)
    return scalars


def wgan_step(
    players: Players,
    real: Tensor,
    y: Tensor | None = None,
    *,
    penalty: float = 0.0,
    clip: float = 0.0,
    critic_steps: int = 1,
    rng: torch.Generator | None = None,
) -> dict[str, Tensor]:
    r"""`critic_steps` updates of the critic, each on its own part of the batch, and one of the generator.

    Critic: $\tfrac1B \sum_b f(G(z_b)) - f(x_b) + \lambda\, GP$; then G: $-\tfrac1B \sum_b f(G(z'_b))$.

    Args:
        players: networks and optimisers, which are changed; the discriminator is the critic.
        real: (critic_steps B, ...) real samples.
        y: (critic_steps B,) their labels; None without labels.
        penalty: lambda, weight of `gradient_penalty`; 0 for none.
        clip: limit of `clip_weights` after each critic step; 0 for none. (With neither, the critic must keep
            its slope by itself, as with `add_spectral_norm`.)
        critic_steps: updates of the critic per update of the generator.
        rng: draws noise and interpolation.

    Returns:
        "wasserstein" (the critic's estimate, mean over its updates), "g_loss", and "penalty" (unweighted)
        where lambda is not 0.

    Raises:
        ValueError: if the batch does not divide into `critic_steps` parts.

    Source: Arjovsky, Chintala & Bottou 2017 and Gulrajani et al. 2017, algorithm 1 of each.
    Test: tests/unit/test_gan.py::test_updates_leave_no_gradient_in_the_other_player
    """
    if critic_steps < 1 or len(real) % critic_steps:
        raise ValueError(
            f"the batch must divide into critic_steps parts, got {len(real)} samples for {critic_steps}; "
            "make it critic_steps times as large as one critic batch"
        )
    parts = real.chunk(critic_steps)
    labels = [()] * critic_steps if y is None else [(part,) for part in y.chunk(critic_steps)]
    estimates, penalties = [], []
    for x, label in zip(parts, labels, strict=True):
        fake = _fakes(players.generator, len(x), label, x, rng)
        loss = wgan_critic_loss(players.discriminator(x, *label), players.discriminator(fake, *label)).mean()
        estimates.append(-loss.detach())
        if penalty:
            at_label = _with_labels(players.discriminator, label)
            gp = gradient_penalty(at_label, x, fake, generator=rng).mean()
            penalties.append(gp.detach())
            loss = loss + penalty * gp
        _descend(players.optimiser_d, loss)
        if clip:
            clip_weights(players.discriminator, clip)
    scalars = {"wasserstein": _mean(estimates)}
    if penalty:
        scalars["penalty"] = _mean(penalties)
    last = labels[-1][0] if labels[-1] else None
    scalars["g_loss"] = generator_update(
        players, len(parts[-1]), last, g_loss=wgan_generator_loss, like=real, rng=rng
    )
    return scalars


def generator_update(
    players: Players,
    n: int,
    y: Tensor | None = None,
    *,
    g_loss: GLoss = non_saturating_generator_loss,
    like: Tensor | None = None,
    rng: torch.Generator | None = None,
) -> Tensor:
    """The generator's half of a step, with the discriminator frozen, and the moving average's update.

    Args:
        players: whose generator, optimiser_g and ema are changed.
        n: B, number of samples.
        y: (B,) labels; None without.
        g_loss: fake logits (B,) to (B,).
        like: gives dtype and device of the noise; the generator's parameters when None.
        rng: draws the noise.

    Returns:
        () the loss's mean over the batch, without a graph.
    """
    labels = () if y is None else (y,)
    like = next(players.generator.parameters()) if like is None else like
    with frozen(players.discriminator):
        fake = players.generator(_noise(players.generator, n, like, rng), *labels)
        loss = g_loss(players.discriminator(fake, *labels)).mean()
        _descend(players.optimiser_g, loss)
    if players.ema is not None:
        players.ema.update()
    return loss.detach()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Switch off the gradients of a module's parameters inside the block; those to its input still flow.

    Args:
        module: as it was again after the block.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@torch.no_grad()
def sample(
    generator: nn.Module,
    n: int,
    y: Tensor | None = None,
    *,
    rng: torch.Generator | None = None,
) -> Tensor:
    """Draw samples in eval mode (batch norm by its running statistics), and put the mode back.

    Args:
        generator: has `latents`.
        n: how many.
        y: (n,) labels; None without.
        rng: draws the noise.

    Returns:
        (n, ...) samples, without gradients.
    """
    was_training = generator.training
    generator.eval()
    out: Tensor = generator(
        _noise(generator, n, next(generator.parameters()), rng), *(() if y is None else (y,))
    )
    generator.train(was_training)
    return out


@torch.no_grad()
def standing_statistics(
    generator: nn.Module,
    n: int,
    y: Tensor | None = None,
    *,
    batches: int = 100,
    rng: torch.Generator | None = None,
) -> nn.Module:
    r"""Give batch norm the statistics of many fresh batches, for sampling in eval mode.

    $\mu = \tfrac1K \sum_k \mu_k$ and $\sigma^2 = \tfrac1K \sum_k \sigma_k^2$ over K batches, in each layer.

    The running statistics of training remember about the last ten batches, so they are noisy. And they are
    those of the weights in training, which do not fit averaged ones.

    Args:
        generator: whose batch norms get new statistics, in place; its mode stays. Has `latents`.
        n: B, size of a batch: that of training, since the generator learnt with its variances.
        y: (N,) labels to draw each batch's from, with replacement; None without labels.
        batches: K.
        rng: draws noise and labels.

    Returns:
        The same generator.

    Raises:
        ValueError: if `n` is less than 2 or `batches` less than 1.

    Source: Brock, Donahue & Simonyan 2019, "standing statistics".
    Test: tests/unit/test_gan.py::test_standing_statistics_are_means_over_batches
    """
    if n < 2 or batches < 1:
        raise ValueError(f"a variance needs n of at least 2 and batches of at least 1, got {n} and {batches}")
    norms = [m for m in generator.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    like, was_training = next(generator.parameters()), generator.training
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
        generator.train()
        for _ in range(batches):
            z = _noise(generator, n, like, rng)
            labels = () if y is None else (y[torch.randint(len(y), (n,), generator=rng).to(y.device)],)
            generator(z, *labels)
    finally:
        generator.train(was_training)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return generator


@torch.no_grad()
def _fakes(
    generator: nn.Module, n: int, labels: tuple[Tensor, ...], like: Tensor, rng: torch.Generator | None
) -> Tensor:
    """Samples for the discriminator's update: no graph, so nothing can reach the generator."""
    out: Tensor = generator(_noise(generator, n, like, rng), *labels)
    return out


def _noise(generator: nn.Module, n: int, like: Tensor, rng: torch.Generator | None) -> Tensor:
    latents: int = generator.latents  # type: ignore[assignment]
    return torch.randn(n, latents, generator=rng, dtype=like.dtype, device=like.device)


def _mean(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).mean()


def _with_labels(critic: nn.Module, labels: tuple[Tensor, ...]) -> Callable[[Tensor], Tensor]:
    return lambda x: critic(x, *labels)


def _descend(optimiser: Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
