"""Where training windows come from: catalogue cubes and simulated scenes, as blocks for `models.training`."""

from processes.training.catalogue import CatalogueBlocks, Holdout, open_site, site_blocks
from processes.training.simulated import simulated_blocks

__all__ = ["CatalogueBlocks", "Holdout", "open_site", "simulated_blocks", "site_blocks"]
