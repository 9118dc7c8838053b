"""Tools for developers. The product never imports them."""
