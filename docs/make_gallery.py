"""Pictures of reports for docs/gallery.md: `make gallery`, with an installed Chromium (or the one of BMLP_CHROMIUM)."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from scripts import __main__
from scripts.errors import InputError

DATASETS = ["pbmc68k_reduced", "sorted_pbmc.h5ad"]  # that are bundled, and that lie in BMLP_DATA_DIR
SHOWN = ["index", "frequency_0", "02_visualize"]
SIZE = {"width": 1100, "height": 1600}
COLOURS, MAX_BYTES = 256, 150_000  # of a picture; it gets fewer colours until it is small enough
PICTURES = Path(__file__).parent / "gallery"
DATA = Path(os.environ.get("BMLP_DATA_DIR", "data"))
WITHOUT_FOLDER = """folder => document.querySelectorAll(".origin code")
  .forEach(code => { code.textContent = code.textContent.replace(folder, "") })"""  # of the machine it is taken on


def picture(page: Page) -> bytes:
    """What is seen of a page with its figures drawn, as a PNG with a palette."""
    page.evaluate("window.figuresDrawn")
    page.evaluate(WITHOUT_FOLDER, f"{DATA}/")
    taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for colours in (COLOURS, COLOURS // 2, COLOURS // 4):
        file = io.BytesIO()
        few = taken.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)  # rare colours stay, too
        few.save(file, "png", optimize=True)
        if file.tell() <= MAX_BYTES:
            return file.getvalue()
    raise InputError(f"the picture of {page.url} is {file.tell():,} bytes: make SIZE smaller")


def found(name: str) -> str:
    """The data set as `report` takes it, a name or a path; empty where the file is not there."""
    path = DATA / name
    return name if not Path(name).suffix else str(path) if path.exists() else ""


def main(reports: str = "reports") -> int:
    """Make the runs of the gallery, where they are not there, and their pictures; returns the exit status."""
    names = ["chromium", "chromium-browser", "google-chrome"]
    browser_path = os.environ.get("BMLP_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not browser_path:
        print("error: no Chromium: install it, or name it in BMLP_CHROMIUM", file=sys.stderr)
        return 2
    runs = []
    for name in DATASETS:
        dataset = found(name)
        if not dataset:
            print(f"{name} is not in BMLP_DATA_DIR: its pictures stay as they are")
            continue
        runs.append(Path(reports) / Path(name).stem)
        if status := __main__.main(["report", "--dataset", dataset, "--run", runs[-1].name, "--reports", reports]):
            return status
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        for run, stem in itertools.product(runs, SHOWN):
            page.goto((run / f"{stem}.html").resolve().as_uri())
            (PICTURES / f"{run.name}_{stem}.png").write_bytes(picture(page))
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
