"""The loss landscape of any `nn.Module`, evaluated in a copy."""
