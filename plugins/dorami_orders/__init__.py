"""Orders: made from a cart, paid by transfer, shipped by hand."""
