"""Original files into a mirror in the layout of the Hub: one module a family of formats."""

from xstilts.data.importers.folder import Report, import_folder

__all__ = ["Report", "import_folder"]
