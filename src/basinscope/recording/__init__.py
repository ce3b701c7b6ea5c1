"""A recorder for training loops: copies of the network, and measurements at each of them."""
