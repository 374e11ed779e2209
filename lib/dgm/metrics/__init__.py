"""Metrics: figures taken of sets of samples. They see feature arrays, never the model that drew the samples.

- `frechet`: `gaussian_frechet` between two Gaussians, `frechet_distance` between two sets of features
- `features`: `digits_features()`, the shipped classifier of 8x8 digits and the features it sees by
- `coverage`: mode collapse: `class_shares`, `classes_covered`, `class_entropy`, `nearest_distances`
"""

from dgm.metrics.coverage import class_entropy, class_shares, classes_covered, nearest_distances
from dgm.metrics.features import DigitsClassifier, digits_classifier_metadata, digits_features
from dgm.metrics.frechet import frechet_distance, gaussian_frechet

__all__ = [
    "DigitsClassifier",
    "class_entropy",
    "class_shares",
    "classes_covered",
    "digits_classifier_metadata",
    "digits_features",
    "frechet_distance",
    "gaussian_frechet",
    "nearest_distances",
]
