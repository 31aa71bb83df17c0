"""Never finishes loading."""

import time


class TritonPythonModel:
    def initialize(self, args):
        while True:
            time.sleep(3600)

    def execute(self, requests):
        return []
