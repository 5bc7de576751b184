"""Any model as one flat graph, and what is known of its operations: where in the picture its
values lie, and how gradients pass back."""
