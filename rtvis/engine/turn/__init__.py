"""One turn: what a selection asks for, computed from pieces without waiting for the device."""
