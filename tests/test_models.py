"""The loaders against what the networks are known to do."""
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision

from xai_repro.zoo import models
from xai_repro.zoo.assets import fetch
from xai_repro.zoo.photographs import embedded_photographs, load_image

FLOORS = {
    "efficientnet_lite0": .8,
    "efficientnet_lite1": .8,
    "efficientnet_lite2": .8,
    "squeezenet1_1": .55,
}


@pytest.mark.parametrize("name", FLOORS)
def test_accuracy_on_real_photographs(assets, name):
    """On the first 200 photographs top-1 is .900, .910, .920 and .680.

    A wrong normalisation or channel order costs more than the margin left by 60.
    """
    classifier = models.load(name, "cpu")
    folder = fetch("imagenet_sample")
    order = np.random.default_rng(0).permutation(200)
    labels = pd.read_csv(folder / "labels.csv")
    sample = labels.iloc[order[:60]]
    images = [load_image(folder / file, classifier.size) for file in sample.file]
    probabilities = classifier.predict(torch.stack(images))
    predicted = probabilities.argmax(1).numpy()
    correct = predicted == sample.class_index.to_numpy()
    assert correct.mean() >= FLOORS[name]


@pytest.fixture(scope="module")
def lite():
    return models.load("efficientnet_lite0", "cpu")


@pytest.fixture(scope="module")
def photos():
    images = embedded_photographs().values()
    return torch.stack(list(images))


def test_predict_is_the_softmax_of_logits_without_a_gradient(lite, photos):
    points = photos.clone().requires_grad_()
    p = lite.predict(points)
    assert p.dtype == torch.float32
    assert not p.requires_grad
    assert torch.allclose(p.sum(1), torch.ones(len(p)), atol=1e-5)
    softmax = lite.logits(points).softmax(1)
    assert torch.allclose(p, softmax, atol=1e-4)
    first = lite.logits(points[:1])
    first[0, 5].backward()
    gradient = points.grad[0]
    assert gradient.abs().sum() > 0


def test_the_batch_changes_rounding_only(lite, photos):
    whole = lite.predict(photos)
    alone = torch.cat([lite.predict(image[None]) for image in photos])
    assert torch.allclose(whole, alone, atol=1e-4)


def test_bfloat16_is_close_and_float32_out(photos, lite):
    half = models.load("efficientnet_lite0", "cpu", dtype="bfloat16").predict(photos)
    assert half.dtype == torch.float32
    difference = half - lite.predict(photos)
    assert difference.abs().max() < .1


def total(state):
    """The sum of all weights of a network's state."""
    return sum(float(tensor.double().sum()) for tensor in state.values())


def test_the_given_weights_are_all_used():
    state = models.load("efficientnet_lite0", "cpu").network.state_dict()
    tensors = torch.load(fetch("weights/efficientnet_lite0"), weights_only=True)
    assert total(state) == pytest.approx(total(tensors), rel=1e-12)
    assert len(state) == len(tensors)


@pytest.fixture
def random_resnet(monkeypatch):
    """A network with random weights in place of torchvision's downloads, and their addresses."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None).eval()
    addresses = []

    def load_state_dict_from_url(url, *_, **options):
        addresses.append(url)
        return network.state_dict()

    download = "torchvision.models._api.load_state_dict_from_url"
    monkeypatch.setattr(download, load_state_dict_from_url)
    return network, addresses


def test_torchvision_weights_api(random_resnet, photos):
    """What is tested is the path around torchvision's download of its weights."""
    network, addresses = random_resnet
    classifier = models.load("torchvision:resnet18", "cpu")
    crop = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    normal = torchvision.transforms.functional.normalize(photos, crop.mean, crop.std)
    logits = classifier.logits(photos)
    assert torch.allclose(logits, network(normal), atol=1e-4)
    assert classifier.size == 224
    assert classifier.class_names[0] == "tench"
    assert "IMAGENET1K_V1" in classifier.weights
    assert "resnet18" in addresses[0]


@pytest.fixture
def small_vit(tmp_path):
    """A vision transformer of three classes saved in a folder, and that folder."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        num_labels=3,
    )
    network = ViTForImageClassification(config).eval()
    network.save_pretrained(tmp_path)
    processor = ViTImageProcessor(size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path)
    return network, tmp_path


def test_transformers_classifier(small_vit, photos):
    network, folder = small_vit
    classifier = models.load(f"hf:{folder}", "cpu")
    assert classifier.size == 32
    assert len(classifier.class_names) == 3
    x = photos[:2, :, :32, :32]
    expected = network((x - .5) / .5).logits
    logits = classifier.logits(x)
    assert torch.allclose(logits, expected, atol=1e-5)


def test_probabilities_and_embedding_from_one_pass(lite, photos):
    both = models.with_embedding(lite)
    passes = []
    hook = lite.network.conv_stem.register_forward_hook(lambda *_: passes.append(1))
    found = both(photos)
    hook.remove()
    assert not passes, "the network itself is not run again"
    normal = lite.preprocessing(photos)
    with torch.no_grad():
        features = lite.network.forward_features(normal)
        embedding = lite.network.forward_head(features, pre_logits=True)
    probabilities = found[:, :1000]
    assert torch.allclose(found[:, 1000:], embedding, atol=1e-3)
    assert torch.allclose(probabilities, lite.predict(photos), atol=1e-5)
    assert lite.network.classifier.out_features == 1000, "the classifier is left as it was"


def test_an_embedding_needs_a_linear_layer(lite):
    squeezenet = torchvision.models.squeezenet1_1(weights=None).eval()
    without = replace(lite, network=squeezenet)
    with pytest.raises(ValueError, match="SqueezeNet, which has no linear layer"):
        models.with_embedding(without)


def test_an_embedding_needs_a_linear_layer_at_the_end(lite):
    threshold = torch.nn.Threshold(2., .5)
    softmax = torch.nn.Softmax(1)
    longer = torch.nn.Sequential(lite.network, softmax, threshold)
    with pytest.raises(ValueError, match="whose last linear layer does not end it"):
        models.with_embedding(replace(lite, network=longer))


@pytest.mark.parametrize("name, dtype, words", [
    ("resnet18", "float32", ["name is 'resnet18'", "efficientnet_lite0", "torchvision:<name>"]),
    ("torchvision:resnet19", "float32", ["torchvision:resnet19", "torchvision:resnet18"]),
    ("torchvision:resnet18@V9", "float32", ["V9", "IMAGENET1K_V1"]),
    ("efficientnet_lite0", "float16", ["dtype", "float16", "bfloat16"]),
])
def test_unknown_names_list_the_known(name, dtype, words):
    with pytest.raises(ValueError) as error:
        models.load(name, dtype=dtype)
    for word in words:
        assert word in str(error.value)


def to_bytes(images):
    return (255 * images).byte()


def to_255(images):
    return 255 * images


def to_nan(images):
    return images * torch.nan


def first(images):
    return images[0]


@pytest.mark.parametrize("method", ["predict", "logits"])
@pytest.mark.parametrize("spoil, error", [
    (to_bytes, TypeError),
    (to_255, ValueError),
    (to_nan, ValueError),
    (first, ValueError),
])
def test_bad_images(lite, photos, spoil, error, method):
    scores = getattr(lite, method)
    with pytest.raises(error, match="images"):
        scores(spoil(photos))


def test_a_head_is_saved_as_it_is_whatever_its_memory_order(tmp_path, monkeypatch):
    (tmp_path / "data" / "models").mkdir(parents=True)
    monkeypatch.setenv("XAI_REPRO_ROOT", str(tmp_path))
    rng = np.random.default_rng(0)
    weight = np.asfortranarray(rng.random((4, 384), np.float32))
    bias = np.arange(4, dtype=np.float32)
    models.save_head("mine", weight, bias)
    loaded_weight, loaded_bias = models.load_head("mine")
    assert np.array_equal(loaded_weight, weight)
    assert np.array_equal(loaded_bias, bias)


def test_with_its_own_head_a_classifier_is_what_it_was(lite):
    layers = lite.network.modules()
    head, = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
    weight = head.weight.numpy()
    bias = head.bias.numpy()
    again = models.with_head(lite, weight, bias, lite.class_names, "again")
    seeded = torch.Generator().manual_seed(1)
    images = torch.rand(3, 3, lite.size, lite.size, generator=seeded)
    expected = lite.predict(images)
    assert torch.equal(again.predict(images), expected)
    assert again.weights != lite.weights
    assert again.name == "again"


@pytest.mark.parametrize("weight, bias, words", [
    ((2, 7), 2, r"weight has shape \(2, 7\), bias \(2,\); allowed: \(2, 1280\) and \(2,\)"),
    ((2, 1280), 3, r"bias \(3,\)"),
])
def test_a_head_of_another_shape_is_refused(lite, weight, bias, words):
    with pytest.raises(ValueError, match=words):
        models.with_head(lite, np.zeros(weight), np.zeros(bias), ["a", "b"], "odd")


def test_compiled_it_predicts_as_it_does_eagerly(lite, photos):
    """A whole chunk, and one that is filled up."""
    images = photos[torch.arange(18) % len(photos)]
    compiled = models.load("efficientnet_lite0", "cpu", compile=True)
    whole = compiled.predict(images)
    difference = lite.predict(images) - whole
    assert difference.abs().max() < 1e-5
    rest = compiled.predict(images[16:])
    assert torch.equal(whole[16:], rest)


def test_images_that_do_not_go_through_the_network_are_named():
    layers = torch.nn.Conv2d(3, 4, 5), torch.nn.Flatten(), torch.nn.Linear(16, 3)
    small = torch.nn.Sequential(*layers)
    unit = models.Preprocessing((0., 0., 0.), (1., 1., 1.))
    mine = models.Classifier("mine", small.eval(), unit, 6, list("abc"), torch.device("cpu"))
    assert mine.predict(torch.rand(2, 3, 6, 6)).shape == (2, 3)
    words = r"shape \[1, 3, 2, 2\] do not go .*allowed: what 'mine' takes, as \[B, 3, 6, 6\]"
    with pytest.raises(ValueError, match=words): mine.predict(torch.rand(1, 3, 2, 2))
    with pytest.raises(ValueError, match=r"images of shape \[1, 3, 9, 9\] do not go"):
        mine.predict(torch.rand(1, 3, 9, 9))
