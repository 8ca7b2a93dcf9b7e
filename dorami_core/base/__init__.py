"""What everything else stands on: errors, ids, money, clock, settings, logging. Imports nothing of ours."""
