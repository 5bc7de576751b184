"""What the units of a network have learned: their ideal inputs, and the inputs they fire at."""
