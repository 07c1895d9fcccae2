"The loaders against what the networks are known to do."
import numpy as np
import pandas as pd
import pytest
import torch
import torchvision

from xai_repro.zoo import models



from xai_repro.zoo.assets import fetch

from xai_repro.zoo.photographs import embedded_photographs, load_image
@pytest.mark.parametrize("name, floor", [("efficientnet_lite0", .8), ("efficientnet_lite1", .8), ("efficientnet_lite2", .8), ("squeezenet1_1", .55)])
def test_accuracy_on_real_photographs(assets, name, floor):
    "On the first 200 photographs top-1 is .900, .910, .920 and .680; a wrong normalisation or channel order costs more than the margin left by 60."
    classifier = models.load(name, "cpu")
    folder = fetch("imagenet_sample")
    rows = pd.read_csv(folder/"labels.csv").iloc[np.random.default_rng(0).permutation(200)[:60]]
    images = torch.stack([load_image(folder/f, classifier.size) for f in rows.file])
    right = classifier.predict(images).argmax(1).numpy() == rows.class_index.to_numpy()
    assert right.mean() >= floor, right.mean()


@pytest.fixture(scope="module")
def lite(): return models.load("efficientnet_lite0", "cpu")


@pytest.fixture(scope="module")
def photos(): return torch.stack(list(embedded_photographs().values()))


def test_predict_is_the_softmax_of_logits_without_a_gradient(lite, photos):
    p = lite.predict(photos.requires_grad_())
    assert p.dtype == torch.float32 and not p.requires_grad and torch.allclose(p.sum(1), torch.ones(len(p)), atol=1e-5)
    assert torch.allclose(p, lite.logits(photos).softmax(1), atol=1e-4)
    lite.logits(photos[:1])[0, 5].backward()
    assert photos.grad[0].abs().sum() > 0
    photos.requires_grad_(False)


def test_the_batch_changes_rounding_only(lite, photos):
    whole = lite.predict(photos)
    alone = torch.cat([lite.predict(x[None]) for x in photos])
    assert torch.allclose(whole, alone, atol=1e-4)


def test_bfloat16_is_close_and_float32_out(photos, lite):
    half = models.load("efficientnet_lite0", "cpu", dtype="bfloat16").predict(photos)
    assert half.dtype == torch.float32 and (half - lite.predict(photos)).abs().max() < .1


def test_the_given_weights_are_all_used():
    network = models.load("efficientnet_lite0", "cpu").network
    tensors = torch.load(fetch("weights/efficientnet_lite0"), weights_only=True)
    total = lambda state: sum(float(v.double().sum()) for v in state.values())
    assert total(network.state_dict()) == pytest.approx(total(tensors), rel=1e-12) and len(network.state_dict()) == len(tensors)


def test_torchvision_weights_api(monkeypatch, photos):
    "The weights are torchvision's own; here its download is replaced by a random network, so that the path around it is what is tested."
    torch.manual_seed(0)
    reference = torchvision.models.resnet18(weights=None).eval()
    asked = []
    def load_state_dict_from_url(url, *a, **k): asked.append(url); return reference.state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", load_state_dict_from_url)
    classifier = models.load("torchvision:resnet18", "cpu")
    transforms = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    normal = torchvision.transforms.functional.normalize(photos, transforms.mean, transforms.std)
    assert torch.allclose(classifier.logits(photos), reference(normal), atol=1e-4)
    assert classifier.size == 224 and classifier.class_names[0] == "tench" and "IMAGENET1K_V1" in classifier.weights and "resnet18" in asked[0]


def test_transformers_classifier(tmp_path, photos):
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor
    torch.manual_seed(0)
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8, num_labels=3)
    network = ViTForImageClassification(config).eval()
    network.save_pretrained(tmp_path); ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    classifier = models.load(f"hf:{tmp_path}", "cpu")
    x = photos[:2, :, :32, :32]
    assert classifier.size == 32 and len(classifier.class_names) == 3
    assert torch.allclose(classifier.logits(x), network((x - .5)/.5).logits, atol=1e-5)


def test_probabilities_and_embedding_from_one_pass(lite, photos, tmp_path):
    both = models.with_embedding(lite)
    asked = []
    handle = lite.network.conv_stem.register_forward_hook(lambda *_: asked.append(1))
    found = both(photos)
    handle.remove()
    assert not asked, "the network itself is not asked again"
    normal = lite.preprocessing(photos)
    with torch.no_grad(): embedding = lite.network.forward_head(lite.network.forward_features(normal), pre_logits=True)
    assert torch.allclose(found[:, 1000:], embedding, atol=1e-3) and torch.allclose(found[:, :1000], lite.predict(photos), atol=1e-5)
    assert lite.network.classifier.out_features == 1000, "the classifier is left as it was"


def test_an_embedding_needs_a_last_linear_layer(lite):
    from dataclasses import replace
    with pytest.raises(ValueError, match="SqueezeNet, which has no linear layer"): models.with_embedding(replace(lite, network=torchvision.models.squeezenet1_1(weights=None).eval()))
    odd = torch.nn.Sequential(lite.network, torch.nn.Softmax(1), torch.nn.Threshold(2., .5))
    with pytest.raises(ValueError, match="whose last linear layer does not end it"): models.with_embedding(replace(lite, network=odd))


@pytest.mark.parametrize("call, words", [
    (lambda: models.load("resnet18"), ["name is 'resnet18'", "efficientnet_lite0", "torchvision:<name>"]),
    (lambda: models.load("torchvision:resnet19"), ["torchvision:resnet19", "torchvision:resnet18"]),
    (lambda: models.load("torchvision:resnet18@V9"), ["V9", "IMAGENET1K_V1"]),
    (lambda: models.load("efficientnet_lite0", dtype="float16"), ["dtype", "float16", "bfloat16"]),
])
def test_unknown_names_list_the_known(call, words):
    with pytest.raises(ValueError) as e: call()
    for word in words: assert word in str(e.value)


@pytest.mark.parametrize("bad, error", [(lambda x: (x*255).byte(), TypeError), (lambda x: x*255, ValueError), (lambda x: x*torch.nan, ValueError), (lambda x: x[0], ValueError)])
def test_bad_images(lite, photos, bad, error):
    for ask in (lite.predict, lite.logits):
        with pytest.raises(error, match="images"): ask(bad(photos))


def test_a_head_is_kept_as_it_is_whatever_its_memory_order(tmp_path, monkeypatch):
    (tmp_path/"data"/"models").mkdir(parents=True)
    monkeypatch.setenv("XAI_REPRO_ROOT", str(tmp_path))
    weight, bias = np.asfortranarray(np.random.default_rng(0).random((4, 384), np.float32)), np.arange(4, dtype=np.float32)
    models.save_head("mine", weight, bias)
    assert all(np.array_equal(kept, given) for kept, given in zip(models.load_head("mine"), (weight, bias)))


def test_with_its_own_head_a_classifier_is_what_it_was(lite):
    head, = [m for m in lite.network.modules() if isinstance(m, torch.nn.Linear)]
    again = models.with_head(lite, head.weight.numpy(), head.bias.numpy(), lite.class_names, "again")
    images = torch.rand(3, 3, lite.size, lite.size, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.predict(images), lite.predict(images)) and again.weights != lite.weights and again.name == "again"


def test_a_head_of_another_width_is_refused(lite):
    with pytest.raises(ValueError, match=r"weight has shape \(2, 7\), bias \(2,\); allowed: \(2, 1280\) and \(2,\)"): models.with_head(lite, np.zeros((2, 7)), np.zeros(2), ["a", "b"], "odd")
    with pytest.raises(ValueError, match=r"bias \(3,\)"): models.with_head(lite, np.zeros((2, 1280)), np.zeros(3), ["a", "b"], "odd")


def test_compiled_it_says_what_it_says_eagerly():
    "A whole chunk, and one that is filled up."
    images = torch.stack(list(embedded_photographs(224).values()))
    images = images[torch.arange(18) % len(images)]
    eager, compiled = (models.load("efficientnet_lite0", "cpu", compile=c) for c in (False, True))
    assert (eager.predict(images) - compiled.predict(images)).abs().max() < 1e-5
    assert torch.equal(compiled.predict(images)[16:], compiled.predict(images[16:]))
