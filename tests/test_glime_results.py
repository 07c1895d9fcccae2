"""The committed numbers of GLIME's other notebooks: what they must be, and how they agree."""
import numpy as np
import pandas as pd
import pytest

from xai_repro.evaluate import similarity
from xai_repro.explain.limits import lime_total
from xai_repro.workbook.comparison import published
from xai_repro.workbook.results import Results
from xai_repro.zoo import autoencoder, text, training

SIGMAS = {.25, .5, 1, 5}
CELL = ["image", "method", "sigma", "n"]


def standard(experiment: str) -> Results:
    results = Results(experiment, "standard")
    if not (results.folder / "run.json").exists():
        pytest.skip(f"{experiment} has not been run at standard")
    return results


# glime_convergence

@pytest.fixture(scope="module")
def convergence():
    return standard("glime_convergence")


@pytest.fixture(scope="module")
def coarse(convergence):
    return convergence.table("coarse")


def test_convergence_has_as_many_inputs_as_it_should(convergence, coarse):
    facts = convergence.provenance
    fine = convergence.table("fine")
    assert fine.image.nunique() >= 3
    assert fine.n.max() >= 2**14
    assert max(facts["d"]["coarse"]) <= 12
    assert coarse.image.nunique() == facts["n_inputs"] >= 8


def test_convergence_has_every_sigma_and_kernel(convergence, coarse):
    fine = convergence.table("fine")
    assert set(fine.sigma) == SIGMAS
    assert set(coarse.sigma) == SIGMAS
    assert set(fine.kernel) == {"paper", "released code"}


def test_the_expected_total_weight_is_its_closed_form(coarse):
    for row in coarse.sample(20, random_state=0).itertuples():
        factor = 1 if row.kernel == "paper" else np.sqrt(2)
        width = row.sigma * factor
        expected = row.n * lime_total(row.d, width)
        assert row.nZ == pytest.approx(expected, rel=1e-4)


def test_glime_binomial_does_not_depend_on_limes_kernel(coarse):
    own = coarse[coarse.between == "GLIME-Binomial and its limit"]
    by_kernel = own.set_index(["image", "sigma", "n", "kernel"])
    errors = by_kernel.MAE.unstack()
    assert np.allclose(errors["paper"], errors["released code"], rtol=1e-5)


def test_lime_and_glime_differ_by_no_more_than_their_distances_from_the_limit(coarse):
    """The triangle inequality of the mean absolute error, means over runs included."""
    paper = coarse[coarse.kernel == "paper"]
    wide = paper.pivot(index=["image", "sigma", "n"], columns="between", values="MAE")
    way_round = wide["LIME and its limit"] + wide["GLIME-Binomial and its limit"]
    direct = wide["LIME and GLIME-Binomial"]
    assert (direct <= way_round + 1e-6).all()


# glime_alime

@pytest.fixture(scope="module")
def alime():
    return standard("glime_alime")


@pytest.fixture(scope="module")
def alime_stability(alime):
    return alime.table("stability")


def is_alime(method):
    return method.startswith("ALIME, ")


def test_alime_has_every_input(alime, alime_stability):
    facts = alime.provenance
    assert facts["n_inputs"] >= 20
    assert facts["n_seeds"] >= 5
    assert set(facts["sizes"]) == {128, 256, 512, 1024}
    assert alime_stability.image.nunique() == facts["n_inputs"]
    cells = alime_stability.groupby(["method", "sigma", "n"]).image.nunique()
    assert (cells == facts["n_inputs"]).all()


def test_alime_has_every_variant(alime_stability):
    methods = alime_stability.method.unique()
    variants = list(filter(is_alime, methods))
    assert len(variants) == 8
    encoders = {method.split(", ")[1] for method in variants}
    assert encoders == {"autoencoder", "features"}


def cells_of(table):
    """The rows and columns of a published table that these numbers belong to."""
    return set(zip(table["row"], table.column, strict=True))


def test_alime_stands_beside_every_printed_number(alime):
    printed = published("glime", "Table 1")
    comparison = alime.table("comparison")
    variants = comparison.method.map(is_alime)
    beside = comparison[variants | (comparison.method == "GLIME-Binomial, k<d")]
    assert beside.ours.notna().all()
    assert cells_of(comparison) == cells_of(printed)


def test_alime_used_the_committed_autoencoder(alime):
    record = training.training_record(autoencoder.weights_path())
    assert alime.provenance["autoencoder"] == record


def test_two_notebooks_measured_the_same(alime_stability):
    """LIME and GLIME-Binomial on the photographs, seeds and masks of glime_stability.

    They are scored by another program: rounding may exchange neighbours in a ranking.
    """
    other = Results("glime_stability", "standard").table("stability")
    ours = alime_stability.set_index(CELL).top20
    theirs = other.set_index(CELL).top20
    both = pd.concat([ours, theirs], axis=1, keys=["alime", "stability"]).dropna()
    shared = ["LIME", "GLIME-Binomial", "GLIME-Binomial, k<d", "chance"]
    methods = both.index.get_level_values("method")
    both = both[methods.isin(shared)]
    difference = (both.alime - both.stability).abs()
    assert len(both) == 20 * 4 * 4 * 3
    assert difference.mean() < 2e-3
    assert difference.max() < .06


def test_the_more_is_absent_the_further_a_mask_is(alime):
    distances = alime.table("distances")
    groups = distances.groupby(["encoder", "image"])
    assert (groups.farthest.nunique() == 1).all()
    assert set(distances.encoder) == {"autoencoder", "features"}
    for _, part in groups:
        assert similarity.spearman(part.share, part.distance) > .8


# glime_text

@pytest.fixture(scope="module")
def reviews_run():
    return standard("glime_text")


def test_reviews_are_as_many_as_they_should_be(reviews_run):
    facts = reviews_run.provenance
    reviews = reviews_run.table("texts")
    assert len(reviews) == facts["n_inputs"] >= 50
    assert reviews.d.min() > 20
    assert facts["n_tested"] == 2000
    assert .7 < facts["accuracy"]["tested"] < 1


def test_every_method_explains_every_review(reviews_run):
    reviews = reviews_run.table("texts")
    table = reviews_run.table("stability")
    cells = table.groupby(["method", "sigma", "n"]).text.nunique()
    assert (cells == len(reviews)).all()
    assert table.method.nunique() == 7


def test_chance_on_reviews_is_exact(reviews_run):
    reviews = reviews_run.table("texts")[["text", "d"]]
    table = reviews_run.table("stability")
    chance = table[table.method == "chance"]
    chance = chance.merge(reviews, on="text")
    for row in chance.drop_duplicates("text").itertuples():
        expected = similarity.jaccard_by_chance(row.d, 20)
        assert row.top20 == pytest.approx(expected, rel=1e-5)


def test_the_head_is_as_accurate_as_is_recorded(reviews_run, assets):
    """On a tenth of the texts that it was measured on: within four standard errors."""
    classifier = text.load_text("imdb", "cpu")
    drawn = text.draw_texts("imdb_test", 150, 7)
    probabilities = classifier.predict(list(drawn.text))
    predicted = probabilities.argmax(1).numpy()
    correct = predicted == drawn.label
    accuracy = correct.mean()
    recorded = reviews_run.provenance["accuracy"]["tested"]
    variance = recorded * (1 - recorded) / 150
    standard_error = np.sqrt(variance)
    assert abs(accuracy - recorded) < 4 * standard_error
    learned_from = set(text.reviews("train").text)
    assert not learned_from & set(drawn.text)


# glime_findings

FINDINGS = {      # finding -> the methods whose difference it is
    "weighted=False": ("LIME+π=1", "LIME"),
    "square root in the kernel": ("LIME, released kernel", "LIME"),
    "k < d": ("GLIME-Binomial, k<d", "GLIME-Binomial"),
    "noise of 8 grey levels": ("GLIME-Gauss", "GLIME-Gauss, scale 1"),
}


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_follows_from_the_stored_table(finding):
    changes = standard("glime_findings").table("changes")
    changes = changes.set_index(["finding", "sigma"])
    stored = Results("glime_stability", "standard").table("stability")
    n_max = stored.n.max()
    largest = stored[stored.n == n_max]
    wide = largest.pivot(index=["image", "sigma"], columns="method", values="top20")
    a, b = FINDINGS[finding]
    difference = wide[a] - wide[b]
    expected = difference.groupby("sigma").mean()
    recorded = changes.ours[finding].sort_index()
    assert np.allclose(recorded, expected, atol=1e-5)


# glime_references

@pytest.fixture(scope="module")
def references():
    return standard("glime_references")


@pytest.fixture(scope="module")
def references_stability(references):
    return references.table("stability")


def test_references_are_the_papers_six_and_an_inpainted_one(references):
    facts = references.provenance
    assert facts["n_inputs"] >= 20
    assert facts["inputs"].endswith("5 seeds")
    assert len(facts["references"]) == 7
    assert "telea" in facts["references"]["inpainted"]


def test_references_are_compared_on_every_image(references, references_stability):
    n_inputs = references.provenance["n_inputs"]
    cells = references_stability.groupby(["between", "sigma", "n"]).image.nunique()
    assert (cells == n_inputs).all()
    exact = references.table("exact")
    exact_cells = exact.groupby(["between", "sigma"]).image.nunique()
    assert (exact_cells == n_inputs).all()
    assert exact.d.max() <= 20
    assert set(exact.sigma) == SIGMAS
    assert set(references_stability.sigma) == SIGMAS


def test_agreements_of_references_are_shares(references_stability):
    tops = references_stability[["top1", "top5", "top10", "top20"]]
    assert tops.stack().between(0, 1).all()


def test_chance_of_references_is_exact(references, references_stability):
    images = references.table("images").set_index("image")
    chance = references_stability[references_stability.between == "chance"]
    for row in chance.drop_duplicates("image").itertuples():
        d = images.d[row.image]
        expected = similarity.jaccard_by_chance(d, 20)
        assert row.top20 == pytest.approx(expected, rel=1e-5)


def test_a_single_pair_of_limits_has_whole_tops(references):
    exact = references.table("exact")
    pair = exact[exact.between == "mean and inpainted"]
    assert set(pair.top1) <= {0, 1}, "two limits name the same part or they do not"


def test_the_effect_of_sharing_masks_is_that_of_the_claim(references, references_stability):
    table = references_stability
    n_max = table.n.max()
    largest = table[table.n == n_max]
    wide = largest.pivot(index=["image", "sigma"], columns="between", values="top20")
    difference = wide["references, same masks"] - wide["references, other masks"]
    means = difference.groupby("sigma").mean().sort_index()
    cells = references.table("claim_cells")
    claim = "Sharing masks makes references look more alike than they are"
    recorded = cells[cells.claim == claim].effect
    assert np.allclose(recorded.to_numpy(), means.to_numpy(), atol=1e-5)


# glime_fidelity

@pytest.fixture(scope="module")
def fidelity():
    return standard("glime_fidelity")


def test_fidelity_is_measured_in_every_ball(fidelity):
    facts = fidelity.provenance
    means = fidelity.table("means")
    assert facts["n_inputs"] >= 20
    assert "5 seeds" in facts["inputs"]
    cells = means.groupby(["method", "sigma", "norm", "radius"]).image.nunique()
    assert (cells == facts["n_inputs"]).all()
    assert set(means.norm) == {"ℓ1", "ℓ2", "ℓ∞"}


def test_fidelity_is_in_its_range(fidelity):
    means = fidelity.table("means")
    assert means["1/(1+MSE)"].between(0, 1).all()
    lowest = fidelity.provenance["worst_r2"]
    assert means.R2.dropna().between(lowest, 1).all()


def test_fidelity_peaks_at_a_radius_that_was_measured(fidelity):
    peaks = fidelity.table("peaks")
    radii = fidelity.provenance["radii"]
    assert set(peaks.radius) <= set(radii)
    noises = {"GLIME-Gauss", "GLIME-Laplace", "GLIME-Uniform"}
    assert set(peaks.method) == noises | {"LIME", "GLIME-Binomial"}


def test_a_constant_explains_no_variation(fidelity):
    """LIME and GLIME-Binomial are constant around the image: their R² is at most 0."""
    means = fidelity.table("means")
    flat = means[means.method.isin(["LIME", "GLIME-Binomial"])]
    assert (flat.R2.dropna() <= 1e-6).all()


# glime_models

@pytest.fixture(scope="module")
def networks():
    return standard("glime_models")


def test_networks_are_compared_on_the_same_photographs(networks):
    facts = networks.provenance
    assert facts["n_inputs"] >= 8
    assert "3 seeds" in facts["inputs"]
    by_network = networks.table("images").groupby("network")
    assert by_network.image.apply(frozenset).nunique() == 1
    table = networks.table("stability")
    cells = table.groupby(["network", "method", "sigma", "n"]).image.nunique()
    assert (cells == facts["n_inputs"]).all()


def test_networks_are_four_of_different_sizes(networks):
    images = networks.table("images")
    assert len(networks.provenance["networks"]) == 4
    sizes = images.groupby("network").parameters
    assert sizes.nunique().eq(1).all()
    assert images.parameters.nunique() == 4


def test_one_of_the_networks_is_that_of_glime_stability(networks):
    """The first three of its seeds on its first photographs.

    Results of weights that sum to nearly nothing may differ by rounding, scores may not.
    """
    table = networks.table("stability")
    ours = table[table.network == "efficientnet_lite0"]
    ours = ours.set_index(CELL)
    theirs = Results("glime_stability", "standard").table("stability").set_index(CELL)
    images = ours.index.get_level_values("image")
    known = theirs.index.get_level_values("image")
    assert images.isin(known).all()
    both = ours.join(theirs, lsuffix="_3", rsuffix="_5", how="inner")
    methods = both.index.get_level_values("method")
    both = both[methods.isin(["LIME+π=1", "GLIME-Binomial, k<d"])]
    assert len(both)
    difference = (both.r2_3 - both.r2_5).abs()
    assert difference.mean() < .02, "means over three seeds and over five"
    correlation = np.corrcoef(both.top20_3, both.top20_5)[0, 1]
    assert correlation > .8
