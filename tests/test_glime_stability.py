"The committed numbers of GLIME's stability, made again from nothing."
import numpy as np
import pandas as pd
import pytest

from xai_repro.evaluate import similarity
from xai_repro.explain import lfa
from xai_repro.inputs import segmentation as features
from xai_repro.zoo import models
from xai_repro.zoo.photographs import draw_images
from xai_repro.inputs.image import MaskedModel
from xai_repro.workbook.results import Results


@pytest.fixture(scope="module")
def standard(): return Results("glime_stability", "standard")


def test_the_standard_run_is_what_it_should_be(standard):
    facts, table, images = standard.provenance, standard.load("stability"), standard.load("images")
    assert facts["source"] == "imagenet_val" and facts["draw_seed"] == 2022 and facts["n_images"] >= 20 and facts["n_seeds"] >= 5 and max(facts["sizes"]) >= 512
    assert len(images) == facts["n_images"] == table.image.nunique() and images.d.min() > 20, "a top-20 of 20 is 1 whatever is explained"
    cells = table.groupby(["method", "sigma", "n"]).image.nunique()
    assert (cells == facts["n_images"]).all() and len(cells) == table.method.nunique()*4*len(facts["sizes"])
    columns = ["top1", "top5", "top10", "top20", "mean"]
    assert table[columns].notna().all().all() and table[columns].ge(0).all().all() and table[columns].le(1).all().all()
    assert table[table.method != "chance"].ess.between(.999, max(facts["sizes"])*1.001).all()


def test_chance_is_the_exact_one(standard):
    chance = standard.load("stability").query("method == 'chance'").merge(standard.load("images"), on="image")
    for row in chance.drop_duplicates("image").itertuples():
        assert row.top20 == pytest.approx(similarity.jaccard_by_chance(row.d, 20), rel=1e-5) and row.mean == pytest.approx(similarity.chance_curve(row.d).mean(), rel=1e-5)


def test_pi_1_does_not_know_sigma(standard):
    table = standard.load("stability").query("method == 'LIME+π=1'")
    assert (table.groupby(["image", "n"]).top20.nunique() == 1).all()


def test_the_comparison_is_the_mean_over_photographs(standard):
    table, beside = standard.load("stability"), standard.load("comparison")
    row = beside[(beside.method == "GLIME-Binomial, k<d") & (beside["row"] == "sigma=0.25 | GLIME-Binomial") & (beside.column == "n=128")].iloc[0]
    ours = table[(table.method == "GLIME-Binomial, k<d") & (table.sigma == .25) & (table.n == 128)].top20
    assert row.published == .952 and row.ours == pytest.approx(ours.mean(), rel=1e-5) and row.inputs == len(ours)


def test_one_photograph_again(standard, assets):
    "Five explanations of the first photograph, without the store and without compiled code. Rounding may exchange two features of nearly equal weight at a cut-off: .01 is one in ten pairs."
    facts = standard.provenance
    (name, image), = draw_images(facts["source"], 1, facts["draw_seed"]).items()
    classifier = models.load(facts["model"], "cpu")
    value = MaskedModel(classifier.predict, image, features.quickshift(image))
    target = int(classifier.predict(image[None]).argmax())
    weights = [lfa.lime(value, target, 128, weighting=False, seed=s).weights for s in range(facts["n_seeds"])]
    row = standard.load("stability").query("image == @name and method == 'LIME+π=1' and n == 128").iloc[0]
    curve = similarity.over_pairs(np.array(weights), similarity.jaccard_curve)
    assert pd.Series(dict(top5=curve[4], top20=curve[19], mean=curve.mean())).to_numpy() == pytest.approx(row[["top5", "top20", "mean"]].to_numpy(float), abs=.01)
