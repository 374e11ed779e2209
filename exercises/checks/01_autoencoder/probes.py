# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.
"""Probes of 01_autoencoder: they try the answers on seeded inputs and write down what came out."""

from collections.abc import Callable

import torch
from torch import Tensor

from coursekit.exercises.probe import Plain, Probe, call, slopes


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers, float64, of one seed."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def images_and_noise(seed: int) -> tuple[Tensor, Tensor]:
    """Images and noise, each (4, 1, 3, 3)."""
    x, noise = draw(seed, 2, 4, 1, 3, 3)
    return x, noise / 2


def small_model(seed: int) -> Callable[[Tensor], Tensor]:
    """Some model that maps images (B, 1, 3, 3) to images of the same shape."""
    weights = draw(seed + 1, 9, 9)
    return lambda x: (x.flatten(1) @ weights).tanh().reshape(x.shape)


def run_denoising_loss(denoising_loss, *, seed: int) -> Plain:
    x, noise = images_and_noise(seed)
    return {
        "identity": call(denoising_loss, lambda image: image, x.clone(), noise.clone()),
        "perfect": call(denoising_loss, lambda image: x.clone(), x.clone(), noise.clone()),
        "black": call(denoising_loss, torch.zeros_like, x.clone(), noise.clone()),
        "model": call(denoising_loss, small_model(seed), x.clone(), noise.clone()),
    }


def encoder_weights(seed: int) -> Tensor:
    """Weights (3, 5) of a linear encoder from five inputs to three latents."""
    return draw(seed, 3, 5)


def encoder_inputs(seed: int) -> Tensor:
    return draw(seed + 1, 4, 5)


def deep_encoder(seed: int) -> Callable[[Tensor], Tensor]:
    """Two layers with tanh between: (B, 5) -> (B, 3)."""
    first, second = draw(seed + 2, 5, 6), draw(seed + 3, 6, 3)
    return lambda x: (x @ first).tanh() @ second


def run_contractive_penalty(contractive_penalty, *, seed: int) -> Plain:
    weights, x = encoder_weights(seed), encoder_inputs(seed)
    return {
        "linear": call(contractive_penalty, lambda v: v @ weights.T + 1, x.clone()),
        "square": call(contractive_penalty, lambda v: v.square(), x.clone()),
        "first": call(contractive_penalty, lambda v: v.square(), x[:1].clone()),
        "last": call(contractive_penalty, lambda v: v.square(), x[3:].clone()),
        "slopes": slopes(contractive_penalty, lambda w: (lambda v: v @ w.T, x.clone()), weights),
        "deep": call(contractive_penalty, deep_encoder(seed), x.clone()),
        "single": call(contractive_penalty, lambda v: v @ weights[:1].T, x.clone()),
    }


def one_pixel(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs x, decoder weights a and penalties lam, each (12,); some penalties outweigh their input."""
    x, a, u = draw(seed, 3, 12)
    a = torch.where(a.abs() < 0.3, 0.7, a)
    lam = (a * x).abs() * (0.2 + 0.6 * torch.sigmoid(u))
    lam[:4] = (a * x).abs()[:4] * 1.5
    return x, a, lam


def run_sparse_code(sparse_code, *, seed: int) -> Plain:
    x, a, lam = one_pixel(seed)
    return {
        "random": call(sparse_code, x.clone(), a.clone(), lam.clone()),
        "free": call(sparse_code, x.clone(), a.clone(), torch.zeros_like(lam)),
        "scaled": call(sparse_code, 3 * x, 3 * a, 9 * lam),
    }


def cloud(seed: int) -> tuple[Tensor, Tensor]:
    """Data (30, 4) of known spectrum, and the singular values (4,) of the centred data, falling."""
    raw = draw(seed, 30, 4)
    left, _ = torch.linalg.qr(raw - raw.mean(0))  # orthonormal columns, each of mean zero
    turn, _ = torch.linalg.qr(draw(seed + 1, 4, 4))
    spectrum = (draw(seed + 2, 4).abs() + 0.2).cumsum(0).flip(0)
    return left * spectrum @ turn.T + 5 * draw(seed + 3, 4), spectrum


def run_bottleneck_error(bottleneck_error, *, seed: int) -> Plain:
    x, _ = cloud(seed)
    return {f"k={k}": call(bottleneck_error, x.clone(), k) for k in range(5)}


PROBES = {
    "denoising_loss": Probe(("denoising_loss",), run_denoising_loss),
    "contractive_penalty": Probe(("contractive_penalty",), run_contractive_penalty),
    "sparse_code": Probe(("sparse_code",), run_sparse_code),
    "bottleneck_error": Probe(("bottleneck_error",), run_bottleneck_error),
}
