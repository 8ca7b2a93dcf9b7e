"""PyAV programs in processes of their own, and the supervisor that owns them."""
