"""Versions are numbered once, told as they are, moved and deleted with care; on files and on a real S3 server."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from shoal_worker.artifact.files import ArtifactFiles, directory_name
from shoal_worker.errors import ArtifactInvalid, SettingsInvalid, StoreUnavailable, VersionRefused
from shoal_worker.models.record import ModelKey, StoredVersion, model_key
from shoal_worker.models.store import ModelStore
from shoal_worker.store.objects import Location, Store
from tests.unit.models.conftest import KEY, LIMIT, START, Place, draft

OTHER = ModelKey("fish", "villages")
CARD = {"card.html": b"<html>", "card.png": b"picture"}


def numbers(models: ModelStore, key: ModelKey = KEY) -> list[int]:
    return [version.number for version in models.list(key).versions]


def files_of(place: Place, digest: str) -> set[str]:
    folder = place.folder / "artifacts" / directory_name(digest)
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


class TestNumbers:
    def test_they_count_up(self, models: ModelStore, files: ArtifactFiles) -> None:
        made = [models.save(KEY, draft(files, training), files).number for training in "abc"]
        assert made == [1, 2, 3]
        assert numbers(models) == [1, 2, 3]

    def test_each_model_has_its_own(self, models: ModelStore, files: ArtifactFiles) -> None:
        assert models.save(KEY, draft(files), files).number == 1
        assert models.save(OTHER, draft(files), files).number == 1
        assert models.models() == (KEY, OTHER)

    def test_they_begin_above_what_is_known_elsewhere(self, models: ModelStore, files: ArtifactFiles) -> None:
        assert models.save(KEY, draft(files, after=7), files).number == 8

    def test_a_training_that_is_repeated_makes_one_version(self, models: ModelStore, files: ArtifactFiles) -> None:
        first = models.save(KEY, draft(files), files)
        assert models.save(KEY, draft(files), files) == first
        assert numbers(models) == [1]

    def test_data_that_changed_before_the_repetition_do_not_change_the_version(
        self, models: ModelStore, files: ArtifactFiles, other_files: ArtifactFiles
    ) -> None:
        first = models.save(KEY, draft(files), files)
        again = models.save(KEY, draft(other_files), other_files)
        assert again == first
        assert again.digest == files.digest

    def test_the_same_training_asked_for_later_makes_another(self, models: ModelStore, files: ArtifactFiles) -> None:
        """The operator goes back to an older spec: it knows of both versions, and wants a third."""
        models.save(KEY, draft(files, "a"), files)
        models.save(KEY, draft(files, "b", after=1), files)
        assert models.save(KEY, draft(files, "a", after=2), files).number == 3
        assert models.save(KEY, draft(files, "a", after=2), files).number == 3

    def test_a_number_is_not_given_again(self, models: ModelStore, files: ArtifactFiles) -> None:
        models.save(KEY, draft(files, "a"), files)
        models.delete(KEY, 1)
        assert models.save(KEY, draft(files, "a"), files).number == 2

    def test_trainings_at_once_get_different_ones(self, place: Place, files: ArtifactFiles) -> None:
        def save(training: int) -> int:
            return place.models().save(KEY, draft(files, f"t{training % 8}"), files).number

        with ThreadPoolExecutor(16) as pool:
            made = list(pool.map(save, range(32)))
        assert sorted(set(made)) == list(range(1, 9))
        assert {made[i] for i in range(0, 32, 8)} == {made[0]}, "one training, one number"
        assert numbers(place.models()) == list(range(1, 9))

    def test_processes_at_once_get_different_ones(self, place: Place, files: ArtifactFiles, tmp_path: Path) -> None:
        processes = [start_saver(place, files, tmp_path / f"p{i}", trainings=f"p{i}-", count=5) for i in range(3)]
        assert [process.wait(60) for process in processes] == [0, 0, 0]
        assert numbers(place.models()) == list(range(1, 16))


class TestListing:
    def test_it_tells_state_time_labels_and_figures(self, models: ModelStore, files: ArtifactFiles) -> None:
        models.save(KEY, draft(files, "a", labels={"team": "maps"}), files)
        models.save(KEY, draft(files, "b", verdict="fail"), files)
        listing = models.list(KEY)
        first, second = listing.versions
        assert (first.state, first.labels, first.created) == ("Active", {"team": "maps"}, "2026-05-01T00:01:00Z")
        assert (first.rows, first.clusters, first.noise_ratio) == (201, 2, 0.005)
        assert second.state == "Rejected"
        assert listing.problems == ()

    def test_it_filters(self, models: ModelStore, files: ArtifactFiles) -> None:
        for training, label in (("a", "x"), ("b", "y"), ("c", "x")):
            models.save(KEY, draft(files, training, labels={"kind": label}), files)
        models.retire(KEY, 3)

        def found(versions: tuple[StoredVersion, ...]) -> list[int]:
            return [version.number for version in versions]

        assert found(models.list(KEY, labels={"kind": "x"}).versions) == [1, 3]
        assert found(models.list(KEY, states={"Retired"}).versions) == [3]
        assert found(models.list(KEY, since=START + timedelta(minutes=2)).versions) == [2, 3]
        assert found(models.list(KEY, until=START + timedelta(minutes=2)).versions) == [1]

    def test_latest_is_the_newest_that_can_be_served(self, models: ModelStore, files: ArtifactFiles) -> None:
        with pytest.raises(VersionRefused, match="no version that can be served"):
            models.latest(KEY)
        for training, verdict in (("a", "pass"), ("b", "pass"), ("c", "fail")):
            models.save(KEY, draft(files, training, verdict=verdict), files)
        assert models.latest(KEY).number == 2
        models.retire(KEY, 2)
        assert models.latest(KEY).number == 1

    def test_many_versions_fold_into_a_catalog_that_may_be_lost(self, place: Place, files: ArtifactFiles) -> None:
        models = place.models()
        for i in range(70):
            models.save(KEY, draft(files, f"t{i}"), files)
        models.retire(KEY, 40)
        catalog = place.folder / "models" / "fish" / "towns" / "catalog.json"
        assert catalog.is_file()
        before = models.list(KEY).versions
        assert len(before) == 70
        assert before[39].state == "Retired"
        catalog.unlink()
        assert models.list(KEY).versions == before
        assert catalog.is_file(), "it is made anew"
        content = bytearray(catalog.read_bytes())
        content[len(content) // 2] ^= 1
        catalog.write_bytes(content)
        spoilt = models.list(KEY)
        assert spoilt.versions == before
        assert "spoilt" in spoilt.problems[0].message
        assert models.list(KEY).problems == ()

    def test_what_is_corrupt_or_foreign_is_told_and_passed_over(self, place: Place, files: ArtifactFiles) -> None:
        models = place.models()
        for training in "abcde":
            models.save(KEY, draft(files, training), files)
        log = place.folder / "models" / "fish" / "towns" / "log"
        entries = sorted(log.iterdir())
        entries[0].write_bytes(entries[0].read_bytes()[:100])
        flipped = bytearray(entries[1].read_bytes())
        flipped[flipped.index(b"Succeeded")] ^= 1
        entries[1].write_bytes(flipped)
        with entries[2].open("wb") as giant:
            giant.truncate(2 << 20)
        (log / "readme.txt").write_text("hello")
        (log / "000000000001.json.bak").write_text("{}")
        (place.folder / "models" / "UPPER" / "x").mkdir(parents=True)
        (place.folder / "models" / "UPPER" / "x" / "y").write_text("z")
        listing = models.list(KEY)
        assert [version.number for version in listing.versions] == [4, 5]
        assert len(listing.problems) == 5
        assert models.models() == (KEY,)
        assert models.save(KEY, draft(files, "f"), files).number == 6

    def test_a_lost_entry_may_have_held_the_last_number(self, place: Place, files: ArtifactFiles) -> None:
        models = place.models()
        for training in "ab":
            models.save(KEY, draft(files, training), files)
        (place.folder / "models" / "fish" / "towns" / "log" / "000000000002.json").write_bytes(b"{")
        assert models.save(KEY, draft(files, "c"), files).number == 3
        assert models.save(KEY, draft(files, "d"), files).number == 4

    @pytest.mark.parametrize("name", ["", "..", "a/b", "../x", "A", "a\n", "x" * 300, "-a"])
    def test_names_lead_nowhere(self, name: str) -> None:
        with pytest.raises(SettingsInvalid):
            model_key("fish", name)


class TestStates:
    def test_what_is_asked_twice_happens_once(self, place: Place, files: ArtifactFiles) -> None:
        models = place.models()
        models.save(KEY, draft(files), files)
        first = models.retire(KEY, 1)
        assert models.retire(KEY, 1) == first
        assert len(list((place.folder / "models" / "fish" / "towns" / "log").iterdir())) == 2

    def test_a_rejected_version_never_becomes_active(self, models: ModelStore, files: ArtifactFiles) -> None:
        models.save(KEY, draft(files, verdict="fail"), files)
        with pytest.raises(VersionRefused, match="failed its validation"):
            models.change(KEY, 1, "Active")
        models.archive(KEY, 1)
        assert models.unarchive(KEY, 1).state == "Rejected"

    def test_archiving_moves_the_files_and_unarchiving_brings_them_back(
        self, place: Place, files: ArtifactFiles
    ) -> None:
        models = place.models()
        models.save(KEY, draft(files), files)
        models.keep_card(KEY, 1, CARD)
        assert models.archive(KEY, 1).state == "Archived"
        assert files_of(place, files.digest) == set()
        assert models.load(KEY, 1).digest == files.digest
        assert models.card(KEY, 1) == CARD
        assert models.unarchive(KEY, 1).state == "Active"
        card = {"fish.towns-v1.card.html", "fish.towns-v1.card.png"}
        assert files_of(place, files.digest) == {"manifest.json", "model.safetensors", *card}
        assert models.files(KEY, 1)["card.html"] == b"<html>"
        assert models.verify(KEY, 1) == files.size

    def test_versions_of_one_artifact_have_their_own_cards(self, place: Place, files: ArtifactFiles) -> None:
        models = place.models()
        for training in ("a", "b", "c"):
            number = models.save(KEY, draft(files, training), files).number
            models.keep_card(KEY, number, {**CARD, "card.html": training.encode()})
        models.archive(KEY, 1)
        models.delete(KEY, 2)
        assert files_of(place, files.digest) == {
            "manifest.json", "model.safetensors", "fish.towns-v3.card.html", "fish.towns-v3.card.png"
        }  # fmt: skip
        assert [models.card(KEY, number)["card.html"] for number in (1, 3)] == [b"a", b"c"]
        assert models.unarchive(KEY, 1).state == "Active"
        assert models.card(KEY, 1)["card.html"] == b"a"
        with pytest.raises(VersionRefused, match="was deleted"):
            models.card(KEY, 2)
        models.delete(KEY, 1)
        models.delete(KEY, 3)
        assert not [path for path in place.folder.rglob("*card*") if path.is_file()], "a card shows rows of the data"

    def test_a_version_without_a_card_is_as_good(self, models: ModelStore, files: ArtifactFiles) -> None:
        models.save(KEY, draft(files), files)
        assert models.card(KEY, 1) == {}
        models.archive(KEY, 1)
        assert models.unarchive(KEY, 1).state == "Active"

    def test_a_user_in_a_source_is_not_recorded(self, models: ModelStore, files: ArtifactFiles) -> None:
        models.save(KEY, draft(files, source="postgresql://me:secret@db/towns"), files)
        assert models.record(KEY, 1).source == "postgresql://db/towns"

    def test_files_that_another_version_needs_stay(self, place: Place, files: ArtifactFiles) -> None:
        models = place.models()
        models.save(KEY, draft(files), files)
        models.save(OTHER, draft(files), files)
        models.archive(KEY, 1)
        assert models.verify(OTHER, 1) == files.size
        models.delete(KEY, 1)
        assert models.verify(OTHER, 1) == files.size
        models.delete(OTHER, 1)
        assert files_of(place, files.digest) == set()
        left = [path for path in (place.folder / "archive").rglob("*") if path.is_file()]
        assert left == []

    def test_a_deleted_version_is_gone_but_for_its_record(self, models: ModelStore, files: ArtifactFiles) -> None:
        models.save(KEY, draft(files), files)
        models.delete(KEY, 1)
        assert models.delete(KEY, 1).state == "Deleted"
        assert numbers(models) == []
        assert [each.number for each in models.list(KEY, states={"Deleted"}).versions] == [1]
        assert models.record(KEY, 1).digest == files.digest
        with pytest.raises(VersionRefused, match="was deleted on 2026-05-01"):
            models.load(KEY, 1)
        with pytest.raises(VersionRefused, match="version 1 is Deleted"):
            models.change(KEY, 1, "Active")

    @pytest.mark.parametrize("to", ["Archived", "Deleted"])
    def test_what_is_in_use_stays(self, models: ModelStore, files: ArtifactFiles, to: str) -> None:
        models.save(KEY, draft(files), files)
        with pytest.raises(VersionRefused, match="in use"):
            models.change(KEY, 1, to, in_use=[files.digest])  # type: ignore[arg-type]
        assert models.verify(KEY, 1) == files.size

    def test_another_store_is_noticed_by_the_digest(
        self, models: ModelStore, files: ArtifactFiles, other_files: ArtifactFiles
    ) -> None:
        models.save(KEY, draft(files), files)
        with pytest.raises(VersionRefused, match="another digest"):
            models.change(KEY, 1, "Deleted", digest=other_files.digest)

    def test_an_unknown_version_is_told(self, models: ModelStore) -> None:
        with pytest.raises(VersionRefused, match="no such version"):
            models.retire(KEY, 1)

    def test_labels_change(self, models: ModelStore, files: ArtifactFiles) -> None:
        models.save(KEY, draft(files, labels={"a": "1", "b": "2"}), files)
        assert models.label(KEY, 1, {"a": None, "c": "3"}).labels == {"b": "2", "c": "3"}
        assert models.list(KEY, labels={"c": "3"}).versions[0].number == 1

    def test_opposite_changes_at_once_leave_one_of_the_states_whole(self, place: Place, files: ArtifactFiles) -> None:
        models = place.models()
        models.save(KEY, draft(files), files)

        def change(i: int) -> None:
            with suppress(VersionRefused):
                place.models().change(KEY, 1, ("Retired", "Active")[i % 2])  # type: ignore[arg-type]

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(change, range(16)))
        assert models.find(KEY, 1).state in ("Retired", "Active")
        assert models.verify(KEY, 1) == files.size


class TestFiles:
    def test_what_was_saved_is_loaded(self, models: ModelStore, files: ArtifactFiles) -> None:
        record = models.save(KEY, draft(files), files)
        artifact = models.load(KEY, record.number)
        assert artifact.digest == files.digest
        assert models.record(KEY, 1).report["version"] == 1

    def test_a_flipped_bit_is_told(self, place: Place, files: ArtifactFiles) -> None:
        models = place.models()
        models.save(KEY, draft(files), files)
        path = place.folder / "artifacts" / directory_name(files.digest) / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(ArtifactInvalid, match="does not match the manifest"):
            models.verify(KEY, 1)
        with pytest.raises(ArtifactInvalid):
            models.load(KEY, 1)
        with pytest.raises(ArtifactInvalid):
            models.archive(KEY, 1)
        assert models.find(KEY, 1).state == "Active"
        models.save(KEY, draft(files), files)
        assert models.verify(KEY, 1) == files.size, "the training repeated heals it"

    def test_a_deleted_artifact_is_told_and_its_version_can_be_deleted(
        self, place: Place, files: ArtifactFiles
    ) -> None:
        models = place.models()
        models.save(KEY, draft(files), files)
        (place.folder / "artifacts" / directory_name(files.digest) / "model.safetensors").unlink()
        with pytest.raises(ArtifactInvalid, match="not in the store"):
            models.verify(KEY, 1)
        assert models.delete(KEY, 1).state == "Deleted"

    def test_only_a_card_lies_beside_a_model(self, place: Place, files: ArtifactFiles) -> None:
        models = place.models()
        models.save(KEY, draft(files), files)
        models.keep_card(KEY, 1, {**CARD, "../x": b""})
        assert models.card(KEY, 1) == CARD
        assert not list(place.folder.rglob("x"))

    def test_records_are_read_back_from_the_log_alone(self, models: ModelStore, files: ArtifactFiles) -> None:
        for training in "abc":
            models.save(KEY, draft(files, training), files)
        models.delete(KEY, 2)
        found = list(models.recorded(KEY))
        assert [(version.state, record.number) for version, record in found] == [("Active", 1), ("Active", 3)]


class FailingStore(Store):
    """A store that fails at its k-th write, before or after doing it, as a network does."""

    writes = 0
    fail_at = -1
    after = False

    def _at_write(self, do: object) -> object:
        self.writes += 1
        failing = self.writes == self.fail_at
        if failing and not self.after:
            raise StoreUnavailable("injected")
        outcome = do()  # type: ignore[operator]
        if failing:
            raise StoreUnavailable("injected, though it was done")
        return outcome

    def write(self, location: Location, content: bytes | memoryview) -> None:
        self._at_write(lambda: super(FailingStore, self).write(location, content))

    def create(self, location: Location, content: bytes | memoryview) -> bool:
        return bool(self._at_write(lambda: super(FailingStore, self).create(location, content)))

    def copy(self, source: Location, target: Location) -> None:
        self._at_write(lambda: super(FailingStore, self).copy(source, target))

    def delete(self, location: Location) -> None:
        self._at_write(lambda: super(FailingStore, self).delete(location))


def failing(place: Place, at: int, after: bool) -> tuple[ModelStore, FailingStore]:
    store, base = place.open()
    store.__class__ = FailingStore
    assert isinstance(store, FailingStore)
    store.fail_at, store.after = at, after
    return ModelStore(store, base, limit=LIMIT, clock=lambda: START), store


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
class TestCrashes:
    def test_a_save_cut_off_anywhere_leaves_nothing_or_all(
        self, place: Place, files: ArtifactFiles, after: bool
    ) -> None:
        key, at = KEY, 0
        while True:
            at += 1
            key = ModelKey("fish", f"towns-{at}")
            models, store = failing(place, at, after)
            try:
                models.save(key, draft(files), files)
                break
            except StoreUnavailable:
                pass
            sound = place.models()
            for version in sound.list(key).versions:
                assert sound.verify(key, version.number) == files.size
            assert sound.save(key, draft(files), files).number == 1
            assert numbers(sound, key) == [1]
        assert at == 4, "model, manifest and entry were each cut off"
        assert store.writes == 3

    @pytest.mark.parametrize("to", ["Archived", "Deleted", "Active"])
    def test_a_change_cut_off_anywhere_is_finished_by_the_next(
        self, place: Place, files: ArtifactFiles, after: bool, to: str
    ) -> None:
        at = 0
        while True:
            at += 1
            key = ModelKey("fish", f"towns-{at}")
            sound = place.models()
            sound.save(key, draft(files), files)
            if to == "Active":
                sound.archive(key, 1)
            models, _store = failing(place, at, after)
            try:
                models.change(key, 1, to)  # type: ignore[arg-type]
                break
            except StoreUnavailable:
                pass
            if sound.find(key, 1).state != "Deleted":
                assert sound.verify(key, 1) == files.size
            assert sound.change(key, 1, to).state == to  # type: ignore[arg-type]
            if to != "Deleted":
                assert sound.verify(key, 1) == files.size
            sound.delete(key, 1)
        assert at > 3, "two copies and an entry were each cut off"
        if to == "Deleted":
            assert files_of(place, files.digest) == set()


_SAVER = """
import os, signal, sys
from pathlib import Path
from shoal_worker.artifact.files import ArtifactFiles
from shoal_worker.models.record import Draft, ModelKey
from shoal_worker.models.store import ModelStore
from shoal_worker.store import objects
uri, secret, root, folder, trainings, count, kill_at = sys.argv[1:]
files = ArtifactFiles(Path(folder, "manifest").read_bytes(), Path(folder, "model").read_bytes())
store, base = objects.open_store(uri, field="storeUri", secret_dir=Path(secret), file_root=Path(root))
writes = 0
def dying(do):
    def wrapped(*arguments, **named):
        global writes
        writes += 1
        if writes == int(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)
        return do(*arguments, **named)
    return wrapped
objects.obstore.put = dying(objects.obstore.put)
models = ModelStore(store, base, limit=1 << 30)
for i in range(int(count)):
    report = {"validation": {"verdict": "pass"}}
    models.save(ModelKey("fish", "towns"), Draft(f"{trainings}{i}", files.digest, report), files)
"""


def start_saver(
    place: Place, files: ArtifactFiles, folder: Path, *, trainings: str, count: int, kill_at: int = 0
) -> subprocess.Popen[bytes]:
    """Start a process that saves versions, and kills itself with SIGKILL before one of its writes."""
    folder.mkdir()
    (folder / "manifest").write_bytes(files.manifest)
    (folder / "model").write_bytes(bytes(files.model))
    told = [place.uri, place.secret_dir, place.file_root, folder, trainings, count, kill_at]
    return subprocess.Popen([sys.executable, "-c", _SAVER, *map(str, told)])


def test_a_killed_process_leaves_nothing_or_all(place: Place, files: ArtifactFiles, tmp_path: Path) -> None:
    for kill_at in range(1, 6):
        process = start_saver(place, files, tmp_path / f"k{kill_at}", trainings="t", count=2, kill_at=kill_at)
        assert process.wait(60) == -9
        models = place.models()
        for version in models.list(KEY).versions:
            assert models.verify(KEY, version.number) == files.size
    assert start_saver(place, files, tmp_path / "last", trainings="t", count=2).wait(60) == 0
    assert numbers(place.models()) == [1, 2]
