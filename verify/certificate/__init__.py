"""What a proof leaves behind, and how it is checked, compared and kept."""
