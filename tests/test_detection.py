"""Detection models: the scores that boxes are chosen by, and a CAM for the place of one."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rtvis.data import Selection
from rtvis.engine.networks import zoo_dense
from rtvis.engine.networks.detection import (
    DetectionScores,
    detection_preprocessing,
    is_two_stage,
)
from tests.nets import engine_of, seeded
from tests.references import (
    one_thread,  # noqa: F401 - a fixture
    relative_error,
    tapped,
)

SIZE = (12, 20)
ANCHORS = (2, 3, 2)


class Trunk(nn.Module):
    """Levels of 6x10, 3x5 and 2x3."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, stride=2, padding=1),
        )
        self.extra = nn.Conv2d(4, 4, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        fine = self.body[0](x).relu()
        coarse = self.body[2](fine).relu()
        return {"0": fine, "1": coarse, "2": self.extra(coarse).relu()}


class Proposing(nn.Module):
    """As R-CNN: of each level one score for "an object" of each of three anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Trunk()
        self.rpn = nn.Module()
        self.rpn.head = _Objects()


class _Objects(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.objectness = nn.Conv2d(4, 3, 1)

    def forward(self, levels: list[Tensor]) -> tuple[list[Tensor], None]:
        return [self.objectness(level) for level in levels], None


class Classifying(nn.Module):
    """As SSD: of each level five scores of each anchor, all levels in one list."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Trunk()
        self.head = nn.Module()
        self.head.classification_head = _Classes()
        self.anchor_generator = SimpleNamespace(num_anchors_per_location=lambda: [*ANCHORS])


class _Classes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(4, count * 5, 1) for count in ANCHORS)

    def forward(self, levels: list[Tensor]) -> Tensor:
        parts = [
            conv(level).permute(0, 2, 3, 1).reshape(len(level), -1, 5)
            for conv, level in zip(self.convs, levels, strict=True)
        ]
        return torch.cat(parts, dim=1)


def scores_at(model: Any, x: Tensor, row: int, column: int) -> Tensor:
    """[B, K]: the best of any anchor of any level at a place of the finest one, by indexing."""
    found = []
    for level, part in enumerate(model.backbone(x).values()):
        r, c = row * part.shape[2] // 6, column * part.shape[3] // 10
        if is_two_stage(model):
            each_BA = model.rpn.head.objectness(part)[:, :, r, c]
            found.append(each_BA.amax(dim=1, keepdim=True))
        else:
            each_BN = model.head.classification_head.convs[level](part)[:, :, r, c]
            found.append(each_BN.reshape(len(x), ANCHORS[level], 5).amax(dim=1))
    return torch.stack(found).amax(dim=0)


@pytest.mark.parametrize(("make", "class_index"), [(Proposing, 0), (Classifying, 3)])
def test_a_clicked_place_has_its_best_anchor_s_scores_and_their_cam(
    make: type[nn.Module], class_index: int
) -> None:
    model = seeded(make, seed=5).double()
    engine = engine_of(DetectionScores(model), SIZE, dtype="float64")
    assert engine.output_size == (6, 10)
    assert engine.default_cam_layer.name == "backbone.body.2"
    assert engine.num_classes == (1 if make is Proposing else 5)
    generator = torch.Generator().manual_seed(1)
    x = 2 * torch.randn(1, 3, *SIZE, generator=generator, dtype=torch.float64)
    reached = set()
    for row, column in (divmod(place, 10) for place in range(0, 60, 7)):
        for layer in ("backbone.body.0", "backbone.body.2", "backbone.extra"):
            with tapped(model, layer) as outputs:
                score = scores_at(model, x.clone().requires_grad_(), row, column)
            selection = Selection(
                region=(row, column, 1, 1), class_index=class_index, cam_layer=layer, cam="layercam"
            )
            found = engine.run(x, selection)
            assert relative_error(found.scores_BK.double(), score.detach()) < 1e-6
            (grads,) = torch.autograd.grad(
                score[0, class_index], outputs[0], allow_unused=True, materialize_grads=True
            )
            expected_BHW = (grads.relu() * outputs[0].detach()).sum(dim=1).relu()
            apart = (found.cam_BHW.double() - expected_BHW).abs().amax()
            assert apart <= 1e-6 * expected_BHW.amax()
            reached.add((layer, bool(grads.any())))
    # At some places an anchor of the finest level is the best, at others one of the coarsest.
    assert ("backbone.body.2", False) in reached
    assert ("backbone.extra", True) in reached


def test_one_score_for_an_object_is_called_so_and_classes_by_their_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transform = SimpleNamespace(
        min_size=(300,), fixed_size=None, image_mean=[0.0] * 3, image_std=[1.0] * 3
    )
    for make, wanted, expected in (
        (Proposing, None, (("an object",), 1)),
        (Classifying, None, (("a", "b"), 2)),
        (Classifying, 2, (("a", "b"), 2)),
        (Classifying, 7, (None, 7)),
    ):
        model = make()
        model.transform = transform
        made = model, SimpleNamespace(meta={"categories": ["a", "b"]}), wanted or 2
        monkeypatch.setattr(zoo_dense, "_built", lambda *_, made=made, **__: made)
        scores, prep, *told = zoo_dense.build_detection("x", pretrained=False, num_classes=wanted)
        assert isinstance(scores, DetectionScores)
        assert prep.size == (300, 300)
        assert tuple(told) == expected


def test_the_input_is_the_transform_s_fixed_size_or_a_square_of_its_shorter_side() -> None:
    def transform(**sizes: object) -> Any:
        values = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], **sizes}
        return SimpleNamespace(transform=SimpleNamespace(**values))

    # torchvision gives a fixed size as (width, height), and shorter sides as a choice.
    fixed = detection_preprocessing(transform(min_size=(300,), max_size=320, fixed_size=(320, 300)))
    assert (fixed.size, fixed.resize) == ((300, 320), 300)
    assert (fixed.mean, fixed.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    free = detection_preprocessing(transform(min_size=(640, 800), max_size=1333, fixed_size=None))
    assert (free.size, free.resize) == ((800, 800), 800)
