//! Replaying any plain SQL script, as psql would.

mod input;

pub(super) use input::{Input, Packing, could_not_read, is_stdin};
