"""Surveys of anyone's networks: every probe of the table around each checkpoint, figures and one table of numbers."""
