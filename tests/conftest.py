"""Set-up shared by all tests: checked shapes, one thread, and two depths of property tests."""

import torch
from hypothesis import settings
from jaxtyping import install_import_hook

torch.set_num_threads(1)
settings.register_profile("fast", max_examples=20, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile("fast")
# Every shape and type annotation of the package is checked while its tests run.
install_import_hook("basinscope", "tests.typecheck.checked")
