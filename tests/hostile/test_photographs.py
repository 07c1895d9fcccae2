"""Photographs as strangers have them: turned, transparent, deep, damaged, huge, of equal names."""
import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps

from xai_repro.inputs.image import as_image
from xai_repro.inputs.pictures import open_picture, to_rgb
from xai_repro.zoo import photographs
from xai_repro.zoo.photographs import draw, draw_images, draw_labels, load_image, names_of

Y, X = np.mgrid[:60, :80]
RGB = np.stack([X/79, Y/59, (X + Y)/138], 2)
BASE = Image.fromarray((255*RGB).round().astype(np.uint8))
GREY = RGB[..., 0]
WHOLE = (65535*GREY).round()


def with_orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return {"exif": exif}


def half_transparent(picture):
    alpha = np.zeros((60, 80), np.uint8)
    alpha[10:50, 20:60] = 255
    return Image.fromarray(np.dstack([np.asarray(picture), alpha]))


def on_white(picture):
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return white


def keyed():
    """A palette of which one colour is transparent."""
    picture = Image.new("P", (80, 60), 1)
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.paste(0, (0, 0, 40, 60))
    return picture


def grey(values): return Image.fromarray((255*values).round().astype(np.uint8)).convert("RGB")


HALF = half_transparent(BASE)
KEYED = Image.new("RGB", (80, 60), "blue")
KEYED.paste((255, 255, 255), (0, 0, 40, 60))
# file -> picture that is stored, how, and what a viewer shows; None: it has to be refused
FILES = {
    "plain.png": (BASE, {}, BASE),
    "plain.jpg": (BASE, {"quality": 95}, BASE),
    "plain.webp": (BASE, {"lossless": True}, BASE),
    "plain.bmp": (BASE, {}, BASE),
    "grey.png": (BASE.convert("L"), {}, BASE.convert("L").convert("RGB")),
    "bits.png": (BASE.convert("1"), {}, BASE.convert("1").convert("RGB")),
    "palette.png": (BASE.convert("P", palette=Image.Palette.ADAPTIVE), {}, BASE),
    "cmyk.jpg": (BASE.convert("CMYK"), {"quality": 95}, BASE),
    "ycc.jpg": (BASE.convert("YCbCr"), {"quality": 95}, BASE),
    "animated.gif": (BASE, {
        "save_all": True, "append_images": [Image.new("RGB", (80, 60), "red")]}, BASE),
    "alpha.png": (HALF, {}, on_white(HALF)),
    "alpha.webp": (HALF, {"lossless": True, "exact": True}, on_white(HALF)),
    "grey_alpha.png": (HALF.convert("LA"), {}, on_white(HALF.convert("LA").convert("RGBA"))),
    "keyed.png": (keyed(), {"transparency": 0}, KEYED),
    "keyed_rgb.png": (KEYED, {"transparency": (0, 0, 255)}, Image.new("RGB", (80, 60), "white")),
    "deep.png": (Image.fromarray(WHOLE.astype(np.uint16)), {}, grey(GREY)),
    "deep.tif": (Image.fromarray(WHOLE.astype(np.uint16)), {}, grey(GREY)),
    "float.tif": (Image.fromarray(GREY.astype(np.float32)), {}, grey(GREY)),
    "whole.tif": (Image.fromarray(WHOLE.astype(np.int32)), {}, None),
    "far.tif": (Image.fromarray((1000*GREY).astype(np.float32)), {}, None),
    "nan.tif": (Image.fromarray(np.where(GREY > .5, np.nan, GREY).astype(np.float32)), {}, None),
} | {f"turned_{k}.jpg": (BASE, {"quality": 95} | with_orientation(k), None) for k in range(1, 9)}


def reference(picture, size=32, to=37):
    from torchvision.transforms import functional as F
    resized = F.resize(picture, [to], antialias=True)
    return F.to_tensor(F.center_crop(resized, [size]))


@pytest.mark.parametrize("file", FILES)
def test_a_photograph_is_what_a_viewer_shows(tally, tmp_path, file):
    stored, how, shown = FILES[file]
    path = tmp_path/file
    stored.save(path, **how)
    if file.startswith("turned"):
        with Image.open(path) as opened: shown = ImageOps.exif_transpose(opened).convert("RGB")
    try:
        small, whole = load_image(path, 32), as_image(path)
    except ValueError as error:
        named = file in str(error) and "allowed" in str(error)
        tally.add("refused" if shown is None and named else "wrong", f"{file}: {error}")
        return
    expected = reference(shown)
    close = small.shape == expected.shape and float((small - expected).abs().mean()) < .02
    tally.add("right" if close else "wrong", f"{file}: mean {small.mean():.3f}")
    pixels = torch.from_numpy(np.asarray(shown).copy()).permute(2, 0, 1)/255
    close = whole.shape == pixels.shape and float((whole - pixels).abs().mean()) < .02
    tally.add("right" if close else "wrong", f"{file}: mean {whole.mean():.3f}")
    with Image.open(path) as opened: same = torch.equal(as_image(opened), whole)
    tally.add("right" if same else "wrong", f"{file}: a picture of PIL is read otherwise")


def encoded(ending, **how):
    file = io.BytesIO()
    BASE.save(file, ending, **how)
    return file.getvalue()


def half(whole): return whole[:len(whole)//2]


DAMAGED = {
    "truncated.jpg": half(encoded("jpeg")),
    "truncated.png": half(encoded("png")),
    "truncated.gif": half(encoded("gif")),
    "head.png": encoded("png")[:20],
    "empty.jpg": b"",
    "text.png": b"hello",
    "zeros.jpg": b"\0"*500,
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "flipped.png": encoded("png")[:200] + b"\xff"*50 + encoded("png")[250:],
}


@pytest.mark.parametrize("opened", [load_image, as_image, open_picture])
@pytest.mark.parametrize("file", DAMAGED)
def test_a_damaged_file_is_named(tally, tmp_path, file, opened):
    path = tmp_path/file
    path.write_bytes(DAMAGED[file])
    try: opened(path)
    except ValueError as error:
        named = file in str(error) and "allowed" in str(error)
        tally.add("refused" if named else "wrong", f"{file}: {error}")
    else: tally.add("wrong", f"{file} was read")


def test_a_missing_file_and_a_folder_are_named(tally, tmp_path):
    for path in (tmp_path/"none.png", tmp_path):
        for opened in (load_image, as_image):
            try: opened(path)
            except OSError as error:
                tally.add("refused" if path.name in str(error) else "wrong", str(error))
            else: tally.add("wrong", f"{path.name} was read")


def test_bytes_that_are_damaged_say_what_they_are():
    with pytest.raises(ValueError, match="an encoded picture cannot be read"):
        load_image(io.BytesIO(b"hello"))


@pytest.mark.parametrize("shape", [(20_000, 1), (1, 20_000), (1, 1), (3000, 2), (7, 300)])
def test_a_picture_of_any_shape_takes_little_memory(shape):
    """The 20,000 pixels of a line, enlarged as a whole, would take 4 GB."""
    file = io.BytesIO()
    Image.new("RGB", shape, (255, 0, 0)).save(file, "png")
    image = load_image(file, 224)
    assert image.shape == (3, 224, 224)
    assert torch.equal(image[0], torch.ones(224, 224))
    assert not image[1:].any()


def test_a_picture_that_is_larger_than_pil_opens_is_refused(tmp_path):
    Image.new("1", (15_000, 15_000)).save(tmp_path/"bomb.png")
    with pytest.raises(ValueError, match=r"bomb\.png.*225000000 pixels"):
        load_image(tmp_path/"bomb.png")


@pytest.mark.parametrize("options", [
    dict(size=0), dict(size=-1), dict(size=2.5), dict(size="224"), dict(size=None), dict(size=True),
    dict(size=10**9), dict(size=32, resize=-5), dict(size=32, resize="x"), dict(size=32, resize=0),
    dict(size=32, resize=16), dict(size=32, resize=40.5)])
def test_other_sizes_are_refused_by_name(tally, options):
    file = io.BytesIO(encoded("png"))
    name = "resize" if "resize" in options else "size"
    try: image = load_image(file, **options)
    except ValueError as error:
        named = f"{name} is" in str(error) and "allowed" in str(error)
        tally.add("refused" if named else "wrong", f"{options}: {error}")
    else: tally.add("wrong", f"{options}: {image.shape}")


NO_IMAGES = [None, 3, [], {}, object(), np.zeros((2, 2)), np.zeros((2, 2, 3)), np.zeros((4, 8, 8)),
             np.zeros((3, 8, 8), np.uint8), np.full((3, 8, 8), np.nan), np.full((3, 8, 8), 2.),
             np.zeros((3, 8, 8), complex), np.array("a"), np.zeros((0, 3), np.uint8),
             np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.uint16)]


@pytest.mark.parametrize("image", NO_IMAGES, ids=range(len(NO_IMAGES)))
def test_what_is_no_image_is_refused_by_name(tally, image):
    try: got = as_image(image)
    except (ValueError, TypeError) as error:
        named = "image" in str(error) and "allowed" in str(error)
        tally.add("refused" if named else "wrong", f"{error}")
    else: tally.add("wrong", f"{got.shape}")


def test_a_picture_in_memory_is_not_changed():
    before = HALF.tobytes()
    to_rgb(HALF)
    assert (HALF.tobytes(), HALF.mode) == (before, "RGBA")


# folders

def folder_of(tmp_path, files, labels):
    for k, file in enumerate(files):
        path = tmp_path/file
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (20*k, 0, 0)).save(path)
    pd.DataFrame({"file": files, "class_index": labels}).to_csv(
        tmp_path/"labels.csv", index=False)


def test_files_of_equal_names_in_two_folders_are_two_images(tmp_path, monkeypatch):
    files = ["a/1.png", "b/1.png", "b/2.png", "3.png", "3.jpg"]
    folder_of(tmp_path, files, [0, 1, 2, 3, 4])
    monkeypatch.setattr(photographs, "fetch", lambda source: tmp_path)
    images = draw_images("mine", 5, size=8)
    assert set(images) == {"a/1", "b/1", "2", "3.png", "3.jpg"}
    assert draw_labels("mine", 5).keys() == images.keys()
    few = draw_images("mine", 2, size=8)
    assert list(few) == list(images)[:2], "a name does not depend on what else is drawn"
    shown = {name: round(255*float(image[0].mean())) for name, image in images.items()}
    expected = dict(zip(names_of(files).values(), range(0, 100, 20), strict=True))
    assert {k: v for k, v in shown.items() if k != "3.jpg"} == {
        k: v for k, v in expected.items() if k != "3.jpg"}


@pytest.mark.parametrize("labels", [["good", "bad"], [1.5, 2.], [-1, 0], [None, 1], [True, False]])
def test_labels_that_are_no_classes_are_refused(tally, tmp_path, monkeypatch, labels):
    folder_of(tmp_path, ["1.png", "2.png"], labels)
    monkeypatch.setattr(photographs, "fetch", lambda source: tmp_path)
    table = pd.DataFrame({"file": ["1.png", "2.png"], "class_index": labels})
    asks = {"labels.csv": lambda: draw_labels("mine", 1), "labels": lambda: draw(table, 1)}
    for where, ask in asks.items():
        try: got = ask()
        except ValueError as error:
            named = where in str(error) and "class_index" in str(error)
            tally.add("refused" if named else "wrong", f"{error}")
        else: tally.add("wrong", f"{labels}: {got}")


@pytest.mark.parametrize("column", ["file", "class_index"])
def test_a_missing_column_of_labels_is_named(column):
    table = pd.DataFrame({"file": ["1.png"], "class_index": [0]}).drop(columns=column)
    with pytest.raises(ValueError, match=f"allowed: with a column '{column}'"):
        draw(table, 1)
