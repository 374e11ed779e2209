# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: variational autoencoders
#
# Six tasks to the chapter [Variational autoencoders](../chapters/02_vae.ipynb), 32 points, about three
# hours: four to write, the first two of them warm-ups from the chapter, and two to derive. Each task has
# a cell for your answer; run it, then run the cell with `check` below it. `hint("kl")` gives the next
# hint to a task, and costs nothing. You can leave a task out and do the later ones. Use plain torch:
# calling `dgm` is no answer. As in the chapter there are $J$ latents, $D$ pixels, and $K$ draws.

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
# The encoder gives each image a Gaussian $q(z \mid x) = \mathcal{N}(\mu, \mathrm{diag}(\sigma^2))$ over
# $J$ latents, with `logvar` $= \log \sigma^2$. Write $\mathrm{KL}(q \,\|\, \mathcal{N}(0, I))$ in closed
# form, in nats, for `mu` and `logvar` of shape (B, J); return shape (B,). No `torch.distributions`.

# %% tags=["answer-kl"]
def kl(mu, logvar):
    """KL (B,) in nats of N(mu, exp(logvar)) from the standard normal; mu and logvar are (B, J)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("kl is not done yet")


# %%
check("kl")


# %% [markdown]
# ## 2. A draw that gradients pass (5 points)
#
# Draw $z \sim \mathcal{N}(\mu, \mathrm{diag}(\sigma^2))$ such that gradients reach `mu` and `logvar`. `mu`
# and `logvar` have the same shape (any shape); take all random numbers from `generator`. No
# `torch.distributions`.

# %% tags=["answer-reparameterise"]
def reparameterise(mu, logvar, generator):
    """A draw z, shaped like mu, from N(mu, exp(logvar)); differentiable in mu and logvar."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("reparameterise is not done yet")


# %%
check("reparameterise")


# %% [markdown]
# ## 3. Find the bug in the loss (6 points)
#
# The two lines below are a loss for a VAE on binary images. They should return the negative ELBO in nats for
# each image: `logits` and `x` have shape (B, D), `kl` of shape (B, J) holds the KL of each latent in nats.
# With them a VAE trains, the loss falls, and soon most latents carry nothing. One word is wrong. Correct it.
#
# The bug is the same as a wrong beta: the buggy loss is proportional to $-\mathbb{E}_q[\log p(x \mid z)] +
# \beta \, \mathrm{KL}$. Write this $\beta$ as a function of the number of pixels. What is it for 28 x 28?

# %% tags=["answer-negative_elbo"]
def negative_elbo(logits, x, kl):
    """Negative ELBO (B,) in nats of binary images x (B, D); logits (B, D), kl (B, J)."""
    cost = F.binary_cross_entropy_with_logits(logits, x, reduction="none").mean(dim=1)
    return cost + kl.sum(dim=1)


def implied_beta(pixels):
    """The beta that the buggy loss amounts to."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("implied_beta is not done yet")


# %%
check("negative_elbo")


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
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("iwae is not done yet")


# %%
check("iwae")

# %% [markdown]
# The bound on a toy of known evidence: log weights that scatter with standard deviation 2, $\log p(x) =
# 0$.

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


# %% [markdown]
# ## 5. How much the bound leaves out, and cannot help leaving out (6 points)
#
# The chapter solves a VAE with one latent and one pixel. Now take $J$ latents and $D$ pixels: $z \sim
# \mathcal{N}(0, I)$, $x \mid z \sim \mathcal{N}(W z + b, s^2 I)$, and an encoder of the usual kind, $q(z
# \mid x) = \mathcal{N}(m, \mathrm{diag}(v))$, whose mean and variances may both be wrong.
#
# 1. Derive the gap $\log p(x) - \mathrm{ELBO}(x)$ and write it as the function `elbo_gap`.
# 2. The posterior's latents are correlated, those of $q$ never are. With the best $m$ and $v$, which gap
#    is left? That is `least_gap`.
#
# Both functions are for one image and return one number, in nats. `W` is (D, J), `x` and `b` are (D,), `m`
# and `v` are (J,), `s2` is $s^2$; `v` and `s2` are variances. The check integrates numerically.

# %% tags=["answer-elbo_gap"]
def elbo_gap(x, m, v, W, b, s2):
    """log p(x) - ELBO in nats for z ~ N(0, I), x|z ~ N(W z + b, s2 I), q(z|x) = N(m, diag v)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("elbo_gap is not done yet")


def least_gap(W, s2):
    """The gap that is left in nats when m and v are the best ones."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("least_gap is not done yet")


# %%
check("elbo_gap")


# %% [markdown]
# ## 6. Why nobody trains a VAE with the score function (6 points)
#
# Let $z \sim \mathcal{N}(\mu, \mathrm{diag}(\sigma^2))$ with $J$ latents and $f(z) = \lVert z \rVert^2$.
# For $\partial\, \mathbb{E}[f] / \partial \mu_1$ there are two unbiased estimators, each from one draw:
#
# $$ \text{reparameterised: } 2 z_1 \qquad\qquad \text{score function: } \big(f(z) - b\big) \,
# \frac{z_1 - \mu_1}{\sigma_1^2} $$
#
# The first has variance $4 \sigma_1^2$, whatever the other latents do. The chapter derives the variance
# of the second for one latent and no baseline, and measures the rest.
#
# 1. Derive the variance of the second for any $J$ and any constant baseline $b$. `mu` and `sigma`
#    (standard deviations) have shape (B, J), `baseline` has shape (B,); return shape (B,).
# 2. Which constant $b$ makes it least? Return shape (B,). (The chapter takes the mean of $f$.)

# %% tags=["answer-score_variance"]
def score_variance(mu, sigma, baseline):
    """Variance (B,) of (|z|^2 - baseline) (z_1 - mu_1) / sigma_1^2 for z ~ N(mu, diag sigma^2)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("score_variance is not done yet")


def best_baseline(mu, sigma):
    """The constant baseline (B,) for which that variance is least."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("best_baseline is not done yet")


# %%
check("score_variance")

# %% [markdown]
# What the best baseline saves, and what it cannot:

# %%
from matplotlib import pyplot as plt

with when_done("score_variance"):
    latents = [1, 2, 4, 8, 16, 32, 64]
    curves = {"no baseline": [], "the best baseline": [], "reparameterised": []}
    for j in latents:
        mu, sigma = torch.ones(1, j), torch.full((1, j), 0.5)
        values = (
            score_variance(mu, sigma, torch.zeros(1)),
            score_variance(mu, sigma, best_baseline(mu, sigma)),
        )
        for curve, value in zip(curves.values(), (*values, 4 * sigma[:, 0] ** 2), strict=True):
            curve.append(value.item())
    fig, ax = plt.subplots()
    for (name, curve), style in zip(curves.items(), ("o-", "s--", "D:"), strict=True):
        ax.loglog(latents, curve, style, label=name)
    ax.set(xlabel="latents J", ylabel="variance of one estimate")
    ax.legend()
    figure(
        fig,
        alt="The variance of three gradient estimators against the number of latents, both axes logarithmic. "
        "Without a baseline it grows about with the square of the number, with the best baseline about in "
        "proportion to it, and the reparameterised one stays flat far below.",
    )

# %% [markdown]
# ## How far you are

# %%
progress()
