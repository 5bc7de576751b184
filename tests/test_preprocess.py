"""Pictures become network input exactly as torchvision would have made it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from rtvis.engine.networks import preprocess
from rtvis.engine.networks.model_config import from_config
from rtvis.engine.networks.preprocess import Cover, Interpolation, Preprocessing

SAMPLES = Path(__file__).parents[1] / "sample_images"
MODES: dict[Interpolation, InterpolationMode] = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
}


def picture(height: int, width: int) -> Tensor:
    """Waves and hard edges: smooth parts, and something for antialiasing to bite on."""
    row = np.arange(height)[:, None]
    column = np.arange(width)[None, :]
    red = 127 + 120 * np.sin(row / 9 + column / 23)
    green = 255 * ((row // 5 + column // 7) % 2)
    blue = (row * 3 + column * 5) % 256 * np.ones_like(red)
    return torch.from_numpy(np.stack([red, green, blue], axis=2).astype(np.uint8))


def reference(image_HW3: Tensor, prep: Preprocessing) -> Tensor:
    """PIL's resize and torchvision's crop, in 0..255 before normalisation.

    Columns first, then rows, as torch and Pillow up to 12 do it. Pillow 13 takes the cheaper order;
    where a cubic overshoots hard edges this changes single pixels by up to 16 levels.
    """
    rows, columns = prep.resized_size(*image_HW3.shape[:2])
    kind = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    resample = kind[prep.interpolation]
    narrow = Image.fromarray(image_HW3.numpy()).resize((columns, image_HW3.shape[0]), resample)
    resized = transforms.PILToTensor()(narrow.resize((columns, rows), resample))
    cropped_3HW: Tensor = transforms.CenterCrop(prep.size)(resized)
    return cropped_3HW.float()


def levels(prep: Preprocessing, input_1CHW: Tensor) -> Tensor:
    """Undo the normalisation by its definition, to compare in grey levels."""
    mean = torch.tensor(prep.mean)[:, None, None]
    std = torch.tensor(prep.std)[:, None, None]
    return (input_1CHW[0] * std + mean) * 255.0


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("height", "width"), [(272, 640), (720, 1280), (481, 333), (90, 121), (225, 224), (33, 57)]
)
def test_kernel_equals_torchvision_on_pil_within_a_rounding(
    kind: Interpolation, height: int, width: int
) -> None:
    prep = Preprocessing(interpolation=kind)
    image_HW3 = picture(height, width)
    difference = (levels(prep, prep.apply(image_HW3)) - reference(image_HW3, prep)).abs()
    assert difference.max() <= 2.001  # rarely two: intermediate rounding
    assert difference.mean() < 0.02


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", [256, (224, 224), (250, 300)])
@pytest.mark.parametrize(("height", "width"), [(272, 640), (720, 1280), (481, 333), (33, 57)])
def test_matrices_equal_torchvision_on_pil_within_a_rounding(
    kind: Interpolation,
    resize: int | tuple[int, int],
    height: int,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preprocess, "_MAX_WASTE", 0.0)
    prep = Preprocessing(interpolation=kind, resize=resize)
    image_HW3 = picture(height, width)
    difference = (levels(prep, prep.apply(image_HW3)) - reference(image_HW3, prep)).abs()
    # PIL's weights have 22 bits and its two passes round on their own: one level each at most.
    assert difference.max() <= 2.001
    assert difference.mean() < 0.05


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", [256, (224, 224)])
@pytest.mark.parametrize("name", ["china.jpg", "coffee.jpg"])
def test_a_photograph_goes_through_torchvisions_own_pipeline_alike(
    kind: Interpolation, resize: int | tuple[int, int], name: str
) -> None:
    prep = Preprocessing(interpolation=kind, resize=resize)
    photograph = Image.open(SAMPLES / name).convert("RGB")
    pipeline = transforms.Compose(
        [
            transforms.Resize(resize, interpolation=MODES[kind]),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(prep.mean, prep.std),
        ]
    )
    expected_3HW: Tensor = pipeline(photograph)
    input_13HW = prep.apply(torch.from_numpy(np.asarray(photograph).copy()))
    difference = (input_13HW[0] - expected_3HW).abs() * 0.225 * 255
    assert difference.mean() < 0.02
    assert difference.max() < 6.0  # where a cubic overshoots; see `reference`


def test_a_flat_picture_becomes_the_hand_worked_number_everywhere() -> None:
    prep = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.5), size=(4, 6), resize=8)
    image_HW3 = torch.empty(9, 13, 3, dtype=torch.uint8)
    image_HW3[..., 0], image_HW3[..., 1], image_HW3[..., 2] = 255, 0, 51
    input_13HW = prep.apply(image_HW3)
    assert input_13HW.shape == (1, 3, 4, 6)
    # (1 - .5) / .5 = 1; (0 - .5) / .25 = -2; (.2 - .5) / .5 = -.6
    for channel, value in enumerate((1.0, -2.0, -0.6)):
        torch.testing.assert_close(input_13HW[0, channel], torch.full((4, 6), value))


def test_channels_stay_red_green_blue() -> None:
    image_HW3 = torch.zeros(300, 300, 3, dtype=torch.uint8)
    image_HW3[..., 0] = 200
    input_13HW = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1)).apply(image_HW3)
    assert input_13HW[0, 0].mean() > 0.78
    assert input_13HW[0, 1:].abs().max() < 1e-6


def test_result_is_channels_last_float32_and_the_picture_is_untouched() -> None:
    image_HW3 = picture(100, 130)
    before = image_HW3.clone()
    input_13HW = Preprocessing().apply(image_HW3)
    assert input_13HW.dtype == torch.float32
    assert input_13HW.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(image_HW3, before)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (5000, 3), (2, 9000)])
def test_tiny_and_very_long_pictures_work_and_keep_their_range(height: int, width: int) -> None:
    prep = Preprocessing(interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1))
    image_HW3 = torch.full((height, width, 3), 102, dtype=torch.uint8)
    input_13HW = prep.apply(image_HW3)
    assert input_13HW.shape == (1, 3, 224, 224)
    torch.testing.assert_close(input_13HW, torch.full_like(input_13HW, 0.4))


def test_crop_is_the_middle_in_source_pixels() -> None:
    # 512 x 1024 becomes 256 x 512; the crop takes 224 x 224 from (16, 144): twice that in source.
    crop = Preprocessing().crop_of(512, 1024)
    assert (crop.top, crop.left, crop.height, crop.width) == (32.0, 288.0, 448.0, 448.0)


def test_a_crop_of_a_squeezed_picture_counts_its_rows_by_their_own_scale() -> None:
    prep = Preprocessing(size=(10, 10), resize=(20, 10))
    crop = prep.crop_of(40, 40)  # two rows of the picture are one, four columns are
    assert (crop.top, crop.left, crop.height, crop.width) == (10, 0, 20, 40)


def test_of_two_channels_the_first_is_drawn() -> None:
    prep = Preprocessing(size=(1, 1), num_channels=2, mean=(0.0, 0.0), std=(1.0, 1.0))
    assert prep.to_pictures(torch.tensor([[[[0.2]], [[0.8]]]])).tolist() == [[[[51, 51, 51]]]]


def test_crop_with_changed_aspect_ratio_covers_everything() -> None:
    crop = Preprocessing(resize=(224, 224)).crop_of(100, 333)
    assert (crop.top, crop.left, crop.height, crop.width) == (0.0, 0.0, 100.0, 333.0)


def test_crop_rectangle_is_what_apply_looks_at() -> None:
    prep = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1))
    crop = prep.crop_of(480, 640)
    image_HW3 = torch.zeros(480, 640, 3, dtype=torch.uint8)
    top, left = int(crop.top) + 6, int(crop.left) + 6
    bottom, right = int(crop.top + crop.height) - 6, int(crop.left + crop.width) - 6
    image_HW3[top:bottom, left:right] = 255
    input_13HW = prep.apply(image_HW3)
    assert input_13HW[..., 8:-8, 8:-8].min() > 0.99
    assert input_13HW[..., 0, :].max() < 0.01
    assert input_13HW[..., :, -1].max() < 0.01


def test_a_wide_input_is_covered_where_the_short_side_would_not_reach() -> None:
    prep = Preprocessing(size=(64, 320), resize=80)
    # 100 x 200 would become 80 x 160, less than 320 wide: so 160 x 320.
    assert prep.resized_size(100, 200) == (160, 320)
    assert prep.apply(picture(100, 200)).shape == (1, 3, 64, 320)
    crop = prep.crop_of(100, 200)
    assert (crop.top, crop.left, crop.height, crop.width) == (30.0, 0.0, 40.0, 200.0)


def test_another_size_keeps_the_part_of_the_picture_that_is_seen() -> None:
    prep = Preprocessing().with_size((448, 448))
    assert prep.resize == 512
    assert prep.crop_of(512, 1024) == Preprocessing().crop_of(512, 1024)
    assert Preprocessing(resize=(224, 448)).with_size((112, 112)).resize == (112, 224)


def test_a_short_side_for_an_input_that_is_not_square_is_that_of_its_longer_side() -> None:
    wide = Preprocessing(size=(100, 200), resize=250)
    assert wide.with_size((40, 80)).resize == Cover(50, 100), "a quarter more than the input"


def test_an_input_that_is_not_square_sees_as_much_as_timm_lets_it() -> None:
    # 0.875 of the picture is seen: 256 and 512 of 293 and 585 pixels, which 640x360 covers just so.
    prep = Preprocessing().with_size((256, 512))
    assert prep.resized_size(360, 640) == (329, 585)
    crop = prep.crop_of(360, 640)
    assert (crop.height / 360, crop.width / 640) == pytest.approx((256 / 329, 512 / 585))
    theirs = create_transform(input_size=(3, 256, 512), crop_pct=0.875, crop_mode="center")
    resized = theirs.transforms[0](Image.new("RGB", (640, 360)))
    assert (resized.height, resized.width) == (329, 585)
    of_timm = from_config({"input_size": (3, 256, 512), "crop_pct": 0.875}, name="net")
    assert of_timm.resized_size(360, 640) == (329, 585)
    # And back: what it sees of a square picture does not drift.
    assert prep.with_size((224, 224)) == Preprocessing(resize=256)


def test_one_channel_is_the_luminance() -> None:
    prep = Preprocessing(num_channels=1, mean=(0.0,), std=(1.0,))
    image_HW3 = torch.zeros(20, 20, 3, dtype=torch.uint8)
    image_HW3[..., 1] = 100
    # 0.587 * 100 = 58.7, rounded as PIL does.
    torch.testing.assert_close(prep.apply(image_HW3), torch.full((1, 1, 224, 224), 59 / 255))


def test_flipping_the_picture_flips_the_input() -> None:
    prep = Preprocessing(interpolation="bicubic")
    image_HW3 = picture(300, 301)
    flipped = prep.apply(image_HW3.flip(1)).flip(3)
    # The crop of an odd remainder rounds to one side, so choose sizes where nothing remains.
    assert (prep.resized_size(300, 301)[1] - 224) % 2 == 0
    assert ((flipped - prep.apply(image_HW3)).abs() * 0.225 * 255).max() <= 1.01


def test_a_batch_is_its_pictures_one_by_one() -> None:
    prep = Preprocessing()
    pictures = [picture(60, 90), picture(300, 200)]
    batch_B3HW = prep.apply_batch(pictures)
    assert batch_B3HW.shape == (2, 3, 224, 224)
    assert batch_B3HW.is_contiguous(memory_format=torch.channels_last)
    for index, image_HW3 in enumerate(pictures):
        assert torch.equal(batch_B3HW[index : index + 1], prep.apply(image_HW3))


def test_normalisation_is_undone() -> None:
    prep = Preprocessing(size=(5, 5), resize=5)
    image_HW3 = picture(5, 5)
    seen_13HW = prep.to_unit_range(prep.apply(image_HW3))
    torch.testing.assert_close(seen_13HW[0].permute(1, 2, 0) * 255, image_HW3.float())


def test_first_use_under_inference_mode_leaves_no_inference_tensor_behind() -> None:
    prep = Preprocessing(mean=(0.11, 0.12, 0.13), std=(0.2, 0.3, 0.4))
    with torch.inference_mode():
        prep.apply(picture(30, 30))
    input_13HW = prep.apply(picture(30, 30)).requires_grad_()
    input_13HW.sum().backward()  # type: ignore[no-untyped-call]
    assert input_13HW.grad is not None


@pytest.mark.cuda
@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_cuda_equals_cpu_and_never_waits(kind: Interpolation) -> None:
    prep = Preprocessing(interpolation=kind)
    image_HW3 = picture(720, 1280)
    on_device = image_HW3.cuda()
    prep.apply(on_device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        input_13HW = prep.apply(on_device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    difference = (input_13HW.cpu() - prep.apply(image_HW3)).abs() * 0.229 * 255
    assert difference.max() <= 2.01
    assert difference.mean() < 0.05
