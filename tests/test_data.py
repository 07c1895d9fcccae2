"""Finding and verifying the files of experiments, and drawing photographs."""
import hashlib
import http.server
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from xai_repro.zoo import assets as zoo_assets
from xai_repro.zoo import photographs

TABLE = b"a,b\n1,2\n"
ENTRY = {
    "name": "table",
    "kind": "asset",
    "path": "t.csv",
    "sha256": hashlib.sha256(TABLE).hexdigest(),
    "what": "w",
    "source": "somewhere",
    "licence": "free",
}


def forget():
    """Let manifests and files be read again."""
    zoo_assets._manifest.cache_clear()
    zoo_assets._verified.cache_clear()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder with one asset and a cache of its own, and a function that rewrites it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "assets").mkdir()
    monkeypatch.setenv("XAI_REPRO_ROOT", str(tmp_path))
    monkeypatch.setenv("XAI_REPRO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("XAI_REPRO_ASSETS", raising=False)

    def write(**fields):
        entry = ENTRY | fields
        lines = [f'{key} = "{value}"' for key, value in entry.items()]
        manifest = tmp_path / "data" / "manifest.toml"
        manifest.write_text("\n".join(["[[entry]]", *lines]))
        forget()

    write()
    yield tmp_path, write
    forget()


@pytest.fixture
def assets_folder(project, monkeypatch):
    """The project's assets folder, which is looked at."""
    folder, _ = project
    monkeypatch.setenv("XAI_REPRO_ASSETS", str(folder / "assets"))
    return folder / "assets"


@pytest.fixture
def server():
    """A server on this machine: what it serves by path, and its address."""
    served = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = served[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield served, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_assets_folder_then_cache(project, monkeypatch):
    folder, _ = project
    cached = folder / "cache" / "t.csv"
    cached.parent.mkdir()
    cached.write_bytes(TABLE)
    assert zoo_assets.fetch("table") == cached
    asset = folder / "assets" / "t.csv"
    asset.write_bytes(TABLE)
    monkeypatch.setenv("XAI_REPRO_ASSETS", str(asset.parent))
    assert zoo_assets.fetch("table") == asset


def test_a_missing_asset_says_where_it_looked_and_how_to_get_it(project, assets_folder):
    folder, _ = project
    with pytest.raises(FileNotFoundError) as error:
        zoo_assets.fetch("table")
    paths = [str(assets_folder / "t.csv"), str(folder / "cache" / "t.csv")]
    for words in ("'table'", *paths, "somewhere", "XAI_REPRO_ASSETS"):
        assert words in str(error.value)


def test_a_package_that_is_missing_is_named(project):
    _, write = project
    write(kind="embedded", package="no_such_package", source="its wheel")
    with pytest.raises(FileNotFoundError, match="its wheel, which is not installed"):
        zoo_assets.fetch("table")
    assert not zoo_assets.status().found.any()


def test_a_changed_file_is_refused(assets_folder):
    (assets_folder / "t.csv").write_bytes(b"a,b\n1,3\n")
    with pytest.raises(ValueError, match=r"sha256.*damaged"):
        zoo_assets.fetch("table")


def test_a_download_is_cached_and_a_corrupted_one_is_not(project, server):
    folder, write = project
    served, address = server
    write(url=f"{address}/t.csv")
    served["/t.csv"] = b"a,b\n1,"          # cut short
    with pytest.raises(ValueError, match=r"(?i)hash"):
        zoo_assets.fetch("table")
    partial = [path for path in (folder / "cache").rglob("*") if path.is_file()]
    assert not partial, "the partial file is gone"
    served["/t.csv"] = TABLE
    assert zoo_assets.fetch("table").read_bytes() == TABLE
    served.clear()
    assert zoo_assets.fetch("table").exists(), "found again without the network"


def test_dataset_reads_tables(assets_folder):
    (assets_folder / "t.csv").write_bytes(TABLE)
    assert zoo_assets.dataset("table")[0] == {"a": 1, "b": 2}


def test_dataset_reads_folders_of_images(project, tmp_path):
    images = tmp_path / "images"
    for label in ("cat", "dog"):
        (images / label).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(images / label / "x.png")
    assert sorted(zoo_assets.dataset(str(images))["label"]) == [0, 1]


def test_dataset_reads_lines_of_text(project, tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("one\ntwo\n")
    assert zoo_assets.dataset(str(lines))["text"][1] == "two"


def test_dataset_refuses_what_there_is_not(project):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        zoo_assets.dataset("nowhere")


def test_dataset_refuses_another_ending(project, tmp_path):
    (tmp_path / "t.xls").write_bytes(b"")
    with pytest.raises(ValueError, match="ending is 'xls'; allowed: csv, parquet, txt"):
        zoo_assets.dataset(str(tmp_path / "t.xls"))


def test_an_unknown_entry_lists_the_known(project):
    with pytest.raises(ValueError, match="name is 'tabel'; allowed: table"):
        zoo_assets.fetch("tabel")


def test_the_committed_manifest():
    for entry in zoo_assets.entries().values():
        assert entry.licence, entry.name
        assert entry.source, entry.name
        assert len(entry.sha256) == 64, entry.name


def test_the_assets_of_the_manifest(assets):
    images = ("lc25000_lung", "imagenet_val")
    weights = ("weights/squeezenet1_1", "weights/efficientnet_lite1")
    for name in (*images, "who_raw", *weights):
        assert zoo_assets.fetch(name).exists()
    found = zoo_assets.status().set_index("name").found
    assert found[["photo/astronaut", "weights/efficientnet_lite0", "imagenet_val"]].all()


def test_the_draw_is_nested(assets):
    small = photographs.draw_images("imagenet_val", 3)
    large = photographs.draw_images("imagenet_val", 6)
    assert list(large)[:3] == list(small)
    for name, image in small.items():
        assert torch.equal(image, large[name])


def test_the_draw_is_one_per_class(assets):
    labels = pd.read_csv(zoo_assets.fetch("imagenet_val") / "labels.csv")
    hundred = photographs.draw(labels, 100)
    assert hundred.class_index.nunique() == 100
    one = photographs.draw(labels, 20, seed=1)
    another = photographs.draw(labels, 20, seed=2)
    assert one.file.tolist() != another.file.tolist()
    with pytest.raises(ValueError, match="n is 100000"):
        photographs.draw(labels, 100_000)


def draw_disc(height, width):
    """A white disc on black, uint8 [height, width]."""
    y, x = np.mgrid[:height, :width]
    from_centre = (y - height / 2)**2 + (x - width / 2)**2
    radius = min(height, width) / 4
    inside = from_centre < radius**2
    return 255 * inside.astype(np.uint8)


@pytest.mark.parametrize("shape, size", [
    ((300, 500), 224),
    ((227, 227), 224),
    ((100, 80), 64),
    ((20, 50), 32),
])
def test_images_are_cropped_not_squeezed(tmp_path, shape, size):
    """A disc stays a disc: the crop is isotropic, whatever the photograph's shape."""
    path = tmp_path / "disc.png"
    Image.fromarray(draw_disc(*shape)).convert("RGB").save(path)
    image = photographs.load_image(path, size)
    assert image.shape == (3, size, size)
    assert image.dtype == torch.float32
    assert image.min() >= 0
    assert image.max() <= 1
    width = (image[0].mean(0) > .01).sum()
    height = (image[0].mean(1) > .01).sum()
    assert abs(width - height) <= 2


def test_an_image_of_about_the_crops_size_is_cropped_alone(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (227, 227, 3), dtype=np.uint8)
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path)
    image = photographs.load_image(path, 224)
    loaded = (255 * image).round().byte().permute(1, 2, 0).numpy()
    starts = [start for start in (1, 2) if np.array_equal(loaded, crop_from(pixels, start))]
    assert len(starts) == 1


def crop_from(pixels, start):
    """A square of 224 pixels."""
    stop = start + 224
    return pixels[start:stop, start:stop]
