"""What rounding does to every output."""
