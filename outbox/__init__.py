"""The engine: capture → claim → deliver → settle.

Works on rows and outcomes; independent of QuickBooks and Flask.
"""
