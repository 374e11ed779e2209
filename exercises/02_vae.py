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
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("elbo_gap is not done yet")


# %%
check("elbo_gap")


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
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("score_variance is not done yet")


# %%
check("score_variance")

# %% [markdown]
# ## How far you are

# %%
progress()
