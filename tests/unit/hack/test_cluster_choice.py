"""Which kind of cluster the verbs act on."""

import pytest

from hack.cluster import cli
from hack.cluster.process import ClusterError


@pytest.mark.parametrize(
    ("wanted", "kind_there", "docker", "chosen"),
    [
        ("auto", True, True, "kind"),
        ("auto", True, False, "node"),
        ("auto", False, True, "node"),
        ("node", True, True, "node"),
        ("current", True, True, "current"),
    ],
)
def test_kind_is_taken_only_where_docker_answers(
    monkeypatch: pytest.MonkeyPatch, wanted: str, kind_there: bool, docker: bool, chosen: str
) -> None:
    monkeypatch.setattr(cli.shutil, "which", lambda _: "/bin/kind" if kind_there else None)
    monkeypatch.setattr(cli, "docker_answers", lambda: docker)
    assert cli.choose(wanted) == chosen


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ClusterError, match=r"'minikube'.*auto, node, kind, current"):
        cli.choose("minikube")
