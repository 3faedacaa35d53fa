//! Backup sets: a data file with its `.sha256` and `.meta`.
