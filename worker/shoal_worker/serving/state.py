"""What the worker is at this moment: loading, serving or draining; shared by `servicer`, `server` and the HTTP ports.

Invariant: it is ready only with a model and while not draining, and draining never ends. Only `server` changes it.
"""

from shoal_worker.errors import ModelNotReady
from shoal_worker.model import Model


class ServingState:
    """The loaded model, if any, and whether the worker is on its way out."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._draining = False
        self._waiting_for = "the artifact is loading"

    @property
    def ready(self) -> bool:
        """May traffic be sent here?"""
        return self._model is not None and not self._draining

    @property
    def explanation(self) -> str:
        """Why it is ready or not, in a few words."""
        if self._draining:
            return "draining"
        return "ready" if self._model else self._waiting_for

    @property
    def model(self) -> Model | None:
        """The model, once it is loaded."""
        return self._model

    def require_model(self) -> Model:
        """The model; a draining worker still has it."""
        if self._model is None:
            raise ModelNotReady(self._waiting_for, remedy="Retry: the worker is not ready for traffic yet")
        return self._model

    def record_model(self, model: Model) -> None:
        """From now on there is a verified model."""
        self._model = model

    def record_failure(self, explanation: str) -> None:
        """The last attempt to load failed."""
        self._waiting_for = explanation

    def start_drain(self) -> None:
        """From now on no new traffic is wanted."""
        self._draining = True
