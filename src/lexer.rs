//! psql's lexical rules: where a statement ends, and whether psql would see anything else in it.
