"""The equations of chapter 02_vae, each against something that does not come from dgm."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    kl_divergence,
)

from dgm.prob import (
    bernoulli_log_prob,
    beta_binomial_log_prob,
    binomial_log_prob,
    categorical_log_prob,
    discretised_logistic_log_prob,
    gaussian_log_prob,
    kl_gaussian_standard,
    kl_gaussian_standard_per_dim,
    kl_gaussians,
    kl_on_grid,
    optimal_gaussian_variance,
    reparameterise,
    standard_normal_log_prob,
)
from dgm.vae import (
    MixturePrior,
    elbo,
    free_bits,
    importance_log_prob,
    iwae_bound,
    kl_one_sample,
    linear_warmup,
    pathwise_gradients,
    score_function_gradients,
    score_function_surrogate,
)
from vae_anchors import LinearGaussian, example_model, normal_quadrature, variance_z_score, z_score

F64 = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=F64)


def all_images(levels: int, pixels: int) -> Tensor:
    """Every image of `pixels` pixels with `levels` levels: (levels ** pixels, pixels)."""
    return torch.tensor(list(itertools.product(range(levels), repeat=pixels)))


def rough_posterior(model, x: Tensor) -> tuple[Tensor, Tensor]:
    """A diagonal q that is wrong on purpose: shifted, too wide, and without the posterior's correlation."""
    exact = model.posterior(x)
    logvar = exact.variance.log()
    return exact.mean + 0.3 * (logvar / 2).exp() * randn(*logvar.shape, seed=7), logvar + 0.5


def draw_log_w(model, x: Tensor, mu: Tensor, logvar: Tensor, k: int, g: torch.Generator) -> Tensor:
    """(k, B) log-weights of the linear-Gaussian model, by dgm's densities."""
    mu_k, logvar_k = mu.repeat(k, 1), logvar.repeat(k, 1)  # (k B, D)
    z = reparameterise(mu_k, logvar_k, g)
    noise = torch.tensor(math.log(model.noise_var), dtype=x.dtype)
    log_w = (
        gaussian_log_prob(x.repeat(k, 1), model.decode(z), noise)
        + standard_normal_log_prob(z)
        - gaussian_log_prob(z, mu_k, logvar_k)
    )
    return log_w.reshape(k, len(x))


# The bound


@pytest.mark.equation("vae-marginal")
def test_importance_sampling_finds_the_exact_marginal():
    model, x = example_model()
    mu, logvar = rough_posterior(model, x)
    exact = model.log_marginal(x)
    # The integral itself, by quadrature over both latents.
    axis = torch.linspace(-7, 7, 281, dtype=F64)
    z = torch.cartesian_prod(axis, axis)  # (281^2, 2)
    log_joint = Normal(model.decode(z)[:, None], math.sqrt(model.noise_var)).log_prob(x).sum(-1)  # (281^2, 6)
    log_joint = log_joint + Normal(0.0, 1.0).log_prob(z).sum(-1, keepdim=True)
    by_quadrature = log_joint.logsumexp(0) + 2 * math.log(float(axis[1] - axis[0]))
    torch.testing.assert_close(by_quadrature, exact, rtol=0, atol=1e-6)
    # The estimate of p(x), not of its logarithm, is unbiased.
    g = rng(1)
    log_w = draw_log_w(model, x, mu, logvar, 40_000, g)
    assert z_score((log_w - exact).exp(), 1.0).abs().max() < 4
    g = rng(2)
    estimate = importance_log_prob(
        lambda k: draw_log_w(model, x, mu, logvar, k, g), samples=40_000, chunk=3_000
    )
    standard_error = (log_w - exact).exp().std(0) / math.sqrt(40_000)
    assert ((estimate - exact) / standard_error).abs().max() < 4


@pytest.mark.equation("vae-elbo-jensen")
def test_one_sample_elbo_is_unbiased_for_the_bound_and_below_the_marginal():
    model, x = example_model()
    mu, logvar = rough_posterior(model, x)
    exact = model.log_marginal(x)
    log_w = draw_log_w(model, x, mu, logvar, 40_000, rng(3))
    assert z_score(log_w, exact - model.gap(x, mu, logvar)).abs().max() < 4
    assert (log_w.mean(0) < exact - 0.1).all()  # Jensen: the mean of the log is below the log of the mean


@pytest.mark.equation("vae-elbo-jensen")
def test_one_sample_kl_is_unbiased():
    model, x = example_model()
    mu, logvar = rough_posterior(model, x)
    mu_s, logvar_s = mu.repeat(40_000, 1), logvar.repeat(40_000, 1)
    z = reparameterise(mu_s, logvar_s, rng(4))
    draws = kl_one_sample(gaussian_log_prob(z, mu_s, logvar_s), standard_normal_log_prob(z)).reshape(-1, 6)
    exact = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0)).sum(1)
    assert z_score(draws, exact).abs().max() < 4
    assert (draws < 0).any()  # an estimate, which the KL itself is not


@pytest.mark.equation("vae-elbo-gap")
@pytest.mark.equation("vae-elbo-terms")
def test_elbo_plus_gap_is_the_exact_marginal():
    model, x = example_model()
    mu, logvar = rough_posterior(model, x)
    bound = elbo(model.expected_log_likelihood(x, mu, logvar), kl_gaussian_standard(mu, logvar))
    gap = model.gap(x, mu, logvar)
    assert gap.min() > 0.1  # or the test would not see a dropped gap
    torch.testing.assert_close(bound + gap, model.log_marginal(x), rtol=0, atol=1e-10)


@pytest.mark.equation("vae-elbo-gap")
def test_the_weights_do_not_vary_when_q_is_the_posterior():
    model, x = example_model(latents=1)  # one latent: the exact posterior is a diagonal Gaussian
    posterior = model.posterior(x)
    logvar = posterior.covariance_matrix[:, 0].log()
    log_w = draw_log_w(model, x, posterior.mean, logvar, 50, rng(5))
    torch.testing.assert_close(log_w, model.log_marginal(x).expand(50, -1), rtol=0, atol=1e-10)


@pytest.mark.equation("vae-elbo-terms")
def test_reconstruction_minus_kl_has_the_gradient_of_the_closed_form():
    model, x = example_model()
    mu, logvar = (p.requires_grad_() for p in rough_posterior(model, x))
    noise = torch.tensor(math.log(model.noise_var), dtype=F64)
    exact = (model.expected_log_likelihood(x, mu, logvar) - _kl_by_torch(mu, logvar)).sum()
    expected = torch.autograd.grad(exact, (mu, logvar))
    # dgm's one-draw bound, per draw, through the reparameterisation.
    draws = 20_000
    copies = [p.detach().expand(draws, 6, 2).reshape(-1, 2).clone().requires_grad_() for p in (mu, logvar)]
    z = reparameterise(*copies, rng(6))
    bound = elbo(gaussian_log_prob(x.repeat(draws, 1), model.decode(z), noise), kl_gaussian_standard(*copies))
    for grad, want in zip(torch.autograd.grad(bound.sum(), copies), expected, strict=True):
        assert z_score(grad.reshape(draws, 6, 2), want).abs().max() < 4


@pytest.mark.equation("vae-beta")
def test_beta_weighs_the_kl_and_moves_the_optimum_as_the_exact_solution_says():
    log_likelihood, kl = randn(4), randn(4, seed=1).abs()
    torch.testing.assert_close(elbo(log_likelihood, kl, beta=3.0), log_likelihood - 3 * kl)
    # For x | z ~ N(w z, s^2) and beta, the best q(z|x) is Gaussian with precision 1 + w^2 / (beta s^2) and
    # mean (w x / (beta s^2)) / precision: the posterior under a noise beta times as large.
    w, s2, beta, x = 1.3, 0.5, 4.0, 0.9
    precision = 1 + w * w / (beta * s2)
    best_mu, best_logvar = w * x / (beta * s2) / precision, -math.log(precision)
    mu = torch.tensor([[best_mu]], dtype=F64, requires_grad=True)
    logvar = torch.tensor([[best_logvar]], dtype=F64, requires_grad=True)
    misfit = (x - w * mu).square() + w * w * logvar.exp()
    reconstruction = -0.5 * (math.log(2 * math.pi * s2) + misfit / s2)[:, 0]
    bound = elbo(reconstruction, kl_gaussian_standard(mu, logvar), beta=beta)
    for grad in torch.autograd.grad(bound.sum(), (mu, logvar)):
        assert grad.abs().item() < 1e-12


@pytest.mark.equation("vae-iwae")
def test_iwae_grows_with_k_from_the_elbo_to_the_marginal():
    model, x = example_model()
    mu, logvar = rough_posterior(model, x)
    exact = model.log_marginal(x)
    log_w = draw_log_w(model, x, mu, logvar, 32_768, rng(8))  # (K R, B)
    torch.testing.assert_close(iwae_bound(log_w[:1]), log_w[0])
    means = []
    for k in (1, 2, 8, 64, 1024):
        bounds = iwae_bound(log_w.reshape(k, -1))  # K draws of each of 32768 / K repeats of the six points
        means.append(bounds.reshape(-1, 6).mean(0))
    means = torch.stack(means)
    assert (means.diff(dim=0) > 0).all()
    assert (means[:-1] < exact).all()
    assert (exact - means[0]).min() > 0.1
    assert z_score(log_w, exact - model.gap(x, mu, logvar)).abs().max() < 4
    torch.testing.assert_close(means[-1], exact, rtol=0, atol=0.01)


@pytest.mark.equation("vae-iwae")
def test_iwae_of_two_draws_matches_quadrature():
    model, x = example_model(latents=1)
    x = x[:1]
    mu, logvar = torch.tensor([[0.3]], dtype=F64), torch.tensor([[-0.4]], dtype=F64)
    node, weight = normal_quadrature(120)
    z = mu + (logvar / 2).exp() * node[:, None]  # (120, 1)
    # log w by torch.distributions, then E log((w1 + w2) / 2) in numpy.
    log_w = (
        Normal(model.decode(z), math.sqrt(model.noise_var)).log_prob(x).sum(1)
        + Normal(0.0, 1.0).log_prob(z[:, 0])
        - Normal(mu[0], (logvar[0] / 2).exp()).log_prob(z)[:, 0]
    ).numpy()
    pair = np.logaddexp(log_w[:, None], log_w[None, :]) - np.log(2)
    expected = float(weight.numpy() @ pair @ weight.numpy())
    draws = draw_log_w(model, x, mu, logvar, 40_000, rng(9)).reshape(2, 20_000)
    assert z_score(iwae_bound(draws), expected).abs() < 4
    assert iwae_bound(torch.tensor([[1.0], [3.0]]).log()).item() == pytest.approx(math.log(2))


# The gradients


@pytest.mark.equation("vae-reparam")
def test_reparameterised_draws_have_the_mean_variance_and_gradients():
    mu, logvar = torch.tensor([1.5, -0.5], dtype=F64), torch.tensor([-1.0, 0.8], dtype=F64)
    z = reparameterise(mu.expand(100_000, 2), logvar.expand(100_000, 2), rng(10))
    assert z_score(z, mu).abs().max() < 4
    for j in range(2):
        assert abs(variance_z_score(z[:, j], math.exp(logvar[j]))) < 4
        wanted = scipy.stats.norm(mu[j].item(), math.exp(logvar[j] / 2))
        assert scipy.stats.kstest(z[:, j].numpy(), wanted.cdf).pvalue > 1e-3
    # dz/dmu = 1 and dz/dlogvar = (z - mu) / 2, whatever the draw.
    a, b = randn(3, 2).requires_grad_(), randn(3, 2, seed=1).requires_grad_()
    z = reparameterise(a, b, rng(11))
    by_mu, by_logvar = torch.autograd.grad(z.sum(), (a, b))
    torch.testing.assert_close(by_mu, torch.ones_like(a))
    torch.testing.assert_close(by_logvar, ((z - a) / 2).detach())


MU, SIGMA = 0.8, 0.6


def square(z: Tensor) -> Tensor:
    return z[:, 0].square()


def parameters() -> tuple[Tensor, Tensor]:
    return torch.tensor([MU], dtype=F64), torch.tensor([2 * math.log(SIGMA)], dtype=F64)


@pytest.mark.equation("vae-reparam")
@pytest.mark.equation("vae-estimator-variance")
def test_pathwise_gradients_match_closed_form_mean_and_variance():
    # E z^2 = mu^2 + sigma^2, so d/dmu = 2 mu and d/dlogvar = sigma^2.
    by_mu, by_logvar = pathwise_gradients(square, *parameters(), samples=400_000, generator=rng(12))
    assert z_score(by_mu, 2 * MU).abs() < 4
    assert z_score(by_logvar, SIGMA**2).abs() < 4
    assert abs(variance_z_score(by_mu[:, 0], 4 * SIGMA**2)) < 4


@pytest.mark.equation("vae-score-function")
@pytest.mark.equation("vae-estimator-variance")
@pytest.mark.parametrize("baseline", [0.0, MU**2 + SIGMA**2, MU**2 + 3 * SIGMA**2])
def test_score_function_gradients_match_closed_form_mean_and_variance(baseline):
    by_mu, by_logvar = score_function_gradients(
        square, *parameters(), samples=400_000, baseline=baseline, generator=rng(13)
    )
    assert z_score(by_mu, 2 * MU).abs() < 4
    assert z_score(by_logvar, SIGMA**2).abs() < 4
    # With z = mu + sigma eps: g = (mu^2 - b + 2 mu sigma eps + sigma^2 eps^2) eps / sigma, and the moments
    # E eps^2, eps^4, eps^6 = 1, 3, 15.
    m, v = MU**2 - baseline, SIGMA**2
    variance = (m * m + 12 * MU**2 * v + 15 * v * v + 6 * m * v) / v - 4 * MU**2
    assert abs(variance_z_score(by_mu[:, 0], variance)) < 4
    assert variance > 4 * v  # the pathwise variance


@pytest.mark.equation("vae-score-function")
def test_score_function_surrogate_is_unbiased():
    # f depends on the parameter theta too, as a decoder does: f(z) = theta z^2, so
    # d/dtheta = mu^2 + sigma^2 and d/dmu = 2 theta mu.
    theta = torch.tensor(1.7, dtype=F64)
    draws = 200_000
    theta_s = theta.expand(draws).clone().requires_grad_()
    mu, logvar = (p.expand(draws, 1).clone().requires_grad_() for p in parameters())
    z = reparameterise(mu, logvar, rng(14)).detach()
    value = theta_s * square(z)
    surrogate = score_function_surrogate(value, gaussian_log_prob(z, mu, logvar), baseline=0.9)
    torch.testing.assert_close(surrogate, value)
    by_mu, by_theta = torch.autograd.grad(surrogate.sum(), (mu, theta_s))
    assert z_score(by_mu, 2 * float(theta) * MU).abs() < 4
    assert z_score(by_theta, MU**2 + SIGMA**2).abs() < 4


# The KL


def _kl_by_torch(mu: Tensor, logvar: Tensor) -> Tensor:
    return kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0)).sum(1)


@pytest.mark.equation("vae-gaussian-kl")
def test_gaussian_kl_matches_torch_quadrature_and_monte_carlo():
    mu, logvar = randn(7, 3), randn(7, 3, seed=1)
    mu_p, logvar_p = randn(7, 3, seed=2), randn(7, 3, seed=3)
    per_dim = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_gaussian_standard_per_dim(mu, logvar), per_dim)
    torch.testing.assert_close(kl_gaussian_standard(mu, logvar), per_dim.sum(1))
    q, p = Normal(mu, (logvar / 2).exp()), Normal(mu_p, (logvar_p / 2).exp())
    torch.testing.assert_close(kl_gaussians(mu, logvar, mu_p, logvar_p), kl_divergence(q, p).sum(1))
    zero = torch.zeros_like(mu)
    torch.testing.assert_close(kl_gaussians(mu, logvar, zero, zero), kl_gaussian_standard(mu, logvar))
    # Quadrature: E_q[log q - log p], with the densities written out by numpy.
    node, weight = normal_quadrature(40)
    z = mu + (logvar / 2).exp() * node[:, None, None]  # (40, 7, 3)
    integrand = torch.from_numpy(
        scipy.stats.norm.logpdf(z, mu, (logvar / 2).exp())
        - scipy.stats.norm.logpdf(z, mu_p, (logvar_p / 2).exp())
    )
    by_quadrature = torch.einsum("n,nbd->b", weight, integrand)
    torch.testing.assert_close(kl_gaussians(mu, logvar, mu_p, logvar_p), by_quadrature, rtol=0, atol=1e-9)


# The likelihoods


@pytest.mark.equation("vae-gaussian-nll")
def test_gaussian_log_prob_matches_torch_and_integrates_to_one():
    x, mu, logvar = randn(5, 3), randn(5, 3, seed=1), randn(5, 3, seed=2)
    expected = Normal(mu, (logvar / 2).exp()).log_prob(x).sum(1)
    torch.testing.assert_close(gaussian_log_prob(x, mu, logvar), expected)
    grid = torch.linspace(-12, 12, 4001, dtype=F64)[:, None]
    density = gaussian_log_prob(grid, torch.tensor(0.7, dtype=F64), torch.tensor(0.9, dtype=F64)).exp()
    assert torch.trapezoid(density, grid[:, 0]).item() == pytest.approx(1, abs=1e-9)
    # With a fixed variance it is the squared error up to a constant: MSE is a likelihood of this kind.
    fixed = torch.tensor(math.log(0.3), dtype=F64)
    error = (x - mu).square().sum(1)
    torch.testing.assert_close(
        -gaussian_log_prob(x, mu, fixed), error / 0.6 + 1.5 * torch.log(torch.tensor(2 * math.pi * 0.3))
    )


@pytest.mark.equation("vae-optimal-variance")
def test_optimal_variance_is_the_argmax_of_the_likelihood():
    x, mu = randn(6, 4), 0.7 * randn(6, 4, seed=1)
    best = optimal_gaussian_variance(x, mu)
    assert best.shape == ()
    logvar = best.log().requires_grad_()
    nll = -gaussian_log_prob(x, mu, logvar).mean()
    (slope,) = torch.autograd.grad(nll, logvar)
    assert abs(slope.item()) < 1e-12
    for other in (0.8, 1.25):
        assert -gaussian_log_prob(x, mu, (other * best).log()).mean() > nll
    assert nll.item() == pytest.approx(
        2 * (1 + math.log(2 * math.pi * float(best))), abs=1e-12
    )  # D/2 with D = 4
    # Of one image alone, it is the mean over that image's pixels.
    torch.testing.assert_close(optimal_gaussian_variance(x[:1], mu[:1]), (x[0] - mu[0]).square().sum() / 4)
    # As a search over the variance finds it.
    found = scipy.optimize.minimize_scalar(
        lambda v: -scipy.stats.norm.logpdf(x, mu, math.sqrt(v)).sum(), bounds=(0.01, 20), method="bounded"
    )
    assert float(best) == pytest.approx(found.x, rel=1e-4)


@pytest.mark.equation("vae-bernoulli")
def test_bernoulli_sums_to_one_and_matches_torch():
    logits = 2 * randn(3)
    x = all_images(2, 3)
    log_p = bernoulli_log_prob(logits.expand(len(x), 3), x)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(log_p, Bernoulli(logits=logits).log_prob(x.to(F64)).sum(1))
    bce = torch.nn.functional.binary_cross_entropy_with_logits(
        logits.expand(len(x), 3), x.to(F64), reduction="none"
    )
    torch.testing.assert_close(log_p, -bce.sum(1))


@pytest.mark.equation("vae-bernoulli")
@pytest.mark.equation("vae-bce-normaliser")
def test_bce_on_grey_values_is_no_log_likelihood():
    # As a density over x in [0, 1] the same expression integrates to (2 p - 1) / l, p = sigmoid(l), not to 1.
    for logit in (-3.0, 1e-3, 1.3, 6.0):
        p = 1 / (1 + math.exp(-logit))
        mass = scipy.integrate.quad(lambda x, p=p: p**x * (1 - p) ** (1 - x), 0, 1)[0]
        assert mass == pytest.approx((2 * p - 1) / logit, rel=1e-8)
        assert mass <= 0.5
    with pytest.raises(ValueError, match=r"not a log-likelihood.*use binomial_log_prob"):
        bernoulli_log_prob(torch.zeros(1, 2), torch.tensor([[0.0, 0.5]]))


@pytest.mark.equation("vae-binomial")
def test_binomial_sums_to_one_and_matches_scipy():
    logits = 2 * randn(2)
    x = all_images(17, 2)
    log_p = binomial_log_prob(logits.expand(len(x), 2), x, 16)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    p = logits.sigmoid().numpy()
    expected = scipy.stats.binom.logpmf(x.numpy(), 16, p).sum(1)
    np.testing.assert_allclose(log_p.numpy(), expected, rtol=1e-10)


@pytest.mark.equation("vae-beta-binomial")
def test_beta_binomial_sums_to_one_and_matches_scipy():
    log_a, log_b = randn(2), randn(2, seed=1)
    x = all_images(17, 2)
    log_p = beta_binomial_log_prob(log_a.expand(len(x), 2), log_b.expand(len(x), 2), x, 16)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    expected = scipy.stats.betabinom.logpmf(x.numpy(), 16, log_a.exp().numpy(), log_b.exp().numpy()).sum(1)
    np.testing.assert_allclose(log_p.numpy(), expected, rtol=1e-10)
    # Its definition: the binomial averaged over p ~ Beta(a, b), by quadrature.
    a, b = float(log_a[0].exp()), float(log_b[0].exp())
    for count in (0, 5, 16):
        average = scipy.integrate.quad(
            lambda p, c=count: scipy.stats.binom.pmf(c, 16, p) * scipy.stats.beta.pdf(p, a, b), 0, 1
        )[0]
        one = beta_binomial_log_prob(log_a[:1, None], log_b[:1, None], torch.tensor([[count]]), 16)
        assert one.exp().item() == pytest.approx(average, rel=1e-6)


@pytest.mark.equation("vae-beta-binomial")
def test_beta_binomial_tends_to_the_binomial():
    x = torch.arange(17)[:, None]
    logits = torch.full((17, 1), 0.4, dtype=F64)
    concentration = 18.0  # log of a + b
    log_a = concentration + torch.nn.functional.logsigmoid(logits)
    log_b = concentration + torch.nn.functional.logsigmoid(-logits)
    torch.testing.assert_close(
        beta_binomial_log_prob(log_a, log_b, x, 16), binomial_log_prob(logits, x, 16), rtol=0, atol=1e-5
    )


@pytest.mark.equation("vae-categorical")
def test_categorical_sums_to_one_and_matches_torch():
    logits = 2 * randn(2, 17)
    x = all_images(17, 2)
    log_p = categorical_log_prob(logits.expand(len(x), 2, 17), x)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(log_p, Categorical(logits=logits).log_prob(x).sum(1))


@pytest.mark.equation("vae-discretised-logistic")
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_discretised_logistic_sums_to_one_and_matches_scipy(levels):
    mu, log_scale = torch.tensor([0.3, -1.4, 0.9], dtype=F64), torch.tensor([-1.0, -0.3, -2.5], dtype=F64)
    x = torch.arange(levels)[:, None].expand(levels, 3)
    # One column per parameter set: transpose so that each is its own batch entry.
    log_p = discretised_logistic_log_prob(
        mu.expand(levels, 3).reshape(-1, 1),
        log_scale.expand(levels, 3).reshape(-1, 1),
        x.reshape(-1, 1),
        levels,
    ).reshape(levels, 3)
    np.testing.assert_allclose(log_p.exp().sum(0).numpy(), 1, atol=1e-12)
    # The mass of each bin of [-1, 1], the outer bins open, by scipy's distribution function.
    edges = np.concatenate([[-np.inf], (2 * np.arange(levels - 1) + 1) / (levels - 1) - 1, [np.inf]])
    cdf = scipy.stats.logistic.cdf(edges[:, None], mu.numpy(), log_scale.exp().numpy())
    np.testing.assert_allclose(log_p.exp().numpy(), np.diff(cdf, axis=0), atol=1e-13)


# The regularisers and the prior


@pytest.mark.equation("vae-warmup")
def test_warmup_is_the_line_from_zero_to_one():
    weights = [linear_warmup(i, 8) for i in range(12)]
    assert weights == pytest.approx([*np.arange(8) / 8, 1, 1, 1, 1])
    assert linear_warmup(0, 0) == 1.0


@pytest.mark.equation("vae-free-bits")
def test_free_bits_mean_is_the_sum_of_floors_and_its_gradient_stops():
    # Column means 0.2, 0.5 (with one entry below the floor) and 1.0; the floor is 0.3.
    kl = torch.tensor([[0.1, 0.1, 1.2], [0.3, 0.9, 0.8]], dtype=F64, requires_grad=True)
    out = free_bits(kl, 0.3)
    assert out.shape == (2,)
    assert out.mean().item() == pytest.approx(0.3 + 0.5 + 1.0)
    (grad,) = torch.autograd.grad(out.mean(), kl)
    torch.testing.assert_close(grad, torch.tensor([[0.0, 0.5, 0.5]] * 2, dtype=F64))
    torch.testing.assert_close(free_bits(kl, 0.0), kl.sum(1))


@pytest.mark.equation("vae-linear-collapse")
@pytest.mark.parametrize(("variance", "noise"), [(2.0, 0.5), (2.0, 1.9), (2.0, 2.1), (0.3, 4.0)])
def test_linear_decoder_collapses_where_the_noise_exceeds_the_data(variance, noise):
    # The best weight by search over the exact E log p(x), whose second moment is that of the data.
    def negative(w: float) -> float:
        c = w * w + noise
        return 0.5 * math.log(2 * math.pi * c) + variance / (2 * c)

    found = scipy.optimize.minimize_scalar(
        negative, bounds=(0, 5), method="bounded", options={"xatol": 1e-10}
    ).x
    assert found**2 == pytest.approx(max(variance - noise, 0), abs=1e-6)
    # The rate at that weight: dgm's KL at the exact posteriors, averaged over data N(0, variance).
    w = math.sqrt(max(variance - noise, 0))
    model = LinearGaussian(torch.tensor([[w]], dtype=F64), torch.zeros(1, dtype=F64), noise)
    node, weight = normal_quadrature(30)
    posterior = model.posterior(math.sqrt(variance) * node[:, None])
    rate = weight @ kl_gaussian_standard(posterior.mean, posterior.variance.log())
    assert rate.item() == pytest.approx(0.5 * max(math.log(variance / noise), 0), abs=1e-9)


@pytest.mark.equation("vae-aggregate")
def test_mean_rate_splits_into_information_and_waste():
    mu, logvar = 1.5 * randn(6, 1), -1.0 + 0.4 * randn(6, 1, seed=1)
    rate = kl_gaussian_standard(mu, logvar).mean()
    grid = torch.linspace(-12, 12, 8001, dtype=F64)
    cell = float(grid[1] - grid[0])
    log_q = Normal(mu, (logvar / 2).exp()).log_prob(grid)  # (6, G), one row per x
    log_aggregate = log_q.logsumexp(0) - math.log(6)  # (G,)
    information = torch.stack([kl_on_grid(row, log_aggregate, cell) for row in log_q]).mean()
    waste = kl_on_grid(log_aggregate, Normal(0.0, 1.0).log_prob(grid), cell)
    assert min(information, waste) > 0.1
    assert rate.item() == pytest.approx(float(information + waste), abs=1e-9)
    # A mixture prior that equals the aggregate posterior leaves the information alone.
    prior = MixturePrior(6, 1).double()
    with torch.no_grad():
        prior.mu.copy_(mu)
        prior.logvar.copy_(logvar)
        torch.testing.assert_close(prior.log_prob(grid[:, None]), log_aggregate, rtol=0, atol=1e-9)


@pytest.mark.equation("vae-mixture-prior")
def test_mixture_prior_matches_torch_and_integrates_to_one():
    prior = MixturePrior(3, 2).double()
    with torch.no_grad():
        for i, p in enumerate((prior.logits, prior.mu, prior.logvar)):
            p.copy_(0.8 * randn(*p.shape, seed=20 + i))
    reference = MixtureSameFamily(
        Categorical(logits=prior.logits), Independent(Normal(prior.mu, (prior.logvar / 2).exp()), 1)
    )
    z = 2 * randn(50, 2, seed=23)
    torch.testing.assert_close(prior.log_prob(z), reference.log_prob(z))
    axis = torch.linspace(-9, 9, 301, dtype=F64)
    cell = float(axis[1] - axis[0]) ** 2
    assert prior.log_prob(torch.cartesian_prod(axis, axis)).exp().sum().item() * cell == pytest.approx(
        1, abs=1e-6
    )
    # Its draws have its moments.
    draws = prior.sample(100_000, rng(24)).detach()
    assert draws.shape == (100_000, 2)
    assert z_score(draws, reference.mean.detach()).abs().max() < 4
    for j in range(2):
        assert abs(variance_z_score(draws[:, j], float(reference.variance[j].detach()))) < 4
