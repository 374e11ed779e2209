# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: autoencoders
#
# Four tasks to the chapter [Autoencoders](../chapters/01_autoencoder.ipynb), 16 points, about an hour. Each
# task has a cell for your answer; run it, then run the cell with `check` below it. `hint("sparse_code")`
# gives the next hint to a task, and costs nothing. You can leave a task out and do the later ones. Use plain
# torch: calling `dgm` is no answer.

# %% tags=["setup"]
import torch

# %%
from coursekit import figure, use_style
from coursekit.exercises import check, exercise, hint, progress, when_done

use_style()
exercise("01_autoencoder")

# %% [markdown]
# ## 1. The denoising loss (3 points)
#
# A denoising autoencoder sees a corrupted image and shall return the clean one. Write its loss: the squared
# error, summed over the pixels of each image. `x` and `noise` have shape (B, C, H, W), `model` maps images
# to images; return shape (B,).


# %% tags=["answer-denoising_loss"]
def denoising_loss(model, x, noise):
    """Squared error of the denoised image, summed over its pixels, (B,); x and noise are (B, C, H, W)."""
    # BEGIN SOLUTION
    restored = model(x + noise)
    return (restored - x).square().flatten(1).sum(dim=1)  # (B,)
    # END SOLUTION


# %%
check("denoising_loss")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# With the noisy image as target the identity would be perfect, and the bottleneck alone would have to
# prevent it. With the clean image as target, copying costs exactly the energy of the noise, so even a model
# with room enough for a copy must learn where the data lie. The best answer is $\mathbb{E}[x \mid x +
# \text{noise}]$, an average over all clean images that could be behind the noisy one. Diffusion models start
# from here.
#
# :::

# %% [markdown]
# ## 2. The contractive penalty of any encoder (5 points)
#
# $$ \Omega(x) = \lVert J(x) \rVert_F^2 = \sum_{j, i} \left( \frac{\partial h_j(x)}{\partial x_i} \right)^2 $$
#
# Write it for an encoder that you know nothing of: `encode` maps (B, D) to (B, k), each row by itself;
# return shape (B,). The penalty is a term of the training loss, so its own gradient must reach the encoder's
# weights.


# %% tags=["answer-contractive_penalty"]
def contractive_penalty(encode, x):
    """Squared Frobenius norm (B,) of the Jacobian of encode: (B, D) -> (B, k) at each row of x."""
    # BEGIN SOLUTION
    x = x.detach().requires_grad_()
    h = encode(x)  # (B, k)
    penalty = torch.zeros_like(h[:, 0])
    for j in range(h.shape[1]):
        # Row b of x influences row b of h only, so the sum over the batch mixes nothing.
        (row,) = torch.autograd.grad(h[:, j].sum(), x, create_graph=True)  # (B, D)
        penalty = penalty + row.square().sum(dim=1)
    return penalty
    # END SOLUTION


# %%
check("contractive_penalty")

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# The loop costs one backward pass for each latent, which is why the penalty is used with few of them, or
# with one layer, where $J$ has a closed form. The tempting shortcut, one backward pass from the sum of all
# latents, gives $\lVert \sum_j J_j \rVert^2$: two latents with opposite gradients cancel there, and the
# encoder learns just that. Without `create_graph=True` the number is right and the training ignores it, a
# bug that no value of the loss reveals.
#
# :::

# %% [markdown]
# ## 3. Why the L1 penalty makes zeros (4 points)
#
# Take one input $x$, one latent $z$ and a decoder $a z$. A sparse autoencoder would like the code
#
# $$ z^\ast = \arg\min_z \; \tfrac12 (x - a z)^2 + \lambda \lvert z \rvert, \qquad
# \lambda \ge 0, \; a \ne 0. $$
#
# Find it with pen and paper: treat $z > 0$ and $z < 0$ apart, and ask when neither works. Then write the
# formula for `x`, `a`, `lam` of shape (B,). The check compares with a numerical search.


# %% tags=["answer-sparse_code"]
def sparse_code(x, a, lam):
    """The code z (B,) that minimises (x - a z)^2 / 2 + lam |z|, entry by entry."""
    # BEGIN SOLUTION
    pull = a * x
    return pull.sign() * (pull.abs() - lam).clamp_min(0) / a.square()  # soft threshold
    # END SOLUTION


# %%
check("sparse_code")

# %% [markdown]
# What the penalty does to a code, for $a = 1$, $\lambda = 1$, beside the squared penalty $\tfrac12 \lambda
# z^2$:

# %%
from matplotlib import pyplot as plt

with when_done("sparse_code"):
    x = torch.linspace(-3, 3, 121)
    one = torch.ones_like(x)
    fig, ax = plt.subplots()
    ax.plot(x, sparse_code(x, one, one), label="|z|: your formula")
    ax.plot(x, x / 2, "--", label="z²/2: x / (a² + λ)")
    ax.plot(x, x, ":", color="0.4", label="no penalty")
    ax.set(xlabel="input x", ylabel="best code z")
    ax.legend()
    figure(
        fig,
        alt="The best code against the input: with the absolute value it is zero between -1 and 1 and runs "
        "parallel to the unpenalised line outside; with the squared penalty it is "
        "a line of half the slope, zero only at zero.",
    )

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# For $z > 0$ the derivative $-a(x - az) + \lambda$ vanishes at $z = (ax - \lambda)/a^2$, which is positive
# only if $ax > \lambda$. Likewise $z = (ax + \lambda)/a^2 < 0$ only if $ax < -\lambda$. In between the loss
# falls towards zero from both sides: the minimum is the kink itself. A squared penalty has no kink, its
# slope at zero is zero, and so it makes every code smaller and none zero. Look at the formula for large $a$:
# the code shrinks like $1/a$ and its penalty with it. A network that may choose $a$ escapes the penalty by
# small codes and large decoder weights, which is why the decoder's norm must be held.
#
# :::

# %% [markdown]
# ## 4. What a linear bottleneck throws away (4 points)
#
# Encoder and decoder are linear with biases, the bottleneck has $k$ latents, and training has found the best
# weights. What is left of the squared error, summed over the pixels and averaged over the images `x` of
# shape (N, D)? Give the number without training anything: which part of the data's variance can $k$ latents
# not carry?


# %% tags=["answer-bottleneck_error"]
def bottleneck_error(x, k):
    """Least mean squared error (summed over D pixels, averaged over N images) with k linear latents."""
    # BEGIN SOLUTION
    centred = x - x.mean(dim=0)
    covariance = centred.T @ centred / len(x)  # (D, D)
    rising = torch.linalg.eigvalsh(covariance)
    return rising[: x.shape[1] - k].sum()  # the variance in the D - k directions that are lost
    # END SOLUTION


# %%
check("bottleneck_error")

# %% [markdown]
# On the digits, the curve that every linear autoencoder stays above:

# %%
from sklearn.datasets import load_digits

with when_done("bottleneck_error"):
    digits = torch.from_numpy(load_digits().data[:1000])  # (1000, 64), grey levels 0 to 16
    widths = list(range(0, 65, 4))
    errors = [float(bottleneck_error(digits, k)) for k in widths]
    fig, ax = plt.subplots()
    ax.plot(widths, errors, "o-")
    ax.set(xlabel="latents k", ylabel="squared error (grey levels², summed over pixels)", ylim=(0, None))
    figure(
        fig,
        alt="The least squared error of a linear autoencoder on the digits against the number of latents: "
        "it falls steeply up to about ten latents and reaches zero at 64.",
    )

# %% [markdown] tags=["solution"]
# :::{admonition} Discussion
# :class: dropdown
#
# The decoder's outputs lie in a $k$-dimensional plane, and the best output for an image is its projection.
# The mean squared distance to a plane through the mean is the variance in the $D - k$ directions across it,
# least if these are the directions of smallest variance: principal component analysis. Training finds the
# same plane, though not the same basis in it, since any invertible map of the latents can be undone by the
# decoder. A nonlinear autoencoder earns its keep only by what it gets below this curve on held-out data.
#
# :::

# %% [markdown]
# ## How far you are

# %%
progress()
