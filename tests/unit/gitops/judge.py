"""What GitOps tools make of an object, asked of the interpreters that they embed, by the program gitops-judge."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from hack.cluster.binaries import ensure_judge
from hack.cluster.layout import default_layout
from hack.cluster.progress import Steps

Raw = dict[str, Any]
CUSTOMIZATIONS = Path(__file__).resolve().parents[3] / "helm" / "shoal" / "argocd" / "shoal.dev"


@dataclass(frozen=True)
class Judge:
    """The running program."""

    questions: IO[str]
    answers: IO[str]

    def health(self, thing: Raw) -> Raw:
        """Return Argo CD's health of an object."""
        found: Raw = self._lua(f"{thing['kind']}/health.lua", thing)
        return found

    def offers(self, thing: Raw) -> dict[str, Raw]:
        """Return the actions that Argo CD offers for an object, by name."""
        found: dict[str, Raw] = self._lua(f"{thing['kind']}/actions/discovery.lua", thing)
        return found

    def actions(self, thing: Raw) -> dict[str, bool]:
        """Return for each action that Argo CD offers whether it is enabled."""
        return {name: not action["disabled"] for name, action in self.offers(thing).items()}

    def act(self, thing: Raw, action: str) -> Raw:
        """Return the object as an action wants it."""
        wanted: Raw = self._lua(f"{thing['kind']}/actions/{action}/action.lua", thing)
        return wanted

    def kstatus(self, thing: Raw) -> str:
        """Return what kstatus makes of an object: InProgress, Failed or Current."""
        return str(self._ask("kstatus", thing))

    def flux(self, expressions: Raw, thing: Raw) -> str:
        """Return what Flux makes of an object by an entry of healthCheckExprs."""
        return str(self._ask("cel", thing, expressions=expressions))

    def _lua(self, script: str, thing: Raw) -> Any:
        return self._ask("lua", thing, script=_read(script))

    def _ask(self, verb: str, thing: Raw, **more: Any) -> Any:
        whole = {"apiVersion": "shoal.dev/v1alpha1", **thing}
        self.questions.write(json.dumps({"verb": verb, "object": whole, **more}) + "\n")
        self.questions.flush()
        answer = json.loads(self.answers.readline())
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["result"]


@cache
def _read(script: str) -> str:
    return (CUSTOMIZATIONS / script).read_text(encoding="utf-8")


@contextmanager
def run_judge() -> Iterator[Judge]:
    """Run the program; builds it where `make programs` has not."""
    program = ensure_judge(default_layout(), Steps())
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Judge(process.stdin, process.stdout)
        process.stdin.close()
        assert process.wait(10) == 0
