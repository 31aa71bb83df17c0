"""Fits a straight line to points, by least squares."""

import numpy
import triton_python_backend_utils as pb_utils


def fit(request):
    x, y = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("X", "Y"))
    line = numpy.polyfit(x, y, deg=1).astype(numpy.float32)
    return pb_utils.InferenceResponse([pb_utils.Tensor("SLOPE_AND_INTERCEPT", line)])


class TritonPythonModel:
    def execute(self, requests):
        return [fit(request) for request in requests]
