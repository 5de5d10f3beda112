"""F54: a model zip writes the files of its manifest below its own model folder and nothing anywhere else."""

import stat
import zipfile

import pytest
import safetensors.torch
import torch
from model_zips import Zip, export, install, refused, sound_zip
from small_model import MODEL, contents_of

EVIL = b"#!/bin/sh\ntouch /tmp/was_run\n"
ELSEWHERE = [
    "../evil.sh",
    "../../evil.sh",
    "/tmp/dd_evil.sh",
    "//tmp/dd_evil.sh",
    "..\\evil.sh",
    "C:\\evil.sh",
    "C:evil.sh",
    f"{MODEL}/../../../evil.sh",
    f"{MODEL}/fold_0/../../../../evil.sh",
    f"{MODEL}/./plans.json",
    f"{MODEL}//plans.json",
    f"{MODEL}/evil.sh",
    f"{MODEL}/fold_0/level1/checkpoint_final.pth",
    f"{MODEL}/fold_0/level1/sitecustomize.py",
    f"{MODEL.upper()}/plans.json",
    "Dataset001_Other/ddTrainer__ddPlans__3d_fullres/plans.json",
    "evil.sh",
    ".bashrc",
    "manifest.json/evil.sh",
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return sound_zip(tmp_path_factory.mktemp("sound"))


def test_the_sound_one_is_installed(sound, tmp_path):
    assert install(Zip.read(sound).write(tmp_path / "a.zip"), tmp_path / "results") == 0
    assert (tmp_path / "results" / MODEL / "fold_0" / "level2" / "checkpoint_final.pth").is_file()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_member_that_the_manifest_does_not_name(sound, tmp_path, name, capsys):
    hostile = Zip.read(sound)
    hostile.add(name, EVIL)
    assert "manifest.json does not name" in refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_member_that_the_manifest_does_name(sound, tmp_path, name, capsys):
    """The manifest comes from the same hand as the rest, so it cannot ask for other places either."""
    for listed in (name, name.removeprefix(f"{MODEL}/")):
        hostile = Zip.read(sound)
        hostile.list_as(listed, EVIL)
        hostile.add(f"{MODEL}/{listed}", EVIL)
        error = refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)
        assert "is no file of a model" in error or "names a file twice" in error


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (stat.S_IFLNK, b"/etc/passwd"),
        (stat.S_IFLNK, b"../../.."),
        (stat.S_IFCHR, b""),
        (stat.S_IFBLK, b""),
        (stat.S_IFIFO, b""),
        (stat.S_IFSOCK, b""),
        (stat.S_IFDIR, b""),
    ],
)
def test_links_and_devices(sound, tmp_path, kind, content, capsys):
    hostile = Zip.read(sound)
    hostile.replace("plans.json", content)
    for info, _ in hostile.members:
        if info.filename.endswith("plans.json"):
            info.external_attr = (kind | 0o777) << 16
    error = refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)
    assert "plans.json' is a folder, link or device" in error


def test_a_folder_member(sound, tmp_path, capsys):
    hostile = Zip.read(sound)
    hostile.add(f"{MODEL}/fold_0/", b"")
    assert "is a folder, link or device" in refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dataset_name", "../Dataset007_Cells"),
        ("dataset_name", "Dataset007_Cells/../.."),
        ("dataset_name", "/tmp/Dataset007_Cells"),
        ("dataset_name", "Dataset007_Cells\n"),
        ("dataset_name", "Dataset007_" + "x" * 300),
        ("dataset_name", ""),
        ("plans_name", "../../../evil"),
        ("plans_name", "a/b"),
        ("configuration", ".."),
        ("configuration", "../3d_fullres"),
        ("folds", ["../0"]),
        ("folds", ["0", "0"]),
        ("folds", []),
        ("levels", [0]),
        ("levels", [-1]),
        ("levels", []),
        ("schema_version", 2),
        ("files", []),
        ("extra", "key"),
    ],
)
def test_a_manifest_that_leads_elsewhere(sound, tmp_path, key, value, capsys):
    hostile = Zip.read(sound)
    hostile.manifest[key] = value
    # the members are where the manifest says they are
    folder = "{dataset_name}/ddTrainer__{plans_name}__{configuration}".format(**hostile.manifest)
    hostile.members = [
        (zipfile.ZipInfo(i.filename.replace(MODEL, folder)), content) for i, content in hostile.members
    ]
    refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)


def test_a_member_that_is_not_what_the_manifest_says(sound, tmp_path, capsys):
    hostile = Zip.read(sound)
    hostile.members = [
        (info, content.replace(b"0.5", b"0.6") if info.filename.endswith("plans.json") else content)
        for info, content in hostile.members
    ]
    error = refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)
    assert "plans.json is not the one of its manifest.json" in error


def test_a_member_that_is_missing(sound, tmp_path, capsys):
    hostile = Zip.read(sound)
    hostile.members = [m for m in hostile.members if not m[0].filename.endswith("dataset.json")]
    assert "does not hold" in refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)
    hostile.manifest["files"] = [f for f in hostile.manifest["files"] if f["name"] != "dataset.json"]
    assert "lacks dataset.json" in refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("plans.json", b"{}", "a.zip, plans.json: $ lacks the key 'dataset_name'"),
        ("plans.json", b"{", "a.zip, plans.json:1:2: is not valid JSON"),
        ("dataset.json", b"[]", "a.zip, dataset.json: $ is not an object"),
        ("dataset_fingerprint.json", b"{}", "a.zip, dataset_fingerprint.json: $ lacks the key 'cases'"),
        ("fold_0/level1/checkpoint_final.safetensors", b"\x80\x04.", "holds no tensors that can be read"),
        ("fold_0/level1/checkpoint_final.safetensors", b"", "holds no tensors that can be read"),
    ],
)
def test_files_that_fit_the_manifest_and_are_no_model(sound, tmp_path, name, content, said, capsys):
    hostile = Zip.read(sound)
    hostile.replace(name, content)
    error = refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)
    assert said in error
    assert ".dd_tmp_" not in error


def test_weights_of_another_level(sound, tmp_path, capsys):
    hostile = Zip.read(sound)
    by_name = {info.filename: content for info, content in hostile.members}
    other = by_name[f"{MODEL}/fold_0/level2/checkpoint_final.safetensors"]
    hostile.replace("fold_0/level1/checkpoint_final.safetensors", other)
    error = refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)
    assert "fold_0/level1/checkpoint_final.safetensors: is of another network" in error


@pytest.mark.parametrize("order", [[0, 0], [0, 1, 2], [0, 10**12], [-1, 0]])
def test_parts_in_an_order_that_cannot_be(sound, tmp_path, order, capsys):
    hostile = Zip.read(sound)
    name = "fold_0/level1/checkpoint_final.safetensors"
    content = next(content for info, content in hostile.members if info.filename == f"{MODEL}/{name}")
    tensors = safetensors.torch.load(content) | {"order": torch.tensor(order)}
    hostile.replace(name, safetensors.torch.save(tensors))
    error = refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)
    assert f"a.zip, {name}: orders its parts" in error


def test_many_cuts_and_flipped_bytes(sound, tmp_path, capsys):
    """Whatever happens to the file: it is refused, or what comes out is what went in."""
    whole = sound.read_bytes()
    damaged = tmp_path / "damaged.zip"
    for length in (*range(0, len(whole), len(whole) // 60), *range(len(whole) - 30, len(whole))):
        damaged.write_bytes(whole[:length])
        assert install(damaged, tmp_path / "cut") == 2, length
        assert not contents_of(tmp_path / "cut")
    for position in range(0, len(whole), len(whole) // 60):
        changed = bytearray(whole)
        changed[position] ^= 0xFF
        damaged.write_bytes(changed)
        results = tmp_path / f"flipped_{position}"
        if install(damaged, results) == 0:
            again = export(results, tmp_path / f"{position}.zip", "-f", "0")
            assert again.read_bytes() == whole, position
        else:
            assert not contents_of(results), position
    assert capsys.readouterr().err.count("error: ") > 100
