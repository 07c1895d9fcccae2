"""Photographs as strangers have them: turned, transparent, deep, damaged, huge, of equal names."""
import io
import struct
import zlib
from itertools import count

import numpy as np
import pandas as pd
import pytest
import torch
from cases import cases
from PIL import Image, ImageOps

from xai_repro.inputs.image import as_image
from xai_repro.inputs.pictures import open_picture, to_rgb
from xai_repro.zoo import photographs
from xai_repro.zoo.photographs import draw, draw_images, draw_labels, load_image, names_of

Y, X = np.mgrid[:60, :80]
GREY = X/79
RGB = np.stack([GREY, Y/59, (X + Y)/138], 2)
DEEP = (65535*GREY).round()
FAR = 1000*GREY
HOLES = np.where(GREY > .5, np.nan, GREY)


def picture_of(values):
    """A picture of numbers in [0, 1]."""
    levels = (255*values).round()
    return Image.fromarray(levels.astype(np.uint8))


def plain(color): return Image.new("RGB", (80, 60), color)


BASE = picture_of(RGB)
GREY_RGB = picture_of(GREY).convert("RGB")


def with_orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return {"exif": exif}


def half_transparent(picture):
    alpha = np.zeros((60, 80), np.uint8)
    alpha[10:50, 20:60] = 255
    layers = [np.asarray(picture), alpha]
    return Image.fromarray(np.dstack(layers))


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


HALF = half_transparent(BASE)
GREY_HALF = HALF.convert("LA")
KEYED = plain("blue")
KEYED.paste("white", (0, 0, 40, 60))


def reference(picture, size=32, to=37):
    from torchvision.transforms import functional as F
    resized = F.resize(picture, [to], antialias=True)
    cropped = F.center_crop(resized, [size])
    return F.to_tensor(cropped)


def is_close(image, expected):
    if image.shape != expected.shape: return False
    difference = (image - expected).abs()
    return bool(difference.mean() < .02)


def count_reads(tally, path, shown):
    """Count whether a file is read as what a viewer shows: small, whole, and by PIL."""
    small = load_image(path, 32)
    tally.right_if(is_close(small, reference(shown)), f"{path.name}: mean {small.mean():.3f}")
    whole = as_image(path)
    pixels = torch.from_numpy(np.array(shown)).permute(2, 0, 1)
    tally.right_if(is_close(whole, pixels/255), f"{path.name}: mean {whole.mean():.3f}")
    with Image.open(path) as opened: by_pil = as_image(opened)
    is_same = torch.equal(by_pil, whole)
    tally.right_if(is_same, f"{path.name}: a picture of PIL is read otherwise")


LOSSLESS = {"lossless": True}
WELL = {"quality": 95}
ANIMATED = {"save_all": True, "append_images": [plain("red")]}


@cases("file, stored, how, shown", {
    "plain.png": (BASE, {}, BASE),
    "plain.jpg": (BASE, WELL, BASE),
    "plain.webp": (BASE, LOSSLESS, BASE),
    "plain.bmp": (BASE, {}, BASE),
    "grey.png": (BASE.convert("L"), {}, BASE.convert("L").convert("RGB")),
    "bits.png": (BASE.convert("1"), {}, BASE.convert("1").convert("RGB")),
    "palette.png": (BASE.convert("P", palette=Image.Palette.ADAPTIVE), {}, BASE),
    "cmyk.jpg": (BASE.convert("CMYK"), WELL, BASE),
    "ycc.jpg": (BASE.convert("YCbCr"), WELL, BASE),
    "animated.gif": (BASE, ANIMATED, BASE),
    "alpha.png": (HALF, {}, on_white(HALF)),
    "alpha.webp": (HALF, LOSSLESS | {"exact": True}, on_white(HALF)),
    "grey_alpha.png": (GREY_HALF, {}, on_white(GREY_HALF.convert("RGBA"))),
    "keyed.png": (keyed(), {"transparency": 0}, KEYED),
    "keyed_rgb.png": (KEYED, {"transparency": (0, 0, 255)}, plain("white")),
    "deep.png": (Image.fromarray(DEEP.astype(np.uint16)), {}, GREY_RGB),
    "deep.tif": (Image.fromarray(DEEP.astype(np.uint16)), {}, GREY_RGB),
    "float.tif": (Image.fromarray(GREY.astype(np.float32)), {}, GREY_RGB),
})
def test_a_photograph_is_what_a_viewer_shows(tally, tmp_path, file, stored, how, shown):
    path = tmp_path/file
    stored.save(path, **how)
    count_reads(tally, path, shown)


def tiff(values, bits, photometric=1, sample_format=1):
    """A TIFF file of greys, each row packed into bits."""
    height, width = values.shape
    dtype = np.dtype({1: "u", 2: "i", 3: "f"}[sample_format] + str(max(bits//8, 2)))
    if bits == 8: dtype = np.dtype("i1" if sample_format == 2 else "u1")
    data = values.astype(dtype.newbyteorder("<")).tobytes()
    if bits == 12:
        pairs = values.astype(int).reshape(-1, 2)
        first, second = pairs.T
        parts = [first >> 4, ((first & 15) << 4) | (second >> 8), second & 255]
        data = np.stack(parts, 1).astype(np.uint8).tobytes()
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 0),
            (277, 1), (278, height), (279, len(data)), (339, sample_format)]
    start = 8 + 2 + 12*len(tags) + 4
    entries = [struct.pack("<HHII", tag, 4, 1, start if tag == 273 else n) for tag, n in tags]
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + b"".join(entries) + b"\0"*4 + data


def png(values, depth, clear, kind=0):
    """A PNG file with a transparent grey or colour: [H, W], or [H, W, 3] of kind 2."""
    def chunk(name, content):
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    height, width = values.shape[:2]
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    else:
        bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., 8 - depth:]
        rows = [np.packbits(row).tobytes() for row in bits]
    size = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + row for row in rows))
    transparent = b"".join(struct.pack(">H", int(each)) for each in clear)
    parts = [(b"IHDR", size), (b"tRNS", transparent), (b"IDAT", content), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def whitened(values, clear): return np.where(values == clear, 1., values/values.max())


FINE = (4095*GREY).round()
FOUR = (15*GREY).round()
TWO = (3*GREY).round()
OF_COLOUR = np.stack([DEEP]*3, 2)

@cases("file, content, grey", {
    "white0.tif": (tiff(65535 - DEEP, 16, photometric=0), GREY),
    "white0_8.tif": (tiff(255 - (255*GREY).round(), 8, photometric=0), GREY),
    "white0_float.tif": (tiff(1 - GREY, 32, photometric=0, sample_format=3), GREY),
    "twelve.tif": (tiff(FINE, 12), GREY),
    "clear_16.png": (png(DEEP, 16, [0]), whitened(DEEP, 0)),
    "clear_middle.png": (png(DEEP, 16, [DEEP[0, 40]]), whitened(DEEP, DEEP[0, 40])),
    "clear_4.png": (png(FOUR, 4, [3]), whitened(FOUR, 3)),
    "clear_2.png": (png(TWO, 2, [1]), whitened(TWO, 1)),
    "clear_rgb.png": (
        png(OF_COLOUR, 16, [DEEP[0, 40]]*3, kind=2), whitened(DEEP, DEEP[0, 40])),
    "fine.pgm": (b"P5 80 60 4095\n" + FINE.astype(">u2").tobytes(), GREY),
})
def test_greys_are_as_light_as_their_file_says(tally, tmp_path, file, content, grey):
    path = tmp_path/file
    path.write_bytes(content)
    difference = (as_image(path) - torch.from_numpy(grey)).abs().max()
    tally.right_if(difference < .01, f"{file}: {difference} off")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_what_a_viewer_shows(tally, tmp_path, orientation):
    path = tmp_path/"turned.jpg"
    exif = with_orientation(orientation)
    BASE.save(path, quality=95, **exif)
    with Image.open(path) as opened: shown = ImageOps.exif_transpose(opened).convert("RGB")
    count_reads(tally, path, shown)


@cases("file, numbers", {
    "whole.tif": DEEP.astype(np.int32),
    "far.tif": FAR.astype(np.float32),
    "nan.tif": HOLES.astype(np.float32),
    "signed.tif": tiff((127*GREY).round(), 8, sample_format=2),
    "signed_16.tif": tiff((32767*GREY).round(), 16, sample_format=2),
})
def test_numbers_that_are_no_levels_are_refused(tally, tmp_path, file, numbers):
    path = tmp_path/file
    if isinstance(numbers, bytes): path.write_bytes(numbers)
    else: Image.fromarray(numbers).save(path)
    tally.refusal(lambda: load_image(path, 32), file, "allowed", what=file)


def encoded(ending, **how):
    file = io.BytesIO()
    BASE.save(file, ending, **how)
    return file.getvalue()


def half(whole): return whole[:len(whole)//2]


@pytest.mark.parametrize("opened", [load_image, as_image, open_picture])
@cases("file, content", {
    "truncated.jpg": half(encoded("jpeg")),
    "truncated.png": half(encoded("png")),
    "truncated.gif": half(encoded("gif")),
    "head.png": encoded("png")[:20],
    "empty.jpg": b"",
    "text.png": b"hello",
    "zeros.jpg": b"\0"*500,
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "flipped.png": encoded("png")[:200] + b"\xff"*50 + encoded("png")[250:],
})
def test_a_damaged_file_is_named(tally, tmp_path, file, content, opened):
    path = tmp_path/file
    path.write_bytes(content)
    tally.refusal(lambda: opened(path), file, "allowed", what=file)


@pytest.mark.parametrize("opened", [load_image, as_image])
@pytest.mark.parametrize("name", ["none.png", "a folder"])
def test_a_missing_file_and_a_folder_are_named(tally, tmp_path, name, opened):
    folder = tmp_path/"a folder"
    folder.mkdir()
    path = tmp_path/name
    tally.refusal(lambda: opened(path), name, errors=OSError, what=name)


def test_bytes_that_are_damaged_say_what_they_are():
    file = io.BytesIO(b"hello")
    with pytest.raises(ValueError, match="an encoded picture cannot be read"): load_image(file)


@pytest.mark.parametrize("shape", [(20_000, 1), (1, 20_000), (1, 1), (3000, 2), (7, 300)])
def test_a_picture_of_any_shape_takes_little_memory(shape):
    """The 20,000 pixels of a line, enlarged as a whole, would take 4 GB."""
    file = io.BytesIO()
    picture = Image.new("RGB", shape, (255, 0, 0))
    picture.save(file, "png")
    image = load_image(file, 224)
    red, *others = image
    assert image.shape == (3, 224, 224)
    assert (red == 1).all()
    assert not torch.stack(others).any()


def test_a_picture_that_is_larger_than_pil_opens_is_refused(tmp_path):
    path = tmp_path/"bomb.png"
    Image.new("1", (15_000, 15_000)).save(path)
    with pytest.raises(ValueError, match=r"bomb\.png.*225000000 pixels"): load_image(path)


@pytest.mark.parametrize("options", [
    dict(size=0), dict(size=-1), dict(size=2.5), dict(size="224"), dict(size=None), dict(size=True),
    dict(size=10**9), dict(size=32, resize=-5), dict(size=32, resize="x"), dict(size=32, resize=0),
    dict(size=32, resize=16), dict(size=32, resize=40.5)])
def test_other_sizes_are_refused_by_name(tally, options):
    file = io.BytesIO(encoded("png"))
    name = "resize" if "resize" in options else "size"
    tally.refusal(lambda: load_image(file, **options), f"{name} is", "allowed", what=options)


@pytest.mark.parametrize("image", [
    None, 3, [], {}, object(), np.zeros(2), np.zeros((2, 2, 3)), np.zeros((4, 8, 8)),
    np.zeros((3, 8, 8), np.uint8), np.full((3, 8, 8), np.nan), np.full((3, 8, 8), 2.),
    np.zeros((3, 8, 8), complex), np.array("a"), np.zeros((0, 3), np.uint8),
    np.zeros((8, 8, 5), np.uint8), np.zeros((8, 8, 3), np.uint16),
], ids=count())
def test_what_is_no_image_is_refused_by_name(tally, image):
    errors = ValueError, TypeError
    tally.refusal(lambda: as_image(image), "image", "allowed", errors=errors)


def test_a_picture_in_memory_is_not_changed():
    before = HALF.tobytes()
    to_rgb(HALF)
    assert HALF.mode == "RGBA"
    assert HALF.tobytes() == before


# folders

def folder_of(folder, files, labels):
    """Small pictures, each a little redder than the last, and their labels."""
    for k, file in enumerate(files):
        path = folder/file
        path.parent.mkdir(exist_ok=True)
        picture = Image.new("RGB", (8, 8), (20*k, 0, 0))
        picture.save(path)
    table = pd.DataFrame({"file": files, "class_index": labels})
    table.to_csv(folder/"labels.csv", index=False)


def test_files_of_equal_names_in_two_folders_are_two_images(tmp_path, monkeypatch):
    files = ["a/1.png", "b/1.png", "b/2.png", "3.png", "3.jpg"]
    folder_of(tmp_path, files, [0, 1, 2, 3, 4])
    monkeypatch.setattr(photographs, "fetch", lambda source: tmp_path)
    images = draw_images("mine", 5, size=8)
    labels = draw_labels("mine", 5)
    names = ["a/1", "b/1", "2", "3.png", "3.jpg"]
    assert list(names_of(files).values()) == names
    assert images.keys() == labels.keys() == set(names)
    few = draw_images("mine", 2, size=8)
    first = list(images)[:2]
    assert list(few) == first, "a name does not depend on what else is drawn"
    for k, name in enumerate(names[:-1]):       # the levels of the last, a JPEG, are near
        red = images[name][0].mean()
        assert round(float(255*red)) == 20*k


@pytest.mark.parametrize("labels", [["good", "bad"], [1.5, 2.], [-1, 0], [None, 1], [True, False]])
def test_labels_that_are_no_classes_are_refused(tally, tmp_path, monkeypatch, labels):
    folder_of(tmp_path, ["1.png", "2.png"], labels)
    monkeypatch.setattr(photographs, "fetch", lambda source: tmp_path)
    table = pd.DataFrame({"file": ["1.png", "2.png"], "class_index": labels})
    tally.refusal(lambda: draw_labels("mine", 1), "labels.csv", "class_index", what=labels)
    tally.refusal(lambda: draw(table, 1), "labels", "class_index", what=labels)


@pytest.mark.parametrize("column", ["file", "class_index"])
def test_a_missing_column_of_labels_is_named(column):
    entries = {"file": ["1.png"], "class_index": [0]}
    del entries[column]
    table = pd.DataFrame(entries)
    with pytest.raises(ValueError, match=f"allowed: with a column '{column}'"): draw(table, 1)
