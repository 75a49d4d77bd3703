"""The model as files: manifest, tensors, digest. Data only; nothing in it is ever executed."""
