"""Shared by all pages: access, forms, paging, formats, errors."""
