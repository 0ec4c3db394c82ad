"""What the commands do and print: loading what the user names, five formats, the bundle and its tests."""
