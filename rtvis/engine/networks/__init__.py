"""A network in: found by name or brought, its weights, its preprocessing, what it returns."""
