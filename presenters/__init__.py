"""Values for templates, made from what is stored: they read no request and commit nothing."""
