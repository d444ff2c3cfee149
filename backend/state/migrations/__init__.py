"""Migrations of the database, run by alembic; one module each in `versions`."""
