"""A real package, so that one of the same name among installed ones never stands in its place."""
