# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Sampling and guidance
#
# **The question.** The diffusion model of the last chapter has two bad manners. It asks its network a
# thousand times before it hands over one picture; and you cannot ask it for anything, for it draws whatever
# digit it happens to draw. Must one train another model to mend this? The loss was long, its derivation
# longer, and neither said anything about *how* to walk from the noise to the data. Look at the walks below:
# one denoiser, one set of starting points, and two ways to take twelve steps.
#
# **You will be able to** derive a whole family of samplers that share one trained network, DDPM at one end
# of it and the deterministic DDIM at the other; say which differential equation DDIM solves and how its
# error shrinks; run it backwards, from a picture to its noise; steer a sampler towards a class with a
# classifier and without one; and say, with a number, what the steering costs.
#
# **You need** the chapter [Diffusion models](07_diffusion.ipynb): the closed form of $q(x_t \mid x_0)$, the
# posterior, Tweedie's formula. **It takes** about three hours to read with pencil and paper, and about a
# minute to run on a laptop.

# %%
import math
from itertools import pairwise

import torch
from matplotlib import pyplot as plt
from torch import nn

from coursekit import PALETTE, budget, figure, frames, image_grid, show, use_style

# %%
from dgm.data import Batches, load_digits, to_pm1
from dgm.data.toy2d import GaussianMixture
from dgm.diffusion import (
    ExactMixture,
    MLPNetwork,
    ancestral,
    classifier_free,
    classifier_guided,
    clipped,
    cosine_schedule,
    ddim,
    ddim_invert,
    draw_steps,
    drop_labels,
    eps_from_x0,
    initial_noise,
    make_denoiser,
    q_sample,
    sample,
    simple_loss,
)
from dgm.metrics import density_coverage, digits_features, frechet_distance
from dgm.nn import EMA, MLP, seeded, sinusoidal
from dgm.train import fit

# %%
use_style()
torch.set_num_threads(1)  # networks this small gain nothing from a second thread


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


T = 1000
fine = cosine_schedule(T)
ring = GaussianMixture.ring(5, radius=1.35, std=0.12)
clusters = ExactMixture.isotropic(ring.means, ring.stds, [0.4, 0.1, 0.2, 0.1, 0.2])
best = clusters.denoiser(fine)  # E[x_0 | x_t], in closed form
start = torch.randn(400, 2, generator=rng(3))
walks = {
    "DDPM, 1000 steps": ancestral(best, start, fine, generator=rng(4)),
    "DDPM, 12 steps": ancestral(best, start, fine, 12, generator=rng(4)),
    "DDIM, 12 steps": ddim(best, start, fine, 12),
}

# %%
fig, axes = plt.subplots(1, 3, figsize=(8.4, 3.0), sharex=True, sharey=True)
for ax, (name, walk) in zip(axes, walks.items(), strict=True):
    path = torch.stack([step.x_t for step in walk])  # (n + 1, 400, 2)
    ax.plot(path[:, :14, 0], path[:, :14, 1], lw=0.8, alpha=0.7, color="0.4")
    ax.scatter(*path[0, :14].T, s=14, color=PALETTE["blue"], zorder=3)
    ax.scatter(*path[-1].T, s=3, alpha=0.5, color=PALETTE["vermilion"])
    ax.set(xlim=(-3, 3), ylim=(-3, 3), xlabel="x₁", title=name)
axes[0].set_ylabel("x₂")
figure(
    fig,
    alt="Paths of 14 points from noise to five clusters. DDPM with 1000 steps: long tangled walks. DDPM "
    "with 12 steps: zigzags. DDIM with 12 steps: short smooth curves. End points fill the five clusters in "
    "all three.",
    caption="One denoiser, one set of starting points (blue), three walks to the five clusters (red). Only "
    "the last walk throws no dice.",
)

# %% [markdown]
# **Where to look.** All three arrive. But the zigzag of the middle picture throws dice at every turn, and
# the walk on the right throws none: from the blue point on, everything is decided. What entitles us to
# leave out the noise?
#
# ## 1 Derive: a family with the same marginals
#
# Recall what training used. The simple loss draws a $t$, jumps from $x_0$ to $x_t$ by
# $q(x_t \mid x_0) = \mathcal{N}(\sqrt{\bar\alpha_t}\, x_0, (1 - \bar\alpha_t) I)$, and asks for the noise.
# It never looks at two times of the same path. So it cannot know how $x_s$ and $x_t$ hang together: only
# each one's *marginal* given $x_0$ counts. Every joint distribution with these marginals would have led to
# the same network ([Song et al. 2021](https://arxiv.org/abs/2010.02502)). The chain of the last chapter is
# one of them. Which others are there?
#
# *Assume* a step from time $t$ to an earlier time $s < t$ (not necessarily $t - 1$) that is, given $x_0$,
# Gaussian with a mean linear in $x_t$ and $x_0$ and a variance $\tilde\sigma^2$ which we choose:
#
# $$ x_s = a\, x_t + b\, x_0 + \tilde\sigma z, \qquad z \sim \mathcal{N}(0, I). $$
#
# Insert $x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \varepsilon$. The factor of $x_0$
# becomes $a \sqrt{\bar\alpha_t} + b$, and the noise has variance $a^2 (1 - \bar\alpha_t) + \tilde\sigma^2$.
# The marginal at $s$ wants $\sqrt{\bar\alpha_s}$ and $1 - \bar\alpha_s$. Two equations, two unknowns, and
# of the roots the positive one: $a = \sqrt{(1 - \bar\alpha_s - \tilde\sigma^2) / (1 - \bar\alpha_t)}$ and
# $b = \sqrt{\bar\alpha_s} - a \sqrt{\bar\alpha_t}$. Sorted,
#
# $$ q_{\tilde\sigma}(x_s \mid x_t, x_0) = \mathcal{N}\!\left( \sqrt{\bar\alpha_s}\; x_0 + \sqrt{1 -
# \bar\alpha_s - \tilde\sigma^2}\; \frac{x_t - \sqrt{\bar\alpha_t}\; x_0}{\sqrt{1 - \bar\alpha_t}},\;
# \tilde\sigma^2 I \right), \qquad 0 \le \tilde\sigma^2 \le 1 - \bar\alpha_s. $$ (guide-family)
#
# Read it from left to right: put $x_0$ where time $s$ wants it, add back a part of *the noise that is in
# $x_t$* (the fraction is $\varepsilon$), and fill up with fresh noise to the right amount. How much is old
# and how much is fresh is free.
#
# Start from $q(x_T \mid x_0) = \mathcal{N}(\sqrt{\bar\alpha_T}\, x_0, (1 - \bar\alpha_T) I)$ and go down
# through any decreasing times to $0$ with any $\tilde\sigma$ at each. Then at all of them
#
# $$ q_{\tilde\sigma}(x_s \mid x_0) = \mathcal{N}\big(\sqrt{\bar\alpha_s}\; x_0,\; (1 - \bar\alpha_s)
# I\big). $$ (guide-marginals)
#
# By induction, downwards. It holds at $T$. Suppose it holds at $t$: then
# $x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \varepsilon$ with a standard normal
# $\varepsilon$, and the fraction in {eq}`guide-family` equals $\varepsilon$. Hence
# $x_s = \sqrt{\bar\alpha_s}\, x_0 + \sqrt{1 - \bar\alpha_s - \tilde\sigma^2}\, \varepsilon + \tilde\sigma z$.
# The fresh $z$ does not depend on $\varepsilon$, so the two Gaussians add up to one with variance
# $1 - \bar\alpha_s - \tilde\sigma^2 + \tilde\sigma^2$. That is the claim at $s$.
#
# **What it means.** DDPM's posterior $q(x_{t-1} \mid x_t, x_0)$ is Gaussian, linear, and keeps the
# marginals, so it must be a member: the one with $\tilde\sigma^2 = \tilde\beta_t$. Other members have no
# Markov chain behind them: with $\tilde\sigma = 0$, $x_t$ and $x_s$ together give $x_0$ away, so what comes
# next depends on more than the present. This is harmless. Nobody ever runs the forward direction.
#
# Throughout this chapter two numbers must not be confused, and published code confuses them:
# $\sqrt{1 - \bar\alpha_t}$ says how much noise *is in* $x_t$; $\tilde\sigma$ says how much noise *a step
# adds*. Section 14 swaps them.

# %%
x0_known, n = 0.7, 40_000
times = fine.times(8)
for fresh in (0.0, 0.5, 1.0):  # share of the largest noise that a step may add
    g = rng(1)
    a_T = fine.alpha_bar[T]
    x = a_T.sqrt() * x0_known + (1 - a_T).sqrt() * torch.randn(n, generator=g)
    for t, s in pairwise(times):
        a_t, a_s = fine.alpha_bar[t], fine.alpha_bar[s]
        var = fresh * (1 - a_s)
        eps = (x - a_t.sqrt() * x0_known) / (1 - a_t).sqrt()
        x = a_s.sqrt() * x0_known + (1 - a_s - var).sqrt() * eps + var.sqrt() * torch.randn(n, generator=g)
        if s > 0:  # z-scores of the mean and of the variance: beyond 4 once in 16,000 times
            z_mean = (x.mean() - a_s.sqrt() * x0_known) / ((1 - a_s) / n).sqrt()
            z_var = (x.var() / (1 - a_s) - 1) / math.sqrt(2 / n)
            assert abs(z_mean) < 4
            assert abs(z_var) < 4
    print(
        f"share of fresh noise {fresh}: marginals right at all {len(times) - 1} times, x_0 = {x.mean():.3f}"
    )

# %% [markdown]
# ## 2 Derive: the same network will do
#
# Nobody knows $x_0$ while sampling. As in the last chapter the network's estimate takes its place:
# $p_\theta(x_s \mid x_t) = q_{\tilde\sigma}(x_s \mid x_t, \hat x_0)$. Is a network trained for DDPM the
# right one for another member? Look at the bound. Its form $L_T + \sum \mathrm{KL} + L_0$ needed nothing
# but the factorisation of $q$ from $T$ downwards, and that is how the family is built. Each KL is between
# two Gaussians of equal variance, so it is their squared distance over $2 \tilde\sigma^2$. By
# {eq}`guide-family` the means differ by $x_0 - \hat x_0$ times
# $\sqrt{\bar\alpha_s} - a\,\sqrt{\bar\alpha_t}$ with
# $a = \sqrt{1 - \bar\alpha_s - \tilde\sigma^2} / \sqrt{1 - \bar\alpha_t}$, and at a given $x_t$
# $x_0 - \hat x_0 = -\sqrt{(1 - \bar\alpha_t)/\bar\alpha_t}\; (\varepsilon - \hat\varepsilon)$. Together
#
# $$ \mathrm{KL}\big(q_{\tilde\sigma}(x_s \mid x_t, x_0) \,\|\, p_\theta(x_s \mid x_t)\big) = \frac{1}{2
# \tilde\sigma^2} \left( \sqrt{\bar\alpha_s}\, \sqrt{\frac{1 - \bar\alpha_t}{\bar\alpha_t}} - \sqrt{1 -
# \bar\alpha_s - \tilde\sigma^2} \right)^{\!2} \lVert \varepsilon - \hat\varepsilon \rVert^2. $$ (guide-loss)
#
# Only the weight in front knows of $\tilde\sigma$ and $s$. The best $\hat\varepsilon$ at each $t$, the
# conditional mean of $\varepsilon$ given $x_t$, is the same for every positive weight, and the simple loss
# has dropped the weight anyway. **One training serves the whole family, and every subset of the times.**
#
# ## 3 Derive: DDIM and eta
#
# Put the estimates into {eq}`guide-family`. With
# $\hat\varepsilon = (x_t - \sqrt{\bar\alpha_t}\, \hat x_0) / \sqrt{1 - \bar\alpha_t}$ one step is
#
# $$ x_s = \underbrace{\sqrt{\bar\alpha_s}\; \hat x_0}_{\text{guessed data}} + \underbrace{\sqrt{1 -
# \bar\alpha_s - \tilde\sigma^2}\; \hat\varepsilon}_{\text{old noise}} + \underbrace{\tilde\sigma\,
# z}_{\text{fresh noise}}. $$ (guide-ddim)
#
# One knob turns from no fresh noise to DDPM. The posterior of the last chapter, written for a jump from $t$
# to $s$ (replace $\alpha_t$ by $\bar\alpha_t / \bar\alpha_s$ in its derivation), has the variance under the
# roots below; scale its standard deviation:
#
# $$ \tilde\sigma = \eta\, \sqrt{\frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}}\; \sqrt{1 -
# \frac{\bar\alpha_t}{\bar\alpha_s}}, \qquad \eta \in [0, 1]. $$ (guide-eta)
#
# For $\eta = 1$ and $s = t - 1$ this is $\tilde\sigma^2 = \tilde\beta_t$, DDPM with the small variance. For
# $\eta = 0$ the sample is a function of $x_T$ alone: a **denoising diffusion implicit model**, DDIM.
# (Implicit as in GANs: a density is defined by pushing noise through a function.) At $s = 0$,
# $\bar\alpha_0 = 1$, so $\tilde\sigma = 0$ for every $\eta$ and the last step lands on $\hat x_0$.
#
# ## 4 Derive: without noise, an ODE
#
# Set $\tilde\sigma = 0$ in {eq}`guide-ddim`, insert
# $\hat x_0 = (x_t - \sqrt{1 - \bar\alpha_t}\, \hat\varepsilon) / \sqrt{\bar\alpha_t}$ and divide by
# $\sqrt{\bar\alpha_s}$. Write $y = x / \sqrt{\bar\alpha}$ for the point without its shrinking and
# $r = \sqrt{1 - \bar\alpha} / \sqrt{\bar\alpha}$ for the noise beside it. What remains is
#
# $$ y_s = y_t + (r_s - r_t)\, \hat\varepsilon(x_t, t). $$ (guide-deterministic)
#
# This is Euler's step for the ordinary differential equation $dy/dr = \hat\varepsilon$, from a large $r$
# down to $0$. Euler's method errs by the square of the step at each step, so by the step itself in all:
# halve the steps' length and the error of the end point halves. Three things follow. The paths of an ODE do
# not cross, so noise and data correspond one to one. The equation has no schedule in it; schedules differ
# only in where they put the steps. And better solvers than Euler's may be used (the library's `heun` is
# one).
#
# For which data would *one* step be exact? Euler is exact where the slope does not change along the path. A
# single data point $c$ does it: $y - c = r \varepsilon$, the path is a straight line, $\hat\varepsilon$ its
# slope. The more places the data could be, the more the path bends.
#
# ## 5 Derive: backwards, from an image to its noise
#
# If noise and data correspond one to one, which noise belongs to this image? Solve
# {eq}`guide-deterministic` for the later point and undo the division:
#
# $$ x_t = \sqrt{\frac{\bar\alpha_t}{\bar\alpha_s}}\; x_s + \left( \sqrt{1 - \bar\alpha_t} -
# \sqrt{\frac{\bar\alpha_t}{\bar\alpha_s}} \sqrt{1 - \bar\alpha_s} \right)
# \hat\varepsilon(x_t, t). $$ (guide-inversion)
#
# The right side asks for $\hat\varepsilon$ at the point that we are looking for. For short steps
# $\hat\varepsilon(x_s, s)$ is nearly the same, and then {eq}`guide-inversion` is Euler's step in the other
# direction: an error of first order again. Or take the equation seriously and iterate it: put the new $x_t$
# in on the right, and again. Where the bracket times the steepness of $\hat\varepsilon$ is below one this
# converges, and the round trip on the same grid is then exact however coarse the grid.
#
# ## 6 Derive: asking for a class, by Bayes' rule
#
# We want samples of $p(x \mid y)$ for a class $y$ of our choice, from a model of $p(x)$. Let $y$ depend on
# $x_0$ and write $p_t(x_t \mid y)$ for the density of noisy points whose data are of class $y$. Bayes' rule
# at time $t$ says $p_t(x_t \mid y) = p_t(x_t)\, p_t(y \mid x_t) / p(y)$. Take logarithms and the gradient
# by $x_t$; $p(y)$ does not depend on $x_t$ and drops out:
#
# $$ \nabla \log p_t(x_t \mid y) = \nabla \log p_t(x_t) + \nabla \log p_t(y \mid x_t). $$ (guide-bayes)
#
# The first term we have: by [Tweedie's formula](07_diffusion.ipynb#thm-tweedie) the best noise prediction
# is $\hat\varepsilon = -\sqrt{1 - \bar\alpha_t}\, \nabla \log p_t(x_t)$. The second is the gradient of a
# classifier. Multiply the equation by $-\sqrt{1 - \bar\alpha_t}$, and put a factor $w$ before the
# classifier, of which section 8 will say what it means
# ([Dhariwal and Nichol 2021](https://arxiv.org/abs/2105.05233)):
#
# $$ \hat\varepsilon_w(x_t, y) = \hat\varepsilon(x_t) - w\, \sqrt{1 - \bar\alpha_t}\; \nabla \log p_t(y \mid
# x_t). $$ (guide-classifier)
#
# For $w = 1$ it is Bayes' rule, with nothing approximated. Check the sign in the estimate of the data:
# $\hat x_0 = (x_t - \sqrt{1 - \bar\alpha_t}\, \hat\varepsilon) / \sqrt{\bar\alpha_t}$ moves by
# $+ w\, (1 - \bar\alpha_t) / \sqrt{\bar\alpha_t}$ times the gradient, *uphill* in the probability of the
# class.
#
# Where does the factor go wrong? The same paper guides DDPM's step by shifting its mean by the step's
# variance times the gradient, which looks as if $\tilde\sigma$ belonged into {eq}`guide-classifier`. Follow
# the shift of $\hat x_0$ through the posterior's mean, where $\hat x_0$ has the factor
# $\sqrt{\bar\alpha_{t-1}}\, \beta_t / (1 - \bar\alpha_t)$: the mean moves by
# $w\, \beta_t / \sqrt{\alpha_t}$ times the gradient, for small $\beta_t$ the step's variance indeed. Both
# rules are right, each in its place.
#
# One word in the derivation is expensive: $p_t(y \mid x_t)$ is a classifier *of noisy images*, at every
# level of noise. Section 12 tries one that has only seen clean ones.
#
# ## 7 Derive: guidance without a classifier
#
# Read {eq}`guide-bayes` the other way round. A conditional and an unconditional model together *contain* a
# classifier:
#
# $$ \nabla \log p_t(y \mid x_t) = \nabla \log p_t(x_t \mid y) - \nabla \log p_t(x_t). $$
#
# Put this into {eq}`guide-classifier`; the factors $\sqrt{1 - \bar\alpha_t}$ are swallowed by the noise
# predictions ([Ho and Salimans 2022](https://arxiv.org/abs/2207.12598)):
#
# $$ \hat\varepsilon_w(x_t, y) = \hat\varepsilon(x_t) + w\, \big( \hat\varepsilon(x_t, y) -
# \hat\varepsilon(x_t) \big). $$ (guide-cfg)
#
# Nothing is differentiated. Nor are two networks needed: train one with the label as an input, and in a
# share of the cases (10 to 30 %) replace the label by an eleventh that means "none". At $w = 0$ the model
# is unconditional, at $w = 1$ conditional, beyond it the difference between the two is exaggerated. This
# counting is ours and many programs'; the paper's $w$ is ours minus one. Ask, whenever you read of "a
# guidance scale of 3", what zero means.
#
# Since $\hat x_0$, $\hat\varepsilon$, $v$ and the score are linear in one another at a given $x_t$,
# {eq}`guide-cfg` may be read with any of them.
#
# ## 8 Derive: what the scale means
#
# For noise predictions that are exact, {eq}`guide-classifier` and {eq}`guide-cfg` say that the sampler
# follows the score of
#
# $$ p_t(x_t)\; p_t(y \mid x_t)^{w} \qquad \text{up to its normalisation,} $$ (guide-power)
#
# the density of noisy points, times a classifier that has been made more sure of itself. It is tempting to
# conclude that the samples at $t = 0$ have the density $\pi_w(x_0) \propto p(x_0)\, p(y \mid x_0)^w$. Many
# texts say so. It is true for $w = 0$ and $w = 1$ only. To arrive at $\pi_w$ one has to follow the noisy
# versions *of $\pi_w$*, and those are, with $q(x_t \mid x_0)\, p(x_0) = p_t(x_t)\, p(x_0 \mid x_t)$,
#
# $$ \begin{aligned} \int \pi_w(x_0)\, q(x_t \mid x_0)\, dx_0 \;&\propto\; p_t(x_t)\; \mathbb{E}\big[ p(y
# \mid x_0)^w \,\big|\, x_t \big], \qquad \text{whereas} \\ p_t(y \mid x_t)^w \;&=\; \mathbb{E}\big[ p(y
# \mid x_0) \,\big|\, x_t \big]^w. \end{aligned} $$ (guide-jensen)
#
# (The last equation: given $x_0$ the noise knows nothing of $y$.) The mean of a power is not the power of
# the mean. For $w > 1$ Jensen's inequality says that the former is larger; they agree only where $x_t$
# leaves no doubt about $p(y \mid x_0)$. What the sampler follows for other $w$ is, in general, not the
# noisy version of any density at all.
#
# How far off is it? Take a case that can be computed to the end: unconditionally
# $x_0 \sim \mathcal{N}(0, s_u^2)$, given the class $x_0 \sim \mathcal{N}(0, s_c^2)$ with $s_c < s_u$. The
# score of a Gaussian with variance $V$ is $-x / V$, and a noisy variance is
# $\bar\alpha s^2 + 1 - \bar\alpha = \bar\alpha (s^2 + r^2)$. By {eq}`guide-cfg` the slope of DDIM's
# equation is $\hat\varepsilon_w = -\sqrt{1 - \bar\alpha}$ times the guided score, in the letters of section
# 4
#
# $$ \frac{dy}{dr} = r y \left( \frac{w}{s_c^2 + r^2} - \frac{w - 1}{s_u^2 + r^2} \right),
# \qquad\text{so}\qquad \log y = \frac{w}{2} \log(s_c^2 + r^2) - \frac{w - 1}{2} \log(s_u^2 + r^2) +
# \text{const}. $$
#
# For $r \to \infty$ the right side tends to $\log r$ plus the constant, so $y / r \to x_T$ fixes the
# constant as $\log x_T$. At $r = 0$, where $y$ is the sample: $x_0 = s_c^w\, s_u^{1 - w}\, x_T$. The
# samples are Gaussian with
#
# $$ \text{std of the samples} = s_c \left( \frac{s_c}{s_u} \right)^{w - 1} \qquad\text{against}\qquad
# \left( \frac{w}{s_c^2} - \frac{w - 1}{s_u^2} \right)^{-1/2} \text{ for } \pi_w. $$ (guide-price)
#
# **What it means.** Along any direction in which the class is narrower than everything together, each unit
# of scale divides the spread of the samples by the same factor $s_u / s_c$ once more. It falls
# geometrically, while that of $\pi_w$ falls like $1/\sqrt{w}$. This is the price of guidance: *diversity*.
# And the effect is not an error of the network. The cell below has none.

# %%
s_u, s_c = 1.0, 0.7
everything, one_class = ExactMixture.isotropic([[0.0]], [s_u]), ExactMixture.isotropic([[0.0]], [s_c])
x_T = torch.randn(4000, 1, generator=rng(2))
x_T = (x_T - x_T.mean()) / x_T.std()  # so that the end points' spread carries no noise of its own
print("scale   tilted density   formula   DDIM    DDPM")
for w in (0, 1, 2, 3, 5):
    guided = classifier_free(one_class.denoiser(fine), everything.denoiser(fine), w)
    ends = {
        eta: sample(ddim, guided, x_T, fine, 400, progress=False, eta=eta, generator=rng(3)) for eta in (0, 1)
    }
    tilted, formula = (w / s_c**2 - (w - 1) / s_u**2) ** -0.5, s_c * (s_c / s_u) ** (w - 1)
    print(f"{w:5d}   {tilted:14.3f}   {formula:7.3f}   {ends[0].std():.3f}   {ends[1].std():.3f}")
    assert abs(ends[0].std() / formula - 1) < 0.02  # Euler's error at 400 steps
    assert w < 2 or ends[0].std() < ends[1].std() < tilted

# %% [markdown]
# **Where to look.** Two answers to one question, and with fresh noise (DDPM) a third: the noise pushes
# points about, and while they are pushed they lose part of what the guidance did too much. A scale is
# therefore a property of a *sampler*, and not of a density. Two classes on a line show the shape. Before
# you move the slider: where do you expect the samples of the right-hand class at scale 8, at its mean or
# beyond it?

# %%
pair = ExactMixture.isotropic([[-0.8], [0.8]], [0.6, 0.6])
grid = torch.linspace(-3.5, 5, 1701, dtype=torch.float64)
at_0 = torch.zeros(len(grid), dtype=torch.int64)
log_p = pair.diffused_log_prob(grid[:, None], at_0, fine)
log_y = pair.component_log_prob(grid[:, None], at_0, fine)[:, 1]
right_class = torch.ones(4000, dtype=torch.int64)
pushed = {}
for w in (0, 1, 2, 3, 4, 6, 8):
    guided = classifier_free(pair.denoiser(fine, right_class), pair.denoiser(fine), w)
    pushed[w] = sample(ddim, guided, x_T, fine, 60, progress=False)


def draw_tilt(w):
    fig, ax = plt.subplots(figsize=(6.4, 2.9))
    tilt = (log_p + w * log_y).softmax(0) / (grid[1] - grid[0])
    ax.plot(grid, log_p.exp(), color="0.6", label="p(x), both classes")
    ax.plot(grid, tilt, color=PALETTE["blue"], label="p(x) p(y | x)^w, normalised")
    ax.hist(pushed[w][:, 0], bins=60, range=(-3.5, 5), density=True, color=PALETTE["orange"], alpha=0.6,
            label="DDIM with guidance")  # fmt: skip
    ax.set(xlabel="x", ylabel="density", ylim=(0, 1.5), title=f"scale w = {w}")
    ax.legend(loc="upper left", fontsize=8)
    return fig


# %%
frames(
    draw_tilt,
    list(pushed),
    label="scale w",
    start=4,
    alt=lambda w: (
        f"Scale {w}: the density of both classes with bumps at -0.8 and 0.8; the tilted density of the right "
        f"class; and a histogram of guided samples with mean {pushed[w].mean():.2f} and deviation "
        f"{pushed[w].std():.2f}. Up to scale 1 histogram and tilted density agree; beyond it the histogram "
        "is further right and narrower."
    ),
    caption="Two classes on the line, and samples guided towards the right-hand one. Beyond scale 1 they "
    "leave the tilted density behind: farther out, and narrower.",
)
spacing = grid[1] - grid[0]
for w in (0, 1, 4):
    tilt = (log_p + w * log_y).softmax(0)
    mean = (tilt * grid).sum().item()
    print(f"scale {w}: mean of the tilted density {mean:.2f}, of the samples {pushed[w].mean():.2f}")
    assert (abs(pushed[w].mean() - mean) < 0.05) == (w < 2)  # three standard errors of a mean of 4000

# %% [markdown]
# **What it means.** Beyond the mean. Guidance flees from the other class, also where nothing of it is left
# to flee from, because *at high noise*, where the push happens, the classes still overlap. What comes out
# at scale 4 are exaggerated members of the class: sevens that are more seven than any training image. Often
# this is what people want. It is not what the data are.
#
# ## 9 Write: a step, its inverse, two guides
#
# Everything above in four functions. A network's answer comes as $\hat x_0$ (a *denoiser*, as in the last
# chapter).


# %%
def noise_in(x_t, x0_hat, t, schedule):  # eps_hat that goes with x0_hat
    a_t = schedule.alpha_bar[t]
    return (x_t - a_t.sqrt() * x0_hat) / (1 - a_t).sqrt()


def ddim_step(denoiser, x_t, t, s, schedule, eta, generator):  # eqs. (guide-ddim) and (guide-eta)
    a_t, a_s = schedule.alpha_bar[t], schedule.alpha_bar[s]
    x0_hat = denoiser(x_t, torch.full((len(x_t),), int(t)))
    eps_hat = noise_in(x_t, x0_hat, t, schedule)
    fresh = eta * ((1 - a_s) / (1 - a_t) * (1 - a_t / a_s)).sqrt()
    x_s = a_s.sqrt() * x0_hat + (1 - a_s - fresh**2).sqrt() * eps_hat
    return x_s + fresh * torch.randn(x_t.shape, generator=generator) if fresh > 0 else x_s


def inversion_step(denoiser, x_s, s, t, schedule):  # eq. (guide-inversion), eps_hat from the point we are at
    a_t, a_s = schedule.alpha_bar[t], schedule.alpha_bar[s]
    shrink = (a_t / a_s).sqrt()
    here = (x_s, s) if s > 0 else (shrink * x_s, t)  # at s = 0 there is no noise to estimate
    eps_hat = noise_in(here[0], denoiser(here[0], torch.full((len(x_s),), int(here[1]))), here[1], schedule)
    return shrink * x_s + ((1 - a_t).sqrt() - shrink * (1 - a_s).sqrt()) * eps_hat


# %%
def by_classifier(denoiser, classifier, y, schedule, w):  # eq. (guide-classifier), in x0_hat
    def guided(x_t, t):
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            log_p = classifier(x, t).log_softmax(1)[torch.arange(len(y)), y].sum()
            (gradient,) = torch.autograd.grad(log_p, x)
        a_t = schedule.alpha_bar[t].to(x_t.dtype).reshape(-1, *[1] * (x_t.ndim - 1))
        return denoiser(x_t, t) + w * (1 - a_t) / a_t.sqrt() * gradient

    return guided


def without_classifier(conditional, unconditional, w):  # eq. (guide-cfg), in x0_hat
    return lambda x_t, t: (1 - w) * unconditional(x_t, t) + w * conditional(x_t, t)


# %% [markdown]
# The library has the same as samplers (generators of steps) and as functions from denoisers to a denoiser.
# They must agree.

# %%
three = ExactMixture(
    torch.tensor([[-1.1, -0.5], [1.1, -0.5], [0.0, 1.0]]),
    torch.tensor([[[0.45, 0.2], [0.2, 0.3]], [[0.45, -0.2], [-0.2, 0.3]], [[0.5, 0.0], [0.0, 0.2]]]),
    torch.full((3,), 1 / 3),
)
y = torch.arange(3).repeat(20)
x_T = torch.randn(60, 2, generator=rng(5)).double()
plain, knowing, judge = three.denoiser(fine), three.denoiser(fine, y), three.classifier(fine)
ours_1, ours_2 = by_classifier(plain, judge, y, fine, 2.5), without_classifier(knowing, plain, 2.5)
theirs_1, theirs_2 = classifier_guided(plain, judge, y, fine, 2.5), classifier_free(knowing, plain, 2.5)
t = torch.full((60,), 300)
torch.testing.assert_close(ours_1(x_T, t), theirs_1(x_T, t))
torch.testing.assert_close(ours_2(x_T, t), theirs_2(x_T, t))
torch.testing.assert_close(ours_1(x_T, t), ours_2(x_T, t))  # the exact classifier is the one implied
x = x_T
for t, s in pairwise(fine.times(20)):
    x = ddim_step(ours_2, x, t, s, fine, 0.0, None)
torch.testing.assert_close(x, sample(ddim, theirs_2, x_T, fine, 20, progress=False))
for s, t in pairwise(fine.times(20).flip(0)):
    x = inversion_step(plain, x, s, t, fine)
*_, last = ddim_invert(plain, sample(ddim, theirs_2, x_T, fine, 20, progress=False), fine, 20)
torch.testing.assert_close(x, last.x_t)

# %%
x, g = x_T.float(), rng(6)  # with fresh noise, from the same generator
for t, s in pairwise(fine.times(20)):
    x = ddim_step(plain, x, t, s, fine, 0.7, g)
theirs = sample(ddim, plain, x_T.float(), fine, 20, progress=False, eta=0.7, generator=rng(6))
torch.testing.assert_close(x, theirs, rtol=1e-3, atol=1e-4)  # twenty steps of float32 rounding
show(ddim)

# %% [markdown]
# ## 10 Run: how many steps?
#
# First a case without any sampling noise. Suppose the digits were a Gaussian with their mean and
# covariance. Then every $\hat x_0$ is linear in $x_t$, every $x_s$ Gaussian, and along each eigenvector of
# the covariance one line of arithmetic follows the variance from step to step. The Fréchet distance between
# what comes out and the data, here in pixels, is then exact for each sampler and each number of steps.

# %%
digits = {split: load_digits(split) for split in ("train", "valid", "test")}
x_train, y_train = to_pm1(digits["train"].x, 17), digits["train"].y.long()  # (1000, 1, 8, 8) in [-1, 1]
spectrum = torch.linalg.eigvalsh(torch.cov(x_train.flatten(1).double().T)).clamp(min=0)  # (64,)


def exact_distance(n, eta):  # sum over eigenvectors of (deviation of the samples - deviation of the data)^2
    v = torch.ones_like(spectrum)  # variance of x_T
    for t, s in pairwise(fine.times(n)):
        a_t, a_s = fine.alpha_bar[t], fine.alpha_bar[s]
        gain = a_t.sqrt() * spectrum / (a_t * spectrum + 1 - a_t)  # x0_hat = gain x_t
        fresh = eta**2 * (1 - a_s) / (1 - a_t) * (1 - a_t / a_s)
        old = (1 - a_s - fresh).sqrt() * (1 - a_t.sqrt() * gain) / (1 - a_t).sqrt()
        v = (a_s.sqrt() * gain + old) ** 2 * v + fresh
    return ((v.sqrt() - spectrum.sqrt()) ** 2).sum().item()


counts = [5, 10, 20, 50, 100, 200, 500, 1000]
exact = {eta: [exact_distance(n, eta) for n in counts] for eta in (0.0, 0.5, 1.0)}
for i, n in enumerate(counts):
    print(f"{n:5d} steps: " + "   ".join(f"eta {eta}: {d[i]:.5f}" for eta, d in exact.items()))
    assert exact[0.0][i] < exact[0.5][i] < exact[1.0][i]
needed = next(n for n in range(20, 100) if exact_distance(n, 1.0) <= exact_distance(20, 0.0))
print(f"DDPM needs {needed} steps to do as well as DDIM with 20")
assert 30 < needed < 40
assert 2 < exact[1.0][2] / exact[0.0][2] < 3

# %% [markdown]
# Second, the path itself. On the five clusters DDIM with 1000 steps stands in for the exact solution of the
# ODE. How far from it does a walk with fewer steps end, from the same noise? By section 4 the distance
# should be halved when the steps are doubled. We look at the median point: a few start on a watershed,
# where the least error sends them to another cluster, and a mean would be theirs alone.

# %%
start = torch.randn(1000, 2, generator=rng(6))
solution = sample(ddim, best, start, fine, 1000, progress=False)
some = [10, 20, 50, 100, 200]
apart = [
    (sample(ddim, best, start, fine, n, progress=False) - solution).norm(dim=1).median().item() for n in some
]
for i, n in enumerate(some):
    print(f"{n:4d} steps: DDIM ends {apart[i]:.4f} from the solution")
order = math.log(apart[1] / apart[4]) / math.log(some[4] / some[1])
print(f"order of the error between 20 and 200 steps: {order:.2f}")
assert 0.9 < order < 1.1  # over three seeds 1.01 to 1.02

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.9))
for (eta, d), mark in zip(exact.items(), "osD", strict=True):
    left.loglog(counts, d, mark + "-", ms=4, label=f"η = {eta}")
left.set(xlabel="network evaluations", ylabel="Fréchet distance, pixels²")
left.legend()
right.loglog(some, apart, "o-", ms=4, color=PALETTE["blue"], label="DDIM")
right.loglog(
    some, [apart[0] * some[0] / n for n in some], ls=":", color="0.5", label="proportional to 1/steps"
)
right.set(xlabel="network evaluations", ylabel="distance from the ODE's end")
right.legend()
figure(
    fig,
    alt="Left: exact Fréchet distance of a Gaussian with the digits' covariance against the number of "
    "steps; three nearly parallel lines with slope -2, eta 0 lowest, eta 1 highest. Right: distance of "
    "DDIM's median end point from the solution of the differential equation falls as one over the steps.",
    caption="Left: the exact error of three samplers; fresh noise costs a constant factor. Right: DDIM "
    "nears the solution of its equation as one over the number of steps.",
)

# %% [markdown]
# **Where to look.** Left: three nearly parallel lines. The squared distance falls by four when the steps
# double, for each $\eta$, for all are methods of first order; but fresh noise costs a constant factor, at
# 20 steps between two and three. DDPM needs some 35 steps for what DDIM does in 20. Nothing here says that
# DDPM is *worse* in the limit: at 1000 steps both are good enough.
#
# Third, digits and a learnt network: class-conditional, since section 13 needs one, with a fifth of its
# labels dropped. To stay inside the minute it is a residual MLP that predicts the velocity $v$ of the last
# chapter; $T = 200$ here.

# %%
schedule = cosine_schedule(200)
NOBODY = 10  # the label that means "none"


def train_digits(steps, *, dropped=0.2, seed=0):
    with seeded(seed):
        net = MLPNetwork((1, 8, 8), width=192, blocks=3, classes=10, time_scale=1000 / schedule.T)
    average = EMA(net, 0.99)
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2, fused=True)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    g = rng(seed)

    def step(batch):
        x0, y = batch[0], drop_labels(batch[1], dropped, NOBODY, g)
        t, eps = draw_steps(len(x0), schedule, g), torch.randn(x0.shape, generator=g)
        loss = simple_loss(net, x0, t, eps, schedule, predicts="v", y=y).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
        average.update()
        return {"loss": loss / 64}

    fit(step, Batches(x_train, y_train, batch_size=128, generator=g), steps=steps)
    return average.model.eval()


# %%
net = train_digits(budget(cpu=1500, full=20_000))
unconditional = make_denoiser(net, schedule, "v")  # y = None: no label for all

# %%
eye = digits_features()
real_features = eye.features(x_train)
SAMPLES = 500
asked = torch.arange(SAMPLES) % 10
noise = initial_noise((SAMPLES, 1, 8, 8), schedule, rng(7))


def guided_by_label(y, w):  # clipped outside: guided estimates overshoot
    return clipped(classifier_free(make_denoiser(net, schedule, "v", y=y), unconditional, w))


def distance(x):  # Fréchet distance to the training images, in thousandths of the features' variance
    return frechet_distance(eye.features(x.clamp(-1, 1)), real_features)


@torch.no_grad()
def agreement(x, y):  # share of images in which the classifier sees the digit that was asked for
    return (eye.logits(x.clamp(-1, 1)).argmax(1) == y).float().mean().item()


# %%
few = [5, 10, 20, 50]
trials = [initial_noise((SAMPLES, 1, 8, 8), schedule, rng(100 + i)) for i in range(3)]
drawn, fd = {}, {}
for name, eta in (("DDIM", 0.0), ("DDPM", 1.0)):
    for n in few:
        runs = [
            sample(
                ddim, guided_by_label(asked, 1), x_T, schedule, n, progress=False, eta=eta, generator=rng(i)
            )
            for i, x_T in enumerate(trials)
        ]
        drawn[name, n], fd[name, n] = runs[0], torch.tensor([distance(x) for x in runs])
for name, fall in (("DDIM", 3.2), ("DDPM", 1.1)):  # half of the smallest, over three seeds
    print(name + "".join(f"  {n:3d} steps {fd[name, n].mean():5.1f} ± {fd[name, n].std():.1f}" for n in few))
    assert fd[name, 20].mean() < fd[name, 5].mean() - fall
gap = torch.stack([fd["DDPM", n] - fd["DDIM", n] for n in few])  # (4, 3)
print(f"DDPM's distance above DDIM's, over all: {gap.mean():.1f} ± {gap.mean(0).std() / math.sqrt(3):.1f}")

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.1), width_ratios=[1, 1.7])
for name, mark, colour in (("DDIM", "o", "blue"), ("DDPM", "D", "vermilion")):
    mean, error = ([f(fd[name, n]).item() for n in few] for f in (torch.mean, torch.std))
    left.errorbar(few, mean, error, fmt=mark + "-", ms=4, capsize=3, color=PALETTE[colour], label=name)
left.set(xscale="log", xlabel="network evaluations", ylabel="Fréchet distance", xticks=few, xticklabels=few)
left.minorticks_off()
left.legend()
keys = [("DDIM", 5), ("DDIM", 20), ("DDIM", 50), ("DDPM", 5), ("DDPM", 20), ("DDPM", 50)]
image_grid(
    torch.cat([drawn[key][:10] for key in keys]),
    columns=10,
    ax=right,
    row_labels=[f"{name}, {n}" for name, n in keys],
)
figure(
    fig,
    alt="Left: Fréchet distance against network evaluations; both curves fall and flatten, with error bars "
    "about as long as the curves are apart. Right: digits zero to nine in six rows, DDIM with 5, 20 and 50 "
    "steps above, DDPM with the same below. DDIM's rows show nearly the same pictures, sharper from row to "
    "row; DDPM's rows differ.",
    caption="Two samplers, one network, few steps. Look along the columns: DDIM's rows are one "
    "handwriting, read ever more carefully; DDPM's are different draws.",
)

# %% [markdown]
# **Where to look.** Both curves fall and then flatten at a level that more steps do not lower: from there
# on the *network* is what is wrong, and no sampler mends that. Which sampler is ahead? Read the error bars
# first: the deviation among three draws of 500 images is as large as what we would like to see. The exact
# case needed no draws; here a single draw would have let you "prove" either. And fresh noise has a merit
# that a perfect denoiser cannot show: it can drown part of the errors that a learnt one made earlier.
#
# What needs no statistics: look along the columns. DDIM's three rows start from the same noise and show the
# same handwriting, five steps a little blurred, twenty hardly. The noise *is* the picture, and the number
# of steps only says how carefully it is read. In DDPM's rows the fresh noise decides, so every number of
# steps draws another picture.

# %% [markdown]
# ## 11 Run: there and back again
#
# Invert 60 test images, which the network has never seen, and sample from their codes. How far from the
# originals do we land? Once with the explicit step of section 9, once with the equation
# {eq}`guide-inversion` iterated at each step.

# %%
x_test, y_test = to_pm1(digits["test"].x, 17), digits["test"].y
originals = x_test[:60]


@torch.no_grad()
def there_and_back(n, iterations):
    *_, last = ddim_invert(unconditional, originals, schedule, n, iterations=iterations)
    return last.x_t, sample(ddim, unconditional, last.x_t, schedule, n, progress=False)


grids = [5, 10, 20, 50, 100]
back = {(n, k): there_and_back(n, k) for n in grids for k in (1, 5)}
error = {key: (x - originals).square().mean().sqrt().item() for key, (_, x) in back.items()}
for n in grids:
    print(f"{n:4d} steps: error a pixel {error[n, 1]:.4f} explicit, {error[n, 5]:.4f} with 5 iterations")
    assert error[n, 5] < error[n, 1] / 2
order = math.log(error[20, 1] / error[100, 1]) / math.log(5)
print(f"order of the explicit error between 20 and 100 steps: {order:.2f}; a grey level is {2 / 16}")
assert 0.8 < order < 1.2  # Euler's method, there as well as back
assert error[20, 5] < 2 / 16 / 4  # a quarter of a grey level

# %% [markdown]
# **What it means.** The explicit step is of first order, as Euler's method must be. Solving its equation
# makes even a coarse grid reversible, and that although the network is *not* good at these images: the
# round trip tests whether the map can be undone, not whether it is the right map. Editing programs live on
# it: invert a photograph, change the condition, decode.
#
# A code is a description of a picture by 64 numbers that look like noise. So walk between two codes. Not
# along the straight line: a vector of $D$ independent standard normal numbers has a length close to
# $\sqrt{D}$, always, and the middle of the line between two such vectors is shorter by $\sqrt2$: no noise
# that the network has ever been shown looks like that. Walk along the arc. What will the middle of the
# straight line decode to?


# %%
def between(a, b, share, *, straight=False):  # along the arc from a to b, or along the straight line
    angle = torch.acos((a * b).sum() / (a.norm() * b.norm()))
    if straight:
        return (1 - share) * a + share * b
    return (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)


# %%
codes = back[100, 5][0]  # (60, 1, 8, 8)
one, other = (int((y_test[:60] == k).nonzero()[0]) for k in (3, 0))
shares = torch.linspace(0, 1, 9).tolist()
arc = torch.stack([between(codes[one], codes[other], u) for u in shares])
line = torch.stack([between(codes[one], codes[other], u, straight=True) for u in shares])
pixels = torch.stack([between(originals[one], originals[other], u, straight=True) for u in shares])
decoded = [sample(ddim, unconditional, z, schedule, 100, progress=False) for z in (arc, line)]
fig, ax = plt.subplots(figsize=(7.6, 2.8))
image_grid(
    torch.cat([*decoded, pixels]),
    columns=9,
    ax=ax,
    row_labels=["codes, arc", "codes, straight", "pixels"],
    column_labels=[f"{u:.2g}" for u in shares],
)
figure(
    fig,
    alt="Three rows from a real 3 to a real 0. Along the arc each picture has full contrast and the change "
    "comes in the middle. Along the straight line of the codes, and in the mix of pixels, the middle ones "
    "are paler.",
    caption="Three ways from a real 3 to a real 0. On the arc of codes the contrast stays; on the straight "
    "line the middle fades, as in the mix of pixels.",
)

# %%
print(f"length of the codes over that of noise: {codes.flatten(1).norm(dim=1).mean() / 8:.3f}")
middle = {name: path[4].norm().item() / 8 for name, path in (("arc", arc), ("straight", line))}
print("half way: " + ", ".join(f"{name} {length:.3f}" for name, length in middle.items()))
contrast = [x.std().item() for x in (decoded[0][4], decoded[1][4], pixels[4])]
print("contrast half way: arc {:.3f}, straight {:.3f}, pixels {:.3f}".format(*contrast))
assert middle["straight"] < 0.8 * middle["arc"]
assert contrast[0] > contrast[1] + 0.03  # half of the gap

# %% [markdown]
# **Where to look.** The middle of the straight line has two thirds of the length of noise and decodes to a
# pale picture, hardly better than a mix of pixels. On the arc the contrast stays, and the 3 closes its bays
# one after the other. Note also the first figure: the codes of these images are a tenth longer than noise.
# To a network that has learnt other writers' hands, these are a little improbable.

# %% [markdown]
# ## 12 Run: a classifier that has seen noise
#
# First with everything exact: three overlapping classes in the plane, the exact denoiser of all of them
# together, and the exact classifier of noisy points.


# %%
def to_class_1(w, n=1000, steps=50):
    y = torch.ones(n, dtype=torch.int64)
    guided = classifier_guided(three.denoiser(fine), three.classifier(fine), y, fine, w)
    x_T = torch.randn(n, 2, generator=rng(9))
    return sample(ddim, guided, x_T, fine, steps, progress=False)


clouds = {w: to_class_1(w) for w in (0, 1, 3, 8)}
real = three.sample(1500, rng(10))[0]
fig, axes = plt.subplots(1, 4, figsize=(8.6, 2.5), sharex=True, sharey=True)
for ax, (w, cloud) in zip(axes, clouds.items(), strict=True):
    ax.scatter(*real.T, s=2, alpha=0.3, color="0.6")
    ax.scatter(*cloud.T, s=2, alpha=0.4, color=PALETTE["vermilion"])
    ax.set(xlim=(-4, 5), ylim=(-4.5, 3.5), xlabel="x₁", title=f"scale {w}")
axes[0].set_ylabel("x₂")
figure(
    fig,
    alt="Grey: three overlapping classes. Red: guided samples. Scale 0: all three classes. Scale 1: the "
    "lower right class. Scale 3: a smaller cloud at its far edge. Scale 8: a small cloud beyond the data.",
    caption="Guidance with everything exact. At scale 1 the samples (red) are the class that was asked "
    "for; at larger scales they are ever surer of it, and ever less like it.",
)

# %%
sure = {w: three.component_log_prob(x, torch.zeros(len(x), dtype=torch.int64), fine)[:, 1].exp().mean().item()
        for w, x in clouds.items()}  # fmt: skip
for w, x in clouds.items():
    print(f"scale {w}: mean p(class | sample) {sure[w]:.3f}, spread {x.std(0).norm():.3f}")
mean, spread = three.means[1].float(), torch.diag(three.covs[1]).sqrt().float()
assert (clouds[1].mean(0) - mean).abs().max() < 0.1  # Bayes' rule: 4 standard errors and Euler's error
assert (clouds[1].std(0) / spread - 1).abs().max() < 0.12
assert sure[0] < sure[1] < sure[3]
assert clouds[8].std(0).norm() < clouds[3].std(0).norm() < clouds[1].std(0).norm()

# %% [markdown]
# At scale 1 the red points *are* the class, mean and deviations included, and no model of the class was
# ever made. Now digits: a small classifier is trained on noisy images of all levels, and another one, with
# the same number of steps, on clean images only.


# %%
class NoisyClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = MLP([64 + 32, 256, 128, 10])

    def forward(self, x, t):
        return self.net(torch.cat([x.flatten(1), sinusoidal(t * 1000 / schedule.T, 32)], 1))


# %%
def train_classifier(steps, *, noisy, seed=0):
    with seeded(seed):
        judge = NoisyClassifier()
    optimiser = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=1e-2, fused=True)
    g = rng(seed)

    def step(batch):
        x0, y = batch
        t, eps = draw_steps(len(x0), schedule, g), torch.randn(x0.shape, generator=g)
        t = t if noisy else torch.zeros_like(t)
        loss = nn.functional.cross_entropy(judge(q_sample(x0, t, eps, schedule), t), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"loss": loss}

    fit(step, Batches(x_train, y_train, batch_size=128, generator=g), steps=steps)
    judge = judge.eval().requires_grad_(False)
    return judge if noisy else lambda x, t: judge(x, torch.zeros_like(t))


# %%
judges = {
    name: train_classifier(budget(cpu=800, full=4000), noisy=name == "noisy") for name in ("noisy", "clean")
}

# %%
x_valid, y_valid = to_pm1(digits["valid"].x, 17), digits["valid"].y
levels = [0, 10, 25, 50, 75, 100, 125, 150, 175, 200]


@torch.no_grad()
def right_at(judge, t):
    t = torch.full((len(x_valid),), t)
    x_t = q_sample(x_valid, t, torch.randn(x_valid.shape, generator=rng(11)), schedule)
    return (judge(x_t, t).argmax(1) == y_valid).float().mean().item()


right = {name: [right_at(judge, t) for t in levels] for name, judge in judges.items()}
scales = [0, 1, 2, 4, 8]
labels = asked[:300]
steered = {}
for name, judge in judges.items():
    for w in scales:
        guided = clipped(classifier_guided(unconditional, judge, labels, schedule, w))
        steered[name, w] = sample(ddim, guided, noise[:300], schedule, 20, progress=False)
hit = {key: agreement(x, labels) for key, x in steered.items()}
far = {key: distance(x) for key, x in steered.items()}
for name in judges:
    print(f"trained on {name} images: right at t = 0, 50, 100: ", end="")
    print(", ".join(f"{right[name][levels.index(t)]:.2f}" for t in (0, 50, 100)))
    print("  " + "  ".join(f"w = {w}: {hit[name, w]:.2f} (FD {far[name, w]:.0f})" for w in scales))

# %%
fig, (left, mid) = plt.subplots(1, 2, figsize=(7.6, 2.9))
for name, colour in (("noisy", "blue"), ("clean", "vermilion")):
    left.plot(levels, right[name], "o-", ms=4, color=PALETTE[colour], label=f"trained on {name} images")
    mid.plot(scales, [hit[name, w] for w in scales], "o-", ms=4, color=PALETTE[colour])
left.axhline(0.1, ls=":", color="0.5")
left.set(xlabel="step t (of 200)", ylabel="share classified rightly", ylim=(0, 1))
left.legend(loc="upper right", fontsize=8)
mid.set(xlabel="scale w", ylabel="agreement of the samples", ylim=(0, 1))
figure(
    fig,
    alt="Left: accuracy over the step t. Both classifiers start near 0.97 and end at chance; the one "
    "trained on clean images is lower in between. Right: agreement of the guided samples over the scale: "
    "the classifier trained on noisy images reaches nearly one, the other saturates well below.",
    caption="Left: how much noise leaves a class to be told. Right: guidance by a classifier that never "
    "saw noise falls short, however large the scale.",
)
half_way = levels.index(100)
assert right["noisy"][half_way] > right["clean"][half_way] + 0.05  # half of the gap, over three seeds
assert hit["noisy", 0] < 0.2  # chance is 0.1
for w in (1, 2, 4):  # four standard errors of a share of 300 are at most 0.115
    assert hit["noisy", w] > hit["clean", w] + 0.115

# %% [markdown]
# **Where to look.** The left picture shows what a class is at each noise level: from $t = 150$ on nobody
# can tell, so the class must be decided before, at $t$ around 100. There the classifier of clean images is
# already guessing. Its gradient, moreover, points to where *it* becomes sure, not to where images are: on
# the right its samples convince the jury of another classifier much less often, however large the scale.
# Bayes' rule asked for $p_t(y \mid x_t)$ at every $t$, and meant it.
#
# ## 13 Run: ten classes from one network
#
# The network of section 10 saw its labels four times out of five, so it is both models of {eq}`guide-cfg`.
# One noise, one network, twenty steps; only the scale changes. Three figures for each: does the shipped
# classifier see the digit that was asked for, and how doubtful is it; how many of the training images have
# a sample in their neighbourhood, the ball that reaches to their fifth nearest fellow (coverage); and the
# Fréchet distance. Before you look: at which scale is each of the three best?

# %%
SCALES = [0, 0.5, 1, 1.5, 2, 3, 4, 6, 8]
by_scale = {w: sample(ddim, guided_by_label(asked, w), noise, schedule, 20, progress=False) for w in SCALES}


@torch.no_grad()
def judged(x, y):  # agreement, mean doubt 1 - p(y | x), Fréchet distance, coverage, density
    x = x.clamp(-1, 1)
    doubt = 1 - eye.logits(x).softmax(1)[torch.arange(len(y)), y].mean().item()
    density, coverage = density_coverage(real_features, eye.features(x))
    return agreement(x, y), doubt, distance(x), coverage, density


rows = {w: judged(x, asked) for w, x in by_scale.items()}
N = len(x_train)  # coverage that as many fresh draws of the data would have: see density_coverage
expected_coverage = 1 - math.prod((N - j) / (N + SAMPLES - j) for j in range(1, 6))
row_of_test = judged(x_test, y_test.long())
for name, row in (*((f"scale {w:g}", row) for w, row in rows.items()), ("test images", row_of_test)):
    line = "{:11}: agreement {:.3f}  doubt {:.4f}  FD {:5.1f}  coverage {:.2f}  density {:.2f}"
    print(line.format(name, *row))
print(f"expected coverage of {SAMPLES} fresh draws: {expected_coverage:.2f}")


# %%
def draw_scale(w):
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.8, 3.2), width_ratios=[1.15, 1])
    picture = by_scale[w][:80].reshape(8, 10, 1, 8, 8).flatten(0, 1)
    image_grid(picture, columns=10, ax=left, title=f"scale {w:g}")
    points = torch.tensor([rows[v] for v in SCALES])
    right.semilogx(points[:, 1], points[:, 3], "o-", ms=4, color=PALETTE["blue"])
    right.plot(rows[w][1], rows[w][3], "D", ms=10, color=PALETTE["black"])
    for v in (0, 1, 2, 4, 8):
        right.annotate(f"{v:g}", (rows[v][1], rows[v][3]), (6, 4), textcoords="offset points", fontsize=8)
    right.set(xlabel="doubt of the classifier, 1 − p(y | x)", ylabel="coverage of the training images")
    return fig


frames(
    draw_scale,
    SCALES,
    label="scale w",
    start=1,
    alt=lambda w: (
        f"Scale {w:g}: eight rows of the digits 0 to 9, and the curve of coverage against doubt, here at "
        f"doubt {rows[w][1]:.3f} and coverage {rows[w][3]:.2f}."
    ),
    caption="Each column asks for one digit. Follow the diamond: at first doubt falls and coverage rises; "
    "then coverage is the price.",
)

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.8))
left.plot(SCALES, [rows[w][0] for w in SCALES], "o-", ms=4, color=PALETTE["blue"], label="agreement")
left.plot(SCALES, [rows[w][3] for w in SCALES], "s-", ms=4, color=PALETTE["orange"], label="coverage")
left.axhline(expected_coverage, ls=":", color=PALETTE["orange"], label="coverage of fresh draws")
left.set(xlabel="scale w", ylabel="share", ylim=(0, 1.05))
left.legend(fontsize=8)
right.plot(SCALES, [rows[w][2] for w in SCALES], "D-", ms=4, color=PALETTE["vermilion"])
right.axhline(row_of_test[2], ls=":", color=PALETTE["vermilion"], label="test images")
right.set(xlabel="scale w", ylabel="Fréchet distance", ylim=(0, None))
right.legend(fontsize=8)
figure(
    fig,
    alt="Left: agreement rises steeply to one at scale 1.5 and stays; coverage rises to a peak there and "
    "falls steadily to half at scale 8; a dotted line shows what fresh draws would cover. Right: the "
    "Fréchet distance has its minimum near scale 2 and rises towards both ends; a dotted line shows the "
    "distance of the test images.",
    caption="What guidance buys and what it costs. Agreement is soon complete and stays so; coverage and "
    "the Fréchet distance are best at a moderate scale and get worse beyond it.",
)
# %%
best_scale = min(rows, key=lambda w: rows[w][2])
print(f"the Fréchet distance is lowest at scale {best_scale:g}")
assert rows[0][0] < 0.2 < 0.9 < rows[1][0]  # chance is 0.1; 0.9 leaves six standard errors of a share of 500
assert best_scale in (1.5, 2)
assert rows[8][3] < rows[2][3] - 0.18  # half of the gap, over three seeds of the training
assert rows[8][2] > 2 * rows[2][2]
assert rows[2][4] > 1.2 > rows[8][4]

# %% [markdown]
# **Where to look.** Three regimes. *From 0 to 1* the label takes effect. Scale one half is not half a
# conditional model: it follows a score that belongs to neither. *From 1 to about 2* everything improves at
# once, also coverage, which guidance was supposed to cost. Section 8 promised no such thing, and it was
# about networks without errors. This one has had a thousand images and a few seconds: between the digits it
# puts points that are no digits, its unconditional half more than its conditional one, and to move away
# from the former is to move away from the errors. This is one reason why guidance is used so much. *Beyond
# 2* the price falls due. Agreement has long been one and the doubt shrinks no further; coverage falls, and
# the Fréchet distance climbs. Look at the samples at scale 8: hard strokes, white or black, each digit a
# caricature of itself. The classifier is content with all of them.
#
# Do not read the peak as a triumph: around scale 1.5 the samples cover more than fresh draws would and lie
# nearer to the training images than the test images do (which come from other writers). They crowd where
# the training images are densest: that is what the last column counts, in how many of the training images'
# balls a sample lies, with 1 for fresh draws. A figure that rewards this cannot tell crowding from quality,
# and a class has more to it than its middle.
#
# ## 14 Break it: five bugs that run
#
# Four of the five have been published, the sign is everybody's own. The denoiser and the classifier are
# exact, the class is the lower right one of section 12, the scale is 1 and $\eta = 1$, so the right answer
# is known: the class itself. Which of the five would you notice in a picture?


# %%
def buggy(bug, n=2000, steps=50, eta=1.0, seed=12):
    g, judge = rng(seed), three.classifier(fine)
    x = torch.randn(n, 2, generator=rng(13))
    for t, s in pairwise(fine.times(steps)):
        a_t, a_s = fine.alpha_bar[t].item(), fine.alpha_bar[s].item()
        told = torch.full((n,), int(t))
        fresh = math.sqrt((1 - a_s) / (1 - a_t) * (1 - a_t / a_s))
        factor = {"σ̃ for √(1 − ᾱ)": fresh, "factor left out": 1.0, "wrong sign": -math.sqrt(1 - a_t)}
        x_in = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(judge(x_in, told)[:, 1].sum(), x_in)
        eps_hat = eps_from_x0(x, told, three.denoiser(fine)(x, told), fine)
        eps_hat = eps_hat - factor.get(bug, math.sqrt(1 - a_t)) * slope
        x0_hat = (x - math.sqrt(1 - a_t) * eps_hat) / math.sqrt(a_t)
        if bug == "stops before x₀" and s == 0:
            break
        fresh = 0.0 if bug == "η ignored" else eta * fresh
        x = math.sqrt(a_s) * x0_hat + math.sqrt(1 - a_s - fresh**2) * eps_hat
        x = x + fresh * torch.randn(n, 2, generator=g)
    return x


# %%
bugs = ["none", "σ̃ for √(1 − ᾱ)", "factor left out", "wrong sign", "stops before x₀", "η ignored"]
found = {bug: buggy(bug) for bug in bugs}
fig, axes = plt.subplots(1, 6, figsize=(9.4, 2.0), sharex=True, sharey=True)
wide = three.covs[1].trace().item()
table = {}
for ax, (bug, x) in zip(axes, found.items(), strict=True):
    p_class = (
        three.component_log_prob(x, torch.zeros(len(x), dtype=torch.int64), fine)[:, 1].exp().mean().item()
    )
    off = (x.mean(0) - three.means[1]).norm().item()
    again = (buggy(bug, seed=14) - x).norm(dim=1).mean().item()  # the same x_T, other fresh noise
    table[bug] = p_class, off, (x.var(0).sum() / wide).item(), again
    ax.scatter(*real.T, s=1, alpha=0.2, color="0.6")
    ax.scatter(*x[:600].T, s=2, alpha=0.4, color=PALETTE["vermilion"])
    ax.set(xlim=(-4, 4), ylim=(-4, 3.5), xticks=[], yticks=[])
    ax.set_title(bug, fontsize=8)
figure(
    fig,
    alt="Six scatter plots of guided samples over three grey classes. None: the lower right class. Sigma "
    "tilde for the root: a cloud that reaches into the other classes. Factor left out: the far half of the "
    "class, too tight. Wrong sign: the two other classes, beyond their edges. Stops before x0 and eta "
    "ignored: like none.",
    caption="Guidance towards the lower right class: sound on the left, with one bug in each of the "
    "others. The last two look as good as the first.",
)

# %%
print(f"{'bug':18s} p(class)   mean off by   variance / true   two runs from one x_T differ by")
for bug, row in table.items():
    pad = 18 + bug.count("\u0303")  # a combining tilde takes no column
    print(f"{bug:{pad}s} " + "{:.3f}      {:6.3f}         {:6.3f}            {:.3f}".format(*row))
none = table["none"]
assert none[1] < 0.1  # four standard errors of a mean of 2000, in two coordinates
assert table["σ̃ for √(1 − ᾱ)"][0] < none[0] - 0.2
assert table["factor left out"][2] < 0.75 * none[2]
assert table["wrong sign"][0] < 0.1
assert table["η ignored"][3] == 0.0 < none[3]

# %% [markdown]
# **Where to look.** The wrong sign shows at once. *$\tilde\sigma$ for $\sqrt{1 - \bar\alpha_t}$* looks like
# guidance that is a little weak, and people answer by turning the scale up; but $\tilde\sigma$ depends on
# the number of steps, so a scale tuned at 50 steps is wrong at 20. *Leaving the factor out* looks like
# guidance that works very well: near the data the root is small, so without it the last steps are pushed
# many times too hard, and the class shrinks to its far half. *$\eta$ ignored* has excellent samples, even a
# better variance than the sampler that was asked for. It is found only by asking the same $x_T$ twice.
#
# And the loop that *stops before $x_0$*, at the lowest noise level instead of the data, is invisible here:
# fifty steps, and a class far wider than what noise is left. With fewer steps, on images?

# %%
for n in (5, 10, 20):
    *_, almost, end = ddim(guided_by_label(asked, 1), noise, schedule, n)
    left_over = (1 - schedule.alpha_bar[int(almost.t)]).sqrt()
    print(f"{n:3d} steps: noise left {left_over:.3f} = {8 * left_over:.1f} grey levels; ", end="")
    print(f"Fréchet distance {distance(almost.x_t):.1f} instead of {distance(end.x_t):.1f}")
    assert n > 5 or distance(almost.x_t) > distance(end.x_t) + 4  # half of the gap

# %% [markdown]
# ## 15 Think
#
# 1. Which $\tilde\sigma$ in {eq}`guide-family` makes $x_s$ and $x_t$ independent given $x_0$? What does the
#    sampler {eq}`guide-ddim` do then?
#
# :::{admonition} Answer
# :class: dropdown
#
# $\tilde\sigma^2 = 1 - \bar\alpha_s$: the second term vanishes, all noise is fresh. The sampler guesses
# $\hat x_0$, throws everything else away, and makes a noisy version of the guess. The marginals given $x_0$
# are still right (section 1's cell ran this case), and with an exact posterior *draw* of $x_0$ in place of
# its mean it would be a perfect sampler. With the mean it forgets at every step how it had decided between
# two possibilities.
#
# :::
#
# 2. At $\eta = 0$ the weight in {eq}`guide-loss` is infinite. Is DDIM then trained with a loss that does
#    not exist?
#
# :::{admonition} Answer
# :class: dropdown
#
# The bound does not exist for it: a step without noise has no density to compare. The argument uses less.
# For every $\tilde\sigma > 0$ the best $\hat\varepsilon$ at each $t$ is the conditional mean, which does
# not depend on $\tilde\sigma$; take the limit in the sampler, not in the bound.
#
# :::
#
# 3. Two DDIM paths cannot cross. Draw a few hundred into the right picture at the top, and lines will cross
#    all over the page. Why is that no contradiction?
#
# :::{admonition} Answer
# :class: dropdown
#
# They cross in the plane, at different times. The solution of $dy/dr = \hat\varepsilon$ is unique through
# each *pair* of point and time. (With twelve Euler steps even that holds only approximately.)
#
# :::
#
# 4. You train a network for $T = 1000$ and sample with 20 steps. Why not train with $T = 20$ from the
#    start?
#
# :::{admonition} Answer
# :class: dropdown
#
# By section 2 the network at a given noise level is the same whatever the steps between; with $T = 1000$ it
# has learnt all levels, and you choose the times afterwards, also uneven ones, and other solvers. For
# DDPM's bound there is a second reason: a Gaussian step back is only right if it is short.
#
# :::
#
# 5. A program's documentation says "guidance scale 7.5, 1 turns it off". Another's: "guidance weight 6.5, 0
#    turns it off". Do they differ? And what would our scale 0 be in each?
#
# :::{admonition} Answer
# :class: dropdown
#
# No: $w = 7.5$ in {eq}`guide-cfg` is
# $\hat\varepsilon(x_t, y) + 6.5\, (\hat\varepsilon(x_t, y) - \hat\varepsilon(x_t))$. "Off" in both means
# the conditional model, without exaggeration. The unconditional model is $0$ in the first and $-1$ in the
# second.
#
# :::
#
# 6. Guidance with $w = 3$ uses $p_t(y \mid x_t)^3$. If you own a classifier, you could train it on noisy
#    images and cube its *clean* probability. What would you have to train to sample from $\pi_3$?
#
# :::{admonition} Answer
# :class: dropdown
#
# By {eq}`guide-jensen` the gradient of $\log \mathbb{E}[p(y \mid x_0)^3 \mid x_t]$: a regression from $x_t$
# to the *number* $p(y \mid x_0)^3$ of a clean classifier, whose logarithm is then differentiated. Its best
# answer is the conditional mean. The power goes inside the expectation, before the noise.
#
# :::
#
# 7. In section 8 let $s_c > s_u$ along some direction (the class is wider there than everything together:
#    possible for a rare class). What does guidance do?
#
# :::{admonition} Answer
# :class: dropdown
#
# {eq}`guide-price` makes the samples *wider* than the class, by the factor $s_c / s_u > 1$ for each unit of
# scale, and $\pi_w$ may not even be a density (its precision turns negative for
# $w > s_c^2 / (s_c^2 - s_u^2)$), while the sampler goes on as if nothing were wrong. Guidance exaggerates
# differences, whatever they are.
#
# :::
#
# **Exercises**: [exercises/08_guidance.ipynb](../exercises/08_guidance.ipynb) asks you for DDIM's step with
# any $\eta$, for guidance without a classifier, and for the way back to the noise; it has you predict what
# few steps lose, mend [a guided sampler](../exercises/08_guidance.ipynb#exercise-8-5), derive what a wrong
# factor does to the samples, and choose twenty steps out of a thousand.
#
# **Next.** DDIM turned out to solve a differential equation, and DDPM to add noise to it. Both are cases of
# one theory, of scores and stochastic differential equations, in which the likelihood comes back as well.
# And the steering of this chapter asked for one of ten labels. Ask for a sentence instead, and you have the
# programs that draw what you write. This course turns to a family that needs no noise at all:
# [autoregressive models](09_autoregressive.ipynb) draw one pixel after the other, with an exact likelihood.
#
# **References.** [Song et al. 2021](https://arxiv.org/abs/2010.02502) for sections 1 to 5,
# [Dhariwal and Nichol 2021](https://arxiv.org/abs/2105.05233) for guidance by a classifier,
# [Ho and Salimans 2022](https://arxiv.org/abs/2207.12598) without one;
# [Bradley and Nakkiran 2024](https://arxiv.org/abs/2408.09000) on what guidance does not sample from. DDPM
# is [Ho et al. 2020](https://arxiv.org/abs/2006.11239). The numbered equations are tested in
# `tests/equations/test_guidance.py`.
