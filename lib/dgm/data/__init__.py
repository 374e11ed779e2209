"""Data: what the models learn from.

- `images`: `ImageSet`; `to_pm1` / `from_pm1` of `dgm.tensor`, between grey levels and [-1, 1]
- `digits`: `load_digits(split)`, 8x8 handwritten digits that need no download; `augment`: `augment_digits`
- `vision`: `mnist`, `fashion_mnist`, `cifar10` from a folder, downloaded when asked
- `toy2d`: points in the plane from exactly known densities
- `shapes`: captioned coloured shapes, scenes and clips, with the oracles that read them
- `batches`: `Batches`, an endless stream of minibatches that can be resumed
"""

from dgm.data import shapes, toy2d
from dgm.data.augment import augment_digits
from dgm.data.batches import Batches
from dgm.data.digits import load_digits
from dgm.data.images import ImageSet
from dgm.data.vision import cifar10, fashion_mnist, mnist
from dgm.tensor import from_pm1, to_pm1

__all__ = [
    "Batches",
    "ImageSet",
    "augment_digits",
    "cifar10",
    "fashion_mnist",
    "from_pm1",
    "load_digits",
    "mnist",
    "shapes",
    "to_pm1",
    "toy2d",
]
