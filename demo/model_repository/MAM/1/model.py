"""Placeholder of the demo: OUTPUT = INPUT * 2 + 1.

The demo's stand-in for tritonserver doesn't run Python: it computes the same from `scale` and `offset` in
../standin.json. A real Triton serves this file as it is.
"""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy()
            output = pb_utils.Tensor("OUTPUT", values * 2 + 1)
            responses.append(pb_utils.InferenceResponse([output]))
        return responses
