# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: what it means to model data
#
# Five tasks to the chapter [Start here](../chapters/00_start.ipynb), 22 points, about an hour. Each task has
# a cell for your answer; run it, then run the cell with `check` below it. `hint("kl_categorical")` gives the
# next hint to a task, and costs nothing. You can leave a task out and do the later ones. Use plain torch:
# calling `dgm` is no answer.

# %% tags=["setup"]
import math

import torch

# %%
from coursekit import figure, use_style
from coursekit.exercises import check, exercise, hint, progress, when_done

use_style()
exercise("00_start")


# %% [markdown]
# ## 1. From p(x|y) and p(y) to p(x) and p(y|x) (4 points)
#
# A classifier knows $p(y \mid x)$ only. Whoever knows $p(x, y)$ knows the classifier too, and $p(x)$
# besides. Given `log_likelihood[b, k]` $= \log p(x_b \mid y = k)$ and `log_prior[k]` $= \log p(y = k)$,
# return the pair $\log p(x_b)$, of shape (B,), and $\log p(y = k \mid x_b)$, of shape (B, K).
#
# Log densities of images run to minus thousands; your function must not underflow there.

# %% tags=["answer-from_joint"]
def from_joint(log_likelihood, log_prior):
    """log p(x) (B,) and log p(y|x) (B, K) from log p(x|y) (B, K) and log p(y) (K,)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("from_joint is not done yet")


# %%
check("from_joint")


# %% [markdown]
# ## 2. The KL divergence by hand (4 points)
#
# $$ \mathrm{KL}(p \,\|\, q) = \sum_k p_k \log \frac{p_k}{q_k} \quad \text{in nats.} $$
#
# `p` and `q` have shape (B, K), each row a distribution; return shape (B,). Two limits need care: a value
# with $p_k = 0$ adds nothing ($t \log t \to 0$), and a value with $q_k = 0 < p_k$ makes the divergence
# infinite. No `torch.distributions` here.

# %% tags=["answer-kl_categorical"]
def kl_categorical(p, q):
    """KL(p || q) in nats, (B,), of the rows of p and q, each (B, K)."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("kl_categorical is not done yet")


# %%
check("kl_categorical")


# %% [markdown]
# ## 3. The best Gaussian under the forward KL (4 points)
#
# Let $p(x) = \sum_k w_k \, \mathcal{N}(x; m_k, s_k^2)$, and fit one Gaussian $q$ by minimising
# $\mathrm{KL}(p \,\|\, q)$. Only $-\mathbb{E}_p[\log q(x)]$ depends on $q$. Set its derivatives to zero with
# pen and paper, then write the minimiser's mean and standard deviation as a function of `weights`, `means`,
# `stds`, each of shape (K,). The check compares with numerical integration.

# %% tags=["answer-moment_match"]
def moment_match(weights, means, stds):
    """Mean and standard deviation of the Gaussian q that minimises KL(p || q), p a mixture of K Gaussians."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("moment_match is not done yet")


# %%
check("moment_match")

# %% [markdown]
# ## 4. Predict, then run: forward against reverse (4 points)
#
# Now two bumps: $p = 0.65\, \mathcal{N}(-2, 0.6^2) + 0.35\, \mathcal{N}(2, 0.6^2)$, and one Gaussian $q$.
# Where does $q$ end up when it minimises $\mathrm{KL}(p \,\|\, q)$ (forward), and where when it minimises
# $\mathrm{KL}(q \,\|\, p)$ (reverse)? Write four numbers; within 0.2 counts as right. Commit yourself before
# you run the cell that fits both.

# %% tags=["answer-prediction"]
prediction = {
    "forward_mean": None,
    "forward_std": None,
    "reverse_mean": None,
    "reverse_std": None,
}

# %%
check("prediction")

# %% [markdown]
# Now run both fits: gradient descent on either divergence, the integrals on a grid. The reverse fit starts
# twice, left and right; compare the two values of the divergence that it reaches.

# %%
x = torch.linspace(-7, 7, 701)


def log_normal(x, mean, log_std):
    return -((x - mean) / log_std.exp()).square() / 2 - log_std - math.log(2 * math.pi) / 2


bumps = [
    log_normal(x, torch.tensor(m), torch.tensor(0.6).log()) + math.log(w)
    for w, m in ((0.65, -2.0), (0.35, 2.0))
]
log_p = torch.logaddexp(*bumps)


def fit(start, reverse):
    mean, log_std = torch.tensor(start, requires_grad=True), torch.zeros((), requires_grad=True)
    optimiser = torch.optim.Adam([mean, log_std], lr=0.05)
    for _ in range(400):
        log_q = log_normal(x, mean, log_std)
        kl = torch.trapezoid(log_q.exp() * (log_q - log_p) if reverse else log_p.exp() * (log_p - log_q), x)
        optimiser.zero_grad()
        kl.backward()
        optimiser.step()
    return mean.item(), log_std.exp().item(), kl.item()


fits = {
    "forward": fit(0.5, False),
    "reverse, from the left": fit(-1.0, True),
    "reverse, from the right": fit(1.0, True),
}
for name, (mean, std, kl) in fits.items():
    print(f"{name:24} mean {mean:5.2f}   std {std:4.2f}   divergence {kl:4.2f} nats")

# %%
from matplotlib import pyplot as plt

fig, ax = plt.subplots()
ax.fill_between(x, log_p.exp(), color="0.85", label="p")
for (name, (mean, std, _)), style in zip(fits.items(), ("-", "--", ":"), strict=True):
    log_q = log_normal(x, torch.tensor(mean), torch.tensor(std).log())
    ax.plot(x, log_q.exp(), style, label=name)
ax.set(xlabel="x", ylabel="density")
ax.legend()
figure(
    fig,
    alt="The density p with a high bump at -2 and a lower one at 2. The forward fit is one "
    "wide, flat Gaussian over both. Each reverse fit lies on one bump.",
)


# %% [markdown]
# ## 5. Design data that a regressor cannot follow (6 points)
#
# A car drives towards `x = 1` (an obstacle) or `x = 0` (free road); `y` is the steering of a human driver,
# from -1 (left) to 1 (right). A regressor with squared loss learns the average of `y` for each `x`. Write
# `two_ways(n, generator)`, which draws `n` pairs (two float tensors of shape (n,)) such that
#
# - each situation makes up at least a fifth of the rows, and `y` stays in [-1, 1];
# - on the free road the regressor does well: nine targets of ten lie within 0.2 of their average;
# - at the obstacle its answer is like no target: at most one target of a hundred lies within 0.5 of the
#   average;
# - the same generator seed gives the same data, another seed other data.

# %% tags=["answer-two_ways"]
def two_ways(n, generator):
    """Draw x (n,), 0 or 1, and the steering y (n,) in [-1, 1]."""
    # Your answer goes here, in place of the next line.
    raise NotImplementedError("two_ways is not done yet")


# %%
check("two_ways")

# %% [markdown]
# What a regressor makes of your data, and what a sampler would do:

# %%
with when_done("two_ways"):
    x, y = (t.double() for t in two_ways(1000, torch.Generator().manual_seed(1)))
    inputs = torch.stack([1 - x, x], dim=1)
    answer = torch.linalg.lstsq(inputs, y[:, None]).solution[:, 0]  # the average for each x
    bins = torch.linspace(-1, 1, 41).numpy()
    fig, axes = plt.subplots(1, 2, sharey=True)
    for ax, value, name in zip(axes, (0, 1), ("free road", "obstacle"), strict=True):
        ax.hist(y[x == value].numpy(), bins=bins, label="drivers (a sampler)")
        ax.axvline(answer[value].item(), color="black", linestyle="--", label="regressor")
        ax.set(title=name, xlabel="steering (-1 left, 1 right)")
    axes[0].set_ylabel("count")
    axes[0].legend(loc="upper left")
    figure(
        fig,
        alt="Histograms of the steering in both situations with the regressor's answer as a dashed "
        "line: at the obstacle the line should stand where there are no targets.",
    )

# %% [markdown]
# ## How far you are

# %%
progress()
