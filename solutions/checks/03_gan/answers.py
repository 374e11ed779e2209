"""Wrong answers of 03_gan with the hint each must get, and other right ways to write the answers."""

from coursekit.exercises.task import Equivalent, Variant, Wrong

# js


def js(result: str) -> str:
    """The answer cell of JS with this expression for the result."""
    return f"""
def js(log_p_x, log_q_x, log_p_y, log_q_y):
    log_m_x = torch.logaddexp(log_p_x, log_q_x) - math.log(2)
    log_m_y = torch.logaddexp(log_p_y, log_q_y) - math.log(2)
    kl_p, kl_q = (log_p_x - log_m_x).mean(), (log_q_y - log_m_y).mean()
    return {result}
"""


RANDOM, APART = "random samples, in nats", "log 2 where nothing overlaps"

JS_WRONG = (
    Wrong("bits", js("(kl_p + kl_q) / 2 / math.log(2)"), "in bits", fails=(RANDOM, APART)),
    Wrong(
        "mixture without its half",
        js("(kl_p + kl_q) / 2").replace(" - math.log(2)", ""),
        "without its half",
        fails=(RANDOM, APART),
    ),
    Wrong("no half before the divergences", js("kl_p + kl_q"), "Where is the ½", fails=(RANDOM, APART)),
    Wrong(
        "the value of the game",
        js("kl_p + kl_q - math.log(4)"),
        "the game's value",
        fails=(RANDOM, APART),
    ),
    Wrong(
        "mean of both KLs",
        js("((log_p_x - log_q_x).mean() + (log_q_y - log_p_y).mean()) / 2"),
        "measured from the mixture",
        fails=(RANDOM, APART),
    ),
    Wrong(
        "mean of the logarithms",
        js("((log_p_x - (log_p_x + log_q_x) / 2).mean() + (log_q_y - (log_p_y + log_q_y) / 2).mean()) / 2"),
        "averages the logarithms",
        fails=(RANDOM, APART),
    ),
    Wrong(
        "all samples in one average",
        js("torch.cat([log_p_x - log_m_x, log_q_y - log_m_y]).mean()"),
        "the larger set counts more",
        fails=(RANDOM,),
    ),
    Wrong(
        "samples of p only",
        js("((log_p_x - log_m_x).mean() + (log_q_x - log_m_x).mean()) / 2"),
        "run over samples of p",
        fails=(RANDOM, APART),
    ),
    Wrong("one of the two", js("kl_p"), "Only KL(p || m)", fails=(RANDOM,)),
    Wrong("sign", js("-(kl_p + kl_q) / 2"), "JS is never negative", fails=(RANDOM, APART)),
    Wrong(
        "exp underflows",
        """
def js(log_p_x, log_q_x, log_p_y, log_q_y):
    m_x, m_y = (log_p_x.exp() + log_q_x.exp()) / 2, (log_p_y.exp() + log_q_y.exp()) / 2
    return 0.5 * (log_p_x - m_x.log()).mean() + 0.5 * (log_q_y - m_y.log()).mean()
""",
        "Stay with logarithms",
        fails=(APART,),
    ),
)

JS_RIGHT = (
    Variant(
        "as the judge's score",
        """
def js(log_p_x, log_q_x, log_p_y, log_q_y):
    real, fake = log_p_x - log_q_x, log_p_y - log_q_y
    return (F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean()) / 2 + math.log(2)
""",
    ),
    Variant(
        "softplus of the log-ratio",
        """
def js(log_p_x, log_q_x, log_p_y, log_q_y):
    at_x = math.log(2) - F.softplus(log_q_x - log_p_x)
    at_y = math.log(2) - F.softplus(log_p_y - log_q_y)
    return float(at_x.sum() / len(at_x) + at_y.sum() / len(at_y)) / 2
""",
    ),
    Variant(
        "logsumexp of a stack",
        """
def js(log_p_x, log_q_x, log_p_y, log_q_y):
    def kl(own, other):
        return (own - (torch.stack([own, other]).logsumexp(0) - math.log(2))).mean()
    return torch.stack([kl(log_p_x, log_q_x), kl(log_q_y, log_p_y)]).mean()
""",
    ),
)

# losses


def losses(judge: str, forger: str = "F.softplus(-fake_logit)") -> str:
    """The answer cell of both losses with these expressions."""
    return f"""
def bce(logit, target):
    return F.binary_cross_entropy_with_logits(logit, torch.full_like(logit, target), reduction="none")

def judge_loss(real_logit, fake_logit, a):
    return {judge}

def forger_loss(fake_logit):
    return {forger}
"""


JUDGE = "bce(real_logit, a) + bce(fake_logit, 0.0)"
PLAIN, SMOOTH, OWN, FAR = (
    "the judge's loss",
    "smoothing, of the real side only",
    "the forger's loss",
    "in proportion at logits of 10000",
)

LOSSES_WRONG = (
    Wrong(
        "sigmoid twice",
        losses(
            "bce(real_logit.sigmoid(), a) + bce(fake_logit.sigmoid(), 0.0)", "bce(fake_logit.sigmoid(), 1.0)"
        ),
        "The sigmoid is applied twice: the loss on logits",
        fails=(PLAIN, SMOOTH, OWN, FAR),
    ),
    Wrong(
        "sigmoid twice in the forger's loss",
        losses(JUDGE, "bce(fake_logit.sigmoid(), 1.0)"),
        "applied twice in the forger's loss",
        fails=(OWN, FAR),
    ),
    Wrong(
        "logarithm of a sigmoid",
        losses(
            "-a * real_logit.sigmoid().log() - (1 - a) * (1 - real_logit.sigmoid()).log()"
            " - (1 - fake_logit.sigmoid()).log()"
        ),
        "its logarithm is infinite",
        fails=(FAR,),
    ),
    Wrong(
        "a small number in the logarithm",
        losses(
            "-a * (real_logit.sigmoid() + 1e-12).log() - (1 - a) * (1 - real_logit.sigmoid() + 1e-12).log()"
            " - (1 - fake_logit.sigmoid() + 1e-12).log()",
            "-(fake_logit.sigmoid() + 1e-12).log()",
        ),
        "something caps it",
        fails=(FAR,),
    ),
    Wrong(
        "the saturating loss",
        losses(JUDGE, "-F.softplus(fake_logit)"),
        "which saturates",
        fails=(OWN,),
    ),
    Wrong(
        "the forger helps",
        losses(JUDGE, "bce(fake_logit, 0.0)"),
        "the forger helps the judge",
        fails=(OWN,),
    ),
    Wrong(
        "the forger's sign",
        losses(JUDGE, "F.logsigmoid(fake_logit)"),
        "descending on it makes D small",
        fails=(OWN,),
    ),
    Wrong(
        "real and forged swapped",
        losses("bce(real_logit, 1 - a) + bce(fake_logit, 1.0)"),
        "changed places",
        fails=(PLAIN, SMOOTH),
    ),
    Wrong("half", losses(f"({JUDGE}) / 2"), "half of the loss", fails=(PLAIN, SMOOTH)),
    Wrong("uphill", losses(f"-({JUDGE})"), "wants to be large", fails=(PLAIN, SMOOTH)),
    Wrong(
        "both sides smoothed",
        losses("bce(real_logit, a) + bce(fake_logit, 1 - a)"),
        "The forged samples are smoothed too",
        fails=(SMOOTH,),
    ),
    Wrong(
        "one outcome forgotten",
        losses("a * F.softplus(-real_logit) + F.softplus(fake_logit)"),
        "Where is the other outcome",
        fails=(SMOOTH,),
    ),
    Wrong(
        "no smoothing",
        losses("bce(real_logit, 1.0) + bce(fake_logit, 0.0)"),
        "The target a does not count",
        fails=(SMOOTH,),
    ),
    Wrong(
        "the batch averaged",
        losses(f"({JUDGE}).mean()", "F.softplus(-fake_logit).mean()"),
        "averages everything, the batch too",
        fails=(PLAIN, SMOOTH, OWN),
    ),
    Wrong(
        "detached",
        losses("bce(real_logit, a) + bce(fake_logit.detach(), 0.0)"),
        "not that of the values",
        fails=(),
    ),
)

LOSSES_RIGHT = (
    Variant("cross-entropy on logits", losses(JUDGE, "bce(fake_logit, 1.0)")),
    Variant(
        "log-sigmoid",
        losses(
            "-a * F.logsigmoid(real_logit) - (1 - a) * F.logsigmoid(-real_logit) - F.logsigmoid(-fake_logit)",
            "-F.logsigmoid(fake_logit)",
        ),
    ),
    Variant(
        "one softplus and a line",
        losses(
            "F.softplus(-real_logit) + (1 - a) * real_logit + F.softplus(fake_logit)",
            "torch.logaddexp(torch.zeros_like(fake_logit), -fake_logit)",
        ),
    ),
)

# train_step

RANGE, FORGER, JUDGE_MOVES, WEIGHT = (
    "the images are in the range of the tanh",
    "the forger follows its own loss only",
    "the judge follows its own loss only",
    "the weight of the leaking step",
)

STEP = """
    fake = forger(noise)
    loss_d = F.softplus(-judge(real)).mean() + F.softplus(judge(fake.detach())).mean()
    optimiser_d.zero_grad()
    loss_d.backward()
    optimiser_d.step()
    loss_g = F.softplus(-judge(fake)).mean()
    optimiser_g.zero_grad()
    loss_g.backward()
    optimiser_g.step()
"""


def train_step(
    step: str = STEP, prepare: str = "(grey.float() / 16 - 0.5) / 0.5", weight: str = "2 * belief - 1"
) -> str:
    """The answer cell of the bug hunt with this body of the step and these expressions."""
    return f"""
def prepare(grey):
    return {prepare}

def train_step(forger, judge, optimiser_g, optimiser_d, real, noise):
{step}

def weight(belief):
    return {weight}
"""


GIVEN = """
    optimiser_g.zero_grad()
    fake = forger(noise)
    loss_d = F.softplus(-judge(real)).mean() + F.softplus(judge(fake)).mean()
    loss_d.backward(retain_graph=True)
    optimiser_d.step()
    loss_g = F.softplus(-judge(fake)).mean()
    loss_g.backward()
    optimiser_g.step()
"""

TRAIN_STEP_WRONG = (
    Wrong(
        "the code as it was given",
        train_step(GIVEN, "(grey.float() - 0.5) / 0.5 / 16"),
        "what the code that you were given does",
        fails=(RANGE, FORGER, JUDGE_MOVES),
    ),
    Wrong(
        "shifted before scaled",
        train_step(prepare="(grey.float() - 0.5) / 0.5 / 16"),
        "shifted before they are scaled",
        fails=(RANGE,),
    ),
    Wrong("from 0 to 1", train_step(prepare="grey.float() / 16"), "This is [0, 1]", fails=(RANGE,)),
    Wrong(
        "white at 255",
        train_step(prepare="(grey.float() / 255 - 0.5) / 0.5"),
        "Here white is 16",
        fails=(RANGE,),
    ),
    Wrong(
        "half the range",
        train_step(prepare="grey.float() / 16 - 0.5"),
        "This is [-½, ½]",
        fails=(RANGE,),
    ),
    Wrong(
        "only the judge's gradients cleared",
        train_step(GIVEN.replace("fake = forger", "optimiser_d.zero_grad()\n    fake = forger")),
        "still leaks into the forger",
        fails=(FORGER,),
    ),
    Wrong(
        "only the leak stopped",
        train_step(GIVEN.replace("+ F.softplus(judge(fake))", "+ F.softplus(judge(fake.detach()))")),
        "never cleared",
        fails=(JUDGE_MOVES,),
    ),
    Wrong(
        "the judge's gradients cleared before the forger's loss",
        train_step(
            STEP.replace("optimiser_d.zero_grad()\n    loss_d", "loss_d").replace(
                "optimiser_g.zero_grad()", "optimiser_g.zero_grad()\n    optimiser_d.zero_grad()"
            )
        ),
        "left behind in the judge's parameters",
        fails=(JUDGE_MOVES,),
    ),
    Wrong(
        "detached everywhere",
        train_step(STEP.replace("fake = forger(noise)", "fake = forger(noise).detach()")),
        "The forger does not move",
        fails=(FORGER,),
    ),
    Wrong(
        "cleared after backward",
        train_step(
            STEP.replace(
                "optimiser_d.zero_grad()\n    loss_d.backward()",
                "loss_d.backward()\n    optimiser_d.zero_grad()",
            )
        ),
        "The judge does not move at all",
        fails=(JUDGE_MOVES,),
    ),
    Wrong(
        "the forger first",
        train_step(
            """
    fake = forger(noise)
    optimiser_d.zero_grad()
    optimiser_g.zero_grad()
    loss_g = F.softplus(-judge(fake)).mean()
    grads = torch.autograd.grad(loss_g, list(forger.parameters()))
    loss_d = F.softplus(-judge(real)).mean() + F.softplus(judge(fake.detach())).mean()
    loss_d.backward()
    optimiser_d.step()
    for parameter, grad in zip(forger.parameters(), grads):
        parameter.grad = grad
    optimiser_g.step()
"""
        ),
        "answers the judge of before",
        fails=(FORGER,),
    ),
    Wrong(
        "another loss for the forger",
        train_step(STEP.replace("F.softplus(-judge(fake))", "-F.softplus(judge(fake))")),
        "which saturates",
        fails=(FORGER,),
    ),
    Wrong("the right weight", train_step(weight="belief - 1"), "weight of the right step", fails=(WEIGHT,)),
    Wrong("the leak alone", train_step(weight="belief"), "weight of the leak alone", fails=(WEIGHT,)),
    Wrong(
        "the weight's sign", train_step(weight="1 - 2 * belief"), "the optimiser subtracts", fails=(WEIGHT,)
    ),
    Wrong("the mean", train_step(weight="belief - 0.5"), "it does not average", fails=(WEIGHT,)),
)

TRAIN_STEP_RIGHT = (
    Variant(
        "the forger's gradients cleared later",
        train_step(
            GIVEN.replace("    optimiser_g.zero_grad()\n", "    optimiser_d.zero_grad()\n").replace(
                "loss_g.backward()", "optimiser_g.zero_grad()\n    loss_g.backward()"
            ),
            prepare="grey.float() / 8 - 1",
            weight="belief - (1 - belief)",
        ),
    ),
    Variant(
        "the judge frozen",
        train_step(
            """
    optimiser_d.zero_grad(set_to_none=True)
    with torch.set_grad_enabled(False):
        fake = forger(noise)
    (F.softplus(-judge(real)) + F.softplus(judge(fake))).mean().backward()
    optimiser_d.step()
    judge.requires_grad_(False)
    optimiser_g.zero_grad(set_to_none=True)
    F.softplus(-judge(forger(noise))).mean().backward()
    optimiser_g.step()
    judge.requires_grad_(True)
""",
            prepare="2 * grey.to(torch.float32).div(16) - 1",
        ),
    ),
    Variant(
        "cleared at the end",
        train_step(
            STEP.replace("    optimiser_d.zero_grad()\n", "") + "    optimiser_d.zero_grad()\n",
            weight="-(1 - belief) + belief",
        ),
    ),
)

# left_out


def left_out(**changes: str) -> str:
    """The answer cell of the prediction: the right numbers but for these."""
    numbers = {
        "belief_drawn": "1 / 5",
        "belief_left_out": "1.0",
        "judge_loss": "math.log(5) / 4 + math.log(5 / 4)",
        "js": "0.38",
        "slope": "0.0",
    } | changes
    return "left_out = {" + ", ".join(f'"{key}": {value}' for key, value in numbers.items()) + "}\n"


DRAWN, MISSING, PAYS, DIVERGENCE, SLOPE = (
    "the belief where the forger draws",
    "the belief where it does not",
    "what the judge pays",
    "the divergence",
    "what the forger can learn from it",
)

LEFT_OUT_WRONG = (
    Wrong("as good as nature", left_out(belief_drawn="0.5"), "it draws too often", fails=(DRAWN,)),
    Wrong("the ratio alone", left_out(belief_drawn="0.25"), "upside down", fails=(DRAWN,)),
    Wrong("belief in a forgery", left_out(belief_drawn="0.8"), "the sample is forged", fails=(DRAWN,)),
    Wrong("a sure judge", left_out(belief_drawn="0"), "real samples fall there as well", fails=(DRAWN,)),
    Wrong("does not know", left_out(belief_left_out="0.5"), "Whoever finds a point there", fails=(MISSING,)),
    Wrong("nothing there", left_out(belief_left_out="0.0"), "never there", fails=(MISSING,)),
    Wrong("a judge who guesses", left_out(judge_loss="math.log(4)"), "who knows nothing", fails=(PAYS,)),
    Wrong("a perfect judge", left_out(judge_loss="0.0"), "never wrong", fails=(PAYS,)),
    Wrong("the value", left_out(judge_loss="-0.6255"), "The loss is its negative", fails=(PAYS,)),
    Wrong("the mean of both", left_out(judge_loss="0.3128"), "V adds an average", fails=(PAYS,)),
    Wrong("log 2", left_out(js="math.log(2)"), "nowhere overlap", fails=(DIVERGENCE,)),
    Wrong("in proportion", left_out(js="0.75 * math.log(2)"), "Not in proportion", fails=(DIVERGENCE,)),
    Wrong("twice JS", left_out(js="0.7607"), "This is 2 JS", fails=(DIVERGENCE,)),
    Wrong("the logit", left_out(slope="math.log(4)"), "the length of the logit", fails=(SLOPE,)),
    Wrong("the belief", left_out(slope="0.2"), "This is D", fails=(SLOPE,)),
    Wrong("towards the gap", left_out(slope="10.0"), "Which part of it depends on x", fails=(SLOPE,)),
)

LEFT_OUT_RIGHT = (
    Variant("two digits", left_out(belief_drawn="0.2", judge_loss="0.63")),
    Variant(
        "from the densities",
        """
p, q = torch.full((8,), 1 / 8), torch.tensor([1.0, 0, 0, 1, 0, 0, 0, 0]) / 2
best = p / (p + q)
cost = -(p * best.log()).sum() - torch.xlogy(q, 1 - best).sum()
left_out = {
    "belief_drawn": best[0],
    "belief_left_out": best[1],
    "judge_loss": cost,
    "js": (math.log(4) - cost) / 2,
    "slope": 0,
}
""",
    ),
)

# score


def score(*lines: str) -> str:
    """The answer cell of the score with these lines."""
    return "\ndef score(real, fake):\n    d = torch.cdist(real, fake)\n" + "".join(
        f"    {line}\n" for line in lines
    )


LEAVES, REPEATS, STRAYS, LOPSIDED = (
    "Gaussians that are left out",
    "points that are repeated",
    "one stray in twenty",
    "one Gaussian too often",
)

SCORE_WRONG = (
    Wrong(
        "precision alone",
        score("return d.min(0).values.mean()"),
        "how far forged points are from real ones",
        fails=(LEAVES, REPEATS, LOPSIDED),
    ),
    Wrong(
        "recall alone",
        score("return d.min(1).values.mean()"),
        "how far real points are from forged ones",
        fails=(STRAYS,),
    ),
    Wrong(
        "means and covariances",
        score(
            "a, b = torch.cov(real.T), torch.cov(fake.T)",
            "root = torch.linalg.eigvals(a @ b).real.clamp_min(0).sqrt().sum()",
            "return (real.mean(0) - fake.mean(0)).square().sum() + a.trace() + b.trace() - 2 * root",
        ),
        "the Fréchet distance",
        fails=(LEAVES, REPEATS, STRAYS),
    ),
    Wrong(
        "energy distance",
        score("return 2 * d.mean() - torch.cdist(real, real).mean() - torch.cdist(fake, fake).mean()"),
        "the energy distance",
        fails=(REPEATS, STRAYS),
    ),
    Wrong(
        "means",
        score("return (real.mean(0) - fake.mean(0)).norm()"),
        "compares means only",
        fails=(LEAVES, REPEATS, STRAYS),
    ),
    Wrong(
        "higher is better",
        score("return -torch.maximum(d.min(0).values.mean(), d.min(1).values.mean())"),
        "forgers score lower than honest",
        fails=(LEAVES, REPEATS, STRAYS, LOPSIDED),
    ),
    Wrong(
        "does not look",
        score("return 0.0"),
        "the same score",
        fails=(LEAVES, REPEATS, STRAYS, LOPSIDED),
    ),
    Wrong(
        "copies",
        score(
            "own = torch.cdist(fake, fake).fill_diagonal_(9.0)",
            "return (own.min(1).values < 1e-6).double().mean()",
        ),
        "each of its points looks real. Who misses it? It scores",
        fails=(LEAVES, STRAYS, LOPSIDED),
    ),
    Wrong(
        "shares of the classes",
        score(
            "k = (torch.atan2(fake[:, 1], fake[:, 0]) / (math.pi / 4)).round().long() % 8",
            "return -torch.special.entr(torch.bincount(k, minlength=8) / len(fake)).sum()",
        ),
        "All eight Gaussians have their share",
        fails=(REPEATS, STRAYS),
    ),
)

SCORE_RIGHT = (
    Variant(
        "the worse direction, in a loop",
        score(
            "def nearest(a, b):",
            "    return sum(((b - point) ** 2).sum(1).min().sqrt() for point in a) / len(a)",
            "return max(float(nearest(real, fake)), float(nearest(fake, real)))",
        ),
    ),
    Variant(
        "both, in units of an honest spacing",
        score(
            "own = torch.cdist(real, real).fill_diagonal_(math.inf).min(1).values.mean()",
            "missing, invented = d.min(1).values.mean() / own, d.min(0).values.mean() / own",
            "return missing**4 + invented**4",
        ),
    ),
    Variant(
        "kernel density, both ways",
        score(
            "def log_density(at, of):",
            "    return torch.logsumexp(-((torch.cdist(at, of) / 0.12) ** 2) / 2, 1) - math.log(len(of))",
            "at_real = log_density(real, real) - log_density(real, fake)",
            "at_fake = log_density(fake, fake) - log_density(fake, real)",
            "return at_real.mean() + at_fake.mean()",
        ),
    ),
)

# triangular


def triangular(
    conjugate: str = "torch.where(t > -3, 4 - t - 4 * (1 - t).sqrt(), -1.0)",
    critic: str = "1 - 4 * (1 - log_ratio.sigmoid()) ** 2",
    loss: str = "0.5 - divergence / 4",
) -> str:
    """The answer cell of the row with these expressions; `w` is u + 1 at the supremum."""
    return f"""
def conjugate(t):
    w = 2 / (1 - t).sqrt()
    u = w - 1
    f = (u - 1) ** 2 / (u + 1)
    return {conjugate}

def best_critic(log_ratio):
    return {critic}

def least_loss(divergence):
    return {loss}
"""


INSIDE, STEEP, CRITIC, CRITIC_FAR, LOSS = (
    "the conjugate between -3 and 1",
    "the conjugate below -3",
    "the best critic",
    "the best critic at log-ratios of 1000",
    "the least loss of the judge",
)

TRIANGULAR_WRONG = (
    Wrong(
        "where it is attained", triangular("u"), "at which the supremum is attained", fails=(INSIDE, STEEP)
    ),
    Wrong(
        "sign",
        triangular("f - u * t"),
        "the brace is u t - f(u)",
        fails=(INSIDE, STEEP),
    ),
    Wrong(
        "f forgotten",
        triangular("u * t"),
        "f(u) comes off",
        fails=(INSIDE, STEEP),
    ),
    Wrong(
        "root once",
        triangular("torch.where(t > -3, 4 - t - 2 * (1 - t).sqrt(), -1.0)"),
        "counts twice",
        fails=(INSIDE,),
    ),
    Wrong(
        "one piece",
        triangular("u * t - f"),
        "belongs to a negative u",
        fails=(STEEP,),
    ),
    Wrong(
        "zero at the edge",
        triangular("torch.where(t >= -3, u * t - f, 0.0)"),
        "f(0) is not 0",
        fails=(STEEP,),
    ),
    Wrong(
        "the edge's sign",
        triangular("torch.where(t >= -3, u * t - f, 1.0)"),
        "-f(0), with a minus",
        fails=(STEEP,),
    ),
    Wrong(
        "a coarse search",
        triangular("(t[:, None] * G - (G - 1) ** 2 / (G + 1)).max(1).values")
        + "\nG = torch.linspace(1e-9, 70, 500, dtype=torch.float64)\n",
        "an estimate from random draws or coarse steps",
        fails=(INSIDE,),
    ),
    Wrong(
        "q over p",
        triangular(critic="1 - 4 * log_ratio.sigmoid() ** 2 if 0 else 1 - 4 / (1 + (-log_ratio).exp()) ** 2"),
        "critic of q against p",
        fails=(CRITIC,),
    ),
    Wrong(
        "f for its slope",
        triangular(critic="(log_ratio.exp() - 1) ** 2 / (log_ratio.exp() + 1)"),
        "The best critic is the slope",
        fails=(CRITIC, CRITIC_FAR),
    ),
    Wrong(
        "the judge's belief", triangular(critic="log_ratio.sigmoid()"), "the judge's belief", fails=(CRITIC,)
    ),
    Wrong(
        "no square",
        triangular(critic="1 - 4 * (-log_ratio).sigmoid()"),
        "The square is missing",
        fails=(CRITIC,),
    ),
    Wrong(
        "exp overflows",
        triangular(critic="(log_ratio.exp() - 1) * (log_ratio.exp() + 3) / (log_ratio.exp() + 1) ** 2"),
        "exp(1000) is infinite",
        fails=(CRITIC_FAR,),
    ),
    Wrong(
        "the loss grows", triangular(loss="0.5 + divergence / 4"), "grows with the divergence", fails=(LOSS,)
    ),
    Wrong(
        "not solved",
        triangular(loss="2 - 4 * divergence"),
        "Solve it for L",
        fails=(LOSS,),
    ),
    Wrong(
        "twice",
        triangular(loss="1 - divergence / 2"),
        "Twice too much",
        fails=(LOSS,),
    ),
    Wrong(
        "no constant",
        triangular(loss="-divergence / 4"),
        "What does that cost",
        fails=(LOSS,),
    ),
)

TRIANGULAR_RIGHT = (
    Variant(
        "a square, clamped",
        triangular(
            "(2 - (1 - t).clamp_max(4).sqrt()) ** 2 - 1",
            "1 - (2 / (1 + log_ratio.exp())) ** 2",
            "(2 - divergence) / 4",
        ),
    ),
    Variant(
        "through the judge",
        triangular(
            "4 * (1 - (1 - t).sqrt() / 2).clamp_min(0) ** 2 - 1",
            "1 - 4 * torch.exp(2 * F.logsigmoid(-log_ratio))",
            "0.25 + 0.25 - 0.25 * divergence",
        ),
    ),
    Variant("by the supremum's place", triangular("torch.where(u > 0, u * t - f, -torch.ones_like(t))")),
)

WRONG = {
    "js": JS_WRONG,
    "losses": LOSSES_WRONG,
    "train_step": TRAIN_STEP_WRONG,
    "left_out": LEFT_OUT_WRONG,
    "score": SCORE_WRONG,
    "triangular": TRIANGULAR_WRONG,
}

VARIANTS = {
    "js": JS_RIGHT,
    "losses": LOSSES_RIGHT,
    "train_step": TRAIN_STEP_RIGHT,
    "left_out": LEFT_OUT_RIGHT,
    "score": SCORE_RIGHT,
    "triangular": TRIANGULAR_RIGHT,
}

# Mutants of the solution that get full marks, and why they may (see coursekit.grading.proof).
EQUIVALENT = {
    "js": (
        Equivalent(
            "log_m_x = torch.logaddexp(log_q_x, log_p_x) - math.log(2)",
            "A sum has no order.",
        ),
        Equivalent(
            "log_m_y = torch.logaddexp(log_q_y, log_p_y) - math.log(2)",
            "A sum has no order.",
        ),
    ),
    "train_step": (
        Equivalent(
            "return (grey / 16 - 0.5) / 0.5",
            "Whole numbers over 16 are float32 in torch already.",
        ),
    ),
    "score": (
        Equivalent(
            "distance = torch.cdist(fake, real)",
            "The table transposed: both minima are taken and added, so the two terms change places.",
        ),
    ),
    "triangular": (
        Equivalent(
            "return torch.where(t >= -3, inside, -1.0)",
            "At t = -3 both branches are -1.",
        ),
    ),
}
