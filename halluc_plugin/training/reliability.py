"""Draw the reliability plot of a scorer of steps, if matplotlib (the extra ``plots``) is installed."""

from pathlib import Path

from halluc_plugin.atomic_files import whole_file
from halluc_plugin.metrics import StepValueQuality

SIZE_INCHES = (4.5, 4.5)


def draw_reliability(quality: StepValueQuality, path: Path) -> bool:
    """Write the plot as a PNG: the mean target of each bin of values over its mean value.

    Args:
        quality: The quality of the scorer's values.
        path: The file to write.

    Returns:
        Whether the plot was written; False if matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "--", color="0.6", label="calibrated")
    most = max((each.count for each in quality.bins), default=1)
    axes.plot([each.value for each in quality.bins], [each.target for each in quality.bins], color="#0072B2")
    axes.scatter(
        [each.value for each in quality.bins],
        [each.target for each in quality.bins],
        s=[20 + 180 * each.count / most for each in quality.bins],
        color="#0072B2",
        label=f"{quality.steps} steps, by bin",
    )
    axes.set(
        xlabel="value",
        ylabel="mean target",
        xlim=(0, 1),
        ylim=(0, 1),
        title=f"ECE {quality.ece:.3f}, MSE {quality.mse:.3f}",
    )
    axes.legend()
    # No software version in the file: the same numbers give the same bytes.
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=100, metadata={"Software": None})
    return True
