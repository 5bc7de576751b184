"""What is run beside the package: setting up, checking an installation, tours with pictures."""
