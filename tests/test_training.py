"Networks trained here: the chain of steps, the committed autoencoder, and what its space is for."
import numpy as np
import pytest
import torch
from torch import nn

from xai_repro.explain import distributions as N
from xai_repro.zoo import autoencoder as A, data, inpainter as inpainting, training


def quadratic(forward, step): return (forward(torch.ones(1, 2)) - step % 3).square().mean()


class Stopped(Exception): pass


def test_a_stopped_training_goes_on_with_the_same_numbers(tmp_path):
    def line(): return training.build(lambda: nn.Linear(2, 1), seed=5)
    whole, history = training.train(line(), quadratic, 30, tmp_path/"whole.pt", every=5)
    def stop(step, loss):
        if step == 20: raise Stopped
    with pytest.raises(Stopped): training.train(line(), quadratic, 30, tmp_path/"parts.pt", every=5, tell=stop)
    parts, told = training.train(line(), quadratic, 30, tmp_path/"parts.pt", every=5)
    assert told.equals(history) and all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters()))


def test_the_kept_weights_are_a_running_mean(tmp_path):
    "Of the weights after each step, the first as it is, by hand."
    seen, network = [], training.build(lambda: nn.Linear(1, 1))
    def loss_at(forward, step):
        seen.append([p.detach().clone() for p in network.parameters()])
        return (forward(torch.ones(1, 1)) - 3).square().mean()
    mean, _ = training.train(network, loss_at, 6, tmp_path/"a.pt", every=3)
    after = seen[1:] + [[p.detach() for p in network.parameters()]]
    by_hand = after[0]
    for weights in after[1:]: by_hand = [.998*m + .002*w for m, w in zip(by_hand, weights)]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(mean.parameters(), by_hand))


def test_building_a_network_leaves_torchs_generator_alone():
    torch.manual_seed(1); before = torch.rand(1)
    torch.manual_seed(1); training.build(lambda: nn.Linear(3, 3), 7)
    assert torch.equal(torch.rand(1), before)
    assert torch.equal(*(training.build(lambda: nn.Linear(3, 3), 7).weight for _ in range(2)))


@pytest.mark.parametrize("options, said", [(dict(steps=0), "steps is 0"), (dict(every=0), "every is 0"), (dict(rate=0.), "rate is 0"), (dict(steps=2.5), "steps is 2.5")])
def test_bad_settings(tmp_path, options, said):
    with pytest.raises(ValueError, match=said): training.train(nn.Linear(2, 1), quadratic, **dict(steps=4, checkpoint=tmp_path/"a.pt") | options)


# the committed autoencoder

def test_the_committed_weights_are_those_that_the_record_tells_of():
    record = training.training_record(A.weights_path())
    assert A.weights_path().stat().st_size < 1e6 and record["photographs"] == (inpainting.split().part == "train").sum()
    assert len(record["loss"]) == record["steps"]//record["every"] and record["loss"][-1] < .3*record["loss"][0]


def test_it_keeps_more_of_a_photograph_than_its_coarse_colours():
    "As many numbers as the code has: a picture of 13 by 13 pixels."
    images = torch.stack(list(data.photographs(224).values()))
    small = nn.functional.interpolate(images, (64, 64), mode="area")
    coarse = nn.functional.interpolate(nn.functional.interpolate(images, (13, 13), mode="area"), (64, 64), mode="bilinear")
    error = lambda pictures: float((pictures - small).square().mean())
    assert 13*13*3 <= A.embed(A.load_autoencoder(), images).shape[1] and error(A.reconstruct(A.load_autoencoder(), images)) < error(coarse)


def test_the_further_from_a_photograph_the_further_its_code():
    "Superpixels by their mean, more and more of them: on average over photographs and orders."
    from xai_repro.inputs.segmentation import grid
    from xai_repro.inputs.removal import MeanColor
    network, rng = A.load_autoencoder(), np.random.default_rng(0)
    far = []
    for image in list(data.photographs(128).values())[:4]:
        segments = grid(image, 16)
        d = int(segments.max()) + 1
        masks = np.arange(d) >= np.linspace(0, d, 9).round()[:, None]
        codes = A.embed(network, MeanColor()(image, segments)(torch.as_tensor(masks[:, rng.permutation(d)])))
        far.append((codes - codes[0]).norm(dim=1).numpy())
    assert (np.diff(np.mean(far, 0)) > 0).all()
    assert np.isfinite(N.embedding_distances(lambda masks: codes[:len(masks)], masks[1:])).all()
