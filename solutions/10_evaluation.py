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
    # BEGIN SOLUTION
    average = logits.softmax(dim=1).mean(dim=0)
    return -torch.xlogy(average, average).sum()
    # END SOLUTION


def inception_score(logits):
    """The Inception Score, a number between 1 and K."""
    # BEGIN SOLUTION
    p = logits.softmax(dim=1)
    doubt = -torch.xlogy(p, p).sum(dim=1).mean()
    return (diversity(logits) - doubt).exp()
    # END SOLUTION


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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Two averages, taken in two orders: the entropy of the mean, and the mean of the entropies. Average the
# *probabilities*. The mean of the logits, or of the log-probabilities, is a geometric mean, and a class
# that one confident verdict excludes disappears from it. And $0 \log 0$ is 0, which `xlogy` knows and
# `p * p.log()` does not; $\log$ of a softmax that has underflowed is $-\infty$.
#
# With N samples the average distribution is estimated from N verdicts, and its entropy is too small on
# average (entropy is concave: the same story as in section 3 of the chapter, with the other sign). Few
# samples lower the score, and it can never exceed N.
#
# :::

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
    # BEGIN SOLUTION
    mean = x.mean(dim=0)
    return mean, (x - mean).T @ (x - mean) / (len(x) - 1)
    # END SOLUTION


def frechet(mean_1, cov_1, mean_2, cov_2):
    """The squared Fréchet distance of two Gaussians."""
    # BEGIN SOLUTION
    values, vectors = torch.linalg.eigh(cov_1)
    root = vectors * values.clamp_min(0).sqrt()  # root @ root.T is cov_1
    overlap = torch.linalg.eigvalsh(root.T @ cov_2 @ root).clamp_min(0).sqrt().sum()
    return (mean_1 - mean_2).square().sum() + cov_1.trace() + cov_2.trace() - 2 * overlap
    # END SOLUTION


# %%
check("frechet")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# The trace of a root is the sum of the roots of the eigenvalues, and the product $\Sigma_1 \Sigma_2$ has
# the same eigenvalues as the symmetric $R^\top \Sigma_2 R$ for *any* $R$ with $R R^\top = \Sigma_1$. So
# there are two symmetric eigenvalue problems and no matrix root. What does not work: the root of every
# entry, or of the diagonal alone, which is right only if both matrices are diagonal;
# $\operatorname{tr} \Sigma_1^{1/2} \Sigma_2^{1/2}$, which is right if they commute, and smaller otherwise,
# so that the distance comes out too large. A test with diagonal matrices finds none of these. A test with
# two random ones finds all.
#
# A Cholesky factor would do for $R$, but it fails at the first covariance of low rank; and without the
# clamp the root of an eigenvalue of $-10^{-17}$ is NaN.
#
# :::

# %% [markdown]
# ## 3. A distance whose mean is right (5 points)
#
# 1. `kernel(a, b)`: the matrix of $(a_i^\top b_j / D + 1)^3$ for rows of `a` (N, D) and `b` (M, D).
# 2. `kid(x, y)`: the estimate of the squared maximum mean discrepancy with this kernel that has no bias, a
#    number.


# %% tags=["answer-kid"]
def kernel(a, b):
    """(N, M): the cubic kernel of all pairs of rows."""
    # BEGIN SOLUTION
    return (a @ b.T / a.shape[1] + 1) ** 3
    # END SOLUTION


def kid(x, y):
    """The kernel distance without bias; x is (N, D), y is (M, D)."""

    # BEGIN SOLUTION
    def among(a):
        k = kernel(a, a)
        return (k.sum() - k.trace()) / (len(a) * (len(a) - 1))

    return among(x) + among(y) - 2 * kernel(x, y).mean()
    # END SOLUTION


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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Both expectations within a set are over two *independent* draws, and a draw is not independent of itself.
# Take the diagonal out of the sum, and out of the count: $N (N - 1)$ pairs are left. Between the sets there
# is no such pair, all $N M$ count. Leave the diagonal in, and 60 samples of the same Gaussian are told
# apart from themselves, by an amount that no amount of training removes.
#
# The mean is zero, so some values must be negative; here most are. Somebody who clamps them to 0 has put
# the bias back.
#
# :::

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
    # BEGIN SOLUTION
    return torch.cdist(points, points).kthvalue(k + 1, dim=1).values  # the nearest is the point itself
    # STUB
    # return torch.cdist(points, points).kthvalue(k, dim=1).values
    # END SOLUTION


def report(x, y, k):
    """Precision, recall and coverage; x is real (N, D), y are samples (M, D)."""
    # BEGIN SOLUTION
    apart = torch.cdist(x, y)
    around_x = apart <= radii(x, k)[:, None]
    around_y = apart <= radii(y, k)[None, :]
    shares = around_x.any(dim=0), around_y.any(dim=1), around_x.any(dim=1)
    return [share.double().mean() for share in shares]
    # STUB
    # near = torch.cdist(x, y)  # (N, M)
    # precision = (near <= radii(y, k)).any(dim=0).double().mean()
    # recall = (near <= radii(x, k)[:, None]).any(dim=1).double().mean()
    # coverage = (near <= radii(x, k)[:, None]).double().mean()
    # return precision, recall, coverage
    # END SOLUTION


# %%
check("balls")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# *Its own neighbour.* The nearest point of a set to one of its members is that member, at distance 0. The
# $k$-th smallest distance is that of the $(k - 1)$-th neighbour, and for $k = 1$ all balls are points.
#
# *The other set's balls.* Whether a sample is precise is a question to the balls around *real* points, and
# its own ball has nothing to say: a sample that is far from everything has a large ball, which may well
# reach a real point. In the given code the worst samples may be the most precise. Recall is the same question
# with the roles exchanged; with the real points' balls it turns into coverage. So the given recall was the
# right *coverage*, and the given coverage the share of *pairs*, which is the density up to a factor.
#
# With `x` equal to `y` all three figures must be 1. That finds the last bug and none of the others: every
# point lies in its own ball, however large the ball is and whosever it is. Put in six points that differ
# from six others, count by hand, and all four show.
#
# :::

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
    # BEGIN SOLUTION
    product, total = var[:, None] * var, var[:, None] + var
    pairs = torch.where(total > 0, product / total.clamp_min(1e-300), 0)
    return var.sum() + (pairs.sum() + pairs.trace()) / 2
    # END SOLUTION


def limit(d_1, n_1, d_2, n_2):
    """The distance without bias, from those at two sizes."""
    # BEGIN SOLUTION
    return (n_1 * d_1 - n_2 * d_2) / (n_1 - n_2)
    # END SOLUTION


def fair_size(limit_a, c_a, limit_b, c_b):
    """The N at which both models are expected to read the same."""
    # BEGIN SOLUTION
    return (c_a - c_b) / (limit_b - limit_a)
    # END SOLUTION


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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# $\mathbb{E}\, E_{ij}^2 = \lambda_i \lambda_j / N$ off the diagonal and twice that on it, so
#
# $$ c = \sum_i \lambda_i + \frac12 \sum_{ij} \frac{\lambda_i \lambda_j}{\lambda_i + \lambda_j} (1 +
# \delta_{ij}). $$
#
# For $\lambda_i = 1$ it is $D + D(D + 1)/4$, as in the chapter. A pair of unlike variances counts with
# nearly the smaller of the two: so a spectrum that falls off has far less bias at the same total variance,
# and a model with *less* variance has less bias than the truth. That is why the shrunken model of the
# chapter's section 12 wins.
#
# Two sizes determine a line. The limit is an extrapolation: the noise of both readings is in it, multiplied
# by about $n_2 / (n_1 - n_2)$, so take sizes that are far apart. And below
# $N = (c_a - c_b) / (d_b - d_a)$ equal $N$ for both models is a reliable way to choose the worse one.
#
# :::

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
# BEGIN SOLUTION
prediction = {
    "bits": 0.0519,  # log2(10) / 64
    "frechet": 4615,  # the variance is 0.1 + 90 in each direction: 64 (sqrt(90.1) - 1)^2
    "share": 9.25,  # 30.72 bits; log10(2) of them
    "width": 1.5,  # s^2 = 144 / 64
}
# STUB
# prediction = {
#     "bits": None,
#     "frechet": None,
#     "share": None,
#     "width": None,
# }
# END SOLUTION

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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# The logarithm of ten is divided by the dimensions, and nothing else in the number tells that nine of ten
# draws are noise. With 3072 dimensions one draw in a billion may be good. The Fréchet distance sees it at
# once: it looks at the draws. It sees one Gaussian, though, of the mixture's variance $0.1 + 0.9 \cdot 100$
# in each direction, so its roots are to be taken after mixing. (A mean of the two distances,
# $0.9 \cdot 5184$, is larger: mixing before the root lowers it. That is the convexity of section 3.)
#
# The memory is the opposite case. Its likelihood is largest at $s = d / \sqrt D$, and there every pixel of
# its samples has noise of that width; below it the samples get better and the likelihood worse.
#
# :::

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
    # BEGIN SOLUTION
    return log_w.logsumexp(dim=0) - math.log(log_w.shape[0])
    # STUB
    # return log_w.exp().sum(dim=0).log()
    # END SOLUTION


def bits(log_w, dims):
    """The mean of minus log_evidence over the images, bits per dimension: a number."""
    # BEGIN SOLUTION
    return -log_evidence(log_w).mean() / (dims * math.log(2))
    # STUB
    # log_p = log_evidence(log_w)
    # mean = log_p.logsumexp(dim=0) - math.log(len(log_p))
    # return -mean / dims * math.log(2)
    # END SOLUTION


# %%
check("bits")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# *Sum for mean.* The bound is the logarithm of the *mean* weight. Without $-\log K$ the model improves by
# $\log K$ nats as soon as one draws more often, for nothing: with K = 5000 and 64 dimensions that is 0.19
# bits per dimension, more than the families of the chapter are apart. *exp before log*: $e^{-2000}$ is 0
# and its logarithm $-\infty$. `logsumexp` takes the largest out first.
#
# *Log and mean exchanged.* Over the draws of one image the mean is inside the logarithm, since the weights
# estimate one number, $p(x)$. Over images it is outside: a test set is a product of probabilities, its
# log-likelihood a sum. With the mean inside, the easiest image decides alone, and the figure is always
# better. *log 2 above the line*: a nat is 1.44 bits, so the figure in bits is the larger one.
#
# Three of the four make the model look better. Bugs that make it look worse are found the same day.
#
# :::

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
    # BEGIN SOLUTION
    a, b = (torch.cdist(rows, train).min(dim=1).values for rows in (samples, held_out))
    n, m = len(a), len(b)
    farther = (a[:, None] > b).double().sum() + (a[:, None] == b).double().sum() / 2
    return (farther - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    # END SOLUTION


def hide(train, n):
    """n samples (n, D), at least 40 % of them rows of train, with a copying score near 0."""
    # BEGIN SOLUTION
    far = train[n // 2 : n] + 100 * train.std()  # each of them makes up for one copy
    return torch.cat([train[: n // 2], far])
    # END SOLUTION


def too_near(samples, held_out, train):
    """The chance that so many samples, or more, are nearer to train than every held-out row."""
    # BEGIN SOLUTION
    a, b = (torch.cdist(rows, train).min(dim=1).values for rows in (samples, held_out))
    n, m = len(a), len(b)
    count = int((a < b.min()).sum())
    return math.prod((n - i) / (n + m - i) for i in range(count))  # one after the other is a sample
    # END SOLUTION


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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# A copy takes part in M pairs and wins none, a sample that is far from everything wins all M. One outweighs
# the other, so half copies and half rubbish have $U = NM/2$ exactly: the score is a statement about the
# *middle* of the distances. It tells a shift, and here nothing has shifted on average. Meehan and
# others (2020) therefore cut the space into cells and score each one; that helps where the rubbish lies in
# other cells than the copies.
#
# For the count, draw the order of the $N + M$ distances from the smallest on. The first belongs to a sample
# with probability $N / (N + M)$, the next then with $(N - 1) / (N + M - 1)$, and so on: `c` factors, since
# *c or more* says only how the order begins. Thirty copies among 60 samples and 100 held-out rows have a
# probability of $4 \cdot 10^{-16}$. It is exact for every distribution and every N and M, and it does not
# care what the other samples do.
#
# Both figures need held-out rows from the same source as the training rows, and neither is a proof of
# honesty: who adds noise to each copy until it is as far as a held-out row is passes. Choose the test before
# you look at the samples: who tries ten of them will find one that is surprised.
#
# :::

# %% [markdown]
# ## How far you are

# %%
progress()
