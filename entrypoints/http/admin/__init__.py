"""The admin API: one file per resource, its routes in a table at the end."""
