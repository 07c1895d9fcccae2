"""The notebooks as pages: what Jupyter Book builds them from, and what looks at what it built.

    python tools/site.py stage _site/source
    python tools/site.py check _site/_build/html [/usr/bin/chromium]

`make site` does both, with the build between them; the pages lie in _site/_build/html.
"""
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import nbformat
import pandas as pd

from xai_repro.ground import root, write_atomically

# ---------------------------------------------------------------- what is laid out

STYLE = """.bd-page-width { max-width: 110rem; }
.bd-main .bd-content .bd-article-container { max-width: 72rem; }
.bd-main .bd-content .bd-article-container div.cell_output { overflow-x: auto; }
div.cell_output table { font-size: .85em; margin-bottom: 1em; }
div.cell_output table td {
  min-width: 3.5rem; vertical-align: top; padding: .15em .5em; overflow-wrap: break-word; }
"""
DIRECTIVE = re.compile(r"^#\|.*\n?", re.MULTILINE)     # of nbdev: where a cell goes
EXPORTS = "nbdev_export" + "()"


def tag_of(source: str, tags: list[str], paper: bool) -> str | None:
    """How Jupyter Book shows a code cell: of a paper's notebook only the parameters are open.

    Returns: None (open), "hide-input" (its code can be opened), "remove-input" or "remove-cell".
    """
    empty = not DIRECTIVE.sub("", source).strip()
    if "hide" in tags or empty or source.rstrip().endswith(EXPORTS): return "remove-cell"
    if "output" in tags: return "remove-input"
    if source.startswith("#| hide"): return "hide-input"
    return "hide-input" if paper and "parameters" not in tags else None


def stage_notebook(path: Path, target: Path) -> None:
    """Copy a notebook, with the tags of Jupyter Book and without nbdev's directives."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type != "code": continue
        tags = cell.metadata.get("tags", [])
        shown = tag_of(cell.source, tags, path.parent.name == "papers")
        cell.metadata["tags"] = [*tags, shown] if shown else tags
        cell.source = DIRECTIVE.sub("", cell.source)
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)


def stage(to: Path) -> None:
    """Lay out what the site is built from: notebooks, figures, ledgers, and the site's look.

    What lay there is replaced.
    """
    shutil.rmtree(to, ignore_errors=True)
    for path in sorted((root()/"nbs").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            stage_notebook(path, to/path.relative_to(root()))
    shutil.copytree(root()/"figures", to/"figures")
    results = to/"data"/"results"
    results.mkdir(parents=True)
    for ledger in (root()/"data"/"results").glob("*.csv"): shutil.copy(ledger, results)
    for name in ("_config.yml", "_toc.yml"): shutil.copy(root()/"nbs"/name, to/name)
    (to/"_static").mkdir()
    (to/"_static"/"site.css").write_text(STYLE)


# ---------------------------------------------------------------- what links to what

LINK_TO_NOTEBOOK = re.compile(r'(href=")([^":#]+)\.ipynb((?:#[^"]*)?")')
LINKS = {"a": "href", "img": "src", "link": "href", "script": "src"}     # tag -> its attribute


def pages(folder: Path) -> list[Path]:
    """The pages of a built site, sorted, without the templates of its theme.

    Raises: a FileNotFoundError where there is none.
    """
    found = [page for page in sorted(folder.rglob("*.html"))
             if "_static" not in page.relative_to(folder).parts]
    if not found: raise FileNotFoundError(f"no page in {folder}; run: make site")
    return found


def mend(folder: Path) -> int:
    """Make links to notebooks links to their pages, where these are.

    Returns: how many links to notebooks there were.
    Raises: as `pages` does.
    """
    total = 0
    for page in pages(folder):
        text, n = LINK_TO_NOTEBOOK.subn(partial(_link_to_page, page), page.read_text())
        if n: write_atomically(page, partial(Path.write_text, data=text))
        total += n
    return total


def _link_to_page(page: Path, link: re.Match) -> str:
    "The link to a notebook, made one to its page if there is one."
    target = (page.parent/unquote(link[2])).with_suffix(".html")
    return f"{link[1]}{link[2]}.html{link[3]}" if target.exists() else link[0]


class Page(HTMLParser):
    """Where a page points to, and what can be pointed to in it."""
    links: list[str]
    names: set[str | None]

    def __init__(self, text: str):
        super().__init__()
        self.links = []
        self.names = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.names |= {attributes.get("id"), attributes.get("name")}
        link = attributes.get(LINKS.get(tag, ""))
        if link: self.links.append(link)


def broken(folder: Path) -> pd.DataFrame:
    """Links within a site to files or anchors that are not there; other sites are left alone.

    Returns: columns page, link, why.
    """
    site = folder.resolve()
    parsed = {page.resolve(): Page(page.read_text()) for page in pages(folder)}
    rows = []
    for page, contents in parsed.items():
        for link in dict.fromkeys(contents.links):
            why = _why_broken(site, parsed, page, link)
            if why: rows.append(dict(page=str(page.relative_to(site)), link=link, why=why))
    return pd.DataFrame(rows, columns=["page", "link", "why"])


def _why_broken(site: Path, parsed: dict[Path, Page], page: Path, link: str) -> str | None:
    "What is wrong with a link of a page; None if nothing is."
    parts = urlsplit(link)
    elsewhere = parts.scheme or parts.netloc or link.startswith(("javascript:", "mailto:"))
    if elsewhere: return None
    target = page
    if parts.path.startswith("/"): target = (site/parts.path.lstrip("/")).resolve()
    elif parts.path: target = (page.parent/unquote(parts.path)).resolve()
    if target.is_dir(): return "a folder"
    if not target.exists(): return "no such file"
    anchors = parsed[target].names if target in parsed else None
    if parts.fragment and anchors is not None and unquote(parts.fragment) not in anchors:
        return "no such anchor"
    return None


# ---------------------------------------------------------------- what a browser sees

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]
EMPTY_PICTURES = """[...document.images]
    .filter(i => i.loading != 'lazy' && !i.naturalWidth && i.src.startsWith(location.origin))
    .map(i => i.src)"""


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None: pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, *args) -> None: pass      # a browser that hangs up


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a folder is served to this machine alone."""
    server = _Server(("127.0.0.1", 0), partial(_Silent, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def look(
    folder: Path,
    browser: str = "/usr/bin/chromium",
    pictures: dict[str, Path] | None = None,    # page -> where to write a picture of it
    width: int = 1300,                          # of the browser's window, pixels
) -> pd.DataFrame:                              # columns page, what, where
    """What a headless browser finds wrong with the pages of a site; other sites are left alone.

    Pictures that have no pixels, requests that fail, pages with hardly any text. Needs playwright
    and a Chromium.
    """
    from playwright.sync_api import sync_playwright
    rows = []
    with served(folder) as address, sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser, args=FLAGS)
        context = chromium.new_context(viewport=dict(width=width, height=900))
        context.route(lambda url: not url.startswith((address, "data:")),
                      lambda route: route.fulfill(status=200, body=""))
        for page in pages(folder):
            if 'http-equiv="refresh"' in page.read_text().lower(): continue      # leads away
            name = str(page.relative_to(folder))
            tab = context.new_page()
            rows += _look_at(tab, address, name)
            if pictures and name in pictures:
                tab.screenshot(path=str(pictures[name]), full_page=True)
            tab.close()
        chromium.close()
    return pd.DataFrame(rows, columns=["page", "what", "where"])


def _look_at(tab, address: str, name: str) -> list[dict]:
    "What is wrong with one page, in a browser's tab."
    rows = []
    def note(what: str, where: str) -> None: rows.append(dict(page=name, what=what, where=where))
    def note_failure(response) -> None:
        if response.status >= 400:
            note(f"status {response.status}", response.url.removeprefix(address))
    tab.on("response", note_failure)
    tab.goto(f"{address}/{name}", wait_until="load", timeout=120_000)
    for source in tab.evaluate(EMPTY_PICTURES):
        note("picture without pixels", source.removeprefix(address))
    length = tab.evaluate("document.body.innerText.trim().length")
    if length < 200 and "genindex" not in name and "search" not in name:
        note("hardly any text", name)
    return rows


def check(folder: Path, browser: str = "/usr/bin/chromium") -> None:
    """Mend a built site and look at it; the browser is left out where there is none.

    Raises: a ValueError that lists what is wrong.
    """
    mend(folder)
    wrong = [f"{r['page']}: {r['link']} ({r['why']})" for r in broken(folder).to_dict("records")]
    has_browser = Path(browser).exists()
    if has_browser:
        seen = look(folder, browser).to_dict("records")
        wrong += [f"{r['page']}: {r['what']}: {r['where']}" for r in seen]
    if wrong:
        lines = "\n".join(wrong)
        raise ValueError(f"{len(wrong)} links and pictures of the site lead nowhere:\n{lines}")
    how = "" if has_browser else f" (no browser at {browser}: links only)"
    print(f"{len(pages(folder))} pages, all links and pictures there{how}")


if __name__ == "__main__":
    commands = {"stage": stage, "check": check}
    command, path, *options = sys.argv[1:]
    commands[command](Path(path), *options)
