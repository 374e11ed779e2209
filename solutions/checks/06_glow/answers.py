"""Wrong answers of 06_glow with the hint each must get, and other right ways to write the answers."""

from coursekit.exercises.task import Equivalent, Variant, Wrong

BOARD = "((torch.arange(height)[:, None] + torch.arange(width)) % 2 == 0)[None]"
FOLD = "blocks.permute(0, 1, 3, 5, 2, 4)"
UNFOLD = "z.reshape(b, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3)"


def squeezes(board: str = BOARD, fold: str = FOLD, unfold: str = UNFOLD) -> str:
    """The answer cell of the squeeze with these expressions."""
    return f"""
def checkerboard(height, width):
    return {board}

def squeeze(x):
    b, c, h, w = x.shape
    blocks = x.reshape(b, c, h // 2, 2, w // 2, 2)
    return {fold}.reshape(b, 4 * c, h // 2, w // 2)

def unsqueeze(z):
    b, c, h, w = z.shape
    return {unfold}.reshape(b, c // 4, 2 * h, 2 * w)
"""


START = "not self.started"
STD = "x.std(dim=(0, 2, 3), correction=0)"
GUARD = "torch.where(std < 1e-6, torch.ones_like(std), std)"
SHIFT = "-mean / std"
LOGDET = "(x[0, 0].numel() * s.sum()).expand(len(x))"


def actnorm(
    start: str = START,
    std: str = STD,
    scale: str = "-std.log()",
    shift: str = SHIFT,
    logdet: str = LOGDET,
    guard: str = GUARD,
    mean: str = "x.mean(dim=(0, 2, 3))",
) -> str:
    """The answer cell of ActNorm with these expressions."""
    return f"""
class ActNorm:
    def __init__(self, channels):
        self.log_scale = torch.zeros(channels)
        self.shift = torch.zeros(channels)
        self.started = False

    def __call__(self, x):
        if {start}:
            std, mean = {std}, {mean}
            std = {guard}
            self.log_scale, self.shift, self.started = {scale}, {shift}, True
        s, b = self.log_scale, self.shift
        if s.ndim == 1:
            z = x * s.exp()[:, None, None] + b[:, None, None]
        else:
            z = x * s.exp() + b
        return z, {logdet}
"""


WEIGHT = "P @ (eye + L) @ (U + torch.diag(d.exp()))"
DET = "x.shape[2] * x.shape[3] * d.sum() * x.new_ones(len(x))"
UNDO = "solve(upper, solve(lower, P.T @ columns, upper=False), upper=True)"
BACK_DET = "-h * w * d.sum() * z.new_ones(b)"


def convs(weight: str = WEIGHT, det: str = DET, undo: str = UNDO, back: str = BACK_DET) -> str:
    """The answer cell of the 1x1 convolution with these expressions."""
    return f"""
def conv(x, P, L, U, d):
    eye = torch.eye(len(d), dtype=x.dtype)
    W = {weight}
    return (W @ x.flatten(2)).reshape(x.shape), {det}

def conv_inverse(z, P, L, U, d):
    b, c, h, w = z.shape
    solve = torch.linalg.solve_triangular
    eye = torch.eye(c, dtype=z.dtype)
    lower, upper = eye + L, U + torch.diag(d.exp())
    columns = z.flatten(2)
    x = {undo}
    return x.reshape(z.shape), {back}
"""


NOISE = "torch.rand(x.shape, generator=generator)"
FIRST = "torch.full((len(x),), -x[0].numel() * math.log(levels))"
FINISHED = "nats = nats + log_normal(finished)"
FREE = "math.log2(levels)"


def bits(
    noise: str = NOISE,
    first: str = FIRST,
    finished: str = FINISHED,
    free: str = FREE,
    points: str = "(x + u) / levels",
    result: str = "nats",
) -> str:
    """The answer cell of the bug hunt with these expressions."""
    return f"""
def log_normal(h):
    return -0.5 * (h.square() + math.log(2 * math.pi)).flatten(1).sum(dim=1)

def multiscale_log_prob(x, levels, flows, generator):
    u = {noise}
    h = {points}
    nats = {first}
    for i, flow in enumerate(flows):
        h, logdet = flow(h)
        nats = nats + logdet
        if i + 1 < len(flows):
            finished, h = h.chunk(2, dim=1)
            {finished}
    nats = nats + log_normal(h)
    return {result}

def free_bits(levels):
    return {free}
"""


SAMPLE = "inverse(temperature * torch.randn(n, dims, generator=generator))"
KL = "0.5 * dims * (temperature**2 - 1 - 2 * math.log(temperature))"
GAIN = "0.5 * dims * (1 - temperature**2)"


def temperatures(sample: str = SAMPLE, kl: str = KL, gain: str = GAIN) -> str:
    """The answer cell of the temperature with these expressions."""
    return f"""
def sample_at(inverse, n, dims, temperature, generator):
    return {sample}

def temperature_kl(dims, temperature):
    return {kl}

def likelihood_gain(dims, temperature):
    return {gain}
"""


POINTS = "torch.randn(10, dims, generator=generator, dtype=torch.float64)"
TRUE = "torch.linalg.slogdet(jacobians).logabsdet"
ALL = "same(back, x) and same(logdet, true) and same(back_logdet, -true) and same(alone, z)"


def soundness(result: str = ALL, points: str = POINTS, same: str = "torch.allclose(a, b, atol=1e-6)") -> str:
    """The answer cell of the design with this verdict."""
    return f"""
def same(a, b):
    return a.shape == b.shape and {same}

def sound(flow, dims, generator):
    x = {points}
    z, logdet = flow.forward(x)
    back, back_logdet = flow.inverse(z)
    jacobian = torch.autograd.functional.jacobian
    jacobians = torch.stack([jacobian(lambda v: flow.forward(v[None])[0][0], row) for row in x])
    true = {TRUE}
    alone = torch.cat([flow.forward(row[None])[0] for row in x])
    return {result}
"""


MASK, ENTRIES, UNDONE = "the checkerboard", "every entry of the squeeze", "unsqueeze undoes your squeeze"
BATCH, ONCE, SCALES = (
    "the first batch: one scale and shift a channel, mean 0, variance 1",
    "later batches change nothing",
    "the log-determinant of your map",
)
MAP, FORWARD_DET, BACK, INVERSE_DET = (
    "the forward map",
    "the forward log-determinant",
    "the inverse undoes your forward map",
    "the inverse's own log-determinant",
)
FILLS, LEAVES, SCALING, GIVEN_AWAY = (
    "the noise fills the cells",
    "what leaves early counts",
    "the scaling counts",
    "the bits that a mistake gives away",
)
SPREAD, THROUGH, DIVERGENCE, GAINED = (
    "the latents have standard deviation T",
    "the samples are what the flow makes of them",
    "the KL from the samples to the model",
    "the gain in log-likelihood",
)
PASS, INVERSES, DETS, INVERSE_DETS = (
    "right flows pass",
    "wrong inverses are found out",
    "wrong log-determinants are found out",
    "wrong log-determinants of the inverse are found out",
)

WRONG = {
    "squeeze": (
        Wrong("colours swapped", squeezes("~" + BOARD), "colours are the wrong way round", fails=(MASK,)),
        Wrong(
            "stripes",
            squeezes("(torch.arange(height)[:, None] % 2 == 0).expand(height, width)[None]"),
            "one row and the next",
            fails=(MASK,),
        ),
        Wrong(
            "counted along the image",
            squeezes("(torch.arange(height * width).reshape(1, height, width) % 2 == 0)"),
            "one column and the next",
            fails=(MASK,),
        ),
        Wrong(
            "mask without its first dimension",
            squeezes(BOARD.removesuffix("[None]")),
            "should return shape (1, 4, 6)",
            fails=(MASK,),
        ),
        Wrong("plain reshapes", squeezes(fold="x", unfold="z"), "keeps the memory's order", fails=(ENTRIES,)),
        Wrong(
            "rows and columns swapped",
            squeezes(
                fold="blocks.permute(0, 1, 5, 3, 2, 4)",
                unfold="z.reshape(b, c // 4, 2, 2, h, w).permute(0, 1, 4, 3, 5, 2)",
            ),
            "Rows and columns within the block",
            fails=(ENTRIES,),
        ),
        Wrong(
            "old channels innermost",
            squeezes(
                fold="blocks.permute(0, 3, 5, 1, 2, 4)",
                unfold="z.reshape(b, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2)",
            ),
            "in the order (2i + j) C + c",
            fails=(ENTRIES,),
        ),
        Wrong(
            "quarters",
            squeezes(
                fold="x.reshape(b, c, 2, h // 2, 2, w // 2).permute(0, 1, 2, 4, 3, 5)",
                unfold="z.reshape(b, c // 4, 2, 2, h, w).permute(0, 1, 2, 4, 3, 5)",
            ),
            "cuts the image into quarters",
            fails=(ENTRIES,),
        ),
        Wrong("unsqueeze by reshape", squeezes(unfold="z"), "one after the other", fails=(UNDONE,)),
        Wrong(
            "unsqueeze swaps rows and columns",
            squeezes(unfold="z.reshape(b, c // 4, 2, 2, h, w).permute(0, 1, 4, 3, 5, 2)"),
            "`unsqueeze` swaps rows and columns",
            fails=(UNDONE,),
        ),
    ),
    "actnorm": (
        Wrong("starts at every batch", actnorm("True"), "normalised by its own statistics", fails=(ONCE,)),
        Wrong("never starts", actnorm("self.started"), "does not start", fails=(BATCH, ONCE, SCALES)),
        Wrong(
            "variance for standard deviation",
            actnorm(std="x.var(dim=(0, 2, 3), correction=0)"),
            "divide by the variance",
            fails=(BATCH,),
        ),
        Wrong("sign of s", actnorm(scale="std.log()"), "multiply by the standard deviation", fails=(BATCH,)),
        Wrong("shift not scaled", actnorm(shift="-mean"), "it must be scaled too", fails=(BATCH,)),
        Wrong(
            "each pixel by itself",
            actnorm(std="x.std(dim=0, correction=0)", mean="x.mean(dim=0)", logdet="s.sum().expand(len(x))"),
            "Every pixel has a scale and a shift of its own",
            fails=(BATCH,),
        ),
        Wrong(
            "all channels together",
            actnorm(std="x.std(correction=0).expand(3)"),
            "spread of all channels together",
            fails=(BATCH,),
        ),
        Wrong(
            "H W forgotten",
            actnorm(logdet="s.sum().expand(len(x))"),
            "counts each channel once",
            fails=(SCALES,),
        ),
        Wrong(
            "log-determinant's sign",
            actnorm(logdet="-" + LOGDET),
            "The sign of the log-determinant is wrong",
            fails=(SCALES,),
        ),
        Wrong(
            "summed over the batch",
            actnorm(logdet="len(x) * x[0, 0].numel() * s.sum()"),
            "the batch too",
            fails=(SCALES,),
        ),
        Wrong("no guard", actnorm(guard="std"), "NaN", fails=()),
        Wrong(
            "small number for a guard",
            actnorm(guard="std + 1e-8"),
            "adds nothing to the determinant",
            fails=(),
        ),
    ),
    "conv": (
        Wrong(
            "H W forgotten",
            convs(det="d.sum() * x.new_ones(len(x))"),
            "This is log |det W|",
            fails=(FORWARD_DET,),
        ),
        Wrong(
            "exponential left in",
            convs(det=DET.replace("d.sum()", "d.exp().sum()")),
            "no exp is left",
            fails=(FORWARD_DET,),
        ),
        Wrong(
            "log-determinant's sign",
            convs(det="-" + DET),
            "sign of the log-determinant",
            fails=(FORWARD_DET,),
        ),
        Wrong(
            "batch counted",
            convs(det="len(x) * " + DET),
            "log-determinant of the whole batch",
            fails=(FORWARD_DET,),
        ),
        Wrong(
            "channels counted twice",
            convs(det="x[0].numel() * d.sum() * x.new_ones(len(x))"),
            "summed over the channels already",
            fails=(FORWARD_DET,),
        ),
        Wrong("transposed", convs(f"({WEIGHT}).T"), "The matrix is transposed", fails=(MAP, BACK)),
        Wrong(
            "identity forgotten",
            convs("P @ L @ (U + torch.diag(d.exp()))"),
            "ones on the diagonal",
            fails=(MAP, BACK),
        ),
        Wrong(
            "d for exp d",
            convs("P @ (eye + L) @ (U + torch.diag(d))"),
            "The diagonal is d",
            fails=(MAP, BACK),
        ),
        Wrong(
            "P last", convs("(eye + L) @ (U + torch.diag(d.exp())) @ P"), "P comes last", fails=(MAP, BACK)
        ),
        Wrong(
            "inverse is the transpose",
            convs(undo=f"({WEIGHT}).T @ columns"),
            "inverse of a rotation only",
            fails=(BACK,),
        ),
        Wrong(
            "factors off in the order of W",
            convs(undo="P.T @ solve(lower, solve(upper, columns, upper=True), upper=False)"),
            "P is the outermost",
            fails=(BACK,),
        ),
        Wrong(
            "P once more",
            convs(undo=UNDO.replace("P.T", "P")),
            "its inverse is Pᵀ",
            fails=(BACK,),
        ),
        Wrong(
            "inverse returns the forward log-determinant",
            convs(back=BACK_DET.removeprefix("-")),
            "Each direction returns its own",
            fails=(INVERSE_DET,),
        ),
        Wrong(
            "H W forgotten in the inverse",
            convs(back="-d.sum() * z.new_ones(b)"),
            "H W pixels too",
            fails=(INVERSE_DET,),
        ),
    ),
    "multiscale_log_prob": (
        Wrong("half-range noise left", bits(noise=NOISE + " / 2"), "half of each cell only", fails=(FILLS,)),
        Wrong("no noise", bits(noise="0 * " + NOISE), "no noise any more", fails=(FILLS,)),
        Wrong(
            "centred noise",
            bits(noise=NOISE + " - 0.5"),
            "noise leaves [0, 1)",
            fails=(FILLS,),
        ),
        Wrong(
            "divided by L - 1",
            bits(points="(x + u) / (levels - 1)"),
            "there are L cells",
            fails=(FILLS,),
        ),
        Wrong("free latents left", bits(finished="pass"), "half of the latents are free", fails=(LEAVES,)),
        Wrong(
            "finished channels subtracted",
            bits(finished="nats = nats - log_normal(finished)"),
            "finished channels' log-density",
            fails=(LEAVES,),
        ),
        Wrong(
            "scaling left out",
            bits(first="torch.zeros(len(x))"),
            "Its log-determinant is missing",
            fails=(SCALING,),
        ),
        Wrong(
            "scaling's sign",
            bits(first="torch.full((len(x),), x[0].numel() * math.log(levels))"),
            "the scaling has the wrong sign",
            fails=(SCALING,),
        ),
        Wrong(
            "scaling once for each image",
            bits(first="torch.full((len(x),), -math.log(levels))"),
            "here it counts once",
            fails=(SCALING,),
        ),
        Wrong(
            "scaling in bits",
            bits(first="torch.full((len(x),), -x[0].numel() * math.log2(levels))"),
            "scaling in bits among nats",
            fails=(SCALING,),
        ),
        Wrong(
            "bits per dimension",
            bits(result="-nats / (x[0].numel() * math.log(2))"),
            "The unit changed",
            fails=(LEAVES, SCALING),
        ),
        Wrong("free bits in nats", bits(free="math.log(levels)"), "in nats", fails=(GIVEN_AWAY,)),
        Wrong("one free bit", bits(free="1.0"), "One bit is what noise", fails=(GIVEN_AWAY,)),
        Wrong(
            "free bits negative",
            bits(free="-math.log2(levels)"),
            "how much does the mistake",
            fails=(GIVEN_AWAY,),
        ),
    ),
    "temperature": (
        Wrong(
            "temperature as variance",
            temperatures("inverse(temperature**0.5 * torch.randn(n, dims, generator=generator))"),
            "multiplies the variance here",
            fails=(SPREAD,),
        ),
        Wrong(
            "temperature squared",
            temperatures("inverse(temperature**2 * torch.randn(n, dims, generator=generator))"),
            "The temperature is squared",
            fails=(SPREAD,),
        ),
        Wrong(
            "temperature on x",
            temperatures("temperature * inverse(torch.randn(n, dims, generator=generator))"),
            "T does not count there",
            fails=(SPREAD, THROUGH),
        ),
        Wrong(
            "temperature on both",
            temperatures("temperature * inverse(temperature * torch.randn(n, dims, generator=generator))"),
            "multiplied by T after the flow",
            fails=(THROUGH,),
        ),
        Wrong(
            "uniform latents",
            temperatures("inverse(temperature * torch.rand(n, dims, generator=generator))"),
            "The noise is uniform",
            fails=(SPREAD,),
        ),
        Wrong(
            "global random state",
            temperatures("inverse(temperature * torch.randn(n, dims))"),
            "gives other samples",
            fails=(),
        ),
        Wrong(
            "the other KL",
            temperatures(kl="0.5 * dims * (temperature**-2 - 1 + 2 * math.log(temperature))"),
            "KL(p_1 || p_T)",
            fails=(DIVERGENCE,),
        ),
        Wrong(
            "KL with T as variance",
            temperatures(kl="0.5 * dims * (temperature - 1 - math.log(temperature))"),
            "you use it as a variance",
            fails=(DIVERGENCE,),
        ),
        Wrong(
            "one dimension",
            temperatures(kl=KL.replace(" * dims", "")),
            "KL of one dimension",
            fails=(DIVERGENCE,),
        ),
        Wrong(
            "entropy only",
            temperatures(kl="-dims * math.log(temperature)"),
            "change of entropy only",
            fails=(DIVERGENCE,),
        ),
        Wrong(
            "log T for log T²",
            temperatures(kl="0.5 * dims * (temperature**2 - 1 - math.log(temperature))"),
            "log T² = 2 log T",
            fails=(DIVERGENCE,),
        ),
        Wrong("no half", temperatures(kl="2 * " + KL), "Where is the ½", fails=(DIVERGENCE,)),
        Wrong(
            "own density",
            temperatures(gain="-dims * math.log(temperature)"),
            "by p_T, their own density",
            fails=(GAINED,),
        ),
        Wrong("gain's sign", temperatures(gain="-" + GAIN), "nearer to the mode", fails=(GAINED,)),
        Wrong("the KL again", temperatures(gain=KL), "measures something else", fails=(GAINED,)),
    ),
    "sound": (
        Wrong(
            "accepts everything",
            soundness("True"),
            "Everything gets through",
            fails=(PASS, INVERSES, DETS, INVERSE_DETS),
        ),
        Wrong(
            "rejects everything",
            soundness("False"),
            "Every flow is rejected",
            fails=(PASS, INVERSES, DETS, INVERSE_DETS),
        ),
        Wrong(
            "round trip only",
            soundness("same(back, x) and same(alone, z)"),
            "No log-determinant is looked at",
            fails=(DETS, INVERSE_DETS),
        ),
        Wrong(
            "log-determinants against each other",
            soundness("same(back, x) and same(logdet, -back_logdet) and same(alone, z)"),
            "No wrong log-determinant is found out",
            fails=(DETS,),
        ),
        Wrong(
            "inverse's log-determinant not looked at",
            soundness("same(back, x) and same(logdet, true) and same(alone, z)"),
            "is never looked at",
            fails=(INVERSE_DETS,),
        ),
        Wrong(
            "no round trip",
            soundness("same(logdet, true) and same(back_logdet, -true) and same(alone, z)"),
            "an inverse that multiplies by e^s",
            fails=(INVERSES,),
        ),
        Wrong(
            "at zero",
            soundness(points="torch.zeros(10, dims, dtype=torch.float64)"),
            "No wrong inverse is found out",
            fails=(INVERSES, DETS, INVERSE_DETS),
        ),
        Wrong(
            "exact equality",
            soundness(same="torch.equal(a, b)"),
            "compare with a tolerance",
            fails=(PASS, INVERSES, DETS, INVERSE_DETS),
        ),
        Wrong(
            "determinant without absolute value",
            soundness(ALL.replace("true", "torch.logdet(jacobians)")),
            "A reflection is rejected",
            fails=(PASS, INVERSES, DETS, INVERSE_DETS),
        ),
        Wrong(
            "loose tolerance",
            soundness(same="torch.allclose(a, b, atol=0.05)"),
            "Can your tolerance be tighter",
            fails=(DETS,),
        ),
        Wrong(
            "rows in one batch only",
            soundness("same(back, x) and same(logdet, inside) and same(back_logdet, -inside)").replace(
                "    true =",
                "    whole = jacobian(lambda v: flow.forward(v)[0], x)\n"
                "    inside = torch.linalg.slogdet(whole.diagonal(dim1=0, dim2=2).movedim(-1, 0)).logabsdet\n"
                "    true =",
            ),
            "the mean of the whole batch",
            fails=(),
        ),
    ),
}

VARIANTS = {
    "squeeze": (
        Variant("permutations", squeezes()),
        Variant(
            "slices",
            """
def checkerboard(height, width):
    board = torch.zeros(1, height, width, dtype=torch.bool)
    board[:, ::2, ::2] = True
    board[:, 1::2, 1::2] = True
    return board

def squeeze(x):
    parts = [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return torch.stack(parts, dim=2).flatten(1, 2)

def unsqueeze(z):
    b, c, h, w = z.shape
    x = z.new_empty(b, c // 4, 2 * h, 2 * w)
    for i in (0, 1):
        for j in (0, 1):
            x[:, :, i::2, j::2] = z[:, 2 * i + j :: 4]
    return x
""",
        ),
        Variant(
            "unfold",
            """
def checkerboard(height, width):
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (rows % 2 == columns % 2).unsqueeze(0)

def squeeze(x):
    b, c, h, w = x.shape
    columns = torch.nn.functional.unfold(x, 2, stride=2)
    return columns.reshape(b, 4 * c, h // 2, w // 2)

def unsqueeze(z):
    b, c, h, w = z.shape
    return torch.nn.functional.fold(z.flatten(2), (2 * h, 2 * w), 2, stride=2)
""",
        ),
    ),
    "actnorm": (
        Variant("named parts", actnorm()),
        Variant("unbiased standard deviation", actnorm(std="x.std(dim=(0, 2, 3))")),
        Variant(
            "a module",
            """
class ActNorm(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale = None

    def forward(self, x):
        if self.scale is None:
            values = x.movedim(1, 0).flatten(1)
            std, mean = torch.std_mean(values, dim=1, correction=0)
            std[std < 1e-6] = 1
            self.scale, self.mean = (1 / std).view(1, -1, 1, 1), mean.view(1, -1, 1, 1)
        z = (x - self.mean) * self.scale
        return z, torch.log(self.scale.abs().expand_as(x)).sum(dim=(1, 2, 3))
""",
        ),
    ),
    "conv": (
        Variant("matrix products", convs()),
        Variant(
            "conv2d, and one pixel after the other",
            """
def conv(x, P, L, U, d):
    weight = P @ (torch.eye(len(d), dtype=x.dtype) + L) @ (U + d.exp().diag())
    z = torch.nn.functional.conv2d(x, weight[:, :, None, None])
    return z, d.sum().mul(x.shape[-1] * x.shape[-2]).repeat(x.shape[0])

def conv_inverse(z, P, L, U, d):
    x = torch.empty_like(z)
    for i in range(z.shape[2]):
        for j in range(z.shape[3]):
            y = (z[:, :, i, j] @ P).T
            y = torch.linalg.solve_triangular(L + torch.eye(len(d), dtype=z.dtype), y, upper=False)
            x[:, :, i, j] = torch.linalg.solve_triangular(U + d.exp().diag(), y, upper=True).T
    return x, -d.sum().mul(z.shape[-1] * z.shape[-2]).repeat(z.shape[0])
""",
        ),
    ),
    "multiscale_log_prob": (
        Variant("in place of zeros", bits()),
        Variant(
            "in float64, at the end",
            """
def multiscale_log_prob(x, levels, flows, generator):
    u = torch.rand(x.shape, generator=generator, dtype=torch.float64)
    h = (x + u) / levels
    parts, logdets = [], []
    for flow in flows[:-1]:
        h, logdet = flow(h)
        finished, h = h.chunk(2, dim=1)
        parts.append(finished.flatten(1))
        logdets.append(logdet)
    h, logdet = flows[-1](h)
    z = torch.cat([*parts, h.flatten(1)], dim=1)
    return sum(logdets) + logdet - (0.5 * (z**2 + math.log(2 * math.pi)) + math.log(levels)).sum(1)

def free_bits(levels):
    return math.log(levels) / math.log(2)
""",
        ),
    ),
    "temperature": (
        Variant("one line each", temperatures()),
        Variant(
            "in place",
            """
def sample_at(inverse, n, dims, temperature, generator):
    z = torch.randn((n, dims), dtype=torch.float64, generator=generator).mul_(temperature)
    return inverse(z)

def temperature_kl(dims, temperature):
    var = torch.tensor(temperature, dtype=torch.float64) ** 2
    return dims * (var - 1 - var.log()) / 2

def likelihood_gain(dims, temperature):
    return -(temperature**2 - 1) * dims / 2
""",
        ),
    ),
    "sound": (
        Variant("named parts", soundness()),
        Variant(
            "by differences, and one row for the rest",
            """
def sound(flow, dims, generator):
    x = torch.randn(6, dims, generator=generator, dtype=torch.float64)
    h = 1e-5
    z, logdet = flow.forward(x)
    for b in range(len(x)):
        row = x[b : b + 1]
        z_row, logdet_row = flow.forward(row)
        x_row, back_row = flow.inverse(z_row)
        steps = h * torch.eye(dims, dtype=torch.float64)
        columns = [(flow.forward(row + e)[0] - flow.forward(row - e)[0])[0] / (2 * h) for e in steps]
        true = torch.stack(columns).det().abs().log()
        if (z_row - z[b]).abs().max() > 1e-6 or (x_row - row).abs().max() > 1e-6:
            return False
        if abs(logdet_row - true) > 1e-5 or abs(logdet[b] - true) > 1e-5 or abs(back_row + true) > 1e-5:
            return False
    return True
""",
        ),
        Variant(
            "a tensor for a verdict",
            soundness("torch.tensor(" + ALL + ")"),
        ),
    ),
}

# Mutants of the solution that get full marks, and why they may (see coursekit.grading.proof).
EQUIVALENT = {
    "squeeze": (
        Equivalent(
            "return ((torch.arange(height)[:, None] - torch.arange(width)) % 2 == 0)[None]",
            "Sum and difference of whole numbers are odd together.",
        ),
    ),
    "actnorm": (
        Equivalent(
            "std = torch.where(std <= 1e-06, torch.ones_like(std), std)",
            "No deviation is 1e-6 exactly.",
        ),
        Equivalent(
            "std = torch.where(std < 2e-06, torch.ones_like(std), std)",
            "The task's channels are constant or they are not: between 1e-6 and 2e-6 there is none.",
        ),
        Equivalent(
            "std = x.std(dim=(0, 2, 3), correction=1)",
            "The task says variance, not which: the checks take both divisors, N and N - 1.",
        ),
    ),
    "conv": (
        Equivalent(
            "x = columns.reshape(c, b, h, w).transpose(1, 0)",
            "The same two dimensions change places.",
        ),
        Equivalent(
            "columns = z.transpose(1, 0).reshape(c, b * h * w)",
            "The same two dimensions change places.",
        ),
    ),
    "multiscale_log_prob": (
        Equivalent(
            "if i + 1 <= len(flows):",
            "After the last flow both halves are scored by the same normal, split or not.",
        ),
        Equivalent(
            "if i - 1 < len(flows):",
            "After the last flow both halves are scored by the same normal, split or not.",
        ),
        Equivalent(
            "if i < len(flows):",
            "After the last flow both halves are scored by the same normal, split or not.",
        ),
        Equivalent(
            "if 1 < len(flows):",
            "After the last flow both halves are scored by the same normal, split or not.",
        ),
    ),
    "sound": (
        Equivalent(
            "x = 2 / torch.randn(8, dims, generator=generator, dtype=torch.float64)",
            "The task leaves the points to the designer; these are about as far out.",
        ),
        Equivalent(
            "x = torch.randn(8, dims, generator=generator, dtype=torch.float64)",
            "The task leaves the points to the designer; these show the faults, too.",
        ),
        Equivalent(
            "x = 3 * torch.randn(8, dims, generator=generator, dtype=torch.float64)",
            "The task leaves the points to the designer; these show the faults, too.",
        ),
        Equivalent(
            "x = 4 * torch.randn(8, dims, generator=generator, dtype=torch.float64)",
            "The task leaves the points to the designer; these show the faults, too.",
        ),
        Equivalent(
            "x = 2 * torch.randn(9, dims, generator=generator, dtype=torch.float64)",
            "The task leaves the number of points to the designer.",
        ),
        Equivalent(
            "x = 2 * torch.randn(16, dims, generator=generator, dtype=torch.float64)",
            "The task leaves the number of points to the designer.",
        ),
        Equivalent(
            "return all((a.shape == b.shape and torch.allclose(b, a, atol=1e-06) for a, b in pairs))",
            "The relative tolerance is of the other one of two numbers that are nearly equal.",
        ),
        Equivalent(
            "return all((a.shape == b.shape and torch.allclose(a, b, atol=2e-06) for a, b in pairs))",
            "Faults are a thousandth or more, rounding is 1e-12: both tolerances lie between.",
        ),
    ),
}
