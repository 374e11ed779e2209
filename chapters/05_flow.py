# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Normalising flows
#
# **The question.** Print a round cloud of points on a rubber sheet. Now pull the sheet, here more, there
# less, without tearing it and without folding it. The cloud takes another shape. Where the sheet was
# stretched the points lie thin, where it was squeezed they lie dense. If you know by how much, you know the
# density of the new cloud *everywhere*: no bound as in the VAE, no judge as in the GAN. Can a network learn
# to pull, and still know by how much?
#
# **You will be able to** derive the change-of-variables formula from a slab of probability and turn it into
# a loss; build an invertible network whose change of volume costs one sum; measure in nats, against known
# densities, how far a flow is from the truth; tell from an integral or an entropy that a log-determinant
# has the wrong sign; say what a continuous density may claim about whole numbers, and state a likelihood of
# images in bits per dimension.
#
# **You need** determinants, the KL divergence from the [start chapter](00_start.ipynb), and Jensen's
# inequality as in section 2 of [Variational autoencoders](02_vae.ipynb). **It takes** two and a half hours
# to read with pencil and paper, and about a minute to run on a laptop.

# %%
import math

import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.func import jacrev, vmap

from coursekit import PALETTE, budget, density_plot, figure, frames, show, use_style
from dgm.data import load_digits
from dgm.data.toy2d import GaussianMixture, Pinwheel, TwoMoons, lattice
from dgm.nn import MLP, seeded
from dgm.prob import standard_normal_log_prob
from dgm.tensor import bits_per_dim
from dgm.train import fit

use_style()
torch.set_num_threads(1)  # networks this small gain nothing from a second thread
g = torch.Generator().manual_seed(0)


# %%
def pull(z):  # (N, 2) -> (N, 2): stretch every vertical line by its own factor, then shift it
    stretch, shift = 0.6 * torch.exp(0.9 * torch.sin(2 * z[:, 0])), 0.5 * z[:, 0] ** 2 - 0.8
    return torch.stack([z[:, 0], stretch * z[:, 1] + shift], 1)


def grid_lines(reach, count=13):  # vertical and horizontal lines, each (121, 2)
    ticks, along = torch.linspace(-reach, reach, count), torch.linspace(-reach, reach, 121)
    upright = [torch.stack([t.expand(121), along], 1) for t in ticks]
    return upright + [line.flip(1) for line in upright]


def draw_sheet(ax, points, lines, title, color=PALETTE["blue"]):
    for line in lines:
        ax.plot(*line.T, color="0.65", lw=0.6, zorder=1)
    ax.scatter(*points.T, s=2, alpha=0.5, color=color, zorder=2)
    ax.set(title=title, xlabel="first coordinate", ylabel="second coordinate")
    ax.grid(False)


# %%
z_cloud, lines = torch.randn(2500, 2, generator=g), grid_lines(2.4)
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.7))
draw_sheet(left, z_cloud, lines, "the sheet as printed, z", PALETTE["orange"])
draw_sheet(right, pull(z_cloud), [pull(line) for line in lines], "the sheet as pulled, x")
for ax in (left, right):
    ax.set(xlim=(-3.3, 3.3), ylim=(-3.3, 4.3))
figure(
    fig,
    alt="Left: a round Gaussian cloud on a square grid. Right: the same points and grid after pulling. "
    "The cells of the grid are flat and the points dense in some places, tall and thin in others; no "
    "lines cross.",
    caption="A cloud printed on a sheet, and the same sheet pulled. Where its cells are squeezed the points "
    "lie dense, where they are stretched they lie thin.",
)

# %% [markdown]
# ## 1 Derive: a thin slab of probability
#
# Begin on the line. *Assume* that $z$ has a density $p_Z$ that we know, such as $\mathcal{N}(0, 1)$, and
# that data $x$ and latent $z$ are tied by $z = f(x)$, where $f$ is differentiable, strictly increasing, and
# reaches every $z$. Cut the $z$-axis into slabs. The slab from $z$ to $z + dz$ holds the probability
# $p_Z(z)\,dz$. The points in it are exactly those whose $x$ lies between $x$ and $x + dx$, with
# $dz = f'(x)\,dx$. Moving points creates none and loses none:
#
# $$ p(x)\,dx = p_Z(z)\,dz. $$
#
# Divide by $dx$. (If $f$ falls, the slab is turned round but its width is still positive: hence an absolute
# value. If thin slabs make you uneasy, differentiate $P(X \le x) = P(Z \le f(x))$.) In logarithms, on which
# we shall train,
#
# $$ \log p(x) = \log p_Z\big(f(x)\big) + \log \left| f'(x) \right|. $$ (flow-change-1d)
#
# The first term asks how probable the place is at which $x$ lands. The second accounts for the stretching:
# where $f$ is steep, a thin slab of $x$ covers a wide slab of $z$ and collects what is in it.
#
# **The direction, once and for all.** In this course `forward` goes from data $x$ to latent $z$, and
# `inverse` from $z$ to $x$. To *score* a point you go forward; to *draw* one you draw $z$ and go back. Each
# call returns the log-derivative of its own direction, so at corresponding points the two differ in sign.
# Half of the papers name the directions the other way round. Look before you copy a sign.


# %%
def draw_slabs(forward, title, reach=4.0):  # forward: x (N,) -> z (N,), log dz/dx (N,)
    x, z_axis = torch.linspace(-reach, reach, 2001), torch.linspace(-3, 3, 601)
    z, log_slope = forward(x)
    p_x = (standard_normal_log_prob(z[:, None]) + log_slope).exp()  # eq. (flow-change-1d)
    p_z = standard_normal_log_prob(z_axis[:, None]).exp()
    ratios = {"width_ratios": [1, 2.6], "height_ratios": [2, 1]}
    fig, axes = plt.subplots(2, 2, figsize=(6.4, 4.2), sharex="col", sharey="row", layout="none", **ratios)
    fig.subplots_adjust(left=0.1, right=0.98, bottom=0.12, top=0.92, wspace=0.06, hspace=0.08)
    (at_z, at_f), (empty, at_x) = axes
    edges = torch.special.ndtri(torch.linspace(0, 1, 11)).clamp(-3, 3)  # ten slabs of probability 1/10
    for k in range(10):
        color = PALETTE["vermilion"] if k == 6 else PALETTE["sky" if k % 2 else "blue"]
        inside = (z_axis >= edges[k]) & (z_axis <= edges[k + 1])
        at_z.fill_betweenx(z_axis[inside], 0, p_z[inside], color=color, lw=0)
        inside = (z >= edges[k]) & (z <= edges[k + 1])
        at_x.fill_between(x[inside], 0, p_x[inside], color=color, lw=0)
        at_f.fill_between(x[inside], -3, z[inside], color=color, alpha=0.15, lw=0)
    at_f.plot(x, z, color=PALETTE["black"])
    at_f.set(title=title, ylim=(-3, 3), xlim=(-reach, reach))
    at_z.set(ylabel="latent z = f(x)", xlabel="$p_Z(z)$", xlim=(0.42, 0), xticks=(0.4, 0.2))
    at_x.set(xlabel="data x", ylabel="p(x)", ylim=(0, 0.8), yticks=(0, 0.3, 0.6))
    at_z.tick_params(labelbottom=True)
    at_x.tick_params(labelleft=True)
    empty.set_axis_off()
    return fig


# %%
def wave(x):
    return x - 0.6 * torch.sin(1.5 * x), torch.log(1 - 0.9 * torch.cos(1.5 * x))


figure(
    draw_slabs(wave, "z = x − 0.6 sin 1.5 x"),
    alt="Upper left, turned on its side: the Gaussian density of z, cut into ten slabs of equal area. "
    "Upper right: the increasing curve z = f(x), with steep and flat stretches. Below: the density of x "
    "with the same ten slabs; narrow and tall where the curve is steep, wide and low where it is flat.",
    caption="Ten slabs of equal probability, from the Gaussian (left) through the curve to the data (below). "
    "Steep stretches make them narrow and tall, flat ones wide and low.",
)

# %% [markdown]
# **Where to look.** Follow the red slab from the left through the curve to the bottom. It holds a tenth of
# the probability at either end. In the middle the curve is flat: slabs are wide and low. Where it is steep,
# they are narrow and tall. One bump has become two.
#
# ## 2 Write and run: two parameters on the line
#
# A family with two parameters that one can watch
# ([Jones and Pewsey 2009](https://doi.org/10.1093/biomet/asp053)):
# $z = \sinh(\delta \operatorname{arsinh} x - \epsilon)$. Each of the three steps is increasing if
# $\delta > 0$, and the chain rule gives the slope,
# $f'(x) = \cosh(\delta \operatorname{arsinh} x - \epsilon)\,\delta / \sqrt{1 + x^2}$.


# %%
def sinh_arcsinh(x, skew, tail):  # (N,) -> z (N,), log dz/dx (N,)
    inner = tail * torch.asinh(x) - skew
    return torch.sinh(inner), math.log(tail) + torch.cosh(inner).log() - 0.5 * torch.log1p(x**2)


def log_density(x, skew, tail):  # eq. (flow-change-1d)
    z, log_slope = sinh_arcsinh(x, skew, tail)
    return standard_normal_log_prob(z[:, None]) + log_slope


x = torch.linspace(-40, 40, 80_001, dtype=torch.float64)
p = log_density(x, skew=0.6, tail=0.8).exp()
mass, mass_to_1 = torch.trapezoid(p, x), torch.trapezoid(p[x <= 1], x[x <= 1])
below = torch.special.ndtr(sinh_arcsinh(torch.ones(1, dtype=torch.float64), 0.6, 0.8)[0])  # P(Z <= f(1))
print(
    f"the density integrates to {mass:.6f}; to the left of 1 lies {mass_to_1:.6f}, of f(1) {below.item():.6f}"
)
assert abs(mass - 1) < 1e-5  # the rule's error at steps of 0.001 is far smaller; so is the mass beyond 40
assert abs(mass_to_1 - below) < 1e-5

# %% [markdown]
# It is a density, without anything having been normalised: the slope term does that. The library has the
# same flow, as a module with `forward` and `inverse`, and a `FlowModel` that adds the two terms of
# {eq}`flow-change-1d`:

# %%
from dgm.flows import FlowModel, SinhArcsinh, StandardNormal

model_1d = FlowModel(StandardNormal(1), SinhArcsinh(skew=0.6, tail=0.8)).double()
torch.testing.assert_close(model_1d.log_prob(x[:, None]), log_density(x, 0.6, 0.8), rtol=1e-5, atol=1e-5)
show(SinhArcsinh)


# %%
def skew_alt(skew):
    if skew == 0:
        return "Ten slabs of equal probability; the curve is the diagonal and p(x) the Gaussian."
    side = "right" if skew > 0 else "left"
    return f"Ten slabs for skew {skew:+.1f}: the density of x leans to the {side}, with a long tail there."


def tail_alt(tail):
    shape = (
        "a low density with long tails; the curve is flat"
        if tail < 1
        else "a narrow density with short tails"
    )
    return f"Ten slabs for tail parameter {tail:.1f}: {'the Gaussian itself' if tail == 1 else shape}."


# %%
frames(
    lambda skew: draw_slabs(lambda x: sinh_arcsinh(x, skew, 1.0), f"skew ε = {skew:+.1f}, tail δ = 1"),
    [-0.8, -0.4, 0.0, 0.4, 0.8],
    label="skew ε",
    start=0.8,
    alt=skew_alt,
    caption="The ten slabs for several skews. With ε > 0 the long tail is on the right, with ε < 0 on the "
    "left; the areas of the slabs never change.",
)
frames(
    lambda tail: draw_slabs(lambda x: sinh_arcsinh(x, 0.0, tail), f"skew ε = 0, tail δ = {tail:.1f}"),
    [0.5, 0.7, 1.0, 1.4, 1.8],
    label="tail δ",
    start=0.5,
    alt=tail_alt,
    caption="The ten slabs for several tail parameters. With δ < 1 the curve is flat far out and the tails "
    "are heavy; with δ > 1 they are light.",
)

# %% [markdown]
# **Where to look.** The areas never change; only their shapes do. At $\delta = \tfrac12$ the curve is steep
# in the middle relative to the ends, and flat far out: the outermost slabs reach beyond the picture, which
# is what heavy tails are.
#
# ## 3 Derive: the Jacobian determinant
#
# In $D$ dimensions let $f: \mathbb{R}^D \to \mathbb{R}^D$ be one-to-one and onto, smooth, with a smooth
# inverse. The slab becomes a small cube at $x$ with edges $h e_1, \dots, h e_D$. To first order
# $f(x + h e_j) = f(x) + h\,J e_j$, where $J = \partial f / \partial x$ is the **Jacobian**,
# $J_{ij} = \partial z_i / \partial x_j$: the image of the cube is a slanted box whose edges are the columns
# of $J$, times $h$. The volume of a slanted box is the absolute value of the determinant of its edges. (In
# the plane: the parallelogram on $(a, c)$ and $(b, d)$ has area $|ad - bc|$.) The factor is $|\det J|$: it
# takes the place of $dz/dx$. Cube and box hold the same probability,
# $p(x)\,h^D = p_Z(f(x))\,|\det J|\,h^D$, hence
#
# :::{prf:theorem} Change of variables
# :label: thm-change
# If $z = f(x)$ has the density $p_Z$, then $x$ has the density $p$ with
#
# $$ \log p(x) = \log p_Z\big(f(x)\big) + \log \left| \det J(x) \right|, \qquad J = \frac{\partial f}{\partial
# x}. $$ (flow-change)
# :::
#
# Believe the determinant only after measuring it. The sheet at the top was pulled by a map $x = f^{-1}(z)$
# that one can undo by hand. Take squares of side $h$ in the $x$-plane, send their corners forward, and
# compute the area of each image from its corners alone (the shoelace formula).


# %%
def unpull(x):  # forward, from x (N, 2) to z (N, 2): the inverse of pull
    stretch, shift = 0.6 * torch.exp(0.9 * torch.sin(2 * x[:, 0])), 0.5 * x[:, 0] ** 2 - 0.8
    return torch.stack([x[:, 0], (x[:, 1] - shift) / stretch], 1)


def area(corners):  # (N, 4, 2) in order -> (N,), the shoelace formula
    u, v = corners.unbind(-1)
    return 0.5 * (u * v.roll(-1, 1) - v * u.roll(-1, 1)).sum(1).abs()


unit = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
places = torch.tensor([[-1.9, 0.9], [-0.9, -0.7], [0.5, -0.9], [1.7, 0.7]], dtype=torch.float64)
det = torch.linalg.det(vmap(jacrev(lambda point: unpull(point[None])[0]))(places)).abs()  # (4,)
worst = {}
for h in (0.4, 0.1, 0.025):
    squares = places[:, None] + h * unit  # (4, 4, 2)
    growth = area(unpull(squares.flatten(0, 1)).unflatten(0, (4, 4))) / h**2
    worst[h] = (growth / det - 1).abs().max().item()
    print(
        f"h = {h:5.3f}: area grows by", [round(v, 3) for v in growth.tolist()], f"worst error {worst[h]:.1%}"
    )
print("determinant:              ", [round(v, 3) for v in det.tolist()])
# first order in h: with a quarter of h goes a quarter of the error
assert worst[0.025] < worst[0.1] / 3 < worst[0.4] / 9

# %%
squares = places[:, None] + 0.4 * unit
fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.7))
draw_sheet(axes[0], unpull(pull(z_cloud)), lines, "z = f(x)", "0.8")
draw_sheet(axes[1], pull(z_cloud), [pull(line) for line in lines], "x", "0.8")
plate = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
for k, name in enumerate(("orange", "green", "vermilion", "blue")):
    images = unpull(squares[k])
    axes[0].fill(*images.T, color=PALETTE[name], zorder=3)
    axes[1].fill(*squares[k].T, color=PALETTE[name], zorder=3)
    axes[0].text(*(images.amax(0) + 0.05), f"× {det[k]:.1f}", fontsize=9, zorder=4, bbox=plate)
for ax in axes:
    ax.set(xlim=(-3.3, 3.3), ylim=(-3.3, 4.3))
figure(
    fig,
    alt="Right: the pulled sheet with four equal squares. Left: the flat sheet with their images, "
    "slanted boxes, each marked with its determinant: "
    + ", ".join(f"{d:.1f}" for d in det)
    + ". Dense regions on the right "
    "have large images on the left.",
    caption="Equal squares on the pulled sheet (right), and their images on the flat one (left) with the "
    "determinant of each. Where the cloud is dense the image is large.",
)

# %% [markdown]
# Two things stand between {eq}`flow-change` and a generative model of anything large. The inverse of $f$
# must exist and be cheap, or we cannot draw. And the determinant of a $D \times D$ matrix costs of the
# order of $D^3$ operations, after $D$ backward passes to get the matrix. All of flow design is the search
# for maps whose determinant is *known*.
#
# ## 4 Derive: maximum likelihood
#
# Let $f_\theta$ have parameters. The data have a density $p$; the model's is called $p_\theta$. As in the
# start chapter, the average of $-\log p_\theta$ over the data differs from a KL divergence by a constant,
# the entropy $H(p)$, so
#
# $$ -\mathbb{E}_{x \sim p}\Big[\log p_Z\big(f_\theta(x)\big) + \log\big|\det J_\theta(x)\big|\Big] = H(p) +
# \mathrm{KL}\big(p\,\|\,p_\theta\big). $$ (flow-mle)
#
# The left side is the loss: no encoder, no critic, no bound. Its two terms pull against each other. The
# first alone would send all data to the one point where $p_Z$ is largest. The second alone would blow the
# space up without limit. The right side says where the quarrel ends: never below the entropy of the data,
# and there only if $p_\theta = p$.
#
# For images $H(p)$ is unknown. For the densities in `dgm.data.toy2d` $\log p(x)$ is known at every point,
# so we can estimate the KL itself: the mean of $\log p - \log p_\theta$ over fresh points of $p$, with the
# standard error of a mean.


# %%
@torch.no_grad()
def divergence(log_prob, density, n=50_000):  # KL(density, model) and its standard error, nats
    x = density.sample(n, torch.Generator().manual_seed(10_000))
    log_ratio = torch.cat([density.log_prob(part) - log_prob(part) for part in x.split(10_000)])
    return log_ratio.mean().item(), log_ratio.std().item() / math.sqrt(n)


# the estimator against a KL that is known: N((1, 0), 0.5^2 I) from N(0, I)
small = GaussianMixture([(1.0, 0.0)], [0.5])
known = 0.5 * (1 + 2 * (0.25 - 1 - math.log(0.25)))
estimate, error = divergence(standard_normal_log_prob, small)
print(f"KL estimated {estimate:.4f} ± {error:.4f}, exact {known:.4f} nats")
assert abs(estimate - known) < 4 * error

# %% [markdown]
# ## 5 Derive: layers, and their log-determinants
#
# A rich $f$ is made of many simple ones, $z = f_K(\dots f_1(x))$. Write $x_0 = x$ and $x_k = f_k(x_{k-1})$.
# By the chain rule the Jacobian of the whole is the product $J_K(x_{K-1}) \cdots J_1(x_0)$, the determinant
# of a product is the product of the determinants, and the logarithm makes it a sum:
#
# $$ \log \left| \det \frac{\partial z}{\partial x} \right| = \sum_{k=1}^{K} \log \left| \det J_{f_k}(x_{k-1})
# \right|. $$ (flow-compose)
#
# Each term is taken where its own layer stands, at $x_{k-1}$ and not at $x$. Backwards the layers come in
# reverse order. The sum is also what keeps numbers in range: a hundred layers that shrink volumes tenfold
# have a determinant of $10^{-100}$, zero in single precision, and a log-determinant of $-230$.


# %%
class Chain(nn.Module):  # eq. (flow-compose)
    def __init__(self, *flows):
        super().__init__()
        self.flows = nn.ModuleList(flows)

    def forward(self, x):  # x (B, D) -> z (B, D), log |det dz/dx| (B,)
        total = 0.0
        for flow in self.flows:
            x, logdet = flow(x)
            total = total + logdet
        return x, total

    def inverse(self, z):  # z (B, D) -> x (B, D), log |det dx/dz| (B,)
        total = 0.0
        for flow in reversed(self.flows):
            z, logdet = flow.inverse(z)
            total = total + logdet
        return z, total


# %% [markdown]
# ## 6 Derive: coupling
#
# Which layer has an inverse and a determinant for free, and still a network inside? Cut the $D$ entries
# into two parts, $x = (x_a, x_b)$. Keep one, and let it decide what happens to the other. The simplest
# thing to do to the other is to shift it ([Dinh et al. 2015](https://arxiv.org/abs/1410.8516)):
#
# $$ z_a = x_a, \quad z_b = x_b + t(x_a) \qquad\Longleftrightarrow\qquad x_a = z_a, \quad x_b = z_b -
# t(z_a). $$ (flow-additive)
#
# Look at the inverse. It needs $t(z_a)$, and $z_a$ is $x_a$, which is there: *the network $t$ is never
# inverted*. It may be any function at all, as wide and deep as you like. This is an **additive coupling
# layer**, and $t$ (with $s$ below) is called its conditioner. Since it only shifts, no volume changes. To
# change volumes, scale as well ([Dinh et al. 2017](https://arxiv.org/abs/1605.08803)), by a factor that is
# positive by construction:
#
# $$ z_a = x_a, \quad z_b = x_b \odot e^{s(x_a)} + t(x_a) \quad\Longleftrightarrow\quad x_a = z_a, \quad x_b =
# \big(z_b - t(z_a)\big) \odot e^{-s(z_a)}. $$ (flow-affine)
#
# Its Jacobian, with the two parts in order, is
#
# $$ J = \begin{pmatrix} I & 0 \\ \partial z_b / \partial x_a & \operatorname{diag} e^{s(x_a)}
# \end{pmatrix}. $$
#
# All derivatives of the networks stand in the lower left corner. The upper right corner is zero because
# $z_a$ does not look at $x_b$; the lower right is diagonal because entry $j$ of $z_b$ looks at no other
# entry of $x_b$. The determinant of a triangular matrix is the product of its diagonal, so
#
# $$ \log \left| \det J \right| = \sum_{j} s_j(x_a), $$ (flow-affine-logdet)
#
# a sum over the outputs of the network that had to be computed anyway: $D^3$ has become at most $D$.
#
# What can one such layer say about data? If $z$ is standard normal, {eq}`flow-affine` reads backwards: draw
# $x_a \sim \mathcal{N}(0, I)$, then $x_b \mid x_a$ Gaussian with mean $-t\,e^{-s}$ and standard deviation
# $e^{-s}$, both functions of $x_a$. A regression that knows its own spread: the sheet at the top was pulled
# by one of these.
#
# ## 7 Write: an affine coupling
#
# One network writes $s$ and $t$ together. $s$ is bounded smoothly, $s \leftarrow c \tanh(s/c)$, or one
# unlucky batch could scale by $e^{50}$. Its last layer starts at zero, so that a fresh layer is the
# identity and a deep stack of them starts harmless.


# %%
def cut(x, swap):  # (B, D) -> the half that is kept, the half that is changed
    first, second = x.chunk(2, dim=1)
    return (second, first) if swap else (first, second)


def join(kept, changed, swap):
    return torch.cat([changed, kept] if swap else [kept, changed], dim=1)


class AffineCoupling(nn.Module):
    def __init__(self, features, swap=False, hidden=(64, 64), clip=2.0, activation="relu"):
        super().__init__()
        half, self.swap, self.clip = features // 2, swap, clip
        self.net = MLP([half, *hidden, 2 * half], activation=activation)
        for parameter in self.net.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def scale_and_shift(self, kept):  # s and t, each (B, D / 2)
        s, t = self.net(kept).chunk(2, dim=1)
        return self.clip * torch.tanh(s / self.clip), t


# %%
def forward(self, x):  # x -> z and log |det|: eq. (flow-affine), eq. (flow-affine-logdet)
    kept, changed = cut(x, self.swap)
    s, t = self.scale_and_shift(kept)
    return join(kept, changed * s.exp() + t, self.swap), s.sum(1)


def inverse(self, z):  # z -> x: the same network, called on the same half
    kept, changed = cut(z, self.swap)
    s, t = self.scale_and_shift(kept)
    return join(kept, (changed - t) * torch.exp(-s), self.swap), -s.sum(1)


AffineCoupling.forward, AffineCoupling.inverse = forward, inverse

# %% [markdown]
# Draw the Jacobian of a layer (with random weights in the last layer, or there would be nothing to see),
# computed by autograd and without the formula:


# %%
def dense_jacobian(flow, x):  # (B, D) -> (B, D, D), by autograd, one matrix per example
    return vmap(jacrev(lambda one: flow(one[None])[0][0]))(x)


with seeded(0):
    layers = [AffineCoupling(6, swap=swap) for swap in (False, True)]
    for layer in layers:
        nn.init.normal_(layer.net.layers[-1].weight, std=1.0)
x_six = torch.randn(4, 6, generator=g)

# %%
candidates = {"one coupling": layers[0], "swapped": layers[1], "one after the other": Chain(*layers)}
fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.7))
for ax, (name, flow) in zip(axes, candidates.items(), strict=True):
    J = dense_jacobian(flow, x_six)
    image = ax.imshow(J[0].detach(), cmap="PuOr", vmin=-1.5, vmax=1.5)
    ax.set(title=name, xlabel="entry of x", ylabel="entry of z")
    ax.grid(False)
    z, logdet = flow(x_six)
    torch.testing.assert_close(logdet, torch.linalg.slogdet(J).logabsdet, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(flow.inverse(z)[0], x_six, rtol=1e-4, atol=1e-5)
    assert (z - x_six).abs().max() > 0.1  # the identity would pass the two lines above
fig.colorbar(image, ax=axes, label="dz / dx", shrink=0.8)
figure(
    fig,
    alt="Three 6 by 6 Jacobians. One coupling: the identity above left, zeros above right, a full block "
    "below left, a diagonal below right. Swapped: the same turned round. One after the other: full "
    "everywhere.",
    caption="Jacobians of a coupling, of its mirror image, and of one after the other; white is zero. Each "
    "alone is triangular, their composition is full.",
)
assert (dense_jacobian(layers[0], x_six)[:, :3, 3:] == 0).all()

# %% [markdown]
# **Where to look.** White is zero. Each layer alone is triangular. Their composition is not, and yet its
# log-determinant is known: by {eq}`flow-compose` it is the sum of two. That is the whole idea.
#
# The library splits the work in three: a split (`Halves`), a change of single numbers (`Affine`), a network
# that writes its parameters. Given our weights it agrees.

# %%
from dgm.flows import Affine, Compose, Coupling, Halves

for layer in layers:
    conditioner = nn.Sequential(layer.net, nn.Unflatten(1, (2, 3)))  # (B, 6) -> s and t: (B, 2, 3)
    library = Coupling(Halves(6, swap=layer.swap), Affine(clip=2.0), conditioner)
    for ours, theirs in zip(layer(x_six), library(x_six), strict=True):
        torch.testing.assert_close(ours, theirs)
    for ours, theirs in zip(layer.inverse(x_six), library.inverse(x_six), strict=True):
        torch.testing.assert_close(ours, theirs)
show(Coupling)

# %% [markdown]
# ## 8 Break it: halves that never swap
#
# The data from here on are two moons, an exact density. Stack four couplings, but forget `swap`. Before you
# run the cell: what will the first coordinate of the model's samples look like, after however much
# training?


# %%
def train_flow(model, density, steps, seed=0, batch_size=256, rate=5e-3, progress=True):
    points = density.sample(steps * batch_size, torch.Generator().manual_seed(seed))  # fresh at every step
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

    def step(x):
        loss = -model.log_prob(x).mean()  # the left side of eq. (flow-mle)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        return {"loss": loss}

    return fit(step, points.split(batch_size), steps=steps, progress=progress)


def couplings(number, alternate=True, seed=0):
    with seeded(seed):
        layers = [AffineCoupling(2, swap=alternate and k % 2 == 1) for k in range(number)]
    return FlowModel(StandardNormal(2), Chain(*layers))


# %%
moons, STEPS = TwoMoons(), budget(cpu=400, full=6000)
models = {"never swapped": couplings(4, alternate=False), "alternating": couplings(4)}
kl = {}
for name, model in models.items():
    train_flow(model, moons, STEPS, progress=False)
    kl[name] = divergence(model.log_prob, moons)
    print(f"{name}: KL(data, model) = {kl[name][0]:.3f} ± {kl[name][1]:.3f} nats")
x_moons = moons.sample(4, g)
assert torch.equal(models["never swapped"].flow(x_moons)[0][:, 0], x_moons[:, 0])  # not approximately: equal

# %%
drawn = {name: model.sample(20_000, torch.Generator().manual_seed(1)) for name, model in models.items()}
fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.9), width_ratios=[1, 1, 1.1])
for ax, (name, model) in zip(axes, models.items(), strict=False):
    density_plot(model.log_prob, moons.bounds, ax, points=120, title=name)
real = moons.sample(20_000, g)
clouds = {"data": real, **drawn}
for (name, cloud), style in zip(clouds.items(), ("-", "--", ":"), strict=True):
    height, edges = torch.histogram(cloud[:, 0], 60, range=(-3.5, 3.5), density=True)
    axes[2].plot((edges[:-1] + edges[1:]) / 2, height, style, label=name)
axes[2].set(xlabel="$x_1$", ylabel="density", title="first coordinate alone", ylim=(0, 0.62))
axes[2].legend(fontsize=8)
figure(
    fig,
    alt="Left: the density of the flow that never swaps, a blurred band with a bulge. Middle: the "
    "alternating flow shows both moons. Right: densities of the first coordinate. Data and the "
    "alternating flow are broad with edges; the flow that never swaps has the Gaussian bell it started "
    "from.",
    caption="Four couplings that never swap their halves, and four that do. Without swapping, the first "
    "coordinate keeps the bell of the base for ever.",
)

# %% [markdown]
# **What happened.** $z_1 = x_1$ in every layer, so $x_1$ keeps the base's density, a bell, for ever. And a
# chain of affine changes of $x_2$ that all look at the same $x_1$ is one affine change: $x_2$ given $x_1$
# is a single Gaussian. We can compute the best that *any* number of such layers reaches. Given $x_1$ the
# best Gaussian has the mean and the variance of the data's $x_2$ at that $x_1$; the integrals are sums over
# a grid of cells, because the density is known.

# %%
SIDE = 300
points = lattice(moons.bounds, SIDE)
width = (moons.bounds[1] - moons.bounds[0]) / SIDE
log_p = moons.log_prob(points).double().view(SIDE, SIDE)  # row: x2, column: x1
cells = log_p.exp() * width**2  # probabilities
x1, x2 = points.view(SIDE, SIDE, 2)[0, :, 0].double(), points.view(SIDE, SIDE, 2)[:, 0, 1].double()
p1 = cells.sum(0)
mean = (cells * x2[:, None]).sum(0) / p1
std = ((cells * x2[:, None] ** 2).sum(0) / p1 - mean**2).clamp_min(1e-9).sqrt()
log_best = standard_normal_log_prob(x1[:, None]) + torch.distributions.Normal(mean, std).log_prob(x2[:, None])
floor = (cells * (log_p - log_best)).sum().item()
kl_first = (p1 * ((p1 / width).log() - standard_normal_log_prob(x1[:, None]))).sum().item()
print(f"no unswapped stack gets below {floor:.3f} nats, of which {kl_first:.3f} for x1 alone")
assert abs(cells.sum() - 1) < 1e-3
assert kl["never swapped"][0] > floor - 4 * kl["never swapped"][1]
assert kl["alternating"][0] < floor / 3

# %% [markdown]
# The first stack has reached its floor, and no training will carry it lower. Swap, and the half that was
# kept is changed next, by a network that looks at the half just changed. This mistake is easy to make and
# hard to see: nothing crashes, the loss falls, and the inverse is exact.
#
# ## 9 Run: how far from the truth, in nats
#
# The alternating stack of the last section is the plain model, called RealNVP
# ([Dinh et al. 2017](https://arxiv.org/abs/1605.08803); the name stands for "real-valued,
# non-volume-preserving"). Its figure is our yardstick. Two changes, one at a time. First, the activations
# of the networks: sines for ReLUs, so that $s$ and $t$ are smooth functions that bend often. Second, twice
# as many couplings. The library's `RealNVP` is the same chain; it keeps the two halves as two tensors that
# change roles, which saves time.

# %%
from dgm.flows import RealNVP

BUILDERS = {
    "sines": lambda: FlowModel(StandardNormal(2), RealNVP(2, 4, activation="sine")),
    "sines, 8 couplings": lambda: FlowModel(StandardNormal(2), RealNVP(2, 8, activation="sine")),
}
for name, build in BUILDERS.items():
    with seeded(0):
        models[name] = build()
    train_flow(models[name], moons, STEPS)
    kl[name] = divergence(models[name].log_prob, moons)
for name, (mean_kl, error) in kl.items():
    print(f"{name:18s} KL(data, model) = {mean_kl:.4f} ± {error:.4f} nats")
# over seeds 0, 1, 2 each change took away at least a quarter; half of that is asked for
assert kl["sines"][0] < 0.87 * kl["alternating"][0]
assert kl["sines, 8 couplings"][0] < 0.87 * kl["sines"][0]

# %%
best = models["sines, 8 couplings"]
fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.9))
density_plot(moons.log_prob, moons.bounds, axes[0], points=140, title="data")
density_plot(best.log_prob, moons.bounds, axes[1], points=140, title="8 couplings")
with torch.no_grad():
    lost = (log_p.exp() * (log_p - best.log_prob(points).view(SIDE, SIDE))).float()  # the integrand of the KL
image = axes[2].imshow(lost, origin="lower", extent=moons.bounds, cmap="PuOr", vmin=-0.06, vmax=0.06)
axes[2].set(title="p log(p / model)", xlabel="$x_1$", ylabel="$x_2$")
axes[2].grid(False)
fig.colorbar(image, ax=axes[2], label="nats per unit area", shrink=0.7)
figure(
    fig,
    alt="Left: the two moons. Middle: the model's density, the same moons with a faint thread from "
    "either inner tip. Right: where the KL comes from: thin stripes along the moons, above and below "
    "zero, darkest and positive at the four tips.",
    caption="The data's density, the flow's, and where the divergence between them comes from: purple where "
    "the model is too low, brown where it is too high.",
)
on_grid = lost.sum().item() * width**2
print(f"the same KL as a sum over the grid: {on_grid:.4f} nats")
mean_kl, error = kl["sines, 8 couplings"]
assert abs(on_grid - mean_kl) < 4 * error

# %% [markdown]
# **Where to look.** The third panel shows where the model is too low (positive) and too high. That is what
# an exact density is good for. And it gives the KL a second time, without a single draw: two ways of
# measuring, one answer.
#
# Now watch it work. Left, data travel to the Gaussian, one coupling at a time; right, a Gaussian cloud on a
# square grid travels back. Before you move the slider: in which directions can points move in one step?


# %%
def truncated_kl(layers):  # KL from the data to the flow that consists of these layers alone
    return divergence(FlowModel(StandardNormal(2), Compose(*layers)).log_prob, moons)[0]


layers = list(best.flow.couplings)
kl_after = [truncated_kl(layers[:k]) for k in range(9)]
with torch.no_grad():
    x_some, z_some = moons.sample(1200, g), torch.randn(1200, 2, generator=g)
    t = torch.linspace(0, math.pi, 200)
    arc = 1.7 * torch.stack([t.cos() - 0.5, t.sin() - 0.25], 1)  # the upper moon; -arc is the lower one
    upper = torch.cdist(x_some, arc).amin(1) < torch.cdist(x_some, -arc).amin(1)
    net = torch.cat(grid_lines(3.2))  # (26 * 121, 2)
    forward_path = list(Compose(*layers).forward_path(torch.cat([x_some, net])))
    inverse_path = list(Compose(*layers).inverse_path(torch.cat([z_some, net])))


# %%
def draw_path(k):
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.7), layout="none")
    fig.subplots_adjust(left=0.06, right=0.99, bottom=0.08, top=0.91, wspace=0.14)
    sides = (
        (axes[0], forward_path[k], "forward: data to latent"),
        (axes[1], inverse_path[k], "inverse: latent to data"),
    )
    for ax, path, title in sides:
        for line in path[1200:].split(121):
            ax.plot(*line.T, color="0.75", lw=0.6)
        ax.set(xlim=(-3.6, 3.6), ylim=(-3.6, 3.6), title=title)
        ax.grid(False)
    moving = forward_path[k][:1200]
    axes[0].scatter(*moving[upper].T, s=3, color=PALETTE["blue"], zorder=3)
    axes[0].scatter(*moving[~upper].T, s=3, color=PALETTE["vermilion"], zorder=3)
    axes[1].scatter(*inverse_path[k][:1200].T, s=3, color=PALETTE["orange"], zorder=3)
    return fig


# %%
frames(
    draw_path,
    list(range(9)),
    label="couplings applied",
    start=4,
    alt=lambda k: (
        f"After {k} of 8 couplings. Left: the two moons, blue and red, on a grid that has been bent with them"
        + (", now a round cloud with a seam between the colours. " if k == 8 else ". ")
        + "Right: a Gaussian cloud and its grid"
        + (", now two moons. " if k == 8 else " on the way to two moons. ")
        + f"A flow of the first {k} couplings alone would have a KL of {kl_after[k]:.2f} nats."
    ),
    caption="Eight couplings, one at a time: data on the way to the Gaussian (left), a Gaussian cloud on the "
    "way to the data (right). Every step moves points along one axis only.",
)
print("KL after k couplings, nats:", [round(v, 2) for v in kl_after])
assert abs(kl_after[8] - kl["sines, 8 couplings"][0]) < 1e-4  # the same points; sums in another order
assert torch.equal(forward_path[1][:, 0], forward_path[0][:, 0])  # the first coupling moves nothing sideways

# %% [markdown]
# **Where to look.** Every step moves points up and down only, or sideways only; the next one takes the
# other direction. Lines bend and bunch but never cross: the map is one-to-one all the way. At the last stop
# on the left the two colours lie side by side in one round cloud, with a seam between them. Keep the seam
# in mind for section 13. The loss looks only at the end of the journey, so the stops between need not look
# better one after the other.
#
# ## 10 Derive: a transform that bends
#
# Given $x_a$, an affine coupling moves $x_b$ by a straight line. Nothing in the argument of section 6 needs
# a straight line. *Any* increasing function of each entry of $x_b$, with parameters from the network, keeps
# the Jacobian triangular; we need its slope for the determinant and its inverse for drawing. A **monotone
# rational-quadratic spline** ([Gregory and Delbourgo 1982](https://doi.org/10.1093/imanum/2.2.123);
# [Durkan et al. 2019](https://arxiv.org/abs/1906.04032)) has both in closed form, and as many bends as it
# has bins.
#
# The spline passes through knots $(x_k, y_k)$, both increasing, with given slopes $\delta_k > 0$ there. In
# the bin from $x_k$ to $x_{k+1}$ write $\xi = (x - x_k)/(x_{k+1} - x_k)$ for the place in the bin, between
# 0 and 1, $h = y_{k+1} - y_k$ for its height and $s = h/(x_{k+1} - x_k)$ for its mean slope. Look for
# $y = y_k + h\,P(\xi)/Q(\xi)$ with quadratics $P$ and $Q$. Four things are asked of $P/Q$: value 0 at
# $\xi = 0$ and 1 at $\xi = 1$, and there the slopes $\delta_k/s$ and $\delta_{k+1}/s$ (in $\xi$). A
# quotient of quadratics has five free numbers. Spend the fifth on $Q(0) = Q(1)$, so that, up to a common
# factor, $Q = 1 + q\,\xi(1 - \xi)$, and write $P = a\,\xi(1 - \xi) + b\,\xi^2$, which is 0 at 0. Then
#
# - the value at 1 is $b$, so $b = 1$;
# - the slope at 0 is $P'(0)/Q(0) = a$, so $a = \delta_k/s$;
# - the slope at 1 is $P'(1)\,Q(1) - P(1)\,Q'(1)$ $= (2 - a) + q$, so $q = (\delta_{k+1} + \delta_k)/s - 2$.
#
# Multiply $P$ and $Q$ by $s$:
#
# $$ y = y_k + h\, \frac{s\, \xi^2 + \delta_k\, \xi (1 - \xi)}{s + (\delta_{k+1} + \delta_k - 2 s)\, \xi (1 -
# \xi)}. $$ (flow-spline)
#
# The denominator cannot vanish: $\xi(1 - \xi) \le \tfrac14$ and $q > -2$. Is it increasing? Differentiate.
# In $P'Q - PQ'$ the terms with $a\,q$ cancel, what is left of $q$ is $q\,\xi^2$, and collecting gives
# $a(1 - \xi)^2 + 2\,\xi(1 - \xi) + (\delta_{k+1}/s)\,\xi^2$. So
#
# $$ \frac{dy}{dx} = \frac{s^2 \big( \delta_{k+1}\, \xi^2 + 2 s\, \xi (1 - \xi) + \delta_k\, (1 - \xi)^2
# \big)}{\big( s + (\delta_{k+1} + \delta_k - 2 s)\, \xi (1 - \xi) \big)^2}. $$ (flow-spline-slope)
#
# Every term is positive, whatever the positive knots and slopes: that is what the fifth number bought. A
# cubic through the same knots with the same slopes may turn back on itself.
#
# To invert, put $\rho = y - y_k$ and multiply {eq}`flow-spline` by its denominator. What remains is
# quadratic in $\xi$:
#
# $$ A \xi^2 + B \xi + C = 0, \qquad \xi = \frac{2 C}{-B - \sqrt{B^2 - 4 A C}}, $$ (flow-spline-inverse)
#
# with $A = h (s - \delta_k) + \rho\, \sigma$, $B = h\, \delta_k - \rho\, \sigma$, $C = -s \rho$ and
# $\sigma = \delta_{k+1} + \delta_k - 2 s$. Which root? At $\rho = 0$ we need $\xi = 0$; there $C = 0$ and
# $B = h \delta_k > 0$, so it is $(-B + \sqrt{\cdot})/2A$, and since the slope is never zero the two roots
# never meet on the way up the bin. Multiplied above and below by $-B - \sqrt{\cdot}$ it takes the form
# shown, which does not divide by $A$; in a straight bin $A = 0$. (Where $B < 0$ the library keeps the first
# form: there $-B - \sqrt{\cdot}$ would be a small difference of large numbers, and $A = h s - B$ is at
# least $h s$.)


# %%
def spline_bin(x, x0, x1, y0, y1, d0, d1):  # y and dy/dx in the bin from x0 to x1
    s, xi = (y1 - y0) / (x1 - x0), (x - x0) / (x1 - x0)
    mixed = xi * (1 - xi)
    below = s + (d1 + d0 - 2 * s) * mixed
    y = y0 + (y1 - y0) * (s * xi**2 + d0 * mixed) / below  # eq. (flow-spline)
    return y, s**2 * (d1 * xi**2 + 2 * s * mixed + d0 * (1 - xi) ** 2) / below**2  # eq. (flow-spline-slope)


def spline_bin_inverse(y, x0, x1, y0, y1, d0, d1):  # eq. (flow-spline-inverse)
    h, s, rho = y1 - y0, (y1 - y0) / (x1 - x0), y - y0
    sigma = d1 + d0 - 2 * s
    A, B, C = h * (s - d0) + rho * sigma, h * d0 - rho * sigma, -s * rho
    return x0 + (x1 - x0) * 2 * C / (-B - (B**2 - 4 * A * C).sqrt())


# %%
from dgm.flows import Knots, RationalQuadratic, rational_quadratic

knots = Knots(  # five of them, so four bins; slope 1 at the ends, where the identity takes over
    torch.tensor([-3.0, -1.3, -0.2, 1.1, 3.0], dtype=torch.float64),
    torch.tensor([-3.0, -0.7, 0.1, 0.5, 3.0], dtype=torch.float64),
    torch.tensor([1.0, 1.6, 0.2, 1.2, 1.0], dtype=torch.float64),
)
x = torch.linspace(-4, 4, 1601, dtype=torch.float64)
y, log_slope = rational_quadratic(x, Knots(*(k.expand(len(x), 5) for k in knots)))
for k in range(4):
    inside = (x > knots.x[k]) & (x < knots.x[k + 1])
    corners = [part[i] for part in knots for i in (k, k + 1)]  # x0, x1, y0, y1, d0, d1
    ours, slope = spline_bin(x[inside], *corners)
    torch.testing.assert_close(ours, y[inside])
    torch.testing.assert_close(slope.log(), log_slope[inside])
    torch.testing.assert_close(spline_bin_inverse(ours, *corners), x[inside])
measured = torch.gradient(y, spacing=(x,))[0]
assert (measured - log_slope.exp())[5:-5].abs().max() < 0.02  # a difference quotient; off by the kinks in y''
show(rational_quadratic)

# %%
fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.6))
axes[0].plot(x, y)
axes[0].plot(knots.x, knots.y, "o", color=PALETTE["vermilion"])
axes[0].set(xlabel="x", ylabel="z", title="the spline, 4 bins")
axes[1].plot(x, log_slope.exp())
axes[1].plot(knots.x, knots.slope, "o", color=PALETTE["vermilion"])
axes[1].set(xlabel="x", ylabel="dz / dx", title="its slope")
axes[2].plot(x, standard_normal_log_prob(x[:, None]).exp(), "--", color="0.6", label="of z")
axes[2].plot(x, (standard_normal_log_prob(y[:, None]) + log_slope).exp(), label="of x")
axes[2].set(xlabel="z or x", ylabel="density", title="what it does to a bell", ylim=(0, 0.62))
axes[2].legend(fontsize=8)
figure(
    fig,
    alt="Left: an increasing curve through five knots, the diagonal outside. Middle: its slope, "
    "positive and continuous, passing through the given slopes at the knots. Right: the Gaussian bell, "
    "and the density that one such spline makes of it: two peaks with a deep valley.",
    caption="A spline of four bins, its slope, and what it does to a Gaussian bell: one bump becomes two. "
    "Dots mark the knots.",
)

# %% [markdown]
# One affine change leaves a bell a bell. One spline has split it. In a coupling the network writes, for
# each entry of $x_b$, the $K$ widths and $K$ heights of the bins (a softmax makes them positive and fixes
# their sum) and the $K - 1$ inner slopes (a softplus): $3K - 1$ numbers. Outside $[-b, b]$ the spline is
# the identity.
#
# ## 11 Run: splines, step for step
#
# Half as many couplings, splines of eight bins in the place of straight lines, and nothing else changed: as
# many steps, the same batches. Beside the moons, a pinwheel: five thin, bent arms.

# %%
pinwheel = Pinwheel()
FAMILIES = {
    "affine": lambda: RealNVP(2, 8, activation="sine"),
    "spline": lambda: RealNVP(2, 4, activation="sine", transform=RationalQuadratic(bins=8, bound=3.5)),
}
step_for_step, wheels = {("affine", "two moons"): kl["sines, 8 couplings"]}, {}
for name, density in (("spline", moons), ("affine", pinwheel), ("spline", pinwheel)):
    with seeded(0):
        model = FlowModel(StandardNormal(2), FAMILIES[name]())
    train_flow(model, density, STEPS)
    step_for_step[name, density.name] = divergence(model.log_prob, density)
    if density is pinwheel:
        wheels[name] = model
for (name, where), (mean_kl, error) in step_for_step.items():
    size = sum(p.numel() for p in FAMILIES[name]().parameters())
    print(f"{where:9s} {name}, {size:,} parameters: KL(data, model) = {mean_kl:.4f} ± {error:.4f} nats")

# %%
fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.9))
density_plot(pinwheel.log_prob, pinwheel.bounds, axes[0], points=140, title="data")
for ax, (name, model) in zip(axes[1:], wheels.items(), strict=True):
    density_plot(model.log_prob, pinwheel.bounds, ax, points=140, title=f"{name} couplings")
figure(
    fig,
    alt="Three densities. Data: five narrow bent arms around an empty middle. Affine couplings: the "
    "arms are there but smeared, with faint threads between them. Spline couplings: the arms are as "
    "narrow as the data's.",
    caption="A pinwheel, and two flows after as many steps. Affine couplings smear the arms and leave "
    "threads between them; splines, with half as many couplings, come much closer.",
)
for where in ("two moons", "pinwheel"):  # over seeds 0, 1, 2 at most a third of the affine one's
    assert step_for_step["spline", where][0] < 0.5 * step_for_step["affine", where][0]

# %% [markdown]
# **What it means.** At the same number of steps, with half the couplings, the splines come several times
# closer. One coupling with bends does what takes several without. `bench/flow_toy.py` takes both much
# further, with longer runs and a learned rotation before every coupling, and repeats them over seeds.
#
# ## 12 Break it: the wrong sign
#
# Write $\log p_Z(f(x)) - \log|\det J|$, a minus for a plus. It happens when a formula comes from a paper
# whose $f$ runs the other way. Two tests that everybody writes stay green: `inverse(forward(x))` is still
# $x$, and the log-determinants of the two directions, both wrong, still cancel. First read a flow that was
# trained correctly with the wrong sign. Then train with it. Before you run the cell: what will the loss do?


# %%
class WrongSign(FlowModel):
    def log_prob(self, x):
        z, logdet = self.flow(x)
        return self.base.log_prob(z) - logdet


@torch.no_grad()
def grid_integral(model, reach=8.0, side=400):  # of exp(log_prob) over the square: a density gives 1
    grid = lattice((-reach, reach, -reach, reach), side)
    density = torch.cat([model.log_prob(part).double().exp() for part in grid.split(40_000)])
    return density.sum().item() * (2 * reach / side) ** 2


# %%
right = models["alternating"]
misread = WrongSign(right.base, right.flow)
mistrained = WrongSign(StandardNormal(2), couplings(8).flow)
train_flow(mistrained, moons, 60)
x_test = moons.sample(20_000, g)
entropy = -moons.log_prob(x_test).mean().item()
verdict = {}
for name, model in {"right sign": right, "misread": misread, "trained wrong": mistrained}.items():
    with torch.no_grad():
        nll = -model.log_prob(x_test).mean().item()
    verdict[name] = nll, grid_integral(model)
    print(f"{name:14s} mean of -log p {nll:7.2f} nats, integral over the plane {verdict[name][1]:.4g}")
print(f"entropy of the data {entropy:12.2f} nats")

# %% [markdown]
# **What happened.** With the wrong sign the two terms of {eq}`flow-mle` no longer quarrel: both want to
# shrink everything to a point, and only the bound on $s$ stops them. The loss falls faster than ever
# before, to a value far below the entropy of the data. By {eq}`flow-mle` no density can do that. Here the
# entropy is known; for images it is not, and a proud number is all you would see. The integral tells
# without any knowledge of the data: it should be 1. Note the second line. Misread, the flow trained
# correctly has a loss that looks like a loss. Only the integral convicts it.

# %%
assert abs(verdict["right sign"][1] - 1) < 1e-3  # cells of width 0.04, a quarter of the noise of the moons
assert abs(verdict["misread"][1] - 1) > 0.02
assert verdict["trained wrong"][1] > 1e3
assert verdict["trained wrong"][0] < entropy - 5 < verdict["right sign"][0]
z, logdet = right.flow(x_moons)
back, logdet_back = right.flow.inverse(z)
torch.testing.assert_close(back, x_moons, rtol=1e-3, atol=1e-4)
torch.testing.assert_close(-logdet_back, logdet, rtol=1e-3, atol=1e-3)  # holds for either sign

# %% [markdown]
# So test a log-determinant against a determinant (section 7 did), or a density against its integral.
# Nothing that compares a flow with its own inverse will do.
#
# ## 13 Break it: two islands and a bridge
#
# The data are two round islands, far apart: $\mathcal{N}\big((\pm 2, 0), 0.3^2 I\big)$, one half each. The
# sheet may be stretched but not torn. Before you move the slider: what can it do?

# %%
islands = GaussianMixture([(-2.0, 0.0), (2.0, 0.0)], [0.3, 0.3])
BOX, WATER = (-4.0, 4.0, -4.0, 4.0), 0.7  # the strip |x1| < 0.7 lies over four deviations from both centres
sea = lattice(BOX, 200)
in_strip = sea[:, 0].abs() < WATER
truth_in_strip = 0.5 * math.erfc((2 - WATER) / (0.3 * math.sqrt(2)))  # of either island beyond its shore
bridge_model, bridges = couplings(6), {}


@torch.no_grad()
def look():  # log-density over the picture, share of the strip, KL and its error
    log_q = bridge_model.log_prob(sea)
    share = (log_q[in_strip].exp().sum() * (8 / 200) ** 2).item()
    return log_q, share, divergence(bridge_model.log_prob, islands, 20_000)


# %%
BRIDGE_STEPS = budget(cpu=500, full=6000)
optimiser = torch.optim.AdamW(bridge_model.parameters(), lr=5e-3, fused=True)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, BRIDGE_STEPS)
for i in range(BRIDGE_STEPS + 1):
    if i in (25, 50, 100, 200, 350, BRIDGE_STEPS):
        bridges[i] = look()
    loss = -bridge_model.log_prob(islands.sample(256, g)).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    schedule.step()


# %%
def draw_bridge(i):
    log_q = bridges[i][0]
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.3), layout="none", sharey=True)
    fig.subplots_adjust(left=0.08, right=0.88, bottom=0.14, top=0.9, wspace=0.08)
    for ax, values, title in ((axes[0], islands.log_prob(sea), "data"), (axes[1], log_q, f"flow, step {i}")):
        image = ax.imshow(values.view(200, 200), vmin=-12, vmax=1, extent=BOX, origin="lower", aspect="auto")
        ax.set(title=title, xlabel="$x_1$")
        ax.grid(False)
    axes[0].set_ylabel("$x_2$")
    fig.colorbar(image, cax=fig.add_axes((0.9, 0.14, 0.02, 0.76)), label="log density, nats")
    return fig


# %%
frames(
    draw_bridge,
    list(bridges),
    label="step",
    start=max(bridges),
    alt=lambda i: (
        f"Logarithms of two densities after {i} steps. Data: two separate discs. Flow: two discs joined by "
        f"a {'broad' if bridges[i][1] > 0.05 else 'thin'} bridge with {bridges[i][1]:.1%} of its probability."
    ),
    caption="Two islands and a flow's density, in logarithms. With training the bridge between the islands "
    "gets thinner; it never disappears.",
)
for i, (_, share, (mean_kl, error)) in bridges.items():
    print(f"step {i:4d}: {share:.2%} of the model in the strip, KL {mean_kl:.3f} ± {error:.3f} nats")
print(f"data in the strip: {truth_in_strip:.1e}")

# %% [markdown]
# **What it means.** A continuous map with a continuous inverse keeps what is connected connected. The
# Gaussian's mass is one lump, so the model's is one lump, and a bridge of positive density joins the
# islands: the seam of section 9 seen from the other side. It gets thinner, never zero. On the line one can
# say at what price. A gap of width $w$ is mapped to a seam of width $\Delta z$ around the middle of the
# bell, which holds about $m = \Delta z / \sqrt{2\pi}$; so the slope in the gap is about $m\sqrt{2\pi}/w$. A
# bridge of a millionth needs a slope of a millionth in the gap, beside islands where the slope is of the
# order of $1/0.3$: an inverse that is some million times as steep in the one place as in the other, from
# networks that we want smooth ([Cornish et al. 2020](https://arxiv.org/abs/1909.13833)). Samples on the
# bridge, and a KL that stalls, are the usual sign that the data have a shape that the base has not.

# %%
shares = [row[1] for row in bridges.values()]
assert shares[-1] < shares[0] / 3  # thinner...
assert shares[-1] > 100 * truth_in_strip  # ...but there

# %% [markdown]
# ## 14 Derive: a density on whole numbers
#
# Images are whole numbers: a pixel of our digits is a count from 0 to 16. A flow is a density, and
# {eq}`flow-mle` assumed that the data have one. They have not. What happens if nobody mentions it?
#
# Put a Gaussian spike of width $\sigma$ on every whole image $x$, with the right weight $P(x)$. At a data
# point $\log p_\theta$ is $\log P(x) - D \log \sigma$ and a constant. Let $\sigma \to 0$: it grows without
# bound, and no integral is violated, for a density is a probability *per volume* and the spikes have none.
# The likelihood of a density on whole numbers is not large; it is meaningless.
#
# So say which probability the model assigns to a whole image. The natural choice gives to $x$ all that lies
# in its cell:
#
# $$ P_\theta(x) = \int_{[0,1)^D} p_\theta(x + u)\, du, \qquad x \in \{0, \dots, L-1\}^D. $$ (flow-dequantise)
#
# The cells do not overlap, so these are probabilities; they sum to one if $p_\theta$ lives on $[0, L)^D$. A
# spike gains nothing now: however narrow, its mass is what it is.
#
# To see both, take a case that can be enumerated: two neighbouring pixels of the digits, one above the
# other, each reduced to $L = 3$ levels (little, some, much ink). That makes nine images, and we declare the
# table of their frequencies to be the truth.

# %%
L = 3
pixels = load_digits("train").x.flatten(1).long()[:, [20, 28]] * L // 17  # (1000, 2), values 0, 1, 2
PAIRS = torch.cartesian_prod(torch.arange(L), torch.arange(L)).float()  # all nine images
P = torch.bincount(pixels[:, 0] * L + pixels[:, 1], minlength=L**2).float() / len(pixels)  # their truth
entropy_P = -(P * P.log()).sum().item()
print("truth, rows: upper pixel\n", P.view(L, L))
print(f"entropy {entropy_P:.3f} nats, {bits_per_dim(entropy_P, 2):.3f} bits a pixel")

# %% [markdown]
# ## 15 Derive: the uniform bound
#
# $P_\theta$ is an integral, and we would maximise $\log P_\theta(x)$. The logarithm of a mean, once more:
# the mean over $u$ uniform on the unit cube. By Jensen's inequality
#
# $$ \log P_\theta(x) = \log \mathbb{E}_{u}\big[p_\theta(x + u)\big] \;\ge\; \mathbb{E}_{u}\big[\log
# p_\theta(x + u)\big], \qquad u \sim \mathrm{U}[0, 1)^D. $$ (flow-bound)
#
# The right side is the flow's ordinary objective on **dequantised** data: add uniform noise, and maximise
# the log-density ([Uria et al. 2013](https://arxiv.org/abs/1306.0186);
# [Theis et al. 2016](https://arxiv.org/abs/1511.01844)). What looked like a trick to blur the spikes is a
# lower bound on an honest discrete likelihood. It is tight if and only if $p_\theta$ is constant on the
# cell. A smooth flow does not like cliffs between cells, and pays.
#
# Two changes of variables remain before a flow on $\mathbb{R}^D$ can be used. First, scale the cells to the
# unit interval, $v = (x + u)/L$. By {eq}`flow-change` that multiplies the density by $L^{-D}$:
# $\log p_\theta(x + u) = \log p_V(v) - D \log L$. Papers report $-\log P$ **per dimension and in bits**, so
# that images of different sizes compare:
#
# $$ \text{bits/dim} = \frac{-\mathbb{E}_u\big[\log p_V(v)\big] + D \log L}{D \log 2}. $$ (flow-bpd)
#
# Check it on a model that knows nothing: $p_V = 1$ on the cube gives $\log_2 L$, the bits to name one of
# $L$ levels.
#
# Second, from the unit interval to the line. The **logit** with a margin $\alpha$, so that the ends stay at
# finite distance ([Dinh et al. 2017](https://arxiv.org/abs/1605.08803)): with
# $r = \alpha + (1 - 2\alpha)\,v$,
#
# $$ y = \log \frac{r}{1 - r}, \qquad \log \left| \frac{dy}{dv} \right| = \log(1 - 2\alpha) - \log r -
# \log(1 - r), $$ (flow-logit)
#
# for each entry, summed over the entries. (The margin costs a little: what the model puts beyond the ends
# of $[0, 1]$ is lost to all nine images.)


# %%
def log_terms(model, x, u):  # log p(x + u): (B,) nats, for levels x (B, D) and noise u (B, D)
    return model.log_prob((x + u) / L) - x.shape[1] * math.log(L)


from dgm.flows import Logit, UnitCube, VariationalNoise, dequantised_log_prob, uniform_noise

x_nine = PAIRS.repeat(3, 1)
ignorant = FlowModel(UnitCube(2), Compose())  # the uniform density: no flow at all
bits = bits_per_dim(-log_terms(ignorant, x_nine, torch.rand(27, 2, generator=g)).mean().item(), 2)
print(f"knows nothing: {bits:.4f} bits a pixel, log2 {L} = {math.log2(L):.4f}")
assert abs(bits - math.log2(L)) < 1e-5
bell = FlowModel(StandardNormal(2), Logit(0.01))
u = torch.rand(27, 2, generator=torch.Generator().manual_seed(1))
theirs = dequantised_log_prob(bell.log_prob, x_nine, L, generator=torch.Generator().manual_seed(1))
torch.testing.assert_close(theirs[0], log_terms(bell, x_nine, u))
show(dequantised_log_prob)

# %% [markdown]
# Train the same flow twice on draws from the table: once with $u = \tfrac12$ every time, which is to say
# without noise, and once with uniform noise. The entropy of $P$ is the best that any model of whole images
# can reach.


# %%
def halves(x, generator=None):  # no noise: the middle of every cell
    return torch.full_like(x, 0.5), x.new_zeros(len(x))


def image_flow(seed=0):
    with seeded(seed):
        return FlowModel(StandardNormal(2), Compose(Logit(0.01), RealNVP(2, 4, (32, 32), activation="sine")))


def train_levels(model, noise, steps, seed=0):
    rng, curve = torch.Generator().manual_seed(seed), []
    parameters = [*model.parameters(), *(noise.parameters() if isinstance(noise, nn.Module) else [])]
    optimiser = torch.optim.AdamW(parameters, lr=5e-3, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x = PAIRS[torch.multinomial(P, 256, replacement=True, generator=rng)]
        loss = -dequantised_log_prob(model.log_prob, x, L, noise=noise, generator=rng).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 20.0)
        optimiser.step()
        schedule.step()
        curve.append(bits_per_dim(loss.item(), 2))
    return torch.tensor(curve)


# %%
LEVEL_STEPS = budget(cpu=350, full=4000)
spiky, uniform = image_flow(), image_flow()
curves = {"no noise": train_levels(spiky, halves, LEVEL_STEPS)}
curves["uniform noise"] = train_levels(uniform, uniform_noise, LEVEL_STEPS)
fig, ax = plt.subplots(figsize=(6, 3))
for (name, curve), style in zip(curves.items(), ("-", "--"), strict=True):
    smooth = curve.unfold(0, 15, 1).median(1).values
    ax.plot(torch.arange(len(smooth)) + 7, smooth, style, label=name)
ax.axhline(bits_per_dim(entropy_P, 2), color="0.5", lw=1)
ax.text(
    0.99 * LEVEL_STEPS, bits_per_dim(entropy_P, 2) - 0.17, "entropy", color="0.35", ha="right", fontsize=9
)
ax.set(xlabel="step", ylabel="loss, “bits per dimension”")
ax.legend()
figure(
    fig,
    alt="Loss against training step, medians over 15 steps. Without noise it falls through the line of "
    "the entropy within a few steps and goes on falling. With uniform noise it settles a little above "
    "the line.",
    caption="One flow trained with noise and without. Without it the loss falls through the entropy of the "
    "truth, below which no likelihood can stay.",
)

# %% [markdown]
# **Where to look.** The upper curve stays above the entropy of the truth. The lower one goes through it as
# if it were not there, down to negative "bits". Both are the same code but for one argument.
#
# ## 16 Run: a bound that can be checked
#
# With nine images in the plane the integral of {eq}`flow-dequantise` can be done: a sum over 60 by 60
# points in each cell. So all is known: the entropy of the truth, the exact cross-entropy
# $-\mathbb{E}_P \log P_\theta$, and the bound that we train on. Between the last two lies the
# importance-weighted bound of [Variational autoencoders](02_vae.ipynb#vae-iwae), section 10, with $u$ in
# the place of $z$: average $K$ densities, then take the logarithm.

# %%
from dgm.flows import tightened


@torch.no_grad()
def exact_log_P(model, side=60):  # log of eq. (flow-dequantise) for all nine images, midpoint rule
    middle = (torch.arange(side) + 0.5) / side
    u = torch.cartesian_prod(middle, middle)
    log_p = torch.stack([log_terms(model, x.expand(len(u), 2), u) for x in PAIRS])  # (9, side^2)
    return torch.logsumexp(log_p, 1) - math.log(len(u))


@torch.no_grad()
def chain(model, noise, n=600):  # bits a pixel: entropy, exact, importance-weighted, bound, and its error
    rng, x = torch.Generator().manual_seed(5), PAIRS.repeat(n, 1)  # (9 n, 2)
    terms = dequantised_log_prob(model.log_prob, x, L, noise=noise, draws=10, generator=rng)  # (10, 9 n)
    weighted = tightened(terms).view(n, 9).mean(0)
    single = terms.view(10 * n, 9)
    nats = [entropy_P, *(-(P * v).sum().item() for v in (exact_log_P(model), weighted, single.mean(0)))]
    error = ((single * P).sum(1).std() / math.sqrt(10 * n)).item()
    return [bits_per_dim(v, 2) for v in (*nats, error)]


# %%
rows = {"uniform noise": chain(uniform, uniform_noise)}
line = "{:18s} entropy {:.4f} ≤ exact {:.4f} ≤ 10 draws {:.4f} ≤ bound {:.4f} ± {:.4f} bits a pixel"
print(line.format("uniform noise", *rows["uniform noise"]))
total, spiky_total = exact_log_P(uniform).exp().sum().item(), exact_log_P(spiky).exp().sum().item()
print(f"the nine probabilities sum to {total:.4f}; the rest lies beyond the margins of the logit")
spiky_exact = bits_per_dim(-(P * exact_log_P(spiky)).sum().item(), 2)
print(f"the flow without noise, by the same integral: {spiky_exact:.3f} bits a pixel")
entropy_bits, exact, ten, bound, error = rows["uniform noise"]
assert entropy_bits < exact < ten < bound
assert bound - exact > 4 * error  # a bound, and not an equality
assert 0.9 < total < 1.001
assert curves["no noise"][-50:].median() < entropy_bits - 0.5 < exact - 0.5 < spiky_exact - 0.5

# %% [markdown]
# Every inequality of the derivation is in the first line, with a number. And look at the last. The flow
# without noise claimed to need far fewer bits than the truth has. Scored by its cells it is an ordinary
# model, and worse than the other. Its number was never a likelihood.
#
# ## 17 Derive: noise that looks at the image
#
# The noise is ours to choose. Nothing forces it to be uniform, or the same for every image. Write it as in
# the VAE: $u$ is a latent variable, $q(u \mid x)$ any density on the unit cube that is positive there.
# Multiply and divide ([Ho et al. 2019](https://arxiv.org/abs/1902.00275)):
#
# $$ \log P_\theta(x) = \log \mathbb{E}_{q(u \mid x)}\left[\frac{p_\theta(x + u)}{q(u \mid x)}\right] \;\ge\;
# \mathbb{E}_{q(u \mid x)}\big[\log p_\theta(x + u) - \log q(u \mid x)\big]. $$ (flow-variational)
#
# Uniform noise is the case $q = 1$. The gap is $\mathrm{KL}\big(q(u \mid x)\,\|\,p_\theta(u \mid x)\big)$,
# where $p_\theta(u \mid x) = p_\theta(x + u)/P_\theta(x)$ is the model's density in the cell, normalised.
# So the flow no longer has to be flat on every cell. It may be a smooth hill, if $q$ learns to put its
# noise on the hill. Here $q$ is itself a small flow, from $\varepsilon \sim \mathcal{N}(0, I)$ to
# $u = \varsigma(\mu(x) + e^{s(x)} \varepsilon)$ ($\varsigma$ is the sigmoid) with a network for $\mu$ and
# $s$, and its density comes from {eq}`flow-change`. Flow and noise are trained together on one objective.

# %%
from dgm.flows import MLPConditioner

with seeded(0):
    noise = VariationalNoise(MLPConditioner(2, 2, 2, (32,)), L)
fitted = image_flow()
train_levels(fitted, noise, LEVEL_STEPS)
rows["variational noise"] = chain(fitted, noise)
for name, row in rows.items():
    print(line.format(name, *row))
gaps = {name: row[3] - row[1] for name, row in rows.items()}
print("gap between bound and exact:", {name: round(gap, 4) for name, gap in gaps.items()})
assert gaps["variational noise"] < 0.85 * gaps["uniform noise"]  # 0.71 at most over seeds 0, 1, 2
assert rows["variational noise"][3] < rows["uniform noise"][3] - 4 * error
assert rows["variational noise"][1] < rows["uniform noise"][1]

# %%
x_drawn = PAIRS[torch.multinomial(P, 500, replacement=True, generator=g)]
fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.9))
axes[0].imshow(P.view(L, L).T, origin="lower", extent=(0, L, 0, L), vmin=0, vmax=0.6)
axes[0].set(title="truth P, cell by cell", xlabel="upper pixel", ylabel="lower pixel")
models_and_noise = {"uniform noise": (uniform, uniform_noise), "variational noise": (fitted, noise)}
for ax, (name, (model, draw)) in zip(axes[1:], models_and_noise.items(), strict=True):
    log_density_y = lambda y, m=model: m.log_prob(y / L) - 2 * math.log(L)  # noqa: E731
    density_plot(log_density_y, (0.001, L - 0.001, 0.001, L - 0.001), ax, points=150, title=name)
    ax.set(xlabel="upper pixel + u", ylabel="lower pixel + u")
    with torch.no_grad():
        ax.scatter(*(x_drawn + draw(x_drawn, g)[0]).T, s=1, color="white", alpha=0.7)
for ax in axes:
    ax.set(xticks=range(L + 1), yticks=range(L + 1))
    ax.grid(True, color="white", alpha=0.5)
figure(
    fig,
    alt="Left: the nine cells of the truth; the corners with little ink and with much ink in both "
    "pixels are brightest. Middle: the flow trained with uniform noise imitates the cells, with steep "
    "walls; its dots fill the cells evenly. Right: with variational noise the density has rounded "
    "hills, and the dots lie on the hills.",
    caption="The nine true probabilities and two trained flows, with noisy draws as dots. Uniform noise asks "
    "the flow for steep walls; noise that is learnt settles on its hills.",
)

# %% [markdown]
# **What it means.** Both models get better at the same time: the flow, because it may be smooth, and the
# bound, because the noise fits. When two papers compare bits per dimension, ask which noise, and how many
# draws.
#
# ## 18 Think
#
# 1. A flow keeps the dimension: 64 pixels, 64 latents. Why can there be no flow from 64 pixels to 16
#    latents, and what does a VAE give up to have one?
#
# :::{admonition} Answer
# :class: dropdown
#
# A smooth one-to-one map with a smooth inverse has an invertible Jacobian, which is square. Fewer latents
# cannot name every image, so several images must share a code. The VAE lets them: its decoder is random,
# and the price is an integral over $z$, of which it knows a bound.
#
# :::
#
# 2. Show that $\mathrm{KL}(p\,\|\,p_\theta)$ in data space equals the KL divergence in latent space, from
#    the density of $f_\theta(x)$, $x \sim p$, to $p_Z$. What should you plot to see what a trained flow has
#    not learnt?
#
# :::{admonition} Answer
# :class: dropdown
#
# Apply {eq}`flow-change` to both densities with the same $f$: the two log-determinants are equal and cancel
# in $\log p - \log p_\theta$. So training makes $z = f(x)$ as normal as possible: hence *normalising* flow.
# Plot the latents of test data. Every departure from the base, a seam, a correlation, a heavy tail, is a
# piece of the remaining KL.
#
# :::
#
# 3. With ReLU networks for $s$ and $t$, is the model's density continuous? Is it smooth?
#
# :::{admonition} Answer
# :class: dropdown
#
# Continuous: by {eq}`flow-affine-logdet` the log-determinant contains $s$ itself and no derivative of $s$
# or $t$, and both are continuous. Not smooth: along the creases of the networks its gradient jumps. (On a
# crease the lower left corner of $J$ does not exist, but the determinant does not need it.) Sines, as in
# section 9, make it smooth.
#
# :::
#
# 4. How many *affine* couplings, alternating, does it take until the first coordinate of a sample can have
#    a density other than a bell? Count in the direction of sampling.
#
# :::{admonition} Answer
# :class: dropdown
#
# One or two. Going back from $z$, the last layer of `forward` comes first. If it changes $x_1$, then
# $x_1 = (z_1 - t(z_2))\,e^{-s(z_2)}$ is Gaussian given $z_2$, and over all $z_2$ a continuous mixture of
# Gaussians, with any means and widths: one coupling is enough. If it keeps $x_1$, the layer before it
# changes $x_1$, and it takes two.
#
# :::
#
# 5. You rate a trained flow on pixels in $[0, 1]$, a colleague rates the same flow on pixels in $[0, 256)$,
#    both with uniform noise, and neither writes the log-determinant of the scaling. By how much do the two
#    "bits per dimension" differ?
#
# :::{admonition} Answer
# :class: dropdown
#
# By $\log_2 256 = 8$ bits, in every dimension: {eq}`flow-bpd` without its second term. On $[0, 1]$ the
# number may be negative, which should arouse suspicion. On $[0, 256)$ it is the right one.
#
# :::
#
# 6. To repair section 13, take a base with two modes,
#    $\tfrac12 \mathcal{N}((-2, 0), I) + \tfrac12 \mathcal{N}((2, 0), I)$, in {eq}`flow-change`. Which part
#    of the derivation changes? What is the catch?
#
# :::{admonition} Answer
# :class: dropdown
#
# Only $\log p_Z$. The base has a valley where the data have a strait, so the sheet need not be squeezed as
# much. The catch: you must know the number of islands, and their weights, before training (or learn the
# weights along with the flow); a class label does this for digits. The valley of the base is never quite
# empty either, but the slope that it asks for is moderate.
#
# :::
#
# 7. Why may the gap of {eq}`flow-bound` be zero with a histogram, one bin for each level, and never with a
#    Gaussian?
#
# :::{admonition} Answer
# :class: dropdown
#
# Jensen's inequality is an equality only if $p_\theta(x + u)$ does not depend on $u$. A histogram's density
# is constant on each bin. A Gaussian's is constant nowhere. The next chapter puts this to use: a transform
# made of histograms, one bin for each grey level.
#
# :::
#
# **Exercises**: [exercises/05_flow.ipynb](../exercises/05_flow.ipynb) asks you for the density that a map
# leaves behind, for a coupling in both directions, for bits per dimension and for what the noise costs; it
# has you predict a bridge, and mend
# [a flow of which half never moves](../exercises/05_flow.ipynb#exercise-5-3).
#
# **Next.** All of this was in two dimensions, or nine images. [Flows for images](06_glow.ipynb) takes the
# same formulas to pixels: which half to keep when the entries have places, how to mix channels with a
# matrix whose determinant is cheap, and what bits per dimension do and do not say about samples.
#
# **References.** [Rezende and Mohamed 2015](https://arxiv.org/abs/1505.05770) brought flows to deep
# learning and [Papamakarios et al. 2021](https://arxiv.org/abs/1912.02762) reviews them;
# [Dinh et al. 2015](https://arxiv.org/abs/1410.8516) and
# [Dinh et al. 2017](https://arxiv.org/abs/1605.08803) for couplings,
# [Durkan et al. 2019](https://arxiv.org/abs/1906.04032) for splines,
# [Theis et al. 2016](https://arxiv.org/abs/1511.01844) and
# [Ho et al. 2019](https://arxiv.org/abs/1902.00275) for dequantisation,
# [Cornish et al. 2020](https://arxiv.org/abs/1909.13833) for islands. The numbered equations are tested in
# `tests/equations/test_flow.py`.
