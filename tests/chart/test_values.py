"""What the chart refuses, that its defaults are documented, and its CRDs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.chart.conftest import CHART, Rendered

CRDS = CHART.parents[1] / "crds"


def test_helm_lint_finds_nothing(helm: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("replicas=2", "replicas"),
        ("operator.replica=2", "replica"),
        ("operator.replicas=3", "replicas"),
        ("operator.image.pullPolicy=Sometimes", "pullPolicy"),
        ("operator.logLevel=debug", "logLevel"),
        ("store.uri=gopher://a", "uri"),
        ("store.uri=file:///srv/models", "uri"),
        ("store.claim.size=much", "size"),
        ("rbac.scope=galaxy", "scope"),
        ("rbac.watchNamespaces={Not_a_name}", "watchNamespaces"),
    ],
)
def test_a_wrong_value_is_refused_by_name(refusal: Callable[..., str], setting: str, named: str) -> None:
    assert named in refusal(setting)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        (("rbac.scope=namespaced",), "name the namespaces to serve"),
        (("rbac.watchNamespaces={team-a}",), "set rbac.scope to namespaced"),
        (("store.secretName=credentials",), "use an s3:// store"),
    ],
)
def test_values_that_contradict_each_other_are_refused_with_the_remedy(
    refusal: Callable[..., str], settings: tuple[str, ...], remedy: str
) -> None:
    assert remedy in refusal(*settings)


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in values.items():
        where = f"{path}.{key}" if path else key
        if isinstance(value, dict) and value and key != "resources":
            yield from leaves(value, where)
        else:
            yield where


def test_every_value_is_in_the_installation_guide() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    guide = (CHART.parents[1] / "docs/install.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `([\w.]+)` \|", guide.split("## Values")[1], re.MULTILINE))
    assert told == set(leaves(values))


def test_the_charts_crds_are_the_generated_ones_and_stay_behind(render: Callable[..., Rendered]) -> None:
    rendered = {crd["metadata"]["name"]: crd for crd in render().of("CustomResourceDefinition")}
    assert len(rendered) == len(list(CRDS.glob("*.yaml")))
    for file in CRDS.glob("*.yaml"):
        generated = yaml.safe_load(file.read_text(encoding="utf-8"))
        crd = rendered[generated["metadata"]["name"]]
        assert crd["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert crd == generated


def test_the_crds_can_be_left_out_or_be_removed_with_the_release(render: Callable[..., Rendered]) -> None:
    assert render("crds.install=false").of("CustomResourceDefinition") == []
    for crd in render("crds.keep=false").of("CustomResourceDefinition"):
        assert "annotations" not in crd["metadata"]
