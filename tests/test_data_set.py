"""What a data set is: which files, in which order, of which class, and what happens as it grows."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtvis.errors import SourceError, StoreError
from rtvis.units.data_set import find_files
from rtvis.units.growth import checksum_of, checksum_of_file, with_new_files
from rtvis.units.items import Files, Items


def write(folder: Path, *names: str, content: bytes = b"picture") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def looked_at(files: Files, count: int) -> Items:
    """As if a scan had looked at the first `count` files, pictures all."""
    checksums = [checksum_of_file(files.path(i), is_film=False) for i in range(count)]
    return Items(
        files=files,
        num_items_D=np.ones(count, dtype=np.int64),
        checksum_D=np.array(checksums, dtype=np.int64),
    )


def test_a_folder_is_all_pictures_and_films_below_it_with_numbers_as_numbers(
    tmp_path: Path,
) -> None:
    write(tmp_path, "cat/10.png", "cat/2.JPG", "dog/deep/1.jpeg", "dog/b.mp4", "dog/notes.txt")
    write(tmp_path, ".hidden/1.png", "dog/.1.png")
    files = find_files(tmp_path)
    assert files.names == ("cat/2.JPG", "cat/10.png", "dog/b.mp4", "dog/deep/1.jpeg")
    assert files.classes == ("cat", "dog")
    assert files.label_F.tolist() == [0, 0, 1, 1]
    assert files.is_film_F.tolist() == [False, False, True, False]
    assert files.size_bytes_F.tolist() == [7, 7, 7, 7]
    assert files.path(1) == tmp_path / "cat/10.png"
    assert files.label(3) == "dog"


def test_pictures_right_in_the_folder_have_no_class(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "cat/b.png")
    files = find_files(tmp_path)
    assert [files.label(i) for i in range(2)] == [None, "cat"]


def test_a_link_to_a_folder_above_is_not_followed_round_and_round(tmp_path: Path) -> None:
    write(tmp_path, "a/1.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert find_files(tmp_path).names == ("a/1.png",)


def test_a_list_names_pictures_and_their_classes(tmp_path: Path) -> None:
    write(tmp_path, "x/1.png", "2.png")
    other = tmp_path.parent / "elsewhere.png"
    (tmp_path / "val.txt").write_text(f"x/1.png 281\n2.png 7\n{other} 281\nx/1.png 281\n")
    files = find_files(tmp_path / "val.txt")
    assert files.names == ("x/1.png", "2.png", other.as_posix())
    assert [files.label(i) for i in range(3)] == ["281", "7", "281"]
    assert files.size_bytes_F.tolist() == [7, 7, -1]  # the last one is told of when it is read


def test_a_glob_a_film_and_the_demo(tmp_path: Path) -> None:
    write(tmp_path, "a/1.png", "b/2.png", "b/2.txt", "film.mp4")
    assert find_files(str(tmp_path / "*" / "*.png")).names == ("a/1.png", "b/2.png")
    assert find_files(tmp_path / "film.mp4").is_film_F.tolist() == [True]
    assert find_files("demo").names == ("demo.mp4",)


def test_classes_from_a_csv_file_go_before_those_of_folders(tmp_path: Path) -> None:
    write(tmp_path, "a/1.png", "a/2.png", "b/3.png")
    table = tmp_path / "labels.csv"
    table.write_text('picture,class\na/1.png,tabby\n3.png,"lion, king of beasts"\n')
    files = find_files(tmp_path, labels=str(table))
    assert [files.label(i) for i in range(3)] == ["tabby", None, "lion, king of beasts"]
    assert find_files(tmp_path, labels="none").classes == ()
    table.write_text("nothing,here\n")
    with pytest.raises(SourceError, match=r"^--classes .*: names none of the 3 pictures"):
        find_files(tmp_path, labels=str(table))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "missing", "there is no such file or folder"),
        (lambda root: root, "hold a picture or a film"),
        (lambda root: root / "*.png", "matches neither"),
        (lambda root: "", "is empty"),
    ],
)
def test_what_holds_nothing_is_an_error_that_says_so(
    tmp_path: Path, make: object, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        find_files(make(tmp_path))  # type: ignore[operator]


def test_items_are_counted_through_pictures_and_frames_of_films(tmp_path: Path) -> None:
    write(tmp_path, "1.png", "2.mp4", "3.png", "4.mp4", "5.png")
    items = Items(
        files=find_files(tmp_path),
        num_items_D=np.array([1, 3, 1, 2]),
        checksum_D=np.array([1, 2, 3, 4]),
        film_pts=(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.04])),
        errors={0: "cannot be decoded"},
    )
    assert len(items) == 7
    for each in (items, Items.from_arrays(items.to_arrays())):
        found = [(i.name, i.frame, i.pts_seconds) for i in (each[n] for n in range(7))]
        assert found == [
            ("1.png", None, None),
            ("2.mp4", 0, 0.0),
            ("2.mp4", 1, 0.5),
            ("2.mp4", 2, 1.0),
            ("3.png", None, None),
            ("4.mp4", 0, 0.0),
            ("4.mp4", 1, 0.04),
        ]
        assert each.errors == {0: "cannot be decoded"}
        with pytest.raises(IndexError):
            each[7]


def test_a_damaged_list_of_items_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "1.png", "2.png")
    arrays = looked_at(find_files(tmp_path), 2).to_arrays()
    for damaged in (
        {key: value for key, value in arrays.items() if key != "label"},
        arrays | {"checksum": arrays["checksum"][:1]},
        arrays | {"film_pts": np.ones(3)},
    ):
        with pytest.raises(StoreError, match="the list of items is damaged"):
            Items.from_arrays(damaged)


def test_a_data_set_that_grew_goes_on_behind_what_was_looked_at(tmp_path: Path) -> None:
    write(tmp_path, "b/1.png", "b/3.png")
    before = looked_at(find_files(tmp_path), 2)
    write(tmp_path, "a/9.png", "b/2.png")
    grown = with_new_files(before, find_files(tmp_path))
    assert grown.names == ("b/1.png", "b/3.png", "a/9.png", "b/2.png")
    assert grown.classes == ("b", "a")  # so that the number of "b" stays 0
    assert grown.label_F.tolist() == [0, 0, 1, 0]


def test_a_file_that_is_only_newer_is_the_same_and_any_other_change_is_an_error(
    tmp_path: Path,
) -> None:
    write(tmp_path, "a/1.png", "a/2.png")
    before = looked_at(find_files(tmp_path), 2)
    os.utime(tmp_path / "a/1.png", ns=(1, 1))
    assert with_new_files(before, find_files(tmp_path)).names == ("a/1.png", "a/2.png")
    (tmp_path / "a/1.png").write_bytes(b"PICTURE")
    with pytest.raises(StoreError, match=r"a/1\.png: has another content since it was scanned"):
        with_new_files(before, find_files(tmp_path))
    (tmp_path / "a/1.png").write_bytes(b"longer than that")
    with pytest.raises(StoreError, match=r"a/1\.png: has another size"):
        with_new_files(before, find_files(tmp_path))
    (tmp_path / "a/1.png").unlink()
    with pytest.raises(StoreError, match=r"a/1\.png: is no longer among the data"):
        with_new_files(before, find_files(tmp_path))


def test_another_class_is_an_error_and_what_could_not_be_read_may_change_but_for_its_size(
    tmp_path: Path,
) -> None:
    write(tmp_path, "a/1.png", "a/2.png")
    before = looked_at(find_files(tmp_path), 2)
    with pytest.raises(StoreError, match=r"a/1\.png: has the class z now since it was scanned"):
        with_new_files(before, replace(find_files(tmp_path), classes=("z",)))
    # Nothing was read of the second one, so that there is nothing to compare it with.
    unread = replace(before, checksum_D=np.array([before.checksum_D[0], 0]), errors={1: "denied"})
    os.utime(tmp_path / "a/2.png", ns=(1, 1))
    assert with_new_files(unread, find_files(tmp_path)).names == ("a/1.png", "a/2.png")


def test_of_a_film_the_first_mebibyte_is_summed() -> None:
    data = np.arange(2**20 + 9, dtype=np.uint32).astype(np.uint8)
    first = checksum_of(data[: 2**20], is_film=False)
    assert checksum_of(data, is_film=True) == first
    assert checksum_of(data, is_film=False) != first
