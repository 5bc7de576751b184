"""Models that cannot be traced: run as they are, and explained by torch's autograd."""
