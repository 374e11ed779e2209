# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Generative adversarial networks
#
# **The question.** Below are three clouds of points. The first comes from nature, the other two from
# forgers. The second has the same mean and the same covariance as the first, to the last digit. Still you
# see at once which forger is better. You computed no density and no divergence; you *looked for a
# difference*. Can looking be trained, and can a forger learn from being found out?
#
# **You will be able to** derive what the best judge answers and what it means to fool it; say why the loss
# in the textbook is not the loss in the code; place the game in a table of divergences, each with its own
# judge; train a GAN on digits, and tell from numbers, not from its losses, whether it works; produce mode
# collapse on purpose and measure what helps.
#
# **You need** the chapters [Start here](00_start.ipynb) (Kullback-Leibler divergence) and, for comparison,
# [Variational autoencoders](02_vae.ipynb). **It takes** two and a half hours to read with pencil and paper,
# and about a minute to run on a laptop.

# %%
import math

import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from coursekit import PALETTE, budget, figure, frames, image_grid, show, use_style
from dgm.data import Batches, load_digits, to_pm1
from dgm.data.toy2d import GaussianMixture, lattice
from dgm.metrics import (
    class_entropy,
    class_shares,
    classes_covered,
    digits_features,
    frechet_distance,
    nearest_distances,
)
from dgm.nn import EMA, MLP, seeded

use_style()
torch.set_num_threads(1)  # networks this small gain nothing from a second thread
g = torch.Generator().manual_seed(0)

# %% [markdown]
# The truth here is a Gaussian cloud that has been bent, $x_2 \leftarrow x_2 + c\,x_1^2$. Bending shifts
# every vertical line by itself, so it changes no areas, and the density stays known exactly. We shall need
# that. The same five numbers (a shift and a scale for either axis, and the bend) make a small generator: it
# turns noise $z$ into a point.


# %%
class Bent(nn.Module):
    """z ~ N(0, I) to x = (u1, u2 + bend u1^2) with u = shift + scale z; its density is known."""

    def __init__(self, shift, scale, bend):
        super().__init__()
        self.shift, self.bend = nn.Parameter(torch.tensor(shift)), nn.Parameter(torch.tensor(bend))
        self.log_scale = nn.Parameter(torch.tensor(scale).log())

    def forward(self, z):  # (B, 2) -> (B, 2)
        u1, u2 = (self.shift + self.log_scale.exp() * z).unbind(1)
        return torch.stack([u1, u2 + self.bend * u1**2], 1)

    def log_prob(self, x):  # (B, 2) -> (B,); the bend has determinant one
        u = torch.stack([x[:, 0], x[:, 1] - self.bend * x[:, 0] ** 2], 1)
        z = (u - self.shift) / self.log_scale.exp()
        return -0.5 * z.square().sum(1) - self.log_scale.sum() - math.log(2 * math.pi)


# %%
truth = Bent([0.0, -1.0], [1.0, 0.5], 0.6).requires_grad_(False)
x_real = truth(torch.randn(1500, 2, generator=g))
centred = torch.randn(1500, 2, generator=g)
centred = (centred - centred.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(centred.T)).T)
first = x_real.mean(0) + centred @ torch.linalg.cholesky(torch.cov(x_real.T)).T  # same mean and covariance
second = Bent([0.2, -0.9], [0.9, 0.6], 0.5).requires_grad_(False)(torch.randn(1500, 2, generator=g))
fig, axes = plt.subplots(1, 3, figsize=(7.4, 2.7), sharex=True, sharey=True)
for ax, points, title in zip(axes, (x_real, first, second), ("nature", "forger A", "forger B"), strict=True):
    ax.scatter(*points.T, s=3, alpha=0.4, color=PALETTE["blue" if title == "nature" else "vermilion"])
    ax.set(title=title, xlim=(-4, 4), ylim=(-4, 6))
figure(
    fig,
    alt="Three clouds of points. Nature: bent like a banana. Forger A: a round cloud with the same mean and "
    "covariance, not bent. Forger B: a slightly wider, slightly flatter banana.",
    caption="Points from nature and from two forgers. Forger A has nature's mean and covariance to the last "
    "digit, and forger B is the better one all the same.",
)
assert torch.allclose(torch.cov(first.T), torch.cov(x_real.T), atol=1e-3)

# %% [markdown]
# A loss that compares means and covariances calls forger A perfect. To choose *in advance* what to compare
# is the mistake. Let a network choose.
#
# ## 1 Derive: a game
#
# *Assume* that the data have a density $p(x)$, from which we only hold samples. A **generator** $G$ turns
# noise $z \sim \mathcal{N}(0, I)$ into samples $G(z)$; their density is called $q(x)$, and nobody needs to
# be able to compute it. A **discriminator** $D(x) \in (0, 1)$, the judge, states its belief that $x$ came
# from nature. It sees as many real samples as forged ones and is scored by log-likelihood, like any
# classifier of two classes. It wants the score high; the generator wants it low
# ([Goodfellow et al. 2014](https://arxiv.org/abs/1406.2661)):
#
# $$ \min_G \max_D V(D, G), \qquad V(D, G) = \mathbb{E}_{x \sim p}\big[\log D(x)\big] +
# \mathbb{E}_{z}\big[\log\big(1 - D(G(z))\big)\big]. $$ (gan-minimax)
#
# A judge who knows nothing answers $\tfrac12$ and scores $-\log 4$. A judge who is never wrong scores $0$.
#
# Two things are new against the VAE. No formula says how to compare an image with an image: that comparison
# is learnt. And the gradient reaches the generator *through* the judge, who tells it not only that a sample
# looks wrong but in which direction it would look less wrong.
#
# ## 2 Derive: the best judge
#
# Hold $G$ fixed. Write both expectations in {eq}`gan-minimax` as integrals over $x$ (the second is an
# average over samples of $q$, so $z$ drops out):
#
# $$ V(D, G) = \int p(x) \log D(x) + q(x) \log\big(1 - D(x)\big)\, dx. $$
#
# Nothing ties $D$ at one $x$ to $D$ at another, so maximise the integrand at each $x$ by itself. With
# $a = p(x)$, $b = q(x)$ and $y = D(x)$, the derivative of $a \log y + b \log(1 - y)$ is $a/y - b/(1 - y)$,
# zero where $a(1 - y) = b y$; the second derivative $-a/y^2 - b/(1 - y)^2$ is negative, so this is the
# maximum.
#
# :::{prf:proposition} The best judge
# :label: prop-best-judge
# Against a fixed generator $V(D, G)$ is largest for
#
# $$
# D^\star(x) = \frac{p(x)}{p(x) + q(x)} = \varsigma\big(\log p(x) - \log q(x)\big),
# $$ (gan-optimal-discriminator)
#
# with $\varsigma$ the sigmoid.
# :::
#
# (It is Bayes' rule for "which of two sources?" at even odds.) Read it from right to left: **a trained
# judge's logit is an estimate of the log-ratio of two densities that we can't compute.** That's the engine
# of everything that follows.
#
# ## 3 Derive: what the generator minimises
#
# Put the best judge back. With the mixture $m = (p + q)/2$ we have $D^\star = p/(2m)$ and
# $1 - D^\star = q/(2m)$, so
#
# $$ V(D^\star, G) = \mathbb{E}_p \log\frac{p}{2m} + \mathbb{E}_q \log\frac{q}{2m} = \mathrm{KL}(p\,\|\,m) +
# \mathrm{KL}(q\,\|\,m) - 2\log 2 = 2\,\mathrm{JS}(p, q) - \log 4, $$ (gan-value-js)
#
# where $\mathrm{JS}(p, q) = \tfrac12 \mathrm{KL}(p \| m) + \tfrac12 \mathrm{KL}(q \| m)$ is the
# **Jensen-Shannon divergence** ([Lin 1991](https://doi.org/10.1109/18.61115)). A KL divergence is never
# negative, and zero only between equals; so $\mathrm{JS} \ge 0$ with equality exactly when $p = m = q$.
#
# :::{prf:theorem} The optimum of the game
# :label: thm-optimum
# Against the best judge the score never falls below $-\log 4$. It is $-\log 4$ exactly where $q = p$, and
# there $D^\star = \tfrac12$ everywhere.
# :::
#
# And since $V$, an average of logarithms of probabilities, is never positive, JS is at most $\log 2$,
# reached when $p$ and $q$ nowhere overlap. (A lower loss is better for the generator, and now you know its
# scale: from $0$ down to $-1.386$.)
#
# ## 4 Write and run: a game whose answer we know
#
# Usually $D^\star$ is out of reach because $q$ is. Our bent generator has a density, so for once we can put
# the learnt judge beside the best one while both players move. The judge is a network with two hidden
# layers. The loop is the game: a step of $D$ uphill, a step of $G$ downhill (which loss exactly, the next
# section says). Note the `detach`: the judge's step must not move the forger.


# %%
def log_d(logit):  # log D = log sigmoid(l) = -softplus(-l); log(1 - D) = -softplus(l): never log 0
    return -F.softplus(-logit)


def judge_loss(real_logit, fake_logit):  # minus the integrand of eq. (gan-minimax): (B,), (B,) -> (B,)
    return -(log_d(real_logit) + log_d(-fake_logit))


class Judge(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.net = MLP([2, width, width, 1])

    def forward(self, x):  # (B, 2) -> (B,) logits
        return self.net(x)[:, 0]


def adam(net, rate, beta=0.5):
    return torch.optim.Adam(net.parameters(), lr=rate, betas=(beta, 0.99), fused=True)


def descend(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


# %% [markdown]
# Every hundred steps we compute, on a grid of cells, the value that the judge reaches, $V(D, G)$, and the
# value of the best judge, {eq}`gan-value-js`. By definition the first is never above the second, but for
# the error of the grid.

# %%
BOX = (-5.0, 5.0, -4.0, 7.0)
points = lattice(BOX, 100)  # (10000, 2), the centres of the cells
CELL = 10 * 11 / len(points)
p_cells = truth.log_prob(points).exp() * CELL  # probabilities of the cells


def best_logit(generator, x):  # eq. (gan-optimal-discriminator), before the sigmoid
    return truth.log_prob(x) - generator.log_prob(x)


@torch.no_grad()
def value_on_grid(generator, logit):  # V(D, G), eq. (gan-minimax) as a sum over cells
    q_cells = generator.log_prob(points).exp() * CELL
    return (p_cells * log_d(logit) + q_cells * log_d(-logit)).sum().item()


# %%
with seeded(0):
    judge = Judge()
forger = Bent([1.0, 2.0], [0.4, 0.8], 0.0)
optimiser_d, optimiser_g = adam(judge, 5e-3), adam(forger, 3e-3)
STEPS, EVERY = budget(cpu=1400, full=3000), 100
game = {}
for i in range(STEPS + 1):
    if i % EVERY == 0:
        with torch.no_grad():
            learnt, best = judge(points), best_logit(forger, points)
            cloud = forger(torch.randn(400, 2, generator=g))
        game[i] = learnt, best, cloud, value_on_grid(forger, learnt), value_on_grid(forger, best)
    real = truth(torch.randn(160, 2, generator=g))
    fake = forger(torch.randn(160, 2, generator=g))
    descend(optimiser_d, judge_loss(judge(real), judge(fake.detach())).mean())
    fake_logit = judge(forger(torch.randn(160, 2, generator=g)))
    descend(optimiser_g, -log_d(fake_logit).mean())  # -log D(G(z)): section 5 says why


# %%
def draw_game(i):
    learnt, best, cloud, *_ = game[i]
    fig, axes = plt.subplots(1, 3, figsize=(7.8, 2.9), width_ratios=[1, 1, 1.15])
    for ax, logit, title in ((axes[0], learnt, "learnt judge"), (axes[1], best, "best judge")):
        grid = logit.sigmoid().view(100, 100)
        ax.imshow(grid, vmin=0, vmax=1, extent=BOX, origin="lower", aspect="auto", cmap="cividis")
        ax.scatter(*x_real[:400].T, s=1.5, color="black", alpha=0.7)
        ax.scatter(*cloud.T, s=1.5, color=PALETTE["vermilion"])
        ax.set(title=title, xlim=BOX[:2], ylim=BOX[2:])
        ax.grid(False)
    axes[2].plot(list(game), [row[4] for row in game.values()], color=PALETTE["black"], label="best judge")
    axes[2].plot(list(game), [row[3] for row in game.values()], "--", color=PALETTE["sky"], label="learnt")
    axes[2].axhline(-math.log(4), color="0.6", lw=1)
    axes[2].axvline(i, color=PALETTE["vermilion"], lw=1)
    axes[2].set(xlabel="step", title="value V, nats", ylim=(-1.45, 0.05))
    axes[2].legend(fontsize=8)
    return fig


# %%
SHOWN = [i for i in (0, 100, 200, 400, 600, 800, 1000, 1400) if i in game]
frames(
    draw_game,
    SHOWN,
    label="step",
    start=400,
    alt=lambda i: (
        f"Step {i}. Left and middle: the learnt and the best judge's belief over the plane, with real points "
        f"in black and forged ones in red. Right: the value over training; here the judge has "
        f"{game[i][3]:.3f}, the best judge {game[i][4]:.3f} nats; the grey line is minus log 4."
    ),
    caption="The learnt judge beside the best possible one, bright for nature and dark for forgery. Where "
    "there are points the two soon agree, and at the end neither can tell.",
)

# %% [markdown]
# **Where to look.** Bright is "nature", dark is "forgery". Where there are points, the learnt judge soon
# agrees with the best; far from all points it says whatever its network happens to say, and nobody punishes
# it. Move to the end: the forged cloud has bent, and the judge has faded to grey, $D = \tfrac12$. Nobody
# told the generator that there was a bend.

# %%
late = [i for i in game if i >= 200]
gaps = [game[i][4] - game[i][3] for i in late]
print(f"best minus learnt value: at most {max(gaps):.3f} nats from step 200 on")
best_value = game[STEPS][4]
print(f"forger: bend {forger.bend.item():.2f}, truth 0.60; last value of the best judge {best_value:.4f}")
assert min(row[4] - row[3] for row in game.values()) > -1e-5  # no judge beats the best one
assert max(gaps) < 0.05  # the judge keeps up: a few hundredths of a nat on a scale of 1.39
assert -math.log(4) - 0.001 < best_value < -math.log(4) + 0.03  # the global optimum, nearly

# %% [markdown]
# ## 5 Derive: which gradient?
#
# The forger's term in {eq}`gan-minimax` is $\log(1 - D(G(z)))$. Write $D = \varsigma(\ell)$ with the logit
# $\ell = \ell(G_\theta(z))$. Since $\log(1 - \varsigma(\ell)) = -\operatorname{softplus}(\ell)$ has the
# derivative $-\varsigma(\ell)$, and $-\log \varsigma(\ell) = \operatorname{softplus}(-\ell)$ has
# $-(1 - \varsigma(\ell))$,
#
# $$ \nabla_\theta \log(1 - D) = -D\;\nabla_\theta \ell, \qquad \nabla_\theta \big[-\log D\big] = -(1 -
# D)\;\nabla_\theta \ell. $$ (gan-saturating-gradient)
#
# Both push the logit of the forged sample *up*. They differ in how hard. At the start of training forgeries
# are poor and the judge is sure, $D(G(z)) \approx 0$: the minimax loss **saturates**, just where the forger
# has most to learn. The second, **non-saturating** loss pushes hardest there. Every code uses it.
#
# It's no longer the game of section 3, though. What does it minimise? Take one step against the best judge
# of the present generator $\theta_0$, held fixed. From {eq}`gan-optimal-discriminator`,
# $-\log D^\star = \log\frac{p + q_{\theta_0}}{p}$ $= \log\frac{q_{\theta_0}}{p} - \log(1 - D^\star)$. Average
# over $q_\theta$ and differentiate at $\theta = \theta_0$. The first part is the gradient of
# $\mathrm{KL}(q_\theta \| p)$: what is missing is
# $\mathbb{E}_{q_\theta} \nabla_\theta \log q_\theta = \nabla_\theta \int q_\theta = 0$. The second is minus
# that of $V(D^\star, G_\theta)$ with $D^\star$ held fixed; and letting $D^\star$ move along would add
# nothing, for at the maximum over $D$ the value is flat. With {eq}`gan-value-js`,
#
# $$ \nabla_\theta\, \mathbb{E}_{q_\theta}\big[-\log D^\star\big] = \nabla_\theta
# \big[\mathrm{KL}(q_\theta\,\|\,p) - 2\,\mathrm{JS}(p, q_\theta)\big] $$ (gan-non-saturating)
#
# ([Arjovsky and Bottou 2017](https://arxiv.org/abs/1701.04862)). A *reverse* KL: the start chapter showed
# its taste. It punishes forgeries where nature has none, and hardly minds what the forger leaves out; the
# subtracted JS leans the same way. Remember this when modes go missing.
#
# See it where all is known: $p = \mathcal{N}(0, 1)$, $q_\theta = \mathcal{N}(\theta, 1)$. Then
# $\ell^\star(x) = \theta^2/2 - \theta x$ and the slope of $\ell^\star$ is $-\theta$ everywhere, so by
# {eq}`gan-saturating-gradient` the two gradients are $\theta\,\mathbb{E}_q[D^\star]$ and
# $\theta\,\mathbb{E}_q[1 - D^\star]$. Before you run the cell: a forger that is six standard deviations
# off, with the best judge. How much gradient is left of either?

# %%
x = torch.linspace(-30, 40, 14_001, dtype=torch.float64)  # a grid for integrals, 0.005 apart
dx = (x[1] - x[0]).item()


def log_normal(x, mean, std=1.0):
    return -0.5 * ((x - mean) / std) ** 2 - math.log(std) - 0.5 * math.log(2 * math.pi)


def two_js(theta):  # V(D*, G) + log 4
    log_p, log_q = log_normal(x, 0.0), log_normal(x, theta)
    best = log_p - log_q
    return ((log_p.exp() * log_d(best) + log_q.exp() * log_d(-best)).sum() * dx).item() + math.log(4)


THETAS = torch.linspace(0.1, 8, 80).tolist()
saturating, non_saturating = [], []
for theta in THETAS:
    best = theta**2 / 2 - theta * x
    belief = ((log_normal(x, theta) + log_d(best)).exp().sum() * dx).item()  # E_q D*
    saturating.append(theta * belief)
    non_saturating.append(theta * (1 - belief))
    by_difference = (two_js(theta + 1e-4) - two_js(theta - 1e-4)) / 2e-4
    assert abs(saturating[-1] - by_difference) < 1e-6  # the gradient of 2 JS: error of order 1e-8
    assert abs(non_saturating[-1] - (theta - by_difference)) < 1e-6  # KL(q || p) = theta^2 / 2

# %%
fig, ax = plt.subplots(figsize=(5.6, 2.9))
ax.semilogy(THETAS, saturating, color=PALETTE["vermilion"], label="log(1 − D)")
ax.semilogy(THETAS, non_saturating, color=PALETTE["blue"], label="−log D")
ax.set(xlabel="distance θ between forger and nature", ylabel="gradient with respect to θ", ylim=(1e-4, 20))
ax.legend()
figure(
    fig,
    alt="Two gradients against the distance, logarithmic. The saturating one rises to about 0.4 and then "
    "falls off like a Gaussian, below a thousandth at distance 8. The non-saturating one grows steadily.",
    caption="The gradient that a forger at distance θ gets from the best judge. The minimax loss lets go "
    "where the forger has most to learn; the non-saturating one does not.",
)
six = min(range(len(THETAS)), key=lambda k: abs(THETAS[k] - 6))
print(
    f"theta = {THETAS[six]:.1f}: saturating {saturating[six]:.4f}, non-saturating {non_saturating[six]:.2f}"
)
assert saturating[six] < 0.02 * max(saturating) + 0.01
assert non_saturating[six] > 0.95 * THETAS[six]

# %% [markdown]
# **What it means.** The better the judge, the less the minimax forger learns. The non-saturating loss cures
# *this* symptom. The disease, that JS itself is flat where densities hardly overlap, is the theme of the
# next chapter.
#
# ## 6 Derive: a judge for every divergence
#
# JS was not chosen; it came out of a particular score. Other scores give other divergences. Take any convex
# $f$ on $(0, \infty)$ and define ([Nowozin et al. 2016](https://arxiv.org/abs/1606.00709))
#
# $$ D_f(p\,\|\,q) = \int q(x)\, f\!\left(\frac{p(x)}{q(x)}\right) dx \;\ge\; f(1), $$ (gan-f-divergence)
#
# by Jensen, since $\mathbb{E}_q[p/q] = 1$. To play a game we must get rid of the ratio, for we hold samples
# of $p$ and $q$ only. A convex function is the upper envelope of its tangents. Its **conjugate** collects
# their intercepts,
#
# $$
# f^*(t) = \sup_{u > 0}\, \big\{u t - f(u)\big\}, \qquad\text{attained where } t = f'(u).
# $$ (gan-conjugate)
#
# (The tangent of slope $t$ meets the axis at $-f^*(t)$. At $t = f'(u)$ the derivative $t - f'(u)$ of the
# brace is zero, and the brace is concave.) By definition $f(u) \ge u t - f^*(t)$ for *every* slope $t$. Put
# $u = p(x)/q(x)$, let $t = T(x)$ be anything that a network says at $x$, multiply by $q(x)$ and integrate:
#
# $$ D_f(p\,\|\,q) \;\ge\; \mathbb{E}_{x \sim p}\big[T(x)\big] - \mathbb{E}_{x \sim q}\big[f^*(T(x))\big],
# \qquad\text{equal at } T^\star(x) = f'\!\left(\frac{p(x)}{q(x)}\right). $$ (gan-f-bound)
#
# The ratio is gone. Any **critic** $T$ gives a lower bound that samples can estimate; the best critic makes
# it tight. One row by hand: $f(u) = u \log u$, the KL divergence $\mathrm{KL}(p \| q)$. Then
# $t = 1 + \log u$, so $u = e^{t - 1}$ and $f^*(t) = u t - u(t - 1) = u = e^{t - 1}$. The others go the same
# way:
#
# | | $f(u)$ | $f^*(t)$ | $T^\star$, $u = p/q$ | network's $v$ to $T$ |
# |:--|:--|:--|:--|:--|
# | $\mathrm{KL}(p \Vert q)$ | $u \log u$ | $e^{t - 1}$ | $1 + \log u$ | $v$ |
# | reverse, $\mathrm{KL}(q \Vert p)$ | $-\log u$ | $-1 - \log(-t)$ | $-1/u$ | $-e^{-v}$ |
# | Pearson $\chi^2$ | $(u - 1)^2$ | $t^2/4 + t$ | $2(u - 1)$ | $v$ |
# | GAN | $u \log u - (u{+}1)\log(u{+}1)$ | $-\log(1 - e^t)$ | $\log \frac{u}{1 + u}$ | $\log \varsigma(v)$ |
#
# The last column keeps $T$ inside the domain of $f^*$ ($t < 0$ in rows 2 and 4). The last row is
# $2\,\mathrm{JS} - \log 4$; in it $T^\star = \log D^\star$ and $f^*(T) = -\log(1 - D)$, so
# {eq}`gan-f-bound` *is* {eq}`gan-minimax`: the original game is one row of a table.
#
# ## 7 Write: the table, and test every row
#
# Two densities on a line: $p$ a mixture of two Gaussians, $q$ one broad Gaussian. For each row we compute
# the divergence itself, the bound at the best critic, and the bound at critics that are off by $s$ times a
# fixed wobble, before the activation. The bound should touch at $s = 0$ and lie below elsewhere.

# %%
ROWS = {  # name: f, f*, best critic from log u, activation, and its inverse
    "KL(p‖q)": (
        lambda u: u * u.log(),
        lambda t: (t - 1).exp(),
        lambda r: 1 + r,
        lambda v: v,
        lambda t: t,
    ),
    "KL(q‖p)": (
        lambda u: -u.log(),
        lambda t: -1 - (-t).log(),
        lambda r: -(-r).exp(),
        lambda v: -(-v).exp(),
        lambda t: -(-t).log(),
    ),
}
# %%
ROWS["Pearson"] = (
    lambda u: (u - 1) ** 2,
    lambda t: t**2 / 4 + t,
    lambda r: 2 * (r.exp() - 1),
    lambda v: v,
    lambda t: t,
)
ROWS["GAN"] = (
    lambda u: u * u.log() - (u + 1) * torch.log1p(u),
    lambda t: -torch.log1p(-t.exp()),
    log_d,
    log_d,
    lambda t: t - torch.log1p(-t.exp()),
)

# %%
x = torch.linspace(-8, 8, 1_601, dtype=torch.float64)
dx = (x[1] - x[0]).item()
lumps = torch.stack([log_normal(x, -2.0, 0.5) + math.log(0.6), log_normal(x, 2.0, 0.5) + math.log(0.4)])
log_p, log_q = torch.logsumexp(lumps, 0), log_normal(x, 0.0, 2.0)


def divergence(name, log_q):  # eq. (gan-f-divergence)
    return (log_q.exp() * ROWS[name][0]((log_p - log_q).exp())).sum() * dx


def bound(name, log_q, s):  # eq. (gan-f-bound), critic off by s times a wobble
    _, conjugate, critic, activate, inverse = ROWS[name]
    t = activate(inverse(critic(log_p - log_q)) + s * torch.cos(2 * x))
    return (log_p.exp() * t - log_q.exp() * conjugate(t)).sum() * dx


# %%
OFF = torch.linspace(-1, 1, 41).tolist()
fig, ax = plt.subplots(figsize=(5.6, 2.9))
for name in ROWS:
    exact = divergence(name, log_q).item()
    reached = [bound(name, log_q, s).item() for s in OFF]
    print(f"{name:8s} divergence {exact:7.4f}   at the best critic {bound(name, log_q, 0.0).item():7.4f}")
    assert abs(bound(name, log_q, 0.0).item() - exact) < 1e-9  # tight: the same sum, written twice
    assert max(reached) < exact + 1e-9
    assert max(reached[0], reached[-1]) < exact - 0.02  # below elsewhere
    ax.plot(OFF, [r - exact for r in reached], label=name)
ax.axhline(0, color="0.5", lw=1)
ax.set(xlabel="critic is off by s", ylabel="bound minus divergence", ylim=(-0.4, 0.05))
ax.legend(fontsize=8)
figure(
    fig,
    alt="Four curves, bound minus divergence against the error s of the critic. All touch zero at s = 0 and "
    "lie below zero on both sides.",
    caption="How far each bound falls short of its divergence when the critic is off by s. All four touch at "
    "the best critic and lie below everywhere else.",
)

# %% [markdown]
# Does it matter which? Let $q$ be one Gaussian and turn its mean and width to minimise each divergence. No
# Gaussian equals $p$, so each row must choose what to give up. The start chapter did the first two.

# %%
fits = {}
for name in ROWS:
    q_mean = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)
    q_log_std = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([q_mean, q_log_std], lr=0.02)
    for _ in range(500):
        fitted = -0.5 * ((x - q_mean) / q_log_std.exp()) ** 2 - q_log_std - 0.5 * math.log(2 * math.pi)
        descend(optimiser, divergence(name, fitted))
    fits[name] = q_mean.item(), q_log_std.exp().item()
    print(f"{name:8s} mean {fits[name][0]:+.2f}  standard deviation {fits[name][1]:.2f}")

fig, ax = plt.subplots(figsize=(5.6, 2.7))
ax.fill_between(x, log_p.exp(), color="0.85", label="p")
for (name, (m, s)), width in zip(fits.items(), (5, 1.5, 3, 1.2), strict=True):  # three nearly coincide
    ax.plot(x, log_normal(x, m, s).exp(), lw=width, label=name)
ax.set(xlabel="x", ylabel="density", xlim=(-5, 5))
ax.legend(fontsize=8)
figure(
    fig,
    alt="A density with two lumps in grey, and the best single Gaussian by four divergences: reverse KL sits "
    "on the left lump, KL and Pearson cover both, and the GAN's lies between them.",
    caption="The best single Gaussian by four divergences. Reverse KL takes the larger lump; the other three "
    "cover both, and nearly coincide.",
)

# %% [markdown]
# **What it means.** KL must cover, so it takes the mean and the variance of $p$ (exactly: its minimum over
# Gaussians matches the moments). Pearson, an average of $p^2/q$, covers too. Reverse KL takes the bigger
# lump and forgets the other. The GAN's row, JS, covers as well: so JS is not what makes modes go missing.
# What codes minimise is {eq}`gan-non-saturating`, and its first term is the reverse KL. But beware of the
# argument "GAN samples are sharp because of the divergence": the bound is loose for a judge that is not the
# best, and all the judges of this table train sharp generators
# ([Nowozin et al. 2016](https://arxiv.org/abs/1606.00709)).

# %%
p_mean = (log_p.exp() * x).sum().item() * dx
p_std = ((log_p.exp() * (x - p_mean) ** 2).sum().item() * dx) ** 0.5
for name, mean, std in (("KL(p‖q)", p_mean, p_std), ("KL(q‖p)", -2.0, 0.5)):  # moments; one lump
    assert abs(fits[name][0] - mean) < 0.05
    assert abs(fits[name][1] - std) < 0.05
assert min(fits[name][1] for name in ("KL(p‖q)", "Pearson", "GAN")) > 1.5  # these cover both lumps

# %% [markdown]
# ## 8 Meet the library
#
# `dgm.gan` has these formulas on logits, one value per sample. Do ours agree, at logits where a naive
# $\log D$ is already $-\infty$?

# %%
from dgm.gan import (
    F_DIVERGENCES,
    DCGANDiscriminator,
    DCGANGenerator,
    MinibatchDiscrimination,
    MLPDiscriminator,
    MLPGenerator,
    Players,
    discriminator_loss,
    f_bound,
    feature_matching_loss,
    gan_step,
    non_saturating_generator_loss,
    optimal_discriminator,
    sample,
    saturating_generator_loss,
    unrolled_parameters,
)

logits = torch.tensor([-200.0, -3.0, 0.0, 0.5, 200.0])
assert torch.equal(discriminator_loss(logits, logits.flip(0)), judge_loss(logits, logits.flip(0)))
assert torch.equal(saturating_generator_loss(logits), log_d(-logits))
assert torch.equal(non_saturating_generator_loss(logits), -log_d(logits))
assert torch.equal(optimal_discriminator(log_p, log_q), (log_p - log_q).sigmoid())
# %%
for name, key in zip(ROWS, ("kl", "reverse_kl", "pearson", "gan"), strict=True):
    row = F_DIVERGENCES[key]
    t = row.activation(torch.cos(2 * x))
    theirs = f_bound(row, t, t, weights_p=log_p.exp() * dx, weights_q=log_q.exp() * dx)
    t = ROWS[name][3](torch.cos(2 * x))
    ours = (log_p.exp() * t - log_q.exp() * ROWS[name][1](t)).sum() * dx
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
show(gan_step)

# %% [markdown]
# ## 9 Run: digits
#
# The data are scikit-learn's digits, 8 by 8 pixels in $[-1, 1]$; 1,000 train, the other 797 are kept apart.
# The generator is a perceptron with **batch normalisation**, the judge one without. Adam's first moment
# gets $\beta_1 = 0.5$: the loss surface moves under each player's feet, and a long memory of gradients
# points to where the other player was. We sample from a moving average of the generator's weights.
#
# There is no likelihood to report. We ask the course's own small classifier of digits (trained on the same
# 1,000) instead: which class does it see in each sample? From 1,000 samples we take the number of classes
# with more than 4 % of them, the entropy of the shares ($\log 10 = 2.30$ at best), the Fréchet distance to
# the held-out images in its features (start from the floor: what the *real* training images score), and,
# with 500 of them, two distances to nearest neighbours in feature space: from a sample to the next sample,
# small when samples repeat, and from a held-out image to the next sample, large when something real is
# missing.

# %%
splits = {name: load_digits(name) for name in ("train", "valid", "test")}
x_train = to_pm1(splits["train"].x, 17)  # (1000, 1, 8, 8)
x_held = torch.cat([to_pm1(splits[name].x, 17) for name in ("valid", "test")])  # (797, 1, 8, 8)
eye = digits_features()
held_features = eye.features(x_held)


# %%
def report(samples):
    features, shares = eye.features(samples), class_shares(eye.logits(samples))
    return {
        "classes": classes_covered(shares),
        "entropy": class_entropy(shares),
        "FD": frechet_distance(features, held_features),
        "to next sample": nearest_distances(features[:500]).mean().item(),
        "real to sample": nearest_distances(held_features, features[:500]).mean().item(),
    }


def tell(name, row):
    print(f"{name:26s}" + "".join(f"{key} {value:.4g}   " for key, value in row.items()))


def draw_samples(generator, n=1000):
    return sample(generator, n, rng=torch.Generator().manual_seed(9))


real_row = report(x_train)
tell("real training images", real_row)


# %%
def train_gan(generator, judge, *, steps, rates, seed=0, every=0, average=True, **options):
    optimisers = adam(generator, rates[0]), adam(judge, rates[1])
    players = Players(generator, judge, *optimisers, EMA(generator, 0.99) if average else None)
    rng = torch.Generator().manual_seed(seed)
    batches = Batches(x_train, batch_size=64, generator=rng)
    losses, stages = [], {}
    for i in range(steps + 1):
        if every and i % every == 0:
            stages[i] = draw_samples(players.best_generator)
        scalars = gan_step(players, next(batches), rng=rng, **options)
        losses.append([scalars["d_loss"].item(), scalars["g_loss"].item()])
    return players.best_generator, torch.tensor(losses), stages


MLP_STEPS = budget(cpu=900, full=8400)  # a multiple of 150
with seeded(0):
    nets = MLPGenerator(32, (1, 8, 8), (192, 192)), MLPDiscriminator((1, 8, 8), (192, 192))
good, good_losses, stages = train_gan(*nets, steps=MLP_STEPS, rates=(8e-4, 5e-4), every=150)
fd = {i: frechet_distance(eye.features(x), held_features) for i, x in stages.items()}
good_row = report(stages[MLP_STEPS])
tell("MLP GAN", good_row)
assert good_row["classes"] == 10
assert good_row["entropy"] > 2.1  # log 10 = 2.30

# %%
LOSS_NAMES = ("judge's loss", "forger's loss")


def draw_stage(i):
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.0), width_ratios=[1.25, 1])
    image_grid(stages[i][:32], columns=8, ax=left, title=f"samples after {i} steps")
    for k, colour in enumerate(("blue", "orange")):
        smooth = good_losses[:MLP_STEPS, k].view(-1, 30).mean(1)
        right.plot(torch.arange(len(smooth)) * 30 + 15, smooth, color=PALETTE[colour], label=LOSS_NAMES[k])
    right.set(xlabel="step", ylabel="loss, nats", ylim=(0, 3))
    other = right.twinx()
    other.semilogy(list(fd), list(fd.values()), "o--", ms=4, color="0.4", label="Fréchet distance")
    other.grid(False)
    other.axvline(i, color=PALETTE["vermilion"], lw=1)
    lines = [*right.get_lines(), other.get_lines()[0]]
    right.legend(lines, [line.get_label() for line in lines], fontsize=7, loc="upper center")
    return fig


# %%
frames(
    draw_stage,
    list(stages),
    label="step",
    start=list(stages)[-1],
    alt=lambda i: (
        f"Left: 32 samples after {i} steps. Right: the two losses, nearly flat after the first few hundred "
        f"steps, and the Fréchet distance on a logarithmic axis, which falls about tenfold; here {fd[i]:.0f}."
    ),
    caption="Samples of the GAN, and its training in numbers. The losses lie flat while the Fréchet distance "
    "keeps falling: they do not say how good the samples are.",
)

# %% [markdown]
# **Where to look.** From the second half on the losses lie on a line, near what a judge at $D = \tfrac12$
# pays ($\log 4$, and $\log 2$ for the forger), while the samples still improve. Of course: each loss is
# measured against the *other* player's present skill. Two beginners and two masters draw alike. Later in
# the chapter two networks with nearly the same losses will differ by most of the ten classes.

# %%
half = good_losses[MLP_STEPS // 2 : MLP_STEPS]
early, late = half[: len(half) // 3].mean(0), half[-len(half) // 3 :].mean(0)
middle = min(fd, key=lambda i: abs(i - MLP_STEPS // 2))
print(f"second half of training: judge's loss {early[0]:.2f} to {late[0]:.2f},", end=" ")
print(f"forger's {early[1]:.2f} to {late[1]:.2f}; Fréchet distance {fd[middle]:.0f} to {fd[MLP_STEPS]:.0f}")
assert (late - early).abs().max() < 0.25
assert fd[MLP_STEPS] < 0.8 * fd[middle]

# %% [markdown]
# **DCGAN** ([Radford et al. 2016](https://arxiv.org/abs/1511.06434)) replaces the linear layers by strided
# convolutions, transposed ones in the generator, with batch normalisation on both sides. Its rules made
# GANs work on photographs. At 8 pixels there are two such layers. Will it beat the perceptron here?

# %%
with seeded(0):
    nets = DCGANGenerator(8, latents=32, width=16), DCGANDiscriminator(8, width=16)
sizes = [sum(p.numel() for p in net.parameters()) for net in (good, nets[0])]
dcgan, _, _ = train_gan(*nets, steps=budget(cpu=360, full=4000), rates=(2e-3, 1e-3))
dcgan_row = report(draw_samples(dcgan))
print("parameters of the generators: MLP {:,}, DCGAN {:,}".format(*sizes))
for name, row in (("MLP GAN", good_row), ("DCGAN", dcgan_row), ("real training images", real_row)):
    tell(name, row)
rows = torch.cat([x_held[:12], stages[MLP_STEPS][:12], draw_samples(dcgan, 12)])
figure(
    image_grid(rows, columns=12, row_labels=["held out", "MLP", "DCGAN"]),
    alt="Three rows of twelve 8 by 8 images: held-out digits, samples of the perceptron GAN, samples of the "
    "DCGAN. Most samples are readable digits; a few are broken.",
    caption="Held-out digits, and samples of two generators: a perceptron, and a DCGAN with less than a "
    "quarter of its weights.",
)
assert dcgan_row["classes"] >= 8
assert dcgan_row["FD"] < 1.5 * good_row["FD"]
assert sizes[1] < sizes[0] / 4

# %% [markdown]
# With less than a quarter of the weights the convolutions keep up, after fewer than half as many steps (one
# seed each: no ranking). The 28, 32 and 64 pixel versions are the same lines with other numbers. Do they
# copy? A copy has distance zero to the nearest training image. Compare with the distance that images of
# other writers have.

# %%
train_features = eye.features(x_train)
for name, x_new in (("held out", x_held), ("MLP GAN", stages[MLP_STEPS]), ("DCGAN", draw_samples(dcgan))):
    nearest = nearest_distances(eye.features(x_new), train_features)
    print(f"{name:8s} to the nearest training image: mean {nearest.mean():.1f}, least {nearest.min():.1f}")
    assert nearest.mean() > 0.8 * nearest_distances(held_features, train_features).mean()

# %% [markdown]
# ## 10 Break it: mode collapse
#
# Take away what was put there to help: the batch normalisation, and the balance of step sizes. The
# generator now learns five times as fast as the judge. Before you run the cell: how many of the ten digits
# will it draw? And what will the losses say?

# %%
WIDTH, COLLAPSE_STEPS, SEEDS = 96, budget(cpu=500, full=3000), (0, 1)
FAST, SLOW = 1e-3, 2e-4


def plain_nets(seed):
    with seeded(seed):
        generator = MLPGenerator(32, (1, 8, 8), (WIDTH, WIDTH), batch_norm=False)
        return generator, MLPDiscriminator((1, 8, 8), (WIDTH, WIDTH))


table, shown = {}, {}


def trial(name, nets, rates=(FAST, SLOW), **options):  # nets: seed to (generator, judge)
    table[name] = []
    for seed in SEEDS:
        trained, losses, _ = train_gan(
            *nets(seed), steps=COLLAPSE_STEPS, rates=rates, seed=seed, average=False, **options
        )
        table[name].append(report(samples := draw_samples(trained)))
        tell(f"{name}, seed {seed}", table[name][-1])
        shown.setdefault(name, samples[:12])
    return losses[-100:].mean(0)


# %%
collapsed_losses = trial("plain", plain_nets)
print("losses, judge and forger: collapsed {:.2f} {:.2f};".format(*collapsed_losses), end=" ")
print("ten digits {:.2f} {:.2f}".format(*good_losses[-100:].mean(0)))
assert max(row["classes"] for row in table["plain"]) <= 5  # of ten
assert max(row["to next sample"] for row in table["plain"]) < 0.3 * good_row["to next sample"]
assert (collapsed_losses - good_losses[-100:].mean(0)).abs().max() < 0.5

# %% [markdown]
# **Mode collapse.** The generator found one image, or two, that this judge accepts, and draws it whatever
# $z$ says. When the judge has learnt to reject it, all samples move on together, and so it goes round.
# Nothing in {eq}`gan-minimax` forbids this dance: the theory of section 3 has the judge at its best after
# *every* step of the generator. Swap the order, $\max_D \min_G$, and the best $G$ puts all its mass on the
# one $x$ where the present $D$ is largest. With simultaneous small steps we play neither game, and with a
# fast generator something close to the wrong one. Note the losses: they look as healthy as those of the
# good run.
#
# ## 11 Cures, one at a time
#
# Each changes one thing in this broken setting; the measure stays the same.
#
# **Label smoothing** ([Salimans et al. 2016](https://arxiv.org/abs/1606.03498)). Score the judge on real
# samples as if they were real with probability $a = 0.9$ only. Pointwise as in section 2, now with
# $a\,p \log D + \big((1 - a)\,p + q\big) \log(1 - D)$,
#
# $$
# D^\star_a(x) = \frac{a\, p(x)}{p(x) + q(x)}, \qquad \ell^\star_a \le \log \frac{a}{1 - a}:
# $$ (gan-label-smoothing)
#
# the judge can never be certain. (One side only: with a smoothed target $b > 0$ for forgeries, $b\,q$ would
# join the numerator, and where $p \approx 0$ the judge would praise the generator's present errors.)
#
# **Feature matching** ([Salimans et al. 2016](https://arxiv.org/abs/1606.03498)). Don't ask the forger to
# please the judge; ask that its samples have, on average, the same hidden features $h$ of the judge as real
# ones:
#
# $$
# L_G = \bigg\lVert \frac1B \sum_{b=1}^{B} h(x_b) - \frac1B \sum_{b=1}^{B} h(G(z_b)) \bigg\rVert_2^2.
# $$ (gan-feature-matching)
#
# This is a loss on a *batch*: a batch of equal samples has the wrong mean.
#
# **Minibatch discrimination** ([Salimans et al. 2016](https://arxiv.org/abs/1606.03498)). Let the judge see
# the batch too. Project the features of sample $b$ to $K$ short rows $M_{bk}$, and append
#
# $$ o_{bk} = \sum_{b'=1}^{B} \exp\big(-\lVert M_{bk} - M_{b'k} \rVert_1\big), $$ (gan-minibatch)
#
# which counts the neighbours of $b$ among the samples that came with it (itself included:
# $1 \le o_{bk} \le B$). A batch of copies gives itself away.
#
# **Two time scales** ([Heusel et al. 2017](https://arxiv.org/abs/1706.08500)). Give the faster step to the
# judge, so that it is near its best when the generator moves. Here: swap the two step sizes.


# %%
class BatchJudge(nn.Module):  # minibatch discrimination, eq. (gan-minibatch), on the last hidden layer
    def __init__(self):
        super().__init__()
        self.below = MLPDiscriminator((1, 8, 8), (WIDTH, WIDTH))
        self.compare = MinibatchDiscrimination(WIDTH, kernels=4, dims=3)
        self.head = nn.Linear(WIDTH + 4, 1)

    def forward(self, x):
        return self.head(self.compare(self.below.features(x)))[:, 0]


def batch_nets(seed):
    generator, _ = plain_nets(seed)
    with seeded(seed):
        return generator, BatchJudge()


def smoothed(real_logit, fake_logit):
    return discriminator_loss(real_logit, fake_logit, real_target=0.9)


# %%
def train_matching(seed):  # the judge's step as before, the generator's by eq. (gan-feature-matching)
    generator, judge = plain_nets(seed)
    optimiser_g, optimiser_d = adam(generator, FAST), adam(judge, SLOW)
    rng = torch.Generator().manual_seed(seed)
    batches = Batches(x_train, batch_size=64, generator=rng)
    for _ in range(COLLAPSE_STEPS):
        x = next(batches)
        fake = generator(torch.randn(64, 32, generator=rng))
        descend(optimiser_d, discriminator_loss(judge(x), judge(fake.detach())).mean())
        fake = generator(torch.randn(64, 32, generator=rng))
        descend(optimiser_g, feature_matching_loss(judge.features(x), judge.features(fake)))
    return generator


trial("label smoothing", plain_nets, d_loss=smoothed)
trial("minibatch discr.", batch_nets)
trial("two time scales", plain_nets, rates=(SLOW, FAST))
matched = [draw_samples(train_matching(seed)) for seed in SEEDS]
table["feature matching"], shown["feature matching"] = [report(x) for x in matched], matched[0][:12]
for row in table["feature matching"]:
    tell("feature matching", row)

# %%
figure(
    image_grid(torch.cat(list(shown.values())), columns=12, row_labels=list(shown)),
    alt="Five rows of twelve samples. Plain and label smoothing: the same image twelve times. Minibatch "
    "discrimination: several kinds, each alike. Two time scales: few kinds. Feature matching: different "
    "digits, many of them broken.",
    caption="Twelve samples of the broken setting and of each cure, first seed. A row that repeats one image "
    "has collapsed; the two cures that compare whole batches bring back the most classes.",
)


def mean_of(name, key):
    return sum(row[key] for row in table[name]) / len(SEEDS)


assert min(row["classes"] for row in table["feature matching"]) >= 4
assert mean_of("feature matching", "entropy") > mean_of("plain", "entropy") + 0.8
assert mean_of("two time scales", "to next sample") > 1.5 * mean_of("plain", "to next sample")
assert mean_of("minibatch discr.", "entropy") > mean_of("plain", "entropy") + 0.5
for name in ("minibatch discr.", "feature matching"):
    assert mean_of(name, "to next sample") < 0.8 * real_row["to next sample"]
assert mean_of("label smoothing", "entropy") < mean_of("feature matching", "entropy") - 0.8

# %% [markdown]
# **What it means.** Look at both seeds of a row: two runs of one setting differ. The two cures that compare
# *batches*, minibatch discrimination and feature matching, bring back most of the classes. Their samples
# still resemble each other much more than real images do (column "to next sample"). A faster judge makes
# the samples differ more, but does not bring the classes back reliably. Label smoothing changes nothing
# about collapse: it limits how sure the judge is of real samples, and certainty was not the trouble. None
# of the rows comes near section 9, where batch normalisation and balanced steps did most of the work. A
# cure has an indication.
#
# ## 12 Looking ahead: the unrolled GAN
#
# The argument of section 10 says that the generator optimises against a judge that will not stay. So let it
# see the judge's answer coming ([Metz et al. 2017](https://arxiv.org/abs/1611.02163)). Let the judge take
# $K$ steps of gradient descent on its loss $L_D$, in thought only,
#
# $$
# \omega^0 = \omega, \qquad \omega^{k+1} = \omega^k - \eta\, \nabla_\omega L_D(\omega^k, \theta),
# $$ (gan-unrolled)
#
# and let the generator lower its own loss at $\omega^K(\theta)$, with the gradient *through* all $K$ steps:
# its chain rule has the extra term $\frac{\partial L_G}{\partial \omega^K} \frac{d \omega^K}{d\theta}$,
# "how will the judge react if I move there?". Piling all samples on one point is punished before it
# happens. As $K \to \infty$ we are back at the game of {eq}`gan-minimax` with the best judge.
#
# The picture of the original paper: eight Gaussians on a ring, and a generator ten times as fast as its
# judge. A mode counts as found if more than 2 % of the samples lie within three standard deviations of its
# centre.

# %%
ring = GaussianMixture.ring(8, 2.0, 0.1)
RING_STEPS = budget(cpu=560, full=3000)


def modes_found(points):
    distance, k = torch.cdist(points, torch.tensor(ring.means)).min(1)
    return int((torch.bincount(k[distance < 0.3], minlength=8) > 0.02 * len(points)).sum())


def train_ring(ahead):
    with seeded(0):
        generator, judge = MLP([8, 48, 48, 2]), Judge(48)
    optimiser_g, optimiser_d = adam(generator, 4e-3, beta=0.9), adam(judge, 4e-4, beta=0.9)
    rng, snapshots = torch.Generator().manual_seed(0), []
    for i in range(RING_STEPS):
        x, fake = ring.sample(96, rng), generator(torch.randn(96, 8, generator=rng))
        descend(optimiser_d, judge_loss(judge(x), judge(fake.detach())).mean())
        loss_at = lambda at, x=x, fake=fake: judge_loss(at(x), at(fake)).mean()  # noqa: E731
        imagined = unrolled_parameters(judge, loss_at, steps=ahead, rate=0.3)  # eq. (gan-unrolled)
        descend(optimiser_g, -log_d(functional_call(judge, imagined, (fake,))).mean())
        if (i + 1) % (RING_STEPS // 8) == 0:
            with torch.no_grad():
                snapshots.append(generator(torch.randn(1000, 8, generator=rng)))
    return snapshots


# %%
rings = {ahead: train_ring(ahead) for ahead in (0, 4)}
fig, axes = plt.subplots(2, 4, figsize=(7.4, 3.9), sharex=True, sharey=True)
found = {ahead: [modes_found(points) for points in snapshots] for ahead, snapshots in rings.items()}
for row, (ahead, snapshots) in zip(axes, rings.items(), strict=True):
    for ax, points, n in zip(row, snapshots[1::2], found[ahead][1::2], strict=True):
        ax.scatter(*torch.tensor(ring.means).T, s=60, color="0.8")
        ax.scatter(*points.T, s=2, alpha=0.4, color=PALETTE["vermilion"])
        ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], title=f"{n} of 8")
    row[0].set_ylabel("plain" if ahead == 0 else f"{ahead} steps ahead")
figure(
    fig,
    alt="Two rows of four scatter plots, over training; grey discs mark the eight modes. Plain: the samples "
    "are one clump that jumps about. Unrolled: the samples spread along the ring and reach several modes.",
    caption="Samples at four moments of training, with the number of modes found. The plain generator "
    "wanders in one clump; the one that looks ahead spreads along the ring.",
)
print("modes found over training:", "; ".join(f"{k} steps ahead {v}" for k, v in found.items()))
last_half = {ahead: sum(counts[4:]) / 4 for ahead, counts in found.items()}
assert last_half[4] > last_half[0] + 1
assert max(found[4]) >= 3

# %% [markdown]
# **Where to look.** Above, one clump that wanders. Below, the samples spread out and take in one mode after
# another; many points still lie between them at this length of training. Four imagined steps with their
# second derivatives cost several times the plain step. That's why large models use cheaper means, and the
# reason to know this one is the diagnosis it confirms.
#
# **The full budget.** All of this fits a laptop. On a GPU the same game, with R1 to hold the judge's slope,
# is played by larger DCGANs on the 28 by 28 pixels of MNIST. The cell shows what such a run left behind, if
# one is stored; with `DGM_BUDGET=full` it trains the model itself. Its figures are of pixels and don't
# compare with those of the features above.

# %%
from dgm.recipes.full import full_result

full = full_result("gan", train=budget(cpu=False, full=True))
print(full.text)
if full.samples is not None:
    figure(
        image_grid(full.samples, columns=16),
        alt=full.alt,
        caption="Samples of the GAN trained with the full budget, at the settings printed above.",
    )

# %% [markdown]
# ## 13 Think
#
# 1. A judge's training loss has been $0.001$ for an hour. Is that good news? What would you look at?
#
# :::{admonition} Answer
# :class: dropdown
#
# $V \approx 0$ means $2\,\mathrm{JS} \approx \log 4$: real and forged samples hardly overlap, in the
# judge's eyes. By {eq}`gan-saturating-gradient` a minimax forger gets no gradient; a non-saturating one
# gets a large one of doubtful direction. Look at samples, at coverage, and at the judge's loss on
# *held-out* real images: it may have memorised the training set.
#
# :::
#
# 2. In section 4 the learnt judge disagrees with the best one far away from all points. Why doesn't it
#    matter? When would it?
#
# :::{admonition} Answer
# :class: dropdown
#
# In {eq}`gan-minimax` both expectations ignore regions where $p$ and $q$ have no mass. It matters as soon
# as the generator moves there: the first samples in a new region are judged by whatever the network
# extrapolated. Penalties on the judge's slope, in the next chapter, are a way of having an opinion about
# such regions.
#
# :::
#
# 3. In an old code the judge ends in a sigmoid, and the loss is `binary_cross_entropy_with_logits`. What
#    does it optimise?
#
# :::{admonition} Answer
# :class: dropdown
#
# The sigmoid is applied twice. The effective $D = \varsigma(\varsigma(\ell))$ lies between $0.5$ and
# $0.73$: the judge can never call anything a forgery. Its best answer is {eq}`gan-optimal-discriminator`
# clipped to that range, so where $q > p$ it is stuck, and the gradient nearly vanishes. Nothing crashes,
# and the loss curve is smooth.
#
# :::
#
# 4. In which rows of the table in section 6 is $T^\star$ unbounded on both sides, in which on one? What
#    does that mean for a critic trained on few samples?
#
# :::{admonition} Answer
# :class: dropdown
#
# Only KL's $1 + \log u$ is unbounded on both sides. Pearson's is bounded below by $-2$, reverse KL's and
# the GAN's are bounded above by $0$. But $f^*$ matters more: for KL it is $e^{t - 1}$, and a single forged
# sample with a large $t$ dominates the average. The GAN's two terms grow only linearly in the logit, which
# is a reason why the original game survived.
#
# :::
#
# 5. Show that $\mathrm{JS}(p, q)$ is the information, in nats, that one sample carries about a fair coin
#    that decided whether it was drawn from $p$ or from $q$. What does the bound $\log 2$ say then?
#
# :::{admonition} Answer
# :class: dropdown
#
# The mutual information is the entropy of the sample minus its entropy given the coin,
# $H(m) - \tfrac12 H(p) - \tfrac12 H(q)$, which is JS when written out. A coin has $\log 2$ nats; you can't
# learn more about it. And the judge's game is exactly guessing that coin.
#
# :::
#
# **Exercises**: [exercises/03_gan.ipynb](../exercises/03_gan.ipynb) asks you for JS from samples and both
# losses on logits, has [a loop with three bugs](../exercises/03_gan.ipynb#exercise-3-3) to find and a
# collapse to predict, and lets you design a score that no forger gets past and derive the divergence behind
# least squares.
#
# **References.** [Goodfellow et al. 2014](https://arxiv.org/abs/1406.2661) is the origin, sections 1 to 3;
# [Arjovsky and Bottou 2017](https://arxiv.org/abs/1701.04862) for the gradients;
# [Nowozin et al. 2016](https://arxiv.org/abs/1606.00709) for the table;
# [Radford et al. 2016](https://arxiv.org/abs/1511.06434) for DCGAN;
# [Salimans et al. 2016](https://arxiv.org/abs/1606.03498),
# [Heusel et al. 2017](https://arxiv.org/abs/1706.08500) and
# [Metz et al. 2017](https://arxiv.org/abs/1611.02163) for the cures. The numbered equations are tested in
# `tests/equations/test_gan.py`.
#
# **Next.** JS is flat where distributions don't overlap, whatever loss the generator takes. A distance that
# knows *how far* they are apart needs a judge with a limited slope.
