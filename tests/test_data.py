"""Images: what is promised of each set."""

from __future__ import annotations

import io
import tarfile
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2.functional import resize, to_pil_image

from vgglab.lab.data import (
    DATASETS,
    ImageSet,
    cifar10,
    digits,
    load_images,
    read_images,
    shapes,
    shift_and_mirror,
)
from vgglab.lab.data.folders import ARCHIVES

# --- shapes -------------------------------------------------------------------------------------


def test_same_seed_same_scenes():
    first, again, other = shapes(20, seed=3), shapes(20, seed=3), shapes(20, seed=4)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    assert torch.equal(shapes(7, seed=3).images, first.images[:7])


def test_the_callers_random_state_is_kept():
    before = torch.get_rng_state()
    shapes(5).take(5)
    assert torch.equal(before, torch.get_rng_state())


def test_scenes_do_not_depend_on_the_size():
    small, large = shapes(30, 64, seed=1), shapes(30, 192, seed=1)
    assert torch.equal(small.notes["centres"], large.notes["centres"])
    apart = resize(large.images, [64, 64], antialias=True).float() - small.images.float()
    assert apart.abs().mean() < 8  # of 255: edges only
    other = small.images.float() - shapes(30, 64, seed=2).images.float()
    assert other.abs().mean() > 40


@settings(max_examples=30)
@given(
    st.integers(32, 96),
    st.integers(32, 96),
    st.integers(1, 3),
    st.sampled_from(["anywhere", "left", "right", "centre"]),
    st.integers(0, 2**32),
)
def test_boxes_masks_and_centres_agree(height, width, most, position, seed):
    most = 1 if position == "centre" else most
    images = shapes(
        8, (height, width), seed=seed, figures=(1, most), position=position, scale=(0.07, 0.09)
    )
    assert images.images.shape == (8, 3, height, width)
    notes = images.notes
    for place in range(8):
        for slot in range(most):
            mask = notes["masks"][place] == slot
            if notes["kinds"][place, slot] < 0:
                assert not mask.any()
                assert notes["boxes"][place, slot].tolist() == [-1] * 4
                continue
            rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
            box = [columns[0], rows[0], columns[-1], rows[-1]]
            assert notes["boxes"][place, slot].tolist() == [int(side) for side in box]
            x, y = notes["centres"][place, slot].tolist()
            reach = 1.6 * 0.09 * min(height, width) + 1
            assert abs(x * width - columns.float().mean() - 0.5) < reach
            assert abs(y * height - rows.float().mean() - 0.5) < reach
            assert position != "left" or x <= 0.5
            assert position != "right" or x >= 0.5
            assert position != "centre" or x == y == 0.5


def test_no_figure_is_cut_by_the_border():
    notes = shapes(500, 64, seed=5, scale=(0.2, 0.25)).notes
    assert notes["boxes"].min() >= 0
    # A figure at the border would lose pixels: the mask's area is that of its disk.
    area = (notes["masks"] == 0).sum((1, 2)) / 64**2
    assert torch.allclose(area, torch.pi * notes["radii"][:, 0] ** 2, rtol=0.06)


def test_neither_area_nor_brightness_tells_the_kind():
    images = shapes(4000, 48, seed=6)
    area = (images.notes["masks"] >= 0).float().mean((1, 2))
    light = images.images.float().mean((1, 2, 3))
    for values in (area, light):
        means = torch.stack([values[images.labels == label].mean() for label in range(5)])
        error = values.std() / (len(values) / 5) ** 0.5
        assert means.max() - means.min() < 5 * error


def test_kinds_come_in_equal_shares_and_differ_within_an_image():
    images = shapes(25, figures=3, scale=(0.06, 0.1), kinds=("ring", "cross", "disk"))
    assert images.classes == ("ring", "cross", "disk")
    assert images.labels.bincount().tolist() == [9, 8, 8]
    assert all(len(set(row.tolist())) == 3 for row in images.notes["kinds"])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"count": 0}, ValueError, "count must be at least 1; got 0"),
        ({"size": 4}, ValueError, "size must be at least 8; got 4"),
        ({"size": 32.0}, TypeError, "size must be an integer; got 32.0"),
        ({"kinds": ("disk", "heart")}, ValueError, "kinds must be different ones of disk"),
        ({"kinds": ()}, ValueError, "kinds must be different ones of disk"),
        ({"position": "up"}, ValueError, "position must be one of anywhere.*; got 'up'"),
        ({"scale": (0.3, 0.2)}, ValueError, "scale must be two numbers.*; got"),
        ({"rotation": (90, 0)}, ValueError, "rotation must be two angles"),
        ({"clutter": 99}, ValueError, "clutter must be at most 12; got 99"),
        ({"figures": (3, 2)}, ValueError, "figures must be at least 3; got 2"),
        ({"figures": 9}, ValueError, "figures must be at most 8; got 9"),
        ({"figures": 8, "scale": (0.3, 0.4)}, ValueError, "small enough .* side by side"),
    ],
)
def test_bad_options_of_shapes(options, error, words):
    with pytest.raises(error, match=words):
        shapes(**{"count": 10, **options})


# --- sets ---------------------------------------------------------------------------------------


def test_splits_have_no_image_in_common():
    for name, options in {"shapes": {"count": 200}, "digits": {}}.items():
        train, test = (load_images(name, split, **options) for split in ("train", "test"))
        rows = {image.numpy().tobytes() for image in train.images}
        assert not any(image.numpy().tobytes() in rows for image in test.images)


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    theirs = load_digits()
    images = torch.cat([digits(split).images for split in ("train", "test")])
    assert torch.equal((images[:, 0] * (16 / 255)).round(), torch.from_numpy(theirs.images).float())
    assert digits("test", 32).images.shape == (360, 1, 32, 32)


def test_take_draws_equal_shares():
    images = shapes(100, 16)
    taken = images.take(20, seed=1)
    assert taken.labels.bincount().tolist() == [4] * 5
    assert torch.equal(taken.images, images.take(20, seed=1).images)
    assert not torch.equal(taken.images, images.take(20, seed=2).images)
    assert taken.source == {**images.source, "take": 20, "take_seed": 1}
    assert all(len(rows) == 20 for rows in taken.notes.values())
    with pytest.raises(ValueError, match="count must be a multiple of the 5 classes; got 21"):
        images.take(21)
    with pytest.raises(ValueError, match=r"count must be at most 20 times 5, .* of disk; got 105"):
        images.take(105)


def test_what_does_not_belong_together_is_refused():
    images, labels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.long)
    with pytest.raises(ValueError, match=r"images must be torch\.uint8 .*; got torch\.float32"):
        ImageSet(images.float(), labels, ("a",), {})
    with pytest.raises(ValueError, match="labels must have a row for each of 2 images; got 1"):
        ImageSet(images, labels[:1], ("a",), {})
    with pytest.raises(ValueError, match=r"labels must be places in the 1 classes; .* from 1 to 1"):
        ImageSet(images, labels + 1, ("a",), {})


def test_each_image_is_shifted_and_mirrored_in_its_own_way():
    images = shapes(40, 16).images
    torch.manual_seed(0)
    moved = shift_and_mirror(images)
    assert (moved.shape, moved.dtype) == (images.shape, images.dtype)
    ways = []
    for image, found in zip(images, moved, strict=True):
        wide = torch.nn.functional.pad(image, [2] * 4)
        could_be = {
            (down, right, mirrored): window.flip(-1) if mirrored else window
            for down, right, mirrored in product(range(5), range(5), (False, True))
            for window in [wide[:, down : down + 16, right : right + 16]]
        }
        ways.append(next(way for way, window in could_be.items() if torch.equal(window, found)))
    assert all({0, 4} <= {way[axis] for way in ways} for axis in (0, 1))
    assert {mirrored for *_, mirrored in ways} == {False, True}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: load_images("mnist"), "name must be one of shapes, digits, cifar10; got 'mnist'"),
        (lambda: load_images(split="valid"), "split must be 'train' or 'test'; got 'valid'"),
        (lambda: digits("all"), "split must be 'train' or 'test'; got 'all'"),
        (lambda: cifar10("all"), "split must be 'train' or 'test'; got 'all'"),
        (lambda: digits(size=4), "size must be at least 8; got 4"),
    ],
)
def test_unknown_sets_and_splits(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# --- files --------------------------------------------------------------------------------------

COUNTS = {"cat": 3, "dog": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as torchvision's ImageFolder wants it."""
    root = tmp_path / "pets"
    for split in ("train", "test"):
        for name, count in COUNTS.items():
            (root / split / name).mkdir(parents=True)
            for number, image in enumerate(shapes(count, 16, seed=len(split + name)).images):
                to_pil_image(image).save(root / split / name / f"{number}.png")
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    return root


@pytest.fixture
def archive(folder: Path) -> Path:
    path = folder.parent / "pets.tar.xz"
    with tarfile.open(path, "w:xz") as file:
        file.add(folder, "some/pets")
    return path


def test_folder_and_archive_hold_the_same(folder, archive):
    loose, packed = read_images(folder, "train"), read_images(archive, "train")
    assert loose.classes == packed.classes == ("cat", "dog")
    assert loose.labels.tolist() == packed.labels.tolist() == [0, 0, 0, 1, 1]
    assert torch.equal(loose.images, packed.images)
    assert torch.equal(loose.images[:3], shapes(3, 16, seed=len("traincat")).images)
    assert len(packed.source["sha256"]) == 64
    assert read_images(folder, "train", size=8).images.shape == (5, 3, 8, 8)


def test_the_variable_names_a_folder_or_an_archive(folder, archive, monkeypatch):
    for path in (folder, archive):
        monkeypatch.setenv("VGGLAB_DATA", str(path))
        assert torch.equal(cifar10("test").images, read_images(folder, "test").images)


def test_images_of_several_sizes_need_a_size(folder):
    to_pil_image(shapes(1, 24).images[0]).save(folder / "train" / "cat" / "large.jpg")
    with pytest.raises(ValueError, match=r"size must be given, .* \(16, 16\) and \(24, 24\)"):
        read_images(folder, "train")
    assert len(read_images(folder, "train", size=16)) == 6


def test_missing_files(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("VGGLAB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"root must be a folder or .*nowhere"):
        cifar10()
    with pytest.raises(FileNotFoundError, match=r"must hold images in valid/CLASS/; .*pets"):
        read_images(folder, "valid")


def test_damaged_files(folder, archive):
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"root must be a whole tar archive; .* is damaged"):
        read_images(archive, "train")
    archive.write_bytes(b"no archive at all" * 100)
    with pytest.raises(ValueError, match=r"root must be a whole tar archive; .* is damaged"):
        read_images(archive, "train")
    (folder / "train" / "dog" / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="an image of the class 'dog' cannot be read"):
        read_images(folder, "train")


def test_a_known_archive_must_be_itself(archive):
    (name,) = ARCHIVES
    changed = archive.with_name(name)
    changed.write_bytes(archive.read_bytes())
    with pytest.raises(ValueError, match=f"must have the SHA-256 {ARCHIVES[name]}; it has "):
        read_images(changed, "train")


def test_an_archive_is_read_and_not_unpacked(folder, tmp_path, monkeypatch):
    """A name that points outside is only a name."""
    path = tmp_path / "sly.tar"
    image = (folder / "train" / "cat" / "0.png").read_bytes()
    with tarfile.open(path, "w") as file:
        member = tarfile.TarInfo("../../train/cat/0.png")
        member.size = len(image)
        file.addfile(member, io.BytesIO(image))
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert len(read_images(path, "train")) == 1
    assert not list(empty.iterdir())


def test_without_data_and_network(monkeypatch, tmp_path):
    def offline(*args, **options):
        raise OSError("Name or service not known")

    monkeypatch.delenv("VGGLAB_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(ConnectionError, match=r"set VGGLAB_DATA to a folder .* need no download"):
        load_images("cifar10")
    with pytest.warns(UserWarning, match="shapes are used in place of cifar10"):
        images = load_images("cifar10", "test", or_shapes=True)
    assert images.source["data"] == "shapes"
    assert set(DATASETS) == {"shapes", "digits", "cifar10"}
