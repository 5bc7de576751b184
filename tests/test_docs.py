"""The pages of docs/: they build, their examples run, and what they name is there."""

import functools
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from rtvis.api import load
from rtvis.cli.units import WORDS
from rtvis.data import Selection
from rtvis.engine.networks.model_file import ModelFile, read_model_file
from rtvis.render.pages.page import Page
from rtvis.runtime.bindings import BINDINGS, by_key
from rtvis.runtime.keymap import with_keys
from rtvis.theme_files import panes_of, theme_of
from tools.keys_page import keys_page

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def blocks(page: str, language: str) -> list[str]:
    """What stands between the fences of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S)


def run_together(parts: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run examples as one program, away from the checkout."""
    (folder / "sample_images").symlink_to(ROOT / "sample_images")
    return subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", "\n".join(parts)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_the_site_builds_without_a_warning_and_asks_nobody_else(tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for page in PAGES:
        name = page.stem
        html = (site / ("index.html" if name == "index" else f"{name}/index.html")).read_text()
        fetched = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', html)
        assert fetched == [], page.name


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text().partition("nav:")[2]
    assert set(re.findall(r"(\w+\.md)", nav)) == {page.name for page in PAGES}


def test_what_the_page_of_the_code_names_is_there_and_no_part_is_left_out() -> None:
    page = (DOCS / "architecture.md").read_text()
    named = set(re.findall(r"`((?:rtvis|tests)/[\w/.]+)`", page))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    packages = {f"rtvis/{path.parent.name}/" for path in ROOT.glob("rtvis/*/__init__.py")}
    assert packages - named == set()


def test_what_pages_show_and_link_is_there_and_pictures_are_shown_and_small() -> None:
    shown = set()
    for page in [*PAGES, ROOT / "README.md"]:
        links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
        missing = [link for link in links if not (page.parent / link).exists()]
        assert missing == [], page.name
        shown |= {(page.parent / link).resolve() for link in links if link.endswith(".png")}
    pictures = set(DOCS.rglob("*.png"))
    assert pictures - shown == set(), "nobody shows them"
    assert sum(picture.stat().st_size for picture in pictures) < 3_000_000


def test_the_page_of_keys_is_that_of_the_table() -> None:
    assert (DOCS / "keys.md").read_text() == keys_page(), "run `python -m tools.keys_page`"
    assert all(binding.text in keys_page() for binding in BINDINGS if binding.keys)


def test_the_examples_of_the_readme_and_of_the_python_page_run(tmp_path: Path) -> None:
    readme = [
        block.replace('device="cpu")', 'device="cpu", compile="off")')  # which takes a minute
        for block in blocks("../README.md", "python")
    ]
    done = run_together([*readme, *blocks("python.md", "python")], tmp_path)
    assert done.returncode == 0, done.stderr
    first, cat, *lines = done.stdout.splitlines()
    assert first.startswith("Layer(")
    assert re.match(r"(Egyptian cat|tabby|tiger cat) \[\]$", cat)
    assert re.match(r"(Egyptian cat|tabby|tiger cat)", lines[0]), lines
    assert "nearest is 'blocks.2.0.conv_dw'" in lines[-1]


def test_the_examples_of_the_extension_guide_run(tmp_path: Path) -> None:
    method, page, source = blocks("extend.md", "python")
    done = run_together([method, source], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["torch.Size([1, 7, 7])", "(240, 320, 3) 0"]
    names: dict[str, object] = {}
    exec(page, names)
    assert isinstance(names["PAGE"], Page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_name_only_flags_that_there_are(page: Path) -> None:
    text = page.read_text()
    # Another program's command line, of the cluster that the pages tell how to start.
    text = re.sub(r"^ray .*$", "", text, flags=re.MULTILINE)
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    assert used - known_flags() == set()


@functools.cache
def known_flags() -> set[str]:
    """Those of the program and of all its commands."""
    commands = [[], ["inspect"], *(["units", word] for word in WORDS)]
    known = set()
    for words in commands:
        shown = subprocess.run(
            [sys.executable, "main.py", *words, "--help"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        known |= set(re.findall(r"--[a-z][a-z-]*", shown))
    return known


def test_the_table_of_the_selection_has_all_its_fields_and_defaults_that_are_so() -> None:
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", (DOCS / "python.md").read_text(), re.M)
    named = [name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell)]
    assert set(named) >= {each.name for each in fields(Selection)}
    assert {name for name in named if not hasattr(Selection(), name)} == set()
    said = {re.findall(r"`(\w+)`", cell)[0]: default for cell, default in rows}
    for name, default in said.items():
        if re.fullmatch(r'`("[a-z-]+"|True|False)`', default):
            own = repr(getattr(Selection(), name)).replace("'", '"')
            assert own in {default.strip("`"), "None"}, name  # None: the engine fills it in


def test_the_model_config_of_the_page_is_read(tmp_path: Path) -> None:
    (text,) = [block for block in blocks("networks.md", "yaml") if "labels" in block]
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    read = read_model_file(str(path))
    assert isinstance(read, ModelFile)
    assert read.layers.exclude


def test_caffenet_of_the_page_has_the_fields_that_dvt_cut_out(tmp_path: Path) -> None:
    """DVT-83 and -94, from the list in crop_max_patches; eight units stand for fc6's 4096."""
    (source,) = blocks("networks.md", "python")
    (tmp_path / "caffenet.py").write_text(source.replace("4096", "8"))
    config = re.search(r"caffenet\.yaml: (\{.*\})", source)
    assert config is not None
    (tmp_path / "caffenet.yaml").write_text(config[1])
    with load(f"{tmp_path / 'caffenet.py'}:caffenet", compile="off", device="cpu") as engine:
        assert engine.input_size == (227, 227)
        # Blue 104, green 117, red 123, as Caffe has them.
        assert engine.preprocessing.mean == pytest.approx([123 / 255, 117 / 255, 104 / 255])
        sides_of = {layer.name: layer.receptive_field for layer in engine.layers}
    sides = {"conv1": 11, "conv2": 51, "conv3": 99, "conv4": 131, "conv5": 163, "fc6": 227}
    assert {name: sides_of[name] for name in sides} == {
        n: (side, side) for n, side in sides.items()
    }


def test_the_keys_of_the_page_can_be_bound() -> None:
    (text,) = blocks("share.md", "yaml")
    keys = yaml.safe_load(text)["keys"]
    bindings = with_keys({name: (value, "share.md") for name, value in keys.items()})
    assert len(by_key(bindings)) >= len(keys)


def test_the_themes_and_panes_of_the_page_are_read() -> None:
    theme, panes = (yaml.safe_load(text) for text in blocks("theme.md", "yaml"))
    entries = {name: (value, "theme.md") for name, value in theme["theme"].items()}
    assert theme_of(entries).text_size == 16
    entries = {name: (value, "theme.md") for name, value in panes["panes"].items()}
    assert panes_of(entries).layers == "below"


def test_the_build_needs_what_the_extra_installs() -> None:
    assert shutil.which("mkdocs", path=str(Path(sys.executable).parent))
