"""The look of the plots of all benchmarks. Needs no matplotlib itself, which only some environments have."""

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "shoal",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e5e5",
    "legend.frameon": False,
}
"""matplotlib's rcParams: texts stay texts, and the same figures give the same file."""
SAVED = {"metadata": {"Date": None}}
"""Arguments of savefig, so that drawing anew changes nothing."""
OUR_COLOUR = "#d1495b"
