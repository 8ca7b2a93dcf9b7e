"""What people see: the pages of the shop, the live page and the seller's desk."""
