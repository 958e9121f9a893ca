"""The desk: a terminal in front of the store. It reads rows and writes commands; it holds no key and no node."""

from arbtui.tui.settings import DeskExit, DeskSettings

__all__ = ["DeskExit", "DeskSettings", "run_desk"]


def run_desk(settings: DeskSettings) -> DeskExit:
    """Show the desk in this terminal until it is left; says whether the engine is to be stopped."""
    from arbtui.tui.app import DeskApp

    return DeskApp(settings).run() or DeskExit(stop_engine=False)
