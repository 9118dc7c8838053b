"""What every page shares: who may come in, forms, pages of a list, how values look, errors."""
