"""Autoencoders and variational autoencoders.

bounds        the bound from its two terms, the importance-weighted bound, log p(x) by importance sampling
gradients     pathwise and score-function gradients of an expectation
regularise    KL warm-up, free bits, active units
autoencoder   squared error; sparse, denoising and contractive variants
observations  from the decoder's outputs to a likelihood: score, mean, draw
models        Encoder, Decoder, MixturePrior, VAE and its configuration
"""

from dgm.vae.autoencoder import (
    contractive_penalty,
    contractive_penalty_estimate,
    corrupt,
    sigmoid_contractive_penalty,
    sparse_penalty,
    squared_error,
)
from dgm.vae.bounds import elbo, importance_log_prob, iwae_bound, kl_one_sample
from dgm.vae.gradients import (
    leave_one_out_baseline,
    pathwise_gradients,
    score_function_gradients,
    score_function_surrogate,
)
from dgm.vae.models import VAE, Decoder, Encoder, MixturePrior, VAEConfig, VAEOutput
from dgm.vae.observations import LIKELIHOODS, Likelihood, Observation, observation
from dgm.vae.regularise import active_units, free_bits, linear_warmup

__all__ = [
    "LIKELIHOODS",
    "VAE",
    "Decoder",
    "Encoder",
    "Likelihood",
    "MixturePrior",
    "Observation",
    "VAEConfig",
    "VAEOutput",
    "active_units",
    "contractive_penalty",
    "contractive_penalty_estimate",
    "corrupt",
    "elbo",
    "free_bits",
    "importance_log_prob",
    "iwae_bound",
    "kl_one_sample",
    "leave_one_out_baseline",
    "linear_warmup",
    "observation",
    "pathwise_gradients",
    "score_function_gradients",
    "score_function_surrogate",
    "sigmoid_contractive_penalty",
    "sparse_penalty",
    "squared_error",
]
