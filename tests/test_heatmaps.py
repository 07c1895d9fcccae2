"Maps in pairs: by hand on a linear model, kept one by one, alone or among others."
import numpy as np
import pytest
import torch
from skimage.transform import resize

from xai_repro.explain import maps as H
from xai_repro.inputs import segmentation as features
from xai_repro.zoo.photographs import embedded_photographs
from xai_repro.zoo.models import Classifier, IMAGENET, Preprocessing
from xai_repro.inputs.removal import MEAN_GREY, Blur, Constant, Inpaint
from xai_repro.evaluate.similarity import pairwise
from xai_repro.evaluate.robustness import METRICS, gains, partners, robustness, spreads
from xai_repro.cache import Store

SIDE = 48


class Sees(torch.nn.Module):
    "Two classes; the logit of the first is ten times the mean brightness of a square, less 5."
    def forward(self, x): return torch.stack([10*x[:, :, 8:24, 8:24].mean((1, 2, 3)) - 5, torch.zeros(len(x))], 1)


def subject(image=None) -> H.Subject:
    network = Classifier("sees", Sees(), Preprocessing((0., 0., 0.), (1., 1., 1.)), SIDE, ["yes", "no"], torch.device("cpu"))
    return H.Subject(network, torch.full((3, SIDE, SIDE), .9) if image is None else image, 0)


def probability(brightness): return 1/(1 + np.exp(5 - 10*np.asarray(brightness)))


def test_a_sliding_patch_by_hand():
    "Black patches of 16 at every 8th place: the fall depends on the share of the bright square that is covered."
    maps = H.heatmaps("sp", subject(), (16,), Constant(), stride=8)
    places = np.arange(0, 33, 8)
    covered = np.array([[len(set(range(t, t + 16)) & set(range(8, 24)))*len(set(range(l, l + 16)) & set(range(8, 24)))/256 for l in places] for t in places])
    assert np.allclose(maps[0], resize(probability(.9) - probability(.9*(1 - covered)), (SIDE, SIDE), order=5), atol=1e-5)


def test_lime_is_painted_on_superpixels_and_finds_the_square():
    image = embedded_photographs(SIDE)["astronaut"]
    maps = H.heatmaps("lime_50", subject(image), (0, 1), Constant(), n_samples=400)
    parts = features.slic(image, 50, compactness=30, sigma=3).numpy()
    for m in maps:
        assert all(np.ptp(m[parts == j]) == 0 for j in range(parts.max() + 1))
        assert m[12:20, 12:20].mean() > 5*np.abs(m[32:, 32:]).mean()


def test_lime_is_lfas_lime_with_the_packages_weights():
    from xai_repro.explain import lfa
    from xai_repro.inputs.image import MaskedModel
    image, s = embedded_photographs(SIDE)["coffee"], 3
    parts = features.slic(image, 20, compactness=30, sigma=3)
    weights = lfa.lime(MaskedModel(subject(image).classifier.predict, image, parts, MEAN_GREY), 0, 60, seed=s, original_first=True, distance="cosine").weights
    assert np.allclose(H.heatmaps("lime_50", subject(image), (s,), n_segments=20, n_samples=60)[0], weights[parts.numpy()], atol=1e-6)


@pytest.mark.parametrize("removal, binary", [(Constant(), True), (Constant(), False), (Blur(6), True), (Inpaint("telea"), True)])
def test_meaningful_perturbation_lowers_the_probability_at_a_price(removal, binary):
    image = torch.full((3, SIDE, SIDE), .1); image[:, 8:24, 8:24] = .9
    maps = H.heatmaps("mp2", subject(image), (0, 1), removal, size=12, iterations=60, binary=binary, jitter=0, l1=1e-3)
    assert maps.shape == (2, SIDE, SIDE) and maps.min() >= 0 and maps.max() <= 1
    inside, outside = maps[:, 8:24, 8:24].mean(), maps[:, 30:, 30:].mean()
    assert inside > outside + .2


def test_a_threshold_is_the_middle_of_the_range_but_at_least_a_half():
    masks = torch.tensor([[[.0, .4], [.5, 1.]], [[.7, .8], [.9, 1.]], [[.0, .1], [.2, .3]]])
    assert H._present(masks).tolist() == [[[False, False], [True, True]], [[False, False], [True, True]], [[False, False], [False, False]]]


def test_variation_by_hand():
    assert H._variation(torch.tensor([[[0., 1.], [.5, .5]]]), 3).item() == pytest.approx(1 + 0 + .5**3 + .5**3)


def test_partners_differ_by_the_removal_alone():
    for plain, painted in H.PAIRS.values():
        a, b = H.HEATMAPS[plain], H.HEATMAPS[painted]
        assert (a.maps, a.varied, a.values) == (b.maps, b.varied, b.values) and a.removal is not b.removal
        assert not isinstance(a.removal(), Inpaint) and repr(b.removal()) == repr(Inpaint("neural"))


def test_maps_are_kept_one_by_one(tmp_path):
    store, image = Store(tmp_path), embedded_photographs(SIDE)["coffee"]
    first = H.heatmaps("lime_50", subject(image), (0, 1), store=store, n_samples=30)
    asked = []
    watched = subject(image); watched.classifier.network.register_forward_hook(lambda *_: asked.append(1))
    again = H.heatmaps("lime_50", watched, (1, 0), store=store, n_samples=30)
    assert not asked and np.array_equal(again, first[::-1])
    assert np.array_equal(H.heatmaps("lime_50", watched, (2,), store=store, n_samples=30), H.heatmaps("lime_50", subject(image), (2,), n_samples=30)) and asked
    other = H.heatmaps("lime_50", watched, (0,), Constant(), store, n_samples=30)
    assert not np.array_equal(other[0], first[0])


@pytest.mark.parametrize("make, said", [
    (lambda: H.heatmaps("rise", subject()), "method is 'rise'; allowed: sp, sp_g, lime_50, lime_50_g, lime_150, lime_150_g, mp2, mp2_g"),
    (lambda: H.heatmaps("sp", subject(), iterations=3), "option of sp is 'iterations'; allowed: stride"),
    (lambda: H.heatmaps("sp", subject(), (49,)), "patch is 49; allowed: a whole number from 1 to 48"),
    (lambda: H.heatmaps("sp", subject(), (8,), stride=0), "stride is 0"),
    (lambda: H.heatmaps("lime_50", subject(), n_segments=3000), "n_segments is 3000; allowed: a whole number from 1 to 2304"),
    (lambda: H.heatmaps("mp2", subject(), iterations=0), "iterations is 0"),
    (lambda: H.heatmaps("mp2", subject(), rate=-1), "rate is -1"),
    (lambda: H.heatmaps("mp2", subject(), size=64), "size is 64; allowed: a whole number from 1 to 48")])
def test_bad_arguments(make, said):
    with pytest.raises(ValueError) as error: make()
    assert said in str(error.value)


# robustness

def test_robustness_by_hand():
    maps = np.random.default_rng(0).normal(size=(4, 64, 64)).cumsum(1)
    table = robustness(maps)
    assert table.metric.tolist() == list(METRICS.values()) and (table.pairs == 6).all() and (table.undefined == "").all()
    assert np.allclose(table["mean"], [pairwise(maps, m) for m in METRICS])


def test_a_map_that_does_not_vary_is_said_to_and_counts_for_neither_partner():
    image = embedded_photographs(224)["coffee"]
    parts = [{"image": f"i{k}", "row": row, "maps": np.zeros((3, 64, 64)) if k == 2 and row == "MP2" else np.random.default_rng([k, len(row)]).normal(size=(3, 64, 64))} for k in range(4) for row in ("MP2", "MP2-G")]
    import pandas as pd
    each = pd.concat([robustness(p["maps"]).assign(image=p["image"], row=p["row"]) for p in parts])
    lost = each[each.undefined != ""]
    assert lost.image.unique().tolist() == ["i2"] and lost.metric.tolist() == ["HOG", "Spearman"] and lost.undefined.str.contains("constant").all()
    found = gains(each, "mp2")
    assert {cell: len(v) for cell, v in found.items()} == {"MP2, SSIM": 4, "MP2, HOG": 3, "MP2, Spearman": 3} and all(np.isfinite(v).all() for v in found.values())
    kinds = spreads(each).set_index(["row", "metric"])
    assert kinds.photographs["MP2", "HOG"] == 3 and kinds.photographs["MP2-G", "HOG"] == 4
    ssim = each[(each.row == "MP2") & (each.metric == "SSIM")]
    assert spreads(robustness(parts[0]["maps"][:2]).assign(image="i0", row="MP2")).spread.isna().all()       # of a single pair there is none
    assert kinds.spread["MP2", "SSIM"] == pytest.approx(np.sqrt(ssim.variance.mean())) and kinds.spread["MP2", "SSIM"] > 0 and kinds.standard_error["MP2", "SSIM"] == pytest.approx(ssim["mean"].std(ddof=1)/2)


def test_partners_see_the_same(tmp_path):
    image = embedded_photographs(SIDE)["coffee"]
    each, maps = partners({"a": subject(image)}, MEAN_GREY, {"lime_50": (0, 1)}, {"lime_50": 1}, {"lime_50": dict(n_samples=30)})
    assert np.array_equal(maps["lime_50", "a"], maps["lime_50_g", "a"]), "the same removal, the same maps"
    assert each[each.row == "LIME (50)"]["mean"].tolist() == each[each.row == "LIME-G (50)"]["mean"].tolist()
