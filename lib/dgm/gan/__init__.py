"""Generative adversarial networks, from the minimax game to Wasserstein critics.

losses        per sample, on logits: minimax, non-saturating, least squares, hinge, Wasserstein
divergences   the table of f-divergences and its bound; the optimal discriminator; Jensen-Shannon
wasserstein   W1 exactly: on the line by quantiles, in small cases by linear programming
penalties     gradient penalty, R1, weight clipping
spectral      spectral norm by power iteration, and the layers divided by it
cures         feature matching, batch statistics, unrolling
networks      MLP and DCGAN generators and discriminators, projection of labels
steps         one step of the game for `dgm.train.fit`; `sample`; batch norm for sampling
"""

from dgm.gan.cures import (
    MinibatchDiscrimination,
    MinibatchStd,
    feature_matching_loss,
    unrolled_parameters,
)
from dgm.gan.divergences import (
    F_DIVERGENCES,
    FDivergence,
    f_bound,
    f_critic_loss,
    f_divergence,
    game_value,
    jensen_shannon,
    optimal_discriminator,
    optimal_logit,
)
from dgm.gan.losses import (
    discriminator_loss,
    hinge_discriminator_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    non_saturating_generator_loss,
    saturating_generator_loss,
    wgan_critic_loss,
    wgan_generator_loss,
)
from dgm.gan.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator
from dgm.gan.penalties import (
    clip_weights,
    gradient_penalty,
    input_gradients,
    interpolate,
    r1_from_logits,
    r1_penalty,
)
from dgm.gan.spectral import add_spectral_norm, lipschitz_bound, power_iteration, spectral_norm
from dgm.gan.steps import (
    Players,
    frozen,
    gan_step,
    generator_update,
    sample,
    standing_statistics,
    wgan_step,
)
from dgm.gan.wasserstein import Transport, lipschitz_dual, optimal_transport, wasserstein_1d

__all__ = [
    "F_DIVERGENCES",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "FDivergence",
    "MLPDiscriminator",
    "MLPGenerator",
    "MinibatchDiscrimination",
    "MinibatchStd",
    "Players",
    "Transport",
    "add_spectral_norm",
    "clip_weights",
    "discriminator_loss",
    "f_bound",
    "f_critic_loss",
    "f_divergence",
    "feature_matching_loss",
    "frozen",
    "game_value",
    "gan_step",
    "generator_update",
    "gradient_penalty",
    "hinge_discriminator_loss",
    "input_gradients",
    "interpolate",
    "jensen_shannon",
    "least_squares_discriminator_loss",
    "least_squares_generator_loss",
    "lipschitz_bound",
    "lipschitz_dual",
    "non_saturating_generator_loss",
    "optimal_discriminator",
    "optimal_logit",
    "optimal_transport",
    "power_iteration",
    "r1_from_logits",
    "r1_penalty",
    "sample",
    "saturating_generator_loss",
    "spectral_norm",
    "standing_statistics",
    "unrolled_parameters",
    "wasserstein_1d",
    "wgan_critic_loss",
    "wgan_generator_loss",
    "wgan_step",
]
