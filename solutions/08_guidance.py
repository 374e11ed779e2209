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
    # BEGIN SOLUTION
    x0_hat = (x_t - (1 - a_t).sqrt() * eps_hat) / a_t.sqrt()
    var = eta**2 * (1 - a_s) / (1 - a_t) * (1 - a_t / a_s)
    return a_s.sqrt() * x0_hat + (1 - a_s - var).sqrt() * eps_hat + var.sqrt() * z
    # END SOLUTION


# %%
check("ddim_step")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Two numbers are square roots of something with $1 - \bar\alpha$, and must not be confused:
# $\sqrt{1 - \bar\alpha_t}$, the noise that is in $x_t$, takes the prediction apart; $\tilde\sigma$ is what
# this step adds. Whoever adds fresh noise without taking as much of the old away,
# $1 - \bar\alpha_s - \tilde\sigma^2$, arrives at $s$ with too much of it, and the network is asked about
# images that are noisier than it is told. Whoever takes `eta` as an argument and never uses it has a
# sampler with excellent samples, and finds out only by asking twice from the same $x_T$.
#
# :::

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
    # BEGIN SOLUTION
    without = network(x_t, t, torch.full_like(y, none))
    return without + w * (network(x_t, t, y) - without)
    # END SOLUTION


def drop(y, share, none, generator):
    """Labels (B,), some of them replaced by none."""
    # BEGIN SOLUTION
    dropped = torch.rand(y.shape, generator=generator) < share
    return torch.where(dropped, none, y)
    # END SOLUTION


def from_paper(w):
    """The paper's w in this notebook's counting."""
    # BEGIN SOLUTION
    return w + 1
    # END SOLUTION


# %%
check("guided")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# $(1 + w) \hat\varepsilon_y - w \hat\varepsilon$ is
# $\hat\varepsilon + (w + 1)(\hat\varepsilon_y - \hat\varepsilon)$: the paper's 0 is our 1. Two more
# conventions are in use, and no program's documentation is complete without the sentence "at 0 it is the ...
# model".
#
# Dropping the labels of a whole batch at once has the right share on average and trains on batches that are
# all one or all the other: noisy gradients, nothing worse. Replacing a label by 0 instead of an eleventh
# one is worse: the unconditional model has then learnt zeros with a bit of everything.
#
# :::

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
    # BEGIN SOLUTION
    x = x0
    for s, t in pairwise(times):
        shrink = (alpha_bar[t] / alpha_bar[s]).sqrt()
        bracket = (1 - alpha_bar[t]).sqrt() - shrink * (1 - alpha_bar[s]).sqrt()
        start = shrink * x
        at, told = (x, s) if s > 0 else (start, t)
        for _ in range(iterations):
            x = start + bracket * network(at, torch.full((len(x),), told))
            at, told = x, t
    return x
    # END SOLUTION


def between(a, b, share):
    """Points along the arcs from the rows of a (share 0) to those of b (share 1)."""
    # BEGIN SOLUTION
    u, v = a.flatten(1), b.flatten(1)
    cosine = (u * v).sum(1) / (u.norm(dim=1) * v.norm(dim=1))
    angle = cosine.clamp(-1, 1).acos()[:, None]  # (B, 1)
    sine = angle.sin()
    near = sine < 1e-6  # no arc to speak of: the straight line
    sine = torch.where(near, 1.0, sine)
    of_u = torch.where(near, 1 - share, ((1 - share) * angle).sin() / sine)
    of_v = torch.where(near, share, (share * angle).sin() / sine)
    return (of_u * u + of_v * v).reshape(a.shape)
    # END SOLUTION


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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# With the equation solved the inversion is the sampler read backwards, and the round trip is exact for any
# grid. One iteration is Euler's step in the other direction: its error halves when the steps are halved.
# The iteration converges where the bracket times the steepness of $\hat\varepsilon$ is below one, which
# bounds the step. It is slowest where both are close to one, in the step into pure noise: that is the rest
# which is left after ten iterations above. Two slips run without an error: to put the new $x_t$ in for
# $x_s$ as well, so that the point shrinks with every iteration, and to go on telling the network $s$ when
# it is asked about a guess of $x_t$.
#
# The arc is taken row by row. With one angle for the whole batch, as if it were a single vector, each pair
# of rows gets somebody else's angle. In 64 dimensions they are all near 90°, and one would not notice.
#
# :::

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
# BEGIN SOLUTION
prediction = {
    "one": 0.0,  # from pure noise the best guess is the mean, for every x_T
    "two": 0.5,  # cos(45°) twice
    "ten": 0.883,  # cos(9°) to the tenth power
    "needed": 123,  # n steps lose pi^2 / (8 n), nearly
}
# STUB
# prediction = {
#     "one": None,
#     "two": None,
#     "ten": None,
#     "needed": None,
# }
# END SOLUTION

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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# For $\mathcal{N}(0, 1)$ every $x_t$ is standard normal, $\hat x_0 = \cos\varphi_t\, x_t$ and
# $\hat\varepsilon = \sin\varphi_t\, x_t$. One step gives
#
# $$ x_s = (\cos\varphi_s \cos\varphi_t + \sin\varphi_s \sin\varphi_t)\, x_t = \cos(\varphi_t - \varphi_s)\,
# x_t: $$
#
# each step multiplies by the cosine of the angle that it spans, and $n$ equal ones by
# $\cos^n(\pi / 2n) \approx 1 - \pi^2 / 8n$. The loss is of first order in the step, as Euler's method must
# be, and it is always a loss: DDIM with few steps has too little spread. Ten steps lose 12 %, and one per
# cent takes 123.
#
# For which times is the product of the cosines largest? $\log\cos$ is concave, so by Jensen's inequality
# the angles should be equal. The last task asks what this is worth for other data.
#
# :::

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
    # BEGIN SOLUTION
    for t, s in pairwise(times):
        a_t, a_s = alpha_bar[t], alpha_bar[s]
        told = torch.full((len(x),), t)
        sigma = eta * ((1 - a_s) / (1 - a_t) * (1 - a_t / a_s)).sqrt()
        point = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(log_prob(point, told).sum(), point)
        eps_hat = network(x, told) - w * (1 - a_t).sqrt() * slope
        x0_hat = (x - (1 - a_t).sqrt() * eps_hat) / a_t.sqrt()
        x = a_s.sqrt() * x0_hat + (1 - a_s - sigma**2).sqrt() * eps_hat
        if sigma > 0:
            x = x + sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return x
    # STUB
    # for t, s in pairwise(times[:-1]):
    #     a_t, a_s = alpha_bar[t], alpha_bar[s]
    #     told = torch.full((len(x),), t)
    #     sigma = eta * ((1 - a_s) / (1 - a_t) * (1 - a_t / a_s)).sqrt()
    #     point = x.detach().requires_grad_()
    #     (slope,) = torch.autograd.grad(log_prob(point, told).sum(), point)
    #     eps_hat = network(x, told) - w * sigma * slope
    #     x0_hat = (x - (1 - a_t).sqrt() * eps_hat) / a_t.sqrt()
    #     x = a_s.sqrt() * x0_hat + (1 - a_s).sqrt() * eps_hat
    # return x
    # END SOLUTION


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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# The loop stopped at the lowest noise level and returned $x$ there, not $x_0$. `eta` was read and never
# used: no fresh noise, and no room made for it. And the gradient had $\tilde\sigma$ before it, what a step
# *adds*, where $\sqrt{1 - \bar\alpha_t}$ belongs, what *is in* $x_t$. At $\eta = 0$ this switches the
# guidance off; at $\eta = 1$ it looks like guidance that is somewhat weak, and the usual answer is a larger
# scale. But $\tilde\sigma$ shrinks with the steps, so the scale that works at 10 steps does not at 50.
#
# The bugs hide one another. As long as no noise is added, two runs from one $x_T$ agree for every $\eta$,
# and that is the quickest test for the second. For the other two make everything constant: a network that
# returns 0 and a classifier with a constant slope leave a sum that you can do by hand.
#
# :::

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
    # BEGIN SOLUTION
    delta = math.pi / (2 * n)
    power = {"root": 1, "none": 0, "variance": 2}[factor]
    mean = 0.0
    for k in range(n, 0, -1):  # at the angle k delta
        mean = math.cos(delta) * mean + math.sin(delta) * math.sin(k * delta) ** power
    return mean
    # END SOLUTION


def limit(factor):
    """The same for infinitely many steps."""
    # BEGIN SOLUTION
    return {"root": 1.0, "none": math.pi / 2, "variance": math.pi / 4}[factor]  # integral of f over the angle
    # END SOLUTION


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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# $p_t = \mathcal{N}(0, 1)$, $p_t(x \mid y) = \mathcal{N}(m \cos\varphi, 1)$, so the classifier's gradient,
# the difference of the two scores, is $m \cos\varphi$ everywhere. Put
# $\hat\varepsilon_w = \sin\varphi\, x - w f m \cos\varphi$ into DDIM's step from $\varphi$ to
# $\varphi - \delta$ and collect terms:
#
# $$ x_s = \cos\delta\; x_t + w m\, f(\varphi) \sin\delta. $$
#
# The first part is task 4's; the second pushes the mean. For $\delta \to 0$ the pushes add up to
# $w m \int_0^{\pi/2} f(\varphi)\, d\varphi$: with $f = \sin$ this is 1, with $f = 1$ it is $\pi/2$, with
# $f = \sin^2$ it is $\pi/4$. With the right factor the sum telescopes and is 1 for *every* number of steps.
#
# So two of the programs deliver samples that are 57 % too far from the centre, or 21 % too near, with the
# right spread and the right shape. Nothing in the picture says so, and with a single step all three agree.
# Here the guided density is an honest one, $\mathcal{N}(w m, 1)$ at every noise level, since both variances
# are equal; the chapter's section 8 shows what happens when they are not.
#
# :::

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
    # BEGIN SOLUTION
    angle = alpha_bar.clamp(0, 1).sqrt().acos()  # (T + 1,), from 0 up to nearly a quarter turn
    wanted = torch.linspace(float(angle[-1]), 0, n + 1)
    times = [int((angle - a).abs().argmin()) for a in wanted]
    times[0], times[-1] = len(alpha_bar) - 1, 0
    for i in range(1, n):  # never twice the same, and enough of them left for the rest
        times[i] = max(min(times[i], times[i - 1] - 1), n - i)
    return times
    # END SOLUTION


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

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Write $\sqrt{\bar\alpha_t} = \cos\varphi_t$. Task 4 showed for the simplest data that a step loses
# $1 - \cos(\varphi_t - \varphi_s)$, so $n$ equal angles lose least. Other data bend elsewhere, but the
# scale on which $x_t$ changes is set by the same angle as long as they are of size one: $x_t$ is the point
# at angle $\varphi_t$ on the way from $x_0$ to $\varepsilon$. The rule knows nothing of the schedule, and
# needs to know nothing: DDIM's equation has no schedule in it, so with equal angles all three schedules
# must end with the same error, and do.
#
# Evenly spaced $t$ are good where the schedule is a cosine, by design. A linear schedule spends its last
# third on noise: those steps are wasted. Equal steps of log-SNR waste them at both ends, where hardly
# anything changes. If you found a better rule for these mixtures, ask whether it is better for all data: of
# narrow clusters, more steps at small angles; for wide ones, more at large.
#
# :::

# %% [markdown]
# ## How far you are

# %%
progress()
