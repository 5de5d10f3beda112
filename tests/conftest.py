"""Being here, this file puts tests/ on the path: every test can import the helper modules beside it."""

import os
from unittest import mock

import pytest


def environment_as_before():
    """Commands set variables (of progress bars, of CUDA) and end; here the process goes on with other tests."""
    with mock.patch.dict(os.environ):
        yield


after_each_test = pytest.fixture(autouse=True)(environment_as_before)
# what fixtures of a whole module do comes before the first test
after_each_module = pytest.fixture(autouse=True, scope="module")(environment_as_before)
