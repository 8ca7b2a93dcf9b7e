"""A broadcast: its schedule, its state machine, the nursery that owns it while it is on air."""
