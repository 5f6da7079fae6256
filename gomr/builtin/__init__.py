"""The embedded back ends, plugins of the same surface as a third party's: file, sqlite, console, process."""
