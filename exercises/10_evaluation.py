# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: evaluating generative models
#
# Eight tasks to the chapter [Evaluating generative models](../chapters/10_evaluation.ipynb), 48 points,
# about five hours: three to write, one to derive, a prediction, two programs that run without complaint
# and report nonsense, and a copier to be caught. Each task has a cell for your answer; run it, then run the
# cell with `check` below it. `hint("scores")` gives the next hint to a task, and costs nothing. You can
# leave a task out and do the later ones. Use plain torch: calling `dgm` is no answer. As in the chapter `x`
# holds the features of real images (N, D), `y` those of samples (M, D). Where a task asks for a number, a
# tensor with one value will do.

# %% tags=["setup"]
import math

import torch
import torch.nn.functional as F

torch.set_num_threads(1)

# %%
from matplotlib import pyplot as plt

from coursekit import PALETTE, figure, use_style
from coursekit.exercises import check, exercise, hint, progress, when_done

use_style()
exercise("10_evaluation")


# %% [markdown]
# ## 1. A score from logits (5 points)
#
# A classifier gives `logits` (N, K), before the softmax, for N samples.
#
# 1. `diversity(logits)`: the entropy of the average class distribution, in nats.
# 2. `inception_score(logits)`: the Inception Score of these samples.
#
# Logits may be large. At 1000 a class has a probability of exactly 0 in floating point, and neither
# function may turn that into NaN.

# %% tags=["answer-scores"]
def diversity(logits):
    """The entropy of the average class distribution, nats."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("diversity is not done yet")


def inception_score(logits):
    """The Inception Score, a number between 1 and K."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("inception_score is not done yet")


# %%
check("scores")

# %% [markdown]
# What does the score do with few samples? The verdicts below are those of one and the same machine: it
# draws all ten classes alike, and the classifier is sure.

# %%
with when_done("scores"):
    labels = torch.randint(10, (20_000,), generator=torch.Generator().manual_seed(0))
    sure = 8.0 * F.one_hot(labels, 10).double()
    for n in (5, 10, 30, 100, 1000, 20_000):
        print(f"N = {n:6d}: Inception Score {inception_score(sure[:n]):.2f}")


# %% [markdown]
# ## 2. Two Gaussians of any rank (7 points)
#
# 1. `moments(x)`: the mean (D,) and the covariance matrix (D, D) of features (N, D), the covariance such
#    that its expectation is that of the distribution.
# 2. `frechet(mean_1, cov_1, mean_2, cov_2)`: the squared Fréchet distance, a number.
#
# With fewer samples than features, covariance matrices have eigenvalues that are 0, or by rounding a little
# less. The distance must be right then, too. (`torch.linalg` has no root of a matrix. You need none.)

# %% tags=["answer-frechet"]
def moments(x):
    """Mean (D,) and covariance (D, D) of the rows of x (N, D)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("moments is not done yet")


def frechet(mean_1, cov_1, mean_2, cov_2):
    """The squared Fréchet distance of two Gaussians."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("frechet is not done yet")


# %%
check("frechet")


# %% [markdown]
# ## 3. A distance whose mean is right (5 points)
#
# 1. `kernel(a, b)`: the matrix of $(a_i^\top b_j / D + 1)^3$ for rows of `a` (N, D) and `b` (M, D).
# 2. `kid(x, y)`: the estimate of the squared maximum mean discrepancy with this kernel that has no bias, a
#    number.

# %% tags=["answer-kid"]
def kernel(a, b):
    """(N, M): the cubic kernel of all pairs of rows."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("kernel is not done yet")


def kid(x, y):
    """The kernel distance without bias; x is (N, D), y is (M, D)."""

    # Your answer goes here, in place of the next line.
    raise NotImplementedError("kid is not done yet")


# %%
check("kid")

# %% [markdown]
# Two samples of one distribution, 400 times. What should the mean be, and what share of the values should
# be negative?

# %%
with when_done("kid"):
    g = torch.Generator().manual_seed(0)
    drawn = torch.tensor([kid(*torch.randn(2, 60, 16, generator=g).double()) for _ in range(400)])
    error = drawn.std() / 20
    print(f"mean {drawn.mean():+.4f} ± {error:.4f}; negative: {(drawn < 0).double().mean():.0%}")
    fig, ax = plt.subplots(figsize=(5.6, 2.6))
    ax.hist(drawn, bins=40, color=PALETTE["blue"])
    ax.axvline(0, color="0.3", lw=0.8)
    ax.set(xlabel="kernel distance of two samples of 60", ylabel="pairs of samples")
    figure(
        fig,
        alt="Histogram of 400 kernel distances between two samples of the same 16-dimensional Gaussian. "
        "It is spread around zero, with a little more than half of the values below it and a tail above.",
    )


# %% [markdown]
# ## 4. Find the bugs: balls around the wrong points (5 points)
#
# `radii(points, k)` should give the distance from each point to its $k$-th nearest *other* point; and
# `report(x, y, k)` precision, recall and coverage, three numbers. **Four things are wrong**, one in
# `radii`, and one in each of the three figures. Repair them. (Which of the four could you have found by
# putting in the same points for `x` and `y`?)

# %% tags=["answer-balls"]
def radii(points, k):
    """The distance (N,) of each of the points (N, D) to its k-th nearest other one."""
    return torch.cdist(points, points).kthvalue(k, dim=1).values


def report(x, y, k):
    """Precision, recall and coverage; x is real (N, D), y are samples (M, D)."""
    near = torch.cdist(x, y)  # (N, M)
    precision = (near <= radii(y, k)).any(dim=0).double().mean()
    recall = (near <= radii(x, k)[:, None]).any(dim=1).double().mean()
    coverage = (near <= radii(x, k)[:, None]).double().mean()
    return precision, recall, coverage


# %%
check("balls")


# %% [markdown]
# ## 5. Features that are unlike (7 points)
#
# The chapter reckons what $N$ samples add to the Fréchet distance when all features have variance one. Real
# features are not like that. Let the model be $\mathcal{N}(\mu, \Sigma)$ with
# $\Sigma = \operatorname{diag}(\lambda_1, \dots, \lambda_D)$, measured against itself: the reference is
# exact, the model's moments come from $N$ samples. To leading order the distance reads $c / N$.
#
# 1. Let the covariance err by a small symmetric matrix $E$. To second order the covariances then contribute
#    $\tfrac12 \sum_{ij} E_{ij}^2 / (\lambda_i + \lambda_j)$ to the distance. (Show it: take the root of
#    $\Sigma_1^{1/2} (\Sigma_1 + E) \Sigma_1^{1/2}$ term by term.) What are $\mathbb{E}\, E_{ij}^2$ for
#    $i \ne j$ and for $i = j$? Derive $c$, the part of the mean with it: `bias_factor(var)`, where `var`
#    (D,) holds the $\lambda_i$. Some may be 0: such features never vary.
# 2. `limit(d_1, n_1, d_2, n_2)`: one model was measured twice, at $N$ = `n_1` and `n_2`. What does the line
#    in $1 / N$ say for $N \to \infty$?
# 3. Two models with limits `limit_a` < `limit_b` and factors `c_a` > `c_b`. From which $N$ on does the
#    better one have the lower expected distance? `fair_size(limit_a, c_a, limit_b, c_b)`, a number, not
#    rounded.

# %% tags=["answer-unlike"]
def bias_factor(var):
    """c of the expected distance c / N of N(mu, diag(var)) against itself; var is (D,)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("bias_factor is not done yet")


def limit(d_1, n_1, d_2, n_2):
    """The distance without bias, from those at two sizes."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("limit is not done yet")


def fair_size(limit_a, c_a, limit_b, c_b):
    """The N at which both models are expected to read the same."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("fair_size is not done yet")


# %%
check("unlike")

# %% [markdown]
# 64 features of total variance 64. How much does $c$ change if the variances fall off, as those of a
# network's features do?

# %%
with when_done("unlike"):
    rank = torch.arange(1, 65).double()
    for name, var in (("alike", torch.ones(64).double()), ("1 / i", 1 / rank), ("1 / i²", rank**-2)):
        print(f"{name:7s} c = {float(bias_factor(64 * var / var.sum())):7.1f}")

# %% [markdown]
# ## 6. Predict, then run: likely, and of no use (5 points)
#
# Nature is $\mathcal{N}(0, I)$ in 64 dimensions, and a good model is nature itself. A spoilt model draws
# from it with probability $\lambda = 0.1$, and otherwise noise from $\mathcal{N}(0, 100\, I)$. Predict,
# with pencil and paper:
#
# - `bits`: how many bits per dimension the spoilt model loses at most against the good one (within 1 %);
# - `frechet`: the Fréchet distance of the spoilt model to nature (within 0.3 %);
# - `share`: images have 3072 dimensions now, and a spoilt model may lose 0.01 bits per dimension. Then
#   $\lambda$ may go down to $10^{-r}$. What is $r$ (within 0.1)?
# - `width`: a third model has learnt its training images of 64 pixels by heart, and puts a Gaussian of
#   width $s$ around each. The held-out images are at distance 12 grey levels from their nearest training
#   image, and that one alone counts. Which $s$, in grey levels, gives them the largest likelihood (within
#   2 %)?

# %% tags=["answer-likely"]
prediction = {
    "bits": None,
    "frechet": None,
    "share": None,
    "width": None,
}

# %%
check("likely")

# %%
g = torch.Generator().manual_seed(0)
x = torch.randn(20_000, 64, generator=g, dtype=torch.float64)  # nature
good, noise = (
    -0.5 * (x / s).square().sum(1) - 32 * math.log(2 * math.pi) - 64 * math.log(s) for s in (1.0, 10.0)
)
spoilt = torch.logaddexp(good + math.log(0.1), noise + math.log(0.9))
print(f"lost: {(good - spoilt).mean() / 64 / math.log(2):.4f} bits per dimension")
y = torch.randn(200_000, 64, generator=g, dtype=torch.float64)
y[20_000:] *= 10
roots = torch.linalg.eigvalsh(torch.cov(y.T)).sqrt()
print(f"Fréchet distance: {y.mean(0).square().sum() + (roots - 1).square().sum():.0f}")
s = torch.linspace(0.5, 5, 901)
best = (-(12**2) / (2 * s**2) - 64 * s.log()).argmax()
print(f"most likely width: {s[best]:.2f} grey levels")


# %% [markdown]
# ## 7. Find the bugs: a report of bits per dimension (6 points)
#
# `log_w` (K, B) holds $\log w_k(x_b)$, K importance weights for each of B images, natural logarithms.
# `log_evidence` should give the importance-weighted bound of each image in nats, and `bits` the mean over
# the images in bits per dimension, as papers report it. **Four things are wrong.** Repair them. One of them
# shows only with weights as small as an image's are: $\log w$ may be $-2000$.

# %% tags=["answer-bits"]
def log_evidence(log_w):
    """The importance-weighted bound on log p(x), nats, (B,); log_w is (K, B)."""
    return log_w.exp().sum(dim=0).log()


def bits(log_w, dims):
    """The mean of minus log_evidence over the images, bits per dimension: a number."""
    log_p = log_evidence(log_w)
    mean = log_p.logsumexp(dim=0) - math.log(len(log_p))
    return -mean / dims * math.log(2)


# %%
check("bits")


# %% [markdown]
# ## 8. Design: a copier who hides (8 points)
#
# Section 6 of the chapter ranks distances to the nearest training row: $a_i$ of N samples, $b_j$ of M
# held-out rows. A model that has copied its training set scores far below zero.
#
# 1. `copying(samples, held_out, train)`: that score $z$, a number. Grey levels often lie equally far: let a
#    pair with $a_i = b_j$ count one half.
# 2. The score weighs all distances alike, so it can be led astray. Be the copier: `hide(train, n)` returns
#    n samples (n, D), of which at least 40 % are rows of `train`, unchanged, and the score lies between -1
#    and 1 all the same. You don't have the held-out rows, only that they come from the distribution of
#    `train`; `n` is at most `len(train)`.
# 3. Now catch that copier. Count the samples that are nearer to `train` than *every* held-out row. If
#    samples and held-out rows come from one distribution, all orders of the N + M distances are equally
#    likely (no two are equal). What is the probability of this count or a larger one?
#    `too_near(samples, held_out, train)`: that probability, a number.

# %% tags=["answer-copies"]
def copying(samples, held_out, train):
    """z: far below 0 the samples (N, D) are nearer to train (T, D) than the held-out rows (M, D)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("copying is not done yet")


def hide(train, n):
    """n samples (n, D), at least 40 % of them rows of train, with a copying score near 0."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("hide is not done yet")


def too_near(samples, held_out, train):
    """The chance that so many samples, or more, are nearer to train than every held-out row."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("too_near is not done yet")


# %%
check("copies")

# %% [markdown]
# Three models of one Gaussian, 60 samples each: an honest one, one that returns training rows, and yours.
# Which of them does each of the two figures tell from the honest one?

# %%
with when_done("copies"):
    g = torch.Generator().manual_seed(0)
    train, held_out, honest = torch.randn(3, 100, 2, generator=g, dtype=torch.float64)
    models = {"honest": honest[:60], "by heart": train[:60].clone(), "hiding": hide(train, 60)}
    for name, y in models.items():
        z, chance = (float(f(y, held_out, train)) for f in (copying, too_near))
        print(f"{name:9s} z = {z:+5.1f}   chance of so many so near {chance:.1e}")
    fig, axes = plt.subplots(1, 3, figsize=(8, 2.4), sharey=True)
    for ax, (name, y) in zip(axes, models.items(), strict=True):
        near = torch.cdist(y, train).min(1).values.clamp(1e-3, 10).log10()
        ax.hist(near, bins=24, range=(-3, 1), color=PALETTE["blue"])
        ax.axvline(torch.cdist(held_out, train).min(1).values.log10().median(), color="0.3", lw=0.8)
        ax.set(title=name, xlabel="log10 of the distance to train")
    axes[0].set_ylabel("samples")
    figure(
        fig,
        alt="Three histograms of the distance to the nearest training row, on a logarithmic axis cut off at "
        "-3 and 1, with the held-out rows' median as a line. Honest samples lie around the line, copies all "
        "at the left end, and the hiding copier's samples at both ends.",
    )

# %% [markdown]
# ## How far you are

# %%
progress()
