"""Runs the real panel without the Slicer application: Qt is PySide6 with PythonQt's manners, the scene and
the views are real.
"""
