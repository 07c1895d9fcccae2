"""Maps in pairs: by hand on a linear model, alone or among others."""
import numpy as np
import pandas as pd
import pytest
import torch
from skimage.transform import resize

import xai_repro.zoo.inpainter  # noqa: F401 (adds "neural" to INPAINTERS)
from xai_repro.evaluate.robustness import METRICS, robustness, spreads
from xai_repro.evaluate.similarity import pairwise
from xai_repro.explain import lfa, maps
from xai_repro.inputs import segmentation
from xai_repro.inputs.image import MaskedModel, image_instance
from xai_repro.inputs.removal import MEAN_GREY, Blur, Constant, Inpaint
from xai_repro.workbook.lime_g import HEATMAPS, PAIRS, gains, heatmaps, partners
from xai_repro.zoo.models import Classifier, Preprocessing
from xai_repro.zoo.photographs import embedded_photographs

SIDE = 48


class Square(torch.nn.Module):
    """Two classes; the first logit is ten times the mean brightness of a square, less 5."""

    def forward(self, x):
        square = x[:, :, 8:24, 8:24]
        logits = 10*square.mean((1, 2, 3)) - 5
        zeros = torch.zeros(len(x))
        return torch.stack([logits, zeros], 1)


def make_classifier():
    as_it_is = Preprocessing((0., 0., 0.), (1., 1., 1.))
    names = ["yes", "no"]
    return Classifier("square", Square(), as_it_is, SIDE, names, torch.device("cpu"))


def make_instance(image=None):
    if image is None: image = torch.full((3, SIDE, SIDE), .9)
    segments = segmentation.grid(image, 16)
    return image_instance(make_classifier(), image, segments, target=0)


def probability(brightness):
    logits = 10*np.asarray(brightness) - 5
    return 1/(1 + np.exp(-logits))


def photograph(name, side=SIDE):
    return embedded_photographs(side)[name]


# the three families

def test_a_sliding_patch_by_hand():
    """Black patches of 16 at every 8th pixel.

    The fall depends on the share of the bright square that is covered.
    """
    computed = heatmaps("sp", make_instance(), (16,), Constant(), stride=8)
    square = set(range(8, 24))
    overlaps = []
    for start in range(0, 33, 8):
        stretch = range(start, start + 16)
        overlap = square.intersection(stretch)
        overlaps.append(len(overlap))
    covered = np.outer(overlaps, overlaps)/256
    mean = .9*(1 - covered)
    falls = probability(.9) - probability(mean)
    expected = resize(falls, (SIDE, SIDE), order=5)
    assert np.allclose(computed[0], expected, atol=1e-5)


def test_lime_is_painted_on_superpixels_and_finds_the_square():
    image = photograph("astronaut")
    instance = make_instance(image)
    computed = heatmaps("lime_50", instance, (0, 1), Constant(), n_samples=400)
    segments = segmentation.slic(image, 50, compactness=30, sigma=3).numpy()
    for one in computed:
        for j in range(segments.max() + 1):
            values = one[segments == j]
            assert np.ptp(values) == 0
        inside = one[12:20, 12:20]
        far = np.abs(one[32:, 32:])
        assert inside.mean() > 5*far.mean()


def test_lime_is_lfas_lime_with_the_packages_weights():
    image = photograph("coffee")
    segments = segmentation.slic(image, 20, compactness=30, sigma=3)
    value = MaskedModel(make_classifier().predict, image, segments, MEAN_GREY)
    options = {"seed": 3, "original_first": True, "distance": "cosine"}
    weights = lfa.lime(value, 0, 60, **options).weights
    instance = make_instance(image)
    computed = heatmaps("lime_50", instance, (3,), n_segments=20, n_samples=60)
    painted = weights[segments.numpy()]
    assert np.allclose(computed[0], painted, atol=1e-6)


@pytest.mark.parametrize("removal, binary", [
    (Constant(), True),
    (Constant(), False),
    (Blur(6), True),
    (Inpaint("telea"), True),
])
def test_meaningful_perturbation_lowers_the_probability_at_a_price(removal, binary):
    image = torch.full((3, SIDE, SIDE), .1)
    image[:, 8:24, 8:24] = .9
    options = {"size": 12, "iterations": 60, "binary": binary, "jitter": 0, "l1": 1e-3}
    instance = make_instance(image)
    computed = heatmaps("mp2", instance, (0, 1), removal, **options)
    assert computed.shape == (2, SIDE, SIDE)
    assert computed.min() >= 0
    assert computed.max() <= 1
    inside = computed[:, 8:24, 8:24]
    outside = computed[:, 30:, 30:]
    assert inside.mean() > outside.mean() + .2


@pytest.mark.parametrize("mask, present", [
    ([.0, .4, .5, 1.], [False, False, True, True]),
    ([.7, .8, .9, 1.], [False, False, True, True]),
    ([.0, .1, .2, .3], [False, False, False, False]),
])
def test_a_threshold_is_the_middle_of_the_range_but_at_least_a_half(mask, present):
    wide = [0., 1., 1., 1.]    # another mask's range does not matter
    masks = torch.tensor([wide, mask])
    marked = maps._present(masks.view(2, 2, 2))
    assert marked[1].flatten().tolist() == present


def test_variation_by_hand():
    numbers = torch.tensor([0., 1., .5, .5])
    masks = numbers.view(1, 2, 2)
    variation = maps._variation(masks, 3).item()
    assert variation == pytest.approx(1 + 2/8)


# the table

@pytest.mark.parametrize("pair", PAIRS.values())
def test_partners_differ_by_the_removal_alone(pair):
    plain, painted = (HEATMAPS[row] for row in pair)
    assert plain.maps == painted.maps
    assert plain.varied == painted.varied
    assert plain.values == painted.values
    assert plain.defaults == painted.defaults
    assert plain.removal is not painted.removal
    assert not isinstance(plain.removal(), Inpaint)
    assert repr(painted.removal()) == repr(Inpaint("neural"))


@pytest.mark.parametrize("method, values, options", [
    ("sp", (8, 16), {"stride": 8}),
    ("lime_50", (0, 1), {"n_samples": 30}),
    ("mp2", (0, 1), {"iterations": 3}),
])
def test_a_map_does_not_depend_on_the_others(method, values, options):
    instance = make_instance(photograph("coffee"))
    both = heatmaps(method, instance, values, **options)
    first, second = values
    backwards = heatmaps(method, instance, (second, first), **options)
    assert np.array_equal(backwards, both[::-1])
    alone = heatmaps(method, instance, (second,), **options)
    assert np.array_equal(alone, both[1:])
    removal = Constant((1., 1., 1.))
    white = heatmaps(method, instance, values, removal, **options)
    assert not np.array_equal(white, both)


ALL_ROWS = "sp, sp_g, lime_50, lime_50_g, lime_150, lime_150_g, mp2, mp2_g"
@pytest.mark.parametrize("method, values, options, message", [
    ("rise", None, {}, f"method is 'rise'; allowed: {ALL_ROWS}"),
    ("sp", None, {"iterations": 3}, "option of sp is 'iterations'; allowed: stride"),
    ("sp", (49,), {}, "patch is 49; allowed: a whole number from 1 to 48"),
    ("sp", (8,), {"stride": 0}, "stride is 0"),
    ("lime_50", None, {"n_segments": 3000},
     "n_segments is 3000; allowed: a whole number from 1 to 2304"),
    ("mp2", None, {"iterations": 0}, "iterations is 0"),
    ("mp2", None, {"rate": -1}, "rate is -1"),
    ("mp2", None, {"size": 64}, "size is 64; allowed: a whole number from 1 to 48"),
])
def test_bad_arguments(method, values, options, message):
    with pytest.raises(ValueError) as error:
        heatmaps(method, make_instance(), values, **options)
    assert message in str(error.value)


# robustness

def test_robustness_by_hand():
    drawn = random_maps(0, 4).cumsum(1)
    table = robustness(drawn)
    assert table.metric.tolist() == list(METRICS.values())
    assert (table.pairs == 6).all()
    assert (table.undefined == "").all()
    expected = [pairwise(drawn, metric) for metric in METRICS]
    assert np.allclose(table["mean"], expected)


def random_maps(seed, n):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, 64, 64))


@pytest.fixture(scope="module")
def each():
    """Robustness of four images' maps by both partners; one image's MP2 maps do not vary."""
    tables = []
    for k in range(4):
        for row in ("MP2", "MP2-G"):
            drawn = random_maps([k, len(row)], 3)
            if k == 2 and row == "MP2":
                drawn[:] = 0
            table = robustness(drawn)
            named = table.assign(image=f"i{k}", row=row)
            tables.append(named)
    return pd.concat(tables)


def test_a_map_that_does_not_vary_is_reported_and_counts_for_neither_partner(each):
    undefined = each[each.undefined != ""]
    assert undefined.image.unique().tolist() == ["i2"]
    assert undefined.metric.tolist() == ["HOG", "Spearman"]
    assert undefined.undefined.str.contains("constant").all()
    by_metric = gains(each, "mp2")
    assert list(by_metric) == ["MP2, SSIM", "MP2, HOG", "MP2, Spearman"]
    counts = list(map(len, by_metric.values()))
    assert counts == [4, 3, 3]
    for values in by_metric.values():
        assert np.isfinite(values).all()


def test_spreads_by_hand(each):
    table = spreads(each).set_index(["row", "metric"])
    assert table.photographs["MP2", "HOG"] == 3
    assert table.photographs["MP2-G", "HOG"] == 4
    of_mp2 = each[each.row == "MP2"]
    ssim = of_mp2[of_mp2.metric == "SSIM"]
    spread = table.spread["MP2", "SSIM"]
    mean_variance = ssim.variance.mean()
    assert spread == pytest.approx(mean_variance**.5)
    assert spread > 0
    standard_error = table.standard_error["MP2", "SSIM"]
    expected = ssim["mean"].std(ddof=1)/2
    assert standard_error == pytest.approx(expected)


def test_a_single_pair_has_no_spread():
    two = random_maps([0, 3], 2)
    table = robustness(two).assign(image="i0", row="MP2")
    assert spreads(table).spread.isna().all()


def test_partners_see_the_same():
    instances = {"a": make_instance(photograph("coffee"))}
    settings = {"lime_50": (0, 1)}
    options = {"lime_50": {"n_samples": 30}}
    n_images = {"lime_50": 1}
    each, computed = partners(instances, MEAN_GREY, settings, n_images, options)
    plain = computed["lime_50", "a"]
    painted = computed["lime_50_g", "a"]
    assert np.array_equal(plain, painted), "the same removal, the same maps"
    means = each.groupby("row")["mean"].apply(list)
    assert means["LIME (50)"] == means["LIME-G (50)"]
