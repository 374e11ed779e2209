# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: variational autoencoders
#
# Six tasks to the chapter [Variational autoencoders](../chapters/02_vae.ipynb), 30 points, about two hours.
# Each task has a cell for your answer; run it, then run the cell with `check` below it. `hint("kl")` gives
# the next hint to a task, and costs nothing. You can leave a task out and do the later ones. Use plain
# torch: calling `dgm` is no answer.

# %% tags=["setup"]
import math

import torch
import torch.nn.functional as F

# %%
from coursekit import figure, use_style
from coursekit.exercises import check, exercise, hint, progress, when_done

use_style()
exercise("02_vae")

# %% [markdown]
# ## 1. The KL term (5 points)
#
# The encoder gives each image a Gaussian $q(z \mid x) = \mathcal{N}(\mu, \mathrm{diag}(\sigma^2))$ over $K$
# latents, with `logvar` $= \log \sigma^2$. Write $\mathrm{KL}(q \,\|\, \mathcal{N}(0, I))$ in closed form,
# in nats, for `mu` and `logvar` of shape (B, K); return shape (B,). No `torch.distributions`.


# %% tags=["answer-kl"]
def kl(mu, logvar):
    """KL (B,) in nats of N(mu, exp(logvar)) from the standard normal; mu and logvar are (B, K)."""
    # BEGIN SOLUTION
    per_latent = 0.5 * (mu.square() + logvar.exp() - 1 - logvar)  # (B, K)
    return per_latent.sum(dim=1)
    # END SOLUTION


# %%
check("kl")

# %% [markdown] tags=["solution"]
# <details><summary>Discussion</summary>
#
# $\mathbb{E}_q[\log q] = -\tfrac12 (\log 2\pi\sigma^2 + 1)$ and $\mathbb{E}_q[\log p] = -\tfrac12 (\log 2\pi
# + \mu^2 + \sigma^2)$; subtract. Each of the three parts has a meaning: $\mu^2$ pulls the means to the
# origin, $\sigma^2 - 1 - \log
# \sigma^2$ is least, and zero, at $\sigma = 1$, and is steeper on the narrow side. A mean over the latents
# in place of the sum is a beta of $1/K$.
#
# </details>

# %% [markdown]
# ## 2. A draw that gradients pass (5 points)
#
# Draw $z \sim \mathcal{N}(\mu, \mathrm{diag}(\sigma^2))$ such that gradients reach `mu` and `logvar`. `mu`
# and `logvar` have the same shape (any shape); take all random numbers from `generator`. No
# `torch.distributions`.


# %% tags=["answer-reparameterise"]
def reparameterise(mu, logvar, generator):
    """A draw z, shaped like mu, from N(mu, exp(logvar)); differentiable in mu and logvar."""
    # BEGIN SOLUTION
    eps = torch.randn(mu.shape, generator=generator, dtype=mu.dtype, device=mu.device)
    return mu + (logvar / 2).exp() * eps
    # END SOLUTION


# %%
check("reparameterise")

# %% [markdown] tags=["solution"]
# <details><summary>Discussion</summary>
#
# The randomness has moved into `eps`, whose distribution has no parameters. What is left is a smooth
# function of `mu` and `logvar`: $\partial z / \partial \mu = 1$, $\partial z / \partial \log \sigma^2 =
# \tfrac12 (z - \mu)$. Halving the exponent is the step most often forgotten, and training hides it: a
# network that learns `logvar` learns half of it as well. The KL then measures another Gaussian than the one
# you draw from, and the bound is no bound.
#
# </details>

# %% [markdown]
# ## 3. Find the bug in the loss (6 points)
#
# The function below should return the negative ELBO in nats for each binary image: `logits` and `x` have
# shape (B, D), `kl` of shape (B, K) holds the KL of each latent in nats. It trains, the loss falls, and soon
# most latents carry nothing. One word in it is wrong. Correct it.
#
# The bug is the same as a wrong beta: the buggy loss is proportional to $-\mathbb{E}_q[\log p(x \mid z)] +
# \beta \, \mathrm{KL}$. Write this $\beta$ as a function of the number of pixels, and then do a little
# arithmetic for an image of 28 by 28.


# %% tags=["answer-negative_elbo"]
def negative_elbo(logits, x, kl):
    """Negative ELBO (B,) in nats of binary images x (B, D); logits (B, D), kl (B, K)."""
    # BEGIN SOLUTION
    cost = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1)  # over pixels
    # STUB
    # cost = F.binary_cross_entropy_with_logits(logits, x, reduction="none").mean(dim=1)
    # END SOLUTION
    return cost + kl.sum(dim=1)


def implied_beta(pixels):
    """The beta that the buggy loss amounts to."""
    # BEGIN SOLUTION
    return float(pixels)
    # END SOLUTION


# %%
check("negative_elbo")

# %% [markdown] tags=["solution"]
# <details><summary>Discussion</summary>
#
# The log-likelihood of an image is a sum over its pixels, because a product of probabilities is a sum of
# logarithms. The mean is that sum over $D$, so the buggy loss is $\tfrac1D \left( -\mathbb{E}_q[\log p(x
# \mid z)] + D \, \mathrm{KL} \right)$: a beta of $D$, 784 for MNIST, and the posterior collapses. Read from
# the other side: beside a mean over pixels the KL would need the weight $1/D$ to give the ELBO up to a
# factor. `reduction="mean"`, the default, divides by the batch as well; then beta is still $D$ if the KL is
# averaged over the batch, and $BD$ if it is summed.
#
# One more question goes with it: the cross-entropy is a log-likelihood of binary pixels only. For grey
# pixels in (0, 1) it lacks the constant that would make the density integrate to one, and "nats" measured
# with it mean nothing.
#
# </details>

# %% [markdown]
# ## 4. The importance-weighted bound (4 points)
#
# $$ \mathcal{L}_K = \mathbb{E}\left[ \log \frac1K \sum_{k=1}^K w_k \right], \qquad
# w_k = \frac{p(x, z_k)}{q(z_k \mid x)} $$
#
# `log_w` of shape (K, B) holds $\log w_k$ of $K$ draws for $B$ images. Return the bound's estimate, shape
# (B,). Log weights of images are numbers like -1000.


# %% tags=["answer-iwae"]
def iwae(log_w):
    """log of the mean weight (B,) in nats, from log weights (K, B)."""
    # BEGIN SOLUTION
    return torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[0])
    # END SOLUTION


# %%
check("iwae")

# %% [markdown]
# The bound on a toy of known evidence: log weights that scatter with standard deviation 2, $\log p(x) = 0$.

# %%
from matplotlib import pyplot as plt

with when_done("iwae"):
    g = torch.Generator().manual_seed(0)
    draws = [1, 2, 5, 10, 20, 50, 100, 200]
    bounds = [float(iwae(2 * torch.randn(k, 5000, generator=g) - 2).mean()) for k in draws]
    fig, ax = plt.subplots()
    ax.semilogx(draws, bounds, "o-", label="your bound, mean of 5000 images")
    ax.axhline(0, color="0.4", linestyle="--", label="log p(x)")
    ax.set(xlabel="draws K", ylabel="bound (nats)")
    ax.legend()
    figure(
        fig,
        alt="The importance-weighted bound against the number of draws on a logarithmic axis: it rises from "
        "-2 nats at one draw and comes close to zero at 200.",
    )

# %% [markdown] tags=["solution"]
# <details><summary>Discussion</summary>
#
# $\log$ is concave, so averaging inside it gives more than averaging outside: $\mathcal{L}_1$ is the ELBO,
# and $\mathcal{L}_K$ rises to $\log p(x)$. Its gradient weighs the draws by their normalised weights (the
# softmax of `log_w` over $K$): good draws teach, bad ones are ignored. That is better for the decoder and
# worse for the encoder, whose signal drowns in noise as $K$ grows.
#
# </details>

# %% [markdown]
# ## 5. How much the bound leaves out (5 points)
#
# The one VAE that can be solved: $z \sim \mathcal{N}(0, 1)$, $x \mid z \sim \mathcal{N}(w z + b, s^2)$, and
# some encoder's $q(z \mid x) = \mathcal{N}(m, v)$. Derive the gap $\log p(x) - \mathrm{ELBO}(x)$ and write
# it as a function. All arguments have shape (B,); `v` and `s2` are variances. The check integrates
# numerically.


# %% tags=["answer-elbo_gap"]
def elbo_gap(x, m, v, w, b, s2):
    """log p(x) - ELBO (B,) in nats for z ~ N(0, 1), x|z ~ N(w z + b, s2), q(z|x) = N(m, v)."""
    # BEGIN SOLUTION
    posterior_var = s2 / (s2 + w.square())
    posterior_mean = w * (x - b) / (s2 + w.square())
    ratio = v / posterior_var
    return 0.5 * (ratio - 1 - ratio.log() + (m - posterior_mean).square() / posterior_var)
    # END SOLUTION


# %%
check("elbo_gap")

# %% [markdown] tags=["solution"]
# <details><summary>Discussion</summary>
#
# $\log p(x) - \mathrm{ELBO} = \mathrm{KL}(q(z) \,\|\, p(z \mid x))$, and here the posterior is Gaussian:
# $\log p(z) + \log p(x \mid z)$ is quadratic in $z$ with precision $1 + w^2/s^2$ and linear coefficient $w
# (x - b)/s^2$. The gap vanishes if $q$ is the posterior, and does not care how well the model fits: a bad
# model with an exact encoder has gap 0. That is why a better bound need not mean a better model, and why the
# importance-weighted estimate is worth its price.
#
# </details>

# %% [markdown]
# ## 6. Why nobody trains a VAE with the score function (5 points)
#
# Two unbiased estimators of $\frac{d}{d\mu} \mathbb{E}[z^2]$ for $z = \mu + \sigma \varepsilon \sim
# \mathcal{N}(\mu, \sigma^2)$, each from one draw:
#
# $$ \text{reparameterised: } 2 z \qquad\qquad \text{score function: } z^2 \, \frac{z - \mu}{\sigma^2} $$
#
# The first has variance $4 \sigma^2$. Derive the variance of the second for `mu` and `sigma` (a standard
# deviation) of shape (B,).


# %% tags=["answer-score_variance"]
def score_variance(mu, sigma):
    """Variance (B,) of z^2 (z - mu) / sigma^2 for z ~ N(mu, sigma^2)."""
    # BEGIN SOLUTION
    return mu.pow(4) / sigma.square() + 14 * mu.square() + 15 * sigma.square()
    # END SOLUTION


# %%
check("score_variance")

# %% [markdown] tags=["solution"]
# <details><summary>Discussion</summary>
#
# With $z = \mu + \sigma\varepsilon$ the estimator is $(\mu^2 \varepsilon + 2 \mu \sigma \varepsilon^2 +
# \sigma^2 \varepsilon^3)/\sigma$. Squared, odd powers drop out; $\mathbb{E}\varepsilon^2 = 1$,
# $\mathbb{E}\varepsilon^4 = 3$, $\mathbb{E}\varepsilon^6 = 15$ give $\mu^4/\sigma^2 + 18\mu^2 + 15\sigma^2$;
# take $(2\mu)^2$ off. At its best, $\mu = 0$, it is 3.75 times the other variance. As $\sigma \to 0$ one
# estimator becomes exact and the other explodes, and good reconstructions want $\sigma$ small. In a VAE the
# difference grows with the number of latents, since every latent's noise enters every other's estimate.
#
# </details>

# %% [markdown]
# ## How far you are

# %%
progress()
