"""`shoal batch`: label whole data sets, and see how far it is."""
