"The committed numbers of LIME-G: what they must be, and a part of them made again."
import numpy as np
import pandas as pd
import pytest
import torch

from xai_repro.explain import maps as heatmaps
from xai_repro.zoo import inpainter as inpainting, models, scenes
from xai_repro.zoo.photographs import draw_images
from xai_repro.evaluate.robustness import METRICS, robustness, spreads
from xai_repro.workbook.comparison import published
from xai_repro.workbook.results import Results

PAPER_ROWS = {"SP", "SP-G", "LIME (50)", "LIME-G (50)", "LIME (150)", "LIME-G (150)", "MP2", "MP2-G"}


@pytest.mark.parametrize("experiment, photographs, few, pairs, table", [("lime_g_robustness", 20, 10, 10, "Table S1"), ("lime_g_scenes", 20, 10, 1, "Table S2")])
def test_every_row_of_the_paper_beside_ours(experiment, photographs, few, pairs, table):
    results = Results(experiment, "standard")
    each, facts, comparison = results.load("each"), results.provenance, results.load("comparison")
    count = each.groupby("row").image.nunique()
    assert set(count.index) == PAPER_ROWS and (count[["LIME (50)", "LIME-G (50)", "LIME (150)", "LIME-G (150)"]] >= photographs).all() and (count >= few).all()
    assert (each[each.row.str.startswith("LIME")].pairs == pairs).all() and facts["n_samples"] == 500 and facts["iterations"] == 300
    assert inpainting.inpainter_digest() in facts["inpainter"], "made with the committed weights"
    assert "inpainter" in facts["substitution"] and "resnet50" in facts["substitution"].lower().replace("-", "")
    printed = published("lime_g", table)
    assert len(comparison) == len(printed) == 24 and comparison.ours.notna().all() and comparison.published.tolist() == printed.value.tolist()


@pytest.mark.parametrize("experiment", ["lime_g_robustness", "lime_g_scenes"])
def test_the_summary_follows_from_the_photographs(experiment):
    results = Results(experiment, "standard")
    each = results.load("each").fillna({"undefined": ""})
    told, ours = results.load("summary").set_index(["row", "column"]), spreads(each).set_index(["row", "metric"])
    for row, metric in ours.index:
        part = each[(each.row == row) & (each.metric == metric) & (each.undefined == "")]["mean"]
        assert told.ours[row, metric] == pytest.approx(part.mean(), abs=1e-5) and told.standard_error[row, metric] == pytest.approx(ours.standard_error[row, metric], rel=1e-4)
        assert told.low[row, metric] <= part.mean() <= told.high[row, metric]


def test_partners_are_measured_on_the_same_photographs():
    for experiment in ("lime_g_robustness", "lime_g_scenes"):
        seen = Results(experiment, "standard").load("each").groupby("row").image.apply(frozenset)
        assert all(seen[plain] == seen[painted] for plain, painted in (("SP", "SP-G"), ("LIME (50)", "LIME-G (50)"), ("LIME (150)", "LIME-G (150)"), ("MP2", "MP2-G")))


def test_the_inpainter_was_measured_on_what_it_did_not_learn_from():
    results = Results("lime_g_inpainter", "standard")
    facts, summary = results.provenance, results.load("summary").set_index(["measure", "fill"]).ours
    assert facts["weights"] == inpainting.inpainter_digest() and facts["training"]["photographs"] == (inpainting.split().part == "train").sum() and facts["n_inputs"] == (inpainting.split().part == "held_out").sum()
    assert all(summary[m, "neural"] > summary[m, other] for m in ("PSNR", "SSIM") for other in ("gray", "Telea", "Navier-Stokes"))
    losses = results.load("history").loss
    assert losses.iloc[-1] < .75*losses.iloc[0]


def test_labels_and_segments_have_the_counts_that_were_asked():
    labels, segments = Results("lime_g_labels", "standard"), Results("lime_g_segments", "standard")
    each = labels.load("each")
    assert (each.groupby("removal").n.sum() >= 10_000).all() and (each.groupby(["removal", "image"]).n.sum() == labels.provenance["n_masks"]).all()
    for removal, part in each.groupby("removal"):
        p = part.groupby("label").n.sum()/part.n.sum()
        told = labels.load("collapse").set_index("removal").loc[removal]
        assert told.classes == pytest.approx(np.exp(-(p*np.log(p)).sum()), rel=1e-4) and told.low <= told.corrected <= told.high
    assert segments.load("each").image.nunique() >= 20


def test_one_photograph_again(assets):
    "A gray map of the first photograph at full precision: the similarity of two seeds is the committed one, up to bfloat16's."
    results = Results("lime_g_robustness", "standard")
    facts, network = results.provenance, models.load("efficientnet_lite0", "cpu")
    (name, image), = draw_images(facts["source"], 1, facts["draw_seed"], network.size).items()
    maps = heatmaps.heatmaps("lime_50", heatmaps.Subject(network, image, int(network.predict(image[None]).argmax())), facts["settings"]["lime_50"], n_samples=facts["n_samples"])
    each = results.load("each").query("image == @name and row == 'LIME (50)'").set_index("metric")["mean"]
    assert np.allclose(robustness(maps).set_index("metric")["mean"].loc[list(METRICS.values())], each.loc[list(METRICS.values())], atol=.05)


def test_the_scene_head_is_as_good_as_it_says(assets):
    right = Results("lime_g_scenes", "standard").load("accuracy").right
    assert len(right) == 320 and right.mean() > .9
    classifier = scenes.load_classifier("cpu")
    some = scenes.load_scenes("held_out", 40, classifier.size)
    said = classifier.predict(torch.stack(list(some.values()))).argmax(1).numpy()
    assert (said == scenes.scenes("held_out").label[:40]).mean() == pytest.approx(right[:40].mean(), abs=.05)


def test_the_papers_own_rows_contradict_its_caption():
    gains = Results("lime_g_findings", "standard").load("published").set_index(["table", "column"])["SP-G - SP"]
    assert gains["Table S1", "Spearman"] == pytest.approx(.317 - .404) and gains["Table S2", "Spearman"] == pytest.approx(.332 - .452)
    random = Results("lime_g_findings", "standard").load("summary").query("finding == 'random maps'")
    assert isinstance(random, pd.DataFrame) and set(random.metric) == set(METRICS.values())
