"Finding, verifying and refusing bytes."
import hashlib
import http.server
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from xai_repro.zoo import data


@pytest.fixture
def project(tmp_path, monkeypatch):
    "A project folder with one asset and a cache of its own."
    (tmp_path/"data").mkdir(); (tmp_path/"assets").mkdir()
    monkeypatch.setenv("XAI_REPRO_ROOT", str(tmp_path)); monkeypatch.setenv("XAI_REPRO_CACHE", str(tmp_path/"cache")); monkeypatch.delenv("XAI_REPRO_ASSETS", raising=False)
    def write(**fields):
        entry = dict(name="table", kind="asset", path="t.csv", sha256=hashlib.sha256(b"a,b\n1,2\n").hexdigest(), what="w", source="somewhere", licence="free") | fields
        (tmp_path/"data"/"manifest.toml").write_text("[[entry]]\n" + "\n".join(f'{k} = "{v}"' for k, v in entry.items()))
        data._manifest.cache_clear(); data._verified.cache_clear()
    write()
    yield tmp_path, write
    data._manifest.cache_clear(); data._verified.cache_clear()


@pytest.fixture
def server(tmp_path):
    "A server on this machine that gives whatever bytes it is told to."
    served = {}
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = served[self.path]
            self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
        def log_message(self, *_): pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield served, f"http://127.0.0.1:{server.server_port}"
    server.shutdown(); server.server_close()


def test_assets_folder_then_cache(project, monkeypatch):
    folder, _ = project
    (folder/"cache").mkdir(); (folder/"cache"/"t.csv").write_bytes(b"a,b\n1,2\n")
    assert data.fetch("table") == folder/"cache"/"t.csv"
    (folder/"assets"/"t.csv").write_bytes(b"a,b\n1,2\n"); monkeypatch.setenv("XAI_REPRO_ASSETS", str(folder/"assets"))
    assert data.fetch("table") == folder/"assets"/"t.csv"


def test_a_missing_asset_says_where_it_looked_and_how_to_get_it(project, monkeypatch):
    folder, _ = project
    monkeypatch.setenv("XAI_REPRO_ASSETS", str(folder/"assets"))
    with pytest.raises(FileNotFoundError) as e: data.fetch("table")
    for words in ("'table'", str(folder/"assets"/"t.csv"), str(folder/"cache"/"t.csv"), "somewhere", "XAI_REPRO_ASSETS"): assert words in str(e.value)


def test_a_package_that_is_missing_is_named(project):
    _, write = project
    write(kind="embedded", package="no_such_package", source="its wheel")
    with pytest.raises(FileNotFoundError, match="its wheel, which is not installed"): data.fetch("table")
    assert not data.status().found.any()


def test_a_changed_file_is_refused(project, monkeypatch):
    folder, _ = project
    (folder/"assets"/"t.csv").write_bytes(b"a,b\n1,3\n"); monkeypatch.setenv("XAI_REPRO_ASSETS", str(folder/"assets"))
    with pytest.raises(ValueError, match="sha256.*damaged"): data.fetch("table")


def test_a_download_is_kept_and_a_corrupted_one_is_not(project, server, capsys):
    (folder, write), (served, address) = project, server
    write(url=f"{address}/t.csv")
    served["/t.csv"] = b"a,b\n1,"          # cut short
    with pytest.raises(ValueError, match="(?i)hash"): data.fetch("table")
    assert not [p for p in (folder/"cache").rglob("*") if p.is_file()], "the partial file is gone"
    served["/t.csv"] = b"a,b\n1,2\n"
    assert data.fetch("table").read_bytes() == b"a,b\n1,2\n"
    served.clear(); assert data.fetch("table").exists(), "found again without the network"


def test_dataset_reads_csv_folders_and_text(project, tmp_path, monkeypatch):
    folder, _ = project
    (folder/"assets"/"t.csv").write_bytes(b"a,b\n1,2\n"); monkeypatch.setenv("XAI_REPRO_ASSETS", str(folder/"assets"))
    assert data.dataset("table")[0] == {"a": 1, "b": 2}
    for label in ("cat", "dog"):
        (tmp_path/"images"/label).mkdir(parents=True); Image.new("RGB", (4, 4)).save(tmp_path/"images"/label/"x.png")
    assert sorted(data.dataset(str(tmp_path/"images"))["label"]) == [0, 1]
    (tmp_path/"lines.txt").write_text("one\ntwo\n"); assert data.dataset(str(tmp_path/"lines.txt"))["text"][1] == "two"
    with pytest.raises(FileNotFoundError, match="nowhere"): data.dataset("nowhere")


def test_an_unknown_entry_lists_the_known(project):
    with pytest.raises(ValueError, match="name is 'tabel'; allowed: table"): data.fetch("tabel")


def test_the_committed_manifest(assets):
    for entry in data.entries().values():
        assert entry.licence and entry.source and len(entry.sha256) == 64, entry.name
    for name in ("lc25000_lung", "imagenet_val", "who_raw", "weights/squeezenet1_1", "weights/efficientnet_lite1"): assert data.fetch(name).exists()
    status = data.status().set_index("name")
    assert status.found[["photo/astronaut", "weights/efficientnet_lite0", "imagenet_val"]].all()


def test_the_draw_is_nested_and_one_per_class(assets):
    small, large = data.draw_images("imagenet_val", 3), data.draw_images("imagenet_val", 6)
    assert list(large)[:3] == list(small) and all(torch.equal(small[k], large[k]) for k in small)
    labels = pd.read_csv(data.fetch("imagenet_val")/"labels.csv")
    assert data.draw(labels, 100).class_index.nunique() == 100
    assert data.draw(labels, 20, seed=1).file.tolist() != data.draw(labels, 20, seed=2).file.tolist()
    with pytest.raises(ValueError, match="n is 100000"): data.draw(labels, 100_000)


@pytest.mark.parametrize("shape, size", [((300, 500), 224), ((227, 227), 224), ((100, 80), 64), ((20, 50), 32)])
def test_images_are_cropped_not_squeezed(tmp_path, shape, size):
    "A disc stays a disc: the crop is isotropic, whatever the photograph's shape."
    y, x = np.mgrid[:shape[0], :shape[1]]
    disc = ((y - shape[0]/2)**2 + (x - shape[1]/2)**2 < (min(shape)/4)**2).astype(np.uint8)*255
    Image.fromarray(disc).convert("RGB").save(tmp_path/"disc.png")
    image = data.load_image(tmp_path/"disc.png", size)
    assert image.shape == (3, size, size) and image.dtype == torch.float32 and 0 <= image.min() and image.max() <= 1
    assert abs((image[0].mean(0) > .01).sum() - (image[0].mean(1) > .01).sum()) <= 2


def test_an_image_of_the_right_size_is_untouched(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (227, 227, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path/"x.png")
    assert np.array_equal((data.load_image(tmp_path/"x.png", 224)*255).round().byte().permute(1, 2, 0).numpy(), pixels[2:226, 2:226]) or \
           np.array_equal((data.load_image(tmp_path/"x.png", 224)*255).round().byte().permute(1, 2, 0).numpy(), pixels[1:225, 1:225])
