"""Wrong answers of 07_diffusion with the hint each must get, and other right ways to write the answers."""

from coursekit.exercises.task import Equivalent, Variant, Wrong

TABLE = "torch.cat([torch.ones(1, dtype=beta.dtype), torch.cumprod(1 - beta, 0)])"
NOISY = "a.sqrt() * x0 + (1 - a).sqrt() * eps"
RATIO = "torch.log(alpha_bar[t] / (1 - alpha_bar[t]))"
FACTOR = "alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))"


def jumps(table: str = TABLE, noisy: str = NOISY, ratio: str = RATIO, factor: str = FACTOR) -> str:
    """The answer cell of the jump with these expressions."""
    return f"""
def alpha_bars(beta):
    return {table}

def jump(x0, t, eps, alpha_bar):
    a = {factor}
    return {noisy}

def log_snr(t, alpha_bar):
    return {ratio}
"""


OF_EPS = "(x_t - (1 - a).sqrt() * value) / a.sqrt()"
OF_V = "a.sqrt() * x_t - (1 - a).sqrt() * value"
OF_SCORE = "(x_t + (1 - a) * value) / a.sqrt()"
TO_EPS = "(x_t - a.sqrt() * x0) / (1 - a).sqrt()"
TO_V = "(a.sqrt() * x_t - x0) / (1 - a).sqrt()"
TO_SCORE = "(a.sqrt() * x0 - x_t) / (1 - a)"
BEST = "(a.sqrt() * var * x_t + (1 - a) * mean) / (a * var + 1 - a)"


def conversions(
    of_eps: str = OF_EPS,
    of_v: str = OF_V,
    of_score: str = OF_SCORE,
    to_eps: str = TO_EPS,
    to_v: str = TO_V,
    to_score: str = TO_SCORE,
    best: str = BEST,
) -> str:
    """The answer cell of the conversions with these expressions."""
    return f"""
def to_x0(kind, value, x_t, a):
    if kind == "eps":
        return {of_eps}
    if kind == "v":
        return {of_v}
    return {of_score}

def from_x0(kind, x0, x_t, a):
    if kind == "eps":
        return {to_eps}
    if kind == "v":
        return {to_v}
    return {to_score}

def best_x0(x_t, a, mean, var):
    return {best}
"""


def by_score(score: str, factor: str = "(1 - a)") -> str:
    """Tweedie's formula with this score."""
    return f"(x_t + {factor} * ({score})) / a.sqrt()"


OF_X_T = "r.sqrt() * (1 - a_s) / (1 - a_t)"
OF_X_0 = "a_s.sqrt() * (1 - r) / (1 - a_t)"
VAR = "(1 - r) * (1 - a_s) / (1 - a_t)"
WEIGHT = "(snr(a_s) / snr(a_t) - 1) / 2"


def steps_back(of_x_t: str = OF_X_T, of_x_0: str = OF_X_0, var: str = VAR, weight: str = WEIGHT) -> str:
    """The answer cell of the step back with these expressions in r = a_t / a_s."""
    return f"""
def snr(a):
    return a / (1 - a)

def posterior(a_t, a_s):
    r = a_t / a_s
    return {of_x_t}, {of_x_0}, {var}

def eps_weight(a_t, a_s):
    r = a_t / a_s
    c_0, v = {OF_X_0}, {VAR}
    return {weight}
"""


DRAW = "torch.randint(1, len(alpha_bar), (len(x0),), generator=generator)"
EPS = "torch.randn(x0.shape, generator=generator, dtype=x0.dtype)"
SEEN = "a.sqrt() * x0 + (1 - a).sqrt() * eps"
TARGET = "eps"
LEAST = """
    if target == "permuted":
        return float(dims)
    covariance = math.sqrt(1 - a) if target == "whole" else math.sqrt(beta)
    return dims * (1 - covariance**2 / (a * var + 1 - a))
"""


def losses(
    t: str = DRAW,
    eps: str = EPS,
    x_t: str = SEEN,
    target: str = TARGET,
    told: str = "t",
    total: str = ".flatten(1).sum(1)",
    least: str = LEAST,
) -> str:
    """The answer cell of the loss with these expressions."""
    return f"""
def loss_of(network, x0, alpha_bar, generator):
    T = len(alpha_bar) - 1
    t = {t}
    eps = {eps}
    a = alpha_bar[t].view(-1, *[1] * (x0.ndim - 1))
    before = alpha_bar[(t - 1).clamp_min(0)].view(-1, *[1] * (x0.ndim - 1))
    x_t = {x_t}
    return ({target} - network(x_t, {told})).square(){total}

def least_loss(target, a, beta, dims, var):{least}
"""


def leasts(whole: str = "1 - a", last: str = "beta", permuted: str = "dims") -> str:
    """Least losses with these shares that are explained, of the variance of x_t."""
    return f"""
    if target == "permuted":
        return {permuted}
    share = ({whole}) if target == "whole" else ({last})
    return dims * (1 - share / (a * var + 1 - a))
"""


GIVEN_LOSS = """
def loss_of(network, x0, alpha_bar, generator):
    T = len(alpha_bar) - 1
    t = torch.randint({range}, (len(x0),), generator=generator)
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    t, order = t.sort()
    a = alpha_bar[t].reshape(-1, *[1] * (x0.ndim - 1)).to(x0.dtype)
    x_t = a.sqrt() * x0[order] + {noise} * eps[order]
    return ({target} - network(x_t, t)).square().flatten(1).sum(dim=1)

def least_loss(target, a, beta, dims, var):
    if target == "permuted":
        return dims
    return dims * (1 - (1 - a if target == "whole" else beta) / (a * var + 1 - a))
"""


def half_repaired(range: str = "1, T + 1", noise: str = "(1 - a).sqrt()", target: str = "eps[order]") -> str:
    """The given code with the other bugs repaired."""
    return GIVEN_LOSS.format(range=range, noise=noise, target=target)


LOOP = "range(T, 0, -1)"
MEAN = "(x - beta / (1 - a).sqrt() * eps) / alpha.sqrt()"
SIGMA = "torch.exp((nu * torch.log(beta) + (1 - nu) * torch.log(small)) / 2)"
NOISE = "torch.randn(x.shape, generator=generator, dtype=x.dtype)"


def samplers(
    loop: str = LOOP,
    mean: str = MEAN,
    sigma: str = SIGMA,
    noise: str = NOISE,
    told: str = "t",
    when: str = "t > 1",
) -> str:
    """The answer cell of the sampler with these expressions."""
    return f"""
def ancestral(network, x, alpha_bar, nu, generator):
    T = len(alpha_bar) - 1
    for t in {loop}:
        a, before = alpha_bar[t], alpha_bar[t - 1]
        alpha = a / before
        beta = 1 - alpha
        small = beta * (1 - before) / (1 - a)
        eps = network(x, torch.full((len(x),), {told}))
        x = {mean}
        if {when}:
            x = x + {sigma} * {noise}
    return x
"""


def answered(
    half_linear: float = 258, half_cosine: float = 500, total: float = 5.0, early: float = 0.93
) -> str:
    return (
        f"prediction = {{'half_linear': {half_linear}, 'half_cosine': {half_cosine}, 'total': {total}, "
        f"'early': {early}}}"
    )


ANGLE = "t[:, None] * 10_000 ** (-torch.arange(width // 2) / (width // 2))"
WAVES = "torch.cat([torch.sin(angle), torch.cos(angle)], 1)"
UP = "F.interpolate(low, size=x.shape[-2:])"
LAST = "self.last(torch.cat([up, skip], 1))"
TIME = "self.time(embed(t, 16).to(x.dtype))[:, :, None, None]"


def unets(
    angle: str = ANGLE,
    waves: str = WAVES,
    time: str = TIME,
    skip: str = "F.silu(self.first(x) + time)",
    low: str = "F.silu(self.bottom(F.avg_pool2d(skip, 2)))",
    up: str = UP,
    last: str = LAST,
) -> str:
    """The answer cell of the U-Net with these expressions."""
    return f"""
def embed(t, width):
    angle = {angle}
    return {waves}

class SmallUNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.time = nn.Linear(16, width)
        self.bottom = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.last = nn.Conv2d(3 * width, 1, 3, padding=1)

    def forward(self, x, t):
        time = {time}
        skip = {skip}
        low = {low}
        up = {up}
        return {last}
"""


BAR, POINTS, SNR = "alpha_bar, with 1 for t = 0", "the noisy points", "the log-SNR"
FROM_EPS, FROM_V, FROM_SCORE, BACK, BEST_ANSWER = (
    "from the noise",
    "from the velocity",
    "from the score",
    "and back to the same prediction",
    "the best answer for Gaussian data",
)
C_T, C_0, V, K = (
    "the factor of x_t",
    "the factor of x_0",
    "the variance",
    "the weight of a squared error in the noise",
)
DRAWN, IMAGE, WHOSE, LEAST_LOSSES = (
    "t is uniform on 1, ..., T",
    "the noisy image",
    "the target is the noise that is in the image",
    "the least losses",
)
ORDER, MEANS, SIZE, END = (
    "the network is asked at T, ..., 1",
    "the mean of each step",
    "the size of the noise",
    "no noise at the last step",
)
HALF_LINEAR, HALF_COSINE, TOTAL, EARLY = (
    "half lost, linear schedule",
    "half lost, cosine schedule",
    "the sum of the KLs",
    "the share that is paid early",
)
WAVE, SKIP, BELOW, OWN = (
    "sines and cosines",
    "the skip keeps its detail",
    "the bottom comes up",
    "each image has its own time",
)

WRONG = {
    "jump": (
        Wrong(
            "alpha for alpha_bar",
            jumps("torch.cat([torch.ones(1, dtype=beta.dtype), 1 - beta])"),
            "alpha_t of single steps",
            fails=(BAR,),
        ),
        Wrong(
            "product of the betas",
            jumps("torch.cat([torch.ones(1, dtype=beta.dtype), beta.cumprod(0)])"),
            "product of the beta",
            fails=(BAR,),
        ),
        Wrong(
            "one factor early",
            jumps("torch.cat([torch.ones(2, dtype=beta.dtype), (1 - beta[:-1]).cumprod(0)])"),
            "stops one factor early",
            fails=(BAR,),
        ),
        Wrong("no entry for 0", jumps("(1 - beta).cumprod(0)"), "an entry for each of t = 0", fails=(BAR,)),
        Wrong(
            "product of the roots",
            jumps(f"({TABLE}).sqrt()"),
            "product of the roots",
            fails=(BAR,),
        ),
        Wrong(
            "exp of the sum",
            jumps("torch.exp(-torch.cat([torch.zeros(1, dtype=beta.dtype), beta.cumsum(0)]))"),
            "only nearly the product",
            fails=(BAR,),
        ),
        Wrong(
            "variance for deviation",
            jumps(noisy="a.sqrt() * x0 + (1 - a) * eps"),
            "the variance of the noise",
            fails=(POINTS,),
        ),
        Wrong(
            "alpha for alpha_bar in the jump",
            jumps(factor="(alpha_bar[t] / alpha_bar[t - 1]).view(-1, *[1] * (x0.ndim - 1))"),
            "factors of a single step",
            fails=(POINTS,),
        ),
        Wrong(
            "the last step's noise",
            jumps(
                noisy="a.sqrt() * x0 "
                "+ (1 - alpha_bar[t] / alpha_bar[t - 1]).sqrt().view(-1, *[1] * (x0.ndim - 1)) * eps"
            ),
            "that of the last step alone",
            fails=(POINTS,),
        ),
        Wrong(
            "off by one",
            jumps(factor="alpha_bar[t - 1].view(-1, *[1] * (x0.ndim - 1))"),
            "read one entry early: its index is t itself",
            fails=(POINTS,),
        ),
        Wrong("swapped", jumps(noisy="(1 - a).sqrt() * x0 + a.sqrt() * eps"), "swapped", fails=(POINTS,)),
        Wrong(
            "one minus the root",
            jumps(noisy="a.sqrt() * x0 + (1 - a.sqrt()) * eps"),
            "is not sqrt(1 - alpha_bar)",
            fails=(POINTS,),
        ),
        Wrong(
            "upside down",
            jumps(ratio="torch.log((1 - alpha_bar[t]) / alpha_bar[t])"),
            "upside down",
            fails=(SNR,),
        ),
        Wrong(
            "ratio of the deviations",
            jumps(ratio="torch.log(alpha_bar[t].sqrt() / (1 - alpha_bar[t]).sqrt())"),
            "that of their squares",
            fails=(SNR,),
        ),
        Wrong(
            "points only",
            jumps(factor="alpha_bar[t][:, None]"),
            "along the wrong dimension",
            fails=(),
        ),
    ),
    "convert": (
        Wrong(
            "eps: variance for deviation",
            conversions(
                of_eps="(x_t - (1 - a) * value) / a.sqrt()", to_eps="(x_t - a.sqrt() * x0) / (1 - a)"
            ),
            "variance of the noise. Take the root",
            fails=(FROM_EPS,),
        ),
        Wrong(
            "eps: not divided",
            conversions(of_eps="x_t - (1 - a).sqrt() * value", to_eps="(x_t - x0) / (1 - a).sqrt()"),
            "the data have shrunk",
            fails=(FROM_EPS,),
        ),
        Wrong(
            "v: sign",
            conversions(
                of_v="a.sqrt() * x_t + (1 - a).sqrt() * value", to_v="(x0 - a.sqrt() * x_t) / (1 - a).sqrt()"
            ),
            "sign of v",
            fails=(FROM_V,),
        ),
        Wrong(
            "v: the noise",
            conversions(
                of_v="(1 - a).sqrt() * x_t + a.sqrt() * value", to_v="(x0 - (1 - a).sqrt() * x_t) / a.sqrt()"
            ),
            "the noise that v stands for",
            fails=(FROM_V,),
        ),
        Wrong(
            "v: factors swapped",
            conversions(
                of_v="(1 - a).sqrt() * x_t - a.sqrt() * value", to_v="((1 - a).sqrt() * x_t - x0) / a.sqrt()"
            ),
            "two factors are swapped",
            fails=(FROM_V,),
        ),
        Wrong(
            "score: a root too many",
            conversions(
                of_score="(x_t + (1 - a).sqrt() * value) / a.sqrt()",
                to_score="(a.sqrt() * x0 - x_t) / (1 - a).sqrt()",
            ),
            "Tweedie's formula",
            fails=(FROM_SCORE,),
        ),
        Wrong(
            "score: sign",
            conversions(
                of_score="(x_t - (1 - a) * value) / a.sqrt()", to_score="(x_t - a.sqrt() * x0) / (1 - a)"
            ),
            "points towards the data",
            fails=(FROM_SCORE,),
        ),
        Wrong(
            "back with another root",
            conversions(to_eps="(x_t - a.sqrt() * x0) / (1 - a)"),
            "off by a factor",
            fails=(BACK,),
        ),
        Wrong(
            "back with another sign",
            conversions(to_score="(x_t - a.sqrt() * x0) / (1 - a)"),
            "has changed its sign",
            fails=(BACK,),
        ),
        Wrong(
            "back: noise for velocity",
            conversions(to_v="(x_t - a.sqrt() * x0) / (1 - a).sqrt()"),
            "Solve your own equation",
            fails=(BACK,),
        ),
        Wrong(
            "best: mean not shrunk",
            conversions(best=by_score("-(x_t - mean) / (a * var + 1 - a)")),
            "p_t is centred at",
            fails=(BEST_ANSWER,),
        ),
        Wrong(
            "best: the noise forgotten",
            conversions(best=by_score("-(x_t - a.sqrt() * mean) / (a * var + 1e-300)")),
            "does not have the noise in it",
            fails=(BEST_ANSWER,),
        ),
        Wrong(
            "best: no mean",
            conversions(best=by_score("-x_t / (a * var + 1 - a)")),
            "mean is left out",
            fails=(BEST_ANSWER,),
        ),
        Wrong(
            "best: deviation",
            conversions(best=by_score("-(x_t - a.sqrt() * mean) / (a * var**2 + 1 - a)")),
            "use it as a standard deviation",
            fails=(BEST_ANSWER,),
        ),
        Wrong(
            "best: a root too many",
            conversions(best=by_score("-(x_t - a.sqrt() * mean) / (a * var + 1 - a)", "(1 - a).sqrt()")),
            "The factor of the score is 1 - alpha_bar, not its root.",
            fails=(BEST_ANSWER,),
        ),
    ),
    "step_back": (
        Wrong(
            "alpha_bar_t for the ratio",
            steps_back(of_x_t="a_t.sqrt() * (1 - a_s) / (1 - a_t)"),
            "alpha_bar_t stands for the shrinking",
            fails=(C_T,),
        ),
        Wrong(
            "alpha_bar_t for the ratio, in the rest",
            steps_back(of_x_0="a_s.sqrt() * (1 - a_t) / (1 - a_t)", var="(1 - a_t) * (1 - a_s) / (1 - a_t)"),
            "1 - alpha_bar_t / alpha_bar_s, not 1 - alpha_bar_t.",
            fails=(C_0, V),
        ),
        Wrong(
            "no root in the factor of x_t",
            steps_back(of_x_t="r * (1 - a_s) / (1 - a_t)"),
            "x_t has sqrt(alpha_bar_t / alpha_bar_s) x_s in it",
            fails=(C_T,),
        ),
        Wrong(
            "no root in the factor of x_0",
            steps_back(of_x_0="a_s * (1 - r) / (1 - a_t)"),
            "x_s has sqrt(alpha_bar_s) x_0 in it",
            fails=(C_0,),
        ),
        Wrong("swapped", steps_back(of_x_t=OF_X_0, of_x_0=OF_X_T), "in the wrong order", fails=(C_T, C_0)),
        Wrong(
            "off by one: the data at t",
            steps_back(of_x_0="a_t.sqrt() * (1 - r) / (1 - a_t)"),
            "not by sqrt(alpha_bar_t)",
            fails=(C_0,),
        ),
        Wrong(
            "difference for the noise added",
            steps_back(of_x_0="a_s.sqrt() * (a_s - a_t) / (1 - a_t)"),
            "divide by alpha_bar_s",
            fails=(C_0,),
        ),
        Wrong("the large variance", steps_back(var="1 - r"), "the large choice", fails=(V,)),
        Wrong("standard deviation", steps_back(var=f"({VAR}).sqrt()"), "standard deviation", fails=(V,)),
        Wrong("precision", steps_back(var=f"1 / ({VAR})"), "This is the precision", fails=(V,)),
        Wrong("no half", steps_back(weight="snr(a_s) / snr(a_t) - 1"), "Where is the ½", fails=(K,)),
        Wrong(
            "weight of the data's error",
            steps_back(weight="(snr(a_s) - snr(a_t)) / 2"),
            "weight of the error in x_0",
            fails=(K,),
        ),
        Wrong("weight one", steps_back(weight="torch.ones_like(r)"), "weight of the simple loss", fails=(K,)),
        Wrong(
            "over the large variance",
            steps_back(weight="c_0**2 * (1 - a_t) / a_t / (2 * (1 - r))"),
            "divide by the large variance",
            fails=(K,),
        ),
        Wrong(
            "weight of the velocity",
            steps_back(weight="(snr(a_s) - snr(a_t)) * (1 - a_t) / 2"),
            "error in the velocity",
            fails=(K,),
        ),
        Wrong(
            "half of the logarithm",
            steps_back(weight="(snr(a_s).log() - snr(a_t).log()) / 2"),
            "right for small steps only",
            fails=(K,),
        ),
    ),
    "loss_of": (
        Wrong(
            "off-by-one t left",
            half_repaired(range="0, T"),
            "t runs from 0 to T - 1",
            fails=(DRAWN,),
        ),
        Wrong(
            "variance for deviation left",
            half_repaired(noise="(1 - a)"),
            "the variance of the noise",
            fails=(IMAGE,),
        ),
        Wrong(
            "permuted noise left",
            half_repaired(target="eps"),
            "that of another image",
            fails=(WHOSE,),
        ),
        Wrong(
            "noise drawn anew",
            losses(target="torch.randn_like(x0)"),
            "drawn anew",
            fails=(WHOSE,),
        ),
        Wrong(
            "T never drawn",
            losses("torch.randint(1, T, (len(x0),), generator=generator)"),
            "T never occurs",
            fails=(DRAWN,),
        ),
        Wrong(
            "0 drawn, too",
            losses("torch.randint(0, T + 1, (len(x0),), generator=generator)"),
            "t = 0 occurs",
            fails=(DRAWN,),
        ),
        Wrong(
            "told t - 1",
            losses(told="t - 1"),
            "The network is told t - 1",
            fails=(DRAWN, IMAGE),
        ),
        Wrong(
            "one t for all",
            losses("torch.randint(1, T + 1, (1,), generator=generator).expand(len(x0))"),
            "All rows have the same t",
            fails=(DRAWN,),
        ),
        Wrong(
            "alpha for alpha_bar",
            losses(x_t="(a / before).sqrt() * x0 + (1 - a / before).sqrt() * eps"),
            "alpha for alpha_bar",
            fails=(IMAGE,),
        ),
        Wrong(
            "data without the root",
            losses(x_t="a * x0 + (1 - a).sqrt() * eps"),
            "The data go in with the factor alpha_bar",
            fails=(IMAGE,),
        ),
        Wrong("the data as target", losses(target="x0"), "does not contain the noise", fails=(WHOSE,)),
        Wrong(
            "the velocity as target",
            losses(target="(a.sqrt() * eps - (1 - a).sqrt() * x0)"),
            "The target is the velocity",
            fails=(WHOSE,),
        ),
        Wrong("mean", losses(total=".flatten(1).mean(1)"), "mean over the dimensions", fails=(WHOSE,)),
        Wrong(
            "two noises apart",
            losses(least=leasts(permuted="2 * dims")),
            "it knows that it knows nothing",
            fails=(LEAST_LOSSES,),
        ),
        Wrong(
            "the loss can reach 0",
            losses(least="\n    return dims if target == 'permuted' else 0.0"),
            "does not reach 0",
            fails=(LEAST_LOSSES,),
        ),
        Wrong(
            "error in the data",
            losses(least=leasts(whole="a * var + 1 - a - (1 - a) * var")),
            "error in x_0. The target is the noise",
            fails=(LEAST_LOSSES,),
        ),
        Wrong(
            "the last noise for the whole",
            losses(least=leasts(last="1 - a")),
            "is not all of the noise",
            fails=(LEAST_LOSSES,),
        ),
        Wrong(
            "the last noise unseen",
            losses(least=leasts(last="0.0")),
            "something can be predicted",
            fails=(LEAST_LOSSES,),
        ),
        Wrong(
            "the last noise, root left in",
            losses(least=leasts(last="math.sqrt(beta)")),
            "its square is what counts",
            fails=(LEAST_LOSSES,),
        ),
    ),
    "ancestral": (
        Wrong(
            "noise at the last step",
            samplers(
                when="True",
                sigma="(torch.exp((nu * torch.log(beta) + (1 - nu) * torch.log(small)) / 2) if t > 1 "
                "else beta.sqrt())",
            ),
            "grain that no data have",
            fails=(END,),
        ),
        Wrong(
            "noise at the last step where the variance is not 0",
            samplers(when="t > 1 or nu > 0", sigma="beta ** (nu / 2) * small ** ((1 - nu) / 2)").replace(
                "small = beta * (1 - before) / (1 - a)", "small = (beta * (1 - before) / (1 - a)) + 1e-20"
            ),
            "adds noise for nu > 0",
            fails=(END,),
        ),
        Wrong(
            "off-by-one t",
            samplers(told="t - 1"),
            "always one less",
            fails=(ORDER,),
        ),
        Wrong(
            "stops before x_0",
            samplers(loop="range(T, 1, -1)"),
            "The loop stops before x_0",
            fails=(ORDER, MEANS, SIZE, END),
        ),
        Wrong(
            "starts at T - 1",
            samplers(loop="range(T - 1, 0, -1)"),
            "starts at T - 1",
            fails=(ORDER, MEANS, SIZE, END),
        ),
        Wrong(
            "upwards",
            samplers(loop="range(1, T + 1)", when="t < T"),
            "from T down to 1",
            fails=(ORDER, MEANS, SIZE, END),
        ),
        Wrong(
            "variance for deviation in the mean",
            samplers(mean="(x - beta / (1 - a) * eps) / alpha.sqrt()"),
            "stands where its root belongs, under the prediction",
            fails=(MEANS,),
        ),
        Wrong(
            "alpha for alpha_bar",
            samplers(mean="(x - beta / (1 - alpha).sqrt() * eps) / alpha.sqrt()"),
            "alpha for alpha_bar",
            fails=(MEANS,),
        ),
        Wrong(
            "alpha_bar for alpha",
            samplers(mean="(x - beta / (1 - a).sqrt() * eps) / a.sqrt()"),
            "alpha_bar for alpha: one step",
            fails=(MEANS,),
        ),
        Wrong(
            "all of the noise at once",
            samplers(mean="(x - (1 - a).sqrt() * eps) / alpha.sqrt()"),
            "takes off all of the noise",
            fails=(MEANS,),
        ),
        Wrong(
            "sign",
            samplers(mean="(x + beta / (1 - a).sqrt() * eps) / alpha.sqrt()"),
            "The prediction is added",
            fails=(MEANS,),
        ),
        Wrong(
            "prediction outside the bracket",
            samplers(mean="x / alpha.sqrt() - beta / (1 - a).sqrt() * eps"),
            "the prediction too",
            fails=(MEANS,),
        ),
        Wrong(
            "variance for deviation",
            samplers(sigma=f"{SIGMA} ** 2"),
            "sigma² is the variance",
            fails=(SIZE,),
        ),
        Wrong(
            "nu ignored, large", samplers(sigma="beta.sqrt()"), "The large variance, whatever", fails=(SIZE,)
        ),
        Wrong(
            "nu ignored, small", samplers(sigma="small.sqrt()"), "The small variance, whatever", fails=(SIZE,)
        ),
        Wrong(
            "nu the other way round",
            samplers(sigma="torch.exp((nu * torch.log(small) + (1 - nu) * torch.log(beta)) / 2)"),
            "the other way round",
            fails=(SIZE,),
        ),
        Wrong(
            "variances mixed",
            samplers(sigma="(nu * beta + (1 - nu) * small).sqrt()"),
            "Their logarithms are",
            fails=(SIZE,),
        ),
        Wrong(
            "one noise for all rows",
            samplers(noise="torch.randn(1, x.shape[1], generator=generator, dtype=x.dtype)"),
            "All rows get the same noise",
            fails=(SIZE,),
        ),
        Wrong(
            "noise from elsewhere",
            samplers(noise="torch.randn_like(x)"),
            "Draw all noise from `generator`",
            fails=(MEANS, SIZE, END),
        ),
    ),
    "who_pays": (
        Wrong("the middle", answered(half_linear=500), "adds up faster", fails=(HALF_LINEAR,)),
        Wrong(
            "root of alpha_bar one half", answered(half_linear=370), "alpha_bar is ¼", fails=(HALF_LINEAR,)
        ),
        Wrong("mean beta", answered(half_linear=69), "far below the mean", fails=(HALF_LINEAR,)),
        Wrong("cosine one half", answered(half_cosine=667), "alpha_bar is its square", fails=(HALF_COSINE,)),
        Wrong("half the angle", answered(half_cosine=250), "It ends at 90°", fails=(HALF_COSINE,)),
        Wrong("no half", answered(total=10.0), "Where is the ½", fails=(TOTAL,)),
        Wrong("in bits", answered(total=7.2), "in bits", fails=(TOTAL,)),
        Wrong("error of one", answered(total=11013), "error of 1 at every step", fails=(TOTAL,)),
        Wrong("early part only", answered(total=4.65), "above SNR = 1 only", fails=(TOTAL,)),
        Wrong("share of the steps", answered(early=0.5), "share of the steps", fails=(EARLY,)),
        Wrong("the rest", answered(early=0.07), "what is paid later", fails=(EARLY,)),
        Wrong("per cent", answered(early=93), "in per cent", fails=(EARLY,)),
        Wrong("all of it", answered(early=1), "A little is left", fails=(EARLY,)),
    ),
    "unet": (
        Wrong(
            "never upsamples",
            unets(
                up="F.avg_pool2d(skip, 2)",
                last="F.interpolate(self.last(torch.cat([low, up], 1)), size=x.shape[2:])",
            ),
            "blocks of four equal pixels",
            fails=(SKIP, BELOW),
        ),
        Wrong(
            "the skip pooled and blown up",
            unets(
                last="self.last(torch.cat([up, F.interpolate(F.avg_pool2d(skip, 2), size=x.shape[2:])], 1))"
            ),
            "went down and up again",
            fails=(SKIP,),
        ),
        Wrong(
            "no skip",
            unets(last="self.last(torch.cat([up, torch.zeros_like(skip)], 1))"),
            "Nothing comes across by the skip",
            fails=(SKIP,),
        ),
        Wrong(
            "skip first",
            unets(last="self.last(torch.cat([skip, up], 1))"),
            "The skip comes first",
            fails=(SKIP, BELOW),
        ),
        Wrong(
            "never down",
            unets(low="F.silu(self.bottom(skip))"),
            "bottom works at full resolution",
            fails=(BELOW,),
        ),
        Wrong(
            "smoothed",
            unets(up="F.interpolate(low, size=x.shape[2:], mode='bilinear')"),
            "smoothed on its way up",
            fails=(BELOW,),
        ),
        Wrong(
            "nothing from below",
            unets(up="0 * F.interpolate(low, size=x.shape[2:])"),
            "Nothing arrives from the bottom",
            fails=(BELOW,),
        ),
        Wrong(
            "the first time for all",
            unets(time="self.time(embed(t[:1], 16).to(x.dtype))[:, :, None, None]"),
            "the first one's time",
            fails=(OWN,),
        ),
        Wrong(
            "the mean time",
            unets(time="self.time(embed(t, 16).to(x.dtype)).mean(0)[:, None, None]"),
            "mixed with that of the others",
            fails=(OWN,),
        ),
        Wrong(
            "no time",
            unets(time="0 * self.time(embed(t, 16).to(x.dtype))[:, :, None, None]"),
            "does not depend on t",
            fails=(OWN,),
        ),
        Wrong(
            "cosines first",
            unets(waves="torch.cat([angle.cos(), angle.sin()], 1)"),
            "Cosines come first",
            fails=(WAVE,),
        ),
        Wrong(
            "alternating",
            unets(waves="torch.stack([angle.sin(), angle.cos()], 2).flatten(1)"),
            "Sines and cosines alternate",
            fails=(WAVE,),
        ),
        Wrong(
            "rising frequencies",
            unets("t[:, None] * 10_000 ** (torch.arange(width // 2) / (width // 2))"),
            "The frequencies rise",
            fails=(WAVE,),
        ),
        Wrong(
            "exponent over the width",
            unets("t[:, None] * 10_000 ** (-torch.arange(width // 2) / width)"),
            "not over width",
            fails=(WAVE,),
        ),
        Wrong(
            "whole numbers",
            unets("t[:, None] * 10_000.0 ** -(torch.arange(width // 2) // (width // 2))"),
            "Is the exponent divided",
            fails=(WAVE,),
        ),
        Wrong(
            "up by two",
            unets(up="F.interpolate(low, scale_factor=2)").replace(
                "        return self.last",
                "        up = F.pad(up, (0, skip.shape[3] - up.shape[3], 0, skip.shape[2] - up.shape[2]))\n"
                "        return self.last",
            ),
            "7 x 5 pixels",
            fails=(),
        ),
    ),
}

VARIANTS = {
    "jump": (
        Variant("one line each", jumps()),
        Variant(
            "in logarithms, and by a loop",
            """
def alpha_bars(beta):
    table = [torch.ones_like(beta[0])]
    for b in beta:
        table.append(table[-1] * (1 - b))
    return torch.stack(table)

def jump(x0, t, eps, alpha_bar):
    rows = [alpha_bar[s] ** 0.5 * x + (1 - alpha_bar[s]) ** 0.5 * e for s, x, e in zip(t, x0, eps)]
    return torch.stack(rows)

def log_snr(t, alpha_bar):
    return torch.logit(alpha_bar[t])
""",
        ),
    ),
    "convert": (
        Variant("solved", conversions()),
        Variant(
            "by way of the noise",
            """
def to_x0(kind, value, x_t, a):
    eps = value
    if kind == "score":
        eps = -torch.sqrt(1 - a) * value
    elif kind == "v":
        eps = torch.sqrt(1 - a) * x_t + torch.sqrt(a) * value
    return (x_t - torch.sqrt(1 - a) * eps) / torch.sqrt(a)

def from_x0(kind, x0, x_t, a):
    score = (torch.sqrt(a) * x0 - x_t) / (1 - a)
    eps = -torch.sqrt(1 - a) * score
    return {"score": score, "eps": eps, "v": torch.sqrt(a) * eps - torch.sqrt(1 - a) * x0}[kind]

def best_x0(x_t, a, mean, var):
    gain = torch.sqrt(a) * var / (a * var + 1 - a)
    return mean + gain * (x_t - torch.sqrt(a) * mean)
""",
        ),
    ),
    "step_back": (
        Variant("products", steps_back()),
        Variant(
            "by precisions",
            """
def posterior(a_t, a_s):
    r = a_t / a_s
    if bool((a_s == 1).all()):
        return torch.zeros_like(r), torch.ones_like(r), torch.zeros_like(r)
    precision = r / (1 - r) + 1 / (1 - a_s)
    return r.sqrt() / (1 - r) / precision, a_s.sqrt() / (1 - a_s) / precision, 1 / precision

def eps_weight(a_t, a_s):
    return 0.5 * (a_s * (1 - a_t) - a_t * (1 - a_s)) / (a_t * (1 - a_s))
""",
        ),
        Variant("by the KL", steps_back(weight="c_0**2 * (1 - a_t) / a_t / (2 * v)")),
    ),
    "loss_of": (
        Variant("without the sort", losses()),
        Variant("the sort kept", half_repaired()),
        Variant(
            "other draws, other names",
            """
def loss_of(network, x0, alpha_bar, generator):
    n, T = x0.shape[0], alpha_bar.shape[0] - 1
    noise = torch.empty_like(x0).normal_(generator=generator)
    step = 1 + (torch.rand(n, generator=generator) * T).long()
    keep = alpha_bar.index_select(0, step).to(x0)
    while keep.ndim < x0.ndim:
        keep = keep.unsqueeze(-1)
    guess = network(keep**0.5 * x0 + (1 - keep) ** 0.5 * noise, step)
    return ((guess - noise) ** 2).reshape(n, -1).sum(-1)

def least_loss(target, a, beta, dims, var):
    total = a * var + 1 - a
    left = {"whole": a * var / total, "permuted": 1.0, "last": (total - beta) / total}
    return dims * left[target]
""",
        ),
    ),
    "ancestral": (
        Variant("DDPM's algorithm", samplers()),
        Variant(
            "by way of x_0",
            """
def ancestral(network, x, alpha_bar, nu, generator):
    steps = len(alpha_bar) - 1
    while steps:
        a, b = alpha_bar[steps].item(), alpha_bar[steps - 1].item()
        guess = network(x, torch.tensor([steps]).repeat(len(x)))
        x0 = (x - math.sqrt(1 - a) * guess) / math.sqrt(a)
        beta = 1 - a / b
        x = (math.sqrt(a / b) * (1 - b) * x + math.sqrt(b) * beta * x0) / (1 - a)
        if steps != 1:
            sigma = beta ** (nu / 2) * (beta * (1 - b) / (1 - a)) ** ((1 - nu) / 2)
            x = x + sigma * torch.randn(*x.shape, generator=generator, dtype=x.dtype)
        steps -= 1
    return x
""",
        ),
    ),
    "who_pays": (
        Variant("rounded", answered()),
        Variant("to the digit", answered(260, 496, 5.045, 0.9306)),
    ),
    "unet": (
        Variant("one line each", unets()),
        Variant(
            "upsampled by indices",
            unets(
                angle="torch.outer(t.float(), torch.logspace(0, -4, width // 2 + 1)[:-1])",
                up="low[:, :, torch.arange(x.shape[2]) * low.shape[2] // x.shape[2]]"
                "[..., torch.arange(x.shape[3]) * low.shape[3] // x.shape[3]]",
            ),
        ),
    ),
}

# Mutants of the solution that get full marks, and why they may (see coursekit.grading.proof).
EQUIVALENT = {
    "ancestral": (
        Equivalent(
            "x = x - (log_var / 2).exp() * torch.randn(x.shape, generator=generator, dtype=x.dtype)",
            "Noise with the other sign has the same distribution.",
        ),
    ),
    "who_pays": (
        Equivalent(
            "prediction = {'half_linear': 261, 'half_cosine': 496, 'total': 5.05, 'early': 0.93}",
            "Within the tolerance that the task states.",
        ),
        Equivalent(
            "prediction = {'half_linear': 260, 'half_cosine': 497, 'total': 5.05, 'early': 0.93}",
            "Within the tolerance that the task states.",
        ),
    ),
    "unet": (
        Equivalent(
            "half = width / 2",
            "For the even widths that there are, arange(8.0) and arange(8) hold the same numbers.",
        ),
        Equivalent(
            "skip = F.silu(self.first(x) - time[:, :, None, None])",
            "The weights of the layer that makes `time` may have either sign: the same set of networks.",
        ),
        Equivalent(
            "frequency = torch.exp(-math.log(10001) * torch.arange(half) / half)",
            "The slowest wave is longer by a ten-thousandth: below the checks' tolerance, and of no "
            "effect on a network.",
        ),
        Equivalent(
            "time = self.time(embed(t, 17).to(x.dtype))",
            "Half of 17, rounded down, is half of 16.",
        ),
    ),
}
