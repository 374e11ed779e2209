"""Hidden checks of 01_autoencoder: criteria that only the grader knows, on the same probes."""

import torch

from coursekit.exercises.judge import close, number, tensor
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion

from .probes import (
    cloud,
    deep_encoder,
    encoder_inputs,
    encoder_weights,
    images_and_noise,
    one_pixel,
    small_model,
)


def real_model(data: Plain, seed: int) -> str | None:
    x, noise = images_and_noise(seed)
    reconstruction = small_model(seed)(x + noise)
    expected = ((reconstruction - x) ** 2).sum(dim=(1, 2, 3))
    black = (x**2).sum(dim=(1, 2, 3))
    if close(tensor(data, "model", (4,)), expected) and close(tensor(data, "black", (4,)), black):
        return None
    return "Wrong for a model that neither copies its input nor is perfect."


def two_layers(data: Plain, seed: int) -> str | None:
    encode = deep_encoder(seed)
    rows = [
        torch.autograd.functional.jacobian(lambda v: encode(v[None])[0], image)
        for image in encoder_inputs(seed)
    ]
    expected = torch.stack([row.square().sum() for row in rows])
    if not close(tensor(data, "deep", (4,)), expected):
        return "Wrong for an encoder of two layers."
    if close(tensor(data, "single", (4,)), encoder_weights(seed)[0].square().sum().expand(4)):
        return None
    return "Wrong for an encoder with a single latent."


def limits(data: Plain, seed: int) -> str | None:
    x, a, _ = one_pixel(seed)
    if not close(tensor(data, "free", (12,)), x / a):
        return "Without a penalty the best code reconstructs its input: x / a."
    if not close(tensor(data, "scaled", (12,)), tensor(data, "random", (12,))):
        return "Scaling the loss (x and a by 3, the penalty by 9) should leave the best code as it is."
    return None


def every_width(data: Plain, seed: int) -> str | None:
    _, spectrum = cloud(seed)
    for k in range(5):
        if not close(number(data, f"k={k}"), float(spectrum[k:].square().sum() / 30), atol=1e-9):
            return f"Wrong for {k} latents of 4."
    return None


HIDDEN = {
    "denoising_loss": (Criterion("a model with an error of its own", 1, real_model),),
    "contractive_penalty": (Criterion("two layers, and a single latent", 1, two_layers),),
    "sparse_code": (Criterion("no penalty, and a change of scale", 1, limits),),
    "bottleneck_error": (Criterion("every width from none to all", 1, every_width),),
}
