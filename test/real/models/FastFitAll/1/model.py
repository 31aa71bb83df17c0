"""Takes 5 s to load, then answers at once: OUTPUT = INPUT * 3 - 1."""

import time

import triton_python_backend_utils as pb_utils

LOAD_SECONDS = 5


class TritonPythonModel:
    def initialize(self, args):
        time.sleep(LOAD_SECONDS)

    def execute(self, requests):
        responses = []
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy()
            output = pb_utils.Tensor("OUTPUT", values * 3 - 1)
            responses.append(pb_utils.InferenceResponse([output]))
        return responses
