"""`python serve_kserve.py NAME MODEL.joblib GRPC_PORT HTTP_PORT`: KServe's server with a custom model."""

import logging
import sys

import joblib
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class NearestCoreModel(Model):  # type: ignore[misc]
    """The pickled estimator."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self._model = joblib.load(path)
        self.ready = True

    def predict(self, payload: InferRequest, headers: object = None) -> InferResponse:
        """Label the rows of the one input."""
        labels = self._model.predict(payload.inputs[0].as_numpy())
        output = InferOutput(name="labels", shape=list(labels.shape), datatype="INT32")
        output.set_data_from_numpy(labels)
        return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=[output])


if __name__ == "__main__":
    name, path, grpc_port, http_port = sys.argv[1:]
    # What it parses of the command line is its own.
    del sys.argv[1:]
    server = ModelServer(grpc_port=int(grpc_port), http_port=int(http_port), enable_latency_logging=False)
    # It logs a line for each call; none of the others does.
    logging.getLogger("kserve").setLevel(logging.WARNING)
    server.start([NearestCoreModel(name, path)])
