"""What the verbs are asked to do, as types: JSON in, understood fields or an error out."""
