"""What surrounds the product on a developer's machine. The product never imports it."""
