"The committed numbers of GLIME's other notebooks: what they must be, and how they follow from each other."
import numpy as np
import pandas as pd
import pytest

from xai_repro.evaluate import similarity
from xai_repro.explain import limits as moments
from xai_repro.zoo import autoencoder, training
from xai_repro.workbook.comparison import published
from xai_repro.workbook.results import Results


def standard(experiment: str) -> Results:
    found = Results(experiment, "standard")
    if not (found.folder/"run.json").exists(): pytest.skip(f"{experiment} has not been run at standard")
    return found


@pytest.fixture(scope="module")
def convergence(): return standard("glime_convergence")


def test_convergence_has_the_counts_that_were_asked(convergence):
    facts, fine, coarse = convergence.provenance, convergence.load("fine"), convergence.load("coarse")
    assert fine.image.nunique() >= 3 and fine.n.max() >= 2**14 and max(facts["d"]["coarse"]) <= 12 and coarse.image.nunique() == facts["n_inputs"] >= 8
    assert set(fine.sigma) == set(coarse.sigma) == {.25, .5, 1, 5} and set(fine.kernel) == {"paper", "released code"}


def test_what_is_expected_of_the_weights_is_their_closed_form(convergence):
    for row in convergence.load("coarse").sample(20, random_state=0).itertuples():
        width = row.sigma*(1 if row.kernel == "paper" else np.sqrt(2))
        assert row.nZ == pytest.approx(row.n*moments.lime_total(row.d, width), rel=1e-4)


def test_glime_binomial_does_not_know_limes_kernel(convergence):
    own = convergence.load("coarse").query("between == 'GLIME-Binomial and its limit'").set_index(["image", "sigma", "n", "kernel"]).MAE.unstack()
    assert np.allclose(own["paper"], own["released code"], rtol=1e-5)


def test_lime_and_glime_are_as_far_apart_as_their_distances_from_the_limit_allow(convergence):
    "The triangle inequality of the mean absolute error, means over runs included."
    wide = convergence.load("coarse").query("kernel == 'paper'").pivot(index=["image", "sigma", "n"], columns="between", values="MAE")
    assert (wide["LIME and GLIME-Binomial"] <= wide["LIME and its limit"] + wide["GLIME-Binomial and its limit"] + 1e-6).all()


@pytest.fixture(scope="module")
def alime(): return standard("glime_alime")


def test_alime_has_every_variant_beside_every_printed_number(alime):
    facts, table, comparison = alime.provenance, alime.load("stability"), alime.load("comparison")
    assert facts["n_inputs"] >= 20 and facts["n_seeds"] >= 5 and set(facts["sizes"]) == {128, 256, 512, 1024} and table.image.nunique() == facts["n_inputs"]
    variants = [m for m in table.method.unique() if m.startswith("ALIME, ")]
    assert len(variants) == 8 and {m.split(", ")[1] for m in variants} == {"autoencoder", "features"}
    printed = published("glime", "Table 1")
    beside = comparison[comparison.method.isin(variants) | (comparison.method == "GLIME-Binomial, k<d")]
    assert beside.ours.notna().all() and set(zip(comparison["row"], comparison.column)) == set(zip(printed["row"], printed.column))
    assert facts["autoencoder"] == training.training_record(autoencoder.weights_path()), "made with the committed weights"
    assert (table.groupby(["method", "sigma", "n"]).image.nunique() == facts["n_inputs"]).all()


def test_what_two_notebooks_measured_is_the_same(alime):
    "LIME and GLIME-Binomial on the photographs, seeds and masks of glime_stability, scored by another program: rounding may exchange neighbours in a ranking."
    key = ["image", "method", "sigma", "n"]
    a, b = (r.load("stability").set_index(key).top20 for r in (alime, Results("glime_stability", "standard")))
    both = pd.concat([a, b], axis=1, keys=["alime", "stability"]).dropna().query("method in ['LIME', 'GLIME-Binomial', 'GLIME-Binomial, k<d', 'chance']")
    assert len(both) == 20*4*4*3 and (both.alime - both.stability).abs().mean() < 2e-3 and (both.alime - both.stability).abs().max() < .06


def test_the_more_is_absent_the_further_a_mask_is(alime):
    far = alime.load("distances")
    assert (far.groupby(["encoder", "image"]).farthest.nunique() == 1).all() and set(far.encoder) == {"autoencoder", "features"}
    for _, part in far.groupby(["encoder", "image"]): assert similarity.spearman(part.share, part.distance) > .8


@pytest.fixture(scope="module")
def texts(): return standard("glime_text")


def test_reviews_are_as_many_as_were_asked_and_none_is_cut_off(texts):
    facts, table, reviews = texts.provenance, texts.load("stability"), texts.load("texts")
    assert len(reviews) == facts["n_inputs"] >= 50 and reviews.d.min() > 20 and facts["n_tested"] == 2000 and .7 < facts["accuracy"]["tested"] < 1
    assert (table.groupby(["method", "sigma", "n"]).text.nunique() == len(reviews)).all() and table.method.nunique() == 7
    level = table.query("method == 'chance'").merge(reviews[["text", "d"]], on="text").drop_duplicates("text")
    assert all(row.top20 == pytest.approx(similarity.jaccard_by_chance(row.d, 20), rel=1e-5) for row in level.itertuples())


def test_the_head_is_as_accurate_as_is_said(texts, assets):
    "On a tenth of the texts that it was measured on: within four standard errors."
    from xai_repro.zoo import text
    classifier, rows = text.load_text("imdb", "cpu"), text.draw_texts("imdb_test", 150, 7)
    right = (classifier.predict(list(rows.text)).argmax(1).numpy() == rows.label).mean()
    said = texts.provenance["accuracy"]["tested"]
    assert abs(right - said) < 4*np.sqrt(said*(1 - said)/150)
    assert not set(text.reviews("train").text) & set(rows.text), "it learned from others"


def test_what_options_do_follows_from_the_stored_table():
    found, stored = standard("glime_findings"), Results("glime_stability", "standard").load("stability")
    told = found.load("changes").set_index(["finding", "sigma"]).ours
    wide = stored[stored.n == stored.n.max()].pivot(index=["image", "sigma"], columns="method", values="top20")
    for finding, (a, b) in {"weighted=False": ("LIME+π=1", "LIME"), "square root in the kernel": ("LIME, released kernel", "LIME"), "k < d": ("GLIME-Binomial, k<d", "GLIME-Binomial"), "noise of 8 grey levels": ("GLIME-Gauss", "GLIME-Gauss, scale 1")}.items():
        ours = (wide[a] - wide[b]).groupby("sigma").mean()
        assert np.allclose(told[finding].sort_index(), ours, atol=1e-5)


@pytest.fixture(scope="module")
def references(): return standard("glime_references")


def test_references_are_the_papers_six_and_an_inpainted_one(references):
    facts, table, exact = references.provenance, references.load("stability"), references.load("exact")
    assert facts["n_inputs"] >= 20 and facts["inputs"].endswith("5 seeds") and len(facts["references"]) == 7 and "telea" in facts["references"]["inpainted"]
    assert (table.groupby(["between", "sigma", "n"]).image.nunique() == facts["n_inputs"]).all() and (exact.groupby(["between", "sigma"]).image.nunique() == facts["n_inputs"]).all()
    assert set(table.sigma) == set(exact.sigma) == {.25, .5, 1, 5} and exact.d.max() <= 20
    assert table[["top1", "top5", "top10", "top20"]].stack().between(0, 1).all()


def test_chance_is_exact_and_a_single_pair_has_whole_tops(references):
    exact, images = references.load("exact"), references.load("images").set_index("image")
    level = references.load("stability").query("between == 'chance'").drop_duplicates("image")
    assert all(row.top20 == pytest.approx(similarity.jaccard_by_chance(images.d[row.image], 20), rel=1e-5) for row in level.itertuples())
    assert set(exact[exact.between == "mean and inpainted"].top1) <= {0, 1}, "two limits name the same part or they do not"


def test_sharing_masks_is_what_the_claim_says_it_is(references):
    table = references.load("stability").pivot(index=["image", "sigma"], columns=["n", "between"], values="top20")[references.load("stability").n.max()]
    told = references.load("claim_cells").query("claim == 'Sharing masks makes references look more alike than they are'")
    means = (table["references, same masks"] - table["references, other masks"]).groupby("sigma").mean()
    assert np.allclose(told.effect.to_numpy(), means.sort_index().to_numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def fidelity(): return standard("glime_fidelity")


def test_fidelity_is_measured_in_every_ball(fidelity):
    facts, means, peaks = fidelity.provenance, fidelity.load("means"), fidelity.load("peaks")
    assert facts["n_inputs"] >= 20 and "5 seeds" in facts["inputs"]
    assert (means.groupby(["method", "sigma", "norm", "radius"]).image.nunique() == facts["n_inputs"]).all() and set(means.norm) == {"ℓ1", "ℓ2", "ℓ∞"}
    assert means["1/(1+MSE)"].between(0, 1).all() and means.R2.dropna().between(facts["worst_r2"], 1).all()
    assert set(peaks.radius) <= set(facts["radii"]) and set(peaks.method) == {"GLIME-Gauss", "GLIME-Laplace", "GLIME-Uniform", "LIME", "GLIME-Binomial"}


def test_who_says_one_number_explains_no_variation(fidelity):
    "LIME and GLIME-Binomial are constant around the image: their R² is that of a constant, at most 0."
    flat = fidelity.load("means").query("method in ['LIME', 'GLIME-Binomial']")
    assert (flat.R2.dropna() <= 1e-6).all()


@pytest.fixture(scope="module")
def networks(): return standard("glime_models")


def test_networks_are_compared_on_the_same_photographs(networks):
    facts, table, images = networks.provenance, networks.load("stability"), networks.load("images")
    assert facts["n_inputs"] >= 8 and "3 seeds" in facts["inputs"] and len(facts["networks"]) == 4
    assert images.groupby("network").image.apply(frozenset).nunique() == 1 and images.groupby("network").parameters.nunique().eq(1).all() and images.parameters.nunique() == 4
    assert (table.groupby(["network", "method", "sigma", "n"]).image.nunique() == facts["n_inputs"]).all()


def test_one_of_the_networks_is_that_of_glime_stability(networks):
    "The first three of its seeds on its first photographs: what follows from weights that sum to nearly nothing may differ by rounding, what a network says may not."
    key = ["image", "method", "sigma", "n"]
    ours = networks.load("stability").query("network == 'efficientnet_lite0'").set_index(key)
    theirs = Results("glime_stability", "standard").load("stability").set_index(key)
    both = ours.join(theirs, lsuffix="_3", rsuffix="_5", how="inner").query("method in ['LIME+π=1', 'GLIME-Binomial, k<d']")
    assert len(both) and ours.index.get_level_values("image").isin(theirs.index.get_level_values("image")).all()
    assert (both.r2_3 - both.r2_5).abs().mean() < .02, "means over three seeds and over five"
    assert np.corrcoef(both.top20_3, both.top20_5)[0, 1] > .8
