# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: sampling and guidance
#
# Seven tasks to the chapter [Sampling and guidance](../chapters/08_guidance.ipynb), 40 points, about four
# hours: three to write, a prediction, a sampler with bugs, one to derive, and an experiment to design. Each
# task has a cell for your answer; run it, then run the cell with `check` below it. `hint("ddim_step")`
# gives the next hint to a task, and costs nothing. You can leave a task out and do the later ones. Use
# plain torch: calling `dgm` is no answer. As in the chapter $s < t$, `alpha_bar` is a table of shape (T +
# 1,) with `alpha_bar[0] = 1`, and at guidance scale $w = 0$ the class counts for nothing, at $w = 1$ for as
# much as Bayes' rule says.

# %% tags=["setup"]
import math
from itertools import pairwise

import torch

torch.set_num_threads(1)

# %%
from matplotlib import pyplot as plt

from coursekit import PALETTE, figure, use_style
from coursekit.exercises import check, exercise, hint, progress, when_done

use_style()
exercise("08_guidance")


# %% [markdown]
# ## 1. One step of the family (5 points)
#
# A network has predicted the noise `eps_hat` in `x_t`. Write the step from $t$ down to any $s < t$ for
# $\eta \in [0, 1]$, with $\tilde\sigma$ as in the chapter: DDIM for $\eta = 0$, DDPM with the small
# variance for $\eta = 1$. `a_t` and `a_s` are $\bar\alpha_t$ and $\bar\alpha_s$, tensors of shape (); `z`
# is the fresh standard normal noise, of the shape of `x_t`. Do not draw any. At $s = 0$, `a_s` is 1.

# %% tags=["answer-ddim_step"]
def ddim_step(x_t, eps_hat, a_t, a_s, eta, z):
    """x_s, of the shape of x_t."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("ddim_step is not done yet")


# %%
check("ddim_step")


# %% [markdown]
# ## 2. One network, with and without a label (6 points)
#
# 1. `guided(network, x_t, t, y, none, w)`: the guided noise prediction at scale $w$. `network(x_t, t, y)`
#    predicts the noise for labels `y` (B,), int64; the label `none`, a number, stands for "no label".
# 2. `drop(y, share, none, generator)`: labels for training, in which each one has been replaced by `none`
#    with probability `share`, independently of the others. Draw from `generator`, and leave `y` as it is.
# 3. `from_paper(w)`: the paper that invented this writes
#    $(1 + w)\, \hat\varepsilon(x_t, y) - w\, \hat\varepsilon(x_t)$. Which scale is its $w$ in our counting?

# %% tags=["answer-guided"]
def guided(network, x_t, t, y, none, w):
    """The guided noise prediction, of the shape of x_t."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("guided is not done yet")


def drop(y, share, none, generator):
    """Labels (B,), some of them replaced by none."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("drop is not done yet")


def from_paper(w):
    """The paper's w in this notebook's counting."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("from_paper is not done yet")


# %%
check("guided")


# %% [markdown]
# ## 3. There, and along the arc (6 points)
#
# 1. Write the inversion with the equation solved. One step leads from $s$ up to $t$:
#
#    $$ x_t = \sqrt{\frac{\bar\alpha_t}{\bar\alpha_s}}\; x_s + \left( \sqrt{1 - \bar\alpha_t} -
#    \sqrt{\frac{\bar\alpha_t}{\bar\alpha_s}} \sqrt{1 - \bar\alpha_s} \right) \hat\varepsilon(x_t, t). $$
#
#    The first iteration takes the noise that is predicted at $x_s$, told $s$, in place of
#    $\hat\varepsilon(x_t, t)$. (At $s = 0$ there is none to predict: there it takes that at
#    $\sqrt{\bar\alpha_t / \bar\alpha_s}\; x_s$, told $t$.) Each further iteration puts the $x_t$ that has
#    come out into the right side. With `iterations` = 3 the network is asked three times in each step.
#    `times` is a list of ints, increasing from 0; `network(x, t)` predicts the noise for x (B, D) and t
#    (B,), int64. Return $x$ at the last of the times.
#
# 2. Write the way from one code to another along the arc, for a batch (between equal rows there is that
#    row): row $b$ of the result lies between row $b$ of `a` and row $b$ of `b`, as the chapter does it for
#    a single pair. `a` and `b` are (B, D) or (B, C, H, W).

# %% tags=["answer-invert"]
def invert(network, x0, times, alpha_bar, iterations):
    """The code (B, D) at times[-1] that belongs to x0 (B, D)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("invert is not done yet")


def between(a, b, share):
    """Points along the arcs from the rows of a (share 0) to those of b (share 1)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("between is not done yet")


# %%
check("invert")

# %% [markdown]
# There and back on five clusters, with the exact network: how many iterations does a coarse grid need?
# (DDIM on the way back is the library's.)

# %%
from dgm.data.toy2d import GaussianMixture
from dgm.diffusion import (
    DiscreteSchedule,
    ExactMixture,
    cosine_schedule,
    ddim,
    eps_from_x0,
    linear_schedule,
    sample,
)

ring = GaussianMixture.ring(5, radius=1.35, std=0.12)
clusters = ExactMixture.isotropic(ring.means, ring.stds, [0.4, 0.1, 0.2, 0.1, 0.2])
fine = cosine_schedule(1000)
best = clusters.denoiser(fine)

with when_done("invert"):
    x0 = clusters.sample(500, torch.Generator().manual_seed(0))[0].double()
    for n in (20, 50, 200):
        up = fine.times(n).flip(0).tolist()
        errors = []
        for k in (1, 3, 10):
            code = invert(lambda x, t: eps_from_x0(x, t, best(x, t), fine), x0, up, fine.alpha_bar, k)
            back = sample(ddim, best, code, fine, n, progress=False)
            errors.append((back - x0).norm(dim=1).median().item())
        print(f"{n:4d} steps: " + "   ".join(f"{e:.1e}" for e in errors) + "   after 1, 3, 10 iterations")

# %% [markdown]
# ## 4. Predict, then run: what few steps lose (5 points)
#
# Data $\mathcal{N}(0, 1)$ on the line, the exact network, and a schedule that falls like a cosine from the
# first step to the last, $\sqrt{\bar\alpha_t} = \cos \varphi_t$ with
# $\varphi_t = \frac{\pi}{2} \cdot \frac{t}{T}$. DDIM takes $n$ steps at evenly spaced times, from
# $x_T \sim \mathcal{N}(0, 1)$. Which standard deviation do the samples have?
#
# - `one`: after a single step;
# - `two`: after two, within 0.01;
# - `ten`: after ten, within 0.005;
# - `needed`: the least number of steps for which it is at least 0.99, within 3.
#
# What are $\hat x_0$ and $\hat\varepsilon$ here, in terms of $x_t$ and $\varphi_t$, and what does one step
# multiply $x_t$ by? Two lines of trigonometry are enough. Commit yourself before you run the cell.

# %% tags=["answer-few_steps"]
prediction = {
    "one": None,
    "two": None,
    "ten": None,
    "needed": None,
}

# %%
check("few_steps")

# %%
# alpha_bar of the cosine without an offset; the last one a hair above 0, so that nothing divides by it
whole = (torch.linspace(0, 1, 841, dtype=torch.float64) * math.pi / 2).cos().square().clamp_min(1e-16)
quarter_turn = DiscreteSchedule(torch.cat([torch.zeros(1).double(), 1 - whole[1:] / whole[:-1]]))
normal = ExactMixture.isotropic([[0.0]], [1.0]).denoiser(quarter_turn)
x_T = torch.linspace(-3, 3, 61, dtype=torch.float64)[:, None]
print("steps   std of the samples   (every sample is x_T times this)")
for n in (1, 2, 5, 10, 20, 60, 120, 140):
    x = sample(ddim, normal, x_T, quarter_turn, n, progress=False)
    print(f"{n:5d}   {(x[0] / x_T[0]).item():.4f}")


# %% [markdown]
# ## 5. Find the bugs: guidance that is always a little weak (6 points)
#
# The sampler below should follow a class by a classifier of noisy points, with DDIM's steps and any $\eta$.
# `times` is a list of ints that decreases from $T$ to 0. `network(x, t)` predicts the noise without a
# class, and `log_prob(x, t)` is $\log p_t(y \mid x)$ for the class that is asked for, (B,), for x (B, D)
# and t (B,), int64. **Three things are wrong** with it; each of them has been published, none raises an
# error.
#
# Repair them. Draw fresh noise with `torch.randn` from `generator`, in the shape and dtype of `x`, at every
# step that adds some.

# %% tags=["answer-guided_sample"]
def guided_sample(network, log_prob, x, times, alpha_bar, w, eta, generator):
    """x_0 (B, D) of the class, from x = x_T (B, D), at guidance scale w."""
    for t, s in pairwise(times[:-1]):
        a_t, a_s = alpha_bar[t], alpha_bar[s]
        told = torch.full((len(x),), t)
        sigma = eta * ((1 - a_s) / (1 - a_t) * (1 - a_t / a_s)).sqrt()
        point = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(log_prob(point, told).sum(), point)
        eps_hat = network(x, told) - w * sigma * slope
        x0_hat = (x - (1 - a_t).sqrt() * eps_hat) / a_t.sqrt()
        x = a_s.sqrt() * x0_hat + (1 - a_s).sqrt() * eps_hat
    return x


# %%
check("guided_sample")

# %% [markdown]
# Three overlapping classes, with everything exact. The class that is asked for lies to the right. At scale
# 1 the samples should be that class: mean (1.1, -0.5), variance 0.75 in all. Run this with the given code,
# too.

# %%
three = ExactMixture(
    torch.tensor([[-1.1, -0.5], [1.1, -0.5], [0.0, 1.0]]),
    torch.tensor([[[0.45, 0.2], [0.2, 0.3]], [[0.45, -0.2], [-0.2, 0.3]], [[0.5, 0.0], [0.0, 0.2]]]),
    torch.full((3,), 1 / 3),
)
everything, judge = three.denoiser(fine), three.classifier(fine)
start = torch.randn(2000, 2, generator=torch.Generator().manual_seed(1))
print("eta   steps   mean               variance")
for eta in (0.0, 1.0):
    for n in (10, 50):
        x = guided_sample(
            lambda x, t: eps_from_x0(x, t, everything(x, t), fine),
            lambda x, t: judge(x, t).log_softmax(1)[:, 1],
            start,
            fine.times(n).tolist(),
            fine.alpha_bar.float(),
            1.0,
            eta,
            torch.Generator().manual_seed(2),
        )
        print(f"{eta:3.0f}   {n:5d}   ({x[:, 0].mean():.3f}, {x[:, 1].mean():.3f})   {x.var(0).sum():9.3f}")


# %% [markdown]
# ## 6. What a wrong factor does to the samples (6 points)
#
# All data together are $\mathcal{N}(0, 1)$ on the line, those of the class $\mathcal{N}(m, 1)$, and network
# and classifier are exact. (Far out $p(y \mid x)$ would have to exceed one; near the data this is a fair
# picture of a class that is shifted.) The schedule is that of task 4, $\sqrt{\bar\alpha_t} = \cos\varphi$
# and $\sqrt{1 - \bar\alpha_t} = \sin\varphi$. DDIM takes $n$ steps of equal angle $\delta = \pi / 2n$, from
# $\varphi = \pi/2$ down to 0, with
#
# $$ \hat\varepsilon_w = \hat\varepsilon - w\, f(\varphi)\, \nabla \log p_t(y \mid x_t). $$
#
# Three programs differ in the factor: `"root"` has $f = \sqrt{1 - \bar\alpha_t}$, as it should be, `"none"`
# has $f = 1$, `"variance"` has $f = 1 - \bar\alpha_t$. The mean of the samples is a number $c$ times
# $w\, m$.
#
# 1. Derive the gradient of the classifier (it does not depend on $x_t$), and what one step makes of the
#    mean. `after(factor, n)`: $c$ after $n$ steps.
# 2. `limit(factor)`: $c$ for $n \to \infty$, in closed form.
#
# `n` is an int from 1 on; return numbers.

# %% tags=["answer-wrong_factor"]
def after(factor, n):
    """Mean of the samples over w m, after n steps, for the factor "root", "none" or "variance"."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("after is not done yet")


def limit(factor):
    """The same for infinitely many steps."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("limit is not done yet")


# %%
check("wrong_factor")

# %% [markdown]
# A scale is tuned until the samples have the class's mean. Does it still fit when the number of steps is
# changed?

# %%
with when_done("wrong_factor"):
    counts = [1, 2, 3, 5, 10, 20, 50, 100, 200]
    fig, ax = plt.subplots(figsize=(6.4, 2.9))
    for factor, name, colour in (
        ("none", "factor left out", "vermilion"),
        ("root", "√(1 − ᾱ)", "blue"),
        ("variance", "1 − ᾱ", "orange"),
    ):
        ax.semilogx(counts, [after(factor, n) for n in counts], "o-", ms=4, color=PALETTE[colour], label=name)
        ax.axhline(limit(factor), color=PALETTE[colour], ls=":", linewidth=0.8)
    ax.set(xlabel="steps n", ylabel="mean of the samples / w m", ylim=(0, None))
    ax.legend()
    figure(
        fig,
        alt="Mean of the samples over w m against the number of steps, one curve for each factor, each with "
        "a dotted line for its limit. One curve is level, the others part from it with the first steps.",
    )

# %% [markdown]
# ## 7. Design: twenty steps out of a thousand (6 points)
#
# You may ask the network $n$ times. At which of the $T$ steps? Write `choose_times(alpha_bar, n)`: a list
# of $n + 1$ ints, strictly decreasing from $T$ to 0. The table comes from *any* schedule; you know nothing
# of the data but that their mean is about 0 and their variance about 1. The error is the mean distance
# between where DDIM ends with your times and where it ends with very many, from the same noise, with the
# exact network.
#
# The check tries it on mixtures of Gaussians in the plane, with a linear schedule, with one whose log-SNR
# falls evenly, and with the cosine schedule. For the first two your error must be at most 0.76 times that
# of evenly spaced $t$, and for the third at most 1.1 times. The cell below lets you experiment: measure
# some rules of your own first, look at where the error comes from, then decide.

# %%
schedules = {
    "linear": linear_schedule(1000).alpha_bar,
    "even": torch.cat([torch.ones(1), torch.linspace(9, -9, 1000).sigmoid()]).double(),
    "cosine": cosine_schedule(1000).alpha_bar,
}


def end_points(table, times, n_points=300):
    schedule = DiscreteSchedule(torch.cat([torch.zeros(1).double(), 1 - table[1:] / table[:-1]]))
    x = torch.randn(n_points, 2, generator=torch.Generator().manual_seed(3)).double()
    return sample(ddim, clusters.denoiser(schedule), x, schedule, torch.as_tensor(times), progress=False)


solutions = {name: end_points(table, range(1000, -1, -4)) for name, table in schedules.items()}


def error(name, times):
    return (end_points(schedules[name], times) - solutions[name]).norm(dim=1).mean().item()


evenly = [1000 - 50 * i for i in range(21)]
for name in schedules:
    print(f"{name:7s} evenly spaced t: {error(name, evenly):.4f}")


# %% tags=["answer-choose_times"]
def choose_times(alpha_bar, n):
    """n + 1 steps, a list of ints, from T = len(alpha_bar) - 1 down to 0."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("choose_times is not done yet")


# %%
check("choose_times")

# %%
with when_done("choose_times"):
    fig, ax = plt.subplots(figsize=(6.4, 2.9))
    for (name, table), mark in zip(schedules.items(), "osD", strict=True):
        times = choose_times(table, 20)
        print(f"{name:7s} evenly spaced t: {error(name, evenly):.4f}   yours: {error(name, times):.4f}")
        ax.plot(range(21), times, mark + "-", ms=4, label=name)
    ax.set(xlabel="network evaluation", ylabel="step t")
    ax.legend()
    figure(
        fig,
        alt="The chosen steps against the count of evaluations, one falling curve for each of the three "
        "schedules.",
    )

# %% [markdown]
# ## How far you are

# %%
progress()
