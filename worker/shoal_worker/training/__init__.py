"""From a training's specification to an artifact with its verdict."""
