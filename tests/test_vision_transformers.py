"""Vision transformers of four libraries: tokens left out, and what their blocks attend to."""
import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers
from torch.nn import functional as F

from xai_repro.explain.transformers import rollout, vit_cx
from xai_repro.inputs.segmentation import grid
from xai_repro.inputs.tokens import MaskedPatches
from xai_repro.vision_transformers import kind_of, outputs
from xai_repro.zoo import models
from xai_repro.zoo.architectures import VisionTransformer

SIDE = 32
CLASSES = list("abcde")


def own():
    return VisionTransformer(16, 2, 2, side=SIDE, n_classes=5)


def of_torchvision():
    return torchvision.models.VisionTransformer(SIDE, 8, 2, 2, 16, 32, num_classes=5)


def of_timm(**options):
    settings = {"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 5}
    return timm.models.VisionTransformer(img_size=SIDE, **{**settings, **options})


def of_transformers():
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=SIDE, patch_size=8, num_labels=5,
    )
    return transformers.ViTForImageClassification(config)


LIBRARIES = {
    "xai_repro": own,
    "torchvision": of_torchvision,
    "timm": of_timm,
    "transformers": of_transformers,
}


def make_classifier(make):
    """A classifier with random weights; images of 32 pixels, patches of 8, 5 classes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = make()
    for weights in network.parameters():    # some begin with a head of zeros
        generator = torch.Generator().manual_seed(1)
        weights.data += .3*torch.randn(weights.shape, generator=generator)
    network.eval().requires_grad_(False)
    half = (.5, .5, .5)
    preprocessing = models.Preprocessing(half, half)
    cpu = torch.device("cpu")
    return models.Classifier("of noise", network, preprocessing, SIDE, CLASSES, cpu)


@pytest.fixture(scope="module", params=LIBRARIES)
def classifier(request):
    return make_classifier(LIBRARIES[request.param])


@pytest.fixture(scope="module")
def image():
    return torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def images(image):
    """Two, normalised."""
    return (2*image - 1).expand(2, -1, -1, -1)


@pytest.fixture(scope="module")
def masks():
    generator = np.random.default_rng(0)
    shares = np.linspace(0, 1, 40)[:, None]
    drawn = generator.random((40, 16)) < shares
    drawn[-1] = True
    return drawn


# tokens left out

def test_with_every_patch_nothing_is_left_out(classifier, image, masks):
    value = MaskedPatches(classifier, image)
    scores = value(masks)
    whole = classifier.predict(image[None])[0].numpy()
    assert np.allclose(scores[-1], whole, rtol=0, atol=1e-5)
    assert value.n_queries == len(np.unique(masks, axis=0))


@pytest.mark.parametrize("j", range(16))
def test_a_patch_that_is_left_out_is_not_seen(classifier, image, masks, j):
    value = MaskedPatches(classifier, image)
    inverted = torch.where(value.segments == j, 1 - image, image)
    scores = MaskedPatches(classifier, inverted)(masks)
    changed = (scores != value(masks)).any(1)
    present = masks[:, j]
    assert not changed[~present].any()
    assert changed[present].mean() > .9


def test_a_feature_of_several_patches_is_present_with_all_of_them(classifier, image):
    quarters = grid(image, 16)
    few = np.array([[1, 0, 0, 1], [0, 1, 0, 0]], bool)
    coarse = MaskedPatches(classifier, image, quarters)
    fine = MaskedPatches(classifier, image)
    of_patches = few[:, quarters[::8, ::8].flatten()]
    assert np.array_equal(coarse(few), fine(of_patches))


def test_left_out_or_not_attended_to_is_the_same(image, images, masks):
    """torchvision's and timm's transformers take no mask."""
    classifier = make_classifier(own)
    repeated = images[:1].expand(40, -1, -1, -1)
    with torch.no_grad():
        logits = classifier.network(repeated, torch.as_tensor(masks))
    scores = MaskedPatches(classifier, image)(masks)
    assert np.allclose(scores, logits.softmax(1).numpy(), rtol=0, atol=1e-5)


def test_left_out_or_not_attended_to_is_the_same_in_transformers(image, images, masks):
    """transformers' takes a mask of one row and column per token."""
    classifier = make_classifier(of_transformers)
    network = classifier.network
    repeated = images[:1].expand(40, -1, -1, -1)
    attended = F.pad(torch.as_tensor(masks), (1, 0), value=True)
    with torch.no_grad():
        hidden = network.vit(repeated, attention_mask=attended.long()).last_hidden_state
        logits = network.classifier(hidden[:, 0])
    scores = MaskedPatches(classifier, image)(masks)
    assert np.allclose(scores, logits.softmax(1).numpy(), rtol=0, atol=1e-5)


# attention

def test_attention_is_read_and_rolled_out(classifier, images):
    kind = kind_of(classifier.network)
    with torch.no_grad():
        attended = kind.attention(classifier.network, images)
    assert attended.shape == (2, 2, 2, 17, 17)
    sums = attended.sum(-1)
    assert torch.allclose(sums, torch.ones(2, 2, 2, 17), atol=1e-5)
    mixed = (attended.mean(2) + torch.eye(17))/2
    first, second = mixed.unbind(1)
    carried = second @ first
    scores = rollout(attended)
    assert torch.allclose(scores, carried[:, 0, 1:], rtol=0, atol=1e-6)


@torch.no_grad()
def test_attention_of_timm_is_what_happens(images):
    """Attention times values, projected, is what the layer passes on."""
    network = make_classifier(of_timm).network
    block = network.blocks[0]
    attend = block.attn
    y = outputs(network, [block.norm1], images)[0]
    weight, bias = attend.qkv.weight, attend.qkv.bias
    values = F.linear(y, weight[32:], bias[32:])
    values = values.unflatten(-1, (2, -1)).transpose(1, 2)
    attention = kind_of(network).attention(network, images)
    heads = attention[:, 0] @ values
    projected = attend.proj(heads.transpose(1, 2).flatten(2))
    assert torch.allclose(projected, attend(y), rtol=0, atol=1e-5)


@torch.no_grad()
def test_attention_of_torchvision_is_what_happens(images):
    network = make_classifier(of_torchvision).network
    block = network.encoder.layers[0]
    attend = block.self_attention
    y = outputs(network, [block.ln_1], images)[0]
    weight, bias = attend.in_proj_weight, attend.in_proj_bias
    values = F.linear(y, weight[32:], bias[32:])
    values = values.unflatten(-1, (2, -1)).transpose(1, 2)
    attention = kind_of(network).attention(network, images)
    heads = attention[:, 0] @ values
    projected = attend.out_proj(heads.transpose(1, 2).flatten(2))
    expected = attend(y, y, y)[0]
    assert torch.allclose(projected, expected, rtol=0, atol=1e-5)


def test_vit_cx_is_drawn_from_its_seed(classifier, images):
    network = classifier.network
    heat = vit_cx(network, images[0], 1)
    assert heat.shape == (SIDE, SIDE)
    assert heat.isfinite().all()
    assert heat.std() > 0
    again = vit_cx(network, images[0], 1)
    assert torch.equal(again, heat)
    other = vit_cx(network, images[0], 1, seed=1)
    assert not torch.equal(other, heat)


# bad input

def test_segments_that_cut_through_patches(classifier, image):
    message = "segments cut through the network's patches of 8 pixels"
    with pytest.raises(ValueError, match=message):
        MaskedPatches(classifier, image, grid(image, 12))


def test_an_image_of_another_size(classifier, image):
    with pytest.raises(ValueError, match=r"allowed: \[3, 32, 32\]"):
        MaskedPatches(classifier, image[:, :16])


def test_a_convolutional_network(image):
    classifier = models.load("efficientnet_lite0", "cpu")
    message = "network is a timm.EfficientNet, which does not read a set of tokens"
    with pytest.raises(ValueError, match=message):
        MaskedPatches(classifier, image)


def test_a_transformer_of_windows(image):
    def swin():
        sizes = [[4, 4], 8, [1, 1], [1, 1], [2, 2]]
        return torchvision.models.SwinTransformer(*sizes, num_classes=5)

    with pytest.raises(ValueError, match=r"network is a torchvision\.SwinTransformer"):
        MaskedPatches(make_classifier(swin), image)


@pytest.mark.parametrize("options", [
    {"reg_tokens": 4}, {"class_token": False, "global_pool": "avg"}
])
def test_other_tokens_before_those_of_patches(options):
    network = of_timm(**options)
    message = "tokens before those of patches; allowed: one, the class token"
    with pytest.raises(ValueError, match=message):
        kind_of(network)
