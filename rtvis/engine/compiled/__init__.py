"""Code made for a device: pieces compiled in a child process, CUDA graphs, kernels of our own."""
