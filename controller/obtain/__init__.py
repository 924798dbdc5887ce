"""Finding the programs Seadragon needs, or getting them. Standard library only: set-up runs it."""

from controller.obtain.find import find_program

__all__ = ["find_program"]
