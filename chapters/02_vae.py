# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Variational autoencoders
#
# **The question.** Count, for each of the 64 pixels of a small digit, how often each grey level occurs. Now
# draw every pixel from its own histogram. Every pixel is right, and no digit appears. What is missing is
# that pixels *agree*: if one pixel of a "0" is dark, its neighbour on the ring is dark too. How do you
# build a distribution in which 64 pixels agree, that you can sample in one pass, and that tells how
# probable a given digit is?
#
# The answer of this chapter: let one hidden cause $z$ decide what all the pixels have in common.
#
# **You will be able to** derive the evidence lower bound in two ways and say what it leaves out; train a
# variational autoencoder (VAE) from scratch and measure it in nats on images that it has not seen; tell
# when "cross-entropy" and "mean squared error" are log-likelihoods; recognise a collapsed posterior, and
# repair it.
#
# **You need** Gaussian densities, the KL divergence from the [start chapter](00_start.ipynb), the
# eigenvalues of a covariance matrix, PyTorch's autograd, and the last section of the
# [autoencoder chapter](01_autoencoder.ipynb). **It takes** about three hours to read with pencil and paper,
# and about a minute to run on a laptop.

# %%
import itertools
import math

import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F

from coursekit import PALETTE, budget, figure, frames, image_grid, show, use_style
from dgm.data import Batches, augment_digits, load_digits, to_pm1
from dgm.metrics import digits_features, frechet_distance
from dgm.nn import MLP, seeded
from dgm.tensor import bits_per_dim, log_mean_exp
from dgm.train import fit

use_style()
torch.set_num_threads(1)  # networks this small gain nothing from a second thread

# %% [markdown]
# The data are scikit-learn's digits: 8 by 8 pixels, each a count from 0 to 16 (how many of the 16 points of
# a 4 by 4 block were inked). The first 1000 images train, the next 350 choose between settings, the last
# 447 are looked at for the numbers that we report. They come from other writers than the first 1000, so
# memorising does not help.

# %%
train, valid, test = (load_digits(split) for split in ("train", "valid", "test"))
x_train, x_valid, x_test = (s.x.flatten(1).float() for s in (train, valid, test))  # (N, 64), counts 0..16
N_LEVELS, D = train.levels, x_train.shape[1]


def as_images(x):  # (N, 64) counts -> (N, 1, 8, 8) in [-1, 1]
    return to_pm1(x.reshape(-1, 1, 8, 8), N_LEVELS)


# %%
# one histogram per pixel; half a count of every level so that no level is impossible
histogram = F.one_hot(x_train.long(), N_LEVELS).float().sum(0) + 0.5  # (64, 17)
log_p = (histogram / histogram.sum(1, keepdim=True)).log()
nll_independent = (
    -log_p.expand(len(x_test), -1, -1).gather(2, x_test.long()[..., None]).sum((1, 2)).mean().item()
)

g = torch.Generator().manual_seed(0)
x_independent = torch.multinomial(log_p.exp(), 12, replacement=True, generator=g).T  # (12, 64)
fig = image_grid(as_images(torch.cat([x_test[:12], x_independent.float()])), columns=12)
figure(
    fig,
    alt="Two rows of twelve 8 by 8 grey images. Top: handwritten digits of the test set. Bottom: draws of "
    "the model with independent pixels, grey noise that is brighter in the middle and shows no digit.",
    caption="Top: test digits. Bottom: every pixel drawn from its own histogram.",
)
print(
    f"independent pixels: {nll_independent:.1f} nats an image, "
    f"{bits_per_dim(nll_independent, D):.2f} bits a pixel"
)

# %% [markdown]
# That number is our yardstick: the average of $-\log p(x)$ over test images, in nats. A model in which
# pixels agree must get below it.
#
# ## 1 A hidden cause
#
# *Assume* that an image is made in two steps. Draw a **latent** $z \in \mathbb{R}^J$ from a fixed **prior**
# $p(z) = \mathcal{N}(0, I)$. Then draw the image from $p_\theta(x \mid z)$, a simple distribution whose
# parameters a network, the **decoder**, computes from $z$. Given $z$ the pixels may well be independent.
# Without it they are not, because the same $z$ speaks to all of them:
#
# $$ p_\theta(x) = \int p_\theta(x \mid z)\, p(z)\, dz = \mathbb{E}_{z \sim p(z)}\big[p_\theta(x \mid
# z)\big]. $$ (vae-marginal)
#
# This is a mixture with infinitely many components, one for each $z$. To train it we would maximise
# $\log p_\theta(x)$, averaged over the training images. The integral has no closed form, and
# {eq}`vae-marginal` invites us to estimate it by drawing $z$ from the prior. It is a bad estimate: for a
# given image almost every $z$ decodes to some other digit and contributes nothing; one rare draw carries
# the sum. (Section 10 measures it.)
#
# So look only at those $z$ that could have made this $x$. Bayes' rule names them,
# $p_\theta(z \mid x) = p_\theta(x \mid z)\,p(z)/p_\theta(x)$, but has the unknown $p_\theta(x)$ in the
# denominator. We settle for a distribution that we choose ourselves, the **encoder** $q_\phi(z \mid x)$,
# computed from $x$ by a second network, and ask what its use costs.
#
# ## 2 The bound, by Jensen
#
# Multiply and divide by $q_\phi(z \mid x)$ under the integral. This is importance sampling: any $q$ that is
# positive wherever $p(z)\,p_\theta(x \mid z)$ is will do. The logarithm is concave, so by Jensen's
# inequality the log of a mean is at least the mean of the log:
#
# $$ \log p_\theta(x) = \log \mathbb{E}_{q_\phi(z \mid x)}\!\left[\frac{p_\theta(x \mid z)\,p(z)}{q_\phi(z
# \mid x)}\right] \;\ge\; \mathbb{E}_{q_\phi(z \mid x)}\!\left[\log\frac{p_\theta(x \mid z)\,p(z)}{q_\phi(z
# \mid x)}\right] =: \mathcal{L}(x; \theta, \phi). $$ (vae-elbo-jensen)
#
# $\mathcal{L}$ is the **evidence lower bound**, ELBO
# ([Kingma and Welling 2014](https://arxiv.org/abs/1312.6114);
# [Rezende et al. 2014](https://arxiv.org/abs/1401.4082)): the evidence is $\log p_\theta(x)$. The mean of a
# logarithm is what we wanted, because one draw of $z$ estimates it without bias.
#
# ## 3 The bound again, with its gap
#
# Jensen says that something is lost. How much? Start from the logarithm itself. It does not depend on $z$,
# so averaging it over $q$ changes nothing; then use Bayes' rule in the form
# $p_\theta(x) = p_\theta(x \mid z)\,p(z)/p_\theta(z \mid x)$ and insert $q/q$:
#
# $$ \log p_\theta(x) = \mathbb{E}_{q_\phi}\!\left[\log \frac{p_\theta(x \mid z)\,p(z)}{q_\phi(z \mid x)}
# \cdot \frac{q_\phi(z \mid x)}{p_\theta(z \mid x)}\right] = \mathcal{L}(x; \theta, \phi) +
# \mathrm{KL}\big(q_\phi(z \mid x)\,\|\,p_\theta(z \mid x)\big). $$ (vae-elbo-gap)
#
# No inequality was used. The loss is the Kullback-Leibler divergence
# $\mathrm{KL}(q\,\|\,p) = \mathbb{E}_q[\log q(z) - \log p(z)]$, which is never negative: this proves
# {eq}`vae-elbo-jensen` a second time and says more. The bound is tight exactly when the encoder is the true
# posterior. Raising $\mathcal{L}$ over $\phi$ cannot change the left side, so it closes the gap; raising it
# over $\theta$ lifts the likelihood, or closes the gap from the other side.
#
# Watch it in the one case where everything is known. One latent, one pixel,
# $x \mid z \sim \mathcal{N}(w z, s^2)$. Then $x$ is the sum of two independent Gaussians,
# $p(x) = \mathcal{N}(0, w^2 + s^2)$, and the posterior is Gaussian with precision $1 + w^2/s^2$ and mean
# $w x/(w^2 + s^2)$. The KL between two Gaussians $\mathcal{N}(m, v)$ and $\mathcal{N}(m', v')$ is
# $\tfrac12\big(\log\tfrac{v'}{v} + \tfrac{v + (m - m')^2}{v'} - 1\big)$, an expectation of two quadratics.

# %%
w, s, x_obs = 1.5, 0.8, 2.0
log_evidence = -0.5 * math.log(2 * math.pi * (w**2 + s**2)) - x_obs**2 / (2 * (w**2 + s**2))
post_mean, post_var = w * x_obs / (w**2 + s**2), 1 / (1 + w**2 / s**2)


def exact_elbo(m, v):  # E_q[log p(x|z)] + E_q[log p(z)] - E_q[log q(z)], q = N(m, v)
    log_lik = -0.5 * math.log(2 * math.pi * s**2) - ((x_obs - w * m) ** 2 + w**2 * v) / (2 * s**2)
    log_prior = -0.5 * math.log(2 * math.pi) - (m**2 + v) / 2
    return log_lik + log_prior + 0.5 * math.log(2 * math.pi * math.e * v)


def exact_gap(m, v):  # KL(N(m, v) || N(post_mean, post_var))
    return 0.5 * (math.log(post_var / v) + (v + (m - post_mean) ** 2) / post_var - 1)


for m, v in [(0.0, 1.0), (1.0, 0.1), (post_mean, post_var)]:
    bound, gap = exact_elbo(m, v), exact_gap(m, v)
    print(f"m = {m:.2f}, v = {v:.2f}: ELBO {bound:+.4f} + gap {gap:.4f} = {bound + gap:+.4f}")
    assert abs(bound + gap - log_evidence) < 1e-12  # (vae-elbo-gap), to rounding


# %%
def normal_pdf(z, m, v):
    return torch.exp(-((z - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v)


# %%
def draw_gap(m):
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 2.9))
    z = torch.linspace(-2, 3.5, 300)
    left.fill_between(z, normal_pdf(z, post_mean, post_var), color=PALETTE["sky"], label="posterior p(z | x)")
    left.plot(z, normal_pdf(z, m, post_var), color=PALETTE["vermilion"], label="encoder q(z | x)")
    left.set(xlabel="latent z", ylabel="density", ylim=(0, 1.25))
    left.legend(loc="upper left", fontsize=8)
    ms = torch.linspace(-0.5, 2.5, 100)
    right.axhline(log_evidence, color=PALETTE["black"], ls="--", label="log p(x)")
    right.plot(ms, [exact_elbo(u.item(), post_var) for u in ms], color=PALETTE["blue"], label="ELBO")
    right.vlines(m, exact_elbo(m, post_var), log_evidence, color=PALETTE["vermilion"], lw=3, label="gap")
    right.set(xlabel="mean of the encoder", ylabel="nats")
    right.legend(loc="lower center", fontsize=8)
    return fig


# %%
frames(
    draw_gap,
    [round(-0.5 + 0.5 * i, 2) for i in range(7)],
    label="mean of q",
    start=0.0,
    alt=lambda m: (
        f"Left: the posterior, centred at {post_mean:.2f}, and the encoder's Gaussian centred at {m:.2f}. "
        f"Right: the ELBO against the encoder's mean lies below the dashed line, log p(x) = "
        f"{log_evidence:.2f} nats; at {m:.2f} the gap is {exact_gap(m, post_var):.2f} nats."
    ),
    caption="One latent and one pixel, so that all is known. Where the encoder misses the posterior (left), "
    "the ELBO falls short of log p(x) by the red bar, their KL divergence (right).",
)

# %% [markdown]
# **What it means.** The dashed line never moves: the data are as probable as they are, whatever the encoder
# believes. The encoder has the right variance here and, mostly, the wrong mean. Move the slider until the
# red bar vanishes, and read off where the encoder is then.
#
# ## 4 The two terms
#
# Split the logarithm of {eq}`vae-elbo-jensen` the other way:
#
# $$ \mathcal{L}(x; \theta, \phi) = \underbrace{\mathbb{E}_{q_\phi(z \mid x)}\big[\log p_\theta(x \mid
# z)\big]}_{\text{reconstruction}} \;-\; \underbrace{\mathrm{KL}\big(q_\phi(z \mid
# x)\,\|\,p(z)\big)}_{\text{rate}}. $$ (vae-elbo-terms)
#
# The first term is an autoencoder's: code $x$ as $z$, decode, and score the original. The second is new. It
# charges, in nats, for every bit of information that the code carries beyond the prior, and it is what
# closes the holes of the last chapter: a code far from where the prior puts its mass, or much sharper than
# the prior, is expensive.
#
# For a Gaussian encoder $q_\phi(z \mid x) = \mathcal{N}(\mu, \operatorname{diag} \sigma^2)$, with $\mu$ and
# $\log \sigma^2$ the two outputs of the network, the rate has a closed form. Both densities factorise over
# the $J$ latents, so the KL is a sum of 1-D ones. Under $q$ we have $\mathbb{E}(z - \mu)^2 = \sigma^2$ and
# $\mathbb{E} z^2 = \mu^2 + \sigma^2$, hence $\mathbb{E}\log q = -\tfrac12\log 2\pi\sigma^2 - \tfrac12$ and
# $\mathbb{E}\log p = -\tfrac12 \log 2\pi - \tfrac12(\mu^2 + \sigma^2)$. The difference is
#
# $$ \mathrm{KL}\big(\mathcal{N}(\mu, \operatorname{diag}\sigma^2)\,\|\,\mathcal{N}(0, I)\big) = \frac12
# \sum_{j=1}^{J} \big(\mu_j^2 + \sigma_j^2 - \log \sigma_j^2 - 1\big). $$ (vae-gaussian-kl)
#
# Check the sign by the case that must cost nothing: $\mu = 0$, $\sigma = 1$ gives $0$. Each term is
# non-negative since $u - \log u \ge 1$.
#
# ## 5 A gradient through a draw
#
# To raise $\mathcal{L}$ over $\phi$ we need $\nabla_\phi\, \mathbb{E}_{q_\phi}[f(z)]$. The parameters sit
# in the distribution that we draw from; autograd does not see through `torch.randn`. There are two ways
# out. We state them for an $f$ that does not itself depend on $\phi$, such as
# $f(z) = \log p_\theta(x \mid z)$: the rate has its closed form. (Where $f$ contains $\log q_\phi$, as in
# {eq}`vae-elbo-jensen`, the score function needs one more term, $\mathbb{E}_q[\nabla_\phi \log q_\phi]$,
# and that is zero; autograd needs nothing new.)
#
# **Score function.** Differentiate the density under the integral and use $\nabla q = q\,\nabla \log q$,
# which turns the result back into an expectation:
#
# $$ \nabla_\phi\, \mathbb{E}_{q_\phi}[f(z)] = \int f(z)\, \nabla_\phi q_\phi(z)\, dz =
# \mathbb{E}_{q_\phi}\big[(f(z) - b)\, \nabla_\phi \log q_\phi(z)\big]. $$ (vae-score-function)
#
# The **baseline** $b$ may be any constant, because
# $\mathbb{E}_q[\nabla_\phi \log q_\phi] = \nabla_\phi \int q_\phi = 0$. This estimator (REINFORCE,
# [Williams 1992](https://doi.org/10.1007/BF00992696)) asks nothing of $f$, not even that it have a
# derivative.
#
# **Reparameterisation.** Move the randomness out of the way. A Gaussian draw is a fixed noise, stretched
# and shifted,
#
# $$ z = \mu_\phi + \sigma_\phi \odot \varepsilon, \quad \varepsilon \sim \mathcal{N}(0, I)
# \qquad\Longrightarrow\qquad \nabla_\phi\, \mathbb{E}_{q_\phi}[f(z)] =
# \mathbb{E}_{\varepsilon}\big[\nabla_\phi f(\mu_\phi + \sigma_\phi \odot \varepsilon)\big], $$ (vae-reparam)
#
# and now the distribution that we average over does not depend on $\phi$: swap gradient and expectation and
# let autograd differentiate $f$.
#
# Both are unbiased. Which one would you rather average? Take $f(z) = z^2$ in 1-D, where
# $\mathbb{E} f = \mu^2 + \sigma^2$ and the gradient with respect to $\mu$ is $2\mu$. The reparameterised
# estimate is $2(\mu + \sigma\varepsilon)$. The score-function estimate is
# $(\mu + \sigma\varepsilon)^2\, \varepsilon/\sigma$; its second moment needs the even moments $1, 3, 15$ of
# $\varepsilon^2, \varepsilon^4, \varepsilon^6$. So
#
# $$ \operatorname{Var}_{\text{reparam}} = 4\sigma^2, \qquad \operatorname{Var}_{\text{score}} =
# \frac{\mu^4}{\sigma^2} + 14\mu^2 + 15\sigma^2. $$ (vae-estimator-variance)
#
# As the encoder grows sure ($\sigma \to 0$) the first vanishes and the second diverges. With more latents
# it gets worse: the score function multiplies the gradient of *one* coordinate with the value of the
# *whole* $f$. Before you run the cell: how does the variance grow with the dimension when $f(z) = \|z\|^2$?

# %%
mu, sigma, n = 1.0, 0.5, 100_000
dims = [1, 2, 4, 8, 16, 32]
variance = {"score function": [], "score function, baseline": [], "reparameterised": []}
for dim in dims:
    eps = torch.randn(n, dim, generator=g)
    z = mu + sigma * eps  # (n, dim)
    f, score = z.square().sum(1), eps[:, 0] / sigma  # d log q / d mu_1 = (z_1 - mu) / sigma^2
    baseline = dim * (mu**2 + sigma**2)  # the exact mean of f
    for name, estimate in zip(variance, (f * score, (f - baseline) * score, 2 * z[:, 0]), strict=True):
        variance[name].append(estimate.var().item())
        z_score = (estimate.mean() - 2 * mu) / (estimate.std() / math.sqrt(n))
        assert abs(z_score) < 4.5, (name, dim)  # unbiased: 18 tests, each exceeds 4.5 once in 150,000 runs
# %%
fig, ax = plt.subplots(figsize=(6, 3))
for (name, values), marker in zip(variance.items(), "osD", strict=True):
    ax.loglog(dims, values, marker=marker, label=name)
ax.set(xlabel="number of latents J", ylabel="variance of one estimate of ∂/∂μ₁")
ax.legend()
figure(
    fig,
    alt="Log-log plot of the variance of three gradient estimators against the number of latents, 1 to 32. "
    "The score function's grows about quadratically, with a baseline about linearly, the reparameterised one "
    "stays flat, far below both.",
    caption="How noisy a single estimate of the same gradient is. The score function pays for every further "
    "latent, a baseline makes it pay less, and reparameterisation does not notice them.",
)
closed_form = mu**4 / sigma**2 + 14 * mu**2 + 15 * sigma**2
print(
    f"J = 1: score function {variance['score function'][0]:.1f} (formula {closed_form:.1f}), "
    f"reparameterised {variance['reparameterised'][0]:.2f} (formula {4 * sigma**2:.2f})"
)
assert variance["score function"][-1] > 1000 * variance["reparameterised"][-1]
assert variance["score function, baseline"][-1] > 100 * variance["reparameterised"][-1]

# %% [markdown]
# **What it means.** Without a baseline the leading term is
# $(\mathbb{E} f)^2/\sigma^2 = J^2(\mu^2 + \sigma^2)^2/\sigma^2$: quadratic in $J$. The best constant takes
# it away and leaves $\operatorname{Var}(f)/\sigma^2 = J(4\mu^2 + 2\sigma^2)$: linear. With 32 latents the
# score function needs thousands of draws where reparameterisation needs one, and with the baseline still
# more than a hundred. Reparameterisation is what made VAEs trainable with one draw an image. Its price: $f$
# must be differentiable and $z$ continuous. For discrete latents the score function is back.
#
# ## 6 What is the decoder a distribution of?
#
# "Reconstruction loss" hides a choice. The first term of {eq}`vae-elbo-terms` is a log-likelihood only if
# $p_\theta(x \mid z)$ is a distribution *over the values that pixels take*, that is, if it sums (or
# integrates) to one over them.
#
# **Binary pixels: Bernoulli.** For $x_i \in \{0, 1\}$ and $\rho_i$ the sigmoid of the decoder's output (its
# logit), binary cross-entropy is a log-likelihood:
#
# $$ \log p(x \mid z) = \sum_i x_i \log \rho_i + (1 - x_i) \log (1 - \rho_i), \qquad x_i \in \{0, 1\}.
# $$ (vae-bernoulli)
#
# Feed it a grey value $x_i \in [0, 1]$ and the formula still evaluates. Is it a density on $[0, 1]$?
# Integrate: $\rho^x (1 - \rho)^{1 - x} = (1 - \rho)\, e^{x \ell}$ with the logit
# $\ell = \log\frac{\rho}{1 - \rho}$, so
#
# $$ C(\rho) = \int_0^1 \rho^{x} (1 - \rho)^{1 - x}\, dx = (1 - \rho)\,\frac{e^{\ell} - 1}{\ell}
# = \frac{2\rho - 1}{\ell}, \qquad C(\tfrac12) = \tfrac12. $$ (vae-bce-normaliser)
#
# It never exceeds one half, and falls to zero at both ends, as slowly as $1/|\ell|$. Cross-entropy on grey
# pixels leaves out $-\log C(\rho)$, at least $\log 2$ nats a pixel, and not a constant: it depends on the
# decoder's output ([Loaiza-Ganem and Cunningham 2019](https://arxiv.org/abs/1907.06845)). The resulting
# number is not the log-probability of anything, and adding a KL in nats to it weighs the two terms in a way
# that nobody chose.
#
# **Real pixels: Gaussian.** With mean $m_i(z)$ and variance $s^2$,
#
# $$ -\log p(x \mid z) = \frac{1}{2s^2} \sum_{i=1}^{D} \big(x_i - m_i(z)\big)^2 + \frac{D}{2} \log
# 2\pi s^2. $$ (vae-gaussian-nll)
#
# So the squared error is a likelihood once you say what $s^2$ is, and *the reduction says it for you*. The
# sum of squares over pixels is $s^2 = \tfrac12$. The mean over pixels, the default of `mse_loss`, is
# $s^2 = D/2$. Section 11 shows what that does. If you do not want to choose, set the derivative of
# {eq}`vae-gaussian-nll` with respect to $s^2$ to zero,
# $-\frac{1}{2s^4}\sum_i (x_i - m_i)^2 + \frac{D}{2s^2} = 0$, and get the variance that the data ask for,
#
# $$ \hat s^2 = \frac1D \sum_{i=1}^{D} \big(x_i - m_i(z)\big)^2, \qquad\text{where}\qquad -\log p(x
# \mid z) = \frac{D}{2}\big(\log 2\pi\hat s^2 + 1\big), $$ (vae-optimal-variance)
#
# with the right side of the first equation averaged over the training images: $\hat s^2$ must be one
# number, fixed for the whole data set. Fitted to each $x$ by itself the result is no density any more. Or
# let the decoder learn a $\log s_i^2(z)$ for each pixel.
#
# **Grey levels are integers.** Our pixels are counts $0, \ldots, n$ with $n = 16$, and a density on
# integers can be made as large as you like (put a narrow spike on each). A likelihood for them is a
# probability mass function. Here are four. The first,
#
# $$ \log p(x \mid z) = \sum_i \log \binom{n}{x_i} + x_i \log \rho_i
# + (n - x_i) \log (1 - \rho_i), $$ (vae-binomial)
#
# the binomial, is 16 coins with the same $\rho_i$. It has no freedom in its width. Ink is not like that: at
# a fixed $z$ the edge of a stroke falls on either side of a pixel, which then is all ink or none. Let the
# coin itself be drawn, one $\rho_i$ for a pixel and its 16 points, with the Beta density
# $\rho^{a - 1}(1 - \rho)^{b - 1}/B(a, b)$, and integrate it out. With
# $\int \rho^{x + a - 1} (1 - \rho)^{n - x + b - 1} d\rho$ $= B(x + a, n - x + b)$ this gives the
# beta-binomial,
#
# $$ p(x_i \mid z) = \binom{n}{x_i} \frac{B(x_i + a_i,\, n - x_i + b_i)}{B(a_i, b_i)}, \qquad B(a, b) =
# \frac{\Gamma(a)\Gamma(b)}{\Gamma(a + b)}, $$ (vae-beta-binomial)
#
# with a width from binomial ($a + b \to \infty$) over uniform ($a = b = 1$) to all-or-nothing
# ($a, b \to 0$). Most general is a softmax over the levels, which knows no order among them (section 12
# uses it),
#
# $$ \log p(x \mid z) = \sum_i \log \mathrm{softmax}(\ell_i)_{x_i},
# \qquad \ell_i \in \mathbb{R}^{n + 1}, $$ (vae-categorical)
#
# and for many levels, such as the 256 of a photograph, one takes a logistic distribution, with $\varsigma$
# the sigmoid and $F(u) = \varsigma((u - \mu_i)/s_i)$ its distribution function, and gives each level the
# mass of its bin. On $[-1, 1]$ bins are $\Delta = 2/n$ wide and the two end bins reach to infinity,
#
# $$ p(x_i \mid z) = F\big(x_i + \tfrac{\Delta}{2}\big) - F\big(x_i - \tfrac{\Delta}{2}\big), \qquad F(1 +
# \tfrac{\Delta}{2}) := 1, \quad F(-1 - \tfrac{\Delta}{2}) := 0, $$ (vae-discretised-logistic)
#
# the discretised logistic ([Kingma et al. 2016](https://arxiv.org/abs/1606.04934);
# [Salimans et al. 2017](https://arxiv.org/abs/1701.05517)). All four sum to one: their values in nats can
# be compared with one another, and with the yardstick of the opening.

# %%
levels = torch.arange(17.0)
log_n_choose = torch.lgamma(torch.tensor(17.0)) - torch.lgamma(levels + 1) - torch.lgamma(17 - levels)


def log_beta(a, b):
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def beta_binomial_pmf(a, b):  # eq. (vae-beta-binomial)
    return (log_n_choose + log_beta(levels + a, 16 - levels + b) - log_beta(a, b)).exp()


# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 2.9))
rho = torch.linspace(0.001, 0.999, 400)
left.plot(rho, (2 * rho - 1) / torch.logit(rho), color=PALETTE["vermilion"])
left.axhline(1, color=PALETTE["black"], ls="--")
left.set(xlabel="decoder's output ρ", ylabel="total mass C(ρ)", ylim=(0, 1.1), title="cross-entropy")
for total, style in [(1000.0, "o-"), (8.0, "s-"), (0.1, "D-")]:
    pmf = beta_binomial_pmf(torch.tensor(0.6 * total), torch.tensor(0.4 * total))
    assert abs(pmf.sum() - 1) < 1e-3  # it sums to one; float32 lgamma of 1000 costs the last digits
    right.plot(levels, pmf, style, ms=4, label=f"a + b = {total:g}")
right.set(xlabel="grey level x", ylabel="probability", title="beta-binomial, mean 9.6")
right.legend(fontsize=8)
figure(
    fig,
    alt="Left: the total mass of exp(minus cross-entropy) over grey values, one half at rho one half, "
    "falling towards zero at both ends, far below the dashed line at one. Right: three beta-binomials with "
    "the same mean: narrow, broad, and with peaks at 0 and 16.",
    caption="Left, cross-entropy on grey values is no density: its total mass never reaches the dashed line. "
    "Right, three beta-binomials with one mean and three widths.",
)

# %% [markdown]
# **Where to look.** Left: the curve would have to lie on the dashed line. Right: the same mean, three
# widths; the last has most of its mass at "no ink" and "all ink".
#
# ## 7 Twenty lines
#
# Encoder and decoder are small multilayer perceptrons. The plain model has a binomial likelihood and the
# standard normal prior.

# %%
J = 16  # latents


class VAE(nn.Module):
    def __init__(self, outputs=D, hidden=256):
        super().__init__()
        self.encoder = MLP([D, hidden, hidden, 2 * J])
        self.decoder = MLP([J, hidden, hidden, outputs])

    def posterior(self, x):  # x (B, D) counts -> mu, logvar, each (B, J)
        return self.encoder(x / 8 - 1).chunk(2, dim=-1)


# %%
def gaussian_kl(mu, logvar):  # eq. (vae-gaussian-kl)
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(-1)  # (B,)


def draw(mu, logvar, generator):  # eq. (vae-reparam)
    return mu + (logvar / 2).exp() * torch.randn(mu.shape, generator=generator)


def binomial(logits, x):  # eq. (vae-binomial)
    return (log_n_choose[x.long()] + x * F.logsigmoid(logits) + (16 - x) * F.logsigmoid(-logits)).sum(-1)


def elbo(model, x, generator):  # eq. (vae-elbo-terms), one draw of z an image
    mu, logvar = model.posterior(x)
    z = draw(mu, logvar, generator)
    return binomial(model.decoder(z), x) - gaussian_kl(mu, logvar)  # (B,) nats


# %% [markdown]
# The library has the same functions, with their shapes, errors and sources written down. They agree with
# ours:

# %%
from dgm.prob import binomial_log_prob, kl_gaussian_standard, reparameterise

mu, logvar = torch.randn(5, J, generator=g), torch.randn(5, J, generator=g)
logits = torch.randn(5, D, generator=g)
torch.testing.assert_close(gaussian_kl(mu, logvar), kl_gaussian_standard(mu, logvar))
torch.testing.assert_close(
    binomial(logits, x_test[:5]), binomial_log_prob(logits, x_test[:5], 16), rtol=1e-5, atol=1e-3
)
ours = draw(mu, logvar, torch.Generator().manual_seed(1))
assert torch.equal(ours, reparameterise(mu, logvar, torch.Generator().manual_seed(1)))
show(kl_gaussian_standard, doc=True)

# %% [markdown]
# ## 8 Run it
#
# One training loop serves every family in this course: `dgm.train.fit` calls a function `step` on each
# batch and keeps what it returns. The function does the forward pass, the gradient and the update, so
# nothing about VAEs is hidden in the loop.


# %%
def train_vae(model, objective, data=x_train, *, steps, lr=2e-3, batch_size=128, seed=0, progress=True):
    g = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

    def step(x):
        loss = -objective(model, x, g).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        return {"loss": loss.detach()}

    batches = Batches(data, batch_size=batch_size, generator=g)
    return fit(step, batches, steps=steps, progress=progress)


# %%
def held_out_nelbo(objective, model, x=x_test, draws=20):  # nats an image
    model.eval()  # many draws, so that the noise of z is small against differences between models
    with torch.no_grad():
        return -sum(objective(model, x, g).mean().item() for _ in range(draws)) / draws


with seeded(0):
    plain = VAE()
STEPS = budget(cpu=1500, full=20_000)
history = train_vae(plain, elbo, steps=STEPS)
nelbo_plain = held_out_nelbo(elbo, plain)
print(
    f"test: -ELBO {nelbo_plain:.1f} nats, {bits_per_dim(nelbo_plain, D):.2f} bits a pixel "
    f"(independent pixels: {nll_independent:.1f} nats)"
)
assert nelbo_plain < nll_independent - 5  # below the yardstick by far more than the spread over seeds


# %%
def decode_mean(model, z):  # expected count of every pixel under the binomial, as images
    with torch.no_grad():
        return to_pm1(16 * model.decoder(z).sigmoid().reshape(-1, 1, 8, 8), N_LEVELS)


from dgm.vae import observation

pixels = observation("binomial", N_LEVELS)  # the library's name for a decoder's last step: score, mean, draw
z_prior = torch.randn(12, J, generator=g)
with torch.no_grad():
    mu, logvar = plain.posterior(x_test[:12])
    drawn = pixels.sample(plain.decoder(z_prior)[..., None], g)  # (12, 64) counts
rows = [as_images(x_test[:12]), decode_mean(plain, mu), decode_mean(plain, z_prior), as_images(drawn)]
figure(
    image_grid(torch.cat(rows), columns=12),
    alt="Four rows of twelve: test digits; their reconstructions, a little blurred; means decoded from draws "
    "of the prior, of which about half read as a digit, the others lie between two; and the same with every "
    "pixel drawn too, which looks rougher.",
    caption="Test images; reconstructions; means of the pixels for z ~ N(0, I); the same z, pixels drawn.",
)

# %% [markdown]
# The third row is an answer to the last chapter: points drawn from the prior decode to something, about
# half of it digits, because the rate has pushed the codes of the training images to where the prior is. And
# unlike the autoencoder with a density fitted to its codes, this model was trained on one objective and
# says how probable an image is. The last row is what $p_\theta(x)$ really draws: $z$, then every pixel.
# Papers often show the third row and call it samples.
#
# What do the latents stand for? Not all are used. Order them by their share of the rate, take the six that
# carry most, and change one at a time.

# %%
from dgm.prob import kl_gaussian_standard_per_dim

with torch.no_grad():
    mu_test, logvar_test = plain.posterior(x_test)
rate = kl_gaussian_standard_per_dim(mu_test, logvar_test).mean(0)  # (J,) nats
strongest = rate.argsort(descending=True)[:6]
print("rate of each latent, nats:", *(f"{r:.1f}" for r in rate.sort(descending=True).values))


# %%
def draw_traverse(value):
    z = mu_test[:8].repeat(7, 1, 1)  # (7, 8, J): the codes as they are, then a row for each latent
    for row, j in enumerate(strongest, start=1):
        z[row, :, j] = value
    return image_grid(decode_mean(plain, z.reshape(56, J)), columns=8)


frames(
    draw_traverse,
    [round(-3 + 0.5 * i, 1) for i in range(13)],
    label="value of the latent",
    start=0.0,
    alt=lambda v: (
        f"Seven rows of eight digits. Top: reconstructions. Below, one latent a row is set to {v:+.1f}; the "
        "strokes change slant, width or closure along the slider; far from zero one digit turns into another."
    ),
    caption="Eight test digits rebuilt (top), then the same codes with one latent set to the slider's value: "
    "a row for each of the six latents that carry most.",
)

# %% [markdown]
# **Where to look.** Follow one column and compare with its top. Do not expect a row to mean "slant" or
# "width". The prior looks the same from all sides; only the diagonal covariance of the encoder prefers
# axes, and it prefers those along which its noise is independent, which need not be those that have a name.
#
# ## 9 Better, one change at a time
#
# Each change is kept for the next line of the table; all models get the same number of steps. No setting
# was chosen on the test images.
#
# **1. A wider likelihood**: the beta-binomial {eq}`vae-beta-binomial` for the binomial, two numbers a pixel
# in place of one.
#
# **2. More data**: half of the images, on average, are slightly turned, scaled and sheared. 1000 images are
# few.
#
# **3. A prior that is learnt.** Average the rate over the data and insert the **aggregate posterior**
# $q(z) = \mathbb{E}_{x}[q_\phi(z \mid x)]$, the cloud of all codes. As
# $\log\frac{q(z \mid x)}{p(z)} = \log\frac{q(z \mid x)}{q(z)} + \log\frac{q(z)}{p(z)}$ and the last
# logarithm depends on $z$ alone,
#
# $$ \mathbb{E}_x\,\mathrm{KL}\big(q_\phi(z \mid x)\,\|\,p(z)\big) =
# \underbrace{\mathbb{E}_x\,\mathrm{KL}\big(q_\phi(z \mid x)\,\|\,q(z)\big)}_{\text{information of } z
# \text{ on } x} + \underbrace{\mathrm{KL}\big(q(z)\,\|\,p(z)\big)}_{\text{waste}}. $$ (vae-aggregate)
#
# The first part is what the code says about the image. The second buys nothing, and a prior that moves
# towards $q(z)$ saves it ([Tomczak and Welling 2018](https://arxiv.org/abs/1705.07120)). Ten kinds of
# digits make a cloud with clumps, so take a mixture of $M$ Gaussians with weights, means and variances
# learnt along with the rest:
#
# $$ p(z) = \sum_{m=1}^{M} \pi_m\,
# \mathcal{N}\big(z;\, \nu_m, \operatorname{diag} \tau_m^2\big). $$ (vae-mixture-prior)
#
# The KL to a mixture has no closed form. Use {eq}`vae-elbo-jensen` as it stands: one draw of
# $\log q_\phi(z \mid x) - \log p(z)$ estimates it without bias.

# %%
from dgm.vae import VAE as LibraryVAE
from dgm.vae import VAEConfig

CHANGES = {
    "+ beta-binomial": {"likelihood": "beta_binomial"},
    "+ augmentation": {"augment": True},
    "+ mixture prior": {"prior_components": 64},
}
g_pool = torch.Generator().manual_seed(1)
augmented = torch.cat([augment_digits(train.x, g_pool) for _ in range(10)])
pool = torch.cat([train.x.repeat(10, 1, 1, 1), augmented]).flatten(1).float()  # half of it augmented


# %%
def library_elbo(model, x, generator):
    out = model(x, generator)
    return out.log_likelihood - out.kl  # (B,)


def train_variant(*, augment=False, seed=0, **config):
    with seeded(seed):
        model = LibraryVAE(VAEConfig(shape=(D,), latents=J, **config))
    train_vae(model, library_elbo, pool if augment else x_train, steps=STEPS, seed=seed)
    return model


# %%
SPLITS = {"train": x_train, "valid": x_valid, "test": x_test}
results = {"plain": [held_out_nelbo(elbo, plain, x) for x in SPLITS.values()]}
settings = {}
for name, change in CHANGES.items():
    settings |= change  # keep what came before
    model = train_variant(**settings)
    results[name] = [held_out_nelbo(library_elbo, model, x) for x in SPLITS.values()]
for name, nats in results.items():
    print("{:16s} -ELBO in nats: train {:5.1f}  valid {:5.1f}  test {:5.1f}".format(name, *nats))

# %%
best = model  # all changes together
names = list(results)
fig, ax = plt.subplots(figsize=(7, 2.9))
for index, (split, marker) in enumerate({"train": "o", "valid": "s", "test": "D"}.items()):
    ax.plot([results[n][index] for n in names], names, marker=marker, label=split)
ax.invert_yaxis()
ax.set(xlabel="−ELBO, nats an image (lower is better)")
ax.legend()
test_nats = {n: results[n][2] for n in names}
figure(
    fig,
    alt="Minus ELBO in nats on the train, valid and test images for four models, each with one more change. "
    "On test: "
    + ", ".join(f"{n} {v:.1f}" for n, v in test_nats.items())
    + ". Train lies far to the left of valid and test; augmentation brings them closer.",
    caption="One VAE, improved change by change from top to bottom. The distance from the line of the "
    "training images to the other two is over-fitting; augmentation closes more than half of it.",
)
over_fit = {n: row[2] - row[0] for n, row in results.items()}  # test minus train
assert test_nats["+ beta-binomial"] < test_nats["plain"] - 4
assert test_nats["+ augmentation"] < test_nats["+ beta-binomial"] - 2
assert over_fit["+ augmentation"] < 0.5 * over_fit["+ beta-binomial"]
assert test_nats["+ mixture prior"] < test_nats["plain"] - 9

# %% [markdown]
# **What it means.** The largest step was not a network but a likelihood: saying correctly how grey levels
# scatter. The distance between the train column and the test column is over-fitting; warped copies close
# more than half of it. The learnt prior adds little here. `bench/vae_digits.py` takes the ladder further
# (more steps, averaged weights, wider nets) and repeats its best form over seeds.

# %%
g_show = torch.Generator().manual_seed(3)
drawn = best.sample(48, g_show)  # z from the learnt prior, then every pixel
figure(
    image_grid(as_images(drawn), columns=12),
    alt="Four rows of twelve images drawn by the best model, pixels and all. About two thirds can be read as "
    "one of the ten digits; the others look like strokes of two.",
    caption="48 draws of the best model: z from the learnt prior, then every pixel from its beta-binomial.",
)


# %% [markdown]
# To put a number on "look like digits": the Fréchet distance between Gaussians fitted to 64 features of a
# digits classifier, for draws of the model and for test images, in thousandths of the features' variance.
# The evaluation chapter derives it. Lower is better, and real images of other writers are not at zero.

# %%
features = digits_features()


def fd_to_test(x):  # x (N, 64) counts
    with torch.no_grad():
        return frechet_distance(features.features(as_images(x_test)), features.features(as_images(x)))


with torch.no_grad():
    z = torch.randn(1200, J, generator=g_show)
    fd_plain = fd_to_test(pixels.sample(plain.decoder(z)[..., None], g_show))
fd_best = fd_to_test(best.sample(1200, g_show))
fd_real = fd_to_test(x_train)
print(f"plain {fd_plain:.0f}, best {fd_best:.0f}, real images of the training writers {fd_real:.0f}")
assert fd_real < fd_best < fd_plain

# %% [markdown]
# ## 10 How far is the bound from the truth?
#
# All numbers so far are bounds. By {eq}`vae-elbo-gap` they are too pessimistic by the KL from encoder to
# posterior, which we cannot compute. But Jensen's inequality loses less when the quantity in the mean
# scatters less, and averages scatter less. Draw $K$ codes and average the weights *inside* the logarithm
# ([Burda et al. 2016](https://arxiv.org/abs/1509.00519)):
#
# $$ \mathcal{L}_K(x) = \mathbb{E}\left[\log \frac1K \sum_{k=1}^{K} w_k\right], \qquad w_k =
# \frac{p_\theta(x \mid z_k)\, p(z_k)}{q_\phi(z_k \mid x)}, \quad z_k \sim q_\phi(z \mid x) \text{
# independent.} $$ (vae-iwae)
#
# Each $w_k$ has mean $p_\theta(x)$, hence so has their average, and Jensen gives
# $\mathcal{L}_K \le \log p_\theta(x)$ for every $K$. More draws never hurt: for $K = 2$,
# $\log\tfrac12(w_1 + w_2) \ge \tfrac12(\log w_1 + \log w_2)$, and both terms on the right have mean
# $\mathcal{L}_1$. In general the average of $K$ weights is the mean, over their $K$ subsets of $K - 1$, of
# the subset's average, and Jensen applied to *that* mean gives $\mathcal{L}_K \ge \mathcal{L}_{K-1}$.
# $K = 1$ is the ELBO, and $K \to \infty$ is $\log p_\theta(x)$ if the weights' variance is finite.
#
# With the prior in the place of $q$ the weights are $p_\theta(x \mid z_k)$: this is the estimate that
# section 1 called bad.

# %%
from dgm.prob import gaussian_log_prob

K_MAX, N_SOME = 1024, 50  # draws, test images
x_some = x_test[:N_SOME]


def log_weights(mu, logvar, K):  # eq. (vae-iwae): K draws of N(mu, sigma^2) for each image -> (K, N_SOME)
    mu, logvar, x = mu.repeat(K, 1), logvar.repeat(K, 1), x_some.repeat(K, 1)
    z = draw(mu, logvar, g)
    log_joint = best.observation.log_prob(best.decode(z), x) + best.log_prior(z)
    return (log_joint - gaussian_log_prob(z, mu, logvar)).reshape(K, N_SOME)


with torch.no_grad():
    mu_some, logvar_some = best.encode(x_some)
    log_w = torch.cat([log_weights(mu_some, logvar_some, 64) for _ in range(K_MAX // 64)])
    log_w_prior = []  # with the prior as q the weights are p(x | z)
    for _ in range(K_MAX // 64):
        z = best.sample_prior(64 * N_SOME, g)
        log_w_prior.append(best.observation.log_prob(best.decode(z), x_some.repeat(64, 1)).reshape(64, -1))
    log_w_prior = torch.cat(log_w_prior)  # (K_MAX, N_SOME)
largest_share = log_w_prior.softmax(0).amax(0).median()  # of the sum over 1024 draws from the prior
print(f"the largest of 1024 weights from the prior is {largest_share:.0%} of their sum (median over images)")


# %%
def bound(log_w, K):  # mean over all disjoint groups of K draws, then over images: eq. (vae-iwae)
    return log_mean_exp(log_w.reshape(-1, K, log_w.shape[1]), dim=1).mean().item()


Ks = [4**i for i in range(6)]
curve, curve_prior = [-bound(log_w, K) for K in Ks], [-bound(log_w_prior, K) for K in Ks]
fig, ax = plt.subplots(figsize=(6, 3))
ax.semilogx(Ks, curve, "o-", label="draws from the encoder")
ax.semilogx(Ks, curve_prior, "s-", label="draws from the prior")
ax.set(xlabel="draws K", ylabel="bound on −log p(x), nats", ylim=(curve[-1] - 5, curve[-1] + 60))
ax.legend()
figure(
    fig,
    alt=f"The bound on minus log p(x) against the number of draws from 1 to 1024. "
    f"With the encoder it falls from {curve[0]:.1f} to {curve[-1]:.1f} nats and flattens; "
    f"with the prior it starts at {curve_prior[0]:.0f} and is still falling at 1024 draws.",
    caption="The importance-weighted bound for the same model and images. One draw from the encoder says "
    "more than a thousand from the prior.",
)
print("encoder:", [round(c, 1) for c in curve], " prior:", [round(c, 1) for c in curve_prior])
assert all(a > b for a, b in itertools.pairwise(curve))  # monotone in K on the same draws
assert curve[0] < curve_prior[-1]  # one draw of the encoder beats 1024 of the prior

# %% [markdown]
# A single draw from the encoder is a better estimate than a thousand draws from the prior, in which one
# lucky draw carries the sum. And $-$ELBO lies some nats above the best bound. Who is to blame, the Gaussian
# shape of $q$, or the network that must guess mean and variance of every image at sight? Give each of these
# test images a Gaussian of its own, start it at the encoder's, and optimise it.

# %%
mu_own, logvar_own = (t.clone().requires_grad_() for t in (mu_some, logvar_some))
optimiser = torch.optim.Adam([mu_own, logvar_own], lr=2e-2)
for _ in range(200):
    loss = -log_weights(mu_own, logvar_own, 8).mean()  # minus the ELBO, 8 draws an image
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
with torch.no_grad():
    own = -torch.cat([log_weights(mu_own, logvar_own, 64) for _ in range(8)]).mean().item()
print(f"-ELBO: encoder {curve[0]:.2f}, own Gaussians {own:.2f}; best bound on -log p(x) {curve[-1]:.2f} nats")
assert curve[-1] < own < curve[0]
assert curve[0] - own > own - curve[-1]  # the network costs more than the shape

# %% [markdown]
# **What it means.** Most of the gap is the price of one network that serves all images (the **amortisation
# gap**, [Cremer et al. 2018](https://arxiv.org/abs/1801.03558)), and only the rest is the price of the
# Gaussian family. When two papers compare likelihoods, ask which bound, and which $K$.
#
# ## 11 Break it: the wrong reduction
#
# Replace the binomial by a Gaussian on pixels scaled to $[-1, 1]$ and train with "MSE + KL". The squared
# error may be summed over the 64 pixels or averaged, and both are found in published code. By
# {eq}`vae-gaussian-nll` the choice is a variance: $s^2 = \tfrac12$ or $s^2 = 32$. Can one predict what the
# second does?
#
# In the 1-D model of section 3 with data of variance $V$,
# $\mathbb{E}\log p(x) = -\tfrac12 \log 2\pi c - V/(2c)$ with $c = w^2 + s^2$. It grows in $c$ up to $c = V$
# and falls beyond. Since $c$ cannot be less than $s^2$, the best decoder has $w^2 = V - s^2$ if that is
# positive, and $w = 0$ otherwise. In the first case the posterior has variance $s^2/V$ and its mean $w x/V$
# has the second moment $(V - s^2)/V$; put both into {eq}`vae-gaussian-kl`, and all but the logarithm
# cancels:
#
# $$ \hat w^2 = \max(V - s^2,\, 0), \qquad \mathbb{E}_x\,\mathrm{KL}\big(p(z \mid x)\,\|\,p(z)\big) =
# \tfrac12 \max\Big(\log \frac{V}{s^2},\; 0\Big). $$ (vae-linear-collapse)
#
# If the noise that the decoder claims exceeds the variance that the data have, the best weight is zero, the
# posterior equals the prior, and the latent is dead. This is the *global optimum of the exact likelihood*;
# no encoder is to blame. With a linear decoder in $D$ dimensions, whose bias takes up the mean of the data,
# one may turn $z$ so that its columns lie along the principal axes; the likelihood is then a product, and
# the same holds for each axis with $V$ its variance
# ([Tipping and Bishop 1999](https://doi.org/10.1111/1467-9868.00196);
# [Lucas et al. 2019](https://arxiv.org/abs/1911.02469)). So the eigenvalues of the data's covariance should
# tell how many latents of a *linear* VAE survive, and its rate. A curved decoder may pack the same nats
# into fewer latents; the second line of each pair shows ours.

# %%
axes_variance = torch.linalg.eigvalsh(torch.cov(as_images(x_train).flatten(1).T)).flip(0)  # (64,)
print("largest variances:", [round(v, 2) for v in axes_variance[:12].tolist()])


class LinearVAE(VAE):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = MLP([D, 2 * J]), MLP([J, D])


def gaussian_objective(variance):
    def objective(model, x, generator):
        mu, logvar = model.posterior(x)
        error = (as_images(x).flatten(1) - model.decoder(draw(mu, logvar, generator))).square().sum(-1)
        return -error / (2 * variance) - gaussian_kl(mu, logvar)  # the constant has no gradient

    return objective


# %%
outcome = {}
for reduction, variance in [("sum", 0.5), ("mean", D / 2)]:
    strong = axes_variance[axes_variance > variance]
    predicted = (
        len(strong),
        0.5 * (strong / variance).log().sum().item(),
    )  # eq. (vae-linear-collapse), summed over axes
    print(
        f"{reduction} over pixels, variance {variance}: "
        f"predicted {predicted[0]} latents, {predicted[1]:.2f} nats"
    )
    for net, lr, steps in [(LinearVAE, 1e-2, 1500), (VAE, 2e-3, 500)]:
        with seeded(0):
            model = net()
        n = budget(cpu=steps, full=5000)
        history = train_vae(model, gaussian_objective(variance), steps=n, lr=lr, progress=False)
        with torch.no_grad():
            per_latent = kl_gaussian_standard_per_dim(*model.posterior(x_train)).mean(0)
        outcome[reduction, net] = int((per_latent > 0.05).sum()), per_latent.sum().item()
        print(
            f"    {net.__name__}: {outcome[reduction, net][0]} latents, {outcome[reduction, net][1]:.2f} nats"
        )
    assert outcome[reduction, LinearVAE][0] == predicted[0]
    assert abs(outcome[reduction, LinearVAE][1] - predicted[1]) < 0.3  # nats; the noise of the last steps
assert outcome["mean", VAE][1] < 0.01  # averaged over pixels: nothing is left

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 2.6), width_ratios=[1, 1.5])
left.plot(history.steps, history["loss"])
left.set(xlabel="step", ylabel="loss of the last VAE")
with torch.no_grad():
    rebuilt = model.decoder(model.posterior(x_test[:8])[0]).reshape(-1, 1, 8, 8)
pair = torch.cat([as_images(x_test[:8]), rebuilt])
image_grid(pair.clamp(-1, 1), columns=8, ax=right, title="test images and their reconstructions")
figure(
    fig,
    alt="Left: the training loss falls quickly and stays flat, as a healthy one does. Right: eight test "
    "digits and, below each, the same grey blur, the mean of the training images.",
    caption="A VAE whose squared error was averaged over the pixels. The loss looks healthy, and every digit "
    "is rebuilt as the same blur.",
)

# %% [markdown]
# **What it means.** One word, `mean`, and the VAE stores nothing at all: every image gets the same code and
# the same grey reconstruction. The loss looks healthy. Print the rate of every latent, always.
#
# ## 12 Break it: a decoder that does not listen
#
# The second way to lose the posterior is subtler. Give the decoder another source of information: let it
# predict each pixel from $z$ *and* from the pixels that come before it in reading order, at most three rows
# and columns away, which in training are there to be looked at. (This is an autoregressive model, the topic
# of a later chapter.) At the start the code is noise and the neighbours are not, so the decoder learns to
# rely on the neighbours; the rate is then pure cost, and the encoder shuts down before the decoder has
# learnt to listen. This is **posterior collapse**
# ([Bowman et al. 2016](https://doi.org/10.18653/v1/K16-1002)).


# %%
class NeighbourVAE(nn.Module):
    """p(x | z) = prod_i p(x_i | pixels within 3 rows and columns before i, z), 17-way softmax."""

    def __init__(self, J=8, hidden=64, R=3):
        super().__init__()
        self.J, self.R, self.n = J, R, R * (2 * R + 1) + R  # n neighbours before a pixel in reading order
        self.encoder = MLP([D, 128, 2 * J])
        self.position = nn.Parameter(0.3 * torch.randn(D, 16))
        self.pixel = MLP([self.n + 16 + J, hidden, hidden, N_LEVELS])

    def logits(self, z, x):  # z (B, J), x (B, D) -> (B, D, 17)
        R, B = self.R, len(x)
        padded = F.pad((x / 8 - 1).reshape(B, 1, 8, 8), (R, R, R, 0), value=-1.5)
        # unfold lists each pixel's 4 x 7 window; its first n = 24 entries come before the pixel
        before = F.unfold(padded, (R + 1, 2 * R + 1))[:, : self.n].transpose(1, 2)  # (B, D, n)
        parts = [before, self.position.expand(B, -1, -1), z[:, None].expand(-1, D, -1)]
        return self.pixel(torch.cat(parts, -1))

    def terms(self, x, generator):  # log-likelihood (B,) and KL of each latent (B, J)
        mu, logvar = self.encoder(x / 8 - 1).chunk(2, -1)
        logits = self.logits(draw(mu, logvar, generator), x)
        log_lik = -F.cross_entropy(logits.flatten(0, 1), x.long().flatten(), reduction="none")
        return log_lik.reshape(len(x), D).sum(1), kl_gaussian_standard_per_dim(mu, logvar)


# %% [markdown]
# Two cures, both changes of the objective alone. **Warm-up** lets the code become useful before it has to
# pay: in step $i$ the rate is weighted by
#
# $$ \beta_i = \min(1,\, i/N). $$ (vae-warmup)
#
# **Free bits** ([Kingma et al. 2016](https://arxiv.org/abs/1606.04934)) make the first $\lambda$ nats of
# every latent free of charge, so that nothing is gained by shutting it down (here over a batch of $B$
# images):
#
# $$ \widetilde{\mathcal{L}} = \frac1B\sum_{b=1}^{B} \mathbb{E}\log p_\theta(x_b \mid z_b) - \sum_{j=1}^{J}
# \max\Big(\lambda,\; \frac1B \sum_{b=1}^{B} \mathrm{KL}_{bj}\Big). $$ (vae-free-bits)
#
# To see whether the code carries anything, draw codes of the test digits and guess the digit from one code:
# the class whose training codes have the nearest mean.

# %%
from dgm.vae import free_bits, linear_warmup


@torch.no_grad()
def digit_from_code(model, generator):  # share of draws of test codes that name their digit rightly
    mu_train = model.encoder(x_train / 8 - 1).chunk(2, -1)[0]
    centres = torch.stack([mu_train[train.y == k].mean(0) for k in range(10)])  # (10, J)
    mu, logvar = (t.repeat(10, 1) for t in model.encoder(x_test / 8 - 1).chunk(2, -1))  # ten draws each
    guess = torch.cdist(draw(mu, logvar, generator), centres).argmin(1)
    return (guess == test.y.repeat(10)).float().mean().item()


AR_STEPS = budget(cpu=500, full=5000)
OBJECTIVES = {
    "plain ELBO": lambda ll, kl, i: ll - kl.sum(1),
    "warm-up": lambda ll, kl, i: ll - linear_warmup(i, AR_STEPS) * kl.sum(1),
    "free bits": lambda ll, kl, i: ll - free_bits(kl, 0.5),
}

# %%
collapse, rate_log = {}, {name: [] for name in OBJECTIVES}
for name, combine in OBJECTIVES.items():
    with seeded(0):
        model = NeighbourVAE()

    def objective(m, x, generator, combine=combine, log=rate_log[name]):
        log_lik, kl = m.terms(x, generator)
        log.append(kl.detach().mean(0).sum().item())
        return combine(log_lik, kl, len(log) - 1)

    train_vae(model, objective, steps=AR_STEPS, lr=4e-3, batch_size=64, progress=False)
    with torch.no_grad():
        log_lik, kl = (t.mean(0) for t in model.terms(x_test, g))
    collapse[name] = (kl.sum() - log_lik).item(), kl.sum().item(), digit_from_code(model, g)
    line = "{:12s} -ELBO {:5.1f} nats   rate {:4.2f} nats   digit named from one code {:.0%}"
    print(line.format(name, *collapse[name]))

# %%
fig, ax = plt.subplots(figsize=(6, 2.8))
for (name, values), style in zip(rate_log.items(), ("-", "--", ":"), strict=True):
    ax.plot(values, style, label=name)
ax.axhline(math.log(10), color="0.5", lw=1)
ax.text(1.06 * AR_STEPS, math.log(10), "log 10", color="0.35", fontsize=8, va="center")
ax.set(xlabel="step", ylabel="rate, nats", yscale="symlog", ylim=(0, 60))
ax.legend()
figure(
    fig,
    alt="The rate during training for three objectives, on a logarithmic axis. Plain: a short peak, then "
    "near zero, from where it hardly recovers. Warm-up: a higher peak while a nat costs little, a dip, "
    "and back to the line at log 10. Free bits: settles at four nats.",
    caption="The rate of one model under three objectives. The grey line marks the nats that naming one of "
    "ten digits takes; the plain objective stays below it.",
)

# %% [markdown]
# **Where to look.** The three bounds agree within a nat or so: with neighbours to look at, a code is hardly
# worth its price, and the plain objective has no reason to bring the rate back once it has fallen below the
# $\log 10 = 2.3$ nats that naming a digit takes. Warm-up (over all the steps) leaves a code of a few nats.
# Free bits impose one: $8$ latents with $\lambda = \tfrac12$ nat each. Both name the digit far more often,
# for the same bound. If you want $z$ for itself, the ELBO alone does not know that.

# %%
bounds, rates, named = ({name: row[i] for name, row in collapse.items()} for i in range(3))
assert max(bounds.values()) - min(bounds.values()) < 1.5
assert rates["plain ELBO"] < 1
assert rates["warm-up"] > 2 * rates["plain ELBO"]
assert rates["free bits"] > 3
# 447 test digits: one standard error of a share is at most 0.024
assert min(named["warm-up"], named["free bits"]) > named["plain ELBO"] + 0.1

# %% [markdown]
# ## 13 Break it: the price of a nat
#
# Call the first term of {eq}`vae-elbo-terms` with its sign turned the **distortion**,
# $-\mathbb{E}_{q_\phi}[\log p_\theta(x \mid z)]$, and put a factor on the rate
# ([Higgins et al. 2017](https://openreview.net/forum?id=Sy2fzU9gl)):
#
# $$ \mathcal{L}_\beta(x) = \mathbb{E}_{q_\phi}\big[\log p_\theta(x \mid z)\big] - \beta\,
# \mathrm{KL}\big(q_\phi(z \mid x)\,\|\,p(z)\big). $$ (vae-beta)
#
# For $\beta > 1$ this is still below $\log p_\theta(x)$, only further. For $\beta < 1$ it is no bound. With
# a Gaussian decoder of variance $s^2$, dividing by $\beta$ shows that training with $\beta$ finds the same
# encoder and mean as $\beta = 1$ with variance $\beta s^2$: a factor that you forgot to write down *is* a
# $\beta$, and section 11 was $\beta = 64$. Before you move the slider: which end makes the better
# reconstructions, and which end the better samples?

# %%
BETAS = [0.05, 0.3, 1.0, 3.0, 20.0]
sweep = {}
for beta in BETAS:
    with seeded(0):
        model = VAE()

    def weighted(m, x, generator, beta=beta):
        mu, logvar = m.posterior(x)
        return binomial(m.decoder(draw(mu, logvar, generator)), x) - beta * gaussian_kl(mu, logvar)

    train_vae(model, weighted, steps=budget(cpu=350, full=5000), progress=False)
    with torch.no_grad():
        mu, logvar = model.posterior(x_test)
        rate = gaussian_kl(mu, logvar).mean().item()
    sweep[beta] = model, rate, held_out_nelbo(elbo, model, draws=5)
# %%
z_fixed = torch.randn(24, J, generator=g)


def draw_beta(beta):
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.2), width_ratios=[1.5, 1])
    model, rate, nelbo = sweep[beta]
    with torch.no_grad():
        mu = model.posterior(x_test[:12])[0]
    rows = torch.cat([as_images(x_test[:12]), decode_mean(model, mu), decode_mean(model, z_fixed)])
    image_grid(rows, columns=12, ax=left, title="test · reconstructions · samples · samples")
    points = torch.tensor([[r, n - r] for _, r, n in sweep.values()])  # rate, distortion
    right.plot(points[:, 0], points[:, 1], "o-", color=PALETTE["blue"])
    right.plot(rate, nelbo - rate, "D", ms=10, color=PALETTE["black"])
    for b, (_, r, n) in sweep.items():
        right.annotate(f"β = {b:g}", (r, n - r), (5, 5), textcoords="offset points", fontsize=8)
    right.set(xlabel="rate KL, nats", ylabel="distortion −E log p(x | z), nats")
    return fig


# %%
frames(
    draw_beta,
    BETAS,
    label="β",
    start=1.0,
    alt=lambda b: (
        f"At beta {b:g} the rate is {sweep[b][1]:.1f}, the distortion {sweep[b][2] - sweep[b][1]:.1f} nats. "
        "Left: test digits, their reconstructions and two rows of samples. Small beta: sharp "
        "reconstructions, unreadable samples. Large beta: everything blurs towards a few mean shapes."
    ),
    caption="What the price β of a nat does to reconstructions and samples. A cheap nat buys good "
    "reconstructions, a dear one makes all images alike; the better samples are at neither end.",
)
for beta, (_, rate, nelbo) in sweep.items():
    print(f"beta {beta:5.2f}: rate {rate:5.1f}  distortion {nelbo - rate:6.1f}  -ELBO {nelbo:6.1f} nats")
rates_by_beta = [rate for _, rate, _ in sweep.values()]
assert all(a > b for a, b in itertools.pairwise(rates_by_beta))  # a dearer nat is bought less
best_beta = min(sweep, key=lambda b: sweep[b][2])
assert best_beta in (1.0, 3.0)  # the ELBO itself is best near beta = 1, where it is what was trained

# %% [markdown]
# **What it means.** $\beta$ is an exchange rate between rate and distortion. Below one the code keeps more
# than the prior can draw: good reconstructions, and holes again. Far above one the samples look like each
# other. The better samples are at neither end. (After so few steps none of the five reaches the yardstick
# of independent pixels; compare them with one another only.) Rate plus distortion is minus the ELBO of
# every one of these models, but only $\beta = 1$ is *trained* on it. Papers use other values on purpose; a
# misplaced `mean` does it by accident.
#
# **The full budget.** All of this fits a laptop. On a GPU the same bound trains convolutions on the 28 by
# 28 pixels and 256 grey levels of MNIST, with one logistic for each pixel and a learned mixture as the
# prior. The cell shows what such a run left behind, if one is stored; with `DGM_BUDGET=full` it trains the
# model itself. Its bits are of other images and other levels and don't compare with those above.

# %%
from dgm.recipes.full import full_result

full = full_result("vae", train=budget(cpu=False, full=True))
print(full.text)
if full.samples is not None:
    figure(
        image_grid(full.samples, columns=16),
        alt=full.alt,
        caption="Samples of the VAE trained with the full budget, at the settings printed above.",
    )

# %% [markdown]
# ## 14 Think
#
# 1. Section 3 says that raising $\mathcal{L}$ over $\theta$ may "close the gap from the other side". What
#    happens to the posterior then, and why might that be unwelcome?
#
# :::{admonition} Answer
# :class: dropdown
#
# By {eq}`vae-elbo-gap`, $\mathcal{L} = \log p_\theta(x) - \mathrm{KL}(q \| p_\theta(z \mid x))$. A decoder
# can raise $\mathcal{L}$ by making its true posterior look more like what the encoder can express, here a
# Gaussian with independent coordinates, even if that costs some likelihood. The family of $q$ leaves its
# mark on the model. An encoder that is too simple makes a decoder that is too simple.
#
# :::
#
# 2. The KL in {eq}`vae-elbo-gap` is $\mathrm{KL}(q \| p)$ and not $\mathrm{KL}(p \| q)$. From the start
#    chapter: does the encoder cover a posterior with two modes, or choose one?
#
# :::{admonition} Answer
# :class: dropdown
#
# It chooses. $\mathrm{KL}(q\|p)$ averages over $q$ and is infinite where $q$ has mass and $p$ has none, so
# $q$ avoids the valley between two modes by sitting on one of them. The estimate $\mathcal{L}_K$ of
# {eq}`vae-iwae` then has to wait for a rare draw from the other mode.
#
# :::
#
# 3. Why does {eq}`vae-iwae` need the average inside the logarithm? What is the mean over $k$ of $\log w_k$?
#
# :::{admonition} Answer
# :class: dropdown
#
# Outside, it is an average of $K$ independent estimates of the ELBO: less noise, the same expectation, no
# tighter. Inside, the average comes closer to its mean $p_\theta(x)$ before the logarithm bends it.
#
# :::
#
# 4. A colleague trains with `binary_cross_entropy(recon, x, reduction="mean") + kl.mean()` on grey MNIST,
#    where `kl` has been summed over latents. Name every unstated choice.
#
# :::{admonition} Answer
# :class: dropdown
#
# Grey values under a Bernoulli: not a likelihood, by {eq}`vae-bce-normaliser`. The mean over 784 pixels
# (and the batch): a $\beta$ of 784, by section 13. What they report as "ELBO" is a bound on nothing, and
# their posterior has probably collapsed.
#
# :::
#
# 5. A VAE with a categorical likelihood {eq}`vae-categorical` has 17 outputs a pixel where the
#    beta-binomial has two. When would you expect it to win, and when to lose?
#
# :::{admonition} Answer
# :class: dropdown
#
# It can express any mass function, so with enough data it is at least as good. With 1000 images many of the
# 64 times 17 outputs see few examples of their level, and it does not know that 7 lies between 6 and 8. On
# little data the likelihood with the right shape wins.
#
# :::
#
# **Exercises**: [exercises/02_vae.ipynb](../exercises/02_vae.ipynb) asks you for the KL, the draw, the
# importance-weighted bound and two derivations, checks them on the spot, and gives you
# [a loss with the bug of section 11](../exercises/02_vae.ipynb#exercise-2-3) to mend.
#
# **Next.** The decoder of this chapter draws its pixels independently given $z$, and one Gaussian $z$ has
# to explain all agreement between them. The coming chapters give up one thing each: GANs the likelihood,
# flows the freedom of the network, autoregressive models the sampling in one pass, diffusion models the
# single step.
#
# **References.** [Kingma and Welling 2014](https://arxiv.org/abs/1312.6114) and
# [Rezende et al. 2014](https://arxiv.org/abs/1401.4082) are the two origins;
# [Burda et al. 2016](https://arxiv.org/abs/1509.00519) for section 10,
# [Bowman et al. 2016](https://doi.org/10.18653/v1/K16-1002) and
# [Lucas et al. 2019](https://arxiv.org/abs/1911.02469) for collapse,
# [Higgins et al. 2017](https://openreview.net/forum?id=Sy2fzU9gl) for $\beta$. The numbered equations are
# tested in `tests/equations/test_vae.py`.
