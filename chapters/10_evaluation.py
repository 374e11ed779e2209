# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Evaluating generative models
#
# **The question.** Six machines draw digits; twelve of each are shown below. One machine is nature. One
# repeats the same few pictures, one gives back the pictures that it was shown in training, one never draws
# a 0 or a 1, one blurs, and one draws faultless digits but hands you a 3 when you ask for a 2. Find them.
# You will find the blur. The other faults are not in any single picture: they are in the relation of the
# pictures to one another, to the training set, or to the question. Which number sees what the eye can't?
#
# **You will be able to** derive the scores that papers report, and say of each what it can't see; compute
# how far a Fréchet distance is off with N samples; build two models whose likelihood and whose samples
# disagree as much as you like; plant a fault and predict which metric will find it; read a table of models,
# and ask it the right questions.
#
# **You need** covariance matrices, the KL divergence of the [start chapter](00_start.ipynb), couplings from
# the chapter on [Wasserstein GANs](04_wgan.ipynb), the importance-weighted bound of the
# [VAE chapter](02_vae.ipynb). **It takes** about three hours to read with pencil and paper, and about a
# minute to run on a laptop.

# %%
import itertools
import json
import math
import textwrap
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from torch.nn import functional as F

from coursekit import PALETTE, budget, figure, frames, image_grid, show, use_style
from dgm.data import load_digits, to_pm1
from dgm.metrics import digits_features, frechet_distance, gaussian_frechet, inception_score
from dgm.tensor import bits_per_dim, log_mean_exp

use_style()
torch.set_num_threads(1)  # networks this small gain nothing from a second thread
g = torch.Generator().manual_seed(0)

# %% [markdown]
# Whoever plants the faults knows the truth. So we plant them in real digits. For this the writers must not
# matter, and all 1797 images are shuffled and dealt into three heaps: 450 are the **reference**, 450 play
# the **training set**, and from the remaining 897 every machine draws its 450 samples. Each fault has a
# strength; at strength nothing, the machine is nature.

# %%
splits = [load_digits(name) for name in ("train", "valid", "test")]
x_all = torch.cat([s.x for s in splits]).float()  # (1797, 1, 8, 8), grey levels 0..16
y_all = torch.cat([s.y for s in splits])
eye = digits_features()  # the shipped classifier


def verdicts(x):  # grey levels (N, 1, 8, 8) -> logits (N, 10)
    return eye.logits(to_pm1(x, 17)).double()


# %%
belief = verdicts(x_all).softmax(1).gather(1, y_all[:, None])[:, 0]  # in the true class
N = 450


def deal(seed):  # rows of x_all: reference, training set, pool
    order = torch.randperm(len(x_all), generator=torch.Generator().manual_seed(seed))
    return order[:N], order[N : 2 * N], order[2 * N :]


def pick(rows, rng, n=N):
    return rows[torch.randperm(len(rows), generator=rng)[:n]]


def surest(rows):
    return rows[belief[rows].argmax()]


def blur(x, share):  # a share of the image is replaced by its mean over 3 by 3 pixels
    return (1 - share) * x + share * F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


# %%
def plant(fault, strength, seed):  # -> images (N, 1, 8, 8), and the labels that were asked for
    _, training, pool = deal(seed)
    rng = torch.Generator().manual_seed(1000 + seed)
    rows = pick(pool, rng)
    if fault == "dropped classes":  # strength: how many
        rows = pick(pool[y_all[pool] >= strength], rng)
    elif fault == "repeats":  # each picture so many times; 45 times: one picture of each class
        ten = torch.stack([surest(pool[y_all[pool] == c]) for c in range(10)])
        rows = (ten if strength == N // 10 else rows[: N // strength]).repeat(strength)
    elif fault == "copies":  # strength: share of the samples that are training images
        copied = round(strength * N)
        rows = torch.cat([training[:copied], rows[copied:]])
    x, y = x_all[rows], y_all[rows]
    if fault == "blur":
        x = blur(x, strength)
    elif fault == "noise":  # strength: standard deviation, grey levels
        x = (x + strength * torch.randn(x.shape, generator=rng)).clamp(0, 16)
    elif fault == "swapped labels":  # the first classes, in a ring
        y = torch.where(y < strength, (y + 1) % strength, y)
    return x, y


# %%
SHOWN = [("repeats", 9), ("nothing", 0), ("swapped labels", 4), ("blur", 0.5), ("copies", 1.0)]
SHOWN.append(("dropped classes", 2))
rows = [pick(plant(fault, strength, seed)[0], g, 12) for seed, (fault, strength) in enumerate(SHOWN)]
figure(
    image_grid(to_pm1(torch.cat(rows), 17), columns=12, row_labels=list("ABCDEF")),
    alt="Six rows of twelve handwritten digits of 8 by 8 pixels, labelled A to F. Row D is soft, as if out "
    "of focus. The other five rows look alike: clean digits, all different.",
    caption="Twelve draws of each of six machines, of which one is nature. Which is which?",
)

# %% [markdown]
# A repeats, B is nature, C swaps labels, D blurs, E copies, F has no 0 and no 1. Even the repeats hide:
# among twelve draws of fifty pictures most are different.
#
# Every metric below looks through eyes. Ours are the shipped classifier of 8 by 8 digits: its 64 hidden
# numbers are the **features**, in units that make their total variance 1000, and it gives class
# probabilities too. It was trained on the first 1000 of these images; section 11 asks what else one could
# look through. Write $x$ for the features of a real image and $y$ for those of a sample, $D = 64$ for their
# dimension, $N$ for the number of real images, $M$ for that of samples.


# %%
def see(x):  # grey levels (N, 1, 8, 8) -> features (N, 64)
    return eye.features(to_pm1(x, 17)).double()


f_all = see(x_all)

# %% [markdown]
# ## 1 Derive: a score from a classifier
#
# The oldest score asks a classifier $p(c \mid y)$ with $K$ classes. Two wishes: every sample should be
# clearly of one class, so the entropy $H[p(c \mid y)]$ should be small; and all classes should be drawn, so
# the entropy of the average, $\bar p(c) = \mathbb{E}_y\, p(c \mid y)$, should be large. Take the difference
# and insert the definition $H[p] = -\sum_c p(c) \log p(c)$:
#
# $$ I(y; c) = \underbrace{H[\bar p]}_{\text{diversity}} - \underbrace{\mathbb{E}_y H[p(c \mid
# y)]}_{\text{doubt}} = \mathbb{E}_y \sum_{c} p(c \mid y) \log \frac{p(c \mid y)}{\bar p(c)}, \qquad
# \mathrm{IS} = e^{I(y; c)}. $$ (eval-information)
#
# On the right stands the mean KL divergence from each sample's verdict to the average verdict: the **mutual
# information** of sample and class. Its exponential is the **Inception Score**
# ([Salimans et al. 2016](https://arxiv.org/abs/1606.03498)), after the classifier with 1000 classes that it
# was first taken with. Entropies lie between $0$ and $\log K$, so $1 \le \mathrm{IS} \le K$; and since
# $e^{H}$ is a number of equally likely choices, the score is a number of classes. The first term alone,
# $H[\bar p]$, is a measure of its own: the diversity of the classes.
#
# Now look at what {eq}`eval-information` does *not* contain. Nothing real appears in it. There is one $y$
# at a time and never a pair of samples, so it can't know that samples repeat. The maximum $K$ needs ten
# samples. Before you run the cell: which of the three sets will score highest? The third is made of noise:
# we ask the classifier's gradient for ten pictures of which it is sure.

# %%
ten = torch.stack([x_all[surest(torch.nonzero(y_all == c)[:, 0])] for c in range(10)])
fooling = 8 + torch.randn(10, 1, 8, 8, generator=g)  # grey noise, grey levels
fooling.requires_grad_()
optimiser = torch.optim.Adam([fooling], lr=0.5)
for _ in range(60):
    loss = F.cross_entropy(eye.logits(to_pm1(fooling.clamp(0, 16), 17)), torch.arange(10))
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
fooling = fooling.detach().clamp(0, 16)

# %%
scores = {
    "test images": inception_score(verdicts(splits[2].x)),
    "ten pictures": inception_score(verdicts(ten.repeat(45, 1, 1, 1))),
    "made of noise": inception_score(verdicts(fooling)),
}
figure(
    image_grid(
        to_pm1(torch.cat([splits[2].x[:10].float(), ten, fooling]), 17),
        columns=10,
        row_labels=[f"{name}: {score:.2f}" for name, score in scores.items()],
    ),
    alt="Three rows of ten images with their Inception Scores. Test images "
    f"{scores['test images']:.2f}; one clean digit of each class {scores['ten pictures']:.2f}; ten grey "
    f"textures that show no digit {scores['made of noise']:.2f}.",
    caption="Two sets that outscore nature: one picture of each class for ever, and ten textures made with "
    "the classifier's own gradient.",
)
assert scores["ten pictures"] > 9.9 > scores["test images"] + 0.05
assert scores["made of noise"] > scores["test images"]

# %% [markdown]
# **Where to look.** Ten pictures for ever beat nature, and so do ten grey textures. A score that a model
# can be trained on, through the same classifier, measures little else than that
# ([Barratt and Sharma 2018](https://arxiv.org/abs/1801.01973)). It answers one narrow question well: are
# the classes clear and evenly drawn?
#
# ## 2 Derive: how far are two Gaussians apart?
#
# So compare with nature. The chapter on Wasserstein GANs moved earth: a **coupling** of $p$ and $q$ is a
# joint distribution of $(x, y)$ with $x \sim p$ and $y \sim q$, a plan of which $x$ goes to which $y$.
# Charge the squared way:
#
# $$
# W_2^2(p, q) = \inf_{\text{couplings}} \mathbb{E}\,\lVert x - y \rVert^2.
# $$ (eval-w2)
#
# For samples that is a linear programme, and with 64 dimensions it is hopeless: two samples of nature are
# far from each other at any size we can afford. But squares have a gift. *Assume* that $p$ has mean $\mu_1$
# and covariance $\Sigma_1$, $q$ has $\mu_2$ and $\Sigma_2$. Write $x = \mu_1 + u$, $y = \mu_2 + v$ and
# expand; the cross terms with the means vanish because $u$ and $v$ have mean zero:
#
# $$ \mathbb{E}\,\lVert x - y \rVert^2 = \lVert \mu_1 - \mu_2 \rVert^2 + \operatorname{tr} \Sigma_1 +
# \operatorname{tr} \Sigma_2 - 2 \operatorname{tr} C, \qquad C = \mathbb{E}[u v^\top]. $$ (eval-cross)
#
# Whatever the plan is, only the trace of the cross-covariance $C$ matters. How large can it be? On the line
# the Cauchy-Schwarz inequality answers: $c \le \sigma_1 \sigma_2$, reached by stretching,
# $v = (\sigma_2 / \sigma_1)\, u$, and the least cost is $(\mu_1 - \mu_2)^2 + (\sigma_1 - \sigma_2)^2$.

# %%
m1, s1, m2, s2 = -1.0, 0.5, 2.0, 1.25
axis = torch.linspace(-3, 6, 400)
u = torch.linspace(-2, 2, 9)  # standard units
PLANS = {"stretched": u, "independent": u[torch.randperm(9, generator=g)], "reversed": -u}
COST = {"stretched": 1.0, "independent": 0.0, "reversed": -1.0}  # correlation of u and v
fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.4), sharey=True)
for ax, (name, v) in zip(axes, PLANS.items(), strict=True):
    for height, mean, std, colour in ((1, m1, s1, "blue"), (0, m2, s2, "vermilion")):
        bell = 0.45 * torch.exp(-((axis - mean) ** 2) / (2 * std**2))
        sign = 1 if height else -1
        ax.fill_between(axis, height, height + sign * bell, color=PALETTE[colour], alpha=0.5, lw=0)
    ax.plot(torch.stack([m1 + s1 * u, m2 + s2 * v]), [[1] * 9, [0] * 9], color="0.4", lw=0.8)
    cost = (m1 - m2) ** 2 + s1**2 + s2**2 - 2 * COST[name] * s1 * s2  # eq. (eval-cross)
    ax.set(title=f"{name}: {cost:.2f}", xlabel="x and y", yticks=[])
    ax.grid(False)
figure(
    fig,
    alt="Three plans between a narrow bell above and a wide one below. Stretched: the lines fan out without "
    "crossing, cost 9.56. Independent: the lines cross at random, 10.81. Reversed: all lines cross in one "
    "point, 12.06.",
    caption="Three plans that carry one Gaussian to another, with the mean squared way of each. Stretching "
    "is the cheapest; its lines never cross.",
)
assert abs(gaussian_frechet(*(torch.tensor(t) for t in ([m1], [[s1**2]], [m2], [[s2**2]]))) - 9.5625) < 1e-9

# %% [markdown]
# In $D$ dimensions the constraint on $C$ is that the covariance of the pair $(u, v)$ is one: for all
# vectors $a, b$ the variance of $a^\top u + b^\top v$ is not negative. *Assume* that $\Sigma_1$ and
# $\Sigma_2$ are invertible (otherwise add a small multiple of $I$ and let it go to zero). Three steps.
#
# *What $C$ may be.* Measure in standard units: $K = \Sigma_1^{-1/2} C\, \Sigma_2^{-1/2}$. The variance
# becomes $\lVert a \rVert^2 + 2 a^\top K b + \lVert b \rVert^2$ with new $a, b$. For given $b$ its minimum
# over $a$ is at $a = -K b$, and is $\lVert b \rVert^2 - \lVert K b \rVert^2$. So $C$ is allowed exactly
# when $K$ lengthens no vector.
#
# *The best $K$.*
# $\operatorname{tr} C = \operatorname{tr} \Sigma_1^{1/2} K \Sigma_2^{1/2} = \operatorname{tr} K A$ with
# $A = \Sigma_2^{1/2} \Sigma_1^{1/2}$. Take the singular value decomposition $A = U S V^\top$ and turn the
# matrices around under the trace:
#
# $$ \operatorname{tr} K A = \operatorname{tr}\, (V^\top K U) S = \sum_i s_i\, (V^\top K U)_{ii}. $$
#
# The matrix $V^\top K U$ lengthens no vector either, so none of its entries is above $1$, and
# $\operatorname{tr} C \le \sum_i s_i$. The choice $K = V U^\top$ reaches it.
#
# *Its name.* The $s_i^2$ are the eigenvalues of $A^\top A = \Sigma_1^{1/2} \Sigma_2 \Sigma_1^{1/2}$. So the
# sum of the $s_i$ is the trace of that matrix's root, and
#
# $$ d^2 = \lVert \mu_1 - \mu_2 \rVert^2 + \operatorname{tr} \Sigma_1 + \operatorname{tr} \Sigma_2 - 2
# \operatorname{tr} \big(\Sigma_1^{1/2}\, \Sigma_2\, \Sigma_1^{1/2}\big)^{1/2}. $$ (eval-frechet)
#
# Between two **Gaussians** the best $C$ is the covariance of a Gaussian pair, so a plan exists that costs
# this, and $d^2 = W_2^2$ ([Dowson and Landau 1982](https://doi.org/10.1016/0047-259X%2882%2990077-X)).
# Papers write $(\Sigma_1 \Sigma_2)^{1/2}$: the product has the same eigenvalues, but it isn't symmetric,
# and its root by a general routine comes out complex when rounding has its way. Nobody needs a root of a
# matrix here; a sum of singular values does it.
#
# And between two distributions that are **not** Gaussian? Steps one and two never used the shape. No plan
# does better, but none need be as good ([Gelbrich 1990](https://doi.org/10.1002/mana.19901470121)).
#
# :::{prf:theorem} Gelbrich's bound
# :label: thm-gelbrich
# For any $p, q$ with means $\mu_1, \mu_2$ and covariances $\Sigma_1, \Sigma_2$,
#
# $$
# W_2^2(p, q) \;\ge\; d^2(\mu_1, \Sigma_1, \mu_2, \Sigma_2),
# $$ (eval-gelbrich)
#
# with equality for Gaussians.
# :::
#
# The **Fréchet Inception Distance**, FID, is $d^2$ between the moments of Inception's features of real
# images and of samples ([Heusel et al. 2017](https://arxiv.org/abs/1706.08500)). By {eq}`eval-gelbrich` it
# is a lower bound for a true distance between two clouds of features. See what it misses: a bent cloud
# against a Gaussian one with the same two moments, as in the [GAN chapter](03_gan.ipynb), and the true
# $W_2^2$ by a linear programme over 120 points each.


# %%
def frechet(mu1, cov1, mu2, cov2):  # eq. (eval-frechet)
    roots = []
    for cov in (cov1, cov2):
        values, vectors = torch.linalg.eigh(cov)
        roots.append(vectors * values.clamp(min=0).sqrt() @ vectors.T)
    singular = torch.linalg.svdvals(roots[1] @ roots[0])
    return ((mu1 - mu2).square().sum() + cov1.trace() + cov2.trace() - 2 * singular.sum()).item()


def moments(x):  # of the points themselves: 1/N, not 1/(N - 1)
    return x.mean(0), torch.cov(x.T, correction=0)


def with_moments_of(x, like):  # an affine map gives x the mean and covariance of `like`
    own, wanted = (torch.linalg.cholesky(moments(t)[1]) for t in (x, like))
    return like.mean(0) + (x - x.mean(0)) @ torch.linalg.inv(own).T @ wanted.T


# %%
from dgm.gan import optimal_transport


def bent(n):
    u = torch.randn(n, 2, generator=g, dtype=torch.float64)
    return torch.stack([u[:, 0], 0.3 * u[:, 1] + 0.8 * u[:, 0] ** 2 - 1], 1)


POINTS = 120
equal = torch.full((POINTS,), 1 / POINTS)
real, gauss = bent(POINTS), torch.randn(POINTS, 2, generator=g, dtype=torch.float64)
clouds = {"bent, same moments": with_moments_of(bent(POINTS), real)}
clouds |= {"Gaussian, same moments": with_moments_of(gauss, real), "bent, stretched": 1.3 * real + 0.5}
way = {}
for name, cloud in clouds.items():
    way[name] = optimal_transport(torch.cdist(real, cloud) ** 2, equal, equal).value  # eq. (eval-w2)
    d2 = frechet(*moments(real), *moments(cloud))
    print(f"{name:24s} W2² {way[name]:.3f}   Fréchet distance {d2:z.3f}")
    assert way[name] > d2 - 1e-9  # eq. (eval-gelbrich)
    assert abs(d2 - gaussian_frechet(*moments(real), *moments(cloud))) < 1e-9  # the library agrees
assert abs(way["bent, stretched"] - d2) < 1e-6  # a stretching is the best plan, Gaussian or not
assert way["Gaussian, same moments"] > 1.5 * way["bent, same moments"]

# %% [markdown]
# **What it means.** The Gaussian has the bent cloud's mean and covariance to the last digit. The Fréchet
# distance says zero. The true cost is far from zero, and it isn't only the noise of two finite samples: a
# second bent cloud with the same moments costs much less. What saves FID in practice is the eye. A deep
# network spreads what matters about an image over many features, and there a different shape mostly shows
# up as a different covariance. It's a hope and not a theorem, so every Fréchet distance must name its eye.
#
# ## 3 Derive: what a finite sample adds
#
# The moments are estimated. Let $\hat\mu, \hat\Sigma$ be those of $N$ samples of a model with $\mu, \Sigma$
# (with $N - 1$ below, so that $\mathbb{E} \hat\Sigma = \Sigma$), and keep the reference $\mu_2, \Sigma_2$
# fixed. Does the error average out? The mean's part doesn't:
# $\mathbb{E} \lVert \hat\mu - \mu_2 \rVert^2 = \lVert \mu - \mu_2 \rVert^2 + \operatorname{tr} \Sigma / N$.
# For the covariances' part, call it $B(\hat\Sigma, \Sigma_2)$, imagine many draws of $\hat\Sigma$. For each
# take the best plan between $\mathcal{N}(0, \hat\Sigma)$ and $\mathcal{N}(0, \Sigma_2)$, and mix all these
# plans. The mixture is a plan too, from a distribution with covariance $\mathbb{E} \hat\Sigma = \Sigma$ (no
# Gaussian any more) to $\mathcal{N}(0, \Sigma_2)$. It costs the average,
# $\mathbb{E} B(\hat\Sigma, \Sigma_2)$; and by {eq}`eval-gelbrich` no such plan costs less than
# $B(\Sigma, \Sigma_2)$. Together:
#
# $$ \mathbb{E}\, \hat d^2_N \;\ge\; d^2 + \frac{\operatorname{tr} \Sigma}{N} \;>\; d^2. $$ (eval-jensen)
#
# **An FID from samples is too large on average, always.** By how much? Take the case with nothing to find:
# $\mathcal{N}(0, I_D)$ against itself. Write $\hat\Sigma = I + E$ with a small symmetric $E$ of mean zero.
# The root's expansion $\sqrt{1 + e} = 1 + e/2 - e^2/8 + \dots$, applied to the eigenvalues, gives
# $B = \operatorname{tr} \hat\Sigma + D - 2 \operatorname{tr} \hat\Sigma^{1/2}$, and
# $B \approx \tfrac14 \operatorname{tr} E^2$. Off the diagonal $E_{ij}$ is an average of products of two
# independent normals, with variance $1/(N - 1)$; on it, of squares, with variance $2/(N - 1)$. So
# $\mathbb{E} \operatorname{tr} E^2 = \sum_{ij} \mathbb{E} E_{ij}^2 = D(D + 1)/(N - 1)$, and
#
# $$ \mathbb{E}\, \hat d^2_N \;\approx\; \frac{D}{N} + \frac{D (D + 1)}{4 (N - 1)} \qquad \text{for }
# \mathcal{N}(0, I_D) \text{ against itself.} $$ (eval-bias)
#
# It grows with the *square* of the dimension: there are that many covariances to get wrong. (If the
# reference has $M$ samples of its own, it adds the same with $M$.) For Inception's $D = 2048$ and
# $N = 50\,000$ the cell below prints what it would be if all features were alike and independent; where a
# few directions carry most of the variance it is less, in proportion.
#
# In general the expansion to second order in the errors of $\hat\mu$ and $\hat\Sigma$, whose covariances
# are proportional to $1/N$, has the form
#
# $$ \mathbb{E}\, \hat d^2_N = d^2_\infty + \frac{c}{N} + O\big(N^{-2}\big), $$ (eval-extrapolate)
#
# with a $c$ *that depends on the model*. Equal $N$ for all models is therefore no cure; section 12 makes
# the worse model win. A cure is to measure at several $N$ and to follow the line in $1/N$ down to $0$
# ([Chong and Forsyth 2020](https://arxiv.org/abs/1911.07023)).

# %%
from dgm.metrics import extrapolated_frechet

D = 64
origin, identity = torch.zeros(D, dtype=torch.float64), torch.eye(D, dtype=torch.float64)


def to_truth(x, _=None):  # Fréchet distance of a sample to N(0, I) itself
    return gaussian_frechet(x.mean(0), torch.cov(x.T), origin, identity)


def expected(n, d=D):  # eq. (eval-bias)
    return d / n + d * (d + 1) / (4 * (n - 1))


SIZES, REPEATS = (200, 400, 800, 1600, 3200), 8
draws = torch.randn(REPEATS, max(SIZES), D, generator=g, dtype=torch.float64)
read = torch.tensor([[to_truth(x[:n]) for n in SIZES] for x in draws])  # (REPEATS, sizes)
lines = [extrapolated_frechet(x, x, points=8, smallest=400, generator=g, distance=to_truth) for x in draws]
limits = torch.tensor([line.limit for line in lines])
for n, row in zip(SIZES, read.T, strict=True):
    print(f"N = {n:4d}: measured {row.mean():.3f} ± {row.std():.3f}, expected {expected(n):.3f}")
print(f"D = 2048, N = 50,000: expected {expected(50_000, 2048):.1f}, for a total variance of 2048")
print(f"extrapolated from N = 3200: {limits.mean():+.4f} ± {limits.std():.4f}; the truth is 0")

# %%
fig, ax = plt.subplots(figsize=(5.6, 3.0))
inverse = torch.linspace(0, 1 / 200, 100)[1:]
ax.plot(1e3 * inverse, [expected(1 / v.item()) for v in inverse], color=PALETTE["black"], label="theory")
ax.errorbar(
    [1e3 / n for n in SIZES], read.mean(0), read.std(0), fmt="o", color=PALETTE["blue"], label="measured"
)
ax.errorbar([0], limits.mean(), limits.std(), fmt="D", color=PALETTE["vermilion"], label="extrapolated")
ax.set(xlabel="1000 / N", ylabel="Fréchet distance to the truth")
ax.legend()
figure(
    fig,
    alt="The Fréchet distance of N draws of a 64-dimensional standard Gaussian to that Gaussian, against "
    f"1000/N: from {read.mean(0)[0]:.1f} at N = 200 down to {read.mean(0)[-1]:.2f} at N = 3200, on the line "
    "of theory. The extrapolated point lies at zero.",
    caption="Perfect samples, held against the truth: the fewer they are, the worse they read. Followed "
    "down in 1/N, the distance comes back to zero.",
)
spread = read.std(0) / REPEATS**0.5
for i, n in enumerate(SIZES):  # four standard errors, and the next order: D/N of the value
    assert abs(read.mean(0)[i] - expected(n)) < 4 * spread[i] + D / n * expected(n)
assert abs(limits.mean()) < read.mean(0)[-1] / 5  # most of the bias is gone
assert read.min() > 0

# %% [markdown]
# Nothing was wrong with any of these samples. They were perfect.
#
# ## 4 Derive: a distance without bias
#
# Take another distance, one whose estimate needs no root. Map every image to a long list of numbers
# $\varphi(x)$ and compare the mean lists. If $k(x, y) = \varphi(x)^\top \varphi(y)$ is easy to compute, the
# list is never written down; with $x, x'$ two *independent* draws of $p$ and $y, y'$ of $q$,
#
# $$ \mathrm{MMD}^2 = \lVert \mathbb{E} \varphi(x) - \mathbb{E} \varphi(y) \rVert^2 = \mathbb{E} k(x, x') +
# \mathbb{E} k(y, y') - 2\, \mathbb{E} k(x, y), $$ (eval-mmd)
#
# the squared **maximum mean discrepancy**
# ([Gretton et al. 2012](https://jmlr.org/papers/v13/gretton12a.html)). The **kernel distance** KID
# ([Bińkowski et al. 2018](https://arxiv.org/abs/1801.01401)) takes $k(x, y) = (x^\top y / D + 1)^3$.
# Multiply the cube out: $\varphi$ lists all products of up to three features. So means, covariances and
# also third moments are compared; a bent cloud, which is skew, is found. Each expectation is replaced by
# the average over pairs, and in the first two *a sample makes no pair with itself*, because $x$ and $x'$
# were independent:
#
# $$ \widehat{\mathrm{MMD}}{}^2 = \frac{1}{N (N - 1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{M (M - 1)} \sum_{i
# \ne j} k(y_i, y_j) - \frac{2}{N M} \sum_{i, j} k(x_i, y_j). $$ (eval-kid)
#
# Every term has the right mean, so the sum has, at every $N$. Leave the diagonal in, with $N^2$ and $M^2$
# below, and it adds
#
# $$ \mathbb{E}\, \widehat V - \mathrm{MMD}^2 = \tfrac1N \big(\mathbb{E} k(x, x) - \mathbb{E} k(x, x')\big) +
# \tfrac1M \big(\mathbb{E} k(y, y) - \mathbb{E} k(y, y')\big) \;\ge\; 0, $$ (eval-kid-diagonal)
#
# since $N^2$ pairs are $N(N - 1)$ honest ones and $N$ of the diagonal; the brackets are
# $\mathbb{E} \lVert \varphi(x) \rVert^2 - \lVert \mathbb{E} \varphi(x) \rVert^2$, the total variance of the
# list. No bias has a price: the estimate must sometimes be negative, or its mean could not be zero between
# equals.


# %%
from dgm.metrics import kernel_distance


def kid(x, y, diagonal=False):  # eq. (eval-kid); with the diagonal: the biased form
    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a):
        k, n = kernel(a, a), len(a)
        return k.mean() if diagonal else (k.sum() - k.trace()) / (n * (n - 1))

    return (within(x) + within(y) - 2 * kernel(x, y).mean()).item()


few = torch.randn(300, 2, 50, D, generator=g, dtype=torch.float64)  # 300 pairs of samples of N(0, I)
honest, biased = (torch.tensor([kid(x, y, d) for x, y in few]) for d in (False, True))
own = (few.square().sum(-1) / D + 1).pow(3).mean()  # E k(x, x)
pairs = 2 / 50 * (own - (1 + 3 / D))  # eq. (eval-kid-diagonal); E (s + 1)^3 = 1 + 3 E s^2, E s^2 = 1/D
print(f"50 against 50: without the diagonal {honest.mean():+.4f} ± {honest.std() / 300**0.5:.4f}, ", end="")
print(f"with it {biased.mean():.4f} (expected {pairs:.4f}); {(honest < 0).double().mean():.0%} are negative")
assert abs(honest.mean()) < 4 * honest.std() / 300**0.5
assert abs(biased.mean() - pairs) < 4 * biased.std() / 300**0.5
assert abs(kid(*few[0]) - kernel_distance(*few[0])) < 1e-9  # the library agrees

# %%
MEAN, STD = (
    torch.tensor([0.0, -0.2]),
    torch.tensor([1.0, 1.37**0.5]),
)  # of the bent cloud; it has no covariance


def gaussian(n):
    return MEAN + STD * torch.randn(n, 2, generator=g, dtype=torch.float64)


trials = {"another bent cloud": bent, "a Gaussian, same moments": gaussian}
for name, draw in trials.items():
    read = torch.tensor([kernel_distance(bent(300), draw(300)) for _ in range(100)])
    z = read.mean() / (read.std() / 100**0.5)
    print(f"bent cloud to {name}: kernel distance {read.mean():+.2f}, {z:+.1f} standard errors from zero")
    assert (abs(z) < 4) if draw is bent else (z > 4)  # third moments tell what the first two can't

# %% [markdown]
# ## 5 Derive: quality and coverage apart
#
# One number can't say *what* is wrong. Ask two questions instead
# ([Kynkäänniemi et al. 2019](https://arxiv.org/abs/1904.06991)). Are the samples where nature is? Is nature
# where the samples are? "Where" is estimated by balls: $B_k(x_i; X)$ stands around $x_i$ and reaches to its
# $k$-th nearest other point of $X$, so balls are small where points are dense.
#
# $$ \text{precision} = \frac1M \sum_{j} \Big[\, y_j \in \bigcup_i B_k(x_i; X) \Big], \qquad \text{recall} =
# \frac1N \sum_{i} \Big[\, x_i \in \bigcup_j B_k(y_j; Y) \Big]. $$ (eval-precision-recall)
#
# A union of balls has a weakness: a single outlier in $X$ has its neighbours far away, its ball is huge,
# and whatever falls inside counts as precise. [Naeem et al. 2020](https://arxiv.org/abs/2002.09797) count
# instead of uniting, and trust only balls around nature:
#
# $$ \text{density} = \frac{1}{k M} \sum_{j} \sum_i \big[\, y_j \in B_k(x_i; X) \big], \qquad
# \text{coverage} = \frac1N \sum_{i} \big[\, \exists j: y_j \in B_k(x_i; X) \big]. $$ (eval-density-coverage)
#
# What do these two read when the samples *are* nature? Then $x_i$'s neighbours, all $N - 1$ other real
# points and $M$ samples, come in random order of distance. *Density*: a given $y_j$ is inside the ball if
# fewer than $k$ of the other real points are nearer to $x_i$; its rank among those $N - 1$ and itself is
# uniform on $1 \dots N$, so the chance is $k/N$. Sum over $N$ balls, divide by $k$: one. *Coverage*: the
# ball is empty of samples when the nearest $k$ of the $N + M - 1$ neighbours are all real; drawing them one
# after the other,
#
# $$ \mathbb{E}\,\text{density} = 1, \qquad \mathbb{E}\,\text{coverage} = 1 - \prod_{j=1}^{k} \frac{N - j}{N
# + M - j} \;\xrightarrow{\;N = M \to \infty\;}\; 1 - 2^{-k}, $$ (eval-expected)
#
# whatever the distribution and the dimension. Precision and recall have no such rule: what they read on
# nature itself has to be measured.


# %%
from dgm.metrics import density_coverage, precision_recall


def balls(x, k):  # squared radii: the distance to the k-th other row
    return (torch.cdist(x, x) ** 2).kthvalue(k + 1, 1).values  # rank 1 is the row itself


def four_figures(x, y, k):  # eqs. (eval-precision-recall) and (eval-density-coverage)
    d2 = torch.cdist(x, y) ** 2
    in_real, in_fake = d2 <= balls(x, k)[:, None], d2 <= balls(y, k)
    shares = in_real.any(0), in_fake.any(1), in_real.double().sum(0) / k, in_real.any(1)
    return [s.double().mean().item() for s in shares]


# %%
k, many = 3, bent(800)
many = many[many[:, 0].abs() < 1.8]  # no stragglers of its own
x = many[:80]
junk = torch.tensor([0.0, 3.0]) + 0.3 * torch.randn(20, 2, generator=g, dtype=torch.float64)
y = torch.cat(
    [many[80:][many[80:, 0] < 0][:60], junk]
)  # the left half of the cloud, and 20 that are nowhere near
with_outlier = torch.cat([x, torch.tensor([[0.0, 4.0]], dtype=torch.float64)])
seen = {}
for name, points in (("as it is", x), ("one outlier in the real data", with_outlier)):
    seen[name] = four_figures(points, y, k)
    print("{}: precision {:.2f}, recall {:.2f}, density {:.2f}, coverage {:.2f}".format(name, *seen[name]))
    library = (*precision_recall(points, y, k), *density_coverage(points, y, k))
    assert max(abs(a - b) for a, b in zip(seen[name], library, strict=True)) < 1e-9
before, after = seen.values()
assert after[0] > before[0] + 0.2  # one real point makes twenty bad samples precise
assert after[2] < before[2] + 0.15  # 20 of k M = 240 counts, and a few of the arm
assert abs(after[3] - before[3]) < 0.02


# %%
def draw_balls(ax, centres, others, title):
    radii = balls(centres, k).sqrt()
    for centre, radius in zip(centres, radii, strict=True):
        ax.add_patch(plt.Circle(centre, radius, color="0.88", lw=0))
    inside = (torch.cdist(centres, others) <= radii[:, None]).any(0)
    ax.scatter(*centres.T, s=5, color="0.45")
    for which, colour in ((inside, "blue"), (~inside, "vermilion")):
        ax.scatter(*others[which].T, s=9, color=PALETTE[colour])
    ax.set(title=f"{title} {inside.double().mean():.2f}", xlim=(-3.4, 3.4), ylim=(-2.2, 5.2), xlabel="$x_1$")
    ax.set_aspect("equal")


# %%
fig, axes = plt.subplots(1, 3, figsize=(7.6, 3.1), sharey=True)
draw_balls(axes[0], x, y, "precision")
draw_balls(axes[1], y, x, "recall")
draw_balls(axes[2], with_outlier, y, "outlier: precision")
axes[0].set_ylabel("$x_2$")
figure(
    fig,
    alt="Three panels of a bent cloud. Left: grey balls around real points; samples on the left arm are "
    f"blue, a clump above is red; precision {before[0]:.2f}. Middle: balls around the samples; real points "
    f"on the right arm are red; recall {before[1]:.2f}. Right: one more real point above the clump has a "
    f"huge ball, all samples are blue; precision {after[0]:.2f}.",
    caption="Grey: the balls and their centres. Blue: inside some ball. Red: outside all. On the right, "
    "one outlier in the real data makes bad samples precise.",
)

# %% [markdown]
# ## 6 Derive: told apart, or copied?
#
# **Told apart.** Mix real images and samples, as many of each, and give one to a judge who knows all the
# others. If the judge does better than a coin, the two sets differ. The simplest judge says: same kind as
# the nearest other one ([Lopez-Paz and Oquab 2017](https://arxiv.org/abs/1610.06545)). What does it score
# with very many points? At a place with densities $p$ and $q$ a point is real with chance
# $\eta = p / (p + q)$. Its nearest neighbour lies, in the limit, at the same place, and is real with the
# same chance, independently. They agree with probability $\eta^2 + (1 - \eta)^2 = (p^2 + q^2)/(p + q)^2$.
# Average over where points are, $(p + q)/2$
# ([Cover and Hart 1967](https://doi.org/10.1109/TIT.1967.1053964)):
#
# $$ \text{accuracy} \;\longrightarrow\; \frac12 \int \frac{p(x)^2 + q(x)^2}{p(x) + q(x)}\, dx.
# $$ (eval-neighbour)
#
# One half when $p = q$ (in finite sets a hair below: there is one fewer of one's own kind), one when they
# don't overlap. The two kinds apart tell more: real images that find each other while samples find each
# other are two clouds; samples that find samples while real ones don't find real ones are repeats.
#
# **Copied.** Nothing so far has asked whether the samples were *given* to the model. A copy is too near to
# the training set: nearer than fresh real images are. Let $a_i$ be the distances of $N$ samples to their
# nearest training image, $b_j$ those of $M$ held-out images, and count $U$, the pairs in which the sample
# is the farther one. If both come from one distribution, all orders are equally likely: each pair counts
# with chance $\tfrac12$, variance $\tfrac14$. Two pairs that share one member are both counted with chance
# $\tfrac13$ (the shared one is the largest of three, or the least), a covariance of
# $\tfrac13 - \tfrac14 = \tfrac1{12}$; there are $N M (N + M - 2)$ such ordered couples of pairs; the others
# are independent. Sum up:
#
# $$ z = \frac{U - \tfrac12 N M}{\sqrt{N M (N + M + 1) / 12}}, \qquad U = \sum_{i, j} \big[a_i > b_j\big],
# $$ (eval-copying)
#
# because $\tfrac{NM}{4} + \tfrac{NM(N + M - 2)}{12} = \tfrac{NM(N + M + 1)}{12}$. It is the rank test of
# Mann and Whitney, used for this by [Meehan et al. 2020](https://arxiv.org/abs/2004.05675): far below zero
# means copies, far above means blur or noise. It's the one figure of this chapter that must know the
# training set.


# %%
from dgm.metrics import neighbour_test


def on_the_line(shift):  # q = N(shift, 1) against p = N(0, 1); eq. (eval-neighbour) by a sum over cells
    t = torch.linspace(-8, 8 + shift, 8001, dtype=torch.float64)
    p, q = (torch.exp(-((t - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (0.0, shift))
    return (0.5 * (p**2 + q**2) / (p + q)).sum().item() * (t[1] - t[0]).item()


for shift in (0.0, 1.0, 3.0):
    real_1d, fake_1d = torch.randn(2, 2000, 1, generator=g, dtype=torch.float64)
    measured = neighbour_test(real_1d, fake_1d + shift).accuracy
    print(f"N(0, 1) and N({shift:.0f}, 1): accuracy {measured:.3f}, limit {on_the_line(shift):.3f}")
    assert abs(measured - on_the_line(shift)) < 4 * 0.5 * math.sqrt(2 / 4000)  # neighbours come in pairs

# %% [markdown]
# ## 7 Likelihood: exact, bound, importance-weighted
#
# The other road needs no eye: $-\log p(x)$ on held-out images, in bits per dimension (divide by
# $D \log 2$), as in every chapter. Four families state it and mean different things. An autoregressive
# model states it exactly. A flow on grey levels and a diffusion model state a bound, a VAE another one. A
# bound says "at most": a bound of one model that is lower than the exact value of another settles the
# matter; the other way round, nothing is settled.
#
# The VAE chapter tightened [the bound](02_vae.ipynb#vae-iwae) with $K$ weights, of mean $p(x)$. As an
# instrument it has an error that can be estimated. Let $\bar w$ be the average of $K$ weights and
# $\delta = \bar w / p - 1$, of mean zero and variance $\operatorname{Var}(w)/(K p^2)$. From
# $\log(1 + \delta) = \delta - \delta^2/2 + \dots$,
#
# $$ \mathbb{E} \log \Big( \frac1K \sum_{k=1}^{K} w_k \Big) = \log p(x) - \frac{\operatorname{Var}(w)}{2 K\,
# p(x)^2} + O\big(K^{-2}\big). $$ (eval-iw)
#
# Halve the error by twice the draws; but the variance must exist, and for an encoder that is *narrower*
# than the posterior it need not. Where the truth is known one can watch: probabilistic principal components
# of the digits, $x = \mu + W z + s\,\varepsilon$, have an exact $p(x)$ and a Gaussian posterior. Let the
# encoder have the right mean and $\gamma$ times the right covariance. Then $w/p(x)$ has, for each of $J$
# latents, the second moment $\gamma / \sqrt{2\gamma - 1}\,$ (a Gaussian integral), and the ELBO's gap is
# $\tfrac J2 (\gamma - 1 - \log \gamma)$, so that all three are known.

# %%
J, GAMMA, KS = 8, 1.6, (1, 4, 16, 64)
pixels = [s.x.flatten(1).double() for s in (splits[0], splits[2])]
pixels = [
    x + torch.rand(x.shape, generator=g, dtype=torch.float64) for x in pixels
]  # no longer whole numbers
mean, values = pixels[0].mean(0), torch.linalg.eigh(torch.cov(pixels[0].T))
noise_var = values[0][:-J].mean()
W = values[1][:, -J:] * (values[0][-J:] - noise_var).sqrt()  # (64, J)
exact = torch.distributions.MultivariateNormal(mean, W @ W.T + noise_var * torch.eye(64)).log_prob(pixels[1])
cov_z = torch.linalg.inv(torch.eye(J) + W.T @ W / noise_var)
encoder = torch.distributions.MultivariateNormal((pixels[1] - mean) @ W @ cov_z / noise_var, GAMMA * cov_z)
z = encoder.mean + torch.randn(max(KS) * 8, len(exact), J, generator=g).double() @ encoder.scale_tril[0].T
log_w = -((pixels[1] - mean - z @ W.T) ** 2).sum(2) / (2 * noise_var) - 32 * (2 * math.pi * noise_var).log()
log_w += -0.5 * z.square().sum(2) - J / 2 * math.log(2 * math.pi) - encoder.log_prob(z)  # (512, 447)
average = {K: (log_w - exact).exp().reshape(-1, K, len(exact)).mean(1) for K in KS}  # over p(x): of mean 1
gap = {K: (v - 1 - v.log()).mean().item() for K, v in average.items()}  # v - 1 adds nothing but quiet
relative_var = (GAMMA / math.sqrt(2 * GAMMA - 1)) ** J - 1
print(f"exact {bits_per_dim(-exact.mean().item(), 64):.3f} bits/dim; below the exact log p, in nats:")
for K in KS:
    print(f"K = {K:2d}: {gap[K]:.4f}; eq. (eval-iw) says {relative_var / (2 * K):.4f}")
assert abs(gap[1] - J / 2 * (GAMMA - 1 - math.log(GAMMA))) < 0.01  # the ELBO's gap
assert abs(gap[64] - relative_var / 128) < 0.15 * relative_var / 128

# %% [markdown]
# **What it means.** From some 16 draws on the estimate behaves as the formula says, and a fit in $1/K$
# would finish the job, as in section 3. (It's the same story: a curved function of an average.) A bound
# should be reported with its $K$.
#
# ## 8 Likelihood and samples may disagree
#
# One model of the comparison in section 15 is trained here, live: the VAE, with a quarter of its steps. Its
# two bounds on the 447 test images come from the same 200 draws each.

# %%
from dgm.recipes import RECIPES

LIVE, SEED = "VAE", 0
recipe = RECIPES[LIVE]
model = recipe.train(SEED, recipe.budget("quarter"), progress=True)
x_test = splits[2].x  # (447, 1, 8, 8)
log_w = model.log_weights(x_test)  # (200, 447) nats
log_p = log_mean_exp(log_w, 0)  # (447,) the importance-weighted bound of each image
live_bits = {
    "bound": bits_per_dim(-log_w.mean().item(), 64),
    "importance-weighted bound": bits_per_dim(-log_p.mean().item(), 64),
}
rng = torch.Generator().manual_seed(SEED)
drawn = torch.cat([model.sample(100, rng) for _ in range(12)])  # as the record's samples were drawn
print({kind: round(bits, 3) for kind, bits in live_bits.items()}, "bits per dimension")
assert live_bits["importance-weighted bound"] < live_bits["bound"]

# %% [markdown]
# Two constructions show that its likelihood and its samples are different things
# ([Theis et al. 2016](https://arxiv.org/abs/1511.01844)). The chapter on [flows for images](06_glow.ipynb)
# met each at one strength; here each has a knob.
#
# **Spoil the samples.** Draw from $p$ with probability $\lambda$, otherwise from noise $n(x)$. Drop the
# second term of the mixture:
#
# $$ -\log\big(\lambda\, p(x) + (1 - \lambda)\, n(x)\big) \;\le\; -\log p(x) + \log \tfrac1\lambda.
# $$ (eval-mixture)
#
# At $\lambda = 0.01$ no more than $\log 100 = 4.6$ nats *per image* are lost, a tenth of a bit per
# dimension at 64 dimensions, two thousandths at 3072; and 99 of 100 samples are noise.
#
# **Spoil the likelihood.** Learn the training images $x_1, \dots, x_N$ by heart and put a Gaussian of width
# $s$ around each. A mean is at most its largest term, so with $d(x)$ the distance to the nearest one,
#
# $$ -\log \Big( \frac1N \sum_{n=1}^{N} \mathcal{N}(x;\, x_n, s^2 I) \Big) \;\ge\; \frac{d(x)^2}{2 s^2} +
# \frac D2 \log 2 \pi s^2. $$ (eval-lookup)
#
# As $s \to 0$ the samples become real digits to the last level, and minus the log-likelihood of any new
# image grows like $1/s^2$. Turn $s$ up and it falls again, while noise covers the samples. Before you run
# the cell: as the two knobs are turned, which way does each path run in the plane of bits and Fréchet
# distance?

# %%
f_held = see(torch.cat([splits[1].x, x_test]))  # the 797 images that no model has seen
histogram = F.one_hot(splits[0].x.flatten(1).long(), 17).float().sum(0) + 0.1  # (64, 17)
histogram = (histogram / histogram.sum(1, keepdim=True)).log()
log_noise = histogram.expand(447, -1, -1).gather(2, x_test.flatten(1).long()[..., None]).sum((1, 2))
noise = torch.multinomial(histogram.exp(), 1200, True, generator=g).T.reshape(-1, 1, 8, 8)
spoilt = {}  # share of the model -> bits per dimension, Fréchet distance to the held-out images
for share in (1.0, 0.5, 0.1, 0.01):
    mixed = torch.logaddexp(log_p + math.log(share), log_noise + math.log(max(1 - share, 1e-30)))
    assert (mixed >= log_p - math.log(1 / share) - 1e-6).all()  # eq. (eval-mixture)
    kept = round(share * 1200)
    x = torch.cat([drawn[:kept], noise[kept:]])
    spoilt[share] = bits_per_dim(-mixed.mean().item(), 64), frechet_distance(see(x), f_held)

by_heart = {}  # width s in grey levels -> the same two figures
centres = splits[0].x.flatten(1).double() + 0.5  # a level is a cell of width 1
x_cell = x_test.flatten(1) + torch.rand(447, 64, generator=g, dtype=torch.float64)
d2 = torch.cdist(x_cell, centres) ** 2  # (447, 1000)
for s in (0.15, 0.3, 0.6, 1.0, 1.5, 2.5, 4.0, 8.0):
    constant = 32 * math.log(2 * math.pi * s**2)
    nats = constant - log_mean_exp(-d2 / (2 * s**2), 1)
    assert (nats >= d2.amin(1) / (2 * s**2) + constant - 1e-9).all()  # eq. (eval-lookup)
    x = centres + s * torch.randn(centres.shape, generator=g, dtype=torch.float64)
    x = x.floor().clamp(0, 16).reshape(-1, 1, 8, 8)
    by_heart[s] = bits_per_dim(nats.mean().item(), 64), frechet_distance(see(x), f_held)

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.6))
for path, colour, label, unit in (
    (spoilt, "vermilion", "the VAE, mixed with noise", "{:.0%}"),
    (by_heart, "blue", "by heart, width s", "s = {:g}"),
):
    ax.plot(*zip(*path.values(), strict=True), "o-", color=PALETTE[colour], label=label)
    for knob, point in path.items():
        ax.annotate(unit.format(knob), point, (5, 4), textcoords="offset points", fontsize=8)
ax.set(xscale="log", yscale="log", xlabel="test bits per dimension", ylabel="Fréchet distance to held-out")
ax.set_xticks([2, 3, 5, 10, 20, 50, 100], ["2", "3", "5", "10", "20", "50", "100"])
ax.set_yticks([25, 50, 100, 200, 400], ["25", "50", "100", "200", "400"])
ax.minorticks_off()
ax.legend()
figure(
    fig,
    alt="Bits per dimension against Fréchet distance, both on logarithmic axes. The VAE mixed with noise "
    f"runs almost straight up, from {spoilt[1.0][0]:.2f} bits and distance {spoilt[1.0][1]:.0f} to "
    f"{spoilt[0.01][0]:.2f} bits and {spoilt[0.01][1]:.0f}. The model by heart runs almost level to the "
    f"right as s falls: at s = 0.15 it has {by_heart[0.15][0]:.0f} bits, distance {by_heart[0.15][1]:.0f}.",
    caption="Two ways to spoil a model. Noise in place of samples hardly costs bits; a memory of images "
    "loses its likelihood as its samples get better.",
)

# %%
best_width = min(by_heart, key=lambda s: by_heart[s][0])
print(f"by heart, the most likely width is s = {best_width}: Fréchet distance {by_heart[best_width][1]:.0f}")
assert spoilt[0.01][0] - spoilt[1.0][0] < math.log2(100) / 64 + 1e-6
assert spoilt[0.01][1] > 5 * spoilt[1.0][1]
assert by_heart[0.15][0] > 20 * by_heart[best_width][0]
assert by_heart[best_width][1] > 1.3 * by_heart[0.15][1]
assert best_width > 1

# %% [markdown]
# **Where to look.** One path runs up, the other to the right. Along the first, a hundredfold change in the
# share of noise is a tenth of a bit. Along the second, the *best* likelihood that a memory of images can
# have belongs to noisy samples, clearly worse than those of a memory with almost no likelihood at all.
# Neither axis can stand in for the other.
#
# Turn the second knob yourself. Stop where the digits look best, and read off what the likelihood thinks of
# them; then stop where the likelihood is best, and look at the digits.


# %%
def draw_width(s):
    rng = torch.Generator().manual_seed(8)  # the same twelve images and the same noise at every width
    x = centres[:12] + s * torch.randn(12, 64, generator=rng, dtype=torch.float64)
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9), width_ratios=(1, 1.25))
    image_grid(x.floor().clamp(0, 16).reshape(-1, 1, 8, 8), columns=4, ax=left, value_range=(0, 16))
    right.plot(*zip(*by_heart.values(), strict=True), "o-", color=PALETTE["sky"])
    right.plot(*by_heart[s], "o", ms=10, color=PALETTE["vermilion"])
    right.set(xscale="log", xlabel="test bits per dimension", ylabel="Fréchet distance to held-out")
    right.set_xticks([2, 3, 5, 10, 20, 50, 100], ["2", "3", "5", "10", "20", "50", "100"])
    right.minorticks_off()
    return fig


# %%
frames(
    draw_width,
    list(by_heart),
    label="width s, grey levels",
    start=1.0,
    alt=lambda s: (
        f"Left: twelve images learnt by heart, drawn with noise of {s:g} grey levels. Right: the path of "
        f"that model; here {by_heart[s][0]:.1f} bits per dimension and distance {by_heart[s][1]:.0f}."
    ),
    caption="Turn the width, and read both sides: the digits are at their best where the likelihood is at "
    "its worst.",
)

# %% [markdown]
# ## 9 Meet the library
#
# The functions of this chapter agreed with `dgm.metrics` where both ran. The library's Fréchet distance
# never forms a root either; it factors the covariances, so that fewer samples than features are no special
# case. One function the chapter didn't write: {eq}`eval-copying`, with two searches in a sorted list in the
# place of $N M$ comparisons.

# %%
from dgm.metrics import copying_z

show(copying_z)

# %% [markdown]
# ## 10 Run: planted faults, and who sees them
#
# Now the faults of the opening, each at three strengths, and thirteen figures for each. Thirteen units
# can't be compared, so measure everything in one: deal the 1797 images afresh thirty times, take nature
# itself as the machine, and note mean and standard deviation of each figure. A fault's **z-score** is its
# distance from that mean in those standard deviations, averaged over four deals, with the sign turned so
# that positive means *judged worse than nature*.
#
# Two columns answer to labels: the share of samples in which the classifier agrees with the label that was
# asked for, and the Fréchet distance of features joined with the label (one of ten numbers set to 10;
# [DeVries et al. 2019](https://arxiv.org/abs/1907.08175)). One column repeats a common habit: the Fréchet
# distance to the *training* set.


# %%
from dgm.metrics import class_entropy, class_shares


def joined(features, y):
    return torch.cat([features, 10 * F.one_hot(y, 10).double()], 1)


def all_figures(x, y, reference, training):  # every figure, larger is worse
    f, logits, real = see(x), verdicts(x), f_all[reference]
    quality, robust = precision_recall(real, f), density_coverage(real, f)
    return {
        "Inception Score": -inception_score(logits),
        "class entropy": -class_entropy(class_shares(logits)),
        "Fréchet": frechet_distance(f, real),
        "Fréchet to training": frechet_distance(f, f_all[training]),
        "kernel": kernel_distance(f, real),
        "precision": -quality.precision,
        "recall": -quality.recall,
        "density": -robust.density,
        "coverage": -robust.coverage,
        "nearest neighbour": neighbour_test(real, f).accuracy,
        "copying z": copying_z(f, real, f_all[training]),
        "label agreement": -(logits.argmax(1) == y).double().mean().item(),
        "Fréchet with label": frechet_distance(joined(f, y), joined(real, y_all[reference])),
    }


# %%
def measure(fault, strength, seeds):  # (len(seeds), figures)
    rows = [all_figures(*plant(fault, strength, seed), *deal(seed)[:2]) for seed in seeds]
    return torch.tensor([list(row.values()) for row in rows], dtype=torch.float64), list(rows[0])


# %%
FAULTS = {
    "blur": (0.25, 0.5, 1.0),
    "noise": (0.5, 1.0, 2.0),
    "dropped classes": (1, 2, 4),
    "repeats": (2, 9, 45),
    "copies": (0.1, 0.3, 1.0),
    "swapped labels": (2, 4, 10),
}
nature, METRICS = measure("nothing", 0, range(30))
centre, scale = nature.mean(0), nature.std(0)
z = {}  # (fault, strength) -> metric -> z-score
for fault, strengths in FAULTS.items():
    for strength in strengths:
        values = ((measure(fault, strength, range(4))[0] - centre) / scale).mean(0)
        z[fault, strength] = dict(zip(METRICS, values.tolist(), strict=True))
own = [f"{metric} {abs(value):.2f}" for metric, value in zip(METRICS, centre, strict=True)]
print("nature:", ", ".join(own[:7]) + ",\n       ", ", ".join(own[7:]))


# %%
def heat_map(table, rows, columns, size):  # table: row -> column -> z-score
    values = torch.tensor([[table[row][column] for column in columns] for row in rows])
    fig, ax = plt.subplots(figsize=size)
    step = torch.bucketize(values, torch.tensor([-10.0, -5, -3, 3, 5, 10]))  # 0..6
    ax.imshow(step, cmap=plt.get_cmap("PuOr_r", 9), vmin=-1.5, vmax=7.5, aspect="auto")
    for i, line in enumerate(values):
        for j, value in enumerate(line):
            style = {"weight": "bold" if abs(value) > 3 else None, "color": "w" if abs(value) > 10 else "k"}
            ax.text(j, i, f"{value:z.0f}", ha="center", va="center", fontsize=8, **style)
    ax.set_xticks(range(len(columns)), columns, rotation=35, ha="left", fontsize=8)
    ax.set_yticks(range(len(rows)), [f"{fault} {strength:g}" for fault, strength in rows], fontsize=8)
    ax.xaxis.tick_top()
    ax.grid(False)
    return fig


seen_by = {row: [m for m in METRICS if z[row][m] > 3] for row in z}
figure(
    heat_map(z, list(z), METRICS, (7.6, 6.2)),
    alt="A table of z-scores, faults in rows, metrics in columns. Seen with a z-score above 3: "
    + "; ".join(f"{f} {s:g} by {', '.join(seen_by[f, s]) or 'none'}" for f, s in z)
    + ".",
    caption="Planted faults, as thirteen metrics see them: z-scores against nature. Orange: judged worse; "
    "violet: better. Colours change at 3, 5 and 10.",
)

# %% [markdown]
# **Where to look.** Read the columns, and each metric shows its character. *Precision* has nothing against
# dropped classes, repeats or copies, and *density* even praises a slight blur: blurred images keep to the
# middle of the crowd. *Recall* and *coverage* see what is missing first. The *Inception Score* and the
# *class entropy* react to dropped classes like nothing else, and ten pictures for ever please them. The
# *Fréchet distance* sees much, but none of the faults at their weakest before others do, and not the
# labels. Read the rows: copies are seen by nothing but the figure that knows the training set (where violet
# is the alarm), and the Fréchet distance *to training* pays a reward for them; swapped labels are seen only
# where labels are asked for; noise of half a grey level is seen by nothing at all. No column is free of
# white.


# %%
def score(row, *metrics):
    return [z[row][metric] for metric in metrics or METRICS]


BLIND = 3  # z-scores of nature itself, means of four, scatter by a half
assert max(map(abs, score(("noise", 0.5)))) < BLIND
assert min(score(("blur", 1.0), "Fréchet", "kernel", "precision", "recall", "coverage")) > 5
assert score(("blur", 0.25), "density")[0] < -2
assert score(("blur", 0.25), "recall")[0] > 4
for dropped in FAULTS["dropped classes"]:
    row = ("dropped classes", dropped)
    assert min(score(row, "Inception Score", "class entropy")) > 10
    others = [m for m in METRICS if m not in ("Inception Score", "class entropy")]
    assert z[row]["class entropy"] > 2 * max(score(row, *others))
    assert min(score(row, "Fréchet", "recall", "coverage")) > BLIND
    assert max(map(abs, score(row, "precision", "density", "label agreement"))) < BLIND
assert min(score(("repeats", 2), "recall", "coverage", "nearest neighbour")) > 5
assert score(("repeats", 2), "Fréchet")[0] < BLIND
assert score(("repeats", 45), "Inception Score")[0] < -2
assert score(("repeats", 45), "Fréchet")[0] > 10

# %%
for row in (("blur", 0.25), ("dropped classes", 1), ("repeats", 2)):
    assert max(score(row)) > z[row]["Fréchet"] + 2
unaware = [m for m in METRICS if m not in ("copying z", "Fréchet to training")]
assert max(map(abs, score(("copies", 1.0), *unaware))) < BLIND
assert score(("copies", 1.0), "copying z")[0] < -15
assert score(("copies", 1.0), "Fréchet to training")[0] < -2
unlabelled = [m for m in METRICS if "label" not in m]
for swapped in FAULTS["swapped labels"]:
    assert max(map(abs, score(("swapped labels", swapped), *unlabelled))) < BLIND
    assert min(score(("swapped labels", swapped), "label agreement", "Fréchet with label")) > BLIND

# %% [markdown]
# ## 11 Whose eyes?
#
# The table above belongs to one eye. Give the Fréchet distance others: the pixels themselves; the same
# network before any training; and a network that was built to ignore left and right (the mean of the
# trained features of an image and of its mirror image). Two new faults join, mirrored digits and fainter
# ink. Before you run the cell: which eye is best?

# %%
from dgm.metrics import DigitsClassifier
from dgm.nn import seeded

with seeded(0):
    newborn = DigitsClassifier().eval().requires_grad_(False)
EYES = {
    "trained": see,
    "pixels": lambda x: x.flatten(1).double(),
    "untrained": lambda x: newborn.features(to_pm1(x, 17)).double(),
    "mirror-blind": lambda x: (see(x) + see(x.flip(3))) / 2,
}
LOOKS = [
    ("blur", 0.5),
    ("noise", 2.0),
    ("dropped classes", 2),
    ("repeats", 9),
    ("mirrored", 1),
    ("fainter", 4),
]


# %%
def look(fault, strength, seed):
    if fault == "mirrored":
        return plant("nothing", 0, seed)[0].flip(3)
    if fault == "fainter":
        return (plant("nothing", 0, seed)[0] - strength).clamp(min=0)
    return plant(fault, strength, seed)[0]


# %%
looked = {row: {} for row in LOOKS}
for name, features in EYES.items():
    reference = [features(x_all[deal(seed)[0]]) for seed in range(20)]
    plain = torch.tensor([frechet_distance(features(look("nothing", 0, s)), reference[s]) for s in range(20)])
    for row in LOOKS:
        read = [frechet_distance(features(look(*row, s)), reference[s]) for s in range(4)]
        looked[row][name] = (sum(read) / 4 - plain.mean().item()) / plain.std().item()

# %%
figure(
    heat_map(looked, LOOKS, list(EYES), (4.8, 2.9)),
    alt="z-scores of the Fréchet distance with four feature extractors. "
    + "; ".join(
        f"{f}: " + ", ".join(f"{e} {v:.0f}" for e, v in row.items()) for (f, _), row in looked.items()
    )
    + ".",
    caption="The Fréchet distance of six faults, as four eyes see them; z-scores and colours as in section "
    "10. No eye is the best for all faults.",
)
assert abs(looked["mirrored", 1]["mirror-blind"]) < BLIND < looked["mirrored", 1]["trained"]
assert looked["noise", 2.0]["trained"] < BLIND < looked["noise", 2.0]["pixels"]
assert looked["blur", 0.5]["untrained"] > 2 * looked["blur", 0.5]["trained"]

# %% [markdown]
# **What it means.** There is no best eye, only eyes for something. A classifier was *trained* not to mind
# noise. Pixels mind every smudge, and what they mind need not matter to anybody; the untrained network sees
# much as they do. A network whose task or training has no use for a difference can't report it: the
# mirror-blind one finds nothing wrong with mirrored digits. Inception learnt to tell a thousand kinds of
# things in photographs, from images flipped at random. So state the eye with every number, and never
# compare numbers from two eyes.

# %% [markdown]
# For colour photographs the usual eye is Inception v3
# ([Szegedy et al. 2016](https://arxiv.org/abs/1512.00567)), trained on ImageNet. It needs 104 MB of weights
# and minutes of a core for a thousand images, so it is for the full budget, and nothing is fetched without
# your consent. The library's weights are torchvision's; published FIDs were taken with others, and by the
# last paragraph are not to be compared. The cell takes two halves of 2000 photographs, and one of the
# halves blurred.

# %%
CONSENT = False  # True: fetch 104 MB of weights, and CIFAR-10 (170 MB) into `folder`
folder, weights = Path("data"), None  # the weights' path; None for the place where torchvision keeps them
if budget(cpu=False, full=True):
    from dgm.data import cifar10
    from dgm.metrics import inception_v3_features

    try:
        inception = inception_v3_features(weights, download=CONSENT)
        photos = to_pm1(cifar10(folder, "test", download=CONSENT).x[:2000], 256)
        one, two = inception.features(photos, progress=True).split(1000)
        soft = inception.features(blur(photos[:1000], 0.5), progress=True)
        print(f"Fréchet distance in Inception's features, 1000 photographs against 1000 others: real "
              f"{frechet_distance(one, two):.1f}, blurred {frechet_distance(soft, two):.1f}")  # fmt: skip
    except (FileNotFoundError, ConnectionError) as missing:
        print(missing)
else:
    print("DGM_BUDGET=full measures photographs with Inception v3")

# %% [markdown]
# ## 12 Break it: too few samples
#
# By {eq}`eval-extrapolate` the bias depends on the model. Let machine A be nature, $\mathcal{N}(0, I)$ in
# 64 dimensions, and let machine B shrink everything, $y = 0.9\,x$: a model that plays safe, the kind that
# one gets by truncation or a low temperature. With the scale $s$ the expansion of section 3 gives
#
# $$ \mathbb{E}\, \hat d^2_N \;\approx\; D (1 - s)^2 + \frac{s^2 D}{N} + \frac{s D (D + 1)}{4 (N - 1)}. $$
#
# B is truly $0.64$ away, but what it gets wrong for lack of samples is smaller, because its cloud is.
# Before you run the cell: solve for the $N$ at which they read alike.


# %%
def expected_at(scale, n):  # scale = 1: eq. (eval-bias)
    return D * (1 - scale) ** 2 + scale**2 * D / n + scale * D * (D + 1) / (4 * (n - 1))


trials = {}
for n in (90, 130, 180, 260, 400):
    a, b = (
        torch.tensor([to_truth(scale * torch.randn(n, D, generator=g).double()) for _ in range(40)])
        for scale in (1.0, 0.9)
    )
    trials[n] = a, b
    print(f"N = {n}: A {a.mean():.2f}, B {b.mean():.2f}; B reads better in {(b < a).double().mean():.0%}")

# %%
crossing = next(n for n in range(70, 1000) if expected_at(0.9, n) > expected_at(1.0, n))
print(f"theory: below N = {crossing} the worse machine reads better")
lines = {}
for scale in (1.0, 0.9):
    samples = scale * torch.randn(30, 180, D, generator=g, dtype=torch.float64)
    lines[scale] = [
        extrapolated_frechet(x, x, points=8, smallest=90, generator=g, distance=to_truth).limit
        for x in samples
    ]
right = torch.tensor(lines[1.0]) < torch.tensor(lines[0.9])
print(f"extrapolated from N = 180: the better machine reads better in {right.double().mean():.0%}")
assert (trials[90][1] < trials[90][0]).double().mean() > 0.75
assert (trials[400][1] < trials[400][0]).double().mean() < 0.1
assert 130 < crossing < 260
assert right.double().mean() > 0.7

# %% [markdown]
# With the same $N$ for both, and well below the crossing, the worse machine wins nearly always. That is no
# bad luck, it's the expected value. Extrapolation puts the order right. With digits nobody gave us
# $d^2_\infty$, but shrinking towards the mean image is worse than nature, whatever the metric says:

# %%
reference_and_training, pool = torch.cat(deal(0)[:2]), deal(0)[2]
f_real, f_pale = f_all[pool], see(0.9 * x_all[pool] + 0.1 * x_all.mean(0))
wrong = {}
for n in (25, 50, 100, 200, 450):
    pairs = [
        [frechet_distance(f[pick(torch.arange(len(pool)), g, n)], f_all[reference_and_training]) for f in two]
        for two in [(f_real, f_pale)] * 40
    ]
    wrong[n] = sum(pale < real for real, pale in pairs) / 40
print("share of trials in which the paler digits win:", {n: f"{share:.0%}" for n, share in wrong.items()})
assert wrong[25] > 0.25
assert wrong[450] < 0.1

# %% [markdown]
# ## 13 Break it: a perfect score by heart
#
# A "model" that returns training images costs nothing to train. Score it as every model of section 15 is
# scored, beside the live VAE of section 8.

# %%
from dgm.recipes import sample_figures

copies = splits[0].x[torch.randint(1000, (1200,), generator=g)]
figures_of = {"the live VAE": sample_figures(drawn), "by heart": sample_figures(copies)}
print(f"{'':18s}" + "".join(f"{name:>14s}" for name in figures_of))
for key in figures_of["by heart"]:
    print(f"{key:18s}" + "".join(f"{row[key]:14.2f}" for row in figures_of.values()))
f_train, f_live = see(splits[0].x), see(drawn)
print(f"copying z: by heart {copying_z(see(copies), f_held, f_train):+.1f}, ", end="")
print(f"the live VAE {copying_z(f_live, f_held, f_train):+.1f}")
memory, honest_model = figures_of["by heart"], figures_of["the live VAE"]
for key in ("frechet", "frechet_held_out", "kid"):
    assert memory[key] < honest_model[key]
for key in ("precision", "density", "coverage"):
    assert memory[key] > honest_model[key] + 0.1
assert memory["apart"] == 0
assert honest_model["apart"] > 0.5

# %% [markdown]
# By heart is closer to nature than the VAE, measured on the training images *and* on held-out ones, and
# more precise, denser, and covers more. Only the distance to the nearest training image gives it away
# (`apart`: in units of a held-out image's; $0$ for copies). (Its recall isn't the higher one. The VAE's
# samples are scattered, so the balls around *them* are wide and catch almost all of nature: the outliers of
# section 5, from the other side.) One caution about the last line: these held-out images come from other
# writers than the training images, so honest new work by the training set's writers would read somewhat
# below zero too. A copying test wants held-out images from the same source, like the shuffled heaps of
# section 10.
#
# ## 14 Break it: another way to resize
#
# Before an image reaches the eye it is resized, stored, rounded. Take pictures of 32 by 32 pixels (the
# digits, enlarged) and let five common ways reduce them to 8 by 8: means over blocks, two ways that filter
# first, and two that look up the nearest pixels only, as several libraries do by default
# ([Parmar et al. 2022](https://arxiv.org/abs/2104.11222)). *The images are the same.* One half of them,
# reduced by block means, is the reference; the other half is "the model". A last row rounds to four grey
# levels.

# %%
big = F.interpolate(x_all, scale_factor=4, mode="bicubic", align_corners=False).clamp(0, 16)
WAYS = {
    "block means": F.avg_pool2d(big, 4),
    "bicubic, filtered": F.interpolate(big, size=8, mode="bicubic", antialias=True),
    "bilinear, filtered": F.interpolate(big, size=8, mode="bilinear", antialias=True),
    "bicubic": F.interpolate(big, size=8, mode="bicubic"),
    "nearest": F.interpolate(big, size=8, mode="nearest"),
    "4 grey levels": (F.avg_pool2d(big, 4) * 3 / 16).round() * 16 / 3,
}
f_ways = {name: see(x.clamp(0, 16)) for name, x in WAYS.items()}
moved = {}  # mean over four deals into halves
for name, f in f_ways.items():
    read = []
    for seed in range(4):
        order = torch.randperm(len(x_all), generator=torch.Generator().manual_seed(seed))
        read.append(frechet_distance(f[order[:898]], f_ways["block means"][order[898:]]))
    moved[name] = sum(read) / 4
print("; ".join(f"{name} {distance:.1f}" for name, distance in moved.items()))
assert moved["nearest"] > 5 * moved["block means"]
assert moved["bicubic"] > 2 * moved["block means"]
assert moved["bicubic, filtered"] < 1.5 * moved["block means"]

# %%
shown = torch.cat([x[:12] for x in WAYS.values()]).clamp(0, 16)
figure(
    image_grid(to_pm1(shown, 17), columns=12, row_labels=[f"{n}: {d:.0f}" for n, d in moved.items()]),
    alt="Six rows with the same twelve digits, reduced in six ways, with their Fréchet distances: "
    + ", ".join(f"{n} {d:.0f}" for n, d in moved.items())
    + ". The row of nearest pixels is rougher; the others look alike.",
    caption="The same images reduced in six ways, with their Fréchet distance to the block means of the "
    "other half. Looks hardly differ, distances do.",
)

# %% [markdown]
# The images are the same, and a default in a resizing routine moves the distance ninefold. The next section
# will say how that compares with the differences between models. The remedy is dull: reference and samples
# go through the *same* code, and the code goes with the number.
#
# ## 15 The comparison
#
# Textbooks end with a table of words: GANs are *sharp* and *unstable*, VAEs *cover* and *blur*, flows are
# *exact*, diffusion is *good* and *slow*. Let every word be measured. `bench/compare.py` trains six
# families on the 1000 training digits, without labels, with settings that were chosen on validation data;
# each gets the same time on one core, and several seeds. What it wrote is committed with the chapter, and
# everything below is drawn from that file.

# %%
from scipy import stats

from dgm.recipes import fingerprint

record = json.loads(Path("results/compare.json").read_text())
done, settings = record["provenance"], record["settings"]
budgets = [b for b in ("full", "quarter") if all(b in row for row in record["summary"].values())]
BUDGET = budgets[0]
summary = {family: row[BUDGET] for family, row in record["summary"].items()}
runs = {f: [c for c in record["cells"] if (c["family"], c["budget"]) == (f, BUDGET)] for f in summary}
anchors = {row["name"]: row for row in record["anchors"]}
print(f"{done['command']}, {done['date']}, commit {done['commit']}, torch {done['versions']['torch']}")
print(f"budget: {settings['budgets_cpu_s'][BUDGET]} CPU-seconds of training; seeds {done['seeds']};", end=" ")
print(f"{settings['samples']} samples, k = {settings['neighbours']}, to the 1000 training images")
print(textwrap.fill("a run ends well if " + settings["ends_well"], 100))
assert record["families"][LIVE]["fingerprint"] == fingerprint(recipe)  # the record is of this recipe


# %%
def entry(row, key, digits):  # mean ± standard deviation over seeds
    if key not in row:
        return "-"
    if not isinstance(row[key], dict):
        return f"{row[key]:.{digits}f}"
    return f"{row[key]['mean']:.{digits}f}±{row[key]['std']:.{digits}f}"


def bits_of(family):  # -> (what kind of figure, statistics over the seeds), or None
    kind = record["families"][family].get("bits_kind")
    return (kind, summary[family][f"bits: {kind}"]) if kind else None


QUALITY = {"frechet": 1, "frechet_held_out": 1, "kid": 1, "precision": 2, "density": 2, "recall": 2}
QUALITY |= {"coverage": 2, "apart": 2}
NAMES = {key: key for key in QUALITY} | {"frechet_held_out": "held-out"}
print(f"{'':24s}" + "".join(f"{key:>10s}" for key in NAMES.values()))
for name, row in [*summary.items(), *anchors.items()]:
    print(f"{name:24s}" + "".join(f"{entry(row, key, digits):>10s}" for key, digits in QUALITY.items()))

# %%
print(f"{'bits/dim':>23s}{'samples/s':>37s}   parameters   classes   runs that end well")
for family, row in summary.items():
    kind, bits = bits_of(family) or ("no likelihood", None)
    print(f"{family:15s}{'' if bits is None else format(bits['mean'], '.3f'):>8s} {kind:26s}", end="")
    print(f"{row['samples_per_cpu_s']['mean']:10.0f}{row['parameters']['mean'] / 1e3:11.0f} k", end="")
    print(f"{row['classes']['least']:5.0f} to {row['classes']['most']:.0f}", end="")
    print(f"{row['ends_well']:14.0%} of {row['seeds']}")

# %% [markdown]
# Read the anchors first. *Random parts*: what nature reads against nature, at these numbers, when the
# writers are mixed. *Held-out images*: what nature reads when the hands are others. *Training images,
# redrawn*: what copies read. A model that reads like the first does what can be asked of it (it may even
# read a little less: its 1200 samples carry less bias than the 797 of a part, by section 3); one that reads
# like the third should be asked whether it copies.

# %%
PANELS = {
    "frechet": "Fréchet distance",
    "precision": "precision",
    "recall": "recall",
    "coverage": "coverage",
    "apart": "apart from training",
    "least_class_percent": "rarest class, %",
    "samples_per_cpu_s": "samples per CPU-second",
    "bits": "bits per dimension",
}
families, COLOURS = list(summary), list(PALETTE.values())

# %%
fig, axes = plt.subplots(2, 4, figsize=(7.8, 4.4), sharey=True)
for ax, (key, title) in zip(axes.flat, PANELS.items(), strict=True):
    for row, family in enumerate(families):
        values = [c[key] for c in runs[family]]
        if key == "bits":
            values = [c["bits"][bits_of(family)[0]] for c in runs[family]] if bits_of(family) else []
        ax.plot(values, [row] * len(values), "o", ms=4, alpha=0.7, color=COLOURS[row])
    if key in anchors["random parts"]:
        ax.axvline(anchors["random parts"][key], color="0.5", ls="--", lw=1)
    if key == "samples_per_cpu_s":
        ax.set_xscale("log")
    ax.set_title(title, fontsize=9)
    ax.set_yticks(range(len(families)), families, fontsize=8)
    ax.tick_params(axis="x", labelsize=8)
axes[0, 0].invert_yaxis()
means = "; ".join(f"{f} {row['frechet']['mean']:.1f}" for f, row in summary.items())
figure(
    fig,
    alt="Eight panels, one for each figure, families in rows, a dot for each seed; dashed lines mark nature "
    f"against nature. Mean Fréchet distances: {means}. GANs have no dots under bits per dimension.",
    caption="One dot is one run. Dashed: what nature reads against nature, writers mixed. No family leads "
    "in every panel.",
)

# %% [markdown]
# The live model of section 8 was a run of the small budget, a quarter of the steps. Does it lie where the
# record says? On the machine that wrote the record it is the same run, draw for draw; on another one,
# rounding makes it a fresh one.

# %%
small = record["summary"][LIVE]["quarter"]
live = figures_of["the live VAE"] | {f"bits: {kind}": bits for kind, bits in live_bits.items()}
n = small["seeds"]
band = stats.t.ppf(0.9995, n - 1) * math.sqrt(1 + 1 / n)  # a fresh run lies within with probability 0.999
for key in ("frechet", "frechet_held_out", "precision", "recall", "coverage", *(k for k in live if ":" in k)):
    recorded = small[key]
    print(f"{key:32s} live {live[key]:7.3f}   recorded {recorded['mean']:.3f} ± {recorded['std']:.3f}")
    assert abs(live[key] - recorded["mean"]) < band * recorded["std"]
gap_to = {f: abs(row["quarter"]["frechet"]["mean"] - live["frechet"]) for f, row in record["summary"].items()}
assert min(gap_to, key=gap_to.get) == LIVE  # nearer to its own family than to any other

# %% [markdown]
# ### Words and columns
#
# Now the words. *Sharp*: precision. *Covers*: coverage, and the share of the rarest class. *Fast*: samples
# per CPU-second. *Stable*: the share of runs that end well, and the spread of the Fréchet distance over
# seeds as a part of its mean. *Likely*: bits per dimension, where there are any. *New*: the distance from
# the training set. Every word becomes an order of the six families.

# %%
WORDS = {
    "good": ("frechet", False),
    "sharp": ("precision", True),
    "covers": ("coverage", True),
    "fair": ("least_class_percent", True),
    "fast": ("samples_per_cpu_s", True),
    "new": ("apart", True),
}


def order_by(value, largest_first):
    return sorted(families, key=value, reverse=largest_first)


orders = {w: order_by(lambda f, k=k: summary[f][k]["mean"], up) for w, (k, up) in WORDS.items()}
orders["stable"] = order_by(
    lambda f: (-summary[f]["ends_well"], summary[f]["frechet"]["std"] / summary[f]["frechet"]["mean"]), False
)
likely = [f for f in families if bits_of(f)]
orders["likely"] = sorted(likely, key=lambda f: bits_of(f)[1]["mean"])


# %%
def before_or_alike(word, a, b):  # " > ", or " ≈ " where two standard errors of the difference cover it
    if word == "stable":
        return " > "
    pair = [bits_of(f)[1] if word == "likely" else summary[f][WORDS[word][0]] for f in (a, b)]
    error = math.sqrt(sum(s["std"] ** 2 for s in pair) / summary[a]["seeds"])
    return " ≈ " if abs(pair[0]["mean"] - pair[1]["mean"]) < 2 * error else " > "


for word, order in orders.items():
    links = [before_or_alike(word, a, b) + b for a, b in itertools.pairwise(order)]
    print(f"{word:7s}", order[0] + "".join(links))
GANS = ("GAN", "WGAN-GP")
assert set(orders["fast"][:2]) == set(GANS)
assert orders["fast"][-1] == "diffusion"
assert all(summary[f]["ends_well"] == 1 for f in GANS)
assert min(summary[f]["frechet"]["mean"] for f in GANS) < 2 * anchors["random parts"]["frechet"]
nature_apart = anchors["random parts"]["apart"]
assert min(summary[f]["apart"]["mean"] for f in GANS) > 0.9 * nature_apart  # new images, no copies
precision = {f: row["precision"]["mean"] for f, row in summary.items()}
assert precision["VAE"] > max(precision["flow"], precision["autoregressive"]) + 0.12  # half of the gap
assert orders["likely"][0] == "autoregressive"

# %% [markdown]
# **Reputation against record.** *Fast* holds: a GAN draws in one pass through a small network. *Unstable*
# doesn't: every run of either GAN ended well. The GAN chapter broke one on purpose; with its cures in place
# nothing of that is left on these data. *Blurred* doesn't hold for the VAE either: its precision is near
# the GANs' and far above that of the flow and of the autoregressive model. Blur is what one sees when a
# paper shows the means of the pixels; these samples are draws, noisy rather than soft. *Exact* holds, and
# see how little it says about the samples. *Slow* holds for diffusion; *good* depends on how long it
# trains, and this is the budget at which to read it.
#
# One word is missing: **latent space**. A GAN's noise has some numbers, and no way back from an image to
# them; an autoregressive model has no code; a flow's and a diffusion model's have as many numbers as the
# image. What is a code good for? A sharp test: what lies halfway between the codes of two images? The
# [flow chapter](06_glow.ipynb) and the [chapter on sampling](08_guidance.ipynb) did it for theirs; here is
# the live VAE, against its own reconstructions and against the halves of pixels.

# %%
with torch.no_grad():
    held = torch.cat([splits[1].x, x_test]).float()
    code = model.network.encode(held)[0]  # (797, 16): the means
    partner = torch.randperm(len(held), generator=g)
    middles = {"at the codes": code, "halfway between two codes": (code + code[partner]) / 2}
    halfway = {k: model.network.observation.sample(model.network.decode(z), g) for k, z in middles.items()}
halfway["halfway between pixels"] = (held + held[partner]) / 2
halfway = {name: frechet_distance(see(x.float()), f_held) for name, x in halfway.items()}
print({name: round(value, 1) for name, value in halfway.items()})
noise_numbers = record["families"]["GAN"]["recipe"]["latents"]
print(f"numbers in a code: VAE {code.shape[1]}, GANs {noise_numbers}, flow and diffusion {x_test[0].numel()}")
assert halfway["at the codes"] < halfway["halfway between two codes"] < halfway["halfway between pixels"]


# %%
def draw_families():
    fig, axes = plt.subplots(1, 3, figsize=(7.8, 3.0))
    for row, family in enumerate(families):
        style = {"color": COLOURS[row], "marker": "osD^vP"[row], "ms": 6, "ls": "none", "capsize": 2}
        s, bits = summary[family], bits_of(family)
        pairs = [("samples_per_cpu_s", "frechet"), ("recall", "precision")]
        for ax, (h, v) in zip(axes, pairs, strict=False):
            ax.errorbar(s[h]["mean"], s[v]["mean"], s[v]["std"], s[h]["std"], label=family, **style)
        if bits:
            fd = s["frechet"]
            axes[2].errorbar(bits[1]["mean"], fd["mean"], fd["std"], bits[1]["std"], **style)
    axes[0].set(xscale="log", xlabel="samples per CPU-second", ylabel="Fréchet distance")
    axes[1].set(xlabel="recall", ylabel="precision")
    axes[2].set(xlabel="test bits per dimension", ylabel="Fréchet distance")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=6, fontsize=7.5)
    return fig


# %%
figure(
    draw_families(),
    alt="Three scatter plots of six families with error bars over seeds. Speed against Fréchet distance; "
    "recall against precision; bits per dimension against Fréchet distance for the four families that have "
    "a likelihood. "
    + "; ".join(
        f"{f}: {s['samples_per_cpu_s']['mean']:.0f} samples/s, Fréchet {s['frechet']['mean']:.1f}, "
        f"precision {s['precision']['mean']:.2f}, recall {s['recall']['mean']:.2f}"
        for f, s in summary.items()
    )
    + ".",
    caption="Six families, with error bars over seeds. Right: among those with a likelihood, the one with "
    "the fewest bits is not the nearest to nature.",
)
fewest_bits = min(likely, key=lambda f: bits_of(f)[1]["mean"])
nearest_fd = min(likely, key=lambda f: summary[f]["frechet"]["mean"])
print(f"fewest bits: {fewest_bits}; least Fréchet distance of those with bits: {nearest_fd}")
assert fewest_bits != nearest_fd
speed = {f: row["samples_per_cpu_s"]["mean"] for f, row in summary.items()}
assert min(speed["GAN"], speed["WGAN-GP"]) > 5 * max(speed[f] for f in likely)

# %% [markdown]
# **Where to look.** On the left, speed spans three powers of ten and says nothing about quality. In the
# middle, recall is high for all and precision is not: few real images are out of any family's *reach*, but
# many of its samples are out of place. On the right, among the families that state a likelihood, the one
# with the fewest bits isn't the one nearest to nature. Section 8 built such a case; here nobody did.
#
# How large are these differences, measured by section 14? Between two families there are fifteen:

# %%
values = [row["frechet"]["mean"] for row in summary.values()]
gaps = torch.tensor([abs(a - b) for i, a in enumerate(values) for b in values[:i]])
for name in ("bilinear, filtered", "bicubic", "nearest"):
    shift = moved[name] - moved["block means"]
    smaller = int((gaps < shift).sum())
    print(f"{name}: moves the distance by {shift:.1f}, more than {smaller} of 15 pairs differ by")
assert moved["nearest"] - moved["block means"] > gaps.median()

# %% [markdown]
# ## 16 What to use when
#
# The table replaces adjectives by columns, and columns answer to purposes. So ask first what the model is
# for.
#
# *To say how probable something is*: for compression, for finding what doesn't belong, for weighing one
# model against another. Then only the families with bits count, and "exact" outranks "bound". The
# autoregressive model has the fewest bits here and pays at sampling, one pixel after the other. A flow
# gives density and sample in one pass each.
#
# *To draw many samples, fast, with nobody asking for probabilities*: the GANs. On these digits, with the
# settings that the [GAN chapter](03_gan.ipynb) arrived at, they come as near to nature as nature itself,
# are fastest by far, and every run ended well. What they leave out they won't tell: read recall, coverage
# and the rarest class.
#
# *To have a code*: the VAE, whose encoder gives 16 numbers for an image, and a bound besides. Where the
# code must be undone exactly, a flow ([flows for images](06_glow.ipynb) measured how exactly it inverts); a
# diffusion model's code is that of an ODE ([sampling and guidance](08_guidance.ipynb) measured the round
# trip).
#
# *To steer*: diffusion. It is the slowest to sample here, and the table doesn't contain what it is chosen
# for: no column measures guidance, which bends a trained model towards a wish, and no row has the budgets
# at which it made its name.
#
# The small print is the point of this chapter. One data set of 8 by 8 digits, one core, at most a minute:
# at another scale the order may change. What carries over is the procedure: equal budgets, no choosing on
# test data, several seeds, anchors from nature on both sides, the eye by name, a test for copies, and the
# raw record beside the table.
#
# **A route through the course**, by question. What is a distribution, and why would one want it?
# [Start](00_start.ipynb). A hidden cause: [autoencoders](01_autoencoder.ipynb), [VAEs](02_vae.ipynb). A
# judge instead of a density: [GANs](03_gan.ipynb), [Wasserstein GANs](04_wgan.ipynb). An exact density:
# [flows](05_flow.ipynb), [flows for images](06_glow.ipynb),
# [autoregressive models](09_autoregressive.ipynb). Small steps: [diffusion](07_diffusion.ipynb),
# [guidance](08_guidance.ipynb). And this chapter, to be read again whenever somebody shows you a number.
#
# ## 17 Think
#
# 1. One paper reports FID 2.1, from 50,000 samples against the statistics of the training set. Another
#    reports 2.4, from 10,000 against held-out images. Which model is better?
#
# :::{admonition} Answer
# :class: dropdown
#
# Nobody can say. By {eq}`eval-jensen` the second number contains more bias, and by {eq}`eval-extrapolate`
# not even the same amount for both models. The first rewards memory (section 13). And neither says which
# resizing it used. Ask for samples, or for both numbers under one protocol.
#
# :::
#
# 2. Two samples of $\mathcal{N}(0, I_D)$, each of size $N$, are compared with each other. What does the
#    Fréchet distance read on average? Why can the kernel distance of *random parts*, in section 15, be
#    negative, and their Fréchet distance not?
#
# :::{admonition} Answer
# :class: dropdown
#
# Twice {eq}`eval-bias`: both means err by $D/N$ together $2D/N$, and the covariances differ by $E_1 - E_2$,
# whose expected square is the sum of both. The kernel distance has no bias, {eq}`eval-kid`, so between
# equals it scatters around zero on both sides. The Fréchet distance is a squared distance of two Gaussians,
# which is never negative; so between equals it can only err upwards.
#
# :::
#
# 3. A model has precision 1 and recall 0.02. Another has precision 0.02 and recall 1. Describe a model of
#    either kind that isn't the trivial one.
#
# :::{admonition} Answer
# :class: dropdown
#
# First: a GAN that has collapsed onto a few faultless images, or any model sampled at a very low
# temperature. Second: a model whose samples lie around nature on all sides, such as digits under heavy
# noise. Its own balls are wide, and by {eq}`eval-precision-recall` recall is measured with *those*. The VAE
# of section 13 goes that way.
#
# :::
#
# 4. In section 8 the most likely width of the memory is a few grey levels, at which its samples look noisy.
#    Why does the likelihood want them noisy?
#
# :::{admonition} Answer
# :class: dropdown
#
# By {eq}`eval-lookup` a held-out image pays $d^2/2s^2$, and $d^2$, a sum over 64 pixels, is large even for
# the nearest training image. Setting the derivative to zero gives $s^2 = d^2/D$: the width must explain, as
# noise in every pixel, the difference between two people's handwriting. A likelihood pays for covering what
# is new; a memory can only cover it with noise.
#
# :::
#
# 5. Your sampler has a knob that moves every sample a little towards the mean. Which columns of section 10
#    get better, which worse? What would you report?
#
# :::{admonition} Answer
# :class: dropdown
#
# Precision and density get better (the crowd is in the middle), recall and coverage worse; the Inception
# Score may rise, as doubtful samples vanish. The Fréchet distance has a minimum somewhere, and with few
# samples, by section 12, too far towards the mean. Report the curve, not the best point, or fix the knob on
# validation data.
#
# :::
#
# 6. Somebody trains a generator to lower the Fréchet distance directly, in Inception's features. What do
#    you expect, and what would you check?
#
# :::{admonition} Answer
# :class: dropdown
#
# The number will fall, as the score of section 1 did under its own gradient, and further than the images
# improve: only two moments in one eye's features are asked for. Check with another eye, with the kernel
# distance, with precision and coverage, and by looking.
#
# :::
#
# **Exercises**: [exercises/10_evaluation.ipynb](../exercises/10_evaluation.ipynb) asks you for the
# Inception Score from logits, for the distance of two Gaussians and for the kernel distance without bias;
# it has you mend precision, recall and coverage, derive how many samples a fair comparison takes when
# features are unlike, predict a model that is likely and draws noise, and mend
# [a report of bits per dimension](../exercises/10_evaluation.ipynb#exercise-10-7).
#
# **References.** [Salimans et al. 2016](https://arxiv.org/abs/1606.03498),
# [Heusel et al. 2017](https://arxiv.org/abs/1706.08500) and
# [Bińkowski et al. 2018](https://arxiv.org/abs/1801.01401) for the three scores;
# [Dowson and Landau 1982](https://doi.org/10.1016/0047-259X%2882%2990077-X) and
# [Gelbrich 1990](https://doi.org/10.1002/mana.19901470121) for section 2;
# [Chong and Forsyth 2020](https://arxiv.org/abs/1911.07023) for the bias;
# [Kynkäänniemi et al. 2019](https://arxiv.org/abs/1904.06991) and
# [Naeem et al. 2020](https://arxiv.org/abs/2002.09797) for balls;
# [Lopez-Paz and Oquab 2017](https://arxiv.org/abs/1610.06545) and
# [Meehan et al. 2020](https://arxiv.org/abs/2004.05675) for section 6;
# [Theis et al. 2016](https://arxiv.org/abs/1511.01844) for section 8;
# [Parmar et al. 2022](https://arxiv.org/abs/2104.11222) for section 14. The numbered equations are tested
# in `tests/equations/test_evaluation.py`.
