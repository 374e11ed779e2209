# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: normalising flows
#
# Six tasks to the chapter [Normalising flows](../chapters/05_flow.ipynb), 34 points, about three hours:
# three to write, a bug to find, a prediction, and one to derive. Each task has a cell for your answer; run
# it, then run the cell with `check` below it. `hint("coupling")` gives the next hint to a task, and costs
# nothing. You can leave a task out and do the later ones. Use plain torch: calling `dgm` is no answer. As
# in the chapter a flow maps data $x$ to latent $z = f(x)$, every log-determinant is in nats, and there are
# $D$ dimensions.

# %% tags=["setup"]
import math

import torch
import torch.nn.functional as F

# %%
from coursekit import figure, use_style
from coursekit.exercises import check, exercise, hint, progress, when_done

use_style()
exercise("05_flow")


# %% [markdown]
# ## 1. The density that a map leaves behind (5 points)
#
# A flow on the line maps $x$ to $z = f(x)$, and $z$ is standard normal. Write $\log p(x)$ in nats for any
# such map: `f` takes and returns tensors of shape (B,), works entry by entry, is smooth and strictly
# monotone. It may rise or fall. You do not know its formula, so let autograd find the derivative. The
# result is a training loss (up to its sign), so its own gradient must reach the parameters inside `f`. `x`
# and the result have shape (B,). No `torch.distributions`.

# %% tags=["answer-pushed_log_prob"]
def pushed_log_prob(f, x):
    """log p(x) (B,) in nats, where f(x) is standard normal and f is monotone, entry by entry."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("pushed_log_prob is not done yet")


# %%
check("pushed_log_prob")

# %% [markdown]
# A map that is steep at the origin and flat around it, and the density that it leaves behind. Its area
# should be one:

# %%
from matplotlib import pyplot as plt

with when_done("pushed_log_prob"):
    x = torch.linspace(-9, 9, 2001)
    density = pushed_log_prob(lambda v: 0.4 * v + 1.2 * torch.tanh(2 * v), x).exp().detach()
    print(f"area under your density: {torch.trapezoid(density, x):.4f}")
    fig, ax = plt.subplots()
    ax.plot(x, density)
    ax.set(xlabel="x", ylabel="density p(x)", xlim=(-5, 5), ylim=(0, None))
    figure(
        fig,
        alt="The density of x against x: one high and narrow peak at zero, where the map is steep, with a "
        "low shoulder on either side of it.",
    )


# %% [markdown]
# ## 2. An affine coupling, both ways (6 points)
#
# $D$ is even. Keep the first half $x_a$ of each row and change the second, $x_b$, as the first half says:
#
# $$ z_a = x_a, \qquad z_b = x_b \odot e^{s} + t, \qquad (s, t) = \mathrm{net}(x_a). $$
#
# Write the map and its inverse. `net` is any function from (B, D/2) to a pair of tensors (B, D/2); it has
# no inverse, and needs none. Both functions return a pair: the mapped points (B, D), and the
# log-determinant (B,) of their own direction.

# %% tags=["answer-coupling"]
def coupling(x, net):
    """z (B, D) and log |det dz/dx| (B,) of the affine coupling; x is (B, D)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("coupling is not done yet")


def coupling_inverse(z, net):
    """x (B, D) and log |det dx/dz| (B,) of the inverse; z is (B, D)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("coupling_inverse is not done yet")


# %%
check("coupling")


# %% [markdown]
# ## 3. Find the bug: half of it never moves (6 points)
#
# The code below is the log-density of a flow of several couplings with base $\mathcal{N}(0, I)$. Its
# log-determinant is exact, it trains without a complaint, and the samples never fit. One line is missing.
#
# 1. Add it: network 0 reads the first half of the entries and changes the second half, network 1 reads the
#    second half and changes the first, network 2 reads the first half again, and so on. Each network gets
#    its half with the entries in the order that they have in `x`.
# 2. Let the first half of the data be Gaussian, entry $j$ with mean $m_j$ and standard deviation
#    $\sigma_j$, all independent. However large its networks, the flow with the bug cannot bring
#    $\mathrm{KL}(p_\text{data} \,\|\, p_\text{model})$ below some number of nats, even if it fits the
#    second half given the first to perfection. Which number? `mean` and `std` have shape (D/2,); return one
#    number.

# %% tags=["answer-stack_log_prob"]
def stack_log_prob(x, nets):
    """log p(x) (B,) in nats under affine couplings, one for each of nets; x is (B, D), D even."""
    kept, changed = x.chunk(2, dim=1)
    logdet = torch.zeros_like(x[:, 0])
    for net in nets:
        s, t = net(kept)  # (B, D/2) each
        changed = changed * s.exp() + t
        logdet = logdet + s.sum(dim=1)
    z = torch.cat([kept, changed], dim=1)
    return logdet - 0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)


def kl_floor(mean, std):
    """The KL in nats that the flow with the bug cannot get below; mean and std are (D/2,)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("kl_floor is not done yet")


# %%
check("stack_log_prob")


# %% [markdown]
# ## 4. From grey levels to bits per dimension (6 points)
#
# `x` holds whole grey levels $0, \dots, L - 1$, as int64 of shape (B, C, H, W). A flow gives densities, not
# probabilities: `log_prob` takes points in $[0, 1)$ of the shape of `x` and returns $\log p$ in nats, (B,).
# Spread the levels over $[0, 1)$ with uniform noise (one draw for each pixel, from `generator`), ask the
# flow once, and return the bits per dimension of the *grey levels*, shape (B,): the upper bound on
# $-\tfrac1D \log_2 P(x)$ that this draw gives, where $D$ counts all entries of an image. The model works in
# float32 or float64, as you like.

# %% tags=["answer-bits_per_dim"]
def bits_per_dim(log_prob, x, levels, generator):
    """Bits per dimension (B,) of grey levels x (B, C, H, W); log_prob is a density on [0, 1), in nats."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("bits_per_dim is not done yet")


# %%
check("bits_per_dim")

# %% [markdown]
# ## 5. Predict, then run: the bridge between two islands (5 points)
#
# Data on the line: two bumps, $p = \tfrac12 \mathcal{N}(-2, 0.5^2) + \tfrac12 \mathcal{N}(2, 0.5^2)$. A
# flow draws $z \sim \mathcal{N}(0, 1)$ and maps it by a rising $x = g(z)$, with half of the samples on
# either side of $0$. It is made of layers; each multiplies the slope by a factor between $e^{-2}$ and
# $e^{2}$, as a coupling does whose $s$ is clipped at 2. Predict, before you run the fit below:
#
# - `log_slope`: $\log g'(0)$ for the map that gives exactly $p$, within 0.1;
# - `layers`: the least number of layers whose slopes can multiply to that;
# - `bridge`: with one layer, so that $g' \le e^2$ everywhere, the least share of all samples that must fall
#   between $-1$ and $1$, within 0.005.

# %% tags=["answer-bridge"]
prediction = {
    "log_slope": None,
    "layers": None,
    "bridge": None,
}

# %%
check("bridge")

# %% [markdown]
# Now run it. The flow is a slope on each of a thousand intervals, its logarithm clipped softly as in a
# coupling; $k$ layers can reach a log-slope of $2k$. It is fitted by maximum likelihood to $p$ itself, so
# nothing is left to the luck of a sample.

# %%
x = torch.linspace(-5, 5, 1001, dtype=torch.float64)
middle, dx = (x[1:] + x[:-1]) / 2, 0.01
bumps = [-((middle - m) / 0.5).square() / 2 for m in (-2, 2)]
p = (bumps[0].exp() + bumps[1].exp()) / (2 * 0.5 * math.sqrt(2 * math.pi))  # the data's density


def log_density(raw, limit):
    """Log-density of the flow with log-slopes within the limit, (1000,), and its log g'(0)."""
    log_slope = limit * torch.tanh(raw / limit)  # of f, the inverse of g
    z = F.pad((log_slope.exp() * dx).cumsum(0), (1, 0))
    z = z - z[500]  # f(0) = 0
    z = (z[1:] + z[:-1]) / 2
    return log_slope - 0.5 * (z.square() + math.log(2 * math.pi)), -log_slope[499:501].mean()


def fit(limit):
    """The likeliest of these flows."""
    raw = torch.zeros_like(middle, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [raw], max_iter=500, history_size=30, line_search_fn="strong_wolfe", tolerance_change=1e-14
    )

    def loss():
        optimiser.zero_grad()
        nats = -(p * log_density(raw, limit)[0]).sum() * dx
        nats.backward()
        return nats

    optimiser.step(loss)
    return log_density(raw.detach(), limit)


# %%
between = middle.abs() < 1
fits = {layers: fit(2.0 * layers) for layers in (1, 2, 3, 4)}
print(f"data       share between -1 and 1 {p[between].sum() * dx:.4f}")
for layers, (log_q, slope) in fits.items():
    share = log_q.exp()[between].sum() * dx
    kl = (p * (p.log() - log_q)).sum() * dx
    print(f"{layers} layer(s) {share:29.4f}   log g'(0) {slope:.2f}   KL {kl:.5f} nats")

# %%
from matplotlib import pyplot as plt

fig, ax = plt.subplots()
ax.fill_between(middle, p, 1e-5, color="0.85", label="data")
for (layers, (log_q, _)), style in zip(fits.items(), ("-", "--", "-.", ":"), strict=True):
    ax.semilogy(middle, log_q.exp(), style, label=f"{layers} layer{'s' if layers > 1 else ''}")
ax.set(xlabel="x", ylabel="density", ylim=(1e-4, 20), xlim=(-4, 4))
ax.legend(loc="upper center", ncols=3)
figure(
    fig,
    alt="The data's density, logarithmic, with bumps at -2 and 2, and four fitted flows. Between the bumps "
    "each flow has a plateau, like the deck of a bridge: with every further layer it lies lower by a factor "
    "of about seven, and with four layers it follows the data down to the middle.",
)


# %% [markdown]
# ## 6. What the noise costs (6 points)
#
# One pixel with levels $x = 0, 1, 2, \dots$ Suppose that the model's density of $y = x + u$ is exponential,
# $p(y) = \lambda e^{-\lambda y}$ for $y \ge 0$, so that dark pixels are frequent. Then everything about the
# bound can be known in closed form. The gap is
#
# $$ \log P(x) - \mathbb{E}_{q(u)}\left[ \log p(x + u) - \log q(u) \right], \qquad
# P(x) = \int_0^1 p(x + u) \, du. $$
#
# 1. Derive it for uniform noise on $[0, 1)$, as a function of $\lambda$ (`rate`).
# 2. Derive it for noise that leans to one side, $q(u) \propto e^{-\kappa u}$ on $[0, 1)$, as a function of
#    $\lambda$ and $\kappa$ (`tilt`). Mind the constant that makes $q$ a density.
#
# `rate` and `tilt` have shape (B,) and are positive, from 0.05 up to 2000; return shape (B,), in nats. The
# check integrates numerically.

# %% tags=["answer-uniform_gap"]
def uniform_gap(rate):
    """log P(x) minus its bound (B,) in nats for uniform noise, under the density rate exp(-rate y)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("uniform_gap is not done yet")


def tilted_gap(rate, tilt):
    """The same for noise with density proportional to exp(-tilt u) on [0, 1)."""

    # Your answer goes here, in place of the next line.
    raise NotImplementedError("tilted_gap is not done yet")


# %%
check("uniform_gap")

# %% [markdown]
# The gap against the tilt of the noise, for three densities. Where does each curve touch zero?

# %%
from matplotlib import pyplot as plt

with when_done("uniform_gap"):
    tilt = torch.logspace(-1.3, 1.3, 200, dtype=torch.float64)
    fig, ax = plt.subplots()
    for rate, style in ((1.0, "-"), (3.0, "--"), (8.0, ":")):
        rates = torch.full_like(tilt, rate)
        (line,) = ax.loglog(tilt, tilted_gap(rates, tilt).clamp_min(1e-5), style, label=f"λ = {rate:g}")
        ax.axhline(uniform_gap(rates[:1]).item(), color=line.get_color(), linewidth=0.8, alpha=0.6)
    ax.set(xlabel="tilt κ of the noise", ylabel="gap (nats per pixel)", ylim=(1e-4, 10))
    ax.legend()
    figure(
        fig,
        alt="The gap of the bound against the tilt of the noise for three rates, both axes logarithmic. Each "
        "curve starts at the thin horizontal line of uniform noise, falls to zero where the tilt equals the "
        "rate, and rises again.",
    )

# %% [markdown]
# ## How far you are

# %%
progress()
