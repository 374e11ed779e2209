# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Flows for images: RealNVP and Glow
#
# **The question.** The upper row shows digits. The lower row shows the same digits with their 64 pixels
# shuffled, every image in the same way. You can read one of the rows. A flow from the last chapter, with a
# fully connected network on the flattened image, reads both equally well: shuffle the columns of its weight
# matrices along with the pixels, and it gives the same densities. It does not know that pixels have
# neighbours. Convolutions know. But a network of convolutions is a machine for throwing things away: it
# strides, pools, and ends with fewer numbers than it began with. A flow may throw away nothing. 64 numbers
# go in, 64 come out, and every layer must be undone. How do you build a network for images under this rule?
#
# **You will be able to** split an image for a coupling, trade pixels for channels, and let half of them
# leave early; derive the log-determinant of every part of Glow and say what it costs; train RealNVP and
# Glow from scratch and measure them in bits per dimension; tell from numbers why a good likelihood is not
# yet a good sample, and find the bug behind a likelihood that is too good.
#
# **You need** the chapter on [normalising flows](05_flow.ipynb): coupling layers, log-determinants that
# add, dequantisation, bits per dimension. **It takes** about two and a half hours to read with pencil and
# paper, and about a minute to run on a laptop.

# %%
import copy
import itertools
import math
import time

import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.func import jacrev, vmap
from torch.nn import functional as F

from coursekit import PALETTE, budget, figure, frames, image_grid, show, use_style
from dgm.data import Batches, augment_digits, load_digits, to_pm1
from dgm.metrics import digits_features, frechet_distance
from dgm.nn import EMA, seeded
from dgm.prob import standard_normal_log_prob
from dgm.tensor import bits_per_dim
from dgm.train import fit

use_style()
torch.set_num_threads(1)  # networks this small gain nothing from a second thread
g = torch.Generator().manual_seed(0)

# %% [markdown]
# The data and the yardstick are those of the [VAE chapter](02_vae.ipynb): 8 by 8 digits with grey levels 0
# to 16, the first 1000 to train on, the next 350 to choose by, the last 447, by other writers, to report
# on; and a model that draws every pixel from its own histogram.

# %%
train, valid, test = (load_digits(split) for split in ("train", "valid", "test"))
N_LEVELS, D = train.levels, 64


def as_images(x):  # (N, 1, 8, 8) grey levels -> [-1, 1]
    return to_pm1(x, N_LEVELS)


counts = F.one_hot(train.x.flatten(1).long(), N_LEVELS).float().sum(0) + 0.5  # half a count of every level
log_histogram = (counts / counts.sum(1, keepdim=True)).log()  # (64, 17)


def independent_log_prob(x):  # (N, 1, 8, 8) grey levels -> (N,) nats
    return log_histogram.expand(len(x), -1, -1).gather(2, x.flatten(1).long()[..., None]).sum((1, 2))


bits_independent = bits_per_dim(-independent_log_prob(test.x).mean().item(), D)
print(f"independent pixels: {bits_independent:.2f} bits per dimension on the test images")

# %%
shuffle = torch.randperm(D, generator=g)
shuffled = test.x[:12].flatten(1)[:, shuffle].reshape(12, 1, 8, 8)
figure(
    image_grid(as_images(torch.cat([test.x[:12], shuffled])), columns=12),
    alt="Two rows of twelve 8 by 8 grey images. Top: handwritten digits of the test set. Bottom: the same "
    "images with all pixels moved by one fixed shuffle; they look like noise.",
    caption="Test digits above; below, the same digits under one fixed shuffle of the pixels. To a fully "
    "connected flow the two rows are alike.",
)

# %% [markdown]
# ## 1 Which pixels are kept
#
# A coupling layer keeps one part of its input, and lets the kept part decide how every entry of the other
# part is scaled and shifted. Vectors were cut in the middle. An image can be cut in many ways. Write the
# cut as a **mask** $m$ of the image's shape, $1$ where an entry is kept. The network sees the image with
# the changed entries set to zero, so it may be a convolution, and what it says about the kept entries is
# thrown away ([Dinh et al. 2017](https://arxiv.org/abs/1605.08803)):
#
# $$ z = m \odot x + (1 - m) \odot \big(x \odot e^{s(m \odot x)} + t(m \odot x)\big), \qquad
# \log\left|\det \frac{\partial z}{\partial x}\right| = \sum_i (1 - m_i)\, s_i(m \odot x). $$ (glow-masked)
#
# The determinant is that of the last chapter. List the kept entries first: their rows of the Jacobian are
# rows of the identity, the changed entries have $e^{s_i}$ on the diagonal and depend on one another not at
# all, and the matrix is triangular. The inverse needs no inverse of the network, for
# $m \odot z = m \odot x$, and $s$ and $t$ can be computed again.
#
# Which mask? The changed half is given a scale and a shift by the kept half, so the kept half should know
# as much as possible about it. That can be measured before any network is trained: predict the changed
# pixels from the kept ones by least squares, and look how much of their variance is explained. Before you
# look: order the five masks below.

# %%
from dgm.flows import checkerboard_mask

rows = (torch.arange(8) % 2 == 0)[:, None].expand(8, 8)
top = (torch.arange(8) < 4)[:, None].expand(8, 8)
MASKS = {
    "checkerboard": checkerboard_mask(8, 8)[0],
    "every second row": rows,
    "every second column": rows.T,
    "upper half": top,
    "left half": top.T,
}


def explained(mask):  # share of the changed pixels' variance that kept pixels explain, on test images
    x, x_new = (s.x.flatten(1).double() for s in (train, test))
    kept = mask.flatten()
    inputs, inputs_new = (torch.cat([t[:, kept], torch.ones(len(t), 1)], 1).double() for t in (x, x_new))
    ridge = 10 * torch.eye(inputs.shape[1], dtype=torch.float64)  # small against 1000 images' squares
    weights = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ x[:, ~kept])
    left_over = (x_new[:, ~kept] - inputs_new @ weights).square().sum()
    return 1 - (left_over / (x_new[:, ~kept] - x[:, ~kept].mean(0)).square().sum()).item()


# %%
share = {name: explained(mask) for name, mask in MASKS.items()}
fig, axes = plt.subplots(1, 5, figsize=(7.4, 2.0))
for ax, (name, mask) in zip(axes, MASKS.items(), strict=True):
    ax.imshow(~mask, cmap="Blues", vmin=0, vmax=1.6)
    ax.set(xticks=[], yticks=[], xlabel=f"{share[name]:.0%} explained")
    ax.set_title(name, fontsize=8)
    ax.grid(False)
figure(
    fig,
    alt="Five masks on 8 by 8 pixels, kept pixels white, changed pixels blue. Share of the changed pixels' "
    "variance explained by the kept ones: " + ", ".join(f"{n} {v:.0%}" for n, v in share.items()) + ".",
    caption="White pixels are kept, blue ones are changed. Below each mask: how much of the blue pixels' "
    "variance the white ones explain, by least squares.",
)
best_shares = [share[name] for name in ("checkerboard", "every second row")]
assert share["checkerboard"] == max(share.values())
assert min(best_shares) > 1.5 * max(share["upper half"], share["left half"])

# %% [markdown]
# The **checkerboard** wins,
#
# $$ m_{h,w} = \begin{cases} 1 & h + w \text{ even}, \\ 0 & h + w \text{ odd}, \end{cases}
# $$ (glow-checkerboard)
#
# because each changed pixel has its neighbours above, below, left and right among the kept ones. A cut
# through the middle of the image leaves most pixels alone. As always, halves must alternate: the next
# coupling takes the opposite mask $1 - m$.
#
# ## 2 Squeeze
#
# The checkerboard has a price. The convolution runs over the whole image, half of its input is zeros, and
# half of its output is thrown away. And a 3 by 3 filter spans three pixels, in the last layer as in the
# first: a stroke is longer than that. Other networks enlarge the view by pooling. The pooling that loses
# nothing moves every block of 2 by 2 pixels into the channels,
#
# $$ \mathrm{squeeze}(x)_{4c + 2i + j,\; h,\, w} = x_{c,\; 2h + i,\; 2w + j}, \qquad i, j \in \{0, 1\},
# $$ (glow-squeeze)
#
# from $C \times H \times W$ to $4C \times \frac H2 \times \frac W2$. It is a permutation of the entries, so
# $|\det| = 1$, and the log-determinant is $0$. After it a 3 by 3 filter spans six of the old pixels, and
# there are channels to cut: the **channel mask** keeps the first half of them, the network sees the kept
# channels only, and computes nothing in vain.

# %%
from dgm.flows import squeeze, unsqueeze

x_one = torch.arange(64.0).reshape(1, 1, 8, 8)
squeezed = squeeze(x_one)  # (1, 4, 4, 4)
c, i, j, h, w = 0, 1, 0, 2, 3
assert squeezed[0, 4 * c + 2 * i + j, h, w] == x_one[0, c, 2 * h + i, 2 * w + j]  # (glow-squeeze)
assert torch.equal(unsqueeze(squeezed), x_one)

# %%
fig, axes = plt.subplots(1, 6, figsize=(7.4, 1.8), width_ratios=[1.3, 1, 1, 1, 1, 1.3])
digit = test.x[3:4].float()
for ax, picture in zip(axes, [digit[0, 0], *squeeze(digit)[0]], strict=False):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=16)
kept_pixels = unsqueeze((torch.arange(4) < 2).float()[None, :, None, None].expand(1, 4, 4, 4))[0, 0]
axes[5].imshow(1 - kept_pixels, cmap="Blues", vmin=0, vmax=1.6)
titles = ["image", *(f"channel {k}" for k in range(4)), "kept: 0 and 1"]
for ax, title in zip(axes, titles, strict=True):
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=8)
    ax.grid(False)
figure(
    fig,
    alt="An 8 by 8 digit, its four 4 by 4 channels after the squeeze, each a coarse copy of the digit, and "
    "the channel mask drawn on the image: rows 0, 2, 4, 6 are kept, the rows between them are changed.",
    caption="The squeeze cuts one digit into four coarse copies, each shifted by a pixel. Keeping channels "
    "0 and 1 means keeping every second row.",
)

# %% [markdown]
# **Where to look.** Each channel is a coarse copy of the digit, shifted by a pixel. The last picture puts
# the channel mask back on the pixels: after one squeeze it is "every second row", the second best of our
# five. After two squeezes a pixel has sixteen channels, a block of 4 by 4 of the old pixels, and the flow
# can treat each of them differently.
#
# ## 3 Several scales
#
# All 64 numbers pass through every layer. In a photograph of 256 by 256 pixels and three colours there are
# 196,608 of them, and most are fine detail: whether this leaf is a little brighter than that one needs less
# thought than where the tree stands. So let half of the numbers **leave early**. After the first group of
# layers, the first level, half of the channels are declared finished and become part of $z$; the other half
# goes on ([Dinh et al. 2017](https://arxiv.org/abs/1605.08803)). With $h^{(0)} = x$ and $L$ levels,
#
# $$ \big(z^{(\ell)}, h^{(\ell)}\big) = f^{(\ell)}\big(h^{(\ell-1)}\big) \quad (\ell = 1, \dots, L - 1),
# \qquad z^{(L)} = f^{(L)}\big(h^{(L-1)}\big), \qquad z = \big(z^{(1)}, \dots, z^{(L)}\big).
# $$ (glow-multiscale)
#
# For our digits and two levels the bookkeeping reads:
#
# | level | comes in | after squeeze and layers | leaves | goes on |
# |:--|:--|:--|:--|:--|
# | 1 | $1 \times 8 \times 8$ | $4 \times 4 \times 4$ | $2 \times 4 \times 4$, 32 numbers | the other 32 |
# | 2 | $2 \times 4 \times 4$ | $8 \times 2 \times 2$ | all 32 numbers | nothing |
#
# What does it do to the likelihood? Level $\ell$ as a map of everything is $f^{(\ell)}$ on what still runs
# and the identity on what has left. Its Jacobian is block diagonal, one block an identity, so its
# log-determinant is that of $f^{(\ell)}$; and the levels are composed, so log-determinants add. The base
# density $\mathcal{N}(0, I)$ is a product over entries, hence over levels. Together, **the log-likelihood
# is a sum over scales**:
#
# $$ \log p(x) = \sum_{\ell=1}^{L} \left( \log \mathcal{N}\big(z^{(\ell)};\, 0, I\big) + \log\left|\det
# \frac{\partial f^{(\ell)}}{\partial h^{(\ell-1)}}\right| \right). $$ (glow-multiscale-logprob)
#
# Read it as a loss: what leaves at level 1 has to look Gaussian right there, with only the layers of level
# 1 to make it so, and its gradient reaches those layers without passing through the later ones. Deeper
# levels are cheaper as well, with half of the entries each time.
#
# ## 4 ActNorm
#
# Couplings multiply. Stack fifty of them, and a scale that is a little too large in each is far too large
# at the end. Other deep networks normalise by the mean and variance of each batch, and so did RealNVP. In a
# flow this is awkward: the density of an image would depend on which other images sit in its batch. Glow
# ([Kingma and Dhariwal 2018](https://arxiv.org/abs/1807.03039)) takes a layer that only scales and shifts,
# channel by channel,
#
# $$ z_{c,h,w} = e^{s_c}\, x_{c,h,w} + b_c, \qquad \log\left|\det \frac{\partial z}{\partial x}\right| = H W
# \sum_{c=1}^{C} s_c, $$ (glow-actnorm)
#
# a diagonal Jacobian in which each $e^{s_c}$ stands once for every pixel. Its parameters are learnt like
# any others, and *started* by data: the first batch that arrives, with mean $\hat\mu_c$ and variance
# $\hat\sigma_c^2$ of channel $c$ taken over images and pixels, sets
#
# $$ s_c = -\log \hat\sigma_c, \qquad b_c = -\hat\mu_c / \hat\sigma_c, $$ (glow-actnorm-start)
#
# so that this batch leaves the layer as $(x - \hat\mu_c)/\hat\sigma_c$, with mean zero and variance one.
# Put one such layer at the head of every step, and the network starts in good order however deep it is.
#
# There is a neat consequence. Multiply the data by ten: $\hat\sigma$ and $\hat\mu$ are ten times as large,
# and the same numbers leave. A fresh flow that begins with ActNorm does not care in which unit pixels are
# measured. One that does not is at the mercy of the unit. Take the digits in three units, the interval from
# 0 to 1, grey levels 0 to 16, and 0 to 255 as in photographs, and compute the bits per dimension *per grey
# level* before the first step of training. (In the library, ActNorm is the identity until the first batch
# in training mode. So the same model in `eval` mode is the one without.)

# %%
from dgm.flows import glow_images, uniform_noise

y = train.x[:256] + uniform_noise(train.x[:256], g)[0]  # (256, 1, 8, 8) real numbers in [0, 17)
start_bits = {}
for name, unit in {"0 to 1": 1 / 17, "0 to 17": 1.0, "0 to 255": 15.0}.items():
    with seeded(0):
        fresh = glow_images((1, 8, 8), levels=2, steps=6, width=32)
    with torch.no_grad():
        without = fresh.eval().log_prob(unit * y) + D * math.log(unit)  # density of y, not of unit * y
        started = fresh.train().log_prob(unit * y) + D * math.log(unit)
    start_bits[name] = [bits_per_dim(-log_p.mean().item(), D) for log_p in (without, started)]
    print("{:>9s}   without ActNorm {:8.2f} bits/dim   started {:.4f}".format(name, *start_bits[name]))
started = [pair[1] for pair in start_bits.values()]
assert max(started) - min(started) < 1e-3  # the unit drops out, but for float32 rounding
assert min(pair[0] for pair in start_bits.values()) > started[0] + 0.5

# %% [markdown]
# Without ActNorm the start depends on the unit, and in the last one training would have a long way to come
# back. Started, the flow begins in every unit at the same 4.2 bits, near the $\log_2 17 = 4.1$ of "all
# levels alike".
#
# ## 5 The 1x1 convolution
#
# A coupling changes half of the channels, so between two couplings the channels must change places. RealNVP
# alternates. But *which* half should decide about which? Let the flow learn it: multiply the channels of
# every pixel by one and the same matrix $W \in \mathbb{R}^{C \times C}$, a convolution with a 1 by 1
# filter. A permutation is a special case. List the entries pixel by pixel. The Jacobian is then block
# diagonal, with $H W$ copies of $W$, and
#
# $$ z_{:,h,w} = W\, x_{:,h,w}, \qquad \log\left|\det \frac{\partial z}{\partial x}\right| = H W \log
# \left|\det W\right|. $$ (glow-conv)
#
# The determinant of a $C \times C$ matrix takes of the order of $C^3$ operations in every training step,
# and only the loss itself, which grows without bound there, keeps gradient descent away from matrices
# without an inverse: one long step may jump across. Both are cured by storing the matrix as a product
# ([Kingma and Dhariwal 2018](https://arxiv.org/abs/1807.03039)). Every invertible matrix can be written as
# a permutation times a lower times an upper triangular one (Gaussian elimination with row exchanges finds
# them). Fix the permutation $P$ for good, give $L$ ones on its diagonal and $U$ zeros, and keep the
# diagonal apart, as fixed signs $\sigma_c = \pm 1$ times exponentials:
#
# $$ W = P\, L\, \big(U + \operatorname{diag}(\sigma \odot e^{s})\big). $$ (glow-lu)
#
# Determinants multiply, $|\det P| = 1$, and the determinant of a triangular matrix is the product of its
# diagonal: $1$ for $L$, $\prod_c \sigma_c e^{s_c}$ for the last factor. So
#
# $$ \log\left|\det W\right| = \sum_{c=1}^{C} s_c, $$ (glow-lu-logdet)
#
# $C$ additions, with derivative one for each $s_c$; and $W$ has an inverse for every value of its
# parameters. What is lost? The signs and the permutation cannot be learnt. They stay those of the random
# rotation that we start from.
#
# How much is saved? We time a forward and a backward pass of three ways to get the number: from the dense
# Jacobian of the layer on 4 by 4 pixels, $16C \times 16C$, which ignores all structure; from the dense $W$;
# and from {eq}`glow-lu-logdet`. Then, to know what there is to save, a pass of the whole layer on a batch
# of 64, with $W$ stored in either way.

# %%
from dgm.flows import InvertibleConv


def microseconds(run, repeats=6, inner=3):  # of CPU; the best of several: other processes only ever add
    run()
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        for _ in range(inner):
            run()
        seconds.append((time.process_time() - began) / inner)
    return 1e6 * min(seconds)


def layer_lu(conv, x):
    z, logdet = conv(x)
    (z.sum() + logdet.sum()).backward()


def layer_dense(W, x):
    z = torch.einsum("dc,bchw->bdhw", W, x)
    (z.sum() + len(x) * x[0, 0].numel() * torch.linalg.slogdet(W)[1]).backward()


# %%
cost = {"dense Jacobian": {}, "dense W": {}, "LU": {}, "layer, dense W": {}, "layer, LU": {}}
for C in (4, 8, 16, 32, 64, 128, 256):
    with seeded(0):
        conv = InvertibleConv(C)
    W = conv.weight().detach().requires_grad_()
    batch = torch.randn(64, C, 4, 4, generator=g)
    if C <= 32:
        jacobian = torch.block_diag(*[W.detach()] * 16).requires_grad_()  # (16 C, 16 C)
        cost["dense Jacobian"][C] = microseconds(lambda J=jacobian: torch.linalg.slogdet(J)[1].backward())
    cost["dense W"][C] = microseconds(lambda W=W: torch.linalg.slogdet(W)[1].backward())
    cost["LU"][C] = microseconds(lambda conv=conv: conv.log_diagonal.sum().backward())
    cost["layer, dense W"][C] = microseconds(lambda W=W, x=batch: layer_dense(W, x))
    cost["layer, LU"][C] = microseconds(lambda conv=conv, x=batch: layer_lu(conv, x))
    assert abs(torch.linalg.slogdet(W)[1] - conv.log_diagonal.sum()) < 1e-4  # (glow-lu-logdet)
pairs = ("dense Jacobian", "dense W"), ("dense W", "LU"), ("layer, dense W", "layer, LU")
print("  C " + "".join(f"{' / '.join(pair):>28s}" for pair in pairs))
for C in cost["LU"]:
    ratios = [f"{cost[a][C] / cost[b][C]:.1f}" if C in cost[a] else "-" for a, b in pairs]
    print(f"{C:3d} " + "".join(f"{ratio:>28s}" for ratio in ratios))

# %%
fig, ax = plt.subplots(figsize=(5.8, 3))
for (name, times), marker in zip(cost.items(), "^sDov", strict=True):
    ax.loglog(list(times), list(times.values()), marker=marker, label=name)
ax.set(xlabel="channels C", ylabel="forward and backward, µs")
ax.legend(fontsize=8)
figure(
    fig,
    alt="Time in microseconds of a log-determinant against the number of channels, both logarithmic. The "
    "dense Jacobian rises steeply from the start, the dense matrix from a few dozen channels on; the sum of "
    "the LU form is flat and lowest. A pass of the whole layer, in either form, lies above the dense matrix.",
    caption="The determinant is cheap in its LU form (green), but it is not what the layer costs: both "
    "curves of the whole layer lie far above it.",
)
ratio = {C: cost["dense W"][C] / cost["LU"][C] for C in cost["LU"]}
assert ratio[256] > 4 * ratio[8]  # cubic against flat; about ten times when measured
assert cost["dense Jacobian"][32] > 10 * cost["dense W"][32]
assert cost["layer, dense W"][64] > 2 * cost["dense W"][64]  # the determinant is not what costs
dense, lu = (sum(cost[f"layer, {form}"].values()) for form in ("dense W", "LU"))
assert lu > 0.5 * dense  # and LU does not make the layer cheap; noise of the clock is smaller than this

# %% [markdown]
# **What it means.** Structure is worth most: one determinant of $W$ in place of the full Jacobian. From $W$
# to its factors the log-determinant falls by a factor that grows with $C$. But the layer must also multiply
# every pixel by $W$, and put $W$ together from its factors. Read the last column of the table: as a whole
# the layer with LU gains little or nothing, at the sizes of this course. Keep it for the other reason: it
# can't become singular, and its inverse is two triangular solves.
#
# ## 6 Twenty lines
#
# A **step** of Glow is ActNorm, 1x1 convolution, and an affine coupling that keeps the first half of the
# channels. Each part is a few lines.


# %%
class Norm(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.s, self.b = nn.Parameter(torch.zeros(C, 1, 1)), nn.Parameter(torch.zeros(C, 1, 1))
        self.started = False

    def forward(self, x):  # (B, C, H, W) -> the same, and the log-determinant
        if not self.started:
            with torch.no_grad():  # eq. (glow-actnorm-start)
                std, mean = torch.std_mean(x, (0, 2, 3), correction=0)
                self.s.copy_(-std.log()[:, None, None])
                self.b.copy_((-mean / std)[:, None, None])
            self.started = True
        return self.s.exp() * x + self.b, x[0, 0].numel() * self.s.sum()  # eq. (glow-actnorm)


# %%
class Mix(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.P, L, U = torch.linalg.lu(torch.linalg.qr(torch.randn(C, C)).Q)
        self.sign, self.s = U.diagonal().sign(), nn.Parameter(U.diagonal().abs().log())
        self.L, self.U = nn.Parameter(L.tril(-1)), nn.Parameter(U.triu(1))

    def weight(self):  # eq. (glow-lu)
        unit_lower = self.L.tril(-1) + torch.eye(len(self.s))
        return self.P @ unit_lower @ (self.U.triu(1) + torch.diag(self.sign * self.s.exp()))

    def forward(self, x):  # eq. (glow-conv) and (glow-lu-logdet)
        return torch.einsum("dc,bchw->bdhw", self.weight(), x), x[0, 0].numel() * self.s.sum()


# %%
class Couple(nn.Module):
    def __init__(self, C, width):
        super().__init__()
        layers = [nn.Conv2d(C // 2, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Conv2d(width, C, 3, padding=1))

    def forward(self, x):  # eq. (glow-masked), with the kept channels apart
        kept, changed = x.chunk(2, dim=1)
        s, t = self.net(kept).chunk(2, dim=1)
        s = 2 * torch.tanh(s / 2)  # |s| < 2: no single layer can overflow
        return torch.cat([kept, s.exp() * changed + t], dim=1), s.sum((1, 2, 3))


def glow_log_prob(levels, x):  # eq. (glow-multiscale) and (glow-multiscale-logprob): (B,) nats
    h, total = x, 0.0
    for i, steps in enumerate(levels):
        h = squeeze(h)
        for part in itertools.chain(*steps):
            h, logdet = part(h)
            total = total + logdet
        z, h = (h, None) if i + 1 == len(levels) else h.chunk(2, dim=1)
        total = total + standard_normal_log_prob(z)  # this scale's part of the sum
    return total


# %% [markdown]
# The library has the same parts with inverses, shapes, errors and sources. Copy our parameters into its
# `glow_images`, and the two give the same densities. The first batch starts our ActNorms; afterwards we set
# the library's to the same values.

# %%
from dgm.flows import glow_step

with seeded(0):
    ours = [
        [[Norm(C), Mix(C), Couple(C, 8)] for _ in range(2)] for C in (4, 8)
    ]  # two levels of two steps each
    theirs = glow_images((1, 8, 8), levels=2, steps=2, width=8)
y_small = (y / 8 - 1)[:16]
ours_log_prob = glow_log_prob(ours, y_small)
with torch.no_grad():
    for our_level, (_, *their_steps) in zip(ours, theirs.flow.levels, strict=True):
        for (norm, mix, couple), (act, conv, coupling) in zip(our_level, their_steps, strict=True):
            act.log_scale.copy_(norm.s.flatten())
            act.shift.copy_(norm.b.flatten())
            act.started.fill_(True)
            for name, value in {"lower": mix.L, "upper": mix.U, "log_diagonal": mix.s}.items():
                getattr(conv, name).copy_(value)
            conv.permutation.copy_(mix.P)
            conv.sign.copy_(mix.sign)
            coupling.conditioner.layers.load_state_dict(couple.net.state_dict())
torch.testing.assert_close(ours_log_prob, theirs.log_prob(y_small), rtol=1e-5, atol=1e-3)
show(glow_step)

# %% [markdown]
# And is the log-determinant the one of the map? Ask autograd for the full Jacobian of one image, 64 by 64,
# in float64. This is the test that a flow has to pass before anything is trained.

# %%
z_check, claimed = copy.deepcopy(theirs).double().flow(y_small.double())
flow64 = copy.deepcopy(theirs.flow).double()
jacobian = vmap(jacrev(lambda one: flow64(one[None])[0][0]))(y_small.double()).flatten(2)  # (16, 64, 64)
dense = torch.linalg.slogdet(jacobian).logabsdet
print(f"log-determinant of the first image: claimed {claimed[0]:.6f}, dense {dense[0]:.6f} nats")
assert (z_check - y_small.double().flatten(1)).abs().max() > 0.1  # not the identity
assert (claimed - dense).abs().max() < 1e-9  # rounding of float64

# %% [markdown]
# ## 7 Run it
#
# The grey levels become real numbers as in the last chapter: add uniform noise, divide by 17, map the unit
# interval to the line by a logit. All three are invertible maps with log-determinants of their own, so the
# result is a lower bound on the log-probability of the *levels*, in
# [bits per dimension](05_flow.ipynb#flow-bpd). Smaller is better, and independent pixels are the yardstick.
#
# Three models get the same number of steps. **RealNVP** has three checkerboard couplings on 8 by 8 pixels,
# a squeeze, three couplings of channels; half of the channels leave, and four checkerboard couplings on 4
# by 4 pixels follow. **Glow** has two levels of six steps. The third has no convolution: `bin_flow`, six
# couplings of halved images in which every changed pixel goes through a histogram's distribution function
# with one bin for each of the 17 levels. No Gaussian has to be bent into 17 stairs, and its base is
# uniform.
#
# 1000 images are few for networks that see 64 numbers exactly. All three also train on warped copies, and a
# second Glow trains on the 1000 images alone. In each run the weights (a moving average over steps) are
# those of the step that was best on the validation images.

# %%
from dgm.flows import (
    Compose,
    FlowModel,
    Logit,
    bin_flow,
    dequantise,
    dequantised_log_prob,
    quantise,
    realnvp_images,
)

copies = augment_digits(train.x.repeat(10, 1, 1, 1), torch.Generator().manual_seed(1))
pool = torch.cat([train.x.repeat(5, 1, 1, 1), copies])  # two thirds of it warped


@torch.no_grad()
def bits(model, x, draws=2, noise=uniform_noise):  # bound on the bits per dimension of grey levels x
    model.eval()
    terms = dequantised_log_prob(
        model.log_prob, x, N_LEVELS, noise=noise, draws=draws, generator=torch.Generator().manual_seed(1)
    )  # (draws, N) nats
    return bits_per_dim(-terms.mean().item(), D)


# %%
def train_flow(build, data=pool, *, steps, rate=1.5e-2, decay=1e-4, noise=uniform_noise, seed=0):
    g = torch.Generator().manual_seed(seed)
    with seeded(seed):  # initial weights, and dropout
        model = build()
        averaged = EMA(model, 0.97)
        optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

        def step(x):
            loss = -dequantised_log_prob(model.log_prob, x, N_LEVELS, noise=noise, generator=g).mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 50.0)
            optimiser.step()
            schedule.step()
            averaged.update()
            return {"loss": loss.detach()}

        def validate():
            look = {"loss": valid.x, "train": train.x[:350]}
            return {key: bits(averaged.model, x, 1, noise) for key, x in look.items()}

        best = {"state": {"averaged": averaged}, "keep_best": ["averaged"], "validate_every": steps // 10}
        history = fit(step, Batches(data, batch_size=64, generator=g), steps=steps, validate=validate, **best)
    return averaged.model.eval(), history


# %%
def with_logit(model):  # a model of real numbers as one of pixels in [0, 1]
    return FlowModel(model.base, Compose(Logit(0.05), model.flow))


def realnvp():
    return with_logit(realnvp_images((1, 8, 8), width=24))


def glow(steps=6, width=32):
    return with_logit(glow_images((1, 8, 8), levels=2, steps=steps, width=width))


# %%
STEPS = budget(cpu=340, full=4000)
RUNS = {
    "RealNVP": (realnvp, pool, {}),
    "Glow": (glow, pool, {}),
    "Glow, no warped copies": (glow, train.x, {}),
    "bins": (
        lambda: bin_flow((1, 8, 8), N_LEVELS, (128, 128), dropout=0.2),
        pool,
        {"rate": 6e-3, "decay": 0.1},
    ),
}
runs = {
    name: train_flow(build, data, steps=STEPS, **options) for name, (build, data, options) in RUNS.items()
}

# %%
table = {name: [bits(model, s.x) for s in (train, valid, test)] for name, (model, _) in runs.items()}
for name, row in table.items():
    best = runs[name][1].best_step
    print("{:24s} train {:.3f}  valid {:.3f}  test {:.3f} bits/dim".format(name, *row), f"(step {best})")
test_bits = {"independent pixels": bits_independent} | {name: row[2] for name, row in table.items()}
fig, axes = plt.subplots(1, 2, figsize=(7.4, 2.9), sharey=True)
for ax, name in zip(axes, ("Glow", "Glow, no warped copies"), strict=True):
    history = runs[name][1]
    ax.plot(history.valid_steps, history.valid["train"], "o--", ms=4, label="350 training images")
    ax.plot(history.valid_steps, history.valid["loss"], "s-", ms=4, label="350 validation images")
    ax.axvline(history.best_step, color="0.6", lw=1)
    ax.axhline(bits_independent, color=PALETTE["black"], ls=":", label="independent pixels (test)")
    ax.set(title=name, xlabel="step", ylim=(1.8, 2.8))
axes[0].set_ylabel("bits per dimension")
axes[0].legend(fontsize=8)
figure(
    fig,
    alt="Bits per dimension during training, left with warped copies, right without. Left: training and "
    "validation images fall together. Right: training images fall on, validation images reach their lowest "
    "value at the grey line and rise again.",
    caption="With warped copies both curves fall together. On the 1000 images alone, validation turns "
    "round at the grey line, the step whose weights are kept.",
)

# %%
gap = {name: row[1] - row[0] for name, row in table.items()}  # at the kept weights, valid minus train
overfit = runs["Glow, no warped copies"][1]
# margins: half of the least gap over seeds 0, 1, 2
assert max(row[2] for row in table.values()) < bits_independent - 0.09
assert overfit.best_step < STEPS
assert overfit.valid["loss"][-1] > min(overfit.valid["loss"]) + 0.008
assert gap["Glow"] < 0.7 * gap["Glow, no warped copies"]
assert test_bits["Glow"] < test_bits["Glow, no warped copies"] - 0.019
assert test_bits["bins"] < test_bits["Glow"] - 0.02

# %% [markdown]
# **What it means.** All beat the yardstick: to know that pixels agree is worth a quarter to a third of a
# bit a pixel. Without warped copies the validation curve turns round while the training curve falls on: the
# flow begins to learn the 1000 images by heart. The warped copies buy back part of that. Make little of the
# step from RealNVP to Glow before you have run both with another `seed`. And the model without convolutions
# wins: bins fit the 17 levels. `bench/flow_digits.py` takes bins further, with masks under which each pixel
# is changed once, repeats it over seeds, and sets affine couplings without convolutions beside it.


# %%
def sample_levels(model, n, seed=3, temperature=1.0):  # (n, 1, 8, 8) grey levels
    return quantise(model.sample(n, torch.Generator().manual_seed(seed), temperature), N_LEVELS)


rows = [test.x[:12], *(sample_levels(runs[name][0], 12) for name in ("RealNVP", "Glow", "bins"))]
figure(
    image_grid(as_images(torch.cat(rows)), columns=12, row_labels=["test", "RealNVP", "Glow", "bins"]),
    alt="Four rows of twelve images: test digits; draws of RealNVP, of Glow, and of the bin flow. About half "
    "of Glow's draws can be read as digits, fewer of RealNVP's; the bin flow's strokes break off more often.",
    caption="Real digits, and draws of three flows after equally many steps. The last row has the best "
    "likelihood. Has it the best digits?",
)

# %% [markdown]
# **Where to look.** Compare the last two rows. The last has the better likelihood. Has it the better
# digits? Section 11 comes back to this.
#
# What do the two scales hold? Take test images, keep one part of their $z$, and draw the other part anew.

# %%
flow_model = runs["Glow"][0]
v_test, _ = dequantise(test.x, uniform_noise(test.x, g)[0], N_LEVELS)
with torch.no_grad():
    z_test, _ = flow_model.flow(v_test)  # (447, 64): 32 numbers of level 1, then 32 of level 2


@torch.no_grad()
def decode(z):  # (N, 64) -> grey levels
    return quantise(flow_model.flow.inverse(z)[0], N_LEVELS)


fresh_z = torch.randn(12, 64, generator=g)
keep_coarse = torch.cat([fresh_z[:, :32], z_test[:12, 32:]], 1)
keep_fine = torch.cat([z_test[:12, :32], fresh_z[:, 32:]], 1)
figure(
    image_grid(
        as_images(torch.cat([test.x[:12], decode(keep_coarse), decode(keep_fine)])),
        columns=12,
        row_labels=["test", "new z⁽¹⁾", "new z⁽²⁾"],
    ),
    alt="Three rows of twelve. Test digits; the same with the first level's part of z drawn anew: the same "
    "digits with other edges; the same with the second level's part drawn anew: other shapes altogether.",
    caption="Draw the first scale's half of z anew, and most digits keep their names. Draw the second "
    "scale's half anew, and most become others.",
)

# %%
features = digits_features()


@torch.no_grad()
def digit_named(x, y):  # share of images that the classifier gives the label y
    return (features(as_images(x)).argmax(1) == y).float().mean().item()


fresh_z = torch.randn(len(z_test), 64, generator=g)
named = {
    "as it was": digit_named(test.x, test.y),
    "new z1": digit_named(decode(torch.cat([fresh_z[:, :32], z_test[:, 32:]], 1)), test.y),
    "new z2": digit_named(decode(torch.cat([z_test[:, :32], fresh_z[:, 32:]], 1)), test.y),
}
print("the classifier still names the digit:", {name: f"{share:.0%}" for name, share in named.items()})
assert named["new z1"] > 0.5 > named["new z2"]  # a share's standard error is at most 0.024

# %% [markdown]
# Half of the numbers, those that went through both levels, carry which digit it is. The other half carries
# how its edges fall. Nobody asked for this division; it comes from letting half of the numbers leave early.
#
# ## 8 Temperature
#
# A flow draws $z$ from a standard Gaussian and maps it back. Draw it from a narrower one,
#
# $$ x = f^{-1}(T \varepsilon), \quad \varepsilon \sim \mathcal{N}(0, I): \qquad \log p_T(x) = \log p(x) +
# \tfrac12\big(1 - T^{-2}\big)\, \|f(x)\|^2 - D \log T, $$ (glow-temperature)
#
# and samples stay nearer to where $z$ is most probable. The right side is the
# [change of variables](05_flow.ipynb#thm-change) with $\mathcal{N}(0, T^2 I)$ for the base: replace
# $\|z\|^2$ by $\|z\|^2/T^2$, pay $D \log T$ for the narrower Gaussian, and the log-determinant stays what
# it was. (If it is the same for all $x$, as with additive couplings, then $p_T \propto p^{1/T^2}$, a
# density sharpened as by cooling; hence the name. With affine couplings it is not.) The faces in
# [Kingma and Dhariwal 2018](https://arxiv.org/abs/1807.03039) were drawn at $T = 0.7$. Before you move the
# slider: what will $T = 0$ draw, and will the Fréchet distance agree with your eyes?

# %%
test_features = features.features(as_images(test.x)).detach()


@torch.no_grad()
def frechet(x):  # of grey levels x to the test images, thousandths of the features' variance
    return frechet_distance(test_features, features.features(as_images(x)))


with torch.no_grad():
    log_p = dequantised_log_prob(
        flow_model.log_prob, test.x, N_LEVELS, generator=torch.Generator().manual_seed(1)
    )[0]
    v_same, _ = dequantise(test.x, uniform_noise(test.x, torch.Generator().manual_seed(1))[0], N_LEVELS)
    squared = flow_model.flow(v_same)[0].square().sum(1)  # ||f(x)||^2 of the same noise
TEMPERATURES = [0.0, 0.3, 0.5, 0.7, 0.85, 1.0, 1.15, 1.3]
cooled = {}
for T in TEMPERATURES:
    tempered = log_p + 0.5 * (1 - T**-2) * squared - D * math.log(T) if T else log_p - math.inf
    distance = frechet(sample_levels(flow_model, 1000, temperature=T)) if T else math.nan
    cooled[T] = distance, bits_per_dim(-tempered.mean().item(), D)


# %%
def draw_temperature(T):
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.0), width_ratios=[1.7, 1])
    image_grid(as_images(sample_levels(flow_model, 50, temperature=T)), columns=10, ax=left)
    warm = TEMPERATURES[1:]
    right.plot(warm, [cooled[t][0] for t in warm], "o-", color=PALETTE["vermilion"])
    right.axvline(T, color=PALETTE["black"], lw=1)
    right.set(xlabel="temperature T", ylabel="Fréchet distance to test, ×10⁻³", ylim=(0, None))
    return fig


frames(
    draw_temperature,
    TEMPERATURES,
    label="temperature T",
    start=1.0,
    alt=lambda T: (
        f"Fifty draws of Glow at temperature {T:g}, all slider positions from the same noise. At 0 all are "
        "one grey figure, a mixture of several digits; with rising temperature strokes and variety appear; "
        "above 1 they break up. Right: the Fréchet distance falls steeply up to 1 and then levels off."
    ),
    caption="Fifty draws at the chosen temperature, always from the same noise. Cooling takes away "
    "variety, and the Fréchet distance grows.",
)

# %%
for T in TEMPERATURES[1:]:
    print("T = {:4.2f}: Fréchet distance {:4.0f}, {:7.2f} bits/dim on test".format(T, *cooled[T]))
assert cooled[1.0][0] < cooled[0.7][0] < cooled[0.5][0]
assert cooled[1.0][1] == min(value for _, value in cooled.values())

# %% [markdown]
# **What it means.** On faces, which are all alike, cooling cleans up. Ten kinds of digits are not alike:
# the middle of $z$ lies between them, and there is nothing there to be seen. Cooling takes away variety
# faster than it takes away noise, and the Fréchet distance, which compares whole distributions, minds. It
# would even rather have it a little warmer than the model is, noise and all. The likelihood is best at
# $T = 1$, as it should be for a model that was trained on it: a cooled model all but excludes the images
# whose $z$ lies far out. And nearly all images lie far out:
#
# ## 9 Between two images
#
# A VAE encodes an image as a distribution; a flow encodes it as one exact $z$, and gives back the image to
# the last digit. So take two real images, walk from $z_a$ to $z_b$, and decode what lies between. Walk how?
# On a straight line, $z = (1 - t) z_a + t z_b$, the halfway point of two independent standard Gaussians has
# variance $\tfrac14 + \tfrac14 = \tfrac12$: it is a draw at the temperature $\sqrt{1/2} = 0.71$ of the last
# section. The norm of a standard Gaussian in 64 dimensions is $8$ give or take $0.7$; the line dives below
# the shell on which the data live. Stay on the shell instead, and go along the arc,
#
# $$ z = \frac{\sin((1 - t)\,\omega)}{\sin \omega}\, z_a + \frac{\sin(t\,\omega)}{\sin \omega}\, z_b,
# \qquad \cos \omega = \frac{z_a \cdot z_b}{\|z_a\| \|z_b\|}. $$
#
# Beside both, the plain mixture of the pixels.

# %%
pairing = torch.randperm(len(z_test), generator=g)
first, second = torch.arange(len(z_test)), pairing
differ = test.y[first] != test.y[second]
first, second = first[differ], second[differ]  # pairs of test images of different digits


def line(t, a, b):
    return (1 - t) * a + t * b


def arc(t, a, b):  # (N, 64), (N, 64) -> (N, 64)
    omega = torch.arccos(F.cosine_similarity(a, b, dim=-1))[:, None]
    return (torch.sin((1 - t) * omega) * a + torch.sin(t * omega) * b) / torch.sin(omega)


# %%
SHOWN = [0, 2, 4]
pictures = []
for k in SHOWN:
    a, b = first[k : k + 1], second[k : k + 1]
    steps = torch.linspace(0, 1, 11)
    pictures += [quantise(line(t, v_test[a], v_test[b]), N_LEVELS) for t in steps]
    pictures += [decode(path(t, z_test[a], z_test[b])) for path in (line, arc) for t in steps]
figure(
    image_grid(as_images(torch.cat(pictures)), columns=11, row_labels=["pixels", "line", "arc"] * len(SHOWN)),
    alt="Three pairs of test digits, each joined in three ways in eleven pictures. Mixing pixels shows both "
    "digits at once, faintly. The line and the arc in z bend the strokes of one into the other.",
    caption="Real test images at both ends, and three walks from one to the other. Pixels fade into one "
    "another; the line and the arc in z bend the strokes.",
)

# %%
middle = {
    "real images": test.x,
    "pixels": quantise(line(0.5, v_test[first], v_test[second]), N_LEVELS),
    "line": decode(line(0.5, z_test[first], z_test[second])),
    "arc": decode(arc(0.5, z_test[first], z_test[second])),
}
halfway = {name: (bits(flow_model, x), frechet(x)) for name, x in middle.items()}
for name, (model_bits, distance) in halfway.items():
    print(f"{name:12s} {model_bits:.2f} bits/dim under the model, Fréchet distance to test {distance:4.0f}")
norms = [path(0.5, z_test[first], z_test[second]).norm(dim=1).mean().item() for path in (line, arc)]
print(
    f"mean norm of z halfway: line {norms[0]:.2f}, arc {norms[1]:.2f}; real {z_test.norm(dim=1).mean():.2f}"
)
assert abs(norms[0] - 8 * math.sqrt(0.5)) < 0.3  # test images do not fill the shell exactly
assert halfway["arc"][1] < 0.6 * halfway["line"][1] < 0.6 * halfway["pixels"][1]
assert halfway["line"][0] < halfway["arc"][0] < halfway["pixels"][0]

# %% [markdown]
# **What it means.** Read the two columns against each other. Halfway points of the line are as probable as
# real images, or nearly; those of the arc are less probable; and by the Fréchet distance the arc's are the
# far better digits. The most probable images are not typical ones. That thought returns in section 11.
#
# ## 10 How exactly it inverts
#
# "Invertible" is a statement about real numbers. How many digits survive on a computer? Map draws
# $z \sim \mathcal{N}(0, T^2 I)$ back to images and forth again, in float32 and in float64, and look at the
# largest error in each draw's 64 numbers. At $T = 1$ these are the model's own samples; at larger $T$ we
# leave the region where it was trained. (The flow starts behind the logit here: a logit near the ends of
# the interval loses digits of its own.) Predict: how does the error grow with $T$, and by what factor do
# the two curves differ?

# %%
behind_logit = list(flow_model.flow)[1]
SCALES = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0]
error = {torch.float32: [], torch.float64: []}
with torch.no_grad():
    for dtype, values in error.items():
        flow = copy.deepcopy(behind_logit).to(dtype)
        eps = torch.randn(447, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        for T in SCALES:
            z = (T * eps).to(dtype)
            there_and_back, _ = flow(flow.inverse(z)[0])
            worst = (there_and_back - z).abs().amax(1)  # (447,)
            values.append((worst.median().item(), worst.max().item()))

# %%
fig, ax = plt.subplots(figsize=(6, 3))
for (dtype, values), colour in zip(error.items(), (PALETTE["vermilion"], PALETTE["blue"]), strict=True):
    for index, (style, which) in enumerate((("o-", "median"), ("s--", "worst of 447"))):
        label = f"{str(dtype).removeprefix('torch.')}, {which}"
        ax.semilogy(SCALES, [v[index] for v in values], style, color=colour, label=label)
ax.set(xlabel="scale T of z", ylabel="largest error of a round trip")
ax.legend(fontsize=8)
figure(
    fig,
    alt="Error of a round trip from z to the image and back, logarithmic, against the scale of z from 0.5 to "
    "8. Float32 starts near 1e-6, float64 near 1e-15. Both rise slowly in the median and by many orders of "
    "magnitude in the worst case beyond scale 3, where float32 loses all digits.",
    caption="Rounding errors grow with the distance from the data: slowly for most draws, by many orders "
    "of magnitude for the worst. Float64 moves the cliff and does not remove it.",
)

# %%
ratio = error[torch.float32][1][0] / error[torch.float64][1][0]
eps_ratio = torch.finfo(torch.float32).eps / torch.finfo(torch.float64).eps
print(
    f"T = 1: median error {error[torch.float32][1][0]:.1e} in float32, "
    f"{error[torch.float64][1][0]:.1e} in float64"
)
print(f"their ratio is {ratio:.1e}, that of the two machine precisions {eps_ratio:.1e}")
assert error[torch.float32][1][1] < 1e-4  # four digits and more on the model's own samples
assert error[torch.float64][1][1] < 1e-12
assert 0.1 < ratio / eps_ratio < 10  # the same amplification of rounding in both
assert error[torch.float32][-1][1] > 1e3 * error[torch.float32][1][1]

# %% [markdown]
# **What it means.** Rounding makes an error in the last digit; the layers' slopes amplify it. On its own
# samples the flow amplifies little, and float32 is good enough to train and to draw. Far outside, an affine
# coupling can multiply by up to $e^2$ in each of twelve layers, the inverse *explodes*
# ([Behrmann et al. 2021](https://arxiv.org/abs/2006.09347)), and what comes back has nothing to do with
# what went in. Float64 moves the cliff; it does not remove it. Whoever compresses images with a flow, and
# needs every bit back, has to care.
#
# ## 11 A good likelihood is not a good sample
#
# Likelihood is the one figure that flows can state exactly. It is tempting to read it as quality. Here are
# three cases, after [Theis et al. 2016](https://arxiv.org/abs/1511.01844), in numbers.
#
# **Nearly all noise, and hardly worse.** Take a good model $p$ and a bad one $q$, and mix them: with
# probability $\lambda$ draw from $p$, otherwise from $q$. Leave out the second term of the mixture's
# density:
#
# $$ \log\big(\lambda\, p(x) + (1 - \lambda)\, q(x)\big) \;\ge\; \log p(x) - \log \tfrac1\lambda.
# $$ (glow-mixture)
#
# With $\lambda = 0.01$, 99 of 100 samples are noise, and the log-likelihood falls by at most
# $\log 100 = 4.6$ nats. Not a factor, not per pixel: 4.6 nats *an image*.

# %%
LAMBDA = 0.01


def histogram_density(v):  # independent pixels as a density on [0, 1]^64, constant on each level's cell
    return independent_log_prob(quantise(v, N_LEVELS)) + D * math.log(N_LEVELS)


class Mixture(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def log_prob(self, v):
        good, bad = self.model.log_prob(v), histogram_density(v)
        return torch.logaddexp(good + math.log(LAMBDA), bad + math.log1p(-LAMBDA))


price = bits_per_dim(math.log(1 / LAMBDA), D)
for name in ("bins", "Glow"):
    alone, mixed = bits(runs[name][0], test.x), bits(Mixture(runs[name][0]), test.x)
    test_bits[f"1 % {name}"] = mixed
    print(f"{name}: alone {alone:.3f}, 1 % of it {mixed:.3f} bits/dim; at most + {price:.3f}")
    assert mixed <= alone + price + 1e-6  # (glow-mixture), the same noise in both
print(f"on colour images of 32 by 32 pixels: + {bits_per_dim(math.log(1 / LAMBDA), 3072):.4f} bits/dim")
assert test_bits["1 % bins"] < bits_independent - 0.11  # half of the least gap of 3 seeds

# %% [markdown]
# On colour images of 32 by 32 pixels the price of 99 % noise shows in the third decimal of a bit. Papers
# compare models in the second.
#
# **Perfect samples, and a likelihood beneath contempt.** The other way round, take a model that learnt the
# training images by heart: draw one of the 1000, and replace each pixel, with probability
# $\epsilon = 1\,\%$, by another level. Its samples are real digits, but for a pixel here and there. A test
# image differs from the nearest of the 1000 in dozens of pixels, and each costs $\log(16/\epsilon) = 7.4$
# nats.

# %%
EPSILON = 0.01


def memory_log_prob(x):  # (N, 1, 8, 8) -> (N,): a mixture of 1000 remembered images
    wrong = (x.flatten(1)[:, None] != train.x.flatten(1)).sum(2)  # (N, 1000) pixels that differ
    log_p = wrong * math.log(EPSILON / (N_LEVELS - 1)) + (D - wrong) * math.log1p(-EPSILON)
    return torch.logsumexp(log_p, 1) - math.log(len(train.x))


def noisy_levels(x, share):  # replace a share of the pixels by another level
    other = (x + torch.randint(1, N_LEVELS, x.shape, generator=g)) % N_LEVELS
    return torch.where(torch.rand(x.shape, generator=g) < share, other, x)


differing = (test.x.flatten(1)[:, None] != train.x.flatten(1)).sum(2).amin(1).float()
print(
    f"a test image differs from the nearest training image in {differing.median():.0f} of 64 pixels (median)"
)
test_bits["learnt by heart"] = bits_per_dim(-memory_log_prob(test.x).mean().item(), D)

# %%
N_DRAWS = 1000
noise = torch.multinomial(log_histogram.exp(), N_DRAWS, True, generator=g).T.reshape(-1, 1, 8, 8).byte()
drawn = {name: sample_levels(model, N_DRAWS) for name, (model, _) in runs.items()}
drawn["independent pixels"] = noise
for name in ("bins", "Glow"):
    drawn[f"1 % {name}"] = torch.cat([drawn[name][:10], noise[:990]])
drawn["learnt by heart"] = noisy_levels(train.x, EPSILON)
distance = {name: frechet(x) for name, x in drawn.items()}
distance["Glow, T = 1.15"], test_bits["Glow, T = 1.15"] = cooled[1.15]

# %% [markdown]
# **Honest models.** Nothing was rigged in section 7, nor in section 8: Glow at $T = 1.15$ is a density like
# any other, and {eq}`glow-temperature` gave its bits. Before you run the cell: in which order will bins,
# Glow and the warmer Glow stand on either axis?

# %%
order = sorted(test_bits, key=test_bits.get)
for name in order:
    print(f"{name:24s} {test_bits[name]:.3f} bits/dim   Fréchet distance {distance[name]:5.0f}")
fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.2), sharey=True)
for row, name in enumerate(order):
    rigged = name.startswith(("1 %", "learnt"))
    style = {"marker": "D" if rigged else "o", "color": PALETTE["vermilion" if rigged else "blue"]}
    left.plot(test_bits[name], row, **style)
    right.plot(distance[name], row, **style)
left.axvline(math.log2(N_LEVELS), color="0.6", lw=1)
left.text(math.log2(N_LEVELS), 0.2, "all levels alike ", color="0.35", fontsize=8, ha="right")
left.set_yticks(range(len(order)), order)
left.invert_yaxis()
left.set(xlabel="test bits per dimension")
right.set(xscale="log", xlabel="Fréchet distance to test, ×10⁻³")
right.set_xticks([30, 60, 120, 240], ["30", "60", "120", "240"])
right.minorticks_off()
pairs = "; ".join(f"{name} {test_bits[name]:.2f} and {distance[name]:.0f}" for name in order)
figure(
    fig,
    alt="Nine models, from the fewest test bits per dimension at the top to the most at the bottom, with "
    f"their Fréchet distances beside: {pairs}.",
    caption="Lower is better on both axes, and neither predicts the other: compare the first row with the "
    "last. Diamonds mark the models that were rigged on purpose.",
)

# %%
assert test_bits["learnt by heart"] > math.log2(N_LEVELS)  # worse than knowing nothing at all
assert distance["learnt by heart"] < min(v for n, v in distance.items() if n != "learnt by heart")
assert distance["1 % bins"] > 1.7 * max(distance[name] for name in RUNS)  # 2.5 and more over 3 seeds
warm = "Glow, T = 1.15"
assert test_bits["bins"] < test_bits["Glow"] < test_bits[warm]  # on this axis the warm Glow comes last
assert distance[warm] < min(distance["Glow"] - 5, distance["bins"] - 7)  # half of the least gaps of 3 seeds

# %% [markdown]
# **What it means.** Neither axis predicts the other. The reason is arithmetic: the log-likelihood of an
# image is a sum over 64 dimensions, nearly all of it about details such as how the levels of an edge
# scatter, where bins are at their best. Whether the strokes make a digit is worth a few nats of it. A judge
# that looks at shapes sees those few and little else. Report both. The
# [evaluation chapter](10_evaluation.ipynb) goes on from here.
#
# ## 12 Break it: leave out a part
#
# Is every part of a Glow step needed? Train smaller Glows for fewer steps: as it is; without ActNorm; with
# the order of the channels reversed in place of the 1x1 convolution; and with nothing at all in its place.
# Before you run the cell, take the last case: which entries of $z$ does the flow ever change, and which of
# them leave at level 1?

# %%
from dgm.flows import (
    ActNorm,
    Affine,
    ConvConditioner,
    Coupling,
    Halves,
    MultiScale,
    Reverse,
    Squeeze,
    StandardNormal,
)


# %%
def variant(norm=True, mix=InvertibleConv, width=24):
    def step(C):
        parts = ([ActNorm(C)] if norm else []) + ([mix(C)] if mix else [])
        return Compose(*parts, Coupling(Halves(C), Affine(), ConvConditioner(C // 2, C // 2, 2, width)))

    levels = [Compose(Squeeze(), *[step(C) for _ in range(4)]) for C in (4, 8)]
    return with_logit(FlowModel(StandardNormal(D), MultiScale((1, 8, 8), levels)))


VARIANTS = {
    "Glow, small": variant,
    "no ActNorm": lambda: variant(norm=False),
    "reversed channels": lambda: variant(mix=lambda C: Reverse()),
    "channels stay": lambda: variant(mix=None),
}
SHORT = budget(cpu=120, full=1500)
parts = {name: train_flow(build, steps=SHORT) for name, build in VARIANTS.items()}

# %%
fig, ax = plt.subplots(figsize=(6, 3))
for (name, (_, history)), style in zip(parts.items(), ("o-", "s--", "D:", "^-"), strict=True):
    ax.plot(history.valid_steps, history.valid["loss"], style, ms=4, label=name)
ax.axhline(bits_independent, color=PALETTE["black"], ls=":", lw=1)
ax.set(xlabel="step", ylabel="bits per dimension, validation", ylim=(2.2, 4.2))
ax.legend(fontsize=8)
figure(
    fig,
    alt="Validation bits per dimension over the steps for four small Glows. Three fall together, down to the "
    "dotted line of independent pixels; the one whose channels stay in place levels off far above it.",
    caption="Three small Glows come down to the independent pixels (dotted). The one without any mixing of "
    "channels levels off far above.",
)
part_bits = {name: bits(model, test.x) for name, (model, _) in parts.items()}
depends = {}
x_one = v_test[:1].double()
for name in ("Glow, small", "channels stay"):
    flow = copy.deepcopy(parts[name][0].flow).double()
    jacobian = jacrev(lambda x, flow=flow: flow(x)[0][0])(x_one).reshape(D, D)  # d z / d pixels
    depends[name] = (jacobian.abs() > 1e-9).sum(1)  # on how many pixels each entry of z depends
    alone = int((depends[name] == 1).sum())
    print(f"{name}: {alone} of 64 entries of z depend on one pixel only")
print("bits/dim on test:", {name: round(value, 2) for name, value in part_bits.items()})

# %%
assert int((depends["channels stay"] == 1).sum()) == 32
assert int((depends["Glow, small"] == 1).sum()) == 0
assert part_bits["channels stay"] > bits_independent + 0.3
assert max(part_bits[n] for n in VARIANTS if n != "channels stay") < part_bits["channels stay"] - 0.3
assert abs(part_bits["reversed channels"] - part_bits["Glow, small"]) < 0.15

# %% [markdown]
# **What it means.** Without mixing, the first half of the channels passes every coupling unchanged and
# leaves at level 1: 32 pixels, half of the image, are scaled and shifted and never anything else. About
# these the model can say no more than that they are independent Gaussians behind a logit, and it does worse
# than a histogram per pixel. *That* is what mixing is for. Which mixing hardly matters with four or eight
# channels: reversing their order does about as well as a learnt matrix. ActNorm changes little either,
# because the logit had already brought the pixels to about unit scale (section 4 showed what happens when
# nothing does), and eight steps are not deep. Their authors measured the gains at 32 steps a level, on
# photographs. A part that is needed there may be idle here; leave one out and look.
#
# ## 13 Break it: bits that were never saved
#
# A likelihood cannot be seen. If a bug makes it too good, the curve falls nicely, the samples look as
# before, and the paper is wrong. Three ways that are easy to take.
#
# **The scaling.** Pixels $y \in [0, 17)$ are divided by 17 on their way into the flow. Forget the
# log-determinant $-D \log 17$, and the density is one per unit of $v$, not per grey level.
#
# **The pixels.** Write $\log|\det W|$ where {eq}`glow-conv` has $H W \log|\det W|$. What will training do
# with it? ActNorm, in front of $W$, still counts its scale $e^s$ for all $H W$ pixels.
#
# **The noise.** Draw $u$ from $[0, \tfrac12)$ only. That is allowed: it is a
# [variational distribution](05_flow.ipynb#flow-variational), with density $q(u \mid x) = 2^{64}$ on its
# small cube, and belongs into the bound with $-\log q = -64 \log 2$ nats. Forget this term.
#
# Predict for each by how many bits per dimension it flatters, before you run the cell.


# %%
class ForgetsPixels(InvertibleConv):
    def forward(self, x):
        z, logdet = super().forward(x)
        return z, logdet / x[0, 0].numel()  # log|det W|, not H W log|det W|


def half_noise(x, generator=None):  # u on [0, 1/2), and the log q that belongs to it
    u, _ = uniform_noise(x, generator)
    return u / 2, u.new_full((len(x),), D * math.log(2))


def half_noise_forgotten(x, generator=None):
    u, log_q = half_noise(x, generator)
    return u, torch.zeros_like(log_q)


# %%
small = parts["Glow, small"][0]
forgetful, _ = train_flow(lambda: variant(mix=ForgetsPixels), steps=SHORT)
half, _ = train_flow(variant, steps=SHORT, noise=half_noise)  # a constant: log q changes no gradient
claimed_bits = {
    "as it should be": part_bits["Glow, small"],
    "scaling forgotten": part_bits["Glow, small"] - math.log2(N_LEVELS),
    "pixels forgotten": bits(forgetful, test.x),
    "half of the noise, log q kept": bits(half, test.x, noise=half_noise),
    "half of the noise, log q forgotten": bits(half, test.x, noise=half_noise_forgotten),
}
for name, value in claimed_bits.items():
    print(f"{name:36s} {value:7.2f} bits/dim")

# %%
assert max(claimed_bits["scaling forgotten"], claimed_bits["pixels forgotten"]) < 0
kept, forgotten = (claimed_bits[f"half of the noise, log q {what}"] for what in ("kept", "forgotten"))
assert abs(kept - forgotten - 1) < 1e-4  # 64 log 2 nats are one bit per dimension
assert forgotten < claimed_bits["as it should be"] - 0.15 < kept
figure(
    image_grid(
        as_images(torch.cat([sample_levels(model, 12) for model in (small, forgetful, half)])),
        columns=12,
        row_labels=["small Glow", "pixels forgotten", "half noise"],
    ),
    alt="Three rows of twelve draws: of the small Glow, of the one trained with the forgotten factor, of the "
    "one trained with half of the noise. They look about equally good, or bad.",
    caption="Draws of a sound Glow, of one whose likelihood counts too few pixels, and of one trained with "
    "half of the noise. The bugs do not show.",
)

# %% [markdown]
# **Where to look.** The rows don't tell. The scaling flatters by $\log_2 17 = 4.09$ bits. The noise
# flatters by one: with its $\log q$ kept, half of the noise gives a looser bound than all of it; without, a
# better figure than the same network got honestly. For the forgotten pixels there is no limit: enlarge
# ActNorm's scale and shrink $W$ by the same factor, and the map stays the same while the claim rises by
# $(H W - 1)$ times the logarithm, for every channel, at every step. Training found that out. Its images are
# those of a working flow; only its likelihood is a fiction.
#
# **What catches them?** Probabilities of grey levels are at most one, so a negative number of bits gives a
# bug away. But a smaller one of its kind would have stayed positive. The sure test is the one of section 6,
# run over the *whole* way from grey levels to $z$, scaling and logit included:

# %%
v_few = v_test[:8].double()
CLAIMS = {
    "as it should be": (small, True),
    "scaling forgotten": (small, False),
    "pixels forgotten": (forgetful, True),
}
for name, (model, scaling) in CLAIMS.items():
    whole = copy.deepcopy(model).double()
    claim = whole.log_prob(v_few) - scaling * D * math.log(N_LEVELS)  # (8,) nats
    jacobian = vmap(jacrev(lambda y, f=whole.flow: f(y[None] / N_LEVELS)[0][0]))(v_few * N_LEVELS).flatten(2)
    with torch.no_grad():
        right = standard_normal_log_prob(whole.flow(v_few)[0]) + torch.linalg.slogdet(jacobian).logabsdet
        off = (claim - right).abs().max().item()
    print(f"{name:20s} off by {off:8.3f} nats an image")
    assert (off < 1e-6) == (name == "as it should be")

# %% [markdown]
# The noise does not show in the Jacobian and passes. Against it helps a case small enough to sum: for
# images of [two pixels](05_flow.ipynb), the probabilities of all grey levels must not come to more than one
# in total. With half of the noise and no $\log q$ they can come to $2^2 = 4$.
#
# **The full budget.** All of this fits a laptop. On a GPU the same layers, sixteen steps on each of two
# scales, are trained on the 28 by 28 pixels and 256 grey levels of MNIST. The cell shows what such a run
# left behind, if one is stored; with `DGM_BUDGET=full` it trains the model itself. Its bits are of other
# images and other levels and don't compare with those above.

# %%
from dgm.recipes.full import full_result

full = full_result("flow", train=budget(cpu=False, full=True))
print(full.text)
if full.samples is not None:
    figure(
        image_grid(full.samples, columns=16),
        alt=full.alt,
        caption="Draws of a Glow trained on MNIST with the full budget.",
    )

# %% [markdown]
# ## 14 Think
#
# 1. Squeeze a grey image once. Which channels hold the checkerboard's kept pixels? Could a Glow, which has
#    no masks, do what a checkerboard coupling does?
#
# :::{admonition} Answer
# :class: dropdown
#
# By {eq}`glow-squeeze` channel $2i + j$ holds the pixels of row parity $i$ and column parity $j$; $h + w$
# is even where $i = j$, in channels 0 and 3. A 1x1 convolution that permutes $(0, 1, 2, 3)$ to
# $(0, 3, 1, 2)$ puts them into the first half, and the channel coupling after it keeps them. So yes, and a
# second permutation takes them back.
#
# :::
#
# 2. In Glow as published, what leaves at level 1 has a learnt Gaussian density,
#    $\mathcal{N}(z^{(1)}; \mu(h^{(1)}), \operatorname{diag}\sigma^2(h^{(1)}))$, that looks at what stays.
#    Show that this is one more coupling layer, and that {eq}`glow-multiscale-logprob` remains a sum.
#
# :::{admonition} Answer
# :class: dropdown
#
# Let $\tilde z = (z^{(1)} - \mu(h^{(1)}))/\sigma(h^{(1)})$. It is an affine coupling in which $h^{(1)}$ is
# kept and $z^{(1)}$ is changed, with $s = -\log \sigma$ and $t = -\mu/\sigma$. Its log-determinant
# $-\sum \log \sigma$ together with $\log \mathcal{N}(\tilde z; 0, I)$ is the learnt Gaussian's log-density.
# So the sum has the same form, with one more layer in $f^{(1)}$. Without it "new $z^{(1)}$" in section 7
# draws details that cannot look at the final $z^{(2)}$ except through level 1's inverse.
#
# :::
#
# 3. Somebody forgets the factor $H W$ in {eq}`glow-conv`, has no ActNorm, and trains. Take one channel with
#    variance $\sigma^2$, so that $W$ is a number $w$, and Gaussian data. Which $w$ comes out, and what do
#    the samples look like?
#
# :::{admonition} Answer
# :class: dropdown
#
# The objective is $-\tfrac12 H W\, w^2 \sigma^2 + \log w$, with its maximum at $w^2 = 1/(H W \sigma^2)$ in
# place of $1/\sigma^2$. On 4 by 4 pixels $z$ has a standard deviation of $\tfrac14$ on the data. Samples
# are drawn with standard deviation one and divided by $w$: four times too much contrast. Here the samples
# betray the bug. In section 13, where ActNorm makes up for $W$, they don't.
#
# :::
#
# 4. ActNorm starts from the first batch. What goes wrong if this batch has one image, and what if it is a
#    batch of validation images?
#
# :::{admonition} Answer
# :class: dropdown
#
# One image on 4 by 4 pixels still gives 16 values a channel, but their variance says little about other
# images; a channel that is constant in it has $\hat\sigma = 0$ and $s = \infty$ (the library then only
# shifts). Vectors, one value per channel, raise an error. Validation images would leak two numbers per
# channel into the model, and would then be learnt over. A small sin, but there is no reason to commit it.
#
# :::
#
# 5. Two papers report 2.99 and 2.97 bits per dimension on colour images of 32 by 32 pixels. By
#    {eq}`glow-mixture`, what share of *noise* could the better model contain and still lead?
#
# :::{admonition} Answer
# :class: dropdown
#
# $0.02$ bits times $3072$ dimensions are $61.4$ bits an image. The price is $\log_2(1/\lambda)$ bits, so
# $\lambda = 2^{-61}$ will do: not one sample that anybody will ever draw would come from the good
# component.
#
# :::
#
# 6. At temperature $0$ the flow draws $f^{-1}(0)$. Is it the most probable image?
#
# :::{admonition} Answer
# :class: dropdown
#
# $z = 0$ maximises $\log \mathcal{N}(z; 0, I)$, not $\log p(x)$, which also has the log-determinant. Only
# where that is constant, as with additive couplings, is $f^{-1}(0)$ the mode. And a mode is not typical
# either way: section 9.
#
# :::
#
# 7. A flow keeps $D = 64$ dimensions, but digits vary in far fewer. Which singular values should the
#    Jacobian of $f$ have at a digit, and what does this do to section 10?
#
# :::{admonition} Answer
# :class: dropdown
#
# Directions in which digits hardly vary must be stretched to unit variance: large singular values. The
# thinner the set of images, the larger they get, without bound if it were truly thin, and the rounding
# errors of $f$ with them. Dequantisation helps: the noise has a width of one grey level in all 64
# directions, so no direction is thinner than that.
#
# :::
#
# **Exercises**: [exercises/06_glow.ipynb](../exercises/06_glow.ipynb) asks you for checkerboards and
# squeezes, for ActNorm and its start, for the 1x1 convolution with its inverse, for what a temperature does
# to any flow, and for [a test that no broken flow passes](../exercises/06_glow.ipynb#exercise-6-6); and it
# hands you a measurement with three bugs, each of which flatters.
#
# **Next.** A flow pays for exact likelihood with layers that must be undone. Two families may use any network
# they like, and pay in another way: [diffusion models](07_diffusion.ipynb) with many small steps and a bound
# for a likelihood, [autoregressive models](09_autoregressive.ipynb) by drawing one pixel after the other.
#
# **References.** [Dinh et al. 2017](https://arxiv.org/abs/1605.08803) for masks, squeeze and scales,
# [Kingma and Dhariwal 2018](https://arxiv.org/abs/1807.03039) for ActNorm and the 1x1 convolution,
# [Theis et al. 2016](https://arxiv.org/abs/1511.01844) for section 11,
# [Behrmann et al. 2021](https://arxiv.org/abs/2006.09347) for inverses that explode. The numbered equations
# are tested in `tests/equations/test_glow.py`.
