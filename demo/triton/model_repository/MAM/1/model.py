"""Mean and maximum of the numbers it is sent."""

import numpy
import triton_python_backend_utils as pb_utils


def answer(values):
    mean = numpy.array([values.mean()], dtype=numpy.float32)
    maximum = numpy.array([values.max()], dtype=numpy.float32)
    return pb_utils.InferenceResponse([pb_utils.Tensor("MEAN", mean), pb_utils.Tensor("MAXIMUM", maximum)])


class TritonPythonModel:
    def execute(self, requests):
        return [answer(pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy()) for request in requests]
