"""Pictures in files: their CAM and backward pictures, many at a time."""
