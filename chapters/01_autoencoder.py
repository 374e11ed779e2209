# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Autoencoders: a narrow door
#
# Sixty-four numbers describe a small picture of a digit. Make them pass through a door that lets sixteen
# through, and have a second network rebuild the picture on the other side. If the pictures come back nearly
# unharmed (middle row below), then sixteen numbers are enough to say which digit it was, in whose hand, how
# slanted, how bold.
#
# So throw sixteen numbers at random, in the range that the door has seen, and let the second network build
# a picture from them. The bottom row shows what comes. **Why does a machine that can rebuild any digit not
# know how to make one up?**
#
# **You will be able to** train an autoencoder and compare it with the honest baseline, principal
# components; say what the sparse, the denoising and the contractive variants each buy and what they cost,
# and derive the formulas behind them; show where a latent space has holes, and measure it.
#
# **You need** the chapter [Start here](00_start.ipynb), eigenvalues of a covariance matrix, PyTorch's
# autograd. **It takes** two hours to read, and about a minute to run on two CPU cores.

# %%
import matplotlib.pyplot as plt
import torch
from sklearn import mixture
from torch import nn
from torch.nn import functional as F

from coursekit import PALETTE, budget, figure, frames, image_grid, show, use_style
from dgm.data import Batches, load_digits, to_pm1
from dgm.data.toy2d import GaussianMixture
from dgm.metrics import digits_features, frechet_distance
from dgm.nn import MLP, seeded
from dgm.train import fit
from dgm.vae import (
    contractive_penalty,
    corrupt,
    sigmoid_contractive_penalty,
    sparse_penalty,
    squared_error,
)

use_style()
BLUE, ORANGE, GREEN, RED = (PALETTE[c] for c in ("blue", "orange", "green", "vermilion"))
g = torch.Generator().manual_seed(0)

# %% [markdown]
# The data are scikit-learn's digits, 8 by 8 pixels with 17 grey levels, here as 64 numbers in $[-1, 1]$. We
# train on the first 1,000 and measure on the last 447, which come from other writers.

# %%
train_set, test_set = load_digits("train"), load_digits("test")
x_train, x_test = (to_pm1(s.x, s.levels).flatten(1) for s in (train_set, test_set))  # (1000, 64), (447, 64)


def as_images(x):  # (N, 64) -> (N, 1, 8, 8), whatever a network returned
    return x.clamp(-1, 1).view(-1, 1, 8, 8)


# %% [markdown]
# ## 1 Write: the door
#
# An **encoder** $f$ maps an image $x \in \mathbb{R}^D$ to a **code** $z = f(x) \in \mathbb{R}^k$, a
# **decoder** $g$ maps the code to a reconstruction $\hat x = g(z)$. Both are trained together to bring $x$
# back, by squared error:
#
# $$ \mathcal{L}(f, g) = \mathbb{E}\,\lVert x - g(f(x)) \rVert^2, $$ (ae-mse)
#
# summed over the $D = 64$ pixels, averaged over images. Nothing is asked of the code but that there be
# $k < D$ numbers in it.


# %%
def train(parameters, loss, *, steps, lr=2e-3, data=x_train, progress=False):
    optimiser = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

    def step(x):
        value = loss(x).mean()  # loss: (B, D) -> (B,)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
        return {"loss": value}

    batches = Batches(data, batch_size=128, generator=torch.Generator().manual_seed(0))
    return fit(step, batches, steps=steps, progress=progress)


# %%
class Autoencoder(nn.Module):
    def __init__(self, k, hidden=128, seed=0):
        super().__init__()
        with seeded(seed):
            self.encode = MLP([64, hidden, hidden, k])
            self.decode = MLP([k, hidden, hidden, 64])

    def forward(self, x):
        return self.decode(self.encode(x))


def error(x, x_hat):  # eq. (ae-mse): (N, D), (N, D) -> (N,)
    return (x - x_hat).square().sum(1)


# %%
STEPS = budget(cpu=1_200, full=6_000)
door = Autoencoder(16)
history = train(door.parameters(), lambda x: error(x, door(x)), steps=STEPS, progress=True)
door.eval().requires_grad_(False)


def random_codes(model, n):  # uniform in the box that the training codes fill
    z = model.encode(x_train)
    low, high = z.min(0).values, z.max(0).values
    return low + (high - low) * torch.rand(n, z.shape[1], generator=g)


# %%
rows = torch.cat([x_test[:10], door(x_test[:10]), door.decode(random_codes(door, 10))])
labels = ["test images", "through 16\nnumbers", "16 random\nnumbers"]
fig, ax = plt.subplots(figsize=(7, 2))
image_grid(as_images(rows), columns=10, row_labels=labels, ax=ax)
figure(
    fig,
    alt="Three rows of ten 8 by 8 images. Top: handwritten digits that were not trained on. Middle: the "
    "same digits after passing the door, slightly smoother. Bottom: decoded random codes, smears of "
    "which few resemble a digit.",
    caption="What the decoder rebuilds and what it makes up. Unseen digits pass the door nearly unharmed; "
    "random codes from the same range decode to smears.",
)
errors = [error(x, door(x)).mean().item() for x in (x_train, x_test)]
print("squared error per image: train {:.2f}, test {:.2f}".format(*errors))

# %% [markdown]
# ## 2 Derive: what a linear door lets through
#
# Is an error of that size good? The number alone says nothing. It takes a baseline, and for this one
# everything can be derived.
#
# *Assume* that $f$ and $g$ are linear and that the mean of the data has been subtracted; let
# $C = \mathbb{E}[x x^\top]$ be the covariance, with eigenvalues $\lambda_1 \ge \dots \ge \lambda_D$ and
# orthonormal eigenvectors $e_j$. Whatever the weights, every reconstruction lies in the image of $g$, a
# subspace of at most $k$ dimensions. Let the columns of $U \in \mathbb{R}^{D \times k}$ be an orthonormal
# basis of it. The point of a subspace nearest to $x$ is the orthogonal projection $U U^\top x$, so no
# encoder can do better than $f(x) = U^\top x$ with $g(z) = U z$. By Pythagoras its error is
#
# $$
# \mathbb{E}\,\lVert x - U U^\top x \rVert^2
# = \mathbb{E}\,\lVert x \rVert^2 - \mathbb{E}\,\lVert U^\top x \rVert^2
# = \operatorname{tr} C - \operatorname{tr}(U^\top C U).
# $$ (ae-projection)
#
# Which subspace makes the last term largest? Write $C = \sum_j \lambda_j e_j e_j^\top$. Then
# $\operatorname{tr}(U^\top C U) = \sum_j \lambda_j c_j$ with $c_j = \lVert U^\top e_j \rVert^2$. Each $c_j$
# lies between 0 and 1, for it is the squared length of the projection of a unit vector; together they sum
# to $\lVert U \rVert_F^2 = k$. A sum of weights at most one, $k$ in total, is largest when it gives full
# weight to the $k$ largest eigenvalues. So
#
# $$
# \min_{f, g \text{ linear}} \mathbb{E}\,\lVert x - g(f(x)) \rVert^2 = \sum_{j = k+1}^{D} \lambda_j,
# $$ (ae-pca)
#
# reached when $U$ holds the first $k$ eigenvectors: **the best linear autoencoder is principal component
# analysis** ([Baldi and Hornik 1989](https://doi.org/10.1016/0893-6080%2889%2990014-2)). No linear
# autoencoder, however trained, gets below this number on its training data. One that is trained well should
# get there.

# %%
mean = x_train.mean(0)
centred = x_train - mean
eigenvalues, eigenvectors = torch.linalg.eigh(centred.T @ centred / len(centred))
eigenvalues, eigenvectors = eigenvalues.flip(0), eigenvectors.flip(1)  # largest first


def pca(x, k):
    u = eigenvectors[:, :k]  # (64, k)
    return mean + (x - mean) @ u @ u.T


# %%
with seeded(0):
    f, d = nn.Parameter(0.1 * torch.randn(8, 64)), nn.Parameter(0.1 * torch.randn(64, 8))
optimiser = torch.optim.LBFGS([f, d], max_iter=300, line_search_fn="strong_wolfe")


def closure():
    optimiser.zero_grad()
    value = error(centred, centred @ f.T @ d.T).mean()
    value.backward()
    return value


optimiser.step(closure)
linear, bound = closure().item(), eigenvalues[8:].sum().item()  # eq. (ae-pca)
print(f"linear autoencoder with k = 8: {linear:.4f}; sum of the other eigenvalues: {bound:.4f}")
assert bound * (1 - 1e-4) < linear < bound * (1 + 1e-3)  # never below, but for float32; and nearly there

# %% [markdown]
# ## 3 Run: how wide a door?
#
# Now we can read the number. The same network with doors of several widths, against PCA with as many
# numbers, on the images that neither has seen.

# %%
WIDTHS = (2, 4, 8, 16, 32)
models = {16: door}
for k in WIDTHS:
    if k not in models:
        model = models[k] = Autoencoder(k)
        train(model.parameters(), lambda x, model=model: error(x, model(x)), steps=STEPS)
        model.eval().requires_grad_(False)

test_error = {k: error(x_test, models[k](x_test)).mean().item() for k in WIDTHS}
pca_error = {k: error(x_test, pca(x_test, k)).mean().item() for k in WIDTHS}
print(" k   autoencoder   (its training error)     PCA")
for k in WIDTHS:
    own = error(x_train, models[k](x_train)).mean()
    print(f"{k:2d}      {test_error[k]:5.2f}             {own:5.2f}           {pca_error[k]:5.2f}")
assert all(test_error[k] < 0.9 * pca_error[k] for k in (2, 4, 8, 16))
assert test_error[32] > pca_error[32]

# %% [markdown]
# With a narrow door the nonlinear network is well ahead of PCA: what it passes need not be a flat sheet
# in the space of images. With 32 numbers PCA wins. Its error is small by then, and it has little freedom to
# fit the accidents of a thousand images; the network has a lot, and uses it (compare its two errors).
# Whoever reports an autoencoder's error without PCA's beside it has reported little.
#
# Two numbers can be looked at. Left: the codes of the training images when $k = 2$. Right: what the decoder
# makes of a grid of codes over the same square.

# %%
plane = models[2]
codes = plane.encode(x_train)
low, high = codes.min(0).values, codes.max(0).values


def draw_codes(ax):
    for digit in range(10):
        z = codes[train_set.y == digit]
        ax.scatter(*z.T, s=5, alpha=0.5, color=plt.get_cmap("tab10")(digit))
        ax.annotate(str(digit), z.median(0).values.tolist(), weight="bold", ha="center", va="center")
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="$z_1$", ylabel="$z_2$")
    ax.grid(False)


# %%
ticks = [torch.linspace(low[i], high[i], 11) for i in (0, 1)]
grid = torch.cartesian_prod(ticks[1].flip(0), ticks[0]).flip(1)  # row by row from the top, as one reads
fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.7))
draw_codes(axes[0])
image_grid(as_images(plane.decode(grid)), columns=11, ax=axes[1], title="decoded")
axes[0].set_title("codes of the training images")
figure(
    fig,
    alt="Left: the plane of two-number codes; each digit's codes form streaks or islands of their own "
    "colour, with empty regions between. Right: images decoded on a grid over the same region; near "
    "the islands they are clear digits, between them mixtures and smears.",
    caption="The two-number code of every training image, coloured by digit, and what the decoder makes of a "
    "grid over the same plane. Between the islands it was never asked anything.",
)

# %% [markdown]
# The network has sorted the digits without being told what a digit is. It has also left a good part of the
# plane empty, and there the decoder was never asked anything. We come back to that. First, three ways to
# ask more of the code than that it be small.
#
# ## 4 Sparse: few numbers at a time
#
# *Derive.* A door need not be narrow to be selective. Let it be wide, $K = 128$ units for 64 pixels, but
# let each image use few of them: charge for every unit in use,
#
# $$
# \mathcal{L}_{\text{sparse}}
# = \mathbb{E}\Big[\lVert x - g(h) \rVert^2 + \lambda \sum_{j=1}^{K} |h_j|\Big], \qquad h = f(x).
# $$ (ae-sparse)
#
# Why the absolute value and not the square? Look at one unit. Let $u$ be the value that reconstruction
# alone would like best, and let missing it cost $(h - u)^2$. For $h > 0$ the derivative of
# $(h - u)^2 + \lambda h$ is $2(h - u) + \lambda$, zero at $h = u - \lambda/2$, if that is positive; for
# $h < 0$ likewise at $u + \lambda/2$, if that is negative; if neither holds, $|u| \le \lambda/2$, the sum
# falls toward $h = 0$ from both sides. So
#
# $$
# \arg\min_h \big\{(h - u)^2 + \lambda |h|\big\}
# = \operatorname{sign}(u) \max\!\big(|u| - \tfrac{\lambda}{2},\, 0\big).
# $$ (ae-soft-threshold)
#
# Whatever is worth less than $\lambda/2$ is set to **exactly** zero. The square would give $u/(1+\lambda)$:
# everything a little smaller, nothing zero.
#
# One trap. If the decoder is free, scale the code by $1/c$ and the decoder's weights by $c$: the
# reconstruction stays, the penalty shrinks by $c$. With $c \to \infty$ the charge costs nothing and
# sparsifies nothing. So the decoder's weights must be held: we take a linear one,
# $g(h) = \sum_j h_j d_j + b$, whose **atoms** $d_j$ have length one
# ([Olshausen and Field 1996](https://doi.org/10.1038/381607a0)).


# %%
class SparseAutoencoder(nn.Module):
    def __init__(self, units=128, hold=True):
        super().__init__()
        with seeded(0):
            self.encoder = MLP([64, 128, units])
            self.weight = nn.Parameter(torch.randn(64, units) / 8)
        self.bias, self.hold = nn.Parameter(mean.clone()), hold

    def encode(self, x):
        return F.relu(self.encoder(x))  # (B, K): exact zeros, and no negative amounts

    def atoms(self):
        return F.normalize(self.weight, dim=0) if self.hold else self.weight  # (64, K)

    def decode(self, h):
        return h @ self.atoms().T + self.bias


# %%
def train_sparse(penalty, **options):
    model = SparseAutoencoder(**options)

    def loss(x):
        h = model.encode(x)
        return error(x, model.decode(h)) + penalty * h.abs().sum(1)  # eq. (ae-sparse)

    train(model.parameters(), loss, steps=STEPS, lr=3e-3)
    return model.eval().requires_grad_(False)


# %% [markdown]
# *Run.* What does it buy? PCA with $n$ numbers gives every image the *same* $n$ directions. A sparse code
# gives each image its own few out of 128. Compare at equal numbers in use: the sparse autoencoder's error,
# and that of PCA with as many components as the sparse code has active units on average (rounded up).

# %%
sparse, used = {}, {}
print("penalty   units in use   |h|_1    error    PCA with as many")
for penalty in (0.0, 0.1, 0.3, 0.6):
    model = sparse[penalty] = train_sparse(penalty)
    h = model.encode(x_test)
    used[penalty] = (h > 0).float().sum(1).mean().item()
    n = min(64, int(used[penalty]) + 1)
    ours, theirs = error(x_test, model.decode(h)).mean(), error(x_test, pca(x_test, n)).mean()
    row = (penalty, used[penalty], h.sum(1).mean(), ours, theirs, n)
    print("  {:.1f}      {:6.1f}      {:6.2f}    {:5.2f}     {:5.2f} ({})".format(*row))
assert used[0.0] > used[0.1] > used[0.3] > used[0.6]
assert ours < theirs  # at the largest penalty

# %% [markdown]
# With about nine numbers in use, the choice of *which* nine is worth a good part of the error (to be fair:
# which nine is information too, and PCA has none of that). With many in use the bargain turns: PCA's $n$
# directions are then nearly all there are.
#
# The atoms of the sparsest model, those used most: each adds ink in some places and removes it in others,
# and none is a digit. And the trap, sprung: the same penalty without the unit length.

# %%
model = sparse[0.6]
usage = (model.encode(x_train) > 0).float().mean(0)  # (128,): the share of images that use each unit
best = usage.argsort(descending=True)[:24]
atoms = model.atoms().T[best]
fig = image_grid(as_images(atoms / atoms.abs().amax(1, keepdim=True)), columns=12)
figure(
    fig,
    alt="Twenty-four small images, the most used atoms: bright and dark patches and strokes on grey; none"
    " is a digit.",
    caption="The most used atoms of the sparsest model, which add ink (bright) or remove it (dark). An "
    f"image uses about {used[0.6]:.0f} of the 128.",
)

free = train_sparse(0.6, hold=False)
for name, m in (("held", model), ("free", free)):
    h = m.encode(x_test)
    used[name] = (h > 0).float().sum(1).mean().item()
    length = m.atoms().norm(dim=0)[(h > 0).any(0)].mean()
    print(f"atoms {name}: {used[name]:.1f} in use, |h|_1 {h.sum(1).mean():.2f}, mean length {length:.2f}")
assert used["free"] > 1.5 * used["held"]

# %% [markdown]
# The free decoder lengthened its atoms, and the penalty bought fewer zeros for the same $\lambda$.
#
# ## 5 Denoising: give back what was never shown
#
# *Derive.* A wide door without any charge learns the identity, and an identity knows nothing about digits.
# Another way to forbid it ([Vincent et al. 2008](https://doi.org/10.1145/1390156.1390294)): show the
# network a damaged image and ask for the whole one,
#
# $$
# \mathcal{L}_{\text{denoise}} = \mathbb{E}\,\lVert x - r(\tilde x) \rVert^2, \qquad
# \tilde x = x + \sigma \varepsilon, \quad \varepsilon \sim \mathcal{N}(0, I).
# $$ (ae-denoising)
#
# What does the best possible $r$ do? This is a regression of $x$ on $\tilde x$ by squared error, and we
# know from [the last chapter](00_start.ipynb#start-conditional-mean) what squared error asks for, the
# conditional mean:
#
# $$ r^\star(\tilde x) = \mathbb{E}[x \mid \tilde x], $$ (ae-denoising-optimal)
#
# the average of all clean images that could have become $\tilde x$, each weighted by its probability given
# $\tilde x$. If there were only our $N$ training images, equally frequent, Bayes' rule would give the
# weights:
#
# $$
# \mathbb{E}[x \mid \tilde x] = \sum_{n=1}^{N} w_n\, x_n, \qquad
# w_n = \frac{\exp\!\big(-\lVert \tilde x - x_n \rVert^2 / 2\sigma^2\big)}
# {\sum_m \exp\!\big(-\lVert \tilde x - x_m \rVert^2 / 2\sigma^2\big)}.
# $$ (ae-denoising-posterior)
#
# This is the denoiser that fits the training set best. It can return nothing but averages of training
# images; a network that generalises should beat it on new ones.
#
# The mean also hides a gradient. The density of the noisy images is
# $p(\tilde x) = \int p(x)\, \mathcal{N}(\tilde x; x, \sigma^2 I)\, dx$, and differentiating the Gaussian by
# $\tilde x$ multiplies it by $(x - \tilde x)/\sigma^2$:
#
# $$
# \nabla \log p(\tilde x)
# = \frac{1}{p(\tilde x)} \int p(x)\, \mathcal{N}(\tilde x; x, \sigma^2 I)\,
# \frac{x - \tilde x}{\sigma^2}\, dx
# = \frac{\mathbb{E}[x \mid \tilde x] - \tilde x}{\sigma^2},
# $$
#
# because $p(x)\,\mathcal{N}(\tilde x; x, \sigma^2 I)/p(\tilde x)$ is the posterior $p(x \mid \tilde x)$.
# Solved for the mean:
#
# $$ \mathbb{E}[x \mid \tilde x] = \tilde x + \sigma^2\, \nabla \log p(\tilde x). $$ (ae-tweedie)
#
# **The best denoiser takes a step uphill in the log-density of the noisy data.** The formula is Tweedie's
# ([Efron 2011](https://doi.org/10.1198/jasa.2011.tm11181)); a trained denoiser thus knows the slope of a
# density, which is the door to diffusion models. We check it where the slope is known exactly: a ring of
# six Gaussians in the plane.

# %%
SIGMA = 0.5
ring = GaussianMixture.ring(6, radius=2.0, std=0.2)
with seeded(0):
    denoiser = MLP([2, 64, 64, 2])
noise = torch.Generator().manual_seed(1)
train(
    denoiser.parameters(),
    lambda x: error(x, denoiser(corrupt(x, SIGMA, generator=noise))),  # eq. (ae-denoising)
    steps=STEPS,
    lr=5e-3,
    data=ring.sample(4_000, g),
)
denoiser.requires_grad_(False)
noisy = corrupt(ring.sample(5_000, g), SIGMA, generator=g)
step = denoiser(noisy) - noisy  # eq. (ae-tweedie): should be sigma^2 times the score
score = ring.diffused(1.0, SIGMA).score(noisy)  # exact, of the density of the noisy points
explained = 1 - (step - SIGMA**2 * score).square().sum() / (SIGMA**2 * score).square().sum()
print(f"share of the exact step that the trained denoiser's step explains: {explained:.3f}")
assert explained > 0.9

# %%
axis = torch.linspace(-3.2, 3.2, 17)
points = torch.cartesian_prod(axis, axis)
fig, axes = plt.subplots(1, 2, figsize=(7, 3.6), sharex=True, sharey=True)
exact = SIGMA**2 * ring.diffused(1.0, SIGMA).score(points)
arrows = (
    ("trained denoiser: $r(\\tilde x) - \\tilde x$", denoiser(points) - points, BLUE),
    ("exact: $\\sigma^2 \\nabla \\log p(\\tilde x)$", exact, ORANGE),
)
for ax, (title, arrow, color) in zip(axes, arrows, strict=True):
    ax.scatter(*noisy[:800].T, s=2, color="0.75")
    ax.quiver(*points.T, *arrow.T, color=color, angles="xy", scale_units="xy", scale=2, width=0.005)
    ax.set(title=title, aspect="equal", xlabel="$x_1$")
figure(
    fig,
    alt="Two fields of arrows over the same noisy points on a ring: the trained denoiser's steps, and the"
    " exact score times sigma squared. Both point towards the nearest of six clusters and look alike.",
    caption="What the trained denoiser does to each point, beside the exact slope of the log-density "
    "times the noise's variance. Both step uphill, towards the clusters; arrows are at half length.",
)

# %% [markdown]
# We asked for nine tenths of the step's squared length; what is missing is the error of a small network
# after a short training, largest where few points fall. Now the digits, with noise of the same standard
# deviation on every pixel. Five ways to clean a test image: leave it alone; the plain autoencoder with 16
# numbers, which has never seen noise; a wide network trained to copy; the same wide network trained by
# {eq}`ae-denoising`; and the training set's own optimum {eq}`ae-denoising-posterior`.


# %%
def train_wide(sigma):
    with seeded(0):
        net = MLP([64, 128, 128, 64])
    noise = torch.Generator().manual_seed(2)
    train(net.parameters(), lambda x: error(x, net(corrupt(x, sigma, generator=noise))), steps=STEPS)
    return net.eval().requires_grad_(False)


def posterior_mean(x_noisy):  # eq. (ae-denoising-posterior)
    return (-torch.cdist(x_noisy, x_train).square() / (2 * SIGMA**2)).softmax(1) @ x_train


# %%
cleaners = {
    "leave it": lambda x: x,
    "plain, 16 numbers": door,
    "wide, trained to copy": train_wide(0.0),
    "wide, denoising": train_wide(SIGMA),
    "training set's optimum": posterior_mean,
}
x_noisy = corrupt(x_test, SIGMA, generator=g)
cleaned = {name: clean(x_noisy) for name, clean in cleaners.items()}
distance = {name: error(x_test, x_hat) for name, x_hat in cleaned.items()}
for name, value in distance.items():
    print(f"{name:23s} squared distance from the clean image {value.mean():5.2f}")
for name in cleaners:
    if name != "wide, denoising":  # image by image, the difference is many times its standard error
        gap = distance[name] - distance["wide, denoising"]
        assert gap.mean() > 4 * gap.std() / len(gap) ** 0.5

# %%
rows = [x_test[:10], *(x[:10] for x in cleaned.values())]
labels = ["clean", "noisy", "plain, 16", "copy", "denoising", "training set's"]
fig, ax = plt.subplots(figsize=(7, 3.9))
image_grid(as_images(torch.cat(rows)), columns=10, row_labels=labels, ax=ax)
figure(
    fig,
    alt="Six rows of ten digits: clean; noisy; cleaned by the plain autoencoder, recognisable but "
    "distorted; by the copying network, hardly better than noisy; by the denoising network, the "
    "closest to clean; by averages of training images, clear but at times another shape.",
    caption="Ten noisy test digits, cleaned in four ways. The denoising network comes closest to the first "
    "row; the training set's optimum is clear, but at times it is a different drawing.",
)

# %% [markdown]
# The network that was trained to copy has learnt to copy, most of the noise included. The plain
# autoencoder's narrow door keeps some noise out, for lack of room. The training set's optimum draws clear
# digits, sometimes a training image's and not the one that was asked for. The denoiser, with the same
# weights to spare as the copier, is the nearest to the truth.
#
# ## 6 Contractive: a code that holds still
#
# *Derive.* Ask now of the *code* that it not move when the image moves a little. For small noise,
# $f(x + \sigma\varepsilon) \approx f(x) + \sigma J(x)\,\varepsilon$ with the Jacobian
# $J_{ji} = \partial f_j / \partial x_i$. With $\mathbb{E}[\varepsilon \varepsilon^\top] = I$ the code's
# squared movement is
#
# $$
# \begin{aligned}
# \mathbb{E}_\varepsilon \lVert f(x + \sigma\varepsilon) - f(x) \rVert^2
# &= \sigma^2\, \mathbb{E}\big[\varepsilon^\top J^\top J\, \varepsilon\big] + O(\sigma^4) \\
# &= \sigma^2\, \lVert J(x) \rVert_F^2 + O(\sigma^4),
# \end{aligned}
# $$ (ae-contractive-noise)
#
# since $\mathbb{E}[\varepsilon^\top A\,\varepsilon] = \operatorname{tr} A$ and
# $\operatorname{tr} J^\top J = \sum_{j,i} J_{ji}^2$ (the terms of third order vanish because odd moments of
# $\varepsilon$ do). So instead of drawing noise one can charge for the Jacobian itself
# ([Rifai et al. 2011](https://mlanthology.org/icml/2011/rifai2011icml-contractive/)):
#
# $$
# \mathcal{L}_{\text{contract}}
# = \mathbb{E}\Big[\lVert x - g(f(x)) \rVert^2 + \lambda\, \lVert J(x) \rVert_F^2\Big].
# $$ (ae-contractive)
#
# For one layer, $h_j = s(w_j^\top x + b_j)$ with the logistic function $s$, whose derivative is $s(1 - s)$,
# the Jacobian is $J_{ji} = h_j (1 - h_j) W_{ji}$, and the sum of its squares needs no automatic
# differentiation:
#
# $$ \lVert J(x) \rVert_F^2 = \sum_{j} \big(h_j (1 - h_j)\big)^2 \sum_i W_{ji}^2. $$ (ae-contractive-sigmoid)
#
# The trap is the same as with sparsity, a small code and a large decoder, and so is the cure: hold the
# decoder, here by *tying* it to the encoder, $g(h) = W^\top h + c$. Shrinking $W$ now spoils the
# reconstruction. The two terms pull against each other: reconstruction needs the code to follow every
# direction in which digits differ, the penalty wants it to follow none. What should remain are the
# directions that pay.
#
# *Run.* The honest baseline is **weight decay**, $\lambda \lVert W \rVert_F^2$ in place of the Jacobian:
# it, too, makes every derivative smaller.


# %%
class Tied(nn.Module):
    def __init__(self, units=64):
        super().__init__()
        with seeded(0):
            self.layer = nn.Linear(64, units)
        self.bias = nn.Parameter(mean.clone())

    def encode(self, x):
        return torch.sigmoid(self.layer(x))

    def decode(self, h):
        return h @ self.layer.weight + self.bias


# %%
def jacobian_penalty(model, h):  # eq. (ae-contractive-sigmoid)
    return (h * (1 - h)).square() @ model.layer.weight.square().sum(1)


def weight_penalty(model, h):
    return model.layer.weight.square().sum()


def train_tied(strength, penalty):
    model = Tied()

    def loss(x):
        h = model.encode(x)
        return error(x, model.decode(h)) + strength * penalty(model, h)

    train(model.parameters(), loss, steps=STEPS, lr=3e-3)
    return model.eval().requires_grad_(False)


# %% [markdown]
# Four numbers. The squared error. How far the code moves when the image is damaged by noise of
# $\sigma = 0.5$, as a share of how far codes of different images lie from each other (a number that a mere
# change of scale leaves alone). In how many directions the code listens: the singular values $s_i$ of $J$
# are the gains in its principal directions, and $(\sum_i s_i^2)^2 / \sum_i s_i^4$ counts them, $n$ if $n$
# are equal and the others zero. And the share of units that are *saturated*, $h_j < 0.05$ or $h_j > 0.95$,
# where the logistic function is flat.


# %%
def measure(model):
    h, h_noisy = model.encode(x_test), model.encode(x_noisy)
    moved = (h_noisy - h).square().sum(1).mean() / h.var(0).sum()
    jacobian = (h * (1 - h))[:, :, None] * model.layer.weight  # (447, 64, 64)
    gains = torch.linalg.svdvals(jacobian).square()  # (447, 64): s_i^2
    directions = (gains.sum(1).square() / gains.square().sum(1)).mean()
    saturated = ((h < 0.05) | (h > 0.95)).float().mean()
    numbers = (error(x_test, model.decode(h)).mean(), moved, directions, saturated)
    return [value.item() for value in numbers], gains.mean(0)


settings = [(0.0, jacobian_penalty), (1.0, jacobian_penalty), (3.0, jacobian_penalty), (0.1, weight_penalty)]
tied, measured = {}, {}
print("                 error   code moves   directions   saturated")
for strength, penalty in settings:
    name = f"{penalty.__name__.split('_')[0]} {strength:g}"
    tied[name] = train_tied(strength, penalty)
    measured[name] = measure(tied[name])
    print("{:12s}     {:5.2f}      {:.3f}        {:5.1f}        {:.2f}".format(name, *measured[name][0]))

# %%
plain, strong, decay = (measured[name][0] for name in ("jacobian 0", "jacobian 3", "weight 0.1"))
assert strong[0] > plain[0]  # it costs
assert strong[1] < 0.6 * plain[1]  # and buys
assert strong[2] < 0.5 * plain[2]
assert all(a < b for a, b in zip(strong[:3], decay[:3], strict=True))  # more than weight decay, on all three
assert strong[3] > 0.2 > 0.05 > decay[3]
h = tied["jacobian 3"].encode(x_test)
rate = ((h < 0.05) | (h > 0.95)).float().mean(0)  # (64,): on how many images each unit is saturated
share = ((rate > 0.05) & (rate < 0.95)).float().mean()
print(f"units saturated on more than 5 % and on less than 95 % of the images: {share:.0%}")
assert share > 0.5

# %%
fig, ax = plt.subplots(figsize=(6, 3))
colors = (BLUE, GREEN, RED, ORANGE)
for (name, (_, gains)), color in zip(measured.items(), colors, strict=True):
    ax.semilogy(range(1, 65), gains.sqrt(), color=color, ls="--" if "weight" in name else "-", label=name)
ax.set(xlabel="direction, by size", ylabel="gain (root mean square)", ylim=(1e-3, 1))
ax.set_title("singular values of the encoder's Jacobian")
ax.legend()
figure(
    fig,
    alt="Singular values of the Jacobian in falling order on a logarithmic axis. Without penalty they "
    "stay near one half for some thirty directions. With the Jacobian penalty they fall from the "
    "first on, the stronger the faster. With weight decay a dozen stay nearly level, then they drop.",
    caption="How strongly the code answers to each direction in the space of images, the loudest first. The "
    "Jacobian penalty lets all but the loudest fade; weight decay keeps several and cuts off the rest.",
)

# %% [markdown]
# The loudest direction is hardly touched, and the others fall off, the faster the stronger the penalty.
# Weight decay at a similar error looks different: about a dozen directions at nearly full gain, then
# silence. The last column says why. Weight decay knows only $W$, the same for every image, and saturates
# nothing. The Jacobian penalty {eq}`ae-contractive-sigmoid` also sees $h(1-h)$ and charges nothing where
# units saturate. So the network has learnt to saturate nearly half of its units, and not always the same
# ones: most units are saturated on some images and listen on others. It isn't free: the error is several
# times that of no penalty, and which strength is right depends on what the code is for.

# ## 7 Meet the library
#
# `dgm.vae` has the same pieces. Its `contractive_penalty` works for *any* encoder, by one backward pass per
# code unit; on a one-layer encoder it must give {eq}`ae-contractive-sigmoid`.

# %%
model, x = tied["jacobian 1"], x_test[:50]
h = model.encode(x)
torch.testing.assert_close(error(x, model.decode(h)), squared_error(x, model.decode(h)))
torch.testing.assert_close(h.abs().sum(1), sparse_penalty(h))
torch.testing.assert_close(jacobian_penalty(model, h), sigmoid_contractive_penalty(model.layer.weight, h))
by_autograd = contractive_penalty(model.encode, x)
torch.testing.assert_close(jacobian_penalty(model, h), by_autograd, rtol=1e-4, atol=1e-5)

# %%
tiny = 1e-2  # eq. (ae-contractive-noise), for an encoder of three layers: 4,000 draws of noise for one image
one = x_test[:1].expand(4_000, -1)
moved = (door.encode(corrupt(one, tiny, generator=g)) - door.encode(one)).square().sum(1) / tiny**2
squared_norm = contractive_penalty(door.encode, x_test[:1]).item()
standard_error = moved.std().item() / 4_000**0.5
print(
    f"movement / sigma^2 = {moved.mean():.2f} +- {standard_error:.2f}, squared norm of J {squared_norm:.2f}"
)
assert abs(moved.mean() - squared_norm) < 4 * standard_error
show(contractive_penalty)

# %% [markdown]
# ## 8 Holes
#
# Back to the question. The door with 16 numbers rebuilds digits that it has never seen; random codes give
# smears. Let us measure the smears, in three ways. Is an image as near to some training image as real test
# images are? How sure of its digit is a classifier that was trained on real ones? And how far is a set of
# them from the test set: the **Fréchet distance** between the two clouds of that classifier's 64 inner
# features, each described by its mean and covariance
# ([Heusel et al. 2017](https://arxiv.org/abs/1706.08500); 447 images on either side throughout, since the
# number matters).

# %%
classifier = digits_features()
seen = classifier.features(as_images(x_test))


def judge(x):
    images = as_images(x)
    nearest = torch.cdist(images.flatten(1), x_train).min(1).values
    sure = classifier.logits(images).softmax(1).max(1).values
    return nearest, sure, frechet_distance(classifier.features(images), seen)


def gaussian_codes(model, n):  # a Gaussian with the mean and covariance of the training codes
    z = model.encode(x_train)
    return z.mean(0) + torch.randn(n, z.shape[1], generator=g) @ torch.linalg.cholesky(torch.cov(z.T)).T


# %%
n = len(x_test)
candidates = {
    "other real digits": x_train[:n],
    "test, through the door": door(x_test),
    "codes from the box": door.decode(random_codes(door, n)),
    "codes from a Gaussian": door.decode(gaussian_codes(door, n)),
}
nearest, sure, fd = ({name: judge(x)[i] for name, x in candidates.items()} for i in range(3))
nearest["other real digits"] = judge(x_test)[0]  # the training images themselves are at distance 0
print("                         nearest training image   sure   Fréchet distance")
for name in candidates:
    near, certain = nearest[name].mean(), sure[name].mean()
    print(f"{name:24s}         {near:.2f}             {certain:.2f}       {fd[name]:6.1f}")
real, through, box, gaussian = candidates
assert fd[through] < fd[real] < fd[gaussian] < fd[box]
assert sure[through].mean() > 0.95 > 0.92 > sure[gaussian].mean()
assert nearest[box].mean() > 1.3 * nearest[real].mean()

# %% [markdown]
# Reconstructions of the test set are closer to it than other real digits are; no wonder, they are meant to
# be the same images. (In the first row the first number is the distance of the *test* images from the
# training set: that's where a real new digit lies.) Decoded random codes are several times as far. The
# decoder is excellent on the codes it was trained on, and those fill next to nothing of the box: a thousand
# points in sixteen dimensions. Elsewhere its output was never compared with anything. Those are the
# **holes**.
#
# In the plane one can walk through them. The slider moves a code on a straight line from the middle of the
# sevens to the middle of the zeros. In the left panel the darker the ground, the farther the decoded image
# from every training image.

# %%
ticks = [torch.linspace(low[i], high[i], 60) for i in (0, 1)]
ground = judge(plane.decode(torch.cartesian_prod(*ticks)))[0].view(60, 60).T
seven, zero = (codes[train_set.y == digit].median(0).values for digit in (7, 0))
walk = torch.lerp(seven, zero, torch.linspace(0, 1, 17)[:, None])  # (17, 2)
walked = plane.decode(walk)
nearest_walk, sure_walk, _ = judge(walked)
verdict = classifier.logits(as_images(walked)).argmax(1)


def describe_walk(i):
    return f"taken for a {verdict[i]} (p = {sure_walk[i]:.2f}), {nearest_walk[i]:.1f} from a training image"


def draw_walk(i):
    fig, (ax, right) = plt.subplots(1, 2, figsize=(7.2, 3.5), width_ratios=(1.25, 1))
    ax.pcolormesh(*ticks, ground, cmap="gray_r", vmin=1, vmax=4.5)
    draw_codes(ax)
    ax.plot(*walk.T, color="black", lw=1)
    ax.plot(*walk[i], "o", ms=10, color="black", mfc="white", mew=2)
    image_grid(as_images(walked[i : i + 1]), ax=right)
    right.set_title(describe_walk(i).replace(", ", ",\n"), fontsize=9)
    return fig


# %%
frames(
    draw_walk,
    list(range(17)),
    label="step of the walk",
    start=int(nearest_walk.argmax()),
    alt=lambda i: f"Step {i} of 16 from the sevens to the zeros; the decoded image is {describe_walk(i)}.",
    caption="A straight walk through the plane of codes, from the sevens to the zeros. The darker the "
    "ground, the farther the decoded image from every training image; on the right, the image at the white "
    "dot.",
)
print("digits on the way:", verdict.tolist(), f"mean sureness {sure_walk.mean():.2f}")
assert nearest_walk.max() > 1.5 * max(nearest_walk[0], nearest_walk[-1])
assert verdict.unique().numel() > 2

# %% [markdown]
# On the way the picture is neither a seven nor a zero, and at the worst point nearly twice as far from any
# training image as at the ends. The classifier meanwhile names one digit after the other, most of them with
# confidence. It is a discriminative model: like the one that met the odd beetle in the last chapter, it
# can't say "none of these". Keep that in mind whenever a classifier is asked to judge samples.

# %% [markdown]
# ## 9 Interpolation
#
# One often reads that a straight line between two codes is a meaningful blend of two images. Is it? Take
# the 16-number door, two test images, and blend: the pixels (left), and the codes (right).


# %%
def pairs_of(n):
    a, b = torch.randint(len(x_test), (2, n), generator=g)
    different = test_set.y[a] != test_set.y[b]
    return x_test[a[different]], x_test[b[different]]


first, second = pairs_of(1_000)
shares = [i / 10 for i in range(11)]
blends = {
    "pixels": lambda t: torch.lerp(first, second, t),
    "codes": lambda t: door.decode(torch.lerp(door.encode(first), door.encode(second), t)),
}
blended = {name: [judge(blend(t))[1] for t in shares] for name, blend in blends.items()}  # sureness


# %%
def draw_blend(t):
    fig, axes = plt.subplots(1, 3, figsize=(7.4, 2.8), width_ratios=(1, 1, 1.3))
    for ax, (name, blend) in zip(axes[:2], blends.items(), strict=True):
        image_grid(as_images(blend(t)[:9]), columns=3, ax=ax, title=name)
    for (name, judged), color in zip(blended.items(), (ORANGE, BLUE), strict=True):
        axes[2].plot(shares, [sure.mean() for sure in judged], color=color, label=name)
    axes[2].axvline(t, color="0.6", lw=1)
    axes[2].set(xlabel="share of the second image", ylabel="classifier's sureness", ylim=(0.7, 1))
    axes[2].legend()
    return fig


def describe_blend(t):
    at = {name: judged[shares.index(t)].mean() for name, judged in blended.items()}
    return f"Nine pairs, share {t:g}; mean sureness: pixels {at['pixels']:.2f}, codes {at['codes']:.2f}."


# %%
frames(
    draw_blend,
    shares,
    label="share of the second image",
    start=0.5,
    alt=describe_blend,
    caption="Nine pairs of different test digits, blended as pixels and as codes. Halfway between two digits "
    "the classifier is least sure of either blend.",
)

# %%
drop = {name: (judged[0] - judged[5]).mean().item() for name, judged in blended.items()}
print(
    "halfway, the classifier's sureness has dropped by",
    {name: round(value, 3) for name, value in drop.items()},
)
difference = blended["codes"][5] - blended["pixels"][5]
print(
    f"codes less pixels, halfway: {difference.mean():+.3f} +- {difference.std() / len(difference) ** 0.5:.3f}"
)
assert min(drop.values()) > 0.08
assert abs(difference.mean()) < 0.05

# %% [markdown]
# Halfway between two different digits the blended pixels are a double exposure. The blended codes look
# smoother, but the classifier is about as unsure of them (the difference in the printed line is small
# against the drop above it): the straight line between two codes leaves the data much as the straight line
# between two images does. There is no reason in {eq}`ae-mse` why it shouldn't. The loss speaks of codes of
# images, not of points between them.
#
# ## 10 Break it
#
# If the smears come from a door that is too narrow, widen it. *Before you run the cell:* from 2 to 32
# numbers the reconstructions get better and better, as we saw. What will random codes do: get better with
# them, stay, or get worse?

# %%
print("          Fréchet distance        nearest training")
print(" k    through   Gaussian codes    image to these")
table = {}
for k in WIDTHS:
    nearest_k, _, fd_gaussian = judge(models[k].decode(gaussian_codes(models[k], n)))
    table[k] = judge(models[k](x_test))[2], fd_gaussian, nearest_k.mean().item()
    print("{:2d}    {:6.1f}       {:6.1f}              {:.2f}".format(k, *table[k]))
assert table[2][0] > table[4][0] > table[8][0] > table[16][0] > table[32][0]
assert table[2][2] < table[4][2] < table[8][2]
assert min(table[16][2], table[32][2]) > table[4][2]
assert table[2][0] > 5 * table[32][0]
assert min(table[k][1] for k in WIDTHS) > 0.8 * table[2][1]  # no gain worth the name

# %% [markdown]
# From 2 to 32 numbers the reconstructions come many times nearer to the test set. The random codes gain
# nothing from it; what they decode to drifts away from the training images (last column). The wider the
# door, the more room there is between the codes. **Good reconstruction and good generation are different
# things**, and {eq}`ae-mse` asks for the first.
#
# What would it take? Codes drawn from where codes are. Fit a better density to them *after* training, a
# mixture of ten Gaussians, and draw from that ([Ghosh et al. 2020](https://arxiv.org/abs/1903.12436)):


# %%
def mixture_codes(model, n, components=10):
    z = model.encode(x_train).double().numpy()
    fitted = mixture.GaussianMixture(components, random_state=0, reg_covar=1e-3 * z.var()).fit(z)
    return torch.as_tensor(fitted.sample(n)[0]).float()


drawn = door.decode(mixture_codes(door, n))
fd_mixture = judge(drawn)[2]
print(f"Fréchet distance: Gaussian {table[16][1]:.1f}, mixture {fd_mixture:.1f}, real digits {fd[real]:.1f}")
assert fd_mixture < 0.75 * table[16][1]

# %%
rows = torch.cat([door.decode(gaussian_codes(door, 10)), drawn[torch.randperm(n, generator=g)[:10]]])
fig, ax = plt.subplots(figsize=(7, 1.4))
image_grid(as_images(rows), columns=10, row_labels=["one\nGaussian", "mixture\nof ten"], ax=ax)
figure(
    fig,
    alt="Two rows of ten decoded draws. Top, codes from one Gaussian: smears and a few digits. Bottom, "
    "codes from a mixture of ten Gaussians: more of them are recognisable digits.",
    caption="One decoder, two densities fitted to the training codes. More of what the mixture draws can be "
    "read as a digit.",
)

# %% [markdown]
# Much better, in two lines, and it's a generative model: draw a code from a density, decode it. But it's
# put together from two halves that know nothing of each other. The encoder was free to lay out the codes in
# any shape, and the mixture must follow; the decoder was never trained on what the mixture draws; and if
# you ask how probable a given image is, there's no answer at all.
#
# So here is the question for the next chapter. **Can one train encoder, decoder and the distribution of the
# codes together, so that what is drawn is what the decoder knows, and so that the whole is a density $p(x)$
# with a likelihood?**
#
# ## 11 Think
#
# 1. In {eq}`ae-pca` the best $U$ is not unique, and the linear autoencoder found by gradient descent does
#    not have the eigenvectors as its weights. What does it have instead, and why is the error the same?
#
# :::{admonition} Answer
# :class: dropdown
# Any invertible $k \times k$ matrix $A$ may be slipped in: $f(x) = A U^\top x$, $g(z) = U A^{-1} z$. Only
# the subspace matters for the error, and the subspace is that of the first $k$ eigenvectors (if
# $\lambda_k > \lambda_{k+1}$). The axes of an autoencoder's code mean nothing by themselves.
# :::
#
# 2. An autoencoder with *one* code unit and unlimited networks could reach error zero on the training set.
#    How? What would its error on new images be?
#
# :::{admonition} Answer
# :class: dropdown
# Number the images: $f(x_n) = n$, and let $g$ be a table. On a new image the table returns some training
# image. The width of the door limits what passes only together with limits on $f$ and $g$.
# :::
#
# 3. The squared error of the digits is summed over pixels. If you average it over the pixels and keep
#    $\lambda$ in {eq}`ae-sparse`, what changes?
#
# :::{admonition} Answer
# :class: dropdown
# The first term becomes 64 times smaller, so $\lambda$ acts as if it were 64 times larger: by
# {eq}`ae-soft-threshold` a unit must now be worth more than $32\,\lambda$ to be switched on at all. Sum or
# mean must always be said.
# :::
#
# 4. Why does the denoising network do better on new images than {eq}`ae-denoising-posterior`, the *optimal*
#    denoiser?
#
# :::{admonition} Answer
# :class: dropdown
# It's optimal if the training images are all there is. A test image isn't among them, so its true posterior
# gives them no weight at all. The network, too small to store a thousand images pixel by pixel, had to find
# what they share.
# :::
#
# 5. By {eq}`ae-tweedie`, what does the best denoiser do at a local maximum of the density of noisy data?
#    And what does it do as $\sigma \to 0$?
#
# :::{admonition} Answer
# :class: dropdown
# At a maximum the gradient is zero, so it leaves the point where it is. As $\sigma \to 0$ the step
# $\sigma^2 \nabla \log p$ vanishes (where the density is smooth), and the denoiser becomes the identity:
# the score is then hidden in a very small difference, $(r(\tilde x) - \tilde x)/\sigma^2$.
# :::
#
# 6. Rotate the code of a trained autoencoder by any rotation, and undo it in the decoder. Which of the
#    losses {eq}`ae-mse`, {eq}`ae-sparse`, {eq}`ae-contractive` notice?
#
# :::{admonition} Answer
# :class: dropdown
# Only the sparse one: $\sum_j |h_j|$ depends on the axes. Reconstruction doesn't change, nor does
# $\lVert R J \rVert_F = \lVert J \rVert_F$. That's why single sparse units can mean something (a stroke),
# while single units of the others needn't.
# :::
#
# **Exercises.** [Exercises to this chapter](../exercises/01_autoencoder.ipynb): the denoising loss, the
# contractive penalty of any encoder, why L1 makes zeros,
# [what a linear bottleneck throws away](../exercises/01_autoencoder.ipynb#exercise-1-4).
#
# **References.** Deep autoencoders against PCA:
# [Hinton and Salakhutdinov 2006](https://doi.org/10.1126/science.1127647); the linear case:
# [Baldi and Hornik 1989](https://doi.org/10.1016/0893-6080%2889%2990014-2). Sparse codes:
# [Olshausen and Field 1996](https://doi.org/10.1038/381607a0). Denoising:
# [Vincent et al. 2008](https://doi.org/10.1145/1390156.1390294),
# [Vincent et al. 2010](https://jmlr.org/papers/v11/vincent10a.html); its link to the slope of the density:
# [Efron 2011](https://doi.org/10.1198/jasa.2011.tm11181),
# [Alain and Bengio 2014](https://arxiv.org/abs/1211.4246). Contractive:
# [Rifai et al. 2011](https://mlanthology.org/icml/2011/rifai2011icml-contractive/). A density fitted to the
# codes afterwards: [Ghosh et al. 2020](https://arxiv.org/abs/1903.12436). A chapter on all of them:
# [Goodfellow et al. 2016](https://www.deeplearningbook.org).
#
# **Next.** [Variational autoencoders](02_vae.ipynb) answer the question.
