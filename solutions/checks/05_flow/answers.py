"""Wrong answers of 05_flow with the hint each must get, and other right ways to write the answers."""

from coursekit.exercises.task import Variant, Wrong


def pushed(result: str, at: str = "x", graph: bool = True) -> str:
    """The answer cell of the first task with this result, from `base`, `slope` and `z`."""
    return f"""
def pushed_log_prob(f, x):
    x = x.detach().requires_grad_()
    z = f(x)
    at = {at}
    (slope,) = torch.autograd.grad(f(at).sum(), at, create_graph={graph})
    base = -0.5 * (z**2 + math.log(2 * math.pi))
    return {result}
"""


FORWARD = "torch.cat([a, b * s.exp() + t], 1), s.sum(1)"
BACKWARD = "torch.cat([a, (b - t) / s.exp()], 1), -s.sum(1)"


def couplings(forward: str = FORWARD, backward: str = BACKWARD, ask: str = "a", ask_back: str = "a") -> str:
    """The answer cell of the coupling with these expressions in the halves a, b and the net's s, t."""
    return f"""
def coupling(x, net):
    a, b = x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]
    s, t = net({ask})
    return {forward}

def coupling_inverse(z, net):
    a, b = z[:, : z.shape[1] // 2], z[:, z.shape[1] // 2 :]
    s, t = net({ask_back})
    return {backward}
"""


FLOOR = "0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).sum()"


def stack(loop: str, floor: str = FLOOR, before: str = "") -> str:
    """The answer cell of the bug hunt with these lines in the loop."""
    return f"""
def stack_log_prob(x, nets):
    kept, changed = x.chunk(2, dim=1)
    logdet = torch.zeros_like(x[:, 0])
    {before}
    for i, net in enumerate(nets):
        s, t = net(kept)
        changed = changed * s.exp() + t
        {loop}
    z = torch.cat([kept, changed], dim=1)
    return logdet - 0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)

def kl_floor(mean, std):
    return {floor}
"""


LOOP = "logdet, kept, changed = logdet + s.sum(1), changed, kept"

NOISE = "torch.rand(x.shape, generator=generator)"
POINTS = "(x + u) / levels"
NATS = "log_prob(v) - dims * math.log(levels)"
RESULT = "-nats / (dims * math.log(2))"


def bits(noise: str = NOISE, points: str = POINTS, nats: str = NATS, result: str = RESULT) -> str:
    """The answer cell of the bits per dimension with these expressions for its four steps."""
    return f"""
def bits_per_dim(log_prob, x, levels, generator):
    dims = x[0].numel()
    u = {noise}
    v = {points}
    nats = {nats}
    return {result}
"""


def predicted(log_slope: float = 7.3, layers: float = 4, bridge: float = 0.1077) -> str:
    return f"prediction = {{'log_slope': {log_slope}, 'layers': {layers}, 'bridge': {bridge}}}"


MASS = """
def log_mass(k):
    return torch.log1p(-torch.exp(-k)) - torch.log(k)

def mean_of(k):
    return 1 / k - torch.exp(-k) / (1 - torch.exp(-k))
"""
UNIFORM = "log_mass(rate) + rate / 2"
TILTED = "log_mass(rate) - log_mass(tilt) + (rate - tilt) * mean_of(tilt)"


def gaps(uniform: str = UNIFORM, tilted: str = TILTED) -> str:
    """The answer cell of the last task with these two expressions."""
    return f"""{MASS}
def uniform_gap(rate):
    return {uniform}

def tilted_gap(rate, tilt):
    return {tilted}
"""


RISING, FALLING, GRADIENT = (
    "the density of a rising map",
    "a falling map gives a density too",
    "gradients reach the map's parameters",
)
MAP, LOGDET, BACK, BACK_LOGDET = (
    "the forward map",
    "the forward log-determinant",
    "the inverse undoes your forward map",
    "the inverse's own log-determinant",
)
TWO, THREE, LEAST = "two layers", "three layers", "the floor of the KL"
FILLS, GENERATOR, SCALING, UNIT = (
    "the noise fills the cells",
    "the noise comes from the generator",
    "the scaling counts",
    "from nats to bits per dimension",
)
STEEP, HOW_MANY, LEFT = (
    "how steep the exact map is",
    "how many layers that takes",
    "what one layer leaves on the bridge",
)
FLAT, LEANING, OWN = "uniform noise", "tilted noise", "no gap where the noise is the model's own"


WRONG = {
    "pushed_log_prob": (
        Wrong(
            "log-determinant's sign",
            pushed("base - slope.abs().log()"),
            "sign of the log-determinant",
            fails=(RISING,),
        ),
        Wrong(
            "the caller's tensor",
            pushed("base + slope.abs().log()").replace("x.detach().requires_grad_()", "x.requires_grad_()"),
            "switches `requires_grad` of its argument `x`",
            fails=(RISING, FALLING),
        ),
        Wrong("no log-determinant", pushed("base"), "slope of f is missing", fails=(RISING,)),
        Wrong(
            "slope for its logarithm", pushed("base + slope.abs()"), "slope enters as it is", fails=(RISING,)
        ),
        Wrong("no absolute value", pushed("base + slope.log()"), "logarithm NaN", fails=(FALLING,)),
        Wrong(
            "negative slopes clamped",
            pushed("base + slope.clamp_min(1e-12).log()"),
            "leave the same density behind",
            fails=(FALLING,),
        ),
        Wrong(
            "no constant",
            pushed("-0.5 * z**2 + slope.abs().log()"),
            "constant of the standard normal",
            fails=(RISING,),
        ),
        Wrong(
            "the density", pushed("base.exp() * slope.abs()"), "task asks for its logarithm", fails=(RISING,)
        ),
        Wrong(
            "summed over the batch",
            pushed("(base + slope.abs().log()).sum()"),
            "the batch too",
            fails=(RISING, FALLING),
        ),
        Wrong(
            "slope at z",
            pushed("base + slope.abs().log()", at="z"),
            "derivative is taken at z",
            fails=(RISING,),
        ),
        Wrong(
            "slopes added up",
            pushed("base + slope.sum().abs().log()"),
            "slopes of the whole batch",
            fails=(RISING,),
        ),
        Wrong(
            "no graph",
            pushed("base + slope.abs().log()", graph=False),
            "create_graph=True",
            fails=(GRADIENT,),
        ),
        Wrong(
            "finite differences",
            """
def pushed_log_prob(f, x):
    slope = (f(x + 0.05) - f(x - 0.05)) / 0.1
    return -0.5 * (f(x) ** 2 + math.log(2 * math.pi)) + slope.abs().log()
""",
            "random draws or coarse steps",
            fails=(RISING,),
        ),
    ),
    "coupling": (
        Wrong(
            "log-determinant's sign",
            couplings("torch.cat([a, b * s.exp() + t], 1), -s.sum(1)"),
            "its determinant is larger than one",
            fails=(LOGDET,),
        ),
        Wrong(
            "mean over the entries",
            couplings("torch.cat([a, b * s.exp() + t], 1), s.mean(1)"),
            "mean of s over the entries. The determinant",
            fails=(LOGDET,),
        ),
        Wrong(
            "sum over the batch",
            couplings("torch.cat([a, b * s.exp() + t], 1), s.sum()"),
            "the batch too",
            fails=(LOGDET,),
        ),
        Wrong(
            "exponential left in",
            couplings("torch.cat([a, b * s.exp() + t], 1), s.exp().sum(1)"),
            "no exp is left",
            fails=(LOGDET,),
        ),
        Wrong(
            "scale without exp",
            couplings(
                "torch.cat([a, b * s + t], 1), s.abs().log().sum(1)",
                "torch.cat([a, (b - t) / s], 1), -s.abs().log().sum(1)",
            ),
            "scale is s itself",
            fails=(MAP,),
        ),
        Wrong(
            "first half changed",
            couplings(
                "torch.cat([a * s.exp() + t, b], 1), s.sum(1)",
                "torch.cat([(a - t) / s.exp(), b], 1), -s.sum(1)",
                ask="b",
                ask_back="b",
            ),
            "the other way round",
            fails=(MAP,),
        ),
        Wrong(
            "net reads what it changes",
            couplings(ask="b", ask_back="b"),
            "No inverse could ask it again",
            fails=(MAP, LOGDET, BACK, BACK_LOGDET),
        ),
        Wrong(
            "halves come out swapped",
            couplings(
                "torch.cat([b * s.exp() + t, a], 1), s.sum(1)",
                "torch.cat([b, (a - t) / s.exp()], 1), -s.sum(1)",
                ask_back="b",
            ),
            "halves of z have changed places",
            fails=(MAP,),
        ),
        Wrong(
            "inverse scales by e^s",
            couplings(backward="torch.cat([a, (b - t) * s.exp()], 1), -s.sum(1)"),
            "right where s = 0 only",
            fails=(BACK,),
        ),
        Wrong(
            "inverse scales before it shifts",
            couplings(backward="torch.cat([a, b * (-s).exp() - t], 1), -s.sum(1)"),
            "right where t = 0 or s = 0 only",
            fails=(BACK,),
        ),
        Wrong(
            "inverse asks about the changed half",
            couplings(ask_back="b"),
            "asks the network about the changed half",
            fails=(BACK, BACK_LOGDET),
        ),
        Wrong(
            "inverse returns the forward log-determinant",
            couplings(backward="torch.cat([a, (b - t) / s.exp()], 1), s.sum(1)"),
            "Each direction returns its own",
            fails=(BACK_LOGDET,),
        ),
    ),
    "stack_log_prob": (
        Wrong(
            "the bug itself",
            stack("logdet = logdet + s.sum(1)"),
            "the code that you were given",
            fails=(TWO, THREE),
        ),
        Wrong(
            "flip",
            """
def stack_log_prob(x, nets):
    logdet = torch.zeros_like(x[:, 0])
    for net in nets:
        kept, changed = x.chunk(2, dim=1)
        s, t = net(kept)
        logdet = logdet + s.sum(1)
        x = torch.cat([kept, changed * s.exp() + t], 1).flip(1)
    return logdet - 0.5 * (x.square() + math.log(2 * math.pi)).sum(1)

def kl_floor(mean, std):
    return 0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).sum()
""",
            "reads its half backwards",
            fails=(TWO, THREE),
        ),
        Wrong(
            "swap at the top",
            stack("logdet = logdet + s.sum(1)").replace(
                "s, t = net(kept)", "kept, changed = changed, kept\n        s, t = net(kept)"
            ),
            "yours starts with the second",
            fails=(TWO, THREE),
        ),
        Wrong(
            "swapped once, before the loop",
            stack("logdet = logdet + s.sum(1)", before="kept, changed = changed, kept"),
            "All networks read the second half now",
            fails=(TWO, THREE),
        ),
        Wrong(
            "swapped once, in the loop",
            stack(
                "logdet = logdet + s.sum(1)\n        if i == 0:\n            kept, changed = changed, kept",
            ),
            "swapped once and then stay so",
            fails=(THREE,),
        ),
        Wrong(
            "one name swapped",
            """
def stack_log_prob(x, nets):
    a, b = x.chunk(2, dim=1)
    logdet = torch.zeros_like(x[:, 0])
    for i, net in enumerate(nets):
        s, t = net(a)
        if i % 2:
            a = a * s.exp() + t
        else:
            b = b * s.exp() + t
        logdet = logdet + s.sum(1)
    z = torch.cat([a, b], dim=1)
    return logdet - 0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)

def kl_floor(mean, std):
    return 0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).sum()
""",
            "changes the half that it reads itself",
            fails=(TWO, THREE),
        ),
        Wrong(
            "log-determinant overwritten",
            stack("logdet, kept, changed = s.sum(1), changed, kept"),
            "log-determinant of the last layer only",
            fails=(TWO, THREE),
        ),
        Wrong(
            "log-determinant's sign",
            stack("logdet, kept, changed = logdet - s.sum(1), changed, kept"),
            "It was right before",
            fails=(TWO, THREE),
        ),
        Wrong("no floor", stack(LOOP, "0.0 * mean.sum()"), "There is a floor", fails=(LEAST,)),
        Wrong(
            "the other KL",
            stack(LOOP, "0.5 * ((1 + mean**2) / std**2 - 1 + 2 * std.log()).sum()"),
            "This is KL(model || data)",
            fails=(LEAST,),
        ),
        Wrong(
            "std for variance",
            stack(LOOP, "0.5 * (mean**2 + std - 1 - std.log()).sum()"),
            "you use it as a variance",
            fails=(LEAST,),
        ),
        Wrong(
            "the cross-entropy",
            stack(LOOP, "0.5 * (mean**2 + std**2 + math.log(2 * math.pi)).sum()"),
            "the bug costs nothing there",
            fails=(LEAST,),
        ),
        Wrong(
            "mean over the entries",
            stack(LOOP, FLOOR.replace(".sum()", ".mean()")),
            "mean over the entries",
            fails=(LEAST,),
        ),
    ),
    "bits_per_dim": (
        Wrong(
            "scaling forgotten", bits(nats="log_prob(v)"), "its log-determinant is missing", fails=(SCALING,)
        ),
        Wrong(
            "scaling's sign",
            bits(nats="log_prob(v) + dims * math.log(levels)"),
            "the scaling has the wrong sign",
            fails=(SCALING,),
        ),
        Wrong(
            "scaling once for each image",
            bits(nats="log_prob(v) - math.log(levels)"),
            "acts on each of the D entries",
            fails=(SCALING,),
        ),
        Wrong(
            "log2 of the levels among nats",
            bits(nats="log_prob(v) - dims * math.log2(levels)"),
            "log2 L among nats",
            fails=(SCALING,),
        ),
        Wrong(
            "half-range noise",
            bits("0.5 * torch.rand(x.shape, generator=generator)"),
            "half of each cell",
            fails=(FILLS,),
        ),
        Wrong(
            "centred noise",
            bits("torch.rand(x.shape, generator=generator) - 0.5"),
            "noise is centred",
            fails=(FILLS,),
        ),
        Wrong("no noise", bits("0.0"), "There is no noise", fails=(FILLS, GENERATOR)),
        Wrong(
            "Gaussian noise",
            bits("torch.randn(x.shape, generator=generator)"),
            "a point would belong to another grey level",
            fails=(FILLS,),
        ),
        Wrong(
            "one noise for the batch",
            bits("torch.rand(x.shape[1:], generator=generator)"),
            "share their noise",
            fails=(FILLS,),
        ),
        Wrong(
            "divided by L - 1",
            bits(points="(x + u) / (levels - 1)", nats="log_prob(v) - dims * math.log(levels - 1)"),
            "divide by L",
            fails=(FILLS, SCALING),
        ),
        Wrong("global random state", bits("torch.rand(x.shape)"), "gives other noise", fails=(GENERATOR,)),
        Wrong("nats", bits(result="-nats / dims"), "nats per dimension", fails=(UNIT,)),
        Wrong(
            "times log 2", bits(result="-nats / dims * math.log(2)"), "You multiply by log 2", fails=(UNIT,)
        ),
        Wrong("bits per image", bits(result="-nats / math.log(2)"), "bits per image", fails=(UNIT,)),
        Wrong(
            "colours not counted",
            bits(result="-nats / (x[0, 0].numel() * math.log(2))"),
            "divide by H W",
            fails=(UNIT,),
        ),
        Wrong("not negative", bits(result="nats / (dims * math.log(2))"), "Bits are a cost", fails=(UNIT,)),
        Wrong(
            "mean over the batch",
            bits(result=f"({RESULT}).mean()"),
            "the batch too",
            fails=(SCALING, UNIT),
        ),
    ),
    "bridge": (
        Wrong("slope of f", predicted(-7.3), "g leads from z to x", fails=(STEEP,)),
        Wrong("no logarithm", predicted(1490.5), "The task asks for its logarithm", fails=(STEEP,)),
        Wrong(
            "widths or a bump forgotten", predicted(8.0), "The widths of the two densities", fails=(STEEP,)
        ),
        Wrong("half a layer", predicted(layers=3.65), "no part of a layer", fails=(HOW_MANY,)),
        Wrong("rounded down", predicted(layers=3), "One short", fails=(HOW_MANY,)),
        Wrong("taking turns, or a nat a layer", predicted(layers=8), "adds up to 2", fails=(HOW_MANY,)),
        Wrong("share of the data", predicted(bridge=0.0228), "share of the data", fails=(LEFT,)),
        Wrong("one side", predicted(bridge=0.0538), "one side of 0", fails=(LEFT,)),
        Wrong("the width itself", predicted(bridge=0.1353), "What share of a standard normal", fails=(LEFT,)),
        Wrong("no bridge", predicted(bridge=0.0), "which z cannot get further", fails=(LEFT,)),
    ),
    "uniform_gap": (
        Wrong("sign", gaps(f"-({UNIFORM})"), "the bound is never above log P(x)", fails=(FLAT,)),
        Wrong("density for mass", gaps("rate / 2"), "taken for the density", fails=(FLAT,)),
        Wrong(
            "the other KL",
            gaps("-log_mass(rate) - rate * mean_of(rate)"),
            "KL(p(u|x) || q)",
            fails=(FLAT,),
        ),
        Wrong("noise at zero", gaps("log_mass(rate)"), "as if it were always 0", fails=(FLAT,)),
        Wrong("noise at one", gaps("log_mass(rate) + rate"), "as if it were always 1", fails=(FLAT,)),
        Wrong("integral's factor", gaps(f"{UNIFORM} + rate.log()"), "The factor 1/λ", fails=(FLAT,)),
        Wrong("bits", gaps(f"({UNIFORM}) / math.log(2)"), "gap in bits", fails=(FLAT,)),
        Wrong(
            "no entropy",
            gaps(tilted="log_mass(rate) + rate * mean_of(tilt)"),
            "log q(u) is missing",
            fails=(LEANING, OWN),
        ),
        Wrong("tilt ignored", gaps(tilted=UNIFORM), "the tilt does not count", fails=(LEANING, OWN)),
        Wrong(
            "endless exponential",
            gaps(tilted="log_mass(rate) - log_mass(tilt) + (rate - tilt) / tilt"),
            "goes on for ever",
            fails=(LEANING,),
        ),
        Wrong(
            "not normalised on the interval",
            gaps(tilted="log_mass(rate) + tilt.log() + (rate - tilt) * mean_of(tilt)"),
            "its integral is 1 - e^-κ",
            fails=(LEANING, OWN),
        ),
        Wrong(
            "mean of uniform noise",
            gaps(tilted="log_mass(rate) - log_mass(tilt) + (rate - tilt) / 2"),
            "The noise has the mean ½ here",
            fails=(LEANING,),
        ),
        Wrong(
            "exp overflows",
            gaps("torch.log(2 * torch.sinh(rate / 2) / rate)"),
            "overflows",
            fails=(),
        ),
    ),
}

VARIANTS = {
    "pushed_log_prob": (
        Variant(
            "one derivative for each entry",
            """
def pushed_log_prob(f, x):
    slope = torch.func.vmap(torch.func.grad(f))(x)
    return -f(x) ** 2 / 2 - math.log(math.sqrt(2 * math.pi)) + torch.log(abs(slope))
""",
        ),
        Variant(
            "forward mode",
            """
def pushed_log_prob(f, x):
    z, slope = torch.func.jvp(f, (x,), (torch.ones_like(x),))
    return (slope**2).log() / 2 - (z**2 + math.log(2 * math.pi)) / 2
""",
        ),
        Variant(
            "the whole Jacobian",
            """
def pushed_log_prob(f, x):
    jacobian = torch.autograd.functional.jacobian(f, x, create_graph=True)
    return jacobian.diagonal().abs().log() - 0.5 * f(x).square() - 0.5 * math.log(2 * math.pi)
""",
        ),
    ),
    "coupling": (
        Variant("slices", couplings()),
        Variant(
            "in new tensors",
            """
def coupling(x, net):
    half = x.shape[-1] // 2
    s, t = net(x[:, :half])
    z = x.clone()
    z[:, half:] = torch.addcmul(t, x[:, half:], torch.exp(s))
    return z, torch.einsum("bd->b", s)

def coupling_inverse(z, net):
    half = z.shape[-1] // 2
    s, t = net(z[:, :half])
    x = z.clone()
    x[:, half:] = torch.exp(-s) * (z[:, half:] - t)
    return [x, s.neg().sum(-1)]
""",
        ),
        Variant(
            "the inverse calls the network once more",
            """
def coupling(x, net):
    a, b = torch.tensor_split(x, 2, dim=1)
    s, t = net(a)
    scale = s.exp()
    return torch.hstack([a, scale * b + t]), scale.log().sum(1)

def coupling_inverse(z, net):
    a, b = torch.tensor_split(z, 2, dim=1)
    s, t = net(a)
    x = torch.hstack([a, (b - t) / s.exp()])
    return x, -coupling(x, net)[1]
""",
        ),
    ),
    "stack_log_prob": (
        Variant("one line", stack(LOOP)),
        Variant(
            "by number",
            """
def stack_log_prob(x, nets):
    first, second = x.chunk(2, dim=1)
    logdet = torch.zeros_like(x[:, 0])
    for i, net in enumerate(nets):
        if i % 2 == 0:
            s, t = net(first)
            second = second * s.exp() + t
        else:
            s, t = net(second)
            first = first * s.exp() + t
        logdet = logdet + s.sum(dim=1)
    z = torch.cat([first, second], dim=1)
    return logdet - 0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)

def kl_floor(mean, std):
    return float((mean**2 / 2 + std**2 / 2 - 0.5 - torch.log(std)).sum())
""",
        ),
        Variant(
            "halves rolled",
            """
def stack_log_prob(x, nets):
    half = x.shape[1] // 2
    logdet = torch.zeros_like(x[:, 0])
    for net in nets:
        s, t = net(x[:, :half])
        logdet = logdet + s.sum(dim=1)
        x = torch.cat([x[:, :half], x[:, half:] * s.exp() + t], dim=1).roll(half, dims=1)
    return logdet - 0.5 * (x.square() + math.log(2 * math.pi)).sum(dim=1)

def kl_floor(mean, std):
    var = std**2
    return (mean**2 + var - 1 - var.log()).sum() / 2
""",
        ),
    ),
    "bits_per_dim": (
        Variant(
            "in float64",
            """
def bits_per_dim(log_prob, x, levels, generator):
    u = torch.rand(x.shape, generator=generator, dtype=torch.float64)
    dims = math.prod(x.shape[1:])
    return math.log2(levels) - log_prob((x.double() + u) / levels) / dims / math.log(2)
""",
        ),
        Variant(
            "filled in place",
            """
def bits_per_dim(log_prob, x, levels, generator):
    y = x.float()
    y = y + torch.empty_like(y).uniform_(generator=generator)
    dims = x.shape[1] * x.shape[2] * x.shape[3]
    per_dim = log_prob(y.div(levels)) / dims
    return (math.log(levels) - per_dim) * math.log2(math.e)
""",
        ),
    ),
    "bridge": (
        Variant("three digits", predicted(7.307, 4, 0.1077)),
        Variant(
            "computed",
            """
prediction = {
    "log_slope": 8 + math.log(0.5),
    "layers": math.ceil((8 + math.log(0.5)) / 2),
    "bridge": torch.tensor(math.erf(math.exp(-2) / math.sqrt(2))),
}
""",
        ),
    ),
    "uniform_gap": (
        Variant("named parts", gaps()),
        Variant(
            "stable in another way",
            """
def uniform_gap(rate):
    return torch.log(-torch.special.expm1(-rate) / rate) + 0.5 * rate

def tilted_gap(rate, tilt):
    below = torch.exp(-tilt)
    mean = (1 - (1 + tilt) * below) / (tilt * (1 - below))
    log_q_const = torch.log(tilt / (1 - below))
    return torch.log((1 - torch.exp(-rate)) / rate) + rate * mean + log_q_const - tilt * mean
""",
        ),
    ),
}
