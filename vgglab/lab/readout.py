"""What can be read from a network's features by a linear model."""

import torch
from torch import Tensor

from vgglab.arguments import check_integer, needs

_PENALTIES = tuple(10.0**power for power in range(-1, 7))


def readout(features: Tensor, targets: Tensor, *, seed: int = 0, folds: int = 5) -> float:
    """Return how well a linear model reads a target from features that it has not seen.

    Ridge regression, with its penalty chosen within the training part of each fold. Every image is
    predicted once. The features are divided by one number, their standard deviation: scaling each
    by its own would blow up those that are zero for nearly all images.

    Source of the idea: G. Alain and Y. Bengio, "Understanding intermediate layers using linear
    classifier probes", 2016, section 3.

    Parameters
    ----------
    features
        (N, D).
    targets
        (N,): floating-point numbers to be estimated, or integers that name classes.
    seed
        Of the division into folds.
    folds
        Number of parts, each left out once.

    Returns
    -------
    float
        For numbers, the coefficient of determination R²: 1 is perfect, 0 is what their mean gives,
        and less is worse than that. For classes, balanced accuracy: the mean over the classes of
        the share that is recognised; 1 / classes is chance.

    Raises
    ------
    ValueError
        If the shapes do not belong together, if the targets are all the same, or if a class has
        fewer images than there are folds.
    """
    with needs("train"):
        from sklearn.linear_model import RidgeClassifierCV, RidgeCV
        from sklearn.metrics import balanced_accuracy_score, r2_score
        from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

    check_integer("folds", folds, minimum=2)
    if features.dim() != 2 or targets.dim() != 1 or len(features) != len(targets):
        raise ValueError(
            "features and targets must be (N, D) and (N,); got "
            f"{tuple(features.shape)} and {tuple(targets.shape)}"
        )
    values, counts = torch.unique(targets, return_counts=True)
    if len(values) < 2:
        raise ValueError("targets must not all be the same; there is nothing to read")
    numbers = targets.is_floating_point()
    if not numbers and counts.min() < folds:
        raise ValueError(
            f"folds must be at most {counts.min()}, the images of the rarest class; got {folds}"
        )
    parts = (KFold if numbers else StratifiedKFold)(folds, shuffle=True, random_state=seed)
    model = (RidgeCV if numbers else RidgeClassifierCV)(alphas=_PENALTIES)
    score = r2_score if numbers else balanced_accuracy_score
    scaled = features.detach().cpu().double()
    scaled = scaled / scaled.std().clamp_min(torch.finfo(scaled.dtype).tiny)
    x, y = scaled.numpy(), targets.cpu().numpy()
    return float(score(y, cross_val_predict(model, x, y, cv=parts)))
