"""The model card: one version on one page, as HTML that needs nothing else, and as a picture."""
