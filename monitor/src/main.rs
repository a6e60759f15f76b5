//! Credwatch on the command line.

fn main() {}
