"""Guidance: functions from denoisers to a denoiser, for every sampler.

One scale throughout: 0 is the unconditional model, 1 the conditional one, more is stronger than that.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm.diffusion.predictions import Denoiser
from dgm.diffusion.schedule import Schedule
from dgm.tensor import check_shape, draw_device


def classifier_guided(
    denoiser: Denoiser,
    classifier: Callable[[Tensor, Tensor], Tensor],
    y: Tensor,
    schedule: Schedule,
    scale: float = 1.0,
) -> Denoiser:
    r"""Turn an unconditional denoiser towards a class by the gradient of a classifier of noisy points.

    By Bayes' rule $\nabla \log p_t(x_t | y) = \nabla \log p_t(x_t) + \nabla \log p_t(y | x_t)$, so
    $\hat\varepsilon - \text{scale} \cdot \sqrt{1 - \bar\alpha_t}\, \nabla \log p(y | x_t)$, which is
    $\hat x_0 + \text{scale} \cdot \frac{\sigma_t^2}{\alpha_t} \nabla \log p(y | x_t)$.

    Args:
        denoiser: (x_t, t) -> x0_hat, unconditional.
        classifier: (x_t (B, ...), t (B,)) -> logits (B, K), trained on noisy points of every t.
        y: (B,) the classes to go to.
        schedule: of the noise.
        scale: 0 switches it off (the classifier is not asked), 1 is Bayes' rule, more sharpens p(y | x_t).

    Returns:
        (x_t, t) -> x0_hat.

    Source: Dhariwal & Nichol 2021, section 4.
    Equation: guide-bayes, guide-classifier
    Test: tests/equations/test_guidance.py::test_a_classifier_changes_the_noise_by_its_gradient_and_the_root
    """

    def guided(x_t: Tensor, t: Tensor) -> Tensor:
        x0_hat = denoiser(x_t, t)
        if scale == 0:
            return x0_hat
        check_shape("y", y, (len(x_t),), "give one class per example")
        with torch.enable_grad():
            x_in = x_t.detach().requires_grad_()
            log_p = classifier(x_in, t).log_softmax(dim=1)  # (B, K)
            chosen = log_p.gather(1, y.to(log_p.device)[:, None]).sum()
            (gradient,) = torch.autograd.grad(chosen, x_in)
        alpha, sigma = schedule.coefficients(t, x_t)
        return x0_hat + scale * sigma.square() / alpha * gradient

    return guided


def classifier_free(conditional: Denoiser, unconditional: Denoiser, scale: float) -> Denoiser:
    r"""Guide a conditional denoiser by an unconditional one, without a classifier.

    $\hat x_0 = \hat x_0(x_t) + \text{scale} \cdot \bigl( \hat x_0(x_t, y) - \hat x_0(x_t) \bigr)$, and the
    same for eps, v and the score, which are linear in it. In the score it is classifier guidance by the
    classifier $p(x_t | y) / p(x_t)$ that the two models imply. The paper's w is scale - 1.

    Args:
        conditional: (x_t, t) -> x0_hat given the condition.
        unconditional: (x_t, t) -> x0_hat without it.
        scale: at 0 and 1 the result is the one and the other model, to the bit and in one evaluation.

    Returns:
        (x_t, t) -> x0_hat.

    Source: Ho & Salimans 2022.
    Equation: guide-cfg, guide-power, guide-price
    Test: tests/equations/test_guidance.py::test_the_guided_score_is_that_of_the_sharpened_product
    """
    if scale == 0:
        return unconditional
    if scale == 1:
        return conditional

    def guided(x_t: Tensor, t: Tensor) -> Tensor:
        without = unconditional(x_t, t)
        return without + scale * (conditional(x_t, t) - without)

    return guided


def drop_labels(y: Tensor, probability: float, null: int, generator: torch.Generator | None = None) -> Tensor:
    """Replace some labels by "no label", so that one network learns both models of classifier-free guidance.

    Args:
        y: (B,) labels.
        probability: that a label is dropped, in [0, 1]; .1 to .2 is usual.
        null: the label that means none: the number of classes, in this package's networks.
        generator: source of the draws.

    Returns:
        (B,) labels, of y's dtype; `y` is left as it is.

    Raises:
        ValueError: if the probability is outside [0, 1] or y is not of shape (B,).

    Source: Ho & Salimans 2022.
    """
    check_shape("y", y, ("B",))
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must lie in [0, 1], got {probability}")
    drop = (
        torch.rand(y.shape, generator=generator, device=draw_device(generator, y)).to(y.device) < probability
    )
    return torch.where(drop, torch.full_like(y, null), y)
