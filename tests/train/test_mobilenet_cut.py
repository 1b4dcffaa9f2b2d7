"""The cut MobileNetV2 against torchvision's, ImageNet weights, and cross-validation with known answers."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scipy import stats
from torch import nn

from paper2board.core.errors import UserError
from paper2board.networks.counts import macs, parameters
from paper2board.networks.imagenet import DEVIATION, MEAN
from paper2board.networks.network import Network, folded
from paper2board.networks.spec import NetworkSpec
from paper2board.networks.tensors import to_float
from paper2board.networks.torchvision_guard import torchvision
from paper2board.train.frozen_backbone import (
    HeadTraining,
    backbone,
    corrected_interval,
    cross_validate,
    frozen_features,
    stratified_folds,
    train_head,
)
from paper2board.train.imagenet_weights import SHIFT, load_imagenet
from paper2board.train.mobilenet_cut import STRIDE, cut_spec

ROOT = Path(__file__).parents[2]


class Printed(nn.Module):
    """The article's network as printed (``last_channel`` is 32)."""

    def __init__(self, classes=3, width=1.0):
        super().__init__()
        whole = torchvision.models.mobilenet_v2(weights=None, width_mult=width)
        self.features = nn.Sequential(*list(whole.features.children())[:7])
        last = self.features[-1].out_channels
        self.head = nn.Sequential(nn.Conv2d(last, 32, 1, stride=1), nn.ReLU(), nn.Dropout(0.5))
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.logits = nn.Conv2d(32, classes, 1, stride=1)

    def forward(self, x):
        return self.logits(self.pool(self.head(self.features(x)))).flatten(1)


@pytest.fixture(scope="module")
def printed():
    """The printed network with statistics that folding and copying cannot miss."""
    torch.manual_seed(0)
    network = Printed()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.3, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.5)
    return network.eval()


@pytest.fixture
def transferred(printed):
    network = Network(cut_spec((3, 96, 96), 3))
    load_imagenet(network, printed.state_dict())
    return network.eval()


def normalised(pixels):
    """uint8 pixels as torchvision's weights expect them."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return (pixels / 255 - mean) / std


# --- the network ----------------------------------------------------------------------------------------


def test_the_cut_has_the_printed_networks_parameters():
    spec = cut_spec((3, 96, 96), 3)
    assert sum(value.numel() for value in Printed().parameters()) == 56_643
    assert sum(parameters(spec, folded=False).values()) == 56_643
    assert sum(value.numel() for value in Network(spec).parameters()) == 56_643
    assert spec.shapes()["block6"] == (32, 12, 12)
    assert spec.shapes()["flatten"] == (3,)


@pytest.mark.parametrize(("side", "millions"), [(96, 20.95), (160, 58.20), (224, 114.06)])
def test_macs(side, millions):
    assert sum(macs(cut_spec((3, side, side), 3)).values()) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.4])
def test_other_widths_are_torchvisions(width):
    spec = cut_spec((3, 96, 96), 3, width=width)
    assert sum(parameters(spec, folded=False).values()) == sum(
        value.numel() for value in Printed(width=width).parameters()
    )


def test_the_centroid_head_keeps_the_cells():
    spec = cut_spec((3, 160, 96), 3, head="cells")
    assert spec.layers[-1].name == "logits"
    assert spec.shapes()["logits"] == (4, 160 // STRIDE, 96 // STRIDE)
    # One class more than the classifier: the background.
    assert sum(parameters(spec).values()) == sum(parameters(cut_spec((3, 96, 96), 3)).values()) + 33


def test_the_study_has_these_networks():
    study = yaml.safe_load((ROOT / "config/studies/fomo-mobilenetv2.yaml").read_text())
    networks = {name: NetworkSpec.model_validate(spec) for name, spec in study["networks"].items()}
    assert networks == {
        "cut-96": cut_spec((3, 96, 96), 3),
        "cut-160": cut_spec((3, 160, 160), 3),
        "narrow-96": cut_spec((3, 96, 96), 3, width=0.5),
        "fomo-96": cut_spec((3, 96, 96), 3, head="cells"),
    }


# --- ImageNet weights -----------------------------------------------------------------------------------


def test_features_are_torchvisions_of_the_shifted_image(printed, transferred):
    pixels = torch.randint(0, 256, (2, 3, 96 + SHIFT, 96 + SHIFT), dtype=torch.uint8)
    with torch.inference_mode():
        ours = backbone(transferred)(to_float(pixels[..., :96, :96]))
        theirs = printed.features(normalised(pixels[..., SHIFT:, SHIFT:].float()))
    # A cell sees 59 pixels about pixel 8i of torchvision's image, 8i + 7 of ours: for i = 4 … 7 all of them
    # lie within both.
    inside = (..., slice(4, 8), slice(4, 8))
    assert theirs[inside].std() > 0.05
    torch.testing.assert_close(ours[inside], theirs[inside], atol=2e-4, rtol=1e-3)
    assert (ours - theirs)[..., 0, 0].abs().max() > 0.002  # the border is another matter
    with torch.inference_mode():
        unmoved = printed.features(normalised(pixels[..., :96, :96].float()))
    assert (ours - unmoved)[inside].abs().max() > 0.02


def test_folding_keeps_the_transferred_function(transferred):
    pixels = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    with torch.inference_mode():
        wanted = transferred(to_float(pixels))
        torch.testing.assert_close(folded(transferred)(to_float(pixels)), wanted, atol=1e-4, rtol=1e-4)


def test_the_head_is_not_touched(printed):
    network = Network(cut_spec((3, 96, 96), 3))
    before = {name: value.clone() for name, value in network.state_dict().items() if "layers.head" in name}
    load_imagenet(network, printed.state_dict())
    assert before and all(torch.equal(network.state_dict()[name], value) for name, value in before.items())


def test_what_does_not_fit_is_refused(printed):
    narrow = Network(cut_spec((3, 96, 96), 3, width=0.5))
    with pytest.raises(UserError, match=r"layer stem does not have the shape \(32, 3, 3, 3\).*width 1"):
        load_imagenet(narrow, printed.state_dict())
    folded_already = folded(Network(cut_spec((3, 96, 96), 3)))
    with pytest.raises(UserError, match=r"layer stem .* with batch normalisation"):
        load_imagenet(folded_already, printed.state_dict())
    other = Network(
        NetworkSpec.model_validate({"input": (3, 8, 8), "layers": [{"name": "a", "op": "conv", "out": 4}]})
    )
    with pytest.raises(UserError, match="has no layer stem"):
        load_imagenet(other, printed.state_dict())
    with pytest.raises(UserError, match=r"lack features\.0\.0\.weight"):
        load_imagenet(Network(cut_spec((3, 96, 96), 3)), {})


# --- cross-validation -----------------------------------------------------------------------------------


def test_frozen_features_are_of_the_image_and_its_mirror_image(transferred):
    pixels = torch.randint(0, 256, (3, 3, 96, 96), dtype=torch.uint8)
    features = frozen_features(transferred, pixels, batch=2)
    assert features.shape == (3, 2, 32, 12, 12)
    mirrored = frozen_features(transferred, pixels.flip(3))
    torch.testing.assert_close(features[:, 1], mirrored[:, 0])
    torch.testing.assert_close(features[:, 0], mirrored[:, 1])


def test_folds_are_stratified():
    labels = np.repeat([0, 1, 2], [23, 10, 17])
    folds = stratified_folds(labels, 5, np.random.default_rng(0))
    assert np.bincount(folds).tolist() == [10] * 5
    for kind, least in ((0, 4), (1, 2), (2, 3)):
        counts = np.bincount(folds[labels == kind], minlength=5)
        assert counts.min() >= least and counts.max() <= least + 1
    again = stratified_folds(labels, 5, np.random.default_rng(1))
    assert (folds != again).any()
    with pytest.raises(UserError, match="fewer than 11 images"):
        stratified_folds(labels, 11, np.random.default_rng(0))


def separable(count=60):
    """Features whose mean of channel k tells class k, and their labels."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(count) % 3
    features = torch.randn(count, 2, 32, 4, 4, generator=generator)
    features[torch.arange(count), :, labels] += 3
    return features, labels


def test_a_head_learns_what_can_be_learned_and_nothing_else():
    features, labels = separable()
    how = HeadTraining(classes=3, epochs=20)
    found = cross_validate(features, labels, how, folds=4, repeats=2, seed=0)
    assert found.shape == (2, 4)
    assert found.mean() > 0.95
    shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(2))]
    assert cross_validate(features, shuffled, how, folds=4, repeats=2, seed=0).mean() < 0.6


def test_cross_validation_repeats_itself_whatever_was_drawn_before():
    features, labels = separable(30)
    how = HeadTraining(classes=3, epochs=2)
    first = cross_validate(features, labels, how, folds=3, repeats=2, seed=5)
    torch.rand(7)
    state = torch.get_rng_state()
    assert (cross_validate(features, labels, how, folds=3, repeats=2, seed=5) == first).all()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_trained_head_is_in_evaluation_mode():
    features, labels = separable(12)
    head = train_head(features, labels, HeadTraining(classes=3, epochs=1), torch.Generator().manual_seed(0))
    assert torch.equal(head(features[:, 0]), head(features[:, 0]))


def test_the_corrected_interval_by_hand():
    accuracies = np.array([[0.6, 0.8], [0.7, 0.9]])  # J = 4, s² = 1/60, n_test/n_train = 1
    half = stats.t.ppf(0.975, 3) * np.sqrt((1 / 4 + 1) / 60)
    low, high = corrected_interval(accuracies)
    assert low == pytest.approx(0.75 - half)
    assert high == 1.0 == min(1.0, 0.75 + half)
    assert corrected_interval(np.full((2, 5), 0.5)) == (0.5, 0.5)
