"""Methods of gradients, against captum and their definitions, on functions that are known."""
from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from pytest import approx
from small_models import random_image, small_classifier
from torch import nn
from torch.nn.functional import interpolate

from xai_repro.evaluate.similarity import pearson
from xai_repro.explain import gradients, lfa
from xai_repro.explain.methods import METHODS, TRANSFORMERS, explain
from xai_repro.inputs.image import as_classifier, image_instance, of_image
from xai_repro.inputs.instance import Differentiable, Instance
from xai_repro.inputs.removal import Constant
from xai_repro.inputs.segmentation import grid, slico
from xai_repro.value import MaskFunction
from xai_repro.zoo import models

W = torch.linspace(-1, 1, 12).reshape(3, 2, 2)
X = random_image(size=2)
BASE = torch.full((3, 2, 2), .5)


def linear_logits(rows):
    """Two classes, whose log-odds are linear in the input."""
    odds = (rows*W).sum((1, 2, 3))
    zeros = torch.zeros(len(rows))
    return torch.stack([zeros, odds], 1)


def probability(x, target=1):
    logits, = linear_logits(x[None])
    probabilities = logits.softmax(0)
    return float(probabilities[target])


def over_channels(map_): return map_.sum(0).flatten().double().numpy()


def every_number(map_): return map_.flatten().double().numpy()


def linear_instance(pool=over_channels, target=1):
    view = Differentiable(linear_logits, X, BASE, pool, (0., 1.))
    d = len(pool(X))
    return Instance(MaskFunction(lambda masks: masks, d), target, "linear", view=view)


def test_integrated_gradients_is_complete():
    scores = gradients.integrated_gradients(linear_instance(), 1, 32)
    change = probability(X) - probability(BASE)
    assert scores.sum() == approx(change, abs=1e-5)


def test_integrated_gradients_without_the_factor_is_the_mean_gradient():
    scores = gradients.integrated_gradients(linear_instance(), 1, 32, multiply=False)
    nodes, weights = np.polynomial.legendre.leggauss(32)
    mean = 0.
    for node, weight in zip(nodes, weights, strict=True):
        share = (node + 1)/2
        p = probability(BASE + share*(X - BASE))
        slope = p*(1 - p)
        mean += weight/2*slope
    assert np.allclose(scores, over_channels(mean*W), atol=1e-5)


def predicted():
    """The predicted class of the linear function, and the gradient of its probability."""
    x = X.clone().requires_grad_()
    probabilities = linear_logits(x[None]).softmax(1)[0]
    target = int(probabilities.argmax())
    gradient, = torch.autograd.grad(probabilities[target], x)
    return target, gradient


def test_a_step_of_mfaba_by_its_formula():
    """-Δx ⊙ ∇p with Δx = -step ∇p/‖∇p‖, so that the scores are step (∇p)²/‖∇p‖."""
    target, gradient = predicted()
    instance = linear_instance(every_number)
    one_step = gradients.mfaba(instance, target, step=1e-3, most=1)
    expected = 1e-3*gradient**2/gradient.norm()
    assert np.allclose(one_step, every_number(expected), atol=1e-8)


def test_mfaba_walks_until_the_class_changes():
    target, _ = predicted()
    scores = gradients.mfaba(linear_instance(every_number), target, step=.01, most=2000)
    assert (scores >= -1e-12).all()
    assert scores.sum() > 0


def small_picture():
    image = random_image()
    return image_instance(small_classifier(), image, grid(image, 16))


@pytest.mark.parametrize("make", [linear_instance, small_picture])
def test_mfaba_warns_where_the_class_is_not_the_predicted_one(make):
    instance = make()
    view = instance.view
    logits, = view.logits(view.x[None])
    other = int(logits.argmin())
    with pytest.warns(lfa.DegenerateFit, match="not what the network predicts"):
        assert not gradients.mfaba(instance, other).any()


def test_pooling_is_the_mean_over_a_segment():
    image = random_image(1, 4)
    segments = grid(image, 2)
    view = of_image(small_classifier(), image, segments)
    map_ = random_image(2, 4)
    pooled = view.pool(map_)
    for i, score in enumerate(pooled):
        pixels = map_[:, segments == i]
        assert score == approx(float(pixels.mean()), abs=1e-6)
    assert len(pooled) == 4


# of a real network

@pytest.fixture(scope="module")
def photo(photographs):
    return photographs["chelsea"]


@pytest.fixture(scope="module")
def regions(photo):
    return slico(photo, 12)


@pytest.fixture(scope="module")
def instance(lite, photo, regions):
    return image_instance(lite, photo, regions, Constant(), baseline=0.)


NOISY = ("smoothgrad", "squaregrad", "vargrad", "captum_smoothgrad")
PATHS = ("integrated_gradients", "captum_integrated_gradients")
FEW = {"sobol": 2, **dict.fromkeys(PATHS, 4), **dict.fromkeys(NOISY, 3)}
def itself(masks): return masks


OPTIONS = {
    "alime": dict(encode=itself, sigma=2.),
    "lime": dict(distance="cosine", original_first=True),
    "glime": dict(sigma=1.),
    "mfaba": dict(most=2),
    "scorecam": dict(layer="blocks.0"),
}
OF_ANY_NETWORK = [name for name in METHODS if name not in TRANSFORMERS]


@pytest.mark.parametrize("method", OF_ANY_NETWORK)
def test_every_method_scores_every_region_of_a_photograph(method, instance):
    row = METHODS[method]
    n = None if row.n_samples is None else FEW.get(method, 20)
    options = OPTIONS.get(method, {})
    scores = explain(instance, method, n, **options).scores
    assert scores.dtype == np.float64
    n_regions = len(instance.segments.unique())
    assert scores.shape == (n_regions,)
    assert np.ptp(scores) > 0
    again = explain(instance, method, n, **options).scores
    assert np.allclose(scores, again, rtol=1e-3, atol=1e-7), "the same seed, the same scores"


def upsampled(maps):
    """Maps [B, C, h, w] at the size of the photographs."""
    return interpolate(maps, (224, 224), mode="bilinear", align_corners=False)


def test_class_activation_maps_are_captums(lite, photo, instance):
    assert gradients.last_maps(instance.view) in ("bn2", "bn2.act")
    x = photo[None].clone().requires_grad_()
    captum = LayerGradCam(lite.logits, lite.network.blocks)
    theirs = captum.attribute(x, target=instance.target, relu_attributions=True)
    large, = LayerAttribution.interpolate(theirs, (224, 224), "bilinear")
    ours = gradients.gradcam(instance, instance.target, layer="blocks")
    of_channels = large.detach().expand(3, -1, -1)
    expected = instance.view.pool(of_channels)
    assert np.allclose(ours, expected, rtol=1e-3, atol=1e-6)


def with_network(lite, *layers):
    """A classifier with lite's preprocessing and another network."""
    return replace(lite, network=nn.Sequential(*layers).eval())


def score_cam_map(classifier, photo, target):
    """Channels brought to the image's size and to [0, 1].

    Each is weighted by the softmax over channels of the score of the image seen through it.
    """
    convolve = classifier.network[0]
    normalised = classifier.preprocessing(photo[None])
    maps = torch.relu(convolve(normalised))
    large, = upsampled(maps)
    low = large.amin((1, 2), True)
    high = large.amax((1, 2), True)
    width = (high - low).clamp_min(1e-8)
    shares = (large - low)/width
    through = classifier.logits(photo*shares[:, None])
    empty = classifier.logits(torch.zeros_like(photo[None]))
    gains = through - empty
    weights = gains[:, target].softmax(0)
    weighted = weights[:, None, None]*maps[0]
    combined = torch.relu(weighted.sum(0))
    return upsampled(combined[None, None])[0]


def test_score_cam_by_its_definition(lite, photo, regions):
    torch.manual_seed(0)
    convolve = nn.Conv2d(3, 4, 3, stride=8)
    head = nn.LazyLinear(5)
    small = with_network(lite, convolve, nn.ReLU(), nn.Flatten(), head)
    small.logits(photo[None])
    picture = image_instance(small, photo, regions, target=2, baseline=0.)
    with torch.no_grad():
        expected = score_cam_map(small, photo, 2)
    scores = gradients.scorecam(picture, 2, layer="1")
    of_channels = expected.expand(3, -1, -1)
    pooled = picture.view.pool(of_channels)
    assert pearson(scores, pooled) > .999


def test_noise_of_none_is_the_gradient(lite, photo, regions):
    inside = photo.clamp(.01, .99)
    picture = image_instance(lite, inside, regions, baseline=0.)
    near = gradients.smoothgrad(picture, picture.target, 2, sigma=1e-7)
    plain = gradients.vanilla_gradients(picture, picture.target)
    assert np.allclose(near, plain, rtol=1e-2)
    absolute = gradients.smoothgrad(picture, picture.target, 2, sigma=1e-7, absolute=True)
    saliency = gradients.saliency(picture, picture.target)
    assert np.allclose(absolute, saliency, rtol=1e-2)
    variance = gradients.vargrad(picture, picture.target, 2, sigma=1e-7)
    assert variance.max() < 1e-6*absolute.max()


def test_gradient_x_input_of_a_linear_network_is_its_terms(lite, photo, regions):
    torch.manual_seed(1)
    head = nn.Linear(3, 2)
    average = nn.AvgPool2d(224)
    linear = with_network(lite, average, nn.Flatten(), head)
    picture = image_instance(linear, photo, regions, target=1, baseline=0.)
    weights = head.weight[1].detach()
    std = torch.tensor(linear.preprocessing.std)
    slopes = weights/std/224**2
    terms = photo*slopes[:, None, None]
    scores = gradients.gradient_x_input(picture, 1)
    pooled = picture.view.pool(terms)
    assert np.allclose(scores, pooled, rtol=1e-3)


# bad input

class NoGradient:
    """A classifier with no logits."""

    def predict(self, images): return torch.full((len(images), 2), .5)


NEED_GRADIENTS = ["saliency", "gradcam", "integrated_gradients"]


@pytest.mark.parametrize("method", NEED_GRADIENTS)
def test_a_classifier_without_gradients_is_refused(method, photo, regions):
    compiled = models.load("efficientnet_lite0", "cpu", compile=True)
    for classifier in (NoGradient(), compiled):
        picture = image_instance(classifier, photo, regions, target=0)
        with pytest.raises(ValueError, match="has no gradients; allowed for a gradient method"):
            explain(picture, method)


@pytest.mark.parametrize("method", NEED_GRADIENTS)
def test_scores_without_a_gradient_are_refused(method, lite, photo, regions):
    frozen = replace(lite, network=Frozen(lite.network))
    picture = image_instance(frozen, photo, regions, target=0)
    message = "classifier gives scores without a gradient; allowed"
    with pytest.raises(ValueError, match=message):
        explain(picture, method)


class Frozen(nn.Module):
    """A network whose outputs have no gradient."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images): return self.network(images).detach()


def test_another_layer_is_refused(instance):
    with pytest.raises(ValueError, match=r"layer is 'conv9'; allowed: .*blocks"):
        gradients.gradcam(instance, 0, layer="conv9")


def test_a_network_without_maps_is_refused(lite, photo, regions):
    head = nn.Linear(3*224**2, 2)
    flat = with_network(lite, nn.Flatten(), head)
    view = of_image(flat, photo, regions)
    with pytest.raises(ValueError, match="no layer of which gives a map"):
        gradients.last_maps(view)


# whose last map is which: random networks of each kind and library

def of_torchvision(name, **settings):
    from torchvision import models as networks
    return getattr(networks, name)(num_classes=5, **settings)


def of_timm(name, **settings):
    import timm
    return timm.create_model(name, num_classes=5, **settings)


def of_transformers(name, **settings):
    import transformers
    configuration = getattr(transformers, f"{name}Config")(num_labels=5, **settings)
    return getattr(transformers, f"{name}ForImageClassification")(configuration)


FEW_STAGES = dict(hidden_sizes=[16, 32], depths=[1, 1])
HEADS = dict(num_hidden_layers=2, hidden_size=32, num_attention_heads=2, intermediate_size=64)
WITH_A_LAST_MAP = {    # the network, and the layer whose map goes to the pooling
    "ResNet of torchvision": (of_torchvision, "resnet18", {}, "layer4"),
    "SqueezeNet of torchvision": (of_torchvision, "squeezenet1_1", {}, "classifier.2"),
    "EfficientNet of torchvision": (of_torchvision, "efficientnet_b0", {}, "features"),
    "ConvNeXt of torchvision": (of_torchvision, "convnext_tiny", {}, "features"),
    "Swin of torchvision": (of_torchvision, "SwinTransformer", dict(
        patch_size=[4, 4], embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=[4, 4]),
        "permute"),
    "ResNet of timm": (of_timm, "resnet18", {}, "layer4"),
    "EfficientNet of timm": (of_timm, "efficientnet_lite0", {}, "bn2"),
    "ConvNeXt of timm": (of_timm, "convnext_atto", {}, "stages"),
    "ResNet of transformers": (of_transformers, "ResNet", dict(
        embedding_size=16, layer_type="basic", **FEW_STAGES), "resnet.encoder.stages.1"),
    "ConvNeXt of transformers": (of_transformers, "ConvNext", dict(
        num_stages=2, **FEW_STAGES), "convnext.encoder.stages.1"),
}
WITHOUT = {
    "ViT of torchvision": (of_torchvision, "VisionTransformer", dict(
        image_size=64, patch_size=16, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64)),
    "ViT of timm": (of_timm, "vit_tiny_patch16_224", dict(img_size=64, depth=2)),
    "ViT of transformers": (of_transformers, "ViT", dict(image_size=64, **HEADS)),
    "Swin of timm": (of_timm, "swin_tiny_patch4_window7_224", dict(
        img_size=64, window_size=4, depths=(1, 1), num_heads=(2, 4))),
    "Swin of transformers": (of_transformers, "Swin", dict(
        image_size=64, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4)),
}
SQUARE = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))


def asked_of(make, name, settings):
    """A network's instance of an image of 64 x 64 pixels in 16 squares."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = make(name, **settings).eval()
    return network, image_instance(as_classifier(network), SQUARE, grid(SQUARE, 16), target=1)


@pytest.mark.parametrize("kind", WITH_A_LAST_MAP)
def test_grad_cam_reads_the_last_map(kind):
    """As captum's Grad-CAM of the layer that goes to the pooling."""
    *network_of, layer = WITH_A_LAST_MAP[kind]
    network, picture = asked_of(*network_of)
    x = SQUARE[None].clone().requires_grad_()
    module = network.get_submodule(layer)
    theirs = LayerGradCam(picture.view.logits, module).attribute(
        x, target=1, relu_attributions=True)
    large = interpolate(theirs.detach(), (64, 64), mode="bilinear", align_corners=False)[0]
    expected = picture.view.pool(large.expand(3, -1, -1))
    found = gradients.gradcam(picture, 1)
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("kind", WITHOUT)
@pytest.mark.parametrize("method", ["gradcam", "gradcam_pp", "scorecam"])
def test_a_network_whose_last_map_cannot_be_told_is_refused(kind, method):
    _, picture = asked_of(*WITHOUT[kind])
    words = r"its last map cannot be told; allowed: layer=, .* 'rollout' for a vision transformer"
    with pytest.raises(ValueError, match=words):
        explain(picture, method)


def test_a_layer_that_gives_no_map_is_refused():
    _, picture = asked_of(*WITHOUT["ViT of torchvision"])
    with pytest.raises(ValueError, match=r"layer is 'encoder', whose output .* \[1, 17, 32\]"):
        gradients.gradcam(picture, 1, layer="encoder")
    patches = gradients.gradcam(picture, 1, layer="conv_proj")
    assert np.isfinite(patches).all(), "who asks for the patches' embedding gets it"


@pytest.mark.parametrize("method", [
    "saliency", "integrated_gradients", "smoothgrad", "gradcam", "mfaba", "occlusion"])
def test_a_class_that_there_is_not_is_refused_by_name(method):
    picture = small_picture()
    with pytest.raises(ValueError, match="target is 99"):
        explain(picture, method, target=99)
