"""Diffusion models: noise is added by a fixed process, and a network learns to take it away.

schedule      how much of data and noise there is at each time: DDPM's steps, continuous time, EDM's levels
process       the forward process: closed form, one step, posterior
predictions   x0, eps, v and the score, and the maps between them; `Denoiser`, (x_t, t) -> x0_hat
reverse       mean and variance of one reverse step; the learned variance
losses        squared errors and their weights: simple, variational, min-SNR, hybrid
bound         the variational bound, term by term, in nats
samplers      `ancestral`, `ddim`, `heun`, `ddim_invert`: generators of steps, with one signature
guidance      by a classifier, and without one
edm           preconditioning and loss by noise level
exact         mixtures of Gaussians, whose denoiser is known
networks      a residual MLP; the U-Net is `dgm.nn.UNet`

Arguments come in one order: the state x_t, its time t, the prediction or noise, the schedule.
"""

from dgm.diffusion.bound import Bound, decoder_nll, prior_kl, step_kl, variational_bound
from dgm.diffusion.edm import EDMCoefficients, draw_sigma, edm_coefficients, edm_denoiser, edm_loss
from dgm.diffusion.exact import ExactMixture
from dgm.diffusion.guidance import classifier_free, classifier_guided, drop_labels
from dgm.diffusion.losses import hybrid_loss, min_snr_weight, simple_loss, variational_weight
from dgm.diffusion.networks import MLPNetwork
from dgm.diffusion.predictions import (
    Denoiser,
    clipped,
    convert,
    eps_from_x0,
    make_denoiser,
    score_from_x0,
    training_target,
    v_from_x0,
    x0_from_eps,
    x0_from_score,
    x0_from_v,
)
from dgm.diffusion.process import forward_step, posterior, q_sample, transition
from dgm.diffusion.reverse import VarianceDenoiser, learned_logvar, reverse_moments
from dgm.diffusion.samplers import Step, ancestral, ddim, ddim_invert, heun, initial_noise, sample
from dgm.diffusion.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    EDMSchedule,
    Schedule,
    at_step,
    cosine_schedule,
    draw_steps,
    linear_schedule,
)

__all__ = [
    "Bound",
    "CosineSchedule",
    "Denoiser",
    "DiscreteSchedule",
    "EDMCoefficients",
    "EDMSchedule",
    "ExactMixture",
    "MLPNetwork",
    "Schedule",
    "Step",
    "VarianceDenoiser",
    "ancestral",
    "at_step",
    "classifier_free",
    "classifier_guided",
    "clipped",
    "convert",
    "cosine_schedule",
    "ddim",
    "ddim_invert",
    "decoder_nll",
    "draw_sigma",
    "draw_steps",
    "drop_labels",
    "edm_coefficients",
    "edm_denoiser",
    "edm_loss",
    "eps_from_x0",
    "forward_step",
    "heun",
    "hybrid_loss",
    "initial_noise",
    "learned_logvar",
    "linear_schedule",
    "make_denoiser",
    "min_snr_weight",
    "posterior",
    "prior_kl",
    "q_sample",
    "reverse_moments",
    "sample",
    "score_from_x0",
    "simple_loss",
    "step_kl",
    "training_target",
    "transition",
    "v_from_x0",
    "variational_bound",
    "variational_weight",
    "x0_from_eps",
    "x0_from_score",
    "x0_from_v",
]
