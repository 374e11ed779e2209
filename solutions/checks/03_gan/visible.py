"""Visible checks of 03_gan: known values and properties, with the hint that fits what went wrong."""

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal

from coursekit.exercises.judge import (
    NotDone,
    Trouble,
    close,
    entry,
    explain,
    number,
    returned,
    table,
    tensor,
    tensors,
)
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion, Task

from .probes import (
    BELIEFS,
    FORGERS,
    HONEST,
    PROBES,
    RATE,
    SLOPES,
    STEEP,
    Forger,
    Judge,
    batches,
    grey_levels,
    log_densities,
    log_ratios,
    logits,
    two_honest,
    two_steps,
)

EACH = "one number per sample"

# --- js ----------------------------------------------------------------------------------------------


def two_kls(log_p_x: Tensor, log_q_x: Tensor, log_p_y: Tensor, log_q_y: Tensor) -> tuple[float, float]:
    """Estimates of KL(p || m) and KL(q || m), m half p and half q, with Python's own numbers."""

    def kl(own: list[float], other: list[float]) -> float:
        logs = [a - math.log((math.exp(a) + math.exp(b)) / 2) for a, b in zip(own, other, strict=True)]
        return math.fsum(logs) / len(logs)

    return kl(log_p_x.tolist(), log_q_x.tolist()), kl(log_q_y.tolist(), log_p_y.tolist())


def loose(data: Plain, key: str) -> float:
    """The number that a call returned, which may be infinite or NaN here."""
    value = returned(data, key)
    if value.get("type") == "tensor" and value.get("shape") in ([], [1]):
        return float(value["values"][0])
    if value.get("type") == "number":
        return float(value["value"])
    return number(data, key)


def js_random(data: Plain, seed: int) -> str | None:
    p_x, q_x, p_y, q_y = log_densities(seed)
    kl_p, kl_q = two_kls(p_x, q_x, p_y, q_y)
    right = (kl_p + kl_q) / 2
    over_p = sum(two_kls(p_x, q_x, p_x, q_x)) / 2
    to_geometric = ((p_x - q_x).mean() + (q_y - p_y).mean()) / 4
    return explain(
        number(data, "random"),
        right,
        {
            "This is the divergence in bits. Take natural logarithms.": right / math.log(2),
            "The mixture is p + q here, without its half: every value is too small by log 2.": right
            - math.log(2),
            "This is KL(p || m) + KL(q || m), twice the divergence. Where is the ½ before each?": 2 * right,
            "This is the game's value V = 2 JS - log 4. Solve for JS.": 2 * right - math.log(4),
            "The sign is the wrong way round: JS is never negative.": -right,
            "This is the mean of KL(p || q) and KL(q || p). In JS both are measured from the mixture.": (
                2 * to_geometric
            ),
            "This averages the logarithms of p and q. The mixture is the average of the densities.": (
                to_geometric
            ),
            "Only KL(p || m) is there, without KL(q || m).": kl_p,
            "Only half of KL(p || m) is there: KL(q || m) belongs to it, over the samples of q.": kl_p / 2,
            "Both averages run over samples of p. KL(q || m) is an expectation under q.": over_p,
            "This is one average over all samples together, so that the larger set counts more. Average "
            "within each set, then take half of each.": (6 * kl_p + 4 * kl_q) / 10,
        },
        "Not ½ KL(p || m) + ½ KL(q || m). For two samples, one from each, where its own density is three "
        "times the other, it is log (3/2) = 0.4055.",
    )


def js_apart(data: Plain, seed: int) -> str | None:
    got = loose(data, "apart")
    if not math.isfinite(got):
        return (
            "At log densities of -2000 exp gives zero, and its logarithm minus infinity. "
            "Stay with logarithms: `torch.logaddexp`, or a softplus of the difference."
        )
    return explain(
        got,
        math.log(2),
        {
            "Where p and q nowhere overlap JS is as large as it gets; you return 0.": 0.0,
            "Where p and q nowhere overlap JS is log 2 = 0.6931; you return 1, which is that in bits.": 1.0,
            "Where p and q nowhere overlap JS is log 2; you return twice that.": math.log(4),
            "Where p and q nowhere overlap JS is log 2; you return half of that: one KL is missing.": (
                math.log(2) / 2
            ),
        },
        "Where p and q nowhere overlap JS is log 2 = 0.6931, however far apart they are.",
    )


# --- losses ------------------------------------------------------------------------------------------


def surprise(logit: Tensor, real: float) -> Tensor:
    """Minus log D, or minus log(1 - D), in nats: torch's own."""
    return -Bernoulli(logits=logit).log_prob(torch.full_like(logit, real))


def judge_plain(data: Plain, seed: int) -> str | None:
    real, fake = logits(seed)
    right = surprise(real, 1.0) + surprise(fake, 0.0)
    twice = surprise(real.sigmoid(), 1.0) + surprise(fake.sigmoid(), 0.0)
    return explain(
        tensor(data, "judge", (5,), meaning=EACH),
        right,
        {
            "The sigmoid is applied twice: the loss on logits has one inside. A judge like this can call "
            "nothing a forgery.": twice,
            "Real and forged samples have changed places.": surprise(real, 0.0) + surprise(fake, 1.0),
            "This is what the judge wants to be large. The loss is its negative.": -right,
            "This is half of the loss. Add both parts; the ½ of some codes changes the step size.": right / 2,
            "Only the real samples count.": surprise(real, 1.0),
            "Only the forged samples count.": surprise(fake, 0.0),
        },
        "Not -log D at the real sample minus log(1 - D) at the forged one. At two logits of 0 it is log 4.",
    )


def judge_smooth(data: Plain, seed: int) -> str | None:
    real, fake = logits(seed)
    plain_part = tensor(data, "judge", (5,), meaning=EACH)
    got = tensor(data, "smooth", (5,), meaning=EACH)
    change = 0.2 * real  # -a log D - (1 - a) log(1 - D) is larger by (1 - a) l than -log D
    return explain(
        got - plain_part,  # what smoothing changed, whatever the loss without it is
        change,
        {
            "The target a does not count.": torch.zeros_like(change),
            "Only log D is scaled by a. Where is the other outcome, (1 - a) log(1 - D)?": -0.2
            * surprise(real, 1.0),
            "The forged samples are smoothed too. Then the judge praises the forger's present errors: "
            "smooth the real side only.": change - 0.2 * fake,
            "The forged samples are smoothed, the real ones not. It is the other way round.": -0.2 * fake,
            "a is the probability of a forgery here. A real sample counts as real with probability a.": (
                0.8 * real
            ),
        },
        "With a below 1, a real sample costs -a log D - (1 - a) log(1 - D), a forged one what it did before.",
        rtol=1e-5,
        atol=1e-7,
    )


def forger(data: Plain, seed: int) -> str | None:
    _, fake = logits(seed)
    right = surprise(fake, 1.0)
    return explain(
        tensor(data, "forger", (5,), meaning=EACH),
        right,
        {
            "This is log(1 - D), the loss of the game, which saturates. Take the one that pushes hardest "
            "where the judge is sure.": -surprise(fake, 0.0),
            "This is -log(1 - D): with it the forger helps the judge.": surprise(fake, 0.0),
            "This is log D, and descending on it makes D small. Change the sign.": -right,
            "The sigmoid is applied twice in the forger's loss: its D never leaves (0.5, 0.73).": surprise(
                fake.sigmoid(), 1.0
            ),
            "This is minus the logit, the loss of a critic without a sigmoid.": -fake,
        },
        "Not -log D(G(z)). At the logit 0 it is log 2, at -2 it is 2.1269.",
    )


def far_logits(data: Plain, seed: int) -> str | None:
    ends = (
        ("judge far", "judge sure", "judge half as far", "judge half as sure"),
        ("forger low", "forger high", "forger half as low", "forger half as high"),
    )
    for keys in ends:
        values = [tensor(data, key, None, finite=False) for key in keys]
        if not all(bool(value.isfinite().all()) for value in values):
            return (
                "At logits of 10000 the sigmoid has rounded to 0 or 1, and its logarithm is infinite. Take "
                "the loss on logits: log D = -softplus(-l)."
            )
        large, small = values[0] - values[1], values[2] - values[3]  # of either sign, whichever loss it is
        if not (bool((small.abs() > 1e3).all()) and close(large, 2 * small, rtol=1e-3)):
            return (
                "A judge who is sure and wrong should pay in proportion to his logit, twice as much at 10000 "
                "as at 5000. Here something caps it, and where the loss is flat nothing is learnt: a small "
                "number inside the logarithm, a clamp, or a sigmoid too many."
            )
    return None


# --- train_step --------------------------------------------------------------------------------------


def prepared() -> Tensor:
    return torch.tensor([[-1.0, 1.0, 0.0, -0.875], [-0.5, 0.5, 0.875, 1.0]], dtype=torch.float64)


def given_prepare() -> Tensor:
    return (grey_levels().double() - 0.5) / 0.5 / 16


def judge_cost(judge: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return surprise(judge(real), 1.0).mean() + surprise(judge(fake), 0.0).mean()


def given_step(
    forger: nn.Module,
    judge: nn.Module,
    optimiser_g: torch.optim.Optimizer,
    optimiser_d: torch.optim.Optimizer,
    real: Tensor,
    noise: Tensor,
) -> None:
    """The step that the student was given."""
    optimiser_g.zero_grad()
    fake = forger(noise)
    judge_cost(judge, real, fake).backward(retain_graph=True)
    optimiser_d.step()
    surprise(judge(fake), 1.0).mean().backward()
    optimiser_g.step()


@cache
def given_path(seed: int) -> list[Tensor]:
    return two_steps(given_step, seed)


def path(data: Plain, seed: int) -> list[Tensor]:
    """Both players' parameters at the start and after each of two steps; NotDone where nothing is mended."""
    if not (mended_step(data, seed) or mended_range(data)):
        raise NotDone("Not done yet: this still does what the code that you were given does.")
    return tensors(data, "path", [t.shape for t in given_path(seed)])


def mended_step(data: Plain, seed: int) -> bool:
    given = given_path(seed)
    try:
        return not same_path(tensors(data, "path", [t.shape for t in given]), given)
    except NotDone:
        return False
    except Trouble:
        return True


def mended_range(data: Plain) -> bool:
    try:
        return not close(tensor(data, "range", None, dtype=None), given_prepare(), rtol=1e-4)
    except NotDone:
        return False
    except Trouble:
        return True


def same_path(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(close(s, t) for s, t in zip(a, b, strict=True))


def loaded(net: nn.Module, values: Tensor) -> nn.Module:
    """The network with these parameters."""
    start = 0
    for parameter in net.parameters():
        parameter.data = values[start : start + parameter.numel()].reshape(parameter.shape).clone()
        start += parameter.numel()
    return net


def gradient_of(cost: Tensor, net: nn.Module) -> Tensor:
    found = torch.autograd.grad(cost, list(net.parameters()), retain_graph=True)
    return torch.cat([g.reshape(-1) for g in found])


def players(
    seed: int, judge: Tensor, forger: Tensor, step: int
) -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """Both networks with these parameters, and the real and forged samples of a step."""
    nets = loaded(Judge(seed), judge), loaded(Forger(seed), forger)
    real, noise = batches(seed)[step]
    return *nets, real, nets[1](noise)


def pixel_range(data: Plain, seed: int) -> str | None:
    if not (mended_range(data) or mended_step(data, seed)):
        raise NotDone("Not done yet: this still does what the code that you were given does.")
    got = tensor(data, "range", (2, 4), meaning="that of the images", dtype=("float32", "float64"))
    grey = grey_levels().double()
    return explain(
        got,
        prepared(),
        {
            "Grey 16 becomes 1.94 and grey 0 becomes -0.06: the images are shifted before they are scaled. "
            "No tanh reaches 1.94, so the judge need not look any further.": given_prepare(),
            "This is [0, 1]. The forger's tanh draws in [-1, 1].": grey / 16,
            "255 is the white of other images. Here white is 16.": (grey / 255 - 0.5) / 0.5,
            "This is [-½, ½]: half of what the forger's tanh can draw.": grey / 16 - 0.5,
            "Black and white are swapped: 0 is black, and belongs to -1.": -prepared(),
        },
        "Grey 0 should become -1, grey 16 should become 1, and grey 8 should become 0.",
        rtol=1e-5,
        atol=1e-6,
    )


def forger_moves(data: Plain, seed: int) -> str | None:
    start_d, start_g, d, g, *_ = path(data, seed)
    judge, forger, _, fake = players(seed, d, start_g, 0)  # the judge has moved already, rightly or not
    own = gradient_of(surprise(judge(fake), 1.0).mean(), forger)
    helps = gradient_of(surprise(judge(fake), 0.0).mean(), forger)
    judge_then, forger_then, _, fake_then = players(seed, start_d, start_g, 0)
    leak = gradient_of(surprise(judge_then(fake_then), 0.0).mean(), forger_then)
    early = gradient_of(surprise(judge_then(fake_then), 1.0).mean(), forger_then)
    return explain(
        (start_g - g) / RATE,
        own,
        {
            "The forger does not move. Nothing of its own loss may be cut off from it: detach in the judge's "
            "loss only.": torch.zeros_like(own),
            "The judge's loss still leaks into the forger: its gradient is added to the forger's own, and "
            "they pull in opposite directions.": own + leak,
            "The forger descends on the judge's loss: it learns to be found out.": leak,
            "The forger walks uphill on its own loss.": -own,
            "The forger answers the judge of before the update. First the judge moves, then the forger.": (
                early
            ),
            "This is the step of the loss log(1 - D), which saturates. The forger's loss was right.": -helps,
        },
        "After the judge's update the forger should take one step down its own loss, softplus(-l), and only "
        "its own.",
        rtol=1e-5,
        atol=1e-8,
    )


def judge_moves(data: Plain, seed: int) -> str | None:
    start_d, start_g, d, g, d2, _ = path(data, seed)
    judge, _, real, fake = players(seed, d, g, 1)
    own = gradient_of(judge_cost(judge, real, fake), judge)
    judge_then, _, real_then, fake_then = players(seed, start_d, start_g, 0)
    first = gradient_of(judge_cost(judge_then, real_then, fake_then), judge_then)
    judge_between, _, _, fake_then = players(seed, d, start_g, 0)
    left = gradient_of(surprise(judge_between(fake_then), 1.0).mean(), judge_between)
    if close(d, start_d):
        return "The judge does not move at all. Are its gradients cleared between its backward and its step?"
    return explain(
        (d - d2) / RATE,
        own,
        {
            "The judge's second update holds everything since the start: its gradients are never cleared. "
            "Each backward adds to what is there.": own + first + left,
            "The judge's second update holds what the forger's loss left behind in the judge's parameters. "
            "Clear them before the judge's own backward, not before the forger's.": own + left,
            "The judge's second update holds its first gradient too.": own + first,
            "The judge walks uphill on its loss.": -own,
        },
        "In the second step the judge should take one step down its own loss at the new batch, and only "
        "that.",
        rtol=1e-5,
        atol=1e-8,
    )


def leaking_weight(data: Plain, seed: int) -> str | None:
    belief = torch.tensor(BELIEFS, dtype=torch.float64)
    return explain(
        tensor(data, "weights", (4,), meaning="one number per belief"),
        2 * belief - 1,
        {
            "This is the weight of the right step, that of -log D alone. What does the judge's loss add?": (
                belief - 1
            ),
            "This is the weight of the leak alone, that of -log(1 - D). The forger's loss is there too.": (
                belief
            ),
            "The sign is the wrong way round: a gradient is what the optimiser subtracts.": 1 - 2 * belief,
            "The two weights are subtracted. The gradients of two losses add up.": torch.ones_like(belief),
            "Both gradients push the logit up here. The judge's loss pushes that of a forgery down.": (
                -torch.ones_like(belief)
            ),
            "This is the mean of the two. backward() adds, it does not average.": belief - 0.5,
        },
        "Add the derivatives by the logit: that of softplus(l), which is D, and that of softplus(-l).",
    )


# --- left_out ----------------------------------------------------------------------------------------

KEYS = ("belief_drawn", "belief_left_out", "judge_loss", "js", "slope")
NEAR = 0.03


@cache
def on_the_ring() -> dict[str, float]:
    """The five numbers, from the densities at points of the ring."""
    angle = torch.arange(8).double() * (2 * math.pi / 8)
    centres = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    line = torch.linspace(-0.6, 0.6, 121, dtype=torch.float64)
    around = torch.cartesian_prod(line, line)
    points = (centres[:, None] + around).reshape(-1, 2).requires_grad_()  # everything but a tail of e^-18
    each = Normal(centres[:, None], 0.1).log_prob(points).sum(-1)  # (8, N)
    log_p = each.logsumexp(0) - math.log(8)
    log_q = each[[0, 3]].logsumexp(0) - math.log(2)
    logit = log_p - log_q
    (slopes,) = torch.autograd.grad(logit.sum(), points)
    p, q = (t.detach().exp() / t.detach().exp().sum() for t in (log_p, log_q))
    logit = logit.detach()
    loss = float((p * surprise(logit, 1.0) + q * surprise(logit, 0.0)).sum())
    at = 121**2 // 2  # the centre of a Gaussian
    return {
        "belief_drawn": float(logit[at].sigmoid()),
        "belief_left_out": float(logit[at + 121**2].sigmoid()),
        "judge_loss": loss,
        "js": (math.log(4) - loss) / 2,
        "slope": float(slopes[at].norm()),
    }


def predicted(key: str, known: dict[float, str], otherwise: str, data: Plain) -> str | None:
    got = entry(table(data, "left_out", KEYS), key)
    if abs(got - on_the_ring()[key]) <= NEAR:
        return None
    near = [hint for value, hint in known.items() if abs(got - value) <= NEAR]
    return near[0] if near else otherwise


def belief_drawn(data: Plain, seed: int) -> str | None:
    known = {
        0.5: "Where the forger draws, it draws too often: half of its samples fall on a Gaussian that has an "
        "eighth of the real ones. The two densities are not equal there.",
        0.0: "The judge is not that sure: real samples fall there as well.",
        0.25: "This is the ratio q to p upside down, p / q. The best judge says p / (p + q).",
        0.8: "This is the belief that the sample is forged, q / (p + q).",
    }
    return predicted("belief_drawn", known, "Put the two densities there into p / (p + q).", data)


def belief_left_out(data: Plain, seed: int) -> str | None:
    known = {
        0.5: "The forger never draws there: q = 0. Whoever finds a point there knows where it comes from.",
        0.0: "It is the forger that is never there. D is the belief that a sample is real.",
    }
    return predicted("belief_left_out", known, "q is zero there. Put that into p / (p + q).", data)


def judge_pays(data: Plain, seed: int) -> str | None:
    right = on_the_ring()["judge_loss"]
    known = {
        math.log(4): "This is what a judge pays who knows nothing. He recognises six Gaussians of eight.",
        0.0: "A loss of 0 would need a judge who is never wrong. On two Gaussians he has to guess.",
        -right: "This is the value V. The loss is its negative.",
        right / math.log(2): "This is in bits.",
        right / 2: "This is the mean over the two kinds of samples. V adds an average over real samples and "
        "an average over forged ones.",
        math.log(5) + math.log(1.25): "The real samples that were left out cost nothing, and they are three "
        "quarters of the real ones.",
    }
    return predicted(
        "judge_loss", known, "A quarter of the real samples, and every forged one, costs something.", data
    )


def divergence(data: Plain, seed: int) -> str | None:
    right = on_the_ring()["js"]
    known = {
        math.log(2): "log 2 is JS where p and q nowhere overlap. Here they share two Gaussians.",
        0.0: "0 would mean q = p.",
        2 * right: "This is 2 JS. The value is 2 JS - log 4.",
        0.75 * math.log(2): "Not in proportion to what is missing: the two Gaussians that are drawn are "
        "drawn too often, and that counts too.",
    }
    return predicted("js", known, "The value, minus the judge's loss, is 2 JS - log 4.", data)


def slope(data: Plain, seed: int) -> str | None:
    known = {
        math.log(4): "This is the length of the logit itself, log (p / q). How does it change with x?",
        0.2: "This is D. The slope of its logit is asked: how does log (p / q) change with x?",
    }
    return predicted(
        "slope",
        known,
        "Write down log p - log q near a Gaussian that both draw. Which part of it depends on x?",
        data,
    )


# --- score -------------------------------------------------------------------------------------------


def clear(data: Plain, name: str, honest: str = "honest", prefix: str = "") -> tuple[float, float, float]:
    """The score of a forger, and the lowest and the highest of the honest draws."""
    found = [number(data, f"{honest} {i}") for i in range(HONEST)]
    return number(data, prefix + name), min(found), max(found)


def stands(got: float, low: float, high: float) -> bool:
    """Whether a score stands clear of the honest ones, which lie between low and high."""
    return got > high and got - high > high - low


def nearest(a: Tensor, b: Tensor) -> Tensor:
    """The mean distance of the points of a to their nearest in b."""
    return torch.cdist(a, b).min(1).values.mean()


def recognised(data: Plain, seed: int) -> str:
    """What a score is, where it is one that is often tried; empty where it is not."""
    real, fake = two_honest(seed)
    means, covariances = zip(*((x.mean(0), torch.cov(x.T)) for x in (real, fake)), strict=True)
    roots = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.sqrt().sum()
    shift = (means[0] - means[1]).square().sum()
    frechet = shift + sum(c.trace() for c in covariances) - 2 * roots
    within = sum(torch.cdist(x, x).mean() for x in (real, fake))
    known = {
        "You ask how far forged points are from real ones, and never the other way round.": nearest(
            fake, real
        ),
        "You ask how far real points are from forged ones, and never the other way round.": nearest(
            real, fake
        ),
        "This is the Fréchet distance, which knows means and covariances only.": frechet,
        "This compares means only.": shift.sqrt(),
        "This is the energy distance: an average over all pairs, in which a few points drown.": (
            2 * torch.cdist(real, fake).mean() - within
        ),
    }
    got = number(data, "again 0")
    return next((what for what, value in known.items() if close(abs(got), value.abs(), rtol=1e-5)), "")


def told(name: str, otherwise: str, data: Plain, seed: int) -> str | None:
    got, low, high = clear(data, name)
    if stands(got, low, high):
        return None
    figures = f"It scores {got:.3g}, the honest draws {low:.3g} to {high:.3g}."
    every = [clear(data, each) for each in FORGERS]
    if all(got == low == high for got, low, high in every):
        return "Every set of samples gets the same score."
    if all(got < high for got, _, high in every) and any(low - got > high - low for got, low, high in every):
        return "Here forgers score lower than honest draws. A higher score should mean a worse forger."
    return " ".join(part for part in (otherwise, recognised(data, seed), figures) if part)


def tells_left_out(data: Plain, seed: int) -> str | None:
    return told(
        "leaves out",
        "The forger that leaves out every second Gaussian is not told apart. Its mean and covariance are "
        "those of nature, and each of its points looks real. Who misses it?",
        data,
        seed,
    )


def tells_repeats(data: Plain, seed: int) -> str | None:
    return told(
        "repeats",
        "The forger that repeats 40 points is not told apart. All eight Gaussians have their share; what "
        "is missing is between its points.",
        data,
        seed,
    )


def tells_strays(data: Plain, seed: int) -> str | None:
    return told(
        "strays",
        "The forger with one stray in twenty is not told apart. Nothing real lies near a stray. Does your "
        "score ask each forged point?",
        data,
        seed,
    )


def tells_lopsided(data: Plain, seed: int) -> str | None:
    return told(
        "lopsided",
        "The forger that favours one Gaussian is not told apart. Nothing is missing and nothing is wrong, "
        "but seven Gaussians get too few points. What becomes of the distances there?",
        data,
        seed,
    )


# --- triangular --------------------------------------------------------------------------------------


def f(u: Tensor) -> Tensor:
    return (u - 1).square() / (u + 1)


@cache
def supremum(slopes: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """sup over u of u t - f(u) for each slope t, and the u where it is, by golden-section search."""
    t = torch.tensor(slopes, dtype=torch.float64)
    low, high = torch.full_like(t, -60.0), torch.full_like(t, 25.0)  # log u
    ratio = (math.sqrt(5) - 1) / 2

    def brace(log_u: Tensor) -> Tensor:
        return log_u.exp() * t - f(log_u.exp())

    for _ in range(120):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        keep_left = brace(left) > brace(right)
        low, high = torch.where(keep_left, low, left), torch.where(keep_left, right, high)
    middle = (low + high) / 2
    return brace(middle), middle.exp()


def conjugate_inside(data: Plain, seed: int) -> str | None:
    right, where = supremum(SLOPES)
    t = torch.tensor(SLOPES, dtype=torch.float64)
    return explain(
        tensor(data, "conjugate", (len(SLOPES),), meaning="that of t"),
        right,
        {
            "This is the u at which the supremum is attained. Put it into u t - f(u).": where,
            "The sign is the wrong way round: the brace is u t - f(u).": -right,
            "This is u t at the best u. f(u) comes off.": where * t,
            "This is f at the best u. The conjugate is u t - f(u).": f(where),
            "This is f(t). The conjugate is a supremum over u.": f(t),
            "The best u is off by one: with w = u + 1 you have found w.": (where + 1) * t - f(where + 1),
            "The root counts once here. It comes from u t and from f(u), and counts twice.": (
                4 - t - 2 * (1 - t).sqrt()
            ),
        },
        "Not sup u t - f(u). At t = 0 it is 0, at u = 1; at t = 3/4 it is 5/4, at u = 3.",
        rtol=1e-5,
        atol=1e-6,
    )


def conjugate_steep(data: Plain, seed: int) -> str | None:
    t = torch.tensor(STEEP, dtype=torch.float64)
    right, _ = supremum(STEEP)
    return explain(
        tensor(data, "steep", (len(STEEP),), meaning="that of t"),
        right,
        {
            "For t below -3 the formula belongs to a negative u, and u is a ratio of densities. Where on "
            "u > 0 is the brace largest then?": 4 - t - 4 * (1 - t).sqrt(),
            "For t below -3 the supremum is at u near 0. There the brace is -f(0), and f(0) is not 0.": (
                torch.where(t < -3, 0.0, -1.0)
            ),
            "For t below -3 the supremum is at u near 0. There the brace is -f(0), with a minus.": (
                torch.where(t < -3, 1.0, -1.0)
            ),
        },
        "Wrong for t at or below -3, where u t - f(u) falls from u = 0 on.",
        rtol=1e-5,
        atol=1e-6,
    )


def critic_at(log_u: Tensor) -> Tensor:
    """f'(u) by autograd."""
    u = log_u.exp().requires_grad_()
    (slope,) = torch.autograd.grad(f(u).sum(), u)
    return slope


def critic(data: Plain, seed: int) -> str | None:
    ratios = log_ratios(seed)
    got = tensor(data, "critic", (7,), meaning="one number per sample")
    right = critic_at(ratios)
    return explain(
        got,
        right,
        {
            "This is the critic of q against p: log u = log p - log q is what you are given.": (
                critic_at(-ratios)
            ),
            "This is f(u). The best critic is the slope f'(u).": f(ratios.exp()),
            "This is the judge's belief D = u / (1 + u). The critic has other values: f'(u).": (
                ratios.sigmoid()
            ),
            "This takes the log-ratio for the ratio: u = exp(log_ratio).": 1 - 4 / (1 + ratios).square(),
            "The sign is the wrong way round: the critic is large where samples are real.": -right,
            "D and 1 - D have changed places in 1 - 4 (1 - D)².": 1 - 4 * ratios.sigmoid().square(),
            "The square is missing: f'(u) = 1 - 4 / (1 + u)².": 1 - 4 * (-ratios).sigmoid(),
        },
        "Not f'(u) at u = exp(log_ratio). At log_ratio = 0 it is 0, at log 3 it is 3/4.",
        rtol=1e-5,
        atol=1e-7,
    )


def critic_far(data: Plain, seed: int) -> str | None:
    got = tensor(data, "far", (2,), finite=False)
    if bool(got.isfinite().all()) and bool((got.abs() <= 3.001).all()) and not close(got[0], got[1]):
        return None
    return (
        "At a log-ratio of 1000 or -1000 the critic should be at one end of its range. exp(1000) is "
        "infinite: write f'(u) with a sigmoid of the log-ratio."
    )


def least_squares(data: Plain, seed: int) -> str | None:
    at = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    return explain(
        tensor(data, "loss", (3,), meaning="that of the divergence"),
        0.5 - at / 4,
        {
            "This grows with the divergence. The further apart p and q are, the less the judge pays.": (
                0.5 + at / 4
            ),
            "This is the bound, 2 - 4 L, as a function of the loss. Solve it for L.": 2 - 4 * at,
            "Twice too much: a judge who always says ½ pays ¼ on either side.": 1 - at / 2,
            "At divergence 0 the judge says ½ everywhere. What does that cost?": -at / 4,
            "The divergence counts twice too much. Where p and q nowhere overlap it is 2, and the judge "
            "pays nothing.": 0.5 - at / 2,
            "Half of what it should be: add both averages.": 0.25 - at / 8,
        },
        "At divergence 0 the judge says ½ and pays ½ in all; where p and q nowhere overlap the divergence "
        "is 2 and the judge pays nothing. Put T = 1 - 4 (1 - D)² into the bound.",
    )


TASKS = [
    Task(
        "js",
        "The Jensen-Shannon divergence from samples",
        "implement",
        4,
        PROBES["js"],
        (
            Criterion("random samples, in nats", 2, js_random),
            Criterion("log 2 where nothing overlaps", 1, js_apart),
        ),
        (
            "Each KL is an average of log (own density / mixture) over the samples of its first argument.",
            "log m = log (½ p + ½ q): `torch.logaddexp(log_p, log_q) - math.log(2)`.",
            "Half of (log_p_x - log_m_x).mean() plus half of (log_q_y - log_m_y).mean().",
        ),
        ("torch.distributions", "torch.nn.functional.kl_div"),
        "3 Derive: what the generator minimises",
    ),
    Task(
        "losses",
        "Both players' losses, on logits",
        "implement",
        5,
        PROBES["losses"],
        (
            Criterion("the judge's loss", 1, judge_plain),
            Criterion("smoothing, of the real side only", 1, judge_smooth),
            Criterion("the forger's loss", 1, forger),
            Criterion("in proportion at logits of 10000", 1, far_logits),
        ),
        (
            "log D = -softplus(-l) and log(1 - D) = -softplus(l), for any logit l.",
            "A real sample counts as real with probability a, as forged with probability 1 - a: its cost is "
            "the cross-entropy with that target.",
            "`a * F.softplus(-real_logit) + (1 - a) * F.softplus(real_logit) + F.softplus(fake_logit)`",
        ),
        ("torch.distributions",),
        "5 Derive: which gradient?",
    ),
    Task(
        "train_step",
        "Find the bugs in the loop",
        "find the bug",
        7,
        PROBES["train_step"],
        (
            Criterion("the images are in the range of the tanh", 1, pixel_range),
            Criterion("the forger follows its own loss only", 2, forger_moves),
            Criterion("the judge follows its own loss only", 2, judge_moves),
            Criterion("the weight of the leaking step", 1, leaking_weight),
        ),
        (
            "backward() adds gradients to every parameter that the loss depends on, until zero_grad().",
            "On which parameters does loss_d depend, and on which loss_g? Which of these gradients are still "
            "there when an optimiser takes its next step?",
            "Detach `fake` in the judge's loss, or clear the forger's gradients after it; clear the judge's "
            "before its own backward. And put 0 and 16 into `prepare`.",
        ),
        (),
        "4 Write and run: a game whose answer we know",
    ),
    Task(
        "left_out",
        "Predict, then run: a forger that leaves out six of eight",
        "predict",
        5,
        PROBES["left_out"],
        (
            Criterion("the belief where the forger draws", 1, belief_drawn),
            Criterion("the belief where it does not", 1, belief_left_out),
            Criterion("what the judge pays", 1, judge_pays),
            Criterion("the divergence", 1, divergence),
            Criterion("what the forger can learn from it", 1, slope),
        ),
        (
            "At a Gaussian that the forger draws, p is an eighth of its bell and q is half of it. What is "
            "p / (p + q)?",
            "V = E_p[log D] + E_q[log(1 - D)]. A quarter of the real samples lie where the forger draws.",
            "Near such a Gaussian the bell cancels in p / q: what is left does not depend on x.",
        ),
        (),
        "2 Derive: the best judge",
    ),
    Task(
        "score",
        "Design a score that no forger gets past",
        "design",
        6,
        PROBES["score"],
        (
            Criterion("Gaussians that are left out", 1, tells_left_out),
            Criterion("points that are repeated", 1, tells_repeats),
            Criterion("one stray in twenty", 1, tells_strays),
            Criterion("one Gaussian too often", 2, tells_lopsided),
        ),
        (
            "Two questions: does every forged point look like a real one, and does every real point have a "
            "forged one near it? No answer to one of them is an answer to the other.",
            "`torch.cdist(real, fake)` holds all distances. What does the least value in each row say, and "
            "in each column?",
            "The mean of either is a good measure. Add the two.",
        ),
        (),
        "10 Break it: mode collapse",
    ),
    Task(
        "triangular",
        "The divergence behind least squares",
        "derive",
        6,
        PROBES["triangular"],
        (
            Criterion("the conjugate between -3 and 1", 1, conjugate_inside),
            Criterion("the conjugate below -3", 1, conjugate_steep),
            Criterion("the best critic", 1, critic),
            Criterion("the best critic at log-ratios of 1000", 1, critic_far),
            Criterion("the least loss of the judge", 1, least_squares),
        ),
        (
            "Write w = u + 1. Then f = w - 4 + 4 / w, and its derivative is short.",
            "f'(u) = 1 - 4 / w². Set it to t, solve for w, put it into u t - f(u) = (w - 1) t - f. Which t "
            "belongs to u = 0?",
            "With D = u / (1 + u) the best critic is 1 - 4 (1 - D)², and f* of it is 4 D² - 1. Put both into "
            "E_p[T] - E_q[f*(T)] and look for E_p[(1 - D)²] + E_q[D²].",
        ),
        (),
        "6 Derive: a judge for every divergence",
    ),
]
