"""`shoal results` tells what a store holds, answers questions to its rows, and reaches nothing else."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from shoal_cli.__main__ import main
from shoal_worker.results.record import RunInput, RunModel, told
from shoal_worker.results.run import ResultRun
from shoal_worker.results.schema import columns_of, result_schema
from tests.unit.models.conftest import Place, place, s3_server
from tests.unit.results.conftest import DIGEST, START, fill, key, plan_of, write

__all__ = ["place", "s3_server"]


class Shoal:
    """The command line on one store."""

    def __init__(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self._capsys = place, capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        options = ["--store", self.place.uri, "--credentials-dir", str(self.place.secret_dir)]
        assert main(["results", *words, *options]) == code
        printed = self._capsys.readouterr()
        return printed.out if code == 0 else printed.out + printed.err

    def json(self, *words: str) -> list[dict[str, object]]:
        return list(json.loads(self(*words, "-o", "json")))

    def sql(self, statement: str, *words: str) -> list[dict[str, object]]:
        return self.json("sql", "demo/nightly", statement, *words)


@pytest.fixture
def shoal(place: Place, capsys: pytest.CaptureFixture[str]) -> Shoal:
    """Two complete runs of a batch, one that goes on, and one of another batch."""
    for name, version in (("r1", 3), ("r2", 4)):
        run = ResultRun(*place.open(), key(name))
        run.begin(
            plan_of(
                run.key,
                created=told(START + timedelta(hours=version)),
                model=RunModel(name="towns", version=version, digest=DIGEST),
            )
        )
        for number in (0, 1):
            write(run, number, salt=version)
        run.finish()
    unfinished = ResultRun(*place.open(), key("r3"))
    unfinished.begin(plan_of(unfinished.key, created=told(START + timedelta(hours=9))))
    write(unfinished, 1)
    other = ResultRun(*place.open(), key("x", batch="weekly"))
    fill(other)
    other.finish()
    return Shoal(place, capsys)


def folder(shoal: Shoal, run: str = "r2") -> Path:
    return shoal.place.folder / "demo" / "nightly" / run


def test_ls(shoal: Shoal) -> None:
    table = shoal("ls")
    assert "demo/weekly" in table
    assert "1/2" in table
    rows = shoal.json("ls", "nightly", "-n", "demo")
    assert [(row["run"], row["state"], row["version"], row["rows"]) for row in rows] == [
        ("r3", "Running", 3, None),
        ("r2", "Complete", 4, 20),
        ("r1", "Complete", 3, 20),
    ]
    assert [row["run"] for row in shoal.json("ls", "demo/nightly", "--state", "Complete", "--version", "4")] == ["r2"]
    assert [row["run"] for row in shoal.json("ls", "--since", "2026-05-01T16:00", "--until", "2026-05-01T17:00")] == [
        "r2"
    ]
    found = list(csv.DictReader(io.StringIO(shoal("ls", "--model", "towns", "-o", "csv"))))
    assert [row["run"] for row in found] == ["r3", "r2", "r1", "x"]
    assert shoal("ls", "-n", "fish") == "No runs.\n"
    assert shoal("ls", "-n", "fish", "-o", "json") == "[]\n"


def test_show(shoal: Shoal) -> None:
    table = shoal("show", "demo/nightly")
    assert "towns version 4" in table
    assert f"{shoal.place.uri}/demo/nightly/r2" in table.replace("\n", "").replace(" ", "")
    manifest = json.loads(shoal("show", "nightly", "r1", "-n", "demo", "-o", "json"))
    assert manifest["metrics"] == {**manifest["metrics"], "dataSize": 20, "nClusters": 3, "noiseRatio": 0.2}
    assert shoal("show", "demo/nightly", "r1", "-o", "csv") == "clusterId,rows\n-1,4\n7,8\n100,4\n101,4\n"
    assert "1/2" in shoal("show", "demo/nightly", "r3")


def test_sql(shoal: Shoal) -> None:
    counts = shoal.sql("SELECT cluster_id, count(*) AS n FROM results GROUP BY 1 ORDER BY 1")
    assert counts == [
        {"cluster_id": -1, "n": 4},
        {"cluster_id": 7, "n": 8},
        {"cluster_id": 100, "n": 4},
        {"cluster_id": 101, "n": 4},
    ]
    (row,) = shoal.sql("SELECT * FROM results WHERE name = 'row 4' AND file LIKE '%1.parquet'")
    assert row == {
        "file": "s3://data/in/1.parquet",
        "row": 4,
        "label": 0,
        "cluster_id": 7,
        "distance": 6.0,
        "strength": 0.25,
        "name": "row 4",
        "height": 0,
    }
    assert shoal.sql("SELECT min(distance) AS d FROM results", "--run", "r1") == [{"d": 3.0}]
    assert shoal.sql("SELECT max(b.distance - a.distance) AS d FROM r1 a JOIN results b USING (file, row)") == [
        {"d": 1.0}
    ]
    assert shoal.sql("SELECT run, version FROM runs ORDER BY finished") == [
        {"run": "r1", "version": 3},
        {"run": "r2", "version": 4},
    ]
    assert "12,345,678" in shoal("sql", "demo/nightly", "SELECT 12345678::DOUBLE AS people")
    assert "first 100 rows" in shoal("sql", "demo/nightly", "SELECT * FROM results a, results b")
    assert shoal("sql", "demo/nightly", "SELECT row, height FROM results ORDER BY 1, file LIMIT 7", "-o", "csv") == (
        "row,height\n0,-4\n0,-4\n1,-3\n1,-3\n2,-2\n2,-2\n3,\n"
    )
    assert shoal("sql", "demo/nightly", "CREATE TABLE t AS SELECT 1") != ""


def test_sql_from_standard_input(shoal: Shoal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"SELECT count(*) AS n FROM results")))
    assert shoal.sql("-") == [{"n": 20}]


def test_values_of_every_kind_are_printed(shoal: Shoal) -> None:
    statement = """SELECT DATE '2026-05-01' AS d, 'nan'::DOUBLE AS f, '\\xFF'::BLOB AS b, [1, NULL] AS l,
        {'x': 'inf'::FLOAT} AS s, 1.50::DECIMAL(5, 2) AS n, NULL AS nothing"""
    assert shoal.sql(statement) == [
        {"d": "2026-05-01", "f": None, "b": "ff", "l": [1, None], "s": {"x": None}, "n": "1.50", "nothing": None}
    ]
    assert shoal("sql", "demo/nightly", statement, "-o", "csv").splitlines()[1] == (
        '2026-05-01,nan,ff,"[1, null]","{""x"": null}",1.50,'
    )
    table = shoal("sql", "demo/nightly", "SELECT '[red]' || chr(27) || '[2J' AS \"[bold]\"")
    assert "[red]?[2J" in table
    assert "[bold]" in table


def test_what_a_hostile_manifest_says_is_shown_harmless(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    run = ResultRun(*place.open(), key())
    model = RunModel(name="[red]\x1b[2J", version=1, digest=DIGEST)
    fill(run, 1, model=model, input=RunInput(uri="[link=http://x]\x1b]8;;http://y\x07"))
    run.finish()
    shoal = Shoal(place, capsys)
    for words in (("ls",), ("show", "demo/nightly")):
        table = shoal(*words)
        assert "[red]?[2J" in table
        assert "\x1b" not in table


FORBIDDEN = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'http://127.0.0.1:9/x.parquet'",
    "SELECT * FROM statement",
    "COPY (SELECT 1) TO '/tmp/shoal-forbidden.csv'",
    "ATTACH '/tmp/shoal-forbidden.db'",
    "EXPORT DATABASE '/tmp/shoal-forbidden'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET memory_limit = '100GB'",
    "RESET lock_configuration",
    "CREATE SECRET s (TYPE s3, KEY_ID 'x')",
]


def test_sql_reaches_nothing_else(shoal: Shoal) -> None:
    for statement in FORBIDDEN:
        shoal("sql", "demo/nightly", statement, code=2)
    assert not list(Path("/tmp").glob("shoal-forbidden*"))


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("sql", "demo/nightly", "SELECT x FROM results"), 2, "DESCRIBE results tells the columns"),
        (("sql", "demo/nightly", "SELEC"), 2, "syntax error"),
        (("sql", "demo/nightly", "SELECT 1", "--run", "r3"), 1, "the run is Running"),
        (("sql", "demo/nightly", "SELECT 1", "--run", "r9"), 1, "there is no such run"),
        (("sql", "demo/nightly", "SELECT 1", "--memory", "much"), 2, "Write 2Gi or 500M"),
        (("sql", "demo/none", "SELECT 1"), 1, "no complete run"),
        (("show", "demo/nightly", "../x"), 2, "lower-case letters"),
        (("ls", "demo/../x"), 2, "lower-case letters"),
        (("ls", "--state", "Gone"), 2, "Choose among Complete"),
        (("ls", "--since", "lately"), 2, "7d, 12h, 30m"),
        (("prune", "--keep", "0"), 2, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_done_is_told_with_the_remedy(
    shoal: Shoal, words: tuple[str, ...], code: int, told: str
) -> None:
    assert told in shoal(*words, code=code).replace("\n", " ")


def test_a_question_beyond_the_memory_uses_the_disk_or_says_so(shoal: Shoal) -> None:
    many = "(SELECT i, md5(i::VARCHAR) AS s FROM range(1500000) t(i))"
    (row,) = shoal.sql(f"SELECT count(*) AS n FROM (SELECT * FROM {many} ORDER BY s LIMIT 1400000)", "--memory", "64Mi")
    assert row == {"n": 1_400_000}
    told = shoal("sql", "demo/nightly", f"SELECT list(s) FROM {many}", "--memory", "32Mi", code=1)
    assert "--memory" in told


def test_damage_is_told_by_sql_and_verify(shoal: Shoal) -> None:
    assert shoal("verify") == "3 sound, 0 not as they were.\n"
    rows = sorted(folder(shoal).glob("*.parquet"))[1]
    content = bytearray(rows.read_bytes())
    place = content.index(b"PAR1") + 60
    content[place] ^= 255
    rows.write_bytes(content)
    told = shoal("sql", "demo/nightly", "SELECT * FROM results", code=1)
    assert "`shoal results verify` tells whether it is damaged" in told.replace("\n", " ")
    told = shoal("verify", "demo/nightly", code=1)
    assert "demo/nightly/r2: run: the file has not the sha256" in told.replace("\n", " ")
    assert "1 sound, 1 not as they were" in told
    assert "not complete" in shoal("verify", "demo/nightly", "r3", code=1)


def test_rows_that_vanish_are_told(shoal: Shoal) -> None:
    for rows in folder(shoal).glob("*.parquet"):
        rows.unlink()
    assert "is gone" in shoal("sql", "demo/nightly", "SELECT 1", "--run", "r2", code=1)
    assert "Broken" in shoal("show", "demo/nightly", "r2")
    assert shoal.sql("SELECT count(*) AS n FROM results") == [{"n": 20}]


def test_prune(shoal: Shoal) -> None:
    assert "Add --yes" in shoal("prune", "demo/nightly", "--keep", "1", code=2)
    assert "r1" in shoal("prune", "demo/nightly", "--keep", "1", "--dry-run")
    assert len(shoal.json("ls", "demo/nightly")) == 3
    assert shoal("prune", "--keep", "1", "--yes").endswith("1 deleted.\n")
    assert [row["run"] for row in shoal.json("ls", "demo/nightly")] == ["r3", "r2"]
    assert shoal("prune", "--older-than-days", "1", "--yes") == "Nothing to delete.\n"


def test_carried_columns_of_other_types(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    carried = {
        "when": pa.array([0, 1], pa.timestamp("us")),
        "kind": pa.array(["a", "b"]).dictionary_encode(),
        "tags": pa.array([["x"], []], pa.list_(pa.string())),
        "price": pa.array([1, None], pa.decimal128(9, 2)),
        "half": pa.array([0.5, 2.5], pa.float16()),
        "big": pa.array([2**64 - 1, 0], pa.uint64()),
    }
    schema = result_schema(carried=[pa.field(name, values.type) for name, values in carried.items()])
    run = ResultRun(*place.open(), key("types"))
    run.begin(plan_of(run.key, parts=1, schema=schema, columns=columns_of(schema)))
    own = [
        pa.array(["f", "f"]),
        pa.array([0, 1]),
        pa.array([0, -1], pa.int32()),
        pa.array([5, -1]),
        pa.array([0.5, 1.0]),
    ]
    with run.write_part(0, schema) as part:
        part.write(pa.RecordBatch.from_arrays([*own, *carried.values()], schema=schema))
        part.finish()
    manifest = run.finish()
    assert manifest.ranges["big"].max == 2**64 - 1
    (row, _) = Shoal(place, capsys).sql("SELECT * FROM results ORDER BY row")
    assert {name: row[name] for name in carried} == {
        "when": "1970-01-01T00:00:00",
        "kind": "a",
        "tags": ["x"],
        "price": "1.00",
        "half": 0.5,
        "big": 2**64 - 1,
    }
