"""Loss landscapes: the loss as a function of the parameters, and directions to evaluate it along."""
