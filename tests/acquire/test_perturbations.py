import numpy as np
import pytest
from pydantic import ValidationError

from paper2board.acquire.perturbations import (
    SCENARIOS,
    Scenario,
    Sensor,
    expose,
    illuminant,
    occlude,
    perturb,
    perturb_set,
    shrink,
)
from paper2board.acquire.scenes import Scene, gather, make_scene, make_scenes
from paper2board.core.errors import UserError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
SCENES = gather(make_scenes(IMAGES, np.arange(20) % 10, 0, 6), [str(i) for i in range(10)], "composed")


def _flat(code: int, boxes=((10, 20, 50, 60),)) -> Scene:
    """A scene of one grey, with boxes of class 0."""
    return Scene(
        np.full((120, 160, 3), code, np.uint8),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.zeros(len(boxes), np.int64),
        np.ones(len(boxes), np.float32),
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios(name):
    changed = perturb_set(SCENES, name, 0)
    np.testing.assert_array_equal(changed.images, perturb_set(SCENES, name, 0).images)
    np.testing.assert_array_equal(changed.classes, SCENES.classes)
    assert changed.origin == f"composed; scenario {name}"
    assert np.array_equal(changed.images, SCENES.images) == (name == "unchanged")
    assert (changed.visible <= SCENES.visible + 1e-6).all()
    if name != "unchanged":
        assert not np.array_equal(changed.images, perturb_set(SCENES, name, 1).images)
    if SCENARIOS[name].max_area is None:
        np.testing.assert_array_equal(changed.boxes, SCENES.boxes)


def test_a_scene_depends_on_its_index_alone():
    changed = perturb_set(SCENES, "low_light", 5)
    alone = perturb(SCENES[4], SCENARIOS["low_light"], 5, 4)
    np.testing.assert_array_equal(alone.image, changed.images[4])


@pytest.mark.parametrize(("ev", "code"), [(0, 186), (-1, 137), (-2, 99), (1, 253)])
def test_exposure_is_in_linear_light(ev, code):
    """sRGB 186 is 0.491 of linear white; halved it is 137, then 99; doubled, 253."""
    assert perturb(_flat(186), Scenario(exposure_ev=ev), 0, 0).image.astype(int) == pytest.approx(code, abs=1)


def test_gain_undoes_exposure():
    changed = perturb(_flat(186), Scenario(exposure_ev=-3, gain_ev=3), 0, 0)
    assert changed.image.astype(int) == pytest.approx(186, abs=1)


def test_illuminant():
    assert illuminant(6500) == pytest.approx(1, abs=0.06)
    warm, cold = illuminant(2700), illuminant(10_000)
    assert warm[0] > 1.8 > 1 > 0.5 > warm[2]
    assert cold[0] < 1 < cold[2]
    # The polynomials' pieces meet.
    for kelvin in (2222, 4000):
        assert illuminant(kelvin) == pytest.approx(illuminant(kelvin + 1), rel=0.01)
    red, _, blue = perturb(_flat(128), Scenario(illuminant_K=3000), 0, 0).image[0, 0]
    assert red > 150 > 100 > blue


def test_shadow_covers_half():
    image = perturb(_flat(200), Scenario(shadow=0.5), 0, 0).image[:, :, 0]
    dark = (image < 160).mean()
    assert 0.45 < dark < 0.55
    assert image.max() == 200


def test_shot_and_read_noise_have_the_stated_size():
    light = np.full((120, 160, 3), 0.25, np.float32)
    for read_noise in (0, 50):
        sensor = Sensor(full_well_e=4000, read_noise_e=read_noise, adc_bits=16, bayer=False)
        electrons = expose(light, sensor, 1, np.random.default_rng(0)) * 4000
        assert electrons.mean() == pytest.approx(1000, rel=0.005)
        assert electrons.std() == pytest.approx(np.hypot(np.sqrt(1000), read_noise), rel=0.02)


def test_gain_amplifies_noise_and_clips():
    light = np.full((64, 64, 3), 0.01, np.float32)
    sensor = Sensor(full_well_e=1000, read_noise_e=0, adc_bits=16, bayer=False)
    plain, loud = (expose(light, sensor, gain, np.random.default_rng(0)) for gain in (1, 8))
    assert loud == pytest.approx(8 * plain, abs=1e-3)
    assert expose(light * 1000, sensor, 8, np.random.default_rng(0)).max() == 1


def test_adc_has_its_levels():
    ramp = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64, 1).repeat(3, 2)
    sensor = Sensor(full_well_e=1e7, read_noise_e=0, adc_bits=3, bayer=False)
    assert len(np.unique(expose(ramp, sensor, 1, np.random.default_rng(0)))) == 8


def test_mosaic_keeps_flat_colours_and_blurs_detail():
    sensor = Sensor(full_well_e=1e7, read_noise_e=0, adc_bits=16)
    flat = np.broadcast_to(np.array([0.2, 0.5, 0.8], np.float32), (10, 12, 3))
    assert expose(flat, sensor, 1, np.random.default_rng(0)) == pytest.approx(flat, abs=5e-3)
    dot = np.zeros((9, 9, 3), np.float32)
    dot[4, 4] = 1  # a red pixel of the mosaic
    seen = expose(dot, sensor, 1, np.random.default_rng(0))
    assert seen[4, 4] == pytest.approx([1, 0, 0], abs=1e-2)
    assert seen[4, 3, 0] == pytest.approx(0.5, abs=1e-2)
    assert seen[3, 3, 0] == pytest.approx(0.25, abs=1e-2)


def test_jpeg_alone():
    noisy = Scene(IMAGES[0], np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    clean = {"full_well_e": 1e7, "read_noise_e": 0, "adc_bits": 16, "bayer": False}

    def error(quality):
        changed = perturb(noisy, Scenario(sensor=Sensor(**clean, jpeg_quality=quality)), 0, 0)
        return np.abs(changed.image.astype(int) - noisy.image).mean()

    assert error(None) < 0.5 < error(90) < error(10)


@pytest.mark.parametrize("limit", [0.1, 0.02])
def test_shrink(limit):
    scene = _flat(200, ((0, 0, 80, 120), (80, 60, 160, 120)))
    scene.image[60:, 80:] = 20
    changed = shrink(scene, limit, np.random.default_rng(0))
    sides = changed.boxes[:, 2:] - changed.boxes[:, :2]
    areas = sides.prod(axis=1) / (160 * 120)
    assert limit * 0.9 < areas.max() <= limit
    assert areas[1] == pytest.approx(areas[0] / 2, rel=0.01)
    x0, y0, x1, y1 = np.round(changed.boxes[1]).astype(int)
    inside = changed.image[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].astype(int)
    assert inside.size
    assert inside == pytest.approx(20, abs=2)


def test_shrink_leaves_small_objects():
    scene = _flat(9)
    assert shrink(scene, 0.1, np.random.default_rng(0)) is scene


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.9])
def test_occlude(fraction):
    for seed in range(8):
        changed = occlude(_flat(128), fraction, np.random.default_rng(seed))
        covered = (changed.image != 128).any(axis=2)
        assert covered.sum() == pytest.approx(fraction * 40 * 40, abs=1)
        assert not covered[:20].any()
        assert not covered[60:].any()
        assert changed.visible[0] == pytest.approx(1 - fraction, abs=0.001)


def test_a_bar_over_a_neighbour_counts():
    scene = _flat(128, ((10, 10, 50, 50), (10, 10, 50, 50)))
    sides = [occlude(scene, 0.5, np.random.default_rng(seed)).visible for seed in range(20)]
    assert all(a == b for a, b in sides)
    assert {round(float(a), 2) for a, _ in sides} == {0.0, 0.25, 0.5}


def test_nothing_to_see_and_slivers_at_the_edge():
    for scene in (_flat(128, ()), _flat(128, ((159.8, 119.8, 160, 120),))):
        for scenario in SCENARIOS.values():
            changed = perturb(scene, scenario, 0, 0)
            assert np.isfinite(changed.visible).all()
            assert len(changed.boxes) == len(scene.boxes)


def test_the_given_scene_is_not_changed():
    scene = make_scene(IMAGES, np.zeros(20, int), 0, 0)
    before = scene.image.copy()
    for scenario in SCENARIOS.values():
        perturb(scene, scenario, 0, 0)
    np.testing.assert_array_equal(scene.image, before)


def test_impossible_values():
    with pytest.raises(UserError, match="no scenario 'fog'; choose among unchanged"):
        perturb_set(SCENES, "fog", 0)
    with pytest.raises(UserError, match="seed is -1"):
        perturb(SCENES[0], Scenario(), -1, 0)
    for change in ({"occluded": 1}, {"max_area": 0}, {"illuminant_K": 1000}, {"fog": 1}):
        with pytest.raises(ValidationError):
            Scenario(**change)
