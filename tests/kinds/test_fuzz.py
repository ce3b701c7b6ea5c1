import pytest

from tests.kinds.fuzz import compared


@pytest.mark.parametrize("seed", range(12))
def test_every_verb_agrees_with_dense_references_on_random_networks(seed):
    compared_all = list(compared(seed))
    assert len(compared_all) > 20
    assert not [f"{what}: {numbers}" for what, agrees, numbers in compared_all if not agrees]
