# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: generative adversarial networks
#
# Six tasks to the chapter [Generative adversarial networks](../chapters/03_gan.ipynb), 33 points, about
# three and a half hours: two to write, warm-ups from the chapter, a loop with bugs to find, a prediction,
# an experiment to design, and a divergence to derive. Each task has a cell for your answer; run it, then
# run the cell with `check` below it. `hint("js")` gives the next hint to a task, and costs nothing. You can
# leave a task out and do the later ones. Use plain torch: calling `dgm` is no answer. As in the chapter,
# $p$ is the density of the data and $q$ that of the forger; the judge's belief that a sample is real is
# $D = \varsigma(\ell)$, with the logit $\ell$.

# %% tags=["setup"]
import math

import torch
import torch.nn.functional as F

# %%
from coursekit import PALETTE, figure, image_grid, use_style
from coursekit.exercises import check, exercise, hint, progress, when_done

use_style()
torch.set_num_threads(1)
exercise("03_gan")

# %% [markdown]
# What the cells below need, tasks or not. `ring` draws from eight Gaussians on a ring, for tasks 4 and 5.

# %%
from itertools import pairwise

from matplotlib import pyplot as plt
from torch import nn


def around(angle, g):  # points (n, 2) scattered about a ring of radius 2
    centres = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    return centres + 0.1 * torch.randn(len(angle), 2, dtype=torch.float64, generator=g)


def ring(n, g, shares=(1,) * 8):  # n points (n, 2) of eight Gaussians with these relative frequencies
    which = torch.multinomial(torch.tensor(shares, dtype=torch.float64), n, replacement=True, generator=g)
    return around(which.double() * (math.pi / 4), g)


# %% [markdown]
# ## 1. The Jensen-Shannon divergence from samples (4 points)
#
# $$ \mathrm{JS}(p, q) = \tfrac12\, \mathrm{KL}(p \,\|\, m) + \tfrac12\, \mathrm{KL}(q \,\|\, m), \qquad m =
# \tfrac12 (p + q) $$
#
# You hold $N$ samples $x$ of $p$ and $M$ samples $y$ of $q$, and both log densities at all of them:
# `log_p_x` and `log_q_x` have shape (N,), `log_p_y` and `log_q_y` have shape (M,), and $N$ need not be $M$.
# Estimate each expectation by an average over the samples that it is about; return one number, in nats. Log
# densities of images are numbers like -2000.


# %% tags=["answer-js"]
def js(log_p_x, log_q_x, log_p_y, log_q_y):
    """JS(p, q) in nats from log p and log q at samples x (N,) of p and y (M,) of q."""
    # BEGIN SOLUTION
    log_m_x = torch.logaddexp(log_p_x, log_q_x) - math.log(2)
    log_m_y = torch.logaddexp(log_p_y, log_q_y) - math.log(2)
    return 0.5 * (log_p_x - log_m_x).mean() + 0.5 * (log_q_y - log_m_y).mean()
    # END SOLUTION


# %%
check("js")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# With the best judge's logit $\ell^\star = \log p - \log q$ the same number is $\log 2$ plus half of the
# mean of $\log \varsigma(\ell^\star(x))$ plus half of the mean of $\log \varsigma(-\ell^\star(y))$: that
# judge's score, in other words, and that is how a GAN estimates it, with a learnt logit in place of the
# right one. A learnt judge is never better than the best, so on fresh samples a GAN reads JS too low. The
# mixture is an average of densities. The average of their *logarithms*, a tempting slip in code that works
# with logarithms, belongs to another divergence, and that one is infinite for densities that don't overlap.
#
# :::

# %% [markdown]
# ## 2. Both players' losses, on logits (5 points)
#
# Write the judge's loss and the forger's, one number per sample, in nats:
#
# - `judge_loss`: minus the score of the judge in the minimax game at one real and one forged sample, with
#   one-sided label smoothing. A real sample is scored as if it were real with probability `a` and forged with
#   probability `1 - a`; a forged one is scored as forged. With `a` = 1 this is the plain loss.
# - `forger_loss`: the *non-saturating* one.
#
# All logits have shape (B,). A judge may be sure, and wrong: the losses must be right at $\ell = \pm 10^4$.


# %% tags=["answer-losses"]
def judge_loss(real_logit, fake_logit, a):
    """The judge's loss (B,) in nats, from the logits (B,) of real and of forged samples."""
    # BEGIN SOLUTION
    # log D = -softplus(-l) and log(1 - D) = -softplus(l)
    real = a * F.softplus(-real_logit) + (1 - a) * F.softplus(real_logit)
    return real + F.softplus(fake_logit)
    # END SOLUTION


def forger_loss(fake_logit):
    """The forger's non-saturating loss (B,) in nats."""
    # BEGIN SOLUTION
    return F.softplus(-fake_logit)
    # END SOLUTION


# %%
check("losses")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# `binary_cross_entropy_with_logits` with the targets `a`, 0 and 1 says the same. Old code has a judge that
# ends in `Sigmoid`, and a loss that takes `log(D + 1e-8)`. At $\ell = -10^4$ on a real sample that costs 18
# nats whatever the judge does, and its gradient is zero: the worst mistakes teach nothing. The next reader
# replaces the loss by the one on logits and forgets the `Sigmoid`, and the judge has two.
#
# :::

# %% [markdown]
# ## 3. Find the bugs in the loop (7 points)
#
# Below is the heart of a GAN on the digits: grey levels from 0 to 16, a forger that ends in a tanh, a judge
# that returns logits of shape (B,). The losses themselves are right, nothing crashes, and **three things
# are wrong**. One makes the judge's work too easy. The other two let a player follow not its own loss but a
# mixture: look for who else's gradients are in its parameters when its optimiser takes its step, in the
# first call and in the second.
#
# Repair `prepare` and `train_step`. One call should be one update of the judge down `loss_d`, then, at the
# judge's new parameters, one update of the forger down `loss_g`, both on the same noise.
#
# Then think about the forger's update by itself. In the code below it follows, for each forged sample, the
# gradient $w(D)\, \nabla_\theta \ell(G_\theta(z))$ (apart from the mean over the batch). In the repaired
# code, $w = -(1 - D)$. What is $w$ in the code below, if the judge's learning rate is so small that $D$ is
# the same in both losses? Write it as a function of $D$.


# %% tags=["answer-train_step"]
def prepare(grey):
    """Integer grey levels 0 to 16, any shape, as float32 in the range of the forger's tanh."""
    # BEGIN SOLUTION
    return (grey.float() / 16 - 0.5) / 0.5
    # STUB
    # return (grey.float() - 0.5) / 0.5 / 16
    # END SOLUTION


def train_step(forger, judge, optimiser_g, optimiser_d, real, noise):
    """One update of the judge, then one of the forger, on real samples and noise."""
    # BEGIN SOLUTION
    fake = forger(noise)
    loss_d = F.softplus(-judge(real)).mean() + F.softplus(judge(fake.detach())).mean()
    optimiser_d.zero_grad()  # the forger's loss of the last call has left gradients in the judge
    loss_d.backward()
    optimiser_d.step()

    loss_g = F.softplus(-judge(fake)).mean()
    optimiser_g.zero_grad()
    loss_g.backward()
    optimiser_g.step()
    # STUB
    # optimiser_g.zero_grad()
    # fake = forger(noise)
    # loss_d = F.softplus(-judge(real)).mean() + F.softplus(judge(fake)).mean()
    # loss_d.backward(retain_graph=True)
    # optimiser_d.step()
    #
    # loss_g = F.softplus(-judge(fake)).mean()
    # loss_g.backward()
    # optimiser_g.step()
    # END SOLUTION


def weight(belief):
    """w (B,) of the code as it was given, from the judge's beliefs D (B,) in the forged samples."""
    # BEGIN SOLUTION
    return 2 * belief - 1  # D from the judge's loss, -(1 - D) from the forger's
    # END SOLUTION


# %%
check("train_step")

# %% [markdown]
# What your loop makes of the digits. Run this cell before you repair anything, too.

# %%
from sklearn.datasets import load_digits

grey = torch.from_numpy(load_digits().data)[:1000].long()  # (1000, 64)
torch.manual_seed(0)


def layers(*sizes, norm):  # a perceptron, with batch normalisation where asked for
    parts = []
    for below, above in pairwise(sizes):
        parts += [nn.Linear(below, above), *([nn.BatchNorm1d(above)] if norm else []), nn.LeakyReLU(0.2)]
    return parts


digit_forger = nn.Sequential(*layers(16, 128, 128, norm=True), nn.Linear(128, 64), nn.Tanh())
digit_judge = nn.Sequential(*layers(64, 128, 128, norm=False), nn.Linear(128, 1), nn.Flatten(0))
adams = [
    torch.optim.Adam(net.parameters(), lr=rate, betas=(0.5, 0.99), fused=True)
    for net, rate in ((digit_forger, 8e-4), (digit_judge, 5e-4))
]
images = prepare(grey)
for _ in range(1000):
    batch = images[torch.randint(len(images), (64,))]
    train_step(digit_forger, digit_judge, *adams, batch, torch.randn(64, 16))

# %%
with torch.no_grad():
    drawn = digit_forger(torch.randn(24, 16))
    print(
        f"the judge's belief: {digit_judge(images).sigmoid().mean():.2f} in real images, "
        f"{digit_judge(drawn).sigmoid().mean():.2f} in forged ones"
    )
figure(
    image_grid(drawn.view(-1, 1, 8, 8), columns=12, title="after 1000 calls of your train_step"),
    alt="24 samples of the forger. With the repaired loop many can be read as digits; with the loop as it "
    "was given none can.",
)

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Shifting before scaling puts white at 1.94, where no tanh ever gets: the judge reads one pixel and is
# done. (Pipelines that normalise before they convert to $[0, 1]$ do this.)
#
# `backward` adds into `.grad` of every parameter that the loss depends on. `loss_d` depends on the forger
# through `fake`, and `loss_g` on the judge. The forger's leak has the weight $D - (1 - D) = 2D - 1$: a
# forgery that the judge doubts is pushed the right way, with less force, and one that he believes is pushed
# *back* towards being found out. Near $D = \tfrac12$, where a balanced game lives, nothing is left. On the
# digits this bug by itself is hard to see in the samples, which is why it survives in public code. The
# judge's missing `zero_grad` is worse: each of his steps repeats all gradients since the first, his own and
# the forger's. There are several right repairs: detach, or clear the forger's gradients after the judge's
# backward, which wastes a backward pass through the forger.
#
# :::

# %% [markdown]
# ## 4. Predict, then run: a forger that leaves out six of eight (5 points)
#
# Nature draws from eight equally frequent Gaussians on a ring, so far apart that they do not overlap. A
# collapsed forger draws two of them only: half of its samples from either, and there exactly as nature
# does. The judge is the best one for this forger. Write five numbers; within 0.03 counts as right:
#
# - `belief_drawn`: $D^\star$ at a sample of the forger;
# - `belief_left_out`: $D^\star$ at a real sample of a Gaussian that the forger leaves out;
# - `judge_loss`: the judge's loss $-V(D^\star, G)$, in nats;
# - `js`: $\mathrm{JS}(p, q)$ in nats;
# - `slope`: the length of the gradient of the logit, $\lVert \nabla_x \ell^\star(x) \rVert$, at a sample of
#   the forger. By this gradient the forger learns which way to move the sample.
#
# Commit yourself before you run the cells that train a judge.

# %% tags=["answer-left_out"]
# BEGIN SOLUTION
left_out = {
    "belief_drawn": 0.2,  # (1/8) / (1/8 + 1/2); the bell itself cancels
    "belief_left_out": 1.0,  # q = 0
    "judge_loss": 0.6255,  # real: a quarter pays log 5, the rest nothing; forged: log (5/4)
    "js": 0.3804,  # (log 4 - 0.6255) / 2
    "slope": 0.0,  # log (p / q) is log (1/4) all around
}
# STUB
# left_out = {
#     "belief_drawn": None,
#     "belief_left_out": None,
#     "judge_loss": None,
#     "js": None,
#     "slope": None,
# }
# END SOLUTION

# %%
check("left_out")

# %% [markdown]
# Now a judge is trained against this forger, who stays as he is.


# %%
g = torch.Generator().manual_seed(0)
TWO = (1, 0, 0, 1, 0, 0, 0, 0)
torch.manual_seed(0)
ring_judge = nn.Sequential(
    nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1)
).double()
adam = torch.optim.Adam(ring_judge.parameters(), lr=3e-3, fused=True)
for _ in range(1200):
    nature, forged = ring_judge(ring(256, g)), ring_judge(ring(256, g, TWO))
    loss = F.softplus(-nature).mean() + F.softplus(forged).mean()
    adam.zero_grad()
    loss.backward()
    adam.step()

# %%
nature, forged, missed = ring(20000, g), ring(20000, g, TWO), ring(4000, g, tuple(1 - k for k in TWO))
at = forged.clone().requires_grad_()
logit = ring_judge(at)
(slopes,) = torch.autograd.grad(logit.sum(), at)
with torch.no_grad():
    paid = F.softplus(-ring_judge(nature)).mean() + F.softplus(logit).mean()
    beliefs = [ring_judge(x).sigmoid().mean().item() for x in (forged, missed)]
print(f"belief where the forger draws {beliefs[0]:.3f}, where it does not {beliefs[1]:.3f}")
print(f"the judge pays {paid:.3f} nats, so JS is about {(math.log(4) - paid) / 2:.3f}")
print(f"slope of the logit at forged samples: {slopes.norm(dim=1).median():.2f} (median)")

line = torch.linspace(-3, 3, 121, dtype=torch.float64)
with torch.no_grad():
    belief = ring_judge(torch.cartesian_prod(line, line)).sigmoid().view(121, 121).T
fig, ax = plt.subplots(figsize=(4.6, 3.9))
image = ax.imshow(belief, extent=(-3, 3, -3, 3), origin="lower", vmin=0, vmax=1, cmap="cividis")
ax.scatter(*nature[:600].T, s=2, color="black")
ax.scatter(*forged[:200].T, s=2, color=PALETTE["vermilion"])
fig.colorbar(image, label="the judge's belief D")
ax.set(xlabel="$x_1$", ylabel="$x_2$")
ax.grid(False)
figure(
    fig,
    alt="The learnt judge's belief over the plane, with real points in black and forged ones in red. It is "
    "low along a curved band that runs through the two Gaussians that the forger draws, and near one at the "
    "other six.",
)

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# Where the forger draws, $p = \tfrac18 b$ and $q = \tfrac12 b$ with the same bell $b$:
# $D^\star = \tfrac15$, and the logit is $\log \tfrac14$ all around, with slope zero. So the best judge
# finds this forger out, at a loss of $\tfrac14 \log 5 + \log \tfrac54 = 0.63$ nats instead of
# $\log 4 = 1.39$, and tells it nothing: the belief is as low one step to the left as one step to the right.
# The next real Gaussian, where $D^\star = 1$, lies beyond a gap in which neither density has mass. The
# learnt judge's belief is nearly as good, but his slope isn't zero: it is what his network made up to join
# the patches. What carries a forger from mode to mode is this, the judge's *inexactness*. Nothing in the
# chapter's theory of the best judge describes it. Penalties on the judge's slope are a way to take charge
# of it.
#
# :::

# %% [markdown]
# ## 5. Design a score that no forger gets past (6 points)
#
# The chapter counts classes with a classifier. You have none. Write `score(real, fake)`: from real points
# of shape (N, 2) and forged points of shape (M, 2), float64, one number that is **higher for a worse
# forger**. $N$ and $M$ are hundreds and may differ. The score should use the two sets only: not that nature
# is a ring, and no random numbers.
#
# The real points come from `ring`. Ten honest forgers draw from nature itself, and four do not:
#
# - *leaves out*: every second Gaussian is missing;
# - *repeats*: five different points of each Gaussian, over and over;
# - *strays*: one point of twenty lies halfway between two Gaussians;
# - *lopsided*: one Gaussian is twenty times as frequent as each of the others.
#
# A forger counts as found if its score *stands clear* of the honest ones: it exceeds the highest of the ten
# by more than the ten differ among themselves (highest minus lowest). Here are the forgers, to try your
# score on.


# %%
def repeats(n, g):
    few = around(torch.arange(40).double() * (math.pi / 4), g)
    return few[torch.arange(n) % 40]


def strays(n, g):
    x = ring(n, g)
    x[: n // 20] = around((torch.randint(0, 8, (n // 20,), generator=g).double() + 0.5) * (math.pi / 4), g)
    return x


FORGERS = {
    "leaves out": lambda n, g: ring(n, g, (1, 0) * 4),
    "repeats": repeats,
    "strays": strays,
    "lopsided": lambda n, g: ring(n, g, (20,) + (1,) * 7),
}


# %% tags=["answer-score"]
def score(real, fake):
    """How bad a forger is: one number, from real points (N, 2) and forged ones (M, 2)."""
    # BEGIN SOLUTION
    distance = torch.cdist(real, fake)  # (N, M)
    invented = distance.min(dim=0).values.mean()  # from a forged point to the nearest real one
    missing = distance.min(dim=1).values.mean()  # from a real point to the nearest forged one
    return invented + missing
    # END SOLUTION


# %%
check("score")

# %% [markdown]
# Your score, with the largest value that does not stand clear:

# %%
with when_done("score"):
    g = torch.Generator().manual_seed(6)
    real = ring(600, g)
    honest = [float(score(real, ring(600, g))) for _ in range(10)]
    print(f"honest: {min(honest):.4g} to {max(honest):.4g}; clear above {2 * max(honest) - min(honest):.4g}")
    fig, axes = plt.subplots(1, 4, figsize=(7.4, 2.3), sharex=True, sharey=True)
    for ax, (name, draw) in zip(axes, FORGERS.items(), strict=True):
        points = draw(600, g)
        ax.scatter(*points.T, s=2, color=PALETTE["vermilion"])
        ax.set(title=f"{name}: {float(score(real, points)):.3g}", xticks=[], yticks=[], aspect="equal")
    figure(
        fig,
        alt="Four scatter plots of forged points with their scores. Leaves out: four clumps. Repeats: eight "
        "clumps of five dots. Strays: eight clumps with a few points between. Lopsided: one dense clump and "
        "seven thin ones.",
    )

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# The first three forgers have the mean and the covariance of nature, so any score made of these, such as a
# Fréchet distance on the points themselves, is blind to them: it sees what its features show, and the
# chapter's features come from a classifier for that reason. Shares and entropy of the classes see what is
# left out and what is lopsided, not what is repeated. From a forged point to the nearest real one asks for
# *precision*: only the strays are caught. From a real point to the nearest forged one asks for *recall*,
# and catches the other three, lopsided by its thin Gaussians: with a fifth of the points the distances
# double. Averages over all pairs (energy distance, kernel distances with a wide kernel) drown one stray in
# twenty. The two directions together suffice here. No two numbers suffice everywhere: a forger that copies
# the real points it was given scores zero. Only *held-out* real points expose it.
#
# :::

# %% [markdown]
# ## 6. The divergence behind least squares (6 points)
#
# Add a row to the chapter's table: $f(u) = \dfrac{(u - 1)^2}{u + 1}$ for $u > 0$, which is convex. Its
# divergence
#
# $$ \Delta(p, q) = \int q\, f(p / q)\, dx = \int \frac{(p - q)^2}{p + q}\, dx $$
#
# lies between 0 and 2. Derive, and write:
#
# 1. `conjugate`: $f^*(t) = \sup_{u > 0} \{u t - f(u)\}$ for every slope $t < 1$, element by element.
#    (Beyond 1 it is infinite.) Mind that $u$ must be positive.
# 2. `best_critic`: the critic $T^\star(x)$ that makes the bound tight, from `log_ratio`
#    $= \log p(x) - \log q(x)$. Log-ratios of images are numbers like $\pm 1000$.
# 3. Another GAN scores its judge $D(x) \in (0, 1)$ by least squares: he pays
#    $L = \mathbb{E}_p[(1 - D)^2] + \mathbb{E}_q[D^2]$. Show that this is the game of your row with another
#    name for the critic, and write `least_loss`: the least $L$ that any judge can reach, as a function of
#    $\Delta$.
#
# The check finds suprema and slopes numerically.


# %% tags=["answer-triangular"]
def conjugate(t):
    """f*(t), element by element, for slopes t < 1."""
    # BEGIN SOLUTION
    inside = 4 - t - 4 * (1 - t).sqrt()  # at u + 1 = 2 / sqrt(1 - t)
    return torch.where(t > -3, inside, -1.0)  # at t <= -3 the supremum is at u = 0: -f(0)
    # END SOLUTION


def best_critic(log_ratio):
    """T*(x) = f'(p / q), from log p - log q."""
    # BEGIN SOLUTION
    return 1 - 4 * torch.sigmoid(-log_ratio).square()  # 1 - 4 (1 - D*)^2
    # END SOLUTION


def least_loss(divergence):
    """The least of E_p[(1 - D)^2] + E_q[D^2] over all judges D, from the divergence Delta of p and q."""
    # BEGIN SOLUTION
    return 0.5 - divergence / 4
    # END SOLUTION


# %%
check("triangular")

# %% [markdown]
# Your conjugate, beside the tangents' intercepts found by trying a grid of $u$:

# %%
with when_done("triangular"):
    t = torch.linspace(-6, 0.98, 200, dtype=torch.float64)
    u = torch.logspace(-4, 3, 4001, dtype=torch.float64)
    tried = (u * t[:, None] - (u - 1).square() / (u + 1)).max(dim=1).values
    yours = conjugate(t)
    fig, ax = plt.subplots(figsize=(5.4, 2.9))
    ax.plot(t, tried, color="0.6", lw=5, label="largest on a grid of u")
    ax.plot(t, yours, color=PALETTE["vermilion"], label="your formula")
    ax.set(xlabel="slope t", ylabel="f*(t)")
    ax.legend()
    figure(
        fig,
        alt="The conjugate against the slope: flat at -1 up to t = -3, then rising ever more steeply, "
        "through zero at t = 0. The formula lies on the values found on the grid.",
    )

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# With $w = u + 1$, $f = (w - 2)^2 / w = w - 4 + 4/w$ and $f'(u) = 1 - 4/w^2$. Setting this to $t$ gives
# $w = 2/\sqrt{1 - t}$ and $f^*(t) = (w - 1)t - f = 4 - t - w(1 - t) - 4/w = 4 - t - 4\sqrt{1 - t}$. But
# $u > 0$ means $w > 1$, that is $t > -3$; for steeper slopes the brace falls from $u = 0$ on, and the
# supremum is $-f(0) = -1$. The best critic is $T^\star = 1 - 4/(1 + u)^2 = 1 - 4(1 - D^\star)^2$ with the
# same $D^\star = p/(p + q)$ as in the original game.
#
# Every $T \in (-3, 1)$ is $1 - 4(1 - D)^2$ for some $D$, and then $\sqrt{1 - T} = 2(1 - D)$ gives
# $f^*(T) = 3 + 4(1 - D)^2 - 8(1 - D) = 4D^2 - 1$. The bound reads
# $\Delta \ge \mathbb{E}_p[1 - 4(1 - D)^2] - \mathbb{E}_q[4D^2 - 1] = 2 - 4L$, equal for the best judge:
# $L = \tfrac12 - \Delta/4$. So the judge may be scored by squares instead of logarithms: he answers the
# same, and the divergence behind it is bounded and treats $p$ and $q$ alike, as JS does. What changes for
# the forger is the gradient away from the best judge.
#
# :::

# %% [markdown]
# ## How far you are

# %%
progress()
