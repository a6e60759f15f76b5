//! Credwatch tests: one binary.
