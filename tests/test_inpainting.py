"""Removal by inpainting, and the committed inpainter: its network, its training, its split."""
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import uniform_filter

from xai_repro.ground import root
from xai_repro.inputs.image import MaskedModel
from xai_repro.inputs.removal import INPAINTERS, MEAN_GREY, Blur, Inpaint, MeanColor
from xai_repro.inputs.segmentation import grid, slic
from xai_repro.zoo import inpainter, models
from xai_repro.zoo.inpainter import (
    Inpainter,
    draw_hole,
    hole_ssim,
    inpainter_digest,
    load_inpainter,
    perceptual_distance,
    psnr,
    save_inpainter,
    split,
    training_record,
    weights_path,
)
from xai_repro.zoo.photographs import embedded_photographs

IMAGE = embedded_photographs(64)["coffee"]
SEGMENTS = slic(IMAGE, 20, 30, 3)
D = int(SEGMENTS.max()) + 1


def upside_down(images, holes):
    return images.flip(2)


FILLERS = {name: Inpaint(name) for name in INPAINTERS}
FILLERS["bfloat16"] = Inpaint("neural", dtype="bfloat16")
FILLERS["own"] = Inpaint(generator=upside_down, name="upside down")


def draw_masks(n: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    masks = rng.random((n, D)) < .5
    return torch.as_tensor(masks)


def pixels_of(masks: torch.Tensor) -> torch.Tensor:
    """The masks' pixels, bool [n, 1, 64, 64]."""
    return masks[:, SEGMENTS].unsqueeze(1)


def rectangle(lines: slice, columns: slice, side: int = 64) -> torch.Tensor:
    """A hole, bool [1, side, side]."""
    hole = torch.zeros(1, side, side, dtype=torch.bool)
    hole[:, lines, columns] = True
    return hole


SHAPES = st.tuples(st.integers(1, 19), st.just(D))
MASKS = arrays(bool, SHAPES)


@pytest.mark.parametrize("name", FILLERS)
@settings(max_examples=8, deadline=None)
@given(masks=MASKS)
def test_present_pixels_are_untouched_and_the_batch_changes_nothing(name, masks):
    masks = torch.as_tensor(masks)
    render = FILLERS[name](IMAGE, SEGMENTS)
    shown = render(masks)
    present = pixels_of(masks).expand_as(shown)
    originals = IMAGE.expand_as(shown)
    assert torch.equal(shown[present], originals[present])
    assert shown.min() >= 0
    assert shown.max() <= 1
    again = render(masks)
    assert torch.equal(shown, again)
    last = render(masks[-1:])
    assert torch.equal(shown[-1:], last)
    in_reverse = render(masks.flip(0))
    assert torch.equal(shown.flip(0), in_reverse)


@pytest.mark.parametrize("name", FILLERS)
def test_the_last_partial_batch_is_filled_too(name):
    """LIME-G's released code scores it unfilled."""
    masks = draw_masks(19, 0)
    generator = FILLERS[name]._generate

    def show(batch_size):
        removal = Inpaint(generator=generator, name=name, batch_size=batch_size)
        return removal(IMAGE, SEGMENTS)(masks)

    shown = show(8)
    assert torch.equal(shown, show(1))
    assert torch.equal(shown, show(19))
    absent = ~pixels_of(masks)[:, 0]
    changed = (shown != .5).any(1)
    for i in (16, 17, 18):
        assert changed[i][absent[i]].any()


@pytest.mark.parametrize("name", FILLERS)
def test_a_hole_without_surroundings_is_the_mean_colour(name):
    render = FILLERS[name](IMAGE, SEGMENTS)
    masks = torch.tensor([[False]*D, [True]*D])
    nothing, everything = render(masks)
    grey = torch.tensor(MEAN_GREY.rgb).view(3, 1, 1)
    all_grey = grey.expand(3, 64, 64)
    assert torch.equal(nothing, all_grey)
    assert torch.equal(everything, IMAGE)


@pytest.mark.parametrize("name", FILLERS)
def test_no_fill_looks_at_what_it_hides(name):
    hole = rectangle(slice(20, 44), slice(12, 40))
    other = torch.where(hole, 1 - IMAGE, IMAGE)
    removal = FILLERS[name]
    filled = removal.fill(IMAGE, hole[None])
    filled_other = removal.fill(other, hole[None])
    assert torch.equal(filled, filled_other)


def test_opencv_fills_as_opencv_does():
    import cv2
    hole = rectangle(slice(20, 40), slice(10, 30))
    covered = hole[0].numpy()
    pixels = 255*IMAGE.permute(1, 2, 0).numpy()
    eight_bits = pixels.round().astype(np.uint8)
    flags = covered.astype(np.uint8)
    theirs = cv2.inpaint(eight_bits, flags, 5, cv2.INPAINT_TELEA)
    removal = Inpaint("telea", radius=5)
    filled = removal.fill(IMAGE, hole[None])[0]
    ours = 255*filled.permute(1, 2, 0).numpy()
    difference = np.abs(ours - theirs)
    assert difference.max() < 1e-4 + .5
    rounded = ours.round()
    assert np.array_equal(rounded[covered], theirs[covered])


@pytest.mark.parametrize("arguments, message", [
    (dict(method="deepfill"),
     "method is 'deepfill'; allowed: telea, navier_stokes, biharmonic, neural"),
    (dict(method="telea", dtype="bfloat16"), "option of 'telea' is 'dtype'; allowed: radius"),
    (dict(method="telea", radius=0), "radius is 0"),
    (dict(method="neural", dtype="int8"), "dtype is 'int8'; allowed: float32, bfloat16"),
    (dict(generator=print, radius=3),
     "options are ['radius']; allowed with a generator of your own: none"),
    (dict(batch_size=0), "batch_size is 0"),
])
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError) as error:
        Inpaint(**arguments)
    assert message in str(error.value)


@pytest.mark.parametrize("generator, message", [
    (lambda images, holes: images[:, :, :32],
     "generator returned [4, 3, 32, 64]; allowed: a tensor of shape [4, 3, 64, 64]"),
    (lambda images, holes: images.numpy()[0], "allowed: a tensor of shape [4, 3, 64, 64]"),
    (lambda images, holes: images*float("nan"), "values that are NaN or infinite"),
    (lambda images, holes: 255*images, "generator returned values from"),
    (lambda images, holes: images - 1, "allowed: [0, 1]"),
])
def test_bad_generators(generator, message):
    render = Inpaint(generator=generator)(IMAGE, SEGMENTS)
    with pytest.raises(ValueError) as error:
        render(draw_masks(4, 0))
    assert message in str(error.value)


def test_a_generator_is_callable():
    with pytest.raises(TypeError, match="allowed: a callable"):
        Inpaint(generator="lama.pt")


def test_the_repr_identifies_the_inpainter():
    """Scores are stored under it."""
    telea = repr(Inpaint("telea"))
    assert telea == repr(Inpaint("telea")) == "Inpaint(telea)"
    assert telea != repr(Inpaint("telea", radius=5))
    weights = inpainter_digest()
    assert repr(Inpaint("neural")) == f"Inpaint(neural, weights={weights})"
    assert repr(inpainter.neural()) == repr(Inpaint("neural"))
    in_bfloat16 = repr(inpainter.neural(dtype="bfloat16"))
    assert in_bfloat16 == f"Inpaint(neural, dtype=bfloat16, weights={weights})"
    assert in_bfloat16 == repr(FILLERS["bfloat16"])


def test_the_repr_of_an_own_generator_is_its_name():
    named = Inpaint(generator=print, name="p")
    same_name = Inpaint(generator=min, name="p")
    assert repr(named) == repr(same_name)
    nameless = Inpaint(generator=print)
    also_nameless = Inpaint(generator=print)
    assert repr(nameless) != repr(also_nameless)


@pytest.mark.parametrize("removal", [MEAN_GREY, MeanColor(), Blur(3), Inpaint("telea")])
def test_what_is_behind_a_hole_is_what_is_seen_in_it(removal):
    masks = draw_masks(3, 1)
    shown = removal(IMAGE, SEGMENTS)(masks)
    behind = removal.behind(IMAGE, SEGMENTS)(masks)
    absent = ~pixels_of(masks).expand_as(shown)
    assert torch.equal(shown[absent], behind[absent])


def test_a_value_function_of_pixels():
    def mean_colour(images):
        return images.mean((2, 3))

    removal = Inpaint("telea")
    value = MaskedModel(mean_colour, IMAGE, grid(IMAGE, 1), removal)
    hole = rectangle(slice(8, 30), slice(8, 30))
    mask = ~hole.flatten()
    filled = removal.fill(IMAGE, hole[None])
    scores = value(mask[None].numpy())
    assert value.n_features == 64*64
    assert np.allclose(scores, mean_colour(filled), atol=1e-6)


# the network

def test_the_committed_weights_are_small():
    assert weights_path().stat().st_size <= 4e6


def test_the_committed_network_fills_better_than_gray():
    masks = draw_masks(8, 2)
    holes = ~pixels_of(masks)

    def quality(removal):
        fills = removal(IMAGE, SEGMENTS)(masks)
        of_fills = []
        for fill, hole in zip(fills, holes, strict=True):
            of_fills.append(psnr(fill, IMAGE, hole))
        return np.mean(of_fills)

    gray = quality(MEAN_GREY)
    assert quality(Inpaint("neural")) > gray + 2


def test_weights_come_back_as_they_were_written(tmp_path):
    network = Inpainter()
    path = tmp_path/"w.safetensors"
    save_inpainter(network, path)
    loaded = load_inpainter(path).state_dict()
    for name, weights in network.state_dict().items():
        written = weights.half().float()
        assert torch.equal(written, loaded[name])
    with pytest.raises(FileNotFoundError, match="train it: xai-repro run lime_g_inpainter"):
        load_inpainter(tmp_path/"none.safetensors")


def test_a_compiled_network_fills_as_it_does_eagerly():
    masks = draw_masks(9, 4)  # a whole chunk, and one that is padded
    eager = Inpaint("neural", compile=False)(IMAGE, SEGMENTS)(masks)
    compiled = Inpaint("neural", compile=True)(IMAGE, SEGMENTS)(masks)
    present = pixels_of(masks).expand_as(eager)
    difference = (eager - compiled).abs()
    assert difference.max() < 1e-5
    assert torch.equal(eager[present], compiled[present])
    assert not torch.equal(eager, IMAGE.expand_as(eager))


def test_the_record_of_a_training_belongs_to_its_weights(tmp_path):
    path = tmp_path/"a.safetensors"
    about = dict(steps=7, loss=[.5])
    save_inpainter(Inpainter(), path, **about)
    weights = inpainter_digest(path)
    assert training_record(path) == dict(weights=weights) | about

    committed = weights_path().read_bytes()
    path.write_bytes(committed)
    message = "a.safetensors has the checksum .* its record tells of"
    with pytest.raises(ValueError, match=message):
        training_record(path)
    learned = split().part == "train"
    assert training_record()["photographs"] == learned.sum()


class Stopped(Exception):
    """Raised by a callback, as if the training were killed."""


def test_training_lowers_the_loss_and_survives_being_stopped(tmp_path):
    image = next(iter(embedded_photographs(144).values()))
    pictures = inpainter.of_pictures([image])
    options = dict(batch=2, rate=2e-3, seed=0, every=10)

    def train(name, **more):
        return inpainter.train(pictures, 30, tmp_path/name, **options, **more)

    def stop_at_20(step, loss):
        if step == 20: raise Stopped

    whole, history = train("whole.pt")
    assert history.step.tolist() == [10, 20, 30]
    losses = history.loss.tolist()
    assert losses[-1] < losses[0]
    with pytest.raises(Stopped):
        train("parts.pt", tell=stop_at_20)
    resumed, resumed_history = train("parts.pt")
    assert resumed_history.equals(history)
    weights = resumed.state_dict()
    for name, expected in whole.state_dict().items():
        assert torch.equal(weights[name], expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_holes_are_drawn_from_their_seed(seed):
    labels = grid(torch.zeros(3, 40, 40), 8)
    def draw():
        return draw_hole(labels, np.random.default_rng(seed))

    hole = draw()
    again = draw()
    assert hole.shape == (40, 40)
    assert hole.dtype == torch.bool
    assert torch.equal(hole, again)


def test_the_loss_by_hand():
    image = torch.zeros(1, 3, 4, 4)
    painted = torch.zeros(1, 3, 4, 4)
    hole = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    hole[..., 1, 1] = True
    painted[..., 1, 1] = .6
    painted[..., 3, 3] = .3
    hidden = .6
    others = .1*.3/15  # a tenth of the mean of the 15 others
    across = (.6 + .6)/2  # the two differences that touch the hidden pixel
    along = across
    expected = hidden + others + across + along
    loss = inpainter.loss(painted, image, hole)
    assert float(loss) == pytest.approx(expected, abs=1e-6)


# how good a fill is

@pytest.fixture
def pair():
    """Two random images [3, 20, 20] and a hole."""
    rng = np.random.default_rng(0)
    a = rng.random((3, 20, 20))
    b = rng.random((3, 20, 20))
    hole = rng.random((1, 20, 20)) < .3
    return [torch.as_tensor(part) for part in (a, b, hole)]


def test_psnr_by_hand(pair):
    a, b, hole = pair
    errors = []
    for y, x in hole[0].nonzero().tolist():
        for c in range(3):
            difference = a[c, y, x].item() - b[c, y, x].item()
            errors.append(difference**2)
    signal_to_noise = 1/np.mean(errors)
    expected = 10*np.log10(signal_to_noise)
    assert psnr(a, b, hole) == pytest.approx(expected, abs=1e-9)


def ssim_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """SSIM of every pixel of two channels [H, W], over windows of 7 by 7 pixels."""
    def mean(values):
        return uniform_filter(values, 7)

    def covariance(p, q):
        uncorrected = mean(p*q) - mean(p)*mean(q)
        return uncorrected*49/48

    mean_x = mean(x)
    mean_y = mean(y)
    luminance = 2*mean_x*mean_y + 1e-4
    structure = 2*covariance(x, y) + 9e-4
    squared_means = mean_x**2 + mean_y**2 + 1e-4
    variances = covariance(x, x) + covariance(y, y) + 9e-4
    return luminance*structure/(squared_means*variances)


def test_ssim_by_hand(pair):
    a, b, hole = pair
    channels = zip(a.numpy(), b.numpy(), strict=True)
    covered = hole[0].numpy()
    maps = [ssim_map(x, y) for x, y in channels]
    expected = np.mean([similarity[covered] for similarity in maps])
    assert hole_ssim(a, b, hole) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", [psnr, hole_ssim])
def test_an_empty_hole_is_refused(pair, metric):
    a, b, hole = pair
    empty = torch.zeros_like(hole)
    with pytest.raises(ValueError, match="hole has no pixel"):
        metric(a, b, empty)


def test_no_photograph_is_nearer_in_features_than_itself():
    critic = models.load("efficientnet_lite0", "cpu")
    large = rectangle(slice(16, 48), slice(16, 48))
    small = rectangle(slice(0, 2), slice(0, 2))  # less than a cell of any stage
    holes = torch.stack([large, small])
    images = IMAGE.expand(2, -1, -1, -1)
    itself = perceptual_distance(critic, images, images, holes)
    assert np.abs(itself).max() < 1e-10
    black = torch.where(holes, 0., images)
    distance = perceptual_distance(critic, black, images, holes)
    assert (distance > 0).all()


def test_distances_in_features_do_not_depend_on_the_batch():
    critic = replace(models.load("efficientnet_lite0", "cpu"), chunk=4)
    rng = np.random.default_rng(0)
    images = IMAGE.expand(9, -1, -1, -1)
    cells = rng.random((9, 1, 8, 8)) < .4
    holes = torch.as_tensor(cells.repeat(8, 2).repeat(8, 3))
    colours = torch.as_tensor(rng.random((9, 3, 1, 1))).float()
    fills = torch.where(holes, colours, images)
    together = perceptual_distance(critic, fills, images, holes)
    alone = []
    for i in range(9):
        one = [part[i:i + 1] for part in (fills, images, holes)]
        alone += perceptual_distance(critic, *one).tolist()
    assert np.allclose(together, alone, rtol=1e-4)
    distinct = set(np.round(alone, 6))
    assert len(distinct) == 9


# what it was trained on

def test_the_committed_split_is_the_one_that_is_made(assets):
    assert inpainter.make_split().equals(split())


def test_no_photograph_is_on_both_sides():
    table = split()
    sizes = table.groupby(["source", "part"]).size()
    assert table.file.is_unique
    assert sizes.to_dict() == {
        ("imagenet_val", "held_out"): 100,
        ("imagenet_val", "train"): 560,
        ("scenes_sun8", "held_out"): 320,
        ("scenes_sun8", "train"): 1171,
    }


def names_in(path: Path) -> set[str]:
    """The fields of a CSV file."""
    text = path.read_text().replace("\n", ",")
    return set(text.split(","))


def test_no_training_photograph_is_evaluated_in_any_notebook():
    table = split()
    learned = table[table.part == "train"]
    files = learned.groupby("source").file
    imagenet = files.get_group("imagenet_val")
    of_imagenet = {Path(file).stem for file in imagenet}
    of_scenes = set(files.get_group("scenes_sun8"))
    results = root()/"data"/"results"
    tables = list(results.glob("*/*/*.csv"))
    both = {}
    for path in tables:
        evaluated = names_in(path) & (of_imagenet | of_scenes)
        if evaluated:
            both[str(path)] = evaluated
    assert len(tables) > 100
    assert not both
