"""Takes 300 ms for each request: OUTPUT = INPUT * 2 + 1."""

import time

import triton_python_backend_utils as pb_utils

REQUEST_SECONDS = 0.3


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            time.sleep(REQUEST_SECONDS)
            values = pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy()
            output = pb_utils.Tensor("OUTPUT", values * 2 + 1)
            responses.append(pb_utils.InferenceResponse([output]))
        return responses
