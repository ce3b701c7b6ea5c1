"""Every probe on someone's own network, from the command line: problem file and checkpoints in, a run's folder out."""
