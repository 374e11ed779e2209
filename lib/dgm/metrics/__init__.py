"""Metrics: figures taken of sets of samples. They see feature arrays, never the model that drew the samples.

- `frechet`: `gaussian_frechet` between two Gaussians, `frechet_distance` between two sets of features
- `extrapolate`: `extrapolated_frechet`, the distance for infinitely many samples
- `kernel`: `kernel_distance`, which has no bias, and `subset_kernel_distances`, as publications average it
- `inception`: `class_information` and its exponential, `inception_score`
- `neighbours`: `precision_recall`, `density_coverage`: quality and coverage apart
- `coverage`: mode collapse: `class_shares`, `classes_covered`, `class_entropy`, `nearest_distances`
- `two_sample`: `neighbour_test`, `copying_z`: told apart, or copied?
- `features`: `digits_features()`, the shipped classifier of 8x8 digits and the features it sees by
- `inception_v3`: `inception_v3_features(...)`, torchvision's network for colour images, fetched when asked
- `arrays`: what all of them ask of a feature array
"""

from dgm.metrics.coverage import class_entropy, class_shares, classes_covered, nearest_distances
from dgm.metrics.extrapolate import Extrapolation, extrapolated_frechet
from dgm.metrics.features import DigitsClassifier, digits_classifier_metadata, digits_features
from dgm.metrics.frechet import frechet_distance, gaussian_frechet
from dgm.metrics.inception import class_information, inception_score
from dgm.metrics.inception_v3 import InceptionFeatures, inception_v3_features
from dgm.metrics.kernel import draw_subsets, kernel_distance, subset_kernel_distances
from dgm.metrics.neighbours import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    neighbour_radii,
    precision_recall,
)
from dgm.metrics.two_sample import NeighbourTest, copying_z, neighbour_test

__all__ = [
    "DensityCoverage",
    "DigitsClassifier",
    "Extrapolation",
    "InceptionFeatures",
    "NeighbourTest",
    "PrecisionRecall",
    "class_entropy",
    "class_information",
    "class_shares",
    "classes_covered",
    "copying_z",
    "density_coverage",
    "digits_classifier_metadata",
    "digits_features",
    "draw_subsets",
    "extrapolated_frechet",
    "frechet_distance",
    "gaussian_frechet",
    "inception_score",
    "inception_v3_features",
    "kernel_distance",
    "nearest_distances",
    "neighbour_radii",
    "neighbour_test",
    "precision_recall",
    "subset_kernel_distances",
]
