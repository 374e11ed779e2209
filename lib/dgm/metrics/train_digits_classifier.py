"""Make the classifier that `digits_features` loads: `python -m dgm.metrics.train_digits_classifier`.

It sees the training split only (and warped copies of it), keeps the weights that did best on the validation
split, and looks at the test split once, to state its accuracy. The same seed gives the same file on one
machine and one version of PyTorch; elsewhere rounding differs, and with it the features by a little: so the
file is shipped, and a figure is always measured with the one that is shipped.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from dgm.data import Batches, ImageSet, augment_digits, load_digits, to_pm1
from dgm.metrics.features import COMMAND, DIGITS_CLASSIFIER, TOTAL_VARIANCE, DigitsClassifier
from dgm.nn import seeded
from dgm.train import fit

STEPS = 2000
BATCH = 128
RATE = 2e-3
COPIES = 12  # warped copies of the training images, beside the images themselves
CHANNELS = 16
DROPOUT = 0.3


def train(seed: int = 0, *, progress: bool = True) -> tuple[DigitsClassifier, dict[str, Any]]:
    """Train the classifier; some 10 CPU-seconds.

    Args:
        seed: of weights, batches, warps and dropout.
        progress: show a bar.

    Returns:
        The classifier in eval mode, and what is to be known of it.
    """
    generator = torch.Generator().manual_seed(seed)
    images, valid = load_digits("train"), load_digits("valid")
    x = torch.cat([images.x, *(augment_digits(images.x, generator) for _ in range(COPIES))])
    pool = to_pm1(x, images.levels, dtype=torch.float32)  # (13 * 1000, 1, 8, 8)
    y = images.y.repeat(COPIES + 1)
    with seeded(seed):
        classifier = DigitsClassifier(CHANNELS, DROPOUT)
        optimiser = torch.optim.AdamW(classifier.parameters(), lr=RATE, weight_decay=0.05)
        decay = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: 0.5 + 0.5 * math.cos(math.pi * min(step / STEPS, 1))
        )

        def step(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            loss = F.cross_entropy(classifier.logits(batch[0]), batch[1])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            decay.step()
            return {"loss": loss}

        history = fit(
            step,
            Batches(pool, y, batch_size=BATCH, generator=generator),
            steps=STEPS,
            state={"classifier": classifier},
            validate=lambda: {"loss": _evaluate(classifier, valid)[0]},
            validate_every=250,
            keep_best=["classifier"],
            progress=progress,
        )
    classifier.eval().requires_grad_(False)
    hidden = classifier.features(to_pm1(images.x, images.levels))  # the scale is still 1
    classifier.scale.fill_((TOTAL_VARIANCE / hidden.var(0).sum().item()) ** 0.5)
    return classifier, {
        "command": f"{COMMAND} --seed {seed}",
        "seed": seed,
        "steps": STEPS,
        "best_step": history.best_step,
        "channels": CHANNELS,
        "dropout": DROPOUT,
        "torch": torch.__version__.split("+")[0],
        "valid_accuracy": round(_evaluate(classifier, valid)[1], 4),
        "test_accuracy": round(_evaluate(classifier, load_digits("test"))[1], 4),
    }


@torch.no_grad()
def _evaluate(classifier: DigitsClassifier, images: ImageSet) -> tuple[float, float]:
    """Mean cross-entropy (nats per image) and accuracy (fraction of 1)."""
    was_training = classifier.training
    logits = classifier.eval().logits(to_pm1(images.x, images.levels))
    classifier.train(was_training)
    accuracy = (logits.argmax(1) == images.y).double().mean()
    return F.cross_entropy(logits, images.y).item(), accuracy.item()


def main(arguments: list[str] | None = None) -> None:
    """Train, write the file, print what is to be known of it."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Train the classifier of digits_features().")
    parser.add_argument("--seed", type=int, default=0, help="default: 0, that of the shipped file")
    parser.add_argument("--out", type=Path, default=DIGITS_CLASSIFIER, help="default: the shipped file")
    options = parser.parse_args(arguments)
    classifier, metadata = train(options.seed)
    tensors = {name: tensor.contiguous() for name, tensor in classifier.state_dict().items()}
    save_file(tensors, options.out, metadata={"digits_classifier": json.dumps(metadata)})
    print(json.dumps(metadata, indent=2))


if __name__ == "__main__":
    main()
