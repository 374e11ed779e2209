"""Wrong answers of 01_autoencoder with the hint each must get, and other right ways to write them."""

from coursekit.exercises.task import Variant, Wrong

WRONG = {
    "denoising_loss": (
        Wrong(
            "the target is the noisy image",
            """
def denoising_loss(model, x, noise):
    noisy = x + noise
    return (model(noisy) - noisy).square().flatten(1).sum(1)
""",
            "The target is the noisy image",
            fails=("a model that copies its input", "a perfect model"),
        ),
        Wrong(
            "nothing is corrupted",
            """
def denoising_loss(model, x, noise):
    return (model(x) - x).square().flatten(1).sum(1)
""",
            "never sees the noise",
            fails=("a model that copies its input",),
        ),
        Wrong(
            "the target is the noise",
            """
def denoising_loss(model, x, noise):
    return (model(x + noise) - noise).square().flatten(1).sum(1)
""",
            "The target is the noise.",
            fails=("a model that copies its input", "a perfect model"),
        ),
        Wrong(
            "mean over pixels",
            """
def denoising_loss(model, x, noise):
    return (model(x + noise) - x).square().flatten(1).mean(1)
""",
            "mean over the pixels",
            fails=("a model that copies its input",),
        ),
        Wrong(
            "one number for the batch",
            """
def denoising_loss(model, x, noise):
    return (model(x + noise) - x).square().sum()
""",
            "should return shape (4,)",
            fails=("a model that copies its input", "a perfect model"),
        ),
        Wrong(
            "changes the images",
            """
def denoising_loss(model, x, noise):
    clean = x.clone()
    x += noise
    return (model(x) - clean).square().flatten(1).sum(1)
""",
            "in place",
            fails=("a model that copies its input", "a perfect model"),
        ),
        Wrong(
            "norm",
            """
def denoising_loss(model, x, noise):
    return (model(x + noise) - x).flatten(1).norm(dim=1)
""",
            "Leave it squared",
            fails=("a model that copies its input",),
        ),
        Wrong(
            "single precision",
            """
def denoising_loss(model, x, noise):
    return (model(x + noise) - x).square().flatten(1).sum(1).float()
""",
            "Keep the inputs' dtype",
            fails=("a model that copies its input", "a perfect model"),
        ),
    ),
    "contractive_penalty": (
        Wrong(
            "norm not squared",
            """
def contractive_penalty(encode, x):
    x = x.detach().requires_grad_()
    h = encode(x)
    rows = [torch.autograd.grad(h[:, j].sum(), x, create_graph=True)[0] for j in range(h.shape[1])]
    return torch.stack(rows, 1).flatten(1).norm(dim=1)
""",
            "This is the Frobenius norm",
            fails=("a linear encoder",),
        ),
        Wrong(
            "the caller's tensor",
            """
def contractive_penalty(encode, x):
    x.requires_grad_()
    h = encode(x)
    rows = [torch.autograd.grad(h[:, j].sum(), x, create_graph=True)[0] for j in range(h.shape[1])]
    return torch.stack(rows, 1).square().sum((1, 2))
""",
            "switches `requires_grad` of its argument `x`",
            fails=("a linear encoder", "each image has its own Jacobian"),
        ),
        Wrong(
            "gradient of the sum",
            """
def contractive_penalty(encode, x):
    x = x.detach().requires_grad_()
    (g,) = torch.autograd.grad(encode(x).sum(), x, create_graph=True)
    return g.square().sum(1)
""",
            "gradient of the sum of the latents",
            fails=("a linear encoder",),
        ),
        Wrong(
            "mean over latents",
            """
def contractive_penalty(encode, x):
    x = x.detach().requires_grad_()
    h = encode(x)
    rows = [torch.autograd.grad(h[:, j].sum(), x, create_graph=True)[0] for j in range(h.shape[1])]
    return torch.stack(rows, 1).square().sum(2).mean(1)
""",
            "mean over the latents",
            fails=("a linear encoder",),
        ),
        Wrong(
            "no graph",
            """
def contractive_penalty(encode, x):
    x = x.detach().requires_grad_()
    h = encode(x)
    rows = [torch.autograd.grad(h[:, j].sum(), x, retain_graph=True)[0] for j in range(h.shape[1])]
    return torch.stack(rows, 1).square().sum((1, 2))
""",
            "No gradient flows",
            fails=("its gradient reaches the encoder's weights",),
        ),
        Wrong(
            "the weights' graph cut",
            """
def contractive_penalty(encode, x):
    x = x.detach().requires_grad_()
    h = encode(x)
    rows = [torch.autograd.grad(h[:, j].sum(), x, retain_graph=True)[0] for j in range(h.shape[1])]
    return torch.stack(rows, 1).square().sum((1, 2)) + 0 * h.sum(1)
""",
            "create_graph=True",
            fails=("its gradient reaches the encoder's weights",),
        ),
        Wrong(
            "one Jacobian for all",
            """
def contractive_penalty(encode, x):
    jacobian = torch.autograd.functional.jacobian(lambda v: encode(v[None])[0], x[0], create_graph=True)
    return jacobian.square().sum().expand(len(x))
""",
            "each image has its own",
            fails=("each image has its own Jacobian",),
        ),
    ),
    "sparse_code": (
        Wrong(
            "no sign",
            """
def sparse_code(x, a, lam):
    return ((a * x).abs() - lam).clamp_min(0) / a**2
""",
            "the sign is not",
            fails=("the code of least loss",),
        ),
        Wrong(
            "not divided",
            """
def sparse_code(x, a, lam):
    return (a * x).sign() * ((a * x).abs() - lam).clamp_min(0)
""",
            "up to a factor a²",
            fails=("the code of least loss",),
        ),
        Wrong(
            "no penalty",
            """
def sparse_code(x, a, lam):
    return x / a
""",
            "without the penalty",
            fails=("the code of least loss", "exactly zero where the penalty outweighs"),
        ),
        Wrong(
            "hard threshold",
            """
def sparse_code(x, a, lam):
    return torch.where((a * x).abs() > lam, x / a, torch.zeros_like(x))
""",
            "the others are not pulled in",
            fails=("the code of least loss",),
        ),
        Wrong(
            "not clipped",
            """
def sparse_code(x, a, lam):
    return (a * x).sign() * ((a * x).abs() - lam) / a**2
""",
            "Beyond, the formula changes sign",
            fails=("the code of least loss", "exactly zero where the penalty outweighs"),
        ),
        Wrong(
            "factor two from the square",
            """
def sparse_code(x, a, lam):
    return (a * x).sign() * ((a * x).abs() - lam / 2).clamp_min(0) / a**2
""",
            "half as hard",
            fails=("the code of least loss", "exactly zero where the penalty outweighs"),
        ),
        Wrong(
            "½ counted twice",
            """
def sparse_code(x, a, lam):
    return (a * x).sign() * ((a * x).abs() - 2 * lam).clamp_min(0) / a**2
""",
            "twice as hard",
            fails=("the code of least loss",),
        ),
        Wrong(
            "squared penalty",
            """
def sparse_code(x, a, lam):
    return a * x / (a**2 + 2 * lam)
""",
            "a squared penalty",
            fails=("the code of least loss", "exactly zero where the penalty outweighs"),
        ),
    ),
    "bottleneck_error": (
        Wrong(
            "what is kept",
            """
def bottleneck_error(x, k):
    values = torch.linalg.svdvals(x - x.mean(0))
    return (values[:k] ** 2).sum() / len(x)
""",
            "what is thrown away",
            fails=("data of known spectrum, two latents", "no bottleneck, no error"),
        ),
        Wrong(
            "N - 1",
            """
def bottleneck_error(x, k):
    values = torch.linalg.eigvalsh(torch.cov(x.T)).flip(0)
    return values[k:].sum()
""",
            "not by one less",
            fails=("data of known spectrum, two latents",),
        ),
        Wrong(
            "singular values not squared",
            """
def bottleneck_error(x, k):
    values = torch.linalg.svdvals(x - x.mean(0))
    return values[k:].sum() / len(x)
""",
            "count squared",
            fails=("data of known spectrum, two latents",),
        ),
        Wrong(
            "not centred",
            """
def bottleneck_error(x, k):
    values = torch.linalg.svdvals(x)
    return (values[k:] ** 2).sum() / len(x)
""",
            "not centred",
            fails=("data of known spectrum, two latents",),
        ),
        Wrong(
            "mean over pixels",
            """
def bottleneck_error(x, k):
    values = torch.linalg.svdvals(x - x.mean(0))
    return (values[k:] ** 2).mean() / len(x) * (x.shape[1] - k) / x.shape[1]
""",
            "mean over the pixels",
            fails=("data of known spectrum, two latents", "no bottleneck, no error"),
        ),
        Wrong(
            "nothing for the full width",
            """
def bottleneck_error(x, k):
    values = torch.linalg.svdvals(x - x.mean(0))
    return (values[min(k, 3):] ** 2).sum() / len(x)
""",
            "the error is 0",
            fails=("no bottleneck, no error",),
        ),
    ),
}

VARIANTS = {
    "denoising_loss": (
        Variant(
            "sum over named dimensions",
            """
def denoising_loss(model, x, noise):
    return ((x - model(x + noise)) ** 2).sum(dim=tuple(range(1, x.ndim)))
""",
        ),
        Variant(
            "functional, one image after the other",
            """
def denoising_loss(model, x, noise):
    y = model(noise + x)
    return torch.stack([torch.nn.functional.mse_loss(a, b, reduction="sum") for a, b in zip(y, x)])
""",
        ),
    ),
    "contractive_penalty": (
        Variant(
            "vmap of jacrev",
            """
def contractive_penalty(encode, x):
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v: encode(v[None])[0]))(x)
    return jacobian.square().sum(dim=(1, 2))
""",
        ),
        Variant(
            "one image after the other",
            """
def contractive_penalty(encode, x):
    def one(image):
        j = torch.autograd.functional.jacobian(lambda v: encode(v[None])[0], image, create_graph=True)
        return (j * j).sum()
    return torch.stack([one(image) for image in x])
""",
        ),
    ),
    "sparse_code": (
        Variant(
            "two clamps",
            """
def sparse_code(x, a, lam):
    up, down = (a * x - lam).clamp(min=0), (a * x + lam).clamp(max=0)
    return (up + down) / (a * a)
""",
        ),
        Variant(
            "where",
            """
def sparse_code(x, a, lam):
    ax = a * x
    inside = ax.abs() <= lam
    return torch.where(inside, torch.zeros_like(x), (ax - lam * torch.sign(ax)) / a.square())
""",
        ),
    ),
    "bottleneck_error": (
        Variant(
            "singular values",
            """
def bottleneck_error(x, k):
    values = torch.linalg.svdvals(x - x.mean(dim=0, keepdim=True))
    return float((values[k:] ** 2).sum() / x.shape[0])
""",
        ),
        Variant(
            "project and measure",
            """
def bottleneck_error(x, k):
    centred = x - x.mean(0)
    _, _, vt = torch.linalg.svd(centred, full_matrices=False)
    basis = vt[:k]
    return (centred - centred @ basis.T @ basis).square().sum(1).mean()
""",
        ),
    ),
}
