"""All tests run, whatever one of them meets, and the last good version is asked for the same rows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shoal_worker.artifact.files import ArtifactFiles
from shoal_worker.errors import TrainingFailed
from shoal_worker.settings import TrainSettings
from shoal_worker.spec.training import BaselineSpec
from shoal_worker.spec.validation import ValidationSpec
from shoal_worker.training.baseline import Baseline, BaselineLost, load_baseline
from shoal_worker.validation.judgement import Judgement, Judgements
from shoal_worker.validation.run import validate
from shoal_worker.validation.subject import Subject
from tests.unit.worker.harness import MACHINE, make_spec, make_table, train_table
from tests.unit.worker.validation.conftest import take_subject

RELATIVE = {"minSilhouetteRatio": 0.9, "minDbcvRatio": 0.9, "minAgreement": 0.9}


def spec(**fields: Any) -> ValidationSpec:
    return ValidationSpec.model_validate(fields)


@pytest.fixture
def baseline(stored: Path, files: ArtifactFiles, tmp_path: Path) -> Baseline:
    settings = TrainSettings(training_spec="{}", file_root=tmp_path, cache_dir=tmp_path / "cache")
    loaded = load_baseline(
        BaselineSpec(version=1, uri=f"file://{stored}", digest=files.digest), "blobs", settings, MACHINE
    )
    assert isinstance(loaded, Baseline)
    return loaded


def verdicts(judged: Judgements) -> dict[str, str]:
    return {test.name: test.verdict for test in judged.tests}


def test_a_test_that_breaks_has_failed_and_the_others_run(subject: Subject) -> None:
    def fall_over(*_: object) -> Any:
        raise ZeroDivisionError("surprise")

    refit = replace(subject.refit, fit=fall_over)
    judged = validate(replace(subject, refit=refit), spec(), None)
    assert verdicts(judged)["reproducibility"] == "fail"
    assert "ZeroDivisionError: surprise" in next(t.message for t in judged.tests if t.name == "reproducibility")
    assert [name for name, verdict in verdicts(judged).items() if verdict == "fail"] == ["reproducibility"]
    assert judged.verdict == "fail"


def test_being_told_to_stop_is_no_failure_of_a_test(subject: Subject) -> None:
    def stop(*_: object) -> Any:
        raise TrainingFailed("told to stop", transient=True)

    with pytest.raises(TrainingFailed):
        validate(replace(subject, refit=replace(subject.refit, fit=stop)), spec(), None)


def test_a_dry_run_tells_the_verdict_and_rejects_nothing(subject: Subject) -> None:
    tests = {"performance": {"maxMillisPerSample": 1e-9, "dryRun": True}, "limits": {"dryRun": True}}
    judged = validate(subject, spec(tests=tests, minClusters=9), None)
    assert verdicts(judged)["performance"] == verdicts(judged)["minClusters"] == "fail"
    assert judged.verdict == "pass"
    assert [warning.split(":")[0] for warning in judged.warnings] == ["performance", "minClusters"]


def test_the_same_clustering_keeps_its_relative_limits(subject: Subject, baseline: Baseline) -> None:
    judged = validate(subject, spec(relative=RELATIVE), baseline)
    assert [verdicts(judged)[name] for name in RELATIVE] == ["pass"] * 3
    agreement = next(test for test in judged.tests if test.name == "minAgreement")
    assert agreement.figures["baselineVersion"] == 1


def test_another_clustering_breaks_them(baseline: Baseline) -> None:
    table = make_table(400)
    other = take_subject(table, make_spec(algorithm={"dbscan": {"eps": 0.12, "minSamples": 4}}))
    judged = validate(other, spec(relative=RELATIVE), baseline)
    assert [verdicts(judged)[name] for name in RELATIVE] == ["fail"] * 3
    assert judged.verdict == "fail"


@pytest.mark.parametrize("lost", [True, False])
def test_a_version_that_is_gone_or_of_other_columns_is_warned_of(
    subject: Subject, baseline: Baseline, lost: bool
) -> None:
    renamed = replace(subject, frame=make_table(400, columns=("longitude", "latitude")))
    which = BaselineLost(1, "the artifact is not in the store") if lost else baseline
    judged = validate(subject if lost else renamed, spec(relative=RELATIVE), which)
    assert [verdicts(judged)[name] for name in RELATIVE] == ["warn"] * 3
    assert {"minSilhouetteRatio", "minDbcvRatio", "minAgreement"} <= {told.split(":")[0] for told in judged.warnings}
    assert ("not in the store" if lost else "raw columns differ") in judged.warnings[-1]


def test_a_training_is_validated_and_recorded() -> None:
    trained = train_table(make_table(), make_spec(validation={"tests": {"memory": {"maxBytes": 1}}}))
    assert trained.validation.verdict == "fail"
    record = trained.validation.as_record()
    memory = next(test for test in record["tests"] if test["name"] == "memory")
    assert memory["limits"] == {"maxBytes": 1}
    assert memory["figures"]["modelBytes"] > 1


def test_a_record_has_no_number_that_json_lacks() -> None:
    judged = Judgement("memory", "warn", "m" * 5000, {"extent": float("inf"), "rows": 3, "ratio": 1 / 3})
    record = judged.as_record()
    assert record["figures"] == {"rows": 3, "ratio": 0.333333}
    assert len(record["message"]) == 1000
