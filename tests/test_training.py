"""Networks trained here: resumable training, the committed autoencoder, and its code space."""
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from xai_repro.explain import distributions
from xai_repro.inputs.removal import MeanColor
from xai_repro.inputs.segmentation import grid
from xai_repro.zoo import autoencoder, inpainter, training


from xai_repro.zoo.photographs import embedded_photographs
def quadratic(forward, step):
    output = forward(torch.ones(1, 2))
    return (output - step % 3).square().mean()


def all_equal(network, other) -> bool:
    pairs = zip(network.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class Stopped(Exception):
    """Raised by a callback, as if the training were killed."""


def test_a_stopped_training_resumes_with_the_same_numbers(tmp_path):
    def train_line(checkpoint, **options):
        line = training.build(lambda: nn.Linear(2, 1), seed=5)
        return training.train(line, quadratic, 30, checkpoint, every=5, **options)

    def stop_at_20(step, loss):
        if step == 20: raise Stopped

    parts = tmp_path/"parts.pt"
    whole, history = train_line(tmp_path/"whole.pt")
    with pytest.raises(Stopped):
        train_line(parts, tell=stop_at_20)
    resumed, resumed_history = train_line(parts)
    assert resumed_history.equals(history)
    assert all_equal(whole, resumed)


def test_the_result_is_a_running_mean_of_the_weights(tmp_path):
    """Of the weights after each step, the first as it is, by hand."""
    network = training.build(lambda: nn.Linear(1, 1))
    seen = []

    def weights():
        return [p.detach().clone() for p in network.parameters()]

    def loss_at(forward, step):
        seen.append(weights())
        return (forward(torch.ones(1, 1)) - 3).square().mean()

    mean, _ = training.train(network, loss_at, 6, tmp_path/"a.pt", every=3)
    after_steps = [*seen[1:], weights()]
    by_hand = after_steps[0]
    for step_weights in after_steps[1:]:
        pairs = zip(by_hand, step_weights, strict=True)
        by_hand = [0.998*m + 0.002*w for m, w in pairs]
    for actual, expected in zip(mean.parameters(), by_hand, strict=True):
        assert torch.allclose(actual, expected, atol=1e-6)


def test_building_a_network_leaves_torchs_generator_alone():
    def build():
        return training.build(lambda: nn.Linear(3, 3), 7)

    torch.manual_seed(1)
    before = torch.rand(1)
    torch.manual_seed(1)
    first = build()
    assert torch.equal(torch.rand(1), before)
    second = build()
    assert torch.equal(first.weight, second.weight)


@pytest.mark.parametrize("options, message", [
    (dict(steps=0), "steps is 0"),
    (dict(every=0), "every is 0"),
    (dict(rate=0.), "rate is 0"),
    (dict(steps=2.5), "steps is 2.5"),
])
def test_bad_settings(tmp_path, options, message):
    settings = dict(steps=4, checkpoint=tmp_path/"a.pt") | options
    with pytest.raises(ValueError, match=message):
        training.train(nn.Linear(2, 1), quadratic, **settings)


# the committed autoencoder

def test_the_record_belongs_to_the_committed_weights():
    record = training.training_record(autoencoder.weights_path())
    loss = record["loss"]
    size = autoencoder.weights_path().stat().st_size
    learned = inpainter.split().part == "train"
    assert size < 1e6
    assert record["photographs"] == learned.sum()
    assert len(loss) == record["steps"]//record["every"]
    assert loss[-1] < .3*loss[0]


def test_the_code_preserves_more_than_coarse_colours():
    """At most as many numbers as the code has: a picture of 13 by 13 pixels."""
    network = autoencoder.load_autoencoder()
    photographs = embedded_photographs(224).values()
    images = torch.stack(list(photographs))
    small = F.interpolate(images, (64, 64), mode="area")
    coarse = F.interpolate(images, (13, 13), mode="area")
    enlarged = F.interpolate(coarse, (64, 64), mode="bilinear")

    def error(pictures):
        return float((pictures - small).square().mean())

    codes = autoencoder.embed(network, images)
    reconstructed = autoencoder.reconstruct(network, images)
    assert 13*13*3 <= codes.shape[1]
    assert error(reconstructed) < error(enlarged)


def test_the_distance_of_codes_grows_with_the_number_of_absent_superpixels():
    """Superpixels replaced by their mean colour: on average over photographs and orders."""
    network = autoencoder.load_autoencoder()
    rng = np.random.default_rng(0)
    distances = []
    photographs = list(embedded_photographs(128).values())
    for image in photographs[:4]:
        segments = grid(image, 16)
        d = int(segments.max()) + 1
        n_absent = np.linspace(0, d, 9).round()
        masks = np.arange(d) >= n_absent[:, None]
        order = rng.permutation(d)
        shuffled = torch.as_tensor(masks[:, order])
        render = MeanColor()(image, segments)
        codes = autoencoder.embed(network, render(shuffled))
        distance = (codes - codes[0]).norm(dim=1)
        distances.append(distance.numpy())
    mean_distance = np.mean(distances, 0)
    assert (np.diff(mean_distance) > 0).all()

    def embed_masks(masks):
        return codes[:len(masks)]

    of_masks = distributions.embedding_distances(embed_masks, masks[1:])
    assert np.isfinite(of_masks).all()
