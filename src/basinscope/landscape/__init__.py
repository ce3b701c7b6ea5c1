"""The loss as a function of the parameters: where it is evaluated, and along which directions."""
