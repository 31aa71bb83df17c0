"""Can't be loaded."""


class TritonPythonModel:
    def initialize(self, args):
        raise RuntimeError("Broken is meant to fail: its weights are missing")

    def execute(self, requests):
        return []
