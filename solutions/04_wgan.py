# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: Wasserstein GANs
#
# Six tasks to the chapter [Wasserstein GANs](../chapters/04_wgan.ipynb), 34 points, about three and a half
# hours: two to write, a critic's step with bugs to find, a prediction, a bound to design, and a closed form
# to derive. Each task has a cell for your answer; run it, then run the cell with `check` below it.
# `hint("w1")` gives the next hint to a task, and costs nothing. You can leave a task out and do the later
# ones. Use plain torch: calling `dgm` is no answer, and `scipy` is none either. As in the chapter, $p$ is
# the distribution of the data, $q$ that of the forger, and the critic $f$ should be high on the data.

# %% tags=["setup"]
import math

import torch
import torch.nn.functional as F

# %%
from coursekit import PALETTE, figure, use_style
from coursekit.exercises import check, exercise, hint, progress, when_done

use_style()
torch.set_num_threads(1)
exercise("04_wgan")

# %%
from matplotlib import pyplot as plt
from torch import nn

# %% [markdown]
# ## 1. The distance on a line (5 points)
#
# $$
# W_1 = \int_0^1 \big\lvert F^{-1}(s) - G^{-1}(s) \big\rvert\, ds
# = \int_{-\infty}^{\infty} \big\lvert F(x) - G(x) \big\rvert\, dx
# $$
#
# Write it for two samples: `x` of shape (N,), each point with weight $1/N$, and `y` of shape (M,), each
# with weight $1/M$. Return one number. $N$ and $M$ may differ, and points may be equal. Exactly: no grid of
# levels, no random numbers.


# %% tags=["answer-w1"]
def w1(x, y):
    """W1 between the samples x (N,) and y (M,)."""
    # BEGIN SOLUTION
    points = torch.cat([x, y]).sort().values  # (N + M,)
    gaps = points.diff()  # between them F and G are constant
    below_x = torch.searchsorted(x.sort().values, points[:-1], right=True) / len(x)  # F at each point
    below_y = torch.searchsorted(y.sort().values, points[:-1], right=True) / len(y)  # G at each point
    return ((below_x.to(x) - below_y.to(x)).abs() * gaps).sum()
    # END SOLUTION


# %%
check("w1")

# %% [markdown]
# Two samples of the *same* Gaussian. What does the exact distance between them say?

# %%
with when_done("w1"):
    g = torch.Generator().manual_seed(0)
    sizes = [10, 30, 100, 300, 1000, 3000, 10000]
    means = [
        sum(float(w1(*torch.randn(2, n, generator=g, dtype=torch.float64))) for _ in range(20)) / 20
        for n in sizes
    ]
    fig, ax = plt.subplots(figsize=(5.4, 2.9))
    ax.loglog(sizes, means, "o-", label="your w1, mean of 20 pairs of samples")
    ax.loglog(sizes, [1.6 / math.sqrt(n) for n in sizes], "--", color="0.5", label="slope −½")
    ax.set(xlabel="points in each sample", ylabel="distance W1")
    ax.legend()
    figure(
        fig,
        alt="The distance between two samples of one Gaussian against their size, both axes logarithmic: a "
        "straight line that falls by a factor of ten for a hundred times as many points.",
    )

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Both forms of the integral are the area between two staircases, cut into rows or into columns. With
# $N = M$ the rows have equal width and the formula is the mean distance of the sorted points. Otherwise cut
# where either staircase has a step. Truncating the longer sample throws its largest points away, and
# interpolating quantiles smooths a step that is there: both are found in code, and both are wrong by the
# amount that you want to measure.
#
# The curve is a warning. Two samples of one distribution are a distance apart that falls like $1/\sqrt{N}$,
# on the line; in $D > 2$ dimensions like $N^{-1/D}$. A batch of 64 images is far away from the next batch
# of real ones. A critic network measures something smaller, because it cannot see single points.
#
# :::

# %% [markdown]
# ## 2. The gradient penalty (6 points)
#
# $$ \big( \lVert \nabla_{\hat x} f(\hat x) \rVert_2 - 1 \big)^2, \qquad \hat x = \varepsilon\, x + (1 -
# \varepsilon)\, \tilde x, \qquad \varepsilon \sim U(0, 1) $$
#
# Write it for a critic that you know nothing of: `critic` maps samples of any shape (B, ...) to values
# (B,), each sample by itself; $x$ is in `real`, its forged partner $\tilde x$ in `fake`. Return one number
# per sample, shape (B,). All random numbers come from `generator`. The penalty is a part of the critic's
# loss, so its own gradient must reach the critic's weights.


# %% tags=["answer-penalty"]
def penalty(critic, real, fake, generator):
    """Gradient penalty (B,) of critic: (B, ...) -> (B,) between real and fake, each (B, ...)."""
    # BEGIN SOLUTION
    eps = torch.rand(len(real), generator=generator, dtype=real.dtype, device=real.device)
    eps = eps.reshape(-1, *[1] * (real.ndim - 1))  # one number per sample
    x = (eps * real + (1 - eps) * fake).detach().requires_grad_()
    # Sample b changes value b only, so the gradient of the sum holds every sample's own.
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square()
    # END SOLUTION


# %%
check("penalty")

# %% [markdown]
# Where your penalty asks the critic, for points in the plane:

# %%
with when_done("penalty"):
    g = torch.Generator().manual_seed(1)
    spots = torch.randn(12, 2, generator=g)
    real, fake = 0.5 * spots - 2, 0.5 * spots.roll(5, 0) + torch.tensor([2.0, 3.0])
    seen = []

    def watched(x):
        seen.append(x.detach())
        return x.sum(dim=1)

    for _ in range(25):
        penalty(watched, real, fake, g)
    fig, ax = plt.subplots(figsize=(4.6, 3.2))
    ax.scatter(*torch.cat(seen).T, s=5, color="0.5", label="where the slope is taken")
    ax.scatter(*real.T, color=PALETTE["blue"], label="real")
    ax.scatter(*fake.T, color=PALETTE["vermilion"], marker="s", label="forged")
    ax.set(xlabel="$x_1$", ylabel="$x_2$")
    ax.legend(fontsize=8)
    figure(
        fig,
        alt="Twelve real points at the lower left and twelve forged ones at the upper right. The points "
        "where the slope is taken lie on twelve straight lines, each from a real point to a forged one.",
    )

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Three slips are common in public code, and none of them crashes. An $\varepsilon$ for every pixel fills
# the box between the two images, where neither the data nor the generator ever is, and where the theory
# (slope one on the lines of the best plan) says nothing. A norm over `dim=1`, which is right for points (B,
# D), runs over the channels of an image: it asks for slope 1 at every pixel, and a critic of 64 pixels that
# obeys has slope 8. And without `create_graph=True` the number is right, but its gradient is zero or an
# error, depending on what else is added to it.
#
# The lines here join partners that chance has put together, not those of the best plan, so most of them are
# not where the theory asks for slope one. The chapter shows where that hurts, and what a one-sided penalty
# does about it.
#
# :::

# %% [markdown]
# ## 3. Find the bugs in the critic's step (6 points)
#
# Two functions of a WGAN, and **three things are wrong** in them, none of which crashes.
#
# - `critic_step` should be one update of the critic *up* its estimate, the mean of $f$ over `real` minus
#   the mean over `fake`, with every parameter in $[-c, c]$ (`limit`) when it returns. It returns the estimate
#   as it was before the update. Its author has turned a GAN's code into a WGAN.
# - `stretch` should return the largest singular value $\sigma$ of a layer's `weight` (M, N) by power
#   iteration from `u` (M,), and the last `u`, of length one, for the next call. No `torch.linalg`.
#
# Repair both. Then: somebody has run the `stretch` that you were given for many steps on each layer of a
# critic, and divided the layer's weight by the first number that it returned. By how much does such a layer
# stretch a vector at most, if the largest singular value of its weight was $\sigma$? Write `left_over` as a
# function of $\sigma$.


# %% tags=["answer-critic_step"]
def critic_step(critic, optimiser, real, fake, limit):
    """One update of the critic up its estimate of W1, inside the box; returns the estimate."""
    # BEGIN SOLUTION
    loss = critic(fake).mean() - critic(real).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.clamp_(-limit, limit)
    return -loss.item()
    # STUB
    # with torch.no_grad():
    #     for parameter in critic.parameters():
    #         parameter.clamp_(-limit, limit)
    # loss = critic(fake).sigmoid().mean() - critic(real).sigmoid().mean()
    # optimiser.zero_grad()
    # loss.backward()
    # optimiser.step()
    # return -loss.item()
    # END SOLUTION


def stretch(weight, u, steps):
    """The largest singular value of weight (M, N), and the last u (M,) of length one."""
    # BEGIN SOLUTION
    for _ in range(steps):
        v = F.normalize(weight.T @ u, dim=0)  # (N,)
        u = F.normalize(weight @ v, dim=0)  # (M,)
    return u @ weight @ v, u
    # STUB
    # for _ in range(steps):
    #     v = F.normalize(weight.T @ u, dim=0)  # (N,)
    #     u = weight @ v  # (M,)
    # return u @ weight @ v, u
    # END SOLUTION


def left_over(sigma):
    """The most that weight / stretch(weight, u, 1000)[0] stretches, with the stretch as it was given."""
    # BEGIN SOLUTION
    return 1 / sigma  # it returns sigma squared
    # END SOLUTION


# %%
check("critic_step")

# %% [markdown]
# A critic of your `critic_step` between two clouds whose distance is 3, and its weights at the end. Run
# this cell with the given code, too.

# %%
torch.manual_seed(0)
c = 0.1
critic = nn.Sequential(
    nn.Linear(2, 24), nn.LeakyReLU(0.2), nn.Linear(24, 24), nn.LeakyReLU(0.2), nn.Linear(24, 1)
)
rms = torch.optim.RMSprop(critic.parameters(), lr=2e-2)
estimates = []
for _ in range(400):
    cloud = 0.3 * torch.randn(64, 2)
    estimates.append(critic_step(critic, rms, cloud + torch.tensor([3.0, 0.0]), 0.3 * torch.randn(64, 2), c))
weights = torch.cat([p.detach().flatten() for p in critic.parameters()])
print(f"estimate {estimates[-1]:.3g} where W1 is 3")
print(
    f"largest weight {weights.abs().max():.3f}; {(weights.abs() > 0.99 * c).double().mean():.0%} at the limit"
)
fig, ax = plt.subplots(figsize=(5.0, 2.6))
ax.hist(weights.numpy(), bins=60, color=PALETTE["blue"])
ax.set(xlabel="weight", ylabel="count")
figure(
    fig,
    alt="Histogram of the critic's weights. With the repaired step all lie between -0.1 and 0.1, and most of "
    "them at the two ends.",
)

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Clipping before the step leaves the critic outside the box for everyone who uses it afterwards: the
# generator's update, the estimate in the log, the next penalty. The sigmoid belongs to a belief in
# $(0, 1)$; with it the estimate can't exceed 1, however far apart the samples are, and where it comes close
# its gradient vanishes, which is what a WGAN was to cure.
#
# The last bug returns $u^\top W v = \lVert W v \rVert^2 = \sigma^2$ once $v$ has settled, since $u = W v$
# was never shortened. It is harmless at $\sigma = 1$, where normalised layers live, and a division by it
# drives *every other* $\sigma$ to $1/\sigma$: a layer that stretches four times becomes one that shrinks to
# a quarter.
#
# And look at the histogram: a clipped critic ends with most of its weights at the limits, as the linear one
# in the chapter does. Its estimate is no distance but a multiple of one, and the multiple depends on $c$
# and on the layers.
#
# :::

# %% [markdown]
# ## 4. Predict, then run: where does the forger go? (5 points)
#
# Nature has two narrow lumps on a line: three quarters of its samples lie at 0, one quarter at 6, both with
# standard deviation 0.05. The forger has one such lump, and can only choose its place $a$. It stands at
# $a = 3$. Write five numbers; the two about JS (in nats) count as right within 0.03, the others within 0.1.
#
# - `js_at_3`: $\mathrm{JS}(p, q)$ at $a = 3$, and `js_slope_at_3`: its derivative by $a$ there;
# - `w1_at_3`: $W_1(p, q)$ at $a = 3$, and `w1_slope_at_3`: its derivative by $a$ there;
# - `best_place`: the $a$ at which $W_1$ is least.
#
# Commit yourself before you run the cells that let the forger move.

# %% tags=["answer-slide"]
# BEGIN SOLUTION
slide = {
    "js_at_3": 0.693,  # log 2: nothing overlaps
    "js_slope_at_3": 0.0,  # and a little farther nothing does either
    "w1_at_3": 3.0,  # everything is carried over a distance of 3
    "w1_slope_at_3": 0.5,  # 3/4 - 1/4
    "best_place": 0.0,  # the median: between the lumps the slope is 1/2 all the way
}
# STUB
# slide = {
#     "js_at_3": None,
#     "js_slope_at_3": None,
#     "w1_at_3": None,
#     "w1_slope_at_3": None,
#     "best_place": None,
# }
# END SOLUTION

# %%
check("slide")

# %% [markdown]
# Both distances on a grid of points, and the forger going downhill on each. On the grid
# $W_1 = \int |F - G|$.

# %%
x = torch.linspace(-4, 10, 5601, dtype=torch.float64)
dx = (x[1] - x[0]).item()


def lump(place):
    return torch.exp(-((x - place) ** 2) / 0.005) / math.sqrt(0.005 * math.pi)


nature = 0.75 * lump(0.0) + 0.25 * lump(6.0)


def js_at(place):
    q = lump(place)
    m = ((nature + q) / 2).clamp_min(1e-300)
    return (
        (nature * (nature.clamp_min(1e-300) / m).log() + q * (q.clamp_min(1e-300) / m).log()) / 2
    ).sum() * dx


def w1_at(place):
    return (nature - lump(place)).cumsum(0).abs().sum() * dx**2


def walk(distance, steps=200, rate=0.05):
    place, path = torch.tensor(3.0, dtype=torch.float64, requires_grad=True), []
    for _ in range(steps):
        path.append(place.item())
        (slope,) = torch.autograd.grad(distance(place), place)
        place = (place - rate * slope).detach().requires_grad_()
    return path, slope.item()


# %%
spots = torch.linspace(-2, 8, 201).tolist()
fig, axes = plt.subplots(1, 2, figsize=(7.4, 2.9))
for distance, name, colour in ((js_at, "JS", "orange"), (w1_at, "W1", "blue")):
    path, slope = walk(distance)
    values = [distance(torch.tensor(a).double()).item() for a in spots]
    at_3 = distance(torch.tensor(3.0).double())
    print(f"{name} at 3: {at_3:.3f}; after 200 steps the forger is at {path[-1]:.2f}")
    axes[0].plot(
        spots, values, color=PALETTE[colour], label=f"{name} ({'nats' if name == 'JS' else 'units of x'})"
    )
    axes[1].plot(path, color=PALETTE[colour], label=name)
axes[0].set(xlabel="place a of the forger", ylabel="distance to nature")
axes[1].set(xlabel="step of gradient descent", ylabel="place a of the forger")
for ax in axes:
    ax.legend(fontsize=8)
figure(
    fig,
    alt="Left: JS and W1 against the forger's place. JS is flat at log 2 but for two narrow wells at 0 and "
    "6. W1 falls in straight lines towards 0. Right: on JS the forger stays at 3, on W1 it walks to 0.",
)

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# JS asks at each point which of the two densities is there, and at 3 no point has both: $\log 2$, here and
# a little to the left and to the right. Nothing tells the forger to move.
#
# $W_1(a) = \tfrac34 \lvert a \rvert + \tfrac14 \lvert a - 6 \rvert$ but for the width of the lumps: 3 at
# $a = 3$, with slope $\tfrac34 - \tfrac14$. The slope is the same all the way from 6 down to 0, where the
# sign of the first part changes: the least value is at the *median* of nature, not at its mean 1.5. (For
# squared distances it would be the mean.) So even with the best of critics, a forger of one lump gives up a
# quarter of nature, and pays $W_1 = 1.5$ for it. A distance with a useful gradient cures vanishing
# gradients. It can't cure a generator that has too little to say.
#
# :::

# %% [markdown]
# ## 5. Design a bound that no critic can break (6 points)
#
# A trained critic's estimate, mean $f(x)$ minus mean $f(\tilde x)$, is often reported as "the Wasserstein
# distance". It is a lower bound only if $f$ has slope at most 1, and no network promises that. Write
# `certified(critic, real, fake)`: a number that *is* a lower bound, whatever the critic. `critic` maps
# points (n, 2) to values (n,) and may be anything: steep, upside down, a step. The samples are `real`, of
# shape (N, 2), and `fake`, of shape (M, 2), and $W_1$ is the distance between these two samples, in which
# each point has equal weight.
#
# - Never is it larger than $W_1$.
# - For a best critic it is $W_1$.
# - It doesn't change if the critic is multiplied by a number other than 0 (negative ones, too), or shifted.
# - It is what this critic proves by weak duality: no sorting, no search for the best plan, and the critic
#   is held back no more than its steepest rise between two of the points requires. A constant critic
#   proves 0.


# %% tags=["answer-certified"]
def certified(critic, real, fake):
    """A lower bound on W1 between the samples real (N, 2) and fake (M, 2), from any critic (n, 2) -> (n,)."""
    # BEGIN SOLUTION
    f_real, f_fake = critic(real), critic(fake)
    gain = f_real.mean() - f_fake.mean()
    rise = (f_real[:, None] - f_fake).abs()  # (N, M): weak duality couples real points with forged ones only
    distance = torch.cdist(real, fake)
    different = distance > 0
    steepest = (rise[different] / distance[different]).max()
    return gain.abs() / steepest if steepest > 0 else 0.0
    # END SOLUTION


# %%
check("certified")

# %% [markdown]
# A critic that is trained without any limit on its slope, between two clouds whose distance is 2:

# %%
with when_done("certified"):
    torch.manual_seed(0)
    real = torch.randn(150, 2)
    fake = real[torch.randperm(150)] + torch.tensor([2.0, 0.0])  # every point moved by 2
    net = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1), nn.Flatten(0))
    adam = torch.optim.Adam(net.parameters(), lr=3e-3)
    raw, proven = [], []
    for _ in range(400):
        estimate = net(real).mean() - net(fake).mean()
        raw.append(estimate.item())
        with torch.no_grad():
            proven.append(float(certified(net, real, fake)))
        adam.zero_grad()
        (-estimate).backward()
        adam.step()
    fig, ax = plt.subplots(figsize=(5.6, 2.9))
    ax.plot(raw, color=PALETTE["orange"], label="the critic's estimate")
    ax.plot(proven, color=PALETTE["blue"], label="certified")
    ax.axhline(2, color="0.4", linestyle="--", label="W1")
    ax.set(xlabel="step", ylabel="distance", ylim=(-1, 8))
    ax.legend(fontsize=8)
    figure(
        fig,
        alt="The critic's own estimate grows past the true distance of 2 and leaves the picture. "
        "The certified bound stays below 2 and sinks slowly as the critic becomes steeper.",
    )

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Let $\pi$ be any plan. With $K$ at least $(f(x_i) - f(y_j)) / \lVert x_i - y_j \rVert$ for all pairs,
#
# $$ \overline{f(x)} - \overline{f(y)} = \sum_{ij} \pi_{ij}\, \big(f(x_i) - f(y_j)\big) \le K \sum_{ij}
# \pi_{ij} \lVert x_i - y_j \rVert, $$
#
# for the best plan too. So gain $/ K \le W_1$. The proof looks at pairs of a real and a forged point and at
# nothing else: not at gradients, which miss a step, nor at points in between. For $-f$ the argument is the
# same, hence the absolute value. A best critic has $f(x_i) - f(y_j) = \lVert x_i - y_j \rVert$ wherever the
# plan carries something, so $K = 1$ and nothing is lost. (You may take $K$ over all pairs of points, which
# is larger and safe, or over rises only, which is the smallest that the proof allows.)
#
# The bound is about the two *samples*. Task 1 shows that two samples of one distribution have a distance of
# their own; a certificate about the distributions has to pay for that.
#
# :::

# %% [markdown]
# ## 6. Two Gaussians on a line, and their critic (6 points)
#
# 1. Derive $W_1$ between $\mathcal{N}(m_1, s_1^2)$ and $\mathcal{N}(m_2, s_2^2)$ in closed form, and write
#    it for `m1`, `s1`, `m2`, `s2` of shape (B,), where $s$ are standard deviations; return shape (B,). Any
#    of them may be equal. `torch.erf` is there.
# 2. Let the first Gaussian be the data and the second the forger, $s_1 \ne s_2$. Derive a best critic: of
#    slope at most 1, with $\mathbb{E}_p[f] - \mathbb{E}_q[f] = W_1$. `best_critic` returns its values at
#    `x` of shape (N,), for numbers `m1`, `s1`, `m2`, `s2` (tensors of shape ()). Any constant may be added.
#
# The check integrates numerically. No `torch.distributions`.


# %% tags=["answer-gaussians"]
def w1_gaussians(m1, s1, m2, s2):
    """W1 (B,) between N(m1, s1^2) and N(m2, s2^2)."""
    # BEGIN SOLUTION
    a, b = (m1 - m2).abs(), (s1 - s2).abs().clamp_min(1e-150)  # E|a + b Z|, with no 0 / 0
    z = a / b
    return b * math.sqrt(2 / math.pi) * torch.exp(-z.square() / 2) + a * torch.erf(z / math.sqrt(2))
    # END SOLUTION


def best_critic(x, m1, s1, m2, s2):
    """A best critic at x (N,) between data N(m1, s1^2) and forgeries N(m2, s2^2), s1 != s2."""
    # BEGIN SOLUTION
    turn = (m1 * s2 - m2 * s1) / (s2 - s1)  # where F = G
    return (s1 - s2).sign() * (x - turn).abs()
    # END SOLUTION


# %%
check("gaussians")

# %% [markdown]
# A wide Gaussian of data and a narrow forger, beside your critic:

# %%
with when_done("gaussians"):
    pair = [torch.tensor(t, dtype=torch.float64) for t in (0.0, 1.5, 1.0, 0.5)]
    line = torch.linspace(-5, 5, 401, dtype=torch.float64)
    values = best_critic(line, *pair)
    distance = w1_gaussians(*(t[None] for t in pair)).item()
    fig, ax = plt.subplots(figsize=(5.6, 2.9))
    for m, s, name, colour in ((0.0, 1.5, "data", "blue"), (1.0, 0.5, "forger", "vermilion")):
        density = torch.exp(-(((line - m) / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))
        ax.fill_between(line, 4 * density, alpha=0.3, color=PALETTE[colour], label=f"{name}, density x 4")
    ax.plot(line, values - values.min(), color="black", label="your critic")
    ax.set(xlabel="x", ylabel="value of the critic", title=f"W1 = {distance:.3f}")
    ax.legend(fontsize=8)
    figure(
        fig,
        alt="The density of wide data and of a narrow forger to the right of its middle, and the critic: a V "
        "with slopes of minus one and one whose lowest point lies a little to the right of the forger's "
        "mean.",
    )

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# The quantile of $\mathcal{N}(m, s^2)$ at level $s'$ is $m + s z$ with the standard Gaussian's $z$, so
# $W_1 = \mathbb{E}\lvert a + b Z \rvert$ with $a = m_1 - m_2$, $b = s_1 - s_2$. Take $a, b \ge 0$ (the mean
# does not change) and split at $z_0 = -a/b$:
# $\int_{z_0}^\infty (a + b z)\, \varphi - \int_{-\infty}^{z_0} (a + b z)\, \varphi$. With
# $\int z \varphi = -\varphi$ this is
#
# $$ a\,\big(1 - 2\Phi(z_0)\big) + 2 b\, \varphi(z_0) = a\, \mathrm{erf}\big(a / (b\sqrt2)\big) + b
# \sqrt{2/\pi}\; e^{-a^2 / 2b^2}. $$
#
# It lies between $\max(a,\, b \sqrt{2/\pi})$ and the sum of the two; $W_2$ would be $\sqrt{a^2 + b^2}$.
#
# For the critic integrate by parts: $\mathbb{E}_p f - \mathbb{E}_q f = \int f'(x)\, (G(x) - F(x))\, dx$.
# With $\lvert f' \rvert \le 1$ the most that this can be is $\int \lvert F - G \rvert = W_1$, reached by
# $f' = \mathrm{sign}(G - F)$. Two Gaussians of different width have distribution functions that cross once,
# where $(x - m_1)/s_1 = (x - m_2)/s_2$: the best critic is a V, or a hat if the data are the narrow one. It
# doesn't look like a log-ratio of densities, which is a parabola: a critic that must not be steep tells
# which way the earth should go, and not how sure one can be.
#
# :::

# %% [markdown]
# ## How far you are

# %%
progress()
