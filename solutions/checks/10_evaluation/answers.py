"""Wrong answers of 10_evaluation with the hint each must get, and other right ways to write the answers."""

from coursekit.exercises.task import Equivalent, Variant, Wrong

SPREAD = "-torch.xlogy(m, m).sum()"
SCORE = "torch.exp(diversity(logits) + (p * log_p).sum(1).mean())"


def scored(spread: str = SPREAD, score: str = SCORE, mean: str = "p.mean(0)", p: str = "log_p.exp()") -> str:
    """The answer cell of the score with these expressions; `m` is the average distribution."""
    return f"""
def diversity(logits):
    log_p = F.log_softmax(logits, dim=1)
    p = {p}
    m = {mean}
    return {spread}

def inception_score(logits):
    log_p = F.log_softmax(logits, dim=1)
    p = log_p.exp()
    m = p.mean(0)
    return {score}
"""


MOMENTS = "x.mean(0), torch.cov(x.T)"
WHOLE = "(mean_1 - mean_2).square().sum() + torch.trace(cov_1 + cov_2) - 2 * overlap"


def half(cov: str) -> str:
    """A root R with R R^T = cov, by the singular value decomposition."""
    return f"(torch.linalg.svd({cov}).U * torch.linalg.svd({cov}).S.sqrt())"


OVERLAP = f"torch.linalg.svdvals({half('cov_1')}.T @ {half('cov_2')}).sum()"


def gaussian(moments: str = MOMENTS, overlap: str = OVERLAP, whole: str = WHOLE) -> str:
    """The answer cell of the Fréchet distance with these expressions."""
    return f"""
def moments(x):
    return {moments}

def frechet(mean_1, cov_1, mean_2, cov_2):
    product = cov_1 @ cov_2
    overlap = {overlap}
    return {whole}
"""


KERNEL = "(a @ b.T / a.shape[-1] + 1).pow(3)"
WITHIN = "(k.sum() - k.diagonal().sum()) / n / (n - 1)"
TOTAL = "within(x) + within(y) - 2 * kernel(x, y).mean()"


def kernels(kernel: str = KERNEL, within: str = WITHIN, total: str = TOTAL) -> str:
    """The answer cell of the kernel distance with these expressions."""
    return f"""
def kernel(a, b):
    return {kernel}

def kid(x, y):
    def within(a):
        k, n = kernel(a, a), a.shape[0]
        return {within}

    return {total}
"""


RADII = "torch.cdist(points, points).sort(1).values[:, k]"
PRECISION = "in_real.any(0).double().mean()"
RECALL = "in_fake.any(1).double().mean()"
COVERAGE = "in_real.any(1).double().mean()"


def reported(
    radii: str = RADII, precision: str = PRECISION, recall: str = RECALL, coverage: str = COVERAGE
) -> str:
    """The answer cell of the balls with these expressions."""
    return f"""
def radii(points, k):
    return {radii}

def report(x, y, k):
    gaps = torch.cdist(x, y)
    in_real = gaps <= radii(x, k).unsqueeze(1)
    in_fake = gaps <= radii(y, k).unsqueeze(0)
    return {precision}, {recall}, {coverage}
"""


FACTOR = "v.sum() + (h.sum() + h.diagonal().sum()) / 2"
LIMIT = "d_2 - (d_1 - d_2) * n_1 / (n_2 - n_1)"
FAIR = "(c_a - c_b) / (limit_b - limit_a)"


def unlikes(factor: str = FACTOR, limit: str = LIMIT, fair: str = FAIR) -> str:
    """The answer cell of the unlike features; `h` holds the products over the sums."""
    return f"""
def bias_factor(var):
    v = var[var > 0]
    h = v[:, None] * v / (v[:, None] + v)
    D = len(v)
    return {factor}

def limit(d_1, n_1, d_2, n_2):
    return {limit}

def fair_size(limit_a, c_a, limit_b, c_b):
    return {fair}
"""


def answered(bits: float = 0.052, frechet: float = 4615, share: float = 9.2, width: float = 1.5) -> str:
    return f"prediction = dict(bits={bits}, frechet={frechet}, share={share}, width={width})"


NEAREST = "torch.cdist(rows, train).amin(1)"
Z = "(u - n * m / 2) / (n * m * (n + m + 1) / 12) ** 0.5"
WON = "(a[:, None] > b).sum() + 0.5 * (a[:, None] == b).sum()"
COVER = "torch.cat([train[: n // 2], 40 * train.abs().max() * torch.ones_like(train[n // 2 : n])])"
CHANCE = "math.comb(n + m - c, m) / math.comb(n + m, m)"


def copied(
    z: str = Z,
    won: str = WON,
    near: str = NEAREST,
    held: str = "nearest(held_out, train)",
    hide: str = COVER,
    count: str = "(a < b.min()).sum()",
    chance: str = CHANCE,
) -> str:
    """The answer cell of the copier with these expressions."""
    return f"""
def nearest(rows, train):
    return torch.cdist(rows, train).amin(1)

def copying(samples, held_out, train):
    rows, n, m = samples, len(samples), len(held_out)
    a, b = {near}, {held}
    u = float({won})
    return {z}

def hide(train, n):
    return {hide}

def too_near(samples, held_out, train):
    n, m = len(samples), len(held_out)
    a, b = nearest(samples, train), nearest(held_out, train)
    c = int({count})
    return {chance}
"""


EVIDENCE = "torch.logsumexp(log_w, 0) - math.log(len(log_w))"
BITS = "-log_evidence(log_w).mean().item() / dims / math.log(2)"


def bounds(evidence: str = EVIDENCE, bits: str = BITS) -> str:
    """The answer cell of the report with these expressions."""
    return f"""
def log_evidence(log_w):
    K, B = log_w.shape
    return {evidence}

def bits(log_w, dims):
    log_p = log_evidence(log_w)
    return {bits}
"""


SPREADS, SCORES, ZERO = "the entropy of the mean", "the score", "probabilities of zero"
MOMENT, DISTANCE, THIN = "the moments", "the distance", "covariances of low rank"
CUBE, ESTIMATE = "the kernel", "the estimate"
BALLS, PRECISE, RECALLED, COVERED = "the radii", "precision", "recall", "coverage"
BIAS, EXTRAPOLATED, FAIRLY = (
    "the factor of the bias",
    "the limit",
    "the size of a fair comparison",
)
LOST, MOVED, LEAST, WIDTH = (
    "the bits that are lost",
    "the Fréchet distance",
    "the least share",
    "the width of a memory",
)
AVERAGED, SMALL, REPORT = (
    "the weights of an image are averaged",
    "weights as small as an image's",
    "the report",
)
RANKED, TIED = "the score", "a tie is half a pair"
UNSEEN, SO_MANY = "copies that the score does not see", "the chance of so many"

WRONG = {
    "scores": (
        Wrong(
            "the doubt",
            scored(
                spread="-(p * log_p).sum(1).mean()",
                score=f"{SCORE} / diversity(logits).exp() * torch.exp(-torch.xlogy(m, m).sum())",
            ),
            "mean of the entropies",
            fails=(SPREADS,),
        ),
        Wrong(
            "in bits",
            scored(
                f"{SPREAD} / math.log(2)", "torch.exp(-torch.xlogy(m, m).sum() + (p * log_p).sum(1).mean())"
            ),
            "This is in bits",
            fails=(SPREADS,),
        ),
        Wrong(
            "mean of the logarithms",
            scored(
                mean="log_p.mean(0).exp().clamp_min(1e-300)",
                score="torch.exp(-torch.xlogy(m, m).sum() + (p * log_p).sum(1).mean())",
            ),
            "does not sum to 1",
            fails=(SPREADS,),
        ),
        Wrong(
            "softmax of the mean logits",
            scored(
                mean="log_p.mean(0).softmax(0)",
                score="torch.exp(-torch.xlogy(m, m).sum() + (p * log_p).sum(1).mean())",
            ),
            "a geometric mean",
            fails=(SPREADS,),
        ),
        Wrong(
            "votes",
            scored(
                mean="F.one_hot(p.argmax(1), p.shape[1]).to(p).mean(0)",
                score="torch.exp(-torch.xlogy(m, m).sum() + (p * log_p).sum(1).mean())",
            ),
            "counts the most likely classes",
            fails=(SPREADS,),
        ),
        Wrong("diversity alone", scored(score="diversity(logits).exp()"), "diversity alone", fails=(SCORES,)),
        Wrong(
            "doubt alone",
            scored(score="torch.exp(-(p * log_p).sum(1).mean())"),
            "doubt alone",
            fails=(SCORES,),
        ),
        Wrong("negative exponent", scored(score=f"1 / ({SCORE})"), "This is its inverse", fails=(SCORES,)),
        Wrong("no exponential", scored(score=f"({SCORE}).log()"), "mutual information", fails=(SCORES,)),
        Wrong("base 2", scored(score=f"2 ** ({SCORE}).log()"), "to base e, not 2", fails=(SCORES,)),
        Wrong(
            "bits and base e",
            scored(score=f"(({SCORE}).log() / math.log(2)).exp()"),
            "One base for both",
            fails=(SCORES,),
        ),
        Wrong(
            "against the mean of the logarithms",
            scored(score="torch.exp((p * (log_p - log_p.mean(0).log_softmax(0))).sum(1).mean())"),
            "then take the logarithm",
            fails=(SCORES,),
        ),
        Wrong(
            "against equal classes",
            scored(score="p.shape[1] * torch.exp((p * log_p).sum(1).mean())"),
            "You compare with equal classes",
            fails=(SCORES,),
        ),
        Wrong(
            "exp before the mean",
            scored(score="(torch.xlogy(p, p) - torch.xlogy(p, m)).sum(1).exp().mean()"),
            "sample by sample",
            fails=(SCORES,),
        ),
        Wrong(
            "mean over the classes, too",
            scored(score="torch.exp((torch.xlogy(p, p) - torch.xlogy(p, m)).mean())"),
            "divided by the number of classes",
            fails=(SCORES,),
        ),
        Wrong(
            "zero times minus infinity",
            scored(
                spread="-(m * m.log()).sum()",
                score="torch.exp(diversity(logits) + (p * p.log()).sum(1).mean())",
            ),
            "torch.xlogy",
            fails=(ZERO,),
        ),
    ),
    "frechet": (
        Wrong(
            "over N", gaussian(moments="x.mean(0), torch.cov(x.T, correction=0)"), "N - 1", fails=(MOMENT,)
        ),
        Wrong(
            "not centred",
            gaussian(moments="x.mean(0), x.T @ x / (len(x) - 1)"),
            "N - 1 does not help",
            fails=(MOMENT,),
        ),
        Wrong(
            "not divided",
            gaussian(moments="x.mean(0), (x - x.mean(0)).T @ (x - x.mean(0))"),
            "Nothing is divided",
            fails=(MOMENT,),
        ),
        Wrong(
            "variances only",
            gaussian(moments="x.mean(0), x.var(0).diag()"),
            "variances alone. The features",
            fails=(MOMENT,),
        ),
        Wrong(
            "correlations",
            gaussian(moments="x.mean(0), torch.corrcoef(x.T)"),
            "correlations",
            fails=(MOMENT,),
        ),
        Wrong(
            "means not squared",
            gaussian(whole=WHOLE.replace(".square().sum()", ".norm()")),
            "is to be squared",
            fails=(DISTANCE,),
        ),
        Wrong(
            "means averaged",
            gaussian(whole=WHOLE.replace(".square().sum()", ".square().mean()")),
            "averaged over the features",
            fails=(DISTANCE,),
        ),
        Wrong(
            "no means",
            gaussian(whole="torch.trace(cov_1 + cov_2) - 2 * overlap"),
            "The means do not occur",
            fails=(DISTANCE,),
        ),
        Wrong(
            "no factor 2",
            gaussian(whole=WHOLE.replace("2 * overlap", "overlap")),
            "factor 2",
            fails=(DISTANCE,),
        ),
        Wrong(
            "overlap added",
            gaussian(whole=WHOLE.replace("- 2 *", "+ 2 *")),
            "last trace is added",
            fails=(DISTANCE,),
        ),
        Wrong(
            "root of every entry",
            gaussian(overlap="product.abs().sqrt().trace()"),
            "root of every entry",
            fails=(DISTANCE,),
        ),
        Wrong(
            "variances of correlated features",
            gaussian(overlap="(cov_1.diagonal() * cov_2.diagonal()).sqrt().sum()"),
            "as if nothing were correlated",
            fails=(DISTANCE,),
        ),
        Wrong(
            "roots one by one",
            gaussian(overlap="(root(cov_1) @ root(cov_2)).trace()")
            + """
def root(cov):
    vectors, values, _ = torch.linalg.svd(cov)
    return vectors * values.sqrt() @ vectors.T
""",
            "taken one by one",
            fails=(DISTANCE,),
        ),
        Wrong("no root", gaussian(overlap="product.trace()"), "The root is missing", fails=(DISTANCE,)),
        Wrong(
            "root of the trace",
            gaussian(overlap="product.trace().sqrt()"),
            "root of the trace",
            fails=(DISTANCE,),
        ),
        Wrong(
            "not squared", gaussian(whole=f"({WHOLE}).sqrt()"), "the root of the distance", fails=(DISTANCE,)
        ),
        Wrong(
            "singular values of the product",
            gaussian(overlap="torch.linalg.svdvals(product).sqrt().sum()"),
            "singular values of the product",
            fails=(DISTANCE,),
        ),
        Wrong(
            "one triangle of the product",
            gaussian(overlap="torch.linalg.eigvalsh(product).clamp_min(0).sqrt().sum()"),
            "one triangle only",
            fails=(DISTANCE,),
        ),
        Wrong(
            "Cholesky",
            gaussian(
                overlap="torch.linalg.svdvals(torch.linalg.cholesky(cov_1).T @ "
                "torch.linalg.cholesky(cov_2)).sum()"
            ),
            "stopped with an error",
            fails=(THIN,),
        ),
        Wrong(
            "no clamp",
            gaussian(overlap="torch.linalg.eigvalsh(R.T @ cov_2 @ R).sqrt().sum()").replace(
                "    overlap",
                "    e, v = torch.linalg.eigh(cov_1)\n    R = v * e.clamp_min(0).sqrt()\n    overlap",
            ),
            "clamp before the root",
            fails=(THIN,),
        ),
        Wrong(
            "gives up",
            gaussian(overlap=f"{OVERLAP} if torch.linalg.matrix_rank(product) == len(product) else 0.0"),
            "comes out as 0",
            fails=(THIN,),
        ),
    ),
    "kid": (
        Wrong("no 1", kernels("(a @ b.T / a.shape[-1]).pow(3)"), "The 1 is missing", fails=(CUBE,)),
        Wrong("no 1/D", kernels("(a @ b.T + 1).pow(3)"), "number of features is missing", fails=(CUBE,)),
        Wrong("no cube", kernels("a @ b.T / a.shape[-1] + 1"), "The cube is missing", fails=(CUBE,)),
        Wrong("square", kernels("(a @ b.T / a.shape[-1] + 1).pow(2)"), "This is a square", fails=(CUBE,)),
        Wrong(
            "1 inside", kernels("((a @ b.T + 1) / a.shape[-1]).pow(3)"), "divided by D as well", fails=(CUBE,)
        ),
        Wrong(
            "root of D",
            kernels("(a @ b.T / a.shape[-1] ** 0.5 + 1).pow(3)"),
            "as attention does",
            fails=(CUBE,),
        ),
        Wrong(
            "rows for D",
            kernels("(a @ b.T / a.shape[0] + 1).pow(3)"),
            "divide by the number of rows",
            fails=(CUBE,),
        ),
        Wrong("1 outside", kernels("(a @ b.T / a.shape[-1]).pow(3) + 1"), "after the cube", fails=(CUBE,)),
        Wrong("diagonal", kernels(within="k.mean()"), "diagonals are still in", fails=(ESTIMATE,)),
        Wrong(
            "N squared",
            kernels(within="(k.sum() - k.trace()) / n**2"),
            "N² still counts them",
            fails=(ESTIMATE,),
        ),
        Wrong("in the sum", kernels(within="k.sum() / (n * (n - 1))"), "still in the sum", fails=(ESTIMATE,)),
        Wrong(
            "half of the pairs",
            kernels(within="k.triu(1).sum() / (n * (n - 1))"),
            "half as many",
            fails=(ESTIMATE,),
        ),
        Wrong(
            "cross term once",
            kernels(total="within(x) + within(y) - kernel(x, y).mean()"),
            "counts twice",
            fails=(ESTIMATE,),
        ),
        Wrong(
            "cross term added",
            kernels(total="within(x) + within(y) + 2 * kernel(x, y).mean()"),
            "is added",
            fails=(ESTIMATE,),
        ),
        Wrong(
            "diagonal in y",
            kernels(total="within(x) + kernel(y, y).mean() - 2 * kernel(x, y).mean()"),
            "for x only",
            fails=(ESTIMATE,),
        ),
        Wrong(
            "rows paired",
            kernels(total="within(x) + within(y) - 2 * kernel(x, y).diagonal().mean()"),
            "not only those of the same row",
            fails=(ESTIMATE,),
        ),
        Wrong("root", kernels(total=f"({TOTAL}).abs().sqrt()"), "This is a root", fails=(ESTIMATE,)),
    ),
    "balls": (
        Wrong(
            "itself",
            reported(radii="torch.cdist(points, points).sort(1).values[:, k - 1]"),
            "counted as its nearest neighbour",
            fails=(BALLS,),
        ),
        Wrong(
            "one too far",
            reported(radii="torch.cdist(points, points).sort(1).values[:, k + 1]"),
            "One too far",
            fails=(BALLS,),
        ),
        Wrong("squared", reported(radii=f"{RADII} ** 2"), "squared distances", fails=(BALLS,)),
        Wrong(
            "mean radius",
            reported(radii=f"{RADII}.mean().expand(len(points))"),
            "one radius for all",
            fails=(BALLS,),
        ),
        Wrong(
            "mean of the neighbours",
            reported(radii="torch.cdist(points, points).sort(1).values[:, 1 : k + 1].mean(1)"),
            "mean distance to the k nearest",
            fails=(BALLS,),
        ),
        Wrong(
            "samples' own balls",
            reported(precision="in_fake.any(0).double().mean()"),
            "asks the samples' own balls",
            fails=(PRECISE,),
        ),
        Wrong(
            "precision counts balls",
            reported(precision=COVERAGE),
            "This counts real balls",
            fails=(PRECISE,),
        ),
        Wrong(
            "precision of pairs",
            reported(precision="in_real.double().mean()"),
            "Precision is no share of pairs",
            fails=(PRECISE,),
        ),
        Wrong("real balls", reported(recall=COVERAGE), "is the coverage then", fails=(RECALLED,)),
        Wrong(
            "recall of pairs",
            reported(recall="in_fake.double().mean()"),
            "Recall is no share of pairs",
            fails=(RECALLED,),
        ),
        Wrong(
            "recall counts balls",
            reported(recall="in_fake.any(0).double().mean()"),
            "This counts samples' balls",
            fails=(RECALLED,),
        ),
        Wrong(
            "exchanged",
            reported(precision=RECALL, recall=PRECISION),
            "This is the recall: precision",
            fails=(PRECISE, RECALLED),
        ),
        Wrong(
            "coverage of pairs",
            reported(coverage="in_real.double().mean()"),
            "share of all pairs",
            fails=(COVERED,),
        ),
        Wrong(
            "coverage is precision",
            reported(coverage=PRECISION),
            "a share of the samples. Coverage",
            fails=(COVERED,),
        ),
        Wrong(
            "coverage is recall", reported(coverage=RECALL), "This is the recall. Coverage", fails=(COVERED,)
        ),
    ),
    "unlike": (
        Wrong("mean only", unlikes("v.sum()"), "That is what the mean adds", fails=(BIAS,)),
        Wrong(
            "covariances only",
            unlikes("(h.sum() + h.trace()) / 2"),
            "That is what the covariances add",
            fails=(BIAS,),
        ),
        Wrong(
            "diagonal like the rest",
            unlikes("v.sum() + h.sum() / 2"),
            "averages fourth powers",
            fails=(BIAS,),
        ),
        Wrong("no half", unlikes("v.sum() + h.sum() + h.trace()"), "The ½ in front", fails=(BIAS,)),
        Wrong(
            "pairs once",
            unlikes("v.sum() + h.triu(1).sum() / 2 + h.trace()"),
            "You count it once",
            fails=(BIAS,),
        ),
        Wrong("diagonal only", unlikes("v.sum() + h.trace()"), "diagonal only", fails=(BIAS,)),
        Wrong(
            "mean variance",
            unlikes("v.mean() * (D + D * (D + 1) / 4)"),
            "times the mean variance",
            fails=(BIAS,),
        ),
        Wrong("variance one", unlikes("D + D * (D + 1) / 4"), "for variances of one", fails=(BIAS,)),
        Wrong("both sides", unlikes(f"2 * ({FACTOR})"), "Both sides would have", fails=(BIAS,)),
        Wrong(
            "deviations",
            unlikes(FACTOR).replace("v = var[var > 0]", "v = var[var > 0] ** 2"),
            "as standard deviations",
            fails=(BIAS,),
        ),
        Wrong(
            "weights exchanged",
            unlikes(limit="(n_1 * d_2 - n_2 * d_1) / (n_1 - n_2)"),
            "The larger sample counts more",
            fails=(EXTRAPOLATED,),
        ),
        Wrong("mean", unlikes(limit="(d_1 + d_2) / 2"), "a mean of the two. The", fails=(EXTRAPOLATED,)),
        Wrong(
            "weighted mean",
            unlikes(limit="(n_1 * d_1 + n_2 * d_2) / (n_1 + n_2)"),
            "a mean of the two with weights",
            fails=(EXTRAPOLATED,),
        ),
        Wrong(
            "slope", unlikes(limit="(d_1 - d_2) / (1 / n_1 - 1 / n_2)"), "the slope c", fails=(EXTRAPOLATED,)
        ),
        Wrong(
            "squares of N",
            unlikes(limit="(n_1**2 * d_1 - n_2**2 * d_2) / (n_1**2 - n_2**2)"),
            "a line in 1 / N²",
            fails=(EXTRAPOLATED,),
        ),
        Wrong("sign of N", unlikes(fair=f"-{FAIR}"), "sign is the wrong way", fails=(FAIRLY,)),
        Wrong("upside down", unlikes(fair=f"1 / ({FAIR})"), "That is 1 / N", fails=(FAIRLY,)),
        Wrong(
            "factors added",
            unlikes(fair="(c_a + c_b) / (limit_b - limit_a)"),
            "factors are added",
            fails=(FAIRLY,),
        ),
        Wrong(
            "bias of a only",
            unlikes(fair="c_a / (limit_b - limit_a)"),
            "bias of b is left out",
            fails=(FAIRLY,),
        ),
        Wrong("rounded", unlikes(fair=f"math.ceil({FAIR})"), "not rounded", fails=(FAIRLY,)),
    ),
    "likely": (
        Wrong("nats per image", answered(bits=2.3026), "per image, in nats", fails=(LOST,)),
        Wrong("per image", answered(bits=3.3219), "That is per image. Divide", fails=(LOST,)),
        Wrong("nats", answered(bits=0.03598), "That is in nats. A nat", fails=(LOST,)),
        Wrong("times log 2", answered(bits=0.02494), "multiplied by log 2", fails=(LOST,)),
        Wrong("share of the noise", answered(bits=0.002375), "a share of 0.9 costs", fails=(LOST,)),
        Wrong("noise alone", answered(frechet=5184), "the noise alone", fails=(MOVED,)),
        Wrong("mean distance", answered(frechet=4665.6), "mean of the two distances", fails=(MOVED,)),
        Wrong("one direction", answered(frechet=72.12), "in one direction", fails=(MOVED,)),
        Wrong("mean deviation", answered(frechet=4199), "mixes the standard deviations", fails=(MOVED,)),
        Wrong("variances compared", answered(frechet=508084), "compares the variances", fails=(MOVED,)),
        Wrong("root of it", answered(frechet=67.94), "That is a root", fails=(MOVED,)),
        Wrong("power of two", answered(share=30.72), "the power of 2", fails=(LEAST,)),
        Wrong("power of e", answered(share=21.29), "in nats: λ", fails=(LEAST,)),
        Wrong("sign", answered(share=-9.25), "with a positive r", fails=(LEAST,)),
        Wrong("nats per dimension", answered(share=13.34), "They are bits", fails=(LEAST,)),
        Wrong("variance", answered(width=2.25), "That is the variance", fails=(WIDTH,)),
        Wrong("whole distance", answered(width=12), "shared by 64 pixels", fails=(WIDTH,)),
        Wrong("over the pixels", answered(width=0.1875), "Divide the square by it", fails=(WIDTH,)),
        Wrong("sharp", answered(width=0), "The smaller, the sharper", fails=(WIDTH,)),
    ),
    "bits": (
        Wrong("sum", bounds("torch.logsumexp(log_w, 0)"), "log of the sum", fails=(AVERAGED,)),
        Wrong("mean of the logs", bounds("log_w.mean(0)"), "the ELBO", fails=(AVERAGED,)),
        Wrong(
            "number of images",
            bounds("torch.logsumexp(log_w, 0) - math.log(B)"),
            "divide by the number of images",
            fails=(AVERAGED,),
        ),
        Wrong(
            "log K added",
            bounds("torch.logsumexp(log_w, 0) + math.log(K)"),
            "log K is added",
            fails=(AVERAGED,),
        ),
        Wrong(
            "over K",
            bounds("torch.logsumexp(log_w, 0) / K"),
            "The logarithm is divided by K",
            fails=(AVERAGED,),
        ),
        Wrong("less K", bounds("torch.logsumexp(log_w, 0) - K"), "K itself comes off", fails=(AVERAGED,)),
        Wrong("the largest", bounds("log_w.max(0).values"), "largest weight alone", fails=(AVERAGED,)),
        Wrong("exp first", bounds("log_w.exp().mean(0).log()"), "log 0 is minus infinity", fails=(SMALL,)),
        Wrong(
            "mean inside",
            bounds(bits="-(log_p.logsumexp(0) - math.log(len(log_p))) / (dims * math.log(2))"),
            "The mean over images is inside",
            fails=(REPORT,),
        ),
        Wrong(
            "log 2 above the line",
            bounds(bits="-log_p.mean() / dims * math.log(2)"),
            "log 2 is above the line",
            fails=(REPORT,),
        ),
        Wrong(
            "report as given",
            bounds(bits="-(log_p.logsumexp(0) - math.log(len(log_p))) / dims * math.log(2)"),
            "two slips are left",
            fails=(REPORT,),
        ),
        Wrong("nats", bounds(bits="-log_p.mean() / dims"), "nats per dimension", fails=(REPORT,)),
        Wrong("per image", bounds(bits="-log_p.mean() / math.log(2)"), "bits per image", fails=(REPORT,)),
        Wrong("sign", bounds(bits="log_p.mean() / dims / math.log(2)"), "sign is the wrong", fails=(REPORT,)),
        Wrong(
            "images added",
            bounds(bits="-log_p.sum() / dims / math.log(2)"),
            "adds up the images",
            fails=(REPORT,),
        ),
    ),
    "copies": (
        Wrong(
            "nearer counted",
            copied(won="(a[:, None] < b).sum() + 0.5 * (a[:, None] == b).sum()"),
            "in which the sample is the farther one",
            fails=(RANKED,),
        ),
        Wrong("U", copied("u"), "This is U itself", fails=(RANKED,)),
        Wrong("not standardised", copied("u - n * m / 2"), "This is U less its mean", fails=(RANKED,)),
        Wrong("share of pairs", copied("u / (n * m)"), "share of the pairs", fails=(RANKED,)),
        Wrong(
            "variance below", copied(Z.replace(" ** 0.5", "")), "You divide by the variance", fails=(RANKED,)
        ),
        Wrong(
            "without the one",
            copied(Z.replace("(n + m + 1)", "(n + m)")),
            "N + M + 1 in it",
            fails=(RANKED,),
        ),
        Wrong(
            "independent pairs",
            copied("(u - n * m / 2) / (n * m / 4) ** 0.5"),
            "with a common member are not independent",
            fails=(RANKED,),
        ),
        Wrong(
            "mean distance",
            copied(near="torch.cdist(rows, train).mean(1)", held="torch.cdist(held_out, train).mean(1)"),
            "mean distances to all training rows",
            fails=(RANKED,),
        ),
        Wrong(
            "to the held-out rows",
            copied(near="nearest(samples, held_out)"),
            "are those to the held-out rows",
            fails=(RANKED, TIED),
        ),
        Wrong(
            "to each other",
            copied(near="nearest(samples, held_out)", held="nearest(held_out, samples)"),
            "You compare the two sets with each other",
            fails=(RANKED,),
        ),
        Wrong(
            "from the training rows",
            copied(
                "(u - len(a) * len(b) / 2) / (len(a) * len(b) * (len(a) + len(b) + 1) / 12) ** 0.5",
                near="nearest(train, samples)",
                held="nearest(train, held_out)",
            ),
            "from the training rows to the others",
            fails=(RANKED,),
        ),
        Wrong(
            "test of the means",
            copied("float((a.mean() - b.mean()) / (a.var() / n + b.var() / m).sqrt())"),
            "compares means of distances",
            fails=(RANKED,),
        ),
        Wrong("ties count", copied(won="(a[:, None] >= b).sum()"), ">= where > is meant", fails=(TIED,)),
        Wrong("ties left out", copied(won="(a[:, None] > b).sum()"), "You leave it out", fails=(TIED,)),
        Wrong(
            "copies only",
            copied(hide="train[:n].clone()"),
            "All of them are copies",
            fails=(UNSEEN,),
        ),
        Wrong(
            "noise on the copies",
            copied(hide="train[:n] + 1e-6"),
            "but none is one",
            fails=(UNSEEN,),
        ),
        Wrong(
            "too few copies",
            copied(hide="torch.cat([train[: n // 4], train[n // 4 : n] + 1e7])"),
            "It should be 40 %",
            fails=(UNSEEN,),
        ),
        Wrong(
            "too few far away",
            copied(hide="torch.cat([train[: 4 * n // 5], train[4 * n // 5 : n] + 1e7])"),
            "the copies outweigh the rest",
            fails=(UNSEEN,),
        ),
        Wrong(
            "too many far away",
            copied(hide="torch.cat([train[: 2 * n // 5], train[2 * n // 5 : n] + 1e7])"),
            "the others outweigh the copies",
            fails=(UNSEEN,),
        ),
        Wrong("count", copied(chance="c"), "This is the count", fails=(SO_MANY,)),
        Wrong("surprise", copied(chance=f"1 - {CHANCE}"), "1 minus the probability", fails=(SO_MANY,)),
        Wrong(
            "exactly",
            copied(chance=f"{CHANCE} * m / (n + m - c)"),
            "of this count exactly",
            fails=(SO_MANY,),
        ),
        Wrong(
            "more than there are",
            copied(count="(a < b.min()).sum() + 1"),
            "of more than there are",
            fails=(SO_MANY,),
        ),
        Wrong("put back", copied(chance="(n / (n + m)) ** c"), "You put each sample back", fails=(SO_MANY,)),
        Wrong(
            "chosen beforehand",
            copied(chance="1 / math.comb(m + c, c)"),
            "chosen beforehand",
            fails=(SO_MANY,),
        ),
        Wrong(
            "independent samples",
            copied(chance="(1 / (m + 1)) ** c"),
            "The samples are not independent",
            fails=(SO_MANY,),
        ),
        Wrong(
            "binomial",
            copied(
                chance="sum(math.comb(n, k) * (1 / (m + 1)) ** k * (m / (m + 1)) ** (n - k) "
                "for k in range(c, n + 1))"
            ),
            "a binomial tail",
            fails=(SO_MANY,),
        ),
        Wrong(
            "exchanged",
            copied(chance="math.prod((m - i) / (n + m - i) for i in range(c))"),
            "are exchanged in it",
            fails=(SO_MANY,),
        ),
        Wrong(
            "nearer than the farthest",
            copied(count="(a < b.max()).sum()"),
            "than the farthest held-out row",
            fails=(SO_MANY,),
        ),
        Wrong(
            "nearer than the median",
            copied(count="(a < b.median()).sum()"),
            "than the median held-out row",
            fails=(SO_MANY,),
        ),
        Wrong("share", copied(chance="c / n"), "the share of the samples", fails=(SO_MANY,)),
    ),
}

VARIANTS = {
    "scores": (
        Variant("log_softmax", scored()),
        Variant(
            "mean KL with logsumexp",
            """
def diversity(logits):
    log_m = logits.log_softmax(1).logsumexp(0) - math.log(logits.shape[0])
    return -(log_m.exp() * log_m).sum()

def inception_score(logits):
    log_p = logits.log_softmax(1)
    log_m = log_p.logsumexp(0) - math.log(logits.shape[0])
    return (log_p.exp() * (log_p - log_m)).sum(1).mean().exp()
""",
        ),
        Variant(
            "torch.special.entr",
            """
def diversity(logits):
    return torch.special.entr(torch.softmax(logits, -1).mean(0)).sum().item()

def inception_score(logits):
    each = torch.special.entr(torch.softmax(logits, -1)).sum(-1)
    return math.exp(diversity(logits) - each.mean().item())
""",
        ),
    ),
    "frechet": (
        Variant("singular values", gaussian()),
        Variant(
            "complex eigenvalues of the product",
            gaussian(overlap="torch.linalg.eigvals(product).sqrt().real.sum()"),
        ),
        Variant(
            "symmetric root",
            """
def moments(x):
    centred = x - x.mean(0)
    return x.mean(0), torch.einsum("ni,nj->ij", centred, centred) / (x.shape[0] - 1)

def frechet(mean_1, cov_1, mean_2, cov_2):
    def root(cov):
        values, vectors = torch.linalg.eigh(cov)
        return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T

    r = root(cov_1)
    gap = mean_1 - mean_2
    return gap @ gap + torch.trace(cov_1 + cov_2 - 2 * root(r @ cov_2 @ r))
""",
        ),
    ),
    "kid": (
        Variant("nested function", kernels()),
        Variant(
            "masked",
            """
def kernel(a, b):
    scaled = torch.einsum("id,jd->ij", a, b) / a.size(1)
    return (scaled + 1) * (scaled + 1) ** 2

def kid(x, y):
    total = -2 * kernel(x, y).mean()
    for z in (x, y):
        off = ~torch.eye(len(z), dtype=torch.bool)
        total = total + kernel(z, z)[off].mean()
    return total
""",
        ),
    ),
    "balls": (
        Variant("sorted", reported()),
        Variant(
            "topk, and one point after the other",
            """
def radii(points, k):
    return torch.cdist(points, points).topk(k + 1, dim=1, largest=False).values[:, -1]

def report(x, y, k):
    r_x, r_y = radii(x, k), radii(y, k)
    far = (x[:, None] - y[None]).norm(dim=-1)
    precision = sum(bool((far[:, j] <= r_x).any()) for j in range(len(y))) / len(y)
    recall = sum(bool((far[i] <= r_y).any()) for i in range(len(x))) / len(x)
    coverage = sum(bool((far[i] <= r_x[i]).any()) for i in range(len(x))) / len(x)
    return precision, recall, coverage
""",
        ),
        Variant("nearest sample", reported(coverage="(gaps.min(1).values <= radii(x, k)).double().mean()")),
    ),
    "unlike": (
        Variant("without the silent ones", unlikes()),
        Variant(
            "in loops",
            """
def bias_factor(var):
    lam = [float(v) for v in var]
    c = sum(lam)
    for i, a in enumerate(lam):
        c += a / 2
        for b in lam[:i]:
            c += a * b / (a + b) if a + b else 0
    return c

def limit(d_1, n_1, d_2, n_2):
    c = (d_1 - d_2) * n_1 * n_2 / (n_2 - n_1)
    return d_1 - c / n_1

def fair_size(limit_a, c_a, limit_b, c_b):
    return (c_b - c_a) / (limit_a - limit_b)
""",
        ),
    ),
    "likely": (
        Variant("rounded", answered()),
        Variant("to the digit", answered(0.051905, 4615.41, 9.2477, 1.5)),
    ),
    "bits": (
        Variant("logsumexp", bounds()),
        Variant(
            "the largest taken out by hand",
            """
def log_evidence(log_w):
    top = log_w.max(dim=0).values
    return top + (log_w - top).exp().mean(dim=0).log()

def bits(log_w, dims):
    return -(log_evidence(log_w) / math.log(2)).sum() / (dims * log_w.shape[1])
""",
        ),
    ),
    "copies": (
        Variant("combinations", copied()),
        Variant(
            "ranks and logarithms",
            """
def gaps(rows, train):
    return (rows[:, None] - train).norm(dim=-1).min(1).values

def copying(samples, held_out, train):
    near, n, m = gaps(torch.cat([samples, held_out]), train), len(samples), len(held_out)
    table = near[:, None] - near
    ranks = ((table > 0).double() + (table == 0).double() / 2).sum(1) + 0.5
    return (ranks[:n].sum() - n * (n + m + 1) / 2) / math.sqrt(n * m * (n + m + 1) / 12)

def hide(train, n):
    rows = train[torch.arange(n) % len(train)].clone()
    rows[::2] = train.mean(0) + 30 * (train.amax(0) - train.amin(0))
    return rows

def too_near(samples, held_out, train):
    n, m = len(samples), len(held_out)
    c = int((gaps(samples, train) < gaps(held_out, train).min()).sum())
    log = math.lgamma(n + 1) - math.lgamma(n - c + 1) + math.lgamma(n + m - c + 1) - math.lgamma(n + m + 1)
    return math.exp(log)
""",
        ),
        Variant(
            "a little over forty per cent",
            copied(
                hide="torch.cat([train[: math.ceil(0.45 * n)], "
                "train[: n - 2 * math.ceil(0.45 * n)] * 1.001, "
                "train[: math.ceil(0.45 * n)] + 60 * train.std(0)])"
            ),
        ),
    ),
}

# Mutants of the solution that get full marks, and why they may (see coursekit.grading.proof).
EQUIVALENT = {
    "frechet": (
        Equivalent(
            "return (mean, (x - mean).T @ (x + mean) / (len(x) - 1))",
            "The deviations sum to zero, so what is added to the other factor falls out.",
        ),
        Equivalent(
            "return (mean, (x - mean).T @ x / (len(x) - 1))",
            "The deviations sum to zero, so what is added to the other factor falls out.",
        ),
        Equivalent(
            "return (mean, (x + mean).T @ (x - mean) / (len(x) - 1))",
            "The deviations sum to zero, so what is added to the other factor falls out.",
        ),
        Equivalent(
            "return (mean, x.T @ (x - mean) / (len(x) - 1))",
            "The deviations sum to zero, so what is added to the other factor falls out.",
        ),
    ),
    "kid": (
        Equivalent(
            "return among(x) + among(y) - 2 * kernel(y, x).mean()",
            "The kernel is symmetric: the table transposed has the same mean.",
        ),
    ),
    "balls": (
        Equivalent(
            "around_x = apart < radii(x, k)[:, None]",
            "A sample lies on a ball's surface with probability zero.",
        ),
        Equivalent(
            "around_y = apart < radii(y, k)[None, :]",
            "A real point lies on a ball's surface with probability zero.",
        ),
    ),
    "unlike": (
        Equivalent(
            "pairs = torch.where(total >= 0, product / total.clamp_min(1e-300), 0)",
            "Where the total is 0 so is the product, and 0 / 1e-300 is 0.",
        ),
        Equivalent(
            "pairs = torch.where(total > 0, product / total.clamp_min(2e-300), 0)",
            "Both bounds are far below every variance.",
        ),
    ),
    "likely": (
        Equivalent(
            "prediction = {'bits': 0.0519, 'frechet': 4616, 'share': 9.25, 'width': 1.5}",
            "Within the tolerance that the task states.",
        ),
    ),
    "copies": (
        Equivalent(
            "far = train[n // 2:n] - 100 * train.std()",
            "As far away, on the other side.",
        ),
        Equivalent(
            "far = train[n // 2:n] + 101 * train.std()",
            "As far away as it needs to be.",
        ),
        Equivalent(
            "far = train[n // 2:n] + 200 * train.std()",
            "As far away as it needs to be.",
        ),
        Equivalent(
            "farther = (a[:, None] > b).sum() + (a[:, None] == b).double().sum() / 2",
            "torch counts truths in whole numbers, too.",
        ),
        Equivalent(
            "farther = (a[:, None] > b).double().sum() + (a[:, None] == b).sum() / 2",
            "torch counts truths in whole numbers, too.",
        ),
        Equivalent(
            "count = int((a <= b.min()).sum())",
            "Two distances are equal with probability zero.",
        ),
    ),
}
