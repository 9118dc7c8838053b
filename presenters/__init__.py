"""Values for templates, made from stored data. Presenters don't read the request or commit."""
