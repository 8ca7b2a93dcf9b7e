"""Products, their variants, and the one place that counts stock."""
