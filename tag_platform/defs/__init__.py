"""The control plane: assets, jobs and resources. It plans and records; it holds no DataFrame."""

import warnings

from dagster import BetaWarning, PreviewWarning

# Backfill policies and reconstruction metadata carry these marks in the pinned release; the graph rests on both.
warnings.filterwarnings("ignore", category=BetaWarning)
warnings.filterwarnings("ignore", category=PreviewWarning)
