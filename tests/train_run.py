"""A small training run with every kind of state, which test_train.py runs whole, kills and resumes.

As a program, `python train_run.py CHECKPOINT FUSED STEP PLACE`, it kills itself with SIGKILL in the given
step: between the backward pass and the optimiser ("step"), or in the middle of writing a checkpoint ("save").
"""

import os
import signal
import sys

import torch
from torch import nn
from torch.nn import functional as F

from dgm.data import Batches
from dgm.nn import EMA, seeded
from dgm.train import History, fit

STEPS, EVERY = 60, 7


class Run:
    """Dropout (global generator), batch norm (buffers), noise (a generator), a schedule, EMA, validation."""

    def __init__(self, *, fused: bool, in_step=lambda step: None, width: int = 16):
        data = torch.randn(100, 1, 4, 4, generator=torch.Generator().manual_seed(1))
        self.noise = torch.Generator().manual_seed(2)
        with seeded(3):
            self.model = nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1),
                nn.BatchNorm2d(4),
                nn.SiLU(),
                nn.Flatten(),
                nn.Linear(64, width),
                nn.SiLU(),
                nn.Dropout(0.3),
                nn.Linear(width, 16),
            ).to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-2, fused=fused)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, STEPS)
        self.ema = EMA(self.model, 0.9)
        self.batches = Batches(data, batch_size=32, generator=torch.Generator().manual_seed(4))
        self.valid = torch.randn(20, 1, 4, 4, generator=torch.Generator().manual_seed(5))
        self.in_step = in_step
        self.calls = 0
        torch.manual_seed(6)  # dropout's

    def step(self, x):
        self.calls += 1
        self.model.train()
        noisy = x + 0.3 * torch.randn(x.shape, generator=self.noise)
        loss = F.mse_loss(self.model(noisy), x.flatten(1))
        self.optimiser.zero_grad()
        loss.backward()
        self.in_step(self.calls)
        self.optimiser.step()
        self.schedule.step()
        self.ema.update()
        return {"loss": loss, "lr": self.schedule.get_last_lr()[0]}

    @torch.no_grad()
    def validate(self):
        return {"loss": F.mse_loss(self.ema.model(self.valid), self.valid.flatten(1))}

    def state(self):
        return {
            "model": self.model,
            "optimiser": self.optimiser,
            "schedule": self.schedule,
            "ema": self.ema,
            "noise": self.noise,
        }

    def fit(self, checkpoint=None, **changed) -> History:
        arguments = {
            "steps": STEPS,
            "state": self.state(),
            "validate": self.validate,
            "validate_every": 6,
            "keep_best": ("ema",),
            "checkpoint": checkpoint,
            "checkpoint_every": EVERY,
            "progress": False,
        }
        return fit(self.step, self.batches, **(arguments | changed))


def kill_me():
    os.kill(os.getpid(), signal.SIGKILL)


def main(checkpoint: str, fused: str, at: str, place: str) -> None:
    def in_step(step):
        if step == int(at):
            if place == "step":
                kill_me()
            os.replace = lambda *_: kill_me()  # the next checkpoint is whole on the disk, but has no name yet

    torch.set_num_threads(1)
    Run(fused=fused == "True", in_step=in_step).fit(checkpoint)


if __name__ == "__main__":
    main(*sys.argv[1:])
