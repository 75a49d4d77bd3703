"""A deployment as plain lines, one for each change; pure. Used where the output is no terminal."""

from shoal_cli.deployments.figures import show_figure
from shoal_cli.deployments.view import View


def tell(view: View) -> str:
    """Return the line that tells where a deployment stands; equal lines mean that nothing changed."""
    parts = [view.phase]
    if view.stable_version is not None:
        parts.append(f"stable=v{view.stable_version}")
    if view.candidate_version is not None:
        parts.append(f"candidate=v{view.candidate_version}")
    if view.going_back == "at once":
        parts += ["going-back", f"weight={view.weight}%", f"actual={view.actual_weight}%"]
    elif view.step is not None:
        parts += [f"step={min(view.step + 1, len(view.steps))}/{len(view.steps)}", f"weight={view.weight}%"]
        parts.append(f"actual={view.actual_weight}%")
    parts += [
        f"{pool.role.replace(' ', '-')}-ready={pool.ready}/{pool.replicas}" for pool in view.pools if pool.replicas
    ]
    # Figures change at each look, verdicts when something happens.
    parts += [f"{gate.name}={gate.verdict}" for gate in view.gates if view.candidate_version is not None]
    return "  ".join([*parts, f"{view.message} {view.behind}".strip()])


def tell_figures(view: View) -> str:
    """Return the figures of the gates in a line; empty where there are none."""
    told = [
        f"{gate.name} {show_figure(gate.name, gate.candidate)} (stable {show_figure(gate.name, gate.stable)})"
        for gate in view.gates
        if gate.stable_calls and gate.candidate is not None
    ]
    return ", ".join(told)
