//! Credwatch tests: one binary.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod cli_clients;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod live;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod sinks;
