"""What a version's model card may show."""

from shoal_worker.spec.part import Part


class CardSpec(Part):
    """points: whether rows of the training data are drawn, and extremes of columns told."""

    points: bool = True
