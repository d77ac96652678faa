"""One tiny bundle for all tests of the room; exporting it takes seconds."""

import pytest
from hypothesis import settings

settings.register_profile("busy_machine", deadline=None, max_examples=50)
settings.load_profile("busy_machine")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """A random bundle that fits the GraspBottle task; skips where it cannot be exported."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from policy.tiny_bundle import make_bundle

    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
