# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: autoregressive models
#
# Six tasks to the chapter [Autoregressive models](../chapters/09_autoregressive.ipynb), 34 points, about
# three hours: three to write, one to derive, five numbers to predict, and a decoder with four bugs that
# trains without complaint. Each task has a cell for your answer; run it, then run the cell with `check`
# below it. `hint("bits")` gives the next hint to a task, and costs nothing. You can leave a task out and do
# the later ones. Use plain torch: calling `dgm` is no answer. Pixels are whole levels $0, \dots, L - 1$ in
# raster order; logarithms are natural ones where nothing else is said.

# %% tags=["setup"]
import math

import torch
import torch.nn.functional as F

torch.set_num_threads(1)

# %%
from coursekit import figure, image_grid, use_style
from coursekit.exercises import check, exercise, hint, progress, when_done
from dgm.data import load_digits

use_style()
train, test = load_digits("train"), load_digits("test")
exercise("09_autoregressive")


# %% [markdown]
# ## 1. Bits, and whole bits (5 points)
#
# A network has made its bets: `logits` (B, C, H, W, L), of which `logits[b, c, h, w]` belongs to the pixel
# `x[b, c, h, w]` and was computed from the earlier ones alone. `x` is (B, C, H, W), int64.
#
# 1. `bits(logits, x)`: bits per dimension of each image, (B,).
# 2. `code_length(logits, x)`: the number of binary digits, (B,), int64, of the code that arithmetic coding
#    writes for each image, if all of an image's pixels are coded as one message and nothing is rounded.

# %% tags=["answer-bits"]
def bits(logits, x):
    """Bits per dimension (B,) of x (B, C, H, W) under logits (B, C, H, W, L)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("bits is not done yet")


def code_length(logits, x):
    """Binary digits (B,), int64, of the code of each image."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("code_length is not done yet")


# %%
check("bits")


# %% [markdown]
# ## 2. A mask for any kernel, and for colours (5 points)
#
# 1. `raster_mask(kind, rows, columns)`: the mask (rows, columns) of a kernel with odd height and width, 1
#    where the kernel may look and 0 elsewhere. `kind` is `"A"` for the first layer or `"B"` for a later
#    one.
# 2. Colour images are drawn pixel by pixel and, within a pixel, colour by colour. Channel $o$ of a layer's
#    output belongs to colour $o$, channel $i$ of its input to colour $i$.
#    `colour_mask(kind, rows, columns, colours)` is the mask of such a layer's weights, (colours, colours,
#    rows, columns), output first as in `nn.Conv2d`. Kind `"A"` may see what is drawn before colour $o$ of
#    the pixel at the centre, kind `"B"` this colour, too.

# %% tags=["answer-mask"]
def raster_mask(kind, rows, columns):
    """The mask (rows, columns) of 0 and 1 of kind "A" or "B"."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("raster_mask is not done yet")


def colour_mask(kind, rows, columns, colours):
    """The mask (colours, colours, rows, columns), output first."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("colour_mask is not done yet")


# %%
check("mask")

# %% [markdown]
# ## 3. Predict, then run: what is paid (5 points)
#
# A row of 64 binary pixels: the first is fair, each of the others is a copy of its left neighbour with
# probability 0.9.
#
# - `whole`: the bits per dimension of the best gambler, who sees all earlier pixels, within 0.003;
# - `two_back`: those of the best gambler who sees, for pixel $i$, pixel $i - 2$ and no other, within 0.003.
#
# A model with a leak reads the pixel that it bets on, and gives the level that it finds there 0.99.
#
# - `leak`: the sum of its "probabilities" over all images of 8 binary pixels, within 2.
#
# A hundred images cost exactly 30.5 bits each.
#
# - `saved`: by how many digits is their code shorter if they are coded as one long message, and not each on
# its own?
#
# Last, a Transformer with one layer of width 64 draws 100 pixels.
#
# - `cached`: how many times fewer multiplications does it need with a cache, counted as in the chapter,
# within 2?
#
# Commit yourself before you run the cell that tries it out.

# %% tags=["answer-price"]
prediction = {
    "whole": None,
    "two_back": None,
    "leak": None,
    "saved": None,
    "cached": None,
}

# %%
check("price")

# %%
turns = torch.rand(20_000, 64, generator=torch.Generator().manual_seed(0)) < torch.tensor([0.5] + 63 * [0.1])
rows = turns.long().cumsum(dim=1) % 2  # (20000, 64)
for back in (1, 2):
    same = (rows[:, back:] == rows[:, :-back]).double().mean()  # how often it is a copy of the one it sees
    each = -(same * same.log2() + (1 - same) * (1 - same).log2())
    print(
        f"seeing the pixel {back} back, a copy in {same:.3f}: {(back + (64 - back) * each) / 64:.3f} bits/dim"
    )
every = torch.cartesian_prod(*[torch.arange(2)] * 8)
leaking = torch.where(torch.stack([every == 0, every == 1], -1), 0.99, 0.01).gather(-1, every[..., None])
print(f"sum over {len(every)} images: {leaking.prod(1).sum():.1f}")
print("apart and together:", 100 * (math.ceil(30.5) + 1), math.ceil(100 * 30.5) + 1)
w, N = 64, 100
without = sum(12 * w**2 * N + 2 * w * N**2 for _ in range(N))
print(f"with a cache {without / sum(12 * w**2 + 2 * w * i for i in range(1, N + 1)):.1f} times fewer")


# %% [markdown]
# ## 4. Find the bugs: a decoder that knows too much (6 points)
#
# Below are the heart of a decoder and its likelihood. **Four things are wrong**, three of them in `attend`.
# It trains, its loss is excellent, and its samples are empty.
#
# 1. `attend(q, k, v)`: causal attention for `q` and `k` of shape (..., N, d) and `v` of shape (..., N, e).
# 2. `log_prob(network, x, start)`: $\log p(x)$, (B,), in nats, of sequences `x` (B, N), int64.
#    `network(tokens)` takes tokens (B, N), int64, and returns logits (B, N, L). Its logits at position $i$
#    depend on the tokens up to *and including* position $i$. `start` is the number of the start token.

# %% tags=["answer-decoder"]
def attend(q, k, v):
    """Causal attention (..., N, e)."""
    scores = q @ k.transpose(-2, -1) / q.shape[-1]
    weights = scores.softmax(dim=-1).tril(diagonal=1)
    return weights @ v


def log_prob(network, x, start):
    """log p(x), (B,), in nats; x is (B, N), int64."""
    log_p = network(x).log_softmax(dim=-1)
    return log_p.gather(-1, x[..., None]).sum(dim=(1, 2))


# %%
check("decoder")


# %% [markdown]
# ## 5. A label that nobody tells (6 points)
#
# A model has been asked with each of $K$ labels: `log_cond[k, b, i]` is $\log p(x_i \mid x_{<i}, k)$ of the
# pixel that stands in image $b$, shape (K, B, D). `log_prior` (K,) is $\log \pi_k$. The label of the images
# is hidden. Derive, for the mixture that results:
#
# 1. `log_likelihood(log_cond, log_prior)`: $\log p(x)$, (B,);
# 2. `belief(log_cond, log_prior)`: $p(k \mid x_1, \dots, x_i)$ for $i = 0, \dots, D$, shape (B, D + 1, K);
# 3. `bets(log_cond, log_prior)`: $\log p(x_i \mid x_{<i})$, the mixture's own bet on each pixel, (B, D).

# %% tags=["answer-mixture"]
def log_likelihood(log_cond, log_prior):
    """log p(x), (B,), with the label summed out."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("log_likelihood is not done yet")


def belief(log_cond, log_prior):
    """p(k | x_1 .. x_i), (B, D + 1, K), for i = 0, ..., D."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("belief is not done yet")


def bets(log_cond, log_prior):
    """log p(x_i | x_<i), (B, D), of the mixture."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("bets is not done yet")


# %%
check("mixture")

# %% [markdown]
# Ten labels, one histogram of levels for each pixel and label, and the first test digit. How many pixels
# does it take until the label is known?

# %%
with when_done("mixture"):
    levels = F.one_hot(train.x.flatten(1).long(), 17).double()  # (N, 64, 17)
    counts = torch.stack([levels[train.y == k].sum(0) for k in range(10)]) + 0.5
    log_p = (counts / counts.sum(-1, keepdim=True)).log()  # (K, 64, 17)
    x = test.x.flatten(1).long()
    told = log_p[:, None].expand(-1, len(x), -1, -1).gather(-1, x.expand(10, -1, -1)[..., None])[..., 0]
    prior = (torch.bincount(train.y) / len(train.y)).double().log()
    sure = belief(told, prior)
    for i in (0, 8, 16, 24, 32, 48, 64):
        named, certain = (sure[:, i].argmax(1) == test.y).double().mean(), sure[:, i].amax(1).mean()
        print(f"after {i:2d} pixels: {named:4.0%} of the digits named, mean certainty {certain:.2f}")
    nats = {"mixture": log_likelihood(told, prior), "label told": told[test.y, torch.arange(len(x))].sum(1)}
    for name, value in nats.items():
        print(f"{name}: {-value.mean() / 64 / math.log(2):.3f} bits per dimension")


# %% [markdown]
# ## 6. Uncover the rest (7 points)
#
# Write ancestral sampling for an image of which the beginning is given. `logits_of(x, i)` takes all pixels
# `x` (B, D), int64, and an index, and returns the logits (B, L) of pixel `i`, for which it reads
# `x[:, :i]`. The randomness is given as well: `u` (B, D), uniform numbers, so that what you draw can be
# compared.
#
# `complete(logits_of, x, known, u, temperature)` returns the completed pixels (B, D), int64:
#
# - the first `known` pixels are those of `x`, the others are drawn in raster order;
# - `logits_of` is asked once for each pixel that is drawn;
# - pixel $i$ gets the smallest level $k$ with $u_i < F_k$, where $F_k$ is the probability of a level up to
# and including $k$;
# - probabilities are those of the logits divided by the temperature; at temperature 0 take the level with
# the largest logit;
# - `x` itself stays as it is.

# %% tags=["answer-complete"]
def complete(logits_of, x, known, u, temperature):
    """The completed pixels (B, D), int64; u is (B, D)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("complete is not done yet")


# %%
check("complete")

# %% [markdown]
# A model that counts: how often did each level follow the levels to the left, above, and above on the
# right, in the training digits? The upper halves of six test digits, completed with it at three
# temperatures.

# %%
with when_done("complete"):

    def around(x):  # (N, 64) -> three neighbours of every pixel (N, 64, 3); 17: outside
        p = F.pad(x.reshape(-1, 8, 8), (1, 1, 1, 0), value=17)
        return torch.stack([p[:, 1:, :-2], p[:, :-1, 1:-1], p[:, :-1, 2:]], dim=-1).flatten(1, 2)

    seen, level = around(train.x.flatten(1).long()).flatten(0, 1), train.x.flatten().long()
    by_left, by_three = torch.full((18, 17), 0.1), torch.zeros(18, 18, 18, 17)
    by_left.index_put_((seen[:, 0], level), torch.tensor(1.0), accumulate=True)
    by_three.index_put_((*seen.T, level), torch.tensor(1.0), accumulate=True)

    def counted(x, i):
        left, above, right = around(x)[:, i].T
        return (by_three[left, above, right] + 0.5 * by_left[left] / by_left[left].sum(1, keepdim=True)).log()

    half = test.x[:6].flatten(1).long()
    u = torch.rand(6, 64, generator=torch.Generator().manual_seed(0))
    rows = [half, *(complete(counted, half, 32, u, T) for T in (1.0, 0.5, 0.0))]
    figure(
        image_grid(
            torch.cat(rows).reshape(-1, 1, 8, 8) / 8 - 1,
            columns=6,
            row_labels=["test", "T = 1", "T = 0.5", "T = 0"],
        ),
        alt="Four rows of six digits: whole test digits, then the same upper halves, completed by the count "
        "model at temperatures 1, 0.5 and 0. At 1 the strokes go on and lose their way; at 0 most stop after "
        "a row or two or run straight down.",
    )

# %% [markdown]
# ## How far you are

# %%
progress()
