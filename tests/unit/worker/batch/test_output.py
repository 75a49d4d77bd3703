"""What becomes of a batch's results beside being stored: a PostgreSQL table has every row once, old runs go."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from shoal_worker.errors import StoreUnavailable
from shoal_worker.results.sink import PostgresSink
from tests.postgres import PostgresServer, postgres_server
from tests.unit.worker.batch.conftest import Step, make_rows
from tests.unit.worker.batch.test_steps import do_all, read_results

__all__ = ["postgres_server"]


@pytest.fixture
def output(postgres_server: PostgresServer, tmp_path: Path) -> dict[str, Any]:
    """spec.output with a fresh table."""
    (tmp_path / "sink").mkdir()
    (tmp_path / "sink" / "PGUSER").write_text(postgres_server.user)
    (tmp_path / "sink" / "PGPASSWORD").write_text(postgres_server.password)
    postgres_server.ask("DROP TABLE IF EXISTS labels")
    return {
        "uri": f"file://{tmp_path}/results",
        "columns": ["id", "name"],
        "postgres": {"uri": postgres_server.place, "table": "labels"},
    }


def test_the_table_has_what_the_store_has(step: Step, output: dict[str, Any], postgres_server: PostgresServer) -> None:
    table = read_results(do_all(step, output=output))
    names = [name for name in table.column_names if name != "distance"]
    found = postgres_server.ask(f"SELECT {', '.join(names)} FROM labels ORDER BY file, row")
    assert found == list(zip(*(table[name].to_pylist() for name in names), strict=True))
    assert postgres_server.ask("SELECT count(DISTINCT part), count(DISTINCT run_id) FROM labels") == [(5, 1)]


def test_every_step_may_be_done_again(
    step: Step, output: dict[str, Any], postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = step("plan", output=output)
    load = PostgresSink.load

    def cut_off(self: PostgresSink, *arguments: Any) -> Any:
        load(self, *arguments)
        raise StoreUnavailable("the pod was killed", field="test")

    with monkeypatch.context() as patch:
        # All was stored and loaded, but nobody was told.
        patch.setattr(PostgresSink, "load", cut_off)
        step("shard", run=plan["run"], shard=0, output=output, code=2)
    do_all(step, output=output)
    do_all(step, output=output)
    assert postgres_server.ask("SELECT count(*), count(DISTINCT id) FROM labels") == [(900, 900)]


def test_a_table_that_is_named_later_gets_the_whole_run(
    step: Step, output: dict[str, Any], postgres_server: PostgresServer
) -> None:
    before = do_all(step, output={**output, "postgres": None})
    assert do_all(step, output=output)["digest"] == before["digest"]
    assert postgres_server.ask("SELECT count(*), count(DISTINCT id) FROM labels") == [(900, 900)]


def test_one_shard_is_loaded_by_the_plan(step: Step, output: dict[str, Any], postgres_server: PostgresServer) -> None:
    assert step("plan", rowsPerShard=1_000_000, output=output)["result"]["rows"] == 900
    assert postgres_server.ask("SELECT count(*) FROM labels") == [(900,)]


def test_a_table_that_does_not_fit_is_told_before_any_work(
    step: Step, output: dict[str, Any], postgres_server: PostgresServer, tmp_path: Path
) -> None:
    postgres_server.ask("CREATE TABLE labels (run_id text, part integer)")
    told = step("plan", output=output, code=1)
    assert (told["field"], told["value"]) == ("spec.output.postgres.table", "labels")
    assert not (tmp_path / "results").exists()


def test_a_database_that_refuses_is_told(step: Step, output: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "sink" / "PGPASSWORD").write_text("wrong")
    told = step("plan", output=output, code=2)
    assert (told["reason"], told["field"]) == ("CredentialsRejected", "spec.output.postgres.secretRef")


def test_old_runs_go_from_store_and_table(
    step: Step, output: dict[str, Any], postgres_server: PostgresServer, data: Path, tmp_path: Path
) -> None:
    runs = []
    for number in range(3):
        pq.write_table(make_rows(100, 7 + number), data / "day=0" / "rows.parquet")
        runs.append(do_all(step, output={**output, "retention": {"keepRuns": 2}})["uri"].rpartition("/")[2])
    assert sorted(each.name for each in (tmp_path / "results" / "demo" / "nightly").iterdir()) == sorted(runs[1:])
    assert postgres_server.ask("SELECT DISTINCT run_id FROM labels ORDER BY 1") == [
        (f"demo/nightly/{run}",) for run in sorted(runs[1:])
    ]


def test_a_run_is_complete_even_where_old_ones_cannot_go(
    step: Step, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise StoreUnavailable("no", field="test")

    output = {"uri": f"file://{tmp_path}/results", "retention": {"keepRuns": 1}}
    do_all(step, output=output)
    pq.write_table(make_rows(100, 9), data / "day=0" / "rows.parquet")
    monkeypatch.setattr("shoal_worker.results.store.ResultStore.delete", refuse)
    assert do_all(step, output=output)["rows"] == 700
    assert len(list((tmp_path / "results" / "demo" / "nightly").iterdir())) == 2
