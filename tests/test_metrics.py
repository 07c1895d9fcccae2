"""Every row of METRICS beside a computation by hand, or an identity; and the table of them."""
import math

import numpy as np
import pandas as pd
import pytest
import torch
from small_models import random_image, small_classifier

import xai_repro as xr
from xai_repro.evaluate import certificates, similarity
from xai_repro.evaluate.metrics import (
    FIRST_SEED,
    METRICS,
    Metric,
    applicable,
    evaluate,
    pareto,
    rank_methods,
)
from xai_repro.explain.attribution import Attribution
from xai_repro.explain.distributions import all_masks, binomial, uniform
from xai_repro.explain.methods import explain
from xai_repro.inputs.image import image_instance
from xai_repro.inputs.removal import Constant

WEIGHTS = np.array([.3, .05, .2, .15, .1, .1, .06, .04])
D = len(WEIGHTS)


def two_classes(masks):
    """Probabilities of two classes; the first is linear in the masks."""
    y = masks @ WEIGHTS
    return np.stack([y, 1 - y], 1)


def bent(masks):
    """Probabilities of two classes, with interactions."""
    y = .5 + .45*np.sin(11*masks @ WEIGHTS + masks[:, 0]*masks[:, 2])
    return np.stack([y, 1 - y], 1)


LINEAR = xr.function(two_classes, D, target=0)
BENT = xr.function(bent, D, target=0)
SCORES = np.random.default_rng(0).normal(size=D)
ORDER = (-SCORES).argsort()
SEVERAL = np.random.default_rng(1).normal(size=(3, D))

COLUMNS = torch.repeat_interleave(torch.arange(4), torch.tensor([32, 16, 8, 8]))
STRIPES = COLUMNS.repeat(64, 1)      # segments with 1/2, 1/4, 1/8 and 1/8 of the area


def picture(side=64):
    """An instance of an image [3, side, side] with four segments."""
    segments = STRIPES[:side, 64 - side:]
    relabelled = segments - segments.min()
    image = random_image(size=side)
    return image_instance(small_classifier(), image, relabelled, Constant(), target=0)


PICTURE = picture()
OF_IMAGES = ("ssim", "hog", "spearman")


def score(instance, mask):
    """The score of the explained class for one mask."""
    return float(instance(np.array(mask)[None])[0, instance.target])


def without(removed, d=D):
    """The mask that lacks some features."""
    mask = np.ones(d, bool)
    mask[list(removed)] = False
    return mask


def only(present, d=D):
    """The mask of some features."""
    return ~without(present, d)


# by hand

def test_jaccard_of_the_best_quarter_by_hand():
    a = [9, 8, 0, 0, 0, 0, 0, 0]
    b = [9, 0, 8, 0, 0, 0, 0, 0]
    c = [0, 9, 8, 0, 0, 0, 0, 0]
    assert METRICS["jaccard"](LINEAR, [a, b, c]) == pytest.approx(1/3)
    assert METRICS["jaccard"](LINEAR, [a, a]) == 1
    assert METRICS["jaccard"](LINEAR, [a, [0]*6 + [1, 2]]) == 0


@pytest.mark.parametrize("name, distribution", [
    ("r2_uniform", uniform(weighting=False)), ("r2_nearby", binomial(.5))])
def test_r2_is_of_the_best_line(name, distribution):
    Z = distribution.sample(512, D, FIRST_SEED + 3)
    y = bent(Z)[:, 0]
    design = np.c_[Z @ SCORES, np.ones(512)]
    residual = np.linalg.lstsq(design, y)[1][0]
    expected = 1 - residual/((y - y.mean())**2).sum()
    assert METRICS[name](BENT, SCORES, 3) == pytest.approx(expected)
    assert METRICS[name](LINEAR, 5*WEIGHTS - 1) < METRICS[name](LINEAR, 5*WEIGHTS)
    assert METRICS[name](LINEAR, -WEIGHTS) == pytest.approx(1), "a line may fall"
    assert METRICS[name](LINEAR, np.zeros(D)) == 0


@pytest.mark.parametrize("name, order", [("top_change", ORDER), ("bottom_change", ORDER[::-1])])
def test_changes_by_hand(name, order):
    whole = score(BENT, without([]))
    one = abs(score(BENT, without(order[:1])) - whole)
    two = abs(score(BENT, without(order[:2])) - whole)
    assert METRICS[name](BENT, SCORES) == pytest.approx((one + two)/2)


@pytest.mark.parametrize("name", OF_IMAGES)
def test_maps_are_compared_by_pairs(name):
    scores = np.random.default_rng(2).random((3, 4))
    maps = scores[:, STRIPES.numpy()]
    compare = similarity.MAPS[name]
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([similarity.pairwise(maps[[i, j]], compare) for i, j in pairs])
    assert METRICS[name](PICTURE, scores) == pytest.approx(expected)
    assert METRICS[name](PICTURE, scores[[0, 0]]) == pytest.approx(1)
    assert METRICS[name](PICTURE, scores[0]) == 1, "a single map agrees with itself"


def test_maps_that_do_not_vary_have_no_rank_correlation():
    assert METRICS["spearman"](PICTURE, np.ones((2, 4))) == 0


def test_the_soft_rate_is_near_the_exact_one():
    """Two features are selected; at most one of the six others is added."""
    alpha = only(ORDER[:2])
    reference = bent(alpha[None]).argmax()
    near = [alpha] + [alpha | only([i]) for i in ORDER[2:]]
    agree = bent(np.array(near)).argmax(1) == reference
    rate = METRICS["soft_rate"](BENT, SCORES)
    assert abs(rate - agree.mean()) <= .1
    exact = certificates.exact_stability(BENT, alpha, 1)
    assert agree.mean() == pytest.approx(exact)


def test_a_prediction_that_nothing_changes_is_stable():
    sure = xr.function(lambda masks: np.tile([.9, .1], (len(masks), 1)), D)
    assert METRICS["soft_rate"](sure, SCORES) == 1
    radius = METRICS["hard_radius"](sure, SCORES)
    assert radius == pytest.approx((.9 - .1)/(2*.25))


def test_the_hard_radius_is_of_the_smoothed_function():
    """Half the gap of the two classes over λ, the scores averaged over masks at λ = 1/4."""
    alpha = only(ORDER[:2])
    smoothing = certificates.quantised_masks(D, .25, 16, FIRST_SEED)
    means = bent(smoothing & alpha).mean(0)
    expected = abs(means[0] - means[1])/(2*.25)
    assert METRICS["hard_radius"](BENT, SCORES) == pytest.approx(expected)


def trapezoids(y, shares):
    """The area below a curve with steps of given widths."""
    y = np.array(y)
    return float((shares*(y[1:] + y[:-1])/2).sum())


def test_insertion_and_deletion_by_hand():
    inserted = [score(BENT, only(ORDER[:k])) for k in range(D + 1)]
    deleted = [score(BENT, without(ORDER[:k])) for k in range(D + 1)]
    equal = np.full(D, 1/D)
    assert METRICS["insertion"](BENT, SCORES) == pytest.approx(trapezoids(inserted, equal))
    assert METRICS["deletion"](BENT, SCORES) == pytest.approx(trapezoids(deleted, equal))


def test_insertion_of_an_image_counts_areas():
    scores = np.array([1., 4., 2., 3.])
    shares = np.array([1/4, 1/8, 1/8, 1/2])      # of segments 1, 3, 2, 0
    order = [1, 3, 2, 0]
    y = [score(PICTURE, only(order[:k], 4)) for k in range(5)]
    assert METRICS["insertion"](PICTURE, scores) == pytest.approx(trapezoids(y, shares))


def test_the_highest_confidence_is_within_a_quarter_of_the_area():
    first_of_a_quarter = np.array([1., 4., 2., 3.])
    expected = score(PICTURE, only([1], 4))
    assert METRICS["highest"](PICTURE, first_of_a_quarter) == pytest.approx(expected)
    two_of_an_eighth = np.array([1., 2., 4., 3.])
    expected = max(score(PICTURE, only([2], 4)), score(PICTURE, only([2, 3], 4)))
    assert METRICS["highest"](PICTURE, two_of_an_eighth) == pytest.approx(expected)
    first_of_a_half = np.array([4., 3., 2., 1.])
    expected = score(PICTURE, only([0], 4))
    assert METRICS["highest"](PICTURE, first_of_a_half) == pytest.approx(expected)


def test_mu_fidelity_of_the_terms_of_a_sum_is_one():
    powers = 2.**-np.arange(1, D + 1)      # no two sets have the same sum
    instance = xr.function(lambda masks: masks @ powers, D)
    metric = METRICS["mu_fidelity"]
    assert metric(instance, powers) == pytest.approx(1)
    assert metric(instance, -powers) == pytest.approx(-1)
    assert metric(instance, np.zeros(D)) == 0


# what holds for every row

def attributions_of(instance):
    generator = np.random.default_rng(4)
    return generator.normal(size=(3, instance.d))


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_repeatable_and_its_mean_is_over_seeds(name):
    row = METRICS[name]
    instance = PICTURE if name in OF_IMAGES else BENT
    scores = attributions_of(instance)
    together = row(instance, scores)
    assert math.isfinite(together)
    assert row(instance.fresh(), scores) == pytest.approx(together, abs=1e-6)
    if name in ("jaccard", "ssim", "hog", "spearman"): return
    alone = [row(instance, s) for s in scores]
    assert together == pytest.approx(np.mean(alone))


@pytest.mark.parametrize("name", METRICS)
def test_the_seed_matters_where_the_table_says_so(name):
    row = METRICS[name]
    instance = PICTURE if name in OF_IMAGES else BENT
    scores = attributions_of(instance)
    by_seed = {row(instance, scores, seed) for seed in range(6)}
    assert (len(by_seed) > 1) == row.seeded


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_costs_what_the_table_says(name):
    row = METRICS[name]
    instance = PICTURE if name in OF_IMAGES else xr.function(bent_10, 10, target=0)
    fresh = instance.fresh()
    row(fresh, np.random.default_rng(0).normal(size=fresh.d))
    words = row.queries.replace("/", "//").replace("d", str(fresh.d))
    assert fresh.n_queries <= eval(words) + 1, "and the whole input"


def bent_10(masks): return bent(masks[:, :D])


@pytest.mark.parametrize("name", METRICS)
def test_the_better_attribution_is_better(name):
    """Of the terms of a sum, and of their opposites."""
    row = METRICS[name]
    if name in ("jaccard", "ssim", "hog", "spearman", "soft_rate", "hard_radius"): return
    best = row(LINEAR, WEIGHTS)
    worst = row(LINEAR, -WEIGHTS)
    assert row.better*best >= row.better*worst


def test_a_single_feature_is_measured():
    """The best quarter is at least one feature, and no other is left to be added."""
    alone = xr.function(lambda masks: np.c_[masks[:, 0]*.8, 1 - masks[:, 0]*.8], 1)
    for name in applicable(alone):
        assert math.isfinite(METRICS[name](alone, [1.])), name


# the table

def test_evaluate_is_a_row_per_attribution_and_a_column_per_metric():
    named = {"z": SCORES, "a": [SCORES, -SCORES], "m": explain(BENT, "occlusion")}
    columns = ["insertion", "jaccard", "r2_uniform"]
    table = evaluate(BENT, named, columns, seed=2)
    assert list(table.index) == ["z", "a", "m"]
    assert list(table.columns) == columns
    for label, attribution in named.items():
        for name in columns:
            assert table.loc[label, name] == METRICS[name](BENT, attribution, 2)


def test_one_attribution_is_named_by_its_method():
    attribution = explain(BENT, "glime", 50, sigma=1.)
    assert evaluate(BENT, attribution, ["insertion"]).index.tolist() == ["glime"]
    assert evaluate(BENT, SCORES, ["insertion"]).index.tolist() == ["attribution"]
    assert evaluate(BENT, [SCORES, -SCORES], ["jaccard"]).shape == (1, 1)


@pytest.mark.parametrize("given", [
    SCORES, SCORES.tolist(), torch.tensor(SCORES), [SCORES], SCORES[None],
    Attribution(SCORES, "lime", 0, 0), [Attribution(SCORES, "lime", 0, 0)]])
def test_attributions_in_any_form(given):
    assert METRICS["insertion"](BENT, given) == METRICS["insertion"](BENT, SCORES)


def test_what_applies():
    segmented = set(OF_IMAGES)
    assert applicable(PICTURE) == list(METRICS)
    assert set(applicable(picture(40))) == set(METRICS) - {"hog"}
    assert set(applicable(BENT)) == set(METRICS) - segmented
    regression = xr.function(lambda masks: masks @ np.arange(4.), 4)
    certified = {"soft_rate", "hard_radius"}
    assert set(applicable(regression)) == set(METRICS) - segmented - certified
    logits = xr.function(lambda masks: 9*bent(masks) - 4, D)
    assert set(applicable(logits)) == set(METRICS) - segmented - {"hard_radius"}
    table = evaluate(regression, np.arange(4.))
    assert np.isfinite(table.to_numpy()).all()


def test_a_users_metric_takes_part(monkeypatch):
    def largest(instance, scores, seed): return scores.max()
    monkeypatch.setitem(METRICS, "largest", Metric("largest", "ours", 1, largest, "0"))
    assert xr.evaluate(BENT, SCORES).largest.item() == SCORES.max()


def test_metrics_leave_the_global_generators_alone():
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    torch_state = torch.random.get_rng_state()
    evaluate(PICTURE, np.arange(4.))
    assert np.array_equal(state, np.random.get_state()[1])
    assert torch.equal(torch_state, torch.random.get_rng_state())


def test_the_table_of_metrics():
    table = METRICS.table()
    assert list(table.index) == list(METRICS)
    assert set(table.better) == {1, -1}
    assert table.label.is_unique


@pytest.mark.parametrize("call, words", [
    (lambda: evaluate(BENT, SCORES, ["auc"]), ["metric is 'auc'", "jaccard", "insertion"]),
    (lambda: evaluate(BENT, SCORES[:3]), ["attribution has shape (3,)", "(8,)"]),
    (lambda: evaluate(BENT, np.full(D, np.nan)), ["attribution holds 8 values", "NaN"]),
    (lambda: evaluate(BENT, {"x": []}), ["attributions is empty"]),
    (lambda: METRICS["insertion"](BENT, SCORES, seed=-1), ["seed is -1"]),
    (lambda: METRICS["insertio"], ["name is 'insertio'", "insertion"])])
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError) as caught: call()
    for word in words: assert word in str(caught.value)


def test_a_metric_of_maps_needs_segments():
    with pytest.raises(TypeError, match="has no segments; allowed: one of an image"):
        evaluate(BENT, SCORES, ["ssim"])


# ranks

def test_ranks_by_hand():
    table = pd.DataFrame(dict(
        photograph=["p"]*3 + ["q"]*3, method=list("abc")*2,
        insertion=[.1, .3, .2, .5, .5, .1], deletion=[.1, .3, .2, .5, .5, .1]))
    ranked = rank_methods(table, dict(insertion=1, deletion=-1))
    wide = ranked.pivot(index="method", columns=["metric", "photograph"], values="rank")
    assert wide["insertion", "p"].tolist() == [3, 1, 2]
    assert wide["deletion", "p"].tolist() == [1, 3, 2]
    assert wide["insertion", "q"].tolist() == [1.5, 1.5, 3]
    assert wide["deletion", "q"].tolist() == [2.5, 2.5, 1]


def test_the_front_of_pareto_is_what_no_row_dominates():
    points = pd.DataFrame(np.random.default_rng(0).integers(0, 6, (40, 3)))
    front = []
    for i, row in points.iterrows():
        no_worse = (points <= row).all(axis=1)
        better = (points < row).any(axis=1)
        if not (no_worse & better).any(): front.append(i)
    assert pareto(points) == front


@pytest.mark.parametrize("call, words", [
    (lambda: pareto(pd.DataFrame(dict(a=[1, np.nan]))), "points holds 1 values that are NaN"),
    (lambda: rank_methods(pd.DataFrame(dict(photograph=[], method=[], x=[])), dict(x=1)),
     "table has 0 rows"),
    (lambda: rank_methods(pd.DataFrame(dict(photograph=[1], method=["a"], y=[1])), dict(x=1)),
     "metric is 'y'; allowed: x")])
def test_other_tables_are_refused(call, words):
    with pytest.raises(ValueError, match=words): call()


def test_all_masks_of_a_linear_function_have_an_r2_of_one():
    """An identity: whatever the masks, the sum of the terms is the score."""
    assert np.allclose(two_classes(all_masks(D))[:, 0], all_masks(D) @ WEIGHTS)
    for name in ("r2_uniform", "r2_nearby"):
        assert METRICS[name](LINEAR, WEIGHTS) == pytest.approx(1)
