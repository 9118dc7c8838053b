"""The engine: capture → claim → deliver → settle.

Knows rows and outcomes; knows nothing of QuickBooks or of Flask views.
"""
