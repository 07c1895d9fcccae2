"""`xr.wrap`: any model is explained in a few lines, and is asked exactly as it asks itself."""
import sys
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import torchvision
import transformers
from PIL import Image
from small_models import small_classifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC
from torch import nn
from torchvision.transforms import v2

import xai_repro as xr
from xai_repro.inputs.image import as_image
from xai_repro.inputs.removal import Blur, Constant, Inpaint, MeanColor
from xai_repro.inputs.transforms import read_transform

GENERATOR = np.random.default_rng(0)
PHOTO = Image.fromarray(GENERATOR.integers(0, 256, (70, 90, 3), np.uint8))


def random_network(channels=3, n_outputs=3):
    """A small convolutional network of any number of channels, with weights by seed 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                             nn.Flatten(), nn.Linear(4, n_outputs)).eval()


def random_bands(channels):
    """An image [channels, 32, 32]."""
    return torch.from_numpy(GENERATOR.random((channels, 32, 32), np.float32))


def whole(instance): return instance(np.ones((1, instance.d), bool))[0]


def shows(attribution):
    """Whether an attribution has scores, and a figure of them."""
    figure = attribution.plot()
    return np.isfinite(attribution.scores).all() and len(figure.axes) > 0


TILES = dict(segmentation="grid")


# a picture in at most five lines, for each kind of model

N = 200
PEOPLE = pd.DataFrame({
    "job": GENERATOR.choice(["cook", "nurse", "clerk"], N),
    "age": GENERATOR.integers(20, 65, N),
    "city": pd.Categorical(GENERATOR.choice(["Rome", "Oslo"], N)),
    "pay": GENERATOR.normal(size=N)})
IS_RICH = np.where((PEOPLE.job == "nurse") ^ (PEOPLE.age > 40), "rich", "poor")


def fitted(last):
    """A pipeline that reads PEOPLE."""
    encode = make_column_transformer((OneHotEncoder(), ["job", "city"]), remainder="passthrough")
    return make_pipeline(encode, last)


@pytest.fixture(scope="module")
def forest(): return fitted(RandomForestClassifier(20, random_state=0)).fit(PEOPLE, IS_RICH)


def test_an_estimator_of_a_table_with_text(forest):
    attribution = xr.explain(forest, PEOPLE.iloc[3], background=PEOPLE)
    assert shows(attribution)
    assert attribution.feature_names == ("job", "age", "city", "pay")
    assert attribution.class_name in ("rich", "poor")
    exact = forest.predict_proba(PEOPLE.iloc[[3]])[0]
    assert np.array_equal(whole(attribution.instance), exact)
    assert set(attribution.ranking()[:2]) == {0, 1}


def test_a_torchvision_network_of_random_weights():
    model = xr.wrap("torchvision:squeezenet1_1", weights=None)
    attribution = xr.explain(model, PHOTO, "occlusion", segmentation="grid")
    assert shows(attribution)
    assert attribution.picture.shape == (224, 224, 3)
    transform = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.transforms()
    with torch.no_grad(): exact = model.network(transform(PHOTO)[None]).softmax(1)[0]
    assert np.allclose(whole(attribution.instance), exact, atol=1e-6)
    names = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"]
    assert attribution.class_name == names[attribution.target]


def tiny_vit(size=32, n_labels=3):
    """A vision transformer of transformers, by its configuration."""
    torch.manual_seed(0)
    labels = {i: name for i, name in enumerate(["cat", "dog", "owl"][:n_labels])}
    return transformers.ViTForImageClassification(transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=size, patch_size=8, id2label=labels, label2id={n: i for i, n in labels.items()}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a vision transformer and its processor."""
    path = tmp_path_factory.mktemp("vit")
    tiny_vit().save_pretrained(path)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(path)
    return path


def test_a_folder_of_transformers(folder):
    attribution = xr.explain(f"hf:{folder}", PHOTO, "occlusion", segmentation="grid")
    assert shows(attribution)
    assert attribution.class_name in ("cat", "dog", "owl")
    network = transformers.ViTForImageClassification.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    with torch.no_grad(): logits = network(**processor(PHOTO, return_tensors="pt")).logits
    assert np.allclose(whole(attribution.instance), logits.softmax(1)[0], atol=1e-6)


def test_a_network_of_timm():
    model = xr.wrap("timm:mobilenetv3_small_050", weights=None)
    attribution = xr.explain(model, PHOTO, "occlusion", segmentation="grid")
    assert shows(attribution)
    settings = timm.data.resolve_data_config({}, model=model.network)
    transform = timm.data.create_transform(**settings)
    with torch.no_grad(): exact = model.network(transform(PHOTO)[None]).softmax(1)[0]
    assert np.allclose(whole(attribution.instance), exact, atol=1e-6)


def numpy_scores(images):
    """Scores of arrays [B, H, W, 3] of numpy, and of nothing else."""
    assert type(images) is np.ndarray and images.shape[3] == 3
    return images.mean((1, 2), dtype=np.float64)


def test_a_function_of_numpy():
    model = xr.wrap(numpy_scores, channels="last", class_names=["red", "green", "blue"])
    attribution = xr.explain(model, PHOTO, "occlusion", segmentation="grid")
    assert shows(attribution)
    pixels = np.asarray(PHOTO, np.float32)[None]/255
    assert np.array_equal(whole(attribution.instance), numpy_scores(pixels)[0])


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_an_image_of_any_number_of_channels(channels):
    network = random_network(channels)
    model = xr.wrap(network, mean=[.4]*channels, std=[.2]*channels)
    image = random_bands(channels)
    attribution = xr.explain(model, image, **TILES)
    assert shows(attribution)
    assert np.array_equal(attribution.picture[..., 0], attribution.picture[..., 2])
    with torch.no_grad(): exact = network((image[None] - .4)/.2).softmax(1)[0]
    assert np.array_equal(whole(attribution.instance), exact)
    assert np.isfinite(xr.explain(model, image, "saliency", **TILES).scores).all()


FIVE = (.1, .2, .3, .4, .5)
REMOVED = {      # what stands in a tile [5, 16, 16] that is removed
    "mean": (MeanColor(), lambda tile: tile.mean((1, 2), keepdim=True)),
    "black": (Constant(), torch.zeros_like),
    "colour": (Constant(FIVE), lambda tile: torch.tensor(FIVE).view(5, 1, 1))}


@pytest.mark.parametrize("removal, expected", REMOVED.values(), ids=REMOVED)
def test_bands_are_removed(removal, expected):
    image = random_bands(5)
    instance = xr.image(image, random_network(5), removal=removal, **TILES)
    rendered, = instance.value.render(np.array([[False, True, True, True]]))
    tile = image[:, :16, :16]
    torch.testing.assert_close(rendered[:, :16, :16], expected(tile).expand_as(tile))
    assert torch.equal(rendered[:, 16:], image[:, 16:])


def test_each_band_is_blurred_by_itself():
    image = random_bands(5)
    empty = np.zeros((1, 4), bool)
    five = xr.image(image, random_network(5), removal=Blur(2.), **TILES).value.render(empty)
    for band in range(5):
        one = xr.image(image[[band]], random_network(1), removal=Blur(2.), **TILES)
        assert torch.equal(one.value.render(empty)[0, 0], five[0, band])


@pytest.mark.parametrize("removal, words", [
    (Constant((.1, .2, .3)), r"rgb is \(0.1, 0.2, 0.3\), for an image of 5 channels; allowed: 5"),
    (Inpaint("biharmonic"), r"image has 5 channels, and Inpaint\(biharmonic\) paints three")])
def test_a_removal_of_three_channels_is_refused_for_five(removal, words):
    with pytest.raises(ValueError, match=words):
        xr.image(random_bands(5), random_network(5), removal=removal, **TILES)


# one logit, several labels, values

def test_one_logit_is_a_choice_of_two():
    network = random_network(n_outputs=1)
    model = xr.wrap(network, mean=.5, std=.5, class_names=["no", "yes"])
    attribution = xr.explain(model, PHOTO, "occlusion", segmentation="grid")
    assert shows(attribution)
    x = (as_image(PHOTO)[None] - .5)/.5
    with torch.no_grad(): p = network(x)[0].sigmoid()
    torch.testing.assert_close(torch.tensor(whole(attribution.instance)), torch.cat([1 - p, p]))
    assert attribution.class_name == ("yes" if p > .5 else "no")


def test_several_labels_have_a_threshold():
    network = random_network(n_outputs=4)
    model = xr.wrap(network, mean=.5, std=.5, output="sigmoid", threshold=.3)
    attribution = xr.explain(model, PHOTO, "occlusion", segmentation="grid", target=2)
    assert shows(attribution)
    with torch.no_grad(): exact = network((as_image(PHOTO)[None] - .5)/.5).sigmoid()[0]
    assert np.array_equal(whole(attribution.instance), exact)
    assert attribution.instance.threshold == .3
    assert xr.image(PHOTO, xr.wrap(network, output="sigmoid"), **TILES).threshold == .5


def test_a_regression():
    line = LinearRegression().fit(PEOPLE[["age", "pay"]], 2*PEOPLE.age - PEOPLE.pay)
    row = PEOPLE[["age", "pay"]].iloc[5]
    attribution = xr.explain(line, row, background=PEOPLE[["age", "pay"]])
    assert shows(attribution)
    assert attribution.class_name == "value"
    exact = line.predict(PEOPLE[["age", "pay"]].iloc[[5]])
    assert np.array_equal(whole(attribution.instance), exact)
    by_occlusion = xr.explain(line, row, "occlusion", background=PEOPLE[["age", "pay"]][:50])
    from_mean = row - PEOPLE[["age", "pay"]][:50].mean()
    assert np.allclose(by_occlusion.scores, from_mean*[2, -1])
    with pytest.raises(ValueError, match="threshold"): attribution.certify(1, share=.5)


def test_a_network_of_values():
    network = random_network(n_outputs=2)
    model = xr.wrap(network, output="identity", class_names=["height", "width"])
    attribution = xr.explain(model, PHOTO, "occlusion", segmentation="grid", target=1)
    assert attribution.class_name == "width"
    with torch.no_grad(): exact = network(as_image(PHOTO)[None])[0]
    assert np.array_equal(whole(attribution.instance), exact)


# transforms

def to_tensor(picture): return torch.from_numpy(np.array(picture)).permute(2, 0, 1)/255


def plain(picture): return to_tensor(picture.resize((40, 30)))*2 - 1


WEIGHTS = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
TRANSFORMS = {
    "preset": WEIGHTS.transforms(),
    "inception": torchvision.models.Inception_V3_Weights.IMAGENET1K_V1.transforms(),
    "composed": torchvision.transforms.Compose([
        torchvision.transforms.Resize(48), torchvision.transforms.CenterCrop(40),
        torchvision.transforms.ToTensor(),
        torchvision.transforms.Normalize([.1, .2, .3], [.3, .2, .1])]),
    "v2": v2.Compose([v2.ToImage(), v2.Resize((40, 40)), v2.ToDtype(torch.float32, scale=True),
                      v2.Normalize([.5]*3, [.25]*3)]),
    "timm": timm.data.create_transform(64, mean=(.4, .5, .6), std=(.1, .2, .3)),
    "function": plain,
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_transform_gives_what_it_gives_by_itself(transform):
    model = xr.wrap(random_network(), transform=transform)
    expected = transform(PHOTO)
    pixels = as_image(PHOTO, model.channels, model.reader)
    assert 0 <= pixels.min() and pixels.max() <= 1
    got = model.preprocessing(pixels[None])[0]
    assert got.shape == expected.shape
    assert torch.allclose(got, expected, rtol=0, atol=1e-5)
    with torch.no_grad(): exact = model.network(expected[None]).softmax(1)[0]
    assert np.allclose(whole(xr.image(PHOTO, model, segmentation="grid")), exact, atol=1e-6)


def test_a_normalisation_is_read_as_it_was_written():
    read = read_transform(WEIGHTS.transforms())
    assert read.normalisation.mean == (.485, .456, .406)
    assert read.normalisation.std == (.229, .224, .225)
    assert read.size == (224, 224)
    network = random_network()
    image = random_bands(3)
    normalised = torchvision.transforms.Normalize(read.normalisation.mean, read.normalisation.std)
    with torch.no_grad(): exact = network(normalised(image)[None]).softmax(1)
    assert torch.equal(xr.wrap(network, transform=WEIGHTS.transforms()).predict(image[None]), exact)


def test_the_settings_of_timm_and_an_image_processor_are_transforms(folder):
    network = tiny_vit().eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    by_processor = xr.wrap(network, transform=processor)
    with torch.no_grad(): logits = network(**processor(PHOTO, return_tensors="pt")).logits
    scores = whole(xr.image(PHOTO, by_processor, segmentation="grid"))
    assert np.allclose(scores, logits.softmax(1)[0], atol=1e-6)
    settings = dict(input_size=(3, 32, 32), mean=(.5,)*3, std=(.25,)*3, crop_pct=1.)
    by_settings = xr.wrap(network, transform=settings)
    assert by_settings.preprocessing.std == (.25,)*3
    assert xr.image(PHOTO, by_settings, segmentation="grid").value.image.shape == (3, 32, 32)


@pytest.mark.parametrize("transform, words", [
    (v2.Compose([v2.RandomCrop(32), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]),
     "transform is Compose.*RandomCrop.*is random"),
    (lambda picture: picture.resize((9, 9)), r"no tensor \[C, H, W\]"),
    (lambda picture: 1 - to_tensor(picture), "does not make white brighter than black"),
    (lambda picture: to_tensor(picture).nothing, "fails at a picture")])
def test_a_transform_that_cannot_be_read_is_refused(transform, words):
    with pytest.raises(ValueError, match=words): xr.wrap(random_network(), transform=transform)


@pytest.mark.parametrize("size, shape", [(20, (20, 20)), ((20, 30), (20, 30)), (None, (70, 90))])
def test_a_size_resizes_photographs_and_nothing_else(size, shape):
    model = xr.wrap(random_network(), mean=.5, std=.5, size=size)
    assert xr.image(PHOTO, model, segmentation="grid").value.image.shape[1:] == shape
    tensor = random_bands(3)
    assert torch.equal(xr.image(tensor, model, **TILES).value.image, tensor)


# images in many forms

LEVELS = np.asarray(PHOTO)
GREY = np.asarray(PHOTO.convert("L"))


def test_grey_goes_to_one_channel_or_three(tmp_path):
    PHOTO.convert("L").save(tmp_path/"grey.png")
    one, three = xr.wrap(random_network(1)), xr.wrap(random_network(3), mean=[.5]*3, std=[.5]*3)
    expected = torch.from_numpy(GREY)[None]/255
    for grey in (tmp_path/"grey.png", Image.fromarray(GREY), GREY, GREY[..., None], PHOTO):
        assert torch.equal(xr.image(grey, one, segmentation="grid").value.image, expected)
    for grey in (tmp_path/"grey.png", Image.fromarray(GREY), GREY, expected, expected[0]):
        repeated = xr.image(grey, three, segmentation="grid").value.image
        assert torch.equal(repeated, expected.expand(3, -1, -1))


def test_arrays_of_eight_bits_with_transparency_and_with_bands():
    clear = np.dstack([LEVELS, np.full(LEVELS.shape[:2], 255, np.uint8)])
    assert torch.equal(as_image(clear), as_image(LEVELS))
    clear[..., 3] = 0
    assert torch.equal(as_image(clear), torch.ones(3, 70, 90))
    bands = np.concatenate([LEVELS, LEVELS[..., :2]], 2)
    expected = torch.from_numpy(bands).permute(2, 0, 1)/255
    assert torch.equal(as_image(bands, channels=5), expected)


def test_a_turned_photograph_is_seen_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6     # turned by a quarter
    PHOTO.save(tmp_path/"turned.png", exif=exif)
    turned = xr.image(tmp_path/"turned.png", xr.wrap(random_network()), segmentation="grid")
    assert turned.value.image.shape == (3, 90, 70)


# shapes that a network does not take

def test_another_size_is_named(folder):
    model = xr.wrap(tiny_vit(), mean=.5, std=.5)
    with pytest.raises(ValueError, match="32"):
        xr.explain(model, random_bands(3)[:, :16, :16], "occlusion", segmentation="grid")
    by_torchvision = torchvision.models.vision_transformer.VisionTransformer(32, 8, 1, 2, 16, 16)
    words = r"\[1, 3, 16, 16\] do not go through .* allowed: .*\[B, 3, 32, 32\]"
    with pytest.raises(ValueError, match=words):
        xr.explain(by_torchvision, random_bands(3)[:, :16, :16], "occlusion", segmentation="grid")
    with pytest.raises(ValueError, match=r"image has shape \[5, 32, 32\]; allowed: \[3, H, W\]"):
        xr.explain(xr.wrap(random_network(), mean=[.5]*3), random_bands(5))
    with pytest.raises(ValueError, match=r"\[1, 5, 32, 32\] .*\[B, 3, H, W\]"):
        xr.explain(random_network(), random_bands(5), **TILES)


def test_a_network_stays_in_training_mode():
    network = nn.Sequential(random_network(), nn.Dropout(.5)).train()
    network[0].eval()
    model = xr.wrap(network, mean=.5)
    image = random_bands(3)[None]
    first = model.predict(image)
    assert torch.equal(model.predict(image), first), "nothing is dropped"
    assert network.training and network[1].training and not network[0].training


# tables

def test_absent_columns_come_from_the_background(forest):
    background = PEOPLE[:7]
    instance = xr.tabular(PEOPLE.iloc[9], forest, background=background)
    without_job = background.assign(**PEOPLE.iloc[9].drop("job")).astype(PEOPLE.dtypes)
    expected = forest.predict_proba(without_job).mean(0)
    assert np.allclose(instance(np.array([[False, True, True, True]]))[0], expected)
    none_there = forest.predict_proba(background).mean(0)
    assert np.allclose(instance(np.zeros((1, 4), bool))[0], none_there)


def test_forms_of_a_row_are_one(forest):
    rows = [PEOPLE.iloc[3], PEOPLE.iloc[[3]], PEOPLE.iloc[3][::-1], PEOPLE.assign(more=0).iloc[3]]
    explained = [xr.explain(forest, row, "occlusion", background=PEOPLE) for row in rows]
    assert all(np.array_equal(one.scores, explained[0].scores) for one in explained)
    by_method = xr.explain(forest.predict_proba, rows[0], "occlusion", background=PEOPLE)
    assert np.array_equal(by_method.scores, explained[0].scores)
    assert by_method.class_name == explained[0].class_name
    together = xr.explain(forest, PEOPLE[3:5], "occlusion", background=PEOPLE)
    assert len(together) == 2 and np.array_equal(together[0].scores, explained[0].scores)


@pytest.mark.parametrize("row, background, words", [
    (PEOPLE.iloc[0], None, r"background is None, for a row with text .*'job'.*; allowed: a table"),
    (PEOPLE.iloc[0], 0., "background is 0.0, for a row with text"),
    (PEOPLE.iloc[0].drop("job"), PEOPLE, r"row has the columns .* missing: \['job'\]"),
    (PEOPLE.iloc[0], PEOPLE.drop(columns="age"), r"background has .* missing: \['age'\]"),
    (PEOPLE.iloc[0], PEOPLE[:0], "background has no rows"),
    (PEOPLE.assign(city="Bonn").iloc[0], PEOPLE, r"\['city'\] that are none of the background's"),
    (PEOPLE[:0], PEOPLE, "a table of 0 rows; allowed: one row")])
def test_what_is_no_row_of_a_table_is_refused(forest, row, background, words):
    with pytest.raises(ValueError, match=words): xr.tabular(row, forest, background=background)


def test_a_large_background_is_drawn_from_once(forest):
    instance = xr.tabular(PEOPLE.iloc[3], forest, background=PEOPLE)
    again = xr.tabular(PEOPLE.iloc[3], forest, background=PEOPLE)
    assert len(instance.value.background) == 100
    assert instance.value.background.equals(again.value.background)


def test_labels_of_an_estimator():
    numbers = GENERATOR.normal(size=(60, 3))
    model = RandomForestClassifier(9, random_state=0).fit(numbers, numbers > 0)
    wrapped = xr.wrap(model, threshold=.5)
    instance = xr.tabular(numbers[0], wrapped)
    expected = [part[0, 1] for part in model.predict_proba(numbers[:1])]
    assert np.array_equal(whole(instance), expected)
    assert instance.class_names == ("label 0", "label 1", "label 2")
    assert instance.threshold == .5


def test_a_network_of_rows_says_what_its_outputs_are():
    network = nn.Linear(3, 2).double()
    model = xr.wrap(network, reads="table", output="softmax", class_names=["no", "yes"])
    row = [1., -2., 3.]
    attribution = xr.explain(model, row, "vanilla_gradients")
    with torch.no_grad(): exact = network(torch.tensor([row]).double()).softmax(1)[0]
    assert np.array_equal(whole(attribution.instance), exact)
    assert attribution.class_name == ("no", "yes")[exact.argmax()]


def test_a_classifier_without_probabilities_is_refused():
    model = LinearSVC().fit(PEOPLE[["age", "pay"]], IS_RICH)
    with pytest.raises(ValueError, match="LinearSVC, a classifier without probabilities; allowed"):
        xr.explain(model, PEOPLE[["age", "pay"]].iloc[0])


# texts and sounds

def test_an_estimator_of_texts():
    texts = ["a good film", "a bad film", "good fun", "bad and dull"]
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    asked = "good film not bad"
    attribution = xr.explain(model, asked, "occlusion", target=1)
    assert shows(attribution)
    assert np.array_equal(whole(attribution.instance), model.predict_proba([asked])[0])
    assert attribution.feature_names[int(attribution.ranking()[0])] == "good"
    assert attribution.class_name == "class 1"


def test_a_function_of_sounds_has_names():
    def loudness(waves):
        assert type(waves) is np.ndarray
        loud = np.tanh((waves**2).mean(1))
        return np.stack([1 - loud, loud], 1)
    model = xr.wrap(loudness, reads="sound", channels="first", class_names=["quiet", "loud"])
    wave = np.sin(np.arange(2000)*.3)
    attribution = xr.explain(model, wave, "occlusion", cells=(2, 2))
    assert shows(attribution)
    assert attribution.class_name == "quiet"


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A folder with a small classifier of texts and its tokenizer."""
    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "bad", "film"]
    (folder/"vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, id2label={0: "dull", 1: "fine"}, label2id={"dull": 0, "fine": 1})
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    transformers.BertTokenizerFast(str(folder/"vocab.txt")).save_pretrained(folder)
    return folder


def test_a_folder_of_texts_and_its_parts(texts):
    network = transformers.AutoModelForSequenceClassification.from_pretrained(texts).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(texts)
    by_name = xr.explain(xr.wrap(f"hf:{texts}", device="cpu"), "a good film", "occlusion")
    assert shows(by_name)
    assert by_name.class_name in ("dull", "fine")
    with torch.no_grad(): logits = network(**tokenizer("a good film", return_tensors="pt")).logits
    exact = logits.softmax(1)[0]
    assert np.allclose(whole(by_name.instance), exact, atol=1e-6)
    parts = xr.explain(xr.wrap(network, tokenizer=tokenizer), "a good film", "occlusion")
    assert np.array_equal(parts.scores, by_name.scores)
    with pytest.raises(TypeError, match=r"reads no texts; allowed: .*tokenizer="):
        xr.text("a good film", network)


# names

def test_weights_of_a_file(tmp_path):
    made = xr.wrap("torchvision:squeezenet1_1", weights=None, class_names=["cat", "dog"])
    again = xr.wrap("torchvision:squeezenet1_1", weights=None, class_names=["cat", "dog"])
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(made.predict(image), again.predict(image)), "drawn with one seed"
    with torch.no_grad(): made.network.classifier[1].bias += 1
    torch.save(made.network.state_dict(), tmp_path/"mine.pth")
    stored = xr.wrap(
        "torchvision:squeezenet1_1", weights=tmp_path/"mine.pth", class_names=["cat", "dog"])
    assert torch.equal(stored.predict(image), made.predict(image))
    with pytest.raises(ValueError, match=r"mine\.pth.*which does not fit SqueezeNet"):
        xr.wrap("torchvision:squeezenet1_1", weights=tmp_path/"mine.pth")
    with pytest.raises(FileNotFoundError, match=r"weights is .*none\.pth"):
        xr.wrap("timm:resnet18", weights=tmp_path/"none.pth")


def test_a_folder_without_a_processor_says_what_to_give(tmp_path):
    tiny_vit().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"no image processor.*mean= and std="):
        xr.wrap(f"hf:{tmp_path}")
    model = xr.wrap(f"hf:{tmp_path}", mean=.5, std=.5, size=32)
    attribution = xr.explain(model, PHOTO, "occlusion", segmentation="grid")
    assert attribution.class_name in ("cat", "dog", "owl")


MINE = """
    import torch
    from torch import nn

    def net(seed=0):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    class Net(nn.Sequential):
        def __init__(self): super().__init__(*net())

    instance = net()

    def colours(images): return images.mean((2, 3))
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder with a module of models, which is the current one."""
    (tmp_path/"models_of_mine.py").write_text(dedent(MINE))
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("models_of_mine", None)


@pytest.mark.parametrize("place", ["models_of_mine", "models_of_mine.py", "./models_of_mine.py"])
@pytest.mark.parametrize("name", ["net", "Net", "instance"])
def test_a_model_of_python(mine, place, name):
    image = random_bands(3)
    scores = whole(xr.image(image, f"python:{place}:{name}", **TILES))
    namespace = {}
    exec(dedent(MINE), namespace)
    with torch.no_grad(): exact = namespace["net"]()(image[None]).softmax(1)[0]
    assert np.array_equal(scores, exact)


def test_a_function_of_python_that_needs_images_is_the_model(mine):
    image = random_bands(3)
    attribution = xr.explain("python:models_of_mine:colours", image, "occlusion", **TILES)
    assert np.array_equal(whole(attribution.instance), image.mean((1, 2)))


@pytest.mark.parametrize("name, words", [
    ("models_of_mine:nothing", "has no 'nothing'; allowed: .*net.*colours"),
    ("nowhere:net", "module 'nowhere', which is not found"),
    ("nowhere.py:net", r"file 'nowhere\.py', which is not found"),
    ("models_of_mine", "allowed: 'python:package.module:name'")])
def test_what_python_does_not_have_is_named(mine, name, words):
    with pytest.raises(ValueError, match=words): xr.wrap(f"python:{name}")


# what is refused, and what stays as it is

def brightness(images): return images.mean((2, 3))


def needs_numpy(images): return images.astype(float).mean((2, 3))


@pytest.mark.parametrize("model, options, words", [
    (random_network(), dict(output="logits"), "output is 'logits'; allowed: softmax"),
    (random_network(), dict(reads="video"), "reads is 'video'; allowed: image"),
    (random_network(), dict(mean=[.5]*3, std=[.5]*2), "std has 2 numbers, and mean 3"),
    (random_network(), dict(std=0.), "std is 0.0; allowed: numbers above 0"),
    (random_network(), dict(size=0), "size is 0"),
    (random_network(), dict(channels="middle"), "channels is 'middle'; allowed: first, last"),
    (random_network(), dict(channels="last"), "channels is 'last'; allowed of a torch module"),
    (random_network(), dict(transform=plain, mean=.5), "given beside transform"),
    (random_network(), dict(dtype="int8"), "dtype is 'int8'; allowed: float32, bfloat16"),
    (random_network(), dict(device="tpu-1"), "device is 'tpu-1'"),
    (random_network(), dict(weights=None), "weights is None; allowed of a torch module"),
    (brightness, dict(device="cpu"), "device is 'cpu'; allowed of a function"),
    (small_classifier(), dict(mean=.5), "mean is 0.5; allowed of a classifier: class_names"),
    (small_classifier(), dict(reads="text"), "which reads images; allowed: one that reads texts"),
    ("efficientnet_lite0", dict(weights=None), "weights is None; allowed for 'efficientnet_lite0'"),
    ("timm:no_such_network", dict(weights=None), "name is 'timm:no_such_network'")])
def test_what_cannot_be_said_is_refused(model, options, words):
    with pytest.raises(ValueError, match=words): xr.wrap(model, **options)


def test_names_that_are_not_as_many_are_refused():
    model = xr.wrap(random_network(), class_names=["a", "b"])
    with pytest.raises(ValueError, match="class_names has 2 names, and model gives 3 scores"):
        xr.explain(model, PHOTO, segmentation="grid")


def test_a_function_of_numpy_that_is_given_tensors_is_told_so():
    with pytest.raises(TypeError, match=r"model fails at a tensor.*channels='first'"):
        xr.explain(needs_numpy, random_bands(3), **TILES)
    model = xr.wrap(needs_numpy, channels="first")
    image = random_bands(3)
    scores = whole(xr.image(image, model, **TILES))
    assert np.array_equal(scores, needs_numpy(image.numpy()[None])[0])


def test_logits_of_a_function_become_scores():
    model = xr.wrap(brightness, output="softmax", mean=.5, std=.25)
    image = random_bands(3)
    expected = brightness((image[None] - .5)/.25).softmax(1)
    assert torch.equal(model.predict(image[None]), expected)


def test_a_classifier_is_given_names_and_is_else_itself():
    model = small_classifier()
    assert xr.wrap(model) is model
    named = xr.wrap(model, class_names=["x", "y", "z"], threshold=.4)
    image = random_bands(3)
    assert torch.equal(named.predict(image[None]), model.predict(image[None]))
    instance = xr.image(image, named, **TILES)
    assert (instance.class_names, instance.threshold) == (("x", "y", "z"), .4)


def test_another_precision():
    network, image = random_network(), random_bands(3)
    exact = xr.wrap(network, mean=.5).predict(image[None])
    lower = xr.wrap(network, mean=.5, dtype="bfloat16", device="cpu").predict(image[None])
    assert lower.dtype == torch.float32
    assert not torch.equal(lower, exact)
    assert torch.allclose(lower, exact, atol=.02)
    double = random_network().double()
    assert xr.wrap(double, mean=.5).predict(image[None]).dtype == torch.float64


def test_answers_of_a_wrapped_network_are_stored(tmp_path):
    cache = xr.Cache(tmp_path)
    image = random_bands(3)
    first = xr.image(image, xr.wrap(random_network(), mean=.5), cache=cache, **TILES)
    scores = first(np.eye(4, dtype=bool))
    again = xr.image(image, xr.wrap(random_network(), mean=.5), cache=cache, **TILES)
    assert np.array_equal(again(np.eye(4, dtype=bool)), scores)
    assert again.n_passes == 0
    other = xr.image(image, xr.wrap(random_network(), mean=.4), cache=cache, **TILES)
    assert other.identity != first.identity
