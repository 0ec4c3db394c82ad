"""What has to hold of a plan so that every schedule of it computes the spec."""
