# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Autoregressive models
#
# **The question.** A digit is covered. It will be uncovered pixel by pixel, from left to right and row by
# row. You hold a stake of one. Before each pixel you divide what you have over its 17 possible grey levels,
# in any proportion; the level that appears keeps its share, the rest is gone. What would you bet on for the
# red square? And after 64 pixels, what *is* the number that you are left with?
#
# It is a product of 64 shares, one for each pixel given the pixels before it. It is the probability that
# your way of betting gives to this image. So whoever can guess the next pixel owns a distribution over
# whole images: exactly, without a bound, without a map to invert. And can draw from it, too: let dice
# decide according to the bets. How good a gambler can be built, and what does this family pay for its
# honesty?
#
# **You will be able to** derive why a product of guesses is a likelihood, and a likelihood a file size; say
# what a guess loses by not looking at a pixel, and find the pixels that a network does not look at; build a
# PixelCNN, cure its blind spot, and build a decoder-only Transformer with a cache of keys and values; sum a
# hidden label out of a likelihood; and catch the bug that makes a likelihood too good.
#
# **You need** the KL divergence from the [start chapter](00_start.ipynb), softmax and cross-entropy,
# convolutions. Attention is derived here. **It takes** about three hours to read with pencil and paper, and
# about a minute to run on a laptop.

# %%
import itertools
import math
import time
import zlib
from fractions import Fraction

import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F

from coursekit import PALETTE, budget, figure, frames, image_grid, show, use_style
from dgm.data import Batches, augment_digits, load_digits, to_pm1
from dgm.metrics import digits_features, frechet_distance
from dgm.nn import EMA, attention, seeded
from dgm.prob import categorical_log_prob
from dgm.tensor import bits_per_dim
from dgm.train import fit

use_style()
torch.set_num_threads(1)  # networks this small gain nothing from a second thread
g = torch.Generator().manual_seed(0)

# %%
train, valid, test = (load_digits(split) for split in ("train", "valid", "test"))
N_LEVELS, SHAPE, D = train.levels, (1, 8, 8), 64


def as_images(x):  # (N, 1, 8, 8) grey levels -> [-1, 1]
    return to_pm1(x, N_LEVELS)


def show_covered(ax, image, known):  # (8, 8) levels, of which the first `known` are uncovered
    shown = torch.where(torch.arange(D).reshape(8, 8) < known, image.float(), torch.nan)
    ax.set_facecolor(PALETTE["sky"])
    ax.imshow(shown, cmap="gray", vmin=0, vmax=16)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    if known < D:
        corner = known % 8 - 0.5, known // 8 - 0.5
        ax.add_patch(plt.Rectangle(corner, 1, 1, fill=False, color=PALETTE["vermilion"], lw=2))


# %%
fig, axes = plt.subplots(1, 5, figsize=(7.4, 1.7))
for ax, known, image in zip(axes, (3, 20, 28, 42, 59), test.x[[5, 3, 18, 9, 12], 0], strict=True):
    show_covered(ax, image, known)
    ax.set_title(f"{known} uncovered", fontsize=8)
figure(
    fig,
    alt="Five test digits of which the first 3, 20, 28, 42 and 59 pixels are uncovered, the rest is blue. A "
    "red square marks the pixel that comes next.",
    caption="Five digits, uncovered up to some pixel in raster order. Which grey level is under the red "
    "square?",
)

# %% [markdown]
# **Where to look.** In the fourth picture a stroke comes down from above and will go on. In the first there
# is nothing to go by, but even there you would not spread your stake evenly: where strokes begin is no
# accident. The digits are those of the other chapters, 8 by 8 pixels with grey levels 0 to 16; the first
# 1000 images train, the next 350 choose between settings, the last 447, by other writers, are looked at for
# the numbers that we report.
#
# ## 1 Derive: one pixel after another
#
# Number the pixels $x_1, \dots, x_D$ in **raster order**, rows from the top, each from left to right, and
# write $x_{<i}$ for those before $x_i$. By the definition of conditional probability
# $p(a, b) = p(a)\, p(b \mid a)$. Use it on $x_1$ and all the others, then on $x_2$ and all that follow, and
# so on:
#
# $$ p(x) = p(x_1)\, p(x_2 \mid x_1) \cdots p(x_D \mid x_1, \dots, x_{D-1}) = \prod_{i=1}^{D} p(x_i \mid
# x_{<i}). $$ (ar-chain)
#
# This is the **chain rule of probability**. It assumes nothing. A VAE assumed a hidden cause, a flow a map
# with an inverse; here every distribution over 64 pixels is allowed, and may be written so, in each of the
# $64!$ orders. Check it on a joint table of three pixels with three levels each, drawn at random:


# %%
def conditionals(joint, order):  # the tables p(x_a), p(x_b | x_a), p(x_c | x_a, x_b) along an order a, b, c
    tables, seen = [], []
    for axis in order:
        seen.append(axis)
        later = [k for k in range(joint.ndim) if k not in seen]
        up_to = joint.sum(later, keepdim=True) if later else joint
        tables.append(up_to / up_to.sum(axis, keepdim=True))
    return tables


joint = torch.rand(3, 3, 3, generator=g, dtype=torch.float64)
joint /= joint.sum()
for order in itertools.permutations(range(3)):
    tables = conditionals(joint, order)
    assert (math.prod(tables) - joint).abs().max() < 1e-15  # (ar-chain), in every order
rows = [N_LEVELS**i for i in range(D)]
print(f"three pixels: six orders, one joint. The last table of a digit has 17^63 = {rows[-1]:.0e} rows")

# %% [markdown]
# Tables end quickly. The last pixel's would have a row for each of the $17^{63}$ ways to fill the others.
# So the conditionals must be *computed* from what came before, and all assumptions of this family sit in
# the network that does it.
#
# ## 2 Derive: what you pay is the probability
#
# Let a network turn the pixels $x_{<i}$ into 17 real numbers $\ell_{i,0}, \dots, \ell_{i,16}$, the
# **logits** of pixel $i$, and let a softmax make probabilities of them. Then the logarithm of
# {eq}`ar-chain` is
#
# $$ \log p(x) = \sum_{i=1}^{D} \Big( \ell_{i,x_i} - \log \sum_{k=0}^{L-1} e^{\ell_{i,k}} \Big), \qquad
# \ell_{i,\cdot} \text{ a function of } x_{<i} \text{ alone}. $$ (ar-loglik)
#
# You know each term: it is the cross-entropy of a classifier with $L$ classes. Training is 64
# classifications an image, and the loss *is* the negative log-likelihood. There is no bound as in the VAE,
# and no noise has to be added to whole numbers as for flows. Per dimension, with logarithms to base 2,
#
# $$ \text{bits per dimension} = -\frac{\log p(x)}{D \log 2} = \frac1D \sum_{i=1}^{D} -\log_2 p(x_i \mid
# x_{<i}). $$ (ar-bits)
#
# A gambler who knows nothing divides evenly and pays $\log_2 17 = 4.09$ bits a pixel.
#
# "Bits" is meant literally: a gambler can write a file. Draw the unit interval, cut it in proportion to the
# bets on the first pixel, and keep the piece of the level that appeared. Cut that piece in proportion to
# the bets on the second pixel; and so on. Each cut multiplies the width by a conditional probability, so
# the last piece is $p(x)$ wide. It begins at $F(x) = \sum_{x' < x} p(x')$, the sum over the images before
# $x$ in lexicographic order, because pieces were laid down in this order at every cut. Any number in the
# piece tells the reader, who makes the same bets, which image it was. How many binary digits does such a
# number need? Round $F$ up to $n$ digits, to $v$. Then $v < F + 2^{-n}$, and all numbers that begin with
# the digits of $v$ lie in $[v, v + 2^{-n})$, which is inside $[F, F + p)$ if $2 \cdot 2^{-n} \le p$. So
#
# $$ -\log_2 p(x) \;\le\; \text{length}(x) = \big\lceil -\log_2 p(x) \big\rceil + 1 \;<\; -\log_2 p(x) + 2
# $$ (ar-code)
#
# digits suffice, and no code is the beginning of another, since the pieces do not overlap: files can be
# joined without a mark between them. This is **arithmetic coding**. The two spare bits are per image, not
# per pixel. Follow one case by hand: two pixels, three levels, and $x = (1, 2)$.

# %%
first_bets = [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)]
second_bets = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)]  # after level 1
low, width = Fraction(0), Fraction(1)
pieces = []
for bets, level in ((first_bets, 1), (second_bets, 2)):
    pieces.append([(low + width * sum(bets[:k]), width * bet) for k, bet in enumerate(bets)])
    low, width = pieces[-1][level]
digits = math.ceil(-math.log2(width)) + 1  # eq. (ar-code)
v = math.ceil(low * 2**digits)
print(f"piece [{low}, {low + width}), p = {width}, {-math.log2(width):.2f} bits")
print(f"code {v:0{digits}b}: all numbers from {Fraction(v, 2**digits)} to {Fraction(v + 1, 2**digits)}")
assert low <= Fraction(v, 2**digits) < Fraction(v + 1, 2**digits) <= low + width
assert width == first_bets[1] * second_bets[2]

# %%
fig, ax = plt.subplots(figsize=(7.4, 1.9))
shades = [PALETTE["sky"], PALETTE["orange"], PALETTE["green"]]
for row, cut in enumerate(pieces):
    for level, (begin, size) in enumerate(cut):
        ax.barh(-row, float(size), left=float(begin), color=shades[level], edgecolor="white", height=0.8)
        if size > Fraction(1, 20):
            ax.text(float(begin + size / 2), -row, str(level), ha="center", va="center")
ax.barh(-2, 2.0**-digits, left=v / 2**digits, color=PALETTE["black"], height=0.8)
ax.set_yticks([0, -1, -2], ["first pixel", "second pixel", f"code {v:0{digits}b}"])
ax.set(xlabel="unit interval", xlim=(0, 1))
ax.grid(False)
figure(
    fig,
    alt="The unit interval cut at 1/2 and 3/4 into pieces of levels 0, 1, 2; below, the piece of level 1 cut "
    "again; below, a black bar, the interval of the six-digit code, inside the last piece of the second cut.",
    caption="The unit interval, cut by the bets on two pixels; blue, orange and green are levels 0, 1 and "
    "2. The code's interval (black) lies in the piece of x = (1, 2).",
)

# %% [markdown]
# Averaged over images from $p_{\text{data}}$ the length is, but for the spare bits, the cross-entropy,
# hence the entropy of the data plus $\mathrm{KL}(p_{\text{data}} \| p)$, both in bits
# ([start chapter](00_start.ipynb)). To fit by maximum likelihood is to compress. Section 13 writes the
# file.
#
# ## 3 Derive: the price of not looking
#
# No network looks at everything. Let the bet on pixel $i$ depend on a part $S_i$ of the earlier pixels. Its
# best bet is then $p(x_i \mid x_{S_i})$, since any other pays a KL divergence more. How much does it lose,
# on average over $p$, against a gambler who looks at all of $x_{<i}$? The difference of the two mean losses
# is a difference of conditional entropies, $H(x_i \mid x_{S_i}) - H(x_i \mid x_{<i})$, and this is what is
# called the **conditional mutual information** $I$ of $x_i$ and the pixels left out. Summed over the image,
#
# $$ \mathbb{E}\Big[-\sum_{i=1}^{D} \log p(x_i \mid x_{S_i})\Big] - H(x) \;=\; \sum_{i=1}^{D} I\big(x_i;\,
# x_{\{<i\} \setminus S_i} \,\big|\, x_{S_i}\big) \;\ge\; 0. $$ (ar-context)
#
# A pixel that says nothing new once $S_i$ is known may be left out free of charge. A pixel that says one
# bit more costs one bit.
#
# Here an order begins to matter. Take a chain of three binary pixels, each a copy of the one before it with
# probability $0.9$, and let every bet look at its predecessor *in the order* and at nothing else. Predict:
# which orders are free?

# %%
stay = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64)
chain = 0.5 * stay[:, :, None] * stay[None]  # p(x_1, x_2, x_3), (2, 2, 2)


def entropy_bits(p, keep):  # of the pixels in `keep`
    rest = [k for k in range(p.ndim) if k not in keep]
    marginal = p.sum(rest) if rest else p
    return -(marginal * marginal.log2()).sum().item()


price = {}
for order in itertools.permutations(range(3)):
    a, b, c = order  # p(x_a) p(x_b | x_a) p(x_c | x_b): the last bet does not look at x_a
    paid = entropy_bits(chain, [a, b]) + entropy_bits(chain, [b, c]) - entropy_bits(chain, [b])
    information = paid - entropy_bits(chain, [0, 1, 2])  # I(x_c; x_a | x_b) by its entropies
    log_q = chain.sum(c, keepdim=True).log2()  # of p(x_a) p(x_b | x_a)
    log_q = log_q + (chain.sum(a, keepdim=True) / chain.sum((a, c), keepdim=True)).log2()
    assert abs((chain * (chain.log2() - log_q)).sum().item() - information) < 1e-12  # (ar-context)
    price[order] = information
print({"".join(str(k + 1) for k in order): round(value, 3) for order, value in price.items()}, "bits")
assert {order for order, bits in price.items() if bits < 1e-12} == {(0, 1, 2), (2, 1, 0)}

# %% [markdown]
# The order 1, 2, 3 and its reverse are free. The others pay, even the two that begin in the middle: given
# pixel 2 the ends know nothing of one another, but in the order 2, 1, 3 the last bet looks at pixel 1 and
# no longer at pixel 2. When every bet sees everything, all orders give the same joint. Once sight is short,
# a good order is one that keeps together what belongs together.
#
# How much do a digit's neighbours know? Count. For every context, that is, every combination of levels of
# the $m$ nearest earlier pixels, keep a histogram of the level that followed, over all places of all
# training images. Before you run the cell: what will the test images pay as $m$ grows from 0 to 5?

# %%
NEAREST = [(0, -1), (-1, 0), (-1, 1), (-1, -1), (0, -2)]  # (rows, columns) from the pixel, nearest first


def contexts(x, m):  # (N, 1, 8, 8) -> (N, 8, 8): one number for each combination of m neighbours
    padded = F.pad(x[:, 0].long(), (2, 2, 2, 0), value=N_LEVELS)  # level 17: outside
    number = torch.zeros_like(x[:, 0], dtype=torch.int64)
    for dy, dx in NEAREST[:m]:
        number = number * (N_LEVELS + 1) + padded[:, 2 + dy : 10 + dy, 2 + dx : 10 + dx]
    return number


table_bits = []
for m in range(6):
    known, row = torch.unique(contexts(train.x, m), return_inverse=True)
    counts = torch.full((len(known) + 1, N_LEVELS), 0.5)  # the last row: a context never seen
    counts.view(-1).index_add_(0, (row * N_LEVELS + train.x[:, 0]).flatten(), torch.ones(row.numel()))
    log_p = (counts / counts.sum(1, keepdim=True)).log2()
    paid = []
    for split in (train, test):
        at = torch.searchsorted(known, contexts(split.x, m)).clamp(max=len(known) - 1)
        at = torch.where(known[at] == contexts(split.x, m), at, len(known))
        paid.append(-log_p[at, split.x[:, 0].long()].mean().item())
    table_bits.append(paid)
    print(f"{m} neighbours: {len(known):6d} contexts seen, train {paid[0]:.2f}, test {paid[1]:.2f} bits/dim")

# %%
fig, ax = plt.subplots(figsize=(5.6, 2.8))
ax.plot([paid[0] for paid in table_bits], "o--", label="1000 training images")
ax.plot([paid[1] for paid in table_bits], "s-", label="447 test images")
ax.set(xlabel="neighbours that the table looks at", ylabel="bits per dimension")
ax.legend(fontsize=8)
figure(
    fig,
    alt="Bits per dimension against the number of neighbours in the context, from 0 to 5. Training images "
    "fall from 3.0 to below 2.0. Test images fall to 2.35 at two and three neighbours and rise again.",
    caption="On training images every further neighbour helps. On test images two or three are best: a "
    "larger table meets contexts that it has never seen.",
)
on_test = [paid[1] for paid in table_bits]
assert min(on_test) == min(on_test[2:4]) < on_test[0] - 0.5  # neighbours know a lot
assert on_test[5] > min(on_test) + 0.2  # and a table cannot hold what more of them know
assert all(a[0] > b[0] for a, b in itertools.pairwise(table_bits))

# %% [markdown]
# **What it means.** Two bills. Too few neighbours pay {eq}`ar-context`. Too many, and the table has more
# rows than there were pixels to fill them: it meets contexts that it has never seen, and knows nothing of
# contexts that resemble each other. A network is a table that generalises. The rest of the chapter is about
# networks whose sight is as wide as possible and never too wide.
#
# ## 4 Derive: the truth in front
#
# Train by maximum likelihood, and what is made small is the KL divergence from the data to the model. The
# logarithm of the ratio $p/q$ is a sum over pixels by {eq}`ar-chain`; take the expectation of each term,
# first over $x_i$ given $x_{<i}$, then over $x_{<i}$:
#
# $$ \mathrm{KL}(p \,\|\, q) = \sum_{i=1}^{D} \mathbb{E}_{x_{<i} \sim p}\; \mathrm{KL}\big(p(\cdot \mid
# x_{<i}) \,\|\, q(\cdot \mid x_{<i})\big). $$ (ar-kl)
#
# Two things can be read off. *The good one:* in training every bet is made with true pixels in front of it,
# and these are all known from the start. Nothing has to be drawn, and the 64 bets on an image can be
# computed *at the same time*, if only the network lets none of them see its own pixel or a later one. This
# is **teacher forcing**. *The other one:* beginnings $x_{<i}$ are weighted by $p$. What $q$ does after a
# beginning that never occurs in the data costs nothing and is never trained. But a sampler draws one pixel
# after the other, has its *own* draws in front of it, and must ask the network $D$ times. One odd pixel,
# and all later bets are made where no data was. (The sum on the right is nevertheless all there is: where
# it is near zero, $q$ is near $p$, and its samples are good.) Section 11 looks for the mismatch.
#
# ## 5 Derive: masked convolutions and their blind spot
#
# A convolution looks at a window around each pixel. Hold half of its weights at zero, and it looks at the
# earlier half. With $(u, v)$ the row and column of a weight counted from the centre, and $c = 0$ (**mask
# A**) or $c = 1$ (**mask B**),
#
# $$ M^{(c)}_{u,v} = \begin{cases} 1 & u < 0, \;\text{ or }\; u = 0 \text{ and } v < c, \\ 0 &
# \text{otherwise.} \end{cases} $$ (ar-mask)
#
# The first layer sees the image and takes mask A: its features at pixel $i$ are functions of $x_{<i}$.
# Every later layer sees features, and may look at those of its own pixel, which know no more than $x_{<i}$:
# mask B. Features at earlier pixels know less still. So by induction the output at $i$ is a function of
# $x_{<i}$, however many layers there are. This is **PixelCNN**
# ([van den Oord et al. 2016](https://arxiv.org/abs/1601.06759)).


# %%
def mask(size, c):  # eq. (ar-mask)
    m = torch.zeros(size, size)
    m[: size // 2] = 1
    m[size // 2, : size // 2 + c] = 1
    return m


class MaskedConv(nn.Conv2d):
    def __init__(self, channels_in, channels_out, size, c):
        super().__init__(channels_in, channels_out, size, padding=size // 2)
        self.register_buffer("mask", mask(size, c))

    def forward(self, x):
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


def masked_stack(layers, r=2, width=16):
    later = [[nn.Tanh(), MaskedConv(width, width, 3, 1)] for _ in range(layers)]
    return nn.Sequential(MaskedConv(1, width, 2 * r + 1, 0), *itertools.chain(*later))


# %%
from dgm.autoregressive import raster_mask

for size, c in itertools.product((3, 5), (0, 1)):
    assert torch.equal(mask(size, c), raster_mask(size, centre=bool(c)))


def seen_by_gradient(net, row, column):  # (8, 8): does the output at a pixel have a gradient there?
    x = torch.randn(1, 1, 8, 8, generator=g, requires_grad=True)
    net(x)[0, :, row, column].sum().backward()
    return x.grad[0, 0] != 0


own_row, own_column = 6, 2
with seeded(0):
    seen = seen_by_gradient(masked_stack(4), own_row, own_column)
print("\n".join("".join(" x"[int(s)] if s else "." for s in row) for row in seen))

# %% [markdown]
# An `x` marks the pixels from which a gradient reaches the output at row 6, column 2. Nothing at or after
# the pixel: good. But look at the upper right. Row 5 is seen up to column 4, row 4 up to column 5. More
# layers do not help: each step to the right costs a step up, because mask B lets no layer move right in its
# own row. With a first kernel of radius $r$ and $n$ layers of 3 by 3, a pixel $a$ rows above and $b$
# columns to the right (negative: to the left) is seen when
#
# $$ 1 \le a \le r + n, \;\; -(r + n) \le b \le r + \min(a - 1,\, n), \qquad\text{or}\qquad a = 0, \;\; -(r
# + n) \le b \le -1. $$ (ar-reach)
#
# The first kernel gives $r$ columns to the right on climbing at least one row; the $n$ layers give one
# each, on climbing one row each. Pixels with $b \ge r + a$ are a **blind spot** for any depth.
#
# ## 6 Derive: two stacks and a gate
#
# The trouble is that one stack has to keep two rules at once: no pixel to the right *in the own row*, all
# pixels *in the rows above*. So use two ([van den Oord et al. 2016](https://arxiv.org/abs/1606.05328)). The
# **vertical stack** $v$ knows rows above and nothing of the own row. Its first layer takes the kernel's
# rows above the centre. Its later layers may take the centre's row too, all columns, to the right as well:
# features there know rows above only. Every layer widens its view by one column on both sides. The
# **horizontal stack** $h$ takes the own row to the left, and is fed by the vertical stack at its own pixel:
#
# $$ \begin{gathered} v^{(l)} = \operatorname{gate}\big(V^{(l)} * v^{(l-1)}\big), \qquad h^{(l)} =
# \operatorname{gate}\big(H^{(l)} * h^{(l-1)} + U^{(l)} \big(V^{(l)} * v^{(l-1)}\big)\big), \\
# \operatorname{gate}\binom{a}{b} = \tanh(a) \odot \sigma(b). \end{gathered} $$ (ar-gate)
#
# $U$ is a 1 by 1 convolution; $h$ never feeds $v$, or the own row would leak. The gate replaces the ReLU:
# one half of the channels says what, the other half how much of it. A product of two features is what a
# ReLU layer cannot form, and recurrent networks, which PixelCNN was to replace, have such products. (From
# the second layer on the library adds each stack's input to its output.)
#
# Who sees whom now? `dependence` asks a model of the library directly: change one pixel, and look which
# logits change. Move the slider.

# %%
from dgm.autoregressive import GatedPixelCNN, PixelCNN, dependence

place = torch.arange(D).reshape(8, 8)
own = own_row * 8 + own_column
earlier = place < own
sight = {}
for layers in range(6):
    with seeded(0):
        gated = GatedPixelCNN(2, SHAPE, width=8, layers=layers).eval().double()  # far effects are small
        plain = masked_stack(layers)
    x_any = torch.randint(2, SHAPE, generator=g)
    sight[layers] = (
        seen_by_gradient(plain, own_row, own_column),
        dependence(gated, x_any)[own].reshape(8, 8) > 0,
    )
    a, b = own_row - place // 8, place % 8 - own_column
    r, n = 2, layers
    reach = (a >= 1) & (a <= r + n) & (b >= -r - n) & (b <= r + (a - 1).clamp(max=n))
    reach |= (a == 0) & (b >= -r - n) & (b <= -1)
    assert torch.equal(sight[layers][0], reach)  # (ar-reach), for every number of layers
assert torch.equal(sight[5][1], earlier)  # all earlier pixels, and no other


# %%
def draw_sight(layers):
    fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.2))
    for ax, seen, title in zip(axes, sight[layers], ("one stack", "two stacks"), strict=True):
        colour = torch.ones(8, 8, 3)
        rgb = {key: torch.tensor(plt.matplotlib.colors.to_rgb(PALETTE[key])) for key in PALETTE}
        colour[earlier & ~seen], colour[seen] = rgb["orange"], rgb["blue"]
        colour[own_row, own_column] = rgb["black"]
        ax.imshow(colour.numpy())
        ax.set(xticks=range(8), yticks=range(8), xlabel="column", ylabel="row", title=title)
        ax.grid(False)
    return fig


# %%
frames(
    draw_sight,
    list(sight),
    label="layers after the first",
    start=3,
    alt=lambda n: (
        f"Two 8 by 8 maps for the pixel in row 6, column 2 with {n} layers. Of the {int(earlier.sum())} "
        f"earlier pixels one stack sees {int(sight[n][0].sum())}, two stacks see {int(sight[n][1].sum())}. "
        "What one stack never sees is a triangle at the upper right."
    ),
    caption="What the black pixel sees (blue), and what comes before it unseen (orange). With more layers "
    "two stacks see it all; one stack keeps its blind triangle.",
)
blind = [int((earlier & ~sight[5][k]).sum()) for k in (0, 1)]
print(f"with five layers {blind[0]} of {int(earlier.sum())} earlier pixels are unseen by one stack")
assert blind[0] > 0 == blind[1]

# %% [markdown]
# **Where to look.** Black is the pixel, blue what it sees, orange what comes before it and is not seen. On
# the left a triangle stays orange. What does it cost? By {eq}`ar-context` whatever the triangle knows that
# the rest does not. Build images for which that can be counted: random bits, except that every pixel copies
# the one that lies one row up and *three* columns to the right. $35$ of the $64$ pixels are copies, so the
# entropy is $29$ bits. For $r = 2$ the original lies in the blind spot, and everything in sight is
# independent of it.


# %%
def copies_of_the_upper_right(n, generator):
    x = torch.randint(2, (n, 1, 8, 8), generator=generator)
    for row in range(1, 8):
        x[:, 0, row, :-3] = x[:, 0, row - 1, 3:]
    return x


# %%
planted, g_planted = {}, torch.Generator().manual_seed(1)
for kind in (PixelCNN, GatedPixelCNN):
    with seeded(0):
        model = kind(2, SHAPE, width=16, layers=2)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(budget(cpu=100, full=500)):
        loss = -model.log_prob(copies_of_the_upper_right(32, g_planted)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        fresh = copies_of_the_upper_right(1000, g_planted)
        planted[kind.__name__] = -model.log_prob(fresh).mean().item() / math.log(2)
print({name: f"{bits:.1f} bits an image" for name, bits in planted.items()}, "entropy: 29 bits")
assert planted["PixelCNN"] > 64 - 0.5  # one bit for each pixel: the copies are not seen
assert 29 - 0.3 < planted["GatedPixelCNN"] < 30

# %% [markdown]
# One stack pays 64 bits and would pay them after a year of training. Two stacks pay 29. On natural images
# the blind spot costs less, because what is hidden there is mostly visible elsewhere too.
#
# ## 7 Derive: causal attention
#
# Convolutions widen their view layer by layer. Attention looks everywhere at once. From a sequence of $N$
# tokens $t_1, \dots, t_N$ (vectors of width $w$) compute for each a **query** $q_i$, a **key** $k_i$ and a
# **value** $v_i$, linear maps of $t_i$ to $d$ numbers. Position $i$ asks, every position answers as well as
# its key fits, and what comes back is the mean of the values weighted by the fit. Weights shall be positive
# and sum to one, so exponentiate and divide. Only positions $j \le i$ may answer:
#
# $$ o_i = \sum_{j \le i} a_{ij} v_j, \qquad a_{ij} = \frac{\exp\big(q_i \cdot k_j / \sqrt d\big)}{\sum_{j'
# \le i} \exp\big(q_i \cdot k_{j'} / \sqrt d\big)}. $$ (ar-attention)
#
# The sum over $j' \le i$ is a full softmax in which the scores with $j' > i$ are set to $-\infty$, for
# $e^{-\infty} = 0$: fill the matrix of scores above its diagonal, and use a softmax as it is. (The root: a
# sum of $d$ products of independent standard numbers has variance $d$, and a softmax of large numbers has
# no gradient.) The mask belongs *before* the softmax. Set weights to zero after it, and the denominator has
# seen the future.
#
# Three things complete a **decoder-only Transformer**
# ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762),
# [Chen et al. 2020](https://proceedings.mlr.press/v119/chen20s.html)). *The shift:* position $i$ may look
# at itself, so token $i$ must not be pixel $i$. It is an embedding of $x_{i-1}$, and a learnt start token
# stands before the first pixel. *Positions:* {eq}`ar-attention` is a sum over a set. Let earlier tokens
# change places, and $o_i$ is the same. So a learnt vector for each position is added to its token.
# *Blocks:* several heads side by side, then an MLP for each token, each added to its input; then more such
# blocks.


# %%
def causal_attention(q, k, v):  # eq. (ar-attention): (..., N, d) each
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (..., N, N)
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(later, -math.inf).softmax(-1) @ v


q, k, v = (torch.randn(2, 4, 10, 8, generator=g) for _ in range(3))  # batch 2, 4 heads, N = 10, d = 8
ours = causal_attention(q, k, v)
torch.testing.assert_close(ours, F.scaled_dot_product_attention(q, k, v, is_causal=True))
torch.testing.assert_close(ours, attention(q, k, v, torch.ones(10, 10, dtype=torch.bool).tril()))

swapped = torch.tensor([3, 1, 0, 2, *range(4, 10)])  # the first four change places
same = causal_attention(q, k[..., swapped, :], v[..., swapped, :])
assert (same - ours)[..., 4:, :].abs().max() < 1e-6  # later positions see a set

k_new = k.clone()
k_new[..., 9, :] += 1  # change the last position, which none of the others may see
late_mask = [
    ((q @ keys.transpose(-2, -1) / math.sqrt(8)).softmax(-1).tril() @ v)[..., :9, :] for keys in (k, k_new)
]
assert torch.equal(causal_attention(q, k_new, v)[..., :9, :], ours[..., :9, :])
moved = (late_mask[0] - late_mask[1]).abs().max()
print(f"masked after the softmax, the future moves the past by {moved:.3f}")
assert moved > 0.01

# %% [markdown]
# **The cache.** The sampler has drawn $x_i$ and wants $x_{i+1}$. A new token has come in; the others are as
# they were. Do *their* outputs change? By {eq}`ar-attention` they do not look at the new one, in any layer.
# So their keys and values may be kept, and one token goes through the network:
#
# $$ K_{i+1} = \binom{K_i}{k_{i+1}}, \qquad V_{i+1} = \binom{V_i}{v_{i+1}}, \qquad o_{i+1} =
# \operatorname{softmax}\big(q_{i+1} K_{i+1}^\top / \sqrt d\,\big)\, V_{i+1}, $$ (ar-cache)
#
# in each layer and each head. No mask is left: everything in the cache is earlier. The causal mask is what
# makes this exact.
#
# What is saved? Count multiplications in one layer. A token costs $12 w^2$: $3 w^2$ for query, key and
# value, $w^2$ to mix the heads, $8 w^2$ in an MLP of width $4w$. A pair of positions costs $2w$: a score
# and a weighted value. A sampler without cache puts all $N$ tokens through the network for each of $N$
# draws; with a cache, draw $i$ costs one token and $i$ pairs:
#
# $$ C_{\text{all}} = N \big(12 w^2 N + 2 w N^2\big), \qquad C_{\text{cache}} = \sum_{i=1}^{N} \big(12 w^2 +
# 2 w i\big) = 12 w^2 N + w N (N + 1). $$ (ar-cost)
#
# $N^3$ has become $N^2$. While $N$ is below $6w$ the tokens dominate, and then the ratio is near $N$.
#
# ## 8 Derive: a hidden label, summed
#
# A window tells what stroke is being drawn. It does not tell *which digit*, and a bet on the lower half
# should know. Suppose for a moment that it does: train the network with the label $k$ as one more input,
# $p(x_i \mid x_{<i}, k)$. The images to be judged come without label. So sum it out, with $\pi_k$ the share
# of label $k$, and once more write the joint as a product:
#
# $$ \begin{gathered} p(x) = \sum_{k=1}^{K} \pi_k \prod_{i=1}^{D} p(x_i \mid x_{<i}, k) = \prod_{i=1}^{D}
# \sum_{k=1}^{K} p(k \mid x_{<i})\, p(x_i \mid x_{<i}, k), \\ p(k \mid x_{<i}) \propto \pi_k \prod_{j<i} p(x_j
# \mid x_{<j}, k). \end{gathered} $$ (ar-mixture)
#
# The first form is the sum rule. The second says that a mixture of autoregressive models is autoregressive
# again: its bet on a pixel is the mean of the $K$ bets, weighted by what has been seen so far. Each
# uncovered pixel brings the weights up to date by Bayes' rule; after the last one they are a classifier,
# for nothing. This is the hidden cause of the [VAE chapter](02_vae.ipynb) with ten values in place of a
# space: the integral is a sum that one can write out, and needs no encoder and no bound.
#
# ## 9 Meet the library
#
# `log_prob` of every model in `dgm.autoregressive` is {eq}`ar-loglik`: one pass, all conditionals. Drawing
# is a loop, and the loop is short enough to write it here:

# %%
from dgm.autoregressive import (
    Autoregressive,
    CausalNeighbours,
    LabelMixture,
    PixelTransformer,
    sample,
    sample_cached,
    sample_steps,
)


@torch.no_grad()
def draw(model, n):
    x = torch.zeros(n, *model.shape, dtype=torch.int64)
    for i in range(model.dims):
        logits = model(x).reshape(n, model.dims, -1)[:, i]  # what x holds from i on does not matter
        x.view(n, -1)[:, i] = torch.multinomial(logits.softmax(1), 1)[:, 0]
    return x


# %%
with seeded(0):
    tiny = PixelTransformer(2, (1, 2, 2), width=16, layers=1).eval()
    drawn_here = draw(tiny, 4000)
every = torch.tensor(list(itertools.product(range(2), repeat=4))).reshape(16, 1, 2, 2)
with torch.no_grad():
    p_every = tiny.log_prob(every).exp()  # of all 16 images of four binary pixels
    conditional = torch.distributions.Categorical(logits=tiny(every)).log_prob(every)
torch.testing.assert_close(p_every.log(), conditional.sum((1, 2, 3)))  # (ar-loglik)
assert abs(p_every.sum() - 1) < 1e-6
powers = torch.tensor([8, 4, 2, 1])
for x in (drawn_here, sample(tiny, 4000, generator=g, progress=False)):
    share = torch.bincount((x.flatten(1) * powers).sum(1), minlength=16) / 4000
    z = (share - p_every) / (p_every * (1 - p_every) / 4000).sqrt()
    assert z.abs().max() < 4  # 16 shares; beyond 4 standard errors once in a thousand runs
show(Autoregressive.log_prob)

# %% [markdown]
# Four networks compete. `PixelCNN` and `GatedPixelCNN` are those of sections 5 and 6, `PixelTransformer`
# that of section 7. The fourth is built for little data. `CausalNeighbours` is one small network, the same
# for every pixel: it reads the 12 nearest earlier pixels, each as one of 18 symbols (17 levels and
# "outside"), the sum of all earlier pixels and the column sums so far, and which pixel it is. That is all.
# It is the table of section 3 with a network in place of the rows, and its sums give a short sight a memory
# of where ink has been.
#
# ## 10 Run: four networks, one table
#
# 1000 images are few. As in the earlier chapters each also comes in warped copies. Warped digits are not
# quite digits, so the model is *told* which is which, by a label: 0 for real, 1 for warped. It learns from
# both and is judged as label 0. The last run adds the digits as labels, 0 to 9 for real images and 10 to 19
# for warped ones, and sums the first ten by {eq}`ar-mixture`. The steps are chosen so that the runs take
# similar seconds.

# %%
warped = augment_digits(train.x.repeat(12, 1, 1, 1), torch.Generator().manual_seed(1))
pool = torch.cat([train.x.repeat(4, 1, 1, 1), warped])  # a quarter real, three quarters warped
is_warped = (torch.arange(len(pool)) >= 4000).long()
pool_digit = train.y.repeat(16)


@torch.no_grad()
def bits(model, x):  # bits per dimension of images, as real ones
    y = torch.zeros(len(x), dtype=torch.int64) if model.classes else None
    return bits_per_dim(-model.log_prob(x.int(), y).mean().item(), D)


# %%
def train_ar(build, *, steps, rate=5e-3, decay=1e-2, labels=is_warped, seed=0):
    g = torch.Generator().manual_seed(seed)
    with seeded(seed):  # initial weights, and dropout
        model = build()
        averaged = EMA(model, 0.99)
        optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

        def step(batch):
            loss = -model.log_prob(*batch).mean() / D  # eq. (ar-loglik), teacher forcing
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            averaged.update()
            return {"loss": loss.detach()}

        fit(step, Batches(pool, labels, batch_size=32, generator=g), steps=steps)
    return averaged.model.eval()


# %%
WIDE = {
    "PixelCNN": (
        lambda: PixelCNN(N_LEVELS, SHAPE, width=32, layers=3, dropout=0.05, classes=2),
        {"steps": budget(cpu=480, full=8000)},
    ),
    "gated PixelCNN": (
        lambda: GatedPixelCNN(N_LEVELS, SHAPE, width=24, layers=2, dropout=0.05, classes=2),
        {"steps": budget(cpu=350, full=6000)},
    ),
    "Transformer": (
        lambda: PixelTransformer(N_LEVELS, SHAPE, width=48, layers=2, dropout=0.05, classes=2),
        {"steps": budget(cpu=300, full=5000), "rate": 4e-3},
    ),
}
models = {name: train_ar(build, **options) for name, (build, options) in WIDE.items()}

# %%
NEAR = {"steps": budget(cpu=500, full=4000), "rate": 1e-2, "decay": 0.1}


def neighbours(classes):
    return lambda: CausalNeighbours(N_LEVELS, SHAPE, width=96, dropout=0.2, classes=classes)


models["neighbours"] = train_ar(neighbours(2), **NEAR)
teller = train_ar(neighbours(20), labels=pool_digit + 10 * is_warped, **NEAR)  # p(x | k)

# %%
digit_share = torch.bincount(train.y) / len(train.y)  # pi_k
models["neighbours, digits summed"] = LabelMixture(teller, digit_share)  # eq. (ar-mixture), labels 0 .. 9


def draw_100(name, n=100, seed=2):  # samples, and the seconds of CPU that they take
    g = torch.Generator().manual_seed(seed)
    began = time.process_time()
    if name == "neighbours, digits summed":  # draw the digit, then the image
        y = torch.multinomial(digit_share, n, replacement=True, generator=g)
        x = sample(teller, n, y, generator=g, progress=False)
    else:
        x = sample(models[name], n, torch.zeros(n, dtype=torch.int64), generator=g, progress=False)
    return x, time.process_time() - began


# %%
counts = F.one_hot(train.x.flatten(1).long(), N_LEVELS).float().sum(0) + 0.5  # half a count of every level
log_histogram = (counts / counts.sum(1, keepdim=True)).log().reshape(1, 1, 8, 8, N_LEVELS)
scores, drawn = {}, {}
for split in (train, valid, test):
    log_p = categorical_log_prob(log_histogram.expand(len(split.x), -1, -1, -1, -1), split.x.long())
    scores.setdefault("independent pixels", []).append(bits_per_dim(-log_p.mean().item(), D))
for name, model in models.items():
    scores[name] = [bits(model, x) for x in (train.x[:350], valid.x, test.x)]
    drawn[name] = draw_100(name)

# %%
print(f"{'':27s}{'train':>8s}{'valid':>8s}{'test':>8s}   parameters   s / 100 samples")
print(f"{'all levels alike':27s}" + f"{math.log2(N_LEVELS):8.3f}" * 3)
for name, row in scores.items():
    line = f"{name:27s}" + "".join(f"{value:8.3f}" for value in row)
    if name in models:
        size = sum(p.numel() for p in models[name].parameters())
        line += f"{size:13,d}{drawn[name][1]:14.2f}"
    print(line)
on_test = {name: row[2] for name, row in scores.items()}
assert all(on_test[name] < on_test["independent pixels"] - 0.2 for name in models)
wide = min(on_test[name] for name in ("PixelCNN", "gated PixelCNN", "Transformer"))
assert on_test["neighbours"] < wide - 0.03  # half of the least gap of 3 seeds, here and below
assert on_test["neighbours, digits summed"] < on_test["neighbours"] - 0.022

# %% [markdown]
# **What it means.** Every gambler beats the histograms by a wide margin, and after so few steps the order
# is clear: the network that looks at little and is told where it is learns fastest. The two PixelCNNs and
# the Transformer see more and could say more. They have not had the time, or the data, to find out what.
# (Give them `DGM_BUDGET=full`. A step of the gated stacks costs more than one of the plain stack, and on
# digits the blind spot hides little.) The digit, summed out, buys another twentieth of a bit a pixel: in
# bits an image, about what it takes to name one of ten. In fairness: that run has been told the digits of
# the training images, the others have not. `bench/autoregressive_digits.py` trains all of them for longer,
# and shows that clusters found without labels do as well.
#
# The likelihood is a sum over pixels, so one can see where it is paid.

# %%
with torch.no_grad():
    maps = {"independent pixels": -log_histogram.expand(447, -1, -1, -1, -1)}
    zeros = torch.zeros(447, dtype=torch.int64)
    maps["PixelCNN"] = -models["PixelCNN"](test.x.int(), zeros).log_softmax(-1)
    maps["neighbours, digits summed"] = -models["neighbours, digits summed"](test.x.int()).log_softmax(-1)
index = test.x.long()[..., None]
maps = {name: m.gather(-1, index)[..., 0].mean((0, 1)) / math.log(2) for name, m in maps.items()}

# %%
fig, axes = plt.subplots(1, 3, figsize=(7.4, 2.4))
for ax, (name, m) in zip(axes, maps.items(), strict=True):
    picture = ax.imshow(m, vmin=0, vmax=4)
    ax.set(xticks=[], yticks=[], title=f"{name}\n{m.mean():.2f} bits/dim")
    ax.title.set_fontsize(9)
    ax.grid(False)
fig.colorbar(picture, ax=axes, label="bits", shrink=0.8)
figure(
    fig,
    alt="Mean bits paid at each of the 64 pixels, for three models. Margins cost next to nothing in all. "
    "Independent pixels pay three to four bits all over the middle; the PixelCNN two to three and a half; "
    "the neighbours model less still, and most in the first row.",
    caption="Where the bits of a test image are paid. The margins cost next to nothing; what a better "
    "model saves, it saves in the middle.",
)

# %% [markdown]
# ## 11 Run: pixel by pixel
#
# Draw a digit $k$ by its share, then pixels from $p(x_i \mid x_{<i}, k)$. Hide $k$ again, and ask the
# mixture what it thinks after each pixel. Move the slider, and watch the first image.

# %%
mixture = models["neighbours, digits summed"]
g_film = torch.Generator().manual_seed(5)
y_film = torch.multinomial(digit_share, 12, replacement=True, generator=g_film)
film = [x.clone() for x in sample_steps(teller, 12, y_film, generator=g_film)]  # after 1, 2, ..., 64 pixels
with torch.no_grad():
    belief = mixture.label_log_prob(film[-1])[0].exp()  # (65, 10): p(k | x_<i) for the first image
sky = 2 * torch.tensor(plt.matplotlib.colors.to_rgb(PALETTE["sky"])) - 1


def covered(x, known):  # (N, 1, 8, 8) levels -> (N, 3, 8, 8), undrawn pixels blue
    drawn_mask = torch.arange(D).reshape(8, 8) < known
    return torch.where(drawn_mask, as_images(x).expand(-1, 3, -1, -1), sky[:, None, None])


def draw_film(known):
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 2.7), width_ratios=[1.7, 1])
    image_grid(covered(film[-1], known), columns=6, ax=left, title=f"{known} of 64 pixels drawn")
    right.bar(range(10), belief[known], color=PALETTE["blue"])
    right.set(xticks=range(10), ylim=(0, 1), xlabel="digit k", ylabel="p(k | pixels drawn), first image")
    right.yaxis.label.set_size(8)
    return fig


# %%
frames(
    draw_film,
    list(range(0, 65, 4)),
    label="pixels drawn",
    start=28,
    alt=lambda i: (
        f"Left: twelve images with {i} of 64 pixels drawn, the rest blue. Right: what the pixels of the "
        f"first image say of its digit: most probable is {int(belief[i].argmax())}, {belief[i].max():.0%}."
    ),
    caption="Twelve digits as they are drawn, and what the pixels of the first say of its digit. Watch the "
    "bars make up their mind.",
)
print(f"the first image was drawn as a {int(y_film[0])}")

# %%
shown = [test.x[:12].long(), *(x[:12] for x, _ in drawn.values())]
figure(
    image_grid(as_images(torch.cat(shown)), columns=12, row_labels=["test", *drawn]),
    alt="Six rows of twelve images: test digits, and draws of the PixelCNN, the gated PixelCNN, the "
    "Transformer, the neighbours model, and the neighbours model with the digit drawn first. Strokes look "
    "right in all rows; most whole digits are in the last one.",
    caption="Test digits, and draws of five models. Follow a stroke, then look at the whole: strokes are "
    "right in every row, whole digits mostly in the last.",
)

# %%
features = digits_features()


@torch.no_grad()
def named(x):  # what the classifier reads
    return features(as_images(x)).argmax(1)


g_class = torch.Generator().manual_seed(3)
asked = torch.arange(10).repeat_interleave(50)
by_class = sample(teller, 500, asked, generator=g_class, progress=False)
rightly = (named(by_class) == asked).float().mean().item()
of_test = (named(test.x) == test.y).float().mean().item()
print(f"the classifier names {rightly:.0%} of the draws as asked; of test images, {of_test:.0%} rightly")
figure(
    image_grid(as_images(by_class.reshape(10, 50, 1, 8, 8)[:, :6].transpose(0, 1).flatten(0, 1)), columns=10),
    alt="Ten columns of six draws, one column for each digit from 0 to 9. Most can be read.",
    caption="Each column asks for one digit, 0 to 9. With the digit known from the start, strokes that "
    "begin well also end well.",
)
assert rightly > 0.6

# %%
nobody_asked = sample(models["neighbours"], 500, torch.zeros(500).long(), generator=g_class, progress=False)


@torch.no_grad()
def sure_share(x):  # share of images of which the classifier is 90 % sure
    return (features(as_images(x)).softmax(1).amax(1) > 0.9).float().mean().item()


kinds = {"test images": test.x, "neighbours": nobody_asked, "neighbours, digit drawn first": by_class}
sure = {name: sure_share(x) for name, x in kinds.items()}
print("the classifier is sure of", {name: f"{share:.0%}" for name, share in sure.items()})
assert sure["neighbours, digit drawn first"] > sure["neighbours"] + 0.05  # two standard errors

# %% [markdown]
# **Where to look.** Read the rows of models without digits from left to right inside an image, as they were
# drawn: every stroke goes on as strokes do, and at the end it is often no digit. The window has forgotten
# what was begun. With the digit as a common cause the classifier is sure of more of them.
#
# ### Sharper bets
#
# Divide the logits by a **temperature** $T$ before the softmax, for every pixel:
#
# $$ p_T(x_i = k \mid x_{<i}) = \frac{e^{\ell_{i,k}/T}}{\sum_{k'} e^{\ell_{i,k'}/T}} = \frac{p(k \mid
# x_{<i})^{1/T}}{\sum_{k'} p(k' \mid x_{<i})^{1/T}}. $$ (ar-temperature)
#
# The second form follows because the softmax's denominator cancels. $T < 1$ sharpens, $T \to 0$ always
# takes the most probable level, $T = \infty$ bets evenly. Before you move the slider: at which $T$ will
# most draws be readable, at which will they vary as much as test digits do, and at which is the likelihood
# of test digits best?

# %%
TEMPERATURES = [0.1, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0]


def spread(x, y):  # mean squared distance to the mean of the own class
    x = x.flatten(1).float()
    return torch.stack([x[y == k].var(0).sum() for k in range(10)]).mean().item()


# %%
with torch.no_grad():
    logits_test = teller(test.x.int(), test.y)
    real_features = features.features(as_images(test.x))
heated = {}
for T in TEMPERATURES:
    g_heat = torch.Generator().manual_seed(4)
    x = sample(teller, 500, asked, temperature=T, generator=g_heat, progress=False)
    heated[T] = {
        "x": x,
        "named": (named(x) == asked).float().mean().item(),
        "spread": spread(x, asked) / spread(test.x, test.y),
        "bits": bits_per_dim(-categorical_log_prob(logits_test / T, test.x.long()).mean().item(), D),
        "frechet": frechet_distance(real_features, features.features(as_images(x)).detach()),
    }
print("  T   named as asked   spread / test's   bits/dim given the digit   Fréchet distance")
for T, row in heated.items():
    print("{:3.1f}{named:17.0%}{spread:18.2f}{bits:27.2f}{frechet:19.0f}".format(T, **row))


# %%
def draw_heated(T):
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.0), width_ratios=[1.5, 1])
    picture = heated[T]["x"].reshape(10, 50, 1, 8, 8)[:, :5].transpose(0, 1).flatten(0, 1)
    image_grid(as_images(picture), columns=10, ax=left, title=f"T = {T:g}")
    for key, style in (("named", "o-"), ("spread", "s--")):
        label = {"named": "share named as asked", "spread": "spread, as a share of test's"}[key]
        right.plot(TEMPERATURES, [heated[t][key] for t in TEMPERATURES], style, ms=4, label=label)
    right.axvline(T, color=PALETTE["black"], lw=1)
    right.axhline(1, color="0.7", lw=1)
    right.set(xlabel="temperature T", ylim=(0, 2.3))
    right.legend(fontsize=7, loc="upper left")
    return fig


# %%
frames(
    draw_heated,
    TEMPERATURES,
    label="temperature T",
    start=1.0,
    alt=lambda T: (
        f"Fifty draws at temperature {T:g}, five of each digit; {heated[T]['named']:.0%} of 500 are named as "
        f"asked and their spread is {heated[T]['spread']:.2f} of the test digits'. Cold draws of a digit are "
        "all alike, hot ones dissolve into noise."
    ),
    caption="Five draws of each digit at the chosen temperature. The share that can be read is largest "
    "below T = 1; the spread grows all the way.",
)
best = {key: min(TEMPERATURES, key=lambda T, key=key: heated[T][key]) for key in ("bits", "frechet")}
most_named = max(TEMPERATURES, key=lambda T: heated[T]["named"])
assert best["bits"] in (1.0, 1.2)
assert best["frechet"] in (0.8, 1.0, 1.2)
assert 0.2 < most_named < 1
for T in (0.1, 2.0):  # a share of 500 has a standard error of at most 0.022
    assert heated[T]["named"] < heated[1.0]["named"] - 0.1
assert all(heated[a]["spread"] < heated[b]["spread"] for a, b in itertools.pairwise(TEMPERATURES))
assert heated[0.8]["spread"] > 1

# %% [markdown]
# **What it means.** Most draws are readable a little below $T = 1$. Far below, readability breaks down:
# taking the most probable level pixel by pixel does not lead to a probable image, and question 2 below asks
# why. The spread grows all the way, and passes that of test digits before $T = 1$. The likelihood and the
# Fréchet distance, which both compare distributions, are best at $T = 1$, because that is what was trained.
# Whoever shows you samples should say at which temperature.
#
# ### Half a digit
#
# An autoregressive model completes what is begun without being asked to: keep the first pixels, draw the
# rest. With a hidden digit, first draw the digit from what the given half says, $p(k \mid x_{<33})$, then
# the pixels.

# %%
KNOWN = 32
with torch.no_grad():
    label_log_p = mixture.label_log_prob(test.x.int())  # (447, 65, 10)
right_by = (label_log_p.argmax(2) == test.y[:, None]).float().mean(0)  # (65,)
chosen = torch.arange(20, 32)
pictures = [covered(test.x[chosen], D), covered(test.x[chosen], KNOWN)]
g_half = torch.Generator().manual_seed(6)
for _ in range(4):
    k = torch.multinomial(label_log_p[chosen, KNOWN].exp(), 1, generator=g_half)[:, 0]
    x = sample(teller, len(chosen), k, given=test.x[chosen], known=KNOWN, generator=g_half, progress=False)
    pictures.append(covered(x, D))

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.0), width_ratios=[1.9, 1])
image_grid(torch.cat(pictures), columns=12, ax=left, row_labels=["test", "given", *"1234"])
right.plot(right_by)
right.axvline(KNOWN, color="0.6", lw=1)
right.set(xlabel="pixels uncovered", ylabel="digit guessed right, test images", ylim=(0, 1))
figure(
    fig,
    alt="Left: twelve test digits, their upper halves, and four completions of each, most of which continue "
    "the strokes to a digit, not always the same one. Right: the share of test images whose digit the model "
    f"guesses right rises from about a tenth to {right_by[-1]:.0%}; at half it is {right_by[KNOWN]:.0%}.",
    caption="Left: upper halves of test digits, each completed four times; one half allows several digits. "
    "Right: a classifier that nobody trained as one.",
)
print(f"digit guessed from the upper half: {right_by[KNOWN]:.0%}; from the whole image: {right_by[-1]:.1%}")
assert right_by[-1] > 0.9 > right_by[KNOWN] > 0.5 > right_by[0] + 0.3

# %% [markdown]
# **Where to look.** The same upper half is completed in several ways, some of them other digits: the upper
# half of a 3 may be a 9. The curve at the right is a classifier that nobody trained as one: Bayes' rule on
# densities, {eq}`ar-mixture`, after the last pixel.
#
# ### One's own draws in front
#
# Section 4 announced a mismatch. Take 447 test images; 447 draws; and 447 lower halves drawn under the
# *upper halves of test images*. Let the model say what it pays for each, row by row. If $q = p$ all three
# agree, up to chance. Predict: which lower halves will cost the model more, those with its own draws in
# front or those with the truth?

# %%
g_own = torch.Generator().manual_seed(7)
y_own = torch.multinomial(digit_share, 447, replacement=True, generator=g_own)
own_draws = sample(teller, 447, y_own, generator=g_own, progress=False)
y_half = torch.multinomial(label_log_p[:, KNOWN].exp(), 1, generator=g_own)[:, 0]
half_own = sample(teller, 447, y_half, given=test.x, known=KNOWN, generator=g_own, progress=False)


@torch.no_grad()
def paid_by_row(x):  # (N, 8) bits per pixel in each row
    log_p = mixture(x.int()).log_softmax(-1).gather(-1, x.long()[..., None])  # (N, 1, 8, 8, 1)
    return -log_p[:, 0, :, :, 0].mean(2) / math.log(2)


kinds = {"test images": test.x, "own draws": own_draws, "own draws under real halves": half_own}
rows_paid = {name: paid_by_row(x) for name, x in kinds.items()}

# %%
fig, ax = plt.subplots(figsize=(5.6, 2.8))
for (name, values), style in zip(rows_paid.items(), ("o-", "s--", "^:"), strict=True):
    start = 4 if "halves" in name else 0
    ax.plot(range(start + 1, 9), values[:, start:].mean(0), style, label=name)
ax.set(xlabel="row", ylabel="bits per pixel", ylim=(1.3, 2.2))
ax.legend(fontsize=8)
figure(
    fig,
    alt="Bits per pixel in rows 1 to 8, as the model pays them. Own draws cost about as much as test images "
    "in the upper rows and more in the lower ones. Lower halves drawn under real upper halves cost the same "
    "as those under own draws.",
    caption="What the model pays for true and for drawn images, row by row. Drawn lower halves cost more, "
    "even under real upper halves.",
)
lower = {name: values[:, 4:].mean(1) for name, values in rows_paid.items()}  # (447,) rows 5 to 8
for name, values in lower.items():
    error = values.std() / 447**0.5
    print(f"lower half of {name:28s} {values.mean():.3f} bits/dim, standard error {error:.3f}")
true_half, own_half, under_real = (values.mean().item() for values in lower.values())
assert min(own_half, under_real) > true_half + 0.04  # two standard errors of a difference
assert abs(own_half - under_real) < 0.08  # four

# %% [markdown]
# **What it means.** Drawn lower halves cost more than true ones: the bets are a little too broad (little
# data, warped copies, dropout), and a draw from a bet that is too broad is on average less probable than
# the truth. But a true upper half in front brings no relief. So it is not the company of its own draws that
# spoils the lower half, and on 64 pixels the mismatch of section 4 is too small to be seen. Do not
# generalise to texts of a thousand words; measure.
#
# ## 12 Run: with the cache and without
#
# The Transformer draws the same images with its cache and without, given the same random numbers; and the
# logits agree to rounding. How much faster is it? Equation {eq}`ar-cost` has an answer for each length $N$.
# Compare, on fresh Transformers with images of 4 by 4 to 10 by 10 pixels, in one run. Before you look: will
# the measured ratio lie above the counted one, or below?

# %%
from dgm.autoregressive import KeyValueCache

transformer = models["Transformer"]
real = torch.zeros(8, dtype=torch.int64)
pair = [
    sampler(transformer, 8, real, generator=torch.Generator().manual_seed(8), progress=False)
    for sampler in (sample, sample_cached)
]
assert torch.equal(*pair)
with torch.no_grad():
    x = pair[0]
    whole = transformer(x, real).flatten(1, 3)  # (8, 64, 17): all positions in one pass
    tokens = torch.cat([transformer.start_token(8, real), transformer.level(x.flatten(1)[:, :-1])], 1)
    cache = KeyValueCache(len(transformer.blocks), D)
    one_by_one = torch.cat([transformer.read(tokens[:, i : i + 1], cache) for i in range(D)], 1)
print(f"largest difference of a logit, cached and not: {(whole - one_by_one).abs().max():.1e}")
assert (whole - one_by_one).abs().max() < 1e-5


# %%
def seconds(sampler, model):
    times = []
    for _ in range(2):  # the better of two: other processes only ever add
        began = time.process_time()
        sampler(model, 16, generator=g, progress=False)
        times.append(time.process_time() - began)
    return min(times)


w, speed_up = 48, {}
for side in (4, 6, 8, 10):
    with seeded(0):
        fresh_model = PixelTransformer(N_LEVELS, (1, side, side), width=w, layers=1).eval()
    N = side**2
    counted = (N * (12 * w**2 * N + 2 * w * N**2)) / (12 * w**2 * N + w * N * (N + 1))  # eq. (ar-cost)
    speed_up[N] = counted, seconds(sample, fresh_model) / seconds(sample_cached, fresh_model)
    print("N = {:3d}: {:5.1f} times fewer multiplications, {:5.1f} times faster".format(N, *speed_up[N]))

# %%
fig, ax = plt.subplots(figsize=(5.2, 2.7))
ax.plot(list(speed_up), [a for a, _ in speed_up.values()], "o--", label="multiplications, counted")
ax.plot(list(speed_up), [b for _, b in speed_up.values()], "s-", label="seconds, measured")
ax.set(xlabel="positions N", ylabel="without cache / with cache")
ax.legend(fontsize=8)
figure(
    fig,
    alt="Ratio of the cost without and with cache against the number of positions, 16 to 100. Counted "
    "multiplications give about N. The measured ratio grows as well and stays well below.",
    caption="The cache saves about N times the multiplications. In seconds it saves less, for small "
    "matrices have a price of their own, but also more and more.",
)
measured = [b for _, b in speed_up.values()]
assert measured[-1] > 2 * measured[0]  # N grows by a factor of six
assert measured[2] > 3
assert all(b < a for a, b in speed_up.values())

# %% [markdown]
# **Where to look.** The ratio grows with $N$, as counted, and lies well below the count. One token at a
# time means small matrices, and every call has a price of its own, whatever the size; that price is paid
# $N$ times with the cache and without. On longer sequences it matters less. (The neighbours model, the
# fastest of the table in section 10, needs no cache: what it reads for one pixel is a window.)
#
# ## 13 Run: a file of digits
#
# Section 2 promised a file. `encode` narrows the interval by {eq}`ar-code` with whole numbers of any
# length, so nothing is rounded but the bets (to 16 bits); `decode` makes the same bets, finds the level
# whose piece holds the number, and goes on. We use the model without digits. Against it: the same 447
# images as one byte a pixel, squeezed by `zlib`, which looks for repetitions.

# %%
from dgm.autoregressive import decode, encode

gambler = models["neighbours"]
real = torch.zeros(len(test.x), dtype=torch.int64)
codes = encode(gambler, test.x, real)
file = "".join(codes)
assert torch.equal(decode(gambler, codes, real), test.x.long())  # every grey level is back
with torch.no_grad():
    promised = -gambler.log_prob(test.x.int(), real) / math.log(2)  # bits, each image
length = torch.tensor([float(len(code)) for code in codes])
squeezed = 8 * len(zlib.compress(test.x.numpy().tobytes(), 9))
sizes = {
    "5 bits a pixel": 5.0,
    "zlib": squeezed / test.x.numel(),
    "independent pixels (promised)": on_test["independent pixels"],
    "neighbours (promised)": promised.sum().item() / test.x.numel(),
    "neighbours (file)": len(file) / test.x.numel(),
}
for name, size in sizes.items():
    print(f"{name:30s} {size:.3f} bits a pixel, {size * test.x.numel() / 8:7.0f} bytes")
print(f"the first digit, {len(codes[0])} bits: {codes[0][:64]}...")
assert -0.1 < (length - promised).min() <= (length - promised).max() < 2.1  # (ar-code), bets in 16 bits
assert sizes["neighbours (file)"] < 0.75 * sizes["zlib"]

# %% [markdown]
# **What it means.** Bits per dimension are bits in a file, less than two more an image. Whoever doubts a
# likelihood may ask for the file. And there is a catch that likelihoods do not show: the reader must make
# *exactly* the same bets, to the last digit of a floating-point number, and needs the network, whose
# parameters are not in the count.
#
# ## 14 Break it
#
# **It sees itself.** Take mask B in the first layer of a PixelCNN; or forget the shift of the Transformer's
# tokens. One character either way. Predict for both: the training loss, and the samples.


# %%
class SeesItself(PixelCNN):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.first.mask.copy_(raster_mask(5, centre=True))  # mask B where mask A belongs


class NotShifted(PixelTransformer):
    def logits(self, x, y):
        return self.read(self.level(x.flatten(1))).reshape(*x.shape, self.levels)  # token i is pixel i


class NoPositions(PixelTransformer):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.position = nn.Parameter(torch.zeros_like(self.position), requires_grad=False)


# %%
def small(kind, **options):
    return lambda: kind(N_LEVELS, SHAPE, classes=2, **options)


convolution, tokens_of = {"width": 32, "layers": 2}, {"width": 32, "layers": 1}
BROKEN = {
    "PixelCNN, small": (small(PixelCNN, **convolution), 250),
    "mask B first": (small(SeesItself, **convolution), 250),
    "Transformer, small": (small(PixelTransformer, **tokens_of), 150),
    "not shifted": (small(NotShifted, **tokens_of), 150),
    "no positions": (small(NoPositions, **tokens_of), 150),
}
broken = {
    name: train_ar(build, steps=budget(cpu=steps, full=8 * steps), rate=8e-3)
    for name, (build, steps) in BROKEN.items()
}

# %%
real = torch.zeros(12, dtype=torch.int64)
pictures, claims = [], {}
for name, model in broken.items():
    claims[name] = bits(model, test.x)
    g_broken = torch.Generator().manual_seed(9)
    pictures.append(sample(model, 12, real, generator=g_broken, progress=False))
    print(f"{name:20s} claims {claims[name]:6.3f} bits/dim on test images")
figure(
    image_grid(as_images(torch.cat(pictures)), columns=12, row_labels=list(broken)),
    alt="Five rows of twelve draws. The small PixelCNN and the small Transformer: strokes, few digits. Mask "
    "B first, and not shifted: empty black images. No positions: short streaks all over the image.",
    caption="Two sound models and three broken ones. Those that see themselves claim the best likelihoods "
    "of all, and draw nothing.",
)
leaks = ("mask B first", "not shifted")
assert max(claims[name] for name in leaks) < min(on_test.values()) - 0.4
assert claims["no positions"] > claims["Transformer, small"] + 0.1

# %% [markdown]
# **Where to look.** The leaking models claim a likelihood that no honest one comes near, on test images
# too: they copy the answer. The samplers have no answer to copy. They hold a zero where the pixel is to be
# drawn, the models copy that, and the images stay black. The loss curve would have delighted you. Without
# positions the Transformer is honest and poor: its single layer sees a set of levels, knows in which
# proportion they occur, and cannot say where.
#
# What catches a leak before anything is sampled? Two tests, each a line. `dependence` must be zero on and
# above its diagonal. And probabilities must sum to one: enumerate all $17^2$ images of two pixels. (A
# convolution does not mind the small image. Nor does a sequence of two tokens.)

# %%
two_pixels = torch.tensor(list(itertools.product(range(N_LEVELS), repeat=2))).reshape(-1, 1, 1, 2)
real = torch.zeros(len(two_pixels), dtype=torch.int64)
sums = {}
for name, model in broken.items():
    with torch.no_grad():
        logits = model.logits(two_pixels, real).reshape(-1, 1, 1, 2, N_LEVELS)
        sums[name] = categorical_log_prob(logits, two_pixels).exp().sum().item()
    few = test.x[0].long()
    own = dependence(model, few, torch.tensor(0)).diagonal().max().item()
    print(f"{name:20s} sum over all images {sums[name]:7.2f}, a pixel moves its own logits by {own:6.2f}")
    assert (abs(sums[name] - 1) < 1e-3 and own == 0) == (name not in leaks)

# %% [markdown]
# Who has seen the card can give all of the 289 images a large probability at once.
#
# **Another order.** Keep a good model, and let the sampler draw column by column in place of row by row.
# Every bet is made from the same logits as before. Predict what goes wrong: is it the likelihood, or the
# draws?


# %%
@torch.no_grad()
def draw_in_order(model, order, y, seed=10):
    g_order = torch.Generator().manual_seed(seed)
    x = torch.zeros(len(y), D, dtype=torch.int64)
    for i in order:
        p = model.logits_at(x.reshape(-1, 1, 8, 8), i, y).softmax(1)
        x[:, i] = torch.multinomial(p, 1, generator=g_order)[:, 0]
    return x.reshape(-1, 1, 8, 8)


raster = torch.arange(D)
ORDERS = {
    "raster": raster,
    "columns": raster.reshape(8, 8).T.flatten(),
    "backwards": raster.flip(0),
    "shuffled": torch.randperm(D, generator=g),
}
in_order = {name: draw_in_order(teller, order.tolist(), asked) for name, order in ORDERS.items()}
# %%
as_asked = {name: (named(x) == asked).float().mean().item() for name, x in in_order.items()}
figure(
    image_grid(
        as_images(torch.cat([x[25::42][:12] for x in in_order.values()])), columns=12, row_labels=list(ORDERS)
    ),
    alt="Four rows of twelve draws of the same model in four orders: raster order gives digits; columns, "
    "backwards and shuffled give blots.",
    caption="One model, four orders of drawing. It learnt the conditionals of the first order only.",
)
print("named as asked:", {name: f"{share:.0%}" for name, share in as_asked.items()})
assert all(as_asked[name] < as_asked["raster"] - 0.2 for name in ORDERS if name != "raster")

# %% [markdown]
# **What it means.** The joint does not care for the order, but the network learnt the conditionals of
# *one*. Asked in another order it is shown zeros where it expects pixels that are drawn already, takes them
# for background, and bets accordingly. Nothing crashes, and the likelihood, which nobody computed in the
# new order, is as good as before. (A network that shall answer in many orders must be trained in many; that
# it can be is the idea behind a whole family, [Uria et al. 2014](https://arxiv.org/abs/1310.1757).)
#
# **The full budget.** All of this fits a laptop. On a GPU the gated network of section 6, ten layers deep,
# learns the 784 conditionals of MNIST's pixels, each over 256 grey levels. The cell shows what such a run
# left behind, if one is stored; with `DGM_BUDGET=full` it trains the model itself. Its bits are of other
# images and other levels and don't compare with those above.

# %%
from dgm.recipes.full import full_result

full = full_result("autoregressive", train=budget(cpu=False, full=True))
print(full.text)
if full.samples is not None:
    figure(
        image_grid(full.samples, columns=16),
        alt=full.alt,
        caption="Draws of a gated PixelCNN trained on MNIST with the full budget.",
    )

# %% [markdown]
# ## 15 Think
#
# 1. A distribution over $D$ binary pixels has $2^D - 1$ free numbers. Count those of the tables in
#    {eq}`ar-chain`. Does another order need fewer?
#
# :::{admonition} Answer
# :class: dropdown
#
# The table of pixel $i$ has $2^{i-1}$ rows with one free number each. The sum is
# $1 + 2 + \dots + 2^{D-1} = 2^D - 1$, in every order. The chain rule neither adds nor removes a
# possibility.
#
# :::
#
# 2. Does drawing at temperature $T$ by {eq}`ar-temperature` draw from $p(x)^{1/T}$, normalised? Try two
#    binary pixels: the first is fair; after 0 the second is 0 for sure, after 1 it is fair.
#
# :::{admonition} Answer
# :class: dropdown
#
# No. Here $p(00) = \tfrac12$ and $p(10) = p(11) = \tfrac14$. For $T \to 0$ the joint to the power $1/T$ has
# all its mass on $00$. Pixel by pixel the first bet is even at every $T$, so half of the draws begin with 1
# for ever. The denominators in {eq}`ar-temperature` depend on $x_{<i}$, and their product does not drop
# out. Cooling pixel by pixel is greedy: it does not ask how good the continuation can be.
#
# :::
#
# 3. A colleague trains a PixelCNN with mask B in the *second* layer only, A everywhere else. What does the
#    model miss, and does it leak?
#
# :::{admonition} Answer
# :class: dropdown
#
# It does not leak: mask A never shows more than mask B. But each mask A takes away the feature at the own
# pixel. After the first layer that feature knew $x_{i-1}$; a second mask A passes on features at earlier
# pixels only, of which the one at $i - 1$ knows up to $x_{i-2}$. Every further A pushes the left neighbour
# one pixel away, the one that knows most. By {eq}`ar-context` the price is high.
#
# :::
#
# 4. Why is the price in {eq}`ar-context` that of the *best* gambler with short sight, and what is added for
#    a real one?
#
# :::{admonition} Answer
# :class: dropdown
#
# The first term has the true $p(x_i \mid x_{S_i})$. A network $q$ that looks at $S_i$ pays in addition
# $\mathbb{E}\,\mathrm{KL}(p(\cdot \mid x_{S_i}) \| q(\cdot \mid x_{S_i}))$, the terms of {eq}`ar-kl` with
# $x_{S_i}$ in place of $x_{<i}$. Wider sight lowers the first bill and, for a given number of images,
# raises the second. That is the curve of section 3.
#
# :::
#
# 5. The mixture of section 8 was judged with labels summed out, but trained with them. Could one train it
#    on $\log p(x)$ of {eq}`ar-mixture` directly, without labels? What would you fear?
#
# :::{admonition} Answer
# :class: dropdown
#
# Yes: a log of a sum is a loss like any other, and costs $K$ passes a step. Nothing ties component $k$ to
# the digit $k$, nor keeps two components from becoming the same: the gradient of each is weighted by
# $p(k \mid x)$, so whichever is a little ahead on an image learns most from it, and some may never learn
# anything. It is posterior collapse with ten values. Clusters of the training images, found beforehand,
# serve well in place of labels.
#
# :::
#
# 6. A Transformer draws $1024$ pixels with width $w = 256$. By {eq}`ar-cost`, how many times fewer
#    multiplications does the cache need, and what does it cost in memory for $12$ layers?
#
# :::{admonition} Answer
# :class: dropdown
#
# A token costs $12 w^2 = 786{,}432$, and $2 w N = 524{,}288$. Without cache
# $N^2 (12 w^2 + 2 w N) \approx 1.37 \cdot 10^{12}$ a layer; with cache
# $N (12 w^2 + w (N + 1)) \approx 1.07 \cdot 10^9$. The ratio is about $1280$, more than $N$, because the
# pass without cache also computes the half of the attention that the mask throws away. Memory: two numbers
# times $w N$ a layer, $6.3$ million for twelve, 25 MB an image in single precision.
#
# :::
#
# **Exercises**: [exercises/09_autoregressive.ipynb](../exercises/09_autoregressive.ipynb) asks you for bits
# and for the digits of a code, for the masks of any kernel and of colours, for a mixture over a label that
# nobody tells, and for the rest of a half-covered digit; it has you predict what short sight costs, and
# mend [a decoder that knows too much](../exercises/09_autoregressive.ipynb#exercise-9-4).
#
# **Next.** Six families now have a likelihood, a bound, or neither, and samples that look more or less like
# digits. The [evaluation chapter](10_evaluation.ipynb) asks how to tell which is better, and what "better"
# means.
#
# **References.** [van den Oord et al. 2016](https://arxiv.org/abs/1601.06759) for masked convolutions,
# [van den Oord et al. 2016](https://arxiv.org/abs/1606.05328) for the two stacks and the gate,
# [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762) for attention and
# [Chen et al. 2020](https://proceedings.mlr.press/v119/chen20s.html) for a Transformer over pixels,
# [Uria et al. 2014](https://arxiv.org/abs/1310.1757) for models of many orders,
# [Cover and Thomas 2006](https://doi.org/10.1002/047174882X) for arithmetic coding. The numbered equations
# are tested in `tests/equations/test_autoregressive.py`.
