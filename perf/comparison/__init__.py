"""The whole-program comparison: what is started, how it is loaded, what is read from /proc, and how it is shown."""
