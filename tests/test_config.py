"""One name and one check for each flag and key; errors say where, what and what would do."""

import subprocess
import sys
import typing
from pathlib import Path

import pytest

from rtvis import config as config_module
from rtvis import config_network
from rtvis.config import Config, SectionsConfig
from rtvis.errors import ConfigError
from rtvis.flags import parse_config

ROOT = Path(__file__).parents[1]

ALL_FLAGS = (
    "--stream 0 --files pictures --match ^cat --mirror on --stretch-contrast --start 1.5 "
    "--picture a.png --loop --pace fast --frames 9 --network VGG16 "
    "--weights w.pt --labels l.txt "
    "--size 240x320 --mean 0.5 --std 0.1,0.2,0.3 --trust-pickle --device cuda:1 "
    "--dtype bfloat16 --tf32 --compile off --layer features.3 --unit 4 --position 5,6 --seed map "
    "--rule deconvnet --cam layercam --cam-layer features.0 --fit letterbox --view none "
    "--record out.mkv --no-journal --save out --canvas 720x1280 --list layers --debug"
)
"""All but --class, and --replay, which must name a recording."""


def parse(*argv: str) -> Config:
    return parse_config(Config, argv, prog="main.py", description="Test.")


def fault(*argv: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(*argv)
    assert "\n" not in str(caught.value)
    return str(caught.value)


PARTS = [kind for kind in typing.get_type_hints(Config).values() if kind is not SectionsConfig]
"""Those that have flags."""


@pytest.fixture
def write(tmp_path: Path) -> typing.Callable[[str], str]:
    def writer(text: str) -> str:
        path = tmp_path / "live.yaml"
        path.write_text(text)
        return str(path)

    return writer


Writer: typing.TypeAlias = typing.Callable[[str], str]


def test_no_flags_give_the_defaults_of_the_dataclasses() -> None:
    assert parse() == Config()


def test_every_flag_reaches_its_field() -> None:
    config = parse(*ALL_FLAGS.split(), "--class", "tabby")
    assert config == Config(
        input=config_module.InputConfig(
            stream="0",
            files="pictures",
            match="^cat",
            mirror="on",
            stretch_contrast=True,
            start=1.5,
            picture="a.png",
            loop=True,
            pace="fast",
            frames=9,
        ),
        network=config_network.NetworkConfig(
            network="VGG16",
            weights="w.pt",
            labels="l.txt",
            size=(240, 320),
            mean=(0.5,),
            std=(0.1, 0.2, 0.3),
            trust_pickle=True,
        ),
        compute=config_network.ComputeConfig(
            device="cuda:1", dtype="bfloat16", tf32=True, compile="off"
        ),
        selection=config_module.SelectionConfig(
            layer="features.3",
            unit=4,
            position=(5, 6),
            seed="map",
            rule="deconvnet",
            class_="tabby",
            cam="layercam",
            cam_layer="features.0",
            fit="letterbox",
        ),
        output=config_module.OutputConfig(
            view="none", record="out.mkv", journal=False, save="out", canvas=(720, 1280)
        ),
        program=config_module.ProgramConfig(list_="layers", debug=True),
    )


def test_every_flag_is_a_key_of_the_same_name(write: Writer) -> None:
    path = write(
        "stream: 0\nfiles: pictures\nmatch: ^cat\nmirror: on\nstretch_contrast: yes\n"
        "start: 1.5\npicture: a.png\nloop: yes\n"
        "pace: fast\nframes: 9\nnetwork: VGG16\nweights: w.pt\n"
        "labels: l.txt\nsize: [240, 320]\nmean: 0.5\nstd: [0.1, 0.2, 0.3]\ntrust-pickle: true\n"
        "device: cuda:1\ndtype: bfloat16\ntf32: yes\ncompile: off\nlayer: features.3\nunit: 4\n"
        "position: [5, 6]\nseed: map\nrule: deconvnet\nclass: 281\ncam: layercam\n"
        "cam_layer: features.0\nfit: letterbox\nview: none\nrecord: out.mkv\njournal: no\n"
        "save: out\ncanvas: [720, 1280]\n"
        "list: layers\ndebug: true\n"
    )
    assert parse("--config", path) == parse(*ALL_FLAGS.split(), "--class", "281")


def test_the_command_line_wins_wherever_it_stands(write: Writer) -> None:
    path = write("unit: 3\nrule: gradient\nloop: true")
    for argv in (("--unit", "5", "--config", path), (f"--config={path}", "--unit=5")):
        config = parse(*argv, "--no-loop")
        assert (config.selection.unit, config.selection.rule) == (5, "gradient")
        assert not config.input.loop


def test_a_flag_that_repeats_the_default_still_wins(write: Writer) -> None:
    path = write("rule: gradient")
    assert parse("--config", path, "--rule", "guided").selection.rule == "guided"


def test_of_two_files_the_later_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("unit: 1\nlayer: conv1")
    second.write_text("unit: 2")
    config = parse("--config", str(first), "--config", str(second))
    assert (config.selection.unit, config.selection.layer) == (2, "conv1")


def test_an_empty_file_and_an_empty_value_leave_the_defaults(write: Writer) -> None:
    assert parse("--config", write("")) == Config()
    assert parse("--config", write("# nothing\nrule:\nunit: null")) == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("streem: demo", "streem: unknown key; nearest is 'stream'"),
        ("cam-layr: x", "cam-layr: unknown key; nearest is 'cam-layer'"),
        ("engine: {layers: 3}", "engine: unknown key"),
        (
            "rule: gided",
            "rule: unknown value 'gided'; nearest is 'guided'; "
            "there are: gradient, guided, deconvnet",
        ),
        ("unit: 1.5", "unit: 1.5 cannot be used; give a whole number from 0"),
        ("unit: -1", "unit: -1 cannot be used; give a whole number from 0"),
        ("unit: true", "unit: True cannot be used; give a whole number from 0"),
        ("unit: 1\nunit: 2", "unit: given twice; keep one of them"),
        ("cam-layer: a\ncam_layer: b", "cam_layer: given twice; keep one of them"),
        ("loop: maybe", "loop: 'maybe' cannot be used; give true or false"),
        ("record: no", "record: False cannot be used; give a film's name"),
        (
            "size: [1, a]",
            "size: [1, 'a'] cannot be used; give a side such as 224, or height and width such as "
            "240x320",
        ),
        ("frames: {a: 1}", "frames: {'a': 1} cannot be used; give a whole number from 1"),
        ("mean: [1, x]", "mean: [1, 'x'] cannot be used; give a number such as 0.5, or one per"),
    ],
)
def test_faults_in_a_file_name_file_key_and_what_would_do(
    text: str, message: str, write: Writer
) -> None:
    path = write(text)
    assert fault("--config", path).startswith(f"{path}: {message}")


def test_a_file_that_is_no_config_says_so(write: Writer, tmp_path: Path) -> None:
    assert fault("--config", str(tmp_path / "no.yaml")).endswith(
        "no.yaml: cannot read it: No such file or directory"
    )
    assert "live.yaml:2: not valid YAML" in fault("--config", write("unit: 1\nlayer: ["))
    assert "`key: value` lines" in fault("--config", write("- stream"))
    (tmp_path / "film.mp4").write_bytes(b"\xff\xd8\x00")
    assert fault("--config", str(tmp_path / "film.mp4")).endswith("a config is YAML")
    assert fault("--config") == "--config: give a YAML file"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--netwrk vgg16", "--netwrk: unknown flag; nearest is '--network'"),
        ("--netwrk=vgg16", "--netwrk=vgg16: unknown flag; nearest is '--network'"),
        ("--lo", "--lo: unknown flag; nearest is '--loop'"),
        ("film.mp4", "'film.mp4' belongs to no flag; is --stream film.mp4 meant?"),
        ("--unit x", "--unit: 'x' cannot be used; give a whole number from 0"),
        ("--frames=0", "--frames: '0' cannot be used; give a whole number from 1"),
        ("--unit", "--unit: a value is missing; give a whole number from 0"),
        ("--view", "--view: a value is missing; give window or none"),
        ("--dtype bfloat61", "--dtype: unknown value 'bfloat61'; nearest is 'bfloat16'"),
        ("--list netwrks", "--list: unknown value 'netwrks'; nearest is 'networks'"),
        ("--position 3", "--position: '3' cannot be used; give row and column such as 3,5"),
    ],
)
def test_faults_on_the_command_line_name_the_flag(argv: str, message: str) -> None:
    assert fault(*argv.split()).startswith(message)


def test_a_misplaced_uri_does_not_show_its_password() -> None:
    text = fault("rtsp://user:secret@camera/stream")
    assert "secret" not in text
    assert "camera/stream" in text


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_ready_config_loads_and_changes_something(path: Path) -> None:
    assert parse("--config", str(path)) != Config()


def test_the_ready_configs_say_what_their_names_promise() -> None:
    def ready(name: str) -> Config:
        return parse("--config", str(ROOT / "configs" / f"{name}.yaml"))

    assert ready("webcam").input.stream == "0"
    assert ready("rtsp").input.stream.startswith("rtsp://")
    headless = ready("headless-recording")
    assert (headless.output.view, headless.output.record is not None) == ("none", True)
    assert ready("gpu-half").compute.dtype == "float16"
    assert ready("gpu-half").compute.device == "cuda"


def test_no_two_parts_share_a_flag() -> None:
    names = [name for part in PARTS for name in part.__dataclass_fields__]
    assert len(names) == len(set(names))


def test_help_is_grouped_and_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse("--help")
    assert left.value.code == 0
    text = capsys.readouterr().out
    for part in PARTS:
        assert (part.__doc__ or "").rstrip(".") + ":" in text
        for name in part.__dataclass_fields__:
            assert "--" + name.rstrip("_").replace("_", "-") in text
    assert max(map(len, text.splitlines())) <= 96


def test_help_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys\nfrom rtvis.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'timm', 'torchvision', 'cv2'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_scale_of_the_screen_and_the_outlines_of_panes_are_flags() -> None:
    argv = ["--ui-scale", "1.5", "--show-panes"]
    config = parse_config(Config, argv, prog="rtvis", description="")
    assert (config.output.ui_scale, config.output.show_panes) == (1.5, True)
    for wrong in ("0.5", "4", "nan", "large"):
        with pytest.raises(ConfigError, match=r"--ui-scale: .* give a number from 0.75 to 3"):
            parse_config(Config, ["--ui-scale", wrong], prog="rtvis", description="")
