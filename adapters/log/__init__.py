"""The log on PostgreSQL: one totally ordered, hash-chained table, written one batch at a time under one lock."""
