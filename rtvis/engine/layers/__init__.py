"""What can be looked at in a flat graph: layers, attention, and what their units do."""
