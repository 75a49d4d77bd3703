"""Which command may be given when, and as which change of the object; pure. Used by `commanding`.

A command is an annotation that the operator removes once it has acted on it (docs/rollouts.md). Invariant: what would
have no effect is refused with what would have one, and each command carries its own value, so that the same command
given twice is two commands.
"""

from datetime import datetime

from shoal_cli.deployments.rules import WayBack, command_annotation
from shoal_cli.deployments.view import View
from shoal_cli.errors import UsageError
from shoal_cli.kube import Object


def check(command: str, view: View) -> None:
    """Refuse a command that would have no effect now."""
    here = f"{view.name} -n {view.namespace}"
    problem: tuple[str, str] | None = None
    match command:
        case "promote" | "promote-full" | "abort" if view.step is None:
            if view.candidate_version is not None:
                remedy = "It serves as soon as its pods are ready; watch it: shoal watch"
                problem = (f"version {view.candidate_version} is the first one, which takes no steps", remedy)
            else:
                problem = ("no version is on trial", f"See what is: shoal status {here}")
        case "resume" if view.user_paused:
            pass
        case "resume" if view.paused_by_spec:
            problem = ("spec.paused holds it, not a command", "Set spec.paused to false where the manifest is kept")
        case "resume" if view.paused:
            problem = (f"no command holds it. {view.message.rstrip('.')}", f"Go on by: shoal promote {here}")
        case "resume":
            problem = ("it is not paused", f"See what it does: shoal status {here}")
        case "retry" if not view.blocked:
            problem = ("no version is blocked", f"See what is: shoal status {here}")
        case "approve" if view.pending_version is None:
            problem = ("no version waits for approval", "Only modelRef.policy Manual makes versions wait")
        case _:
            pass
    if problem is not None:
        raise UsageError(problem[0], field=f"{view.namespace}/{view.name}", remedy=problem[1])


def build_command(command: str, value: str, by: str = "") -> Object:
    """Return the change that gives a command, with the name of who gives it where that is known."""
    return {"metadata": {"annotations": {command_annotation(command): f"{value};by={by}" if by else value}}}


def unique_value(now: datetime) -> str:
    """Return a value that no earlier command had, and that tells when it was given."""
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_approval(view: View, version: int | None) -> int:
    """Return the version to approve: the one that waits."""
    check("approve", view)
    pending = view.pending_version or 0
    if version not in (None, pending):
        raise UsageError(
            f"it does not wait for approval; version {pending} does",
            field="VERSION",
            value=version,
            remedy=f"Approve {pending}, or leave VERSION out",
        )
    return pending


def read_version(to: str | None) -> str:
    """Return the value of the rollback command: a version's number, or yes for the version before.

    >>> read_version("v3"), read_version(None)
    ('3', 'yes')
    """
    if to is None:
        return "yes"
    number = to.removeprefix("v")
    if not number.isdecimal():
        raise UsageError("it is no version", field="--to", value=to, remedy="Name one by its number, such as 3")
    return str(int(number))


def describe_way_back(view: View, way: WayBack) -> str:
    """Tell what the operator will do.

    The words are those of the core's rule, so that what is told is what happens.
    """
    if way.ends_trial:
        return f"take version {view.candidate_version} back; version {way.version} serves"
    how = "without steps, as soon as its pods are ready" if way.at_once else "by the strategy's steps"
    return f"go back from version {view.stable_version} to version {way.version}, {how}"


def build_line(view: View, version: int) -> str:
    """Return the line that makes a version last where the manifest is kept.

    A pinned version goes with no policy, so modelRef is written as a whole.
    """
    return f'spec: {{modelRef: {{name: {view.model}, version: "{version}"}}}}'


def keeper_of(deployment: Object) -> str:
    """Return who applies the object from elsewhere and would write the change back; empty for nobody known.

    >>> keeper_of({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:..."}}})
    'Argo CD'
    """
    metadata = deployment.get("metadata", {})
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    for mark, keeper in (
        ("argocd.argoproj.io/", "Argo CD"),
        ("kustomize.toolkit.fluxcd.io/", "Flux"),
        ("helm.toolkit.fluxcd.io/", "Flux"),
        ("meta.helm.sh/", "Helm"),
    ):
        if any(name.startswith(mark) for name in marks):
            return keeper
    managers = {str(each.get("manager")) for each in metadata.get("managedFields") or ()}
    known = {"argocd-controller": "Argo CD", "kustomize-controller": "Flux", "helm-controller": "Flux", "helm": "Helm"}
    return next((known[each] for each in sorted(managers) if each in known), "")
