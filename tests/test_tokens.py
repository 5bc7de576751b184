"""Tokens as maps: put back in their place, however the network lays them out."""

import pytest
import timm
import torch
from torch import Tensor, nn

from rtvis.data import Intervention, Layer, Selection
from rtvis.engine.engine import Engine
from tests.nets import engine_of, seeded
from tests.references import (
    one_thread,  # noqa: F401 - a fixture
    relative_error,
    tapped,
)

pytestmark = pytest.mark.apart

_SWIN = {"depths": (2, 2), "num_heads": (3, 6)}
# Small inputs and few blocks: what matters is how tokens are laid out.
NETS: dict[str, dict[str, object]] = {
    "vit_tiny_patch16_224": {"img_size": 64, "depth": 4},
    "deit3_small_patch16_224": {"img_size": 64, "depth": 2},
    "swin_tiny_patch4_window7_224": {"img_size": 112, **_SWIN},
    "swinv2_tiny_window8_256": {"img_size": 128, **_SWIN},
    "pvt_v2_b0": {"img_size": 64},
    "mixer_s32_224": {
        "img_size": 64,
    },
    "xcit_nano_12_p16_224": {"img_size": 64, "depth": 2, "cls_attn_layers": 1},
    "levit_128s": {"img_size": 224},
    "vit_small_patch14_reg4_dinov2": {"img_size": 56, "depth": 4, "num_classes": 10},
}


# These take any size, and no such flag.
UNSIZED = {("pvt_v2_b0", "img_size"), ("levit_128s", "img_size")}


def side_of(name: str) -> int:
    """Height and width of a network's input."""
    side = NETS[name]["img_size"]
    assert isinstance(side, int)
    return side


def build(name: str) -> nn.Module:
    """The network, random but seeded, in float64."""
    torch.manual_seed(0)
    flags = {k: v for k, v in NETS[name].items() if (name, k) not in UNSIZED}
    model = timm.create_model(name, **flags).eval().double()
    for parameter in model.parameters():
        parameter.requires_grad_(requires_grad=False)
        if parameter.ndim > 1:  # timm begins with weights so small that all tokens are alike
            parameter.normal_(0.0, 2.0 * parameter[0].numel() ** -0.5)
    return model


@pytest.fixture(scope="module", params=list(NETS))
def case(request: pytest.FixtureRequest) -> tuple[str, nn.Module, Engine]:
    model = build(request.param)
    return request.param, model, engine_of(model, side_of(request.param), dtype="float64")


def token_maps(engine: Engine) -> list[Layer]:
    return [layer for layer in engine.layers if layer.kind == "dense" and layer.map_size[0] > 1]


def hooked(model: nn.Module, layer: str, x: Tensor) -> Tensor | None:
    """A dense layer's output [..., C] in the order of its tokens; None if it is not called."""
    with tapped(model, layer) as outputs:
        model(x)
    return outputs[0] if outputs else None


def test_a_map_and_the_tokens_beside_it_are_just_what_the_layer_computes(case) -> None:
    name, model, engine = case
    torch.manual_seed(2)
    x = torch.randn(1, 3, side_of(name), side_of(name), dtype=torch.float64)
    layers = token_maps(engine)
    names = {layer.name for layer in engine.layers}
    num_seen = 0
    for layer in (layers[0], layers[1], layers[len(layers) // 2], layers[-1]):
        output = hooked(model, layer.name, x)
        if output is None:  # Swin V2 adds a bias to its qkv without calling it
            continue
        output = output.reshape(-1, layer.num_units)
        num_seen += 1
        found = [engine.run(x, Selection(layer=layer.name)).maps_BCHW[0].flatten(1).T]
        if f"{layer.name}:tokens" in names:
            rest = engine.run(x, Selection(layer=f"{layer.name}:tokens")).maps_BCHW[0]
            found.append(rest.flatten(1).T)
        ours = torch.cat(found)
        assert ours.shape == output.shape
        # The same rows, in another order.
        nearest = torch.cdist(ours, output).argmin(1)
        assert torch.equal(nearest.sort().values, torch.arange(len(output)))
        assert relative_error(ours, output[nearest]) < 1e-9
    assert num_seen >= 3


def make_local(model: nn.Module) -> None:
    """Silence whatever lets one token see another: each then depends on its own pixels only."""
    for name, parameter in model.named_parameters():
        last = name.rpartition(".")[0].rpartition(".")[2]
        if last in {"proj", "fc2"} and "patch_embed" not in name:
            parameter.zero_()


@pytest.mark.parametrize(
    ("name", "patch"),
    [
        ("vit_tiny_patch16_224", 16),
        ("deit3_small_patch16_224", 16),
        ("swin_tiny_patch4_window7_224", 4),
        ("swinv2_tiny_window8_256", 4),
        ("vit_small_patch14_reg4_dinov2", 14),
    ],
)
def test_each_place_of_a_map_lies_over_the_pixels_it_comes_from(name: str, patch: int) -> None:
    model = build(name)
    make_local(model)
    size = side_of(name)
    engine = engine_of(model, size, dtype="float64")
    torch.manual_seed(3)
    x = torch.randn(1, 3, size, size, dtype=torch.float64)
    layers = [layer for layer in token_maps(engine) if layer.name.endswith(("qkv", "fc1"))]
    assert {layer.stride[0] for layer in layers} >= {float(patch)}
    for layer in layers:
        height, width = layer.map_size
        side = size // height
        assert layer.stride == (side, side)
        for row, column in {(0, 0), (1 % height, width - 1), (height // 2, width // 3)}:
            selection = Selection(layer=layer.name, unit=1, position=(row, column), rule="gradient")
            picture_HW = engine.run(x, selection).backprop_B3HW[0].abs().sum(0)
            inside = torch.zeros(size, size, dtype=torch.bool)
            inside[row * side : (row + 1) * side, column * side : (column + 1) * side] = True
            assert bool((picture_HW[inside] > 0).all()), (layer.name, row, column)
            assert not picture_HW[~inside].any(), (layer.name, row, column)


def test_class_and_register_tokens_are_a_layer_of_their_own() -> None:
    engine = engine_of(build("vit_small_patch14_reg4_dinov2"), 56)
    layers = {layer.name: layer for layer in engine.layers}
    assert layers["blocks.3.attn.qkv"].map_size == (4, 4)
    assert layers["blocks.3.attn.qkv:tokens"].map_size == (1, 5)
    assert layers["blocks.3.attn.qkv:tokens"].num_units == 3 * 384


def test_the_gradient_of_a_neuron_is_its_slope(case) -> None:
    """By finite differences of the untouched model.

    Not by autograd: where a batch norm's gradient arrives transposed, as behind a convolution that
    makes tokens, torch 2.15 computes another one in float64 (XCiT and LeViT: wrong by 200 %).
    """
    name, model, engine = case
    torch.manual_seed(4)
    x, direction = torch.randn(2, 1, 3, side_of(name), side_of(name), dtype=torch.float64)
    step = 1e-7 * direction
    layers = token_maps(engine)
    for layer in (layers[0], layers[len(layers) // 2], layers[-1]):
        if (before := hooked(model, layer.name, x - step)) is None:
            continue
        after = hooked(model, layer.name, x + step)
        assert after is not None
        selection = Selection(layer=layer.name, unit=2, rule="gradient")
        ours = engine.run(x, selection)
        middle = (before + after).reshape(-1, layer.num_units)[:, 2] / 2
        token = int((middle - ours.value_B.double()).abs().argmin())
        slopes = (after - before).reshape(-1, layer.num_units)[:, 2] / 2e-7
        found = float((ours.backprop_B3HW * direction).sum())
        assert found == pytest.approx(float(slopes[token]), rel=1e-4)
        assert found != pytest.approx(0.0)


def test_the_cam_is_taken_at_a_map_that_the_scores_depend_on(case) -> None:
    name, _model, engine = case
    torch.manual_seed(5)
    x = torch.randn(1, 3, side_of(name), side_of(name), dtype=torch.float64)
    layer = engine.default_cam_layer
    assert layer.map_size[0] > 1
    found = engine.run(x, Selection(cam="hirescam")).cam_BHW
    assert found.shape[1:] == layer.map_size
    assert found.any() or engine.run(x, Selection(cam="hirescam", class_index=1)).cam_BHW.any()


class _Positions(nn.Module):
    """Adds to the patches in place, and not to the class token, as MViTv2 does."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.mix = nn.Linear(8, 8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(len(x), -1, -1), patches), dim=1)
        x[:, 1:] += patches.sin()
        return self.fc(self.mix(x).mean(1))


def test_tokens_that_are_partly_written_over_stay_in_their_places() -> None:
    model = seeded(_Positions).double()
    engine = engine_of(model, (12, 20), dtype="float64")
    assert [(each.name, each.map_size) for each in engine.layers] == [
        ("embed", (3, 5)),
        ("mix", (3, 5)),
        ("mix:tokens", (1, 1)),
        ("fc", (1, 1)),
    ]
    x = torch.randn(1, 3, 12, 20, dtype=torch.float64)
    selection = Selection(layer="mix", unit=3, position=(2, 1), rule="gradient")
    found = engine.run(x, selection).backprop_B3HW
    elsewhere = found.clone()
    elsewhere[:, :, 8:12, 4:8] = 0
    assert found.any()
    assert not elsewhere.any()


def test_with_a_class_token_the_cam_lies_below_the_last_attention() -> None:
    engine = engine_of(build("vit_tiny_patch16_224"), 64)
    assert engine.default_cam_layer.name == "blocks.3.attn.qkv"


@pytest.mark.parametrize("layer", ["self_attention.in_proj", "self_attention.out_proj", "mlp.0"])
def test_pictures_of_a_batch_keep_their_own_tokens(layer: str) -> None:
    """torch's own attention lays its rows token by token, each for all pictures."""
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    model = VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=24,
        num_classes=4,
    )  # fmt: skip
    torch.nn.init.normal_(model.heads.head.weight)
    engine = engine_of(model.eval().double(), 32, dtype="float64")
    x = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    name = f"encoder.layers.encoder_layer_0.{layer}"
    change = Intervention(layer=name, unit=1, scale=0.5, offset=0.25)
    for interventions in ((), (change,)):
        selection = Selection(
            layer=name, unit=2, position=(1, 3), interventions=interventions, class_index=1
        )
        together = engine.run(x, selection)
        assert together.maps_BCHW.shape[2:] == (4, 4)
        for index in range(3):
            alone = engine.run(x[index : index + 1], selection)
            for field in ("scores_BK", "maps_BCHW", "backprop_B3HW", "cam_BHW"):
                ours, want = getattr(together, field)[index], getattr(alone, field)[0]
                assert torch.allclose(ours, want, rtol=1e-6, atol=1e-9), field


class Unfolded(nn.Module):
    """Patches of 4 x 4 pixels as tokens, as TNT cuts them out, with pixels in the way."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Conv2d(3, 2, 2, stride=2)  # of each patch alone
        self.token = nn.Linear(8, 5)
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        patches = nn.functional.unfold(x, 4, stride=4).transpose(1, 2)
        batch, count, _ = patches.shape
        pixels = self.pixels(patches.reshape(batch * count, 3, 4, 4))
        return self.head(self.token(pixels.reshape(batch, count, 8)).relu().mean(1))


def test_patches_that_were_unfolded_lie_where_they_were_cut_out() -> None:
    torch.manual_seed(0)
    model = Unfolded().eval().double().requires_grad_(requires_grad=False)
    engine = engine_of(model, (8, 12), dtype="float64")
    (layer,) = token_maps(engine)
    assert (layer.name, layer.map_size, layer.stride) == ("token", (2, 3), (4, 4))
    x = torch.randn(1, 3, 8, 12, dtype=torch.float64)
    selection = Selection(layer="token", unit=1, position=(1, 2), rule="gradient")
    picture_HW = engine.run(x, selection).backprop_B3HW[0].abs().sum(0)
    assert bool((picture_HW[4:, 8:] > 0).all())
    picture_HW[4:, 8:] = 0
    assert not picture_HW.any()
