"""Densities and divergences that several families need; all in nats, all returning (B,).

gaussian      diagonal Gaussians: log-density, KL, reparameterised draws, the optimal shared variance
likelihoods   bits, counts, grey levels and classes: Bernoulli, binomial, beta-binomial, categorical,
              discretised logistic and Gaussian
divergences   entropy and KL of discrete distributions and of densities on a grid
"""

from dgm.prob.divergences import entropy, kl_categorical, kl_on_grid
from dgm.prob.gaussian import (
    gaussian_log_prob,
    kl_gaussian_standard,
    kl_gaussian_standard_per_dim,
    kl_gaussians,
    optimal_gaussian_variance,
    reparameterise,
    standard_normal_log_prob,
)
from dgm.prob.likelihoods import (
    bernoulli_log_prob,
    beta_binomial_log_prob,
    binomial_log_prob,
    categorical_log_prob,
    discretised_gaussian_log_prob,
    discretised_logistic_log_prob,
    log_binomial,
)

__all__ = [
    "bernoulli_log_prob",
    "beta_binomial_log_prob",
    "binomial_log_prob",
    "categorical_log_prob",
    "discretised_gaussian_log_prob",
    "discretised_logistic_log_prob",
    "entropy",
    "gaussian_log_prob",
    "kl_categorical",
    "kl_gaussian_standard",
    "kl_gaussian_standard_per_dim",
    "kl_gaussians",
    "kl_on_grid",
    "log_binomial",
    "optimal_gaussian_variance",
    "reparameterise",
    "standard_normal_log_prob",
]
