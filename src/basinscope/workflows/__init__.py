"""Whole pieces of work as calls: an experiment from its configuration to the page, a survey of anyone's networks."""
