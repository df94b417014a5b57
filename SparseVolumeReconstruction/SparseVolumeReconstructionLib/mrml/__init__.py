"""The Slicer side: MRML nodes to requests and results to nodes.

Needs slicer and vtk; torch stays in the worker process.
"""
