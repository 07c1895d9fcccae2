"""`xr.explain` of a model and an input, a list or a folder: the first argument decides."""
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_models import image_scores, random_image, small_classifier, small_network

import xai_repro as xr
from xai_repro.inputs.segmentation import grid

IMAGE = random_image()
GRID = dict(segmentation=grid(IMAGE, 8))


def length(texts): return np.array([[len(text), -len(text)] for text in texts], float)


def weighted(rows): return np.asarray(rows, float) @ [1., 2., 3.]


def same(a, b): return np.array_equal(a.scores, b.scores) and a == b


@pytest.mark.parametrize("model", [small_classifier(), small_network(0), image_scores])
def test_an_image_is_explained_as_by_its_front(model):
    direct = xr.explain(xr.image(IMAGE, model, **GRID), "glime", 64, seed=2, sigma=2.)
    assert same(xr.explain(model, IMAGE, "glime", 64, seed=2, sigma=2., **GRID), direct)


def test_a_text_and_a_row_are_told_by_their_type():
    text = xr.explain(length, "a good film", n_samples=64)
    assert same(text, xr.explain(xr.text("a good film", length), n_samples=64))
    for row in ([1., 2., 3.], np.array([1., 2., 3.]), pd.Series([1., 2., 3.], list("abc"))):
        attribution = xr.explain(weighted, row, "occlusion", background=1.)
        np.testing.assert_allclose(attribution.scores, [0, 2, 6])
    assert attribution.feature_names == ("a", "b", "c")


def test_a_list_gives_a_list():
    images = [random_image(seed) for seed in range(3)]
    together = xr.explain(image_scores, images, "occlusion", **GRID)
    alone = [xr.explain(image_scores, image, "occlusion", **GRID) for image in images]
    assert len(together) == 3 and all(map(same, together, alone))
    instances = [xr.image(image, image_scores, **GRID) for image in images]
    assert all(map(same, xr.explain(instances, "occlusion"), alone))


def test_a_folder_gives_its_pictures_in_order_of_their_names(tmp_path):
    for name in ("b.png", "a.jpg"):
        Image.fromarray(np.full((40, 40, 3), 60 if name[0] == "a" else 200, np.uint8)).save(
            tmp_path/name)
    (tmp_path/"notes.txt").write_text("no picture")
    dark, bright = xr.explain(image_scores, tmp_path, "occlusion", segmentation="grid")
    assert (dark.picture.mean(), bright.picture.mean()) == (60, 200)
    path = str(tmp_path/"a.jpg")
    assert same(xr.explain(image_scores, path, "occlusion", segmentation="grid"), dark)


def test_a_named_model_is_loaded_once(monkeypatch):
    from xai_repro.zoo import models
    loaded = []

    def load(name, **options):
        loaded.append(name)
        return small_classifier()

    monkeypatch.setattr(models, "load", load)
    xr.explain("mine", [IMAGE, IMAGE], "occlusion", **GRID)
    assert loaded == ["mine"]


@pytest.mark.parametrize("arguments, words", [
    ((image_scores, None), "input is None; allowed: an image"),
    ((image_scores, 3), "input is 3; allowed: an image"),
    ((image_scores,), "allowed: an Instance"),
    ((image_scores, "lime"), "allowed: an Instance"),
    (("mine", [1., 2.]), "model is 'mine'; allowed for a row: a torch module"),
    ((None, IMAGE), "model"),
    (([1, 2], "lime"), "allowed: an Instance")])
def test_what_is_no_model_and_input_is_refused(arguments, words):
    with pytest.raises(TypeError, match=words): xr.explain(*arguments)


def test_a_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"without a picture; allowed: files \.jpg"):
        xr.explain(image_scores, tmp_path)


def test_the_top_class_is_explained_unless_another_is_wanted():
    top = int(image_scores(IMAGE[None]).argmax())
    assert xr.explain(image_scores, IMAGE, "occlusion", **GRID).target == top
    other = xr.explain(image_scores, IMAGE, "occlusion", target=1 - top, **GRID)
    assert other.target == 1 - top
