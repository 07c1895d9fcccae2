"""The committed numbers of LIME-G, and a part of them computed again."""
import numpy as np
import pytest
import torch

from xai_repro.evaluate.robustness import METRICS, robustness, spreads
from xai_repro.inputs.image import image_instance
from xai_repro.inputs.segmentation import grid
from xai_repro.workbook.comparison import published
from xai_repro.workbook.lime_g import heatmaps
from xai_repro.workbook.results import Results
from xai_repro.zoo import inpainter, models, scenes
from xai_repro.zoo.photographs import draw_images

EXPERIMENTS = ["lime_g_robustness", "lime_g_scenes"]
TABLES = {"lime_g_robustness": "Table S1", "lime_g_scenes": "Table S2"}
PAIRS = {"lime_g_robustness": 10, "lime_g_scenes": 1}      # of seeds that are compared
LIME_ROWS = ["LIME (50)", "LIME-G (50)", "LIME (150)", "LIME-G (150)"]
PARTNERS = {        # a row -> the one that differs from it by the inpainter alone
    "SP": "SP-G",
    "LIME (50)": "LIME-G (50)",
    "LIME (150)": "LIME-G (150)",
    "MP2": "MP2-G",
}


def standard(experiment):
    return Results(experiment, "standard")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_row_of_the_paper_is_measured(experiment):
    each = standard(experiment).table("each")
    count = each.groupby("row").image.nunique()
    rows = {*PARTNERS, *PARTNERS.values()}
    assert set(count.index) == rows
    assert (count[LIME_ROWS] >= 20).all()
    assert (count >= 10).all()
    is_lime = each.row.str.startswith("LIME")
    of_lime = each[is_lime]
    assert (of_lime.pairs == PAIRS[experiment]).all()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_settings_are_those_of_standard(experiment):
    facts = standard(experiment).provenance
    assert facts["n_samples"] == 500
    assert facts["iterations"] == 300
    assert inpainter.inpainter_digest() in facts["inpainter"], "made with the committed weights"
    substitution = facts["substitution"]
    assert "inpainter" in substitution
    assert "resnet50" in substitution.lower().replace("-", "")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_printed_number_has_ours_beside_it(experiment):
    comparison = standard(experiment).table("comparison")
    printed = published("lime_g", TABLES[experiment])
    assert len(comparison) == len(printed) == 24
    assert comparison.ours.notna().all()
    assert comparison.published.tolist() == printed.value.tolist()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_summary_follows_from_the_photographs(experiment):
    results = standard(experiment)
    each = results.table("each").fillna({"undefined": ""})
    summary = results.table("summary").set_index(["row", "column"])
    expected = spreads(each).set_index(["row", "metric"])
    defined = each[each.undefined == ""]
    defined = defined.set_index(["row", "metric"])
    for cell in expected.index:
        recorded = summary.loc[cell]
        mean = defined.loc[[cell], "mean"].mean()
        error = expected.standard_error[cell]
        assert recorded.ours == pytest.approx(mean, abs=1e-5)
        assert recorded.standard_error == pytest.approx(error, rel=1e-4)
        assert recorded.low <= mean <= recorded.high


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("plain", PARTNERS)
def test_partners_are_measured_on_the_same_photographs(experiment, plain):
    each = standard(experiment).table("each")
    photographs = each.groupby("row").image.apply(frozenset)
    painted = PARTNERS[plain]
    assert photographs[plain] == photographs[painted]


@pytest.fixture(scope="module")
def inpainter_run():
    return standard("lime_g_inpainter")


def test_the_inpainter_was_measured_on_what_it_did_not_learn_from(inpainter_run):
    facts = inpainter_run.provenance
    size = inpainter.split().part.value_counts()
    assert facts["weights"] == inpainter.inpainter_digest()
    assert facts["training"]["photographs"] == size["train"]
    assert facts["n_inputs"] == size["held_out"]


@pytest.mark.parametrize("measure", ["PSNR", "SSIM"])
@pytest.mark.parametrize("other", ["gray", "Telea", "Navier-Stokes"])
def test_the_inpainter_is_better_than_other_fills(inpainter_run, measure, other):
    summary = inpainter_run.table("summary").set_index(["measure", "fill"])
    by_fill = summary.ours[measure]
    assert by_fill["neural"] > by_fill[other]


def test_the_inpainter_learned(inpainter_run):
    losses = inpainter_run.table("history").loss
    first = losses.iloc[0]
    last = losses.iloc[-1]
    assert last < .75 * first


@pytest.fixture(scope="module")
def labels_run():
    return standard("lime_g_labels")


def test_labels_are_of_as_many_masks_as_they_should_be(labels_run):
    each = labels_run.table("each")
    by_removal = each.groupby("removal").n.sum()
    assert (by_removal >= 10_000).all()
    by_image = each.groupby(["removal", "image"]).n.sum()
    assert (by_image == labels_run.provenance["n_masks"]).all()


def test_the_number_of_classes_is_the_exponential_of_their_entropy(labels_run):
    each = labels_run.table("each")
    collapse = labels_run.table("collapse").set_index("removal")
    for removal, part in each.groupby("removal"):
        counts = part.groupby("label").n.sum()
        p = counts / counts.sum()
        terms = p * np.log(p)
        expected = np.exp(-terms.sum())
        recorded = collapse.loc[removal]
        assert recorded.classes == pytest.approx(expected, rel=1e-4)
        assert recorded.low <= recorded.corrected <= recorded.high


def test_segments_are_of_twenty_photographs():
    each = standard("lime_g_segments").table("each")
    assert each.image.nunique() >= 20


def test_one_photograph_again(assets):
    """A gray map of the first photograph at full precision.

    The similarity of two seeds is the committed one, up to bfloat16's rounding.
    """
    results = standard("lime_g_robustness")
    facts = results.provenance
    network = models.load("efficientnet_lite0", "cpu")
    drawn = draw_images(facts["source"], 1, facts["draw_seed"], network.size)
    name, = drawn
    image = drawn[name]
    instance = image_instance(network, image, grid(image, 16))
    seeds = facts["settings"]["lime_50"]
    maps = heatmaps("lime_50", instance, seeds, n_samples=facts["n_samples"])
    similarity = robustness(maps).set_index("metric")
    each = results.table("each").set_index(["image", "row", "metric"]).sort_index()
    committed = each.loc[name, "LIME (50)"]
    for metric in METRICS.values():
        expected = committed.loc[metric, "mean"]
        found = similarity.loc[metric, "mean"]
        assert np.isclose(found, expected, atol=.05), metric


@pytest.fixture(scope="module")
def scene_accuracy():
    return standard("lime_g_scenes").table("accuracy").right


def test_the_scene_head_is_accurate(scene_accuracy):
    assert len(scene_accuracy) == 320
    assert scene_accuracy.mean() > .9


def test_the_scene_head_is_as_accurate_as_is_recorded(scene_accuracy, assets):
    classifier = scenes.load_classifier("cpu")
    images = scenes.load_scenes("held_out", 40, classifier.size).values()
    probabilities = classifier.predict(torch.stack(list(images)))
    predicted = probabilities.argmax(1).numpy()
    labels = scenes.scenes("held_out").label
    correct = predicted == labels[:40]
    recorded = scene_accuracy[:40].mean()
    assert correct.mean() == pytest.approx(recorded, abs=.05)


@pytest.fixture(scope="module")
def findings():
    return standard("lime_g_findings")


@pytest.mark.parametrize("table, gain", [
    ("Table S1", .317 - .404),
    ("Table S2", .332 - .452),
])
def test_the_papers_own_rows_contradict_its_caption(findings, table, gain):
    rows = findings.table("published").set_index(["table", "column"])
    row = rows.loc[table, "Spearman"]
    assert row["SP-G - SP"] == pytest.approx(gain)


def test_random_maps_are_measured_by_every_metric(findings):
    summary = findings.table("summary")
    random = summary[summary.finding == "random maps"]
    assert set(random.metric) == set(METRICS.values())
