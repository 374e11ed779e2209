# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Diffusion models
#
# **The question.** To destroy a picture is easy: add a little noise, and again, and again. After enough
# steps nothing of the picture is left, and what is there could have come from any other. Each single step
# does next to nothing: nobody could tell the image before it from the image after it. If one step is so
# small, can it be *undone*? And if each can, can all of them, from pure noise back to a picture that never
# was?
#
# **You will be able to** jump to any step of the destruction in one line; say exactly where a noisy image
# came from, for one who knows the original; derive the bound on the likelihood and turn each of its terms
# into a squared error, in four forms; say what the famous simple loss leaves out, and what the best network
# answers; train a U-Net on the digits, sample from it, and read its bound in bits per dimension, term by
# term.
#
# **You need** the chapters [Start here](00_start.ipynb) and [Variational autoencoders](02_vae.ipynb) (the
# bound, the Gaussian KL divergence). **It takes** three hours to read with pencil and paper, and about a
# minute to run on a laptop.

# %%
import math

import torch
from matplotlib import pyplot as plt

from coursekit import PALETTE, budget, figure, frames, image_grid, show, use_style
from dgm.data import Batches, load_digits, to_pm1
from dgm.data.toy2d import GaussianMixture

# %%
from dgm.diffusion import (
    ExactMixture,
    MLPNetwork,
    VarianceDenoiser,
    ancestral,
    clipped,
    cosine_schedule,
    draw_steps,
    hybrid_loss,
    initial_noise,
    linear_schedule,
    make_denoiser,
    posterior,
    q_sample,
    sample,
    simple_loss,
    variational_bound,
    variational_weight,
)
from dgm.metrics import digits_features, frechet_distance
from dgm.nn import EMA, UNet, seeded
from dgm.tensor import bits_per_dim
from dgm.train import fit

# %%
use_style()
torch.set_num_threads(1)  # networks this small gain nothing from a second thread
g = torch.Generator().manual_seed(0)
digits = {split: load_digits(split) for split in ("train", "valid", "test")}
x_train = to_pm1(digits["train"].x, 17)  # (1000, 1, 8, 8), values in [-1, 1]

# %%
T = 200  # papers take 1000; a shorter chain keeps this chapter short, and no formula below cares
cosine = cosine_schedule(T)
shown = [0, 10, 25, 50, 75, 100, 125, 150, 175, 200]
noise = torch.randn(4, 1, 8, 8, generator=g)
rows = [q_sample(x_train[:4], torch.full((4,), t), noise, cosine) for t in shown]
fig = image_grid(
    torch.stack(rows, 1).flatten(0, 1).clamp(-1.5, 1.5),
    columns=len(shown),
    value_range=(-1.5, 1.5),
    column_labels=["t = 0", *map(str, shown[1:])],
)
figure(
    fig,
    alt="Four digits, each drowned in noise from left to right over 200 steps. Up to step 50 the digit is "
    "easy to read, near step 100 only its rough shape is left, from step 175 on it is noise.",
    caption="Four digits drown in noise, step by step. Between two columns lie up to 25 steps; a single "
    "one you could not see.",
)

# %% [markdown]
# **Where to look.** Between two neighbouring columns lie up to 25 steps; a single one you couldn't see.
# Around the middle you would still bet on the digit, and lose sometimes. To undo a step there means to have
# an opinion about digits. That opinion is what we are going to learn.
#
# ## 1 Derive: a thousand small steps, and one jump
#
# *Assume* data $x_0 \in \mathbb{R}^D$, scaled so that its coordinates have a variance of about one. The
# **forward process** takes $T$ steps, each of which shrinks what is there a little and adds a little noise:
#
# $$ q(x_t \mid x_{t-1}) = \mathcal{N}\big(\sqrt{1 - \beta_t}\; x_{t-1},\; \beta_t I\big), \qquad x_t =
# \sqrt{1 - \beta_t}\; x_{t-1} + \sqrt{\beta_t}\; \varepsilon_t, \quad \varepsilon_t \sim \mathcal{N}(0, I),
# $$ (diff-step)
#
# with small numbers $0 < \beta_t < 1$ that we choose. Why shrink? A coordinate of variance one keeps it:
# $(1 - \beta_t) \cdot 1 + \beta_t = 1$. Without the shrinking the variance would grow from step to step,
# and a network would have to cope with inputs of every size.
#
# Nothing here is learnt. And nothing has to be simulated step by step. Write $\alpha_t = 1 - \beta_t$ and
# $\bar\alpha_t = \alpha_1 \alpha_2 \cdots \alpha_t$. Then
#
# $$ q(x_t \mid x_0) = \mathcal{N}\big(\sqrt{\bar\alpha_t}\; x_0,\; (1 - \bar\alpha_t) I\big), \qquad x_t =
# \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \varepsilon. $$ (diff-marginal)
#
# By induction. For $t = 1$ this is {eq}`diff-step`. If it holds for $t - 1$, put it into {eq}`diff-step`:
#
# $$ x_t = \sqrt{\alpha_t \bar\alpha_{t-1}}\; x_0 + \underbrace{\sqrt{\alpha_t (1 - \bar\alpha_{t-1})}\;
# \varepsilon' + \sqrt{1 - \alpha_t}\; \varepsilon_t}_{\text{two independent Gaussians}}. $$
#
# The factor of $x_0$ is $\sqrt{\bar\alpha_t}$. The two Gaussians add up to one whose variance is the sum,
# $\alpha_t - \alpha_t \bar\alpha_{t-1} + 1 - \alpha_t = 1 - \bar\alpha_t$. That is the claim.
#
# **What it means.** For training we draw a random $t$ and jump there. The noise $\varepsilon$ in
# {eq}`diff-marginal` is *the whole noise between $x_0$ and $x_t$*, not the noise $\varepsilon_t$ that the
# last step added. The two are often confused; the network below is asked for the former.
#
# Two letters that look alike cause most bugs in this field: $\alpha_t$ belongs to one step, $\bar\alpha_t$
# to all steps so far. The library calls them `alpha_step` and `alpha_bar`, and its tables start with an
# entry for $t = 0$, so that an index is the paper's $t$.

# %%
x, t_end = torch.full((20_000,), 0.7), 150
for t in range(1, t_end + 1):  # the chain, step by step
    beta = cosine.beta[t].float()
    x = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn(20_000, generator=g)
a_bar = cosine.alpha_bar[t_end].float()
print(f"simulated: mean {x.mean():.4f}, variance {x.var():.4f}")
print(f"formula:   mean {a_bar.sqrt() * 0.7:.4f}, variance {1 - a_bar:.4f}")
error = ((1 - a_bar) / 20_000).sqrt()  # standard error of the mean; that of the variance is sqrt(2) times it
assert abs(x.mean() - a_bar.sqrt() * 0.7) < 4 * error
assert abs(x.var() - (1 - a_bar)) < 4 * math.sqrt(2) * error

# %% [markdown]
# ## 2 How much is left
#
# What a noisy image still tells about the original is set by one number, the **signal-to-noise ratio**: the
# square of the data's factor over the variance of the noise,
#
# $$ \mathrm{SNR}(t) = \frac{\bar\alpha_t}{1 - \bar\alpha_t}, $$ (diff-snr)
#
# which falls from infinity at $t = 0$ towards zero. A **schedule** is a choice of the $\beta_t$; all it
# does is to say how fast the SNR falls. The first one in use grows evenly
# ([Ho et al. 2020](https://arxiv.org/abs/2006.11239)):
#
# $$ \beta_t = \beta_1 + \frac{t - 1}{T - 1} (\beta_T - \beta_1), \qquad \beta_1 = 10^{-4},\; \beta_T = 0.02
# \text{ for } T = 1000. $$ (diff-linear)
#
# The two numbers belong to $T = 1000$. With $T = 200$ steps each must do the work of five, so we multiply
# both by five. The second fixes $\bar\alpha_t$ itself, as a squared cosine
# ([Nichol and Dhariwal 2021](https://arxiv.org/abs/2102.09672)):
#
# $$ \bar\alpha_t = \frac{f(t)}{f(0)}, \qquad f(t) = \cos^2\!\Big(\frac{t/T + s}{1 + s} \cdot
# \frac{\pi}{2}\Big), \qquad s = 0.008, $$ (diff-cosine)
#
# and $\beta_t = 1 - \bar\alpha_t / \bar\alpha_{t-1}$, clipped at $0.999$ since $f(T) = 0$ would make the
# last one $1$. Move the slider.

# %%
linear = linear_schedule(T, 1e-4 * 1000 / T, 0.02 * 1000 / T)
steps = torch.arange(1, T + 1)


def draw_time(t):
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.7), width_ratios=[1.2, 1])
    x_t = torch.cat([q_sample(x_train[:4], torch.full((4,), t), noise, s) for s in (linear, cosine)])
    image_grid(
        x_t.clamp(-1.5, 1.5), columns=4, ax=left, value_range=(-1.5, 1.5), row_labels=["linear", "cosine"]
    )
    left.set_title(f"t = {t} of {T}")
    for name, schedule, colour in (("linear", linear, "blue"), ("cosine", cosine, "orange")):
        right.plot(steps, schedule.log_snr(steps), color=PALETTE[colour], label=name)
        right.plot(t, schedule.log_snr(torch.tensor([t])), "o", color=PALETTE[colour])
    right.set(xlabel="step t", ylabel="log SNR, nats", ylim=(-12, 10))
    right.legend()
    return fig


# %%
frames(
    draw_time,
    [1, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200],
    label="step t",
    alt=lambda t: (
        f"Step {t} of 200: four digits under the linear schedule above and the cosine schedule below, "
        f"with log signal-to-noise ratios of {linear.log_snr(torch.tensor([t])).item():.1f} and "
        f"{cosine.log_snr(torch.tensor([t])).item():.1f}; beside them both curves over t."
    ),
    caption="The same digits under two schedules. Halfway, the cosine (orange) has as much signal as noise "
    "left; the linear schedule has already spent most of its signal.",
    start=100,
)
half, two_thirds = torch.tensor([T // 2]), torch.tensor([2 * T // 3])
assert abs(cosine.log_snr(half)) < 0.1  # as much signal as noise
assert linear.log_snr(half) < -2
assert linear.log_snr(two_thirds) < -4 < cosine.log_snr(two_thirds)  # e^4 is about fifty

# %% [markdown]
# **Where to look.** At $t = 100$ the cosine schedule has as much signal as noise, the linear one far less.
# In its last third the linear one has more than fifty times as much noise as signal: steps in which there
# is little left to learn. Its log-SNR falls fast early and then keeps falling; the cosine's is close to a
# straight line for most of the way.
#
# ## 3 Derive: one step back, for one who knows the data
#
# We want $q(x_{t-1} \mid x_t)$, the step back. By Bayes' rule it needs $q(x_{t-1})$, the density of noisy
# images, which nobody has. But suppose somebody tells us $x_0$. Then everything is Gaussian:
#
# $$ q(x_{t-1} \mid x_t, x_0) \propto q(x_t \mid x_{t-1})\; q(x_{t-1} \mid x_0), $$
#
# where the first factor does not depend on $x_0$ once $x_{t-1}$ is given. Take the logarithm, insert
# {eq}`diff-step` and {eq}`diff-marginal`, and look at it as a function of $x = x_{t-1}$, in any one
# coordinate:
#
# $$ -\frac12 \left[ \frac{(x_t - \sqrt{\alpha_t}\, x)^2}{\beta_t} + \frac{(x - \sqrt{\bar\alpha_{t-1}}\,
# x_0)^2}{1 - \bar\alpha_{t-1}} \right] + \text{const}. $$
#
# A quadratic in $x$, so the result is Gaussian. Complete the square. The coefficient of $-\tfrac12 x^2$ is
# the inverse of the variance,
#
# $$ \frac{\alpha_t}{\beta_t} + \frac{1}{1 - \bar\alpha_{t-1}} = \frac{\alpha_t - \bar\alpha_t +
# \beta_t}{\beta_t (1 - \bar\alpha_{t-1})} = \frac{1 - \bar\alpha_t}{\beta_t (1 - \bar\alpha_{t-1})}, $$
#
# since $\alpha_t + \beta_t = 1$. Hence the variance, which is written $\tilde\beta_t$,
#
# $$ \tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}\; \beta_t, $$ (diff-posterior-var)
#
# and the mean is $\tilde\beta_t$ times the coefficient of $x$, which is
# $\sqrt{\alpha_t}\, x_t / \beta_t + \sqrt{\bar\alpha_{t-1}}\, x_0 / (1 - \bar\alpha_{t-1})$:
#
# $$ q(x_{t-1} \mid x_t, x_0) = \mathcal{N}(\tilde\mu_t, \tilde\beta_t I), \qquad \tilde\mu_t(x_t, x_0) =
# \frac{\sqrt{\alpha_t}\, (1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}\; x_t + \frac{\sqrt{\bar\alpha_{t-1}}\;
# \beta_t}{1 - \bar\alpha_t}\; x_0. $$ (diff-posterior)
#
# **What it means.** The step back goes to a weighted mean of where we are and where we came from. At
# $t = 1$, $\bar\alpha_0 = 1$: the weights are $0$ and $1$, the variance is $0$, and we land on $x_0$.
# Everything that stays unknown is $x_0$ itself. So let a network guess it.

# %%
x_t, x0, t = torch.tensor([[0.4]]), torch.tensor([[-0.8]]), torch.tensor([60])
grid = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
a_step, a_before = cosine.alpha_step[60], cosine.alpha_bar[59]
log_q = -((0.4 - a_step.sqrt() * grid) ** 2) / (2 * (1 - a_step))  # log q(x_t | x), up to a constant
log_q = log_q - (grid + a_before.sqrt() * 0.8) ** 2 / (2 * (1 - a_before))  # + log q(x | x_0)
weight = log_q.softmax(0)
mean = (weight * grid).sum()
variance = (weight * (grid - mean) ** 2).sum()
posterior_mean, posterior_var = posterior(x_t, t, x0, cosine)
print(f"by Bayes' rule on a grid: mean {mean:.6f}, variance {variance:.6f}")
print(f"by the formula:           mean {posterior_mean.item():.6f}, variance {posterior_var.item():.6f}")
assert abs(mean - posterior_mean.item()) < 1e-5  # float32 carries seven digits
assert abs(variance - posterior_var.item()) < 1e-6

# %% [markdown]
# ## 4 Derive: the bound
#
# The model runs backwards. It starts from $p(x_T) = \mathcal{N}(0, I)$ and takes steps
# $p_\theta(x_{t-1} \mid x_t)$, Gaussians whose mean a network computes. The images $x_1, \dots, x_T$ on the
# way are latent variables, as many numbers as $T$ images hold, and the forward process is the encoder:
# $q(x_{1:T} \mid x_0)$, fixed, without a parameter. So the bound of the [VAE](02_vae.ipynb#vae-elbo-jensen)
# applies as it stands:
#
# $$ -\log p_\theta(x_0) \le \mathbb{E}_q\left[ \log \frac{q(x_{1:T} \mid x_0)}{p_\theta(x_{0:T})} \right] =
# \mathbb{E}_q\left[ -\log p(x_T) + \sum_{t=1}^{T} \log \frac{q(x_t \mid x_{t-1})}{p_\theta(x_{t-1} \mid
# x_t)} \right]. $$
#
# In this form the fractions compare a step forward with a step backward, and an estimate of it is noisy.
# The trick is to turn the steps of $q$ around. For $t \ge 2$, since
# $q(x_t \mid x_{t-1}) = q(x_t \mid x_{t-1}, x_0)$, Bayes' rule says
#
# $$ q(x_t \mid x_{t-1}) = q(x_{t-1} \mid x_t, x_0)\; \frac{q(x_t \mid x_0)}{q(x_{t-1} \mid x_0)}. $$
#
# In the sum of logarithms the last fractions telescope: from $t = 2$ to $T$ they leave
# $\log q(x_T \mid x_0) - \log q(x_1 \mid x_0)$, and the second of these cancels against the numerator of
# the term $t = 1$. What remains, with an expectation over $x_t$ in every term:
#
# $$ \begin{aligned} -\log p_\theta(x_0) \le{}& \underbrace{\mathrm{KL}\big(q(x_T \mid x_0) \,\|\,
# p(x_T)\big)}_{L_T} + \sum_{t=2}^{T} \underbrace{\mathbb{E}\, \mathrm{KL}\big(q(x_{t-1} \mid x_t, x_0)
# \,\|\, p_\theta(x_{t-1} \mid x_t)\big)}_{L_{t-1}} \\ &\underbrace{{}- \mathbb{E} \log p_\theta(x_0 \mid
# x_1)}_{L_0}. \end{aligned} $$ (diff-bound)
#
# **What it means.** $L_T$ asks whether the destruction was complete; it has no parameters. Each $L_{t-1}$
# compares the network's step back with the step of one who knows the data: two Gaussians, a closed form.
# $L_0$ is the last step, onto the grey levels. And a sum over $t$ can be estimated from one random $t$: a
# training step never runs the chain.
#
# ## 5 Derive: four ways to write one squared error
#
# Give the model's step the variance $\sigma_t^2 I$ (section 8 chooses it) and the mean
# $\mu_\theta(x_t, t)$. The KL divergence between two Gaussians with multiples of $I$ as covariances is,
# from the [VAE's formula](02_vae.ipynb#vae-gaussian-kl),
#
# $$ L_{t-1} = \frac{1}{2\sigma_t^2}\, \mathbb{E} \lVert \tilde\mu_t - \mu_\theta \rVert^2 + \frac{D}{2}
# \Big( \frac{\tilde\beta_t}{\sigma_t^2} - 1 - \log \frac{\tilde\beta_t}{\sigma_t^2} \Big), $$ (diff-kl-mean)
#
# where the second term has nothing to learn and vanishes for $\sigma_t^2 = \tilde\beta_t$. Now let the
# network guess the data: $\mu_\theta = \tilde\mu_t(x_t, \hat x_0)$. By {eq}`diff-posterior` the parts with
# $x_t$ cancel in the difference, and with $\sigma_t^2 = \tilde\beta_t$
#
# $$ L_{t-1} = \frac{\bar\alpha_{t-1} \beta_t^2}{2 \tilde\beta_t (1 - \bar\alpha_t)^2}\, \mathbb{E} \lVert
# x_0 - \hat x_0 \rVert^2 = \frac12 \big( \mathrm{SNR}(t - 1) - \mathrm{SNR}(t) \big)\, \mathbb{E} \lVert
# x_0 - \hat x_0 \rVert^2. $$ (diff-kl-x0)
#
# (The second form: insert {eq}`diff-posterior-var`, which leaves
# $\tfrac12 \bar\alpha_{t-1} \beta_t / ((1 - \bar\alpha_{t-1})(1 - \bar\alpha_t))$; the difference of the
# two SNRs is $(\bar\alpha_{t-1} - \bar\alpha_t)$ over the same product, and
# $\bar\alpha_{t-1} - \bar\alpha_t = \bar\alpha_{t-1} \beta_t$.) A step is worth as much as it lowers the
# SNR.
#
# At a given $x_t$, guessing the data is guessing the noise: by {eq}`diff-marginal`
# $x_0 = (x_t - \sqrt{1 - \bar\alpha_t}\, \varepsilon) / \sqrt{\bar\alpha_t}$, so an error of
# $\hat\varepsilon$ is one of $\hat x_0$ times $\sqrt{(1 - \bar\alpha_t) / \bar\alpha_t}$. With
# $\bar\alpha_t = \alpha_t \bar\alpha_{t-1}$
#
# $$ L_{t-1} = \frac{\beta_t^2}{2 \sigma_t^2\, \alpha_t (1 - \bar\alpha_t)}\; \mathbb{E} \lVert \varepsilon
# - \hat\varepsilon \rVert^2, \qquad \sigma_t^2 = \tilde\beta_t. $$ (diff-kl-eps)
#
# For another $\sigma_t^2$ the weight is right as it stands, and the constant of {eq}`diff-kl-mean` comes on
# top.
#
# A third choice is the **velocity** $v = \sqrt{\bar\alpha_t}\, \varepsilon - \sqrt{1 - \bar\alpha_t}\, x_0$
# ([Salimans and Ho 2022](https://arxiv.org/abs/2202.00512)). With $x_t$ it is a rotation of the pair
# $(x_0, \varepsilon)$, so it can be turned back:
# $x_0 = \sqrt{\bar\alpha_t}\, x_t - \sqrt{1 - \bar\alpha_t}\, v$, and
#
# $$ L_{t-1} = \frac12 \big( \mathrm{SNR}(t - 1) - \mathrm{SNR}(t) \big) (1 - \bar\alpha_t)\; \mathbb{E}
# \lVert v - \hat v \rVert^2. $$ (diff-kl-v)
#
# **What it means.** Mean, data, noise, velocity: one network can be read as any of the four, and the bound
# is a squared error in each, with another weight. They differ in what the network's output layer has to
# produce. Where there is much noise, $\hat x_0$ by way of $\hat\varepsilon$ multiplies an error by
# $1 / \sqrt{\bar\alpha_t}$; where there is little, a network that predicts $x_0$ must copy its input to
# many digits. The velocity is tame at both ends.
#
# ## 6 Derive: the simple loss, and what it drops
#
# [Ho et al. 2020](https://arxiv.org/abs/2006.11239) trained with the form in $\varepsilon$ and left its
# weight out:
#
# $$ L_{\text{simple}} = \mathbb{E}_{t, x_0, \varepsilon} \big\lVert \varepsilon -
# \hat\varepsilon\big(\sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\; \varepsilon,\; t\big)
# \big\rVert^2, \qquad t \text{ uniform on } 1, \dots, T. $$ (diff-simple)
#
# To drop a weight is to choose another. What does this one care for?

# %%
t_all = torch.arange(2, T + 1)
fig, ax = plt.subplots(figsize=(6.4, 2.9))
dropped = {}
for name, schedule, colour in (("linear", linear, "blue"), ("cosine", cosine, "orange")):
    dropped[name] = variational_weight(t_all, schedule, "eps")
    ax.semilogy(t_all, dropped[name], color=PALETTE[colour], label=f"weight in the bound, {name}")
ax.axhline(1.0, color="0.4", ls="--", label="weight in the simple loss")
ax.set(xlabel="step t", ylabel="weight of ‖ε - ε̂‖²")
ax.legend()
figure(
    fig,
    alt="The bound's weight of the squared error in the noise, on a logarithmic axis, against t. For both "
    "schedules it falls from one at t = 2 to a few hundredths; the linear schedule's stays there, the "
    "cosine's shoots up in the last few steps, to some hundreds. The simple loss has weight one everywhere.",
    caption="What the simple loss drops. The bound weighs the first steps most, in which only faint grain "
    "is taken off; the simple loss (dashed) weighs all steps alike.",
)
small_t, middle = (dropped["cosine"][i].item() for i in (0, T // 2 - 2))
print(f"cosine schedule: the bound's weight at t = 2 is {small_t / middle:.0f} times that at t = {T // 2}")
assert small_t > 10 * middle

# %% [markdown]
# **Where to look.** The bound's weight falls from the left. Per unit of squared error in $\varepsilon$, the
# first steps matter most: the ones in which only the last faint grain is taken off. The bound must pay for
# every bit of that grain. An eye doesn't. Constant weight moves the network's effort to the middle, where
# shapes are decided. (The cosine's upturn on the right belongs to steps with $\alpha_t$ near zero, at which
# next to nothing is left of the data; to say "$\hat\varepsilon = x_t$" is all but right there, and the
# error that is weighted so heavily is tiny.) On photographs
# [Ho et al. 2020](https://arxiv.org/abs/2006.11239) found what one would expect: the simple loss gave the
# better pictures and the worse likelihood. Section 13 measures the likelihood.
#
# ## 7 Derive: what the best network answers
#
# Which function $f$ minimises $\mathbb{E} \lVert x_0 - f(x_t) \rVert^2$? Split $x_0 - f$ into
# $(x_0 - m) + (m - f)$ with $m(x_t) = \mathbb{E}[x_0 \mid x_t]$; the product of the two has mean zero for
# every $x_t$, so the best $f$ is $m$: **the mean of all data that could have become this noisy image**. Not
# a draw from them. At large $t$ it is blurred, and it should be.
#
# The same number has another meaning. Let $p_t(x_t) = \int q(x_t \mid x_0)\, p(x_0)\, dx_0$ be the density
# of noisy images, and differentiate its logarithm:
#
# $$ \nabla \log p_t(x_t) = \frac{1}{p_t(x_t)} \int \nabla q(x_t \mid x_0)\, p(x_0)\, dx_0 = \int
# \underbrace{\frac{q(x_t \mid x_0)\, p(x_0)}{p_t(x_t)}}_{p(x_0 \mid x_t)}
# \underbrace{\frac{\sqrt{\bar\alpha_t}\, x_0 - x_t}{1 - \bar\alpha_t}}_{\nabla \log q(x_t \mid x_0)} dx_0.
# $$
#
# The integral is an expectation of something linear in $x_0$. Solve for it, and for the noise insert
# $\varepsilon = (x_t - \sqrt{\bar\alpha_t}\, x_0) / \sqrt{1 - \bar\alpha_t}$.
#
# :::{prf:theorem} Tweedie's formula
# :label: thm-tweedie
# Whatever the distribution of $x_0$ is,
#
# $$ \mathbb{E}[x_0 \mid x_t] = \frac{x_t + (1 - \bar\alpha_t)\, \nabla \log p_t(x_t)}{\sqrt{\bar\alpha_t}},
# \qquad \mathbb{E}[\varepsilon \mid x_t] = -\sqrt{1 - \bar\alpha_t}\; \nabla \log p_t(x_t). $$ (diff-tweedie)
# :::
#
# (Its name is from [Efron 2011](https://doi.org/10.1198/jasa.2011.tm11181).) **What it means.** A network
# trained to remove noise has learnt the *gradient of the log-density* of noisy images, a vector that points
# towards where images are. No density was ever computed. The vector is called the **score**, and the next
# chapter steers by it.
#
# ## 8 Derive: how wide is a step back?
#
# The true step $q(x_{t-1} \mid x_t)$ averages {eq}`diff-posterior` over the unknown $x_0$. Its covariance
# is, by the law of total variance, the mean of the variances plus the variance of the means:
#
# $$ \mathrm{Cov}(x_{t-1} \mid x_t) = \tilde\beta_t I + \frac{\bar\alpha_{t-1} \beta_t^2}{(1 -
# \bar\alpha_t)^2}\; \mathrm{Cov}(x_0 \mid x_t). $$
#
# Two extremes. If the data are one point, $\mathrm{Cov}(x_0 \mid x_t) = 0$ and the answer is
# $\tilde\beta_t$. If the data are $\mathcal{N}(0, I)$, then
# $\mathrm{Cov}(x_0 \mid x_t) = (1 - \bar\alpha_t) I$, and the sum is
# $\beta_t [(1 - \bar\alpha_{t-1}) + \bar\alpha_{t-1} \beta_t] / (1 - \bar\alpha_t) = \beta_t$, because
# $\bar\alpha_{t-1}(1 - \beta_t) = \bar\alpha_t$. So
#
# $$ \sigma_t^2 = \tilde\beta_t \;\text{ is exact for a point}, \qquad \sigma_t^2 = \beta_t
# \;\text{ is exact for } \mathcal{N}(0, I), $$ (diff-variance)
#
# and data whose coordinates have a variance of at most one lie between, on average over $x_t$ (single
# points may not: section 10 finds some). By {eq}`diff-posterior-var` the two differ by the factor
# $(1 - \bar\alpha_{t-1}) / (1 - \bar\alpha_t)$, which is near one except at the first few $t$, and there
# most of the bound is paid. So let the network choose, on a logarithmic scale, with a number $\nu$ for
# every pixel, $0$ for the small variance and $1$ for the large one
# ([Nichol and Dhariwal 2021](https://arxiv.org/abs/2102.09672)):
#
# $$ \log \sigma_t^2 = \nu \log \beta_t + (1 - \nu) \log \tilde\beta_t. $$ (diff-learned-variance)
#
# (At $t = 1$, where $\tilde\beta_1 = 0$ has no logarithm, $\tilde\beta_2$ takes its place; so it does in
# $L_0$ with the small variance, since a Gaussian of no width has no density.) The simple loss does not
# contain $\sigma_t$, so it can't teach $\nu$. A little of the bound is added, whose gradient is kept from
# the mean:
#
# $$ L_{\text{hybrid}} = L_{\text{simple}} + \lambda L_{\text{vlb}}, \qquad \lambda = 0.001, \quad
# \text{mean detached in } L_{\text{vlb}}. $$ (diff-hybrid)
#
# $L_{\text{vlb}}$ is the sum in {eq}`diff-bound`; like the simple loss it is estimated from one random $t$,
# as $T$ times the term of that step.
#
# Sampling now is the model read out loud. Start from $x_T \sim \mathcal{N}(0, I)$, and for
# $t = T, \dots, 1$
#
# $$ x_{t-1} = \tilde\mu_t\big(x_t, \hat x_0(x_t, t)\big) + \sigma_t z_t, \qquad z_t \sim \mathcal{N}(0, I),
# \quad z_1 = 0. $$ (diff-ancestral)
#
# It is called **ancestral sampling**. The last step adds no noise: $x_0$ is the answer, and noise on it
# would be grain that no data have.
#
# ## 9 Write: all of it in twenty lines


# %%
def loss_of(network, x0, schedule, generator):  # eq. (diff-simple); x0 (B, ...) -> (B,)
    t = torch.randint(1, schedule.T + 1, (len(x0),), generator=generator)  # (B,)
    eps = torch.randn(x0.shape, generator=generator)
    a_bar = schedule.alpha_bar[t].float().view(-1, *[1] * (x0.ndim - 1))  # (B, 1, ...)
    x_t = a_bar.sqrt() * x0 + (1 - a_bar).sqrt() * eps  # eq. (diff-marginal)
    return (eps - network(x_t, t)).square().flatten(1).sum(1)


@torch.no_grad()
def draw(network, x, schedule, generator):  # eq. (diff-ancestral); x (B, ...) is x_T
    for t in range(schedule.T, 0, -1):
        beta, a_bar, a_before = (
            value.item() for value in (schedule.beta[t], schedule.alpha_bar[t], schedule.alpha_bar[t - 1])
        )
        eps_hat = network(x, torch.full((len(x),), t))
        x0_hat = (x - math.sqrt(1 - a_bar) * eps_hat) / math.sqrt(a_bar)
        x = (math.sqrt(1 - beta) * (1 - a_before) * x + math.sqrt(a_before) * beta * x0_hat) / (1 - a_bar)
        if t > 1:
            variance = beta * (1 - a_before) / (1 - a_bar)
            x = x + math.sqrt(variance) * torch.randn(x.shape, generator=generator)
    return x


# %% [markdown]
# The library splits the same lines where they can be exchanged: a `schedule`, a **denoiser** (any function
# from $(x_t, t)$ to $\hat x_0$; `make_denoiser` turns a network that predicts $\varepsilon$ into one), and
# a **sampler**, which yields its steps so that one can look at the way. They agree:

# %%
with seeded(1):
    toy_net = MLPNetwork((2,), width=32, blocks=1)
    toy_net.last.weight.data.normal_(0, 0.1)  # it starts at zero; zero would prove little
x0 = torch.randn(64, 2, generator=g)
ours = loss_of(toy_net, x0, cosine, torch.Generator().manual_seed(3))
rng = torch.Generator().manual_seed(3)
t, eps = draw_steps(64, cosine, rng), torch.randn(x0.shape, generator=rng)
torch.testing.assert_close(ours, simple_loss(toy_net, x0, t, eps, cosine))
x_end = torch.randn(64, 2, generator=g)
ours = draw(toy_net, x_end, cosine, torch.Generator().manual_seed(4))
rng = torch.Generator().manual_seed(4)
theirs = sample(ancestral, make_denoiser(toy_net, cosine), x_end, cosine, generator=rng, progress=False)
torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)  # 200 steps of float32 rounding
show(ancestral)

# %% [markdown]
# ## 10 Run: a cloud whose best answer is known
#
# For a mixture of Gaussians the density $p_t$ of noisy points is a mixture of Gaussians too, so the best
# denoiser $\mathbb{E}[x_0 \mid x_t]$ has a closed form (the library's `ExactMixture`). Here are five
# clusters of unequal weight. A small network sees samples only, and is held against the exact answer.

# %%
ring = GaussianMixture.ring(5, radius=1.35, std=0.12)
weights = torch.tensor([0.4, 0.1, 0.2, 0.1, 0.2])
truth = ExactMixture.isotropic(ring.means, ring.stds, weights)
best = truth.denoiser(cosine)
centres = truth.means.float()  # (5, 2)
points = truth.sample(20_000, torch.Generator().manual_seed(1))[0]


# %%
def train_points(net, loss_at, steps, *, batch=128, lr=3e-3, decay=0.995, seed=0):
    average = EMA(net, decay)  # what is sampled from: a moving average of the weights; section 12 says why
    optimiser = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.0, fused=True)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    rng = torch.Generator().manual_seed(seed)

    def step(x0):
        t, eps = draw_steps(len(x0), cosine, rng), torch.randn(x0.shape, generator=rng)
        loss = loss_at(x0, t, eps).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
        average.update()
        return {"loss": loss}

    fit(step, Batches(points, batch_size=batch, generator=rng), steps=steps)
    return average.model


# %%
with seeded(0):
    net = MLPNetwork((2,), width=64, blocks=2)
TOY_STEPS = budget(cpu=1200, full=20_000)
averaged = train_points(net, lambda x0, t, eps: simple_loss(net, x0, t, eps, cosine), TOY_STEPS)
learnt = clipped(make_denoiser(averaged, cosine), -3, 3)

# %% [markdown]
# The best denoiser makes errors as well: it can't know $x_0$. So measure the learnt one by its distance
# *from the best*, as a share of the best one's own error, at every noise level.

# %%
levels = torch.tensor([2, 5, 10, 20, 40, 60, 80, 100, 120, 140, 160, 180, 195])


@torch.no_grad()
def excess(denoiser, n=4000):
    rng = torch.Generator().manual_seed(2)
    x0, eps = truth.sample(n, rng)[0], torch.randn(n, 2, generator=rng)
    own, beyond = [], []
    for level in levels:
        t = torch.full((n,), int(level))
        x_t = q_sample(x0, t, eps, cosine)
        m = best(x_t, t)
        own.append((x0 - m).square().sum(1).mean())
        beyond.append((denoiser(x_t, t) - m).square().sum(1).mean())
    return torch.stack(own), torch.stack(beyond)


# %%
own, beyond = excess(learnt)
fig, ax = plt.subplots(figsize=(6.4, 2.9))
ax.semilogy(levels, own, "o-", ms=4, color=PALETTE["blue"], label="best denoiser, from the data")
ax.semilogy(levels, beyond, "s-", ms=4, color=PALETTE["vermilion"], label="learnt, from the best")
ax.set(xlabel="step t", ylabel="mean squared distance")
ax.legend()
figure(
    fig,
    alt="Mean squared error of the best denoiser against t, on a logarithmic axis: it rises from near "
    "zero to the variance of the data. Far below it the learnt denoiser's squared distance from the best, "
    "which comes near the other curve at the very last t alone.",
    caption="No denoiser gets below the blue curve, for noise hides the data. What training can lower is "
    "the vermilion one, and it is low but for the last steps.",
)
share = beyond / own
print("the learnt denoiser's excess, in % of the best one's error")
for t, value in zip(levels.tolist(), share.tolist(), strict=True):
    print(f"  t = {t:3d}: {100 * value:5.1f}")
assert share[:-1].max() < 0.1  # over three seeds it was at most 0.05
assert share[-1] > 3 * share[:-1].max()  # and here six times that and more

# %% [markdown]
# **Where to look.** The blue curve has a knee: up to there a point's cluster is known, after that it isn't,
# and the best answer moves towards the mean of several clusters. Training can't lower the blue curve. A
# diffusion model's loss never goes to zero, and its level says little; the vermilion curve is what training
# is about, and only an exact case shows it. It is low everywhere but at the right end. There section 5
# warned us: $\hat x_0$ by way of $\hat\varepsilon$ multiplies an error by $1 / \sqrt{\bar\alpha_t}$. (It
# does little harm: at such $t$ the step back hardly listens to $\hat x_0$.)


# %%
def draw_field(t):
    fig, axes = plt.subplots(1, 2, figsize=(7.0, 3.4), sharex=True, sharey=True)
    line = torch.linspace(-2.6, 2.6, 19)
    at = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).view(-1, 2)
    cloud = q_sample(points[:500], torch.full((500,), t), torch.randn(500, 2, generator=field_rng), cosine)
    for ax, denoiser, title in zip(axes, (best, learnt), ("exact", "learnt"), strict=True):
        ax.scatter(*cloud.T, s=3, alpha=0.35, color=PALETTE["sky"])
        with torch.no_grad():
            arrows = denoiser(at, torch.full((len(at),), t)) - at  # towards the guessed data
        ax.quiver(*at.T, *arrows.T, angles="xy", scale_units="xy", scale=4, width=0.003, color="0.25")
        ax.set(xlim=(-2.8, 2.8), ylim=(-2.8, 2.8), xlabel="x₁", title=f"{title}, t = {t}")
    axes[0].set_ylabel("x₂")
    return fig


field_rng = torch.Generator().manual_seed(5)

# %%
frames(
    draw_field,
    [5, 25, 50, 75, 100, 125, 150, 180],
    label="step t",
    alt=lambda t: (
        f"Step {t}: noisy points in blue, and arrows from a grid towards the guessed data, exact on the "
        "left, learnt on the right. For small t the arrows lead to the nearest cluster, for large t all "
        "of them to the mean of the data. Both sides look alike where there are points."
    ),
    caption="Arrows towards the guessed data, at a quarter of their length. With little noise they lead to "
    "the nearest cluster, with much to the mean of all.",
    start=75,
)

# %%
start = torch.randn(600, 2, generator=torch.Generator().manual_seed(6))
paths, ends = {}, {}
for name, denoiser in (("exact", best), ("learnt", learnt)):
    steps_taken = ancestral(denoiser, start, cosine, generator=torch.Generator().manual_seed(7))
    paths[name] = torch.stack([step.x_t for step in steps_taken])  # (T + 1, 600, 2)
fig, axes = plt.subplots(1, 2, figsize=(7.0, 3.5), sharex=True, sharey=True)
for ax, (name, path) in zip(axes, paths.items(), strict=True):
    ax.plot(path[:, :25, 0], path[:, :25, 1], lw=0.6, alpha=0.5, color="0.45")
    ax.scatter(*path[0, :25].T, s=10, color=PALETTE["sky"], label="start, t = 200")
    ax.scatter(*path[-1].T, s=4, alpha=0.5, color=PALETTE["vermilion"], label="end, t = 0")
    ax.set(xlim=(-3, 3), ylim=(-3, 3), xlabel="x₁", title=f"{name} denoiser")
axes[0].set_ylabel("x₂")
axes[0].legend(loc="upper left", fontsize=7)
figure(
    fig,
    alt="Paths of 25 points from noise to data, exact denoiser on the left, learnt on the right. The "
    "paths wander like Brownian motion and end in five tight clusters, in which 600 end points are drawn.",
    caption="Walks of 25 points from noise to data, and 600 end points. The learnt denoiser sends them to "
    "the same five clusters as the exact one.",
)


# %%
def report(samples):  # share of samples in each cluster, and their spread around its centre
    nearest = torch.cdist(samples, centres).min(1)
    shares = torch.bincount(nearest.indices, minlength=5) / len(samples)
    return shares, (nearest.values.square().mean() / 2).sqrt().item()


print(f"truth   shares {[f'{w:.2f}' for w in weights.tolist()]}, spread 0.120")
for name, path in paths.items():
    shares, spread = report(path[-1])
    print(f"{name:7s} shares {[f'{s:.2f}' for s in shares.tolist()]}, spread {spread:.3f}")
    assert (shares - weights).abs().max() < 0.08  # 4 standard errors of a share of .4 among 600
    assert abs(spread - 0.12) < 0.02  # 4 standard errors are 0.01; the rest for 200 steps and the network

# %% [markdown]
# **What it means.** Nobody told the points where the clusters are, nor how many there are, and no two
# networks played against each other. Shares come out right as well as shapes: a point early on its way is
# pushed by the mean of all the data it could become, weighted by their probability.
#
# **How wide should a step back be?** Section 8 left the choice between $\tilde\beta_t$ and $\beta_t$ to the
# network. On this cloud the best choice is known as well. Keep the mean exact. In each coordinate a model's
# variance $\sigma^2$ then costs $\tfrac12 (V / \sigma^2 + \log \sigma^2)$ plus a constant, which is least
# at $\sigma^2 = V$, the variance of the true step:
# $V = \tilde\beta_t + \bar\alpha_{t-1} \beta_t^2 / (1 - \bar\alpha_t)^2 \cdot \mathrm{Var}(x_0 \mid x_t)$
# by section 8. The mixture knows $\mathrm{Var}(x_0 \mid x_t)$ too (`posterior_cov`: the law of total
# variance over the clusters). Solve {eq}`diff-learned-variance` for $\nu$, and let a small network learn
# $\nu$ from samples by {eq}`diff-hybrid`. Before you look: at $t = 2$ the point's $x_0$ is all but known.
# Will $\nu$ be near $0$, as for data that are one point?


# %%
@torch.no_grad()
def best_nu(x_t, t):  # eq. (diff-learned-variance) solved for the best nu: (B, 2)
    beta, small = cosine.beta[t][:, None], cosine.posterior_var[t][:, None]
    of_data = cosine.alpha_bar[t - 1][:, None].sqrt() * beta / (1 - cosine.alpha_bar[t][:, None])
    unknown = truth.posterior_cov(x_t.double(), t, cosine).diagonal(dim1=1, dim2=2)  # Var(x_0 | x_t)
    variance = small + of_data**2 * unknown
    return (variance / small).log() / (beta / small).log()


def beside_best(network):  # two outputs: the best x0_hat, and the network's, which is read as 2 nu - 1
    return lambda x, t: torch.cat([best(x, t), network(x, t)], 1)


with seeded(0):
    nu_net = MLPNetwork((2,), width=32, blocks=1)
nu_averaged = train_points(
    nu_net,
    lambda x0, t, eps: hybrid_loss(beside_best(nu_net), x0, t, eps, cosine, predicts="x0"),
    budget(cpu=500, full=5000),
    batch=256,
    lr=5e-3,
    decay=0.99,
)
chooses = VarianceDenoiser(beside_best(nu_averaged), cosine, "x0")

# %%
seen = torch.tensor([2, 3, 4, 5, 7, 10, 14, 20, 30, 40, 60, 80, 100, 120, 140, 160, 180, 195])
x0, eps = truth.sample(2000, torch.Generator().manual_seed(2))[0], torch.randn(2000, 2, generator=g)
nus = {"best": [], "learnt": []}
for level in seen:
    t = torch.full((2000,), int(level))
    x_t = q_sample(x0, t, eps, cosine)
    nus["best"].append(best_nu(x_t, t))
    with torch.no_grad():
        nus["learnt"].append(chooses.with_variance(x_t, t)[1])
mean_nu = {name: torch.stack([nu.mean() for nu in some]) for name, some in nus.items()}
fig, ax = plt.subplots(figsize=(6.4, 2.9))
ax.semilogx(seen, mean_nu["best"], "o-", ms=4, color=PALETTE["blue"], label="best ν")
ax.semilogx(seen, mean_nu["learnt"], "s-", ms=4, color=PALETTE["vermilion"], label="learnt ν")
ax.set(xlabel="step t", ylabel="ν, mean over the points", ylim=(0, 1.1))
ax.legend()
figure(
    fig,
    alt="The best nu against t on a logarithmic axis: near one at t = 2, down to a quarter at t = 30, up "
    "again to 0.87 from t = 100 on. The learnt nu goes the same way, with a shallower valley.",
    caption="ν = 1 asks for the large variance, ν = 0 for the small one. In the valley the clusters are "
    "points to the noise; the network finds it from samples.",
)
at = seen.tolist().index(30)

# %%
print(
    "t = 2: noise {:.3f}; t = 30: noise {:.2f}; a cluster 0.12".format(*cosine.sigma(torch.tensor([2, 30])))
)
print(f"t = 2: best {mean_nu['best'][0]:.2f}, learnt {mean_nu['learnt'][0]:.2f}; ", end="")
print(f"t = 30: best {mean_nu['best'][at]:.2f}, learnt {mean_nu['learnt'][at]:.2f}; ", end="")
print(f"largest best ν at a single point, t = 40: {nus['best'][at + 1].max():.1f}")
early = (mean_nu["learnt"] - mean_nu["best"])[:6].abs().max()  # up to t = 10
assert early < 0.15  # over three seeds it was at most half of this
assert mean_nu["learnt"][at] < mean_nu["learnt"][0] - 0.3  # half of the gap
assert nus["best"][at + 1].max() > 1

# %% [markdown]
# **Where to look.** On the left $\nu$ is near *one*. What counts as a point depends on the noise: at
# $t = 2$ a cluster is many times wider than the noise, and from so near any smooth density looks flat, as
# $\mathcal{N}(0, I)$ does. At $t = 30$ the noise is about twice as wide as a cluster, the clusters *are*
# points to it, and $\nu$ falls to a quarter. Farther on the five melt into one cloud of variance near one,
# and $\nu$ climbs again. The network finds all of this. It is sharpest on the left, where the loss can tell
# one $\nu$ from another; from $t = 20$ on $\beta_t$ and $\tilde\beta_t$ differ by less than a tenth, and
# little depends on $\nu$. The last figure is the promised exception: a point *between* two clusters will go
# to one or the other, and its step is wider than both limits. This is why nobody forces $\nu$ into
# $[0, 1]$.
#
# What is it worth? The bound with either fixed variance, with the learnt one and with the best (at $t = 1$
# the $\nu$ of $t = 2$ serves), at the same points with the same noise; and the clusters' spread where the
# chain takes few steps.

# %%
knows = VarianceDenoiser(beside_best(lambda x, t: 2 * best_nu(x, t.clamp(min=2)).to(x) - 1), cosine, "x0")
cases = {
    "small": (chooses, "small"),
    "large": (chooses, "large"),
    "learnt": (chooses, "learned"),
    "best": (knows, "learned"),
}
x0 = truth.sample(500, torch.Generator().manual_seed(18))[0]
chains = {
    name: variational_bound(some, x0, cosine, variance=variance, generator=torch.Generator().manual_seed(19))
    for name, (some, variance) in cases.items()
}

# %%
cost = {}
for name, bound in chains.items():
    more = bound.total - chains["best"].total
    cost[name] = more.mean().item()
    print(f"{name:7s} bound {bound.total.mean():6.3f} nats, above that of the best by ", end="")
    print(f"{cost[name]:.3f} ± {more.std() / math.sqrt(len(more)):.3f}")
first = [(bound.decoder + bound.kl[:, :4].sum(1)).mean().item() for bound in chains.values()]  # t = 1 to 5
print(f"of the small variance's {cost['small']:.2f} nats, t = 1 to 5 pay {first[0] - first[-1]:.2f}")
assert first[0] - first[-1] > 0.75 * cost["small"]
assert cost["learnt"] < cost["large"] / 2  # over three seeds it was about a fifth
assert cost["small"] > 0.5  # half of the gap

# %%
start = torch.randn(1000, 2, generator=torch.Generator().manual_seed(20))
few_steps = [10, 20, 50]
print("spread of the clusters (truth 0.12) after " + ", ".join(f"{n}" for n in few_steps) + " steps:")
width = {}
for name in ("small", "large", "learned"):
    width[name] = []
    for n in few_steps:
        rng = torch.Generator().manual_seed(21)
        x = sample(ancestral, chooses, start, cosine, n, variance=name, generator=rng, progress=False)
        width[name].append(report(x)[1])
    print(f"{name:8s}" + "".join(f"{w:8.3f}" for w in width[name]))
for small, large, learned in zip(*width.values(), strict=True):
    assert small + 0.004 < learned < large - 0.004  # half of the smallest gap, over three seeds

# %% [markdown]
# **What it means.** The small variance costs about a nat, most of it at the first steps: at $t = 2$ it is
# less than half of the true one, and {eq}`diff-kl-mean` divides the error of the mean by it. The large one
# costs a few hundredths, the learnt one a part of that. With few steps each jump is long, the two limits
# lie apart at *every* $t$, and one sees them: the small one makes the clusters too tight, the large one too
# wide, and what the network learnt lies between, although it was asked about short steps only.
#
# ## 11 Break it: four bugs that run
#
# Each of these is one slip of the pen. None raises an error; the loss curves don't change at all, for
# training is untouched. The sampler below takes its steps with the *exact* denoiser, so whatever goes wrong
# is the bug's doing. Before you look at the table: which one is worst, and which could you see in a
# picture?

# %%
short = cosine_schedule(60)  # few steps make the last one large
exact_short = truth.denoiser(short)


def buggy(bug, n=4000):
    rng = torch.Generator().manual_seed(8)
    x = torch.randn(n, 2, generator=rng)
    for t in range(60, 0, -1):
        told = torch.full((n,), max(t - 1, 1) if bug == "t off by one" else t)
        x0_hat = exact_short(x, told)
        mean, variance = posterior(x, torch.full((n,), t), x0_hat, short)
        if bug == "alpha for alpha_bar":  # in the way from noise to data
            a, right = short.alpha_step[t].float(), short.alpha_bar[t].float()
            eps = (x - right.sqrt() * x0_hat) / (1 - right).sqrt()
            mean = posterior(x, torch.full((n,), t), (x - (1 - a).sqrt() * eps) / a.sqrt(), short)[0]
        if bug == "noise at the last step" and t == 1:
            variance = torch.full((n,), short.beta[1].item())
        z = torch.randn(n, 2, generator=rng)
        scale = variance if bug == "variance for deviation" else variance.sqrt()
        x = mean + scale[:, None] * z
    return x


# %%
bugs = ["none", "noise at the last step", "t off by one", "variance for deviation", "alpha for alpha_bar"]
found = {bug: buggy(bug) for bug in bugs}

# %%
fig, axes = plt.subplots(1, 5, figsize=(8.6, 2.1), sharex=True, sharey=True)
print(f"{'bug':24s} spread   log-density, nats")
score = {}
for ax, (bug, samples) in zip(axes, found.items(), strict=True):
    log_p = truth.diffused_log_prob(samples.double(), torch.zeros(len(samples), dtype=torch.int64), short)
    score[bug] = (report(samples)[1], log_p.mean().item())
    print(f"{bug:24s} {score[bug][0]:.3f}    {score[bug][1]:.2f}")
    ax.scatter(*samples[:800].T, s=2, alpha=0.4, color=PALETTE["vermilion"])
    ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[])
    ax.set_title(bug, fontsize=8)
figure(
    fig,
    alt="Five scatter plots of samples. Without a bug: five tight clusters. Noise at the last step and t "
    "off by one: the clusters are slightly wider. Variance for deviation: five specks. alpha for "
    "alpha_bar: smeared clusters, twice as wide.",
    caption="A sound sampler, and four with one slip each. All use the exact denoiser, so the slip alone "
    "is to blame. Which would you notice?",
)
grain = score["noise at the last step"][0] ** 2 - score["none"][0] ** 2
assert abs(grain / short.beta[1] - 1) < 0.25  # the noise that was added: four standard errors
assert score["t off by one"][0] > 1.15 * score["none"][0]  # these three: half of the gap, over three seeds
assert score["variance for deviation"][0] < 0.64 * score["none"][0]
assert score["alpha for alpha_bar"][1] < score["none"][1] - 1.3

# %% [markdown]
# **Where to look.** Confusing $\alpha_t$ with $\bar\alpha_t$ smears the clusters; you would see it. The
# dangerous ones are the three in the middle: samples that look plausible. (The right sampler's own clusters
# are a little tight: sixty steps are few, and it took the small variance.) Noise at the last step is grain,
# which an eye forgives and a metric doesn't. Too little noise on the way gives clusters that are far too
# *tight*: each sample is more probable than real ones are, and the variety is gone. Only a case whose
# answer is known shows it.
#
# ## 12 Run: digits
#
# The denoiser of images is a **U-Net** ([Ronneberger et al. 2015](https://arxiv.org/abs/1505.04597), for
# diffusion [Ho et al. 2020](https://arxiv.org/abs/2006.11239)): convolutions on the way down to a coarse
# image, attention there, and up again, with the fine features handed across so that detail need not squeeze
# through the middle. The time enters as a vector of sines and cosines, which scales and shifts the channels
# in every block. One network serves all $t$.


# %%
def train_digits(steps, *, seed=0):
    with seeded(seed):
        net = UNet(1, 16, (1, 2), time_scale=1000 / T)
        average = EMA(net, 0.99)
        optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2, fused=True)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=1e-3)
        rng = torch.Generator().manual_seed(seed)

        def step(x0):
            t, eps = draw_steps(len(x0), cosine, rng), torch.randn(x0.shape, generator=rng)
            loss = simple_loss(net, x0, t, eps, cosine).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            falling.step()
            average.update()
            return {"loss": loss / 64}

        history = fit(step, Batches(x_train, batch_size=32, generator=rng), steps=steps)
    return net.eval(), average.model, history


DIGIT_STEPS = budget(cpu=700, full=20_000)
raw, averaged, history = train_digits(DIGIT_STEPS)
print(f"{sum(p.numel() for p in averaged.parameters()):,} parameters")

# %%
eye = digits_features()
real_features = eye.features(x_train)
held_out = torch.cat([to_pm1(digits[split].x, 17) for split in ("valid", "test")])
SAMPLES = 300  # as many held-out images are compared: the distance falls with the number
held_out = held_out[torch.randperm(len(held_out), generator=torch.Generator().manual_seed(11))[:SAMPLES]]


def distance(x):  # Fréchet distance to the training images, in thousandths of the features' variance
    return frechet_distance(eye.features(x.clamp(-1, 1)), real_features)


def from_network(net, n=SAMPLES, schedule=cosine):
    noise = initial_noise((n, 1, 8, 8), schedule, torch.Generator().manual_seed(9))
    rng = torch.Generator().manual_seed(10)
    denoiser = clipped(make_denoiser(net, schedule))
    return sample(ancestral, denoiser, noise, schedule, generator=rng, progress=False)


drawn = {"averaged weights": from_network(averaged), "last weights": from_network(raw)}
fd = {name: distance(x) for name, x in drawn.items()}
fd["held-out images"] = distance(held_out)
for name, value in fd.items():
    print(f"{name:34s} Fréchet distance {value:.0f}")

# %%
fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.3))
image_grid(drawn["averaged weights"][:40].clamp(-1, 1), columns=8, ax=axes[0], title="samples")
image_grid(x_train[:40], columns=8, ax=axes[1], title="training images")
figure(
    fig,
    alt="Forty samples of the network beside forty training images. Most samples are digits with clean "
    "strokes on a dark ground; a few are not quite any digit.",
    caption="Which half did people write? Left: samples of the U-Net. Right: images that it was trained on.",
)
assert fd["averaged weights"] < fd["last weights"] - 10  # half of the smallest gap, over three seeds

# %% [markdown]
# **Without the average.** The samples "last weights" come from the same run; the only difference is that
# the averaged network's weights are a moving mean over the last hundred steps or so. The learning rate does
# not fall to zero, so the last weights still jitter, and 200 sampling steps add the jitter up. An average
# costs one line (`average.update()`) and no gradient.
#
# Don't take the first figure for a triumph over the third. All distances are taken to the training images,
# and other people wrote the held-out ones; and another seed of the training gives a distance half as large
# again.
#
# Now watch one chain think. The network's guess $\hat x_0$ can be looked at at every step.

# %%
x_end = initial_noise((6, 1, 8, 8), cosine, torch.Generator().manual_seed(12))
rng = torch.Generator().manual_seed(13)
denoiser = clipped(make_denoiser(averaged, cosine))
with torch.no_grad():
    trajectory = {int(step.t): step for step in ancestral(denoiser, x_end, cosine, generator=rng)}


def draw_guess(t):
    step = trajectory[t]
    fig, ax = plt.subplots(figsize=(5.6, 2.3))
    pair = torch.cat([step.x_t.clamp(-1.5, 1.5), step.x0_hat.clamp(-1.5, 1.5)])
    image_grid(pair, columns=6, ax=ax, value_range=(-1.5, 1.5), row_labels=["$x_t$", "guess of $x_0$"])
    ax.set_title(f"t = {t}")
    return fig


# %%
frames(
    draw_guess,
    [200, 180, 160, 140, 120, 100, 80, 60, 40, 20, 0],
    label="step t, from noise to data",
    alt=lambda t: (
        f"Step {t}: six noisy images above, the network's six guesses of the data below. "
        + (
            "The guesses are grey blurs."
            if t > 140
            else "The guesses are digits."
            if t < 100
            else "The guesses are blurred digits that may still change."
        )
    ),
    caption="Six chains on their way from noise to data (above), and what the network takes them for "
    "(below). It makes up its mind in the middle.",
    start=120,
)

# %% [markdown]
# **Where to look.** Push the slider from the left. The first guesses are all the same blur, the mean of
# everything; by {eq}`diff-tweedie` that is the right answer. Around the middle each chain makes up its
# mind, and the guess may still turn from one digit into another. In the last third only the stroke's edges
# change. The decision is made where the SNR is near one: that's where the simple loss puts its effort.
#
# ## 13 The bound, term by term
#
# Nothing of this needed a likelihood, yet there is a bound on it, {eq}`diff-bound`, and each term can be
# computed. $L_0$ asks for the probability of whole grey levels: the mass that the last Gaussian puts on
# each level's bin.

# %%
x_test = digits["test"].x[: budget(cpu=100, full=447)]
bounds = {
    variance: variational_bound(
        denoiser, x_test, cosine, levels=17, variance=variance, generator=torch.Generator().manual_seed(14)
    )
    for variance in ("small", "large")
}
print(
    f"{'variance':10s} {'L_0':>7s} {'sum of KLs':>11s} {'L_T':>8s} {'total':>7s}   bits/dim, 100 test images"
)
bpd = {}
for name, b in bounds.items():
    parts = [bits_per_dim(part.mean().item(), 64) for part in (b.decoder, b.kl @ b.weights, b.prior, b.total)]
    bpd[name] = parts[3]
    print(f"{name:10s} {parts[0]:7.3f} {parts[1]:11.3f} {parts[2]:8.5f} {parts[3]:7.3f}")
tallies = torch.stack([(digits["train"].x == level).sum(0) for level in range(17)]) + 1.0  # (17, 1, 8, 8)
log_share = (tallies / tallies.sum(0)).log2().flatten(1)  # of each grey level at each pixel, (17, 64)
pixels = -log_share.gather(0, x_test.flatten(1).long()).mean().item()
print(f"independent pixels, each with its own histogram: {pixels:.3f}; all levels alike: {math.log2(17):.3f}")
assert bpd["large"] < bpd["small"] - 0.1  # half of the gap, over three seeds
assert pixels < bpd["large"] < math.log2(17)

# %%
fig, ax = plt.subplots(figsize=(6.6, 3.0))
for name, colour in (("large", "orange"), ("small", "blue")):
    per_step = bits_per_dim(bounds[name].kl.mean(0), 64)
    ax.loglog(bounds[name].t[0], per_step, color=PALETTE[colour], label=f"{name} variance")
ax.set(xlabel="step t", ylabel="KL of the step, bits/dim")
ax.legend()
figure(
    fig,
    alt="The bound's KL per step in bits per dimension against t, both axes logarithmic. Highest at the "
    "first steps, then falling by orders of magnitude towards t = 200. At the first two or three steps the "
    "curve of the large variance is below that of the small one; from there on they are one.",
    caption="What each step costs in the bound. The first steps cost most, for grain that no eye sees; "
    "only there do the two variances differ.",
)
first_tenth = bounds["small"].kl[:, : T // 10 - 1].sum(1).mean() / bounds["small"].kl.sum(1).mean()
print(f"the first tenth of the steps pays {100 * first_tenth:.0f} % of the sum of KLs")
gap = bits_per_dim((bounds["small"].kl - bounds["large"].kl).mean(0), 64)  # (T - 1,), of t = 2, 3, ...
print(f"of {gap.sum():.3f} bits/dim between the two variances, t = 2 to 5 make {gap[:4].sum():.3f}")
assert first_tenth > 0.6
assert gap[:4].sum() > 0.75 * gap.sum()
assert bounds["small"].prior.mean() < 0.01 * bounds["small"].total.mean()

# %% [markdown]
# **Where to look.** Most is paid on the left, for noise that no eye sees. $L_T$ is next to nothing: the
# cosine schedule ends in noise. The large variance is the better one, and the difference is made in the
# first few steps, where $\tilde\beta_t$ and $\beta_t$ differ; section 10 showed why, and what
# {eq}`diff-learned-variance` would choose there.
#
# And look at the line below the table. A model that draws each pixel by itself, and whose samples are
# scattered dots, has the *better* likelihood. The network spends its effort where the simple loss sends it,
# on shapes, and pays for grain bit by bit: better pictures and a worse likelihood, as section 6 said. The
# bound and the eye ask for different things.
#
# ## 14 Leave out a part
#
# **The time embedding.** Does the network need to be told $t$? It could read the amount of noise off its
# input. Train the same small network on the cloud of section 10, but tell it $t = 0$ always.

# %%
with seeded(0):
    net = MLPNetwork((2,), width=64, blocks=2)


def at_zero(network):
    return lambda x, t: network(x, torch.zeros_like(t))


averaged_untold = train_points(
    net, lambda x0, t, eps: simple_loss(at_zero(net), x0, t, eps, cosine), TOY_STEPS
)
untold = clipped(make_denoiser(at_zero(averaged_untold), cosine), -3, 3)

# %%
_, beyond_untold = excess(untold)
print("excess over the best denoiser, at each t:")
print(f"{'t':>12s} " + " ".join(f"{int(t):6d}" for t in levels))
for name, row in (("told t", beyond), ("not told", beyond_untold)):
    print(f"{name:>12s} " + " ".join(f"{value:6.3f}" for value in row))
lost = {}
for name, some in (("told t", learnt), ("not told", untold)):
    rng = torch.Generator().manual_seed(7)
    ended = sample(ancestral, some, start[:600], cosine, generator=rng, progress=False)
    lost[name] = report(ended)[1]
    print(f"{name}: spread of the clusters {lost[name]:.3f} (truth 0.12)")
assert beyond_untold.sum() > beyond.sum() + 12  # half of the gap, over three seeds; so the next
assert lost["not told"] > lost["told t"] + 0.13

# %% [markdown]
# In two dimensions one point says little about how noisy it is: a point between the clusters may be far
# along or hardly begun. An image of many pixels shows its own noise: where neighbours should agree, their
# differences measure it, the better the more pixels there are. There the embedding matters less; you can
# try it on the digits.
#
# **Another schedule.** Both schedules end in noise, so both are correct for $T \to \infty$. With few steps
# it matters where they are spent. To see that alone, take training and luck out of the way. Suppose the
# digits were a Gaussian with their mean and covariance. Along each eigenvector of the covariance, with
# eigenvalue $\lambda$ and the mean taken off, everything is one-dimensional:
# $\hat x_0 = \sqrt{\bar\alpha_t}\, \lambda / (\bar\alpha_t \lambda + 1 - \bar\alpha_t) \cdot x_t$, and
# every $x_t$ of the sampler is Gaussian. So follow its variance from step to step, and compare the
# deviations at the end with those of the data. The sum of their squared differences is the Fréchet distance
# of the two Gaussians, here in pixels, without any draw.

# %%
counts = [5, 10, 20, 50, 100, 200]
spectrum = torch.linalg.eigvalsh(torch.cov(x_train.flatten(1).double().T)).clamp(min=0)  # (64,)


def exact_distance(schedule):
    one, v = torch.ones(1, 64, dtype=torch.float64), torch.ones(64, dtype=torch.float64)  # variance of x_T
    for t in range(schedule.T, 0, -1):
        a_bar = schedule.alpha_bar[t]
        gain = a_bar.sqrt() * spectrum / (a_bar * spectrum + 1 - a_bar)  # x0_hat = gain x_t
        factor, variance = posterior(one, torch.tensor([t]), gain[None], schedule)  # the mean is linear
        v = factor[0] ** 2 * v + variance  # which is 0 at the last step
    return ((v.sqrt() - spectrum.sqrt()) ** 2).sum().item()


print(f"{'steps':>6s} {'linear':>8s} {'cosine':>8s}   Fréchet distance, pixels²")
off = {}
for n in counts:
    scaled = linear_schedule(n, min(0.1 / n, 0.5), min(20 / n, 0.999))
    off[n] = exact_distance(scaled), exact_distance(cosine_schedule(n))
    print(f"{n:6d} {off[n][0]:8.4f} {off[n][1]:8.4f}")
    assert n < 20 or 2 < off[n][0] / off[n][1] < 4

# %% [markdown]
# **What it means.** At five steps both are wrong: each step assumes that the way back is Gaussian with the
# small variance, which is true of small steps only. From 20 steps on the cosine schedule is two to four
# times nearer to the data, because it wastes no steps on noise (section 2); the linear one would need not
# quite twice as many steps. A schedule is a way of spending steps, and the best one depends on the data: on
# what is decided at which SNR. The next chapter spends them better still, by another sampler for the same
# network.
#
# **The full budget.** All of this fits a laptop. On a GPU a U-Net of three levels learns to denoise the 28
# by 28 pixels of MNIST at real-valued noise levels, with a weighting and a second-order sampler made for
# them (`edm_loss`, `heun`). The cell shows what such a run left behind, if one is stored; with
# `DGM_BUDGET=full` it trains the model itself. Its bits are of other images and other levels and don't
# compare with those above.

# %%
from dgm.recipes.full import full_result

full = full_result("diffusion", train=budget(cpu=False, full=True))
print(full.text)
if full.samples is not None:
    figure(
        image_grid(full.samples, columns=16),
        alt=full.alt,
        caption="Samples of a diffusion model trained on MNIST with the full budget.",
    )

# %% [markdown]
# ## 15 Think
#
# 1. The network sees $x_t$ and predicts $\varepsilon$, all of it. A fellow student says: "so one evaluation
#    gives $x_0$; why take 200 steps?" What is the one-step answer, and what would a dataset look like for
#    which it is right?
#
# :::{admonition} Answer
# :class: dropdown
#
# One step from $x_T$ gives $\mathbb{E}[x_0 \mid x_T]$, which is the mean of all data since $x_T$ says
# nothing: a blur. It is the right answer where the data are a single point. Small steps are needed because
# the way back is a *distribution* over many images, which is close to a Gaussian only for one small step.
#
# :::
#
# 2. Derive $\tilde\mu_t$ in terms of $x_t$ and $\varepsilon$, as DDPM's algorithm prints it.
#
# :::{admonition} Answer
# :class: dropdown
#
# Put $x_0 = (x_t - \sqrt{1 - \bar\alpha_t}\, \varepsilon) / \sqrt{\bar\alpha_t}$ into {eq}`diff-posterior`.
# The factor of $\varepsilon$ is $-\beta_t / (\sqrt{\alpha_t} \sqrt{1 - \bar\alpha_t})$. That of $x_t$ is
# $[\alpha_t (1 - \bar\alpha_{t-1}) + \beta_t] / (\sqrt{\alpha_t} (1 - \bar\alpha_t)) = 1 / \sqrt{\alpha_t}$.
# Together
# $\tilde\mu_t = \big( x_t - \beta_t\, \varepsilon / \sqrt{1 - \bar\alpha_t} \big) / \sqrt{\alpha_t}$.
#
# :::
#
# 3. A VAE has an encoder that learns, and its KL terms can collapse. Why can't a diffusion model's
#    posterior collapse?
#
# :::{admonition} Answer
# :class: dropdown
#
# The encoder $q(x_{1:T} \mid x_0)$ is fixed: no parameter could make it ignore $x_0$. The information in
# $x_t$ about $x_0$ is set by the schedule. The price: the latents are as large as the data and mean nothing
# by themselves.
#
# :::
#
# 4. Your samples are grey blurs although the loss is low. You sampled with $\sigma_t = 0$ in
#    {eq}`diff-ancestral`. Why is that wrong, and why is it not wrong in general to sample without noise?
#
# :::{admonition} Answer
# :class: dropdown
#
# $\tilde\mu_t$ assumes that noise of variance $\sigma_t^2$ follows. Without it the chain's variance is too
# small at every $t$; the network sees images with less noise than $t$ says and removes too much. One can
# leave the noise out if the mean is changed to match, so that the marginals stay as they are. That is DDIM,
# in the next chapter.
#
# :::
#
# 5. By {eq}`diff-kl-x0` the sum of all KLs depends on the schedule through SNRs alone. Let $T \to \infty$.
#    On what does the bound depend then?
#
# :::{admonition} Answer
# :class: dropdown
#
# The sum becomes $\tfrac12 \int \mathbb{E} \lVert x_0 - \hat x_0 \rVert^2\, d\,\mathrm{SNR}$, from the
# smallest to the largest SNR. Only these two ends matter, not the path between them
# ([Kingma et al. 2021](https://arxiv.org/abs/2107.00630)). The schedule still decides how noisy an estimate
# from random $t$ is, and how well a sampler with few steps does.
#
# :::
#
# 6. A blog says that the network of step $n$ predicts "the noise that was added at step $n$". Which
#    quantity would that be, and what would its best prediction look like?
#
# :::{admonition} Answer
# :class: dropdown
#
# $\varepsilon_n$ of {eq}`diff-step`. The whole noise of {eq}`diff-marginal` is a weighted sum of
# $\varepsilon_1, \dots, \varepsilon_n$, in which $\varepsilon_n$ has the weight $\sqrt{\beta_n}$ out of
# $\sqrt{1 - \bar\alpha_n}$. Given $x_n$ the best prediction of $\varepsilon_n$ is that of $\varepsilon$
# times $\sqrt{\beta_n / (1 - \bar\alpha_n)}$: a faint copy of it. A sampler that takes the one for the
# other is wrong by that factor.
#
# :::
#
# **Exercises**: [exercises/07_diffusion.ipynb](../exercises/07_diffusion.ipynb) asks you for the jump to
# any step, for the maps between noise, data, velocity and score, for a step back over any distance, and for
# the sampler with any variance; it has you predict who pays in the bound, and mend
# [a loss](../exercises/07_diffusion.ipynb#exercise-7-4) and
# [a U-Net](../exercises/07_diffusion.ipynb#exercise-7-7) that run without complaint and cannot learn.
#
# **References.** [Sohl-Dickstein et al. 2015](https://arxiv.org/abs/1503.03585) has the chain and its
# bound; [Ho et al. 2020](https://arxiv.org/abs/2006.11239) the noise form, the simple loss and the U-Net,
# sections 2 to 4; [Nichol and Dhariwal 2021](https://arxiv.org/abs/2102.09672) the cosine schedule and the
# learned variance; [Kingma et al. 2021](https://arxiv.org/abs/2107.00630) the SNR;
# [Salimans and Ho 2022](https://arxiv.org/abs/2202.00512) the velocity;
# [Efron 2011](https://doi.org/10.1198/jasa.2011.tm11181) the formula named after Tweedie. The numbered
# equations are tested in `tests/equations/test_diffusion.py`.
#
# **Next**: [Sampling and guidance](08_guidance.ipynb), the same network in far fewer steps, and on demand.
