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
    # BEGIN SOLUTION
    per_latent = 0.5 * (mu.square() + logvar.exp() - 1 - logvar)  # (B, J)
    return per_latent.sum(dim=1)
    # END SOLUTION


# %%
check("kl")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# $\mathbb{E}_q[\log q] = -\tfrac12 (\log 2\pi\sigma^2 + 1)$ and $\mathbb{E}_q[\log p] = -\tfrac12 (\log
# 2\pi + \mu^2 + \sigma^2)$; subtract. Each of the three parts has a meaning: $\mu^2$ pulls the means to
# the origin, $\sigma^2 - 1 - \log \sigma^2$ is least, and zero, at $\sigma = 1$, and is steeper on the
# narrow side. A mean over the latents in place of the sum is a beta of $1/J$.
#
# :::

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
# :::{admonition} Discussion
# :class: dropdown
#
# The randomness has moved into `eps`, whose distribution has no parameters. What is left is a smooth
# function of `mu` and `logvar`: $\partial z / \partial \mu = 1$, $\partial z / \partial \log \sigma^2 =
# \tfrac12 (z - \mu)$. Halving the exponent is the step most often forgotten, and training hides it: a
# network that learns `logvar` learns half of it as well. The KL then measures another Gaussian than the
# one you draw from, and the bound is no bound.
#
# :::

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
# :::{admonition} Discussion
# :class: dropdown
#
# The log-likelihood of an image is a sum over its pixels, because a product of probabilities is a sum of
# logarithms. The mean is that sum over $D$, so the buggy loss is $\tfrac1D \left( -\mathbb{E}_q[\log p(x
# \mid z)] + D \, \mathrm{KL} \right)$: a beta of $D$, 784 for MNIST, and the posterior collapses. Read
# from the other side: beside a mean over pixels the KL would need the weight $1/D$ to give the ELBO up to
# a factor. `reduction="mean"`, the default, divides by the batch as well; then beta is still $D$ if the
# KL is averaged over the batch, and $BD$ if it is summed.
#
# One more question goes with it: the cross-entropy is a log-likelihood of binary pixels only. For grey
# pixels in (0, 1) it lacks the constant that would make the density integrate to one, and "nats" measured
# with it mean nothing.
#
# :::

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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# $\log$ is concave, so averaging inside it gives more than averaging outside: $\mathcal{L}_1$ is the ELBO,
# and $\mathcal{L}_K$ rises to $\log p(x)$. Its gradient weighs the draws by their normalised weights (the
# softmax of `log_w` over $K$): good draws teach, bad ones are ignored. That is better for the decoder and
# worse for the encoder, whose signal drowns in noise as $K$ grows.
#
# :::

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
    # BEGIN SOLUTION
    precision = torch.eye(len(m), dtype=W.dtype) + W.T @ W / s2  # (J, J), of the posterior
    mean = torch.linalg.solve(precision, W.T @ (x - b) / s2)  # (J,)
    off = m - mean
    spread = (precision.diagonal() * v - v.log() - 1).sum() - torch.logdet(precision)
    return 0.5 * (spread + off @ precision @ off)
    # END SOLUTION


def least_gap(W, s2):
    """The gap that is left in nats when m and v are the best ones."""
    # BEGIN SOLUTION
    precision = torch.eye(W.shape[1], dtype=W.dtype) + W.T @ W / s2
    return 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))  # at v_j = 1 / precision_jj
    # END SOLUTION


# %%
check("elbo_gap")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# $\log p(x) - \mathrm{ELBO} = \mathrm{KL}(q(z) \,\|\, p(z \mid x))$, and $\log p(z) + \log p(x \mid z)$ is
# quadratic in $z$: the posterior is Gaussian with precision $A = I + W^\top W / s^2$ and mean $a = A^{-1}
# W^\top (x - b) / s^2$. Taking the expectation of $\log q - \log p(z \mid x)$ under $q$ gives $\tfrac12
# \big[\sum_j (A_{jj} v_j - \log v_j - 1) - \log\det A + (m - a)^\top A\, (m - a)\big]$.
#
# The best mean is $a$, the best variances are $v_j = 1 / A_{jj}$: the *conditional* variance of a latent
# given the others, which is less than its own variance $(A^{-1})_{jj}$. So an encoder with independent
# latents is too sure of itself. What is left, $\tfrac12 (\sum_j \log A_{jj} - \log\det A)$, is never
# negative (Hadamard's inequality) and does not depend on $x$: no encoder network, however large, gets
# below it. It is zero only if the columns of $W$ are orthogonal. Turning the latents ($W R$ with a rotation
# $R$) leaves $p(x)$ as it is, so a decoder that is trained along can turn its columns until they are, and the
# bound pays it to. A bad model with an exact encoder has gap 0: a better bound need not mean a better model.
#
# :::

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
    # BEGIN SOLUTION
    m, s = mu[:, 0], sigma[:, 0]
    var = sigma[:, 1:].square()
    rest = (mu[:, 1:].square() + var).sum(dim=1) - baseline  # mean of what z_1^2 is added to
    rest_var = (4 * mu[:, 1:].square() * var + 2 * var.square()).sum(dim=1)
    second = m**4 + 18 * m**2 * s**2 + 15 * s**4 + 2 * rest * (m**2 + 3 * s**2) + rest**2 + rest_var
    return second / s**2 - 4 * m**2
    # END SOLUTION


def best_baseline(mu, sigma):
    """The constant baseline (B,) for which that variance is least."""
    # BEGIN SOLUTION
    return (mu.square() + sigma.square()).sum(dim=1) + 2 * sigma[:, 0].square()
    # END SOLUTION


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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Write $f - b = z_1^2 + r$ with $r = \sum_{j > 1} z_j^2 - b$, independent of $\varepsilon_1$. The
# estimator is $(z_1^2 + r)\, \varepsilon_1 / \sigma_1$, and its second moment $\big(\mathbb{E}[z_1^4
# \varepsilon_1^2] + 2\, \mathbb{E}[z_1^2 \varepsilon_1^2]\, \mathbb{E} r + (\mathbb{E} r)^2 +
# \mathrm{Var}\, r\big) / \sigma_1^2$ with $\mathbb{E}[z_1^4 \varepsilon_1^2] = \mu_1^4 + 18 \mu_1^2
# \sigma_1^2 + 15 \sigma_1^4$ and $\mathbb{E}[z_1^2 \varepsilon_1^2] = \mu_1^2 + 3 \sigma_1^2$. Take
# $(2\mu_1)^2$ off.
#
# As a function of $b$ it is a parabola, lowest where $b = \mathbb{E}[f \varepsilon_1^2] = \mathbb{E} f +
# 2 \sigma_1^2$: not the mean of $f$, but its mean weighted by the squared score. The baseline removes
# $(\mathbb{E} r)^2$, which grows with $J^2$. It cannot touch $\mathrm{Var}\, r$, which grows with $J$:
# the noise of every other latent enters this one's gradient. And as $\sigma_1 \to 0$, which good
# reconstructions want, everything here is divided by $\sigma_1^2$, while the reparameterised estimator
# becomes exact.
#
# :::

# %% [markdown]
# ## How far you are

# %%
progress()
