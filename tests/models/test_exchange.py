"""Models that go out and come back: ZIP files and folders, and those that are not what they should be."""

from __future__ import annotations

import json
import zipfile

import pytest
import torch

from models import load_model
from models.card import CardError, read_card
from models.exchange import FILES, ExchangeError, export_model, import_exported
from models.store import WeightsError, save_model
from tests.golden.seeded import seeded_model

ITEM, WEIGHTS = FILES


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "seeded"
    model = seeded_model()
    save_model(folder, model.card, model.state_dict(), torch.float16)
    return folder


@pytest.fixture(scope="module")
def files(saved):
    return {name: (saved / name).read_bytes() for name in FILES}


def zipped(path, entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("target", ["out.zip", "deep/out"])
def test_round_trip(saved, files, tmp_path, target):
    export_model(saved, tmp_path / target)
    card = import_exported(tmp_path / target, tmp_path / "models", "other")
    assert card.name == "other"
    assert card.sha256 == read_card(saved).sha256
    assert (tmp_path / "models" / "other" / WEIGHTS).read_bytes() == files[WEIGHTS]
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["other"]
    a, b = (load_model(folder).state_dict() for folder in (saved, tmp_path / "models" / "other"))
    assert all(torch.equal(a[k], v) for k, v in b.items())


def test_what_the_item_tells_beside_the_name_stays(saved, files, tmp_path):
    export_model(saved, tmp_path / "out.zip")
    import_exported(tmp_path / "out.zip", tmp_path / "models")
    assert (tmp_path / "models" / "seeded" / ITEM).read_bytes() == files[ITEM]


def test_nothing_is_overwritten(saved, tmp_path):
    (tmp_path / "out.zip").write_bytes(b"mine")
    with pytest.raises(ExchangeError, match="exists already"):
        export_model(saved, tmp_path / "out.zip")
    assert [p.name for p in tmp_path.iterdir()] == ["out.zip"]
    export_model(saved, tmp_path / "out")
    with pytest.raises(ExchangeError, match="There is a model seeded already"):
        import_exported(tmp_path / "out", tmp_path / "models", taken=["seeded"])


def test_files_may_lie_in_one_folder(files, tmp_path):
    path = zipped(tmp_path / "in.zip", [("model-main/", ""), *((f"model-main/{n}", c) for n, c in files.items())])
    assert import_exported(path, tmp_path / "models").name == "seeded"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: [(ITEM, f[ITEM])], ExchangeError, "must hold item.json and weights.safetensors alone"),
        (lambda f: [*f.items(), ("../evil.py", "x")], ExchangeError, r"it holds .*'\.\./evil\.py'"),
        (lambda f: [*f.items(), (f"../{ITEM}", "x")], ExchangeError, "alone"),
        (lambda f: [], ExchangeError, "it holds nothing"),
        (lambda f: [(ITEM, "{"), (WEIGHTS, f[WEIGHTS])], CardError, r"in\.zip/item\.json is not a model card"),
        (lambda f: [(ITEM, "[" * 100_000), (WEIGHTS, f[WEIGHTS])], CardError, "is not a model card"),
        (lambda f: [(ITEM, f[ITEM]), (WEIGHTS, b"x")], WeightsError, r"in\.zip/.* has sha256 .*, its card says"),
        (lambda f: [(ITEM, b" " * (FILES[ITEM] + 1)), (WEIGHTS, b"x")], ExchangeError, "more than 4 MiB"),
        (lambda f: [(ITEM, named(f, "../../x")), (WEIGHTS, f[WEIGHTS])], ExchangeError, "is no name for a model"),
        (lambda f: [(ITEM, named(f, ".hidden")), (WEIGHTS, f[WEIGHTS])], ExchangeError, "is no name for a model"),
    ],
)
def test_what_is_no_exported_model_is_named_and_leaves_nothing(files, tmp_path, change, error, message):
    path = zipped(tmp_path / "in.zip", change(files))
    with pytest.raises(error, match=message):
        import_exported(path, tmp_path / "data" / "models")
    assert list((tmp_path / "data" / "models").iterdir()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "in.zip"]


def named(files, name):
    return json.dumps({**json.loads(files[ITEM]), "id": name})


def test_a_file_that_is_no_zip(tmp_path):
    (tmp_path / "in.zip").write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(ExchangeError, match="cannot be read as a model"):
        import_exported(tmp_path / "in.zip", tmp_path / "models")


def test_entries_of_a_zip_that_are_damaged(saved, tmp_path):
    export_model(saved, tmp_path / "in.zip")
    content = bytearray((tmp_path / "in.zip").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "in.zip").write_bytes(content)
    with pytest.raises(ExchangeError, match="Bad CRC"):
        import_exported(tmp_path / "in.zip", tmp_path / "models")
