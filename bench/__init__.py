"""Load tests that users run too: against a Dorami that they start themselves, or any deployment of their own."""
