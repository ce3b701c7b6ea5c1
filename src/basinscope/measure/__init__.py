"""What is measured around anyone's network: one verb a file, each takes an `Objective` and returns labelled data."""
