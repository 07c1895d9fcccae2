"""Networks as strangers have them: what outputs mean, processors, precision, modes, identities."""
import random
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from cases import cases
from PIL import Image
from small_models import random_image
from torch import nn

from xai_repro import bridges
from xai_repro.evaluate import faithfulness
from xai_repro.explain import gradients, lfa, maps
from xai_repro.explain.attention import rollout_scores, vit_cx_scores
from xai_repro.explain.captum_methods import captum_attribute
from xai_repro.inputs.description import describe
from xai_repro.inputs.image import MaskedModel, as_classifier, image_instance
from xai_repro.inputs.instance import make_identity
from xai_repro.inputs.removal import Blur, Constant, Removal
from xai_repro.inputs.segmentation import grid
from xai_repro.inputs.tokens import MaskedPatches
from xai_repro.zoo import architectures, autoencoder, inpainter, models, tabular_networks, training

BYTES = (random_image(0)*255).round()
IMAGE = BYTES/255
BATCH = IMAGE[None]
SEGMENTS = grid(IMAGE, 8)
PLAIN = models.Preprocessing((0., 0., 0.), (1., 1., 1.))
ALL = np.ones((1, 16), bool)


class Linear(nn.Module):
    """One linear layer, and what is made of its outputs."""

    def __init__(self, n_outputs=4, pack=None, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.out = nn.Linear(3*32*32, n_outputs)
        self.pack = pack

    def forward(self, x):
        rows = x.flatten(1)
        y = 5*self.out(rows - .5)
        return y if self.pack is None else self.pack(y)


class Layered(nn.Module):
    """Convolution, batch normalisation and dropout, flattened with .view."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(3, 8, 3, padding=1)
            self.norm = nn.BatchNorm2d(8)
            self.drop = nn.Dropout(.5)
            self.out = nn.Linear(8*8*8, 4)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu()
        x = nn.functional.max_pool2d(x, 4)
        x = x.view(len(x), -1)
        return self.out(self.drop(x))


def classifier(network, n_classes=4, **options):
    names = [f"class {i}" for i in range(n_classes)]
    cpu = torch.device("cpu")
    return models.Classifier("mine", network, PLAIN, 32, names, cpu, **options)


def softmax(logits): return logits.softmax(1)


# what outputs mean

def by_predict(network, n, output):
    made = classifier(network, n, output=output)
    return made.predict(BATCH)


def by_module(network, n, output):
    made = as_classifier(network, output)
    shares = made.predict(BATCH)
    is_one_label = n == 1 and output is None
    return shares[:, 1:] if is_one_label else shares        # of [1 - p, p]


def by_gradients(network, n, output):
    made = classifier(network, n, output=output)
    view = image_instance(made, IMAGE, SEGMENTS).view
    return view.scores(BATCH).detach()


def by_masks(network, n, output):
    made = classifier(network, n, output=output)
    instance = image_instance(made, IMAGE, SEGMENTS, target=0)
    return torch.as_tensor(instance(ALL))


def by_embedding(network, n, output):
    made = classifier(network, n, output=output)
    embed = models.with_embedding(made)
    return embed(BATCH)[:, :n]


class Scaled(nn.Module):
    """The same network, ending with its linear layer."""

    def __init__(self, network):
        super().__init__()
        self.out = deepcopy(network.out)

    def forward(self, x):
        rows = x.flatten(1)
        return self.out(5*(rows - .5))


@pytest.mark.parametrize("ask", [by_predict, by_module, by_gradients, by_masks, by_embedding])
@cases("meaning, n, output, scores_of", {
    "several classes": (4, None, softmax),
    "one label": (1, None, torch.sigmoid),
    "several labels": (3, "sigmoid", torch.sigmoid),
    "several values": (3, "identity", torch.clone),
    "one value": (1, "identity", torch.clone),
})
def test_scores_are_what_outputs_mean(tally, meaning, n, output, scores_of, ask):
    network = Scaled(Linear(n)).eval()
    with torch.no_grad(): expected = scores_of(network(BATCH))
    got = ask(network, n, output)
    same = got.shape == expected.shape and torch.allclose(got, expected, atol=1e-5)
    tally.right_if(same, f"{meaning}: {got}, not {expected}")


def test_one_logit_with_two_names_is_two_classes():
    network = Linear(1).eval()
    p = network(BATCH).sigmoid().detach()
    expected = torch.cat([1 - p, p], 1)
    made = classifier(network, 2)
    assert torch.allclose(made.predict(BATCH), expected, atol=1e-6)
    assert image_instance(made, IMAGE, SEGMENTS).target == int(p > .5)
    scaled = classifier(Scaled(network), 2)
    both = models.with_embedding(scaled)(BATCH)[:, :2]
    assert torch.allclose(both, expected, atol=1e-5)


def test_gradients_of_one_logit_are_not_zero():
    network = Linear(1)
    view = image_instance(classifier(network, 1), IMAGE, SEGMENTS, target=0)
    scores = gradients.integrated_gradients(view, 0, 256)
    images = torch.stack([IMAGE, torch.zeros_like(IMAGE)])
    whole, empty = network(images).sigmoid().detach()
    change = float(whole - empty)
    # a segment's score is a mean over its pixels and channels, of which there are 192
    assert 192*scores.sum() == pytest.approx(change, rel=1e-5, abs=1e-4)


def test_a_metric_of_quantus_follows_one_logit(tally):
    generator = torch.Generator().manual_seed(0)
    saliency = torch.rand(1, 1, 32, 32, generator=generator)
    metric = bridges.as_metric("insertion", lambda image: grid(image, 8))
    (no,) = metric(Linear(1), BATCH, [0], saliency)
    (yes,) = metric(Linear(1), BATCH, [1], saliency)
    tally.right_if(0 < no < 1, f"no: {no}")
    tally.right_if(0 < yes < 1, f"yes: {yes}")
    is_whole = np.isclose(no + yes, 1, atol=1e-5)
    tally.right_if(is_whole, f"{no} and {yes}")


# what a model returns

class Object:
    """An output with logits, as transformers give."""

    def __init__(self, logits): self.logits = logits


def of_classifier(network): return classifier(network).predict(BATCH)


def of_module(network): return as_classifier(network).predict(BATCH)


def of_masks(network): return MaskedModel(network, IMAGE, SEGMENTS)(ALL)


def of_function(network): return MaskedModel(lambda x: network(x), IMAGE, SEGMENTS)(ALL)


WAYS = [of_classifier, of_module, of_masks, of_function]


@pytest.mark.parametrize("ask", WAYS)
@cases("packed, pack", {
    "a tensor": lambda y: y,
    "an object": Object,
    "a dict": lambda y: {"logits": y},
    "a tuple of one": lambda y: (y,),
    "an array": lambda y: y.detach().numpy(),
    "a list": lambda y: y.tolist(),
    "rows of tensors": lambda y: [row.detach() for row in y],
    "double": lambda y: y.double(),
    "a sparse tensor": lambda y: y.to_sparse(),
})
def test_outputs_are_taken_apart(tally, packed, pack, ask):
    expected = ask(Linear().eval())
    got = ask(Linear(pack=pack).eval())
    same = np.allclose(got, expected, atol=1e-5)
    tally.right_if(same, f"{packed}: {got}, not {expected}")


@pytest.mark.parametrize("ask", WAYS)
@cases("packed, pack", {
    "two tensors": lambda y: (y, y),
    "a dict of something else": lambda y: {"out": y},
    "text": lambda y: "cat",
    "nothing": lambda y: None,
    "a map": lambda y: y[:, :, None, None],
    "a row too few": lambda y: torch.cat([y, y]),
    "complex numbers": lambda y: y*1j,
})
def test_other_outputs_are_refused_by_name(tally, packed, pack, ask):
    network = Linear(pack=pack).eval()
    errors = TypeError, ValueError
    tally.refusal(lambda: ask(network), "returned", "allowed", errors=errors, what=packed)


# precision

FINE = [torch.float32, torch.float64]
PRECISIONS = [torch.float16, torch.bfloat16, *FINE]


@pytest.mark.parametrize("images", PRECISIONS)
@pytest.mark.parametrize("network", PRECISIONS)
def test_networks_and_images_of_every_precision(tally, network, images):
    exact = Layered().eval()
    given = IMAGE.to(images)
    expected = softmax(exact(given.float()[None])).detach()
    asked = deepcopy(exact).to(network)
    tolerance = 1e-5 if network in FINE else 2e-2
    wide = torch.float64 if network == torch.float64 else torch.float32
    for made in (classifier(asked), as_classifier(asked)):
        got = made.predict(given[None])
        same = torch.allclose(got.float(), expected, atol=tolerance)
        is_wide = got.dtype == wide
        tally.right_if(same and is_wide, f"{got}, not {expected}")
    instance = image_instance(classifier(asked), given, SEGMENTS, target=1)
    scores = gradients.saliency(instance, 1)
    is_finite = np.isfinite(scores).all()
    tally.right_if(is_finite and scores.any(), f"{scores}")


# asked in evaluation mode, and left as it was

def prepared(train=True, make=Layered):
    """A network in the middle of a training step."""
    network = make().train(train)
    for parameter in network.parameters(): parameter.grad = torch.full_like(parameter, .5)
    next(network.parameters()).requires_grad_(False)
    return network


def hooks_of(layer):
    hooks = layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks
    return [len(each) for each in hooks]


def state_of(network):
    """What a pass could have changed: modes, hooks, gradients, weights and buffers."""
    layers = list(network.modules())
    modes = [layer.training for layer in layers]
    hooks = [hooks_of(layer) for layer in layers]
    parameters = list(network.parameters())
    wanted = [parameter.requires_grad for parameter in parameters]
    grads = [parameter.grad.clone() for parameter in parameters]
    tensors = network.state_dict().values()
    return [modes, hooks, wanted, grads, [tensor.clone() for tensor in tensors]]


def is_same(a, b):
    if isinstance(a, torch.Tensor): return torch.equal(a, b)
    if not isinstance(a, list): return a == b
    return len(a) == len(b) and all(map(is_same, a, b))


def count_left(tally, network, before, what=""):
    """Count whether a network is as it was before."""
    now = state_of(network)
    tally.right_if(is_same(before, now), f"{what}: left changed")


def ask_twice(tally, asked, ask, make):
    """Count whether a network in training answers as in evaluation mode, and is left."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = prepared(make=make)
    evaluated = deepcopy(network).eval()
    expected = np.asarray(ask(evaluated))
    before = state_of(network)
    first = np.asarray(ask(network))
    second = np.asarray(ask(network))
    alike = np.allclose(first, expected) and np.allclose(second, expected)
    tally.right_if(alike, f"{asked}: {first} and {second}, not {expected}")
    count_left(tally, network, before, asked)


def an_instance(network):
    return image_instance(classifier(network), IMAGE, SEGMENTS, target=1)


def with_head(network):
    """A classifier of two classes by features of a network."""
    weight = np.ones((2, 512))
    return models.with_head(classifier(network), weight, np.zeros(2), ["a", "b"], "x")


def embedding(network):
    embed = models.with_embedding(classifier(network))
    return embed(BATCH)


def perturbed(network):
    """A mask of a network's instance, by gradients."""
    instance = an_instance(network)
    return maps.meaningful_perturbation(instance, Blur(2.), [0], 4, 2)


def pixel_area(network):
    """The area below a curve of pixels."""
    predict = classifier(network).predict
    return faithfulness.pixel_curve(predict, IMAGE, IMAGE[0], 0, steps=4).auc


def insertion_area(network):
    """The area below a curve of segments, as a metric of Quantus."""
    metric = bridges.as_metric("insertion", lambda image: grid(image, 8))
    return metric(network, BATCH, [1], BATCH[:, :1])


@pytest.mark.filterwarnings("ignore")
@cases("asked, ask", {
    "predict": of_classifier,
    "logits": lambda n: classifier(n).logits(BATCH).detach(),
    "a module": of_module,
    "MaskedModel of a module": of_masks,
    "MaskedModel of a lambda": of_function,
    "lime": lambda n: lfa.lime(an_instance(n), 1, 32, sigma=2.).weights,
    "noise": lambda n: an_instance(n).add(np.full((2, 16), .1)),
    "factors": lambda n: an_instance(n).scale(np.full((2, 1), .5)),
    "saliency": lambda n: gradients.saliency(an_instance(n), 1),
    "smoothgrad": lambda n: gradients.smoothgrad(an_instance(n), 1, 3),
    "integrated_gradients": lambda n: gradients.integrated_gradients(an_instance(n), 1, 4),
    "mfaba": lambda n: gradients.mfaba(an_instance(n), 1, most=2),
    "gradcam": lambda n: gradients.gradcam(an_instance(n), 1),
    "gradcam_pp": lambda n: gradients.gradcam_pp(an_instance(n), 1),
    "scorecam": lambda n: gradients.scorecam(an_instance(n), 1),
    "meaningful_perturbation": perturbed,
    "sliding_patch": lambda n: maps.sliding_patch(an_instance(n), Blur(2.), [16], 16),
    "with_embedding": embedding,
    "with_head": lambda n: with_head(n).predict(BATCH),
    "identity": lambda n: len(classifier(n).identity()),
    "pixel_curve": pixel_area,
    "as_metric": insertion_area,
})
def test_a_network_in_training_is_asked_in_evaluation_mode_and_left_as_it_was(tally, asked, ask):
    ask_twice(tally, asked, ask, make=Layered)


ROWS = np.random.default_rng(0).random((4, 3)).astype(np.float32)


def rows_network():
    """A network of rows of three numbers, with layers that are of two modes."""
    layers = [nn.Linear(3, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(.5), nn.Linear(16, 1)]
    return nn.Sequential(*layers, nn.Flatten(0))


@pytest.mark.filterwarnings("ignore")
@cases("asked, ask", {
    "lfa.attribute": lambda n: lfa.attribute("vanilla_gradients", n, ROWS, 20),
    "lfa.attribute of a lambda": lambda n: lfa.attribute("smoothgrad", lambda X: n(X), ROWS, 20),
    "perturbation_test": lambda n: faithfulness.perturbation_test(n, ROWS, ROWS),
    "captum_attribute": lambda n: captum_attribute("vanilla_gradients", n, ROWS),
})
def test_so_is_a_network_of_rows(tally, asked, ask):
    ask_twice(tally, asked, ask, make=rows_network)


@pytest.mark.parametrize("points", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("method", ["vanilla_gradients", "smoothgrad", "lime"])
def test_captum_explains_networks_of_every_precision(tally, method, dtype, points):
    exact = rows_network().double().eval()
    expected = captum_attribute(method, exact, ROWS[:2], 50)
    asked = deepcopy(exact).to(dtype)
    got = captum_attribute(method, lambda rows: asked(rows), ROWS[:2].astype(points), 50)
    tolerance = 1e-3 if dtype in FINE and points != np.float16 else 2e-2
    tally.right_if(np.allclose(got, expected, atol=tolerance), f"{got}, not {expected}")


class Counting(nn.Module):
    """A network that counts in a buffer, fails at the third pass and sets gradients aside."""

    def __init__(self):
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))
        self.out = nn.Linear(3*32*32, 4)

    def forward(self, x):
        self.passes += 1
        for parameter in self.parameters(): parameter.grad = None
        if self.passes > 2: raise ArithmeticError("no more")
        return self.out(x.flatten(1))


def test_a_network_is_put_back_after_an_exception(tally):
    network = prepared(make=Counting)
    before = state_of(network)
    for expected in ("", "", "no more"):
        network.passes.fill_(2. if expected else 0.)
        now = state_of(network)
        try: classifier(network).predict(BATCH)
        except ArithmeticError as error: assert str(error) == expected
        count_left(tally, network, now)
    network.passes.fill_(0.)
    count_left(tally, network, before)


def test_threads_share_a_network_in_training(tally):
    network = prepared()
    evaluated = deepcopy(network).eval()
    expected = of_classifier(evaluated)
    before = state_of(network)
    made = classifier(network)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(made.predict, BATCH) for _ in range(200)]
    for future in asked:
        answer = future.result()
        same = torch.allclose(answer, expected, atol=1e-6)
        tally.right_if(same, f"{answer}, not {expected}")
    count_left(tally, network, before)


EVERY_THIRD = np.arange(128).reshape(2, 64) % 3 > 0


def dropped_patches(instance):
    value = MaskedPatches(instance.model, instance.view.x)
    return value(EVERY_THIRD)


def vision_transformer():
    from torchvision.models import VisionTransformer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = VisionTransformer(64, 8, 2, 2, 16, 32, num_classes=4).eval()
    return replace(classifier(network), size=64)


def convolutional(): return classifier(Layered().eval())


@cases("name, make, ask", {
    "rollout": (vision_transformer, lambda instance: rollout_scores(instance, 0)),
    "vit_cx": (vision_transformer, lambda instance: vit_cx_scores(instance, 0)),
    "dropped patches": (vision_transformer, dropped_patches),
    "gradcam": (convolutional, lambda instance: gradients.gradcam(instance, 0)),
    "scorecam": (convolutional, lambda instance: gradients.scorecam(instance, 0)),
})
def test_hooks_of_one_thread_do_not_see_the_passes_of_another(tally, name, make, ask):
    shared = make()
    pictures = [random_image(seed, shared.size) for seed in range(6)]
    instances = [image_instance(shared, p, grid(p, 8), target=0) for p in pictures]
    alone = [ask(instance) for instance in instances]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(ask, instances*4))
    for got, expected in zip(together, alone*4, strict=True):
        same = np.allclose(got, expected, atol=1e-6)
        tally.right_if(same, f"{name}: another thread's")


# global generators

VIT = architectures.NETWORKS["vit_tiny101_s"]
CNN = architectures.NETWORKS["cnn_tiny101_s"]


def generators():
    """The states of the global generators."""
    numpys = np.random.get_state()
    torchs = torch.get_rng_state()
    return [random.getstate(), numpys[1].tobytes(), numpys[2], torchs]


@cases("what, make", {
    "a vision transformer": VIT,
    "a convolutional network": CNN,
    "a table's network": partial(tabular_networks.TableNetwork, "nn1", 5),
    "an autoencoder": autoencoder.Autoencoder,
    "an inpainter": inpainter.Inpainter,
    "build": lambda: training.build(lambda: nn.Linear(3, 3), 7),
    "load": lambda: models.load("efficientnet_lite0", "cpu"),
    "load a transformer": lambda: models.load("vit_tiny101_s", "cpu"),
    "load the autoencoder": autoencoder.load_autoencoder.__wrapped__,
    "load the inpainter": inpainter.load_inpainter.__wrapped__,
    "with_head": lambda: with_head(Layered()).predict(BATCH),
})
def test_making_and_loading_leave_the_global_generators_alone(tally, what, make):
    before = generators()
    make()
    for a, b in zip(before, generators(), strict=True):
        tally.right_if(is_same(a, b), f"{what} moved a global generator")


def test_networks_are_drawn_as_before_from_a_seed():
    first = training.build(VIT, 1)
    again = training.build(VIT, 1)
    other = training.build(VIT, 2)
    assert torch.equal(first.position, again.position)
    assert not torch.equal(first.position, other.position)


# identities

class Hot(nn.Module):
    """A network with a temperature, which is no weight."""

    def __init__(self, network, temperature):
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, x): return self.network(x)/self.temperature


@dataclass(frozen=True)
class Pattern(Removal):
    """Absent segments show a picture."""

    picture: torch.Tensor

    def baseline(self, image, segments): return self.picture


SCALE = {"of": 1.}


def scaled_outside(y): return y*SCALE["of"]


def squared(y): return y**2


def cubed(y): return y**3


def moved(network):
    changed = deepcopy(network)
    changed.norm.running_mean += 2
    return changed


class Unsaved(nn.Module):
    """A network with a buffer that is not saved with it."""

    def __init__(self, value):
        super().__init__()
        self.network = Layered()
        self.register_buffer("shift", torch.full((4,), value), persistent=False)

    def forward(self, x): return self.network(x) + self.shift


ONE = random_image(1)
INNER = (slice(None), slice(4, -4), slice(4, -4))
OTHER = ONE.clone()
OTHER[INNER] = 1 - ONE[INNER]
NAMED = classifier(Layered(), weights="v1")


class Sharper(models.Classifier):
    """A user's own classifier, with an attribute that `identity` does not know."""

    sharpness = 1.

    def predict(self, images): return (self.logits(images)*self.sharpness).softmax(1)


def sharper(by):
    made = Sharper("mine", Layered(), PLAIN, 32, list("abcd"), torch.device("cpu"))
    made.sharpness = by
    return made


def answering(by):
    """A classifier of ours whose answers a user has replaced."""
    made = classifier(Layered())
    made.predict = lambda images: torch.full((len(images), 4), by)
    return made

@cases("pair, one, other", {
    "a normalisation": (
        classifier(Layered()), replace(classifier(Layered()), preprocessing=models.IMAGENET)),
    "a normalisation, weights named": (NAMED, replace(NAMED, preprocessing=models.IMAGENET)),
    "blue first": (NAMED, replace(NAMED, preprocessing=replace(PLAIN, bgr=True))),
    "what outputs mean": (NAMED, replace(NAMED, output="sigmoid")),
    "precision": (NAMED, replace(NAMED, dtype=torch.bfloat16)),
    "weights": (classifier(Layered(0)), classifier(Layered(1))),
    "weights of a name": (NAMED, replace(NAMED, network=Layered(1))),
    "class names": (NAMED, replace(NAMED, class_names=[])),
    "an own classifier's attribute": (sharper(1.), sharper(2.)),
    "an own classifier": (sharper(1.), classifier(Layered())),
    "another answer": (answering(.1), answering(.2)),
    "a temperature": (classifier(Hot(Layered(), 1.)), classifier(Hot(Layered(), .1))),
    "a temperature, weights named": (
        replace(NAMED, network=Hot(NAMED.network, 1.)),
        replace(NAMED, network=Hot(NAMED.network, .1))),
    "a buffer": (classifier(Layered()), classifier(moved(Layered()))),
    "a buffer, weights named": (NAMED, replace(NAMED, network=moved(NAMED.network))),
    "a buffer that is not saved": (classifier(Unsaved(0.)), classifier(Unsaved(1.))),
    "a function": (classifier(Linear(pack=squared)), classifier(Linear(pack=cubed))),
    "a closure": tuple(classifier(Linear(pack=lambda y, k=k: y*k)) for k in (1, 2)),
    "a network's precision": (classifier(Layered()), classifier(Layered().double())),
    "dropout's share": tuple(
        classifier(nn.Sequential(nn.Flatten(), nn.Dropout(p))) for p in (.1, .2)),
})
def test_another_model_has_another_identity(tally, pair, one, other):
    identity = one.identity()
    same = make_identity(one) == make_identity(other)
    tally.right_if(not same, f"{pair}: the same identity")
    again = deepcopy(one)
    tally.right_if(again.identity() == identity, f"{pair}: a copy differs")
    training_mode = deepcopy(one)
    training_mode.network.train()
    tally.right_if(training_mode.identity() == identity, f"{pair}: mode counts")


def test_what_a_function_looks_up_counts(monkeypatch):
    before = describe(scaled_outside)
    monkeypatch.setitem(SCALE, "of", 2.)
    assert describe(scaled_outside) != before


def test_a_removal_of_ones_own_is_looked_into(tally, tmp_path):
    from xai_repro.cache import Cache
    masks = np.eye(16, dtype=bool)
    scores = []
    for picture in (ONE, OTHER):
        removal = Pattern(picture)
        cache = Cache(tmp_path)
        kept = image_instance(NAMED, IMAGE, SEGMENTS, removal, target=0, cache=cache)
        alone = image_instance(NAMED, IMAGE, SEGMENTS, removal, target=0)
        scores.append(kept(masks))
        same = np.array_equal(scores[-1], alone(masks))
        tally.right_if(same, "scores of another picture")
    assert not np.allclose(*scores)


def test_a_mended_normalisation_is_asked_anew(tally, tmp_path):
    from xai_repro.cache import Cache
    masks = np.eye(16, dtype=bool)
    for preprocessing in (models.IMAGENET, PLAIN, replace(PLAIN, bgr=True)):
        mended = replace(NAMED, preprocessing=preprocessing)
        cache = Cache(tmp_path)
        kept = image_instance(mended, IMAGE, SEGMENTS, Constant(), target=0, cache=cache)
        anew = image_instance(mended, IMAGE, SEGMENTS, Constant(), target=0)
        same = np.array_equal(kept(masks), anew(masks))
        tally.right_if(same, f"{preprocessing}")


# the hub

SQUARE = {"height": 32, "width": 32}
EDGE = {"shortest_edge": 32}
SMALL = dict(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
    image_size=32, patch_size=8, initializer_range=.3, num_labels=3)


def processor_of(kind, **options):
    """An image processor of transformers."""
    import transformers
    return getattr(transformers, kind)(**options)


def plain(): return processor_of("ViTImageProcessor", size=SQUARE)


def vit_of_hub(folder, processor, **options):
    """A small vision transformer in a folder, as the hub has it, and itself."""
    import transformers
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    config = transformers.ViTConfig(**(SMALL | options))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = transformers.ViTForImageClassification(config).eval()
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return network


@cases("name, kind, options", {
    "plain": ("ViTImageProcessor", dict(size=SQUARE)),
    "not normalised": ("ViTImageProcessor", dict(size=SQUARE, do_normalize=False)),
    "not scaled": ("ViTImageProcessor", dict(size=SQUARE, do_rescale=False, do_normalize=False)),
    "normalised, not scaled": ("ViTImageProcessor", dict(size=SQUARE, do_rescale=False)),
    "scaled otherwise": ("ViTImageProcessor", dict(size=SQUARE, rescale_factor=1/127.5)),
    "blue first": ("MobileViTImageProcessor", dict(size=EDGE, crop_size=SQUARE, do_resize=False)),
    "cropped": ("CLIPImageProcessor", dict(size=EDGE, crop_size=SQUARE)),
    "larger, then cropped": (
        "CLIPImageProcessor", dict(size={"shortest_edge": 36}, crop_size=SQUARE)),
    "smaller": ("CLIPImageProcessor", dict(size={"shortest_edge": 24}, crop_size=24)),
    "a share is cropped": ("ConvNextImageProcessor", dict(size=EDGE, crop_pct=.875)),
    "shifted": ("EfficientNetImageProcessor", dict(
        size=SQUARE, rescale_offset=True, rescale_factor=1/127.5, do_normalize=False)),
    "divided twice": ("EfficientNetImageProcessor", dict(size=SQUARE)),
    "not square": ("ViTImageProcessor", dict(size={"height": 32, "width": 48})),
    "not resized": ("ViTImageProcessor", dict(size=SQUARE, do_resize=False)),
    "one mean": ("ViTImageProcessor", dict(size=SQUARE, image_mean=[.5], image_std=[.5])),
})
def test_the_network_is_given_what_its_image_processor_gives(
        tally, tmp_path, name, kind, options):
    import transformers
    processor = processor_of(kind, **options)
    network = vit_of_hub(tmp_path, processor)
    try:
        loaded = models.load(f"hf:{tmp_path}", "cpu")
    except ValueError as error:
        told = str(error)
        named = kind in told and "allowed" in told
        tally.refused_if(named, f"{name}: {told}")
        return
    if loaded.size != 32:
        with pytest.raises(ValueError, match="24, 24"): loaded.logits(BATCH)
        tally.add("refused", name)
        return
    rows = BYTES.byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(rows)
    theirs = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    pixels = theirs(picture, return_tensors="pt")["pixel_values"]
    ours = loaded.preprocessing(BATCH)
    scale = pixels.abs().max().clamp(min=1.)
    same = (ours - pixels).abs().max() <= 1e-5*scale
    tally.right_if(same, f"{name}: other pixels")
    with torch.no_grad(): expected = network(pixels).logits
    logits = loaded.logits(BATCH)
    same = torch.allclose(logits, expected, atol=1e-4)
    tally.right_if(same, f"{name}: {logits}, not {expected}")
    with pytest.raises(ValueError, match=r"allowed|doesn't match model"):
        loaded.predict(torch.rand(1, 3, 40, 40))


def test_pictures_that_are_cropped_already_are_taken_where_one_says_so(tmp_path):
    larger = {"shortest_edge": 36}
    processor = processor_of("CLIPImageProcessor", size=larger, crop_size=SQUARE)
    vit_of_hub(tmp_path, processor)
    with pytest.raises(ValueError, match=r"load\(name, cropped=True\)"):
        models.load(f"hf:{tmp_path}", "cpu")
    loaded = models.load(f"hf:{tmp_path}", "cpu", cropped=True)
    assert loaded.size == 32
    with pytest.raises(ValueError, match="cropped is True"):
        models.load("efficientnet_lite0", "cpu", cropped=True)


def timm_of_hub(folder, mean, crop):
    """A network of timm in a folder, as the hub has it, and itself."""
    import transformers
    of_timm = dict(
        input_size=[3, 32, 32], crop_pct=crop, interpolation="bicubic", mean=[mean]*3,
        std=[.3]*3, num_classes=3)
    entries = {"architecture": "resnet10t", "num_classes": 3, "pretrained_cfg": of_timm}
    config = transformers.TimmWrapperConfig.from_dict(entries)
    network = transformers.TimmWrapperForImageClassification(config).eval()
    network.save_pretrained(folder)
    return network


@pytest.mark.parametrize("mean", [.5, .2])
def test_the_configuration_of_a_timm_checkpoint_counts(tally, tmp_path, mean):
    network = timm_of_hub(tmp_path, mean, crop=1.)
    got = models.load(f"hf:{tmp_path}", "cpu").logits(BATCH)
    normalised = (BATCH - mean)/.3
    with torch.no_grad(): expected = network(normalised).logits
    same = torch.allclose(got, expected, atol=1e-4)
    tally.right_if(same, f"mean {mean}: {got}, not {expected}")


@pytest.mark.parametrize("mean", [.5, .2])
def test_a_timm_checkpoint_that_crops_is_refused(tally, tmp_path, mean):
    timm_of_hub(tmp_path, mean, crop=.9)
    tally.refusal(lambda: models.load(f"hf:{tmp_path}", "cpu"), "TimmWrapper")


@pytest.mark.parametrize("kind, n, scores_of", [
    ("multi_label_classification", 3, torch.sigmoid), ("regression", 3, torch.clone),
    ("regression", 1, torch.clone), ("single_label_classification", 3, softmax),
    (None, 3, softmax), (None, 1, torch.sigmoid)])
def test_the_hub_says_what_outputs_mean(tally, tmp_path, kind, n, scores_of):
    network = vit_of_hub(tmp_path, plain(), problem_type=kind, num_labels=n)
    normalised = (BATCH - .5)/.5
    with torch.no_grad(): expected = scores_of(network(normalised).logits)
    got = models.load(f"hf:{tmp_path}", "cpu").predict(BATCH)
    same = torch.allclose(got, expected, atol=1e-4)
    tally.right_if(same, f"{kind}, {n}")
    if kind is None: return
    given = normalised/2 + .5       # in [0, 1], for a module without a processor
    with torch.no_grad(): expected = scores_of(network(given).logits)
    got = as_classifier(network).predict(given)
    same = torch.allclose(got, expected, atol=1e-4)
    tally.right_if(same, f"{kind}, module")


def test_a_model_of_the_hub_without_a_head_is_refused(tmp_path):
    network = vit_of_hub(tmp_path, plain())
    weights = network.state_dict()
    del weights["classifier.weight"], weights["classifier.bias"]
    network.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(ValueError, match=r"no weights of classifier.bias, classifier.weight"):
        models.load(f"hf:{tmp_path}", "cpu")


def test_the_code_of_a_strangers_model_is_not_run(tmp_path, monkeypatch):
    mark = tmp_path/"ran"
    config = tmp_path/"config.json"
    config.write_text(
        '{"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", '
        '"AutoModelForImageClassification": "evil.Model"}}')
    code = tmp_path/"evil.py"
    code.write_text(f"open('{mark}', 'w').close()\nclass Config: pass\n")
    monkeypatch.setattr("builtins.input", lambda *a: "y")
    with pytest.raises(ValueError, match="trust_remote_code"):
        models.load(f"hf:{tmp_path}", "cpu")
    assert not mark.exists()


@pytest.mark.parametrize("name", [
    None, "", "hf:", "torchvision:", "torchvision:nothing", "../x", "resnet", 3, "hf:/nowhere",
], ids=repr)
def test_names_of_no_model_are_refused(tally, name):
    word = "nowhere" if name == "hf:/nowhere" else "name"
    errors = ValueError, TypeError, OSError
    tally.refusal(lambda: models.load(name, "cpu"), word, errors=errors, what=name)


def test_inception_gets_its_own_input(monkeypatch):
    """Its weights want another normalisation, which its constructor makes of their name."""
    import torchvision
    weights = torchvision.models.Inception_V3_Weights
    made = {}

    def get_model(name, weights=None, **options):
        made[name] = weights
        return nn.Linear(1, 1)

    monkeypatch.setattr(torchvision.models, "get_model", get_model)
    models.load("torchvision:inception_v3", "cpu")
    assert made == {"inception_v3": weights.IMAGENET1K_V1}
