//! Credwatch tests: one binary.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod cli_clients;
#[cfg(test)]
mod live;
mod sinks;
