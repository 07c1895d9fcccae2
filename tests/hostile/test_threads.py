"""Many threads at once: the scores are those made alone, to the last bit, and nothing is moved."""
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from attempts import GREY, small_network
from torch import nn

import xai_repro as xr
from xai_repro.cache import Cache
from xai_repro.explain.methods import METHODS
from xai_repro.inputs import removal, segmentation
from xai_repro.inputs.image import image_instance
from xai_repro.zoo import models

pytestmark = pytest.mark.filterwarnings("ignore")
N_THREADS = 8
IMAGE = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(0))
SEGMENTS = segmentation.grid(IMAGE, 16)
OPTIONS = {"lima": {}, "sobol": {"n_samples": 4}, "occlusion": {}, "mfaba": {"most": 3}}
NAMES = [name for name, row in METHODS.items()
         if row.needs != "transformer" and not name.startswith("captum") and name != "alime"]


class OneByOne(nn.Module):
    """A network that is asked image by image: the same bits in a batch of any size."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return torch.cat([self.network(image[None]) for image in images])


def classifier(network=None):
    """A classifier of three classes."""
    network = OneByOne(small_network()) if network is None else network
    return models.Classifier(
        "small", network, models.Preprocessing(GREY, GREY), 48, list("abc"), torch.device("cpu"))


MODEL = classifier()


def shared_instance(**options):
    """An instance with a memory of its own."""
    return image_instance(MODEL, IMAGE, SEGMENTS, target=0, **options)


@contextmanager
def restless():
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_threads(one, n):
    """What `one(i)` gives for each i, in threads."""
    with restless(), ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(one, range(n)))


def compare(tally, what, alone, together):
    """Each of them is right where it equals, bit by bit, what was made alone."""
    for i, (a, b) in enumerate(zip(alone, together, strict=True)):
        right = np.array_equal(np.asarray(a), np.asarray(b))
        tally.add("right" if right else "wrong", f"{what}, {i}")


@pytest.mark.parametrize("name", NAMES)
def test_one_instance_shared(tally, name):
    options = OPTIONS.get(name, {} if METHODS[name].n_samples is None else {"n_samples": 12})

    def explain(instance, i):
        return xr.explain(instance, name, seed=i % 5, target=i % 3, **options).scores

    alone = [explain(shared_instance(), i) for i in range(15)]*2
    shared = shared_instance()
    compare(tally, name, alone, in_threads(lambda i: explain(shared, i % 15), 30))


@pytest.mark.parametrize("fill", [removal.MeanColor(), removal.Blur(2.), removal.Constant()])
def test_an_instance_each(tally, fill):
    def explain(i):
        instance = image_instance(MODEL, IMAGE, SEGMENTS, fill, target=i % 3)
        return xr.explain(instance, "lime", 32, seed=i).scores

    alone = [explain(i) for i in range(24)]
    compare(tally, repr(fill), alone, in_threads(explain, 24))


def test_one_network_in_training_mode(tally):
    network = nn.Sequential(
        nn.Conv2d(3, 4, 5, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(.5),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    network.train()
    network[1].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]

    def explain(i):
        instance = xr.image(IMAGE, OneByOne(network), segmentation=SEGMENTS, target=i % 3)
        method = ("lime", "integrated_gradients")[i % 2]
        return xr.explain(instance, method, 16, seed=i).scores

    alone = [explain(i) for i in range(24)]
    compare(tally, "training mode", alone, in_threads(explain, 24))
    assert [module.training for module in network.modules()] == modes
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_one_cache_on_disk(tally, tmp_path):
    alone = [xr.explain(shared_instance(), "lime", 24, seed=i).scores for i in range(20)]
    cache = Cache(tmp_path)
    shared = shared_instance(cache=cache)

    def explain(i):
        instance = shared if i % 2 else shared_instance(cache=cache)
        return xr.explain(instance, "lime", 24, seed=i).scores

    compare(tally, "on disk", alone, in_threads(explain, 20))
    compare(tally, "from disk", alone, [explain(i) for i in range(20)])


def test_each_thread_counts_its_own_queries(tally):
    alone = [xr.explain(shared_instance(), "occlusion").n_queries]*16
    instances = [shared_instance().fresh() for _ in range(4)]
    barrier = threading.Barrier(4)

    def explain(i):
        barrier.wait(30)
        return xr.explain(instances[i % 4], "occlusion").n_queries

    with ThreadPoolExecutor(4) as pool: counts = list(pool.map(explain, range(4)))
    compare(tally, "queries", alone[:4], counts)


def test_no_global_generator_is_moved(tally):
    shared = shared_instance()
    before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()
    in_threads(lambda i: xr.explain(shared, ("smoothgrad", "lime")[i % 2], 8, seed=i).scores, 30)
    after = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()
    unmoved = before[:2] == after[:2] and torch.equal(before[2], after[2])
    tally.add("right" if unmoved else "wrong", "a global generator moved")
