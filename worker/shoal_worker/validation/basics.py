"""basicFunctionality: the model labels the rows that it was trained on; called by `run`."""

import numpy as np

from shoal_worker.validation.judgement import Judgement
from shoal_worker.validation.subject import Subject, draw_rows

NAME = "basicFunctionality"
_CORE_ROWS = 100_000
_LEAST_AGREEMENT = 0.99


def judge_basics(subject: Subject) -> Judgement:
    """Labels of the sample in number and range, probes, clusters, core samples."""
    clusters = subject.artifact.manifest.metrics.clusters
    tensors = subject.artifact.tensors
    served = subject.served
    found = served.ask(served.rows)
    if found.shape != subject.sample.shape:
        return Judgement(NAME, "fail", f"{len(found)} labels for {len(subject.sample)} rows")
    fitted = subject.fitted.labels[subject.sample]
    cores = subject.fitted.core_rows
    cores = cores[draw_rows(len(cores), _CORE_ROWS)]
    own = int(np.count_nonzero(subject.predict(subject.points[cores]) == subject.fitted.labels[cores]))
    in_index = len(np.unique(tensors.index["labels"]))
    wrong_probes = int(np.count_nonzero(subject.predict(subject.model.prepare(tensors.probes)) != tensors.probe_labels))
    problems = [
        problem
        for problem, holds in (
            (f"labels are {found.dtype}, not int32", found.dtype != np.int32),
            (f"labels outside -1 to {clusters - 1}", bool(((found < -1) | (found >= clusters)).any())),
            (f"{wrong_probes} probes got another label", wrong_probes > 0),
            (f"the index has {in_index} clusters, the manifest says {clusters}", in_index != clusters),
            (f"{len(cores) - own} of {len(cores)} core samples lost their label", own < len(cores)),
        )
        if holds
    ]
    agreement = float(np.mean(found == fitted))
    figures = {
        "sampleRows": len(subject.sample),
        "clusters": in_index,
        "noiseRatio": float(np.mean(found == -1)),
        "probes": len(tensors.probe_labels),
        "coreRowsTested": len(cores),
        "coreRowsReproduced": own,
        "fitAgreementRatio": agreement,
    }
    if problems:
        return Judgement(NAME, "fail", "; ".join(problems), figures)
    if agreement < _LEAST_AGREEMENT:
        # A border row within reach of two clusters may get the nearer one, where the fit took the first.
        message = f"{agreement:.1%} of the sampled rows are predicted into the cluster that the fit gave them"
        return Judgement(NAME, "warn", message, figures)
    message = f"the sampled rows, all probes and {own} of {len(cores)} core samples got their labels"
    return Judgement(NAME, "pass", message, figures)
