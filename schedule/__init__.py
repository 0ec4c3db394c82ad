"""The kernel as data: the kernel language, its readings, and how the text of Triton's front end is read back."""
