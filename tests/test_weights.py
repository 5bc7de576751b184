"""Weights files: read safely, matched by name, refused in one readable line."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from rtvis.engine.networks.models import load_network
from rtvis.engine.networks.weights import load_into, match_prefixes, num_classes_in, read_checkpoint
from rtvis.errors import WeightsError


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def numbered(model: nn.Module, start: float = 0.0) -> dict[str, Tensor]:
    """A state dict whose tensors are all different, and known."""
    state = model.state_dict()
    return {
        key: torch.full_like(value, start + index)
        for index, (key, value) in enumerate(state.items())
    }


def assert_loaded(model: nn.Module, start: float = 0.0) -> None:
    expected = numbered(model, start)
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected[key]), key


@pytest.mark.parametrize("kind", ["safetensors", "torch", "legacy torch"])
def test_a_state_dict_arrives_whole(kind: str, tmp_path: Path) -> None:
    state, path = numbered(net(), 3.0), str(tmp_path / "weights")
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "torch")
    model = net()
    load_into(model, read_checkpoint(path), name="net")
    assert_loaded(model, 3.0)


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "_orig_mod.", "module.model.", "net.module."]
)
def test_prefixes_of_training_wrappers_are_taken_off(prefix: str, tmp_path: Path) -> None:
    path = str(tmp_path / "weights.pt")
    torch.save({prefix + key: value for key, value in numbered(net()).items()}, path)
    model = net()
    load_into(model, read_checkpoint(path), name="net")
    assert_loaded(model)


def test_a_prefix_that_only_the_network_has_is_put_on() -> None:
    outer = nn.ModuleDict({"body": net()})
    matched = match_prefixes(numbered(net()), outer.state_dict())
    assert set(matched) == set(outer.state_dict())


def test_a_prefix_that_the_network_has_itself_stays() -> None:
    outer = nn.ModuleDict({"model": net()})
    state = numbered(outer)
    assert match_prefixes(state, outer.state_dict()) == state


@pytest.mark.parametrize("keys", [["state_dict"], ["model"], ["checkpoint", "state_dict"], ["ema"]])
def test_nested_training_checkpoints_are_unpacked(keys: list[str], tmp_path: Path) -> None:
    if keys[0] == "checkpoint":
        keys = ["model", "state_dict"]
    held: object = numbered(net())
    for key in reversed(keys):
        held = {key: held, "epoch": 7, "classes": ["cat", "dog"]}
    path = str(tmp_path / "training.pt")
    torch.save(held, path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.metadata["classes"] == ["cat", "dog"]
    model = net()
    load_into(model, checkpoint, name="net")
    assert_loaded(model)


def test_half_precision_weights_become_the_models_own_dtype(tmp_path: Path) -> None:
    path = str(tmp_path / "half.safetensors")
    save_file(
        {k: v.half() if v.is_floating_point() else v for k, v in numbered(net()).items()}, path
    )
    model = net()
    load_into(model, read_checkpoint(path), name="net")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert_loaded(model)


def test_batch_counters_may_be_missing(tmp_path: Path) -> None:
    state = {k: v for k, v in numbered(net()).items() if "num_batches" not in k}
    path = str(tmp_path / "weights.pt")
    torch.save(state, path)
    load_into(net(), read_checkpoint(path), name="net")


def test_weights_of_another_network_are_refused_with_counts_and_examples(tmp_path: Path) -> None:
    state = numbered(net())
    del state["0.bias"]
    state["9.weight"] = torch.zeros(1)
    state["3.weight"] = torch.zeros(5, 4)
    path = str(tmp_path / "other.pt")
    torch.save(state, path)
    model = net()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_into(model, read_checkpoint(path), name="mynet")
    assert str(caught.value) == (
        f"{path}: not the weights of mynet: 7 of 9 tensors fit; 1 missing (0.bias), "
        "1 unexpected (9.weight), 1 of another shape (3.weight is 5x4 instead of 2x4)"
    )
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), "a refused file must leave nothing behind"


def test_a_deeper_relative_whose_names_and_shapes_all_fit_is_refused_too(tmp_path: Path) -> None:
    # resnet34 holds every tensor of resnet18 in the right shape, and more: a trap for strict=False.
    from torchvision.models import resnet34

    path = str(tmp_path / "resnet34.pt")
    torch.save(resnet34(weights=None).state_dict(), path)
    with pytest.raises(WeightsError, match=r"resnet18: .* unexpected \(layer1\.2\.conv1\.weight"):
        load_network("resnet18", weights=path)


def test_the_number_of_classes_follows_fine_tuned_weights(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    tuned = resnet18(weights=None, num_classes=3)
    path = str(tmp_path / "tuned.pt")
    torch.save({"state_dict": tuned.state_dict(), "classes": ["ant", "bee", "wasp"]}, path)
    network = load_network("ResNet18", weights=path)
    assert network.labels == ("ant", "bee", "wasp")
    assert network.weights_note == "weights tuned.pt"
    picture_13HW = torch.rand(1, 3, 64, 64)
    assert torch.equal(network.model(picture_13HW), tuned.eval()(picture_13HW))


def test_only_a_different_head_counts_as_fine_tuned() -> None:
    model = net()
    state = numbered(model)
    assert num_classes_in(state, model, 2) is None
    head = state | {"3.weight": torch.zeros(7, 4), "3.bias": torch.zeros(7)}
    assert num_classes_in(head, model, 2) == 7
    assert num_classes_in(head | {"3.bias": torch.zeros(6)}, model, 2) is None
    assert num_classes_in(head | {"0.bias": torch.zeros(7)}, model, 2) is None


def refused(path: Path, **options: bool) -> str:
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(str(path), **options)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


def test_files_that_are_no_weights_say_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    assert refused(path) == "cannot read weights: No such file or directory"
    path.write_bytes(b"")
    assert refused(path) == "the file is empty"
    path.write_text("Hello, I am text\nand more")
    assert refused(path) == (
        "not a weights file (it begins with 'Hello, I am text'); "
        "give safetensors, or a state dict saved by torch.save"
    )
    assert refused(tmp_path).startswith("is a folder")


def test_damaged_files_are_told_from_wrong_ones(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    torch.save(numbered(net()), path)
    path.write_bytes(path.read_bytes()[:700])
    assert refused(path).startswith("damaged or cut short: ")
    save_file(numbered(net()), path)
    path.write_bytes(path.read_bytes()[:-8])
    assert refused(path).startswith("damaged or cut short: ")


def test_a_file_without_tensors_tells_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "log.pt"
    torch.save({"epoch": 3, "loss": 0.5}, path)
    assert refused(path) == "no state dict in it, but a dict with the keys epoch, loss"
    torch.save([1, 2], path)
    assert refused(path) == "no state dict in it, but a list"


class Harmful:
    """Unpickled, it would leave a mark."""

    mark: Path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.mark,)


def test_code_in_a_pickle_does_not_run_unless_it_is_trusted(tmp_path: Path) -> None:
    Harmful.mark = tmp_path / "mark"
    path = tmp_path / "evil.pt"
    torch.save({"state_dict": numbered(net()), "extra": Harmful()}, path)
    assert refused(path).startswith("holds pickled objects (")
    assert not Harmful.mark.exists()
    path.write_bytes(pickle.dumps(Harmful(), protocol=4))
    assert refused(path).startswith("holds pickled objects (Unsupported operand 149)")
    assert not Harmful.mark.exists()


def test_a_trusted_pickled_model_gives_its_weights(tmp_path: Path) -> None:
    model = net()
    model.load_state_dict(numbered(model, 1.0))
    path = tmp_path / "whole.pt"
    torch.save(model, path)
    assert "--trust-pickle" in refused(path)
    other = net()
    load_into(other, read_checkpoint(str(path), trust_pickle=True), name="net")
    assert_loaded(other, 1.0)
