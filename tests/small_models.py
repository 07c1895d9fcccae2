"""Small classifiers of images, for tests of what is asked of a model."""
import torch
from torch import nn

from xai_repro.zoo.models import Classifier, Preprocessing

SIZE = 32      # side of the images, pixels


def random_image(seed: int = 0, size: int = SIZE) -> torch.Tensor:
    """An image [3, size, size] of independent pixels in [0, 1]."""
    return torch.rand(3, size, size, generator=torch.Generator().manual_seed(seed))


def small_network(seed: int, n_classes: int = 3) -> nn.Module:
    """A convolutional network with a map, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = (nn.Conv2d(3, 4, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                  nn.Linear(4, n_classes))
    return nn.Sequential(*layers).eval()


def small_classifier(seed: int = 1, weights: str = "") -> Classifier:
    """A classifier of three classes by `small_network`."""
    half = (.5, .5, .5)
    return Classifier(
        "small", small_network(seed), Preprocessing(half, half), SIZE, list("abc"),
        torch.device("cpu"), weights=weights)


def image_scores(images: torch.Tensor) -> torch.Tensor:
    """Three scores, each image by itself: independent of the batch to the last bit."""
    return torch.stack([(image.double()**2).mean((1, 2)) for image in images])
