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
    # BEGIN SOLUTION
    return ((torch.arange(height)[:, None] + torch.arange(width)) % 2 == 0)[None]
    # END SOLUTION


def squeeze(x):
    """(B, C, H, W) -> (B, 4 C, H/2, W/2)."""
    # BEGIN SOLUTION
    b, c, h, w = x.shape
    blocks = x.reshape(b, c, h // 2, 2, w // 2, 2)  # (B, C, row of blocks, i, column of blocks, j)
    return blocks.permute(0, 1, 3, 5, 2, 4).reshape(b, 4 * c, h // 2, w // 2)
    # END SOLUTION


def unsqueeze(z):
    """(B, 4 C, H, W) -> (B, C, 2 H, 2 W)."""
    # BEGIN SOLUTION
    b, c, h, w = z.shape
    parts = z.reshape(b, c // 4, 2, 2, h, w)  # (B, C, i, j, row of blocks, column of blocks)
    return parts.permute(0, 1, 4, 2, 5, 3).reshape(b, c // 4, 2 * h, 2 * w)
    # END SOLUTION


# %%
check("squeeze")

# %% [markdown]
# What becomes of a checkerboard when it is squeezed? Guess first: which share of the pixels does the mask
# keep in each of the four channels?

# %%
with when_done("squeeze"):
    print(squeeze(checkerboard(8, 8)[None].double()).mean(dim=(0, 2, 3)).tolist())

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Row and column of a pixel are $2h + i$ and $2w + j$, so the mask asks whether $i + j$ is even: channels 0
# and 3 are kept whole, 1 and 2 not at all. A checkerboard is a channel mask in disguise, on an image that
# is not yet squeezed. With the channels in the order 0, 3, 1, 2 RealNVP would not need checkerboards,
# except that a 3 x 3 convolution sees the neighbours as neighbours only before the squeeze.
#
# A plain `reshape` to (B, 4C, H/2, W/2) has the right shape, is invertible, and trains. It cuts the image
# into four horizontal bands and folds each row in two, and neighbours are no longer near each other.
# Nothing but the likelihood tells.
#
# :::

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
        # BEGIN SOLUTION
        if not self.started:
            std = x.std(dim=(0, 2, 3), correction=0)  # (C,)
            std = torch.where(std < 1e-6, torch.ones_like(std), std)
            self.log_scale = -std.log()
            self.shift = -x.mean(dim=(0, 2, 3)) / std
            self.started = True
        z = x * self.log_scale.exp()[:, None, None] + self.shift[:, None, None]
        pixels = x.shape[2] * x.shape[3]
        return z, (pixels * self.log_scale.sum()).expand(len(x))
        # END SOLUTION


# %%
check("actnorm")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# A layer that takes the statistics of every batch is batch normalisation. As a density it is none: what it
# says of an image depends on the other images of the batch, so the densities do not integrate to one, and
# the sampler, which has no batch of data, applies another map than the one that was trained. After the
# first batch ActNorm is an affine map like any other, with the log-determinant $H W \sum_c s_c$, once for
# each pixel. Whoever forgets $H W$ makes it cheap to shrink: the scale that then looks best is too small by
# $\sqrt{H W}$, every latent lies near zero, and the figure is better than any honest one.
#
# :::

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
    # BEGIN SOLUTION
    eye = torch.eye(len(d), dtype=x.dtype)
    weight = P @ (eye + L) @ (U + torch.diag(d.exp()))
    pixels = x.shape[2] * x.shape[3]
    return torch.einsum("dc,bchw->bdhw", weight, x), (pixels * d.sum()).expand(len(x))
    # END SOLUTION


def conv_inverse(z, P, L, U, d):
    """x and log |det dx/dz| (B,) of its inverse."""
    # BEGIN SOLUTION
    b, c, h, w = z.shape
    columns = z.transpose(0, 1).reshape(c, b * h * w)
    columns = P.T @ columns  # the factors come off from the left, the outermost first
    columns = torch.linalg.solve_triangular(L, columns, upper=False, unitriangular=True)
    columns = torch.linalg.solve_triangular(U + torch.diag(d.exp()), columns, upper=True)
    x = columns.reshape(c, b, h, w).transpose(0, 1)
    return x, (-h * w * d.sum()).expand(b)
    # END SOLUTION


# %%
check("conv")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# The image is mapped by a block-diagonal matrix with one $W$ for each pixel, hence the factor $H W$.
# $|\det P| = 1$, $\det(I + L) = 1$ and $\det(U + \mathrm{diag}(e^d)) = e^{\sum d}$: the log-determinant is
# a sum of $C$ numbers where a dense determinant takes about $C^3$ operations at every training step. The
# inverse is $(U + \mathrm{diag}(e^d))^{-1} (I + L)^{-1} P^\top$, two triangular solves of $C^2$ operations
# for each pixel. Two wrong inverses hide well: $W^\top$ is right as long as $W$ is a rotation, which it is
# at the start; and the factors' inverses in the wrong order are right as long as $L$ and $U$ vanish.
#
# :::

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
    # BEGIN SOLUTION
    u = torch.rand(x.shape, generator=generator)
    h = (x + u) / levels
    nats = torch.full((len(x),), -x[0].numel() * math.log(levels))  # of the scaling
    for i, flow in enumerate(flows):
        h, logdet = flow(h)
        nats = nats + logdet
        if i + 1 < len(flows):
            finished, h = h.chunk(2, dim=1)
            nats = nats + log_normal(finished)
    nats = nats + log_normal(h)
    # STUB
    # u = torch.rand(x.shape, generator=generator) / 2
    # h = (x + u) / levels
    # nats = torch.zeros(len(x))
    # for i, flow in enumerate(flows):
    #     h, logdet = flow(h)
    #     nats = nats + logdet
    #     if i + 1 < len(flows):
    #         finished, h = h.chunk(2, dim=1)
    # nats = nats + log_normal(h)
    # END SOLUTION
    return nats


def free_bits(levels):
    """The bits per dimension that one of the mistakes takes off every figure."""
    # BEGIN SOLUTION
    return math.log2(levels)
    # END SOLUTION


# %%
check("multiscale_log_prob")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# The noise must fill the cell of its level, or the density can hide in the half that is looked at: a model
# trained on such noise gains up to one bit per dimension. The division by $L$ has the log-determinant
# $-D \log L$; left out, it makes every figure better by $\log_2 L$, 8 bits of 256 levels, and that one is
# noticed as soon as a figure is negative. The finished channels are latents like the others, and their
# density counts: without it half of the dimensions of the first scale are free, and training drives them
# wherever the log-determinant likes to have them, to infinity. A measurement is best tested on a model
# whose figure is known: independent uniform pixels must score $\log_2 L$, and a flow of one scale must
# score the same when it is written as two.
#
# :::

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
    # BEGIN SOLUTION
    return inverse(temperature * torch.randn(n, dims, generator=generator))
    # END SOLUTION


def temperature_kl(dims, temperature):
    """KL(p_T || p_1) in nats."""
    # BEGIN SOLUTION
    return dims * ((temperature**2 - 1) / 2 - math.log(temperature))
    # END SOLUTION


def likelihood_gain(dims, temperature):
    """Mean of log p_1 over samples at this temperature, minus that at temperature 1, in nats."""
    # BEGIN SOLUTION
    return dims * (1 - temperature**2) / 2
    # END SOLUTION


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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# $p_T$ and $p_1$ are images of two Gaussians under the *same* invertible map, and its Jacobian cancels from
# $\log p_T - \log p_1$. So the KL is that of the latents, $D$ times the KL of $\mathcal{N}(0, T^2)$ from
# $\mathcal{N}(0, 1)$: $\frac D2 (T^2 - 1 - 2 \log T)$, with no trace of the flow. At $T = 0.7$ and 64
# pixels it is 6.5 nats: a discriminator would tell these samples from the model's at a glance.
#
# Where the log-determinant is constant, $\log p_1(x)$ is $-\tfrac12 \lVert z \rVert^2$ plus a constant, and
# its mean $-\tfrac D2 T^2$ plus that constant. Cold samples are likelier than any data, and fewer: both at
# once, which is why the mean likelihood of samples says nothing about their quality. In a flow with affine
# couplings the mode of $z$ need not be the mode of $x$, and the gain has no such formula. Note also that
# $p_T$ is $p_1^{1/T^2}$, normalised, only where the log-determinant is constant.
#
# :::

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
    # BEGIN SOLUTION
    x = 2 * torch.randn(8, dims, generator=generator, dtype=torch.float64)
    z, logdet = flow.forward(x)
    back, back_logdet = flow.inverse(z)
    rows = [torch.autograd.functional.jacobian(lambda v: flow.forward(v[None])[0][0], row) for row in x]
    true = torch.linalg.slogdet(torch.stack(rows)).logabsdet  # of the map itself, not of what it claims
    alone = torch.cat([flow.forward(row[None])[0] for row in x])
    pairs = [(back, x), (logdet, true), (back_logdet, -true), (alone, z)]
    return all(a.shape == b.shape and torch.allclose(a, b, atol=1e-6) for a, b in pairs)
    # END SOLUTION


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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Comparing the forward log-determinant with the inverse's proves nothing: a wrong sign, a mean in place of
# a sum, a forgotten factor are made twice, and cancel. Something from outside has to come in, and the
# Jacobian by autograd is that, at the price of $D$ backward passes for each point. Its determinant may be
# negative, as that of a reflection is: take the logarithm of its absolute value.
#
# The points matter as much as the comparison. At $x = 0$ the networks here return $s = t = 0$, and a fresh
# layer is the identity everywhere; there every wrong inverse is right. So a test perturbs the weights and
# looks at several random points; in the run above the fault is as small as the square of $A$. The tolerance
# has to lie between rounding (about 1e-15 times what the layers amplify) and the smallest fault that you
# care about: a stray `+ 1e-3` for stability counts. And a row alone must give what it gives in a batch, or
# the layer is batch normalisation in disguise.
#
# :::

# %% [markdown]
# ## How far you are

# %%
progress()
