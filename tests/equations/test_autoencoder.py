"""Every labelled equation of chapters/01_autoencoder.py against something independent of it."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from torch import Tensor
from torch.distributions import MultivariateNormal

from dgm.data.toy2d import GaussianMixture
from dgm.vae import (
    contractive_penalty,
    corrupt,
    sigmoid_contractive_penalty,
    sparse_penalty,
    squared_error,
)

F64 = torch.float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=generator(seed))


def orthonormal(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.linalg.qr(normal(rows, columns, seed=seed)).Q


def data(n: int = 300, dims: int = 6) -> Tensor:
    """Centred data with a covariance that is neither diagonal nor isotropic."""
    x = normal(n, dims) @ normal(dims, dims, seed=1)
    return x - x.mean(0)


@pytest.mark.equation("ae-mse")
def test_squared_error_is_the_squared_euclidean_distance() -> None:
    x, x_hat = normal(7, 1, 8, 8), normal(7, 1, 8, 8, seed=1)
    expected = [float(np.linalg.norm(a - b) ** 2) for a, b in zip(x.numpy(), x_hat.numpy(), strict=True)]
    np.testing.assert_allclose(squared_error(x, x_hat).numpy(), expected, rtol=1e-12)


@pytest.mark.equation("ae-projection")
def test_projection_leaves_the_trace_outside_the_subspace() -> None:
    x, u = data(), orthonormal(6, 2, seed=2)
    coefficients = torch.linalg.lstsq(u, x.T).solution  # the nearest point of the subspace, by least squares
    left = squared_error(x, (u @ coefficients).T).mean()
    c = x.T @ x / len(x)
    assert left.item() == pytest.approx((c.trace() - (u.T @ c @ u).trace()).item(), abs=1e-10)


@pytest.mark.equation("ae-pca")
@pytest.mark.parametrize("k", [1, 3, 5])
def test_no_linear_autoencoder_beats_the_sum_of_the_discarded_eigenvalues(k: int) -> None:
    x = data()
    eigenvalues = torch.linalg.eigvalsh(x.T @ x / len(x))  # ascending
    bound = eigenvalues[: 6 - k].sum().item()
    # Eckart and Young: the best approximation of rank k, by the singular value decomposition of the data.
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    assert squared_error(x, (u[:, :k] * s[:k]) @ vh[:k]).mean().item() == pytest.approx(bound, rel=1e-10)
    # and any encoder and decoder, optimised by somebody else, end there and not below
    start = normal(2 * 6 * k, seed=3).numpy()

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        w = torch.tensor(weights, requires_grad=True)
        value = squared_error(x, x @ w[: 6 * k].view(6, k) @ w[6 * k :].view(k, 6)).mean()
        (gradient,) = torch.autograd.grad(value, w)
        return value.item(), gradient.numpy()

    found = optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-15}
    )
    assert found.fun == pytest.approx(bound, rel=1e-4)
    assert found.fun >= bound * (1 - 1e-12)


@pytest.mark.equation("ae-sparse")
def test_sparse_penalty_is_the_l1_norm() -> None:
    codes = normal(9, 5)
    expected = np.linalg.norm(codes.numpy(), ord=1, axis=1)
    np.testing.assert_allclose(sparse_penalty(codes).numpy(), expected, rtol=1e-12)


@pytest.mark.equation("ae-soft-threshold")
@pytest.mark.parametrize("u", [-2.0, -0.31, -0.2, 0.0, 0.29, 0.5, 3.0])
def test_soft_threshold_is_the_minimiser(u: float) -> None:
    lam = 0.6
    formula = math.copysign(max(abs(u) - lam / 2, 0), u)
    grid = np.linspace(-4, 4, 800_001)  # holds 0 exactly
    best = grid[np.argmin((grid - u) ** 2 + lam * np.abs(grid))]
    assert formula == pytest.approx(best, abs=1.1e-5)
    assert (formula == 0) == (abs(u) <= lam / 2)


@pytest.mark.equation("ae-denoising")
def test_corruption_adds_noise_of_the_stated_deviation() -> None:
    x = normal(20_000, 3)
    noise = corrupt(x, 0.5, generator=generator(1)) - x
    assert stats.kstest((noise / 0.5).flatten().numpy(), "norm").pvalue > 1e-3
    correlation = np.corrcoef(noise.flatten().numpy(), x.flatten().numpy())[0, 1]
    assert abs(correlation) < 4 / math.sqrt(60_000)  # the noise knows nothing of x


@pytest.mark.equation("ae-denoising-optimal")
def test_best_denoiser_of_gaussian_data_is_the_conditional_mean() -> None:
    # Gaussian data: E[x | x~] = C (C + s^2 I)^-1 x~ by conditioning; no function does better than it.
    c = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=F64)
    sigma, n = 0.7, 50_000
    x = normal(n, 2) @ torch.linalg.cholesky(c).T
    noisy = corrupt(x, sigma, generator=generator(1))
    gain = c @ torch.linalg.inv(c + sigma**2 * torch.eye(2, dtype=F64))
    fitted = torch.linalg.lstsq(noisy, x).solution.T  # regression of x on x~, by squared error
    torch.testing.assert_close(fitted, gain, atol=0.02, rtol=0)
    best = squared_error(x, noisy @ gain.T)
    for other in (noisy, torch.tanh(noisy), 0.9 * noisy @ gain.T):
        gap = squared_error(x, other) - best
        assert gap.mean() > 4 * gap.std() / math.sqrt(n)


@pytest.mark.equation("ae-denoising-posterior")
def test_posterior_mean_over_training_points_is_bayes_rule() -> None:
    points, noisy, sigma = normal(5, 3), normal(4, 3, seed=1), 0.6
    weights = torch.softmax(-torch.cdist(noisy, points).square() / (2 * sigma**2), dim=1)
    eye = sigma**2 * torch.eye(3, dtype=F64)
    joint = torch.stack(
        [MultivariateNormal(p, eye).log_prob(noisy).exp() / 5 for p in points], dim=1
    )  # (4, 5)
    expected = (joint / joint.sum(1, keepdim=True)) @ points
    torch.testing.assert_close(weights @ points, expected, atol=1e-10, rtol=0)


@pytest.mark.equation("ae-tweedie")
def test_tweedie_on_a_mixture_with_the_posterior_mean_by_quadrature() -> None:
    world = GaussianMixture([(-1.0, 0.3), (0.8, -0.5)], [0.4, 0.7], [0.3, 0.7])
    sigma = 0.6
    axis = torch.linspace(-6, 6, 601, dtype=F64)
    grid = torch.cartesian_prod(axis, axis)  # x, (601^2, 2)
    prior = world.log_prob(grid)
    noisy = normal(6, 2)
    for point in noisy:
        log_weight = prior - (grid - point).square().sum(1) / (2 * sigma**2)
        mean = torch.softmax(log_weight, dim=0) @ grid  # E[x | x~]
        score = world.diffused(1.0, sigma).score(point[None])[0]
        torch.testing.assert_close(point + sigma**2 * score, mean, atol=1e-8, rtol=0)


def deep_encoder(x: Tensor) -> Tensor:
    return torch.tanh(torch.tanh(x @ normal(4, 5, seed=2)) @ normal(5, 3, seed=3))


@pytest.mark.equation("ae-contractive-noise")
def test_code_moves_by_the_jacobian_norm_up_to_fourth_order() -> None:
    x = normal(1, 4)
    squared_norm = contractive_penalty(deep_encoder, x).item()
    nodes, weights = (torch.tensor(v) for v in np.polynomial.hermite_e.hermegauss(9))
    eps = torch.cartesian_prod(nodes, nodes, nodes, nodes)  # (9^4, 4): the mean over N(0, I) by quadrature
    weight = torch.cartesian_prod(weights, weights, weights, weights).prod(1) / (2 * math.pi) ** 2

    def remainder(sigma: float) -> float:
        moved = (deep_encoder(x + sigma * eps) - deep_encoder(x)).square().sum(1)
        return ((weight * moved).sum() - sigma**2 * squared_norm).item()

    assert abs(remainder(0.01)) < 1e-3 * 0.01**2 * squared_norm
    assert remainder(0.02) / remainder(0.01) == pytest.approx(16, rel=0.02)  # of order sigma^4


@pytest.mark.equation("ae-contractive")
def test_contractive_penalty_is_the_sum_of_squared_derivatives() -> None:
    x = normal(3, 4)
    expected = []
    for row in x:
        jacobian = torch.autograd.functional.jacobian(lambda v: deep_encoder(v[None])[0], row)  # (3, 4)
        expected.append(jacobian.square().sum())
    torch.testing.assert_close(
        contractive_penalty(deep_encoder, x), torch.stack(expected), atol=1e-10, rtol=0
    )
    # and by finite differences
    h = 1e-6
    columns = [(deep_encoder(x + h * e) - deep_encoder(x - h * e)) / (2 * h) for e in torch.eye(4, dtype=F64)]
    torch.testing.assert_close(
        sum(c.square().sum(1) for c in columns), torch.stack(expected), atol=1e-7, rtol=0
    )


@pytest.mark.equation("ae-contractive-sigmoid")
def test_closed_form_of_the_sigmoid_layer_is_the_jacobian_norm() -> None:
    weight, bias, x = normal(6, 4), normal(6, seed=1), normal(5, 4, seed=2)

    def encode(v: Tensor) -> Tensor:
        return torch.sigmoid(v @ weight.T + bias)

    jacobians = [torch.autograd.functional.jacobian(lambda v: encode(v[None])[0], row) for row in x]
    expected = torch.stack([j.square().sum() for j in jacobians])
    torch.testing.assert_close(sigmoid_contractive_penalty(weight, encode(x)), expected, atol=1e-12, rtol=0)
