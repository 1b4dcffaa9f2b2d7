"""The detector's targets, box encoding, loss and distillation."""

import math

import pytest
import torch
from torch import nn

from paper2board.tasks.detection.assignment import Targets, assign
from paper2board.tasks.detection.encoding import decode_boxes, encode_boxes
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.loss import (
    DetectionDistillation,
    DetectionLoss,
    complete_iou,
    detection_loss,
    distillation_loss,
    iou,
    mixed_loss,
)

GRID = Grid()
BOTH = pytest.mark.parametrize("config", [DetectionLoss(), DetectionLoss(box="smooth-l1", confidence="one")])


def targets(*boxes: tuple[float, ...], label: int = 3, neighbours: bool = True) -> Targets:
    labels = torch.full((len(boxes),), label)
    return assign(GRID, [torch.tensor(boxes).reshape(-1, 4)], [labels], neighbours=neighbours)


def cells(found: Targets) -> set[tuple[int, int]]:
    return {tuple(place) for place in found.positive[0].nonzero().tolist()}


def perfect(wanted: Targets, grid: Grid = GRID) -> torch.Tensor:
    classes = torch.full((len(wanted.labels), grid.classes, grid.rows, grid.columns), -8.0)
    classes.scatter_(1, wanted.labels.clamp(min=0)[:, None], 8.0)
    confidence = torch.where(wanted.positive, 8.0, -8.0)[:, None]
    boxes = torch.where(wanted.positive[:, None], wanted.boxes, torch.tensor(5.0).expand_as(wanted.boxes))
    return torch.cat([encode_boxes(grid, boxes), classes, confidence], 1)


def test_grid_is_the_papers() -> None:
    assert (GRID.channels, GRID.rows, GRID.columns) == (15, 8, 10)
    with pytest.raises(ValueError, match="min_size"):
        Grid(min_size=120)


def test_centre_cell_and_the_two_nearest() -> None:
    box = (30.0, 30.0, 46.0, 40.0)  # centre (38, 35): cell (row 2, column 2), 0.375 right and 0.1875 down
    assert cells(targets(box, neighbours=False)) == {(2, 2)}
    assert cells(targets(box)) == {(2, 2), (2, 1), (1, 2)}
    assert cells(targets((32.0, 32.0, 60.0, 60.0))) == {(2, 2), (2, 3), (3, 2)}
    assert cells(targets((0.0, 0.0, 8.0, 8.0))) == {(0, 0)}  # the neighbours would lie outside
    assert cells(targets((152.0, 100.0, 160.0, 120.0))) == {(6, 9), (7, 9)}


def test_conflicts_centre_then_smaller_then_first() -> None:
    large, small = (24.0, 24.0, 56.0, 56.0), (38.0, 38.0, 42.0, 42.0)  # both centred at (40, 40), cell (2, 2)
    for order in ((large, small), (small, large)):
        assert targets(*order).boxes[0, :, 2, 2].tolist() == list(small)
    neighbour = (22.0, 38.0, 40.0, 40.0)  # centre (31, 39), cell (2, 1): claims (2, 2) as a neighbour
    assert targets(neighbour, large).boxes[0, :, 2, 2].tolist() == list(large)
    both = assign(GRID, [torch.tensor([small, small])], [torch.tensor([4, 5])])
    assert both.labels[0, 2, 2] == 4


def test_assign_refuses_what_it_cannot_place() -> None:
    with pytest.raises(ValueError, match="x1 < x2"):
        targets((5.0, 5.0, 5.0, 9.0))
    with pytest.raises(ValueError, match="labels 0 to 9"):
        targets((5.0, 5.0, 9.0, 9.0), label=10)
    with pytest.raises(ValueError, match="outside"):
        targets((150.0, 5.0, 190.0, 9.0))
    assert not targets().positive.any()


def test_every_assigned_box_can_be_told_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(200, 4, generator=generator) * torch.tensor([150.0, 110.0, 150.0, 110.0])
    low, high = torch.minimum(corners[:, :2], corners[:, 2:]), torch.maximum(corners[:, :2], corners[:, 2:])
    boxes = torch.cat([low, high + 5], 1)
    for box in boxes:
        wanted = targets(tuple(box.tolist()))
        told = decode_boxes(GRID, encode_boxes(GRID, wanted.boxes))
        for place in cells(wanted):
            assert torch.allclose(told[0, :, place[0], place[1]], box, atol=1e-3)


def test_int8_steps_as_the_docstring_says() -> None:
    raw = torch.zeros(1, 4, GRID.rows, GRID.columns)
    step = 16 / 256
    a, b = decode_boxes(GRID, raw)[0, :, 0, 0], decode_boxes(GRID, raw + step)[0, :, 0, 0]
    assert (b - a).reshape(2, 2).mean(0)[0] == pytest.approx(1 / 8, abs=1e-4)
    assert float((b[2] - b[0]) / (a[2] - a[0])) == pytest.approx(1.0145, abs=5e-4)


def test_iou_and_complete_iou_by_hand() -> None:
    a, b = torch.tensor([0.0, 0, 4, 4]), torch.tensor([2.0, 0, 6, 4])
    assert iou(a, b) == pytest.approx(8 / 24)
    assert complete_iou(a, b) == pytest.approx(8 / 24 - 4 / (36 + 16))  # same aspect ratio
    c = torch.tensor([0.0, 0, 4, 2])  # IoU 1/2, centres 1 apart, diagonal² 32
    aspect = 4 / math.pi**2 * (math.pi / 4 - math.atan(2)) ** 2
    assert complete_iou(a, c) == pytest.approx(0.5 - 1 / 32 - aspect**2 / (0.5 + aspect))


@BOTH
def test_perfect_output_has_near_zero_loss_and_a_wrong_one_has_not(config: DetectionLoss) -> None:
    wanted = targets((30.0, 30.0, 46.0, 50.0), (90.0, 20.0, 150.0, 100.0))
    good = perfect(wanted)
    assert detection_loss(GRID, good, wanted, config)["loss"] < 0.01
    for channel, part in ((0, "box"), (2, "box"), (7, "class"), (14, "confidence")):
        bad = good.clone()
        bad[:, channel] *= -1
        wrong = detection_loss(GRID, bad, wanted, config)
        assert wrong[part] > 0.1, (channel, part)
        assert wrong["loss"] == pytest.approx(float(wrong["box"] + wrong["confidence"] + wrong["class"]))


@BOTH
def test_gradients_reach_every_channel_even_beyond_the_range(config: DetectionLoss) -> None:
    wanted = targets((30.0, 30.0, 46.0, 50.0))
    output = torch.full((1, 15, 8, 10), 9.0, requires_grad=True)
    detection_loss(GRID, output, wanted, config)["loss"].backward()
    assert output.grad is not None and output.grad.isfinite().all()
    at = output.grad[0, :, 2, 2]
    # at equal logits beyond the range every class still learns, and the box goes back
    assert (at[4:14] != 0).all() and (at[:4] > 0).all()
    assert not output.grad[0, :14, 7, 9].any() and output.grad[0, 14, 7, 9] > 0


def test_no_boxes_at_all_is_a_loss_of_confidence_only() -> None:
    output = torch.zeros(2, 15, 8, 10, requires_grad=True)
    none = assign(GRID, [torch.zeros(0, 4)] * 2, [torch.zeros(0, dtype=torch.int64)] * 2)
    parts = detection_loss(GRID, output, none, DetectionLoss(confidence_weight=1))
    assert parts["box"] == parts["class"] == 0 and parts["loss"].item() == pytest.approx(math.log(2))
    parts["loss"].backward()
    assert output.grad is not None and output.grad.isfinite().all()


def test_distillation_is_zero_for_the_teacher_itself_and_masked() -> None:
    teacher = perfect(targets((30.0, 30.0, 46.0, 50.0)))
    config, settings = DetectionLoss(), DetectionDistillation()
    student = teacher.clone().requires_grad_()
    same = distillation_loss(GRID, student, teacher, config, settings)["loss"]
    assert same.item() == pytest.approx(0, abs=1e-5)
    other = (teacher + 1).requires_grad_()
    parts = distillation_loss(GRID, other, teacher, config, settings)
    parts["loss"].backward()
    assert other.grad is not None
    assert other.grad[0, :4, 2, 2].all() and other.grad[0, 14].all()
    assert not other.grad[0, :14, 5, 5].any()  # the teacher sees nothing there
    assert parts["class"].item() == pytest.approx(0, abs=1e-5)  # softmax ignores a common shift


@pytest.mark.parametrize("part", ["class", "confidence"])
def test_distillation_keeps_gradients_whatever_the_temperature(part: str) -> None:
    teacher = perfect(targets((30.0, 30.0, 46.0, 50.0))) / 80  # small logits, where the expansion holds
    sizes = []
    for temperature in (2.0, 8.0):
        student = (-teacher).requires_grad_()
        settings = DetectionDistillation(temperature=temperature, mask_confidence=0)
        distillation_loss(GRID, student, teacher, DetectionLoss(), settings)[part].backward()
        assert student.grad is not None
        sizes.append(float(student.grad.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_mixed_loss_is_the_stated_mean() -> None:
    wanted = targets((30.0, 30.0, 46.0, 50.0))
    teacher, student = perfect(wanted), torch.zeros(1, 15, 8, 10)
    config = DetectionLoss()
    hard = detection_loss(GRID, student, wanted, config)["loss"]
    soft = distillation_loss(GRID, student, teacher, config, DetectionDistillation())["loss"]
    mixed = mixed_loss(GRID, student, teacher, wanted, config, DetectionDistillation(alpha=0.25))
    assert mixed == pytest.approx(float(0.25 * soft + 0.75 * hard))


@BOTH
def test_a_toy_network_learns_eight_images(config: DetectionLoss) -> None:
    torch.manual_seed(0)
    grid = Grid(width=64, height=48, classes=3)
    generator = torch.Generator().manual_seed(1)
    images, boxes, labels = torch.zeros(8, 3, 48, 64), [], []
    for image in images:
        x, y = (int(torch.randint(2, high, (1,), generator=generator)) for high in (34, 22))
        w, h = (int(side) for side in torch.randint(12, 25, (2,), generator=generator))
        label = int(torch.randint(3, (1,), generator=generator))
        image[label, y : y + h, x : x + w] = 1
        boxes.append(torch.tensor([[x, y, x + w, y + h]], dtype=torch.float32))
        labels.append(torch.tensor([label]))
    wanted = assign(grid, boxes, labels)
    layers: list[nn.Module] = []
    for inner, outer in ((3, 16), (16, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(inner, outer, 3, stride=2, padding=1), nn.BatchNorm2d(outer), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Conv2d(64, grid.channels, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(200):
        optimizer.zero_grad()
        output = network(images)
        detection_loss(grid, output, wanted, config)["loss"].backward()
        optimizer.step()
    found = decode_boxes(grid, output[:, :4])
    for index, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        best = int(output[index, -1].argmax())
        assert iou(found[index].flatten(1)[:, best], box[0]) > 0.8
        assert output[index, 4:-1].flatten(1)[:, best].argmax() == label[0]
