"""Visible checks of 01_autoencoder: known values and properties, with the hint that fits."""

import torch
from torch import Tensor

from coursekit.exercises.judge import PARTLY, WHOLE, close, explain, number, passages, tensor
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion, Task

from .probes import PROBES, cloud, encoder_inputs, encoder_weights, images_and_noise, one_pixel

EACH = "one number per image"

# --- denoising_loss ----------------------------------------------------------------------------------


def energy(t: Tensor) -> Tensor:
    return t.flatten(1).square().sum(1)


def identity_model(data: Plain, seed: int) -> str | None:
    x, noise = images_and_noise(seed)
    got = tensor(data, "identity", (4,), meaning=EACH)
    perfect = tensor(data, "perfect", (4,), meaning=EACH)
    zero = torch.zeros(4)
    if close(got, zero) and close(perfect, energy(noise)):
        return "The target is the noisy image, so a model that copies its input is perfect. Compare with x."
    if close(got, zero):
        return "The model never sees the noise: give it x + noise."
    return explain(
        got,
        energy(noise),
        {
            "The target is the noise. Here the model predicts the clean image.": energy(x),
            "This is the mean over the pixels. The task asks for the sum.": energy(noise) / 9,
            "This is the norm. Leave it squared.": energy(noise).sqrt(),
            "These are absolute differences. Square them.": noise.flatten(1).abs().sum(1),
        },
        "A model that copies its input leaves the noise in: the loss should be the sum of its squares.",
    )


def perfect_model(data: Plain, seed: int) -> str | None:
    got = tensor(data, "perfect", (4,), meaning=EACH)
    return None if close(got, torch.zeros(4)) else "A model that returns the clean image has loss 0."


# --- contractive_penalty -----------------------------------------------------------------------------


def linear_encoder(data: Plain, seed: int) -> str | None:
    weights = encoder_weights(seed)
    got = tensor(data, "linear", (4,), meaning=EACH)
    right = weights.square().sum().expand(4)
    return explain(
        got,
        right,
        {
            "This is the Frobenius norm. The penalty is its square.": right.sqrt(),
            "This is the gradient of the sum of the latents: their rows cancel. Take each latent's own "
            "gradient, square, and then sum.": weights.sum(0).square().sum().expand(4),
            "This is the mean over the latents. The Frobenius norm sums over them.": right / 3,
            "This is the mean over all entries of the Jacobian. Sum them.": right / 15,
        },
        "For a linear encoder the Jacobian is its weight matrix: the penalty is the sum of all its squares.",
    )


def own_jacobian(data: Plain, seed: int) -> str | None:
    together = tensor(data, "square", None).reshape(-1)
    alone = [tensor(data, key, None).reshape(-1) for key in ("first", "last")]
    each = len(together) == 4 and len(alone[0]) == len(alone[1]) == 1
    if each and not close(*alone) and close(together[[0, 3]], torch.cat(alone)):
        return None
    return (
        "The penalty of an image should not depend on the other images of the batch. For the encoder h = x² "
        "the Jacobian of an image is diag(2 x): each image has its own."
    )


def trains(data: Plain, seed: int) -> str | None:
    (passage,) = passages(data, "slopes", 1)
    if passage == WHOLE:
        return None
    if passage == PARTLY:
        return (
            "Only a part of the penalty's gradient reaches the encoder's weights. Is a graph cut somewhere?"
        )
    return (
        "The penalty does not depend on the encoder's weights any more. "
        "Ask for a graph of the gradient: `create_graph=True`."
    )


# --- sparse_code -------------------------------------------------------------------------------------


def objective(z: Tensor, x: Tensor, a: Tensor, lam: Tensor) -> Tensor:
    return (x - a * z).square() / 2 + lam * z.abs()


def search(x: Tensor, a: Tensor, lam: Tensor) -> Tensor:
    """The minimiser by golden sections: the objective is convex in z."""
    low, high = torch.full_like(x, -60), torch.full_like(x, 60)
    for _ in range(120):
        left, right = low + 0.381966 * (high - low), low + 0.618034 * (high - low)
        smaller = objective(left, x, a, lam) < objective(right, x, a, lam)
        low, high = torch.where(smaller, low, left), torch.where(smaller, right, high)
    return (low + high) / 2


def least(data: Plain, seed: int) -> str | None:
    x, a, lam = one_pixel(seed)
    got = tensor(data, "random", (12,), meaning="one code per input")
    right = search(x, a, lam)
    if close(got[4:], right[4:], atol=1e-6) and not close(got, right, atol=1e-6):
        return "Right while λ < |a x|. Beyond, the formula changes sign: can either branch hold there?"
    return explain(
        got,
        right,
        {
            "The size is right, the sign is not. Which sign makes a z point towards x?": right.abs(),
            "Right up to a factor a². Where does it go when you solve a² z = ... for z?": right * a.square(),
            "This is the code without the penalty. The penalty pulls every code towards zero.": x / a,
            "Small codes are zero, as they should be, but the others are not pulled in: those move too.": (
                torch.where(right.abs() < 1e-6, 0, x / a)
            ),
            "The penalty acts twice as hard as it should. The ½ cancels the 2 of the derivative.": search(
                x, a, 2 * lam
            ),
            "The penalty acts half as hard as it should. The derivative of ½(x - a z)² has no factor 2.": (
                search(x, a, lam / 2)
            ),
            "This is the answer to a squared penalty, which makes codes small. |z| makes them zero.": (
                a * x / (a.square() + 2 * lam)
            ),
            "This is the answer to a penalty ½ λ z², which makes codes small. |z| makes them zero.": (
                a * x / (a.square() + lam)
            ),
        },
        "Another code has a lower loss. Set the derivative to zero for z > 0 and for z < 0 apart.",
        atol=1e-6,
    )


def dead_zone(data: Plain, seed: int) -> str | None:
    got = tensor(data, "random", (12,), meaning="one code per input")[:4]
    if bool((got.abs() < 1e-9).all()):
        return None
    return "Where λ ≥ |a x| the best code is exactly zero: the slope of λ|z| outweighs the error's."


# --- bottleneck_error --------------------------------------------------------------------------------


def spectrum(data: Plain, seed: int) -> str | None:
    x, values = cloud(seed)
    got = number(data, "k=2")
    variances = values.square() / 30
    right = float(variances[2:].sum())
    second_moments = torch.linalg.svdvals(x).square() / 30
    return explain(
        got,
        right,
        {
            "This is the variance that is kept. The error is what is thrown away.": float(
                variances[:2].sum()
            ),
            "Divide by the number of images, not by one less: this is an average over these images.": (
                float(values[2:].square().sum() / 29)
            ),
            "Singular values count squared in an error that is squared.": float(values[2:].sum() / 30),
            "This is the total. Divide by the number of images.": float(values[2:].square().sum()),
            "This is the mean over the pixels too. Sum over them.": right / 4,
            "The data are not centred. The biases of encoder and decoder take the mean out.": (
                float(second_moments[2:].sum())
            ),
        },
        "Not the error of the best linear autoencoder. Which directions of the data does it throw away?",
    )


def no_bottleneck(data: Plain, seed: int) -> str | None:
    full = number(data, "k=4")
    if abs(full) < 1e-9:
        return None
    return "With as many latents as pixels nothing is thrown away: the error is 0."


TASKS = [
    Task(
        "denoising_loss",
        "The denoising loss",
        "implement",
        3,
        PROBES["denoising_loss"],
        (
            Criterion("a model that copies its input", 1, identity_model),
            Criterion("a perfect model", 1, perfect_model),
        ),
        (
            "Three things: what goes into the model, what it is compared with, over what you sum.",
            "The input is x + noise, the target is x.",
            "`(a - b).square().flatten(1).sum(1)` sums over everything except the batch.",
        ),
        (),
        "5 Denoising: give back what was never shown",
    ),
    Task(
        "contractive_penalty",
        "The contractive penalty of any encoder",
        "implement",
        5,
        PROBES["contractive_penalty"],
        (
            Criterion("a linear encoder", 2, linear_encoder),
            Criterion("each image has its own Jacobian", 1, own_jacobian),
            Criterion("its gradient reaches the encoder's weights", 1, trains),
        ),
        (
            "The Jacobian has a row for each latent: the gradient of that latent towards the image.",
            "`torch.autograd.grad(h[:, j].sum(), x, create_graph=True)` gives row j for the whole batch, "
            "because image b influences only h[b].",
            "x must require gradients: `x.detach().requires_grad_()`. Loop over j, add up the squares.",
        ),
        (),
        "6 Contractive: a code that holds still",
    ),
    Task(
        "sparse_code",
        "Why the L1 penalty makes zeros",
        "derive",
        4,
        PROBES["sparse_code"],
        (
            Criterion("the code of least loss", 2, least),
            Criterion("exactly zero where the penalty outweighs", 1, dead_zone),
        ),
        (
            "For z > 0 the derivative of the loss is -a (x - a z) + λ. Solve for z; when is it > 0?",
            "For z < 0 the same with -λ. In between neither solution exists: the minimum is at the kink.",
            "Together: shrink |a x| by λ, not below zero; give it the sign of a x; divide by a².",
        ),
        ("torch.nn.functional.softshrink", "torch.nn.Softshrink"),
        "4 Sparse: few numbers at a time",
    ),
    Task(
        "bottleneck_error",
        "What a linear bottleneck throws away",
        "derive",
        4,
        PROBES["bottleneck_error"],
        (
            Criterion("data of known spectrum, two latents", 2, spectrum),
            Criterion("no bottleneck, no error", 1, no_bottleneck),
        ),
        (
            "The decoder's image is a plane of k dimensions. The error is the distance to it. "
            "Which plane is nearest?",
            "It runs through the mean along the k directions of largest variance (principal components).",
            "So the error is the sum of the other eigenvalues of the covariance (dividing by N). "
            "`torch.linalg.eigvalsh` returns them in rising order.",
        ),
        ("torch.pca_lowrank", "sklearn"),
        "2 Derive: what a linear door lets through",
    ),
]
