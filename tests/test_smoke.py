"""Which tests share the run of every smoke preset."""

from tests.smoke import shared, takers


def test_tests_that_take_the_run_share_it_whatever_their_file():
    assert "test_damage_of_one_experiment_does_not_stop_the_others" in takers("tests/faults/test_damage.py")
    assert shared("tests/faults/test_damage.py::test_every_byte_of_a_record_counts") == "tests/faults/test_damage.py"
    damaged = "tests/faults/test_damage.py::test_damaged_files_are_named_set_aside_and_made_again"
    assert shared(f"{damaged}[a and b-truncated]") == "smoke", "by way of a fixture, and with parameters"
