"Removing by inpainting: what is there stays as it is, whatever fills the hole; the network, its split and its training."
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import uniform_filter

from xai_repro.zoo import inpainter as I

from xai_repro.ground import root

from xai_repro.zoo.photographs import embedded_photographs
from xai_repro.inputs.segmentation import grid, slic
from xai_repro.inputs.image import MaskedModel
from xai_repro.inputs.removal import INPAINTERS, MEAN_GREY, Blur, Inpaint, MeanColor

IMAGE = embedded_photographs(64)["coffee"]
PARTS = slic(IMAGE, 20, 30, 3)
D = int(PARTS.max()) + 1
FILLERS = {**{m: Inpaint(m) for m in INPAINTERS}, "bfloat16": Inpaint("neural", dtype="bfloat16"), "own": Inpaint(generator=lambda images, holes: images.flip(2), name="upside down")}


@pytest.mark.parametrize("name", FILLERS)
@settings(max_examples=8, deadline=None)
@given(masks=arrays(bool, st.tuples(st.integers(1, 19), st.just(D))))
def test_what_is_there_is_untouched_and_the_batch_changes_nothing(name, masks):
    masks, render = torch.as_tensor(masks), FILLERS[name](IMAGE, PARTS)
    shown, kept = render(masks), masks[:, PARTS].unsqueeze(1).expand(-1, 3, -1, -1)
    assert torch.equal(shown[kept], IMAGE.expand_as(shown)[kept])
    assert shown.min() >= 0 and shown.max() <= 1 and torch.equal(shown, render(masks))
    assert torch.equal(shown[-1:], render(masks[-1:])) and torch.equal(shown.flip(0), render(masks.flip(0)))


@pytest.mark.parametrize("name", FILLERS)
def test_the_last_partial_batch_is_filled_too(name):
    "LIME-G's released code scores it as it came."
    masks = torch.as_tensor(np.random.default_rng(0).random((19, D)) < .5)
    by = {size: Inpaint(generator=FILLERS[name]._generate, name=name, batch_size=size)(IMAGE, PARTS)(masks) for size in (1, 8, 19)}
    assert torch.equal(by[1], by[8]) and torch.equal(by[1], by[19])
    gone = ~masks[:, PARTS]
    assert all((by[8][i] != .5).any(0)[gone[i]].any() for i in (16, 17, 18))


@pytest.mark.parametrize("name", FILLERS)
def test_a_hole_without_surroundings_is_the_mean_colour(name):
    nothing, everything = FILLERS[name](IMAGE, PARTS)(torch.stack([torch.zeros(D), torch.ones(D)]).bool())
    assert torch.equal(nothing, torch.tensor(MEAN_GREY.rgb)[:, None, None].expand(3, 64, 64)) and torch.equal(everything, IMAGE)


def test_no_fill_looks_at_what_it_hides():
    hole = torch.zeros(1, 64, 64, dtype=torch.bool); hole[:, 20:44, 12:40] = True
    other = torch.where(hole, 1 - IMAGE, IMAGE)
    for removal in FILLERS.values(): assert torch.equal(removal.fill(IMAGE, hole[None]), removal.fill(other, hole[None]))


def test_opencv_fills_as_opencv_does():
    import cv2
    hole = np.zeros((64, 64), np.uint8); hole[20:40, 10:30] = 1
    theirs = cv2.inpaint((255*IMAGE.permute(1, 2, 0).numpy()).round().astype(np.uint8), hole, 5, cv2.INPAINT_TELEA)
    ours = Inpaint("telea", radius=5).fill(IMAGE, torch.as_tensor(hole).bool()[None, None])[0].permute(1, 2, 0).numpy()
    assert np.abs(255*ours - theirs).max() < 1e-4 + .5 and np.array_equal((255*ours).round()[hole == 1], theirs[hole == 1])


@pytest.mark.parametrize("make, said", [
    (lambda: Inpaint("deepfill"), "method is 'deepfill'; allowed: telea, navier_stokes, biharmonic, neural"),
    (lambda: Inpaint("telea", dtype="bfloat16"), "option of 'telea' is 'dtype'; allowed: radius"),
    (lambda: Inpaint("telea", radius=0), "radius is 0"),
    (lambda: Inpaint("neural", dtype="int8"), "dtype is 'int8'; allowed: float32, bfloat16"),
    (lambda: Inpaint(generator=print, radius=3), "options are ['radius']; allowed with a generator of your own: none"),
    (lambda: Inpaint(batch_size=0), "batch_size is 0")])
def test_bad_arguments(make, said):
    with pytest.raises(ValueError) as error: make()
    assert said in str(error.value)


@pytest.mark.parametrize("generator, said", [
    (lambda images, holes: images[:, :, :32], "generator returned [4, 3, 32, 64]; allowed: a tensor of shape [4, 3, 64, 64]"),
    (lambda images, holes: images.numpy()[0], "allowed: a tensor of shape [4, 3, 64, 64]"),
    (lambda images, holes: images*float("nan"), "values that are NaN or infinite"),
    (lambda images, holes: 255*images, "generator returned values from"),
    (lambda images, holes: images - 1, "allowed: [0, 1]")])
def test_bad_generators(generator, said):
    masks = torch.as_tensor(np.random.default_rng(0).random((4, D)) < .5)
    with pytest.raises(ValueError) as error: Inpaint(generator=generator)(IMAGE, PARTS)(masks)
    assert said in str(error.value)
    with pytest.raises(TypeError, match="allowed: a callable"): Inpaint(generator="lama.pt")


def test_scores_are_kept_by_what_fills():
    assert repr(Inpaint("telea")) == repr(Inpaint("telea")) != repr(Inpaint("telea", radius=5)) and I.inpainter_digest() in repr(Inpaint("neural"))
    assert repr(Inpaint(generator=print)) != repr(Inpaint(generator=print)) and repr(Inpaint(generator=print, name="p")) == repr(Inpaint(generator=min, name="p"))


@pytest.mark.parametrize("removal", [MEAN_GREY, MeanColor(), Blur(3), Inpaint("telea")])
def test_what_is_behind_a_hole_is_what_is_seen_in_it(removal):
    masks = torch.as_tensor(np.random.default_rng(1).random((3, D)) < .5)
    gone = ~masks[:, PARTS].unsqueeze(1).expand(-1, 3, -1, -1)
    assert torch.equal(removal(IMAGE, PARTS)(masks)[gone], removal.behind(IMAGE, PARTS)(masks)[gone])


def test_a_value_function_of_pixels():
    value = MaskedModel(lambda images: images.mean((2, 3)), IMAGE, grid(IMAGE, 1), Inpaint("telea"))
    hole = torch.zeros(64, 64, dtype=torch.bool); hole[8:30, 8:30] = True
    assert value.n_features == 64*64 and np.allclose(value(~hole.flatten()[None].numpy())[0], Inpaint("telea").fill(IMAGE, hole[None, None])[0].mean((1, 2)), atol=1e-6)


# the network

def test_the_committed_weights_are_small_and_fill_better_than_gray():
    assert I.weights_path().stat().st_size <= 4e6
    fills = {name: removal(IMAGE, PARTS) for name, removal in (("gray", MEAN_GREY), ("neural", Inpaint("neural")))}
    masks = torch.as_tensor(np.random.default_rng(2).random((8, D)) < .5)
    holes = ~masks[:, PARTS].unsqueeze(1)
    quality = {name: np.mean([I.psnr(f, IMAGE, h) for f, h in zip(render(masks), holes)]) for name, render in fills.items()}
    assert quality["neural"] > quality["gray"] + 2


def test_weights_come_back_as_they_were_written(tmp_path):
    network = I.Inpainter()
    I.save_inpainter(network, tmp_path/"w.safetensors")
    again = I.load_inpainter(tmp_path/"w.safetensors").state_dict()
    assert all(torch.equal(t.half().float(), again[name]) for name, t in network.state_dict().items())
    with pytest.raises(FileNotFoundError, match="train it: xai-repro run lime_g_inpainter"): I.load_inpainter(tmp_path/"none.safetensors")


def test_compiled_it_fills_as_it_does_eagerly():
    masks = torch.as_tensor(np.random.default_rng(4).random((9, D)) < .5)      # a whole chunk, and one that is filled up
    eager, compiled = (Inpaint("neural", compile=c)(IMAGE, PARTS)(masks) for c in (False, True))
    kept = masks[:, PARTS].unsqueeze(1).expand_as(eager)
    assert (eager - compiled).abs().max() < 1e-5 and torch.equal(eager[kept], compiled[kept]) and not torch.equal(eager, IMAGE.expand_as(eager))


def test_the_record_of_a_training_tells_of_its_weights_alone(tmp_path):
    I.save_inpainter(I.Inpainter(), tmp_path/"a.safetensors", steps=7, loss=[.5])
    assert I.training_record(tmp_path/"a.safetensors") == dict(weights=I.inpainter_digest(tmp_path/"a.safetensors"), steps=7, loss=[.5])
    (tmp_path/"a.safetensors").write_bytes(I.weights_path().read_bytes())
    with pytest.raises(ValueError, match="a.safetensors has the checksum .* its record tells of"): I.training_record(tmp_path/"a.safetensors")
    assert I.training_record()["photographs"] == (I.split().part == "train").sum()


class Stopped(Exception): pass


def test_training_lowers_the_loss_and_survives_being_stopped(tmp_path):
    pictures = I.of_pictures(list(embedded_photographs(144).values())[:1])
    settings = dict(batch=2, rate=2e-3, seed=0, every=10)
    whole, history = I.train(pictures, 30, tmp_path/"whole.pt", **settings)
    assert history.step.tolist() == [10, 20, 30] and history.loss.iloc[-1] < history.loss.iloc[0]
    def stop(step, loss):
        if step == 20: raise Stopped
    with pytest.raises(Stopped): I.train(pictures, 30, tmp_path/"parts.pt", **settings, tell=stop)
    parts, told = I.train(pictures, 30, tmp_path/"parts.pt", **settings)
    assert told.equals(history) and all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), parts.state_dict().values()))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_holes_are_drawn_from_their_seed(seed):
    labels = grid(torch.zeros(3, 40, 40), 8)
    hole, again = (I.draw_hole(labels, np.random.default_rng(seed)) for _ in range(2))
    assert hole.shape == (40, 40) and hole.dtype == torch.bool and torch.equal(hole, again)


def test_a_loss_by_hand():
    image, painted, hole = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    hole[..., 1, 1] = True; painted[..., 1, 1] = .6; painted[..., 3, 3] = .3
    hidden, others = .6, .1*.3/15                          # the hidden pixel, a tenth of the mean of the 15 others
    across = along = (.6 + .6)/2                           # the two differences that touch the hidden pixel, either way
    assert float(I.loss(painted, image, hole)) == pytest.approx(hidden + others + across + along, abs=1e-6)


# how good a fill is

def test_psnr_and_ssim_are_independent_computations():
    rng = np.random.default_rng(0)
    a, b, hole = torch.as_tensor(rng.random((3, 20, 20))), torch.as_tensor(rng.random((3, 20, 20))), torch.as_tensor(rng.random((1, 20, 20)) < .3)
    errors = [(float(a[c, y, x]) - float(b[c, y, x]))**2 for c in range(3) for y in range(20) for x in range(20) if hole[0, y, x]]
    assert I.psnr(a, b, hole) == pytest.approx(10*np.log10(1/np.mean(errors)), abs=1e-9)
    mean = lambda v: uniform_filter(v, 7)
    def ssim_map(x, y):
        n, mx, my = 49, mean(x), mean(y)
        vx, vy, cov = ((mean(p*q) - mean(p)*mean(q))*n/(n - 1) for p, q in ((x, x), (y, y), (x, y)))
        return (2*mx*my + 1e-4)*(2*cov + 9e-4)/((mx**2 + my**2 + 1e-4)*(vx + vy + 9e-4))
    full = np.stack([ssim_map(a[c].numpy(), b[c].numpy()) for c in range(3)])
    assert I.hole_ssim(a, b, hole) == pytest.approx(full[hole.expand(3, -1, -1).numpy()].mean(), abs=1e-6)
    for metric in (I.psnr, I.hole_ssim):
        with pytest.raises(ValueError, match="hole has no pixel"): metric(a, b, hole & False)


def test_no_photograph_is_nearer_in_features_than_itself():
    from xai_repro.zoo import models
    critic, hole = models.load("efficientnet_lite0", "cpu"), torch.zeros(2, 1, 64, 64, dtype=torch.bool)
    hole[0, :, 16:48, 16:48] = True; hole[1, :, :2, :2] = True                # the second is less than a place of any stage
    images = IMAGE.expand(2, -1, -1, -1)
    assert np.abs(I.perceptual_distance(critic, images, images, hole)).max() < 1e-10
    assert (I.perceptual_distance(critic, torch.where(hole, 0., images), images, hole) > 0).all()


def test_distances_in_features_do_not_depend_on_the_batch():
    from dataclasses import replace
    from xai_repro.zoo import models
    critic, rng = replace(models.load("efficientnet_lite0", "cpu"), chunk=4), np.random.default_rng(0)
    images = IMAGE.expand(9, -1, -1, -1)
    holes = torch.as_tensor(rng.random((9, 1, 8, 8)) < .4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    fills = torch.where(holes, torch.as_tensor(rng.random((9, 3, 1, 1)), dtype=torch.float32), images)
    alone = [I.perceptual_distance(critic, fills[i:i + 1], images[i:i + 1], holes[i:i + 1])[0] for i in range(9)]
    assert np.allclose(I.perceptual_distance(critic, fills, images, holes), alone, rtol=1e-4) and len(set(np.round(alone, 6))) == 9


# what it was trained on

def test_the_committed_split_is_the_one_that_is_made(assets):
    assert I.make_split().equals(I.split())


def test_no_photograph_is_on_both_sides():
    split = I.split()
    assert split.file.is_unique and split.groupby(["source", "part"]).size().to_dict() == {
        ("imagenet_val", "held_out"): 100, ("imagenet_val", "train"): 560, ("scenes_sun8", "held_out"): 320, ("scenes_sun8", "train"): 1171}


def test_nothing_that_was_learned_from_is_evaluated_in_any_notebook():
    learned = {Path(f).stem for f in I.split().query("part == 'train' and source == 'imagenet_val'").file} | set(I.split().query("part == 'train' and source == 'scenes_sun8'").file)
    evaluated = {path: set(path.read_text().replace("\n", ",").split(",")) for path in (root()/"data"/"results").glob("*/*/*.csv")}
    assert len(evaluated) > 100 and not {str(path): names & learned for path, names in evaluated.items() if names & learned}
