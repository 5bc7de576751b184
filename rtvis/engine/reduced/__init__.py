"""A pass over many pictures that keeps of every layer a few numbers for each unit."""
