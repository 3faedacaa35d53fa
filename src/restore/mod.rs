//! Restoring an archive into a database.
