# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Start here: left, right, or into the rock
#
# A road runs round a rock. Four thousand drives have been recorded: where on the road the driver began, and
# where the car was when it passed the rock. Every driver went round it, some on the left, some on the
# right; those who began further left mostly kept left. Nobody hit it.
#
# A neural network shall learn to drive from these records. It gets the start, it returns the place to steer
# for, and it is trained in the usual way, by squared error. It has far more weights than it needs, the data
# are clean, the training converges. The next picture shows how it drives. **What went wrong?**
#
# The answer takes one line of algebra, and it leads straight to what this course is about: models that
# return not a number but a *distribution*, from which one can draw.
#
# **You will be able to** say what a model trained by squared error converges to, and when that is nonsense;
# fit a density by maximum likelihood and measure how far it is from the truth; tell the two directions of
# the Kullback-Leibler divergence apart by looking at a fit; say what a generative classifier can do that a
# discriminative one cannot, and what it pays; place autoregressive models, VAEs, GANs, flows and diffusion
# models on one map.
#
# **You need** Python, a little PyTorch, expectations and densities. **It takes** an hour or two to read;
# the code runs in under a minute and a half on two CPU cores. Run a cell with Shift+Enter, from the top,
# and change whatever you like.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from coursekit import PALETTE, budget, figure, frames, show, use_style
from dgm.data import Batches
from dgm.data.toy2d import GaussianMixture
from dgm.nn import MLP, seeded
from dgm.prob import gaussian_log_prob, kl_gaussians, kl_on_grid
from dgm.train import fit

use_style()
BLUE, ORANGE, GREEN, RED = (PALETTE[c] for c in ("blue", "orange", "green", "vermilion"))
g = torch.Generator().manual_seed(0)

# %% [markdown]
# The world in a few lines. The start $s$ is uniform on $[-1, 1]$; the driver goes left with probability
# $\sigma(-3s)$, where $\sigma(u) = 1/(1+e^{-u})$, and passes the rock's middle line at $a = -1$ or
# $a = +1$, give or take a hand's breadth. The rock covers $|a| < 0.5$.

# %%
ROCK, HAND = 0.5, 0.12  # half-width of the rock; standard deviation of a driver's aim


def drive(n):
    s = 2 * torch.rand(n, generator=g) - 1
    left = torch.rand(n, generator=g) < torch.sigmoid(-3 * s)
    a = torch.where(left, -1.0, 1.0) + HAND * torch.randn(n, generator=g)
    return s[:, None], a[:, None]  # (n, 1) each


def draw_road(ax, s, a, color, title, alpha=0.6):
    ax.add_patch(plt.Circle((0, 0), ROCK, color="0.55"))
    y = torch.linspace(-2, 0.6, 60)
    bend = ((y + 2) / 2).clamp(0, 1)
    bend = bend**2 * (3 - 2 * bend)  # 0 at the start, 1 beside the rock
    ax.plot(s.flatten() + (a - s).flatten() * bend[:, None], y, color=color, alpha=alpha, lw=1)
    ax.set(xlim=(-1.7, 1.7), ylim=(-2.05, 0.75), aspect="equal", xlabel="across the road", title=title)
    ax.grid(False)


s, a = drive(4_000)
s_test, a_test = drive(20_000)

# %% [markdown]
# And the network, with the training loop written out this once.

# %%
with seeded(0):
    regressor = MLP([1, 64, 64, 1])
steps = budget(cpu=800, full=3_000)
optimiser = torch.optim.Adam(regressor.parameters(), lr=3e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
for _ in range(steps):
    i = torch.randint(len(s), (256,), generator=g)
    loss = (a[i] - regressor(s[i])).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    schedule.step()
regressor = regressor.eval().requires_grad_(False)

# %%
fig, axes = plt.subplots(1, 2, figsize=(7, 3.3), sharey=True)
draw_road(axes[0], s[:60], a[:60], BLUE, "60 recorded drives")
starts = torch.linspace(-0.95, 0.95, 39)[:, None]
aims = regressor(starts)
hit = aims.abs().flatten() < ROCK
draw_road(axes[1], starts[~hit], aims[~hit], "0.4", "")
draw_road(axes[1], starts[hit], aims[hit], RED, "the network drives (red: into the rock)", alpha=1)
axes[0].set_ylabel("along the road")
figure(
    fig,
    alt="Left: sixty recorded paths, all of them bending round a grey rock, about half on each side. "
    "Right: the network's paths fan out evenly, and those that begin near the middle, in red, run "
    "into the rock.",
    caption="Left, sixty of the recorded drives. Right, the trained network from evenly spaced starts: from "
    "those near the middle it steers for the rock.",
)

# %% [markdown]
# No driver in the data ever aimed at the rock. The network does so whenever it starts near the middle. More
# data, more layers or more training would change nothing, as we now see.
#
# ## 1 Derive: what squared error asks for
#
# *Assume* that pairs $(s, a)$ come from some joint distribution with finite variances, and let $f$ be any
# function at all, not only a network. Fix one start $s$ and write $m(s) = \mathbb{E}[a \mid s]$ for the
# mean action there. Add and subtract it inside the square:
#
# $$
# \begin{aligned}
# \mathbb{E}\big[(a - f(s))^2 \mid s\big]
# &= \mathbb{E}\big[(a - m(s))^2 \mid s\big] \\
# &\quad + 2\,\big(m(s) - f(s)\big)\,\mathbb{E}\big[a - m(s) \mid s\big] + \big(m(s) - f(s)\big)^2 .
# \end{aligned}
# $$
#
# Given $s$, both $m(s)$ and $f(s)$ are constants, so they may stand outside the expectation, and the middle
# term is zero because $m(s)$ is the mean. What is left, averaged over starts, is
#
# $$
# \mathbb{E}\big[(a - f(s))^2\big]
# = \underbrace{\mathbb{E}\big[\operatorname{Var}(a \mid s)\big]}_{\text{no } f \text{ in it}}
# + \mathbb{E}\big[(m(s) - f(s))^2\big].
# $$ (start-squared-error)
#
# The first term does not depend on $f$; the second is smallest, namely zero, when
#
# $$ f^\star(s) = \mathbb{E}[a \mid s]. $$ (start-conditional-mean)
#
# **Squared error asks for the conditional mean.** That is the right wish when the targets scatter round one
# value. At our rock it's the average of "left" and "right":
#
# $$
# \mathbb{E}[a \mid s] = \sigma(3s) - \sigma(-3s) = \tanh\!\big(\tfrac{3}{2} s\big),
# $$ (start-junction-mean)
#
# by $\sigma(u) - \sigma(-u)$ $= (e^{u/2} - e^{-u/2}) / (e^{u/2} + e^{-u/2})$. It lies on the rock for all $s$
# with $|\tanh(\tfrac32 s)| < 0.5$. So we can predict the network's failure rate before we measure it: a
# start in $[-1, 1]$ ends on the rock with probability $\operatorname{artanh}(0.5) / 1.5$.
#
# How close should the network come? Its targets scatter round their mean with a standard deviation of about
# 0.8. A smooth curve with ten or so bends of its own, fitted to 4,000 of them, is off by about
# $0.8\sqrt{10/4000} = 0.04$. We allow three times that, and for the crash rate what such an error does to
# the place where the curve crosses 0.5, with slope $1.5\,(1 - 0.5^2)$.

# %%
mean_action = torch.tanh(1.5 * s_test)  # eq. (start-junction-mean)
error = (regressor(s_test) - mean_action).square().mean().sqrt()
crashes = (regressor(s_test).abs() < ROCK).float().mean()
predicted = math.atanh(ROCK) / 1.5
# E Var(a|s): the driver's hand, plus the variance 1 - tanh^2 of a sign, averaged over s in [-1, 1].
floor = HAND**2 + math.tanh(1.5) / 1.5
mse = (a_test - regressor(s_test)).square().mean()
print(f"distance from the conditional mean, rms   {error:.3f}")
print(f"squared error on new drives               {mse:.3f}   smallest possible {floor:.3f}")
print(f"network hits the rock                     {crashes:.3f}   predicted {predicted:.3f}")
print(f"recorded drivers hit the rock             {(a_test.abs() < ROCK).float().mean():.5f}")
assert error < 0.12
assert abs(crashes - predicted) < 0.12 / (1.5 * 0.75)
assert abs(mse - floor - error**2) < 4 * (a_test - mean_action).square().std() / math.sqrt(len(a_test))

# %% [markdown]
# The last assertion is {eq}`start-squared-error` itself: what the network loses over the smallest possible
# error is its squared distance from the conditional mean, within four standard errors of a mean over 20,000
# drives. The network isn't bad at its task. The task is wrong.
#
# ## 2 Write: a density instead of a number
#
# Ask the network for a distribution $p_\theta(a \mid s)$ over actions. A Gaussian is the first thought; a
# weighted sum of $K$ of them holds more ([Bishop 1994](https://publications.aston.ac.uk/id/eprint/373/)).
# The network returns $3K$ numbers, from which we make weights $\pi_k$ that sum to one, means, and positive
# widths:
#
# $$
# p_\theta(a \mid s) = \sum_{k=1}^{K} \pi_k(s)\, \mathcal{N}\big(a;\, \mu_k(s), \sigma_k(s)^2\big).
# $$ (start-mixture)
#
# To train it, demand that the recorded actions be probable: **maximum likelihood**. The logarithm turns the
# product over independent drives into a sum, and one minimises its negative, the negative log-likelihood
# (NLL), here per drive:
#
# $$ \mathcal{L}(\theta) = -\frac{1}{N} \sum_{n=1}^{N} \log p_\theta(a_n \mid s_n). $$ (start-nll)
#
# Squared error is inside this, as the case $K = 1$ with one fixed width $\sigma$:
#
# $$
# -\log \mathcal{N}(a; f(s), \sigma^2) = \frac{(a - f(s))^2}{2\sigma^2} + \tfrac12 \log(2\pi\sigma^2),
# $$ (start-gaussian-nll)
#
# whose second term is a constant. So the regressor *was* a maximum-likelihood model of a density, one that
# insisted on a single lump. In code, {eq}`start-mixture` is a `logsumexp`: the sum must be taken of
# densities while we hold their logarithms, and exponentiating naively would give $\log 0$ for any point
# that is far from all lumps.


# %%
def mixture_log_prob(logits, mu, log_sigma, x):  # (B, K), (B, K, D), (B, K, D), (B, D)
    z = (x[:, None] - mu) / log_sigma.exp()  # (B, K, D)
    components = (-0.5 * z**2 - log_sigma - 0.5 * math.log(2 * math.pi)).sum(-1)  # (B, K)
    return torch.logsumexp(logits.log_softmax(-1) + components, dim=-1)  # eq. (start-mixture), (B,)


def parameters_at(net, s):
    logits, mu, log_sigma = net(s).chunk(3, dim=-1)  # (B, K) each
    return logits, mu[..., None], log_sigma[..., None]  # D = 1


def sample_action(net, s):
    logits, mu, log_sigma = parameters_at(net, s)
    k = torch.multinomial(logits.softmax(-1), 1, generator=g)  # (B, 1): which lump
    mu, sigma = mu[..., 0].gather(1, k), log_sigma[..., 0].exp().gather(1, k)
    return mu + sigma * torch.randn(mu.shape, generator=g)  # (B, 1)


# %% [markdown]
# ## 3 Run: one lump, then two
#
# One change at a time. First $K = 1$: a Gaussian whose mean *and width* the network chooses. Is it enough
# to add noise to the regressor? Then $K = 2$. From here on the loop is `dgm.train.fit`, which does what
# ours did and keeps a history.


# %%
def train_density(lumps):
    with seeded(1):
        net = MLP([1, 64, 64, 3 * lumps])
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

    def step(batch):
        s, a = batch
        loss = -mixture_log_prob(*parameters_at(net, s), a).mean()  # eq. (start-nll)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        return {"loss": loss}

    batches = Batches(s, a, batch_size=256, generator=torch.Generator().manual_seed(2))
    fit(step, batches, steps=steps)
    return net.eval().requires_grad_(False)


one, two = train_density(1), train_density(2)

# %% [markdown]
# Three numbers, on drives that no model has seen. The NLL, in nats; how often a *drawn* action hits the
# rock; and, for starts between $-0.6$ and $-0.4$, how often the model goes left. The last row of the table
# is the truth, whose density we know because we wrote the world.
#
# Maximum likelihood with a single Gaussian can do no better than the true mean and variance at each $s$,
# whose NLL is $\tfrac12 \log(2\pi e \operatorname{Var}(a \mid s))$ on average; and it should get there.

# %%
truth = torch.cat([F.logsigmoid(-3 * s_test), F.logsigmoid(3 * s_test)], dim=1)  # (N, 2): log weights
means = torch.tensor([[-1.0], [1.0]]).expand(len(s_test), 2, 1)
log_p = mixture_log_prob(truth, means, torch.full_like(means, math.log(HAND)), a_test)
window = ((s_test > -0.6) & (s_test < -0.4)).flatten()
table = {"regressor": (None, regressor(s_test)), "truth": (-log_p, a_test)}
for name, net in (("one lump", one), ("two lumps", two)):
    table[name] = (-mixture_log_prob(*parameters_at(net, s_test), a_test), sample_action(net, s_test))

print("             NLL (nats)   hits the rock   goes left from s = -0.5")
hits, lefts = {}, {}
for name in ("regressor", "one lump", "two lumps", "truth"):
    nll, action = table[name]
    hits[name] = (action.abs() < ROCK).float().mean().item()
    lefts[name] = (action[window] < 0).float().mean().item()
    nats = "     -" if nll is None else f"{nll.mean():6.3f}"
    print(f"{name:12s}   {nats}        {hits[name]:8.4f}          {lefts[name]:.3f}")

# %% [markdown]
# One lump is honest about its uncertainty, and drives no better: to cover both sides it must cover what
# lies between them. Two lumps go round, on both sides, and as often on each as the drivers did. Tolerances:
# a model with some thirty effective parameters fitted to 4,000 drives loses about
# $30 / (2 \cdot 4000) \approx 0.004$ nats against the best of its family (a rule of thumb: half a nat per
# fitted parameter, [Akaike 1974](https://doi.org/10.1109/TAC.1974.1100705), here shared out over 4,000
# drives); we allow five times that. The share of left turns has a standard error of at most
# $\sqrt{0.25/2000} \approx 0.011$ from some 2,000 starts in the window and as many again in the training
# data; we allow 0.05.

# %%
nll = {name: table[name][0].mean().item() for name in ("one lump", "two lumps", "truth")}
variance = HAND**2 + 1 - torch.tanh(1.5 * s_test) ** 2
best_single = 0.5 * torch.log(2 * math.pi * math.e * variance).mean().item()
print(f"best single Gaussian {best_single:.3f} nats, reached {nll['one lump']:.3f}")
assert abs(nll["one lump"] - best_single) < 0.02 + 4 * table["one lump"][0].std() / math.sqrt(len(s_test))
assert -0.005 < nll["two lumps"] - nll["truth"] < 0.02
assert hits["one lump"] > 0.25
assert hits["two lumps"] < 0.005
assert abs(lefts["two lumps"] - lefts["truth"]) < 0.05

# %% [markdown]
# Move the start. The regressor's answer slides through the rock; the density splits.

# %%
grid = torch.linspace(-1.8, 1.8, 721)[:, None]


def density_at(net, start):
    return mixture_log_prob(*parameters_at(net, torch.full_like(grid, start)), grid).exp()


def describe_start(start):
    aim = regressor(torch.tensor([[start]])).item()
    left = (sample_action(two, torch.full((2000, 1), start)) < 0).float().mean().item()
    return (
        f"Start {start:g}: the regressor aims at {aim:.2f}; the rock reaches from -0.5 to 0.5. The two-lump "
        f"density has narrow peaks at -1 and 1, and {left:.0%} of its draws pass on the left."
    )


# %%
def draw_start(start):
    fig, (road, ax) = plt.subplots(1, 2, figsize=(7, 3.1), width_ratios=(1, 1.25))
    here = torch.full((40, 1), start)
    draw_road(road, here, sample_action(two, here), GREEN, "40 draws, two lumps", alpha=0.4)
    draw_road(road, here[:1], regressor(here[:1]), RED, "40 draws (green), regressor (red)", alpha=1)
    ax.axvspan(-ROCK, ROCK, color="0.85", label="rock")
    ax.plot(grid, density_at(two, start), color=GREEN, label="two lumps")
    ax.plot(grid, density_at(one, start), color=ORANGE, ls="--", label="one lump")
    ax.axvline(regressor(here[:1]).item(), color=RED, label="regressor")
    ax.set(xlabel="action $a$", ylabel="density", ylim=(0, 4.3), title=f"$p(a \\mid s)$ at $s$ = {start:g}")
    ax.legend(fontsize=8, loc="upper center", ncols=2, frameon=True, facecolor="white", framealpha=1)
    return fig


frames(
    draw_start,
    [-0.9, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.9],
    label="start s",
    start=0.0,
    alt=describe_start,
    caption="Three answers for one start s: the regressor names a single action, one lump spreads across the "
    "rock, two lumps put their mass on either side of it.",
)

# %% [markdown]
# ## 4 Derive: what maximum likelihood measures
#
# We trained by {eq}`start-nll` because it felt right to make the data probable. What does it make the model
# *do*? Let $p$ be the density the data come from, and $q$ the model's. (Everything in this section holds
# with a condition $s$ on both; we leave it out.) Define the **Kullback-Leibler divergence** of $q$ from $p$
# ([Kullback and Leibler 1951](https://doi.org/10.1214/aoms/1177729694)),
#
# $$ \mathrm{KL}(p \,\|\, q) = \mathbb{E}_{x \sim p}\big[\log p(x) - \log q(x)\big]: $$ (start-kl)
#
# the average, over data, of how much more probable the truth finds them than the model does. Single points
# may have it either way; the average cannot. Since $\log u \le u - 1$, with equality only at $u = 1$,
#
# $$
# \begin{aligned}
# -\mathrm{KL}(p \,\|\, q) = \mathbb{E}_p\Big[\log \frac{q(x)}{p(x)}\Big]
# &\le \mathbb{E}_p\Big[\frac{q(x)}{p(x)} - 1\Big] \\
# &= \int_{p > 0} q(x)\,dx - 1 \;\le\; 0,
# \end{aligned}
# $$ (start-gibbs)
#
# which proves
#
# :::{prf:proposition} Gibbs' inequality
# :label: prop-gibbs
# The divergence $\mathrm{KL}(p \,\|\, q)$ of two densities is never negative, and it's zero only if $q = p$
# (almost) everywhere.
# :::
#
# Now split the logarithm of {eq}`start-kl` in two. With the entropy
# $H(p) = -\mathbb{E}_p[\log p(x)]$,
#
# $$
# \underbrace{-\,\mathbb{E}_{p}\big[\log q_\theta(x)\big]}_{\text{expected NLL}}
# = \underbrace{H(p)}_{\text{no } \theta \text{ in it}} + \;\mathrm{KL}(p \,\|\, q_\theta).
# $$ (start-mle-kl)
#
# **Maximum likelihood is minimum KL.** The expected NLL has a floor, the entropy of the data, and what a
# model stands above it is its divergence from the truth. For fixed $\theta$ the average over $N$ data
# points estimates the left side without bias; for a $\theta$ that was *fitted* to those points it flatters,
# and so the NLL of a model is always measured on data that it hasn't seen.
#
# In life $H(p)$ is unknown, and an NLL says only which of two models is the better. With a density we made
# ourselves we can check {eq}`start-mle-kl` from both sides: the NLL from samples, entropy and divergence by
# summing over a fine grid. The world is a ring of six Gaussians in the plane; the model is
# {eq}`start-mixture` with $D = 2$, no condition, and free parameters, once with three lumps and once with
# ten, each lump started on a data point.

# %%
ring = GaussianMixture.ring(6, radius=2.0, std=0.4)
data, new = ring.sample(4_000, g), ring.sample(20_000, g)
axis = torch.linspace(-6, 6, 241)
cell = (axis[1] - axis[0]).item() ** 2
plane = torch.cartesian_prod(axis, axis)  # (241 * 241, 2)
log_ring = ring.log_prob(plane)
h = -(log_ring.exp() * log_ring).sum().item() * cell  # entropy, by quadrature


# %%
def fit_ring(lumps):
    mu = data[None, :lumps].clone()  # (1, K, 2)
    theta = nn.ParameterList([torch.zeros(1, lumps), mu, torch.zeros(1, lumps, 2)])
    optimiser = torch.optim.Adam(theta.parameters(), lr=0.05)
    seen = []  # (NLL on new data, its standard error, KL on the grid, log q on the grid)
    for step in range(121):
        if step % 10 == 0:
            with torch.no_grad():
                log_q_new, log_q = mixture_log_prob(*theta, new), mixture_log_prob(*theta, plane)
            kl = (log_ring.exp() * (log_ring - log_q)).sum().item() * cell  # eq. (start-kl)
            seen.append((-log_q_new.mean().item(), log_q_new.std().item() / math.sqrt(len(new)), kl, log_q))
        loss = -mixture_log_prob(*theta, data).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return seen


runs = {"three lumps": fit_ring(3), "ten lumps": fit_ring(10)}

# %% [markdown]
# At each of the thirteen stops of each run the NLL on new data, less the entropy, must be the divergence,
# within four standard errors of a mean over 20,000 points.

# %%
print(f"entropy of the ring {h:.4f} nats")
for name, seen in runs.items():
    for i in (0, 3, 6, 12):
        nll_nats, error, kl, _ = seen[i]
        print(f"{name:11s} step {10 * i:3d}   NLL - H = {nll_nats - h:.4f} +- {error:.4f}   KL = {kl:.4f}")
    assert all(abs(nll_nats - h - kl) < 4 * error for nll_nats, error, kl, _ in seen)
    assert all(kl > 0 for *_, kl, _ in seen)  # eq. (start-gibbs)
assert runs["ten lumps"][-1][2] < 0.04
assert runs["three lumps"][-1][2] > 0.1


# %%
def draw_step(step):
    colors = {"three lumps": BLUE, "ten lumps": GREEN}
    fig, axes = plt.subplots(1, 3, figsize=(7.4, 2.9), width_ratios=(1, 1, 1.2))
    for ax, (name, seen) in zip(axes[:2], runs.items(), strict=True):
        ax.scatter(*data[:600].T, s=2, color="0.6")
        density = seen[step // 10][3].exp().view(241, 241).T
        ax.contour(axis, axis, density, levels=6, colors=colors[name], linewidths=1)
        ax.set(
            xlim=(-3.6, 3.6), ylim=(-3.6, 3.6), aspect="equal", title=f"{name}, step {step}", xlabel="$x_1$"
        )
        axes[2].plot(range(0, 121, 10), [r[2] for r in seen], color=colors[name], label=f"KL, {name}")
        dots = [r[0] - h for r in seen]
        axes[2].plot(range(0, 121, 10), dots, "o", ms=4, color=colors[name], label="NLL − H")
    axes[2].axvline(step, color="0.6", lw=1)
    axes[2].set(xlabel="training step", ylabel="nats", ylim=(0, None), xticks=range(0, 121, 40))
    axes[2].legend(fontsize=7)
    return fig


# %%
def describe_step(step):
    both = [f"{name} {seen[step // 10][2]:.3f} nats" for name, seen in runs.items()]
    return f"Step {step}: contours of both models over the six clusters; KL {both[0]}, {both[1]}."


frames(
    draw_step,
    list(range(0, 121, 10)),
    label="training step",
    start=120,
    alt=describe_step,
    caption="Two mixtures over the data, and their divergence from the truth during training, found twice: "
    "on a grid (lines) and as NLL less entropy on new data (dots).",
)

# %% [markdown]
# Dots and lines coincide, in both runs. And they tell us what the NLL alone would have kept to itself: how
# much is still to be had. Ten lumps end close to zero: for 49 free parameters (ten times two means and two
# widths, and nine weights) fitted to 4,000 points one expects a loss of $49/(2 \cdot 4000) \approx 0.006$
# nats, and we allowed 0.04. Three lumps stop far above: no setting of theirs *is* the ring. Look at where
# they lie: not on three of the six clusters, but each across two and the gap between them. Three lumps have
# done to the ring what the one lump did to the drivers. Is that an accident?

# %% [markdown]
# ## 5 Derive: the same divergence, backwards
#
# $\mathrm{KL}(p\,\|\,q)$ isn't symmetric. With the data's density $p$ in front it is called the **forward**
# KL. Swap the roles, and the average is taken over the *model's* draws, the **reverse** KL:
#
# $$
# \mathrm{KL}(q \,\|\, p) = \mathbb{E}_{x \sim q}\big[\log q(x) - \log p(x)\big]
# = -H(q) - \mathbb{E}_{x \sim q}\big[\log p(x)\big].
# $$ (start-reverse-kl)
#
# It too is never negative, and zero only at $q = p$, by the same proof. If the model's family contains the
# truth, the two directions want the same. The difference shows when it doesn't. Ask of each what it costs
# to be wrong at a point $x$. In $\mathrm{KL}(p\,\|\,q)$ the price of $q(x) \approx 0$ where $p(x) > 0$ is
# without limit, and putting mass where there is no data costs only the mass that is then missing elsewhere:
# *cover everything*. In $\mathrm{KL}(q\,\|\,p)$ it is the other way about: there is no charge for data that
# $q$ never visits, and no limit to the price of going where $p$ is nearly zero: *stay where it's safe*
# ([Minka
# 2005](https://www.microsoft.com/en-us/research/publication/divergence-measures-and-message-passing/)).
#
# Make this exact for the case of our single lump. Let $q = \mathcal{N}(m, v)$ and $p$ any density with mean
# $\mu_p$ and variance $v_p$. The part of $\mathrm{KL}(p\,\|\,q)$ that depends on $q$ is
#
# $$
# -\mathbb{E}_p[\log q(x)] = \tfrac12 \log(2\pi v) + \frac{v_p + (\mu_p - m)^2}{2v},
# $$ (start-cross-entropy)
#
# because $\mathbb{E}_p[(x - m)^2] = v_p + (\mu_p - m)^2$, the step we took for {eq}`start-squared-error`.
# It's smallest over $m$ at $m = \mu_p$; then the derivative by $v$, $\tfrac{1}{2v} - \tfrac{v_p}{2v^2}$, is
# negative below $v = v_p$ and positive above. So
#
# $$
# \arg\min_{m, v} \mathrm{KL}\big(p \,\|\, \mathcal{N}(m, v)\big) = \big(\mu_p,\; v_p\big).
# $$ (start-moments)
#
# **Forward KL matches mean and variance**, wherever they fall: for two modes, the middle. That's the rock
# again. For reverse KL let $p = \sum_k \pi_k\, p_k$ be a mixture, and let $q$ be one of its components,
# $q = p_k$. As $p(x) \ge \pi_k\, p_k(x)$ everywhere,
#
# $$
# \mathrm{KL}(p_k \,\|\, p) = \mathbb{E}_{p_k}\Big[\log \frac{p_k(x)}{p(x)}\Big] \le \log\frac{1}{\pi_k},
# $$ (start-choose)
#
# however far away the other components are. It becomes an equality as they move away, for then
# $p = \pi_k\, p_k$ wherever $p_k$ has mass. **For reverse KL, choosing one mode and forgetting the rest
# costs no more than $-\log \pi_k$.** Two equal modes: at most $\log 2$.
#
# ### Run: fit both
#
# Two modes with weights 0.4 and 0.6 and width 0.7, at distance $d$; one Gaussian $q$; gradient descent on
# each direction, the integral a sum over a grid. Reverse KL is started twice, once on each mode, because we
# expect that it matters. All distances are fitted at once, a row each.

# %%
distances = torch.linspace(0, 7, 15, dtype=torch.float64)[:, None]  # (15, 1)
x = torch.linspace(-14, 14, 1401, dtype=torch.float64)[None]  # (1, 1401)
dx, width, weights = (x[0, 1] - x[0, 0]).item(), 0.7, (0.4, 0.6)


def log_normal(x, m, log_s):
    return -0.5 * ((x - m) / log_s.exp()) ** 2 - log_s - 0.5 * math.log(2 * math.pi)


log_width = torch.tensor(math.log(width), dtype=torch.float64)
modes = [log_normal(x, side * distances / 2, log_width) for side in (-1, 1)]
log_p = torch.logaddexp(math.log(weights[0]) + modes[0], math.log(weights[1]) + modes[1])  # (15, 1401)


# %%
def kl_rows(log_a, log_b):  # eq. (start-kl), one row per distance
    return (log_a.exp() * (log_a - log_b)).sum(1) * dx


def descend(divergence, start, steps=600):
    m, log_s = start.clone().requires_grad_(), torch.full_like(start, math.log(width)).requires_grad_()
    optimiser = torch.optim.Adam([m, log_s], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        loss = divergence(log_normal(x, m, log_s)).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return m.detach(), log_s.detach()


# %%
fits = {
    "forward": descend(lambda log_q: kl_rows(log_p, log_q), torch.zeros_like(distances)),
    "reverse, from the left": descend(lambda log_q: kl_rows(log_q, log_p), -distances / 2),
    "reverse, from the right": descend(lambda log_q: kl_rows(log_q, log_p), distances / 2),
}
costs = {}
print("at distance 7                 mean    width   KL(p||q)   KL(q||p)")
for name, (m, log_s) in fits.items():
    log_q = log_normal(x, m, log_s)
    costs[name] = kl_rows(log_p, log_q), kl_rows(log_q, log_p)
    values = (m[-1].item(), log_s[-1].exp().item(), costs[name][0][-1].item(), costs[name][1][-1].item())
    print(f"{name:26s} {values[0]:7.3f}  {values[1]:6.3f}   {values[2]:8.3f}   {values[3]:8.3f}")

m, log_s = fits["forward"]  # eq. (start-moments): gradient descent against the closed form
variance = width**2 + weights[0] * weights[1] * distances**2
assert torch.allclose(m, (weights[1] - weights[0]) * distances / 2, atol=1e-3)
assert torch.allclose(log_s.exp(), variance.sqrt(), atol=1e-3)
for name, weight in (("reverse, from the left", 0.4), ("reverse, from the right", 0.6)):  # eq. (start-choose)
    cost = costs[name][1]
    assert (cost < -math.log(weight) + 1e-6).all()
    assert abs(cost[-1] + math.log(weight)) < 1e-3
    assert abs(fits[name][0][-1].abs() - 3.5) < 1e-2  # on its mode
    assert costs[name][0][-1] > 10 * costs["forward"][0][-1]
    assert costs["forward"][1][-1] > 3 * costs[name][1][-1]

# %% [markdown]
# Gradient descent finds the closed form of {eq}`start-moments` to the third decimal, and at distance 7 the
# two reverse fits sit on their modes and pay $-\log 0.4$ and $-\log 0.6$ to the third decimal. Judged by
# the *other* direction each fit is terrible: in forward KL the choosers pay more than ten times what the
# coverer does, and in reverse KL the coverer more than three times what they do. Move the modes apart and
# watch for the distance at which the reverse fits part company.


# %%
def draw_distance(distance):
    i = round(2 * distance)  # the row
    styles = zip(fits.items(), ((ORANGE, "--"), (GREEN, "-"), (RED, "-.")), strict=True)
    fig, ax = plt.subplots(figsize=(7, 3))
    ax.fill_between(x[0], log_p[i].exp(), color="0.85", label="p")
    for (name, (m, log_s)), (color, ls) in styles:
        ax.plot(x[0], log_normal(x, m, log_s)[i].exp(), color=color, ls=ls, label=name)
    ax.set(xlim=(-6, 6), ylim=(0, 0.7), xlabel="$x$", ylabel="density")
    ax.set_title(f"modes {distance:g} apart")
    ax.legend(loc="upper center", fontsize=8, ncols=4)
    return fig


def describe_distance(distance):
    means = ", ".join(f"{name} {m[round(2 * distance)].item():.2f}" for name, (m, _) in fits.items())
    return f"Modes {distance:g} apart; means of the fitted Gaussians: {means}. Forward covers both modes."


# %%
frames(
    draw_distance,
    distances.flatten().tolist(),
    label="distance",
    start=5.0,
    alt=describe_distance,
    caption="The best single Gaussian for two modes. Forward KL covers both and the gap between them; "
    "reverse KL, once they are far enough apart, stays on the mode it started from.",
)

# %% [markdown]
# **What it means.** Which direction one takes is often decided by what one has. Forward KL needs draws from
# $p$ (data) and the model's density; it's what every model in this course does that is trained by
# likelihood. Reverse KL needs draws from the model and $\log p$ up to a constant; it's what the VAE's
# encoder does inside, when it approximates a posterior that can be evaluated but not sampled. Remember
# which sins each commits: the coverer draws things that never happen, the chooser forgets things that do.
#
# ## 6 Meet the library
#
# What we wrote is in `dgm`, with more care for shapes and edges. The mixture's density, the Gaussian's, the
# divergence on a grid, and the divergence of two Gaussians in closed form must agree with ours. The last
# one is a real check: our quadrature against their algebra.

# %%
points = ring.sample(1_000, g).double()
six = torch.tensor(ring.means, dtype=torch.float64)[None]  # (1, 6, 2)
ours = mixture_log_prob(torch.zeros(1, 6), six, torch.full_like(six, math.log(0.4)), points)
assert torch.allclose(ours, ring.log_prob(points), atol=1e-12)

column = points[:, :1]
ours = log_normal(column, torch.tensor(0.3), torch.tensor(-0.2))[:, 0]
assert torch.allclose(ours, gaussian_log_prob(column, torch.tensor(0.3), torch.tensor(-0.4)), atol=1e-7)

log_q = log_normal(x, *fits["forward"])
theirs = torch.stack([kl_on_grid(p, q, dx) for p, q in zip(log_p, log_q, strict=True)])
assert torch.allclose(kl_rows(log_p, log_q), theirs, atol=1e-12)

(m_left, s_left), (m_right, s_right) = fits["reverse, from the left"], fits["forward"]
closed = kl_gaussians(m_left, 2 * s_left, m_right, 2 * s_right)  # logvar = 2 log sigma
assert torch.allclose(kl_rows(log_normal(x, m_left, s_left), log_q), closed, atol=1e-6)
show(kl_on_grid)

# %% [markdown]
# ## 7 Discriminative and generative
#
# So far the model predicted an action from a start: $p(a \mid s)$, a *conditional* density. Where do the
# words "discriminative" and "generative" come in? Take a new example. Beetles of two kinds $y \in \{0, 1\}$
# are measured, length and width, $x \in \mathbb{R}^2$ (in standard units). One wants to tell the kind from
# the measurements. The joint density can be read in two orders:
#
# $$ p(x, y) = p(y \mid x)\, p(x) = p(x \mid y)\, p(y). $$ (start-joint)
#
# A **discriminative** model is one of $p(y \mid x)$ alone. It says nothing of $p(x)$: which measurements
# occur is not its business. A **generative** model is one of the whole: it describes each kind,
# $p(x \mid y)$, and how frequent it is, $p(y)$. The rest follows by division (Bayes' rule):
#
# $$
# p(y \mid x) = \frac{p(y)\, p(x \mid y)}{p(x)}, \qquad p(x) = \sum_{y'} p(y')\, p(x \mid y').
# $$ (start-bayes)
#
# *Assume* for the generative model a Gaussian for each kind, $\mathcal{N}(\mu_y, \Sigma)$, with one
# covariance for both. What does it say of $y$? In the logarithm of the ratio of the two numerators of
# {eq}`start-bayes` the normalising constants cancel, and so do the terms $-\tfrac12 x^\top \Sigma^{-1} x$.
# What remains is linear: $(\mu_1 - \mu_0)^\top \Sigma^{-1} x$, and the constants
# $-\tfrac12 \mu_1^\top \Sigma^{-1} \mu_1 + \tfrac12 \mu_0^\top \Sigma^{-1} \mu_0$, which factor like a
# difference of squares:
#
# $$
# \begin{aligned}
# \log \frac{p(1 \mid x)}{p(0 \mid x)} &= w^\top x + b, \qquad w = \Sigma^{-1}(\mu_1 - \mu_0), \\
# b &= -\tfrac12 (\mu_1 + \mu_0)^\top \Sigma^{-1} (\mu_1 - \mu_0) + \log\frac{p(1)}{p(0)}.
# \end{aligned}
# $$ (start-logit)
#
# The discriminative twin *starts* here: assume $p(1 \mid x) = \sigma(w^\top x + b)$ and fit $w, b$ by
# maximum likelihood of the labels. That is logistic regression. Both can draw the same boundaries. They
# differ in what they assume, and so in what they can do ([Ng and Jordan
# 2001](https://papers.nips.cc/paper_files/paper/2001/hash/7b7a53e239400a13bd6be6c91c4f6c4e-Abstract.html)).

# %%
centres = torch.tensor([[-1.0, -0.3], [1.0, 0.3]])
spread = torch.tensor([[1.0, 0.6], [0.6, 1.0]])


def beetles(n):
    y = torch.arange(n) % 2  # as many of each kind
    return centres[y] + torch.randn(n, 2, generator=g) @ torch.linalg.cholesky(spread).T, y


def fit_generative(x, r):  # r (N, 2): how much of beetle n counts as kind y; rows sum to 1
    mu = (r.T @ x) / r.sum(0)[:, None]  # (2, 2): weighted means
    d = x[:, None] - mu  # (N, 2 kinds, 2)
    sigma = torch.einsum("ny,nyi,nyj->ij", r, d, d) / len(x)  # shared covariance
    return r.mean(0), mu, sigma


def log_joint(model, x):  # log p(x, y), (N, 2)
    prior, mu, sigma = model
    return torch.distributions.MultivariateNormal(mu, sigma).log_prob(x[:, None]) + prior.log()


# %%
def fit_discriminative(x, y, ridge=0.1, steps=20):  # Newton's method; the ridge keeps w finite on few data
    ones, w = torch.cat([x, torch.ones(len(x), 1)], dim=1), torch.zeros(3)
    for _ in range(steps):
        p = torch.sigmoid(ones @ w)
        hessian = (ones * (p * (1 - p))[:, None]).T @ ones + ridge * torch.eye(3)
        w = w - torch.linalg.solve(hessian, ones.T @ (p - y) + ridge * w)
    return w  # (w_1, w_2, b)


# %% [markdown]
# Two hundred labelled beetles, 20,000 to test on. The truth has the assumed form, so the best possible
# accuracy is known: the projection of $x$ on $w$ is Gaussian for either kind, with means $\Delta$ standard
# deviations apart, $\Delta^2 = (\mu_1 - \mu_0)^\top \Sigma^{-1} (\mu_1 - \mu_0)$, and a threshold halfway
# is right with probability $\Phi(\Delta/2)$. Both classifiers should come within a percentage point of it:
# three standard errors of a test on 20,000 beetles are 0.7 of one, and the rest is for what 200 beetles
# leave undetermined.

# %%
x_train, y_train = beetles(200)
x_new, y_new = beetles(20_000)
gen = fit_generative(x_train, F.one_hot(y_train, 2).float())
w = fit_discriminative(x_train, y_train.float())


def logit(w, x):
    return x @ w[:2] + w[2]


gap = centres[1] - centres[0]
delta = (gap @ torch.linalg.solve(spread, gap)).sqrt()
best = torch.special.ndtr(delta / 2).item()
posterior = log_joint(gen, x_new).softmax(1)[:, 1]  # eq. (start-bayes)
accuracy = {
    "generative": ((posterior > 0.5) == y_new.bool()).float().mean().item(),
    "discriminative": ((logit(w, x_new) > 0) == y_new.bool()).float().mean().item(),
}
print({name: round(value, 4) for name, value in accuracy.items()}, "best possible", round(best, 4))
assert all(abs(value - best) < 0.01 for value in accuracy.values())
prior, mu, sigma = gen  # eq. (start-logit): the generative posterior is a logistic function
w_gen = torch.linalg.solve(sigma, mu[1] - mu[0])
b_gen = -0.5 * (mu[1] + mu[0]) @ w_gen + (prior[1] / prior[0]).log()
assert torch.allclose(posterior, torch.sigmoid(x_new @ w_gen + b_gen), atol=1e-5)

# %% [markdown]
# A draw, then. So what is $p(x)$ good for? Three things that $p(y \mid x)$ cannot give.
#
# **It samples.** Draw $y$, then $x$ given $y$: new beetles (right panel). From $\sigma(w^\top x + b)$ alone
# no $x$ can be drawn.
#
# **It notices what it has never seen.** Somebody hands in a beetle at $(5, -5)$, long and thin as none is.
# The discriminative model has one question to answer and answers it with near certainty, since the point is
# far from the boundary. The generative model agrees if pressed, and adds that $\log p(x)$ is lower than for
# any of 20,000 real beetles: whatever this is, it belongs to neither kind.

# %%
odd = torch.tensor([[5.0, -5.0]])
log_px = torch.logsumexp(log_joint(gen, x_new), dim=1)  # eq. (start-bayes), the denominator
odd_px = torch.logsumexp(log_joint(gen, odd), dim=1).item()
sure = torch.sigmoid(logit(w, odd)).item()
agreed = log_joint(gen, odd).softmax(1)[0, 1]
print(f"p(y = 1) of the odd one: discriminative {sure:.6f}, generative {agreed:.6f}")
print(f"log p(x) of the odd one {odd_px:.1f} nats, lowest of 20,000 real ones {log_px.min():.1f}")
assert sure > 0.999
assert odd_px < log_px.min() - 5

# %%
kind = torch.multinomial(prior, 400, replacement=True, generator=g)
drawn = mu[kind] + torch.randn(400, 2, generator=g) @ torch.linalg.cholesky(sigma).T
t = torch.linspace(-6, 6, 2)
fig, axes = plt.subplots(1, 2, figsize=(7, 3.6), sharex=True, sharey=True)
for ax, points, kinds in ((axes[0], x_train, y_train), (axes[1], drawn, kind)):
    for y, color, marker in ((0, BLUE, "o"), (1, ORANGE, "^")):
        ax.scatter(*points[kinds == y].T, s=8, color=color, marker=marker, label=f"kind {y}")
    ax.scatter(*odd.T, marker="*", s=90, color=RED, label="the odd one")
    ax.set(xlabel="length", xlim=(-6, 6), ylim=(-6, 6), aspect="equal")
axes[0].plot(t, -(w_gen[0] * t + b_gen) / w_gen[1], color="k", label="generative")
axes[0].plot(t, -(w[0] * t + w[2]) / w[1], color=RED, ls="--", label="discriminative")
axes[0].set(ylabel="width", title="200 labelled beetles, two boundaries")
axes[0].legend(fontsize=7, loc="upper left")
level = torch.logsumexp(log_joint(gen, plane), dim=1).view(241, 241).T
axes[1].contour(axis, axis, level, levels=[-20, -12, -8, -6, -4], colors="0.5", linewidths=0.8)
axes[1].set_title("400 drawn from the model, log p(x)")
figure(
    fig,
    alt="Left: two overlapping clouds of beetles and two nearly equal straight boundaries; a star far to "
    "the lower right lies deep on one side. Right: draws from the generative model look like the "
    "data; the contours of its log p(x) leave the star outside.",
    caption="Left, both classifiers draw nearly the same boundary. Right, what only the generative one has: "
    "draws, and contours of log p(x), with the odd beetle far outside them.",
)

# %% [markdown]
# **It learns from beetles that nobody has labelled.** Their $x$ alone has a likelihood, $\log p(x)$, in a
# generative model; in a discriminative one they occur nowhere. With five labelled beetles of each kind and
# 500 unlabelled ones, maximise $\sum_{\text{labelled}} \log p(x, y) + \sum_{\text{unlabelled}} \log p(x)$
# by turns: guess the label of each unlabelled beetle as the probability {eq}`start-bayes`, refit with the
# guesses as weights, guess again (the EM algorithm,
# [Dempster et al. 1977](https://doi.org/10.1111/j.2517-6161.1977.tb01600.x)). Averaged over 100 such data
# sets:

# %%
rows = []
for _ in range(100):
    x_few, y_few = beetles(10)
    x_all = torch.cat([x_few, beetles(500)[0]])
    known = F.one_hot(y_few, 2).float()
    model = supervised = fit_generative(x_few, known)
    for _ in range(30):
        guess = log_joint(model, x_all).softmax(1)
        guess[:10] = known
        model = fit_generative(x_all, guess)
    test = slice(0, 4_000)
    right = [(log_joint(m, x_new[test]).argmax(1) == y_new[test]).float().mean() for m in (supervised, model)]
    decided = logit(fit_discriminative(x_few, y_few.float()), x_new[test]) > 0
    rows.append([(decided == y_new[test].bool()).float().mean(), *right])


def objective(model):  # what EM is to raise; on the last data set
    labelled = log_joint(model, x_few).gather(1, y_few[:, None]).sum()
    return labelled + torch.logsumexp(log_joint(model, x_all[10:]), dim=1).sum()


assert objective(model) > objective(supervised)

# %%
rows = torch.tensor(rows)
gain = rows[:, 2] - rows[:, :2].max(1).values  # against the better of the other two, data set by data set
print("discriminative {:.3f}, generative {:.3f}, generative with unlabelled {:.3f}".format(*rows.mean(0)))
print(f"gain {gain.mean():.3f} +- {gain.std() / 10:.3f}; best possible {best:.3f}")
assert gain.mean() > 3 * gain.std() / 10

# %% [markdown]
# The gain is over the better of the two others on each data set, and more than three of its standard
# errors.
#
# ## 8 Break it
#
# **The assumption that pays also costs.** Give kind 1 a second habitat where its beetles grow huge: one in
# five of them lies round $(7, 2)$. These are on kind 1's own side of the boundary and easy to tell. *Before
# you run the cell:* which of the two classifiers gets worse, and why? (Look at {eq}`start-logit` for what a
# few huge beetles do to $\mu_1$ and $\Sigma$.)


# %%
def with_giants(n):
    x, y = beetles(n)
    giant = (y == 1) & (torch.rand(n, generator=g) < 0.2)
    return torch.where(giant[:, None], torch.tensor([7.0, 2.0]) + 0.3 * torch.randn(n, 2, generator=g), x), y


x_giants, y_giants = with_giants(1_000)
x_check, y_check = with_giants(20_000)
gen_giants = fit_generative(x_giants, F.one_hot(y_giants, 2).float())
w_giants = fit_discriminative(x_giants, y_giants.float())
right_gen = (log_joint(gen_giants, x_check).argmax(1) == y_check).float()
right_dis = ((logit(w_giants, x_check) > 0) == y_check.bool()).float()
lead = right_dis - right_gen
print(f"generative {right_gen.mean():.3f}, discriminative {right_dis.mean():.3f}")
assert lead.mean() > 4 * lead.std() / math.sqrt(len(lead))

# %% [markdown]
# The generative model describes kind 1 by one Gaussian, which must now stretch from the clouds to the
# giants; its mean moves outward, and the boundary with it, into the crowd. (Fitting by {eq}`start-moments`:
# it covers.) The discriminative one never looked at where the beetles are, only at which side they're on.
# To describe everything is to be wrong about something. The answer of the rest of this course is to make
# $p(x)$ flexible enough that this stops hurting.
#
# **A different loss for the driver.** Back to the rock. Replace the square by the absolute value
# $|a - f(s)|$, and nothing else. *Before you run the cell:* does the network still crash? The expected
# absolute error is smallest at the conditional *median*: moving $f$ a little to the right gains for every
# target on the right and loses for every target on the left, so the best $f$ has half of them on each side.


# %%
with seeded(0):
    median = MLP([1, 64, 64, 1])
optimiser = torch.optim.Adam(median.parameters(), lr=3e-3)


def absolute_step(batch):
    s, a = batch
    loss = (a - median(s)).abs().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return {"loss": loss}


fit(absolute_step, Batches(s, a, batch_size=256, generator=torch.Generator().manual_seed(4)), steps=steps)
median.eval().requires_grad_(False)
action = median(s_test)
print(f"hits the rock {(action.abs() < ROCK).float().mean():.3f} (squared error {hits['regressor']:.3f})")
print(f"goes left from s = -0.5 {(action[window] < 0).float().mean():.3f} (drivers {lefts['truth']:.3f})")
assert (action.abs() < ROCK).float().mean() < hits["regressor"] / 2
assert (action[window] < 0).float().mean() > 0.99 > lefts["truth"] + 0.1

# %% [markdown]
# It mostly gets round: with more than half of the drivers on one side, the median lies on that side, and
# only where the sides swap must a continuous function cross the rock. But it has become a chooser. From
# $s = -0.5$ every single car goes left, while one driver in five went right. If all you want is to arrive,
# take it. If you want to know what drivers do, or to draw faces and not one average or one favourite face,
# you need the distribution.
#
# ## 9 The map
#
# Our mixture of Gaussians worked because an action is one number. An image is thousands of numbers that
# agree with each other in ways that no handful of Gaussians can hold. Each family of this course finds
# another way to a rich $p(x)$, and each gives something up. The first question on the map is whether the
# model has a density that one can *evaluate* (explicit), or only a machine that *draws* (implicit); the
# second, whether the explicit density comes exactly or as a bound
# ([Goodfellow et al. 2016](https://www.deeplearningbook.org)).

# %%
tree = {  # name: centre, height, parent, what it does, what it gives up
    "generative models": (5.0, 7.0, None, ""),
    "explicit": (3.45, 5.7, "generative models", "log p(x) can be evaluated"),
    "implicit": (9.1, 5.7, "generative models", "x = G(z): draws only"),
    "exact": (1.5, 4.1, "explicit", ""),
    "bounded": (5.4, 4.1, "explicit", ""),
    "autoregressive": (0.5, 2.8, "exact", "one dimension\nat a time\n\ngives up: speed\nof drawing"),
    "flow": (2.5, 2.8, "exact", "x = f(z) with\nf invertible\n\ngives up: freedom\nof f, a short z"),
    "VAE": (4.4, 2.8, "bounded", "x from a short\nrandom code z\n\ngives up: exact\np(x)"),
    "diffusion": (6.4, 2.8, "bounded", "removes noise,\nlittle by little\n\ngives up: exact\np(x), speed"),
    "GAN": (
        9.1,
        2.8,
        "implicit",
        "G learns to fool a\njudge that learns\n\ngives up: p(x), one\nloss to descend",
    ),
}

# %%
fig, ax = plt.subplots(figsize=(7.2, 4.2))
for name, (x0, top, parent, note) in tree.items():
    color = {"exact": "#cfe3f1", "bounded": "#fae3b4", "implicit": "#f6d3bd"}.get(parent, "0.93")
    box = {"boxstyle": "round,pad=0.35", "fc": color, "ec": "0.6"}
    ax.text(x0, top, name, ha="center", va="center", weight="bold", fontsize=9, bbox=box)
    ax.text(x0, top - 0.36, note, ha="center", va="top", fontsize=8)
    if parent:
        from_x, from_y, _, above = tree[parent]
        ax.plot([from_x, x0], [from_y - (0.75 if above else 0.3), top + 0.3], color="0.6", lw=1, zorder=0)
ax.set(xlim=(-0.6, 10.4), ylim=(0.6, 7.4))
ax.axis("off")
figure(
    fig,
    alt="A tree. Generative models split into explicit ones, whose log p(x) can be evaluated, and "
    "implicit ones, which only draw. Explicit splits into exact (autoregressive, flow) and bounded "
    "(VAE, diffusion); implicit leads to GAN. Under each family stands what it gives up.",
    caption="The families of this course by what they do with p(x): evaluate it, bound it, or only draw from "
    "it. Under each stands what it gives up in return.",
)

# %% [markdown]
# Read it from the bottom. An **autoregressive** model writes $p(x)$ as a product of one-dimensional
# conditional densities, each of the kind we fitted at the rock: exact, and a draw takes as many steps as
# there are dimensions. A **flow** bends a simple density into a rich one by an invertible function whose
# volume change it knows. A **VAE** lets a random code decide what the dimensions have in common; its
# likelihood is an integral over all codes, of which one computes a lower bound. A **diffusion** model is
# trained to undo a little noise and draws by doing so many times. A **GAN** gives up the density
# altogether: a second network judges the draws, and what that amounts to minimising is neither of our two
# KLs; the chapter on GANs derives what it is.
#
# The map says what follows from each construction. Which family draws best at a given cost is a question
# for measurements, on the same data and under the same budget.
#
# ## 10 Think
#
# 1. A weather service trains a network by squared error to predict tomorrow's rainfall. Half of such days
#    stay dry, half bring 10 mm. What does it predict, and for what decision is that number right?
#
# :::{admonition} Answer
# :class: dropdown
# 5 mm, the mean {eq}`start-conditional-mean`: a day that doesn't occur. It's right where costs are linear
# in the amount, for instance for filling a reservoir over a season. Whoever decides about an umbrella needs
# the distribution.
# :::
#
# 2. In {eq}`start-gaussian-nll` fix $\sigma = 1$ instead of learning it. The minimiser $f$ is the same.
#    What is not?
#
# :::{admonition} Answer
# :class: dropdown
# The density. Its NLL at the rock would be at least $\tfrac12 \log 2\pi$, whatever the data, and its draws
# would scatter with deviation 1 whatever the start. A mean squared error is a likelihood only together with
# a width; which width matters as soon as anything is added to the loss or drawn from the model. (The
# chapter on [VAEs](02_vae.ipynb) comes back to this.)
# :::
#
# 3. Two steps of {eq}`start-gibbs` are inequalities. When is each of them strict?
#
# :::{admonition} Answer
# :class: dropdown
# The first whenever $q \neq p$ somewhere that $p$ has mass, for $\log u < u - 1$ unless $u = 1$. The second
# when $q$ has mass where $p$ has none: that part of $q$ is lost in $\int_{p>0} q$.
# :::
#
# 4. The forward KL between the empirical distribution of a finite data set (a spike on each point) and any
#    smooth density is infinite, and yet we train by it. How does {eq}`start-mle-kl` survive?
#
# :::{admonition} Answer
# :class: dropdown
# Both $H(p)$ and the KL are infinite, with opposite signs, for a distribution of spikes; their sum, the
# average NLL, is finite. It's the sum one computes. But the warning is real: a model free enough to put a
# narrow spike on every point makes the NLL on its training data as low as it likes. Give our mixture as
# many lumps as data points and try.
# :::
#
# 5. The two boundaries in the beetle figure are fitted to the same 200 beetles, under assumptions that both
#    hold. Why aren't they equal?
#
# :::{admonition} Answer
# :class: dropdown
# They maximise different things: the generative one $\sum \log p(x, y)$, the discriminative one only the
# part $\sum \log p(y \mid x)$. Where the Gaussian assumption holds, the first uses more of the data (where
# the $x$ lie also says something of $w$), and its boundary varies less from one sample to another
# ([Ng and Jordan
# 2001](https://papers.nips.cc/paper_files/paper/2001/hash/7b7a53e239400a13bd6be6c91c4f6c4e-Abstract.html)).
# With more and more beetles the two come together.
# :::
#
# 6. Reverse KL chose one mode when we fitted one lump. With two lumps, will it find both?
#
# :::{admonition} Answer
# :class: dropdown
# It can: then the family holds the truth, and the only minimum with value zero is $q = p$. But with both
# lumps started on the same mode it stays there: by {eq}`start-choose` that costs only $-\log \pi_k$, and
# nothing pulls at $q$ from places where it has no mass. Forward KL is pulled by every data point.
# :::
#
# **Exercises.** [Exercises to this chapter](../exercises/00_start.ipynb): from the joint density to both
# classifiers, the KL by hand, the best Gaussian,
# [forward against reverse](../exercises/00_start.ipynb#exercise-0-4).
#
# **References.** The mixture density network is
# [Bishop 1994](https://publications.aston.ac.uk/id/eprint/373/); the divergence goes back to
# [Kullback and Leibler 1951](https://doi.org/10.1214/aoms/1177729694); what its two directions do to
# approximations is laid out in [Minka
# 2005](https://www.microsoft.com/en-us/research/publication/divergence-measures-and-message-passing/);
# generative against discriminative classifiers in [Ng and Jordan
# 2001](https://papers.nips.cc/paper_files/paper/2001/hash/7b7a53e239400a13bd6be6c91c4f6c4e-Abstract.html);
# EM is [Dempster et al. 1977](https://doi.org/10.1111/j.2517-6161.1977.tb01600.x). Wider:
# [Bishop and Bishop 2024](https://doi.org/10.1007/978-3-031-45468-4),
# [Murphy 2023](https://probml.github.io/book2).
#
# **Next.** An action has one dimension, a picture has many, but most of them agree with each other: perhaps
# a few numbers would do to say which picture it is. The [next chapter](01_autoencoder.ipynb) squeezes
# digits through a narrow door, and finds out why that alone doesn't make a generative model.
