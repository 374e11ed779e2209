# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: diffusion models
#
# Seven tasks to the chapter [Diffusion models](../chapters/07_diffusion.ipynb), 40 points, about four
# hours: three to write, one to derive, a prediction, and two programs that run without complaint and cannot
# learn. Each task has a cell for your answer; run it, then run the cell with `check` below it.
# `hint("jump")` gives the next hint to a task, and costs nothing. You can leave a task out and do the later
# ones. Use plain torch: calling `dgm` is no answer. As in the chapter `alpha_bar` is a table of shape (T +
# 1,) with `alpha_bar[0] = 1`, so that its index is $t$; `t` is an int64 tensor (B,), one step for each row,
# from 1 to T.

# %% tags=["setup"]
import math

import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(1)

# %%
from matplotlib import pyplot as plt

from coursekit import PALETTE, figure, use_style
from coursekit.exercises import check, exercise, hint, progress, when_done

use_style()
exercise("07_diffusion")

# %% [markdown]
# ## 1. One jump to any step (5 points)
#
# 1. `alpha_bars(beta)`: the table, from `beta` of shape (T,), which holds $\beta_1, \dots, \beta_T$.
# 2. `jump(x0, t, eps, alpha_bar)`: the noisy $x_t$, in which row $b$ is at its own step `t[b]`. `x0` and
#    `eps` are points (B, D) or images (B, C, H, W), and so is the result.
# 3. `log_snr(t, alpha_bar)`: the logarithm of the signal-to-noise ratio at each of the steps, (B,), in
#    nats.


# %% tags=["answer-jump"]
def alpha_bars(beta):
    """The table alpha_bar (T + 1,), with 1 for t = 0; beta is (T,)."""
    # BEGIN SOLUTION
    return torch.cat([torch.ones_like(beta[:1]), (1 - beta).cumprod(dim=0)])
    # END SOLUTION


def jump(x0, t, eps, alpha_bar):
    """x_t (B, ...), of the shape of x0 and eps."""
    # BEGIN SOLUTION
    a = alpha_bar[t].reshape(-1, *[1] * (x0.ndim - 1))  # (B, 1, ...)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps
    # END SOLUTION


def log_snr(t, alpha_bar):
    """log of the signal-to-noise ratio (B,) at steps t (B,)."""
    # BEGIN SOLUTION
    a = alpha_bar[t]
    return a.log() - (1 - a).log()
    # END SOLUTION


# %%
check("jump")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Three slips, all of them published, leave a program that runs. *$\alpha_t$ for $\bar\alpha_t$*: the image
# at step 900 is hardly noisier than at step 1, and the network never sees what the sampler starts from.
# *$1 - \bar\alpha_t$ for its root*: the variance in place of the deviation; both are near one for large
# $t$, so the damage is at small $t$, where a tenth of the noise is missing. *A product over the wrong
# index*: an off-by-one that no picture shows. Two tests catch all three: with data of variance one, $x_t$
# must have variance one at every $t$; and $\bar\alpha_0$ must be exactly 1. The rows of a batch are at
# different steps, so the factors need the shape (B, 1, ...): if B happens to equal the last dimension, (B,)
# broadcasts silently along the wrong one.
#
# :::

# %% [markdown]
# ## 2. Four ways to say the same (6 points)
#
# A network may predict the noise $\varepsilon$, the velocity
# $v = \sqrt{\bar\alpha_t}\,\varepsilon - \sqrt{1 - \bar\alpha_t}\, x_0$ or the score
# $\nabla \log p_t(x_t)$. Each can be turned into a prediction of $x_0$, given $x_t$.
#
# 1. `to_x0(kind, value, x_t, a)` turns a prediction of that kind, `"eps"`, `"v"` or `"score"`, into one of
#    the data; `from_x0(kind, x0, x_t, a)` goes back. `a` is $\bar\alpha_t$, of shape (B, 1), everything
#    else is (B, D).
# 2. The data are $\mathcal{N}(m, s^2 I)$. Which prediction of $x_0$ is the best one? Write $p_t$, take its
#    score, and use Tweedie's formula. `best_x0(x_t, a, mean, var)`: `mean` is (D,), `var` is $s^2$, a
#    number, 0 or more.


# %% tags=["answer-convert"]
def to_x0(kind, value, x_t, a):
    """The prediction of x_0 (B, D) that this prediction of "eps", "v" or "score" stands for."""
    # BEGIN SOLUTION
    if kind == "v":
        return a.sqrt() * x_t - (1 - a).sqrt() * value
    if kind == "score":
        return (x_t + (1 - a) * value) / a.sqrt()
    return (x_t - (1 - a).sqrt() * value) / a.sqrt()
    # END SOLUTION


def from_x0(kind, x0, x_t, a):
    """The prediction of "eps", "v" or "score" (B, D) that stands for this prediction of x_0."""
    # BEGIN SOLUTION
    eps = (x_t - a.sqrt() * x0) / (1 - a).sqrt()
    if kind == "v":
        return a.sqrt() * eps - (1 - a).sqrt() * x0
    return -eps / (1 - a).sqrt() if kind == "score" else eps
    # END SOLUTION


def best_x0(x_t, a, mean, var):
    """E[x_0 | x_t] (B, D) for data N(mean, var I)."""
    # BEGIN SOLUTION
    score = -(x_t - a.sqrt() * mean) / (a * var + 1 - a)  # x_t is Gaussian as well
    return (x_t + (1 - a) * score) / a.sqrt()
    # END SOLUTION


# %%
check("convert")

# %% [markdown]
# By how much does an error of 0.1 in the prediction change $\hat x_0$? Which of the three would you want a
# network to predict near pure noise, and which where hardly any noise is left?

# %%
with when_done("convert"):
    a = torch.linspace(0.001, 0.999, 400, dtype=torch.float64)[:, None]
    zero = torch.zeros_like(a)
    fig, ax = plt.subplots(figsize=(6.4, 2.9))
    for kind, style in (("eps", "-"), ("v", "--"), ("score", ":")):
        off = (to_x0(kind, zero + 0.1, zero, a) - to_x0(kind, zero, zero, a)).abs()
        ax.semilogy((a / (1 - a)).log(), off, style, label=kind)
    ax.set(xlabel="log SNR (nats), noise on the left", ylabel="error of the predicted x₀")
    ax.legend()
    figure(
        fig,
        alt="Error of the predicted data caused by an error of 0.1 in the prediction, logarithmic, against "
        "the log-SNR from -7 to 7. For eps and score it falls from about 3 on the left; for v it is level at "
        "0.1 up to zero and falls from there.",
    )

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# $\varepsilon$ and the score differ by the factor $-\sqrt{1 - \bar\alpha_t}$, once more a root that gets
# lost: Tweedie's formula has $1 - \bar\alpha_t$ in front of the score, the noise form its root. Near pure
# noise an error of $\hat\varepsilon$ is multiplied by $1 / \sqrt{\bar\alpha_t}$; the velocity's never is.
#
# $x_t$ is a scaled data point plus noise, so
# $p_t = \mathcal{N}(\sqrt{\bar\alpha_t}\, m,\; (\bar\alpha_t s^2 + 1 - \bar\alpha_t) I)$, and
#
# $$ \mathbb{E}[x_0 \mid x_t] = \frac{\sqrt{\bar\alpha_t}\, s^2\, x_t + (1 - \bar\alpha_t)\, m}{\bar\alpha_t
# s^2 + 1 - \bar\alpha_t}. $$
#
# For $s = 0$ it is $m$ whatever $x_t$ says; for wide data it is $x_t / \sqrt{\bar\alpha_t}$, and the prior
# has nothing to add.
#
# :::

# %% [markdown]
# ## 3. One step back, or a hundred (6 points)
#
# The chapter completes the square for one step, from $t$ to $t - 1$. Do it for any distance: for $s < t$,
#
# $$ q(x_s \mid x_t, x_0) = \mathcal{N}(c_t\, x_t + c_0\, x_0,\; v I). $$
#
# 1. What is $q(x_t \mid x_s)$? Then derive $c_t$, $c_0$ and $v$ as functions of $\bar\alpha_t$ and
#    $\bar\alpha_s$ (`a_t` and `a_s`, each (B,); $s$ may be 0 here).
# 2. A model replaces $x_0$ by $\hat x_0$ and keeps the variance. The KL between the two steps is then
#    $k\, \lVert \varepsilon - \hat\varepsilon \rVert^2$, where $\hat\varepsilon$ is the noise that belongs
#    to $\hat x_0$ at this $x_t$. Derive $k$: it is what the simple loss leaves out. (It can be written with
#    the two SNRs alone.)


# %% tags=["answer-step_back"]
def posterior(a_t, a_s):
    """Factors of x_t and of x_0 in the mean of q(x_s | x_t, x_0), and its variance; each (B,)."""
    # BEGIN SOLUTION
    step = a_t / a_s  # what alpha_t is for one step
    of_x_t = step.sqrt() * (1 - a_s) / (1 - a_t)
    of_x_0 = a_s.sqrt() * (1 - step) / (1 - a_t)
    return of_x_t, of_x_0, (1 - step) * (1 - a_s) / (1 - a_t)
    # END SOLUTION


def eps_weight(a_t, a_s):
    """The weight (B,) of ||eps - eps_hat||^2 in the KL, in nats; s > 0."""
    # BEGIN SOLUTION
    snr_t, snr_s = a_t / (1 - a_t), a_s / (1 - a_s)
    return (snr_s / snr_t - 1) / 2
    # END SOLUTION


# %%
check("step_back")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Only the ratio $\bar\alpha_t / \bar\alpha_s$ is new: from $s$ to $t$ the data shrink by its root, and
# noise of variance $1 - \bar\alpha_t / \bar\alpha_s$ is added. From there the chapter's algebra goes
# through with $\bar\alpha_t / \bar\alpha_s$ in place of $\alpha_t$. In
#
# $$ k = \frac12 \left( \frac{\mathrm{SNR}(s)}{\mathrm{SNR}(t)} - 1 \right) $$
#
# no data and no dimension occurs. For a small step it is half of the drop of the *logarithm* of the SNR. So
# the simple loss, which has weight one everywhere, is the bound itself (up to a factor) for a schedule
# whose log-SNR is a straight line. The cosine schedule's nearly is, but for the two ends. And the weights
# of two steps do not add up to that of the jump over both: the second guess is allowed to be better.
#
# :::

# %% [markdown]
# ## 4. Find the bugs: a loss that stays where it is (7 points)
#
# The function below should return the simple loss, one number for each image, in the order in which the
# network sees them. **Three things are wrong** with it. It trains without an error, and what it learns is
# of no use.
#
# 1. Repair it: $t$ uniform on $1, \dots, T$, with its own $t$ for each row; one call of the network; all
#    randomness from `generator`. (Sorting is no bug in itself. You may keep it or drop it.)
# 2. How low can the loss go? The data are $\mathcal{N}(0, s^2 I)$ in `dims` dimensions, and the network is
#    the best one there could be for its target. Write the mean loss (summed over the dimensions) at a step
#    with $\bar\alpha_t$ = `a` and $\beta_t$ = `beta`, for three targets: `"whole"`, the noise $\varepsilon$
#    in $x_t$, as it should be; `"permuted"`, the noise of another image of the batch; `"last"`, the noise
#    $\varepsilon_t$ that the last step added. `var` is $s^2$; all arguments are numbers, and so is the
#    result.


# %% tags=["answer-loss_of"]
def loss_of(network, x0, alpha_bar, generator):
    """||eps - network(x_t, t)||^2 (B,), summed over the dimensions; x0 is (B, ...)."""
    # BEGIN SOLUTION
    t = torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    a = alpha_bar[t].reshape(-1, *[1] * (x0.ndim - 1)).to(x0.dtype)
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    return (eps - network(x_t, t)).square().flatten(1).sum(dim=1)
    # STUB
    # T = len(alpha_bar) - 1
    # t = torch.randint(0, T, (len(x0),), generator=generator)
    # eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    # t, order = t.sort()  # so that neighbours in the batch are equally noisy
    # a = alpha_bar[t].reshape(-1, *[1] * (x0.ndim - 1)).to(x0.dtype)
    # x_t = a.sqrt() * x0[order] + (1 - a) * eps[order]
    # return (eps - network(x_t, t)).square().flatten(1).sum(dim=1)
    # END SOLUTION


def least_loss(target, a, beta, dims, var):
    """The least mean loss at one step, for the target "whole", "permuted" or "last"."""
    # BEGIN SOLUTION
    if target == "permuted":
        return dims
    in_x_t = 1 - a if target == "whole" else beta  # variance that the target has in x_t
    return dims * (1 - in_x_t / (a * var + 1 - a))
    # END SOLUTION


# %%
check("loss_of")

# %% [markdown]
# Twelve hundred steps of a small network on points $\mathcal{N}(0, I)$ in the plane, for which the best
# loss at step $t$ is $2 \bar\alpha_t$. Run this with the given code, too.

# %%
T = 50
schedule = torch.cat([torch.ones(1), torch.linspace(3, -5, T).sigmoid()])  # alpha_bar; log-SNR a line


def trained(steps=1200):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))

    def network(x, t):
        u = t[:, None] / T
        return net(torch.cat([x, u, (3 * u).sin(), (3 * u).cos()], dim=1))

    optimiser = torch.optim.Adam(net.parameters(), lr=4e-3)
    g = torch.Generator().manual_seed(1)
    for _ in range(steps):
        loss = loss_of(network, torch.randn(128, 2, generator=g), schedule, g).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


# %%
network = trained()
levels = [1, 5, 10, 20, 30, 40, 50]
found = []
with torch.no_grad():
    for t in levels:
        a = schedule[t]
        x0, eps = torch.randn(2, 20_000, 2, generator=torch.Generator().manual_seed(2))
        guess = network(a.sqrt() * x0 + (1 - a).sqrt() * eps, torch.full((20_000,), t))
        found.append((eps - guess).square().sum(1).mean().item())
print("step       " + " ".join(f"{t:5d}" for t in levels))
print("loss       " + " ".join(f"{value:5.2f}" for value in found))
print("best loss  " + " ".join(f"{2 * schedule[t].item():5.2f}" for t in levels))

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# *`randint(0, T)`* draws $0, \dots, T - 1$: the sampler's first question, about $x_T$, is one that the
# network was never asked. *$1 - \bar\alpha_t$ for its root* makes inputs with less noise than the
# sampler's. And after the sort `eps` is still in the old order: **row for row it is the noise of another
# image**, of which $x_t$ knows nothing. The best answer is then the mean, 0, and the loss stays at $D$ per
# image, where every diffusion loss starts. A network that returns 0 has this loss too. If a loss will not
# leave $D$, look for noise that has been drawn twice or shuffled once.
#
# In general $x_t$ and the target are jointly Gaussian, and the best prediction leaves
# $1 - \mathrm{Cov}^2 / \mathrm{Var}(x_t)$ of each dimension's unit variance, with
# $\mathrm{Var}(x_t) = \bar\alpha_t s^2 + 1 - \bar\alpha_t$. The whole noise has the covariance
# $\sqrt{1 - \bar\alpha_t}$ with $x_t$, the last step's only $\sqrt{\beta_t}$: of "the noise that was added
# at step $t$" a network can hardly see anything, and its loss stays near $D$ although nothing is permuted.
#
# A test that finds all of this without training: give it one data point $c$ for all rows and the network
# that knows it, $(x_t - \sqrt{\bar\alpha_t}\, c) / \sqrt{1 - \bar\alpha_t}$. The loss must be 0.
#
# :::

# %% [markdown]
# ## 5. The sampler, with any variance (6 points)
#
# Write ancestral sampling for a network that predicts the noise: from `x`, which is $x_T$, to $x_0$.
# `network(x_t, t)` takes points (B, D) and steps (B,). The variance of each step is between the two choices
# of the chapter, as a network with a learned variance would choose it, here with the same $\nu$ for all:
#
# $$ \log \sigma_t^2 = \nu \log \beta_t + (1 - \nu) \log \tilde\beta_t. $$
#
# Draw the noise with `torch.randn` from `generator`, of the shape and dtype of `x`, and ask the network
# once at each step.


# %% tags=["answer-ancestral"]
def ancestral(network, x, alpha_bar, nu, generator):
    """x_0 (B, D) from x = x_T (B, D); nu = 0 is the small variance, nu = 1 the large one."""
    # BEGIN SOLUTION
    for t in range(len(alpha_bar) - 1, 0, -1):
        a, a_before = alpha_bar[t], alpha_bar[t - 1]
        alpha, beta = a / a_before, 1 - a / a_before
        eps_hat = network(x, torch.full((len(x),), t))
        x = (x - beta / (1 - a).sqrt() * eps_hat) / alpha.sqrt()
        if t > 1:
            small = beta * (1 - a_before) / (1 - a)
            log_var = nu * beta.log() + (1 - nu) * small.log()
            x = x + (log_var / 2).exp() * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return x
    # END SOLUTION


# %%
check("ancestral")

# %% [markdown]
# Your sampler with the exact network for data $\mathcal{N}(0, s^2)$ and thirty steps: which variance gives
# the right spread, for which data?

# %%
with when_done("ancestral"):
    table = torch.cat([torch.ones(1), torch.linspace(8, -8, 30).sigmoid()])
    print("spread of the samples over that of the data")
    for s in (0.05, 0.3, 1.0):

        def exact(x, t, s=s):
            a = table[t][:, None]
            return (1 - a).sqrt() / (a * s**2 + 1 - a) * x

        x_T = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(3))
        row = [
            ancestral(exact, x_T, table, nu, torch.Generator().manual_seed(4)).std().item() / s
            for nu in (0.0, 0.5, 1.0)
        ]
        print(f"data N(0, {s}²): " + "   ".join(f"nu = {i / 2}: {r:.3f}" for i, r in enumerate(row)))

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# In the noise form $x_0$ does not occur: the mean is
# $\big(x_t - \beta_t\, \hat\varepsilon / \sqrt{1 - \bar\alpha_t}\big) / \sqrt{\alpha_t}$, with *one-step*
# letters for the shrinking and *all-steps* letters for the noise in $x_t$; every mixture of the two has
# been published. At $t = 1$ the small variance is 0 and its logarithm $-\infty$, a second reason to leave
# the last noise out. Noise at the last step costs little to the eye: it is $\sqrt{\beta_1}$, grain. It
# shows in every measurement, since no data have it.
#
# For $s = 1$ the large variance is exact at every step, as the chapter derived; for narrower data it leaves
# the samples too wide. The small one is exact for a point only, and leaves them too narrow everywhere here.
# The truth lies between, and half way is a fair guess. Thirty steps are few: put a thousand into the cell
# above, and the three agree.
#
# :::

# %% [markdown]
# ## 6. Predict, then run: where the work is (5 points)
#
# $T = 1000$. First two schedules: the linear one, $\beta_t$ rising evenly from $10^{-4}$ to $0.02$, and the
# cosine one of the chapter ($s = 0.008$).
#
# - `half_linear`, `half_cosine`: the step at which $x_t$ is half signal and half noise,
# $\mathrm{SNR}(t) = 1$, within 10 steps.
#
# Then a schedule whose log-SNR falls evenly from $10$ at $t = 1$ to $-10$ at $t = 1000$, data
# $\mathcal{N}(0, 1)$ on the line, and the best network.
#
# - `total`: the sum of all $\mathrm{KL}$ terms $L_{t-1}$ of the bound ($t = 2, \dots, T$), in nats, within
# 0.1;
# - `early`: the share of it that is paid while there is more signal than noise, within 0.02.
#
# Commit yourself before you run the cell with the sums.

# %% tags=["answer-who_pays"]
# BEGIN SOLUTION
prediction = {
    "half_linear": 260,  # log 2 = sum of beta = 1e-4 t + 1e-5 t^2
    "half_cosine": 496,  # t / T + s = (1 + s) / 2
    "total": 5.05,  # half of log((1 + SNR(1)) / (1 + SNR(T))), a little more for steps that are not small
    "early": 0.93,  # (5 - log(2) / 2) / 5
}
# STUB
# prediction = {
#     "half_linear": None,
#     "half_cosine": None,
#     "total": None,
#     "early": None,
# }
# END SOLUTION

# %%
check("who_pays")

# %%
log_snr_even = torch.linspace(10, -10, 1000, dtype=torch.float64)
snr = log_snr_even.exp()
error = 1 / (1 + snr)  # E (x_0 - E[x_0 | x_t])^2 for data of variance one
kl = (snr[:-1] - snr[1:]) / 2 * error[1:]  # L_{t-1}, t = 2, ..., T
linear = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)
u = torch.arange(1, 1001, dtype=torch.float64) / 1000
cosine = ((u + 0.008) / 1.008 * math.pi / 2).cos().square() / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
print(f"half of it is lost at step {(linear > 0.5).sum() + 1} (linear), {(cosine > 0.5).sum() + 1} (cosine)")
print(f"sum of the KLs {kl.sum():.3f} nats, {kl[log_snr_even[1:] > 0].sum() / kl.sum():.3f} of it early")
simple = 1 - error[1:]  # least E (eps - eps_hat)^2
print(f"the same share of the simple loss: {simple[log_snr_even[1:] > 0].sum() / simple.sum():.3f}")

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.8))
for name, table, colour in (("linear", linear, "blue"), ("cosine", cosine, "orange")):
    left.plot(u * 1000, (table / (1 - table)).log(), color=PALETTE[colour], label=name)
left.plot(u * 1000, log_snr_even, "--", color="0.4", label="even")
left.set(xlabel="step t", ylabel="log SNR (nats)", ylim=(-12, 10))
left.legend()
right.plot(u[1:] * 1000, kl, color=PALETTE["vermilion"])
right.set(xlabel="step t, even schedule", ylabel="KL of the step (nats)", ylim=(0, None))
figure(
    fig,
    alt="Left: log-SNR against t for three schedules. The linear one falls fast and crosses zero first, the "
    "cosine one and the even one near the middle. Right: KL of each step under the even schedule, level at "
    "first, then falling to zero around the middle, like a logistic curve.",
)

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# *Half.* $\log \bar\alpha_t \approx -\sum \beta = -(10^{-4}\, t + 0.995 \cdot 10^{-5}\, t^2)$; this is
# $-\log 2$ at $t \approx 259$. A linear schedule spends three quarters of its steps where there is more
# noise than signal. The cosine of 45° is the middle, but for $s$.
#
# *Who pays.* The best network's squared error is the posterior variance, $1 / (1 + \mathrm{SNR})$. With $u$
# for the SNR the sum of $\tfrac12 \Delta u / (1 + u)$ is nearly the integral
#
# $$ \frac12 \int_{e^{-10}}^{e^{10}} \frac{du}{1 + u} = \frac12 \log \frac{1 + e^{10}}{1 + e^{-10}} = 5, $$
#
# and one per cent more, since each step is paid at the error of its noisier end. Above $u = 1$ lie
# $5 - \tfrac12 \log 2$ of the five nats. Every further factor of $e^2$ in the first SNR costs one nat more,
# without end: the density of a point is described to ever more digits. Under this schedule the simple loss
# has the same shares as the bound, since the weight that it drops is constant (task 3).
#
# :::

# %% [markdown]
# ## 7. Find the bugs: a U-Net that never comes up (5 points)
#
# The network below is a small U-Net. It should work like this: a convolution and the time at full
# resolution (the skip connection starts here); half the resolution, and a convolution at the bottom; back
# to the full resolution by repeating each pixel (`F.interpolate` does this); there the two are joined,
# first the channels that come up, then those of the skip, and a last convolution makes the output. **Two
# things are wrong** in `forward`: no noise that differs from pixel to pixel can ever be predicted, and
# while it trains, most images are told a wrong time. In a sampler nobody would notice the second.
#
# 1. Repair `forward`; leave `__init__` as it is. Height and width may be any numbers from 2 on, odd ones
#    too.
# 2. Write the time embedding. With $J$ = `width` / 2 frequencies $\omega_j = 10000^{-j/J}$,
#    $j = 0, \dots, J - 1$, row $b$ holds the sines $\sin \omega_0 t_b, \dots, \sin \omega_{J-1} t_b$, then
#    the cosines $\cos \omega_0 t_b, \dots, \cos \omega_{J-1} t_b$. (`width` is even. `t` may be int64 or
#    real; return the default dtype.)


# %% tags=["answer-unet"]
def embed(t, width):
    """Sines and cosines (B, width) of the steps t (B,)."""
    # BEGIN SOLUTION
    half = width // 2
    frequency = torch.exp(-math.log(10_000) * torch.arange(half) / half)
    angle = t[:, None] * frequency  # (B, half)
    return torch.cat([angle.sin(), angle.cos()], dim=1)
    # END SOLUTION


class SmallUNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.time = nn.Linear(16, width)
        self.bottom = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.last = nn.Conv2d(3 * width, 1, 3, padding=1)

    def forward(self, x, t):
        """The predicted noise (B, 1, H, W) for x (B, 1, H, W) and t (B,)."""
        # BEGIN SOLUTION
        time = self.time(embed(t, 16).to(x.dtype))
        skip = F.silu(self.first(x) + time[:, :, None, None])
        low = F.silu(self.bottom(F.avg_pool2d(skip, 2)))
        up = F.interpolate(low, size=x.shape[2:])  # back to the full resolution
        return self.last(torch.cat([up, skip], dim=1))
        # STUB
        # time = self.time(embed(t[:1], 16).to(x.dtype))
        # skip = F.silu(self.first(x) + time[:, :, None, None])
        # low = F.silu(self.bottom(F.avg_pool2d(skip, 2)))
        # both = torch.cat([low, F.avg_pool2d(skip, 2)], dim=1)  # the skip has to fit
        # return F.interpolate(self.last(both), size=x.shape[2:])
        # END SOLUTION


# %%
check("unet")

# %% [markdown]
# Two hundred steps of each on the digits: your U-Net, and one that goes down and up without a skip. The
# loss is that of the noise, per pixel; a network that returns 0 has 1.

# %%
from dgm.data import load_digits, to_pm1

with when_done("unet"):
    digits = to_pm1(load_digits("train").x, 17)

    def noise_loss(net, x, g):
        t = torch.randint(1, 51, (len(x),), generator=g)
        a, eps = schedule[t].reshape(-1, 1, 1, 1), torch.randn(x.shape, generator=g)
        return (eps - net(a.sqrt() * x + (1 - a).sqrt() * eps, t)).square().mean()

    for name in ("as it is", "skip cut"):
        torch.manual_seed(0)
        net, g = SmallUNet(), torch.Generator().manual_seed(1)
        if name == "skip cut":
            net.last.weight.data[:, 16:] = 0
            net.last.weight.register_hook(lambda grad: grad * (torch.arange(24) < 16)[None, :, None, None])
        optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(200):
            batch = digits[torch.randint(len(digits), (64,), generator=g)]
            loss = noise_loss(net, batch, g)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            print(f"{name}: {noise_loss(net, digits, torch.Generator().manual_seed(2)):.3f}")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# The given network makes its output at half the resolution and blows it up at the end: it is constant on
# blocks of 2 x 2 pixels. Noise is independent from pixel to pixel, so at best its mean over a block can be
# predicted, a quarter of its variance. The skip did not fit, and somebody has made it fit by shrinking it:
# no shape is wrong, no error is raised. What a U-Net is for, the fine features handed across, had been cut.
#
# `t[:1]` tells all images the first one's time, by broadcasting. A sampler asks about the same $t$ for all
# rows, and there it makes no difference: a network that was trained like this has never learnt to use $t$.
# A test for both: change a single pixel, and the output must change within its block of four; change $t$ of
# one row, and the other rows must stay.
#
# :::

# %% [markdown]
# ## How far you are

# %%
progress()
