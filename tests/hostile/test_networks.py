"""Networks as strangers have them: what outputs mean, processors, precision, modes, identities."""
import random

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial


import numpy as np
import pytest
import torch
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

IMAGE = (random_image(0)*255).round()/255
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
        y = 5*self.out(x.flatten(1) - .5)
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
        x = nn.functional.max_pool2d(self.norm(self.conv(x)).relu(), 4)
        return self.out(self.drop(x.view(len(x), -1)))


def classifier(network, n_classes=4, **options):
    names = [f"class {i}" for i in range(n_classes)]
    return models.Classifier("mine", network, PLAIN, 32, names, torch.device("cpu"), **options)


# what outputs mean

def by_predict(network, n, output):
    return classifier(network, n, output=output).predict(IMAGE[None])


def by_module(network, n, output):
    return as_classifier(network, output).predict(IMAGE[None])


def by_gradients(network, n, output):
    view = image_instance(classifier(network, n, output=output), IMAGE, SEGMENTS).view
    return view.scores(IMAGE[None]).detach()


def by_masks(network, n, output):
    instance = image_instance(classifier(network, n, output=output), IMAGE, SEGMENTS, target=0)
    return torch.as_tensor(instance(ALL))


def by_embedding(network, n, output):
    return models.with_embedding(classifier(network, n, output=output))(IMAGE[None])[:, :n]


class Scaled(nn.Module):
    """The same network, ending with its linear layer."""

    def __init__(self, network):
        super().__init__()
        self.out = deepcopy(network.out)

    def forward(self, x): return self.out(5*(x.flatten(1) - .5))


MEANINGS = {
    "several classes": (4, None, lambda z: z.softmax(1)),
    "one label": (1, None, torch.sigmoid),
    "several labels": (3, "sigmoid", torch.sigmoid),
    "several values": (3, "identity", torch.clone),
    "one value": (1, "identity", torch.clone),
}
ASKED = {f.__name__: f for f in (by_predict, by_module, by_gradients, by_masks, by_embedding)}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("meaning", MEANINGS)
def test_scores_are_what_outputs_mean(tally, meaning, asked):
    n, output, scores_of = MEANINGS[meaning]
    network = Scaled(Linear(n)).eval()
    with torch.no_grad(): expected = scores_of(network(IMAGE[None]))
    got = ASKED[asked](network, n, output)
    if asked == "by_module" and n == 1 and output is None: got = got[:, 1:]    # of [1 - p, p]
    same = got.shape == expected.shape and torch.allclose(got, expected, atol=1e-5)
    tally.add("right" if same else "wrong", f"{meaning}, {asked}: {got}, not {expected}")


def test_one_logit_with_two_names_is_two_classes():
    network = Linear(1).eval()
    p = network(IMAGE[None]).sigmoid().detach()
    made = classifier(network, 2)
    assert torch.allclose(made.predict(IMAGE[None]), torch.cat([1 - p, p], 1), atol=1e-6)
    assert image_instance(made, IMAGE, SEGMENTS).target == int(p > .5)
    both = models.with_embedding(classifier(Scaled(network), 2))(IMAGE[None])
    assert torch.allclose(both[:, :2], torch.cat([1 - p, p], 1), atol=1e-5)


def test_gradients_of_one_logit_are_not_zero():
    view = image_instance(classifier(Linear(1), 1), IMAGE, SEGMENTS, target=0)
    scores = gradients.integrated_gradients(view, 0, 256)
    network = Linear(1)
    whole, empty = network(torch.stack([IMAGE, torch.zeros_like(IMAGE)]))
    # a segment's score is a mean over its pixels and channels, of which there are 192
    assert np.isclose(192*scores.sum(), float(whole.sigmoid() - empty.sigmoid()), atol=1e-4)


def test_a_metric_of_quantus_follows_one_logit(tally):
    saliency = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    metric = bridges.as_metric("insertion", lambda image: grid(image, 8))
    for name, network, y in (("no", Linear(1), 0), ("yes", Linear(1), 1)):
        area = metric(network, IMAGE[None], [y], saliency)[0]
        tally.add("right" if 0 < area < 1 and area != 1. else "wrong", f"{name}: {area}")
    areas = [metric(Linear(1), IMAGE[None], [y], saliency)[0] for y in (0, 1)]
    tally.add("right" if np.isclose(sum(areas), 1, atol=1e-5) else "wrong", f"{areas}")


# what a model returns

class Object:
    """An output with logits, as transformers give."""

    def __init__(self, logits): self.logits = logits


PACKED = {
    "a tensor": lambda y: y,
    "an object": Object,
    "a dict": lambda y: {"logits": y},
    "a tuple of one": lambda y: (y,),
    "an array": lambda y: y.detach().numpy(),
    "a list": lambda y: y.tolist(),
    "rows of tensors": lambda y: [row.detach() for row in y],
    "double": lambda y: y.double(),
}
REFUSED = {
    "two tensors": lambda y: (y, y),
    "a dict of something else": lambda y: {"out": y},
    "text": lambda y: "cat",
    "nothing": lambda y: None,
    "a map": lambda y: y[:, :, None, None],
    "a row too few": lambda y: torch.cat([y, y]),
    "complex numbers": lambda y: y*1j,
}
ASKS = {
    "Classifier": lambda network: classifier(network).predict(IMAGE[None]),
    "as_classifier": lambda network: as_classifier(network).predict(IMAGE[None]),
    "MaskedModel": lambda network: MaskedModel(network, IMAGE, SEGMENTS)(ALL),
    "a function": lambda network: MaskedModel(lambda x: network(x), IMAGE, SEGMENTS)(ALL),
}


@pytest.mark.parametrize("asked", ASKS)
@pytest.mark.parametrize("packed", PACKED)
def test_outputs_are_taken_apart(tally, packed, asked):
    expected = np.asarray(ASKS[asked](Linear().eval()))
    got = np.asarray(ASKS[asked](Linear(pack=PACKED[packed]).eval()))
    same = np.allclose(got, expected, atol=1e-5)
    tally.add("right" if same else "wrong", f"{packed}, {asked}: {got}, not {expected}")


@pytest.mark.parametrize("asked", ASKS)
@pytest.mark.parametrize("packed", REFUSED)
def test_other_outputs_are_refused_by_name(tally, packed, asked):
    try:
        got = ASKS[asked](Linear(pack=REFUSED[packed]).eval())
    except (TypeError, ValueError) as error:
        named = "returned" in str(error) and "allowed" in str(error)
        tally.add("refused" if named else "wrong", f"{packed}, {asked}: {error}")
    else: tally.add("wrong", f"{packed}, {asked}: {got}")


# precision

@pytest.mark.parametrize("images", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("network", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_networks_and_images_of_every_precision(tally, network, images):
    exact = Layered().eval()
    given = IMAGE.to(images)
    expected = exact(given.float()[None]).softmax(1).detach()
    asked = deepcopy(exact).to(network)
    tolerance = 1e-5 if network in (torch.float32, torch.float64) else 2e-2
    for name, predict in (("Classifier", classifier(asked).predict),
                          ("as_classifier", as_classifier(asked).predict)):
        got = predict(given[None])
        same = torch.allclose(got.float(), expected, atol=tolerance)
        is_wide = got.dtype == (torch.float64 if network == torch.float64 else torch.float32)
        tally.add("right" if same and is_wide else "wrong", f"{name}: {got}, not {expected}")
    instance = image_instance(classifier(asked), given, SEGMENTS, target=1)
    scores = gradients.saliency(instance, 1)
    tally.add("right" if np.isfinite(scores).all() and scores.any() else "wrong", f"{scores}")


# asked in evaluation mode, and left as it was

def prepared(train=True, make=Layered):
    """A network in the middle of a training step."""
    network = make().train(train)
    for parameter in network.parameters(): parameter.grad = torch.full_like(parameter, .5)
    next(network.parameters()).requires_grad_(False)
    return network


def state_of(network):
    layers = list(network.modules())
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
             for m in layers]
    return [
        [m.training for m in layers], hooks,
        [p.requires_grad for p in network.parameters()],
        [p.grad.clone() for p in network.parameters()],
        [t.clone() for t in network.state_dict().values()]]


def is_same(a, b):
    if isinstance(a, torch.Tensor): return torch.equal(a, b)
    if isinstance(a, list): return len(a) == len(b) and all(map(is_same, a, b))
    return a == b


def rows_network():
    return nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(.5),
                         nn.Linear(16, 1), nn.Flatten(0))


ROWS = np.random.default_rng(0).random((4, 3)).astype(np.float32)


def an_instance(network):
    return image_instance(classifier(network), IMAGE, SEGMENTS, target=1)


QUESTIONS = {
    "predict": lambda n: classifier(n).predict(IMAGE[None]),
    "logits": lambda n: classifier(n).logits(IMAGE[None]).detach(),
    "a module": lambda n: as_classifier(n).predict(IMAGE[None]),
    "MaskedModel of a module": lambda n: MaskedModel(n, IMAGE, SEGMENTS)(ALL),
    "MaskedModel of a lambda": lambda n: MaskedModel(lambda x: n(x), IMAGE, SEGMENTS)(ALL),
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
    "meaningful_perturbation": lambda n: maps.meaningful_perturbation(
        an_instance(n), Blur(2.), [0], 4, 2),
    "sliding_patch": lambda n: maps.sliding_patch(an_instance(n), Blur(2.), [16], 16),
    "with_embedding": lambda n: models.with_embedding(classifier(n))(IMAGE[None]),
    "with_head": lambda n: models.with_head(
        classifier(n), np.ones((2, 512)), np.zeros(2), ["a", "b"], "x").predict(IMAGE[None]),
    "identity": lambda n: len(classifier(n).identity()),
    "pixel_curve": lambda n: faithfulness.pixel_curve(
        classifier(n).predict, IMAGE, IMAGE[0], 0, steps=4).auc,
    "as_metric": lambda n: bridges.as_metric("insertion", lambda i: grid(i, 8))(
        n, IMAGE[None], [1], IMAGE[None, :1]),
}
OF_ROWS = {
    "lfa.attribute": lambda n: lfa.attribute("vanilla_gradients", n, ROWS, 20),
    "lfa.attribute of a lambda": lambda n: lfa.attribute("smoothgrad", lambda X: n(X), ROWS, 20),
    "perturbation_test": lambda n: faithfulness.perturbation_test(n, ROWS, ROWS),
    "captum_attribute": lambda n: captum_attribute("vanilla_gradients", n, ROWS),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("asked", [*QUESTIONS, *OF_ROWS])
def test_a_network_in_training_is_asked_in_evaluation_mode_and_left_as_it_was(tally, asked):
    ask = (QUESTIONS | OF_ROWS)[asked]
    make = rows_network if asked in OF_ROWS else Layered
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = prepared(make=make)
    expected = ask(deepcopy(network).eval())
    before = state_of(network)
    first, second = ask(network), ask(network)
    alike = all(np.allclose(np.asarray(got), np.asarray(expected)) for got in (first, second))
    tally.add("right" if alike else "wrong", f"{asked}: {first} and {second}, not {expected}")
    tally.add("right" if is_same(before, state_of(network)) else "wrong", f"{asked}: changed")


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
        try: classifier(network).predict(IMAGE[None])
        except ArithmeticError as error: assert str(error) == expected
        tally.add("right" if is_same(now, state_of(network)) else "wrong", "left changed")
    network.passes.fill_(0.)
    tally.add("right" if is_same(before, state_of(network)) else "wrong", "left changed")


def test_threads_share_a_network_in_training(tally):
    network = prepared()
    expected = classifier(deepcopy(network).eval()).predict(IMAGE[None])
    before = state_of(network)
    made = classifier(network)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: made.predict(IMAGE[None]), range(200)))
    for answer in answers:
        same = torch.allclose(answer, expected, atol=1e-6)
        tally.add("right" if same else "wrong", f"{answer}, not {expected}")
    tally.add("right" if is_same(before, state_of(network)) else "wrong", "left changed")


THREADED = {
    "rollout": lambda instance: rollout_scores(instance, 0),
    "vit_cx": lambda instance: vit_cx_scores(instance, 0),
    "dropped patches": lambda instance: MaskedPatches(
        instance.model, instance.view.x)(np.arange(128).reshape(2, 64) % 3 > 0),
    "gradcam": lambda instance: gradients.gradcam(instance, 0),
    "scorecam": lambda instance: gradients.scorecam(instance, 0),
}


def hooked_classifier(name):
    of_transformers = name in ("rollout", "vit_cx", "dropped patches")
    if not of_transformers: return classifier(Layered().eval())
    from torchvision.models import VisionTransformer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vit = VisionTransformer(64, 8, 2, 2, 16, 32, num_classes=4).eval()
    return replace(classifier(vit), size=64)


@pytest.mark.parametrize("name", THREADED)
def test_hooks_of_one_thread_do_not_see_the_passes_of_another(tally, name):
    shared = hooked_classifier(name)
    pictures = [random_image(seed, shared.size) for seed in range(6)]
    instances = [image_instance(shared, p, grid(p, 8), target=0) for p in pictures]
    alone = [THREADED[name](instance) for instance in instances]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(THREADED[name], instances*4))
    for got, expected in zip(together, alone*4, strict=True):
        same = np.allclose(got, expected, atol=1e-6)
        tally.add("right" if same else "wrong", f"{name}: another thread's")


# global generators

MAKES = {
    "a vision transformer": architectures.NETWORKS["vit_tiny101_s"],
    "a convolutional network": architectures.NETWORKS["cnn_tiny101_s"],
    "a table's network": partial(tabular_networks.TableNetwork, "nn1", 5),
    "an autoencoder": autoencoder.Autoencoder,
    "an inpainter": inpainter.Inpainter,
    "build": lambda: training.build(lambda: nn.Linear(3, 3), 7),
    "load": lambda: models.load("efficientnet_lite0", "cpu"),
    "load a transformer": lambda: models.load("vit_tiny101_s", "cpu"),
    "load the autoencoder": autoencoder.load_autoencoder.__wrapped__,
    "load the inpainter": inpainter.load_inpainter.__wrapped__,
    "with_head": lambda: QUESTIONS["with_head"](Layered()),
}


@pytest.mark.parametrize("make", MAKES)
def test_making_and_loading_leave_the_global_generators_alone(tally, make):
    def generators():
        numpys = np.random.get_state()
        return [random.getstate(), numpys[1].tobytes(), numpys[2], torch.get_rng_state()]
    before = generators()
    MAKES[make]()
    for a, b in zip(before, generators(), strict=True):
        tally.add("right" if is_same(a, b) else "wrong", f"{make} moved a global generator")


def test_networks_are_drawn_as_before_from_a_seed():
    first, again, other = (training.build(MAKES["a vision transformer"], s) for s in (1, 1, 2))
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
OTHER = ONE.clone()
OTHER[:, 4:-4, 4:-4] = 1 - OTHER[:, 4:-4, 4:-4]
NAMED = classifier(Layered(), weights="v1")
PAIRS = {
    "a normalisation": (classifier(Layered()), replace(
        classifier(Layered()), preprocessing=models.IMAGENET)),
    "a normalisation, weights named": (NAMED, replace(NAMED, preprocessing=models.IMAGENET)),
    "blue first": (NAMED, replace(NAMED, preprocessing=replace(PLAIN, bgr=True))),
    "what outputs mean": (NAMED, replace(NAMED, output="sigmoid")),
    "precision": (NAMED, replace(NAMED, dtype=torch.bfloat16)),
    "weights": (classifier(Layered(0)), classifier(Layered(1))),
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
}


@pytest.mark.parametrize("pair", PAIRS)
def test_another_model_has_another_identity(tally, pair):
    one, other = PAIRS[pair]
    same = make_identity(one) == make_identity(other) or one.identity() == other.identity()
    tally.add("wrong" if same else "right", f"{pair}: the same identity")
    again = deepcopy(one)
    tally.add("right" if again.identity() == one.identity() else "wrong", f"{pair}: a copy differs")
    training_mode = deepcopy(one)
    training_mode.network.train()
    same = training_mode.identity() == one.identity()
    tally.add("right" if same else "wrong", f"{pair}: mode counts")


def test_what_a_function_looks_up_counts(monkeypatch):
    before = describe(scaled_outside)
    monkeypatch.setitem(SCALE, "of", 2.)
    assert describe(scaled_outside) != before


def test_a_removal_of_ones_own_is_looked_into(tally, tmp_path):
    from xai_repro.cache import Cache
    masks = np.eye(16, dtype=bool)
    scores = []
    for picture in (ONE, OTHER):
        instance = image_instance(
            NAMED, IMAGE, SEGMENTS, Pattern(picture), target=0, cache=Cache(tmp_path))
        alone = image_instance(NAMED, IMAGE, SEGMENTS, Pattern(picture), target=0)
        scores.append(instance(masks))
        same = np.array_equal(scores[-1], alone(masks))
        tally.add("right" if same else "wrong", "scores of another picture")
    assert not np.allclose(*scores)


def test_a_mended_normalisation_is_asked_anew(tally, tmp_path):
    from xai_repro.cache import Cache
    masks = np.eye(16, dtype=bool)
    for preprocessing in (models.IMAGENET, PLAIN, replace(PLAIN, bgr=True)):
        mended = replace(NAMED, preprocessing=preprocessing)
        kept = image_instance(
            mended, IMAGE, SEGMENTS, Constant(), target=0, cache=Cache(tmp_path))(masks)
        anew = image_instance(mended, IMAGE, SEGMENTS, Constant(), target=0)(masks)
        tally.add("right" if np.array_equal(kept, anew) else "wrong", f"{preprocessing}")


# the hub

SQUARE = {"height": 32, "width": 32}


def vit_of_hub(folder, processor, **options):
    """A small vision transformer in a folder, as the hub has it, and itself."""
    import transformers
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=32, patch_size=8, initializer_range=.3, **({"num_labels": 3} | options))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = transformers.ViTForImageClassification(config).eval()
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return network


def processors():
    import transformers as T
    edge = {"shortest_edge": 32}
    return {
        "plain": T.ViTImageProcessor(size=SQUARE),
        "not normalised": T.ViTImageProcessor(size=SQUARE, do_normalize=False),
        "not scaled": T.ViTImageProcessor(size=SQUARE, do_rescale=False, do_normalize=False),
        "normalised, not scaled": T.ViTImageProcessor(size=SQUARE, do_rescale=False),
        "scaled otherwise": T.ViTImageProcessor(size=SQUARE, rescale_factor=1/127.5),
        "blue first": T.MobileViTImageProcessor(size=edge, crop_size=SQUARE, do_resize=False),
        "cropped": T.CLIPImageProcessor(size=edge, crop_size=SQUARE),
        "larger, then cropped": T.CLIPImageProcessor(
            size={"shortest_edge": 36}, crop_size=SQUARE),
        "smaller": T.CLIPImageProcessor(size={"shortest_edge": 24}, crop_size=24),
        "a share is cropped": T.ConvNextImageProcessor(size=edge, crop_pct=.875),
        "shifted": T.EfficientNetImageProcessor(
            size=SQUARE, rescale_offset=True, rescale_factor=1/127.5, do_normalize=False),
        "divided twice": T.EfficientNetImageProcessor(size=SQUARE),
        "not square": T.ViTImageProcessor(size={"height": 32, "width": 48}),
        "not resized": T.ViTImageProcessor(size=SQUARE, do_resize=False),
        "one mean": T.ViTImageProcessor(size=SQUARE, image_mean=[.5], image_std=[.5]),
    }


PROCESSORS = ["plain", "not normalised", "not scaled", "normalised, not scaled",
              "scaled otherwise", "blue first", "cropped", "larger, then cropped", "smaller",
              "a share is cropped", "shifted", "divided twice", "not square", "not resized",
              "one mean"]


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_network_is_given_what_its_image_processor_gives(tally, tmp_path, name):
    import transformers
    processor = processors()[name]
    network = vit_of_hub(tmp_path, processor)
    try:
        loaded = models.load(f"hf:{tmp_path}", "cpu")
    except ValueError as error:
        named = type(processor).__name__ in str(error) and "allowed" in str(error)
        tally.add("refused" if named else "wrong", f"{name}: {error}")
        return
    if loaded.size != 32:
        with pytest.raises(ValueError, match="24, 24"): loaded.logits(IMAGE[None])
        tally.add("refused")
        return
    picture = Image.fromarray((255*IMAGE).byte().permute(1, 2, 0).numpy())
    theirs = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    pixels = theirs(picture, return_tensors="pt")["pixel_values"]
    ours = loaded.preprocessing(IMAGE[None])
    scale = max(1., float(pixels.abs().max()))
    same = float((ours - pixels).abs().max()) <= 1e-5*scale
    tally.add("right" if same else "wrong", f"{name}: {ours.flatten()[:3]}")
    with torch.no_grad(): expected = network(pixels).logits
    same = torch.allclose(loaded.logits(IMAGE[None]), expected, atol=1e-4)
    tally.add("right" if same else "wrong", f"{name}: other logits")
    with pytest.raises(ValueError, match=r"allowed|doesn't match model"):
        loaded.predict(torch.rand(1, 3, 40, 40))


def test_pictures_that_are_cropped_already_are_taken_where_one_says_so(tmp_path):
    vit_of_hub(tmp_path, processors()["larger, then cropped"])
    with pytest.raises(ValueError, match=r"load\(name, cropped=True\)"):
        models.load(f"hf:{tmp_path}", "cpu")
    assert models.load(f"hf:{tmp_path}", "cpu", cropped=True).size == 32
    with pytest.raises(ValueError, match="cropped is True"):
        models.load("efficientnet_lite0", "cpu", cropped=True)


def test_the_configuration_of_a_timm_checkpoint_counts(tally, tmp_path):
    import transformers
    for mean in (.5, .2):
        for crop in (1., .9):
            of_timm = {"input_size": [3, 32, 32], "crop_pct": crop, "interpolation": "bicubic",
                       "mean": [mean]*3, "std": [.3]*3, "num_classes": 3}
            config = transformers.TimmWrapperConfig.from_dict(
                {"architecture": "resnet10t", "num_classes": 3, "pretrained_cfg": of_timm})
            network = transformers.TimmWrapperForImageClassification(config).eval()
            network.save_pretrained(tmp_path)
            try: got = models.load(f"hf:{tmp_path}", "cpu").logits(IMAGE[None])
            except ValueError as error:
                tally.add("refused" if "TimmWrapper" in str(error) and crop < 1 else "wrong", error)
                continue
            with torch.no_grad(): expected = network((IMAGE[None] - mean)/.3).logits
            same = torch.allclose(got, expected, atol=1e-4)
            tally.add("right" if same else "wrong", f"mean {mean}: {got}, not {expected}")


@pytest.mark.parametrize("kind, n, scores_of", [
    ("multi_label_classification", 3, torch.sigmoid), ("regression", 3, torch.clone),
    ("regression", 1, torch.clone), ("single_label_classification", 3, lambda z: z.softmax(1)),
    (None, 3, lambda z: z.softmax(1)), (None, 1, torch.sigmoid)])
def test_the_hub_says_what_outputs_mean(tally, tmp_path, kind, n, scores_of):
    network = vit_of_hub(tmp_path, processors()["plain"], problem_type=kind, num_labels=n)
    with torch.no_grad(): expected = scores_of(network((IMAGE[None] - .5)/.5).logits)
    got = models.load(f"hf:{tmp_path}", "cpu").predict(IMAGE[None])
    tally.add("right" if torch.allclose(got, expected, atol=1e-4) else "wrong", f"{kind}, {n}")
    if kind is None: return
    normalised = (IMAGE[None] - .5)/.5/2 + .5       # in [0, 1], for a module without a processor
    with torch.no_grad(): expected = scores_of(network(normalised).logits)
    got = as_classifier(network).predict(normalised)
    tally.add("right" if torch.allclose(got, expected, atol=1e-4) else "wrong", f"{kind}, module")


def test_a_model_of_the_hub_without_a_head_is_refused(tmp_path):
    network = vit_of_hub(tmp_path, processors()["plain"])
    weights = {k: v for k, v in network.state_dict().items() if not k.startswith("classifier")}
    network.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(ValueError, match=r"no weights of classifier.bias, classifier.weight"):
        models.load(f"hf:{tmp_path}", "cpu")


def test_the_code_of_a_strangers_model_is_not_run(tmp_path, monkeypatch):
    mark = tmp_path/"ran"
    (tmp_path/"config.json").write_text(
        '{"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", '
        '"AutoModelForImageClassification": "evil.Model"}}')
    (tmp_path/"evil.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Config: pass\n")
    monkeypatch.setattr("builtins.input", lambda *a: "y")
    with pytest.raises(ValueError, match="trust_remote_code"):
        models.load(f"hf:{tmp_path}", "cpu")
    assert not mark.exists()


NAMES = [None, "", "hf:", "torchvision:", "torchvision:nothing", "../x", "resnet", 3, "hf:/nowhere"]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_of_no_model_are_refused(tally, name):
    try: models.load(name, "cpu")
    except (ValueError, TypeError, OSError) as error:
        told = "name" in str(error) or "nowhere" in str(error)
        tally.add("refused" if told else "wrong", f"{name!r}: {error}")
    else: tally.add("wrong", f"{name!r} was loaded")


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


