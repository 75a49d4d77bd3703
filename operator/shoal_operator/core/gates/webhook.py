"""The gate that asks a service of the user's: it gets the facts of the trial and answers with a verdict.

`build_call` is called by runtime.answers through core.gates, the judge by core.gates. Invariant: only an answer that
says so passes or fails; silence and nonsense are errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, get_args

from shoal_operator.api.analysis import WebhookGate
from shoal_operator.api.deployment import Revision, Verdict
from shoal_operator.core.facts import at, printable, text_at
from shoal_operator.core.gates.outside import Request, Trial
from shoal_operator.core.snapshot import Answer

_Word = Literal["pass", "fail", "inconclusive"]


def gate_name(gate: WebhookGate) -> str:
    """Return the name of the gate's verdicts."""
    return f"webhook/{gate.name}"


def build_call(gate: WebhookGate, trial: Trial) -> Request:
    """Return the request with the facts as JSON."""
    body = {
        "gate": gate.name,
        "namespace": trial.namespace,
        "deployment": trial.deployment,
        "stable": _tell(trial.stable),
        "candidate": _tell(trial.candidate),
        "weight": trial.weight,
        "seconds": round(trial.seconds, 3),
    }
    return Request(
        key=gate_name(gate), url=gate.url, body=json.dumps(body, sort_keys=True), seconds=gate.timeout_seconds
    )


def judge_webhook(gate: WebhookGate, answers: Mapping[str, Answer]) -> Verdict:
    """Judge what the service said last: 204 passes, 200 says a verdict and a message as JSON."""
    name = gate_name(gate)
    answer = answers.get(name)
    if answer is None:
        return Verdict(gate=name, verdict="inconclusive", message="the service has not been asked yet.")
    if answer.error:
        return Verdict(gate=name, verdict="error", message=f"no answer: {printable(answer.error, 200)}.")
    if answer.status == 204:
        return Verdict(gate=name, verdict="pass", message="the service answers 204.")
    word, told = _read(answer.body) if answer.status == 200 else (None, "")
    if word is None:
        message = (
            f"status {answer.status} and no verdict; the service must answer 204, or 200 with "
            '{"verdict": "pass", "fail" or "inconclusive", "message": "..."}.'
        )
        return Verdict(gate=name, verdict="error", message=message)
    return Verdict(gate=name, verdict=word, message=told or f"the service says {word}.")


def _read(body: str) -> tuple[_Word | None, str]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None, ""
    said = at(parsed, "verdict")
    word = next((item for item in get_args(_Word) if item == said), None)
    return word, printable(text_at(parsed, "message"), 500)


def _tell(revision: Revision) -> dict[str, object]:
    return {"version": revision.version, "revision": revision.revision, "digest": revision.digest}
