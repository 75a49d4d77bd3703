"""What a worker of a stream is at this moment; shared by `process` and the HTTP ports.

Invariant: it is ready only with a model, with its stream, and while not draining. Only `process` changes it.
"""

from shoal_worker.serving.state import ServingState


class StreamState(ServingState):
    """The model, and whether the stream is reached."""

    def __init__(self) -> None:
        super().__init__()
        self._stream_problem = "the stream is not reached yet"

    @property
    def ready(self) -> bool:
        """Are messages taken?"""
        return super().ready and not self._stream_problem

    @property
    def explanation(self) -> str:
        """Why it is ready or not, in a few words."""
        return self._stream_problem if super().ready and self._stream_problem else super().explanation

    def record_stream(self, problem: str) -> None:
        """From now on the stream is reached, or not because of a problem."""
        self._stream_problem = problem
