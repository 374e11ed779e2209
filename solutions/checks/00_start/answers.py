"""Wrong answers of 00_start with the hint each must get, and other right ways to write the answers."""

from coursekit.exercises.task import Equivalent, Variant, Wrong

WRONG = {
    "from_joint": (
        Wrong(
            "softmax over the inputs",
            """
def from_joint(log_likelihood, log_prior):
    joint = log_likelihood + log_prior
    return joint.logsumexp(1), joint.log_softmax(0)
""",
            "sum to one over the classes, for each input",
            fails=("p(y|x) sums to one for each input", "p(x) p(y|x) = p(x|y) p(y)"),
        ),
        Wrong(
            "no prior",
            """
def from_joint(log_likelihood, log_prior):
    return log_likelihood.logsumexp(1), log_likelihood.log_softmax(1)
""",
            "p(y) is missing",
            fails=("p(x) p(y|x) = p(x|y) p(y)",),
        ),
        Wrong(
            "probabilities",
            """
def from_joint(log_likelihood, log_prior):
    joint = log_likelihood + log_prior
    return joint.logsumexp(1), joint.softmax(1)
""",
            "Return their logarithms",
            fails=("p(y|x) sums to one for each input", "p(x) p(y|x) = p(x|y) p(y)"),
        ),
        Wrong(
            "exp underflows",
            """
def from_joint(log_likelihood, log_prior):
    joint = (log_likelihood + log_prior).exp()
    px = joint.sum(1)
    return px.log(), (joint / px[:, None]).log()
""",
            "log-sum-exp",
            fails=("far from every class nothing underflows",),
        ),
        Wrong(
            "mean over classes",
            """
def from_joint(log_likelihood, log_prior):
    joint = log_likelihood + log_prior
    return joint.mean(1), joint.log_softmax(1)
""",
            "the log of a sum over classes",
            fails=("p(x) p(y|x) = p(x|y) p(y)",),
        ),
        Wrong(
            "clamped far away",
            """
def from_joint(log_likelihood, log_prior):
    joint = (log_likelihood + log_prior).clamp_min(-700)
    return joint.logsumexp(1), joint.log_softmax(1)
""",
            "should lower log p(x) by 1500",
            fails=("far from every class nothing underflows",),
        ),
    ),
    "kl_categorical": (
        Wrong(
            "bits",
            """
def kl_categorical(p, q):
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(1) / math.log(2)
""",
            "in bits",
            fails=("random distributions, in nats",),
        ),
        Wrong(
            "swapped",
            """
def kl_categorical(p, q):
    return (torch.xlogy(q, q) - torch.xlogy(q, p)).sum(1)
""",
            "KL(q || p)",
            fails=("random distributions, in nats", "a zero in p adds nothing"),
        ),
        Wrong(
            "0 log 0",
            """
def kl_categorical(p, q):
    return (p * (p.log() - q.log())).sum(1)
""",
            "0 times log 0",
            fails=("a zero in p adds nothing",),
        ),
        Wrong(
            "cross-entropy",
            """
def kl_categorical(p, q):
    return -torch.xlogy(p, q).sum(1)
""",
            "cross-entropy",
            fails=("random distributions, in nats",),
        ),
        Wrong(
            "no weights",
            """
def kl_categorical(p, q):
    return (p.log() - q.log()).sum(1)
""",
            "without weights",
            fails=("random distributions, in nats", "a zero in p adds nothing"),
        ),
        Wrong(
            "mean",
            """
def kl_categorical(p, q):
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).mean(1)
""",
            "mean over the values",
            fails=("random distributions, in nats",),
        ),
        Wrong(
            "one number for the batch",
            """
def kl_categorical(p, q):
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum()
""",
            "should return shape (4,)",
            fails=("random distributions, in nats",),
        ),
        Wrong(
            "small number inside",
            """
def kl_categorical(p, q):
    return (p * ((p + 1e-12).log() - (q + 1e-12).log())).sum(1)
""",
            "small number",
            fails=(),
        ),
    ),
    "moment_match": (
        Wrong(
            "variance",
            """
def moment_match(weights, means, stds):
    mean = (weights * means).sum()
    return mean, (weights * (stds**2 + means**2)).sum() - mean**2
""",
            "This is the variance",
            fails=("the standard deviation",),
        ),
        Wrong(
            "spread of the means left out",
            """
def moment_match(weights, means, stds):
    return (weights * means).sum(), (weights * stds**2).sum().sqrt()
""",
            "Only the spread inside",
            fails=("the standard deviation",),
        ),
        Wrong(
            "average std",
            """
def moment_match(weights, means, stds):
    return (weights * means).sum(), (weights * stds).sum()
""",
            "Variances add",
            fails=("the standard deviation",),
        ),
        Wrong(
            "unweighted",
            """
def moment_match(weights, means, stds):
    mean = means.mean()
    return mean, ((stds**2 + means**2).mean() - mean**2).sqrt()
""",
            "plain average",
            fails=("the mean", "the standard deviation"),
        ),
        Wrong(
            "heaviest component",
            """
def moment_match(weights, means, stds):
    k = weights.argmax()
    return means[k], stds[k]
""",
            "heaviest component",
            fails=("the mean", "the standard deviation"),
        ),
        Wrong(
            "second moment",
            """
def moment_match(weights, means, stds):
    return (weights * means).sum(), (weights * (stds**2 + means**2)).sum().sqrt()
""",
            "root of E[x²]",
            fails=("the standard deviation",),
        ),
    ),
    "prediction": (
        Wrong(
            "forward and reverse swapped",
            "prediction = dict(forward_mean=-2, forward_std=0.6, reverse_mean=-0.6, reverse_std=2)",
            "sits on one bump",
            fails=(
                "forward KL: where q sits",
                "forward KL: how wide q is",
                "reverse KL: where q sits",
                "reverse KL: how wide q is",
            ),
        ),
        Wrong(
            "halfway",
            "prediction = dict(forward_mean=0, forward_std=2, reverse_mean=-2, reverse_std=0.6)",
            "Halfway",
            fails=("forward KL: where q sits",),
        ),
        Wrong(
            "forward too narrow",
            "prediction = dict(forward_mean=-0.6, forward_std=0.6, reverse_mean=-2, reverse_std=0.6)",
            "leave one bump out",
            fails=("forward KL: how wide q is",),
        ),
        Wrong(
            "the lighter bump",
            "prediction = dict(forward_mean=-0.6, forward_std=2, reverse_mean=2, reverse_std=0.6)",
            "local minimum",
            fails=("reverse KL: where q sits",),
        ),
        Wrong(
            "reverse in the gap",
            "prediction = dict(forward_mean=-0.6, forward_std=2, reverse_mean=-0.6, reverse_std=0.6)",
            "p has almost none",
            fails=("reverse KL: where q sits",),
        ),
        Wrong(
            "reverse too wide",
            "prediction = dict(forward_mean=-0.6, forward_std=2, reverse_mean=-2, reverse_std=2)",
            "reach into the gap",
            fails=("reverse KL: how wide q is",),
        ),
        Wrong(
            "a word for a number",
            'prediction = dict(forward_mean="left", forward_std=2, reverse_mean=-2, reverse_std=2)',
            "should be a number",
            fails=("forward KL: where q sits", "reverse KL: how wide q is"),
        ),
    ),
    "two_ways": (
        Wrong(
            "always left",
            """
def two_ways(n, generator):
    x = torch.randint(0, 2, (n,), generator=generator).double()
    return x, -0.9 * x + 0.02 * torch.randn(n, generator=generator).clamp(-4, 4)
""",
            "all targets agree",
            fails=("at the obstacle the average is like no target",),
        ),
        Wrong(
            "mostly left",
            """
def two_ways(n, generator):
    x = torch.randint(0, 2, (n,), generator=generator).double()
    side = torch.where(torch.rand(n, generator=generator) < 0.9, -0.9, 0.9)
    return x, side * x
""",
            "so frequent",
            fails=("at the obstacle the average is like no target",),
        ),
        Wrong(
            "nothing but noise",
            """
def two_ways(n, generator):
    x = torch.randint(0, 2, (n,), generator=generator).double()
    return x, x * (2 * torch.rand(n, generator=generator) - 1)
""",
            "nothing between",
            fails=("at the obstacle the average is like no target",),
        ),
        Wrong(
            "two ways on the free road too",
            """
def two_ways(n, generator):
    x = torch.randint(0, 2, (n,), generator=generator).double()
    return x, 2.0 * torch.randint(0, 2, (n,), generator=generator) - 1
""",
            "Make them agree",
            fails=("on the free road the average is a good answer",),
        ),
        Wrong(
            "global random state",
            """
def two_ways(n, generator):
    x = torch.randint(0, 2, (n,)).double()
    return x, x * (2.0 * torch.randint(0, 2, (n,)) - 1)
""",
            "cannot be repeated",
            fails=("the data come from the generator",),
        ),
        Wrong(
            "steering out of range",
            """
def two_ways(n, generator):
    x = torch.randint(0, 2, (n,), generator=generator).double()
    return x, x * (2.0 * torch.randint(0, 2, (n,), generator=generator) - 1) * 90
""",
            "between -1 and 1",
            fails=("x and y have the right form",),
        ),
        Wrong(
            "four hundred rows always",
            """
def two_ways(n, generator):
    x = torch.randint(0, 2, (400,), generator=generator).double()
    return x, x * (2.0 * torch.randint(0, 2, (400,), generator=generator) - 1)
""",
            "shape (301,)",
            fails=(),
        ),
    ),
}

VARIANTS = {
    "from_joint": (
        Variant(
            "largest term taken out by hand",
            """
def from_joint(log_likelihood, log_prior):
    joint = log_likelihood + log_prior
    top = joint.max(dim=1, keepdim=True).values
    log_px = top + (joint - top).exp().sum(1, keepdim=True).log()
    return log_px[:, 0], joint - log_px
""",
        ),
        Variant(
            "log_softmax, as a list",
            """
def from_joint(log_likelihood, log_prior):
    joint = log_likelihood + log_prior
    return [torch.logsumexp(joint, dim=1), torch.log_softmax(joint, dim=1)]
""",
        ),
    ),
    "kl_categorical": (
        Variant(
            "where",
            """
def kl_categorical(p, q):
    return torch.where(p > 0, p * (p / q).log(), torch.zeros_like(p)).sum(dim=1)
""",
        ),
        Variant(
            "loops",
            """
def kl_categorical(p, q):
    rows = []
    for one, other in zip(p.tolist(), q.tolist()):
        kl = 0.0
        for a, b in zip(one, other):
            if a > 0:
                kl += a * (math.log(a) - math.log(b)) if b > 0 else math.inf
        rows.append(kl)
    return torch.tensor(rows, dtype=p.dtype)
""",
        ),
    ),
    "moment_match": (
        Variant(
            "spread around the mean",
            """
def moment_match(weights, means, stds):
    mean = weights @ means
    return mean, (weights @ (stds**2 + (means - mean) ** 2)).sqrt()
""",
        ),
        Variant(
            "plain numbers",
            """
def moment_match(weights, means, stds):
    w, m, s = weights.tolist(), means.tolist(), stds.tolist()
    mean = sum(a * b for a, b in zip(w, m))
    second = sum(a * (b * b + c * c) for a, b, c in zip(w, m, s))
    return mean, math.sqrt(second - mean * mean)
""",
        ),
    ),
    "prediction": (
        Variant(
            "rounded",
            "prediction = dict(forward_mean=-0.5, forward_std=2.1, reverse_mean=-1.9, reverse_std=0.5)",
        ),
        Variant(
            "tensors",
            "prediction = {'forward_mean': torch.tensor(-0.6), 'forward_std': torch.tensor(2.0), "
            "'reverse_mean': torch.tensor(-2.0), 'reverse_std': torch.tensor(0.6)}",
        ),
    ),
    "two_ways": (
        Variant(
            "no noise, a third of obstacles",
            """
def two_ways(n, generator):
    x = (torch.rand(n, generator=generator) < 1 / 3).float()
    return x, x * (2.0 * torch.randint(0, 2, (n,), generator=generator) - 1)
""",
        ),
        Variant(
            "where and noise",
            """
def two_ways(n, generator):
    x = torch.randint(0, 2, (n,), generator=generator).double()
    left = torch.rand(n, generator=generator, dtype=torch.float64) < 0.5
    y = torch.where(left, -0.8, 0.8) * x
    return x, y + 0.04 * torch.rand(n, generator=generator, dtype=torch.float64)
""",
        ),
    ),
}

# Mutants of the solution that get full marks, and why they may (see coursekit.grading.proof).
EQUIVALENT = {
    "two_ways": (
        Equivalent(
            "y = 0.8 * side * x - 0.03 * torch.randn(n, generator=generator)",
            "Noise with the other sign has the same distribution.",
        ),
        Equivalent(
            "y = 0.8 * side * x",
            "The free road may do without noise: all its targets lie within 0.2 of their mean.",
        ),
        Equivalent(
            "y = 0.8 * side * x + 0.03",
            "A shift of 0.03 keeps all four conditions: the task leaves the data to the designer.",
        ),
        Equivalent(
            "y = 0.8 * side * x + 0.06 * torch.randn(n, generator=generator)",
            "Twice the noise keeps all four conditions.",
        ),
        Equivalent(
            "side = 3.0 * torch.randint(0, 2, (n,), generator=generator) - 1",
            "Sides at -0.8 and, clamped, 1: still two ways, and their mean is more than 0.5 from both.",
        ),
        Equivalent(
            "side = 4.0 * torch.randint(0, 2, (n,), generator=generator) - 1",
            "Sides at -0.8 and, clamped, 1: still two ways, and their mean is more than 0.5 from both.",
        ),
        Equivalent(
            "y = 0.8 / side * x + 0.03 * torch.randn(n, generator=generator)",
            "A side is 1 or -1, and so is one over it.",
        ),
        Equivalent(
            "y = side * x + 0.03 * torch.randn(n, generator=generator)",
            "Sides at -1 and 1 keep all four conditions.",
        ),
        Equivalent(
            "y = 1.8 * side * x + 0.03 * torch.randn(n, generator=generator)",
            "Clamped to sides at -1 and 1, which keep all four conditions.",
        ),
        Equivalent(
            "y = 1.6 * side * x + 0.03 * torch.randn(n, generator=generator)",
            "Clamped to sides at -1 and 1, which keep all four conditions.",
        ),
        Equivalent(
            "return (x, y.clamp(-1, 2))",
            "At sides of 0.8 with noise of 0.03 nothing comes near 1: the clamp has nothing to do.",
        ),
        Equivalent(
            "return (x, y.clamp(-2, 1))",
            "At sides of -0.8 with noise of 0.03 nothing comes near -1: the clamp has nothing to do.",
        ),
    ),
}
