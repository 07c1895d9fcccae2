"The two networks that are trained here: what is committed of them, what they see, and what a transformer does not see."
import numpy as np
import pytest
import torch

from xai_repro.explain import baselines, transformers as patches
from xai_repro.inputs.tokens import MaskedPatches
from xai_repro.inputs import segmentation as features
from xai_repro import workbook as wb
from xai_repro.zoo import models, architectures as tiny, tiny_imagenet, training
from xai_repro.ground import root
from xai_repro.zoo.photographs import draw_images, draw_labels, embedded_photographs
from xai_repro.explain.methods import TRANSFORMERS
from xai_repro.zoo.instances import image_inputs
from xai_repro.cache import Store

NAMES = ("vit_tiny101_s", "cnn_tiny101_s")


def path_of(name): return root()/"data"/"models"/f"{name}.safetensors"


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_weights_are_those_that_the_record_tells_of(name):
    record = training.training_record(path_of(name))
    assert path_of(name).stat().st_size < 8e6 and record["photographs"] == 40_400 and len(set(record["class_names"])) == 101 and "Apache-2.0" in record["licence"]
    for training_ in record["trainings"]: assert len(training_["loss"]) == training_["epochs"] and training_["loss"][-1] < training_["loss"][0]


def test_the_two_are_of_one_budget():
    "As many weights within a twentieth, the same photographs in the same number of epochs, by the same settings."
    sizes = [tiny.count_parameters(tiny.NETWORKS[name]()) for name in NAMES]
    assert abs(sizes[0]/sizes[1] - 1) < .05
    vit, cnn = (training.training_record(path_of(name)) for name in NAMES)
    assert [t["epochs"] for t in vit["trainings"]] == [t["epochs"] for t in cnn["trainings"]]
    assert all(vit[k] == cnn[k] for k in ("batch", "rate", "decay", "teacher", "teacher_size", "seed", "class_names"))


@pytest.mark.parametrize("name", NAMES)
def test_loaded_by_name(name):
    classifier = models.load(name, "cpu")
    assert classifier.size == 64 and len(classifier.class_names) == 101 and classifier.weights == training.weights_digest(path_of(name))
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(classifier.logits(image), classifier.network(tiny.normalise(image)), atol=1e-5)


def test_weights_that_are_not_there():
    if path_of("vit_tiny101_m").exists(): pytest.skip("they are there")
    with pytest.raises(FileNotFoundError, match="train it: xai-repro run train_vit"): models.load("vit_tiny101_m", "cpu")


def test_left_out_and_not_attended_to_are_the_same():
    classifier, image = models.load("vit_tiny101_s", "cpu"), embedded_photographs(64)["coffee"]
    masks = np.random.default_rng(0).random((200, 64)) < np.linspace(0, 1, 200)[:, None]
    with torch.no_grad(): masked = classifier.network(tiny.normalise(image).expand(200, -1, -1, -1), torch.as_tensor(masks)).softmax(1)
    assert np.abs(MaskedPatches(classifier, image)(masks) - masked.numpy()).max() < 1e-5


@pytest.mark.parametrize("method", TRANSFORMERS)
def test_what_reads_a_transformer_scores_its_patches(method):
    "A row of attributions is the function of patches, a number a patch; a convolutional network is refused by name."
    classifier, image = models.load("vit_tiny101_s", "cpu"), embedded_photographs(64)["coffee"]
    segments, x = features.grid(image, 8), tiny.normalise(image)
    scores = baselines.attribute(method, classifier, image, segments, 3)
    if method == "rollout":
        with torch.no_grad(): by_hand = patches.rollout(classifier.network.attentions(x[None]))[0].numpy()
    else:
        heat = patches.vit_cx(classifier.network, x, 3)
        by_hand = torch.stack([heat[segments == j].mean() for j in range(64)]).numpy()
    assert np.allclose(scores, by_hand, atol=1e-6) and np.ptp(scores) > 0
    with pytest.raises(ValueError, match="xai_repro.ConvNet, which does not read a set of tokens"): baselines.attribute(method, models.load("cnn_tiny101_s", "cpu"), image, segments, 3)


def test_inputs_whose_patches_are_dropped():
    classifier = models.load("vit_tiny101_s", "cpu")
    (grey,), (dropped,) = (image_inputs(classifier, "embedded", 1, patch=8, absent=absent) for absent in ("grey", "dropped"))
    masks = np.random.default_rng(0).random((20, 64)) < .5
    assert grey.d == dropped.d == 64 and grey.target == dropped.target and grey.identity != dropped.identity
    assert np.abs(grey.value(masks) - dropped.value(masks)).max() > .01        # a grey patch says something
    assert np.array_equal(dropped.value(masks), MaskedPatches(classifier, dropped.value.image)(masks))
    coarse, = image_inputs(classifier, "embedded", 1, patch=16, absent="dropped")
    whole = np.random.default_rng(1).random((20, 16)) < .5
    assert coarse.d == 16 and np.allclose(coarse.value(whole), dropped.value(whole[:, features.grid(coarse.value.image, 16)[::8, ::8].flatten()]), atol=1e-6), "a feature is four tokens"
    with pytest.raises(ValueError, match="segments cut through the network's patches of 8 pixels"): image_inputs(classifier, "embedded", 1, patch=12, absent="dropped")
    with pytest.raises(ValueError, match="absent is 'black'"): image_inputs(classifier, "embedded", 1, absent="black")


# with the assets

def test_photographs_are_drawn_from_the_part_that_is_held_out(assets):
    images, labels = draw_images("tiny_imagenet_101", 5, size=64), draw_labels("tiny_imagenet_101", 5)
    held = tiny_imagenet.photographs("validation")
    assert list(images) == list(labels) and len(set(labels.values())) == 5
    for name, image in images.items():
        i = int(name.removeprefix("validation_"))
        assert labels[name] == held.labels[i] and torch.equal(image, held.pictures[i].float()/255)



def test_photographs_and_classes(assets):
    held, names = tiny_imagenet.photographs("validation"), tiny_imagenet.classes()
    assert held.pictures.shape == (5050, 3, 64, 64) and held.labels.bincount().tolist() == [50]*101 and names.label.tolist() == list(range(101))
    left, top, right, bottom = held.boxes.unbind(1)
    assert (left >= 0).all() and (left <= right).all() and (top <= bottom).all() and (right <= 64).all() and (bottom <= 64).all()
    assert names.name.tolist() == models.load("cnn_tiny101_s", "cpu").class_names


def test_the_accuracy_that_is_committed_is_measured_again(assets):
    stored = wb.Results("train_vit", "standard")
    table = stored.load("accuracy").set_index(["network", "absent", "kept"])
    held = tiny_imagenet.photographs("validation")
    for name in NAMES:
        right = tiny_imagenet.predict_pictures(models.load(name, "cpu").network, held.pictures).argmax(1) == held.labels
        row = table.loc[(name, "unseen", 1.0)]
        assert row.n == 5050 and abs(right.double().mean().item() - row.top1) < .002      # rounding moves a photograph or two


def test_the_teacher_knows_the_classes(assets, tmp_path):
    train = tiny_imagenet.photographs("train")
    chosen = torch.randperm(40_400, generator=torch.Generator().manual_seed(3))[:60]
    few = tiny_imagenet.Photographs(*(part[chosen] for part in train))
    said = tiny_imagenet.teach(models.load("efficientnet_lite0", "cpu"), few, Store(tmp_path), 160)
    assert torch.allclose(said.float().sum(1), torch.ones(60), atol=1e-2) and (said.argmax(1) == few.labels).double().mean() > .5
