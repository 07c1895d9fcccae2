"""Every row of METRICS beside a computation by hand, or an identity; and the table of them."""
import math

import numpy as np
import pandas as pd
import pytest
import torch
from pytest import approx
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
from xai_repro.explain.distributions import binomial, uniform
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
    both = masks[:, [0, 2]].all(1)
    terms = 11*masks*WEIGHTS
    linear = terms.sum(1)      # the same bits in any batch
    wave = np.sin(linear + both)
    y = .5 + .45*wave
    return np.stack([y, 1 - y], 1)


LINEAR = xr.function(two_classes, D, target=0)
BENT = xr.function(bent, D, target=0)
SCORES = np.random.default_rng(0).normal(size=D)
ORDER = (-SCORES).argsort()

WIDTHS = torch.tensor([32, 16, 8, 8])
COLUMNS = torch.arange(4).repeat_interleave(WIDTHS)
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
    scores = instance.of_class(mask[None], instance.target)
    return float(scores[0])


def scores_of(instance, masks):
    """The scores of the explained class, one mask after the other."""
    return [score(instance, mask) for mask in masks]


def without(removed, d=D):
    """The mask that lacks some features."""
    mask = np.ones(d, bool)
    mask[list(removed)] = False
    return mask


def only(present, d=D):
    """The mask of some features."""
    return ~without(present, d)


def growing(order):
    """The masks of none, one, two, ... and all of the features, in an order."""
    d = len(order)
    masks = np.zeros((d + 1, d), bool)
    for k, feature in enumerate(order):
        masks[k + 1:, feature] = True
    return masks


# by hand

def test_jaccard_of_the_best_quarter_by_hand():
    a = [9, 8, 0, 0, 0, 0, 0, 0]
    b = [9, 0, 8, 0, 0, 0, 0, 0]
    c = [0, 9, 8, 0, 0, 0, 0, 0]
    other = [0, 0, 0, 0, 0, 0, 1, 2]
    metric = METRICS["jaccard"]
    of_three = metric(LINEAR, [a, b, c])
    assert of_three == approx(1/3)
    assert metric(LINEAR, [a, a]) == 1
    assert metric(LINEAR, [a, other]) == 0


@pytest.mark.parametrize("name, distribution", [
    ("r2_uniform", uniform(weighting=False)), ("r2_nearby", binomial(.5))])
def test_r2_is_of_the_best_line(name, distribution):
    Z = distribution.sample(512, D, FIRST_SEED + 3)
    y = bent(Z)[:, 0]
    ones = np.ones(512)
    design = np.c_[Z @ SCORES, ones]
    _, residuals, *_ = np.linalg.lstsq(design, y)
    residual = residuals[0]/512
    expected = 1 - residual/y.var()
    metric = METRICS[name]
    assert metric(BENT, SCORES, 3) == approx(expected)
    assert metric(LINEAR, 5*WEIGHTS) == approx(1)
    assert metric(LINEAR, -WEIGHTS) == approx(1), "a line may fall"
    assert metric(LINEAR, WEIGHTS - 1) < .9
    assert metric(LINEAR, np.zeros(D)) == 0


@pytest.mark.parametrize("name, order", [("top_change", ORDER), ("bottom_change", ORDER[::-1])])
def test_changes_by_hand(name, order):
    masks = ~growing(order)[:3]
    whole, *others = scores_of(BENT, masks)
    changes = np.abs(np.array(others) - whole)
    result = METRICS[name](BENT, SCORES)
    assert result == approx(changes.mean())


@pytest.mark.parametrize("name", OF_IMAGES)
def test_maps_are_compared_by_pairs(name):
    scores = np.random.default_rng(2).random((3, 4))
    maps = scores[:, STRIPES.numpy()]
    compare = similarity.MAPS[name]
    similarities = []
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        pair = maps[[i, j]]
        similarities.append(similarity.pairwise(pair, compare))
    metric = METRICS[name]
    expected = np.mean(similarities)
    assert metric(PICTURE, scores) == approx(expected)
    twice = scores[[0, 0]]
    assert metric(PICTURE, twice) == approx(1)
    assert metric(PICTURE, scores[0]) == 1, "a single map agrees with itself"


def test_maps_that_do_not_vary_have_no_rank_correlation():
    constant = np.ones((2, 4))
    assert METRICS["spearman"](PICTURE, constant) == 0


def test_the_soft_rate_is_near_the_exact_one():
    """Two features are selected; at most one of the six others is added."""
    alpha = only(ORDER[:2])
    near = [alpha]
    for i in ORDER[2:]:
        added = only([i])
        near.append(alpha | added)
    predicted = bent(np.array(near)).argmax(1)
    agreement = np.mean(predicted == predicted[0])
    assert 0 < agreement < 1
    rate = METRICS["soft_rate"](BENT, SCORES)
    assert rate == approx(agreement, abs=.1)
    exact = certificates.exact_stability(BENT, alpha, 1)
    assert agreement == approx(exact)


def always(masks): return np.tile([.9, .1], (len(masks), 1))


def test_a_prediction_that_nothing_changes_is_stable():
    sure = xr.function(always, D)
    assert METRICS["soft_rate"](sure, SCORES) == 1
    radius = METRICS["hard_radius"](sure, SCORES)
    assert radius == approx((.9 - .1)/(2*.25))


def test_the_hard_radius_is_of_the_smoothed_function():
    """Half the gap of the two classes over λ, the scores averaged over masks at λ = 1/4."""
    alpha = only(ORDER[:2])
    smoothing = certificates.quantised_masks(D, .25, 16, FIRST_SEED)
    first, second = bent(smoothing & alpha).mean(0)
    gap = abs(first - second)
    radius = METRICS["hard_radius"](BENT, SCORES)
    assert radius == approx(gap/(2*.25))


def trapezoids(y, shares):
    """The area below a curve with steps of given widths."""
    area = 0.
    for left, right, share in zip(y[:-1], y[1:], shares, strict=True):
        area += share*(left + right)/2
    return area


def test_insertion_and_deletion_by_hand():
    equal = [1/D]*D
    masks = growing(ORDER)
    expected = trapezoids(scores_of(BENT, masks), equal)
    inserted = METRICS["insertion"](BENT, SCORES)
    assert inserted == approx(expected)
    masks = ~growing(ORDER)
    expected = trapezoids(scores_of(BENT, masks), equal)
    deleted = METRICS["deletion"](BENT, SCORES)
    assert deleted == approx(expected)


def test_insertion_of_an_image_counts_areas():
    scores = np.array([1., 4., 2., 3.])
    order = [1, 3, 2, 0]
    shares = [.25, .125, .125, .5]
    masks = growing(order)
    expected = trapezoids(scores_of(PICTURE, masks), shares)
    inserted = METRICS["insertion"](PICTURE, scores)
    assert inserted == approx(expected)


@pytest.mark.parametrize("scores, sets", [
    ([1, 4, 2, 3], [[1]]), ([1, 2, 4, 3], [[2], [2, 3]]), ([4, 3, 2, 1], [[0]])],
    ids=["a quarter", "two eighths", "a half"])
def test_the_highest_confidence_is_within_a_quarter_of_the_area(scores, sets):
    """Or with the first segment alone, where that has more."""
    masks = [only(present, 4) for present in sets]
    expected = max(scores_of(PICTURE, masks))
    highest = METRICS["highest"](PICTURE, scores)
    assert highest == approx(expected)


def test_mu_fidelity_of_the_terms_of_a_sum_is_one():
    powers = 2.**-np.arange(1, D + 1)      # no two sets have the same sum
    instance = xr.function(lambda masks: masks @ powers, D)
    metric = METRICS["mu_fidelity"]
    assert metric(instance, powers) == approx(1)
    assert metric(instance, -powers) == approx(-1)
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
    again = row(instance.fresh(), scores)
    assert again == approx(together, abs=1e-6)
    if name in ("jaccard", "ssim", "hog", "spearman"): return
    alone = [row(instance, s) for s in scores]
    assert together == approx(np.mean(alone))


@pytest.mark.parametrize("name", METRICS)
def test_the_seed_matters_where_the_table_says_so(name):
    row = METRICS[name]
    instance = PICTURE if name in OF_IMAGES else BENT
    scores = attributions_of(instance)
    by_seed = {row(instance, scores, seed) for seed in range(6)}
    varies = len(by_seed) > 1
    assert varies == row.seeded


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_costs_what_the_table_says(name):
    row = METRICS[name]
    instance = PICTURE if name in OF_IMAGES else WIDE
    fresh = instance.fresh()
    row(fresh, np.arange(fresh.d))
    words = row.queries.replace("/", "//")
    formula = words.replace("d", str(fresh.d))
    assert fresh.n_queries <= eval(formula) + 1, "and the whole input"


def bent_10(masks): return bent(masks[:, :D])


WIDE = xr.function(bent_10, 10, target=0)


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
    alone = xr.function(one_feature, 1)
    for name in applicable(alone):
        result = METRICS[name](alone, [1.])
        assert math.isfinite(result), name


def one_feature(masks):
    y = .8*masks[:, 0]
    return np.stack([y, 1 - y], 1)


# the table

def test_evaluate_is_a_row_per_attribution_and_a_column_per_metric():
    occlusion = explain(BENT, "occlusion")
    named = {"z": SCORES, "a": [SCORES, -SCORES], "m": occlusion}
    columns = ["insertion", "jaccard", "r2_uniform"]
    table = evaluate(BENT, named, columns, seed=2)
    assert list(table.index) == ["z", "a", "m"]
    assert list(table.columns) == columns
    for label, attribution in named.items():
        for name in columns:
            expected = METRICS[name](BENT, attribution, 2)
            assert table.loc[label, name] == expected


def test_one_attribution_is_named_by_its_method():
    attribution = explain(BENT, "glime", 50, sigma=1.)
    named = evaluate(BENT, attribution, ["insertion"])
    assert named.index.tolist() == ["glime"]
    unnamed = evaluate(BENT, SCORES, ["insertion"])
    assert unnamed.index.tolist() == ["attribution"]
    of_two_seeds = evaluate(BENT, [SCORES, -SCORES], ["jaccard"])
    assert of_two_seeds.shape == (1, 1)


@pytest.mark.parametrize("given", [
    SCORES, SCORES.tolist(), torch.tensor(SCORES), [SCORES], SCORES[None],
    Attribution(SCORES, "lime", 0, 0), [Attribution(SCORES, "lime", 0, 0)]])
def test_attributions_in_any_form(given):
    metric = METRICS["insertion"]
    assert metric(BENT, given) == metric(BENT, SCORES)


def sizes(masks): return masks @ np.arange(4.)


def logits(masks): return 9*bent(masks) - 4


REGRESSION = xr.function(sizes, 4)


@pytest.mark.parametrize("instance, others", [
    (PICTURE, ()), (picture(40), ("hog",)), (BENT, OF_IMAGES),
    (REGRESSION, (*OF_IMAGES, "soft_rate", "hard_radius")),
    (xr.function(logits, D), (*OF_IMAGES, "hard_radius"))],
    ids=["image", "small image", "classes", "regression", "logits"])
def test_what_applies(instance, others):
    expected = [name for name in METRICS if name not in others]
    assert applicable(instance) == expected
    scores = np.arange(instance.d)
    table = evaluate(instance, [scores, -scores])
    assert list(table.columns) == expected
    assert np.isfinite(table.to_numpy()).all()


def test_a_users_metric_takes_part(monkeypatch):
    def largest(instance, scores, seed): return scores.max()
    monkeypatch.setitem(METRICS, "largest", Metric("largest", "ours", 1, largest, "0"))
    table = xr.evaluate(BENT, SCORES)
    assert table.largest.tolist() == [SCORES.max()]


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
    (lambda: evaluate(BENT, {}), ["attributions is empty; allowed: at least one name"]),
    (lambda: evaluate(BENT, SCORES, []), ["metrics is empty"]),
    (lambda: pareto(pd.DataFrame()), ["points is empty"]),
    (lambda: METRICS["insertion"](BENT, SCORES, seed=-1), ["seed is -1"])])
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError) as caught: call()
    for word in words: assert word in str(caught.value)


@pytest.mark.parametrize("call, words", [
    (lambda: evaluate(bent, SCORES), ["instance is <function bent", "allowed: an Instance"]),
    (lambda: evaluate(BENT, SCORES, "jaccard"), ["metrics is 'jaccard'", "a list of names"]),
    (lambda: evaluate(BENT, None), ["attributions is None", "an Attribution"]),
    (lambda: evaluate(BENT, "abc"), ["attributions is 'abc'"]),
    (lambda: METRICS["insertion"](None, SCORES), ["instance is None"]),
    (lambda: applicable("abc"), ["instance is 'abc'"]),
    (lambda: rank_methods(SCORES, {}), ["table is ndarray of shape (8,)", "a DataFrame"])])
def test_what_is_no_instance_attribution_or_table_is_named(call, words):
    with pytest.raises(TypeError) as caught: call()
    for word in words: assert word in str(caught.value)


def test_a_row_that_there_is_not_is_a_key_error_with_those_that_there_are():
    with pytest.raises(KeyError, match=r"name is 'insertio'; allowed: .*insertion"):
        METRICS["insertio"]


def test_attributions_are_measured_for_the_class_that_they_explain():
    second = np.arange(D, dtype=float)
    other = Attribution(second, "mine", 1, 0)
    found = evaluate(BENT, other, ["insertion"]).insertion.iloc[0]
    assert found == METRICS["insertion"](BENT.explained_as(1), second)
    assert found != METRICS["insertion"](BENT.explained_as(0), second)
    both = [Attribution(second, "mine", target, 0) for target in (0, 1)]
    with pytest.raises(ValueError, match=r"of the classes \[0, 1\]; allowed: of one class"):
        evaluate(BENT, both, ["insertion"])


def test_a_metric_of_maps_needs_segments():
    with pytest.raises(TypeError, match="has no segments; allowed: one of an image"):
        evaluate(BENT, SCORES, ["ssim"])


# ranks

def test_ranks_by_hand():
    table = pd.DataFrame()
    table["photograph"] = list("pppqqq")
    table["method"] = list("abcabc")
    table["insertion"] = [.1, .3, .2, .5, .5, .1]
    table["deletion"] = table.insertion
    ranked = rank_methods(table, dict(insertion=1, deletion=-1))
    wide = ranked.pivot(index="method", columns=["metric", "photograph"], values="rank")
    assert wide["insertion", "p"].tolist() == [3, 1, 2]
    assert wide["deletion", "p"].tolist() == [1, 3, 2]
    assert wide["insertion", "q"].tolist() == [1.5, 1.5, 3]
    assert wide["deletion", "q"].tolist() == [2.5, 2.5, 1]


def test_the_front_of_pareto_is_what_no_row_dominates():
    numbers = np.random.default_rng(0).integers(0, 6, (40, 3))
    points = pd.DataFrame(numbers)
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
