"""A plan as a kernel: its laws in the kernel language, by the roles of its axes."""
