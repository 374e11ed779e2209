"""Two-dimensional densities that can be sampled and evaluated exactly.

Each is a frozen dataclass with ``sample(n, generator)``, ``log_prob(x)`` in nats, ``score(x)`` (the
gradient of the log-density; the checkerboard has none), a ``name`` and plot ``bounds``. Data lie in about
[-3, 3].

- ``mixture``       GaussianMixture (also ``.ring``, ``.grid``, ``posterior``, ``diffused``)
- ``curves``        TwoMoons, Spirals: a curve plus Gaussian noise, the density by quadrature
- ``rings``         Rings: circles plus Gaussian noise, the density by a Bessel function
- ``pinwheel``      Pinwheel: Gaussians bent by a volume-preserving twist
- ``checkerboard``  Checkerboard: uniform on every second square
- ``base``          Density2D (what all of them offer) and lattice (points for a picture)
"""

from dgm.data.toy2d.base import Bounds, Density2D, lattice
from dgm.data.toy2d.checkerboard import Checkerboard
from dgm.data.toy2d.curves import Spirals, TwoMoons
from dgm.data.toy2d.mixture import GaussianMixture
from dgm.data.toy2d.pinwheel import Pinwheel
from dgm.data.toy2d.rings import Rings

__all__ = [
    "Bounds",
    "Checkerboard",
    "Density2D",
    "GaussianMixture",
    "Pinwheel",
    "Rings",
    "Spirals",
    "TwoMoons",
    "lattice",
]
