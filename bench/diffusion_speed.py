"""How fast DDPM trains and samples beside diffusers: `python bench/diffusion_speed.py`.

Two cells on the 8x8 digits, in one run: a training step (noising, forward, backward, AdamW) on 32 images with
labels, and 100 samples by DDIM with 20 steps, from the same noise and labels. float32, one thread. The figure
of a cell is diffusers' time divided by dgm's: at least 1.0. Rounds alternate between the contestants, and a
time is the median over the rounds; the spread is over five such repeats. One minute on an idle core.

The U-Nets have the same levels, residual blocks, scales and shifts, embeddings and attention (one head, on
the coarse level of the way down and in the middle), and parameters within 5 %. What differs: on the way up
diffusers doubles the image and then convolves it at full width; dgm convolves first, to half the channels,
and doubles then. So diffusers multiplies more often, by a factor that is printed: of the ratio of the times
that much is architecture. Both optimisers are fused. dgm's network is laid out with its channels last;
diffusers' is timed in both layouts, and the better one counts.

diffusers is in the environment that `make peers` builds.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from common import Figure, count_parameters, finish, need, parse_options, race, table, warm_up
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from dgm.data import load_digits, to_pm1
from dgm.diffusion import cosine_schedule, ddim, draw_steps, make_denoiser, sample, simple_loss
from dgm.nn import UNet, seeded
from dgm.tensor import randn_like

T, CLASSES, DIMS = 1000, 10, 64
BATCH, SAMPLES, SAMPLER_STEPS = 32, 100, 20
REPEATS = 5
ROUNDS = {"training step": 8, "DDIM 20": 2}  # of each repeat
SCHEDULE = cosine_schedule(T)
PEERS = ("diffusers", "diffusers, channels last")


def our_network() -> nn.Module:
    """The U-Net of diffusion_digits.py."""
    with seeded(0):
        net = UNet(1, 32, (1, 2), classes=CLASSES)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def their_network() -> nn.Module:
    """diffusers' U-Net, as near to ours as its options allow."""
    from diffusers import UNet2DModel

    with seeded(0):
        net: nn.Module = UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
            attention_head_dim=64,
            flip_sin_to_cos=False,
            resnet_time_scale_shift="scale_shift",
            num_class_embeds=CLASSES + 1,
        )
    return net


def stepper(net: nn.Module, loss: Callable[[Tensor], Tensor], x0: Tensor) -> Callable[[], None]:
    """A call that takes one step of training on images x0 (B, 1, 8, 8)."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2, fused=True)

    def step() -> None:
        value = loss(x0)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()

    return step


def our_step(net: nn.Module, x0: Tensor, y: Tensor) -> Callable[[], None]:
    """Training as in diffusion_digits.py."""
    rng = torch.Generator().manual_seed(1)

    def loss(x0: Tensor) -> Tensor:
        t = draw_steps(len(x0), SCHEDULE, rng)
        return simple_loss(net, x0, t, randn_like(x0, rng), SCHEDULE, y=y).mean() / DIMS

    return stepper(net, loss, x0)


def their_step(net: nn.Module, x0: Tensor, y: Tensor) -> Callable[[], None]:
    """Training as diffusers' own examples have it."""
    from diffusers import DDPMScheduler

    scheduler, rng = DDPMScheduler(T, beta_schedule="squaredcos_cap_v2"), torch.Generator().manual_seed(1)

    def loss(x0: Tensor) -> Tensor:
        t, eps = torch.randint(T, (len(x0),), generator=rng), randn_like(x0, rng)
        return F.mse_loss(net(scheduler.add_noise(x0, eps, t), t, y).sample, eps)

    return stepper(net, loss, x0)


def our_sampler(net: nn.Module, x_T: Tensor, y: Tensor) -> Callable[[], Tensor]:
    """DDIM, deterministic."""
    denoiser = make_denoiser(net, SCHEDULE, y=y)
    return lambda: sample(ddim, denoiser, x_T, SCHEDULE, SAMPLER_STEPS, progress=False)


def their_sampler(net: nn.Module, x_T: Tensor, y: Tensor) -> Callable[[], Tensor]:
    """The same, step by step."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        T, beta_schedule="squaredcos_cap_v2", clip_sample=False, timestep_spacing="trailing"
    )
    scheduler.set_timesteps(SAMPLER_STEPS)

    @torch.no_grad()
    def draw() -> Tensor:
        x = x_T
        for t in scheduler.timesteps:
            x = scheduler.step(net(x, t, y).sample, t, x).prev_sample
        return x

    return draw


def multiplications(net: nn.Module) -> float:
    """Millions for one image, of convolutions and matrix products."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 1, 8, 8), torch.ones(1, dtype=torch.long), torch.zeros(1, dtype=torch.long))
    return counter.get_total_flops() / 2e6


def cells() -> dict[str, dict[str, Callable[[], Any]]]:
    """What is timed: for each cell the call of every contestant, ours first."""
    part = load_digits("train")
    x0, y = to_pm1(part.x[:BATCH], 17), part.y[:BATCH]
    rng = torch.Generator().manual_seed(2)
    x_T, wanted = torch.randn(SAMPLES, 1, 8, 8, generator=rng), torch.arange(SAMPLES) % CLASSES
    last = {"memory_format": torch.channels_last}
    return {
        "training step": {
            "dgm": our_step(our_network(), x0, y),
            PEERS[0]: their_step(their_network(), x0, y),
            PEERS[1]: their_step(their_network().to(**last), x0, y),
        },
        "DDIM 20": {
            "dgm": our_sampler(our_network(), x_T, wanted),
            PEERS[0]: their_sampler(their_network(), x_T, wanted),
            PEERS[1]: their_sampler(their_network().to(**last), x_T, wanted),
        },
    }


def main(options: argparse.Namespace) -> None:
    """Time both cells; seeds would only change the numbers that are multiplied."""
    need("diffusion_speed", ["diffusers"], "make peers")
    options.seeds = 1
    warm_up()
    ours, theirs = our_network(), their_network()
    counts = {"dgm": count_parameters(ours), "diffusers": count_parameters(theirs)}
    if max(counts.values()) > 1.05 * min(counts.values()):
        raise SystemExit(f"parameter counts differ by more than 5 %: {counts}")
    work = {"dgm": multiplications(ours), "diffusers": multiplications(theirs)}
    share = work["diffusers"] / work["dgm"]
    print(f"parameters: {counts}; multiplications of diffusers by those of dgm: {share:.2f}")
    figures, rows = {}, []
    for cell, calls in cells().items():
        milliseconds, ratios = race(calls, *((1, 1) if options.quick else (ROUNDS[cell], REPEATS)))
        figures[cell] = Figure(ratios, "times diffusers' speed", at_least=1.0, by_median=True)
        rows.append(
            {
                "row": cell,
                **{f"{name}_ms": value for name, value in milliseconds.items()},
                **{f"{name}_parameters": n for name, n in counts.items()},
                **{f"{name}_million_multiplications": n for name, n in work.items()},
            }
        )
    print("milliseconds of CPU per call, the best of the repeats' medians; the ratio is their median")
    columns = ("", "dgm", *PEERS, "ratio")
    print(table(columns, [[*list(row.values())[:4], figures[row["row"]].judged] for row in rows]))
    finish("diffusion_speed", figures, options=options, rows=rows, peers=["diffusers"])


if __name__ == "__main__":
    main(parse_options(__doc__.splitlines()[0]))
