"""The joint graph of forward and backward pass, cut into pieces where one activation is live."""
