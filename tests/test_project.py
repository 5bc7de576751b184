"""The project's own files: what they promise about targets, dependencies and each other."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
ISSUE_TARGETS = {
    *("help", "setup", "setup-system", "run", "test", "check", "test-slow"),
    *("docs", "tour", "bench", "bench-gpu", "bench-zoo", "image", "image-cpu", "clean"),
}


def make(*arguments: str) -> str:
    """What make prints; raises where it fails."""
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def names_of(requirements: list[str]) -> set[str]:
    """Normalised distribution names of requirement strings."""
    return {re.split(r"[^\w.-]", one)[0].lower().replace("_", "-") for one in requirements}


def imported_by(folder: Path) -> set[str]:
    """Top-level names of the third-party modules that the Python files below `folder` import."""
    found = set()
    for path in [folder] if folder.is_file() else folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"rtvis"}


def test_make_alone_prints_every_target_with_what_it_does() -> None:
    listed = set(re.findall(r"^  make ([a-z-]+) +\S", make(), re.MULTILINE))
    assert listed == TARGETS == ISSUE_TARGETS


@pytest.mark.parametrize("target", sorted(ISSUE_TARGETS))
def test_every_target_is_understood_by_make_and_has_something_to_do(target: str) -> None:
    steps = make("--dry-run", "--always-make", target)
    assert steps.strip()
    for script in re.findall(r"\b(?:tools|benchmarks)/[\w/]+\.\w+", steps):
        assert (ROOT / script).is_file(), script


def test_a_phony_target_is_not_shadowed_by_a_file_of_its_name() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == TARGETS


@pytest.mark.parametrize("culprit", ["apart", "beside", "nobody"])
def test_a_failure_in_either_process_of_tests_is_a_failure_and_is_printed(
    tmp_path: Path, culprit: str
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  apart\n  slow\n")
    (tmp_path / "test_two.py").write_text(
        "import os, pytest\n"
        "@pytest.mark.apart\n"
        f"def test_apart(): assert os.nice(0) == 19 and {culprit != 'apart'}\n"
        f"def test_beside(): assert {culprit != 'beside'}\n"
        "@pytest.mark.slow\n"
        "def test_slow(): assert False\n"
    )
    script = ROOT / "tools" / "run_tests.py"
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == (culprit != "nobody"), done.stdout
    assert done.stdout.count("1 passed") == (2 if culprit == "nobody" else 1)
    assert (f"test_{culprit}" in done.stdout) == (culprit != "nobody")


def test_what_the_program_imports_is_declared_and_what_is_declared_is_imported() -> None:
    declared = names_of(PROJECT["project"]["dependencies"])
    extras = PROJECT["project"]["optional-dependencies"]
    optional = names_of(extras["cuda"]) | names_of(extras["cluster"])
    owners = metadata.packages_distributions()
    scripts = [ROOT / name for name in ("main.py", "gradcam.py", "guided_backprop.py")]
    modules = set().union(*(imported_by(place) for place in [ROOT / "rtvis", *scripts]))
    used = {name.lower().replace("_", "-") for m in modules for name in owners.get(m, [m])}
    with_cuda = {"cupy", "cuda", "cuda-bindings", "triton"}  # come with an extra or with torch
    assert used - declared - optional - with_cuda == set()
    assert declared - used == set()


def test_no_dependency_brings_a_second_opencv_that_has_no_window() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    waiting = names_of(PROJECT["project"]["dependencies"] + extras["dev"])
    closure: set[str] = set()
    while waiting:
        name = waiting.pop()
        closure.add(name)
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another platform
        waiting |= names_of([one for one in requires if "extra ==" not in one]) - closure
    assert {"torch", "opencv-python", "captum", "torchcam"} <= closure
    assert not {one for one in closure if one.endswith("-headless")}


def test_peers_without_dependencies_find_what_they_import() -> None:
    import pytorch_grad_cam

    assert "grad-cam" in MAKEFILE
    assert "grad-cam" not in names_of(PROJECT["project"]["optional-dependencies"]["dev"])
    assert pytorch_grad_cam.GradCAM


def test_the_python_versions_agree_everywhere() -> None:
    bootstrap = (ROOT / "tools" / "bootstrap.py").read_text()
    found = re.search(r"^SUPPORTED = (.*)$", bootstrap, re.MULTILINE)
    assert found
    versions = sorted(ast.literal_eval(found[1]))
    oldest, newest = versions[0], versions[-1]
    span = f">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"
    assert PROJECT["project"]["requires-python"] == span
    assert PROJECT["tool"]["mypy"]["python_version"] == f"{oldest[0]}.{oldest[1]}"
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest[0]}{oldest[1]}"


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cpu"])
def test_an_image_installs_torch_before_it_copies_the_code_and_does_not_run_as_root(
    name: str,
) -> None:
    lines = (ROOT / name).read_text().splitlines()
    order = [
        next(i for i, line in enumerate(lines) if line.startswith(what))
        for what in ("COPY pyproject.toml", "RUN python3 -m venv", "COPY . /app", "USER rtvis")
    ]
    assert order == sorted(order)
    assert "VOLUME /cache" in lines
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "build"} <= set(ignored)
    assert not {"rtvis", "main.py", "configs", "sample_images", "pyproject.toml"} & set(ignored)


def test_both_images_install_the_libraries_that_a_bare_debian_lacks() -> None:
    bootstrap = (ROOT / "tools" / "bootstrap.py").read_text()
    needed = set(re.findall(r'"(lib[^"]+)"[,)]', bootstrap))  # values, not keys
    assert {"libgl1", "libsm6"} <= needed
    for name in ("Dockerfile", "Dockerfile.cpu"):
        words = set((ROOT / name).read_text().split())
        assert needed | {"g++", "python3-dev"} <= words


def test_compose_builds_the_two_dockerfiles_and_keeps_the_cache_in_a_volume() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = compose["services"]
    assert services["gpu"]["build"].get("dockerfile", "Dockerfile") == "Dockerfile"
    assert services["cpu"]["build"]["dockerfile"] == "Dockerfile.cpu"
    for service in services.values():
        assert "cache:/cache" in service["volumes"]
    assert "cache" in compose["volumes"]


def test_the_licence_is_the_one_that_the_project_names() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n" in text
    assert "Version 2.0, January 2004" in text


def test_every_bundled_picture_and_clip_has_its_licence_written_down() -> None:
    notes = "".join(path.read_text() for path in (ROOT / "sample_images").glob("*.md"))
    media = {
        path.name
        for path in (ROOT / "sample_images").iterdir()
        if path.suffix in {".jpg", ".png", ".mp4", ".webm"}
    }
    assert media
    assert {name for name in media if name not in notes} == set()


def test_the_readme_names_only_targets_flags_and_files_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    assert set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)", readme)) <= TARGETS
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", readme)
    assert {link for link in links if not (ROOT / link).exists()} == set()
    for script in ("main.py", "gradcam.py", "guided_backprop.py"):
        lines = [line for line in readme.splitlines() if script in line]
        if script == "main.py":
            lines += re.findall(r'make run ARGS="(.*?)"', readme)
        used = {flag for line in lines for flag in re.findall(r"(?<!\S)--?[a-z][a-z-]*", line)}
        assert used
        shown = subprocess.run(
            [sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        known = set(re.findall(r"--?[a-z][a-z-]*", shown))
        assert used - known == set(), script
