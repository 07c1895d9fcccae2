"""The committed numbers of GLIME's stability, and a part of them computed again."""
import numpy as np
import pytest

from xai_repro.evaluate import similarity
from xai_repro.explain import lfa
from xai_repro.inputs.image import MaskedModel
from xai_repro.inputs.segmentation import quickshift
from xai_repro.workbook.results import Results
from xai_repro.zoo import models
from xai_repro.zoo.photographs import draw_images

SHARES = ["top1", "top5", "top10", "top20", "mean"]


@pytest.fixture(scope="module")
def standard():
    return Results("glime_stability", "standard")


@pytest.fixture(scope="module")
def table(standard):
    return standard.table("stability")


@pytest.fixture(scope="module")
def images(standard):
    return standard.table("images")


def test_the_standard_run_has_the_settings_it_should(standard):
    facts = standard.provenance
    assert facts["source"] == "imagenet_val"
    assert facts["draw_seed"] == 2022
    assert facts["n_images"] >= 20
    assert facts["n_seeds"] >= 5
    assert max(facts["sizes"]) >= 512


def test_every_image_is_in_every_cell(standard, table, images):
    facts = standard.provenance
    assert len(images) == facts["n_images"] == table.image.nunique()
    assert images.d.min() > 20, "a top-20 of 20 is 1 whatever is explained"
    cells = table.groupby(["method", "sigma", "n"]).image.nunique()
    assert (cells == facts["n_images"]).all()
    assert len(cells) == table.method.nunique() * 4 * len(facts["sizes"])


def test_agreements_are_shares(table):
    agreements = table[SHARES]
    assert agreements.notna().all().all()
    assert agreements.ge(0).all().all()
    assert agreements.le(1).all().all()


def test_effective_sample_sizes_are_at_most_the_samples(standard, table):
    largest = max(standard.provenance["sizes"])
    drawn = table[table.method != "chance"]
    assert drawn.ess.between(.999, 1.001 * largest).all()


def test_chance_is_the_exact_one(table, images):
    chance = table[table.method == "chance"].merge(images, on="image")
    for row in chance.drop_duplicates("image").itertuples():
        top20 = similarity.jaccard_by_chance(row.d, 20)
        mean = similarity.chance_curve(row.d).mean()
        assert row.top20 == pytest.approx(top20, rel=1e-5)
        assert row.mean == pytest.approx(mean, rel=1e-5)


def test_pi_1_does_not_depend_on_sigma(table):
    unweighted = table[table.method == "LIME+π=1"]
    cells = unweighted.groupby(["image", "n"])
    assert (cells.top20.nunique() == 1).all()


def test_the_comparison_is_the_mean_over_photographs(standard, table):
    comparison = standard.table("comparison")
    method = "GLIME-Binomial, k<d"
    ours = table.query("method == @method and sigma == .25 and n == 128").top20
    cells = comparison.set_index(["method", "row", "column"])
    cell = cells.loc[method, "sigma=0.25 | GLIME-Binomial", "n=128"]
    assert cell.published == .952
    assert cell.ours == pytest.approx(ours.mean(), rel=1e-5)
    assert cell.inputs == len(ours)


def test_one_photograph_again(standard, table, assets):
    """Five explanations of the first photograph, with nothing stored and nothing compiled.

    Rounding may exchange two features of nearly equal weight at a cut-off: .01 is one in ten pairs.
    """
    facts = standard.provenance
    drawn = draw_images(facts["source"], 1, facts["draw_seed"])
    name, = drawn
    image = drawn[name]
    classifier = models.load(facts["model"], "cpu")
    value = MaskedModel(classifier.predict, image, quickshift(image))
    target = int(classifier.predict(image[None]).argmax())
    weights = []
    for seed in range(facts["n_seeds"]):
        explanation = lfa.lime(value, target, 128, weighting=False, seed=seed)
        weights.append(explanation.weights)
    curve = similarity.over_pairs(np.array(weights), similarity.jaccard_curve)
    of_image = table[table.image == name]
    committed = of_image.query("method == 'LIME+π=1' and n == 128").iloc[0]
    assert curve[4] == pytest.approx(committed["top5"], abs=.01)
    assert curve[19] == pytest.approx(committed["top20"], abs=.01)
    assert curve.mean() == pytest.approx(committed["mean"], abs=.01)
