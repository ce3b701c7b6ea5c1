"""High-level calls: run an experiment from configuration to page, survey your own networks."""
