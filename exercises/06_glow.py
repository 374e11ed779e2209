# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: flows for images
#
# Six tasks to the chapter [Flows for images: RealNVP and Glow](../chapters/06_glow.ipynb), 34 points, about
# three hours: three parts of Glow to write, a bug to find, one to derive, and a test to design. Each task
# has a cell for your answer; run it, then run the cell with `check` below it. `hint("squeeze")` gives the
# next hint to a task, and costs nothing. You can leave a task out and do the later ones. Use plain torch:
# calling `dgm` is no answer. As in the chapter a flow maps data $x$ to latent $z$, images have shape (B, C,
# H, W), and log-determinants are in nats, shape (B,).

# %% tags=["setup"]
import math

import torch

# %%
from coursekit import figure, use_style
from coursekit.exercises import check, exercise, hint, progress, when_done

use_style()
exercise("06_glow")


# %% [markdown]
# ## 1. Checkerboards and squeezes (5 points)
#
# 1. `checkerboard(height, width)`: a bool tensor (1, H, W), True where row number plus column number is
#    even (both count from 0).
# 2. `squeeze(x)` cuts each channel into blocks of 2 x 2 pixels and makes channels of them: from (B, C, H,
#    W) to (B, 4C, H/2, W/2), where channel $4c + 2i + j$ holds, of channel $c$, the pixels in row $i$ and
#    column $j$ of the blocks ($i, j \in \{0, 1\}$).
# 3. `unsqueeze(z)` undoes it.
#
# Use reshapes and permutations, or slices: no `pixel_shuffle` and its relatives.

# %% tags=["answer-squeeze"]
def checkerboard(height, width):
    """bool (1, height, width), True where row + column is even."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("checkerboard is not done yet")


def squeeze(x):
    """(B, C, H, W) -> (B, 4 C, H/2, W/2)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("squeeze is not done yet")


def unsqueeze(z):
    """(B, 4 C, H, W) -> (B, C, 2 H, 2 W)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("unsqueeze is not done yet")


# %%
check("squeeze")

# %% [markdown]
# What becomes of a checkerboard when it is squeezed? Guess first: which share of the pixels does the mask
# keep in each of the four channels?

# %%
with when_done("squeeze"):
    print(squeeze(checkerboard(8, 8)[None].double()).mean(dim=(0, 2, 3)).tolist())


# %% [markdown]
# ## 2. ActNorm starts once (5 points)
#
# ActNorm scales and shifts each channel, $z_{c} = e^{s_c} x_{c} + b_c$, with one $s_c$ and one $b_c$ for
# all pixels of channel $c$. The first batch that the layer meets sets both, such that this batch leaves
# with mean 0 and variance 1 in each channel (over images and pixels). From then on they stay as they are,
# whatever comes. A channel that is constant in the first batch is only shifted: its $s_c$ is 0.
#
# Complete the class; calling it returns $z$ and the log-determinant (B,). Plain tensors will do for $s$ and
# $b$; nothing is trained here.

# %% tags=["answer-actnorm"]
class ActNorm:
    """Scale and shift each channel of images; the first batch sets both."""

    def __init__(self, channels):
        self.log_scale = torch.zeros(channels)  # s
        self.shift = torch.zeros(channels)  # b
        self.started = False

    def __call__(self, x):
        """z (B, C, H, W) and log |det dz/dx| (B,); x is (B, C, H, W)."""
        # Your answer goes here, in place of the next line.
        raise NotImplementedError("__call__ is not done yet")


# %%
check("actnorm")


# %% [markdown]
# ## 3. The 1x1 convolution by its factors (6 points)
#
# Every pixel's vector of channels is multiplied by the same matrix, $z_{:,hw} = W x_{:,hw}$, with
#
# $$ W = P\,(I + L)\,(U + \mathrm{diag}(e^{d})). $$
#
# $P$ is a permutation matrix, $L$ strictly lower and $U$ strictly upper triangular, each (C, C), and $d$ is
# (C,). Write the map and its inverse; both return a pair, the mapped images and the log-determinant (B,) of
# their own direction. The point of the factors is to need neither a determinant nor the inverse of a dense
# matrix: none of `det`, `slogdet`, `inv`, `solve`. `torch.linalg.solve_triangular` is what you want.

# %% tags=["answer-conv"]
def conv(x, P, L, U, d):
    """z and log |det dz/dx| (B,) of the 1x1 convolution with weight P (I + L) (U + diag exp d)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("conv is not done yet")


def conv_inverse(z, P, L, U, d):
    """x and log |det dx/dz| (B,) of its inverse."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("conv_inverse is not done yet")


# %%
check("conv")


# %% [markdown]
# ## 4. Find the bugs: bits that were never saved (6 points)
#
# The function below measures a flow of several scales. `x` holds whole grey levels (B, C, H, W) from 0 to
# `levels` - 1. `flows` is a list with a flow for each scale, `flow(h) -> (h, logdet)`; after each but the
# last, half of the channels are finished and leave, the rest passes on. The base of everything is
# $\mathcal{N}(0, 1)$, and the flows model the scaled pixels $(x + u) / L$ in $[0, 1)$. The result should
# be, in nats and for each image, the lower bound on $\log P(x)$ that one draw of uniform noise gives.
#
# There are three mistakes, in three different lines or between them. Each makes the result larger than it
# should be, or lets a model make it so.
#
# 1. Correct them. Draw the noise once, with `torch.rand` from `generator`, and run each flow once.
# 2. One of them makes every figure better by the same number of bits per dimension, whatever the model.
#    Write that number as a function of `levels`.

# %% tags=["answer-multiscale_log_prob"]
def log_normal(h):
    """Log-density (B,) in nats of h (B, ...) under the standard normal."""
    return -0.5 * (h.square() + math.log(2 * math.pi)).flatten(1).sum(dim=1)


def multiscale_log_prob(x, levels, flows, generator):
    """A lower bound on log P(x), (B,) nats, of grey levels x (B, C, H, W) under a flow of several scales."""
    u = torch.rand(x.shape, generator=generator) / 2
    h = (x + u) / levels
    nats = torch.zeros(len(x))
    for i, flow in enumerate(flows):
        h, logdet = flow(h)
        nats = nats + logdet
        if i + 1 < len(flows):
            finished, h = h.chunk(2, dim=1)
    nats = nats + log_normal(h)
    return nats


def free_bits(levels):
    """The bits per dimension that one of the mistakes takes off every figure."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("free_bits is not done yet")


# %%
check("multiscale_log_prob")


# %% [markdown]
# ## 5. What temperature does, whatever the flow (6 points)
#
# Samples at temperature $T$ come from latents with standard deviation $T$ in place of 1:
# $z = T \varepsilon$, $x = f^{-1}(z)$. Call their distribution $p_T$, so that $p_1$ is the model.
#
# 1. Write the sampler. `inverse` maps latents (n, D) to data (n, D); draw from `generator`, with
#    `torch.randn`, and call `inverse` once.
# 2. Derive $\mathrm{KL}(p_T \,\|\, p_1)$ in nats, for any flow of $D$ dimensions.
# 3. Let the log-determinant of the flow be the same at every point, as in a flow of additive couplings and
#    1x1 convolutions. Derive how much larger the mean of $\log p_1(x)$ is over samples at temperature $T$
#    than over samples at temperature 1, in nats.
#
# `temperature` is a number; 2 and 3 return a number. The check integrates numerically.

# %% tags=["answer-temperature"]
def sample_at(inverse, n, dims, temperature, generator):
    """n samples (n, dims) of the flow at this temperature."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("sample_at is not done yet")


def temperature_kl(dims, temperature):
    """KL(p_T || p_1) in nats."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("temperature_kl is not done yet")


def likelihood_gain(dims, temperature):
    """Mean of log p_1 over samples at this temperature, minus that at temperature 1, in nats."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("likelihood_gain is not done yet")


# %%
check("temperature")

# %% [markdown]
# Both for images of 64 pixels:

# %%
from matplotlib import pyplot as plt

with when_done("temperature"):
    grid = [0.3 + 0.02 * i for i in range(56)]
    fig, ax = plt.subplots()
    ax.plot(grid, [temperature_kl(64, t) for t in grid], label="KL from the samples to the model")
    ax.plot(grid, [likelihood_gain(64, t) for t in grid], "--", label="gain in mean log-likelihood")
    ax.axvline(1, color="0.6", linewidth=0.8)
    ax.set(xlabel="temperature T", ylabel="nats per image")
    ax.legend()
    figure(
        fig,
        alt="Against the temperature from 0.3 to 1.4: the KL is zero at one and rises on both sides, more "
        "steeply towards low temperatures; the gain in log-likelihood falls throughout, with zero at one.",
    )


# %% [markdown]
# ## 6. Design a test that no broken flow passes (6 points)
#
# You are handed a flow that somebody wrote. `flow.forward(x)` returns `z` and the log-determinant (B,),
# `flow.inverse(z)` returns `x` and the log-determinant (B,) of the inverse; `x` and `z` have shape (B, D),
# all in float64. Write `sound(flow, dims, generator)`, which returns True where all of this holds, and
# False where something does not:
#
# - the inverse undoes the forward map;
# - both log-determinants are right, for the maps as they are;
# - every row of a batch is mapped by itself, whatever the other rows are.
#
# You choose the points (from `generator`), and what you compare with what. The flows' weights are random,
# and nothing blows up within a few units of zero. The check hands in right flows, and broken ones whose
# faults may be as small as a thousandth.

# %% tags=["answer-sound"]
def sound(flow, dims, generator):
    """Whether inverse and log-determinants of a flow of vectors (B, dims) are right; True or False."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("sound is not done yet")


# %%
check("sound")


# %% [markdown]
# A map whose inverse is wrong: $z = x + A x$ with $A$ strictly lower triangular, undone by $x = z - A z$,
# as if $A^2$ were nothing. Its determinant is 1, and the log-determinants are right. When does your test
# find out? At size 0 the map is the identity.

# %%
class Broken:
    def __init__(self, size):
        g = torch.Generator().manual_seed(0)
        self.A = size * torch.randn(4, 4, generator=g, dtype=torch.float64).tril(-1)

    def forward(self, x):
        return x + x @ self.A.T, torch.zeros_like(x[:, 0])

    def inverse(self, z):
        return z - z @ self.A.T, torch.zeros_like(z[:, 0])


with when_done("sound"):
    for size in (0, 1e-6, 1e-3, 1):
        verdict = sound(Broken(size), 4, torch.Generator().manual_seed(1))
        print(f"A of size {size:<6g} {'passes' if verdict else 'found out'}")

# %% [markdown]
# ## How far you are

# %%
progress()
