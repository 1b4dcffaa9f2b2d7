"""A teacher's stored outputs are transformed with their images."""

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from paper2board.tasks.augmentation import MIN_VISIBLE, Transforms, transform_boxes
from paper2board.tasks.box_labels import BoxLabels, transform_box_labels
from paper2board.tasks.detection.assignment import assign
from paper2board.tasks.detection.encoding import decode_boxes, encode_boxes
from paper2board.tasks.detection.grid import BOX, Grid
from paper2board.tasks.detection.loss import iou
from paper2board.tasks.detection.transform import transform_output

GRID = Grid()
SIDE = st.floats(10, 80)


def transforms(dy: int, dx: int, mirrored: bool) -> Transforms:
    return Transforms(torch.tensor([[[dy]], [[dx]]]), torch.tensor([[mirrored]]))


def output(*objects: tuple[tuple[float, float, float, float], int, float]) -> torch.Tensor:
    """The output that encodes each object (box, class, confidence) in the cell of its centre only."""
    result = torch.zeros(1, GRID.channels, GRID.rows, GRID.columns)
    result[:, -1] = -GRID.logit_range
    for box, label, confidence in objects:
        row, column = (int((box[i] + box[i + 2]) / 2 / GRID.stride) for i in (1, 0))  # centre's
        everywhere = torch.tensor(box)[None, :, None, None].expand(1, BOX, GRID.rows, GRID.columns)
        result[0, :BOX, row, column] = encode_boxes(GRID, everywhere)[0, :, row, column]
        result[0, BOX + label, row, column] = GRID.logit_range
        result[0, -1, row, column] = confidence
    return result


def tied(box: torch.Tensor, dy: int, dx: int) -> bool:
    """Tell whether the last bit decides which cells a moved box (1×4) belongs to, or whether it is still there."""
    whole = transform_boxes(box, torch.tensor([dy, dx]), False, GRID.width)[0]
    cut = torch.minimum(whole.clamp(min=0), torch.tensor([160.0, 120.0, 160.0, 120.0]))
    halves = (cut[:2] + cut[2:]) / GRID.stride  # centres in half cells
    seen = (cut[2:] - cut[:2]).clamp(min=0).prod() / (whole[2:] - whole[:2]).prod()
    return bool(((halves - halves.round()).abs() < 1e-3).any() or (seen - MIN_VISIBLE).abs() < 1e-3)


@given(
    st.tuples(st.floats(10, 150), st.floats(10, 110), SIDE, SIDE),
    st.integers(-8, 8),
    st.integers(-8, 8),
    st.booleans(),
)
def test_the_cells_that_encode_a_transformed_object_are_those_trained_for_it(place, dy, dx, mirrored) -> None:
    x, y, w, h = place
    box = (max(0.0, x - w / 2), max(0.0, y - h / 2), min(160.0, x + w / 2), min(120.0, y + h / 2))
    encoded = output((box, 3, 4.0))
    # As the output encodes it, rounded: both roads must start from the same box.
    row, column = (encoded[0, -1] > 0).nonzero()[0].tolist()
    exact = decode_boxes(GRID, encoded[:, :BOX])[0, :, row, column][None]
    assume(not tied(exact, dy, dx))  # both roads round their own way
    labels = BoxLabels((exact,), (torch.tensor([3]),))
    drawn = transforms(dy, dx, mirrored)
    wanted = assign(
        GRID, *(list(part) for part in vars(transform_box_labels(labels, drawn, 120, 160)).values())
    )
    moved = transform_output(GRID, encoded, drawn)
    assert torch.equal(moved[:, -1] == 4.0, wanted.positive)
    assert torch.equal(moved[:, BOX:-1].argmax(1)[wanted.positive], wanted.labels[wanted.positive])
    found = decode_boxes(GRID, moved[:, :BOX]).movedim(1, -1)[wanted.positive]
    assert (iou(found, wanted.boxes.movedim(1, -1)[wanted.positive]) > 0.99).all()
    empty = moved.movedim(1, -1)[~wanted.positive]
    assert (empty[:, -1] == -GRID.logit_range).all() and (empty[:, :-1] == 0).all()


def test_a_likely_object_keeps_the_cell_of_its_centre() -> None:
    left, right = ((20.0, 20.0, 50.0, 50.0), 1, 1.0), ((36.0, 20.0, 66.0, 50.0), 2, 3.0)
    moved = transform_output(GRID, output(left, right), transforms(0, 0, False))
    assert moved[0, -1, 2, 2] == 1.0 and moved[0, BOX:-1, 2, 2].argmax() == 1  # not the surer neighbour's
    unlikely = (left[0], 1, -2.0)
    moved = transform_output(GRID, output(unlikely, right), transforms(0, 0, False))
    assert moved[0, -1, 2, 2] == 3.0 and moved[0, BOX:-1, 2, 2].argmax() == 2


def test_an_object_that_leaves_the_image_is_encoded_no_more() -> None:
    corner = ((0.0, 0.0, 10.0, 10.0), 0, 5.0)
    moved = transform_output(GRID, output(corner), transforms(8, 8, False))
    assert (moved[:, -1] == -GRID.logit_range).all()
