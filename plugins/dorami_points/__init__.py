"""Points: earned with a paid order, spent in a later one."""
