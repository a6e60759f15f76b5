//! Credwatch tests: one binary.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod cli_clients;
mod sinks;
