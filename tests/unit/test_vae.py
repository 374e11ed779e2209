"""dgm.vae: the model against an exactly solvable one, the autoencoder's penalties, estimators and errors.

The formulas of the chapter are tested in tests/equations/test_vae.py.
"""

import math

import pytest
import torch
from torch import Tensor, nn

from dgm.data import load_digits
from dgm.nn import seeded
from dgm.prob import bernoulli_log_prob, gaussian_log_prob, kl_gaussian_standard
from dgm.vae import (
    LIKELIHOODS,
    VAE,
    MixturePrior,
    VAEConfig,
    active_units,
    contractive_penalty,
    contractive_penalty_estimate,
    corrupt,
    elbo,
    free_bits,
    importance_log_prob,
    iwae_bound,
    kl_one_sample,
    leave_one_out_baseline,
    linear_warmup,
    observation,
    pathwise_gradients,
    score_function_gradients,
    score_function_surrogate,
    sigmoid_contractive_penalty,
    sparse_penalty,
    squared_error,
)
from vae_anchors import LinearGaussian, z_score

F64 = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=F64)


# The model


def linear_vae() -> tuple[VAE, LinearGaussian, Tensor]:
    """A VAE without hidden layers is probabilistic PCA with noise variance 1."""
    with seeded(0):
        vae = VAE(VAEConfig(shape=(5,), levels=0, likelihood="gaussian_fixed", latents=2, hidden=())).double()
    with torch.no_grad():  # a poor encoder, but one wider than the posterior, so that the weights behave
        vae.encoder.net.layers[0].weight.mul_(0.3)
        vae.encoder.net.layers[0].bias[2:] = 0.4
    layer = vae.decoder.net.layers[0]
    exact = LinearGaussian(layer.weight.detach(), layer.bias.detach(), noise_var=1.0)
    return vae, exact, 1.5 * randn(6, 5)


def test_linear_vae_is_probabilistic_pca():
    vae, exact, x = linear_vae()
    log_px = exact.log_marginal(x)
    with torch.no_grad():
        mu, logvar = vae.encode(x)
        gap = exact.gap(x, mu, logvar)
        assert gap.min() > 0.01
        out = vae(x.repeat(20_000, 1), rng(1))
        bounds = elbo(out.log_likelihood, out.kl).reshape(20_000, 6)
        log_w = vae.log_weights(x, 20_000, rng(2))
    assert out.z.shape == (120_000, 2)
    assert z_score(bounds, log_px - gap).abs().max() < 4
    assert log_w.shape == (20_000, 6)
    assert z_score(log_w, log_px - gap).abs().max() < 4
    assert z_score((log_w - log_px).exp(), 1.0).abs().max() < 4
    estimate = importance_log_prob(lambda k: vae.log_weights(x, k, rng(k)), samples=20_000, chunk=20_000)
    assert estimate.requires_grad is False
    torch.testing.assert_close(estimate, log_px, rtol=0, atol=0.05)


def test_linear_vae_samples_have_the_marginal_covariance():
    vae, exact, _ = linear_vae()
    x = vae.sample(100_000, rng(3))
    assert z_score(x, exact.bias).abs().max() < 4
    centred = x - exact.bias
    products = (centred[:, :, None] * centred[:, None, :]).flatten(1)
    cov = exact.weight @ exact.weight.T + torch.eye(5, dtype=F64)
    assert z_score(products, cov.flatten()).abs().max() < 4.5


def test_mixture_prior_enters_bound_weights_and_samples():
    config = VAEConfig(
        shape=(5,), levels=0, likelihood="gaussian_fixed", latents=2, hidden=(), prior_components=3
    )
    with seeded(1):
        vae = VAE(config).double()
    x = randn(6, 5)
    with torch.no_grad():
        out = vae(x, rng(4))
        torch.testing.assert_close(
            out.kl, gaussian_log_prob(out.z, out.mu, out.logvar) - vae.prior.log_prob(out.z)
        )
        # One draw: the weight is the one-draw bound itself.
        log_w = vae.log_weights(x, 1, rng(4))
        torch.testing.assert_close(log_w[0], elbo(out.log_likelihood, out.kl))
        # With one component at N(0, I) the mixture is the standard prior.
        plain = MixturePrior(1, 2).double()
        plain.mu.zero_()
        vae.prior = plain
        draws = vae(x.repeat(4_000, 1), rng(5)).kl.reshape(4_000, 6)
        assert z_score(draws, kl_gaussian_standard(out.mu, out.logvar)).abs().max() < 4
    assert vae.sample_prior(7, rng(0)).shape == (7, 2)
    with pytest.raises(ValueError, match=r"z must have shape \(B, 2\), got \(3, 4\)"):
        plain.log_prob(torch.zeros(3, 4))


def levels_of(name: str, most: int) -> int:
    """A number of levels that suits a row of the table."""
    kind = LIKELIHOODS[name]
    return min(most, kind.most_levels or most) if kind.discrete else 0


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_every_likelihood_trains_and_samples(name):
    levels = levels_of(name, 17)
    with seeded(2):
        vae = VAE(VAEConfig(shape=(1, 4, 4), levels=levels, likelihood=name, latents=3, hidden=(16,)))
    g = rng(5)
    x = (
        torch.randint(0, levels, (32, 1, 4, 4), generator=g)
        if levels
        else torch.randn(32, 1, 4, 4, generator=g)
    )
    optimiser = torch.optim.Adam(vae.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        out = vae(x, g)
        loss = -elbo(out.log_likelihood, out.kl).mean()
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in vae.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.3
    drawn = vae.sample(9, g)
    assert drawn.shape == (9, 1, 4, 4)
    if levels:
        assert drawn.dtype == torch.int64
        assert drawn.min() >= 0
        assert drawn.max() < levels


def test_model_scales_levels_for_its_encoder_and_checks_the_shape():
    with seeded(3):
        vae = VAE(VAEConfig(shape=(4,), levels=17, latents=2, hidden=(8,)))
    x = torch.tensor([[0, 4, 8, 16]], dtype=torch.uint8)
    expected = vae.encoder(torch.tensor([[-1.0, -0.5, 0.0, 1.0]]))
    torch.testing.assert_close(vae.encode(x), expected)
    with pytest.raises(ValueError, match=r"x must have shape \(B, 4\), got \(1, 2, 2\)"):
        vae.encode(x.reshape(1, 2, 2))
    # The same generator, the same pass; the other way round, no global randomness.
    state = torch.random.get_rng_state()
    a, b = vae(x, rng(6)), vae(x, rng(6))
    assert torch.equal(a.z, b.z)
    vae.sample(2, rng(7))
    assert torch.equal(state, torch.random.get_rng_state())


# Observations


def test_observation_means_and_draws_match_closed_forms():
    logits = randn(1, 3, 1)
    binomial = observation("binomial", 17)
    torch.testing.assert_close(binomial.mean(logits), 16 * logits[..., 0].sigmoid())
    draws = binomial.sample(logits.expand(20_000, 3, 1), rng(8)).double()
    assert z_score(draws, binomial.mean(logits)[0]).abs().max() < 4

    params = randn(1, 3, 2)
    a, b = params.exp().unbind(-1)
    beta_binomial = observation("beta_binomial", 17)
    torch.testing.assert_close(beta_binomial.mean(params), 16 * a / (a + b))
    variance = 16 * a * b * (a + b + 16) / ((a + b).square() * (a + b + 1))
    draws = beta_binomial.sample(params.expand(20_000, 3, 2), rng(9)).double()
    assert z_score(draws, beta_binomial.mean(params)[0]).abs().max() < 4
    assert z_score((draws - beta_binomial.mean(params)).square(), variance[0]).abs().max() < 4

    gaussian = observation("gaussian")
    torch.testing.assert_close(gaussian.mean(params), params[..., 0])
    draws = gaussian.sample(params.expand(20_000, 3, 2), rng(10))
    assert z_score(draws, params[0, :, 0]).abs().max() < 4
    assert z_score((draws - params[..., 0]).square(), params[0, :, 1].exp()).abs().max() < 4


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_every_likelihood_is_one_distribution_scored_averaged_and_drawn(name):
    levels = levels_of(name, 5)
    obs = observation(name, levels, variance=0.3)
    raw = 0.5 * randn(1, 2, obs.n_params, seed=3)  # two entries of x
    if levels:
        x, step = torch.arange(levels, dtype=F64), 1.0
    else:
        x, step = torch.linspace(-12, 12, 4_001, dtype=F64), 24 / 4_000
    for entry in raw.unbind(1):  # (1, P)
        log_p = obs.log_prob(entry.expand(len(x), 1, -1), x[:, None].to(torch.int64 if levels else F64))
        p = step * log_p.exp()  # (points,): the trapezoidal rule, since the density is zero at both ends
        assert p.sum().item() == pytest.approx(1, abs=1e-9)
        mean = (p * x).sum()
        variance = (p * (x - mean).square()).sum()
        torch.testing.assert_close(obs.mean(entry[None])[0, 0], mean)
        draws = obs.sample(entry.expand(1, 40_000, -1), rng(18))[0].to(F64)
        assert z_score(draws, mean).abs() < 4
        assert z_score((draws - mean).square(), variance).abs() < 4


@pytest.mark.parametrize("name", [name for name, kind in LIKELIHOODS.items() if kind.discrete])
def test_level_probabilities_are_those_of_the_likelihood(name):
    levels = levels_of(name, 5)
    obs = observation(name, levels)
    raw = randn(3, 2, obs.n_params)
    table = obs.level_log_probs(raw)
    assert table.shape == (3, 2, levels)
    torch.testing.assert_close(table.exp().sum(-1), torch.ones(3, 2, dtype=F64))
    x = torch.tensor([[0, 1], [1, 0], [levels - 1, 1]])
    torch.testing.assert_close(table.gather(-1, x[..., None])[..., 0].sum(1), obs.log_prob(raw, x))
    torch.testing.assert_close(obs.mean(raw), (table.exp() * torch.arange(levels)).sum(-1))


def test_fixed_variance_is_the_one_given():
    raw, x = randn(4, 3, 1), randn(4, 3, seed=1)
    fixed = observation("gaussian_fixed", variance=0.09)
    torch.testing.assert_close(
        fixed.log_prob(raw, x), torch.distributions.Normal(raw[..., 0], 0.3).log_prob(x).sum(1)
    )
    draws = fixed.sample(raw[:1].expand(20_000, 3, 1), rng(17))
    assert z_score((draws - raw[0, :, 0]).square(), 0.09).abs().max() < 4


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize(
    "name", [n for n, kind in LIKELIHOODS.items() if kind.discrete and not kind.most_levels]
)
def test_two_levels_are_enough(name, levels):
    head = observation(name, levels)
    log_p = head.level_log_probs(randn(1, 4, head.n_params))
    torch.testing.assert_close(log_p.exp().sum(-1), torch.ones(1, 4, dtype=F64))


def test_observation_errors():
    with pytest.raises(ValueError, match=r'likelihood must be one of bernoulli, .* got "mse"'):
        observation("mse", 17)
    with pytest.raises(ValueError, match="levels must be 2 for bernoulli, got 17"):
        observation("bernoulli", 17)
    with pytest.raises(ValueError, match=r"levels must be 0 \(continuous x\) for gaussian, got 17"):
        observation("gaussian", 17)
    with pytest.raises(ValueError, match="levels must be at least 2 for binomial, got 0"):
        observation("binomial", 0)
    with pytest.raises(ValueError, match="variance must be positive, got 0"):
        observation("gaussian_fixed", variance=0)
    with pytest.raises(ValueError, match="gaussian has a density, not level probabilities"):
        observation("gaussian").level_log_probs(torch.zeros(1, 1, 2))


# Bounds


def test_importance_log_prob_does_not_depend_on_the_chunk():
    table = 3 * randn(101, 4)
    calls: list[int] = []

    def from_table(k: int) -> Tensor:
        calls.append(k)
        return table[sum(calls[:-1]) : sum(calls)]

    whole = importance_log_prob(from_table, samples=101, chunk=1_000)
    assert calls == [101]
    calls.clear()
    parts = importance_log_prob(from_table, samples=101, chunk=25)
    assert calls == [25, 25, 25, 25, 1]
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(whole, iwae_bound(table))
    torch.testing.assert_close(whole, table.exp().mean(0).log())


def test_bounds_refuse_the_wrong_shapes():
    with pytest.raises(ValueError, match=r"log_likelihood must have shape \(B,\), got \(4, 3\)"):
        elbo(torch.zeros(4, 3), torch.zeros(4))
    with pytest.raises(ValueError, match=r"kl must have the shape of log_likelihood, \(4,\), got \(4, 1\)"):
        elbo(torch.zeros(4), torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"log_p must have the shape of log_q"):
        kl_one_sample(torch.zeros(4), torch.zeros(1))
    with pytest.raises(
        ValueError, match=r"log_w must have shape \(K, B\).*got \(4,\);.* one draw: log_w\[None\]"
    ):
        iwae_bound(torch.zeros(4))
    with pytest.raises(ValueError, match=r"must return shape \(k, B\) = \(5, B\), got \(4, 5\)"):
        importance_log_prob(lambda k: torch.zeros(4, k), samples=5)
    with pytest.raises(ValueError, match="samples and chunk must be at least 1, got 0 and 100"):
        importance_log_prob(lambda k: torch.zeros(k, 4), samples=0)


def test_elbo_is_likelihood_minus_beta_kl():
    assert elbo(torch.tensor([3.0]), torch.tensor([1.0])).item() == 2
    assert elbo(torch.tensor([3.0]), torch.tensor([1.0]), beta=4.0).item() == -1


def test_what_is_no_tensor_is_named():
    with pytest.raises(
        TypeError, match=r"log_likelihood must be a tensor of shape \(B,\), got the number 1.0"
    ):
        elbo(1.0, 2.0)
    with pytest.raises(TypeError, match=r"kl must be a tensor, got the number 2.0"):
        elbo(torch.zeros(4), 2.0)
    vae = VAE(VAEConfig(latents=2, hidden=(8,)))
    with pytest.raises(
        TypeError, match=r"x must be a tensor of shape \(B, 1, 8, 8\), got an ImageSet; pass .x"
    ):
        vae(load_digits("test"))
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        vae.log_weights(load_digits("test").x, 0)
    with pytest.raises(ValueError, match=r"x must lie in 0 .. 16, got values from 0 to 17"):
        vae.encode(torch.arange(64).reshape(1, 1, 8, 8) % 18)
    for kind in ("gaussian", "masking"):
        with pytest.raises(ValueError, match=r"x must hold real numbers, got torch.uint8; use .*to_pm1"):
            corrupt(load_digits("test").x, 0.1, kind=kind)


# Gradient estimators


def test_baseline_of_the_other_draws_reduces_the_variance():
    value = randn(5, 3)
    expected = torch.stack([value[[j for j in range(5) if j != i]].mean(0) for i in range(5)])
    torch.testing.assert_close(leave_one_out_baseline(value), expected)
    assert not leave_one_out_baseline(value.clone().requires_grad_()).requires_grad
    with pytest.raises(ValueError, match="K at least 2"):
        leave_one_out_baseline(value[:1])
    # Without bias, at less variance: groups of eight draws for f(z) = z^2 + 3, d/dmu E f = 2 mu.
    mu, logvar = torch.tensor(0.8, dtype=F64), torch.tensor(-1.0, dtype=F64)
    mu_s = mu.expand(8, 40_000).clone().requires_grad_()
    z = mu + (logvar / 2).exp() * randn(8, 40_000, seed=3)
    log_q = gaussian_log_prob(z.reshape(-1, 1), mu_s.reshape(-1, 1), logvar).reshape(8, 40_000)
    value = z.square() + 3
    grads = {}
    for name, baseline in (("none", 0.0), ("others", leave_one_out_baseline(value))):
        surrogate = score_function_surrogate(value, log_q, baseline)
        grads[name] = torch.autograd.grad(surrogate.sum(), mu_s, retain_graph=True)[0].mean(0)
        assert z_score(grads[name], 1.6).abs() < 4
    assert grads["others"].var() < grads["none"].var() / 3


def test_baseline_gets_no_gradient_and_f_needs_none():
    baseline = torch.tensor(0.3, requires_grad=True)
    log_q = torch.zeros(4, requires_grad=True)
    score_function_surrogate(torch.arange(4.0), log_q, baseline).sum().backward()
    assert baseline.grad is None
    torch.testing.assert_close(log_q.grad, torch.arange(4.0) - 0.3)
    steps = score_function_gradients(
        lambda z: (z[:, 0] > 0).double(),
        torch.zeros(1, dtype=F64),
        torch.zeros(1, dtype=F64),
        samples=100_000,
        generator=rng(11),
    )
    # d/dmu P(z > 0) at mu = 0, sigma = 1 is the density at 0.
    assert z_score(steps[0], 1 / math.sqrt(2 * math.pi)).abs() < 4


def test_estimators_refuse_the_wrong_shapes():
    with pytest.raises(ValueError, match=r"log_q must have the shape of value, \(4,\), got \(4, 1\)"):
        score_function_surrogate(torch.zeros(4), torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"baseline must broadcast to .* \(4,\), got \(4, 1\)"):
        score_function_surrogate(torch.zeros(4), torch.zeros(4), torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"must both have shape \(J,\), got \(2, 1\) and \(2, 1\)"):
        pathwise_gradients(lambda z: z[:, 0], torch.zeros(2, 1), torch.zeros(2, 1), samples=3)


# Regularisers


def test_active_units_counts_latents_whose_mean_moves():
    mu = randn(5_000, 4) * torch.tensor([1.0, 0.2, 0.05, 0.0], dtype=F64) + 3.0  # variances 1, .04, .0025, 0
    assert active_units(mu).tolist() == [True, True, False, False]
    assert active_units(mu, threshold=0.1).sum() == 1
    with pytest.raises(ValueError, match=r"mu must have shape \(N, J\)"):
        active_units(mu[0])


def test_regularisers_refuse_nonsense():
    with pytest.raises(ValueError, match=r"kl_per_dim must have shape \(B, J\), got \(4,\); use kl_gaussian"):
        free_bits(torch.zeros(4), 0.1)
    with pytest.raises(ValueError, match="floor_nats must not be negative, got -1"):
        free_bits(torch.zeros(4, 2), -1)
    with pytest.raises(ValueError, match="must not be negative, got -1 and 5"):
        linear_warmup(-1, 5)


# Autoencoders


def nets() -> list[nn.Module]:
    with seeded(4):
        return [
            nn.Sequential(nn.Linear(6, 4), nn.Sigmoid()).double(),
            nn.Sequential(nn.Linear(6, 5), nn.SiLU(), nn.Linear(5, 3)).double(),
        ]


def test_contractive_penalty_matches_every_other_way_to_it():
    for encoder in nets():
        x = randn(7, 6)
        jacobian = torch.func.vmap(torch.func.jacrev(encoder))(x)  # (7, K, 6)
        exact = contractive_penalty(encoder, x)
        torch.testing.assert_close(exact, jacobian.square().sum((1, 2)))
        # Finite differences: |h(x + d v) - h(x)|^2 / d^2, summed over the axes v.
        step = 1e-6
        moved = [(encoder(x + step * v) - encoder(x)) / step for v in torch.eye(6, dtype=F64)]
        torch.testing.assert_close(exact, torch.stack(moved).square().sum((0, 2)), rtol=1e-5, atol=0)
    first = nets()[0]
    torch.testing.assert_close(
        contractive_penalty(first, x), sigmoid_contractive_penalty(first[0].weight, first(x))
    )


def test_contractive_penalty_works_on_images_and_without_outer_gradients():
    with seeded(5):
        encoder = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)).double()
    x = randn(4, 1, 4, 4)
    expected = torch.stack(
        [torch.autograd.functional.jacobian(encoder, one[None]).square().sum() for one in x]
    )
    torch.testing.assert_close(contractive_penalty(encoder, x), expected)
    with torch.no_grad():
        torch.testing.assert_close(contractive_penalty(encoder, x), expected)
    assert x.requires_grad is False


def test_contractive_penalty_can_be_minimised():
    encoder = nets()[0]
    x = randn(7, 6)
    by_autograd = torch.autograd.grad(contractive_penalty(encoder, x).sum(), encoder[0].weight)
    closed = sigmoid_contractive_penalty(encoder[0].weight, encoder(x))
    torch.testing.assert_close(by_autograd, torch.autograd.grad(closed.sum(), encoder[0].weight))


def test_estimated_contractive_penalty_is_unbiased():
    encoder = nets()[1]
    x = randn(3, 6)
    exact = contractive_penalty(encoder, x)
    draws = contractive_penalty_estimate(encoder, x.repeat(4_000, 1), generator=rng(12)).reshape(4_000, 3)
    assert z_score(draws, exact).abs().max() < 4
    many = contractive_penalty_estimate(encoder, x, probes=4_000, generator=rng(13))
    torch.testing.assert_close(many, exact, rtol=0.1, atol=0)
    # A code of one unit has nothing to estimate: signs square to one.
    single = nn.Linear(6, 1).double()
    torch.testing.assert_close(
        contractive_penalty_estimate(single, x, generator=rng(14)), single.weight.square().sum().expand(3)
    )
    (slope,) = torch.autograd.grad(contractive_penalty_estimate(single, x).mean(), single.weight)
    torch.testing.assert_close(slope, 2 * single.weight.detach())


def test_corruption_is_what_it_says():
    x = 1 + randn(50, 400).abs()
    noisy = corrupt(x, 0.3, generator=rng(15))
    assert z_score((noisy - x).flatten(), 0.0).abs() < 4
    assert z_score((noisy - x).flatten().square(), 0.09).abs() < 4
    masked = corrupt(x, 0.25, kind="masking", generator=rng(16))
    assert z_score((masked == 0).double().flatten(), 0.25).abs() < 4
    assert ((masked == 0) | (masked == x)).all()
    assert torch.equal(masked, corrupt(x, 0.25, kind="masking", generator=rng(16)))
    assert torch.equal(corrupt(x, 0.0), x)
    assert torch.equal(corrupt(x, 1.0, kind="masking"), torch.zeros_like(x))
    with pytest.raises(ValueError, match='kind must be "gaussian" or "masking", got "salt"'):
        corrupt(x, 0.1, kind="salt")
    with pytest.raises(ValueError, match=r"probability and must be in \[0, 1\], got 2"):
        corrupt(x, 2, kind="masking")
    with pytest.raises(ValueError, match="standard deviation and must not be negative, got -1"):
        corrupt(x, -1)


@pytest.mark.parametrize(("kind", "draw"), [("gaussian", torch.randn), ("masking", torch.rand)])
def test_corruption_is_drawn_on_the_generators_device(kind, draw):
    drawn, expected = rng(), rng()
    draw(5, generator=expected)
    assert corrupt(torch.zeros(5, device="meta"), 0.5, kind=kind, generator=drawn).is_meta
    assert torch.equal(drawn.get_state(), expected.get_state())


def test_penalties_sum_over_the_code_and_errors_over_the_pixels():
    x = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    torch.testing.assert_close(sparse_penalty(x), torch.tensor([3.0, 3.0]))
    torch.testing.assert_close(squared_error(x, torch.zeros(2, 2)), torch.tensor([5.0, 9.0]))
    with pytest.raises(ValueError, match=r"x_hat must have the shape of x, \(2, 2\), got \(2, 1\)"):
        squared_error(x, x[:, :1])
    with pytest.raises(ValueError, match=r"encoder must return shape \(B, J\) = \(2, J\), got \(2,\)"):
        contractive_penalty(lambda v: v.sum(1), x)
    with pytest.raises(ValueError, match=r"encoder must return"):
        contractive_penalty_estimate(lambda v: v.sum(1), x)
    with pytest.raises(ValueError, match="probes must be at least 1, got 0"):
        contractive_penalty_estimate(lambda v: v, x, probes=0)
    with pytest.raises(
        ValueError, match=r"weight must be \(J, D\) and codes \(B, J\), got \(3, 5\) and \(2, 5\)"
    ):
        sigmoid_contractive_penalty(torch.zeros(3, 5), torch.zeros(2, 5))


def test_float32_stays_float32():
    with seeded(6):
        vae = VAE(
            VAEConfig(
                shape=(4,), levels=17, likelihood="beta_binomial", latents=2, hidden=(8,), prior_components=2
            )
        )
    out = vae(torch.tensor([[0, 4, 8, 16]], dtype=torch.uint8), rng(0))
    assert {t.dtype for t in out} == {torch.float32}
    assert bernoulli_log_prob(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.uint8)).dtype == torch.float32
