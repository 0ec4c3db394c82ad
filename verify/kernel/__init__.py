"""What a kernel as data computes: that it refines the monoid it was lowered from."""
