"""Value functions of few features, given by a table of their scores."""
import numpy as np

from xai_repro.value import MaskFunction


def numbers_of(masks: np.ndarray) -> np.ndarray:
    """Index of each mask, bool [..., d], in a table: bit i is feature i."""
    return masks @ (1 << np.arange(masks.shape[-1]))


def table_value(scores: np.ndarray) -> MaskFunction:
    """The value function with the scores [2**d, K]."""
    d = len(scores).bit_length() - 1
    return MaskFunction(lambda masks: scores[numbers_of(masks)], d, batch_size=1000)


def random_value(d: int, seed: int = 0, K: int = 3) -> MaskFunction:
    """A random value function of d features with probabilities over K classes."""
    generator = np.random.default_rng(seed)
    return table_value(generator.dirichlet(np.ones(K), 2**d))
