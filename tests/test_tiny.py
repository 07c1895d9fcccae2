"""The two small networks that are trained here: what is committed of them, and what they see."""
from functools import cache

import numpy as np
import pytest
import torch

from xai_repro.cache import Store
from xai_repro.explain.attention import rollout_scores, vit_cx_scores
from xai_repro.explain.methods import METHODS, TRANSFORMERS
from xai_repro.explain.transformers import rollout, vit_cx
from xai_repro.ground import root
from xai_repro.inputs.image import image_instance
from xai_repro.inputs.segmentation import grid
from xai_repro.inputs.tokens import MaskedPatches
from xai_repro.workbook.results import Results
from xai_repro.zoo import architectures, models, tiny_imagenet, training
from xai_repro.zoo.instances import image_instances
from xai_repro.zoo.photographs import draw_images, draw_labels, embedded_photographs

NAMES = ("vit_tiny101_s", "cnn_tiny101_s")
SETTINGS = ("batch", "rate", "decay", "teacher", "teacher_size", "seed", "class_names")


def path_of(name):
    return root() / "data" / "models" / f"{name}.safetensors"


def load(name):
    return models.load(name, "cpu")


@pytest.fixture(scope="module")
def vit():
    return load("vit_tiny101_s")


@pytest.fixture(scope="module")
def cnn():
    return load("cnn_tiny101_s")


@pytest.fixture(scope="module")
def coffee():
    return embedded_photographs(64)["coffee"]


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_weights_are_those_of_the_record(name):
    record = training.training_record(path_of(name))
    assert path_of(name).stat().st_size < 8e6
    assert record["photographs"] == 40_400
    assert len(set(record["class_names"])) == 101
    assert "Apache-2.0" in record["licence"]
    for one in record["trainings"]:
        loss = one["loss"]
        assert len(loss) == one["epochs"]
        assert loss[-1] < loss[0]


def test_the_two_have_about_as_many_weights():
    networks = [architectures.NETWORKS[name]() for name in NAMES]
    of_vit, of_cnn = map(architectures.count_parameters, networks)
    assert abs(of_vit / of_cnn - 1) < .05


def epochs(record):
    return [one["epochs"] for one in record["trainings"]]


def test_the_two_are_trained_alike():
    """The same photographs in the same number of epochs, by the same settings."""
    of_vit, of_cnn = map(training.training_record, map(path_of, NAMES))
    assert epochs(of_vit) == epochs(of_cnn)
    for setting in SETTINGS:
        assert of_vit[setting] == of_cnn[setting], setting


@pytest.mark.parametrize("name", NAMES)
def test_loaded_by_name(name):
    classifier = load(name)
    assert classifier.size == 64
    assert len(classifier.class_names) == 101
    assert classifier.weights == training.weights_digest(path_of(name))
    seeded = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 64, 64, generator=seeded)
    expected = classifier.network(architectures.normalise(images))
    assert torch.allclose(classifier.logits(images), expected, atol=1e-5)


def test_weights_that_are_not_there():
    if path_of("vit_tiny101_m").exists(): pytest.skip("they are there")
    with pytest.raises(FileNotFoundError, match="train it: xai-repro run train_vit"):
        load("vit_tiny101_m")


def test_left_out_and_not_attended_to_are_the_same(vit, coffee):
    shares = np.linspace(0, 1, 200)[:, None]
    masks = np.random.default_rng(0).random((200, 64)) < shares
    images = architectures.normalise(coffee).expand(200, -1, -1, -1)
    with torch.no_grad():
        logits = vit.network(images, torch.as_tensor(masks))
    masked = logits.softmax(1).numpy()
    dropped = MaskedPatches(vit, coffee)(masks)
    assert np.abs(dropped - masked).max() < 1e-5


@pytest.fixture(scope="module")
def explained(vit, coffee):
    """A photograph as an instance whose features are the transformer's patches."""
    return image_instance(vit, coffee, grid(coffee, 8), target=3)


def test_rollout_scores_its_patches(vit, explained):
    x = architectures.normalise(explained.value.image)
    with torch.no_grad():
        attentions = vit.network.attentions(x[None])
    expected = rollout(attentions)[0].numpy()
    scores = rollout_scores(explained, 3)
    assert np.allclose(scores, expected, atol=1e-6)
    assert np.ptp(scores) > 0


def test_vit_cx_scores_its_patches(vit, explained):
    x = architectures.normalise(explained.value.image)
    heat = vit_cx(vit.network, x, 3)
    segments = explained.segments
    means = [heat[segments == j].mean() for j in range(64)]
    scores = vit_cx_scores(explained, 3)
    assert np.allclose(scores, torch.stack(means).numpy(), atol=1e-6)
    assert np.ptp(scores) > 0


@pytest.mark.parametrize("method", TRANSFORMERS)
def test_a_row_of_methods_gives_these_scores(method, explained):
    function = METHODS[method].function
    attribution = METHODS[method](explained)
    assert np.array_equal(attribution.scores, function(explained, 3))


@pytest.mark.parametrize("method", TRANSFORMERS)
def test_a_convolutional_network_is_refused_by_name(method, cnn, coffee):
    instance = image_instance(cnn, coffee, grid(coffee, 8), target=3)
    refused = r"xai_repro\.ConvNet, which does not read a set of tokens"
    with pytest.raises(ValueError, match=refused):
        METHODS[method](instance)


def first_instance(classifier, patch, absent):
    instance, = image_instances(classifier, "embedded", 1, patch=patch, absent=absent)
    return instance


def draw_masks(seed, d):
    return np.random.default_rng(seed).random((20, d)) < .5


def test_instances_whose_patches_are_dropped(vit):
    grey = first_instance(vit, 8, "grey")
    dropped = first_instance(vit, 8, "dropped")
    assert grey.d == dropped.d == 64
    assert grey.target == dropped.target
    assert grey.identity != dropped.identity
    masks = draw_masks(0, 64)
    scores = dropped.value(masks)
    difference = grey.value(masks) - scores
    assert np.abs(difference).max() > .01        # a grey patch is evidence too
    expected = MaskedPatches(vit, dropped.value.image)(masks)
    assert np.array_equal(scores, expected)


def test_a_feature_of_four_tokens(vit):
    fine = first_instance(vit, 8, "dropped")
    coarse = first_instance(vit, 16, "dropped")
    assert coarse.d == 16
    masks = draw_masks(1, 16)
    segments = grid(coarse.value.image, 16)
    feature_of_token = segments[::8, ::8].flatten()
    expected = fine.value(masks[:, feature_of_token])
    assert np.allclose(coarse.value(masks), expected, atol=1e-6)


@pytest.mark.parametrize("patch, absent, words", [
    (12, "dropped", "segments cut through the network's patches of 8 pixels"),
    (16, "black", "absent is 'black'"),
])
def test_instances_that_cannot_be_made(vit, patch, absent, words):
    with pytest.raises(ValueError, match=words):
        first_instance(vit, patch, absent)


# with the assets

@cache
def load_held_out():
    return tiny_imagenet.photographs("validation")


@pytest.fixture
def held_out(assets):
    """The photographs that were held out."""
    return load_held_out()


def test_photographs_are_drawn_from_the_part_that_is_held_out(held_out):
    images = draw_images("tiny_imagenet_101", 5, size=64)
    labels = draw_labels("tiny_imagenet_101", 5)
    assert list(images) == list(labels)
    assert len(set(labels.values())) == 5
    for name, image in images.items():
        i = int(name.removeprefix("validation_"))
        assert labels[name] == held_out.labels[i]
        assert torch.equal(image, held_out.pictures[i].float() / 255)


def test_photographs_and_classes(held_out, cnn):
    names = tiny_imagenet.classes()
    assert held_out.pictures.shape == (5050, 3, 64, 64)
    assert held_out.labels.bincount().tolist() == [50] * 101
    assert names.label.tolist() == list(range(101))
    assert names.name.tolist() == cnn.class_names


def test_boxes_lie_in_the_photographs(held_out):
    left, top, right, bottom = held_out.boxes.unbind(1)
    assert (left >= 0).all()
    assert (left <= right).all()
    assert (right <= 64).all()
    assert (top >= 0).all()
    assert (top <= bottom).all()
    assert (bottom <= 64).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_accuracy_that_is_committed_is_measured_again(held_out, name):
    table = Results("train_vit", "standard").table("accuracy")
    table = table.set_index(["network", "absent", "kept"])
    logits = tiny_imagenet.predict_pictures(load(name).network, held_out.pictures)
    correct = logits.argmax(1) == held_out.labels
    committed = table.loc[(name, "unseen", 1.0)]
    assert committed.n == 5050
    accuracy = correct.double().mean().item()
    assert abs(accuracy - committed.top1) < .002      # rounding moves a photograph or two


def test_the_teacher_knows_the_classes(assets, tmp_path):
    train = tiny_imagenet.photographs("train")
    seeded = torch.Generator().manual_seed(3)
    chosen = torch.randperm(40_400, generator=seeded)[:60]
    few = tiny_imagenet.Photographs(*(part[chosen] for part in train))
    teacher = load("efficientnet_lite0")
    taught = tiny_imagenet.teach(teacher, few, Store(tmp_path), 160)
    totals = taught.float().sum(1)
    assert torch.allclose(totals, torch.ones(60), atol=1e-2)
    correct = taught.argmax(1) == few.labels
    assert correct.double().mean() > .5
