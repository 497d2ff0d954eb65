"""The files that settings name."""

from holdfast_runtime.settings import PREFIX
from inventory_service.adapters.reloaded_files import SettingsFile
from inventory_service.settings import Settings


def settings_file(settings: Settings, name: str) -> SettingsFile | None:
    """The file that the setting of this name has; None if it is not set."""
    path = getattr(settings, name)
    return SettingsFile(PREFIX + name.upper(), path) if path else None
