//! Credwatch tests: one binary.

#[cfg(test)]
mod sinks;
