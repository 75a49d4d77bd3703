"""`shoal predict`: rows against a served model, by the Open Inference Protocol."""
