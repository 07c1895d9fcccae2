"""Experiments on a network and photographs of one's own: what changes, and what is stored."""
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from toy_project import call

from xai_repro.ground import root
from xai_repro.workbook import networks, own, report, runner
from xai_repro.workbook.results import Results

NET = """
import torch
import xai_repro as xr

def net():
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 5, 4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)]
    head = [torch.nn.Flatten(), torch.nn.Linear(8, 4)]
    return xr.wrap(torch.nn.Sequential(*layers, *head), mean=.5, std=.25, size=64)
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder with a network in mine.py and three photographs, where commands are given."""
    (tmp_path/"mine.py").write_text(NET)
    folder = tmp_path/"photos"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for name in "abc":
        coarse = draw.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(coarse).resize((64, 64)).save(folder/f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_counts_follow_the_folder_and_what_belonged_to_another_network_goes(mine):
    values = own.own_values("lima_faithfulness", models=["python:mine:net"], images="photos")
    assert values["model_name"] == f"python:{mine}/mine.py:net"
    assert values["source"] == str(mine/"photos")
    assert (values["n_images"], values["cam_layer"]) == (3, "")
    values = own.own_values("stability_soft_vs_hard", models=["squeezenet1_1"])
    assert values == dict(model_name="squeezenet1_1", n_texts=0)
    pairs = own.own_values("lima_ablations", images="photos")
    assert (pairs["n_right"], pairs["n_wrong"]) == (2, 2), "at most as many as there are"


def test_labels_choose_what_is_classified_rightly(mine):
    table = pd.DataFrame(dict(file=["a.png", "b.png", "c.png"], class_index=[0, 1, 2]))
    table.to_csv(mine/"classes.csv", index=False)
    given = dict(images="photos", labels="classes.csv")
    assert own.own_values("glime_stability", **given)["n_images"] == 3
    assert own.own_values("lima_faithfulness", **given)["n_images"] == 2, "some may be wrong"


@pytest.mark.parametrize("experiment, options, message", [
    ("lfa_recovery", dict(models=["squeezenet1_1"]), "allowed for: .*glime_stability"),
    ("glime_stability", dict(models=["a", "b"]), "allowed for glime_stability: once"),
    ("glime_stability", dict(images="nowhere"), "--images is 'nowhere'; allowed: a folder"),
    ("glime_stability", dict(labels="x.csv"), "without --images"),
    ("glime_stability", dict(images="photos", labels="x.csv"), "--labels is 'x.csv'"),
    ("glime_stability", dict(models=["python:nowhere.py:net"]), "there is no nowhere.py"),
    ("glime_findings", dict(models=["squeezenet1_1"]), "stored of other experiments"),
    ("lime_g_localisation", dict(images="photos"), "explains none of that kind"),
])
def test_what_cannot_be_run_is_refused_before_it_is(mine, experiment, options, message):
    with pytest.raises(ValueError, match=message):
        own.own_values(experiment, **options)


def test_a_network_of_a_file_answers_as_it_does_itself(mine):
    classifier = networks.load_network(f"python:{mine}/mine.py:net", "cpu")
    assert (classifier.name, classifier.size) == ("python:mine.py:net", 64)
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = classifier.network
    with torch.no_grad(): expected = network((images - .5)/.25).softmax(1)
    torch.testing.assert_close(classifier.predict(images), expected)
    assert classifier.class_names == [f"class {i}" for i in range(4)]


def test_a_function_is_no_network(mine):
    (mine/"mine.py").write_text("def net(images): return images.mean((1, 2, 3))")
    with pytest.raises(TypeError, match="allowed: a torch network"):
        networks.load_network(f"python:{mine}/mine.py:net")


def contents(folder) -> dict:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_on_ones_own_network_shows_and_stores_nothing_else(mine):
    figures = contents(root()/"figures")
    stored = contents(root()/"data"/"results"/"lima_faithfulness"/"standard")
    given = ("--model", "python:mine:net", "--images", "photos")
    shown = call("run", "lima_faithfulness", *given)
    assert shown.exit_code == 0, shown.stderr
    assert "python:mine.py:net (float32), 3 photographs" in shown.stdout.replace("\n", " ")
    assert "efficientnet" not in shown.stdout
    overrides = own.own_values("lima_faithfulness", models=given[1:2], images="photos")
    paths = runner.locate("lima_faithfulness", overrides=overrides)
    try:
        results = Results("lima_faithfulness", "smoke", paths.name)
        assert set(results.table("each").image) == {"a", "b", "c"}
        page = paths.notebook.with_suffix(".html").read_text()
        assert "python:mine.py:net" in page
        assert "efficientnet" not in page, "no stored number is on it"
        assert contents(root()/"figures") == figures
        folder = root()/"data"/"results"/"lima_faithfulness"/"standard"
        assert contents(folder) == stored
    finally:
        for path in (paths.results, paths.own, paths.figures): shutil.rmtree(path)


def test_every_headline_is_a_claim_that_is_stored():
    for headline in report.HEADLINES:
        claims = Results(headline.experiment, "standard").table("claims")
        assert claims.claim.str.startswith(headline.claim).sum() == 1, headline.claim
        assert headline.means.keys() == {"holds", "contradicted", "undecided"}
        assert own.takes(headline.experiment) == dict(model="model_name", images="source")
