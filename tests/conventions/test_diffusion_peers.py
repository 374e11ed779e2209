"""DDPM and DDIM step by step beside those of diffusers, on equal inputs; `make test-peers` runs this."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from dgm.diffusion import (
    DiscreteSchedule,
    ExactMixture,
    ancestral,
    convert,
    cosine_schedule,
    ddim,
    linear_schedule,
)

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: make test-peers")

F64 = torch.float64
OURS = {"linear": linear_schedule(), "squaredcos_cap_v2": cosine_schedule()}
DATA = ExactMixture.isotropic([[1.0, -0.5], [-0.8, 0.3], [0.0, 0.9]], [0.1, 0.3, 0.2])


def theirs(name: str, beta_schedule: str, kind: str, **options):
    """Their scheduler with tables in float64: float32 ones move x0_hat by 1e-3 at the cosine's end."""
    scheduler = getattr(diffusers, name)(
        1000,
        beta_schedule=beta_schedule,
        prediction_type={"eps": "epsilon", "v": "v_prediction"}[kind],
        clip_sample=False,
        timestep_spacing="trailing",
        **options,
    )
    scheduler.betas = scheduler.betas.double()
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = torch.cumprod(scheduler.alphas, 0)
    return scheduler


def start() -> Tensor:
    return torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=F64)


@pytest.mark.parametrize("beta_schedule", OURS)
def test_tables_are_theirs(beta_schedule):
    scheduler = diffusers.DDPMScheduler(1000, beta_schedule=beta_schedule)
    ours = OURS[beta_schedule]
    torch.testing.assert_close(ours.beta[1:], scheduler.betas.double(), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(ours.alpha_bar[1:], scheduler.alphas_cumprod.double(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("n", [20, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["eps", "v"])
@pytest.mark.parametrize("beta_schedule", OURS)
@pytest.mark.parametrize(
    ("name", "sampler", "our_options", "their_options", "step_options"),
    [
        ("DDPMScheduler", ancestral, {"variance": "small"}, {"variance_type": "fixed_small"}, {}),
        ("DDPMScheduler", ancestral, {"variance": "large"}, {"variance_type": "fixed_large"}, {}),
        ("DDIMScheduler", ddim, {"eta": 0.0}, {}, {"eta": 0.0}),
        ("DDIMScheduler", ddim, {"eta": 0.7}, {}, {"eta": 0.7}),
    ],
    ids=["ddpm-small", "ddpm-large", "ddim", "ddim-eta"],
)
def test_every_step_is_theirs(
    name, sampler, our_options, their_options, step_options, beta_schedule, kind, n
):
    scheduler = theirs(name, beta_schedule, kind, **their_options)
    schedule = DiscreteSchedule(torch.cat([torch.zeros(1, dtype=F64), scheduler.betas]))
    denoiser = DATA.denoiser(schedule)
    scheduler.set_timesteps(n)
    rng = torch.Generator().manual_seed(1)
    steps = list(
        sampler(denoiser, start(), schedule, n, generator=torch.Generator().manual_seed(1), **our_options)
    )
    assert [step.t - 1 for step in steps[:-1]] == scheduler.timesteps.tolist()  # theirs count from 0
    for step, after in pairwise(steps):
        if after.t == 0 and our_options == {"variance": "large"} and n < 1000:
            continue  # they add noise at the last step unless it is their step 0
        t = torch.full((6,), int(step.t))
        prediction = convert(step.x0_hat, step.x_t, t, schedule, "x0", kind)
        expected = scheduler.step(
            prediction, int(step.t) - 1, step.x_t, generator=rng, **step_options
        ).prev_sample
        torch.testing.assert_close(after.x_t, expected, rtol=0, atol=1e-5)
