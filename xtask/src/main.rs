//! Credwatch own commands.

fn main() {}
